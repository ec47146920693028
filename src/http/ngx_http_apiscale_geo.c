
/*
 * Copyright (C) apiscale authors
 */


/*
 * The variables.  An address is looked up when the first of them is read, and
 * again only if the address, or the database, has become another one.
 */


#include "ngx_http_apiscale_geo.h"


typedef struct {
    ngx_str_t                   text;
    unsigned                    known:1;
    unsigned                    found:1;
} ngx_http_apiscale_geo_value_t;


/* what a request knows of a look-up: rec->geo is an array, by its index */

typedef struct {
    ngx_uint_t                      serial;       /* 0: not yet */
    ngx_apiscale_mmdb_addr_t        addr;
    ngx_int_t                       rc;           /* NGX_OK: entry is set */
    uint32_t                        entry;
    ngx_http_apiscale_geo_value_t  *values;       /* by index of variable */
} ngx_http_apiscale_geo_ctx_t;


static ngx_http_apiscale_geo_ctx_t *ngx_http_apiscale_geo_find(
    ngx_http_request_t *r, ngx_http_apiscale_geo_lookup_t *lookup);
static ngx_http_apiscale_geo_ctx_t *ngx_http_apiscale_geo_get_ctx(
    ngx_http_request_t *r, ngx_http_apiscale_geo_lookup_t *lookup);
static ngx_int_t ngx_http_apiscale_geo_addr(ngx_http_request_t *r,
    ngx_http_apiscale_geo_lookup_t *lookup, ngx_apiscale_mmdb_addr_t *addr);


/*
 * The value at the variable's path, else its default, else not found.  A
 * subrequest has the address of its main request.
 */

ngx_int_t
ngx_http_apiscale_geo_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_apiscale_geo_var_t *var = (ngx_http_apiscale_geo_var_t *) data;

    ngx_int_t                        rc;
    ngx_http_apiscale_geo_ctx_t     *ctx;
    ngx_http_apiscale_geo_value_t   *value;
    ngx_http_apiscale_geo_lookup_t  *lookup;

    lookup = var->lookup;

    ctx = ngx_http_apiscale_geo_find(r->main, lookup);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    value = &ctx->values[var->index];

    if (!value->known) {

        rc = ctx->rc;

        if (rc == NGX_OK) {
            rc = ngx_apiscale_mmdb_value(lookup->file->mmdb, ctx->entry,
                                         var->path, r->pool, &value->text);
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        value->found = (rc == NGX_OK);

        if (rc != NGX_OK && var->has_default) {
            value->text = var->def;
            value->found = 1;
        }

        value->known = 1;
    }

    if (!value->found) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = value->text.len;
    v->data = value->text.data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* NULL if memory is short, or the source cannot be evaluated */

static ngx_http_apiscale_geo_ctx_t *
ngx_http_apiscale_geo_find(ngx_http_request_t *r,
    ngx_http_apiscale_geo_lookup_t *lookup)
{
    ngx_apiscale_mmdb_addr_t       addr;
    ngx_http_apiscale_geo_ctx_t   *ctx;
    ngx_http_apiscale_geo_file_t  *file;

    if (ngx_http_apiscale_geo_addr(r, lookup, &addr) != NGX_OK) {
        return NULL;
    }

    ctx = ngx_http_apiscale_geo_get_ctx(r, lookup);
    if (ctx == NULL) {
        return NULL;
    }

    file = lookup->file;

    if (ctx->serial == file->serial
        && ngx_memcmp(&ctx->addr, &addr, sizeof(ngx_apiscale_mmdb_addr_t))
           == 0)
    {
        return ctx;
    }

    ngx_memzero(ctx->values,
                lookup->nvars * sizeof(ngx_http_apiscale_geo_value_t));

    ctx->serial = file->serial;
    ctx->addr = addr;
    ctx->rc = ngx_apiscale_mmdb_find(file->mmdb, &addr, &ctx->entry);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "apiscale geo look-up in \"%V\": %i",
                   &file->name, ctx->rc);

    return ctx;
}


static ngx_http_apiscale_geo_ctx_t *
ngx_http_apiscale_geo_get_ctx(ngx_http_request_t *r,
    ngx_http_apiscale_geo_lookup_t *lookup)
{
    ngx_http_apiscale_geo_ctx_t        *ctx;
    ngx_http_apiscale_request_t        *rec;
    ngx_http_apiscale_geo_main_conf_t  *gmcf;

    rec = ngx_http_apiscale_make_request(r);
    if (rec == NULL) {
        return NULL;
    }

    if (rec->geo == NULL) {
        gmcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_geo_module);

        rec->geo = ngx_pcalloc(r->pool,
                               gmcf->lookups.nelts
                               * sizeof(ngx_http_apiscale_geo_ctx_t));
        if (rec->geo == NULL) {
            return NULL;
        }
    }

    ctx = rec->geo;
    ctx += lookup->index;

    if (ctx->values == NULL) {
        ctx->values = ngx_palloc(r->pool, lookup->nvars
                                      * sizeof(ngx_http_apiscale_geo_value_t));
        if (ctx->values == NULL) {
            return NULL;
        }
    }

    return ctx;
}


static ngx_int_t
ngx_http_apiscale_geo_addr(ngx_http_request_t *r,
    ngx_http_apiscale_geo_lookup_t *lookup, ngx_apiscale_mmdb_addr_t *addr)
{
    ngx_str_t  text;

    if (lookup->source == NULL) {
        ngx_apiscale_mmdb_sockaddr(addr, r->connection->sockaddr);
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, lookup->source, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_apiscale_mmdb_text(addr, &text);

    return NGX_OK;
}
