/* test_remote_message.c - the messages of remote write, built here field by field. */
#include "monitor/model/pb.h"
#include "monitor/remote/remote_message.h"
#include "unit.h"

static void put_label(Buf *b, const char *name, const char *value)
{
    size_t at = b->len;
    pb_put_bytes(b, 1, sv_cstr(name));
    pb_put_bytes(b, 2, sv_cstr(value));
    pb_close(b, 1, at);
}

static void put_sample(Buf *b, double v, int64_t t, int64_t start)
{
    size_t at = b->len;
    pb_put_double(b, 1, v);
    pb_put_int(b, 2, (uint64_t)t);
    pb_put_int(b, 3, (uint64_t)start);
    pb_close(b, 2, at);
}

static void test_series_of_version_1(void **state)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    RemoteReader r;
    const RemoteSeries *s;
    Err err = { 0 };
    put_sample(&b, 1.5, 1000, 0); /* before the labels: any order is fine */
    put_sample(&b, 0, -2, 0);
    put_label(&b, "job", "x");
    put_label(&b, "__name__", "m");
    put_label(&b, "empty", "");
    pb_close(&b, 1, 0);
    size_t second = b.len;
    put_label(&b, "a", "1");
    put_label(&b, "a", "2");
    pb_close(&b, 1, second);
    assert_int_equal(remote_reader_init(&r, buf_view(&b), false, &err), 0);
    assert_int_equal(remote_reader_next(&r, &s, &err), 1);
    assert_int_equal(s->labels.len, 2);
    assert_sv(s->labels.items[0].name, "__name__");
    assert_sv(s->labels.items[1].value, "x");
    assert_int_equal(s->samples.len, 2);
    assert_true(s->samples.items[0].v == 1.5 && s->samples.items[0].t == 1000);
    assert_true(s->samples.items[1].v == 0 && s->samples.items[1].t == -2);
    assert_int_equal(remote_reader_next(&r, &s, &err), 1);
    assert_string_equal(s->labels_wrong, "duplicated label");
    assert_int_equal(remote_reader_next(&r, &s, &err), 0);
    remote_reader_free(&r);
}

static void put_refs(Buf *b, unsigned n, const unsigned *refs)
{
    size_t at = b->len;
    for (unsigned i = 0; i < n; i++)
        pb_put_varint(b, refs[i]);
    pb_close(b, 1, at);
}

static void put_metadata(Buf *b)
{
    size_t at = b->len;
    pb_put_int(b, 1, 2);
    pb_put_int(b, 3, 2);
    pb_close(b, 5, at);
}

static void test_series_of_version_2(void **state)
{
    static const char *const symbols[] = { "", "__name__", "m", "job", "x" };
    _cleanup_buf_ Buf b = BUF_INIT;
    RemoteReader r;
    const RemoteSeries *s;
    Err err = { 0 };
    put_refs(&b, 4, (unsigned[]){ 3, 4, 1, 2 });
    put_sample(&b, 7, 5000, 1000);
    put_metadata(&b);
    pb_close(&b, 5, 0);
    size_t second = b.len;
    put_refs(&b, 2, (unsigned[]){ 1, 99 });
    pb_close(&b, 5, second);
    size_t third = b.len;
    put_refs(&b, 3, (unsigned[]){ 1, 2, 3 });
    pb_close(&b, 5, third);
    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) /* behind the series: any order is fine */
        pb_put_bytes(&b, 4, sv_cstr(symbols[i]));
    assert_int_equal(remote_reader_init(&r, buf_view(&b), true, &err), 0);
    assert_int_equal(remote_reader_next(&r, &s, &err), 1);
    assert_null(s->labels_wrong);
    assert_sv(s->labels.items[0].value, "m");
    assert_int_equal(s->samples.items[0].start, 1000);
    assert_sv(s->metadata.type, "gauge");
    assert_sv(s->metadata.help, "m");
    assert_int_equal(remote_reader_next(&r, &s, &err), 1);
    assert_non_null(s->labels_wrong);
    assert_int_equal(remote_reader_next(&r, &s, &err), 1);
    assert_non_null(s->labels_wrong);
    assert_int_equal(remote_reader_next(&r, &s, &err), 0);
    remote_reader_free(&r);
}

static void round_trip(bool integer)
{
    const HistogramSpan spans[] = { { -2, 2 }, { 3, 1 } }, neg = { 1, 1 };
    const double pos[] = { 4, 1, 7 }, minus[] = { 2 };
    const Histogram h = { .integer = integer,
                          .hint = HINT_GAUGE,
                          .schema = -1,
                          .zero_threshold = 0.001,
                          .zero_count = 3,
                          .count = 17,
                          .sum = -2.5,
                          .pos_spans = spans,
                          .n_pos_spans = 2,
                          .neg_spans = &neg,
                          .n_neg_spans = 1,
                          .pos = pos,
                          .n_pos = 3,
                          .neg = minus,
                          .n_neg = 1 };
    _cleanup_buf_ Buf b = BUF_INIT;
    _cleanup_arena_ Arena a;
    RemoteHistogram got;
    Err err = { 0 };
    arena_init(&a, 0);
    remote_histogram_encode(&h, -77, &b);
    assert_int_equal(remote_histogram_decode(buf_view(&b), &a, &got, &err), 0);
    assert_true(histogram_equal(&h, got.h));
    assert_int_equal(got.h->integer, integer);
    assert_int_equal(got.h->hint, HINT_GAUGE);
    assert_int_equal(got.t, -77);
}

static void test_histograms_keep_all_they_have(void **state)
{
    round_trip(true);
    round_trip(false);
}

static void test_malformed_messages_are_refused(void **state)
{
    static const StrView bad[] = {
        SV_INIT("\x0a"),     SV_INIT("\x0a\x05xx"),
        SV_INIT("\x0b\x00"), SV_INIT("\x0a\x02\x0a\x7f"),
        SV_INIT("\x02\x00"), SV_INIT("\x0a\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        RemoteReader r;
        const RemoteSeries *s;
        Err err = { 0 };
        int got = remote_reader_init(&r, bad[i], false, &err);
        while (got == 0 && (got = remote_reader_next(&r, &s, &err)) > 0)
            got = 0;
        assert_int_equal(got, -ERR_INVALID);
        remote_reader_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_of_version_1),
        cmocka_unit_test(test_series_of_version_2),
        cmocka_unit_test(test_histograms_keep_all_they_have),
        cmocka_unit_test(test_malformed_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
