
/*
 * Copyright (C) apiscale authors
 */


/*
 * Consumers and the digests of their keys in one block of memory, the image,
 * which holds offsets and no addresses, so that all processes may read it.
 *
 * Depends on stdint.h, string.h and apiscale_siphash.h only.
 *
 * An image is written once, by a builder, and read by any number of readers
 * without a lock.  A reader that is slow may find that its image is being
 * overwritten: what it then gets is of no use, which it has to find out for
 * itself (by a generation beside the image), but it lies within the image.
 */


#ifndef APISCALE_CONSUMERS_H_INCLUDED_
#define APISCALE_CONSUMERS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define APISCALE_CONSUMERS_DIGEST    32
#define APISCALE_CONSUMERS_NAME_MAX  255

/* bytes that adding a consumer may take at most: a record and two names */
#define APISCALE_CONSUMERS_RECORD_MAX  (12 + 3 * 256)


typedef enum {
    APISCALE_CONSUMERS_OK = 0,
    APISCALE_CONSUMERS_DUPLICATE,
    APISCALE_CONSUMERS_FULL
} apiscale_consumers_rc_e;


typedef struct {
    const unsigned char  *data;
    size_t                len;
} apiscale_consumers_name_t;


typedef struct {
    apiscale_consumers_name_t  id;
    apiscale_consumers_name_t  plan;      /* may be empty */
    apiscale_consumers_name_t  version;   /* may be empty */
} apiscale_consumers_t;


typedef struct {
    unsigned char  digest[APISCALE_CONSUMERS_DIGEST];
    uint32_t       record;                /* offset of the consumer */
} apiscale_consumers_key_t;


/*
 * The begin of an image.  After it come an index of (buckets + 1) offsets,
 * the keys of each bucket one after the other, and the records.
 */

typedef struct {
    uint64_t  seed[4];
    uint32_t  consumers;
    uint32_t  keys;
    uint32_t  bits;                       /* 2^bits buckets */
    uint32_t  records;                    /* bytes */
} apiscale_consumers_head_t;


/* an image, as a reader sees it: all bounds are checked */

typedef struct {
    const uint32_t                  *index;
    const apiscale_consumers_key_t  *keys;
    const unsigned char             *records;
    uint64_t                         seed[4];
    uint32_t                         nkeys;
    uint32_t                         bits;
    uint32_t                         size;       /* of the records, bytes */
} apiscale_consumers_image_t;


/*
 * A set of things that the builder has already: references of 32 bits by
 * open addressing, 0 is free.  "size" is a power of two; it takes up to
 * size / 2 elements.
 */

typedef struct {
    uint32_t  *slots;
    uint32_t   size;
    uint32_t   n;
} apiscale_consumers_set_t;


/*
 * What was added so far, in memory that the caller gives and moves, with
 * apiscale_consumers_move_set() for the sets.  The seed is random.
 */

typedef struct {
    uint64_t                   seed[4];
    apiscale_consumers_key_t  *keys;
    uint32_t                   nkeys;
    uint32_t                   max_keys;
    uint32_t                   consumers;
    uint32_t                   last;      /* record of the last consumer */
    unsigned char             *records;
    uint32_t                   used;      /* bytes */
    uint32_t                   max;       /* bytes */
    apiscale_consumers_set_t   ids;
    apiscale_consumers_set_t   names;
    apiscale_consumers_set_t   digests;
} apiscale_consumers_builder_t;


/* an image that is written in steps, so that others may run meanwhile */

typedef struct {
    const apiscale_consumers_builder_t  *builder;
    uint32_t                            *index;
    apiscale_consumers_key_t            *keys;
    unsigned char                       *records;
    uint32_t                             buckets;
    unsigned                             shift;
    unsigned                             step;
    uint32_t                             i;      /* done in this step */
    uint32_t                             sum;    /* of keys so far */
} apiscale_consumers_writer_t;


apiscale_consumers_rc_e apiscale_consumers_add(
    apiscale_consumers_builder_t *b, const apiscale_consumers_t *c);
apiscale_consumers_rc_e apiscale_consumers_add_key(
    apiscale_consumers_builder_t *b,
    const unsigned char digest[APISCALE_CONSUMERS_DIGEST], uint32_t *record);
void apiscale_consumers_move_set(apiscale_consumers_builder_t *b,
    apiscale_consumers_set_t *set, uint32_t *slots, uint32_t size);
uint64_t apiscale_consumers_size(const apiscale_consumers_builder_t *b);
void apiscale_consumers_write_start(apiscale_consumers_writer_t *w,
    const apiscale_consumers_builder_t *b, void *image);
int apiscale_consumers_write_some(apiscale_consumers_writer_t *w, uint32_t n);
void apiscale_consumers_write(const apiscale_consumers_builder_t *b,
    void *image);

apiscale_consumers_rc_e apiscale_consumers_open(
    apiscale_consumers_image_t *im, const void *image, size_t size);
uint32_t apiscale_consumers_find(const apiscale_consumers_image_t *im,
    const unsigned char digest[APISCALE_CONSUMERS_DIGEST]);
apiscale_consumers_rc_e apiscale_consumers_get(const unsigned char *records,
    uint32_t size, uint32_t record, apiscale_consumers_t *c);

int apiscale_consumers_digest(const unsigned char *text, size_t len,
    unsigned char digest[APISCALE_CONSUMERS_DIGEST]);


#endif /* APISCALE_CONSUMERS_H_INCLUDED_ */
