
/*
 * Copyright (C) apiscale authors
 */


/*
 * Rate limits, shared by the files of this feature alone:
 *
 *   ngx_http_apiscale_limit.c          directives and variables
 *   ngx_http_apiscale_limit_zone.c     shared memory, reload, status section
 *   ngx_http_apiscale_limit_charge.c   the phase handler
 *   ngx_http_apiscale_limit_headers.c  what the client is told
 */


#ifndef NGX_HTTP_APISCALE_LIMIT_H_INCLUDED_
#define NGX_HTTP_APISCALE_LIMIT_H_INCLUDED_


#include "ngx_http_apiscale.h"
#include "apiscale_gcra.h"
#include "apiscale_siphash.h"
#include "apiscale_table.h"
#include "ngx_apiscale_shm.h"


#define NGX_HTTP_APISCALE_LIMIT_GENERATIONS  16

/* workers count in lanes of their own, so that they share no cache line */
#define NGX_HTTP_APISCALE_LIMIT_LANES        8

#define NGX_HTTP_APISCALE_LIMIT_MAX_NAME     64

/* an Integer of RFC 9651, as "q" and "r" are, has no more than 15 digits */
#define NGX_HTTP_APISCALE_LIMIT_MAX_BURST    999999999999999


/* results of a policy's decision, counted in shared memory */

typedef enum {
    NGX_HTTP_APISCALE_DECISION_PASSED = 0,
    NGX_HTTP_APISCALE_DECISION_REJECTED,
    NGX_HTTP_APISCALE_DECISION_DRY_RUN,
    NGX_HTTP_APISCALE_DECISIONS
} ngx_http_apiscale_decision_e;


/* $apiscale_limit_status */

typedef enum {
    NGX_HTTP_APISCALE_LIMIT_NONE = 0,
    NGX_HTTP_APISCALE_LIMIT_BYPASSED,
    NGX_HTTP_APISCALE_LIMIT_PASSED,
    NGX_HTTP_APISCALE_LIMIT_DRY_RUN,
    NGX_HTTP_APISCALE_LIMIT_REJECTED
} ngx_http_apiscale_limit_status_e;


/* apiscale_limit_headers */

#define NGX_HTTP_APISCALE_LIMIT_X_EPOCH      0x01
#define NGX_HTTP_APISCALE_LIMIT_X_DELTA      0x02
#define NGX_HTTP_APISCALE_LIMIT_RATELIMIT    0x04
#define NGX_HTTP_APISCALE_LIMIT_OFF          0x08


/*
 * What a zone remembers of a policy.  An entry of the table tells the rate
 * under which its debt was made by a generation, an index into "intervals";
 * whoever finds another generation than its own rescales the debt.
 */

typedef struct {
    uint64_t  id;                         /* 0: free */
    uint64_t  generation;                 /* of the newest configuration */
    uint64_t  intervals[NGX_HTTP_APISCALE_LIMIT_GENERATIONS];
    uint64_t  reserved[6];                /* fills the cache line */
    uint64_t  decisions[NGX_HTTP_APISCALE_LIMIT_LANES][8];
} ngx_http_apiscale_limit_slot_t;


typedef struct {
    ngx_apiscale_shm_header_t  header;
    uint64_t                   secret[4];  /* of keys, of policies */
    uint64_t                   nslots;
    uint64_t                   nsets;
    uint64_t                   evicted_live;
} ngx_http_apiscale_limit_sh_t;


typedef struct {
    ngx_shm_zone_t                   *shm_zone;
    ngx_str_t                         name;
    ngx_array_t                       policies;
                                     /* ngx_http_apiscale_limit_policy_t * */
    apiscale_table_t                  table;
    ngx_http_apiscale_limit_sh_t     *sh;
    ngx_http_apiscale_limit_slot_t   *slots;
    apiscale_siphash_t                hash;         /* of keys */
} ngx_http_apiscale_limit_zone_t;


/* shared by all lines that name it in one zone */

typedef struct {
    ngx_str_t                         name;
    ngx_str_t                         rate;         /* as written */
    uint64_t                          quota;        /* N of the rate */
    uint64_t                          period_s;
    apiscale_gcra_t                   gcra;

    ngx_http_apiscale_limit_zone_t   *zone;
    ngx_http_apiscale_limit_slot_t   *slot;
    unsigned                          generation;
    uint64_t                          salt;         /* of the keys' hash */

    ngx_str_t                         limit_value;  /* X-RateLimit-Limit */
    ngx_str_t                         policy_item;  /* of RateLimit-Policy */
    ngx_str_t                         state_item;   /* of RateLimit */
} ngx_http_apiscale_limit_policy_t;


/* an apiscale_limit line */

typedef struct {
    ngx_str_t                          zone_name;
    ngx_http_complex_value_t          *key;         /* NULL: client's net */
    ngx_str_t                          key_text;
    ngx_http_complex_value_t          *cost;        /* NULL: 1 */
    ngx_http_apiscale_limit_policy_t  *policy;
    ngx_flag_t                         dry_run;
    u_char                            *file;
    ngx_uint_t                         line;
} ngx_http_apiscale_limit_t;


typedef struct {
    ngx_array_t  zones;                   /* ngx_http_apiscale_limit_zone_t
                                             pointers */
    ngx_array_t  lines;                   /* ngx_http_apiscale_limit_t * */
} ngx_http_apiscale_limit_main_conf_t;


typedef struct {
    ngx_array_t               *limits;    /* ngx_http_apiscale_limit_t * */
    ngx_flag_t                 inherit;
    ngx_flag_t                 off;
    ngx_uint_t                 status;
    ngx_uint_t                 log_level;
    ngx_uint_t                 headers;
    ngx_flag_t                 dry_run;
    ngx_str_t                  policy_header;
                                          /* RateLimit-Policy when all apply */
} ngx_http_apiscale_limit_conf_t;


/* what a policy said of a request */

typedef struct {
    ngx_http_apiscale_limit_policy_t  *policy;
    uint64_t                           cost;
    apiscale_ref_t                     ref;
    apiscale_gcra_result_t             gcra;
    ngx_flag_t                         dry_run;
    ngx_flag_t                         rejected;
} ngx_http_apiscale_limit_result_t;


/* the state of a request, in rec->limit */

typedef struct {
    ngx_http_apiscale_limit_conf_t    *conf;        /* of the first charge */
    ngx_http_apiscale_limit_result_t  *results;
    ngx_uint_t                         nresults;
    ngx_http_apiscale_limit_result_t  *shown;       /* once chosen */
    ngx_http_apiscale_limit_status_e   status;
    unsigned                           chosen;
    unsigned                           extended;    /* in several locations */
    unsigned                           sent;        /* headers were added */
} ngx_http_apiscale_limit_ctx_t;


char *ngx_http_apiscale_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_http_apiscale_limit_zone_t *ngx_http_apiscale_limit_find_zone(
    ngx_http_apiscale_limit_main_conf_t *lmcf, ngx_str_t *name);
ngx_int_t ngx_http_apiscale_limit_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
ngx_uint_t ngx_http_apiscale_limit_zone_slots(ngx_shm_zone_t *shm_zone);
ngx_int_t ngx_http_apiscale_limit_status_init(ngx_conf_t *cf,
    ngx_http_apiscale_limit_main_conf_t *lmcf);
ngx_http_apiscale_limit_result_t *ngx_http_apiscale_limit_shown(
    ngx_http_apiscale_limit_ctx_t *ctx);

uint64_t ngx_http_apiscale_limit_retry_s(
    ngx_http_apiscale_limit_result_t *res);
uint64_t ngx_http_apiscale_limit_reset_unix(
    ngx_http_apiscale_limit_result_t *res);


/*
 * Counts a decision in the lane of this worker.
 */

static ngx_inline void
ngx_http_apiscale_limit_count(ngx_http_apiscale_limit_policy_t *policy,
    ngx_http_apiscale_decision_e decision)
{
    ngx_uint_t  lane;

    lane = ngx_worker % NGX_HTTP_APISCALE_LIMIT_LANES;

    __atomic_fetch_add(&policy->slot->decisions[lane][decision], 1,
                       __ATOMIC_RELAXED);
}


#endif /* NGX_HTTP_APISCALE_LIMIT_H_INCLUDED_ */
