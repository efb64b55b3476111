/* dbtool_import.c - an OpenMetrics file becomes blocks. The file is read once for its times, and
 * then once for each block that has samples, so that only one block's samples are in memory. */
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "monitor/expo/expo.h"
#include "monitor/tool/dbtool_internal.h"
#include "monitor/tsdb/tsdb.h"

#define HOURS(n) (INT64_C(3600) * 1000 * (n))
enum { BLOCK_RANGES = 10, BLOCK_RANGE_FACTOR = 3 };

typedef struct ImportSample {
    int64_t t;
    double v;
} ImportSample;

typedef struct ImportSeries {
    Labels labels;
    VEC(ImportSample) samples; /* in the order of the file until it is written */
    bool unsorted;
} ImportSeries;

typedef struct Import {
    const ToolIo *io;
    const TsdbImportOptions *opt;
    StrView text;
    ExpoParser *parser;
    int64_t from, to, next; /* of the block; next: the first sample behind it */
    Arena arena;            /* of the block */
    Map by_text;            /* as it stands in the file → ImportSeries */
    Map by_labels;
    VEC(ImportSeries *) series;
    bool told; /* the head of the list of blocks is printed */
    Err *err;
} Import;

static void forget_block(Import *m)
{
    vec_foreach (s, &m->series)
        vec_free(&(*s)->samples);
    vec_free(&m->series);
    map_free(&m->by_text);
    map_free(&m->by_labels);
    arena_free(&m->arena);
}

/* ---- samples ---- */

/* The series' own labels and those of --label. */
static int import_labels(Import *m, Labels *ret)
{
    LabelsBuilder b;
    Labels own;
    int r = expo_labels(m->parser, &m->arena, &own, m->err);
    if (r < 0)
        return r;
    labels_builder_init(&b, &m->arena, own);
    for (unsigned i = 0; i < m->opt->n_labels; i++) {
        StrView name, value;
        sv_cut(sv_cstr(m->opt->labels[i]), '=', &name, &value);
        labels_builder_set(&b, name, value);
    }
    /* Copied: views of the parser go with the next line. */
    return labels_builder_take(&b, &own) && labels_copy(own, &m->arena, ret) ? 0
                                                                             : err_nomem(m->err);
}

static int series_of(Import *m, StrView text, ImportSeries **ret)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    Labels l;
    if ((*ret = map_get(&m->by_text, text)))
        return 0;
    int r = import_labels(m, &l);
    if (r < 0)
        return r;
    labels_format_set(l, &key);
    ImportSeries *s = map_get(&m->by_labels, buf_view(&key));
    if (!s) {
        s = arena_new(&m->arena, ImportSeries);
        if (!s || key.failed || !map_set(&m->by_labels, buf_view(&key), s, NULL) ||
            !vec_push(&m->series, s))
            return err_nomem(m->err);
        s->labels = l;
    }
    *ret = s;
    return map_set(&m->by_text, text, s, NULL) ? 0 : err_nomem(m->err);
}

static int add_sample(Import *m, const ExpoEntry *e)
{
    ImportSeries *s;
    int r = series_of(m, e->series, &s);
    if (r < 0)
        return r;
    size_t n = s->samples.len;
    s->unsorted |= n && e->t <= s->samples.items[n - 1].t;
    return vec_push(&s->samples, ((ImportSample){ e->t, e->v })) ? 0 : err_nomem(m->err);
}

static int sample_cmp(const void *x, const void *y)
{
    const ImportSample *a = x, *b = y;
    return (a->t > b->t) - (a->t < b->t);
}

/* By time; the same sample twice is one. */
static int sort_samples(Import *m, ImportSeries *s)
{
    ImportSample *v = s->samples.items;
    size_t kept = 0;
    if (!s->unsorted)
        return 0;
    qsort(v, s->samples.len, sizeof *v, sample_cmp);
    for (size_t i = 0; i < s->samples.len; i++) {
        if (kept && v[kept - 1].t == v[i].t) {
            if (double_bits(v[kept - 1].v) == double_bits(v[i].v))
                continue;
            return err_set(m->err, ERR_INVALID, 0, "add sample: %s",
                           append_result_text(APPEND_DUPLICATE));
        }
        v[kept++] = v[i];
    }
    s->samples.len = kept;
    return 0;
}

static int read_block(Import *m)
{
    ExpoEntry e;
    int r;
    expo_parser_reset(m->parser, EXPO_FORMAT_OPENMETRICS, m->text, &(ExpoOptions){ 0 });
    m->next = INT64_MAX;
    while ((r = expo_next(m->parser, &e, m->err)) >= 0 && e.kind != EXPO_END) {
        if (e.kind != EXPO_SERIES || e.t < m->from)
            continue;
        if (e.t >= m->to)
            m->next = MIN(m->next, e.t);
        else if ((r = add_sample(m, &e)) < 0)
            return r;
    }
    return r < 0 ? err_wrap(m->err, "parse") : 0;
}

static int find_times(Import *m, int64_t *ret_min, int64_t *ret_max)
{
    ExpoEntry e;
    int r;
    *ret_min = INT64_MAX;
    *ret_max = INT64_MIN;
    while ((r = expo_next(m->parser, &e, m->err)) >= 0 && e.kind != EXPO_END) {
        if (e.kind != EXPO_SERIES)
            continue;
        if (!e.has_t)
            return err_set(m->err, ERR_INVALID, 0,
                           "getting min and max timestamp: expected timestamp for series got none");
        *ret_min = MIN(*ret_min, e.t);
        *ret_max = MAX(*ret_max, e.t);
    }
    return r < 0 ? err_wrap(m->err, "getting min and max timestamp: next") : 0;
}

/* ---- the block ---- */

static int series_cmp(const void *x, const void *y)
{
    return labels_cmp((*(ImportSeries *const *)x)->labels, (*(ImportSeries *const *)y)->labels);
}

static int text_cmp(const void *x, const void *y)
{
    return sv_cmp(*(const StrView *)x, *(const StrView *)y);
}

/* All names and values, each once. */
static StrView *gather_symbols(Import *m, size_t *ret_n)
{
    size_t n = 0, at = 0, kept = 0;
    vec_foreach (s, &m->series)
        n += 2 * (size_t)(*s)->labels.len;
    StrView *texts = arena_array(&m->arena, StrView, n + 1);
    if (!texts)
        return NULL;
    vec_foreach (s, &m->series)
        for (unsigned i = 0; i < (*s)->labels.len; i++) {
            texts[at++] = (*s)->labels.items[i].name;
            texts[at++] = (*s)->labels.items[i].value;
        }
    qsort(texts, n, sizeof *texts, text_cmp);
    for (size_t i = 0; i < n; i++)
        if (!kept || !sv_eq(texts[kept - 1], texts[i]))
            texts[kept++] = texts[i];
    *ret_n = kept;
    return texts;
}

static int print_block(Import *m, const char *ulid)
{
    char path[PATH_MAX];
    Block *b;
    snprintf(path, sizeof path, "%.4000s/%s", m->opt->dir, ulid);
    int r = block_open(path, &b, m->err);
    if (r < 0)
        return err_wrap(m->err, "get blocks");
    db_print_blocks(m->io->out, (const Block *const *)&b, 1, !m->told, m->opt->human);
    m->told = true;
    block_unref(b);
    return 0;
}

static int write_series(Import *m, BlockWriter *w)
{
    SampleCols cols;
    int r = 0;
    sample_cols_init(&cols);
    for (size_t i = 0; r >= 0 && i < m->series.len; i++) {
        const ImportSeries *s = m->series.items[i];
        bool ok = true;
        sample_cols_clear(&cols);
        vec_foreach (v, &s->samples)
            ok = ok && sample_cols_float(&cols, v->t, v->v);
        r = ok ? block_writer_add(w, s->labels, &cols, m->err) : err_nomem(m->err);
    }
    sample_cols_free(&cols);
    return r;
}

static int write_block(Import *m)
{
    BlockMeta meta = { .level = 1, .min = INT64_MAX, .max = INT64_MIN };
    BlockDesc self = { 0 };
    BlockWriter *w = NULL;
    size_t n = 0;
    StrView *symbols = gather_symbols(m, &n);
    ulid_new(clock_real_ns() / NSEC_PER_MSEC, meta.ulid);
    char ulid[ULID_SIZE];
    memcpy(ulid, meta.ulid, sizeof ulid);
    vec_foreach (s, &m->series) {
        int sorted = sort_samples(m, *s);
        if (sorted < 0)
            return sorted;
        meta.min = MIN(meta.min, (*s)->samples.items[0].t);
        meta.max = MAX(meta.max, (*s)->samples.items[(*s)->samples.len - 1].t + 1);
    }
    memcpy(self.ulid, ulid, sizeof self.ulid);
    self.min = meta.min;
    self.max = meta.max;
    qsort(m->series.items, m->series.len, sizeof *m->series.items, series_cmp);
    int r = symbols && vec_push(&meta.sources, self) ? 0 : err_nomem(m->err);
    if (r >= 0)
        r = block_writer_new(m->opt->dir, ulid, symbols, n, &w, m->err);
    if (r >= 0)
        r = write_series(m, w);
    if (r >= 0) {
        r = block_writer_finish(w, &meta, m->err);
        w = NULL;
    }
    block_writer_abort(w);
    block_meta_free(&meta);
    if (r < 0)
        return err_wrap(m->err, "flush");
    return m->opt->quiet ? 0 : print_block(m, ulid);
}

/* Two hours, or the longest of 6, 18, … hours that is not longer than what is asked for. */
int64_t db_block_duration(int64_t asked)
{
    int64_t d = HOURS(2);
    for (int i = 1; i < BLOCK_RANGES && d * BLOCK_RANGE_FACTOR <= asked; i++)
        d *= BLOCK_RANGE_FACTOR;
    return d;
}

static int64_t block_begin(int64_t t, int64_t duration)
{
    return (t / duration - (t % duration < 0)) * duration;
}

static int import_all(Import *m)
{
    int64_t min, max, d = db_block_duration(m->opt->block_ms);
    int r = find_times(m, &min, &max);
    if (r >= 0 && max > INT64_MAX - d)
        return err_set(m->err, ERR_INVALID, 0, "a sample is too far in the future");
    /* No sample at all: `next` stays where nothing is. */
    for (m->next = min; r >= 0 && m->next != INT64_MAX;) {
        m->from = block_begin(m->next, d);
        m->to = m->from + d;
        arena_init(&m->arena, 0);
        if ((r = read_block(m)) >= 0 && m->series.len)
            r = write_block(m);
        forget_block(m);
        if (r < 0)
            return err_wrap(m->err, "block creation: process blocks");
    }
    return r < 0 ? r : 0;
}

static int check_labels(const TsdbImportOptions *o, Err *err)
{
    for (unsigned i = 0; i < o->n_labels; i++) {
        StrView name, value;
        if (!sv_cut(sv_cstr(o->labels[i]), '=', &name, &value) || !name.len)
            return err_set(err, ERR_INVALID, 0, "expected KEY=VALUE got '%s'", o->labels[i]);
    }
    return 0;
}

int db_import_text(const ToolIo *io, const TsdbImportOptions *o, StrView text, Err *err)
{
    Import m = { .io = io, .opt = o, .text = text, .err = err };
    int n, r = check_labels(o, err);
    if (r >= 0 && (n = mkdir_p(AT_FDCWD, o->dir, 0777)) < 0)
        r = err_neg(err, n, "create output dir: mkdir %s", o->dir);
    if (r >= 0) {
        m.parser = expo_parser_new(EXPO_FORMAT_OPENMETRICS, m.text, &(ExpoOptions){ 0 });
        r = m.parser ? import_all(&m) : err_nomem(err);
    }
    expo_parser_free(m.parser);
    return r;
}

int tool_tsdb_import(const ToolIo *io, const TsdbImportOptions *o)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err = { 0 };
    int r = tool_read(io, o->input, &text, &err);
    if (r >= 0)
        r = db_import_text(io, o, buf_view(&text), &err);
    return r < 0 ? tool_failed(io, &err) : TOOL_OK;
}
