
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

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "apiscale_gcra.h"
#include "apiscale_table.h"


#define SEC  APISCALE_TICKS_PER_SEC

#define AT(t)  (&(apiscale_clock_t) { .mono = (t) })


static uint64_t  seed = 0x9e3779b97f4a7c15;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


/* a table in memory that forked processes share */

static apiscale_table_t
table_make(uint32_t nsets)
{
    size_t            size;
    apiscale_table_t  t;

    size = nsets * sizeof(apiscale_set_t);

    t.sets = mmap(NULL, size + 64, PROT_READ|PROT_WRITE,
                  MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    assert_true(t.sets != MAP_FAILED);
    assert_true(nsets >= 2);

    t.nsets = nsets;
    t.evicted_live = (uint64_t *) ((char *) t.sets + size);

    return t;
}


static void
table_free(apiscale_table_t *t)
{
    munmap(t->sets, t->nsets * sizeof(apiscale_set_t) + 64);
}


/* how many settled entries a key has */

static unsigned
table_settled(apiscale_table_t *t, uint64_t fingerprint)
{
    uint32_t  i;
    unsigned  j, n;
    uint64_t  key;

    n = 0;

    for (i = 0; i < t->nsets; i++) {
        for (j = 0; j < APISCALE_TABLE_WAYS; j++) {
            key = t->sets[i].entries[j].key;

            if ((key & ~APISCALE_KEY_GENERATION) == fingerprint) {
                n++;
            }
        }
    }

    return n;
}


/* charges one request as the limiter does; 1 if it was admitted */

static int
charge(apiscale_table_t *t, uint64_t fingerprint, apiscale_gcra_t *g,
    uint64_t now)
{
    apiscale_ref_t          ref;
    apiscale_gcra_result_t  res;

    do {
        apiscale_table_find(t, fingerprint, &ref);

        if (apiscale_gcra_check(g, ref.state, now, 1, &res)
            == APISCALE_REJECT)
        {
            return 0;
        }

    } while (apiscale_table_commit(t, &ref, 0, res.tat, AT(now))
             != APISCALE_TABLE_OK);

    return 1;
}


static void
test_find_and_commit(void **state)
{
    uint64_t          fp;
    apiscale_ref_t    ref, stale;
    apiscale_table_t  t;

    (void) state;

    t = table_make(8);
    fp = apiscale_table_fingerprint(0);
    assert_int_not_equal(fp, 0);
    assert_int_equal(fp & APISCALE_KEY_FLAGS, 0);

    fp = apiscale_table_fingerprint(rnd());

    apiscale_table_find(&t, fp, &ref);
    assert_null(ref.entry);
    assert_int_equal(ref.state, 0);

    /* nothing owed is not stored */

    assert_int_equal(apiscale_table_commit(&t, &ref, 0, 100, AT(100)),
                     APISCALE_TABLE_OK);
    assert_int_equal(table_settled(&t, fp), 0);

    stale = ref;
    assert_int_equal(apiscale_table_commit(&t, &ref, 3, 200, AT(100)),
                     APISCALE_TABLE_OK);

    apiscale_table_find(&t, fp, &ref);
    assert_non_null(ref.entry);
    assert_int_equal(ref.state, 200);
    assert_int_equal(ref.key & APISCALE_KEY_GENERATION, 3);

    /* who found it absent, or as it was, has to look again */

    assert_int_equal(apiscale_table_commit(&t, &stale, 0, 150, AT(100)),
                     APISCALE_TABLE_AGAIN);

    stale = ref;
    assert_int_equal(apiscale_table_commit(&t, &ref, 4, 300, AT(100)),
                     APISCALE_TABLE_OK);
    assert_int_equal(apiscale_table_commit(&t, &stale, 4, 250, AT(100)),
                     APISCALE_TABLE_AGAIN);

    apiscale_table_find(&t, fp, &ref);
    assert_int_equal(ref.state, 300);
    assert_int_equal(ref.key & APISCALE_KEY_GENERATION, 4);
    assert_int_equal(table_settled(&t, fp), 1);
    assert_int_equal(*t.evicted_live, 0);

    table_free(&t);
}


/* idle entries go first; then the live one that owes least, and it counts */

static void
test_eviction(void **state)
{
    unsigned          i;
    uint64_t          fps[9];
    apiscale_ref_t    ref;
    apiscale_table_t  t;

    (void) state;

    /* two sets: one for each half, and so the same two for each key */

    t = table_make(2);

    for (i = 0; i < 9; i++) {
        fps[i] = apiscale_table_fingerprint(rnd());
    }

    for (i = 0; i < 8; i++) {
        apiscale_table_find(&t, fps[i], &ref);
        assert_int_equal(apiscale_table_commit(&t, &ref, 0, 1000 + i * 100,
                                               AT(500)),
                         APISCALE_TABLE_OK);
    }

    assert_int_equal(apiscale_table_live(&t, AT(500), 100), 8);
    assert_int_equal(apiscale_table_live(&t, AT(1100), 100), 6);

    /* at 1000 the first is idle */

    apiscale_table_find(&t, fps[8], &ref);
    assert_int_equal(apiscale_table_commit(&t, &ref, 0, 5000, AT(1000)),
                     APISCALE_TABLE_OK);
    assert_int_equal(table_settled(&t, fps[0]), 0);
    assert_int_equal(*t.evicted_live, 0);

    /* all are live: the one that would be idle at 1100 goes */

    apiscale_table_find(&t, fps[0], &ref);
    assert_int_equal(apiscale_table_commit(&t, &ref, 0, 5000, AT(1001)),
                     APISCALE_TABLE_OK);
    assert_int_equal(table_settled(&t, fps[1]), 0);
    assert_int_equal(table_settled(&t, fps[2]), 1);
    assert_int_equal(*t.evicted_live, 1);

    table_free(&t);
}


/* a million live keys in a zone of 24 MB */

static void
test_million(void **state)
{
    uint64_t          i, found, *fps;
    apiscale_ref_t    ref;
    apiscale_table_t  t;

    (void) state;

    /* what is left for sets of 24 MB: tools/bench prints it */

    t = table_make((24 * 1024 * 1024 - 900 * 1024) / 64);
    fps = malloc(1000000 * sizeof(uint64_t));
    assert_non_null(fps);

    for (i = 0; i < 1000000; i++) {
        fps[i] = apiscale_table_fingerprint(rnd());
        apiscale_table_find(&t, fps[i], &ref);
        assert_int_equal(apiscale_table_commit(&t, &ref, 0,
                                               SEC + i + rnd() % SEC, AT(SEC)),
                         APISCALE_TABLE_OK);
    }

    for (i = 0, found = 0; i < 1000000; i++) {
        apiscale_table_find(&t, fps[i], &ref);
        found += ref.entry != NULL;
    }

    assert_true(found >= 999000);
    assert_int_equal(found + *t.evicted_live, 1000000);
    assert_int_equal(apiscale_table_live(&t, AT(SEC), UINT32_MAX), found);

    /* the estimate from few sets is near */

    i = apiscale_table_live(&t, AT(SEC), 2048);
    assert_true(i > found - found / 20 && i < found + found / 20);

    free(fps);
    table_free(&t);
}


static void
test_copy(void **state)
{
    unsigned          i;
    uint64_t          fps[400], lost, found;
    apiscale_ref_t    ref;
    apiscale_entry_t  e;
    apiscale_table_t  from, larger, smaller;

    (void) state;

    from = table_make(200);
    larger = table_make(317);
    smaller = table_make(50);

    for (i = 0; i < 400; i++) {
        fps[i] = apiscale_table_fingerprint(rnd());
        apiscale_table_find(&from, fps[i], &ref);
        assert_int_equal(apiscale_table_commit(&from, &ref, i % 16,
                                               i < 100 ? 50 : 1000 + i,
                                               AT(10)),
                         APISCALE_TABLE_OK);
    }

    assert_int_equal(*from.evicted_live, 0);

    /* at 100 the first hundred owe nothing any more */

    assert_int_equal(apiscale_table_copy(&larger, &from, AT(100)), 0);

    for (i = 0; i < 400; i++) {
        apiscale_table_find(&larger, fps[i], &ref);

        if (i < 100) {
            assert_null(ref.entry);
            continue;
        }

        assert_non_null(ref.entry);
        assert_int_equal(ref.state, 1000 + i);
        assert_int_equal(ref.key & APISCALE_KEY_GENERATION, i % 16);
    }

    /* 200 places for 300 keys: those that owe most stay */

    lost = apiscale_table_copy(&smaller, &from, AT(100));
    assert_true(lost >= 100);
    assert_int_equal(lost, *smaller.evicted_live);

    for (i = 100, found = 0; i < 400; i++) {
        apiscale_table_find(&smaller, fps[i], &ref);
        found += ref.entry != NULL;
    }

    assert_int_equal(found + lost, 300);

    /* a key that came back in its other set while the table was read */

    e = from.sets[0].entries[0];

    for (i = 0; i < 4; i++) {
        from.sets[0].entries[i].key = 0;
        from.sets[0].entries[i].state = 0;
    }

    table_free(&larger);
    larger = table_make(317);

    for (i = 0; i < 2; i++) {
        e.key = apiscale_table_fingerprint(rnd());
        e.state = i ? 3000 : 4000;
        from.sets[0].entries[0] = e;
        e.state = i ? 4000 : 3000;
        from.sets[199].entries[0] = e;

        (void) apiscale_table_copy(&larger, &from, AT(2000));
        apiscale_table_find(&larger, e.key, &ref);
        assert_non_null(ref.entry);
        assert_int_equal(ref.state, 4000);
        assert_int_equal(table_settled(&larger, e.key), 1);
    }

    table_free(&from);
    table_free(&larger);
    table_free(&smaller);
}


/* against a plain array, with keys that come and go */

static void
test_model(void **state)
{
    unsigned                i, k;
    uint64_t                now, fps[64], tats[64];
    apiscale_gcra_t         g;
    apiscale_table_t        t;
    apiscale_gcra_result_t  res;

    (void) state;

    t = table_make(64);
    g.interval = SEC;
    g.burst = 5;
    now = SEC;

    for (i = 0; i < 64; i++) {
        fps[i] = apiscale_table_fingerprint(rnd());
        tats[i] = 0;
    }

    for (i = 0; i < 300000; i++) {
        now += rnd() % (SEC / 8);
        k = rnd() % 64;

        if (apiscale_gcra_check(&g, tats[k], now, 1, &res)
            == APISCALE_ADMIT)
        {
            tats[k] = res.tat;
            assert_int_equal(charge(&t, fps[k], &g, now), 1);

        } else {
            assert_int_equal(charge(&t, fps[k], &g, now), 0);
        }
    }

    assert_int_equal(*t.evicted_live, 0);
    table_free(&t);
}


/*
 * Four processes that insert and charge the same new keys at once: of each
 * exactly "burst" are admitted.
 */

static void
test_race(void **state)
{
    enum { procs = 4, keys = 20000, burst = 3 };

    int               p, st;
    pid_t             pids[procs];
    uint64_t         *go, *admitted, fp;
    unsigned          i, k;
    apiscale_gcra_t   g = { SEC, burst };
    apiscale_table_t  t;

    (void) state;

    t = table_make(keys);
    go = mmap(NULL, (keys + 1) * sizeof(uint64_t), PROT_READ|PROT_WRITE,
              MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    assert_true(go != MAP_FAILED);
    admitted = go + 1;

    for (p = 0; p < procs; p++) {
        pids[p] = fork();

        if (pids[p] == 0) {

            /* in step, key by key, as far as the scheduler lets them */

            for (k = 0; k < keys; k++) {
                __atomic_fetch_add(go, 1, __ATOMIC_SEQ_CST);

                for (i = 0; i < 2000
                            && __atomic_load_n(go, __ATOMIC_SEQ_CST)
                               < (uint64_t) (k + 1) * procs; i++)
                {
                    /* void */
                }

                fp = apiscale_table_fingerprint(
                         (k + 1) * 0x9e3779b97f4a7c15ULL);

                for (i = 0; i < burst; i++) {
                    if (charge(&t, fp, &g, SEC)) {
                        __atomic_fetch_add(&admitted[k], 1, __ATOMIC_SEQ_CST);
                    }
                }
            }

            _exit(0);
        }
    }

    for (p = 0; p < procs; p++) {
        assert_int_equal(waitpid(pids[p], &st, 0), pids[p]);
        assert_int_equal(st, 0);
    }

    for (k = 0; k < keys; k++) {
        assert_int_equal(admitted[k], burst);
    }

    assert_int_equal(*t.evicted_live, 0);
    munmap(go, (keys + 1) * sizeof(uint64_t));
    table_free(&t);
}


/*
 * A process that inserts or charges "fingerprint" when it is let go on,
 * stopped under the control of this one.
 */

static pid_t
traced(apiscale_table_t *t, uint64_t fingerprint, apiscale_gcra_t *g,
    uint64_t now, uint64_t *admitted)
{
    int    st;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);

        if (charge(t, fingerprint, g, now)) {
            __atomic_fetch_add(admitted, 1, __ATOMIC_SEQ_CST);
        }

        _exit(0);
    }

    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFSTOPPED(st));

    return pid;
}


/* one instruction; 0 when the process has ended */

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


/* a set of one line whose other entries are live, so that places are few */

static void
crowd(apiscale_table_t *t, unsigned n)
{
    unsigned        i;
    apiscale_ref_t  ref;

    for (i = 0; i < n; i++) {
        apiscale_table_find(t, apiscale_table_fingerprint(rnd()), &ref);
        assert_int_equal(apiscale_table_commit(t, &ref, 0, 100 * SEC, AT(SEC)),
                         APISCALE_TABLE_OK);
    }
}


/*
 * What a SIGKILL leaves after each instruction of an insertion: the table as
 * it is then.  On a copy of it whoever comes next needs no wait, the key gets
 * one entry, and no more than "burst" pass in all.
 */

static void
test_kill(void **state)
{
    int               alive;
    pid_t             pid;
    unsigned          i, n, passed;
    uint64_t          fp, *admitted;
    apiscale_gcra_t   g = { SEC, 2 };
    apiscale_table_t  t, left;

    (void) state;

    admitted = mmap(NULL, sizeof(uint64_t), PROT_READ|PROT_WRITE,
                    MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    assert_true(admitted != MAP_FAILED);

    t = table_make(2);
    left = table_make(2);
    crowd(&t, 4);

    fp = apiscale_table_fingerprint(rnd());
    pid = traced(&t, fp, &g, SEC, admitted);
    n = 0;

    do {
        alive = step(pid);
        n++;

        memcpy(left.sets, t.sets, 2 * sizeof(apiscale_set_t));

        for (i = 0, passed = 0; i < 4; i++) {
            passed += charge(&left, fp, &g, SEC);
        }

        /* the killed request was charged or was not */

        assert_in_range(passed, *admitted ? 1 : 0, *admitted ? 1 : 2);
        assert_true(passed + table_settled(&t, fp) == 2);
        assert_int_equal(table_settled(&left, fp), 1);

    } while (alive);

    assert_int_equal(*admitted, 1);
    assert_true(n > 100);

    munmap(admitted, sizeof(uint64_t));
    table_free(&t);
    table_free(&left);
}


/* an insertion that was abandoned long ago gives its place away */

static void
test_abandoned(void **state)
{
    unsigned           i;
    uint64_t           fp;
    apiscale_table_t   t;
    apiscale_gcra_t    g = { SEC, 2 };
    apiscale_entry_t  *e;

    (void) state;

    t = table_make(2);
    crowd(&t, 7);

    for (i = 0; i < 2 * APISCALE_TABLE_WAYS; i++) {
        e = &t.sets[i / APISCALE_TABLE_WAYS].entries[i % APISCALE_TABLE_WAYS];

        if (e->key == 0) {
            e->key = apiscale_table_fingerprint(rnd())
                     | APISCALE_KEY_UNSETTLED;
            e->state = SEC;
        }
    }

    /* fresh: a live key goes before it; old: it goes first */

    fp = apiscale_table_fingerprint(rnd());
    assert_int_equal(charge(&t, fp, &g, SEC + 1), 1);
    assert_int_equal(*t.evicted_live, 1);

    fp = apiscale_table_fingerprint(rnd());
    assert_int_equal(charge(&t, fp, &g, 5 * SEC), 1);
    assert_int_equal(*t.evicted_live, 1);

    table_free(&t);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_find_and_commit),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_million),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_abandoned),
    };

    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
