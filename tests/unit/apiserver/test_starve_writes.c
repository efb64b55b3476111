/* test_starve_writes.c - creates, updates, patches and deletions, with too little memory for the
 * request. */
#include "starve.h"

#define NS   "/api/v1/namespaces/default"
#define APPS "/apis/apps/v1/namespaces/default/deployments"
#define RBAC "/apis/rbac.authorization.k8s.io/v1/namespaces/default"

#define CONTAINERS                                                                                 \
    "'containers':[{'name':'c','image':'i','resources':{'limits':{'cpu':'1','memory':'1Gi'}}}]"
#define TEMPLATE "{'metadata':{'labels':{'a':'b'}},'spec':{" CONTAINERS "}}"
#define DEPLOYMENT                                                                                 \
    "'spec':{'replicas':2,'selector':{'matchLabels':{'a':'b'}},'template':" TEMPLATE "}"

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts",
                "{'metadata':{'name':'default'},'imagePullSecrets':[{'name':'pull'}]}");
    return 0;
}

static void test_creations(void **state)
{
    static const StarveCase cases[] = {
        { .ask = { "POST", NS "/configmaps", "{'metadata':{'name':'made-@'},'data':{'k':'v'}}" },
          .code = 201 },
        { .ask = { "POST", NS "/configmaps", "metadata:\n  name: yaml-@\ndata:\n  k: v\n",
                   .type = "application/yaml" },
          .code = 201 },
        { .ask = { "POST", NS "/configmaps?fieldManager=me",
                   "{'metadata':{'generateName':'made-@-'},'data':{'k':'v'},'nosuch':1}" },
          .code = 201,
          .varies = true },
        { .ask = { "POST", NS "/configmaps?dryRun=All", "{'metadata':{'name':'dry'}}" },
          .code = 201 },
        { .ask = { "POST", NS "/pods",
                   "{'metadata':{'name':'made-@'},'spec':{'priorityClassName':'system-node-critical',"
                   "'schedulingGates':[{'name':'a/b'}]," CONTAINERS "}}" },
          .code = 201 },
        { .ask = { "POST", NS "/services",
                   "{'metadata':{'name':'made-@'},'spec':{'type':'NodePort','ports':[{'port':80}]}}" },
          .code = 201,
          .varies = true }, /* its port */
        { .ask = { "POST", "/api/v1/namespaces", "{'metadata':{'name':'made-@'}}" }, .code = 201 },
        { .ask = { "POST", APPS, "{'metadata':{'name':'made-@'}," DEPLOYMENT "}" }, .code = 201 },
        { .ask = { "POST", NS "/secrets",
                   "{'metadata':{'name':'made-@','annotations':{'kubernetes.io/service-account.name':"
                   "'default'}},'type':'kubernetes.io/service-account-token'}" },
          .code = 201 },
        { .ask = { "POST", RBAC "/roles",
                   "{'metadata':{'name':'made-@'},'rules':[{'verbs':['get'],'apiGroups':[''],"
                   "'resources':['pods']}]}" },
          .code = 201 },
        { .ask = { "POST", RBAC "/rolebindings",
                   "{'metadata':{'name':'made-@'},'roleRef':{'apiGroup':'rbac.authorization.k8s.io',"
                   "'kind':'ClusterRole','name':'view'},'subjects':[{'kind':'User','name':'u',"
                   "'apiGroup':'rbac.authorization.k8s.io'}]}" },
          .code = 201 },
        { .ask = { "POST", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
                   "{'metadata':{'name':'made-@'},'spec':{'maxReplicas':3,'scaleTargetRef':"
                   "{'apiVersion':'apps/v1','kind':'Deployment','name':'web'}}}" },
          .code = 201 },
        { .ask = { "PATCH", NS "/configmaps/applied-@?fieldManager=me",
                   "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'applied-@'},'data':{'k':'v'}}",
                   .type = "application/apply-patch+yaml" },
          .code = 201 },
    };
    starve(*state, &short_arenas, cases, ARRAY_SIZE(cases));
}

static void test_changes(void **state)
{
    static const char *const names[] = { "update-@",    "merge-@", "json-@",
                                         "strategic-@", "apply-@", "quiet-@" };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        starve_make(s, APPS, server_text(s, "{'metadata':{'name':'%s'}," DEPLOYMENT "}", names[i]));
        starve_make(s, NS "/configmaps",
                    server_text(s, "{'metadata':{'name':'%s'},'data':{'k':'v'}}", names[i]));
    }
    static const StarveCase cases[] = {
        { .ask = { "PUT", NS "/configmaps/update-@",
                   "{'metadata':{'name':'update-@'},'data':{'k':'w'}}" },
          .code = 200 },
        { .ask = { "PUT", NS "/configmaps/quiet-@",
                   "{'metadata':{'name':'quiet-@'},'data':{'k':'v'}}" },
          .code = 200 },
        { .ask = { "PUT", APPS "/update-@/status",
                   "{'metadata':{'name':'update-@'}," DEPLOYMENT ",'status':{'replicas':1}}" },
          .code = 200 },
        { .ask = { "PATCH", NS "/configmaps/merge-@", "{'data':{'k':null,'l':'w'}}",
                   .type = "application/merge-patch+json" },
          .code = 200 },
        { .ask = { "PATCH", NS "/configmaps/json-@",
                   "[{'op':'test','path':'/data/k','value':'v'},{'op':'add','path':'/data/l','value':'w'}]",
                   .type = "application/json-patch+json" },
          .code = 200 },
        { .ask = { "PATCH", APPS "/strategic-@",
                   "{'spec':{'template':{'spec':{'containers':[{'name':'d','image':'j'}]}}}}",
                   .type = "application/strategic-merge-patch+json" },
          .code = 200 },
        { .ask = { "PATCH", APPS "/merge-@/status", "{'status':{'replicas':1}}",
                   .type = "application/merge-patch+json" },
          .code = 200 },
        { .ask = { "PATCH", APPS "/apply-@?fieldManager=other&force=1",
                   "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'apply-@'},'spec':"
                   "{'replicas':3,'template':{'spec':{'containers':[{'name':'c','image':'j'}]}}}}",
                   .type = "application/apply-patch+yaml" },
          .code = 200 },
    };
    starve(s, &short_arenas, cases, ARRAY_SIZE(cases));
}

static void test_deletions(void **state)
{
    Server *s = *state;
    server_make(s, "/api/v1/nodes", "{'metadata':{'name':'n1'}}");
    starve_make(s, "/api/v1/namespaces", "{'metadata':{'name':'gone-@'}}");
    starve_make(s, NS "/configmaps", "{'metadata':{'name':'gone-@'}}");
    starve_make(s, NS "/configmaps", "{'metadata':{'name':'dry-@'}}");
    starve_make(s, NS "/configmaps", "{'metadata':{'name':'kept-@','labels':{'kept':'@'}}}");
    starve_make(s, NS "/configmaps", "{'metadata':{'name':'held-@','finalizers':['a/b']}}");
    starve_make(s, NS "/pods",
                "{'metadata':{'name':'gone-@'},'spec':{'nodeName':'n1'," CONTAINERS "}}");
    starve_make(s, NS "/services", "{'metadata':{'name':'gone-@'},'spec':{'ports':[{'port':80}]}}");
    for (int i = 0; i < 3; i++)
        starve_make(s, NS "/configmaps",
                    server_text(s, "{'metadata':{'name':'swept-%d-@','labels':{'swept':'@'}}}", i));
    server_make(s, NS "/configmaps", "{'metadata':{'name':'stays','labels':{'stays':'yes'}}}");
    static const StarveCase cases[] = {
        { .ask = { "DELETE", NS "/configmaps/dry-@?dryRun=All" }, .code = 200 },
        { .ask = { "DELETE", NS "/configmaps/gone-@" }, .code = 200 },
        { .ask = { "DELETE", NS "/configmaps/held-@", "{'propagationPolicy':'Foreground'}" },
          .code = 200 },
        { .ask = { "DELETE", NS "/pods/gone-@", "{'gracePeriodSeconds':7}" }, .code = 200 },
        { .ask = { "DELETE", NS "/services/gone-@" }, .code = 200 },
        { .ask = { "DELETE", "/api/v1/namespaces/gone-@" }, .code = 200 },
        { .ask = { "DELETE", NS "/configmaps?labelSelector=kept%3D@&dryRun=All" }, .code = 200 },
        { .ask = { "DELETE", NS "/configmaps?labelSelector=swept%3D@" }, .code = 200 },
    };
    starve(s, &short_arenas, cases, ARRAY_SIZE(cases));
    Answer a = server_get(s, NS "/configmaps?labelSelector=stays");
    assert_at(&a, "items.0.metadata.name", "stays"); /* no selector was lost on the way */
    a = server_get(s, NS "/configmaps?labelSelector=swept");
    assert_at(&a, "items", "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creations),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_deletions),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
