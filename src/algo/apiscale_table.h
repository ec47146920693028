
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
 * Depends on stdint.h and a 16-byte compare-and-swap.  Time comes from the
 * caller, in ticks (see apiscale_gcra.h), and never steps back.
 *
 * Invariants (the proof is in docs/internals/table.md):
 *   - an entry whose state is not after "now" is equal to an absent one;
 *   - a key has at most one settled entry;
 *   - an unsettled entry (a key being inserted) carries no debt, and whoever
 *     meets it may settle or remove it.
 */


#ifndef APISCALE_TABLE_H_INCLUDED_
#define APISCALE_TABLE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#if !defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16) && !defined(__aarch64__)
#error "apiscale needs a 16-byte compare-and-swap (x86-64 with -mcx16, arm64)"
#endif


#define APISCALE_TABLE_WAYS      4

/* the low bits of an entry's key: flags, not fingerprint */
#define APISCALE_KEY_GENERATION  0x0fULL
#define APISCALE_KEY_UNSETTLED   0x10ULL
#define APISCALE_KEY_FLAGS       0x1fULL


typedef struct {
    uint64_t  key;                        /* fingerprint and flags; 0: free */
    uint64_t  state;                      /* the TAT, in ticks */
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


uint64_t apiscale_table_fingerprint(uint64_t hash);
void apiscale_table_prefetch(const apiscale_table_t *t, uint64_t fingerprint);
void apiscale_table_find(const apiscale_table_t *t, uint64_t fingerprint,
    apiscale_ref_t *ref);
apiscale_table_rc_e apiscale_table_commit(const apiscale_table_t *t,
    const apiscale_ref_t *ref, unsigned generation, uint64_t state,
    uint64_t now);
uint64_t apiscale_table_copy(const apiscale_table_t *to,
    const apiscale_table_t *from, uint64_t now);
uint64_t apiscale_table_live(const apiscale_table_t *t, uint64_t now,
    uint32_t sample);


#endif /* APISCALE_TABLE_H_INCLUDED_ */
