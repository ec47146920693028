
/*
 * Copyright (C) apiscale authors
 */


#include "ngx_apiscale_mmdb.h"
#include "apiscale_mmdb.h"

#include <math.h>
#include <sys/mman.h>

#include <maxminddb.h>


#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL  0x0008U
#endif


/* offsets have 32 bits */
#define NGX_APISCALE_MMDB_MAX_SIZE  UINT32_MAX

/* 2^128 has 39 digits, a double at most 24 characters */
#define NGX_APISCALE_MMDB_NUM_LEN   40


struct ngx_apiscale_mmdb_s {
    MMDB_s                     mmdb;
    ngx_apiscale_mmdb_info_t   info;
};


static ngx_int_t ngx_apiscale_mmdb_stat(ngx_fd_t fd,
    ngx_apiscale_mmdb_id_t *id, ngx_str_t *file,
    ngx_apiscale_mmdb_error_t *error);
static ngx_uint_t ngx_apiscale_mmdb_changed(ngx_fd_t fd,
    ngx_apiscale_mmdb_id_t *id, ngx_str_t *file,
    ngx_apiscale_mmdb_error_t *error);
static ngx_int_t ngx_apiscale_mmdb_copy(ngx_apiscale_mmdb_t *mmdb,
    ngx_str_t *file, ngx_fd_t fd, ngx_apiscale_mmdb_error_t *error,
    ngx_log_t *log);
static ngx_int_t ngx_apiscale_mmdb_read(ngx_fd_t fd, u_char *p, size_t size,
    ngx_str_t *file, ngx_apiscale_mmdb_error_t *error);
static ngx_int_t ngx_apiscale_mmdb_check(const u_char *p, size_t size,
    ngx_str_t *file, ngx_apiscale_mmdb_error_t *error, ngx_log_t *log);
static ngx_fd_t ngx_apiscale_mmdb_memfd(size_t size);
static void ngx_apiscale_mmdb_fail(ngx_apiscale_mmdb_error_t *error,
    ngx_err_t err, const char *fmt, ...);

static ngx_int_t ngx_apiscale_mmdb_string(const char *s, size_t len,
    ngx_pool_t *pool, ngx_str_t *value);
static size_t ngx_apiscale_mmdb_number(const MMDB_entry_data_s *data,
    char *buf);
static size_t ngx_apiscale_mmdb_real(double d, float f, ngx_uint_t single,
    char *buf);
static size_t ngx_apiscale_mmdb_uint128(const MMDB_entry_data_s *data,
    char *buf);


/*
 * Reads and checks a file.  NGX_OK: *mmdb is for the caller to free.
 * NGX_DECLINED: it is still the file of *id.  NGX_ERROR: *error tells why.
 *
 * *id becomes that of the file that was read, also when that was not good, or
 * zeros when it may be worth while to try the very same file again.  Blocks,
 * and may be called by a thread.
 */

ngx_int_t
ngx_apiscale_mmdb_load(ngx_apiscale_mmdb_t **mmdb, ngx_str_t *file,
    ngx_apiscale_mmdb_id_t *id, ngx_apiscale_mmdb_error_t *error,
    ngx_log_t *log)
{
    ngx_fd_t                 fd;
    ngx_int_t                rc;
    ngx_apiscale_mmdb_t     *m;
    ngx_apiscale_mmdb_id_t   now;

    /* non-blocking for the sake of a FIFO, which has no end to wait for */

    fd = open((char *) file->data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        ngx_apiscale_mmdb_fail(error, ngx_errno, "open() \"%V\" failed",
                               file);
        ngx_memzero(id, sizeof(ngx_apiscale_mmdb_id_t));
        return NGX_ERROR;
    }

    m = NULL;
    rc = ngx_apiscale_mmdb_stat(fd, &now, file, error);

    if ((rc == NGX_OK || error->err == 0)
        && ngx_memcmp(&now, id, sizeof(ngx_apiscale_mmdb_id_t)) == 0)
    {
        rc = NGX_DECLINED;
        goto done;
    }

    if (rc != NGX_OK) {
        goto done;
    }

    rc = NGX_ERROR;

    m = ngx_calloc(sizeof(ngx_apiscale_mmdb_t), log);
    if (m == NULL) {
        ngx_apiscale_mmdb_fail(error, NGX_ENOMEM, "could not load \"%V\"",
                               file);
        goto done;
    }

    m->info.size = now.size;

    rc = ngx_apiscale_mmdb_copy(m, file, fd, error, log);

    if (rc != NGX_OK && error->err) {
        goto done;
    }

    if (ngx_apiscale_mmdb_changed(fd, &now, file, error) && rc == NGX_OK) {
        MMDB_close(&m->mmdb);
        rc = NGX_ERROR;
    }

done:

    (void) close(fd);

    if (rc == NGX_OK) {
        *mmdb = m;

    } else if (m) {
        ngx_free(m);
    }

    if (rc == NGX_ERROR && error->err) {
        ngx_memzero(id, sizeof(ngx_apiscale_mmdb_id_t));

    } else {
        *id = now;
    }

    return rc;
}


/* what the open file is, and whether it could be a database */

static ngx_int_t
ngx_apiscale_mmdb_stat(ngx_fd_t fd, ngx_apiscale_mmdb_id_t *id,
    ngx_str_t *file, ngx_apiscale_mmdb_error_t *error)
{
    struct stat  sb;

    /* padding, too, is compared */

    ngx_memzero(id, sizeof(ngx_apiscale_mmdb_id_t));

    if (fstat(fd, &sb) == -1) {
        ngx_apiscale_mmdb_fail(error, ngx_errno, "fstat() \"%V\" failed",
                               file);
        return NGX_ERROR;
    }

    id->dev = sb.st_dev;
    id->ino = sb.st_ino;
    id->size = sb.st_size;
    id->mtime.tv_sec = sb.st_mtim.tv_sec;
    id->mtime.tv_nsec = sb.st_mtim.tv_nsec;
    id->ctime.tv_sec = sb.st_ctim.tv_sec;
    id->ctime.tv_nsec = sb.st_ctim.tv_nsec;

    if (!S_ISREG(sb.st_mode)) {
        ngx_apiscale_mmdb_fail(error, 0, "\"%V\" is not a regular file", file);
        return NGX_ERROR;
    }

    if (sb.st_size == 0) {
        ngx_apiscale_mmdb_fail(error, 0, "\"%V\" is empty", file);
        return NGX_ERROR;
    }

    if (sb.st_size > (off_t) NGX_APISCALE_MMDB_MAX_SIZE) {
        ngx_apiscale_mmdb_fail(error, 0, "\"%V\" is too large: %O bytes",
                               file, sb.st_size);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* who writes into the file in place gets another look at it */

static ngx_uint_t
ngx_apiscale_mmdb_changed(ngx_fd_t fd, ngx_apiscale_mmdb_id_t *id,
    ngx_str_t *file, ngx_apiscale_mmdb_error_t *error)
{
    ngx_apiscale_mmdb_id_t     now;
    ngx_apiscale_mmdb_error_t  ignored;

    if (ngx_apiscale_mmdb_stat(fd, &now, file, &ignored) == NGX_OK
        && ngx_memcmp(&now, id, sizeof(ngx_apiscale_mmdb_id_t)) == 0)
    {
        return 0;
    }

    ngx_apiscale_mmdb_fail(error, 0, "\"%V\" changed while it was read", file);

    error->err = NGX_EAGAIN;

    return 1;
}


static ngx_int_t
ngx_apiscale_mmdb_copy(ngx_apiscale_mmdb_t *mmdb, ngx_str_t *file, ngx_fd_t fd,
    ngx_apiscale_mmdb_error_t *error, ngx_log_t *log)
{
    int        rc;
    char       name[sizeof("/proc/self/fd/") + NGX_INT_T_LEN];
    u_char    *p;
    size_t     size;
    ngx_fd_t   memfd;
    ngx_int_t  ok;

    size = mmdb->info.size;

    memfd = ngx_apiscale_mmdb_memfd(size);

    if (memfd == -1) {
        ngx_apiscale_mmdb_fail(error, ngx_errno,
                               "no memory of %uz bytes for \"%V\"",
                               size, file);
        return NGX_ERROR;
    }

    ok = NGX_ERROR;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED, memfd, 0);

    if (p == MAP_FAILED) {
        ngx_apiscale_mmdb_fail(error, ngx_errno, "mmap() of \"%V\" failed",
                               file);
        goto done;
    }

    ok = ngx_apiscale_mmdb_read(fd, p, size, file, error);

    if (ok == NGX_OK) {
        ok = ngx_apiscale_mmdb_check(p, size, file, error, log);
    }

    (void) munmap(p, size);

    if (ok != NGX_OK) {
        goto done;
    }

    ok = NGX_ERROR;

    if (fcntl(memfd, F_ADD_SEALS,
              F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_WRITE|F_SEAL_SEAL)
        == -1)
    {
        ngx_apiscale_mmdb_fail(error, ngx_errno, "could not seal \"%V\"",
                               file);
        goto done;
    }

    *ngx_sprintf((u_char *) name, "/proc/self/fd/%d", (int) memfd) = '\0';

    rc = MMDB_open(name, MMDB_MODE_MMAP, &mmdb->mmdb);

    if (rc != MMDB_SUCCESS) {
        ngx_apiscale_mmdb_fail(error, rc == MMDB_FILE_OPEN_ERROR ? ngx_errno
                                                                 : 0,
                               "could not open \"%s\" for \"%V\": %s",
                               name, file, MMDB_strerror(rc));
        goto done;
    }

    mmdb->info.type.data = (u_char *) mmdb->mmdb.metadata.database_type;
    mmdb->info.type.len = ngx_strlen(mmdb->info.type.data);
    mmdb->info.build = mmdb->mmdb.metadata.build_epoch;
    mmdb->info.nodes = mmdb->mmdb.metadata.node_count;
    mmdb->info.ip_version = mmdb->mmdb.metadata.ip_version;

    ok = NGX_OK;

done:

    (void) close(memfd);

    return ok;
}


static ngx_int_t
ngx_apiscale_mmdb_read(ngx_fd_t fd, u_char *p, size_t size, ngx_str_t *file,
    ngx_apiscale_mmdb_error_t *error)
{
    size_t   done;
    ssize_t  n;

    for (done = 0; done < size; done += n) {

        n = read(fd, p + done, size - done);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n == -1) {
            ngx_apiscale_mmdb_fail(error, ngx_errno, "read() \"%V\" failed",
                                   file);
            return NGX_ERROR;
        }

        if (n == 0) {
            ngx_apiscale_mmdb_fail(error, 0,
                                   "\"%V\" was truncated while it was read",
                                   file);
            error->err = NGX_EAGAIN;
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the library trusts sizes and nests as deep as the data do */

static ngx_int_t
ngx_apiscale_mmdb_check(const u_char *p, size_t size, ngx_str_t *file,
    ngx_apiscale_mmdb_error_t *error, ngx_log_t *log)
{
    u_char              *scratch;
    apiscale_mmdb_t      db;
    apiscale_mmdb_rc_e   rc;

    rc = apiscale_mmdb_open(&db, p, size);

    if (rc == APISCALE_MMDB_OK) {

        scratch = ngx_alloc(apiscale_mmdb_scratch(&db), log);
        if (scratch == NULL) {
            ngx_apiscale_mmdb_fail(error, NGX_ENOMEM,
                                   "could not load \"%V\"", file);
            return NGX_ERROR;
        }

        rc = apiscale_mmdb_check(&db, scratch);

        ngx_free(scratch);
    }

    if (rc != APISCALE_MMDB_OK) {
        ngx_apiscale_mmdb_fail(error, 0, "\"%V\" is not a valid database: %s",
                               file, apiscale_mmdb_error(rc));
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Memory that can be sealed.  It is all allocated at once, so that there is
 * an error when there is not enough, and no signal later.
 */

static ngx_fd_t
ngx_apiscale_mmdb_memfd(size_t size)
{
    int        rc;
    ngx_fd_t   fd;
    ngx_err_t  err;

    fd = memfd_create("apiscale_geo",
                      MFD_CLOEXEC|MFD_ALLOW_SEALING|MFD_NOEXEC_SEAL);

    if (fd == -1 && ngx_errno == NGX_EINVAL) {

        /* before Linux 6.3 */

        fd = memfd_create("apiscale_geo", MFD_CLOEXEC|MFD_ALLOW_SEALING);
    }

    if (fd == -1) {
        return -1;
    }

    do {
        rc = fallocate(fd, 0, 0, size);
    } while (rc == -1 && ngx_errno == NGX_EINTR);

    if (rc == -1) {
        err = ngx_errno;
        (void) close(fd);
        ngx_set_errno(err);
        return -1;
    }

    return fd;
}


static void
ngx_apiscale_mmdb_fail(ngx_apiscale_mmdb_error_t *error, ngx_err_t err,
    const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    last = error->text + NGX_APISCALE_MMDB_ERROR_LEN - 1;

    error->err = err;

    va_start(args, fmt);
    p = ngx_vslprintf(error->text, last, fmt, args);
    va_end(args);

    if (err) {
        p = ngx_log_errno(p, last, err);
    }

    *p = '\0';
}


/*
 * Frees a database.  With a large one this takes milliseconds; a thread may
 * do it.
 */

void
ngx_apiscale_mmdb_free(ngx_apiscale_mmdb_t *mmdb)
{
    MMDB_close(&mmdb->mmdb);
    ngx_free(mmdb);
}


/*
 * What the metadata tell; lives as long as the database.
 */

const ngx_apiscale_mmdb_info_t *
ngx_apiscale_mmdb_info(ngx_apiscale_mmdb_t *mmdb)
{
    return &mmdb->info;
}


/*
 * The address of a socket.  IPv4-mapped IPv6 is IPv4, and what is neither has
 * no address.
 */

void
ngx_apiscale_mmdb_sockaddr(ngx_apiscale_mmdb_addr_t *addr, struct sockaddr *sa)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    ngx_memzero(addr, sizeof(ngx_apiscale_mmdb_addr_t));

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        addr->family = 4;
        ngx_memcpy(addr->addr, &sin->sin_addr, 4);
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            addr->family = 4;
            ngx_memcpy(addr->addr, sin6->sin6_addr.s6_addr + 12, 4);
            break;
        }

        addr->family = 6;
        ngx_memcpy(addr->addr, sin6->sin6_addr.s6_addr, 16);
        break;
#endif
    }
}


/*
 * As ngx_apiscale_mmdb_sockaddr(), of an address in text, without a port.
 */

void
ngx_apiscale_mmdb_text(ngx_apiscale_mmdb_addr_t *addr, ngx_str_t *text)
{
    char                  buf[INET6_ADDRSTRLEN];
    struct sockaddr_in    sin;
    struct sockaddr_in6   sin6;

    ngx_memzero(addr, sizeof(ngx_apiscale_mmdb_addr_t));

    if (text->len >= sizeof(buf)) {
        return;
    }

    /* ngx_inet_addr() would take "192.0.2." for an address */

    *ngx_cpymem(buf, text->data, text->len) = '\0';

    if (strlen(buf) != text->len) {
        return;
    }

    if (inet_pton(AF_INET, buf, &sin.sin_addr) == 1) {
        sin.sin_family = AF_INET;
        ngx_apiscale_mmdb_sockaddr(addr, (struct sockaddr *) &sin);
        return;
    }

    if (inet_pton(AF_INET6, buf, &sin6.sin6_addr) == 1) {
        sin6.sin6_family = AF_INET6;
        ngx_apiscale_mmdb_sockaddr(addr, (struct sockaddr *) &sin6);
    }
}


/*
 * Looks an address up.  NGX_OK: *entry is what ngx_apiscale_mmdb_value()
 * takes.  NGX_DECLINED: nothing is known of it.
 */

ngx_int_t
ngx_apiscale_mmdb_find(ngx_apiscale_mmdb_t *mmdb,
    const ngx_apiscale_mmdb_addr_t *addr, uint32_t *entry)
{
    int                    rc;
    struct sockaddr       *sa;
    struct sockaddr_in     sin;
    struct sockaddr_in6    sin6;
    MMDB_lookup_result_s   result;

    if (addr->family == 4) {
        ngx_memzero(&sin, sizeof(struct sockaddr_in));
        sin.sin_family = AF_INET;
        ngx_memcpy(&sin.sin_addr, addr->addr, 4);
        sa = (struct sockaddr *) &sin;

    } else if (addr->family == 6 && mmdb->info.ip_version == 6) {
        ngx_memzero(&sin6, sizeof(struct sockaddr_in6));
        sin6.sin6_family = AF_INET6;
        ngx_memcpy(&sin6.sin6_addr, addr->addr, 16);
        sa = (struct sockaddr *) &sin6;

    } else {
        return NGX_DECLINED;
    }

    result = MMDB_lookup_sockaddr(&mmdb->mmdb, sa, &rc);

    if (rc != MMDB_SUCCESS || !result.found_entry) {
        return NGX_DECLINED;
    }

    *entry = result.entry.offset;

    return NGX_OK;
}


/*
 * The value at "path", names of members and indexes of arrays with NULL at
 * the end, as text from "pool".  Control bytes of strings become spaces.
 *
 * NGX_DECLINED if there is none, or a map, an array or bytes; NGX_ERROR if
 * memory is short.
 */

ngx_int_t
ngx_apiscale_mmdb_value(ngx_apiscale_mmdb_t *mmdb, uint32_t entry,
    const char *const *path, ngx_pool_t *pool, ngx_str_t *value)
{
    char               buf[NGX_APISCALE_MMDB_NUM_LEN];
    size_t             len;
    MMDB_entry_s       start;
    MMDB_entry_data_s  data;

    start.mmdb = &mmdb->mmdb;
    start.offset = entry;

    if (MMDB_aget_value(&start, &data, path) != MMDB_SUCCESS
        || !data.has_data)
    {
        return NGX_DECLINED;
    }

    if (data.type == MMDB_DATA_TYPE_UTF8_STRING) {
        return ngx_apiscale_mmdb_string(data.utf8_string, data.data_size,
                                        pool, value);
    }

    len = ngx_apiscale_mmdb_number(&data, buf);

    if (len == 0) {
        return NGX_DECLINED;
    }

    return ngx_apiscale_mmdb_string(buf, len, pool, value);
}


static ngx_int_t
ngx_apiscale_mmdb_string(const char *s, size_t len, ngx_pool_t *pool,
    ngx_str_t *value)
{
    size_t   i;
    u_char  *p, ch;

    p = ngx_pnalloc(pool, ngx_max(len, 1));
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < len; i++) {
        ch = (u_char) s[i];
        p[i] = (ch < 0x20 || ch == 0x7f) ? ' ' : ch;
    }

    value->data = p;
    value->len = len;

    return NGX_OK;
}


/* writes up to NGX_APISCALE_MMDB_NUM_LEN bytes; 0: it is no number */

static size_t
ngx_apiscale_mmdb_number(const MMDB_entry_data_s *data, char *buf)
{
    u_char  *p;

    p = (u_char *) buf;

    switch (data->type) {

    case MMDB_DATA_TYPE_UINT16:
        return ngx_sprintf(p, "%uD", (uint32_t) data->uint16) - p;

    case MMDB_DATA_TYPE_UINT32:
        return ngx_sprintf(p, "%uD", data->uint32) - p;

    case MMDB_DATA_TYPE_INT32:
        return ngx_sprintf(p, "%D", data->int32) - p;

    case MMDB_DATA_TYPE_UINT64:
        return ngx_sprintf(p, "%uL", data->uint64) - p;

    case MMDB_DATA_TYPE_UINT128:
        return ngx_apiscale_mmdb_uint128(data, buf);

    case MMDB_DATA_TYPE_BOOLEAN:
        *p = data->boolean ? '1' : '0';
        return 1;

    case MMDB_DATA_TYPE_DOUBLE:
        return ngx_apiscale_mmdb_real(data->double_value, 0, 0, buf);

    case MMDB_DATA_TYPE_FLOAT:
        return ngx_apiscale_mmdb_real(data->float_value, data->float_value, 1,
                                      buf);

    default:
        return 0;
    }
}


/* with as few digits as tell the number from its neighbours */

static size_t
ngx_apiscale_mmdb_real(double d, float f, ngx_uint_t single, char *buf)
{
    int  digits;

    if (!isfinite(d)) {
        return 0;
    }

    for (digits = single ? 6 : 15; digits < (single ? 9 : 17); digits++) {

        (void) snprintf(buf, NGX_APISCALE_MMDB_NUM_LEN, "%.*g", digits, d);

        if (single ? strtof(buf, NULL) == f : strtod(buf, NULL) == d) {
            break;
        }
    }

    return snprintf(buf, NGX_APISCALE_MMDB_NUM_LEN, "%.*g", digits, d);
}


static size_t
ngx_apiscale_mmdb_uint128(const MMDB_entry_data_s *data, char *buf)
{
    char               *p, *last;
    size_t              len;
    unsigned __int128   n;
#if (MMDB_UINT128_IS_BYTE_ARRAY)
    ngx_uint_t          i;

    for (n = 0, i = 0; i < 16; i++) {
        n = n << 8 | data->uint128[i];
    }
#else
    n = data->uint128;
#endif

    last = buf + NGX_APISCALE_MMDB_NUM_LEN;
    p = last;

    do {
        *--p = (char) (n % 10 + '0');
        n /= 10;
    } while (n);

    len = last - p;

    ngx_memmove(buf, p, len);

    return len;
}
