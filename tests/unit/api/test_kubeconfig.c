#include "unit.h"

#include "api/kubeconfig.h"

static const char usual[] =
    "apiVersion: v1\nkind: Config\ncurrent-context: two\n"
    "clusters:\n"
    "- name: c1\n  cluster: {server: 'https://[::1]:6443', certificate-authority-data: Q0E=}\n"
    "- name: c2\n  cluster: {server: 'http://host/k8s/', insecure-skip-tls-verify: true, "
    "tls-server-name: api}\n"
    "contexts:\n"
    "- name: one\n  context: {cluster: c1, user: u1, namespace: ns1}\n"
    "- name: two\n  context: {cluster: c2, user: u2}\n"
    "- name: dangling\n  context: {cluster: none, user: u2}\n"
    "- name: helper\n  context: {cluster: c1, user: u3}\n"
    "users:\n"
    "- name: u1\n  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}\n"
    "- name: u2\n  user: {token: secret, tokenFile: tok}\n"
    "- name: u3\n  user: {exec: {command: aws}}\n";

static KubeConfig parse(const char *text, const char *context)
{
    KubeConfig c = { 0 };
    Err err = { 0 };
    if (kube_config_parse(sv_cstr(text), "/etc/k", context, &c, &err) < 0)
        fail_msg("%s", err.msg);
    return c;
}

static void test_current_context_is_taken(void **state)
{
    (void)state;
    KubeConfig c = parse(usual, NULL);
    assert_string_equal(c.host, "host");
    assert_int_equal(c.port, 80);
    assert_false(c.tls);
    assert_true(c.insecure);
    assert_string_equal(c.prefix, "/k8s");
    assert_string_equal(c.server_name, "api");
    assert_string_equal(c.token, "secret");
    assert_string_equal(c.token_file, "/etc/k/tok");
    assert_string_equal(c.ns, "default");
    kube_config_free(&c);
}

static void test_named_context_with_inline_keys(void **state)
{
    (void)state;
    KubeConfig c = parse(usual, "one");
    assert_string_equal(c.host, "::1");
    assert_int_equal(c.port, 6443);
    assert_true(c.tls);
    assert_sv(buf_view(&c.ca), "CA");
    assert_sv(buf_view(&c.cert), "CERT");
    assert_sv(buf_view(&c.key), "KEY");
    assert_string_equal(c.ns, "ns1");
    kube_config_free(&c);
}

static void refused(const char *text, const char *context, ErrCode code)
{
    KubeConfig c;
    Err err = { 0 };
    assert_true(kube_config_parse(sv_cstr(text), NULL, context, &c, &err) < 0);
    assert_int_equal(err.code, code);
}

static void test_what_is_missing_or_wrong_is_named(void **state)
{
    (void)state;
    refused(usual, "none", ERR_NOT_FOUND);
    refused(usual, "dangling", ERR_NOT_FOUND);
    refused(usual, "helper", ERR_INVALID);
    refused(usual, NULL, ERR_INVALID); /* a relative tokenFile without a folder */
    refused("[]", NULL, ERR_INVALID);
    refused("{contexts: [{name: a, context: {cluster: c}}], current-context: a, "
            "clusters: [{name: c, cluster: {server: 'ftp://x'}}]}",
            NULL, ERR_INVALID);
    refused("{contexts: [{name: a, context: {cluster: c}}], current-context: a, "
            "clusters: [{name: c, cluster: {server: 'https://x:99999'}}]}",
            NULL, ERR_INVALID);
    refused(
        "{contexts: [{name: a, context: {cluster: c}}], current-context: a, clusters: [{name: c, "
        "cluster: {server: 'https://x', certificate-authority-data: '!'}}]}",
        NULL, ERR_INVALID);
}

/* With the file, the line and the key. */
static void test_errors_say_where(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "current-context: a\ncontexts:\n- name: a\n  context: {cluster: c}\nclusters:\n"
          "- name: b\n- name: c\n  cluster:\n    server: ftp://x\n",
          "kubeconfig:9: clusters[1].cluster.server: 'ftp://x' is not an http or https URL" },
        { "clusters:\n- name: c\n  cluster:\n    insecure-skip-tls-verify: maybe\n",
          "kubeconfig:4: clusters[0].cluster.insecure-skip-tls-verify: cannot unmarshal !!str "
          "`maybe` into bool" },
        { "users: {}\n", "kubeconfig:1: users: cannot unmarshal !!map into NamedAuthInfo" },
        { "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
          "clusters: [{name: c, cluster: {server: 'https://x'}}]\n"
          "users:\n- name: u\n  user:\n    exec: {}\n",
          "kubeconfig:7: users[0].user.exec: users with exec or auth-provider are not supported" },
        { "current-context: a\n", "kubeconfig: there is no context 'a'" },
        { "a: [\n", "kubeconfig: yaml: line " },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        KubeConfig c;
        Err err = { 0 };
        assert_true(kube_config_parse(sv_cstr(cases[i].text), NULL, NULL, &c, &err) < 0);
        if (strncmp(err.msg, cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("%s", err.msg);
    }
}

static void test_keys_of_others_are_left_alone(void **state)
{
    KubeConfig c = parse("preferences: {colors: true}\ncurrent-context: a\n"
                         "contexts: [{name: a, context: {cluster: c, extensions: []}}]\n"
                         "clusters: [{name: c, cluster: {server: 'https://x', proxy-url: y}}]\n",
                         NULL);
    assert_string_equal(c.host, "x");
    kube_config_free(&c);
}

static void test_missing_file_is_not_found(void **state)
{
    (void)state;
    KubeConfig c;
    Err err = { 0 };
    assert_true(kube_config_load("/nonexistent/config", NULL, &c, &err) < 0);
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_current_context_is_taken),
        cmocka_unit_test(test_named_context_with_inline_keys),
        cmocka_unit_test(test_what_is_missing_or_wrong_is_named),
        cmocka_unit_test(test_errors_say_where),
        cmocka_unit_test(test_keys_of_others_are_left_alone),
        cmocka_unit_test(test_missing_file_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
