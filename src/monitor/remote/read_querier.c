/* read_querier.c - a querier over the local one and remote storages: their series are merged by
 * labels, their samples by time. Names and values of labels come from the local one alone, with
 * Prometheus' warning. */
#include <snappy-c.h>

#include "base/clock.h"
#include "monitor/model/pb.h"
#include "monitor/remote/read_internal.h"
#include "monitor/tsdb/cols.h"

typedef struct RemoteQuerier {
    Querier base;
    RemoteQuery q;
} RemoteQuerier;

/* What one storage says to one selection. */
typedef struct Source {
    const ReadStorage *storage;
    ReadRequest *request;
    Label added[64]; /* matchers of external labels that the query does not name */
    unsigned n_added;
    ReadAnswer answer;
    size_t at;
} Source;

typedef struct MergeSet {
    const RemoteQuerier *querier;
    SelectHints hints;
    SeriesSet *local;
    Source *sources;
    unsigned n_sources;
    bool started, local_left; /* local_left: local_labels and local_cols are the next series */
    Labels local_labels;
    SampleCols local_cols, other;
    Arena labels; /* of the series that was handed out */
} MergeSet;

/* The same text once. */
static void add_warning(RemoteWarnings *w, StrView text)
{
    for (unsigned i = 0; i < w->len; i++)
        if (sv_eq(w->items[i], text))
            return;
    if (text.ptr && w->len < REMOTE_WARNINGS_MAX)
        w->items[w->len++] = text;
}

static int warn(const RemoteQuerier *q, Err *err)
{
    RemoteWarnings *w = q->q.warnings;
    if (err->code == ERR_CLOSED || err->code == ERR_NOMEM)
        return -(int)err->code;
    add_warning(w, arena_printf(w->arena, "remote_read: %s", err->msg));
    err_clear(err);
    return 0;
}

/* ---- whom to ask ---- */

static bool has_equal(const Matcher *ms, unsigned n, Label l)
{
    for (unsigned i = 0; i < n; i++)
        if (ms[i].op == MATCH_EQ && sv_eq(ms[i].name, l.name) && sv_eq(ms[i].value, l.value))
            return true;
    return false;
}

static bool names(const Matcher *ms, unsigned n, StrView name)
{
    for (unsigned i = 0; i < n; i++)
        if (sv_eq(ms[i].name, name))
            return true;
    return false;
}

/* Whether the storage is asked, and for which time. */
static bool is_asked(const RemoteQuerier *q, const ConfigRemoteRead *c, const Matcher *ms,
                     unsigned n_ms, const SelectHints *h, int64_t *ret_end)
{
    for (unsigned i = 0; i < c->required_matchers.len; i++)
        if (!has_equal(ms, n_ms, c->required_matchers.items[i]))
            return false;
    *ret_end = h->end;
    if (c->read_recent)
        return true;
    *ret_end = MIN(h->end, q->q.local_start);
    return h->start <= q->q.local_start;
}

/* ---- requests ---- */

static void put_matcher(Buf *out, unsigned type, StrView name, StrView value)
{
    size_t at = out->len;
    pb_put_int(out, 1, type);
    pb_put_bytes(out, 2, name);
    pb_put_bytes(out, 3, value);
    pb_close(out, 3, at);
}

static void put_query(Source *s, const SelectHints *h, int64_t end, const Matcher *ms,
                      unsigned n_ms, Buf *out)
{
    static const unsigned types[MATCH_MAX] = {
        [MATCH_EQ] = 0, [MATCH_NE] = 1, [MATCH_RE] = 2, [MATCH_NRE] = 3
    };
    size_t query = out->len;
    pb_put_int(out, 1, (uint64_t)h->start);
    pb_put_int(out, 2, (uint64_t)end);
    for (unsigned i = 0; i < n_ms; i++)
        put_matcher(out, types[ms[i].op], ms[i].name, ms[i].value);
    for (unsigned i = 0; i < s->n_added; i++)
        put_matcher(out, 0, s->added[i].name, s->added[i].value);
    size_t hints = out->len;
    pb_put_int(out, 1, (uint64_t)h->step);
    pb_put_bytes(out, 2, h->func);
    pb_put_int(out, 3, (uint64_t)h->start);
    pb_put_int(out, 4, (uint64_t)end);
    pb_put_int(out, 7, (uint64_t)h->range);
    pb_close(out, 4, hints);
    pb_close(out, 1, query);
    pb_put_bytes(out, 2, SV("\1\0")); /* accepted: streamed chunks, else samples; packed */
}

static int ask(Source *s, const RemoteQuerier *q, const SelectHints *h, int64_t end,
               const Matcher *ms, unsigned n_ms, Err *err)
{
    _cleanup_buf_ Buf plain = BUF_INIT, packed = BUF_INIT;
    const ConfigRemoteRead *c = s->storage->cfg;
    Labels external = c->filter_external_labels ? q->q.reads->external : (Labels){ 0 };
    for (unsigned i = 0; i < external.len && s->n_added < ARRAY_SIZE(s->added); i++)
        if (!names(ms, n_ms, external.items[i].name))
            s->added[s->n_added++] = external.items[i];
    put_query(s, h, end, ms, n_ms, &plain);
    size_t n = snappy_max_compressed_length(plain.len);
    if (plain.failed || !buf_reserve(&packed, n + 1) ||
        snappy_compress(plain.ptr, plain.len, packed.ptr, &n) != SNAPPY_OK)
        return err_nomem(err);
    packed.len = n;
    return read_request_start((ReadStorage *)(uintptr_t)s->storage, &packed, &s->request, err);
}

static int await(Source *s, const RemoteQuerier *q, Err *err)
{
    StrView bytes;
    bool chunks;
    Labels added = { s->added, s->n_added };
    int r = read_request_wait(s->request, q->q.cancel, &bytes, &chunks, err);
    if (r == 0)
        r = read_answer_init(&s->answer, bytes, chunks, s->storage->cfg->chunked_read_limit, added,
                             err);
    if (r < 0) { /* of a broken answer nothing is believed */
        read_answer_free(&s->answer);
        s->answer = (ReadAnswer){ 0 };
        return warn(q, err);
    }
    return 0;
}

/* ---- the set ---- */

static SeriesSet *set_free(SeriesSet *set)
{
    MergeSet *m = (MergeSet *)set;
    if (!m)
        return NULL;
    if (m->local)
        m->querier->q.local->ops->set_free(m->local);
    for (unsigned i = 0; i < m->n_sources; i++) {
        read_answer_free(&m->sources[i].answer);
        read_request_free(m->sources[i].request);
    }
    free(m->sources);
    sample_cols_free(&m->local_cols);
    sample_cols_free(&m->other);
    arena_free(&m->labels);
    free(m);
    return NULL;
}

static int ask_all(MergeSet *m, const RemoteQuerier *q, const SelectHints *h, const Matcher *ms,
                   unsigned n_ms, Err *err)
{
    RemoteReads *reads = q->q.reads;
    int r = 0;
    m->sources = calloc(reads->len, sizeof *m->sources);
    if (!m->sources)
        return err_nomem(err);
    for (unsigned i = 0; r == 0 && i < reads->len; i++) {
        int64_t end;
        if (!is_asked(q, reads->storages[i].cfg, ms, n_ms, h, &end))
            continue;
        Source *s = &m->sources[m->n_sources++];
        s->storage = &reads->storages[i];
        r = ask(s, q, h, end, ms, n_ms, err);
    }
    for (unsigned i = 0; r == 0 && i < m->n_sources; i++)
        r = await(&m->sources[i], q, err);
    return r;
}

static int on_select(Querier *base, const SelectHints *h, const Matcher *ms, unsigned n_ms,
                     SeriesSet **ret, Err *err)
{
    const RemoteQuerier *q = (const RemoteQuerier *)base;
    MergeSet *m = calloc(1, sizeof *m);
    if (!m)
        return err_nomem(err);
    m->querier = q;
    m->hints = *h;
    arena_init(&m->labels, 0);
    sample_cols_init(&m->local_cols);
    sample_cols_init(&m->other);
    int r = ask_all(m, q, h, ms, n_ms, err);
    if (r == 0) {
        SelectHints local = *h;
        local.sorted |= m->n_sources > 0;
        local.few_labels &= m->n_sources == 0; /* they are compared */
        r = q->q.local->ops->select(q->q.local, &local, ms, n_ms, &m->local, err);
    }
    if (r < 0) {
        set_free((SeriesSet *)m);
        return r;
    }
    *ret = (SeriesSet *)m;
    return 0;
}

/* Looks at the local one's next series. */
static int advance_local(MergeSet *m, Err *err)
{
    SampleCols *cols = m->hints.labels_only ? NULL : &m->local_cols;
    if (cols)
        sample_cols_clear(cols);
    int r = m->querier->q.local->ops->next(m->local, &m->local_labels, cols, err);
    m->local_left = r > 0;
    return MIN(r, 0);
}

static const ReadPiece *piece_of(const Source *s)
{
    return s->at < s->answer.pieces.len ? &s->answer.pieces.items[s->at] : NULL;
}

/* The least of what stands next anywhere; false: nothing is left. */
static bool least(const MergeSet *m, Labels *ret)
{
    bool any = m->local_left;
    if (any)
        *ret = m->local_labels;
    for (unsigned i = 0; i < m->n_sources; i++) {
        const ReadPiece *p = piece_of(&m->sources[i]);
        if (p && (!any || labels_cmp(p->labels, *ret) < 0)) {
            *ret = p->labels;
            any = true;
        }
    }
    return any;
}

/* All pieces of the series `l` from one storage. A piece that is broken is a warning. */
static int take_source(MergeSet *m, Source *s, Labels l, SampleCols *cols, Err *err)
{
    const ReadPiece *p;
    int r = 0;
    bool any = false;
    sample_cols_clear(&m->other);
    for (; (p = piece_of(s)) && labels_eq(p->labels, l); s->at++) {
        any = true;
        if (cols && r == 0)
            r = read_piece_decode(&s->answer, p, m->hints.start, m->hints.end, &m->other, err);
    }
    if (r < 0)
        return warn(m->querier, err);
    if (!any || !cols || !m->other.len)
        return 0;
    if (cols->len == 0) {
        SampleCols t = *cols;
        *cols = m->other;
        m->other = t;
        return 0;
    }
    return cols_merge(cols, 0, &m->other, INT64_MIN, INT64_MAX) ? 0 : err_nomem(err);
}

static int on_next(SeriesSet *set, Labels *ret_labels, SampleCols *cols, Err *err)
{
    MergeSet *m = (MergeSet *)set;
    Labels l = { 0 };
    int r = 0;
    if (!m->n_sources)
        return m->querier->q.local->ops->next(m->local, ret_labels, cols, err);
    if (!m->started && (r = advance_local(m, err)) < 0)
        return r;
    m->started = true;
    if (!least(m, &l))
        return 0;
    arena_reset(&m->labels);
    if (!labels_copy(l, &m->labels, ret_labels))
        return err_nomem(err);
    if (cols)
        sample_cols_clear(cols);
    if (m->local_left && labels_eq(m->local_labels, *ret_labels)) {
        if (cols) {
            SampleCols t = *cols;
            *cols = m->local_cols;
            m->local_cols = t;
        }
        r = advance_local(m, err);
    }
    for (unsigned i = 0; r == 0 && i < m->n_sources; i++)
        r = take_source(m, &m->sources[i], *ret_labels, cols, err);
    return r < 0 ? r : 1;
}

/* The protocol cannot ask for names and values; Prometheus' own words for it. */
#define LABELS_NOT_ASKED SV("not implemented")

static int on_label_names(Querier *base, int64_t start, int64_t end, const Matcher *ms,
                          unsigned n_ms, Arena *a, StrView **ret, size_t *ret_n, Err *err)
{
    const RemoteQuery *q = &((RemoteQuerier *)base)->q;
    Querier *l = q->local;
    add_warning(q->warnings, LABELS_NOT_ASKED);
    return l->ops->label_names(l, start, end, ms, n_ms, a, ret, ret_n, err);
}

static int on_label_values(Querier *base, StrView name, int64_t start, int64_t end,
                           const Matcher *ms, unsigned n_ms, Arena *a, StrView **ret, size_t *ret_n,
                           Err *err)
{
    const RemoteQuery *q = &((RemoteQuerier *)base)->q;
    Querier *l = q->local;
    add_warning(q->warnings, LABELS_NOT_ASKED);
    return l->ops->label_values(l, name, start, end, ms, n_ms, a, ret, ret_n, err);
}

int64_t remote_local_start(Tsdb *db, int64_t block_ms, Arena *a)
{
    TsdbStats s = { 0 };
    int64_t margin = 2 * (block_ms ? block_ms : INT64_C(7200000));
    if (tsdb_stats(db, 0, a, &s, NULL) < 0 || !s.blocks)
        return clock_real_ns() / NSEC_PER_MSEC + margin;
    return s.lowest_time + margin;
}

int remote_querier_new(const RemoteQuery *q, Querier **ret, Err *err)
{
    static const QuerierOps ops = { .select = on_select,
                                    .next = on_next,
                                    .set_free = set_free,
                                    .label_names = on_label_names,
                                    .label_values = on_label_values };
    RemoteQuerier *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    r->base.ops = &ops;
    r->q = *q;
    *ret = &r->base;
    return 0;
}

Querier *remote_querier_free(Querier *q)
{
    free(q);
    return NULL;
}
