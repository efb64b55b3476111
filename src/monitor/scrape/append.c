/* append.c - a body into the database, line by line. A line that is known costs a look into the
 * cache and one append; a new one is taken apart, relabelled and checked against the limits. */
#include <math.h>
#include <stdio.h>

#include "monitor/model/sample.h"
#include "monitor/scrape/internal.h"

enum { AHEAD_MAX_MS = 10 * 60 * 1000 }; /* samples further in the future are left out */

typedef struct Batch {
    ScrapeTarget *t;
    const ConfigScrape *job;
    ScrapeStats *stats;
    ExpoParser *parser;
    TsdbAppender *app;
    Arena *scratch;
    int64_t ts, ahead;
    ScrapeCounts *counts;
    uint64_t appended; /* towards the sample limit */
    bool over_limit;
    Err *err;
} Batch;

/* ---- labels ---- */

static StrView exported_name(Batch *b, const LabelsBuilder *lb, StrView name)
{
    do {
        name = arena_printf(b->scratch, "exported_%.*s", SV_FMT(name));
    } while (name.ptr && labels_builder_get(lb, name).len);
    return name;
}

/* The target's labels onto a sample's; what stands in the way is kept as exported_…, or wins with
 * honor_labels. */
static void add_target_labels(Batch *b, LabelsBuilder *lb, Labels own)
{
    Labels t = b->t->labels;
    if (b->job->honor_labels) {
        for (unsigned i = 0; i < t.len; i++)
            if (!labels_has(own, t.items[i].name))
                labels_builder_set(lb, t.items[i].name, t.items[i].value);
        return;
    }
    for (unsigned i = 0; i < t.len; i++)
        labels_builder_set(lb, t.items[i].name, t.items[i].value);
    for (unsigned i = 0; i < t.len; i++) {
        StrView was = labels_get(own, t.items[i].name);
        if (sv_empty(was))
            continue;
        StrView name = exported_name(b, lb, t.items[i].name);
        if (!name.ptr)
            lb->failed = true;
        else
            labels_builder_set(lb, name, was);
    }
}

static int check_limits(Batch *b, Labels l)
{
    const ConfigLimits *lim = &b->job->limits;
    StrView metric = sv_head(labels_get(l, LABEL_METRIC_NAME), 50);
    uint64_t name_max = lim->label_name_length ? lim->label_name_length : SCRAPE_LABEL_MAX;
    uint64_t value_max = lim->label_value_length ? lim->label_value_length : SCRAPE_LABEL_MAX;

    if (lim->labels && l.len > lim->labels)
        return err_set(b->err, ERR_LIMIT, 0,
                       "label_limit exceeded (metric: %.*s, number of labels: %u, limit: %llu)",
                       SV_FMT(metric), l.len, (unsigned long long)lim->labels);
    for (unsigned i = 0; i < l.len; i++) {
        StrView name = l.items[i].name, value = l.items[i].value;
        if (name.len > name_max)
            return err_set(b->err, ERR_LIMIT, 0,
                           "label_name_length_limit exceeded (metric: %.*s, label name: %.*s, "
                           "length: %zu, limit: %llu)",
                           SV_FMT(metric), SV_FMT(sv_head(name, 50)), name.len,
                           (unsigned long long)name_max);
        if (value.len > value_max)
            return err_set(b->err, ERR_LIMIT, 0,
                           "label_value_length_limit exceeded (metric: %.*s, label name: %.*s, "
                           "value: \"%.*s\", length: %zu, limit: %llu)",
                           SV_FMT(metric), SV_FMT(sv_head(name, 50)), SV_FMT(sv_head(value, 50)),
                           value.len, (unsigned long long)value_max);
    }
    return 0;
}

static bool has_valid_name(const ConfigScrape *job, Labels l)
{
    StrView name = labels_get(l, LABEL_METRIC_NAME);
    if (!sv_eq(job->metric_name_validation_scheme, SV("legacy")))
        return name.len > 0;
    for (unsigned i = 0; i < l.len; i++)
        if (!label_name_is_legacy(l.items[i].name))
            return false;
    return metric_name_is_legacy(name);
}

/* Labels of the current line as they go into the database. 0: dropped by relabelling. */
static int make_labels(Batch *b, Labels *ret)
{
    Labels own;
    LabelsBuilder lb;
    int r = expo_labels(b->parser, b->scratch, &own, b->err);
    if (r < 0)
        return r;
    labels_builder_init(&lb, b->scratch, own);
    add_target_labels(b, &lb, own);
    bool keep = relabel(b->job->metric_relabel.items, b->job->metric_relabel.len, &lb);
    if (!labels_builder_take(&lb, ret))
        return err_nomem(b->err);
    if (!keep || !ret->len)
        return 0;
    if (!has_valid_name(b->job, *ret)) {
        _cleanup_buf_ Buf text = BUF_INIT;
        labels_format_set(*ret, &text);
        if (!labels_has(*ret, LABEL_METRIC_NAME))
            return err_set(b->err, ERR_INVALID, 0, "label set contains no __name__: %.*s",
                           SV_FMT(sv_head(buf_view(&text), 300)));
        return err_set(b->err, ERR_INVALID, 0, "invalid metric name or label names: %.*s",
                       SV_FMT(sv_head(buf_view(&text), 300)));
    }
    if ((r = check_limits(b, *ret)) < 0) {
        b->stats->exceeded_label_limits++;
        return r;
    }
    return 1;
}

/* ---- native histograms ---- */

static bool fits(const Histogram *h, uint64_t limit)
{
    return (uint64_t)h->n_pos + h->n_neg <= limit;
}

/* The finest schema whose buckets grow by at least `factor`. */
static int32_t schema_for(double factor)
{
    int32_t schema = HISTOGRAM_SCHEMA_MAX;
    while (schema > HISTOGRAM_SCHEMA_MIN && exp2(exp2(-schema)) < factor)
        schema--;
    return schema;
}

static int limit_histogram(Batch *b, const Histogram **h)
{
    uint64_t limit = b->job->native_histogram_bucket_limit;
    double factor = b->job->native_histogram_min_bucket_factor;
    bool custom = histogram_is_custom(*h);

    if (!custom && factor > 1 && (*h)->schema > schema_for(factor))
        *h = histogram_reduce(*h, schema_for(factor), b->scratch);
    while (*h && limit && !fits(*h, limit)) {
        if (custom || (*h)->schema <= HISTOGRAM_SCHEMA_MIN) {
            b->stats->exceeded_bucket_limit++;
            return err_set(b->err, ERR_LIMIT, 0, "histogram bucket limit exceeded");
        }
        *h = histogram_reduce(*h, (*h)->schema - 1, b->scratch);
    }
    return *h ? 0 : err_nomem(b->err);
}

/* ---- one sample ---- */

static AppendResult put(Batch *b, CacheEntry *e, Labels l, const ExpoEntry *x, int64_t t)
{
    if (t > b->ahead)
        return APPEND_OUT_OF_BOUNDS;
    return x->h ? tsdb_append_histogram(b->app, &e->ref, l, t, x->h, b->err)
                : tsdb_append(b->app, &e->ref, l, t, x->v, b->err);
}

static int count_result(Batch *b, AppendResult r)
{
    switch (r) {
    case APPEND_OUT_OF_ORDER:
        b->stats->out_of_order++;
        return 0;
    case APPEND_DUPLICATE:
        b->stats->duplicate++;
        return 0;
    case APPEND_TOO_OLD:
    case APPEND_OUT_OF_BOUNDS:
        b->stats->out_of_bounds++;
        return 0;
    case APPEND_INVALID:
        return b->err->code ? -(int)b->err->code
                            : err_set(b->err, ERR_INVALID, 0, "%s", append_result_text(r));
    case APPEND_FAILED:
        return b->err->code ? -(int)b->err->code : err_nomem(b->err);
    default:
        return 1;
    }
}

static int put_exemplars(Batch *b, const CacheEntry *e, const ExpoEntry *x, int64_t t)
{
    for (unsigned i = 0; i < x->n_exemplars; i++) {
        ExpoExemplar ex;
        Err ignored = { 0 }; /* an exemplar too many or too old spoils no scrape */
        int r = expo_exemplar(b->parser, i, b->scratch, &ex, b->err);
        if (r < 0)
            return r;
        Exemplar out = { .labels = ex.labels, .value = ex.value, .t = ex.has_t ? ex.t : t };
        if (tsdb_append_exemplar(b->app, e->ref, &out, &ignored) == APPEND_OUT_OF_ORDER)
            b->stats->exemplars_out_of_order++;
    }
    return 0;
}

/* The family that a series belongs to, by its name without the endings of its type. */
static const Family *family_of(Batch *b, StrView metric)
{
    static const char *const endings[] = { "",       "_total",   "_bucket", "_sum",
                                           "_count", "_created", "_info" };
    for (unsigned i = 0; i < ARRAY_SIZE(endings); i++) {
        StrView end = sv_cstr(endings[i]);
        Family *f =
            sv_ends(metric, end)
                ? scrape_families_get(&b->t->families, sv_head(metric, metric.len - end.len))
                : NULL;
        if (f)
            return f;
    }
    return NULL;
}

static void put_metadata(Batch *b, const CacheEntry *e, Labels l)
{
    const Family *f = family_of(b, labels_get(l, LABEL_METRIC_NAME));
    Err ignored = { 0 };
    if (!f)
        return;
    MetricMetadata m = { sv_cstr(expo_type_names[f->type]), f->unit, f->help };
    tsdb_append_metadata(b->app, e->ref, &m, &ignored);
}

/* What is counted was 0 when it began, so that the first increase is seen. */
static void put_start(Batch *b, CacheEntry *e, Labels l, const Histogram *h, int64_t t)
{
    int64_t start = expo_start_time(b->parser);
    Err ignored = { 0 };
    if (start > 0 && start < t)
        tsdb_append_zero(b->app, &e->ref, l, start, h, &ignored);
}

/* Appends with a reference that is known, or with the labels of the line. 1: appended. */
static int put_known(Batch *b, CacheEntry *e, const ExpoEntry *x, int64_t t)
{
    Labels none = { 0 }, l;
    if (e->ref) {
        AppendResult r = put(b, e, none, x, t);
        if (r != APPEND_INVALID)
            return count_result(b, r);
        err_clear(b->err); /* dropped from the head in between: by labels, then */
        e->ref = 0;
    }
    int r = make_labels(b, &l);
    if (r <= 0) {
        e->dropped = r == 0;
        return r;
    }
    if (b->t->pool->manager->opt.start_times)
        put_start(b, e, l, x->h, t);
    r = count_result(b, put(b, e, l, x, t));
    if (r > 0 && b->t->pool->manager->opt.append_metadata)
        put_metadata(b, e, l);
    return r;
}

/* Over the limit of samples the rest is only counted, for the message's sake as in Prometheus. */
static bool over_sample_limit(Batch *b, const ExpoEntry *x)
{
    uint64_t limit = b->job->limits.samples;
    if (!limit || (!x->h && is_stale_nan(x->v)))
        return false;
    if (++b->appended <= limit)
        return false;
    b->over_limit = true;
    return true;
}

static int one_sample(Batch *b, ExpoEntry *x)
{
    CacheEntry *e = scrape_cache_find(&b->t->cache, x->series, x->expected);
    bool is_new = !e, timed = x->has_t && b->job->honor_timestamps;
    int64_t t = timed ? x->t : b->ts;
    int r;

    b->counts->total++;
    if (is_new && !(e = scrape_cache_add(&b->t->cache, x->series)))
        return err_nomem(b->err);
    scrape_cache_saw(&b->t->cache, e);
    if (e->dropped)
        return 0;
    tsdb_prefetch(b->app, scrape_cache_ahead(&b->t->cache));
    if (!e->ref || x->h || x->n_exemplars)
        arena_reset(b->scratch);
    if (over_sample_limit(b, x)) {
        b->counts->post_relabel++;
        return 0;
    }
    if (x->h && (r = limit_histogram(b, &x->h)) < 0)
        return r;
    e->tracked = !timed || b->job->track_timestamps_staleness;
    if ((r = put_known(b, e, x, t)) < 0)
        return r;
    b->t->cache.changed |= e->alive != scrape_cache_lives(&b->t->cache, e);
    if (e->dropped)
        return 0;
    b->counts->post_relabel++;
    if (r > 0 && is_new)
        b->counts->added++;
    return x->n_exemplars && e->ref ? put_exemplars(b, e, x, t) : 0;
}

/* ---- metadata ---- */

static int one_metadata(Batch *b, const ExpoEntry *x)
{
    Family *f = scrape_families_find(&b->t->families, x->name);
    ExpoType type = x->kind == EXPO_TYPE ? x->type : f ? f->type : EXPO_UNKNOWN;
    StrView help = x->kind == EXPO_HELP ? x->text : f ? f->help : SV("");
    StrView unit = x->kind == EXPO_UNIT ? x->text : f ? f->unit : SV("");

    if (f && f->type == type && sv_eq(f->help, help) && sv_eq(f->unit, unit)) {
        f->seen = b->t->cache.scrape;
        return 0;
    }
    pthread_mutex_t *lock = &b->t->pool->manager->families;
    pthread_mutex_lock(lock);
    bool ok = scrape_families_put(&b->t->families, x->name, type, help, unit, b->t->cache.scrape);
    pthread_mutex_unlock(lock);
    return ok ? 0 : err_nomem(b->err);
}

/* ---- the body ---- */

int scrape_append(ScrapeWork *w, StrView body, TsdbAppender *a, Err *err)
{
    ScrapeTarget *t = w->t;
    ScrapeManager *m = t->pool->manager;
    Err own = { 0 };
    Batch b = { .t = t,
                .job = t->pool->job,
                .stats = &w->stats,
                .parser = m->parser,
                .app = a,
                .scratch = &m->scratch,
                .ts = w->ts,
                .ahead = w->ts + AHEAD_MAX_MS,
                .counts = &w->counts,
                .err = err ? err : &own };
    ExpoEntry x;
    int r;

    scrape_cache_begin(&t->cache);
    scrape_families_begin(&t->families);
    expo_parser_reset(m->parser, w->format, body, &t->expo);
    for (;;) {
        expo_expect(m->parser, scrape_cache_expected(&t->cache));
        if ((r = expo_next(m->parser, &x, b.err)) < 0 || x.kind == EXPO_END)
            break;
        bool sample = x.kind == EXPO_SERIES || x.kind == EXPO_HISTOGRAM;
        if ((r = sample ? one_sample(&b, &x) : one_metadata(&b, &x)) < 0)
            return r;
    }
    if (r >= 0 && b.over_limit) {
        w->stats.exceeded_sample_limit++;
        return err_set(b.err, ERR_LIMIT, 0, "sample limit exceeded");
    }
    return r;
}

int scrape_append_stale(ScrapeTarget *t, TsdbAppender *a, int64_t ts, bool all, Err *err)
{
    ScrapeCache *c = &t->cache;
    double marker = double_from_bits(NAN_STALE_BITS);
    Labels none = { 0 };

    if (!all && scrape_cache_is_same(c))
        return 0;
    for (size_t i = 0; i < c->places.len; i++) {
        CacheEntry *e = scrape_cache_entry(c, i);
        if (!e->alive || (!all && e->seen == c->scrape && e->tracked))
            continue;
        Err ignored = { 0 };
        /* Newer samples of another target, or a series that is gone, need no marker. */
        if (e->ref && tsdb_append(a, &e->ref, none, ts, marker, &ignored) == APPEND_FAILED) {
            if (err)
                *err = ignored;
            return ignored.code ? -(int)ignored.code : err_nomem(err);
        }
    }
    return 0;
}
