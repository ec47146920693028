
/*
 * Copyright (C) apiscale authors
 */


/*
 * SipHash-1-3 with a result of 64 or 128 bits: a keyed hash whose collisions
 * cannot be prepared by somebody who does not know the key.
 *
 * Depends on stdint.h and string.h only.  Invariant: a state holds what was
 * absorbed so far in whole blocks of eight bytes, so that a prefix shared by
 * many messages is absorbed once.
 *
 * J.-P. Aumasson, D. J. Bernstein: "SipHash: a fast short-input PRF", 2012.
 */


#ifndef APISCALE_SIPHASH_H_INCLUDED_
#define APISCALE_SIPHASH_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    uint64_t  v[4];
    uint64_t  len;                        /* bytes absorbed */
} apiscale_siphash_t;


void apiscale_siphash_init(apiscale_siphash_t *s, const uint64_t key[2]);
void apiscale_siphash_block(apiscale_siphash_t *s, uint64_t block);
uint64_t apiscale_siphash_final(const apiscale_siphash_t *s, const void *data,
    size_t len);
void apiscale_siphash_128(const uint64_t key[2], const void *data, size_t len,
    uint64_t hash[2]);


#endif /* APISCALE_SIPHASH_H_INCLUDED_ */
