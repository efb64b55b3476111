/* append.c - appenders: samples are gathered, logged in one write, and only then put into the head.
 *
 *     add:     find or make the series, look whether the sample may come, remember it in the batch
 *     commit:  records -> log (one write)  -> head, under its lock  -> the appender is gone
 *
 * What holds, and why:
 * - The appender holds head.append from its making to its end: it reads the head without a lock,
 *   and several wait for each other. Appends are short; nobody waits for the network between.
 * - The log comes first. What a query sees is in the log, so nothing that somebody acted upon is
 *   lost by SIGKILL; a batch whose write fails is in neither, because the log cuts off what was
 *   half written. The reverse order would show samples that a full disk then takes back.
 * - A series is in the log before any record that says its number. So one that was made for a batch
 *   which was not written stays `unlogged`, and the next batch that uses it logs it. Its number is
 *   not given to another while the process lives.
 * - All of a batch becomes visible at once, by one step of head.commits under head.lock.
 * - Whether a sample may come is decided when it is added, against the head and against what the
 *   same batch holds of its series (`pending`): a refusal costs that sample and not the batch.
 * - After the log has it the head may still lack memory: then the sample is missing until the next
 *   start, which reads the log. The caller is told so. */
#include "monitor/tsdb/db.h"

enum { CHUNKS_AHEAD = 6 };

typedef struct Pending {
    HeadSeries *series;
    int64_t t;
    double v;
    const Histogram *h; /* NULL: a float */
    bool late;
} Pending;

typedef struct PendingExemplar {
    HeadSeries *series;
    Exemplar e;
} PendingExemplar;

struct TsdbAppender {
    Tsdb *db;
    VEC(HeadSeries *) fresh; /* series that the log does not know yet */
    VEC(Pending) samples;
    VEC(size_t) runs; /* where in `samples` records begin anew: a series changes its kind there */
    VEC(PendingExemplar) exemplars;
    VEC(HeadSeries *) described; /* series whose metadata changed */
    Arena arena;                 /* histograms, exemplars */
    size_t n_histograms, n_late;
};

const char *append_result_text(AppendResult r)
{
    static const char *const texts[] = {
        [APPEND_OK] = "ok",
        [APPEND_OUT_OF_ORDER] = "out of order sample",
        [APPEND_DUPLICATE] = "duplicate sample for timestamp",
        [APPEND_TOO_OLD] = "too old sample",
        [APPEND_OUT_OF_BOUNDS] = "out of bounds",
        [APPEND_INVALID] = "invalid sample",
        [APPEND_FAILED] = "append failed",
    };
    return texts[r];
}

int tsdb_appender_new(Tsdb *db, TsdbAppender **ret, Err *err)
{
    TsdbAppender *a = calloc(1, sizeof *a);
    if (!a)
        return err_nomem(err);
    a->db = db;
    arena_init(&a->arena, 0);
    atomic_fetch_add(&db->active_appenders, 1);
    head_begin(&db->head);
    *ret = a;
    return 0;
}

TsdbAppender *tsdb_appender_rollback(TsdbAppender *a)
{
    if (!a)
        return NULL;
    /* Series that were made for the batch stay, empty: the next truncation takes them. Nobody may
     * know their numbers without the log knowing them: they are made known with their next use. */
    Tsdb *db = a->db;
    vec_foreach (s, &a->fresh)
        (*s)->unlogged = true;
    head_end(&db->head);
    atomic_fetch_sub(&db->active_appenders, 1);
    vec_free(&a->fresh);
    vec_free(&a->samples);
    vec_free(&a->runs);
    vec_free(&a->exemplars);
    vec_free(&a->described);
    arena_free(&a->arena);
    free(a);
    return NULL;
}

/* What an append touches of a series: three lines of the processor's cache, seldom in it. */
static void prefetch_series(const HeadSeries *s)
{
    __builtin_prefetch(s, 1);
    __builtin_prefetch((const char *)s + 64, 1);
    __builtin_prefetch((const char *)s + 128, 1);
}

void tsdb_prefetch(const TsdbAppender *a, SeriesRef ref)
{
    const HeadSeries *s = head_by_id(&a->db->head, ref);
    if (s)
        prefetch_series(s);
}

static AppendResult refuse(TsdbAppender *a, AppendResult why)
{
    atomic_fetch_add_explicit(&a->db->rejected[why], 1, memory_order_relaxed);
    return why;
}

static AppendResult find_series(TsdbAppender *a, SeriesRef *ref, Labels labels, HeadSeries **ret,
                                Err *err)
{
    Head *h = &a->db->head;
    bool fresh = false;
    HeadSeries *s = *ref ? head_by_id(h, *ref) : NULL;
    if (!s) {
        if (*ref)
            atomic_fetch_add_explicit(&a->db->series_not_found, 1, memory_order_relaxed);
        for (unsigned i = 0; i < labels.len; i++)
            if (!labels.items[i].name.len || !labels.items[i].value.len ||
                (i && sv_cmp(labels.items[i - 1].name, labels.items[i].name) >= 0))
                return refuse(a, APPEND_INVALID);
        if (!labels.len || labels.len > LABELS_MAX)
            return refuse(a, APPEND_INVALID);
        s = head_series(h, labels, 0, &fresh);
    }
    if (!s) {
        err_nomem(err);
        return APPEND_FAILED;
    }
    if ((fresh || s->unlogged) && !vec_push(&a->fresh, s)) {
        s->unlogged = true;
        err_nomem(err);
        return APPEND_FAILED;
    }
    s->unlogged = false;
    *ref = s->id;
    *ret = s;
    return APPEND_OK;
}

/* The newest sample of a series that this batch holds. */
static const Pending *last_pending(const TsdbAppender *a, const HeadSeries *s)
{
    const Pending *p =
        s->pending && s->pending <= a->samples.len ? &a->samples.items[s->pending - 1] : NULL;
    return p && p->series == s ? p : NULL;
}

static bool same_value(const HeadSeries *s, const Pending *p, double v, const Histogram *h)
{
    const Histogram *last = p ? p->h : s->histogram ? histogram_chunk_last(s->histogram) : NULL;
    if (h || last)
        return h && last && histogram_equal(h, last);
    return double_bits(p ? p->v : s->open.x.v) == double_bits(v);
}

/* What the window of late samples ends at; in an empty head the first sample says it. */
static int64_t head_newest(const TsdbAppender *a, int64_t t)
{
    int64_t newest = a->db->head.max_time;
    if (newest != INT64_MIN)
        return newest;
    return a->samples.len ? a->samples.items[0].t : t;
}

/* The time before which the head takes nothing but late samples: what is in blocks already, and as
 * Prometheus has it (Head.appendableMinValidTime) what lies half a block behind the newest sample,
 * so that what is about to become a block stays as it is. */
static int64_t oldest_valid(const TsdbAppender *a, int64_t t)
{
    int64_t newest = head_newest(a, t), half = a->db->opt.block_ms / 2;
    int64_t behind = newest < INT64_MIN + half ? INT64_MIN : newest - half;
    return MAX(a->db->head.min_valid, behind);
}

static AppendResult check_time(TsdbAppender *a, const HeadSeries *s, int64_t t, double v,
                               const Histogram *h, bool *ret_late)
{
    const Tsdb *db = a->db;
    const Pending *p = last_pending(a, s);
    int64_t newest = p ? MAX(p->t, s->max_t) : s->max_t, window = db->opt.out_of_order_ms;
    *ret_late = false;
    int64_t oldest = oldest_valid(a, t);
    if (t > newest && t >= oldest)
        return APPEND_OK;
    if (t == newest && newest != INT64_MIN)
        return same_value(s, p, v, h) ? APPEND_OK : APPEND_DUPLICATE;
    if (window <= 0)
        return t < oldest ? APPEND_OUT_OF_BOUNDS : APPEND_OUT_OF_ORDER;
    *ret_late = true;
    return t < head_newest(a, t) - window ? APPEND_TOO_OLD : APPEND_OK;
}

static WalRecordType type_of(const Histogram *h)
{
    return h ? wal_histogram_type(h) : WAL_SAMPLES;
}

/* A record holds samples of one kind. Those of a series must stand in the log in their order. */
static bool begin_run(TsdbAppender *a, const HeadSeries *s, const Histogram *h)
{
    const Pending *p = last_pending(a, s);
    size_t begin = a->runs.len ? a->runs.items[a->runs.len - 1] : 0;
    if (!p || type_of(p->h) == type_of(h) || p < &a->samples.items[begin])
        return true;
    return vec_push(&a->runs, a->samples.len);
}

static AppendResult gather(TsdbAppender *a, HeadSeries *s, int64_t t, double v, const Histogram *h,
                           Err *err)
{
    bool late;
    AppendResult r = check_time(a, s, t, v, h, &late);
    if (r != APPEND_OK)
        return refuse(a, r);
    if (!late && t == s->max_t)
        return APPEND_OK; /* the same again */
    if (h && !(h = histogram_copy(h, &a->arena))) {
        err_nomem(err);
        return APPEND_FAILED;
    }
    Pending p = { s, t, v, h, late };
    if ((!late && !begin_run(a, s, h)) || !vec_push(&a->samples, p)) {
        err_nomem(err);
        return APPEND_FAILED;
    }
    if (!late)
        s->pending = (uint32_t)a->samples.len;
    a->n_histograms += h != NULL;
    a->n_late += late;
    return APPEND_OK;
}

AppendResult tsdb_append(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t, double v,
                         Err *err)
{
    HeadSeries *s;
    AppendResult r = find_series(a, ref, labels, &s, err);
    return r == APPEND_OK ? gather(a, s, t, v, NULL, err) : r;
}

AppendResult tsdb_append_histogram(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t,
                                   const Histogram *h, Err *err)
{
    HeadSeries *s;
    if (is_stale_nan(h->sum))
        return tsdb_append(a, ref, labels, t, h->sum, err);
    if (histogram_validate(h, err) < 0)
        return refuse(a, APPEND_INVALID);
    AppendResult r = find_series(a, ref, labels, &s, err);
    return r == APPEND_OK ? gather(a, s, t, h->sum, h, err) : r;
}

AppendResult tsdb_append_zero(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t start,
                              const Histogram *like, Err *err)
{
    HeadSeries *s;
    Histogram zero;
    bool late;
    AppendResult r = find_series(a, ref, labels, &s, err);
    if (r != APPEND_OK)
        return r;
    if (like) {
        zero = (Histogram){ .hint = HINT_COUNTER_RESET,
                            .schema = like->schema,
                            .zero_threshold = like->zero_threshold,
                            .bounds = like->bounds,
                            .n_bounds = like->n_bounds,
                            .integer = like->integer };
        like = &zero;
    }
    if (check_time(a, s, start, 0, like, &late) != APPEND_OK || late)
        return APPEND_OK;
    return gather(a, s, start, 0, like, err);
}

/* OpenMetrics bounds the names and values of an exemplar's labels together. */
enum { EXEMPLAR_RUNES_MAX = 128 };

static size_t runes(StrView s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static size_t label_runes(Labels l)
{
    size_t n = 0;
    for (unsigned i = 0; i < l.len; i++)
        n += runes(l.items[i].name) + runes(l.items[i].value);
    return n;
}

AppendResult tsdb_append_exemplar(TsdbAppender *a, SeriesRef ref, const Exemplar *e, Err *err)
{
    HeadSeries *s = head_by_id(&a->db->head, ref);
    Label buf[LABELS_MAX];
    PendingExemplar p = { s, *e };
    if (!s)
        return refuse(a, APPEND_INVALID);
    if (label_runes(e->labels) > EXEMPLAR_RUNES_MAX)
        return APPEND_INVALID;
    AppendResult r = exemplars_check(a->db->exemplars, head_labels(&a->db->head, s, buf), e);
    if (r != APPEND_OK)
        return r;
    if (!labels_copy(e->labels, &a->arena, &p.e.labels) || !vec_push(&a->exemplars, p)) {
        err_nomem(err);
        return APPEND_FAILED;
    }
    return APPEND_OK;
}

AppendResult tsdb_append_metadata(TsdbAppender *a, SeriesRef ref, const MetricMetadata *m, Err *err)
{
    HeadSeries *s = head_by_id(&a->db->head, ref);
    _cleanup_buf_ Buf b = BUF_INIT;
    if (!s)
        return refuse(a, APPEND_INVALID);
    wal_put_metadata(&b, ref, m);
    if (!b.failed && sv_eq(buf_view(&b), s->metadata))
        return APPEND_OK;
    char *copy = b.failed ? NULL : malloc(b.len);
    if (!copy || !vec_push(&a->described, s)) {
        free(copy);
        err_nomem(err);
        return APPEND_FAILED;
    }
    memcpy(copy, b.ptr, b.len);
    free((char *)(uintptr_t)s->metadata.ptr);
    s->metadata = sv_n(copy, b.len);
    return APPEND_OK;
}

/* ---- committing ---- */

typedef struct Batch {
    VEC(Buf) records;
    Buf spare; /* takes what has no record for want of memory */
    bool failed;
} Batch;

static Buf *new_record(Batch *b, WalRecordType type)
{
    const Buf empty = BUF_INIT;
    bool ok = vec_push(&b->records, empty);
    Buf *r = ok ? &b->records.items[b->records.len - 1] : &b->spare;
    b->failed |= !ok;
    buf_putc(r, (char)type);
    return r;
}

static void encode_series(const TsdbAppender *a, Batch *b)
{
    Label buf[LABELS_MAX];
    if (!a->fresh.len)
        return;
    Buf *r = new_record(b, WAL_SERIES);
    vec_foreach (s, &a->fresh)
        wal_put_series(r, (*s)->id, head_labels(&a->db->head, *s, buf));
}

/* What of the batch goes into one set of records. */
typedef struct Run {
    const Pending *begin, *end;
    bool only_late;
} Run;

static void encode_type(const Run *run, WalRecordType type, Batch *b)
{
    Buf *r = NULL;
    WalBase base = { 0 };
    for (const Pending *p = run->begin; p < run->end; p++) {
        if ((run->only_late && !p->late) || type_of(p->h) != type)
            continue;
        if (!r) {
            r = new_record(b, type);
            base = (WalBase){ p->series->id, p->t };
            wal_put_base(r, &base);
        }
        if (p->h)
            wal_put_histogram(r, &base, p->series->id, p->t, p->h);
        else
            wal_put_sample(r, &base, p->series->id, p->t, p->v);
    }
}

static void encode_run(const TsdbAppender *a, const Run *run, Batch *b)
{
    encode_type(run, WAL_SAMPLES, b);
    if (a->n_histograms)
        for (WalRecordType t = WAL_HISTOGRAMS; t <= WAL_CUSTOM_FLOAT_HISTOGRAMS; t++)
            encode_type(run, t, b);
}

static void encode_samples(const TsdbAppender *a, bool only_late, Batch *b)
{
    Run run = { .only_late = only_late, .end = a->samples.items };
    for (size_t i = 0; a->samples.len && i <= a->runs.len; i++) {
        run.begin = run.end;
        run.end = a->samples.items + (i < a->runs.len ? a->runs.items[i] : a->samples.len);
        encode_run(a, &run, b);
    }
}

static void encode_rest(const TsdbAppender *a, Batch *b)
{
    if (a->described.len) {
        Buf *r = new_record(b, WAL_METADATA);
        vec_foreach (s, &a->described)
            buf_sv(r, (*s)->metadata);
    }
    if (!a->exemplars.len)
        return;
    Buf *r = new_record(b, WAL_EXEMPLARS);
    const PendingExemplar *first = &a->exemplars.items[0];
    WalBase base = { first->series->id, first->e.t };
    wal_put_base(r, &base);
    vec_foreach (p, &a->exemplars)
        wal_put_exemplar(r, &base, p->series->id, &p->e);
}

static int write_batch(Batch *b, Wal *wal, Err *err)
{
    VEC(StrView) views = { 0 };
    bool ok = !b->failed;
    vec_foreach (r, &b->records)
        ok = ok && !r->failed && vec_push(&views, buf_view(r));
    int r = ok ? 0 : err_nomem(err);
    if (r == 0 && views.len)
        r = wal_log(wal, views.items, views.len, err);
    vec_free(&views);
    vec_foreach (record, &b->records)
        buf_free(record);
    vec_free(&b->records);
    buf_free(&b->spare);
    return r;
}

/* Late samples have a log of their own, which the head gets them from after a restart; the log of
 * all is what remote write follows. It comes last, so that a batch that fails leaves nothing in it;
 * but series go first: their numbers must not mean others after a crash in between. */
static int log_batch(TsdbAppender *a, Err *err)
{
    Batch b = { 0 };
    int r;
    encode_series(a, &b);
    if (a->n_late) {
        if ((r = write_batch(&b, a->db->wal, err)) < 0)
            return r;
        encode_samples(a, true, &b);
        if ((r = write_batch(&b, a->db->late_log, err)) < 0)
            return r;
    }
    encode_samples(a, false, &b);
    encode_rest(a, &b);
    return write_batch(&b, a->db->wal, err);
}

static void prefetch_chunk(const TsdbAppender *a, size_t i)
{
    const HeadSeries *s = i < a->samples.len ? a->samples.items[i].series : NULL;
    if (!s || !s->open.w.bytes)
        return;
    __builtin_prefetch(s->open.w.bytes, 1);
    __builtin_prefetch(s->open.w.bytes + s->open.w.len, 1);
}

/* What the log holds goes into the head. Memory may end here: what does not fit is missed until the
 * next start, which reads the log. */
static int apply_batch(TsdbAppender *a, Err *err)
{
    Head *h = &a->db->head;
    int r = 0;
    pthread_rwlock_wrlock(&h->lock);
    h->commits++;
    uint64_t late[2] = { 0 };
    vec_foreach (p, &a->samples) {
        late[p->h != NULL] += p->late;
        prefetch_chunk(a, (size_t)(p - a->samples.items) + CHUNKS_AHEAD);
        int x = p->late ? head_put_late(h, p->series, p->t, p->v, p->h)
                : p->h  ? head_put_histogram(h, p->series, p->t, p->h)
                        : head_put_float(h, p->series, p->t, p->v);
        if (x < 0)
            r = err_nomem(err);
    }
    pthread_rwlock_unlock(&h->lock);
    vec_foreach (e, &a->exemplars) {
        Label buf[LABELS_MAX];
        exemplars_add(a->db->exemplars, head_labels(h, e->series, buf), &e->e);
    }
    atomic_fetch_add_explicit(&a->db->appended[0], a->samples.len - a->n_histograms,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&a->db->appended[1], a->n_histograms, memory_order_relaxed);
    for (unsigned i = 0; i < 2; i++)
        atomic_fetch_add_explicit(&a->db->late[i], late[i], memory_order_relaxed);
    return r;
}

int tsdb_appender_commit(TsdbAppender *a, Err *err)
{
    int r = log_batch(a, err);
    if (r == 0) {
        vec_clear(&a->fresh);
        r = apply_batch(a, err);
    } else {
        /* Metadata that was not logged is to be logged next time. */
        vec_foreach (s, &a->described) {
            free((char *)(uintptr_t)(*s)->metadata.ptr);
            (*s)->metadata = SV_NULL;
        }
    }
    tsdb_appender_rollback(a);
    return r;
}
