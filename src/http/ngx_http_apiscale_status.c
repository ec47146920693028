
/*
 * Copyright (C) apiscale authors
 */


/*
 * The status page: the sections that the features registered, in the format
 * that the client asks for.
 */


#include "ngx_http_apiscale.h"
#include "ngx_apiscale_time.h"


#define NGX_HTTP_APISCALE_STATUS_CHUNK  16384


typedef enum {
    NGX_HTTP_APISCALE_STATUS_JSON = 0,
    NGX_HTTP_APISCALE_STATUS_PROMETHEUS,
    NGX_HTTP_APISCALE_STATUS_UNKNOWN
} ngx_http_apiscale_status_format_e;


typedef struct {
    uint64_t  start_us;                   /* of nginx, Unix time */
} ngx_http_apiscale_status_conf_t;


/*
 * The quality (0..1000) of a representation, as the most specific media range
 * of Accept gives it (RFC 9110, 12.5.1).
 */

typedef struct {
    ngx_str_t   type;                     /* "application/json" */
    ngx_uint_t  rank;                     /* of the range that decided */
    ngx_uint_t  q;
} ngx_http_apiscale_status_quality_t;


static ngx_int_t ngx_http_apiscale_status_handler(ngx_http_request_t *r);
static ngx_http_apiscale_status_format_e ngx_http_apiscale_status_format(
    ngx_http_request_t *r);
static void ngx_http_apiscale_status_accept(ngx_str_t *value,
    ngx_http_apiscale_status_quality_t *qualities, ngx_uint_t n);
static u_char *ngx_http_apiscale_status_range(u_char *p, u_char *last,
    ngx_str_t *type, ngx_uint_t *q);
static u_char *ngx_http_apiscale_status_token(u_char *p, u_char *last,
    ngx_str_t *token);
static ngx_uint_t ngx_http_apiscale_status_q(u_char *p, u_char *last);
static ngx_uint_t ngx_http_apiscale_status_rank(ngx_str_t *range,
    ngx_str_t *type);
static void ngx_http_apiscale_status_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_status_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static ngx_int_t ngx_http_apiscale_status_send(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_status_zones_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_status_zones_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static char *ngx_http_apiscale_status_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void *ngx_http_apiscale_status_create_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_apiscale_status_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_apiscale_status_commands[] = {

    { ngx_string("apiscale_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_apiscale_status_set,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_status_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apiscale_status_init,         /* postconfiguration */

    ngx_http_apiscale_status_create_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_status_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_status_module_ctx,  /* module context */
    ngx_http_apiscale_status_commands,     /* module directives */
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


static const ngx_http_apiscale_section_t  ngx_http_apiscale_status_zones = {
    ngx_string("zones"),
    ngx_http_apiscale_status_zones_json,
    ngx_http_apiscale_status_zones_prometheus
};


static const ngx_http_apiscale_problem_t
    ngx_http_apiscale_status_bad_method =
{
    ngx_string("method-not-allowed"),
    ngx_null_string,
    ngx_string("Method not allowed")
};


static const ngx_http_apiscale_problem_t
    ngx_http_apiscale_status_bad_format =
{
    ngx_string("unknown-format"),
    ngx_null_string,
    ngx_string("Unknown format")
};


static ngx_int_t
ngx_http_apiscale_status_handler(ngx_http_request_t *r)
{
    ngx_str_t                          detail;
    ngx_int_t                          rc;
    ngx_apiscale_text_t                t;
    ngx_http_apiscale_status_format_e  format;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        if (ngx_http_apiscale_header(r, "Allow", (u_char *) "GET, HEAD",
                                     sizeof("GET, HEAD") - 1)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_apiscale_reject(r, NGX_HTTP_NOT_ALLOWED,
                                        &ngx_http_apiscale_status_bad_method,
                                        NULL, NULL);
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    format = ngx_http_apiscale_status_format(r);

    if (format == NGX_HTTP_APISCALE_STATUS_UNKNOWN) {
        ngx_str_set(&detail, "\"format\" is \"json\" or \"prometheus\"");

        return ngx_http_apiscale_reject(r, NGX_HTTP_BAD_REQUEST,
                                        &ngx_http_apiscale_status_bad_format,
                                        &detail, NULL);
    }

    ngx_apiscale_text_init(&t, r->pool, NGX_HTTP_APISCALE_STATUS_CHUNK);

    if (format == NGX_HTTP_APISCALE_STATUS_JSON) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        ngx_http_apiscale_status_json(r, &t);

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4; charset=utf-8");
        ngx_http_apiscale_status_prometheus(r, &t);
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (t.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_apiscale_status_send(r, &t);
}


/*
 * The argument "format" wins over Accept.  JSON where that leaves a choice,
 * or names nothing that this page can be.
 */

static ngx_http_apiscale_status_format_e
ngx_http_apiscale_status_format(ngx_http_request_t *r)
{
    ngx_str_t                            value;
    ngx_uint_t                           i, text;
    ngx_table_elt_t                     *h;
    ngx_list_part_t                     *part;
    ngx_http_apiscale_status_quality_t   qualities[] = {
        { ngx_string("application/json"), 0, 0 },
        { ngx_string("text/plain"), 0, 0 },
        { ngx_string("application/openmetrics-text"), 0, 0 }
    };

    if (ngx_http_arg(r, (u_char *) "format", 6, &value) == NGX_OK) {

        if (value.len == 4 && ngx_strncmp(value.data, "json", 4) == 0) {
            return NGX_HTTP_APISCALE_STATUS_JSON;
        }

        if (value.len == 10 && ngx_strncmp(value.data, "prometheus", 10) == 0)
        {
            return NGX_HTTP_APISCALE_STATUS_PROMETHEUS;
        }

        return NGX_HTTP_APISCALE_STATUS_UNKNOWN;
    }

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == sizeof("Accept") - 1
            && ngx_strncasecmp(h[i].key.data, (u_char *) "Accept",
                               sizeof("Accept") - 1)
               == 0)
        {
            ngx_http_apiscale_status_accept(&h[i].value, qualities, 3);
        }
    }

    text = qualities[1].q;

    /* "application" with a wildcard means JSON */

    if (qualities[2].rank == 3) {
        text = ngx_max(text, qualities[2].q);
    }

    return text > qualities[0].q ? NGX_HTTP_APISCALE_STATUS_PROMETHEUS
                                 : NGX_HTTP_APISCALE_STATUS_JSON;
}


static void
ngx_http_apiscale_status_accept(ngx_str_t *value,
    ngx_http_apiscale_status_quality_t *qualities, ngx_uint_t n)
{
    u_char      *p, *last;
    ngx_str_t    range;
    ngx_uint_t   i, q, rank;

    p = value->data;
    last = p + value->len;

    while (p < last) {

        p = ngx_http_apiscale_status_range(p, last, &range, &q);

        for (i = 0; i < n; i++) {
            rank = ngx_http_apiscale_status_rank(&range, &qualities[i].type);

            if (rank > qualities[i].rank) {
                qualities[i].rank = rank;
                qualities[i].q = q;

            } else if (rank && rank == qualities[i].rank) {
                qualities[i].q = ngx_max(q, qualities[i].q);
            }
        }
    }
}


/*
 * Splits the media range off that begins at "p", and returns where the next
 * one does.  Parameters but for the quality are ignored.
 */

static u_char *
ngx_http_apiscale_status_range(u_char *p, u_char *last, ngx_str_t *type,
    ngx_uint_t *q)
{
    ngx_str_t  param;

    *q = 1000;

    p = ngx_http_apiscale_status_token(p, last, type);

    while (p < last && *p == ';') {

        p = ngx_http_apiscale_status_token(p + 1, last, &param);

        if (param.len > 2
            && (param.data[0] == 'q' || param.data[0] == 'Q')
            && param.data[1] == '=')
        {
            *q = ngx_http_apiscale_status_q(param.data + 2,
                                            param.data + param.len);
        }
    }

    return p < last ? p + 1 : p;
}


/* up to the next comma or semicolon outside of quotes, without white space */

static u_char *
ngx_http_apiscale_status_token(u_char *p, u_char *last, ngx_str_t *token)
{
    ngx_uint_t  quoted;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    token->data = p;

    for (quoted = 0; p < last; p++) {

        if (quoted && *p == '\\' && p + 1 < last) {
            p++;

        } else if (*p == '"') {
            quoted = !quoted;

        } else if (!quoted && (*p == ',' || *p == ';')) {
            break;
        }
    }

    token->len = p - token->data;

    while (token->len && (token->data[token->len - 1] == ' '
                          || token->data[token->len - 1] == '\t'))
    {
        token->len--;
    }

    return p;
}


/* thousandths: "0.75" is 750; a malformed quality is as if it were absent */

static ngx_uint_t
ngx_http_apiscale_status_q(u_char *p, u_char *last)
{
    ngx_uint_t  q, unit;

    if (last == p || (*p != '0' && *p != '1')) {
        return 1000;
    }

    q = (*p++ - '0') * 1000;

    if (p < last && *p++ != '.') {
        return 1000;
    }

    for (unit = 100; p < last; p++, unit /= 10) {

        if (*p < '0' || *p > '9') {
            return 1000;
        }

        q += (*p - '0') * unit;
    }

    return ngx_min(q, 1000);
}


/* how specific a range is that covers the type: 3, 2, 1; 0 if it does not */

static ngx_uint_t
ngx_http_apiscale_status_rank(ngx_str_t *range, ngx_str_t *type)
{
    u_char  *slash;

    if (range->len == 3 && ngx_strncmp(range->data, "*/*", 3) == 0) {
        return 1;
    }

    if (range->len == type->len
        && ngx_strncasecmp(range->data, type->data, type->len) == 0)
    {
        return 3;
    }

    slash = (u_char *) ngx_strchr(type->data, '/');

    if (range->len == (size_t) (slash - type->data) + 2
        && ngx_strncasecmp(range->data, type->data, range->len - 1) == 0
        && range->data[range->len - 1] == '*')
    {
        return 2;
    }

    return 0;
}


static void
ngx_http_apiscale_status_json(ngx_http_request_t *r, ngx_apiscale_text_t *t)
{
    uint64_t                             now;
    ngx_uint_t                           i;
    ngx_array_t                         *sections;
    ngx_http_apiscale_status_conf_t     *scf;
    const ngx_http_apiscale_section_t  **section;

    scf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_status_module);

    now = ngx_apiscale_unix_us();

    ngx_apiscale_text_literal(t, "{\"version\":\""
                                 NGX_HTTP_APISCALE_VERSION
                                 "\",\"nginx\":\"" NGINX_VERSION
                                 "\",\"pid\":");
    ngx_apiscale_text_uint(t, ngx_pid);
    ngx_apiscale_text_literal(t, ",\"time\":");
    ngx_apiscale_text_seconds(t, now);
    ngx_apiscale_text_literal(t, ",\"start\":");
    ngx_apiscale_text_seconds(t, scf->start_us);
    ngx_apiscale_text_literal(t, ",\"uptime\":");
    ngx_apiscale_text_seconds(t, now > scf->start_us ? now - scf->start_us
                                                     : 0);

    sections = ngx_http_apiscale_sections(r);
    section = sections->elts;

    for (i = 0; i < sections->nelts; i++) {

        if (section[i]->json == NULL) {
            continue;
        }

        ngx_apiscale_text_literal(t, ",");
        ngx_apiscale_text_json(t, &section[i]->name);
        ngx_apiscale_text_literal(t, ":");

        section[i]->json(r, t);
    }

    ngx_apiscale_text_literal(t, "}\n");
}


static void
ngx_http_apiscale_status_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    ngx_uint_t                           i;
    ngx_array_t                         *sections;
    ngx_http_apiscale_status_conf_t     *scf;
    const ngx_http_apiscale_section_t  **section;

    scf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_status_module);

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_build_info Versions of apiscale and nginx.\n"
        "# TYPE apiscale_build_info gauge\n"
        "apiscale_build_info{version=\"" NGX_HTTP_APISCALE_VERSION
        "\",nginx=\"" NGINX_VERSION "\"} 1\n"
        "# HELP apiscale_start_time_seconds Unix time at which nginx "
        "started.\n"
        "# TYPE apiscale_start_time_seconds gauge\n"
        "apiscale_start_time_seconds ");
    ngx_apiscale_text_seconds(t, scf->start_us);
    ngx_apiscale_text_literal(t, "\n");

    sections = ngx_http_apiscale_sections(r);
    section = sections->elts;

    for (i = 0; i < sections->nelts; i++) {
        if (section[i]->prometheus) {
            section[i]->prometheus(r, t);
        }
    }
}


static ngx_int_t
ngx_http_apiscale_status_send(ngx_http_request_t *r, ngx_apiscale_text_t *t)
{
    ngx_int_t     rc;
    ngx_chain_t  *cl;

    if (ngx_http_apiscale_header(r, "Cache-Control", (u_char *) "no-store",
                                 sizeof("no-store") - 1)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = t->size;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    for (cl = t->out; cl->next; cl = cl->next) { /* void */ }

    cl->buf->last_buf = (r == r->main) ? 1 : 0;
    cl->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, t->out);
}


static void
ngx_http_apiscale_status_zones_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    ngx_uint_t                 i;
    ngx_array_t               *zones;
    ngx_http_apiscale_zone_t  *z;

    zones = ngx_http_apiscale_zones(r);
    z = zones->elts;

    ngx_apiscale_text_literal(t, "[");

    for (i = 0; i < zones->nelts; i++) {

        if (i) {
            ngx_apiscale_text_literal(t, ",");
        }

        ngx_apiscale_text_literal(t, "{\"zone\":");
        ngx_apiscale_text_json(t, &z[i].zone->shm.name);
        ngx_apiscale_text_literal(t, ",\"size\":");
        ngx_apiscale_text_uint(t, z[i].zone->shm.size);
        ngx_apiscale_text_literal(t, ",\"used\":");
        ngx_apiscale_text_uint(t, z[i].used(z[i].zone));
        ngx_apiscale_text_literal(t, "}");
    }

    ngx_apiscale_text_literal(t, "]");
}


static void
ngx_http_apiscale_status_zones_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    ngx_uint_t                 i;
    ngx_array_t               *zones;
    ngx_http_apiscale_zone_t  *z;

    zones = ngx_http_apiscale_zones(r);
    z = zones->elts;

    if (zones->nelts == 0) {
        return;
    }

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_zone_size_bytes Size of the shared memory zone.\n"
        "# TYPE apiscale_zone_size_bytes gauge\n");

    for (i = 0; i < zones->nelts; i++) {
        ngx_apiscale_text_literal(t, "apiscale_zone_size_bytes{zone=");
        ngx_apiscale_text_label(t, &z[i].zone->shm.name);
        ngx_apiscale_text_literal(t, "} ");
        ngx_apiscale_text_uint(t, z[i].zone->shm.size);
        ngx_apiscale_text_literal(t, "\n");
    }

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_zone_used_bytes Bytes of the zone in use.\n"
        "# TYPE apiscale_zone_used_bytes gauge\n");

    for (i = 0; i < zones->nelts; i++) {
        ngx_apiscale_text_literal(t, "apiscale_zone_used_bytes{zone=");
        ngx_apiscale_text_label(t, &z[i].zone->shm.name);
        ngx_apiscale_text_literal(t, "} ");
        ngx_apiscale_text_uint(t, z[i].used(z[i].zone));
        ngx_apiscale_text_literal(t, "\n");
    }
}


static char *
ngx_http_apiscale_status_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_apiscale_status_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_apiscale_status_handler;

    return NGX_CONF_OK;
}


/*
 * The start of nginx is that of the first configuration: a reload takes it
 * over from the running one, if that had this module.
 */

static void *
ngx_http_apiscale_status_create_conf(ngx_conf_t *cf)
{
    ngx_uint_t                        i;
    ngx_http_conf_ctx_t              *ctx;
    ngx_http_apiscale_status_conf_t  *scf, *old;

    scf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_status_conf_t));
    if (scf == NULL) {
        return NULL;
    }

    scf->start_us = ngx_apiscale_unix_us();

    if (ngx_cycle == NULL
        || ngx_cycle->modules == NULL
        || ngx_cycle->conf_ctx == NULL)
    {
        return scf;
    }

    for (i = 0; ngx_cycle->modules[i]; i++) {

        if (ngx_cycle->modules[i] != &ngx_http_apiscale_status_module) {
            continue;
        }

        ctx = (ngx_http_conf_ctx_t *)
                                  ngx_cycle->conf_ctx[ngx_http_module.index];
        if (ctx == NULL) {
            break;
        }

        old = ctx->main_conf[ngx_http_apiscale_status_module.ctx_index];
        if (old) {
            scf->start_us = old->start_us;
        }
    }

    return scf;
}


static ngx_int_t
ngx_http_apiscale_status_init(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_section(cf, &ngx_http_apiscale_status_zones);
}
