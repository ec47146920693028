
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

#include "apiscale_json.h"


/* in memory of just its size, so that reads beyond it are seen */

static unsigned char *
copy(const char *s, size_t len)
{
    unsigned char  *p;

    p = malloc(len ? len : 1);
    assert_non_null(p);
    memcpy(p, s, len);

    return p;
}


static void
extent(const char *s, size_t max, unsigned depth, int rc, size_t len)
{
    size_t                n;
    unsigned char        *p;
    const unsigned char  *last;

    n = strlen(s);
    p = copy(s, n);

    assert_int_equal(apiscale_json_extent(p, p + n, max, depth, &last), rc);
    assert_int_equal(last - p, len);

    free(p);
}


static void
test_extent(void **state)
{
    (void) state;

    extent("{} x", 100, 4, APISCALE_JSON_OK, 2);
    extent("[1,[2],{\"a\":[]}],", 100, 4, APISCALE_JSON_OK, 16);
    extent("\"a,]}\\\"b\" x", 100, 4, APISCALE_JSON_OK, 9);
    extent("{\"]\":\"[[[[[[\"}]", 100, 4, APISCALE_JSON_OK, 14);
    extent("-1.5e3,", 100, 4, APISCALE_JSON_OK, 6);
    extent("true]", 100, 4, APISCALE_JSON_OK, 4);
    extent("null", 100, 4, APISCALE_JSON_OK, 4);
    extent("}", 100, 4, APISCALE_JSON_OK, 1);
    extent(",", 100, 4, APISCALE_JSON_OK, 1);
    extent("", 100, 4, APISCALE_JSON_OK, 0);

    /* cut off */

    extent("[1,2", 100, 4, APISCALE_JSON_OK, 4);
    extent("\"abc", 100, 4, APISCALE_JSON_OK, 4);
    extent("\"abc\\", 100, 4, APISCALE_JSON_OK, 5);
    extent("\"abc\\\"", 100, 4, APISCALE_JSON_OK, 6);

    /* bounds */

    extent("[[[[1]]]]", 100, 4, APISCALE_JSON_OK, 9);
    extent("[[[[[1]]]]]", 100, 4, APISCALE_JSON_DEEP, 4);
    extent("[{[{[1]}]}]", 100, 4, APISCALE_JSON_DEEP, 4);
    extent("[1,2,3]", 7, 4, APISCALE_JSON_OK, 7);
    extent("[1,2,3]", 6, 4, APISCALE_JSON_LONG, 6);
    extent("\"12345\"", 7, 4, APISCALE_JSON_OK, 7);
    extent("\"12345\"", 6, 4, APISCALE_JSON_LONG, 6);
    extent("\"1234\\\\\"", 6, 4, APISCALE_JSON_LONG, 6);
    extent("1234567", 6, 4, APISCALE_JSON_OK, 6);
}


static void
test_place(void **state)
{
    size_t                line, column;
    const unsigned char  *s;

    (void) state;

    s = (const unsigned char *) "ab\n\xc3\xa9\xe2\x82\xac" "c\n\nd";

    apiscale_json_place(s, s, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, 1);

    apiscale_json_place(s, s + 2, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, 3);

    apiscale_json_place(s, s + 3, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 1);

    apiscale_json_place(s, s + 8, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 3);

    apiscale_json_place(s, s + 11, &line, &column);
    assert_int_equal(line, 4);
    assert_int_equal(column, 1);
}


/* plain: the bytes of it; -1 if it is not, whatever comes after */

static void
plain(const char *s, int len)
{
    size_t                  n;
    unsigned char          *p;
    const unsigned char    *next;
    apiscale_json_plain_t   plain;

    n = strlen(s);
    p = copy(s, n);

    next = apiscale_json_plain(p, p + n, &plain);
    assert_int_equal(next ? next - p : -1, len);

    free(p);
}


static void
test_plain(void **state)
{
    int    i;
    char   s[256];

    (void) state;

    plain("{\"a\":\"b\"}", 9);
    plain("{ \"a\" :\t\"b\"\r\n} ,", 14);
    plain("{\"a\":[]}x", 8);
    plain("{\"a\":[ ]}", 9);
    plain("{\"a\":[\"b\" , \"c\"],\"d\":\"\"}", 24);
    plain("{\"\":\"\xc3\xa9\"}", 9);

    plain("", -1);
    plain("{}", -1);
    plain("[]", -1);
    plain("\"a\"", -1);
    plain("{\"a\"", -1);
    plain("{\"a\":", -1);
    plain("{\"a\":\"b", -1);
    plain("{\"a\":\"b\"", -1);
    plain("{\"a\":\"b\",", -1);
    plain("{\"a\":\"b\",}", -1);
    plain("{\"a\":\"b\" \"c\":\"d\"}", -1);
    plain("{\"a\":[\"b\"", -1);
    plain("{\"a\":[\"b\",", -1);
    plain("{\"a\":[\"b\",]}", -1);
    plain("{\"a\":[\"b\" \"c\"]}", -1);
    plain("{\"a\":[[]]}", -1);
    plain("{\"a\":{}}", -1);
    plain("{\"a\":1}", -1);
    plain("{\"a\":null}", -1);
    plain("{a:\"b\"}", -1);

    /* what the other parser has to look at */

    plain("{\"a\":\"\\n\"}", -1);
    plain("{\"\\u0061\":\"b\"}", -1);
    plain("{\"a\":\"\n\"}", -1);
    plain("{\"a\":\"\x7f\"}", -1);
    plain("{\"a\":\"\xff\"}", -1);
    plain("{\"a\":\"\xc3\"}", -1);
    plain("{\"a\":\"\xed\xa0\x80\"}", -1);
    plain("{\"a\":\"b\",\"a\":\"c\"}", -1);

    /* as many as there is room for */

    strcpy(s, "{\"a\":[");

    for (i = 0; i < APISCALE_JSON_TEXTS; i++) {
        strcat(s, "\"\",");
    }

    s[strlen(s) - 1] = '\0';
    strcat(s, "]}");
    plain(s, (int) strlen(s));

    s[strlen(s) - 2] = '\0';
    strcat(s, ",\"\"]}");
    plain(s, -1);

    strcpy(s, "{\"0\":\"\"");

    for (i = 1; i < APISCALE_JSON_MEMBERS; i++) {
        strcat(s, ",\"0\":\"\"");
        s[strlen(s) - 5] = (char) ('0' + i);
    }

    strcat(s, "}");
    plain(s, (int) strlen(s));

    s[strlen(s) - 1] = '\0';
    strcat(s, ",\"x\":\"\"}");
    plain(s, -1);
}


static void
test_members(void **state)
{
    unsigned char                 *p;
    apiscale_json_plain_t          plain;
    const apiscale_json_member_t  *m;

    static const char  s[] = "{\"id\":\"a\",\"keys\":[\"x\",\"yy\"],"
                             "\"p\":\"q\"}";

    (void) state;

    p = copy(s, sizeof(s) - 1);

    assert_ptr_equal(apiscale_json_plain(p, p + sizeof(s) - 1, &plain),
                     p + sizeof(s) - 1);

    m = apiscale_json_member(&plain, "id", 2);
    assert_non_null(m);
    assert_int_equal(m->array, 0);
    assert_memory_equal(plain.texts[m->first].data, "a", 1);

    m = apiscale_json_member(&plain, "keys", 4);
    assert_non_null(m);
    assert_int_equal(m->array, 1);
    assert_int_equal(m->n, 2);
    assert_int_equal(plain.texts[m->first + 1].len, 2);
    assert_memory_equal(plain.texts[m->first + 1].data, "yy", 2);

    m = apiscale_json_member(&plain, "p", 1);
    assert_non_null(m);
    assert_memory_equal(plain.texts[m->first].data, "q", 1);

    assert_null(apiscale_json_member(&plain, "i", 1));
    assert_null(apiscale_json_member(&plain, "ids", 3));

    free(p);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_extent),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_members)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
