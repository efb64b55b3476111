/* agg_values.c - quantile and count_values, which look at all values of a step at once. */
#include "monitor/model/number.h"
#include "monitor/promql/agg.h"

typedef struct ValuesGroup {
    AggGroup head;
    Matrix cols;
} ValuesGroup;

static void warn_quantile(Eval *ev, const Node *param, double q)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    double_format_g(q, &text);
    annotate_warning(&ev->annos, param->start, "quantile value should be between 0 and 1, got %.*s",
                     SV_FMT(buf_view(&text)));
}

static void check_quantile(Eval *ev, const Node *param, const double *q, unsigned n)
{
    double max = -INFINITY, min = INFINITY;
    bool nan = false;
    for (unsigned i = 0; i < n; i++) {
        nan |= isnan(q[i]);
        max = fmax(max, q[i]);
        min = fmin(min, q[i]);
    }
    if (nan)
        warn_quantile(ev, param, NAN);
    if (max > 1)
        warn_quantile(ev, param, max);
    if (min < 0)
        warn_quantile(ev, param, min);
}

static int collect(Eval *ev, Node *n, Stream *s, AggGroups *groups)
{
    Column c, copy;
    int r;
    while ((r = stream_next(s, &c)) > 0) {
        AggGroup *g;
        bool is_new;
        r = agg_group_of(groups, c.labels, &g, &is_new);
        if (r < 0)
            return r;
        g->drop_name |= c.drop_name;
        if (c.h && memchr(c.kind, SAMPLE_HISTOGRAM, s->steps.n))
            agg_ignore_histogram(ev, n->expr->start, n->op);
        c.h = NULL; /* only floats are looked at */
        c.labels = (Labels){ 0 };
        r = eval_hold(ev, s->steps.n);
        if (r >= 0)
            r = column_copy(ev, &c, s->steps.n, &copy);
        if (r >= 0)
            r = matrix_push(ev, &((ValuesGroup *)g)->cols, &copy);
        if (r < 0)
            return r;
    }
    return r;
}

static int quantile_group(Eval *ev, const ValuesGroup *g, const double *q, unsigned n, Matrix *out)
{
    Column c;
    double *v = arena_array(ev->arena, double, g->cols.len);
    int r = column_init(ev, &c, n);
    if (!v || r < 0)
        return eval_nomem(ev);
    c.labels = g->head.labels;
    c.drop_name = g->head.drop_name;
    for (unsigned i = 0; i < n; i++) {
        size_t len = 0;
        for (size_t k = 0; k < g->cols.len; k++)
            if (g->cols.cols[k].kind[i] == SAMPLE_FLOAT)
                v[len++] = g->cols.cols[k].v[i];
        if (!len)
            continue;
        sort_doubles_nan_first(v, len);
        c.kind[i] = SAMPLE_FLOAT;
        c.v[i] = quantile_sorted(q[i], v, len);
    }
    return matrix_push(ev, out, &c);
}

int agg_quantile(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    AggGroups groups;
    Stream *s;
    double *q;
    Matrix out = { 0 };
    int r = agg_groups_init(&groups, ev, n, sizeof(ValuesGroup));
    if (r >= 0)
        r = eval_scalar(ev, n->param, steps, &q);
    if (r >= 0)
        r = eval_stream(ev, n->expr, steps, &s);
    if (r < 0)
        return r;
    check_quantile(ev, n->param, q, steps->n);
    r = collect(ev, n, s, &groups);
    for (size_t i = 0; r >= 0 && i < groups.len; i++)
        r = quantile_group(ev, groups.items[i], q, steps->n, &out);
    if (r >= 0)
        r = matrix_stream(ev, &out, steps, ret);
    if (r >= 0)
        (*ret)->unique = true;
    return r;
}

/* The output column of a value of this series. */
static int value_column(AggGroups *groups, const Column *c, unsigned i, StrView label,
                        Arena *scratch, Merger *m, Column **ret)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    LabelsBuilder b;
    Labels l;
    AggGroup *g;
    bool is_new;
    if (c->kind[i] == SAMPLE_HISTOGRAM)
        histogram_format(c->h[i], &text);
    else
        double_format_f(c->v[i], &text);
    arena_reset(scratch);
    StrView value = text.failed ? SV_NULL : arena_sv(scratch, buf_view(&text));
    labels_builder_init(&b, scratch, c->labels);
    labels_builder_set(&b, label, value);
    if (!value.ptr || !labels_builder_take(&b, &l))
        return eval_nomem(m->ev);
    int r = agg_group_of(groups, l, &g, &is_new);
    return r < 0 ? r : merger_column(m, g->labels, false, ret);
}

static int count_column(AggGroups *groups, const Column *c, StrView label, Arena *scratch,
                        Merger *m)
{
    Column *out = NULL;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < m->steps.n; i++) {
        if (c->kind[i] == SAMPLE_NONE)
            continue;
        bool same = out && i && c->kind[i] == SAMPLE_FLOAT && c->kind[i - 1] == SAMPLE_FLOAT &&
                    c->v[i] == c->v[i - 1];
        if (!same)
            r = value_column(groups, c, i, label, scratch, m, &out);
        if (r < 0)
            break;
        out->kind[i] = SAMPLE_FLOAT;
        out->v[i] += 1;
    }
    return r;
}

int agg_count_values(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    AggGroups groups;
    Stream *s;
    Column c;
    Merger m;
    StrView label = n->param->string;
    Node with_label = *n;
    if (!label.len || !sv_is_utf8(label)) {
        _cleanup_buf_ Buf name = BUF_INIT;
        text_quote(label, &name);
        return eval_fail(ev, PROMQL_EXECUTION, ERR_INVALID, "invalid label name %.*s",
                         SV_FMT(buf_view(&name)));
    }
    /* The value's label belongs to the group. */
    if (!n->without) {
        StrView *names = arena_array(ev->arena, StrView, n->n_grouping + 1);
        if (!names)
            return eval_nomem(ev);
        if (n->n_grouping)
            memcpy(names, n->grouping, n->n_grouping * sizeof *names);
        names[n->n_grouping] = label;
        with_label.grouping = names;
        with_label.n_grouping++;
    }
    int r = agg_groups_init(&groups, ev, &with_label, sizeof(AggGroup));
    if (r >= 0)
        r = eval_stream(ev, n->expr, steps, &s);
    if (r < 0)
        return r;
    Arena scratch;
    arena_init(&scratch, ev->memory_limit);
    merger_init(&m, ev, steps, false);
    while ((r = stream_next(s, &c)) > 0)
        if ((r = count_column(&groups, &c, label, &scratch, &m)) < 0)
            break;
    arena_free(&scratch);
    if (r >= 0)
        r = matrix_stream(ev, &m.out, steps, ret);
    if (r >= 0)
        (*ret)->unique = true;
    return r;
}
