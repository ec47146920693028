
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apiscale_keyhash.h"


#define BUCKETS  1024


static uint64_t  seed = 0x9e3779b97f4a7c15;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static void
make(apiscale_keyhash_t *h)
{
    unsigned  i;
    uint64_t  secret[APISCALE_KEYHASH_SECRETS];

    for (i = 0; i < APISCALE_KEYHASH_SECRETS; i++) {
        secret[i] = rnd();
    }

    apiscale_keyhash_init(h, secret);
}


/* the word has all bytes and their number */

static void
test_word(void **state)
{
    unsigned       i, len;
    uint64_t       w, want;
    unsigned char  key[8];

    (void) state;

    for (len = 0; len < 8; len++) {
        for (i = 0; i < 10000; i++) {
            want = rnd();
            memcpy(key, &want, 8);
            key[len] = 0xff;                  /* is not looked at */

            w = apiscale_keyhash_word(key, len);
            assert_int_equal(w >> 56, len);

            /* each byte that changes changes the word */

            if (len) {
                key[i % len] ^= 1 + rnd() % 255;
                assert_true(apiscale_keyhash_word(key, len) != w);
            }
        }
    }

    /* NULs at the end count */

    memset(key, 0, sizeof(key));

    for (i = 0; i < 7; i++) {
        for (len = i + 1; len < 8; len++) {
            assert_true(apiscale_keyhash_word(key, i)
                        != apiscale_keyhash_word(key, len));
        }
    }
}


static void
test_secrets(void **state)
{
    unsigned            i, same;
    uint64_t            key;
    apiscale_keyhash_t  a, b;

    (void) state;

    same = 0;

    for (i = 0; i < 10000; i++) {
        make(&a);
        make(&b);
        key = rnd();

        same += apiscale_keyhash(&a, (unsigned char *) &key, i % 8)
                == apiscale_keyhash(&b, (unsigned char *) &key, i % 8);
    }

    assert_int_equal(same, 0);
}


static void
test_long(void **state)
{
    unsigned            len;
    unsigned char       key[64];
    apiscale_keyhash_t  h;

    (void) state;

    make(&h);
    memset(key, 'k', sizeof(key));

    for (len = 8; len <= sizeof(key); len++) {
        assert_true(apiscale_keyhash(&h, key, len)
                    == apiscale_siphash_final(&h.sip, key, len));
    }
}


/*
 * Neighbouring addresses spread over the sets of a table, by high and by low
 * bits, as at random: chi-square of 1023 degrees of freedom is above 1250 or
 * below 800 in less than one of a million tables.
 */

static void
test_spread(void **state)
{
    unsigned            i, round, part;
    unsigned            n[2][BUCKETS];
    uint64_t            hash;
    double              chi, d;
    apiscale_keyhash_t  h;

    (void) state;

    for (round = 0; round < 50; round++) {
        make(&h);
        memset(n, 0, sizeof(n));

        for (i = 0; i < 65536; i++) {
            hash = apiscale_keyhash_short(&h, 4ULL << 56 | 10
                                              | (uint64_t) (i >> 8) << 16
                                              | (uint64_t) (i & 0xff) << 24);
            n[0][hash >> 54]++;
            n[1][hash >> 6 & (BUCKETS - 1)]++;
        }

        for (part = 0; part < 2; part++) {
            for (chi = 0, i = 0; i < BUCKETS; i++) {
                d = n[part][i] - 65536.0 / BUCKETS;
                chi += d * d / (65536.0 / BUCKETS);
            }

            assert_true(chi > 800);
            assert_true(chi < 1250);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_word),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_spread),
    };

    return cmocka_run_group_tests_name("keyhash", tests, NULL, NULL);
}
