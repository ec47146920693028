
/*
 * Copyright (C) apiscale authors
 */


/*
 * What a charge was a reserve for is known when the response is there: its
 * status ("count="), what the origin says that it cost ("settle="), whether
 * an origin was asked at all ("at=upstream").  The charge is then corrected,
 * before headers tell what is left.
 */


#include "ngx_http_apiscale_limit.h"


static uint64_t ngx_http_apiscale_limit_final(ngx_http_request_t *r,
    ngx_http_apiscale_limit_result_t *res);
static ngx_uint_t ngx_http_apiscale_limit_counts(ngx_http_request_t *r,
    ngx_http_apiscale_limit_codes_t *codes);
static uint64_t ngx_http_apiscale_limit_stated(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, uint64_t cost);


/*
 * Corrects the charges of a request that are still to be, each of them once.
 */

void
ngx_http_apiscale_limit_settle(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx)
{
    uint64_t                           cost;
    apiscale_clock_t                   now;
    ngx_http_apiscale_limit_result_t  *res, *end;

    if (!(ctx->flags & NGX_HTTP_APISCALE_LIMIT_SETTLES)) {
        return;
    }

    ctx->flags &= ~NGX_HTTP_APISCALE_LIMIT_SETTLES;
    ctx->chosen = 0;

    ngx_http_apiscale_limit_clock(&now, 1);

    end = ctx->results + ctx->nresults;

    for (res = ctx->results; res < end; res++) {

        if ((res->flags & (NGX_HTTP_APISCALE_LIMIT_SETTLES
                           |NGX_HTTP_APISCALE_LIMIT_REJECTS))
            != NGX_HTTP_APISCALE_LIMIT_SETTLES)
        {
            continue;
        }

        res->flags &= ~NGX_HTTP_APISCALE_LIMIT_SETTLES;

        cost = ngx_http_apiscale_limit_final(r, res);

        if (cost != res->charge.cost) {
            apiscale_bucket_settle(&res->charge, cost, &now);
        }
    }
}


static uint64_t
ngx_http_apiscale_limit_final(ngx_http_request_t *r,
    ngx_http_apiscale_limit_result_t *res)
{
    ngx_http_apiscale_limit_t  *limit;

    limit = res->limit;

    /* a response from a cache, a file or a handler has no such state */

    if (limit->stage == NGX_HTTP_APISCALE_LIMIT_UPSTREAM
        && (r->upstream_states == NULL || r->upstream_states->nelts == 0))
    {
        return 0;
    }

    if (limit->count && !ngx_http_apiscale_limit_counts(r, limit->count)) {
        return 0;
    }

    if (limit->settle == NULL) {
        return res->charge.cost;
    }

    return ngx_http_apiscale_limit_stated(r, limit->settle, res->charge.cost);
}


static ngx_uint_t
ngx_http_apiscale_limit_counts(ngx_http_request_t *r,
    ngx_http_apiscale_limit_codes_t *codes)
{
    ngx_uint_t  status;

    status = r->err_status ? r->err_status : r->headers_out.status;

    if (status < NGX_HTTP_APISCALE_LIMIT_MIN_CODE
        || status >= NGX_HTTP_APISCALE_LIMIT_MIN_CODE
                     + NGX_HTTP_APISCALE_LIMIT_CODES)
    {
        return 0;
    }

    status -= NGX_HTTP_APISCALE_LIMIT_MIN_CODE;

    return codes->bits[status / 8] & 1 << status % 8;
}


/*
 * The cost that a response states: an integer of 0 or more that can be
 * believed, else "cost", the reserve.
 */

static uint64_t
ngx_http_apiscale_limit_stated(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, uint64_t cost)
{
    ngx_int_t  n;
    ngx_str_t  value;

    if (ngx_http_complex_value(r, cv, &value) != NGX_OK) {
        return cost;
    }

    n = ngx_atoi(value.data, value.len);

    return n == NGX_ERROR || n > NGX_HTTP_APISCALE_LIMIT_MAX_SETTLE
           ? cost : (uint64_t) n;
}


/*
 * The handler of the log phase: of requests that got no response.
 */

ngx_int_t
ngx_http_apiscale_limit_settle_handler(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    if (r != r->main) {
        return NGX_OK;
    }

    rec = ngx_http_apiscale_get_request(r);

    if (rec && rec->limit) {
        ngx_http_apiscale_limit_settle(r, rec->limit);
    }

    return NGX_OK;
}
