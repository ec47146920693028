
/*
 * Copyright (C) apiscale authors
 */


#include "apiscale_rate.h"


static size_t apiscale_rate_number(const unsigned char *p, size_t len,
    uint64_t *value);
static uint64_t apiscale_rate_unit(unsigned char ch);


/*
 * Parses Nr/PERIOD, where PERIOD is an optional count and one of s m h d w,
 * into requests per seconds: "1000r/15m" is 1000 and 900.
 *
 * APISCALE_RATE_OK, or with nothing written _MALFORMED, _ZERO (a zero N or
 * count), _OVERFLOW (N or the period above its maximum), _RANGE (slower than
 * one a week, or faster than a million a second), the first that applies.
 */
int
apiscale_rate_parse(const unsigned char *p, size_t len, uint64_t *n,
    uint64_t *period_s)
{
    size_t    i, digits;
    uint64_t  requests, count, unit;

    i = apiscale_rate_number(p, len, &requests);

    if (i == 0 || len - i < 2 || p[i] != 'r' || p[i + 1] != '/') {
        return APISCALE_RATE_MALFORMED;
    }

    i += 2;

    digits = apiscale_rate_number(p + i, len - i, &count);

    if (digits == 0) {
        count = 1;
    }

    i += digits;

    if (len - i != 1) {
        return APISCALE_RATE_MALFORMED;
    }

    unit = apiscale_rate_unit(p[i]);

    if (unit == 0) {
        return APISCALE_RATE_MALFORMED;
    }

    if (requests == 0 || count == 0) {
        return APISCALE_RATE_ZERO;
    }

    if (requests > APISCALE_RATE_MAX_N
        || count > APISCALE_RATE_MAX_PERIOD_S / unit)
    {
        return APISCALE_RATE_OVERFLOW;
    }

    count *= unit;

    /* multiplied, not divided: a limit is not blurred by a remainder */

    if (count > requests * APISCALE_RATE_SLOWEST_S
        || count * APISCALE_RATE_FASTEST < requests)
    {
        return APISCALE_RATE_RANGE;
    }

    *n = requests;
    *period_s = count;

    return APISCALE_RATE_OK;
}


/*
 * The time between two requests of "n" per "period_s" seconds in ticks of
 * 2^-10 us.  Rounded up, so that the rate is never exceeded; at up to
 * a million requests a second that is less than 0.1 % too slow.  0 for
 * arguments that apiscale_rate_parse() does not return.
 */
uint64_t
apiscale_rate_interval(uint64_t n, uint64_t period_s)
{
    uint64_t  ticks;

    if (n == 0 || period_s > APISCALE_RATE_MAX_PERIOD_S) {
        return 0;
    }

    ticks = period_s * APISCALE_RATE_TICKS_PER_S;

    return ticks / n + (ticks % n != 0);
}


/*
 * Reads decimal digits, returns how many there are.  A number that is above
 * both maxima stays there however long it is.
 */
static size_t
apiscale_rate_number(const unsigned char *p, size_t len, uint64_t *value)
{
    size_t    i;
    uint64_t  v;

    v = 0;

    for (i = 0; i < len && p[i] >= '0' && p[i] <= '9'; i++) {

        if (v <= APISCALE_RATE_MAX_PERIOD_S) {
            v = v * 10 + (p[i] - '0');
        }
    }

    *value = v;

    return i;
}


/* seconds in a unit of time, 0 if it is none */
static uint64_t
apiscale_rate_unit(unsigned char ch)
{
    switch (ch) {

    case 's':
        return 1;

    case 'm':
        return 60;

    case 'h':
        return 3600;

    case 'd':
        return 86400;

    case 'w':
        return 604800;

    default:
        return 0;
    }
}
