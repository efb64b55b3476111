/* feed.c - a step of a queue, on a pool thread: what was sent is taken back, the log read on, and
 * the next messages built. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "monitor/remote/internal.h"
#include "monitor/remote/remote_message.h"

enum {
    STEP_MS = 100,      /* of reading, then the loop gets a turn */
    PLACE_BYTES = 32,   /* of the file that remembers the place */
    BLOB_MAX = 1 << 24, /* of one histogram or exemplar */
};

/* ---- what the log says ---- */

static int drop(RemoteQueue *q, EntryKind kind, enum DropReason why)
{
    q->feed.dropped[kind][why]++;
    return 0;
}

/* The series of an entry; NULL: it was counted as dropped. */
static SentSeries *series_of(RemoteQueue *q, uint64_t ref, EntryKind kind)
{
    SentSeries *s = series_table_get(&q->series, ref);
    q->feed.in[kind]++;
    if (s && !s->is_dropped)
        return s;
    drop(q, kind, s ? DROP_RELABEL : DROP_UNKNOWN);
    return NULL;
}

static int enqueue(RemoteQueue *q, const Entry *e, Err *err)
{
    Shard *s = &q->shards[e->series->ref % q->n_shards];
    Entry copy = *e;
    if (!q->has_mark && !marks_open(&q->marks, q->record_begin, &q->mark))
        return err_nomem(err);
    q->has_mark = true;
    copy.mark = q->mark;
    if (!vec_push(&s->entries, copy))
        return err_nomem(err);
    if (!s->waiting_ns)
        s->waiting_ns = clock_mono_ns();
    marks_hold(&q->marks, q->mark);
    e->series->pending++;
    e->series->last = s->base + s->entries.len - 1;
    q->feed.pending[e->kind]++;
    q->feed.highest = MAX(q->feed.highest, e->t);
    return 0;
}

static bool too_old(const RemoteQueue *q, int64_t t)
{
    int64_t limit = q->cfg->queue.sample_age_limit;
    return limit > 0 && t < clock_real_ns() / NSEC_PER_MSEC - limit;
}

static int take_series(void *ctx, uint64_t ref, Labels l, Err *err)
{
    RemoteQueue *q = ctx;
    return series_table_add(&q->series, ref, l, q->segment, q->cfg, q->external, err);
}

static int take_metadata(RemoteQueue *q, uint64_t ref, const MetricMetadata *m, Err *err)
{
    SentSeries *s = q->v2 ? series_table_get(&q->series, ref) : NULL;
    return s && !s->is_dropped ? series_set_metadata(s, m, err) : 0;
}

static int take_sample(RemoteQueue *q, uint64_t ref, int64_t t, double v, Err *err)
{
    SentSeries *s = series_of(q, ref, ENTRY_SAMPLE);
    if (!s)
        return 0;
    if (too_old(q, t))
        return drop(q, ENTRY_SAMPLE, DROP_TOO_OLD);
    return enqueue(q, &(Entry){ .series = s, .t = t, .v = v, .kind = ENTRY_SAMPLE }, err);
}

static Blob *make_blob(const Buf *bytes)
{
    Blob *blob = bytes->failed ? NULL : malloc(sizeof *blob + bytes->len);
    if (!blob)
        return NULL;
    blob->next = NULL;
    blob->len = (uint32_t)bytes->len;
    if (bytes->len)
        memcpy(blob->bytes, bytes->ptr, bytes->len);
    return blob;
}

static int enqueue_blob(RemoteQueue *q, SentSeries *s, EntryKind kind, int64_t t, Blob *blob,
                        Err *err)
{
    if (!blob)
        return err_nomem(err);
    int r = enqueue(q, &(Entry){ .series = s, .t = t, .blob = blob, .kind = kind }, err);
    if (r < 0)
        free(blob);
    return r;
}

/* 2.0 wants exemplars in the same TimeSeries as a sample: the newest, which the log holds shortly
 * before. Once that is on its way it is too late. */
static int attach_exemplar(RemoteQueue *q, SentSeries *series, Blob *blob, Err *err)
{
    Shard *s = &q->shards[series->ref % q->n_shards];
    if (!blob)
        return err_nomem(err);
    size_t i = (size_t)(series->last - s->base);
    /* Other numbers of shards begin to count anew: what stands there may be another series'. */
    if (series->last < s->base + s->taken || i >= s->entries.len ||
        s->entries.items[i].series != series) {
        free(blob);
        return drop(q, ENTRY_EXEMPLAR, DROP_UNKNOWN);
    }
    Entry *e = &s->entries.items[i];
    blob->next = e->exemplars;
    e->exemplars = blob;
    q->feed.pending[ENTRY_EXEMPLAR]++;
    return 0;
}

static int take_histogram(RemoteQueue *q, uint64_t ref, int64_t t, const Histogram *h, Err *err)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    if (!q->cfg->send_native_histograms)
        return 0;
    SentSeries *s = series_of(q, ref, ENTRY_HISTOGRAM);
    if (!s)
        return 0;
    if (!q->v2 && histogram_is_custom(h)) /* the message has no place for their bounds */
        return drop(q, ENTRY_HISTOGRAM, DROP_NHCB);
    if (too_old(q, t))
        return drop(q, ENTRY_HISTOGRAM, DROP_TOO_OLD);
    remote_histogram_encode(h, t, &bytes);
    if (bytes.len > BLOB_MAX)
        return drop(q, ENTRY_HISTOGRAM, DROP_UNKNOWN);
    return enqueue_blob(q, s, ENTRY_HISTOGRAM, t, make_blob(&bytes), err);
}

static int take_exemplar(RemoteQueue *q, uint64_t ref, const Exemplar *e, Err *err)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    if (!q->cfg->send_exemplars)
        return 0;
    SentSeries *s = series_of(q, ref, ENTRY_EXEMPLAR);
    if (!s)
        return 0;
    if (too_old(q, e->t))
        return drop(q, ENTRY_EXEMPLAR, DROP_TOO_OLD);
    encode_exemplar(e, &bytes);
    if (bytes.len > BLOB_MAX)
        return drop(q, ENTRY_EXEMPLAR, DROP_UNKNOWN);
    return q->v2 ? attach_exemplar(q, s, make_blob(&bytes), err)
                 : enqueue_blob(q, s, ENTRY_EXEMPLAR, e->t, make_blob(&bytes), err);
}

/* ---- a record, also in several goes ---- */

/* Where memory ends in a record it is read again in the next step, without what was taken of it. */
static bool is_taken(RemoteQueue *q)
{
    return q->calls++ < q->taken;
}

/* `kind` was counted as having come in, unless it is ENTRY_MAX. */
static int settle(RemoteQueue *q, EntryKind kind, int r)
{
    if (r == 0)
        q->taken = q->calls;
    else if (kind != ENTRY_MAX)
        q->feed.in[kind]--;
    return r;
}

static int on_series(void *ctx, uint64_t ref, Labels l, Err *err)
{
    return is_taken(ctx) ? 0 : settle(ctx, ENTRY_MAX, take_series(ctx, ref, l, err));
}

static int on_metadata(void *ctx, uint64_t ref, const MetricMetadata *m, Err *err)
{
    return is_taken(ctx) ? 0 : settle(ctx, ENTRY_MAX, take_metadata(ctx, ref, m, err));
}

static int on_sample(void *ctx, uint64_t ref, int64_t t, double v, Err *err)
{
    return is_taken(ctx) ? 0 : settle(ctx, ENTRY_SAMPLE, take_sample(ctx, ref, t, v, err));
}

static int on_histogram(void *ctx, uint64_t ref, int64_t t, const Histogram *h, Err *err)
{
    return is_taken(ctx) ? 0 : settle(ctx, ENTRY_HISTOGRAM, take_histogram(ctx, ref, t, h, err));
}

static int on_exemplar(void *ctx, uint64_t ref, const Exemplar *e, Err *err)
{
    return is_taken(ctx) ? 0 : settle(ctx, ENTRY_EXEMPLAR, take_exemplar(ctx, ref, e, err));
}

/* ---- series that are gone ---- */

static int on_checkpoint_record(void *ctx, uint32_t segment, StrView rec, Err *err)
{
    RemoteQueue *q = ctx;
    WalHandler only_series = { .series = take_series, .ctx = q };
    if (!rec.len || rec.ptr[0] != WAL_SERIES)
        return 0;
    int r = wal_record_decode(rec, &only_series, &q->scratch, err);
    return r == -ERR_CORRUPT ? 0 : r;
}

/* A checkpoint names the series that are still in the head: what was last seen before it and is not
 * in it is gone. Looked for with each new segment. */
static void sweep_series(RemoteQueue *q)
{
    char path[PATH_MAX];
    uint32_t upto, first, last, now = q->segment;
    WalDamage damage;
    if (wal_last_checkpoint(q->wal_dir, path, sizeof path, &upto, NULL) < 0 || upto <= q->swept ||
        upto >= now || wal_segments(path, &first, &last, NULL) < 0)
        return;
    q->segment = upto + 1; /* when what it names was seen */
    int r = wal_read(path, first, last, on_checkpoint_record, q, &damage, NULL);
    q->segment = now;
    if (r < 0 || damage.found) /* it may have been replaced meanwhile: the next time */
        return;
    series_table_sweep(&q->series, upto);
    q->swept = upto;
}

/* ---- reading ---- */

static bool is_full(const RemoteQueue *q)
{
    for (unsigned i = 0; i < q->n_shards; i++)
        if (q->shards[i].entries.len >= (size_t)q->cfg->queue.capacity)
            return true;
    return false;
}

/* Of what was sent, or is from before the start, only the series matter. */
static bool matters(const WalTailRecord *rec)
{
    uint8_t type = rec->data.len ? (uint8_t)rec->data.ptr[0] : 0;
    return rec->is_fresh || type == WAL_SERIES || type == WAL_METADATA;
}

static int take_record(RemoteQueue *q, Err *err)
{
    const WalTailRecord *rec = &q->record;
    if (rec->end.segment != q->segment) {
        q->segment = rec->end.segment;
        sweep_series(q);
    }
    q->has_mark = false;
    q->calls = 0;
    int r = matters(rec) ? wal_record_decode(rec->data, &q->handler, &q->scratch, err) : 0;
    uint8_t type = rec->data.len ? (uint8_t)rec->data.ptr[0] : 0;
    q->feed.segment = q->segment;
    q->feed.records[type < FEED_RECORDS_MAX ? type : 0] += r != -ERR_NOMEM;
    q->feed.decode_failures += r == -ERR_CORRUPT;
    if (r == -ERR_CORRUPT)
        r = 0;
    q->unfinished = r < 0;
    q->feed.out_of_memory += r == -ERR_NOMEM;
    return r;
}

/* The next record, or the rest of one. 1: there is one. 0: no more for now. */
static int next_record(RemoteQueue *q, Err *err)
{
    if (q->unfinished)
        return 1;
    q->record_begin = wal_tail_place(q->tail);
    q->taken = 0;
    return wal_tail_next(q->tail, &q->record, err);
}

static void read_log(RemoteQueue *q)
{
    int64_t until = clock_mono_ns() + STEP_MS * NSEC_PER_MSEC;
    q->more = false;
    q->feed.is_behind = true;
    for (unsigned n = 0;; n++) {
        if (is_full(q)) {
            q->feed.enqueue_retries++;
            return;
        }
        if (n % 64 == 63 && clock_mono_ns() > until) {
            q->more = true;
            return;
        }
        int r = next_record(q, &q->step_err);
        if (r > 0)
            r = take_record(q, &q->step_err);
        else if (r == 0)
            q->feed.is_behind = false;
        if (r < 0)
            q->feed.read_failures++;
        if (r < 0 || !q->feed.is_behind)
            return;
    }
}

/* ---- messages ---- */

static bool is_due(const Shard *s, int64_t now)
{
    const RemoteQueue *q = s->queue;
    if (!s->entries.len)
        return false;
    return s->entries.len >= (size_t)q->cfg->queue.max_samples_per_send || q->draining ||
           (s->waiting_ns &&
            now - s->waiting_ns >= q->cfg->queue.batch_send_deadline * NSEC_PER_MSEC);
}

static void build_messages(RemoteQueue *q)
{
    int64_t now = clock_mono_ns();
    for (unsigned i = 0; i < q->n_shards; i++) {
        Shard *s = &q->shards[i];
        int state = atomic_load(&s->state);
        if (state == SHARD_STALE || (state == SHARD_FREE && is_due(s, now))) {
            if (shard_build(s, state == SHARD_STALE, &q->step_err) < 0)
                q->feed.out_of_memory++;
        }
    }
}

/* ---- the place ---- */

void queue_mark_done(RemoteQueue *q, const Entry *e)
{
    marks_release(&q->marks, e->mark);
}

static void write_place(RemoteQueue *q)
{
    char text[PLACE_BYTES + 1];
    WalPlace place = q->unfinished ? q->record_begin : wal_tail_place(q->tail);
    marks_oldest(&q->marks, &place);
    if (!wal_place_before(q->written, place) || q->place_fd < 0)
        return;
    snprintf(text, sizeof text, "%010u %020llu\n", place.segment, (unsigned long long)place.offset);
    if (pwrite(q->place_fd, text, PLACE_BYTES, 0) == PLACE_BYTES)
        q->written = place;
}

bool queue_is_empty(const RemoteQueue *q)
{
    if (q->shown.is_behind)
        return false;
    for (unsigned i = 0; i < q->n_shards; i++)
        if (q->shards[i].entries.len || atomic_load(&q->shards[i].state) != SHARD_FREE)
            return false;
    return true;
}

void queue_step(void *queue)
{
    RemoteQueue *q = queue;
    err_clear(&q->step_err);
    q->handler = (WalHandler){ .series = on_series,
                               .sample = on_sample,
                               .histogram = on_histogram,
                               .exemplar = on_exemplar,
                               .metadata = on_metadata,
                               .ctx = q };
    for (unsigned i = 0; i < q->n_shards; i++)
        if (atomic_load(&q->shards[i].state) == SHARD_DONE)
            shard_retire(&q->shards[i]);
    if (q->want_shards != q->n_shards)
        queue_reshard(q);
    read_log(q);
    if (q->want_shards == q->n_shards)
        build_messages(q);
    write_place(q);
    q->feed.n_series = q->series.len;
    q->feed.tail = wal_tail_stats(q->tail);
}
