/* test_node_rights.c - what the credential of a node may do, and what it may not. */
#include "server_fixture.h"

#include <string.h>

#define NS    "/api/v1/namespaces/default"
#define NODES "/api/v1/nodes"
#define PODS  NS "/pods"
#define N1    "system:node:n1/system:nodes"
#define N2    "system:node:n2/system:nodes"

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'idle'}}");
    server_make(s, NODES, "{'metadata':{'name':'n1'}}");
    server_make(s, NODES, "{'metadata':{'name':'n2'}}");
    static const char *const names[] = { "volume", "projected", "env", "env-from",
                                         "pull",   "init",      "none" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *body = server_text(s, "{'metadata':{'name':'%s'}}", names[i]);
        server_make(s, NS "/secrets", body);
        server_make(s, NS "/configmaps", body);
    }
    server_make(
        s, PODS,
        "{'metadata':{'name':'user'},'spec':{'nodeName':'n1','imagePullSecrets':[{'name':'pull'}],"
        "'initContainers':[{'name':'i','image':'i','env':[{'name':'E','valueFrom':{'secretKeyRef':{"
        "'name':'init','key':'k'}}}]}],'containers':[{'name':'c','image':'i','env':[{'name':'E',"
        "'valueFrom':{'secretKeyRef':{'name':'env','key':'k'}}},{'name':'F','valueFrom':{"
        "'configMapKeyRef':{'name':'env','key':'k'}}}],'envFrom':[{'secretRef':{'name':'env-from'}},"
        "{'configMapRef':{'name':'env-from'}}]}],'volumes':[{'name':'v','secret':{'secretName':"
        "'volume'}},{'name':'w','configMap':{'name':'volume'}},{'name':'x','projected':{'sources':[{"
        "'secret':{'name':'projected'}},{'configMap':{'name':'projected'}}]}},{'name':'y',"
        "'persistentVolumeClaim':{'claimName':'claim'}}]}}");
    server_make(s, PODS,
                "{'metadata':{'name':'foreign'},'spec':{'nodeName':'n2','containers':[{"
                "'name':'c','image':'i'}]}}");
    return 0;
}

static int code(Server *s, const char *as, const char *method, const char *path, const char *body)
{
    Answer a =
        server_ask(s, &(Ask){ method, path, body, .as = as,
                              .type = strcmp(method, "PATCH") == 0 ? "application/merge-patch+json"
                                                                   : NULL });
    return a.status;
}

static void test_a_node_reads_what_its_pods_name(void **state)
{
    static const struct {
        const char *path;
        bool allowed;
    } rows[] = {
        { NS "/secrets/volume", true },
        { NS "/secrets/projected", true },
        { NS "/secrets/env", true },
        { NS "/secrets/env-from", true },
        { NS "/secrets/pull", true },
        { NS "/secrets/init", true },
        { NS "/secrets/none", false },
        { NS "/secrets", false },
        { NS "/configmaps/volume", true },
        { NS "/configmaps/projected", true },
        { NS "/configmaps/env", true },
        { NS "/configmaps/env-from", true },
        { NS "/configmaps/pull", false },
        { NS "/configmaps/none", false },
        { NS "/configmaps", false },
        { NS "/pods/user", true },
        { NS "/pods/foreign", false },
        { NS "/pods", false },
        { "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", true },
        { "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", false },
        { NODES "/n1", true },
        { NODES "/n2", false },
        { NODES, false },
        { NODES "?fieldSelector=metadata.name%3Dn1", true },
        { "/api/v1/services", true },
        { NS "/replicationcontrollers", false },
        { "/apis/apps/v1/deployments", false },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int got = code(s, N1, "GET", rows[i].path, NULL);
        if (got != (rows[i].allowed ? 200 : 403))
            fail_msg("%s: %d", rows[i].path, got);
    }
    /* What another's pods name is not its own; nor is anything of who only calls itself a node. */
    assert_int_equal(code(s, N2, "GET", NS "/secrets/volume", NULL), 403);
    assert_int_equal(code(s, "system:node:n1", "GET", NS "/secrets/volume", NULL), 403);
    assert_int_equal(code(s, "n1/system:nodes", "GET", NS "/secrets/volume", NULL), 403);
}

static void test_the_right_ends_with_the_pod(void **state)
{
    Server *s = *state;
    server_make(s, NS "/secrets", "{'metadata':{'name':'passing'}}");
    server_make(s, PODS,
                "{'metadata':{'name':'passing'},'spec':{'nodeName':'n1','containers':[{"
                "'name':'c','image':'i'}],'volumes':[{'name':'v','secret':{'secretName':"
                "'passing'}}]}}");
    assert_int_equal(code(s, N1, "GET", NS "/secrets/passing", NULL), 200);
    assert_int_equal(code(s, NULL, "DELETE", PODS "/passing", "{'gracePeriodSeconds':0}"), 200);
    assert_int_equal(code(s, N1, "GET", NS "/secrets/passing", NULL), 403);
}

static void test_tokens_for_the_accounts_of_its_pods(void **state)
{
    Server *s = *state;
    Answer pod = server_get(s, PODS "/user"), other = server_get(s, PODS "/foreign");
    const char *bound =
        "{'spec':{'boundObjectRef':{'kind':'Pod','apiVersion':'v1','name':'%s','uid':"
        "'%s'}}}";
    const char *path = NS "/serviceaccounts/default/token";
    const char *own = server_text(s, bound, "user", answer_at(&pod, "metadata.uid")),
               *foreign = server_text(s, bound, "foreign", answer_at(&other, "metadata.uid"));
    assert_int_equal(code(s, N1, "POST", path, own), 201);
    assert_int_equal(code(s, N1, "POST", path, foreign), 403);
    assert_int_equal(code(s, N1, "POST", path, "{'spec':{}}"), 403); /* bound to nothing */
    assert_int_equal(code(s, N1, "POST", NS "/serviceaccounts/idle/token", own), 403);
}

static void test_pods_are_reported_on_and_not_made(void **state)
{
    Server *s = *state;
    const char *running = "{'status':{'phase':'Running'}}";
    assert_int_equal(code(s, N1, "PATCH", PODS "/user/status", running), 200);
    Answer a = server_ask(s, &(Ask){ "PATCH", PODS "/foreign/status", running, .as = N1,
                                     .type = "application/merge-patch+json" });
    assert_status(&a, 403, "Forbidden",
                  "pods \"foreign\" is forbidden: node \"n1\" can only update pod status for pods "
                  "with spec.nodeName set to itself");
    a = server_ask(s, &(Ask){ "PATCH", PODS "/user/status", "{'metadata':{'labels':{'a':'b'}}}",
                              .as = N1, .type = "application/merge-patch+json" });
    assert_status(
        &a, 403, "Forbidden",
        "pods \"user\" is forbidden: node \"n1\" cannot update labels through pod status");
    assert_int_equal(code(s, N1, "PATCH", PODS "/user", "{'spec':{'activeDeadlineSeconds':1}}"),
                     403);
    assert_int_equal(code(s, N1, "POST", PODS,
                          "{'metadata':{'name':'mirror'},'spec':{'nodeName':'n1','containers':[{"
                          "'name':'c','image':'i'}]}}"),
                     403);
    assert_int_equal(code(s, N1, "POST", PODS "/user/binding",
                          "{'metadata':{'name':'user'},'target':{'name':'n1'}}"),
                     403);
}

static void test_deletions_and_evictions_of_its_own_pods(void **state)
{
    Server *s = *state;
    for (int i = 0; i < 2; i++)
        server_make(
            s, PODS,
            server_text(s,
                        "{'metadata':{'name':'end-%d'},'spec':{'nodeName':'n1','containers':[{"
                        "'name':'c','image':'i'}]}}",
                        i));
    assert_int_equal(code(s, N2, "DELETE", PODS "/end-0", NULL), 403);
    assert_int_equal(code(s, N1, "DELETE", PODS "/end-0", "{'gracePeriodSeconds':0}"), 200);
    const char *eviction =
        "{'apiVersion':'policy/v1','kind':'Eviction','metadata':{'name':'end-1'}}";
    Answer a = server_ask(s, &(Ask){ "POST", PODS "/end-1/eviction", eviction, .as = N2 });
    assert_status(&a, 403, "Forbidden",
                  "pods \"end-1\" is forbidden: node \"n2\" can only evict pods with spec.nodeName "
                  "set to itself");
    assert_int_equal(code(s, N1, "POST", PODS "/end-1/eviction", eviction), 201);
}

static void test_a_node_speaks_of_itself_alone(void **state)
{
    Server *s = *state;
    assert_int_equal(code(s, N1, "PATCH", NODES "/n1/status", "{'status':{'phase':'x'}}"), 200);
    Answer a = server_ask(s, &(Ask){ "PATCH", NODES "/n2/status", "{'status':{}}", .as = N1,
                                     .type = "application/merge-patch+json" });
    assert_status(&a, 403, "Forbidden",
                  "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
    a = server_ask(s, &(Ask){ "POST", NODES, "{'metadata':{'name':'n3'}}", .as = N1 });
    assert_status(&a, 403, "Forbidden", NULL);
    a = server_ask(s, &(Ask){ "POST", NODES, "{'metadata':{'name':'n3'}}",
                              .as = "system:node:n3/system:nodes" });
    assert_code(&a, 201);
    assert_int_equal(code(s, N1, "DELETE", NODES "/n1", NULL), 403);
    assert_int_equal(code(s, N1, "PATCH", NODES "/n1",
                          "{'spec':{'taints':[{'key':'k','effect':'NoSchedule'}]}}"),
                     403);
    assert_int_equal(code(s, N1, "PATCH", NODES "/n1",
                          "{'metadata':{'ownerReferences':[{'apiVersion':'v1','kind':'Node','name':"
                          "'n2','uid':'u'}]}}"),
                     403);
}

static void test_labels_that_a_node_may_give_itself(void **state)
{
    static const struct {
        const char *label;
        bool allowed;
    } rows[] = {
        { "kubernetes.io/hostname", true },
        { "kubernetes.io/arch", true },
        { "topology.kubernetes.io/zone", true },
        { "node.kubernetes.io/instance-type", true },
        { "kubelet.kubernetes.io/own", true },
        { "sub.node.kubernetes.io/own", true },
        { "example.com/anything", true },
        { "plain", true },
        { "node-role.kubernetes.io/control-plane", false },
        { "node-restriction.kubernetes.io/secure", false },
        { "sub.node-restriction.kubernetes.io/secure", false },
        { "kubernetes.io/other", false },
        { "other.k8s.io/x", false },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int got = code(s, N1, "PATCH", NODES "/n1",
                       server_text(s, "{'metadata':{'labels':{'%s':'v'}}}", rows[i].label));
        if (got != (rows[i].allowed ? 200 : 403))
            fail_msg("%s: %d", rows[i].label, got);
    }
    /* One that an administrator gave stays: it can neither be changed nor taken away. */
    assert_int_equal(code(s, NULL, "PATCH", NODES "/n1",
                          "{'metadata':{'labels':{'node-restriction.kubernetes.io/pool':'a'}}}"),
                     200);
    Answer a = server_ask(s, &(Ask){ "PATCH", NODES "/n1",
                                     "{'metadata':{'labels':{'node-restriction.kubernetes.io/pool':"
                                     "null}}}",
                                     .as = N1, .type = "application/merge-patch+json" });
    assert_status(&a, 403, "Forbidden",
                  "nodes \"n1\" is forbidden: is not allowed to modify labels: "
                  "node-restriction.kubernetes.io/pool");
}

static void test_leases_of_nodes(void **state)
{
    Server *s = *state;
    const char *leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_int_equal(code(s, N1, "POST", leases, "{'metadata':{'name':'n1'},'spec':{}}"), 201);
    assert_int_equal(code(s, N1, "POST", leases, "{'metadata':{'name':'n2'},'spec':{}}"), 403);
    assert_int_equal(code(s, N1, "GET", server_text(s, "%s/n1", leases), NULL), 200);
    assert_int_equal(code(s, N2, "GET", server_text(s, "%s/n1", leases), NULL), 403);
    assert_int_equal(code(s, N1, "POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases",
                          "{'metadata':{'name':'n1'},'spec':{}}"),
                     403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_reads_what_its_pods_name),
        cmocka_unit_test(test_the_right_ends_with_the_pod),
        cmocka_unit_test(test_tokens_for_the_accounts_of_its_pods),
        cmocka_unit_test(test_pods_are_reported_on_and_not_made),
        cmocka_unit_test(test_deletions_and_evictions_of_its_own_pods),
        cmocka_unit_test(test_a_node_speaks_of_itself_alone),
        cmocka_unit_test(test_labels_that_a_node_may_give_itself),
        cmocka_unit_test(test_leases_of_nodes),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
