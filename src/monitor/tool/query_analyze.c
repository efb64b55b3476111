/* query_analyze.c - `query analyze --type=histogram`: how many buckets of histograms are in use,
 * series by series and over all of them. A series with floats is a classic histogram's bucket, one
 * without is a native histogram. */
#include <stdio.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"
#include "monitor/model/number.h"
#include "monitor/tool/query_internal.h"

typedef struct Populated { /* buckets that are not empty */
    int64_t min, max, total;
    double avg;
} Populated;

typedef struct Spread {
    int64_t min, max, count;
    double avg;
} Spread;

typedef struct Overall {
    Spread min, avg, max, total;
} Overall;

typedef struct ClassicGroup { /* buckets of one histogram */
    StrView key;
    VEC(const Value *) buckets;
} ClassicGroup;

typedef struct Analysis {
    const ToolIo *io;
    Arena *arena;
    Overall native, classic;
} Analysis;

static void spread_add(Spread *s, int64_t n)
{
    s->min = s->count ? MIN(s->min, n) : n;
    s->max = MAX(s->max, n);
    s->count++;
    s->avg += (double)n / (double)s->count - s->avg / (double)s->count;
}

static void overall_add(Overall *o, const Populated *p)
{
    spread_add(&o->min, p->min);
    spread_add(&o->avg, (int64_t)p->avg);
    spread_add(&o->max, p->max);
    spread_add(&o->total, p->total);
}

static void print_populated(FILE *out, const Populated *p)
{
    fprintf(out, "%lld/%.3f/%lld", (long long)p->min, p->avg, (long long)p->max);
    if (p->max != p->total)
        fprintf(out, "/%lld", (long long)p->total);
    fputc('\n', out);
}

static void print_spread(FILE *out, const char *what, const Spread *s)
{
    fprintf(out, "- %s: %lld/%.3f/%lld\n", what, (long long)s->min, s->avg, (long long)s->max);
}

static void print_overall(FILE *out, const char *kind, const Overall *o)
{
    if (!o->min.count)
        return;
    fprintf(out, "\n%s histogram series (%lld in total):\n", kind, (long long)o->min.count);
    print_spread(out, "min populated", &o->min);
    print_spread(out, "avg populated", &o->avg);
    print_spread(out, "max populated", &o->max);
    if (o->max.min != o->total.min || o->max.max != o->total.max || o->max.avg != o->total.avg)
        print_spread(out, "total", &o->total);
}

static void populated_add(Populated *p, int64_t n, int64_t *sum)
{
    p->min = MIN(p->min, n);
    p->max = MAX(p->max, n);
    *sum += n;
}

/* ---- native ---- */

/* Buckets of the same bounds count once over all samples. */
static int64_t count_bounds(const Value *samples, bool *ret_failed)
{
    _cleanup_map_ Map seen = { 0 };
    value_list_foreach (s, samples) {
        value_list_foreach (b, value_get(value_at(s, 1), SV("buckets"))) {
            char key[120];
            int n = snprintf(key, sizeof key, "%lld %.17g %.17g",
                             (long long)value_int_or(value_at(b, 0), 0),
                             value_number(value_at(b, 1)), value_number(value_at(b, 2)));
            *ret_failed |= !map_set(&seen, sv_n(key, (size_t)n), &seen, NULL);
        }
    }
    return (int64_t)seen.len;
}

static int analyze_native(Analysis *x, const Value *series, Err *err)
{
    const Value *samples = value_get(series, SV("histograms"));
    Populated p = { .min = INT64_MAX };
    _cleanup_buf_ Buf name = BUF_INIT;
    bool failed = false;
    int64_t sum = 0;
    Labels l;
    if (value_len(samples) < 2)
        return 0;
    value_list_foreach (s, samples)
        populated_add(&p, value_len(value_get(value_at(s, 1), SV("buckets"))), &sum);
    p.avg = (double)sum / value_len(samples);
    p.total = count_bounds(samples, &failed);
    int r =
        failed ? err_nomem(err) : value_labels(value_get(series, SV("metric")), x->arena, &l, err);
    if (r < 0)
        return r;
    labels_format(l, &name);
    fprintf(x->io->out, "- %.*s (native): ", SV_FMT(buf_view(&name)));
    print_populated(x->io->out, &p);
    overall_add(&x->native, &p);
    return 0;
}

/* ---- classic ---- */

static int by_bound(const void *a, const void *b)
{
    const Value *x = *(const Value *const *)a, *y = *(const Value *const *)b;
    double p = value_number(value_path(x, "metric.le")),
           q = value_number(value_path(y, "metric.le"));
    return (p > q) - (p < q);
}

static const Value *sample_at(const ClassicGroup *g, size_t bucket, uint32_t i)
{
    return value_at(value_get(g->buckets.items[bucket], SV("values")), i);
}

/* Buckets that hold something of their own at sample `i`; -1: the series are not aligned. */
static int64_t count_populated(const ClassicGroup *g, uint32_t i)
{
    int64_t n = 0;
    double before = 0;
    for (size_t b = 0; b < g->buckets.len; b++) {
        const Value *s = sample_at(g, b, i);
        if (!s)
            break; /* what there is counts */
        if (b && value_number(value_at(s, 0)) != value_number(value_at(sample_at(g, b - 1, i), 0)))
            return -1;
        double v = value_number(value_at(s, 1));
        n += (int64_t)(v - before) != 0;
        before = v;
    }
    return n;
}

static int analyze_classic(Analysis *x, ClassicGroup *g, Err *err)
{
    Populated p = { .min = INT64_MAX, .total = (int64_t)g->buckets.len };
    uint32_t samples = value_len(value_get(g->buckets.items[0], SV("values")));
    int64_t sum = 0;
    if (samples < 2)
        return 0;
    qsort(g->buckets.items, g->buckets.len, sizeof *g->buckets.items, by_bound);
    for (uint32_t i = 0; i < samples; i++) {
        int64_t n = count_populated(g, i);
        if (n < 0)
            return err_set(err, ERR_PROTO, 0, "matrix result is not time aligned");
        populated_add(&p, n, &sum);
    }
    p.avg = (double)sum / samples;
    fprintf(x->io->out, "- %.*s (classic): ", SV_FMT(g->key));
    print_populated(x->io->out, &p);
    overall_add(&x->classic, &p);
    return 0;
}

typedef VEC(ClassicGroup) ClassicGroups;

/* "name_bucket{labels without le}"; empty: the series is no bucket. */
static int group_key(Analysis *x, const Value *series, StrView *ret, Err *err)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    LabelsBuilder b;
    Labels all, rest;
    int r = value_labels(value_get(series, SV("metric")), x->arena, &all, err);
    if (r < 0)
        return r;
    StrView name = labels_get(all, LABEL_METRIC_NAME);
    *ret = SV("");
    if (!labels_has(all, SV("le")) || !sv_ends(name, SV("_bucket")))
        return 0;
    labels_builder_init(&b, x->arena, all);
    labels_builder_del(&b, LABEL_METRIC_NAME);
    labels_builder_del(&b, SV("le"));
    if (!labels_builder_take(&b, &rest))
        return err_nomem(err);
    buf_sv(&key, name);
    labels_format_set(rest, &key);
    *ret = key.failed ? SV_NULL : arena_sv(x->arena, buf_view(&key));
    return ret->ptr ? 0 : err_nomem(err);
}

static int add_bucket(Analysis *x, ClassicGroups *groups, const Value *series, Err *err)
{
    StrView key;
    ClassicGroup *to = NULL;
    int r = group_key(x, series, &key, err);
    if (r < 0 || !key.len)
        return r;
    vec_foreach (g, groups)
        if (sv_eq(g->key, key))
            to = g;
    if (!to) {
        if (!vec_push(groups, ((ClassicGroup){ .key = key })))
            return err_nomem(err);
        to = &groups->items[groups->len - 1];
    }
    return vec_push(&to->buckets, series) ? 0 : err_nomem(err);
}

static int analyze_matrix(Analysis *x, const Value *result, Err *err)
{
    ClassicGroups groups = { 0 };
    int r = 0;
    for (uint32_t i = 0; r >= 0 && i < value_len(result); i++) {
        const Value *series = value_at(result, i);
        r = value_len(value_get(series, SV("values"))) ? add_bucket(x, &groups, series, err)
                                                       : analyze_native(x, series, err);
    }
    vec_foreach (g, &groups) {
        if (r >= 0)
            r = analyze_classic(x, g, err);
        vec_free(&g->buckets);
    }
    vec_free(&groups);
    return r;
}

static int analyze_match(Analysis *x, Server *s, const char *match, StrView range, StrView time,
                         Err *err)
{
    _cleanup_buf_ Buf form = BUF_INIT;
    Value data;
    StrView query = arena_printf(x->arena, "%s[%.*s]", match, SV_FMT(range));
    if (!query.ptr)
        return err_nomem(err);
    form_add(&form, SV("query"), query);
    form_add(&form, SV("time"), time);
    int r = query_api(s, SV("/api/v1/query"), buf_view(&form), true, x->arena, &data, err);
    if (r < 0)
        return r;
    if (!sv_eq(value_path_str(&data, "resultType"), SV("matrix")))
        return err_set(err, ERR_PROTO, 0, "query of buckets resulted in non-Matrix");
    return analyze_matrix(x, value_get(&data, SV("result")), err);
}

int tool_query_analyze(const ToolIo *io, const QueryOptions *o)
{
    _cleanup_arena_ Arena a;
    Analysis x = { .io = io, .arena = &a };
    Server *s = NULL;
    Err err = { 0 };
    int64_t at = clock_real_ns() / NSEC_PER_MSEC;
    char range[DURATION_SIZE], time[DOUBLE_JSON_SIZE];
    arena_init(&a, 0);
    int r = o->time && *o->time ? tool_time(sv_cstr(o->time), &at, &err) : 0;
    if (r < 0)
        err_wrap(&err, "error parsing time '%s'", o->time);
    size_t n_range = duration_format(o->duration_ms * NSEC_PER_MSEC, range);
    size_t n_time = time_format_json(at, time);
    if (r >= 0 && (r = server_new(&o->server, &s, &err)) >= 0)
        fputs("Bucket stats for each histogram series over time\n"
              "------------------------------------------------\n"
              "First the min, avg, and max number of populated buckets, followed by the total\n"
              "number of buckets (only if different from the max number of populated buckets\n"
              "which is typical for classic but not native histograms).\n\n",
              io->out);
    for (unsigned i = 0; r >= 0 && i < o->n_matches; i++)
        r = analyze_match(&x, s, o->matches[i], sv_n(range, n_range), sv_n(time, n_time), &err);
    server_free(s);
    if (r < 0)
        return tool_failed(io, &err);
    fputs("\nAggregated bucket stats\n-----------------------\n"
          "Each line shows min/avg/max over the series above.\n",
          io->out);
    print_overall(io->out, "Native", &x.native);
    print_overall(io->out, "Classic", &x.classic);
    return TOOL_OK;
}
