
/*
 * Copyright (C) apiscale authors
 */


#include <string.h>

#include "apiscale_mmdb.h"


#define APISCALE_MMDB_POINTER    1
#define APISCALE_MMDB_STRING     2
#define APISCALE_MMDB_DOUBLE     3
#define APISCALE_MMDB_BYTES      4
#define APISCALE_MMDB_UINT16     5
#define APISCALE_MMDB_UINT32     6
#define APISCALE_MMDB_MAP        7
#define APISCALE_MMDB_INT32      8
#define APISCALE_MMDB_UINT64     9
#define APISCALE_MMDB_UINT128    10
#define APISCALE_MMDB_ARRAY      11
#define APISCALE_MMDB_BOOLEAN    14
#define APISCALE_MMDB_FLOAT      15

#define APISCALE_MMDB_META_LEN   131072   /* the marker is in the last */
#define APISCALE_MMDB_GAP        16       /* zeros between tree and data */

/* states of a node: not seen, heights of 1 to 128, or */
#define APISCALE_MMDB_OPEN       255

/* states of a value, two bits each */
#define APISCALE_MMDB_UNSEEN     0
#define APISCALE_MMDB_ENTERED    1
#define APISCALE_MMDB_DONE       2


/* a value without what it contains */

typedef struct {
    unsigned              type;
    uint32_t              size;           /* bytes, entries, or the target */
    size_t                next;           /* the offset after it, or of the
                                             first entry */
} apiscale_mmdb_value_t;


/* a map or an array that is being walked */

typedef struct {
    size_t                start;
    size_t                resume;         /* behind the pointer to it */
    uint64_t              left;           /* entries, a map's keys are some */
    unsigned              map:1;
    unsigned              pointed:1;
} apiscale_mmdb_frame_t;


typedef struct {
    const unsigned char  *data;
    size_t                len;
    unsigned char        *states;         /* NULL: no pointers to containers */
    uint64_t              work;           /* values that may be decoded yet */
    unsigned              values;         /* of this record */
    unsigned              depth;
    apiscale_mmdb_frame_t  frames[APISCALE_MMDB_DEPTH];
} apiscale_mmdb_walk_t;


typedef struct {
    uint32_t              node;
    unsigned              side;           /* the next to visit; 2: none */
    unsigned              height;         /* of what was visited */
} apiscale_mmdb_step_t;


static apiscale_mmdb_rc_e apiscale_mmdb_metadata(apiscale_mmdb_t *db,
    const unsigned char *p, size_t len);
static apiscale_mmdb_rc_e apiscale_mmdb_field(const unsigned char *p,
    size_t len, const char *name, unsigned type, apiscale_mmdb_value_t *v);
static apiscale_mmdb_rc_e apiscale_mmdb_uint(const unsigned char *p,
    size_t len, const char *name, unsigned type, uint64_t *n);
static apiscale_mmdb_rc_e apiscale_mmdb_strings(const unsigned char *p,
    size_t len, const char *name, unsigned type);

static apiscale_mmdb_rc_e apiscale_mmdb_child(const apiscale_mmdb_t *db,
    apiscale_mmdb_walk_t *w, const unsigned char *heights,
    apiscale_mmdb_step_t *step, uint32_t *child);
static uint32_t apiscale_mmdb_record(const apiscale_mmdb_t *db,
    uint32_t node, unsigned side);

static void apiscale_mmdb_walk_init(apiscale_mmdb_walk_t *w,
    const unsigned char *data, size_t len, unsigned char *states);
static apiscale_mmdb_rc_e apiscale_mmdb_walk(apiscale_mmdb_walk_t *w,
    size_t off, size_t *end);
static apiscale_mmdb_rc_e apiscale_mmdb_enter(apiscale_mmdb_walk_t *w,
    const apiscale_mmdb_value_t *v, size_t start, size_t resume,
    unsigned pointed, size_t *off);
static apiscale_mmdb_rc_e apiscale_mmdb_decode(const unsigned char *data,
    size_t len, size_t off, apiscale_mmdb_value_t *v);
static apiscale_mmdb_rc_e apiscale_mmdb_follow(const unsigned char *data,
    size_t len, size_t *off, size_t *next, apiscale_mmdb_value_t *v);
static int apiscale_mmdb_size_ok(unsigned type, uint32_t size);


/*
 * Reads the metadata of a file of "len" bytes and finds its parts, which are
 * within the file if the answer is APISCALE_MMDB_OK.  What they contain is
 * for apiscale_mmdb_check() to say.
 */

apiscale_mmdb_rc_e
apiscale_mmdb_open(apiscale_mmdb_t *db, const unsigned char *file, size_t len)
{
    size_t                off, min, tree_len;
    apiscale_mmdb_rc_e    rc;

    static const unsigned char  marker[] = "\xab\xcd\xefMaxMind.com";
    static const unsigned char  zeros[APISCALE_MMDB_GAP];

    const size_t  mlen = sizeof(marker) - 1;

    if (len < mlen) {
        return APISCALE_MMDB_NO_METADATA;
    }

    /* the last one counts */

    min = len > APISCALE_MMDB_META_LEN ? len - APISCALE_MMDB_META_LEN : 0;

    for (off = len - mlen;
         memcmp(file + off, marker, mlen) != 0;
         off--)
    {
        if (off == min) {
            return APISCALE_MMDB_NO_METADATA;
        }
    }

    rc = apiscale_mmdb_metadata(db, file + off + mlen, len - off - mlen);

    if (rc != APISCALE_MMDB_OK) {
        return rc;
    }

    /* off is the end of the data */

    if (off < APISCALE_MMDB_GAP
        || (off - APISCALE_MMDB_GAP) / db->node_size < db->nodes)
    {
        return APISCALE_MMDB_TREE_SIZE;
    }

    tree_len = (size_t) db->nodes * db->node_size;

    if (memcmp(file + tree_len, zeros, APISCALE_MMDB_GAP) != 0) {
        return APISCALE_MMDB_SEPARATOR;
    }

    db->tree = file;
    db->data = file + tree_len + APISCALE_MMDB_GAP;
    db->data_len = off - tree_len - APISCALE_MMDB_GAP;

    return APISCALE_MMDB_OK;
}


/*
 * The bytes that apiscale_mmdb_check() needs: less than half of the file.
 */

size_t
apiscale_mmdb_scratch(const apiscale_mmdb_t *db)
{
    return db->nodes + db->data_len / 4 + 1;
}


/*
 * Visits all nodes that can be reached from the first one, depth first, and
 * all data.  "scratch" has apiscale_mmdb_scratch() bytes of any content.
 *
 * Heights, not depths, are kept of nodes: databases for IPv6 have several
 * ways into the part for IPv4.
 */

apiscale_mmdb_rc_e
apiscale_mmdb_check(const apiscale_mmdb_t *db, unsigned char *scratch)
{
    uint32_t               child;
    unsigned               n;
    unsigned char         *heights;
    apiscale_mmdb_rc_e     rc;
    apiscale_mmdb_walk_t   w;
    apiscale_mmdb_step_t   steps[128], *step;

    memset(scratch, 0, apiscale_mmdb_scratch(db));

    heights = scratch;
    apiscale_mmdb_walk_init(&w, db->data, db->data_len, scratch + db->nodes);

    heights[0] = APISCALE_MMDB_OPEN;
    memset(&steps[0], 0, sizeof(apiscale_mmdb_step_t));
    n = 1;

    while (n) {
        step = &steps[n - 1];

        if (step->side == 2) {

            /* more than "bits" is found out here where ways join */

            if (++step->height > db->bits) {
                return APISCALE_MMDB_TREE_DEPTH;
            }

            heights[step->node] = (unsigned char) step->height;
            n--;

            if (n && steps[n - 1].height < step->height) {
                steps[n - 1].height = step->height;
            }

            continue;
        }

        child = 0;

        rc = apiscale_mmdb_child(db, &w, heights, step, &child);

        if (rc != APISCALE_MMDB_OK) {
            return rc;
        }

        if (child == 0) {
            continue;
        }

        if (n == db->bits) {
            return APISCALE_MMDB_TREE_DEPTH;
        }

        heights[child] = APISCALE_MMDB_OPEN;
        memset(&steps[n], 0, sizeof(apiscale_mmdb_step_t));
        steps[n].node = child;
        n++;
    }

    return APISCALE_MMDB_OK;
}


/*
 * What is wrong, to be continued after "it is no valid database: ".
 */

const char *
apiscale_mmdb_error(apiscale_mmdb_rc_e rc)
{
    static const char *const  errors[] = {
        "nothing is wrong",
        "no metadata, it is truncated or of another format",
        "the metadata are malformed",
        "the metadata tell of a format that is not known",
        "it is shorter than its search tree",
        "there is no separator behind the search tree",
        "the search tree has a loop",
        "the search tree is too deep",
        "the search tree leads out of the data",
        "a value is malformed or leads out of the data",
        "a value contains itself",
        "values are nested too deep",
        "a record has too many values",
        "values overlap"
    };

    return errors[rc];
}


static apiscale_mmdb_rc_e
apiscale_mmdb_metadata(apiscale_mmdb_t *db, const unsigned char *p, size_t len)
{
    size_t                 end;
    unsigned               i;
    uint64_t               n[6];
    apiscale_mmdb_walk_t   w;
    apiscale_mmdb_value_t  v;

    static const struct {
        const char        *name;
        unsigned           type;
    } numbers[] = {
        { "binary_format_major_version", APISCALE_MMDB_UINT16 },
        { "binary_format_minor_version", APISCALE_MMDB_UINT16 },
        { "record_size", APISCALE_MMDB_UINT16 },
        { "ip_version", APISCALE_MMDB_UINT16 },
        { "node_count", APISCALE_MMDB_UINT32 },
        { "build_epoch", APISCALE_MMDB_UINT64 }
    };

    memset(db, 0, sizeof(apiscale_mmdb_t));

    apiscale_mmdb_walk_init(&w, p, len, NULL);

    if (apiscale_mmdb_walk(&w, 0, &end) != APISCALE_MMDB_OK
        || apiscale_mmdb_decode(p, len, 0, &v) != APISCALE_MMDB_OK
        || v.type != APISCALE_MMDB_MAP)
    {
        return APISCALE_MMDB_METADATA;
    }

    for (i = 0; i < 6; i++) {
        if (apiscale_mmdb_uint(p, len, numbers[i].name, numbers[i].type, &n[i])
            != APISCALE_MMDB_OK)
        {
            return APISCALE_MMDB_METADATA;
        }
    }

    if (apiscale_mmdb_strings(p, len, "languages", APISCALE_MMDB_ARRAY)
        || apiscale_mmdb_strings(p, len, "description", APISCALE_MMDB_MAP)
        || apiscale_mmdb_field(p, len, "database_type", APISCALE_MMDB_STRING,
                               &v)
        || n[4] == 0 || n[5] == 0)
    {
        return APISCALE_MMDB_METADATA;
    }

    if (n[0] != 2 || (n[2] != 24 && n[2] != 28 && n[2] != 32)
        || (n[3] != 4 && n[3] != 6))
    {
        return APISCALE_MMDB_FORMAT;
    }

    db->nodes = (uint32_t) n[4];
    db->node_size = (unsigned) n[2] / 4;
    db->bits = n[3] == 4 ? 32 : 128;
    db->type = p + v.next - v.size;
    db->type_len = v.size;
    db->build = n[5];

    return APISCALE_MMDB_OK;
}


/*
 * A member of the metadata, which were walked before.  A pointer is followed:
 * v->next is behind the bytes of the value itself.
 */

static apiscale_mmdb_rc_e
apiscale_mmdb_field(const unsigned char *p, size_t len, const char *name,
    unsigned type, apiscale_mmdb_value_t *v)
{
    size_t                 off, next;
    uint32_t               n;
    apiscale_mmdb_walk_t   w;
    apiscale_mmdb_value_t  map, key;

    if (apiscale_mmdb_decode(p, len, 0, &map) != APISCALE_MMDB_OK) {
        return APISCALE_MMDB_METADATA;
    }

    next = map.next;

    for (n = map.size; n; n--) {

        off = next;

        if (apiscale_mmdb_follow(p, len, &off, &next, &key)
            != APISCALE_MMDB_OK)
        {
            return APISCALE_MMDB_METADATA;
        }

        if (key.size == strlen(name)
            && memcmp(p + key.next - key.size, name, key.size) == 0)
        {
            break;
        }

        apiscale_mmdb_walk_init(&w, p, len, NULL);

        if (apiscale_mmdb_walk(&w, next, &next) != APISCALE_MMDB_OK) {
            return APISCALE_MMDB_METADATA;
        }
    }

    off = next;

    if (n == 0
        || apiscale_mmdb_follow(p, len, &off, &next, v) != APISCALE_MMDB_OK
        || v->type != type)
    {
        return APISCALE_MMDB_METADATA;
    }

    return APISCALE_MMDB_OK;
}


static apiscale_mmdb_rc_e
apiscale_mmdb_uint(const unsigned char *p, size_t len, const char *name,
    unsigned type, uint64_t *n)
{
    size_t                 i;
    apiscale_mmdb_value_t  v;

    if (apiscale_mmdb_field(p, len, name, type, &v) != APISCALE_MMDB_OK) {
        return APISCALE_MMDB_METADATA;
    }

    *n = 0;

    for (i = v.next - v.size; i < v.next; i++) {
        *n = *n << 8 | p[i];
    }

    return APISCALE_MMDB_OK;
}


/* an array of strings, or a map of them: readers copy these */

static apiscale_mmdb_rc_e
apiscale_mmdb_strings(const unsigned char *p, size_t len, const char *name,
    unsigned type)
{
    size_t                 off, next;
    uint64_t               n;
    apiscale_mmdb_value_t  v;

    if (apiscale_mmdb_field(p, len, name, type, &v) != APISCALE_MMDB_OK) {
        return APISCALE_MMDB_METADATA;
    }

    next = v.next;

    for (n = (uint64_t) v.size * (type == APISCALE_MMDB_MAP ? 2 : 1);
         n;
         n--)
    {
        off = next;

        if (apiscale_mmdb_follow(p, len, &off, &next, &v) != APISCALE_MMDB_OK
            || v.type != APISCALE_MMDB_STRING)
        {
            return APISCALE_MMDB_METADATA;
        }
    }

    return APISCALE_MMDB_OK;
}


/*
 * Takes the next of the two records of a node.  Sets *child when it leads to
 * a node that was not seen yet.
 */

static apiscale_mmdb_rc_e
apiscale_mmdb_child(const apiscale_mmdb_t *db, apiscale_mmdb_walk_t *w,
    const unsigned char *heights, apiscale_mmdb_step_t *step, uint32_t *child)
{
    size_t    end, off;
    uint32_t  record;

    record = apiscale_mmdb_record(db, step->node, step->side++);

    if (record < db->nodes) {

        switch (heights[record]) {

        case 0:
            *child = record;
            return APISCALE_MMDB_OK;

        case APISCALE_MMDB_OPEN:
            return APISCALE_MMDB_TREE_LOOP;
        }

        if (step->height < heights[record]) {
            step->height = heights[record];
        }

        return APISCALE_MMDB_OK;
    }

    if (record == db->nodes) {
        return APISCALE_MMDB_OK;
    }

    off = record - db->nodes;

    if (off < APISCALE_MMDB_GAP || off - APISCALE_MMDB_GAP >= db->data_len) {
        return APISCALE_MMDB_TREE_RECORD;
    }

    w->values = 0;

    return apiscale_mmdb_walk(w, off - APISCALE_MMDB_GAP, &end);
}


static uint32_t
apiscale_mmdb_record(const apiscale_mmdb_t *db, uint32_t node, unsigned side)
{
    const unsigned char  *p;

    p = db->tree + (size_t) node * db->node_size;

    switch (db->node_size) {

    case 6:
        p += side * 3;
        return (uint32_t) p[0] << 16 | (uint32_t) p[1] << 8 | p[2];

    case 7:
        if (side) {
            return (uint32_t) (p[3] & 0x0f) << 24 | (uint32_t) p[4] << 16
                   | (uint32_t) p[5] << 8 | p[6];
        }

        return (uint32_t) (p[3] & 0xf0) << 20 | (uint32_t) p[0] << 16
               | (uint32_t) p[1] << 8 | p[2];

    default: /* 8 */
        p += side * 4;
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
               | (uint32_t) p[2] << 8 | p[3];
    }
}


static void
apiscale_mmdb_walk_init(apiscale_mmdb_walk_t *w, const unsigned char *data,
    size_t len, unsigned char *states)
{
    w->data = data;
    w->len = len;
    w->states = states;
    w->work = (uint64_t) len * 8 + 1024;
    w->values = 0;
}


/*
 * Visits the value at "off" with all that it contains and all that it points
 * to, and sets *end to the offset behind it.  A container that was visited
 * before is visited again only where its end has to be found.
 */

static apiscale_mmdb_rc_e
apiscale_mmdb_walk(apiscale_mmdb_walk_t *w, size_t off, size_t *end)
{
    size_t                  start, resume;
    unsigned                key, pointed;
    apiscale_mmdb_rc_e      rc;
    apiscale_mmdb_frame_t  *f;
    apiscale_mmdb_value_t   v;

    w->depth = 0;
    key = 0;

    /* nobody asks for the end of a record of the tree */

    pointed = w->states != NULL;

    for ( ;; ) {
        if (w->work-- == 0) {
            return APISCALE_MMDB_WORK;
        }

        if (w->values++ == APISCALE_MMDB_VALUES) {
            return APISCALE_MMDB_VALUE_COUNT;
        }

        start = off;

        rc = apiscale_mmdb_follow(w->data, w->len, &start, &resume, &v);

        if (rc != APISCALE_MMDB_OK) {
            return rc;
        }

        if (key && v.type != APISCALE_MMDB_STRING) {
            return APISCALE_MMDB_VALUE;
        }

        pointed |= start != off;
        off = resume;

        if (v.type == APISCALE_MMDB_MAP || v.type == APISCALE_MMDB_ARRAY) {
            rc = apiscale_mmdb_enter(w, &v, start, resume, pointed, &off);

            if (rc != APISCALE_MMDB_OK) {
                return rc;
            }
        }

        /* what is complete now */

        while (w->depth && w->frames[w->depth - 1].left == 0) {
            f = &w->frames[--w->depth];

            if (w->states) {
                w->states[f->start / 4] |= (unsigned char)
                    (APISCALE_MMDB_DONE << f->start % 4 * 2);
            }

            if (f->pointed) {
                off = f->resume;
            }
        }

        if (w->depth == 0) {
            *end = off;
            return APISCALE_MMDB_OK;
        }

        f = &w->frames[w->depth - 1];

        key = f->map && f->left % 2 == 0;
        pointed = 0;
        f->left--;
    }
}


/*
 * Goes into a map or an array, or past it when it is known.  *off is what is
 * to be visited next.
 */

static apiscale_mmdb_rc_e
apiscale_mmdb_enter(apiscale_mmdb_walk_t *w, const apiscale_mmdb_value_t *v,
    size_t start, size_t resume, unsigned pointed, size_t *off)
{
    unsigned                state;
    apiscale_mmdb_frame_t  *f;

    if (w->states) {
        state = w->states[start / 4] >> start % 4 * 2 & 3;

        if (state == APISCALE_MMDB_ENTERED) {
            return APISCALE_MMDB_VALUE_LOOP;
        }

        if (state != APISCALE_MMDB_UNSEEN && pointed) {
            *off = resume;
            return APISCALE_MMDB_OK;
        }

        w->states[start / 4] |= (unsigned char)
            (APISCALE_MMDB_ENTERED << start % 4 * 2);

    } else if (pointed) {
        return APISCALE_MMDB_VALUE;
    }

    if (w->depth == APISCALE_MMDB_DEPTH) {
        return APISCALE_MMDB_VALUE_DEPTH;
    }

    f = &w->frames[w->depth++];

    f->start = start;
    f->resume = resume;
    f->map = v->type == APISCALE_MMDB_MAP;
    f->pointed = pointed;
    f->left = (uint64_t) v->size * (f->map ? 2 : 1);

    *off = v->next;

    return APISCALE_MMDB_OK;
}


/*
 * Reads the head of the value at "off".  If the answer is APISCALE_MMDB_OK,
 * the value is within the data, but for what a map or an array contains, or
 * a pointer leads to.
 */

static apiscale_mmdb_rc_e
apiscale_mmdb_decode(const unsigned char *data, size_t len, size_t off,
    apiscale_mmdb_value_t *v)
{
    size_t                i, n;
    uint32_t              ext;
    unsigned              ctrl;

    static const uint32_t  sizes[] = { 0, 29, 285, 65821 };
    static const uint32_t  targets[] = { 0, 2048, 526336, 0 };

    if (off >= len) {
        return APISCALE_MMDB_VALUE;
    }

    ctrl = data[off++];
    v->type = ctrl >> 5;

    if (v->type == 0) {

        if (off == len || data[off] == 0) {
            return APISCALE_MMDB_VALUE;
        }

        v->type = 7 + data[off++];
    }

    /* what follows: bytes of the pointer, or of a size that is not small */

    n = v->type == APISCALE_MMDB_POINTER ? (ctrl >> 3 & 3) + 1
        : (ctrl & 31) > 28 ? (ctrl & 31) - 28 : 0;

    if (len - off < n) {
        return APISCALE_MMDB_VALUE;
    }

    ext = 0;

    for (i = 0; i < n; i++) {
        ext = ext << 8 | data[off++];
    }

    if (v->type == APISCALE_MMDB_POINTER) {
        v->size = n == 4 ? ext
                  : ((uint32_t) (ctrl & 7) << 8 * n) + ext + targets[n - 1];
        v->next = off;
        return APISCALE_MMDB_OK;
    }

    v->size = n ? sizes[n] + ext : (ctrl & 31);
    v->next = off;

    if (v->type == APISCALE_MMDB_MAP || v->type == APISCALE_MMDB_ARRAY) {
        return APISCALE_MMDB_OK;
    }

    if (!apiscale_mmdb_size_ok(v->type, v->size)) {
        return APISCALE_MMDB_VALUE;
    }

    if (v->type == APISCALE_MMDB_BOOLEAN) {
        return APISCALE_MMDB_OK;
    }

    if (len - off < v->size) {
        return APISCALE_MMDB_VALUE;
    }

    v->next += v->size;

    return APISCALE_MMDB_OK;
}


/*
 * Decodes the value at *off, or the one that a pointer there leads to, which
 * is not a pointer in turn.  *off becomes where the value is, *next what is
 * behind it or behind the pointer.
 */

static apiscale_mmdb_rc_e
apiscale_mmdb_follow(const unsigned char *data, size_t len, size_t *off,
    size_t *next, apiscale_mmdb_value_t *v)
{
    if (apiscale_mmdb_decode(data, len, *off, v) != APISCALE_MMDB_OK) {
        return APISCALE_MMDB_VALUE;
    }

    *next = v->next;

    if (v->type != APISCALE_MMDB_POINTER) {
        return APISCALE_MMDB_OK;
    }

    *off = v->size;

    if (apiscale_mmdb_decode(data, len, *off, v) != APISCALE_MMDB_OK
        || v->type == APISCALE_MMDB_POINTER)
    {
        return APISCALE_MMDB_VALUE;
    }

    return APISCALE_MMDB_OK;
}


/* whether a scalar of this type may have this size; not for unknown types */

static int
apiscale_mmdb_size_ok(unsigned type, uint32_t size)
{
    switch (type) {

    case APISCALE_MMDB_STRING:
    case APISCALE_MMDB_BYTES:
        return 1;

    case APISCALE_MMDB_DOUBLE:
        return size == 8;

    case APISCALE_MMDB_FLOAT:
        return size == 4;

    case APISCALE_MMDB_UINT16:
        return size <= 2;

    case APISCALE_MMDB_UINT32:
    case APISCALE_MMDB_INT32:
        return size <= 4;

    case APISCALE_MMDB_UINT64:
        return size <= 8;

    case APISCALE_MMDB_UINT128:
        return size <= 16;

    case APISCALE_MMDB_BOOLEAN:
        return size <= 1;

    default:
        return 0;
    }
}
