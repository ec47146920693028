
/*
 * Copyright (C) apiscale authors
 */


/*
 * The directives of versions.  apiscale_api and, within it, version are
 * blocks with directives of their own, which nginx finds by bits of cmd_type
 * that nobody else uses.
 */


#include "ngx_http_apiscale_version.h"


#define NGX_HTTP_APISCALE_API_CONF          0x00100000
#define NGX_HTTP_APISCALE_API_VERSION_CONF  0x00200000


static char *ngx_http_apiscale_version_api_block(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_api_prefix(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_api_source(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_api_default(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_api_enum(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_block(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_date(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_set_successor(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_link(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_enum(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_version_use(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

static char *ngx_http_apiscale_version_parse(ngx_conf_t *cf,
    ngx_uint_t cmd_type);
static ngx_int_t ngx_http_apiscale_version_name(ngx_conf_t *cf,
    ngx_str_t *name);

static void *ngx_http_apiscale_version_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_version_init_main_conf(ngx_conf_t *cf,
    void *conf);
static void *ngx_http_apiscale_version_create_srv_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_version_merge_srv_conf(ngx_conf_t *cf,
    void *parent, void *child);
static ngx_int_t ngx_http_apiscale_version_init(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_http_apiscale_version_rewrites[] = {
    { ngx_string("strip"), NGX_HTTP_APISCALE_VERSION_STRIP },
    { ngx_string("path"), NGX_HTTP_APISCALE_VERSION_KEEP },
    { ngx_string("off"), NGX_HTTP_APISCALE_VERSION_OFF },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_apiscale_version_after_sunset[] = {
    { ngx_string("gone"), NGX_HTTP_APISCALE_VERSION_GONE },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_apiscale_version_commands[] = {

    { ngx_string("apiscale_api"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_api_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("apiscale_use_api"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_1MORE,
      ngx_http_apiscale_version_use,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /* within apiscale_api */

    { ngx_string("prefix"),
      NGX_HTTP_APISCALE_API_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_api_prefix,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("source"),
      NGX_HTTP_APISCALE_API_CONF|NGX_CONF_1MORE,
      ngx_http_apiscale_version_api_source,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("default"),
      NGX_HTTP_APISCALE_API_CONF|NGX_CONF_1MORE,
      ngx_http_apiscale_version_api_default,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("rewrite"),
      NGX_HTTP_APISCALE_API_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_api_enum,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_apiscale_version_api_t, rewrite),
      &ngx_http_apiscale_version_rewrites },

    { ngx_string("version"),
      NGX_HTTP_APISCALE_API_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* within version */

    { ngx_string("deprecated"),
      NGX_HTTP_APISCALE_API_VERSION_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_date,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_apiscale_version_t, deprecated),
      NULL },

    { ngx_string("sunset"),
      NGX_HTTP_APISCALE_API_VERSION_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_date,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_apiscale_version_t, sunset),
      NULL },

    { ngx_string("successor"),
      NGX_HTTP_APISCALE_API_VERSION_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_set_successor,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("link"),
      NGX_HTTP_APISCALE_API_VERSION_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_link,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("after_sunset"),
      NGX_HTTP_APISCALE_API_VERSION_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_version_enum,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_apiscale_version_t, after_sunset),
      &ngx_http_apiscale_version_after_sunset },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_version_module_ctx = {
    ngx_http_apiscale_version_variables,   /* preconfiguration */
    ngx_http_apiscale_version_init,        /* postconfiguration */

    ngx_http_apiscale_version_create_main_conf,
                                           /* create main configuration */
    ngx_http_apiscale_version_init_main_conf,
                                           /* init main configuration */

    ngx_http_apiscale_version_create_srv_conf,
                                           /* create server configuration */
    ngx_http_apiscale_version_merge_srv_conf,
                                           /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_version_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_version_module_ctx, /* module context */
    ngx_http_apiscale_version_commands,    /* module directives */
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


static char *
ngx_http_apiscale_version_api_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    char                              *rv;
    ngx_str_t                         *value;
    ngx_http_apiscale_version_api_t   *api, **apip;

    value = cf->args->elts;

    if (ngx_http_apiscale_version_name(cf, &value[1]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apiscale_version_find_api(mcf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate apiscale_api \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    api = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_version_api_t));
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    api->name = value[1];
    api->rewrite = NGX_CONF_UNSET_UINT;

    if (ngx_array_init(&api->versions, cf->pool, 4,
                       sizeof(ngx_http_apiscale_version_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    apip = ngx_array_push(&mcf->apis);
    if (apip == NULL) {
        return NGX_CONF_ERROR;
    }

    *apip = api;

    mcf->api = api;
    rv = ngx_http_apiscale_version_parse(cf, NGX_HTTP_APISCALE_API_CONF);
    mcf->api = NULL;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (api->versions.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no versions are inside apiscale_api \"%V\"",
                           &api->name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_uint_value(api->rewrite, NGX_HTTP_APISCALE_VERSION_STRIP);

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_version_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    char                             *rv;
    ngx_str_t                        *value;
    ngx_http_apiscale_version_t      *v;
    ngx_http_apiscale_version_api_t  *api;

    api = mcf->api;
    value = cf->args->elts;

    if (ngx_http_apiscale_version_name(cf, &value[1]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "none") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apiscale_version_find(api, value[1].data, value[1].len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate version \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (api->versions.nelts == NGX_HTTP_APISCALE_VERSION_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "too many versions in apiscale_api \"%V\", "
                           "at most %d are supported",
                           &api->name, NGX_HTTP_APISCALE_VERSION_MAX);
        return NGX_CONF_ERROR;
    }

    if (value[1].len > 1 && value[1].data[0] == 'v'
        && value[1].data[1] >= '0' && value[1].data[1] <= '9')
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "version \"%V\" is \"v%V\" in a URI, "
                           "the \"v\" is not a part of the name",
                           &value[1], &value[1]);
    }

    v = ngx_array_push(&api->versions);
    if (v == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(v, sizeof(ngx_http_apiscale_version_t));

    v->name = value[1];
    v->deprecated = NGX_HTTP_APISCALE_VERSION_NEVER;
    v->sunset = NGX_HTTP_APISCALE_VERSION_NEVER;
    v->after_sunset = NGX_CONF_UNSET_UINT;

    mcf->version = v;
    rv = ngx_http_apiscale_version_parse(cf,
                                         NGX_HTTP_APISCALE_API_VERSION_CONF);
    mcf->version = NULL;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ngx_conf_init_uint_value(v->after_sunset, NGX_HTTP_APISCALE_VERSION_GONE);

    return NGX_CONF_OK;
}


/*
 * Parses a block with the directives of "cmd_type", and "include", which is
 * allowed where NGX_MAIN_CONF is: no other directive of an HTTP module is.
 */

static char *
ngx_http_apiscale_version_parse(ngx_conf_t *cf, ngx_uint_t cmd_type)
{
    char        *rv;
    ngx_conf_t   pcf;

    pcf = *cf;
    cf->cmd_type = cmd_type|NGX_MAIN_CONF;

    rv = ngx_conf_parse(cf, NULL);

    *cf = pcf;

    return rv;
}


/* of an API or a version: it stands in URIs, headers and labels */

static ngx_int_t
ngx_http_apiscale_version_name(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char  *p, ch;

    if (name->len == 0 || name->len > NGX_HTTP_APISCALE_VERSION_MAX_NAME) {
        goto invalid;
    }

    for (p = name->data; p < name->data + name->len; p++) {
        ch = (u_char) (*p | 0x20);

        if ((ch < 'a' || ch > 'z') && (*p < '0' || *p > '9')
            && *p != '.' && *p != '_' && *p != '-')
        {
            goto invalid;
        }
    }

    return NGX_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid name \"%V\", it must be 1 to %d characters "
                       "of [A-Za-z0-9._-]",
                       name, NGX_HTTP_APISCALE_VERSION_MAX_NAME);

    return NGX_ERROR;
}


/* compared with normalised URIs, so it is to be one */

static char *
ngx_http_apiscale_version_api_prefix(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    u_char     *p, *last, *seg;
    ngx_str_t  *value, *prefix;

    prefix = &mcf->api->prefix;

    if (prefix->data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    *prefix = value[1];

    if (prefix->len == 0 || prefix->data[0] != '/') {
        goto invalid;
    }

    if (prefix->data[prefix->len - 1] == '/') {
        prefix->len--;
    }

    last = prefix->data + prefix->len;

    for (p = prefix->data, seg = p; p < last; p++) {

        if (*p <= 0x20 || *p == 0x7f || *p == '%' || *p == '?' || *p == '#') {
            goto invalid;
        }

        if (*p == '/') {
            seg = p + 1;
        }

        /* the end of a segment: not empty, "." or ".." */

        if ((p + 1 == last || p[1] == '/')
            && (seg > p || (p[0] == '.'
                            && (seg == p || (p[-1] == '.' && seg == p - 1)))))
        {
            goto invalid;
        }
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid prefix \"%V\", it must be a path "
                       "as in a normalized URI", &value[1]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apiscale_version_api_source(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    ngx_str_t  *value;

    if (mcf->api->source) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "path") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown source \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts > 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    mcf->api->source = NGX_HTTP_APISCALE_VERSION_PATH;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_version_api_default(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    ngx_str_t                            *value;
    ngx_uint_t                            i;
    ngx_http_apiscale_version_api_t      *api;
    ngx_http_compile_complex_value_t      ccv;
    ngx_http_apiscale_version_default_t  *def;

    api = mcf->api;

    if (api->defaults) {
        return "is duplicate";
    }

    api->defaults = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                 sizeof(ngx_http_apiscale_version_default_t));
    if (api->defaults == NULL) {
        return NGX_CONF_ERROR;
    }

    api->file = cf->conf_file->file.name.data;
    api->line = cf->conf_file->line;

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "none") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0 || ngx_strcmp(value[i].data, "none") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        def = ngx_array_push(api->defaults);
        if (def == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(def, sizeof(ngx_http_apiscale_version_default_t));
        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = &def->value;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_version_api_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    return ngx_conf_set_enum_slot(cf, cmd, mcf->api);
}


static char *
ngx_http_apiscale_version_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    return ngx_conf_set_enum_slot(cf, cmd, mcf->version);
}


/* "deprecated" and "sunset", in any order */

static char *
ngx_http_apiscale_version_date(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    int64_t                      *date;
    const char                   *reason;
    ngx_str_t                    *value;
    ngx_http_apiscale_version_t  *v;

    v = mcf->version;
    date = (int64_t *) ((u_char *) v + cmd->offset);

    if (*date != NGX_HTTP_APISCALE_VERSION_NEVER) {
        return "is duplicate";
    }

    value = cf->args->elts;

    switch (apiscale_date_parse(value[1].data, value[1].len, date)) {

    case APISCALE_DATE_OK:
        break;

    case APISCALE_DATE_IMPOSSIBLE:
        reason = "impossible";
        goto invalid;

    case APISCALE_DATE_RANGE:
        reason = "out of range";
        goto invalid;

    default:
        reason = "malformed";
        goto invalid;
    }

    if (v->deprecated != NGX_HTTP_APISCALE_VERSION_NEVER
        && v->sunset < v->deprecated)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"sunset\" of version \"%V\" is before "
                           "its \"deprecated\"", &v->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid date \"%V\" in \"%V\" directive: it is %s",
                       &value[1], &value[0], reason);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apiscale_version_set_successor(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    ngx_str_t                    *value;
    ngx_http_apiscale_version_t  *v;

    v = mcf->version;

    if (v->successor_name.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    v->successor_name = value[1];
    v->file = cf->conf_file->file.name.data;
    v->line = cf->conf_file->line;

    return NGX_CONF_OK;
}


/* a URI reference as it may stand in a Link header */

static char *
ngx_http_apiscale_version_link(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    u_char                       *p;
    ngx_str_t                    *value;
    ngx_http_apiscale_version_t  *v;

    v = mcf->version;

    if (v->link.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    v->link = value[1];

    if (v->link.len == 0
        || (v->link.data[0] != '/'
            && ngx_strncasecmp(v->link.data, (u_char *) "https://", 8) != 0
            && ngx_strncasecmp(v->link.data, (u_char *) "http://", 7) != 0))
    {
        goto invalid;
    }

    for (p = v->link.data; p < v->link.data + v->link.len; p++) {

        if (*p <= 0x20 || *p >= 0x7f
            || ngx_strchr("\"<>\\^`{|}", (char) *p) != NULL)
        {
            goto invalid;
        }
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL \"%V\"", &value[1]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apiscale_version_use(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_version_srv_conf_t *scf = conf;

    ngx_str_t   *value, *name;
    ngx_uint_t   i;

    if (scf->names) {
        return "is duplicate";
    }

    scf->names = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                  sizeof(ngx_str_t));
    if (scf->names == NULL) {
        return NGX_CONF_ERROR;
    }

    scf->file = cf->conf_file->file.name.data;
    scf->line = cf->conf_file->line;

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0 || ngx_strcmp(value[i].data, "off") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        name = ngx_array_push(scf->names);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[i];
    }

    ngx_http_apiscale_use(cf, NGX_HTTP_APISCALE_VERSIONS);

    return NGX_CONF_OK;
}


static void *
ngx_http_apiscale_version_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apiscale_version_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_version_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->apis, cf->pool, 2,
                       sizeof(ngx_http_apiscale_version_api_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


static char *
ngx_http_apiscale_version_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_apiscale_version_main_conf_t *mcf = conf;

    ngx_uint_t                         i;
    ngx_http_apiscale_version_api_t  **api;

    api = mcf->apis.elts;

    for (i = 0; i < mcf->apis.nelts; i++) {

        if (ngx_http_apiscale_version_check_api(cf, api[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_apiscale_version_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_version_srv_conf_t));
}


static char *
ngx_http_apiscale_version_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apiscale_version_srv_conf_t *prev = parent;
    ngx_http_apiscale_version_srv_conf_t *conf = child;

    if (ngx_http_apiscale_version_resolve(cf, prev) != NGX_OK
        || ngx_http_apiscale_version_resolve(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->names == NULL) {
        conf->apis = prev->apis;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apiscale_version_init(ngx_conf_t *cf)
{
    return ngx_http_apiscale_version_section(cf);
}
