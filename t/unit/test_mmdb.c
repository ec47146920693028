
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apiscale_mmdb.h"


/* a file that is built from its parts, records of 32 bits */

typedef struct {
    unsigned char  *p;
    size_t          len;
} file_t;


static const char  marker[] = "\xab\xcd\xefMaxMind.com";

/* as MaxMind's writer puts them; the numbers are changed by the tests */

#define MAJOR    "\x5b" "binary_format_major_version" "\xa1\x02"
#define MINOR    "\x5b" "binary_format_minor_version" "\xa0"
#define BUILD    "\x4b" "build_epoch" "\x04\x02\x65\x00\x00\x00"
#define TYPE     "\x4d" "database_type" "\x44" "test"
#define ABOUT    "\x4b" "description" "\xe1\x42" "en" "\x41x"
#define IP4      "\x4a" "ip_version" "\xa1\x04"
#define IP6      "\x4a" "ip_version" "\xa1\x06"
#define LANGS    "\x49" "languages" "\x01\x04\x42" "en"
#define SIZE32   "\x4b" "record_size" "\xa1\x20"

#define META     MAJOR MINOR BUILD TYPE ABOUT LANGS SIZE32


static void
add(file_t *f, const void *p, size_t len)
{
    f->p = realloc(f->p, f->len + len + 1);
    assert_non_null(f->p);
    memcpy(f->p + f->len, p, len);
    f->len += len;
}


static void
add_record(file_t *f, uint32_t n)
{
    unsigned char  p[4] = { (unsigned char) (n >> 24),
                            (unsigned char) (n >> 16),
                            (unsigned char) (n >> 8), (unsigned char) n };

    add(f, p, 4);
}


/* tree, gap, data and metadata in a map of nine */

static void
finish(file_t *f, unsigned nodes, int ipv6, const void *data, size_t len)
{
    unsigned char  count[] = "\x4a" "node_count" "\xc2\x00\x00";

    count[12] = (unsigned char) (nodes >> 8);
    count[13] = (unsigned char) nodes;

    add(f, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    add(f, data, len);
    add(f, marker, sizeof(marker) - 1);
    add(f, "\xe9", 1);
    add(f, META, sizeof(META) - 1);
    add(f, ipv6 ? IP6 : IP4, sizeof(IP4) - 1);
    add(f, count, sizeof(count) - 1);
}


static int
verdict(file_t *f)
{
    unsigned char      *copy, *scratch;
    apiscale_mmdb_t     db;
    apiscale_mmdb_rc_e  rc;

    /* exactly as long, for the sanitizer */

    copy = malloc(f->len ? f->len : 1);
    assert_non_null(copy);
    memcpy(copy, f->p, f->len);

    rc = apiscale_mmdb_open(&db, copy, f->len);

    if (rc == APISCALE_MMDB_OK) {
        scratch = malloc(apiscale_mmdb_scratch(&db));
        assert_non_null(scratch);
        rc = apiscale_mmdb_check(&db, scratch);
        free(scratch);
    }

    free(copy);
    free(f->p);
    memset(f, 0, sizeof(file_t));

    return rc;
}


/* of a file with one node, both of whose records lead to "data" */

static int
data_verdict(const void *data, size_t len)
{
    file_t  f = { NULL, 0 };

    add_record(&f, 17);
    add_record(&f, 17);
    finish(&f, 1, 1, data, len);

    return verdict(&f);
}

#define DATA(s)  data_verdict(s, sizeof(s) - 1)


static void
test_values(void **state)
{
    (void) state;

    assert_int_equal(DATA("\x41x"), APISCALE_MMDB_OK);
    assert_int_equal(DATA("\xe0"), APISCALE_MMDB_OK);
    assert_int_equal(DATA("\xe1\x41k\xe1\x41k\xe0"), APISCALE_MMDB_OK);
    assert_int_equal(DATA("\xe1\x41k\x20\x05\x41v"), APISCALE_MMDB_OK);

    /* all types, each with the largest size it may have */
    assert_int_equal(DATA("\x0b\x04" "\x41x" "\x68" "12345678" "\x81x"
                          "\xa2\1\1" "\xc4\1\1\1\1" "\x04\x01\1\1\1\1"
                          "\x08\x02" "12345678" "\x10\x03" "1234567812345678"
                          "\x01\x07" "\x04\x08" "1234" "\xe0"),
                     APISCALE_MMDB_OK);

    /* and one more byte */
    assert_int_equal(DATA("\x69" "123456789"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\xa3\1\1\1"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\xc5\1\1\1\1\1"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x05\x01\1\1\1\1\1"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x09\x02" "123456789"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x11\x03" "12345678123456781"),
                     APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x02\x07"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x03\x08" "123"), APISCALE_MMDB_VALUE);

    /* types that are not, or not in data */
    assert_int_equal(DATA("\x00\x00"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x00\x05"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x00\x06"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x00\x09"), APISCALE_MMDB_VALUE);

    /* what ends too early */
    assert_int_equal(DATA("\x00"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x42x"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x5d"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x5e\x00"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x5f\x00\x00"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x28\x00"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\xe1\x41k"), APISCALE_MMDB_VALUE);

    /* keys are strings */
    assert_int_equal(DATA("\xe1\xa0\xa0"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\xe1\x20\x03\xe0"), APISCALE_MMDB_VALUE);

    /* pointers of each size */
    assert_int_equal(DATA("\x20\x02\xe0"), APISCALE_MMDB_OK);
    assert_int_equal(DATA("\x38\x00\x00\x00\x05\xe0"), APISCALE_MMDB_OK);
    assert_int_equal(DATA("\x38\x00\x00\x00\x06\xe0"), APISCALE_MMDB_VALUE);
    assert_int_equal(DATA("\x20\x02\x20\x00"), APISCALE_MMDB_VALUE);

    /* loops */
    assert_int_equal(DATA("\xe1\x41k\x20\x00"), APISCALE_MMDB_VALUE_LOOP);
    assert_int_equal(DATA("\x01\x04\x20\x00"), APISCALE_MMDB_VALUE_LOOP);
}


static void
test_pointer_sizes(void **state)
{
    size_t          len;
    unsigned char  *p;

    (void) state;

    /* 2 bytes reach from 2048 on, 3 bytes from 526336 on */

    len = 526336 + 1;
    p = calloc(1, len);
    assert_non_null(p);

    memset(p, 0xa0, len);
    p[len - 1] = 0xe0;

    memcpy(p, "\x30\x00\x00\x00", 4);
    assert_int_equal(data_verdict(p, len), APISCALE_MMDB_OK);
    memcpy(p, "\x30\x00\x00\x01", 4);
    assert_int_equal(data_verdict(p, len), APISCALE_MMDB_VALUE);

    memcpy(p, "\x28\x00\x00", 3);
    assert_int_equal(data_verdict(p, 2049), APISCALE_MMDB_OK);
    assert_int_equal(data_verdict(p, 2048), APISCALE_MMDB_VALUE);

    free(p);
}


static void
test_sizes(void **state)
{
    size_t          i;
    unsigned        n;
    unsigned char  *p;

    static const struct {
        const char  *head;
        size_t       head_len;
        size_t       size;
    } cases[] = {
        { "\x5c", 1, 28 },
        { "\x5d\x00", 2, 29 },
        { "\x5d\xff", 2, 284 },
        { "\x5e\x00\x00", 3, 285 },
        { "\x5e\xff\xff", 3, 65820 },
        { "\x5f\x00\x00\x00", 4, 65821 }
    };

    (void) state;

    for (n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        i = cases[n].head_len + cases[n].size;
        p = calloc(1, i);
        assert_non_null(p);
        memcpy(p, cases[n].head, cases[n].head_len);

        assert_int_equal(data_verdict(p, i), APISCALE_MMDB_OK);
        assert_int_equal(data_verdict(p, i - 1), APISCALE_MMDB_VALUE);
        free(p);
    }
}


static void
test_depth(void **state)
{
    size_t         n;
    unsigned char  p[2 * (APISCALE_MMDB_DEPTH + 1) + 1];

    (void) state;

    for (n = 0; n < sizeof(p); n += 2) {
        p[n] = 1;
        p[n + 1 < sizeof(p) ? n + 1 : n] = 4;
    }

    p[2 * APISCALE_MMDB_DEPTH] = 0xa0;
    assert_int_equal(data_verdict(p, 2 * APISCALE_MMDB_DEPTH + 1),
                     APISCALE_MMDB_OK);

    p[2 * APISCALE_MMDB_DEPTH] = 1;
    p[sizeof(p) - 1] = 0xa0;
    assert_int_equal(data_verdict(p, sizeof(p)), APISCALE_MMDB_VALUE_DEPTH);
}


static void
test_count(void **state)
{
    size_t          n, len;
    unsigned char  *p;

    (void) state;

    /* the array itself is one of the values */

    len = 5 + APISCALE_MMDB_VALUES;
    p = malloc(len);
    assert_non_null(p);
    memset(p, 0xa0, len);

    n = APISCALE_MMDB_VALUES - 1 - 285;
    memcpy(p, (unsigned char[]) { 30, 4, (unsigned char) (n >> 8),
                                  (unsigned char) n }, 4);
    assert_int_equal(data_verdict(p, len), APISCALE_MMDB_OK);

    n++;
    memcpy(p, (unsigned char[]) { 30, 4, (unsigned char) (n >> 8),
                                  (unsigned char) n }, 4);
    assert_int_equal(data_verdict(p, len), APISCALE_MMDB_VALUE_COUNT);

    free(p);
}


/*
 * Arrays of one element around a long one, of which the innermost is a record,
 * then the one around it, and so on: each is walked to find its end.
 */

static void
test_work(void **state)
{
    size_t          len;
    file_t          f = { NULL, 0 };
    unsigned        i, n;
    unsigned char  *data;

    enum { DEPTH = 30, ENTRIES = 285 + 60000 };

    (void) state;

    len = DEPTH * 2 + 4 + ENTRIES;
    data = malloc(len);
    assert_non_null(data);
    memset(data, 0xa0, len);

    for (i = 0; i < DEPTH; i++) {
        memcpy(data + i * 2, "\x01\x04", 2);
    }

    memcpy(data + DEPTH * 2, "\x1e\x04\xea\x60", 4);

    /* a few are not too many, all of them are */

    for (n = 4; n <= DEPTH; n += DEPTH - 4) {

        for (i = 0; i < n; i++) {
            add_record(&f, n + 16 + 2 * (DEPTH - i));
            add_record(&f, i + 1);
        }

        finish(&f, n, 0, data, len);
        assert_int_equal(verdict(&f), n == 4 ? APISCALE_MMDB_OK
                                             : APISCALE_MMDB_WORK);
    }

    free(data);
}


static void
test_tree(void **state)
{
    file_t    f = { NULL, 0 };
    unsigned  i, bits, n;

    (void) state;

    /* as long as an address, and longer */

    for (bits = 32; bits <= 128; bits += 96) {
        for (n = bits; n <= bits + 1; n++) {
            for (i = 1; i <= n; i++) {
                add_record(&f, i);
                add_record(&f, n + 16);
            }

            finish(&f, n, bits == 128, "\xe0", 1);
            assert_int_equal(verdict(&f), n == bits ? APISCALE_MMDB_OK
                                                : APISCALE_MMDB_TREE_DEPTH);
        }
    }

    /* the longer of two ways, which is found when the other one is done */

    add_record(&f, 2);
    add_record(&f, 1);

    for (i = 1; i < 33; i++) {
        add_record(&f, i + 1);
        add_record(&f, 33);
    }

    finish(&f, 33, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_TREE_DEPTH);

    /* two ways that are short enough */

    add_record(&f, 1);
    add_record(&f, 1);
    add_record(&f, 2);
    add_record(&f, 18);
    finish(&f, 2, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_OK);

    /* loops */

    add_record(&f, 1);
    add_record(&f, 0);
    finish(&f, 1, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_TREE_LOOP);

    add_record(&f, 1);
    add_record(&f, 2);
    add_record(&f, 2);
    add_record(&f, 1);
    finish(&f, 2, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_TREE_LOOP);

    /* out of the data, on either side */

    for (i = 0; i < 20; i++) {
        add_record(&f, 1);
        add_record(&f, 1 + i);
        finish(&f, 1, 0, "\xe0\xe0", 2);
        assert_int_equal(verdict(&f), i == 0 || i == 16 || i == 17
                                      ? APISCALE_MMDB_OK
                                      : APISCALE_MMDB_TREE_RECORD);
    }

    add_record(&f, UINT32_MAX);
    add_record(&f, 1);
    finish(&f, 1, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_TREE_RECORD);
}


/* 24, 28 and 32 bits: the same two records */

static void
test_records(void **state)
{
    char            *size;
    size_t           i, j;
    file_t           f = { NULL, 0 };

    static const struct {
        const char  *node;
        size_t       len;
        char         size;
    } cases[] = {
        { "\x00\x00\x11\x00\x00\x12", 6, 24 },
        { "\x00\x00\x11\x00\x00\x00\x12", 7, 28 },
        { "\x00\x00\x00\x11\x00\x00\x00\x12", 8, 32 },

        /* out of the data by the highest half byte of each */
        { "\x00\x00\x11\x10\x00\x00\x12", 7, 28 },
        { "\x00\x00\x11\x01\x00\x00\x12", 7, 28 }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        add(&f, cases[i].node, cases[i].len);
        finish(&f, 1, 0, "\xe0\xe0", 2);

        for (j = 0; memcmp(f.p + j, "record_size", 11) != 0; j++) { }
        size = (char *) f.p + j + 12;
        *size = cases[i].size;

        assert_int_equal(verdict(&f), i < 3 ? APISCALE_MMDB_OK
                                            : APISCALE_MMDB_TREE_RECORD);
    }
}


static void
test_parts(void **state)
{
    size_t   i, len;
    file_t   f = { NULL, 0 };

    (void) state;

    /* each length but the whole */

    add_record(&f, 1);
    add_record(&f, 17);
    finish(&f, 1, 0, "\xe0", 1);
    len = f.len;

    for (i = 0; i <= len; i++) {
        f.len = i;

        if (i == len) {
            assert_int_equal(verdict(&f), APISCALE_MMDB_OK);

        } else {
            assert_int_not_equal(verdict(&f), APISCALE_MMDB_OK);
        }

        add_record(&f, 1);
        add_record(&f, 17);
        finish(&f, 1, 0, "\xe0", 1);
    }

    /* the gap */

    f.p[8 + 15] = 1;
    assert_int_equal(verdict(&f), APISCALE_MMDB_SEPARATOR);

    /* more nodes than there is room for */

    add_record(&f, 1);
    add_record(&f, 17);
    finish(&f, 2, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_TREE_SIZE);

    add_record(&f, 1);
    add_record(&f, 17);
    finish(&f, 60000, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_TREE_SIZE);

    finish(&f, 0, 0, "\xe0", 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_METADATA);

    add(&f, "no database", 11);
    assert_int_equal(verdict(&f), APISCALE_MMDB_NO_METADATA);

    add(&f, marker, sizeof(marker) - 1);
    assert_int_equal(verdict(&f), APISCALE_MMDB_METADATA);
}


/* each of the members is looked at */

static void
test_metadata(void **state)
{
    size_t     j;
    file_t     f = { NULL, 0 };
    unsigned   i;

    static const struct {
        const char  *name;
        size_t       off;             /* behind the name */
        char         value;
        int          rc;
    } cases[] = {
        { "binary_format_major_version", 1, 3, APISCALE_MMDB_FORMAT },
        { "binary_format_major_version", 0, (char) 0xc1,
          APISCALE_MMDB_METADATA },
        { "binary_format_minor_version", 0, 0x40, APISCALE_MMDB_METADATA },
        { "record_size", 1, 20, APISCALE_MMDB_FORMAT },
        { "record_size", 1, 64, APISCALE_MMDB_FORMAT },
        { "ip_version", 1, 5, APISCALE_MMDB_FORMAT },
        { "ip_version", 0, (char) 0xc1, APISCALE_MMDB_METADATA },
        { "node_count", 0, 0x42, APISCALE_MMDB_METADATA },
        { "build_epoch", 2, 0, APISCALE_MMDB_METADATA },
        { "build_epoch", 1, 3, APISCALE_MMDB_METADATA },
        { "database_type", 0, (char) 0x84, APISCALE_MMDB_METADATA },
        { "languages", 2, (char) 0xa2, APISCALE_MMDB_METADATA },
        { "languages", 1, 5, APISCALE_MMDB_METADATA },
        { "description", 4, (char) 0x81, APISCALE_MMDB_METADATA },
        { "description", 1, (char) 0xa2, APISCALE_MMDB_METADATA }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        add_record(&f, 1);
        add_record(&f, 1);
        finish(&f, 1, 0, "\xe0", 1);

        for (j = 0;
             memcmp(f.p + j, cases[i].name, strlen(cases[i].name)) != 0;
             j++) { }

        j += strlen(cases[i].name) + cases[i].off;
        f.p[j] = (unsigned char) cases[i].value;

        assert_int_equal(verdict(&f), cases[i].rc);

        /* and a name that is not there */

        add_record(&f, 1);
        add_record(&f, 1);
        finish(&f, 1, 0, "\xe0", 1);
        f.p[j - cases[i].off - 1] ^= 1;
        assert_int_equal(verdict(&f), APISCALE_MMDB_METADATA);
    }
}


static void
test_errors(void **state)
{
    int  i;

    (void) state;

    for (i = APISCALE_MMDB_OK; i <= APISCALE_MMDB_WORK; i++) {
        assert_true(strlen(apiscale_mmdb_error((apiscale_mmdb_rc_e) i)) > 8);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_pointer_sizes),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_work),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_errors)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
