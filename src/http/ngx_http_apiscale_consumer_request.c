
/*
 * Copyright (C) apiscale authors
 */


/*
 * Who calls: found out when somebody first asks for it in a request, and kept
 * for the rest of it.
 */


#include "ngx_http_apiscale_consumer.h"
#include "apiscale_siphash.h"


/* an image is overwritten at the earliest one reload later */
#define NGX_HTTP_APISCALE_CONSUMER_TRIES  8


typedef enum {
    NGX_HTTP_APISCALE_CONSUMER_VAR_ID = 0,
    NGX_HTTP_APISCALE_CONSUMER_VAR_PLAN,
    NGX_HTTP_APISCALE_CONSUMER_VAR_VERSION
} ngx_http_apiscale_consumer_var_e;


/* a look-up */

typedef struct {
    ngx_http_apiscale_consumer_process_t  *process;
    ngx_str_t                             *key;
    uint64_t                               hash[2];
    uint64_t                               generation;
    apiscale_consumers_image_t             image;
    u_char                                 digest[APISCALE_CONSUMERS_DIGEST];
    uint32_t                               record;   /* 0: none */
    unsigned                               digested:1;
} ngx_http_apiscale_consumer_find_t;


static ngx_http_apiscale_consumer_ctx_t *ngx_http_apiscale_consumer_resolve(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_apiscale_consumer_key(ngx_http_request_t *r,
    ngx_str_t *key);
static ngx_int_t ngx_http_apiscale_consumer_look_up(ngx_http_request_t *r,
    ngx_http_apiscale_consumer_main_conf_t *mcf, ngx_str_t *key,
    ngx_http_apiscale_consumer_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_consumer_find(ngx_http_request_t *r,
    ngx_http_apiscale_consumer_find_t *find,
    ngx_http_apiscale_consumer_ctx_t *ctx);
static void ngx_http_apiscale_consumer_remember(
    ngx_http_apiscale_consumer_find_t *find,
    ngx_http_apiscale_consumer_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_consumer_copy(ngx_http_request_t *r,
    apiscale_consumers_t *c, ngx_http_apiscale_consumer_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_consumer_reject(ngx_http_request_t *r,
    ngx_http_apiscale_consumer_ctx_t *ctx);
static ngx_int_t ngx_http_apiscale_consumer_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_apiscale_consumer_vars[] = {

    { ngx_string("apiscale_consumer"), NULL,
      ngx_http_apiscale_consumer_variable,
      NGX_HTTP_APISCALE_CONSUMER_VAR_ID, 0, 0 },

    { ngx_string("apiscale_plan"), NULL,
      ngx_http_apiscale_consumer_variable,
      NGX_HTTP_APISCALE_CONSUMER_VAR_PLAN, 0, 0 },

    { ngx_string("apiscale_consumer_version"), NULL,
      ngx_http_apiscale_consumer_variable,
      NGX_HTTP_APISCALE_CONSUMER_VAR_VERSION, 0, 0 },

      ngx_http_null_variable
};


static const ngx_http_apiscale_problem_t
    ngx_http_apiscale_consumer_required =
{
    ngx_string("consumer-required"),
    ngx_null_string,
    ngx_string("API key required")
};


static const ngx_http_apiscale_problem_t
    ngx_http_apiscale_consumer_unknown =
{
    ngx_string("consumer-unknown"),
    ngx_null_string,
    ngx_string("Unknown API key")
};


/*
 * Adds the variables.
 */

ngx_int_t
ngx_http_apiscale_consumer_add_variables(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_variables(cf,
                                           ngx_http_apiscale_consumer_vars);
}


/*
 * Who calls, for the main request that "r" belongs to.  NULL if memory is
 * short, or no consumers are configured.
 */

static ngx_http_apiscale_consumer_ctx_t *
ngx_http_apiscale_consumer_resolve(ngx_http_request_t *r)
{
    ngx_str_t                                key;
    ngx_http_apiscale_request_t             *rec;
    ngx_http_apiscale_consumer_ctx_t        *ctx;
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    rec = ngx_http_apiscale_get_request(r);

    if (rec && rec->consumer) {
        return rec->consumer;
    }

    r = r->main;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_consumer_module);

    if (mcf->zone == NULL) {
        return NULL;
    }

    rec = ngx_http_apiscale_make_request(r);
    if (rec == NULL) {
        return NULL;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_apiscale_consumer_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    /* nobody is known to a key that depends on who calls */

    rec->consumer = ctx;

    if (ngx_http_apiscale_consumer_key(r, &key) != NGX_OK) {
        rec->consumer = NULL;
        return NULL;
    }

    if (key.len) {
        ctx->key = 1;

        if (ngx_http_apiscale_consumer_look_up(r, mcf, &key, ctx) != NGX_OK) {
            rec->consumer = NULL;
            return NULL;
        }
    }

    return ctx;
}


static ngx_int_t
ngx_http_apiscale_consumer_key(ngx_http_request_t *r, ngx_str_t *key)
{
    ngx_http_variable_value_t              *vv;
    ngx_http_apiscale_consumer_srv_conf_t  *scf;

    scf = ngx_http_get_module_srv_conf(r, ngx_http_apiscale_consumer_module);

    if (scf->index == NGX_ERROR) {
        return ngx_http_complex_value(r, scf->key, key);
    }

    vv = ngx_http_get_indexed_variable(r, scf->index);
    if (vv == NULL) {
        return NGX_ERROR;
    }

    key->len = vv->not_found ? 0 : vv->len;
    key->data = vv->data;

    return NGX_OK;
}


/*
 * Looks the key up.  NGX_OK, also if it is of nobody.
 */

static ngx_int_t
ngx_http_apiscale_consumer_look_up(ngx_http_request_t *r,
    ngx_http_apiscale_consumer_main_conf_t *mcf, ngx_str_t *key,
    ngx_http_apiscale_consumer_ctx_t *ctx)
{
    u_char                             *memory;
    ngx_int_t                           rc;
    ngx_uint_t                          tries;
    ngx_http_apiscale_consumer_half_t  *half;
    ngx_http_apiscale_consumer_find_t   find;

    /* "master_process off" has no worker to be started anew by a reload */

    if (mcf->process == NULL
        && ngx_http_apiscale_consumer_create_process((ngx_cycle_t *) ngx_cycle,
                                                     mcf)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    find.process = mcf->process;
    find.key = key;
    find.digested = 0;

    apiscale_siphash_128(find.process->secret, key->data, key->len, find.hash);

    for (tries = 0; tries < NGX_HTTP_APISCALE_CONSUMER_TRIES; tries++) {

        find.generation = __atomic_load_n(&mcf->block->generation,
                                          __ATOMIC_ACQUIRE);
        half = &mcf->block->halves[find.generation & 1];
        memory = mcf->halves + (find.generation & 1) * mcf->half;

        if (find.generation == 0
            || __atomic_load_n(&half->generation, __ATOMIC_ACQUIRE)
               != find.generation
            || apiscale_consumers_open(&find.image, memory, mcf->half)
               != APISCALE_CONSUMERS_OK)
        {
            continue;
        }

        rc = ngx_http_apiscale_consumer_find(r, &find, ctx);

        if (rc != NGX_OK) {
            return rc;
        }

        __atomic_thread_fence(__ATOMIC_ACQUIRE);

        if (__atomic_load_n(&half->generation, __ATOMIC_RELAXED)
            == find.generation)
        {
            ngx_http_apiscale_consumer_remember(&find, ctx);
            return NGX_OK;
        }
    }

    ctx->id.len = 0;
    ctx->plan.len = 0;
    ctx->version.len = 0;

    return NGX_OK;
}


/* in an image that may be overwritten meanwhile */

static ngx_int_t
ngx_http_apiscale_consumer_find(ngx_http_request_t *r,
    ngx_http_apiscale_consumer_find_t *find,
    ngx_http_apiscale_consumer_ctx_t *ctx)
{
    apiscale_consumers_t                c;
    ngx_http_apiscale_consumer_memo_t  *memo;

    memo = &find->process->memo[find->hash[0]
                                & (NGX_HTTP_APISCALE_CONSUMER_MEMO - 1)];

    if (memo->generation == find->generation
        && memo->hash[0] == find->hash[0] && memo->hash[1] == find->hash[1])
    {
        find->record = (uint32_t) memo->record;

    } else {
        if (!find->digested
            && ngx_apiscale_sha256(find->process->sha, find->key->data,
                                   find->key->len, find->digest)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        find->digested = 1;
        find->record = apiscale_consumers_find(&find->image, find->digest);
    }

    ctx->id.len = 0;
    ctx->plan.len = 0;
    ctx->version.len = 0;

    if (find->record == 0
        || apiscale_consumers_get(find->image.records, find->image.size,
                                  find->record, &c)
           != APISCALE_CONSUMERS_OK)
    {
        return NGX_OK;
    }

    return ngx_http_apiscale_consumer_copy(r, &c, ctx);
}


/*
 * A worker remembers the keys that it found, by a keyed hash of 128 bits, for
 * as long as their image is current: SHA-256 is the most of a look-up.
 */

static void
ngx_http_apiscale_consumer_remember(ngx_http_apiscale_consumer_find_t *find,
    ngx_http_apiscale_consumer_ctx_t *ctx)
{
    ngx_http_apiscale_consumer_memo_t  *memo;

    if (ctx->id.len == 0 || !find->digested) {
        return;
    }

    memo = &find->process->memo[find->hash[0]
                                & (NGX_HTTP_APISCALE_CONSUMER_MEMO - 1)];

    memo->hash[0] = find->hash[0];
    memo->hash[1] = find->hash[1];
    memo->generation = find->generation;
    memo->record = find->record;
}


/* the image may be overwritten while the request lives */

static ngx_int_t
ngx_http_apiscale_consumer_copy(ngx_http_request_t *r,
    apiscale_consumers_t *c, ngx_http_apiscale_consumer_ctx_t *ctx)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, c->id.len + c->plan.len + c->version.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->id.data = p;
    ctx->id.len = c->id.len;
    p = ngx_cpymem(p, c->id.data, c->id.len);

    ctx->plan.data = p;
    ctx->plan.len = c->plan.len;
    p = ngx_cpymem(p, c->plan.data, c->plan.len);

    ctx->version.data = p;
    ctx->version.len = c->version.len;
    ngx_memcpy(p, c->version.data, c->version.len);

    return NGX_OK;
}


/*
 * ACCESS: "apiscale_consumer required".  A known consumer lets the request
 * pass "satisfy any"; browsers ask for permission without a key.
 */

ngx_int_t
ngx_http_apiscale_consumer_handler(ngx_http_request_t *r)
{
    ngx_http_apiscale_consumer_ctx_t       *ctx;
    ngx_http_apiscale_consumer_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_consumer_module);

    if (lcf->mode == NGX_HTTP_APISCALE_CONSUMER_OPTIONAL) {
        return NGX_DECLINED;
    }

    if (r->method == NGX_HTTP_OPTIONS && ngx_http_apiscale_preflight(r)) {
        return NGX_OK;
    }

    ctx = ngx_http_apiscale_consumer_resolve(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->id.len) {
        return NGX_OK;
    }

    return ngx_http_apiscale_consumer_reject(r, ctx);
}


static ngx_int_t
ngx_http_apiscale_consumer_reject(ngx_http_request_t *r,
    ngx_http_apiscale_consumer_ctx_t *ctx)
{
    ngx_table_elt_t                    *h;
    const ngx_http_apiscale_problem_t  *problem;

    if (ctx->key) {
        problem = &ngx_http_apiscale_consumer_unknown;

        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "the API key is of no consumer");

    } else {
        problem = &ngx_http_apiscale_consumer_required;

        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "no API key was provided");
    }

    h = ctx->challenge;

    if (h == NULL) {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_str_set(&h->key, "WWW-Authenticate");
        ngx_str_set(&h->value, "ApiKey");
        h->lowcase_key = NULL;

        ngx_http_apiscale_header_link(h, r->headers_out.www_authenticate);
        r->headers_out.www_authenticate = h;

        ctx->challenge = h;
    }

    h->hash = NGX_HTTP_APISCALE_LINE;

    return ngx_http_apiscale_reject(r, NGX_HTTP_UNAUTHORIZED, problem, NULL,
                                    NULL);
}


/*
 * PRECONTENT, which is reached only by requests that were let in: by another
 * module, if this one had refused it ("satisfy any").
 */

ngx_int_t
ngx_http_apiscale_consumer_admit(ngx_http_request_t *r)
{
    ngx_http_apiscale_request_t       *rec;
    ngx_http_apiscale_consumer_ctx_t  *ctx;

    rec = ngx_http_apiscale_get_request(r);

    if (rec == NULL || rec->consumer == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = rec->consumer;

    /* an error page is let in, but what it is about stays refused */

    if (ctx->challenge == NULL || r->err_status || r->error_page) {
        return NGX_DECLINED;
    }

    /* nginx takes back the challenge that was added last */

    ctx->challenge->hash = 0;
    ctx->challenge = NULL;

    ngx_http_apiscale_pardon(rec);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_apiscale_consumer_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                         *s;
    ngx_http_apiscale_consumer_ctx_t  *ctx;

    ctx = ngx_http_apiscale_consumer_resolve(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (data) {

    case NGX_HTTP_APISCALE_CONSUMER_VAR_ID:
        s = &ctx->id;
        break;

    case NGX_HTTP_APISCALE_CONSUMER_VAR_PLAN:
        s = &ctx->plan;
        break;

    default: /* NGX_HTTP_APISCALE_CONSUMER_VAR_VERSION */
        s = &ctx->version;
        break;
    }

    if (s->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = s->data;
    v->len = s->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
