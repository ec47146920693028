
/*
 * Copyright (C) apiscale authors
 */


/*
 * Rates as written in the configuration, "100r/m" or "1000r/15m".  Pure C:
 * depends on the standard headers alone.
 */


#ifndef APISCALE_RATE_H_INCLUDED_
#define APISCALE_RATE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define APISCALE_RATE_MAX_N         UINT64_C(1000000000)
#define APISCALE_RATE_MAX_PERIOD_S  UINT64_C(3155760000)   /* 100 years */

/* the slowest and the fastest rate that an interval expresses to 0.1 % */
#define APISCALE_RATE_SLOWEST_S     UINT64_C(604800)       /* 1 a week */
#define APISCALE_RATE_FASTEST       UINT64_C(1000000)      /* a second */

/* emission intervals are in ticks of 2^-10 us, as in apiscale_gcra.h */
#define APISCALE_RATE_TICKS_PER_S   UINT64_C(1024000000)

#define APISCALE_RATE_OK            0
#define APISCALE_RATE_MALFORMED     -1      /* not Nr/PERIOD */
#define APISCALE_RATE_ZERO          -2      /* no requests, or no time */
#define APISCALE_RATE_OVERFLOW      -3      /* N or PERIOD above its maximum */
#define APISCALE_RATE_RANGE         -4      /* beyond 1r/w .. 1000000r/s */


int apiscale_rate_parse(const unsigned char *p, size_t len, uint64_t *n,
    uint64_t *period_s);
uint64_t apiscale_rate_interval(uint64_t n, uint64_t period_s);


#endif /* APISCALE_RATE_H_INCLUDED_ */
