/* test_params.c - times, durations and names of a request. */
#include "monitor/web/internal.h"
#include "unit.h"

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } good[] = { { "1435781430.781", 1435781430781 },
                 { "0", 0 },
                 { "-1.5", -1500 },
                 { "1e3", 1000000 },
                 { "1.0004", 1000 },
                 { "1.9996", 2000 },
                 { "2015-07-01T20:10:30.781Z", 1435781430781 },
                 { "2015-07-01T22:10:30.781+02:00", 1435781430781 },
                 { "1969-12-31T23:59:59.5Z", -500 },
                 { "-292273086-05-16T16:47:06Z", CALL_TIME_MIN },
                 { "292277025-08-18T07:12:54.999999999Z", CALL_TIME_MAX },
                 { "1e300", CALL_TIME_MAX } };
    static const char *const bad[] = { "", "foo", "30s", "2015-07-01", "1 2" };
    int64_t t;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        if (time_param_parse(sv_cstr(good[i].text), &t) < 0)
            fail_msg("'%s' was refused", good[i].text);
        if (t != good[i].want)
            fail_msg("'%s' became %lld", good[i].text, (long long)t);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (time_param_parse(sv_cstr(bad[i]), &t) == 0)
            fail_msg("'%s' was taken", bad[i]);
}

static void test_durations(void **state)
{
    int64_t ms;
    assert_int_equal(duration_param_parse(SV("15"), &ms), 0);
    assert_int_equal(ms, 15000);
    assert_int_equal(duration_param_parse(SV("0.25"), &ms), 0);
    assert_int_equal(ms, 250);
    assert_int_equal(duration_param_parse(SV("-1"), &ms), 0);
    assert_int_equal(ms, -1000);
    assert_int_equal(duration_param_parse(SV("1h30m"), &ms), 0);
    assert_int_equal(ms, 5400000);
    assert_true(duration_param_parse(SV(""), &ms) < 0);
    assert_true(duration_param_parse(SV("1x"), &ms) < 0);
    assert_true(duration_param_parse(SV("1e19"), &ms) < 0);
}

static void test_escaped_names(void **state)
{
    static const char *const names[][2] = {
        { "job", "job" },
        { "U__http_2e_status", "http.status" },
        { "U__a__b", "a_b" },
        { "U___1f43a_", "\xf0\x9f\x90\xba" },
        { "U___e9_t", "\xc3\xa9t" },
        { "U___20AC_", "\xe2\x82\xac" },
        { "U__bad_zz_", "U__bad_zz_" },
        { "U__end_2e", "U__end_2e" },
        { "U___d800_", "U___d800_" },
    };
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_sv(label_unescape(sv_cstr(names[i][0]), &a), names[i][1]);
}

static void test_routes_are_found_by_path(void **state)
{
    unsigned index;
    StrView arg;
    assert_non_null(route_find(SV("/api/v1/query"), &index, &arg));
    assert_null(route_find(SV("/api/v1/query/"), &index, &arg));
    assert_null(route_find(SV("/api/v1/label//values"), &index, &arg));
    assert_null(route_find(SV("/api/v1/label/a/b/values"), &index, &arg));
    assert_non_null(route_find(SV("/api/v1/label/job/values"), &index, &arg));
    assert_sv(arg, "job");
    for (unsigned i = 0; i < route_count(); i++) {
        assert_non_null(route_at(i)->fn);
        assert_true(route_at(i)->methods != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_escaped_names),
        cmocka_unit_test(test_routes_are_found_by_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
