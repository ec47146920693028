
/*
 * Copyright (C) apiscale authors
 */


#include <float.h>
#include <stddef.h>

#include "apiscale_histogram.h"


#define APISCALE_HIST_SUB  (1u << APISCALE_HIST_P)


static uint64_t apiscale_hist_rank(double q, uint64_t total);


/*
 * The smallest duration, in us, that bucket "i" counts; an index past the
 * end means the last bucket.  The next bucket's is the first that it does
 * not.
 */
uint64_t
apiscale_hist_lower(unsigned i)
{
    if (i < APISCALE_HIST_SUB) {
        return i;
    }

    if (i >= APISCALE_HIST_BUCKETS) {
        i = APISCALE_HIST_BUCKETS - 1;
    }

    return (uint64_t) (APISCALE_HIST_SUB + i % APISCALE_HIST_SUB)
           << (i / APISCALE_HIST_SUB - 1);
}


/*
 * The duration, in us, reported for everything in bucket "i": its middle,
 * at most 1/128 (0.78 %) away from any value in it, and never above an hour,
 * where values were clamped.
 */
uint64_t
apiscale_hist_middle(unsigned i)
{
    uint64_t  us;

    us = apiscale_hist_lower(i);

    if (i >= APISCALE_HIST_BUCKETS) {
        i = APISCALE_HIST_BUCKETS - 1;
    }

    if (i >= 2 * APISCALE_HIST_SUB) {
        us += UINT64_C(1) << (i / APISCALE_HIST_SUB - 2);
    }

    return us < APISCALE_HIST_MAX_US ? us : APISCALE_HIST_MAX_US;
}


/*
 * Adds the counts of "src" to those of "dst", which is private to the
 * caller; "src" may be written meanwhile.
 */
void
apiscale_hist_merge(uint64_t *dst, const uint64_t *src)
{
    unsigned  i;

    for (i = 0; i < APISCALE_HIST_BUCKETS; i++) {
        dst[i] += __atomic_load_n(&src[i], __ATOMIC_RELAXED);
    }
}


/*
 * The "nq" quantiles "q" (0..1, in any order) in us by the nearest rank: the
 * smallest bucket, reported by its middle, up to which at least q * count
 * durations lie.  0 for all of them when the histogram is empty.  *count
 * (unless NULL) is the sum of the very buckets that the quantiles come from.
 *
 * Counts only grow while a live histogram is read, so that every rank within
 * the sum is met in the walk that follows.
 */
void
apiscale_hist_quantiles(const uint64_t *buckets, const double *q,
    unsigned nq, uint64_t *out_us, uint64_t *count)
{
    unsigned  i, k;
    uint64_t  n, rank, total, below;

    total = 0;

    for (i = 0; i < APISCALE_HIST_BUCKETS; i++) {
        total += __atomic_load_n(&buckets[i], __ATOMIC_RELAXED);
    }

    for (k = 0; k < nq; k++) {
        out_us[k] = 0;
    }

    if (count != NULL) {
        *count = total;
    }

    for (i = 0, below = 0; below < total; i++) {

        if (i == APISCALE_HIST_BUCKETS) {
            break;
        }

        n = __atomic_load_n(&buckets[i], __ATOMIC_RELAXED);

        if (n == 0) {
            continue;
        }

        for (k = 0; k < nq; k++) {
            rank = apiscale_hist_rank(q[k], total);

            if (rank > below && rank <= below + n) {
                out_us[k] = apiscale_hist_middle(i);
            }
        }

        below += n;
    }
}


/*
 * ceil(q * total) in 1..total without libm.  A product that is above a whole
 * number by nothing but rounding (0.07 * 100) is that number.
 */
static uint64_t
apiscale_hist_rank(double q, uint64_t total)
{
    double    x;
    uint64_t  rank;

    x = q * (double) total;

    if (!(x > 1.0)) {                     /* also when q is not a number */
        return 1;
    }

    if (x >= (double) total) {
        return total;
    }

    rank = (uint64_t) x;

    if (x - (double) rank > x * 4 * DBL_EPSILON) {
        rank++;
    }

    return rank;
}
