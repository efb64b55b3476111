/* matrix_result.c - range vectors as the result of an instant query: `up[5m]`, `up[1h:5m]`. */
#include "monitor/promql/eval_range.h"

typedef struct RawResult {
    Eval *ev;
    Node *n;
    PromqlResult *res;
    PromqlSeries *series;
    size_t len, cap;
    int64_t start, end; /* the window (start, end] */
    StepStats *stats;
} RawResult;

static int push(RawResult *r, Labels l, PromqlPoint *points, size_t n)
{
    Arena *a = &r->res->arena;
    if (!n)
        return 0;
    if (r->len == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        r->series =
            arena_realloc(a, r->series, r->cap * sizeof *r->series, cap * sizeof *r->series);
        if (!r->series)
            return eval_nomem(r->ev);
        r->cap = cap;
    }
    PromqlSeries *s = &r->series[r->len];
    *s = (PromqlSeries){ .points = points, .n = n };
    if (!labels_copy(l, a, &s->labels))
        return eval_nomem(r->ev);
    r->len++;
    return 0;
}

/* With `anchored` and `smoothed`: points at both edges of the window, made from the neighbours. */
static size_t extend(const RawResult *r, const PromqlPoint *in, size_t n, PromqlPoint *out)
{
    bool smoothed = r->n->mod.smoothed;
    size_t last = n - 1, first = 0, len = 0;
    while (first < last && in[first].t <= r->start)
        first++;
    first = first ? first - 1 : 0;
    if (smoothed) {
        size_t i = 0;
        while (i < last && in[i].t < r->end)
            i++;
        last = i;
    }
    if (in[last].t <= r->start)
        return 0;
    double left = in[first].v, right = in[last].v;
    if (smoothed && in[first].t < r->start)
        left = interpolate(in[first].t, in[first].v, in[first + 1].t, in[first + 1].v, r->start,
                           false);
    if (smoothed && last > 0 && in[last].t > r->end)
        right = interpolate(in[last - 1].t, in[last - 1].v, in[last].t, in[last].v, r->end, false);
    out[len++] = (PromqlPoint){ r->start, left, NULL };
    for (size_t i = first; i <= last; i++)
        if (in[i].t > r->start && in[i].t < r->end)
            out[len++] = in[i];
    out[len++] = (PromqlPoint){ r->end, right, NULL };
    return len;
}

static int put_raw(RawResult *r, Labels l, const SampleCols *c)
{
    const Modifiers *m = &r->n->mod;
    Arena *a = &r->res->arena;
    PromqlPoint *points = arena_array(a, PromqlPoint, c->len + 2);
    size_t n = 0;
    if (!points)
        return eval_nomem(r->ev);
    for (size_t i = 0; i < c->len; i++) {
        const Histogram *h = c->h ? c->h[i] : NULL;
        if (is_stale_nan(c->v[i]))
            continue;
        if (h && (m->anchored || m->smoothed))
            return eval_fail(r->ev, PROMQL_EXECUTION, ERR_INVALID,
                             "%s modifier is not supported with histograms",
                             m->anchored ? "anchored" : "smoothed");
        if (h && !(h = histogram_copy(h, a)))
            return eval_nomem(r->ev);
        points[n++] = (PromqlPoint){ c->t[i], c->v[i], h };
    }
    int err = eval_hold(r->ev, n);
    if (err >= 0 && n && (m->anchored || m->smoothed)) {
        PromqlPoint *extended = arena_array(a, PromqlPoint, n + 2);
        if (!extended)
            return eval_nomem(r->ev);
        n = extend(r, points, n, extended);
        points = extended;
    }
    for (size_t i = 0; r->stats && i < n; i++) {
        uint64_t weight = points[i].h ? histogram_weight(points[i].h) : 1;
        step_stats_scan(r->stats, 0, weight);
        step_stats_read(r->stats, 0, weight);
    }
    return err < 0 ? err : push(r, l, points, n);
}

static int of_selector(RawResult *r, const Steps *steps)
{
    Eval *ev = r->ev;
    SeriesSet *set = NULL;
    SampleCols cols;
    Labels l;
    r->end = modifiers_time(&r->n->mod, steps->start);
    r->start = r->end - r->n->mod.range;
    sample_cols_init(&cols);
    int err = selector_open(ev, r->n, steps, &set);
    while (err >= 0 && (err = ev->querier->ops->next(set, &l, &cols, ev->err)) > 0) {
        err = eval_check(ev);
        if (err >= 0)
            err = put_raw(r, l, &cols);
    }
    if (set)
        ev->querier->ops->set_free(set);
    sample_cols_free(&cols);
    return err;
}

static int of_subquery(RawResult *r, const Steps *steps)
{
    Eval *ev = r->ev;
    Arena *a = &r->res->arena;
    Steps inner;
    Stream *s;
    Column c;
    int err = subquery_steps(ev, &r->n->mod, steps, STEP_STATS_RESULT, &inner);
    if (err < 0 || !inner.n)
        return err;
    err = eval_stream(ev, r->n->expr, &inner, &s);
    while (err >= 0 && (err = stream_next(s, &c)) > 0) {
        PromqlPoint *points = arena_array(a, PromqlPoint, inner.n);
        size_t n = 0;
        if (!points)
            return eval_nomem(ev);
        for (unsigned i = 0; i < inner.n; i++) {
            const Histogram *h = c.kind[i] == SAMPLE_HISTOGRAM ? c.h[i] : NULL;
            if (c.kind[i] == SAMPLE_NONE)
                continue;
            if (h && !(h = histogram_copy(h, a)))
                return eval_nomem(ev);
            points[n++] = (PromqlPoint){ step_time(&inner, i), c.v[i], h };
        }
        Labels l = c.labels;
        if (c.drop_name && !labels_without_metadata(l, a, &l))
            return eval_nomem(ev);
        err = push(r, l, points, n);
    }
    return err;
}

int eval_matrix_result(Eval *ev, Node *n, const Steps *steps, PromqlResult *res)
{
    while (n->type == NODE_PAREN || n->type == NODE_STEP_INVARIANT)
        n = n->expr;
    RawResult r = { .ev = ev, .n = n, .res = res, .stats = steps->stats };
    int err = n->type == NODE_MATRIX ? of_selector(&r, steps) : of_subquery(&r, steps);
    res->type = PROMQL_MATRIX;
    res->series = r.series;
    res->n = r.len;
    return err;
}
