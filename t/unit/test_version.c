
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

#include "apiscale_version.h"


#define U(s)  ((const unsigned char *) (s))

#define NONE  -2                          /* no version asked */

#define NAME(s)  { U(s), sizeof(s) - 1 }


static const apiscale_version_name_t  names[] = {
    NAME("1"), NAME("2"), NAME("2026-06-30"), NAME("latest"), NAME(""),
    NAME("1.0")
};

#define NNAMES  (sizeof(names) / sizeof(names[0]))


/* on the heap and not terminated, so that a read past the end is seen */
static unsigned char *
dup_exact(const char *text, size_t len)
{
    unsigned char  *p;

    p = malloc(len);
    assert_true(p != NULL || len == 0);
    memcpy(p, text, len);

    return p;
}


static int
segment(const unsigned char *uri, size_t len, const char *prefix,
    apiscale_version_segment_t *seg)
{
    return apiscale_version_segment(uri, len, U(prefix), strlen(prefix),
                                    names, NNAMES, seg);
}


static void
test_prefix(void **state)
{
    int             rc;
    size_t          i;
    unsigned char  *uri;

    static const struct {
        const char  *prefix;
        const char  *uri;
        int          under;
    } cases[] = {
        { "/api", "/api", 1 },
        { "/api", "/api/", 1 },
        { "/api", "/api/x", 1 },
        { "/api", "/apix", 0 },
        { "/api", "/ap", 0 },
        { "/api", "/", 0 },
        { "/api", "", 0 },
        { "/api", "/API", 0 },
        { "/api", "/x/api", 0 },
        { "/api", "/api//", 1 },
        { "/api/", "/api", 1 },
        { "/api/", "/api/x", 1 },
        { "/api/", "/apix", 0 },
        { "/a/b", "/a/b/c", 1 },
        { "/a/b", "/a/bc", 0 },
        { "/", "/", 1 },
        { "/", "/x", 1 },
        { "/", "//", 1 },
        { "/", "", 0 },
        { "/", "*", 0 },
        { "", "/x", 1 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uri = dup_exact(cases[i].uri, strlen(cases[i].uri));
        rc = apiscale_version_prefix(uri, strlen(cases[i].uri),
                                     U(cases[i].prefix),
                                     strlen(cases[i].prefix));
        free(uri);

        if (rc != cases[i].under) {
            fail_msg("\"%s\" under \"%s\": %d", cases[i].uri,
                     cases[i].prefix, rc);
        }
    }
}


static void
test_segment(void **state)
{
    int                          rc;
    size_t                       i, len;
    unsigned char               *uri;
    apiscale_version_segment_t   seg;

    static const struct {
        const char  *prefix;
        const char  *uri;
        int          name;
        const char  *token;
        size_t       off;
    } cases[] = {
        { "/api", "/api/v1", 0, "1", 5 },
        { "/api", "/api/v1/", 0, "1", 5 },
        { "/api", "/api/v1/users", 0, "1", 5 },
        { "/api/", "/api/v2/users", 1, "2", 5 },
        { "/api", "/api/v2026-06-30/x", 2, "2026-06-30", 5 },
        { "/api", "/api/vlatest/x", 3, "latest", 5 },
        { "/api", "/api/v1.0", 5, "1.0", 5 },
        { "/", "/v1", 0, "1", 1 },
        { "/", "/v1/v2", 0, "1", 1 },

        { "/api", "/api/v10", -1, "10", 5 },
        { "/api", "/api/v1.1/x", -1, "1.1", 5 },
        { "/api", "/api/v01", -1, "01", 5 },
        { "/api", "/api/v1beta", -1, "1beta", 5 },
        { "/api", "/api/v9latest/", -1, "9latest", 5 },

        { "/api", "/api", NONE, NULL, 0 },
        { "/api", "/api/", NONE, NULL, 0 },
        { "/api", "/api/v", NONE, NULL, 0 },
        { "/api", "/api/v/1", NONE, NULL, 0 },
        { "/api", "/api/V1", NONE, NULL, 0 },
        { "/api", "/api/1", NONE, NULL, 0 },
        { "/api", "/api/latest", NONE, NULL, 0 },
        { "/api", "/api/vLatest", NONE, NULL, 0 },
        { "/api", "/api/vlatestx", NONE, NULL, 0 },
        { "/api", "/api/vlates", NONE, NULL, 0 },
        { "/api", "/api/video", NONE, NULL, 0 },
        { "/api", "/api/v-1", NONE, NULL, 0 },
        { "/api", "/api/v:1", NONE, NULL, 0 },
        { "/api", "/api/xv1", NONE, NULL, 0 },
        { "/api", "/api/users/v1", NONE, NULL, 0 },
        { "/api", "/api//v1", NONE, NULL, 0 },
        { "/api", "/apiv1", NONE, NULL, 0 },
        { "/api", "/v1", NONE, NULL, 0 },
        { "/", "/", NONE, NULL, 0 },
        { "/", "", NONE, NULL, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = strlen(cases[i].uri);
        uri = dup_exact(cases[i].uri, len);
        rc = segment(uri, len, cases[i].prefix, &seg);

        if (rc != (cases[i].name == NONE ? APISCALE_VERSION_DECLINED : 0)) {
            fail_msg("\"%s\": %d", cases[i].uri, rc);
        }

        if (rc == APISCALE_VERSION_OK) {
            assert_int_equal(seg.name, cases[i].name);
            assert_int_equal(seg.off, cases[i].off);
            assert_int_equal(seg.token_len, strlen(cases[i].token));
            assert_int_equal(seg.len, seg.token_len + 1);
            assert_ptr_equal(seg.token, uri + seg.off + 1);
            assert_memory_equal(seg.token, cases[i].token, seg.token_len);
        }

        free(uri);
    }
}


static void
test_nul(void **state)
{
    unsigned char               *uri;
    apiscale_version_segment_t   seg;

    (void) state;

    uri = dup_exact("/api/v1\0/x", 10);

    assert_int_equal(segment(uri, 10, "/api", &seg), APISCALE_VERSION_OK);
    assert_int_equal(seg.name, APISCALE_VERSION_UNKNOWN);
    assert_int_equal(seg.token_len, 2);

    free(uri);

    assert_int_equal(apiscale_version_prefix(U("/api\0"), 5, U("/api"), 4), 0);
}


static void
test_no_names(void **state)
{
    apiscale_version_segment_t  seg;

    (void) state;

    assert_int_equal(apiscale_version_segment(U("/v1"), 3, U("/"), 1, NULL, 0,
                                              &seg),
                     APISCALE_VERSION_OK);
    assert_int_equal(seg.name, APISCALE_VERSION_UNKNOWN);
}


static void
test_strip(void **state)
{
    size_t                       i, len, n, size;
    unsigned char               *uri, *out;
    apiscale_version_segment_t   seg;

    static const struct {
        const char  *prefix;
        const char  *uri;
        const char  *stripped;
    } cases[] = {
        { "/api", "/api/v1", "/api" },
        { "/api", "/api/v1/", "/api/" },
        { "/api", "/api/v1/users/v1", "/api/users/v1" },
        { "/api/", "/api/v1/users", "/api/users" },
        { "/api", "/api/v1//x", "/api//x" },
        { "/", "/v1", "/" },
        { "/", "/v1/", "/" },
        { "/", "/v1/u", "/u" },
        { "/", "/v123", "/" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = strlen(cases[i].uri);
        uri = dup_exact(cases[i].uri, len);

        assert_int_equal(segment(uri, len, cases[i].prefix, &seg), 0);

        n = strlen(cases[i].stripped);

        for (size = 0; size < n; size++) {
            out = dup_exact(cases[i].uri, size);
            assert_int_equal(apiscale_version_strip(uri, len, &seg, out, size),
                             0);
            free(out);
        }

        out = dup_exact(cases[i].uri, n);
        assert_int_equal(apiscale_version_strip(uri, len, &seg, out, n), n);
        assert_memory_equal(out, cases[i].stripped, n);

        free(out);
        free(uri);
    }
}


static void
test_insert(void **state)
{
    int                          rc;
    size_t                       i, len, n, size;
    unsigned char               *uri, *out;
    apiscale_version_segment_t   seg;

    static const struct {
        const char  *prefix;
        const char  *uri;
        const char  *inserted;
    } cases[] = {
        { "/api", "/api", "/api/v22" },
        { "/api", "/api/", "/api/v22/" },
        { "/api", "/api/users", "/api/v22/users" },
        { "/api/", "/api/users", "/api/v22/users" },
        { "/api", "/api/v1", "/api/v22" },
        { "/api", "/api/v1/", "/api/v22/" },
        { "/api", "/api/vlatest/users", "/api/v22/users" },
        { "/", "/", "/v22/" },
        { "/", "/u", "/v22/u" },
        { "/", "/v1/u", "/v22/u" },
        { "/", "/v1", "/v22" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = strlen(cases[i].uri);
        uri = dup_exact(cases[i].uri, len);
        n = strlen(cases[i].inserted);

        rc = segment(uri, len, cases[i].prefix, &seg);

        for (size = 0; size <= n; size++) {
            out = malloc(size);
            assert_int_equal(
                apiscale_version_insert(uri, len, U(cases[i].prefix),
                                        strlen(cases[i].prefix),
                                        rc == 0 ? &seg : NULL,
                                        U("22"), 2, out, size),
                size == n ? n : 0);

            if (size == n) {
                assert_memory_equal(out, cases[i].inserted, n);
            }

            free(out);
        }

        free(uri);
    }

    assert_int_equal(apiscale_version_insert(U("/x"), 2, U("/api"), 4, NULL,
                                             U("1"), 1, NULL, 0),
                     0);
}


static void
test_cut_raw(void **state)
{
    int             rc;
    size_t          i, len, n, outlen, size;
    unsigned char  *raw, *out;

    static const struct {
        const char  *prefix;
        const char  *raw;
        int          merge;
        const char  *cut;                 /* NULL: declined */
    } cases[] = {
        { "/api", "/api/v1", 1, "/api" },
        { "/api", "/api/v1/", 1, "/api/" },
        { "/api", "/api/v1/users?q=/v1/../x", 1, "/api/users?q=/v1/../x" },
        { "/api", "/api/v1?q", 1, "/api?q" },
        { "/api", "/api/v1?", 1, "/api?" },
        { "/api", "/api/v1/a%2Fb/%zz?%zz", 1, NULL },
        { "/api", "/api/v1/a%2Fb/%7e?%zz", 1, "/api/a%2Fb/%7e?%zz" },
        { "/api", "/%61pi/%761/x", 1, "/%61pi/x" },
        { "/api", "/api/v%31/x", 1, "/api/x" },
        { "/api/", "/api/v1/x", 1, "/api/x" },
        { "/a/b", "/a%2Fb/v1/x", 1, "/a%2Fb/x" },
        { "/a b", "/a%20b/v1/x", 1, "/a%20b/x" },
        { "/a%20b", "/a%2520b/v1/x", 1, "/a%2520b/x" },
        { "/api", "/api/v1/...", 1, "/api/..." },
        { "/api", "/api/v1/.a/..b/c.", 1, "/api/.a/..b/c." },
        { "/api", "/api/v1/a./b", 1, "/api/a./b" },
        { "/", "/v1", 1, "/" },
        { "/", "/v1?a", 1, "/?a" },
        { "/", "/v1/", 1, "/" },
        { "/", "/v1/u", 1, "/u" },

        /* empty segments */
        { "/api", "//api//v1/x", 1, "//api//x" },
        { "/api", "///api///v1///x//", 1, "///api/////x//" },
        { "/api", "/api//v1/", 1, "/api//" },
        { "/api", "//api/v1", 1, "//api" },
        { "/api", "/api//v1", 1, NULL },
        { "/api", "/api//v1?a", 1, NULL },
        { "/", "//v1/x", 1, NULL },
        { "/", "//v1/host/", 1, NULL },
        { "/", "//v1", 1, NULL },
        { "/", "/v1//host/x", 1, NULL },
        { "/", "/v1//", 1, NULL },
        { "/", "/v1/%2Fhost", 1, "/%2Fhost" },
        { "/api", "//api/v1/x", 0, NULL },
        { "/api", "/api//v1/x", 0, NULL },
        { "/api", "/api/v1//x", 0, "/api//x" },

        /* the segment does not stand alone */
        { "/api", "/api/v1%2Fusers", 1, NULL },
        { "/api", "/api%2Fv1/users", 1, NULL },
        { "/api", "/api/%2fv1/users", 1, NULL },
        { "/api", "/api%2f/v1/users", 1, "/api%2f/users" },
        { "/api", "/api%2f/v1/users", 0, NULL },
        { "/api", "/api%2f/v1", 1, NULL },

        /* dot segments */
        { "/api", "/api/v1/./x", 1, NULL },
        { "/api", "/api/v1/../v1/x", 1, NULL },
        { "/api", "/api/v1/x/..", 1, NULL },
        { "/api", "/api/v1/x/.?a", 1, NULL },
        { "/api", "/./api/v1/x", 1, NULL },
        { "/api", "/x/../api/v1/x", 1, NULL },
        { "/api", "/api/v1/%2e%2E/x", 1, NULL },
        { "/api", "/api/v1/.%2e", 1, NULL },
        { "/api", "/api/v1/a%2f..%2fb", 1, NULL },
        { "/api", "/api/v1/a%2f.", 1, NULL },

        /* not this version, not this prefix, not a path */
        { "/api", "/api/v10/x", 1, NULL },
        { "/api", "/api/v/x", 1, NULL },
        { "/api", "/api/V1/x", 1, NULL },
        { "/api", "/api/users", 1, NULL },
        { "/api", "/api/", 1, NULL },
        { "/api", "/api", 1, NULL },
        { "/api", "/apix/v1", 1, NULL },
        { "/api", "/v1", 1, NULL },
        { "/api", "/api?/v1", 1, NULL },
        { "/api", "/api/v1/%", 1, NULL },
        { "/api", "/api/v1/%4", 1, NULL },
        { "/api", "/api/v1/%4?1", 1, NULL },
        { "/api", "/api/v1/%g0", 1, NULL },
        { "/api", "/api/v1/%0g", 1, NULL },
        { "/api", "/api/v%3", 1, NULL },
        { "/api", "/api/v1/x#y", 1, NULL },
        { "/api", "/api/v1/x?y#z", 1, NULL },
        { "/api", "http://h/api/v1/x", 1, NULL },
        { "/api", "%2Fapi/v1/x", 1, NULL },
        { "/api", "?/api/v1", 1, NULL },
        { "/api", "*", 1, NULL },
        { "/api", "", 1, NULL },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = strlen(cases[i].raw);
        raw = dup_exact(cases[i].raw, len);
        n = cases[i].cut != NULL ? strlen(cases[i].cut) : 0;

        for (size = 0; size <= n; size++) {
            out = malloc(size);
            outlen = 4242;

            rc = apiscale_version_cut_raw(raw, len, U(cases[i].prefix),
                                          strlen(cases[i].prefix),
                                          U("v1"), 2, cases[i].merge, out,
                                          size, &outlen);

            if (rc != (cases[i].cut == NULL ? APISCALE_VERSION_DECLINED
                       : size < n ? APISCALE_VERSION_NOSPACE : 0))
            {
                fail_msg("\"%s\" %d: %d", cases[i].raw, cases[i].merge, rc);
            }

            assert_int_equal(outlen, rc == 0 ? n : 4242);

            if (rc == 0 && memcmp(out, cases[i].cut, n) != 0) {
                fail_msg("\"%s\": \"%.*s\"", cases[i].raw, (int) n,
                         (char *) out);
            }

            free(out);
        }

        free(raw);
    }
}


static void
test_cut_raw_bytes(void **state)
{
    size_t          n;
    unsigned char  *seg, out[32];

    (void) state;

    /* NUL, plain and encoded, is a character of the path */

    assert_int_equal(apiscale_version_cut_raw(U("/a\0/v1/\0%00"), 11,
                                              U("/a\0"), 3, U("v1"), 2, 1,
                                              out, 32, &n),
                     APISCALE_VERSION_OK);
    assert_int_equal(n, 8);
    assert_memory_equal(out, "/a\0/\0%00", 8);

    /* no segment: what lies behind it must not be read */

    seg = dup_exact("v", 1);

    assert_int_equal(apiscale_version_cut_raw(U("/v1/x"), 5, U("/"), 1,
                                              seg + 1, 0, 1, out, 32, &n),
                     APISCALE_VERSION_DECLINED);

    free(seg);
}


static void
test_find_raw(void **state)
{
    size_t          i, len, off, cut;
    unsigned char  *raw;

    static const struct {
        const char  *prefix;
        const char  *raw;
        size_t       off;
        size_t       cut;
    } cases[] = {
        { "/api", "/api/v1", 4, 3 },
        { "/api", "/api/v1?/v1", 4, 3 },
        { "/api", "//%61pi//v%31/x", 8, 5 },
        { "/", "/v1/u", 0, 3 },

        /* what may be replaced, though not cut */
        { "/", "/v1//host", 0, 3 },

        { "/api", "/api//v1", 0, 0 },
        { "/api", "/api/v1/..", 0, 0 },
        { "/api", "/api/v10", 0, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = strlen(cases[i].raw);
        raw = dup_exact(cases[i].raw, len);
        off = 0;
        cut = 0;

        assert_int_equal(
            apiscale_version_find_raw(raw, len, U(cases[i].prefix),
                                      strlen(cases[i].prefix), U("v1"), 2, 1,
                                      &off, &cut),
            cases[i].cut != 0 ? APISCALE_VERSION_OK
                              : APISCALE_VERSION_DECLINED);
        assert_int_equal(off, cases[i].off);
        assert_int_equal(cut, cases[i].cut);

        free(raw);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_segment),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_no_names),
        cmocka_unit_test(test_strip),
        cmocka_unit_test(test_insert),
        cmocka_unit_test(test_cut_raw),
        cmocka_unit_test(test_cut_raw_bytes),
        cmocka_unit_test(test_find_raw),
    };

    return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
