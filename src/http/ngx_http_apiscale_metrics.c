
/*
 * Copyright (C) apiscale authors
 */


/*
 * Metrics: directives, and the series that they ask for.  A series is named
 * by the server and the location as they are written in the configuration.
 */


#include "ngx_http_apiscale_metrics.h"
#include "apiscale_utf8.h"

#include <ngx_md5.h>


static char *ngx_http_apiscale_metrics_zone_set(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ssize_t ngx_http_apiscale_metrics_zone_size(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *name);
static char *ngx_http_apiscale_metrics_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_http_apiscale_metrics_series_t *
    ngx_http_apiscale_metrics_add_series(ngx_conf_t *cf,
    ngx_http_apiscale_metrics_main_conf_t *mmcf, ngx_str_t *server,
    const char *modifier, ngx_str_t *location);
static ngx_int_t ngx_http_apiscale_metrics_name(ngx_conf_t *cf,
    ngx_str_t *name, const char *modifier, ngx_str_t *s);
static const char *ngx_http_apiscale_metrics_modifier(
    ngx_http_core_loc_conf_t *clcf, ngx_uint_t caseless);
static ngx_int_t ngx_http_apiscale_metrics_variables(ngx_conf_t *cf);
static void *ngx_http_apiscale_metrics_create_main(ngx_conf_t *cf);
static void *ngx_http_apiscale_metrics_create_srv(ngx_conf_t *cf);
static void *ngx_http_apiscale_metrics_create_loc(ngx_conf_t *cf);
static char *ngx_http_apiscale_metrics_merge_loc(ngx_conf_t *cf,
    void *parent, void *child);
static ngx_int_t ngx_http_apiscale_metrics_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_apiscale_metrics_commands[] = {

    { ngx_string("apiscale_metrics_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_apiscale_metrics_zone_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("apiscale_metrics"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_metrics_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apiscale_metrics_loc_conf_t, enable),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_metrics_module_ctx = {
    ngx_http_apiscale_metrics_variables,   /* preconfiguration */
    ngx_http_apiscale_metrics_init,        /* postconfiguration */

    ngx_http_apiscale_metrics_create_main, /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_apiscale_metrics_create_srv, /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apiscale_metrics_create_loc, /* create location configuration */
    ngx_http_apiscale_metrics_merge_loc   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_metrics_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_metrics_module_ctx, /* module context */
    ngx_http_apiscale_metrics_commands,    /* module directives */
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


static ngx_http_variable_t  ngx_http_apiscale_metrics_vars[] = {

    { ngx_string("apiscale_duration"), NULL,
      ngx_http_apiscale_metrics_duration, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static const ngx_http_apiscale_section_t  ngx_http_apiscale_metrics_section = {
    ngx_string("locations"),
    ngx_http_apiscale_metrics_json,
    ngx_http_apiscale_metrics_prometheus
};


static char *
ngx_http_apiscale_metrics_zone_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_metrics_main_conf_t *mmcf = conf;

    ssize_t      size;
    ngx_int_t    n;
    ngx_str_t   *value, name;
    ngx_uint_t   i;

    if (mmcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ngx_str_null(&name);
    size = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {

            if (name.data) {
                goto duplicate;
            }

            size = ngx_http_apiscale_metrics_zone_size(cf, &value[i], &name);
            if (size == NGX_ERROR) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "series=", 7) == 0) {

            if (mmcf->limit) {
                goto duplicate;
            }

            n = ngx_atoi(value[i].data + 7, value[i].len - 7);
            if (n == NGX_ERROR || n == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid number of series \"%V\"",
                                   &value[i]);
                return NGX_CONF_ERROR;
            }

            mmcf->limit = n;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    mmcf->zone = ngx_shared_memory_add(cf, &name, size,
                                       &ngx_http_apiscale_metrics_module);
    if (mmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    mmcf->zone->init = ngx_http_apiscale_metrics_init_zone;
    mmcf->zone->data = mmcf;

    return NGX_CONF_OK;

duplicate:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "duplicate parameter \"%V\"", &value[i]);

    return NGX_CONF_ERROR;
}


/* NGX_ERROR after a line in the log */

static ssize_t
ngx_http_apiscale_metrics_zone_size(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *name)
{
    u_char     *p;
    ssize_t     size;
    ngx_str_t   s;

    name->data = value->data + 5;

    p = (u_char *) ngx_strchr(name->data, ':');

    if (p == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_ERROR;
    }

    name->len = p - name->data;

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_ERROR;
    }

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small", value);
        return NGX_ERROR;
    }

    return size;
}


static char *
ngx_http_apiscale_metrics_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_metrics_loc_conf_t *mlcf = conf;

    char                                   *rv;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK || !mlcf->enable) {
        return rv;
    }

    mmcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_apiscale_metrics_module);

    if (mmcf->line == 0) {
        mmcf->file = cf->conf_file->file.name;
        mmcf->line = cf->conf_file->line;
    }

    return NGX_CONF_OK;
}


/*
 * The series of the two names; equal ones are one series.
 */

static ngx_http_apiscale_metrics_series_t *
ngx_http_apiscale_metrics_add_series(ngx_conf_t *cf,
    ngx_http_apiscale_metrics_main_conf_t *mmcf, ngx_str_t *server,
    const char *modifier, ngx_str_t *location)
{
    ngx_md5_t                             md5;
    ngx_uint_t                            i;
    ngx_http_apiscale_metrics_series_t   *series, **s;

    series = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_metrics_series_t));
    if (series == NULL) {
        return NULL;
    }

    if (ngx_http_apiscale_metrics_name(cf, &series->server, "", server)
        != NGX_OK
        || ngx_http_apiscale_metrics_name(cf, &series->location, modifier,
                                          location)
           != NGX_OK)
    {
        return NULL;
    }

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, &series->server.len, sizeof(size_t));
    ngx_md5_update(&md5, series->server.data, series->server.len);
    ngx_md5_update(&md5, series->location.data, series->location.len);
    ngx_md5_final(series->id, &md5);

    s = mmcf->series.elts;

    for (i = 0; i < mmcf->series.nelts; i++) {
        if (ngx_memcmp(s[i]->id, series->id, sizeof(series->id)) == 0) {
            return s[i];
        }
    }

    s = ngx_array_push(&mmcf->series);
    if (s == NULL) {
        return NULL;
    }

    *s = series;

    return series;
}


/*
 * A name as it will be shown, with its modifier: bytes that are not UTF-8,
 * and NUL, become U+FFFD.  Names that differ in these alone are equal, or the
 * same labels would appear twice.
 */

static ngx_int_t
ngx_http_apiscale_metrics_name(ngx_conf_t *cf, ngx_str_t *name,
    const char *modifier, ngx_str_t *s)
{
    u_char  *p, *last, *q;
    size_t   n;

    q = ngx_pnalloc(cf->pool, ngx_strlen(modifier) + 3 * s->len);
    if (q == NULL) {
        return NGX_ERROR;
    }

    name->data = q;
    q = ngx_cpymem(q, modifier, ngx_strlen(modifier));

    p = s->data;
    last = p + s->len;

    while (p < last) {
        n = *p ? apiscale_utf8_sequence(p, last - p) : 0;

        if (n) {
            q = ngx_cpymem(q, p, n);
            p += n;

        } else {
            q = ngx_cpymem(q, "\xef\xbf\xbd", 3);
            p++;
        }
    }

    name->len = q - name->data;

    return NGX_OK;
}


static const char *
ngx_http_apiscale_metrics_modifier(ngx_http_core_loc_conf_t *clcf,
    ngx_uint_t caseless)
{
    if (clcf->exact_match) {
        return "= ";
    }

    if (clcf->noregex) {
        return "^~ ";
    }

#if (NGX_PCRE)
    if (clcf->regex) {
        return caseless ? "~* " : "~ ";
    }
#endif

    return "";
}


static ngx_int_t
ngx_http_apiscale_metrics_variables(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_variables(cf, ngx_http_apiscale_metrics_vars);
}


static void *
ngx_http_apiscale_metrics_create_main(ngx_conf_t *cf)
{
    ngx_str_t                               empty = ngx_null_string;
    ngx_str_t                               other = ngx_string("other");
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    mmcf = ngx_pcalloc(cf->pool,
                       sizeof(ngx_http_apiscale_metrics_main_conf_t));
    if (mmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mmcf->series, cf->pool, 16,
                       sizeof(ngx_http_apiscale_metrics_series_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_http_apiscale_metrics_add_series(cf, mmcf, &empty, "", &other)
        == NULL)
    {
        return NULL;
    }

    /* its number of workers is known when the zone is made */

    mmcf->ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                                 ngx_core_module);

    return mmcf;
}


static void *
ngx_http_apiscale_metrics_create_srv(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_metrics_srv_conf_t));
}


static void *
ngx_http_apiscale_metrics_create_loc(ngx_conf_t *cf)
{
    ngx_str_t                             *value;
    ngx_http_apiscale_metrics_loc_conf_t  *mlcf;

    mlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_metrics_loc_conf_t));
    if (mlcf == NULL) {
        return NULL;
    }

    mlcf->enable = NGX_CONF_UNSET;

    /*
     * nginx keeps no trace of the difference between "~" and "~*": the
     * arguments of the block that is being opened tell
     */

    if (cf->args && cf->args->nelts > 1) {
        value = cf->args->elts;

        if (value[0].len == sizeof("location") - 1
            && ngx_strncmp(value[0].data, "location", value[0].len) == 0)
        {
            mlcf->caseless = (ngx_strncmp(value[1].data, "~*", 2) == 0);
        }
    }

    return mlcf;
}


static char *
ngx_http_apiscale_metrics_merge_loc(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apiscale_metrics_loc_conf_t  *prev = parent;
    ngx_http_apiscale_metrics_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t               *clcf;
    ngx_http_core_srv_conf_t               *cscf;
    ngx_http_apiscale_metrics_srv_conf_t   *mscf;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    mmcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_apiscale_metrics_module);

    if (!conf->enable || mmcf->zone == NULL) {
        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" */

    if (clcf->noname) {
        conf->series = prev->series;
        return NGX_CONF_OK;
    }

    conf->series = ngx_http_apiscale_metrics_add_series(cf, mmcf,
                      &cscf->server_name,
                      ngx_http_apiscale_metrics_modifier(clcf, conf->caseless),
                      &clcf->name);

    if (conf->series == NULL) {
        return NGX_CONF_ERROR;
    }

    mscf = ngx_http_conf_get_module_srv_conf(cf,
                                             ngx_http_apiscale_metrics_module);
    mscf->measured = 1;

    ngx_http_apiscale_use(cf, NGX_HTTP_APISCALE_METRICS);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apiscale_metrics_init(ngx_conf_t *cf)
{
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_apiscale_metrics_module);

    if (mmcf->zone == NULL && mmcf->line) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"apiscale_metrics_zone\" is defined for "
                      "the \"apiscale_metrics\" directive in %V:%ui",
                      &mmcf->file, mmcf->line);
        return NGX_ERROR;
    }

    if (ngx_http_apiscale_add_section(cf, &ngx_http_apiscale_metrics_section)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (mmcf->zone
        && ngx_http_apiscale_add_zone(cf, mmcf->zone,
                                      ngx_http_apiscale_metrics_zone_used)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
