
/*
 * Copyright (C) apiscale authors
 */


/*
 * A table of fixed-size entries in memory that several processes share: one
 * entry of 16 bytes per live key, four to a cache line, a key living in one
 * of two lines.  No lock: an entry is only ever replaced as a whole by a
 * 16-byte compare-and-swap, so a process killed at any instruction leaves
 * nothing that another would have to wait for.
 *
 * Depends on stdint.h, on the words of apiscale_gcra.h and apiscale_window.h
 * as far as they tell when they may be forgotten, and on a 16-byte
 * compare-and-swap.  Time comes from the caller.
 *
 * Invariants (the proof is in docs/internals/table.md):
 *   - an entry whose state is idle at "now" is equal to an absent one;
 *   - a key has at most one settled entry;
 *   - an unsettled entry (a key being inserted) carries no debt, and whoever
 *     meets it may settle or remove it.
 */


#ifndef APISCALE_TABLE_H_INCLUDED_
#define APISCALE_TABLE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "apiscale_clock.h"
#include "apiscale_window.h"


#if !defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16) && !defined(__aarch64__)
#error "apiscale needs a 16-byte compare-and-swap (x86-64 with -mcx16, arm64)"
#endif


#define APISCALE_TABLE_WAYS      4

/* tries of one insertion; each that fails is another process's progress */
#define APISCALE_TABLE_TRIES     64

/* the low bits of an entry's key: flags, not fingerprint */
#define APISCALE_KEY_GENERATION  0x0fULL
#define APISCALE_KEY_UNSETTLED   0x10ULL
#define APISCALE_KEY_FLAGS       0x1fULL


typedef unsigned __int128  apiscale_u128_t;


typedef struct {
    uint64_t  key;                        /* fingerprint and flags; 0: free */
    uint64_t  state;                      /* a TAT in ticks, or a counter */
} __attribute__((aligned(16))) apiscale_entry_t;


typedef struct {
    apiscale_entry_t  entries[APISCALE_TABLE_WAYS];
} __attribute__((aligned(64))) apiscale_set_t;


typedef struct {
    apiscale_set_t  *sets;                /* shared, aligned to 64 bytes */
    uint32_t         nsets;               /* two or more */
    uint64_t        *evicted_live;        /* shared counter */
} apiscale_table_t;


/*
 * A key's place as it was found: for apiscale_table_commit().
 */

typedef struct {
    apiscale_entry_t  *entry;             /* NULL: the key was absent */
    uint64_t           key;               /* what was read there */
    uint64_t           state;
    uint64_t           fingerprint;
} apiscale_ref_t;


typedef enum {
    APISCALE_TABLE_OK = 0,
    APISCALE_TABLE_AGAIN                  /* another process was faster */
} apiscale_table_rc_e;


void apiscale_table_prefetch(const apiscale_table_t *t, uint64_t fingerprint);
apiscale_table_rc_e apiscale_table_insert(const apiscale_table_t *t,
    uint64_t fingerprint, unsigned generation, uint64_t state,
    const apiscale_clock_t *now);
uint64_t apiscale_table_copy(const apiscale_table_t *to,
    const apiscale_table_t *from, const apiscale_clock_t *now);
uint64_t apiscale_table_live(const apiscale_table_t *t,
    const apiscale_clock_t *now, uint32_t sample);


/* inline: each decision of a limit runs them */


/*
 * Ticks until a state is forgotten, 0 when it is idle: it may be dropped, and
 * nothing is lost.
 */

static inline uint64_t
apiscale_state_left(uint64_t state, const apiscale_clock_t *now)
{
    if (state & APISCALE_WINDOW_COUNTER) {
        return apiscale_window_left(state, now->wall);
    }

    return state > now->mono ? state - now->mono : 0;
}


static inline int
apiscale_entry_cas(apiscale_entry_t *e, const apiscale_entry_t *old,
    uint64_t key, uint64_t state)
{
    union {
        apiscale_entry_t  entry;
        apiscale_u128_t   word;
    } from, to;

    from.entry = *old;
    to.entry.key = key;
    to.entry.state = state;

    return __sync_bool_compare_and_swap((apiscale_u128_t *) e, from.word,
                                        to.word);
}


/*
 * Reads an entry whose halves belong together, as far as its key tells: a
 * torn pair of one key is caught by the compare-and-swap that follows.
 */

static inline void
apiscale_entry_read(const apiscale_entry_t *e, apiscale_entry_t *old)
{
    unsigned  i;

    for (i = 0; i < APISCALE_TABLE_TRIES; i++) {
        old->key = __atomic_load_n(&e->key, __ATOMIC_ACQUIRE);
        old->state = __atomic_load_n(&e->state, __ATOMIC_ACQUIRE);

        if (__atomic_load_n(&e->key, __ATOMIC_RELAXED) == old->key) {
            return;
        }
    }

    /* the line changes owner all the time: the key is not here any more */

    old->key = 0;
    old->state = 0;
}


/*
 * A key's two sets, one in each half of the table: when both are equally full
 * the first is taken, which with halves fills the table more evenly than with
 * any two sets (B. Voecking, "How asymmetry helps load balancing", 2003).
 * They come from the fingerprint alone, so that a table can be rebuilt in
 * another size from its entries.
 */

static inline apiscale_set_t *
apiscale_table_set(const apiscale_table_t *t, uint64_t fingerprint, unsigned i)
{
    uint32_t  half;

    half = t->nsets / 2;

    if (i == 0) {
        return &t->sets[((fingerprint >> 32) * half) >> 32];
    }

    return &t->sets[half + (((fingerprint >> 6 & UINT32_MAX)
                             * (t->nsets - half)) >> 32)];
}


/*
 * The fingerprint of a key from its 64-bit hash: flags cleared, and one bit
 * set, so that it is never 0.
 */

static inline uint64_t
apiscale_table_fingerprint(uint64_t hash)
{
    return (hash & ~APISCALE_KEY_FLAGS) | (APISCALE_KEY_FLAGS + 1);
}


/*
 * Looks a key up.  ref->entry is its settled entry, ref->key and ref->state
 * what it held; NULL and zeroes when there is none.
 */

static inline void
apiscale_table_find(const apiscale_table_t *t, uint64_t fingerprint,
    apiscale_ref_t *ref)
{
    unsigned           i, j;
    uint64_t           key;
    apiscale_set_t    *set;
    apiscale_entry_t  *e, old;

    ref->fingerprint = fingerprint;

    for (i = 0; i < 2; i++) {
        set = apiscale_table_set(t, fingerprint, i);

        for (j = 0; j < APISCALE_TABLE_WAYS; j++) {
            e = &set->entries[j];
            key = __atomic_load_n(&e->key, __ATOMIC_RELAXED);

            if ((key & ~APISCALE_KEY_GENERATION) != fingerprint) {
                continue;
            }

            apiscale_entry_read(e, &old);

            if ((old.key & ~APISCALE_KEY_GENERATION) == fingerprint) {
                ref->entry = e;
                ref->key = old.key;
                ref->state = old.state;
                return;
            }
        }
    }

    ref->entry = NULL;
    ref->key = 0;
    ref->state = 0;
}


/*
 * Writes a state for the key that "ref" found, under a rate generation of
 * 0 .. 15.  APISCALE_TABLE_AGAIN: nothing was written since the entry changed
 * or the key was inserted by another process meanwhile; find it again and
 * decide anew.
 */

static inline apiscale_table_rc_e
apiscale_table_commit(const apiscale_table_t *t, const apiscale_ref_t *ref,
    unsigned generation, uint64_t state, const apiscale_clock_t *now)
{
    apiscale_entry_t  old;

    if (ref->entry) {
        old.key = ref->key;
        old.state = ref->state;

        return apiscale_entry_cas(ref->entry, &old,
                                  ref->fingerprint | generation, state)
               ? APISCALE_TABLE_OK : APISCALE_TABLE_AGAIN;
    }

    if (apiscale_state_left(state, now) == 0) {
        return APISCALE_TABLE_OK;
    }

    return apiscale_table_insert(t, ref->fingerprint, generation, state, now);
}


#endif /* APISCALE_TABLE_H_INCLUDED_ */
