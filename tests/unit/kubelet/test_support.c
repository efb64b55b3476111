/* test_support.c - which fields of a pod this kubelet acts upon, and which it names and refuses. */
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "kubelet/internal.h"
#include "unit.h"

static Arena arena;
static Err err;

static int check(const char *spec)
{
    Value v, pod = value_map();
    err_clear(&err);
    arena_free(&arena);
    arena_init(&arena, 0);
    if (json_decode(sv_cstr(spec), &arena, NULL, &v, &err) < 0)
        fail_msg("%s: %s", spec, err.msg);
    value_set(&arena, &pod, SV("spec"), v);
    return support_check(&pod, &err);
}

static void taken(const char *spec)
{
    if (check(spec) < 0)
        fail_msg("%s: %s", spec, err.msg);
}

static void refused(const char *spec, const char *field)
{
    if (check(spec) != -ERR_UNSUPPORTED)
        fail_msg("%s is taken", spec);
    if (!strstr(err.msg, field))
        fail_msg("%s: '%s' does not name %s", spec, err.msg, field);
}

static int teardown(void **state)
{
    arena_free(&arena);
    return 0;
}

static void test_an_ordinary_pod_is_taken(void **state)
{
    taken("{}");
    taken("{\"containers\":[]}");
    taken(
        "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"command\":[\"sh\"],\"args\":[\"-c\"],"
        "\"env\":[{\"name\":\"A\",\"value\":\"1\"}],\"ports\":[{\"containerPort\":80}],"
        "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\",\"subPath\":\"a\"}],"
        "\"livenessProbe\":{\"exec\":{\"command\":[\"true\"]}},\"terminationMessagePath\":\"/dev/termination-log\"}],"
        "\"initContainers\":[{\"name\":\"i\",\"image\":\"i\",\"restartPolicy\":\"Always\"}],"
        "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\"}},{\"name\":\"h\",\"hostPath\":{\"path\":\"/\"}}],"
        "\"restartPolicy\":\"Never\",\"hostNetwork\":true,\"shareProcessNamespace\":true,\"enableServiceLinks\":false}");
}

static void test_fields_of_others_are_no_matter_of_the_node(void **state)
{
    taken(
        "{\"nodeName\":\"n\",\"schedulerName\":\"mine\",\"priority\":5,\"nodeSelector\":{\"a\":\"b\"},"
        "\"tolerations\":[{\"key\":\"x\",\"operator\":\"Exists\"}],"
        "\"affinity\":{\"nodeAffinity\":{}},\"topologySpreadConstraints\":[]}");
}

static void test_what_would_have_no_effect_is_refused_by_name(void **state)
{
    refused("{\"hostUsers\":false}", "spec.hostUsers");
    refused(
        "{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}},{\"name\":\"n\",\"nfs\":{\"server\":\"s\",\"path\":\"/\"}}]}",
        "spec.volumes[1].nfs");
    refused("{\"volumes\":[{\"name\":\"v\",\"csi\":{\"driver\":\"d\"}}]}", "csi");
    refused("{\"runtimeClassName\":\"other\"}", "spec.runtimeClassName");
}

static void test_no_value_asks_for_nothing(void **state)
{
    taken("{\"runtimeClassName\":null}");
    taken("{\"runtimeClassName\":\"\"}");
    taken("{\"hostUsers\":true}");
    taken("{\"volumes\":null,\"containers\":null}");
}

static void test_resources_of_the_node(void **state)
{
    taken(
        "{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Mi\",\"ephemeral-storage\":\"1Gi\"},"
        "\"requests\":{\"cpu\":\"1m\"}}}]}");
    taken(
        "{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"hugepages-2Mi\":\"0\"}}}]}");
    taken(
        "{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"example.com/gpu\":\"1\"}}}]}");
    refused(
        "{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"x.kubernetes.io/gpu\":\"1\"}}}]}",
        "spec.containers[0].resources.limits[x.kubernetes.io/gpu]: this node has none");
    refused(
        "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\",\"resources\":{\"requests\":{\"hugepages-2Mi\":\"2Mi\"}}}]}",
        "spec.containers[1].resources.requests[hugepages-2Mi]");
    refused(
        "{\"initContainers\":[{\"name\":\"a\",\"resources\":{\"limits\":{\"hugepages-1Gi\":\"2Gi\"}}}]}",
        "spec.initContainers[0].resources.limits");
    refused(
        "{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"hugepages-2Mi\":\"many\"}}}]}",
        "hugepages-2Mi");
}

static void test_every_field_has_its_row(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    support_coverage(&out);
    if (out.len)
        fail_msg("%.*s", (int)out.len, out.ptr);
}

#define SUPPORT_TEST(fn) cmocka_unit_test_teardown(fn, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUPPORT_TEST(test_an_ordinary_pod_is_taken),
        SUPPORT_TEST(test_fields_of_others_are_no_matter_of_the_node),
        SUPPORT_TEST(test_what_would_have_no_effect_is_refused_by_name),
        SUPPORT_TEST(test_no_value_asks_for_nothing),
        SUPPORT_TEST(test_resources_of_the_node),
        SUPPORT_TEST(test_every_field_has_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
