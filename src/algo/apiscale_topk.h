
/*
 * Copyright (C) apiscale authors
 */


/*
 * Which keys come most often, in memory of a fixed size that several processes
 * share: the Space-Saving summary of A. Metwally, D. Agrawal, A. El Abbadi,
 * "Efficient computation of frequent and top-k elements in data streams"
 * (2005).  Here it is set-associative: a key belongs to one set of eight
 * counters, and each set is a summary of the keys that belong to it, so that
 * an addition looks at eight entries whatever the number of counters is.
 *
 * Depends on stdint.h and a 16-byte compare-and-swap.  No lock: an addition is
 * one compare-and-swap of one entry, so a process killed at any instruction
 * has either counted or not.  Zeroed memory is an empty summary.
 *
 * Invariants (the proof is in docs/internals/topkeys.md):
 *   - the count of an entry grows with each change of it, whatever its key;
 *   - a key has at most one entry in a lane;
 *   - count - error <= true number <= count, for each entry;
 *   - the counts of a set add up to what was added to it.
 */


#ifndef APISCALE_TOPK_H_INCLUDED_
#define APISCALE_TOPK_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#if !defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16) && !defined(__aarch64__)
#error "apiscale needs a 16-byte compare-and-swap (x86-64 with -mcx16, arm64)"
#endif


#define APISCALE_TOPK_WAYS       8

/* summaries side by side, so that processes do not share cache lines */
#define APISCALE_TOPK_LANES      8

/* so much of a key is kept to be shown */
#define APISCALE_TOPK_TEXT       48

/* counts stay here, 2^40 - 1, and never wrap */
#define APISCALE_TOPK_MAX        ((UINT64_C(1) << 40) - 1)

/* a text that got lost is written again at multiples of this power of two */
#define APISCALE_TOPK_REFRESH    256


typedef unsigned __int128  apiscale_topk_word_t;


/*
 * 48 bits of fingerprint, 40 of error and 40 of count.  The fingerprint lies
 * in the one half and the count in the other, so that each is read at once.
 */

typedef struct {
    uint64_t  key;                        /* fingerprint, high 16 of error */
    uint64_t  count;                      /* low 24 of error, count; 0: free */
} __attribute__((aligned(16))) apiscale_topk_entry_t;


typedef struct {
    uint64_t  sum;                        /* of all below and the key */
    uint64_t  len;                        /* of the key, of any length */
    uint64_t  text[APISCALE_TOPK_TEXT / sizeof(uint64_t)];
} apiscale_topk_label_t;


typedef struct {
    apiscale_topk_entry_t  entries[APISCALE_TOPK_WAYS];
    apiscale_topk_label_t  labels[APISCALE_TOPK_WAYS];
} __attribute__((aligned(64))) apiscale_topk_set_t;


typedef struct {
    apiscale_topk_set_t  *sets;           /* shared; lane after lane */
    uint32_t              nsets;          /* of a lane */
    uint32_t              nlanes;         /* a power of two */
} apiscale_topk_t;


/*
 * A key as it is told of.  It came between count - error and count times.
 */

typedef struct {
    uint64_t       key;                   /* its fingerprint, 48 bits */
    uint64_t       count;
    uint64_t       error;
    uint64_t       len;                   /* the length of the key itself */
    unsigned       known;                 /* whether len and text are */
    unsigned char  text[APISCALE_TOPK_TEXT];
} apiscale_topk_item_t;


size_t apiscale_topk_size(uint32_t nsets, uint32_t nlanes);
void apiscale_topk_init(apiscale_topk_t *t, void *memory, uint32_t nsets,
    uint32_t nlanes);
void apiscale_topk_insert(apiscale_topk_set_t *set, uint64_t key,
    const void *text, size_t len, uint64_t n);
void apiscale_topk_refresh(apiscale_topk_set_t *set, unsigned way,
    uint64_t key, const void *text, size_t len);
unsigned apiscale_topk_list(const apiscale_topk_t *t,
    apiscale_topk_item_t *out, unsigned max);


/* inline: each decision of a limit may run them */


/*
 * What is kept of a 64-bit fingerprint, its upper 48 bits; never 0.
 */

static inline uint64_t
apiscale_topk_key(uint64_t fingerprint)
{
    uint64_t  key;

    key = fingerprint >> 16;

    return key ? key : 1;
}


static inline apiscale_topk_set_t *
apiscale_topk_set(const apiscale_topk_t *t, uint32_t lane, uint64_t key)
{
    uint64_t  i;

    i = ((key >> 16) * t->nsets) >> 32;

    return &t->sets[(uint64_t) (lane & (t->nlanes - 1)) * t->nsets + i];
}


static inline int
apiscale_topk_cas(apiscale_topk_entry_t *e, const apiscale_topk_entry_t *old,
    const apiscale_topk_entry_t *new)
{
    union {
        apiscale_topk_entry_t  entry;
        apiscale_topk_word_t   word;
    } from, to;

    from.entry = *old;
    to.entry = *new;

    return __sync_bool_compare_and_swap((apiscale_topk_word_t *) e, from.word,
                                        to.word);
}


/*
 * Counts "n" more of the key "text" of "len" bytes, whose 64-bit fingerprint
 * must be unpredictable to those who choose keys.  "lane" is any number; it
 * should differ between processes.  "text" may be NULL if "len" is 0.
 */

static inline void
apiscale_topk_add(const apiscale_topk_t *t, uint32_t lane,
    uint64_t fingerprint, const void *text, size_t len, uint64_t n)
{
    uint64_t                key, count;
    unsigned                i;
    apiscale_topk_set_t    *set;
    apiscale_topk_entry_t   old, new;

    key = apiscale_topk_key(fingerprint);
    set = apiscale_topk_set(t, lane, key);

    for (i = 0; i < APISCALE_TOPK_WAYS; i++) {
        old.key = __atomic_load_n(&set->entries[i].key, __ATOMIC_RELAXED);

        if (old.key >> 16 != key) {
            continue;
        }

        old.count = __atomic_load_n(&set->entries[i].count, __ATOMIC_RELAXED);
        count = old.count & APISCALE_TOPK_MAX;

        if (n > APISCALE_TOPK_MAX - count) {
            break;
        }

        new.key = old.key;
        new.count = old.count + n;

        if (!apiscale_topk_cas(&set->entries[i], &old, &new)) {
            break;
        }

        if ((count ^ (count + n)) >= APISCALE_TOPK_REFRESH) {
            apiscale_topk_refresh(set, i, key, text, len);
        }

        return;
    }

    apiscale_topk_insert(set, key, text, len, n);
}


#endif /* APISCALE_TOPK_H_INCLUDED_ */
