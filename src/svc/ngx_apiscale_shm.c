
/*
 * Copyright (C) apiscale authors
 */


#include "ngx_apiscale_shm.h"

#include <sys/random.h>


static ngx_apiscale_shm_header_t *ngx_apiscale_shm_header(ngx_shm_zone_t *zone,
    uint64_t magic);


/*
 * Called from a zone's init handler.  *header is the zone's block: the one
 * that the workers of the running cycle use (NGX_APISCALE_SHM_KEPT), or a new
 * one (NGX_APISCALE_SHM_NEW).  The block belongs to the zone.
 *
 * NGX_APISCALE_SHM_ERROR after a line in the log.
 */

ngx_apiscale_shm_rc_e
ngx_apiscale_shm_open(ngx_shm_zone_t *zone, uint64_t magic,
    ngx_apiscale_shm_header_t **header)
{
    size_t                      size;
    ngx_slab_pool_t            *shpool;
    ngx_apiscale_shm_header_t  *h;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    h = ngx_apiscale_shm_header(zone, magic);

    if (h) {
        *header = h;
        return NGX_APISCALE_SHM_KEPT;
    }

    /* an allocation of whole pages is aligned to a page */

    size = shpool->pfree * ngx_pagesize;

    h = ngx_slab_alloc(shpool, size);
    if (h == NULL) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "could not allocate %uz bytes in zone \"%V\"",
                      size, &zone->shm.name);
        return NGX_APISCALE_SHM_ERROR;
    }

    /* pages of a new mapping are zero, and stay unmapped until written */

    h->magic = magic;
    h->size = size;

    shpool->data = h;
    shpool->log_nomem = 0;

    *header = h;

    return NGX_APISCALE_SHM_NEW;
}


/*
 * The block that a zone of the same name and kind had in the running cycle,
 * when it could not be kept (its size or the module changed): its contents
 * may be copied.  NULL if there is none.
 */

ngx_apiscale_shm_header_t *
ngx_apiscale_shm_previous(ngx_shm_zone_t *zone, uint64_t magic)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_shm_zone_t   *old;

    if (ngx_cycle == NULL) {
        return NULL;
    }

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
    old = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            old = part->elts;
            i = 0;
        }

        if (old[i].shm.addr == NULL
            || old[i].shm.addr == zone->shm.addr
            || old[i].shm.name.len != zone->shm.name.len
            || ngx_strncmp(old[i].shm.name.data, zone->shm.name.data,
                           zone->shm.name.len)
               != 0)
        {
            continue;
        }

        return ngx_apiscale_shm_header(&old[i], magic);
    }
}


static ngx_apiscale_shm_header_t *
ngx_apiscale_shm_header(ngx_shm_zone_t *zone, uint64_t magic)
{
    ngx_slab_pool_t            *shpool;
    ngx_apiscale_shm_header_t  *h;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    h = shpool->data;

    /* another module's zone of this name keeps its own data there */

    if ((u_char *) h < shpool->start
        || (u_char *) h >= shpool->end
        || (size_t) (shpool->end - (u_char *) h)
           < sizeof(ngx_apiscale_shm_header_t))
    {
        return NULL;
    }

    return h->magic == magic ? h : NULL;
}


/*
 * Fills a buffer with random bytes from the kernel.  NGX_ERROR if it has none
 * to give.
 */

ngx_int_t
ngx_apiscale_shm_random(void *buf, size_t size)
{
    return getrandom(buf, size, 0) == (ssize_t) size ? NGX_OK : NGX_ERROR;
}
