
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_gcra.h"


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
 * The state with "cost" requests more, whatever the bucket holds: debt, of up
 * to the longest time that a bucket may take to refill.
 */

uint64_t
apiscale_gcra_add(uint64_t tat, uint64_t now, uint64_t interval,
    uint64_t cost)
{
    uint64_t           debt;
    unsigned __int128  sum;

    debt = tat > now ? tat - now : 0;

    sum = (unsigned __int128) cost * interval + debt;

    if (sum > APISCALE_GCRA_MAX_SPAN) {

        /* what is owed already is not forgiven */

        return now + (debt > APISCALE_GCRA_MAX_SPAN ? debt
                                                    : APISCALE_GCRA_MAX_SPAN);
    }

    return now + (uint64_t) sum;
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
