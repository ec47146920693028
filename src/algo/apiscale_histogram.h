
/*
 * Copyright (C) apiscale authors
 */


/*
 * Log-linear histogram of durations in microseconds.  Pure C: depends on
 * the standard headers alone, allocates nothing, reads no clock.
 *
 * A histogram is an array of APISCALE_HIST_BUCKETS counters, zeroed by its
 * owner, that may lie in shared memory.  Writers add to
 * buckets[apiscale_hist_index(us)] with a relaxed atomic; the functions here
 * only read, with relaxed atomics too, so that they may run meanwhile.
 */


#ifndef APISCALE_HISTOGRAM_H_INCLUDED_
#define APISCALE_HISTOGRAM_H_INCLUDED_


#include <stdint.h>


/* 2^6 buckets an octave: the middle is within 1/128 of all in its bucket */
#define APISCALE_HIST_P          6

#define APISCALE_HIST_MIN_US     UINT64_C(1)
#define APISCALE_HIST_MAX_US     UINT64_C(3600000000)

/*
 * An hour is below 2^32: 64 exact buckets for 0..63, then 26 octaves
 * (2^6..2^32) of 64.  An hour itself falls into bucket 1707; whole octaves
 * make the array 13,824 bytes, a multiple of 128.
 */
#define APISCALE_HIST_BUCKETS    ((32 - APISCALE_HIST_P + 1)                  \
                                  << APISCALE_HIST_P)


/*
 * The bucket that counts a duration of "us" microseconds, clamped to
 * 1 us .. 1 h.  Always below APISCALE_HIST_BUCKETS.
 */
static inline unsigned
apiscale_hist_index(uint64_t us)
{
    unsigned  h, w;

    if (us < (1u << APISCALE_HIST_P)) {
        return us < APISCALE_HIST_MIN_US ? APISCALE_HIST_MIN_US
                                         : (unsigned) us;
    }

    if (us > APISCALE_HIST_MAX_US) {
        us = APISCALE_HIST_MAX_US;
    }

    h = 63 - __builtin_clzll(us);
    w = h - APISCALE_HIST_P;

    return ((w + 1) << APISCALE_HIST_P)
           + (unsigned) ((us - (UINT64_C(1) << h)) >> w);
}


uint64_t apiscale_hist_lower(unsigned i);
uint64_t apiscale_hist_middle(unsigned i);
void apiscale_hist_merge(uint64_t *dst, const uint64_t *src);
void apiscale_hist_quantiles(const uint64_t *buckets, const double *q,
    unsigned nq, uint64_t *out_us, uint64_t *count);


#endif /* APISCALE_HISTOGRAM_H_INCLUDED_ */
