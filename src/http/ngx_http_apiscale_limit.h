
/*
 * Copyright (C) apiscale authors
 */


/*
 * Rate limits, shared by the files of this feature alone:
 *
 *   ngx_http_apiscale_limit.c            directives
 *   ngx_http_apiscale_limit_params.c     the parameters of a line
 *   ngx_http_apiscale_limit_policy.c     rates and plans, lines bound to them
 *   ngx_http_apiscale_limit_charge.c     the phase handlers
 *   ngx_http_apiscale_limit_settle.c     what a charge is corrected by
 *   ngx_http_apiscale_limit_headers.c    what the client is told
 *   ngx_http_apiscale_limit_variables.c  what the configuration is told
 *   ngx_http_apiscale_limit_zone.c       shared memory, reload
 *   ngx_http_apiscale_limit_status.c     what the status page is told
 */


#ifndef NGX_HTTP_APISCALE_LIMIT_H_INCLUDED_
#define NGX_HTTP_APISCALE_LIMIT_H_INCLUDED_


#include "ngx_http_apiscale.h"
#include "apiscale_bucket.h"
#include "apiscale_keyhash.h"
#include "ngx_apiscale_shm.h"
#include "ngx_apiscale_time.h"


#define NGX_HTTP_APISCALE_LIMIT_GENERATIONS  16

/* workers count in lanes of their own, so that they share no cache line */
#define NGX_HTTP_APISCALE_LIMIT_LANES        8

#define NGX_HTTP_APISCALE_LIMIT_MAX_NAME     64

/* an Integer of RFC 9651, as "q" and "r" are, has no more than 15 digits */
#define NGX_HTTP_APISCALE_LIMIT_MAX_BURST    999999999999999

/* a count that an origin states above it is not believed */
#define NGX_HTTP_APISCALE_LIMIT_MAX_SETTLE   0x7fffffff

/* "count=" knows the statuses from 100 to 599 */
#define NGX_HTTP_APISCALE_LIMIT_MIN_CODE     100
#define NGX_HTTP_APISCALE_LIMIT_CODES        500


/* results of a policy's decision, counted in shared memory */

typedef enum {
    NGX_HTTP_APISCALE_DECISION_PASSED = 0,
    NGX_HTTP_APISCALE_DECISION_REJECTED,
    NGX_HTTP_APISCALE_DECISION_DRY_RUN,
    NGX_HTTP_APISCALE_DECISION_DELAYED,
    NGX_HTTP_APISCALE_DECISIONS
} ngx_http_apiscale_decision_e;


/* $apiscale_limit_status */

typedef enum {
    NGX_HTTP_APISCALE_LIMIT_NONE = 0,
    NGX_HTTP_APISCALE_LIMIT_BYPASSED,
    NGX_HTTP_APISCALE_LIMIT_PASSED,
    NGX_HTTP_APISCALE_LIMIT_DELAYED,
    NGX_HTTP_APISCALE_LIMIT_DRY_RUN,
    NGX_HTTP_APISCALE_LIMIT_REJECTED
} ngx_http_apiscale_limit_status_e;


/* "at=", in the order in which a request meets them */

typedef enum {
    NGX_HTTP_APISCALE_LIMIT_ARRIVAL = 0,
    NGX_HTTP_APISCALE_LIMIT_ACCESS,
    NGX_HTTP_APISCALE_LIMIT_UPSTREAM,
    NGX_HTTP_APISCALE_LIMIT_STAGES
} ngx_http_apiscale_limit_stage_e;


/* apiscale_limit_headers */

#define NGX_HTTP_APISCALE_LIMIT_X_EPOCH      0x01
#define NGX_HTTP_APISCALE_LIMIT_X_DELTA      0x02
#define NGX_HTTP_APISCALE_LIMIT_RATELIMIT    0x04
#define NGX_HTTP_APISCALE_LIMIT_OFF          0x08

/* flags of a line, and of its results */

#define NGX_HTTP_APISCALE_LIMIT_DRY          0x01   /* dry_run */
#define NGX_HTTP_APISCALE_LIMIT_DELAYS       0x02
#define NGX_HTTP_APISCALE_LIMIT_SETTLES      0x04   /* may be corrected */
#define NGX_HTTP_APISCALE_LIMIT_WINDOWS      0x08   /* fixed or sliding */
#define NGX_HTTP_APISCALE_LIMIT_VARIES       0x10   /* plan, cost or scale */
#define NGX_HTTP_APISCALE_LIMIT_REJECTS      0x20   /* of results alone */


/*
 * What a zone remembers of a policy.  An entry of the table tells the rate
 * under which its state was written by a generation, an index into "rates"
 * (APISCALE_BUCKET_RATE); whoever finds another than its own converts it.
 */

typedef struct {
    uint64_t  id;                         /* 0: free */
    uint64_t  generation;                 /* of the newest configuration */
    uint64_t  rates[NGX_HTTP_APISCALE_LIMIT_GENERATIONS];
    uint64_t  reserved[6];                /* fills the cache line */
    uint64_t  decisions[NGX_HTTP_APISCALE_LIMIT_LANES][8];
} ngx_http_apiscale_limit_slot_t;


typedef struct {
    ngx_apiscale_shm_header_t  header;
    uint64_t                   secret[APISCALE_KEYHASH_SECRETS];
    uint64_t                   salt[2];   /* secret of policies */
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
    apiscale_keyhash_t                hash;
} ngx_http_apiscale_limit_zone_t;


/* shared by all lines that name it, or its plan, in one zone */

typedef struct {
    apiscale_policy_t                 bucket;
    uint64_t                          salt;         /* of the keys' hash */
    ngx_http_apiscale_limit_zone_t   *zone;
    ngx_http_apiscale_limit_slot_t   *slot;

    ngx_str_t                         plan;         /* empty: of a line */
    ngx_str_t                         name;
    ngx_str_t                         rate;         /* as written */
    uint64_t                          quota;        /* N of the rate */
    unsigned                          burst_written:1;

    ngx_str_t                         limit_value;  /* X-RateLimit-Limit */
    ngx_str_t                         policy_item;  /* of RateLimit-Policy */
    ngx_str_t                         state_item;   /* of RateLimit */
} ngx_http_apiscale_limit_policy_t;


/* apiscale_plan; bound to a zone when a line refers to it */

typedef struct {
    ngx_str_t    name;
    ngx_array_t  policies;           /* ngx_http_apiscale_limit_policy_t * */
} ngx_http_apiscale_limit_plan_t;


typedef struct {
    u_char  bits[(NGX_HTTP_APISCALE_LIMIT_CODES + 7) / 8];
} ngx_http_apiscale_limit_codes_t;


/* an apiscale_limit line */

typedef struct {
    ngx_http_complex_value_t          *key;         /* NULL: client's net */
    ngx_http_complex_value_t          *cost;        /* NULL: 1 */
    ngx_http_complex_value_t          *scale;       /* NULL: 1 */
    ngx_http_complex_value_t          *settle;
    ngx_http_apiscale_limit_codes_t   *count;
    ngx_http_apiscale_limit_stage_e    stage;
    ngx_uint_t                         flags;

    ngx_http_apiscale_limit_zone_t    *zone;
    ngx_http_apiscale_limit_policy_t  *policy;      /* unless it has plans */
    ngx_uint_t                         npolicies;   /* at most, of a plan */

    ngx_http_complex_value_t          *plan;
    ngx_http_apiscale_limit_plan_t    *plans;       /* of the zone */
    ngx_uint_t                         nplans;
    ngx_http_apiscale_limit_plan_t    *default_plan;

    /* as written */

    ngx_str_t                          zone_name;
    ngx_str_t                          key_text;
    ngx_str_t                          plan_name;   /* default_plan= */
    u_char                            *file;
    ngx_uint_t                         line;
} ngx_http_apiscale_limit_t;


typedef struct {
    ngx_array_t                       zones;
                                     /* ngx_http_apiscale_limit_zone_t * */
    ngx_array_t                       lines;  /* ngx_http_apiscale_limit_t * */
    ngx_array_t                       plans;
                                     /* ngx_http_apiscale_limit_plan_t */
} ngx_http_apiscale_limit_main_conf_t;


/* the lines of a location that are of one stage */

typedef struct {
    ngx_http_apiscale_limit_t  **lines;
    ngx_uint_t                   nlines;
    ngx_uint_t                   nresults;          /* at most */
    ngx_uint_t                   flags;             /* of all of them */
} ngx_http_apiscale_limit_lines_t;


typedef struct {
    ngx_http_apiscale_limit_lines_t  stages[NGX_HTTP_APISCALE_LIMIT_STAGES];
    ngx_uint_t                       nresults;      /* of all stages */
    ngx_uint_t                       reserved;      /* room in the record */

    ngx_array_t               *limits;    /* ngx_http_apiscale_limit_t * */
    ngx_flag_t                 inherit;
    ngx_flag_t                 off;
    ngx_uint_t                 status;
    ngx_uint_t                 log_level;
    ngx_uint_t                 headers;
    ngx_flag_t                 dry_run;
    ngx_uint_t                 dry;       /* ..._LIMIT_DRY if so */
    ngx_str_t                  policy_header;
                                          /* RateLimit-Policy when all apply;
                                             empty: not known before */
} ngx_http_apiscale_limit_conf_t;


/* what a policy said of a request */

typedef struct {
    apiscale_charge_t                  charge;
    ngx_http_apiscale_limit_policy_t  *policy;
    ngx_http_apiscale_limit_t         *limit;
    ngx_uint_t                         flags;
} ngx_http_apiscale_limit_result_t;


/* the state of a request, in rec->limit */

typedef struct {
    ngx_http_apiscale_limit_conf_t    *conf;        /* of the first charge */
    ngx_http_apiscale_limit_result_t  *results;
    ngx_uint_t                         nresults;
    ngx_uint_t                         room;        /* for results */
    ngx_uint_t                         base;        /* those of "last" */
    ngx_http_apiscale_limit_conf_t    *last;        /* of the last charge */
    ngx_http_apiscale_limit_result_t  *shown;       /* once chosen */
    ngx_http_apiscale_limit_status_e   status;
    unsigned                           flags;       /* of all results */
    u_char                             chosen;
    u_char                             extended;    /* in several locations */
    u_char                             sent;        /* headers were added */
    ngx_http_apiscale_net_t            net;
} ngx_http_apiscale_limit_ctx_t;


/* ngx_http_apiscale_limit_params.c */

char *ngx_http_apiscale_limit_params(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_t *limit);

/* ngx_http_apiscale_limit_policy.c */

char *ngx_http_apiscale_limit_parse_rate(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apiscale_limit_policy_t *policy);
char *ngx_http_apiscale_limit_parse_burst(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apiscale_limit_policy_t *policy);
char *ngx_http_apiscale_limit_parse_window(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apiscale_limit_policy_t *policy);
char *ngx_http_apiscale_limit_parse_name(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *name);
char *ngx_http_apiscale_limit_complete_policy(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_apiscale_limit_policy_t *policy);
char *ngx_http_apiscale_limit_plan(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apiscale_limit_plan_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apiscale_limit_bind(ngx_conf_t *cf,
    ngx_http_apiscale_limit_main_conf_t *lmcf,
    ngx_http_apiscale_limit_t *limit);

/* ngx_http_apiscale_limit_charge.c */

ngx_http_apiscale_limit_result_t *ngx_http_apiscale_limit_shown(
    ngx_http_apiscale_limit_ctx_t *ctx);

/* ngx_http_apiscale_limit_settle.c */

void ngx_http_apiscale_limit_settle(ngx_http_request_t *r,
    ngx_http_apiscale_limit_ctx_t *ctx);

/* ngx_http_apiscale_limit_headers.c */

uint64_t ngx_http_apiscale_limit_retry_s(
    ngx_http_apiscale_limit_result_t *res);
uint64_t ngx_http_apiscale_limit_reset_unix(
    ngx_http_apiscale_limit_result_t *res);

/* ngx_http_apiscale_limit_variables.c */

ngx_int_t ngx_http_apiscale_limit_add_variables(ngx_conf_t *cf);

/* ngx_http_apiscale_limit_zone.c */

char *ngx_http_apiscale_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_http_apiscale_limit_zone_t *ngx_http_apiscale_limit_find_zone(
    ngx_http_apiscale_limit_main_conf_t *lmcf, ngx_str_t *name);
ngx_int_t ngx_http_apiscale_limit_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
ngx_uint_t ngx_http_apiscale_limit_zone_slots(ngx_shm_zone_t *shm_zone);

/* ngx_http_apiscale_limit_status.c */

ngx_int_t ngx_http_apiscale_limit_status_init(ngx_conf_t *cf,
    ngx_http_apiscale_limit_main_conf_t *lmcf);


/*
 * What time it is.  The exact wall clock is only read where windows need it;
 * else it tells which counters of a full table may be dropped.
 */

static ngx_inline void
ngx_http_apiscale_limit_clock(apiscale_clock_t *now, ngx_uint_t windows)
{
    now->mono = ngx_apiscale_monotonic_ticks();

    now->wall = windows ? ngx_apiscale_unix_ticks()
                        : (uint64_t) ngx_time() * APISCALE_TICKS_PER_SEC;
}


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


static ngx_inline ngx_uint_t
ngx_http_apiscale_limit_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}


#endif /* NGX_HTTP_APISCALE_LIMIT_H_INCLUDED_ */
