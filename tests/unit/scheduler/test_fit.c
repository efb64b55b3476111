/* test_fit.c - filters and scores of single pods on single nodes. */
#include "unit.h"

#include "codec/json.h"
#include "scheduler/fit.h"
#include "scheduler/support.h"

static Arena arena;

static Value *parse(const char *text)
{
    Value *v = arena_new(&arena, Value);
    Err err = { 0 };
    if (json_decode(sv_cstr(text), &arena, NULL, v, &err) < 0)
        fail_msg("%s", err.msg);
    return v;
}

static NodeFacts node(const char *text)
{
    Value *v = parse(text);
    NodeFacts n = { .name = value_path_str(v, "metadata.name"),
                    .labels = value_path(v, "metadata.labels"),
                    .taints = value_path(v, "spec.taints"),
                    .unschedulable = value_bool_or(value_path(v, "spec.unschedulable"), false) };
    assert_true(request_of_node(v, &arena, &n.allocatable));
    return n;
}

static FitReason check(const char *pod_text, const NodeFacts *n)
{
    const Value *pod = parse(pod_text);
    Request req;
    assert_true(request_of_pod(pod, &arena, &req));
    return fit_check(pod, &req, n);
}

static const char plain[] =
    "{\"metadata\":{\"name\":\"a\",\"labels\":{\"zone\":\"x\",\"cpus\":\"8\"}},"
    "\"status\":{\"allocatable\":{\"cpu\":\"2\",\"memory\":\"1Gi\",\"pods\":\"10\"}}}";

static void test_resources(void **state)
{
    NodeFacts n = node(plain);
    assert_int_equal(
        check("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\"}}}]}}", &n),
        FIT_OK);
    assert_int_equal(
        check("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"2001m\"}}}]}}",
              &n),
        FIT_CPU);
    assert_int_equal(
        check("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"memory\":\"2Gi\"}}}]}}",
              &n),
        FIT_MEMORY);
    const char *storage =
        "{\"spec\":{\"initContainers\":[{\"resources\":{\"requests\":{\"ephemeral-"
        "storage\":\"3Gi\"}}}],\"containers\":[{\"resources\":{\"requests\":{"
        "\"ephemeral-storage\":\"1Gi\"}}}]}}";
    assert_int_equal(check(storage, &n), FIT_STORAGE); /* a node that reports none has none */
    n.allocatable.storage = INT64_C(3) << 30;
    assert_int_equal(check(storage, &n), FIT_OK);
    n.used.storage = 1;
    assert_int_equal(check(storage, &n), FIT_STORAGE);
    assert_string_equal(fit_reason_text[FIT_STORAGE], "Insufficient ephemeral-storage");
    assert_true(fit_reason_resolvable(FIT_STORAGE));
    n.used.pods = 10;
    assert_int_equal(check("{\"spec\":{\"containers\":[{}]}}", &n), FIT_PODS);
}

static void test_init_containers_count_by_their_maximum(void **state)
{
    Request r;
    assert_true(request_of_pod(
        parse("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"100m\"}}},"
              "{\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}],\"initContainers\":["
              "{\"resources\":{\"requests\":{\"cpu\":\"500m\"}}},{\"restartPolicy\":\"Always\","
              "\"resources\":{\"requests\":{\"cpu\":\"50m\"}}}]}}"),
        &arena, &r));
    assert_int_equal(r.cpu_milli, 500);
}

static void test_extended_resources_are_summed_like_the_others(void **state)
{
    Request r;
    assert_true(request_of_pod(
        parse(
            "{\"spec\":{\"overhead\":{\"cpu\":\"10m\",\"example.com/foo\":\"1\"},\"containers\":["
            "{\"resources\":{\"requests\":{\"example.com/foo\":\"1\",\"hugepages-2Mi\":\"4Mi\"}}},"
            "{\"resources\":{\"requests\":{\"example.com/foo\":\"2\",\"example.com/none\":\"0\"}}}],"
            "\"initContainers\":[{\"resources\":{\"requests\":{\"example.com/bar\":\"7\"}}},"
            "{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"example.com/foo\":\"4\"}}},"
            "{\"resources\":{\"requests\":{\"example.com/foo\":\"5\"}}}]}}"),
        &arena, &r));
    assert_int_equal(r.n_extras, 3);
    assert_int_equal(extras_amount(r.extras, r.n_extras, SV("example.com/foo")), 10);
    assert_int_equal(extras_amount(r.extras, r.n_extras, SV("example.com/bar")), 7);
    assert_int_equal(extras_amount(r.extras, r.n_extras, SV("hugepages-2Mi")), 4 << 20);
    assert_int_equal(extras_amount(r.extras, r.n_extras, SV("example.com/none")), 0);
    assert_int_equal(r.cpu_milli, 10);
}

static void test_selectors_and_affinity(void **state)
{
    NodeFacts n = node(plain);
    assert_int_equal(check("{\"spec\":{\"nodeSelector\":{\"zone\":\"x\"}}}", &n), FIT_OK);
    assert_int_equal(check("{\"spec\":{\"nodeSelector\":{\"zone\":\"y\"}}}", &n), FIT_SELECTOR);
#define REQUIRED(term)                                                                                \
    "{\"spec\":{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{" \
    "\"nodeSelectorTerms\":[" term "]}}}}}"
    assert_int_equal(
        check(
            REQUIRED(
                "{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"y\",\"x\"]}]}"),
            &n),
        FIT_OK);
    assert_int_equal(
        check(
            REQUIRED(
                "{\"matchExpressions\":[{\"key\":\"cpus\",\"operator\":\"Gt\",\"values\":[\"8\"]}]}"),
            &n),
        FIT_SELECTOR);
    assert_int_equal(
        check(REQUIRED("{\"matchExpressions\":[{\"key\":\"gpu\",\"operator\":\"DoesNotExist\"}]}"),
              &n),
        FIT_OK);
    assert_int_equal(check(REQUIRED("{}"), &n), FIT_SELECTOR);
    assert_int_equal(
        check(
            REQUIRED(
                "{},{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"a\"]}]}"),
            &n),
        FIT_OK);
}

static void test_taints_and_cordon(void **state)
{
    NodeFacts n = node(
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":"
        "\"NoSchedule\"}]},\"status\":{\"allocatable\":{\"pods\":\"10\"}}}");
    assert_int_equal(check("{}", &n), FIT_TAINT);
    assert_int_equal(check("{\"spec\":{\"tolerations\":[{\"key\":\"k\",\"value\":\"v\"}]}}", &n),
                     FIT_OK);
    assert_int_equal(check("{\"spec\":{\"tolerations\":[{\"key\":\"k\",\"value\":\"w\"}]}}", &n),
                     FIT_TAINT);
    assert_int_equal(check("{\"spec\":{\"tolerations\":[{\"operator\":\"Exists\"}]}}", &n), FIT_OK);
    NodeFacts cordoned = node(
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"unschedulable\":true},\"status\":{\"allocatable\":{\"pods\":\"9\"}}}");
    assert_int_equal(check("{}", &cordoned), FIT_UNSCHEDULABLE);
    assert_int_equal(
        check(
            "{\"spec\":{\"tolerations\":[{\"key\":\"node.kubernetes.io/unschedulable\",\"operator\":\"Exists\"}]}}",
            &cordoned),
        FIT_OK);
}

static void test_the_emptier_node_scores_higher(void **state)
{
    NodeFacts a = node(plain), b = node(plain);
    b.used = (Request){ 1000, 512 << 20, 5 };
    const Value *pod =
        parse("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]}}");
    Request req;
    assert_true(request_of_pod(pod, &arena, &req));
    assert_true(fit_score(pod, &req, &a) > fit_score(pod, &req, &b));
}

static void test_unknown_hard_constraints_are_named(void **state)
{
    assert_null(support_missing(parse("{\"spec\":{\"topologySpreadConstraints\":[{}]}}")));
    assert_string_equal(support_missing(parse("{\"spec\":{\"resourceClaims\":[{}]}}")),
                        "spec.resourceClaims");
}

int main(void)
{
    arena_init(&arena, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_init_containers_count_by_their_maximum),
        cmocka_unit_test(test_extended_resources_are_summed_like_the_others),
        cmocka_unit_test(test_selectors_and_affinity),
        cmocka_unit_test(test_taints_and_cordon),
        cmocka_unit_test(test_the_emptier_node_scores_higher),
        cmocka_unit_test(test_unknown_hard_constraints_are_named),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return r;
}
