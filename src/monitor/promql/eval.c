/* eval.c - what an expression becomes: dispatch by type of node, scalars, limits. */
#include "monitor/promql/eval.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

int eval_fail(Eval *ev, PromqlErrorType type, ErrCode code, const char *fmt, ...)
{
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ev->error_type = type;
    return err_set(ev->err, code, 0, "%s", text);
}

int eval_nomem(Eval *ev)
{
    return eval_fail(ev, PROMQL_EXECUTION, ERR_NOMEM,
                     "query needs more than its limit of %zu bytes of memory", ev->memory_limit);
}

int eval_check(Eval *ev)
{
    if (ev->cancel && atomic_load_explicit(ev->cancel, memory_order_relaxed))
        return eval_fail(ev, PROMQL_CANCELED, ERR_CLOSED,
                         "query was canceled in expression evaluation");
    if (ev->deadline_ns && clock_mono_ns() > ev->deadline_ns)
        return eval_fail(ev, PROMQL_TIMEOUT, ERR_TIMEOUT,
                         "query timed out in expression evaluation");
    return 0;
}

int eval_hold(Eval *ev, uint64_t n)
{
    ev->samples += n;
    ev->peak = MAX(ev->peak, ev->samples);
    if (ev->samples > ev->max_samples)
        return eval_fail(ev, PROMQL_EXECUTION, ERR_LIMIT,
                         "query processing would load too many samples into memory in query "
                         "execution");
    return 0;
}

void *stream_new(Eval *ev, size_t size, const StreamOps *ops, const Steps *steps)
{
    Stream *s = arena_alloc(ev->arena, size);
    if (!s) {
        eval_nomem(ev);
        return NULL;
    }
    s->ops = ops;
    s->ev = ev;
    s->steps = *steps;
    arena_init(&s->scratch, ev->memory_limit);
    s->link = ev->streams;
    ev->streams = s;
    return s;
}

void streams_free(Eval *ev)
{
    for (Stream *s = ev->streams; s; s = s->link) {
        if (s->ops->free)
            s->ops->free(s);
        arena_free(&s->scratch);
    }
    ev->streams = NULL;
}

/* The same value at every step: evaluated once, then spread. */
typedef struct SpreadStream {
    Stream head;
    Stream *child;
    Column col;
} SpreadStream;

static int spread_next(Stream *stream, Column *ret)
{
    SpreadStream *s = (SpreadStream *)stream;
    Column one;
    int r = stream_next(s->child, &one);
    if (r <= 0)
        return r;
    unsigned n = s->head.steps.n;
    if (one.h && column_histograms(s->head.ev, &s->col, n) < 0)
        return eval_nomem(s->head.ev);
    memset(s->col.kind, one.kind[0], n);
    for (unsigned i = 0; i < n; i++)
        s->col.v[i] = one.v[0];
    for (unsigned i = 0; one.h && i < n; i++)
        s->col.h[i] = one.h[0];
    *ret = (Column){ one.labels, one.drop_name, s->col.kind, s->col.v, one.h ? s->col.h : NULL };
    return 1;
}

static const StreamOps spread_ops = { spread_next, NULL };

static int eval_invariant(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    Steps once = { steps->start, steps->step, 1, NULL };
    Stream *child;
    int r = steps->n == 1 ? 0 : steps_count(ev, steps, STEP_STATS_INVARIANT, NULL, &once);
    if (r >= 0)
        r = eval_stream(ev, n->expr, steps->n == 1 ? steps : &once, &child);
    if (r < 0 || steps->n == 1) {
        if (r >= 0)
            *ret = child;
        return r;
    }
    SpreadStream *s = stream_new(ev, sizeof *s, &spread_ops, steps);
    if (!s || column_init(ev, &s->col, steps->n) < 0)
        return eval_nomem(ev);
    s->child = child;
    s->head.unique = child->unique;
    *ret = &s->head;
    return 0;
}

typedef struct NegateStream {
    Stream head;
    Stream *child;
    Column col;
    HistogramAcc acc;
} NegateStream;

static int negate_next(Stream *stream, Column *ret)
{
    NegateStream *s = (NegateStream *)stream;
    arena_reset(&s->head.scratch);
    int r = stream_next(s->child, ret);
    if (r <= 0)
        return r;
    if (ret->h && column_histograms(s->head.ev, &s->col, s->head.steps.n) < 0)
        return eval_nomem(s->head.ev);
    for (unsigned i = 0; i < s->head.steps.n; i++) {
        s->col.v[i] = -ret->v[i];
        if (ret->kind[i] != SAMPLE_HISTOGRAM)
            continue;
        histogram_acc_set(&s->acc, ret->h[i]);
        histogram_acc_mul(&s->acc, -1);
        s->col.h[i] = histogram_acc_take(&s->acc, &s->head.scratch);
        if (!s->col.h[i])
            return eval_nomem(s->head.ev);
    }
    ret->v = s->col.v;
    ret->h = ret->h ? s->col.h : NULL;
    return column_drop_name(stream, ret);
}

static void negate_free(Stream *stream)
{
    histogram_acc_free(&((NegateStream *)stream)->acc);
}

static const StreamOps negate_ops = { negate_next, negate_free };

static int eval_unary(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    Stream *child;
    int r = eval_stream(ev, n->expr, steps, &child);
    if (r < 0 || n->op == TOK_ADD) {
        *ret = child;
        return r;
    }
    NegateStream *s = stream_new(ev, sizeof *s, &negate_ops, steps);
    if (!s || column_init(ev, &s->col, steps->n) < 0)
        return eval_nomem(ev);
    s->child = child;
    s->head.unique = child->unique;
    return merge_stream(&s->head, true, ret);
}

/* vector(s): one series without labels. */
static int eval_vector_of(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    Column c = { 0 };
    Matrix m = { 0 };
    double *v;
    int r = eval_scalar(ev, call->args[0], steps, &v);
    if (r < 0)
        return r;
    if (column_init(ev, &c, steps->n) < 0)
        return eval_nomem(ev);
    memset(c.kind, SAMPLE_FLOAT, steps->n);
    c.v = v;
    r = matrix_push(ev, &m, &c);
    return r < 0 ? r : matrix_stream(ev, &m, steps, ret);
}

static int eval_call(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    switch (n->fn->id) {
    case FN_ABSENT:
    case FN_ABSENT_OVER_TIME:
        return eval_absent(ev, n, steps, ret);
    case FN_HISTOGRAM_FRACTION:
    case FN_HISTOGRAM_QUANTILE:
    case FN_HISTOGRAM_QUANTILES:
        return eval_histogram_call(ev, n, steps, ret);
    case FN_INFO:
        return eval_info(ev, n, steps, ret);
    case FN_LABEL_JOIN:
    case FN_LABEL_REPLACE:
        return eval_label_call(ev, n, steps, ret);
    case FN_SORT:
    case FN_SORT_DESC:
    case FN_SORT_BY_LABEL:
    case FN_SORT_BY_LABEL_DESC:
        return eval_sort(ev, n, steps, ret);
    case FN_TIMESTAMP:
    case FN_START_TIMESTAMP:
        return eval_timestamp(ev, n, steps, ret);
    case FN_VECTOR:
        return eval_vector_of(ev, n, steps, ret);
    default:
        return n->fn->range ? eval_range_call(ev, n, steps, ret)
                            : eval_vector_call(ev, n, steps, ret);
    }
}

int eval_stream(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    int r = eval_check(ev);
    if (r < 0)
        return r;
    switch (n->type) {
    case NODE_VECTOR:
        return eval_select(ev, n, steps, ret);
    case NODE_PAREN:
        return eval_stream(ev, n->expr, steps, ret);
    case NODE_STEP_INVARIANT:
        return eval_invariant(ev, n, steps, ret);
    case NODE_UNARY:
        return eval_unary(ev, n, steps, ret);
    case NODE_CALL:
        return eval_call(ev, n, steps, ret);
    case NODE_AGGREGATE:
        return eval_aggregate(ev, n, steps, ret);
    case NODE_BINARY:
        return eval_binary(ev, n, steps, ret);
    default:
        return eval_fail(ev, PROMQL_INTERNAL, ERR_INVALID, "unexpected node in a vector");
    }
}

/* scalar(v): the one float of a step, else NaN. */
static int scalar_of_vector(Eval *ev, Node *arg, const Steps *steps, double *out)
{
    Stream *s;
    Column c;
    uint8_t *seen = arena_alloc(ev->arena, steps->n);
    int r = eval_stream(ev, arg, steps, &s);
    if (r < 0 || !seen)
        return r < 0 ? r : eval_nomem(ev);
    while ((r = stream_next(s, &c)) > 0) {
        for (unsigned i = 0; i < steps->n; i++) {
            if (c.kind[i] != SAMPLE_FLOAT)
                continue;
            out[i] = seen[i] ? NAN : c.v[i];
            seen[i] = 1;
        }
    }
    for (unsigned i = 0; i < steps->n; i++)
        if (!seen[i])
            out[i] = NAN;
    return r;
}

static int scalar_call(Eval *ev, Node *n, const Steps *steps, double *out)
{
    double *a = NULL, *b = NULL;
    int r = 0;
    switch (n->fn->id) {
    case FN_TIME:
        for (unsigned i = 0; i < steps->n; i++)
            out[i] = (double)step_time(steps, i) / 1000;
        return 0;
    case FN_PI:
        for (unsigned i = 0; i < steps->n; i++)
            out[i] = M_PI;
        return 0;
    case FN_SCALAR:
        return scalar_of_vector(ev, n->args[0], steps, out);
    case FN_MAX_OF:
    case FN_MIN_OF:
        r = eval_scalar(ev, n->args[0], steps, &a);
        if (r >= 0)
            r = eval_scalar(ev, n->args[1], steps, &b);
        /* Unlike fmax(), a NaN makes the result NaN. */
        for (unsigned i = 0; r >= 0 && i < steps->n; i++)
            out[i] = isnan(a[i]) || isnan(b[i]) ? NAN
                     : n->fn->id == FN_MAX_OF   ? fmax(a[i], b[i])
                                                : fmin(a[i], b[i]);
        return r;
    default:
        return eval_fail(ev, PROMQL_INTERNAL, ERR_INVALID, "unexpected call of a scalar");
    }
}

static int scalar_invariant(Eval *ev, Node *n, const Steps *steps, double *out)
{
    Steps once = { steps->start, steps->step, 1, NULL };
    double *one;
    int r = steps_count(ev, steps, STEP_STATS_INVARIANT, NULL, &once);
    if (r >= 0)
        r = eval_scalar(ev, n->expr, &once, &one);
    for (unsigned i = 0; r >= 0 && i < steps->n; i++)
        out[i] = one[0];
    return r;
}

int eval_scalar(Eval *ev, Node *n, const Steps *steps, double **ret)
{
    double *out = arena_array(ev->arena, double, steps->n), *l, *right;
    int r = 0;
    if (!out)
        return eval_nomem(ev);
    *ret = out;
    switch (n->type) {
    case NODE_NUMBER:
        for (unsigned i = 0; i < steps->n; i++)
            out[i] = n->number;
        return 0;
    case NODE_PAREN:
        return eval_scalar(ev, n->expr, steps, ret);
    case NODE_STEP_INVARIANT:
        return scalar_invariant(ev, n, steps, out);
    case NODE_UNARY:
        r = eval_scalar(ev, n->expr, steps, &right);
        for (unsigned i = 0; r >= 0 && i < steps->n; i++)
            out[i] = n->op == TOK_SUB ? -right[i] : right[i];
        return r;
    case NODE_CALL:
        return scalar_call(ev, n, steps, out);
    case NODE_BINARY:
        r = eval_scalar(ev, n->lhs, steps, &l);
        if (r >= 0)
            r = eval_scalar(ev, n->rhs, steps, &right);
        for (unsigned i = 0; r >= 0 && i < steps->n; i++)
            out[i] = scalar_binop(n->op, l[i], right[i]);
        return r;
    default:
        return eval_fail(ev, PROMQL_INTERNAL, ERR_INVALID, "unexpected node in a scalar");
    }
}
