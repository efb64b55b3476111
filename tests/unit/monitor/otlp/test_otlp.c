/* test_otlp.c - OpenTelemetry's messages, built here field by field, and what becomes of them. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "failing_memory.h"
#include "monitor/otlp/internal.h"

/* ---- messages ---- */

static void put_text_attribute(Buf *b, unsigned number, const char *key, const char *value)
{
    size_t at = b->len;
    pb_put_bytes(b, 1, sv_cstr(key));
    size_t v = b->len;
    pb_put_bytes(b, 1, sv_cstr(value));
    pb_close(b, 2, v);
    pb_close(b, number, at);
}

static void put_time(Buf *b, uint64_t ms)
{
    uint64_t ns = ms * 1000000;
    double bits;
    memcpy(&bits, &ns, 8);
    pb_put_fixed64(b, 3, bits);
}

static void put_fixed(Buf *b, unsigned number, uint64_t n)
{
    double bits;
    memcpy(&bits, &n, 8);
    pb_put_fixed64(b, number, bits);
}

static void put_fixed_list(Buf *b, unsigned number, const uint64_t *n, size_t len)
{
    size_t at = b->len;
    for (size_t i = 0; i < len; i++)
        put_fixed(b, 0, n[i]);
    pb_close(b, number, at);
}

static void put_doubles(Buf *b, unsigned number, const double *v, size_t len)
{
    size_t at = b->len;
    for (size_t i = 0; i < len; i++)
        pb_put_fixed64(b, 0, v[i]);
    pb_close(b, number, at);
}

/* Turns a data point in `b` into a whole request. */
static void close_request(Buf *b, const char *name, const char *unit, unsigned kind,
                          unsigned temporality, bool monotonic)
{
    pb_close(b, 1, 0); /* data_points */
    pb_put_int(b, 2, temporality);
    pb_put_int(b, 3, monotonic);
    pb_close(b, kind, 0);
    pb_put_bytes(b, 1, sv_cstr(name));
    pb_put_bytes(b, 2, SV("what it is"));
    pb_put_bytes(b, 3, sv_cstr(unit));
    pb_close(b, 2, 0); /* metrics */
    size_t scope = b->len;
    pb_put_bytes(b, 1, SV("lib"));
    pb_put_bytes(b, 2, SV("v1"));
    put_text_attribute(b, 3, "a.b", "c");
    pb_close(b, 1, scope);
    pb_close(b, 2, 0); /* scope_metrics */
    size_t resource = b->len;
    put_text_attribute(b, 1, "service.name", "shop");
    put_text_attribute(b, 1, "service.namespace", "eu");
    put_text_attribute(b, 1, "service.instance.id", "i1");
    put_text_attribute(b, 1, "host.name", "h1");
    pb_close(b, 1, resource);
    pb_close(b, 1, 0); /* resource_metrics */
}

/* ---- what becomes of them ---- */

typedef struct Got {
    ConfigOtlp cfg;
    Buf text;
    OtlpOutcome out;
    Err err;
    bool delta;
} Got;

static int on_sample(void *ctx, const OtlpSample *s, Err *err)
{
    Got *g = ctx;
    labels_format(s->labels, &g->text);
    if (s->h) {
        buf_putc(&g->text, ' ');
        histogram_format_test(s->h, &g->text);
        if (histogram_validate(s->h, err) < 0)
            return 0;
    } else if (is_stale_nan(s->v)) {
        buf_sv(&g->text, SV(" stale"));
    } else {
        buf_printf(&g->text, " %g", s->v);
    }
    buf_printf(&g->text, " @%lld", (long long)s->t);
    for (unsigned i = 0; i < s->n_exemplars; i++) {
        buf_sv(&g->text, SV(" #"));
        labels_format_set(s->exemplars[i].labels, &g->text);
        buf_printf(&g->text, " %g", s->exemplars[i].value);
    }
    buf_putc(&g->text, '\n');
    return 1;
}

static Got fresh(void)
{
    Got g = { .cfg = { .translation_strategy = SV("UnderscoreEscapingWithSuffixes"),
                       .label_name_underscore_sanitization = true,
                       .label_name_preserve_multiple_underscores = true } };
    return g;
}

static int translate(Got *g, const Buf *b)
{
    const OtlpOptions o = { .cfg = &g->cfg, .fn = on_sample, .ctx = g, .allow_delta = g->delta };
    return otlp_translate(&o, buf_view(b), &g->out, &g->err);
}

static void expect(Got *g, const Buf *b, const char *want)
{
    assert_false(b->failed);
    assert_int_equal(translate(g, b), 0);
    assert_sv(buf_view(&g->text), want);
    otlp_outcome_free(&g->out);
    buf_free(&g->text);
}

#define INFO "target_info{host_name=\"h1\", instance=\"i1\", job=\"eu/shop\"} 1 @2000\n"

static void put_counter_point(Buf *b)
{
    put_time(b, 2000);
    put_fixed(b, 6, 7);
    put_text_attribute(b, 7, "http.method", "GET");
    put_text_attribute(b, 7, "http_method", "x");
    put_text_attribute(b, 7, "7th", "y");
    size_t at = b->len;
    pb_put_bytes(b, 5, SV("\x01\x02"));
    pb_put_fixed64(b, 3, 2.5);
    pb_close(b, 5, at);
}

static void test_sums_are_counters(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    Got g = fresh();
    put_counter_point(&b);
    close_request(&b, "http.server.requests", "{request}", 7, 2, true);
    expect(&g, &b,
           "http_server_requests_total{http_method=\"GET;x\", instance=\"i1\", job=\"eu/shop\", "
           "key_7th=\"y\"} 7 @2000 #{trace_id=\"0102\"} 2.5\n" INFO);
    StrView promoted[] = { SV("host.name") };
    g.cfg.promote_resource_attributes = (StrList){ promoted, 1 };
    g.cfg.promote_scope_metadata = true;
    g.cfg.translation_strategy = SV("NoTranslation");
    expect(&g, &b,
           "{\"http.server.requests\", \"7th\"=\"y\", \"host.name\"=\"h1\", "
           "\"http.method\"=\"GET\", http_method=\"x\", instance=\"i1\", job=\"eu/shop\", "
           "\"otel_scope_a.b\"=\"c\", otel_scope_name=\"lib\", otel_scope_version=\"v1\"} 7 @2000 "
           "#{trace_id=\"0102\"} 2.5\n"
           "target_info{\"host.name\"=\"h1\", instance=\"i1\", job=\"eu/shop\"} 1 @2000\n");
}

static void test_delta_is_refused_unless_it_is_wanted(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT, answer = BUF_INIT;
    Got g = fresh();
    put_counter_point(&b);
    close_request(&b, "x", "", 7, 1, true);
    assert_int_equal(translate(&g, &b), 0);
    assert_int_equal(g.out.points, 1);
    assert_int_equal(g.out.rejected, 1);
    assert_sv(buf_view(&g.out.reasons),
              "invalid temporality and type combination for metric \"x\"");
    otlp_put_response(&g.out, false, &answer);
    assert_true(answer.len > 10);
    otlp_outcome_free(&g.out);
    buf_free(&g.text);
    g.delta = true;
    assert_int_equal(translate(&g, &b), 0);
    assert_int_equal(g.out.rejected, 0);
    otlp_outcome_free(&g.out);
    buf_free(&g.text);
}

static void put_histogram_point(Buf *b)
{
    const uint64_t counts[] = { 0, 2, 1 };
    const double bounds[] = { 0.5, 10 };
    put_time(b, 2000);
    put_fixed(b, 4, 3);
    pb_put_fixed64(b, 5, 21.5);
    put_fixed_list(b, 6, counts, 3);
    put_doubles(b, 7, bounds, 2);
    size_t at = b->len;
    pb_put_fixed64(b, 3, 4);
    put_text_attribute(b, 7, "k", "v");
    pb_close(b, 8, at);
}

static void test_histograms_with_bounds(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    Got g = fresh();
    put_histogram_point(&b);
    close_request(&b, "took", "s", 9, 2, false);
    expect(&g, &b,
           "took_seconds_sum{instance=\"i1\", job=\"eu/shop\"} 21.5 @2000\n"
           "took_seconds_count{instance=\"i1\", job=\"eu/shop\"} 3 @2000\n"
           "took_seconds_bucket{instance=\"i1\", job=\"eu/shop\", le=\"0.5\"} 0 @2000\n"
           "took_seconds_bucket{instance=\"i1\", job=\"eu/shop\", le=\"10\"} 2 @2000 #{k=\"v\"} 4\n"
           "took_seconds_bucket{instance=\"i1\", job=\"eu/shop\", le=\"+Inf\"} 3 @2000\n" INFO);
    g.cfg.convert_histograms_to_nhcb = true;
    expect(&g, &b,
           "took_seconds{instance=\"i1\", job=\"eu/shop\"} "
           "{{schema:-53 count:3 sum:21.5 custom_values:[0.5 10] offset:1 buckets:[2 1]}} @2000 "
           "#{k=\"v\"} 4\n" INFO);
}

static void test_exponential_histograms(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    Got g = fresh();
    put_time(&b, 2000);
    put_fixed(&b, 4, 11);
    pb_put_fixed64(&b, 5, 3);
    pb_put_int(&b, 6, 1 << 1); /* scale 1 */
    put_fixed(&b, 7, 1);
    size_t at = b.len;
    pb_put_int(&b, 1, 0);
    size_t list = b.len;
    for (unsigned i = 4; i > 0; i--)
        pb_put_varint(&b, i);
    pb_close(&b, 2, list);
    pb_close(&b, 8, at);
    close_request(&b, "size", "By", 10, 2, false);
    expect(&g, &b,
           "size_bytes{instance=\"i1\", job=\"eu/shop\"} {{schema:1 count:11 sum:3 z_bucket:1 "
           "z_bucket_w:1e-128 offset:1 buckets:[4 3 2 1]}} @2000\n" INFO);
}

static void test_layouts(void **state)
{
    /* As in Prometheus' own tests of exponential buckets. */
    static const uint64_t counts[] = { 4, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
    const HistogramSpan *spans;
    const double *out;
    unsigned n_spans, n;
    Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    assert_true(otlp_layout(counts, 17, 4, 0, true, &a, &spans, &n_spans, &out, &n));
    assert_int_equal(n_spans, 2);
    assert_true(spans[0].offset == 5 && spans[0].length == 4);
    assert_true(spans[1].offset == 12 && spans[1].length == 1);
    assert_true(n == 5 && out[2] == 0 && out[4] == 1);
    assert_true(otlp_layout(counts, 17, 4, 1, true, &a, &spans, &n_spans, &out, &n));
    assert_int_equal(n_spans, 2);
    assert_true(spans[0].offset == 3 && spans[0].length == 2);
    assert_true(spans[1].offset == 6 && spans[1].length == 1);
    assert_true(n == 3 && out[0] == 6 && out[1] == 2 && out[2] == 1);
    assert_false(otlp_layout(counts, 17, INT32_MAX, 0, true, &a, &spans, &n_spans, &out, &n));
    assert_true(otlp_layout(NULL, 0, 0, 0, true, &a, &spans, &n_spans, &out, &n) && n == 0);
    arena_free(&a);
}

static void test_summaries_and_stale_points(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    Got g = fresh();
    put_time(&b, 2000);
    put_fixed(&b, 4, 5);
    pb_put_fixed64(&b, 5, 10);
    size_t at = b.len;
    pb_put_fixed64(&b, 1, 0.99);
    pb_put_fixed64(&b, 2, 4);
    pb_close(&b, 6, at);
    close_request(&b, "rpc", "ms", 11, 0, false);
    expect(&g, &b,
           "rpc_milliseconds_sum{instance=\"i1\", job=\"eu/shop\"} 10 @2000\n"
           "rpc_milliseconds_count{instance=\"i1\", job=\"eu/shop\"} 5 @2000\n"
           "rpc_milliseconds{instance=\"i1\", job=\"eu/shop\", quantile=\"0.99\"} 4 @2000\n" INFO);
    buf_clear(&b);
    put_time(&b, 2000);
    pb_put_int(&b, 8, 1); /* no recorded value */
    close_request(&b, "level", "1", 5, 0, false);
    expect(&g, &b, "level_ratio{instance=\"i1\", job=\"eu/shop\"} stale @2000\n" INFO);
}

static void test_names(void **state)
{
    static const struct {
        const char *name, *unit;
        OtlpType type;
        const char *escaped, *plain, *utf8;
    } cases[] = {
        { "system.io", "By/s", OTLP_GAUGE, "system_io_bytes_per_second", "system_io",
          "system.io_bytes_per_second" },
        { "system.io.total", "By", OTLP_COUNTER, "system_io_bytes_total", "system_io_total",
          "system.io_bytes_total" },
        { "used", "1", OTLP_GAUGE, "used_ratio", "used", "used_ratio" },
        { "used", "1", OTLP_UPDOWN, "used", "used", "used" },
        { "cpu_seconds", "s", OTLP_COUNTER, "cpu_seconds_total", "cpu_seconds",
          "cpu_seconds_total" },
        { "a__b..c", "%", OTLP_GAUGE, "a_b_c_percent", "a__b_c", "a__b..c_percent" },
        { "3.14", "", OTLP_GAUGE, "_3_14", "_3_14", "3.14" },
        { "x", "{packets}/m", OTLP_GAUGE, "x_per_minute", "x", "x_per_minute" },
        { "x", "foo.bar/qux", OTLP_GAUGE, "x_foo_bar_per_qux", "x", "x_foo.bar_per_qux" },
        { "..", "", OTLP_GAUGE, "", "", ".." },
    };
    Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        StrView name = sv_cstr(cases[i].name), unit = sv_cstr(cases[i].unit);
        OtlpNaming n = { .suffixes = true };
        assert_sv(otlp_metric_name(&n, name, unit, cases[i].type, &a), cases[i].escaped);
        n.utf8 = true;
        assert_sv(otlp_metric_name(&n, name, unit, cases[i].type, &a), cases[i].utf8);
        n = (OtlpNaming){ 0 };
        assert_sv(otlp_metric_name(&n, name, unit, cases[i].type, &a), cases[i].plain);
    }
    OtlpNaming n = { .label_sanitization = true, .preserve_underscores = true };
    assert_sv(otlp_label_name(&n, SV("a.b..c"), &a), "a_b__c");
    assert_sv(otlp_label_name(&n, SV("_x"), &a), "key_x");
    assert_sv(otlp_label_name(&n, SV("0a"), &a), "key_0a");
    assert_sv(otlp_label_name(&n, SV("\xc3\xa9t\xc3\xa9"), &a), "key_t_");
    n.preserve_underscores = false;
    assert_sv(otlp_label_name(&n, SV("a.b..c"), &a), "a_b_c");
    assert_sv(otlp_unit_name(SV("By/s"), &a), "bytes_per_second");
    arena_free(&a);
}

static void test_values_of_attributes(void **state)
{
    _cleanup_buf_ Buf any = BUF_INIT, text = BUF_INIT;
    pb_put_int(&any, 3, (uint64_t)-5);
    pb_close(&any, 1, 0);
    size_t at = any.len;
    pb_put_bytes(&any, 1, SV("q\"\n"));
    pb_close(&any, 1, at);
    pb_close(&any, 5, 0);
    assert_true(otlp_value_text(buf_view(&any), &text));
    assert_sv(buf_view(&text), "[-5,\"q\\\"\\u000a\"]");
    for (int i = 0; i < OTLP_DEPTH_MAX + 1; i++) { /* lists in lists */
        pb_close(&any, 1, 0);
        pb_close(&any, 5, 0);
    }
    assert_false(otlp_value_text(buf_view(&any), &text));
}

static void test_limits(void **state)
{
    for (unsigned n = OTLP_ATTRIBUTES_MAX; n <= OTLP_ATTRIBUTES_MAX + 1; n++) {
        _cleanup_buf_ Buf b = BUF_INIT;
        Got g = fresh();
        put_time(&b, 2000);
        for (unsigned i = 0; i < n; i++) {
            char key[32];
            snprintf(key, sizeof key, "k%u", i % 100);
            put_text_attribute(&b, 7, key, "v");
        }
        close_request(&b, "x", "", 5, 0, false);
        assert_int_equal(translate(&g, &b), n > OTLP_ATTRIBUTES_MAX ? -ERR_LIMIT : 0);
        otlp_outcome_free(&g.out);
        buf_free(&g.text);
    }
}

static void test_malformed_messages_are_refused(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    put_histogram_point(&b);
    close_request(&b, "took", "s", 9, 2, false);
    for (size_t n = 1; n < b.len; n++) {
        Got g = fresh();
        Buf cut = b;
        cut.len = n;
        assert_int_equal(translate(&g, &cut), -ERR_INVALID);
        otlp_outcome_free(&g.out);
        buf_free(&g.text);
    }
}

static void test_memory_may_end_anywhere(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    put_histogram_point(&b);
    close_request(&b, "took", "s", 9, 2, false);
    int r = -1;
    for (long n = 0; r < 0; n++) {
        Got g = fresh();
        assert_true(buf_reserve(&g.text, 64 * 1024));
        allocs_left = n;
        r = translate(&g, &b);
        allocs_left = -1;
        assert_true(r == 0 || r == -ERR_NOMEM || r == -ERR_LIMIT);
        otlp_outcome_free(&g.out);
        buf_free(&g.text);
        assert_true(n < 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_are_counters),
        cmocka_unit_test(test_delta_is_refused_unless_it_is_wanted),
        cmocka_unit_test(test_histograms_with_bounds),
        cmocka_unit_test(test_exponential_histograms),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_summaries_and_stale_points),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_values_of_attributes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_malformed_messages_are_refused),
        cmocka_unit_test(test_memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
