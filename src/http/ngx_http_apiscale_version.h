
/*
 * Copyright (C) apiscale authors
 */


/*
 * Versions of APIs, shared by the files of this feature alone:
 *
 *   ngx_http_apiscale_version_conf.c      directives
 *   ngx_http_apiscale_version_check.c     checks of the whole configuration
 *   ngx_http_apiscale_version.c           the phase handler and variables
 *   ngx_http_apiscale_version_headers.c   what clients of old versions are
 *                                         told
 *   ngx_http_apiscale_version_status.c    the section of the status page
 *
 * Times are Unix seconds.
 */


#ifndef NGX_HTTP_APISCALE_VERSION_H_INCLUDED_
#define NGX_HTTP_APISCALE_VERSION_H_INCLUDED_


#include "ngx_http_apiscale.h"
#include "apiscale_date.h"
#include "apiscale_version.h"


#define NGX_HTTP_APISCALE_VERSION_MAX_NAME  64
#define NGX_HTTP_APISCALE_VERSION_MAX       256       /* versions of an API */

/* a date that was not set: no clock gets there */
#define NGX_HTTP_APISCALE_VERSION_NEVER     INT64_MAX


typedef enum {
    NGX_HTTP_APISCALE_VERSION_CURRENT = 0,
    NGX_HTTP_APISCALE_VERSION_DEPRECATED,
    NGX_HTTP_APISCALE_VERSION_SUNSET
} ngx_http_apiscale_version_status_e;


typedef enum {
    NGX_HTTP_APISCALE_VERSION_NO_SOURCE = 0,
    NGX_HTTP_APISCALE_VERSION_PATH,
    NGX_HTTP_APISCALE_VERSION_DEFAULT
} ngx_http_apiscale_version_source_e;


typedef enum {
    NGX_HTTP_APISCALE_VERSION_STRIP = 0,
    NGX_HTTP_APISCALE_VERSION_KEEP,       /* "path" */
    NGX_HTTP_APISCALE_VERSION_OFF
} ngx_http_apiscale_version_rewrite_e;


#define NGX_HTTP_APISCALE_VERSION_GONE  0


typedef struct ngx_http_apiscale_version_s  ngx_http_apiscale_version_t;

struct ngx_http_apiscale_version_s {
    ngx_str_t                       name;
    int64_t                         deprecated;
    int64_t                         sunset;
    ngx_str_t                       link;
    ngx_uint_t                      after_sunset;

    ngx_http_apiscale_version_t    *successor;
    ngx_str_t                       successor_name;
    u_char                         *file;         /* of "successor" */
    ngx_uint_t                      line;

    /* values of headers, and the date for the problem's body */

    ngx_str_t                       deprecation_value;
    ngx_str_t                       sunset_value;
    ngx_str_t                       link_value;
    ngx_str_t                       sunset_date;
};


/* a parameter of "default": one of the two is set */

typedef struct {
    ngx_http_apiscale_version_t    *version;
    ngx_http_complex_value_t        value;
} ngx_http_apiscale_version_default_t;


typedef struct {
    ngx_str_t                       name;
    ngx_str_t                       prefix;       /* no "/" at the end */
    ngx_uint_t                      rewrite;
    ngx_uint_t                      source;

    ngx_array_t                     versions;
                                     /* ngx_http_apiscale_version_t */
    ngx_array_t                     names;        /* of the versions */
                                     /* apiscale_version_name_t */

    ngx_array_t                    *defaults;
                                     /* ngx_http_apiscale_version_default_t */
    u_char                         *file;         /* of "default" */
    ngx_uint_t                      line;
} ngx_http_apiscale_version_api_t;


typedef struct {
    ngx_array_t                     apis;
                                     /* ngx_http_apiscale_version_api_t * */

    /* the blocks that are being parsed */

    ngx_http_apiscale_version_api_t  *api;
    ngx_http_apiscale_version_t      *version;
} ngx_http_apiscale_version_main_conf_t;


typedef struct {
    ngx_array_t                    *apis;
                                     /* ngx_http_apiscale_version_api_t *,
                                        longest prefix first */

    ngx_array_t                    *names;        /* ngx_str_t, as written */
    u_char                         *file;
    ngx_uint_t                      line;
} ngx_http_apiscale_version_srv_conf_t;


/*
 * What was decided for a request, once: rec->version.  None for requests
 * outside of all APIs.
 */

typedef struct {
    ngx_http_apiscale_version_api_t  *api;
    ngx_http_apiscale_version_t      *version;    /* NULL: none, or unknown */
    ngx_uint_t                        status;
    ngx_uint_t                        source;

    /* as they were, and the segment that names the version, if len != 0 */

    ngx_str_t                         uri;
    ngx_str_t                         args;
    size_t                            off;
    size_t                            len;

    ngx_str_t                         client_uri; /* once it was asked for */
    u_char                           *link;       /* the value that was sent */
} ngx_http_apiscale_version_ctx_t;


extern const ngx_str_t  ngx_http_apiscale_version_statuses[];


ngx_uint_t ngx_http_apiscale_version_status(ngx_http_apiscale_version_t *v,
    int64_t now);
ngx_http_apiscale_version_t *ngx_http_apiscale_version_successor(
    ngx_http_apiscale_version_t *v, int64_t now);
ngx_http_apiscale_version_t *ngx_http_apiscale_version_find(
    ngx_http_apiscale_version_api_t *api, u_char *name, size_t len);

ngx_http_apiscale_version_api_t *ngx_http_apiscale_version_find_api(
    ngx_http_apiscale_version_main_conf_t *mcf, ngx_str_t *name);
ngx_int_t ngx_http_apiscale_version_check_api(ngx_conf_t *cf,
    ngx_http_apiscale_version_api_t *api);
ngx_int_t ngx_http_apiscale_version_resolve(ngx_conf_t *cf,
    ngx_http_apiscale_version_srv_conf_t *scf);

ngx_int_t ngx_http_apiscale_version_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_apiscale_version_section(ngx_conf_t *cf);

ngx_int_t ngx_http_apiscale_version_client_uri(ngx_http_request_t *r,
    ngx_http_apiscale_version_ctx_t *ctx, ngx_str_t *uri);


#endif /* NGX_HTTP_APISCALE_VERSION_H_INCLUDED_ */
