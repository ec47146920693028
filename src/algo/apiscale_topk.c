
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_topk.h"

#include <string.h>


/* tries of one addition; each that fails is another process's progress */
#define APISCALE_TOPK_TRIES   256

#define APISCALE_TOPK_WORDS   (APISCALE_TOPK_TEXT / sizeof(uint64_t))


/* the entries of one set in all lanes, as they were read */

typedef struct {
    apiscale_topk_entry_t   e[APISCALE_TOPK_LANES][APISCALE_TOPK_WAYS];
    uint64_t                least[APISCALE_TOPK_LANES];
} apiscale_topk_view_t;


/*
 * The bytes that a summary takes.
 */

size_t
apiscale_topk_size(uint32_t nsets, uint32_t nlanes)
{
    return (size_t) nsets * nlanes * sizeof(apiscale_topk_set_t);
}


/*
 * Describes the summary at "memory", of apiscale_topk_size() bytes, aligned
 * to 64 and zeroed when it was made; nothing is written there.  "nsets" is 1
 * or more, "nlanes" a power of two up to APISCALE_TOPK_LANES.
 */

void
apiscale_topk_init(apiscale_topk_t *t, void *memory, uint32_t nsets,
    uint32_t nlanes)
{
    t->sets = memory;
    t->nsets = nsets;
    t->nlanes = nlanes;
}


static uint64_t
apiscale_topk_count(const apiscale_topk_entry_t *e)
{
    return e->count & APISCALE_TOPK_MAX;
}


static uint64_t
apiscale_topk_error(const apiscale_topk_entry_t *e)
{
    return (e->key & 0xffff) << 24 | e->count >> 40;
}


static void
apiscale_topk_pack(apiscale_topk_entry_t *e, uint64_t key, uint64_t count,
    uint64_t error)
{
    e->key = key << 16 | error >> 24;
    e->count = (error & 0xffffff) << 40 | count;
}


/*
 * Tells a label that was written as a whole for this very key from one that
 * was torn, or left by a slow process after its entry had gone.
 */

static uint64_t
apiscale_topk_sum(uint64_t key, const apiscale_topk_label_t *label)
{
    uint64_t  sum;
    unsigned  i;

    sum = (key ^ label->len << 48 ^ label->len) * 0x9e3779b97f4a7c15ULL;

    for (i = 0; i < APISCALE_TOPK_WORDS; i++) {
        sum = (sum ^ sum >> 32 ^ label->text[i]) * 0x9e3779b97f4a7c15ULL;
    }

    /* zeroed memory is no label */

    return (sum ^ sum >> 32) | 1;
}


static void
apiscale_topk_make_label(apiscale_topk_label_t *label, uint64_t key,
    const void *text, size_t len)
{
    memset(label, 0, sizeof(apiscale_topk_label_t));

    if (len) {
        memcpy(label->text, text,
               len < APISCALE_TOPK_TEXT ? len : APISCALE_TOPK_TEXT);
    }

    label->len = len;
    label->sum = apiscale_topk_sum(key, label);
}


static void
apiscale_topk_write_label(apiscale_topk_label_t *to,
    const apiscale_topk_label_t *label)
{
    unsigned  i;

    __atomic_store_n(&to->len, label->len, __ATOMIC_RELAXED);

    for (i = 0; i < APISCALE_TOPK_WORDS; i++) {
        __atomic_store_n(&to->text[i], label->text[i], __ATOMIC_RELAXED);
    }

    __atomic_store_n(&to->sum, label->sum, __ATOMIC_RELAXED);
}


/* 0 if what is there is not the whole label of the key */

static int
apiscale_topk_read_label(const apiscale_topk_label_t *from, uint64_t key,
    apiscale_topk_label_t *label)
{
    unsigned  i;

    label->sum = __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
    label->len = __atomic_load_n(&from->len, __ATOMIC_RELAXED);

    for (i = 0; i < APISCALE_TOPK_WORDS; i++) {
        label->text[i] = __atomic_load_n(&from->text[i], __ATOMIC_RELAXED);
    }

    return label->sum == apiscale_topk_sum(key, label);
}


/*
 * Writes the text of an entry's key again if it is not there: another process
 * that had the entry before was slower to write its own, or one was killed
 * while it wrote.
 */

void
apiscale_topk_refresh(apiscale_topk_set_t *set, unsigned way, uint64_t key,
    const void *text, size_t len)
{
    apiscale_topk_label_t  label;

    if (apiscale_topk_read_label(&set->labels[way], key, &label)) {
        return;
    }

    apiscale_topk_make_label(&label, key, text, len);
    apiscale_topk_write_label(&set->labels[way], &label);
}


/*
 * Counts a key that apiscale_topk_add() did not find, or not at rest: adds to
 * its entry, else replaces the entry with the least count, the first of them,
 * and takes over its count as the error.  That it is the first is what keeps
 * two processes from giving a key two entries.
 *
 * The count of an entry is read before its key: if the key is not the one that
 * is looked for, the count is not newer than that.
 */

void
apiscale_topk_insert(apiscale_topk_set_t *set, uint64_t key,
    const void *text, size_t len, uint64_t n)
{
    uint64_t                least, count, more;
    unsigned                i, way, try;
    apiscale_topk_label_t   label;
    apiscale_topk_entry_t   e, old, new;

    for (try = 0; try < APISCALE_TOPK_TRIES; try++) {

        least = UINT64_MAX;
        way = 0;

        old.key = 0;
        old.count = 0;

        for (i = 0; i < APISCALE_TOPK_WAYS; i++) {
            e.count = __atomic_load_n(&set->entries[i].count,
                                      __ATOMIC_ACQUIRE);
            e.key = __atomic_load_n(&set->entries[i].key, __ATOMIC_RELAXED);

            count = apiscale_topk_count(&e);

            if (e.key >> 16 == key) {
                least = count;
                old = e;
                way = i;
                break;
            }

            if (count < least) {
                least = count;
                old = e;
                way = i;
            }
        }

        /* an entry that cannot grow stays as it is */

        more = APISCALE_TOPK_MAX - least;

        if (more > n) {
            more = n;
        }

        if (more == 0) {
            return;
        }

        apiscale_topk_pack(&new, key, least + more,
                           old.key >> 16 == key ? apiscale_topk_error(&old)
                                                : least);

        if (!apiscale_topk_cas(&set->entries[way], &old, &new)) {
            continue;
        }

        if (old.key >> 16 != key) {
            apiscale_topk_make_label(&label, key, text, len);
            apiscale_topk_write_label(&set->labels[way], &label);
        }

        return;
    }
}


/* an entry whose halves belong together: its count would have grown */

static void
apiscale_topk_read(apiscale_topk_entry_t *from, apiscale_topk_entry_t *e)
{
    unsigned                try;
    apiscale_topk_word_t    word;

    for (try = 0; try < APISCALE_TOPK_TRIES; try++) {
        e->count = __atomic_load_n(&from->count, __ATOMIC_ACQUIRE);
        e->key = __atomic_load_n(&from->key, __ATOMIC_ACQUIRE);

        if (__atomic_load_n(&from->count, __ATOMIC_RELAXED) == e->count) {
            return;
        }
    }

    word = __sync_val_compare_and_swap((apiscale_topk_word_t *) from, 0, 0);

    memcpy(e, &word, sizeof(apiscale_topk_entry_t));
}


/*
 * Reads a set in all lanes.  A key that moves while its lane is read is met
 * twice; the entry with the larger count is the one that is there.
 */

static void
apiscale_topk_look(const apiscale_topk_t *t, uint32_t set,
    apiscale_topk_view_t *view)
{
    unsigned                i, j, lane;
    apiscale_topk_set_t    *s;
    apiscale_topk_entry_t  *e;

    for (lane = 0; lane < t->nlanes; lane++) {

        s = &t->sets[(size_t) lane * t->nsets + set];
        e = view->e[lane];

        view->least[lane] = UINT64_MAX;

        for (i = 0; i < APISCALE_TOPK_WAYS; i++) {
            apiscale_topk_read(&s->entries[i], &e[i]);

            if (apiscale_topk_count(&e[i]) < view->least[lane]) {
                view->least[lane] = apiscale_topk_count(&e[i]);
            }

            for (j = 0; e[i].key && j < i; j++) {
                if (e[j].key >> 16 != e[i].key >> 16) {
                    continue;
                }

                if (apiscale_topk_count(&e[j]) > apiscale_topk_count(&e[i])) {
                    e[i].key = 0;

                } else {
                    e[j].key = 0;
                }
            }
        }
    }
}


static apiscale_topk_entry_t *
apiscale_topk_find(apiscale_topk_view_t *view, unsigned lane, uint64_t key)
{
    unsigned  i;

    for (i = 0; i < APISCALE_TOPK_WAYS; i++) {
        if (view->e[lane][i].key >> 16 == key) {
            return &view->e[lane][i];
        }
    }

    return NULL;
}


/*
 * What all lanes know of a key.  In a lane where it has no entry it may have
 * come as often as the least entry there tells, and need not have come.
 */

static void
apiscale_topk_merge(const apiscale_topk_t *t, apiscale_topk_view_t *view,
    uint64_t key, apiscale_topk_item_t *item)
{
    unsigned                lane;
    apiscale_topk_entry_t  *e;

    item->key = key;
    item->count = 0;
    item->error = 0;

    for (lane = 0; lane < t->nlanes; lane++) {
        e = apiscale_topk_find(view, lane, key);

        if (e) {
            item->count += apiscale_topk_count(e);
            item->error += apiscale_topk_error(e);

        } else {
            item->count += view->least[lane];
            item->error += view->least[lane];
        }
    }
}


/* the text of a key, from any lane that has it whole */

static void
apiscale_topk_name(const apiscale_topk_t *t, uint32_t set,
    apiscale_topk_view_t *view, apiscale_topk_item_t *item)
{
    unsigned                lane;
    apiscale_topk_set_t    *s;
    apiscale_topk_entry_t  *e;
    apiscale_topk_label_t   label;

    for (lane = 0; lane < t->nlanes; lane++) {
        e = apiscale_topk_find(view, lane, item->key);

        if (e == NULL) {
            continue;
        }

        s = &t->sets[(size_t) lane * t->nsets + set];

        if (apiscale_topk_read_label(&s->labels[e - view->e[lane]], item->key,
                                     &label))
        {
            item->known = 1;
            item->len = label.len;
            memcpy(item->text, label.text, APISCALE_TOPK_TEXT);
            return;
        }
    }

    item->known = 0;
    item->len = 0;
    memset(item->text, 0, APISCALE_TOPK_TEXT);
}


static int
apiscale_topk_before(const apiscale_topk_item_t *a,
    const apiscale_topk_item_t *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}


/* puts an item in its place among the "n" that are there */

static void
apiscale_topk_put(apiscale_topk_item_t *out, unsigned n,
    const apiscale_topk_item_t *item)
{
    while (n && apiscale_topk_before(item, &out[n - 1])) {
        out[n] = out[n - 1];
        n--;
    }

    out[n] = *item;
}


/*
 * Writes the "max" keys with the largest counts to "out", the largest first,
 * and returns how many there are.  Others may add meanwhile: a key then has
 * its count of some moment of this call.  Looks at each entry of the summary.
 */

unsigned
apiscale_topk_list(const apiscale_topk_t *t, apiscale_topk_item_t *out,
    unsigned max)
{
    uint32_t               set;
    uint64_t               key;
    unsigned               i, n, lane, earlier;
    apiscale_topk_view_t   view;
    apiscale_topk_item_t   item;

    n = 0;

    for (set = 0; set < t->nsets; set++) {

        apiscale_topk_look(t, set, &view);

        for (i = 0; i < t->nlanes * APISCALE_TOPK_WAYS; i++) {
            lane = i / APISCALE_TOPK_WAYS;
            key = view.e[lane][i % APISCALE_TOPK_WAYS].key >> 16;

            for (earlier = 0; key && earlier < lane; earlier++) {
                if (apiscale_topk_find(&view, earlier, key)) {
                    key = 0;
                }
            }

            if (key == 0) {
                continue;
            }

            apiscale_topk_merge(t, &view, key, &item);

            if (n == max) {
                if (n == 0 || !apiscale_topk_before(&item, &out[n - 1])) {
                    continue;
                }

                n--;
            }

            apiscale_topk_name(t, set, &view, &item);
            apiscale_topk_put(out, n++, &item);
        }
    }

    return n;
}
