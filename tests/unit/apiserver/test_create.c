/* test_create.c - objects that are new: their names, what the server sets by itself, and bodies
 * that are refused. */
#include "server_fixture.h"

#include <string.h>

#define NS   "/api/v1/namespaces/default"
#define MAPS NS "/configmaps"
#define PODS NS "/pods"

static int setup(void **state)
{
    server_group_setup(state);
    Server *s = *state;
    server_make(s, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
    return 0;
}

static void test_an_object_gets_its_identity(void **state)
{
    Server *s = *state;
    Answer a = server_make(s, MAPS,
                           "{'metadata':{'name':'identity','uid':'mine','selfLink':'/x',"
                           "'creationTimestamp':'2001-01-01T00:00:00Z','deletionTimestamp':"
                           "'2001-01-01T00:00:00Z','generation':7}}");
    assert_at(&a, "kind", "ConfigMap");
    assert_at(&a, "apiVersion", "v1");
    assert_at(&a, "metadata.namespace", "default");
    assert_at(&a, "metadata.selfLink", "");
    assert_at(&a, "metadata.deletionTimestamp", "");
    assert_at(&a, "metadata.generation", ""); /* of a kind without status */
    assert_int_equal(strlen(answer_at(&a, "metadata.uid")), 36);
    assert_string_not_equal(answer_at(&a, "metadata.creationTimestamp"), "2001-01-01T00:00:00Z");
    Answer again = server_get(s, MAPS "/identity");
    assert_string_equal(answer_at(&again, "metadata.uid"), answer_at(&a, "metadata.uid"));
    assert_string_equal(answer_at(&again, "metadata.resourceVersion"),
                        answer_at(&a, "metadata.resourceVersion"));
}

static void test_names_that_are_taken_missing_or_impossible(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'taken'}}");
    Answer a = server_create(s, MAPS, "{'metadata':{'name':'taken'}}");
    assert_status(&a, 409, "AlreadyExists", "configmaps \"taken\" already exists");
    assert_at(&a, "details.kind", "configmaps");
    assert_at(&a, "details.name", "taken");
    a = server_create(s, MAPS, "{'data':{}}");
    assert_status(
        &a, 422, "Invalid",
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is "
        "required");
    a = server_create(s, MAPS, "{'metadata':{'name':'Upper'}}");
    assert_status(&a, 422, "Invalid", NULL);
    assert_at(&a, "details.causes.0.field", "metadata.name");
    assert_at(&a, "details.causes.0.reason", "FieldValueInvalid");
    a = server_create(s, MAPS, "{'metadata':{'name':'a/b'}}");
    assert_status(&a, 422, "Invalid", NULL);
    a = server_create(s, MAPS, "{'metadata':{'name':'x','resourceVersion':'5'}}");
    assert_status(&a, 400, "BadRequest",
                  "resourceVersion should not be set on objects to be created");
}

static void test_a_name_is_made_from_a_prefix(void **state)
{
    Server *s = *state;
    Answer a = server_make(s, MAPS, "{'metadata':{'generateName':'made-'}}"),
           b = server_make(s, MAPS, "{'metadata':{'generateName':'made-'}}");
    const char *name = answer_at(&a, "metadata.name");
    assert_int_equal(strncmp(name, "made-", 5), 0);
    assert_int_equal(strspn(name + 5, "bcdfghjklmnpqrstvwxz2456789"), 5);
    assert_string_not_equal(name, answer_at(&b, "metadata.name"));
    assert_at(&a, "metadata.generateName", "made-");
    /* A given name wins; a long prefix is cut so that the whole has 63 bytes. */
    a = server_make(s, MAPS, "{'metadata':{'name':'given','generateName':'made-'}}");
    assert_at(&a, "metadata.name", "given");
    a = server_make(s, MAPS,
                    "{'metadata':{'generateName':"
                    "'a23456789-123456789-123456789-123456789-123456789-123456789-123456789'}}");
    assert_int_equal(strlen(answer_at(&a, "metadata.name")), 63);
}

static void test_the_namespace_has_to_fit_and_to_be_there(void **state)
{
    Server *s = *state;
    Answer a = server_create(s, MAPS, "{'metadata':{'name':'x','namespace':'other'}}");
    assert_status(&a, 400, "BadRequest",
                  "the namespace of the provided object does not match the namespace sent on the "
                  "request");
    a = server_create(s, "/api/v1/namespaces/nosuch/configmaps", "{'metadata':{'name':'x'}}");
    assert_status(&a, 404, "NotFound", "namespaces \"nosuch\" not found");
    assert_at(&a, "details.kind", "namespaces");
    a = server_create(s, "/api/v1/configmaps", "{'metadata':{'name':'x','namespace':'default'}}");
    assert_status(&a, 405, "MethodNotAllowed", NULL);
    server_make(s, "/api/v1/namespaces", "{'metadata':{'name':'ending'}}");
    a = server_delete(s, "/api/v1/namespaces/ending", NULL);
    assert_at(&a, "status.phase", "Terminating");
    a = server_create(s, "/api/v1/namespaces/ending/configmaps", "{'metadata':{'name':'x'}}");
    assert_status(&a, 403, "Forbidden",
                  "configmaps \"x\" is forbidden: unable to create new content in namespace ending "
                  "because it is being terminated");
}

static void test_bodies_that_are_not_the_kind(void **state)
{
    static const struct {
        const char *body, *type;
        int code;
        const char *reason, *message;
    } rows[] = {
        { "{'kind':'Secret','apiVersion':'v1'}", NULL, 400, "BadRequest", NULL },
        { "{'kind':'ConfigMap','apiVersion':'v2'}", NULL, 400, "BadRequest",
          "the API version in the data (v2) does not match the expected API version (v1)" },
        { "[]", NULL, 400, "BadRequest", NULL },
        { "{", NULL, 400, "BadRequest", NULL },
        { "{'metadata':{'name':5}}", NULL, 400, "BadRequest", NULL },
        { "{'data':{'k':5}}", NULL, 400, "BadRequest", NULL },
        { "a: [", "application/yaml", 400, "BadRequest", NULL },
        { "name=x", "application/x-www-form-urlencoded", 415, "UnsupportedMediaType", NULL },
        { "{}", "application/merge-patch", 422, "Invalid", NULL },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a =
            server_ask(s, &(Ask){ "POST", MAPS, .body = rows[i].body, .type = rows[i].type });
        assert_status(&a, rows[i].code, rows[i].reason, rows[i].message);
    }
}

static void test_fields_that_are_not_known(void **state)
{
    Server *s = *state;
    const char *body = "{'metadata':{'name':'%s'},'nosuch':1,'data':{'k':'1','k':'2'}}";
    Answer a = server_create(s, MAPS "?fieldValidation=Strict", server_text(s, body, "strict"));
    assert_status(&a, 400, "BadRequest",
                  "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding "
                  "error: duplicate field \"data.k\", unknown field \"nosuch\"");
    a = server_create(s, MAPS, server_text(s, body, "warned")); /* the default */
    assert_code(&a, 201);
    assert_sv(answer_header(&a, "warning"), "299 - \"duplicate field \\\"data.k\\\"\"");
    assert_at(&a, "nosuch", "");
    assert_at(&a, "data.k", "2");
    a = server_create(s, MAPS "?fieldValidation=Ignore", server_text(s, body, "ignored"));
    assert_code(&a, 201);
    assert_null(answer_header(&a, "warning").ptr);
}

static void test_parameters_that_are_not_known(void **state)
{
    static const struct {
        const char *query, *message;
    } rows[] = {
        { "fieldValidation=Loose",
          "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Loose\": "
          "supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"" },
        { "fieldManager=a%09b",
          "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\tb\": invalid "
          "character U+0009 (at position 1)" },
        { "dryRun=Some", NULL },
        { "dryRun=", NULL },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_create(s, server_text(s, "%s?%s", MAPS, rows[i].query),
                                 "{'metadata':{'name':'options'}}");
        assert_status(&a, 422, "Invalid", rows[i].message);
        assert_at(&a, "details.kind", "CreateOptions");
        assert_at(&a, "details.group", "meta.k8s.io");
    }
    char manager[130];
    memset(manager, 'm', sizeof manager);
    manager[129] = 0;
    Answer a = server_create(s, server_text(s, "%s?fieldManager=%s", MAPS, manager), "{}");
    assert_status(
        &a, 422, "Invalid",
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more "
        "than 128 bytes");
    a = server_get(s, MAPS "/options");
    assert_code(&a, 404);
}

static void test_a_dry_run_leaves_nothing(void **state)
{
    Server *s = *state;
    uint64_t rev = store_revision(s->store);
    Answer a = server_create(s, MAPS "?dryRun=All", "{'metadata':{'name':'dry'},'data':{'k':'v'}}");
    assert_code(&a, 201);
    assert_at(&a, "data.k", "v");
    assert_int_equal(strlen(answer_at(&a, "metadata.uid")), 36);
    assert_at(&a, "metadata.resourceVersion", "");
    a = server_create(
        s, NS "/services?dryRun=All",
        "{'metadata':{'name':'dry'},'spec':{'type':'NodePort','ports':[{'port':1}]}}");
    assert_code(&a, 201);
    assert_int_equal(strncmp(answer_at(&a, "spec.clusterIP"), "10.96.", 6), 0);
    a = server_create(s, MAPS "?dryRun=All", "{'metadata':{'name':'Bad'}}");
    assert_status(&a, 422, "Invalid", NULL);
    assert_int_equal(store_revision(s->store), rev);
    a = server_get(s, MAPS "/dry");
    assert_code(&a, 404);
}

static void test_a_pod_begins_pending_with_its_class_of_service(void **state)
{
    static const struct {
        const char *resources, *class;
    } rows[] = {
        { "{}", "BestEffort" },
        { "{'requests':{'cpu':'1'}}", "Burstable" },
        { "{'limits':{'cpu':'1','memory':'1Gi'}}", "Guaranteed" },
        { "{'limits':{'cpu':'1','memory':'1Gi'},'requests':{'cpu':'500m'}}", "Burstable" },
        { "{'limits':{'cpu':'1','memory':'1Gi'},'requests':{'cpu':'1000m','memory':'1024Mi'}}",
          "Guaranteed" },
    };
    Server *s = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a =
            server_make(s, PODS,
                        server_text(s,
                                    "{'metadata':{'name':'class-%zu'},'spec':{'containers':[{"
                                    "'name':'c','image':'i','resources':%s}]},'status':{"
                                    "'phase':'Running','podIP':'10.0.0.1'}}",
                                    i, rows[i].resources));
        assert_at(&a, "status.phase", "Pending"); /* a status is not a client's to give */
        assert_at(&a, "status.podIP", "");
        assert_at(&a, "status.qosClass", rows[i].class);
        assert_at(&a, "metadata.generation", "1");
    }
}

static void test_a_pod_with_gates_says_so(void **state)
{
    Answer a =
        server_make(*state, PODS,
                    "{'metadata':{'name':'gated'},'spec':{'schedulingGates':[{'name':'a/b'}],"
                    "'containers':[{'name':'c','image':'i'}]}}");
    assert_at(&a, "status.conditions.0.type", "PodScheduled");
    assert_at(&a, "status.conditions.0.status", "False");
    assert_at(&a, "status.conditions.0.reason", "SchedulingGated");
}

static void test_a_namespace_is_labelled_active_and_held(void **state)
{
    Answer a =
        server_make(*state, "/api/v1/namespaces",
                    "{'metadata':{'name':'ns-1','labels':{'a':'b','kubernetes.io/metadata.name':"
                    "'lies'}}}");
    assert_at(&a, "metadata.labels.[kubernetes.io/metadata.name]", "ns-1");
    assert_at(&a, "metadata.labels.a", "b");
    assert_at(&a, "spec.finalizers", "[\"kubernetes\"]");
    assert_at(&a, "status.phase", "Active");
    a = server_patch(
        *state, "/api/v1/namespaces/ns-1", "merge",
        "{'metadata':{'labels':{'kubernetes.io/metadata.name':null}},'spec':{'finalizers':[]}}");
    assert_code(&a, 200);
    assert_at(&a, "metadata.labels.[kubernetes.io/metadata.name]", "ns-1");
    assert_at(&a, "spec.finalizers", "[\"kubernetes\"]"); /* through /finalize alone */
}

static void test_bodies_in_yaml(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "POST", MAPS, .type = "application/yaml",
                                     .raw = SV("metadata:\n  name: yaml\ndata:\n  k: 'yes'\n"),
                                     .accept = "application/yaml" });
    assert_code(&a, 201);
    assert_sv(answer_header(&a, "content-type"), "application/yaml");
    assert_true(sv_find(a.text, SV("name: yaml\n")) > 0);
    a = server_get(s, MAPS "/yaml");
    assert_at(&a, "data.k", "yes");
    a = server_ask(s, &(Ask){ "POST", MAPS, .type = "application/yaml",
                              .raw = SV("metadata:\n  name: number\ndata:\n  k: 1\n") });
    assert_status(&a, 400, "BadRequest", NULL); /* a number is no text */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_gets_its_identity),
        cmocka_unit_test(test_names_that_are_taken_missing_or_impossible),
        cmocka_unit_test(test_a_name_is_made_from_a_prefix),
        cmocka_unit_test(test_the_namespace_has_to_fit_and_to_be_there),
        cmocka_unit_test(test_bodies_that_are_not_the_kind),
        cmocka_unit_test(test_fields_that_are_not_known),
        cmocka_unit_test(test_parameters_that_are_not_known),
        cmocka_unit_test(test_a_dry_run_leaves_nothing),
        cmocka_unit_test(test_a_pod_begins_pending_with_its_class_of_service),
        cmocka_unit_test(test_a_pod_with_gates_says_so),
        cmocka_unit_test(test_a_namespace_is_labelled_active_and_held),
        cmocka_unit_test(test_bodies_in_yaml),
    };
    return cmocka_run_group_tests(tests, setup, server_group_teardown);
}
