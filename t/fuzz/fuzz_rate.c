
/*
 * Copyright (C) apiscale authors
 */


#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apiscale_rate.h"


#define CHECK(x)  if (!(x)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* what is accepted, written in seconds, means the same; nothing else does */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                rc, len;
    char               text[64];
    uint64_t           n, period_s, n2, period2_s, ticks;
    unsigned __int128  span;

    n = 0;
    period_s = 0;

    rc = apiscale_rate_parse(data, size, &n, &period_s);

    if (rc != APISCALE_RATE_OK) {
        CHECK(rc <= APISCALE_RATE_MALFORMED && rc >= APISCALE_RATE_RANGE);
        CHECK(n == 0 && period_s == 0);
        return 0;
    }

    CHECK(n >= 1 && n <= APISCALE_RATE_MAX_N);
    CHECK(period_s >= 1 && period_s <= APISCALE_RATE_MAX_PERIOD_S);

    ticks = apiscale_rate_interval(n, period_s);

    CHECK(ticks >= 1024 && ticks <= UINT64_C(604800) * 1024000000);

    span = (unsigned __int128) period_s * 1024000000;

    CHECK((unsigned __int128) ticks * n >= span);
    CHECK((unsigned __int128) (ticks - 1) * n < span);

    len = snprintf(text, sizeof(text), "%" PRIu64 "r/%" PRIu64 "s", n,
                   period_s);

    CHECK(apiscale_rate_parse((unsigned char *) text, (size_t) len, &n2,
                              &period2_s)
          == APISCALE_RATE_OK);
    CHECK(n2 == n && period2_s == period_s);

    /* no prefix of a rate is one */

    CHECK(apiscale_rate_parse(data, size - 1, &n2, &period2_s)
          == APISCALE_RATE_MALFORMED);

    return 0;
}
