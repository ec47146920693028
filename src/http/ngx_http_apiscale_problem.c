
/*
 * Copyright (C) apiscale authors
 */


/*
 * Bodies of the errors that this module originates: RFC 9457 problem details
 * in place of nginx's own error page.  Handlers only return the status and
 * leave a mark (ngx_http_apiscale_reject()); whether nginx then sends its own
 * page is known only when the header filter sees it, after error_page,
 * "satisfy any" and auth_delay had their say.
 */


#include "ngx_http_apiscale.h"


#define NGX_HTTP_APISCALE_PROBLEM_TYPE  "application/problem+json"


typedef struct {
    ngx_flag_t  enable;
    ngx_str_t   base;
} ngx_http_apiscale_problem_conf_t;


static ngx_int_t ngx_http_apiscale_problem_write(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_http_apiscale_problem_conf_t *pcf,
    off_t *size);
static void *ngx_http_apiscale_problem_create_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_problem_merge_conf(ngx_conf_t *cf,
    void *parent, void *child);


static ngx_command_t  ngx_http_apiscale_problem_commands[] = {

    { ngx_string("apiscale_problem"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apiscale_problem_conf_t, enable),
      NULL },

    { ngx_string("apiscale_problem_base"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apiscale_problem_conf_t, base),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_problem_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apiscale_problem_create_conf, /* create location configuration */
    ngx_http_apiscale_problem_merge_conf   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_problem_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_problem_module_ctx, /* module context */
    ngx_http_apiscale_problem_commands,    /* module directives */
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


/*
 * Puts a problem body in place of nginx's own page for a request that was
 * rejected, if that is what is being sent.
 */

ngx_int_t
ngx_http_apiscale_problem_header(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec)
{
    off_t                              size;
    ngx_http_apiscale_problem_conf_t  *pcf;

    if (rec->problem_body
        || r->err_status == 0
        || r->err_status != rec->status
        || r->uri_changes != rec->uri_changes)
    {
        return NGX_OK;
    }

    pcf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_problem_module);

    if (!pcf->enable) {
        return NGX_OK;
    }

    if (ngx_http_apiscale_problem_write(r, rec, pcf, &size) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&r->headers_out.content_type, NGX_HTTP_APISCALE_PROBLEM_TYPE);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    r->headers_out.content_length_n = size;

    return NGX_OK;
}


/*
 * The body to send in place of "in", nginx's own page: one chain, in memory
 * and with its last buffer.
 */

ngx_chain_t *
ngx_http_apiscale_problem_body(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_chain_t *in)
{
    ngx_chain_t  *cl, *body;

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    body = rec->problem_body;
    rec->problem_body = NULL;

    return body;
}


static ngx_int_t
ngx_http_apiscale_problem_write(ngx_http_request_t *r,
    ngx_http_apiscale_request_t *rec, ngx_http_apiscale_problem_conf_t *pcf,
    off_t *size)
{
    ngx_str_t                          name = ngx_string("request_id");
    ngx_str_t                          s;
    ngx_chain_t                       *cl;
    ngx_apiscale_text_t                t;
    ngx_http_variable_value_t         *vv;
    const ngx_http_apiscale_problem_t *problem;

    problem = rec->problem;

    ngx_apiscale_text_init(&t, r->pool, 512);

    ngx_apiscale_text_literal(&t, "{");

    if (problem->type.len) {
        ngx_apiscale_text_literal(&t, "\"type\":");
        ngx_apiscale_text_json(&t, &problem->type);
        ngx_apiscale_text_literal(&t, ",");

    } else if (pcf->base.len) {
        s.len = pcf->base.len + problem->code.len;
        s.data = ngx_pnalloc(r->pool, s.len);
        if (s.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ngx_cpymem(s.data, pcf->base.data, pcf->base.len),
                   problem->code.data, problem->code.len);

        ngx_apiscale_text_literal(&t, "\"type\":");
        ngx_apiscale_text_json(&t, &s);
        ngx_apiscale_text_literal(&t, ",");
    }

    ngx_apiscale_text_literal(&t, "\"title\":");
    ngx_apiscale_text_json(&t, &problem->title);
    ngx_apiscale_text_literal(&t, ",\"status\":");
    ngx_apiscale_text_uint(&t, rec->status);

    if (rec->detail.len) {
        ngx_apiscale_text_literal(&t, ",\"detail\":");
        ngx_apiscale_text_json(&t, &rec->detail);
    }

    ngx_apiscale_text_literal(&t, ",\"code\":");
    ngx_apiscale_text_json(&t, &problem->code);

    vv = ngx_http_get_variable(r, &name, ngx_hash_key(name.data, name.len));

    if (vv && !vv->not_found) {
        ngx_apiscale_text_literal(&t, ",\"instance\":\"urn:request:");
        ngx_apiscale_text_add(&t, vv->data, vv->len);
        ngx_apiscale_text_literal(&t, "\"");
    }

    if (rec->members) {
        rec->members(r, rec, &t);
    }

    ngx_apiscale_text_literal(&t, "}\n");

    if (t.failed) {
        return NGX_ERROR;
    }

    for (cl = t.out; cl->next; cl = cl->next) { /* void */ }

    cl->buf->last_buf = 1;
    cl->buf->last_in_chain = 1;

    rec->problem_body = t.out;
    *size = t.size;

    return NGX_OK;
}


static void *
ngx_http_apiscale_problem_create_conf(ngx_conf_t *cf)
{
    ngx_http_apiscale_problem_conf_t  *pcf;

    pcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_problem_conf_t));
    if (pcf == NULL) {
        return NULL;
    }

    pcf->enable = NGX_CONF_UNSET;

    return pcf;
}


static char *
ngx_http_apiscale_problem_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_apiscale_problem_conf_t  *prev = parent;
    ngx_http_apiscale_problem_conf_t  *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 1);
    ngx_conf_merge_str_value(conf->base, prev->base, "");

    return NGX_CONF_OK;
}
