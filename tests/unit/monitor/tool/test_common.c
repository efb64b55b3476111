/* test_common.c - times of flags, and columns as Go's tabwriter aligns them. */
#include "monitor/tool/internal.h"
#include "unit.h"

static void expect_time(const char *text, int64_t want)
{
    int64_t got = 0;
    Err err = { 0 };
    if (tool_time(sv_cstr(text), &got, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(got, want);
}

static void test_times_are_seconds_or_rfc_3339(void **state)
{
    int64_t t;
    Err err = { 0 };
    expect_time("0", 0);
    expect_time("1435781451.781", 1435781451781);
    expect_time("-1.5", -1500);
    expect_time("1e9", 1000000000000);
    expect_time("2026-01-02T03:04:05Z", 1767323045000);
    expect_time("2026-01-02T03:04:05.250+01:00", 1767319445250);
    assert_int_equal(tool_time(SV("yesterday"), &t, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "cannot parse \"yesterday\" to a valid timestamp");
    assert_int_equal(tool_time(SV("1e30"), &t, &err), -ERR_INVALID);
}

static void test_columns_are_as_wide_as_their_longest_cell(void **state)
{
    const StrView cells[] = { SV("a"), SV("bcd"), SV("long text"), SV("e") };
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    tool_table(out, &(ToolTable){ .n_columns = 2, .min = 4, .padding = 2 }, cells, 2);
    tool_table(out, &(ToolTable){ .n_columns = 2, .min = 4, .padding = 2, .last = true }, cells, 2);
    fclose(out);
    assert_string_equal(text, "a          bcd\nlong text  e\n"
                              "a          bcd  \nlong text  e    \n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_are_seconds_or_rfc_3339),
        cmocka_unit_test(test_columns_are_as_wide_as_their_longest_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
