
/*
 * Copyright (C) apiscale authors
 */


/*
 * What differs between the versions of nginx that apiscale builds with,
 * 1.22.1 to 1.30, the only place that looks at nginx_version; and what differs
 * between compilers.
 */


#ifndef NGX_HTTP_APISCALE_COMPAT_H_INCLUDED_
#define NGX_HTTP_APISCALE_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* since 1.23.0 header lines of one name are linked */

#if (nginx_version >= 1023000)
#define ngx_http_apiscale_header_unlink(h)  (h)->next = NULL
#define ngx_http_apiscale_header_link(h, n)  (h)->next = (n)
#else
#define ngx_http_apiscale_header_unlink(h)
#define ngx_http_apiscale_header_link(h, n)
#endif


#if (NGX_HAVE_GCC_ATTRIBUTES || __GNUC__)
#define ngx_http_apiscale_noinline  __attribute__((noinline))
#else
#define ngx_http_apiscale_noinline
#endif


#endif /* NGX_HTTP_APISCALE_COMPAT_H_INCLUDED_ */
