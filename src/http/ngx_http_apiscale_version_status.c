
/*
 * Copyright (C) apiscale authors
 */


/*
 * The section of the status page: the versions of all APIs and their dates.
 */


#include "ngx_http_apiscale_version.h"


static void ngx_http_apiscale_version_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_version_json_version(
    ngx_http_apiscale_version_t *v, ngx_apiscale_text_t *t);
static void ngx_http_apiscale_version_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);


static const ngx_http_apiscale_section_t
    ngx_http_apiscale_version_status_section =
{
    ngx_string("versions"),
    ngx_http_apiscale_version_json,
    ngx_http_apiscale_version_prometheus
};


/*
 * Registers the section of the status page when there is an API.
 */

ngx_int_t
ngx_http_apiscale_version_section(ngx_conf_t *cf)
{
    ngx_http_apiscale_version_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_apiscale_version_module);

    if (mcf->apis.nelts == 0) {
        return NGX_OK;
    }

    return ngx_http_apiscale_add_section(cf,
                                   &ngx_http_apiscale_version_status_section);
}


static void
ngx_http_apiscale_version_json(ngx_http_request_t *r, ngx_apiscale_text_t *t)
{
    ngx_str_t                               prefix;
    ngx_uint_t                              i, j;
    ngx_http_apiscale_version_t            *v;
    ngx_http_apiscale_version_api_t       **api;
    ngx_http_apiscale_version_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_version_module);
    api = mcf->apis.elts;

    ngx_apiscale_text_literal(t, "[");

    for (i = 0; i < mcf->apis.nelts; i++) {

        prefix = api[i]->prefix;

        if (prefix.len == 0) {
            ngx_str_set(&prefix, "/");
        }

        if (i) {
            ngx_apiscale_text_literal(t, ",");
        }

        ngx_apiscale_text_literal(t, "{\"api\":");
        ngx_apiscale_text_json(t, &api[i]->name);
        ngx_apiscale_text_literal(t, ",\"prefix\":");
        ngx_apiscale_text_json(t, &prefix);
        ngx_apiscale_text_literal(t, ",\"versions\":[");

        v = api[i]->versions.elts;

        for (j = 0; j < api[i]->versions.nelts; j++) {

            if (j) {
                ngx_apiscale_text_literal(t, ",");
            }

            ngx_http_apiscale_version_json_version(&v[j], t);
        }

        ngx_apiscale_text_literal(t, "]}");
    }

    ngx_apiscale_text_literal(t, "]");
}


static void
ngx_http_apiscale_version_json_version(ngx_http_apiscale_version_t *v,
    ngx_apiscale_text_t *t)
{
    u_char      buf[APISCALE_DATE_RFC3339_LEN];
    ngx_str_t   date;
    ngx_uint_t  status;

    status = ngx_http_apiscale_version_status(v, ngx_time());

    ngx_apiscale_text_literal(t, "{\"version\":");
    ngx_apiscale_text_json(t, &v->name);
    ngx_apiscale_text_literal(t, ",\"status\":");
    ngx_apiscale_text_json(t, &ngx_http_apiscale_version_statuses[status]);

    if (v->deprecated != NGX_HTTP_APISCALE_VERSION_NEVER) {
        date.data = buf;
        date.len = apiscale_date_rfc3339(v->deprecated, buf);

        ngx_apiscale_text_literal(t, ",\"deprecated\":");
        ngx_apiscale_text_json(t, &date);
    }

    if (v->sunset != NGX_HTTP_APISCALE_VERSION_NEVER) {
        ngx_apiscale_text_literal(t, ",\"sunset\":");
        ngx_apiscale_text_json(t, &v->sunset_date);
    }

    if (v->successor) {
        ngx_apiscale_text_literal(t, ",\"successor\":");
        ngx_apiscale_text_json(t, &v->successor->name);
    }

    ngx_apiscale_text_literal(t, "}");
}


static void
ngx_http_apiscale_version_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    ngx_uint_t                              i, j, n;
    ngx_http_apiscale_version_t            *v;
    ngx_http_apiscale_version_api_t       **api;
    ngx_http_apiscale_version_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_version_module);
    api = mcf->apis.elts;
    n = 0;

    for (i = 0; i < mcf->apis.nelts; i++) {

        v = api[i]->versions.elts;

        for (j = 0; j < api[i]->versions.nelts; j++) {

            if (v[j].sunset == NGX_HTTP_APISCALE_VERSION_NEVER) {
                continue;
            }

            if (n++ == 0) {
                ngx_apiscale_text_literal(t,
                    "# HELP apiscale_api_version_sunset_timestamp_seconds "
                    "When the version ends.\n"
                    "# TYPE apiscale_api_version_sunset_timestamp_seconds "
                    "gauge\n");
            }

            ngx_apiscale_text_literal(t,
                     "apiscale_api_version_sunset_timestamp_seconds{api=");
            ngx_apiscale_text_label(t, &api[i]->name);
            ngx_apiscale_text_literal(t, ",version=");
            ngx_apiscale_text_label(t, &v[j].name);
            ngx_apiscale_text_literal(t, "} ");
            ngx_apiscale_text_uint(t, (uint64_t) v[j].sunset);
            ngx_apiscale_text_literal(t, "\n");
        }
    }
}
