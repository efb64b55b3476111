/* test_rbac.c - who may do what: rules, bindings, and that nobody grants what they do not hold. */
#include "server_fixture.h"

#include <string.h>

#define NS    "/api/v1/namespaces/default"
#define RBAC  "/apis/rbac.authorization.k8s.io/v1"
#define LOCAL RBAC "/namespaces/default"
#define GROUP "rbac.authorization.k8s.io"

static void make_role(Server *s, const char *name, const char *rules)
{
    server_make(s, LOCAL "/roles",
                server_text(s, "{'metadata':{'name':'%s'},'rules':%s}", name, rules));
}

static void make_cluster_role(Server *s, const char *name, const char *rules)
{
    server_make(s, RBAC "/clusterroles",
                server_text(s, "{'metadata':{'name':'%s'},'rules':%s}", name, rules));
}

/* Binds a role, "Role" or "ClusterRole", in the namespace (or everywhere) to "Kind:name". */
static void bind_role(Server *s, bool everywhere, const char *kind, const char *role,
                      const char *subject)
{
    StrView subject_kind, name;
    sv_cut(sv_cstr(subject), ':', &subject_kind, &name);
    const char *path = everywhere ? RBAC "/clusterrolebindings" : LOCAL "/rolebindings";
    server_make(
        s, path,
        server_text(s,
                    "{'metadata':{'generateName':'b-'},'roleRef':{'apiGroup':'" GROUP
                    "','kind':'%s','name':'%s'},'subjects':[{'kind':'%.*s','name':'%.*s'%s}]}",
                    kind, role, SV_FMT(subject_kind), SV_FMT(name),
                    sv_eq(subject_kind, SV("ServiceAccount")) ? ",'namespace':'default'"
                                                              : ",'apiGroup':'" GROUP "'"));
}

/* The answer to "may I" by a review. */
static bool may(Server *s, const char *as, const char *attributes)
{
    Answer a =
        server_ask(s, &(Ask){ "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                              server_text(s, "{'spec':{%s}}", attributes), .as = as });
    assert_code(&a, 201);
    return strcmp(answer_at(&a, "status.allowed"), "true") == 0;
}

static bool may_resource(Server *s, const char *as, const char *verb, const char *what,
                         const char *name)
{
    StrView resource, sub;
    sv_cut(sv_cstr(what), '/', &resource, &sub);
    return may(
        s, as,
        server_text(s,
                    "'resourceAttributes':{'namespace':'default','verb':'%s','resource':'%.*s',"
                    "'subresource':'%.*s','name':'%s'}",
                    verb, SV_FMT(resource), SV_FMT(sub), name));
}

static int setup(void **state)
{
    server_group_setup(state);
    server_make(*state, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(*state, NS "/configmaps", "{'metadata':{'name':'c'}}");
    return 0;
}

static void test_a_stranger_may_ask_and_nothing_else(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "GET", NS "/configmaps/c", .as = "stranger" });
    assert_status(&a, 403, "Forbidden",
                  "configmaps \"c\" is forbidden: User \"stranger\" cannot get resource "
                  "\"configmaps\" in API group \"\" in the namespace \"default\"");
    a = server_ask(s, &(Ask){ "GET", "/apis/apps/v1/deployments", .as = "stranger" });
    assert_status(&a, 403, "Forbidden",
                  "deployments.apps is forbidden: User \"stranger\" cannot list resource "
                  "\"deployments\" in API group \"apps\" at the cluster scope");
    a = server_ask(s, &(Ask){ "GET", "/metrics", .as = "stranger" });
    assert_status(&a, 403, "Forbidden",
                  "forbidden: User \"stranger\" cannot get path \"/metrics\"");
    a = server_ask(s, &(Ask){ "GET", "/api", .as = "stranger" });
    assert_code(&a, 200); /* discovery */
    a = server_ask(s, &(Ask){ "GET", "/api", .as = "" });
    assert_status(&a, 403, "Forbidden",
                  "forbidden: User \"system:anonymous\" cannot get path \"/api\"");
    a = server_ask(s, &(Ask){ "GET", "/readyz", .as = "" });
    assert_code(&a, 200);
    a = server_ask(s, &(Ask){ "GET", "/version", .as = "" });
    assert_code(&a, 200);
}

static void test_verbs_resources_and_subresources(void **state)
{
    static const struct {
        const char *verb, *what;
        bool allowed;
    } rows[] = {
        { "get", "pods", true },
        { "list", "pods", false },
        { "get", "pods/log", false },
        { "get", "services", true },
        { "get", "services/status", true },
        { "delete", "services", false },
        { "update", "deployments/scale", true },
        { "update", "replicasets/scale", true },
        { "update", "deployments", false },
        { "get", "secrets", false },
    };
    Server *s = *state;
    make_role(
        s, "verbs",
        "[{'verbs':['get'],'apiGroups':[''],'resources':['pods','services','services/status']},"
        "{'verbs':['update'],'apiGroups':['*'],'resources':['*/scale']}]");
    bind_role(s, false, "Role", "verbs", "User:vera");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (may_resource(s, "vera", rows[i].verb, rows[i].what, "x") != rows[i].allowed)
            fail_msg("%s %s", rows[i].verb, rows[i].what);
    assert_false(may(s, "vera", "'resourceAttributes':{'verb':'get','resource':'pods'}"));
    assert_false(
        may(s, "vera",
            "'resourceAttributes':{'verb':'get','resource':'pods','namespace':'kube-system'}"));
    assert_false(may(s, "vera",
                     "'resourceAttributes':{'verb':'get','resource':'pods','group':'apps',"
                     "'namespace':'default'}"));
}

static void test_names(void **state)
{
    Server *s = *state;
    make_role(
        s, "names",
        "[{'verbs':['get','create','delete','list'],'apiGroups':[''],'resources':['configmaps'],"
        "'resourceNames':['c']}]");
    bind_role(s, false, "Role", "names", "User:nora");
    assert_true(may_resource(s, "nora", "get", "configmaps", "c"));
    assert_false(may_resource(s, "nora", "get", "configmaps", "d"));
    assert_false(may_resource(s, "nora", "list", "configmaps", "")); /* no name is asked for */
    Answer a = server_ask(s, &(Ask){ "POST", NS "/configmaps", "{'metadata':{'name':'c'}}",
                                     .as = "nora" });
    assert_code(&a, 403); /* nor in the path of a create */
    a = server_ask(s, &(Ask){ "GET", NS "/configmaps/c", .as = "nora" });
    assert_code(&a, 200);
    a = server_ask(s, &(Ask){ "DELETE", NS "/configmaps", .as = "nora" });
    assert_code(&a, 403);
}

static void test_paths(void **state)
{
    Server *s = *state;
    make_cluster_role(s, "paths", "[{'verbs':['get'],'nonResourceURLs':['/metrics','/debug/*']}]");
    bind_role(s, true, "ClusterRole", "paths", "Group:watchers");
    assert_true(may(s, "w/watchers", "'nonResourceAttributes':{'verb':'get','path':'/metrics'}"));
    assert_true(may(s, "w/watchers", "'nonResourceAttributes':{'verb':'get','path':'/debug/a/b'}"));
    assert_false(
        may(s, "w/watchers", "'nonResourceAttributes':{'verb':'get','path':'/metrics/x'}"));
    assert_false(may(s, "w/watchers", "'nonResourceAttributes':{'verb':'post','path':'/metrics'}"));
    assert_false(may(s, "w", "'nonResourceAttributes':{'verb':'get','path':'/metrics'}"));
    Answer a = server_ask(s, &(Ask){ "GET", "/metrics", .as = "w/watchers" });
    assert_code(&a, 200);
}

static void test_a_cluster_role_bound_in_a_namespace_ends_there(void **state)
{
    Server *s = *state;
    bind_role(s, false, "ClusterRole", "view", "User:viktor");
    assert_true(may_resource(s, "viktor", "list", "pods", ""));
    assert_false(may_resource(s, "viktor", "get", "secrets", "x")); /* view leaves them out */
    assert_false(may(s, "viktor", "'resourceAttributes':{'verb':'list','resource':'pods'}"));
    bind_role(s, true, "ClusterRole", "view", "Group:viewers");
    assert_true(may(s, "anyone/viewers", "'resourceAttributes':{'verb':'list','resource':'pods'}"));
}

static void test_changes_count_at_once(void **state)
{
    Server *s = *state;
    bind_role(s, false, "Role", "later", "User:luna"); /* a binding may come before its role */
    assert_false(may_resource(s, "luna", "get", "pods", "x"));
    make_role(s, "later", "[{'verbs':['get'],'apiGroups':[''],'resources':['pods']}]");
    assert_true(may_resource(s, "luna", "get", "pods", "x"));
    Answer a = server_patch(s, LOCAL "/roles/later", "merge", "{'rules':[]}");
    assert_code(&a, 200);
    assert_false(may_resource(s, "luna", "get", "pods", "x"));
}

static void test_nobody_grants_what_they_do_not_hold(void **state)
{
    Server *s = *state;
    make_role(s, "grantor",
              "[{'verbs':['*'],'apiGroups':['" GROUP "'],'resources':['roles','rolebindings']},"
              "{'verbs':['get'],'apiGroups':[''],'resources':['pods']}]");
    bind_role(s, false, "Role", "grantor", "User:greta");
    /* Verb * holds escalate and bind, too: these are taken away for what follows. */
    Answer a = server_patch(s, LOCAL "/roles/grantor", "json",
                            "[{'op':'replace','path':'/rules/0/verbs','value':['create','update',"
                            "'patch','get']}]");
    assert_code(&a, 200);
    s->as = "greta";
    a = server_create(s, LOCAL "/roles",
                      "{'metadata':{'name':'more'},'rules':[{'verbs':['get'],'apiGroups':[''],"
                      "'resources':['secrets']}]}");
    assert_status(&a, 403, "Forbidden", NULL);
    assert_true(strstr(answer_at(&a, "message"),
                       "is attempting to grant RBAC permissions not currently held") != NULL);
    a = server_create(s, LOCAL "/roles",
                      "{'metadata':{'name':'less'},'rules':[{'verbs':['get'],'apiGroups':[''],"
                      "'resources':['pods'],'resourceNames':['p']}]}");
    assert_code(&a, 201);
    a = server_patch(
        s, LOCAL "/roles/less", "merge",
        "{'rules':[{'verbs':['get','delete'],'apiGroups':[''],'resources':['pods']}]}");
    assert_code(&a, 403);
    a = server_patch(s, LOCAL "/roles/less", "merge", "{'metadata':{'labels':{'a':'b'}}}");
    assert_code(&a, 200); /* the rules stay */
    const char *binding = "{'metadata':{'name':'%s'},'roleRef':{'apiGroup':'" GROUP
                          "','kind':'%s','name':'%s'},'subjects':[{'kind':'User','name':'greta',"
                          "'apiGroup':'" GROUP "'}]}";
    a = server_create(s, LOCAL "/rolebindings",
                      server_text(s, binding, "all", "ClusterRole", "cluster-admin"));
    assert_status(&a, 403, "Forbidden", NULL);
    a = server_create(s, LOCAL "/rolebindings", server_text(s, binding, "none", "Role", "nosuch"));
    assert_status(&a, 404, "NotFound", NULL);
    a = server_create(s, LOCAL "/rolebindings", server_text(s, binding, "own", "Role", "less"));
    assert_code(&a, 201);
    s->as = NULL;
}

static void test_the_rights_to_escalate_and_to_bind(void **state)
{
    Server *s = *state;
    make_role(s, "trusted",
              "[{'verbs':['create','escalate'],'apiGroups':['" GROUP "'],'resources':['roles']},"
              "{'verbs':['create'],'apiGroups':['" GROUP "'],'resources':['rolebindings']},"
              "{'verbs':['bind'],'apiGroups':['" GROUP
              "'],'resources':['clusterroles'],'resourceNames':['edit']}]");
    bind_role(s, false, "Role", "trusted", "User:tara");
    s->as = "tara";
    Answer a = server_create(s, LOCAL "/roles",
                             "{'metadata':{'name':'any'},'rules':[{'verbs':['*'],'apiGroups':['*'],"
                             "'resources':['*']}]}");
    assert_code(&a, 201);
    const char *binding = "{'metadata':{'name':'t-%s'},'roleRef':{'apiGroup':'" GROUP
                          "','kind':'ClusterRole','name':'%s'}}";
    a = server_create(s, LOCAL "/rolebindings", server_text(s, binding, "edit", "edit"));
    assert_code(&a, 201);
    a = server_create(s, LOCAL "/rolebindings", server_text(s, binding, "admin", "admin"));
    assert_code(&a, 403);
    s->as = NULL;
    /* Where a binding leads cannot be changed afterwards. */
    a = server_patch(s, LOCAL "/rolebindings/t-edit", "merge", "{'roleRef':{'name':'view'}}");
    assert_status(&a, 422, "Invalid", NULL);
}

static void test_the_rules_of_oneself(void **state)
{
    Server *s = *state;
    make_role(s, "ruled", "[{'verbs':['get'],'apiGroups':[''],'resources':['endpoints']}]");
    bind_role(s, false, "Role", "ruled", "User:rudi");
    Answer a =
        server_ask(s, &(Ask){ "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                              "{'spec':{'namespace':'default'}}", .as = "rudi" });
    assert_code(&a, 201);
    assert_at(&a, "status.incomplete", "false");
    assert_true(strstr(answer_at(&a, "status.resourceRules"), "endpoints") != NULL);
    assert_true(strstr(answer_at(&a, "status.nonResourceRules"), "/api/*") != NULL);
    a = server_ask(s, &(Ask){ "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                              "{'spec':{'namespace':'kube-system'}}", .as = "rudi" });
    assert_null(strstr(answer_at(&a, "status.resourceRules"), "endpoints"));
}

static void test_reviews_about_others(void **state)
{
    Server *s = *state;
    const char *path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    Answer a =
        server_create(s, path,
                      "{'spec':{'user':'u','groups':['system:masters'],'resourceAttributes':{"
                      "'verb':'delete','resource':'nodes'}}}");
    assert_at(&a, "status.allowed", "true");
    a = server_create(
        s, path, "{'spec':{'user':'u','resourceAttributes':{'verb':'delete','resource':'nodes'}}}");
    assert_at(&a, "status.allowed", "false");
    a = server_create(s, path, "{'spec':{'resourceAttributes':{'verb':'get','resource':'pods'}}}");
    assert_status(&a, 422, "Invalid", NULL);
    a = server_create(s, path, "{'spec':{'user':'u'}}");
    assert_status(&a, 422, "Invalid", NULL);
    a = server_create(s,
                      "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
                      "{'spec':{'user':'u','resourceAttributes':{'verb':'get','resource':'pods',"
                      "'namespace':'other'}}}");
    assert_status(&a, 422, "Invalid", NULL);
    a = server_ask(s, &(Ask){ "POST", path, "{'spec':{'user':'u'}}", .as = "stranger" });
    assert_code(&a, 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stranger_may_ask_and_nothing_else),
        cmocka_unit_test(test_verbs_resources_and_subresources),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_a_cluster_role_bound_in_a_namespace_ends_there),
        cmocka_unit_test(test_changes_count_at_once),
        cmocka_unit_test(test_nobody_grants_what_they_do_not_hold),
        cmocka_unit_test(test_the_rights_to_escalate_and_to_bind),
        cmocka_unit_test(test_the_rules_of_oneself),
        cmocka_unit_test(test_reviews_about_others),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
