/* test_managers.c - who owns which fields, and what an apply makes of an object. */
#include <stdio.h>

#include "doc.h"

#include "api/managers.h"
#include "base/buf.h"

typedef struct Owned {
    Arena a;
    const ApiResource *res;
    Managers m;
    Value obj;
    bool exists;
    ApplyConflicts conflicts;
    Err err;
} Owned;

static void owned_init(Owned *o, const char *group, const char *plural)
{
    *o = (Owned){ .res = api_resource_find(sv_cstr(group), SV("v1"), sv_cstr(plural)) };
    arena_init(&o->a, 0);
    assert_non_null(o->res);
}

static FieldWriter writer(const Owned *o, const char *manager)
{
    return (FieldWriter){ .manager = sv_cstr(manager),
                          .now = SV("2026-01-01T00:00:00Z"),
                          .res = o->res };
}

static void update(Owned *o, const char *manager, const char *text)
{
    FieldWriter w = writer(o, manager);
    Value after = doc(&o->a, text);
    assert_true(managers_update(&o->m, &w, o->exists ? &o->obj : NULL, &after, &o->a));
    o->obj = after;
    o->exists = true;
}

static int apply(Owned *o, const char *manager, bool force, const char *text)
{
    FieldWriter w = writer(o, manager);
    Value config = doc(&o->a, text), result;
    Managers before = o->m, copy = { 0 };
    /* A failed apply leaves nothing behind: the managers are those of before. */
    Value list = value_map();
    value_set(&o->a, &list, SV("metadata"), value_map());
    assert_true(managers_store(&before, &o->a, &list));
    int r = managers_decode(value_path(&list, "metadata.managedFields"), &o->a, &copy, NULL);
    assert_int_equal(r, 0);
    r = managers_apply(&copy, &w, o->exists ? &o->obj : NULL, &config, force, &o->a, &result,
                       &o->conflicts, &o->err);
    if (r < 0)
        return r;
    o->m = copy;
    o->obj = result;
    o->exists = true;
    return 0;
}

static const ManagedEntry *owner(const Owned *o, const char *manager)
{
    for (unsigned i = 0; i < o->m.len; i++)
        if (sv_eq(o->m.items[i].manager, sv_cstr(manager)))
            return &o->m.items[i];
    return NULL;
}

static void expect_owned(Owned *o, const char *manager, const char *want)
{
    const ManagedEntry *e = owner(o, manager);
    Value fields;
    if (!e)
        fail_msg("no entry of '%s'", manager);
    assert_true(fieldset_encode(&e->set, &o->a, &fields));
    assert_doc(&o->a, &fields, want);
}

static void test_a_creator_owns_what_it_sent(void **state)
{
    Owned o;
    owned_init(&o, "", "configmaps");
    update(&o, "k", "{'metadata':{'name':'c','labels':{'a':'b'}},'data':{'x':'1'}}");
    expect_owned(&o, "k",
                 "{'f:data':{'.':{},'f:x':{}},'f:metadata':{'f:labels':{'.':{},'f:a':{}}}}");
    update(&o, "other", "{'metadata':{'name':'c','labels':{'a':'b'}},'data':{'x':'2','y':'3'}}");
    expect_owned(&o, "k", "{'f:data':{},'f:metadata':{'f:labels':{'.':{},'f:a':{}}}}");
    expect_owned(&o, "other", "{'f:data':{'f:x':{},'f:y':{}}}");
    update(&o, "k", "{'metadata':{'name':'c'},'data':{'x':'2'}}");
    expect_owned(&o, "k", "{'f:data':{}}");
    expect_owned(&o, "other", "{'f:data':{'f:x':{}}}");
    arena_free(&o.a);
}

static void test_nothing_changed_notes_nothing(void **state)
{
    Owned o;
    owned_init(&o, "", "configmaps");
    update(&o, "k", "{'metadata':{'name':'c'},'data':{'x':'1'}}");
    update(&o, "other", "{'metadata':{'name':'c','resourceVersion':'7'},'data':{'x':'1'}}");
    assert_int_equal(o.m.len, 1);
    arena_free(&o.a);
}

static void test_items_of_keyed_lists_are_owned_one_by_one(void **state)
{
    Owned o;
    owned_init(&o, "apps", "deployments");
    assert_int_equal(apply(&o, "a", false,
                           "{'metadata':{'name':'d'},'spec':{'template':{'spec':{'containers':["
                           "{'name':'web','image':'i:1','ports':[{'containerPort':80}]}]}}}}"),
                     0);
    expect_owned(&o, "a",
                 "{'f:spec':{'f:template':{'f:spec':{'f:containers':{"
                 "'k:{\\\"name\\\":\\\"web\\\"}':{'.':{},'f:image':{},'f:name':{},'f:ports':{"
                 "'k:{\\\"containerPort\\\":80,\\\"protocol\\\":\\\"TCP\\\"}':"
                 "{'.':{},'f:containerPort':{}}}}}}}}}");
    /* Another applier adds a container; the first one's next apply leaves it alone. */
    assert_int_equal(apply(&o, "b", false,
                           "{'metadata':{'name':'d'},'spec':{'template':{'spec':{'containers':["
                           "{'name':'log','image':'l:1'}]}}}}"),
                     0);
    assert_int_equal(apply(&o, "a", false,
                           "{'metadata':{'name':'d'},'spec':{'template':{'spec':{'containers':["
                           "{'name':'web','image':'i:2'}]}}}}"),
                     0);
    assert_doc(&o.a, value_path(&o.obj, "spec.template.spec.containers"),
               "[{'name':'web','image':'i:2'},{'name':'log','image':'l:1'}]");
    arena_free(&o.a);
}

static void test_what_is_no_longer_declared_goes_unless_others_own_it(void **state)
{
    Owned o;
    owned_init(&o, "", "configmaps");
    const char *both = "{'metadata':{'name':'c'},'data':{'x':'1','y':'2'}}",
               *only_x = "{'metadata':{'name':'c'},'data':{'x':'1'}}";
    assert_int_equal(apply(&o, "a", false, both), 0);
    assert_int_equal(apply(&o, "b", false, "{'metadata':{'name':'c'},'data':{'y':'2'}}"), 0);
    assert_int_equal(apply(&o, "a", false, only_x), 0);
    assert_doc(&o.a, value_path(&o.obj, "data"), "{'x':'1','y':'2'}");
    assert_int_equal(apply(&o, "b", false, "{'metadata':{'name':'c'},'data':{'z':'3'}}"), 0);
    assert_doc(&o.a, value_path(&o.obj, "data"), "{'x':'1','z':'3'}");
    arena_free(&o.a);
}

static void test_conflicts_name_owner_and_field(void **state)
{
    Owned o;
    owned_init(&o, "", "configmaps");
    assert_int_equal(apply(&o, "a", false, "{'metadata':{'name':'c'},'data':{'x':'1','y':'1'}}"),
                     0);
    update(&o, "kubectl-edit", "{'metadata':{'name':'c'},'data':{'x':'2','y':'1'}}");
    const char *mine = "{'metadata':{'name':'c'},'data':{'x':'1','y':'1'}}";
    assert_int_equal(apply(&o, "a", false, mine), -ERR_CONFLICT);
    assert_sv(apply_conflicts_text(&o.conflicts, &o.a),
              "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.x");
    assert_int_equal(apply(&o, "b", false, "{'metadata':{'name':'c'},'data':{'x':'3','y':'3'}}"),
                     -ERR_CONFLICT);
    assert_sv(apply_conflicts_text(&o.conflicts, &o.a),
              "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.y\n"
              "conflicts with \"kubectl-edit\" using v1:\n- .data.x");
    assert_int_equal(apply(&o, "a", true, mine), 0);
    assert_null(owner(&o, "kubectl-edit"));
    assert_doc(&o.a, value_path(&o.obj, "data"), "{'x':'1','y':'1'}");
    /* The same value is no conflict: both own it. */
    assert_int_equal(apply(&o, "b", false, "{'metadata':{'name':'c'},'data':{'x':'1'}}"), 0);
    expect_owned(&o, "b", "{'f:data':{'f:x':{}}}");
    arena_free(&o.a);
}

static void test_an_object_without_history_belongs_to_the_past(void **state)
{
    Owned o;
    owned_init(&o, "", "configmaps");
    o.obj = doc(&o.a, "{'metadata':{'name':'c'},'data':{'x':'1'}}");
    o.exists = true;
    assert_int_equal(apply(&o, "a", false, "{'metadata':{'name':'c'},'data':{'x':'2'}}"),
                     -ERR_CONFLICT);
    assert_sv(apply_conflict_cause(&o.conflicts.items[0], &o.a),
              "conflict with \"before-first-apply\" using v1");
    arena_free(&o.a);
}

static void test_doubled_and_missing_keys_are_refused(void **state)
{
    Owned o;
    owned_init(&o, "", "pods");
    assert_int_equal(apply(&o, "a", false,
                           "{'metadata':{'name':'p'},'spec':{'containers':["
                           "{'name':'x'},{'name':'x'}]}}"),
                     -ERR_INVALID);
    assert_string_equal(o.err.msg, ".spec.containers[name=\"x\"]: duplicate entries for key");
    assert_int_equal(apply(&o, "a", false,
                           "{'metadata':{'name':'p'},'spec':{'containers':[{'image':'x'}]}}"),
                     -ERR_INVALID);
    arena_free(&o.a);
}

static void test_more_than_ten_updaters_become_ancient_changes(void **state)
{
    Owned o;
    owned_init(&o, "", "configmaps");
    for (int i = 0; i < 13; i++) {
        _cleanup_buf_ Buf text = BUF_INIT;
        buf_sv(&text, SV("{'metadata':{'name':'c'},'data':{"));
        for (int k = 0; k <= i; k++)
            buf_printf(&text, "%s'k%d':'v'", k ? "," : "", k);
        buf_sv(&text, SV("}}"));
        char name[16];
        snprintf(name, sizeof name, "m%02d", i);
        update(&o, arena_printf(&o.a, "%s", name).ptr, buf_cstr(&text));
    }
    assert_int_equal(o.m.len, MANAGERS_UPDATE_MAX);
    assert_non_null(owner(&o, "ancient-changes"));
    assert_null(owner(&o, "m00"));
    assert_non_null(owner(&o, "m12"));
    arena_free(&o.a);
}

static void test_managed_fields_are_read_and_written_alike(void **state)
{
    Owned o;
    owned_init(&o, "", "configmaps");
    const char *text =
        "[{'manager':'a','operation':'Apply','apiVersion':'v1','time':'2026-01-01T00:00:00Z',"
        "'fieldsType':'FieldsV1','fieldsV1':{'f:data':{'.':{},'f:x':{}}},'subresource':'status'}]";
    Value list = doc(&o.a, text), obj = doc(&o.a, "{'metadata':{}}");
    assert_int_equal(managers_decode(&list, &o.a, &o.m, &o.err), 0);
    assert_true(managers_store(&o.m, &o.a, &obj));
    assert_doc(&o.a, value_path(&obj, "metadata.managedFields"), text);
    const char *const bad[] = {
        "[{'manager':'a','operation':'Steal','fieldsType':'FieldsV1'}]",
        "[{'manager':'a','operation':'Apply','fieldsType':'FieldsV2'}]",
        "[{'manager':'a','operation':'Apply','fieldsType':'FieldsV1','fieldsV1':{'data':{}}}]",
        "[{'manager':'a','operation':'Apply','fieldsType':'FieldsV1','fieldsV1':{'f:a':1}}]",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        list = doc(&o.a, bad[i]);
        assert_int_equal(managers_decode(&list, &o.a, &o.m, &o.err), -ERR_INVALID);
    }
    arena_free(&o.a);
}

/* With every smaller cap the answer is "no memory", never a wrong result. */
static void test_exhausted_memory_is_an_error(void **state)
{
    const ApiResource *res = api_resource_find(SV("apps"), SV("v1"), SV("deployments"));
    bool done = false;
    for (size_t limit = 4096; !done; limit += 4096) {
        Arena texts, a;
        arena_init(&texts, 0);
        arena_init(&a, limit);
        Value live = doc(&texts, "{'metadata':{'name':'d'},'spec':{'replicas':1}}"),
              config = doc(&texts, "{'metadata':{'name':'d'},'spec':{'template':{'spec':{"
                                   "'containers':[{'name':'a','image':'b'}]}}}}"),
              ret;
        Managers m = { 0 };
        ApplyConflicts conflicts;
        Err err = { 0 };
        FieldWriter w = { .manager = SV("m"), .now = SV("now"), .res = res };
        int r = managers_apply(&m, &w, &live, &config, true, &a, &ret, &conflicts, &err);
        assert_true(r == 0 || r == -ERR_NOMEM);
        done = r == 0;
        arena_free(&a);
        arena_free(&texts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_creator_owns_what_it_sent),
        cmocka_unit_test(test_nothing_changed_notes_nothing),
        cmocka_unit_test(test_items_of_keyed_lists_are_owned_one_by_one),
        cmocka_unit_test(test_what_is_no_longer_declared_goes_unless_others_own_it),
        cmocka_unit_test(test_conflicts_name_owner_and_field),
        cmocka_unit_test(test_an_object_without_history_belongs_to_the_past),
        cmocka_unit_test(test_doubled_and_missing_keys_are_refused),
        cmocka_unit_test(test_more_than_ten_updaters_become_ancient_changes),
        cmocka_unit_test(test_managed_fields_are_read_and_written_alike),
        cmocka_unit_test(test_exhausted_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
