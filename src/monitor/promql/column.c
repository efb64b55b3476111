/* column.c - columns, matrices of them, and joining series by their labels. */
#include <string.h>

#include "monitor/promql/eval.h"

int column_init(Eval *ev, Column *c, unsigned n)
{
    *c = (Column){ 0 };
    c->kind = arena_alloc(ev->arena, n);
    c->v = arena_array(ev->arena, double, n);
    return c->kind && c->v ? 0 : eval_nomem(ev);
}

int column_histograms(Eval *ev, Column *c, unsigned n)
{
    if (!c->h)
        c->h = arena_alloc_n(ev->arena, n, sizeof *c->h);
    return c->h ? 0 : eval_nomem(ev);
}

bool column_is_empty(const Column *c, unsigned n)
{
    return n == 0 || (c->kind[0] == SAMPLE_NONE && memcmp(c->kind, c->kind + 1, n - 1) == 0);
}

uint64_t column_weight(const Column *c, unsigned n)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += c->kind[i] == SAMPLE_HISTOGRAM ? histogram_weight(c->h[i]) : c->kind[i];
    return sum;
}

int steps_count(Eval *ev, const Steps *outer, StepStatsKind kind, const Modifiers *m, Steps *steps)
{
    StepStats what = { .kind = kind,
                       .start = steps->start,
                       .step = steps->step,
                       .n = steps->n,
                       .parent = outer->stats };
    steps->stats = NULL;
    if (!outer->stats)
        return 0;
    if (kind == STEP_STATS_SUBQUERY) {
        what.offset = m->offset;
        what.range = m->range;
    } else
        what.range = INT64_MAX / 2; /* nothing is left out */
    return step_stats_new(&ev->stats, ev->arena, &what, &steps->stats) ? 0 : eval_nomem(ev);
}

void steps_count_column(const Steps *steps, const Column *c)
{
    for (unsigned i = 0; steps->stats && i < steps->n; i++) {
        uint64_t n = c->kind[i] == SAMPLE_HISTOGRAM ? histogram_weight(c->h[i]) : c->kind[i];
        step_stats_scan(steps->stats, i, n);
        step_stats_read(steps->stats, i, n);
    }
}

const Histogram *histogram_keep(Eval *ev, const Histogram *h)
{
    return histogram_copy(h, ev->arena);
}

int column_copy(Eval *ev, const Column *from, unsigned n, Column *ret)
{
    if (column_init(ev, ret, n) < 0 || !labels_copy(from->labels, ev->arena, &ret->labels))
        return eval_nomem(ev);
    ret->drop_name = from->drop_name;
    memcpy(ret->kind, from->kind, n);
    memcpy(ret->v, from->v, n * sizeof *ret->v);
    if (!from->h)
        return 0;
    if (column_histograms(ev, ret, n) < 0)
        return eval_nomem(ev);
    for (unsigned i = 0; i < n; i++) {
        if (from->kind[i] != SAMPLE_HISTOGRAM)
            continue;
        ret->h[i] = i && from->kind[i - 1] == SAMPLE_HISTOGRAM && from->h[i] == from->h[i - 1]
                        ? ret->h[i - 1]
                        : histogram_keep(ev, from->h[i]);
        if (!ret->h[i])
            return eval_nomem(ev);
    }
    return 0;
}

StrView metric_name(Labels l)
{
    return labels_get(l, LABEL_METRIC_NAME);
}

static bool is_metadata(StrView name)
{
    return sv_eq(name, LABEL_METRIC_NAME) || sv_eq(name, SV("__type__")) ||
           sv_eq(name, SV("__unit__"));
}

bool labels_without_metadata(Labels l, Arena *a, Labels *ret)
{
    unsigned n = 0, first = l.len;
    for (unsigned i = 0; i < l.len; i++) {
        if (!is_metadata(l.items[i].name))
            continue;
        first = MIN(first, i);
        n++;
    }
    if (n == 0 || (n == 1 && first == 0)) {
        *ret = n ? (Labels){ l.items + 1, l.len - 1 } : l;
        return true;
    }
    Label *items = arena_array(a, Label, l.len - n + 1);
    if (!items)
        return false;
    n = 0;
    for (unsigned i = 0; i < l.len; i++)
        if (!is_metadata(l.items[i].name))
            items[n++] = l.items[i];
    *ret = (Labels){ items, n };
    return true;
}

int column_drop_name(Stream *s, Column *c)
{
    c->drop_name = true;
    if (eval_delayed(s->ev) || labels_without_metadata(c->labels, &s->scratch, &c->labels))
        return 1;
    return eval_nomem(s->ev);
}

int matrix_push(Eval *ev, Matrix *m, const Column *c)
{
    if (m->len == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 16;
        m->cols =
            arena_realloc(ev->arena, m->cols, m->cap * sizeof *m->cols, cap * sizeof *m->cols);
        if (!m->cols)
            return eval_nomem(ev);
        m->cap = cap;
    }
    m->cols[m->len++] = *c;
    return 0;
}

int matrix_collect(Stream *s, Matrix *ret)
{
    Column c, copy;
    int r;
    *ret = (Matrix){ 0 };
    while ((r = stream_next(s, &c)) > 0) {
        r = eval_hold(s->ev, column_weight(&c, s->steps.n));
        if (r >= 0)
            r = column_copy(s->ev, &c, s->steps.n, &copy);
        if (r >= 0)
            r = matrix_push(s->ev, ret, &copy);
        if (r < 0)
            break;
    }
    return r;
}

typedef struct MatrixStream {
    Stream head;
    Matrix m;
    size_t at;
} MatrixStream;

static int matrix_next(Stream *stream, Column *ret)
{
    MatrixStream *s = (MatrixStream *)stream;
    while (s->at < s->m.len && column_is_empty(&s->m.cols[s->at], s->head.steps.n))
        s->at++;
    if (s->at >= s->m.len)
        return 0;
    *ret = s->m.cols[s->at++];
    return 1;
}

static const StreamOps matrix_ops = { matrix_next, NULL };

int matrix_stream(Eval *ev, const Matrix *m, const Steps *steps, Stream **ret)
{
    MatrixStream *s = stream_new(ev, sizeof *s, &matrix_ops, steps);
    if (!s)
        return -ERR_NOMEM;
    s->m = *m;
    s->head.unique = m->len < 2;
    *ret = &s->head;
    return 0;
}

enum { SLOTS_MIN = 64 };

int merger_init(Merger *m, Eval *ev, const Steps *steps, bool keep_apart)
{
    *m = (Merger){ .ev = ev, .steps = *steps, .keep_apart = keep_apart };
    return 0;
}

static int merger_grow(Merger *m)
{
    size_t n = m->n_slots ? m->n_slots * 2 : SLOTS_MIN;
    uint32_t *slots = arena_alloc_n(m->ev->arena, n, sizeof *slots);
    if (!slots)
        return eval_nomem(m->ev);
    for (size_t i = 0; i < m->out.len; i++) {
        size_t at = labels_hash(m->out.cols[i].labels) & (n - 1);
        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    m->slots = slots;
    m->n_slots = n;
    return 0;
}

int merger_column(Merger *m, Labels labels, bool drop_name, Column **ret)
{
    Column c;
    if (m->out.len * 2 >= m->n_slots && merger_grow(m) < 0)
        return -ERR_NOMEM;
    size_t at = labels_hash(labels) & (m->n_slots - 1);
    for (; m->slots[at]; at = (at + 1) & (m->n_slots - 1)) {
        Column *old = &m->out.cols[m->slots[at] - 1];
        if (!m->keep_apart && labels_eq(old->labels, labels)) {
            *ret = old;
            return 0;
        }
    }
    int r = column_init(m->ev, &c, m->steps.n);
    if (r >= 0 && !labels_copy(labels, m->ev->arena, &c.labels))
        r = eval_nomem(m->ev);
    if (r >= 0 && m->twice && !(c.kind = arena_alloc_n(m->ev->arena, m->steps.n, 2)))
        r = eval_nomem(m->ev);
    c.drop_name = drop_name;
    if (r >= 0)
        r = matrix_push(m->ev, &m->out, &c);
    if (r < 0)
        return r;
    m->slots[at] = (uint32_t)m->out.len;
    *ret = &m->out.cols[m->out.len - 1];
    return 0;
}

int merger_put(Merger *m, Column *c, unsigned step, SampleKind kind, double v, const Histogram *h)
{
    if (c->kind[step] != SAMPLE_NONE)
        return eval_fail(m->ev, PROMQL_EXECUTION, ERR_INVALID,
                         "vector cannot contain metrics with the same labelset");
    if (kind == SAMPLE_HISTOGRAM && column_histograms(m->ev, c, m->steps.n) < 0)
        return eval_nomem(m->ev);
    c->kind[step] = (uint8_t)kind;
    c->v[step] = v;
    if (kind == SAMPLE_HISTOGRAM)
        c->h[step] = h;
    return eval_hold(m->ev, kind == SAMPLE_HISTOGRAM ? histogram_weight(h) : 1);
}

int merger_put_column(Merger *m, const Column *c, bool copy_histograms)
{
    Column *out;
    int r = merger_column(m, c->labels, c->drop_name, &out);
    for (unsigned i = 0; r >= 0 && i < m->steps.n; i++) {
        if (c->kind[i] == SAMPLE_NONE)
            continue;
        const Histogram *h = c->kind[i] == SAMPLE_HISTOGRAM ? c->h[i] : NULL;
        if (h && copy_histograms && !(h = histogram_keep(m->ev, h)))
            return eval_nomem(m->ev);
        r = merger_put(m, out, i, c->kind[i], c->v[i], h);
    }
    return r;
}

typedef struct MergeStream {
    Stream head;
    Stream *child;
    bool strict, started;
    Matrix m;
    size_t at;
} MergeStream;

static int merge_all(MergeStream *s)
{
    Merger m;
    Column c;
    int r;
    merger_init(&m, s->head.ev, &s->head.steps, false);
    while ((r = stream_next(s->child, &c)) > 0) {
        size_t before = m.out.len;
        r = merger_put_column(&m, &c, true);
        if (r >= 0 && s->strict && m.out.len == before)
            r = eval_fail(s->head.ev, PROMQL_EXECUTION, ERR_INVALID,
                          "vector cannot contain metrics with the same labelset");
        if (r < 0)
            return r;
    }
    s->m = m.out;
    s->started = true;
    return r;
}

static int merge_next(Stream *stream, Column *ret)
{
    MergeStream *s = (MergeStream *)stream;
    int r = s->started ? 0 : merge_all(s);
    if (r < 0 || s->at >= s->m.len)
        return r;
    *ret = s->m.cols[s->at++];
    return 1;
}

static const StreamOps merge_ops = { merge_next, NULL };

int merge_stream(Stream *child, bool strict, Stream **ret)
{
    if (child->unique || eval_delayed(child->ev)) {
        *ret = child;
        return 0;
    }
    MergeStream *s = stream_new(child->ev, sizeof *s, &merge_ops, &child->steps);
    if (!s)
        return -ERR_NOMEM;
    s->child = child;
    s->strict = strict;
    s->head.unique = true;
    *ret = &s->head;
    return 0;
}
