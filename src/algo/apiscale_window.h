
/*
 * Copyright (C) apiscale authors
 */


/*
 * Counters of requests in windows of time: "fixed", which admits N in each
 * window, and "sliding", which weighs the window before the current one by
 * the part of it that the last PERIOD still covers.  Windows are multiples of
 * PERIOD from 1970-01-05T00:00:00Z, so that days begin at midnight UTC and
 * weeks on Mondays.
 *
 * Depends on stdint.h and apiscale_clock.h.  A counter is one 64-bit word
 * that shares its place with the TATs of apiscale_gcra.h:
 *
 *     bit 63        1, which no TAT has
 *     bits 62..32   the second at which it may be forgotten, modulo 2^31
 *     bits 31..0    requests
 *
 * Invariant: a counter whose second has come is equal to an absent one.
 */


#ifndef APISCALE_WINDOW_H_INCLUDED_
#define APISCALE_WINDOW_H_INCLUDED_


#include <stdint.h>

#include "apiscale_clock.h"


#define APISCALE_WINDOW_COUNTER       (1ULL << 63)
#define APISCALE_WINDOW_MAX_COUNT     UINT32_MAX

/* seconds of a counter compare right up to half of their range, 34 years */
#define APISCALE_WINDOW_SECONDS       0x7fffffffULL
#define APISCALE_WINDOW_MAX_PERIOD_S  (10ULL * 366 * 86400)

/* from 1970-01-01 to the first Monday */
#define APISCALE_WINDOW_MONDAY_S      (4ULL * 86400)

/* "retry" of a cost that can never be admitted */
#define APISCALE_WINDOW_NEVER         UINT64_MAX


typedef struct {
    uint64_t  limit;                      /* N, up to MAX_COUNT */
    uint64_t  period_s;
    unsigned  sliding;
} apiscale_window_t;


typedef struct {
    uint64_t  state;                      /* to write */
    uint64_t  remaining;                  /* requests */
    uint64_t  retry;                      /* ticks; 0 when admitted */
    uint64_t  reset;                      /* ticks until all is there again */
    uint64_t  within;                     /* ticks in which no more remain */
    unsigned  rejected;
} apiscale_window_result_t;


void apiscale_window_check(const apiscale_window_t *w, uint64_t previous,
    uint64_t current, uint64_t wall, uint64_t cost,
    apiscale_window_result_t *res);
uint64_t apiscale_window_previous(const apiscale_window_t *w,
    uint64_t previous, uint64_t wall);
unsigned apiscale_window_parity(const apiscale_window_t *w, uint64_t wall);
uint64_t apiscale_window_refund(const apiscale_window_t *w, uint64_t state,
    uint64_t written, uint64_t wall, uint64_t cost);
uint64_t apiscale_window_add(const apiscale_window_t *w, uint64_t state,
    uint64_t wall, uint64_t cost);
uint64_t apiscale_window_owed(uint64_t state, uint64_t wall);


/*
 * Ticks until a counter may be forgotten; 0 if it may.
 */

static inline uint64_t
apiscale_window_left(uint64_t state, uint64_t wall)
{
    uint64_t  s;

    s = ((state >> 32) - wall / APISCALE_TICKS_PER_SEC)
        & APISCALE_WINDOW_SECONDS;

    if (s == 0 || s > APISCALE_WINDOW_SECONDS / 2) {
        return 0;
    }

    return s * APISCALE_TICKS_PER_SEC - wall % APISCALE_TICKS_PER_SEC;
}


#endif /* APISCALE_WINDOW_H_INCLUDED_ */
