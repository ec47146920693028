
/*
 * Copyright (C) apiscale authors
 */


#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apiscale_histogram.h"


#define SAMPLES  1000000
#define SLABS    4


typedef uint64_t (*sample_pt)(void);

/* per mille, so that the exact rank is computed without a double */
static const unsigned  permille[] = { 990, 1, 500, 950, 999, 250, 1000 };

#define NQ  (sizeof(permille) / sizeof(permille[0]))

static uint64_t  seed;
static uint64_t  samples[SAMPLES];
static uint64_t  slabs[SLABS][APISCALE_HIST_BUCKETS];


/* splitmix64 */
static uint64_t
rnd(void)
{
    uint64_t  z;

    z = (seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);

    return z ^ (z >> 31);
}


/* in (0, 1] */
static double
rnd1(void)
{
    return ((double) (rnd() >> 11) + 1) / 9007199254740992.0;
}


static double
gauss(void)
{
    double  r;

    r = sqrt(-2 * log(rnd1()));

    return r * cos(2 * M_PI * rnd1());
}


static uint64_t
uniform(void)
{
    return 1 + rnd() % 2000000;
}


static uint64_t
exponential(void)
{
    return 1 + (uint64_t) (-log(rnd1()) * 50000);
}


static uint64_t
lognormal(void)
{
    return 1 + (uint64_t) exp(10 + 1.5 * gauss());
}


static uint64_t
bimodal(void)
{
    double  v;

    v = rnd() % 10 < 7 ? 900 + 60 * gauss() : 250000 + 9000 * gauss();

    return v < 1 ? 1 : (uint64_t) v;
}


static uint64_t
constant(void)
{
    return 123457;
}


static int
cmp(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) two;

    return (a > b) - (a < b);
}


static void
check_quantiles(const uint64_t *buckets, size_t n)
{
    double    q[NQ], err;
    size_t    k;
    uint64_t  out[NQ], count, exact;

    for (k = 0; k < NQ; k++) {
        q[k] = permille[k] / 1000.0;
    }

    apiscale_hist_quantiles(buckets, q, NQ, out, &count);

    assert_int_equal(count, n);

    for (k = 0; k < NQ; k++) {
        exact = samples[(n * permille[k] + 999) / 1000 - 1];
        err = fabs((double) out[k] - (double) exact) / (double) exact;

        if (err > 0.01) {
            fail_msg("q %u: %lu for %lu", permille[k],
                     (unsigned long) out[k], (unsigned long) exact);
        }
    }
}


/* samples go round the slabs, as requests go round the workers */
static void
check_distribution(sample_pt next)
{
    size_t           i;
    static uint64_t  all[APISCALE_HIST_BUCKETS];
    static uint64_t  merged[APISCALE_HIST_BUCKETS];

    memset(slabs, 0, sizeof(slabs));
    memset(all, 0, sizeof(all));
    memset(merged, 0, sizeof(merged));

    for (i = 0; i < SAMPLES; i++) {
        samples[i] = next();
        all[apiscale_hist_index(samples[i])]++;
        slabs[i % SLABS][apiscale_hist_index(samples[i])]++;
    }

    qsort(samples, SAMPLES, sizeof(uint64_t), cmp);

    check_quantiles(all, SAMPLES);

    for (i = 0; i < SLABS; i++) {
        apiscale_hist_merge(merged, slabs[i]);
    }

    assert_memory_equal(merged, all, sizeof(all));
    check_quantiles(merged, SAMPLES);
}


static void
test_uniform(void **state)
{
    (void) state;
    seed = 1;
    check_distribution(uniform);
}


static void
test_exponential(void **state)
{
    (void) state;
    seed = 2;
    check_distribution(exponential);
}


static void
test_lognormal(void **state)
{
    (void) state;
    seed = 3;
    check_distribution(lognormal);
}


static void
test_bimodal(void **state)
{
    (void) state;
    seed = 4;
    check_distribution(bimodal);
}


static void
test_constant(void **state)
{
    (void) state;
    seed = 5;
    check_distribution(constant);
}


static void
test_clamp(void **state)
{
    unsigned  last;

    (void) state;

    last = apiscale_hist_index(UINT64_C(3600000000));

    assert_int_equal(APISCALE_HIST_BUCKETS, 1728);
    assert_int_equal(last, 1707);
    assert_int_equal(apiscale_hist_index(0), 1);
    assert_int_equal(apiscale_hist_index(1), 1);
    assert_int_equal(apiscale_hist_index(UINT64_C(3600000001)), last);
    assert_int_equal(apiscale_hist_index(UINT64_C(1) << 32), last);
    assert_int_equal(apiscale_hist_index(UINT64_MAX), last);
    assert_int_equal(apiscale_hist_middle(last), UINT64_C(3600000000));
    assert_int_equal(apiscale_hist_middle(UINT32_MAX), UINT64_C(3600000000));
    assert_int_equal(apiscale_hist_lower(UINT32_MAX),
                     apiscale_hist_lower(APISCALE_HIST_BUCKETS - 1));
}


/* every bucket begins where the one before ends, and its middle is close */
static void
test_buckets(void **state)
{
    unsigned  i, last;
    uint64_t  lower, upper, middle;

    (void) state;

    last = apiscale_hist_index(UINT64_MAX);

    for (i = 1; i <= last; i++) {
        lower = apiscale_hist_lower(i);
        upper = apiscale_hist_lower(i + 1) - 1;
        middle = apiscale_hist_middle(i);

        assert_true(lower <= middle && middle <= upper);
        assert_int_equal(apiscale_hist_index(lower), i);
        assert_int_equal(apiscale_hist_index(upper), i);
        assert_int_equal(apiscale_hist_index(middle), i);
        assert_true((middle - lower) * 128 <= lower);
        assert_true((upper - middle) * 128 <= upper);

        if (i < 128) {
            assert_int_equal(lower, i);
            assert_int_equal(middle, i);
        }
    }

    assert_int_equal(apiscale_hist_lower(128), 128);
    assert_int_equal(apiscale_hist_lower(129), 130);
    assert_int_equal(apiscale_hist_middle(129), 131);
    assert_int_equal(apiscale_hist_lower(192), 256);
    assert_int_equal(apiscale_hist_middle(192), 258);
}


static void
test_nearest_rank(void **state)
{
    size_t            i;
    uint64_t          out[9], count;
    uint64_t          buckets[APISCALE_HIST_BUCKETS];

    static const double    q[] = { 0.5, 0.07, 0.071, 0.99, 0, 1, -1, 2, NAN };
    static const uint64_t  expected[] = { 50, 7, 8, 99, 1, 100, 1, 100, 1 };

    (void) state;
    memset(buckets, 0, sizeof(buckets));

    /* 1..100 us are exact; 7 % of 100 is above 7 as a double */

    for (i = 1; i <= 100; i++) {
        buckets[apiscale_hist_index(i)]++;
    }

    apiscale_hist_quantiles(buckets, q, 9, out, &count);

    assert_int_equal(count, 100);

    for (i = 0; i < 9; i++) {
        assert_int_equal(out[i], expected[i]);
    }
}


static void
test_few(void **state)
{
    uint64_t             out[3], count;
    uint64_t             buckets[APISCALE_HIST_BUCKETS];
    static const double  q[] = { 0.5, 0.95, 0.99 };

    (void) state;
    memset(buckets, 0, sizeof(buckets));
    memset(out, 0xff, sizeof(out));
    count = 1;

    apiscale_hist_quantiles(buckets, q, 3, out, &count);

    assert_int_equal(count, 0);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 0);
    assert_int_equal(out[2], 0);

    buckets[apiscale_hist_index(10)]++;
    apiscale_hist_quantiles(buckets, q, 3, out, NULL);

    assert_int_equal(out[0], 10);
    assert_int_equal(out[2], 10);

    buckets[apiscale_hist_index(90)]++;
    apiscale_hist_quantiles(buckets, q, 3, out, &count);

    assert_int_equal(count, 2);
    assert_int_equal(out[0], 10);
    assert_int_equal(out[1], 90);
    assert_int_equal(out[2], 90);

    /* the last bucket of all is still walked */

    buckets[APISCALE_HIST_BUCKETS - 1] = 98;
    apiscale_hist_quantiles(buckets, q, 3, out, &count);

    assert_int_equal(count, 100);
    assert_int_equal(out[0], APISCALE_HIST_MAX_US);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_lognormal),
        cmocka_unit_test(test_bimodal),
        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_clamp),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_nearest_rank),
        cmocka_unit_test(test_few),
    };

    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
