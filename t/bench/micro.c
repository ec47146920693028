
/*
 * Copyright (C) apiscale authors
 */


/*
 * What the algorithms of the limiter, of consumers and of the metrics take by
 * themselves, without nginx.  Prints lines of "name TAB value", which
 * tools/bench shows.
 *
 *     micro SCALE      1: a few seconds; 10: a tenth of that
 */


#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apiscale_consumers.h"
#include "apiscale_gcra.h"
#include "apiscale_histogram.h"
#include "apiscale_siphash.h"
#include "apiscale_table.h"
#include "apiscale_topk.h"


/* what a zone of 24m has for entries, behind its header and its slots */
#define MICRO_SETS     ((24 * 1024 * 1024 - 768 * 1024)                       \
                        / sizeof(apiscale_set_t))

#define MICRO_KEYS     1000000
#define MICRO_WARM     1000

/* the decision's clock goes on by 1 us: nobody is rejected */
#define MICRO_STEP     APISCALE_TICKS_PER_US


typedef struct {
    apiscale_table_t    table;
    apiscale_siphash_t  hash;
    apiscale_gcra_t     gcra;
    uint64_t            evicted_live;
} micro_t;


typedef struct {
    micro_t            *m;
    pthread_barrier_t  *start;
    uint64_t            n;
    uint64_t            lost;             /* races */
} micro_thread_t;


static volatile uint64_t  micro_sink;

static const unsigned char  micro_hot_key[5] = { 4, 127, 0, 0, 1 };


/* seconds: of the CPU, which neighbours do not change, or of the wall */

static double
micro_now(clockid_t clock)
{
    struct timespec  ts;

    clock_gettime(clock, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static void
micro_init(micro_t *m, uint64_t burst)
{
    static const uint64_t  secret[2] = { 0x0706050403020100ULL,
                                         0x0f0e0d0c0b0a0908ULL };

    m->evicted_live = 0;
    m->table.nsets = MICRO_SETS;
    m->table.evicted_live = &m->evicted_live;
    m->table.sets = aligned_alloc(64, MICRO_SETS * sizeof(apiscale_set_t));

    if (m->table.sets == NULL) {
        perror("aligned_alloc");
        exit(1);
    }

    memset(m->table.sets, 0, MICRO_SETS * sizeof(apiscale_set_t));

    apiscale_siphash_init(&m->hash, secret);
    apiscale_siphash_block(&m->hash, 1);

    m->gcra.burst = burst;
    m->gcra.interval = APISCALE_TICKS_PER_SEC;
}


static uint64_t
micro_fingerprint(const micro_t *m, const unsigned char *key, size_t len)
{
    return apiscale_table_fingerprint(apiscale_siphash_final(&m->hash, key,
                                                             len));
}


/*
 * A request's decision as the limiter takes it: hash, look up, check, charge.
 * Returns the races that were lost.
 */

static uint64_t
micro_decide(micro_t *m, const unsigned char *key, size_t len, uint64_t now)
{
    uint64_t                lost;
    apiscale_ref_t          ref;
    apiscale_clock_t        clock = { now, 0 };
    apiscale_gcra_result_t  res;

    ref.fingerprint = micro_fingerprint(m, key, len);

    apiscale_table_prefetch(&m->table, ref.fingerprint);

    for (lost = 0; /* void */ ; lost++) {
        apiscale_table_find(&m->table, ref.fingerprint, &ref);

        if (apiscale_gcra_check(&m->gcra, ref.state, now, 1, &res)
            == APISCALE_REJECT
            || apiscale_table_commit(&m->table, &ref, 0, res.tat, &clock)
               == APISCALE_TABLE_OK)
        {
            return lost;
        }
    }
}


/* the key of a client: a byte for the family and the address */

static void
micro_key(unsigned char key[5], uint32_t i)
{
    key[0] = 4;
    memcpy(key + 1, &i, 4);
}


static double
micro_keys(micro_t *m, uint64_t n, uint32_t nkeys, uint64_t now)
{
    double         start;
    uint32_t       x;
    uint64_t       i;
    unsigned char  key[5];

    x = 1;
    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        micro_key(key, (uint32_t) (((uint64_t) x * nkeys) >> 32));
        (void) micro_decide(m, key, sizeof(key), now + i * MICRO_STEP);
    }

    return (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) / n;
}


static void
micro_many(uint64_t n)
{
    double         start, took;
    micro_t        m;
    uint64_t       i, now, found;
    unsigned char  key[5];
    apiscale_ref_t ref;

    now = APISCALE_TICKS_PER_SEC;

    /* so much may be owed that no key is idle before the end */

    micro_init(&m, 1000000);

    micro_keys(&m, MICRO_WARM * 20, MICRO_WARM, now);
    took = micro_keys(&m, n, MICRO_WARM, now);
    printf("table: decisions, %u warm keys, one core\t%.1f M/s\n", MICRO_WARM,
           1e-6 / took);

    memset(m.table.sets, 0, MICRO_SETS * sizeof(apiscale_set_t));
    m.gcra.interval *= 1000;

    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < MICRO_KEYS; i++) {
        micro_key(key, i);
        (void) micro_decide(&m, key, sizeof(key), now + i);
    }

    took = (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) / MICRO_KEYS;
    printf("table: insertions, 1 M keys into 24 MB\t%.1f M/s\n", 1e-6 / took);

    found = 0;

    for (i = 0; i < MICRO_KEYS; i++) {
        micro_key(key, i);
        apiscale_table_find(&m.table, micro_fingerprint(&m, key, sizeof(key)),
                            &ref);
        found += (ref.entry != NULL);
    }

    printf("table: 1 M live keys found again\t%.4f %%\n",
           found * 100.0 / MICRO_KEYS);
    printf("table: evicted_live\t%" PRIu64 "\n", m.evicted_live);

    took = micro_keys(&m, n, MICRO_KEYS, now);
    printf("table: decisions, 1 M live keys, one core\t%.1f M/s\n",
           1e-6 / took);

    free(m.table.sets);
}


static void *
micro_hot_thread(void *data)
{
    micro_thread_t *t = data;

    uint64_t  i;

    pthread_barrier_wait(t->start);

    for (i = 0; i < t->n; i++) {
        t->lost += micro_decide(t->m, micro_hot_key, sizeof(micro_hot_key),
                                APISCALE_TICKS_PER_SEC);
    }

    return NULL;
}


/* each decision is admitted, and the state tells whether each was charged */

static void
micro_hot(uint64_t n)
{
    double             start, took;
    micro_t            m;
    unsigned           i, j;
    uint64_t           owed;
    pthread_t          id[2];
    micro_thread_t     t[2];
    apiscale_ref_t     ref;
    pthread_barrier_t  barrier;

    for (i = 1; i <= 2; i++) {
        micro_init(&m, 1000000000);
        m.gcra.interval = APISCALE_TICKS_PER_US;

        pthread_barrier_init(&barrier, NULL, i + 1);

        for (j = 0; j < i; j++) {
            t[j].m = &m;
            t[j].start = &barrier;
            t[j].n = n;
            t[j].lost = 0;

            if (pthread_create(&id[j], NULL, micro_hot_thread, &t[j]) != 0) {
                fprintf(stderr, "pthread_create() failed\n");
                exit(1);
            }
        }

        pthread_barrier_wait(&barrier);
        start = micro_now(CLOCK_MONOTONIC);

        for (j = 0; j < i; j++) {
            pthread_join(id[j], NULL);
        }

        took = (micro_now(CLOCK_MONOTONIC) - start) / (i * n);

        apiscale_table_find(&m.table,
                            micro_fingerprint(&m, micro_hot_key,
                                              sizeof(micro_hot_key)),
                            &ref);
        owed = (ref.state - APISCALE_TICKS_PER_SEC) / APISCALE_TICKS_PER_US;

        if (owed != i * n) {
            fprintf(stderr, "%" PRIu64 " charged, not %" PRIu64 "\n", owed,
                    i * n);
            exit(1);
        }

        printf("table: decisions, one hot key, %u thread%s\t%.1f M/s", i,
               i > 1 ? "s" : "", 1e-6 / took);

        if (i > 1) {
            printf(", %.1f %% lost a race",
                   (t[0].lost + t[1].lost) * 100.0 / (i * n));
        }

        printf("\n");

        free(m.table.sets);
    }
}


static void
micro_siphash(uint64_t n, size_t len)
{
    double              start;
    uint64_t            i;
    unsigned char       key[32];
    apiscale_siphash_t  s;

    static const uint64_t  secret[2] = { 1, 2 };

    memset(key, 7, sizeof(key));
    apiscale_siphash_init(&s, secret);

    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < n; i++) {
        key[1] = (unsigned char) apiscale_siphash_final(&s, key, len);
    }

    micro_sink = key[1];

    printf("siphash of %zu bytes\t%.1f ns\n", len,
           (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / n);
}


static void
micro_histogram(uint64_t n)
{
    double           start;
    uint32_t         x;
    uint64_t         i;
    static uint64_t  buckets[APISCALE_HIST_BUCKETS];

    x = 1;
    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        __atomic_fetch_add(&buckets[apiscale_hist_index(x >> 12)], 1,
                           __ATOMIC_RELAXED);
    }

    printf("histogram: record\t%.1f ns\n",
           (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / n);
}


/* one key that is there, and keys of which nearly each replaces another */

static void
micro_topk(uint64_t n)
{
    char             text[16];
    double           start;
    uint64_t         i, x;
    apiscale_topk_t  t;

    enum { nsets = 128 };

    apiscale_topk_init(&t, aligned_alloc(64, apiscale_topk_size(nsets, 1)),
                       nsets, 1);

    if (t.sets == NULL) {
        perror("aligned_alloc");
        exit(1);
    }

    memset(t.sets, 0, apiscale_topk_size(nsets, 1));
    memset(text, 'k', sizeof(text));

    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < n; i++) {
        apiscale_topk_add(&t, 0, 0x123456789abcdef0ULL, text, sizeof(text), 1);
    }

    printf("top keys: add, hot key\t%.1f ns\n",
           (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / n);

    x = 1;
    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < n / 4; i++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        apiscale_topk_add(&t, 0, x, text, sizeof(text), 1);
    }

    printf("top keys: add, a new key each time\t%.1f ns\n",
           (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / (n / 4));

    free(t.sets);
}


/* the digest of key "i", which is as good as random */

static void
micro_digest(uint64_t i, unsigned char digest[APISCALE_CONSUMERS_DIGEST])
{
    int  k;

    for (k = 0; k < APISCALE_CONSUMERS_DIGEST; k += 8) {
        i = (i ^ i >> 31) * 0x9e3779b97f4a7c15ULL + 1;
        memcpy(digest + k, &i, 8);
    }
}


static void *
micro_alloc(size_t n, size_t size)
{
    void  *p;

    p = calloc(n, size);
    if (p == NULL) {
        perror("calloc");
        exit(1);
    }

    return p;
}


static void *
micro_consumers_image(size_t *size)
{
    int                           len;
    char                          id[24];
    void                         *image;
    uint32_t                      i, record;
    unsigned char                 digest[APISCALE_CONSUMERS_DIGEST];
    apiscale_consumers_t          c;
    apiscale_consumers_builder_t  b;

    memset(&b, 0, sizeof(b));

    b.seed[0] = 0x736f6d6570736575ULL;
    b.max = 64 * MICRO_KEYS;
    b.records = micro_alloc(b.max, 1);
    b.max_keys = MICRO_KEYS;
    b.keys = micro_alloc(MICRO_KEYS, sizeof(apiscale_consumers_key_t));
    b.ids.size = b.names.size = b.digests.size = 1 << 21;
    b.ids.slots = micro_alloc(1 << 21, sizeof(uint32_t));
    b.names.slots = micro_alloc(1 << 21, sizeof(uint32_t));
    b.digests.slots = micro_alloc(1 << 21, sizeof(uint32_t));

    for (i = 0; i < MICRO_KEYS; i++) {
        len = snprintf(id, sizeof(id), "consumer-%u", i);
        c.id.data = (unsigned char *) id;
        c.id.len = (size_t) len;
        c.plan.data = (const unsigned char *) "pro";
        c.plan.len = 3;
        c.version.len = 0;

        micro_digest(i, digest);
        (void) apiscale_consumers_add(&b, &c);
        (void) apiscale_consumers_add_key(&b, digest, &record);
    }

    *size = apiscale_consumers_size(&b);
    image = micro_alloc(*size, 1);
    apiscale_consumers_write(&b, image);

    free(b.records);
    free(b.keys);
    free(b.ids.slots);
    free(b.names.slots);
    free(b.digests.slots);

    return image;
}


/* without SHA-256, which OpenSSL computes */

static void
micro_consumers(uint64_t n)
{
    void                        *image;
    double                       start;
    size_t                       size;
    uint64_t                     i, x;
    unsigned char                digest[APISCALE_CONSUMERS_DIGEST];
    apiscale_consumers_t         c;
    apiscale_consumers_image_t   im;

    image = micro_consumers_image(&size);

    x = 1;
    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < n; i++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        micro_digest((x >> 33) % MICRO_KEYS, digest);
        (void) apiscale_consumers_open(&im, image, size);
        (void) apiscale_consumers_get(im.records, im.size,
                                      apiscale_consumers_find(&im, digest),
                                      &c);
        micro_sink += c.id.data[c.id.len - 1];
    }

    printf("consumers: look-up, one key of a million\t%.1f ns\n",
           (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / n);
    printf("consumers: memory of one of a million\t%.1f bytes\n",
           (double) size / MICRO_KEYS);

    free(image);
}


/* not ours, but paid once for each decision and three times by metrics */

static void
micro_clock(uint64_t n)
{
    double           start;
    uint64_t         i;
    struct timespec  ts;

    start = micro_now(CLOCK_PROCESS_CPUTIME_ID);

    for (i = 0; i < n; i++) {
        clock_gettime(CLOCK_MONOTONIC, &ts);
    }

    printf("clock_gettime(CLOCK_MONOTONIC)\t%.1f ns\n",
           (micro_now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / n);
}


int
main(int argc, char **argv)
{
    uint64_t  scale;

    scale = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;

    if (scale == 0) {
        fprintf(stderr, "usage: micro SCALE\n");
        return 1;
    }

    micro_many(20000000 / scale);
    micro_hot(20000000 / scale);
    micro_siphash(50000000 / scale, 5);
    micro_siphash(50000000 / scale, 17);
    micro_histogram(50000000 / scale);
    micro_topk(50000000 / scale);
    micro_consumers(5000000 / scale);
    micro_clock(20000000 / scale);

    return 0;
}
