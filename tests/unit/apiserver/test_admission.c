/* test_admission.c - what admission adds to objects, and what it refuses. */
#include "server_fixture.h"

#include <sched.h>
#include <semaphore.h>
#include <string.h>

#define NS        "/api/v1/namespaces/default"
#define PODS      NS "/pods"
#define CONTAINER "'containers':[{'name':'c','image':'i'}]"

static int setup(void **state)
{
    ApiServerConfig cfg = { .control_plane_node = SV("boss"),
                            .admission_plugins = SV("DenyServiceExternalIPs") };
    Server *s = server_start(&cfg, 0);
    *state = s;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    server_make(s, NS "/serviceaccounts",
                "{'metadata':{'name':'pulls'},'imagePullSecrets':[{'name':'registry'}],"
                "'automountServiceAccountToken':false}");
    return 0;
}

static Answer make_pod(Server *s, const char *name, const char *spec)
{
    return server_make(s, PODS,
                       server_text(s, "{'metadata':{'name':'%s'},'spec':{%s%s" CONTAINER "}}", name,
                                   spec, *spec ? "," : ""));
}

static void test_a_pod_gets_an_account_and_its_token(void **state)
{
    Answer a = make_pod(*state, "plain", "");
    assert_at(&a, "spec.serviceAccountName", "default");
    assert_at(&a, "spec.serviceAccount", "default");
    const char *volume = answer_at(&a, "spec.volumes.0.name");
    assert_int_equal(strncmp(volume, "kube-api-access-", 16), 0);
    assert_at(&a, "spec.containers.0.volumeMounts.0.name", volume);
    assert_at(&a, "spec.containers.0.volumeMounts.0.readOnly", "true");
    assert_at(&a, "spec.containers.0.volumeMounts.0.mountPath",
              "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_at(&a, "spec.volumes.0.projected.sources.0.serviceAccountToken.expirationSeconds",
              "3607");
    assert_at(&a, "spec.volumes.0.projected.sources.1.configMap.name", "kube-root-ca.crt");
    assert_at(&a, "spec.volumes.0.projected.sources.2.downwardAPI.items.0.path", "namespace");
}

static void test_accounts_that_mount_nothing(void **state)
{
    Server *s = *state;
    Answer a = make_pod(s, "pulls", "'serviceAccountName':'pulls'");
    assert_at(&a, "spec.volumes", "");
    assert_at(&a, "spec.imagePullSecrets", "[{\"name\":\"registry\"}]");
    a = make_pod(s, "pulls-own",
                 "'serviceAccountName':'pulls','imagePullSecrets':[{'name':'own'}]");
    assert_at(&a, "spec.imagePullSecrets", "[{\"name\":\"own\"}]");
    a = make_pod(s, "asks", "'serviceAccountName':'pulls','automountServiceAccountToken':true");
    assert_string_not_equal(answer_at(&a, "spec.volumes.0.name"), ""); /* the pod decides */
    a = make_pod(s, "declines", "'automountServiceAccountToken':false");
    assert_at(&a, "spec.volumes", "");
    a = make_pod(s, "old-field", "'serviceAccount':'pulls'");
    assert_at(&a, "spec.serviceAccountName", "pulls");
    a = server_create(s, PODS,
                      "{'metadata':{'name':'x'},'spec':{'serviceAccountName':'nosuch'," CONTAINER
                      "}}");
    assert_status(&a, 403, "Forbidden",
                  "pods \"x\" is forbidden: error looking up service account default/nosuch: "
                  "serviceaccount \"nosuch\" not found");
}

static void test_priorities(void **state)
{
    Server *s = *state;
    server_make(s, "/apis/scheduling.k8s.io/v1/priorityclasses",
                "{'metadata':{'name':'high'},'value':1000,'preemptionPolicy':'Never'}");
    Answer a = make_pod(s, "usual", "");
    assert_at(&a, "spec.priority", "0");
    assert_at(&a, "spec.preemptionPolicy", "PreemptLowerPriority");
    a = make_pod(s, "high", "'priorityClassName':'high'");
    assert_at(&a, "spec.priority", "1000");
    assert_at(&a, "spec.preemptionPolicy", "Never");
    a = make_pod(s, "critical", "'priorityClassName':'system-node-critical'");
    assert_at(&a, "spec.priority", "2000001000");
    a = server_create(s, PODS,
                      "{'metadata':{'name':'x'},'spec':{'priorityClassName':'nosuch'," CONTAINER
                      "}}");
    assert_status(&a, 403, "Forbidden",
                  "pods \"x\" is forbidden: no PriorityClass with name nosuch was found");
    a = server_create(s, PODS,
                      "{'metadata':{'name':'x'},'spec':{'priorityClassName':'high',"
                      "'priority':5," CONTAINER "}}");
    assert_status(
        &a, 403, "Forbidden",
        "pods \"x\" is forbidden: the integer value of priority (5) must not be provided in "
        "pod spec; priority admission controller computed 1000 from the given PriorityClass "
        "name");
    a = server_create(s, PODS,
                      "{'metadata':{'name':'x'},'spec':{'priorityClassName':'high',"
                      "'preemptionPolicy':'PreemptLowerPriority'," CONTAINER "}}");
    assert_status(&a, 403, "Forbidden",
                  "pods \"x\" is forbidden: the string value of PreemptionPolicy "
                  "(PreemptLowerPriority) must not be provided in pod spec; priority admission "
                  "controller computed Never from the given PriorityClass name");
}

static void test_a_default_class(void **state)
{
    Server *s = *state;
    server_make(s, "/apis/scheduling.k8s.io/v1/priorityclasses",
                "{'metadata':{'name':'normal'},'value':7,'globalDefault':true}");
    Answer a = make_pod(s, "defaulted", "");
    assert_at(&a, "spec.priorityClassName", "normal");
    assert_at(&a, "spec.priority", "7");
    a = server_create(s, "/apis/scheduling.k8s.io/v1/priorityclasses",
                      "{'metadata':{'name':'second'},'value':8,'globalDefault':true}");
    assert_status(
        &a, 403, "Forbidden",
        "priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass normal is "
        "already marked as default. Only one default can exist");
    a = server_delete(s, "/apis/scheduling.k8s.io/v1/priorityclasses/normal", NULL);
    assert_code(&a, 200);
    a = make_pod(s, "undefaulted", "");
    assert_at(&a, "spec.priority", "0");
}

static void test_tolerations_of_lost_nodes(void **state)
{
    Server *s = *state;
    Answer a = make_pod(s, "tolerant", "");
    assert_at(&a, "spec.tolerations.0.key", "node.kubernetes.io/not-ready");
    assert_at(&a, "spec.tolerations.0.effect", "NoExecute");
    assert_at(&a, "spec.tolerations.0.tolerationSeconds", "300");
    assert_at(&a, "spec.tolerations.1.key", "node.kubernetes.io/unreachable");
    a = make_pod(
        s, "own-toleration",
        "'tolerations':[{'key':'node.kubernetes.io/not-ready','operator':'Exists','effect':"
        "'NoExecute','tolerationSeconds':5}]");
    assert_at(&a, "spec.tolerations.0.tolerationSeconds", "5");
    assert_at(&a, "spec.tolerations.1.key", "node.kubernetes.io/unreachable");
    assert_at(&a, "spec.tolerations.2", "");
    a = make_pod(s, "tolerates-all", "'tolerations':[{'operator':'Exists'}]");
    assert_at(&a, "spec.tolerations.1", "");
    a = make_pod(
        s, "tolerates-other",
        "'tolerations':[{'key':'node.kubernetes.io/not-ready','operator':'Exists','effect':"
        "'NoSchedule'}]");
    assert_at(&a, "spec.tolerations.1.key", "node.kubernetes.io/not-ready");
    assert_at(&a, "spec.tolerations.2.key", "node.kubernetes.io/unreachable");
}

static void test_the_control_planes_node_is_labelled(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "POST", "/api/v1/nodes", "{'metadata':{'name':'boss'}}",
                                     .as = "system:node:boss/system:nodes" });
    assert_code(&a, 201);
    assert_string_not_equal(answer_at(&a, "metadata.labels"), "");
    assert_non_null(
        strstr(answer_at(&a, "metadata.labels"), "node-role.kubernetes.io/control-plane"));
    a = server_make(s, "/api/v1/nodes", "{'metadata':{'name':'worker'}}");
    assert_null(strstr(answer_at(&a, "metadata.labels"), "control-plane"));
}

static void test_external_addresses_are_denied(void **state)
{
    Server *s = *state;
    Answer a =
        server_create(s, NS "/services",
                      "{'metadata':{'name':'ext'},'spec':{'externalIPs':['192.0.2.1'],'ports':[{"
                      "'port':80}]}}");
    assert_status(&a, 403, "Forbidden", NULL);
    assert_non_null(
        strstr(answer_at(&a, "message"), "Use of external IPs is denied by admission control"));
    server_make(s, NS "/services", "{'metadata':{'name':'int'},'spec':{'ports':[{'port':80}]}}");
    a = server_patch(s, NS "/services/int", "merge", "{'spec':{'externalIPs':['192.0.2.1']}}");
    assert_code(&a, 403);
}

static void test_pod_security(void **state)
{
    Server *s = *state;
    const char *ns = "/api/v1/namespaces/guarded";
    server_make(s, "/api/v1/namespaces",
                "{'metadata':{'name':'guarded','labels':{'pod-security.kubernetes.io/enforce':"
                "'baseline','pod-security.kubernetes.io/warn':'restricted'}}}");
    server_make(s, server_text(s, "%s/serviceaccounts", ns), "{'metadata':{'name':'default'}}");
    const char *pods = server_text(s, "%s/pods", ns);
    Answer a =
        server_create(s, pods,
                      "{'metadata':{'name':'bad'},'spec':{'hostNetwork':true," CONTAINER "}}");
    assert_status(&a, 403, "Forbidden",
                  "pods \"bad\" is forbidden: violates PodSecurity \"baseline:latest\": host "
                  "namespaces (hostNetwork=true)");
    a = server_create(s, pods, "{'metadata':{'name':'fair'},'spec':{" CONTAINER "}}");
    assert_code(&a, 201);
    assert_true(sv_find(answer_header(&a, "warning"), SV("would violate PodSecurity")) > 0);
    a = server_patch(s, ns, "merge",
                     "{'metadata':{'labels':{'pod-security.kubernetes.io/enforce':'nosuch'}}}");
    assert_status(&a, 422, "Invalid", NULL);
}

static void test_flags_that_are_not_known(void **state)
{
    Server *s = *state;
    ApiServer *other = NULL;
    ApiServerConfig cfg = s->cfg;
    Err err = { 0 };
    cfg.admission_plugins = SV("DenyServiceExternalIPs,Nosuch");
    assert_int_equal(apiserver_new(s->loop, &cfg, &other, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "'Nosuch'"));
    cfg.admission_plugins = SV("");
    cfg.service_cidr = SV("10.96.0.0/99");
    assert_int_equal(apiserver_new(s->loop, &cfg, &other, &err), -ERR_INVALID);
    cfg = s->cfg;
    cfg.cert_chain = SV("no certificate");
    assert_true(apiserver_new(s->loop, &cfg, &other, &err) < 0);
    server_restart(s, 0); /* what failed has left nothing behind */
    Answer a = server_get(s, PODS "/plain");
    assert_code(&a, 200);
}

/* ---- a namespace that is no longer what admission has seen ---- */

#define QUICK "/api/v1/namespaces/quick"

static bool is_missing(Server *s, const char *key)
{
    Snapshot *sn = store_snapshot(s->store);
    bool missing = !snapshot_get(sn, sv_cstr(key));
    snapshot_unref(sn);
    return missing;
}

/* The store's writer waits in here until the request has been admitted, and handed in behind what
 * changes the namespace. */
static void hold_writer(void *ctx, uint64_t rev, ObjectRev *obj, const Err *err)
{
    sem_wait(ctx);
}

static void let_writer_go(void *ctx)
{
    sem_post(ctx);
}

static Answer make_map_meanwhile(Server *s, const StoreOp *change)
{
    sem_t held;
    Source *timer = NULL;
    StoreOp any = { .kind = STORE_PUT, .key = SV("/any"), .if_rev = STORE_ANY_REV };
    sem_init(&held, 0, 0);
    assert_int_equal(store_commit(s->store, &any, 1, hold_writer, &held, NULL), 0);
    while (is_missing(s, "/any")) /* published, and its done is being called */
        sched_yield();
    assert_int_equal(store_commit(s->store, change, 1, NULL, NULL, NULL), 0);
    assert_int_equal(loop_add_timer(s->loop, 100, 0, let_writer_go, &held, &timer, NULL), 0);
    Answer a = server_create(s, QUICK "/configmaps", "{'metadata':{'name':'m'}}");
    source_free(timer);
    sem_post(&held); /* it may have been answered before */
    store_wait(s->store);
    sem_destroy(&held);
    any.kind = STORE_DELETE;
    assert_int_equal(store_commit_sync(s->store, &any, 1, NULL, NULL), 0);
    return a;
}

static void test_a_namespace_that_goes_meanwhile(void **state)
{
    Server *s = *state;
    server_make(s, "/api/v1/namespaces", "{'metadata':{'name':'quick'}}");
    StoreOp gone = { .kind = STORE_DELETE,
                     .key = SV("/registry/namespaces/quick"),
                     .if_rev = STORE_ANY_REV };
    Answer a = make_map_meanwhile(s, &gone);
    assert_status(&a, 404, "NotFound", "namespaces \"quick\" not found");
    assert_true(is_missing(s, "/registry/configmaps/quick/m"));
}

static void test_a_namespace_that_begins_to_go_meanwhile(void **state)
{
    Server *s = *state;
    server_make(s, "/api/v1/namespaces", "{'metadata':{'name':'quick'}}");
    StoreOp going = { .kind = STORE_PUT,
                      .key = SV("/registry/namespaces/quick"),
                      .if_rev = STORE_ANY_REV,
                      .val =
                          SV("{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":"
                             "\"quick\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}") };
    Answer a = make_map_meanwhile(s, &going);
    assert_status(&a, 403, "Forbidden",
                  "configmaps \"m\" is forbidden: unable to create new content in namespace quick "
                  "because it is being terminated");
    assert_true(is_missing(s, "/registry/configmaps/quick/m"));
}

/* Where nothing forbids it, it is made. */
static void test_a_namespace_that_changes_meanwhile(void **state)
{
    Server *s = *state;
    StoreOp gone = { .kind = STORE_DELETE,
                     .key = SV("/registry/namespaces/quick"),
                     .if_rev = STORE_ANY_REV };
    assert_int_equal(store_commit_sync(s->store, &gone, 1, NULL, NULL), 0);
    server_make(s, "/api/v1/namespaces", "{'metadata':{'name':'quick'}}");
    StoreOp labelled = { .kind = STORE_PUT,
                         .key = SV("/registry/namespaces/quick"),
                         .if_rev = STORE_ANY_REV,
                         .val = SV("{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{"
                                   "\"name\":\"quick\",\"labels\":{\"a\":\"b\"}}}") };
    Answer a = make_map_meanwhile(s, &labelled);
    assert_code(&a, 201);
    assert_false(is_missing(s, "/registry/configmaps/quick/m"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_gets_an_account_and_its_token),
        cmocka_unit_test(test_accounts_that_mount_nothing),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_a_default_class),
        cmocka_unit_test(test_tolerations_of_lost_nodes),
        cmocka_unit_test(test_the_control_planes_node_is_labelled),
        cmocka_unit_test(test_external_addresses_are_denied),
        cmocka_unit_test(test_pod_security),
        cmocka_unit_test(test_flags_that_are_not_known),
        cmocka_unit_test(test_a_namespace_that_goes_meanwhile),
        cmocka_unit_test(test_a_namespace_that_begins_to_go_meanwhile),
        cmocka_unit_test(test_a_namespace_that_changes_meanwhile),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
