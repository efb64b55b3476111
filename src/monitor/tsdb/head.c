/* head.c - the head's series: by number, by labels, by label pair; chunks; dropping what is old.
 *
 * What holds, and why:
 * - A series is in all three tables or in none: `pages` by number, `table` by labels, the inverted
 *   index by each label pair. Room in the first two is made before; the index is the one step that
 *   can fail then, and adds nothing when it does.
 * - Numbers only go up, and within a process none is used again: a query that holds the number of a
 *   series that was dropped finds nothing (ERR_GONE), and never another series.
 * - A series' samples in order lie in `chunks`, then in the open chunk, each newer than all before
 *   it; late ones lie apart (`late`) and are merged by whoever reads. A chunk that was closed never
 *   changes, so a reader needs the lock only to find it and while it decodes.
 * - What a commit adds is told from what was there by `last_commit` and `last_n`: a query from
 *   before it leaves those samples out. This is kept for the newest commit of each series alone,
 *   and costs six bytes.
 * - `dropped` moves when samples have gone into a block: from then on the block has them, though a
 *   chunk that reaches beyond still holds some. Who truncates has waited for all queries that began
 *   before the block was seen (db_wait_queriers()), so each sees them in one of the two.
 * - The lock prefers writers: a flood of queries does not keep a scrape from its commit, and a
 *   commit is short. */
#include <errno.h>

#include "monitor/tsdb/head.h"

enum { TABLE_MIN = 256, IDS_END = UINT32_MAX - 1 };

int head_init(Head *h, Err *err)
{
    pthread_rwlockattr_t attr;
    *h = (Head){ .next_id = 1,
                 .min_time = INT64_MAX,
                 .max_time = INT64_MIN,
                 .late_min = INT64_MAX,
                 .min_valid = INT64_MIN,
                 .dropped = INT64_MIN };
    symbols_init(&h->symbols);
    pthread_mutex_init(&h->turn, NULL);
    pthread_mutex_init(&h->append, NULL);
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&h->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    h->table = calloc(TABLE_MIN, sizeof *h->table);
    h->n_table = h->table ? TABLE_MIN : 0;
    return h->table ? 0 : err_nomem(err);
}

/* A mutex goes to whoever runs when it is free: one that appends without a pause would shut out all
 * others. The one that waits for it holds the turn, and so stops newcomers. */
void head_begin(Head *h)
{
    pthread_mutex_lock(&h->turn);
    pthread_mutex_lock(&h->append);
    pthread_mutex_unlock(&h->turn);
}

void head_end(Head *h)
{
    pthread_mutex_unlock(&h->append);
}

static void series_free(HeadSeries *s)
{
    for (uint32_t i = 0; i < s->n_chunks; i++)
        free(s->chunks[i]);
    free(s->chunks);
    free(s->open.w.bytes);
    histogram_chunk_free(s->histogram);
    if (s->deleted)
        free(s->deleted->items);
    free(s->deleted);
    if (s->late)
        sample_cols_free(s->late);
    free(s->late);
    free((char *)(uintptr_t)s->metadata.ptr);
    free(s);
}

void head_free(Head *h)
{
    for (uint32_t p = 0; p < h->n_pages; p++) {
        for (uint32_t i = 0; h->pages[p] && i < HEAD_PAGE; i++)
            if (h->pages[p][i])
                series_free(h->pages[p][i]);
        free(h->pages[p]);
    }
    free(h->pages);
    free(h->table);
    for (uint32_t i = 0; i < h->cap_postings; i++)
        if (h->postings[i].cap)
            free(h->postings[i].many);
    free(h->postings);
    for (uint32_t i = 0; i < h->n_names; i++)
        free(h->names[i].values);
    free(h->names);
    free(h->name_slots);
    symbols_free(&h->symbols);
    pthread_rwlock_destroy(&h->lock);
    pthread_mutex_destroy(&h->turn);
    pthread_mutex_destroy(&h->append);
}

/* ---- by number ---- */

HeadSeries *head_by_id(const Head *h, uint64_t id)
{
    uint64_t page = id / HEAD_PAGE;
    return page < h->n_pages && h->pages[page] ? h->pages[page][id % HEAD_PAGE] : NULL;
}

static HeadSeries **id_slot(Head *h, uint32_t id)
{
    uint32_t page = id / HEAD_PAGE;
    if (page >= h->n_pages) {
        uint32_t n = MAX(page + 1, h->n_pages + h->n_pages / 2);
        HeadSeries ***p = realloc(h->pages, n * sizeof *p);
        if (!p)
            return NULL;
        memset(p + h->n_pages, 0, (n - h->n_pages) * sizeof *p);
        h->pages = p;
        h->n_pages = n;
    }
    if (!h->pages[page] && !(h->pages[page] = calloc(HEAD_PAGE, sizeof **h->pages)))
        return NULL;
    return &h->pages[page][id % HEAD_PAGE];
}

/* ---- by labels ---- */

static uint32_t hash_of(Labels l)
{
    uint64_t h = labels_hash(l);
    return (uint32_t)(h ^ h >> 32);
}

static bool has_labels(const Head *h, const HeadSeries *s, Labels l)
{
    if (s->n_labels != l.len)
        return false;
    for (unsigned i = 0; i < l.len; i++)
        if (!sv_eq(symbols_text(&h->symbols, s->labels[2 * i]), l.items[i].name) ||
            !sv_eq(symbols_text(&h->symbols, s->labels[2 * i + 1]), l.items[i].value))
            return false;
    return true;
}

static HeadSeries **table_slot(const Head *h, Labels l, uint32_t hash)
{
    uint32_t i = hash & (h->n_table - 1);
    while (h->table[i] && (h->table[i]->hash != hash || !has_labels(h, h->table[i], l)))
        i = (i + 1) & (h->n_table - 1);
    return &h->table[i];
}

HeadSeries *head_find(const Head *h, Labels l)
{
    return *table_slot(h, l, hash_of(l));
}

static void table_put(HeadSeries **table, uint32_t n, HeadSeries *s)
{
    uint32_t i = s->hash & (n - 1);
    while (table[i])
        i = (i + 1) & (n - 1);
    table[i] = s;
}

static bool table_grow(Head *h)
{
    if ((h->n_series + 1) * 10ULL < h->n_table * 7ULL)
        return true;
    uint32_t n = h->n_table * 2;
    HeadSeries **table = calloc(n, sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 0; i < h->n_table; i++)
        if (h->table[i])
            table_put(table, n, h->table[i]);
    free(h->table);
    h->table = table;
    h->n_table = n;
    return true;
}

Labels head_labels(const Head *h, const HeadSeries *s, Label buf[static LABELS_MAX])
{
    for (unsigned i = 0; i < s->n_labels; i++)
        buf[i] = (Label){ symbols_text(&h->symbols, s->labels[2 * i]),
                          symbols_text(&h->symbols, s->labels[2 * i + 1]) };
    return (Labels){ buf, s->n_labels };
}

Labels head_labels_by(const Head *h, const HeadSeries *s, const StrView *names, unsigned n,
                      Label buf[static LABELS_MAX])
{
    unsigned len = 0;
    for (unsigned i = 0; n && i < s->n_labels; i++) {
        StrView name = symbols_text(&h->symbols, s->labels[2 * i]);
        unsigned k = 0;
        while (k < n && !sv_eq(names[k], name))
            k++;
        if (k < n)
            buf[len++] = (Label){ name, symbols_text(&h->symbols, s->labels[2 * i + 1]) };
    }
    return (Labels){ buf, len };
}

/* ---- making ---- */

static HeadSeries *series_new(Head *h, Labels l, uint32_t id, uint32_t hash)
{
    HeadSeries *s = calloc(1, sizeof *s + 2 * l.len * sizeof *s->labels);
    if (!s)
        return NULL;
    s->id = id;
    s->hash = hash;
    s->max_t = INT64_MIN;
    for (unsigned i = 0; i < l.len; i++) {
        uint32_t name = symbols_hold(&h->symbols, l.items[i].name),
                 value = name == SYMBOL_NONE ? SYMBOL_NONE
                                             : symbols_hold(&h->symbols, l.items[i].value);
        if (value == SYMBOL_NONE) {
            if (name != SYMBOL_NONE)
                symbols_drop(&h->symbols, name);
            for (unsigned k = 0; k < 2 * i; k++)
                symbols_drop(&h->symbols, s->labels[k]);
            free(s);
            return NULL;
        }
        s->labels[2 * i] = name;
        s->labels[2 * i + 1] = value;
        s->n_labels++;
    }
    return s;
}

static void series_forget(Head *h, HeadSeries *s)
{
    for (unsigned k = 0; k < 2u * s->n_labels; k++)
        symbols_drop(&h->symbols, s->labels[k]);
    series_free(s);
}

HeadSeries *head_series(Head *h, Labels l, uint64_t want, bool *ret_new)
{
    uint32_t hash = hash_of(l), id = h->next_id;
    HeadSeries *s = *table_slot(h, l, hash);
    *ret_new = !s;
    if (s)
        return s;
    if (want && want < IDS_END && !head_by_id(h, want))
        id = (uint32_t)want;
    if (id >= IDS_END)
        return NULL;
    pthread_rwlock_wrlock(&h->lock);
    HeadSeries **slot = table_grow(h) ? id_slot(h, id) : NULL;
    if (slot && (s = series_new(h, l, id, hash))) {
        if (head_index_add(h, s)) {
            *slot = s;
            table_put(h->table, h->n_table, s);
            h->n_series++;
            h->series_created++;
            h->next_id = MAX(h->next_id, id + 1);
        } else {
            series_forget(h, s);
            s = NULL;
        }
    }
    pthread_rwlock_unlock(&h->lock);
    return s;
}

/* ---- chunks ---- */

static int add_chunk(Head *h, HeadSeries *s, HeadChunk *c)
{
    if (s->n_chunks == s->cap_chunks) {
        uint32_t cap = s->cap_chunks + MAX(s->cap_chunks / 2, 2u);
        HeadChunk **p = realloc(s->chunks, cap * sizeof *p);
        if (!p)
            return -ENOMEM;
        s->chunks = p;
        s->cap_chunks = cap;
    }
    s->chunks[s->n_chunks++] = c;
    h->chunks++;
    h->chunks_created++;
    return 0;
}

int head_cut_chunk(Head *h, HeadSeries *s)
{
    StrView bytes =
        s->histogram ? histogram_chunk_bytes(s->histogram) : sv_n(s->open.w.bytes, s->open.w.len);
    unsigned n = s->histogram ? histogram_chunk_len(s->histogram) : s->open.len;
    if (!n)
        return 0;
    HeadChunk *c = malloc(sizeof *c + bytes.len);
    if (!c)
        return -ENOMEM;
    *c = (HeadChunk){ .min = s->open_min,
                      .max = s->max_t,
                      .len = (uint32_t)bytes.len,
                      .samples = (uint16_t)n,
                      .encoding = (uint8_t)(s->histogram ? histogram_chunk_encoding(s->histogram)
                                                         : CHUNK_XOR) };
    memcpy(c->bytes, bytes.ptr, bytes.len);
    if (add_chunk(h, s, c) < 0) {
        free(c);
        return -ENOMEM;
    }
    s->histogram = histogram_chunk_free(s->histogram);
    free(s->open.w.bytes);
    s->open = (XorChunk){ 0 };
    return 0;
}

static void note_sample(Head *h, HeadSeries *s, int64_t t)
{
    s->max_t = t;
    h->min_time = MIN(h->min_time, t);
    h->max_time = MAX(h->max_time, t);
    if (s->last_commit != h->commits) {
        s->last_commit = h->commits;
        s->last_n = 0;
    }
    if (s->last_n < UINT16_MAX)
        s->last_n++;
}

int head_put_float(Head *h, HeadSeries *s, int64_t t, double v)
{
    int r;
    if ((s->histogram || s->open.len >= CHUNK_SAMPLES) && (r = head_cut_chunk(h, s)) < 0)
        return r;
    if (!s->open.len) {
        if (!s->open.w.bytes && (r = xor_chunk_init(&s->open)) < 0)
            return r;
        s->open_min = t;
    }
    if ((r = xor_chunk_append(&s->open, t, v)) < 0)
        return r;
    note_sample(h, s, t);
    return 0;
}

int head_put_histogram(Head *h, HeadSeries *s, int64_t t, const Histogram *hist)
{
    int r = s->histogram ? histogram_chunk_append(s->histogram, t, hist) : 0;
    if (r < 0)
        return r;
    if (r == 0) {
        Histogram first = *hist;
        /* A chunk that follows one says whether the counts went back. */
        if (s->histogram && first.hint == HINT_UNKNOWN)
            first.hint = histogram_detect_reset(hist, histogram_chunk_last(s->histogram))
                             ? HINT_COUNTER_RESET
                             : HINT_NO_COUNTER_RESET;
        HistogramChunk *fresh = histogram_chunk_new(t, &first);
        if (!fresh)
            return -ENOMEM;
        if ((r = head_cut_chunk(h, s)) < 0) {
            histogram_chunk_free(fresh);
            return r;
        }
        s->histogram = fresh;
        s->open_min = t;
    }
    note_sample(h, s, t);
    return 0;
}

/* Late samples stay in columns, sorted by insertion: they are few, and nearly in order. Of two at
 * one time the first stays, as in Prometheus. */
int head_put_late(Head *h, HeadSeries *s, int64_t t, double v, const Histogram *hist)
{
    if (!s->late) {
        if (!(s->late = malloc(sizeof *s->late)))
            return -ENOMEM;
        sample_cols_init(s->late);
    }
    SampleCols *c = s->late;
    size_t at = c->len;
    while (at > 0 && c->t[at - 1] > t)
        at--;
    if (at > 0 && c->t[at - 1] == t)
        return 0;
    if (!(hist ? sample_cols_histogram(c, t, hist) : sample_cols_float(c, t, v)))
        return -ENOMEM;
    const Histogram *newest = c->h ? c->h[c->len - 1] : NULL;
    for (size_t i = c->len - 1; i > at; i--) {
        c->t[i] = c->t[i - 1];
        c->v[i] = c->v[i - 1];
        if (c->h)
            c->h[i] = c->h[i - 1];
    }
    c->t[at] = t;
    c->v[at] = hist ? hist->sum : v;
    if (c->h)
        c->h[at] = newest;
    h->late_min = MIN(h->late_min, t);
    return 0;
}

/* ---- dropping what is old ---- */

static void truncate_series(Head *h, HeadSeries *s, int64_t t)
{
    uint32_t gone = 0;
    while (gone < s->n_chunks && s->chunks[gone]->max < t)
        free(s->chunks[gone++]);
    s->n_chunks -= gone;
    h->chunks -= gone;
    if (s->n_chunks)
        memmove(s->chunks, s->chunks + gone, s->n_chunks * sizeof *s->chunks);
    bool open = s->histogram || s->open.len;
    if (open && s->max_t < t) {
        s->histogram = histogram_chunk_free(s->histogram);
        free(s->open.w.bytes);
        s->open = (XorChunk){ 0 };
    }
}

static bool is_empty(const HeadSeries *s)
{
    return !s->n_chunks && !s->histogram && !s->open.len && !s->late;
}

static void rebuild_table(Head *h)
{
    memset(h->table, 0, h->n_table * sizeof *h->table);
    for (uint32_t p = 0; p < h->n_pages; p++)
        for (uint32_t i = 0; h->pages[p] && i < HEAD_PAGE; i++)
            if (h->pages[p][i])
                table_put(h->table, h->n_table, h->pages[p][i]);
}

uint32_t head_truncate(Head *h, int64_t t)
{
    uint32_t gone = 0;
    head_begin(h);
    pthread_rwlock_wrlock(&h->lock);
    int64_t min = INT64_MAX;
    for (uint32_t p = 0; p < h->n_pages; p++)
        for (uint32_t i = 0; h->pages[p] && i < HEAD_PAGE; i++) {
            HeadSeries *s = h->pages[p][i];
            if (!s)
                continue;
            truncate_series(h, s, t);
            if (is_empty(s)) {
                h->pages[p][i] = NULL;
                series_forget(h, s);
                gone++;
                continue;
            }
            if (s->n_chunks || s->histogram || s->open.len)
                min = MIN(min, s->n_chunks ? s->chunks[0]->min : s->open_min);
        }
    h->n_series -= gone;
    h->dropped = MAX(h->dropped, t);
    h->min_time = min == INT64_MAX ? min : MAX(min, h->dropped);
    if (min == INT64_MAX)
        h->max_time = INT64_MIN;
    if (gone) {
        rebuild_table(h);
        head_index_sweep(h);
    }
    pthread_rwlock_unlock(&h->lock);
    head_end(h);
    return gone;
}

void head_drop_late(Head *h, int64_t t)
{
    pthread_rwlock_wrlock(&h->lock);
    h->late_min = INT64_MAX;
    for (uint32_t p = 0; p < h->n_pages; p++)
        for (uint32_t i = 0; h->pages[p] && i < HEAD_PAGE; i++) {
            HeadSeries *s = h->pages[p][i];
            if (!s || !s->late)
                continue;
            const Intervals before = { .items = &(Interval){ INT64_MIN, t - 1 }, .len = 1 };
            intervals_cut(&before, s->late, 0);
            if (s->late->len) {
                h->late_min = MIN(h->late_min, s->late->t[0]);
                continue;
            }
            sample_cols_free(s->late);
            free(s->late);
            s->late = NULL;
        }
    pthread_rwlock_unlock(&h->lock);
}
