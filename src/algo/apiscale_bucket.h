
/*
 * Copyright (C) apiscale authors
 */


/*
 * Buckets: what a policy says of one key.  The state of a bucket stands in
 * the table; it is a TAT (apiscale_gcra.h) or a counter (apiscale_window.h).
 * All that several processes may do to one bucket at once is here.
 *
 * Depends on the headers of these.  Whoever has several policies checks all
 * of them, then charges all of them; a charge may be corrected once, later.
 */


#ifndef APISCALE_BUCKET_H_INCLUDED_
#define APISCALE_BUCKET_H_INCLUDED_


#include <stdint.h>

#include "apiscale_clock.h"
#include "apiscale_gcra.h"
#include "apiscale_table.h"
#include "apiscale_window.h"


/* lost races for one bucket in a row, each of which is another's progress */
#define APISCALE_BUCKET_TRIES   256

/* "retry" of what is never admitted */
#define APISCALE_BUCKET_NEVER   UINT64_MAX

/* "millionths" of a policy that is not scaled */
#define APISCALE_BUCKET_WHOLE   1000000

#define APISCALE_BUCKET_RATE(interval, kind)                                  \
    ((interval) | (uint64_t) (kind) << 62)

#define APISCALE_BUCKET_INTERVAL(rate)  ((rate) & ~(3ULL << 62))


typedef enum {
    APISCALE_ROLLING = 0,
    APISCALE_FIXED,
    APISCALE_SLIDING
} apiscale_kind_e;


/*
 * A policy.  States are written under its rate generation, and found under
 * those of other configurations, too: "rates", which all processes share,
 * tells what each generation stands for (APISCALE_BUCKET_RATE).
 */

typedef struct {
    apiscale_gcra_t          gcra;        /* burst: the bucket's size, or N */
    uint64_t                 period_s;    /* of windows */
    apiscale_kind_e          kind;
    unsigned                 generation;
    const uint64_t          *rates;
    const apiscale_table_t  *table;
} apiscale_policy_t;


/*
 * The charge of one request to one bucket.  The caller sets "policy", "cost"
 * and "fingerprint".
 */

typedef struct {
    const apiscale_policy_t  *policy;
    uint64_t                  cost;
    uint64_t                  fingerprint;
    apiscale_ref_t            ref;
    apiscale_gcra_result_t    res;        /* tat: any kind of state */

    /* of windows; see apiscale_bucket_remaining() and _within() */

    uint64_t                  remaining;
    uint64_t                  within;
    uint64_t                  until;      /* reset, by the wall clock */
} apiscale_charge_t;


apiscale_verdict_e apiscale_bucket_check_other(apiscale_charge_t *c,
    const apiscale_clock_t *now);
apiscale_verdict_e apiscale_bucket_charge_again(apiscale_charge_t *c,
    const apiscale_clock_t *now);
void apiscale_bucket_look(apiscale_charge_t *c, const apiscale_clock_t *now);
void apiscale_bucket_settle(apiscale_charge_t *c, uint64_t cost,
    const apiscale_clock_t *now);
void apiscale_bucket_scale(apiscale_policy_t *scaled,
    const apiscale_policy_t *policy, uint64_t millionths);
uint64_t apiscale_bucket_remaining(const apiscale_charge_t *c);
uint64_t apiscale_bucket_within(const apiscale_charge_t *c);


/*
 * Looks a bucket up and tells whether it admits the request, without charging
 * it.  c->res says the rest; res.retry is 0 when it is admitted.
 *
 * Inline as far as it runs for each request: a rolling policy and a state of
 * its own generation.
 */

static inline apiscale_verdict_e
apiscale_bucket_check(apiscale_charge_t *c, const apiscale_clock_t *now)
{
    const apiscale_policy_t  *p;

    p = c->policy;

    if (p->kind != APISCALE_ROLLING) {
        return apiscale_bucket_check_other(c, now);
    }

    apiscale_table_find(p->table, c->fingerprint, &c->ref);

    if (c->ref.entry && c->ref.key != (c->fingerprint | p->generation)) {
        return apiscale_bucket_check_other(c, now);
    }

    return apiscale_gcra_check(&p->gcra, c->ref.state, now->mono, c->cost,
                               &c->res);
}


/*
 * Charges a bucket that admitted the request when it was looked at.
 * APISCALE_REJECT if other processes were faster until it does not any more;
 * c->res is up to date then.
 */

static inline apiscale_verdict_e
apiscale_bucket_charge(apiscale_charge_t *c, const apiscale_clock_t *now)
{
    if (c->cost == 0
        || apiscale_table_commit(c->policy->table, &c->ref,
                                 c->policy->generation, c->res.tat, now)
           == APISCALE_TABLE_OK)
    {
        return APISCALE_ADMIT;
    }

    return apiscale_bucket_charge_again(c, now);
}


#endif /* APISCALE_BUCKET_H_INCLUDED_ */
