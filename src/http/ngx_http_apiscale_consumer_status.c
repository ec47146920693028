
/*
 * Copyright (C) apiscale authors
 */


/*
 * The section of the status page: what is loaded, and what is wrong with the
 * file since.
 */


#include "ngx_http_apiscale_consumer.h"


#define ngx_http_apiscale_consumer_read_u64(p)                                \
    __atomic_load_n(p, __ATOMIC_RELAXED)


/* what the zone tells, read without its lock */

typedef struct {
    uint64_t   consumers;
    uint64_t   keys;
    uint64_t   bytes;
    uint64_t   generation;
    uint64_t   loaded;
    uint64_t   reloads;
    uint64_t   failures;
    ngx_str_t  error;
    u_char     text[NGX_HTTP_APISCALE_CONSUMER_ERROR];
} ngx_http_apiscale_consumer_status_t;


typedef struct {
    ngx_str_t   name;
    ngx_str_t   help;
    ngx_str_t   type;
    ngx_uint_t  offset;
} ngx_http_apiscale_consumer_family_t;


static void ngx_http_apiscale_consumer_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_consumer_json_member(ngx_apiscale_text_t *t,
    const char *name, uint64_t n);
static void ngx_http_apiscale_consumer_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_consumer_status(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_status_t *st);


static const ngx_http_apiscale_section_t
    ngx_http_apiscale_consumer_section =
{
    ngx_string("consumers"),
    ngx_http_apiscale_consumer_json,
    ngx_http_apiscale_consumer_prometheus
};


static const ngx_http_apiscale_consumer_family_t
    ngx_http_apiscale_consumer_families[] =
{
    { ngx_string("apiscale_consumers_loaded"),
      ngx_string("Consumers that are known."),
      ngx_string("gauge"),
      offsetof(ngx_http_apiscale_consumer_status_t, consumers) },

    { ngx_string("apiscale_consumers_keys"),
      ngx_string("Keys of consumers."),
      ngx_string("gauge"),
      offsetof(ngx_http_apiscale_consumer_status_t, keys) },

    { ngx_string("apiscale_consumers_loaded_timestamp_seconds"),
      ngx_string("When the consumers were loaded."),
      ngx_string("gauge"),
      offsetof(ngx_http_apiscale_consumer_status_t, loaded) },

    { ngx_string("apiscale_consumers_reloads_total"),
      ngx_string("Times that a changed file was loaded."),
      ngx_string("counter"),
      offsetof(ngx_http_apiscale_consumer_status_t, reloads) },

    { ngx_string("apiscale_consumers_reload_failures_total"),
      ngx_string("Times that a changed file was refused."),
      ngx_string("counter"),
      offsetof(ngx_http_apiscale_consumer_status_t, failures) }
};


/*
 * Registers the section.
 */

ngx_int_t
ngx_http_apiscale_consumer_add_section(ngx_conf_t *cf)
{
    return ngx_http_apiscale_add_section(cf,
                                         &ngx_http_apiscale_consumer_section);
}


static void
ngx_http_apiscale_consumer_json(ngx_http_request_t *r, ngx_apiscale_text_t *t)
{
    ngx_http_apiscale_consumer_status_t      st;
    ngx_http_apiscale_consumer_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_consumer_module);

    ngx_http_apiscale_consumer_status(mcf, &st);

    ngx_apiscale_text_literal(t, "{\"zone\":");
    ngx_apiscale_text_json(t, &mcf->zone->shm.name);
    ngx_apiscale_text_literal(t, ",\"file\":");
    ngx_apiscale_text_json(t, &mcf->file);

    ngx_http_apiscale_consumer_json_member(t, "consumers", st.consumers);
    ngx_http_apiscale_consumer_json_member(t, "keys", st.keys);
    ngx_http_apiscale_consumer_json_member(t, "bytes", st.bytes);
    ngx_http_apiscale_consumer_json_member(t, "generation", st.generation);
    ngx_http_apiscale_consumer_json_member(t, "loaded", st.loaded);
    ngx_http_apiscale_consumer_json_member(t, "reloads", st.reloads);
    ngx_http_apiscale_consumer_json_member(t, "failures", st.failures);

    ngx_apiscale_text_literal(t, ",\"error\":");

    if (st.error.len) {
        ngx_apiscale_text_json(t, &st.error);

    } else {
        ngx_apiscale_text_literal(t, "null");
    }

    ngx_apiscale_text_literal(t, "}");
}


static void
ngx_http_apiscale_consumer_json_member(ngx_apiscale_text_t *t,
    const char *name, uint64_t n)
{
    ngx_apiscale_text_literal(t, ",\"");
    ngx_apiscale_text_add(t, (u_char *) name, ngx_strlen(name));
    ngx_apiscale_text_literal(t, "\":");
    ngx_apiscale_text_uint(t, n);
}


static void
ngx_http_apiscale_consumer_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    uint64_t                                    *value;
    ngx_uint_t                                   i;
    ngx_http_apiscale_consumer_status_t          st;
    ngx_http_apiscale_consumer_main_conf_t      *mcf;
    const ngx_http_apiscale_consumer_family_t   *f;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_consumer_module);

    ngx_http_apiscale_consumer_status(mcf, &st);

    for (i = 0;
         i < sizeof(ngx_http_apiscale_consumer_families)
             / sizeof(ngx_http_apiscale_consumer_families[0]);
         i++)
    {
        f = &ngx_http_apiscale_consumer_families[i];
        value = (uint64_t *) ((u_char *) &st + f->offset);

        ngx_apiscale_text_literal(t, "# HELP ");
        ngx_apiscale_text_add(t, f->name.data, f->name.len);
        ngx_apiscale_text_literal(t, " ");
        ngx_apiscale_text_add(t, f->help.data, f->help.len);
        ngx_apiscale_text_literal(t, "\n# TYPE ");
        ngx_apiscale_text_add(t, f->name.data, f->name.len);
        ngx_apiscale_text_literal(t, " ");
        ngx_apiscale_text_add(t, f->type.data, f->type.len);
        ngx_apiscale_text_literal(t, "\n");
        ngx_apiscale_text_add(t, f->name.data, f->name.len);
        ngx_apiscale_text_literal(t, "{zone=");
        ngx_apiscale_text_label(t, &mcf->zone->shm.name);
        ngx_apiscale_text_literal(t, "} ");
        ngx_apiscale_text_uint(t, *value);
        ngx_apiscale_text_literal(t, "\n");
    }
}


/* an error that is being written just now is not told */

static void
ngx_http_apiscale_consumer_status(
    ngx_http_apiscale_consumer_main_conf_t *mcf,
    ngx_http_apiscale_consumer_status_t *st)
{
    uint64_t                             version, len;
    ngx_http_apiscale_consumer_half_t   *half;
    ngx_http_apiscale_consumer_block_t  *block;

    block = mcf->block;

    st->generation = __atomic_load_n(&block->generation, __ATOMIC_ACQUIRE);
    half = &block->halves[st->generation & 1];

    st->consumers = ngx_http_apiscale_consumer_read_u64(&half->consumers);
    st->keys = ngx_http_apiscale_consumer_read_u64(&half->keys);
    st->bytes = ngx_http_apiscale_consumer_read_u64(&half->bytes);
    st->loaded = ngx_http_apiscale_consumer_read_u64(&block->loaded);
    st->reloads = ngx_http_apiscale_consumer_read_u64(&block->reloads);
    st->failures = ngx_http_apiscale_consumer_read_u64(&block->failures);

    version = __atomic_load_n(&block->error_version, __ATOMIC_ACQUIRE);
    len = ngx_http_apiscale_consumer_read_u64(&block->error_len);
    len = ngx_min(len, NGX_HTTP_APISCALE_CONSUMER_ERROR);

    ngx_memcpy(st->text, block->error, len);

    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    if (version & 1
        || ngx_http_apiscale_consumer_read_u64(&block->error_version)
           != version)
    {
        len = 0;
    }

    st->error.data = st->text;
    st->error.len = len;
}
