/* test_starve_actions.c - subresources that act, questions of identity and access, and what is
 * refused, with too little memory for the request. */
#include "starve.h"

#define NS   "/api/v1/namespaces/default"
#define APPS "/apis/apps/v1/namespaces/default/deployments"
#define AUTH "/apis/authorization.k8s.io/v1"

#define POD(name, rest)                                                                            \
    "{'metadata':{'name':'" name "'},'spec':{" rest "'containers':[{'name':'c','image':'i'}]}}"

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, "/api/v1/nodes", "{'metadata':{'name':'n1'}}");
    return 0;
}

static void test_actions(void **state)
{
    Server *s = *state;
    starve_make(s, NS "/pods", POD("bound-@", ""));
    starve_make(s, NS "/pods", POD("assigned-@", ""));
    starve_make(s, NS "/pods", POD("evicted-@", "'nodeName':'n1',"));
    starve_make(s, NS "/pods", POD("joined-@", "'nodeName':'n1',"));
    starve_make(s, NS "/pods", POD("status-@", "'nodeName':'n1',"));
    starve_make(s, "/api/v1/namespaces", "{'metadata':{'name':'final-@'}}");
    for (int i = 0; i < 2; i++)
        starve_make(
            s, APPS,
            server_text(
                s,
                "{'metadata':{'name':'scale%d-@'},'spec':{'selector':{'matchLabels':"
                "{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':"
                "[{'name':'c','image':'i'}]}}}}",
                i));
    static const StarveCase cases[] = {
        { .ask = { "POST", NS "/pods/bound-@/binding",
                   "{'metadata':{'name':'bound-@'},'target':{'kind':'Node','name':'n1'}}" },
          .code = 201 },
        { .ask = { "POST", NS "/bindings",
                   "{'metadata':{'name':'assigned-@'},'target':{'kind':'Node','name':'n1'}}" },
          .code = 201 },
        { .ask = { "POST", NS "/pods/evicted-@/eviction",
                   "{'apiVersion':'policy/v1','kind':'Eviction','metadata':{'name':'evicted-@'},"
                   "'deleteOptions':{'gracePeriodSeconds':0}}" },
          .code = 201 },
        { .ask = { "PATCH", NS "/pods/joined-@/ephemeralcontainers",
                   "{'spec':{'ephemeralContainers':[{'name':'d','image':'i'}]}}",
                   .type = "application/strategic-merge-patch+json" },
          .code = 200 },
        { .ask = { "PATCH", NS "/pods/status-@/status", "{'status':{'phase':'Running'}}",
                   .type = "application/merge-patch+json", .as = "system:node:n1/system:nodes" },
          .code = 200 },
        { .ask = { "POST", NS "/serviceaccounts/default/token",
                   "{'spec':{'expirationSeconds':700}}" },
          .code = 201 },
        { .ask = { "POST", NS "/serviceaccounts/default/token",
                   "{'spec':{'audiences':['x'],'boundObjectRef':{'kind':'Pod','apiVersion':'v1','name':'joined-@'}}}" },
          .code = 201 },
        { .ask = { "PUT", "/api/v1/namespaces/final-@/finalize",
                   "{'metadata':{'name':'final-@'},'spec':{'finalizers':['a/b']}}" },
          .code = 200 },
        { .ask = { "PUT", APPS "/scale0-@/scale",
                   "{'metadata':{'name':'scale0-@'},'spec':{'replicas':4}}" },
          .code = 200 },
        { .ask = { "PATCH", APPS "/scale1-@/scale", "{'spec':{'replicas':4}}",
                   .type = "application/merge-patch+json" },
          .code = 200 },
    };
    starve(s, &short_arenas, cases, ARRAY_SIZE(cases));
}

static void test_questions(void **state)
{
    Server *s = *state;
    Answer t = server_create(s, NS "/serviceaccounts/default/token", "{}");
    const char *token = answer_at(&t, "status.token");
    const char *review = server_text(s, "{'spec':{'token':'%s'}}", token);
    static const HttpHeader claims[] = { { SV_INIT("impersonate-user"),
                                           SV_INIT("system:serviceaccount:default:default") },
                                         { SV_INIT("impersonate-group"), SV_INIT("devs") } };
    const StarveCase cases[] = {
        { .ask = { "POST", "/apis/authentication.k8s.io/v1/tokenreviews", review }, .code = 201 },
        { .ask = { "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}" },
          .code = 201 },
        { .ask = { "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}",
                   .token = token },
          .code = 201 },
        { .ask = { "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}",
                   .headers = claims, .n_headers = ARRAY_SIZE(claims) },
          .code = 201 },
        { .ask = { "POST", AUTH "/subjectaccessreviews",
                   "{'spec':{'user':'u','groups':['g','system:masters'],'resourceAttributes':{'verb':'get','resource':'pods'}}}" },
          .code = 201 },
        { .ask = { "POST", AUTH "/selfsubjectaccessreviews",
                   "{'spec':{'nonResourceAttributes':{'verb':'get','path':'/metrics'}}}",
                   .as = "alice" },
          .code = 201 },
        { .ask = { "POST", AUTH "/namespaces/default/localsubjectaccessreviews",
                   "{'spec':{'user':'u','resourceAttributes':{'namespace':'default','verb':'get','resource':'pods'}}}" },
          .code = 201 },
        { .ask = { "POST", AUTH "/selfsubjectrulesreviews", "{'spec':{'namespace':'default'}}",
                   .as = "alice" },
          .code = 201 },
    };
    starve(s, &short_arenas, cases, ARRAY_SIZE(cases));
}

static void test_refusals(void **state)
{
    static const StarveCase cases[] = {
        { .ask = { "GET", NS "/secrets", .as = "alice" }, .code = 403 },
        { .ask = { "GET", NS "/pods", .as = "" }, .code = 403 },
        { .ask = { "GET", NS "/pods", .token = "no.such.token" }, .code = 401 },
        { .ask = { "GET", NS "/pods/nosuch/log" }, .code = 404 },
        { .ask = { "GET", NS "/pods/nosuch/proxy/" }, .code = 404 },
        { .ask = { "GET", NS "/services/nosuch/proxy/" }, .code = 404 },
        { .ask = { "GET", "/api/v1/nodes/nosuch/proxy/" }, .code = 404 },
        { .ask = { "POST", NS "/pods/nosuch/exec?command=x" }, .code = 404 },
        { .ask = { "POST", NS "/configmaps", "{'metadata':{'name':'A'}}" }, .code = 422 },
        { .ask = { "POST", NS "/configmaps?fieldValidation=Strict", "{'nosuch':1}" }, .code = 400 },
        { .ask = { "GET", "/apis/nosuch/v1/things" }, .code = 404 },
        { .ask = { "GET", NS "/configmaps?labelSelector=%3D%3D" }, .code = 400 },
    };
    starve(*state, &short_arenas, cases, ARRAY_SIZE(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
