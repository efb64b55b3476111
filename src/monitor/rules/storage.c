/* storage.c - rules over a time-series database. */
#include "monitor/promql/promql.h"
#include "monitor/rules/rules.h"

enum { LOOKBACK_DAYS = 3650 };

static int copy_vector(const PromqlResult *res, Arena *a, TemplateSample **ret, size_t *ret_n,
                       Err *err)
{
    TemplateSample *s = arena_array(a, TemplateSample, res->n + 1);
    if (!s)
        return err_nomem(err);
    *ret = s;
    *ret_n = res->n;
    if (res->type == PROMQL_SCALAR) {
        s[0].value = res->scalar;
        *ret_n = 1;
        return 0;
    }
    if (res->type != PROMQL_VECTOR)
        return err_set(err, ERR_INVALID, 0, "rule result is not a vector or scalar");
    for (size_t i = 0; i < res->n; i++) {
        s[i].value = res->series[i].points[0].v;
        s[i].h = res->series[i].points[0].h;
        if (!labels_copy(res->series[i].labels, a, &s[i].labels) ||
            (s[i].h && !(s[i].h = histogram_copy(s[i].h, a))))
            return err_nomem(err);
    }
    return 0;
}

static int tsdb_query(void *ctx, StrView expr, int64_t t, Arena *a, TemplateSample **ret,
                      size_t *ret_n, Err *err)
{
    const RulesTsdb *st = ctx;
    Querier *local = NULL;
    PromqlResult res;
    PromqlQuery query = { .text = expr, .start = t, .end = t, .cancel = st->cancel };
    /* Offsets and ranges of the expression may reach back as far as there is data. */
    int64_t back = (int64_t)LOOKBACK_DAYS * 86400 * 1000;
    int r = tsdb_querier_new(st->db, t - back, t + back, &local, err);
    if (r < 0)
        return r;
    RulesQuerier q = { .q = local };
    r = st->widen ? st->widen(st->ctx, local, a, &q, err) : 0;
    if (r >= 0) {
        r = promql_query(&st->promql, q.q, &query, &res, err);
        if (r >= 0)
            r = copy_vector(&res, a, ret, ret_n, err);
        promql_result_free(&res);
        if (st->widen)
            st->close(st->ctx, &q);
    }
    tsdb_querier_free(local);
    return r;
}

static int tsdb_store(void *ctx, const RuleSample *s, size_t n, size_t *ret_refused, Err *err)
{
    const RulesTsdb *st = ctx;
    TsdbAppender *app = NULL;
    int r = tsdb_appender_new(st->db, &app, err);
    *ret_refused = 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        SeriesRef ref = 0;
        AppendResult got = s[i].h
                               ? tsdb_append_histogram(app, &ref, s[i].labels, s[i].t, s[i].h, err)
                               : tsdb_append(app, &ref, s[i].labels, s[i].t, s[i].v, err);
        if (got == APPEND_FAILED) {
            tsdb_appender_rollback(app);
            return -(int)(err && err->code ? err->code : ERR_SYS);
        }
        *ret_refused += got != APPEND_OK;
    }
    return r < 0 ? r : tsdb_appender_commit(app, err);
}

static int read_last(Querier *q, const SelectHints *h, const Matcher *ms, Arena *a,
                     RuleSample **ret, size_t *ret_n, Err *err)
{
    SeriesSet *set = NULL;
    SampleCols cols;
    Labels l;
    RuleSample *out = NULL;
    size_t n = 0;
    int r = q->ops->select(q, h, ms, 2, &set, err);
    sample_cols_init(&cols);
    while (r >= 0 && (r = q->ops->next(set, &l, &cols, err)) > 0) {
        if (!cols.len)
            continue;
        RuleSample *grown = arena_realloc(a, out, n * sizeof *out, (n + 1) * sizeof *out);
        if (!grown || !labels_copy(l, a, &grown[n].labels)) {
            r = err_nomem(err);
            break;
        }
        out = grown;
        out[n] = (RuleSample){ out[n].labels, cols.t[cols.len - 1], cols.v[cols.len - 1], NULL };
        n++;
    }
    sample_cols_free(&cols);
    if (set)
        q->ops->set_free(set);
    *ret = out;
    *ret_n = n;
    return r;
}

static int tsdb_last(void *ctx, StrView metric, StrView alertname, int64_t start, int64_t end,
                     Arena *a, RuleSample **ret, size_t *ret_n, Err *err)
{
    const RulesTsdb *st = ctx;
    Querier *q = NULL;
    Matcher ms[2] = { 0 };
    SelectHints h = { .start = start, .end = end };
    int r = matcher_init(&ms[0], MATCH_EQ, LABEL_METRIC_NAME, metric, a, err);
    if (r >= 0)
        r = matcher_init(&ms[1], MATCH_EQ, SV("alertname"), alertname, a, err);
    if (r >= 0)
        r = tsdb_querier_new(st->db, start, end, &q, err);
    if (r >= 0)
        r = read_last(q, &h, ms, a, ret, ret_n, err);
    tsdb_querier_free(q);
    matcher_free(&ms[0]);
    matcher_free(&ms[1]);
    return r;
}

RuleStorage rules_tsdb(RulesTsdb *t)
{
    return (RuleStorage){ .query = tsdb_query, .append = tsdb_store, .last = tsdb_last, .ctx = t };
}
