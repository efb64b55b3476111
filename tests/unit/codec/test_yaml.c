#include "unit.h"

#include "codec/yaml.h"

static void expect_json(const char *yaml, const char *json)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = { 0 };
    Value v;

    arena_init(&a, 0);
    if (yaml_decode(sv_cstr(yaml), &a, NULL, &v, NULL, &err) < 0)
        fail_msg("%s: %s", yaml, err.msg);
    json_encode(&v, &out);
    assert_string_equal(buf_cstr(&out), json);
}

static void expect_error(const char *yaml, ErrCode code)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };
    Value v;

    arena_init(&a, 0);
    assert_int_equal(yaml_decode(sv_cstr(yaml), &a, NULL, &v, NULL, &err), -(int)code);
    assert_true(strlen(err.msg) > 0);
}

static void test_plain_scalars_follow_yaml_1_1(void **state)
{
    expect_json("[yes, No, on, true, y, ~, null, '']",
                "[true,false,true,true,true,null,null,\"\"]");
    expect_json("[1, 0x10, 010, 0o10, 0b11, 1_000, -5]", "[1,16,8,8,3,1000,-5]");
    expect_json("[1.5, .5, 1e3, 2.0, 1.2.3, 1e]", "[1.5,0.5,1000,2,\"1.2.3\",\"1e\"]");
    expect_json("[2026-11-23, 1:30, 99999999999999999999]",
                "[\"2026-11-23\",\"1:30\",100000000000000000000]");
    expect_json("a:", "{\"a\":null}");
}

static void test_quoted_scalars_stay_strings(void **state)
{
    expect_json("[\"yes\", '1', \"null\", !!str 5]", "[\"yes\",\"1\",\"null\",\"5\"]");
    expect_json("a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}");
    expect_json("a: !!binary aGk=", "{\"a\":\"hi\"}");
}

static void test_keys_become_strings(void **state)
{
    expect_json("1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}");
    expect_error("? [a]\n: b\n", ERR_INVALID);
}

static void test_anchors_aliases_and_merge_keys(void **state)
{
    expect_json("a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\n",
                "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":2},\"c\":{\"q\":3,\"p\":1}}");
    expect_error("a: *nothing", ERR_INVALID);
    expect_error("a: &a [*a]", ERR_INVALID);
}

static void test_alias_bomb_is_refused(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;

    buf_sv(&b, SV("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"));
    for (int i = 1; i < 9; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&b, "%s*a%d", j ? "," : "", i - 1);
        buf_sv(&b, SV("]\n"));
    }
    expect_error(buf_cstr(&b), ERR_LIMIT);
}

static void test_errors_name_the_line(void **state)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };
    Value v;

    arena_init(&a, 0);
    assert_int_equal(yaml_decode(SV("a: 1\nb: [\n"), &a, NULL, &v, NULL, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "yaml: line "));
    expect_error("a: .inf", ERR_INVALID);
}

static void test_stream_of_documents(void **state)
{
    _cleanup_arena_ Arena a;
    StrView text = SV("# caf\xC3\xA9\na: 1\n---\nb: 2\n...\n---\nc: 3\n");
    const char *keys[] = { "a", "b", "c" };
    size_t used;
    Value v;

    arena_init(&a, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(yaml_decode(text, &a, NULL, &v, &used, NULL), 0);
        assert_int_equal(value_int_or(value_get(&v, sv_cstr(keys[i])), 0), (int)i + 1);
        text = sv_skip(text, used);
    }
    assert_int_equal(yaml_decode(text, &a, NULL, &v, &used, NULL), 0);
    assert_int_equal(v.kind, VALUE_NULL);
}

static void collect(void *ctx, StrView path)
{
    Buf *b = ctx;

    buf_sv(b, path);
    buf_putc(b, ';');
}

static void test_duplicates_are_reported(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf seen = BUF_INIT;
    JsonOptions opt = { .on_duplicate = collect, .ctx = &seen };
    Value v;

    arena_init(&a, 0);
    assert_int_equal(yaml_decode(SV("a: 1\ns: {x: 1, x: 2}\nl: [{z: 1, z: 2}]\na: 3\n"), &a, &opt,
                                 &v, NULL, NULL),
                     0);
    assert_string_equal(buf_cstr(&seen), "s.x;l[0].z;a;");
    assert_int_equal(value_int_or(value_get(&v, SV("a")), 0), 3);
}

static void test_encode_reads_back_the_same(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = { 0 };
    Value v, again;

    arena_init(&a, 0);
    assert_int_equal(
        json_decode(
            SV("{\"a\":\"yes\",\"b\":\"1\",\"c\":\"2026-11-23T05:00:00Z\",\"d\":[],\"e\":{},"
               "\"f\":\"x\\ny\\n\",\"g\":null,\"h\":[1,-2,true,0.5,\"\"],\"i\":\"a: b # c\","
               "\"true\":\" lead\",\"j\":\"caf\xC3\xA9\",\"k\":\"tab\\there\\u0001\"}"),
            &a, NULL, &v, NULL),
        0);
    assert_int_equal(yaml_encode(&v, &out, &err), 0);
    assert_int_equal(yaml_decode(buf_view(&out), &a, NULL, &again, NULL, &err), 0);
    assert_true(value_equal(&v, &again));
    assert_non_null(strstr(buf_cstr(&out), "a: \"yes\"\n"));
    assert_non_null(strstr(buf_cstr(&out), "f: |\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_scalars_follow_yaml_1_1),
        cmocka_unit_test(test_quoted_scalars_stay_strings),
        cmocka_unit_test(test_keys_become_strings),
        cmocka_unit_test(test_anchors_aliases_and_merge_keys),
        cmocka_unit_test(test_alias_bomb_is_refused),
        cmocka_unit_test(test_errors_name_the_line),
        cmocka_unit_test(test_stream_of_documents),
        cmocka_unit_test(test_duplicates_are_reported),
        cmocka_unit_test(test_encode_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
