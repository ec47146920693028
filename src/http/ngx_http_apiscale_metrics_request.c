
/*
 * Copyright (C) apiscale authors
 */


/*
 * What is counted of a request, and when.  Time runs from the end of the
 * request's header to the last byte of the response, by a clock that nobody
 * sets; the log phase, which may come seconds later, only records.
 */


#include "ngx_http_apiscale_metrics.h"
#include "ngx_apiscale_time.h"


typedef struct {
    uint64_t                               start_us;
    uint64_t                               first_us;
    uint64_t                               last_us;

    /* of the location that the request was first let into */
    ngx_http_apiscale_metrics_loc_conf_t  *conf;

    unsigned                               entered:1;
    unsigned                               last:1;  /* last buffer seen */
    unsigned                               done:1;  /* and handed over */
} ngx_http_apiscale_metrics_ctx_t;


static ngx_http_apiscale_metrics_ctx_t *ngx_http_apiscale_metrics_get_ctx(
    ngx_http_request_t *r);
static void ngx_http_apiscale_metrics_settle(ngx_http_request_t *r,
    ngx_http_apiscale_metrics_ctx_t *ctx);
static ngx_http_apiscale_metrics_loc_conf_t *
    ngx_http_apiscale_metrics_server_conf(ngx_http_request_t *r);
static ngx_uint_t ngx_http_apiscale_metrics_status(ngx_http_request_t *r);
static ngx_uint_t ngx_http_apiscale_metrics_endless(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_int_t ngx_http_apiscale_metrics_header_filter(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_apiscale_metrics_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/*
 * POST_READ: takes the time.  A request that cannot be measured for lack of
 * memory is served all the same.
 */

ngx_int_t
ngx_http_apiscale_metrics_start(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t           *rec;
    ngx_http_apiscale_metrics_ctx_t       *ctx;
    ngx_http_apiscale_metrics_srv_conf_t  *mscf;

    mscf = ngx_http_get_module_srv_conf(r, ngx_http_apiscale_metrics_module);

    if (!mscf->measured || r != r->main) {
        return NGX_DECLINED;
    }

    rec = ngx_http_apiscale_make_request(r);
    if (rec == NULL || rec->metrics) {
        return NGX_DECLINED;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_apiscale_metrics_ctx_t));
    if (ctx == NULL) {
        return NGX_DECLINED;
    }

    ctx->start_us = ngx_apiscale_monotonic_us();

    rec->metrics = ctx;

    return NGX_DECLINED;
}


/*
 * REWRITE, before the rewrite module: the location that nginx chose, in case
 * that its rewrite directives answer at once.
 */

ngx_int_t
ngx_http_apiscale_metrics_locate(ngx_http_request_t *r)
{
    ngx_http_apiscale_metrics_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apiscale_metrics_get_ctx(r);

    if (ctx && !ctx->entered) {
        ngx_http_apiscale_metrics_settle(r, ctx);
    }

    return NGX_DECLINED;
}


/*
 * PREACCESS: the location after all rewrites.  The series is that of this
 * location, whatever redirects follow.
 */

ngx_int_t
ngx_http_apiscale_metrics_enter(ngx_http_request_t *r)
{
    ngx_http_apiscale_metrics_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apiscale_metrics_get_ctx(r);

    if (ctx && !ctx->entered) {
        ngx_http_apiscale_metrics_settle(r, ctx);
        ctx->entered = 1;
    }

    return NGX_DECLINED;
}


static ngx_http_apiscale_metrics_ctx_t *
ngx_http_apiscale_metrics_get_ctx(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    rec = ngx_http_apiscale_get_request(r);

    return rec ? rec->metrics : NULL;
}


/* an error that came before a location was chosen is the server's */

static void
ngx_http_apiscale_metrics_settle(ngx_http_request_t *r,
    ngx_http_apiscale_metrics_ctx_t *ctx)
{
    if (r->err_status || r->error_page) {
        ctx->entered = 1;

        if (ctx->conf == NULL) {
            ctx->conf = ngx_http_apiscale_metrics_server_conf(r);
        }

        return;
    }

    ctx->conf = ngx_http_get_module_loc_conf(r,
                                             ngx_http_apiscale_metrics_module);
}


static ngx_http_apiscale_metrics_loc_conf_t *
ngx_http_apiscale_metrics_server_conf(ngx_http_request_t *r)
{
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    return cscf->ctx->loc_conf[ngx_http_apiscale_metrics_module.ctx_index];
}


/*
 * LOG: records.  Requests without a start were answered before the first
 * phase (400, 408), or their connection was lost.
 */

ngx_int_t
ngx_http_apiscale_metrics_log(ngx_http_request_t *r)
{
    ngx_uint_t                              status;
    ngx_connection_t                       *c;
    ngx_http_apiscale_request_t            *rec;
    ngx_http_apiscale_metrics_ctx_t        *ctx;
    ngx_http_apiscale_metrics_slab_t       *slab;
    ngx_http_apiscale_metrics_loc_conf_t   *mlcf;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    if (r != r->main) {
        return NGX_OK;
    }

    rec = ngx_http_apiscale_get_request(r);
    ctx = rec ? rec->metrics : NULL;

    if (ctx == NULL) {
        mlcf = ngx_http_apiscale_metrics_server_conf(r);

    } else if (ctx->conf) {
        mlcf = ctx->conf;

    } else {
        mlcf = ngx_http_get_module_loc_conf(r,
                                            ngx_http_apiscale_metrics_module);
    }

    if (mlcf->series == NULL) {
        return NGX_OK;
    }

    c = r->connection;
    mmcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_metrics_module);
    slab = ngx_http_apiscale_metrics_slab(mmcf, mlcf->series);
    status = ngx_http_apiscale_metrics_status(r);

    ngx_http_apiscale_metrics_add(
                     &slab->counts.status[status < 600 ? status / 100 : 0], 1);
    ngx_http_apiscale_metrics_add(&slab->counts.received, r->request_length);
    ngx_http_apiscale_metrics_add(&slab->counts.sent, c->sent);

    if (ngx_http_apiscale_rejected(rec)) {
        ngx_http_apiscale_metrics_add(&slab->counts.rejected, 1);

    } else if (ngx_http_apiscale_metrics_endless(r, status)) {
        /* void */

    } else if (ctx && ctx->done) {
        ngx_http_apiscale_metrics_observe(slab, ctx->last_us - ctx->start_us);

    } else if (r->header_sent
               || status == NGX_HTTP_CLIENT_CLOSED_REQUEST
               || c->error
               || (c->timedout && status != NGX_HTTP_CLOSE))
    {
        ngx_http_apiscale_metrics_add(&slab->counts.aborted, 1);
    }

    return NGX_OK;
}


/* as the access log shows it */

static ngx_uint_t
ngx_http_apiscale_metrics_status(ngx_http_request_t *r)
{
    return r->err_status ? r->err_status : r->headers_out.status;
}


/* upgraded connections and event streams: how long they last says nothing */

static ngx_uint_t
ngx_http_apiscale_metrics_endless(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_str_t  *type;

    if (status == NGX_HTTP_SWITCHING_PROTOCOLS) {
        return 1;
    }

    type = &r->headers_out.content_type;

    return type->len >= sizeof("text/event-stream") - 1
           && ngx_strncasecmp(type->data, (u_char *) "text/event-stream",
                              sizeof("text/event-stream") - 1)
              == 0;
}


static ngx_int_t
ngx_http_apiscale_metrics_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_apiscale_metrics_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_apiscale_metrics_get_ctx(r);

    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    rc = ngx_http_next_header_filter(r);

    ctx->first_us = ngx_apiscale_monotonic_us();

    if (r->header_only) {
        ctx->last_us = ctx->first_us;
        ctx->last = 1;
        ctx->done = (rc == NGX_OK);
    }

    return rc;
}


/*
 * The response is over when its last buffer has left for the socket.  If it
 * is sent in parts, the body filters are called again for the rest; parts of
 * it may come from subrequests (SSI, addition).
 */

static ngx_int_t
ngx_http_apiscale_metrics_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                         rc;
    ngx_chain_t                      *cl;
    ngx_http_apiscale_metrics_ctx_t  *ctx;

    ctx = ngx_http_apiscale_metrics_get_ctx(r);

    if (ctx == NULL || r->background) {
        return ngx_http_next_body_filter(r, in);
    }

    if (r == r->main) {
        for (cl = in; cl; cl = cl->next) {
            if (cl->buf->last_buf) {
                ctx->last = 1;
            }
        }
    }

    rc = ngx_http_next_body_filter(r, in);

    if (ctx->last) {
        ctx->last_us = ngx_apiscale_monotonic_us();
        ctx->done = (rc == NGX_OK);
    }

    return rc;
}


/*
 * $apiscale_duration: seconds with microseconds, until now if the response is
 * not over yet.
 */

ngx_int_t
ngx_http_apiscale_metrics_duration(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                           *p;
    uint64_t                          us;
    ngx_http_apiscale_metrics_ctx_t  *ctx;

    ctx = ngx_http_apiscale_metrics_get_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".000000") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    us = (ctx->done ? ctx->last_us : ngx_apiscale_monotonic_us())
         - ctx->start_us;

    v->data = p;
    v->len = ngx_sprintf(p, "%uL.%06uL", us / 1000000, us % 1000000) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/*
 * Called in postconfiguration.
 */

void
ngx_http_apiscale_metrics_init_filters(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apiscale_metrics_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apiscale_metrics_body_filter;
}
