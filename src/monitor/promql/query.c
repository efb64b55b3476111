/* query.c - a query from text to result: parse, prepare, evaluate, drop names, sort. */
#include <string.h>

#include "base/clock.h"
#include "monitor/promql/engine_turn.h"
#include "monitor/promql/eval.h"
#include "monitor/promql/prepare.h"

enum { LOOKBACK_MS = 5 * 60 * 1000, SUBQUERY_STEP_MS = 60 * 1000 };
#define MAX_SAMPLES  UINT64_C(50000000)
#define MEMORY_LIMIT ((size_t)2 << 30)

void promql_result_free(PromqlResult *r)
{
    if (!r)
        return;
    arena_free(&r->arena);
    *r = (PromqlResult){ 0 };
}

static size_t count_points(const Column *c, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += c->kind[i] != SAMPLE_NONE;
    return len;
}

static int put_series(Eval *ev, PromqlResult *res, const Column *c, const Steps *steps,
                      PromqlSeries *ret)
{
    Arena *a = &res->arena;
    PromqlPoint *points = arena_array(a, PromqlPoint, count_points(c, steps->n) + 1);
    size_t n = 0;
    if (!points || !labels_copy(c->labels, a, &ret->labels))
        return eval_nomem(ev);
    const Histogram *last = NULL, *last_copy = NULL;
    for (unsigned i = 0; i < steps->n; i++) {
        const Histogram *h = c->kind[i] == SAMPLE_HISTOGRAM ? c->h[i] : NULL;
        if (c->kind[i] == SAMPLE_NONE)
            continue;
        if (h && h != last) {
            last = h;
            last_copy = histogram_copy(h, a);
            if (!last_copy)
                return eval_nomem(ev);
        }
        points[n++] = (PromqlPoint){ step_time(steps, i), c->v[i], h ? last_copy : NULL };
    }
    ret->points = points;
    ret->n = n;
    return 0;
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(((const PromqlSeries *)a)->labels, ((const PromqlSeries *)b)->labels);
}

static void sort_series(Eval *ev, PromqlResult *res)
{
    int64_t start = clock_mono_ns();
    if (res->n)
        qsort((void *)(uintptr_t)res->series, res->n, sizeof *res->series, by_labels);
    ev->sort_ns += clock_mono_ns() - start;
}

/* With delayed removal names go now; series that became the same are joined. */
static int drop_names(Eval *ev, Stream *s, Stream **ret)
{
    Merger m;
    Column c;
    int r;
    merger_init(&m, ev, &s->steps, false);
    while ((r = stream_next(s, &c)) > 0) {
        if (c.drop_name && !labels_without_metadata(c.labels, ev->arena, &c.labels))
            r = eval_nomem(ev);
        if (r >= 0)
            r = merger_put_column(&m, &c, true);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : matrix_stream(ev, &m.out, &s->steps, ret);
}

/* Series by series into the result: they are never all in columns. */
static int finish_vector(Eval *ev, Stream *s, bool range, PromqlResult *res)
{
    PromqlSeries *series = NULL;
    size_t n = 0, cap = 0;
    Column c;
    int r = eval_delayed(ev) ? drop_names(ev, s, &s) : 0;
    if (r < 0)
        return r;
    while ((r = stream_next(s, &c)) > 0) {
        if (n == cap) {
            size_t grown = cap ? cap * 2 : 16;
            series =
                arena_realloc(&res->arena, series, cap * sizeof *series, grown * sizeof *series);
            if (!series)
                return eval_nomem(ev);
            cap = grown;
        }
        r = eval_delayed(ev) ? 0 : eval_hold(ev, column_weight(&c, s->steps.n));
        if (r >= 0)
            r = put_series(ev, res, &c, &s->steps, &series[n++]);
        if (r < 0)
            return r;
    }
    res->type = range ? PROMQL_MATRIX : PROMQL_VECTOR;
    res->series = series;
    res->n = n;
    if (range)
        sort_series(ev, res);
    return r;
}

static int finish_scalar(Eval *ev, Node *root, const Steps *steps, bool range, PromqlResult *res)
{
    double *v;
    int r = eval_scalar(ev, root, steps, &v);
    if (r < 0)
        return r;
    if (!range) {
        res->type = PROMQL_SCALAR;
        res->scalar = v[0];
        return 0;
    }
    Column c = { .v = v, .kind = arena_alloc(ev->arena, steps->n) };
    PromqlSeries *series = arena_new(&res->arena, PromqlSeries);
    if (!c.kind || !series)
        return eval_nomem(ev);
    memset(c.kind, SAMPLE_FLOAT, steps->n);
    res->type = PROMQL_MATRIX;
    res->series = series;
    res->n = 1;
    return put_series(ev, res, &c, steps, series);
}

static int evaluate(Eval *ev, Node *root, const Steps *steps, bool range, PromqlResult *res)
{
    Stream *s;
    int r;
    switch (node_type(root)) {
    case PROMQL_SCALAR:
        return finish_scalar(ev, root, steps, range, res);
    case PROMQL_STRING:
        while (root->type == NODE_PAREN)
            root = root->expr;
        res->type = PROMQL_STRING;
        res->string = arena_sv(&res->arena, root->string);
        return res->string.ptr ? 0 : eval_nomem(ev);
    case PROMQL_MATRIX:
        r = eval_matrix_result(ev, root, steps, res);
        sort_series(ev, res);
        return r;
    default:
        r = eval_stream(ev, root, steps, &s);
        return r < 0 ? r : finish_vector(ev, s, range, res);
    }
}

static void eval_init(Eval *ev, const PromqlOptions *o, Querier *q, const PromqlQuery *query,
                      Arena *arena, Err *err)
{
    *ev = (Eval){ .features = o->features,
                  .lookback = o->lookback_ms ? o->lookback_ms : LOOKBACK_MS,
                  .subquery_step = o->subquery_step_ms ? o->subquery_step_ms : SUBQUERY_STEP_MS,
                  .max_samples = o->max_samples ? o->max_samples : MAX_SAMPLES,
                  .memory_limit = o->memory_limit ? o->memory_limit : MEMORY_LIMIT,
                  .querier = q,
                  .cancel = query->cancel,
                  .arena = arena,
                  .err = err };
    if (o->timeout_ms)
        ev->deadline_ns = clock_mono_ns() + o->timeout_ms * NSEC_PER_MSEC;
    arena_init(arena, ev->memory_limit);
    ev->annos.arena = arena;
}

static int query_steps(const PromqlQuery *q, const PromqlExpr *e, Steps *ret, Err *err)
{
    *ret = (Steps){ q->start, 1, 1, NULL };
    if (!q->range)
        return 0;
    PromqlType t = promql_expr_type(e);
    if (t != PROMQL_VECTOR && t != PROMQL_SCALAR)
        return err_set(err, ERR_INVALID, 0,
                       "invalid expression type \"%s\" for range query, must be Scalar or instant "
                       "Vector",
                       t == PROMQL_MATRIX ? "range vector" : promql_type_name(t));
    if (q->step <= 0 || q->end < q->start)
        return err_set(err, ERR_INVALID, 0, "%s",
                       q->step <= 0 ? "zero or negative query resolution step widths are not "
                                      "accepted. Try a positive integer"
                                    : "end timestamp must not be before start time");
    if ((q->end - q->start) / q->step >= PROMQL_STEPS_MAX)
        return err_set(err, ERR_LIMIT, 0, "query has more than %d steps", PROMQL_STEPS_MAX);
    *ret = (Steps){ q->start, q->step, (unsigned)((q->end - q->start) / q->step) + 1, NULL };
    return 0;
}

static int count_steps(Eval *ev, Steps *steps)
{
    StepStats what = { STEP_STATS_QUERY, .start = steps->start, .step = steps->step,
                       .n = steps->n };
    return step_stats_new(&ev->stats, ev->arena, &what, &steps->stats) ? 0 : eval_nomem(ev);
}

static int finish_stats(Eval *ev, const Steps *steps, PromqlResult *res)
{
    PromqlStats *to = &res->stats;
    const StepStats *s = steps->stats;
    step_stats_finish(ev->stats);
    to->samples_scanned = s->scanned;
    to->samples_read = s->read;
    to->start = s->start;
    to->step = s->step;
    to->steps = s->n;
    uint64_t *scanned = arena_array(&res->arena, uint64_t, s->n),
             *read = arena_array(&res->arena, uint64_t, s->n);
    if (!scanned || !read)
        return eval_nomem(ev);
    memcpy(scanned, s->scanned_at, s->n * sizeof *scanned);
    memcpy(read, s->read_at, s->n * sizeof *read);
    to->scanned_at = scanned;
    to->read_at = read;
    return 0;
}

static int take_turn(Eval *ev, const PromqlOptions *opts, const PromqlQuery *q, PromqlStats *stats,
                     int *ret_slot)
{
    int64_t begin = clock_mono_ns();
    int r = engine_enter(opts->engine, q, ev->deadline_ns, ret_slot, ev->err);
    stats->queue_ns = q->waited_ns + clock_mono_ns() - begin;
    if (r < 0)
        ev->error_type = ev->err->code == ERR_CLOSED ? PROMQL_CANCELED : PROMQL_TIMEOUT;
    return r;
}

static int evaluate_steps(Eval *ev, PromqlEngine *engine, PromqlExpr *e, const PromqlQuery *q,
                          Steps *steps, PromqlResult *res)
{
    int64_t begin = clock_mono_ns();
    int r = q->stats || engine_logs(engine) ? count_steps(ev, steps) : 0;
    if (r >= 0)
        r = eval_check(ev);
    if (r >= 0)
        r = evaluate(ev, e->root, steps, q->range, res);
    res->stats.sort_ns = ev->sort_ns;
    res->stats.inner_ns = clock_mono_ns() - begin - ev->sort_ns;
    return r >= 0 && steps->stats ? finish_stats(ev, steps, res) : r;
}

static int run(Eval *ev, const PromqlOptions *opts, PromqlExpr *e, const PromqlQuery *q,
               PromqlResult *res)
{
    Steps steps;
    int slot;
    PromqlQuery at = *q;
    int64_t begin = clock_mono_ns();
    if (!q->range)
        at.end = at.start;
    int r = query_steps(q, e, &steps, ev->err);
    if (r >= 0)
        r = promql_prepare(e, &at, ev->err);
    if (r < 0) {
        ev->error_type = PROMQL_BAD_DATA;
        return r;
    }
    res->stats.prepare_ns += clock_mono_ns() - begin;
    r = take_turn(ev, opts, q, &res->stats, &slot);
    if (r < 0)
        return r;
    r = evaluate_steps(ev, opts->engine, e, q, &steps, res);
    res->stats.peak_samples = ev->peak;
    engine_leave(opts->engine, slot, q, &res->stats, r < 0 ? ev->err : NULL);
    /* Also of a query that failed half way. */
    Err dropped = { 0 };
    int a = annotations_finish(&ev->annos, q->text, opts->max_annotations, &res->arena,
                               &res->annotations, &res->n_annotations, r < 0 ? &dropped : ev->err);
    return r < 0 ? r : a;
}

int promql_query(const PromqlOptions *opts, Querier *q, const PromqlQuery *query, PromqlResult *ret,
                 Err *err)
{
    Eval ev;
    Arena arena;
    PromqlExpr *e = NULL;
    *ret = (PromqlResult){ .time = query->start };
    eval_init(&ev, opts, q, query, &arena, err);
    arena_init(&ret->arena, ev.memory_limit);
    int64_t begin = clock_mono_ns();
    int r = promql_parse(query->text, opts->features, &arena, &e, err);
    ret->stats.prepare_ns = clock_mono_ns() - begin;
    if (r < 0)
        ev.error_type = PROMQL_BAD_DATA;
    else
        r = run(&ev, opts, e, query, ret);
    ret->stats.peak_samples = ev.peak;
    ret->error_type = r >= 0 ? PROMQL_OK : ev.error_type ? ev.error_type : PROMQL_EXECUTION;
    streams_free(&ev);
    promql_expr_free(e);
    arena_free(&arena);
    return r < 0 ? r : 0;
}
