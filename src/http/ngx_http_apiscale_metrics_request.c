
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


#define ngx_http_apiscale_metrics_add(counter, n)                             \
    (void) __atomic_fetch_add(counter, n, __ATOMIC_RELAXED)


static ngx_http_apiscale_metrics_loc_conf_t *
    ngx_http_apiscale_metrics_server_conf(ngx_http_request_t *r);
static ngx_uint_t ngx_http_apiscale_metrics_status(ngx_http_request_t *r);
static ngx_uint_t ngx_http_apiscale_metrics_endless(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_http_apiscale_metrics_slab_t *ngx_http_apiscale_metrics_slab(
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series);
static void ngx_http_apiscale_metrics_observe(
    ngx_http_apiscale_metrics_slab_t *slab, uint64_t us);


/*
 * The record of the main request, NULL if it is not measured.  The context of
 * this module is the umbrella's record, too: it is there until a redirect or
 * an error page zeroes the contexts.
 */

static ngx_inline ngx_http_apiscale_request_t *
ngx_http_apiscale_metrics_record(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    r = r->main;

    rec = ngx_http_get_module_ctx(r, ngx_http_apiscale_metrics_module);

    if (rec == NULL) {

        if (!(r->internal || r->filter_finalize)) {
            return NULL;
        }

        rec = ngx_http_apiscale_get_request(r);

        if (rec == NULL || rec->times.start_us == 0) {
            return NULL;
        }
    }

    return rec;
}


/*
 * POST_READ: takes the time.  A request that cannot be measured for lack of
 * memory is served all the same.
 */

ngx_int_t
ngx_http_apiscale_metrics_start(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t           *rec;
    ngx_http_apiscale_metrics_srv_conf_t  *mscf;

    mscf = ngx_http_get_module_srv_conf(r, ngx_http_apiscale_metrics_module);

    if (!mscf->measured || r != r->main) {
        return NGX_DECLINED;
    }

    rec = ngx_http_apiscale_make_request(r);
    if (rec == NULL) {
        return NGX_DECLINED;
    }

    rec->filters |= NGX_HTTP_APISCALE_METRICS;
    rec->times.start_us = ngx_apiscale_monotonic_us();

    ngx_http_set_ctx(r, rec, ngx_http_apiscale_metrics_module);

    return NGX_DECLINED;
}


/*
 * REWRITE, before the rewrite module, whose directives may answer at once:
 * the location that the request is let into.  One that "rewrite ... last"
 * leads to takes the place of it, but those of redirects and error pages,
 * which zero the contexts, do not.
 */

ngx_int_t
ngx_http_apiscale_metrics_locate(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    rec = ngx_http_get_module_ctx(r, ngx_http_apiscale_metrics_module);

    if (rec) {
        rec->times.conf = ngx_http_get_module_loc_conf(r,
                                             ngx_http_apiscale_metrics_module);
        return NGX_DECLINED;
    }

    rec = ngx_http_apiscale_get_request(r);

    if (rec == NULL || rec->times.start_us == 0) {
        return NGX_DECLINED;
    }

    ngx_http_set_ctx(r, rec, ngx_http_apiscale_metrics_module);

    if (rec->times.conf) {
        return NGX_DECLINED;
    }

    /* an error that came before a location was chosen is the server's */

    if (r->err_status || r->error_page) {
        rec->times.conf = ngx_http_apiscale_metrics_server_conf(r);

    } else {
        rec->times.conf = ngx_http_get_module_loc_conf(r,
                                             ngx_http_apiscale_metrics_module);
    }

    return NGX_DECLINED;
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
    ngx_http_apiscale_metrics_slab_t       *slab;
    ngx_http_apiscale_metrics_loc_conf_t   *mlcf;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    if (r != r->main) {
        return NGX_OK;
    }

    rec = ngx_http_apiscale_metrics_record(r);

    if (rec == NULL) {
        mlcf = ngx_http_apiscale_metrics_server_conf(r);

    } else if (rec->times.conf) {
        mlcf = rec->times.conf;

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

    } else if (rec && rec->times.done) {
        ngx_http_apiscale_metrics_observe(slab, rec->times.last_us
                                                - rec->times.start_us);

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


/*
 * Where this worker counts for the series: its own slab, marked as in use;
 * that of "other" when the place of the series has a new owner.
 */

static ngx_http_apiscale_metrics_slab_t *
ngx_http_apiscale_metrics_slab(ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series)
{
    uint64_t                              bit;
    ngx_uint_t                            n;
    ngx_http_apiscale_metrics_slot_t     *slot;
    ngx_http_apiscale_metrics_series_t  **s;

    if (__atomic_load_n(&series->slot->epoch, __ATOMIC_ACQUIRE)
        != series->epoch)
    {
        s = mmcf->series.elts;
        series = s[0];
    }

    slot = series->slot;
    n = ngx_worker;

    if (n >= mmcf->block->nslabs) {
        n %= mmcf->block->nslabs;
    }

    bit = (uint64_t) 1 << n;

    if (!(__atomic_load_n(&slot->slabs, __ATOMIC_RELAXED) & bit)) {
        (void) __atomic_fetch_or(&slot->slabs, bit, __ATOMIC_RELEASE);
    }

    return &series->slabs[n];
}


/*
 * Counts a duration, in microseconds.
 */

static void
ngx_http_apiscale_metrics_observe(ngx_http_apiscale_metrics_slab_t *slab,
    uint64_t us)
{
    uint64_t    bit, max;
    ngx_uint_t  i, n;

    i = apiscale_hist_index(us);

    bit = (uint64_t) 1 << (i >> APISCALE_HIST_P);

    if (!(__atomic_load_n(&slab->octaves, __ATOMIC_RELAXED) & bit)) {
        (void) __atomic_fetch_or(&slab->octaves, bit, __ATOMIC_RELEASE);
    }

    max = __atomic_load_n(&slab->counts.max_us, __ATOMIC_RELAXED);

    while (us > max
           && !__atomic_compare_exchange_n(&slab->counts.max_us, &max, us, 1,
                                           __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED))
    {
        /* void */
    }

    for (n = 0; n < NGX_HTTP_APISCALE_METRICS_BOUNDS; n++) {
        if (us <= ngx_http_apiscale_metrics_bounds[n]) {
            break;
        }
    }

    ngx_http_apiscale_metrics_add(&slab->buckets[i], 1);
    ngx_http_apiscale_metrics_add(&slab->counts.le[n], 1);
    ngx_http_apiscale_metrics_add(&slab->counts.sum_us, us);
}


/*
 * Called when the header of a measured request was handed over, with "rc" of
 * the filters.
 */

void
ngx_http_apiscale_metrics_header(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_int_t rc)
{
    rec->times.first_us = ngx_apiscale_monotonic_us();

    if (r->header_only) {
        rec->times.last_us = rec->times.first_us;
        rec->times.last = 1;
        rec->times.done = (rc == NGX_OK);
    }
}


/*
 * Called with each part of a body, before it is handed over: looks for the
 * last one.
 */

void
ngx_http_apiscale_metrics_body(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_chain_t *in)
{
    ngx_chain_t  *cl;

    if (r == r->main) {
        for (cl = in; cl; cl = cl->next) {
            if (cl->buf->last_buf) {
                rec->times.last = 1;
            }
        }
    }
}


/*
 * Called with "rc" of the filters when a part of the body was handed over.
 * The response is over when its last buffer has left for the socket.  If it
 * is sent in parts, the body filters are called again for the rest; parts of
 * it may come from subrequests (SSI, addition).
 */

void
ngx_http_apiscale_metrics_sent(ngx_http_apiscale_request_t *rec, ngx_int_t rc)
{
    if (rec->times.last) {
        rec->times.last_us = ngx_apiscale_monotonic_us();
        rec->times.done = (rc == NGX_OK);
    }
}


/*
 * $apiscale_duration: seconds with microseconds, until now if the response is
 * not over yet.
 */

ngx_int_t
ngx_http_apiscale_metrics_duration(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                       *p;
    uint64_t                      us;
    ngx_http_apiscale_request_t  *rec;

    rec = ngx_http_apiscale_metrics_record(r);

    if (rec == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".000000") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    us = (rec->times.done ? rec->times.last_us : ngx_apiscale_monotonic_us())
         - rec->times.start_us;

    v->data = p;
    v->len = ngx_sprintf(p, "%uL.%06uL", us / 1000000, us % 1000000) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
