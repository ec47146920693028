
/*
 * Copyright (C) apiscale authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "apiscale_topk.h"


#define MAXKEYS  20000


static uint64_t  seed = 0x9e3779b97f4a7c15;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static void *
shared(size_t size)
{
    void  *p;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);
    assert_true(p != MAP_FAILED);

    return p;
}


static apiscale_topk_t
topk_make(uint32_t nsets, uint32_t nlanes)
{
    apiscale_topk_t  t;

    apiscale_topk_init(&t, shared(apiscale_topk_size(nsets, nlanes)), nsets,
                       nlanes);

    return t;
}


static void
topk_free(apiscale_topk_t *t)
{
    munmap(t->sets, apiscale_topk_size(t->nsets, t->nlanes));
}


/* a fingerprint that tells the key, and the key's text, of 3 to 60 bytes */

static uint64_t
fingerprint(unsigned key)
{
    uint64_t  x;

    x = (key + 1) * 0x9e3779b97f4a7c15ULL;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ULL;

    return x ^ x >> 32;
}


static size_t
text(unsigned key, char buf[64])
{
    size_t  len;

    len = 3 + key % 58;

    memset(buf, 'a' + key % 26, 64);
    buf[0] = (char) (key & 0xff);
    buf[1] = (char) (key >> 8 & 0xff);
    buf[2] = (char) (key >> 16 & 0xff);

    return len;
}


static void
add(apiscale_topk_t *t, uint32_t lane, unsigned key, uint64_t n)
{
    char    buf[64];
    size_t  len;

    len = text(key, buf);

    apiscale_topk_add(t, lane, fingerprint(key), buf, len, n);
}


/* the key that an item's text tells of; it must be of that text as a whole */

static unsigned
key_of(const apiscale_topk_item_t *item)
{
    char      buf[64];
    size_t    len, kept;
    unsigned  key, i;

    assert_true(item->known);

    key = item->text[0] | item->text[1] << 8 | item->text[2] << 16;
    len = text(key, buf);
    kept = len < APISCALE_TOPK_TEXT ? len : APISCALE_TOPK_TEXT;

    assert_int_equal(item->len, len);
    assert_memory_equal(item->text, buf, kept);

    for (i = kept; i < APISCALE_TOPK_TEXT; i++) {
        assert_int_equal(item->text[i], 0);
    }

    assert_int_equal(item->key, apiscale_topk_key(fingerprint(key)));

    return key;
}


static uint64_t
sum_of(const apiscale_topk_t *t)
{
    size_t    i;
    unsigned  j;
    uint64_t  sum;

    sum = 0;

    for (i = 0; i < (size_t) t->nsets * t->nlanes; i++) {
        for (j = 0; j < APISCALE_TOPK_WAYS; j++) {
            sum += t->sets[i].entries[j].count & APISCALE_TOPK_MAX;
        }
    }

    return sum;
}


static void
test_few(void **state)
{
    unsigned              i, n;
    apiscale_topk_t       t;
    apiscale_topk_item_t  out[10];

    (void) state;

    t = topk_make(1, 1);

    assert_int_equal(sizeof(apiscale_topk_entry_t), 16);
    assert_int_equal(sizeof(apiscale_topk_set_t), 640);
    assert_int_equal(apiscale_topk_list(&t, out, 10), 0);

    for (i = 0; i < 8; i++) {
        add(&t, 0, i, i + 1);
        add(&t, 0, i, 0);
        add(&t, 0, i, 10);
    }

    add(&t, 0, 8, 0);

    n = apiscale_topk_list(&t, out, 10);
    assert_int_equal(n, 8);

    for (i = 0; i < 8; i++) {
        assert_int_equal(key_of(&out[i]), 7 - i);
        assert_int_equal(out[i].count, 18 - i);
        assert_int_equal(out[i].error, 0);
    }

    /* the ninth takes the place of the least, which had 11 */

    add(&t, 0, 8, 9);
    n = apiscale_topk_list(&t, out, 10);
    assert_int_equal(n, 8);
    assert_int_equal(key_of(&out[0]), 8);
    assert_int_equal(out[0].count, 20);
    assert_int_equal(out[0].error, 11);
    assert_int_equal(key_of(&out[7]), 1);

    /* as many as there is room for */

    assert_int_equal(apiscale_topk_list(&t, out, 2), 2);
    assert_int_equal(key_of(&out[0]), 8);
    assert_int_equal(key_of(&out[1]), 7);
    assert_int_equal(apiscale_topk_list(&t, out, 0), 0);

    topk_free(&t);
}


static void
test_texts(void **state)
{
    char                  key[64];
    unsigned              i;
    uint64_t              fp;
    apiscale_topk_t       t;
    apiscale_topk_item_t  item;

    (void) state;

    memset(key, 'k', sizeof(key));

    for (i = 0; i <= sizeof(key); i++) {
        t = topk_make(1, 1);
        fp = rnd();

        apiscale_topk_add(&t, 0, fp, i ? key : NULL, i, 1);
        assert_int_equal(apiscale_topk_list(&t, &item, 1), 1);
        assert_true(item.known);
        assert_int_equal(item.len, i);
        assert_memory_equal(item.text, key, i < 48 ? i : 48);

        if (i < 48) {
            assert_int_equal(item.text[i], 0);
        }

        topk_free(&t);
    }

    /* fingerprints of which nothing is left, or nothing but one bit */

    t = topk_make(3, 1);
    apiscale_topk_add(&t, 0, 0, "a", 1, 1);
    apiscale_topk_add(&t, 0, 0xffff, "a", 1, 1);
    apiscale_topk_add(&t, 0, UINT64_MAX, "b", 1, 1);
    assert_int_equal(sum_of(&t), 3);
    assert_int_equal(apiscale_topk_list(&t, &item, 1), 1);
    assert_int_equal(item.count, 2);
    assert_int_equal(item.text[0], 'a');
    topk_free(&t);
}


/* what was torn, or is another key's, is not shown, and is written again */

static void
test_lost_text(void **state)
{
    unsigned               i;
    unsigned char         *label;
    apiscale_topk_t        t;
    apiscale_topk_item_t   item;

    (void) state;

    t = topk_make(1, 1);
    label = (unsigned char *) &t.sets[0].labels[0];

    add(&t, 0, 1, 2);
    add(&t, 0, 2, 1);

    for (i = 0; i < sizeof(apiscale_topk_label_t) * 8; i++) {
        label[i / 8] ^= 1 << i % 8;
        assert_int_equal(apiscale_topk_list(&t, &item, 1), 1);
        assert_int_equal(item.count, 2);
        assert_false(item.known);

        label[i / 8] ^= 1 << i % 8;
        assert_int_equal(apiscale_topk_list(&t, &item, 1), 1);
        assert_int_equal(key_of(&item), 1);
    }

    t.sets[0].labels[0] = t.sets[0].labels[1];

    for (i = 3; i < APISCALE_TOPK_REFRESH; i++) {
        add(&t, 0, 1, 1);
        assert_int_equal(apiscale_topk_list(&t, &item, 1), 1);
        assert_int_equal(item.count, i);
        assert_false(item.known);
    }

    add(&t, 0, 1, 1);
    assert_int_equal(apiscale_topk_list(&t, &item, 1), 1);
    assert_int_equal(key_of(&item), 1);

    topk_free(&t);
}


/* counts end at 2^40 - 1, and errors with them */

static void
test_saturation(void **state)
{
    unsigned              i;
    apiscale_topk_t       t;
    apiscale_topk_item_t  out[8];

    (void) state;

    t = topk_make(1, 1);

    add(&t, 0, 0, UINT64_MAX);
    add(&t, 0, 0, 1);
    add(&t, 0, 1, APISCALE_TOPK_MAX - 1);
    add(&t, 0, 1, 1);
    add(&t, 0, 1, 1);
    add(&t, 0, 2, APISCALE_TOPK_MAX - 5);
    add(&t, 0, 2, 100);

    assert_int_equal(apiscale_topk_list(&t, out, 8), 3);

    for (i = 0; i < 3; i++) {
        assert_int_equal(out[i].count, APISCALE_TOPK_MAX);
        assert_int_equal(out[i].error, 0);
        (void) key_of(&out[i]);
    }

    for (i = 3; i < 7; i++) {
        add(&t, 0, i, UINT64_MAX);
    }

    /* the last place: an error of nearly 2^40, which takes both halves */

    add(&t, 0, 7, APISCALE_TOPK_MAX - 3);
    add(&t, 0, 8, 2);

    assert_int_equal(apiscale_topk_list(&t, out, 8), 8);
    assert_int_equal(key_of(&out[7]), 8);
    assert_int_equal(out[7].count, APISCALE_TOPK_MAX - 1);
    assert_int_equal(out[7].error, APISCALE_TOPK_MAX - 3);

    add(&t, 0, 9, 7);
    add(&t, 0, 10, 7);

    assert_int_equal(apiscale_topk_list(&t, out, 8), 8);
    assert_int_equal(sum_of(&t), 8 * APISCALE_TOPK_MAX);

    for (i = 0; i < 8; i++) {
        assert_int_not_equal(key_of(&out[i]), 10);
        assert_int_equal(out[i].error, key_of(&out[i]) == 9
                                       ? APISCALE_TOPK_MAX - 1 : 0);
    }

    topk_free(&t);
}


/*
 * A plain model: the true number of each key, and what was added to each set.
 */

typedef struct {
    uint64_t  keys[MAXKEYS];
    uint64_t  sets[64];
} model_t;


static unsigned
set_of(const apiscale_topk_t *t, unsigned key)
{
    return apiscale_topk_set(t, 0, apiscale_topk_key(fingerprint(key)))
           - t->sets;
}


/* every key listed is within its bounds, every key that must be is listed */

static void
check(apiscale_topk_t *t, const model_t *m)
{
    static unsigned char          listed[MAXKEYS];
    static apiscale_topk_item_t   out[APISCALE_TOPK_WAYS * 8 * 64];

    unsigned  i, n, key;

    n = apiscale_topk_list(t, out, sizeof(out) / sizeof(out[0]));
    memset(listed, 0, sizeof(listed));

    for (i = 0; i < n; i++) {
        key = key_of(&out[i]);

        assert_false(listed[key]);
        listed[key] = 1;

        assert_true(i == 0 || out[i].count <= out[i - 1].count);
        assert_true(out[i].count >= m->keys[key]);
        assert_true(out[i].error <= out[i].count);
        assert_true(out[i].count - out[i].error <= m->keys[key]);
    }

    for (key = 0; key < MAXKEYS; key++) {
        if (m->keys[key] > m->sets[set_of(t, key)] / APISCALE_TOPK_WAYS) {
            assert_true(listed[key]);
        }
    }
}


static void
stream(uint32_t nsets, uint32_t nlanes, unsigned nkeys, double exponent)
{
    static double    up_to[MAXKEYS];
    static model_t   m;

    double           x, all;
    unsigned         i, lo, hi, n;
    uint64_t         sum;
    apiscale_topk_t  t;

    memset(&m, 0, sizeof(m));
    t = topk_make(nsets, nlanes);

    for (i = 0, all = 0; i < nkeys; i++) {
        all += pow(i + 1, -exponent);
        up_to[i] = all;
    }

    for (i = 0, sum = 0; i < 200000; i++) {

        x = rnd() % (1 << 30) * all / (1 << 30);

        for (lo = 0, hi = nkeys - 1; lo < hi; /* void */ ) {
            if (up_to[(lo + hi) / 2] > x) {
                hi = (lo + hi) / 2;

            } else {
                lo = (lo + hi) / 2 + 1;
            }
        }

        n = rnd() % 16 ? 1 : rnd() % 100;

        add(&t, rnd(), lo, n);
        m.keys[lo] += n;
        m.sets[set_of(&t, lo)] += n;
        sum += n;

        if (i % 20000 == 0) {
            check(&t, &m);
            assert_int_equal(sum_of(&t), sum);
        }
    }

    check(&t, &m);
    assert_int_equal(sum_of(&t), sum);

    topk_free(&t);
}


static void
test_model(void **state)
{
    (void) state;

    stream(1, 1, 9, 0);
    stream(1, 1, 100, 1);
    stream(16, 1, MAXKEYS, 0);
    stream(16, 1, MAXKEYS, 0.8);
    stream(64, 1, MAXKEYS, 1.2);
    stream(16, 4, MAXKEYS, 1.2);
    stream(3, 8, 1000, 1);
}


/* the keys that matter are told in their order, from little memory */

static void
test_zipf(void **state)
{
    unsigned              i, k;
    apiscale_topk_t       t;
    apiscale_topk_item_t  out[10];

    (void) state;

    t = topk_make(64, 2);

    for (i = 0; i < 1000000; i++) {

        /* P(k) falls as 1 / (k + 1)^2 */

        k = (unsigned) (1 / ((rnd() % (1 << 24) + 1.0) / (1 << 24))) - 1;
        add(&t, i, k % MAXKEYS, 1);
    }

    assert_int_equal(apiscale_topk_list(&t, out, 10), 10);

    for (i = 0; i < 10; i++) {
        assert_int_equal(key_of(&out[i]), i);
        assert_in_range(out[i].count, 1000000 / ((i + 1) * (i + 2)) * 97 / 100,
                        1000000 / ((i + 1) * (i + 2)) * 103 / 100 + 500);
    }

    topk_free(&t);
}


/* lanes: bounds of a key that one lane has let go of */

static void
test_lanes(void **state)
{
    unsigned              i, key;
    apiscale_topk_t       t;
    apiscale_topk_item_t  out[64];

    (void) state;

    t = topk_make(1, 4);

    add(&t, 0, 100, 50);
    add(&t, 5, 100, 7);
    add(&t, 2, 101, 20);

    assert_int_equal(apiscale_topk_list(&t, out, 64), 2);
    assert_int_equal(key_of(&out[0]), 100);
    assert_int_equal(out[0].count, 57);
    assert_int_equal(out[0].error, 0);
    assert_int_equal(key_of(&out[1]), 101);
    assert_int_equal(out[1].count, 20);

    /* eight others drive it out of lane 1 */

    for (i = 0; i < 8; i++) {
        add(&t, 1, i, 10);
    }

    assert_int_equal(apiscale_topk_list(&t, out, 64), 10);
    assert_int_equal(key_of(&out[0]), 100);
    assert_int_equal(out[0].count, 60);
    assert_int_equal(out[0].error, 10);

    for (i = 1; i < 10; i++) {
        key = key_of(&out[i]);

        assert_int_equal(out[i].count, key == 101 ? 30 : key == 7 ? 17 : 10);
        assert_int_equal(out[i].error, key == 101 ? 10 : key == 7 ? 7 : 0);
    }

    topk_free(&t);
}


/*
 * Processes that add to one lane: to fewer keys than there are counters, whose
 * counts are exact, or to many.  This process lists meanwhile, and never sees
 * the text of another key.
 */

static void
hammer(uint32_t nsets, unsigned nkeys)
{
    enum { procs = 3, adds = 150000 };

    int                            p, st, left;
    pid_t                          pids[procs], pid;
    unsigned                       i, n, key;
    uint64_t                     (*made)[MAXKEYS], *go;
    apiscale_topk_t                t;
    static model_t                 m;
    static apiscale_topk_item_t    out[64 * APISCALE_TOPK_WAYS];

    t = topk_make(nsets, 1);
    made = shared(procs * sizeof(*made) + sizeof(uint64_t));
    go = &made[procs][0];

    for (p = 0; p < procs; p++) {
        pids[p] = fork();

        if (pids[p] == 0) {
            seed += p * 0x123456789abcdefULL;

            while (!__atomic_load_n(go, __ATOMIC_ACQUIRE)) { /* void */ }

            for (i = 0; i < adds; i++) {
                key = rnd() % nkeys;
                key = rnd() % (key + 1);
                add(&t, 0, key, 1);
                made[p][key]++;
            }

            _exit(0);
        }
    }

    __atomic_store_n(go, 1, __ATOMIC_RELEASE);

    for (left = procs; left; /* void */ ) {
        n = apiscale_topk_list(&t, out, sizeof(out) / sizeof(out[0]));

        for (i = 0; i < n; i++) {
            if (out[i].known) {
                (void) key_of(&out[i]);
            }
        }

        while (left && (pid = waitpid(-1, &st, WNOHANG)) > 0) {
            assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 0);
            left--;
        }
    }

    memset(&m, 0, sizeof(m));

    for (p = 0; p < procs; p++) {
        for (key = 0; key < nkeys; key++) {
            m.keys[key] += made[p][key];
            m.sets[set_of(&t, key)] += made[p][key];
        }
    }

    assert_int_equal(sum_of(&t), procs * adds);

    /* the last who wrote a text may have been the slowest */

    n = apiscale_topk_list(&t, out, sizeof(out) / sizeof(out[0]));

    for (i = 0; i < n; i++) {
        if (!out[i].known) {
            for (key = 0; apiscale_topk_key(fingerprint(key)) != out[i].key;
                 key++) { /* void */ }

            add(&t, 0, key, APISCALE_TOPK_REFRESH);
            m.keys[key] += APISCALE_TOPK_REFRESH;
            m.sets[set_of(&t, key)] += APISCALE_TOPK_REFRESH;
        }
    }

    check(&t, &m);

    if (nkeys <= APISCALE_TOPK_WAYS) {
        assert_int_equal(n, nkeys);

        for (i = 0; i < n; i++) {
            assert_int_equal(out[i].error, 0);
        }
    }

    munmap(made, procs * sizeof(*made) + sizeof(uint64_t));
    topk_free(&t);
}


static void
test_hammer(void **state)
{
    (void) state;

    hammer(1, 1);
    hammer(1, 8);
    hammer(1, 9);
    hammer(1, 40);
    hammer(8, 500);
}


/* one instruction of a traced process; 0 when it has ended */

static int
step(pid_t pid)
{
    int  st;

    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0) {
        fail_msg("PTRACE_SINGLESTEP failed");
    }

    assert_int_equal(waitpid(pid, &st, 0), pid);

    if (WIFEXITED(st)) {
        assert_int_equal(WEXITSTATUS(st), 0);
        return 0;
    }

    assert_true(WIFSTOPPED(st));
    assert_int_equal(WSTOPSIG(st), SIGTRAP);

    return 1;
}


/*
 * What a SIGKILL leaves after each instruction of an addition that replaces an
 * entry: the key is counted or is not, its text is whole or is not shown, and
 * whoever comes next counts on.
 */

static void
test_kill(void **state)
{
    int                   alive, st;
    pid_t                 pid;
    unsigned              i, n, steps, counted, named;
    apiscale_topk_t       t, left;
    apiscale_topk_item_t  out[8];

    (void) state;

    t = topk_make(1, 1);
    left = topk_make(1, 1);

    for (i = 0; i < 8; i++) {
        add(&t, 0, i, 10 + i);
    }

    pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        add(&t, 0, 8, 100);
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFSTOPPED(st));

    steps = 0;
    counted = 0;
    named = 0;

    do {
        alive = step(pid);
        steps++;

        memcpy(left.sets, t.sets, sizeof(apiscale_topk_set_t));

        n = apiscale_topk_list(&left, out, 8);
        assert_int_equal(n, 8);

        if (out[0].count == 110) {
            counted++;
            assert_int_equal(out[0].error, 10);
            assert_int_equal(out[0].key, apiscale_topk_key(fingerprint(8)));

            if (out[0].known) {
                named++;
                assert_int_equal(key_of(&out[0]), 8);
            }

            for (i = 1; i < 8; i++) {
                assert_int_equal(key_of(&out[i]), 8 - i);
            }

        } else {
            assert_int_equal(counted, 0);

            for (i = 0; i < 8; i++) {
                assert_int_equal(key_of(&out[i]), 7 - i);
            }
        }

        add(&left, 0, 8, 1000);
        assert_int_equal(sum_of(&left),
                         80 + 28 + 1000 + (counted ? 100 : 0));

    } while (alive);

    assert_true(steps > 100);
    assert_true(counted > named && named > 0);

    topk_free(&t);
    topk_free(&left);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_lost_text),
        cmocka_unit_test(test_saturation),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_zipf),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_hammer),
        cmocka_unit_test(test_kill),
    };

    return cmocka_run_group_tests_name("topk", tests, NULL, NULL);
}
