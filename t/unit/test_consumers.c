
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apiscale_consumers.h"


#define N  20000


static apiscale_consumers_builder_t *
make(uint32_t records, uint32_t keys, uint32_t set)
{
    apiscale_consumers_builder_t  *b;

    b = calloc(1, sizeof(*b));
    assert_non_null(b);

    b->seed[0] = 0x0123456789abcdef;
    b->seed[1] = 0xfedcba9876543210;
    b->seed[2] = 0xdeadbeefcafebabe;
    b->seed[3] = 0x5555aaaa3333cccc;
    b->records = malloc(records);
    b->max = records;
    b->keys = malloc(keys * sizeof(apiscale_consumers_key_t));
    b->max_keys = keys;
    b->ids.slots = calloc(set, sizeof(uint32_t));
    b->ids.size = set;
    b->names.slots = calloc(set, sizeof(uint32_t));
    b->names.size = set;
    b->digests.slots = calloc(set, sizeof(uint32_t));
    b->digests.size = set;

    return b;
}


static void
drop(apiscale_consumers_builder_t *b)
{
    free(b->records);
    free(b->keys);
    free(b->ids.slots);
    free(b->names.slots);
    free(b->digests.slots);
    free(b);
}


static apiscale_consumers_name_t
name(const char *s)
{
    apiscale_consumers_name_t  n;

    n.data = (const unsigned char *) s;
    n.len = strlen(s);

    return n;
}


static apiscale_consumers_rc_e
add(apiscale_consumers_builder_t *b, const char *id, const char *plan,
    const char *version)
{
    apiscale_consumers_t  c;

    c.id = name(id);
    c.plan = name(plan);
    c.version = name(version);

    return apiscale_consumers_add(b, &c);
}


/* digests that differ in one word only, as nobody's SHA-256 would */

static void
digest(uint32_t n, int word, unsigned char d[APISCALE_CONSUMERS_DIGEST])
{
    memset(d, 0, APISCALE_CONSUMERS_DIGEST);
    memcpy(d + word, &n, sizeof(n));
}


static void
check(const apiscale_consumers_image_t *im, const unsigned char *d,
    const char *id, const char *plan, const char *version)
{
    uint32_t              record;
    apiscale_consumers_t  c;

    record = apiscale_consumers_find(im, d);

    if (id == NULL) {
        assert_int_equal(record, 0);
        return;
    }

    assert_int_equal(apiscale_consumers_get(im->records, im->size, record, &c),
                     APISCALE_CONSUMERS_OK);
    assert_int_equal(c.id.len, strlen(id));
    assert_memory_equal(c.id.data, id, c.id.len);
    assert_int_equal(c.plan.len, strlen(plan));
    assert_memory_equal(c.plan.data, plan, c.plan.len);
    assert_int_equal(c.version.len, strlen(version));
    assert_memory_equal(c.version.data, version, c.version.len);
}


static void
test_empty(void **state)
{
    void                          *image;
    size_t                         size;
    unsigned char                  d[APISCALE_CONSUMERS_DIGEST];
    apiscale_consumers_image_t     im;
    apiscale_consumers_builder_t   b;

    (void) state;

    memset(&b, 0, sizeof(b));

    assert_int_equal(add(&b, "a", "", ""), APISCALE_CONSUMERS_FULL);

    size = apiscale_consumers_size(&b);
    image = malloc(size);
    apiscale_consumers_write(&b, image);

    assert_int_equal(apiscale_consumers_open(&im, image, size),
                     APISCALE_CONSUMERS_OK);
    assert_int_equal(apiscale_consumers_open(&im, image, size - 1),
                     APISCALE_CONSUMERS_FULL);

    digest(0, 0, d);
    check(&im, d, NULL, NULL, NULL);

    free(image);
}


static void
test_duplicates(void **state)
{
    uint32_t                       record;
    unsigned char                  d[APISCALE_CONSUMERS_DIGEST];
    apiscale_consumers_t           c;
    apiscale_consumers_builder_t  *b;

    (void) state;

    b = make(16384, 8, 64);

    assert_int_equal(add(b, "a", "p", "p"), APISCALE_CONSUMERS_OK);
    assert_int_equal(add(b, "b", "a", ""), APISCALE_CONSUMERS_OK);
    assert_int_equal(add(b, "a", "q", ""), APISCALE_CONSUMERS_DUPLICATE);
    assert_int_equal(add(b, "p", "", "q"), APISCALE_CONSUMERS_OK);
    assert_int_equal(b->consumers, 3);

    /* p, a, q: a name of a plan is not an id */

    assert_int_equal(b->names.n, 3);

    digest(1, 0, d);
    assert_int_equal(apiscale_consumers_add_key(b, d, &record),
                     APISCALE_CONSUMERS_OK);
    assert_int_equal(add(b, "c", "", ""), APISCALE_CONSUMERS_OK);
    assert_int_equal(apiscale_consumers_add_key(b, d, &record),
                     APISCALE_CONSUMERS_DUPLICATE);
    assert_int_equal(apiscale_consumers_get(b->records, b->used, record, &c),
                     APISCALE_CONSUMERS_OK);
    assert_int_equal(c.id.len, 1);
    assert_int_equal(c.id.data[0], 'p');
    assert_int_equal(b->nkeys, 1);

    drop(b);
}


/* nothing is added in part */

static void
test_full(void **state)
{
    uint32_t                       i, record, used;
    unsigned char                  d[APISCALE_CONSUMERS_DIGEST];
    char                           id[APISCALE_CONSUMERS_NAME_MAX + 2];
    apiscale_consumers_builder_t  *b;

    (void) state;

    b = make(APISCALE_CONSUMERS_RECORD_MAX + 3, 3, 64);
    assert_int_equal(add(b, "a", "", ""), APISCALE_CONSUMERS_FULL);
    assert_int_equal(b->used, 0);
    drop(b);

    b = make(APISCALE_CONSUMERS_RECORD_MAX + 4, 3, 64);

    memset(id, 'x', sizeof(id));
    id[APISCALE_CONSUMERS_NAME_MAX + 1] = '\0';
    assert_int_equal(add(b, id, "", ""), APISCALE_CONSUMERS_FULL);
    assert_int_equal(add(b, "a", id, ""), APISCALE_CONSUMERS_FULL);
    assert_int_equal(add(b, "a", "", id), APISCALE_CONSUMERS_FULL);

    id[APISCALE_CONSUMERS_NAME_MAX] = '\0';
    assert_int_equal(add(b, id, id + 1, id + 2), APISCALE_CONSUMERS_OK);
    assert_true(b->used <= b->max);

    used = b->used;
    assert_int_equal(add(b, "b", "", ""), APISCALE_CONSUMERS_FULL);
    assert_int_equal(b->used, used);

    for (i = 0; i < 3; i++) {
        digest(i, 0, d);
        assert_int_equal(apiscale_consumers_add_key(b, d, &record),
                         APISCALE_CONSUMERS_OK);
    }

    digest(3, 0, d);
    assert_int_equal(apiscale_consumers_add_key(b, d, &record),
                     APISCALE_CONSUMERS_FULL);
    assert_int_equal(b->nkeys, 3);

    drop(b);

    b = make(65536, 64, 4);
    assert_int_equal(add(b, "a", "", ""), APISCALE_CONSUMERS_OK);
    assert_int_equal(add(b, "b", "", ""), APISCALE_CONSUMERS_OK);
    assert_int_equal(add(b, "c", "", ""), APISCALE_CONSUMERS_FULL);
    drop(b);
}


/* many, with sets that are moved, of digests that differ in few bits */

static void
fill(apiscale_consumers_builder_t *b, int word)
{
    char           id[32], plan[32];
    uint32_t       i, record, *slots, *old;
    unsigned char  d[APISCALE_CONSUMERS_DIGEST];
    int            k;

    apiscale_consumers_set_t  *set[3];

    set[0] = &b->ids;
    set[1] = &b->names;
    set[2] = &b->digests;

    for (i = 0; i < N; i++) {

        for (k = 0; k < 3; k++) {
            if (set[k]->n + 2 > set[k]->size / 2) {
                slots = calloc(2 * (size_t) set[k]->size, sizeof(uint32_t));
                old = set[k]->slots;
                apiscale_consumers_move_set(b, set[k], slots,
                                            2 * set[k]->size);
                free(old);
            }
        }

        snprintf(id, sizeof(id), "consumer-%u", i);
        snprintf(plan, sizeof(plan), "plan-%u", i % 1000);

        assert_int_equal(add(b, id, plan, i % 2 ? "2" : ""),
                         APISCALE_CONSUMERS_OK);

        digest(i, word, d);
        assert_int_equal(apiscale_consumers_add_key(b, d, &record),
                         APISCALE_CONSUMERS_OK);
    }
}


static void
test_many(void **state)
{
    int                            word;
    char                           id[32], plan[32];
    void                          *image;
    size_t                         size;
    uint32_t                       i, longest, n;
    unsigned char                  d[APISCALE_CONSUMERS_DIGEST];
    apiscale_consumers_image_t     im;
    apiscale_consumers_builder_t  *b;

    (void) state;

    for (word = 0; word <= 28; word += 4) {

        b = make(N * 64, N, 8);
        fill(b, word);

        size = apiscale_consumers_size(b);
        assert_true(size < (size_t) N * 80);

        image = malloc(size);
        apiscale_consumers_write(b, image);
        drop(b);

        assert_int_equal(apiscale_consumers_open(&im, image, size),
                         APISCALE_CONSUMERS_OK);

        longest = 0;

        for (i = 0; i < UINT32_C(1) << im.bits; i++) {
            n = im.index[i + 1] - im.index[i];
            longest = n > longest ? n : longest;
        }

        assert_in_range(longest, 1, 24);

        for (i = 0; i < N; i++) {
            snprintf(id, sizeof(id), "consumer-%u", i);
            snprintf(plan, sizeof(plan), "plan-%u", i % 1000);
            digest(i, word, d);
            check(&im, d, id, plan, i % 2 ? "2" : "");
        }

        for (i = N; i < 2 * N; i++) {
            digest(i, word, d);
            check(&im, d, NULL, NULL, NULL);
        }

        /* each bit of a digest counts */

        for (i = 0; i < 256; i++) {
            digest(77, word, d);
            d[i / 8] ^= (unsigned char) (1 << i % 8);

            if (i / 8 < (uint32_t) word || i / 8 >= (uint32_t) word + 4) {
                check(&im, d, NULL, NULL, NULL);
            }
        }

        free(image);
    }
}


/* in steps of any size the image is the same */

static void
test_steps(void **state)
{
    void                          *whole, *steps;
    size_t                         size;
    uint32_t                       i, n;
    apiscale_consumers_writer_t    w;
    apiscale_consumers_builder_t  *b;

    static const uint32_t  sizes[] = { 1, 7, 1000, N, UINT32_MAX };

    (void) state;

    b = make(N * 64, N, 8);
    fill(b, 8);

    size = apiscale_consumers_size(b);
    whole = malloc(size);
    steps = malloc(size);

    apiscale_consumers_write(b, whole);

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(steps, 0xa5, size);
        apiscale_consumers_write_start(&w, b, steps);

        for (n = 1; apiscale_consumers_write_some(&w, sizes[i]); n++) {
            assert_in_range(n, 1, 8 * N);
        }

        assert_memory_equal(steps, whole, size);
    }

    free(whole);
    free(steps);
    drop(b);
}


/* whatever an image holds, a reader stays within it */

static void
test_overwritten(void **state)
{
    size_t                         size;
    uint32_t                       i, k, record;
    uint64_t                      *image;
    unsigned char                 *bytes, d[APISCALE_CONSUMERS_DIGEST];
    volatile unsigned char         sum;
    apiscale_consumers_t           c;
    apiscale_consumers_image_t     im;
    apiscale_consumers_builder_t  *b;

    (void) state;

    b = make(N * 64, N, 8);
    fill(b, 0);

    size = apiscale_consumers_size(b);
    image = malloc(size);
    bytes = (unsigned char *) image;

    srand(1);

    for (i = 0; i < 300; i++) {
        apiscale_consumers_write(b, image);

        if (i % 3 == 0) {
            assert_int_equal(apiscale_consumers_open(&im, image, size),
                             APISCALE_CONSUMERS_OK);
        }

        for (k = 0; k < size; k += (uint32_t) rand() % (i % 2 ? 16 : 4096)) {
            bytes[k] = (unsigned char) rand();
            k++;
        }

        if (i % 3 && apiscale_consumers_open(&im, image, size)
                     != APISCALE_CONSUMERS_OK)
        {
            continue;
        }

        for (k = 0; k < 200; k++) {
            digest((uint32_t) rand() % N, 0, d);
            record = apiscale_consumers_find(&im, d);

            if (k % 2) {
                record = (uint32_t) rand() * 4;
            }

            if (apiscale_consumers_get(im.records, im.size, record, &c)
                == APISCALE_CONSUMERS_OK)
            {
                sum = c.id.data[0];

                if (c.plan.len) {
                    sum = c.plan.data[c.plan.len - 1];
                }

                if (c.version.len) {
                    sum = c.version.data[c.version.len - 1];
                }

                (void) sum;
            }
        }
    }

    assert_int_equal(apiscale_consumers_open(&im, image, 8),
                     APISCALE_CONSUMERS_FULL);

    free(image);
    drop(b);
}


static void
test_digest(void **state)
{
    char           text[80];
    size_t         i;
    unsigned char  d[APISCALE_CONSUMERS_DIGEST];

    (void) state;

    strcpy(text, "sha256:000102030405060708090a0b0c0d0e0f"
                 "101112131415161718191A1B1C1D1E1F");

    assert_int_equal(apiscale_consumers_digest((unsigned char *) text, 71, d),
                     1);

    for (i = 0; i < 32; i++) {
        assert_int_equal(d[i], i);
    }

    assert_int_equal(apiscale_consumers_digest((unsigned char *) text, 70, d),
                     0);
    assert_int_equal(apiscale_consumers_digest((unsigned char *) text, 72, d),
                     0);

    for (i = 0; i < 71; i++) {
        text[i] ^= 0x80;
        assert_int_equal(apiscale_consumers_digest((unsigned char *) text, 71,
                                                   d),
                         0);
        text[i] ^= 0x80;
    }

    for (i = 0; i < 256; i++) {
        text[7] = (char) i;
        assert_int_equal(apiscale_consumers_digest((unsigned char *) text, 71,
                                                   d),
                         i != 0 && strchr("0123456789abcdefABCDEF", (int) i)
                         != NULL);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_overwritten),
        cmocka_unit_test(test_digest)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
