
/*
 * Copyright (C) apiscale authors
 */


/*
 * What the client is told of its limits: X-RateLimit-Limit, -Remaining and
 * -Reset of one policy, RateLimit and RateLimit-Policy of all of them
 * (draft-ietf-httpapi-ratelimit-headers-11), Retry-After on a rejection.
 * An origin that states limits of its own is heard: the client gets whichever
 * is stricter.
 */


#include "ngx_http_apiscale_limit.h"


/* what the origin said, as found in the response */

typedef struct {
    ngx_table_elt_t  *limit;
    ngx_table_elt_t  *remaining;
    ngx_table_elt_t  *reset;
    ngx_table_elt_t  *ratelimit;
    ngx_table_elt_t  *policy;
    ngx_table_elt_t  *retry_after;
    unsigned          own:1;              /* our lines are there already */
} ngx_http_apiscale_limit_origin_t;


typedef struct {
    ngx_str_t  name;
    size_t     offset;                    /* in the above */
} ngx_http_apiscale_limit_field_t;


typedef enum {
    NGX_HTTP_APISCALE_LIMIT_FIELD_LIMIT = 0,
    NGX_HTTP_APISCALE_LIMIT_FIELD_REMAINING,
    NGX_HTTP_APISCALE_LIMIT_FIELD_RESET,
    NGX_HTTP_APISCALE_LIMIT_FIELD_RATELIMIT,
    NGX_HTTP_APISCALE_LIMIT_FIELD_POLICY,
    NGX_HTTP_APISCALE_LIMIT_FIELD_RETRY_AFTER,
    NGX_HTTP_APISCALE_LIMIT_FIELDS
} ngx_http_apiscale_limit_field_e;


static uint64_t ngx_http_apiscale_limit_reset_delta(
    ngx_http_apiscale_limit_result_t *res);
static void ngx_http_apiscale_limit_origin(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin);
static const ngx_http_apiscale_limit_field_t *ngx_http_apiscale_limit_field(
    ngx_str_t *key);
static ngx_int_t ngx_http_apiscale_limit_header(ngx_http_request_t *r,
    ngx_http_apiscale_limit_field_e field, u_char *value, size_t len);
static ngx_int_t ngx_http_apiscale_limit_retry_after(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin);
static ngx_int_t ngx_http_apiscale_limit_x_headers(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin);
static ngx_uint_t ngx_http_apiscale_limit_origin_stricter(
    ngx_http_apiscale_limit_origin_t *origin,
    ngx_http_apiscale_limit_result_t *res);
static u_char *ngx_http_apiscale_limit_states(u_char *last,
    ngx_http_apiscale_limit_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_limit_ratelimit(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin);
static uint64_t ngx_http_apiscale_limit_within_s(
    ngx_http_apiscale_limit_result_t *res);
static ngx_int_t ngx_http_apiscale_limit_policies(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_str_t *value);
static u_char *ngx_http_apiscale_limit_item(u_char *p,
    ngx_http_apiscale_limit_result_t *res);
static ngx_int_t ngx_http_apiscale_limit_list(ngx_http_request_t *r,
    ngx_table_elt_t *origin, ngx_http_apiscale_limit_field_e field,
    ngx_str_t *value);
static u_char *ngx_http_apiscale_limit_number(u_char *last, uint64_t n);


/* lines of our own are known by the address of their name */

static const ngx_http_apiscale_limit_field_t
    ngx_http_apiscale_limit_fields[NGX_HTTP_APISCALE_LIMIT_FIELDS] =
{
    { ngx_string("X-RateLimit-Limit"),
      offsetof(ngx_http_apiscale_limit_origin_t, limit) },

    { ngx_string("X-RateLimit-Remaining"),
      offsetof(ngx_http_apiscale_limit_origin_t, remaining) },

    { ngx_string("X-RateLimit-Reset"),
      offsetof(ngx_http_apiscale_limit_origin_t, reset) },

    { ngx_string("RateLimit"),
      offsetof(ngx_http_apiscale_limit_origin_t, ratelimit) },

    { ngx_string("RateLimit-Policy"),
      offsetof(ngx_http_apiscale_limit_origin_t, policy) },

    { ngx_string("Retry-After"),
      offsetof(ngx_http_apiscale_limit_origin_t, retry_after) }
};


/*
 * Whole seconds until the request would be admitted, at least 1; 0 when it
 * never would.
 */

uint64_t
ngx_http_apiscale_limit_retry_s(ngx_http_apiscale_limit_result_t *res)
{
    uint64_t  s;

    if (res->charge.res.retry == APISCALE_BUCKET_NEVER) {
        return 0;
    }

    s = apiscale_gcra_seconds(res->charge.res.retry);

    return ngx_max(s, 1);
}


/*
 * The Unix time, rounded up, at which the bucket is full again.  It is one
 * and the same in headers and log, however long the answer takes.
 */

uint64_t
ngx_http_apiscale_limit_reset_unix(ngx_http_apiscale_limit_result_t *res)
{
    apiscale_charge_t  *c;

    c = &res->charge;

    if (c->policy->kind != APISCALE_ROLLING) {
        return apiscale_gcra_seconds(c->until);
    }

    return apiscale_gcra_seconds(ngx_apiscale_unix_ticks() + c->res.tat
                                 - ngx_apiscale_monotonic_ticks());
}


/*
 * Whole seconds from now until the bucket is full again, rounded up.
 */

static uint64_t
ngx_http_apiscale_limit_reset_delta(ngx_http_apiscale_limit_result_t *res)
{
    uint64_t            now, until;
    apiscale_charge_t  *c;

    c = &res->charge;

    if (c->policy->kind != APISCALE_ROLLING) {
        now = ngx_apiscale_unix_ticks();
        until = c->until;

    } else {
        now = ngx_apiscale_monotonic_ticks();
        until = c->res.tat;
    }

    return until > now ? apiscale_gcra_seconds(until - now) : 0;
}


/*
 * Adds the headers of the limits that the request met.
 */

ngx_int_t
ngx_http_apiscale_limit_headers(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec)
{
    ngx_uint_t                        headers;
    ngx_http_apiscale_limit_ctx_t    *ctx;
    ngx_http_apiscale_limit_origin_t  origin;

    ctx = rec->limit;

    ngx_http_apiscale_limit_settle(r, ctx);

    if (ngx_http_apiscale_limit_shown(ctx) == NULL) {
        return NGX_OK;
    }

    headers = ctx->conf->headers;

    if (headers & NGX_HTTP_APISCALE_LIMIT_OFF
        && !(ctx->shown->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS))
    {
        return NGX_OK;
    }

    ngx_http_apiscale_limit_origin(r, ctx, &origin);

    if (origin.own) {
        return NGX_OK;
    }

    ctx->sent = 1;

    if (headers & (NGX_HTTP_APISCALE_LIMIT_X_EPOCH
                   |NGX_HTTP_APISCALE_LIMIT_X_DELTA)
        && ngx_http_apiscale_limit_x_headers(r, ctx, &origin) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (headers & NGX_HTTP_APISCALE_LIMIT_RATELIMIT
        && ngx_http_apiscale_limit_ratelimit(r, ctx, &origin) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->shown->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS) {
        return ngx_http_apiscale_limit_retry_after(r, ctx, &origin);
    }

    return NGX_OK;
}


/*
 * Finds what the origin says.  A response may come here twice: after our
 * filter ran another may make it an error (416), and nginx does not take back
 * the lines that were added.  Ours stand, or are taken back here when
 * a redirect has added policies since.
 */

static void
ngx_http_apiscale_limit_origin(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin)
{
    ngx_uint_t                              i;
    ngx_list_part_t                        *part;
    ngx_table_elt_t                        *h, **line;
    const ngx_http_apiscale_limit_field_t  *field;

    ngx_memzero(origin, sizeof(ngx_http_apiscale_limit_origin_t));

    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash == 0 || h[i].key.len < sizeof("RateLimit") - 1) {
            continue;
        }

        field = ngx_http_apiscale_limit_field(&h[i].key);

        if (field == NULL) {
            continue;
        }

        if (h[i].key.data == field->name.data) {

            if (ctx->sent) {
                origin->own = 1;
                return;
            }

            h[i].hash = 0;
            continue;
        }

        line = (ngx_table_elt_t **) ((u_char *) origin + field->offset);

        if (*line == NULL) {
            *line = &h[i];

        } else if (line != &origin->ratelimit && line != &origin->policy) {

            /* no list: what is said twice is not left beside our own */

            h[i].hash = 0;
        }
    }
}


static const ngx_http_apiscale_limit_field_t *
ngx_http_apiscale_limit_field(ngx_str_t *key)
{
    u_char      c;
    ngx_uint_t  i;

    c = ngx_tolower(key->data[0]);

    if (c != 'x' && c != 'r') {
        return NULL;
    }

    for (i = 0; i < NGX_HTTP_APISCALE_LIMIT_FIELDS; i++) {
        if (key->len == ngx_http_apiscale_limit_fields[i].name.len
            && ngx_strncasecmp(key->data,
                               ngx_http_apiscale_limit_fields[i].name.data,
                               key->len)
               == 0)
        {
            return &ngx_http_apiscale_limit_fields[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_apiscale_limit_header(ngx_http_request_t *r,
    ngx_http_apiscale_limit_field_e field, u_char *value, size_t len)
{
    const ngx_str_t  *name;

    name = &ngx_http_apiscale_limit_fields[field].name;

    return ngx_http_apiscale_add_header(r, (const char *) name->data,
                                        name->len, value, len);
}


static ngx_int_t
ngx_http_apiscale_limit_retry_after(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin)
{
    u_char     *p, *last;
    time_t      until;
    uint64_t    retry;
    ngx_int_t   n;
    ngx_str_t  *value;

    retry = ngx_http_apiscale_limit_retry_s(ctx->shown);

    if (retry == 0) {
        return NGX_OK;
    }

    if (origin->retry_after) {
        value = &origin->retry_after->value;

        n = ngx_atoi(value->data, value->len);

        if (n == NGX_ERROR) {
            until = ngx_parse_http_time(value->data, value->len);
            n = until == NGX_ERROR ? 0 : until - ngx_time();
        }

        if (n > 0 && (uint64_t) n >= retry) {
            return NGX_OK;
        }

        origin->retry_after->hash = 0;
    }

    last = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (last == NULL) {
        return NGX_ERROR;
    }

    last += NGX_INT64_LEN;
    p = ngx_http_apiscale_limit_number(last, retry);

    return ngx_http_apiscale_limit_header(r,
                                   NGX_HTTP_APISCALE_LIMIT_FIELD_RETRY_AFTER,
                                   p, last - p);
}


static ngx_int_t
ngx_http_apiscale_limit_x_headers(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin)
{
    u_char                            *last, *remaining, *reset;
    uint64_t                           until;
    ngx_str_t                          limit;
    ngx_http_apiscale_limit_result_t  *res;

    res = ctx->shown;

    if (origin->limit || origin->remaining || origin->reset) {

        if (ngx_http_apiscale_limit_origin_stricter(origin, res)) {
            return NGX_OK;
        }

        /* never a part of one statement beside a part of another */

        if (origin->limit) {
            origin->limit->hash = 0;
        }

        if (origin->remaining) {
            origin->remaining->hash = 0;
        }

        if (origin->reset) {
            origin->reset->hash = 0;
        }
    }

    last = ngx_pnalloc(r->pool, 3 * NGX_INT64_LEN);
    if (last == NULL) {
        return NGX_ERROR;
    }

    last += 3 * NGX_INT64_LEN;

    if (ctx->conf->headers & NGX_HTTP_APISCALE_LIMIT_X_DELTA) {
        until = ngx_http_apiscale_limit_reset_delta(res);

    } else {
        until = ngx_http_apiscale_limit_reset_unix(res);
    }

    reset = ngx_http_apiscale_limit_number(last, until);
    remaining = ngx_http_apiscale_limit_number(reset,
                                     apiscale_bucket_remaining(&res->charge));

    limit = res->policy->limit_value;

    if (res->charge.policy != &res->policy->bucket) {
        limit.data = ngx_http_apiscale_limit_number(remaining,
                                            res->charge.policy->gcra.burst);
        limit.len = remaining - limit.data;
    }

    if (ngx_http_apiscale_limit_header(r, NGX_HTTP_APISCALE_LIMIT_FIELD_LIMIT,
                                       limit.data, limit.len)
        != NGX_OK
        || ngx_http_apiscale_limit_header(r,
                                    NGX_HTTP_APISCALE_LIMIT_FIELD_REMAINING,
                                    remaining, reset - remaining)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apiscale_limit_header(r,
                                          NGX_HTTP_APISCALE_LIMIT_FIELD_RESET,
                                          reset, last - reset);
}


/*
 * Whether the origin states all three fields, and less in proportion than
 * this module would.
 */

static ngx_uint_t
ngx_http_apiscale_limit_origin_stricter(
    ngx_http_apiscale_limit_origin_t *origin,
    ngx_http_apiscale_limit_result_t *res)
{
    ngx_int_t  limit, remaining;

    if (!origin->limit || !origin->remaining || !origin->reset) {
        return 0;
    }

    limit = ngx_atoi(origin->limit->value.data, origin->limit->value.len);
    remaining = ngx_atoi(origin->remaining->value.data,
                         origin->remaining->value.len);

    if (limit == NGX_ERROR || limit == 0 || remaining == NGX_ERROR) {
        return 0;
    }

    return (unsigned __int128) remaining * res->charge.policy->gcra.burst
           < (unsigned __int128) apiscale_bucket_remaining(&res->charge)
             * limit;
}


/*
 * Writes the list RateLimit so that it ends before "last", as numbers are
 * written, and returns where it begins.
 */

static u_char *
ngx_http_apiscale_limit_states(u_char *last,
    ngx_http_apiscale_limit_ctx_t *ctx)
{
    u_char                            *p;
    ngx_str_t                         *item;
    ngx_uint_t                         i;
    ngx_http_apiscale_limit_result_t  *res;

    p = last;

    for (i = ctx->nresults; i-- > 0; /* void */ ) {
        res = &ctx->results[i];

        if (res->flags & NGX_HTTP_APISCALE_LIMIT_DRY) {
            continue;
        }

        if (p != last) {
            *--p = ' ';
            *--p = ',';
        }

        p = ngx_http_apiscale_limit_number(p,
                                       ngx_http_apiscale_limit_within_s(res));
        *--p = '=';
        *--p = 't';
        *--p = ';';
        p = ngx_http_apiscale_limit_number(p,
                                     apiscale_bucket_remaining(&res->charge));

        item = &res->policy->state_item;

        p -= item->len;
        ngx_memcpy(p, item->data, item->len);
    }

    return p;
}


static ngx_int_t
ngx_http_apiscale_limit_ratelimit(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_origin_t *origin)
{
    u_char                            *p;
    size_t                             len;
    ngx_str_t                          value, policies;
    ngx_uint_t                         i;
    ngx_http_apiscale_limit_result_t  *res;

    len = 0;

    for (i = 0; i < ctx->nresults; i++) {
        res = &ctx->results[i];

        if (!(res->flags & NGX_HTTP_APISCALE_LIMIT_DRY)) {
            len += res->policy->state_item.len
                   + sizeof(";t=, ") - 1 + 2 * NGX_INT64_LEN;
        }
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = ngx_http_apiscale_limit_states(p + len, ctx);
    value.len = p + len - value.data;

    /* usually all policies of the location apply, and their list is known */

    if (ctx->conf->policy_header.len && !ctx->extended
        && ctx->nresults == ctx->conf->limits->nelts)
    {
        policies = ctx->conf->policy_header;

    } else if (ngx_http_apiscale_limit_policies(r, ctx, &policies) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_apiscale_limit_list(r, origin->policy,
                                     NGX_HTTP_APISCALE_LIMIT_FIELD_POLICY,
                                     &policies)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apiscale_limit_list(r, origin->ratelimit,
                                      NGX_HTTP_APISCALE_LIMIT_FIELD_RATELIMIT,
                                      &value);
}


/*
 * Writes the list RateLimit-Policy of the policies that applied.
 */

static ngx_int_t
ngx_http_apiscale_limit_policies(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_str_t *value)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    len = 0;

    for (i = 0; i < ctx->nresults; i++) {
        len += ctx->results[i].policy->policy_item.len
               + sizeof(", ") - 1 + 2 * NGX_INT64_LEN;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;

    for (i = 0; i < ctx->nresults; i++) {

        if (ctx->results[i].flags & NGX_HTTP_APISCALE_LIMIT_DRY) {
            continue;
        }

        if (p != value->data) {
            *p++ = ',';
            *p++ = ' ';
        }

        p = ngx_http_apiscale_limit_item(p, &ctx->results[i]);
    }

    value->len = p - value->data;

    return NGX_OK;
}


static u_char *
ngx_http_apiscale_limit_item(u_char *p,
    ngx_http_apiscale_limit_result_t *res)
{
    uint64_t                           window;
    const apiscale_policy_t           *scaled;
    ngx_http_apiscale_limit_policy_t  *policy;

    policy = res->policy;
    scaled = res->charge.policy;

    if (scaled == &policy->bucket) {
        return ngx_cpymem(p, policy->policy_item.data,
                          policy->policy_item.len);
    }

    window = scaled->kind == APISCALE_ROLLING
             ? apiscale_gcra_seconds(scaled->gcra.burst
                                     * scaled->gcra.interval)
             : scaled->period_s;

    return ngx_sprintf(p, "\"%V\";q=%uL;w=%uL", &policy->name,
                       scaled->gcra.burst, ngx_max(window, 1));
}


/*
 * The parameter "t": no more than what remains within so many seconds
 * (section 4 of the draft); with nothing left, the wait for one request.
 * Never later than Retry-After.
 */

static uint64_t
ngx_http_apiscale_limit_within_s(ngx_http_apiscale_limit_result_t *res)
{
    uint64_t  s;

    s = apiscale_gcra_seconds(apiscale_bucket_within(&res->charge));

    return ngx_max(s, 1);
}


/*
 * Sends a list, behind the members that the origin has put there.
 */

static ngx_int_t
ngx_http_apiscale_limit_list(ngx_http_request_t *r, ngx_table_elt_t *origin,
    ngx_http_apiscale_limit_field_e field, ngx_str_t *value)
{
    u_char  *p;
    size_t   len;

    if (origin == NULL || origin->value.len == 0) {
        return ngx_http_apiscale_limit_header(r, field, value->data,
                                              value->len);
    }

    len = origin->value.len + sizeof(", ") - 1 + value->len;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "%V, %V", &origin->value, value);

    origin->hash = 0;

    return ngx_http_apiscale_limit_header(r, field, p, len);
}


/*
 * Writes a number that ends before "last" and returns where it begins: the
 * length of a number is known only at its end.  ngx_sprintf() takes much
 * longer, and this runs up to nine times a request.
 */

static u_char *
ngx_http_apiscale_limit_number(u_char *last, uint64_t n)
{
    static const u_char  pairs[] =
        "0001020304050607080910111213141516171819"
        "2021222324252627282930313233343536373839"
        "4041424344454647484950515253545556575859"
        "6061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";

    while (n >= 100) {
        last -= 2;
        ngx_memcpy(last, &pairs[n % 100 * 2], 2);
        n /= 100;
    }

    if (n < 10) {
        *--last = (u_char) ('0' + n);
        return last;
    }

    last -= 2;
    ngx_memcpy(last, &pairs[n * 2], 2);

    return last;
}
