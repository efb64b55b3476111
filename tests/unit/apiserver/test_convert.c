/* Events under the names of either group, and autoscalers in both versions. */
#include "unit.h"

#include <stdio.h>

#include "apiserver/convert.h"
#include "apiserver/convert_hpa.h"
#include "apiserver/object.h"
#include "codec/json.h"

static const ApiResource *resource(const char *group)
{
    return api_resource_find(sv_cstr(group), SV("v1"), SV("events"));
}

/* What a client of `reader` sees of what a client of `writer` wrote. */
static void must_become_of(const ApiResource *writer, const char *text, const ApiResource *reader,
                           const char *want)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf val = BUF_INIT, seen = BUF_INIT;
    Value obj;
    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(text), &a, NULL, &obj, NULL), 0);
    Value stored = convert_object(writer, &obj, &a);
    object_store_form(convert_stored(writer), &stored, &val);
    ObjectRev o = { .val = buf_view(&val) };
    object_encode(reader, &o, 7, true, &seen);
    assert_string_equal(buf_cstr(&seen), want);
}

static void must_become(const char *writer, const char *text, const char *reader, const char *want)
{
    must_become_of(resource(writer), text, resource(reader), want);
}

static const ApiResource *autoscaler(const char *version)
{
    return api_resource_find(SV("autoscaling"), sv_cstr(version), SV("horizontalpodautoscalers"));
}

/* Each form, seen through the other: what v1 has no name for lies in annotations. */
static void test_autoscalers_of_both_versions(void **state)
{
    static const char *const cases[][2] = {
        { "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"h\"},\"spec\":{\"scaleTargetRef\":{"
          "\"kind\":\"Deployment\",\"name\":\"d\"},\"minReplicas\":1,\"maxReplicas\":3,"
          "\"targetCPUUtilizationPercentage\":50}}",
          "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"h\"},\"spec\":{\"scaleTargetRef\":{"
          "\"kind\":\"Deployment\",\"name\":\"d\"},\"minReplicas\":1,\"maxReplicas\":3,\"metrics\":[{"
          "\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\","
          "\"averageUtilization\":50}}}]}}" },
        { "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"h\",\"annotations\":{\"own\":\"x\","
          "\"autoscaling.alpha.kubernetes.io/metrics\":\"[{\\\"type\\\":\\\"Object\\\",\\\"object\\\":{"
          "\\\"target\\\":{\\\"kind\\\":\\\"Service\\\",\\\"name\\\":\\\"s\\\"},\\\"metricName\\\":\\\"q\\\","
          "\\\"averageValue\\\":\\\"5\\\",\\\"targetValue\\\":\\\"0\\\"}}]\","
          "\"autoscaling.alpha.kubernetes.io/behavior\":\"{\\\"scaleUp\\\":{}}\","
          "\"autoscaling.alpha.kubernetes.io/current-metrics\":\"[{\\\"type\\\":\\\"Resource\\\","
          "\\\"resource\\\":{\\\"name\\\":\\\"cpu\\\",\\\"currentAverageUtilization\\\":9,"
          "\\\"currentAverageValue\\\":\\\"3m\\\"}}]\","
          "\"autoscaling.alpha.kubernetes.io/conditions\":\"[{\\\"type\\\":\\\"AbleToScale\\\"}]\"}},"
          "\"spec\":{\"maxReplicas\":3},\"status\":{\"desiredReplicas\":2,"
          "\"currentCPUUtilizationPercentage\":9}}",
          "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"h\",\"annotations\":{\"own\":\"x\"}},"
          "\"spec\":{\"maxReplicas\":3,\"metrics\":[{\"type\":\"Object\",\"object\":{\"describedObject\":{"
          "\"kind\":\"Service\",\"name\":\"s\"},\"metric\":{\"name\":\"q\"},\"target\":{\"type\":"
          "\"AverageValue\",\"averageValue\":\"5\"}}}],\"behavior\":{\"scaleUp\":{}}},\"status\":{"
          "\"desiredReplicas\":2,\"currentMetrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\","
          "\"current\":{\"averageUtilization\":9,\"averageValue\":\"3m\"}}}],\"conditions\":[{\"type\":"
          "\"AbleToScale\"}]}}" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        must_become_of(autoscaler("v2"), cases[i][1], autoscaler("v2"), cases[i][1]);
        must_become_of(autoscaler("v1"), cases[i][0], autoscaler("v2"), cases[i][1]);
    }
    must_become_of(autoscaler("v2"), cases[0][1], autoscaler("v1"), cases[0][0]);
    /* The order of annotations is ours. */
    static const char v1[] =
        "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"h\"},\"spec\":{\"maxReplicas\":3}}";
    must_become_of(autoscaler("v1"), v1, autoscaler("v1"),
                   "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"h\"},\"spec\":{"
                   "\"maxReplicas\":3,\"targetCPUUtilizationPercentage\":80}}");
}

/* Whatever v2 has, v1 carries there and back. */
static void test_autoscalers_go_through_v1_unchanged(void **state)
{
    static const char *const metrics[] = {
        "\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"a\",\"selector\":{\"matchLabels\":{\"x\":"
        "\"y\"}}},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1k\"}}",
        "\"type\":\"Object\",\"object\":{\"describedObject\":{\"kind\":\"S\",\"name\":\"s\"},\"metric\":{"
        "\"name\":\"a\"},\"target\":{\"type\":\"Value\",\"value\":\"2\"}}",
        "\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"a\"},\"target\":{\"type\":\"Value\","
        "\"value\":\"2\"}}",
        "\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"a\"},\"target\":{\"type\":"
        "\"AverageValue\",\"averageValue\":\"2\"}}",
        "\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"target\":{\"type\":\"AverageValue\","
        "\"averageValue\":\"2Mi\"}}",
        "\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"cpu\",\"container\":\"c\","
        "\"target\":{\"type\":\"Utilization\",\"averageUtilization\":3}}",
        "\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"target\":{\"type\":\"AverageValue\","
        "\"averageValue\":\"2Mi\"}}},{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{"
        "\"type\":\"Utilization\",\"averageUtilization\":50}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
        char v2[1024];
        _cleanup_arena_ Arena a;
        _cleanup_buf_ Buf again = BUF_INIT;
        Value obj;
        arena_init(&a, 0);
        snprintf(v2, sizeof v2,
                 "{\"metadata\":{\"name\":\"h\"},\"spec\":{\"maxReplicas\":3,\"metrics\":[{%s}]}}",
                 metrics[i]);
        assert_int_equal(json_decode(sv_cstr(v2), &a, NULL, &obj, NULL), 0);
        Value v1 = hpa_to_v1(&obj, &a), back = hpa_to_v2(&v1, &a);
        json_encode(&back, &again);
        assert_string_equal(buf_cstr(&again), v2);
    }
}

static void test_each_group_sees_its_own_names(void **state)
{
    (void)state;
    static const char core[] =
        "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\"},"
        "\"message\":\"m\",\"reportingComponent\":\"c\",\"source\":{},\"firstTimestamp\":null,"
        "\"lastTimestamp\":null,\"count\":3,\"reason\":\"r\"}";
    static const char events[] =
        "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\"},\"regarding\":{\"kind\":\"Pod\"},"
        "\"note\":\"m\",\"reportingController\":\"c\",\"deprecatedSource\":{},"
        "\"deprecatedFirstTimestamp\":null,\"deprecatedLastTimestamp\":null,\"deprecatedCount\":3,"
        "\"reason\":\"r\"}";
    must_become("", core, "", core);
    must_become("", core, "events.k8s.io", events);
    must_become("events.k8s.io", events, "", core);
    must_become("events.k8s.io", events, "events.k8s.io", events);
}

static void test_only_names_of_the_object_itself_change(void **state)
{
    (void)state;
    must_become(
        "",
        "{\"metadata\":{\"name\":\"e\",\"labels\":{\"count\":\"}],\\\"\",\"message\":\"x\"}},"
        "\"message\":\"{\\\\\",\"reason\":\"count\",\"type\":\"a,\\\"source\\\":\","
        "\"related\":{\"a\":[1,2],\"source\":1},\"series\":{\"count\":2},\"count\":4}",
        "events.k8s.io",
        "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\",\"labels\":{\"count\":\"}],"
        "\\\"\",\"message\":\"x\"}},\"note\":\"{\\\\\",\"reason\":\"count\",\"type\":\"a,"
        "\\\"source\\\":\",\"related\":{\"a\":[1,2],\"source\":1},\"series\":{\"count\":2},"
        "\"deprecatedCount\":4}");
    must_become("", "{\"metadata\":{\"name\":\"e\"}}", "events.k8s.io",
                "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\"}}");
}

static void test_selectors_take_the_stored_names(void **state)
{
    static const char *const cases[][2] = { { "regarding.name=x", "involvedObject.name" },
                                            { "reportingController=x", "reportingComponent" },
                                            { "reason=x", "reason" },
                                            { "metadata.name=x", "metadata.name" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ Arena a;
        Selector s;
        arena_init(&a, 0);
        assert_int_equal(
            field_selector_parse(sv_cstr(cases[i][0]), resource("events.k8s.io"), &a, &s, NULL), 0);
        assert_int_equal(convert_field_terms(resource("events.k8s.io"), &s, &a, NULL), 0);
        assert_true(sv_eq(s.terms[0].key, sv_cstr(cases[i][1])));
    }
}

static void test_all_other_kinds_are_stored_as_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_resources_len; i++) {
        const ApiResource *res = &api_resources[i];
        if (res != resource("events.k8s.io") && res != autoscaler("v1"))
            assert_ptr_equal(convert_stored(res), res);
    }
    assert_ptr_equal(convert_stored(resource("events.k8s.io")), resource(""));
    assert_ptr_equal(convert_stored(autoscaler("v1")), autoscaler("v2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_group_sees_its_own_names),
        cmocka_unit_test(test_autoscalers_of_both_versions),
        cmocka_unit_test(test_autoscalers_go_through_v1_unchanged),
        cmocka_unit_test(test_only_names_of_the_object_itself_change),
        cmocka_unit_test(test_selectors_take_the_stored_names),
        cmocka_unit_test(test_all_other_kinds_are_stored_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
