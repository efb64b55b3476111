/* querier.c - queries over blocks and head as one.
 *
 * A querier is a snapshot: an epoch, the number of the newest commit, references to blocks, taken
 * in this order. The epoch comes first, because whoever cuts a block out of the head waits for all
 * of an older one before samples leave it: so what has left the head by the time the blocks are
 * looked at is in one of them, and what leaves it later stays in the head until this querier ends.
 * A sample may be seen in both, and counts once.
 *
 * A selection asks each source for its series. One source alone is read as it comes; several are
 * put together by labels: a table leads from labels to the series of each source, so that one
 * series' samples are read in the order of time, whoever holds them. */
#include "base/map.h"
#include "monitor/tsdb/db.h"

typedef struct DbQuerier {
    Querier base;
    Tsdb *db;
    int64_t start, end;
    uint32_t commit;
    unsigned epoch;
    Blocks blocks;
} DbQuerier;

enum { NO_PART = UINT32_MAX };

/* A series of one source: block number `source`, or the head behind all blocks. */
typedef struct Part {
    uint32_t source, id;
    uint32_t next; /* the same series in the next source; NO_PART: none */
} Part;

struct SeriesSet {
    DbQuerier *q;
    int64_t start, end;
    VEC(Part) parts;
    VEC(uint32_t) order; /* first parts, as series are handed out */
    size_t at;
    SelectHints hints;
    Arena texts; /* labels of the present series: the head's texts may go meanwhile */
    Label *buf;
    ChunkMetas chunks;
    SampleCols tmp;
};

static SeriesSet *set_free(SeriesSet *s)
{
    if (!s)
        return NULL;
    vec_free(&s->parts);
    vec_free(&s->order);
    arena_free(&s->texts);
    free(s->buf);
    vec_free(&s->chunks);
    sample_cols_free(&s->tmp);
    free(s);
    return NULL;
}

/* ---- labels of a part ---- */

static bool is_head(const SeriesSet *s, const Part *p)
{
    return p->source == s->q->blocks.len;
}

/* Series lie all over the memory: the ones that come next are fetched while this one is read. The
 * head's lock is held. */
static void fetch_ahead(const SeriesSet *s, const Head *h)
{
    enum { NEAR = 1, FAR = 4, LINE = 64 };
    for (size_t i = s->at + NEAR; i <= s->at + FAR && i < s->order.len; i += FAR - NEAR) {
        const Part *p = &s->parts.items[s->order.items[i]];
        const HeadSeries *series = is_head(s, p) ? head_by_id(h, p->id) : NULL;
        if (series && i == s->at + NEAR) {
            __builtin_prefetch(series->open.w.bytes);
        } else if (series) {
            __builtin_prefetch(series);
            __builtin_prefetch((const char *)series + LINE);
            __builtin_prefetch((const char *)series + 2 * LINE);
        }
    }
}

/* All labels, or those that the query looks at. 1: found; 0: the head has dropped the series.
 * Copies into `a` what might go. */
static int part_labels(SeriesSet *s, const Part *p, bool all, Arena *a, Labels *ret, Err *err)
{
    if (!is_head(s, p)) {
        int r = block_index_series(&s->q->blocks.items[p->source]->index, p->id, s->buf, ret,
                                   &s->chunks, err);
        return r < 0 ? r : 1;
    }
    Head *h = &s->q->db->head;
    int found = 0;
    pthread_rwlock_rdlock(&h->lock);
    const HeadSeries *series = head_by_id(h, p->id);
    fetch_ahead(s, h);
    if (series) {
        Labels l = all || !s->hints.few_labels
                       ? head_labels(h, series, s->buf)
                       : head_labels_by(h, series, s->hints.by, s->hints.n_by, s->buf);
        found = labels_copy(l, a, ret) ? 1 : -1;
    }
    pthread_rwlock_unlock(&h->lock);
    return found < 0 ? err_nomem(err) : found;
}

/* ---- selecting ---- */

static int select_source(SeriesSet *s, uint32_t source, const Matcher *ms, unsigned n_ms, Err *err)
{
    _cleanup_ids_ Ids ids = { 0 };
    DbQuerier *q = s->q;
    Head *h = &q->db->head;
    int r;
    if (source < q->blocks.len) {
        r = index_select(&block_index_ops, &q->blocks.items[source]->index, ms, n_ms, &ids, err);
    } else {
        pthread_rwlock_rdlock(&h->lock);
        r = index_select(&head_index, h, ms, n_ms, &ids, err);
        pthread_rwlock_unlock(&h->lock);
    }
    if (r < 0)
        return r;
    if (!vec_reserve(&s->parts, s->parts.len + ids.len))
        return err_nomem(err);
    for (size_t i = 0; i < ids.len; i++)
        s->parts.items[s->parts.len++] = (Part){ source, ids.items[i], NO_PART };
    return 0;
}

/* A table from labels to the last part of a series so far. */
typedef struct Joiner {
    SeriesSet *set;
    uint32_t *slots;  /* index into set->order; NO_PART: free */
    uint64_t *hashes; /* of each series of set->order */
    uint32_t *last;   /* its last part */
    size_t n_slots;
    Arena scratch;
} Joiner;

static int same_labels(Joiner *j, uint32_t part, Labels l, bool *ret, Err *err)
{
    /* The buffer holds `l` itself when it comes from a block: compare with a copy. */
    Labels mine, other;
    if (!labels_copy(l, &j->scratch, &mine))
        return err_nomem(err);
    int r = part_labels(j->set, &j->set->parts.items[part], true, &j->scratch, &other, err);
    *ret = r > 0 && labels_eq(mine, other);
    return r < 0 ? r : 0;
}

static int join_part(Joiner *j, uint32_t part, Err *err)
{
    SeriesSet *s = j->set;
    Labels l;
    arena_reset(&j->scratch);
    int r = part_labels(s, &s->parts.items[part], true, &j->scratch, &l, err);
    if (r <= 0)
        return r;
    uint64_t hash = labels_hash(l);
    size_t i = (size_t)hash & (j->n_slots - 1);
    for (; j->slots[i] != NO_PART; i = (i + 1) & (j->n_slots - 1)) {
        uint32_t at = j->slots[i];
        bool same = false;
        if (j->hashes[at] != hash)
            continue;
        if ((r = same_labels(j, s->order.items[at], l, &same, err)) < 0)
            return r;
        if (same) {
            s->parts.items[j->last[at]].next = part;
            j->last[at] = part;
            return 0;
        }
    }
    uint32_t at = (uint32_t)s->order.len;
    j->slots[i] = at;
    j->hashes[at] = hash;
    j->last[at] = part;
    return vec_push(&s->order, part) ? 0 : err_nomem(err);
}

static int join_parts(SeriesSet *s, Err *err)
{
    Joiner j = { .set = s, .n_slots = 16 };
    size_t n = s->parts.len;
    while (j.n_slots < n * 2)
        j.n_slots *= 2;
    arena_init(&j.scratch, 0);
    j.slots = malloc(j.n_slots * sizeof *j.slots);
    j.hashes = malloc(n * sizeof *j.hashes);
    j.last = malloc(n * sizeof *j.last);
    int r = j.slots && j.hashes && j.last ? 0 : err_nomem(err);
    if (r == 0)
        memset(j.slots, 0xff, j.n_slots * sizeof *j.slots);
    for (size_t i = 0; i < n && r == 0; i++)
        r = join_part(&j, (uint32_t)i, err);
    free(j.slots);
    free(j.hashes);
    free(j.last);
    arena_free(&j.scratch);
    return r;
}

/* ---- the order of labels ---- */

typedef struct Sorted {
    Labels labels;
    uint32_t part;
} Sorted;

static int by_labels(const void *x, const void *y)
{
    return labels_cmp(((const Sorted *)x)->labels, ((const Sorted *)y)->labels);
}

static int sort_series(SeriesSet *s, Err *err)
{
    _cleanup_arena_ Arena a;
    size_t n = 0;
    int r = 0;
    arena_init(&a, 0);
    Sorted *list = malloc((s->order.len + 1) * sizeof *list);
    for (size_t i = 0; list && i < s->order.len && r >= 0; i++) {
        Labels l;
        if ((r = part_labels(s, &s->parts.items[s->order.items[i]], true, &a, &l, err)) <= 0)
            continue;
        list[n].part = s->order.items[i];
        if (!labels_copy(l, &a, &list[n++].labels))
            r = err_nomem(err);
    }
    if (list && r >= 0) {
        if (n)
            qsort(list, n, sizeof *list, by_labels);
        for (size_t i = 0; i < n; i++)
            s->order.items[i] = list[i].part;
        s->order.len = n;
        r = 0;
    }
    free(list);
    return list ? r : err_nomem(err);
}

static int select_series(Querier *querier, const SelectHints *hints, const Matcher *ms,
                         unsigned n_ms, SeriesSet **ret, Err *err)
{
    DbQuerier *q = (DbQuerier *)querier;
    SeriesSet *s = calloc(1, sizeof *s);
    int r = 0;
    size_t sources = 0;
    if (!s)
        return err_nomem(err);
    s->q = q;
    s->hints = *hints;
    s->start = MAX(hints->start, q->start);
    s->end = MIN(hints->end, q->end);
    arena_init(&s->texts, 0);
    sample_cols_init(&s->tmp);
    if (!(s->buf = malloc(LABELS_MAX * sizeof *s->buf)))
        r = err_nomem(err);
    for (size_t i = 0; i <= q->blocks.len && r == 0; i++) {
        size_t before = s->parts.len;
        const BlockMeta *m = i < q->blocks.len ? &q->blocks.items[i]->meta : NULL;
        if (m && (m->min > s->end || m->max <= s->start))
            continue;
        r = select_source(s, (uint32_t)i, ms, n_ms, err);
        sources += s->parts.len > before;
    }
    if (r == 0 && sources > 1) {
        r = join_parts(s, err);
    } else {
        for (size_t i = 0; i < s->parts.len && r == 0; i++)
            r = vec_push(&s->order, (uint32_t)i) ? 0 : err_nomem(err);
    }
    if (r == 0 && hints->sorted)
        r = sort_series(s, err);
    if (r < 0) {
        set_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* ---- reading ---- */

static int read_part(SeriesSet *s, const Part *p, SampleCols *out, Err *err)
{
    DbQuerier *q = s->q;
    if (is_head(s, p)) {
        int r = head_read(&q->db->head, p->id, q->commit, s->start, s->end, out, err);
        return r == -ERR_GONE ? 0 : r;
    }
    const Block *b = q->blocks.items[p->source];
    return block_read(b, p->id, &s->chunks, s->start, s->end, out, err);
}

/* What comes later in time is decoded right behind what is there; what overlaps is merged. */
static int read_into(SeriesSet *s, const Part *p, SampleCols *cols, Err *err)
{
    int64_t first = is_head(s, p) ? INT64_MIN : s->chunks.len ? s->chunks.items[0].min : INT64_MAX;
    if (!cols->len || first > cols->t[cols->len - 1])
        return read_part(s, p, cols, err);
    sample_cols_clear(&s->tmp);
    int r = read_part(s, p, &s->tmp, err);
    if (r == 0 && s->tmp.len && !cols_merge(cols, 0, &s->tmp, s->start, s->end))
        r = err_nomem(err);
    return r;
}

/* A block's labels stand in the buffer that the next part needs; their texts stay where they are.
 */
static bool keep_labels(SeriesSet *s, Labels *l, bool more)
{
    if (!more || l->items != s->buf || !l->len)
        return true;
    Label *copy = arena_array(&s->texts, Label, l->len);
    if (copy)
        memcpy(copy, l->items, l->len * sizeof *copy);
    l->items = copy;
    return copy != NULL;
}

static int next_series(SeriesSet *s, Labels *ret_labels, SampleCols *cols, Err *err)
{
    while (s->at < s->order.len) {
        uint32_t at = s->order.items[s->at++];
        Labels l, unused;
        arena_reset(&s->texts);
        int r = part_labels(s, &s->parts.items[at], false, &s->texts, &l, err);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        bool more = s->parts.items[at].next != NO_PART;
        if (!keep_labels(s, &l, more))
            return err_nomem(err);
        *ret_labels = l;
        if (cols)
            sample_cols_clear(cols);
        r = cols ? read_part(s, &s->parts.items[at], cols, err) : 0;
        for (at = s->parts.items[at].next; cols && more && r == 0 && at != NO_PART;
             at = s->parts.items[at].next) {
            const Part *p = &s->parts.items[at];
            if ((r = part_labels(s, p, false, &s->texts, &unused, err)) > 0)
                r = read_into(s, p, cols, err);
        }
        return r < 0 ? r : 1;
    }
    return 0;
}

/* ---- names and values ---- */

typedef struct Texts {
    Map set;
    Arena *arena;
    StrView *items;
    size_t len, cap;
    StrView only; /* of one label; ptr NULL: names are gathered */
} Texts;

static int add_text(void *ctx, StrView text, Err *err)
{
    Texts *t = ctx;
    if (!text.len || map_has(&t->set, text))
        return 0;
    if (t->len == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        StrView *p = arena_array(t->arena, StrView, cap);
        if (!p)
            return err_nomem(err);
        if (t->len)
            memcpy(p, t->items, t->len * sizeof *p);
        t->items = p;
        t->cap = cap;
    }
    StrView copy = arena_sv(t->arena, text);
    if (!copy.ptr || !map_set(&t->set, text, t, NULL))
        return err_nomem(err);
    t->items[t->len++] = copy;
    return 0;
}

static int text_cmp(const void *x, const void *y)
{
    return sv_cmp(*(const StrView *)x, *(const StrView *)y);
}

static int walk_index(const IndexOps *ops, const void *index, Texts *t, Err *err)
{
    return t->only.ptr ? ops->values(index, t->only, add_text, t, err)
                       : ops->names(index, add_text, t, err);
}

/* Without matchers the indexes know; with them the series that match are asked. */
static int gather_texts(DbQuerier *q, int64_t start, int64_t end, const Matcher *ms, unsigned n_ms,
                        Texts *t, Err *err)
{
    int r = 0;
    if (!n_ms) {
        Head *h = &q->db->head;
        vec_foreach (b, &q->blocks)
            if (r == 0 && (*b)->meta.min <= end && (*b)->meta.max > start)
                r = walk_index(&block_index_ops, &(*b)->index, t, err);
        pthread_rwlock_rdlock(&h->lock);
        if (r == 0 && h->max_time >= start)
            r = walk_index(&head_index, h, t, err);
        pthread_rwlock_unlock(&h->lock);
        return r;
    }
    SeriesSet *s = NULL;
    Labels l;
    const SelectHints hints = { .start = start, .end = end, .labels_only = true };
    r = select_series(&q->base, &hints, ms, n_ms, &s, err);
    while (r == 0 && (r = next_series(s, &l, NULL, err)) > 0) {
        r = 0;
        if (t->only.ptr)
            r = add_text(t, labels_get(l, t->only), err);
        for (unsigned i = 0; !t->only.ptr && i < l.len && r == 0; i++)
            r = add_text(t, l.items[i].name, err);
    }
    set_free(s);
    return r;
}

static int take_texts(DbQuerier *q, StrView only, int64_t start, int64_t end, const Matcher *ms,
                      unsigned n_ms, Arena *a, StrView **ret, size_t *ret_n, Err *err)
{
    Texts t = { .arena = a, .only = only };
    int r = gather_texts(q, MAX(start, q->start), MIN(end, q->end), ms, n_ms, &t, err);
    map_free(&t.set);
    if (r < 0)
        return r;
    if (t.len)
        qsort(t.items, t.len, sizeof *t.items, text_cmp);
    *ret = t.items;
    *ret_n = t.len;
    return 0;
}

static int label_names(Querier *q, int64_t start, int64_t end, const Matcher *ms, unsigned n_ms,
                       Arena *a, StrView **ret, size_t *ret_n, Err *err)
{
    return take_texts((DbQuerier *)q, SV_NULL, start, end, ms, n_ms, a, ret, ret_n, err);
}

static int label_values(Querier *q, StrView name, int64_t start, int64_t end, const Matcher *ms,
                        unsigned n_ms, Arena *a, StrView **ret, size_t *ret_n, Err *err)
{
    return take_texts((DbQuerier *)q, name, start, end, ms, n_ms, a, ret, ret_n, err);
}

static const QuerierOps ops = { .select = select_series,
                                .next = next_series,
                                .set_free = set_free,
                                .label_names = label_names,
                                .label_values = label_values };

int tsdb_querier_new(Tsdb *db, int64_t start, int64_t end, Querier **ret, Err *err)
{
    DbQuerier *q = calloc(1, sizeof *q);
    if (!q)
        return err_nomem(err);
    *q = (DbQuerier){ .base = { &ops }, .db = db, .start = start, .end = end };
    /* First the epoch: the blocks that are seen then hold all that leaves the head meanwhile. */
    q->epoch = db_querier_begin(db);
    q->commit = db_commit(db);
    int r = db_blocks(db, start, end, &q->blocks, err);
    if (r < 0) {
        db_querier_end(db, q->epoch);
        free(q);
        return r;
    }
    *ret = &q->base;
    return 0;
}

Querier *tsdb_querier_free(Querier *querier)
{
    DbQuerier *q = (DbQuerier *)querier;
    if (q) {
        blocks_release(&q->blocks);
        db_querier_end(q->db, q->epoch);
        free(q);
    }
    return NULL;
}
