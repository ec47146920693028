
/*
 * Copyright (C) apiscale authors
 */


/*
 * Dates: RFC 3339 in, IMF-fixdate (RFC 9110) and RFC 3339 out.  Pure C:
 * depends on the standard headers alone; no locale, no time zone database,
 * no clock.
 *
 * Times are Unix seconds in APISCALE_DATE_MIN .. APISCALE_DATE_MAX.  Strings
 * carry a length and are never terminated by NUL.
 */


#ifndef APISCALE_DATE_H_INCLUDED_
#define APISCALE_DATE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define APISCALE_DATE_MIN          INT64_C(0)
#define APISCALE_DATE_MAX          INT64_C(253402300799)   /* end of 9999 */

#define APISCALE_DATE_IMF_LEN      29
#define APISCALE_DATE_RFC3339_LEN  20

#define APISCALE_DATE_OK           0
#define APISCALE_DATE_MALFORMED    -1      /* not the grammar of RFC 3339 */
#define APISCALE_DATE_IMPOSSIBLE   -2      /* no such day, hour, leap second */
#define APISCALE_DATE_RANGE        -3      /* before 1970 or after 9999, UTC */


int apiscale_date_parse(const unsigned char *p, size_t len, int64_t *unix_s);
size_t apiscale_date_imf(int64_t unix_s, unsigned char *buf);
size_t apiscale_date_rfc3339(int64_t unix_s, unsigned char *buf);


#endif /* APISCALE_DATE_H_INCLUDED_ */
