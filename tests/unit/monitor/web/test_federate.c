/* test_federate.c - the form that a client prefers, and protobuf as a scraper reads it back. */
#include "unit.h"

#include "monitor/expo/expo.h"
#include "monitor/model/number.h"
#include "monitor/web/federate.h"

#define FAMILY "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="

static void test_what_the_client_prefers(void **state)
{
    static const struct {
        const char *accept;
        FederateForm form;
    } cases[] = {
        { "", { 0 } },
        { "*/*", { 0 } },
        { "text/html, text/plain;version=0.0.4", { 0 } },
        { "text/plain;version=1.0.0", { .text1 = true } },
        { FAMILY "delimited", { .proto = true } },
        { FAMILY "text", { 0 } },
        { "application/vnd.google.protobuf; encoding=delimited", { 0 } },
        { FAMILY "delimited;q=0.3, text/plain;q=0.5", { 0 } },
        { FAMILY "delimited;q=0.5, text/plain;q=0.3", { .proto = true } },
        { FAMILY "delimited;q=0", { 0 } },
        { FAMILY "delimited;escaping=allow-utf-8;q=0.6,text/plain;q=0.3",
          { .proto = true, .utf8 = true } },
        { "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
          "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3",
          { .text1 = true, .utf8 = true } },
        { "application/openmetrics-text;escaping=allow-utf-8, text/plain;q=0.2", { .utf8 = true } },
        { "text/plain;version=1.0.0;escaping=underscores;q=0.9, text/plain;escaping=allow-utf-8;"
          "q=0.1",
          { .text1 = true } },
        { ";;,=;q=,text/plain;=", { 0 } },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        FederateForm f = federate_negotiate(sv_cstr(cases[i].accept));
        if (f.proto != cases[i].form.proto || f.utf8 != cases[i].form.utf8 ||
            f.text1 != cases[i].form.text1)
            fail_msg("%s: %d %d %d", cases[i].accept, f.proto, f.utf8, f.text1);
    }
    assert_sv(federate_type((FederateForm){ .proto = true, .utf8 = true }),
              "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
              "encoding=delimited; escaping=allow-utf-8");
    assert_sv(federate_type((FederateForm){ 0 }),
              "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
}

/* As a scrape takes it. */
static void read_back(const Buf *body, Buf *out)
{
    const ExpoOptions opt = { .native_histograms = true };
    ExpoParser *p = expo_parser_new(EXPO_FORMAT_PROTOBUF, buf_view(body), &opt);
    ExpoEntry e;
    Err err = { 0 };
    int r;
    while ((r = expo_next(p, &e, &err)) >= 0 && e.kind != EXPO_END) {
        _cleanup_arena_ Arena a;
        Labels l;
        arena_init(&a, 0);
        if (e.kind == EXPO_TYPE)
            buf_printf(out, "TYPE %.*s %s\n", SV_FMT(e.name), expo_type_names[e.type]);
        if (e.kind != EXPO_SERIES && e.kind != EXPO_HISTOGRAM)
            continue;
        assert_int_equal(expo_labels(p, &a, &l, &err), 0);
        labels_format(l, out);
        buf_putc(out, ' ');
        if (e.h)
            histogram_format_test(e.h, out);
        else
            double_format_g(e.v, out);
        buf_printf(out, " %lld\n", (long long)e.t);
    }
    if (r < 0)
        fail_msg("%s", err.msg);
    expo_parser_free(p);
}

static void test_a_scraper_reads_it_back(void **state)
{
    static const Label own[] = { { SV_INIT("__name__"), SV_INIT("n") },
                                 { SV_INIT("a.b"), SV_INIT("x") },
                                 { SV_INIT("zone"), SV_INIT("near") } };
    static const Label server[] = { { SV_INIT("region"), SV_INIT("eu") },
                                    { SV_INIT("zone"), SV_INIT("far") } };
    static const HistogramSpan spans[] = { { -2, 2 }, { 3, 1 } };
    static const double counts[] = { 1, 2.5, 4 }, bounds[] = { 0.5, 2 };
    const Histogram native = { .schema = -1,
                               .zero_threshold = 0.01,
                               .zero_count = 3,
                               .count = 18,
                               .sum = -7,
                               .pos_spans = spans,
                               .n_pos_spans = 2,
                               .pos = counts,
                               .n_pos = 3,
                               .neg_spans = spans,
                               .n_neg_spans = 2,
                               .neg = counts,
                               .n_neg = 3 },
                    gauge = { .hint = HINT_GAUGE }, empty = { 0 },
                    custom = { .schema = HISTOGRAM_SCHEMA_CUSTOM,
                               .count = 7.5,
                               .sum = 9,
                               .bounds = bounds,
                               .n_bounds = 2,
                               .pos_spans = (const HistogramSpan[]){ { 0, 3 } },
                               .n_pos_spans = 1,
                               .pos = counts,
                               .n_pos = 3 };
    const Labels labels = { own, 3 }, external = { server, 2 };
    Found found[] = { { .v = 0, .t = 5 },      { .v = 2.5, .t = -6 },    { .h = &native, .t = 7 },
                      { .h = &empty, .t = 8 }, { .h = &custom, .t = 9 }, { .h = &gauge, .t = 10 } };
    for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
        found[i].labels = labels;
        found[i].name = SV("n");
    }
    const FoundList list = { .items = found, .len = ARRAY_SIZE(found) };
    _cleanup_buf_ Buf body = BUF_INIT, told = BUF_INIT;
    federate_put_proto(&body, &list, external, true);
    read_back(&body, &told);
#define SET(more) "{\"a.b\"=\"x\", " more "region=\"eu\", zone=\"near\"} "
    assert_sv(
        buf_view(&told),
        "TYPE n unknown\nn" SET("") "0 5\nn" SET("") "2.5 -6\nTYPE n histogram\nn" SET(
            "") "{{schema:-1 count:18 sum:-7 z_bucket:3 z_bucket_w:0.01 offset:-2 buckets:[1 2.5 0 0 0 "
                "4] n_offset:-2 n_buckets:[1 2.5 0 0 0 4]}} 7\nn" SET(
                    "") "{{}} 8\n"
                        "n_count" SET("") "7.5 9\nn_sum" SET(
                            "") "9 9\n"
                                "n_bucket" SET("le=\"0.5\", ") "1 9\nn_bucket" SET(
                                    "le=\"2.0\", ") "3.5 9\n"
                                                    "n_bucket" SET(
                                                        "le=\"+Inf\", ") "7.5 9\n"
                                                                         "TYPE n gaugehistogram\nn" SET(
                                                                             "") "{{counter_reset_hint:gauge}} 10\n");
}

static void test_names_for_older_clients(void **state)
{
    static const Label own[] = { { SV_INIT("__name__"), SV_INIT("n.\xc3\xbc") },
                                 { SV_INIT("1a:b"), SV_INIT("x") } };
    Found f = { .labels = { own, 2 }, .name = SV("n.\xc3\xbc"), .v = 1, .t = 1 };
    const FoundList list = { .items = &f, .len = 1 };
    _cleanup_buf_ Buf body = BUF_INIT, told = BUF_INIT;
    federate_put_proto(&body, &list, (Labels){ 0 }, false);
    read_back(&body, &told);
    assert_sv(buf_view(&told), "TYPE n__ unknown\nn__{_a_b=\"x\"} 1 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_client_prefers),
        cmocka_unit_test(test_a_scraper_reads_it_back),
        cmocka_unit_test(test_names_for_older_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
