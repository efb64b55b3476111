/* dbtool_analyze.c - what a block's index is made of: which labels cause churn and which have many
 * values, and with --extended what its chunks hold. */
#include <stdio.h>

#include "base/clock.h"
#include "base/map.h"
#include "monitor/tool/dbtool_internal.h"
#include "monitor/tsdb/select.h"

typedef struct Count { /* of a label pair or name */
    StrView key;
    uint64_t series, uncovered;   /* uncovered: ms of the block without samples, over all series */
    uint64_t values, value_bytes; /* of a name: its different values */
} Count;

typedef struct Item {
    StrView key;
    uint64_t n;
} Item;

typedef VEC(Item) Items;
typedef VEC(Count *) Counts;

typedef struct Analyzer {
    const ToolIo *io;
    const TsdbAnalyzeOptions *opt;
    const Block *block;
    Arena arena;
    const Matcher *matchers;
    unsigned n_matchers;
    Ids ids; /* the series that are looked at */
    Map pair_map, name_map;
    Counts pairs, names;
    uint64_t entries;
    Err *err;
} Analyzer;

static uint64_t block_ms(const Analyzer *z)
{
    return (uint64_t)(z->block->meta.max - z->block->meta.min);
}

static Count *count_of(Analyzer *z, Map *map, Counts *list, StrView key)
{
    Count *c = map_get(map, key);
    if (c)
        return c;
    c = arena_new(&z->arena, Count);
    if (!c || !(c->key = arena_sv(&z->arena, key)).ptr || !map_set(map, key, c, NULL) ||
        !vec_push(list, c))
        return NULL;
    return c;
}

static int add_series(Analyzer *z, Labels l, const ChunkMetas *chunks)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    uint64_t covered =
        chunks->len ? (uint64_t)(chunks->items[chunks->len - 1].max - chunks->items[0].min) : 0;
    for (unsigned i = 0; i < l.len; i++) {
        buf_clear(&key);
        buf_printf(&key, "%.*s=%.*s", SV_FMT(l.items[i].name), SV_FMT(l.items[i].value));
        Count *pair = key.failed ? NULL : count_of(z, &z->pair_map, &z->pairs, buf_view(&key));
        Count *name = count_of(z, &z->name_map, &z->names, l.items[i].name);
        if (!pair || !name)
            return err_nomem(z->err);
        if (!pair->series++) {
            name->values++;
            name->value_bytes += l.items[i].value.len;
        }
        pair->uncovered += block_ms(z) - covered;
        name->series++;
        name->uncovered += block_ms(z) - covered;
        z->entries++;
    }
    return 0;
}

static int count_series(Analyzer *z)
{
    Label buf[LABELS_MAX];
    ChunkMetas chunks = { 0 };
    int r = 0;
    for (size_t i = 0; r >= 0 && i < z->ids.len; i++) {
        Labels l;
        r = block_index_series(&z->block->index, z->ids.items[i], buf, &l, &chunks, z->err);
        if (r >= 0)
            r = add_series(z, l, &chunks);
    }
    vec_free(&chunks);
    return r;
}

/* ---- lists ---- */

static int item_cmp(const void *x, const void *y)
{
    const Item *a = x, *b = y;
    if (a->n != b->n)
        return a->n > b->n ? -1 : 1;
    return sv_cmp(a->key, b->key);
}

static void print_items(Analyzer *z, const char *title, Items *l)
{
    fprintf(z->io->out, "\n%s:\n", title);
    if (l->len)
        qsort(l->items, l->len, sizeof *l->items, item_cmp);
    for (size_t i = 0; i < MIN(l->len, (size_t)z->opt->limit); i++)
        fprintf(z->io->out, "%llu %.*s\n", (unsigned long long)l->items[i].n,
                SV_FMT(l->items[i].key));
    vec_clear(l);
}

static int print_counts(Analyzer *z, const char *title, const Counts *from, bool churn, Items *l)
{
    vec_foreach (c, from) {
        uint64_t n =
            churn ? (uint64_t)((double)(*c)->uncovered / (double)block_ms(z)) : (*c)->series;
        if (!vec_push(l, ((Item){ (*c)->key, n })))
            return err_nomem(z->err);
    }
    print_items(z, title, l);
    return 0;
}

static int print_values(Analyzer *z, Items *l)
{
    for (int lengths = 1; lengths >= 0; lengths--) {
        vec_foreach (c, &z->names)
            if (!vec_push(l, ((Item){ (*c)->key, lengths ? (*c)->value_bytes : (*c)->values })))
                return err_nomem(z->err);
        print_items(z,
                    lengths ? "Label names with highest cumulative label value length"
                            : "Highest cardinality labels",
                    l);
    }
    return 0;
}

static int print_metrics(Analyzer *z, Items *l)
{
    StrView prefix = SV("__name__=");
    vec_foreach (p, &z->pairs)
        if (sv_starts((*p)->key, prefix) &&
            !vec_push(l, ((Item){ sv_skip((*p)->key, prefix.len), (*p)->series })))
            return err_nomem(z->err);
    print_items(z, "Highest cardinality metric names", l);
    return 0;
}

static int print_index(Analyzer *z)
{
    Items l = { 0 };
    int r;
    fprintf(z->io->out, "Postings (unique label pairs): %zu\n", z->pairs.len);
    fprintf(z->io->out, "Postings entries (total label pairs): %llu\n",
            (unsigned long long)z->entries);
    if ((r = print_counts(z, "Label pairs most involved in churning", &z->pairs, true, &l)) >= 0 &&
        (r = print_counts(z, "Label names most involved in churning", &z->names, true, &l)) >= 0 &&
        (r = print_counts(z, "Most common label pairs", &z->pairs, false, &l)) >= 0 &&
        (r = print_values(z, &l)) >= 0)
        r = print_metrics(z, &l);
    vec_free(&l);
    return r;
}

/* ---- chunks ---- */

typedef VEC(int64_t) Numbers;

typedef struct ChunkStats {
    Numbers float_samples, float_bytes, histogram_samples, histogram_bytes, histogram_buckets;
    int64_t total;
} ChunkStats;

static bool add_histograms(ChunkStats *s, ChunkEncoding encoding, StrView bytes, SampleCols *cols,
                           Err *err)
{
    int64_t buckets = 0;
    sample_cols_clear(cols);
    if (chunk_decode(encoding, bytes, INT64_MIN, INT64_MAX, cols, err) < 0)
        return false;
    for (size_t i = 0; i < cols->len; i++)
        if (cols->h && cols->h[i])
            buckets += cols->h[i]->n_pos + cols->h[i]->n_neg;
    return vec_push(&s->histogram_samples, (int64_t)chunk_samples(bytes)) &&
           vec_push(&s->histogram_bytes, (int64_t)bytes.len) &&
           vec_push(&s->histogram_buckets, buckets);
}

static int add_chunk(Analyzer *z, ChunkStats *s, const ChunkMeta *m, SampleCols *cols)
{
    ChunkEncoding encoding;
    StrView bytes;
    int r = block_chunk(z->block, m, &encoding, &bytes, z->err);
    if (r < 0)
        return r;
    s->total++;
    bool ok = encoding == CHUNK_XOR ? vec_push(&s->float_samples, (int64_t)chunk_samples(bytes)) &&
                                          vec_push(&s->float_bytes, (int64_t)bytes.len)
                                    : add_histograms(s, encoding, bytes, cols, z->err);
    return ok ? 0 : z->err->code ? -(int)z->err->code : err_nomem(z->err);
}

static int number_cmp(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static int digits(int64_t n)
{
    char text[24];
    return snprintf(text, sizeof text, "%lld", (long long)n);
}

static int print_distribution(Analyzer *z, const char *what, Numbers *l, int64_t total)
{
    enum { BUCKETS = 10, STEP_MAX = 10000 };
    if (!l->len) {
        fprintf(z->io->out, "%s: N/A\n\n", what);
        return 0;
    }
    qsort(l->items, l->len, sizeof *l->items, number_cmp);
    int64_t min = l->items[0], max = l->items[l->len - 1], step = 10, sum = 0, most = 0;
    while (step < (max - min) / BUCKETS && step <= STEP_MAX)
        step *= 10;
    int64_t start = min - min % step, end = max - max % step + step;
    size_t n = (size_t)((end - start) / step + 1);
    int64_t *buckets = arena_array(&z->arena, int64_t, n);
    if (!buckets)
        return err_nomem(z->err);
    vec_foreach (v, l) {
        sum += *v;
        int64_t count = ++buckets[(*v - start) / step];
        most = MAX(most, count);
    }
    fprintf(z->io->out, "%s (min/avg/max): %lld/%lld/%lld\n", what, (long long)min,
            (long long)(sum / (int64_t)l->len), (long long)max);
    for (size_t i = 0; i < n; i++) {
        int64_t low = (int64_t)i * step + start;
        fprintf(z->io->out, "[%*lld, %*lld]: %*lld ", digits(end), (long long)low + 1,
                digits(end + step), (long long)(low + step), digits(most), (long long)buckets[i]);
        for (int64_t k = 0; k < 100 * buckets[i] / total; k++)
            fputc('#', z->io->out);
        fputc('\n', z->io->out);
    }
    fputc('\n', z->io->out);
    return 0;
}

static int gather_chunks(Analyzer *z, ChunkStats *s)
{
    Label buf[LABELS_MAX];
    ChunkMetas chunks = { 0 };
    SampleCols cols;
    int r = 0;
    sample_cols_init(&cols);
    for (size_t i = 0; r >= 0 && i < z->ids.len; i++) {
        Labels l;
        r = block_index_series(&z->block->index, z->ids.items[i], buf, &l, &chunks, z->err);
        for (size_t k = 0; r >= 0 && k < chunks.len; k++)
            r = add_chunk(z, s, &chunks.items[k], &cols);
    }
    sample_cols_free(&cols);
    vec_free(&chunks);
    return r;
}

static int print_chunks(Analyzer *z)
{
    ChunkStats s = { 0 };
    int r = gather_chunks(z, &s);
    if (r >= 0)
        fputs("\nCompaction analysis:\n\n", z->io->out);
    if (r >= 0 &&
        (r = print_distribution(z, "samples per float chunk", &s.float_samples, s.total)) >= 0 &&
        (r = print_distribution(z, "bytes per float chunk", &s.float_bytes, s.total)) >= 0 &&
        (r = print_distribution(z, "samples per histogram chunk", &s.histogram_samples, s.total)) >=
            0 &&
        (r = print_distribution(z, "bytes per histogram chunk", &s.histogram_bytes, s.total)) >= 0)
        r = print_distribution(z, "buckets per histogram chunk", &s.histogram_buckets, s.total);
    vec_free(&s.float_samples);
    vec_free(&s.float_bytes);
    vec_free(&s.histogram_samples);
    vec_free(&s.histogram_bytes);
    vec_free(&s.histogram_buckets);
    return r;
}

/* ---- the block ---- */

static int analyze(Analyzer *z)
{
    const BlockMeta *m = &z->block->meta;
    char duration[DURATION_SIZE];
    int r = z->n_matchers ? index_select(&block_index_ops, &z->block->index, z->matchers,
                                         z->n_matchers, &z->ids, z->err)
                          : block_index_ops.all(&z->block->index, &z->ids, z->err);
    if (r < 0 || (r = count_series(z)) < 0)
        return r;
    duration_format((m->max - m->min) * NSEC_PER_MSEC, duration);
    fprintf(z->io->out, "Block ID: %s\nDuration: %s\nTotal Series: %llu\n", m->ulid, duration,
            (unsigned long long)m->series);
    if (z->n_matchers)
        fprintf(z->io->out, "Matcher: %s\n", z->opt->match);
    fprintf(z->io->out, "Label names: %zu\n", z->names.len);
    if (z->n_matchers)
        fprintf(z->io->out, "Matched series: %zu\n", z->ids.len);
    if ((r = print_index(z)) >= 0 && z->opt->extended)
        r = print_chunks(z);
    return r;
}

/* The one that is asked for, or the one made last. */
static const Block *pick_block(const DbBlocks *l, const char *ulid, Err *err)
{
    const Block *best = NULL;
    vec_foreach (b, l)
        if (ulid ? strcmp((*b)->meta.ulid, ulid) == 0
                 : !best || strcmp((*b)->meta.ulid, best->meta.ulid) > 0)
            best = *b;
    if (!best && ulid)
        err_set(err, ERR_NOT_FOUND, 0, "block %s not found", ulid);
    else if (!best)
        err_set(err, ERR_NOT_FOUND, 0, "no blocks found");
    return best;
}

static void analyzer_free(Analyzer *z)
{
    ids_free(&z->ids);
    map_free(&z->pair_map);
    map_free(&z->name_map);
    vec_free(&z->pairs);
    vec_free(&z->names);
    arena_free(&z->arena);
}

int tool_tsdb_analyze(const ToolIo *io, const TsdbAnalyzeOptions *o)
{
    DbBlocks blocks = { 0 };
    PromqlExpr *selector = NULL;
    Err err = { 0 };
    Analyzer z = { .io = io, .opt = o, .err = &err };
    arena_init(&z.arena, 0);
    int r =
        o->match ? db_selector(o->match, &z.arena, &selector, &z.matchers, &z.n_matchers, &err) : 0;
    if (r >= 0)
        r = db_open_blocks(o->dir, &blocks, &err);
    if (r >= 0)
        z.block = pick_block(&blocks, o->block, &err);
    if (r >= 0)
        r = z.block ? analyze(&z) : -(int)ERR_NOT_FOUND;
    promql_expr_free(selector); /* which lives in the analyzer's arena */
    analyzer_free(&z);
    db_close_blocks(&blocks);
    return r < 0 ? tool_failed(io, &err) : TOOL_OK;
}
