/* fn_rate.c - rate, increase, delta, irate, idelta: differences over a window, extrapolated to its
 * edges where samples come close to them; counters that start again are made whole. */
#include "monitor/promql/fn.h"

#define EXTRAPOLATION_SLACK 1.1 /* an edge is close within that many average distances */

bool start_time_is_reset(int64_t prev_st, int64_t prev_t, int64_t st, int64_t t)
{
    if (st == 0 || st >= t || st < prev_t)
        return false;
    if (st > prev_t)
        return true;
    /* It starts at the sample before: a reset of deltas, but not of a counter whose start was
     * unknown or makes no sense. */
    return prev_st <= prev_t && prev_st != 0 && prev_st != prev_t;
}

static bool start_times_overlap(int64_t prev_st, int64_t prev_t, int64_t st)
{
    return st != 0 && st < prev_t && st != prev_st;
}

void annotate_mixed_samples(RangeCall *c)
{
    annotate_named(&c->ev->annos, true, c->pos,
                   "encountered a mix of histograms and floats for metric name", c->metric);
}

void annotate_mixed_schemas(Eval *ev, unsigned pos, StrView metric)
{
    annotate_named(&ev->annos, true, pos,
                   "vector contains a mix of histograms with exponential and custom buckets "
                   "schemas for metric name",
                   metric);
}

void annotate_reconciled(Eval *ev, unsigned pos, const char *operation)
{
    annotate_info(&ev->annos, pos, "mismatched custom buckets were reconciled during %s",
                  operation);
}

static void annotate_not_counter(RangeCall *c)
{
    annotate_named(&c->ev->annos, true, c->pos,
                   "this native histogram metric is not a counter:", c->metric);
}

static void annotate_not_gauge(RangeCall *c)
{
    annotate_named(&c->ev->annos, true, c->pos,
                   "this native histogram metric is not a gauge:", c->metric);
}

bool range_combine(RangeCall *c, HistogramAcc *acc, const Histogram *h, bool subtract)
{
    unsigned flags = histogram_acc_add(acc, h, subtract);
    if (flags & HISTOGRAM_ADD_MIXED) {
        annotate_mixed_schemas(c->ev, c->pos, c->metric);
        return false;
    }
    if (flags & HISTOGRAM_ADD_RECONCILED)
        annotate_reconciled(c->ev, c->pos, subtract ? "subtraction" : "addition");
    return true;
}

static void warn_overlaps(RangeCall *c, const int64_t *t, const int64_t *st, size_t n)
{
    for (size_t i = 1; st && i < n; i++) {
        if (start_times_overlap(st[i - 1], t[i - 1], st[i])) {
            annotate_overlap(&c->ev->annos, c->pos, c->metric);
            return;
        }
    }
}

/* Nearly all counters never start again: blocks without a fall are passed over at once. */
static bool may_reset(const RangeSeries *r, size_t from, size_t to)
{
    unsigned falls = 0;
    for (size_t i = from; i < to; i++)
        falls |= r->fv[i] < r->fv[i - 1];
    return falls != 0;
}

static int find_resets(RangeCall *c, const RangeSeries *r)
{
    enum { BLOCK = 128 };
    bool starts = r->fst && (c->ev->features & PROMQL_START_TIMESTAMPS);
    c->n_resets = c->reset_at = 0;
    for (size_t from = 1; from < r->nf; from += BLOCK) {
        size_t to = MIN(from + BLOCK, r->nf);
        if (!starts && !may_reset(r, from, to))
            continue;
        if (!range_reserve(c, &c->resets, &c->cap_resets, c->n_resets + BLOCK, sizeof *c->resets))
            return -ERR_NOMEM;
        for (size_t i = from; i < to; i++)
            if (r->fv[i] < r->fv[i - 1] ||
                (starts && start_time_is_reset(r->fst[i - 1], r->ft[i - 1], r->fst[i], r->ft[i])))
                c->resets[c->n_resets++] = i;
    }
    return 0;
}

static double float_increase(RangeCall *c, const RangeWindow *w, bool counter)
{
    double v = w->fv[w->nf - 1] - w->fv[0];
    if (!counter)
        return v;
    warn_overlaps(c, w->ft, w->fst, w->nf);
    /* What the counter had reached before each reset inside the window. */
    while (c->reset_at < c->n_resets && c->resets[c->reset_at] <= w->first)
        c->reset_at++;
    for (size_t i = c->reset_at; i < c->n_resets && c->resets[i] < w->first + w->nf; i++)
        v += w->fv[c->resets[i] - w->first - 1];
    return v;
}

static bool histogram_resets(const RangeWindow *w, size_t i, const Histogram *prev)
{
    return (w->hst && start_time_is_reset(w->hst[i - 1], w->ht[i - 1], w->hst[i], w->ht[i])) ||
           histogram_detect_reset(w->hh[i], prev);
}

static bool check_hints(RangeCall *c, const RangeWindow *w, bool custom)
{
    for (size_t i = 1; i + 1 < w->nh; i++) {
        if (w->hh[i]->hint == HINT_GAUGE)
            annotate_not_counter(c);
        if (histogram_is_custom(w->hh[i]) != custom) {
            annotate_mixed_schemas(c->ev, c->pos, c->metric);
            return false;
        }
    }
    return true;
}

/* The increase of histograms, gathered in c->acc; false: there is none. */
static bool histogram_increase(RangeCall *c, const RangeWindow *w, bool counter)
{
    const Histogram *prev = w->hh[0], *last = w->hh[w->nh - 1];
    Histogram none;
    bool gauges = prev->hint == HINT_GAUGE && last->hint == HINT_GAUGE;
    if (counter && (prev->hint == HINT_GAUGE || last->hint == HINT_GAUGE))
        annotate_not_counter(c);
    /* A first histogram in front of a reset does not count: its layout does not matter. */
    if (counter && histogram_resets(w, 1, prev)) {
        none = (Histogram){ .schema = w->hh[1]->schema,
                            .bounds = w->hh[1]->bounds,
                            .n_bounds = w->hh[1]->n_bounds };
        prev = &none;
    }
    bool custom = histogram_is_custom(prev);
    if (histogram_is_custom(last) != custom) {
        annotate_mixed_schemas(c->ev, c->pos, c->metric);
        return false;
    }
    if (counter && !check_hints(c, w, custom))
        return false;
    int32_t schema = MIN(last->schema, prev->schema);
    for (size_t i = 1; counter && i + 1 < w->nh; i++)
        schema = MIN(schema, w->hh[i]->schema);
    c->acc.compensate = false;
    histogram_acc_set(&c->acc, last);
    histogram_acc_reduce(&c->acc, schema);
    if (!range_combine(c, &c->acc, prev, true))
        return false;
    if (counter)
        warn_overlaps(c, w->ht, w->hst, w->nh);
    else if (!gauges)
        annotate_not_gauge(c);
    for (size_t i = 1; counter && i < w->nh; i++) {
        if (histogram_resets(w, i, prev) && !range_combine(c, &c->acc, prev, false))
            return false;
        prev = w->hh[i];
    }
    c->acc.hint = HINT_GAUGE;
    histogram_acc_compact(&c->acc);
    return true;
}

typedef struct Extent {
    const int64_t *t, *st;
    size_t n;
    double first; /* of a counter: value or count at the first sample */
    double increase;
} Extent;

/* By what the increase is multiplied; false: one sample alone tells nothing. */
static bool extrapolation(const RangeWindow *w, const Extent *e, bool counter, bool from_start,
                          double *ret)
{
    int64_t first = e->t[0], last = e->t[e->n - 1];
    double to_start = (double)(first - w->start) / 1000, to_end = (double)(w->end - last) / 1000;
    double sampled = (double)(last - first) / 1000;
    double average = e->n > 1 ? sampled / (double)(e->n - 1) : 0;
    double threshold = average * EXTRAPOLATION_SLACK;
    if (from_start) {
        to_start = 0;
        sampled = (double)(last - e->st[0]) / 1000;
    } else if (e->n < 2) {
        return false;
    } else {
        if (to_start >= threshold)
            to_start = average / 2;
        /* A counter cannot have been below zero. */
        if (counter && e->increase > 0 && e->first >= 0)
            to_start = fmin(to_start, sampled * (e->first / e->increase));
    }
    if (to_end >= threshold)
        to_end = average / 2;
    *ret = sampled != 0 ? (sampled + to_start + to_end) / sampled : 1;
    return true;
}

/* The start time lies in the window: the counter was zero then. */
static bool starts_inside(const RangeWindow *w, const Extent *e, bool counter)
{
    return counter && e->st && e->st[0] != 0 && e->st[0] > w->start && e->st[0] < e->t[0];
}

static int rate_of_floats(RangeCall *c, const RangeWindow *w, bool counter, bool per_second,
                          double *v)
{
    Extent e = { w->ft, w->fst, w->nf, w->fv[0], 0 };
    double factor;
    e.increase = float_increase(c, w, counter);
    bool from_start = starts_inside(w, &e, counter);
    if (!extrapolation(w, &e, counter, from_start, &factor))
        return SAMPLE_NONE;
    if (from_start)
        e.increase += w->fv[0];
    if (per_second)
        factor /= w->seconds;
    *v = e.increase * factor;
    return SAMPLE_FLOAT;
}

static int rate_of_histograms(RangeCall *c, const RangeWindow *w, bool counter, bool per_second,
                              const Histogram **h)
{
    Extent e = { w->ht, w->hst, w->nh, w->hh[0]->count, 0 };
    double factor;
    if (w->nh > 1 && !histogram_increase(c, w, counter))
        return SAMPLE_NONE;
    bool from_start = starts_inside(w, &e, counter);
    if (w->nh > 1) {
        e.increase = c->acc.count;
    } else {
        c->acc.compensate = false;
        histogram_acc_set(&c->acc, w->hh[0]);
    }
    if (!extrapolation(w, &e, counter, from_start, &factor))
        return SAMPLE_NONE;
    if (from_start && w->nh > 1 && !range_combine(c, &c->acc, w->hh[0], false))
        return SAMPLE_NONE;
    if (per_second)
        factor /= w->seconds;
    histogram_acc_mul(&c->acc, factor);
    *h = range_take(c, &c->acc, false);
    return *h ? SAMPLE_HISTOGRAM : -ERR_NOMEM;
}

static int rate(RangeCall *c, const RangeWindow *w, bool counter, bool per_second, double *v,
                const Histogram **h)
{
    if (w->nf && w->nh) {
        annotate_mixed_samples(c);
        return SAMPLE_NONE;
    }
    if (c->arg->mod.anchored || c->arg->mod.smoothed)
        return extended_rate(c, w, counter, per_second, v, h);
    return w->nh ? rate_of_histograms(c, w, counter, per_second, h)
                 : rate_of_floats(c, w, counter, per_second, v);
}

static int call_rate(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return rate(c, w, true, true, v, h);
}
static int call_increase(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return rate(c, w, true, false, v, h);
}
static int call_delta(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return rate(c, w, false, false, v, h);
}

static int all_rates(RangeCall *c, const RangeSeries *r, Column *col)
{
    return rate_of_all_floats(c, r, true, true, col);
}
static int all_increases(RangeCall *c, const RangeSeries *r, Column *col)
{
    return rate_of_all_floats(c, r, true, false, col);
}
static int all_deltas(RangeCall *c, const RangeSeries *r, Column *col)
{
    return rate_of_all_floats(c, r, false, false, col);
}

typedef struct Last {
    int64_t t, st;
    double v;
    const Histogram *h;
} Last;

/* The last two samples of both kinds; false: there are not two. */
static bool last_two(const RangeWindow *w, Last ret[2])
{
    size_t f = w->nf, h = w->nh;
    if (f + h < 2)
        return false;
    for (int i = 1; i >= 0; i--) {
        if (f && (!h || w->ft[f - 1] >= w->ht[h - 1])) {
            f--;
            ret[i] = (Last){ w->ft[f], w->fst ? w->fst[f] : 0, w->fv[f], NULL };
        } else {
            h--;
            ret[i] = (Last){ w->ht[h], w->hst ? w->hst[h] : 0, 0, w->hh[h] };
        }
    }
    return true;
}

static int instant_histograms(RangeCall *c, const Last s[2], bool per_second, double seconds,
                              const Histogram **ret)
{
    bool gauges = s[0].h->hint == HINT_GAUGE && s[1].h->hint == HINT_GAUGE;
    if (per_second && (s[0].h->hint == HINT_GAUGE || s[1].h->hint == HINT_GAUGE))
        annotate_not_counter(c);
    if (!per_second && !gauges)
        annotate_not_gauge(c);
    c->acc.compensate = false;
    histogram_acc_set(&c->acc, s[1].h);
    bool reset = per_second && (start_time_is_reset(s[0].st, s[0].t, s[1].st, s[1].t) ||
                                histogram_detect_reset(s[1].h, s[0].h));
    if (!reset && !range_combine(c, &c->acc, s[0].h, true))
        return SAMPLE_NONE;
    c->acc.hint = HINT_GAUGE;
    histogram_acc_compact(&c->acc);
    if (per_second)
        histogram_acc_div(&c->acc, seconds);
    *ret = range_take(c, &c->acc, false);
    return *ret ? SAMPLE_HISTOGRAM : -ERR_NOMEM;
}

static int instant(RangeCall *c, const RangeWindow *w, bool per_second, double *v,
                   const Histogram **h)
{
    Last s[2];
    if (!last_two(w, s) || s[1].t == s[0].t)
        return SAMPLE_NONE;
    double seconds = (double)(s[1].t - s[0].t) / 1000;
    if (!s[0].h != !s[1].h) {
        annotate_mixed_samples(c);
        return SAMPLE_NONE;
    }
    if (s[0].h)
        return instant_histograms(c, s, per_second, seconds, h);
    bool reset =
        per_second && (s[1].v < s[0].v || start_time_is_reset(s[0].st, s[0].t, s[1].st, s[1].t));
    *v = reset ? s[1].v : s[1].v - s[0].v;
    if (per_second)
        *v /= seconds;
    return SAMPLE_FLOAT;
}

static int call_irate(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return instant(c, w, true, v, h);
}
static int call_idelta(RangeCall *c, const RangeWindow *w, double *v, const Histogram **h)
{
    return instant(c, w, false, v, h);
}

const RangeFunction fn_rate = { .call = call_rate,
                                .floats = all_rates,
                                .wants_start_times = true,
                                .prepare = find_resets,
                                .anchored = true,
                                .smoothed = true,
                                .wants_counter = true };
const RangeFunction fn_increase = { .call = call_increase,
                                    .floats = all_increases,
                                    .wants_start_times = true,
                                    .prepare = find_resets,
                                    .anchored = true,
                                    .smoothed = true,
                                    .wants_counter = true };
const RangeFunction fn_delta = {
    .call = call_delta, .floats = all_deltas, .anchored = true, .smoothed = true
};
const RangeFunction fn_irate = { .call = call_irate, .wants_start_times = true };
const RangeFunction fn_idelta = { .call = call_idelta };
