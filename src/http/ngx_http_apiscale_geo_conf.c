
/*
 * Copyright (C) apiscale authors
 */


/*
 * The apiscale_geo block.  Blocks that name the same file share it, and with
 * the same source a look-up, too.
 */


#include "ngx_http_apiscale_geo.h"


static char *ngx_http_apiscale_geo(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_apiscale_geo_params(ngx_conf_t *cf,
    ngx_str_t *source, ngx_msec_t *reload);
static char *ngx_http_apiscale_geo_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);
static char *ngx_http_apiscale_geo_path(ngx_conf_t *cf,
    ngx_http_apiscale_geo_var_t *var, ngx_uint_t from);
static ngx_http_apiscale_geo_file_t *ngx_http_apiscale_geo_file(
    ngx_conf_t *cf, ngx_http_apiscale_geo_main_conf_t *gmcf, ngx_str_t *name);
static void ngx_http_apiscale_geo_cleanup(void *data);
static ngx_http_apiscale_geo_lookup_t *ngx_http_apiscale_geo_lookup(
    ngx_conf_t *cf, ngx_http_apiscale_geo_main_conf_t *gmcf,
    ngx_http_apiscale_geo_file_t *file, ngx_str_t *source);
static void *ngx_http_apiscale_geo_create_main_conf(ngx_conf_t *cf);


static ngx_command_t  ngx_http_apiscale_geo_commands[] = {

    { ngx_string("apiscale_geo"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE123,
      ngx_http_apiscale_geo,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_geo_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apiscale_geo_status_init,     /* postconfiguration */

    ngx_http_apiscale_geo_create_main_conf,
                                           /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_geo_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_geo_module_ctx,     /* module context */
    ngx_http_apiscale_geo_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_apiscale_geo_init_process,    /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
ngx_http_apiscale_geo(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_geo_main_conf_t *gmcf = conf;

    char                           *rv;
    ngx_str_t                      *value, source;
    ngx_msec_t                      reload;
    ngx_conf_t                      save;
    ngx_http_apiscale_geo_file_t   *file;

    if (ngx_http_apiscale_geo_params(cf, &source, &reload) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    file = ngx_http_apiscale_geo_file(cf, gmcf, &value[1]);
    if (file == NULL) {
        return NGX_CONF_ERROR;
    }

    /* the shortest time that is asked for */

    if (reload && (file->reload == 0 || reload < file->reload)) {
        file->reload = reload;

        rv = ngx_http_apiscale_geo_reload_conf(cf, file);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    gmcf->vars = 0;
    gmcf->lookup = ngx_http_apiscale_geo_lookup(cf, gmcf, file, &source);

    if (gmcf->lookup == NULL) {
        return NGX_CONF_ERROR;
    }

    save = *cf;
    cf->handler = ngx_http_apiscale_geo_line;
    cf->handler_conf = conf;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv == NGX_CONF_OK && gmcf->vars == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no variables are inside apiscale_geo \"%V\"",
                           &file->name);
        return NGX_CONF_ERROR;
    }

    return rv;
}


static ngx_int_t
ngx_http_apiscale_geo_params(ngx_conf_t *cf, ngx_str_t *source,
    ngx_msec_t *reload)
{
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    value = cf->args->elts;

    ngx_str_null(source);
    *reload = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "source=", 7) == 0) {

            if (source->data) {
                goto duplicate;
            }

            source->data = value[i].data + 7;
            source->len = value[i].len - 7;

            if (source->len == 0) {
                goto invalid;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "reload=", 7) == 0) {

            if (*reload) {
                goto duplicate;
            }

            s.data = value[i].data + 7;
            s.len = value[i].len - 7;

            *reload = ngx_parse_time(&s, 0);

            if (*reload == (ngx_msec_t) NGX_ERROR || *reload == 0) {
                goto invalid;
            }

            continue;
        }

        goto invalid;
    }

    return NGX_OK;

duplicate:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "duplicate parameter \"%V\"", &value[i]);
    return NGX_ERROR;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", &value[i]);
    return NGX_ERROR;
}


/* $variable [default=STR] path to value */

static char *
ngx_http_apiscale_geo_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_http_apiscale_geo_main_conf_t *gmcf = conf;

    ngx_str_t                    *value, name;
    ngx_uint_t                    path;
    ngx_http_variable_t          *v;
    ngx_http_apiscale_geo_var_t  *var;

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[0].data, "include") == 0) {
        return ngx_conf_include(cf, dummy, conf);
    }

    name = value[0];

    if (name.len < 2 || name.data[0] != '$') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid variable name \"%V\"", &name);
        return NGX_CONF_ERROR;
    }

    name.data++;
    name.len--;

    var = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_geo_var_t));
    if (var == NULL) {
        return NGX_CONF_ERROR;
    }

    path = 1;

    if (cf->args->nelts > 1
        && ngx_strncmp(value[1].data, "default=", 8) == 0)
    {
        var->has_default = 1;
        var->def.data = value[1].data + 8;
        var->def.len = value[1].len - 8;
        path = 2;
    }

    if (ngx_http_apiscale_geo_path(cf, var, path) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    v = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (v == NULL) {
        return NGX_CONF_ERROR;
    }

    /* of "map" or "set", which would let themselves be replaced */

    if (v->get_handler) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the duplicate \"%V\" variable", &name);
        return NGX_CONF_ERROR;
    }

    var->lookup = gmcf->lookup;
    var->index = gmcf->lookup->nvars++;

    v->get_handler = ngx_http_apiscale_geo_variable;
    v->data = (uintptr_t) var;

    gmcf->vars++;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_geo_path(ngx_conf_t *cf, ngx_http_apiscale_geo_var_t *var,
    ngx_uint_t from)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (cf->args->nelts == from) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no path for variable \"%V\"", &value[0]);
        return NGX_CONF_ERROR;
    }

    var->path = ngx_pcalloc(cf->pool, (cf->args->nelts - from + 1)
                                      * sizeof(const char *));
    if (var->path == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = from; i < cf->args->nelts; i++) {

        if (value[i].len == 0 || ngx_strlen(value[i].data) != value[i].len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid path element \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        var->path[i - from] = (const char *) value[i].data;
    }

    return NGX_CONF_OK;
}


/* the file of this name, loaded now unless another block did it */

static ngx_http_apiscale_geo_file_t *
ngx_http_apiscale_geo_file(ngx_conf_t *cf,
    ngx_http_apiscale_geo_main_conf_t *gmcf, ngx_str_t *name)
{
    ngx_str_t                       full;
    ngx_uint_t                      i;
    ngx_pool_cleanup_t             *cln;
    ngx_apiscale_mmdb_error_t       error;
    ngx_http_apiscale_geo_file_t  **files, *file;

    full = *name;

    if (ngx_conf_full_name(cf->cycle, &full, 1) != NGX_OK) {
        return NULL;
    }

    files = gmcf->files.elts;

    for (i = 0; i < gmcf->files.nelts; i++) {

        if (files[i]->name.len == full.len
            && ngx_strncmp(files[i]->name.data, full.data, full.len) == 0)
        {
            return files[i];
        }
    }

    file = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_geo_file_t));
    if (file == NULL) {
        return NULL;
    }

    file->name = full;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_apiscale_geo_cleanup;
    cln->data = file;

    if (ngx_apiscale_mmdb_load(&file->mmdb, &full, &file->id, &error, cf->log)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", error.text);
        return NULL;
    }

    file->serial = 1;
    file->loaded = ngx_time();

    files = ngx_array_push(&gmcf->files);
    if (files == NULL) {
        return NULL;
    }

    *files = file;

    return file;
}


static void
ngx_http_apiscale_geo_cleanup(void *data)
{
    ngx_http_apiscale_geo_file_t *file = data;

    if (file->mmdb) {
        ngx_apiscale_mmdb_free(file->mmdb);
    }
}


static ngx_http_apiscale_geo_lookup_t *
ngx_http_apiscale_geo_lookup(ngx_conf_t *cf,
    ngx_http_apiscale_geo_main_conf_t *gmcf,
    ngx_http_apiscale_geo_file_t *file, ngx_str_t *source)
{
    ngx_uint_t                         i;
    ngx_http_apiscale_geo_lookup_t   **lookups, *lookup;
    ngx_http_compile_complex_value_t   ccv;

    /* the address itself is at hand, and not what nginx has cached */

    if (source->len == 12
        && ngx_strncmp(source->data, "$remote_addr", 12) == 0)
    {
        ngx_str_null(source);
    }

    lookups = gmcf->lookups.elts;

    for (i = 0; i < gmcf->lookups.nelts; i++) {

        lookup = lookups[i];

        if (lookup->file == file && lookup->source_text.len == source->len
            && ngx_strncmp(lookup->source_text.data, source->data,
                           source->len)
               == 0)
        {
            return lookup;
        }
    }

    lookup = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_geo_lookup_t));
    if (lookup == NULL) {
        return NULL;
    }

    lookup->file = file;
    lookup->source_text = *source;
    lookup->index = gmcf->lookups.nelts;

    if (source->len) {
        lookup->source = ngx_palloc(cf->pool,
                                    sizeof(ngx_http_complex_value_t));
        if (lookup->source == NULL) {
            return NULL;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = source;
        ccv.complex_value = lookup->source;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NULL;
        }
    }

    lookups = ngx_array_push(&gmcf->lookups);
    if (lookups == NULL) {
        return NULL;
    }

    *lookups = lookup;

    return lookup;
}


static void *
ngx_http_apiscale_geo_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apiscale_geo_main_conf_t  *gmcf;

    gmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_geo_main_conf_t));
    if (gmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&gmcf->files, cf->pool, 2,
                       sizeof(ngx_http_apiscale_geo_file_t *))
        != NGX_OK
        || ngx_array_init(&gmcf->lookups, cf->pool, 2,
                          sizeof(ngx_http_apiscale_geo_lookup_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return gmcf;
}
