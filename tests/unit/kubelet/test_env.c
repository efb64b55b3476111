/* test_env.c - environment variables of a container: where their values come from, what refers to
 * what, and what is said of a value that is not there. */
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "kubelet/internal.h"
#include "unit.h"

static Kubelet kubelet = { .cfg = { .node_ip = "192.0.2.7", .cluster_domain = "cluster.local" } };
static StartJob job;
static StringList env;
static ImageConfig image;
static Err err;

static Value tree(const char *text)
{
    Value v;
    if (json_decode(sv_cstr(text), &job.base.arena, NULL, &v, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return v;
}

static int setup(void **state)
{
    err_clear(&err);
    memset(&job, 0, sizeof job);
    memset(&image, 0, sizeof image);
    env = (StringList){ 0 };
    arena_init(&job.base.arena, 0);
    job.base.k = &kubelet;
    snprintf(job.base.pod_ip, sizeof job.base.pod_ip, "10.1.2.3");
    job.service_env = value_list();
    job.base.pod = tree(
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u-1\",\"labels\":{\"app\":\"w\",\"a/b\":\"x\"},"
        "\"annotations\":{\"note\":\"two\\nlines\"}},\"spec\":{\"nodeName\":\"n1\",\"serviceAccountName\":\"sa\"}}");
    return 0;
}

static int teardown(void **state)
{
    vec_free(&env);
    resources_free(&job.base.resources);
    arena_free(&job.base.arena);
    return 0;
}

static void put(const char *key, const char *json)
{
    Map one = { 0 };
    Buf b = BUF_INIT;
    buf_sv(&b, sv_cstr(json));
    assert_true(map_set(&one, sv_cstr(key), &b, NULL));
    assert_true(resources_copy(&one, &job.base.resources));
    map_free(&one);
    buf_free(&b);
}

static int build(const char *container)
{
    Value c = tree(container);
    return env_build(&job, &c, &image, &env, &err);
}

/* The value of a variable; NULL: there is none. The last of a name counts. */
static const char *get(const char *name)
{
    const char *found = NULL;
    size_t n = strlen(name);
    for (size_t i = 0; i < env.len; i++)
        if (strncmp(env.items[i], name, n) == 0 && env.items[i][n] == '=')
            found = env.items[i] + n + 1;
    return found;
}

static void has(const char *name, const char *want)
{
    const char *got = get(name);
    if (!got || strcmp(got, want) != 0)
        fail_msg("%s is '%s', want '%s'", name, got ? got : "(none)", want);
}

static void ok(int r)
{
    if (r < 0)
        fail_msg("%s", err.msg);
}

static void test_references_to_variables_are_expanded(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "plain", "plain" },
        { "", "" },
        { "$(A)", "1" },
        { "x$(A)y$(B)z", "x1y2z" },
        { "$$(A)", "$(A)" },
        { "$$$(A)", "$1" },
        { "$(NONE)", "$(NONE)" },
        { "$(A", "$(A" },
        { "$A", "$A" },
        { "$", "$" },
        { "$$", "$" },
        { "$()", "$()" },
        { "$(A)$(A)", "11" },
        { "$($(A))", "$($(A))" },
        { "$(LONG)", "$(A)" }, /* once only */
    };
    const char *vars[] = { "A=1", "B=2", "LONG=$(A)" };
    for (size_t i = 0; i < ARRAY_SIZE(vars); i++)
        assert_true(vec_push(&env, vars[i]));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_sv(env_expand(sv_cstr(rows[i].in), &env, &job.base.arena), rows[i].out);
}

static void test_a_later_variable_may_refer_to_an_earlier_one(void **state)
{
    ok(build(
        "{\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"$(A)$(C)\"},{\"name\":\"C\",\"value\":\"3\"}]}"));
    has("A", "1");
    has("B", "1$(C)");
}

static void test_the_container_wins_over_the_image(void **state)
{
    const char *own[] = { "PATH=/image", "KEPT=yes" };
    image.env.items = own;
    image.env.len = ARRAY_SIZE(own);
    ok(build("{\"env\":[{\"name\":\"PATH\",\"value\":\"/own:$(KEPT)\"}]}"));
    assert_true(strncmp(get("PATH"), "/own:", 5) == 0);
    has("KEPT", "yes");
}

static void test_fields_of_the_pod(void **state)
{
    static const struct {
        const char *path, *want;
    } rows[] = {
        { "metadata.name", "web" },
        { "metadata.namespace", "shop" },
        { "metadata.uid", "u-1" },
        { "metadata.labels['app']", "w" },
        { "metadata.labels['a/b']", "x" },
        { "metadata.labels['none']", "" },
        { "metadata.annotations['note']", "two\nlines" },
        { "spec.nodeName", "n1" },
        { "spec.serviceAccountName", "sa" },
        { "status.hostIP", "192.0.2.7" },
        { "status.podIP", "10.1.2.3" },
        { "status.podIPs", "10.1.2.3" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        StrView got;
        ok(field_ref_value(&job.base, sv_cstr(rows[i].path), &got, &err));
        assert_sv(got, rows[i].want);
    }
    StrView all = SV_NULL, none = SV("untouched");
    ok(field_ref_value(&job.base, SV("metadata.annotations"), &all, &err));
    assert_sv(all, "note=\"two\\nlines\""); /* quoted as Go does it */
    ok(field_ref_value(&job.base, SV("metadata.labels"), &all, &err));
    assert_sv(all, "a/b=\"x\"\napp=\"w\""); /* by name */
    job.base.pod = tree("{\"metadata\":{\"labels\":{}}}");
    ok(field_ref_value(&job.base, SV("metadata.labels"), &all, &err));
    assert_sv(all, "");
    assert_int_equal(field_ref_value(&job.base, SV("spec.containers"), &none, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "spec.containers"));
    assert_sv(none, "untouched");
}

static const char *amount(const char *container, const char *ref)
{
    StrView got;
    Value c = tree(container), r = tree(ref);
    ok(resource_field_value(&job.base.pod, &r, &c, &job.base.arena, &got, &err));
    return arena_cstr(&job.base.arena, got);
}

static void test_amounts_of_a_container(void **state)
{
    const char *c =
        "{\"resources\":{\"limits\":{\"cpu\":\"1500m\",\"memory\":\"64Mi\"},\"requests\":{\"cpu\":\"250m\"}}}";
    assert_string_equal(amount(c, "{\"resource\":\"limits.cpu\"}"), "2"); /* rounded up */
    assert_string_equal(amount(c, "{\"resource\":\"limits.cpu\",\"divisor\":\"1m\"}"), "1500");
    assert_string_equal(amount(c, "{\"resource\":\"requests.cpu\",\"divisor\":\"1m\"}"), "250");
    assert_string_equal(amount(c, "{\"resource\":\"limits.memory\"}"), "67108864");
    assert_string_equal(amount(c, "{\"resource\":\"limits.memory\",\"divisor\":\"1Mi\"}"), "64");
    assert_string_equal(amount(c, "{\"resource\":\"limits.memory\",\"divisor\":\"0\"}"),
                        "67108864");
    assert_string_equal(amount(c, "{\"resource\":\"requests.memory\"}"), "0");
    /* Without a limit it is the node's. */
    assert_true(atoll(amount("{}", "{\"resource\":\"limits.memory\"}")) > 1 << 20);
    assert_true(atoll(amount("{}", "{\"resource\":\"limits.cpu\"}")) >= 1);
    StrView got;
    Value container = tree(c), bad = tree("{\"resource\":\"cpu\"}");
    assert_int_equal(resource_field_value(&job.base.pod, &bad, &container, &job.base.arena, &got,
                                          &err),
                     -ERR_INVALID);
}

static void test_keys_of_config_maps_and_secrets(void **state)
{
    put("configmap/c", "{\"data\":{\"k\":\"plain\"}}");
    put("secret/s", "{\"data\":{\"k\":\"c2VjcmV0\"}}");
    ok(build(
        "{\"env\":[{\"name\":\"C\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"c\",\"key\":\"k\"}}},"
        "{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}},"
        "{\"name\":\"F\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}},"
        "{\"name\":\"O\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"c\",\"key\":\"none\",\"optional\":true}}},"
        "{\"name\":\"P\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"none\",\"key\":\"k\",\"optional\":true}}}]}"));
    has("C", "plain");
    has("S", "secret");
    has("F", "web");
    assert_null(get("O"));
    assert_null(get("P"));
}

static void test_a_key_that_is_missing_is_named(void **state)
{
    put("configmap/c", "{\"data\":{\"k\":\"plain\"}}");
    assert_true(
        build(
            "{\"env\":[{\"name\":\"C\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"c\",\"key\":\"gone\"}}}]}") <
        0);
    assert_non_null(strstr(err.msg, "gone"));
    err_clear(&err);
    assert_true(
        build(
            "{\"env\":[{\"name\":\"C\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"lost\",\"key\":\"k\"}}}]}") <
        0);
    assert_non_null(strstr(err.msg, "lost"));
}

static void test_whole_objects(void **state)
{
    put("configmap/c", "{\"data\":{\"A\":\"1\",\"B\":\"2\"}}");
    put("secret/s", "{\"data\":{\"A\":\"c2VjcmV0\"}}");
    ok(build(
        "{\"envFrom\":[{\"configMapRef\":{\"name\":\"c\"}},{\"prefix\":\"S_\",\"secretRef\":{\"name\":\"s\"}},"
        "{\"configMapRef\":{\"name\":\"none\",\"optional\":true}}],\"env\":[{\"name\":\"B\",\"value\":\"own\"}]}"));
    has("A", "1");
    has("B", "own"); /* env wins over envFrom */
    has("S_A", "secret");
    err_clear(&err);
    assert_true(build("{\"envFrom\":[{\"configMapRef\":{\"name\":\"none\"}}]}") < 0);
}

static void test_copies_of_resources_are_their_own(void **state)
{
    Map copy = { 0 };
    Value got;
    put("secret/s", "{\"data\":{\"A\":\"YQ==\"}}");
    put("configmap/empty", "");
    assert_true(resources_copy(&job.base.resources, &copy));
    resources_free(&job.base.resources);
    assert_true(resource_get(&copy, "secret", SV("s"), &job.base.arena, &got));
    assert_sv(value_path_str(&got, "data.A"), "YQ==");
    assert_false(resource_get(&copy, "configmap", SV("s"), &job.base.arena, &got));
    assert_false(resource_get(&copy, "configmap", SV("empty"), &job.base.arena,
                              &got)); /* optional, absent */
    assert_null(resource_token(&copy, SV("v"), 0).ptr);
    resources_free(&copy);
}

#define ENV_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENV_TEST(test_references_to_variables_are_expanded),
        ENV_TEST(test_a_later_variable_may_refer_to_an_earlier_one),
        ENV_TEST(test_the_container_wins_over_the_image),
        ENV_TEST(test_fields_of_the_pod),
        ENV_TEST(test_amounts_of_a_container),
        ENV_TEST(test_keys_of_config_maps_and_secrets),
        ENV_TEST(test_a_key_that_is_missing_is_named),
        ENV_TEST(test_whole_objects),
        ENV_TEST(test_copies_of_resources_are_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
