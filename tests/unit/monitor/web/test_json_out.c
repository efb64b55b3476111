/* test_json_out.c - results as JSON: numbers, times, series, histograms. */
#include "monitor/model/number.h"
#include "monitor/web/json_out.h"
#include "unit.h"

static void check_double(double v, const char *want)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    json_put_double(&out, v);
    assert_sv(buf_view(&out), want);
}

static void test_values_have_the_forms_of_the_api(void **state)
{
    check_double(0, "\"0\"");
    check_double(-0.0, "\"-0\"");
    check_double(1, "\"1\"");
    check_double(-17, "\"-17\"");
    check_double(0.1, "\"0.1\"");
    check_double(-1.5, "\"-1.5\"");
    check_double(1.0 / 3, "\"0.3333333333333333\"");
    check_double(0.1 + 0.2, "\"0.30000000000000004\"");
    check_double(1e6, "\"1000000\"");
    check_double(1e20, "\"100000000000000000000\"");
    check_double(1e21, "\"1e+21\"");
    check_double(1.7976931348623157e308, "\"1.7976931348623157e+308\"");
    check_double(0.000001, "\"0.000001\"");
    check_double(0.0000015, "\"0.0000015\"");
    check_double(1e-7, "\"1e-07\"");
    check_double(5e-324, "\"5e-324\"");
    check_double(9007199254740993.0, "\"9007199254740992\"");
    check_double((double)INFINITY, "\"+Inf\"");
    check_double((double)-INFINITY, "\"-Inf\"");
    check_double((double)NAN, "\"NaN\"");
}

static void test_values_read_back_as_the_same_number(void **state)
{
    uint64_t x = 88172645463325252ULL;
    for (int i = 0; i < 100000; i++) {
        char text[DOUBLE_JSON_SIZE + 1];
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        double v = double_from_bits(i % 2 ? x : (x & 0xfffffffffffffULL) | 0x4090000000000000ULL);
        if (!isfinite(v))
            continue;
        size_t n = double_format_json(v, text);
        assert_in_range(n, 1, DOUBLE_JSON_SIZE);
        text[n] = 0;
        if (strtod(text, NULL) != v)
            fail_msg("%a became %s", v, text);
    }
}

static void check_time(int64_t ms, const char *want)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    json_put_time(&out, ms);
    assert_sv(buf_view(&out), want);
}

static void test_times_are_seconds_with_three_decimals(void **state)
{
    check_time(0, "0");
    check_time(1435781451781, "1435781451.781");
    check_time(1000, "1");
    check_time(1001, "1.001");
    check_time(1010, "1.010");
    check_time(-1, "-0.001");
    check_time(-1500, "-1.500");
    check_time(INT64_MIN, "-9223372036854775.808");
}

static void test_series_and_vectors(void **state)
{
    const Label pairs[] = { { SV("__name__"), SV("a") }, { SV("x"), SV("q\"\n") } };
    const PromqlPoint points[] = { { 1000, 1, NULL }, { 2500, (double)NAN, NULL } };
    const PromqlSeries series[] = { { { pairs, 2 }, points, 2 }, { { NULL, 0 }, points, 1 } };
    PromqlResult r = { .type = PROMQL_MATRIX, .series = series, .n = 2 };
    _cleanup_buf_ Buf out = BUF_INIT;
    bool cut;
    json_put_result(&out, &r, 0, &cut);
    assert_false(cut);
    assert_sv(buf_view(&out),
              "[{\"metric\":{\"__name__\":\"a\",\"x\":\"q\\\"\\n\"},\"values\":[[1,\"1\"],[2.500,"
              "\"NaN\"]]},{\"metric\":{},\"values\":[[1,\"1\"]]}]");
    buf_clear(&out);
    r.type = PROMQL_VECTOR;
    json_put_result(&out, &r, 1, &cut);
    assert_true(cut);
    assert_sv(buf_view(&out),
              "[{\"metric\":{\"__name__\":\"a\",\"x\":\"q\\\"\\n\"},\"value\":[1,\"1\"]}]");
}

static void test_scalars_and_strings(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    bool cut;
    json_put_result(&out, &(PromqlResult){ .type = PROMQL_SCALAR, .scalar = 2.5, .time = 1500 }, 0,
                    &cut);
    assert_sv(buf_view(&out), "[1.500,\"2.5\"]");
    buf_clear(&out);
    json_put_result(&out, &(PromqlResult){ .type = PROMQL_STRING, .string = SV("x"), .time = 1 }, 0,
                    &cut);
    assert_sv(buf_view(&out), "[0.001,\"x\"]");
}

static void test_histograms_show_filled_buckets_with_their_bounds(void **state)
{
    const HistogramSpan span = { 0, 3 }, neg = { 1, 1 };
    const double pos[] = { 1, 0, 3 }, minus[] = { 2 };
    const Histogram h = { .schema = 0,
                          .zero_threshold = 0.25,
                          .zero_count = 4,
                          .count = 10,
                          .sum = 12.5,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .neg_spans = &neg,
                          .n_neg_spans = 1,
                          .pos = pos,
                          .n_pos = 3,
                          .neg = minus,
                          .n_neg = 1 };
    _cleanup_buf_ Buf out = BUF_INIT;
    json_put_histogram(&out, &h);
    assert_sv(buf_view(&out),
              "{\"count\":\"10\",\"sum\":\"12.5\",\"buckets\":[[1,\"-2\",\"-1\",\"2\"],"
              "[3,\"-0.25\",\"0.25\",\"4\"],[0,\"0.5\",\"1\",\"1\"],[0,\"2\",\"4\",\"3\"]]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_have_the_forms_of_the_api),
        cmocka_unit_test(test_values_read_back_as_the_same_number),
        cmocka_unit_test(test_times_are_seconds_with_three_decimals),
        cmocka_unit_test(test_series_and_vectors),
        cmocka_unit_test(test_scalars_and_strings),
        cmocka_unit_test(test_histograms_show_filled_buckets_with_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
