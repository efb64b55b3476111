/* test_rollout.c - limits, steps and proportional scaling of a Deployment's ReplicaSets. */
#include "unit.h"

#include "controller/rollout.h"

static void amounts_round_up_or_down(void **state)
{
    Value quarter = value_sv(SV("25%")), three = value_int(3), bad = value_sv(SV("x%"));
    assert_int_equal(rollout_amount(&quarter, 10, true), 3);
    assert_int_equal(rollout_amount(&quarter, 10, false), 2);
    assert_int_equal(rollout_amount(&three, 10, true), 3);
    assert_int_equal(rollout_amount(&bad, 10, true), 0);
    assert_int_equal(rollout_amount(NULL, 10, true), 0);
}

static void both_zero_means_one_unavailable(void **state)
{
    Value none = value_int(0), quarter = value_sv(SV("25%"));
    RolloutLimits l = rollout_limits(&none, &quarter, 3);
    assert_int_equal(l.surge, 0);
    assert_int_equal(l.unavailable, 1);
}

/* Lets every pod become available after each step, and checks the promises all the way. */
static void a_rollout_stays_in_its_limits(void **state)
{
    const RolloutLimits limits[] = { { 1, 0 }, { 0, 1 }, { 3, 2 } };
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        RolloutSet sets[] = { { 0, 0, 0 }, { 10, 10, 0 } };
        int steps = 0;
        while (rollout_step(sets, 2, 10, limits[i])) {
            assert_true(++steps < 50);
            assert_true(sets[0].replicas + sets[1].replicas <= 10 + limits[i].surge);
            sets[1].available = sets[1].replicas;
            assert_true(sets[0].available + sets[1].available >= 10 - limits[i].unavailable);
            sets[0].available = sets[0].replicas;
        }
        assert_int_equal(sets[0].replicas, 10);
        assert_int_equal(sets[1].replicas, 0);
    }
}

static void a_rollout_waits_for_new_pods(void **state)
{
    RolloutSet sets[] = { { 1, 0, 0 }, { 3, 3, 0 } };
    assert_false(rollout_step(sets, 2, 3, (RolloutLimits){ 1, 0 }));
}

static void scaling_is_shared_by_size(void **state)
{
    RolloutSet sets[] = { { 5, 5, 13 }, { 8, 8, 13 } };
    assert_true(rollout_scale(sets, 2, 20, (RolloutLimits){ 6, 0 }));
    assert_int_equal(sets[0].replicas, 10);
    assert_int_equal(sets[1].replicas, 16);
}

static void a_single_set_takes_all(void **state)
{
    RolloutSet sets[] = { { 3, 3, 4 }, { 0, 0, 0 } };
    assert_true(rollout_scale(sets, 2, 0, (RolloutLimits){ 1, 0 }));
    assert_int_equal(sets[0].replicas, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_round_up_or_down),
        cmocka_unit_test(both_zero_means_one_unavailable),
        cmocka_unit_test(a_rollout_stays_in_its_limits),
        cmocka_unit_test(a_rollout_waits_for_new_pods),
        cmocka_unit_test(scaling_is_shared_by_size),
        cmocka_unit_test(a_single_set_takes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
