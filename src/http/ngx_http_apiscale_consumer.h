
/*
 * Copyright (C) apiscale authors
 */


/*
 * Consumers: who calls.  Within the feature:
 *
 *     ngx_http_apiscale_consumer.c          directives and configuration
 *     ngx_http_apiscale_consumer_file.c     a file becomes a builder, also in
 *                                           a thread: nothing of nginx there
 *     ngx_http_apiscale_consumer_zone.c     the zone, its generations, reload
 *     ngx_http_apiscale_consumer_request.c  who calls, variables, access
 *     ngx_http_apiscale_consumer_status.c   the section of the status page
 */


#ifndef NGX_HTTP_APISCALE_CONSUMER_H_INCLUDED_
#define NGX_HTTP_APISCALE_CONSUMER_H_INCLUDED_


#include "ngx_http_apiscale.h"
#include "ngx_apiscale_sha256.h"
#include "ngx_apiscale_shm.h"
#include "apiscale_consumers.h"


/* changes with the layout of the block or of an image */
#define NGX_HTTP_APISCALE_CONSUMER_MAGIC   0x6170697363733031ULL

#define NGX_HTTP_APISCALE_CONSUMER_ERROR   1024     /* of a message, bytes */
#define NGX_HTTP_APISCALE_CONSUMER_MEMO    1024     /* keys, a power of two */

#define NGX_HTTP_APISCALE_CONSUMER_FILE_MAX   (1024 * 1024 * 1024)
#define NGX_HTTP_APISCALE_CONSUMER_VALUE_MAX  (1024 * 1024)
#define NGX_HTTP_APISCALE_CONSUMER_DEPTH      32


typedef enum {
    NGX_HTTP_APISCALE_CONSUMER_OPTIONAL = 0,
    NGX_HTTP_APISCALE_CONSUMER_REQUIRED
} ngx_http_apiscale_consumer_mode_e;


/*
 * What a file looks like from outside.  "recent" is set for one that was
 * written so short ago that it may change without looking different.
 */

typedef struct {
    uint64_t  dev;
    uint64_t  ino;
    uint64_t  size;
    uint64_t  mtime_ns;
    uint64_t  ctime_ns;
    uint64_t  err;                        /* errno of stat() or open() */
    uint64_t  recent;
} ngx_http_apiscale_consumer_file_t;


/* one of the two images of the zone */

typedef struct {
    uint64_t  generation;                 /* 0: none, or being written */
    uint64_t  bytes;
    uint64_t  consumers;
    uint64_t  keys;
} ngx_http_apiscale_consumer_half_t;


/*
 * The begin of the zone.  Written by who holds the slab's mutex, which is
 * only tried, never waited for; read by all without it.  Generation g is in
 * half g & 1.
 */

typedef struct {
    ngx_apiscale_shm_header_t          header;
    uint64_t                           generation;   /* 0: none yet */
    ngx_http_apiscale_consumer_half_t  halves[2];

    uint64_t                           serial;       /* of the configuration */
    uint64_t                           loaded;       /* Unix time, seconds */
    uint64_t                           reloads;
    uint64_t                           failures;

    /* the file as last seen, good or bad, and its contents */

    ngx_http_apiscale_consumer_file_t  seen;
    u_char                             seen_digest[NGX_APISCALE_SHA256_LEN];
    u_char                             digest[NGX_APISCALE_SHA256_LEN];

    /* what is wrong with it; odd while it is written */

    uint64_t                           error_version;
    uint64_t                           error_len;
    u_char                             error[NGX_HTTP_APISCALE_CONSUMER_ERROR];
} ngx_http_apiscale_consumer_block_t;


/* a file that is being read, in memory of no pool */

typedef struct {
    ngx_str_t                          name;
    ngx_http_apiscale_consumer_file_t  file;
    u_char                            *data;
    size_t                             size;
    u_char                             digest[NGX_APISCALE_SHA256_LEN];

    apiscale_consumers_builder_t       builder;

    size_t                             error_len;
    u_char                             error[NGX_HTTP_APISCALE_CONSUMER_ERROR];

    unsigned                           thread:1;     /* not in the master */
    unsigned                           same:1;       /* as it was */
} ngx_http_apiscale_consumer_load_t;


/* a key that was looked up: its keyed hash, never its text */

typedef struct {
    uint64_t  hash[2];
    uint64_t  generation;
    uint64_t  record;
} ngx_http_apiscale_consumer_memo_t;


typedef struct ngx_http_apiscale_consumer_main_conf_s
    ngx_http_apiscale_consumer_main_conf_t;


/* what a worker has for itself */

typedef struct {
    ngx_apiscale_sha256_t                   *sha;
    uint64_t                                 secret[2];
    ngx_http_apiscale_consumer_memo_t       *memo;

    ngx_event_t                              timer;
    ngx_connection_t                         dummy;  /* for the timer's log */
#if (NGX_THREADS)
    ngx_thread_task_t                       *task;
#endif
    ngx_http_apiscale_consumer_main_conf_t  *mcf;
    ngx_http_apiscale_consumer_load_t       *load;
    ngx_int_t                                rc;     /* of the task */
} ngx_http_apiscale_consumer_process_t;


struct ngx_http_apiscale_consumer_main_conf_s {
    ngx_shm_zone_t                        *zone;
    ngx_str_t                              file;     /* null-terminated */
    ngx_msec_t                             reload;   /* 0: never */
#if (NGX_THREADS)
    ngx_thread_pool_t                     *threads;
#endif
    ngx_pool_t                            *pool;     /* of the cycle */

    u_char                                *conf_file;
    ngx_uint_t                             line;     /* first "required" */

    ngx_http_apiscale_consumer_block_t    *block;
    u_char                                *halves;
    size_t                                 half;     /* bytes of each */
    uint64_t                               serial;
    ngx_http_apiscale_consumer_load_t     *load;     /* until published */
    ngx_http_apiscale_consumer_process_t  *process;

    unsigned                               pending:1;
};


typedef struct {
    ngx_int_t                  index;     /* of a variable, or NGX_ERROR */
    ngx_http_complex_value_t  *key;
} ngx_http_apiscale_consumer_srv_conf_t;


typedef struct {
    ngx_uint_t  mode;                     /* optional, required */
} ngx_http_apiscale_consumer_loc_conf_t;


/* of a request: strings of its pool; empty where there is nothing */

typedef struct {
    ngx_str_t         id;
    ngx_str_t         plan;
    ngx_str_t         version;
    ngx_table_elt_t  *challenge;          /* our WWW-Authenticate */
    unsigned          key:1;              /* a key was given */
} ngx_http_apiscale_consumer_ctx_t;


/* file */

void ngx_http_apiscale_consumer_stat(ngx_str_t *name,
    ngx_http_apiscale_consumer_file_t *file);
ngx_int_t ngx_http_apiscale_consumer_read(
    ngx_http_apiscale_consumer_load_t *load);
ngx_int_t ngx_http_apiscale_consumer_parse(
    ngx_http_apiscale_consumer_load_t *load);
void ngx_http_apiscale_consumer_pause(
    ngx_http_apiscale_consumer_load_t *load);
void ngx_http_apiscale_consumer_release(
    ngx_http_apiscale_consumer_load_t *load);
void ngx_http_apiscale_consumer_free(ngx_http_apiscale_consumer_load_t *load);

/* zone */

ngx_int_t ngx_http_apiscale_consumer_init_zone(ngx_shm_zone_t *zone,
    void *data);
ngx_int_t ngx_http_apiscale_consumer_init_module(ngx_cycle_t *cycle);
ngx_int_t ngx_http_apiscale_consumer_init_process(ngx_cycle_t *cycle);
ngx_int_t ngx_http_apiscale_consumer_create_process(ngx_cycle_t *cycle,
    ngx_http_apiscale_consumer_main_conf_t *mcf);
uint64_t ngx_http_apiscale_consumer_used(ngx_shm_zone_t *zone);

/* request */

ngx_int_t ngx_http_apiscale_consumer_add_variables(ngx_conf_t *cf);

/* status */

ngx_int_t ngx_http_apiscale_consumer_add_section(ngx_conf_t *cf);


#endif /* NGX_HTTP_APISCALE_CONSUMER_H_INCLUDED_ */
