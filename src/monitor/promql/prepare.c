/* prepare.c - see prepare.h. */
#include "monitor/promql/prepare.h"

#include "monitor/promql/function.h"

static double query_constant(FunctionId id, const PromqlQuery *q)
{
    switch (id) {
    case FN_START:
        return (double)q->start / 1000;
    case FN_END:
        return (double)q->end / 1000;
    case FN_RANGE:
        return (double)(q->end - q->start) / 1000;
    default:
        return q->start == q->end ? 0 : (double)q->step / 1000;
    }
}

static bool is_query_constant(const Node *n)
{
    return n->type == NODE_CALL && (n->fn->id == FN_START || n->fn->id == FN_END ||
                                    n->fn->id == FN_RANGE || n->fn->id == FN_STEP);
}

static void fold(Node *n, const PromqlQuery *q)
{
    if (is_query_constant(n)) {
        n->number = query_constant(n->fn->id, q);
        n->type = NODE_NUMBER;
        return;
    }
    Node **child;
    for (unsigned i = 0; (child = node_child(n, i)); i++)
        fold(*child, q);
}

static int duration_error(const Node *n, const char *what, Err *err)
{
    return err_set(err, ERR_INVALID, 0, "%u:%u: %s", n->start, n->end, what);
}

static int duration_value(const Node *n, const PromqlQuery *q, double *ret, Err *err)
{
    double l = 0, r = 0;
    int e = 0;
    if (n->type == NODE_NUMBER) {
        *ret = n->number;
        return 0;
    }
    if (n->lhs)
        e = duration_value(n->lhs, q, &l, err);
    if (e >= 0 && n->rhs)
        e = duration_value(n->rhs, q, &r, err);
    if (e < 0)
        return e;
    switch (n->op) {
    case TOK_STEP:
        *ret = (double)(q->range ? q->step : 0) / 1000;
        return 0;
    case TOK_RANGE:
        *ret = (double)(q->end - q->start) / 1000;
        return 0;
    case TOK_MIN_OF:
        *ret = isnan(l) || isnan(r) ? NAN : fmin(l, r);
        return 0;
    case TOK_MAX_OF:
        *ret = isnan(l) || isnan(r) ? NAN : fmax(l, r);
        return 0;
    case TOK_ADD:
        *ret = l + r;
        return 0;
    case TOK_SUB:
        *ret = l - r;
        return 0;
    case TOK_MUL:
        *ret = l * r;
        return 0;
    case TOK_POW:
        *ret = pow(l, r);
        return 0;
    default:
        if (r == 0)
            return duration_error(n, n->op == TOK_DIV ? "division by zero" : "modulo by zero", err);
        *ret = n->op == TOK_DIV ? l / r : fmod(l, r);
        return 0;
    }
}

static int resolve(const Node *expr, bool may_be_negative, const PromqlQuery *q, int64_t *ret_ms,
                   Err *err)
{
    double v = 0;
    if (!expr)
        return 0;
    int r = duration_value(expr, q, &v, err);
    if (r < 0)
        return r;
    if (!isfinite(v))
        return duration_error(expr, "duration is NaN or infinite", err);
    if (v <= 0 && !may_be_negative)
        return duration_error(expr, "duration must be greater than 0", err);
    if (fabs(v) > 9223372036.854775807)
        return duration_error(expr, "duration is out of range", err);
    *ret_ms = (int64_t)(v * 1000);
    return 0;
}

static int durations(Node *n, const PromqlQuery *q, Err *err)
{
    Modifiers *m = &n->mod;
    Node **child;
    int r = resolve(m->offset_expr, true, q, &m->offset, err);
    if (r >= 0)
        r = resolve(m->step_expr, false, q, &m->step, err);
    if (r >= 0)
        r = resolve(m->range_expr, false, q, &m->range, err);
    for (unsigned i = 0; r >= 0 && (child = node_child(n, i)); i++)
        r = durations(*child, q, err);
    return r;
}

/* The expressions around a node, from the inside out. */
typedef struct Frame {
    const struct Frame *outer;
    const Node *n;
} Frame;

/* histogram_count(), _sum() and _avg() need no buckets, unless something further out does, or a
 * subquery comes in between: that needs them to see resets. */
static bool needs_no_buckets(const Frame *f)
{
    bool no = false;
    for (; f; f = f->outer) {
        const Node *n = f->n;
        bool trim = n->type == NODE_BINARY && (n->op == TOK_TRIM_UPPER || n->op == TOK_TRIM_LOWER);
        if (n->type == NODE_SUBQUERY || trim)
            return false;
        if (n->type != NODE_CALL)
            continue;
        StrView name = n->fn->name;
        if (n->fn->id == FN_HISTOGRAM_QUANTILE || n->fn->id == FN_HISTOGRAM_QUANTILES ||
            n->fn->id == FN_HISTOGRAM_FRACTION)
            return false;
        no = no || sv_eq(name, SV("histogram_count")) || sv_eq(name, SV("histogram_sum")) ||
             sv_eq(name, SV("histogram_avg"));
    }
    return no;
}

/* The nearest call or aggregation; none behind a binary operator. */
static StrView purpose(const Frame *f)
{
    for (; f && f->n->type != NODE_BINARY; f = f->outer) {
        if (f->n->type == NODE_CALL)
            return f->n->fn->name;
        if (f->n->type == NODE_AGGREGATE)
            return tok_text(f->n->op);
    }
    return SV("");
}

/* An aggregation by labels straight around a selector: of the series nothing else is looked at. */
static const Node *only_reader(const Node *n, const Frame *f)
{
    static const Tok ops[] = { TOK_SUM, TOK_AVG, TOK_COUNT, TOK_MIN, TOK_MAX, TOK_GROUP };
    while (f && f->n->type == NODE_PAREN)
        f = f->outer;
    if (!f || f->n->type != NODE_AGGREGATE || f->n->without || n->type != NODE_VECTOR ||
        n->mod.smoothed) /* whose annotations name the metric */
        return NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
        if (f->n->op == ops[i])
            return f->n;
    return NULL;
}

static void mark_selectors(Node *n, const Frame *outer)
{
    Frame f = { outer, n };
    Node **child;
    if (n->type == NODE_VECTOR || n->type == NODE_MATRIX) {
        n->sel.without_buckets = needs_no_buckets(outer);
        n->sel.func = purpose(outer);
        n->sel.by = only_reader(n, outer);
    }
    for (unsigned i = 0; (child = node_child(n, i)); i++)
        mark_selectors(*child, &f);
}

typedef struct Prepare {
    const PromqlQuery *q;
    Arena *arena;
    bool failed;
} Prepare;

static void unwrap(Node **n)
{
    while (*n && (*n)->type == NODE_PAREN)
        *n = (*n)->expr;
}

static Node *invariant(Prepare *p, Node *inner)
{
    Node *n = arena_new(p->arena, Node);
    if (!n) {
        p->failed = true;
        return inner;
    }
    n->type = NODE_STEP_INVARIANT;
    n->start = inner->start;
    n->end = inner->end;
    n->expr = inner;
    return n;
}

/* Does not change from step to step; and, wrap: pays to be marked where it stands. */
typedef struct Invariance {
    bool is, wrap;
} Invariance;

static Invariance visit(Prepare *p, Node *n);

static void resolve_at(Prepare *p, Modifiers *m)
{
    if (!m->at_function)
        return;
    m->has_at = true;
    m->at = m->at_function == TOK_START ? p->q->start : p->q->end;
}

static Invariance visit_binary(Prepare *p, Node *n)
{
    Invariance l = visit(p, n->lhs), r = visit(p, n->rhs);
    if (l.is && r.is)
        return (Invariance){ true, true };
    if (l.wrap)
        n->lhs = invariant(p, n->lhs);
    if (r.wrap)
        n->rhs = invariant(p, n->rhs);
    return (Invariance){ false, false };
}

static Invariance visit_call(Prepare *p, Node *n)
{
    bool all = !n->fn->varies, timestamp = n->fn->id == FN_TIMESTAMP;
    bool wrap[256] = { false };
    for (unsigned i = 0; i < n->n_args; i++) {
        unwrap(&n->args[i]);
        Invariance a = visit(p, n->args[i]);
        all = all && a.is;
        if (i < ARRAY_SIZE(wrap))
            wrap[i] = a.wrap;
        /* timestamp(x @ 1) does not vary, timestamp(abs(x @ 1)) does. */
        timestamp = timestamp && a.is && n->args[i]->type == NODE_VECTOR;
    }
    if (all || timestamp)
        return (Invariance){ true, true };
    for (unsigned i = 0; i < n->n_args && i < ARRAY_SIZE(wrap); i++)
        if (wrap[i])
            n->args[i] = invariant(p, n->args[i]);
    return (Invariance){ false, false };
}

static Invariance visit(Prepare *p, Node *n)
{
    switch (n->type) {
    case NODE_VECTOR:
        resolve_at(p, &n->mod);
        return (Invariance){ n->mod.has_at, n->mod.has_at };
    case NODE_MATRIX:
        resolve_at(p, &n->mod);
        return (Invariance){ n->mod.has_at, false };
    case NODE_SUBQUERY:
        if (visit(p, n->expr).is)
            n->expr = invariant(p, n->expr);
        resolve_at(p, &n->mod);
        return (Invariance){ n->mod.has_at, false };
    case NODE_AGGREGATE:
        unwrap(&n->expr);
        unwrap(&n->param);
        if (n->param)
            visit(p, n->param);
        return visit(p, n->expr);
    case NODE_BINARY:
        return visit_binary(p, n);
    case NODE_CALL:
        return visit_call(p, n);
    case NODE_PAREN:
    case NODE_UNARY:
        return visit(p, n->expr);
    default:
        return (Invariance){ true, false };
    }
}

int promql_prepare(PromqlExpr *e, const PromqlQuery *q, Err *err)
{
    Prepare p = { .q = q, .arena = e->arena };
    mark_selectors(e->root, NULL);
    fold(e->root, q);
    int r = durations(e->root, q, err);
    if (r < 0)
        return r;
    if (visit(&p, e->root).wrap)
        e->root = invariant(&p, e->root);
    return p.failed ? err_nomem(err) : 0;
}
