
/*
 * Copyright (C) apiscale authors
 */


/*
 * The limiter's phase handlers, one for each stage.  All policies of a stage
 * are looked at first; only when each of them admits the request are they
 * charged, by one compare-and-swap each.  When another worker took the last
 * token of a policy in between, the charges already made are given back: what
 * one policy rejects costs nothing in another.
 */


#include "ngx_http_apiscale_limit.h"


static ngx_int_t ngx_http_apiscale_limit_handle(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf,
    ngx_http_apiscale_limit_lines_t *lines);
static ngx_http_apiscale_limit_ctx_t *ngx_http_apiscale_limit_make_ctx(
    ngx_http_request_t *r, ngx_http_apiscale_request_t *rec,
    ngx_http_apiscale_limit_conf_t *lcf);
static ngx_int_t ngx_http_apiscale_limit_extend(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_http_apiscale_limit_conf_t *lcf)
    ngx_http_apiscale_noinline;
static ngx_int_t ngx_http_apiscale_limit_collect(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_lines_t *lines);
static ngx_inline ngx_http_apiscale_limit_result_t *
    ngx_http_apiscale_limit_append(
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_t *limit,
    ngx_http_apiscale_limit_policy_t *policy, uint64_t hash);
static ngx_int_t ngx_http_apiscale_limit_vary(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_t *limit, ngx_uint_t first, uint64_t hash)
    ngx_http_apiscale_noinline;
static ngx_uint_t ngx_http_apiscale_limit_met(
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_uint_t n,
    ngx_http_apiscale_limit_policy_t *policy)
    ngx_http_apiscale_noinline;
static ngx_inline ngx_int_t ngx_http_apiscale_limit_hash(
    ngx_http_request_t *r, ngx_http_apiscale_limit_t *limit,
    ngx_http_apiscale_limit_ctx_t *ctx, uint64_t *hash);
static ngx_int_t ngx_http_apiscale_limit_hash_value(ngx_http_request_t *r,
    ngx_http_apiscale_limit_t *limit, uint64_t *hash)
    ngx_http_apiscale_noinline;
static ngx_array_t *ngx_http_apiscale_limit_of_plan(ngx_http_request_t *r,
    ngx_http_apiscale_limit_t *limit)
    ngx_http_apiscale_noinline;
static uint64_t ngx_http_apiscale_limit_cost(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv)
    ngx_http_apiscale_noinline;
static ngx_int_t ngx_http_apiscale_limit_scale(ngx_http_request_t *r,
    ngx_http_apiscale_limit_result_t *res)
    ngx_http_apiscale_noinline;
static ngx_uint_t ngx_http_apiscale_limit_decide(
    ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *end, apiscale_clock_t *now);
static void ngx_http_apiscale_limit_uncharged(
    ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *charged,
    ngx_http_apiscale_limit_result_t *end, apiscale_clock_t *now)
    ngx_http_apiscale_noinline;
static ngx_uint_t ngx_http_apiscale_limit_scarcer(
    ngx_http_apiscale_limit_result_t *a, ngx_http_apiscale_limit_result_t *b);
static uint64_t ngx_http_apiscale_limit_wait(
    ngx_http_apiscale_limit_result_t *res);
static uint64_t ngx_http_apiscale_limit_account(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_uint_t first, ngx_uint_t rejected);
static void ngx_http_apiscale_limit_sort(ngx_http_apiscale_limit_ctx_t *ctx)
    ngx_http_apiscale_noinline;
static ngx_uint_t ngx_http_apiscale_limit_position(
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_t *limit);
static ngx_int_t ngx_http_apiscale_limit_delay(ngx_http_request_t *r,
    uint64_t wait)
    ngx_http_apiscale_noinline;
static void ngx_http_apiscale_limit_delayed(ngx_http_request_t *r);
static void ngx_http_apiscale_limit_log(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf,
    ngx_http_apiscale_limit_result_t *res)
    ngx_http_apiscale_noinline;
static ngx_int_t ngx_http_apiscale_limit_reject(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx)
    ngx_http_apiscale_noinline;
static void ngx_http_apiscale_limit_members(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_apiscale_text_t *t);


/* draft-ietf-httpapi-ratelimit-headers, section "Problem Types" */

static const ngx_http_apiscale_problem_t  ngx_http_apiscale_limit_problem = {
    ngx_string("quota-exceeded"),
    ngx_string("https://iana.org/assignments/http-problem-types"
               "#quota-exceeded"),
    ngx_string("Request cannot be satisfied as assigned quota has been "
               "exceeded")
};


/*
 * The handler of the preaccess phase.  NGX_DECLINED: go on; NGX_AGAIN: the
 * request is held.  A policy is charged once a request; after an internal
 * redirect those that were not yet charged are.
 */

ngx_int_t
ngx_http_apiscale_limit_arrival(ngx_http_request_t *r)
{
    ngx_http_apiscale_limit_conf_t   *lcf;
    ngx_http_apiscale_limit_lines_t  *lines;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_limit_module);

    lines = &lcf->stages[NGX_HTTP_APISCALE_LIMIT_ARRIVAL];

    return lines->nlines ? ngx_http_apiscale_limit_handle(r, lcf, lines)
                         : NGX_DECLINED;
}


/*
 * As above, in the precontent phase: of clients that were let in.
 */

ngx_int_t
ngx_http_apiscale_limit_access(ngx_http_request_t *r)
{
    ngx_http_apiscale_limit_conf_t   *lcf;
    ngx_http_apiscale_limit_lines_t  *lines;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_limit_module);

    lines = &lcf->stages[NGX_HTTP_APISCALE_LIMIT_ACCESS];

    return lines->nlines ? ngx_http_apiscale_limit_handle(r, lcf, lines)
                         : NGX_DECLINED;
}


/*
 * As above, at the end of the precontent phase.  Whether an upstream is asked
 * is only known when the response comes: until then the charge is a reserve.
 */

ngx_int_t
ngx_http_apiscale_limit_upstream(ngx_http_request_t *r)
{
    ngx_http_apiscale_limit_conf_t   *lcf;
    ngx_http_apiscale_limit_lines_t  *lines;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_limit_module);

    lines = &lcf->stages[NGX_HTTP_APISCALE_LIMIT_UPSTREAM];

    return lines->nlines ? ngx_http_apiscale_limit_handle(r, lcf, lines)
                         : NGX_DECLINED;
}


static ngx_int_t
ngx_http_apiscale_limit_handle(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf,
    ngx_http_apiscale_limit_lines_t *lines)
{
    uint64_t                        wait;
    ngx_uint_t                      first, rejected;
    apiscale_clock_t                now;
    ngx_http_apiscale_request_t    *rec;
    ngx_http_apiscale_limit_ctx_t  *ctx;

    if (r != r->main
        || (r->method == NGX_HTTP_OPTIONS && ngx_http_apiscale_preflight(r)))
    {
        return NGX_DECLINED;
    }

    rec = ngx_http_apiscale_make_request(r);
    if (rec == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_apiscale_rejected(rec)) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apiscale_limit_make_ctx(r, rec, lcf);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    first = ctx->nresults;

    if (ngx_http_apiscale_limit_collect(r, lcf, ctx, lines) != NGX_OK) {
        ctx->nresults = first;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->nresults == first) {
        return NGX_DECLINED;
    }

    ngx_http_apiscale_limit_clock(&now, lines->flags
                                        & NGX_HTTP_APISCALE_LIMIT_WINDOWS);

    rejected = ngx_http_apiscale_limit_decide(ctx->results + first,
                                              ctx->results + ctx->nresults,
                                              &now);

    if (rejected || ctx->flags & NGX_HTTP_APISCALE_LIMIT_SETTLES
        || !(ctx->conf->headers & NGX_HTTP_APISCALE_LIMIT_OFF))
    {
        rec->filters |= NGX_HTTP_APISCALE_LIMIT;
    }

    wait = ngx_http_apiscale_limit_account(r, lcf, ctx, first, rejected);

    if (rejected) {
        return ngx_http_apiscale_limit_reject(r, lcf, ctx);
    }

    return wait ? ngx_http_apiscale_limit_delay(r, wait) : NGX_DECLINED;
}


/*
 * The request's limiter state, with room for the results of a location.
 */

static ngx_http_apiscale_limit_ctx_t *
ngx_http_apiscale_limit_make_ctx(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_http_apiscale_limit_conf_t *lcf)
{
    ngx_http_apiscale_limit_ctx_t  *ctx;

    ctx = rec->limit;

    if (ctx) {
        if (ctx->last != lcf
            && ngx_http_apiscale_limit_extend(r, ctx, lcf) != NGX_OK)
        {
            return NULL;
        }

        return ctx;
    }

    if (lcf->reserved) {
        ctx = (ngx_http_apiscale_limit_ctx_t *) rec->room;

    } else {
        ctx = ngx_palloc(r->pool,
                         sizeof(ngx_http_apiscale_limit_ctx_t)
                         + lcf->nresults
                           * sizeof(ngx_http_apiscale_limit_result_t));
        if (ctx == NULL) {
            return NULL;
        }
    }

    ctx->conf = lcf;
    ctx->last = lcf;
    ctx->base = 0;
    ctx->results = (ngx_http_apiscale_limit_result_t *) &ctx[1];
    ctx->nresults = 0;
    ctx->room = lcf->nresults;
    ctx->status = NGX_HTTP_APISCALE_LIMIT_BYPASSED;
    ctx->flags = 0;
    ctx->chosen = 0;
    ctx->extended = 0;
    ctx->sent = 0;

    rec->limit = ctx;

    return ctx;
}


/*
 * Makes room after a redirect: the results of the earlier location are kept.
 * If no policy applied there, the new location is the one that counts.
 */

static ngx_int_t
ngx_http_apiscale_limit_extend(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_http_apiscale_limit_conf_t *lcf)
{
    ngx_uint_t                         n;
    ngx_http_apiscale_limit_result_t  *results;

    n = ctx->nresults + lcf->nresults;

    if (n > ctx->room) {
        results = ngx_palloc(r->pool,
                             n * sizeof(ngx_http_apiscale_limit_result_t));
        if (results == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(results, ctx->results,
                   ctx->nresults * sizeof(ngx_http_apiscale_limit_result_t));

        ctx->results = results;
        ctx->room = n;
    }

    ctx->last = lcf;
    ctx->base = ctx->nresults;
    ctx->chosen = 0;
    ctx->extended = 1;
    ctx->sent = 0;

    if (ctx->nresults == 0) {
        ctx->conf = lcf;
        ctx->extended = 0;
        ctx->status = NGX_HTTP_APISCALE_LIMIT_BYPASSED;
    }

    return NGX_OK;
}


/*
 * Appends a result for each policy that applies: whose key is not empty and
 * that was not charged before.  What lines have in common is done once: the
 * key, and its hash in a zone.
 */

static ngx_int_t
ngx_http_apiscale_limit_collect(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_lines_t *lines)
{
    uint64_t                            hash;
    ngx_int_t                           rc;
    ngx_uint_t                          first;
    ngx_http_apiscale_limit_t         **lp, **end, *limit, *hashed;

    first = ctx->nresults;
    lp = lines->lines;
    end = lp + lines->nlines;
    hashed = NULL;

    do {
        limit = *lp;

        if (hashed == NULL
            || limit->key != hashed->key || limit->zone != hashed->zone)
        {
            rc = ngx_http_apiscale_limit_hash(r, limit, ctx, &hash);
            hashed = limit;
        }

        if (rc != NGX_OK) {

            if (rc == NGX_DECLINED) {
                continue;
            }

            return NGX_ERROR;
        }

        ctx->flags |= limit->flags;

        if (first || limit->flags & NGX_HTTP_APISCALE_LIMIT_VARIES) {

            if (ngx_http_apiscale_limit_vary(r, lcf, ctx, limit, first, hash)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            continue;
        }

        ngx_http_apiscale_limit_append(lcf, ctx, limit, limit->policy, hash);

    } while (++lp < end);

    return NGX_OK;
}


static ngx_inline ngx_http_apiscale_limit_result_t *
ngx_http_apiscale_limit_append(ngx_http_apiscale_limit_conf_t *lcf,
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_http_apiscale_limit_t *limit,
    ngx_http_apiscale_limit_policy_t *policy, uint64_t hash)
{
    uint64_t                           fingerprint;
    ngx_http_apiscale_limit_result_t  *res;

    res = &ctx->results[ctx->nresults++];
    fingerprint = apiscale_table_fingerprint(hash ^ policy->salt);

    res->policy = policy;
    res->limit = limit;
    res->flags = limit->flags | lcf->dry;

    res->charge.policy = &policy->bucket;
    res->charge.fingerprint = fingerprint;
    res->charge.cost = 1;

    /* of one bucket nothing could be awaited together with its lines */

    if (lcf->nresults > 1) {
        apiscale_table_prefetch(policy->bucket.table, fingerprint);
    }

    return res;
}


/*
 * As above for lines that have a plan, a cost or a scale, or of which some
 * policies were charged before.
 */

static ngx_int_t
ngx_http_apiscale_limit_vary(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_http_apiscale_limit_t *limit, ngx_uint_t first, uint64_t hash)
{
    ngx_uint_t                          i, n;
    ngx_array_t                        *of_plan;
    ngx_http_apiscale_limit_result_t   *res;
    ngx_http_apiscale_limit_policy_t  **policies;

    policies = &limit->policy;
    n = 1;

    if (limit->plan) {
        of_plan = ngx_http_apiscale_limit_of_plan(r, limit);
        if (of_plan == NULL) {
            return NGX_ERROR;
        }

        policies = of_plan->elts;
        n = of_plan->nelts;
    }

    for (i = 0; i < n; i++) {

        if (ngx_http_apiscale_limit_met(ctx, first, policies[i])) {
            continue;
        }

        res = ngx_http_apiscale_limit_append(lcf, ctx, limit, policies[i],
                                             hash);
        if (limit->cost) {
            res->charge.cost = ngx_http_apiscale_limit_cost(r, limit->cost);
        }

        if (limit->scale && ngx_http_apiscale_limit_scale(r, res) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* whether a policy is among the results of an earlier stage or location */

static ngx_uint_t
ngx_http_apiscale_limit_met(ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_uint_t n, ngx_http_apiscale_limit_policy_t *policy)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (ctx->results[i].policy == policy) {
            return 1;
        }
    }

    return 0;
}


/*
 * Evaluates the key of a line and hashes it for the line's zone.
 * NGX_DECLINED: it is empty.
 */

static ngx_inline ngx_int_t
ngx_http_apiscale_limit_hash(ngx_http_request_t *r,
    ngx_http_apiscale_limit_t *limit, ngx_http_apiscale_limit_ctx_t *ctx,
    uint64_t *hash)
{
    ngx_int_t            rc;
    apiscale_keyhash_t  *h;

    if (limit->key) {
        return ngx_http_apiscale_limit_hash_value(r, limit, hash);
    }

    rc = ngx_http_apiscale_client_net(r, &ctx->net);

    if (rc != NGX_OK) {
        return rc;
    }

    h = &limit->zone->hash;

    *hash = ctx->net.len ? apiscale_keyhash(h, ctx->net.data, ctx->net.len)
                         : apiscale_keyhash_short(h, ctx->net.word);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_limit_hash_value(ngx_http_request_t *r,
    ngx_http_apiscale_limit_t *limit, uint64_t *hash)
{
    ngx_str_t  key;

    if (ngx_http_complex_value(r, limit->key, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    if (key.len == 0) {
        return NGX_DECLINED;
    }

    *hash = apiscale_keyhash(&limit->zone->hash, key.data, key.len);

    return NGX_OK;
}


/*
 * The policies of the plan that a request has; of the default one when it
 * names none that exists.  NULL: an error.
 */

static ngx_array_t *
ngx_http_apiscale_limit_of_plan(ngx_http_request_t *r,
    ngx_http_apiscale_limit_t *limit)
{
    ngx_str_t   name;
    ngx_uint_t  i;

    if (ngx_http_complex_value(r, limit->plan, &name) != NGX_OK) {
        return NULL;
    }

    for (i = 0; i < limit->nplans; i++) {
        if (ngx_http_apiscale_limit_same(&limit->plans[i].name, &name)) {
            return &limit->plans[i].policies;
        }
    }

    return &limit->default_plan->policies;
}


/*
 * The cost that a request states: an integer of 0 or more, else 1.
 */

static uint64_t
ngx_http_apiscale_limit_cost(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv)
{
    u_char     *p, *last;
    uint64_t    cost;
    ngx_str_t   value;

    if (ngx_http_complex_value(r, cv, &value) != NGX_OK || value.len == 0) {
        return 1;
    }

    cost = 0;
    p = value.data;
    last = p + value.len;

    for ( /* void */ ; p < last; p++) {
        if (*p < '0' || *p > '9') {
            return 1;
        }

        /* no bucket holds so many, and a further digit would not matter */

        if (cost < APISCALE_GCRA_MAX_SPAN / APISCALE_TICKS_PER_US) {
            cost = cost * 10 + (*p - '0');
        }
    }

    return cost;
}


/*
 * Gives the charge a policy whose rate and bucket are a part of the policy's,
 * as the request states: from 0 to 1, else 1.
 */

static ngx_int_t
ngx_http_apiscale_limit_scale(ngx_http_request_t *r,
    ngx_http_apiscale_limit_result_t *res)
{
    ngx_int_t           n;
    ngx_str_t           value;
    apiscale_policy_t  *scaled;

    if (ngx_http_complex_value(r, res->limit->scale, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    n = ngx_atofp(value.data, value.len, 6);

    if (n == NGX_ERROR || n >= APISCALE_BUCKET_WHOLE) {
        return NGX_OK;
    }

    scaled = ngx_palloc(r->pool, sizeof(apiscale_policy_t));
    if (scaled == NULL) {
        return NGX_ERROR;
    }

    apiscale_bucket_scale(scaled, res->charge.policy, n);

    res->charge.policy = scaled;

    return NGX_OK;
}


/*
 * Looks at all policies, and charges them if all of them admit the request.
 * 0, or 1 if one rejected.
 */

static ngx_uint_t
ngx_http_apiscale_limit_decide(ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *end, apiscale_clock_t *now)
{
    ngx_uint_t                         rejected;
    ngx_http_apiscale_limit_result_t  *res;

    rejected = 0;
    res = begin;

    do {
        if (apiscale_bucket_check(&res->charge, now) == APISCALE_REJECT) {
            res->flags |= NGX_HTTP_APISCALE_LIMIT_REJECTS;
            rejected |= !(res->flags & NGX_HTTP_APISCALE_LIMIT_DRY);
        }

    } while (++res < end);

    if (rejected) {
        ngx_http_apiscale_limit_uncharged(begin, begin, end, now);
        return 1;
    }

    res = begin;

    do {
        if (res->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS) {
            continue;                     /* a dry run */
        }

        if (apiscale_bucket_charge(&res->charge, now) == APISCALE_REJECT) {
            res->flags |= NGX_HTTP_APISCALE_LIMIT_REJECTS;

            if (!(res->flags & NGX_HTTP_APISCALE_LIMIT_DRY)) {
                ngx_http_apiscale_limit_uncharged(begin, res, end, now);
                return 1;
            }
        }

    } while (++res < end);

    return 0;
}


/*
 * Takes the charges back that were made before one rejected.  The client is
 * told what its other policies have left without this request.
 */

static void
ngx_http_apiscale_limit_uncharged(ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *charged,
    ngx_http_apiscale_limit_result_t *end, apiscale_clock_t *now)
{
    ngx_http_apiscale_limit_result_t  *res;

    for (res = begin; res < end; res++) {
        res->flags &= ~NGX_HTTP_APISCALE_LIMIT_SETTLES;

        if (res->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS) {
            continue;
        }

        if (res < charged) {
            apiscale_bucket_settle(&res->charge, 0, now);

        } else {
            apiscale_bucket_look(&res->charge, now);
        }
    }
}


/*
 * The result that a client is told first: of those that rejected the one with
 * the longest wait, else the one with the least left in proportion.  NULL if
 * no policy applied, dry runs aside.
 */

ngx_http_apiscale_limit_result_t *
ngx_http_apiscale_limit_shown(ngx_http_apiscale_limit_ctx_t *ctx)
{
    ngx_uint_t                         i, rejects;
    ngx_http_apiscale_limit_result_t  *res, *best;

    if (ctx->chosen) {
        return ctx->shown;
    }

    best = NULL;

    for (i = 0; i < ctx->nresults; i++) {
        res = &ctx->results[i];

        if (res->flags & NGX_HTTP_APISCALE_LIMIT_DRY) {
            continue;
        }

        if (best == NULL) {
            best = res;
            continue;
        }

        rejects = res->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS;

        if (rejects != (best->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS)) {
            best = rejects ? res : best;

        } else if (rejects) {
            best = res->charge.res.retry > best->charge.res.retry ? res : best;

        } else if (ngx_http_apiscale_limit_scarcer(res, best)) {
            best = res;
        }
    }

    ctx->shown = best;
    ctx->chosen = 1;

    return best;
}


/* whether one result leaves less than another in proportion */

static ngx_uint_t
ngx_http_apiscale_limit_scarcer(ngx_http_apiscale_limit_result_t *a,
    ngx_http_apiscale_limit_result_t *b)
{
    return (unsigned __int128) apiscale_bucket_remaining(&a->charge)
           * b->charge.policy->gcra.burst
           < (unsigned __int128) apiscale_bucket_remaining(&b->charge)
             * a->charge.policy->gcra.burst;
}


/*
 * Counts the decisions, and logs those that rejected: one line a request.
 * Returns the ticks for which the request is to be held.
 */

static uint64_t
ngx_http_apiscale_limit_account(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_uint_t first, ngx_uint_t rejected)
{
    uint64_t                           wait, longest;
    ngx_http_apiscale_decision_e       decision;
    ngx_http_apiscale_limit_result_t  *res, *end, *dry;
    ngx_http_apiscale_limit_status_e   status;

    dry = NULL;
    longest = 0;
    status = NGX_HTTP_APISCALE_LIMIT_PASSED;
    end = ctx->results + ctx->nresults;

    ctx->chosen = 0;

    for (res = ctx->results + first; res < end; res++) {

        decision = NGX_HTTP_APISCALE_DECISION_PASSED;

        if (res->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS) {
            decision = NGX_HTTP_APISCALE_DECISION_REJECTED;

            if (res->flags & NGX_HTTP_APISCALE_LIMIT_DRY) {
                decision = NGX_HTTP_APISCALE_DECISION_DRY_RUN;
                status = NGX_HTTP_APISCALE_LIMIT_DRY_RUN;
                dry = res;
            }

        } else if (rejected) {
            continue;

        } else if (res->flags & NGX_HTTP_APISCALE_LIMIT_DELAYS) {
            wait = ngx_http_apiscale_limit_wait(res);

            if (wait) {
                decision = NGX_HTTP_APISCALE_DECISION_DELAYED;
                status = ngx_max(status, NGX_HTTP_APISCALE_LIMIT_DELAYED);
                longest = ngx_max(longest, wait);
            }
        }

        ngx_http_apiscale_limit_count(res->policy, decision);
    }

    if (rejected) {
        status = NGX_HTTP_APISCALE_LIMIT_REJECTED;
        dry = ngx_http_apiscale_limit_shown(ctx);
    }

    if (dry) {
        ngx_http_apiscale_limit_log(r, lcf, dry);
    }

    ctx->status = ngx_max(ctx->status, status);

    if (first != ctx->base) {
        ngx_http_apiscale_limit_sort(ctx);
    }

    return longest;
}


/*
 * The ticks for which a request is held, so that those of one bucket leave
 * evenly: until all that was owed before it is paid.
 */

static uint64_t
ngx_http_apiscale_limit_wait(ngx_http_apiscale_limit_result_t *res)
{
    apiscale_charge_t  *c;

    c = &res->charge;

    if (res->flags & NGX_HTTP_APISCALE_LIMIT_DRY || c->cost == 0) {
        return 0;
    }

    return c->res.reset - c->cost * c->policy->gcra.interval;
}


/*
 * The client is told of policies in the order in which they are written, not
 * in that of their stages.
 */

static void
ngx_http_apiscale_limit_sort(ngx_http_apiscale_limit_ctx_t *ctx)
{
    ngx_uint_t                         i, j;
    ngx_http_apiscale_limit_result_t  *results, res;

    results = ctx->results;

    for (i = ctx->base + 1; i < ctx->nresults; i++) {
        res = results[i];

        for (j = i; j > ctx->base; j--) {

            if (ngx_http_apiscale_limit_position(ctx->last,
                                                 results[j - 1].limit)
                <= ngx_http_apiscale_limit_position(ctx->last, res.limit))
            {
                break;
            }

            results[j] = results[j - 1];
        }

        results[j] = res;
    }

    ctx->chosen = 0;
}


static ngx_uint_t
ngx_http_apiscale_limit_position(ngx_http_apiscale_limit_conf_t *lcf,
    ngx_http_apiscale_limit_t *limit)
{
    ngx_uint_t                   i;
    ngx_http_apiscale_limit_t  **limits;

    limits = lcf->limits->elts;

    for (i = 0; i < lcf->limits->nelts && limits[i] != limit; i++) {
        /* void */
    }

    return i;
}


/*
 * Holds a request, as limit_req does.
 */

static ngx_int_t
ngx_http_apiscale_limit_delay(ngx_http_request_t *r, uint64_t wait)
{
    ngx_msec_t    ms;
    ngx_event_t  *wev;

    ms = (wait + 1000 * APISCALE_TICKS_PER_US - 1)
         / (1000 * APISCALE_TICKS_PER_US);

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_apiscale_limit_delayed;

    wev = r->connection->write;

    wev->delayed = 1;
    ngx_add_timer(wev, ms);

    return NGX_AGAIN;
}


static void
ngx_http_apiscale_limit_delayed(ngx_http_request_t *r)
{
    ngx_event_t  *wev;

    wev = r->connection->write;

    if (wev->delayed) {

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;
    }

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


static void
ngx_http_apiscale_limit_log(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_result_t *res)
{
    ngx_log_error(lcf->log_level, r->connection->log, 0,
                  "limiting requests%s by policy \"%V\" of zone \"%V\"",
                  res->flags & NGX_HTTP_APISCALE_LIMIT_DRY
                  ? ", dry run," : "", &res->policy->name,
                  &res->policy->zone->name);
}


static ngx_int_t
ngx_http_apiscale_limit_reject(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx)
{
    u_char                            *p;
    ngx_str_t                          detail, *name;
    ngx_http_apiscale_limit_result_t  *res;

    res = ngx_http_apiscale_limit_shown(ctx);
    name = &res->policy->name;

    p = ngx_pnalloc(r->pool, sizeof("The quota of policy  is exhausted; "
                                    "it admits this request in  s.")
                             + name->len + NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    detail.data = p;

    if (res->charge.res.retry == APISCALE_BUCKET_NEVER) {
        p = ngx_sprintf(p, "The cost exceeds the whole quota of policy %V.",
                        name);

    } else {
        p = ngx_sprintf(p, "The quota of policy %V is exhausted; "
                        "it admits this request in %uL s.", name,
                        ngx_http_apiscale_limit_retry_s(res));
    }

    detail.len = p - detail.data;

    return ngx_http_apiscale_reject(r, lcf->status,
                                    &ngx_http_apiscale_limit_problem, &detail,
                                    ngx_http_apiscale_limit_members);
}


static void
ngx_http_apiscale_limit_members(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_apiscale_text_t *t)
{
    ngx_uint_t                      i, n;
    ngx_http_apiscale_limit_ctx_t  *ctx;

    ctx = rec->limit;
    n = 0;

    ngx_apiscale_text_literal(t, ",\"violated-policies\":[");

    for (i = 0; i < ctx->nresults; i++) {

        if ((ctx->results[i].flags & (NGX_HTTP_APISCALE_LIMIT_REJECTS
                                      |NGX_HTTP_APISCALE_LIMIT_DRY))
            != NGX_HTTP_APISCALE_LIMIT_REJECTS)
        {
            continue;
        }

        if (n++) {
            ngx_apiscale_text_literal(t, ",");
        }

        ngx_apiscale_text_json(t, &ctx->results[i].policy->name);
    }

    ngx_apiscale_text_literal(t, "]");
}
