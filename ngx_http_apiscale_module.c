
/*
 * Copyright (C) apiscale authors
 */


/*
 * The umbrella: the record of a request, the one table of phase handlers, and
 * the filters.  nginx runs the handlers of a phase in the reverse order of
 * registration, those of the log phase forward, and filters from the last
 * installed to the first; features that registered for themselves would run
 * in an order that nobody could read anywhere.
 */


#include "ngx_http_apiscale.h"


/* the most that a record has behind it */
#define NGX_HTTP_APISCALE_MAX_ROOM  1024


typedef struct {
    ngx_uint_t    features;               /* NGX_HTTP_APISCALE_... in use */
    size_t        room;                   /* behind a record */
    ngx_array_t   sections;               /* of pointers to them */
    ngx_array_t   zones;                  /* ngx_http_apiscale_zone_t */
} ngx_http_apiscale_main_conf_t;


/* the record, found again by the pool's cleanup that it comes with */

typedef struct {
    ngx_pool_cleanup_t           cleanup;
    ngx_http_apiscale_request_t  rec;
} ngx_http_apiscale_holder_t;


typedef struct {
    ngx_http_phases      phase;
    ngx_http_handler_pt  handler;
    ngx_uint_t           feature;
    ngx_uint_t           last;            /* run after all other modules */
} ngx_http_apiscale_phase_t;


static void *ngx_http_apiscale_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_apiscale_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apiscale_register(ngx_conf_t *cf,
    const ngx_http_apiscale_phase_t *ph);
static ngx_int_t ngx_http_apiscale_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apiscale_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_apiscale_filter_header(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec)
    ngx_http_apiscale_noinline;
static ngx_int_t ngx_http_apiscale_filter_body(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_chain_t *in)
    ngx_http_apiscale_noinline;
static void ngx_http_apiscale_cleanup(void *data);


/* in the order in which a request meets them; t/00-module/phases.t pins it */

static const ngx_http_apiscale_phase_t  ngx_http_apiscale_phases[] = {

    { NGX_HTTP_POST_READ_PHASE, ngx_http_apiscale_metrics_start,
      NGX_HTTP_APISCALE_METRICS, 0 },

    { NGX_HTTP_SERVER_REWRITE_PHASE, ngx_http_apiscale_version_handler,
      NGX_HTTP_APISCALE_VERSIONS, 0 },

    /* before the rewrite module, which may return an error at once */

    { NGX_HTTP_REWRITE_PHASE, ngx_http_apiscale_metrics_locate,
      NGX_HTTP_APISCALE_METRICS, 0 },

    /* after realip and limit_req, which may be set for the location */

    { NGX_HTTP_PREACCESS_PHASE, ngx_http_apiscale_limit_arrival,
      NGX_HTTP_APISCALE_LIMIT_AT << 0, 1 },

    { NGX_HTTP_ACCESS_PHASE, ngx_http_apiscale_consumer_handler,
      NGX_HTTP_APISCALE_CONSUMERS, 0 },

    /* before all that is done for a request that was let in */

    { NGX_HTTP_PRECONTENT_PHASE, ngx_http_apiscale_consumer_admit,
      NGX_HTTP_APISCALE_CONSUMERS, 0 },

    { NGX_HTTP_PRECONTENT_PHASE, ngx_http_apiscale_limit_access,
      NGX_HTTP_APISCALE_LIMIT_AT << 1, 0 },

    { NGX_HTTP_PRECONTENT_PHASE, ngx_http_apiscale_limit_upstream,
      NGX_HTTP_APISCALE_LIMIT_AT << 2, 0 },

    { NGX_HTTP_LOG_PHASE, ngx_http_apiscale_limit_settle_handler,
      NGX_HTTP_APISCALE_LIMIT_LATER, 0 },

    { NGX_HTTP_LOG_PHASE, ngx_http_apiscale_metrics_log,
      NGX_HTTP_APISCALE_METRICS, 0 }
};


static ngx_http_module_t  ngx_http_apiscale_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apiscale_init,                /* postconfiguration */

    ngx_http_apiscale_create_main_conf,    /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_module_ctx,         /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/*
 * Finds the record of a main request whose contexts were zeroed: for
 * ngx_http_apiscale_get_request() alone.
 */

ngx_http_apiscale_request_t *
ngx_http_apiscale_find_request(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_apiscale_request_t  *rec;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_apiscale_cleanup) {
            rec = cln->data;
            ngx_http_set_ctx(r, rec, ngx_http_apiscale_module);
            return rec;
        }
    }

    return NULL;
}


/*
 * As ngx_http_apiscale_get_request(), but makes the record when there is
 * none.  NULL if memory is short.
 */

ngx_http_apiscale_request_t *
ngx_http_apiscale_make_request(ngx_http_request_t *r)
{
    ngx_http_apiscale_holder_t     *holder;
    ngx_http_apiscale_request_t    *rec;
    ngx_http_apiscale_main_conf_t  *amcf;

    rec = ngx_http_apiscale_get_request(r);

    if (rec) {
        return rec;
    }

    r = r->main;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_module);

    /* as ngx_pool_cleanup_add() does it, which would allocate twice */

    holder = ngx_palloc(r->pool, sizeof(ngx_http_apiscale_holder_t)
                                 + amcf->room);
    if (holder == NULL) {
        return NULL;
    }

    rec = &holder->rec;

    ngx_memzero(rec, offsetof(ngx_http_apiscale_request_t, times.first_us));

    holder->cleanup.handler = ngx_http_apiscale_cleanup;
    holder->cleanup.data = rec;
    holder->cleanup.next = r->pool->cleanup;

    r->pool->cleanup = &holder->cleanup;

    ngx_http_set_ctx(r, rec, ngx_http_apiscale_module);

    return rec;
}


/* the record lives in the pool; only its address is kept by the cleanup */

static void
ngx_http_apiscale_cleanup(void *data)
{
}


/*
 * Marks the request as rejected by this module and returns "status", which a
 * phase handler is to return.  The body is written by the problem filter,
 * and only if nginx would send its own page: error_page and "satisfy any"
 * win.  "problem" and "members" are constant, "detail" (may be NULL) lives as
 * long as the request.
 */

ngx_int_t
ngx_http_apiscale_reject(ngx_http_request_t *r, ngx_uint_t status,
    const ngx_http_apiscale_problem_t *problem, ngx_str_t *detail,
    ngx_http_apiscale_members_pt members)
{
    ngx_http_apiscale_request_t  *rec;

    /* an error of a subrequest is not one of the request */

    if (r != r->main) {
        return status;
    }

    rec = ngx_http_apiscale_make_request(r);
    if (rec == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rec->filters |= NGX_HTTP_APISCALE_PROBLEM;
    rec->problem = problem;
    rec->members = members;
    rec->status = status;
    rec->uri_changes = r->uri_changes;

    if (detail) {
        rec->detail = *detail;

    } else {
        ngx_str_null(&rec->detail);
    }

    return status;
}


/*
 * Takes the mark back: another module let the request in, as "satisfy any"
 * allows.
 */

void
ngx_http_apiscale_pardon(ngx_http_apiscale_request_t *rec)
{
    rec->problem = NULL;
    rec->members = NULL;
    rec->status = 0;
    ngx_str_null(&rec->detail);
}


/*
 * Whether the request is a CORS preflight (Fetch standard, 3.2.2): browsers
 * send it without being asked to, and cannot show its errors to anybody.
 */

ngx_uint_t
ngx_http_apiscale_preflight(ngx_http_request_t *r)
{
    ngx_uint_t        i, origin, method;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  origin_key = ngx_string("origin");
    static ngx_str_t  method_key = ngx_string("access-control-request-method");

    if (r->method != NGX_HTTP_OPTIONS) {
        return 0;
    }

    origin = 0;
    method = 0;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == origin_key.len) {
            origin |= ngx_memcmp(h[i].lowcase_key, origin_key.data,
                                 origin_key.len) == 0;

        } else if (h[i].key.len == method_key.len) {
            method |= ngx_memcmp(h[i].lowcase_key, method_key.data,
                                 method_key.len) == 0;
        }
    }

    return origin && method;
}


/*
 * Notes, while the configuration is read, that a feature is in use.  The
 * phases of features that are not in use stay empty.
 */

void
ngx_http_apiscale_use(ngx_conf_t *cf, ngx_uint_t feature)
{
    ngx_http_apiscale_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apiscale_module);

    amcf->features |= feature;
}


/*
 * Asks for room behind each record, so that a feature's state of the usual
 * size needs no allocation of its own.  1: each record will have it; 0: it is
 * too much.  There is one room: only the limiter may ask.
 */

ngx_uint_t
ngx_http_apiscale_reserve(ngx_conf_t *cf, size_t size)
{
    ngx_http_apiscale_main_conf_t  *amcf;

    if (size > NGX_HTTP_APISCALE_MAX_ROOM) {
        return 0;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apiscale_module);

    amcf->room = ngx_max(amcf->room, size);

    return 1;
}


/*
 * Registers a section of the status page for this configuration.  "section"
 * is constant.
 */

ngx_int_t
ngx_http_apiscale_add_section(ngx_conf_t *cf,
    const ngx_http_apiscale_section_t *section)
{
    ngx_http_apiscale_main_conf_t       *amcf;
    const ngx_http_apiscale_section_t  **s;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apiscale_module);

    s = ngx_array_push(&amcf->sections);
    if (s == NULL) {
        return NGX_ERROR;
    }

    *s = section;

    return NGX_OK;
}


/*
 * The registered sections: an array of const ngx_http_apiscale_section_t *.
 */

ngx_array_t *
ngx_http_apiscale_sections(ngx_http_request_t *r)
{
    ngx_http_apiscale_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_module);

    return &amcf->sections;
}


/*
 * Lets the status page show a zone of this configuration.
 */

ngx_int_t
ngx_http_apiscale_add_zone(ngx_conf_t *cf, ngx_shm_zone_t *zone,
    ngx_http_apiscale_zone_used_pt used)
{
    ngx_http_apiscale_zone_t       *z;
    ngx_http_apiscale_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apiscale_module);

    z = ngx_array_push(&amcf->zones);
    if (z == NULL) {
        return NGX_ERROR;
    }

    z->zone = zone;
    z->used = used;

    return NGX_OK;
}


/*
 * The zones shown: an array of ngx_http_apiscale_zone_t.
 */

ngx_array_t *
ngx_http_apiscale_zones(ngx_http_request_t *r)
{
    ngx_http_apiscale_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_module);

    return &amcf->zones;
}


/*
 * Adds a response header line.  "key" is constant, "value" lives as long as
 * the request and holds no control bytes.
 */

ngx_int_t
ngx_http_apiscale_add_header(ngx_http_request_t *r, const char *key,
    size_t key_len, u_char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = NGX_HTTP_APISCALE_LINE;
    h->key.len = key_len;
    h->key.data = (u_char *) key;
    h->value.len = len;
    h->value.data = value;
    h->lowcase_key = NULL;
    ngx_http_apiscale_header_unlink(h);

    return NGX_OK;
}


/*
 * Adds a feature's variables, a table that ends with ngx_http_null_variable,
 * in its preconfiguration.
 */

ngx_int_t
ngx_http_apiscale_add_variables(ngx_conf_t *cf, ngx_http_variable_t *vars)
{
    ngx_http_variable_t  *var, *v;

    for (v = vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/*
 * The filters.  Each response passes them, and most have nothing to do there:
 * what is done is in functions of its own, so that nothing is prepared for it.
 */

static ngx_int_t
ngx_http_apiscale_header_filter(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t  *rec;

    rec = ngx_http_apiscale_get_request(r);

    if (rec && rec->filters && r == r->main) {
        return ngx_http_apiscale_filter_header(r, rec);
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_apiscale_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_apiscale_request_t  *rec;

    rec = ngx_http_apiscale_get_request(r);

    if (rec && rec->filters & (NGX_HTTP_APISCALE_PROBLEM
                               |NGX_HTTP_APISCALE_METRICS))
    {
        return ngx_http_apiscale_filter_body(r, rec, in);
    }

    return ngx_http_next_body_filter(r, in);
}


/*
 * What each feature has to say in a response, and the time at which it began.
 */

static ngx_int_t
ngx_http_apiscale_filter_header(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec)
{
    ngx_int_t  rc;

    if (rec->filters & NGX_HTTP_APISCALE_VERSIONS
        && ngx_http_apiscale_version_headers(r, rec) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (rec->filters & NGX_HTTP_APISCALE_LIMIT
        && ngx_http_apiscale_limit_headers(r, rec) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (rec->problem && ngx_http_apiscale_problem_header(r, rec) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_next_header_filter(r);

    if (rec->times.start_us) {
        ngx_http_apiscale_metrics_header(r, rec, rc);
    }

    return rc;
}


static ngx_int_t
ngx_http_apiscale_filter_body(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_chain_t *in)
{
    ngx_int_t  rc;

    if (rec->problem_body && in && r == r->main) {
        in = ngx_http_apiscale_problem_body(r, rec, in);
    }

    if (rec->times.start_us == 0 || r->background) {
        return ngx_http_next_body_filter(r, in);
    }

    ngx_http_apiscale_metrics_body(r, rec, in);

    rc = ngx_http_next_body_filter(r, in);

    ngx_http_apiscale_metrics_sent(rec, rc);

    return rc;
}


static void *
ngx_http_apiscale_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apiscale_main_conf_t  *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&amcf->sections, cf->pool, 4,
                       sizeof(ngx_http_apiscale_section_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&amcf->zones, cf->pool, 4,
                       sizeof(ngx_http_apiscale_zone_t))
        != NGX_OK)
    {
        return NULL;
    }

    return amcf;
}


static ngx_int_t
ngx_http_apiscale_init(ngx_conf_t *cf)
{
    ngx_uint_t                        i, n;
    const ngx_http_apiscale_phase_t  *ph;

    ph = ngx_http_apiscale_phases;
    n = sizeof(ngx_http_apiscale_phases) / sizeof(ngx_http_apiscale_phases[0]);

    /* nginx runs the last of a phase first, but in the log phase */

    for (i = n; i-- > 0; /* void */ ) {
        if (ph[i].phase != NGX_HTTP_LOG_PHASE
            && ngx_http_apiscale_register(cf, &ph[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < n; i++) {
        if (ph[i].phase == NGX_HTTP_LOG_PHASE
            && ngx_http_apiscale_register(cf, &ph[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /*
     * Installed in any case: a worker that is started anew after a reload has
     * failed has the filters that the failed configuration left behind.
     */

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apiscale_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apiscale_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_register(ngx_conf_t *cf, const ngx_http_apiscale_phase_t *ph)
{
    ngx_array_t                    *handlers;
    ngx_http_handler_pt            *h;
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_apiscale_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apiscale_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (!(amcf->features & ph->feature)) {
        return NGX_OK;
    }

    handlers = &cmcf->phases[ph->phase].handlers;

    h = ngx_array_push(handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    if (ph->last) {

        /* the first of the array runs last */

        h = handlers->elts;
        ngx_memmove(h + 1, h,
                    (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));
    }

    *h = ph->handler;

    return NGX_OK;
}
