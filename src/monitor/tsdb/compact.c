/* compact.c - blocks out of the head, and one block out of several. Every sample is decoded and
 * coded anew: so chunks are cut well, deletions and late samples are worked in on the way. */
#include "base/clock.h"
#include "monitor/tsdb/db.h"

static int text_cmp(const void *x, const void *y)
{
    return sv_cmp(*(const StrView *)x, *(const StrView *)y);
}

/* Sorts texts and drops doubles. */
static size_t sort_texts(StrView *texts, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(texts, n, sizeof *texts, text_cmp);
    for (size_t i = 0; i < n; i++)
        if (!kept || !sv_eq(texts[kept - 1], texts[i]))
            texts[kept++] = texts[i];
    return kept;
}

/* ---- the head ---- */

typedef struct HeadCut {
    Tsdb *db;
    HeadSeries **series; /* by labels */
    size_t n_series;
    StrView *symbols; /* copies in `arena` */
    size_t n_symbols;
    Arena arena;
} HeadCut;

static int series_cmp(const void *x, const void *y, void *symbols)
{
    const HeadSeries *p = *(HeadSeries *const *)x, *q = *(HeadSeries *const *)y;
    for (unsigned i = 0; i < 2u * MIN(p->n_labels, q->n_labels); i++) {
        if (p->labels[i] == q->labels[i])
            continue;
        int c = sv_cmp(symbols_text(symbols, p->labels[i]), symbols_text(symbols, q->labels[i]));
        if (c)
            return c;
    }
    return (int)p->n_labels - (int)q->n_labels;
}

/* Series are dropped by the holder of `maintain` only, which we are: their pointers stay good. */
static bool gather_head(HeadCut *c)
{
    Head *h = &c->db->head;
    bool ok = true;
    pthread_rwlock_rdlock(&h->lock);
    c->series = malloc((h->n_series + 1) * sizeof *c->series);
    c->symbols = malloc((h->symbols.live + 1) * sizeof *c->symbols);
    for (uint32_t p = 0; c->series && p < h->n_pages; p++)
        for (uint32_t i = 0; h->pages[p] && i < HEAD_PAGE; i++)
            if (h->pages[p][i])
                c->series[c->n_series++] = h->pages[p][i];
    for (uint32_t i = 0; c->symbols && ok && i < h->symbols.len; i++)
        if (h->symbols.items[i].text) {
            c->symbols[c->n_symbols] = arena_sv(&c->arena, symbols_text(&h->symbols, i));
            ok = c->symbols[c->n_symbols++].ptr != NULL;
        }
    ok = ok && c->series && c->symbols;
    if (ok)
        qsort_r(c->series, c->n_series, sizeof *c->series, series_cmp, &h->symbols);
    pthread_rwlock_unlock(&h->lock);
    if (ok)
        c->n_symbols = sort_texts(c->symbols, c->n_symbols);
    return ok;
}

static int cut_series(HeadCut *c, BlockWriter *w, int64_t min, int64_t max, Err *err)
{
    Label buf[LABELS_MAX];
    SampleCols cols;
    int r = 0;
    sample_cols_init(&cols);
    for (size_t i = 0; i < c->n_series && r == 0; i++) {
        HeadSeries *s = c->series[i];
        sample_cols_clear(&cols);
        r = head_read(&c->db->head, s->id, db_commit(c->db), min, max - 1, &cols, err);
        pthread_rwlock_rdlock(&c->db->head.lock);
        Labels l = head_labels(&c->db->head, s, buf);
        pthread_rwlock_unlock(&c->db->head.lock);
        if (r == 0)
            r = block_writer_add(w, l, &cols, err);
    }
    sample_cols_free(&cols);
    return r;
}

static void note_chunks(Tsdb *db, const BlockChunks *c)
{
    pthread_mutex_lock(&db->log_stats.lock);
    spread_merge(&db->times.chunk_ms, &c->ms);
    spread_merge(&db->times.chunk_samples, &c->samples);
    spread_merge(&db->times.chunk_bytes, &c->bytes);
    pthread_mutex_unlock(&db->log_stats.lock);
}

/* A block has been written, or not. */
static void note_block(Tsdb *db, int64_t started_ns)
{
    atomic_store(&db->populating, false);
    atomic_fetch_add(&db->compactions, 1);
    db_time(db, &db->times.compactions, started_ns);
}

int db_write_head(Tsdb *db, const char *parent, int64_t min, int64_t max, bool *ret_made, Err *err)
{
    int64_t started = clock_mono_ns();
    BlockChunks chunks = block_chunks_empty();
    HeadCut c = { .db = db };
    BlockMeta meta = { .min = min, .max = max, .level = 1 };
    BlockWriter *w = NULL;
    int r = 0;
    *ret_made = false;
    arena_init(&c.arena, 0);
    ulid_new(clock_real_ns() / NSEC_PER_MSEC, meta.ulid);
    BlockDesc self = { .min = min, .max = max };
    memcpy(self.ulid, meta.ulid, sizeof self.ulid);
    if (!gather_head(&c) || !vec_push(&meta.sources, self))
        r = err_nomem(err);
    if (r == 0 && c.n_series)
        r = block_writer_new(parent, meta.ulid, c.symbols, c.n_symbols, &w, err);
    if (r == 0 && w) {
        atomic_store(&db->populating, true);
        block_writer_watch(w, &chunks);
    }
    if (r == 0 && w)
        r = cut_series(&c, w, min, max, err);
    if (r == 0 && w && block_writer_series(w)) {
        r = block_writer_finish(w, &meta, err);
        w = NULL;
        *ret_made = r == 0;
        note_chunks(db, &chunks);
    }
    block_writer_abort(w);
    note_block(db, started);
    block_meta_free(&meta);
    free(c.series);
    free(c.symbols);
    arena_free(&c.arena);
    return r;
}

/* ---- several blocks ---- */

/* A block that is read series by series. */
typedef struct Cursor {
    const Block *block;
    Ids ids;
    size_t at;
    Label buf[LABELS_MAX];
    Labels labels;
    ChunkMetas chunks;
} Cursor;

static int cursor_load(Cursor *c, Err *err)
{
    return c->at < c->ids.len ? block_index_series(&c->block->index, c->ids.items[c->at], c->buf,
                                                   &c->labels, &c->chunks, err)
                              : 0;
}

static bool cursor_ended(const Cursor *c)
{
    return c->at >= c->ids.len;
}

/* The smallest labels of all cursors; false: all have ended. */
static bool smallest(Cursor *cs, size_t n, Labels *ret)
{
    bool found = false;
    for (size_t i = 0; i < n; i++)
        if (!cursor_ended(&cs[i]) && (!found || labels_cmp(cs[i].labels, *ret) < 0)) {
            *ret = cs[i].labels;
            found = true;
        }
    return found;
}

/* Samples of one series from all blocks that have it, in the blocks' order. */
static int gather_series(Cursor *cs, size_t n, Labels l, SampleCols *out, SampleCols *tmp, Err *err)
{
    sample_cols_clear(out);
    for (size_t i = 0; i < n; i++) {
        Cursor *c = &cs[i];
        if (cursor_ended(c) || !labels_eq(c->labels, l))
            continue;
        bool overlaps = out->len && c->chunks.len && c->chunks.items[0].min <= out->t[out->len - 1];
        sample_cols_clear(tmp);
        int r = block_read(c->block, c->ids.items[c->at], &c->chunks, INT64_MIN, INT64_MAX,
                           overlaps ? tmp : out, err);
        if (r == 0 && overlaps && !cols_merge(out, 0, tmp, INT64_MIN, INT64_MAX))
            r = err_nomem(err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int merge_series(Cursor *cs, size_t n, BlockWriter *w, Err *err)
{
    SampleCols out, tmp;
    Labels l;
    int r = 0;
    sample_cols_init(&out);
    sample_cols_init(&tmp);
    while (r == 0 && smallest(cs, n, &l)) {
        /* The labels are those of a cursor that moves on below: written before. */
        if ((r = gather_series(cs, n, l, &out, &tmp, err)) == 0)
            r = block_writer_add(w, l, &out, err);
        bool same[64];
        for (size_t i = 0; i < n; i++)
            same[i] = !cursor_ended(&cs[i]) && labels_eq(cs[i].labels, l);
        for (size_t i = 0; i < n && r == 0; i++)
            if (same[i]) {
                cs[i].at++;
                r = cursor_load(&cs[i], err);
            }
    }
    sample_cols_free(&out);
    sample_cols_free(&tmp);
    return r;
}

static bool describe_merge(BlockMeta *meta, const Blocks *from)
{
    meta->min = INT64_MAX;
    meta->max = INT64_MIN;
    meta->out_of_order = from->len > 0;
    vec_foreach (b, from) {
        const BlockMeta *m = &(*b)->meta;
        BlockDesc parent = { .min = m->min, .max = m->max };
        memcpy(parent.ulid, m->ulid, sizeof parent.ulid);
        meta->min = MIN(meta->min, m->min);
        meta->max = MAX(meta->max, m->max);
        meta->level = MAX(meta->level, m->level + 1);
        meta->out_of_order &= m->out_of_order;
        if (!vec_push(&meta->parents, parent))
            return false;
        vec_foreach (s, &m->sources) {
            bool known = false;
            vec_foreach (k, &meta->sources)
                known |= strcmp(k->ulid, s->ulid) == 0;
            if (!known && !vec_push(&meta->sources, *s))
                return false;
        }
    }
    return true;
}

static StrView *merge_symbols(const Blocks *from, size_t *ret_n)
{
    size_t n = 0, at = 0;
    vec_foreach (b, from)
        n += (*b)->index.n_symbols;
    StrView *texts = malloc((n + 1) * sizeof *texts);
    vec_foreach (b, from)
        for (uint32_t i = 0; texts && i < (*b)->index.n_symbols; i++)
            texts[at++] = block_index_symbol(&(*b)->index, i);
    *ret_n = texts ? sort_texts(texts, at) : 0;
    return texts;
}

enum { MERGE_MAX = 64 };

int db_merge_blocks(Tsdb *db, const Blocks *from, Err *err)
{
    BlockMeta meta = { 0 };
    BlockWriter *w = NULL;
    size_t n_symbols;
    int64_t started = clock_mono_ns();
    ASSERT(from->len <= MERGE_MAX);
    Cursor *cs = calloc(from->len, sizeof *cs);
    StrView *symbols = merge_symbols(from, &n_symbols);
    int r = cs && symbols && describe_merge(&meta, from) ? 0 : err_nomem(err);
    ulid_new(clock_real_ns() / NSEC_PER_MSEC, meta.ulid);
    for (size_t i = 0; i < from->len && r == 0; i++) {
        cs[i].block = from->items[i];
        if ((r = block_index_ops.all(&cs[i].block->index, &cs[i].ids, err)) == 0)
            r = cursor_load(&cs[i], err);
    }
    if (r == 0)
        r = block_writer_new(db->dir, meta.ulid, symbols, n_symbols, &w, err);
    atomic_store(&db->populating, r == 0);
    if (r == 0)
        r = merge_series(cs, from->len, w, err);
    /* All samples may be deleted by now: then no block is made. */
    if (r == 0 && block_writer_series(w)) {
        r = block_writer_finish(w, &meta, err);
        w = NULL;
    }
    block_writer_abort(w);
    note_block(db, started);
    for (size_t i = 0; cs && i < from->len; i++) {
        ids_free(&cs[i].ids);
        vec_free(&cs[i].chunks);
    }
    free(cs);
    free(symbols);
    block_meta_free(&meta);
    return r;
}
