
/*
 * Copyright (C) apiscale authors
 */


/*
 * Private to the metrics feature: its configuration, and the layout of the
 * zone, which docs/internals/histogram.md describes.
 *
 * Invariants of the zone:
 *   - counters are only added to, with relaxed atomics, by any worker of any
 *     generation; nothing is ever reset but a slot that changes its owner;
 *   - what was never written is never read, so that it stays unmapped: the
 *     bits of slot->slabs and slab->octaves tell what was;
 *   - slots are assigned by the master alone, when a configuration is read.
 */


#ifndef NGX_HTTP_APISCALE_METRICS_H_INCLUDED_
#define NGX_HTTP_APISCALE_METRICS_H_INCLUDED_


#include "ngx_http_apiscale.h"
#include "ngx_apiscale_shm.h"
#include "apiscale_histogram.h"


/* the low 16 bits are the version of the layout: count it up on any change */
#define NGX_HTTP_APISCALE_METRICS_MAGIC    UINT64_C(0x6d65747269630001)

#define NGX_HTTP_APISCALE_METRICS_ALIGN    128

/* one bit of slot->slabs each; more workers than that share slabs */
#define NGX_HTTP_APISCALE_METRICS_SLABS    64

/* the exported bounds, and what is above them */
#define NGX_HTTP_APISCALE_METRICS_BOUNDS   13
#define NGX_HTTP_APISCALE_METRICS_LE       (NGX_HTTP_APISCALE_METRICS_BOUNDS  \
                                            + 1)

/* "1xx" to "5xx", and before them any other status */
#define NGX_HTTP_APISCALE_METRICS_CLASSES  6


/*
 * What can be counted of a series but for the histogram: in a slab, or the
 * sum over the slabs.
 */

typedef struct {
    uint64_t  sum_us;
    uint64_t  max_us;
    uint64_t  le[NGX_HTTP_APISCALE_METRICS_LE];     /* not cumulative */
    uint64_t  status[NGX_HTTP_APISCALE_METRICS_CLASSES];
    uint64_t  rejected;                   /* by this module; in status too */
    uint64_t  aborted;                    /* by the client or an upstream */
    uint64_t  received;                   /* bytes */
    uint64_t  sent;                       /* bytes */
} ngx_http_apiscale_metrics_counts_t;


/*
 * The counters of one series and worker.
 */

typedef struct {
    uint64_t                            octaves;    /* of buckets in use */
    ngx_http_apiscale_metrics_counts_t  counts;
    uint64_t                            buckets[APISCALE_HIST_BUCKETS]
        __attribute__((aligned(NGX_HTTP_APISCALE_METRICS_ALIGN)));
} ngx_http_apiscale_metrics_slab_t;


/*
 * A series' place in the zone.  "epoch" changes with the owner: a worker of
 * an older configuration then finds that the place is no longer its own.
 */

typedef struct {
    u_char    id[16];                     /* MD5 of server and location */
    uint64_t  slabs;                      /* bit n: slab n is in use */
    uint32_t  epoch;
    uint32_t  generation;                 /* last configuration that had it */
} __attribute__((aligned(64))) ngx_http_apiscale_metrics_slot_t;


/*
 * The zone's block; slots and, for each slot, its slabs follow.  Slot 0 is
 * of "other", the requests of series without a place.
 */

typedef struct {
    ngx_apiscale_shm_header_t  header;
    uint32_t                   nslabs;    /* for each slot */
    uint32_t                   nslots;
    uint32_t                   used;      /* slots that ever had an owner */
    uint32_t                   generation;
} __attribute__((aligned(NGX_HTTP_APISCALE_METRICS_ALIGN)))
    ngx_http_apiscale_metrics_block_t;


/*
 * A series of this configuration.
 */

typedef struct {
    ngx_str_t                          server;
    ngx_str_t                          location;
    u_char                             id[16];
    uint32_t                           epoch;
    ngx_http_apiscale_metrics_slot_t  *slot;
    ngx_http_apiscale_metrics_slab_t  *slabs;
} ngx_http_apiscale_metrics_series_t;


typedef struct {
    ngx_shm_zone_t                      *zone;      /* NULL: none defined */
    ngx_core_conf_t                     *ccf;
    ngx_uint_t                           limit;     /* series=, 0: no limit */

    ngx_array_t                          series;    /* pointers; 0: other */

    /* set when the zone is made */

    ngx_http_apiscale_metrics_block_t   *block;
    ngx_uint_t                           overflow;  /* series in "other" */

    /* where "apiscale_metrics on" was first met */

    ngx_str_t                            file;
    ngx_uint_t                           line;
} ngx_http_apiscale_metrics_main_conf_t;


typedef struct {
    ngx_uint_t                           measured;  /* by some location */
} ngx_http_apiscale_metrics_srv_conf_t;


typedef struct {
    ngx_flag_t                           enable;
    ngx_uint_t                           caseless;  /* location ~* */
    ngx_http_apiscale_metrics_series_t  *series;    /* NULL: not measured */
} ngx_http_apiscale_metrics_loc_conf_t;


extern const uint32_t
    ngx_http_apiscale_metrics_bounds[NGX_HTTP_APISCALE_METRICS_BOUNDS];


/* ngx_http_apiscale_metrics_request.c */

ngx_int_t ngx_http_apiscale_metrics_duration(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

/* ngx_http_apiscale_metrics_zone.c */

ngx_int_t ngx_http_apiscale_metrics_init_zone(ngx_shm_zone_t *zone,
    void *data);
uint64_t ngx_http_apiscale_metrics_zone_used(ngx_shm_zone_t *zone);
ngx_int_t ngx_http_apiscale_metrics_counts(
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series,
    ngx_http_apiscale_metrics_counts_t *counts);
void ngx_http_apiscale_metrics_buckets(
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series, uint64_t *buckets);

/* ngx_http_apiscale_metrics_output.c */

void ngx_http_apiscale_metrics_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
void ngx_http_apiscale_metrics_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);


#endif /* NGX_HTTP_APISCALE_METRICS_H_INCLUDED_ */
