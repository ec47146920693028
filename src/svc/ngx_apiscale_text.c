
/*
 * Copyright (C) apiscale authors
 */


#include "ngx_apiscale_text.h"
#include "apiscale_utf8.h"


static void ngx_apiscale_text_replacement(ngx_apiscale_text_t *t);


/*
 * Starts an empty text whose buffers of "chunk" bytes come from "pool".
 */

void
ngx_apiscale_text_init(ngx_apiscale_text_t *t, ngx_pool_t *pool, size_t chunk)
{
    ngx_memzero(t, sizeof(ngx_apiscale_text_t));

    t->pool = pool;
    t->last = &t->out;
    t->chunk = chunk;
}


/*
 * Appends "len" bytes as they are.
 */

void
ngx_apiscale_text_add(ngx_apiscale_text_t *t, const u_char *data, size_t len)
{
    size_t        n;
    ngx_chain_t  *cl;

    while (len && !t->failed) {

        if (t->buf == NULL || t->buf->last == t->buf->end) {

            cl = ngx_alloc_chain_link(t->pool);
            if (cl == NULL) {
                t->failed = 1;
                return;
            }

            t->buf = ngx_create_temp_buf(t->pool, t->chunk);
            if (t->buf == NULL) {
                t->failed = 1;
                return;
            }

            cl->buf = t->buf;
            cl->next = NULL;

            *t->last = cl;
            t->last = &cl->next;
        }

        n = ngx_min(len, (size_t) (t->buf->end - t->buf->last));

        t->buf->last = ngx_cpymem(t->buf->last, data, n);
        t->size += n;

        data += n;
        len -= n;
    }
}


/*
 * Appends a decimal number.
 */

void
ngx_apiscale_text_uint(ngx_apiscale_text_t *t, uint64_t n)
{
    u_char  buf[NGX_INT64_LEN];

    ngx_apiscale_text_add(t, buf, ngx_sprintf(buf, "%uL", n) - buf);
}


/*
 * Appends microseconds as seconds, in the shortest decimal form without an
 * exponent: 250000 is 0.25, 3000000 is 3.
 */

void
ngx_apiscale_text_seconds(ngx_apiscale_text_t *t, uint64_t us)
{
    u_char  buf[NGX_INT64_LEN + sizeof(".000000") - 1], *p;

    p = ngx_sprintf(buf, "%uL.%06uL", us / 1000000, us % 1000000);

    while (p[-1] == '0') {
        p--;
    }

    if (p[-1] == '.') {
        p--;
    }

    ngx_apiscale_text_add(t, buf, p - buf);
}


/*
 * Appends a JSON string (RFC 8259) with its quotes.  Invalid UTF-8 becomes
 * U+FFFD, and what could end a script element or start markup is escaped.
 */

void
ngx_apiscale_text_json(ngx_apiscale_text_t *t, const ngx_str_t *s)
{
    size_t         n;
    u_char         esc[sizeof("\\u0000") - 1];
    const u_char  *p, *last;

    p = s->data;
    last = p + s->len;

    ngx_apiscale_text_literal(t, "\"");

    while (p < last) {

        n = apiscale_utf8_sequence(p, last - p);

        if (n == 0) {
            ngx_apiscale_text_replacement(t);
            p++;
            continue;
        }

        if (*p == '"' || *p == '\\') {
            esc[0] = '\\';
            esc[1] = *p;
            ngx_apiscale_text_add(t, esc, 2);

        } else if (*p < 0x20 || *p == 0x7f || *p == '<' || *p == '>'
                   || *p == '&')
        {
            (void) ngx_sprintf(esc, "\\u%04xd", (int) *p);
            ngx_apiscale_text_add(t, esc, sizeof(esc));

        } else {
            ngx_apiscale_text_add(t, p, n);
        }

        p += n;
    }

    ngx_apiscale_text_literal(t, "\"");
}


/*
 * Appends a label value of the Prometheus text format with its quotes.  One
 * invalid byte would void the whole scrape: such bytes become U+FFFD.
 */

void
ngx_apiscale_text_label(ngx_apiscale_text_t *t, const ngx_str_t *s)
{
    size_t         n;
    const u_char  *p, *last;

    p = s->data;
    last = p + s->len;

    ngx_apiscale_text_literal(t, "\"");

    while (p < last) {

        n = apiscale_utf8_sequence(p, last - p);

        if (n == 0) {
            ngx_apiscale_text_replacement(t);
            p++;
            continue;
        }

        switch (*p) {

        case '"':
            ngx_apiscale_text_literal(t, "\\\"");
            break;

        case '\\':
            ngx_apiscale_text_literal(t, "\\\\");
            break;

        case LF:
            ngx_apiscale_text_literal(t, "\\n");
            break;

        default:
            ngx_apiscale_text_add(t, p, n);
        }

        p += n;
    }

    ngx_apiscale_text_literal(t, "\"");
}


static void
ngx_apiscale_text_replacement(ngx_apiscale_text_t *t)
{
    ngx_apiscale_text_literal(t, "\xef\xbf\xbd");
}
