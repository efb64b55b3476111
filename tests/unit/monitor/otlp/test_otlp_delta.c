/* test_otlp_delta.c - points of delta temporality and what they add up to. */
#include "unit.h"

#include <stdio.h>

#include "base/clock.h"
#include "failing_memory.h"
#include "monitor/model/number.h"
#include "monitor/otlp/otlp.h"

typedef struct World {
    OtlpDeltas *deltas;
    int64_t now_ns;
    Buf text; /* samples of the last request */
    OtlpOutcome out;
    long allocs; /* that translating may make; 0: any number */
} World;

static int setup(void **state)
{
    World *w = calloc(1, sizeof *w);
    w->deltas = otlp_deltas_new();
    w->now_ns = 1;
    *state = w;
    return w->deltas ? 0 : -1;
}

static int teardown(void **state)
{
    World *w = *state;
    otlp_deltas_free(w->deltas);
    buf_free(&w->text);
    free(w);
    return 0;
}

static int on_sample(void *ctx, const OtlpSample *s, Err *err)
{
    World *w = ctx;
    StrView name = labels_get(s->labels, LABEL_METRIC_NAME), le = labels_get(s->labels, SV("le")),
            a = labels_get(s->labels, SV("a"));
    (void)err;
    if (sv_eq(name, SV("target_info")))
        return 1;
    buf_printf(&w->text, "%.*s", SV_FMT(name));
    if (a.len)
        buf_printf(&w->text, "/%.*s", SV_FMT(a));
    if (le.len)
        buf_printf(&w->text, "<%.*s", SV_FMT(le));
    buf_putc(&w->text, ' ');
    if (s->h)
        histogram_format(s->h, &w->text);
    else if (is_stale_nan(s->v))
        buf_sv(&w->text, SV("stale"));
    else
        buf_printf(&w->text, "%g", s->v);
    buf_printf(&w->text, "@%lld;", (long long)s->t);
    return 1;
}

/* One metric with its kind's members ("sum":{…}); `points` are the data points'. */
static int send_points(World *w, const char *kind, const char *points, Err *err)
{
    _cleanup_buf_ Buf json = BUF_INIT, message = BUF_INIT;
    ConfigOtlp cfg = { .translation_strategy = SV("NoTranslation") };
    const OtlpOptions o = {
        .cfg = &cfg, .deltas = w->deltas, .now_ns = w->now_ns, .fn = on_sample, .ctx = w
    };
    buf_clear(&w->text);
    buf_printf(&json,
               "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
               "\"value\":{\"stringValue\":\"s\"}}]},\"scopeMetrics\":[{\"metrics\":[{\"name\":"
               "\"m\",\"%s\":{\"isMonotonic\":true,\"aggregationTemporality\":1,"
               "\"dataPoints\":[%s]}}]}]}]}",
               kind, points);
    assert_int_equal(otlp_from_json(buf_view(&json), &message, err), 0);
    assert_true(buf_reserve(&w->text, 4096));
    allocs_left = w->allocs ? w->allocs : -1;
    int r = otlp_translate(&o, buf_view(&message), &w->out, err);
    allocs_left = -1;
    otlp_outcome_free(&w->out);
    return r;
}

static void expect(World *w, const char *kind, const char *points, const char *want)
{
    Err err = { 0 };
    if (send_points(w, kind, points, &err) < 0)
        fail_msg("%s", err.msg);
    assert_sv(buf_view(&w->text), want);
    assert_int_equal(w->out.rejected, 0);
}

#define AT(start, ms) "\"startTimeUnixNano\":" #start "000000,\"timeUnixNano\":" #ms "000000"
#define A(value)      ",\"attributes\":[{\"key\":\"a\",\"value\":{\"stringValue\":\"" value "\"}}]"

static void test_sums_add_up_stream_by_stream(void **state)
{
    World *w = *state;
    expect(w, "sum", "{" AT(1, 10) ",\"asInt\":3" A("x") "}", "m/x 3@10;");
    expect(w, "sum",
           "{" AT(10, 20) ",\"asInt\":4" A("x") "},{" AT(10, 20) ",\"asDouble\":1.5" A("y") "}",
           "m/x 7@20;m/y 1.5@20;");
    expect(w, "sum",
           "{" AT(20, 30) ",\"asInt\":1" A("y") "},{" AT(20, 30) ",\"asInt\":1" A("x") "}",
           "m/y 2.5@30;m/x 8@30;");
}

static void test_what_is_not_newer_is_dropped(void **state)
{
    World *w = *state;
    expect(w, "sum", "{" AT(5, 10) ",\"asInt\":3}", "m 3@10;");
    expect(w, "sum", "{" AT(5, 10) ",\"asInt\":3}", "");  /* sent again */
    expect(w, "sum", "{" AT(5, 9) ",\"asInt\":3}", "");   /* out of order */
    expect(w, "sum", "{" AT(4, 20) ",\"asInt\":50}", ""); /* of before the stream */
    expect(w, "sum", "{" AT(10, 20) ",\"asInt\":1}", "m 4@20;");
}

static void test_a_stream_ends(void **state)
{
    World *w = *state;
    expect(w, "sum", "{" AT(1, 10) ",\"asInt\":3}", "m 3@10;");
    expect(w, "sum", "{" AT(10, 20) ",\"flags\":1}", "m stale@20;");
    expect(w, "sum", "{" AT(20, 30) ",\"asInt\":2}", "m 2@30;");
    w->now_ns += 299 * NSEC_PER_SEC;
    expect(w, "sum", "{" AT(30, 40) ",\"asInt\":2}", "m 4@40;");
    w->now_ns += 301 * NSEC_PER_SEC; /* forgotten */
    expect(w, "sum", "{" AT(40, 50) ",\"asInt\":5}", "m 5@50;");
}

#define BUCKETS(counts, bounds) ",\"bucketCounts\":" counts ",\"explicitBounds\":" bounds

static void test_histograms_with_bounds(void **state)
{
    World *w = *state;
    expect(w, "histogram", "{" AT(1, 10) ",\"count\":3,\"sum\":2" BUCKETS("[1,2]", "[1]") "}",
           "m_sum 2@10;m_count 3@10;m_bucket<1 1@10;m_bucket<+Inf 3@10;");
    expect(w, "histogram", "{" AT(10, 20) ",\"count\":5,\"sum\":1" BUCKETS("[5,0]", "[1]") "}",
           "m_sum 3@20;m_count 8@20;m_bucket<1 6@20;m_bucket<+Inf 8@20;");
    /* Other bounds have nothing in common with the old ones. */
    expect(w, "histogram", "{" AT(20, 30) ",\"count\":1,\"sum\":9" BUCKETS("[0,1]", "[2]") "}",
           "m_sum 9@30;m_count 1@30;m_bucket<2 0@30;m_bucket<+Inf 1@30;");
    expect(w, "histogram", "{" AT(30, 40) ",\"count\":1" BUCKETS("[1,0]", "[2]") "}",
           "m_count 2@40;m_bucket<2 1@40;m_bucket<+Inf 2@40;"); /* one sum is missing */
}

#define POSITIVE(scale, offset, counts)                                                            \
    ",\"scale\":" #scale ",\"positive\":{\"offset\":" #offset ",\"bucketCounts\":" counts "}"

static void test_exponential_histograms(void **state)
{
    World *w = *state;
    Err err = { 0 };
    assert_int_equal(
        send_points(w, "exponentialHistogram",
                    "{" AT(1, 10) ",\"count\":7,\"zeroCount\":1" POSITIVE(1, 0, "[1,2,3]") "}",
                    &err),
        0);
    /* Half as fine: (1,2] holds buckets 0 and 1, (2,4] bucket 2. */
    expect(w, "exponentialHistogram",
           "{" AT(10, 20) ",\"count\":9,\"zeroCount\":2" POSITIVE(
               0, -1, "[4,0,1]") ",\"negative\":{\"offset\":0,\"bucketCounts\":[2]}}",
           "m {count:16, sum:0, [-2,-1):2, [-1e-128,1e-128]:3, (0.5,1]:4, (1,2]:3, (2,4]:4}@20;");
    /* Finer ones come to the scale that there is. */
    expect(w, "exponentialHistogram", "{" AT(20, 30) ",\"count\":1" POSITIVE(2, 3, "[1]") "}",
           "m {count:17, sum:0, [-2,-1):2, [-1e-128,1e-128]:3, (0.5,1]:4, (1,2]:4, (2,4]:4}@30;");
}

static void test_wide_exponential_histograms_get_coarser(void **state)
{
    World *w = *state;
    Err err = { 0 };
    assert_int_equal(send_points(w, "exponentialHistogram",
                                 "{" AT(1, 10) ",\"count\":1" POSITIVE(3, 0, "[1]") "}", &err),
                     0);
    /* 800 buckets apart: 1/8 as fine, they are 100. */
    expect(w, "exponentialHistogram", "{" AT(10, 20) ",\"count\":1" POSITIVE(3, 800, "[1]") "}",
           "m {count:2, sum:0, (1,2]:1, (1.2676506002282294e+30,2.535301200456459e+30]:1}@20;");
}

static void test_memory_may_end_anywhere(void **state)
{
    World *w = *state;
    const char *first = "{" AT(1, 10) ",\"count\":7" POSITIVE(1, 0, "[1,2,3]") "}",
               *second = "{" AT(10, 20) ",\"count\":7" POSITIVE(0, 5, "[1,2,3]") "}";
    for (long n = 0, r = -1; r < 0; n++) {
        Err err = { 0 };
        otlp_deltas_free(w->deltas);
        assert_non_null(w->deltas = otlp_deltas_new());
        assert_int_equal(send_points(w, "exponentialHistogram", first, &err), 0);
        w->allocs = n + 1;
        r = send_points(w, "exponentialHistogram", second, &err);
        w->allocs = 0;
        assert_true(r == 0 || r == -ERR_NOMEM || r == -ERR_LIMIT);
        assert_true(n < 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sums_add_up_stream_by_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_newer_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stream_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_histograms_with_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exponential_histograms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wide_exponential_histograms_get_coarser, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_memory_may_end_anywhere, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
