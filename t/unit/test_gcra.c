
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apiscale_gcra.h"


#define SEC  APISCALE_TICKS_PER_SEC


static uint64_t  seed = 0x9e3779b97f4a7c15;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


/*
 * The reference: a leaky bucket that counts drops and drains one tick's worth
 * a tick, written without any of the words or shortcuts of GCRA.
 */

typedef struct {
    uint64_t  level;                      /* ticks of water in the bucket */
    uint64_t  at;
} bucket_t;


static void
bucket_drain(bucket_t *b, uint64_t now)
{
    uint64_t  passed;

    passed = now - b->at;

    b->level = passed < b->level ? b->level - passed : 0;
    b->at = now;
}


static void
test_reference(void **state)
{
    int                     admit, i;
    bucket_t                b;
    uint64_t                now, tat, cost, wait;
    apiscale_gcra_t         g;
    apiscale_verdict_e      v;
    apiscale_gcra_result_t  res, at;

    (void) state;

    for (i = 0, now = SEC, tat = 0, b.level = 0, b.at = 0, g.interval = 0;
         i < 1000000; i++)
    {
        if (i % 1000 == 0) {
            g.interval = 1 + rnd() % (rnd() % 2 ? 100 * SEC : 2048);
            g.burst = 1 + rnd() % (rnd() % 2 ? 5 : 500);
            tat = 0;
            b.level = 0;
            b.at = now;
        }

        now += rnd() % 3 ? rnd() % (2 * g.interval) : 0;
        cost = rnd() % 4 ? 1 : rnd() % (g.burst + 2);

        bucket_drain(&b, now);

        admit = cost == 0
                || b.level + cost * g.interval <= g.burst * g.interval;

        v = apiscale_gcra_check(&g, tat, now, cost, &res);

        assert_int_equal(v, admit ? APISCALE_ADMIT : APISCALE_REJECT);

        if (admit) {
            b.level += cost * g.interval;
            tat = res.tat;
            assert_int_equal(res.retry, 0);

        } else if (cost > g.burst) {
            assert_true(res.retry == APISCALE_GCRA_NEVER);

        } else {

            /* the wait leads to admission, and one tick less does not */

            wait = res.retry;
            assert_int_equal(apiscale_gcra_check(&g, tat, now + wait, cost,
                                                 &at),
                             APISCALE_ADMIT);
            assert_int_equal(apiscale_gcra_check(&g, tat, now + wait - 1,
                                                 cost, &at),
                             APISCALE_REJECT);
        }

        assert_int_equal(apiscale_gcra_remaining(&g, res.reset),
                         (g.burst * g.interval - b.level) / g.interval);
        assert_int_equal(res.reset, b.level);
    }
}


/* at most burst + N in any period, whatever the arrivals */

static void
test_period(void **state)
{
    int                     i;
    uint64_t                now, tat, n, from, admitted;
    apiscale_gcra_t         g;
    apiscale_gcra_result_t  res;

    (void) state;

    for (i = 0; i < 200; i++) {
        n = 1 + rnd() % 50;
        g.interval = (60 * SEC + n - 1) / n;
        g.burst = 1 + rnd() % 50;
        now = SEC * (1 + rnd() % 1000);
        from = now;
        tat = 0;
        admitted = 0;

        while (now < from + 60 * SEC) {
            if (apiscale_gcra_check(&g, tat, now, 1, &res)
                == APISCALE_ADMIT)
            {
                tat = res.tat;
                admitted++;
            }

            now += rnd() % (g.interval / 4);
        }

        assert_true(admitted <= g.burst + n);
    }
}


static void
test_extremes(void **state)
{
    uint64_t                tat;
    apiscale_gcra_t         g;
    apiscale_gcra_result_t  res;

    (void) state;

    /* the longest span at the end of the clock's range */

    g.interval = 604800 * SEC;
    g.burst = APISCALE_GCRA_MAX_SPAN / g.interval;
    tat = 100ULL * 366 * 86400 * SEC;

    assert_int_equal(apiscale_gcra_check(&g, 0, tat, g.burst, &res),
                     APISCALE_ADMIT);
    assert_true(res.tat < 1ULL << 63);
    assert_int_equal(apiscale_gcra_remaining(&g, res.reset), 0);

    assert_int_equal(apiscale_gcra_check(&g, res.tat, tat, UINT64_MAX, &res),
                     APISCALE_REJECT);
    assert_true(res.retry == APISCALE_GCRA_NEVER);

    /* a burst that shrank under a debt: wait until the debt has gone */

    g.interval = SEC;
    g.burst = 2;

    assert_int_equal(apiscale_gcra_check(&g, 110 * SEC, 100 * SEC, 1, &res),
                     APISCALE_REJECT);
    assert_int_equal(apiscale_gcra_remaining(&g, res.reset), 0);
    assert_int_equal(res.retry, 9 * SEC);
    assert_int_equal(res.reset, 10 * SEC);

    /* what costs nothing passes and owes nothing */

    assert_int_equal(apiscale_gcra_check(&g, 110 * SEC, 100 * SEC, 0, &res),
                     APISCALE_ADMIT);
    assert_int_equal(res.tat, 110 * SEC);
}


/*
 * B = 1, T = 10: charge at 0 and at 12, refund the first: a third must not
 * pass at 12.
 */

static void
test_refund_minting(void **state)
{
    uint64_t                tat, first;
    apiscale_gcra_t         g = { 10, 1 };
    apiscale_gcra_result_t  res;

    (void) state;

    assert_int_equal(apiscale_gcra_check(&g, 0, 100, 1, &res),
                     APISCALE_ADMIT);
    tat = first = res.tat;

    assert_int_equal(apiscale_gcra_check(&g, tat, 112, 1, &res),
                     APISCALE_ADMIT);
    tat = res.tat;

    tat = apiscale_gcra_refund(tat, 112, first, 10);

    assert_int_equal(apiscale_gcra_check(&g, tat, 112, 1, &res),
                     APISCALE_REJECT);

    /* while it is owed, it is given back whole */

    assert_int_equal(apiscale_gcra_refund(122, 113, 122, 10), 113);
    assert_int_equal(apiscale_gcra_refund(122, 112, 122, 10), 112);
    assert_int_equal(apiscale_gcra_refund(5, 1, 122, 10), 0);
}


/*
 * A million random charges and refunds: never more is admitted and kept in a
 * window than burst + N.
 */

static void
test_refund_property(void **state)
{
    int                     i, j, k;
    uint64_t                now, tat, start, kept;
    apiscale_gcra_t         g;
    apiscale_gcra_result_t  res;
    struct {
        uint64_t            written;
        int                 open;
    } charges[64];

    (void) state;

    for (i = 0; i < 5000; i++) {
        g.interval = 1 + rnd() % 1000;
        g.burst = 1 + rnd() % 20;
        now = 1000000;
        start = now;
        tat = 0;
        kept = 0;

        for (j = 0; j < 64; j++) {
            charges[j].open = 0;
        }

        for (j = 0; j < 200; j++) {
            now += rnd() % 2 ? rnd() % (2 * g.interval) : 0;
            k = (int) (rnd() % 64);

            if (charges[k].open) {
                tat = apiscale_gcra_refund(tat, now, charges[k].written,
                                           g.interval);
                charges[k].open = 0;
                kept--;
                continue;
            }

            if (apiscale_gcra_check(&g, tat, now, 1, &res)
                == APISCALE_ADMIT)
            {
                tat = res.tat;
                charges[k].written = tat;
                charges[k].open = 1;
                kept++;
            }

            assert_true(kept <= g.burst + (now - start) / g.interval + 1);
        }
    }
}


static void
test_rescale(void **state)
{
    (void) state;

    /* ten requests owed are ten requests owed */

    assert_int_equal(apiscale_gcra_rescale(160 * SEC, 100 * SEC, 6 * SEC,
                                           3 * SEC),
                     130 * SEC);
    assert_int_equal(apiscale_gcra_rescale(130 * SEC, 100 * SEC, 3 * SEC,
                                           6 * SEC),
                     160 * SEC);

    /* nothing owed, or an unknown rate */

    assert_int_equal(apiscale_gcra_rescale(90, 100, 3, 6), 90);
    assert_int_equal(apiscale_gcra_rescale(100, 100, 3, 6), 100);
    assert_int_equal(apiscale_gcra_rescale(200, 100, 0, 6), 200);

    /* rounded up, and back again never below what was owed */

    assert_int_equal(apiscale_gcra_rescale(101, 100, 3, 1), 101);
    assert_int_equal(apiscale_gcra_rescale(100 + 7, 100, 3, 2), 100 + 5);

    /* bounded */

    assert_int_equal(apiscale_gcra_rescale(APISCALE_GCRA_MAX_SPAN, 0, 1024,
                                           604800 * SEC),
                     APISCALE_GCRA_MAX_SPAN);
}


static void
test_seconds(void **state)
{
    (void) state;

    assert_int_equal(apiscale_gcra_seconds(0), 0);
    assert_int_equal(apiscale_gcra_seconds(1), 1);
    assert_int_equal(apiscale_gcra_seconds(SEC), 1);
    assert_int_equal(apiscale_gcra_seconds(SEC + 1), 2);
    assert_true(apiscale_gcra_seconds(UINT64_MAX)
                == UINT64_MAX / SEC + 1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_period),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_refund_minting),
        cmocka_unit_test(test_refund_property),
        cmocka_unit_test(test_rescale),
        cmocka_unit_test(test_seconds),
    };

    return cmocka_run_group_tests_name("gcra", tests, NULL, NULL);
}
