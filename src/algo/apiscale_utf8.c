
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_utf8.h"


/*
 * The length, 1 to 4, of the character at "p", of which "len" bytes may be
 * read; 0 if these do not begin with a character (RFC 3629, section 4).
 */

size_t
apiscale_utf8_sequence(const unsigned char *p, size_t len)
{
    size_t         n, i;
    unsigned char  low, high;

    if (len == 0) {
        return 0;
    }

    low = 0x80;
    high = 0xbf;

    if (p[0] < 0x80) {
        return 1;

    } else if (p[0] < 0xc2) {
        return 0;

    } else if (p[0] < 0xe0) {
        n = 2;

    } else if (p[0] < 0xf0) {
        n = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;

    } else if (p[0] < 0xf5) {
        n = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;

    } else {
        return 0;
    }

    if (len < n || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }

    return n;
}
