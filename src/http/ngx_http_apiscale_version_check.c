
/*
 * Copyright (C) apiscale authors
 */


/*
 * What is done once the whole configuration is read: names that may come
 * later in the file are resolved, and errors tell the line where they stand.
 */


#include "ngx_http_apiscale_version.h"


static ngx_int_t ngx_http_apiscale_version_names(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api);
static ngx_int_t ngx_http_apiscale_version_values(ngx_conf_t *cf,
    ngx_http_apiscale_version_t *v);
static ngx_int_t ngx_http_apiscale_version_successors(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api);
static ngx_int_t ngx_http_apiscale_version_cycles(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api);
static ngx_int_t ngx_http_apiscale_version_defaults(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api);
static ngx_int_t ngx_http_apiscale_version_add_api(ngx_conf_t *cf,
    ngx_http_apiscale_version_srv_conf_t *scf,
    ngx_http_apiscale_version_api_t *api);


/*
 * The API of this name, NULL if there is none.
 */

ngx_http_apiscale_version_api_t *
ngx_http_apiscale_version_find_api(ngx_http_apiscale_version_main_conf_t *mcf,
    ngx_str_t *name)
{
    ngx_uint_t                         i;
    ngx_http_apiscale_version_api_t  **api;

    api = mcf->apis.elts;

    for (i = 0; i < mcf->apis.nelts; i++) {

        if (api[i]->name.len == name->len
            && ngx_strncmp(api[i]->name.data, name->data, name->len) == 0)
        {
            return api[i];
        }
    }

    return NULL;
}


/*
 * Checks and completes an API.
 */

ngx_int_t
ngx_http_apiscale_version_check_api(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api)
{
    if (ngx_http_apiscale_version_names(cf, api) != NGX_OK
        || ngx_http_apiscale_version_successors(cf, api) != NGX_OK
        || ngx_http_apiscale_version_cycles(cf, api) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apiscale_version_defaults(cf, api);
}


/* the names alone, as apiscale_version_segment() reads them */

static ngx_int_t
ngx_http_apiscale_version_names(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api)
{
    ngx_uint_t                    i;
    apiscale_version_name_t      *name;
    ngx_http_apiscale_version_t  *v;

    if (ngx_array_init(&api->names, cf->pool, api->versions.nelts,
                       sizeof(apiscale_version_name_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    v = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {
        name = ngx_array_push(&api->names);
        if (name == NULL) {
            return NGX_ERROR;
        }

        name->data = v[i].name.data;
        name->len = v[i].name.len;

        if (ngx_http_apiscale_version_values(cf, &v[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* what does not depend on the request is written here, once */

static ngx_int_t
ngx_http_apiscale_version_values(ngx_conf_t *cf,
    ngx_http_apiscale_version_t *v)
{
    size_t   len;
    u_char  *p;

    len = sizeof("@") - 1 + NGX_INT64_LEN + APISCALE_DATE_IMF_LEN
          + APISCALE_DATE_RFC3339_LEN
          + sizeof("<>; rel=\"deprecation\"; type=\"text/html\"") - 1
          + v->link.len;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (v->deprecated != NGX_HTTP_APISCALE_VERSION_NEVER) {
        v->deprecation_value.data = p;
        p = ngx_sprintf(p, "@%L", v->deprecated);
        v->deprecation_value.len = p - v->deprecation_value.data;
    }

    if (v->sunset != NGX_HTTP_APISCALE_VERSION_NEVER) {
        v->sunset_value.data = p;
        v->sunset_value.len = apiscale_date_imf(v->sunset, p);
        p += v->sunset_value.len;

        v->sunset_date.data = p;
        v->sunset_date.len = apiscale_date_rfc3339(v->sunset, p);
        p += v->sunset_date.len;
    }

    if (v->link.len) {
        v->link_value.data = p;
        p = ngx_sprintf(p, "<%V>; rel=\"deprecation\"; type=\"text/html\"",
                        &v->link);
        v->link_value.len = p - v->link_value.data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_version_successors(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api)
{
    ngx_uint_t                    i;
    ngx_http_apiscale_version_t  *v;

    v = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (v[i].successor_name.data == NULL) {
            continue;
        }

        v[i].successor = ngx_http_apiscale_version_find(api,
                                                  v[i].successor_name.data,
                                                  v[i].successor_name.len);
        if (v[i].successor == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown successor \"%V\" of version \"%V\" "
                          "in %s:%ui",
                          &v[i].successor_name, &v[i].name, v[i].file,
                          v[i].line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_version_cycles(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api)
{
    ngx_uint_t                    i, n;
    ngx_http_apiscale_version_t  *v, *s;

    v = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {
        s = v[i].successor;

        for (n = 0; s && n < api->versions.nelts; n++) {

            if (s == &v[i]) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "version \"%V\" is its own successor, "
                              "by way of \"%V\", in %s:%ui",
                              &v[i].name, &v[i].successor_name, v[i].file,
                              v[i].line);
                return NGX_ERROR;
            }

            s = s->successor;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_version_defaults(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api)
{
    ngx_uint_t                            i;
    ngx_http_apiscale_version_default_t  *def;

    if (api->defaults == NULL) {
        return NGX_OK;
    }

    def = api->defaults->elts;

    for (i = 0; i < api->defaults->nelts; i++) {

        if (def[i].value.lengths) {
            continue;
        }

        def[i].version = ngx_http_apiscale_version_find(api,
                                                     def[i].value.value.data,
                                                     def[i].value.value.len);
        if (def[i].version == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown default version \"%V\" "
                          "of apiscale_api \"%V\" in %s:%ui",
                          &def[i].value.value, &api->name, api->file,
                          api->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Finds the APIs that apiscale_use_api of a level names.  NGX_OK as well if
 * there is no such line, or this was done before.
 */

ngx_int_t
ngx_http_apiscale_version_resolve(ngx_conf_t *cf,
    ngx_http_apiscale_version_srv_conf_t *scf)
{
    ngx_str_t                              *name;
    ngx_uint_t                              i;
    ngx_http_apiscale_version_api_t        *api;
    ngx_http_apiscale_version_main_conf_t  *mcf;

    if (scf->names == NULL || scf->apis) {
        return NGX_OK;
    }

    scf->apis = ngx_array_create(cf->pool, scf->names->nelts + 1,
                                 sizeof(ngx_http_apiscale_version_api_t *));
    if (scf->apis == NULL) {
        return NGX_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_apiscale_version_module);

    name = scf->names->elts;

    for (i = 0; i < scf->names->nelts; i++) {

        api = ngx_http_apiscale_version_find_api(mcf, &name[i]);

        if (api == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown apiscale_api \"%V\" in %s:%ui",
                          &name[i], scf->file, scf->line);
            return NGX_ERROR;
        }

        if (ngx_http_apiscale_version_add_api(cf, scf, api) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* keeps the longest prefix first; two of the same cannot both decide */

static ngx_int_t
ngx_http_apiscale_version_add_api(ngx_conf_t *cf,
    ngx_http_apiscale_version_srv_conf_t *scf,
    ngx_http_apiscale_version_api_t *api)
{
    ngx_uint_t                         i;
    ngx_http_apiscale_version_api_t  **apis;

    apis = scf->apis->elts;

    for (i = 0; i < scf->apis->nelts; i++) {

        if (apis[i] == api) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "duplicate apiscale_api \"%V\" in %s:%ui",
                          &api->name, scf->file, scf->line);
            return NGX_ERROR;
        }

        if (apis[i]->prefix.len == api->prefix.len
            && ngx_memcmp(apis[i]->prefix.data, api->prefix.data,
                          api->prefix.len)
               == 0)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "apiscale_api \"%V\" and \"%V\" have the same "
                          "prefix in %s:%ui",
                          &apis[i]->name, &api->name, scf->file, scf->line);
            return NGX_ERROR;
        }
    }

    if (ngx_array_push(scf->apis) == NULL) {
        return NGX_ERROR;
    }

    apis = scf->apis->elts;

    for (i = scf->apis->nelts - 1;
         i > 0 && apis[i - 1]->prefix.len < api->prefix.len;
         i--)
    {
        apis[i] = apis[i - 1];
    }

    apis[i] = api;

    return NGX_OK;
}
