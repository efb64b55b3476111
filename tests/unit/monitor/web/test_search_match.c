/* test_search_match.c - which names fit a search, and how well. */
#include "unit.h"

#include <math.h>

#include "monitor/web/search_match.h"

/* -1: it does not fit. */
static double score(SearchFilter f, const char *term, const char *value)
{
    _cleanup_arena_ Arena a;
    const StrView terms[] = { sv_cstr(term) };
    double ret = NAN;
    arena_init(&a, 0);
    f.terms = terms;
    f.n = 1;
    return search_matches(&f, sv_cstr(value), &a, &ret) ? ret : -1;
}

static void check(const char *term, const char *value, double got, double want)
{
    if (!(fabs(got - want) < 1e-9))
        fail_msg("%s in %s: %.12f, want %.12f", term, value, got, want);
}

static void test_subsequences(void **state)
{
    static const struct {
        const char *term, *value;
        double score;
    } cases[] = {
        { "up", "up", 1 },
        { "htt", "http_requests", 1 },
        { "req", "http_requests", 0.999 * (9 - 5.0 / 13 - 0.5 * 5 / 13) / 9 },
        { "hreq", "http_requests", 0.999 * (1 + 9 - 4.0 / 13 - 0.5 * 5 / 13) / 16 },
        { "ab", "xaxab", 0.999 * (4 - 3.0 / 5) / 4 }, /* the better of two places */
        { "ba", "ab", -1 },
        { "abc", "ab", -1 },
        { "\xc3\xa9", "ab", -1 },
        { "\xc3\xa0\xc3\xbc", "\xc3\xa9\xc3\xa0\xc3\xbc", 0.999 * (4 - 1.0 / 3) / 4 },
        { "UP", "up", -1 },
        { "a", "", -1 },
        { "\xff", "a\xff", 0.999 * (1 - 1.0 / 2) },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(cases[i].term, cases[i].value,
              score((SearchFilter){ 0 }, cases[i].term, cases[i].value), cases[i].score);
    assert_true(score((SearchFilter){ .threshold = 0.9 }, "hreq", "http_requests") < 0);
    check("UP", "Up_x", score((SearchFilter){ .fold = true }, "UP", "Up_x"), 1);
}

static void test_similar_names(void **state)
{
    static const struct {
        const char *term, *value;
        double score;
    } cases[] = {
        { "martha", "marhta", 0.961111111111 },
        { "dwayne", "duane", 0.84 },
        { "dixon", "dicksonx", 0.813333333333 },
        { "m\xc3\xa0rtha", "m\xc3\xa0rhta", 0.961111111111 },
        { "abc", "xyz", -1 },
        { "quest", "requests", 1 - 0.9 * 2 / 3 },
        { "re", "requests", 1 },
    };
    const SearchFilter f = { .algorithm = SEARCH_JARO_WINKLER, .threshold = 0.5 };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(cases[i].term, cases[i].value, score(f, cases[i].term, cases[i].value),
              cases[i].score);
    /* Without a threshold only what holds the term. */
    check("martha", "marhta",
          score((SearchFilter){ .algorithm = SEARCH_JARO_WINKLER }, "martha", "marhta"), -1);
}

static void test_terms(void **state)
{
    const StrView terms[] = { SV(""), SV("zz"), SV("up") }, none[] = { SV("") };
    SearchFilter f = { .terms = terms, .n = 3 };
    _cleanup_arena_ Arena a;
    double ret = 0;
    arena_init(&a, 0);
    assert_true(search_matches(&f, SV("up"), &a, &ret) && ret == 1);
    assert_false(search_matches(&f, SV("x"), &a, &ret));
    f = (SearchFilter){ .terms = none, .n = 1 };
    assert_true(search_matches(&f, SV("x"), &a, &ret) && ret == 1);
    f.n = 0;
    assert_true(search_matches(&f, SV(""), &a, &ret) && ret == 1);
    /* The memory for it ends: it does not fit. */
    Arena small;
    char text[4096];
    memset(text, 'x', sizeof text);
    arena_init(&small, 1024);
    f = (SearchFilter){ .terms = terms, .n = 3 };
    assert_false(search_matches(&f, sv_n(text, sizeof text), &small, &ret));
    arena_free(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subsequences),
        cmocka_unit_test(test_similar_names),
        cmocka_unit_test(test_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
