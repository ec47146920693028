
/*
 * Copyright (C) apiscale authors
 */


/*
 * SHA-256, by the OpenSSL that nginx itself is linked with.  The algorithm is
 * looked up once, and its context is used again for each digest.  One such
 * object is for one thread.
 *
 * Depends on nginx core and OpenSSL only.
 */


#ifndef NGX_APISCALE_SHA256_H_INCLUDED_
#define NGX_APISCALE_SHA256_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_APISCALE_SHA256_LEN  32


typedef struct ngx_apiscale_sha256_s  ngx_apiscale_sha256_t;


ngx_apiscale_sha256_t *ngx_apiscale_sha256_create(void);
void ngx_apiscale_sha256_destroy(ngx_apiscale_sha256_t *sha);
ngx_int_t ngx_apiscale_sha256_init(ngx_apiscale_sha256_t *sha);
ngx_int_t ngx_apiscale_sha256_update(ngx_apiscale_sha256_t *sha,
    const void *data, size_t len);
ngx_int_t ngx_apiscale_sha256_final(ngx_apiscale_sha256_t *sha,
    u_char digest[NGX_APISCALE_SHA256_LEN]);
ngx_int_t ngx_apiscale_sha256(ngx_apiscale_sha256_t *sha, const void *data,
    size_t len, u_char digest[NGX_APISCALE_SHA256_LEN]);


#endif /* NGX_APISCALE_SHA256_H_INCLUDED_ */
