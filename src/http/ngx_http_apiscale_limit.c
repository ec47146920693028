
/*
 * Copyright (C) apiscale authors
 */


/*
 * Rate limits: directives and variables.  The zones that lines refer to may
 * be declared behind them, so lines are only bound to their zone and policy
 * when the whole configuration was read.
 */


#include "ngx_http_apiscale_limit.h"
#include "apiscale_rate.h"


/* parameters of a line, to find what is missing or written twice */

typedef struct {
    ngx_str_t    name;
    char      *(*set)(ngx_conf_t *cf, ngx_http_apiscale_limit_t *limit,
                      ngx_str_t *value);
} ngx_http_apiscale_limit_param_t;


typedef enum {
    NGX_HTTP_APISCALE_LIMIT_VAR_STATUS = 0,
    NGX_HTTP_APISCALE_LIMIT_VAR_POLICY,
    NGX_HTTP_APISCALE_LIMIT_VAR_LIMIT,
    NGX_HTTP_APISCALE_LIMIT_VAR_REMAINING,
    NGX_HTTP_APISCALE_LIMIT_VAR_RESET,
    NGX_HTTP_APISCALE_LIMIT_VAR_RETRY_AFTER
} ngx_http_apiscale_limit_var_e;


static char *ngx_http_apiscale_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apiscale_limit_line(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_conf_t *lcf);
static void ngx_http_apiscale_limit_share_key(
    ngx_http_apiscale_limit_conf_t *lcf, ngx_http_apiscale_limit_t *limit);
static char *ngx_http_apiscale_limit_params(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_apiscale_limit_t *limit);
static char *ngx_http_apiscale_limit_complete(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_apiscale_limit_t *limit);
static char *ngx_http_apiscale_limit_set_zone(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_key(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_rate(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_burst(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_policy(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_cost(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **cv);
static char *ngx_http_apiscale_limit_set_headers(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

static ngx_int_t ngx_http_apiscale_limit_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apiscale_limit_add_variables(ngx_conf_t *cf);

static void *ngx_http_apiscale_limit_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_limit_init_main_conf(ngx_conf_t *cf,
    void *conf);
static char *ngx_http_apiscale_limit_bind(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_http_apiscale_limit_zone_t *zone);
static char *ngx_http_apiscale_limit_items(ngx_conf_t *cf,
    ngx_http_apiscale_limit_policy_t *policy);
static void *ngx_http_apiscale_limit_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_limit_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_apiscale_limit_merge_limits(ngx_conf_t *cf,
    ngx_http_apiscale_limit_conf_t *prev,
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


static ngx_http_variable_t  ngx_http_apiscale_limit_vars[] = {

    { ngx_string("apiscale_limit_status"), NULL,
      ngx_http_apiscale_limit_variable,
      NGX_HTTP_APISCALE_LIMIT_VAR_STATUS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_limit_policy"), NULL,
      ngx_http_apiscale_limit_variable,
      NGX_HTTP_APISCALE_LIMIT_VAR_POLICY, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_limit_limit"), NULL,
      ngx_http_apiscale_limit_variable,
      NGX_HTTP_APISCALE_LIMIT_VAR_LIMIT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_limit_remaining"), NULL,
      ngx_http_apiscale_limit_variable,
      NGX_HTTP_APISCALE_LIMIT_VAR_REMAINING, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_limit_reset"), NULL,
      ngx_http_apiscale_limit_variable,
      NGX_HTTP_APISCALE_LIMIT_VAR_RESET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("apiscale_limit_retry_after"), NULL,
      ngx_http_apiscale_limit_variable,
      NGX_HTTP_APISCALE_LIMIT_VAR_RETRY_AFTER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_apiscale_limit_statuses[] = {
    ngx_null_string,
    ngx_string("BYPASSED"),
    ngx_string("PASSED"),
    ngx_string("REJECTED_DRY_RUN"),
    ngx_string("REJECTED")
};


static const ngx_http_apiscale_limit_param_t
    ngx_http_apiscale_limit_params_set[] =
{
    { ngx_string("zone="), ngx_http_apiscale_limit_set_zone },
    { ngx_string("key="), ngx_http_apiscale_limit_set_key },
    { ngx_string("rate="), ngx_http_apiscale_limit_set_rate },
    { ngx_string("burst="), ngx_http_apiscale_limit_set_burst },
    { ngx_string("policy="), ngx_http_apiscale_limit_set_policy },
    { ngx_string("cost="), ngx_http_apiscale_limit_set_cost },
    { ngx_null_string, NULL }
};


/* apiscale_limit inherit | off | zone=NAME rate=Nr/PERIOD ... */

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
    ngx_uint_t                            i;
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

    lp = lcf->limits->elts;

    for (i = 0; i < lcf->limits->nelts; i++) {
        if (lp[i]->zone_name.len == limit->zone_name.len
            && lp[i]->policy->name.len == policy->name.len
            && ngx_strncmp(lp[i]->zone_name.data, limit->zone_name.data,
                           limit->zone_name.len)
               == 0
            && ngx_strncmp(lp[i]->policy->name.data, policy->name.data,
                           policy->name.len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate policy \"%V\" of zone \"%V\"",
                               &policy->name, &limit->zone_name);
            return NGX_CONF_ERROR;
        }
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

    ngx_http_apiscale_use(cf, NGX_HTTP_APISCALE_LIMIT);

    return NGX_CONF_OK;
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

        if (lp[i]->key_text.len == limit->key_text.len
            && ngx_strncmp(lp[i]->key_text.data, limit->key_text.data,
                           limit->key_text.len)
               == 0)
        {
            limit->key = lp[i]->key;
            return;
        }
    }
}


static char *
ngx_http_apiscale_limit_params(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_t *limit)
{
    ngx_str_t                              *value, s;
    ngx_uint_t                              i, j, seen;
    const ngx_http_apiscale_limit_param_t  *param;

    value = cf->args->elts;
    param = ngx_http_apiscale_limit_params_set;
    seen = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "dry_run") == 0) {
            if (limit->dry_run) {
                goto duplicate;
            }

            limit->dry_run = 1;
            continue;
        }

        for (j = 0; param[j].set; j++) {
            if (ngx_strncmp(value[i].data, param[j].name.data,
                            param[j].name.len)
                == 0)
            {
                break;
            }
        }

        if (param[j].set == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (seen & (1 << j)) {
            goto duplicate;
        }

        seen |= 1 << j;

        s.data = value[i].data + param[j].name.len;
        s.len = value[i].len - param[j].name.len;

        if (param[j].set(cf, limit, &s) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return ngx_http_apiscale_limit_complete(cf, cmd, limit);

duplicate:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "duplicate parameter \"%V\"", &value[i]);

    return NGX_CONF_ERROR;
}


/*
 * Checks what a line must have, and fills in what it may leave out.
 */

static char *
ngx_http_apiscale_limit_complete(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_t *limit)
{
    ngx_http_apiscale_limit_policy_t  *policy;

    policy = limit->policy;

    if (limit->zone_name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (policy->quota == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"rate\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (policy->gcra.burst == 0) {
        policy->gcra.burst = policy->quota;
    }

    if (policy->gcra.burst > APISCALE_GCRA_MAX_SPAN / policy->gcra.interval) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a burst of %uL at the rate \"%V\" takes over "
                           "100 years to refill", policy->gcra.burst,
                           &policy->rate);
        return NGX_CONF_ERROR;
    }

    if (policy->name.len == 0) {
        policy->name = policy->rate;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_set_zone(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    if (value->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty \"zone\" parameter");
        return NGX_CONF_ERROR;
    }

    limit->zone_name = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_set_key(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    if (value->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty \"key\" parameter");
        return NGX_CONF_ERROR;
    }

    /* the default, which needs no text */

    if ((value->len == sizeof("$apiscale_client_net") - 1
         && ngx_strncmp(value->data, "$apiscale_client_net", value->len) == 0)
        || (value->len == sizeof("${apiscale_client_net}") - 1
            && ngx_strncmp(value->data, "${apiscale_client_net}", value->len)
               == 0))
    {
        return NGX_CONF_OK;
    }

    limit->key_text = *value;

    return ngx_http_apiscale_limit_value(cf, value, &limit->key);
}


static char *
ngx_http_apiscale_limit_set_rate(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    char                              *reason;
    ngx_http_apiscale_limit_policy_t  *policy;

    policy = limit->policy;

    switch (apiscale_rate_parse(value->data, value->len, &policy->quota,
                                &policy->period_s))
    {
    case APISCALE_RATE_OK:
        policy->rate = *value;
        policy->gcra.interval = apiscale_rate_interval(policy->quota,
                                                       policy->period_s);
        return NGX_CONF_OK;

    case APISCALE_RATE_ZERO:
        reason = "it would admit nothing";
        break;

    case APISCALE_RATE_OVERFLOW:
        reason = "a number is too large";
        break;

    case APISCALE_RATE_RANGE:
        reason = "it must be from 1r/w to 1000000r/s";
        break;

    default:
        reason = "it must be a number, \"r/\", and a period such as "
                 "\"s\", \"15m\", \"h\", \"d\" or \"w\"";
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid rate \"%V\": %s",
                       value, reason);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apiscale_limit_set_burst(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    ngx_int_t  burst;

    burst = ngx_atoi(value->data, value->len);

    if (burst <= 0 || burst > NGX_HTTP_APISCALE_LIMIT_MAX_BURST) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid burst value \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    limit->policy->gcra.burst = burst;

    return NGX_CONF_OK;
}


/*
 * A name is sent in RateLimit as a String (RFC 9651): printable ASCII, and
 * nothing that would need an escape.
 */

static char *
ngx_http_apiscale_limit_set_policy(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] > 0x7e
            || value->data[i] == '"' || value->data[i] == '\\')
        {
            break;
        }
    }

    if (value->len == 0 || value->len > NGX_HTTP_APISCALE_LIMIT_MAX_NAME
        || i < value->len)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid policy name \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    limit->policy->name = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_set_cost(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    if (value->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty \"cost\" parameter");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apiscale_limit_value(cf, value, &limit->cost)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* at run time what is no number counts as 1; written so, it is a slip */

    if (limit->cost->lengths == NULL
        && ngx_atoi(value->data, value->len) == NGX_ERROR)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid cost value \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **cv)
{
    ngx_http_compile_complex_value_t  ccv;

    *cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*cv == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = *cv;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
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


static ngx_int_t
ngx_http_apiscale_limit_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t                           n;
    ngx_str_t                          s;
    ngx_http_apiscale_request_t       *rec;
    ngx_http_apiscale_limit_ctx_t     *ctx;
    ngx_http_apiscale_limit_result_t  *res;

    rec = ngx_http_apiscale_get_request(r);
    ctx = rec ? rec->limit : NULL;
    res = ctx ? ngx_http_apiscale_limit_shown(ctx) : NULL;

    if (ctx == NULL
        || (res == NULL && data != NGX_HTTP_APISCALE_LIMIT_VAR_STATUS))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    n = 0;
    s.data = NULL;

    switch (data) {

    case NGX_HTTP_APISCALE_LIMIT_VAR_STATUS:
        s = ngx_http_apiscale_limit_statuses[ctx->status];
        break;

    case NGX_HTTP_APISCALE_LIMIT_VAR_POLICY:
        s = res->policy->name;
        break;

    case NGX_HTTP_APISCALE_LIMIT_VAR_LIMIT:
        s = res->policy->limit_value;
        break;

    case NGX_HTTP_APISCALE_LIMIT_VAR_REMAINING:
        n = res->gcra.remaining;
        break;

    case NGX_HTTP_APISCALE_LIMIT_VAR_RESET:
        n = ngx_http_apiscale_limit_reset_unix(res);
        break;

    default: /* NGX_HTTP_APISCALE_LIMIT_VAR_RETRY_AFTER */

        n = res->rejected ? ngx_http_apiscale_limit_retry_s(res) : 0;

        if (n == 0) {
            v->not_found = 1;
            return NGX_OK;
        }
    }

    if (s.data == NULL) {
        s.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (s.data == NULL) {
            return NGX_ERROR;
        }

        s.len = ngx_sprintf(s.data, "%uL", n) - s.data;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = s.len;
    v->data = s.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_limit_add_variables(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_variables(cf, ngx_http_apiscale_limit_vars);
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
           != NGX_OK)
    {
        return NULL;
    }

    return lmcf;
}


/*
 * Binds each line to its zone and to the policy that it shares with other
 * lines of that name.
 */

static char *
ngx_http_apiscale_limit_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_apiscale_limit_main_conf_t *lmcf = conf;

    ngx_uint_t                        i;
    ngx_http_apiscale_limit_t       **lines;
    ngx_http_apiscale_limit_zone_t   *zone;

    lines = lmcf->lines.elts;

    for (i = 0; i < lmcf->lines.nelts; i++) {

        zone = ngx_http_apiscale_limit_find_zone(lmcf, &lines[i]->zone_name);

        if (zone == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown apiscale_limit_zone \"%V\" in %s:%ui",
                          &lines[i]->zone_name, lines[i]->file,
                          lines[i]->line);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_apiscale_limit_bind(cf, lines[i], zone)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_bind(ngx_conf_t *cf, ngx_http_apiscale_limit_t *limit,
    ngx_http_apiscale_limit_zone_t *zone)
{
    ngx_uint_t                          i;
    ngx_http_apiscale_limit_policy_t   *policy, **policies, **pp;

    policy = limit->policy;
    policies = zone->policies.elts;

    for (i = 0; i < zone->policies.nelts; i++) {

        if (policies[i]->name.len != policy->name.len
            || ngx_strncmp(policies[i]->name.data, policy->name.data,
                           policy->name.len)
               != 0)
        {
            continue;
        }

        if (policies[i]->quota != policy->quota
            || policies[i]->period_s != policy->period_s
            || policies[i]->gcra.burst != policy->gcra.burst)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "policy \"%V\" of zone \"%V\" has another rate or "
                          "burst elsewhere, in %s:%ui",
                          &policy->name, &zone->name, limit->file,
                          limit->line);
            return NGX_CONF_ERROR;
        }

        limit->policy = policies[i];

        return NGX_CONF_OK;
    }

    if (i == ngx_http_apiscale_limit_zone_slots(zone->shm_zone)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "zone \"%V\" is too small for %ui policies in %s:%ui",
                      &zone->name, i + 1, limit->file, limit->line);
        return NGX_CONF_ERROR;
    }

    policy->zone = zone;

    pp = ngx_array_push(&zone->policies);
    if (pp == NULL) {
        return NGX_CONF_ERROR;
    }

    *pp = policy;

    return ngx_http_apiscale_limit_items(cf, policy);
}


/*
 * The parts of header lines that do not depend on a request.
 */

static char *
ngx_http_apiscale_limit_items(ngx_conf_t *cf,
    ngx_http_apiscale_limit_policy_t *policy)
{
    u_char    *p;
    size_t     len;
    uint64_t   window;

    len = policy->name.len + sizeof("\"\";q=;w=") - 1 + 2 * NGX_INT64_LEN;

    p = ngx_pnalloc(cf->pool, NGX_INT64_LEN + 2 * len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    policy->limit_value.data = p;
    p = ngx_sprintf(p, "%uL", policy->gcra.burst);
    policy->limit_value.len = p - policy->limit_value.data;

    window = apiscale_gcra_seconds(policy->gcra.burst * policy->gcra.interval);

    policy->policy_item.data = p;
    p = ngx_sprintf(p, "\"%V\";q=%uL;w=%uL", &policy->name,
                    policy->gcra.burst, ngx_max(window, 1));
    policy->policy_item.len = p - policy->policy_item.data;

    policy->state_item.data = p;
    p = ngx_sprintf(p, "\"%V\";r=", &policy->name);
    policy->state_item.len = p - policy->state_item.data;

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

    if (!conf->off
        && ngx_http_apiscale_limit_merge_limits(cf, prev, conf)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->limits == NULL || conf->dry_run) {
        return NGX_CONF_OK;
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
            if (inner[j]->policy == outer[i]->policy) {
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

    for (i = 0; i < conf->limits->nelts; i++) {
        len += limits[i]->policy->policy_item.len + sizeof(", ") - 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->policy_header.data = p;

    for (i = 0; i < conf->limits->nelts; i++) {

        if (limits[i]->dry_run) {
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
