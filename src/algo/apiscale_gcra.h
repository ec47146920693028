
/*
 * Copyright (C) apiscale authors
 */


/*
 * The generic cell rate algorithm as arithmetic on 64-bit words.
 *
 * Depends on apiscale_clock.h only, whose ticks on a clock that never steps
 * back are the unit of time.  A state is the theoretical arrival time (TAT)
 * at which the bucket is full again; a TAT that is not in the future is a full
 * bucket.  Ticks fit in 63 bits for 285 years.
 *
 * ITU-T I.371 Annex A ("virtual scheduling algorithm"); the names are those
 * of the rate limits in docs/internals/limits.md.
 */


#ifndef APISCALE_GCRA_H_INCLUDED_
#define APISCALE_GCRA_H_INCLUDED_


#include <stdint.h>

#include "apiscale_clock.h"


/* the longest time that a full bucket may take to refill: 100 years */
#define APISCALE_GCRA_MAX_SPAN                                                \
    (100ULL * 366 * 86400 * APISCALE_TICKS_PER_SEC)

/* "retry" of a cost that can never be admitted */
#define APISCALE_GCRA_NEVER     UINT64_MAX


typedef enum {
    APISCALE_ADMIT = 0,
    APISCALE_REJECT
} apiscale_verdict_e;


typedef struct {
    uint64_t  interval;                   /* T: ticks per request */
    uint64_t  burst;                      /* B: requests */
} apiscale_gcra_t;


typedef struct {
    uint64_t  tat;                        /* the state to write, or the one
                                             that rejected */
    uint64_t  retry;                      /* ticks; 0 when admitted */
    uint64_t  reset;                      /* ticks until the bucket is full */
} apiscale_gcra_result_t;


uint64_t apiscale_gcra_refund(uint64_t tat, uint64_t now, uint64_t written,
    uint64_t amount);
uint64_t apiscale_gcra_add(uint64_t tat, uint64_t now, uint64_t interval,
    uint64_t cost);
uint64_t apiscale_gcra_rescale(uint64_t tat, uint64_t now, uint64_t from,
    uint64_t to);
uint64_t apiscale_gcra_seconds(uint64_t ticks);


/*
 * Tells whether "cost" requests are admitted at "now" by a bucket whose state
 * is "tat", and fills "res".  Nothing is written: to charge the request the
 * caller replaces the state by res->tat.
 *
 * APISCALE_ADMIT: res->tat is the new state, res->reset what is owed after the
 * charge.  APISCALE_REJECT: res->tat is max(tat, now), res->reset what is owed
 * without the charge, res->retry the wait after which the same cost would be
 * admitted, APISCALE_GCRA_NEVER when it exceeds the bucket.  A cost of 0 is
 * always admitted and changes nothing but a TAT in the past.
 *
 * g->burst * g->interval must not exceed APISCALE_GCRA_MAX_SPAN.
 */

static inline apiscale_verdict_e
apiscale_gcra_check(const apiscale_gcra_t *g, uint64_t tat, uint64_t now,
    uint64_t cost, apiscale_gcra_result_t *res)
{
    uint64_t  debt, span, charge;

    if (tat < now) {
        tat = now;
    }

    debt = tat - now;
    span = g->burst * g->interval;

    if (cost > g->burst) {
        charge = 0;
        res->retry = APISCALE_GCRA_NEVER;

    } else {
        charge = cost * g->interval;

        /* debt may exceed the span after a reload with a smaller burst */

        if (cost == 0 || debt + charge <= span) {
            res->retry = 0;

        } else {
            res->retry = debt + charge - span;
            charge = 0;
        }
    }

    debt += charge;

    res->tat = tat + charge;
    res->reset = debt;

    return res->retry ? APISCALE_REJECT : APISCALE_ADMIT;
}


/*
 * The requests that are left in a bucket which is full in "reset" ticks.
 */

static inline uint64_t
apiscale_gcra_remaining(const apiscale_gcra_t *g, uint64_t reset)
{
    uint64_t  span;

    span = g->burst * g->interval;

    return reset < span ? (span - reset) / g->interval : 0;
}


#endif /* APISCALE_GCRA_H_INCLUDED_ */
