
/*
 * Copyright (C) apiscale authors
 */


/*
 * The client's network: the part of its address that one subscriber cannot
 * change at will.  Behind a proxy the address is what realip made of it.
 */


#include "ngx_http_apiscale.h"


typedef struct {
    ngx_uint_t  bits4;
    ngx_uint_t  bits6;

    /* in network order */

    uint32_t    mask4;
    uint64_t    mask6[2];
} ngx_http_apiscale_client_conf_t;


static ngx_int_t ngx_http_apiscale_client_net_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static char *ngx_http_apiscale_client_net_set(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_apiscale_client_variables(ngx_conf_t *cf);
static void *ngx_http_apiscale_client_create_conf(ngx_conf_t *cf);
static char *ngx_http_apiscale_client_merge_conf(ngx_conf_t *cf,
    void *parent, void *child);
static void ngx_http_apiscale_client_mask(u_char *p, size_t len,
    ngx_uint_t bits);


static ngx_command_t  ngx_http_apiscale_client_commands[] = {

    { ngx_string("apiscale_client_net"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_apiscale_client_net_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apiscale_client_module_ctx = {
    ngx_http_apiscale_client_variables,    /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apiscale_client_create_conf,  /* create location configuration */
    ngx_http_apiscale_client_merge_conf    /* merge location configuration */
};


ngx_module_t  ngx_http_apiscale_client_module = {
    NGX_MODULE_V1,
    &ngx_http_apiscale_client_module_ctx,  /* module context */
    ngx_http_apiscale_client_commands,     /* module directives */
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


/* realip may change the address between two phases */

static ngx_http_variable_t  ngx_http_apiscale_client_vars[] = {

    { ngx_string("apiscale_client_net"), NULL,
      ngx_http_apiscale_client_net_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/*
 * The client's network as limits know it.  IPv4, IPv4-mapped IPv6 included:
 * net->len is 0, and net->word is the masked address with its family.  IPv6:
 * so many bytes as are not always zero, with their family.  NGX_DECLINED: the
 * client has no IP address.
 */

ngx_int_t
ngx_http_apiscale_client_net(ngx_http_request_t *r,
    ngx_http_apiscale_net_t *net)
{
    uint32_t                          addr;
    struct sockaddr_in               *sin;
    ngx_http_apiscale_client_conf_t  *ccf;
#if (NGX_HAVE_INET6)
    uint64_t                          high, low;
    struct sockaddr_in6              *sin6;
#endif

    ccf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_client_module);

    switch (r->connection->sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            ngx_memcpy(&addr, sin6->sin6_addr.s6_addr + 12, 4);
            break;
        }

        ngx_memcpy(&high, sin6->sin6_addr.s6_addr, 8);
        ngx_memcpy(&low, sin6->sin6_addr.s6_addr + 8, 8);

        high &= ccf->mask6[0];
        low &= ccf->mask6[1];

        net->data[0] = 6;
        ngx_memcpy(net->data + 1, &high, 8);
        ngx_memcpy(net->data + 9, &low, 8);
        net->len = 1 + (ccf->bits6 + 7) / 8;

        return NGX_OK;
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) r->connection->sockaddr;
        addr = sin->sin_addr.s_addr;
        break;

    default:
        return NGX_DECLINED;
    }

    net->len = 0;
    net->word = (uint64_t) 4 << 56 | (addr & ccf->mask4);

    return NGX_OK;
}


/*
 * As text: the address, with "/" and the length of the prefix when a part of
 * it is masked.
 */

static ngx_int_t
ngx_http_apiscale_client_net_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                           *p;
    uint32_t                          addr;
    ngx_uint_t                        bits, full;
    ngx_http_apiscale_net_t          *net;
    ngx_http_apiscale_client_conf_t  *ccf;

    p = ngx_palloc(r->pool, sizeof(ngx_http_apiscale_net_t)
                            + NGX_SOCKADDR_STRLEN + sizeof("/128") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    net = (ngx_http_apiscale_net_t *) p;
    p += sizeof(ngx_http_apiscale_net_t);

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    if (ngx_http_apiscale_client_net(r, net) != NGX_OK) {
        v->len = 0;
        return NGX_OK;
    }

    ccf = ngx_http_get_module_loc_conf(r, ngx_http_apiscale_client_module);

    if (net->len == 0) {
        bits = ccf->bits4;
        full = 32;
        addr = (uint32_t) net->word;
        p += ngx_inet_ntop(AF_INET, &addr, p, NGX_SOCKADDR_STRLEN);

    } else {
        bits = ccf->bits6;
        full = 128;
        p += ngx_inet_ntop(AF_INET6, net->data + 1, p, NGX_SOCKADDR_STRLEN);
    }

    if (bits != full) {
        p = ngx_sprintf(p, "/%ui", bits);
    }

    v->len = p - v->data;

    return NGX_OK;
}


static char *
ngx_http_apiscale_client_net_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apiscale_client_conf_t *ccf = conf;

    ngx_int_t   bits4, bits6;
    ngx_str_t  *value;

    if (ccf->bits4 != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    bits4 = ngx_atoi(value[1].data, value[1].len);

    if (bits4 == NGX_ERROR || bits4 > 32) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid IPv4 prefix length \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    bits6 = ngx_atoi(value[2].data, value[2].len);

    if (bits6 == NGX_ERROR || bits6 > 128) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid IPv6 prefix length \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    ccf->bits4 = bits4;
    ccf->bits6 = bits6;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apiscale_client_variables(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_variables(cf, ngx_http_apiscale_client_vars);
}


static void *
ngx_http_apiscale_client_create_conf(ngx_conf_t *cf)
{
    ngx_http_apiscale_client_conf_t  *ccf;

    ccf = ngx_palloc(cf->pool, sizeof(ngx_http_apiscale_client_conf_t));
    if (ccf == NULL) {
        return NULL;
    }

    ccf->bits4 = NGX_CONF_UNSET_UINT;
    ccf->bits6 = NGX_CONF_UNSET_UINT;

    return ccf;
}


static char *
ngx_http_apiscale_client_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_apiscale_client_conf_t  *prev = parent;
    ngx_http_apiscale_client_conf_t  *conf = child;

    ngx_conf_merge_uint_value(conf->bits4, prev->bits4, 32);
    ngx_conf_merge_uint_value(conf->bits6, prev->bits6, 64);

    ngx_http_apiscale_client_mask((u_char *) &conf->mask4, 4, conf->bits4);
    ngx_http_apiscale_client_mask((u_char *) conf->mask6, 16, conf->bits6);

    return NGX_CONF_OK;
}


static void
ngx_http_apiscale_client_mask(u_char *p, size_t len, ngx_uint_t bits)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        p[i] = (u_char) (i < bits / 8 ? 0xff
                         : i == bits / 8 ? 0xff00 >> bits % 8 : 0);
    }
}
