
/*
 * Copyright (C) apiscale authors
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apiscale_json.h"


#define CHECK(x)  if (!(x)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* what is plain ends where any value ends, and consists of texts within */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                         line, column, i;
    unsigned                       k;
    const uint8_t                 *end, *p, *last, *next;
    apiscale_json_rc_e             rc;
    apiscale_json_plain_t          plain;
    const apiscale_json_text_t    *t;
    const apiscale_json_member_t  *m;

    end = data + size;
    p = apiscale_json_space(data, end);
    CHECK(p >= data && p <= end);

    rc = apiscale_json_extent(p, end, 64, 4, &last);
    CHECK(last >= p && last <= end);
    CHECK(rc != APISCALE_JSON_LONG || last - p == 64);
    CHECK(rc != APISCALE_JSON_DEEP || *last == '{' || *last == '[');

    rc = apiscale_json_extent(p, end, size, 2, &last);
    CHECK(rc != APISCALE_JSON_LONG);

    next = apiscale_json_plain(p, end, &plain);

    if (next) {
        CHECK(rc == APISCALE_JSON_OK && next == last);
        CHECK(plain.nmembers >= 1 && plain.nmembers <= APISCALE_JSON_MEMBERS);
        CHECK(plain.ntexts <= APISCALE_JSON_TEXTS);

        for (k = 0; k < plain.nmembers; k++) {
            m = &plain.members[k];
            CHECK(m->first + m->n <= plain.ntexts);
            CHECK(m->array || m->n == 1);
            CHECK(apiscale_json_member(&plain, (const char *) m->name.data,
                                       m->name.len)
                  == m);
        }

        for (k = 0; k < plain.ntexts; k++) {
            t = &plain.texts[k];
            CHECK(t->data > p && t->data + t->len < next);
            CHECK(t->data[-1] == '"' && t->data[t->len] == '"');

            for (i = 0; i < t->len; i++) {
                CHECK(t->data[i] >= 0x20 && strchr("\"\\\x7f", t->data[i])
                                            == NULL);
            }
        }
    }

    apiscale_json_place(data, p, &line, &column);
    CHECK(line >= 1 && column >= 1 && line + column <= size + 2);

    return 0;
}
