/* test_metrics.c - what is counted stands in the text: types, labels, buckets, their bounds; and
 * numbers as Go writes them. */
#include "unit.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/metrics.h"
#include "base/number.h"
#include "base/process_stats.h"
#include "failing_memory.h"

static const double bounds[] = { 0.005, 1, 2.5 };
static const MetricDef requests = {
    "http_requests_total", "Requests.", METRIC_COUNTER, { "verb", "code" }
};
static const MetricDef depth = { "queue_depth", "Waiting.", METRIC_GAUGE };
static const MetricDef durations = { "wait_seconds", "Waited.", METRIC_HISTOGRAM,
                                     { "queue" },    bounds,    ARRAY_SIZE(bounds) };
static const MetricDef narrow = { "narrow_total", "Few.", METRIC_COUNTER, { "who" }, NULL, 0, 2 };

static const char *text_of(Metrics *m, MetricsFormat format, Buf *out)
{
    buf_clear(out);
    metrics_write(m, format, out);
    return buf_cstr(out);
}

static void test_text(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    Metrics *m = metrics_new();
    Metric *c = metrics_add(m, &requests), *g = metrics_add(m, &depth);
    Metric *h = metrics_add(m, &durations);
    /* What has labels shows with its first series, all else at once. */
    assert_string_equal(text_of(m, METRICS_TEXT, &out),
                        "# HELP queue_depth Waiting.\n# TYPE queue_depth gauge\nqueue_depth 0\n");
    metric_add(c, LABEL_VALUES(SV("GET"), SV("200")), 1);
    metric_add(c, LABEL_VALUES(SV("GET"), SV("200")), 1);
    metric_add(c, LABEL_VALUES(SV("P\"\\\n"), SV("")), 1);
    metric_set(g, NULL, 1.5);
    metric_observe(h, LABEL_VALUES(SV("q")), 0.005); /* a bound holds what is equal to it */
    metric_observe(h, LABEL_VALUES(SV("q")), 0.5);
    metric_observe(h, LABEL_VALUES(SV("q")), 7);
    assert_string_equal(text_of(m, METRICS_TEXT, &out),
                        "# HELP http_requests_total Requests.\n"
                        "# TYPE http_requests_total counter\n"
                        "http_requests_total{verb=\"GET\",code=\"200\"} 2\n"
                        "http_requests_total{verb=\"P\\\"\\\\\\n\",code=\"\"} 1\n"
                        "# HELP queue_depth Waiting.\n"
                        "# TYPE queue_depth gauge\n"
                        "queue_depth 1.5\n"
                        "# HELP wait_seconds Waited.\n"
                        "# TYPE wait_seconds histogram\n"
                        "wait_seconds_bucket{queue=\"q\",le=\"0.005\"} 1\n"
                        "wait_seconds_bucket{queue=\"q\",le=\"1\"} 2\n"
                        "wait_seconds_bucket{queue=\"q\",le=\"2.5\"} 2\n"
                        "wait_seconds_bucket{queue=\"q\",le=\"+Inf\"} 3\n"
                        "wait_seconds_sum{queue=\"q\"} 7.505\n"
                        "wait_seconds_count{queue=\"q\"} 3\n");
    assert_true(metric_value_of(c, LABEL_VALUES(SV("GET"), SV("200"))) == 2);
    assert_true(metric_value_of(h, LABEL_VALUES(SV("q"))) == 3);
    assert_true(metric_value_of(c, LABEL_VALUES(SV("PUT"), SV("200"))) == 0);
    metrics_free(m);
}

static void test_openmetrics(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    Metrics *m = metrics_new();
    metric_add(metrics_add(m, &requests), LABEL_VALUES(SV("GET"), SV("200")), 3);
    assert_string_equal(text_of(m, METRICS_OPENMETRICS, &out),
                        "# HELP http_requests Requests.\n"
                        "# TYPE http_requests counter\n"
                        "http_requests_total{verb=\"GET\",code=\"200\"} 3\n"
                        "# EOF\n");
    metrics_free(m);
}

static void test_series_are_bounded(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    char name[16], long_name[300];
    Metrics *m = metrics_new();
    Metric *c = metrics_add(m, &narrow);
    assert_ptr_equal(c, metrics_add(m, &narrow)); /* it is there */
    memset(long_name, 'x', sizeof long_name);
    metric_add(c, LABEL_VALUES(sv_n(long_name, sizeof long_name)), 1);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "u%d", i);
        metric_add(c, LABEL_VALUES(sv_cstr(name)), 1);
    }
    assert_string_equal(text_of(m, METRICS_TEXT, &out), "# HELP narrow_total Few.\n"
                                                        "# TYPE narrow_total counter\n"
                                                        "narrow_total{who=\"other\"} 100\n"
                                                        "narrow_total{who=\"u0\"} 1\n");
    metrics_free(m);
}

static void collect(void *ctx)
{
    metric_set(ctx, NULL, 7);
}

static void test_collectors(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    Metrics *m = metrics_new();
    Metric *g = metrics_add(m, &depth);
    metrics_on_collect(m, collect, g);
    text_of(m, METRICS_TEXT, &out);
    assert_true(metric_value_of(g, NULL) == 7);
    metric_set(g, NULL, 1);
    metrics_off_collect(m, collect, g);
    text_of(m, METRICS_TEXT, &out);
    assert_true(metric_value_of(g, NULL) == 1);
    metrics_free(m);
}

static void test_nobody_listens(void **state)
{
    assert_null(metrics_add(NULL, &requests));
    assert_null(metrics_state(NULL, 8));
    metric_add(NULL, LABEL_VALUES(SV("a"), SV("b")), 1);
    metric_set(NULL, NULL, 1);
    metric_observe(NULL, NULL, 1);
    metrics_on_collect(NULL, collect, NULL);
    metrics_off_collect(NULL, collect, NULL);
    process_stats_register(NULL);
    assert_null(metrics_free(NULL));
}

/* Whatever there is no memory for is missing, and nothing else happens. */
static void test_without_memory(void **state)
{
    for (unsigned n = 0; n < 24; n++) {
        _cleanup_buf_ Buf out = BUF_INIT;
        allocs_left = (long)n;
        Metrics *m = metrics_new();
        Metric *c = metrics_add(m, &requests), *h = metrics_add(m, &durations);
        metric_add(c, LABEL_VALUES(SV("GET"), SV("200")), 1);
        metric_observe(h, LABEL_VALUES(SV("q")), 1);
        process_stats_register(m);
        allocs_left = -1;
        metrics_write(m, METRICS_TEXT, &out);
        metrics_free(m);
    }
}

static void *count_much(void *ctx)
{
    for (int i = 0; i < 20000; i++)
        metric_add(ctx, LABEL_VALUES(SV("GET"), SV("200")), 1);
    return NULL;
}

static void test_threads(void **state)
{
    Metrics *m = metrics_new();
    Metric *c = metrics_add(m, &requests);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, count_much, c), 0);
    count_much(c);
    pthread_join(other, NULL);
    assert_true(metric_value_of(c, LABEL_VALUES(SV("GET"), SV("200"))) == 40000);
    metrics_free(m);
}

static void test_process(void **state)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    ProcessStats s;
    Metrics *m = metrics_new();
    process_stats_register(m);
    const char *text = text_of(m, METRICS_TEXT, &out);
    assert_non_null(strstr(text, "process_cpu_seconds_total "));
    assert_non_null(strstr(text, "\nprocess_start_time_seconds 1.")); /* after 2001 */
    process_stats(&s);
    assert_true(s.open_fds >= 3 && s.open_fds <= s.max_fds);
    assert_true(s.resident_bytes > 100e3 && s.virtual_bytes >= s.resident_bytes);
    metrics_free(m);
}

static void test_numbers(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 1, "1" },
        { -15, "-15" },
        { 999999, "999999" },
        { 1e6, "1e+06" },
        { 1234567, "1.234567e+06" },
        { 0.1, "0.1" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 1.0 / 3, "0.3333333333333333" },
        { 1e-4, "0.0001" },
        { 1e-5, "1e-05" },
        { 123.25, "123.25" },
        { 1e22, "1e+22" },
        { 5e-324, "5e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { NAN, "NaN" },
        { INFINITY, "+Inf" },
        { -INFINITY, "-Inf" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buf_ Buf out = BUF_INIT;
        double_put_g(cases[i].v, &out);
        assert_string_equal(buf_cstr(&out), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_series_are_bounded),
        cmocka_unit_test(test_collectors),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
