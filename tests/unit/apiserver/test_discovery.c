/* test_discovery.c - what the server says of itself: its kinds, their schemas, its health and its
 * counts. */
#include "server_fixture.h"

#include <string.h>

#define AGGREGATED "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
#define GNOSTIC    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

/* The item of a list whose member `key` is this. */
static const Value *find(const Value *list, const char *key, const char *want)
{
    value_list_foreach (it, list) {
        if (sv_eq(value_path_str(it, key), sv_cstr(want)))
            return it;
    }
    fail_msg("no %s '%s'", key, want);
    return NULL;
}

static bool has_text(const Value *list, const char *want)
{
    value_list_foreach (it, list) {
        if (sv_eq(value_str(it), sv_cstr(want)))
            return true;
    }
    return false;
}

static void test_versions_and_groups(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, "/api");
    assert_at(&a, "kind", "APIVersions");
    assert_at(&a, "versions", "[\"v1\"]");
    a = server_get(s, "/apis");
    assert_at(&a, "kind", "APIGroupList");
    const Value *hpa = find(value_get(&a.body, SV("groups")), "name", "autoscaling");
    assert_sv(value_path_str(hpa, "preferredVersion.groupVersion"), "autoscaling/v2");
    find(value_get(hpa, SV("versions")), "groupVersion", "autoscaling/v1");
    a = server_get(s, "/apis/autoscaling");
    assert_at(&a, "kind", "APIGroup");
    assert_at(&a, "name", "autoscaling");
    a = server_get(s, "/apis/apps/v2");
    assert_status(&a, 404, "NotFound", NULL);
    a = server_get(s, "/apis/nosuch");
    assert_status(&a, 404, "NotFound", NULL);
    a = server_get(s, "/apis/apps/"); /* a slash at the end makes no difference */
    assert_at(&a, "name", "apps");
}

static void test_the_resources_of_a_version(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, "/api/v1");
    assert_at(&a, "kind", "APIResourceList");
    assert_at(&a, "groupVersion", "v1");
    const Value *list = value_get(&a.body, SV("resources"));
    const Value *pods = find(list, "name", "pods");
    assert_sv(value_path_str(pods, "kind"), "Pod");
    assert_sv(value_path_str(pods, "singularName"), "pod");
    assert_true(value_bool_or(value_get(pods, SV("namespaced")), false));
    assert_true(has_text(value_get(pods, SV("shortNames")), "po"));
    assert_true(has_text(value_get(pods, SV("categories")), "all"));
    assert_true(has_text(value_get(pods, SV("verbs")), "deletecollection"));
    assert_false(value_bool_or(value_get(find(list, "name", "nodes"), SV("namespaced")), true));
    const Value *scale = find(list, "name", "replicationcontrollers/scale");
    assert_sv(value_path_str(scale, "group"), "autoscaling");
    assert_sv(value_path_str(scale, "kind"), "Scale");
    const Value *eviction = find(list, "name", "pods/eviction");
    assert_sv(value_path_str(eviction, "group"), "policy");
    assert_true(has_text(value_get(eviction, SV("verbs")), "create"));
    assert_false(has_text(value_get(eviction, SV("verbs")), "get"));
}

static void test_everything_in_one_answer(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "GET", "/apis", .accept = AGGREGATED ",application/json" });
    assert_code(&a, 200);
    assert_sv(answer_header(&a, "content-type"), AGGREGATED);
    assert_at(&a, "kind", "APIGroupDiscoveryList");
    assert_at(&a, "apiVersion", "apidiscovery.k8s.io/v2");
    const Value *apps = find(value_get(&a.body, SV("items")), "metadata.name", "apps");
    const Value *v1 = find(value_get(apps, SV("versions")), "version", "v1");
    const Value *d = find(value_get(v1, SV("resources")), "resource", "deployments");
    assert_sv(value_path_str(d, "scope"), "Namespaced");
    assert_sv(value_path_str(d, "responseKind.kind"), "Deployment");
    find(value_get(d, SV("subresources")), "subresource", "scale");
    a = server_ask(s, &(Ask){ "GET", "/api", .accept = AGGREGATED });
    find(value_get(value_at(value_path(&a.body, "items"), 0), SV("versions")), "version", "v1");
    a = server_ask(s, &(Ask){ "GET", "/apis",
                              .accept = "application/json;as=Table;v=v1;g=meta.k8s.io" });
    assert_status(&a, 406, "NotAcceptable", NULL);
}

static void test_every_kind_that_is_told_of_answers(void **state)
{
    Server *s = *state;
    Answer groups = server_get(s, "/apis");
    unsigned asked = 0;
    value_list_foreach (g, value_get(&groups.body, SV("groups"))) {
        value_list_foreach (v, value_get(g, SV("versions"))) {
            const char *path =
                server_text(s, "/apis/%.*s", SV_FMT(value_path_str(v, "groupVersion")));
            Answer a = server_get(s, path);
            assert_code(&a, 200);
            value_list_foreach (r, value_get(&a.body, SV("resources"))) {
                StrView name = value_path_str(r, "name");
                if (sv_find_char(name, '/') >= 0 || !has_text(value_get(r, SV("verbs")), "list"))
                    continue;
                Answer list = server_get(s, server_text(s, "%s/%.*s", path, SV_FMT(name)));
                assert_code(&list, 200);
                assert_at(&list, "kind",
                          server_text(s, "%.*sList", SV_FMT(value_path_str(r, "kind"))));
                list = server_ask(s, &(Ask){ "GET", server_text(s, "%s/%.*s", path, SV_FMT(name)),
                                             .accept =
                                                 "application/json;as=Table;v=v1;g=meta.k8s.io" });
                assert_at(&list, "kind", "Table");
                find(value_get(&list.body, SV("columnDefinitions")), "name", "Name");
                asked++;
            }
        }
    }
    assert_in_range(asked, 20, 200);
}

static void test_schemas(void **state)
{
    Server *s = *state;
    Answer a = server_get(s, "/openapi/v3");
    const char *url = answer_at(&a, "paths.apis/apps/v1.serverRelativeURL");
    assert_int_equal(strncmp(url, "/openapi/v3/apis/apps/v1?hash=", 30), 0);
    a = server_get(s, url);
    assert_code(&a, 200);
    assert_at(&a, "components.schemas.[io.k8s.api.apps.v1.Deployment].type", "object");
    StrView tag = answer_header(&a, "etag");
    assert_true(tag.len > 2);
    HttpHeader h[] = { { SV("if-none-match"), tag } };
    a = server_ask(s, &(Ask){ "GET", "/openapi/v3/apis/apps/v1", .headers = h, .n_headers = 1 });
    assert_int_equal(a.status, 304);
    assert_int_equal(a.text.len, 0);
    a = server_get(s, "/openapi/v3/apis/nosuch/v1");
    assert_status(&a, 404, "NotFound", NULL);
    a = server_get(s, "/openapi/v2");
    assert_at(&a, "swagger", "2.0");
    assert_at(&a, "definitions.[io.k8s.api.core.v1.Pod].type", "object");
    a = server_ask(s, &(Ask){ "GET", "/openapi/v2", .accept = GNOSTIC });
    assert_code(&a, 200);
    assert_true(sv_find(answer_header(&a, "content-type"), SV("protobuf")) > 0);
    h[0] = (HttpHeader){ SV("accept-encoding"), SV("gzip") };
    a = server_ask(s, &(Ask){ "GET", "/openapi/v2", .headers = h, .n_headers = 1 });
    assert_sv(answer_header(&a, "content-encoding"), "gzip");
    assert_int_equal((unsigned char)a.text.ptr[0], 0x1f);
}

static void test_version_and_health(void **state)
{
    static const char *const endpoints[] = { "healthz", "livez", "readyz" };
    Server *s = *state;
    Answer a = server_get(s, "/version");
    assert_at(&a, "major", "1");
    assert_at(&a, "minor", "35");
    assert_int_equal(strncmp(answer_at(&a, "gitVersion"), "v1.35.", 6), 0);
    assert_int_equal(strlen(answer_at(&a, "gitCommit")), 40);
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        a = server_get(s, server_text(s, "/%s", endpoints[i]));
        assert_code(&a, 200);
        assert_sv(a.text, "ok");
        a = server_get(s, server_text(s, "/%s?verbose", endpoints[i]));
        assert_sv(a.text,
                  server_text(s, "[+]ping ok\n[+]etcd ok\n%s check passed\n", endpoints[i]));
        a = server_get(s, server_text(s, "/%s/ping", endpoints[i]));
        assert_sv(a.text, "ok");
        a = server_get(s, server_text(s, "/%s/nosuch", endpoints[i]));
        assert_code(&a, 404);
    }
    a = server_get(s, "/readyz?verbose&exclude=etcd&exclude=nosuch");
    assert_sv(a.text,
              "[+]ping ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: "
              "no matches for \"nosuch\"\nreadyz check passed\n");
}

/* The value of the sample whose name and labels begin so; -1: there is none. */
static double sample(Server *s, const char *begin)
{
    Answer a = server_get(s, "/metrics");
    assert_code(&a, 200);
    const char *text = server_text(s, "%.*s", SV_FMT(a.text)), *at = strstr(text, begin);
    if (!at)
        return -1;
    at = strstr(at, "} ");
    return strtod(at + 2, NULL);
}

static void test_requests_are_counted(void **state)
{
    Server *s = *state;
    const char *gets =
        "apiserver_request_total{verb=\"GET\",dry_run=\"\",group=\"\",version=\"v1\",resource="
        "\"secrets\",subresource=\"\",scope=\"resource\",component=\"apiserver\",code=\"404\"} ";
    Answer a = server_get(s, "/api/v1/namespaces/default/secrets/nosuch");
    assert_code(&a, 404);
    double before = sample(s, gets);
    assert_true(before >= 1);
    a = server_get(s, "/api/v1/namespaces/default/secrets/nosuch");
    assert_true(sample(s, gets) == before + 1);
    assert_true(sample(s, "apiserver_request_duration_seconds_count{") >= 1);
    /* What no kind has cannot make a label of its own. */
    for (int i = 0; i < 3; i++)
        a = server_get(s, server_text(s, "/apis/made-up-%d/v1/things", i));
    a = server_get(s, "/metrics");
    assert_true(sv_find(a.text, SV("made-up")) < 0);
}

static void test_two_forms_of_one_kind(void **state)
{
    Server *s = *state;
    const char *v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
               *v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/two";
    server_make(
        s, v2,
        "{'metadata':{'name':'two'},'spec':{'maxReplicas':3,'scaleTargetRef':{'apiVersion':"
        "'apps/v1','kind':'Deployment','name':'web'},'metrics':[{'type':'Resource','resource':{"
        "'name':'cpu','target':{'type':'Utilization','averageUtilization':60}}}]}}");
    Answer a = server_get(s, v1);
    assert_at(&a, "apiVersion", "autoscaling/v1");
    assert_at(&a, "spec.targetCPUUtilizationPercentage", "60");
    a = server_patch(s, v1, "merge", "{'spec':{'targetCPUUtilizationPercentage':70}}");
    assert_code(&a, 200);
    a = server_get(s, server_text(s, "%s/two", v2));
    assert_at(&a, "apiVersion", "autoscaling/v2");
    assert_at(&a, "spec.metrics.0.resource.target.averageUtilization", "70");
    server_make(s, "/api/v1/namespaces/default/events",
                "{'metadata':{'name':'ev'},'involvedObject':{'kind':'Pod','name':'p','namespace':"
                "'default'},'reason':'R','message':'m','count':3}");
    a = server_get(s, "/apis/events.k8s.io/v1/namespaces/default/events/ev");
    assert_at(&a, "apiVersion", "events.k8s.io/v1");
    assert_at(&a, "regarding.name", "p");
    assert_at(&a, "note", "m");
    assert_at(&a, "deprecatedCount", "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_and_groups),
        cmocka_unit_test(test_the_resources_of_a_version),
        cmocka_unit_test(test_everything_in_one_answer),
        cmocka_unit_test(test_every_kind_that_is_told_of_answers),
        cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_version_and_health),
        cmocka_unit_test(test_requests_are_counted),
        cmocka_unit_test(test_two_forms_of_one_kind),
    };
    return cmocka_run_group_tests(tests, server_group_setup, server_group_teardown);
}
