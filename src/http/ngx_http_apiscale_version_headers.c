
/*
 * Copyright (C) apiscale authors
 */


/*
 * What clients of an old version are told: Deprecation (RFC 9745), Sunset
 * (RFC 8594) and Link, on every response, those of errors included; and
 * URIs in the client's own encoding, with another version or with none.
 */


#include "ngx_http_apiscale_version.h"


/*
 * A longer URI is not sent back in a Link: proxies have little room for the
 * header of a response, 4k or 8k in nginx, and fail without.
 */

#define NGX_HTTP_APISCALE_VERSION_MAX_LINK  2048

#define NGX_HTTP_APISCALE_VERSION_HAS_DEPRECATION  0x01
#define NGX_HTTP_APISCALE_VERSION_HAS_SUNSET       0x02
#define NGX_HTTP_APISCALE_VERSION_HAS_LINK         0x04


/* this very URI around the place of the version, safe within "<" and ">" */

typedef struct {
    ngx_str_t  head;
    ngx_str_t  tail;
} ngx_http_apiscale_version_place_t;


static ngx_uint_t ngx_http_apiscale_version_stated(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_version_add_link(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_version_place(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx,
    ngx_http_apiscale_version_place_t *place);
static ngx_int_t ngx_http_apiscale_version_place_normalised(
    ngx_http_request_t *r, ngx_http_apiscale_version_ctx_t *ctx,
    ngx_http_apiscale_version_place_t *place);
static ngx_int_t ngx_http_apiscale_version_escaped(ngx_http_request_t *r,
    ngx_str_t *uri, ngx_str_t *args, ngx_str_t *out);
static ngx_int_t ngx_http_apiscale_version_safe(ngx_http_request_t *r,
    ngx_str_t *s);


/*
 * Adds the headers of a version that is deprecated, or announces its end.
 */

ngx_int_t
ngx_http_apiscale_version_headers(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec)
{
    ngx_uint_t                        stated;
    ngx_http_apiscale_version_t      *v;
    ngx_http_apiscale_version_ctx_t  *ctx;

    ctx = rec->version;
    v = ctx->version;

    stated = ngx_http_apiscale_version_stated(r, ctx);

    if (v->deprecation_value.len
        && !(stated & NGX_HTTP_APISCALE_VERSION_HAS_DEPRECATION)
        && ngx_http_apiscale_header(r, "Deprecation",
                                    v->deprecation_value.data,
                                    v->deprecation_value.len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (v->sunset_value.len
        && !(stated & NGX_HTTP_APISCALE_VERSION_HAS_SUNSET)
        && ngx_http_apiscale_header(r, "Sunset", v->sunset_value.data,
                                    v->sunset_value.len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (stated & NGX_HTTP_APISCALE_VERSION_HAS_LINK) {
        return NGX_OK;
    }

    return ngx_http_apiscale_version_add_link(r, ctx);
}


/*
 * What the response says already.  An origin may know more of the resource:
 * its dates stay.  Or these are our own lines: a 416 passes the filters twice.
 */

static ngx_uint_t
ngx_http_apiscale_version_stated(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx)
{
    ngx_uint_t        i, stated;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    stated = 0;

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0) {
                continue;
            }

            switch (h[i].key.len) {

            case sizeof("Deprecation") - 1:
                if (ngx_strncasecmp(h[i].key.data, (u_char *) "Deprecation",
                                    sizeof("Deprecation") - 1)
                    == 0)
                {
                    stated |= NGX_HTTP_APISCALE_VERSION_HAS_DEPRECATION;
                }

                break;

            case sizeof("Sunset") - 1:
                if (ngx_strncasecmp(h[i].key.data, (u_char *) "Sunset",
                                    sizeof("Sunset") - 1)
                    == 0)
                {
                    stated |= NGX_HTTP_APISCALE_VERSION_HAS_SUNSET;
                }

                break;

            case sizeof("Link") - 1:
                if (h[i].value.data == ctx->link) {
                    stated |= NGX_HTTP_APISCALE_VERSION_HAS_LINK;
                }
            }
        }
    }

    return stated;
}


/* a line of our own: an origin's Link lines stay as they are */

static ngx_int_t
ngx_http_apiscale_version_add_link(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx)
{
    size_t                              len;
    u_char                             *p;
    ngx_int_t                           rc;
    ngx_str_t                           value;
    ngx_http_apiscale_version_t        *v, *s;
    ngx_http_apiscale_version_place_t   place;

    v = ctx->version;
    value = v->link_value;

    s = ngx_http_apiscale_version_successor(v, ngx_time());

    if (s) {
        rc = ngx_http_apiscale_version_place(r, ctx, &place);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            s = NULL;
        }
    }

    if (s) {
        len = value.len + place.head.len + s->name.len + place.tail.len
              + sizeof(", </v>; rel=\"successor-version\"") - 1;

        p = ngx_pnalloc(r->pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;

        if (v->link_value.len) {
            p = ngx_cpymem(p, v->link_value.data, v->link_value.len);
            *p++ = ',';
            *p++ = ' ';
        }

        *p++ = '<';
        p = ngx_cpymem(p, place.head.data, place.head.len);
        *p++ = '/';
        *p++ = 'v';
        p = ngx_cpymem(p, s->name.data, s->name.len);
        p = ngx_cpymem(p, place.tail.data, place.tail.len);
        p = ngx_cpymem(p, ">; rel=\"successor-version\"",
                       sizeof(">; rel=\"successor-version\"") - 1);

        value.len = p - value.data;
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    ctx->link = value.data;

    return ngx_http_apiscale_header(r, "Link", value.data, value.len);
}


/*
 * NGX_DECLINED if no URL can express another version: this one was not
 * named by the URI.
 */

static ngx_int_t
ngx_http_apiscale_version_place(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx,
    ngx_http_apiscale_version_place_t *place)
{
    size_t                     off, cut;
    ngx_str_t                 *raw;
    ngx_http_core_srv_conf_t  *cscf;

    raw = &r->unparsed_uri;

    if (ctx->len == 0 || raw->len > NGX_HTTP_APISCALE_VERSION_MAX_LINK) {
        return NGX_DECLINED;
    }

    if (ctx->uri.data == raw->data) {

        /* nothing was encoded: nginx uses the URI in place */

        off = ctx->off - 1;
        cut = ctx->len + 1;

    } else {
        cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

        if (apiscale_version_find_raw(raw->data, raw->len,
                                      ctx->api->prefix.data,
                                      ctx->api->prefix.len,
                                      ctx->uri.data + ctx->off, ctx->len,
                                      cscf->merge_slashes, &off, &cut)
            != APISCALE_VERSION_OK)
        {
            return ngx_http_apiscale_version_place_normalised(r, ctx, place);
        }
    }

    place->head.data = raw->data;
    place->head.len = off;

    /* "//v1/x" is relative to the scheme: "v1" would be a host */

    while (place->head.len && place->head.data[0] == '/'
           && (place->head.len == 1 || place->head.data[1] == '/'))
    {
        place->head.data++;
        place->head.len--;
    }

    place->tail.data = raw->data + off + cut;
    place->tail.len = raw->len - off - cut;

    if (ngx_http_apiscale_version_safe(r, &place->head) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_apiscale_version_safe(r, &place->tail);
}


/* where the client's own encoding cannot be kept */

static ngx_int_t
ngx_http_apiscale_version_place_normalised(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx,
    ngx_http_apiscale_version_place_t *place)
{
    ngx_str_t  head, tail, args;

    ngx_str_null(&args);

    head.data = ctx->uri.data;
    head.len = ctx->off - 1;

    tail.data = ctx->uri.data + ctx->off + ctx->len;
    tail.len = ctx->uri.len - ctx->off - ctx->len;

    if (ngx_http_apiscale_version_escaped(r, &head, &args, &place->head)
        != NGX_OK
        || ngx_http_apiscale_version_escaped(r, &tail, &ctx->args,
                                             &place->tail)
           != NGX_OK
        || ngx_http_apiscale_version_safe(r, &place->head) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apiscale_version_safe(r, &place->tail);
}


/*
 * The URI without the version as the client would have written it: in its own
 * encoding where that is possible, else escaped anew; with its arguments.
 */

ngx_int_t
ngx_http_apiscale_version_client_uri(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, ngx_str_t *uri)
{
    size_t                      len;
    u_char                     *p;
    ngx_int_t                   rc;
    ngx_str_t                   stripped;
    ngx_http_core_srv_conf_t   *cscf;
    apiscale_version_segment_t  seg;

    if (ctx->client_uri.data) {
        *uri = ctx->client_uri;
        return NGX_OK;
    }

    if (ctx->len == 0) {
        stripped = ctx->uri;

        /* "//host" would be another site, in a redirect */

        if (r->unparsed_uri.len && r->unparsed_uri.data[0] == '/'
            && (r->unparsed_uri.len == 1 || r->unparsed_uri.data[1] != '/'))
        {
            ctx->client_uri = r->unparsed_uri;
            *uri = ctx->client_uri;
            return NGX_OK;
        }

    } else {
        len = ngx_max(r->unparsed_uri.len, ctx->uri.len);

        p = ngx_pnalloc(r->pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

        if (apiscale_version_cut_raw(r->unparsed_uri.data,
                                     r->unparsed_uri.len,
                                     ctx->api->prefix.data,
                                     ctx->api->prefix.len,
                                     ctx->uri.data + ctx->off, ctx->len,
                                     cscf->merge_slashes, p, len,
                                     &ctx->client_uri.len)
            == APISCALE_VERSION_OK)
        {
            ctx->client_uri.data = p;
            *uri = ctx->client_uri;
            return NGX_OK;
        }

        seg.off = ctx->off;
        seg.len = ctx->len;

        stripped.data = p;
        stripped.len = apiscale_version_strip(ctx->uri.data, ctx->uri.len,
                                              &seg, p, len);

        /* "//host" is another site in a redirect */

        while (stripped.len > 1 && stripped.data[1] == '/'
               && stripped.data[0] == '/')
        {
            stripped.data++;
            stripped.len--;
        }
    }

    rc = ngx_http_apiscale_version_escaped(r, &stripped, &ctx->args,
                                           &ctx->client_uri);
    *uri = ctx->client_uri;

    return rc;
}


static ngx_int_t
ngx_http_apiscale_version_escaped(ngx_http_request_t *r, ngx_str_t *uri,
    ngx_str_t *args, ngx_str_t *out)
{
    u_char     *p;
    uintptr_t   escape;

    escape = 2 * ngx_escape_uri(NULL, uri->data, uri->len, NGX_ESCAPE_URI);

    p = ngx_pnalloc(r->pool, uri->len + escape + sizeof("?") - 1 + args->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;

    if (escape) {
        p = (u_char *) ngx_escape_uri(p, uri->data, uri->len, NGX_ESCAPE_URI);

    } else {
        p = ngx_cpymem(p, uri->data, uri->len);
    }

    if (args->len) {
        *p++ = '?';
        p = ngx_cpymem(p, args->data, args->len);
    }

    out->len = p - out->data;

    return NGX_OK;
}


/*
 * Percent-encodes what no URI may hold (RFC 3986), and what would end the
 * link or the header; escapes that are there stay.
 */

static ngx_int_t
ngx_http_apiscale_version_safe(ngx_http_request_t *r, ngx_str_t *s)
{
    u_char      *p, *dst, *last;
    size_t       n;

    static const u_char    hex[] = "0123456789ABCDEF";

                    /* 0x00-0x20, the quote, less and greater than; the
                       backslash, caret, backtick, braces, bar; 0x7f-0xff */

    static const uint32_t  unsafe[] = {
        0xffffffff, 0x50000005, 0x50000000, 0xb8000001,
        0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff
    };

    last = s->data + s->len;
    n = 0;

    for (p = s->data; p < last; p++) {
        n += (unsafe[*p >> 5] >> (*p & 0x1f)) & 1;
    }

    if (n == 0) {
        return NGX_OK;
    }

    dst = ngx_pnalloc(r->pool, s->len + 2 * n);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    p = s->data;
    s->data = dst;
    s->len += 2 * n;

    for ( /* void */ ; p < last; p++) {

        if ((unsafe[*p >> 5] >> (*p & 0x1f)) & 1) {
            *dst++ = '%';
            *dst++ = hex[*p >> 4];
            *dst++ = hex[*p & 0xf];

        } else {
            *dst++ = *p;
        }
    }

    return NGX_OK;
}
