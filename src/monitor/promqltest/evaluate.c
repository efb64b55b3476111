/* evaluate.c - runs one evaluation in all the ways that have to agree. */
#include "monitor/promql/function.h"
#include "monitor/promqltest/script.h"

static const PromqlOptions options = {
    .features = PROMQL_EXPERIMENTAL_FUNCTIONS | PROMQL_DURATION_EXPR |
                PROMQL_EXTENDED_RANGE_SELECTORS | PROMQL_BINOP_FILL_MODIFIERS |
                PROMQL_DELAYED_NAME_REMOVAL | PROMQL_START_TIMESTAMPS,
    .max_samples = SCRIPT_MAX_SAMPLES,
};

enum { MINUTE_MS = 60 * 1000, PINNED_TIMES_MAX = 5 };

/* Runs a query and judges it; *ret must be freed. False: it failed, as expected or not. */
static bool run_query(Evaluation *e, Memory *m, const PromqlQuery *q, PromqlResult *ret, Buf *why)
{
    Err err = { 0 };
    if (promql_query(&options, memory_querier(m), q, ret, &err) < 0) {
        if (e->has[EXPECT_FAIL])
            evaluation_check_failure(e, sv_cstr(err.msg), why);
        else
            buf_printf(why, "error: %s", err.msg);
        return false;
    }
    if (e->has[EXPECT_FAIL])
        buf_sv(why, SV("expected an error but got none"));
    return !why->len;
}

static void run_range(Evaluation *e, Memory *m, Buf *why)
{
    PromqlResult r;
    PromqlQuery q = { e->expr, true, e->start, e->end, e->step, NULL };
    if (run_query(e, m, &q, &r, why)) {
        evaluation_check_annotations(e, &r, why);
        if (!why->len)
            evaluation_compare(e, &r, why);
    }
    promql_result_free(&r);
}

/* The samples at `t` of a matrix, as an instant query's result. */
static void middle_step(PromqlResult *r, int64_t t, bool scalar)
{
    PromqlSeries *out = arena_array(&r->arena, PromqlSeries, r->n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < r->n; i++)
        for (size_t k = 0; k < r->series[i].n; k++)
            if (r->series[i].points[k].t == t)
                out[n++] = (PromqlSeries){ r->series[i].labels, &r->series[i].points[k], 1 };
    r->type = scalar ? PROMQL_SCALAR : PROMQL_VECTOR;
    r->series = out;
    r->n = n;
    if (scalar && n)
        r->scalar = out[0].points[0].v;
}

static bool depends_on_query(StrView expr)
{
    return sv_find(expr, SV("start()")) >= 0 || sv_find(expr, SV("end()")) >= 0 ||
           sv_find(expr, SV("range()")) >= 0 || sv_find(expr, SV("step()")) >= 0;
}

static void run_as_range(Evaluation *e, Memory *m, StrView expr, int64_t t, bool scalar, Buf *why)
{
    PromqlResult r;
    PromqlQuery q = { expr, true, t - MINUTE_MS, t + MINUTE_MS, MINUTE_MS, NULL };
    Err err = { 0 };
    if (promql_query(&options, memory_querier(m), &q, &r, &err) < 0) {
        buf_printf(why, "range mode: error: %s", err.msg);
    } else if (!e->has[EXPECT_ORDERED]) {
        middle_step(&r, t, scalar);
        evaluation_compare(e, &r, why);
        if (why->len)
            buf_sv(why, SV(" (range mode)"));
    }
    promql_result_free(&r);
}

static void run_instant(Evaluation *e, Memory *m, StrView expr, int64_t t, Buf *why)
{
    PromqlResult r;
    PromqlQuery q = { expr, false, t, t, 0, NULL };
    bool ok = run_query(e, m, &q, &r, why);
    if (ok) {
        evaluation_check_annotations(e, &r, why);
        if (!why->len)
            evaluation_compare(e, &r, why);
    }
    bool scalar = r.type == PROMQL_SCALAR;
    promql_result_free(&r);
    if (ok && !why->len && !e->range_vector && !e->has_string && !depends_on_query(expr))
        run_as_range(e, m, expr, t, scalar, why);
}

/* Sets @ on every selector and subquery that has none, outside of subqueries that have one. False:
 * a function's result depends on the evaluation time. */
static bool pin(Node *n, int64_t at)
{
    Node **child;
    bool stable = !(n->type == NODE_CALL && n->fn->varies);
    if ((n->type == NODE_VECTOR || n->type == NODE_MATRIX || n->type == NODE_SUBQUERY) &&
        !n->mod.has_at) {
        n->mod.has_at = true;
        n->mod.at = at;
    }
    if (n->type == NODE_SUBQUERY)
        return stable;
    for (unsigned i = 0; (child = node_child(n, i)); i++)
        stable = pin(*child, at) && stable;
    return stable;
}

static int run_pinned(Evaluation *e, Memory *m, Buf *why, Err *err)
{
    Arena a;
    PromqlExpr *expr;
    int64_t t = e->at;
    int64_t times[PINNED_TIMES_MAX] = { -10 * t, 0, t / 5, t, 10 * t };
    size_t n = PINNED_TIMES_MAX;
    _cleanup_buf_ Buf text = BUF_INIT;
    if (t == 0) {
        times[0] = -1000;
        times[1] = 0;
        times[2] = 1000;
        n = 3;
    }
    arena_init(&a, 0);
    int r = promql_parse(e->expr, options.features, &a, &expr, err);
    if (r >= 0 && pin(expr->root, t)) {
        promql_format(expr, false, &text);
        for (size_t i = 0; i < n && !why->len; i++) {
            run_instant(e, m, buf_view(&text), times[i], why);
            if (why->len)
                buf_printf(why, " (as `%.*s` at %lld)", SV_FMT(buf_view(&text)),
                           (long long)times[i]);
        }
    }
    if (r >= 0)
        promql_expr_free(expr);
    arena_free(&a);
    return r;
}

int evaluation_run(Evaluation *e, Memory *m, Buf *why, Err *err)
{
    if (e->range) {
        run_range(e, m, why);
        return 0;
    }
    run_instant(e, m, e->expr, e->at, why);
    return why->len ? 0 : run_pinned(e, m, why, err);
}
