/* test_update.c - new versions of objects: preconditions, status and spec kept apart, generations,
 * and the three kinds of patches. */
#include "server_fixture.h"

#include <string.h>

#define NS   "/api/v1/namespaces/default"
#define MAPS NS "/configmaps"
#define APPS "/apis/apps/v1/namespaces/default/deployments"

#define SPEC                                                                                       \
    "'spec':{'replicas':2,'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{" \
    "'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}"

static void test_an_update_needs_the_version_that_it_names(void **state)
{
    Server *s = *state;
    Answer made = server_make(s, MAPS, "{'metadata':{'name':'versions'},'data':{'k':'1'}}");
    const char *body = "{'metadata':{'name':'versions','resourceVersion':'%s'},'data':{'k':'%s'}}";
    Answer a =
        server_update(s, MAPS "/versions",
                      server_text(s, body, answer_at(&made, "metadata.resourceVersion"), "2"));
    assert_code(&a, 200);
    assert_at(&a, "data.k", "2");
    assert_string_equal(answer_at(&a, "metadata.uid"), answer_at(&made, "metadata.uid"));
    a = server_update(s, MAPS "/versions",
                      server_text(s, body, answer_at(&made, "metadata.resourceVersion"), "3"));
    assert_status(&a, 409, "Conflict",
                  "Operation cannot be fulfilled on configmaps \"versions\": the object has been "
                  "modified; please apply your changes to the latest version and try again");
    a = server_update(s, MAPS "/versions", "{'metadata':{'name':'versions'},'data':{'k':'4'}}");
    assert_code(&a, 200); /* no version: whatever there is */
    a = server_update(s, MAPS "/versions",
                      "{'metadata':{'name':'versions','uid':'other'},'data':{'k':'5'}}");
    assert_status(
        &a, 409, "Conflict",
        server_text(
            s,
            "Operation cannot be fulfilled on configmaps \"versions\": Precondition failed: "
            "UID in precondition: other, UID in object meta: %s",
            answer_at(&made, "metadata.uid")));
    a = server_get(s, MAPS "/versions");
    assert_at(&a, "data.k", "4");
}

static void test_an_update_stays_with_its_object(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'place'}}");
    Answer a = server_update(s, MAPS "/place", "{'metadata':{'name':'other'}}");
    assert_status(&a, 400, "BadRequest",
                  "the name of the object (other) does not match the name on the URL (place)");
    a = server_update(s, MAPS "/place", "{'data':{}}");
    assert_status(&a, 400, "BadRequest",
                  "the name of the object (place based on URL) was undeterminable: name must be "
                  "provided");
    a = server_update(s, MAPS "/place", "{'metadata':{'name':'place','namespace':'other'}}");
    assert_status(&a, 400, "BadRequest",
                  "the namespace of the object (other) does not match the namespace on the request "
                  "(default)");
    a = server_update(s, MAPS "/nosuch", "{'metadata':{'name':'nosuch'}}");
    assert_status(&a, 404, "NotFound", "configmaps \"nosuch\" not found");
    a = server_update(s, MAPS, "{'metadata':{'name':'place'}}");
    assert_status(&a, 405, "MethodNotAllowed", NULL);
    a = server_patch(s, MAPS "/place", "merge", "{'metadata':{'name':'other'}}");
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_patch(s, MAPS "/place", "merge", "{'metadata':{'namespace':'other'}}");
    assert_status(&a, 400, "BadRequest", NULL);
}

static void test_what_changes_nothing_makes_no_version(void **state)
{
    Server *s = *state;
    Answer made = server_make(s, MAPS, "{'metadata':{'name':'same'},'data':{'k':'v'}}");
    uint64_t rev = store_revision(s->store);
    Answer a = server_update(s, MAPS "/same", "{'metadata':{'name':'same'},'data':{'k':'v'}}");
    assert_code(&a, 200);
    a = server_patch(s, MAPS "/same", "merge", "{'data':{'k':'v'}}");
    assert_code(&a, 200);
    assert_string_equal(answer_at(&a, "metadata.resourceVersion"),
                        answer_at(&made, "metadata.resourceVersion"));
    assert_int_equal(store_revision(s->store), rev);
}

static void test_status_and_spec_are_written_apart(void **state)
{
    Server *s = *state;
    Answer a =
        server_make(s, APPS, "{'metadata':{'name':'split'}," SPEC ",'status':{'replicas':9}}");
    assert_at(&a, "status.replicas", "");
    assert_at(&a, "metadata.generation", "1");
    a = server_patch(s, APPS "/split", "merge", "{'spec':{'replicas':3},'status':{'replicas':9}}");
    assert_at(&a, "spec.replicas", "3");
    assert_at(&a, "status.replicas", "");
    assert_at(&a, "metadata.generation", "2");
    a = server_patch(
        s, APPS "/split/status", "merge",
        "{'metadata':{'labels':{'l':'v'},'annotations':{'n':'v'}},'spec':{'replicas':7},"
        "'status':{'replicas':3}}");
    assert_code(&a, 200);
    assert_at(&a, "spec.replicas", "3");
    assert_at(&a, "status.replicas", "3");
    assert_at(&a, "metadata.generation", "2"); /* of the spec alone */
    assert_at(&a, "metadata.annotations.n", "v");
    assert_at(&a, "metadata.labels.l", ""); /* of a Deployment not through its status */
    a = server_patch(s, APPS "/split", "merge", "{'metadata':{'labels':{'l':'v'}}}");
    assert_at(&a, "metadata.generation", "2"); /* a label is no change of the spec */
    assert_at(&a, "status.replicas", "3");
    a = server_patch(s, APPS "/split", "merge", "{'metadata':{'generation':77}}");
    assert_at(&a, "metadata.generation", "2");
}

static void test_what_cannot_be_changed(void **state)
{
    Server *s = *state;
    Answer made = server_make(s, APPS, "{'metadata':{'name':'fixed'}," SPEC "}");
    Answer a = server_patch(s, APPS "/fixed", "merge",
                            "{'spec':{'selector':{'matchLabels':{'a':'c'}},'template':{'metadata':{"
                            "'labels':{'a':'c'}}}}}");
    assert_status(&a, 422, "Invalid", NULL);
    assert_at(&a, "details.causes.0.field", "spec.selector");
    assert_true(strstr(answer_at(&a, "message"), "field is immutable") != NULL);
    a = server_patch(s, APPS "/fixed", "merge",
                     "{'metadata':{'creationTimestamp':'2001-01-01T00:00:00Z','deletionTimestamp':"
                     "'2001-01-01T00:00:00Z'}}");
    assert_code(&a, 200);
    assert_string_equal(answer_at(&a, "metadata.creationTimestamp"),
                        answer_at(&made, "metadata.creationTimestamp"));
    assert_at(&a, "metadata.deletionTimestamp", "");
}

static void test_merge_patches(void **state)
{
    Server *s = *state;
    server_make(s, MAPS,
                "{'metadata':{'name':'merge','labels':{'a':'1'}},'data':{'k':'1','l':'2'}}");
    Answer a = server_patch(s, MAPS "/merge", "merge",
                            "{'metadata':{'labels':null},'data':{'k':null,'m':'3'}}");
    assert_code(&a, 200);
    assert_at(&a, "data", "{\"l\":\"2\",\"m\":\"3\"}");
    assert_at(&a, "metadata.labels", "");
    a = server_patch(s, MAPS "/merge", "merge", "{'metadata':{'resourceVersion':'1'},'data':null}");
    assert_status(&a, 409, "Conflict", NULL);
    a = server_patch(s, MAPS "/merge", "merge", "{'data':{'k':1}}");
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_patch(s, MAPS "/merge", "merge", "{");
    assert_status(&a, 400, "BadRequest", NULL);
    a = server_patch(s, MAPS "/nosuch", "merge", "{}");
    assert_status(&a, 404, "NotFound", "configmaps \"nosuch\" not found");
}

static void test_json_patches(void **state)
{
    static const struct {
        const char *patch;
        int code;
        const char *data; /* afterwards */
    } rows[] = {
        { "[{'op':'add','path':'/data/l','value':'2'}]", 200, "{\"k\":\"1\",\"l\":\"2\"}" },
        { "[{'op':'test','path':'/data/k','value':'1'},{'op':'remove','path':'/data/l'}]", 200,
          "{\"k\":\"1\"}" },
        { "[{'op':'remove','path':'/data/k'},{'op':'test','path':'/data/k','value':'1'}]", 422,
          "{\"k\":\"1\"}" }, /* all or nothing */
        { "[{'op':'remove','path':'/data/nosuch'}]", 422, "{\"k\":\"1\"}" },
        { "[{'op':'copy','from':'/data/k','path':'/data/l'}]", 200, "{\"k\":\"1\",\"l\":\"1\"}" },
        { "[{'op':'move','from':'/data/l','path':'/data/m'}]", 200, "{\"k\":\"1\",\"m\":\"1\"}" },
        { "[{'op':'replace','path':'/data','value':{'k':'1'}}]", 200, "{\"k\":\"1\"}" },
        { "[{'op':'nosuch','path':'/data'}]", 400, "{\"k\":\"1\"}" },
        { "{}", 400, "{\"k\":\"1\"}" },
    };
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'json'},'data':{'k':'1'}}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_patch(s, MAPS "/json", "json", rows[i].patch);
        assert_code(&a, rows[i].code);
        a = server_get(s, MAPS "/json");
        assert_at(&a, "data", rows[i].data);
    }
}

static void test_strategic_patches_know_the_keys_of_lists(void **state)
{
    Server *s = *state;
    server_make(s, APPS, "{'metadata':{'name':'strategic'}," SPEC "}");
    Answer a = server_patch(s, APPS "/strategic", "strategic",
                            "{'spec':{'template':{'spec':{'containers':[{'name':'d','image':'j'},{"
                            "'name':'c','image':'k'}]}}}}");
    assert_code(&a, 200);
    assert_at(&a, "spec.template.spec.containers.0.name", "d");
    assert_at(&a, "spec.template.spec.containers.1.name", "c");
    assert_at(&a, "spec.template.spec.containers.1.image", "k");
    a = server_patch(
        s, APPS "/strategic", "strategic",
        "{'spec':{'template':{'spec':{'containers':[{'name':'d','$patch':'delete'}]}}}}");
    assert_code(&a, 200);
    assert_at(&a, "spec.template.spec.containers.1.name", "");
    a = server_patch(s, APPS "/strategic", "merge",
                     "{'spec':{'template':{'spec':{'containers':[{'name':'e','image':'l'}]}}}}");
    assert_at(&a, "spec.template.spec.containers.0.name", "e"); /* a merge patch replaces lists */
}

static void test_patches_of_no_known_kind(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'kinds'}}");
    Answer a = server_patch(s, MAPS "/kinds", "application/json", "{}");
    assert_status(&a, 415, "UnsupportedMediaType", NULL);
    a = server_patch(s, MAPS "/kinds?force=true", "merge", "{}");
    assert_status(
        &a, 422, "Invalid",
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified "
        "for non-apply patch");
    a = server_patch(s, MAPS, "merge", "{}");
    assert_status(&a, 405, "MethodNotAllowed", NULL);
}

static void test_dry_runs_change_nothing(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'dry'},'data':{'k':'1'}}");
    uint64_t rev = store_revision(s->store);
    Answer a = server_patch(s, MAPS "/dry?dryRun=All", "merge", "{'data':{'k':'2'}}");
    assert_code(&a, 200);
    assert_at(&a, "data.k", "2");
    a = server_update(s, MAPS "/dry?dryRun=All", "{'metadata':{'name':'dry'},'data':{'k':'3'}}");
    assert_at(&a, "data.k", "3");
    assert_int_equal(store_revision(s->store), rev);
    a = server_get(s, MAPS "/dry");
    assert_at(&a, "data.k", "1");
    a = server_patch(s, MAPS "/dry?dryRun=yes", "merge", "{}");
    assert_status(&a, 422, "Invalid", NULL);
    assert_at(&a, "details.kind", "PatchOptions");
}

static void test_the_last_finalizer_takes_the_object_along(void **state)
{
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'held','finalizers':['a/b']}}");
    Answer a = server_delete(s, MAPS "/held", NULL);
    assert_code(&a, 200);
    a = server_patch(s, MAPS "/held", "merge", "{'metadata':{'finalizers':['a/b','c/d']}}");
    assert_status(&a, 422, "Invalid", NULL); /* nobody adds one to what is on its way out */
    a = server_patch(s, MAPS "/held", "merge", "{'metadata':{'finalizers':null}}");
    assert_code(&a, 200);
    a = server_get(s, MAPS "/held");
    assert_code(&a, 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_update_needs_the_version_that_it_names),
        cmocka_unit_test(test_an_update_stays_with_its_object),
        cmocka_unit_test(test_what_changes_nothing_makes_no_version),
        cmocka_unit_test(test_status_and_spec_are_written_apart),
        cmocka_unit_test(test_what_cannot_be_changed),
        cmocka_unit_test(test_merge_patches),
        cmocka_unit_test(test_json_patches),
        cmocka_unit_test(test_strategic_patches_know_the_keys_of_lists),
        cmocka_unit_test(test_patches_of_no_known_kind),
        cmocka_unit_test(test_dry_runs_change_nothing),
        cmocka_unit_test(test_the_last_finalizer_takes_the_object_along),
    };
    return cmocka_run_group_tests(tests, server_group_setup, server_group_teardown);
}
