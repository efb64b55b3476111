/* test_apply.c - server-side apply, and who owns which fields after writes of all kinds. */
#include "server_fixture.h"

#include <string.h>

#define MAPS "/api/v1/namespaces/default/configmaps"
#define APPS "/apis/apps/v1/namespaces/default/deployments"
#define DEPLOYMENT(name, replicas)                                                                 \
    "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'" name "'},'spec':{" replicas \
    "'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{"    \
    "'containers':[{'name':'c','image':'i'}]}}}}"
#define SCALE "{'apiVersion':'apps/v1','kind':'Deployment','spec':{'replicas':%d}}"

static Answer apply(Server *s, const char *path, const char *manager, const char *config)
{
    return server_patch(s, server_text(s, "%s?fieldManager=%s", path, manager), "apply", config);
}

static const char *map_of(Server *s, const char *data)
{
    return server_text(s, "{'apiVersion':'v1','kind':'ConfigMap','data':{%s}}", data);
}

/* What the manager owns, as JSON; "" when it is none. */
static const char *owned(const Answer *a, const char *manager, const char *operation)
{
    for (int i = 0; i < 8; i++) {
        const char *at = arena_printf(a->arena, "metadata.managedFields.%d.", i).ptr;
        const char *name = answer_at(a, arena_printf(a->arena, "%smanager", at).ptr);
        const char *op = answer_at(a, arena_printf(a->arena, "%soperation", at).ptr);
        if (strcmp(name, manager) == 0 && strcmp(op, operation) == 0)
            return answer_at(a, arena_printf(a->arena, "%sfieldsV1", at).ptr);
    }
    return "";
}

static void test_an_apply_creates_and_changes(void **state)
{
    Server *s = *state;
    Answer a = apply(s, MAPS "/made", "me", map_of(s, "'k':'1'"));
    assert_code(&a, 201);
    assert_at(&a, "metadata.name", "made");
    assert_at(&a, "metadata.namespace", "default");
    assert_string_equal(owned(&a, "me", "Apply"), "{\"f:data\":{\"f:k\":{}}}");
    a = apply(s, MAPS "/made", "me", map_of(s, "'k':'2','l':'3'"));
    assert_code(&a, 200);
    assert_at(&a, "data", "{\"k\":\"2\",\"l\":\"3\"}");
    uint64_t rev = store_revision(s->store);
    a = apply(s, MAPS "/made", "me", map_of(s, "'k':'2','l':'3'"));
    assert_code(&a, 200);
    assert_int_equal(store_revision(s->store), rev); /* nothing new */
    a = apply(s, MAPS "/made", "me", map_of(s, "'l':'3'"));
    assert_at(&a, "data", "{\"l\":\"3\"}"); /* what it no longer names goes */
}

static void test_conflicts_name_the_other_and_the_field(void **state)
{
    Server *s = *state;
    Answer a = apply(s, APPS "/web", "one", DEPLOYMENT("web", "'replicas':2,"));
    assert_code(&a, 201);
    a = apply(s, APPS "/web", "two", server_text(s, SCALE, 3));
    assert_status(&a, 409, "Conflict",
                  "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
    assert_at(&a, "details.causes.0.reason", "FieldManagerConflict");
    assert_at(&a, "details.causes.0.message", "conflict with \"one\"");
    assert_at(&a, "details.causes.0.field", ".spec.replicas");
    a = apply(s, APPS "/web", "two", server_text(s, SCALE, 2));
    assert_code(&a, 200); /* they agree, and share it */
    a = apply(s, APPS "/web", "one", DEPLOYMENT("web", "'replicas':4,"));
    assert_status(&a, 409, "Conflict",
                  "Apply failed with 1 conflict: conflict with \"two\": .spec.replicas");
    a = server_patch(s, APPS "/web?fieldManager=two&force=true", "apply", server_text(s, SCALE, 5));
    assert_code(&a, 200);
    assert_at(&a, "spec.replicas", "5");
    assert_null(strstr(owned(&a, "one", "Apply"), "f:replicas"));
    assert_string_equal(owned(&a, "two", "Apply"), "{\"f:spec\":{\"f:replicas\":{}}}");
    a = apply(s, APPS "/web", "one", DEPLOYMENT("web", ""));
    assert_code(&a, 200);
    assert_at(&a, "spec.replicas", "5"); /* not its own any more */
}

static void test_a_conflict_with_an_update(void **state)
{
    Server *s = *state;
    Answer a = server_ask(s, &(Ask){ "POST", MAPS "?fieldManager=kubectl",
                                     "{'metadata':{'name':'updated'},'data':{'k':'1','l':'1'}}" });
    assert_code(&a, 201);
    assert_string_equal(owned(&a, "kubectl", "Update"),
                        "{\"f:data\":{\".\":{},\"f:k\":{},\"f:l\":{}}}");
    a = apply(s, MAPS "/updated", "me", map_of(s, "'k':'2','l':'2'"));
    assert_code(&a, 409);
    const char *message = answer_at(&a, "message");
    assert_non_null(
        strstr(message, "Apply failed with 2 conflicts: conflicts with \"kubectl\" using v1"));
    assert_non_null(strstr(message, "\n- .data.k\n- .data.l"));
}

static void test_an_update_takes_what_it_changes(void **state)
{
    Server *s = *state;
    Answer a = apply(s, MAPS "/taken", "me", map_of(s, "'k':'1','l':'1'"));
    assert_code(&a, 201);
    a = server_ask(s, &(Ask){ "PATCH", MAPS "/taken?fieldManager=hand", "{'data':{'k':'2'}}",
                              .type = "application/merge-patch+json" });
    assert_string_equal(owned(&a, "me", "Apply"), "{\"f:data\":{\"f:l\":{}}}");
    assert_string_equal(owned(&a, "hand", "Update"), "{\"f:data\":{\"f:k\":{}}}");
}

static void test_the_status_has_owners_of_its_own(void **state)
{
    Server *s = *state;
    Answer a = apply(s, APPS "/status", "me", DEPLOYMENT("status", ""));
    assert_code(&a, 201);
    a = server_patch(s, APPS "/status/status?fieldManager=controller", "apply",
                     "{'apiVersion':'apps/v1','kind':'Deployment','status':{'replicas':1}}");
    assert_code(&a, 200);
    assert_at(&a, "status.replicas", "1");
    for (int i = 0;; i++) {
        const char *manager = answer_at(&a, server_text(s, "metadata.managedFields.%d.manager", i));
        assert_string_not_equal(manager, "");
        if (strcmp(manager, "controller") == 0) {
            assert_at(&a, server_text(s, "metadata.managedFields.%d.subresource", i), "status");
            break;
        }
    }
    a = server_patch(s, APPS "/nosuch/status?fieldManager=controller", "apply",
                     "{'apiVersion':'apps/v1','kind':'Deployment','status':{}}");
    assert_status(&a, 404, "NotFound", NULL); /* a status alone makes no object */
}

static void test_lists_are_owned_item_by_item(void **state)
{
    Server *s = *state;
    Answer a = apply(s, APPS "/items", "one", DEPLOYMENT("items", ""));
    const char *more = "{'apiVersion':'apps/v1','kind':'Deployment','spec':{'template':{'spec':{"
                       "'containers':[{'name':'d','image':'j'}]}}}}";
    a = apply(s, APPS "/items", "two", more);
    assert_code(&a, 200);
    assert_at(&a, "spec.template.spec.containers.1.name", "d");
    a = apply(s, APPS "/items", "one", DEPLOYMENT("items", ""));
    assert_at(&a, "spec.template.spec.containers.1.name", "d");
    a = apply(s, APPS "/items", "two", "{'apiVersion':'apps/v1','kind':'Deployment'}");
    assert_at(&a, "spec.template.spec.containers.1", "");
    assert_at(&a, "spec.template.spec.containers.0.name", "c");
}

static void test_the_history_can_be_forgotten(void **state)
{
    Server *s = *state;
    Answer a = apply(s, MAPS "/forget", "me", map_of(s, "'k':'1'"));
    assert_code(&a, 201);
    a = server_patch(s, MAPS "/forget?fieldManager=hand", "merge",
                     "{'metadata':{'managedFields':[{}]}}");
    assert_code(&a, 200);
    assert_string_equal(owned(&a, "me", "Apply"), "");
    a = apply(s, MAPS "/forget", "other", map_of(s, "'k':'2'"));
    assert_status(&a, 409, "Conflict", /* what was there belongs to nobody in particular */
                  "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: "
                  ".data.k");
}

static void test_applies_that_cannot_be(void **state)
{
    static const struct {
        const char *query, *config;
        int code;
        const char *message;
    } rows[] = {
        { "", "{'apiVersion':'v1','kind':'ConfigMap'}", 422,
          "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for "
          "apply patch" },
        { "?fieldManager=m", "{'data':{}}", 400, NULL },
        { "?fieldManager=m", "{'apiVersion':'v1','kind':'Secret'}", 400, NULL },
        { "?fieldManager=m", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'other'}}",
          400, NULL },
        { "?fieldManager=m",
          "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'managedFields':[{'manager':'x'}]}}",
          400, "metadata.managedFields must be nil" },
        { "?fieldManager=m", "{'apiVersion':'v1','kind':'ConfigMap','data':{'k':5}}", 400, NULL },
        { "?fieldManager=m",
          "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'resourceVersion':'1'}}", 409, NULL },
    };
    Server *s = *state;
    server_make(s, MAPS, "{'metadata':{'name':'cannot'}}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Answer a = server_patch(s, server_text(s, MAPS "/cannot%s", rows[i].query), "apply",
                                rows[i].config);
        assert_status(&a, rows[i].code, NULL, rows[i].message);
    }
}

static void test_who_may_patch_may_not_create_by_it(void **state)
{
    Server *s = *state;
    const char *rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    server_make(s, server_text(s, "%s/roles", rbac),
                "{'metadata':{'name':'patcher'},'rules':[{'verbs':['patch'],'apiGroups':[''],"
                "'resources':['configmaps']}]}");
    server_make(
        s, server_text(s, "%s/rolebindings", rbac),
        "{'metadata':{'name':'patcher'},'roleRef':{'apiGroup':'rbac.authorization.k8s.io',"
        "'kind':'Role','name':'patcher'},'subjects':[{'kind':'User','name':'pat','apiGroup':"
        "'rbac.authorization.k8s.io'}]}");
    server_make(s, MAPS, "{'metadata':{'name':'there'}}");
    s->as = "pat";
    Answer a = apply(s, MAPS "/there", "pat", map_of(s, "'k':'1'"));
    assert_code(&a, 200);
    a = apply(s, MAPS "/new", "pat", map_of(s, "'k':'1'"));
    assert_code(&a, 403);
    s->as = NULL;
}

static void test_a_dry_apply(void **state)
{
    Server *s = *state;
    uint64_t rev = store_revision(s->store);
    Answer a =
        server_patch(s, MAPS "/dry?fieldManager=me&dryRun=All", "apply", map_of(s, "'k':'1'"));
    assert_code(&a, 201);
    assert_at(&a, "data.k", "1");
    assert_int_equal(store_revision(s->store), rev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_apply_creates_and_changes),
        cmocka_unit_test(test_conflicts_name_the_other_and_the_field),
        cmocka_unit_test(test_a_conflict_with_an_update),
        cmocka_unit_test(test_an_update_takes_what_it_changes),
        cmocka_unit_test(test_the_status_has_owners_of_its_own),
        cmocka_unit_test(test_lists_are_owned_item_by_item),
        cmocka_unit_test(test_the_history_can_be_forgotten),
        cmocka_unit_test(test_applies_that_cannot_be),
        cmocka_unit_test(test_who_may_patch_may_not_create_by_it),
        cmocka_unit_test(test_a_dry_apply),
    };
    return cmocka_run_group_tests(tests, server_group_setup, server_group_teardown);
}
