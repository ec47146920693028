
/*
 * Copyright (C) apiscale authors
 */


/*
 * Text that grows: a chain of buffers from a pool, with the escapes of JSON
 * strings and of Prometheus label values.  A failed allocation is remembered,
 * so that writers need not check each call: look at it once at the end.
 *
 * Depends on nginx core only.
 */


#ifndef NGX_APISCALE_TEXT_H_INCLUDED_
#define NGX_APISCALE_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_pool_t    *pool;
    ngx_chain_t   *out;
    ngx_chain_t  **last;
    ngx_buf_t     *buf;
    size_t         chunk;                 /* bytes of a buffer */
    off_t          size;                  /* bytes written */
    unsigned       failed:1;              /* out of memory */
} ngx_apiscale_text_t;


#define ngx_apiscale_text_literal(t, s)                                       \
    ngx_apiscale_text_add(t, (u_char *) s, sizeof(s) - 1)

void ngx_apiscale_text_init(ngx_apiscale_text_t *t, ngx_pool_t *pool,
    size_t chunk);
void ngx_apiscale_text_add(ngx_apiscale_text_t *t, const u_char *data,
    size_t len);
void ngx_apiscale_text_uint(ngx_apiscale_text_t *t, uint64_t n);
void ngx_apiscale_text_seconds(ngx_apiscale_text_t *t, uint64_t us);
void ngx_apiscale_text_json(ngx_apiscale_text_t *t, const ngx_str_t *s);
void ngx_apiscale_text_label(ngx_apiscale_text_t *t, const ngx_str_t *s);


#endif /* NGX_APISCALE_TEXT_H_INCLUDED_ */
