
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apiscale_siphash.h"


typedef struct {
    size_t    len;
    uint8_t   mac[8];
} vector_t;


/*
 * The first "len" bytes of 00 01 02 ... under the key 00 01 .. 0f, as OpenSSL
 * computes them: openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f
 * -macopt size:8 -macopt c-rounds:1 -macopt d-rounds:3 -in FILE SIPHASH
 */

static const vector_t  vectors[] = {
    { 0, { 0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab } },
    { 1, { 0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9 } },
    { 7, { 0x40, 0x11, 0xb1, 0x9b, 0x98, 0x7d, 0x92, 0xd3 } },
    { 8, { 0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36 } },
    { 9, { 0xe4, 0x3d, 0x06, 0x6c, 0xb3, 0x8e, 0xa4, 0x25 } },
    { 15, { 0x56, 0x99, 0x51, 0x2a, 0x6d, 0xd8, 0x20, 0xd3 } },
    { 16, { 0x66, 0x8b, 0x90, 0x7d, 0x1a, 0xdd, 0x4f, 0xcc } },
    { 17, { 0x0c, 0xd8, 0xdb, 0x63, 0x90, 0x68, 0xf2, 0x9c } },
    { 63, { 0xa8, 0xb3, 0xbb, 0xb7, 0x62, 0x90, 0x19, 0x9d } },
};


static const uint64_t  key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };


static uint64_t
le64(const uint8_t *p)
{
    int       i;
    uint64_t  v;

    v = 0;

    for (i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }

    return v;
}


static void
test_vectors(void **state)
{
    size_t              i;
    uint8_t             msg[64];
    apiscale_siphash_t  s;

    (void) state;

    for (i = 0; i < sizeof(msg); i++) {
        msg[i] = (uint8_t) i;
    }

    apiscale_siphash_init(&s, key);

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        assert_int_equal(apiscale_siphash_final(&s, msg, vectors[i].len),
                         le64(vectors[i].mac));
    }
}


/* a prefix absorbed beforehand gives the hash of the whole */

static void
test_prefix(void **state)
{
    size_t              i, n;
    uint8_t             msg[64];
    apiscale_siphash_t  whole, s;

    (void) state;

    for (i = 0; i < sizeof(msg); i++) {
        msg[i] = (uint8_t) (i * 7);
    }

    apiscale_siphash_init(&whole, key);
    apiscale_siphash_init(&s, key);

    for (i = 8; i <= 32; i += 8) {
        apiscale_siphash_block(&s, le64(&msg[i - 8]));

        for (n = 0; i + n <= sizeof(msg); n++) {
            assert_int_equal(apiscale_siphash_final(&s, &msg[i], n),
                             apiscale_siphash_final(&whole, msg, i + n));
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_prefix),
    };

    return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
