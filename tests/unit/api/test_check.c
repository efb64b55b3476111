#include "doc.h"

#include <stdio.h>

#include "api/check.h"
#include "api/defaults.h"
#include "codec/protobuf.h"

static const SchemaObject *type_of(const char *group, const char *kind)
{
    const ApiResource *r = api_kind_find(sv_cstr(group), SV("v1"), sv_cstr(kind));

    assert_non_null(r);
    return r->schema;
}

static void expect_refused(const char *text, const char *message)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };

    arena_init(&a, 0);
    Value v = doc(&a, text);
    assert_int_equal(api_decode_check(type_of("apps", "Deployment"), &v, &a, NULL, &err),
                     -ERR_INVALID);
    assert_string_equal(err.msg, message);
}

static void test_wrong_types_are_named_as_go_does(void **state)
{
    expect_refused("{'spec':{'replicas':'3'}}",
                   "json: cannot unmarshal string into Go struct field "
                   "DeploymentSpec.spec.replicas of type int32");
    expect_refused("{'spec':{'replicas':99999999999}}",
                   "json: cannot unmarshal number 99999999999 "
                   "into Go struct field DeploymentSpec.spec.replicas of type int32");
    expect_refused(
        "{'spec':{'template':{'spec':{'containers':{}}}}}",
        "json: cannot unmarshal object "
        "into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container");
    expect_refused("{'metadata':{'labels':{'a':1}}}",
                   "json: cannot unmarshal number into Go struct "
                   "field ObjectMeta.metadata.labels of type string");
    expect_refused("[]", "json: cannot unmarshal array into Go value of type v1.Deployment");
    expect_refused("{'spec':[]}", "json: cannot unmarshal array into Go struct field "
                                  "Deployment.spec of type v1.DeploymentSpec");
}

static void expect_lease_time(const char *given, const char *want)
{
    _cleanup_arena_ Arena a;
    char text[128];
    Err err = { 0 };

    arena_init(&a, 0);
    snprintf(text, sizeof text, "{'spec':{'renewTime':'%s'}}", given);
    Value v = doc(&a, text);
    int r = api_decode_check(type_of("coordination.k8s.io", "Lease"), &v, &a, NULL, &err);
    assert_int_equal(r, 0);
    assert_sv(value_path_str(&v, "spec.renewTime"), want);
}

static void test_times_of_all_years_are_taken_and_zero_ones_are_none(void **state)
{
    expect_lease_time("0001-01-01T00:00:02Z", "0001-01-01T00:00:02.000000Z");
    expect_lease_time("9999-12-31T23:59:59.5Z", "9999-12-31T23:59:59.500000Z");
    expect_lease_time("0001-01-01T00:00:00Z", "");
    expect_lease_time("0001-01-01T01:00:00+01:00", "");
    expect_lease_time("1970-01-01T00:00:00.000000Z", "");
}

static void test_times_of_all_years_pass_through_protobuf(void **state)
{
    static const char *const times[] = { "0001-01-01T00:00:02.000001Z",
                                         "1969-12-31T23:59:59.999999Z",
                                         "9999-12-31T23:59:59.500000Z" };
    const SchemaObject *type = type_of("coordination.k8s.io", "Lease");

    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        _cleanup_arena_ Arena a;
        _cleanup_buf_ Buf bytes = BUF_INIT;
        Value v = value_map(), back;
        Err err = { 0 };
        arena_init(&a, 0);
        value_set_path(&a, &v, "spec.renewTime", value_sv(sv_cstr(times[i])));
        assert_int_equal(protobuf_encode(type, &v, &bytes, &err), 0);
        assert_int_equal(protobuf_decode(type, buf_view(&bytes), &a, &back, &err), 0);
        assert_sv(value_path_str(&back, "spec.renewTime"), times[i]);
    }
}

static void test_unknown_fields_are_collected_and_removed(void **state)
{
    _cleanup_arena_ Arena a;
    Value unknown = value_list();

    arena_init(&a, 0);
    Value v = doc(&a, "{'kind':'Pod','foo':1,'spec':{'containers':[{'name':'a','bar':[]}]}}");
    assert_int_equal(api_decode_check(type_of("", "Pod"), &v, &a, &unknown, NULL), 0);
    assert_doc(&a, &v, "{'kind':'Pod','spec':{'containers':[{'name':'a'}]}}");
    assert_doc(&a, &unknown,
               "['unknown field \\'foo\\'','unknown field \\'spec.containers[0].bar\\'']");
}

static void test_values_get_their_normal_form(void **state)
{
    _cleanup_arena_ Arena a;

    arena_init(&a, 0);
    Value v =
        doc(&a, "{'metadata':{'name':null,'creationTimestamp':'2026-11-23T07:00:00.5+02:00',"
                "'labels':{'a':null}},'spec':{'containers':[{'name':'a','resources':{'limits':"
                "{'cpu':'1000m','memory':'1024Mi','x':2}}}]}}");
    assert_int_equal(api_decode_check(type_of("", "Pod"), &v, &a, NULL, NULL), 0);
    assert_doc(&a, &v,
               "{'metadata':{'creationTimestamp':'2026-11-23T05:00:00Z','labels':{'a':''}},"
               "'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'1',"
               "'memory':'1Gi','x':'2'}}}]}}");
}

static void test_errors_render_as_kubernetes_does(void **state)
{
    static const StrView allowed[] = { SV_INIT("a"), SV_INIT("b") };
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf text = BUF_INIT;
    ApiErrors e = { .arena = &a };

    arena_init(&a, 0);
    ApiPath spec = API_FIELD(NULL, "spec"), list = API_FIELD(&spec, "containers");
    ApiPath item = API_INDEX(&list, 0), name = API_FIELD(&item, "name");
    ApiPath replicas = API_FIELD(&spec, "replicas");
    api_invalid(&e, &replicas, value_int(-1), "must be greater than or equal to %d", 0);
    api_errors_text(&e, &text);
    assert_string_equal(buf_cstr(&text),
                        "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
    buf_clear(&text);
    e.len = 0;
    api_required(&e, &name, "");
    api_not_supported(&e, &name, value_sv(SV("x")), allowed, 2);
    api_forbidden(&e, &name, "no");
    api_duplicate(&e, &name, value_sv(SV("x")));
    api_too_long(&e, &name, 253);
    api_required(&e, &name, "");
    api_errors_text(&e, &text);
    assert_string_equal(
        buf_cstr(&text),
        "[spec.containers[0].name: Required value, spec.containers[0].name: "
        "Unsupported value: \"x\": supported values: \"a\", \"b\", "
        "spec.containers[0].name: Forbidden: no, spec.containers[0].name: Duplicate "
        "value: \"x\", spec.containers[0].name: Too long: may not be more than 253 "
        "bytes]");
    assert_sv(api_error_reason(e.items[1].type), "FieldValueNotSupported");
}

static void expect_defaults(const char *group, const char *kind, const char *in, const char *want)
{
    const ApiResource *r = api_kind_find(sv_cstr(group), SV("v1"), sv_cstr(kind));
    _cleanup_arena_ Arena a;

    arena_init(&a, 0);
    Value v = doc(&a, in);
    assert_true(api_defaults_apply(r, &v, &a));
    assert_doc(&a, &v, want);
    assert_true(api_defaults_apply(r, &v, &a)); /* applying them again changes nothing */
    assert_doc(&a, &v, want);
}

static void test_pod_defaults(void **state)
{
    expect_defaults(
        "", "Pod",
        "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'a','image':'nginx','ports':"
        "[{'containerPort':80}],'readinessProbe':{'httpGet':{'port':80}},'resources':{'limits':"
        "{'cpu':'1'}}}],'volumes':[{'name':'v'},{'name':'c','configMap':{'name':'x'}}]}}",
        "{'metadata':{'name':'p'},'status':{},'spec':{'containers':[{'name':'a','image':'nginx',"
        "'ports':[{'containerPort':80,'protocol':'TCP'}],'readinessProbe':{'httpGet':{'port':80,"
        "'path':'/','scheme':'HTTP'},'timeoutSeconds':1,'periodSeconds':10,'successThreshold':1,"
        "'failureThreshold':3},'resources':{'limits':{'cpu':'1'},'requests':{'cpu':'1'}},"
        "'imagePullPolicy':'Always','terminationMessagePath':'/dev/termination-log',"
        "'terminationMessagePolicy':'File'}],'volumes':[{'name':'v','emptyDir':{}},{'name':'c',"
        "'configMap':{'name':'x','defaultMode':420}}],'dnsPolicy':'ClusterFirst','restartPolicy':"
        "'Always','securityContext':{},'terminationGracePeriodSeconds':30,'schedulerName':"
        "'default-scheduler','enableServiceLinks':true}}");
}

static void test_service_and_secret_defaults(void **state)
{
    expect_defaults(
        "", "Service", "{'metadata':{},'spec':{'ports':[{'port':80}]}}",
        "{'metadata':{},'spec':{'ports':[{'port':80,'protocol':'TCP','targetPort':80}],"
        "'sessionAffinity':'None','type':'ClusterIP','internalTrafficPolicy':'Cluster'},"
        "'status':{'loadBalancer':{}}}");
    expect_defaults("", "Secret",
                    "{'metadata':{},'stringData':{'a':'hi'},'data':{'a':'eA==','b':'eA=='}}",
                    "{'metadata':{},'type':'Opaque','data':{'a':'aGk=','b':'eA=='}}");
}

static void test_workload_defaults(void **state)
{
    _cleanup_arena_ Arena a;
    const ApiResource *r = api_kind_find(SV("apps"), SV("v1"), SV("Deployment"));

    arena_init(&a, 0);
    Value v = doc(&a, "{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'x:1'}]}}}}");
    assert_true(api_defaults_apply(r, &v, &a));
    assert_int_equal(value_int_or(value_path(&v, "spec.replicas"), 0), 1);
    assert_sv(value_path_str(&v, "spec.strategy.rollingUpdate.maxSurge"), "25%");
    assert_int_equal(value_int_or(value_path(&v, "spec.revisionHistoryLimit"), 0), 10);
    assert_sv(value_path_str(&v, "spec.template.spec.dnsPolicy"), "ClusterFirst");
    const Value *c = value_at(value_path(&v, "spec.template.spec.containers"), 0);
    assert_sv(value_path_str(c, "imagePullPolicy"), "IfNotPresent");
    assert_null(value_path(&v, "spec.template.spec.enableServiceLinks"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_types_are_named_as_go_does),
        cmocka_unit_test(test_times_of_all_years_are_taken_and_zero_ones_are_none),
        cmocka_unit_test(test_times_of_all_years_pass_through_protobuf),
        cmocka_unit_test(test_unknown_fields_are_collected_and_removed),
        cmocka_unit_test(test_values_get_their_normal_form),
        cmocka_unit_test(test_errors_render_as_kubernetes_does),
        cmocka_unit_test(test_pod_defaults),
        cmocka_unit_test(test_service_and_secret_defaults),
        cmocka_unit_test(test_workload_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
