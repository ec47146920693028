
/*
 * Copyright (C) apiscale authors
 */


/*
 * The table's protocol under every order of events.  apiscale_table.c is
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

#define apiscale_table_fingerprint  il_fingerprint
#define apiscale_table_prefetch     il_prefetch
#define apiscale_table_find         il_find
#define apiscale_table_commit       il_commit
#define apiscale_table_insert       il_insert
#define apiscale_table_copy         il_copy
#define apiscale_table_live         il_live

#define __atomic_load_n(p, order)  (yield(), *(volatile uint64_t *) (p))
#define __atomic_fetch_add(p, n, order)  (yield(), *(p) += (n))
#define __sync_bool_compare_and_swap(p, from, to)                             \
    (yield(), *(p) == (from) ? (*(p) = (to), 1) : 0)

#include "../../src/algo/apiscale_gcra.h"
#include "../../src/algo/apiscale_table.c"


#define SEC       APISCALE_TICKS_PER_SEC
#define AT(t)     (&(apiscale_clock_t) { .mono = (t) })
#define MAXPROC   5
#define STACK     65536


typedef struct {
    ucontext_t   ctx;
    unsigned     key;                     /* 0 or 1 */
    uint64_t     now;
    unsigned     done;
} worker_t;


static worker_t          workers[MAXPROC];
static ucontext_t        scheduler;
static worker_t         *current;
static unsigned          budget;          /* accesses until the next switch */
static uint64_t          accesses;

static apiscale_set_t    sets[2];
static uint64_t          evicted;
static apiscale_table_t  table = { sets, 2, &evicted };
static apiscale_gcra_t   gcra = { SEC, 2 };
static uint64_t          fingerprints[2];
static unsigned          admitted[2];

static uint64_t          seed = 0x9e3779b97f4a7c15;


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

    accesses++;

    if (budget) {
        budget--;
        return;
    }

    w = current;

    swapcontext(&w->ctx, &scheduler);
}


static void
work(void)
{
    apiscale_ref_t          ref;
    apiscale_gcra_result_t  res;

    do {
        il_find(&table, fingerprints[current->key], &ref);

        if (apiscale_gcra_check(&gcra, ref.state, current->now, 1,
                                &res)
            == APISCALE_REJECT)
        {
            break;
        }

        if (il_commit(&table, &ref, 0, res.tat, AT(current->now))
            == APISCALE_TABLE_OK)
        {
            admitted[current->key]++;
            break;
        }

    } while (1);

    current->done = 1;
    swapcontext(&current->ctx, &scheduler);
}


/* "crowd" live keys, and workers that are to charge one new key */

static void
begin(unsigned n, unsigned crowd)
{
    unsigned        i;
    apiscale_ref_t  ref;

    static char     stacks[MAXPROC][STACK];

    memset(sets, 0, sizeof(sets));
    evicted = 0;
    admitted[0] = 0;
    admitted[1] = 0;
    current = NULL;
    fingerprints[0] = il_fingerprint(rnd());
    fingerprints[1] = il_fingerprint(rnd());

    for (i = 0; i < crowd; i++) {
        il_find(&table, il_fingerprint(rnd()), &ref);
        assert_int_equal(il_commit(&table, &ref, 0, 100 * SEC, AT(SEC)),
                         APISCALE_TABLE_OK);
    }

    for (i = 0; i < n; i++) {
        workers[i].key = 0;
        workers[i].now = SEC;
        workers[i].done = 0;
        getcontext(&workers[i].ctx);
        workers[i].ctx.uc_stack.ss_sp = stacks[i];
        workers[i].ctx.uc_stack.ss_size = STACK;
        workers[i].ctx.uc_link = NULL;
        makecontext(&workers[i].ctx, work, 0);
    }
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


static unsigned
settled(unsigned key)
{
    unsigned           i, n;
    apiscale_entry_t  *e;

    for (i = 0, n = 0; i < 8; i++) {
        e = &sets[i / 4].entries[i % 4];
        n += (e->key & ~APISCALE_KEY_GENERATION) == fingerprints[key];
    }

    return n;
}


static void
check(unsigned key, unsigned n)
{
    assert_int_equal(settled(key), 1);
    assert_int_equal(admitted[key], n < 2 ? n : 2);
}


/* orders of two workers with up to four switches, nearly all of them */

static void
test_two(void **state)
{
    unsigned  crowd, i, j, k, more;

    (void) state;

    for (crowd = 0; crowd <= 8; crowd += 4) {
        for (i = 0, more = 1; more; i++) {
            for (j = 0; j < 150; j++) {
                for (k = 0; k < 150; k += 1 + rnd() % 48) {
                    begin(2, crowd);

                    more = resume(0, i);
                    (void) resume(1, j);
                    (void) resume(0, k);

                    run(1);
                    run(0);
                    check(0, 2);
                }
            }
        }
    }
}


/*
 * Three workers charge one key and two another one of the same sets, so that
 * they come to different choices of a place.
 */

static void
test_two_keys(void **state)
{
    unsigned  i, round, alive;

    (void) state;

    for (round = 0; round < 30000; round++) {
        begin(5, rnd() % 7);

        workers[3].key = 1;
        workers[4].key = 1;

        do {
            i = rnd() % 5;
            (void) resume(i, rnd() % (rnd() % 4 ? 8 : 80));

            for (i = 0, alive = 0; i < 5; i++) {
                alive += !workers[i].done;
            }

        } while (alive);

        /* when the sets are full one key may have evicted the other */

        if (evicted == 0) {
            check(0, 3);
            check(1, 2);

        } else {
            assert_in_range(settled(0), 0, 1);
            assert_in_range(settled(1), 0, 1);
        }
    }
}


/*
 * Two workers choose different sets for one key, since to the one, which has
 * read the clock before, some entries are not idle yet.  A third may come in
 * between and find the insertion half done.
 */

static void
test_two_places(void **state)
{
    unsigned  i, j, k, n, third;

    (void) state;

    for (i = 50; i < 60; i++) {
        for (j = 8; j < 66; j++) {
            for (k = 0; k < 40; k++) {
                for (third = 0; third < 2; third++) {
                    begin(3, 0);

                    for (n = 0; n < 3; n++) {
                        sets[0].entries[n].key = il_fingerprint(rnd());
                        sets[0].entries[n].state = SEC + 5;
                    }

                    workers[1].now = SEC + 10;
                    workers[2].now = SEC + 10;

                    (void) resume(0, i);
                    (void) resume(1, j);

                    if (third) {
                        run(2);
                    }

                    (void) resume(0, k);

                    run(1);
                    run(0);
                    run(2);

                    check(0, 3);
                }
            }
        }
    }
}


/*
 * A worker is killed at any access while another is at any of its own: the
 * other needs nobody, and at most "burst" pass.
 */

static void
test_killed(void **state)
{
    unsigned  crowd, i, j, more, before;

    (void) state;

    for (crowd = 0; crowd <= 8; crowd += 4) {
        for (i = 0, more = 1; more; i++) {
            for (j = 0; j < 150; j++) {
                begin(3, crowd);

                more = resume(0, i);
                (void) resume(1, j);
                (void) resume(0, 0);

                /* worker 0 never runs again */

                before = admitted[0];
                accesses = 0;

                run(1);
                run(2);

                assert_true(accesses < 500);
                assert_int_equal(settled(0), 1);
                assert_in_range(admitted[0], before, 2);
                assert_true(workers[1].done && workers[2].done);

                if (!workers[0].done) {
                    assert_in_range(admitted[0], 1, 2);
                }
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_two_keys),
        cmocka_unit_test(test_two_places),
        cmocka_unit_test(test_killed),
    };

    return cmocka_run_group_tests_name("table interleavings", tests, NULL,
                                       NULL);
}
