/* nhcb.c - `load_with_nhcb`: classic histograms (…_bucket, …_count, …_sum) as native ones with
 * custom buckets. */
#include "monitor/promql/classic.h"
#include "monitor/promqltest/script.h"

typedef struct Classic {
    Labels labels;
    const SeriesValues *count, *sum;
    double *le;
    const SeriesValues **buckets;
    size_t n;
} Classic;

typedef enum Part { PART_NONE, PART_BUCKET, PART_COUNT, PART_SUM } Part;

static Part part_of(StrView name, StrView *ret_base)
{
    static const StrView suffixes[] = { SV_INIT("_bucket"), SV_INIT("_count"), SV_INIT("_sum") };
    for (unsigned i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (!sv_ends(name, suffixes[i]))
            continue;
        *ret_base = sv_head(name, name.len - suffixes[i].len);
        return (Part)(PART_BUCKET + i);
    }
    return PART_NONE;
}

static int add_series(Classic *all, size_t *n, Labels l, const SeriesValues *values, size_t most,
                      Arena *a, Err *err)
{
    StrView base;
    LabelsBuilder b;
    Labels labels;
    double le = 0;
    size_t i = 0;
    Part part = part_of(labels_get(l, LABEL_METRIC_NAME), &base);
    if (part == PART_NONE ||
        (part == PART_BUCKET && (!classic_bound(labels_get(l, SV("le")), &le) || isnan(le))))
        return 0;
    labels_builder_init(&b, a, l);
    labels_builder_set(&b, LABEL_METRIC_NAME, base);
    labels_builder_del(&b, SV("le"));
    if (!labels_builder_take(&b, &labels))
        return err_nomem(err);
    while (i < *n && !labels_eq(all[i].labels, labels))
        i++;
    Classic *c = &all[i];
    if (i == *n) {
        *c = (Classic){ .labels = labels };
        c->le = arena_array(a, double, most);
        c->buckets = arena_alloc_n(a, most, sizeof *c->buckets);
        if (!c->le || !c->buckets)
            return err_nomem(err);
        ++*n;
    }
    if (part == PART_COUNT)
        c->count = values;
    else if (part == PART_SUM)
        c->sum = values;
    else {
        size_t at = c->n++;
        for (; at && c->le[at - 1] > le; at--) {
            c->le[at] = c->le[at - 1];
            c->buckets[at] = c->buckets[at - 1];
        }
        c->le[at] = le;
        c->buckets[at] = values;
    }
    return 0;
}

static bool value_at(const SeriesValues *v, size_t i, double *ret)
{
    if (!v || i >= v->len || v->items[i].omitted || v->items[i].h)
        return false;
    *ret = v->items[i].v;
    return true;
}

static int append_step(Memory *m, MemorySeries *s, const Classic *c, size_t i, int64_t t, Arena *a,
                       Err *err)
{
    double *bounds = arena_array(a, double, c->n + 1), *counts = arena_array(a, double, c->n + 1);
    double count = 0, sum = 0, prev = 0, v;
    bool has_count = value_at(c->count, i, &count), any = value_at(c->sum, i, &sum) || has_count;
    unsigned n = 0;
    bool endless = false;
    if (!bounds || !counts)
        return err_nomem(err);
    for (size_t k = 0; k < c->n; k++) {
        if (!value_at(c->buckets[k], i, &v))
            continue;
        any = true;
        if (n && bounds[n - 1] == c->le[k])
            continue; /* another spelling of the same bound */
        endless = isinf(c->le[k]);
        bounds[n] = c->le[k];
        counts[n++] = v - prev;
        prev = v;
    }
    if (!any)
        return 0;
    if (!has_count)
        count = prev;
    if (!endless)
        counts[n++] = count - prev;
    HistogramSpan span = { 0, n };
    Histogram h = { .schema = HISTOGRAM_SCHEMA_CUSTOM,
                    .count = count,
                    .sum = sum,
                    .pos_spans = &span,
                    .n_pos_spans = 1,
                    .pos = counts,
                    .n_pos = n,
                    .bounds = bounds,
                    .n_bounds = n - 1 };
    int r = histogram_validate(&h, err);
    const Histogram *compact = r < 0 ? NULL : histogram_compact(&h, 0, a);
    if (r < 0 || !compact)
        return r < 0 ? r : err_nomem(err);
    return memory_append(m, s, t, 0, compact, 0, err);
}

int nhcb_convert(Memory *m, const Labels *labels, const SeriesValues *values, size_t n, int64_t gap,
                 Arena *a, Err *err)
{
    Classic *all = arena_array(a, Classic, n + 1);
    size_t len = 0;
    int r = all ? 0 : err_nomem(err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = add_series(all, &len, labels[i], &values[i], n, a, err);
    for (size_t i = 0; r >= 0 && i < len; i++) {
        MemorySeries *s = memory_series(m, all[i].labels);
        size_t steps = MAX(all[i].count ? all[i].count->len : 0, all[i].sum ? all[i].sum->len : 0);
        for (size_t k = 0; k < all[i].n; k++)
            steps = MAX(steps, all[i].buckets[k]->len);
        if (!s)
            return err_nomem(err);
        for (size_t k = 0; r >= 0 && k < steps; k++)
            r = append_step(m, s, &all[i], k, (int64_t)k * gap, a, err);
    }
    return r;
}
