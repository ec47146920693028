
/*
 * Copyright (C) apiscale authors
 */


/*
 * MaxMind databases in private memory.  A file is read once, into a sealed
 * memfd, and checked from end to end; nobody who truncates or rewrites the
 * file later can do harm to a process that looks something up.  Pages are
 * shared with children that were forked after loading.
 *
 * Depends on nginx core, src/algo, and libmaxminddb, which no other file
 * knows.
 */


#ifndef NGX_APISCALE_MMDB_H_INCLUDED_
#define NGX_APISCALE_MMDB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_APISCALE_MMDB_ERROR_LEN  1024


typedef struct ngx_apiscale_mmdb_s  ngx_apiscale_mmdb_t;


/* by which a file is known to be the one that was read */

typedef struct {
    dev_t            dev;
    ino_t            ino;
    off_t            size;
    struct timespec  mtime;
    struct timespec  ctime;
} ngx_apiscale_mmdb_id_t;


typedef struct {
    ngx_err_t        err;                 /* of the system, or 0 */
    u_char           text[NGX_APISCALE_MMDB_ERROR_LEN];
                                          /* tells err, too */
} ngx_apiscale_mmdb_error_t;


typedef struct {
    ngx_str_t        type;                /* "GeoLite2-City" */
    uint64_t         build;               /* Unix time */
    ngx_uint_t       nodes;
    ngx_uint_t       ip_version;
    size_t           size;                /* bytes of the file */
} ngx_apiscale_mmdb_info_t;


/* comparable byte by byte */

typedef struct {
    u_char           family;              /* 4, 6, or 0: no address */
    u_char           addr[16];
} ngx_apiscale_mmdb_addr_t;


ngx_int_t ngx_apiscale_mmdb_load(ngx_apiscale_mmdb_t **mmdb, ngx_str_t *file,
    ngx_apiscale_mmdb_id_t *id, ngx_apiscale_mmdb_error_t *error,
    ngx_log_t *log);
void ngx_apiscale_mmdb_free(ngx_apiscale_mmdb_t *mmdb);
const ngx_apiscale_mmdb_info_t *ngx_apiscale_mmdb_info(
    ngx_apiscale_mmdb_t *mmdb);

void ngx_apiscale_mmdb_sockaddr(ngx_apiscale_mmdb_addr_t *addr,
    struct sockaddr *sa);
void ngx_apiscale_mmdb_text(ngx_apiscale_mmdb_addr_t *addr, ngx_str_t *text);

ngx_int_t ngx_apiscale_mmdb_find(ngx_apiscale_mmdb_t *mmdb,
    const ngx_apiscale_mmdb_addr_t *addr, uint32_t *entry);
ngx_int_t ngx_apiscale_mmdb_value(ngx_apiscale_mmdb_t *mmdb, uint32_t entry,
    const char *const *path, ngx_pool_t *pool, ngx_str_t *value);


#endif /* NGX_APISCALE_MMDB_H_INCLUDED_ */
