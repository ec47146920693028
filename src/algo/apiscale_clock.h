
/*
 * Copyright (C) apiscale authors
 */


/*
 * The unit of time of the limiter's algorithms, and what time it is by the
 * two clocks that they need.  Depends on stdint.h only; whoever calls reads
 * the clocks.
 */


#ifndef APISCALE_CLOCK_H_INCLUDED_
#define APISCALE_CLOCK_H_INCLUDED_


#include <stdint.h>


/* ticks of 2^-10 us: with whole microseconds 70,000 per second is 2 % off */

#define APISCALE_TICKS_PER_US   1024ULL
#define APISCALE_TICKS_PER_SEC  (1000000ULL * APISCALE_TICKS_PER_US)


typedef struct {
    uint64_t  mono;               /* a clock that never steps back, shared by
                                     all processes of the machine */
    uint64_t  wall;               /* since 1970-01-01T00:00:00Z, as somebody
                                     has set it; for windows alone */
} apiscale_clock_t;


#endif /* APISCALE_CLOCK_H_INCLUDED_ */
