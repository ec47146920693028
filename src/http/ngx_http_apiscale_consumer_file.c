
/*
 * Copyright (C) apiscale authors
 */


/*
 * The file of the consumers: read whole, and parsed one consumer at a time,
 * so that a million of them need no tree of a gigabyte.  Runs in the master
 * when nginx is started or reloaded, and in a thread of a worker: it neither
 * logs nor allocates from a pool.
 */


#include "ngx_http_apiscale_consumer.h"
#include "ngx_apiscale_json.h"
#include "ngx_apiscale_time.h"
#include "apiscale_json.h"

#include <sys/mman.h>
#include <sys/stat.h>


/* of a consumer with one key in a file, bytes: sets are not moved so often */
#define NGX_HTTP_APISCALE_CONSUMER_LENGTH  100

/* what is done at a time: some 100 us, as bytes and as consumers */
#define NGX_HTTP_APISCALE_CONSUMER_CHUNK   65536
#define NGX_HTTP_APISCALE_CONSUMER_BATCH   64

/* unmapped at a time, a multiple of any page's size */
#define NGX_HTTP_APISCALE_CONSUMER_PIECE   1048576

/* a file that was written within so many ns is looked at again */
#define NGX_HTTP_APISCALE_CONSUMER_RECENT  2000000000ULL


/* a consumer as it stands in the file */

typedef struct {
    const u_char                  *at;
    const apiscale_json_plain_t   *plain;    /* or NULL: */
    ngx_apiscale_json_t           *object;
} ngx_http_apiscale_consumer_source_t;


static void ngx_http_apiscale_consumer_look(struct stat *sb,
    ngx_http_apiscale_consumer_file_t *file);
static ngx_int_t ngx_http_apiscale_consumer_read_fd(
    ngx_http_apiscale_consumer_load_t *load, int fd);
static ngx_int_t ngx_http_apiscale_consumer_hash(
    ngx_http_apiscale_consumer_load_t *load);
static ngx_int_t ngx_http_apiscale_consumer_members(
    ngx_http_apiscale_consumer_load_t *load, const u_char **p,
    ngx_apiscale_json_t *names);
static ngx_int_t ngx_http_apiscale_consumer_member(
    ngx_http_apiscale_consumer_load_t *load, const u_char **p,
    ngx_apiscale_json_t *names);
static ngx_int_t ngx_http_apiscale_consumer_array(
    ngx_http_apiscale_consumer_load_t *load, const u_char **p);
static ngx_int_t ngx_http_apiscale_consumer_item(
    ngx_http_apiscale_consumer_load_t *load, const u_char **p,
    apiscale_json_plain_t *plain);
static ngx_int_t ngx_http_apiscale_consumer_one(
    ngx_http_apiscale_consumer_load_t *load,
    ngx_http_apiscale_consumer_source_t *src);
static ngx_int_t ngx_http_apiscale_consumer_text(
    ngx_http_apiscale_consumer_load_t *load,
    ngx_http_apiscale_consumer_source_t *src, const char *name,
    apiscale_consumers_name_t *text);
static ngx_int_t ngx_http_apiscale_consumer_string(
    ngx_http_apiscale_consumer_source_t *src, const char *name, ngx_str_t *s);
static ngx_int_t ngx_http_apiscale_consumer_keys(
    ngx_http_apiscale_consumer_load_t *load,
    ngx_http_apiscale_consumer_source_t *src, ngx_str_t *id);
static ngx_int_t ngx_http_apiscale_consumer_key(
    ngx_http_apiscale_consumer_load_t *load, const u_char *at, ngx_str_t *id,
    size_t n, ngx_str_t *s);
static ngx_int_t ngx_http_apiscale_consumer_room(
    ngx_http_apiscale_consumer_load_t *load);
static ngx_int_t ngx_http_apiscale_consumer_grow(void **memory, uint32_t *max,
    uint32_t used, uint32_t need, size_t size);
static ngx_int_t ngx_http_apiscale_consumer_grow_set(
    ngx_http_apiscale_consumer_load_t *load, apiscale_consumers_set_t *set,
    size_t expected);
static void *ngx_http_apiscale_consumer_pages(void *old, size_t old_size,
    size_t size);
static void ngx_http_apiscale_consumer_unmap(
    ngx_http_apiscale_consumer_load_t *load, void *memory, size_t size);
static ngx_apiscale_json_t *ngx_http_apiscale_consumer_value(
    ngx_http_apiscale_consumer_load_t *load, const u_char **p);
static ngx_int_t ngx_http_apiscale_consumer_expect(
    ngx_http_apiscale_consumer_load_t *load, const u_char **p, u_char c);
static ngx_int_t ngx_http_apiscale_consumer_system_error(
    ngx_http_apiscale_consumer_load_t *load, const char *what, ngx_err_t err);
static ngx_int_t ngx_cdecl ngx_http_apiscale_consumer_error(
    ngx_http_apiscale_consumer_load_t *load, const u_char *at,
    const char *fmt, ...);


/*
 * How the file looks now.
 */

void
ngx_http_apiscale_consumer_stat(ngx_str_t *name,
    ngx_http_apiscale_consumer_file_t *file)
{
    struct stat  sb;

    if (stat((char *) name->data, &sb) == -1) {
        ngx_memzero(file, sizeof(ngx_http_apiscale_consumer_file_t));
        file->err = ngx_errno;
        return;
    }

    ngx_http_apiscale_consumer_look(&sb, file);
}


static void
ngx_http_apiscale_consumer_look(struct stat *sb,
    ngx_http_apiscale_consumer_file_t *file)
{
    uint64_t  now, last;

    file->dev = (uint64_t) sb->st_dev;
    file->ino = (uint64_t) sb->st_ino;
    file->size = (uint64_t) sb->st_size;
    file->mtime_ns = (uint64_t) sb->st_mtim.tv_sec * 1000000000
                     + sb->st_mtim.tv_nsec;
    file->ctime_ns = (uint64_t) sb->st_ctim.tv_sec * 1000000000
                     + sb->st_ctim.tv_nsec;
    file->err = 0;

    now = ngx_apiscale_unix_us() * 1000;
    last = ngx_max(file->mtime_ns, file->ctime_ns);

    file->recent = (last + NGX_HTTP_APISCALE_CONSUMER_RECENT > now);
}


/*
 * Reads the file and makes the digest of its contents.  NGX_ERROR with a
 * message; NGX_AGAIN if it changed meanwhile.
 */

ngx_int_t
ngx_http_apiscale_consumer_read(ngx_http_apiscale_consumer_load_t *load)
{
    int        fd;
    ngx_int_t  rc;

    /* a FIFO would be waited for */

    fd = open((char *) load->name.data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        load->file.err = ngx_errno;

        return ngx_http_apiscale_consumer_system_error(load, "open()",
                                                       ngx_errno);
    }

    rc = ngx_http_apiscale_consumer_read_fd(load, fd);

    (void) close(fd);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_apiscale_consumer_hash(load);
}


static ngx_int_t
ngx_http_apiscale_consumer_read_fd(ngx_http_apiscale_consumer_load_t *load,
    int fd)
{
    size_t                              done;
    ssize_t                             n;
    struct stat                         sb;
    ngx_http_apiscale_consumer_file_t  *file, after;

    file = &load->file;

    if (fstat(fd, &sb) == -1) {
        return ngx_http_apiscale_consumer_system_error(load, "fstat()",
                                                       ngx_errno);
    }

    ngx_http_apiscale_consumer_look(&sb, file);

    if (!S_ISREG(sb.st_mode)) {
        return ngx_http_apiscale_consumer_error(load, NULL,
                                                "is not a regular file");
    }

    if (file->size > NGX_HTTP_APISCALE_CONSUMER_FILE_MAX) {
        return ngx_http_apiscale_consumer_error(load, NULL,
                                     "is larger than %d bytes",
                                     NGX_HTTP_APISCALE_CONSUMER_FILE_MAX);
    }

    load->size = (size_t) file->size;
    load->data = ngx_http_apiscale_consumer_pages(NULL, 0, load->size + 1);

    if (load->data == NULL) {
        return ngx_http_apiscale_consumer_error(load, NULL,
                                                "is too large for memory");
    }

    for (done = 0; done < load->size; done += n) {
        n = read(fd, load->data + done,
                 ngx_min(load->size - done, NGX_HTTP_APISCALE_CONSUMER_CHUNK));

        if (n == -1) {
            return ngx_http_apiscale_consumer_system_error(load, "read()",
                                                           ngx_errno);
        }

        if (n == 0) {
            return NGX_AGAIN;
        }

        ngx_http_apiscale_consumer_pause(load);
    }

    if (fstat(fd, &sb) == -1) {
        return ngx_http_apiscale_consumer_system_error(load, "fstat()",
                                                       ngx_errno);
    }

    ngx_http_apiscale_consumer_look(&sb, &after);

    if (after.size != file->size || after.mtime_ns != file->mtime_ns) {
        return NGX_AGAIN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_consumer_hash(ngx_http_apiscale_consumer_load_t *load)
{
    size_t                  done, n;
    ngx_int_t               rc;
    ngx_apiscale_sha256_t  *sha;

    sha = ngx_apiscale_sha256_create();

    rc = sha ? ngx_apiscale_sha256_init(sha) : NGX_ERROR;

    for (done = 0; rc == NGX_OK && done < load->size; done += n) {
        n = ngx_min(load->size - done, NGX_HTTP_APISCALE_CONSUMER_CHUNK);
        rc = ngx_apiscale_sha256_update(sha, load->data + done, n);
        ngx_http_apiscale_consumer_pause(load);
    }

    if (rc == NGX_OK) {
        rc = ngx_apiscale_sha256_final(sha, load->digest);
    }

    ngx_apiscale_sha256_destroy(sha);

    if (rc != NGX_OK) {
        return ngx_http_apiscale_consumer_error(load, NULL,
                                                "SHA-256 failed");
    }

    return NGX_OK;
}


/*
 * Parses what was read into the builder.  NGX_ERROR with a message that tells
 * line and column; NGX_AGAIN if the worker is about to exit.
 */

ngx_int_t
ngx_http_apiscale_consumer_parse(ngx_http_apiscale_consumer_load_t *load)
{
    ngx_int_t             rc;
    const u_char         *p, *last;
    ngx_apiscale_json_t  *names;

    if (ngx_apiscale_shm_random(load->builder.seed,
                                sizeof(load->builder.seed))
        != NGX_OK)
    {
        return ngx_http_apiscale_consumer_error(load, NULL,
                                                "no random numbers");
    }

    names = ngx_apiscale_json_object();
    if (names == NULL) {
        return ngx_http_apiscale_consumer_error(load, NULL, "out of memory");
    }

    p = load->data;
    last = p + load->size;

    rc = ngx_http_apiscale_consumer_members(load, &p, names);

    if (rc == NGX_OK && p != last) {
        rc = ngx_http_apiscale_consumer_error(load, p,
                                              "unexpected text after the end");
    }

    if (rc == NGX_OK && load->builder.ids.slots == NULL) {
        rc = ngx_http_apiscale_consumer_error(load, load->data,
                                              "\"consumers\" is missing");
    }

    ngx_apiscale_json_free(names);

    /* the text is not needed any more */

    ngx_http_apiscale_consumer_unmap(load, load->data, load->size + 1);
    load->data = NULL;

    return rc;
}


/* the outermost object, and the white space behind it */

static ngx_int_t
ngx_http_apiscale_consumer_members(ngx_http_apiscale_consumer_load_t *load,
    const u_char **p, ngx_apiscale_json_t *names)
{
    ngx_int_t      rc;
    const u_char  *last;

    last = load->data + load->size;

    if (ngx_http_apiscale_consumer_expect(load, p, '{') != NGX_OK) {
        return NGX_ERROR;
    }

    if (*p < last && **p == '}') {
        *p = apiscale_json_space(*p + 1, last);
        return NGX_OK;
    }

    for ( ;; ) {
        rc = ngx_http_apiscale_consumer_member(load, p, names);

        if (rc != NGX_OK) {
            return rc;
        }

        if (*p < last && **p == '}') {
            *p = apiscale_json_space(*p + 1, last);
            return NGX_OK;
        }

        if (ngx_http_apiscale_consumer_expect(load, p, ',') != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_http_apiscale_consumer_member(ngx_http_apiscale_consumer_load_t *load,
    const u_char **p, ngx_apiscale_json_t *names)
{
    ngx_int_t             rc;
    ngx_str_t             s;
    const u_char         *at;
    ngx_apiscale_json_t  *name, *value;

    at = *p;

    name = ngx_http_apiscale_consumer_value(load, p);
    if (name == NULL) {
        return NGX_ERROR;
    }

    if (ngx_apiscale_json_string(name, &s) != NGX_OK) {
        ngx_apiscale_json_free(name);
        return ngx_http_apiscale_consumer_error(load, at,
                                                "a name is not a string");
    }

    rc = ngx_apiscale_json_add_name(names, name);

    if (rc == NGX_OK) {
        rc = (s.len == 9 && ngx_memcmp(s.data, "consumers", 9) == 0);

    } else {
        (void) ngx_http_apiscale_consumer_error(load, at,
                                     rc == NGX_DECLINED
                                     ? "duplicate name" : "out of memory");
        rc = NGX_ERROR;
    }

    ngx_apiscale_json_free(name);

    if (rc == NGX_ERROR
        || ngx_http_apiscale_consumer_expect(load, p, ':') != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (rc) {
        return ngx_http_apiscale_consumer_array(load, p);
    }

    value = ngx_http_apiscale_consumer_value(load, p);
    if (value == NULL) {
        return NGX_ERROR;
    }

    ngx_apiscale_json_free(value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_consumer_array(ngx_http_apiscale_consumer_load_t *load,
    const u_char **p)
{
    ngx_int_t               rc;
    const u_char           *last;
    apiscale_json_plain_t   plain;

    last = load->data + load->size;

    if (*p == last || **p != '[') {
        return ngx_http_apiscale_consumer_error(load, *p,
                                             "\"consumers\" is not an array");
    }

    *p = apiscale_json_space(*p + 1, last);

    if (ngx_http_apiscale_consumer_room(load) != NGX_OK) {
        return NGX_ERROR;
    }

    if (*p < last && **p == ']') {
        *p = apiscale_json_space(*p + 1, last);
        return NGX_OK;
    }

    for ( ;; ) {

        if (load->thread && (ngx_exiting || ngx_quit || ngx_terminate)) {
            return NGX_AGAIN;
        }

        if (load->builder.consumers % NGX_HTTP_APISCALE_CONSUMER_BATCH == 0) {
            ngx_http_apiscale_consumer_pause(load);
        }

        rc = ngx_http_apiscale_consumer_item(load, p, &plain);

        if (rc != NGX_OK) {
            return rc;
        }

        if (*p < last && **p == ']') {
            *p = apiscale_json_space(*p + 1, last);
            return NGX_OK;
        }

        if (ngx_http_apiscale_consumer_expect(load, p, ',') != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


/* "plain" is memory for it alone */

static ngx_int_t
ngx_http_apiscale_consumer_item(ngx_http_apiscale_consumer_load_t *load,
    const u_char **p, apiscale_json_plain_t *plain)
{
    ngx_int_t                             rc;
    const u_char                         *last, *next;
    ngx_http_apiscale_consumer_source_t   src;

    last = load->data + load->size;

    src.at = *p;
    src.plain = plain;
    src.object = NULL;

    next = apiscale_json_plain(*p,
                 *p + ngx_min((size_t) (last - *p),
                              NGX_HTTP_APISCALE_CONSUMER_VALUE_MAX), plain);

    if (next) {
        *p = apiscale_json_space(next, last);
        return ngx_http_apiscale_consumer_one(load, &src);
    }

    src.plain = NULL;
    src.object = ngx_http_apiscale_consumer_value(load, p);

    if (src.object == NULL) {
        return NGX_ERROR;
    }

    if (ngx_apiscale_json_is_object(src.object)) {
        rc = ngx_http_apiscale_consumer_one(load, &src);

    } else {
        rc = ngx_http_apiscale_consumer_error(load, src.at,
                                              "a consumer is not an object");
    }

    ngx_apiscale_json_free(src.object);

    return rc;
}


static ngx_int_t
ngx_http_apiscale_consumer_one(ngx_http_apiscale_consumer_load_t *load,
    ngx_http_apiscale_consumer_source_t *src)
{
    ngx_str_t             id;
    apiscale_consumers_t  c;

    if (ngx_http_apiscale_consumer_text(load, src, "id", &c.id) != NGX_OK
        || ngx_http_apiscale_consumer_text(load, src, "plan", &c.plan)
           != NGX_OK
        || ngx_http_apiscale_consumer_text(load, src, "version", &c.version)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (c.id.len == 0) {
        return ngx_http_apiscale_consumer_error(load, src->at,
                                                "a consumer without \"id\"");
    }

    if (ngx_http_apiscale_consumer_room(load) != NGX_OK) {
        return NGX_ERROR;
    }

    id.data = (u_char *) c.id.data;
    id.len = c.id.len;

    switch (apiscale_consumers_add(&load->builder, &c)) {

    case APISCALE_CONSUMERS_OK:
        break;

    case APISCALE_CONSUMERS_DUPLICATE:
        return ngx_http_apiscale_consumer_error(load, src->at,
                                          "duplicate consumer \"%V\"", &id);

    default:
        return ngx_http_apiscale_consumer_error(load, src->at,
                                                "too many consumers");
    }

    return ngx_http_apiscale_consumer_keys(load, src, &id);
}


/* a member that is a string that may stand in a header or a log */

static ngx_int_t
ngx_http_apiscale_consumer_text(ngx_http_apiscale_consumer_load_t *load,
    ngx_http_apiscale_consumer_source_t *src, const char *name,
    apiscale_consumers_name_t *text)
{
    size_t     i;
    ngx_int_t  rc;
    ngx_str_t  s;

    text->data = (u_char *) "";
    text->len = 0;

    rc = ngx_http_apiscale_consumer_string(src, name, &s);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return ngx_http_apiscale_consumer_error(load, src->at,
                             "\"%s\" of a consumer is not a string", name);
    }

    if (s.len == 0 || s.len > APISCALE_CONSUMERS_NAME_MAX) {
        return ngx_http_apiscale_consumer_error(load, src->at,
                             "\"%s\" of a consumer has not 1 to %d bytes",
                             name, APISCALE_CONSUMERS_NAME_MAX);
    }

    for (i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) {
            return ngx_http_apiscale_consumer_error(load, src->at,
                         "\"%s\" of a consumer has a control byte", name);
        }
    }

    text->data = s.data;
    text->len = s.len;

    return NGX_OK;
}


/* NGX_DECLINED if there is no such member, NGX_ERROR if it is not a string */

static ngx_int_t
ngx_http_apiscale_consumer_string(ngx_http_apiscale_consumer_source_t *src,
    const char *name, ngx_str_t *s)
{
    ngx_apiscale_json_t           *value;
    const apiscale_json_text_t    *text;
    const apiscale_json_member_t  *m;

    if (src->plain) {
        m = apiscale_json_member(src->plain, name, ngx_strlen(name));

        if (m == NULL) {
            return NGX_DECLINED;
        }

        if (m->array) {
            return NGX_ERROR;
        }

        text = &src->plain->texts[m->first];

        s->data = (u_char *) text->data;
        s->len = text->len;

        return NGX_OK;
    }

    value = ngx_apiscale_json_member(src->object, name);

    if (value == NULL) {
        return NGX_DECLINED;
    }

    return ngx_apiscale_json_string(value, s) == NGX_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_apiscale_consumer_keys(ngx_http_apiscale_consumer_load_t *load,
    ngx_http_apiscale_consumer_source_t *src, ngx_str_t *id)
{
    size_t                         i, n;
    ngx_str_t                      s;
    ngx_uint_t                     array;
    ngx_apiscale_json_t           *keys;
    const apiscale_json_text_t    *text;
    const apiscale_json_member_t  *m;

    m = NULL;
    keys = NULL;

    if (src->plain) {
        m = apiscale_json_member(src->plain, "keys", sizeof("keys") - 1);
        array = (m && m->array);
        n = m ? m->n : 0;

    } else {
        keys = ngx_apiscale_json_member(src->object, "keys");
        array = (keys && ngx_apiscale_json_is_array(keys));
        n = array ? ngx_apiscale_json_count(keys) : 0;
    }

    if (m == NULL && keys == NULL) {
        return NGX_OK;
    }

    if (!array) {
        return ngx_http_apiscale_consumer_error(load, src->at,
                          "\"keys\" of consumer \"%V\" is not an array", id);
    }

    for (i = 0; i < n; i++) {

        ngx_str_null(&s);

        if (m) {
            text = &src->plain->texts[m->first + i];
            s.data = (u_char *) text->data;
            s.len = text->len;

        } else {
            (void) ngx_apiscale_json_string(ngx_apiscale_json_item(keys, i),
                                            &s);
        }

        if (ngx_http_apiscale_consumer_key(load, src->at, id, i + 1, &s)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the nth key of a consumer */

static ngx_int_t
ngx_http_apiscale_consumer_key(ngx_http_apiscale_consumer_load_t *load,
    const u_char *at, ngx_str_t *id, size_t n, ngx_str_t *s)
{
    u_char                         digest[APISCALE_CONSUMERS_DIGEST];
    uint32_t                       record;
    ngx_str_t                      owner;
    apiscale_consumers_t           other;
    apiscale_consumers_builder_t  *b;

    b = &load->builder;

    if (!apiscale_consumers_digest(s->data, s->len, digest)) {
        return ngx_http_apiscale_consumer_error(load, at,
                          "key %uz of consumer \"%V\" is not \"sha256:\" and "
                          "64 hexadecimal digits", n, id);
    }

    if (ngx_http_apiscale_consumer_room(load) != NGX_OK) {
        return NGX_ERROR;
    }

    switch (apiscale_consumers_add_key(b, digest, &record)) {

    case APISCALE_CONSUMERS_OK:
        return NGX_OK;

    case APISCALE_CONSUMERS_DUPLICATE:
        (void) apiscale_consumers_get(b->records, b->used, record, &other);
        owner.data = (u_char *) other.id.data;
        owner.len = other.id.len;

        return ngx_http_apiscale_consumer_error(load, at,
                          "key %uz of consumer \"%V\" is already a key of "
                          "consumer \"%V\"", n, id, &owner);

    default:
        return ngx_http_apiscale_consumer_error(load, at, "too many keys");
    }
}


/* makes room for one more consumer and one more key */

static ngx_int_t
ngx_http_apiscale_consumer_room(ngx_http_apiscale_consumer_load_t *load)
{
    size_t                         expected;
    apiscale_consumers_builder_t  *b;

    b = &load->builder;
    expected = load->size / NGX_HTTP_APISCALE_CONSUMER_LENGTH;

    if (ngx_http_apiscale_consumer_grow((void **) &b->records, &b->max,
                                        b->used,
                                        2 * APISCALE_CONSUMERS_RECORD_MAX, 1)
        != NGX_OK
        || ngx_http_apiscale_consumer_grow((void **) &b->keys, &b->max_keys,
                                           b->nkeys, 1,
                                           sizeof(apiscale_consumers_key_t))
           != NGX_OK
        || ngx_http_apiscale_consumer_grow_set(load, &b->ids, expected)
           != NGX_OK
        || ngx_http_apiscale_consumer_grow_set(load, &b->names, 0) != NGX_OK
        || ngx_http_apiscale_consumer_grow_set(load, &b->digests, expected)
           != NGX_OK)
    {
        return ngx_http_apiscale_consumer_error(load, NULL, "out of memory");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_consumer_grow(void **memory, uint32_t *max, uint32_t used,
    uint32_t need, size_t size)
{
    void      *p;
    uint64_t   n;

    if (*max - used >= need) {
        return NGX_OK;
    }

    n = ngx_max(2 * (uint64_t) *max, 4096);

    if (n > UINT32_MAX) {
        return NGX_ERROR;
    }

    p = ngx_http_apiscale_consumer_pages(*memory, *max * size, n * size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *memory = p;
    *max = (uint32_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_consumer_grow_set(ngx_http_apiscale_consumer_load_t *load,
    apiscale_consumers_set_t *set, size_t expected)
{
    uint64_t                   size;
    uint32_t                  *slots;
    apiscale_consumers_set_t   old;

    if (set->n + 2 <= set->size / 2) {
        return NGX_OK;
    }

    size = ngx_max(2 * (uint64_t) set->size, 1024);

    while (size < 2 * (uint64_t) expected) {
        size *= 2;
    }

    if (size > UINT32_MAX) {
        return NGX_ERROR;
    }

    slots = ngx_http_apiscale_consumer_pages(NULL, 0, size * sizeof(uint32_t));
    if (slots == NULL) {
        return NGX_ERROR;
    }

    old = *set;

    apiscale_consumers_move_set(&load->builder, set, slots, (uint32_t) size);

    ngx_http_apiscale_consumer_unmap(load, old.slots,
                                     old.size * sizeof(uint32_t));

    return NGX_OK;
}


/*
 * Memory of its own pages, zero, in which what was in the old is kept: what
 * malloc() got for a load would not go back to the system after it.
 */

static void *
ngx_http_apiscale_consumer_pages(void *old, size_t old_size, size_t size)
{
    void  *p;

    if (old) {
        p = mremap(old, old_size, size, MREMAP_MAYMOVE);

    } else {
        p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
                 -1, 0);
    }

    return p == MAP_FAILED ? NULL : p;
}


/* in pieces, since the system takes its time for each page, too */

static void
ngx_http_apiscale_consumer_unmap(ngx_http_apiscale_consumer_load_t *load,
    void *memory, size_t size)
{
    size_t   n;
    u_char  *p;

    for (p = memory; p && size; p += n, size -= n) {
        n = ngx_min(size, NGX_HTTP_APISCALE_CONSUMER_PIECE);
        (void) munmap(p, n);
        ngx_http_apiscale_consumer_pause(load);
    }
}


/* the value at *p, which is moved to what follows it; NULL with a message */

static ngx_apiscale_json_t *
ngx_http_apiscale_consumer_value(ngx_http_apiscale_consumer_load_t *load,
    const u_char **p)
{
    size_t                      used;
    const u_char               *at, *last;
    ngx_apiscale_json_t        *value;
    ngx_apiscale_json_error_t   error;

    last = load->data + load->size;

    if (*p == last) {
        (void) ngx_http_apiscale_consumer_error(load, *p, "unexpected end");
        return NULL;
    }

    switch (apiscale_json_extent(*p, last,
                                 NGX_HTTP_APISCALE_CONSUMER_VALUE_MAX,
                                 NGX_HTTP_APISCALE_CONSUMER_DEPTH, &at))
    {

    case APISCALE_JSON_DEEP:
        (void) ngx_http_apiscale_consumer_error(load, at,
                                     "nested more than %d deep",
                                     NGX_HTTP_APISCALE_CONSUMER_DEPTH);
        return NULL;

    case APISCALE_JSON_LONG:
        (void) ngx_http_apiscale_consumer_error(load, *p,
                                     "a value of more than %d bytes",
                                     NGX_HTTP_APISCALE_CONSUMER_VALUE_MAX);
        return NULL;

    default:
        break;
    }

    value = ngx_apiscale_json_parse(*p, at - *p, &used, &error);

    if (value == NULL) {
        (void) ngx_http_apiscale_consumer_error(load, *p + error.offset,
                                                "%s", error.reason);
        return NULL;
    }

    *p = apiscale_json_space(*p + used, last);

    return value;
}


/* passes a byte and the white space around it */

static ngx_int_t
ngx_http_apiscale_consumer_expect(ngx_http_apiscale_consumer_load_t *load,
    const u_char **p, u_char c)
{
    const u_char  *last;

    last = load->data + load->size;

    *p = apiscale_json_space(*p, last);

    if (*p == last) {
        return ngx_http_apiscale_consumer_error(load, *p,
                                           "unexpected end, expected \"%c\"",
                                           c);
    }

    if (**p != c) {
        return ngx_http_apiscale_consumer_error(load, *p, "expected \"%c\"",
                                                c);
    }

    *p = apiscale_json_space(*p + 1, last);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apiscale_consumer_system_error(
    ngx_http_apiscale_consumer_load_t *load, const char *what, ngx_err_t err)
{
    u_char  *p, text[NGX_MAX_ERROR_STR];

    p = ngx_strerror(err, text, sizeof(text) - 1);
    *p = '\0';

    load->error_len = ngx_snprintf(load->error,
                                   NGX_HTTP_APISCALE_CONSUMER_ERROR,
                                   "%s \"%V\" failed (%d: %s)",
                                   what, &load->name, err, text)
                      - load->error;

    return NGX_ERROR;
}


/*
 * Sets the message: the file, line and column of "at", if there is one, and
 * what is wrong.  Always NGX_ERROR.
 */

static ngx_int_t ngx_cdecl
ngx_http_apiscale_consumer_error(ngx_http_apiscale_consumer_load_t *load,
    const u_char *at, const char *fmt, ...)
{
    size_t    line, column;
    u_char   *p, *last;
    va_list   args;

    p = load->error;
    last = p + NGX_HTTP_APISCALE_CONSUMER_ERROR;

    if (at) {
        apiscale_json_place(load->data, at, &line, &column);
        p = ngx_slprintf(p, last, "%V:%uz:%uz: ", &load->name, line, column);

    } else {
        p = ngx_slprintf(p, last, "\"%V\" ", &load->name);
    }

    va_start(args, fmt);
    p = ngx_vslprintf(p, last, fmt, args);
    va_end(args);

    load->error_len = p - load->error;

    return NGX_ERROR;
}


/*
 * Called after each bit of work: lets the worker go on that this thread has
 * taken the processor from.  Otherwise a request might wait for as long as
 * the system lets a thread run, which is milliseconds.
 */

void
ngx_http_apiscale_consumer_pause(ngx_http_apiscale_consumer_load_t *load)
{
    if (load->thread) {
        ngx_sched_yield();
    }
}


/*
 * Frees the text and what was built of it; numbers and message stay.  It
 * takes tens of milliseconds, so it is done in the thread.
 */

void
ngx_http_apiscale_consumer_release(ngx_http_apiscale_consumer_load_t *load)
{
    apiscale_consumers_builder_t  *b;

    b = &load->builder;

    ngx_http_apiscale_consumer_unmap(load, b->keys,
                              b->max_keys * sizeof(apiscale_consumers_key_t));
    ngx_http_apiscale_consumer_unmap(load, b->records, b->max);
    ngx_http_apiscale_consumer_unmap(load, b->ids.slots,
                                     b->ids.size * sizeof(uint32_t));
    ngx_http_apiscale_consumer_unmap(load, b->names.slots,
                                     b->names.size * sizeof(uint32_t));
    ngx_http_apiscale_consumer_unmap(load, b->digests.slots,
                                     b->digests.size * sizeof(uint32_t));
    ngx_http_apiscale_consumer_unmap(load, load->data, load->size + 1);

    b->keys = NULL;
    b->records = NULL;
    b->ids.slots = NULL;
    b->names.slots = NULL;
    b->digests.slots = NULL;
    load->data = NULL;
}


/*
 * Frees all of it; NULL is allowed.
 */

void
ngx_http_apiscale_consumer_free(ngx_http_apiscale_consumer_load_t *load)
{
    if (load) {
        ngx_http_apiscale_consumer_release(load);
        free(load);
    }
}
