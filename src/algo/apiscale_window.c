
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_window.h"


typedef unsigned __int128  apiscale_wide_t;


static void apiscale_window_fixed(const apiscale_window_t *w, uint64_t state,
    uint64_t wall, uint64_t cost, apiscale_window_result_t *res);
static void apiscale_window_sliding(const apiscale_window_t *w,
    uint64_t previous, uint64_t current, uint64_t wall, uint64_t cost,
    apiscale_window_result_t *res);
static uint64_t apiscale_window_wait(const apiscale_window_t *w,
    uint64_t previous, uint64_t current, uint64_t rest, uint64_t cost);


/* a clock that was never set is taken to be there */

static uint64_t
apiscale_window_since_monday(uint64_t wall)
{
    uint64_t  monday;

    monday = APISCALE_WINDOW_MONDAY_S * APISCALE_TICKS_PER_SEC;

    return wall > monday ? wall - monday : 0;
}


/* ticks until the current window ends */

static uint64_t
apiscale_window_rest(const apiscale_window_t *w, uint64_t wall)
{
    uint64_t  period;

    period = w->period_s * APISCALE_TICKS_PER_SEC;

    return period - apiscale_window_since_monday(wall) % period;
}


static uint64_t
apiscale_window_make(uint64_t wall, uint64_t left, uint64_t count)
{
    uint64_t  s;

    s = (wall + left) / APISCALE_TICKS_PER_SEC & APISCALE_WINDOW_SECONDS;

    if (count > APISCALE_WINDOW_MAX_COUNT) {
        count = APISCALE_WINDOW_MAX_COUNT;
    }

    return APISCALE_WINDOW_COUNTER | s << 32 | count;
}


/*
 * The requests that a counter still stands for, 0 if there is none.
 */

uint64_t
apiscale_window_owed(uint64_t state, uint64_t wall)
{
    if (!(state & APISCALE_WINDOW_COUNTER)
        || apiscale_window_left(state, wall) == 0)
    {
        return 0;
    }

    return state & APISCALE_WINDOW_MAX_COUNT;
}


/*
 * A counter's life, in ticks from now, when requests of now are put into it.
 *
 * A fixed one that belongs to the next window was written by a worker whose
 * clock is already there: requests join it, else the window would be counted
 * twice.  One that is further in the future is from before the clock was set
 * back, or from a longer PERIOD: what it counts is kept, for the current
 * window.
 */

static uint64_t
apiscale_window_life(const apiscale_window_t *w, uint64_t state,
    uint64_t wall)
{
    uint64_t  rest, left, period;

    rest = apiscale_window_rest(w, wall);
    period = w->period_s * APISCALE_TICKS_PER_SEC;

    if (w->sliding) {
        return rest + period;
    }

    if (apiscale_window_owed(state, wall)) {
        left = apiscale_window_left(state, wall);

        if (left > rest && left <= rest + period) {
            return left;
        }
    }

    return rest;
}


/*
 * Which of a sliding window's two counters is the current one; the other is
 * of the window before.
 */

unsigned
apiscale_window_parity(const apiscale_window_t *w, uint64_t wall)
{
    return apiscale_window_since_monday(wall) / APISCALE_TICKS_PER_SEC
           / w->period_s & 1;
}


/*
 * Tells whether "cost" requests are admitted at "wall" by counters whose
 * words are "current" and, when sliding, "previous"; fills "res".  To charge
 * them the caller replaces "current" by res->state.  When they are rejected,
 * res->state has the same count for the current window: a "current" that
 * differs from it, after the clock was set back, is to be replaced as well,
 * else it would reject until the clock is there again.
 *
 * A cost of 0 is always admitted.  res->retry is a wait after which the same
 * cost is admitted if nobody else asks, APISCALE_WINDOW_NEVER when the cost
 * exceeds the limit.  The current counter may be above the limit, as debt.
 */

void
apiscale_window_check(const apiscale_window_t *w, uint64_t previous,
    uint64_t current, uint64_t wall, uint64_t cost,
    apiscale_window_result_t *res)
{
    if (w->sliding) {
        apiscale_window_sliding(w, previous, current, wall, cost, res);

    } else {
        apiscale_window_fixed(w, current, wall, cost, res);
    }
}


/*
 * A sliding window's previous counter as it has to be: what is left from
 * before the clock was set back counts for the window before the current one.
 * A counter of the next window is of a worker whose clock is already there.
 */

uint64_t
apiscale_window_previous(const apiscale_window_t *w, uint64_t previous,
    uint64_t wall)
{
    uint64_t  count, rest, period;

    count = apiscale_window_owed(previous, wall);

    if (count == 0) {
        return previous;
    }

    rest = apiscale_window_rest(w, wall);
    period = w->period_s * APISCALE_TICKS_PER_SEC;

    return apiscale_window_left(previous, wall) > rest + 2 * period
           ? apiscale_window_make(wall, rest, count) : previous;
}


static void
apiscale_window_fixed(const apiscale_window_t *w, uint64_t state,
    uint64_t wall, uint64_t cost, apiscale_window_result_t *res)
{
    uint64_t  count, life;

    count = apiscale_window_owed(state, wall);
    life = apiscale_window_life(w, state, wall);

    res->rejected = cost != 0
                    && (cost > w->limit || count > w->limit - cost);

    if (res->rejected) {
        res->state = count ? apiscale_window_make(wall, life, count) : state;
        res->retry = cost > w->limit ? APISCALE_WINDOW_NEVER : life;

    } else {
        count += cost;
        res->state = cost ? apiscale_window_make(wall, life, count) : state;
        res->retry = 0;
    }

    res->remaining = count < w->limit ? w->limit - count : 0;
    res->reset = count ? life : 0;
    res->within = life;
}


/*
 * The estimate of requests in the last PERIOD is
 *
 *     previous * rest / PERIOD + current
 *
 * where "rest" is what is left of the current window.  It is compared as
 * requests times ticks, so that nothing is rounded.
 */

static void
apiscale_window_sliding(const apiscale_window_t *w, uint64_t previous,
    uint64_t current, uint64_t wall, uint64_t cost,
    apiscale_window_result_t *res)
{
    uint64_t         before, count, rest, period;
    apiscale_wide_t  used, most;

    before = apiscale_window_owed(previous, wall);
    count = apiscale_window_owed(current, wall);
    rest = apiscale_window_rest(w, wall);
    period = w->period_s * APISCALE_TICKS_PER_SEC;

    most = (apiscale_wide_t) w->limit * period;
    used = (apiscale_wide_t) before * rest + (apiscale_wide_t) count * period;

    res->rejected = cost != 0
                    && (cost > w->limit
                        || used + (apiscale_wide_t) cost * period > most);

    if (res->rejected) {
        res->state = count ? apiscale_window_make(wall, rest + period, count)
                           : current;
        res->retry = apiscale_window_wait(w, before, count, rest, cost);

    } else {
        count += cost;
        used += (apiscale_wide_t) cost * period;
        res->state = cost ? apiscale_window_make(wall, rest + period, count)
                          : current;
        res->retry = 0;
    }

    res->remaining = used < most ? (uint64_t) ((most - used) / period) : 0;
    res->reset = count ? rest + period : before ? rest : 0;

    res->within = res->remaining || w->limit == 0
                  ? rest : apiscale_window_wait(w, before, count, rest, 1);
}


/*
 * Ticks until a sliding window that does not admit "cost" now would.  Either
 * the window before moves out far enough within the current one, or the
 * current one has to become the window before.
 */

static uint64_t
apiscale_window_wait(const apiscale_window_t *w, uint64_t previous,
    uint64_t current, uint64_t rest, uint64_t cost)
{
    uint64_t         period;
    apiscale_wide_t  covered;

    if (cost > w->limit) {
        return APISCALE_WINDOW_NEVER;
    }

    period = w->period_s * APISCALE_TICKS_PER_SEC;

    if (current + cost <= w->limit) {

        /* so much of the window before may still be covered */

        if (previous == 0) {
            return 0;
        }

        covered = (apiscale_wide_t) (w->limit - current - cost) * period
                  / previous;

        return covered < rest ? rest - (uint64_t) covered : 0;
    }

    covered = (apiscale_wide_t) (w->limit - cost) * period / current;

    return rest + (covered < period ? period - (uint64_t) covered : 0);
}


/*
 * The word after "cost" requests are taken back that a charge had put into
 * the word "written".  Only within the same window: what a window that ended
 * had counted is forgiven already.
 */

uint64_t
apiscale_window_refund(const apiscale_window_t *w, uint64_t state,
    uint64_t written, uint64_t wall, uint64_t cost)
{
    uint64_t  count;

    if (state >> 32 != written >> 32) {
        return state;
    }

    /* a sliding counter lives on as the previous one, and stays as it is */

    if (w->sliding
        && apiscale_window_left(state, wall)
           <= w->period_s * APISCALE_TICKS_PER_SEC)
    {
        return state;
    }

    count = apiscale_window_owed(state, wall);

    return state - (cost < count ? cost : count);
}


/*
 * The word with "cost" requests more, whatever the limit: debt.
 */

uint64_t
apiscale_window_add(const apiscale_window_t *w, uint64_t state, uint64_t wall,
    uint64_t cost)
{
    uint64_t  count;

    count = apiscale_window_owed(state, wall);

    if (cost > APISCALE_WINDOW_MAX_COUNT - count) {
        cost = APISCALE_WINDOW_MAX_COUNT - count;
    }

    return apiscale_window_make(wall, apiscale_window_life(w, state, wall),
                                count + cost);
}
