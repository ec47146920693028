
/*
 * Copyright (C) apiscale authors
 */


/*
 * Which version of an API a request asks for, decided once, before nginx
 * chooses the location: the rest of nginx, and all other features, know it
 * from variables and from the URI without it.
 */


#include "ngx_http_apiscale_version.h"


#define NGX_HTTP_APISCALE_VERSION_MAX_TOKEN  32      /* shown of an unknown */

/* nginx has no name for it */
#define NGX_HTTP_APISCALE_GONE               410


static ngx_uint_t ngx_http_apiscale_version_announced(
    ngx_http_apiscale_version_ctx_t *ctx);
static ngx_http_apiscale_version_api_t *ngx_http_apiscale_version_api(
    ngx_http_request_t *r, apiscale_version_segment_t *seg);
static ngx_int_t ngx_http_apiscale_version_ask(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, apiscale_version_segment_t *seg,
    ngx_str_t *name);
static ngx_int_t ngx_http_apiscale_version_ask_default(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, ngx_str_t *name);
static ngx_int_t ngx_http_apiscale_version_rewrite(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_version_none(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_version_unknown(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, ngx_str_t *name);
static ngx_int_t ngx_http_apiscale_version_gone(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx);
static void ngx_http_apiscale_version_supported(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_apiscale_text_t *t);
static void ngx_http_apiscale_version_sunset(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_apiscale_text_t *t);

static ngx_http_apiscale_version_ctx_t *ngx_http_apiscale_version_get_ctx(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_apiscale_version_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apiscale_version_uri_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


typedef enum {
    NGX_HTTP_APISCALE_VERSION_VAR_VERSION = 0,
    NGX_HTTP_APISCALE_VERSION_VAR_STATUS,
    NGX_HTTP_APISCALE_VERSION_VAR_SOURCE,
    NGX_HTTP_APISCALE_VERSION_VAR_API
} ngx_http_apiscale_version_var_e;


/* by ngx_http_apiscale_version_status_e */

const ngx_str_t  ngx_http_apiscale_version_statuses[] = {
    ngx_string("current"),
    ngx_string("deprecated"),
    ngx_string("sunset")
};


/* by ngx_http_apiscale_version_source_e */

static const ngx_str_t  ngx_http_apiscale_version_sources[] = {
    ngx_null_string,
    ngx_string("path"),
    ngx_string("default")
};


static const ngx_http_apiscale_problem_t
    ngx_http_apiscale_version_unspecified_problem =
{
    ngx_string("version-unspecified"),
    ngx_null_string,
    ngx_string("API version not specified")
};


static const ngx_http_apiscale_problem_t
    ngx_http_apiscale_version_unknown_problem =
{
    ngx_string("version-unknown"),
    ngx_null_string,
    ngx_string("Unknown API version")
};


static const ngx_http_apiscale_problem_t
    ngx_http_apiscale_version_sunset_problem =
{
    ngx_string("version-sunset"),
    ngx_null_string,
    ngx_string("API version no longer available")
};


static ngx_http_variable_t  ngx_http_apiscale_version_vars[] = {

    { ngx_string("apiscale_version"), NULL,
      ngx_http_apiscale_version_variable,
      NGX_HTTP_APISCALE_VERSION_VAR_VERSION,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_version_status"), NULL,
      ngx_http_apiscale_version_variable,
      NGX_HTTP_APISCALE_VERSION_VAR_STATUS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_version_source"), NULL,
      ngx_http_apiscale_version_variable,
      NGX_HTTP_APISCALE_VERSION_VAR_SOURCE,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_api"), NULL,
      ngx_http_apiscale_version_variable,
      NGX_HTTP_APISCALE_VERSION_VAR_API,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_uri"), NULL,
      ngx_http_apiscale_version_uri_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/*
 * The handler of the server rewrite phase.  NGX_DECLINED, or the status of
 * an error.  An internal redirect comes here again and finds all decided,
 * as well when it leads from outside of an API into it.
 */

ngx_int_t
ngx_http_apiscale_version_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_str_t                         name;
    apiscale_version_segment_t        seg;
    ngx_http_apiscale_request_t      *rec;
    ngx_http_apiscale_version_api_t  *api;
    ngx_http_apiscale_version_ctx_t  *ctx;

    if (r != r->main || r->internal) {
        return NGX_DECLINED;
    }

    api = ngx_http_apiscale_version_api(r, &seg);

    if (api == NULL) {
        return NGX_DECLINED;
    }

    rec = ngx_http_apiscale_make_request(r);
    if (rec == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rec->version) {
        return NGX_DECLINED;
    }

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_apiscale_version_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->api = api;
    ctx->version = NULL;
    ctx->status = NGX_HTTP_APISCALE_VERSION_CURRENT;
    ctx->source = NGX_HTTP_APISCALE_VERSION_NO_SOURCE;
    ctx->uri = r->uri;
    ctx->args = r->args;
    ctx->off = seg.off;
    ctx->len = seg.len;
    ctx->client_uri.data = NULL;
    ctx->link = NULL;

    rec->version = ctx;

    rc = ngx_http_apiscale_version_ask(r, ctx, &seg, &name);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_apiscale_version_none(r, ctx);
    }

    if (ctx->version == NULL) {
        return ngx_http_apiscale_version_unknown(r, ctx, &name);
    }

    ctx->status = ngx_http_apiscale_version_status(ctx->version, ngx_time());

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "apiscale version: \"%V\" of \"%V\", status:%ui",
                   &ctx->version->name, &api->name, ctx->status);

    if (ngx_http_apiscale_version_announced(ctx)) {
        rec->filters |= NGX_HTTP_APISCALE_VERSIONS;
    }

    if (ctx->status == NGX_HTTP_APISCALE_VERSION_SUNSET
        && !ngx_http_apiscale_preflight(r))
    {
        return ngx_http_apiscale_version_gone(r, ctx);
    }

    return ngx_http_apiscale_version_rewrite(r, ctx);
}


/* a sunset without a date of deprecation is announced from the beginning */

static ngx_uint_t
ngx_http_apiscale_version_announced(ngx_http_apiscale_version_ctx_t *ctx)
{
    return ctx->status != NGX_HTTP_APISCALE_VERSION_CURRENT
           || (ctx->version->sunset_value.len
               && ctx->version->deprecation_value.len == 0);
}


/*
 * The API of the server with the longest prefix that the URI is under, and
 * the segment that names a version there, of length 0 if none does.
 */

static ngx_http_apiscale_version_api_t *
ngx_http_apiscale_version_api(ngx_http_request_t *r,
    apiscale_version_segment_t *seg)
{
    ngx_uint_t                             i;
    ngx_http_apiscale_version_api_t      **apis, *api;
    ngx_http_apiscale_version_srv_conf_t  *scf;

    scf = ngx_http_get_module_srv_conf(r, ngx_http_apiscale_version_module);

    if (scf->apis == NULL) {
        return NULL;
    }

    apis = scf->apis->elts;

    for (i = 0; i < scf->apis->nelts; i++) {

        api = apis[i];

        if (apiscale_version_segment(r->uri.data, r->uri.len,
                                     api->prefix.data, api->prefix.len,
                                     api->names.elts, api->names.nelts, seg)
            == APISCALE_VERSION_OK)
        {
            return api;
        }

        if (apiscale_version_prefix(r->uri.data, r->uri.len,
                                    api->prefix.data, api->prefix.len))
        {
            seg->off = 0;
            seg->len = 0;
            return api;
        }
    }

    return NULL;
}


/*
 * Asks the sources in their order.  NGX_OK with ctx->source set, and
 * ctx->version unless it is unknown; "name" is then what was asked for.
 * NGX_DECLINED if no source names a version.
 */

static ngx_int_t
ngx_http_apiscale_version_ask(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, apiscale_version_segment_t *seg,
    ngx_str_t *name)
{
    ngx_http_apiscale_version_t  *v;

    if (seg->len == 0) {
        return ngx_http_apiscale_version_ask_default(r, ctx, name);
    }

    ctx->source = NGX_HTTP_APISCALE_VERSION_PATH;

    if (seg->name != APISCALE_VERSION_UNKNOWN) {
        v = ctx->api->versions.elts;
        ctx->version = &v[seg->name];
        return NGX_OK;
    }

    name->data = (u_char *) seg->token;
    name->len = seg->token_len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_version_ask_default(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, ngx_str_t *name)
{
    ngx_uint_t                            i;
    ngx_http_apiscale_version_api_t      *api;
    ngx_http_apiscale_version_default_t  *def;

    api = ctx->api;

    if (api->defaults == NULL) {
        return NGX_DECLINED;
    }

    def = api->defaults->elts;

    for (i = 0; i < api->defaults->nelts; i++) {

        if (def[i].version) {
            ctx->version = def[i].version;
            ctx->source = NGX_HTTP_APISCALE_VERSION_DEFAULT;
            return NGX_OK;
        }

        if (ngx_http_complex_value(r, &def[i].value, name) != NGX_OK) {
            return NGX_ERROR;
        }

        if (name->len) {
            ctx->version = ngx_http_apiscale_version_find(api, name->data,
                                                          name->len);
            ctx->source = NGX_HTTP_APISCALE_VERSION_DEFAULT;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * The declared version of exactly this name, without "v"; NULL if there is
 * none.
 */

ngx_http_apiscale_version_t *
ngx_http_apiscale_version_find(ngx_http_apiscale_version_api_t *api,
    u_char *name, size_t len)
{
    ngx_uint_t                    i;
    ngx_http_apiscale_version_t  *v;

    v = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (v[i].name.len == len
            && ngx_memcmp(v[i].name.data, name, len) == 0)
        {
            return &v[i];
        }
    }

    return NULL;
}


/*
 * Where a version stands in its life at "now".
 */

ngx_uint_t
ngx_http_apiscale_version_status(ngx_http_apiscale_version_t *v, int64_t now)
{
    if (now >= v->sunset) {
        return NGX_HTTP_APISCALE_VERSION_SUNSET;
    }

    if (now >= v->deprecated) {
        return NGX_HTTP_APISCALE_VERSION_DEPRECATED;
    }

    return NGX_HTTP_APISCALE_VERSION_CURRENT;
}


/*
 * The version to which clients of "v" are to move: the first of its
 * successors that is still served, NULL if there is none.
 */

ngx_http_apiscale_version_t *
ngx_http_apiscale_version_successor(ngx_http_apiscale_version_t *v,
    int64_t now)
{
    for (v = v->successor; v; v = v->successor) {

        if (now < v->sunset) {
            return v;
        }
    }

    return NULL;
}


/*
 * Gives the location its URI, as "rewrite" does in the server, but the request
 * stays the client's own: "internal" locations are closed to it.
 */

static ngx_int_t
ngx_http_apiscale_version_rewrite(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx)
{
    size_t                            size, len;
    u_char                           *p;
    apiscale_version_segment_t        seg;
    ngx_http_apiscale_version_api_t  *api;

    api = ctx->api;

    switch (api->rewrite) {

    case NGX_HTTP_APISCALE_VERSION_STRIP:

        if (ctx->len == 0) {
            return NGX_DECLINED;
        }

        size = r->uri.len;
        break;

    case NGX_HTTP_APISCALE_VERSION_KEEP:

        if (ctx->len) {
            return NGX_DECLINED;
        }

        size = r->uri.len + sizeof("/v") - 1 + ctx->version->name.len;
        break;

    default: /* NGX_HTTP_APISCALE_VERSION_OFF */
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->len) {
        seg.off = ctx->off;
        seg.len = ctx->len;

        len = apiscale_version_strip(r->uri.data, r->uri.len, &seg, p, size);

    } else {
        len = apiscale_version_insert(r->uri.data, r->uri.len,
                                      api->prefix.data, api->prefix.len, NULL,
                                      ctx->version->name.data,
                                      ctx->version->name.len, p, size);
    }

    if (len == 0) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->uri.data = p;
    r->uri.len = len;
    r->valid_unparsed_uri = 0;

    /* the last segment, and so the extension, is another only then */

    if (ctx->off + ctx->len == ctx->uri.len) {
        ngx_http_set_exten(r);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "apiscale version uri: \"%V\"", &r->uri);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_apiscale_version_none(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx)
{
    ngx_str_t  detail = ngx_string("The URI does not name a version, "
                                   "and there is no default.");

    if (ngx_http_apiscale_preflight(r)) {
        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "no version of API \"%V\" specified", &ctx->api->name);

    return ngx_http_apiscale_reject(r, NGX_HTTP_BAD_REQUEST,
                              &ngx_http_apiscale_version_unspecified_problem,
                              &detail, ngx_http_apiscale_version_supported);
}


/* by path it is the resource that does not exist, else the request is bad */

static ngx_int_t
ngx_http_apiscale_version_unknown(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, ngx_str_t *name)
{
    ngx_str_t   detail, token;
    ngx_uint_t  status;

    if (ngx_http_apiscale_preflight(r)) {
        return NGX_DECLINED;
    }

    token.data = name->data;
    token.len = ngx_min(name->len, NGX_HTTP_APISCALE_VERSION_MAX_TOKEN);

    detail.data = ngx_pnalloc(r->pool,
                              sizeof("API \"\" has no version \"...\".") - 1
                              + ctx->api->name.len + token.len);
    if (detail.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    detail.len = ngx_sprintf(detail.data,
                             "API \"%V\" has no version \"%V%s\".",
                             &ctx->api->name, &token,
                             token.len < name->len ? "..." : "")
                 - detail.data;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "unknown version of API \"%V\"", &ctx->api->name);

    status = ctx->source == NGX_HTTP_APISCALE_VERSION_PATH
             ? NGX_HTTP_NOT_FOUND : NGX_HTTP_BAD_REQUEST;

    return ngx_http_apiscale_reject(r, status,
                                    &ngx_http_apiscale_version_unknown_problem,
                                    &detail,
                                    ngx_http_apiscale_version_supported);
}


static ngx_int_t
ngx_http_apiscale_version_gone(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx)
{
    ngx_str_t                     detail;
    ngx_http_apiscale_version_t  *v;

    v = ctx->version;

    detail.data = ngx_pnalloc(r->pool,
                         sizeof("Version \"\" of API \"\" ended at .") - 1
                         + v->name.len + ctx->api->name.len
                         + v->sunset_date.len);
    if (detail.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    detail.len = ngx_sprintf(detail.data,
                             "Version \"%V\" of API \"%V\" ended at %V.",
                             &v->name, &ctx->api->name, &v->sunset_date)
                 - detail.data;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "version \"%V\" of API \"%V\" is after its sunset",
                  &v->name, &ctx->api->name);

    return ngx_http_apiscale_reject(r, NGX_HTTP_APISCALE_GONE,
                                    &ngx_http_apiscale_version_sunset_problem,
                                    &detail, ngx_http_apiscale_version_sunset);
}


/* the versions that are still served */

static void
ngx_http_apiscale_version_supported(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_apiscale_text_t *t)
{
    ngx_uint_t                        i, n;
    ngx_http_apiscale_version_t      *v;
    ngx_http_apiscale_version_ctx_t  *ctx;

    ctx = rec->version;
    v = ctx->api->versions.elts;

    ngx_apiscale_text_literal(t, ",\"supported\":[");

    for (i = 0, n = 0; i < ctx->api->versions.nelts; i++) {

        if (ngx_time() >= v[i].sunset) {
            continue;
        }

        if (n++) {
            ngx_apiscale_text_literal(t, ",");
        }

        ngx_apiscale_text_json(t, &v[i].name);
    }

    ngx_apiscale_text_literal(t, "]");
}


static void
ngx_http_apiscale_version_sunset(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_apiscale_text_t *t)
{
    ngx_http_apiscale_version_t      *successor;
    ngx_http_apiscale_version_ctx_t  *ctx;

    ctx = rec->version;

    ngx_apiscale_text_literal(t, ",\"version\":");
    ngx_apiscale_text_json(t, &ctx->version->name);
    ngx_apiscale_text_literal(t, ",\"sunset\":");
    ngx_apiscale_text_json(t, &ctx->version->sunset_date);

    successor = ngx_http_apiscale_version_successor(ctx->version, ngx_time());

    if (successor) {
        ngx_apiscale_text_literal(t, ",\"successor\":");
        ngx_apiscale_text_json(t, &successor->name);
    }
}


static ngx_http_apiscale_version_ctx_t *
ngx_http_apiscale_version_get_ctx(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    rec = ngx_http_apiscale_get_request(r);

    return rec ? rec->version : NULL;
}


/* subrequests see what was decided for the main request */

static ngx_int_t
ngx_http_apiscale_version_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_str_t                  *value;
    ngx_http_apiscale_version_ctx_t  *ctx;

    ctx = ngx_http_apiscale_version_get_ctx(r);
    value = NULL;

    if (ctx) {
        switch (data) {

        case NGX_HTTP_APISCALE_VERSION_VAR_API:
            value = &ctx->api->name;
            break;

        case NGX_HTTP_APISCALE_VERSION_VAR_SOURCE:
            if (ctx->source) {
                value = &ngx_http_apiscale_version_sources[ctx->source];
            }

            break;

        case NGX_HTTP_APISCALE_VERSION_VAR_STATUS:
            if (ctx->version) {
                value = &ngx_http_apiscale_version_statuses[ctx->status];
            }

            break;

        default: /* NGX_HTTP_APISCALE_VERSION_VAR_VERSION */
            if (ctx->version) {
                value = &ctx->version->name;
            }
        }
    }

    if (value == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = value->data;
    v->len = value->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* outside of all APIs it is $request_uri */

static ngx_int_t
ngx_http_apiscale_version_uri_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                         uri;
    ngx_http_apiscale_version_ctx_t  *ctx;

    ctx = ngx_http_apiscale_version_get_ctx(r);

    if (ctx == NULL) {
        uri = r->main->unparsed_uri;

    } else if (ngx_http_apiscale_version_client_uri(r->main, ctx, &uri)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    v->data = uri.data;
    v->len = uri.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/*
 * Adds the variables, in preconfiguration.
 */

ngx_int_t
ngx_http_apiscale_version_variables(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_variables(cf, ngx_http_apiscale_version_vars);
}
