#include "unit.h"

#include "apiserver/pod_security_checks.h"
#include "codec/yaml.h"

/* What a pod with this spec breaks, in words; empty: nothing. */
static void expect(PodSecurityLevel level, unsigned minor, const char *spec, const char *want)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf details = BUF_INIT;
    Value v;
    arena_init(&a, 0);
    assert_int_equal(yaml_decode(sv_cstr(spec), &a, NULL, &v, NULL, NULL), 0);
    bool ok = pod_security_check(level, minor, NULL, &v, NULL, &details);
    assert_string_equal(buf_cstr(&details), want);
    assert_int_equal(ok, !want[0]);
}

static void test_everything_that_is_wrong_is_said(void **state)
{
    expect(
        POD_SECURITY_BASELINE, POD_SECURITY_LATEST,
        "{hostNetwork: true, hostPID: true, volumes: [{name: v, hostPath: {path: /}}], containers: ["
        "{name: a, ports: [{hostPort: 80}], securityContext: {privileged: true, capabilities: {add: "
        "[SYS_ADMIN, CHOWN, BPF]}}}, {name: b, securityContext: {privileged: true}}]}",
        "non-default capabilities (container \"a\" must not include \"BPF\", \"SYS_ADMIN\" in "
        "securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), "
        "hostPath volumes (volume \"v\"), hostPort (container \"a\" uses hostPort 80), privileged "
        "(containers \"a\", \"b\" must not set securityContext.privileged=true)");
}

static void test_a_plain_pod_is_not_restricted(void **state)
{
    expect(
        POD_SECURITY_RESTRICTED, POD_SECURITY_LATEST, "{containers: [{name: a}]}",
        "allowPrivilegeEscalation != false (container \"a\" must set "
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"a\" "
        "must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or "
        "container \"a\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or "
        "container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or "
        "\"Localhost\")");
}

static void test_a_stricter_rule_speaks_for_the_weaker(void **state)
{
    expect(POD_SECURITY_RESTRICTED, 7,
           "{securityContext: {runAsNonRoot: true}, volumes: [{name: v, hostPath: {path: /}}], "
           "containers: [{name: a}]}",
           "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")");
}

static void test_a_version_has_its_own_rules(void **state)
{
    const char *probe = "{containers: [{name: a, livenessProbe: {httpGet: {host: h}}}]}";
    const char *sysctl = "{securityContext: {sysctls: [{name: net.ipv4.tcp_rmem}]}}";
    expect(POD_SECURITY_BASELINE, 33, probe, "");
    expect(POD_SECURITY_BASELINE, 34, probe,
           "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")");
    expect(POD_SECURITY_BASELINE, 32, sysctl, "");
    expect(POD_SECURITY_BASELINE, 31, sysctl, "forbidden sysctls (net.ipv4.tcp_rmem)");
    expect(POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST, "{hostNetwork: true}", "");
}

static void test_every_list_of_containers_counts(void **state)
{
    expect(
        POD_SECURITY_BASELINE, POD_SECURITY_LATEST,
        "{containers: [{name: b}], initContainers: [{name: a, securityContext: {privileged: true}}], "
        "ephemeralContainers: [{name: c, securityContext: {privileged: true}}]}",
        "privileged (containers \"a\", \"c\" must not set securityContext.privileged=true)");
    expect(
        POD_SECURITY_BASELINE, POD_SECURITY_LATEST,
        "{securityContext: {seccompProfile: {type: Unconfined}, seLinuxOptions: {user: u}}, containers: "
        "[{name: b, securityContext: {seccompProfile: {type: Unconfined}}}]}",
        "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: user may not be set), "
        "seccompProfile (pod and container \"b\" must not set securityContext.seccompProfile.type to "
        "\"Unconfined\")");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_that_is_wrong_is_said),
        cmocka_unit_test(test_a_plain_pod_is_not_restricted),
        cmocka_unit_test(test_a_stricter_rule_speaks_for_the_weaker),
        cmocka_unit_test(test_a_version_has_its_own_rules),
        cmocka_unit_test(test_every_list_of_containers_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
