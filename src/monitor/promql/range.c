/* range.c - calls of functions over ranges: for each series its samples once, a window over them
 * for each step. The source is a selector or a subquery.
 *
 * What holds, and why:
 * - A series' samples are decoded once for all steps. The two ends of the window only move forward,
 *   so all steps together cost as much as the samples that lie in their windows, not as much as
 *   steps times samples.
 * - `series` points into what the selector has decoded as long as there are only floats and no
 *   stale markers, which is nearly always; else into arrays of its own, with floats and histograms
 *   apart. Either way it is good until the next series.
 * - Samples that are held count against the query's limit for as long as they are (`held`), and are
 *   released before the next series: the limit is of what is in memory at once.
 * - A function that knows a whole series of floats (RangeFunction.floats) is given it at once, and
 *   has to answer as by windows. */
#include "monitor/promql/eval_range.h"

enum { CHECK_EVERY = 64 * 1024 }; /* samples in windows between looks at the clock */

typedef struct RangeStream {
    Stream head;
    const RangeFunction *fn;
    RangeCall call;
    Node *arg;
    SeriesSet *set;
    SampleCols cols;
    Stream *sub;        /* of a subquery, over its own steps */
    RangeSeries series; /* the current one: in the columns' or in our own arrays */
    RangeSeries own;
    size_t cap_f, cap_h;
    double *args[2];
    unsigned n_args;
    Column col;
    uint64_t held;
    bool sub_drops_name;
} RangeStream;

int subquery_steps(Eval *ev, const Modifiers *m, const Steps *outer, StepStatsKind kind, Steps *ret)
{
    int64_t step = m->step ? m->step : ev->subquery_step;
    int64_t from = modifiers_time(m, outer->start) - m->range;
    int64_t last = m->has_at ? outer->start : step_time(outer, outer->n - 1);
    int64_t start = step * (from / step), end = modifiers_time(m, last);
    if (start <= from)
        start += step;
    *ret = (Steps){ start, step, 0, NULL };
    if (end < start)
        return 0;
    if ((end - start) / step >= PROMQL_STEPS_MAX)
        return eval_fail(ev, PROMQL_EXECUTION, ERR_LIMIT, "subquery has more than %d steps",
                         PROMQL_STEPS_MAX);
    ret->n = (unsigned)((end - start) / step) + 1;
    return steps_count(ev, outer, kind, m, ret);
}

static bool reserve(void *col, size_t cap, size_t size)
{
    void *grown = realloc(*(void **)col, cap * size);
    if (grown)
        *(void **)col = grown;
    return grown != NULL;
}

static int series_reserve(RangeStream *s, size_t n, bool histograms)
{
    RangeSeries *r = &s->own;
    if (n > s->cap_f) {
        if (!reserve(&r->ft, n, sizeof *r->ft) || !reserve(&r->fv, n, sizeof *r->fv) ||
            !reserve(&r->fst, n, sizeof *r->fst))
            return eval_nomem(s->head.ev);
        s->cap_f = n;
    }
    if (histograms && n > s->cap_h) {
        if (!reserve(&r->ht, n, sizeof *r->ht) || !reserve(&r->hh, n, sizeof *r->hh) ||
            !reserve(&r->hst, n, sizeof *r->hst))
            return eval_nomem(s->head.ev);
        s->cap_h = n;
    }
    r->nf = r->nh = 0;
    s->series = *r;
    return 0;
}

static void series_add(RangeSeries *r, int64_t t, double v, const Histogram *h, int64_t st)
{
    if (h) {
        r->ht[r->nh] = t;
        r->hst[r->nh] = st;
        r->hh[r->nh++] = h;
    } else {
        r->ft[r->nf] = t;
        r->fst[r->nf] = st;
        r->fv[r->nf++] = v;
    }
}

static bool any_nan(const double *v, size_t n)
{
    unsigned nan = 0;
    for (size_t i = 0; i < n; i++)
        nan |= v[i] != v[i];
    return nan != 0;
}

static int next_selected(RangeStream *s, Labels *labels)
{
    Eval *ev = s->head.ev;
    int r = selector_next(ev, s->arg, s->set, labels, &s->cols);
    if (r <= 0)
        return r;
    SampleCols *c = &s->cols;
    if (!c->h && !any_nan(c->v, c->len)) { /* nothing to sort out: no copy */
        s->series = (RangeSeries){ .ft = c->t, .fv = c->v, .fst = c->st, .nf = c->len };
        s->held = c->len;
        return 1;
    }
    if (series_reserve(s, c->len, c->h != NULL) < 0)
        return -ERR_NOMEM;
    for (size_t i = 0; i < c->len; i++)
        if (!is_stale_nan(c->v[i]))
            series_add(&s->series, c->t[i], c->v[i], c->h ? c->h[i] : NULL, c->st ? c->st[i] : 0);
    s->held = s->series.nf;
    for (size_t i = 0; i < s->series.nh; i++)
        s->held += histogram_weight(s->series.hh[i]);
    return 1;
}

/* A subquery may repeat or skip the samples that its histograms' hints speak of. */
static int next_of_subquery(RangeStream *s, Labels *labels)
{
    Column c;
    int r = stream_next(s->sub, &c);
    if (r <= 0)
        return r;
    const Steps *steps = &s->sub->steps;
    if (series_reserve(s, steps->n, c.h != NULL) < 0)
        return -ERR_NOMEM;
    for (unsigned i = 0; i < steps->n; i++) {
        const Histogram *h = c.kind[i] == SAMPLE_HISTOGRAM ? c.h[i] : NULL;
        if (c.kind[i] == SAMPLE_NONE)
            continue;
        if (h && (h->hint == HINT_COUNTER_RESET || h->hint == HINT_NO_COUNTER_RESET)) {
            Histogram *unhinted = histogram_shallow(h, &s->head.scratch);
            if (!unhinted)
                return eval_nomem(s->head.ev);
            unhinted->hint = HINT_UNKNOWN;
            h = unhinted;
        }
        series_add(&s->series, step_time(steps, i), c.v[i], h, 0);
    }
    s->held = column_weight(&c, steps->n);
    s->sub_drops_name = c.drop_name;
    *labels = c.labels;
    return 1;
}

/* The window of one step: positions move forward only. */
typedef struct Slide {
    size_t f_lo, f_hi, h_lo, h_hi;
} Slide;

static void slide(const RangeSeries *r, Slide *p, int64_t after, int64_t upto)
{
    while (p->f_hi < r->nf && r->ft[p->f_hi] <= upto)
        p->f_hi++;
    while (p->f_lo < p->f_hi && r->ft[p->f_lo] <= after)
        p->f_lo++;
    while (p->h_hi < r->nh && r->ht[p->h_hi] <= upto)
        p->h_hi++;
    while (p->h_lo < p->h_hi && r->ht[p->h_lo] <= after)
        p->h_lo++;
}

static uint64_t window_weight(const RangeSeries *r, const Slide *p)
{
    uint64_t n = p->f_hi - p->f_lo;
    for (size_t i = p->h_lo; i < p->h_hi; i++)
        n += histogram_weight(r->hh[i]);
    return n;
}

/* Every window whole, and what is new in it since the one before. */
static void count_windows(const RangeStream *s)
{
    const Steps *steps = &s->head.steps;
    const Modifiers *m = &s->arg->mod;
    int64_t lookback = s->head.ev->lookback;
    int64_t before = m->range + (m->anchored || m->smoothed ? lookback : 0);
    Slide all = { 0 }, fresh = { 0 };
    for (unsigned i = 0; steps->stats && i < steps->n; i++) {
        int64_t end = modifiers_time(m, step_time(steps, i));
        int64_t upto = end + (m->smoothed ? lookback : 0);
        slide(&s->series, &all, end - before, upto);
        step_stats_scan(steps->stats, i, window_weight(&s->series, &all));
        if (s->sub || (m->has_at && i))
            continue;
        slide(&s->series, &fresh, i ? MAX(end - before, upto - steps->step) : end - before, upto);
        step_stats_read(steps->stats, i, window_weight(&s->series, &fresh));
    }
}

static int run_steps(RangeStream *s, Column *c)
{
    const Modifiers *m = &s->arg->mod;
    const RangeSeries *r = &s->series;
    Eval *ev = s->head.ev;
    bool starts = s->fn->wants_start_times && (ev->features & PROMQL_START_TIMESTAMPS);
    int64_t before = m->range + (m->anchored || m->smoothed ? ev->lookback : 0);
    int64_t behind = m->smoothed ? ev->lookback : 0;
    Slide p = { 0 };
    int found = 0;
    size_t looked = 0;
    if (s->fn->floats && !r->nh && !(starts && r->fst) && !m->anchored && !m->smoothed)
        return s->fn->floats(&s->call, r, c);
    for (unsigned i = 0; i < s->head.steps.n; i++) {
        int64_t time = step_time(&s->head.steps, i), end = modifiers_time(m, time);
        const Histogram *h = NULL;
        slide(r, &p, end - before, end + behind);
        looked += 64 + (p.f_hi - p.f_lo) + 16 * (p.h_hi - p.h_lo);
        int err = looked > CHECK_EVERY ? eval_check(ev) : 0;
        if (err < 0)
            return err;
        looked = looked > CHECK_EVERY ? 0 : looked;
        c->kind[i] = SAMPLE_NONE;
        if (p.f_lo == p.f_hi && p.h_lo == p.h_hi)
            continue;
        RangeWindow w = { .ft = r->ft + p.f_lo,
                          .fst = starts && r->fst ? r->fst + p.f_lo : NULL,
                          .fv = r->fv + p.f_lo,
                          .nf = p.f_hi - p.f_lo,
                          .nh = p.h_hi - p.h_lo,
                          .first = p.f_lo,
                          .time = time,
                          .start = end - m->range,
                          .end = end,
                          .seconds = (double)m->range / 1000 };
        if (w.nh) {
            w.ht = r->ht + p.h_lo;
            w.hh = r->hh + p.h_lo;
            w.hst = starts ? r->hst + p.h_lo : NULL;
        }
        for (unsigned k = 0; k < s->n_args; k++)
            w.args[k] = s->args[k][i];
        int kind = s->fn->call(&s->call, &w, &c->v[i], &h);
        if (kind < 0)
            return kind;
        c->kind[i] = (uint8_t)kind;
        found |= kind;
        if (kind == SAMPLE_HISTOGRAM) {
            if (column_histograms(ev, c, s->head.steps.n) < 0)
                return eval_nomem(ev);
            c->h[i] = h;
        }
    }
    return found != 0;
}

static bool ends_like_counter(StrView name)
{
    return sv_ends(name, SV("_total")) || sv_ends(name, SV("_sum")) ||
           sv_ends(name, SV("_count")) || sv_ends(name, SV("_bucket"));
}

static void doubt_counter(RangeStream *s, const Column *c, Labels labels)
{
    Eval *ev = s->head.ev;
    StrView name = metric_name(labels), type = labels_get(labels, SV("__type__"));
    if (!s->fn->wants_counter || !name.len || !memchr(c->kind, SAMPLE_FLOAT, s->head.steps.n))
        return;
    if (!(ev->features & PROMQL_TYPE_AND_UNIT_LABELS)) {
        if (!ends_like_counter(name))
            annotate_named(&ev->annos, false, s->call.pos,
                           "metric might not be a counter, name does not end in "
                           "_total/_sum/_count/_bucket:",
                           name);
        return;
    }
    if (sv_eq(type, SV("counter")) || sv_eq(type, SV("histogram")))
        return;
    _cleanup_buf_ Buf what = BUF_INIT;
    buf_sv(&what, SV("metric might not be a counter, __type__ label is not set to \"counter\" or "
                     "\"histogram\", got "));
    text_quote(type, &what);
    buf_putc(&what, ':');
    if (buf_cstr(&what))
        annotate_named(&ev->annos, false, s->call.pos, what.ptr, name);
}

static int range_next(Stream *stream, Column *ret)
{
    RangeStream *s = (RangeStream *)stream;
    Eval *ev = s->head.ev;
    Labels labels;
    for (;;) {
        int r = eval_check(ev);
        if (r < 0)
            return r;
        eval_release(ev, s->held);
        s->held = 0;
        arena_reset(&s->head.scratch);
        r = s->sub ? next_of_subquery(s, &labels) : next_selected(s, &labels);
        if (r <= 0)
            return r;
        s->call.metric = metric_name(labels);
        if (s->fn->prepare && (r = s->fn->prepare(&s->call, &s->series)) < 0)
            return r;
        count_windows(s);
        r = eval_hold(ev, s->held);
        if (r >= 0)
            r = run_steps(s, &s->col);
        if (r < 0)
            return r;
        if (r > 0)
            break;
    }
    doubt_counter(s, &s->col, labels);
    *ret = s->col;
    ret->labels = labels;
    ret->drop_name = s->sub_drops_name;
    return s->fn->keeps_name && !ret->drop_name ? 1 : column_drop_name(stream, ret);
}

static void range_free(Stream *stream)
{
    RangeStream *s = (RangeStream *)stream;
    if (s->set)
        s->head.ev->querier->ops->set_free(s->set);
    sample_cols_free(&s->cols);
    free(s->own.ft);
    free(s->own.fv);
    free(s->own.fst);
    free(s->own.ht);
    free(s->own.hh);
    free(s->own.hst);
    free(s->call.prefix);
    free(s->call.prefix_lo);
    free(s->call.resets);
    free(s->call.sorted);
    histogram_acc_free(&s->call.acc);
    histogram_acc_free(&s->call.extra);
}

static const StreamOps range_ops = { range_next, range_free };

bool range_reserve(RangeCall *c, void *array, size_t *cap, size_t n, size_t size)
{
    if (n <= *cap)
        return true;
    size_t grown = MAX(n, *cap * 2);
    if (!reserve(array, grown, size)) {
        eval_nomem(c->ev);
        return false;
    }
    *cap = grown;
    return true;
}

double *range_sort_buffer(RangeCall *c, size_t n)
{
    return range_reserve(c, &c->sorted, &c->cap_sorted, n, sizeof *c->sorted) ? c->sorted : NULL;
}

Histogram *range_take(RangeCall *c, HistogramAcc *acc, bool compact)
{
    if (compact)
        histogram_acc_compact(acc);
    Histogram *h = histogram_acc_take(acc, c->scratch);
    if (!h)
        eval_nomem(c->ev);
    return h;
}

static int check_modifiers(Eval *ev, const Node *call, const Node *arg)
{
    const RangeFunction *fn = call->fn->range;
    if (arg->mod.anchored && !fn->anchored)
        return eval_fail(ev, PROMQL_EXECUTION, ERR_INVALID,
                         "anchored modifier can only be used with: changes, delta, increase, rate, "
                         "resets - not with %.*s",
                         SV_FMT(call->fn->name));
    if (arg->mod.smoothed && !fn->smoothed)
        return eval_fail(ev, PROMQL_EXECUTION, ERR_INVALID,
                         "smoothed modifier can only be used with: delta, increase, rate - not "
                         "with %.*s",
                         SV_FMT(call->fn->name));
    return 0;
}

static int open_source(RangeStream *s)
{
    Eval *ev = s->head.ev;
    Node *arg = s->arg;
    const Steps *steps = &s->head.steps;
    if (arg->type == NODE_MATRIX) {
        const Selector *sel = &arg->sel;
        s->head.unique = sel->name.len && !(ev->features & PROMQL_TYPE_AND_UNIT_LABELS);
        return selector_open(ev, arg, steps, &s->set);
    }
    Steps inner;
    int r = subquery_steps(ev, &arg->mod, steps, STEP_STATS_SUBQUERY, &inner);
    if (r < 0)
        return r;
    if (inner.n == 0) {
        Matrix none = { 0 };
        return matrix_stream(ev, &none, &inner, &s->sub);
    }
    r = eval_stream(ev, arg->expr, &inner, &s->sub);
    s->head.unique = r >= 0 && s->sub->unique;
    return r;
}

int eval_range_call(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    RangeStream *s = stream_new(ev, sizeof *s, &range_ops, steps);
    int r = 0;
    if (!s || column_init(ev, &s->col, steps->n) < 0)
        return eval_nomem(ev);
    s->fn = call->fn->range;
    sample_cols_init(&s->cols);
    for (unsigned i = 0; r >= 0 && i < call->n_args; i++) {
        if (node_type(call->args[i]) == PROMQL_MATRIX)
            s->arg = call->args[i];
        else if (s->n_args < ARRAY_SIZE(s->args))
            r = eval_scalar(ev, call->args[i], steps, &s->args[s->n_args++]);
    }
    if (r < 0)
        return r;
    s->call = (RangeCall){ .ev = ev,
                           .call = call,
                           .arg = s->arg,
                           .pos = s->arg->start,
                           .steps = *steps,
                           .scratch = &s->head.scratch };
    r = check_modifiers(ev, call, s->arg);
    if (r >= 0)
        r = open_source(s);
    *ret = &s->head;
    /* absent_over_time() does not care what the series are called. */
    return r < 0 || call->fn->id == FN_ABSENT_OVER_TIME ? r : merge_stream(&s->head, true, ret);
}
