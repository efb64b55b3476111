#include "unit.h"

#include "monitor/promql/promql.h"

enum {
    ALL_FEATURES = PROMQL_EXPERIMENTAL_FUNCTIONS | PROMQL_DURATION_EXPR |
                   PROMQL_EXTENDED_RANGE_SELECTORS | PROMQL_BINOP_FILL_MODIFIERS
};

typedef void ShowFn(const PromqlExpr *e, Buf *out);

static void one_line(const PromqlExpr *e, Buf *out)
{
    promql_format(e, false, out);
}
static void many_lines(const PromqlExpr *e, Buf *out)
{
    promql_format(e, true, out);
}

static void check(const char *text, ShowFn *show, const char *want)
{
    Arena a;
    PromqlExpr *e;
    Err err = { 0 };
    _cleanup_buf_ Buf out = BUF_INIT;
    arena_init(&a, 0);
    if (promql_parse(sv_cstr(text), ALL_FEATURES, &a, &e, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    show(e, &out);
    assert_sv(buf_view(&out), want);
    promql_expr_free(e);
    arena_free(&a);
}

static void test_printing_gives_the_normal_form(void **state)
{
    static const char *const rows[][2] = {
        { "sum(rate(x[5m]))by(job)", "sum by (job) (rate(x[5m]))" },
        { "a+b*c^d^e", "a + b * c ^ d ^ e" },
        { "-2^2", "-2 ^ 2" },
        { "-1", "-1" },
        { "1_000 + 0x1F", "1000 + 31" },
        { "5m", "5m" },
        { "Inf + nan", "+Inf + NaN" },
        { "{\"utf8 name\",a=\"b\"}", "{__name__=\"utf8 name\",a=\"b\"}" },
        { "x{b='c',a=~\"d.*\"}", "x{a=~\"d.*\",b=\"c\"}" },
        { "x[1h:5m]offset-1d@end()", "x[1h:5m] @ end() offset -1d" },
        { "x@1.5", "x @ 1.500" },
        { "a / on(b) group_left(c) d", "a / on (b) group_left (c) d" },
        { "a == bool ignoring(x) b", "a == bool ignoring (x) b" },
        { "a + fill_left(1) fill_right(-2) b", "a + fill_left (1) fill_right (-2) b" },
        { "rate(x[5m] smoothed)", "rate(x[5m] smoothed)" },
        { "x[step() * 2 - 1s]", "x[step() * 2 - 1s]" },
        { "x offset (5m / 2)", "x offset (5m / 2)" },
        { "x offset 5m + 3", "x offset 5m + 3" },
        { "count by(\"a b\")(x)", "count by (\"a b\") (x)" },
        { "sum", "sum" },
        { "x # comment\n + y", "x + y" },
        { "topk(3, x) or vector(1)", "topk(3, x) or vector(1)" },
        { "a </ 5", "a </ 5" },
        { "`raw\\n`", "\"raw\\\\n\"" },
        { "'it\\'s \\u00e4'", "\"it's \xc3\xa4\"" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        check(rows[i][0], one_line, rows[i][1]);
        check(rows[i][1], one_line, rows[i][1]);
    }
}

static void test_long_expressions_are_broken_over_lines(void **state)
{
    check(
        "histogram_quantile(0.99, sum by (le, service) (rate(http_request_duration_seconds_bucket"
        "{job=\"frontend\"}[5m]))) > 0.5",
        many_lines,
        "  histogram_quantile(\n"
        "    0.99,\n"
        "    sum by (le, service) (rate(http_request_duration_seconds_bucket{job=\"frontend\"}[5m]"
        "))\n"
        "  )\n"
        ">\n"
        "  0.5");
}

static void test_the_tree_is_shown_as_json(void **state)
{
    check(
        "sum by (a) (x{b!=\"c\"} offset 1m)", promql_tree_json,
        "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"b\",\"type\":\"!=\",\"value\":"
        "\"c\"},{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"x\"}],\"name\":\"x\",\"offset\":"
        "60000,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,"
        "\"type\":\"vectorSelector\"},\"grouping\":[\"a\"],\"op\":\"sum\",\"param\":null,\"type\":"
        "\"aggregation\",\"without\":false}");
    check(
        "1 + 2", promql_tree_json,
        "{\"bool\":false,\"lhs\":{\"type\":\"numberLiteral\",\"val\":\"1\"},\"matching\":null,"
        "\"op\":\"+\",\"rhs\":{\"type\":\"numberLiteral\",\"val\":\"2\"},\"type\":\"binaryExpr\"}");
}

static void test_errors_name_their_place(void **state)
{
    static const char *const rows[][2] = {
        { "", "unknown position: parse error: no expression found in input" },
        { "1 +", "1:4: parse error: unexpected end of input" },
        { "sum(", "1:5: parse error: unclosed left parenthesis" },
        { "a)", "1:3: parse error: unexpected right parenthesis ')'" },
        { "x[5m", "1:5: parse error: unclosed left bracket" },
        { "x{a", "1:4: parse error: unexpected end of input inside braces" },
        { "x{a=b}", "1:5: parse error: unexpected identifier \"b\" in label matching, expected "
                    "string" },
        { "{}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
        { "x{__name__=\"y\"}",
          "1:1: parse error: metric name must not be set twice: \"x\" or \"y\"" },
        { "nope(x)", "1:1: parse error: unknown function with name \"nope\"" },
        { "rate(x)", "1:6: parse error: expected type range vector in call to function \"rate\", "
                     "got instant vector" },
        { "rate(x[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2" },
        { "1 == 2", "1:3: parse error: comparisons between scalars must use BOOL modifier" },
        { "a + bool b",
          "1:3: parse error: bool modifier can only be used on comparison operators" },
        { "x[5mm]", "1:3: parse error: bad number or duration syntax: \"5mm\"" },
        { "x[0]", "1:3: parse error: duration must be greater than 0" },
        { "x offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times" },
        { "x @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times" },
        { "a and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar "
                     "expression" },
        { "\n\n  sum(1)",
          "3:7: parse error: expected type instant vector in aggregation expression, got scalar" },
        { "'unclosed", "1:1: parse error: unterminated quoted string" },
        { "x{a=~\"(\"}", NULL },
        { "topk(x)", "1:1: parse error: wrong number of arguments for aggregate expression "
                     "provided, expected 2, got 1" },
        { "sum(x,)", "1:6: parse error: trailing commas not allowed in function call args" },
        { "x \xff", NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Arena a;
        PromqlExpr *e;
        Err err = { 0 };
        arena_init(&a, 0);
        assert_true(promql_parse(sv_cstr(rows[i][0]), ALL_FEATURES, &a, &e, &err) < 0);
        assert_int_equal(err.code, ERR_INVALID);
        if (rows[i][1])
            assert_string_equal(err.msg, rows[i][1]);
        arena_free(&a);
    }
}

static void test_features_are_off_by_default(void **state)
{
    static const char *const rows[][2] = {
        { "mad_over_time(x[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled" },
        { "limitk(1, x)", "1:1: parse error: limitk() is experimental and must be enabled with "
                          "--enable-feature=promql-experimental-functions" },
        { "x[5m * 2]", "1:3: parse error: experimental duration expression is not enabled" },
        { "x[5m] anchored", "1:1: parse error: anchored modifier is experimental and not enabled" },
        { "a + fill(0) b",
          "1:1: parse error: binop fill modifiers are experimental and not enabled" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Arena a;
        PromqlExpr *e;
        Err err = { 0 };
        arena_init(&a, 0);
        assert_true(promql_parse(sv_cstr(rows[i][0]), 0, &a, &e, &err) < 0);
        assert_string_equal(err.msg, rows[i][1]);
        arena_free(&a);
    }
    assert_int_equal(promql_feature(SV("promql-experimental-functions")),
                     PROMQL_EXPERIMENTAL_FUNCTIONS);
    assert_int_equal(promql_feature(SV("nonsense")), 0);
}

static void test_selectors_alone(void **state)
{
    Arena a;
    PromqlExpr *e;
    const Matcher *ms;
    unsigned n;
    Err err = { 0 };
    arena_init(&a, 0);
    assert_int_equal(promql_parse_selector(SV("up{a=\"b\"}"), &a, &e, &ms, &n, &err), 0);
    assert_int_equal(n, 2);
    promql_expr_free(e);
    assert_true(promql_parse_selector(SV("up offset 5m"), &a, &e, &ms, &n, &err) < 0);
    assert_true(promql_parse_selector(SV("sum(up)"), &a, &e, &ms, &n, &err) < 0);
    arena_free(&a);
}

static void test_depth_and_memory_have_limits(void **state)
{
    _cleanup_buf_ Buf deep = BUF_INIT;
    Arena a;
    PromqlExpr *e;
    Err err = { 0 };
    for (int i = 0; i < 100000; i++)
        buf_putc(&deep, '(');
    arena_init(&a, 0);
    assert_true(promql_parse(buf_view(&deep), 0, &a, &e, &err) < 0);
    assert_non_null(strstr(err.msg, "nested deeper than"));
    arena_free(&a);
    buf_clear(&deep);
    for (int i = 0; i < 50000; i++)
        buf_sv(&deep, SV("-"));
    buf_sv(&deep, SV("x"));
    assert_true(promql_parse(buf_view(&deep), 0, &a, &e, &err) < 0);
    arena_free(&a);
    buf_clear(&deep);
    for (int i = 0; i < 100000; i++)
        buf_sv(&deep, SV("1+"));
    buf_sv(&deep, SV("1"));
    assert_true(promql_parse(buf_view(&deep), 0, &a, &e, &err) < 0);
    assert_non_null(strstr(err.msg, "operators in a chain"));
    arena_free(&a);
    /* Every size of arena ends in a tree or an error, never in between. */
    StrView text = SV("sum by (a) (rate(x{b=~\"c|d\", e=~\"f.*g\"}[5m] offset 1m)) > bool 1");
    bool done = false;
    for (size_t limit = 64; !done; limit += 97) {
        arena_init(&a, limit);
        int r = promql_parse(text, 0, &a, &e, &err);
        if (r >= 0) {
            promql_expr_free(e);
            done = true;
        } else {
            assert_int_equal(r, -ERR_NOMEM);
        }
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printing_gives_the_normal_form),
        cmocka_unit_test(test_long_expressions_are_broken_over_lines),
        cmocka_unit_test(test_the_tree_is_shown_as_json),
        cmocka_unit_test(test_errors_name_their_place),
        cmocka_unit_test(test_features_are_off_by_default),
        cmocka_unit_test(test_selectors_alone),
        cmocka_unit_test(test_depth_and_memory_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
