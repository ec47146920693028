
/*
 * Copyright (C) apiscale authors
 */


/*
 * What the check accepts is read by a reader that checks nothing, in memory
 * that is exactly as long as the file.
 */

#include <stdlib.h>
#include <string.h>

#include "apiscale_mmdb.h"


#define CHECK(x)  if (!(x)) { abort(); }


/* values that are read of a record: shared ones could be very many */
#define STEPS     20000


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const apiscale_mmdb_t *db, const unsigned char *addr);
static uint32_t record(const apiscale_mmdb_t *db, uint32_t node, int side);
static const unsigned char *read_value(const apiscale_mmdb_t *db,
    const unsigned char *p, unsigned depth, unsigned *steps);

/* what was read has to be used, or it is not read */
static volatile unsigned  sum;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t              i, n;
    unsigned char      *copy, *scratch, addr[16];
    apiscale_mmdb_t     db;
    apiscale_mmdb_rc_e  rc;

    copy = malloc(size ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);

    rc = apiscale_mmdb_open(&db, copy, size);
    CHECK(apiscale_mmdb_error(rc) != NULL);

    if (rc != APISCALE_MMDB_OK) {
        free(copy);
        return 0;
    }

    CHECK(db.bits == 32 || db.bits == 128);
    CHECK(db.tree == copy && db.data + db.data_len <= copy + size);
    CHECK(db.type + db.type_len <= copy + size);

    n = apiscale_mmdb_scratch(&db);
    CHECK(n <= size / 2 + 1);

    scratch = malloc(n);
    CHECK(scratch != NULL);

    rc = apiscale_mmdb_check(&db, scratch);

    /* it does not depend on what was there */
    memset(scratch, 0xa5, n);
    CHECK(apiscale_mmdb_check(&db, scratch) == rc);

    if (rc == APISCALE_MMDB_OK) {

        for (n = 0; n < 64; n++) {
            for (i = 0; i < 16; i++) {
                addr[i] = n == 0 ? 0 : n == 1 ? 0xff
                          : (unsigned char) (data[(n * 16 + i) % size] ^ n);
            }

            look_up(&db, addr);
        }
    }

    free(scratch);
    free(copy);

    return 0;
}


static void
look_up(const apiscale_mmdb_t *db, const unsigned char *addr)
{
    unsigned  bit, steps;
    uint32_t  node;

    node = 0;

    for (bit = 0; node < db->nodes; bit++) {
        CHECK(bit < db->bits);
        node = record(db, node, addr[bit / 8] >> (7 - bit % 8) & 1);
    }

    if (node == db->nodes) {
        return;
    }

    steps = 0;
    (void) read_value(db, db->data + (node - db->nodes - 16), 0, &steps);
}


static uint32_t
record(const apiscale_mmdb_t *db, uint32_t node, int side)
{
    const unsigned char  *p;

    p = db->tree + (size_t) node * db->node_size;

    if (db->node_size == 6) {
        p += side ? 3 : 0;
        return (uint32_t) (p[0] * 65536 + p[1] * 256 + p[2]);
    }

    if (db->node_size == 7) {
        return side ? (p[3] & 15u) << 24 | (uint32_t) p[4] << 16
                      | (uint32_t) p[5] << 8 | p[6]
                    : (uint32_t) (p[3] >> 4) << 24 | (uint32_t) p[0] << 16
                      | (uint32_t) p[1] << 8 | p[2];
    }

    p += side ? 4 : 0;

    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


/* returns what is behind the value */

static const unsigned char *
read_value(const apiscale_mmdb_t *db, const unsigned char *p, unsigned depth,
    unsigned *steps)
{
    unsigned  type, ctrl, n;
    uint32_t  size, i;

    /* pointers to what was seen before are not counted as depth */
    CHECK(depth < 100000);

    ctrl = *p++;
    type = ctrl >> 5;

    if (++*steps > STEPS) {
        return p;
    }

    if (type == 1) {
        n = (ctrl >> 3 & 3) + 1;
        size = n == 4 ? 0 : ctrl & 7;

        for (i = 0; i < n; i++) {
            size = size << 8 | *p++;
        }

        size += n == 2 ? 2048 : n == 3 ? 526336 : 0;
        CHECK(db->data[size] >> 5 != 1);
        (void) read_value(db, db->data + size, depth + 1, steps);
        return p;
    }

    if (type == 0) {
        type = *p++ + 7;
    }

    size = ctrl & 31;

    if (size > 28) {
        n = size - 28;
        size = n == 1 ? 29 : n == 2 ? 285 : 65821;

        for (ctrl = 0, i = 0; i < n; i++) {
            ctrl = ctrl << 8 | *p++;
        }

        size += ctrl;
    }

    switch (type) {

    case 7:
    case 11:
        for (i = 0; i < (type == 7 ? 2 * size : size) && *steps < STEPS; i++) {
            p = read_value(db, p, depth + 1, steps);
        }

        return p;

    case 14:
        CHECK(size < 2);
        return p;

    default:
        CHECK(type != 12 && type != 13 && type < 16);

        for (i = 0; i < size; i++) {
            sum += *p++;
        }

        return p;
    }
}
