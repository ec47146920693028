
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


typedef struct {
    size_t    len;
    uint8_t   mac[2][8];
} vector128_t;


/* with -macopt size:16 */

static const vector128_t  vectors128[] = {
    { 0, { { 0xe7, 0x7e, 0xbc, 0xb2, 0x27, 0x88, 0xa5, 0xbe },
           { 0xfd, 0x62, 0xdb, 0x6a, 0xdd, 0x30, 0x30, 0x01 } } },
    { 1, { { 0xfc, 0x6f, 0x37, 0x04, 0x60, 0xd3, 0xed, 0xa8 },
           { 0x5e, 0x05, 0x73, 0xcc, 0x2b, 0x2f, 0xf0, 0x63 } } },
    { 7, { { 0x10, 0x84, 0xb9, 0x23, 0xf2, 0xaa, 0xe0, 0xc3 },
           { 0xa6, 0x2f, 0x2e, 0xc8, 0x08, 0x48, 0xab, 0x77 } } },
    { 8, { { 0xaa, 0x12, 0xfe, 0xe1, 0xd5, 0xe3, 0xda, 0xb4 },
           { 0x72, 0x4f, 0x16, 0xab, 0x35, 0xf9, 0xc7, 0x99 } } },
    { 9, { { 0x81, 0xdd, 0xb8, 0x04, 0x2c, 0xf3, 0x39, 0x94 },
           { 0xf4, 0x72, 0x0e, 0x00, 0x94, 0x13, 0x7c, 0x42 } } },
    { 15, { { 0xc1, 0x7e, 0x55, 0x05, 0xb2, 0xbd, 0x52, 0x6c },
            { 0x29, 0x21, 0xcd, 0xec, 0x1e, 0x7e, 0x01, 0x09 } } },
    { 16, { { 0xd0, 0xa8, 0xd9, 0x57, 0x15, 0x51, 0x8e, 0xeb },
            { 0xb5, 0x13, 0xb0, 0xf8, 0x3d, 0x9e, 0x17, 0x93 } } },
    { 17, { { 0x23, 0x41, 0x26, 0xf9, 0x3f, 0xbb, 0x66, 0x8d },
            { 0x97, 0x51, 0x12, 0xe8, 0xfe, 0xbd, 0xf7, 0xec } } },
    { 63, { { 0x4c, 0x58, 0x00, 0xe3, 0x4e, 0xfe, 0x42, 0x6f },
            { 0x07, 0x9f, 0x6b, 0x0a, 0xa7, 0x52, 0x60, 0xad } } },
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


static void
test_vectors_128(void **state)
{
    size_t    i;
    uint8_t   msg[64];
    uint64_t  hash[2];

    (void) state;

    for (i = 0; i < sizeof(msg); i++) {
        msg[i] = (uint8_t) i;
    }

    for (i = 0; i < sizeof(vectors128) / sizeof(vectors128[0]); i++) {
        apiscale_siphash_128(key, msg, vectors128[i].len, hash);
        assert_int_equal(hash[0], le64(vectors128[i].mac[0]));
        assert_int_equal(hash[1], le64(vectors128[i].mac[1]));
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
        cmocka_unit_test(test_vectors_128),
        cmocka_unit_test(test_prefix),
    };

    return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
