/* test_attempt.c - how refused pods slow down those that follow. */
#include "unit.h"

#include "base/clock.h"
#include "controller/attempt.h"

#define S(n) ((int64_t)(n)*NSEC_PER_SEC)
enum { NOW = 100000 };

static void check(Attempt *a, size_t n, unsigned refused, uint64_t wait_ms)
{
    AttemptDelay d = attempt_delay(a, n, S(NOW));
    assert_int_equal(d.refused, refused);
    assert_int_equal(d.wait_ms, wait_ms);
}
#define CHECK(refused, wait_ms, ...)                                                               \
    do {                                                                                           \
        Attempt list[] = { __VA_ARGS__ };                                                          \
        check(list, ARRAY_SIZE(list), refused, wait_ms);                                           \
    } while (0)

static void nothing_waits_without_a_refusal(void **state)
{
    check(NULL, 0, 0, 0);
    CHECK(0, 0, { S(NOW), ATTEMPT_OPEN }, { S(NOW - 5), ATTEMPT_TAKEN });
}

static void the_wait_doubles(void **state)
{
    CHECK(1, 1000, { S(NOW), ATTEMPT_REFUSED });
    CHECK(3, 4000, { S(NOW), ATTEMPT_REFUSED }, { S(NOW - 3), ATTEMPT_REFUSED },
          { S(NOW - 1), ATTEMPT_REFUSED });
    CHECK(2, 0, { S(NOW - 8), ATTEMPT_REFUSED }, { S(NOW - 9), ATTEMPT_REFUSED });
}

static void the_wait_is_bounded(void **state)
{
    Attempt list[100];
    for (int i = 0; i < 100; i++)
        list[i] = (Attempt){ S(NOW - i), ATTEMPT_REFUSED };
    check(list, ARRAY_SIZE(list), 100, ATTEMPT_MAX_MS);
}

static void a_burst_is_one_attempt(void **state)
{
    CHECK(1, 1000, { S(NOW), ATTEMPT_REFUSED }, { S(NOW), ATTEMPT_REFUSED },
          { S(NOW), ATTEMPT_REFUSED });
}

static void a_pending_pod_is_waited_for(void **state)
{
    CHECK(2, 2000, { S(NOW), ATTEMPT_OPEN }, { S(NOW - 10), ATTEMPT_REFUSED },
          { S(NOW - 11), ATTEMPT_REFUSED });
}

static void a_pod_that_a_node_took_ends_it(void **state)
{
    CHECK(0, 0, { S(NOW), ATTEMPT_TAKEN }, { S(NOW), ATTEMPT_REFUSED },
          { S(NOW - 11), ATTEMPT_REFUSED });
    CHECK(1, 1000, { S(NOW), ATTEMPT_REFUSED }, { S(NOW - 1), ATTEMPT_TAKEN },
          { S(NOW - 2), ATTEMPT_REFUSED });
}

static void old_refusals_are_forgotten(void **state)
{
    CHECK(0, 0, { S(NOW - ATTEMPT_RESET_MS / 1000 - 1), ATTEMPT_REFUSED });
    CHECK(1, 1000, { S(NOW), ATTEMPT_REFUSED },
          { S(NOW - ATTEMPT_RESET_MS / 1000 - 1), ATTEMPT_REFUSED });
}

static void a_clock_set_back_waits_no_longer_than_the_delay(void **state)
{
    CHECK(1, 1000, { S(NOW + 5000), ATTEMPT_REFUSED });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_waits_without_a_refusal),
        cmocka_unit_test(the_wait_doubles),
        cmocka_unit_test(the_wait_is_bounded),
        cmocka_unit_test(a_burst_is_one_attempt),
        cmocka_unit_test(a_pending_pod_is_waited_for),
        cmocka_unit_test(a_pod_that_a_node_took_ends_it),
        cmocka_unit_test(old_refusals_are_forgotten),
        cmocka_unit_test(a_clock_set_back_waits_no_longer_than_the_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
