/* test_queue.c - order, pauses and waking. */
#include "unit.h"

#include <stdio.h>

#include "base/clock.h"
#include "scheduler/queue.h"

static SchedQueue q;

static void add(const char *key, int32_t priority)
{
    assert_true(queue_add(&q, sv_cstr(key), priority));
}

static const char *pop(int64_t now_ms)
{
    static char buf[64];
    StrView key = queue_pop(&q, now_ms * NSEC_PER_MSEC);
    snprintf(buf, sizeof buf, "%.*s", (int)key.len, key.ptr ? key.ptr : "");
    return buf;
}

static void park(const char *key, int64_t now_ms, bool retry)
{
    queue_park(&q, sv_cstr(key), now_ms * NSEC_PER_MSEC, retry);
}

static int teardown(void **state)
{
    queue_free(&q);
    return 0;
}

static void test_priority_then_age(void **state)
{
    add("a", 0);
    add("b", 5);
    add("c", 0);
    add("d", 5);
    add("a", 9); /* it has become more important */
    assert_string_equal(pop(0), "a");
    assert_string_equal(pop(0), "b");
    queue_remove(&q, SV("d"));
    assert_string_equal(pop(0), "c");
    assert_string_equal(pop(0), "");
}

static void test_parked_ones_wait_for_a_change_and_their_pause(void **state)
{
    add("a", 0);
    assert_string_equal(pop(0), "a");
    park("a", 0, false);
    assert_string_equal(pop(1000000), "");
    assert_true(queue_next(&q) == INT64_MAX);
    queue_wake(&q, 10 * NSEC_PER_MSEC);
    assert_string_equal(pop(10), "");
    assert_int_equal(queue_next(&q), QUEUE_BACKOFF_MIN_MS * NSEC_PER_MSEC);
    assert_string_equal(pop(QUEUE_BACKOFF_MIN_MS), "a");
    park("a", 1000, false);
    queue_wake(&q, 5000 * NSEC_PER_MSEC); /* the pause is over already */
    assert_string_equal(pop(5000), "a");
}

static void test_pauses_grow_up_to_a_limit(void **state)
{
    add("a", 0);
    int64_t now = 0, pause = 0;
    for (int i = 0; i < 20; i++) {
        assert_string_equal(pop(now), "a");
        park("a", now, true);
        pause = queue_next(&q) / NSEC_PER_MSEC - now;
        now += pause;
    }
    assert_int_equal(pause, QUEUE_BACKOFF_MAX_MS);
    add("a", 0); /* news of its own end the pause */
    assert_string_equal(pop(now - pause), "a");
}

static void test_news_while_it_is_taken_bring_it_back(void **state)
{
    add("a", 0);
    assert_string_equal(pop(0), "a");
    add("a", 0);
    park("a", 0, false); /* of the older state */
    assert_string_equal(pop(0), "a");
}

static void test_many(void **state)
{
    char key[16];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "p%u", i);
        add(key, (int32_t)(i * 7919 % 100));
    }
    for (unsigned i = 0; i < 2000; i += 3) {
        snprintf(key, sizeof key, "p%u", i);
        queue_remove(&q, sv_cstr(key));
    }
    int32_t last = 100;
    unsigned n = 0;
    for (const char *k; *(k = pop(0)); n++) {
        int32_t priority = (int32_t)((unsigned)atoi(k + 1) * 7919 % 100);
        assert_true(priority <= last);
        last = priority;
    }
    assert_int_equal(n, 2000 - 667);
}

int main(void)
{
#define T(t) cmocka_unit_test_teardown(t, teardown)
    const struct CMUnitTest tests[] = {
        T(test_priority_then_age),
        T(test_parked_ones_wait_for_a_change_and_their_pause),
        T(test_pauses_grow_up_to_a_limit),
        T(test_news_while_it_is_taken_bring_it_back),
        T(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
