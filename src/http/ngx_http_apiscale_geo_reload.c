
/*
 * Copyright (C) apiscale authors
 */


/*
 * Each worker looks for a new file by a timer of its own.  A thread reads and
 * checks it, the event loop exchanges a pointer, and a thread frees the old
 * database: no request waits.  A file that is not good changes nothing.
 */


#include "ngx_http_apiscale_geo.h"


#if (NGX_THREADS)

#include <ngx_thread_pool.h>


/* what a thread works on; between two posts it is the event loop's */

typedef struct {
    ngx_http_apiscale_geo_file_t  *file;
    ngx_int_t                      rc;
    ngx_apiscale_mmdb_t           *mmdb;          /* loaded, or to be freed */
    ngx_apiscale_mmdb_id_t         id;
    ngx_apiscale_mmdb_error_t      error;
} ngx_http_apiscale_geo_task_t;


static void ngx_http_apiscale_geo_timer(ngx_event_t *ev);
static void ngx_http_apiscale_geo_load(void *data, ngx_log_t *log);
static void ngx_http_apiscale_geo_loaded(ngx_event_t *ev);
static void ngx_http_apiscale_geo_failed(ngx_http_apiscale_geo_file_t *file,
    ngx_http_apiscale_geo_task_t *task);
static void ngx_http_apiscale_geo_free(void *data, ngx_log_t *log);
static void ngx_http_apiscale_geo_freed(ngx_event_t *ev);


/*
 * Prepares a file that has a reload time, once or again.
 */

char *
ngx_http_apiscale_geo_reload_conf(ngx_conf_t *cf,
    ngx_http_apiscale_geo_file_t *file)
{
    ngx_thread_task_t             *task;
    ngx_http_apiscale_geo_task_t  *ctx;

    if (file->task) {
        return NGX_CONF_OK;
    }

    file->threads = ngx_thread_pool_add(cf, NULL);
    if (file->threads == NULL) {
        return NGX_CONF_ERROR;
    }

    file->error = ngx_pcalloc(cf->pool, sizeof(ngx_apiscale_mmdb_error_t));
    if (file->error == NULL) {
        return NGX_CONF_ERROR;
    }

    task = ngx_thread_task_alloc(cf->pool,
                                 sizeof(ngx_http_apiscale_geo_task_t));
    if (task == NULL) {
        return NGX_CONF_ERROR;
    }

    ctx = task->ctx;
    ctx->file = file;

    task->event.data = task;
    file->task = task;

    return NGX_CONF_OK;
}


/*
 * Starts the timers of a worker, each a part of the interval after that of
 * the worker before.
 */

ngx_int_t
ngx_http_apiscale_geo_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                           i, n;
    ngx_core_conf_t                     *ccf;
    ngx_http_apiscale_geo_file_t       **files, *file;
    ngx_http_apiscale_geo_main_conf_t   *gmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    gmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_apiscale_geo_module);

    if (gmcf == NULL) {
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);
    n = ngx_max(ccf->worker_processes, 1);

    files = gmcf->files.elts;

    for (i = 0; i < gmcf->files.nelts; i++) {

        file = files[i];

        if (file->reload == 0) {
            continue;
        }

        file->timer.handler = ngx_http_apiscale_geo_timer;
        file->timer.data = file;
        file->timer.log = cycle->log;
        file->timer.cancelable = 1;

        ngx_add_timer(&file->timer,
                      ngx_max(file->reload / n * (ngx_worker % n + 1), 1));
    }

    return NGX_OK;
}


static void
ngx_http_apiscale_geo_timer(ngx_event_t *ev)
{
    ngx_thread_task_t             *task;
    ngx_http_apiscale_geo_file_t  *file;
    ngx_http_apiscale_geo_task_t  *ctx;

    file = ev->data;
    task = file->task;
    ctx = task->ctx;

    ctx->mmdb = NULL;
    ctx->id = file->id;

    task->handler = ngx_http_apiscale_geo_load;
    task->event.handler = ngx_http_apiscale_geo_loaded;

    if (ngx_thread_task_post(file->threads, task) != NGX_OK) {
        ngx_add_timer(&file->timer, file->reload);
    }
}


/* in a thread: touches nothing but the task, and the name of the file */

static void
ngx_http_apiscale_geo_load(void *data, ngx_log_t *log)
{
    ngx_http_apiscale_geo_task_t *ctx = data;

    ctx->rc = ngx_apiscale_mmdb_load(&ctx->mmdb, &ctx->file->name, &ctx->id,
                                     &ctx->error, log);
}


static void
ngx_http_apiscale_geo_loaded(ngx_event_t *ev)
{
    ngx_thread_task_t               *task;
    ngx_apiscale_mmdb_t             *old;
    const ngx_apiscale_mmdb_info_t  *info;
    ngx_http_apiscale_geo_file_t    *file;
    ngx_http_apiscale_geo_task_t    *ctx;

    task = ev->data;
    ctx = task->ctx;
    file = ctx->file;

    file->id = ctx->id;

    if (ctx->rc != NGX_OK) {

        if (ctx->rc == NGX_ERROR) {
            ngx_http_apiscale_geo_failed(file, ctx);
        }

        ngx_add_timer(&file->timer, file->reload);
        return;
    }

    old = file->mmdb;

    file->mmdb = ctx->mmdb;
    file->serial++;
    file->loaded = ngx_time();
    file->failed = 0;

    if (file->counters) {
        (void) ngx_atomic_fetch_add(&file->counters->reloads, 1);
    }

    info = ngx_apiscale_mmdb_info(file->mmdb);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "apiscale_geo: \"%V\" was reloaded, built at %uL, "
                  "%ui nodes", &file->name, info->build, info->nodes);

    /* requests hold copies only: nobody uses the old one any more */

    ctx->mmdb = old;

    task->handler = ngx_http_apiscale_geo_free;
    task->event.handler = ngx_http_apiscale_geo_freed;

    if (ngx_thread_task_post(file->threads, task) != NGX_OK) {
        ngx_apiscale_mmdb_free(old);
        ngx_add_timer(&file->timer, file->reload);
    }
}


/* a reason is logged once, and again after something else has happened */

static void
ngx_http_apiscale_geo_failed(ngx_http_apiscale_geo_file_t *file,
    ngx_http_apiscale_geo_task_t *ctx)
{
    if (file->counters) {
        (void) ngx_atomic_fetch_add(&file->counters->failures, 1);
    }

    if (file->failed && ngx_strcmp(file->error->text, ctx->error.text) == 0) {
        return;
    }

    file->failed = 1;
    *file->error = ctx->error;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "apiscale_geo: the database of before stays in use: %s",
                  ctx->error.text);
}


static void
ngx_http_apiscale_geo_free(void *data, ngx_log_t *log)
{
    ngx_http_apiscale_geo_task_t *ctx = data;

    ngx_apiscale_mmdb_free(ctx->mmdb);
}


static void
ngx_http_apiscale_geo_freed(ngx_event_t *ev)
{
    ngx_thread_task_t             *task;
    ngx_http_apiscale_geo_task_t  *ctx;

    task = ev->data;
    ctx = task->ctx;

    ngx_add_timer(&ctx->file->timer, ctx->file->reload);
}


#else

/*
 * Without threads a worker would stop while it reads a file.
 */

char *
ngx_http_apiscale_geo_reload_conf(ngx_conf_t *cf,
    ngx_http_apiscale_geo_file_t *file)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"reload\" needs an nginx that was built with "
                       "\"--with-threads\"");
    return NGX_CONF_ERROR;
}


/*
 * There is no timer to start.
 */

ngx_int_t
ngx_http_apiscale_geo_init_process(ngx_cycle_t *cycle)
{
    return NGX_OK;
}

#endif
