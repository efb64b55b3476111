/* test_subresources.c - scale, binding, eviction, ephemeral containers, and what is no subresource.
 */
#include "server_fixture.h"

#include <string.h>

#define NS        "/api/v1/namespaces/default"
#define PODS      NS "/pods"
#define APPS      "/apis/apps/v1/namespaces/default"
#define CONTAINER "'containers':[{'name':'c','image':'i'}]"

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, "/api/v1/nodes", "{'metadata':{'name':'n1'}}");
    return 0;
}

static void make_pod(Server *s, const char *name, const char *spec)
{
    server_make(
        s, PODS,
        server_text(s, "{'metadata':{'name':'%s','labels':{'own':'1'}},'spec':{%s" CONTAINER "}}",
                    name, spec));
}

static void make_deployment(Server *s, const char *name)
{
    server_make(
        s, APPS "/deployments",
        server_text(s,
                    "{'metadata':{'name':'%s'},'spec':{'replicas':2,'selector':{'matchLabels':{"
                    "'a':'b','c':'d'}},'template':{'metadata':{'labels':{'a':'b','c':'d'}},"
                    "'spec':{" CONTAINER "}}}}",
                    name));
}

/* ---- scale ---- */

static void test_a_scale_shows_and_sets_the_replicas(void **state)
{
    Server *s = *state;
    const char *path = APPS "/deployments/scaled";
    make_deployment(s, "scaled");
    Answer a = server_get(s, server_text(s, "%s/scale", path));
    assert_at(&a, "kind", "Scale");
    assert_at(&a, "apiVersion", "autoscaling/v1");
    assert_at(&a, "spec.replicas", "2");
    assert_at(&a, "status.replicas", "0");
    assert_at(&a, "status.selector", "a=b,c=d");
    const char *rv = answer_at(&a, "metadata.resourceVersion");
    const char *scale = server_text(s, "%s/scale", path);
    a = server_update(
        s, scale,
        server_text(
            s, "{'metadata':{'name':'scaled','resourceVersion':'%s'},'spec':{'replicas':5}}", rv));
    assert_code(&a, 200);
    assert_at(&a, "kind", "Scale");
    assert_at(&a, "spec.replicas", "5");
    a = server_update(
        s, scale,
        server_text(
            s, "{'metadata':{'name':'scaled','resourceVersion':'%s'},'spec':{'replicas':6}}", rv));
    assert_status(&a, 409, "Conflict", NULL);
    a = server_patch(s, scale, "merge", "{'spec':{'replicas':7}}");
    assert_at(&a, "spec.replicas", "7");
    a = server_patch(s, scale, "json", "[{'op':'replace','path':'/spec/replicas','value':8}]");
    assert_at(&a, "spec.replicas", "8");
    a = server_get(s, path);
    assert_at(&a, "spec.replicas", "8");
    assert_at(&a, "metadata.generation", "4");
}

static void test_scales_that_cannot_be(void **state)
{
    Server *s = *state;
    make_deployment(s, "limits");
    const char *scale = APPS "/deployments/limits/scale";
    Answer a = server_patch(s, scale, "merge", "{'spec':{'replicas':-1}}");
    assert_status(&a, 422, "Invalid", NULL);
    assert_non_null(strstr(answer_at(&a, "message"),
                           "spec.replicas: Invalid value: -1: must be greater than or equal to 0"));
    a = server_update(s, scale, "{'metadata':{'name':'other'},'spec':{'replicas':1}}");
    assert_status(&a, 400, "BadRequest",
                  "the name of the object (other) does not match the name on the URL (limits)");
    a = server_update(s, scale, "{");
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_get(s, APPS "/deployments/nosuch/scale");
    assert_status(&a, 404, "NotFound", "deployments.apps \"nosuch\" not found");
    a = server_delete(s, scale, NULL);
    assert_status(&a, 405, "MethodNotAllowed", NULL);
    a = server_patch(s, server_text(s, "%s?dryRun=All", scale), "merge", "{'spec':{'replicas':9}}");
    assert_at(&a, "spec.replicas", "9");
    a = server_get(s, scale);
    assert_at(&a, "spec.replicas", "2");
}

/* ---- binding ---- */

static void test_a_binding_assigns_the_pod(void **state)
{
    Server *s = *state;
    make_pod(s, "bound", "");
    Answer a =
        server_create(s, PODS "/bound/binding",
                      "{'metadata':{'name':'bound','annotations':{'by':'me'},'labels':{'own':'2'}},"
                      "'target':{'kind':'Node','name':'n1'}}");
    assert_code(&a, 201);
    assert_at(&a, "kind", "Status");
    assert_at(&a, "status", "Success");
    a = server_get(s, PODS "/bound");
    assert_at(&a, "spec.nodeName", "n1");
    assert_at(&a, "metadata.annotations.by", "me");
    assert_at(&a, "metadata.labels.own", "2");
    assert_at(&a, "status.conditions.0.type", "PodScheduled");
    assert_at(&a, "status.conditions.0.status", "True");
    a = server_create(s, NS "/bindings", "{'metadata':{'name':'bound'},'target':{'name':'n2'}}");
    assert_status(&a, 409, "Conflict",
                  "Operation cannot be fulfilled on pods/binding \"bound\": pod bound is already "
                  "assigned to node \"n1\"");
}

static void test_bindings_that_cannot_be(void **state)
{
    Server *s = *state;
    make_pod(s, "free", "");
    make_pod(s, "gated", "'schedulingGates':[{'name':'a/b'}],");
    static const struct {
        const char *pod, *body;
        int code;
        const char *what;
    } rows[] = {
        { "free", "{'metadata':{'name':'other'},'target':{'name':'n1'}}", 400,
          "name in URL does not match name in Binding object" },
        { "free", "{'metadata':{'name':'free'},'target':{}}", 422, "target.name" },
        { "free", "{'metadata':{'name':'free'},'target':{'kind':'Pod','name':'n1'}}", 422,
          "target" },
        { "free", "{'metadata':{'name':'free','uid':'other'},'target':{'name':'n1'}}", 409,
          "Precondition failed: UID in precondition: other" },
        { "free", "{'metadata':{'name':'free','resourceVersion':'1'},'target':{'name':'n1'}}", 409,
          "Precondition failed: ResourceVersion in precondition: 1" },
        { "gated", "{'metadata':{'name':'gated'},'target':{'name':'n1'}}", 409,
          "pod gated has non-empty .spec.schedulingGates" },
        { "nosuch", "{'metadata':{'name':'nosuch'},'target':{'name':'n1'}}", 404,
          "pods \"nosuch\" not found" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_create(s, server_text(s, PODS "/%s/binding", rows[i].pod), rows[i].body);
        assert_status(&a, rows[i].code, NULL, NULL);
        if (!strstr(answer_at(&a, "message"), rows[i].what))
            fail_msg("%zu: %s", i, answer_at(&a, "message"));
    }
    Answer a = server_get(s, PODS "/free");
    assert_at(&a, "spec.nodeName", "");
}

/* ---- eviction ---- */

static void test_an_eviction_is_a_deletion(void **state)
{
    Server *s = *state;
    make_pod(s, "evicted", "'nodeName':'n1',");
    const char *path = PODS "/evicted/eviction";
    Answer a = server_create(s, path, "{'metadata':{'name':'other'}}");
    assert_status(&a, 400, "BadRequest", "name in URL does not match name in Eviction object");
    a = server_create(
        s, path,
        "{'metadata':{'name':'evicted'},'deleteOptions':{'preconditions':{'uid':'other'}}}");
    assert_status(&a, 409, "Conflict", NULL);
    a = server_create(s, path,
                      "{'metadata':{'name':'evicted'},'deleteOptions':{'dryRun':['All']}}");
    assert_code(&a, 201);
    a = server_get(s, PODS "/evicted");
    assert_at(&a, "metadata.deletionTimestamp", "");
    a = server_create(s, path,
                      "{'apiVersion':'policy/v1','kind':'Eviction','metadata':{'name':'evicted'},"
                      "'deleteOptions':{'gracePeriodSeconds':9}}");
    assert_code(&a, 201);
    assert_at(&a, "status", "Success");
    a = server_get(s, PODS "/evicted");
    assert_at(&a, "metadata.deletionGracePeriodSeconds", "9");
    a = server_create(s, PODS "/nosuch/eviction", "{'metadata':{'name':'nosuch'}}");
    assert_status(&a, 404, "NotFound", "pods \"nosuch\" not found");
}

/* ---- ephemeral containers ---- */

static void test_ephemeral_containers_come_and_stay(void **state)
{
    Server *s = *state;
    const char *path = PODS "/debugged/ephemeralcontainers";
    make_pod(s, "debugged", "");
    Answer a = server_patch(s, path, "strategic",
                            "{'spec':{'ephemeralContainers':[{'name':'d','image':'i'}],"
                            "'activeDeadlineSeconds':7}}");
    assert_code(&a, 200);
    assert_at(&a, "kind", "Pod");
    assert_at(&a, "spec.ephemeralContainers.0.name", "d");
    assert_at(&a, "spec.activeDeadlineSeconds", ""); /* nothing else is looked at */
    a = server_patch(s, path, "json", "[{'op':'remove','path':'/spec/ephemeralContainers/0'}]");
    assert_status(&a, 422, "Invalid", NULL);
    a = server_patch(s, PODS "/debugged", "strategic",
                     "{'spec':{'ephemeralContainers':[{'name':'e','image':'i'}]}}");
    assert_status(&a, 422, "Invalid", NULL); /* by their own door alone */
}

/* ---- what has no answer ---- */

static void test_paths_that_lead_nowhere(void **state)
{
    static const struct {
        const char *method, *path;
        int code;
    } rows[] = {
        { "GET", PODS "/p/nosuch", 404 },
        { "GET", NS "/configmaps/c/status", 404 },
        { "GET", NS "/configmaps/c/scale", 404 },
        { "GET", PODS "/p/status/more", 404 },
        { "GET", "/api/v2/pods", 404 },
        { "GET", "/apis/nosuch/v1/pods", 404 },
        { "GET", "/apis/apps/v1/pods", 404 },
        { "GET", "/nosuch", 404 },
        { "PUT", PODS, 405 },
        { "POST", PODS "/p", 405 },
        { "GET", PODS "/p/binding", 405 },
        { "GET", PODS "/p/eviction", 405 },
        { "GET", NS "/serviceaccounts/default/token", 405 },
        { "GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405 },
        { "GET", "/api/v1/namespaces/..%2fdefault/pods", 400 },
        { "GET", PODS "/..", 400 },
    };
    Server *s = *state;
    make_pod(s, "p", "");
    server_make(s, NS "/configmaps", "{'metadata':{'name':'c'}}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_ask(s, &(Ask){ rows[i].method, rows[i].path });
        if (a.status != rows[i].code)
            fail_msg("%s %s: %d %.*s", rows[i].method, rows[i].path, a.status, SV_FMT(a.text));
        assert_at(&a, "kind", "Status");
    }
}

static void test_logs_and_streams_without_a_node(void **state)
{
    Server *s = *state;
    make_pod(s, "nowhere", "");
    Answer a = server_get(s, PODS "/nowhere/log");
    assert_code(&a, 200);
    assert_int_equal(a.text.len, 0);
    a = server_get(s, PODS "/nowhere/log?container=nosuch");
    assert_status(&a, 400, "BadRequest", "container nosuch is not valid for pod nowhere");
    a = server_create(s, PODS "/nowhere/exec?command=ls", NULL);
    assert_status(&a, 400, "BadRequest", "pod nowhere does not have a host assigned");
    a = server_get(s, PODS "/nosuch/log");
    assert_status(&a, 404, "NotFound", "pods \"nosuch\" not found");
    a = server_get(s, PODS "/nowhere/proxy/x");
    assert_status(&a, 400, "BadRequest", "address not allowed");
    a = server_get(s, "/api/v1/nodes/nosuch/proxy/x");
    assert_status(&a, 404, "NotFound", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_scale_shows_and_sets_the_replicas),
        cmocka_unit_test(test_scales_that_cannot_be),
        cmocka_unit_test(test_a_binding_assigns_the_pod),
        cmocka_unit_test(test_bindings_that_cannot_be),
        cmocka_unit_test(test_an_eviction_is_a_deletion),
        cmocka_unit_test(test_ephemeral_containers_come_and_stay),
        cmocka_unit_test(test_paths_that_lead_nowhere),
        cmocka_unit_test(test_logs_and_streams_without_a_node),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
