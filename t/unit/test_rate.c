
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apiscale_rate.h"


typedef struct {
    const char  *text;
    int          rc;
    uint64_t     n;
    uint64_t     period_s;
} rate_case_t;


static const rate_case_t  cases[] = {
    { "1r/s", 0, 1, 1 },
    { "100r/m", 0, 100, 60 },
    { "1000r/15m", 0, 1000, 900 },
    { "10000r/d", 0, 10000, 86400 },
    { "5r/2h", 0, 5, 7200 },
    { "1r/w", 0, 1, 604800 },
    { "2r/2w", 0, 2, 1209600 },
    { "1000000r/s", 0, 1000000, 1 },
    { "1000000000r/1000s", 0, 1000000000, 1000 },
    { "1000000000r/w", 0, 1000000000, 604800 },
    { "007r/01m", 0, 7, 60 },
    { "6000r/3155760000s", 0, 6000, UINT64_C(3155760000) },
    { "6000r/36525d", 0, 6000, UINT64_C(3155760000) },

    { "0r/s", APISCALE_RATE_ZERO, 0, 0 },
    { "1r/0s", APISCALE_RATE_ZERO, 0, 0 },
    { "00r/00w", APISCALE_RATE_ZERO, 0, 0 },
    { "0r/99999999999999999999s", APISCALE_RATE_ZERO, 0, 0 },

    { "1000000001r/d", APISCALE_RATE_OVERFLOW, 0, 0 },
    { "18446744073709551617r/s", APISCALE_RATE_OVERFLOW, 0, 0 },
    { "6000r/3155760001s", APISCALE_RATE_OVERFLOW, 0, 0 },
    { "6000r/36526d", APISCALE_RATE_OVERFLOW, 0, 0 },
    { "1r/18446744073709551617s", APISCALE_RATE_OVERFLOW, 0, 0 },
    { "1r/30500568904943w", APISCALE_RATE_OVERFLOW, 0, 0 },

    { "1000001r/s", APISCALE_RATE_RANGE, 0, 0 },
    { "1000000000r/999s", APISCALE_RATE_RANGE, 0, 0 },
    { "1r/604801s", APISCALE_RATE_RANGE, 0, 0 },
    { "2r/3w", APISCALE_RATE_RANGE, 0, 0 },
    { "1r/100d", APISCALE_RATE_RANGE, 0, 0 },

    { "", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r/", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r/1", APISCALE_RATE_MALFORMED, 0, 0 },
    { "r/s", APISCALE_RATE_MALFORMED, 0, 0 },
    { "-1r/s", APISCALE_RATE_MALFORMED, 0, 0 },
    { "+1r/s", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1.5r/s", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1 r/s", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r/s ", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r/ms", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r/y", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r/M", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1R/s", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r:s", APISCALE_RATE_MALFORMED, 0, 0 },
    { "0r/y", APISCALE_RATE_MALFORMED, 0, 0 },
    { "1r/1h30m", APISCALE_RATE_MALFORMED, 0, 0 },
    { "0x1r/s", APISCALE_RATE_MALFORMED, 0, 0 },
};


/* on the heap and not terminated, so that a read past the end is seen */
static int
parse(const char *text, size_t len, uint64_t *n, uint64_t *period_s)
{
    int             rc;
    unsigned char  *p;

    p = malloc(len);
    assert_true(p != NULL || len == 0);
    memcpy(p, text, len);

    rc = apiscale_rate_parse(p, len, n, period_s);

    free(p);

    return rc;
}


static void
test_parse(void **state)
{
    int                 rc;
    size_t              i;
    uint64_t            n, period_s;
    const rate_case_t  *c;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c = &cases[i];
        n = 0;
        period_s = 0;

        rc = parse(c->text, strlen(c->text), &n, &period_s);

        if (rc != c->rc || n != c->n || period_s != c->period_s) {
            fail_msg("\"%s\": %d %lu %lu", c->text, rc, (unsigned long) n,
                     (unsigned long) period_s);
        }
    }

    assert_int_equal(parse("1r/s\0", 5, &n, &period_s),
                     APISCALE_RATE_MALFORMED);
}


static void
test_truncated(void **state)
{
    size_t    len;
    uint64_t  n, period_s;

    (void) state;

    for (len = 0; len < 9; len++) {
        assert_int_equal(parse("1000r/15m", len, &n, &period_s),
                         APISCALE_RATE_MALFORMED);
    }
}


static void
test_interval(void **state)
{
    (void) state;

    assert_int_equal(apiscale_rate_interval(1, 1), UINT64_C(1024000000));
    assert_int_equal(apiscale_rate_interval(1000000, 1), 1024);
    assert_int_equal(apiscale_rate_interval(100, 60), 614400000);
    assert_int_equal(apiscale_rate_interval(1, 604800),
                     UINT64_C(619315200000000));
    assert_int_equal(apiscale_rate_interval(3, 1), 341333334);
    assert_int_equal(apiscale_rate_interval(999999, 1), 1025);
    assert_int_equal(apiscale_rate_interval(0, 1), 0);
    assert_int_equal(apiscale_rate_interval(1, 0), 0);
    assert_int_equal(apiscale_rate_interval(1, UINT64_C(3155760000)),
                     UINT64_C(3231498240000000000));
    assert_int_equal(apiscale_rate_interval(1, UINT64_C(3155760001)), 0);
}


/* never faster than written, and at most 0.1 % slower */
static void
test_accuracy(void **state)
{
    uint64_t  i, n, period_s, seed, ticks;

    (void) state;

    seed = 1;

    for (i = 0; i < 200000; i++) {
        seed = seed * UINT64_C(6364136223846793005)
               + UINT64_C(1442695040888963407);
        period_s = 1 + (seed >> 33) % 604800;
        n = 1 + (seed >> 13) % (period_s * 1000000);

        ticks = apiscale_rate_interval(n, period_s);

        assert_true((ticks - 1) * n < period_s * 1024000000);
        assert_true(ticks * n >= period_s * 1024000000);
        assert_true((ticks * n - period_s * 1024000000) * 1000
                    <= period_s * 1024000000);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_accuracy),
    };

    return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
