/* histogram_acc.c - sums and differences of histograms.
 *
 * Inside, a side is a list of (index, count), not spans: merging two of them is one pass over both,
 * and when their layouts agree, as those of one family nearly always do, one loop without moves. */
#include <string.h>

#include "monitor/model/histogram.h"
#include "monitor/model/number.h"

static void side_free(HistogramSide *s)
{
    free(s->index);
    free(s->count);
    free(s->comp);
    *s = (HistogramSide){ 0 };
}

void histogram_acc_free(HistogramAcc *acc)
{
    if (!acc)
        return;
    side_free(&acc->pos);
    side_free(&acc->neg);
    side_free(&acc->tmp_pos);
    side_free(&acc->tmp_neg);
    side_free(&acc->merged);
    free(acc->bounds);
    *acc = (HistogramAcc){ 0 };
}

static bool grow(void **p, size_t n, size_t size)
{
    void *grown = realloc(*p, n * size);
    if (grown)
        *p = grown;
    return grown != NULL;
}

static bool side_reserve(HistogramAcc *acc, HistogramSide *s, unsigned need)
{
    if (need <= s->cap)
        return true;
    unsigned cap = MAX(need, MAX(s->cap * 2, 16u));
    if (!grow((void **)&s->index, cap, sizeof *s->index) ||
        !grow((void **)&s->count, cap, sizeof *s->count) ||
        !grow((void **)&s->comp, cap, sizeof *s->comp)) {
        acc->failed = true;
        return false;
    }
    s->cap = cap;
    return true;
}

static int32_t coarser(int32_t index, int32_t from, int32_t to)
{
    return to < from ? ((index - 1) >> (from - to)) + 1 : index;
}

static void side_push(HistogramSide *s, int32_t index, double count, double comp)
{
    s->index[s->len] = index;
    s->count[s->len] = count;
    s->comp[s->len++] = comp;
}

/* Adds one count to slot i, compensated or plainly. */
static void slot_add(const HistogramAcc *acc, HistogramSide *s, unsigned i, double count,
                     double comp)
{
    if (!acc->compensate) {
        s->count[i] += count;
        return;
    }
    kahan_add(count, &s->count[i], &s->comp[i]);
    if (comp != 0)
        kahan_add(comp, &s->count[i], &s->comp[i]);
}

static void side_expand(HistogramAcc *acc, HistogramSide *dst, const HistogramSpan *spans,
                        unsigned n_spans, const double *counts, unsigned n)
{
    dst->len = 0;
    if (!side_reserve(acc, dst, n))
        return;
    int32_t index = 0;
    unsigned at = 0;
    for (unsigned i = 0; i < n_spans; i++) {
        index += spans[i].offset;
        for (unsigned j = 0; j < spans[i].length && at < n; j++)
            side_push(dst, index++, counts[at++], 0);
    }
}

static void side_reduce(const HistogramAcc *acc, HistogramSide *s, int32_t from, int32_t to)
{
    unsigned n = s->len;
    if (to >= from)
        return;
    s->len = 0;
    for (unsigned i = 0; i < n; i++) {
        int32_t index = coarser(s->index[i], from, to);
        if (s->len && s->index[s->len - 1] == index)
            slot_add(acc, s, s->len - 1, s->count[i], s->comp[i]);
        else
            side_push(s, index, s->count[i], s->comp[i]);
    }
}

static void side_compact(HistogramSide *s)
{
    unsigned n = s->len;
    s->len = 0;
    for (unsigned i = 0; i < n; i++)
        if (s->count[i] != 0 || s->comp[i] != 0)
            side_push(s, s->index[i], s->count[i], s->comp[i]);
}

static void bounds_set(HistogramAcc *acc, const double *bounds, unsigned n)
{
    acc->n_bounds = 0;
    if (n > acc->cap_bounds) {
        if (!grow((void **)&acc->bounds, n, sizeof *bounds)) {
            acc->failed = true;
            return;
        }
        acc->cap_bounds = n;
    }
    if (n)
        memcpy(acc->bounds, bounds, n * sizeof *bounds);
    acc->n_bounds = n;
}

void histogram_acc_set(HistogramAcc *acc, const Histogram *h)
{
    acc->used = true;
    acc->failed = false;
    acc->hint = h->hint;
    acc->schema = h->schema;
    acc->zero_threshold = h->zero_threshold;
    acc->zero_count = h->zero_count;
    acc->count = h->count;
    acc->sum = h->sum;
    acc->zero_comp = acc->count_comp = acc->sum_comp = 0;
    side_expand(acc, &acc->pos, h->pos_spans, h->n_pos_spans, h->pos, h->n_pos);
    side_expand(acc, &acc->neg, h->neg_spans, h->n_neg_spans, h->neg, h->n_neg);
    bounds_set(acc, h->bounds, h->n_bounds);
}

/* What one side adds to the zero bucket when that grows to *threshold. A populated bucket in which
 * the threshold falls pushes it to that bucket's far edge: true, count again. */
static bool zero_take_side(const HistogramSide *s, int32_t schema, double *threshold, double *sum,
                           double *comp)
{
    for (unsigned i = 0; i < s->len; i++) {
        if (histogram_bound(s->index[i] - 1, schema) >= *threshold)
            break;
        kahan_add(s->count[i], sum, comp);
        kahan_add(s->comp[i], sum, comp);
        double far = histogram_bound(s->index[i], schema);
        if (far > *threshold) {
            bool moved = s->count[i] != 0;
            if (moved)
                *threshold = far;
            return moved;
        }
    }
    return false;
}

static void zero_widen(const HistogramSide *pos, const HistogramSide *neg, int32_t schema,
                       double *threshold, double *count, double *comp)
{
    for (;;) {
        double sum = *count, c = *comp;
        zero_take_side(pos, schema, threshold, &sum, &c);
        if (zero_take_side(neg, schema, threshold, &sum, &c))
            continue;
        *count = sum;
        *comp = c;
        return;
    }
}

static void zero_trim_side(HistogramSide *s, int32_t schema, double threshold)
{
    for (unsigned i = 0; i < s->len; i++) {
        if (histogram_bound(s->index[i] - 1, schema) >= threshold)
            break;
        s->count[i] = s->comp[i] = 0;
    }
    side_compact(s);
}

/* Finds a zero bucket that both can have. The other's buckets are in tmp_*, in its own schema. */
static void zero_reconcile(HistogramAcc *acc, const Histogram *h, double *ret_count,
                           double *ret_comp)
{
    double threshold = h->zero_threshold;
    *ret_count = h->zero_count;
    *ret_comp = 0;
    while (threshold != acc->zero_threshold) {
        if (acc->zero_threshold > threshold) {
            threshold = acc->zero_threshold;
            *ret_count = h->zero_count;
            *ret_comp = 0;
            zero_widen(&acc->tmp_pos, &acc->tmp_neg, h->schema, &threshold, ret_count, ret_comp);
        }
        if (threshold > acc->zero_threshold) {
            double comp = acc->compensate ? acc->zero_comp : 0;
            acc->zero_threshold = threshold;
            zero_widen(&acc->pos, &acc->neg, acc->schema, &acc->zero_threshold, &acc->zero_count,
                       &comp);
            if (acc->compensate)
                acc->zero_comp = comp;
            zero_trim_side(&acc->pos, acc->schema, acc->zero_threshold);
            zero_trim_side(&acc->neg, acc->schema, acc->zero_threshold);
        }
    }
}

/* The first bucket of `s` that does not lie inside the zero bucket. */
static unsigned first_outside(const HistogramAcc *acc, const HistogramSide *s)
{
    unsigned i = 0;
    if (acc->schema == HISTOGRAM_SCHEMA_CUSTOM)
        return 0;
    while (i < s->len && histogram_bound(s->index[i], acc->schema) <= acc->zero_threshold)
        i++;
    return i;
}

static void side_add(HistogramAcc *acc, HistogramSide *dst, const HistogramSide *src, double sign)
{
    unsigned i = 0, j = first_outside(acc, src);
    if (j == 0 && dst->len == src->len &&
        (!src->len || memcmp(dst->index, src->index, src->len * sizeof *src->index) == 0)) {
        for (; i < src->len; i++)
            slot_add(acc, dst, i, sign * src->count[i], sign * src->comp[i]);
        return;
    }
    HistogramSide *m = &acc->merged;
    m->len = 0;
    if (!side_reserve(acc, m, dst->len + src->len))
        return;
    while (i < dst->len || j < src->len) {
        bool left = i < dst->len && (j >= src->len || dst->index[i] <= src->index[j]);
        bool both = left && j < src->len && dst->index[i] == src->index[j];
        if (left) {
            side_push(m, dst->index[i], dst->count[i], dst->comp[i]);
            i++;
        } else {
            side_push(m, src->index[j], sign * src->count[j], sign * src->comp[j]);
        }
        if (both)
            slot_add(acc, m, m->len - 1, sign * src->count[j], sign * src->comp[j]);
        j += !left || both;
    }
    HistogramSide old = *dst;
    *dst = *m;
    *m = old;
}

static bool adjust_hint(HistogramAcc *acc, HistogramHint other)
{
    if (other == acc->hint || acc->hint == HINT_GAUGE)
        return false;
    if (other == HINT_GAUGE) {
        acc->hint = HINT_GAUGE;
        return false;
    }
    bool collision = acc->hint != HINT_UNKNOWN && other != HINT_UNKNOWN;
    acc->hint = HINT_UNKNOWN;
    return collision;
}

/* Which slot of the common bounds the bucket `index` of `bounds` falls into. */
static void map_custom(HistogramAcc *acc, HistogramSide *dst, const double *common,
                       unsigned n_common, const HistogramSide *src, const double *bounds,
                       unsigned n_bounds, double sign)
{
    unsigned at = 0;
    for (unsigned i = 0; i < src->len; i++) {
        unsigned slot = n_common;
        if ((unsigned)src->index[i] < n_bounds) {
            while (at < n_common && common[at] < bounds[src->index[i]])
                at++;
            slot = at;
        }
        kahan_add(sign * src->count[i], &dst->count[slot], &dst->comp[slot]);
        if (acc->compensate)
            kahan_add(sign * src->comp[i], &dst->count[slot], &dst->comp[slot]);
    }
}

static void custom_reconcile(HistogramAcc *acc, const Histogram *h, double sign)
{
    unsigned n = 0;
    double *common = malloc((MIN(acc->n_bounds, h->n_bounds) + 1) * sizeof *common);
    HistogramSide *m = &acc->merged;
    if (!common) {
        acc->failed = true;
        return;
    }
    for (unsigned i = 0, j = 0; i < acc->n_bounds && j < h->n_bounds;) {
        if (acc->bounds[i] == h->bounds[j]) {
            common[n++] = acc->bounds[i++];
            j++;
        } else if (acc->bounds[i] < h->bounds[j]) {
            i++;
        } else {
            j++;
        }
    }
    m->len = 0;
    if (side_reserve(acc, m, n + 1)) {
        for (unsigned i = 0; i <= n; i++)
            side_push(m, (int32_t)i, 0, 0);
        map_custom(acc, m, common, n, &acc->pos, acc->bounds, acc->n_bounds, 1);
        map_custom(acc, m, common, n, &acc->tmp_pos, h->bounds, h->n_bounds, sign);
        side_compact(m);
        if (!acc->compensate && m->len)
            memset(m->comp, 0, m->len * sizeof *m->comp);
        HistogramSide old = acc->pos;
        acc->pos = *m;
        *m = old;
        bounds_set(acc, common, n);
    }
    free(common);
}

static void total_add(const HistogramAcc *acc, double v, double *sum, double *comp)
{
    if (acc->compensate)
        kahan_add(v, sum, comp);
    else
        *sum += v;
}

static bool same_custom(const HistogramAcc *acc, const Histogram *h)
{
    Histogram own = { .bounds = acc->bounds, .n_bounds = acc->n_bounds };
    return histogram_same_bounds(&own, h);
}

unsigned histogram_acc_add(HistogramAcc *acc, const Histogram *h, bool subtract)
{
    double sign = subtract ? -1 : 1;
    bool custom = acc->schema == HISTOGRAM_SCHEMA_CUSTOM;
    if (custom != histogram_is_custom(h))
        return HISTOGRAM_ADD_MIXED;
    unsigned flags = adjust_hint(acc, h->hint) ? HISTOGRAM_ADD_COLLISION : 0;
    side_expand(acc, &acc->tmp_pos, h->pos_spans, h->n_pos_spans, h->pos, h->n_pos);
    side_expand(acc, &acc->tmp_neg, h->neg_spans, h->n_neg_spans, h->neg, h->n_neg);
    if (!custom) {
        double zero, comp;
        zero_reconcile(acc, h, &zero, &comp);
        total_add(acc, sign * zero, &acc->zero_count, &acc->zero_comp);
        if (acc->compensate)
            kahan_add(sign * comp, &acc->zero_count, &acc->zero_comp);
    }
    total_add(acc, sign * h->count, &acc->count, &acc->count_comp);
    total_add(acc, sign * h->sum, &acc->sum, &acc->sum_comp);
    if (custom && !same_custom(acc, h)) {
        custom_reconcile(acc, h, sign);
        return flags | HISTOGRAM_ADD_RECONCILED;
    }
    if (!custom) {
        histogram_acc_reduce(acc, MIN(acc->schema, h->schema));
        side_reduce(acc, &acc->tmp_pos, h->schema, acc->schema);
        side_reduce(acc, &acc->tmp_neg, h->schema, acc->schema);
        side_add(acc, &acc->neg, &acc->tmp_neg, sign);
    }
    side_add(acc, &acc->pos, &acc->tmp_pos, sign);
    return flags;
}

void histogram_acc_reduce(HistogramAcc *acc, int32_t schema)
{
    if (acc->schema == HISTOGRAM_SCHEMA_CUSTOM || schema >= acc->schema)
        return;
    side_reduce(acc, &acc->pos, acc->schema, schema);
    side_reduce(acc, &acc->neg, acc->schema, schema);
    acc->schema = schema;
}

static void side_scale(HistogramSide *s, double by, bool divide)
{
    for (unsigned i = 0; i < s->len; i++) {
        s->count[i] = divide ? s->count[i] / by : s->count[i] * by;
        s->comp[i] = divide ? s->comp[i] / by : s->comp[i] * by;
    }
}

static void scale(HistogramAcc *acc, double by, bool divide)
{
    double *totals[] = { &acc->zero_count, &acc->count,      &acc->sum,
                         &acc->zero_comp,  &acc->count_comp, &acc->sum_comp };
    /* A histogram without compensation has none to scale: 0/0 would make one of it. */
    size_t n = acc->compensate ? ARRAY_SIZE(totals) : 3;
    for (size_t i = 0; i < n; i++)
        *totals[i] = divide ? *totals[i] / by : *totals[i] * by;
    if (divide && by == 0) {
        acc->pos.len = acc->neg.len = 0;
        return;
    }
    side_scale(&acc->pos, by, divide);
    side_scale(&acc->neg, by, divide);
    if (by < 0)
        acc->hint = HINT_GAUGE;
}

void histogram_acc_mul(HistogramAcc *acc, double factor)
{
    scale(acc, factor, false);
}

void histogram_acc_div(HistogramAcc *acc, double divisor)
{
    scale(acc, divisor, true);
}

void histogram_acc_compact(HistogramAcc *acc)
{
    side_compact(&acc->pos);
    side_compact(&acc->neg);
}

/* Spans and counts from a list; runs of at most `max_empty` missing buckets become zeros. */
static bool side_take(const HistogramSide *s, bool compensate, unsigned max_empty, Arena *a,
                      const HistogramSpan **ret_spans, unsigned *ret_n_spans,
                      const double **ret_counts, unsigned *ret_n)
{
    unsigned n_spans = 0, n = s->len;
    for (unsigned i = 0; i < s->len; i++) {
        int64_t gap = i ? (int64_t)s->index[i] - s->index[i - 1] - 1 : INT64_MAX;
        if (gap > max_empty)
            n_spans++;
        else
            n += (unsigned)gap;
    }
    HistogramSpan *spans = n_spans ? arena_array(a, HistogramSpan, n_spans) : NULL;
    double *counts = n ? arena_array(a, double, n) : NULL;
    if ((n_spans && !spans) || (n && !counts))
        return false;
    unsigned span = 0, at = 0;
    for (unsigned i = 0; i < s->len; i++) {
        int64_t gap = i ? (int64_t)s->index[i] - s->index[i - 1] - 1 : INT64_MAX;
        if (gap > max_empty) {
            spans[span++] = (HistogramSpan){ i ? (int32_t)gap : s->index[i], 1 };
        } else {
            at += (unsigned)gap;
            spans[span - 1].length += (unsigned)gap + 1;
        }
        counts[at++] = compensate ? s->count[i] + s->comp[i] : s->count[i];
    }
    *ret_spans = spans;
    *ret_n_spans = n_spans;
    *ret_counts = counts;
    *ret_n = n;
    return true;
}

static Histogram *take(const HistogramAcc *acc, unsigned max_empty, Arena *a)
{
    Histogram *h = acc->failed ? NULL : arena_new(a, Histogram);
    bool comp = acc->compensate;
    if (!h)
        return NULL;
    *h = (Histogram){ .hint = acc->hint,
                      .schema = acc->schema,
                      .zero_threshold = acc->zero_threshold,
                      .zero_count = acc->zero_count + (comp ? acc->zero_comp : 0),
                      .count = acc->count + (comp ? acc->count_comp : 0),
                      .sum = acc->sum + (comp ? acc->sum_comp : 0),
                      .n_bounds = acc->n_bounds };
    if (acc->n_bounds) {
        double *bounds = arena_array(a, double, acc->n_bounds);
        if (!bounds)
            return NULL;
        memcpy(bounds, acc->bounds, acc->n_bounds * sizeof *bounds);
        h->bounds = bounds;
    }
    if (!side_take(&acc->pos, comp, max_empty, a, &h->pos_spans, &h->n_pos_spans, &h->pos,
                   &h->n_pos) ||
        !side_take(&acc->neg, comp, max_empty, a, &h->neg_spans, &h->n_neg_spans, &h->neg,
                   &h->n_neg))
        return NULL;
    return h;
}

Histogram *histogram_acc_take(const HistogramAcc *acc, Arena *a)
{
    return take(acc, 0, a);
}

const Histogram *histogram_compact(const Histogram *h, unsigned max_empty, Arena *a)
{
    HistogramAcc acc = { 0 };
    histogram_acc_set(&acc, h);
    histogram_acc_compact(&acc);
    Histogram *ret = take(&acc, max_empty, a);
    if (ret)
        ret->integer = h->integer;
    histogram_acc_free(&acc);
    return ret;
}

const Histogram *histogram_reduce(const Histogram *h, int32_t schema, Arena *a)
{
    HistogramAcc acc = { 0 };
    histogram_acc_set(&acc, h);
    histogram_acc_reduce(&acc, schema);
    Histogram *ret = take(&acc, 0, a);
    if (ret)
        ret->integer = h->integer;
    histogram_acc_free(&acc);
    return ret;
}
