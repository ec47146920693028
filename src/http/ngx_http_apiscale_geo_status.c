
/*
 * Copyright (C) apiscale authors
 */


/*
 * What the status page tells of the files.  Reloads and failures are those of
 * all workers, in a small zone of shared memory that outlives reloads of the
 * configuration; all else is as the worker that answers has it.
 */


#include "ngx_http_apiscale_geo.h"
#include "ngx_apiscale_shm.h"

#include <ngx_md5.h>


#define NGX_HTTP_APISCALE_GEO_MAGIC  0x6170736765303031ULL


typedef struct {
    ngx_apiscale_shm_header_t          header;
    ngx_http_apiscale_geo_counters_t   files[1];
} ngx_http_apiscale_geo_shm_t;


static ngx_int_t ngx_http_apiscale_geo_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_http_apiscale_geo_counters_t *ngx_http_apiscale_geo_counters(
    ngx_http_apiscale_geo_shm_t *shm, ngx_str_t *name);
static void ngx_http_apiscale_geo_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_geo_json_file(
    ngx_http_apiscale_geo_file_t *file, ngx_apiscale_text_t *t);
static void ngx_http_apiscale_geo_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_geo_family(ngx_apiscale_text_t *t,
    ngx_http_apiscale_geo_main_conf_t *gmcf, ngx_uint_t counters);


static const ngx_http_apiscale_section_t  ngx_http_apiscale_geo_section = {
    ngx_string("geo"),
    ngx_http_apiscale_geo_json,
    ngx_http_apiscale_geo_prometheus
};


/*
 * Adds the section and the zone if there is a file.
 */

ngx_int_t
ngx_http_apiscale_geo_status_init(ngx_conf_t *cf)
{
    ngx_str_t                           name = ngx_string("apiscale_geo");
    ngx_shm_zone_t                     *zone;
    ngx_http_apiscale_geo_main_conf_t  *gmcf;

    gmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apiscale_geo_module);

    if (gmcf->files.nelts == 0) {
        return NGX_OK;
    }

    zone = ngx_shared_memory_add(cf, &name, 8 * ngx_pagesize,
                                 &ngx_http_apiscale_geo_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_apiscale_geo_init_zone;
    zone->data = gmcf;

    return ngx_http_apiscale_add_section(cf, &ngx_http_apiscale_geo_section);
}


static ngx_int_t
ngx_http_apiscale_geo_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_uint_t                           i;
    ngx_apiscale_shm_header_t           *header;
    ngx_http_apiscale_geo_file_t       **files;
    ngx_http_apiscale_geo_main_conf_t   *gmcf;

    if (ngx_apiscale_shm_open(zone, NGX_HTTP_APISCALE_GEO_MAGIC, &header)
        == NGX_APISCALE_SHM_ERROR)
    {
        return NGX_ERROR;
    }

    gmcf = zone->data;
    files = gmcf->files.elts;

    for (i = 0; i < gmcf->files.nelts; i++) {
        files[i]->counters = ngx_http_apiscale_geo_counters(
                        (ngx_http_apiscale_geo_shm_t *) header,
                        &files[i]->name);
    }

    return NGX_OK;
}


/*
 * The counters of a file, as they were under the configuration of before.
 * Those of files that are gone stay; a zone has room for hundreds, and a file
 * that finds none is not counted.
 */

static ngx_http_apiscale_geo_counters_t *
ngx_http_apiscale_geo_counters(ngx_http_apiscale_geo_shm_t *shm,
    ngx_str_t *name)
{
    u_char                             id[16];
    ngx_md5_t                          md5;
    ngx_uint_t                         i, n;
    ngx_http_apiscale_geo_counters_t  *c;

    static const u_char  free_id[16];

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, name->data, name->len);
    ngx_md5_final(id, &md5);

    n = (shm->header.size - sizeof(ngx_apiscale_shm_header_t))
        / sizeof(ngx_http_apiscale_geo_counters_t);

    for (i = 0; i < n; i++) {
        c = &shm->files[i];

        if (ngx_memcmp(c->id, id, 16) == 0) {
            return c;
        }

        if (ngx_memcmp(c->id, free_id, 16) == 0) {
            ngx_memcpy(c->id, id, 16);
            return c;
        }
    }

    return NULL;
}


static void
ngx_http_apiscale_geo_json(ngx_http_request_t *r, ngx_apiscale_text_t *t)
{
    ngx_uint_t                           i;
    ngx_http_apiscale_geo_file_t       **files;
    ngx_http_apiscale_geo_main_conf_t   *gmcf;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_geo_module);
    files = gmcf->files.elts;

    ngx_apiscale_text_literal(t, "[");

    for (i = 0; i < gmcf->files.nelts; i++) {

        if (i) {
            ngx_apiscale_text_literal(t, ",");
        }

        ngx_http_apiscale_geo_json_file(files[i], t);
    }

    ngx_apiscale_text_literal(t, "]");
}


static void
ngx_http_apiscale_geo_json_file(ngx_http_apiscale_geo_file_t *file,
    ngx_apiscale_text_t *t)
{
    ngx_str_t                        error;
    const ngx_apiscale_mmdb_info_t  *info;

    info = ngx_apiscale_mmdb_info(file->mmdb);

    ngx_apiscale_text_literal(t, "{\"file\":");
    ngx_apiscale_text_json(t, &file->name);
    ngx_apiscale_text_literal(t, ",\"type\":");
    ngx_apiscale_text_json(t, &info->type);
    ngx_apiscale_text_literal(t, ",\"ip_version\":");
    ngx_apiscale_text_uint(t, info->ip_version);
    ngx_apiscale_text_literal(t, ",\"build\":");
    ngx_apiscale_text_uint(t, info->build);
    ngx_apiscale_text_literal(t, ",\"nodes\":");
    ngx_apiscale_text_uint(t, info->nodes);
    ngx_apiscale_text_literal(t, ",\"size\":");
    ngx_apiscale_text_uint(t, info->size);
    ngx_apiscale_text_literal(t, ",\"loaded\":");
    ngx_apiscale_text_uint(t, file->loaded);

    ngx_apiscale_text_literal(t, ",\"reloads\":");
    ngx_apiscale_text_uint(t, file->counters ? file->counters->reloads : 0);
    ngx_apiscale_text_literal(t, ",\"failures\":");
    ngx_apiscale_text_uint(t, file->counters ? file->counters->failures : 0);

    ngx_apiscale_text_literal(t, ",\"error\":");

    if (file->failed) {
        error.data = file->error->text;
        error.len = ngx_strlen(file->error->text);
        ngx_apiscale_text_json(t, &error);

    } else {
        ngx_apiscale_text_literal(t, "null");
    }

    ngx_apiscale_text_literal(t, "}");
}


static void
ngx_http_apiscale_geo_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    ngx_http_apiscale_geo_main_conf_t  *gmcf;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_geo_module);

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_geo_build_timestamp_seconds "
        "When the database in use was built.\n"
        "# TYPE apiscale_geo_build_timestamp_seconds gauge\n");
    ngx_http_apiscale_geo_family(t, gmcf, 0);

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_geo_reloads_total "
        "Times that a worker looked at a new file.\n"
        "# TYPE apiscale_geo_reloads_total counter\n");
    ngx_http_apiscale_geo_family(t, gmcf, 1);
}


static void
ngx_http_apiscale_geo_family(ngx_apiscale_text_t *t,
    ngx_http_apiscale_geo_main_conf_t *gmcf, ngx_uint_t counters)
{
    ngx_uint_t                       i;
    ngx_http_apiscale_geo_file_t   **files, *file;

    files = gmcf->files.elts;

    for (i = 0; i < gmcf->files.nelts; i++) {

        file = files[i];

        if (!counters) {
            ngx_apiscale_text_literal(t,
                               "apiscale_geo_build_timestamp_seconds{file=");
            ngx_apiscale_text_label(t, &file->name);
            ngx_apiscale_text_literal(t, "} ");
            ngx_apiscale_text_uint(t,
                              ngx_apiscale_mmdb_info(file->mmdb)->build);
            ngx_apiscale_text_literal(t, "\n");
            continue;
        }

        ngx_apiscale_text_literal(t, "apiscale_geo_reloads_total{file=");
        ngx_apiscale_text_label(t, &file->name);
        ngx_apiscale_text_literal(t, ",result=\"ok\"} ");
        ngx_apiscale_text_uint(t,
                               file->counters ? file->counters->reloads : 0);
        ngx_apiscale_text_literal(t,
                                  "\napiscale_geo_reloads_total{file=");
        ngx_apiscale_text_label(t, &file->name);
        ngx_apiscale_text_literal(t, ",result=\"failed\"} ");
        ngx_apiscale_text_uint(t,
                               file->counters ? file->counters->failures : 0);
        ngx_apiscale_text_literal(t, "\n");
    }
}
