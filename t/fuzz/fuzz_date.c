
/*
 * Copyright (C) apiscale authors
 */


/* strptime(), timegm() */
#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apiscale_date.h"


#define CHECK(x)  if (!(x)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(int64_t t);


/*
 * The input is a date; its first eight bytes are a time as well.  What is
 * accepted is written, and read again, as the same time.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int      rc;
    int64_t  t;

    t = -42;
    rc = apiscale_date_parse(data, size, &t);

    if (rc == APISCALE_DATE_OK) {
        CHECK(t >= APISCALE_DATE_MIN && t <= APISCALE_DATE_MAX);
        check_written(t);

        /* no prefix of a date is one, but for the date of a date-time */

        CHECK(apiscale_date_parse(data, size - 1, &t)
              == APISCALE_DATE_MALFORMED);

    } else {
        CHECK(rc <= APISCALE_DATE_MALFORMED && rc >= APISCALE_DATE_RANGE);
        CHECK(t == -42);
    }

    if (size >= sizeof(t)) {
        memcpy(&t, data, sizeof(t));
        check_written(t);
        check_written((int64_t) ((uint64_t) t % (APISCALE_DATE_MAX + 1)));
    }

    return 0;
}


static void
check_written(int64_t t)
{
    char           text[APISCALE_DATE_IMF_LEN + 1];
    int64_t        back;
    struct tm      tm, again;
    unsigned char  buf[APISCALE_DATE_IMF_LEN];

    if (t < APISCALE_DATE_MIN || t > APISCALE_DATE_MAX) {
        CHECK(apiscale_date_imf(t, buf) == 0);
        CHECK(apiscale_date_rfc3339(t, buf) == 0);
        return;
    }

    CHECK(apiscale_date_rfc3339(t, buf) == APISCALE_DATE_RFC3339_LEN);
    CHECK(apiscale_date_parse(buf, APISCALE_DATE_RFC3339_LEN, &back)
          == APISCALE_DATE_OK);
    CHECK(back == t);

    CHECK(apiscale_date_imf(t, buf) == APISCALE_DATE_IMF_LEN);

    memcpy(text, buf, APISCALE_DATE_IMF_LEN);
    text[APISCALE_DATE_IMF_LEN] = '\0';

    memset(&tm, 0, sizeof(tm));
    CHECK(strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) != NULL);

    again = tm;
    CHECK(timegm(&again) == t);
    CHECK(again.tm_wday == (t / 86400 + 4) % 7);
    CHECK(strncmp(text, &"SunMonTueWedThuFriSat"[again.tm_wday * 3], 3) == 0);
}
