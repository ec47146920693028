
/*
 * Copyright (C) apiscale authors
 */


/* timegm() */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "apiscale_date.h"


#define BAD         APISCALE_DATE_MALFORMED
#define IMPOSSIBLE  APISCALE_DATE_IMPOSSIBLE
#define RANGE       APISCALE_DATE_RANGE


typedef struct {
    const char  *text;
    int          rc;
    const char  *utc;                     /* as written back */
} date_case_t;


static const date_case_t  cases[] = {
    { "1970-01-01", 0, "1970-01-01T00:00:00Z" },
    { "2026-06-30", 0, "2026-06-30T00:00:00Z" },
    { "2024-02-29", 0, "2024-02-29T00:00:00Z" },
    { "2000-02-29", 0, "2000-02-29T00:00:00Z" },
    { "9999-12-31", 0, "9999-12-31T00:00:00Z" },
    { "9999-12-31T23:59:59Z", 0, "9999-12-31T23:59:59Z" },
    { "2026-06-30T12:34:56Z", 0, "2026-06-30T12:34:56Z" },
    { "2026-06-30t12:34:56z", 0, "2026-06-30T12:34:56Z" },
    { "2026-06-30T12:34:56+02:00", 0, "2026-06-30T10:34:56Z" },
    { "2026-06-30T23:34:56-05:30", 0, "2026-07-01T05:04:56Z" },
    { "2026-06-30T12:34:56-00:00", 0, "2026-06-30T12:34:56Z" },
    { "2026-06-30T12:34:56.9Z", 0, "2026-06-30T12:34:56Z" },
    { "2026-06-30T12:34:56.999999999999999999999999+23:59", 0,
      "2026-06-29T12:35:56Z" },
    { "1969-12-31T23:30:00-01:00", 0, "1970-01-01T00:30:00Z" },

    /* RFC 3339, section 5.8 */
    { "1985-04-12T23:20:50.52Z", 0, "1985-04-12T23:20:50Z" },
    { "1996-12-19T16:39:57-08:00", 0, "1996-12-20T00:39:57Z" },
    { "1990-12-31T23:59:60Z", 0, "1991-01-01T00:00:00Z" },
    { "1990-12-31T15:59:60-08:00", 0, "1991-01-01T00:00:00Z" },
    { "2016-06-30T23:59:60.5Z", 0, "2016-07-01T00:00:00Z" },
    { "2017-01-01T00:59:60+01:00", 0, "2017-01-01T00:00:00Z" },

    { "2026-06-30T23:58:60Z", IMPOSSIBLE, NULL },
    { "2026-06-30T22:59:60Z", IMPOSSIBLE, NULL },
    { "2026-06-29T23:59:60Z", IMPOSSIBLE, NULL },
    { "2026-05-31T23:59:60Z", IMPOSSIBLE, NULL },
    { "2026-12-31T23:59:60+01:00", IMPOSSIBLE, NULL },
    { "2026-12-31T23:59:61Z", IMPOSSIBLE, NULL },
    { "2026-07-14T23:59:60Z", IMPOSSIBLE, NULL },
    { "2026-07-01T12:00:60Z", IMPOSSIBLE, NULL },
    { "2026-02-30", IMPOSSIBLE, NULL },
    { "2026-02-29", IMPOSSIBLE, NULL },
    { "2100-02-29", IMPOSSIBLE, NULL },
    { "2026-04-31", IMPOSSIBLE, NULL },
    { "2026-01-32", IMPOSSIBLE, NULL },
    { "2026-00-01", IMPOSSIBLE, NULL },
    { "2026-13-01", IMPOSSIBLE, NULL },
    { "2026-01-00", IMPOSSIBLE, NULL },
    { "1969-02-30", IMPOSSIBLE, NULL },
    { "2026-01-01T24:00:00Z", IMPOSSIBLE, NULL },
    { "2026-01-01T23:60:00Z", IMPOSSIBLE, NULL },
    { "2026-01-01T00:00:00+24:00", IMPOSSIBLE, NULL },
    { "2026-01-01T00:00:00-23:60", IMPOSSIBLE, NULL },

    { "1969-12-31", RANGE, NULL },
    { "0000-01-01", RANGE, NULL },
    { "1970-01-01T00:00:00+00:01", RANGE, NULL },
    { "9999-12-31T23:59:59-00:01", RANGE, NULL },
    { "9999-12-31T23:59:60Z", RANGE, NULL },

    { "", BAD, NULL },
    { "2026", BAD, NULL },
    { "2026-06", BAD, NULL },
    { "2026-6-30", BAD, NULL },
    { "26-06-30", BAD, NULL },
    { "2026/06/30", BAD, NULL },
    { "20260630", BAD, NULL },
    { "+2026-06-3", BAD, NULL },
    { " 2026-06-30", BAD, NULL },
    { "2026-06-30 ", BAD, NULL },
    { "2026-06-30T", BAD, NULL },
    { "2026-06-30Z", BAD, NULL },
    { "2026-06-30T12:34Z", BAD, NULL },
    { "2026-06-30T12:34:56", BAD, NULL },
    { "2026-06-30 12:34:56Z", BAD, NULL },
    { "2026-06-30T12:34:56.Z", BAD, NULL },
    { "2026-06-30T12:34:56.1", BAD, NULL },
    { "2026-06-30T12:34:56,1Z", BAD, NULL },
    { "2026-06-30T12:34:56ZZ", BAD, NULL },
    { "2026-06-30T12:34:56+0200", BAD, NULL },
    { "2026-06-30T12:34:56+02", BAD, NULL },
    { "2026-06-30T12:34:56+02:0", BAD, NULL },
    { "2026-06-30T12:34:56+02:000", BAD, NULL },
    { "2026-06-30T12.34:56Z", BAD, NULL },
    { "2026-06-30T12:34.56Z", BAD, NULL },
    { "2026-06-3:", BAD, NULL },
    { "2026-06-3/", BAD, NULL },
    { "2026-02-30T12:34:56", BAD, NULL },
    { "10000-01-01", BAD, NULL },
    { "@1767225600", BAD, NULL },
    { "Tue, 30 Jun 2026 00:00:00 GMT", BAD, NULL },
};

static uint64_t  seed = 1;


static uint64_t
rnd(void)
{
    seed = seed * UINT64_C(6364136223846793005)
           + UINT64_C(1442695040888963407);

    return seed >> 20;
}


/* on the heap and not terminated, so that a read past the end is seen */
static int
parse(const char *text, size_t len, int64_t *unix_s)
{
    int             rc;
    unsigned char  *p;

    p = malloc(len);
    assert_true(p != NULL || len == 0);
    memcpy(p, text, len);

    rc = apiscale_date_parse(p, len, unix_s);

    free(p);

    return rc;
}


static void
test_parse(void **state)
{
    int                 rc;
    size_t              i;
    int64_t             t;
    unsigned char       buf[APISCALE_DATE_RFC3339_LEN];
    const date_case_t  *c;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c = &cases[i];
        t = -42;
        rc = parse(c->text, strlen(c->text), &t);

        if (rc != c->rc) {
            fail_msg("\"%s\": %d, not %d", c->text, rc, c->rc);
        }

        if (rc != APISCALE_DATE_OK) {
            assert_int_equal(t, -42);
            continue;
        }

        assert_int_equal(apiscale_date_rfc3339(t, buf), 20);

        if (memcmp(buf, c->utc, 20) != 0) {
            fail_msg("\"%s\": %.20s, not %s", c->text, (char *) buf, c->utc);
        }
    }

    assert_int_equal(parse("2026-06-30\0", 11, &t), BAD);
}


static void
test_truncated(void **state)
{
    size_t             len;
    int64_t            t;
    static const char  text[] = "2026-06-30T12:34:56.25+02:00";

    (void) state;

    for (len = 0; len < sizeof(text) - 1; len++) {
        assert_int_equal(parse(text, len, &t), len == 10 ? 0 : BAD);
    }
}


/* against the C library: written, and read back with an offset */
static void
check_time(int64_t unix_s)
{
    char           expected[64], local[96];
    int            offset;
    time_t         when;
    int64_t        t;
    struct tm      tm;
    unsigned char  buf[APISCALE_DATE_IMF_LEN];

    when = (time_t) unix_s;
    gmtime_r(&when, &tm);

    strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    assert_int_equal(apiscale_date_imf(unix_s, buf), 29);
    assert_memory_equal(buf, expected, 29);

    strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &tm);
    assert_int_equal(apiscale_date_rfc3339(unix_s, buf), 20);
    assert_memory_equal(buf, expected, 20);
    assert_int_equal(parse(expected, 20, &t), APISCALE_DATE_OK);
    assert_int_equal(t, unix_s);

    offset = (int) (rnd() % 2879) - 1439;
    when = (time_t) (unix_s + offset * 60);

    if (when < 0 || when > APISCALE_DATE_MAX) {
        return;
    }

    gmtime_r(&when, &tm);
    strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(local, sizeof(local), "%s%c%02d:%02d", expected,
             offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);

    assert_int_equal(parse(local, strlen(local), &t), APISCALE_DATE_OK);
    assert_int_equal(t, unix_s);
}


static void
test_random(void **state)
{
    unsigned  i;

    (void) state;

    for (i = 0; i < 300000; i++) {
        check_time((int64_t) (rnd() % (APISCALE_DATE_MAX + 1)));
        check_time((int64_t) (rnd() % UINT64_C(4102444800)));
    }
}


/* the first and the last second of each month, whether it exists or not */
static void
test_edges(void **state)
{
    int        year, month, day;
    char       text[64];
    int64_t    t, expected;
    struct tm  tm;

    (void) state;

    check_time(APISCALE_DATE_MIN);
    check_time(APISCALE_DATE_MAX);

    for (year = 1970; year <= 9999; year++) {

        for (month = 1; month <= 12; month++) {

            for (day = 28; day <= 32; day++) {
                memset(&tm, 0, sizeof(tm));
                tm.tm_year = year - 1900;
                tm.tm_mon = month - 1;
                tm.tm_mday = day;

                expected = timegm(&tm);

                snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month,
                         day);

                if (tm.tm_mday != day) {
                    assert_int_equal(parse(text, 10, &t), IMPOSSIBLE);
                    continue;
                }

                assert_int_equal(parse(text, 10, &t), APISCALE_DATE_OK);
                assert_int_equal(t, expected);
                check_time(expected);
                check_time(expected + 86399);
            }
        }
    }
}


static void
test_out_of_range(void **state)
{
    size_t                i;
    unsigned char         buf[APISCALE_DATE_IMF_LEN] = "untouched";
    static const int64_t  times[] = {
        INT64_MIN, -1, APISCALE_DATE_MAX + 1, INT64_MAX
    };

    (void) state;

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        assert_int_equal(apiscale_date_imf(times[i], buf), 0);
        assert_int_equal(apiscale_date_rfc3339(times[i], buf), 0);
        assert_memory_equal(buf, "untouched", 9);
    }
}


/* the examples of RFC 9110 and of the deprecation headers */
static void
test_imf(void **state)
{
    int64_t        t;
    unsigned char  buf[APISCALE_DATE_IMF_LEN];

    (void) state;

    assert_int_equal(apiscale_date_imf(784111777, buf), 29);
    assert_memory_equal(buf, "Sun, 06 Nov 1994 08:49:37 GMT", 29);

    assert_int_equal(parse("2027-06-30T23:59:59Z", 20, &t), 0);
    assert_int_equal(apiscale_date_imf(t, buf), 29);
    assert_memory_equal(buf, "Wed, 30 Jun 2027 23:59:59 GMT", 29);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_imf),
    };

    return cmocka_run_group_tests_name("date", tests, NULL, NULL);
}
