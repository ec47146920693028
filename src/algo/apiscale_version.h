
/*
 * Copyright (C) apiscale authors
 */


/*
 * The version segment of a path: "/api/v1/users" under the prefix "/api".
 * Pure C: depends on the standard headers alone; writes into the caller's
 * buffers and never past their size.
 *
 * "uri" is a path as nginx normalises it (decoded, dot segments resolved,
 * no arguments); "raw" is the request target as the client sent it.  Strings
 * carry a length, NUL is a byte like any other.  A prefix begins with "/";
 * a "/" at its end means nothing, so that "/api/" is "/api" and "/" is all.
 */


#ifndef APISCALE_VERSION_H_INCLUDED_
#define APISCALE_VERSION_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define APISCALE_VERSION_OK        0
#define APISCALE_VERSION_DECLINED  -1
#define APISCALE_VERSION_NOSPACE   -2

#define APISCALE_VERSION_UNKNOWN   -1


/* a version or an alias as declared, without "v"; an empty never matches */
typedef struct {
    const unsigned char  *data;
    size_t                len;
} apiscale_version_name_t;


typedef struct {
    const unsigned char  *token;        /* into uri: what follows "v" */
    size_t                token_len;

    size_t                off;          /* of the segment's "v" in uri */
    size_t                len;          /* of the segment, with "v" */

    int                   name;         /* index, APISCALE_VERSION_UNKNOWN */
} apiscale_version_segment_t;


int apiscale_version_prefix(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t plen);
int apiscale_version_segment(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t plen,
    const apiscale_version_name_t *names, unsigned nnames,
    apiscale_version_segment_t *seg);

/* both return the length written, 0 when that is not possible */
size_t apiscale_version_strip(const unsigned char *uri, size_t len,
    const apiscale_version_segment_t *seg, unsigned char *out, size_t size);
size_t apiscale_version_insert(const unsigned char *uri, size_t len,
    const unsigned char *prefix, size_t plen,
    const apiscale_version_segment_t *seg, const unsigned char *name,
    size_t nlen, unsigned char *out, size_t size);

int apiscale_version_find_raw(const unsigned char *raw, size_t len,
    const unsigned char *prefix, size_t plen, const unsigned char *seg,
    size_t slen, int merge_slashes, size_t *off, size_t *cut);
int apiscale_version_cut_raw(const unsigned char *raw, size_t len,
    const unsigned char *prefix, size_t plen, const unsigned char *seg,
    size_t slen, int merge_slashes, unsigned char *out, size_t size,
    size_t *outlen);


#endif /* APISCALE_VERSION_H_INCLUDED_ */
