
/*
 * Copyright (C) apiscale authors
 */


/*
 * The zone of the consumers: two images, of which one is current.  Whoever
 * has read a file writes it over the other one and then makes that current;
 * readers never wait.  The master reads the file when nginx is started or
 * reloaded, and publishes it when nothing can fail any more; later a thread
 * of the first worker does.
 */


#include "ngx_http_apiscale_consumer.h"
#include "ngx_apiscale_time.h"


/* for a writer in another process: it copies, and does not parse */
#define NGX_HTTP_APISCALE_CONSUMER_WAIT_US  1000000

/* written to the zone at a time, in some 100 us */
#define NGX_HTTP_APISCALE_CONSUMER_KEYS     1000

/* until a file that could not be published is tried again */
#define NGX_HTTP_APISCALE_CONSUMER_SOON     100


#define ngx_http_apiscale_consumer_set(p, v)                                  \
    __atomic_store_n(p, v, __ATOMIC_RELAXED)


static ngx_int_t ngx_http_apiscale_consumer_layout(ngx_shm_zone_t *zone,
    ngx_http_apiscale_consumer_main_conf_t *mcf);
static void ngx_http_apiscale_consumer_import(
    ngx_http_apiscale_consumer_block_t *block,
    ngx_http_apiscale_consumer_block_t *prev);
static ngx_int_t ngx_http_apiscale_consumer_load_file(ngx_shm_zone_t *zone,
    ngx_http_apiscale_consumer_main_conf_t *mcf);
static void ngx_http_apiscale_consumer_drop(void *data);
static ngx_http_apiscale_consumer_load_t *
    ngx_http_apiscale_consumer_create_load(
    ngx_http_apiscale_consumer_main_conf_t *mcf);
static ngx_int_t ngx_http_apiscale_consumer_examine(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_load_t *load);
static ngx_uint_t ngx_http_apiscale_consumer_is_seen(
    ngx_http_apiscale_consumer_block_t *block,
    ngx_http_apiscale_consumer_load_t *load);
static ngx_int_t ngx_http_apiscale_consumer_publish(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_load_t *load, ngx_int_t rc);
static void ngx_http_apiscale_consumer_write(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_load_t *load);
static void ngx_http_apiscale_consumer_tell(
    ngx_http_apiscale_consumer_block_t *block, u_char *text, size_t len);
static void ngx_http_apiscale_consumer_end_process(void *data);

#if (NGX_THREADS)
static ngx_int_t ngx_http_apiscale_consumer_init_timer(ngx_cycle_t *cycle,
    ngx_http_apiscale_consumer_process_t *process);
static void ngx_http_apiscale_consumer_timer(ngx_event_t *ev);
static void ngx_http_apiscale_consumer_thread(void *data, ngx_log_t *log);
static void ngx_http_apiscale_consumer_done(ngx_event_t *ev);
#endif


/*
 * The handler of the zone.  Reads the file, unless the zone has it already;
 * what was read waits for ngx_http_apiscale_consumer_init_module().
 */

ngx_int_t
ngx_http_apiscale_consumer_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_apiscale_shm_rc_e                    rc;
    ngx_apiscale_shm_header_t               *h, *prev;
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = zone->data;

    rc = ngx_apiscale_shm_open(zone, NGX_HTTP_APISCALE_CONSUMER_MAGIC, &h);

    if (rc == NGX_APISCALE_SHM_ERROR) {
        return NGX_ERROR;
    }

    mcf->block = (ngx_http_apiscale_consumer_block_t *) h;

    if (ngx_http_apiscale_consumer_layout(zone, mcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (rc == NGX_APISCALE_SHM_NEW) {
        prev = ngx_apiscale_shm_previous(zone,
                                         NGX_HTTP_APISCALE_CONSUMER_MAGIC);
        if (prev) {
            ngx_http_apiscale_consumer_import(mcf->block,
                                 (ngx_http_apiscale_consumer_block_t *) prev);
        }
    }

    return ngx_http_apiscale_consumer_load_file(zone, mcf);
}


static ngx_int_t
ngx_http_apiscale_consumer_layout(ngx_shm_zone_t *zone,
    ngx_http_apiscale_consumer_main_conf_t *mcf)
{
    size_t  head;

    head = ngx_align(sizeof(ngx_http_apiscale_consumer_block_t), ngx_pagesize);

    if (mcf->block->header.size < head + 2 * ngx_pagesize) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "zone \"%V\" is too small", &zone->shm.name);
        return NGX_ERROR;
    }

    mcf->halves = (u_char *) mcf->block + head;
    mcf->half = (mcf->block->header.size - head) / 2
                & ~(size_t) 63;

    return NGX_OK;
}


/* what is counted does not fall when the zone's size changes */

static void
ngx_http_apiscale_consumer_import(ngx_http_apiscale_consumer_block_t *block,
    ngx_http_apiscale_consumer_block_t *prev)
{
    block->reloads = prev->reloads;
    block->failures = prev->failures;
}


/*
 * In the master.  A file that is wrong keeps nginx from starting, and the
 * running configuration in place.
 */

static ngx_int_t
ngx_http_apiscale_consumer_load_file(ngx_shm_zone_t *zone,
    ngx_http_apiscale_consumer_main_conf_t *mcf)
{
    ngx_int_t                           rc;
    ngx_uint_t                          tries;
    ngx_pool_cleanup_t                 *cln;
    ngx_http_apiscale_consumer_load_t  *load;

    cln = ngx_pool_cleanup_add(mcf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_apiscale_consumer_drop;
    cln->data = mcf;

    tries = 0;

    do {
        ngx_http_apiscale_consumer_free(mcf->load);

        load = ngx_http_apiscale_consumer_create_load(mcf);
        mcf->load = load;

        if (load == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_http_apiscale_consumer_examine(mcf, load);

    } while (rc == NGX_AGAIN && ++tries < 3);

    switch (rc) {

    case NGX_OK:
        return NGX_OK;

    case NGX_DECLINED:
        ngx_http_apiscale_consumer_drop(mcf);
        return NGX_OK;

    case NGX_AGAIN:
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "\"%V\" changed while it was read", &mcf->file);
        return NGX_ERROR;

    default:
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "%*s",
                      load->error_len, load->error);
        return NGX_ERROR;
    }
}


/* what was read for a configuration that is not used after all, too */

static void
ngx_http_apiscale_consumer_drop(void *data)
{
    ngx_http_apiscale_consumer_main_conf_t *mcf = data;

    ngx_http_apiscale_consumer_free(mcf->load);
    mcf->load = NULL;
}


static ngx_http_apiscale_consumer_load_t *
ngx_http_apiscale_consumer_create_load(
    ngx_http_apiscale_consumer_main_conf_t *mcf)
{
    ngx_http_apiscale_consumer_load_t  *load;

    load = calloc(1, sizeof(ngx_http_apiscale_consumer_load_t));

    if (load) {
        load->name = mcf->file;
    }

    return load;
}


/*
 * Reads the file if it looks different.  NGX_DECLINED if not; NGX_OK if it is
 * good: in the builder, or as it was loaded ("same"); NGX_ERROR with a
 * message, or "same" if that was told; NGX_AGAIN if it has to be read again.
 */

static ngx_int_t
ngx_http_apiscale_consumer_examine(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_load_t *load)
{
    ngx_int_t                            rc;
    uint64_t                             size;
    ngx_http_apiscale_consumer_block_t  *block;

    block = mcf->block;

    ngx_http_apiscale_consumer_stat(&load->name, &load->file);

    if (ngx_http_apiscale_consumer_is_seen(block, load)) {
        return NGX_DECLINED;
    }

    rc = ngx_http_apiscale_consumer_read(load);

    if (rc != NGX_OK) {
        return rc;
    }

    if (block->generation
        && ngx_memcmp(load->digest, block->digest, NGX_APISCALE_SHA256_LEN)
           == 0)
    {
        load->same = 1;
        return NGX_OK;
    }

    if (load->thread
        && ngx_memcmp(load->digest, block->seen_digest,
                      NGX_APISCALE_SHA256_LEN)
           == 0)
    {
        load->same = 1;
        return NGX_ERROR;
    }

    rc = ngx_http_apiscale_consumer_parse(load);

    if (rc != NGX_OK) {
        return rc;
    }

    size = apiscale_consumers_size(&load->builder);

    if (size > mcf->half) {
        load->error_len = ngx_snprintf(load->error,
                               NGX_HTTP_APISCALE_CONSUMER_ERROR,
                               "zone \"%V\" is too small for %uD consumers "
                               "with %uD keys of \"%V\", %uLk would do",
                               &mcf->zone->shm.name,
                               load->builder.consumers, load->builder.nkeys,
                               &mcf->file, (2 * size + size / 64) / 1024 + 64)
                          - load->error;
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * A file that had just been written is read once more, when it is sure that a
 * change shows.  The master has to say what is wrong with a file each time.
 */

static ngx_uint_t
ngx_http_apiscale_consumer_is_seen(ngx_http_apiscale_consumer_block_t *block,
    ngx_http_apiscale_consumer_load_t *load)
{
    ngx_http_apiscale_consumer_file_t  *seen, *file;

    seen = &block->seen;
    file = &load->file;

    if (seen->recent && !(load->thread && file->recent)) {
        return 0;
    }

    if (block->error_len && !load->thread) {
        return 0;
    }

    return (seen->ino || seen->err)
           && seen->dev == file->dev
           && seen->ino == file->ino
           && seen->size == file->size
           && seen->mtime_ns == file->mtime_ns
           && seen->ctime_ns == file->ctime_ns
           && (file->err == 0 || seen->err == file->err);
}


/*
 * Publishes what examine() found, with its return code.  NGX_BUSY if another
 * process is at it; NGX_ABORT if the zone belongs to a newer configuration.
 */

static ngx_int_t
ngx_http_apiscale_consumer_publish(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_load_t *load, ngx_int_t rc)
{
    ngx_slab_pool_t                     *shpool;
    ngx_http_apiscale_consumer_block_t  *block;

    block = mcf->block;
    shpool = (ngx_slab_pool_t *) mcf->zone->shm.addr;

    if (!ngx_shmtx_trylock(&shpool->mutex)) {
        return NGX_BUSY;
    }

    if (block->serial != mcf->serial) {
        ngx_shmtx_unlock(&shpool->mutex);
        return NGX_ABORT;
    }

    if (rc == NGX_OK) {

        if (!load->same) {
            ngx_http_apiscale_consumer_write(mcf, load);
        }

        ngx_http_apiscale_consumer_tell(block, load->error, 0);

    } else if (!load->same) {
        ngx_http_apiscale_consumer_set(&block->failures, block->failures + 1);
        ngx_http_apiscale_consumer_tell(block, load->error, load->error_len);
    }

    block->seen = load->file;
    ngx_memcpy(block->seen_digest, load->digest, NGX_APISCALE_SHA256_LEN);

    ngx_shmtx_unlock(&shpool->mutex);

    return NGX_OK;
}


/*
 * Readers of the other half find out that it is not what they had begun to
 * read: its generation is 0 before its first byte changes.
 */

static void
ngx_http_apiscale_consumer_write(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_load_t *load)
{
    uint64_t                             generation;
    apiscale_consumers_writer_t          writer;
    ngx_http_apiscale_consumer_half_t   *half;
    ngx_http_apiscale_consumer_block_t  *block;

    block = mcf->block;
    generation = block->generation + 1;
    half = &block->halves[generation & 1];

    ngx_http_apiscale_consumer_set(&half->generation, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    apiscale_consumers_write_start(&writer, &load->builder,
                                mcf->halves + (generation & 1) * mcf->half);

    while (apiscale_consumers_write_some(&writer,
                                         NGX_HTTP_APISCALE_CONSUMER_KEYS))
    {
        ngx_http_apiscale_consumer_pause(load);
    }

    ngx_http_apiscale_consumer_set(&half->bytes,
                                   apiscale_consumers_size(&load->builder));
    ngx_http_apiscale_consumer_set(&half->consumers, load->builder.consumers);
    ngx_http_apiscale_consumer_set(&half->keys, load->builder.nkeys);

    __atomic_store_n(&half->generation, generation, __ATOMIC_RELEASE);

    ngx_http_apiscale_consumer_set(&block->loaded,
                                   ngx_apiscale_unix_us() / 1000000);

    if (block->generation) {
        ngx_http_apiscale_consumer_set(&block->reloads, block->reloads + 1);
    }

    ngx_memcpy(block->digest, load->digest, NGX_APISCALE_SHA256_LEN);

    __atomic_store_n(&block->generation, generation, __ATOMIC_RELEASE);
}


static void
ngx_http_apiscale_consumer_tell(ngx_http_apiscale_consumer_block_t *block,
    u_char *text, size_t len)
{
    uint64_t  version;

    version = block->error_version | 1;

    ngx_http_apiscale_consumer_set(&block->error_version, version);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    ngx_memcpy(block->error, text, len);
    ngx_http_apiscale_consumer_set(&block->error_len, len);

    __atomic_store_n(&block->error_version, version + 1, __ATOMIC_RELEASE);
}


/*
 * Called in the master when the new configuration is sure to be used.  The
 * workers that run already see the new consumers at once.
 */

ngx_int_t
ngx_http_apiscale_consumer_init_module(ngx_cycle_t *cycle)
{
    uint64_t                                 end;
    ngx_int_t                                rc;
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                            ngx_http_apiscale_consumer_module);

    if (mcf == NULL || mcf->zone == NULL) {
        return NGX_OK;
    }

    /* from here on what workers of an older configuration read is void */

    mcf->serial = __atomic_add_fetch(&mcf->block->serial, 1, __ATOMIC_SEQ_CST);

    if (mcf->load == NULL) {
        return NGX_OK;
    }

    end = ngx_apiscale_monotonic_us() + NGX_HTTP_APISCALE_CONSUMER_WAIT_US;

    for ( ;; ) {
        rc = ngx_http_apiscale_consumer_publish(mcf, mcf->load, NGX_OK);

        if (rc != NGX_BUSY || ngx_apiscale_monotonic_us() > end) {
            break;
        }

        ngx_sched_yield();
    }

    if (rc != NGX_OK) {

        /* its owner was killed, and the master has yet to see it */

        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "zone \"%V\" is locked, \"%V\" will be loaded by a "
                      "worker", &mcf->zone->shm.name, &mcf->file);
        mcf->pending = 1;
    }

    ngx_http_apiscale_consumer_drop(mcf);

    return NGX_OK;
}


/*
 * Makes what a worker has for itself, and the timer of the first one.
 */

ngx_int_t
ngx_http_apiscale_consumer_init_process(ngx_cycle_t *cycle)
{
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                            ngx_http_apiscale_consumer_module);

    if (mcf == NULL || mcf->zone == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    if (ngx_http_apiscale_consumer_create_process(cycle, mcf) != NGX_OK) {
        return NGX_ERROR;
    }

#if (NGX_THREADS)
    if (ngx_worker == 0 && mcf->threads) {
        return ngx_http_apiscale_consumer_init_timer(cycle, mcf->process);
    }
#endif

    return NGX_OK;
}


/*
 * Makes what a worker needs to look keys up: mcf->process.
 */

ngx_int_t
ngx_http_apiscale_consumer_create_process(ngx_cycle_t *cycle,
    ngx_http_apiscale_consumer_main_conf_t *mcf)
{
    ngx_pool_cleanup_t                    *cln;
    ngx_http_apiscale_consumer_process_t  *process;

    cln = ngx_pool_cleanup_add(cycle->pool,
                               sizeof(ngx_http_apiscale_consumer_process_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    process = cln->data;

    ngx_memzero(process, sizeof(ngx_http_apiscale_consumer_process_t));

    cln->handler = ngx_http_apiscale_consumer_end_process;

    process->mcf = mcf;
    process->sha = ngx_apiscale_sha256_create();

    process->memo = ngx_pcalloc(cycle->pool,
                                NGX_HTTP_APISCALE_CONSUMER_MEMO
                                * sizeof(ngx_http_apiscale_consumer_memo_t));

    if (process->sha == NULL || process->memo == NULL
        || ngx_apiscale_shm_random(process->secret, sizeof(process->secret))
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "could not prepare SHA-256 for consumers");
        return NGX_ERROR;
    }

    mcf->process = process;

    return NGX_OK;
}


static void
ngx_http_apiscale_consumer_end_process(void *data)
{
    ngx_http_apiscale_consumer_process_t *process = data;

    ngx_apiscale_sha256_destroy(process->sha);

    if (process->timer.timer_set) {
        ngx_del_timer(&process->timer);
    }
}


#if (NGX_THREADS)

static ngx_int_t
ngx_http_apiscale_consumer_init_timer(ngx_cycle_t *cycle,
    ngx_http_apiscale_consumer_process_t *process)
{
    ngx_event_t        *ev;
    ngx_thread_task_t  *task;

    task = ngx_thread_task_alloc(cycle->pool, 0);
    if (task == NULL) {
        return NGX_ERROR;
    }

    task->ctx = process;
    task->handler = ngx_http_apiscale_consumer_thread;
    task->event.data = process;
    task->event.handler = ngx_http_apiscale_consumer_done;
    task->event.log = cycle->log;

    process->task = task;
    process->dummy.fd = (ngx_socket_t) -1;

    ev = &process->timer;

    ev->data = &process->dummy;
    ev->handler = ngx_http_apiscale_consumer_timer;
    ev->log = cycle->log;
    ev->cancelable = 1;

    process->dummy.data = process;

    ngx_add_timer(ev, process->mcf->pending
                      ? NGX_HTTP_APISCALE_CONSUMER_SOON
                      : process->mcf->reload);

    return NGX_OK;
}


/* also stat() may take its time, on a disk that is not here */

static void
ngx_http_apiscale_consumer_timer(ngx_event_t *ev)
{
    ngx_connection_t                      *c;
    ngx_http_apiscale_consumer_process_t  *process;

    if (ngx_exiting || ngx_quit || ngx_terminate) {
        return;
    }

    c = ev->data;
    process = c->data;

    process->load = ngx_http_apiscale_consumer_create_load(process->mcf);

    if (process->load) {
        process->load->thread = 1;

        if (ngx_thread_task_post(process->mcf->threads, process->task)
            == NGX_OK)
        {
            return;
        }

        ngx_http_apiscale_consumer_free(process->load);
        process->load = NULL;
    }

    ngx_add_timer(ev, process->mcf->reload);
}


static void
ngx_http_apiscale_consumer_thread(void *data, ngx_log_t *log)
{
    ngx_http_apiscale_consumer_process_t *process = data;

    ngx_int_t                           rc, done;
    ngx_http_apiscale_consumer_load_t  *load;

    load = process->load;

    rc = ngx_http_apiscale_consumer_examine(process->mcf, load);

    if (rc == NGX_OK || rc == NGX_ERROR) {
        done = ngx_http_apiscale_consumer_publish(process->mcf, load, rc);

        if (done != NGX_OK) {
            rc = done;
        }
    }

    ngx_http_apiscale_consumer_release(load);

    process->rc = rc;
}


/* in the worker again: threads do not log */

static void
ngx_http_apiscale_consumer_done(ngx_event_t *ev)
{
    ngx_msec_t                             next;
    ngx_http_apiscale_consumer_load_t     *load;
    ngx_http_apiscale_consumer_process_t  *process;

    process = ev->data;
    load = process->load;
    next = process->mcf->reload;

    switch (process->rc) {

    case NGX_OK:
        if (!load->same) {
            ngx_log_error(NGX_LOG_NOTICE, ev->log, 0,
                          "loaded %uD consumers with %uD keys from \"%V\"",
                          load->builder.consumers, load->builder.nkeys,
                          &process->mcf->file);
        }
        break;

    case NGX_ERROR:
        if (!load->same) {
            ngx_log_error(NGX_LOG_ERR, ev->log, 0,
                          "%*s, consumers loaded before are kept",
                          load->error_len, load->error);
        }
        break;

    case NGX_AGAIN:
    case NGX_BUSY:
        next = ngx_min(next, NGX_HTTP_APISCALE_CONSUMER_SOON);
        break;

    default: /* NGX_DECLINED, NGX_ABORT */
        break;
    }

    process->load = NULL;
    ngx_http_apiscale_consumer_free(load);

    if (!ngx_exiting) {
        ngx_add_timer(&process->timer, next);
    }
}

#endif


/*
 * Bytes of the zone that are in use, for the status page.
 */

uint64_t
ngx_http_apiscale_consumer_used(ngx_shm_zone_t *zone)
{
    ngx_slab_pool_t                         *shpool;
    ngx_http_apiscale_consumer_block_t      *block;
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = zone->data;
    block = mcf->block;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    return (uint64_t) (mcf->halves - (u_char *) shpool)
           + __atomic_load_n(&block->halves[0].bytes, __ATOMIC_RELAXED)
           + __atomic_load_n(&block->halves[1].bytes, __ATOMIC_RELAXED);
}
