/* unittest_compare.c - alerts that fire and results of expressions against what a test expects. */
#include <math.h>

#include "monitor/model/duration.h"
#include "monitor/model/number.h"
#include "monitor/tool/unittest_internal.h"

/* ---- alerts ---- */

static int alert_cmp(const void *x, const void *y)
{
    const TestAlert *a = x, *b = y;
    int c = labels_cmp(a->labels, b->labels);
    return c ? c : labels_cmp(a->annotations, b->annotations);
}

static void sort_alerts(Alerts *l)
{
    if (l->n)
        qsort(l->items, l->n, sizeof *l->items, alert_cmp);
}

static bool same_alerts(const Alerts *a, const Alerts *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = labels_eq(a->items[i].labels, b->items[i].labels) &&
               labels_eq(a->items[i].annotations, b->items[i].annotations);
    return same;
}

/* An alert of one name may be in several groups. */
static int firing_alerts(const RuleGroupView *groups, size_t n, StrView name, Arena *a, Alerts *ret,
                         Err *err)
{
    size_t most = 0;
    for (size_t g = 0; g < n; g++)
        for (unsigned i = 0; i < groups[g].n; i++)
            most += groups[g].rules[i].n_alerts;
    *ret = (Alerts){ arena_array(a, TestAlert, most + 1), 0 };
    if (!ret->items)
        return err_nomem(err);
    for (size_t g = 0; g < n; g++)
        for (unsigned i = 0; i < groups[g].n; i++) {
            const RuleView *r = &groups[g].rules[i];
            if (!r->def->alerting || !sv_eq(r->def->name, name))
                continue;
            for (size_t k = 0; k < r->n_alerts; k++)
                if (r->alerts[k].state == ALERT_FIRING)
                    ret->items[ret->n++] =
                        (TestAlert){ r->alerts[k].labels, r->alerts[k].annotations };
        }
    sort_alerts(ret);
    return 0;
}

/* A test says nothing about the label that every alert has. */
static int expected_alerts(const TestAlertCase *c, Arena *a, Alerts *ret, Err *err)
{
    *ret = (Alerts){ arena_array(a, TestAlert, c->alerts.len + 1u), c->alerts.len };
    if (!ret->items)
        return err_nomem(err);
    for (unsigned i = 0; i < c->alerts.len; i++) {
        LabelsBuilder b;
        labels_builder_init(&b, a, c->alerts.items[i].labels);
        labels_builder_set(&b, SV("alertname"), c->alertname);
        ret->items[i].annotations = c->alerts.items[i].annotations;
        if (!labels_builder_take(&b, &ret->items[i].labels))
            return err_nomem(err);
    }
    sort_alerts(ret);
    return 0;
}

static void tell_alerts(UnitTest *t, const TestAlertCase *c, const Alerts *want, const Alerts *got)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    if (t->group->name.len)
        buf_printf(&text, "    name: %.*s,\n", SV_FMT(t->group->name));
    buf_printf(&text, "    alertname: %.*s, time: ", SV_FMT(c->alertname));
    prom_duration_format(c->eval_time, &text);
    if (t->opt->diff) {
        buf_sv(&text, SV(", \n        diff: "));
        alerts_diff(want, got, &text);
    } else {
        buf_sv(&text, SV(", \n        exp:"));
        alerts_format(want, &text);
        buf_sv(&text, SV(", \n        got:"));
        alerts_format(got, &text);
    }
    t->failures->nomem |= text.failed;
    failures_add(t->failures, buf_view(&text));
}

int unit_test_alerts(UnitTest *t, int64_t eval_time, Err *err)
{
    _cleanup_arena_ Arena a;
    RuleGroupView *groups;
    size_t n;
    Alerts want, got;
    arena_init(&a, 0);
    int r = rules_list(t->rules, &a, &groups, &n, err);
    for (unsigned i = 0; r >= 0 && i < t->group->alerts.len; i++) {
        const TestAlertCase *c = &t->group->alerts.items[i];
        if (c->eval_time != eval_time)
            continue;
        if ((r = expected_alerts(c, &a, &want, err)) < 0 ||
            (r = firing_alerts(groups, n, c->alertname, &a, &got, err)) < 0)
            break;
        if (!same_alerts(&want, &got))
            tell_alerts(t, c, &want, &got);
    }
    return r;
}

/* ---- expressions ---- */

static int sample_cmp(const void *x, const void *y)
{
    return labels_cmp(((const Sample *)x)->labels, ((const Sample *)y)->labels);
}

/* As in promtool NaN is like nothing, not even NaN. */
static bool same_value(double a, double b, bool fuzzy)
{
    return a == b || (fuzzy && (nextafter(a, -INFINITY) == b || nextafter(a, INFINITY) == b));
}

static bool same_samples(const Samples *a, const Samples *b, bool fuzzy)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = labels_eq(a->items[i].labels, b->items[i].labels) &&
               same_value(a->items[i].value, b->items[i].value, fuzzy) &&
               sv_eq(a->items[i].histogram, b->items[i].histogram);
    return same;
}

static StrView histogram_text(const Histogram *h, Arena *a)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    histogram_format_test(h, &text);
    return text.failed ? SV_NULL : arena_sv(a, buf_view(&text));
}

static int got_samples(UnitTest *t, const TestExprCase *c, Arena *a, Samples *ret, Err *err)
{
    TemplateSample *found;
    int r = unit_test_query(t, c->expr, t->group->start + c->eval_time, a, &found, &ret->n, err);
    if (r < 0)
        return r;
    ret->items = arena_array(a, Sample, ret->n + 1);
    for (size_t i = 0; ret->items && i < ret->n; i++) {
        ret->items[i] = (Sample){ found[i].labels, found[i].h ? 0 : found[i].value, SV("") };
        if (found[i].h && !(ret->items[i].histogram = histogram_text(found[i].h, a)).ptr)
            return err_nomem(err);
    }
    if (!ret->items)
        return err_nomem(err);
    if (ret->n)
        qsort(ret->items, ret->n, sizeof *ret->items, sample_cmp);
    return 0;
}

static int want_histogram(StrView text, Arena *a, StrView *ret, Err *err)
{
    Labels none;
    SeriesValues values = { 0 };
    StrView line = arena_printf(a, "{} %.*s", SV_FMT(text));
    int r = line.ptr ? series_parse(line, a, &none, &values, err) : err_nomem(err);
    if (r < 0)
        return r;
    if (values.len != 1)
        return err_set(err, ERR_INVALID, 0, "expected 1 value, got %zu", values.len);
    if (!values.items[0].h)
        return err_set(err, ERR_INVALID, 0, "expected histogram, got %.*s", SV_FMT(text));
    *ret = histogram_text(values.items[0].h, a);
    return ret->ptr ? 0 : err_nomem(err);
}

static int want_samples(const TestExprCase *c, Arena *a, Samples *ret, Err *err)
{
    *ret = (Samples){ arena_array(a, Sample, c->samples.len + 1u), c->samples.len };
    if (!ret->items)
        return err_nomem(err);
    for (unsigned i = 0; i < c->samples.len; i++) {
        const TestSample *s = &c->samples.items[i];
        Sample *to = &ret->items[i];
        int r = series_parse_metric(s->labels, a, &to->labels, err);
        to->value = s->histogram.len ? 0 : s->value;
        to->histogram = SV("");
        if (r >= 0 && s->histogram.len)
            r = want_histogram(s->histogram, a, &to->histogram, err);
        if (r < 0)
            return err_wrap(err, "labels \"%.*s\"", SV_FMT(s->labels));
    }
    if (ret->n)
        qsort(ret->items, ret->n, sizeof *ret->items, sample_cmp);
    return 0;
}

static void begin(const TestExprCase *c, Buf *out)
{
    buf_sv(out, SV("    expr: "));
    text_quote(c->expr, out);
    buf_sv(out, SV(", time: "));
    prom_duration_format(c->eval_time, out);
}

static int compare(UnitTest *t, const TestExprCase *c, Arena *a, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Samples want = { 0 }, got = { 0 };
    int r = got_samples(t, c, a, &got, err);
    if (r >= 0)
        r = want_samples(c, a, &want, err);
    if (r == -(int)ERR_NOMEM)
        return r;
    begin(c, &text);
    if (r < 0) {
        buf_printf(&text, ", err: %s", err->msg);
    } else if (!same_samples(&want, &got, t->file->fuzzy_compare)) {
        buf_sv(&text, SV(",\n        exp: "));
        samples_format(&want, &text);
        buf_sv(&text, SV("\n        got: "));
        samples_format(&got, &text);
    } else {
        return 0;
    }
    t->failures->nomem |= text.failed;
    failures_add(t->failures, buf_view(&text));
    return 0;
}

int unit_test_exprs(UnitTest *t, Err *err)
{
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < t->group->exprs.len; i++) {
        _cleanup_arena_ Arena a;
        arena_init(&a, 0);
        r = compare(t, &t->group->exprs.items[i], &a, err);
    }
    return r;
}

/* ---- --debug ---- */

static void dump_series(UnitTest *t, Labels l, const SampleCols *cols)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    labels_format(l, &text);
    buf_sv(&text, SV(" =>\n"));
    for (size_t i = 0; i < cols->len; i++) {
        if (cols->h && cols->h[i])
            histogram_format(cols->h[i], &text);
        else
            double_format_f(cols->v[i], &text);
        buf_printf(&text, " @[%lld]\n", (long long)cols->t[i]);
    }
    fprintf(t->io->err, "%.*s", SV_FMT(buf_view(&text)));
}

void unit_test_dump(UnitTest *t)
{
    Querier *q = memory_querier(t->memory);
    SelectHints all = { .start = INT64_MIN / 2, .end = INT64_MAX / 2 };
    SeriesSet *set = NULL;
    SampleCols cols;
    Labels l;
    Err err = { 0 };
    tool_complain(t->io, "DEBUG: Dump of all data (input_series and rules):\n");
    sample_cols_init(&cols);
    if (q->ops->select(q, &all, NULL, 0, &set, &err) >= 0)
        while (q->ops->next(set, &l, &cols, &err) > 0)
            dump_series(t, l, &cols);
    q->ops->set_free(set);
    sample_cols_free(&cols);
    fflush(t->io->err);
}
