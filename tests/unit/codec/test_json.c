#include "unit.h"

#include "codec/json.h"

static void expect_encoding(const char *in, const char *want)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = { 0 };
    Value v;

    arena_init(&a, 0);
    if (json_decode(sv_cstr(in), &a, NULL, &v, &err) < 0)
        fail_msg("%s: %s", in, err.msg);
    json_encode(&v, &out);
    assert_string_equal(buf_cstr(&out), want);
}

static void expect_error(const char *in, ErrCode code, const char *message)
{
    _cleanup_arena_ Arena a;
    Err err = { 0 };
    Value v;

    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(in), &a, NULL, &v, &err), -(int)code);
    assert_string_equal(err.msg, message);
}

static void test_numbers_keep_their_nature(void **state)
{
    _cleanup_arena_ Arena a;
    Value v;

    arena_init(&a, 0);
    assert_int_equal(json_decode(SV("[1, 1.0, -9223372036854775808, 9223372036854775807, "
                                    "9223372036854775808, 1e2, -0]"),
                                 &a, NULL, &v, NULL),
                     0);
    const int want[] = { VALUE_INT,    VALUE_DOUBLE, VALUE_INT, VALUE_INT,
                         VALUE_DOUBLE, VALUE_DOUBLE, VALUE_INT };
    for (uint32_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_int_equal(value_at(&v, i)->kind, want[i]);
    assert_true(value_at(&v, 2)->i == INT64_MIN);
    assert_true(value_at(&v, 3)->i == INT64_MAX);
}

static void test_numbers_encode_as_go_does(void **state)
{
    expect_encoding("[0.1,1.5,-2.25,100.0]", "[0.1,1.5,-2.25,100]");
    expect_encoding("1e21", "1e+21");
    expect_encoding("1e20", "100000000000000000000");
    expect_encoding("0.000001", "0.000001");
    expect_encoding("0.0000001", "1e-7");
    expect_encoding("1.7976931348623157e308", "1.7976931348623157e+308");
    expect_encoding("5e-324", "5e-324");
    expect_encoding("0.30000000000000004", "0.30000000000000004");
    expect_encoding("1234567.891", "1234567.891");
}

static void test_strings_unescape_and_escape(void **state)
{
    expect_encoding("\"\\u0041\\n\\/\\\"\\\\\"", "\"A\\n/\\\"\\\\\"");
    expect_encoding("\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"");
    expect_encoding("\"\\ud83d x\"", "\"\xEF\xBF\xBD x\"");
    expect_encoding("\"a\xFF"
                    "b\"",
                    "\"a\xEF\xBF\xBD"
                    "b\"");
    expect_encoding("\"\\u0001<>&\\u2028\"", "\"\\u0001<>&\\u2028\"");
    expect_encoding("\"\xC3\xA9t\xC3\xA9, twenty plain bytes behind\"",
                    "\"\xC3\xA9t\xC3\xA9, twenty plain bytes behind\"");
}

static void test_plain_strings_point_into_the_text(void **state)
{
    _cleanup_arena_ Arena a;
    const char *text = "{\"key\":\"value\"}";
    Value v;

    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(text), &a, NULL, &v, NULL), 0);
    assert_ptr_equal(value_get(&v, SV("key"))->str, text + 8);
}

static void test_errors_name_the_place(void **state)
{
    expect_error("{\"a\":\n  x}", ERR_INVALID,
                 "line 2 column 3: invalid character 'x' looking for beginning of value");
    expect_error("[1,", ERR_INVALID, "line 1 column 4: unexpected end of JSON input");
    expect_error("[1 2]", ERR_INVALID,
                 "line 1 column 4: invalid character '2' after array element");
    expect_error("{\"a\" 1}", ERR_INVALID,
                 "line 1 column 6: invalid character '1' after object key");
    expect_error("{} {}", ERR_INVALID,
                 "line 1 column 4: invalid character '{' after top-level value");
    expect_error("\"\\x\"", ERR_INVALID,
                 "line 1 column 3: invalid character 'x' in string escape code");
    expect_error("", ERR_INVALID, "line 1 column 1: unexpected end of JSON input");
}

static void test_depth_is_limited(void **state)
{
    char text[2 * (VALUE_DEPTH_MAX + 1) + 1];
    const size_t deep = VALUE_DEPTH_MAX + 1;
    _cleanup_arena_ Arena a;
    Value v;

    memset(text, '[', deep);
    memset(text + deep, ']', deep);
    text[2 * deep] = 0;
    expect_error(text, ERR_LIMIT, "exceeded max depth of 250");
    text[2 * deep - 1] = 0;
    arena_init(&a, 0);
    assert_int_equal(json_decode(sv_cstr(text + 1), &a, NULL, &v, NULL), 0);
}

static void collect(void *ctx, StrView path)
{
    Buf *b = ctx;

    buf_sv(b, path);
    buf_putc(b, ';');
}

static void test_duplicates_are_reported_and_the_last_wins(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf seen = BUF_INIT, big = BUF_INIT;
    JsonOptions opt = { .on_duplicate = collect, .ctx = &seen };
    Value v;

    arena_init(&a, 0);
    assert_int_equal(
        json_decode(SV("{\"a\":1,\"b\":[{\"x\":1,\"x\":2}],\"a\":3,\"s\":{\"t\":0,\"t\":1}}"), &a,
                    &opt, &v, NULL),
        0);
    assert_string_equal(buf_cstr(&seen), "b[0].x;s.t;a;");
    assert_int_equal(value_int_or(value_get(&v, SV("a")), 0), 3);
    assert_int_equal(value_len(&v), 3);

    buf_putc(&big, '{');
    for (int i = 0; i < 100; i++)
        buf_printf(&big, "\"k%d\":%d,", i % 50, i);
    buf_sv(&big, SV("\"end\":0}"));
    assert_int_equal(json_decode(buf_view(&big), &a, &opt, &v, NULL), 0);
    assert_int_equal(value_len(&v), 51);
    assert_int_equal(value_int_or(value_get(&v, SV("k7")), 0), 57);
}

static void test_arena_cap_is_reported(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf big = BUF_INIT;
    Value v;

    arena_init(&a, 8192);
    buf_putc(&big, '[');
    for (int i = 0; i < 1000; i++)
        buf_sv(&big, SV("1,"));
    buf_sv(&big, SV("1]"));
    assert_int_equal(json_decode(buf_view(&big), &a, NULL, &v, NULL), -ERR_NOMEM);
}

static void test_pretty(void **state)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    Value v;

    arena_init(&a, 0);
    assert_int_equal(json_decode(SV("{\"a\":[1,{}],\"b\":[]}"), &a, NULL, &v, NULL), 0);
    json_encode_pretty(&v, 2, &out);
    assert_string_equal(buf_cstr(&out), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_keep_their_nature),
        cmocka_unit_test(test_numbers_encode_as_go_does),
        cmocka_unit_test(test_strings_unescape_and_escape),
        cmocka_unit_test(test_plain_strings_point_into_the_text),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_duplicates_are_reported_and_the_last_wins),
        cmocka_unit_test(test_arena_cap_is_reported),
        cmocka_unit_test(test_pretty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
