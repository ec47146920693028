
/*
 * Copyright (C) apiscale authors
 */


/*
 * Rate limits: directives.  What lines refer to may be declared behind them,
 * so they are only bound to their zones, policies and plans when the whole
 * configuration was read.
 */


#include "ngx_http_apiscale_limit.h"


#define NGX_HTTP_APISCALE_LIMIT_PLAN_CONF    0x00400000


static char *ngx_http_apiscale_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apiscale_limit_line(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_conf_t *lcf);
static ngx_int_t ngx_http_apiscale_limit_unique(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_t *limit);
static void ngx_http_apiscale_limit_share_key(
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_t *limit);
static char *ngx_http_apiscale_limit_set_headers(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

static void *ngx_http_apiscale_limit_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_limit_init_main_conf(ngx_conf_t *cf,
    void *conf);
static void *ngx_http_apiscale_limit_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_limit_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_apiscale_limit_merge_limits(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *prev,
    ngx_http_apiscale_limit_conf_t *conf);
static ngx_uint_t ngx_http_apiscale_limit_replaces(
    ngx_http_apiscale_limit_t *inner, ngx_http_apiscale_limit_t *outer);
static char *ngx_http_apiscale_limit_stages(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *conf);
static char *ngx_http_apiscale_limit_policy_header(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *conf);
static ngx_int_t ngx_http_apiscale_limit_init(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_http_apiscale_limit_log_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_http_apiscale_limit_status_bounds = {
    ngx_conf_check_num_bounds, 400, 599
};


static ngx_command_t  ngx_http_apiscale_limit_commands[] = {

    { ngx_string("apiscale_limit_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_apiscale_limit_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("apiscale_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_apiscale_limit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("apiscale_limit_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apiscale_limit_conf_t, status),
      &ngx_http_apiscale_limit_status_bounds },

    { ngx_string("apiscale_limit_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apiscale_limit_conf_t, log_level),
      &ngx_http_apiscale_limit_log_levels },

    { ngx_string("apiscale_limit_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apiscale_limit_conf_t, dry_run),
      NULL },

    { ngx_string("apiscale_limit_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_apiscale_limit_set_headers,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("apiscale_plan"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apiscale_limit_plan,
      NGX_HTTP_MAIN_CONF_OFFSET,
      NGX_HTTP_APISCALE_LIMIT_PLAN_CONF,
      NULL },

    /* within apiscale_plan */

    { ngx_string("limit"),
      NGX_HTTP_APISCALE_LIMIT_PLAN_CONF|NGX_CONF_2MORE,
      ngx_http_apiscale_limit_plan_limit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_limit_module_ctx = {
    ngx_http_apiscale_limit_add_variables, /* preconfiguration */
    ngx_http_apiscale_limit_init,          /* postconfiguration */

    ngx_http_apiscale_limit_create_main_conf,
                                           /* create main configuration */
    ngx_http_apiscale_limit_init_main_conf,
                                           /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apiscale_limit_create_loc_conf,
                                           /* create location configuration */
    ngx_http_apiscale_limit_merge_loc_conf /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_limit_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_limit_module_ctx,   /* module context */
    ngx_http_apiscale_limit_commands,      /* module directives */
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


/* apiscale_limit inherit | off | zone=NAME rate=Nr/PERIOD | plan=VALUE ... */

static char *
ngx_http_apiscale_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_limit_conf_t *lcf = conf;

    ngx_str_t   *value;
    ngx_flag_t  *flag;

    value = cf->args->elts;
    flag = NULL;

    if (ngx_strcmp(value[1].data, "inherit") == 0) {
        flag = &lcf->inherit;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        flag = &lcf->off;
    }

    if (flag == NULL) {
        if (ngx_http_apiscale_limit_line(cf, cmd, lcf) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

    } else {
        if (cf->args->nelts != 2) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        if (*flag) {
            return "is duplicate";
        }

        *flag = 1;
    }

    if (lcf->off && (lcf->inherit || lcf->limits)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V off\" cannot be used with other \"%V\" "
                           "directives of its level", &cmd->name, &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_line(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_conf_t *lcf)
{
    ngx_http_apiscale_limit_t            *limit, **lp;
    ngx_http_apiscale_limit_policy_t     *policy;
    ngx_http_apiscale_limit_main_conf_t  *lmcf;

    limit = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_limit_t));
    policy = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_limit_policy_t));

    if (limit == NULL || policy == NULL) {
        return NGX_CONF_ERROR;
    }

    limit->policy = policy;
    limit->file = cf->conf_file->file.name.data;
    limit->line = cf->conf_file->line;

    if (ngx_http_apiscale_limit_params(cf, cmd, limit) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (lcf->limits == NULL) {
        lcf->limits = ngx_array_create(cf->pool, 4,
                                       sizeof(ngx_http_apiscale_limit_t *));
        if (lcf->limits == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_apiscale_limit_unique(cf, lcf, limit) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_http_apiscale_limit_share_key(lcf, limit);

    lp = ngx_array_push(lcf->limits);
    if (lp == NULL) {
        return NGX_CONF_ERROR;
    }

    *lp = limit;

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apiscale_limit_module);

    lp = ngx_array_push(&lmcf->lines);
    if (lp == NULL) {
        return NGX_CONF_ERROR;
    }

    *lp = limit;

    ngx_http_apiscale_use(cf, NGX_HTTP_APISCALE_LIMIT_AT << limit->stage);

    if (limit->flags & NGX_HTTP_APISCALE_LIMIT_SETTLES) {
        ngx_http_apiscale_use(cf, NGX_HTTP_APISCALE_LIMIT_LATER);
    }

    return NGX_CONF_OK;
}


/*
 * Whether a line has a policy, or a zone's plans, that none before it in its
 * level has.
 */

static ngx_int_t
ngx_http_apiscale_limit_unique(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_t *limit)
{
    ngx_uint_t                   i;
    ngx_http_apiscale_limit_t  **lines;

    lines = lcf->limits->elts;

    for (i = 0; i < lcf->limits->nelts; i++) {

        if (!ngx_http_apiscale_limit_replaces(limit, lines[i])) {
            continue;
        }

        if (limit->plan) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate \"plan\" of zone \"%V\"",
                               &limit->zone_name);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate policy \"%V\" of zone \"%V\"",
                               &limit->policy->name, &limit->zone_name);
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Whether an inner line stands for an outer one: of the same zone, and with
 * the same policy or also with plans.
 */

static ngx_uint_t
ngx_http_apiscale_limit_replaces(ngx_http_apiscale_limit_t *inner,
    ngx_http_apiscale_limit_t *outer)
{
    if (!ngx_http_apiscale_limit_same(&inner->zone_name, &outer->zone_name)) {
        return 0;
    }

    if (inner->plan || outer->plan) {
        return inner->plan && outer->plan;
    }

    return ngx_http_apiscale_limit_same(&inner->policy->name,
                                        &outer->policy->name);
}


/* lines of one level with one key: it is evaluated and hashed only once */

static void
ngx_http_apiscale_limit_share_key(ngx_http_apiscale_limit_conf_t *lcf,
    ngx_http_apiscale_limit_t *limit)
{
    ngx_uint_t                   i;
    ngx_http_apiscale_limit_t  **lp;

    lp = lcf->limits->elts;

    for (i = 0; i < lcf->limits->nelts; i++) {

        if (ngx_http_apiscale_limit_same(&lp[i]->key_text,
                                         &limit->key_text))
        {
            limit->key = lp[i]->key;
            return;
        }
    }
}


/* apiscale_limit_headers off | [x-ratelimit[=epoch|delta]] [ratelimit] */

static char *
ngx_http_apiscale_limit_set_headers(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_limit_conf_t *lcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i, j, bits;

    static const struct {
        ngx_str_t   name;
        ngx_uint_t  bit;
        ngx_uint_t  excludes;
    } words[] = {

        { ngx_string("off"), NGX_HTTP_APISCALE_LIMIT_OFF, (ngx_uint_t) -1 },

        { ngx_string("x-ratelimit"), NGX_HTTP_APISCALE_LIMIT_X_EPOCH,
          (ngx_uint_t) ~NGX_HTTP_APISCALE_LIMIT_RATELIMIT },

        { ngx_string("x-ratelimit=epoch"), NGX_HTTP_APISCALE_LIMIT_X_EPOCH,
          (ngx_uint_t) ~NGX_HTTP_APISCALE_LIMIT_RATELIMIT },

        { ngx_string("x-ratelimit=delta"), NGX_HTTP_APISCALE_LIMIT_X_DELTA,
          (ngx_uint_t) ~NGX_HTTP_APISCALE_LIMIT_RATELIMIT },

        { ngx_string("ratelimit"), NGX_HTTP_APISCALE_LIMIT_RATELIMIT,
          NGX_HTTP_APISCALE_LIMIT_OFF|NGX_HTTP_APISCALE_LIMIT_RATELIMIT }
    };

    if (lcf->headers != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;
    bits = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        for (j = 0; j < sizeof(words) / sizeof(words[0]); j++) {
            if (ngx_strcmp(value[i].data, words[j].name.data) == 0) {
                break;
            }
        }

        if (j == sizeof(words) / sizeof(words[0])
            || (bits & words[j].excludes))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        bits |= words[j].bit;
    }

    lcf->headers = bits;

    return NGX_CONF_OK;
}


static void *
ngx_http_apiscale_limit_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apiscale_limit_main_conf_t  *lmcf;

    lmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_limit_main_conf_t));
    if (lmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&lmcf->zones, cf->pool, 4,
                       sizeof(ngx_http_apiscale_limit_zone_t *))
        != NGX_OK
        || ngx_array_init(&lmcf->lines, cf->pool, 8,
                          sizeof(ngx_http_apiscale_limit_t *))
           != NGX_OK
        || ngx_array_init(&lmcf->plans, cf->pool, 4,
                          sizeof(ngx_http_apiscale_limit_plan_t))
           != NGX_OK)
    {
        return NULL;
    }

    return lmcf;
}


static char *
ngx_http_apiscale_limit_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_apiscale_limit_main_conf_t *lmcf = conf;

    ngx_uint_t                   i;
    ngx_http_apiscale_limit_t  **lines;

    lines = lmcf->lines.elts;

    for (i = 0; i < lmcf->lines.nelts; i++) {
        if (ngx_http_apiscale_limit_bind(cf, lmcf, lines[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_apiscale_limit_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apiscale_limit_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_limit_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->stages[] = { NULL, 0, 0, 0 };
     *     conf->nresults = 0;
     *     conf->reserved = 0;
     *     conf->dry = 0;
     *     conf->limits = NULL;
     *     conf->inherit = 0;
     *     conf->off = 0;
     *     conf->policy_header = { 0, NULL };
     */

    conf->status = NGX_CONF_UNSET_UINT;
    conf->log_level = NGX_CONF_UNSET_UINT;
    conf->headers = NGX_CONF_UNSET_UINT;
    conf->dry_run = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_apiscale_limit_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apiscale_limit_conf_t *prev = parent;
    ngx_http_apiscale_limit_conf_t *conf = child;

    ngx_conf_merge_uint_value(conf->status, prev->status,
                              NGX_HTTP_TOO_MANY_REQUESTS);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level, NGX_LOG_ERR);
    ngx_conf_merge_uint_value(conf->headers, prev->headers,
                              NGX_HTTP_APISCALE_LIMIT_X_EPOCH
                              |NGX_HTTP_APISCALE_LIMIT_RATELIMIT);
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);

    conf->dry = conf->dry_run ? NGX_HTTP_APISCALE_LIMIT_DRY : 0;

    if (!conf->off
        && ngx_http_apiscale_limit_merge_limits(cf, prev, conf)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->limits == NULL) {
        return NGX_CONF_OK;
    }

    if (ngx_http_apiscale_limit_stages(cf, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_apiscale_limit_policy_header(cf, conf);
}


/*
 * The lines of a level replace those of the outer one; with "inherit" they
 * are added to them, except where they name the same policy.
 */

static char *
ngx_http_apiscale_limit_merge_limits(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *prev,
    ngx_http_apiscale_limit_conf_t *conf)
{
    ngx_uint_t                   i, j;
    ngx_array_t                 *own;
    ngx_http_apiscale_limit_t  **outer, **inner, **lp;

    own = conf->limits;

    if (own == NULL) {
        conf->limits = prev->limits;
        return NGX_CONF_OK;
    }

    if (!conf->inherit || prev->limits == NULL) {
        return NGX_CONF_OK;
    }

    conf->limits = ngx_array_create(cf->pool,
                                    prev->limits->nelts + own->nelts,
                                    sizeof(ngx_http_apiscale_limit_t *));
    if (conf->limits == NULL) {
        return NGX_CONF_ERROR;
    }

    outer = prev->limits->elts;
    inner = own->elts;

    for (i = 0; i < prev->limits->nelts; i++) {

        for (j = 0; j < own->nelts; j++) {
            if (ngx_http_apiscale_limit_replaces(inner[j], outer[i])) {
                break;
            }
        }

        if (j == own->nelts) {
            lp = ngx_array_push(conf->limits);
            *lp = outer[i];
        }
    }

    for (j = 0; j < own->nelts; j++) {
        lp = ngx_array_push(conf->limits);
        *lp = inner[j];
    }

    return NGX_CONF_OK;
}


/*
 * Sorts the lines of a location by their stages.
 */

static char *
ngx_http_apiscale_limit_stages(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *conf)
{
    ngx_uint_t                        i, stage;
    ngx_http_apiscale_limit_t       **limits, **sorted;
    ngx_http_apiscale_limit_lines_t  *lines;

    limits = conf->limits->elts;

    sorted = ngx_palloc(cf->pool, conf->limits->nelts
                                  * sizeof(ngx_http_apiscale_limit_t *));
    if (sorted == NULL) {
        return NGX_CONF_ERROR;
    }

    for (stage = 0; stage < NGX_HTTP_APISCALE_LIMIT_STAGES; stage++) {
        lines = &conf->stages[stage];
        lines->lines = sorted;

        for (i = 0; i < conf->limits->nelts; i++) {

            if (limits[i]->stage != stage) {
                continue;
            }

            *sorted++ = limits[i];

            lines->nlines++;
            lines->nresults += limits[i]->npolicies;
            lines->flags |= limits[i]->flags;
        }

        conf->nresults += lines->nresults;
    }

    conf->reserved = ngx_http_apiscale_reserve(cf,
                             sizeof(ngx_http_apiscale_limit_ctx_t)
                             + conf->nresults
                               * sizeof(ngx_http_apiscale_limit_result_t));

    return NGX_CONF_OK;
}


/*
 * RateLimit-Policy of requests to which all lines apply, in the order of the
 * stages, as far as it does not depend on the request.
 */

static char *
ngx_http_apiscale_limit_policy_header(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *conf)
{
    u_char                      *p;
    size_t                       len;
    ngx_uint_t                   i;
    ngx_http_apiscale_limit_t  **limits;

    limits = conf->limits->elts;
    len = 0;

    if (conf->dry_run) {
        return NGX_CONF_OK;
    }

    for (i = 0; i < conf->limits->nelts; i++) {

        if (limits[i]->plan || limits[i]->scale) {
            return NGX_CONF_OK;
        }

        len += limits[i]->policy->policy_item.len + sizeof(", ") - 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->policy_header.data = p;

    for (i = 0; i < conf->limits->nelts; i++) {

        if (limits[i]->flags & NGX_HTTP_APISCALE_LIMIT_DRY) {
            continue;
        }

        if (p != conf->policy_header.data) {
            *p++ = ',';
            *p++ = ' ';
        }

        p = ngx_cpymem(p, limits[i]->policy->policy_item.data,
                       limits[i]->policy->policy_item.len);
    }

    conf->policy_header.len = p - conf->policy_header.data;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apiscale_limit_init(ngx_conf_t *cf)
{
    ngx_http_apiscale_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apiscale_limit_module);

    return ngx_http_apiscale_limit_status_init(cf, lmcf);
}
