
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "apiscale_bucket.h"


#define SEC      APISCALE_TICKS_PER_SEC
#define NOW_S    1795525200ULL            /* 2026-11-24T13:00:00Z */
#define STEPS    60


/* memory that forked processes share */

typedef struct {
    apiscale_set_t  sets[64];
    uint64_t        evicted;
    uint64_t        rates[16];
    uint64_t        net;                  /* admitted and not given back */
} shared_t;


static shared_t          *shared;
static apiscale_table_t   table;
static apiscale_policy_t  policy;
static apiscale_clock_t   now;
static uint64_t           seed;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


/* an empty table, and a policy of "n" requests in "period_s" seconds */

static void
setup(apiscale_kind_e kind, uint64_t n, uint64_t period_s, uint64_t burst)
{
    memset(shared, 0, sizeof(*shared));

    policy.gcra.interval = period_s * SEC / n;
    policy.gcra.burst = burst;
    policy.period_s = period_s;
    policy.kind = kind;
    policy.generation = 0;
    policy.rates = shared->rates;
    policy.table = &table;

    shared->rates[0] = APISCALE_BUCKET_RATE(policy.gcra.interval, kind);

    now.mono = 1000 * SEC;
    now.wall = NOW_S * SEC;
}


static void
pass(uint64_t ticks)
{
    now.mono += ticks;
    now.wall += ticks;
}


static void
begin(apiscale_charge_t *c, uint64_t cost)
{
    memset(c, 0x55, sizeof(*c));

    c->policy = &policy;
    c->fingerprint = apiscale_table_fingerprint(0x123456789abcdef0);
    c->cost = cost;
}


/* 1 if it was admitted, and is charged then */

static int
ask(apiscale_charge_t *c, uint64_t cost)
{
    begin(c, cost);

    return apiscale_bucket_check(c, &now) == APISCALE_ADMIT
           && apiscale_bucket_charge(c, &now) == APISCALE_ADMIT;
}


static uint64_t
remaining(void)
{
    apiscale_charge_t  c;

    begin(&c, 0);
    assert_int_equal(apiscale_bucket_check(&c, &now), APISCALE_ADMIT);

    return apiscale_bucket_remaining(&c);
}


/*
 * Random charges, of which some are given back later.  What stays charged in
 * any span of time is no more than a bucket admits to which nothing was given
 * back, but for this: a charge that is given back after others which were
 * made before it may have been forgiven a part of it by the clock meanwhile,
 * no more than the time since it was made (docs/internals/gcra.md).
 */

static void
test_rolling_refunds(void **state)
{
    int                i, j, k, n, nback, round;
    uint64_t           sum, amount, slack;
    apiscale_charge_t  c[STEPS];
    struct { uint64_t at, cost; unsigned open; } log[STEPS];
    struct { uint64_t at, slack; } back[STEPS];

    (void) state;

    for (round = 0; round < 17000; round++) {
        setup(APISCALE_ROLLING, 1 + rnd() % 5, 1 + rnd() % 10,
              1 + rnd() % 6);

        for (n = 0, nback = 0, i = 0; i < STEPS; i++) {
            pass(rnd() % 2 ? 0 : rnd() % (2 * policy.gcra.interval));

            if (n && rnd() % 3 == 0) {
                j = rnd() % n;

                if (log[j].open) {
                    sum = rnd() % (log[j].cost + 1);
                    amount = (log[j].cost - sum) * policy.gcra.interval;
                    slack = now.mono - log[j].at;
                    back[nback].at = now.mono;
                    back[nback++].slack = slack < amount ? slack : amount;

                    apiscale_bucket_settle(&c[j], sum, &now);
                    log[j].cost = sum;
                    log[j].open = 0;
                }

                continue;
            }

            log[n].at = now.mono;
            log[n].cost = 1 + rnd() % 3;
            log[n].open = 1;
            n += ask(&c[n], log[n].cost);
        }

        for (i = 0; i < n; i++) {
            for (sum = 0, j = i; j < n; j++) {
                sum += log[j].cost;

                for (slack = 0, k = 0; k < nback; k++) {
                    if (back[k].at >= log[i].at && back[k].at <= log[j].at) {
                        slack += back[k].slack;
                    }
                }

                assert_true(sum * policy.gcra.interval
                            <= policy.gcra.burst * policy.gcra.interval
                               + log[j].at - log[i].at + slack);
            }
        }
    }
}


/* the same of windows, whose ledger is exact: debts as well */

static void
test_windows_ledger(void **state)
{
    int                i, j, n, round, admitted;
    uint64_t           window, w0, before, count, cost, period, part;
    apiscale_charge_t  c[STEPS];
    struct { uint64_t window, cost; unsigned open; } log[STEPS];

    (void) state;

    for (round = 0; round < 17000; round++) {
        setup(rnd() % 2 ? APISCALE_FIXED : APISCALE_SLIDING, 4, 10,
              1 + rnd() % 8);
        period = policy.period_s * SEC;
        before = count = 0;
        w0 = (now.wall / SEC - APISCALE_WINDOW_MONDAY_S) / policy.period_s;

        for (n = 0, i = 0; i < STEPS; i++) {
            pass(rnd() % 2 ? 0 : rnd() % (3 * SEC));

            window = (now.wall / SEC - APISCALE_WINDOW_MONDAY_S)
                     / policy.period_s;

            if (window != w0) {
                before = window == w0 + 1 ? count : 0;
                count = 0;
                w0 = window;
            }

            if (n && rnd() % 3 == 0) {
                j = rnd() % n;

                if (log[j].open) {
                    cost = rnd() % 5;
                    apiscale_bucket_settle(&c[j], cost, &now);

                    if (cost > log[j].cost) {
                        count += cost - log[j].cost;

                    } else if (log[j].window == window) {
                        count -= log[j].cost - cost;
                    }

                    log[j].open = 0;
                }

                continue;
            }

            log[n].window = window;
            log[n].cost = 1 + rnd() % 3;
            log[n].open = 1;

            admitted = ask(&c[n], log[n].cost);
            part = policy.kind == APISCALE_SLIDING
                   ? period - (now.wall - APISCALE_WINDOW_MONDAY_S * SEC)
                              % period
                   : 0;

            assert_int_equal(admitted,
                             before * part + (count + log[n].cost) * period
                             <= policy.gcra.burst * period);

            if (admitted) {
                count += log[n++].cost;
            }
        }
    }
}


/* four processes ask at once, and give a part back */

static void
test_processes(void **state)
{
    int                i, kind, round, status;
    pid_t              pids[4];
    apiscale_charge_t  c;

    (void) state;

    for (round = 0; round < 30; round++) {
        for (kind = APISCALE_ROLLING; kind <= APISCALE_SLIDING; kind++) {
            setup(kind, 500, 86400, 500);

            for (i = 0; i < 4; i++) {
                pids[i] = fork();
                assert_true(pids[i] >= 0);

                if (pids[i] == 0) {
                    seed += i * 0x9e3779b97f4a7c15;

                    for (i = 0; i < 400; i++) {

                        if (!ask(&c, 1)) {
                            continue;
                        }

                        if (rnd() % 2) {
                            apiscale_bucket_settle(&c, 0, &now);
                            continue;
                        }

                        __atomic_fetch_add(&shared->net, 1, __ATOMIC_RELAXED);
                    }

                    _exit(0);
                }
            }

            for (i = 0; i < 4; i++) {
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_int_equal(status, 0);
            }

            assert_in_range(shared->net, 1, 500);
            assert_int_equal(remaining(), 500 - shared->net);

            while (ask(&c, 1)) {
                shared->net++;
            }

            assert_int_equal(shared->net, 500);
        }
    }
}


static void
test_debt(void **state)
{
    int                kind;
    apiscale_charge_t  c;

    (void) state;

    for (kind = APISCALE_ROLLING; kind <= APISCALE_SLIDING; kind++) {
        setup(kind, 10, 100, 10);

        assert_true(ask(&c, 1));
        apiscale_bucket_settle(&c, 25, &now);
        assert_int_equal(c.cost, 25);
        assert_int_equal(remaining(), 0);
        assert_false(ask(&c, 1));

        pass(c.res.retry - 1);
        assert_false(ask(&c, 1));
        pass(1);
        assert_true(ask(&c, 1));
    }

    /* without a charge before */

    setup(APISCALE_ROLLING, 10, 100, 10);
    assert_true(ask(&c, 0));
    apiscale_bucket_settle(&c, 3, &now);
    assert_int_equal(remaining(), 7);

    /* no more than can be waited for in a life */

    assert_true(ask(&c, 1));
    apiscale_bucket_settle(&c, UINT64_MAX, &now);
    assert_true(c.res.reset <= APISCALE_GCRA_MAX_SPAN);
    assert_false(ask(&c, 1));
}


/* other rates and windows of other configurations owe as much as before */

static void
test_reload(void **state)
{
    int                from, to;
    apiscale_charge_t  c;

    (void) state;

    for (from = APISCALE_ROLLING; from <= APISCALE_SLIDING; from++) {
        for (to = APISCALE_ROLLING; to <= APISCALE_SLIDING; to++) {

            setup(from, 10, 3600, 10);
            assert_true(ask(&c, 6));

            policy.kind = to;
            policy.generation = 1;
            policy.gcra.interval = 7200 * SEC / 20;
            policy.gcra.burst = 20;
            policy.period_s = 7200;
            shared->rates[1] = APISCALE_BUCKET_RATE(policy.gcra.interval, to);

            /* the others know but the first of a sliding window's entries */

            if (from == to || from != APISCALE_SLIDING) {
                assert_in_range(remaining(), 14, 17);
            }

            assert_true(ask(&c, 1));
        }
    }

    setup(APISCALE_ROLLING, 10, 3600, 10);
    assert_true(ask(&c, 6));

    policy.generation = 2;
    policy.gcra.interval /= 2;
    shared->rates[2] = APISCALE_BUCKET_RATE(policy.gcra.interval,
                                            APISCALE_ROLLING);
    assert_int_equal(remaining(), 4);
    assert_true(ask(&c, 4));
    assert_false(ask(&c, 1));
}


/* a full counter does not outlast the window when the clock is set back */

static void
test_clock_back(void **state)
{
    int                kind;
    apiscale_charge_t  c;

    (void) state;

    for (kind = APISCALE_FIXED; kind <= APISCALE_SLIDING; kind++) {
        setup(kind, 3, 60, 3);
        assert_true(ask(&c, 3));

        now.wall -= 3600 * SEC;
        assert_false(ask(&c, 1));

        pass(c.res.retry);
        assert_true(ask(&c, 1));
        pass(120 * SEC);
        assert_true(ask(&c, 3));

        /* the window before is set back, too */

        pass(60 * SEC);
        now.wall -= 3600 * SEC;
        (void) ask(&c, 3);
        pass(120 * SEC);
        assert_true(ask(&c, 3));
    }
}


static void
test_scale(void **state)
{
    apiscale_charge_t  c;
    apiscale_policy_t  scaled;

    (void) state;

    setup(APISCALE_ROLLING, 10, 100, 10);

    apiscale_bucket_scale(&scaled, &policy, 500000);
    assert_int_equal(scaled.gcra.burst, 5);
    assert_int_equal(scaled.gcra.interval, 2 * policy.gcra.interval);

    begin(&c, 5);
    c.policy = &scaled;
    assert_int_equal(apiscale_bucket_check(&c, &now), APISCALE_ADMIT);
    assert_int_equal(apiscale_bucket_charge(&c, &now), APISCALE_ADMIT);
    assert_int_equal(apiscale_bucket_remaining(&c), 0);

    apiscale_bucket_scale(&scaled, &policy, APISCALE_BUCKET_WHOLE);
    assert_int_equal(scaled.gcra.burst, 10);
    assert_int_equal(scaled.gcra.interval, policy.gcra.interval);

    apiscale_bucket_scale(&scaled, &policy, 0);
    begin(&c, 1);
    c.policy = &scaled;
    assert_int_equal(apiscale_bucket_check(&c, &now), APISCALE_REJECT);
    assert_int_equal(c.res.retry, APISCALE_BUCKET_NEVER);
    assert_int_equal(apiscale_bucket_remaining(&c), 0);
}


static int
group_setup(void **state)
{
    (void) state;

    seed = 0x9e3779b97f4a7c15;

    shared = mmap(NULL, sizeof(*shared), PROT_READ|PROT_WRITE,
                  MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return -1;
    }

    table.sets = shared->sets;
    table.nsets = 64;
    table.evicted_live = &shared->evicted;

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_rolling_refunds),
        cmocka_unit_test(test_windows_ledger),
        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_debt),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_clock_back),
        cmocka_unit_test(test_scale),
    };

    return cmocka_run_group_tests_name("bucket", tests, group_setup, NULL);
}
