
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_siphash.h"

#include <string.h>


#define apiscale_rotl(x, b)  (((x) << (b)) | ((x) >> (64 - (b))))


#define apiscale_sip_round(v)                                                 \
    do {                                                                      \
        (v)[0] += (v)[1];                                                     \
        (v)[2] += (v)[3];                                                     \
        (v)[1] = apiscale_rotl((v)[1], 13) ^ (v)[0];                          \
        (v)[3] = apiscale_rotl((v)[3], 16) ^ (v)[2];                          \
        (v)[0] = apiscale_rotl((v)[0], 32) + (v)[3];                          \
        (v)[2] += (v)[1];                                                     \
        (v)[3] = apiscale_rotl((v)[3], 21) ^ (v)[0];                          \
        (v)[1] = apiscale_rotl((v)[1], 17) ^ (v)[2];                          \
        (v)[2] = apiscale_rotl((v)[2], 32);                                   \
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
apiscale_le_tail(const unsigned char *p, size_t n)
{
    uint64_t  w;

    w = 0;

    while (n--) {
        w = w << 8 | p[n];
    }

    return w;
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
    apiscale_sip_round(s->v);
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
    uint64_t              v[4], w;
    const unsigned char  *p;

    memcpy(v, s->v, sizeof(v));
    p = data;

    for (i = len / 8; i != 0; i--) {
        w = apiscale_le64(p);
        v[3] ^= w;
        apiscale_sip_round(v);
        v[0] ^= w;
        p += 8;
    }

    w = (s->len + len) << 56 | apiscale_le_tail(p, len & 7);

    v[3] ^= w;
    apiscale_sip_round(v);
    v[0] ^= w;

    v[2] ^= 0xff;
    apiscale_sip_round(v);
    apiscale_sip_round(v);
    apiscale_sip_round(v);

    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
