
/*
 * Copyright (C) apiscale authors
 */


/*
 * Finding one's way in a JSON text without parsing it: where a value ends, so
 * that a parser can be given one value at a time, bounded in size and depth
 * before anything is allocated for it; and the line and column of a byte.
 *
 * Depends on stddef.h, string.h and apiscale_utf8.h only.  But for plain
 * objects nothing is validated: a value that is malformed ends somewhere, and
 * the parser will say what is wrong with it.
 */


#ifndef APISCALE_JSON_H_INCLUDED_
#define APISCALE_JSON_H_INCLUDED_


#include <stddef.h>


typedef enum {
    APISCALE_JSON_OK = 0,
    APISCALE_JSON_DEEP,
    APISCALE_JSON_LONG
} apiscale_json_rc_e;


#define APISCALE_JSON_MEMBERS  8
#define APISCALE_JSON_TEXTS    32


typedef struct {
    const unsigned char  *data;
    size_t                len;
} apiscale_json_text_t;


/* a string, or an array of strings: of the texts from "first" on */

typedef struct {
    apiscale_json_text_t  name;
    unsigned              first;
    unsigned              n;
    unsigned              array;
} apiscale_json_member_t;


typedef struct {
    unsigned                nmembers;
    unsigned                ntexts;
    apiscale_json_member_t  members[APISCALE_JSON_MEMBERS];
    apiscale_json_text_t    texts[APISCALE_JSON_TEXTS];
} apiscale_json_plain_t;


const unsigned char *apiscale_json_plain(const unsigned char *p,
    const unsigned char *end, apiscale_json_plain_t *plain);
const apiscale_json_member_t *apiscale_json_member(
    const apiscale_json_plain_t *plain, const char *name, size_t len);
const unsigned char *apiscale_json_space(const unsigned char *p,
    const unsigned char *end);
apiscale_json_rc_e apiscale_json_extent(const unsigned char *p,
    const unsigned char *end, size_t max, unsigned depth,
    const unsigned char **last);
void apiscale_json_place(const unsigned char *start, const unsigned char *p,
    size_t *line, size_t *column);


#endif /* APISCALE_JSON_H_INCLUDED_ */
