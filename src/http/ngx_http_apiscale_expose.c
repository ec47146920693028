
/*
 * Copyright (C) apiscale authors
 */


/*
 * What scripts of other origins may read.  A browser shows them the fields
 * of a response that Access-Control-Expose-Headers names, and few others
 * (Fetch standard, "CORS protocol"): limits would be told in vain.  Where a
 * response allows an origin, the fields that this module has added are named
 * there.
 *
 * It is a module of its own because its filter has to run after nginx's
 * add_header, which may be what allows the origin, while the filter of the
 * umbrella runs before it; "config" gives nginx both places.
 */


#include "ngx_http_apiscale.h"


/*
 * So many names are told apart: ours, of which there are fewer, and the first
 * of those that are exposed already.
 */

#define NGX_HTTP_APISCALE_EXPOSE_NAMES  64


typedef struct {
    ngx_list_part_t   *part;
    ngx_uint_t         i;
} ngx_http_apiscale_expose_cursor_t;


typedef struct {
    ngx_str_t          names[NGX_HTTP_APISCALE_EXPOSE_NAMES];
    ngx_uint_t         nnames;
    ngx_uint_t         nown;              /* the first of them */
    ngx_str_t          value;             /* as far as it is written */
    size_t             size;              /* that it may grow to */
    ngx_table_elt_t   *line;              /* the first that exposes names */
    unsigned           all:1;             /* "*" is among the names */
    unsigned           credentials:1;     /* and would be but a name */
} ngx_http_apiscale_expose_t;


static ngx_int_t ngx_http_apiscale_expose_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apiscale_expose_header_filter(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_apiscale_expose_allowed(ngx_http_request_t *r);
static ngx_int_t ngx_http_apiscale_expose_merge(ngx_http_request_t *r);
static void ngx_http_apiscale_expose_collect(ngx_http_request_t *r,
    ngx_http_apiscale_expose_t *e);
static void ngx_http_apiscale_expose_stated(ngx_http_apiscale_expose_t *e,
    ngx_str_t *value);
static void ngx_http_apiscale_expose_append(ngx_http_apiscale_expose_t *e,
    const ngx_str_t *name);
static ngx_uint_t ngx_http_apiscale_expose_is_safe(const ngx_str_t *name);
static ngx_table_elt_t *ngx_http_apiscale_expose_next(
    ngx_http_apiscale_expose_cursor_t *c);
static ngx_uint_t ngx_http_apiscale_expose_is(const ngx_str_t *s,
    const ngx_str_t *name);


static ngx_http_module_t  ngx_http_apiscale_expose_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apiscale_expose_init,         /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_expose_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_expose_module_ctx,  /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static const ngx_str_t  ngx_http_apiscale_expose_allow_origin =
    ngx_string("Access-Control-Allow-Origin");

static const ngx_str_t  ngx_http_apiscale_expose_allow_credentials =
    ngx_string("Access-Control-Allow-Credentials");

static const ngx_str_t  ngx_http_apiscale_expose_headers =
    ngx_string("Access-Control-Expose-Headers");


/* fields that scripts may read in any case */

static const ngx_str_t  ngx_http_apiscale_expose_safe[] = {
    ngx_string("Cache-Control"),
    ngx_string("Content-Language"),
    ngx_string("Content-Length"),
    ngx_string("Content-Type"),
    ngx_string("Expires"),
    ngx_string("Last-Modified"),
    ngx_string("Pragma")
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


static ngx_int_t
ngx_http_apiscale_expose_header_filter(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    /* a record that was lost has been found again by the umbrella's filter */

    rec = ngx_http_get_module_ctx(r, ngx_http_apiscale_module);

    if (rec
        && rec->filters & (NGX_HTTP_APISCALE_VERSIONS|NGX_HTTP_APISCALE_LIMIT)
        && r == r->main
        && ngx_http_apiscale_expose_allowed(r)
        && ngx_http_apiscale_expose_merge(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* this alone is done for each response that may have fields of ours */

static ngx_uint_t
ngx_http_apiscale_expose_allowed(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("Access-Control-Allow-Origin") - 1
                && h[i].hash
                && h[i].value.len
                && ngx_http_apiscale_expose_is(&h[i].key,
                                       &ngx_http_apiscale_expose_allow_origin))
            {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * Leaves one line, which names what was exposed already, then what this module
 * has added.  "*" is all of it, unless the response allows credentials: to
 * requests that have some it names a field of that name.
 */

static ngx_int_t
ngx_http_apiscale_expose_merge(ngx_http_request_t *r)
{
    ngx_uint_t                          i;
    ngx_table_elt_t                    *h;
    ngx_http_apiscale_expose_t          e;
    ngx_http_apiscale_expose_cursor_t   c;

    ngx_http_apiscale_expose_collect(r, &e);

    if (e.nown == 0) {
        return NGX_OK;
    }

    e.value.data = ngx_pnalloc(r->pool, e.size);
    if (e.value.data == NULL) {
        return NGX_ERROR;
    }

    c.part = &r->headers_out.headers.part;
    c.i = 0;

    while ((h = ngx_http_apiscale_expose_next(&c)) != NULL) {
        if (ngx_http_apiscale_expose_is(&h->key,
                                        &ngx_http_apiscale_expose_headers))
        {
            ngx_http_apiscale_expose_stated(&e, &h->value);
        }
    }

    if (e.all && !e.credentials) {
        return NGX_OK;
    }

    for (i = 0; i < e.nown; i++) {
        ngx_http_apiscale_expose_append(&e, &e.names[i]);
    }

    if (e.line == NULL) {
        return ngx_http_apiscale_add_header(r,
                          (char *) ngx_http_apiscale_expose_headers.data,
                          ngx_http_apiscale_expose_headers.len,
                          e.value.data, e.value.len);
    }

    c.part = &r->headers_out.headers.part;
    c.i = 0;

    while ((h = ngx_http_apiscale_expose_next(&c)) != NULL) {
        if (ngx_http_apiscale_expose_is(&h->key,
                                        &ngx_http_apiscale_expose_headers))
        {
            h->hash = 0;
        }
    }

    e.line->hash = 1;
    e.line->value = e.value;

    return NGX_OK;
}


/*
 * Finds the names of our own lines, and what else has to be known before a
 * value can be written.  A response may come here twice (an error after our
 * filter): a line that was added here is one that exposes names by then.
 */

static void
ngx_http_apiscale_expose_collect(ngx_http_request_t *r,
    ngx_http_apiscale_expose_t *e)
{
    ngx_uint_t                          i;
    ngx_table_elt_t                    *h;
    ngx_http_apiscale_expose_cursor_t   c;

    e->nown = 0;
    e->size = 0;
    e->line = NULL;
    e->value.len = 0;
    e->all = 0;
    e->credentials = 0;

    c.part = &r->headers_out.headers.part;
    c.i = 0;

    while ((h = ngx_http_apiscale_expose_next(&c)) != NULL) {

        if (ngx_http_apiscale_expose_is(&h->key,
                                        &ngx_http_apiscale_expose_headers))
        {
            e->size += h->value.len + sizeof(", ") - 1;

            /* a comma may become a comma and a space */

            for (i = 0; i < h->value.len; i++) {
                e->size += h->value.data[i] == ',';
            }

            if (e->line == NULL) {
                e->line = h;
            }

            continue;
        }

        if (ngx_http_apiscale_expose_is(&h->key,
                                  &ngx_http_apiscale_expose_allow_credentials))
        {
            e->credentials |= h->value.len == sizeof("true") - 1
                              && ngx_memcmp(h->value.data, "true",
                                            sizeof("true") - 1)
                                 == 0;
            continue;
        }

        if (h->hash != NGX_HTTP_APISCALE_LINE
            || e->nown == NGX_HTTP_APISCALE_EXPOSE_NAMES
            || ngx_http_apiscale_expose_is_safe(&h->key))
        {
            continue;
        }

        for (i = 0; i < e->nown; i++) {
            if (ngx_http_apiscale_expose_is(&h->key, &e->names[i])) {
                break;
            }
        }

        if (i == e->nown) {
            e->names[e->nown++] = h->key;
            e->size += h->key.len + sizeof(", ") - 1;
        }
    }

    e->nnames = e->nown;
}


/*
 * Takes over the names of a line that are neither ours nor there already.
 */

static void
ngx_http_apiscale_expose_stated(ngx_http_apiscale_expose_t *e,
    ngx_str_t *value)
{
    u_char      *p, *last, *comma;
    ngx_str_t    name;
    ngx_uint_t   i;

    last = value->data + value->len;

    for (p = value->data; p < last; p = comma + 1) {

        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        name.data = p;
        name.len = comma - p;

        while (name.len && (name.data[0] == ' ' || name.data[0] == '\t')) {
            name.data++;
            name.len--;
        }

        while (name.len && (name.data[name.len - 1] == ' '
                            || name.data[name.len - 1] == '\t'))
        {
            name.len--;
        }

        if (name.len == 0) {
            continue;
        }

        if (name.len == 1 && name.data[0] == '*') {
            e->all = 1;
        }

        for (i = 0; i < e->nnames; i++) {
            if (ngx_http_apiscale_expose_is(&name, &e->names[i])) {
                break;
            }
        }

        if (i < e->nnames) {
            continue;
        }

        if (e->nnames < NGX_HTTP_APISCALE_EXPOSE_NAMES) {
            e->names[e->nnames++] = name;
        }

        ngx_http_apiscale_expose_append(e, &name);
    }
}


static void
ngx_http_apiscale_expose_append(ngx_http_apiscale_expose_t *e,
    const ngx_str_t *name)
{
    u_char  *p;

    p = e->value.data + e->value.len;

    if (e->value.len) {
        *p++ = ',';
        *p++ = ' ';
    }

    p = ngx_cpymem(p, name->data, name->len);

    e->value.len = p - e->value.data;
}


static ngx_uint_t
ngx_http_apiscale_expose_is_safe(const ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0;
         i < sizeof(ngx_http_apiscale_expose_safe)
             / sizeof(ngx_http_apiscale_expose_safe[0]);
         i++)
    {
        if (ngx_http_apiscale_expose_is(name,
                                        &ngx_http_apiscale_expose_safe[i]))
        {
            return 1;
        }
    }

    return 0;
}


/* the next line that will be sent */

static ngx_table_elt_t *
ngx_http_apiscale_expose_next(ngx_http_apiscale_expose_cursor_t *c)
{
    ngx_table_elt_t  *h;

    for ( ;; ) {

        while (c->i >= c->part->nelts) {
            if (c->part->next == NULL) {
                return NULL;
            }

            c->part = c->part->next;
            c->i = 0;
        }

        h = c->part->elts;
        h += c->i++;

        if (h->hash) {
            return h;
        }
    }
}


static ngx_uint_t
ngx_http_apiscale_expose_is(const ngx_str_t *s, const ngx_str_t *name)
{
    return s->len == name->len
           && ngx_strncasecmp(s->data, name->data, name->len) == 0;
}


static ngx_int_t
ngx_http_apiscale_expose_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apiscale_expose_header_filter;

    return NGX_OK;
}
