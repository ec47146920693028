
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_gcra.h"


/*
 * Tells whether "cost" requests are admitted at "now" by a bucket whose state
 * is "tat", and fills "res".  Nothing is written: to charge the request the
 * caller replaces the state by res->tat.
 *
 * APISCALE_ADMIT: res->tat is the new state, res->remaining what is left
 * after the charge.  APISCALE_REJECT: res->tat is max(tat, now),
 * res->remaining what is left without the charge, res->retry the wait after
 * which the same cost would be admitted, APISCALE_GCRA_NEVER when it exceeds
 * the bucket.  A cost of 0 is always admitted and changes nothing but a TAT
 * in the past.
 *
 * g->burst * g->interval must not exceed APISCALE_GCRA_MAX_SPAN.
 */

apiscale_verdict_e
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
    res->remaining = debt < span ? (span - debt) / g->interval : 0;

    return res->retry ? APISCALE_REJECT : APISCALE_ADMIT;
}


/*
 * The state after giving back "amount" ticks of a charge that wrote the TAT
 * "written".  Never more than is still owed of that charge: what the clock
 * has forgiven meanwhile cannot be given back a second time.
 */

uint64_t
apiscale_gcra_refund(uint64_t tat, uint64_t now, uint64_t written,
    uint64_t amount)
{
    uint64_t  owed;

    owed = written > now ? written - now : 0;

    if (amount > owed) {
        amount = owed;
    }

    return tat > amount ? tat - amount : 0;
}


/*
 * The state under an emission interval "to" of a bucket whose debt was made
 * under the interval "from": so many requests are still owed as before.
 * Rounded up, so that no rescaling gives tokens away.
 */

uint64_t
apiscale_gcra_rescale(uint64_t tat, uint64_t now, uint64_t from, uint64_t to)
{
    unsigned __int128  debt;

    if (tat <= now || from == 0) {
        return tat;
    }

    debt = ((unsigned __int128) (tat - now) * to + from - 1) / from;

    if (debt > APISCALE_GCRA_MAX_SPAN) {
        debt = APISCALE_GCRA_MAX_SPAN;
    }

    return now + (uint64_t) debt;
}


/*
 * Ticks as whole seconds, rounded up.
 */

uint64_t
apiscale_gcra_seconds(uint64_t ticks)
{
    return ticks / APISCALE_TICKS_PER_SEC
           + (ticks % APISCALE_TICKS_PER_SEC != 0);
}
