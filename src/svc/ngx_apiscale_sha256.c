
/*
 * Copyright (C) apiscale authors
 */


#include "ngx_apiscale_sha256.h"

#include <openssl/evp.h>


struct ngx_apiscale_sha256_s {
    EVP_MD_CTX    *ctx;
    const EVP_MD  *md;
};


/* fetched explicitly an algorithm is not searched for with each digest */

#if (OPENSSL_VERSION_NUMBER >= 0x30000000L)
#define ngx_apiscale_sha256_fetch()   EVP_MD_fetch(NULL, "SHA256", NULL)
#define ngx_apiscale_sha256_drop(md)  EVP_MD_free((EVP_MD *) (md))
#define ngx_apiscale_sha256_begin(ctx, md)  EVP_DigestInit_ex2(ctx, md, NULL)
#else
#define ngx_apiscale_sha256_fetch()   EVP_sha256()
#define ngx_apiscale_sha256_drop(md)
#define ngx_apiscale_sha256_begin(ctx, md)  EVP_DigestInit_ex(ctx, md, NULL)
#endif


/*
 * NULL if memory is short, or OpenSSL does not give SHA-256.
 */

ngx_apiscale_sha256_t *
ngx_apiscale_sha256_create(void)
{
    ngx_apiscale_sha256_t  *sha;

    sha = calloc(1, sizeof(ngx_apiscale_sha256_t));
    if (sha == NULL) {
        return NULL;
    }

    sha->ctx = EVP_MD_CTX_new();
    sha->md = ngx_apiscale_sha256_fetch();

    if (sha->ctx == NULL || sha->md == NULL) {
        ngx_apiscale_sha256_destroy(sha);
        return NULL;
    }

    return sha;
}


/*
 * Frees it; NULL is allowed.
 */

void
ngx_apiscale_sha256_destroy(ngx_apiscale_sha256_t *sha)
{
    if (sha) {
        EVP_MD_CTX_free(sha->ctx);
        ngx_apiscale_sha256_drop(sha->md);
        free(sha);
    }
}


/*
 * Begins a digest of data that come in parts.
 */

ngx_int_t
ngx_apiscale_sha256_init(ngx_apiscale_sha256_t *sha)
{
    return ngx_apiscale_sha256_begin(sha->ctx, sha->md) == 1 ? NGX_OK
                                                             : NGX_ERROR;
}


/*
 * The next part.
 */

ngx_int_t
ngx_apiscale_sha256_update(ngx_apiscale_sha256_t *sha, const void *data,
    size_t len)
{
    return EVP_DigestUpdate(sha->ctx, data, len) == 1 ? NGX_OK : NGX_ERROR;
}


/*
 * The digest of all parts.
 */

ngx_int_t
ngx_apiscale_sha256_final(ngx_apiscale_sha256_t *sha,
    u_char digest[NGX_APISCALE_SHA256_LEN])
{
    return EVP_DigestFinal_ex(sha->ctx, digest, NULL) == 1 ? NGX_OK
                                                           : NGX_ERROR;
}


/*
 * The digest of "len" bytes.
 */

ngx_int_t
ngx_apiscale_sha256(ngx_apiscale_sha256_t *sha, const void *data, size_t len,
    u_char digest[NGX_APISCALE_SHA256_LEN])
{
    if (ngx_apiscale_sha256_begin(sha->ctx, sha->md) == 1
        && EVP_DigestUpdate(sha->ctx, data, len) == 1
        && EVP_DigestFinal_ex(sha->ctx, digest, NULL) == 1)
    {
        return NGX_OK;
    }

    return NGX_ERROR;
}
