/* test_remote_queue.c - the steps of a queue while memory ends at every place, once or for a while:
 * what the log holds is sent, each sample once and in the order of its series; the place that is
 * kept is never behind what was not sent. */
#include "unit.h"

#include <fcntl.h>
#include <snappy-c.h>
#include <stdio.h>

#include "base/file.h"
#include "failing_memory.h"
#include "monitor/remote/internal.h"
#include "monitor/remote/remote_message.h"

enum { SERIES = 6, SAMPLES = 12, SENDS_AT_MOST = 500 };

static char dir[64];

static void log_records(Wal *w, Buf *records, size_t n)
{
    StrView views[3];
    Err err = { 0 };
    for (size_t i = 0; i < n; i++)
        views[i] = buf_view(&records[i]);
    assert_int_equal(wal_log(w, views, n, &err), 0);
    for (size_t i = 0; i < n; i++)
        buf_free(&records[i]);
}

/* One record with all series, then for each time one with samples, one with histograms, and one
 * with an exemplar of the first series. */
static void write_log(bool compress)
{
    Err err = { 0 };
    Wal *w;
    Label l[2] = { { LABEL_METRIC_NAME, SV("m") }, { SV("n"), SV("") } };
    Label trace = { SV("trace_id"), SV("x") };
    Buf records[3] = { BUF_INIT, BUF_INIT, BUF_INIT };
    char path[80];
    snprintf(path, sizeof path, "%s/wal", dir);
    assert_int_equal(wal_open(path, compress, &w, &err), 0);
    buf_putc(&records[0], WAL_SERIES);
    buf_putc(&records[1], WAL_METADATA);
    for (uint64_t i = 0; i < SERIES; i++) {
        char text[8];
        snprintf(text, sizeof text, "%llu", (unsigned long long)i);
        l[1].value = sv_cstr(text);
        wal_put_series(&records[0], i + 1, (Labels){ l, 2 });
        const MetricMetadata m = { SV("counter"), SV("s"), SV("help") };
        wal_put_metadata(&records[1], i + 1, &m);
    }
    log_records(w, records, 2);
    const Histogram h = { .sum = 4, .count = 2, .zero_count = 2, .integer = true };
    for (int64_t t = 1; t <= SAMPLES; t++) {
        const WalBase base = { 1, t };
        buf_putc(&records[0], WAL_SAMPLES);
        buf_putc(&records[1], WAL_HISTOGRAMS);
        wal_put_base(&records[0], &base);
        wal_put_base(&records[1], &base);
        for (uint64_t i = 0; i < SERIES; i++)
            if (i % 2)
                wal_put_histogram(&records[1], &base, i + 1, t, &h);
            else
                wal_put_sample(&records[0], &base, i + 1, t, (double)t);
        const Exemplar x = { { &trace, 1 }, (double)t, t };
        buf_putc(&records[2], WAL_EXEMPLARS);
        wal_put_base(&records[2], &base);
        wal_put_exemplar(&records[2], &base, 1, &x);
        log_records(w, records, 3);
    }
    wal_close(w);
}

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/knarr-queue-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return rm_rf(AT_FDCWD, dir);
}

/* ---- a queue without its loop ---- */

static void open_queue(RemoteQueue *q, const ConfigRemoteWrite *cfg, bool v2, uint64_t offset)
{
    Err err = { 0 };
    *q = (RemoteQueue){ .cfg = cfg, .v2 = v2, .n_shards = 2, .want_shards = 2 };
    snprintf(q->wal_dir, sizeof q->wal_dir, "%s/wal", dir);
    q->place_fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    assert_true(q->place_fd >= 0);
    series_table_init(&q->series);
    arena_init(&q->scratch, 0);
    q->shards = calloc(2, sizeof *q->shards);
    assert_non_null(q->shards);
    for (unsigned i = 0; i < 2; i++)
        q->shards[i] = (Shard){ .queue = q, .base = 1 };
    assert_int_equal(wal_tail_new(q->wal_dir, (WalPlace){ 0, offset }, &q->tail, &err), 0);
    q->draining = true;
}

/* ---- the receiver ---- */

typedef struct Received {
    int64_t newest[SERIES];
    unsigned n[SERIES], exemplars;
} Received;

static void receive_series(Received *got, const RemoteSeries *s)
{
    uint64_t i;
    assert_null(s->labels_wrong);
    assert_int_equal(sv_to_u64(labels_get(s->labels, SV("n")), &i), 0);
    assert_true(i < SERIES);
    got->exemplars += (unsigned)s->exemplars.len;
    if (s->exemplars.len && !s->samples.len) /* 1.0 */
        return;
    assert_int_equal(s->samples.len + s->histograms.len, 1);
    assert_int_equal(s->histograms.len, i % 2);
    int64_t t = i % 2 ? s->histograms.items[0].t : s->samples.items[0].t;
    assert_true(t == got->newest[i] + 1); /* none twice, none left out */
    got->newest[i] = t;
    got->n[i]++;
}

static void receive(Received *got, const Buf *body, bool v2)
{
    _cleanup_buf_ Buf plain = BUF_INIT;
    RemoteReader r;
    const RemoteSeries *s;
    Err err = { 0 };
    size_t n;
    int x;
    assert_int_equal(snappy_uncompressed_length(body->ptr, body->len, &n), SNAPPY_OK);
    assert_true(buf_reserve(&plain, n + 1));
    assert_int_equal(snappy_uncompress(body->ptr, body->len, plain.ptr, &n), SNAPPY_OK);
    plain.len = n;
    assert_int_equal(remote_reader_init(&r, buf_view(&plain), v2, &err), 0);
    while ((x = remote_reader_next(&r, &s, &err)) > 0)
        receive_series(got, s);
    assert_int_equal(x, 0);
    remote_reader_free(&r);
}

/* Sends what is ready; `refuse`: it is to be built anew instead, as after a long wait. */
static void send_ready(RemoteQueue *q, Received *got, bool refuse)
{
    for (unsigned i = 0; i < q->n_shards; i++) {
        Shard *s = &q->shards[i];
        if (atomic_load(&s->state) != SHARD_READY)
            continue;
        if (!refuse)
            receive(got, &s->body, q->v2);
        atomic_store(&s->state, refuse ? SHARD_STALE : SHARD_DONE);
    }
}

/* The place in the file, as offset of the only segment. */
static uint64_t kept_place(const RemoteQueue *q)
{
    char text[40] = "";
    StrView segment, offset;
    uint64_t n = 0;
    if (pread(q->place_fd, text, sizeof text - 1, 0) <= 0)
        return 0;
    assert_true(sv_cut(sv_trim(sv_cstr(text)), ' ', &segment, &offset));
    assert_int_equal(sv_to_u64(offset, &n), 0);
    return n;
}

/* Whoever begins at the kept place meets all that was not received. */
static void expect_place_is_safe(const RemoteQueue *q, const Received *got)
{
    Received from_place = { 0 };
    RemoteQueue again;
    open_queue(&again, q->cfg, q->v2, kept_place(q));
    queue_step(&again);
    for (unsigned i = 0; i < again.n_shards; i++)
        vec_foreach (e, &again.shards[i].entries) {
            uint64_t n = e->series->ref - 1;
            if (!from_place.newest[n] && e->kind != ENTRY_EXEMPLAR)
                from_place.newest[n] = e->t;
        }
    for (unsigned i = 0; i < SERIES; i++)
        assert_true(got->newest[i] == SAMPLES || /* all was received */
                    (from_place.newest[i] && from_place.newest[i] <= got->newest[i] + 1));
    queue_free_parts(&again);
}

/* `left` allocations, then none for `steps` steps. True: memory did not end. */
static bool run(const ConfigRemoteWrite *cfg, bool v2, long left, unsigned steps)
{
    RemoteQueue q;
    Received got = { 0 };
    bool ended = false;
    open_queue(&q, cfg, v2, 0);
    allocs_left = left;
    for (unsigned i = 0; i < SENDS_AT_MOST; i++) {
        if (i == 1)
            q.want_shards = 3;
        queue_step(&q);
        bool out = allocs_left == 0;
        ended |= out;
        if (out && --steps == 0)
            allocs_left = -1;
        long saved = allocs_left;
        allocs_left = -1;
        q.shown = q.feed;
        send_ready(&q, &got, i % 5 == 3);
        if (out)
            expect_place_is_safe(&q, &got);
        if (queue_is_empty(&q))
            break;
        allocs_left = saved;
    }
    allocs_left = -1;
    for (unsigned i = 0; i < SERIES; i++)
        assert_int_equal(got.n[i], SAMPLES);
    assert_int_equal(q.feed.in[ENTRY_SAMPLE], SERIES / 2 * SAMPLES);
    assert_int_equal(q.feed.in[ENTRY_HISTOGRAM], SERIES / 2 * SAMPLES);
    /* With 2.0 an exemplar is dropped when its sample is on its way. */
    uint64_t dropped = q.feed.dropped[ENTRY_EXEMPLAR][DROP_UNKNOWN];
    assert_true(v2 || dropped == 0);
    assert_int_equal(got.exemplars + dropped, SAMPLES);
    assert_int_equal(q.feed.in[ENTRY_EXEMPLAR], SAMPLES);
    for (unsigned k = 0; k < ENTRY_MAX; k++) {
        assert_int_equal(q.feed.pending[k], 0);
        for (unsigned r = 0; r < DROP_REASON_MAX; r++)
            assert_true((k == ENTRY_EXEMPLAR && r == DROP_UNKNOWN) || !q.feed.dropped[k][r]);
    }
    queue_free_parts(&q);
    return !ended;
}

static void run_all(bool compress, bool v2)
{
    const ConfigRemoteWrite cfg = {
        .send_native_histograms = true,
        .send_exemplars = true,
        .queue = { .capacity = 20, .max_samples_per_send = 7, .batch_send_deadline = 1 }
    };
    write_log(compress);
    for (unsigned steps = 1; steps <= 3; steps += 2)
        for (long left = 0; !run(&cfg, v2, left, steps); left++)
            ;
}

static void test_nothing_is_lost_when_memory_ends(void **state)
{
    run_all(false, false);
}

static void test_nothing_is_lost_of_a_compressed_log(void **state)
{
    run_all(true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_lost_when_memory_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_lost_of_a_compressed_log, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
