
/*
 * Copyright (C) apiscale authors
 */


/*
 * Where the features of apiscale meet.  A feature includes this header, the
 * services of src/svc and the algorithms of src/algo, never another feature:
 * what one feature has to know of another stands in the request record, in
 * an nginx variable or in a section of the status page.
 */


#ifndef NGX_HTTP_APISCALE_H_INCLUDED_
#define NGX_HTTP_APISCALE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apiscale_compat.h"
#include "ngx_apiscale_text.h"


#define NGX_HTTP_APISCALE_VERSION  "0.1.0"


/*
 * The hash of response header lines that ngx_http_apiscale_add_header() adds.
 * nginx looks only whether it is 0, the hash of a line from an upstream server
 * is never so small, and other modules use 1.
 */

#define NGX_HTTP_APISCALE_LINE     2


/*
 * A kind of error that this module originates (RFC 9457).  Constant; "code"
 * is the stable word, "type" a URI, or NULL for apiscale_problem_base + code.
 */

typedef struct {
    ngx_str_t  code;
    ngx_str_t  type;
    ngx_str_t  title;
} ngx_http_apiscale_problem_t;


typedef struct ngx_http_apiscale_request_s  ngx_http_apiscale_request_t;

/*
 * Writes the extension members of a problem body, each with a comma before
 * it: ,"supported":["1","2"]
 */

typedef void (*ngx_http_apiscale_members_pt)(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_apiscale_text_t *t);


/*
 * When a request came and when its response went, by the monotonic clock.
 */

typedef struct {
    uint64_t   start_us;                  /* 0: not measured */
    void      *conf;                      /* of the location let into */
    u_char     last;                      /* last buffer seen */
    u_char     done;                      /* and handed over */

    /* not zero before they are set */

    uint64_t   first_us;                  /* header sent */
    uint64_t   last_us;                   /* body sent, as far as it was */
} ngx_http_apiscale_times_t;


/*
 * The record of a main request, shared by its internal redirects.  Each field
 * names its one writer.  It lives in the request's pool.
 */

struct ngx_http_apiscale_request_s {

    /* a feature that has to do with the response sets its
       NGX_HTTP_APISCALE_... */

    ngx_uint_t                          filters;

    /* the feature that holds its state there, and nobody else */

    void                               *geo;
    void                               *limit;
    void                               *version;
    void                               *consumer;

    /* the problem filter */

    ngx_chain_t                        *problem_body;

    /* ngx_http_apiscale_reject(), ngx_http_apiscale_pardon() */

    const ngx_http_apiscale_problem_t  *problem;

    /* the metrics feature: part of the record, for its speed */

    ngx_http_apiscale_times_t           times;

    /* what is up to "times.first_us" is zero in a new record; the rest not */

    /* ngx_http_apiscale_reject(), together with "problem" */

    ngx_http_apiscale_members_pt        members;
    ngx_str_t                           detail;
    ngx_uint_t                          status;
    ngx_uint_t                          uri_changes;

    /* room for the state of the limiter: ngx_http_apiscale_reserve() */

    u_char                              room[];
};


/*
 * A section of the status page, registered by the feature that it is about.
 * "json" writes the value of the member "name"; "prometheus" writes whole
 * metric families, HELP and TYPE first; either may be NULL.
 */

typedef struct {
    ngx_str_t    name;
    void       (*json)(ngx_http_request_t *r, ngx_apiscale_text_t *t);
    void       (*prometheus)(ngx_http_request_t *r, ngx_apiscale_text_t *t);
} ngx_http_apiscale_section_t;


/*
 * A shared memory zone that the status page tells the fill of.  "used" gives
 * the bytes of zone->shm.size that are taken; it runs in a request and must
 * not take long.
 */

typedef uint64_t (*ngx_http_apiscale_zone_used_pt)(ngx_shm_zone_t *zone);

typedef struct {
    ngx_shm_zone_t                  *zone;
    ngx_http_apiscale_zone_used_pt   used;
} ngx_http_apiscale_zone_t;


/* features in use, for ngx_http_apiscale_use() */

#define NGX_HTTP_APISCALE_METRICS  0x01
#define NGX_HTTP_APISCALE_VERSIONS 0x02
#define NGX_HTTP_APISCALE_LIMIT    0x04
#define NGX_HTTP_APISCALE_CONSUMERS 0x08
#define NGX_HTTP_APISCALE_PROBLEM  0x10

/* lines with "at=", shifted by the stage, and lines that are settled later */

#define NGX_HTTP_APISCALE_LIMIT_AT        0x0100
#define NGX_HTTP_APISCALE_LIMIT_LATER     0x0800


/* the client's network: ngx_http_apiscale_client.c */

typedef struct {
    uint64_t     word;
    ngx_uint_t   len;
    u_char       data[17];
} ngx_http_apiscale_net_t;


/* the umbrella */

ngx_http_apiscale_request_t *ngx_http_apiscale_find_request(
    ngx_http_request_t *r);
ngx_http_apiscale_request_t *ngx_http_apiscale_make_request(
    ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_reject(ngx_http_request_t *r, ngx_uint_t status,
    const ngx_http_apiscale_problem_t *problem, ngx_str_t *detail,
    ngx_http_apiscale_members_pt members);
void ngx_http_apiscale_pardon(ngx_http_apiscale_request_t *rec);
ngx_uint_t ngx_http_apiscale_preflight(ngx_http_request_t *r);
void ngx_http_apiscale_use(ngx_conf_t *cf, ngx_uint_t feature);
ngx_uint_t ngx_http_apiscale_reserve(ngx_conf_t *cf, size_t size);
ngx_int_t ngx_http_apiscale_add_section(ngx_conf_t *cf,
    const ngx_http_apiscale_section_t *section);
ngx_array_t *ngx_http_apiscale_sections(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_add_zone(ngx_conf_t *cf, ngx_shm_zone_t *zone,
    ngx_http_apiscale_zone_used_pt used);
ngx_array_t *ngx_http_apiscale_zones(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_add_header(ngx_http_request_t *r, const char *key,
    size_t key_len, u_char *value, size_t len);
ngx_int_t ngx_http_apiscale_add_variables(ngx_conf_t *cf,
    ngx_http_variable_t *vars);

/* whether this module rejected the request, however the answer is worded */
#define ngx_http_apiscale_rejected(rec)  ((rec) && (rec)->problem)

#define ngx_http_apiscale_header(r, name, value, len)                         \
    ngx_http_apiscale_add_header(r, name, sizeof(name) - 1, value, len)

ngx_int_t ngx_http_apiscale_client_net(ngx_http_request_t *r,
    ngx_http_apiscale_net_t *net);

/* the phase handlers, which the umbrella alone registers */

ngx_int_t ngx_http_apiscale_metrics_start(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_metrics_locate(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_metrics_log(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_version_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_limit_arrival(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_limit_access(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_limit_upstream(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_limit_settle_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_consumer_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_apiscale_consumer_admit(ngx_http_request_t *r);


/* the parts of the umbrella's filters, for requests that have a record */

ngx_int_t ngx_http_apiscale_version_headers(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec);
ngx_int_t ngx_http_apiscale_limit_headers(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec);
ngx_int_t ngx_http_apiscale_problem_header(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec);
ngx_chain_t *ngx_http_apiscale_problem_body(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_chain_t *in);
void ngx_http_apiscale_metrics_header(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_int_t rc);
void ngx_http_apiscale_metrics_body(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_chain_t *in);
void ngx_http_apiscale_metrics_sent(ngx_http_apiscale_request_t *rec,
    ngx_int_t rc);


extern ngx_module_t  ngx_http_apiscale_module;
extern ngx_module_t  ngx_http_apiscale_problem_module;
extern ngx_module_t  ngx_http_apiscale_status_module;
extern ngx_module_t  ngx_http_apiscale_client_module;
extern ngx_module_t  ngx_http_apiscale_metrics_module;
extern ngx_module_t  ngx_http_apiscale_limit_module;
extern ngx_module_t  ngx_http_apiscale_version_module;
extern ngx_module_t  ngx_http_apiscale_expose_module;
extern ngx_module_t  ngx_http_apiscale_consumer_module;


/*
 * The record of the main request that "r" belongs to, NULL if there is none.
 * An internal redirect zeroes the contexts: the record is then found again
 * through its pool cleanup.  Inline: each filter of each response asks.
 */

static ngx_inline ngx_http_apiscale_request_t *
ngx_http_apiscale_get_request(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    r = r->main;

    rec = ngx_http_get_module_ctx(r, ngx_http_apiscale_module);

    if (rec || !(r->internal || r->filter_finalize)) {
        return rec;
    }

    return ngx_http_apiscale_find_request(r);
}


#endif /* NGX_HTTP_APISCALE_H_INCLUDED_ */
