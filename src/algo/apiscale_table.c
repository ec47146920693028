
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_table.h"

#include <string.h>


/*
 * An unsettled entry's state is the time of its insertion.  One that is older
 * than this was left by a killed process and may be reused.
 */
#define APISCALE_TABLE_ABANDONED  APISCALE_TICKS_PER_SEC



typedef struct {
    apiscale_entry_t  *mine;              /* the first unsettled entry */
    apiscale_entry_t   mine_old;
    apiscale_entry_t  *other;             /* a further unsettled entry */
    apiscale_entry_t   other_old;
    unsigned           settled;
} apiscale_scan_t;


static int
apiscale_entry_idle(const apiscale_entry_t *e, const apiscale_clock_t *now)
{
    if (e->key & APISCALE_KEY_UNSETTLED) {
        return e->state + APISCALE_TABLE_ABANDONED < now->mono;
    }

    return apiscale_state_left(e->state, now) == 0;
}


/*
 * What would be lost with an entry that is not idle: the time that is owed.
 * An unsettled entry owes nothing, but its process would have to start anew.
 */

static uint64_t
apiscale_entry_loss(const apiscale_entry_t *e, const apiscale_clock_t *now)
{
    if (e->key & APISCALE_KEY_UNSETTLED) {
        return UINT64_MAX - 1;
    }

    return apiscale_state_left(e->state, now);
}


/*
 * Starts loading both lines of a key: a cold line takes about 100 ns, and
 * the lines of several policies are better awaited together.
 */

void
apiscale_table_prefetch(const apiscale_table_t *t, uint64_t fingerprint)
{
    __builtin_prefetch(apiscale_table_set(t, fingerprint, 0), 1);
    __builtin_prefetch(apiscale_table_set(t, fingerprint, 1), 1);
}


/*
 * Chooses the entry that a new key takes: the first idle one in the emptier of
 * its two sets, since lookups begin there, else the live one that would be
 * idle soonest, since it has the least to lose.  1 if a debt is lost with the
 * chosen entry.  *victim is NULL if the key itself is met, which another
 * process has just inserted.
 */

static int
apiscale_table_victim(const apiscale_table_t *t, uint64_t fingerprint,
    const apiscale_clock_t *now, apiscale_entry_t **victim,
    apiscale_entry_t *old)
{
    uint64_t           loss;
    unsigned           i, j, nidle, best_idle;
    apiscale_set_t    *set;
    apiscale_entry_t   e, idle = { 0, 0 }, live = { 0, 0 };
    apiscale_entry_t  *idle_at, *live_at;

    best_idle = 0;
    loss = UINT64_MAX;
    live_at = NULL;

    for (i = 0; i < 2; i++) {
        set = apiscale_table_set(t, fingerprint, i);
        idle_at = NULL;
        nidle = 0;

        for (j = 0; j < APISCALE_TABLE_WAYS; j++) {
            apiscale_entry_read(&set->entries[j], &e);

            if ((e.key & ~APISCALE_KEY_FLAGS) == fingerprint) {
                *victim = NULL;
                return 0;
            }

            if (apiscale_entry_idle(&e, now)) {
                if (nidle++ == 0) {
                    idle = e;
                    idle_at = &set->entries[j];
                }

            } else if (apiscale_entry_loss(&e, now) < loss) {
                loss = apiscale_entry_loss(&e, now);
                live = e;
                live_at = &set->entries[j];
            }
        }

        if (nidle > best_idle) {
            best_idle = nidle;
            *victim = idle_at;
            *old = idle;
        }
    }

    if (best_idle) {
        return 0;
    }

    *victim = live_at;
    *old = live;

    return !(live.key & APISCALE_KEY_UNSETTLED);
}


/*
 * Reads all places in which a key may be.
 */

static void
apiscale_table_scan(const apiscale_table_t *t, uint64_t fingerprint,
    apiscale_scan_t *scan)
{
    unsigned           i, j;
    apiscale_set_t    *set;
    apiscale_entry_t   e;

    memset(scan, 0, sizeof(apiscale_scan_t));

    for (i = 0; i < 2; i++) {
        set = apiscale_table_set(t, fingerprint, i);

        for (j = 0; j < APISCALE_TABLE_WAYS; j++) {
            apiscale_entry_read(&set->entries[j], &e);

            if ((e.key & ~APISCALE_KEY_FLAGS) != fingerprint) {
                continue;
            }

            if (!(e.key & APISCALE_KEY_UNSETTLED)) {
                scan->settled = 1;

            } else if (scan->mine == NULL) {
                scan->mine = &set->entries[j];
                scan->mine_old = e;

            } else {
                scan->other = &set->entries[j];
                scan->other_old = e;
            }
        }
    }
}


/*
 * Inserts an absent key.  First an unsettled entry is placed, then both sets
 * are read again: of several processes that insert one key at once, each sees
 * the others' entries or is seen by them.  All but the first unsettled entry
 * are removed, and all of them when a settled one is there; the last is
 * settled together with its first charge by the same compare-and-swap.  It
 * must have been in place before the scan began that found it alone.
 */

apiscale_table_rc_e
apiscale_table_insert(const apiscale_table_t *t, uint64_t fingerprint,
    unsigned generation, uint64_t state, const apiscale_clock_t *now)
{
    int                live;
    unsigned           i;
    apiscale_scan_t    scan;
    apiscale_entry_t  *e, old, *seen, seen_old = { 0, 0 };

    seen = NULL;

    for (i = 0; i < APISCALE_TABLE_TRIES; i++) {

        apiscale_table_scan(t, fingerprint, &scan);

        if (scan.mine && (scan.settled || scan.other)) {

            /* the first is to stay, unless a settled one is there */

            if (scan.other) {
                (void) apiscale_entry_cas(scan.other, &scan.other_old, 0, 0);

            } else {
                (void) apiscale_entry_cas(scan.mine, &scan.mine_old, 0, 0);
            }

            continue;
        }

        if (scan.settled) {
            return APISCALE_TABLE_AGAIN;
        }

        if (scan.mine) {

            /* a scan proves nothing of an entry younger than itself */

            if (scan.mine == seen && scan.mine_old.key == seen_old.key
                && scan.mine_old.state == seen_old.state
                && apiscale_entry_cas(seen, &seen_old,
                                      fingerprint | generation, state))
            {
                return APISCALE_TABLE_OK;
            }

            seen = scan.mine;
            seen_old = scan.mine_old;

            continue;
        }

        live = apiscale_table_victim(t, fingerprint, now, &e, &old);

        if (e == NULL
            || !apiscale_entry_cas(e, &old,
                                   fingerprint | APISCALE_KEY_UNSETTLED,
                                   now->mono))
        {
            continue;
        }

        if (live) {
            __atomic_fetch_add(t->evicted_live, 1, __ATOMIC_RELAXED);
        }

        seen = e;
        seen_old.key = fingerprint | APISCALE_KEY_UNSETTLED;
        seen_old.state = now->mono;
    }

    return APISCALE_TABLE_AGAIN;
}


/*
 * Copies the live entries of "from", which others may be using, into "to", a
 * table of any size that no other process uses yet.  Returns how many did not
 * fit; they are counted in to->evicted_live as well.  Insertions under way
 * are not taken over.
 */

uint64_t
apiscale_table_copy(const apiscale_table_t *to, const apiscale_table_t *from,
    const apiscale_clock_t *now)
{
    uint32_t           i;
    uint64_t           lost;
    unsigned           j;
    apiscale_ref_t     ref;
    apiscale_entry_t   e, *victim, old;

    lost = 0;

    for (i = 0; i < from->nsets; i++) {
        for (j = 0; j < APISCALE_TABLE_WAYS; j++) {

            apiscale_entry_read(&from->sets[i].entries[j], &e);

            if (e.key == 0 || (e.key & APISCALE_KEY_UNSETTLED)
                || apiscale_state_left(e.state, now) == 0)
            {
                continue;
            }

            /* a key that was evicted and came back meanwhile is met twice */

            apiscale_table_find(to, e.key & ~APISCALE_KEY_FLAGS, &ref);

            if (ref.entry) {
                if (apiscale_state_left(e.state, now)
                    > apiscale_state_left(ref.state, now))
                {
                    *ref.entry = e;
                }

                continue;
            }

            if (apiscale_table_victim(to, e.key & ~APISCALE_KEY_FLAGS, now,
                                      &victim, &old))
            {
                lost++;

                if (apiscale_state_left(old.state, now)
                    >= apiscale_state_left(e.state, now))
                {
                    continue;
                }
            }

            *victim = e;
        }
    }

    *to->evicted_live += lost;

    return lost;
}


/*
 * The number of live entries, estimated from at most "sample" sets spread
 * evenly over the table; exact when the table has no more sets than that.
 */

uint64_t
apiscale_table_live(const apiscale_table_t *t, const apiscale_clock_t *now,
    uint32_t sample)
{
    uint32_t           i, n;
    uint64_t           live;
    unsigned           j;
    apiscale_set_t    *set;
    apiscale_entry_t   e;

    n = t->nsets < sample ? t->nsets : sample;

    if (n == 0) {
        return 0;
    }

    live = 0;

    for (i = 0; i < n; i++) {
        set = &t->sets[(uint64_t) i * t->nsets / n];

        for (j = 0; j < APISCALE_TABLE_WAYS; j++) {
            apiscale_entry_read(&set->entries[j], &e);

            if (e.key && !apiscale_entry_idle(&e, now)) {
                live++;
            }
        }
    }

    return live * t->nsets / n;
}
