
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apiscale_utf8.h"


static size_t
encode(uint32_t c, unsigned char *p)
{
    if (c < 0x80) {
        p[0] = (unsigned char) c;
        return 1;
    }

    if (c < 0x800) {
        p[0] = (unsigned char) (0xc0 | c >> 6);
        p[1] = (unsigned char) (0x80 | (c & 0x3f));
        return 2;
    }

    if (c < 0x10000) {
        p[0] = (unsigned char) (0xe0 | c >> 12);
        p[1] = (unsigned char) (0x80 | (c >> 6 & 0x3f));
        p[2] = (unsigned char) (0x80 | (c & 0x3f));
        return 3;
    }

    p[0] = (unsigned char) (0xf0 | c >> 18);
    p[1] = (unsigned char) (0x80 | (c >> 12 & 0x3f));
    p[2] = (unsigned char) (0x80 | (c >> 6 & 0x3f));
    p[3] = (unsigned char) (0x80 | (c & 0x3f));
    return 4;
}


/* every scalar value, and no surrogate, nor a character cut short */

static void
test_every_character(void **state)
{
    size_t         n, len;
    uint32_t       c;
    unsigned char  buf[4];

    (void) state;

    for (c = 0; c < 0x200000; c++) {
        len = encode(c, buf);
        n = apiscale_utf8_sequence(buf, len);

        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            assert_int_equal(n, 0);
            continue;
        }

        assert_int_equal(n, len);
        assert_int_equal(apiscale_utf8_sequence(buf, len - 1), 0);
    }
}


/* of all pairs of bytes, only those that some character begins with */

static void
test_every_pair(void **state)
{
    size_t         n;
    unsigned       a, b;
    unsigned char  buf[4];

    (void) state;

    for (a = 0x80; a < 0x100; a++) {
        for (b = 0; b < 0x100; b++) {
            buf[0] = (unsigned char) a;
            buf[1] = (unsigned char) b;
            buf[2] = 0x80;
            buf[3] = 0x80;

            n = apiscale_utf8_sequence(buf, 4);

            if (n == 0) {
                continue;
            }

            assert_in_range(a, 0xc2, 0xf4);
            assert_in_range(b, 0x80, 0xbf);
            assert_int_equal(n, a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4);

            buf[n - 1] = 0x7f;
            assert_int_equal(apiscale_utf8_sequence(buf, 4), 0);

            buf[n - 1] = 0xc0;
            assert_int_equal(apiscale_utf8_sequence(buf, 4), 0);
        }
    }
}


/* overlong forms of "/" and of U+FFFF */

static void
test_overlong(void **state)
{
    static const unsigned char  two[] = { 0xc0, 0xaf };
    static const unsigned char  three[] = { 0xe0, 0x80, 0xaf };
    static const unsigned char  four[] = { 0xf0, 0x8f, 0xbf, 0xbf };

    (void) state;

    assert_int_equal(apiscale_utf8_sequence(two, 2), 0);
    assert_int_equal(apiscale_utf8_sequence(three, 3), 0);
    assert_int_equal(apiscale_utf8_sequence(four, 4), 0);
    assert_int_equal(apiscale_utf8_sequence(four, 0), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_overlong),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
