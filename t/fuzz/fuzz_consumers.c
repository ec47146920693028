
/*
 * Copyright (C) apiscale authors
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apiscale_consumers.h"


#define CHECK(x)  if (!(x)) { abort(); }

#define CONSUMERS  16


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
build(apiscale_consumers_builder_t *b, const uint8_t *data, size_t size)
{
    size_t                len;
    uint32_t              record;
    unsigned char         digest[APISCALE_CONSUMERS_DIGEST];
    apiscale_consumers_t  c;

    while (size > 3) {
        len = 1 + data[0] % 8;
        len = len < size - 2 ? len : size - 2;

        c.id.data = data + 1;
        c.id.len = len;
        c.plan.data = data + 1;
        c.plan.len = data[1] % (len + 1);
        c.version.data = data + 2;
        c.version.len = data[2] % len;

        if (apiscale_consumers_add(b, &c) == APISCALE_CONSUMERS_OK) {
            memset(digest, data[0], sizeof(digest));
            (void) apiscale_consumers_add_key(b, digest, &record);
        }

        data += len + 1;
        size -= len + 1;
    }
}


/* every key is found, with the consumer that it was added to */
static void
check_image(apiscale_consumers_builder_t *b, const void *image, size_t size)
{
    uint32_t                    i, record;
    apiscale_consumers_t        c, d;
    apiscale_consumers_image_t  im;

    CHECK(apiscale_consumers_open(&im, image, size) == APISCALE_CONSUMERS_OK);

    for (i = 0; i < b->nkeys; i++) {
        record = apiscale_consumers_find(&im, b->keys[i].digest);
        CHECK(record == b->keys[i].record);
        CHECK(apiscale_consumers_get(im.records, im.size, record, &c)
              == APISCALE_CONSUMERS_OK);
        CHECK(apiscale_consumers_get(b->records, b->used, record, &d)
              == APISCALE_CONSUMERS_OK);
        CHECK(c.id.len == d.id.len && c.plan.len == d.plan.len
              && c.version.len == d.version.len);
        CHECK(memcmp(c.id.data, d.id.data, c.id.len) == 0);
    }
}


/* what is read of an image that is something else lies within it */
static void
read_any(const void *image, size_t size, const uint8_t *data, size_t len)
{
    uint32_t                    record;
    unsigned char               digest[APISCALE_CONSUMERS_DIGEST];
    volatile unsigned char      byte;
    apiscale_consumers_t        c;
    apiscale_consumers_image_t  im;

    if (apiscale_consumers_open(&im, image, size) != APISCALE_CONSUMERS_OK) {
        return;
    }

    memset(digest, 0, sizeof(digest));
    memcpy(digest, data, len < sizeof(digest) ? len : sizeof(digest));

    record = apiscale_consumers_find(&im, digest);

    if (record == 0 && len >= 4) {
        memcpy(&record, data, 4);
    }

    if (apiscale_consumers_get(im.records, im.size, record, &c)
        == APISCALE_CONSUMERS_OK)
    {
        if (c.id.len) {
            byte = c.id.data[c.id.len - 1];
        }

        if (c.plan.len) {
            byte = c.plan.data[c.plan.len - 1];
        }

        if (c.version.len) {
            byte = c.version.data[c.version.len - 1];
        }

        (void) byte;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void                          *image;
    size_t                         bytes;
    uint32_t                       ids[4 * CONSUMERS], names[4 * CONSUMERS];
    uint32_t                       digests[4 * CONSUMERS];
    apiscale_consumers_key_t       keys[CONSUMERS];
    apiscale_consumers_builder_t   b;

    memset(&b, 0, sizeof(b));
    memset(ids, 0, sizeof(ids));
    memset(names, 0, sizeof(names));
    memset(digests, 0, sizeof(digests));

    b.seed[0] = 1;
    b.seed[3] = UINT64_C(0x9e3779b97f4a7c15);
    b.keys = keys;
    b.max_keys = CONSUMERS;
    b.max = CONSUMERS * APISCALE_CONSUMERS_RECORD_MAX;
    b.records = malloc(b.max);
    CHECK(b.records);

    b.ids.slots = ids;
    b.ids.size = 4 * CONSUMERS;
    b.names.slots = names;
    b.names.size = 4 * CONSUMERS;
    b.digests.slots = digests;
    b.digests.size = 4 * CONSUMERS;

    build(&b, data, size);

    bytes = apiscale_consumers_size(&b);
    image = malloc(bytes);
    CHECK(image);

    apiscale_consumers_write(&b, image);
    check_image(&b, image, bytes);

    /* then it is overwritten in part */

    if (size > 2) {
        memcpy((unsigned char *) image + (data[0] * 256 + data[1]) % bytes / 2,
               data, size < bytes / 2 ? size : bytes / 2);
        read_any(image, bytes, data, size);
    }

    free(image);

    /* or is the input */

    image = malloc(size ? size : 1);
    CHECK(image);

    memcpy(image, data, size);
    read_any(image, size, data, size);

    free(image);
    free(b.records);

    return 0;
}
