/* stats.c - numbers about the database, and what takes up its room. */
#include "codec/json.h"
#include "monitor/tsdb/db.h"

int tsdb_exemplars(Tsdb *db, int64_t start, int64_t end, const MatcherSet *sets, unsigned n_sets,
                   Arena *a, ExemplarSeries **ret, size_t *ret_n, Err *err)
{
    return exemplars_query(db->exemplars, start, end, sets, n_sets, a, ret, ret_n, err);
}

static void head_numbers(Tsdb *db, TsdbStats *s)
{
    const Head *h = &db->head;
    s->series = h->n_series;
    s->chunks = h->chunks + h->n_series; /* each series has one that is open */
    s->series_created = h->series_created;
    s->series_removed = h->series_created - h->n_series;
    s->chunks_created = h->chunks_created + h->series_created;
    s->chunks_removed = s->chunks_created - s->chunks;
    s->retention_ms = db->opt.retention_ms;
    s->retention_bytes = db->opt.retention_bytes;
    s->label_pairs = h->n_postings;
    s->label_names = h->n_names;
    s->min_time = h->min_time;
    s->max_time = h->max_time;
    s->lowest_time = h->min_time;
    s->wal_segment = wal_segment(db->wal);
}

static void counters(Tsdb *db, TsdbStats *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->samples_appended); i++)
        s->samples_appended[i] = atomic_load_explicit(&db->appended[i], memory_order_relaxed);
    for (size_t i = 0; i < APPEND_RESULT_MAX; i++)
        s->rejected[i] = atomic_load_explicit(&db->rejected[i], memory_order_relaxed);
    s->wal_corruptions = atomic_load(&db->wal_corruptions);
    s->compactions = atomic_load(&db->compactions);
    s->compactions_failed = atomic_load(&db->compactions_failed);
    s->reloads = atomic_load(&db->reloads);
    s->reloads_failed = atomic_load(&db->reloads_failed);
    s->tombstones_cleaned = atomic_load(&db->tombstones_cleaned);
    s->truncations = atomic_load(&db->truncations);
    s->checkpoints = atomic_load(&db->checkpoints);
    s->checkpoints_failed = atomic_load(&db->checkpoints_failed);
    s->time_retentions = atomic_load(&db->time_retentions);
    s->size_retentions = atomic_load(&db->size_retentions);
    exemplars_count(db->exemplars, s);
    s->wal_bytes = wal_bytes(db->wal_dir);
}

static void upkeep(Tsdb *db, TsdbStats *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->samples_late); i++)
        s->samples_late[i] = atomic_load_explicit(&db->late[i], memory_order_relaxed);
    s->compactions_triggered = atomic_load(&db->compactions_triggered);
    s->compactions_vertical = atomic_load(&db->compactions_vertical);
    s->truncations_failed = atomic_load(&db->truncations_failed);
    s->checkpoint_deletions = atomic_load(&db->checkpoint_deletions);
    s->checkpoint_deletions_failed = atomic_load(&db->checkpoint_deletions_failed);
    s->log_truncations = atomic_load(&db->log_truncations);
    s->log_truncations_failed = atomic_load(&db->log_truncations_failed);
    s->log_pages = atomic_load(&db->log_stats.pages);
    s->log_flushes = atomic_load(&db->log_stats.flushes);
    s->log_writes_failed = atomic_load(&db->log_stats.writes_failed);
    s->series_not_found = atomic_load(&db->series_not_found);
    s->active_appenders = atomic_load(&db->active_appenders);
    s->populating = atomic_load(&db->populating);
    s->clean_start = db->clean_start;
    pthread_mutex_lock(&db->log_stats.lock);
    s->times = db->times;
    s->times.fsync = db->log_stats.fsync;
    pthread_mutex_unlock(&db->log_stats.lock);
}

static void block_numbers(Tsdb *db, TsdbStats *s)
{
    pthread_mutex_lock(&db->blocks_lock);
    s->blocks = db->blocks.len;
    vec_foreach (b, &db->blocks) {
        s->block_bytes += (*b)->bytes;
        s->lowest_time = MIN(s->lowest_time, (*b)->meta.min);
    }
    pthread_mutex_unlock(&db->blocks_lock);
}

/* ---- the largest of many ---- */

/* Keeps the `cap` largest, the largest first; of equals the one that came first. */
typedef struct Top {
    TsdbStat *items;
    size_t len, cap;
} Top;

static void top_add(Top *t, StrView name, uint64_t value)
{
    if (!t->cap || (t->len == t->cap && t->items[t->len - 1].value >= value))
        return;
    size_t i = t->len < t->cap ? t->len++ : t->len - 1;
    for (; i > 0 && t->items[i - 1].value < value; i--)
        t->items[i] = t->items[i - 1];
    t->items[i] = (TsdbStat){ name, value };
}

static bool top_init(Top *t, unsigned n, Arena *a)
{
    *t = (Top){ .items = arena_array(a, TsdbStat, n), .cap = n };
    return t->items != NULL;
}

/* Views into the head's texts become copies; a pair is shown as "name=value". */
static bool top_keep(Top *t, Arena *a, TsdbStat **ret, size_t *ret_n)
{
    for (size_t i = 0; i < t->len; i++)
        if (!(t->items[i].name = arena_sv(a, t->items[i].name)).ptr)
            return false;
    *ret = t->items;
    *ret_n = t->len;
    return true;
}

static bool top_of_pairs(const Head *h, Arena *a, Top *metrics, Top *pairs)
{
    uint32_t metric = symbols_find(&h->symbols, LABEL_METRIC_NAME);
    for (uint32_t i = 0; i < h->cap_postings; i++) {
        const Posting *p = &h->postings[i];
        if (p->name == SYMBOL_NONE)
            continue;
        StrView value = symbols_text(&h->symbols, p->value);
        if (p->name == metric)
            top_add(metrics, value, p->len);
        if (pairs->len == pairs->cap && pairs->items[pairs->len - 1].value >= p->len)
            continue;
        StrView name = symbols_text(&h->symbols, p->name),
                pair = arena_printf(a, "%.*s=%.*s", SV_FMT(name), SV_FMT(value));
        if (!pair.ptr)
            return false;
        top_add(pairs, pair, p->len);
    }
    return true;
}

static void top_of_names(const Head *h, Top *values, Top *bytes)
{
    for (uint32_t i = 0; i < h->n_names; i++) {
        const LabelName *n = &h->names[i];
        uint64_t sum = 0;
        for (uint32_t k = 0; k < n->len; k++)
            sum += symbols_text(&h->symbols, n->values[k]).len;
        StrView name = symbols_text(&h->symbols, n->symbol);
        top_add(values, name, n->len);
        top_add(bytes, name, sum);
    }
}

static bool tops(const Head *h, unsigned n, Arena *a, TsdbStats *s)
{
    Top metrics, values, bytes, pairs;
    if (!top_init(&metrics, n, a) || !top_init(&values, n, a) || !top_init(&bytes, n, a) ||
        !top_init(&pairs, n, a) || !top_of_pairs(h, a, &metrics, &pairs))
        return false;
    top_of_names(h, &values, &bytes);
    return top_keep(&metrics, a, &s->series_by_metric, &s->n_series_by_metric) &&
           top_keep(&values, a, &s->values_by_label, &s->n_values_by_label) &&
           top_keep(&bytes, a, &s->bytes_by_label, &s->n_bytes_by_label) &&
           top_keep(&pairs, a, &s->series_by_pair, &s->n_series_by_pair);
}

int tsdb_stats(Tsdb *db, unsigned top, Arena *a, TsdbStats *ret, Err *err)
{
    *ret = (TsdbStats){ 0 };
    pthread_rwlock_rdlock(&db->head.lock);
    head_numbers(db, ret);
    bool ok = !top || tops(&db->head, top, a, ret);
    pthread_rwlock_unlock(&db->head.lock);
    counters(db, ret);
    upkeep(db, ret);
    block_numbers(db, ret);
    return ok ? 0 : err_nomem(err);
}

int tsdb_blocks_json(Tsdb *db, Buf *out, Err *err)
{
    _cleanup_arena_ Arena a;
    Blocks blocks = { 0 };
    bool ok = true;
    arena_init(&a, 0);
    int r = db_blocks(db, INT64_MIN, INT64_MAX, &blocks, err);
    if (r < 0)
        return r;
    buf_putc(out, '[');
    for (size_t i = 0; ok && i < blocks.len; i++) {
        Value v;
        arena_reset(&a);
        if ((ok = block_meta_value(&blocks.items[i]->meta, &a, &v))) {
            buf_sv(out, i ? SV(",") : SV(""));
            json_encode(&v, out);
        }
    }
    buf_putc(out, ']');
    blocks_release(&blocks);
    return ok && !out->failed ? 0 : err_nomem(err);
}
