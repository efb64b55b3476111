/* select.c - instant vector selectors: the last sample of the lookback window at each step, or with
 * `smoothed` a value interpolated between its neighbours; timestamp() and start_timestamp(). */
#include "monitor/promql/select.h"

#include "monitor/promql/eval_range.h"

int selector_open(Eval *ev, Node *n, const Steps *steps, SeriesSet **ret)
{
    const Modifiers *m = &n->mod;
    SelectHints h = { .range = m->range, .func = n->sel.func };
    if (n->sel.by) {
        h.few_labels = true;
        h.by = n->sel.by->grouping;
        h.n_by = n->sel.by->n_grouping;
    }
    h.step = steps->n > 1 ? steps->step : 0;
    h.start = modifiers_time(m, steps->start);
    h.end = modifiers_time(m, step_time(steps, steps->n - 1));
    h.start -= n->type == NODE_MATRIX ? m->range : ev->lookback;
    h.start += 1; /* the window is open on the left */
    if (n->type == NODE_MATRIX && (m->anchored || m->smoothed))
        h.start -= ev->lookback;
    if (m->smoothed)
        h.end += ev->lookback;
    int r =
        ev->querier->ops->select(ev->querier, &h, n->sel.matchers, n->sel.n_matchers, ret, ev->err);
    if (r < 0)
        ev->error_type = PROMQL_EXECUTION;
    return r;
}

static int drop_buckets(Eval *ev, SampleCols *c)
{
    const Histogram *last = NULL;
    for (size_t i = 0; c->h && i < c->len; i++) {
        const Histogram *h = c->h[i];
        if (!h)
            continue;
        Histogram *bare = arena_new(c->arena, Histogram);
        if (!bare)
            return eval_nomem(ev);
        *bare = (Histogram){ h->hint, h->schema, .count = h->count, .sum = h->sum };
        if (h->hint == HINT_UNKNOWN && last)
            bare->hint =
                histogram_detect_reset(h, last) ? HINT_COUNTER_RESET : HINT_NO_COUNTER_RESET;
        last = h;
        c->h[i] = bare;
    }
    return 0;
}

int selector_next(Eval *ev, const Node *n, SeriesSet *set, Labels *ret_labels, SampleCols *cols)
{
    int r = ev->querier->ops->next(set, ret_labels, cols, ev->err);
    if (r < 0)
        ev->error_type = PROMQL_EXECUTION;
    if (r > 0 && n->sel.without_buckets && drop_buckets(ev, cols) < 0)
        return -ERR_NOMEM;
    return r;
}

typedef enum Wanted { WANT_VALUE, WANT_TIME, WANT_TIME_MS, WANT_START_TIME } Wanted;

typedef struct SelectStream {
    Stream head;
    Node *node;
    SeriesSet *set;
    SampleCols cols;
    Column col;
    Wanted wanted;
    uint64_t held;
    RangeCall smooth; /* for interpolation between histograms */
} SelectStream;

static void put_sample(SelectStream *s, Column *c, unsigned i, size_t at)
{
    const SampleCols *in = &s->cols;
    if (s->wanted == WANT_TIME || s->wanted == WANT_START_TIME) {
        c->kind[i] = SAMPLE_FLOAT;
        c->v[i] = (double)(s->wanted == WANT_TIME ? in->t[at] : in->st ? in->st[at] : 0) / 1000;
        return;
    }
    bool histogram = in->h && in->h[at];
    if (s->wanted == WANT_TIME_MS && !histogram) {
        c->kind[i] = SAMPLE_FLOAT;
        c->v[i] = (double)in->t[at];
        return;
    }
    c->kind[i] = histogram ? SAMPLE_HISTOGRAM : SAMPLE_FLOAT;
    c->v[i] = in->v[at];
    if (histogram)
        c->h[i] = in->h[at];
}

/* pick_last() where only values of floats are wanted: the loop of most queries. */
static unsigned pick_last_float(const SelectStream *s, Column *c)
{
    const int64_t *t = s->cols.t, lookback = s->head.ev->lookback;
    const double *v = s->cols.v;
    size_t next = 0, len = s->cols.len;
    unsigned n = 0;
    for (unsigned i = 0; i < s->head.steps.n; i++) {
        int64_t time = modifiers_time(&s->node->mod, step_time(&s->head.steps, i));
        while (next < len && t[next] <= time)
            next++;
        bool found = next && t[next - 1] > time - lookback && !is_stale_nan(v[next - 1]);
        c->kind[i] = found ? SAMPLE_FLOAT : SAMPLE_NONE;
        c->v[i] = next ? v[next - 1] : 0;
        n += found;
    }
    return n;
}

/* The last sample at or before each step's time, unless it is stale or too old. */
static unsigned pick_last(SelectStream *s, Column *c)
{
    const SampleCols *in = &s->cols;
    const Modifiers *m = &s->node->mod;
    if (!in->h && s->wanted == WANT_VALUE)
        return pick_last_float(s, c);
    size_t next = 0; /* first sample behind the step */
    unsigned n = 0;
    for (unsigned i = 0; i < s->head.steps.n; i++) {
        int64_t t = modifiers_time(m, step_time(&s->head.steps, i));
        while (next < in->len && in->t[next] <= t)
            next++;
        c->kind[i] = SAMPLE_NONE;
        if (!next || in->t[next - 1] <= t - s->head.ev->lookback || is_stale_nan(in->v[next - 1]))
            continue;
        put_sample(s, c, i, next - 1);
        n++;
    }
    return n;
}

static int smooth_histogram(SelectStream *s, Column *c, unsigned i, size_t at, size_t end,
                            int64_t t)
{
    const SampleCols *in = &s->cols;
    RangeCall *rc = &s->smooth;
    const Histogram *prev = in->h[at - 1], *h;
    if (at >= end) {
        Histogram *last = histogram_shallow(prev, &s->head.scratch);
        if (!last)
            return eval_nomem(s->head.ev);
        last->hint = HINT_UNKNOWN;
        h = last;
    } else {
        const Histogram *next = in->h[at];
        if (histogram_is_custom(prev) != histogram_is_custom(next)) {
            annotate_mixed_schemas(s->head.ev, rc->pos, rc->metric);
            return 0;
        }
        bool counter = prev->hint != HINT_GAUGE || next->hint != HINT_GAUGE;
        h = interpolate_histograms(rc, prev, in->t[at - 1], next, in->t[at], t, counter);
        if (!h)
            return s->head.ev->error_type ? -ERR_NOMEM : 0;
    }
    c->kind[i] = SAMPLE_HISTOGRAM;
    c->h[i] = h;
    return 1;
}

/* [lo, end): the samples of the window; only one kind of them. */
static int smooth_step(SelectStream *s, Column *c, unsigned i, size_t lo, size_t end, int64_t t)
{
    const SampleCols *in = &s->cols;
    size_t at = lo;
    unsigned histograms = 0;
    for (size_t k = lo; k < end; k++)
        histograms += in->h && in->h[k];
    if (histograms && histograms < end - lo) {
        annotate_mixed_samples(&s->smooth);
        return 0;
    }
    while (at < end && in->t[at] < t)
        at++;
    if (at < end && in->t[at] == t) {
        put_sample(s, c, i, at);
        return 1;
    }
    if (at == lo)
        return 0;
    if (histograms)
        return smooth_histogram(s, c, i, at, end, t);
    c->kind[i] = SAMPLE_FLOAT;
    c->v[i] = at < end ? interpolate(in->t[at - 1], in->v[at - 1], in->t[at], in->v[at], t, false)
                       : in->v[at - 1];
    return 1;
}

static void drop_stale(SampleCols *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->len; i++) {
        if (is_stale_nan(c->v[i]))
            continue;
        c->t[n] = c->t[i];
        c->v[n] = c->v[i];
        if (c->h)
            c->h[n] = c->h[i];
        if (c->st)
            c->st[n] = c->st[i];
        n++;
    }
    c->len = n;
}

static int pick_smoothed(SelectStream *s, Column *c, unsigned *ret_n)
{
    SampleCols *in = &s->cols;
    int64_t back = s->head.ev->lookback;
    size_t lo = 0, end = 0;
    drop_stale(in);
    for (unsigned i = 0; i < s->head.steps.n; i++) {
        int64_t t = modifiers_time(&s->node->mod, step_time(&s->head.steps, i));
        while (lo < in->len && in->t[lo] <= t - back)
            lo++;
        while (end < in->len && in->t[end] <= t + back)
            end++;
        c->kind[i] = SAMPLE_NONE;
        int r = end > lo ? smooth_step(s, c, i, lo, end, t) : 0;
        if (r < 0)
            return r;
        *ret_n += r > 0;
    }
    return 0;
}

static int select_next(Stream *stream, Column *ret)
{
    SelectStream *s = (SelectStream *)stream;
    Eval *ev = s->head.ev;
    Labels labels;
    unsigned found = 0;
    for (;;) {
        int r = eval_check(ev);
        if (r < 0)
            return r;
        eval_release(ev, s->held);
        s->held = 0;
        arena_reset(&s->head.scratch);
        r = selector_next(ev, s->node, s->set, &labels, &s->cols);
        if (r <= 0)
            return r;
        if (s->cols.h && column_histograms(ev, &s->col, s->head.steps.n) < 0)
            return eval_nomem(ev);
        s->smooth.metric = metric_name(labels);
        if (s->node->mod.smoothed && s->wanted == WANT_VALUE)
            r = pick_smoothed(s, &s->col, &found);
        else
            found = pick_last(s, &s->col);
        if (r < 0)
            return r;
        if (found)
            break;
    }
    Column c = s->col;
    c.labels = labels;
    if (!s->cols.h)
        c.h = NULL;
    s->held = column_weight(&c, s->head.steps.n);
    steps_count_column(&s->head.steps, &c);
    *ret = c;
    int r = eval_hold(ev, s->held);
    if (r < 0 || s->wanted == WANT_VALUE)
        return r < 0 ? r : 1;
    if (s->wanted != WANT_TIME_MS)
        return column_drop_name(stream, ret);
    if (c.h && memchr(c.kind, SAMPLE_HISTOGRAM, s->head.steps.n)) {
        _cleanup_buf_ Buf name = BUF_INIT;
        labels_format_set(labels, &name);
        return eval_fail(ev, PROMQL_EXECUTION, ERR_INVALID,
                         "this should be an info metric, with float samples: %.*s",
                         SV_FMT(buf_view(&name)));
    }
    return 1;
}

static void select_free(Stream *stream)
{
    SelectStream *s = (SelectStream *)stream;
    if (s->set)
        s->head.ev->querier->ops->set_free(s->set);
    sample_cols_free(&s->cols);
    histogram_acc_free(&s->smooth.acc);
    histogram_acc_free(&s->smooth.extra);
}

static const StreamOps select_ops = { select_next, select_free };

/* Does it ask for one metric only? Then dropping names cannot make two series the same. */
static bool one_metric(const Selector *sel)
{
    for (unsigned i = 0; i < sel->n_matchers; i++)
        if (sel->matchers[i].op == MATCH_EQ && sel->matchers[i].value.len &&
            sv_eq(sel->matchers[i].name, LABEL_METRIC_NAME))
            return true;
    return false;
}

static int select_stream(Eval *ev, Node *n, const Steps *steps, Wanted wanted, Stream **ret)
{
    SelectStream *s = stream_new(ev, sizeof *s, &select_ops, steps);
    if (!s || column_init(ev, &s->col, steps->n) < 0)
        return eval_nomem(ev);
    s->node = n;
    s->wanted = wanted;
    s->head.unique = one_metric(&n->sel) && !(ev->features & PROMQL_TYPE_AND_UNIT_LABELS);
    s->smooth = (RangeCall){ .ev = ev, .pos = n->start, .scratch = &s->head.scratch };
    sample_cols_init(&s->cols);
    *ret = &s->head;
    return selector_open(ev, n, steps, &s->set);
}

int eval_select(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    return select_stream(ev, n, steps, WANT_VALUE, ret);
}

int select_times_ms(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    return select_stream(ev, n, steps, WANT_TIME_MS, ret);
}

/* timestamp() of anything but a selector: the evaluation time. */
typedef struct TimestampStream {
    Stream head;
    Stream *child;
    Column col;
} TimestampStream;

static int timestamp_next(Stream *stream, Column *ret)
{
    TimestampStream *s = (TimestampStream *)stream;
    int r = stream_next(s->child, ret);
    if (r <= 0)
        return r;
    arena_reset(&s->head.scratch);
    for (unsigned i = 0; i < s->head.steps.n; i++) {
        s->col.kind[i] = ret->kind[i] ? SAMPLE_FLOAT : SAMPLE_NONE;
        s->col.v[i] = (double)step_time(&s->head.steps, i) / 1000;
    }
    ret->kind = s->col.kind;
    ret->v = s->col.v;
    ret->h = NULL;
    return column_drop_name(stream, ret);
}

static const StreamOps timestamp_ops = { timestamp_next, NULL };

int eval_timestamp(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    Node *arg = call->args[0];
    bool start = call->fn->id == FN_START_TIMESTAMP;
    Matrix none = { 0 };
    if (start && (arg->type != NODE_VECTOR || !(ev->features & PROMQL_START_TIMESTAMPS)))
        return matrix_stream(ev, &none, steps, ret);
    Stream *child;
    int r;
    if (arg->type == NODE_VECTOR) {
        r = select_stream(ev, arg, steps, start ? WANT_START_TIME : WANT_TIME, &child);
        return r < 0 ? r : merge_stream(child, false, ret);
    }
    r = eval_stream(ev, arg, steps, &child);
    if (r < 0)
        return r;
    TimestampStream *s = stream_new(ev, sizeof *s, &timestamp_ops, steps);
    if (!s || column_init(ev, &s->col, steps->n) < 0)
        return eval_nomem(ev);
    s->child = child;
    s->head.unique = child->unique;
    return merge_stream(&s->head, false, ret);
}
