
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_siphash.h"

#include <string.h>


#define apiscale_rotl(x, b)  (((x) << (b)) | ((x) >> (64 - (b))))


#define apiscale_sip_round(v0, v1, v2, v3)                                    \
    do {                                                                      \
        (v0) += (v1);                                                         \
        (v2) += (v3);                                                         \
        (v1) = apiscale_rotl(v1, 13) ^ (v0);                                  \
        (v3) = apiscale_rotl(v3, 16) ^ (v2);                                  \
        (v0) = apiscale_rotl(v0, 32) + (v3);                                  \
        (v2) += (v1);                                                         \
        (v3) = apiscale_rotl(v3, 21) ^ (v0);                                  \
        (v1) = apiscale_rotl(v1, 17) ^ (v2);                                  \
        (v2) = apiscale_rotl(v2, 32);                                         \
    } while (0)


static uint64_t
apiscale_le64(const unsigned char *p)
{
    uint64_t  w;

    memcpy(&w, p, 8);

#if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
    w = __builtin_bswap64(w);
#endif

    return w;
}


static uint64_t
apiscale_le32(const unsigned char *p)
{
    uint32_t  w;

    memcpy(&w, p, 4);

#if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
    w = __builtin_bswap32(w);
#endif

    return w;
}


/* the last 0 .. 7 bytes; two words of 4 may overlap, with equal bits */

static uint64_t
apiscale_le_tail(const unsigned char *p, size_t n)
{
    if (n >= 4) {
        return apiscale_le32(p) | apiscale_le32(p + n - 4) << (n - 4) * 8;
    }

    if (n == 0) {
        return 0;
    }

    return p[0] | (uint64_t) p[n / 2] << (n / 2) * 8
           | (uint64_t) p[n - 1] << (n - 1) * 8;
}


/*
 * Starts a hash under a secret key of 128 bits.
 */

void
apiscale_siphash_init(apiscale_siphash_t *s, const uint64_t key[2])
{
    s->v[0] = key[0] ^ 0x736f6d6570736575ULL;
    s->v[1] = key[1] ^ 0x646f72616e646f6dULL;
    s->v[2] = key[0] ^ 0x6c7967656e657261ULL;
    s->v[3] = key[1] ^ 0x7465646279746573ULL;
    s->len = 0;
}


/*
 * Absorbs eight bytes, given as a little-endian word.
 */

void
apiscale_siphash_block(apiscale_siphash_t *s, uint64_t block)
{
    s->v[3] ^= block;
    apiscale_sip_round(s->v[0], s->v[1], s->v[2], s->v[3]);
    s->v[0] ^= block;
    s->len += 8;
}


/*
 * The hash of all that was absorbed, followed by "len" bytes of "data".
 * The state stays as it was and may be used again.
 */

uint64_t
apiscale_siphash_final(const apiscale_siphash_t *s, const void *data,
    size_t len)
{
    size_t                i;
    uint64_t              v0, v1, v2, v3, w;
    const unsigned char  *p;

    v0 = s->v[0];
    v1 = s->v[1];
    v2 = s->v[2];
    v3 = s->v[3];

    p = data;

    for (i = len / 8; i != 0; i--) {
        w = apiscale_le64(p);
        v3 ^= w;
        apiscale_sip_round(v0, v1, v2, v3);
        v0 ^= w;
        p += 8;
    }

    w = (s->len + len) << 56 | apiscale_le_tail(p, len & 7);

    v3 ^= w;
    apiscale_sip_round(v0, v1, v2, v3);
    v0 ^= w;

    v2 ^= 0xff;
    apiscale_sip_round(v0, v1, v2, v3);
    apiscale_sip_round(v0, v1, v2, v3);
    apiscale_sip_round(v0, v1, v2, v3);

    return v0 ^ v1 ^ v2 ^ v3;
}


/*
 * The hash of "len" bytes of "data" with 128 bits, where two equal ones would
 * be taken for the same data.
 */

void
apiscale_siphash_128(const uint64_t key[2], const void *data, size_t len,
    uint64_t hash[2])
{
    size_t                i;
    uint64_t              v0, v1, v2, v3, w;
    apiscale_siphash_t    s;
    const unsigned char  *p;

    apiscale_siphash_init(&s, key);

    v0 = s.v[0];
    v1 = s.v[1] ^ 0xee;
    v2 = s.v[2];
    v3 = s.v[3];

    p = data;

    for (i = len / 8; i != 0; i--) {
        w = apiscale_le64(p);
        v3 ^= w;
        apiscale_sip_round(v0, v1, v2, v3);
        v0 ^= w;
        p += 8;
    }

    w = (uint64_t) len << 56 | apiscale_le_tail(p, len & 7);

    v3 ^= w;
    apiscale_sip_round(v0, v1, v2, v3);
    v0 ^= w;

    v2 ^= 0xee;
    apiscale_sip_round(v0, v1, v2, v3);
    apiscale_sip_round(v0, v1, v2, v3);
    apiscale_sip_round(v0, v1, v2, v3);

    hash[0] = v0 ^ v1 ^ v2 ^ v3;

    v1 ^= 0xdd;
    apiscale_sip_round(v0, v1, v2, v3);
    apiscale_sip_round(v0, v1, v2, v3);
    apiscale_sip_round(v0, v1, v2, v3);

    hash[1] = v0 ^ v1 ^ v2 ^ v3;
}
