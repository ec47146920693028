
/*
 * Copyright (C) apiscale authors
 */


/*
 * Rate limits: the parameters of an apiscale_limit line.
 */


#include "ngx_http_apiscale_limit.h"


/* the longest that "delay" may hold a request */
#define NGX_HTTP_APISCALE_LIMIT_MAX_DELAY_S  60


/* parameters of a line, to find what is missing or written twice */

typedef struct {
    ngx_str_t    name;
    char      *(*set)(ngx_conf_t *cf, ngx_http_apiscale_limit_t *limit,
                      ngx_str_t *value);
} ngx_http_apiscale_limit_param_t;


static char *ngx_http_apiscale_limit_complete(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_apiscale_limit_t *limit);
static char *ngx_http_apiscale_limit_check_delay(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit);
static char *ngx_http_apiscale_limit_set_zone(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_key(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_rate(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_burst(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_window(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_policy(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_cost(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_scale(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_settle(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_count(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_at(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_plan(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static char *ngx_http_apiscale_limit_set_default_plan(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_apiscale_limit_codes(ngx_str_t *word,
    ngx_http_apiscale_limit_codes_t *codes);
static char *ngx_http_apiscale_limit_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **cv);


static const ngx_http_apiscale_limit_param_t
    ngx_http_apiscale_limit_params_set[] =
{
    { ngx_string("zone="), ngx_http_apiscale_limit_set_zone },
    { ngx_string("key="), ngx_http_apiscale_limit_set_key },
    { ngx_string("rate="), ngx_http_apiscale_limit_set_rate },
    { ngx_string("burst="), ngx_http_apiscale_limit_set_burst },
    { ngx_string("window="), ngx_http_apiscale_limit_set_window },
    { ngx_string("policy="), ngx_http_apiscale_limit_set_policy },
    { ngx_string("cost="), ngx_http_apiscale_limit_set_cost },
    { ngx_string("scale="), ngx_http_apiscale_limit_set_scale },
    { ngx_string("settle="), ngx_http_apiscale_limit_set_settle },
    { ngx_string("count="), ngx_http_apiscale_limit_set_count },
    { ngx_string("at="), ngx_http_apiscale_limit_set_at },
    { ngx_string("plan="), ngx_http_apiscale_limit_set_plan },
    { ngx_string("default_plan="), ngx_http_apiscale_limit_set_default_plan },
    { ngx_null_string, NULL }
};


/*
 * Reads the parameters of a line, the arguments of the directive, and checks
 * them together.
 */

char *
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
            if (limit->flags & NGX_HTTP_APISCALE_LIMIT_DRY) {
                goto duplicate;
            }

            limit->flags |= NGX_HTTP_APISCALE_LIMIT_DRY;
            continue;
        }

        if (ngx_strcmp(value[i].data, "delay") == 0) {
            if (limit->flags & NGX_HTTP_APISCALE_LIMIT_DELAYS) {
                goto duplicate;
            }

            limit->flags |= NGX_HTTP_APISCALE_LIMIT_DELAYS;
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
    ngx_uint_t                         rated, delays;
    ngx_http_apiscale_limit_policy_t  *policy;

    policy = limit->policy;
    delays = limit->flags & NGX_HTTP_APISCALE_LIMIT_DELAYS;

    if (limit->count || limit->settle
        || limit->stage == NGX_HTTP_APISCALE_LIMIT_UPSTREAM)
    {
        limit->flags |= NGX_HTTP_APISCALE_LIMIT_SETTLES;
    }

    if (limit->plan || limit->cost || limit->scale) {
        limit->flags |= NGX_HTTP_APISCALE_LIMIT_VARIES;
    }

    if (limit->zone_name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (limit->plan == NULL && limit->plan_name.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"default_plan\" requires \"plan\" parameter");
        return NGX_CONF_ERROR;
    }

    if (limit->plan == NULL) {

        if (ngx_http_apiscale_limit_complete_policy(cf, cmd, policy)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

        return delays ? ngx_http_apiscale_limit_check_delay(cf, limit)
                            : NGX_CONF_OK;
    }

    if (limit->plan_name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"plan\" requires \"default_plan\" parameter");
        return NGX_CONF_ERROR;
    }

    rated = (policy->quota || policy->burst_written || policy->name.len
             || policy->bucket.kind != APISCALE_ROLLING);

    if (rated || delays) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"plan\" cannot be used with \"%s\" parameter",
                           rated ? "rate\", \"burst\", \"window\" or \"policy"
                                 : "delay");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * A request is held until what others have taken of the bucket is there
 * again, so the bucket's size bounds the wait.
 */

static char *
ngx_http_apiscale_limit_check_delay(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit)
{
    apiscale_gcra_t                   *g;
    ngx_http_apiscale_limit_policy_t  *policy;

    policy = limit->policy;
    g = &policy->bucket.gcra;

    if (policy->bucket.kind != APISCALE_ROLLING || !policy->burst_written) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"delay\" requires \"burst\" parameter and "
                           "a rolling window");
        return NGX_CONF_ERROR;
    }

    if (g->burst * g->interval
        > NGX_HTTP_APISCALE_LIMIT_MAX_DELAY_S * APISCALE_TICKS_PER_SEC)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"delay\" with a burst of %uL at the rate \"%V\" "
                           "could hold a request for over %d seconds",
                           g->burst, &policy->rate,
                           NGX_HTTP_APISCALE_LIMIT_MAX_DELAY_S);
        return NGX_CONF_ERROR;
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
    return ngx_http_apiscale_limit_parse_rate(cf, value, limit->policy);
}


static char *
ngx_http_apiscale_limit_set_burst(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    return ngx_http_apiscale_limit_parse_burst(cf, value, limit->policy);
}


static char *
ngx_http_apiscale_limit_set_window(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    return ngx_http_apiscale_limit_parse_window(cf, value, limit->policy);
}


static char *
ngx_http_apiscale_limit_set_policy(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    return ngx_http_apiscale_limit_parse_name(cf, value,
                                              &limit->policy->name);
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
ngx_http_apiscale_limit_set_scale(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    ngx_int_t  n;

    if (ngx_http_apiscale_limit_value(cf, value, &limit->scale)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    n = ngx_atofp(value->data, value->len, 6);

    if (limit->scale->lengths == NULL && (n == NGX_ERROR || n > 1000000)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid scale value \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_set_settle(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    if (ngx_http_apiscale_limit_value(cf, value, &limit->settle)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* what is known before needs no correction */

    if (limit->settle->lengths == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid settle value \"%V\": it must have "
                           "a variable", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* count=401,403,5xx */

static char *
ngx_http_apiscale_limit_set_count(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    u_char     *p, *last;
    ngx_str_t   word;

    limit->count = ngx_pcalloc(cf->pool,
                               sizeof(ngx_http_apiscale_limit_codes_t));
    if (limit->count == NULL) {
        return NGX_CONF_ERROR;
    }

    p = value->data;
    last = p + value->len;

    for ( ;; ) {
        word.data = p;

        while (p < last && *p != ',') {
            p++;
        }

        word.len = p - word.data;

        if (ngx_http_apiscale_limit_codes(&word, limit->count) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid status \"%V\" in \"count\" parameter",
                               &word);
            return NGX_CONF_ERROR;
        }

        if (p++ == last) {
            return NGX_CONF_OK;
        }
    }
}


/* a status, or a class of them such as "5xx" */

static ngx_int_t
ngx_http_apiscale_limit_codes(ngx_str_t *word,
    ngx_http_apiscale_limit_codes_t *codes)
{
    ngx_uint_t  i, first, n;

    if (word->len != 3 || word->data[0] < '1' || word->data[0] > '5') {
        return NGX_ERROR;
    }

    first = (word->data[0] - '0') * 100 - NGX_HTTP_APISCALE_LIMIT_MIN_CODE;

    if (word->data[1] == 'x' && word->data[2] == 'x') {
        n = 100;

    } else if (word->data[1] >= '0' && word->data[1] <= '9'
               && word->data[2] >= '0' && word->data[2] <= '9')
    {
        first += (word->data[1] - '0') * 10 + (word->data[2] - '0');
        n = 1;

    } else {
        return NGX_ERROR;
    }

    for (i = first; i < first + n; i++) {
        codes->bits[i / 8] |= 1 << i % 8;
    }

    return NGX_OK;
}


static char *
ngx_http_apiscale_limit_set_at(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "arrival") == 0) {
        limit->stage = NGX_HTTP_APISCALE_LIMIT_ARRIVAL;

    } else if (ngx_strcmp(value->data, "access") == 0) {
        limit->stage = NGX_HTTP_APISCALE_LIMIT_ACCESS;

    } else if (ngx_strcmp(value->data, "upstream") == 0) {
        limit->stage = NGX_HTTP_APISCALE_LIMIT_UPSTREAM;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid \"at\" value \"%V\": it must be "
                           "\"arrival\", \"access\" or \"upstream\"", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_set_plan(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    if (value->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty \"plan\" parameter");
        return NGX_CONF_ERROR;
    }

    return ngx_http_apiscale_limit_value(cf, value, &limit->plan);
}


static char *
ngx_http_apiscale_limit_set_default_plan(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_str_t *value)
{
    return ngx_http_apiscale_limit_parse_name(cf, value, &limit->plan_name);
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
