/* test_regex.c - RE2 behind the C face. */
#include "unit.h"

#include "base/regex.h"

static void test_anchored_matches_whole_strings(void **state)
{
    char why[100];
    Regex *re = regex_new(SV("a+b|c"), true, why, sizeof why);
    assert_non_null(re);
    assert_true(regex_match(re, SV("aab")));
    assert_false(regex_match(re, SV("xaab")));
    assert_true(regex_match(re, SV("c")));
    assert_null(regex_free(re));
}

static void test_groups(void **state)
{
    char why[100];
    Regex *re = regex_new(SV("([a-z]+)=(\\d+)?"), false, why, sizeof why);
    StrView g[3];
    assert_true(regex_groups(re, SV("  key=42 "), g, 3));
    assert_sv(g[0], "key=42");
    assert_sv(g[1], "key");
    assert_sv(g[2], "42");
    assert_true(regex_groups(re, SV("key="), g, 3));
    assert_null(g[2].ptr);
    regex_free(re);
}

static void test_bad_pattern_says_why(void **state)
{
    char why[100] = "";
    assert_null(regex_new(SV("a("), true, why, sizeof why));
    assert_true(strlen(why) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anchored_matches_whole_strings),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_bad_pattern_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
