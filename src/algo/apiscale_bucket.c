
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_bucket.h"


/* makes the fingerprint of a sliding window's second counter */
#define APISCALE_BUCKET_SECOND  0x9e3779b97f4a7c00ULL


static uint64_t apiscale_bucket_convert(const apiscale_policy_t *p,
    const apiscale_ref_t *ref, const apiscale_clock_t *now);
static apiscale_verdict_e apiscale_bucket_window(apiscale_charge_t *c,
    const apiscale_clock_t *now);
static uint64_t apiscale_bucket_counter(const apiscale_charge_t *c,
    const apiscale_window_t *w, const apiscale_clock_t *now, unsigned before);
static void apiscale_bucket_move(const apiscale_policy_t *p,
    const apiscale_ref_t *ref, uint64_t state, const apiscale_clock_t *now);
static void apiscale_bucket_set_window(const apiscale_policy_t *p,
    apiscale_window_t *w);
static apiscale_table_rc_e apiscale_bucket_correct(
    const apiscale_charge_t *c, uint64_t cost, const apiscale_clock_t *now);
static apiscale_table_rc_e apiscale_bucket_give_back(
    const apiscale_charge_t *c, uint64_t cost, const apiscale_clock_t *now);
static apiscale_table_rc_e apiscale_bucket_owe(const apiscale_charge_t *c,
    uint64_t cost, const apiscale_clock_t *now);


/*
 * apiscale_bucket_check() of what is not in its way usually: windows, and
 * states of another configuration's rate.
 */

apiscale_verdict_e
apiscale_bucket_check_other(apiscale_charge_t *c, const apiscale_clock_t *now)
{
    uint64_t  tat;

    if (c->policy->kind != APISCALE_ROLLING) {
        return apiscale_bucket_window(c, now);
    }

    apiscale_table_find(c->policy->table, c->fingerprint, &c->ref);

    tat = apiscale_bucket_convert(c->policy, &c->ref, now);

    return apiscale_gcra_check(&c->policy->gcra, tat, now->mono, c->cost,
                               &c->res);
}


/*
 * The state of an entry as the policy would have written it: so many requests
 * are owed as before.
 */

static uint64_t
apiscale_bucket_convert(const apiscale_policy_t *p, const apiscale_ref_t *ref,
    const apiscale_clock_t *now)
{
    uint64_t           from, to, state, owed;
    unsigned           generation;
    apiscale_window_t  w;

    state = ref->state;

    if (apiscale_state_left(state, now) == 0) {
        return 0;
    }

    generation = ref->key & APISCALE_KEY_GENERATION;

    from = APISCALE_BUCKET_INTERVAL(p->rates[generation]);

    /* not p->gcra: it may be scaled for this request */

    to = APISCALE_BUCKET_INTERVAL(p->rates[p->generation]);

    if (p->kind == APISCALE_ROLLING) {

        if (state & APISCALE_WINDOW_COUNTER) {
            owed = apiscale_window_owed(state, now->wall);
            return apiscale_gcra_add(0, now->mono, to, owed);
        }

        return generation == p->generation
               ? state : apiscale_gcra_rescale(state, now->mono, from, to);
    }

    if (state & APISCALE_WINDOW_COUNTER) {
        return state;
    }

    apiscale_bucket_set_window(p, &w);

    owed = from ? (state - now->mono + from - 1) / from : 0;

    return apiscale_window_add(&w, 0, now->wall, owed);
}


static apiscale_verdict_e
apiscale_bucket_window(apiscale_charge_t *c, const apiscale_clock_t *now)
{
    uint64_t                  previous;
    apiscale_ref_t            ref;
    apiscale_window_t         w;
    const apiscale_policy_t  *p;
    apiscale_window_result_t  res;

    p = c->policy;

    apiscale_bucket_set_window(p, &w);

    previous = 0;

    if (w.sliding) {
        apiscale_table_find(p->table,
                            apiscale_bucket_counter(c, &w, now, 1), &ref);

        previous = apiscale_window_previous(&w,
                                       apiscale_bucket_convert(p, &ref, now),
                                       now->wall);

        apiscale_bucket_move(p, &ref, previous, now);
    }

    apiscale_table_find(p->table, apiscale_bucket_counter(c, &w, now, 0),
                        &c->ref);

    apiscale_window_check(&w, previous,
                          apiscale_bucket_convert(p, &c->ref, now), now->wall,
                          c->cost, &res);

    if (res.rejected) {
        apiscale_bucket_move(p, &c->ref, res.state, now);
    }

    c->res.tat = res.state;
    c->res.retry = res.retry;
    c->res.reset = res.reset;
    c->remaining = res.remaining;
    c->within = res.within;
    c->until = now->wall + res.reset;

    return res.rejected ? APISCALE_REJECT : APISCALE_ADMIT;
}


/*
 * Puts a counter whose requests stay the same into another window.  If another
 * process was faster, it has seen to that, or the next request will.
 */

static void
apiscale_bucket_move(const apiscale_policy_t *p, const apiscale_ref_t *ref,
    uint64_t state, const apiscale_clock_t *now)
{
    if (ref->entry && state && ref->state != state) {
        (void) apiscale_table_commit(p->table, ref, p->generation, state,
                                     now);
    }
}


static void
apiscale_bucket_set_window(const apiscale_policy_t *p, apiscale_window_t *w)
{
    w->limit = p->gcra.burst;
    w->period_s = p->period_s;
    w->sliding = (p->kind == APISCALE_SLIDING);
}


/*
 * The fingerprint of the counter of the current window, or of the one before
 * it.  A sliding window has two, which take turns.
 */

static uint64_t
apiscale_bucket_counter(const apiscale_charge_t *c,
    const apiscale_window_t *w, const apiscale_clock_t *now, unsigned before)
{
    if (w->sliding && apiscale_window_parity(w, now->wall) != before) {
        return apiscale_table_fingerprint(c->fingerprint
                                          ^ APISCALE_BUCKET_SECOND);
    }

    return c->fingerprint;
}


/*
 * apiscale_bucket_charge() when another process changed the state since it
 * was looked at.
 */

apiscale_verdict_e
apiscale_bucket_charge_again(apiscale_charge_t *c, const apiscale_clock_t *now)
{
    unsigned                  i;
    const apiscale_policy_t  *p;

    p = c->policy;

    for (i = 0; i < APISCALE_BUCKET_TRIES; i++) {

        if (apiscale_bucket_check(c, now) == APISCALE_REJECT) {
            return APISCALE_REJECT;
        }

        if (apiscale_table_commit(p->table, &c->ref, p->generation,
                                  c->res.tat, now)
            == APISCALE_TABLE_OK)
        {
            return APISCALE_ADMIT;
        }
    }

    /* rather one request too few than one too many */

    c->res.retry = p->gcra.interval;

    return APISCALE_REJECT;
}


/*
 * Fills c->res with what the bucket has left without this request, which was
 * not charged.
 */

void
apiscale_bucket_look(apiscale_charge_t *c, const apiscale_clock_t *now)
{
    uint64_t  cost;

    cost = c->cost;

    c->cost = 0;

    (void) apiscale_bucket_check(c, now);

    c->cost = cost;
}


/*
 * Corrects a charge that was made: to "cost" from c->cost, which is changed.
 * Nothing is given back that the clock has forgiven meanwhile; what exceeds
 * the bucket is owed.  c->res then tells what is left.
 */

void
apiscale_bucket_settle(apiscale_charge_t *c, uint64_t cost,
    const apiscale_clock_t *now)
{
    unsigned  i;

    for (i = 0; i < APISCALE_BUCKET_TRIES; i++) {

        if (apiscale_bucket_correct(c, cost, now) == APISCALE_TABLE_OK) {
            break;
        }
    }

    c->cost = cost;

    apiscale_bucket_look(c, now);
}


static apiscale_table_rc_e
apiscale_bucket_correct(const apiscale_charge_t *c, uint64_t cost,
    const apiscale_clock_t *now)
{
    if (cost < c->cost) {
        return apiscale_bucket_give_back(c, c->cost - cost, now);
    }

    if (cost > c->cost) {
        return apiscale_bucket_owe(c, cost - c->cost, now);
    }

    return APISCALE_TABLE_OK;
}


static apiscale_table_rc_e
apiscale_bucket_give_back(const apiscale_charge_t *c, uint64_t cost,
    const apiscale_clock_t *now)
{
    uint64_t                  state;
    apiscale_ref_t            ref;
    apiscale_window_t         w;
    const apiscale_policy_t  *p;

    p = c->policy;

    apiscale_table_find(p->table, c->ref.fingerprint, &ref);

    /* gone, or written by a process of another configuration: it is kept */

    if (ref.key != (c->ref.fingerprint | p->generation)) {
        return APISCALE_TABLE_OK;
    }

    if (p->kind == APISCALE_ROLLING) {
        state = apiscale_gcra_refund(ref.state, now->mono, c->res.tat,
                                     cost * p->gcra.interval);

    } else {
        apiscale_bucket_set_window(p, &w);
        state = apiscale_window_refund(&w, ref.state, c->res.tat, now->wall,
                                       cost);
    }

    return apiscale_table_commit(p->table, &ref, p->generation, state, now);
}


static apiscale_table_rc_e
apiscale_bucket_owe(const apiscale_charge_t *c, uint64_t cost,
    const apiscale_clock_t *now)
{
    uint64_t                  state;
    apiscale_ref_t            ref;
    apiscale_window_t         w;
    const apiscale_policy_t  *p;

    p = c->policy;

    apiscale_bucket_set_window(p, &w);

    apiscale_table_find(p->table, apiscale_bucket_counter(c, &w, now, 0),
                        &ref);

    state = apiscale_bucket_convert(p, &ref, now);

    if (p->kind == APISCALE_ROLLING) {
        state = apiscale_gcra_add(state, now->mono, p->gcra.interval, cost);

    } else {
        state = apiscale_window_add(&w, state, now->wall, cost);
    }

    return apiscale_table_commit(p->table, &ref, p->generation, state, now);
}


/*
 * Makes a policy that has a part of another's rate and size, for one request.
 * With none of it, each cost above 0 exceeds the bucket.
 */

void
apiscale_bucket_scale(apiscale_policy_t *scaled,
    const apiscale_policy_t *policy, uint64_t millionths)
{
    unsigned __int128  interval;

    *scaled = *policy;

    scaled->gcra.burst = (unsigned __int128) policy->gcra.burst * millionths
                         / APISCALE_BUCKET_WHOLE;

    if (scaled->gcra.burst == 0) {
        return;
    }

    interval = (unsigned __int128) policy->gcra.interval
               * APISCALE_BUCKET_WHOLE / millionths;

    scaled->gcra.interval = (uint64_t) interval;
}


/*
 * The requests that c->res leaves.
 */

uint64_t
apiscale_bucket_remaining(const apiscale_charge_t *c)
{
    return c->policy->kind == APISCALE_ROLLING
           ? apiscale_gcra_remaining(&c->policy->gcra, c->res.reset)
           : c->remaining;
}


/*
 * The ticks within which no more requests are admitted than remain; with
 * none left, the wait for one.  Never more than res.retry.
 */

uint64_t
apiscale_bucket_within(const apiscale_charge_t *c)
{
    uint64_t                remaining, within;
    const apiscale_gcra_t  *g;

    g = &c->policy->gcra;

    if (c->policy->kind != APISCALE_ROLLING) {
        within = c->within;

    } else {
        remaining = apiscale_gcra_remaining(g, c->res.reset);

        within = remaining ? remaining * g->interval
                           : c->res.reset + g->interval
                             - g->burst * g->interval;
    }

    return c->res.retry && c->res.retry < within ? c->res.retry : within;
}
