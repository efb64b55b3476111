/* test_rank.c - which pods a ReplicaSet gives up first. */
#include "unit.h"

#include "controller/rank.h"

static void useless_pods_go_first(void **state)
{
    PodRank ranks[] = {
        { .assigned = true, .phase = 2, .ready = true, .ready_ns = 10, .created_ns = 1 },
        { .assigned = true, .phase = 2, .ready = true, .ready_ns = 20, .created_ns = 2 },
        { .assigned = true, .phase = 2, .created_ns = 3 },
        { .assigned = true, .phase = 0, .created_ns = 4 },
        { .assigned = false, .phase = 0, .created_ns = 5 },
    };
    pod_rank_sort(ranks, ARRAY_SIZE(ranks));
    for (size_t i = 0; i < ARRAY_SIZE(ranks); i++)
        assert_int_equal(ranks[i].created_ns, 5 - (int64_t)i);
}

static void deletion_cost_counts_among_ready_pods(void **state)
{
    PodRank cheap = { .assigned = true, .phase = 2, .ready = true, .deletion_cost = -5 };
    PodRank dear = {
        .assigned = true, .phase = 2, .ready = true, .deletion_cost = 5, .restarts = 9
    };
    assert_true(pod_rank_cmp(&cheap, &dear) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(useless_pods_go_first),
        cmocka_unit_test(deletion_cost_counts_among_ready_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
