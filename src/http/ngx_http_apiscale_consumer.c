
/*
 * Copyright (C) apiscale authors
 */


/*
 * Consumers: directives.
 */


#include "ngx_http_apiscale_consumer.h"


#define NGX_HTTP_APISCALE_CONSUMER_RELOAD  10000


static char *ngx_http_apiscale_consumer_file_set(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apiscale_consumer_zone(ngx_conf_t *cf,
    ngx_http_apiscale_consumer_main_conf_t *mcf, ngx_str_t *value);
static char *ngx_http_apiscale_consumer_reload(ngx_conf_t *cf,
    ngx_http_apiscale_consumer_main_conf_t *mcf, ngx_str_t *value);
static char *ngx_http_apiscale_consumer_key_set(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_uint_t ngx_http_apiscale_consumer_is_variable(ngx_str_t *value,
    ngx_str_t *name);
static char *ngx_http_apiscale_consumer_mode_set(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_apiscale_consumer_init(ngx_conf_t *cf);
static void *ngx_http_apiscale_consumer_create_main(ngx_conf_t *cf);
static void *ngx_http_apiscale_consumer_create_srv(ngx_conf_t *cf);
static char *ngx_http_apiscale_consumer_merge_srv(ngx_conf_t *cf,
    void *parent, void *child);
static void *ngx_http_apiscale_consumer_create_loc(ngx_conf_t *cf);
static char *ngx_http_apiscale_consumer_merge_loc(ngx_conf_t *cf,
    void *parent, void *child);


static ngx_conf_enum_t  ngx_http_apiscale_consumer_modes[] = {
    { ngx_string("optional"), NGX_HTTP_APISCALE_CONSUMER_OPTIONAL },
    { ngx_string("required"), NGX_HTTP_APISCALE_CONSUMER_REQUIRED },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_apiscale_consumer_commands[] = {

    { ngx_string("apiscale_consumers"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_apiscale_consumer_file_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("apiscale_consumer_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_consumer_key_set,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_apiscale_consumer_srv_conf_t, key),
      NULL },

    { ngx_string("apiscale_consumer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_apiscale_consumer_mode_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apiscale_consumer_loc_conf_t, mode),
      ngx_http_apiscale_consumer_modes },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_consumer_module_ctx = {
    ngx_http_apiscale_consumer_add_variables, /* preconfiguration */
    ngx_http_apiscale_consumer_init,       /* postconfiguration */

    ngx_http_apiscale_consumer_create_main, /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_apiscale_consumer_create_srv, /* create server configuration */
    ngx_http_apiscale_consumer_merge_srv,  /* merge server configuration */

    ngx_http_apiscale_consumer_create_loc, /* create location configuration */
    ngx_http_apiscale_consumer_merge_loc   /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_consumer_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_consumer_module_ctx, /* module context */
    ngx_http_apiscale_consumer_commands,   /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_apiscale_consumer_init_module, /* init module */
    ngx_http_apiscale_consumer_init_process, /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
ngx_http_apiscale_consumer_file_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_consumer_main_conf_t *mcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i, reload;

    if (mcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    reload = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0 && !mcf->zone) {
            rv = ngx_http_apiscale_consumer_zone(cf, mcf, &value[i]);

        } else if (ngx_strncmp(value[i].data, "file=", 5) == 0
                   && mcf->file.len == 0 && value[i].len > 5)
        {
            mcf->file.data = value[i].data + 5;
            mcf->file.len = value[i].len - 5;
            rv = NGX_CONF_OK;

        } else if (ngx_strncmp(value[i].data, "reload=", 7) == 0
                   && !reload)
        {
            reload = 1;
            rv = ngx_http_apiscale_consumer_reload(cf, mcf, &value[i]);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            rv = NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (mcf->zone == NULL || mcf->file.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"%s\" parameter", &cmd->name,
                           mcf->zone ? "file" : "zone");
        return NGX_CONF_ERROR;
    }

    if (ngx_conf_full_name(cf->cycle, &mcf->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

#if (NGX_THREADS)
    if (!reload) {
        mcf->reload = NGX_HTTP_APISCALE_CONSUMER_RELOAD;
    }

    if (mcf->reload) {
        mcf->threads = ngx_thread_pool_add(cf, NULL);
        if (mcf->threads == NULL) {
            return NGX_CONF_ERROR;
        }
    }
#endif

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_consumer_zone(ngx_conf_t *cf,
    ngx_http_apiscale_consumer_main_conf_t *mcf, ngx_str_t *value)
{
    u_char     *p;
    ssize_t     size;
    ngx_str_t   name, s;

    name.data = value->data + 5;

    p = (u_char *) ngx_strchr(name.data, ':');

    if (p == NULL || p == name.data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    name.len = p - name.data;

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small", value);
        return NGX_CONF_ERROR;
    }

    mcf->zone = ngx_shared_memory_add(cf, &name, size,
                                      &ngx_http_apiscale_consumer_module);
    if (mcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (mcf->zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate zone \"%V\"", &name);
        return NGX_CONF_ERROR;
    }

    mcf->zone->init = ngx_http_apiscale_consumer_init_zone;
    mcf->zone->data = mcf;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_consumer_reload(ngx_conf_t *cf,
    ngx_http_apiscale_consumer_main_conf_t *mcf, ngx_str_t *value)
{
    ngx_int_t  reload;
    ngx_str_t  s;

    s.data = value->data + 7;
    s.len = value->len - 7;

    reload = ngx_parse_time(&s, 0);

    if (reload == (ngx_int_t) NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid reload value \"%V\"", value);
        return NGX_CONF_ERROR;
    }

#if !(NGX_THREADS)
    if (reload) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" requires an nginx that was built with "
                           "threads", value);
        return NGX_CONF_ERROR;
    }
#endif

    mcf->reload = reload;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_consumer_key_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_consumer_srv_conf_t *scf = conf;

    char       *rv;
    ngx_str_t  *value, name;

    rv = ngx_http_set_complex_value_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;

    /* the value of a variable needs not be copied */

    if (ngx_http_apiscale_consumer_is_variable(&value[1], &name)) {
        scf->index = ngx_http_get_variable_index(cf, &name);

        if (scf->index == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_apiscale_consumer_is_variable(ngx_str_t *value, ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    if (value->len < 2 || value->data[0] != '$') {
        return 0;
    }

    for (i = 1; i < value->len; i++) {
        c = value->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'
              || (i > 1 && c >= '0' && c <= '9')))
        {
            return 0;
        }
    }

    name->data = value->data + 1;
    name->len = value->len - 1;

    return 1;
}


static char *
ngx_http_apiscale_consumer_mode_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_consumer_loc_conf_t *lcf = conf;

    char                                    *rv;
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    rv = ngx_conf_set_enum_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK
        || lcf->mode != NGX_HTTP_APISCALE_CONSUMER_REQUIRED)
    {
        return rv;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                            ngx_http_apiscale_consumer_module);

    if (mcf->line == 0) {
        mcf->conf_file = cf->conf_file->file.name.data;
        mcf->line = cf->conf_file->line;
    }

    ngx_http_apiscale_use(cf, NGX_HTTP_APISCALE_CONSUMERS);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apiscale_consumer_init(ngx_conf_t *cf)
{
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                            ngx_http_apiscale_consumer_module);

    if (mcf->zone == NULL) {

        if (mcf->line == 0) {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"apiscale_consumers\" is defined for "
                      "the \"apiscale_consumer\" directive in %s:%ui",
                      mcf->conf_file, mcf->line);
        return NGX_ERROR;
    }

    if (ngx_http_apiscale_add_zone(cf, mcf->zone,
                                   ngx_http_apiscale_consumer_used)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apiscale_consumer_add_section(cf);
}


static void *
ngx_http_apiscale_consumer_create_main(ngx_conf_t *cf)
{
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool,
                      sizeof(ngx_http_apiscale_consumer_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    mcf->pool = cf->pool;

    return mcf;
}


static void *
ngx_http_apiscale_consumer_create_srv(ngx_conf_t *cf)
{
    ngx_http_apiscale_consumer_srv_conf_t  *scf;

    scf = ngx_palloc(cf->pool, sizeof(ngx_http_apiscale_consumer_srv_conf_t));
    if (scf == NULL) {
        return NULL;
    }

    scf->index = NGX_ERROR;
    scf->key = NGX_CONF_UNSET_PTR;

    return scf;
}


static char *
ngx_http_apiscale_consumer_merge_srv(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apiscale_consumer_srv_conf_t  *prev = parent;
    ngx_http_apiscale_consumer_srv_conf_t  *conf = child;

    ngx_str_t                                name;
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                            ngx_http_apiscale_consumer_module);

    if (mcf->zone == NULL) {
        return NGX_CONF_OK;
    }

    if (prev->key == NGX_CONF_UNSET_PTR) {
        ngx_str_set(&name, "http_x_api_key");

        prev->key = NULL;
        prev->index = ngx_http_get_variable_index(cf, &name);

        if (prev->index == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }
    }

    if (conf->key == NGX_CONF_UNSET_PTR) {
        *conf = *prev;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_apiscale_consumer_create_loc(ngx_conf_t *cf)
{
    ngx_http_apiscale_consumer_loc_conf_t  *lcf;

    lcf = ngx_palloc(cf->pool, sizeof(ngx_http_apiscale_consumer_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->mode = NGX_CONF_UNSET_UINT;

    return lcf;
}


static char *
ngx_http_apiscale_consumer_merge_loc(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apiscale_consumer_loc_conf_t  *prev = parent;
    ngx_http_apiscale_consumer_loc_conf_t  *conf = child;

    ngx_conf_merge_uint_value(conf->mode, prev->mode,
                              NGX_HTTP_APISCALE_CONSUMER_OPTIONAL);

    return NGX_CONF_OK;
}
