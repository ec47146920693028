
/*
 * Copyright (C) apiscale authors
 */


/* memmem() */
#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "apiscale_version.h"


#define CHECK(x)  if (!(x)) { abort(); }

#define U(s)  ((const unsigned char *) (s))


typedef struct {
    unsigned char  *data;
    size_t          len;
    int             dots;                 /* has "." or ".." */
    int             slashes;              /* has encoded ones */
    int             bad;                  /* has malformed encodings */
} path_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_uri(const unsigned char *uri, size_t len,
    const char *prefix);
static void check_raw(const unsigned char *raw, size_t len,
    const char *prefix, int merge);
static void check_replaced(const unsigned char *raw, size_t end,
    const char *prefix, int merge, const path_t *path,
    const apiscale_version_segment_t *seg);
static void normalise(const unsigned char *raw, size_t len, int merge,
    path_t *path);

static const apiscale_version_name_t  names[] = {
    { U("1"), 1 }, { U("2"), 1 }, { U("latest"), 6 }
};


/* the first byte chooses the prefix and merge_slashes, the rest is a path */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char  *copy;

    static const char  *prefixes[] = { "/", "/api", "/a/b", "/api/" };

    if (size == 0) {
        return 0;
    }

    /* exactly as long as said, for the sanitizer */

    copy = malloc(size - 1);
    CHECK(copy != NULL || size == 1);

    if (size > 1) {
        memcpy(copy, data + 1, size - 1);
    }

    check_uri(copy, size - 1, prefixes[data[0] % 4]);
    check_raw(copy, size - 1, prefixes[data[0] % 4], (data[0] & 4) == 0);

    free(copy);

    return 0;
}


/*
 * Inserting a version is found again and stripped to what was there, and
 * replacing one changes the segment alone.
 */
static void
check_uri(const unsigned char *uri, size_t len, const char *prefix)
{
    int                          found;
    size_t                       n, m, plen;
    unsigned char               *with, *without;
    apiscale_version_segment_t   seg, again;

    plen = strlen(prefix);

    with = malloc(len + 8);
    without = malloc(len + 8);
    CHECK(with != NULL && without != NULL);

    found = apiscale_version_segment(uri, len, U(prefix), plen, names, 3,
                                     &seg)
            == APISCALE_VERSION_OK;

    n = apiscale_version_insert(uri, len, U(prefix), plen, NULL, U("latest"),
                                6, with, len + 8);

    CHECK((n != 0) == apiscale_version_prefix(uri, len, U(prefix), plen));

    if (n == 0) {
        CHECK(!found);
        goto done;
    }

    CHECK(n == len + 8);
    CHECK(apiscale_version_segment(with, n, U(prefix), plen, names, 3, &again)
          == APISCALE_VERSION_OK);
    CHECK(again.name == 2 && again.token_len == 6);

    m = apiscale_version_strip(with, n, &again, without, n);
    CHECK(m == len && memcmp(without, uri, len) == 0);

    if (!found) {
        goto done;
    }

    CHECK(seg.off + seg.len <= len && seg.token == uri + seg.off + 1);
    CHECK(memchr(uri + seg.off, '/', seg.len) == NULL);

    m = apiscale_version_strip(uri, len, &seg, without, len);
    CHECK(m != 0 && m <= len && without[0] == '/');
    CHECK(m == len - seg.len - 1 || m == 1);

    n = apiscale_version_insert(uri, len, U(prefix), plen, &seg, seg.token,
                                seg.token_len, with, len);
    CHECK(n == len && memcmp(with, uri, len) == 0);

    CHECK(apiscale_version_insert(uri, len, U(prefix), plen, &seg, U("2"), 1,
                                  with, len + 7)
          == len - seg.token_len + 1);

done:

    free(with);
    free(without);
}


/*
 * What is cut from the raw path normalises to what is stripped from the
 * normalised one, the arguments stay, and only odd paths are declined.
 */
static void
check_raw(const unsigned char *raw, size_t len, const char *prefix, int merge)
{
    int                          rc;
    size_t                       n, m, end, out_end;
    path_t                       path, cut;
    unsigned char               *out, *stripped;
    const unsigned char         *args;
    apiscale_version_segment_t   seg;

    args = len != 0 ? memchr(raw, '?', len) : NULL;
    end = args != NULL ? (size_t) (args - raw) : len;

    normalise(raw, end, merge, &path);

    if (apiscale_version_segment(path.data, path.len, U(prefix),
                                 strlen(prefix), names, 3, &seg)
        != APISCALE_VERSION_OK)
    {
        free(path.data);
        return;
    }

    check_replaced(raw, end, prefix, merge, &path, &seg);

    out = malloc(len);
    stripped = malloc(path.len);
    CHECK(out != NULL && stripped != NULL);

    rc = apiscale_version_cut_raw(raw, len, U(prefix), strlen(prefix),
                                  path.data + seg.off, seg.len, merge, out,
                                  len, &n);

    CHECK(rc != APISCALE_VERSION_NOSPACE);

    if (rc == APISCALE_VERSION_OK) {
        CHECK(!path.dots && !path.bad && n <= len && out[0] == '/');
        CHECK(raw[1] == '/' || n < 2 || out[1] != '/');

        out_end = n - (len - end);
        CHECK(memcmp(out + out_end, raw + end, len - end) == 0);

        normalise(out, out_end, merge, &cut);
        CHECK(!cut.dots && !cut.bad);

        m = apiscale_version_strip(path.data, path.len, &seg, stripped,
                                   path.len);
        CHECK(m == cut.len && memcmp(stripped, cut.data, m) == 0);

        free(cut.data);

        /* one byte less does not fit */

        CHECK(apiscale_version_cut_raw(raw, len, U(prefix), strlen(prefix),
                                       path.data + seg.off, seg.len, merge,
                                       out, n - 1, &m)
              == APISCALE_VERSION_NOSPACE);

    } else {
        CHECK(path.dots || path.bad || path.slashes
              || memchr(raw, '#', len) != NULL
              || memmem(raw, end, "//", 2) != NULL
              || raw[0] != '/');
    }

    free(out);
    free(stripped);
    free(path.data);
}


/* another version in the place of the segment is that in the URI, too */
static void
check_replaced(const unsigned char *raw, size_t end, const char *prefix,
    int merge, const path_t *path, const apiscale_version_segment_t *seg)
{
    size_t          n, off, cut;
    path_t          replaced;
    unsigned char  *out, *uri;

    if (apiscale_version_find_raw(raw, end, U(prefix), strlen(prefix),
                                  path->data + seg->off, seg->len, merge,
                                  &off, &cut)
        != APISCALE_VERSION_OK)
    {
        return;
    }

    CHECK(off + cut <= end && cut > seg->len && raw[off] == '/');

    out = malloc(end + 3);
    uri = malloc(path->len + 3);
    CHECK(out != NULL && uri != NULL);

    memcpy(out, raw, off);
    memcpy(out + off, "/v2", 3);
    memcpy(out + off + 3, raw + off + cut, end - off - cut);

    normalise(out, end - cut + 3, merge, &replaced);

    n = apiscale_version_insert(path->data, path->len, U(prefix),
                                strlen(prefix), seg, U("2"), 1, uri,
                                path->len + 3);

    CHECK(n == replaced.len && memcmp(uri, replaced.data, n) == 0);

    free(replaced.data);
    free(out);
    free(uri);
}


/* another implementation, whole segments at a time */
static void
normalise(const unsigned char *raw, size_t len, int merge, path_t *path)
{
    size_t          i, n, start;
    unsigned        ch;
    unsigned char  *p;

    memset(path, 0, sizeof(path_t));

    p = malloc(len + 1);
    CHECK(p != NULL);

    for (i = 0, n = 0; i < len; i++) {
        ch = raw[i];

        if (ch == '%') {

            if (len - i < 3
                || strspn((char[]) { (char) raw[i + 1], 0 },
                          "0123456789abcdefABCDEF") == 0
                || strspn((char[]) { (char) raw[i + 2], 0 },
                          "0123456789abcdefABCDEF") == 0)
            {
                path->bad = 1;

            } else {
                ch = (unsigned) strtoul((char[]) { (char) raw[i + 1],
                                                   (char) raw[i + 2], 0 },
                                        NULL, 16);
                path->slashes |= ch == '/';
                i += 2;
            }
        }

        if (!merge || ch != '/' || n == 0 || p[n - 1] != '/') {
            p[n++] = (unsigned char) ch;
        }
    }

    for (i = 0, start = 0; i <= n; i++) {

        if (i == n || p[i] == '/') {
            path->dots |= (i - start == 1 && p[start] == '.')
                          || (i - start == 2 && p[start] == '.'
                              && p[start + 1] == '.');
            start = i + 1;
        }
    }

    path->data = p;
    path->len = n;
}
