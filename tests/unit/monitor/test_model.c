#include "unit.h"

#include <stdio.h>

#include "monitor/model/duration.h"
#include "monitor/model/labels.h"
#include "monitor/model/matcher.h"
#include "monitor/model/number.h"
#include "monitor/model/sample.h"

static void test_numbers_print_as_go_prints_them(void **state)
{
    static const struct {
        double v;
        const char *g, *f;
    } rows[] = {
        { 0, "0", "0" },
        { -0.0, "-0", "-0" },
        { 1e6, "1e+06", "1000000" },
        { 123456, "123456", "123456" },
        { 1234567, "1.234567e+06", "1234567" },
        { 0.1, "0.1", "0.1" },
        { 0.0001, "0.0001", "0.0001" },
        { 0.00001, "1e-05", "0.00001" },
        { 1e300 * 10, "1e+301", NULL },
        { 0.30000000000000004, "0.30000000000000004", "0.30000000000000004" },
        { INFINITY, "+Inf", "+Inf" },
        { -INFINITY, "-Inf", "-Inf" },
        { NAN, "NaN", "NaN" },
        { 5e-324, "5e-324", NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buf_ Buf g = BUF_INIT, f = BUF_INIT;
        double_format_g(rows[i].v, &g);
        assert_sv(buf_view(&g), rows[i].g);
        double_format_f(rows[i].v, &f);
        if (rows[i].f)
            assert_sv(buf_view(&f), rows[i].f);
    }
}

static void test_compensation_keeps_small_parts(void **state)
{
    double sum = 0, c = 0;
    static const double parts[] = { 1, 1e100, 1, -1e100 };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        kahan_add(parts[i], &sum, &c);
    assert_true(sum + c == 2);
    kahan_add(INFINITY, &sum, &c);
    assert_true(isinf(sum) && c == 0);
}

static void test_durations_read_and_print(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *out;
    } rows[] = {
        { "5m", 300000, "5m" },    { "1h30m", 5400000, "1h30m" }, { "90m", 5400000, "1h30m" },
        { "1w", 604800000, "1w" }, { "90d", 7776000000, "90d" },  { "0", 0, "0s" },
        { "250ms", 250, "250ms" }, { "1y", 31536000000, "1y" },
    };
    int64_t ms;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buf_ Buf out = BUF_INIT;
        assert_int_equal(prom_duration_parse(sv_cstr(rows[i].text), &ms), 0);
        assert_true(ms == rows[i].ms);
        prom_duration_format(ms, &out);
        assert_sv(buf_view(&out), rows[i].out);
    }
    static const char *const bad[] = { "", "5", "m", "1m1h", "1m1m", "5x", "-5m", "999999y" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(prom_duration_parse(sv_cstr(bad[i]), &ms) < 0);
}

static Labels make(Arena *a, const char *const *pairs)
{
    LabelsBuilder b;
    Labels l;
    labels_builder_init(&b, a, (Labels){ 0 });
    for (; pairs[0]; pairs += 2)
        labels_builder_set(&b, sv_cstr(pairs[0]), sv_cstr(pairs[1]));
    assert_true(labels_builder_take(&b, &l));
    return l;
}

static void test_labels_build_compare_and_print(void **state)
{
    Arena a;
    arena_init(&a, 0);
    Labels x =
        make(&a, (const char *[]){ "job", "j", "__name__", "up", "b", "2", "empty", "", NULL });
    Labels y = make(&a, (const char *[]){ "__name__", "up", "b", "3", NULL });
    Labels z = make(&a, (const char *[]){ "__name__", "dots.here", "k\"v", "a\nb", NULL });
    _cleanup_buf_ Buf out = BUF_INIT;
    assert_int_equal(x.len, 3);
    assert_true(labels_cmp(x, y) < 0 && labels_cmp(y, x) > 0 && labels_cmp(x, x) == 0);
    assert_true(labels_eq(x, x) && !labels_eq(x, y));
    assert_true(labels_hash(x) != labels_hash(y));
    labels_format(x, &out);
    assert_sv(buf_view(&out), "up{b=\"2\", job=\"j\"}");
    buf_clear(&out);
    labels_format_set(y, &out);
    assert_sv(buf_view(&out), "{__name__=\"up\", b=\"3\"}");
    buf_clear(&out);
    labels_format(z, &out);
    assert_sv(buf_view(&out), "{\"dots.here\", \"k\\\"v\"=\"a\\nb\"}");
    arena_free(&a);
}

static void test_hash_by_and_without_see_the_same_groups(void **state)
{
    Arena a;
    arena_init(&a, 0);
    Labels x = make(&a, (const char *[]){ "__name__", "m", "a", "1", "b", "2", NULL });
    Labels y = make(&a, (const char *[]){ "__name__", "n", "a", "1", "b", "3", NULL });
    StrView by_a[] = { SV("a") }, without_b[] = { SV("b") };
    assert_true(labels_hash_by(x, by_a, 1) == labels_hash_by(y, by_a, 1));
    assert_true(labels_hash_without(x, without_b, 1) == labels_hash_without(y, without_b, 1));
    assert_true(labels_hash_by(x, without_b, 1) != labels_hash_by(y, without_b, 1));
    arena_free(&a);
}

/* Every expression of up to five elements, on every text of up to five letters, beside RE2. */
static void test_globs_match_what_their_expressions_match(void **state)
{
    static const char *const elements[] = { "a", "b", ".", ".*", ".+", "\\." };
    enum { N = ARRAY_SIZE(elements), LETTERS = 3, LEN = 5 };
    unsigned patterns = 1, texts = 1;
    for (unsigned i = 0; i < LEN; i++) {
        patterns *= N + 1;
        texts *= LETTERS + 1;
    }
    for (unsigned p = 0; p < patterns; p += 3) {
        _cleanup_arena_ Arena a;
        Matcher m;
        char pattern[32] = "", whole[64];
        arena_init(&a, 0);
        for (unsigned i = 0, rest = p; i < LEN; i++, rest /= N + 1)
            if (rest % (N + 1))
                strcat(pattern, elements[rest % (N + 1) - 1]);
        snprintf(whole, sizeof whole, "(?s:%s)", pattern);
        Regex *re = regex_new(sv_cstr(whole), true, whole, sizeof whole);
        assert_int_equal(matcher_init(&m, MATCH_RE, SV("l"), sv_cstr(pattern), &a, NULL), 0);
        for (unsigned t = 0; t < texts; t += 5) {
            char text[LEN + 1] = "";
            for (unsigned i = 0, rest = t, n = 0; i < LEN; i++, rest /= LETTERS + 1)
                if (rest % (LETTERS + 1))
                    text[n++] = "ab."[rest % (LETTERS + 1) - 1];
            if (regex_match(re, sv_cstr(text)) != matcher_matches(&m, sv_cstr(text)))
                fail_msg("\"%s\" on \"%s\"", pattern, text);
        }
        regex_free(re);
        matcher_free(&m);
    }
}

static void test_globs_leave_to_re2_what_is_not_theirs(void **state)
{
    static const char *const others[] = { "a|b.", "a*.",  "(a).", "[ab].", ".?a", "a{2}.",
                                          ".*?a", "\\d.", "\\w+", "^a.",   "a.$", "\u00e4." };
    _cleanup_arena_ Arena a;
    Glob *g;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_true(glob_parse(sv_cstr(others[i]), &a, &g));
        assert_null(g);
    }
    assert_true(glob_parse(SV("a.*b.c"), &a, &g));
    assert_non_null(g);
    assert_int_equal(glob_match(g, SV("axxb\u00e4c")), GLOB_ASK);
    assert_int_equal(glob_match(g, SV("a-b-c")), GLOB_YES);
}

static void test_a_matcher_of_many_alternatives(void **state)
{
    for (unsigned n = MATCHER_LITERALS_MAX; n <= MATCHER_LITERALS_MAX + 1; n++) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Arena a;
        Matcher m;
        arena_init(&a, 0);
        for (unsigned i = 0; i < n; i++)
            buf_printf(&text, "%sv%u", i ? "|" : "", i);
        assert_int_equal(matcher_init(&m, MATCH_RE, SV("l"), buf_view(&text), &a, NULL), 0);
        assert_int_equal(m.shape,
                         n > MATCHER_LITERALS_MAX ? MATCH_SHAPE_REGEX : MATCH_SHAPE_LITERALS);
        assert_true(matcher_matches(&m, SV("v0")));
        assert_true(matcher_matches(&m, SV("v4000")));
        assert_false(matcher_matches(&m, SV("v9999")));
        matcher_free(&m);
        arena_free(&a);
    }
}

static void test_matchers_and_their_shapes(void **state)
{
    static const struct {
        MatchOp op;
        const char *value, *yes, *no;
        MatchShape shape;
    } rows[] = {
        { MATCH_EQ, "a", "a", "b", 0 },
        { MATCH_NE, "a", "b", "a", 0 },
        { MATCH_RE, "a|b|", "", "c", MATCH_SHAPE_LITERALS },
        { MATCH_RE, "a\\.b", "a.b", "axb", MATCH_SHAPE_LITERALS },
        { MATCH_RE, "abc.*", "abc\nd", "ab", MATCH_SHAPE_PREFIX },
        { MATCH_RE, ".*", "", NULL, MATCH_SHAPE_PREFIX },
        { MATCH_RE, ".+", "x", "", MATCH_SHAPE_PREFIX_SOME },
        { MATCH_RE, "ab*", "a", "b", MATCH_SHAPE_REGEX },
        { MATCH_RE, "a(b|c)", "ac", "xac", MATCH_SHAPE_REGEX },
        { MATCH_NRE, "a|b", "c", "a", MATCH_SHAPE_LITERALS },
        { MATCH_RE, "(?i)ab", "AB", "AC", MATCH_SHAPE_REGEX },
        { MATCH_RE, "a.c", "a\nc", "ac", MATCH_SHAPE_REGEX },
        { MATCH_RE, "abc|d.*", "de", "ab", MATCH_SHAPE_REGEX },
        { MATCH_RE, "abc|d.*", "abc", "abcd", MATCH_SHAPE_REGEX },
        { MATCH_RE, "a\\|b", "a|b", "b", MATCH_SHAPE_REGEX },
        { MATCH_RE, "x\u00e9?", "x", "\u00e9", MATCH_SHAPE_REGEX },
        { MATCH_RE, "\u00e9|e", "\u00e9", "\u00e8", MATCH_SHAPE_LITERALS },
    };
    Arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Matcher m;
        assert_int_equal(matcher_init(&m, rows[i].op, SV("l"), sv_cstr(rows[i].value), &a, NULL),
                         0);
        assert_true(matcher_matches(&m, sv_cstr(rows[i].yes)));
        if (rows[i].no)
            assert_false(matcher_matches(&m, sv_cstr(rows[i].no)));
        assert_int_equal(m.shape, rows[i].shape);
        matcher_free(&m);
    }
    Matcher bad;
    Err err = { 0 };
    assert_true(matcher_init(&bad, MATCH_RE, SV("l"), SV("a)(b"), &a, &err) < 0);
    assert_int_equal(err.code, ERR_INVALID);
    arena_free(&a);
}

static void test_columns_hold_floats_histograms_and_starts(void **state)
{
    SampleCols c;
    Histogram h = { .count = 3, .sum = 4 };
    sample_cols_init(&c);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++)
            assert_true(sample_cols_float(&c, i, i));
        assert_true(sample_cols_histogram(&c, 1000, &h));
        assert_true(sample_cols_start(&c, 17));
        assert_int_equal(c.len, 1001);
        assert_null(c.h[999]);
        assert_true(c.h[1000]->count == 3 && c.v[1000] == 4 && c.st[1000] == 17 && c.st[5] == 0);
        sample_cols_clear(&c);
    }
    sample_cols_free(&c);
}

static void test_whole_numbers_saturate(void **state)
{
    assert_true(double_to_i64(-1.9) == -1 && double_to_i64(NAN) == 0);
    assert_true(double_to_i64(1e300) == INT64_MAX && double_to_i64(-INFINITY) == INT64_MIN);
    assert_true(double_to_i64(0x1p63) == INT64_MAX && double_to_i64(-0x1p63) == INT64_MIN);
    assert_true(double_to_i64(0x1p62) == INT64_C(1) << 62);
    assert_true(double_to_u64(-1) == 0 && double_to_u64(NAN) == 0 && double_to_u64(2.5) == 2);
    assert_true(double_to_u64(0x1p64) == UINT64_MAX && double_to_u64(0x1p63) == UINT64_C(1) << 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers_saturate),
        cmocka_unit_test(test_numbers_print_as_go_prints_them),
        cmocka_unit_test(test_compensation_keeps_small_parts),
        cmocka_unit_test(test_durations_read_and_print),
        cmocka_unit_test(test_labels_build_compare_and_print),
        cmocka_unit_test(test_hash_by_and_without_see_the_same_groups),
        cmocka_unit_test(test_globs_match_what_their_expressions_match),
        cmocka_unit_test(test_globs_leave_to_re2_what_is_not_theirs),
        cmocka_unit_test(test_matchers_and_their_shapes),
        cmocka_unit_test(test_a_matcher_of_many_alternatives),
        cmocka_unit_test(test_columns_hold_floats_histograms_and_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
