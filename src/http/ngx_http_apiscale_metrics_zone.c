
/*
 * Copyright (C) apiscale authors
 */


/*
 * The zone of the metrics: who counts where.  A reload assigns the slots of
 * the block that runs already, by the names of the series; a zone whose size
 * changed gets a new block, into which the counts are copied.
 */


#include "ngx_http_apiscale_metrics.h"


static ngx_int_t ngx_http_apiscale_metrics_layout(ngx_shm_zone_t *zone,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_block_t *block);
static ngx_int_t ngx_http_apiscale_metrics_assign(ngx_shm_zone_t *zone,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_main_conf_t *old, ngx_uint_t *lost);
static void ngx_http_apiscale_metrics_place(
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series, ngx_uint_t n);
static ngx_uint_t ngx_http_apiscale_metrics_find(
    ngx_http_apiscale_metrics_block_t *block, u_char *id);
static ngx_uint_t ngx_http_apiscale_metrics_take(
    ngx_http_apiscale_metrics_block_t *block, u_char *busy, u_char *id,
    ngx_uint_t *lost);
static void ngx_http_apiscale_metrics_clear(
    ngx_http_apiscale_metrics_block_t *block, ngx_uint_t n);
static void ngx_http_apiscale_metrics_import(
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_block_t *prev, ngx_uint_t *lost);
static void ngx_http_apiscale_metrics_copy(
    ngx_http_apiscale_metrics_block_t *block, ngx_uint_t n,
    ngx_http_apiscale_metrics_block_t *prev, ngx_uint_t from);
static void ngx_http_apiscale_metrics_merge_counts(
    ngx_http_apiscale_metrics_counts_t *dst,
    ngx_http_apiscale_metrics_counts_t *src);
static void ngx_http_apiscale_metrics_merge_buckets(uint64_t *dst,
    ngx_http_apiscale_metrics_slab_t *src);


/* microseconds */

const uint32_t
    ngx_http_apiscale_metrics_bounds[NGX_HTTP_APISCALE_METRICS_BOUNDS] =
{
    1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
    1000000, 2500000, 5000000, 10000000
};


static ngx_inline ngx_http_apiscale_metrics_slot_t *
ngx_http_apiscale_metrics_slots(ngx_http_apiscale_metrics_block_t *block)
{
    return (ngx_http_apiscale_metrics_slot_t *) (block + 1);
}


/* the slabs of slot "n", block->nslabs of them */

static ngx_inline ngx_http_apiscale_metrics_slab_t *
ngx_http_apiscale_metrics_slabs(ngx_http_apiscale_metrics_block_t *block,
    ngx_uint_t n)
{
    u_char  *p;

    p = (u_char *) (ngx_http_apiscale_metrics_slots(block) + block->nslots);
    p = ngx_align_ptr(p, NGX_HTTP_APISCALE_METRICS_ALIGN);

    return (ngx_http_apiscale_metrics_slab_t *) p + n * block->nslabs;
}


/*
 * The handler of the zone; "data" is the main configuration of the running
 * cycle when its block is kept.  Runs in the master, while the workers of
 * that cycle go on counting.
 */

ngx_int_t
ngx_http_apiscale_metrics_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_apiscale_metrics_main_conf_t  *old = data;

    ngx_uint_t                              lost;
    ngx_apiscale_shm_rc_e                   rc;
    ngx_apiscale_shm_header_t              *h, *prev;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    mmcf = zone->data;
    lost = 0;
    prev = NULL;

    rc = ngx_apiscale_shm_open(zone, NGX_HTTP_APISCALE_METRICS_MAGIC, &h);

    if (rc == NGX_APISCALE_SHM_ERROR) {
        return NGX_ERROR;
    }

    mmcf->block = (ngx_http_apiscale_metrics_block_t *) h;

    if (rc == NGX_APISCALE_SHM_NEW) {

        if (ngx_http_apiscale_metrics_layout(zone, mmcf, mmcf->block)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        old = NULL;
        prev = ngx_apiscale_shm_previous(zone,
                                         NGX_HTTP_APISCALE_METRICS_MAGIC);
    }

    if (ngx_http_apiscale_metrics_assign(zone, mmcf, old, &lost) != NGX_OK) {
        return NGX_ERROR;
    }

    if (prev) {
        ngx_http_apiscale_metrics_import(mmcf,
                             (ngx_http_apiscale_metrics_block_t *) prev,
                             &lost);
    }

    if (mmcf->overflow || lost) {
        ngx_log_error(NGX_LOG_WARN, zone->shm.log, 0,
                      "metrics zone \"%V\": %ui of %ui series have no place "
                      "and are counted as \"other\", counts of %ui "
                      "series were dropped",
                      &zone->shm.name, mmcf->overflow,
                      mmcf->series.nelts - 1, lost);
    }

    return NGX_OK;
}


/*
 * Divides a new block: a slab for each worker and series, or fewer slabs
 * where otherwise not all series would have a place.  Workers that share a
 * slab wait for its cache lines, but count as exactly.
 */

static ngx_int_t
ngx_http_apiscale_metrics_layout(ngx_shm_zone_t *zone,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_block_t *block)
{
    size_t      size, slot;
    ngx_int_t   workers;
    ngx_uint_t  want, nslots, nslabs;

    if (block->header.size < sizeof(ngx_http_apiscale_metrics_block_t)
                             + NGX_HTTP_APISCALE_METRICS_ALIGN)
    {
        goto small;
    }

    size = block->header.size - sizeof(ngx_http_apiscale_metrics_block_t)
           - NGX_HTTP_APISCALE_METRICS_ALIGN;

    workers = mmcf->ccf->worker_processes;
    nslabs = ngx_max(1, ngx_min(workers, NGX_HTTP_APISCALE_METRICS_SLABS));

    want = mmcf->series.nelts;

    if (mmcf->limit && want > mmcf->limit + 1) {
        want = mmcf->limit + 1;
    }

    want = ngx_max(want, 2);

    for ( ;; ) {
        slot = sizeof(ngx_http_apiscale_metrics_slot_t)
               + nslabs * sizeof(ngx_http_apiscale_metrics_slab_t);
        nslots = size / slot;

        if (nslots >= want || nslabs == 1) {
            break;
        }

        nslabs = (nslabs + 1) / 2;
    }

    if (nslots < 2) {
        goto small;
    }

    block->nslabs = nslabs;
    block->nslots = ngx_min(nslots, NGX_MAX_INT32_VALUE);
    block->used = 1;

    return NGX_OK;

small:

    ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                  "zone \"%V\" is too small", &zone->shm.name);

    return NGX_ERROR;
}


/*
 * Gives the series of the configuration their places: those that they have
 * already, and then others as long as there are any.
 */

static ngx_int_t
ngx_http_apiscale_metrics_assign(ngx_shm_zone_t *zone,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_main_conf_t *old, ngx_uint_t *lost)
{
    u_char                               *busy;
    ngx_uint_t                            i, n, left;
    ngx_http_apiscale_metrics_slot_t     *slots;
    ngx_http_apiscale_metrics_block_t    *block;
    ngx_http_apiscale_metrics_series_t  **series, **former;

    block = mmcf->block;
    block->generation++;

    slots = ngx_http_apiscale_metrics_slots(block);
    series = mmcf->series.elts;

    left = mmcf->limit ? mmcf->limit : mmcf->series.nelts;

    /* places that may not change their owner: of both cycles' series */

    busy = ngx_calloc(block->nslots, zone->shm.log);
    if (busy == NULL) {
        return NGX_ERROR;
    }

    if (old && old->block == block) {
        former = old->series.elts;

        for (i = 0; i < old->series.nelts; i++) {
            busy[former[i]->slot - slots] = 1;
        }
    }

    ngx_http_apiscale_metrics_place(mmcf, series[0], 0);

    for (i = 1; i < mmcf->series.nelts; i++) {
        series[i]->slot = NULL;

        n = ngx_http_apiscale_metrics_find(block, series[i]->id);

        if (n && left) {
            ngx_http_apiscale_metrics_place(mmcf, series[i], n);
            busy[n] = 1;
            left--;
        }
    }

    mmcf->overflow = 0;

    for (i = 1; i < mmcf->series.nelts; i++) {

        if (series[i]->slot) {
            continue;
        }

        n = 0;

        if (left) {
            n = ngx_http_apiscale_metrics_take(block, busy, series[i]->id,
                                               lost);
        }

        if (n) {
            left--;

        } else {
            mmcf->overflow++;
        }

        ngx_http_apiscale_metrics_place(mmcf, series[i], n);
    }

    ngx_free(busy);

    return NGX_OK;
}


static void
ngx_http_apiscale_metrics_place(ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series, ngx_uint_t n)
{
    series->slot = ngx_http_apiscale_metrics_slots(mmcf->block) + n;
    series->slabs = ngx_http_apiscale_metrics_slabs(mmcf->block, n);
    series->epoch = series->slot->epoch;
    series->slot->generation = mmcf->block->generation;
}


/* 0 if no slot has the id */

static ngx_uint_t
ngx_http_apiscale_metrics_find(ngx_http_apiscale_metrics_block_t *block,
    u_char *id)
{
    ngx_uint_t                         n;
    ngx_http_apiscale_metrics_slot_t  *slots;

    slots = ngx_http_apiscale_metrics_slots(block);

    for (n = 1; n < block->used; n++) {
        if (ngx_memcmp(slots[n].id, id, sizeof(slots[n].id)) == 0) {
            return n;
        }
    }

    return 0;
}


/*
 * A slot that had no owner yet, else that of the series which is longest
 * gone; 0 if there is none.
 */

static ngx_uint_t
ngx_http_apiscale_metrics_take(ngx_http_apiscale_metrics_block_t *block,
    u_char *busy, u_char *id, ngx_uint_t *lost)
{
    ngx_uint_t                         i, n;
    ngx_http_apiscale_metrics_slot_t  *slots;

    slots = ngx_http_apiscale_metrics_slots(block);

    if (block->used < block->nslots) {
        n = block->used++;

    } else {
        n = 0;

        for (i = 1; i < block->nslots; i++) {
            if (!busy[i]
                && (n == 0 || slots[i].generation < slots[n].generation))
            {
                n = i;
            }
        }

        if (n == 0) {
            return 0;
        }

        ngx_http_apiscale_metrics_clear(block, n);
        (*lost)++;
    }

    busy[n] = 1;
    ngx_memcpy(slots[n].id, id, sizeof(slots[n].id));

    return n;
}


/*
 * A worker that still has an older configuration may be between its look at
 * the epoch and its adds: these few then go to the new owner.
 */

static void
ngx_http_apiscale_metrics_clear(ngx_http_apiscale_metrics_block_t *block,
    ngx_uint_t n)
{
    ngx_uint_t                         i;
    ngx_http_apiscale_metrics_slab_t  *slab;
    ngx_http_apiscale_metrics_slot_t  *slot;

    slot = ngx_http_apiscale_metrics_slots(block) + n;
    slab = ngx_http_apiscale_metrics_slabs(block, n);

    (void) __atomic_add_fetch(&slot->epoch, 1, __ATOMIC_SEQ_CST);

    for (i = 0; i < block->nslabs; i++) {
        if (slot->slabs & ((uint64_t) 1 << i)) {
            ngx_memzero(&slab[i], sizeof(ngx_http_apiscale_metrics_slab_t));
        }
    }

    __atomic_store_n(&slot->slabs, 0, __ATOMIC_RELEASE);
}


/*
 * Copies from the block of the running cycle, whose workers may still add to
 * it: what they add from now on is lost with it.  Series that are gone are
 * copied where there is room, in case that they come back.
 */

static void
ngx_http_apiscale_metrics_import(ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_block_t *prev, ngx_uint_t *lost)
{
    ngx_uint_t                          i, n;
    ngx_http_apiscale_metrics_slot_t   *slots, *from;
    ngx_http_apiscale_metrics_block_t  *block;

    block = mmcf->block;

    slots = ngx_http_apiscale_metrics_slots(block);
    from = ngx_http_apiscale_metrics_slots(prev);

    ngx_http_apiscale_metrics_copy(block, 0, prev, 0);

    for (i = 1; i < prev->used; i++) {

        n = ngx_http_apiscale_metrics_find(block, from[i].id);

        if (n == 0) {

            if (from[i].slabs == 0) {
                continue;
            }

            if (block->used == block->nslots) {
                (*lost)++;
                continue;
            }

            n = block->used++;
            ngx_memcpy(slots[n].id, from[i].id, sizeof(slots[n].id));
        }

        ngx_http_apiscale_metrics_copy(block, n, prev, i);
    }
}


static void
ngx_http_apiscale_metrics_copy(ngx_http_apiscale_metrics_block_t *block,
    ngx_uint_t n, ngx_http_apiscale_metrics_block_t *prev, ngx_uint_t from)
{
    uint64_t                           slabs;
    ngx_uint_t                         i, k;
    ngx_http_apiscale_metrics_slab_t  *dst, *src;
    ngx_http_apiscale_metrics_slot_t  *slot;

    slot = ngx_http_apiscale_metrics_slots(block) + n;
    slabs = __atomic_load_n(&ngx_http_apiscale_metrics_slots(prev)[from].slabs,
                            __ATOMIC_ACQUIRE);

    dst = ngx_http_apiscale_metrics_slabs(block, n);
    src = ngx_http_apiscale_metrics_slabs(prev, from);

    for (i = 0; i < prev->nslabs; i++) {

        if (!(slabs & ((uint64_t) 1 << i))) {
            continue;
        }

        k = i % block->nslabs;
        slot->slabs |= (uint64_t) 1 << k;

        dst[k].octaves |= __atomic_load_n(&src[i].octaves, __ATOMIC_ACQUIRE);
        ngx_http_apiscale_metrics_merge_counts(&dst[k].counts,
                                               &src[i].counts);
        ngx_http_apiscale_metrics_merge_buckets(dst[k].buckets, &src[i]);
    }
}


/*
 * The bytes that the places of series which are or were configured take.
 */

uint64_t
ngx_http_apiscale_metrics_zone_used(ngx_shm_zone_t *zone)
{
    ngx_http_apiscale_metrics_block_t      *block;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    mmcf = zone->data;
    block = mmcf->block;

    return sizeof(ngx_http_apiscale_metrics_block_t)
           + (uint64_t) block->used
             * (sizeof(ngx_http_apiscale_metrics_slot_t)
                + block->nslabs * sizeof(ngx_http_apiscale_metrics_slab_t));
}


/*
 * Sums up the counts of all workers.  NGX_DECLINED, with zeros, if the place
 * of the series has a new owner.
 */

ngx_int_t
ngx_http_apiscale_metrics_counts(ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series,
    ngx_http_apiscale_metrics_counts_t *counts)
{
    uint64_t    slabs;
    ngx_uint_t  i;

    ngx_memzero(counts, sizeof(ngx_http_apiscale_metrics_counts_t));

    if (__atomic_load_n(&series->slot->epoch, __ATOMIC_ACQUIRE)
        != series->epoch)
    {
        return NGX_DECLINED;
    }

    slabs = __atomic_load_n(&series->slot->slabs, __ATOMIC_ACQUIRE);

    for (i = 0; i < mmcf->block->nslabs; i++) {
        if (slabs & ((uint64_t) 1 << i)) {
            ngx_http_apiscale_metrics_merge_counts(counts,
                                                   &series->slabs[i].counts);
        }
    }

    return NGX_OK;
}


/*
 * Sums up the histograms of all workers in "buckets", an array of
 * APISCALE_HIST_BUCKETS.
 */

void
ngx_http_apiscale_metrics_buckets(ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_series_t *series, uint64_t *buckets)
{
    uint64_t    slabs;
    ngx_uint_t  i;

    ngx_memzero(buckets, APISCALE_HIST_BUCKETS * sizeof(uint64_t));

    if (__atomic_load_n(&series->slot->epoch, __ATOMIC_ACQUIRE)
        != series->epoch)
    {
        return;
    }

    slabs = __atomic_load_n(&series->slot->slabs, __ATOMIC_ACQUIRE);

    for (i = 0; i < mmcf->block->nslabs; i++) {
        if (slabs & ((uint64_t) 1 << i)) {
            ngx_http_apiscale_metrics_merge_buckets(buckets,
                                                    &series->slabs[i]);
        }
    }
}


/* "dst" is private to the caller, "src" may be written meanwhile */

static void
ngx_http_apiscale_metrics_merge_counts(ngx_http_apiscale_metrics_counts_t *dst,
    ngx_http_apiscale_metrics_counts_t *src)
{
    uint64_t    max, *d, *s;
    ngx_uint_t  i;

    max = __atomic_load_n(&src->max_us, __ATOMIC_RELAXED);
    max = ngx_max(max, dst->max_us);

    d = (uint64_t *) dst;
    s = (uint64_t *) src;

    for (i = 0; i < sizeof(*dst) / sizeof(uint64_t); i++) {
        d[i] += __atomic_load_n(&s[i], __ATOMIC_RELAXED);
    }

    dst->max_us = max;
}


/* octaves that are not in use are not read: that would map their pages */

static void
ngx_http_apiscale_metrics_merge_buckets(uint64_t *dst,
    ngx_http_apiscale_metrics_slab_t *src)
{
    uint64_t    octaves;
    ngx_uint_t  i, n;

    octaves = __atomic_load_n(&src->octaves, __ATOMIC_ACQUIRE);

    for (n = 0; octaves; n++, octaves >>= 1) {

        if (!(octaves & 1)) {
            continue;
        }

        for (i = n << APISCALE_HIST_P; i < (n + 1) << APISCALE_HIST_P; i++) {
            dst[i] += __atomic_load_n(&src->buckets[i], __ATOMIC_RELAXED);
        }
    }
}
