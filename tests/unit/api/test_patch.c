#include "doc.h"

#include "api/kinds.h"
#include "api/patch.h"

static void expect_json_patch(const char *before, const char *patch, const char *after)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };

    arena_init(&a, 0);
    Value d = doc(&a, before), p = doc(&a, patch);
    if (patch_json(&d, &p, &a, &err) < 0)
        fail_msg("%s: %s", patch, err.msg);
    assert_doc(&a, &d, after);
}

static void expect_json_error(const char *before, const char *patch, int code, const char *message)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };

    arena_init(&a, 0);
    Value d = doc(&a, before), p = doc(&a, patch);
    assert_int_equal(patch_json(&d, &p, &a, &err), -code);
    assert_string_equal(err.msg, message);
}

static void test_json_patch(void **state)
{
    expect_json_patch("{'a':[1,2]}", "[{'op':'add','path':'/a/1','value':9}]", "{'a':[1,9,2]}");
    expect_json_patch("{'a':[1,2]}", "[{'op':'add','path':'/a/-','value':9}]", "{'a':[1,2,9]}");
    expect_json_patch("{'a':1}", "[{'op':'add','path':'/b~1c','value':{}}]", "{'a':1,'b/c':{}}");
    expect_json_patch("{'a':[1,2]}", "[{'op':'remove','path':'/a/0'}]", "{'a':[2]}");
    expect_json_patch("{'a':1}", "[{'op':'replace','path':'/a','value':2}]", "{'a':2}");
    expect_json_patch("{'a':{'b':1}}", "[{'op':'move','from':'/a/b','path':'/c'}]",
                      "{'a':{},'c':1}");
    expect_json_patch("{'a':{'b':1}}",
                      "[{'op':'copy','from':'/a','path':'/c'},"
                      "{'op':'replace','path':'/c/b','value':2}]",
                      "{'a':{'b':1},'c':{'b':2}}");
    expect_json_patch("{'a':1}",
                      "[{'op':'test','path':'/a','value':1},{'op':'test','path':'/x',"
                      "'value':null}]",
                      "{'a':1}");
}

static void test_json_patch_errors(void **state)
{
    expect_json_error("{'a':1}", "[{'op':'test','path':'/a','value':2}]", ERR_CONFLICT,
                      "testing value /a failed: test failed");
    expect_json_error("{}", "[{'op':'add','path':'/a/b','value':2}]", ERR_CONFLICT,
                      "add operation does not apply: doc is missing path: \"/a/b\": missing value");
    expect_json_error("{}", "[{'op':'replace','path':'/a','value':2}]", ERR_CONFLICT,
                      "replace operation does not apply: doc is missing key: /a: missing value");
    expect_json_error("{}", "[{'op':'remove','path':'/a'}]", ERR_CONFLICT,
                      "remove operation does not apply: error in remove for path: '/a': Unable to "
                      "remove nonexistent key: a: missing value");
    expect_json_error("{}", "{}", ERR_INVALID, "a JSON patch is a list of operations");
    expect_json_error("{}", "[{'op':'grow','path':'/a','value':1}]", ERR_INVALID,
                      "unexpected kind: grow");
}

static void test_merge_patch(void **state)
{
    _cleanup_arena_ Arena a;

    arena_init(&a, 0);
    Value d = doc(&a, "{'a':{'b':1,'c':2},'l':[1]}");
    Value p = doc(&a, "{'a':{'b':null,'d':{'x':null,'y':1}},'l':[2,null],'n':null}");
    assert_int_equal(patch_merge(&d, &p, &a, NULL), 0);
    assert_doc(&a, &d, "{'a':{'c':2,'d':{'y':1}},'l':[2,null]}");
}

static void expect_strategic(const char *before, const char *patch, const char *after)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };

    arena_init(&a, 0);
    Value d = doc(&a, before), p = doc(&a, patch);
    if (patch_strategic(api_schema_find(SV("io.k8s.api.core.v1.Pod")), &d, &p, &a, &err) < 0)
        fail_msg("%s: %s", patch, err.msg);
    assert_doc(&a, &d, after);
}

static void test_strategic_lists_merge_by_key(void **state)
{
    expect_strategic("{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'name':'a','image':'2'}]}}",
                     "{'spec':{'containers':[{'name':'a','image':'2'},{'name':'b'}]}}");
    expect_strategic("{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'name':'c','image':null}]}}",
                     "{'spec':{'containers':[{'name':'c'},{'name':'a'},{'name':'b'}]}}");
    expect_strategic("{'spec':{'containers':[{'name':'a','command':['x','y']}]}}",
                     "{'spec':{'containers':[{'name':'a','command':['z']}]}}",
                     "{'spec':{'containers':[{'name':'a','command':['z']}]}}");
    expect_strategic("{'metadata':{'finalizers':['a','b']}}", "{'metadata':{'finalizers':['c']}}",
                     "{'metadata':{'finalizers':['c','a','b']}}");
}

static void test_strategic_directives(void **state)
{
    expect_strategic("{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'name':'a','$patch':'delete'}]}}",
                     "{'spec':{'containers':[{'name':'b'}]}}");
    expect_strategic("{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'$patch':'replace'},{'name':'c'}]}}",
                     "{'spec':{'containers':[{'name':'c'}]}}");
    expect_strategic("{'metadata':{'labels':{'a':'1'}}}",
                     "{'metadata':{'labels':{'$patch':'replace','b':'2'}}}",
                     "{'metadata':{'labels':{'b':'2'}}}");
    expect_strategic("{'metadata':{'finalizers':['a','b','c']}}",
                     "{'metadata':{'$deleteFromPrimitiveList/finalizers':['b']}}",
                     "{'metadata':{'finalizers':['a','c']}}");
    expect_strategic(
        "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
        "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'a'},{'name':'c'}],"
        "'containers':[{'name':'c'}]}}",
        "{'spec':{'containers':[{'name':'b'},{'name':'a'},{'name':'c'}]}}");
    expect_strategic("{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
                     "{'spec':{'volumes':[{'name':'v','$retainKeys':['name','hostPath'],"
                     "'hostPath':{'path':'/x'}}]}}",
                     "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}");
    expect_strategic("{'spec':{'nodeName':'x'}}", "{'spec':{'nodeName':null}}", "{'spec':{}}");
}

/* Of variables the last of a name counts, and an earlier one may be what it refers to. */
static void test_strategic_items_of_one_key(void **state)
{
    static const char before[] =
        "{'spec':{'containers':[{'name':'a','env':[{'name':'D','value':'1'},"
        "{'name':'A','value':'x'},{'name':'D','value':'2'}]}]}}";
    expect_strategic(before,
                     "{'spec':{'containers':[{'name':'a','$setElementOrder/env':[{'name':'D'},"
                     "{'name':'A'},{'name':'D'}],'env':[{'name':'A','value':'z'}]}]}}",
                     "{'spec':{'containers':[{'name':'a','env':[{'name':'D','value':'1'},"
                     "{'name':'D','value':'2'},{'name':'A','value':'z'}]}]}}");
    expect_strategic(before,
                     "{'spec':{'containers':[{'name':'a','env':[{'name':'A','value':'z'}]}]}}",
                     "{'spec':{'containers':[{'name':'a','env':[{'name':'D','value':'1'},"
                     "{'name':'D','value':'2'},{'name':'A','value':'z'}]}]}}");
    expect_strategic(before,
                     "{'spec':{'containers':[{'name':'a','env':[{'name':'D','value':'9'}]}]}}",
                     "{'spec':{'containers':[{'name':'a','env':[{'name':'D','value':'9'},"
                     "{'name':'D','value':'2'},{'name':'A','value':'x'}]}]}}");
    expect_strategic(
        before, "{'spec':{'containers':[{'name':'a','env':[{'name':'D','$patch':'delete'}]}]}}",
        "{'spec':{'containers':[{'name':'a','env':[{'name':'A','value':'x'}]}]}}");
}

static void test_strategic_errors(void **state)
{
    static const char *const bad[][2] = {
        { "{'spec':{'containers':[{'image':'x'}]}}",
          "map: does not contain declared merge key: name" },
        { "{'spec':{'$patch':'grow'}}", "unknown patch type: grow" },
        { "{'spec':{'$retainKeys':['a'],'nodeName':'x'}}",
          "patch content doesn't match retainKeys list" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_arena_ Arena a;
        Err err = { 0 };
        arena_init(&a, 0);
        Value d = doc(&a, "{'spec':{'containers':[{'name':'a'}]}}"), p = doc(&a, bad[i][0]);
        const SchemaObject *pod = api_schema_find(SV("io.k8s.api.core.v1.Pod"));
        assert_int_equal(patch_strategic(pod, &d, &p, &a, &err), -ERR_INVALID);
        assert_string_equal(err.msg, bad[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_patch),
        cmocka_unit_test(test_json_patch_errors),
        cmocka_unit_test(test_merge_patch),
        cmocka_unit_test(test_strategic_lists_merge_by_key),
        cmocka_unit_test(test_strategic_directives),
        cmocka_unit_test(test_strategic_items_of_one_key),
        cmocka_unit_test(test_strategic_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
