
/*
 * Copyright (C) apiscale authors
 */


/*
 * Shared memory zones as one block.  A zone of apiscale is an ordinary nginx
 * zone whose pages are all taken by one allocation when the zone is made;
 * nothing is allocated or freed afterwards, so the slab's mutex is never
 * taken again.  The block begins with a header that tells what it holds.
 *
 * Depends on nginx core only.
 */


#ifndef NGX_APISCALE_SHM_H_INCLUDED_
#define NGX_APISCALE_SHM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    uint64_t  magic;                      /* kind of zone and its layout */
    uint64_t  size;                       /* bytes of the block */
} ngx_apiscale_shm_header_t;


typedef enum {
    NGX_APISCALE_SHM_KEPT = 0,            /* the block of an earlier cycle */
    NGX_APISCALE_SHM_NEW,                 /* all zero but for the header */
    NGX_APISCALE_SHM_ERROR
} ngx_apiscale_shm_rc_e;


ngx_apiscale_shm_rc_e ngx_apiscale_shm_open(ngx_shm_zone_t *zone,
    uint64_t magic, ngx_apiscale_shm_header_t **header);
ngx_apiscale_shm_header_t *ngx_apiscale_shm_previous(ngx_shm_zone_t *zone,
    uint64_t magic);
ngx_int_t ngx_apiscale_shm_random(void *buf, size_t size);


#endif /* NGX_APISCALE_SHM_H_INCLUDED_ */
