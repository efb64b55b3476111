/* test_preempt.c - who has to go. */
#include "world.h"

#include "scheduler/preempt.h"

static Budget *budgets[4];
static size_t n_budgets;

static void budget(const char *app, int allowed)
{
    char text[256];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"namespace\":\"default\"},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"%s\"}}},"
        "\"status\":{\"disruptionsAllowed\":%d}}",
        app, allowed);
    budgets[n_budgets++] = budget_new(parse(text));
}

static int teardown(void **state)
{
    while (n_budgets)
        budget_free(budgets[--n_budgets]);
    return world_teardown(state);
}

/* "NODE: victims in the order in which they go", or why not. */
static const char *plan(SchedPod *p)
{
    Decision d;
    Preemption r;
    _cleanup_buf_ Buf text = BUF_INIT;
    assert_true(decide(&cluster, p, &arena, &d));
    assert_null(d.node);
    assert_true(preempt_plan(&cluster, p, &d, budgets, n_budgets, &arena, &r, &text));
    if (r.node) {
        assert_int_equal(text.len, 0);
        buf_printf(&text, "%s:", r.node->name);
        for (size_t i = 0; i < r.n_victims; i++)
            buf_printf(&text, " %.*s", SV_FMT(r.victims[i]->name));
    }
    return arena_cstr(&arena, buf_view(&text));
}

#define PRIO(n) ",\"priority\":" n

static void test_the_least_important_goes(void **state)
{
    node("n1", "", "");
    pod("a", "n1", "", CPU("2") PRIO("5"));
    pod("b", "n1", "", CPU("2") PRIO("1"));
    assert_string_equal(plan(pod("p", "", "", CPU("2") PRIO("10"))), "n1: b");
    assert_string_equal(plan(pod("q", "", "", CPU("4") PRIO("10"))), "n1: a b");
    assert_int_equal(cluster_node(&cluster, SV("n1"))->facts.used.cpu_milli, 4000); /* as before */
}

static void test_equals_and_betters_stay(void **state)
{
    node("n1", "", "");
    node("n2", "", "\"unschedulable\":true");
    pod("a", "n1", "", CPU("4") PRIO("10"));
    assert_string_equal(
        plan(pod("p", "", "", CPU("1") PRIO("10"))),
        "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling.");
    assert_string_equal(
        plan(pod("q", "", "", CPU("9") PRIO("11"))),
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.");
    assert_string_equal(plan(pod("r", "", "",
                                 CPU("1") PRIO("11") ",\"preemptionPolicy\":\"Never\"")),
                        "preemption: not eligible due to preemptionPolicy=Never.");
}

static void test_the_node_with_the_lesser_victims_is_taken(void **state)
{
    node("n1", "", "");
    node("n2", "", "");
    node("n3", "", "");
    pod("a", "n1", "", CPU("4") PRIO("5"));
    pod("b", "n2", "", CPU("2") PRIO("3"));
    pod("c", "n2", "", CPU("2") PRIO("3"));
    pod("d", "n3", "", CPU("4") PRIO("3"));
    assert_string_equal(plan(pod("p", "", "", CPU("4") PRIO("10"))), "n3: d");
}

static void test_budgets_are_spared(void **state)
{
    node("n1", "", "");
    node("n2", "", "");
    pod("a", "n1", "\"app\":\"safe\"", CPU("4") PRIO("1"));
    pod("b", "n2", "", CPU("4") PRIO("5"));
    budget("safe", 0);
    assert_string_equal(plan(pod("p", "", "", CPU("4") PRIO("10"))), "n2: b");
    budgets[0]->allowed = 1;
    assert_string_equal(plan(pod("q", "", "", CPU("4") PRIO("10"))), "n1: a");
}

static void test_on_a_node_the_budget_is_spared_too(void **state)
{
    node("n1", "", "");
    pod("a", "n1", "\"app\":\"safe\"", CPU("2") PRIO("1"));
    pod("b", "n1", "", CPU("2") PRIO("5"));
    budget("safe", 0);
    assert_string_equal(plan(pod("p", "", "", CPU("2") PRIO("10"))), "n1: b");
}

#define FOO(n) ASKS("\"example.com/foo\":\"" n "\"")

static void test_extended_resources_are_freed(void **state)
{
    node_with("n1", "", "", "\"example.com/foo\":\"2\"");
    pod("a", "n1", "", FOO("1") PRIO("1"));
    pod("b", "n1", "", FOO("1") PRIO("2"));
    pod("c", "n1", "", CPU("1") PRIO("0"));
    node_with("n2", "", "", "\"example.com/foo\":\"3\"");
    pod("x", "n2", "", FOO("3") PRIO("20"));
    pod("y", "n2", "", CPU("1") PRIO("1"));
    assert_string_equal(plan(pod("p", "", "", FOO("1") PRIO("10"))), "n1: a");
    assert_string_equal(plan(pod("q", "", "", FOO("2") PRIO("10"))), "n1: b a");
    assert_string_equal(plan(pod("r", "", "", FOO("3") PRIO("10"))),
                        "preemption: 0/2 nodes are available: 1 Insufficient example.com/foo, "
                        "1 Preemption is not helpful for scheduling.");
}

static void test_anti_affinity_can_be_preempted(void **state)
{
    node("n1", "", "");
    pod("a", "n1", "\"app\":\"x\"", "\"priority\":1");
    pod("b", "n1", "\"app\":\"y\"", "\"priority\":1");
    assert_string_equal(
        plan(pod(
            "p", "", "",
            "\"priority\":10,\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
            "[{\"topologyKey\":\"kubernetes.io/hostname\",\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"}}}]}}")),
        "n1: a");
}

static void test_victims_that_leave_are_waited_for(void **state)
{
    node("n1", "", "");
    SchedPod *a = pod("a", "n1", "", CPU("4") PRIO("1"));
    SchedPod *p = pod("p", "", "", CPU("4") PRIO("10"));
    p->nominated = SV("n1");
    a->terminating = true;
    assert_string_equal(plan(p),
                        "preemption: not eligible due to a terminating pod on the nominated node.");
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, world_setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_the_least_important_goes),
        T(test_equals_and_betters_stay),
        T(test_the_node_with_the_lesser_victims_is_taken),
        T(test_budgets_are_spared),
        T(test_on_a_node_the_budget_is_spared_too),
        T(test_extended_resources_are_freed),
        T(test_anti_affinity_can_be_preempted),
        T(test_victims_that_leave_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
