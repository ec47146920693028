
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_consumers.h"
#include "apiscale_siphash.h"

#include <string.h>


/*
 * A record: the offsets of the names of plan and version (0: none), and the
 * id as a counted string.  Records are aligned to 4 bytes; offset 0 is taken
 * by padding, so that no record and no name is there.
 */

#define APISCALE_CONSUMERS_PLAN     0
#define APISCALE_CONSUMERS_VERSION  4
#define APISCALE_CONSUMERS_ID       8

#define APISCALE_CONSUMERS_PAD      4

/* keys of a bucket that a reader looks at: the seed makes more impossible */
#define APISCALE_CONSUMERS_SCAN     64

/* steps of a writer */

#define APISCALE_CONSUMERS_CLEAR    0
#define APISCALE_CONSUMERS_COUNT    1
#define APISCALE_CONSUMERS_SUM      2
#define APISCALE_CONSUMERS_PLACE    3
#define APISCALE_CONSUMERS_COPY     4
#define APISCALE_CONSUMERS_DONE     5

/* of the records, in bytes, for what a key takes to be placed */
#define APISCALE_CONSUMERS_PIECE    128

#define apiscale_consumers_load(p)  __atomic_load_n(p, __ATOMIC_RELAXED)


static void apiscale_consumers_copy(const apiscale_consumers_writer_t *w,
    uint32_t i, uint32_t end);
static uint32_t apiscale_consumers_place(apiscale_consumers_builder_t *b,
    const unsigned char *data, size_t len);
static apiscale_consumers_rc_e apiscale_consumers_intern(
    apiscale_consumers_builder_t *b, const apiscale_consumers_name_t *name,
    uint32_t *offset);


/*
 * The bucket of a digest by a hash that is linear in its words, with secret
 * factors: digests may be whatever somebody has written into a file.
 */

static inline uint64_t
apiscale_consumers_hash(const uint64_t seed[4], const unsigned char *digest)
{
    uint64_t  w[4];

    memcpy(w, digest, sizeof(w));

    w[0] = (w[0] ^ w[0] >> 32) * (seed[0] | 1);
    w[1] = (w[1] ^ w[1] >> 32) * (seed[1] | 1);
    w[2] = (w[2] ^ w[2] >> 32) * (seed[2] | 1);
    w[3] = (w[3] ^ w[3] >> 32) * (seed[3] | 1);

    w[0] += w[1] + w[2] + w[3];

    return (w[0] ^ w[0] >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}


static uint64_t
apiscale_consumers_name_hash(const apiscale_consumers_builder_t *b,
    const unsigned char *data, size_t len)
{
    apiscale_siphash_t  s;

    apiscale_siphash_init(&s, b->seed);

    return apiscale_siphash_final(&s, data, len);
}


/* the slot that refers to an equal counted string, or a free one */

static uint32_t *
apiscale_consumers_name_slot(const apiscale_consumers_builder_t *b,
    const apiscale_consumers_set_t *set, const unsigned char *data,
    size_t len)
{
    uint64_t              i;
    const unsigned char  *s;

    i = apiscale_consumers_name_hash(b, data, len);

    for ( ;; ) {
        i &= set->size - 1;

        if (set->slots[i] == 0) {
            break;
        }

        s = b->records + set->slots[i];

        if (s[0] == len && memcmp(s + 1, data, len) == 0) {
            break;
        }

        i++;
    }

    return &set->slots[i];
}


/* the slot that refers to an equal digest, or a free one */

static uint32_t *
apiscale_consumers_digest_slot(const apiscale_consumers_builder_t *b,
    const unsigned char *digest)
{
    uint64_t                         i;
    const apiscale_consumers_set_t  *set;

    set = &b->digests;
    i = apiscale_consumers_hash(b->seed, digest) >> 32;

    for ( ;; ) {
        i &= set->size - 1;

        if (set->slots[i] == 0
            || memcmp(b->keys[set->slots[i] - 1].digest, digest,
                      APISCALE_CONSUMERS_DIGEST)
               == 0)
        {
            break;
        }

        i++;
    }

    return &set->slots[i];
}


/*
 * Moves a set to new memory, "size" elements of zero, of which there are more
 * than twice as many as elements in the set.  The old memory is the caller's
 * again.
 */

void
apiscale_consumers_move_set(apiscale_consumers_builder_t *b,
    apiscale_consumers_set_t *set, uint32_t *slots, uint32_t size)
{
    uint32_t              i, old_size, *slot, *old;
    const unsigned char  *s;

    old = set->slots;
    old_size = set->size;

    set->slots = slots;
    set->size = size;

    for (i = 0; i < old_size; i++) {

        if (old[i] == 0) {
            continue;
        }

        if (set == &b->digests) {
            slot = apiscale_consumers_digest_slot(b,
                                                  b->keys[old[i] - 1].digest);

        } else {
            s = b->records + old[i];
            slot = apiscale_consumers_name_slot(b, set, s + 1, s[0]);
        }

        *slot = old[i];
    }
}


static int
apiscale_consumers_set_full(const apiscale_consumers_set_t *set)
{
    return set->n >= set->size / 2;
}


/*
 * Adds a consumer.  APISCALE_CONSUMERS_DUPLICATE if there is one with its id;
 * APISCALE_CONSUMERS_FULL if there are less than
 * APISCALE_CONSUMERS_RECORD_MAX bytes for records, or a set is full, or a
 * name is too long: nothing was added then.
 */

apiscale_consumers_rc_e
apiscale_consumers_add(apiscale_consumers_builder_t *b,
    const apiscale_consumers_t *c)
{
    uint32_t       *slot, plan, version;
    unsigned char  *p;

    if (b->used > b->max
        || b->max - b->used < APISCALE_CONSUMERS_RECORD_MAX
                              + APISCALE_CONSUMERS_PAD
        || apiscale_consumers_set_full(&b->ids)
        || b->names.n + 2 > b->names.size / 2
        || c->id.len > APISCALE_CONSUMERS_NAME_MAX
        || c->plan.len > APISCALE_CONSUMERS_NAME_MAX
        || c->version.len > APISCALE_CONSUMERS_NAME_MAX)
    {
        return APISCALE_CONSUMERS_FULL;
    }

    if (b->used == 0) {
        memset(b->records, 0, APISCALE_CONSUMERS_PAD);
        b->used = APISCALE_CONSUMERS_PAD;
    }

    slot = apiscale_consumers_name_slot(b, &b->ids, c->id.data, c->id.len);

    if (*slot) {
        return APISCALE_CONSUMERS_DUPLICATE;
    }

    if (apiscale_consumers_intern(b, &c->plan, &plan)
        || apiscale_consumers_intern(b, &c->version, &version))
    {
        return APISCALE_CONSUMERS_FULL;
    }

    while (b->used % 4) {
        b->records[b->used++] = 0;
    }

    b->last = b->used;
    b->used += APISCALE_CONSUMERS_ID;

    p = b->records + b->last;
    memcpy(p + APISCALE_CONSUMERS_PLAN, &plan, 4);
    memcpy(p + APISCALE_CONSUMERS_VERSION, &version, 4);

    *slot = apiscale_consumers_place(b, c->id.data, c->id.len);

    b->ids.n++;
    b->consumers++;

    return APISCALE_CONSUMERS_OK;
}


static uint32_t
apiscale_consumers_place(apiscale_consumers_builder_t *b,
    const unsigned char *data, size_t len)
{
    uint32_t  offset;

    offset = b->used;

    b->records[offset] = (unsigned char) len;
    memcpy(b->records + offset + 1, data, len);
    b->used += (uint32_t) len + 1;

    return offset;
}


/* equal names of plans and versions are stored once */

static apiscale_consumers_rc_e
apiscale_consumers_intern(apiscale_consumers_builder_t *b,
    const apiscale_consumers_name_t *name, uint32_t *offset)
{
    uint32_t  *slot;

    *offset = 0;

    if (name->len == 0) {
        return APISCALE_CONSUMERS_OK;
    }

    if (apiscale_consumers_set_full(&b->names)) {
        return APISCALE_CONSUMERS_FULL;
    }

    slot = apiscale_consumers_name_slot(b, &b->names, name->data, name->len);

    if (*slot == 0) {
        *slot = apiscale_consumers_place(b, name->data, name->len);
        b->names.n++;
    }

    *offset = *slot;

    return APISCALE_CONSUMERS_OK;
}


/*
 * Adds the digest of a key to the consumer that was added last.
 * APISCALE_CONSUMERS_DUPLICATE if there is one like it: *record is then the
 * record of the consumer that has it.  APISCALE_CONSUMERS_FULL if there is no
 * memory for one more.
 */

apiscale_consumers_rc_e
apiscale_consumers_add_key(apiscale_consumers_builder_t *b,
    const unsigned char digest[APISCALE_CONSUMERS_DIGEST], uint32_t *record)
{
    uint32_t                  *slot;
    apiscale_consumers_key_t  *key;

    if (b->nkeys >= b->max_keys
        || apiscale_consumers_set_full(&b->digests))
    {
        return APISCALE_CONSUMERS_FULL;
    }

    slot = apiscale_consumers_digest_slot(b, digest);

    if (*slot) {
        *record = b->keys[*slot - 1].record;
        return APISCALE_CONSUMERS_DUPLICATE;
    }

    key = &b->keys[b->nkeys++];

    memcpy(key->digest, digest, APISCALE_CONSUMERS_DIGEST);
    key->record = b->last;

    *slot = b->nkeys;
    b->digests.n++;

    return APISCALE_CONSUMERS_OK;
}


/* one or two keys a bucket, on the average */

static uint32_t
apiscale_consumers_bits(uint32_t nkeys)
{
    uint32_t  bits;

    for (bits = 1; (UINT64_C(2) << bits) < nkeys; bits++) { /* void */ }

    return bits;
}


static uint64_t
apiscale_consumers_layout(uint32_t nkeys, uint32_t bits, uint32_t records)
{
    return sizeof(apiscale_consumers_head_t)
           + ((UINT64_C(1) << bits) + 1) * sizeof(uint32_t)
           + (uint64_t) nkeys * sizeof(apiscale_consumers_key_t)
           + records;
}


/*
 * The size of the image of what was added, in bytes.
 */

uint64_t
apiscale_consumers_size(const apiscale_consumers_builder_t *b)
{
    return apiscale_consumers_layout(b->nkeys,
                                     apiscale_consumers_bits(b->nkeys),
                                     b->used);
}


/*
 * Begins to write the image, apiscale_consumers_size() bytes, aligned to 8.
 * The builder is left alone until it is written.
 */

void
apiscale_consumers_write_start(apiscale_consumers_writer_t *w,
    const apiscale_consumers_builder_t *b, void *image)
{
    apiscale_consumers_head_t  *head;

    head = image;

    memcpy(head->seed, b->seed, sizeof(head->seed));
    head->consumers = b->consumers;
    head->keys = b->nkeys;
    head->bits = apiscale_consumers_bits(b->nkeys);
    head->records = b->used;

    w->builder = b;
    w->buckets = UINT32_C(1) << head->bits;
    w->shift = 64 - head->bits;
    w->index = (uint32_t *) (head + 1);
    w->keys = (apiscale_consumers_key_t *) (w->index + w->buckets + 1);
    w->records = (unsigned char *) (w->keys + b->nkeys);
    w->step = APISCALE_CONSUMERS_CLEAR;
    w->i = 0;
    w->sum = 0;
}


static uint32_t *
apiscale_consumers_bucket(const apiscale_consumers_writer_t *w, uint32_t key)
{
    const apiscale_consumers_builder_t  *b;

    b = w->builder;

    return &w->index[apiscale_consumers_hash(b->seed, b->keys[key].digest)
                     >> w->shift];
}


/*
 * Writes some more, in a time that depends on "n", such as for "n" keys.
 * Returns 0 when the image is complete, else 1.
 */

int
apiscale_consumers_write_some(apiscale_consumers_writer_t *w, uint32_t n)
{
    uint32_t                             i, end, total;
    const apiscale_consumers_builder_t  *b;

    b = w->builder;
    i = w->i;

    switch (w->step) {

    case APISCALE_CONSUMERS_CLEAR:
    case APISCALE_CONSUMERS_SUM:
        total = w->buckets + 1;
        break;

    case APISCALE_CONSUMERS_COUNT:
    case APISCALE_CONSUMERS_PLACE:
        total = b->nkeys;
        break;

    default: /* APISCALE_CONSUMERS_COPY */
        total = (b->used + APISCALE_CONSUMERS_PIECE - 1)
                / APISCALE_CONSUMERS_PIECE;
        break;
    }

    end = total - i > n ? i + n : total;
    w->i = end;

    switch (w->step) {

    case APISCALE_CONSUMERS_CLEAR:
        memset(w->index + i, 0, (size_t) (end - i) * sizeof(uint32_t));
        break;

    case APISCALE_CONSUMERS_COUNT:
        for ( /* void */ ; i < end; i++) {
            (*apiscale_consumers_bucket(w, i))++;
        }
        break;

    case APISCALE_CONSUMERS_SUM:
        for ( /* void */ ; i < end; i++) {
            w->sum += w->index[i];
            w->index[i] = w->sum;
        }
        break;

    case APISCALE_CONSUMERS_PLACE:

        /* from the ends of the buckets to their begins */

        for ( /* void */ ; i < end; i++) {
            w->keys[--*apiscale_consumers_bucket(w, i)] = b->keys[i];
        }
        break;

    default: /* APISCALE_CONSUMERS_COPY */
        apiscale_consumers_copy(w, i, end);
        break;
    }

    if (end == total) {
        w->step++;
        w->i = 0;
    }

    return w->step != APISCALE_CONSUMERS_DONE;
}


static void
apiscale_consumers_copy(const apiscale_consumers_writer_t *w, uint32_t i,
    uint32_t end)
{
    uint64_t  from, to;

    from = (uint64_t) i * APISCALE_CONSUMERS_PIECE;
    to = (uint64_t) end * APISCALE_CONSUMERS_PIECE;

    if (to > w->builder->used) {
        to = w->builder->used;
    }

    if (to > from) {
        memcpy(w->records + from, w->builder->records + from, to - from);
    }
}


/*
 * Writes the image at once.
 */

void
apiscale_consumers_write(const apiscale_consumers_builder_t *b, void *image)
{
    apiscale_consumers_writer_t  w;

    apiscale_consumers_write_start(&w, b, image);

    while (apiscale_consumers_write_some(&w, UINT32_MAX)) { /* void */ }
}


/*
 * Looks at an image in "size" bytes, aligned to 8.  APISCALE_CONSUMERS_FULL
 * if it cannot be one.
 */

apiscale_consumers_rc_e
apiscale_consumers_open(apiscale_consumers_image_t *im, const void *image,
    size_t size)
{
    const apiscale_consumers_head_t  *head;

    head = image;

    if (size < sizeof(apiscale_consumers_head_t)) {
        return APISCALE_CONSUMERS_FULL;
    }

    im->nkeys = apiscale_consumers_load(&head->keys);
    im->bits = apiscale_consumers_load(&head->bits);
    im->size = apiscale_consumers_load(&head->records);

    if (im->bits < 1 || im->bits > 31
        || apiscale_consumers_layout(im->nkeys, im->bits, im->size) > size)
    {
        return APISCALE_CONSUMERS_FULL;
    }

    memcpy(im->seed, head->seed, sizeof(im->seed));

    im->index = (const uint32_t *) (head + 1);
    im->keys = (const apiscale_consumers_key_t *)
                   (im->index + (UINT32_C(1) << im->bits) + 1);
    im->records = (const unsigned char *) (im->keys + im->nkeys);

    return APISCALE_CONSUMERS_OK;
}


/*
 * The record of the consumer that has a key of this digest, 0 if none has.
 * All keys of the bucket are compared, and all bytes of each.
 */

uint32_t
apiscale_consumers_find(const apiscale_consumers_image_t *im,
    const unsigned char digest[APISCALE_CONSUMERS_DIGEST])
{
    uint32_t  i, n, bucket, end, record, mask;
    uint64_t  diff, a[4], b[4];

    bucket = (uint32_t) (apiscale_consumers_hash(im->seed, digest)
                         >> (64 - im->bits));

    i = apiscale_consumers_load(&im->index[bucket]);
    end = apiscale_consumers_load(&im->index[bucket + 1]);

    if (end > im->nkeys) {
        end = im->nkeys;
    }

    memcpy(a, digest, sizeof(a));

    record = 0;

    for (n = 0; i < end && n < APISCALE_CONSUMERS_SCAN; i++, n++) {
        memcpy(b, im->keys[i].digest, sizeof(b));

        diff = (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);

        /* all ones if nothing differs */

        diff |= 0 - diff;
        mask = (uint32_t) (diff >> 63) - 1;

        record |= apiscale_consumers_load(&im->keys[i].record) & mask;
    }

    return record;
}


/* a counted string; an empty one if it would not lie within the records */

static apiscale_consumers_rc_e
apiscale_consumers_string(const unsigned char *records, uint32_t size,
    uint64_t offset, apiscale_consumers_name_t *name)
{
    if (offset >= size) {
        return APISCALE_CONSUMERS_FULL;
    }

    name->len = apiscale_consumers_load(&records[offset]);
    name->data = records + offset + 1;

    return name->len < size - offset ? APISCALE_CONSUMERS_OK
                                     : APISCALE_CONSUMERS_FULL;
}


/*
 * The consumer of a record, as find() gave it, of this image or of the one
 * that was here before: names lie within the "size" bytes of "records".
 * APISCALE_CONSUMERS_FULL if they would not, which is so only in an image
 * that is overwritten.
 */

apiscale_consumers_rc_e
apiscale_consumers_get(const unsigned char *records, uint32_t size,
    uint32_t record, apiscale_consumers_t *c)
{
    uint32_t         plan, version;
    const uint32_t  *p;

    if (record == 0 || record % 4 || size < APISCALE_CONSUMERS_ID
        || record > size - APISCALE_CONSUMERS_ID)
    {
        return APISCALE_CONSUMERS_FULL;
    }

    p = (const uint32_t *) (const void *) (records + record);

    plan = apiscale_consumers_load(&p[0]);
    version = apiscale_consumers_load(&p[1]);

    c->plan.len = 0;
    c->version.len = 0;

    if (apiscale_consumers_string(records, size,
                                  (uint64_t) record + APISCALE_CONSUMERS_ID,
                                  &c->id)
        || (plan && apiscale_consumers_string(records, size, plan, &c->plan))
        || (version && apiscale_consumers_string(records, size, version,
                                                 &c->version)))
    {
        return APISCALE_CONSUMERS_FULL;
    }

    return APISCALE_CONSUMERS_OK;
}


static int
apiscale_consumers_nibble(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}


/*
 * Reads "sha256:" and 64 hexadecimal digits.  1 if it is that, else 0.
 */

int
apiscale_consumers_digest(const unsigned char *text, size_t len,
    unsigned char digest[APISCALE_CONSUMERS_DIGEST])
{
    int     hi, lo;
    size_t  i;

    static const char  prefix[] = "sha256:";

    if (len != sizeof(prefix) - 1 + 2 * APISCALE_CONSUMERS_DIGEST
        || memcmp(text, prefix, sizeof(prefix) - 1) != 0)
    {
        return 0;
    }

    text += sizeof(prefix) - 1;

    for (i = 0; i < APISCALE_CONSUMERS_DIGEST; i++) {
        hi = apiscale_consumers_nibble(text[2 * i]);
        lo = apiscale_consumers_nibble(text[2 * i + 1]);

        if (hi < 0 || lo < 0) {
            return 0;
        }

        digest[i] = (unsigned char) (hi << 4 | lo);
    }

    return 1;
}
