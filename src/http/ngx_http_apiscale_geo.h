
/*
 * Copyright (C) apiscale authors
 */


/*
 * Geography, shared by the files of this feature alone:
 *
 *   ngx_http_apiscale_geo_conf.c      the directive
 *   ngx_http_apiscale_geo.c           variables
 *   ngx_http_apiscale_geo_reload.c    the timer that looks for new files
 *   ngx_http_apiscale_geo_status.c    counters and the status page
 */


#ifndef NGX_HTTP_APISCALE_GEO_H_INCLUDED_
#define NGX_HTTP_APISCALE_GEO_H_INCLUDED_


#include "ngx_http_apiscale.h"
#include "ngx_apiscale_mmdb.h"


/* of a file, counted by all workers; in shared memory */

typedef struct {
    u_char                           id[16];      /* MD5 of the name */
    ngx_atomic_t                     reloads;
    ngx_atomic_t                     failures;
} ngx_http_apiscale_geo_counters_t;


/*
 * A file, loaded once however many blocks name it.  What the timer of a
 * worker writes belongs to this worker alone: the configuration was copied
 * when it was forked.  Requests only read.
 */

typedef struct {
    ngx_str_t                        name;        /* full path */
    ngx_msec_t                       reload;      /* 0: never */
    ngx_http_apiscale_geo_counters_t  *counters;

    /* written by the timer */

    ngx_apiscale_mmdb_t             *mmdb;
    ngx_uint_t                       serial;      /* of mmdb, from 1 on */
    ngx_apiscale_mmdb_id_t           id;          /* of what was read last */
    time_t                           loaded;
    ngx_apiscale_mmdb_error_t       *error;       /* NULL: none yet */
    unsigned                         failed:1;    /* the last time */

    ngx_event_t                      timer;
    void                            *task;        /* ngx_thread_task_t */
    void                            *threads;     /* ngx_thread_pool_t */
} ngx_http_apiscale_geo_file_t;


/* a file with a source of addresses: one look-up in a request */

typedef struct {
    ngx_http_apiscale_geo_file_t    *file;
    ngx_http_complex_value_t        *source;      /* NULL: the client */
    ngx_str_t                        source_text;
    ngx_uint_t                       index;
    ngx_uint_t                       nvars;
} ngx_http_apiscale_geo_lookup_t;


typedef struct {
    ngx_http_apiscale_geo_lookup_t  *lookup;
    ngx_uint_t                       index;       /* of the look-up's */
    const char                     **path;        /* NULL at the end */
    ngx_str_t                        def;
    unsigned                         has_default:1;
} ngx_http_apiscale_geo_var_t;


typedef struct {
    ngx_array_t                      files;
                                      /* ngx_http_apiscale_geo_file_t * */
    ngx_array_t                      lookups;
                                      /* ngx_http_apiscale_geo_lookup_t * */

    /* the block that is being parsed */

    ngx_http_apiscale_geo_lookup_t  *lookup;
    ngx_uint_t                       vars;
} ngx_http_apiscale_geo_main_conf_t;


ngx_int_t ngx_http_apiscale_geo_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

char *ngx_http_apiscale_geo_reload_conf(ngx_conf_t *cf,
    ngx_http_apiscale_geo_file_t *file);
ngx_int_t ngx_http_apiscale_geo_init_process(ngx_cycle_t *cycle);

ngx_int_t ngx_http_apiscale_geo_status_init(ngx_conf_t *cf);


extern ngx_module_t  ngx_http_apiscale_geo_module;


#endif /* NGX_HTTP_APISCALE_GEO_H_INCLUDED_ */
