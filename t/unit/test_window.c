
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apiscale_window.h"


#define SEC     APISCALE_TICKS_PER_SEC
#define DAY     (86400 * SEC)
#define MONDAY  (APISCALE_WINDOW_MONDAY_S * SEC)

/* 2026-11-24T13:00:00Z, a Tuesday */
#define NOW_S   1795525200ULL
#define NOW     (NOW_S * SEC)


static uint64_t  seed = 0x9e3779b97f4a7c15;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


/* the state after "cost" was charged, which must be admitted */

static uint64_t
charge(const apiscale_window_t *w, uint64_t state, uint64_t now, uint64_t cost)
{
    apiscale_window_result_t  res;

    apiscale_window_check(w, 0, state, now, cost, &res);
    assert_false(res.rejected);

    return res.state;
}


static void
test_aligned(void **state)
{
    uint64_t                  now;
    apiscale_window_t         day = { 5, 86400, 0 };
    apiscale_window_t         week = { 5, 7 * 86400, 0 };
    apiscale_window_result_t  res;

    (void) state;

    /* a day ends at midnight UTC, a week on Monday */

    apiscale_window_check(&day, 0, 0, NOW, 1, &res);
    assert_int_equal(res.reset, 11 * 3600 * SEC);
    assert_int_equal(res.remaining, 4);

    apiscale_window_check(&week, 0, 0, NOW, 1, &res);
    assert_int_equal(res.reset, 5 * DAY + 11 * 3600 * SEC);

    /* its very first and last tick */

    now = MONDAY + 3000 * DAY;

    apiscale_window_check(&day, 0, 0, now, 1, &res);
    assert_int_equal(res.reset, DAY);
    assert_int_equal(apiscale_window_owed(res.state, now + DAY - 1), 1);
    assert_int_equal(apiscale_window_owed(res.state, now + DAY), 0);

    apiscale_window_check(&day, 0, 0, now + DAY - 1, 1, &res);
    assert_int_equal(res.reset, 1);

    /* a clock that was never set */

    apiscale_window_check(&day, 0, 0, 0, 1, &res);
    assert_false(res.rejected);
    apiscale_window_check(&day, 0, charge(&day, 0, 0, 5), 0, 1, &res);
    assert_true(res.rejected);
}


static void
test_fixed(void **state)
{
    uint64_t                  s;
    apiscale_window_t         w = { 3, 60, 0 };
    apiscale_window_result_t  res;

    (void) state;

    s = charge(&w, 0, NOW + 10 * SEC, 2);

    apiscale_window_check(&w, 0, s, NOW + 20 * SEC, 2, &res);
    assert_true(res.rejected);
    assert_int_equal(res.remaining, 1);
    assert_int_equal(res.retry, 40 * SEC);
    assert_int_equal(res.state, s);

    apiscale_window_check(&w, 0, s, NOW + 20 * SEC + res.retry - 1, 2, &res);
    assert_true(res.rejected);
    apiscale_window_check(&w, 0, s, NOW + 60 * SEC, 2, &res);
    assert_false(res.rejected);

    /* what never passes, and what is free */

    apiscale_window_check(&w, 0, s, NOW, 4, &res);
    assert_int_equal(res.retry, APISCALE_WINDOW_NEVER);
    apiscale_window_check(&w, 0, s, NOW, UINT64_MAX, &res);
    assert_int_equal(res.retry, APISCALE_WINDOW_NEVER);
    apiscale_window_check(&w, 0, s, NOW + 20 * SEC, 0, &res);
    assert_false(res.rejected);
    assert_int_equal(res.state, s);
    apiscale_window_check(&w, 0, 0, NOW, 0, &res);
    assert_int_equal(res.reset, 0);
    assert_int_equal(res.state, 0);

    /* the largest limit */

    w.limit = APISCALE_WINDOW_MAX_COUNT;
    s = charge(&w, 0, NOW, UINT32_MAX);
    apiscale_window_check(&w, 0, s, NOW, 1, &res);
    assert_true(res.rejected);
    assert_int_equal(res.remaining, 0);
}


/* the estimate in long double, against that in integers */

static void
test_sliding(void **state)
{
    int                       i, step;
    uint64_t                  now, before, count, cost, window, w0;
    long double               used, part;
    apiscale_window_t         w;
    apiscale_window_result_t  res, at;
    uint64_t                  words[2];

    (void) state;

    for (i = 0; i < 2000; i++) {
        w.sliding = 1;
        w.period_s = 1 + rnd() % (rnd() % 2 ? 5 : 100000);
        w.limit = 1 + rnd() % (rnd() % 2 ? 5 : 1000);
        now = NOW + rnd() % DAY;
        words[0] = words[1] = 0;
        before = count = 0;
        w0 = (now - MONDAY) / SEC / w.period_s;

        for (step = 0; step < 500; step++) {
            now += rnd() % (2 * w.period_s * SEC / (w.limit + 1) + 1);
            window = (now - MONDAY) / SEC / w.period_s;
            cost = rnd() % 20 == 0 ? rnd() % (w.limit + 2) : rnd() % 3;

            if (window != w0) {
                before = window == w0 + 1 ? count : 0;
                count = 0;
                w0 = window;
            }

            part = 1 - (long double) ((now - MONDAY)
                                      % (w.period_s * SEC))
                       / (w.period_s * SEC);
            used = before * part + count;

            apiscale_window_check(&w, words[!(window & 1)],
                                  words[window & 1], now, cost, &res);
            assert_int_equal(apiscale_window_parity(&w, now), window & 1);

            /* the last digits of a long double are left out */

            if (cost && used + cost > w.limit + 1e-9L) {
                assert_true(res.rejected);

            } else if (used + cost < w.limit - 1e-9L) {
                assert_false(res.rejected);
            }

            if (!res.rejected) {
                words[window & 1] = res.state;
                count += cost;
                assert_int_equal(apiscale_window_owed(res.state, now), count);
                continue;
            }

            if (cost > w.limit) {
                assert_int_equal(res.retry, APISCALE_WINDOW_NEVER);
                continue;
            }

            /* waiting so long leads to admission, and not less */

            window = (now + res.retry - MONDAY) / SEC / w.period_s;
            apiscale_window_check(&w, words[!(window & 1)],
                                  words[window & 1], now + res.retry, cost,
                                  &at);
            assert_false(at.rejected);

            window = (now + res.retry - 1 - MONDAY) / SEC / w.period_s;
            apiscale_window_check(&w, words[!(window & 1)],
                                  words[window & 1], now + res.retry - 1,
                                  cost, &at);
            assert_true(at.rejected);
        }
    }
}


static void
test_correct(void **state)
{
    uint64_t           s, written;
    apiscale_window_t  w = { 10, 60, 0 };

    (void) state;

    written = charge(&w, 0, NOW, 4);
    s = charge(&w, written, NOW + SEC, 2);

    s = apiscale_window_refund(&w, s, written, NOW + SEC, 3);
    assert_int_equal(apiscale_window_owed(s, NOW + SEC), 3);

    /* of a window that ended nothing is given back */

    s = charge(&w, s, NOW + 61 * SEC, 1);
    s = apiscale_window_refund(&w, s, written, NOW + 62 * SEC, 1);
    assert_int_equal(apiscale_window_owed(s, NOW + 62 * SEC), 1);

    /* never below nothing */

    s = apiscale_window_refund(&w, s, s, NOW + 62 * SEC, 9);
    assert_int_equal(apiscale_window_owed(s, NOW + 62 * SEC), 0);

    /* debt, up to what a counter holds */

    s = apiscale_window_add(&w, s, NOW + 62 * SEC, 25);
    assert_int_equal(apiscale_window_owed(s, NOW + 62 * SEC), 25);
    s = apiscale_window_add(&w, s, NOW + 62 * SEC, UINT64_MAX);
    assert_int_equal(apiscale_window_owed(s, NOW + 62 * SEC), UINT32_MAX);
}


static void
test_clock(void **state)
{
    uint64_t                  s, t, now;
    apiscale_window_t         w = { 3, 60, 0 }, hour = { 3, 3600, 0 };
    apiscale_window_result_t  res;

    (void) state;

    now = NOW + 10 * SEC;
    s = charge(&w, 0, now, 3);

    /* into the window before: its counter goes on until it ends */

    apiscale_window_check(&w, 0, s, now - 60 * SEC, 1, &res);
    assert_true(res.rejected);
    assert_int_equal(res.retry, 110 * SEC);
    assert_int_equal(res.state, s);

    /* by an hour: all is counted in the current window, and ends with it */

    t = now - 3600 * SEC;
    apiscale_window_check(&w, 0, s, t, 1, &res);
    assert_true(res.rejected);
    assert_int_equal(res.retry, 50 * SEC);
    assert_int_not_equal(res.state, s);
    assert_int_equal(apiscale_window_owed(res.state, t), 3);
    apiscale_window_check(&w, 0, res.state, t + res.retry, 1, &res);
    assert_false(res.rejected);

    /* an hour ahead: a window has ended */

    apiscale_window_check(&w, 0, s, now + 3600 * SEC, 1, &res);
    assert_false(res.rejected);

    /* another PERIOD takes over what was counted, either way */

    apiscale_window_check(&hour, 0, s, now, 1, &res);
    assert_true(res.rejected);
    s = charge(&hour, 0, now, 3);
    apiscale_window_check(&w, 0, s, now, 1, &res);
    assert_true(res.rejected);
    assert_int_equal(res.retry, 50 * SEC);

    /* seconds go round after 2^31 */

    now = ((1ULL << 31) - 5) * SEC;
    s = charge(&w, 0, now, 3);
    apiscale_window_check(&w, 0, s, now + SEC, 1, &res);
    assert_true(res.rejected);
    apiscale_window_check(&w, 0, s, now + 60 * SEC, 1, &res);
    assert_false(res.rejected);
}


static void
test_clock_sliding(void **state)
{
    uint64_t                  s, t, now, before;
    apiscale_window_t         w = { 3, 60, 1 };
    apiscale_window_result_t  res;

    (void) state;

    now = NOW + 10 * SEC;
    s = charge(&w, 0, now, 3);
    t = now - 3600 * SEC;

    /* as the current counter, and as the previous one */

    apiscale_window_check(&w, 0, s, t, 1, &res);
    assert_true(res.rejected);
    assert_int_equal(apiscale_window_owed(res.state, t), 3);
    assert_int_equal(apiscale_window_left(res.state, t), 110 * SEC);

    before = apiscale_window_previous(&w, s, t);
    assert_int_equal(apiscale_window_owed(before, t), 3);
    assert_int_equal(apiscale_window_left(before, t), 50 * SEC);

    /* not those of a worker that is in the next window, nor usual ones */

    assert_int_equal(apiscale_window_previous(&w, s, now - 60 * SEC), s);
    assert_int_equal(apiscale_window_previous(&w, s, now), s);
    assert_int_equal(apiscale_window_previous(&w, s, now + 60 * SEC), s);
    assert_int_equal(apiscale_window_previous(&w, s, now + 120 * SEC), s);
    assert_int_equal(apiscale_window_previous(&w, 0, now), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_sliding),
        cmocka_unit_test(test_correct),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_clock_sliding),
    };

    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
