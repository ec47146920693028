
/*
 * Copyright (C) apiscale authors
 */


/*
 * Whether the bytes of a file are a sound MaxMind DB (format 2.0), so that a
 * reader which trusts pointers and sizes cannot be led astray by them.
 * Pure C: depends on the standard headers alone; memory is the caller's.
 *
 * A file is accepted when all that a look-up can reach is in place: each path
 * of the search tree ends after at most 32 or 128 nodes, each of its records
 * leads to nothing or to a value within the data, and each value, with all
 * that it contains or points to, is complete, of a known type, free of loops
 * and nested no deeper than APISCALE_MMDB_DEPTH.
 *
 * Each node is visited once and each container about twice: time is linear
 * in the size of the file, for hostile ones as well.
 */


#ifndef APISCALE_MMDB_H_INCLUDED_
#define APISCALE_MMDB_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define APISCALE_MMDB_DEPTH   32          /* of values within values */
#define APISCALE_MMDB_VALUES  65536       /* of one record */


typedef enum {
    APISCALE_MMDB_OK = 0,
    APISCALE_MMDB_NO_METADATA,
    APISCALE_MMDB_METADATA,
    APISCALE_MMDB_FORMAT,
    APISCALE_MMDB_TREE_SIZE,
    APISCALE_MMDB_SEPARATOR,
    APISCALE_MMDB_TREE_LOOP,
    APISCALE_MMDB_TREE_DEPTH,
    APISCALE_MMDB_TREE_RECORD,
    APISCALE_MMDB_VALUE,
    APISCALE_MMDB_VALUE_LOOP,
    APISCALE_MMDB_VALUE_DEPTH,
    APISCALE_MMDB_VALUE_COUNT,
    APISCALE_MMDB_WORK
} apiscale_mmdb_rc_e;


/* points into the bytes of the file */

typedef struct {
    const unsigned char  *tree;
    uint32_t              nodes;
    unsigned              node_size;      /* bytes: 6, 7 or 8 */
    unsigned              bits;           /* of an address: 32 or 128 */

    const unsigned char  *data;
    size_t                data_len;

    const unsigned char  *type;           /* "GeoLite2-City" */
    size_t                type_len;
    uint64_t              build;          /* Unix time */
} apiscale_mmdb_t;


apiscale_mmdb_rc_e apiscale_mmdb_open(apiscale_mmdb_t *db,
    const unsigned char *file, size_t len);
size_t apiscale_mmdb_scratch(const apiscale_mmdb_t *db);
apiscale_mmdb_rc_e apiscale_mmdb_check(const apiscale_mmdb_t *db,
    unsigned char *scratch);
const char *apiscale_mmdb_error(apiscale_mmdb_rc_e rc);


#endif /* APISCALE_MMDB_H_INCLUDED_ */
