/* Events under the names of either group. */
#include "unit.h"

#include "apiserver/convert.h"
#include "apiserver/object.h"
#include "codec/json.h"

static const ApiResource *resource(const char *group)
{
    return api_resource_find(sv_cstr(group), SV("v1"), SV("events"));
}

/* What a client of `reader` sees of what a client of `writer` wrote. */
static void must_become(const char *writer, const char *text, const char *reader, const char *want)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf val = BUF_INIT, seen = BUF_INIT;
    Value obj;
    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(text), &a, NULL, &obj, NULL), 0);
    Value stored = convert_object(resource(writer), &obj, &a);
    object_store_form(resource(""), &stored, &val);
    ObjectRev o = { .val = buf_view(&val) };
    object_encode(resource(reader), &o, 7, true, &seen);
    assert_string_equal(buf_cstr(&seen), want);
}

static void test_each_group_sees_its_own_names(void **state)
{
    (void)state;
    static const char core[] =
        "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\"},"
        "\"message\":\"m\",\"reportingComponent\":\"c\",\"source\":{},\"firstTimestamp\":null,"
        "\"lastTimestamp\":null,\"count\":3,\"reason\":\"r\"}";
    static const char events[] =
        "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\"},\"regarding\":{\"kind\":\"Pod\"},"
        "\"note\":\"m\",\"reportingController\":\"c\",\"deprecatedSource\":{},"
        "\"deprecatedFirstTimestamp\":null,\"deprecatedLastTimestamp\":null,\"deprecatedCount\":3,"
        "\"reason\":\"r\"}";
    must_become("", core, "", core);
    must_become("", core, "events.k8s.io", events);
    must_become("events.k8s.io", events, "", core);
    must_become("events.k8s.io", events, "events.k8s.io", events);
}

static void test_only_names_of_the_object_itself_change(void **state)
{
    (void)state;
    must_become(
        "",
        "{\"metadata\":{\"name\":\"e\",\"labels\":{\"count\":\"}],\\\"\",\"message\":\"x\"}},"
        "\"message\":\"{\\\\\",\"reason\":\"count\",\"type\":\"a,\\\"source\\\":\","
        "\"related\":{\"a\":[1,2],\"source\":1},\"series\":{\"count\":2},\"count\":4}",
        "events.k8s.io",
        "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\",\"labels\":{\"count\":\"}],"
        "\\\"\",\"message\":\"x\"}},\"note\":\"{\\\\\",\"reason\":\"count\",\"type\":\"a,"
        "\\\"source\\\":\",\"related\":{\"a\":[1,2],\"source\":1},\"series\":{\"count\":2},"
        "\"deprecatedCount\":4}");
    must_become("", "{\"metadata\":{\"name\":\"e\"}}", "events.k8s.io",
                "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"e\"}}");
}

static void test_selectors_take_the_stored_names(void **state)
{
    static const char *const cases[][2] = { { "regarding.name=x", "involvedObject.name" },
                                            { "reportingController=x", "reportingComponent" },
                                            { "reason=x", "reason" },
                                            { "metadata.name=x", "metadata.name" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ Arena a;
        Selector s;
        arena_init(&a, 0);
        assert_int_equal(
            field_selector_parse(sv_cstr(cases[i][0]), resource("events.k8s.io"), &a, &s, NULL), 0);
        assert_int_equal(convert_field_terms(resource("events.k8s.io"), &s, &a, NULL), 0);
        assert_true(sv_eq(s.terms[0].key, sv_cstr(cases[i][1])));
    }
}

static void test_all_other_kinds_are_stored_as_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_resources_len; i++) {
        const ApiResource *res = &api_resources[i];
        if (res != resource("events.k8s.io"))
            assert_ptr_equal(convert_stored(res), res);
    }
    assert_ptr_equal(convert_stored(resource("events.k8s.io")), resource(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_group_sees_its_own_names),
        cmocka_unit_test(test_only_names_of_the_object_itself_change),
        cmocka_unit_test(test_selectors_take_the_stored_names),
        cmocka_unit_test(test_all_other_kinds_are_stored_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
