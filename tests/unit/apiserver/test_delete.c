/* test_delete.c - deletions of one object and of many: preconditions, grace, propagation. */
#include "server_fixture.h"

#include <string.h>

#define NS   "/api/v1/namespaces/default"
#define MAPS NS "/configmaps"
#define PODS NS "/pods"
#define POD(name, node)                                                                            \
    "{'metadata':{'name':'" name "'},'spec':{" node "'containers':[{'name':'c','image':'i'}]}}"
#define ON_NODE "'nodeName':'n1',"

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    return 0;
}

static void test_the_answer_is_a_status_or_the_object(void **state)
{
    Server *s = *state;
    Answer made = server_make(s, MAPS, "{'metadata':{'name':'plain'}}");
    Answer a = server_delete(s, MAPS "/plain", NULL);
    assert_code(&a, 200);
    assert_at(&a, "kind", "Status");
    assert_at(&a, "status", "Success");
    assert_at(&a, "details.name", "plain");
    assert_at(&a, "details.kind", "configmaps");
    assert_string_equal(answer_at(&a, "details.uid"), answer_at(&made, "metadata.uid"));
    a = server_delete(s, MAPS "/plain", NULL);
    assert_status(&a, 404, "NotFound", "configmaps \"plain\" not found");
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'whole'}}");
    a = server_delete(s, NS "/serviceaccounts/whole", NULL);
    assert_at(&a, "kind", "ServiceAccount");
}

static void test_preconditions(void **state)
{
    Server *s = *state;
    Answer made = server_make(s, MAPS, "{'metadata':{'name':'sure'}}");
    const char *uid = answer_at(&made, "metadata.uid"),
               *rv = answer_at(&made, "metadata.resourceVersion");
    Answer a = server_delete(s, MAPS "/sure", "{'preconditions':{'uid':'other'}}");
    assert_status(&a, 409, "Conflict", NULL);
    assert_true(strstr(answer_at(&a, "message"), uid) != NULL);
    a = server_delete(s, MAPS "/sure", "{'preconditions':{'resourceVersion':'1'}}");
    assert_status(&a, 409, "Conflict", NULL);
    a = server_delete(s, MAPS "/sure",
                      server_text(s, "{'preconditions':{'uid':'%s','resourceVersion':'%s'}}", uid,
                                  rv));
    assert_code(&a, 200);
}

static void test_options_that_cannot_be(void **state)
{
    static const struct {
        const char *query, *body;
        int code;
        const char *message;
    } rows[] = {
        { "", "{'propagationPolicy':'Sideways'}", 422,
          "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: "
          "\"Sideways\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"" },
        { "?propagationPolicy=Sideways", NULL, 422, NULL },
        { "", "{'propagationPolicy':'Orphan','orphanDependents':true}", 422,
          "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": "
          "orphanDependents and deletionPropagation cannot be both set" },
        { "", "{'dryRun':['Some']}", 422, NULL },
        { "?dryRun=Some", NULL, 422, NULL },
        { "?gracePeriodSeconds=soon", NULL, 400, NULL },
        { "", "{", 400, NULL },
    };
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'options'}}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_delete(s, server_text(s, MAPS "/options%s", rows[i].query), rows[i].body);
        assert_status(&a, rows[i].code, rows[i].code == 422 ? "Invalid" : "BadRequest",
                      rows[i].message);
    }
    Answer a = server_get(s, MAPS "/options");
    assert_code(&a, 200);
}

static void test_dry_runs_delete_nothing(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'dry','labels':{'dry':''}}}");
    uint64_t rev = store_revision(s->store);
    Answer a = server_delete(s, MAPS "/dry?dryRun=All", NULL);
    assert_code(&a, 200);
    a = server_delete(s, MAPS "/dry", "{'dryRun':['All']}");
    assert_code(&a, 200);
    a = server_delete(s, MAPS "?labelSelector=dry&dryRun=All", NULL);
    assert_code(&a, 200);
    assert_int_equal(store_revision(s->store), rev);
}

static void test_a_pod_on_a_node_has_time_to_end(void **state)
{
    Server *s = *state;
    server_make(s, PODS, POD("unassigned", ""));
    Answer a = server_delete(s, PODS "/unassigned", NULL);
    assert_at(&a, "kind", "Pod");
    a = server_get(s, PODS "/unassigned");
    assert_code(&a, 404); /* nobody has to stop it */

    server_make(s, PODS, POD("graceful", ON_NODE));
    a = server_delete(s, PODS "/graceful", NULL);
    assert_code(&a, 200);
    assert_at(&a, "metadata.deletionGracePeriodSeconds", "30");
    const char *until = answer_at(&a, "metadata.deletionTimestamp");
    assert_string_not_equal(until, "");
    a = server_delete(s, PODS "/graceful", "{'gracePeriodSeconds':60}");
    assert_at(&a, "metadata.deletionGracePeriodSeconds", "30"); /* never longer */
    assert_string_equal(answer_at(&a, "metadata.deletionTimestamp"), until);
    a = server_delete(s, PODS "/graceful?gracePeriodSeconds=5", NULL);
    assert_at(&a, "metadata.deletionGracePeriodSeconds", "5");
    a = server_delete(s, PODS "/graceful", "{'gracePeriodSeconds':0}");
    assert_code(&a, 200);
    a = server_get(s, PODS "/graceful");
    assert_code(&a, 404);

    server_make(s, PODS, POD("late", ON_NODE));
    a = server_delete(s, PODS "/late", "{'gracePeriodSeconds':-5}");
    assert_at(&a, "metadata.deletionGracePeriodSeconds", "1");
}

static void test_a_pod_that_has_ended_goes_at_once(void **state)
{
    Server *s = *state;
    server_make(s, PODS, POD("ended", ON_NODE));
    Answer a = server_patch(s, PODS "/ended/status", "merge", "{'status':{'phase':'Succeeded'}}");
    assert_code(&a, 200);
    a = server_delete(s, PODS "/ended", NULL);
    assert_code(&a, 200);
    a = server_get(s, PODS "/ended");
    assert_code(&a, 404);
}

/* What the object's finalizers become; NULL: it is gone. */
static const char *finalizers_after(Server *s, const char *path, const char *options)
{
    Answer a = server_delete(s, path, options);
    assert_code(&a, 200);
    a = server_get(s, path);
    return a.status == 404 ? NULL : answer_at(&a, "metadata.finalizers");
}

static void test_propagation(void **state)
{
    static const struct {
        const char *options, *finalizers;
    } rows[] = {
        { NULL, NULL },
        { "{'propagationPolicy':'Background'}", NULL },
        { "{'propagationPolicy':'Foreground'}", "[\"foregroundDeletion\"]" },
        { "{'propagationPolicy':'Orphan'}", "[\"orphan\"]" },
        { "{'orphanDependents':true}", "[\"orphan\"]" },
        { "{'orphanDependents':false}", NULL },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        server_make(s, MAPS, server_text(s, "{'metadata':{'name':'owner-%zu'}}", i));
        const char *got =
            finalizers_after(s, server_text(s, MAPS "/owner-%zu", i), rows[i].options);
        if (rows[i].finalizers) {
            assert_non_null(got);
            assert_string_equal(got, rows[i].finalizers);
        } else
            assert_null(got);
    }
    /* A later policy takes the place of the one before. */
    const char *got = finalizers_after(s, MAPS "/owner-3", "{'propagationPolicy':'Foreground'}");
    assert_string_equal(got, "[\"foregroundDeletion\"]");
    assert_null(finalizers_after(s, MAPS "/owner-2", "{'propagationPolicy':'Background'}"));
}

static void test_kinds_that_leave_their_dependents(void **state)
{
    Server *s = *state;
    server_make(
        s, NS "/replicationcontrollers",
        "{'metadata':{'name':'rc'},'spec':{'replicas':0,'selector':{'a':'b'},'template':{"
        "'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
    assert_string_equal(finalizers_after(s, NS "/replicationcontrollers/rc", NULL), "[\"orphan\"]");
    server_make(s, "/apis/batch/v1/namespaces/default/jobs",
                "{'metadata':{'name':'job'},'spec':{'template':{'spec':{'restartPolicy':'Never',"
                "'containers':[{'name':'c','image':'i'}]}}}}");
    Answer a = server_delete(s, "/apis/batch/v1/namespaces/default/jobs/job", NULL);
    assert_code(&a, 200);
    assert_true(sv_find(answer_header(&a, "warning"), SV("child pods are preserved by default")) >
                0);
    assert_at(&a, "metadata.finalizers", "[\"orphan\"]");
}

static void test_what_is_held_stays_marked(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'held','finalizers':['a/b']}}");
    Answer a = server_delete(s, MAPS "/held", NULL);
    assert_at(&a, "kind", "ConfigMap");
    assert_at(&a, "metadata.deletionGracePeriodSeconds", "0");
    const char *since = answer_at(&a, "metadata.deletionTimestamp");
    assert_string_not_equal(since, "");
    uint64_t rev = store_revision(s->store);
    a = server_delete(s, MAPS "/held", NULL); /* again: nothing new */
    assert_string_equal(answer_at(&a, "metadata.deletionTimestamp"), since);
    assert_int_equal(store_revision(s->store), rev);
}

static void test_namespaces_that_stay(void **state)
{
    Server *s = *state;
    Answer a = server_delete(s, "/api/v1/namespaces/kube-system", NULL);
    assert_status(&a, 403, "Forbidden",
                  "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
    server_make(s, "/api/v1/namespaces", "{'metadata':{'name':'leaving'}}");
    a = server_delete(s, "/api/v1/namespaces/leaving", NULL);
    assert_at(&a, "status.phase", "Terminating");
    a = server_update(s, "/api/v1/namespaces/leaving/finalize",
                      "{'metadata':{'name':'leaving'},'spec':{'finalizers':[]}}");
    assert_code(&a, 200);
    a = server_get(s, "/api/v1/namespaces/leaving");
    assert_code(&a, 404);
}

static void test_many_at_once(void **state)
{
    enum { MANY = 150 }; /* more than are on their way at a time */
    Server *s = *state;
    for (int i = 0; i < MANY; i++)
        server_make(s, MAPS,
                    server_text(s, "{'metadata':{'name':'many-%d','labels':{'odd':'%d'}}}", i,
                                i % 2));
    server_make(s, MAPS,
                "{'metadata':{'name':'many-held','labels':{'odd':'1'},'finalizers':['a/b']}}");
    Answer a = server_delete(s, MAPS "?labelSelector=odd%3D1", NULL);
    assert_code(&a, 200);
    a = server_get(s, MAPS "?labelSelector=odd%3D1");
    assert_at(&a, "items.0.metadata.name", "many-held");
    assert_at(&a, "items.1", "");
    a = server_get(s, MAPS "?labelSelector=odd%3D0&limit=1000");
    assert_non_null(value_at(value_get(&a.body, SV("items")), MANY / 2 - 1));
    assert_null(value_at(value_get(&a.body, SV("items")), MANY / 2));
    a = server_delete(s, MAPS "?fieldSelector=metadata.name%3Dmany-0", NULL);
    assert_code(&a, 200);
    a = server_get(s, MAPS "/many-0");
    assert_code(&a, 404);
    a = server_get(s, MAPS "/many-2");
    assert_code(&a, 200);
    a = server_delete(s, MAPS "?labelSelector=a%3D%3D%3Db", NULL);
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_delete(s, MAPS "?resourceVersionMatch=Exact", NULL);
    assert_status(&a, 422, "Invalid", NULL);
}

static void test_namespaces_are_not_deleted_together(void **state)
{
    Answer a = server_delete(*state, "/api/v1/namespaces", NULL);
    assert_status(&a, 405, "MethodNotAllowed", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_answer_is_a_status_or_the_object),
        cmocka_unit_test(test_preconditions),
        cmocka_unit_test(test_options_that_cannot_be),
        cmocka_unit_test(test_dry_runs_delete_nothing),
        cmocka_unit_test(test_a_pod_on_a_node_has_time_to_end),
        cmocka_unit_test(test_a_pod_that_has_ended_goes_at_once),
        cmocka_unit_test(test_propagation),
        cmocka_unit_test(test_kinds_that_leave_their_dependents),
        cmocka_unit_test(test_what_is_held_stays_marked),
        cmocka_unit_test(test_namespaces_that_stay),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_namespaces_are_not_deleted_together),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
