#include "unit.h"

#include "monitor/model/histogram.h"
#include "monitor/promqltest/series_histogram.h"

/* Histograms are written in the notation of test scripts. */
static const Histogram *parse(Arena *a, const char *text)
{
    StrView rest = sv_cstr(text);
    const Histogram *h = NULL;
    bool hint;
    Err err = { 0 };
    if (series_parse_histogram(&rest, a, &h, &hint, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(rest.len, 0);
    return h;
}

static void assert_histogram(const Histogram *h, const char *want)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    histogram_format_test(h, &out);
    assert_sv(buf_view(&out), want);
}

static void check_sum(const char *x, const char *y, bool subtract, unsigned want_flags,
                      const char *want)
{
    Arena a;
    HistogramAcc acc = { .compensate = !subtract };
    arena_init(&a, 0);
    histogram_acc_set(&acc, parse(&a, x));
    assert_int_equal(histogram_acc_add(&acc, parse(&a, y), subtract), want_flags);
    histogram_acc_compact(&acc);
    assert_histogram(histogram_acc_take(&acc, &a), want);
    histogram_acc_free(&acc);
    arena_free(&a);
}

static void test_sums_join_layouts_schemas_and_zero_buckets(void **state)
{
    check_sum("{{count:3 sum:4 buckets:[1 2]}}", "{{count:2 sum:1 offset:3 buckets:[2]}}", false, 0,
              "{{count:5 sum:5 buckets:[1 2 0 2]}}");
    check_sum("{{count:5 buckets:[1 2 0 2]}}", "{{count:2 offset:1 buckets:[1]}}", true, 0,
              "{{count:3 buckets:[1 1 0 2]}}");
    /* Two buckets of schema 1 make one of schema 0. */
    check_sum("{{schema:1 count:6 offset:1 buckets:[1 2 3]}}", "{{count:4 offset:1 buckets:[4]}}",
              false, 0, "{{count:10 offset:1 buckets:[7 3]}}");
    /* The wider zero bucket swallows (0.5,1] and reaches to the edge of the next populated one. */
    check_sum("{{count:7 z_bucket:1 z_bucket_w:0.5 buckets:[2 4]}}",
              "{{count:1 z_bucket:1 z_bucket_w:1}}", false, 0,
              "{{count:8 z_bucket:4 z_bucket_w:1 offset:1 buckets:[4]}}");
}

static void test_custom_bounds_are_reconciled(void **state)
{
    check_sum("{{schema:-53 count:6 custom_values:[1 2 3] buckets:[1 2 3]}}",
              "{{schema:-53 count:3 custom_values:[1 3] buckets:[1 2]}}", false,
              HISTOGRAM_ADD_RECONCILED, "{{schema:-53 count:9 custom_values:[1 3] buckets:[2 7]}}");
    check_sum("{{schema:-53 count:1 custom_values:[1] buckets:[1]}}", "{{count:1 buckets:[1]}}",
              false, HISTOGRAM_ADD_MIXED, "{{schema:-53 count:1 custom_values:[1] buckets:[1]}}");
}

static void test_hints_collide(void **state)
{
    check_sum("{{count:1 counter_reset_hint:reset}}", "{{count:1 counter_reset_hint:not_reset}}",
              false, HISTOGRAM_ADD_COLLISION, "{{count:2}}");
    check_sum("{{count:1 counter_reset_hint:reset}}", "{{count:1 counter_reset_hint:gauge}}", false,
              0, "{{count:2 counter_reset_hint:gauge}}");
}

static void test_scaling_and_division_by_zero(void **state)
{
    Arena a;
    HistogramAcc acc = { 0 };
    arena_init(&a, 0);
    histogram_acc_set(&acc, parse(&a, "{{count:2 sum:3 buckets:[2]}}"));
    histogram_acc_mul(&acc, -2);
    assert_histogram(histogram_acc_take(&acc, &a),
                     "{{count:-4 sum:-6 counter_reset_hint:gauge buckets:[-4]}}");
    histogram_acc_div(&acc, 0);
    assert_histogram(histogram_acc_take(&acc, &a),
                     "{{count:-Inf sum:-Inf z_bucket:NaN counter_reset_hint:gauge}}");
    histogram_acc_free(&acc);
    arena_free(&a);
}

static void test_resets_are_seen(void **state)
{
    static const struct {
        const char *prev, *cur;
        bool reset;
    } rows[] = {
        { "{{count:3 buckets:[1 2]}}", "{{count:4 buckets:[2 2]}}", false },
        { "{{count:3 buckets:[1 2]}}", "{{count:4 buckets:[0 4]}}", true },
        { "{{count:3 buckets:[1 2]}}", "{{count:2 buckets:[1 1]}}", true },
        { "{{count:3 buckets:[1 2]}}", "{{count:9 offset:1 buckets:[9]}}", true },
        { "{{count:2 buckets:[0 2]}}", "{{count:9 offset:1 buckets:[9]}}", false },
        { "{{schema:1 count:3 buckets:[1 2]}}", "{{schema:0 count:3 buckets:[1 2]}}", false },
        { "{{schema:0 count:3 buckets:[1 2]}}", "{{schema:1 count:3 buckets:[1 2]}}", true },
        { "{{count:3 z_bucket:3 z_bucket_w:1}}", "{{count:3 z_bucket:3 z_bucket_w:0.5}}", true },
        { "{{count:1}}", "{{count:1 counter_reset_hint:reset}}", true },
        { "{{count:9}}", "{{count:1 counter_reset_hint:not_reset}}", false },
        { "{{schema:-53 count:4 custom_values:[1 2] buckets:[2 2]}}",
          "{{schema:-53 count:5 custom_values:[2] buckets:[5]}}", false },
        { "{{schema:-53 count:4 custom_values:[1 2] buckets:[2 2]}}",
          "{{schema:-53 count:5 custom_values:[2] buckets:[3 2]}}", true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Arena a;
        arena_init(&a, 0);
        bool got = histogram_detect_reset(parse(&a, rows[i].cur), parse(&a, rows[i].prev));
        if (got != rows[i].reset)
            fail_msg("%s after %s: %d", rows[i].cur, rows[i].prev, got);
        arena_free(&a);
    }
}

static void test_walks_in_both_directions(void **state)
{
    Arena a;
    HistogramIter it;
    HistogramBucket b;
    static const double up[] = { -4, -2, -0.5, 0.5, 1 };
    size_t n = 0;
    arena_init(&a, 0);
    const Histogram *h =
        parse(&a, "{{count:9 z_bucket:1 z_bucket_w:0.5 buckets:[1 2] n_offset:1 n_buckets:[3 4]}}");
    histogram_iter(h, WALK_ALL, &it);
    for (; histogram_next(&it, &b); n++)
        assert_true(b.lower == up[n]);
    assert_int_equal(n, ARRAY_SIZE(up));
    histogram_iter(h, WALK_ALL_REVERSE, &it);
    while (histogram_next(&it, &b))
        assert_true(b.lower == up[--n]);
    assert_int_equal(n, 0);
    arena_free(&a);
}

static void test_bounds_of_schemas(void **state)
{
    assert_true(histogram_bound(0, 0) == 1 && histogram_bound(1, 0) == 2);
    assert_true(histogram_bound(1, 1) == 2 * 0.7071067811865475);
    assert_true(histogram_bound(1, -1) == 4 && histogram_bound(-1, 0) == 0.5);
    assert_true(histogram_bound(1024, 0) == 0x1.fffffffffffffp1023);
    assert_true(isinf(histogram_bound(1025, 0)));
    assert_true(histogram_bound(64, -4) == 0x1.fffffffffffffp1023);
}

static void test_quantiles_and_fractions(void **state)
{
    Arena a;
    HistogramRemark remark;
    arena_init(&a, 0);
    const Histogram *h = parse(&a, "{{count:4 sum:6 offset:1 buckets:[4]}}"); /* (1,2] */
    assert_true(fabs(histogram_quantile(0.5, h, &remark) - sqrt(2)) < 1e-12);
    assert_true(fabs(histogram_fraction(1, sqrt(2), h, &remark) - 0.5) < 1e-12);
    assert_true(isinf(histogram_quantile(2, h, &remark)));
    h = parse(&a, "{{schema:-53 count:4 custom_values:[2 4] buckets:[2 2]}}");
    assert_true(histogram_quantile(0.25, h, &remark) == 1);
    assert_true(histogram_fraction(-INFINITY, 3, h, &remark) == 0.75);
    h = parse(&a, "{{count:4 sum:NaN offset:1 buckets:[1]}}");
    assert_true(isnan(histogram_quantile(0.9, h, &remark)));
    assert_int_equal(remark, HISTOGRAM_NAN_RESULT);
    arena_free(&a);
}

static void test_validation_says_what_is_wrong(void **state)
{
    static const HistogramSpan two[] = { { 0, 2 } };
    static const double one[] = { 1 }, minus[] = { 1, -1 }, falling[] = { 2, 1 };
    Histogram h = { .pos_spans = two, .n_pos_spans = 1, .pos = one, .n_pos = 1 };
    Err err = { 0 };
    assert_true(histogram_validate(&h, &err) < 0);
    assert_non_null(strstr(err.msg, "positive side: spans need 2 buckets, have 1 buckets"));
    h.pos = minus;
    h.n_pos = 2;
    assert_true(histogram_validate(&h, &err) < 0);
    assert_non_null(strstr(err.msg, "bucket number 2 has observation count of -1"));
    h = (Histogram){ .schema = -53, .bounds = falling, .n_bounds = 2 };
    assert_true(histogram_validate(&h, &err) < 0);
    assert_non_null(strstr(err.msg, "strictly increasing order"));
    h = (Histogram){ .schema = 9 };
    assert_true(histogram_validate(&h, &err) < 0);
    assert_non_null(strstr(err.msg, "got schema 9"));
    h = (Histogram){ .schema = 3 };
    assert_int_equal(histogram_validate(&h, &err), 0);
}

static void test_compaction_keeps_short_gaps_on_request(void **state)
{
    Arena a;
    arena_init(&a, 0);
    const Histogram *h = parse(&a, "{{count:3 buckets:[0 1 0 1 0 0 0 1 0]}}");
    const Histogram *none = histogram_compact(h, 0, &a), *two = histogram_compact(h, 2, &a);
    assert_int_equal(none->n_pos_spans, 3);
    assert_int_equal(none->n_pos, 3);
    assert_int_equal(two->n_pos_spans, 2);
    assert_int_equal(two->n_pos, 4);
    assert_false(histogram_equal(h, none));
    assert_true(histogram_equal(none, histogram_copy(none, &a)));
    arena_free(&a);
}

static void test_trimming(void **state)
{
    Arena a;
    arena_init(&a, 0);
    const Histogram *h =
        parse(&a, "{{schema:-53 count:4 sum:8 custom_values:[2 4] buckets:[2 2]}}");
    assert_histogram(histogram_trim(h, 3, true, &a),
                     "{{schema:-53 count:3 sum:4.5 custom_values:[2 4] buckets:[2 1]}}");
    assert_histogram(histogram_trim(h, 10, true, &a),
                     "{{schema:-53 count:4 sum:8 custom_values:[2 4] buckets:[2 2]}}");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_join_layouts_schemas_and_zero_buckets),
        cmocka_unit_test(test_custom_bounds_are_reconciled),
        cmocka_unit_test(test_hints_collide),
        cmocka_unit_test(test_scaling_and_division_by_zero),
        cmocka_unit_test(test_resets_are_seen),
        cmocka_unit_test(test_walks_in_both_directions),
        cmocka_unit_test(test_bounds_of_schemas),
        cmocka_unit_test(test_quantiles_and_fractions),
        cmocka_unit_test(test_validation_says_what_is_wrong),
        cmocka_unit_test(test_compaction_keeps_short_gaps_on_request),
        cmocka_unit_test(test_trimming),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
