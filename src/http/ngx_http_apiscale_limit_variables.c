
/*
 * Copyright (C) apiscale authors
 */


/*
 * Variables of the limiter: how a request fared, for logs and for origins.
 */


#include "ngx_http_apiscale_limit.h"


typedef enum {
    NGX_HTTP_APISCALE_LIMIT_VAR_STATUS = 0,
    NGX_HTTP_APISCALE_LIMIT_VAR_POLICY,
    NGX_HTTP_APISCALE_LIMIT_VAR_LIMIT,
    NGX_HTTP_APISCALE_LIMIT_VAR_REMAINING,
    NGX_HTTP_APISCALE_LIMIT_VAR_RESET,
    NGX_HTTP_APISCALE_LIMIT_VAR_RETRY_AFTER
} ngx_http_apiscale_limit_var_e;


static ngx_int_t ngx_http_apiscale_limit_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


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
    ngx_string("DELAYED"),
    ngx_string("REJECTED_DRY_RUN"),
    ngx_string("REJECTED")
};


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
        n = res->charge.policy->gcra.burst;
        break;

    case NGX_HTTP_APISCALE_LIMIT_VAR_REMAINING:
        n = apiscale_bucket_remaining(&res->charge);
        break;

    case NGX_HTTP_APISCALE_LIMIT_VAR_RESET:
        n = ngx_http_apiscale_limit_reset_unix(res);
        break;

    default: /* NGX_HTTP_APISCALE_LIMIT_VAR_RETRY_AFTER */

        n = res->flags & NGX_HTTP_APISCALE_LIMIT_REJECTS
            ? ngx_http_apiscale_limit_retry_s(res) : 0;

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


/*
 * Adds the variables of this feature, in its preconfiguration.
 */

ngx_int_t
ngx_http_apiscale_limit_add_variables(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_variables(cf, ngx_http_apiscale_limit_vars);
}
