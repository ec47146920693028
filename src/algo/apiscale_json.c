
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_json.h"
#include "apiscale_utf8.h"

#include <string.h>


static const unsigned char *apiscale_json_plain_value(const unsigned char *p,
    const unsigned char *end, apiscale_json_plain_t *plain,
    apiscale_json_member_t *m);


/*
 * The first byte from "p" on that is not white space, or "end".
 */

const unsigned char *
apiscale_json_space(const unsigned char *p, const unsigned char *end)
{
    while (p < end
           && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    {
        p++;
    }

    return p;
}


/* from behind the opening quote to behind the closing one, NULL without it */

static const unsigned char *
apiscale_json_string(const unsigned char *p, const unsigned char *end)
{
    while (p < end) {

        if (*p == '"') {
            return p + 1;
        }

        if (*p == '\\') {
            p++;
        }

        p++;
    }

    return NULL;
}


/*
 * *last is the end of the value that begins at "p": behind its closing
 * bracket or quote, at the first byte that cannot belong to a number or word,
 * or "end" for a value that is cut off.
 *
 * APISCALE_JSON_LONG if it has more than "max" bytes, APISCALE_JSON_DEEP if
 * arrays and objects lie deeper than "depth" in each other; *last is then the
 * place where this was found.
 */

apiscale_json_rc_e
apiscale_json_extent(const unsigned char *p, const unsigned char *end,
    size_t max, unsigned depth, const unsigned char **last)
{
    unsigned              level;
    const unsigned char  *stop;

    stop = end;

    if ((size_t) (end - p) > max) {
        stop = p + max;
    }

    level = 0;

    while (p < stop) {

        switch (*p++) {

        case '"':
            p = apiscale_json_string(p, stop);
            if (p == NULL) {
                p = stop;
                continue;
            }
            break;

        case '{':
        case '[':
            if (++level > depth) {
                *last = p - 1;
                return APISCALE_JSON_DEEP;
            }
            continue;

        case '}':
        case ']':
            if (level) {
                level--;
            }
            break;

        default:
            if (level == 0 && p < stop
                && strchr("{}[],:\" \t\r\n", *p) == NULL)
            {
                continue;
            }
            break;
        }

        if (level == 0) {
            *last = p;
            return APISCALE_JSON_OK;
        }
    }

    *last = stop;

    return stop == end ? APISCALE_JSON_OK : APISCALE_JSON_LONG;
}


/*
 * The place of the byte at "p" as an editor tells it: lines and columns from
 * 1 on, a column is a character of UTF-8.
 */

void
apiscale_json_place(const unsigned char *start, const unsigned char *p,
    size_t *line, size_t *column)
{
    const unsigned char  *s;

    *line = 1;
    *column = 1;

    for (s = start; s < p; s++) {

        if (*s == '\n') {
            (*line)++;
            *column = 1;

        } else if ((*s & 0xc0) != 0x80) {
            (*column)++;
        }
    }
}


/* a string at "p" without escapes and control bytes */

static const unsigned char *
apiscale_json_plain_text(const unsigned char *p, const unsigned char *end,
    apiscale_json_text_t *text)
{
    size_t  n;

    if (p == end || *p != '"') {
        return NULL;
    }

    text->data = ++p;

    while (p < end && *p >= 0x20 && *p != 0x7f && *p != '"' && *p != '\\') {

        n = *p < 0x80 ? 1 : apiscale_utf8_sequence(p, (size_t) (end - p));

        if (n == 0) {
            return NULL;
        }

        p += n;
    }

    if (p == end || *p != '"') {
        return NULL;
    }

    text->len = (size_t) (p - text->data);

    return p + 1;
}


/*
 * Reads an object whose members are strings and arrays of strings without
 * escapes: what most objects in files of configuration are, and read many
 * times faster so than by a parser of all of JSON.  Returns what follows
 * it; NULL if it is anything else, which may be valid or not.  Texts point
 * into the object.
 */

const unsigned char *
apiscale_json_plain(const unsigned char *p, const unsigned char *end,
    apiscale_json_plain_t *plain)
{
    apiscale_json_member_t  *m;

    plain->nmembers = 0;
    plain->ntexts = 0;

    if (p == end || *p != '{') {
        return NULL;
    }

    do {
        if (plain->nmembers == APISCALE_JSON_MEMBERS) {
            return NULL;
        }

        m = &plain->members[plain->nmembers];

        p = apiscale_json_plain_text(apiscale_json_space(p + 1, end), end,
                                     &m->name);
        if (p == NULL
            || apiscale_json_member(plain, (const char *) m->name.data,
                                    m->name.len))
        {
            return NULL;
        }

        p = apiscale_json_space(p, end);

        if (p == end || *p != ':') {
            return NULL;
        }

        p = apiscale_json_plain_value(apiscale_json_space(p + 1, end), end,
                                      plain, m);
        if (p == NULL) {
            return NULL;
        }

        plain->nmembers++;

        p = apiscale_json_space(p, end);

    } while (p < end && *p == ',');

    return p < end && *p == '}' ? p + 1 : NULL;
}


static const unsigned char *
apiscale_json_plain_value(const unsigned char *p, const unsigned char *end,
    apiscale_json_plain_t *plain, apiscale_json_member_t *m)
{
    m->first = plain->ntexts;
    m->n = 0;
    m->array = 0;

    if (p < end && *p == '[') {
        m->array = 1;
        p = apiscale_json_space(p + 1, end);

        if (p < end && *p == ']') {
            return p + 1;
        }
    }

    for ( ;; ) {
        if (plain->ntexts == APISCALE_JSON_TEXTS) {
            return NULL;
        }

        p = apiscale_json_plain_text(p, end, &plain->texts[plain->ntexts]);
        if (p == NULL) {
            return NULL;
        }

        plain->ntexts++;
        m->n++;

        if (!m->array) {
            return p;
        }

        p = apiscale_json_space(p, end);

        if (p == end || (*p != ',' && *p != ']')) {
            return NULL;
        }

        if (*p++ == ']') {
            return p;
        }

        p = apiscale_json_space(p, end);
    }
}


/*
 * The member of that name, NULL if there is none.
 */

const apiscale_json_member_t *
apiscale_json_member(const apiscale_json_plain_t *plain, const char *name,
    size_t len)
{
    unsigned                       i;
    const apiscale_json_member_t  *m;

    for (i = 0; i < plain->nmembers; i++) {
        m = &plain->members[i];

        if (m->name.len == len && memcmp(m->name.data, name, len) == 0) {
            return m;
        }
    }

    return NULL;
}
