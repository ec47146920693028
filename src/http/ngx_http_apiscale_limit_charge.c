
/*
 * Copyright (C) apiscale authors
 */


/*
 * The limiter's phase handler.  All policies of a request are looked at
 * first; only when each of them admits it are they charged, by one
 * compare-and-swap each.  When another worker took the last token of a policy
 * in between, the charges already made are given back: what one policy
 * rejects costs nothing in another.
 */


#include "ngx_http_apiscale_limit.h"
#include "ngx_apiscale_time.h"


/* lost races for one key in a row, each of which is another's progress */
#define NGX_HTTP_APISCALE_LIMIT_TRIES  256


static ngx_http_apiscale_limit_result_t *ngx_http_apiscale_limit_decide(
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_uint_t first);
static ngx_http_apiscale_limit_ctx_t *ngx_http_apiscale_limit_make_ctx(
    ngx_http_request_t *r, ngx_http_apiscale_request_t *rec,
    ngx_http_apiscale_limit_conf_t *lcf);
static ngx_http_apiscale_limit_ctx_t *ngx_http_apiscale_limit_extend_ctx(
    ngx_http_request_t *r, ngx_http_apiscale_request_t *rec,
    ngx_http_apiscale_limit_conf_t *lcf)
    ngx_http_apiscale_noinline;
static ngx_int_t ngx_http_apiscale_limit_collect(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx);
static ngx_uint_t ngx_http_apiscale_limit_met(
    ngx_http_apiscale_limit_ctx_t *ctx, ngx_uint_t n,
    ngx_http_apiscale_limit_policy_t *policy)
    ngx_http_apiscale_noinline;
static ngx_int_t ngx_http_apiscale_limit_key(ngx_http_request_t *r,
    ngx_http_apiscale_limit_t *limit,
    u_char net[NGX_HTTP_APISCALE_NET_LEN], ngx_str_t *key);
static uint64_t ngx_http_apiscale_limit_cost(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv)
    ngx_http_apiscale_noinline;
static void ngx_http_apiscale_limit_check(
    ngx_http_apiscale_limit_result_t *res, uint64_t now);
static void ngx_http_apiscale_limit_charge(
    ngx_http_apiscale_limit_result_t *res, uint64_t now);
static void ngx_http_apiscale_limit_charge_again(
    ngx_http_apiscale_limit_result_t *res)
    ngx_http_apiscale_noinline;
static ngx_http_apiscale_limit_result_t *ngx_http_apiscale_limit_charge_all(
    ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *end, uint64_t now);
static void ngx_http_apiscale_limit_give_back_one(
    ngx_http_apiscale_limit_result_t *res);
static void ngx_http_apiscale_limit_give_back(
    ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *res)
    ngx_http_apiscale_noinline;
static void ngx_http_apiscale_limit_uncharged(
    ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *end, uint64_t now)
    ngx_http_apiscale_noinline;
static void ngx_http_apiscale_limit_account(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_uint_t first);
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
 * The handler of the preaccess phase.  NGX_DECLINED: go on.  A policy is
 * charged once a request; after an internal redirect those that were not yet
 * charged are.
 */

ngx_int_t
ngx_http_apiscale_limit_handler(ngx_http_request_t *r)
{
    ngx_uint_t                         first;
    ngx_http_apiscale_request_t       *rec;
    ngx_http_apiscale_limit_ctx_t     *ctx;
    ngx_http_apiscale_limit_conf_t    *lcf;
    ngx_http_apiscale_limit_result_t  *lost;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_limit_module);

    if (lcf->limits == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    if (r->method == NGX_HTTP_OPTIONS && ngx_http_apiscale_preflight(r)) {
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

    if (ngx_http_apiscale_limit_collect(r, lcf, ctx) != NGX_OK) {
        ctx->nresults = first;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->nresults == first) {
        return NGX_DECLINED;
    }

    lost = ngx_http_apiscale_limit_decide(ctx, first);

    ctx->chosen = 0;

    if (lost) {
        ctx->status = NGX_HTTP_APISCALE_LIMIT_REJECTED;

    } else if (ctx->status != NGX_HTTP_APISCALE_LIMIT_DRY_RUN) {
        ctx->status = NGX_HTTP_APISCALE_LIMIT_PASSED;
    }

    if (lost || !(ctx->conf->headers & NGX_HTTP_APISCALE_LIMIT_OFF)) {
        rec->headers |= NGX_HTTP_APISCALE_LIMIT;
    }

    ngx_http_apiscale_limit_account(r, lcf, ctx, first);

    if (lost == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_apiscale_limit_reject(r, lcf, ctx);
}


/*
 * Looks at all policies of the location, and charges them if all of them
 * admit the request.  NULL, or a result that rejected.
 */

static ngx_http_apiscale_limit_result_t *
ngx_http_apiscale_limit_decide(ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_uint_t first)
{
    uint64_t                           now;
    ngx_http_apiscale_limit_result_t  *res, *begin, *end, *lost;

    begin = ctx->results + first;
    end = ctx->results + ctx->nresults;

    now = ngx_apiscale_monotonic_ticks();
    lost = NULL;

    for (res = begin; res < end; res++) {
        ngx_http_apiscale_limit_check(res, now);

        if (res->rejected && !res->dry_run) {
            lost = res;
        }
    }

    if (lost == NULL) {
        lost = ngx_http_apiscale_limit_charge_all(begin, end, now);
    }

    if (lost) {
        ngx_http_apiscale_limit_uncharged(begin, end, now);
    }

    return lost;
}


/*
 * The request's limiter state with room for the results of a location.
 */

static ngx_http_apiscale_limit_ctx_t *
ngx_http_apiscale_limit_make_ctx(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_http_apiscale_limit_conf_t *lcf)
{
    ngx_http_apiscale_limit_ctx_t  *ctx;

    if (rec->limit) {
        return ngx_http_apiscale_limit_extend_ctx(r, rec, lcf);
    }

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_apiscale_limit_ctx_t)
                              + lcf->limits->nelts
                                * sizeof(ngx_http_apiscale_limit_result_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->conf = lcf;
    ctx->results = (ngx_http_apiscale_limit_result_t *) &ctx[1];
    ctx->nresults = 0;
    ctx->status = NGX_HTTP_APISCALE_LIMIT_BYPASSED;
    ctx->chosen = 0;
    ctx->extended = 0;
    ctx->sent = 0;

    rec->limit = ctx;

    return ctx;
}


/*
 * As above after a redirect: the results of the earlier location are kept.
 * If no policy applied there, the new location is the one that counts.
 */

static ngx_http_apiscale_limit_ctx_t *
ngx_http_apiscale_limit_extend_ctx(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_http_apiscale_limit_conf_t *lcf)
{
    ngx_uint_t                      n;
    ngx_http_apiscale_limit_ctx_t  *ctx, *old;

    old = rec->limit;
    n = lcf->limits->nelts + old->nresults;

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_apiscale_limit_ctx_t)
                           + n * sizeof(ngx_http_apiscale_limit_result_t));
    if (ctx == NULL) {
        return NULL;
    }

    *ctx = *old;

    ctx->results = (ngx_http_apiscale_limit_result_t *) &ctx[1];
    ctx->chosen = 0;
    ctx->extended = 1;
    ctx->sent = 0;

    ngx_memcpy(ctx->results, old->results,
               old->nresults * sizeof(ngx_http_apiscale_limit_result_t));

    if (ctx->nresults == 0) {
        ctx->conf = lcf;
        ctx->extended = 0;
        ctx->status = NGX_HTTP_APISCALE_LIMIT_BYPASSED;
    }

    rec->limit = ctx;

    return ctx;
}


/*
 * Appends a result for each policy of the location that applies: whose key is
 * not empty and that was not charged before a redirect.  What
 * lines have in common is done once: the key, and its hash in a zone.
 */

static ngx_int_t
ngx_http_apiscale_limit_collect(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx)
{
    u_char                              net[NGX_HTTP_APISCALE_NET_LEN];
    uint64_t                            hash;
    ngx_str_t                           key;
    ngx_uint_t                          i, first;
    ngx_http_apiscale_limit_t         **limits, *limit, *known;
    ngx_http_apiscale_limit_zone_t     *zone;
    ngx_http_apiscale_limit_result_t   *res, *next;
    ngx_http_apiscale_limit_policy_t   *policy;

    ngx_str_null(&key);
    hash = 0;
    zone = NULL;
    known = NULL;
    limits = lcf->limits->elts;
    first = ctx->nresults;
    next = ctx->results + first;

    for (i = 0; i < lcf->limits->nelts; i++) {
        limit = limits[i];
        policy = limit->policy;

        if (first && ngx_http_apiscale_limit_met(ctx, first, policy)) {
            continue;
        }

        if (known == NULL || known->key != limit->key) {

            if (ngx_http_apiscale_limit_key(r, limit, net, &key) != NGX_OK) {
                return NGX_ERROR;
            }

            known = limit;
            zone = NULL;
        }

        if (key.len == 0) {
            continue;
        }

        if (zone != policy->zone) {
            zone = policy->zone;
            hash = apiscale_siphash_final(&zone->hash, key.data, key.len);
        }

        res = next++;
        ctx->nresults++;

        res->policy = policy;
        res->dry_run = limit->dry_run | lcf->dry_run;
        res->rejected = 0;
        res->cost = limit->cost ? ngx_http_apiscale_limit_cost(r, limit->cost)
                                : 1;

        res->ref.fingerprint = apiscale_table_fingerprint(hash ^ policy->salt);

        /* of one bucket nothing could be awaited together with its lines */

        if (lcf->limits->nelts > 1) {
            apiscale_table_prefetch(&zone->table, res->ref.fingerprint);
        }
    }

    return NGX_OK;
}


/* whether a policy is among the results of an earlier location */

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


static ngx_int_t
ngx_http_apiscale_limit_key(ngx_http_request_t *r,
    ngx_http_apiscale_limit_t *limit, u_char net[NGX_HTTP_APISCALE_NET_LEN],
    ngx_str_t *key)
{
    if (limit->key) {
        return ngx_http_complex_value(r, limit->key, key);
    }

    key->len = ngx_http_apiscale_client_net(r, net);
    key->data = net;

    return NGX_OK;
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
 * Looks a policy's bucket up and decides, without charging it.
 */

static void
ngx_http_apiscale_limit_check(ngx_http_apiscale_limit_result_t *res,
    uint64_t now)
{
    uint64_t                           tat, from;
    ngx_uint_t                         generation;
    ngx_http_apiscale_limit_policy_t  *policy;

    policy = res->policy;

    apiscale_table_find(&policy->zone->table, res->ref.fingerprint,
                        &res->ref);

    tat = res->ref.state;
    generation = res->ref.key & APISCALE_KEY_GENERATION;

    if (res->ref.entry && generation != policy->generation) {
        from = policy->slot->intervals[generation];
        tat = apiscale_gcra_rescale(tat, now, from, policy->gcra.interval);
    }

    res->rejected = apiscale_gcra_check(&policy->gcra, tat, now, res->cost,
                                        &res->gcra)
                    == APISCALE_REJECT;
}


/*
 * Charges a bucket that admitted the request when it was looked at.  If other
 * workers were faster until it does not any more, res->rejected is set.
 */

static void
ngx_http_apiscale_limit_charge(ngx_http_apiscale_limit_result_t *res,
    uint64_t now)
{
    ngx_http_apiscale_limit_policy_t  *policy;

    if (res->cost == 0) {
        return;
    }

    policy = res->policy;

    if (apiscale_table_commit(&policy->zone->table, &res->ref,
                              policy->generation, res->gcra.tat, now)
        != APISCALE_TABLE_OK)
    {
        ngx_http_apiscale_limit_charge_again(res);
    }
}


static void
ngx_http_apiscale_limit_charge_again(ngx_http_apiscale_limit_result_t *res)
{
    uint64_t                           now;
    ngx_uint_t                         i;
    ngx_http_apiscale_limit_policy_t  *policy;

    policy = res->policy;

    for (i = 0; i < NGX_HTTP_APISCALE_LIMIT_TRIES; i++) {

        now = ngx_apiscale_monotonic_ticks();

        ngx_http_apiscale_limit_check(res, now);

        if (res->rejected) {
            return;
        }

        if (apiscale_table_commit(&policy->zone->table, &res->ref,
                                  policy->generation, res->gcra.tat, now)
            == APISCALE_TABLE_OK)
        {
            return;
        }
    }

    /* rather one request too few than one too many */

    res->rejected = 1;
    res->gcra.retry = policy->gcra.interval;
}


/*
 * Charges all policies that were looked at, or none.  NULL, or the result
 * that rejected.
 */

static ngx_http_apiscale_limit_result_t *
ngx_http_apiscale_limit_charge_all(ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *end, uint64_t now)
{
    ngx_http_apiscale_limit_result_t  *res;

    for (res = begin; res < end; res++) {

        if (res->rejected) {
            continue;                     /* a dry run */
        }

        ngx_http_apiscale_limit_charge(res, now);

        if (res->rejected && !res->dry_run) {
            ngx_http_apiscale_limit_give_back(begin, res);
            return res;
        }
    }

    return NULL;
}


/* takes the charges back that were made before "res" rejected */

static void
ngx_http_apiscale_limit_give_back(ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *res)
{
    while (res-- > begin) {
        ngx_http_apiscale_limit_give_back_one(res);
    }
}


/*
 * Takes a charge of this very request back, while the client waits.
 */

static void
ngx_http_apiscale_limit_give_back_one(
    ngx_http_apiscale_limit_result_t *res)
{
    uint64_t                           now, tat, amount, written;
    ngx_uint_t                         i;
    apiscale_table_rc_e                rc;
    ngx_http_apiscale_limit_policy_t  *policy;

    if (res->rejected || res->cost == 0) {
        return;
    }

    policy = res->policy;
    amount = res->cost * policy->gcra.interval;
    written = res->gcra.tat;

    for (i = 0; i < NGX_HTTP_APISCALE_LIMIT_TRIES; i++) {

        now = ngx_apiscale_monotonic_ticks();

        apiscale_table_find(&policy->zone->table, res->ref.fingerprint,
                            &res->ref);

        /* gone, or rescaled by a worker of another configuration */

        if (res->ref.entry == NULL
            || (res->ref.key & APISCALE_KEY_GENERATION)
               != policy->generation)
        {
            break;
        }

        tat = apiscale_gcra_refund(res->ref.state, now, written, amount);

        rc = apiscale_table_commit(&policy->zone->table, &res->ref,
                                   policy->generation, tat, now);

        if (rc == APISCALE_TABLE_OK) {
            break;
        }
    }
}


/*
 * Of a request that was rejected the client is told what its other policies
 * have left without it.
 */

static void
ngx_http_apiscale_limit_uncharged(ngx_http_apiscale_limit_result_t *begin,
    ngx_http_apiscale_limit_result_t *end, uint64_t now)
{
    uint64_t                           tat;
    ngx_http_apiscale_limit_result_t  *res;

    for (res = begin; res < end; res++) {

        if (!res->rejected) {
            tat = res->gcra.tat - res->cost * res->policy->gcra.interval;

            (void) apiscale_gcra_check(&res->policy->gcra, tat, now, 0,
                                       &res->gcra);
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
    ngx_uint_t                         i;
    ngx_http_apiscale_limit_result_t  *res, *best;

    if (ctx->chosen) {
        return ctx->shown;
    }

    best = NULL;

    for (i = 0; i < ctx->nresults; i++) {
        res = &ctx->results[i];

        if (res->dry_run) {
            continue;
        }

        if (best == NULL) {
            best = res;
            continue;
        }

        if (res->rejected != best->rejected) {
            best = res->rejected ? res : best;

        } else if (res->rejected) {
            best = res->gcra.retry > best->gcra.retry ? res : best;

        } else if ((unsigned __int128) res->gcra.remaining
                   * best->policy->gcra.burst
                   < (unsigned __int128) best->gcra.remaining
                     * res->policy->gcra.burst)
        {
            best = res;
        }
    }

    ctx->shown = best;
    ctx->chosen = 1;

    return best;
}


/*
 * Counts the decisions and logs those that rejected: one line a request.
 */

static void
ngx_http_apiscale_limit_account(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_ctx_t *ctx,
    ngx_uint_t first)
{
    ngx_http_apiscale_limit_result_t  *res, *end, *dry;

    dry = NULL;
    end = ctx->results + ctx->nresults;

    for (res = ctx->results + first; res < end; res++) {

        if (!res->rejected) {
            if (ctx->status != NGX_HTTP_APISCALE_LIMIT_REJECTED) {
                ngx_http_apiscale_limit_count(res->policy,
                                           NGX_HTTP_APISCALE_DECISION_PASSED);
            }

        } else if (res->dry_run) {
            ngx_http_apiscale_limit_count(res->policy,
                                          NGX_HTTP_APISCALE_DECISION_DRY_RUN);
            dry = res;

        } else {
            ngx_http_apiscale_limit_count(res->policy,
                                         NGX_HTTP_APISCALE_DECISION_REJECTED);
        }
    }

    if (ctx->status == NGX_HTTP_APISCALE_LIMIT_REJECTED) {
        ngx_http_apiscale_limit_log(r, lcf,
                                    ngx_http_apiscale_limit_shown(ctx));

    } else if (dry) {
        ctx->status = NGX_HTTP_APISCALE_LIMIT_DRY_RUN;
        ngx_http_apiscale_limit_log(r, lcf, dry);
    }
}


static void
ngx_http_apiscale_limit_log(ngx_http_request_t *r,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_result_t *res)
{
    ngx_log_error(lcf->log_level, r->connection->log, 0,
                  "limiting requests%s by policy \"%V\" of zone \"%V\"",
                  res->dry_run ? ", dry run," : "", &res->policy->name,
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

    if (res->gcra.retry == APISCALE_GCRA_NEVER) {
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

        if (!ctx->results[i].rejected || ctx->results[i].dry_run) {
            continue;
        }

        if (n++) {
            ngx_apiscale_text_literal(t, ",");
        }

        ngx_apiscale_text_json(t, &ctx->results[i].policy->name);
    }

    ngx_apiscale_text_literal(t, "]");
}
