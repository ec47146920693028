
/*
 * Copyright (C) apiscale authors
 */


/*
 * The summary of top keys under every order of events.  apiscale_topk.c is
 * compiled here with its accesses to shared memory turned into points at
 * which another "worker" (a coroutine) may go on, so that an order is chosen
 * access by access: exhaustively for few switches, at random for many.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <ucontext.h>

#include <cmocka.h>


static void yield(void);


/* the pure functions are linked in under their own names as well */

#define apiscale_topk_size     il_size
#define apiscale_topk_init     il_init
#define apiscale_topk_insert   il_insert
#define apiscale_topk_refresh  il_refresh
#define apiscale_topk_list     il_list

#define __atomic_load_n(p, order)  (yield(), *(volatile uint64_t *) (p))
#define __atomic_store_n(p, value, order)                                     \
    (yield(), (void) (*(volatile uint64_t *) (p) = (value)))
#define __sync_bool_compare_and_swap(p, from, to)                             \
    (yield(), *(p) == (from) ? (*(p) = (to), 1) : 0)

#include "../../src/algo/apiscale_topk.c"


#define MAXPROC   4
#define STACK     65536
#define KEYS      16                      /* the first eight may be there */


typedef struct {
    ucontext_t   ctx;
    unsigned     keys[3];
    unsigned     nkeys;
    unsigned     done;
} worker_t;


static worker_t             workers[MAXPROC];
static ucontext_t           scheduler;
static worker_t            *current;
static unsigned             budget;       /* accesses until the next switch */

static apiscale_topk_set_t  set;
static apiscale_topk_t      topk = { &set, 1, 1 };
static uint64_t             made[KEYS];

static uint64_t             seed = 0x9e3779b97f4a7c15;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static void
yield(void)
{
    worker_t  *w;

    if (current == NULL) {
        return;
    }

    if (budget) {
        budget--;
        return;
    }

    w = current;

    swapcontext(&w->ctx, &scheduler);
}


static uint64_t
fingerprint(unsigned key)
{
    return (uint64_t) (key + 1) << 16;
}


static void
add(unsigned key, uint64_t n)
{
    char  text[2] = { (char) ('a' + key), 0 };

    apiscale_topk_add(&topk, 0, fingerprint(key), text, 1, n);
}


static void
work(void)
{
    unsigned  i;

    for (i = 0; i < current->nkeys; i++) {
        add(current->keys[i], 1);
    }

    current->done = 1;
    swapcontext(&current->ctx, &scheduler);
}


static void
prepare(worker_t *w)
{
    static char  stacks[MAXPROC][STACK];

    w->nkeys = 0;
    w->done = 0;

    getcontext(&w->ctx);

    w->ctx.uc_stack.ss_sp = stacks[w - workers];
    w->ctx.uc_stack.ss_size = STACK;
    w->ctx.uc_link = NULL;

    makecontext(&w->ctx, work, 0);
}


/* a set with entries of these counts, and workers without keys */

static void
begin(unsigned n, const unsigned counts[APISCALE_TOPK_WAYS])
{
    unsigned  i;

    memset(&set, 0, sizeof(set));
    memset(made, 0, sizeof(made));
    current = NULL;

    for (i = 0; i < APISCALE_TOPK_WAYS; i++) {
        if (counts[i]) {
            add(i, counts[i]);
            made[i] = counts[i];
        }
    }

    for (i = 0; i < n; i++) {
        prepare(&workers[i]);
    }
}


static void
give(unsigned i, unsigned key)
{
    workers[i].keys[workers[i].nkeys++] = key;
    made[key]++;
}


/* lets a worker do "n" accesses and stand before the next; 0 if it ended */

static int
resume(unsigned i, unsigned n)
{
    if (workers[i].done) {
        return 0;
    }

    current = &workers[i];
    budget = n;
    swapcontext(&scheduler, &current->ctx);
    current = NULL;

    return !workers[i].done;
}


static void
run(unsigned i)
{
    assert_int_equal(resume(i, 100000), 0);
}


/* the invariants of the header; "dead" workers may not have counted */

static void
check(unsigned dead)
{
    unsigned                i, key, n;
    uint64_t                sum, least, all;
    apiscale_topk_item_t    out[APISCALE_TOPK_WAYS];
    apiscale_topk_entry_t  *e;

    sum = 0;
    all = 0;
    least = UINT64_MAX;

    for (i = 0; i < APISCALE_TOPK_WAYS; i++) {
        e = &set.entries[i];
        sum += apiscale_topk_count(e);
        least = least < apiscale_topk_count(e) ? least
                                               : apiscale_topk_count(e);
    }

    for (key = 0; key < KEYS; key++) {

        all += made[key];

        for (i = 0, n = 0; i < APISCALE_TOPK_WAYS; i++) {
            e = &set.entries[i];

            if (e->key >> 16 != apiscale_topk_key(fingerprint(key))) {
                continue;
            }

            n++;
            assert_in_range(made[key],
                            apiscale_topk_count(e) - apiscale_topk_error(e),
                            apiscale_topk_count(e) + dead);
        }

        assert_in_range(n, 0, 1);

        if (n == 0) {
            assert_true(made[key] <= least + dead);
        }
    }

    assert_in_range(sum, all - dead, all);

    n = il_list(&topk, out, APISCALE_TOPK_WAYS);

    for (i = 0; i < n; i++) {
        if (out[i].known) {
            assert_int_equal(out[i].len, 1);
            assert_int_equal(apiscale_topk_key(fingerprint(out[i].text[0]
                                                           - 'a')),
                             out[i].key);
        }
    }
}


static const unsigned  crowds[][APISCALE_TOPK_WAYS] = {
    { 0, 0, 0, 0, 0, 0, 0, 0 },
    { 5, 4, 3, 0, 0, 0, 0, 0 },
    { 1, 1, 1, 1, 1, 1, 1, 1 },
    { 2, 2, 2, 2, 2, 2, 2, 2 },
    { 1, 2, 3, 4, 5, 6, 7, 8 },
    { 8, 7, 6, 5, 4, 3, 2, 1 },
    { 1, 2, 1, 2, 1, 2, 1, 2 },
    { 2, 1, 2, 1, 2, 1, 2, 1 }
};

#define NCROWDS  (sizeof(crowds) / sizeof(crowds[0]))


/*
 * Two workers with up to four switches, most orders: of one new key, of two,
 * of one that is there and may be replaced.
 */

static void
test_two(void **state)
{
    unsigned  crowd, i, j, k, more, second;

    static const unsigned  seconds[] = { 8, 9, 0, 7 };

    (void) state;

    for (crowd = 0; crowd < NCROWDS; crowd++) {
        for (second = 0; second < 4; second++) {
            for (i = 0, more = 1; more; i++) {
                for (j = 0; j < 36; j++) {
                    for (k = 0; k < 36; k += 1 + rnd() % 15) {
                        begin(2, crowds[crowd]);
                        give(0, 8);
                        give(1, seconds[second]);

                        more = resume(0, i);
                        (void) resume(1, j);
                        (void) resume(0, k);

                        run(1);
                        run(0);
                        check(0);
                    }
                }
            }
        }
    }
}


/* four workers, each with three of five keys, in any order */

static void
test_many(void **state)
{
    unsigned  i, j, round, alive, counts[APISCALE_TOPK_WAYS];

    (void) state;

    for (round = 0; round < 20000; round++) {

        for (i = 0; i < APISCALE_TOPK_WAYS; i++) {
            counts[i] = rnd() % 4;
        }

        begin(4, counts);

        for (i = 0; i < 4; i++) {
            for (j = 0; j < 3; j++) {
                give(i, 7 + rnd() % 5);
            }
        }

        do {
            i = rnd() % 4;
            (void) resume(i, rnd() % (rnd() % 4 ? 8 : 40));

            for (i = 0, alive = 0; i < 4; i++) {
                alive += !workers[i].done;
            }

        } while (alive);

        check(0);
    }
}


/*
 * A worker is killed at any access while another is at any of its own; others
 * go on, without it.
 */

static void
test_killed(void **state)
{
    unsigned  crowd, i, j, more;

    (void) state;

    for (crowd = 0; crowd < NCROWDS; crowd++) {
        for (i = 0, more = 1; more; i++) {
            for (j = 0; j < 36; j++) {
                begin(3, crowds[crowd]);
                give(0, 8);
                give(1, 8);
                give(2, 9);

                more = resume(0, i);
                (void) resume(1, j);
                (void) resume(0, 0);

                /* worker 0 never runs again */

                run(1);
                run(2);
                check(!workers[0].done);
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_killed),
    };

    return cmocka_run_group_tests_name("topk interleavings", tests, NULL,
                                       NULL);
}
