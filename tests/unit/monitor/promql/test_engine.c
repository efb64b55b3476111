/* test_engine.c - turns of queries: in the order of their coming, and those who give up. */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/clock.h"
#include "monitor/promql/engine_turn.h"
#include "monitor/promqltest/memory.h"

enum { PATIENCE_S = 20 };

static PromqlEngine *engine(unsigned slots)
{
    PromqlEngine *e = NULL;
    Err err = { 0 };
    assert_int_equal(promql_engine_new(slots, &e, &err), 0);
    return e;
}

static void enter(PromqlEngine *e, int *slot)
{
    const PromqlQuery q = { .text = SV_INIT("up") };
    Err err = { 0 };
    assert_int_equal(engine_enter(e, &q, 0, slot, &err), 0);
}

static void leave(PromqlEngine *e, int slot)
{
    const PromqlStats took = { .inner_ns = NSEC_PER_SEC };
    const PromqlQuery q = { .text = SV("up") };
    engine_leave(e, slot, &q, &took, NULL);
}

static unsigned waiting(PromqlEngine *e)
{
    PromqlEngineStats s;
    promql_engine_stats(e, &s);
    return s.waiting;
}

static void wait_for_waiters(PromqlEngine *e, unsigned n)
{
    int64_t end = clock_mono_ns() + PATIENCE_S * NSEC_PER_SEC;
    while (waiting(e) != n && clock_mono_ns() < end)
        sched_yield();
    assert_int_equal(waiting(e), n);
}

typedef struct Client {
    PromqlEngine *e;
    atomic_uint *turn; /* of all */
    unsigned got;
    pthread_t thread;
} Client;

static void *run_client(void *ctx)
{
    Client *c = ctx;
    int slot;
    enter(c->e, &slot);
    c->got = atomic_fetch_add(c->turn, 1);
    leave(c->e, slot);
    return NULL;
}

static void test_turns_come_in_order(void **state)
{
    PromqlEngine *e = engine(1);
    atomic_uint turn = 0;
    Client clients[8];
    PromqlEngineStats s;
    int slot;
    enter(e, &slot);
    for (unsigned i = 0; i < ARRAY_SIZE(clients); i++) {
        clients[i] = (Client){ .e = e, .turn = &turn };
        assert_int_equal(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
        wait_for_waiters(e, i + 1);
    }
    assert_int_equal(atomic_load(&turn), 0);
    leave(e, slot);
    for (unsigned i = 0; i < ARRAY_SIZE(clients); i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].got, i);
    }
    promql_engine_stats(e, &s);
    assert_true(s.running == 0 && s.waiting == 0 && s.slots == 1);
    assert_true(s.inner.n == 1 + ARRAY_SIZE(clients) && s.inner.sum == 9);
    promql_engine_free(e);
}

static void test_late_and_canceled_ones_leave_the_queue(void **state)
{
    PromqlEngine *e = engine(1);
    atomic_bool cancel = true;
    const PromqlQuery q = { .text = SV_INIT("up") },
                      canceled = { .text = SV_INIT("up"), .cancel = &cancel };
    Err err = { 0 };
    int slot, other;
    enter(e, &slot);
    assert_true(engine_enter(e, &q, clock_mono_ns() + NSEC_PER_MSEC, &other, &err) < 0);
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_string_equal(err.msg, "query timed out in query queue");
    assert_true(engine_enter(e, &canceled, 0, &other, &err) < 0);
    assert_int_equal(err.code, ERR_CLOSED);
    assert_string_equal(err.msg, "query was canceled in query queue");
    assert_int_equal(waiting(e), 0);
    leave(e, slot);
    enter(e, &slot); /* the slot is not lost */
    leave(e, slot);
    promql_engine_free(e);
    enter(NULL, &slot);
    leave(NULL, slot);
    assert_null(promql_engine_free(NULL));
}

/* What promql_query() makes of it: what cannot run at all does not wait. */
static void test_queries_take_turns(void **state)
{
    PromqlEngine *e = engine(1);
    Memory *m = memory_new();
    const PromqlOptions opt = { .engine = e, .timeout_ms = 1 };
    PromqlQuery q = { .text = SV("1 + 1"), .waited_ns = 5 * NSEC_PER_SEC };
    PromqlResult res;
    PromqlEngineStats s;
    Err err = { 0 };
    int slot;
    enter(e, &slot);
    assert_true(promql_query(&opt, memory_querier(m), &q, &res, &err) < 0);
    assert_int_equal(res.error_type, PROMQL_TIMEOUT);
    assert_string_equal(err.msg, "query timed out in query queue");
    promql_result_free(&res);
    q.text = SV("1 +");
    assert_true(promql_query(&opt, memory_querier(m), &q, &res, &err) < 0);
    assert_int_equal(res.error_type, PROMQL_BAD_DATA);
    promql_result_free(&res);
    leave(e, slot);
    const PromqlOptions patient = { .engine = e };
    q.text = SV("1 + 1");
    assert_int_equal(promql_query(&patient, memory_querier(m), &q, &res, &err), 0);
    assert_true(res.stats.queue_ns >= 5 * NSEC_PER_SEC);
    promql_result_free(&res);
    promql_engine_stats(e, &s);
    assert_true(s.running == 0 && s.queue.n == 2 && s.queue.sum >= 5);
    memory_free(m);
    promql_engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_come_in_order),
        cmocka_unit_test(test_late_and_canceled_ones_leave_the_queue),
        cmocka_unit_test(test_queries_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
