
/*
 * Copyright (C) apiscale authors
 */


#include <string.h>

#include "apiscale_date.h"


#define APISCALE_DATE_DAY_S  86400


typedef struct {
    unsigned  year;
    unsigned  month;                      /* 1..12 */
    unsigned  day;                        /* 1..31 */
    unsigned  hour;
    unsigned  min;
    unsigned  sec;
    int       offset;                     /* local time - UTC, seconds */
} apiscale_date_fields_t;


static int apiscale_date_number(const unsigned char *p, size_t digits,
    unsigned *value);
static int apiscale_date_fields(const unsigned char *p, size_t len,
    apiscale_date_fields_t *f);
static int apiscale_date_time(const unsigned char *p, size_t len,
    apiscale_date_fields_t *f);
static int apiscale_date_offset(const unsigned char *p, size_t len,
    int *offset);
static int apiscale_date_possible(const apiscale_date_fields_t *f);
static int64_t apiscale_date_days(unsigned year, unsigned month,
    unsigned day);
static void apiscale_date_civil(int64_t unix_s, apiscale_date_fields_t *f);
static unsigned char *apiscale_date_digits(unsigned char *p, unsigned value,
    unsigned digits);


/*
 * Parses a full-date (00:00 UTC) or a date-time of RFC 3339, section 5.6,
 * into Unix seconds.  "T" and "Z" may be lower case, nothing else stands in
 * for "T"; a fraction of a second is cut off.  A leap second is accepted where
 * section 5.7 places them, at the end of June or December, UTC, and means
 * the second after it, as Unix time has none.
 *
 * APISCALE_DATE_OK, or with *unix_s untouched _MALFORMED, _IMPOSSIBLE
 * (2026-02-30, 24:00:00), _RANGE (before 1970 or after 9999, in UTC).
 */
int
apiscale_date_parse(const unsigned char *p, size_t len, int64_t *unix_s)
{
    int                     rc;
    int64_t                 t;
    apiscale_date_fields_t  f, utc;

    rc = apiscale_date_fields(p, len, &f);

    if (rc != APISCALE_DATE_OK) {
        return rc;
    }

    if (!apiscale_date_possible(&f)) {
        return APISCALE_DATE_IMPOSSIBLE;
    }

    t = apiscale_date_days(f.year, f.month, f.day) * APISCALE_DATE_DAY_S
        + f.hour * 3600 + f.min * 60 + f.sec - f.offset;

    if (t < APISCALE_DATE_MIN || t > APISCALE_DATE_MAX) {
        return APISCALE_DATE_RANGE;
    }

    if (f.sec == 60) {
        apiscale_date_civil(t, &utc);

        if (t % APISCALE_DATE_DAY_S != 0 || utc.day != 1
            || (utc.month != 1 && utc.month != 7))
        {
            return APISCALE_DATE_IMPOSSIBLE;
        }
    }

    *unix_s = t;

    return APISCALE_DATE_OK;
}


/*
 * Writes an IMF-fixdate, "Tue, 30 Jun 2026 00:00:00 GMT" (RFC 9110, section
 * 5.6.7), into "buf" of at least APISCALE_DATE_IMF_LEN bytes.  Returns that
 * length, or 0, with nothing written, for a time outside of 1970..9999.
 */
size_t
apiscale_date_imf(int64_t unix_s, unsigned char *buf)
{
    unsigned char           *p;
    apiscale_date_fields_t   f;

    /* 1970-01-01 was a Thursday */

    static const char  days[] = "ThuFriSatSunMonTueWed";
    static const char  months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    if (unix_s < APISCALE_DATE_MIN || unix_s > APISCALE_DATE_MAX) {
        return 0;
    }

    apiscale_date_civil(unix_s, &f);

    memcpy(buf, "Thu, 01 Jan 1970 00:00:00 GMT", APISCALE_DATE_IMF_LEN);
    memcpy(buf, &days[unix_s / APISCALE_DATE_DAY_S % 7 * 3], 3);
    memcpy(buf + 8, &months[(f.month - 1) * 3], 3);

    apiscale_date_digits(buf + 5, f.day, 2);
    p = apiscale_date_digits(buf + 12, f.year, 4);
    p = apiscale_date_digits(p + 1, f.hour, 2);
    p = apiscale_date_digits(p + 1, f.min, 2);
    apiscale_date_digits(p + 1, f.sec, 2);

    return APISCALE_DATE_IMF_LEN;
}


/*
 * Writes a date-time of RFC 3339 in UTC, "2026-06-30T00:00:00Z", into "buf"
 * of at least APISCALE_DATE_RFC3339_LEN bytes.  Returns that length, or 0,
 * with nothing written, for a time outside of 1970..9999.
 */
size_t
apiscale_date_rfc3339(int64_t unix_s, unsigned char *buf)
{
    unsigned char           *p;
    apiscale_date_fields_t   f;

    if (unix_s < APISCALE_DATE_MIN || unix_s > APISCALE_DATE_MAX) {
        return 0;
    }

    apiscale_date_civil(unix_s, &f);

    memcpy(buf, "1970-01-01T00:00:00Z", APISCALE_DATE_RFC3339_LEN);

    p = apiscale_date_digits(buf, f.year, 4);
    p = apiscale_date_digits(p + 1, f.month, 2);
    p = apiscale_date_digits(p + 1, f.day, 2);
    p = apiscale_date_digits(p + 1, f.hour, 2);
    p = apiscale_date_digits(p + 1, f.min, 2);
    apiscale_date_digits(p + 1, f.sec, 2);

    return APISCALE_DATE_RFC3339_LEN;
}


/* exactly "digits" decimal digits; 0 if there is anything else */
static int
apiscale_date_number(const unsigned char *p, size_t digits, unsigned *value)
{
    size_t    i;
    unsigned  v;

    v = 0;

    for (i = 0; i < digits; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }

        v = v * 10 + (p[i] - '0');
    }

    *value = v;

    return 1;
}


/* the grammar alone: which numbers make a date is checked afterwards */
static int
apiscale_date_fields(const unsigned char *p, size_t len,
    apiscale_date_fields_t *f)
{
    memset(f, 0, sizeof(apiscale_date_fields_t));

    if (len < 10
        || !apiscale_date_number(p, 4, &f->year) || p[4] != '-'
        || !apiscale_date_number(p + 5, 2, &f->month) || p[7] != '-'
        || !apiscale_date_number(p + 8, 2, &f->day))
    {
        return APISCALE_DATE_MALFORMED;
    }

    if (len == 10) {
        return APISCALE_DATE_OK;
    }

    if ((p[10] | 0x20) != 't') {
        return APISCALE_DATE_MALFORMED;
    }

    return apiscale_date_time(p + 11, len - 11, f);
}


static int
apiscale_date_time(const unsigned char *p, size_t len,
    apiscale_date_fields_t *f)
{
    size_t  i;

    if (len < 9
        || !apiscale_date_number(p, 2, &f->hour) || p[2] != ':'
        || !apiscale_date_number(p + 3, 2, &f->min) || p[5] != ':'
        || !apiscale_date_number(p + 6, 2, &f->sec))
    {
        return APISCALE_DATE_MALFORMED;
    }

    i = 8;

    if (p[i] == '.') {
        for (i++; i < len && p[i] >= '0' && p[i] <= '9'; i++) { /* void */ }

        if (i == 9) {
            return APISCALE_DATE_MALFORMED;
        }
    }

    return apiscale_date_offset(p + i, len - i, &f->offset);
}


/* "Z", or the sign, hours and minutes by which local time is ahead of UTC */
static int
apiscale_date_offset(const unsigned char *p, size_t len, int *offset)
{
    unsigned  hour, min;

    if (len == 1 && (*p | 0x20) == 'z') {
        *offset = 0;
        return APISCALE_DATE_OK;
    }

    if (len != 6
        || (p[0] != '+' && p[0] != '-')
        || !apiscale_date_number(p + 1, 2, &hour) || p[3] != ':'
        || !apiscale_date_number(p + 4, 2, &min))
    {
        return APISCALE_DATE_MALFORMED;
    }

    if (hour > 23 || min > 59) {
        return APISCALE_DATE_IMPOSSIBLE;
    }

    *offset = hour * 3600 + min * 60;

    if (p[0] == '-') {
        *offset = -*offset;
    }

    return APISCALE_DATE_OK;
}


static int
apiscale_date_possible(const apiscale_date_fields_t *f)
{
    unsigned  days;

    static const unsigned char  lengths[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (f->month < 1 || f->month > 12 || f->day < 1) {
        return 0;
    }

    days = lengths[f->month - 1];

    if (f->month == 2 && f->year % 4 == 0
        && (f->year % 100 != 0 || f->year % 400 == 0))
    {
        days = 29;
    }

    return f->day <= days && f->hour <= 23 && f->min <= 59 && f->sec <= 60;
}


/*
 * Days since 1970-01-01 in the proleptic Gregorian calendar.  Years are
 * counted from March, so that a leap day is the last one: H. Hinnant,
 * "chrono-compatible low-level date algorithms", days_from_civil().
 */
static int64_t
apiscale_date_days(unsigned year, unsigned month, unsigned day)
{
    int64_t  y, yday;

    y = (int64_t) year - (month <= 2) + 400;      /* never negative */
    yday = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

    /* 719468 days from 0000-03-01 to 1970-01-01, 146097 in 400 years */

    return y * 365 + y / 4 - y / 100 + y / 400 + yday - 719468 - 146097;
}


/* the inverse, civil_from_days(), for a time in the supported range */
static void
apiscale_date_civil(int64_t unix_s, apiscale_date_fields_t *f)
{
    unsigned  days, sec, doe, yoe, doy, m;

    days = (unsigned) (unix_s / APISCALE_DATE_DAY_S) + 719468;
    sec = (unsigned) (unix_s % APISCALE_DATE_DAY_S);

    doe = days % 146097;                          /* day of the 400 years */
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    m = (5 * doy + 2) / 153;                      /* 0 is March */

    f->day = doy - (153 * m + 2) / 5 + 1;
    f->month = m < 10 ? m + 3 : m - 9;
    f->year = days / 146097 * 400 + yoe + (f->month <= 2);

    f->hour = sec / 3600;
    f->min = sec / 60 % 60;
    f->sec = sec % 60;
    f->offset = 0;
}


/* writes the last "digits" digits, returns the end */
static unsigned char *
apiscale_date_digits(unsigned char *p, unsigned value, unsigned digits)
{
    unsigned  i;

    for (i = digits; i > 0; i--) {
        p[i - 1] = (unsigned char) ('0' + value % 10);
        value /= 10;
    }

    return p + digits;
}
