#include "doc.h"

#include <stdio.h>

#include "api/defaults.h"
#include "api/validate.h"

#define META "'metadata':{'name':'x','namespace':'default'}"

/* Defaults and checks an object, in the form that the server gives it; "" when all is well. */
static void expect(const char *group, const char *kind, const char *text, const char *old_text,
                   const char *want)
{
    const ApiResource *r = api_kind_find(sv_cstr(group), SV("v1"), sv_cstr(kind));
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf got = BUF_INIT;
    ApiErrors e = { .arena = &a };
    Value v, old = value_null();

    arena_init(&a, 0);
    v = doc(&a, text);
    assert_true(api_defaults_apply(r, &v, &a));
    if (old_text) {
        old = doc(&a, old_text);
        assert_true(api_defaults_apply(r, &old, &a));
    }
    api_validate(r, &v, old_text ? &old : NULL, &e);
    assert_false(e.failed);
    api_errors_text(&e, &got);
    buf_putc(&got, 0);
    assert_string_equal(got.ptr, want);
}

static void test_metadata(void **state)
{
    expect("", "ConfigMap",
           "{'metadata':{'name':'x','namespace':'default','labels':{'a/b':'c'},"
           "'annotations':{'A.b/C':'any text'}}}",
           NULL, "");
    expect("", "ConfigMap", "{'metadata':{'namespace':'default'}}", NULL,
           "metadata.name: Required value: name or generateName is required");
    expect(
        "", "ConfigMap", "{'metadata':{'name':'X','namespace':'default'}}", NULL,
        "metadata.name: Invalid value: \"X\": a lowercase RFC 1123 subdomain must consist of lower "
        "case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?"
        "(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
    expect("", "Namespace", "{'metadata':{'name':'a.b'}}", NULL,
           "metadata.name: Invalid value: \"a.b\": must not contain dots");
    expect("", "Namespace", "{'metadata':{'name':'a','namespace':'b'}}", NULL,
           "metadata.namespace: Forbidden: not allowed on this type");
    expect("", "ConfigMap", "{'metadata':{'name':'x1','generateName':'x-','namespace':'d'}}", NULL,
           "");
    expect(
        "", "ConfigMap", "{'metadata':{'name':'x','namespace':'d','labels':{'a':'b c'}}}", NULL,
        "metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or consist "
        "of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
    expect("", "ConfigMap", "{'metadata':{'name':'x','namespace':'d','uid':'2'}}",
           "{'metadata':{'name':'x','namespace':'d','uid':'1'}}",
           "metadata.uid: Invalid value: \"2\": field is immutable");
}

#define POD(spec) "{" META ",'spec':{" spec "}}"

static void test_pod(void **state)
{
    expect("", "Pod",
           POD("'containers':[{'name':'a','image':'b','env':[{'name':'A','value':'1'}],"
               "'volumeMounts':[{'name':'v','mountPath':'/v'}]}],'volumes':[{'name':'v'}]"),
           NULL, "");
    expect("", "Pod", POD(""), NULL, "spec.containers: Required value");
    expect("", "Pod", POD("'containers':[{'name':'a','image':'b'},{'name':'a','image':''}]"), NULL,
           "[spec.containers[1].name: Duplicate value: \"a\", spec.containers[1].image: Required "
           "value]");
    expect("", "Pod", POD("'restartPolicy':'Sometimes','containers':[{'name':'a','image':'b'}]"),
           NULL,
           "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", "
           "\"OnFailure\", \"Never\"");
    expect(
        "", "Pod",
        POD("'containers':[{'name':'a','image':'b','ports':[{'containerPort':70000}],"
            "'volumeMounts':[{'name':'v','mountPath':'/v'}]}]"),
        NULL,
        "[spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and "
        "65535, inclusive, spec.containers[0].volumeMounts[0].name: Not found: \"v\"]");
    expect("", "Pod",
           POD("'containers':[{'name':'a','image':'b','resources':{'requests':{'cpu':'2'},"
               "'limits':{'cpu':'1'}}}]"),
           NULL,
           "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or "
           "equal to "
           "cpu limit of 1");
    expect("", "Pod",
           POD("'containers':[{'name':'a','image':'b','resources':{'limits':{'example.com/x':"
               "'1500m'}}}]"),
           NULL,
           "[spec.containers[0].resources.limits[example.com/x]: Invalid value: \"1500m\": must be "
           "an integer, spec.containers[0].resources.requests[example.com/x]: Invalid value: "
           "\"1500m\": must be an integer]");
    expect("", "Pod",
           POD("'containers':[{'name':'a','image':'b','resources':{'limits':{'example.com/x':"
               "'2k'}}}]"),
           NULL, "");
    expect("", "Pod", POD("'containers':[{'name':'a','image':'b','livenessProbe':{}}]"), NULL,
           "spec.containers[0].livenessProbe: Required value: must specify a handler type");
}

static void test_sysctl_names(void **state)
{
    static const char *const sound[] = { "net.ipv4.tcp_syncookies", "a", "a.b-c.d_e", "a/b.c",
                                         "1" };
    static const char *const bad[] = { "A.b", "a..b", ".a", "a.", "a-", "-a", "a.-b", "a b", "_a" };
    char body[256], want[400];
    for (size_t i = 0; i < ARRAY_SIZE(sound) + ARRAY_SIZE(bad); i++) {
        bool ok = i < ARRAY_SIZE(sound);
        const char *name = ok ? sound[i] : bad[i - ARRAY_SIZE(sound)];
        snprintf(body, sizeof body,
                 POD("'securityContext':{'sysctls':[{'name':'%s','value':'1'}]},"
                     "'containers':[{'name':'a','image':'b'}]"),
                 name);
        snprintf(
            want, sizeof want,
            "spec.securityContext.sysctls[0].name: Invalid value: \"%s\": must have at most 253 "
            "characters and match regex "
            "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            name);
        expect("", "Pod", body, NULL, ok ? "" : want);
    }
    expect("", "Pod",
           POD("'securityContext':{'sysctls':[{'name':'a.b'},{'name':'a.b'},{}]},"
               "'containers':[{'name':'a','image':'b'}]"),
           NULL,
           "[spec.securityContext.sysctls[1].name: Duplicate value: \"a.b\", "
           "spec.securityContext.sysctls[2].name: Required value]");
}

static void test_pod_update(void **state)
{
    const char *old = POD("'containers':[{'name':'a','image':'b'}]");

    expect("", "Pod",
           POD("'containers':[{'name':'a','image':'c','imagePullPolicy':'Always'}],"
               "'tolerations':[{'key':'k','operator':'Exists'}]"),
           old, "");
    expect(
        "", "Pod", POD("'containers':[{'name':'a','image':'b','command':['x']}]"), old,
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
        "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
        "set to 1 if it was previously negative)");
    expect("", "Pod", POD("'containers':[{'name':'a','image':'b'},{'name':'c','image':'b'}]"), old,
           "spec.containers: Forbidden: pod updates may not add or remove containers");
}

static void test_service(void **state)
{
    expect("", "Service", "{" META ",'spec':{'ports':[{'port':80}]}}", NULL, "");
    expect("", "Service", "{" META ",'spec':{}}", NULL, "spec.ports: Required value");
    expect(
        "", "Service", "{" META ",'spec':{'ports':[{'port':80},{'port':80}]}}", NULL,
        "[spec.ports[0].name: Required value, spec.ports[1].name: Required value, spec.ports[1]: "
        "Duplicate value: {\"protocol\":\"TCP\",\"port\":80}]");
    expect("", "Service", "{" META ",'spec':{'ports':[{'port':80}],'clusterIP':'10.0.0.2'}}",
           "{" META ",'spec':{'ports':[{'port':80}],'clusterIP':'10.0.0.1'}}",
           "spec.clusterIP: Invalid value: \"10.0.0.2\": field is immutable");
    expect("", "Service", "{" META ",'spec':{'type':'ExternalName'}}", NULL,
           "spec.externalName: Required value");
}

#define TEMPLATE                                                                                   \
    "'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}" \
    "}"

static void test_special_endpoints(void **state)
{
    static const struct {
        const char *type, *address, *want; /* want: behind the field and the value; NULL: fine */
    } cases[] = {
        { "IPv4", "10.1.2.3", NULL },
        { "IPv6", "2001:db8::1", NULL },
        { "IPv4", "224.0.1.1", NULL }, /* the proxy leaves it out */
        { "IPv4", "0.0.0.0", "may not be unspecified (0.0.0.0 or ::)" },
        { "IPv4", "127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)" },
        { "IPv4", "169.254.169.254",
          "may not be in the link-local range (169.254.0.0/16, fe80::/10)" },
        { "IPv4", "224.0.0.1",
          "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)" },
        { "IPv4", "::1", "must be a valid IPv4 address" },
        { "IPv6", "10.1.2.3", "must be a valid IPv6 address" },
        { "IPv6", "::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)" },
        { "IPv6", "::ffff:127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)" },
        { "IPv6", "fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)" },
    };
    char text[512], want[512];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *address = cases[i].address;
        snprintf(text, sizeof text,
                 "{" META ",'addressType':'%s','endpoints':[{'addresses':['%s']}],'ports':[]}",
                 cases[i].type, address);
        snprintf(want, sizeof want, "endpoints[0].addresses[0]: Invalid value: \"%s\": %s", address,
                 cases[i].want);
        expect("discovery.k8s.io", "EndpointSlice", text, NULL, cases[i].want ? want : "");
        if (cases[i].want && strstr(cases[i].want, "valid IPv"))
            continue;
        snprintf(text, sizeof text,
                 "{" META ",'subsets':[{'addresses':[{'ip':'%s'}],'ports':[{'port':80}]}]}",
                 address);
        snprintf(want, sizeof want, "subsets[0].addresses[0].ip: Invalid value: \"%s\": %s",
                 address, cases[i].want);
        expect("", "Endpoints", text, NULL, cases[i].want ? want : "");
    }
}

/* A hostname becomes a name of DNS; nothing else in an endpoint is any text, either. */
static void test_names_of_endpoints(void **state)
{
    static const char label[] =
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
        "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
        "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    char want[512];
    expect("discovery.k8s.io", "EndpointSlice",
           "{" META ",'addressType':'IPv4','endpoints':[{'addresses':['10.1.2.3'],'hostname':"
           "'a-1','nodeName':'n.example.com'}],'ports':[{'name':'','port':1,'protocol':'TCP'},"
           "{'name':'b','protocol':'UDP'}]}",
           NULL, "");
    expect("discovery.k8s.io", "EndpointSlice",
           "{" META
           ",'addressType':'IPv4','endpoints':[{'addresses':['10.1.2.3'],'hostname':'a.b'}]}",
           NULL, "endpoints[0].hostname: Invalid value: \"a.b\": must not contain dots");
    snprintf(want, sizeof want, "subsets[0].addresses[0].hostname: Invalid value: \"A\": %s",
             label);
    expect("", "Endpoints",
           "{" META ",'subsets':[{'addresses':[{'ip':'10.1.2.3','hostname':'A'}],"
           "'ports':[{'port':80}]}]}",
           NULL, want);
    expect("discovery.k8s.io", "EndpointSlice",
           "{" META ",'addressType':'IPv4','endpoints':[],'ports':[{'port':65536,'protocol':'TCP'}"
           "]}",
           NULL, "ports[0].port: Invalid value: 65536: must be between 1 and 65535, inclusive");
}

static void test_workloads(void **state)
{
    expect("apps", "Deployment",
           "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}", NULL, "");
    expect("apps", "Deployment",
           "{" META ",'spec':{'replicas':-1,'selector':{'matchLabels':{'a':'c'}}," TEMPLATE "}}",
           NULL,
           "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, "
           "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
           "template `labels`]");
    expect("apps", "ReplicaSet", "{" META ",'spec':{" TEMPLATE "}}", NULL,
           "spec.selector: Required value");
    expect("apps", "Deployment",
           "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}},'strategy':"
           "{'rollingUpdate':{'maxSurge':0,'maxUnavailable':0}}," TEMPLATE "}}",
           NULL,
           "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when "
           "`maxSurge` is 0");
    expect(
        "batch", "Job", "{" META ",'spec':{" TEMPLATE "}}", NULL,
        "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"");
}

static void test_config(void **state)
{
    expect(
        "", "ConfigMap", "{" META ",'data':{'a/b':'c'}}", NULL,
        "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric "
        "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used "
        "for validation is '[-._a-zA-Z0-9]+')");
    expect("", "ConfigMap", "{" META ",'immutable':true,'data':{'a':'2'}}",
           "{" META ",'immutable':true,'data':{'a':'1'}}",
           "data: Forbidden: field is immutable when `immutable` is set");
    expect("", "Secret", "{" META ",'type':'kubernetes.io/tls','data':{'tls.crt':''}}", NULL,
           "data[tls.key]: Required value");
    expect("", "Secret", "{" META ",'type':'b'}", "{" META ",'type':'a'}",
           "type: Invalid value: \"b\": field is immutable");
}

static void test_rbac(void **state)
{
    expect("rbac.authorization.k8s.io", "Role",
           "{'metadata':{'name':'a:b','namespace':'d'},'rules':"
           "[{'verbs':['get'],'apiGroups':[''],'resources':['pods']}]}",
           NULL, "");
    expect("rbac.authorization.k8s.io", "Role", "{" META ",'rules':[{'verbs':[]}]}", NULL,
           "[rules[0].verbs: Required value: verbs must contain at least one value, "
           "rules[0].apiGroups: Required value: resource rules must supply at least one api group, "
           "rules[0].resources: Required value: resource rules must supply at least one resource]");
    expect("rbac.authorization.k8s.io", "RoleBinding",
           "{" META ",'roleRef':{'kind':'Role','name':'r'},"
           "'subjects':[{'kind':'User','name':'u'}]}",
           "{" META ",'roleRef':{'kind':'Role','name':'s'}}",
           "roleRef: Invalid value: {\"kind\":\"Role\",\"name\":\"r\",\"apiGroup\":"
           "\"rbac.authorization.k8s.io\"}: cannot change roleRef");
}

static void expect_name(const char *group, const char *kind, StrView name, const char *fault)
{
    const ApiResource *r = api_kind_find(sv_cstr(group), SV("v1"), sv_cstr(kind));
    NameFaults f = { .n = 0 };

    assert_non_null(r);
    api_name_format(r)(name, &f);
    assert_sv(f.n ? f.why[0] : SV(""), fault);
}

static void test_each_kind_has_its_own_names(void **state)
{
    const char *rbac = "rbac.authorization.k8s.io";

    expect_name("", "ConfigMap", SV("a.b-1"), "");
    expect_name(rbac, "Role", SV("a:B c"), "");
    expect_name(rbac, "ClusterRole", SV("a\0b"), "may not contain control characters");
    expect_name(rbac, "RoleBinding", SV("a\x7f"), "may not contain control characters");
    expect_name(rbac, "ClusterRoleBinding", SV("a%b"), "may not contain '%'");
    expect_name(rbac, "Role", SV(".."), "may not be '..'");
    assert_true(name_ok(name_dns1035_label, SV("web")));
    assert_ptr_equal(api_name_format(api_kind_find(SV(""), SV("v1"), SV("Service"))),
                     name_dns1035_label);
    assert_ptr_equal(api_name_format(api_kind_find(SV(""), SV("v1"), SV("Namespace"))),
                     name_dns1123_label);
    assert_ptr_equal(api_name_format(api_kind_find(SV(""), SV("v1"), SV("Secret"))),
                     name_dns1123_subdomain);
}

#define OF_POD "{'kind':'Pod','name':'p','namespace':'default'}"
#define TOLD   "'eventTime':'2026-01-01T00:00:00.000000Z','action':'Do','reason':'R','type':'Normal'"
#define BY     "'reportingController':'a.b/c','reportingInstance':'i'"

static void test_events(void **state)
{
    expect("", "Event", "{" META ",'involvedObject':" OF_POD "}", NULL, "");
    expect("", "Event", "{" META ",'involvedObject':{'kind':'Node','name':'n'}}", NULL, "");
    expect("", "Event", "{" META ",'involvedObject':{'kind':'Pod','name':'p','namespace':'other'}}",
           NULL,
           "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace");
    expect("", "Event",
           "{'metadata':{'name':'x','namespace':'n'},'involvedObject':{'kind':'Node','name':'n'}}",
           NULL, "involvedObject.namespace: Invalid value: \"\": does not match event.namespace");
    expect("", "Event",
           "{" META ",'involvedObject':" OF_POD ",'eventTime':'2026-01-01T00:00:00.000000Z',"
           "'reportingComponent':'a','reportingInstance':'i','reason':'R'}",
           NULL, "action: Required value");

    expect("events.k8s.io", "Event", "{" META ",'regarding':" OF_POD "," TOLD "," BY "}", NULL, "");
    expect("events.k8s.io", "Event", "{" META ",'regarding':" OF_POD ",'type':'Normal'}", NULL,
           "eventTime: Required value");
    expect("events.k8s.io", "Event",
           "{" META ",'regarding':" OF_POD "," TOLD ",'reportingController':'c'}", NULL,
           "reportingInstance: Required value");
    expect("events.k8s.io", "Event",
           "{" META ",'regarding':" OF_POD "," TOLD "," BY
           ",'deprecatedCount':1,'deprecatedSource':{'component':'c'},'series':{'count':1}}",
           NULL,
           "[series.count: Invalid value: \"\": should be at least 2, series.lastObservedTime: "
           "Required value, count: Invalid value: \"\": needs to be unset, source: Invalid value: "
           "\"\": needs to be unset]");
    expect("events.k8s.io", "Event",
           "{" META ",'regarding':" OF_POD "," TOLD "," BY
           ",'series':{'count':2,'lastObservedTime':'2026-01-01T00:00:01.000000Z'}}",
           "{" META ",'regarding':" OF_POD "," TOLD "," BY "}", "");
    expect("events.k8s.io", "Event", "{" META ",'regarding':" OF_POD ",'note':'n'," TOLD "," BY "}",
           "{" META ",'regarding':" OF_POD "," TOLD "," BY "}",
           "message: Invalid value: \"n\": field is immutable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_has_its_own_names),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_pod),
        cmocka_unit_test(test_sysctl_names),
        cmocka_unit_test(test_pod_update),
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_special_endpoints),
        cmocka_unit_test(test_names_of_endpoints),
        cmocka_unit_test(test_workloads),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_rbac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
