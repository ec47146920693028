
/*
 * Copyright (C) apiscale authors
 */


#include <string.h>

#include "apiscale_version.h"


/* a length that did not fit */
#define APISCALE_VERSION_FULL  ((size_t) -1)


/* the path of a request target, read one decoded character at a time */
typedef struct {
    const unsigned char  *p;              /* the next raw byte */
    const unsigned char  *end;
    const unsigned char  *at;             /* where the last one began */
    unsigned char         ch;             /* the last one, decoded */
    unsigned char         merge;          /* runs of slashes are one */
    unsigned char         merged;         /* slashes before it were */
} apiscale_version_reader_t;


static size_t apiscale_version_base(const unsigned char *prefix, size_t plen);
static int apiscale_version_under(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t base);
static int apiscale_version_find(const unsigned char *token, size_t len,
    const apiscale_version_name_t *names, unsigned nnames);
static size_t apiscale_version_append(unsigned char *out, size_t size,
    size_t n, const unsigned char *p, size_t len);
static const unsigned char *apiscale_version_locate(
    apiscale_version_reader_t *rd, const unsigned char *prefix, size_t plen,
    const unsigned char *seg, size_t slen);
static int apiscale_version_match(apiscale_version_reader_t *rd,
    const unsigned char *p, size_t len);
static int apiscale_version_read(apiscale_version_reader_t *rd);
static int apiscale_version_hex(unsigned char ch);
static int apiscale_version_dots(const unsigned char *p,
    const unsigned char *end);


/*
 * 1 if "uri" is the prefix or lies under it: "/api" has /api and /api/x,
 * not /apix.  0 if not.
 */
int
apiscale_version_prefix(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t plen)
{
    return apiscale_version_under(uri, len, prefix,
                                  apiscale_version_base(prefix, plen));
}


/*
 * Finds the version in "uri": the segment right after the prefix, if it is
 * "v" and a name in full, or "v" and a digit.  Case matters; "v01" is the
 * token "01".
 *
 * APISCALE_VERSION_OK with *seg set, its name being APISCALE_VERSION_UNKNOWN
 * when the token is none of "names"; _DECLINED if no version is asked.
 */
int
apiscale_version_segment(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t plen,
    const apiscale_version_name_t *names, unsigned nnames,
    apiscale_version_segment_t *seg)
{
    size_t                off, n;
    const unsigned char  *slash;

    plen = apiscale_version_base(prefix, plen);

    if (!apiscale_version_under(uri, len, prefix, plen)) {
        return APISCALE_VERSION_DECLINED;
    }

    off = plen + 1;

    if (off >= len || uri[off] != 'v') {
        return APISCALE_VERSION_DECLINED;
    }

    slash = memchr(uri + off, '/', len - off);
    n = slash != NULL ? (size_t) (slash - uri) - off : len - off;

    if (n == 1) {
        return APISCALE_VERSION_DECLINED;
    }

    seg->token = uri + off + 1;
    seg->token_len = n - 1;
    seg->off = off;
    seg->len = n;
    seg->name = apiscale_version_find(seg->token, seg->token_len, names,
                                      nnames);

    if (seg->name == APISCALE_VERSION_UNKNOWN
        && (*seg->token < '0' || *seg->token > '9'))
    {
        return APISCALE_VERSION_DECLINED;
    }

    return APISCALE_VERSION_OK;
}


/*
 * Writes "uri" without "seg", which apiscale_version_segment() found in it,
 * and the slash before: "/api/v1" is "/api", "/api/v1/" is "/api/", and "/v1"
 * is "/".  Returns the length, at most that of "uri"; 0 if it exceeds "size".
 */
size_t
apiscale_version_strip(const unsigned char *uri, size_t len,
    const apiscale_version_segment_t *seg, unsigned char *out, size_t size)
{
    size_t  n;

    n = apiscale_version_append(out, size, 0, uri, seg->off - 1);
    n = apiscale_version_append(out, size, n, uri + seg->off + seg->len,
                                len - seg->off - seg->len);
    if (n == 0) {
        n = apiscale_version_append(out, size, n,
                                    (const unsigned char *) "/", 1);
    }

    return n != APISCALE_VERSION_FULL ? n : 0;
}


/*
 * Writes "uri" with "/v" and "name" after the prefix, in the place of "seg"
 * when that is not NULL.  Stripped again it is what it was before, or what
 * apiscale_version_strip() makes of it.
 *
 * Returns the length, at most len + 2 + nlen; 0 if that exceeds "size" or
 * "uri" is not under the prefix.
 */
size_t
apiscale_version_insert(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t plen,
    const apiscale_version_segment_t *seg, const unsigned char *name,
    size_t nlen, unsigned char *out, size_t size)
{
    size_t  n, base, rest;

    if (!apiscale_version_prefix(uri, len, prefix, plen)) {
        return 0;
    }

    base = apiscale_version_base(prefix, plen);
    rest = seg != NULL ? seg->off + seg->len : base;

    n = apiscale_version_append(out, size, 0, uri, base);
    n = apiscale_version_append(out, size, n, (const unsigned char *) "/v", 2);
    n = apiscale_version_append(out, size, n, name, nlen);
    n = apiscale_version_append(out, size, n, uri + rest, len - rest);

    return n != APISCALE_VERSION_FULL ? n : 0;
}


/*
 * Finds the version segment "seg" ("v1") after the prefix in "raw", a request
 * target in the client's own encoding.  Percent-encoding and, with
 * "merge_slashes" as in nginx, empty segments are seen through.
 *
 * APISCALE_VERSION_OK with *off the offset of the slash before the segment
 * and *cut the length of both.  _DECLINED if the path has not one place for
 * the segment, or the normalised URI would not change alike: "." or ".."
 * segments, however encoded; slashes around the segment that are encoded;
 * empty segments before it when it ends the path; "#"; encodings that are
 * malformed.
 */
int
apiscale_version_find_raw(const unsigned char *raw, size_t len,
    const unsigned char *prefix, size_t plen, const unsigned char *seg,
    size_t slen, int merge_slashes, size_t *off, size_t *cut)
{
    const unsigned char        *args, *start;
    apiscale_version_reader_t   rd;

    if (len == 0 || raw[0] != '/' || slen == 0
        || memchr(raw, '#', len) != NULL)
    {
        return APISCALE_VERSION_DECLINED;
    }

    args = memchr(raw, '?', len);

    memset(&rd, 0, sizeof(apiscale_version_reader_t));

    rd.p = raw;
    rd.end = args != NULL ? args : raw + len;
    rd.merge = merge_slashes != 0;

    if (apiscale_version_dots(rd.p, rd.end)) {
        return APISCALE_VERSION_DECLINED;
    }

    start = apiscale_version_locate(&rd, prefix, plen, seg, slen);

    if (start == NULL) {
        return APISCALE_VERSION_DECLINED;
    }

    *off = (size_t) (start - 1 - raw);
    *cut = (size_t) (rd.p - start + 1);

    return APISCALE_VERSION_OK;
}


/*
 * Cuts the segment that apiscale_version_find_raw() finds out of "raw" and
 * leaves every other byte as it was: "//api/v1/a%2Fb?x" is "//api/a%2Fb?x".
 *
 * APISCALE_VERSION_OK with *outlen set, at most "len"; _NOSPACE if it exceeds
 * "size"; _DECLINED if there is no place to cut, or what is left would not be
 * the same resource as the stripped URI: empty segments after a segment that
 * begins the path.  The caller then escapes the stripped URI.
 */
int
apiscale_version_cut_raw(const unsigned char *raw, size_t len,
    const unsigned char *prefix, size_t plen, const unsigned char *seg,
    size_t slen, int merge_slashes, unsigned char *out, size_t size,
    size_t *outlen)
{
    int     rc;
    size_t  n, off, cut;

    rc = apiscale_version_find_raw(raw, len, prefix, plen, seg, slen,
                                   merge_slashes, &off, &cut);

    if (rc != APISCALE_VERSION_OK) {
        return rc;
    }

    /*
     * "/v1//host" and "//v1/host" would leave "//host", in a redirect another
     * site; with a longer prefix what follows is not for the client to choose
     */

    for (n = 0; n < len && raw[n] == '/'; n++) { /* void */ }

    if (apiscale_version_base(prefix, plen) == 0
        && (n > 1 || (off + cut + 1 < len && raw[off + cut] == '/'
                      && raw[off + cut + 1] == '/')))
    {
        return APISCALE_VERSION_DECLINED;
    }

    n = apiscale_version_append(out, size, 0, raw, off);

    raw += off + cut;
    len -= off + cut;

    if (n == 0 && (len == 0 || raw[0] != '/')) {
        n = apiscale_version_append(out, size, n,
                                    (const unsigned char *) "/", 1);
    }

    n = apiscale_version_append(out, size, n, raw, len);

    if (n == APISCALE_VERSION_FULL) {
        return APISCALE_VERSION_NOSPACE;
    }

    *outlen = n;

    return APISCALE_VERSION_OK;
}


/* the length of a prefix without slashes at its end: none for "/" */
static size_t
apiscale_version_base(const unsigned char *prefix, size_t plen)
{
    while (plen > 0 && prefix[plen - 1] == '/') {
        plen--;
    }

    return plen;
}


/* apiscale_version_prefix() once the length of the prefix is known */
static int
apiscale_version_under(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t base)
{
    if (len <= base) {
        return len == base && len != 0 && memcmp(uri, prefix, base) == 0;
    }

    /* the cheapest test first */

    return uri[base] == '/'
           && (base == 0 || memcmp(uri, prefix, base) == 0);
}


static int
apiscale_version_find(const unsigned char *token, size_t len,
    const apiscale_version_name_t *names, unsigned nnames)
{
    unsigned  i;

    for (i = 0; i < nnames; i++) {

        if (names[i].len == len && names[i].data[0] == token[0]
            && memcmp(names[i].data, token, len) == 0)
        {
            return (int) i;
        }
    }

    return APISCALE_VERSION_UNKNOWN;
}


/* once something did not fit, the length stays APISCALE_VERSION_FULL */
static size_t
apiscale_version_append(unsigned char *out, size_t size, size_t n,
    const unsigned char *p, size_t len)
{
    if (n == APISCALE_VERSION_FULL || len > size - n) {
        return APISCALE_VERSION_FULL;
    }

    if (len != 0) {
        memcpy(out + n, p, len);
    }

    return n + len;
}


/*
 * Reads the prefix and the segment.  Returns where the segment begins, after
 * a plain slash; NULL if they are not there, or not apart from the rest.
 */
static const unsigned char *
apiscale_version_locate(apiscale_version_reader_t *rd,
    const unsigned char *prefix, size_t plen, const unsigned char *seg,
    size_t slen)
{
    int                   merged;
    const unsigned char  *start;

    plen = apiscale_version_base(prefix, plen);

    if (!apiscale_version_match(rd, prefix, plen)
        || !apiscale_version_match(rd, (const unsigned char *) "/", 1)
        || !apiscale_version_match(rd, seg, 1))
    {
        return NULL;
    }

    start = rd->at;
    merged = rd->merged;

    if (start[-1] != '/' || !apiscale_version_match(rd, seg + 1, slen - 1)) {
        return NULL;
    }

    /* "/api//v1" would leave "/api/", which is not "/api" */

    if (rd->p == rd->end ? merged : *rd->p != '/') {
        return NULL;
    }

    return start;
}


/* 1 if the next characters are these */
static int
apiscale_version_match(apiscale_version_reader_t *rd, const unsigned char *p,
    size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        if (!apiscale_version_read(rd) || rd->ch != p[i]) {
            return 0;
        }
    }

    return 1;
}


/*
 * Reads a character.  0 at the end and when its encoding is malformed.  An
 * encoded slash is merged like a plain one, as nginx does it.
 */
static int
apiscale_version_read(apiscale_version_reader_t *rd)
{
    int            hi, lo;
    unsigned char  ch;

    rd->merged = 0;

    for ( ;; ) {

        if (rd->p == rd->end) {
            return 0;
        }

        rd->at = rd->p;
        ch = *rd->p++;

        if (ch == '%') {

            if (rd->end - rd->p < 2) {
                return 0;
            }

            hi = apiscale_version_hex(rd->p[0]);
            lo = apiscale_version_hex(rd->p[1]);

            if (hi < 0 || lo < 0) {
                return 0;
            }

            ch = (unsigned char) (hi << 4 | lo);
            rd->p += 2;
        }

        if (!rd->merge || ch != '/' || rd->ch != '/') {
            rd->ch = ch;
            return 1;
        }

        rd->merged = 1;
    }
}


static int
apiscale_version_hex(unsigned char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}


/* 1 if any segment is "." or "..", or any encoding is malformed */
static int
apiscale_version_dots(const unsigned char *p, const unsigned char *end)
{
    size_t                      n, dots;
    apiscale_version_reader_t   rd;

    memset(&rd, 0, sizeof(apiscale_version_reader_t));

    rd.p = p;
    rd.end = end;

    n = 0;
    dots = 0;

    while (rd.p < rd.end) {

        if (!apiscale_version_read(&rd)) {
            return 1;
        }

        if (rd.ch != '/') {
            n++;
            dots += (rd.ch == '.');
            continue;
        }

        if (n == dots && (n == 1 || n == 2)) {
            return 1;
        }

        n = 0;
        dots = 0;
    }

    return n == dots && (n == 1 || n == 2);
}
