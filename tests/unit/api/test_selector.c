#include "doc.h"

#include "api/selector.h"

static bool matches(const char *selector, const char *labels)
{
    _cleanup_arena_ Arena a;
    Selector s;
    Err err = { 0 };

    arena_init(&a, 0);
    if (selector_parse(sv_cstr(selector), &a, &s, &err) < 0)
        fail_msg("%s: %s", selector, err.msg);
    Value v = doc(&a, labels);
    return selector_matches(&s, &v);
}

static void test_label_selectors(void **state)
{
    const char *labels = "{'app':'web','tier':'front','n':'5'}";

    assert_true(matches("", labels));
    assert_true(matches("app=web", labels));
    assert_true(matches("app==web, tier in (front, back)", labels));
    assert_false(matches("app!=web", labels));
    assert_true(matches("zone!=a", labels));
    assert_true(matches("zone notin (a,b),!zone", labels));
    assert_false(matches("tier notin (front)", labels));
    assert_true(matches("app,tier", labels));
    assert_false(matches("!app", labels));
    assert_true(matches("n>4,n<6", labels));
    assert_false(matches("n>5", labels));
    assert_true(matches("in=1", "{'in':'1'}"));
    assert_true(matches("a in (,x)", "{'a':''}"));
    assert_false(matches("app=", labels));
}

static void test_bad_label_selectors(void **state)
{
    static const char *const bad[] = { "a b", "a=b c", ",a",  "a in ()", "a in (b", "a in b",
                                       "a,",  "!",     "a>x", "-a=b",    "a=b!",    "a=-b" };
    _cleanup_arena_ Arena a;
    Selector s;

    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Err err = { 0 };
        if (selector_parse(sv_cstr(bad[i]), &a, &s, &err) != -ERR_INVALID)
            fail_msg("'%s' was accepted", bad[i]);
        assert_true(sv_starts(sv_cstr(err.msg), SV("unable to parse requirement: ")));
    }
}

static void test_label_selector_objects(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf text = BUF_INIT;
    Selector s;

    arena_init(&a, 0);
    Value v = doc(&a, "{'matchLabels':{'b':'1'},'matchExpressions':[{'key':'a','operator':'In',"
                      "'values':['x','y']},{'key':'c','operator':'DoesNotExist'}]}");
    assert_int_equal(selector_from_object(&v, &a, &s, NULL), 0);
    selector_format(&s, &text);
    assert_string_equal(buf_cstr(&text), "a in (x,y),b=1,!c");
    Value labels = doc(&a, "{'a':'x','b':'1'}");
    assert_true(selector_matches(&s, &labels));
    assert_int_equal(selector_from_object(NULL, &a, &s, NULL), 0);
    assert_false(selector_matches(&s, &labels));
    v = value_map();
    assert_int_equal(selector_from_object(&v, &a, &s, NULL), 0);
    assert_true(selector_matches(&s, NULL));
    assert_int_equal(selector_from_labels(&v, &a, &s, NULL), 0);
    assert_false(selector_matches(&s, &labels));
    assert_int_equal(selector_from_labels(&labels, &a, &s, NULL), 0);
    assert_true(selector_matches(&s, &labels));
}

static void test_field_selectors(void **state)
{
    const ApiResource *pods = api_resource_find(SV(""), SV("v1"), SV("pods"));
    _cleanup_arena_ Arena a;
    Selector s;
    Err err = { 0 };

    arena_init(&a, 0);
    Value pod = doc(&a, "{'metadata':{'name':'x'},'spec':{'nodeName':'n,1'},'status':{}}");
    assert_int_equal(
        field_selector_parse(SV("metadata.name=x,spec.nodeName==n\\,1"), pods, &a, &s, NULL), 0);
    assert_true(field_selector_matches(&s, &pod));
    assert_int_equal(field_selector_parse(SV("spec.nodeName!="), pods, &a, &s, NULL), 0);
    assert_true(field_selector_matches(&s, &pod));
    assert_int_equal(field_selector_parse(SV("spec.hostNetwork=false"), pods, &a, &s, NULL), 0);
    assert_true(field_selector_matches(&s, &pod));
    assert_int_equal(field_selector_parse(SV("spec.foo=1"), pods, &a, &s, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "field label not supported: spec.foo");
    assert_int_equal(field_selector_parse(SV("abc"), pods, &a, &s, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "invalid selector: 'abc'; can't understand 'abc'");

    const ApiResource *events = api_resource_find(SV(""), SV("v1"), SV("events"));
    assert_int_equal(field_selector_parse(SV("source=x"), events, &a, &s, NULL), 0);
    Value event = doc(&a, "{'source':{'component':''},'reportingComponent':'x'}");
    assert_true(field_selector_matches(&s, &event));
    event = doc(&a, "{'source':{'component':'y'},'reportingComponent':'x'}");
    assert_false(field_selector_matches(&s, &event));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_label_selectors),
        cmocka_unit_test(test_bad_label_selectors),
        cmocka_unit_test(test_label_selector_objects),
        cmocka_unit_test(test_field_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
