/* test_otlp_json.c - OTLP/JSON: what its messages come to, what is wrong with others. */
#include "unit.h"

#include <stdio.h>

#include "failing_memory.h"
#include "monitor/model/number.h"
#include "monitor/otlp/otlp.h"

/* Every kind of metric, in the ways in which JSON may say it. */
static const char everything[] =
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":["
    "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}},"
    "{\"key\":\"n\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"-7\"},"
    "{\"boolValue\":true},{\"doubleValue\":1.5},{\"bytesValue\":\"AQI=\"},"
    "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"intValue\":3}}]}}]}}}]},"
    "\"scope_metrics\":[{\"scope\":{\"name\":\"lib\",\"version\":null},\"metrics\":["
    "{\"name\":\"used\",\"unit\":\"1\",\"gauge\":{\"dataPoints\":["
    "{\"timeUnixNano\":\"5000000\",\"asDouble\":\"NaN\",\"attributes\":[]},"
    "{\"timeUnixNano\":6000000,\"asInt\":\"-3\"}]},\"unknown\":{\"x\":[1]}},"
    "{\"name\":\"hits\",\"sum\":{\"isMonotonic\":true,"
    "\"aggregationTemporality\":\"AGGREGATION_TEMPORALITY_CUMULATIVE\",\"data_points\":["
    "{\"time_unix_nano\":5e6,\"as_double\":2.5,\"flags\":0,\"exemplars\":[{\"asDouble\":1,"
    "\"timeUnixNano\":\"1000000\",\"traceId\":\"0102030405060708090a0b0c0d0e0f10\","
    "\"spanId\":\"A1B2030405060708\"}]}]}},"
    "{\"name\":\"took\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":["
    "{\"timeUnixNano\":\"5000000\",\"count\":\"6\",\"sum\":9.5,\"min\":0,\"max\":4,"
    "\"bucketCounts\":[\"1\",2,\"3\"],\"explicitBounds\":[0.1,1]}]}},"
    "{\"name\":\"size\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":["
    "{\"timeUnixNano\":\"5000000\",\"count\":\"5\",\"sum\":3,\"scale\":-1,\"zeroCount\":\"1\","
    "\"positive\":{\"offset\":-2,\"bucketCounts\":[\"1\",\"3\"]},\"negative\":{}}]}},"
    "{\"name\":\"quant\",\"summary\":{\"dataPoints\":[{\"timeUnixNano\":\"5000000\",\"count\":2,"
    "\"sum\":7,\"quantileValues\":[{\"quantile\":0.5,\"value\":\"Infinity\"}]}]}}"
    "]}]}]}";

static int on_sample(void *ctx, const OtlpSample *s, Err *err)
{
    Buf *out = ctx;
    (void)err;
    if (sv_eq(labels_get(s->labels, LABEL_METRIC_NAME), SV("target_info")))
        return 1;
    labels_format(s->labels, out);
    if (s->h)
        histogram_format(s->h, out);
    else
        buf_printf(out, " %g", s->v);
    buf_printf(out, " @%lld", (long long)s->t);
    for (unsigned i = 0; i < s->n_exemplars; i++) {
        buf_sv(out, SV(" #"));
        labels_format_set(s->exemplars[i].labels, out);
    }
    buf_putc(out, '\n');
    return 1;
}

static int run(StrView json, Buf *text, Err *err)
{
    _cleanup_buf_ Buf message = BUF_INIT;
    ConfigOtlp cfg = { .translation_strategy = SV("NoTranslation"),
                       .promote_all_resource_attributes = true,
                       .label_name_underscore_sanitization = true };
    const OtlpOptions o = { .cfg = &cfg, .fn = on_sample, .ctx = text };
    OtlpOutcome out = { 0 };
    int r = otlp_from_json(json, &message, err);
    if (r == 0)
        r = otlp_translate(&o, buf_view(&message), &out, err);
    otlp_outcome_free(&out);
    return r;
}

static void test_all_kinds(void **state)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err = { 0 };
    (void)state;
    if (run(sv_cstr(everything), &text, &err) < 0)
        fail_msg("%s", err.msg);
    static const char *const lines[] = {
        "used{job=\"shop\", n=\"[-7,true,1.5,\\\"AQI=\\\",{\\\"k\\\":3}]\", \"service.name\"=",
        "\"shop\"} nan @5\n",
        " -3 @6\n",
        "hits{",
        " 2.5 @5 #{span_id=\"a1b2030405060708\", trace_id=\"0102030405060708090a0b0c0d0e0f10\"}\n",
        "took_count{",
        "took_bucket{job=\"shop\", le=\"1\"",
        "le=\"+Inf\"",
        "size{",
        "quant{job=\"shop\"",
        "quantile=\"0.5\", \"service.name\"=\"shop\"} inf @5\n",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        if (sv_find(buf_view(&text), sv_cstr(lines[i])) < 0)
            fail_msg("no \"%s\" in:\n%s", lines[i], buf_cstr(&text));
}

static void test_mistakes_are_named(void **state)
{
    static const struct {
        const char *json, *why;
    } cases[] = {
        { "", "the message is malformed: line 1 column 1" },
        { "[]", "the message is malformed: expected an object" },
        { "{\"resourceMetrics\":{}}",
          "the message is malformed: resourceMetrics: expected a list" },
        { "{\"resourceMetrics\":[1]}",
          "the message is malformed: resourceMetrics[0]: expected an object" },
        { "{\"resourceMetrics\":[{},{\"scopeMetrics\":[{\"metrics\":[{\"gauge\":{\"dataPoints\":["
          "{\"timeUnixNano\":\"soon\"}]}}]}]}]}",
          "the message is malformed: resourceMetrics[1].scopeMetrics[0].metrics[0].gauge."
          "dataPoints[0].timeUnixNano: expected an integer" },
        { "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"sum\":{"
          "\"aggregationTemporality\":\"SOME\"}}]}]}]}",
          "aggregationTemporality: expected a temporality" },
        { "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"sum\":{\"isMonotonic\":1}}]}]}]"
          "}",
          "isMonotonic: expected true or false" },
        { "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"sum\":{\"dataPoints\":[{"
          "\"asDouble\":\"1x\"}]}}]}]}]}",
          "asDouble: expected a number" },
        { "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"sum\":{\"dataPoints\":[{"
          "\"exemplars\":[{\"spanId\":\"0g\"}]}]}}]}]}]}",
          "exemplars[0].spanId: expected an id in hexadecimal" },
        { "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"value\":{\"bytesValue\":\"*\"}}]}"
          "}]}",
          "attributes[0].value.bytesValue: expected bytes in base64" },
        { "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"exponentialHistogram\":{"
          "\"dataPoints\":[{\"scale\":5000000000}]}}]}]}]}",
          "scale: expected an integer of 32 bits" },
        { "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":5}]}]}]}",
          "name: expected a text" },
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Err err = { 0 };
        assert_int_equal(run(sv_cstr(cases[i].json), &text, &err), -ERR_INVALID);
        if (!strstr(err.msg, cases[i].why))
            fail_msg("got '%s', want '%s'", err.msg, cases[i].why);
    }
}

static void test_memory_may_end_anywhere(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        Buf message = BUF_INIT;
        Err err = { 0 };
        allocs_left = n;
        int r = otlp_from_json(sv_cstr(everything), &message, &err);
        allocs_left = -1;
        buf_free(&message);
        if (r == 0)
            return;
        assert_int_equal(r, -ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
