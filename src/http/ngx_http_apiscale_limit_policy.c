
/*
 * Copyright (C) apiscale authors
 */


/*
 * Policies: rates, bursts and windows as they are written in lines and plans,
 * and the binding of lines to the policies that they share.
 */


#include "ngx_http_apiscale_limit.h"
#include "apiscale_rate.h"


static char *ngx_http_apiscale_limit_plan_params(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_apiscale_limit_policy_t *policy);
static ngx_http_apiscale_limit_plan_t *ngx_http_apiscale_limit_find_plan(
    ngx_http_apiscale_limit_plan_t *plans, ngx_uint_t n, ngx_str_t *name);
static char *ngx_http_apiscale_limit_bind_plans(ngx_conf_t *cf,
    ngx_http_apiscale_limit_main_conf_t *lmcf,
    ngx_http_apiscale_limit_t *limit, ngx_http_apiscale_limit_zone_t *zone);
static char *ngx_http_apiscale_limit_bind_plan(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_http_apiscale_limit_zone_t *zone,
    ngx_http_apiscale_limit_plan_t *plan,
    ngx_http_apiscale_limit_plan_t *bound);
static ngx_http_apiscale_limit_policy_t *ngx_http_apiscale_limit_share(
    ngx_conf_t *cf, ngx_http_apiscale_limit_t *limit,
    ngx_http_apiscale_limit_zone_t *zone,
    ngx_http_apiscale_limit_policy_t *policy);
static ngx_int_t ngx_http_apiscale_limit_items(ngx_conf_t *cf,
    ngx_http_apiscale_limit_policy_t *policy);


/*
 * "rate=", "burst=" and "window=" of a line or of a plan's limit: each stores
 * what it reads in "policy", or logs why it cannot.
 */

char *
ngx_http_apiscale_limit_parse_rate(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apiscale_limit_policy_t *policy)
{
    char  *reason;

    switch (apiscale_rate_parse(value->data, value->len, &policy->quota,
                                &policy->bucket.period_s))
    {
    case APISCALE_RATE_OK:
        policy->rate = *value;
        policy->bucket.gcra.interval = apiscale_rate_interval(policy->quota,
                                                  policy->bucket.period_s);
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


/* see ngx_http_apiscale_limit_parse_rate() */

char *
ngx_http_apiscale_limit_parse_burst(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apiscale_limit_policy_t *policy)
{
    ngx_int_t  burst;

    burst = ngx_atoi(value->data, value->len);

    if (burst <= 0 || burst > NGX_HTTP_APISCALE_LIMIT_MAX_BURST) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid burst value \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    policy->bucket.gcra.burst = burst;
    policy->burst_written = 1;

    return NGX_CONF_OK;
}


/* see ngx_http_apiscale_limit_parse_rate() */

char *
ngx_http_apiscale_limit_parse_window(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apiscale_limit_policy_t *policy)
{
    if (ngx_strcmp(value->data, "rolling") == 0) {
        policy->bucket.kind = APISCALE_ROLLING;

    } else if (ngx_strcmp(value->data, "fixed") == 0) {
        policy->bucket.kind = APISCALE_FIXED;

    } else if (ngx_strcmp(value->data, "sliding") == 0) {
        policy->bucket.kind = APISCALE_SLIDING;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid window \"%V\": it must be \"rolling\", "
                           "\"fixed\" or \"sliding\"", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * A name is sent in RateLimit as a String (RFC 9651): printable ASCII, and
 * nothing that would need an escape.
 */

char *
ngx_http_apiscale_limit_parse_name(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *name)
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

    *name = *value;

    return NGX_CONF_OK;
}


/*
 * Checks a policy of which all parameters were read, and fills in its size
 * and its name.
 */

char *
ngx_http_apiscale_limit_complete_policy(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_policy_t *policy)
{
    u_char           *p;
    ngx_str_t         window;
    apiscale_gcra_t  *g;

    g = &policy->bucket.gcra;

    if (policy->quota == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"rate\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (!policy->burst_written) {
        g->burst = policy->quota;
    }

    if (policy->bucket.kind != APISCALE_ROLLING) {

        if (policy->burst_written) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"burst\" requires a rolling window");
            return NGX_CONF_ERROR;
        }

        if (policy->bucket.period_s > APISCALE_WINDOW_MAX_PERIOD_S) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "the period of the rate \"%V\" is too long "
                               "for a fixed or sliding window",
                               &policy->rate);
            return NGX_CONF_ERROR;
        }
    }

    if (g->burst > APISCALE_GCRA_MAX_SPAN / g->interval) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a burst of %uL at the rate \"%V\" takes over "
                           "100 years to refill", g->burst, &policy->rate);
        return NGX_CONF_ERROR;
    }

    if (policy->name.len) {
        return NGX_CONF_OK;
    }

    if (policy->bucket.kind == APISCALE_ROLLING) {
        policy->name = policy->rate;
        return NGX_CONF_OK;
    }

    if (policy->bucket.kind == APISCALE_FIXED) {
        ngx_str_set(&window, " fixed");

    } else {
        ngx_str_set(&window, " sliding");
    }

    p = ngx_pnalloc(cf->pool, policy->rate.len + window.len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    policy->name.data = p;
    policy->name.len = policy->rate.len + window.len;

    p = ngx_cpymem(p, policy->rate.data, policy->rate.len);
    ngx_memcpy(p, window.data, window.len);

    return NGX_CONF_OK;
}


/*
 * The directive "apiscale_plan NAME { limit POLICY rate=... ... }".  It may
 * stay empty: a plan without limits.
 */

char *
ngx_http_apiscale_limit_plan(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_limit_main_conf_t *lmcf = conf;

    char                            *rv;
    ngx_str_t                       *value, name;
    ngx_conf_t                       pcf;
    ngx_http_apiscale_limit_plan_t  *plan;

    value = cf->args->elts;

    if (ngx_http_apiscale_limit_parse_name(cf, &value[1], &name)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apiscale_limit_find_plan(lmcf->plans.elts,
                                          lmcf->plans.nelts, &name))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate plan \"%V\"", &name);
        return NGX_CONF_ERROR;
    }

    plan = ngx_array_push(&lmcf->plans);
    if (plan == NULL) {
        return NGX_CONF_ERROR;
    }

    plan->name = name;

    if (ngx_array_init(&plan->policies, cf->pool, 4,
                       sizeof(ngx_http_apiscale_limit_policy_t *))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* "include" is of the core module, which main configuration has */

    pcf = *cf;

    cf->cmd_type = cmd->offset|NGX_MAIN_CONF;

    rv = ngx_conf_parse(cf, NULL);

    *cf = pcf;

    return rv;
}


/*
 * The directive "limit" within a plan, the last of lmcf->plans.
 */

char *
ngx_http_apiscale_limit_plan_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_limit_main_conf_t *lmcf = conf;

    ngx_str_t                          *value;
    ngx_uint_t                          i;
    ngx_http_apiscale_limit_plan_t     *plans, *plan;
    ngx_http_apiscale_limit_policy_t   *policy, **pp;

    plans = lmcf->plans.elts;
    plan = &plans[lmcf->plans.nelts - 1];
    value = cf->args->elts;

    policy = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_limit_policy_t));
    if (policy == NULL) {
        return NGX_CONF_ERROR;
    }

    policy->plan = plan->name;

    if (ngx_http_apiscale_limit_parse_name(cf, &value[1], &policy->name)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    pp = plan->policies.elts;

    for (i = 0; i < plan->policies.nelts; i++) {
        if (ngx_http_apiscale_limit_same(&pp[i]->name, &policy->name)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate policy \"%V\" of plan \"%V\"",
                               &policy->name, &plan->name);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_apiscale_limit_plan_params(cf, cmd, policy) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    pp = ngx_array_push(&plan->policies);
    if (pp == NULL) {
        return NGX_CONF_ERROR;
    }

    *pp = policy;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_plan_params(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apiscale_limit_policy_t *policy)
{
    ngx_str_t   *value, s;
    ngx_uint_t   i, j, seen;

    static const struct {
        ngx_str_t    name;
        char      *(*parse)(ngx_conf_t *cf, ngx_str_t *value,
                            ngx_http_apiscale_limit_policy_t *policy);
    } params[] = {
        { ngx_string("rate="), ngx_http_apiscale_limit_parse_rate },
        { ngx_string("burst="), ngx_http_apiscale_limit_parse_burst },
        { ngx_string("window="), ngx_http_apiscale_limit_parse_window },
        { ngx_null_string, NULL }
    };

    value = cf->args->elts;
    seen = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        for (j = 0; params[j].parse; j++) {
            if (ngx_strncmp(value[i].data, params[j].name.data,
                            params[j].name.len)
                == 0)
            {
                break;
            }
        }

        if (params[j].parse == NULL || seen & (1 << j)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s parameter \"%V\"",
                               params[j].parse ? "duplicate" : "invalid",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        seen |= 1 << j;

        s.data = value[i].data + params[j].name.len;
        s.len = value[i].len - params[j].name.len;

        if (params[j].parse(cf, &s, policy) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return ngx_http_apiscale_limit_complete_policy(cf, cmd, policy);
}


static ngx_http_apiscale_limit_plan_t *
ngx_http_apiscale_limit_find_plan(ngx_http_apiscale_limit_plan_t *plans,
    ngx_uint_t n, ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (ngx_http_apiscale_limit_same(&plans[i].name, name)) {
            return &plans[i];
        }
    }

    return NULL;
}


/*
 * Binds a line to its zone, and to the policies that it shares there with
 * other lines.
 */

char *
ngx_http_apiscale_limit_bind(ngx_conf_t *cf,
    ngx_http_apiscale_limit_main_conf_t *lmcf,
    ngx_http_apiscale_limit_t *limit)
{
    ngx_http_apiscale_limit_zone_t  *zone;

    zone = ngx_http_apiscale_limit_find_zone(lmcf, &limit->zone_name);

    if (zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown apiscale_limit_zone \"%V\" in %s:%ui",
                      &limit->zone_name, limit->file, limit->line);
        return NGX_CONF_ERROR;
    }

    limit->zone = zone;

    if (limit->plan) {
        return ngx_http_apiscale_limit_bind_plans(cf, lmcf, limit, zone);
    }

    limit->policy = ngx_http_apiscale_limit_share(cf, limit, zone,
                                                  limit->policy);
    if (limit->policy == NULL) {
        return NGX_CONF_ERROR;
    }

    limit->npolicies = 1;

    if (limit->policy->bucket.kind != APISCALE_ROLLING) {
        limit->flags |= NGX_HTTP_APISCALE_LIMIT_WINDOWS;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_bind_plans(ngx_conf_t *cf,
    ngx_http_apiscale_limit_main_conf_t *lmcf,
    ngx_http_apiscale_limit_t *limit, ngx_http_apiscale_limit_zone_t *zone)
{
    ngx_uint_t                       i, n;
    ngx_http_apiscale_limit_plan_t  *plans;

    plans = lmcf->plans.elts;
    n = lmcf->plans.nelts;

    limit->plans = ngx_pcalloc(cf->pool,
                               (n ? n : 1)
                               * sizeof(ngx_http_apiscale_limit_plan_t));
    if (limit->plans == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (ngx_http_apiscale_limit_bind_plan(cf, limit, zone, &plans[i],
                                              &limit->plans[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

        limit->npolicies = ngx_max(limit->npolicies, plans[i].policies.nelts);
    }

    limit->nplans = n;

    limit->default_plan = ngx_http_apiscale_limit_find_plan(limit->plans, n,
                                                         &limit->plan_name);

    if (limit->default_plan == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown apiscale_plan \"%V\" in %s:%ui",
                      &limit->plan_name, limit->file, limit->line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * Makes "bound" the plan as it is in the zone: another zone has buckets of
 * its own for it.
 */

static char *
ngx_http_apiscale_limit_bind_plan(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_http_apiscale_limit_zone_t *zone,
    ngx_http_apiscale_limit_plan_t *plan,
    ngx_http_apiscale_limit_plan_t *bound)
{
    ngx_uint_t                          i;
    ngx_http_apiscale_limit_policy_t  **policies, **pp, *policy;

    bound->name = plan->name;
    policies = plan->policies.elts;

    if (ngx_array_init(&bound->policies, cf->pool,
                       plan->policies.nelts ? plan->policies.nelts : 1,
                       sizeof(ngx_http_apiscale_limit_policy_t *))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < plan->policies.nelts; i++) {

        policy = ngx_palloc(cf->pool,
                            sizeof(ngx_http_apiscale_limit_policy_t));
        if (policy == NULL) {
            return NGX_CONF_ERROR;
        }

        *policy = *policies[i];

        policy = ngx_http_apiscale_limit_share(cf, limit, zone, policy);
        if (policy == NULL) {
            return NGX_CONF_ERROR;
        }

        pp = ngx_array_push(&bound->policies);
        *pp = policy;

        if (policy->bucket.kind != APISCALE_ROLLING) {
            limit->flags |= NGX_HTTP_APISCALE_LIMIT_WINDOWS;
        }
    }

    return NGX_CONF_OK;
}


/*
 * The policy of the zone that has the plan and name of "policy", which becomes
 * it when there is none yet.  NULL after an error was logged.
 */

static ngx_http_apiscale_limit_policy_t *
ngx_http_apiscale_limit_share(ngx_conf_t *cf,
    ngx_http_apiscale_limit_t *limit, ngx_http_apiscale_limit_zone_t *zone,
    ngx_http_apiscale_limit_policy_t *policy)
{
    ngx_uint_t                          i;
    ngx_http_apiscale_limit_policy_t  **policies, **pp;

    policies = zone->policies.elts;

    for (i = 0; i < zone->policies.nelts; i++) {

        if (!ngx_http_apiscale_limit_same(&policies[i]->name, &policy->name)
            || !ngx_http_apiscale_limit_same(&policies[i]->plan,
                                             &policy->plan))
        {
            continue;
        }

        if (policies[i]->quota != policy->quota
            || policies[i]->bucket.period_s != policy->bucket.period_s
            || policies[i]->bucket.gcra.burst != policy->bucket.gcra.burst
            || policies[i]->bucket.kind != policy->bucket.kind)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "policy \"%V\" of zone \"%V\" has another rate, "
                          "burst or window elsewhere, in %s:%ui",
                          &policy->name, &zone->name, limit->file,
                          limit->line);
            return NULL;
        }

        return policies[i];
    }

    if (i == ngx_http_apiscale_limit_zone_slots(zone->shm_zone)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "zone \"%V\" is too small for %ui policies in %s:%ui",
                      &zone->name, i + 1, limit->file, limit->line);
        return NULL;
    }

    policy->zone = zone;

    pp = ngx_array_push(&zone->policies);
    if (pp == NULL) {
        return NULL;
    }

    *pp = policy;

    return ngx_http_apiscale_limit_items(cf, policy) == NGX_OK ? policy
                                                               : NULL;
}


/*
 * The parts of header lines that do not depend on a request.
 */

static ngx_int_t
ngx_http_apiscale_limit_items(ngx_conf_t *cf,
    ngx_http_apiscale_limit_policy_t *policy)
{
    u_char           *p;
    size_t            len;
    uint64_t          window;
    apiscale_gcra_t  *g;

    g = &policy->bucket.gcra;

    len = policy->name.len + sizeof("\"\";q=;w=") - 1 + 2 * NGX_INT64_LEN;

    p = ngx_pnalloc(cf->pool, NGX_INT64_LEN + 2 * len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    policy->limit_value.data = p;
    p = ngx_sprintf(p, "%uL", g->burst);
    policy->limit_value.len = p - policy->limit_value.data;

    window = policy->bucket.kind == APISCALE_ROLLING
             ? apiscale_gcra_seconds(g->burst * g->interval)
             : policy->bucket.period_s;

    policy->policy_item.data = p;
    p = ngx_sprintf(p, "\"%V\";q=%uL;w=%uL", &policy->name, g->burst,
                    ngx_max(window, 1));
    policy->policy_item.len = p - policy->policy_item.data;

    policy->state_item.data = p;
    p = ngx_sprintf(p, "\"%V\";r=", &policy->name);
    policy->state_item.len = p - policy->state_item.data;

    return NGX_OK;
}
