/* test_remote_write.c - the parts of a queue: series, marks and messages; what is encoded is read
 * again by the receiver's reader. */
#include "unit.h"

#include <snappy-c.h>
#include <stdio.h>

#include "monitor/model/pb.h"
#include "monitor/remote/internal.h"
#include "monitor/remote/remote_message.h"

static Labels make_labels(Label *l, const char *name, const char *job)
{
    l[0] = (Label){ SV("__name__"), sv_cstr(name) };
    l[1] = (Label){ SV("job"), sv_cstr(job) };
    return (Labels){ l, 2 };
}

static void test_series_carry_external_labels_and_are_relabelled(void **state)
{
    SeriesTable t;
    Err err = { 0 };
    Label l[2], ext[] = { { SV("job"), SV("no") }, { SV("zone"), SV("z") } };
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    RelabelRule rule = relabel_rule_default();
    StrView source = LABEL_METRIC_NAME;
    rule.source_labels = &source;
    rule.n_source_labels = 1;
    rule.regex = SV("drop.*");
    rule.action = RELABEL_DROP;
    assert_int_equal(relabel_rule_compile(&rule, &a, &err), 0);
    const ConfigRemoteWrite cfg = { .write_relabel = { &rule, 1 } };
    series_table_init(&t);
    assert_int_equal(
        series_table_add(&t, 1, make_labels(l, "up", "x"), 0, &cfg, (Labels){ ext, 2 }, &err), 0);
    assert_int_equal(series_table_add(&t, 2, make_labels(l, "dropped", "x"), 0, &cfg,
                                      (Labels){ ext, 2 }, &err),
                     0);
    assert_null(series_table_get(&t, 3));
    assert_true(series_table_get(&t, 2)->is_dropped);
    const SentSeries *s = series_table_get(&t, 1);
    PbReader p = pb_reader(sv_n(s->labels, s->len));
    PbField f;
    unsigned n = 0;
    while (pb_next(&p, &f))
        n++;
    assert_int_equal(n, 3); /* the series' own job stays */
    relabel_rule_free(&rule);
    series_table_free(&t);
}

/* Thousands of series, of which the old ones without entries go. */
static void test_series_that_are_gone_are_forgotten(void **state)
{
    SeriesTable t;
    Err err = { 0 };
    Label l[2];
    const ConfigRemoteWrite cfg = { 0 };
    series_table_init(&t);
    for (uint64_t i = 1; i <= 5000; i++) {
        char job[32];
        snprintf(job, sizeof job, "%u", (unsigned)i);
        assert_int_equal(series_table_add(&t, i * 7, make_labels(l, "m", job), i <= 3000 ? 1 : 2,
                                          &cfg, (Labels){ 0 }, &err),
                         0);
    }
    series_table_get(&t, 7)->pending = 1;
    series_table_sweep(&t, 1);
    assert_int_equal(t.len, 2001);
    assert_non_null(series_table_get(&t, 7));
    assert_null(series_table_get(&t, 14));
    for (uint64_t i = 3001; i <= 5000; i++)
        assert_non_null(series_table_get(&t, i * 7));
    series_table_free(&t);
}

static void test_marks_tell_the_oldest_that_is_open(void **state)
{
    Marks m = { 0 };
    WalPlace p;
    uint32_t marks[200];
    assert_false(marks_oldest(&m, &p));
    for (unsigned i = 0; i < 200; i++) {
        assert_true(marks_open(&m, (WalPlace){ 1, i }, &marks[i]));
        marks_hold(&m, marks[i]);
        marks_hold(&m, marks[i]);
    }
    for (unsigned i = 199; i > 0; i--) { /* the newest first: nothing moves */
        marks_release(&m, marks[i]);
        marks_release(&m, marks[i]);
        assert_true(marks_oldest(&m, &p) && p.offset == 0);
    }
    marks_release(&m, marks[0]);
    assert_true(marks_oldest(&m, &p));
    marks_release(&m, marks[0]);
    assert_false(marks_oldest(&m, &p));
    assert_true(marks_open(&m, (WalPlace){ 2, 0 }, &marks[0]));
    marks_hold(&m, marks[0]);
    assert_true(marks_oldest(&m, &p) && p.segment == 2);
    marks_free(&m);
}

static Blob *blob_of(const Buf *b)
{
    Blob *x = calloc(1, sizeof *x + b->len);
    assert_non_null(x);
    x->len = (uint32_t)b->len;
    memcpy(x->bytes, b->ptr, b->len);
    return x;
}

static void read_back(const Buf *body, bool v2, bool attached)
{
    _cleanup_buf_ Buf plain = BUF_INIT;
    RemoteReader r;
    const RemoteSeries *s;
    Err err = { 0 };
    size_t n;
    assert_int_equal(snappy_uncompressed_length(body->ptr, body->len, &n), SNAPPY_OK);
    assert_true(buf_reserve(&plain, n + 1));
    assert_int_equal(snappy_uncompress(body->ptr, body->len, plain.ptr, &n), SNAPPY_OK);
    plain.len = n;
    assert_int_equal(remote_reader_init(&r, buf_view(&plain), v2, &err), 0);
    assert_int_equal(remote_reader_next(&r, &s, &err), 1);
    assert_null(s->labels_wrong);
    assert_sv(labels_get(s->labels, SV("job")), "x");
    assert_int_equal(s->samples.len, 1);
    assert_true(s->samples.items[0].t == 1000 && s->samples.items[0].v == 1.5);
    assert_int_equal(s->exemplars.len, attached);
    if (v2) {
        assert_sv(s->metadata.type, "counter");
        assert_sv(s->metadata.help, "helps");
    }
    assert_int_equal(remote_reader_next(&r, &s, &err), 1);
    assert_int_equal(s->histograms.len, 1);
    assert_true(s->histograms.items[0].t == 2000 && s->histograms.items[0].h->sum == 4);
    if (!attached) {
        assert_int_equal(remote_reader_next(&r, &s, &err), 1);
        assert_int_equal(s->exemplars.len, 1);
        assert_sv(labels_get(s->exemplars.items[0].labels, SV("trace_id")), "t1");
    }
    assert_int_equal(remote_reader_next(&r, &s, &err), 0);
    remote_reader_free(&r);
}

static void test_messages_are_what_receivers_read(void **state)
{
    _cleanup_buf_ Buf body = BUF_INIT, h_bytes = BUF_INIT, x_bytes = BUF_INIT;
    SeriesTable t;
    Encoder e = { 0 };
    Err err = { 0 };
    Label l[2], trace[] = { { SV("trace_id"), SV("t1") } };
    const ConfigRemoteWrite cfg = { 0 };
    const Histogram h = { .sum = 4, .integer = true };
    const Exemplar x = { { trace, 1 }, 0.5, 1000 };
    const MetricMetadata m = { SV("counter"), SV("seconds"), SV("helps") };
    series_table_init(&t);
    assert_int_equal(
        series_table_add(&t, 1, make_labels(l, "m", "x"), 0, &cfg, (Labels){ 0 }, &err), 0);
    SentSeries *s = series_table_get(&t, 1);
    assert_int_equal(series_set_metadata(s, &m, &err), 0);
    remote_histogram_encode(&h, 2000, &h_bytes);
    encode_exemplar(&x, &x_bytes);
    Entry entries[] = {
        { .series = s, .t = 1000, .v = 1.5, .kind = ENTRY_SAMPLE },
        { .series = s, .t = 2000, .blob = blob_of(&h_bytes), .kind = ENTRY_HISTOGRAM },
        { .series = s, .t = 1000, .blob = blob_of(&x_bytes), .kind = ENTRY_EXEMPLAR },
    };
    assert_int_equal(encode_entries(&e, false, entries, 3, &body, &err), 0);
    read_back(&body, false, false);
    assert_int_equal(encode_entries(&e, true, entries, 3, &body, &err), 0);
    read_back(&body, true, false);
    entries[0].exemplars = entries[2].blob;
    assert_int_equal(encode_entries(&e, true, entries, 2, &body, &err), 0);
    read_back(&body, true, true);
    free(entries[1].blob);
    free(entries[2].blob);
    encoder_free(&e);
    series_table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_carry_external_labels_and_are_relabelled),
        cmocka_unit_test(test_series_that_are_gone_are_forgotten),
        cmocka_unit_test(test_marks_tell_the_oldest_that_is_open),
        cmocka_unit_test(test_messages_are_what_receivers_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
