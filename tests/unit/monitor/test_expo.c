/* test_expo.c - the exposition formats, each entry printed as one line and compared. */
#include <math.h>
#include <stdio.h>

#include "codec/protobuf.h"
#include "failing_memory.h"
#include "monitor/expo/expo.h"
#include "monitor/model/number.h"
#include "monitor/model/sample.h"
#include "unit.h"

static void put_exemplars(ExpoParser *p, const ExpoEntry *e, Arena *a, Buf *out)
{
    for (unsigned i = 0; i < e->n_exemplars; i++) {
        ExpoExemplar x;
        Err err = { 0 };
        if (expo_exemplar(p, i, a, &x, &err) < 0)
            fail_msg("%s", err.msg);
        buf_sv(out, SV(" # "));
        labels_format_set(x.labels, out);
        buf_putc(out, ' ');
        double_format_g(x.value, out);
        if (x.has_t)
            buf_printf(out, " @%lld", (long long)x.t);
    }
}

static void put_sample(ExpoParser *p, const ExpoEntry *e, Buf *out)
{
    _cleanup_arena_ Arena a;
    Labels l;
    Err err = { 0 };
    arena_init(&a, 0);
    if (expo_labels(p, &a, &l, &err) < 0) {
        buf_printf(out, "error: %s", err.msg);
        return;
    }
    labels_format(l, out);
    buf_putc(out, ' ');
    if (e->h)
        histogram_format_test(e->h, out);
    else
        double_format_g(e->v, out);
    if (e->has_t)
        buf_printf(out, " %lld", (long long)e->t);
    put_exemplars(p, e, &a, out);
    int64_t start = expo_start_time(p);
    if (start)
        buf_printf(out, " since %lld", (long long)start);
}

static void dump(ExpoFormat f, StrView body, const ExpoOptions *opt, Buf *out)
{
    ExpoParser *p = expo_parser_new(f, body, opt);
    ExpoEntry e;
    Err err = { 0 };
    assert_non_null(p);
    int r;
    while ((r = expo_next(p, &e, &err)) >= 0 && e.kind != EXPO_END) {
        if (e.kind == EXPO_TYPE)
            buf_printf(out, "TYPE %.*s %s", SV_FMT(e.name), expo_type_names[e.type]);
        else if (e.kind == EXPO_HELP || e.kind == EXPO_UNIT)
            buf_printf(out, "%s %.*s %.*s", e.kind == EXPO_HELP ? "HELP" : "UNIT", SV_FMT(e.name),
                       SV_FMT(e.text));
        else
            put_sample(p, &e, out);
        buf_putc(out, '\n');
    }
    if (r < 0)
        buf_printf(out, "error: %s\n", err.msg);
    expo_parser_free(p);
}

static void check(ExpoFormat f, StrView body, const ExpoOptions *opt, const char *want)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    dump(f, body, opt, &out);
    assert_string_equal(out.len ? buf_cstr(&out) : "", want);
}

#define text(body, want) check(EXPO_FORMAT_TEXT, SV(body), NULL, want)
#define om(body, want)   check(EXPO_FORMAT_OPENMETRICS, SV(body), NULL, want)

static void test_text_reads_all_that_is_legal(void **state)
{
    text("# HELP a Some \\\\ help\\n\n"
         "# TYPE a counter\n"
         "# a comment\n#HELP not meta\n\n"
         "a 1\n"
         "  a{b=\"c\",} 2.5\t1234567890\n"
         "a { b = \"x\\\"\\n\\\\y}{\" , c=\"\" } -3e2 7  \n"
         "b{le=\"1\"} +Inf\n"
         "c nan\n"
         "d 123456789012345678\n"
         "{\"my.metric\",\"lab el\"=\"v\"} 4\n"
         "{\"q\"} 5\n"
         "e 0.1",
         "HELP a Some \\ help\n\n"
         "TYPE a counter\n"
         "a 1\n"
         "a{b=\"c\"} 2.5 1234567890\n"
         "a{b=\"x\\\"\\n\\\\y}{\"} -300 7\n"
         "b{le=\"1\"} +Inf\n"
         "c NaN\n"
         "d 1.2345678901234568e+17\n"
         "{\"my.metric\", \"lab el\"=\"v\"} 4\n"
         "q 5\n"
         "e 0.1\n");
    text("# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE s summary\ns{quantile=\"0.5\"} 1\n"
         "s{quantile=\"1\"} 1\n",
         "TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nTYPE s summary\ns{quantile=\"0.5\"} 1\n"
         "s{quantile=\"1.0\"} 1\n");
    text("", "");
}

static void test_text_refuses(void **state)
{
    text("a\n", "error: expected value after metric, got \"\\n\" (\"LINEBREAK\") while parsing: "
                "\"a\\n\"\n");
    text("a{b='c'} 1\n", "error: expected label value, got \"'\" (\"INVALID\") while parsing: "
                         "\"a{b='\"\n");
    text("a x\n", "error: strconv.ParseFloat: parsing \"x\": invalid syntax while parsing: "
                  "\"a x\"\n");
    text("a 0x1p3\n", "error: strconv.ParseFloat: parsing \"0x1p3\": invalid syntax while parsing: "
                      "\"a 0x1p3\"\n");
    text("a{b=\"c\" 1\n", "error: expected label name, got \"\\n\" (\"LINEBREAK\") while parsing: "
                          "\"a{b=\\\"c\\\" 1\\n\"\n");
    text("a 1 1.5\n", "error: expected next entry after timestamp, got \".\" (\"INVALID\") while "
                      "parsing: \"a 1 1.\"\n");
    text("# TYPE a foo\n", "error: invalid metric type \"foo\"\n");
    text("9 1\n", "error: expected a valid start token, got \"9\" (\"INVALID\") while parsing: "
                  "\"9\"\n");
    text("{b=\"c\"} 1\n", "error: metric name not set while parsing: \"{b=\\\"c\\\"}\"\n");
    text("a{b=\"c\",b=\"d\"} 1\n", "error: label name \"b\" is not unique: invalid sample\n");
    text("a{b=\"\xff\"} 1\n",
         "error: invalid UTF-8 label value while parsing: \"a{b=\\\"\\xff\\\"\"\n");
}

static void test_openmetrics(void **state)
{
    om("# HELP go_s A \\\"quote\\\"\n"
       "# TYPE go_s gauge\n"
       "# UNIT go_s s\n"
       "go_s{a=\"b\"} 1.5 1520879607.789\n"
       "# TYPE f counter\n"
       "f_total{x=\"1\"} 17.0 1520879607.789 # {id=\"k1\",t=\"\"} 0.5 1520879607.1\n"
       "f_created{x=\"1\"} 1000.5\n"
       "f_total{x=\"2\"} 3 # {} 0.5\n"
       "# EOF\n",
       "HELP go_s A \"quote\"\n"
       "TYPE go_s gauge\n"
       "UNIT go_s s\n"
       "go_s{a=\"b\"} 1.5 1520879607789\n"
       "TYPE f counter\n"
       "f_total{x=\"1\"} 17 1520879607789 # {id=\"k1\"} 0.5 @1520879607100 since 1000500\n"
       "f_created{x=\"1\"} 1000.5 since 1000500\n"
       "f_total{x=\"2\"} 3 # {} 0.5\n");
    om("# EOF", "");
    om("a 1\n", "a 1\nerror: data does not end with # EOF\n");
    om("# EOF\na 1\n", "error: unexpected data after # EOF\n");
    om("a  1\n# EOF\n", "error: expected value after metric, got \" \" (\"INVALID\") while "
                        "parsing: \"a \"\n");
    om("# UNIT a s\n# EOF\n", "error: unit \"s\" not a suffix of metric \"a\"\n");
    om("\n# EOF\n", "error: expected a valid start token, got \"\\n\" (\"LINEBREAK\") while "
                    "parsing: \"\\n\"\n");
    ExpoOptions skip = { .skip_created = true };
    check(EXPO_FORMAT_OPENMETRICS, SV("# TYPE f counter\nf_total 1\nf_created 5\n# EOF\n"), &skip,
          "TYPE f counter\nf_total 1 since 5000\n");
}

/* ---- protobuf ---- */

static void put_double(Buf *b, unsigned number, double v)
{
    protobuf_put_varint(b, number << 3 | 1);
    buf_append(b, &v, 8);
}

static void put_label(Buf *b, unsigned number, const char *name, const char *value)
{
    size_t at = b->len;
    protobuf_put_bytes(b, 1, sv_cstr(name));
    protobuf_put_bytes(b, 2, sv_cstr(value));
    protobuf_close(b, number, at);
}

static void put_zigzag(Buf *b, unsigned number, int64_t v)
{
    protobuf_put_varint(b, number << 3);
    protobuf_put_varint(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void put_exemplar(Buf *b, unsigned number, double v)
{
    size_t at = b->len;
    put_label(b, 1, "id", "x");
    put_double(b, 2, v);
    size_t ts = b->len;
    protobuf_put_int(b, 1, 7);
    protobuf_close(b, 3, ts);
    protobuf_close(b, number, at);
}

static void put_bucket(Buf *b, double bound, int64_t count)
{
    size_t at = b->len;
    protobuf_put_int(b, 1, count);
    put_double(b, 2, bound);
    protobuf_close(b, 3, at);
}

static void family_head(Buf *b, const char *name, int type)
{
    protobuf_put_bytes(b, 1, sv_cstr(name));
    protobuf_put_bytes(b, 2, SV("help"));
    protobuf_put_int(b, 3, type);
}

static void delimit(Buf *family, Buf *out)
{
    protobuf_put_varint(out, family->len);
    buf_sv(out, buf_view(family));
    buf_clear(family);
}

static void put_counter(Buf *b)
{
    family_head(b, "c_total", 0);
    size_t metric = b->len;
    put_label(b, 1, "z", "1");
    put_label(b, 1, "a", "2");
    size_t body = b->len;
    put_double(b, 1, 42.5);
    put_exemplar(b, 2, 3);
    protobuf_close(b, 3, body);
    protobuf_put_int(b, 6, 99);
    protobuf_close(b, 4, metric);
}

static void put_summary(Buf *b)
{
    family_head(b, "s", 2);
    size_t metric = b->len, body = b->len;
    protobuf_put_int(b, 1, 5);
    put_double(b, 2, 1.5);
    size_t q = b->len;
    put_double(b, 1, 0.5);
    put_double(b, 2, 0.1);
    protobuf_close(b, 3, q);
    protobuf_close(b, 4, body);
    protobuf_close(b, 4, metric);
}

static void put_histogram(Buf *b, bool native)
{
    family_head(b, "h", 4);
    size_t metric = b->len, body = b->len;
    protobuf_put_int(b, 1, 6);
    put_double(b, 2, 12);
    put_bucket(b, 1, 2);
    put_bucket(b, 2.5, 5);
    if (native) {
        put_zigzag(b, 5, 1);
        put_double(b, 6, 0.001);
        protobuf_put_int(b, 7, 1);
        size_t span = b->len;
        put_zigzag(b, 1, -1);
        protobuf_put_int(b, 2, 2);
        protobuf_close(b, 12, span);
        put_zigzag(b, 13, 2);
        put_zigzag(b, 13, 1);
        put_exemplar(b, 16, 2);
    }
    protobuf_close(b, 7, body);
    protobuf_close(b, 4, metric);
}

static void test_protobuf(void **state)
{
    _cleanup_buf_ Buf f = BUF_INIT, body = BUF_INIT;
    ExpoOptions all = { .native_histograms = true, .keep_classic = true },
                custom = { .classic_to_custom = true };
    static const char classic[] = "h_count 6\nh_sum 12\nh_bucket{le=\"1.0\"} 2\n"
                                  "h_bucket{le=\"2.5\"} 5\nh_bucket{le=\"+Inf\"} 6\n";
    char want[1024];

    put_counter(&f);
    delimit(&f, &body);
    put_summary(&f);
    delimit(&f, &body);
    check(EXPO_FORMAT_PROTOBUF, buf_view(&body), NULL,
          "HELP c_total help\nTYPE c_total counter\n"
          "c_total{a=\"2\", z=\"1\"} 42.5 99 # {id=\"x\"} 3 @7000\n"
          "HELP s help\nTYPE s summary\ns_count 5\ns_sum 1.5\ns{quantile=\"0.5\"} 0.1\n");
    buf_clear(&body);
    put_histogram(&f, true);
    delimit(&f, &body);
    snprintf(want, sizeof want, "HELP h help\nTYPE h histogram\n%s", classic);
    check(EXPO_FORMAT_PROTOBUF, buf_view(&body), NULL, want);
    snprintf(want, sizeof want,
             "HELP h help\nTYPE h histogram\n"
             "h {{schema:1 count:6 sum:12 z_bucket:1 z_bucket_w:0.001 offset:-1 buckets:[2 3]}} # "
             "{id=\"x\"} 2 @7000\n%s",
             classic);
    check(EXPO_FORMAT_PROTOBUF, buf_view(&body), &all, want);
    check(
        EXPO_FORMAT_PROTOBUF, buf_view(&body), &custom,
        "HELP h help\nTYPE h histogram\n"
        "h {{schema:-53 count:6 sum:12 custom_values:[1 2.5] buckets:[2 3 1]}} # {id=\"x\"} 2 @7000\n");
    check(EXPO_FORMAT_PROTOBUF, sv_head(buf_view(&body), body.len - 1), NULL,
          "error: protobuf: a metric family of 100 bytes is cut off\n");
}

static void test_classic_histograms_become_custom_ones(void **state)
{
    ExpoOptions custom = { .classic_to_custom = true },
                both = { .classic_to_custom = true, .keep_classic = true };
    StrView body =
        SV("# HELP h help\n# TYPE h histogram\n"
           "h_bucket{a=\"1\",le=\"1\"} 2 7000\nh_bucket{a=\"1\",le=\"+Inf\"} 6 7000\n"
           "h_sum{a=\"1\"} 12 7000\nh_count{a=\"1\"} 6 7000\n"
           "h_bucket{a=\"2\",le=\"2\"} 1.5\nh_bucket{a=\"2\",le=\"1\"} 0.5\nh_sum{a=\"2\"} 3\n"
           "# TYPE g gauge\ng_count 4\n"
           "# TYPE h histogram\nother 1\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_count 2\n"
           "h_count{a=\"3\"} 1\nh_sum{a=\"3\"} 4\n");
    check(EXPO_FORMAT_TEXT, body, &custom,
          "HELP h help\nTYPE h histogram\n"
          "h{a=\"1\"} {{schema:-53 count:6 sum:12 custom_values:[1] buckets:[2 4]}} 7000\n"
          "h{a=\"2\"} {{schema:-53 count:1.5 sum:3 custom_values:[1 2] buckets:[0.5 1]}}\n"
          "TYPE g gauge\ng_count 4\nTYPE h histogram\nother 1\n"
          "h{a=\"3\"} {{schema:-53 count:1 sum:4 custom_values:[] buckets:[1]}}\n");
    check(EXPO_FORMAT_TEXT, SV("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n"),
          &both,
          "TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n"
          "h {{schema:-53 count:1 sum:2 custom_values:[] buckets:[1]}}\n");
    check(
        EXPO_FORMAT_OPENMETRICS,
        SV("# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {id=\"x\"} 0.5 7.0\n"
           "h_bucket{le=\"+Inf\"} 2 # {id=\"y\"} 3\nh_count 2\nh_sum 3.5\n# EOF\n"),
        &custom,
        "TYPE h histogram\n"
        "h {{schema:-53 count:2 sum:3.5 custom_values:[1] buckets:[1 1]}} # {id=\"x\"} 0.5 @7000 # "
        "{id=\"y\"} 3\n");
    /* An error behind a histogram that waits is an error of the body. */
    check(
        EXPO_FORMAT_TEXT, SV("# TYPE h histogram\nh_count 1\nh_sum\n"), &custom,
        "TYPE h histogram\nerror: expected value after metric, got \"\\n\" (\"LINEBREAK\") while parsing: \"h_sum\\n\"\n");
}

static void test_numbers_are_correctly_rounded(void **state)
{
    static const char *const rows[] = {
        "0",
        "-0",
        "1",
        "1.5",
        "123456789.125",
        "1e22",
        "1e23",
        "9007199254740993",
        "0.1",
        "1e-22",
        "2.2250738585072014e-308",
        "1.7976931348623157e+308",
        "5e-324",
        "123456.789e3",
        "1.6e+09",
        "1.64523456789e+09",
        "0.30000000000000004",
        "4.35",
        "8.5e-7",
        ".5",
        "5.",
        "+1",
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        double v, want = strtod(rows[i], NULL);
        assert_true(expo_number(sv_cstr(rows[i]), &v));
        if (memcmp(&v, &want, 8) != 0)
            fail_msg("%s: %.17g, want %.17g", rows[i], v, want);
    }
    double v;
    assert_false(expo_number(SV("1e999"), &v));
    assert_false(expo_number(SV(""), &v));
    assert_false(expo_number(SV("1_000"), &v));
    assert_false(expo_number(SV("."), &v));
    assert_true(expo_number(SV("-Infinity"), &v) && v == -INFINITY);
    assert_true(expo_number(SV("NaN"), &v) && double_bits(v) == NAN_NORMAL_BITS);
}

static void test_content_types(void **state)
{
    ExpoFormat f;
    Err err = { 0 };
    assert_int_equal(expo_format(SV("text/plain; version=0.0.4"), SV(""), &f, &err), 0);
    assert_int_equal(f, EXPO_FORMAT_TEXT);
    assert_int_equal(expo_format(SV("Application/OpenMetrics-Text"), SV(""), &f, &err), 0);
    assert_int_equal(f, EXPO_FORMAT_OPENMETRICS);
    assert_int_equal(expo_format(SV("text/html"), SV("PrometheusText0.0.4"), &f, &err), 0);
    assert_int_equal(f, EXPO_FORMAT_TEXT);
    assert_true(expo_format(SV(""), SV(""), &f, &err) < 0);
    assert_non_null(strstr(err.msg, "blank Content-Type"));
    assert_true(expo_format(SV("text/html"), SV(""), &f, &err) < 0);
    assert_non_null(strstr(err.msg, "received unsupported Content-Type \"text/html\""));
}

/* What a body holds, as numbers that memory is not needed for. */
typedef struct Seen {
    unsigned entries, histograms, labels, exemplars;
    double sums, bounds;
} Seen;

static int see_sample(ExpoParser *p, const ExpoEntry *e, Seen *seen, Err *err)
{
    _cleanup_arena_ Arena a;
    Labels l;
    arena_init(&a, 0);
    int r = expo_labels(p, &a, &l, err);
    if (r < 0)
        return r;
    seen->histograms += e->h != NULL;
    seen->labels += l.len;
    seen->sums += e->h ? e->h->sum : e->v;
    for (unsigned i = 0; e->h && i < e->h->n_bounds; i++)
        seen->bounds += e->h->bounds[i];
    for (unsigned i = 0; r >= 0 && i < e->n_exemplars; i++) {
        ExpoExemplar x;
        r = expo_exemplar(p, i, &a, &x, err);
        seen->exemplars++;
    }
    return r;
}

static int see(ExpoFormat f, StrView body, const ExpoOptions *opt, Seen *seen, Err *err)
{
    ExpoParser *p = expo_parser_new(f, body, opt);
    ExpoEntry e;
    if (!p)
        return err_nomem(err);
    int r;
    *seen = (Seen){ 0 };
    while ((r = expo_next(p, &e, err)) >= 0 && e.kind != EXPO_END) {
        seen->entries++;
        if ((e.kind == EXPO_SERIES || e.kind == EXPO_HISTOGRAM) &&
            (r = see_sample(p, &e, seen, err)) < 0)
            break;
    }
    expo_parser_free(p);
    return r;
}

static void test_the_end_of_memory_makes_no_other_histogram(void **state)
{
    static const struct {
        ExpoFormat format;
        StrView body;
    } bodies[] = {
        { EXPO_FORMAT_TEXT,
          SV_INIT(
              "# TYPE h histogram\n"
              "h_bucket{a=\"1\",le=\"1\"} 2\nh_bucket{a=\"1\",le=\"+Inf\"} 6\n"
              "h_sum{a=\"1\"} 12\nh_count{a=\"1\"} 6\n"
              "h_bucket{a=\"2\",le=\"2\"} 1.5\nh_bucket{a=\"2\",le=\"1\"} 0.5\nh_sum{a=\"2\"} 3\n"
              "other 1\n") },
        { EXPO_FORMAT_OPENMETRICS,
          SV_INIT("# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {id=\"x\"} 0.5 7.0\n"
                  "h_bucket{le=\"+Inf\"} 2 # {id=\"y\"} 3\nh_count 2\nh_sum 3.5\n"
                  "h_created 5\n# EOF\n") },
    };
    const ExpoOptions opt = { .classic_to_custom = true, .skip_created = true };
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        Seen want, got;
        Err err = { 0 };
        int r = -1;
        assert_true(see(bodies[i].format, bodies[i].body, &opt, &want, &err) >= 0);
        assert_true(want.bounds > 0);
        for (long left = 0; r < 0; left++) {
            err_clear(&err);
            allocs_left = left;
            r = see(bodies[i].format, bodies[i].body, &opt, &got, &err);
            allocs_left = -1;
            assert_true(r >= 0 || r == -ERR_NOMEM);
        }
        assert_memory_equal(&got, &want, sizeof got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_reads_all_that_is_legal),
        cmocka_unit_test(test_text_refuses),
        cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_protobuf),
        cmocka_unit_test(test_classic_histograms_become_custom_ones),
        cmocka_unit_test(test_numbers_are_correctly_rounded),
        cmocka_unit_test(test_content_types),
        cmocka_unit_test(test_the_end_of_memory_makes_no_other_histogram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
