
/*
 * Copyright (C) apiscale authors
 */


/*
 * Clocks finer than nginx's cached milliseconds.  The monotonic clock is one
 * for all processes of a machine, so its values may be shared by workers.
 *
 * Depends on nginx core only.
 */


#ifndef NGX_APISCALE_TIME_H_INCLUDED_
#define NGX_APISCALE_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Microseconds since an unspecified point; never steps back.
 */

static ngx_inline uint64_t
ngx_apiscale_monotonic_us(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/*
 * The same clock in ticks of 2^-10 us, as apiscale_clock.h counts them.
 */

static ngx_inline uint64_t
ngx_apiscale_monotonic_ticks(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 * 1024
           + (uint64_t) ts.tv_nsec * 128 / 125;
}


/*
 * Microseconds since 1970-01-01T00:00:00Z; steps when somebody sets it.
 */

static ngx_inline uint64_t
ngx_apiscale_unix_us(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/*
 * The same clock in ticks of 2^-10 us.
 */

static ngx_inline uint64_t
ngx_apiscale_unix_ticks(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000000 * 1024
           + (uint64_t) ts.tv_nsec * 128 / 125;
}


#endif /* NGX_APISCALE_TIME_H_INCLUDED_ */
