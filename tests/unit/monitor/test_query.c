/* test_query.c - what scripts cannot say: limits, cancellation, memory, names without delayed
 * removal, statistics. */
#include "unit.h"

#include <pthread.h>

#include "monitor/promql/promql.h"
#include "monitor/promqltest/memory.h"
#include "monitor/promqltest/promqltest.h"
#include "monitor/promqltest/series.h"

enum { STEP_MS = 60 * 1000 };

static void load_every(Memory *m, int64_t step_ms, const char *line)
{
    Arena a;
    Labels l;
    SeriesValues v;
    Err err = { 0 };
    arena_init(&a, 0);
    if (series_parse(sv_cstr(line), &a, &l, &v, &err) < 0)
        fail_msg("%s", err.msg);
    MemorySeries *s = memory_series(m, l);
    for (size_t i = 0; i < v.len; i++)
        if (!v.items[i].omitted)
            assert_int_equal(
                memory_append(m, s, (int64_t)i * step_ms, v.items[i].v, v.items[i].h, 0, &err), 0);
    arena_free(&a);
}

static void load(Memory *m, const char *line)
{
    load_every(m, STEP_MS, line);
}

static Memory *example(void)
{
    Memory *m = memory_new();
    load(m, "requests_total{path=\"/\", code=\"200\"} 0+60x120");
    load(m, "requests_total{path=\"/\", code=\"500\"} 0+6x120");
    load(m, "requests_total{path=\"/x\", code=\"200\"} 0+30x120");
    load(m, "errors_total{path=\"/\", code=\"500\"} 0+6x120");
    load(m, "native {{count:1 sum:1 buckets:[1]}}+{{count:1 sum:1 buckets:[1]}}x120");
    load(m, "lat_bucket{le=\"1\"} 0+3x120");
    load(m, "lat_bucket{le=\"+Inf\"} 0+4x120");
    return m;
}

static PromqlQuery range_of(const char *text)
{
    return (PromqlQuery){ .text = sv_cstr(text),
                          .range = true,
                          .start = 10 * STEP_MS,
                          .end = 100 * STEP_MS,
                          .step = STEP_MS };
}

static void test_names_are_dropped_at_once_without_the_feature(void **state)
{
    Memory *m = example();
    PromqlResult r;
    Err err = { 0 };
    PromqlQuery q = range_of("rate(requests_total[5m])");
    assert_int_equal(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err), 0);
    assert_int_equal(r.type, PROMQL_MATRIX);
    assert_int_equal(r.n, 3);
    for (size_t i = 0; i < r.n; i++) {
        assert_false(labels_has(r.series[i].labels, LABEL_METRIC_NAME));
        assert_int_equal(r.series[i].n, 91);
    }
    assert_sv(labels_get(r.series[0].labels, SV("code")), "200");
    assert_true(fabs(r.series[0].points[0].v - 1) < 1e-9);
    promql_result_free(&r);
    /* Two metrics come out with the same labels. */
    q = range_of("rate({__name__=~\".+_total\", code=\"500\"}[5m])");
    assert_true(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err) < 0);
    assert_string_equal(err.msg, "vector cannot contain metrics with the same labelset");
    assert_int_equal(r.error_type, PROMQL_EXECUTION);
    promql_result_free(&r);
    q = range_of("abs({__name__=~\".+_total\", code=\"500\"})");
    assert_true(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err) < 0);
    promql_result_free(&r);
    memory_free(m);
}

/* The totals, then those of the first three steps. */
static void check_counts(Memory *m, const char *text, int64_t start, int64_t end, uint64_t scanned,
                         uint64_t read, const uint64_t by_step[3], const uint64_t read_by_step[3])
{
    PromqlResult r;
    Err err = { 0 };
    PromqlQuery q = { .text = sv_cstr(text), .stats = true };
    q.start = start;
    q.end = end;
    q.step = 60000;
    q.range = true;
    assert_int_equal(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err), 0);
    assert_int_equal(r.stats.samples_scanned, scanned);
    assert_int_equal(r.stats.samples_read, read);
    assert_int_equal(r.stats.steps, 3);
    assert_int_equal(r.stats.start, start);
    assert_memory_equal(r.stats.scanned_at, by_step, 3 * sizeof *by_step);
    assert_memory_equal(r.stats.read_at, read_by_step, 3 * sizeof *read_by_step);
    promql_result_free(&r);
}

/* One series with a sample every 10 s; three steps of a minute. */
static void test_samples_are_counted_at_each_step(void **state)
{
    Memory *m = memory_new();
    load_every(m, 10000, "metric 0+1x200");
    check_counts(m, "metric", 600000, 720000, 3, 3, (uint64_t[]){ 1, 1, 1 },
                 (uint64_t[]){ 1, 1, 1 });
    check_counts(m, "sum_over_time(metric[2m])", 600000, 720000, 36, 24, (uint64_t[]){ 12, 12, 12 },
                 (uint64_t[]){ 12, 6, 6 });
    /* Windows that leave out what lies between them. */
    check_counts(m, "rate(metric[30s])", 600000, 720000, 9, 9, (uint64_t[]){ 3, 3, 3 },
                 (uint64_t[]){ 3, 3, 3 });
    check_counts(m, "metric @ 500", 600000, 720000, 3, 1, (uint64_t[]){ 1, 1, 1 },
                 (uint64_t[]){ 1, 0, 0 });
    check_counts(m, "sum_over_time(metric[2m] @ 500)", 600000, 720000, 36, 12,
                 (uint64_t[]){ 12, 12, 12 }, (uint64_t[]){ 12, 0, 0 });
    /* 4 points in each window; the inner selector was asked for them once. */
    check_counts(m, "max_over_time(metric[2m:30s])", 600000, 720000, 12, 8, (uint64_t[]){ 4, 4, 4 },
                 (uint64_t[]){ 4, 2, 2 });
    check_counts(m, "max_over_time(sum_over_time(metric[1m])[30s:30s])", 600000, 720000, 3, 12,
                 (uint64_t[]){ 1, 1, 1 }, (uint64_t[]){ 6, 3, 3 });
    check_counts(m, "metric + scalar(metric)", 600000, 720000, 6, 6, (uint64_t[]){ 2, 2, 2 },
                 (uint64_t[]){ 2, 2, 2 });
    memory_free(m);
}

static void test_samples_are_limited_and_counted(void **state)
{
    Memory *m = example();
    PromqlResult r;
    Err err = { 0 };
    PromqlQuery q = range_of("sum(requests_total)");
    q.stats = true;
    assert_int_equal(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err), 0);
    assert_int_equal(r.stats.samples_read, 3 * 91);
    assert_int_equal(r.stats.samples_scanned, 3 * 91);
    assert_true(r.stats.peak_samples >= 91 && r.stats.peak_samples < 3 * 91 + 91);
    promql_result_free(&r);
    q = range_of("requests_total");
    int code =
        promql_query(&(PromqlOptions){ .max_samples = 100 }, memory_querier(m), &q, &r, &err);
    assert_int_equal(code, -ERR_LIMIT);
    assert_int_equal(r.error_type, PROMQL_EXECUTION);
    assert_string_equal(err.msg, "query processing would load too many samples into memory in "
                                 "query execution");
    promql_result_free(&r);
    memory_free(m);
}

static void test_cancelling_and_time_out(void **state)
{
    Memory *m = example();
    PromqlResult r;
    Err err = { 0 };
    atomic_bool cancel = true;
    PromqlQuery q = range_of("sum(requests_total)");
    q.cancel = &cancel;
    assert_int_equal(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err),
                     -ERR_CLOSED);
    assert_int_equal(r.error_type, PROMQL_CANCELED);
    promql_result_free(&r);
    q = range_of("sum(max_over_time(requests_total[1m:10ms]))");
    int code = promql_query(&(PromqlOptions){ .timeout_ms = 1 }, memory_querier(m), &q, &r, &err);
    assert_int_equal(code, -ERR_TIMEOUT);
    assert_int_equal(r.error_type, PROMQL_TIMEOUT);
    promql_result_free(&r);
    memory_free(m);
}

static void test_bad_data_is_told_apart(void **state)
{
    Memory *m = example();
    PromqlResult r;
    Err err = { 0 };
    static const char *const bad[] = { "sum(", "requests_total[5m]", "\"text\"" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        PromqlQuery q = range_of(bad[i]);
        assert_true(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err) < 0);
        assert_int_equal(r.error_type, PROMQL_BAD_DATA);
        promql_result_free(&r);
    }
    PromqlQuery q = range_of("up");
    q.step = 0;
    assert_true(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err) < 0);
    assert_int_equal(r.error_type, PROMQL_BAD_DATA);
    promql_result_free(&r);
    memory_free(m);
}

/* Whatever the limit, a query ends in a result or in ERR_NOMEM, and frees everything. */
static void test_memory_limits_end_in_errors(void **state)
{
    static const char *const queries[] = {
        "sum by (path) (rate(requests_total[5m]))",
        "topk(2, requests_total) / on (path) group_left () sum by (path) (requests_total)",
        "histogram_quantile(0.9, rate(native[5m])) or histogram_quantile(0.5, lat_bucket)",
        "label_replace(requests_total, \"a\", \"$1\", \"path\", \"(.*)\") unless errors_total",
        "quantile(0.5, max_over_time(requests_total[10m:1m]))",
        "count_values(\"v\", requests_total) + 1",
        "sum(native) + native",
        "sort_desc(abs(-requests_total))",
        "absent(nothing{a=\"b\"})",
        "avg(avg_over_time(native[5m]))",
    };
    Memory *m = example();
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        int code = -1;
        for (size_t limit = 512; code < 0; limit += limit / 8) {
            PromqlQuery q = range_of(queries[i]);
            PromqlOptions o = { .memory_limit = limit };
            PromqlResult r;
            Err err = { 0 };
            code = promql_query(&o, memory_querier(m), &q, &r, &err);
            if (code < 0 && code != -ERR_NOMEM)
                fail_msg("%s: %s", queries[i], err.msg);
            promql_result_free(&r);
            assert_true(limit < 64 * 1024 * 1024);
        }
    }
    memory_free(m);
}

static void test_annotations_are_counted_beyond_a_limit(void **state)
{
    Memory *m = memory_new();
    PromqlResult r;
    Err err = { 0 };
    load(m, "gauge_a 1+1x120");
    load(m, "gauge_b 1+1x120");
    load(m, "gauge_c 1+1x120");
    PromqlQuery q = range_of("rate({__name__=~\"gauge_.\"}[5m])");
    PromqlOptions o = { .features = PROMQL_DELAYED_NAME_REMOVAL, .max_annotations = 2 };
    q.text = SV("sum(rate({__name__=~\"gauge_.\"}[5m]))");
    assert_int_equal(promql_query(&o, memory_querier(m), &q, &r, &err), 0);
    assert_int_equal(r.n_annotations, 3);
    assert_sv(r.annotations[0].text,
              "PromQL info: metric might not be a counter, name does not end in "
              "_total/_sum/_count/_bucket: \"gauge_a\" (1:10)");
    assert_sv(r.annotations[2].text, "1 more info annotations omitted");
    promql_result_free(&r);
    memory_free(m);
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

/* The value at `t` of the series with these labels. */
static const PromqlPoint *point_at(const PromqlResult *r, Labels l, int64_t t)
{
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; labels_eq(r->series[i].labels, l) && k < r->series[i].n; k++)
            if (r->series[i].points[k].t == t)
                return &r->series[i].points[k];
    return NULL;
}

static void compare_with_instants(Memory *m, const char *text)
{
    PromqlResult range, one;
    Err err = { 0 };
    PromqlQuery q = range_of(text);
    size_t points = 0, found = 0;
    if (promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &range, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    for (size_t i = 0; i < range.n; i++)
        points += range.series[i].n;
    for (int64_t t = q.start; t <= q.end; t += q.step) {
        PromqlQuery at = { .text = q.text, .start = t };
        assert_int_equal(promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &at, &one, &err),
                         0);
        for (size_t i = 0; i < one.n; i++, found++) {
            const PromqlPoint *want = one.series[i].points;
            const PromqlPoint *got = point_at(&range, one.series[i].labels, t);
            if (!got || !got->h != !want->h || !same_number(got->v, want->v) ||
                (got->h && !same_number(got->h->count, want->h->count)))
                fail_msg("%s at %lld: range %g, instant %g", text, (long long)t, got ? got->v : NAN,
                         want->v);
        }
        promql_result_free(&one);
    }
    assert_true(points > 0 && points == found);
    promql_result_free(&range);
}

/* Windows slide, sums come from prefixes, series are merged: none of it may show. */
static void test_a_range_query_is_many_instant_queries(void **state)
{
    static const char *const queries[] = {
        "rate(requests_total[5m])",
        "sum_over_time(wild[20m])",
        "avg_over_time(wild[30m])",
        "avg_over_time(calm[30m])",
        "sum_over_time(requests_total[1h])",
        "max_over_time(calm[7m]) - min_over_time(calm[7m])",
        "increase(restarts_total[15m])",
        "changes(calm[10m]) + resets(restarts_total[30m])",
        "quantile_over_time(0.3, calm[11m])",
        "sum by (code) (rate(requests_total[5m:30s]))",
        "topk(1, requests_total) or bottomk(1, requests_total)",
        "requests_total / on (path) group_left () sum by (path) (requests_total)",
        "histogram_quantile(0.7, rate(lat_bucket[5m]))",
        "sum(rate(native[10m]))",
        "avg_over_time(native[5m])",
        "quantile(0.5, requests_total)",
        "calm > 3 and calm < 8",
        "count_values(\"v\", calm)",
        "max_over_time(rate(requests_total[2m])[10m:1m] offset 1m)",
    };
    Memory *m = example();
    load(m, "wild 1 1e100 3 -1e100 5+1x20 1e-300 NaN 2 3 4+4x20 Inf 1 2 -Inf 3+1x50");
    load(m, "calm 1 5 2 9 3 7+1x5 3 3 3-1x10 _ _ 4 stale 5 1+2x8 4 6 2 8+0x60");
    load(m, "restarts_total 0+3x20 0+5x13 1+1x9 0+2x60");
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
        compare_with_instants(m, queries[i]);
    memory_free(m);
}

static void test_scripts_report_what_is_wrong(void **state)
{
    static const char script[] = "load 1m\n"
                                 "  x{a=\"1\"} 1 2 3\n"
                                 "  x{a=\"2\"} 4 5 6\n"
                                 "\n"
                                 "eval instant at 2m sum(x)\n"
                                 "  {} 9\n"
                                 "\n"
                                 "# a wrong value\n"
                                 "eval instant at 2m sum(x)\n"
                                 "  {} 10\n"
                                 "\n"
                                 "eval instant at 2m x\n"
                                 "  x{a=\"1\"} 3\n"
                                 "\n"
                                 "eval range from 0 to 2m step 1m x{a=\"1\"}\n"
                                 "  x{a=\"1\"} 1 _ 3\n"
                                 "\n"
                                 "eval instant at 2m rate(x[2m])\n"
                                 "  expect no_info\n"
                                 "  {a=\"1\"} 0.016666666666666666\n"
                                 "  {a=\"2\"} 0.016666666666666666\n"
                                 "\n"
                                 "eval instant at 2m x + x\n"
                                 "  expect fail\n"
                                 "\n"
                                 "nonsense\n";
    static const char *const places[] = { "s:9: sum(x): expected 10",
                                          "s:12: x: unexpected series",
                                          "s:15: x{a=\"1\"}: expected a sample",
                                          "s:18: rate(x[2m]): unexpected annotation",
                                          "s:23: x + x: expected an error",
                                          "s:26: invalid command 'nonsense'" };
    _cleanup_buf_ Buf out = BUF_INIT;
    PromqltestReport report = { .out = &out };
    Err err = { 0 };
    assert_int_equal(promqltest_run(sv_cstr(script), "s", &report, &err), 0);
    assert_int_equal(report.passed, 1);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (sv_find(buf_view(&out), sv_cstr(places[i])) < 0)
            fail_msg("'%s' is not in:\n%.*s", places[i], SV_FMT(buf_view(&out)));
    assert_int_equal(report.failed, ARRAY_SIZE(places));
}

static void *query_loop(void *arg)
{
    Memory *m = arg;
    for (int i = 0; i < 50; i++) {
        PromqlQuery q = range_of("histogram_quantile(0.9, sum by (le) (rate(lat_bucket[5m])))");
        PromqlResult r;
        Err err = { 0 };
        if (promql_query(&(PromqlOptions){ 0 }, memory_querier(m), &q, &r, &err) < 0 || r.n != 1)
            return arg;
        promql_result_free(&r);
    }
    return NULL;
}

static void test_queries_run_side_by_side(void **state)
{
    Memory *m[2] = { example(), example() };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, query_loop, m[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        memory_free(m[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_dropped_at_once_without_the_feature),
        cmocka_unit_test(test_samples_are_limited_and_counted),
        cmocka_unit_test(test_samples_are_counted_at_each_step),
        cmocka_unit_test(test_cancelling_and_time_out),
        cmocka_unit_test(test_bad_data_is_told_apart),
        cmocka_unit_test(test_memory_limits_end_in_errors),
        cmocka_unit_test(test_annotations_are_counted_beyond_a_limit),
        cmocka_unit_test(test_a_range_query_is_many_instant_queries),
        cmocka_unit_test(test_scripts_report_what_is_wrong),
        cmocka_unit_test(test_queries_run_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
