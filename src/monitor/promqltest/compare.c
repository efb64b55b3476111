/* compare.c - is a result what the script expects? */
#include <inttypes.h>

#include "monitor/model/number.h"
#include "monitor/promql/classic.h"
#include "monitor/promqltest/script.h"

void evaluation_free(Evaluation *e)
{
    for (unsigned i = 0; i < e->n_expect; i++)
        e->expect[i].regex = regex_free(e->expect[i].regex);
}

static bool close_to(double a, double b)
{
    return almost_equal(a, b, SCRIPT_EPSILON);
}

static bool same_counts(const double *a, unsigned n, const double *b, unsigned m)
{
    if (n != m)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (!close_to(a[i], b[i]))
            return false;
    return true;
}

static bool same_layout(const HistogramSpan *a, unsigned n, const HistogramSpan *b, unsigned m)
{
    return n == m && (n == 0 || memcmp(a, b, n * sizeof *a) == 0);
}

static bool same_histogram(const Histogram *want, const Histogram *got, bool hint)
{
    Arena a;
    arena_init(&a, 0);
    const Histogram *x = histogram_compact(want, 0, &a), *y = histogram_compact(got, 0, &a);
    bool same = x && y && x->schema == y->schema && close_to(x->count, y->count) &&
                close_to(x->sum, y->sum) && x->zero_threshold == y->zero_threshold &&
                close_to(x->zero_count, y->zero_count) &&
                (!histogram_is_custom(x) || histogram_same_bounds(x, y)) &&
                same_layout(x->neg_spans, x->n_neg_spans, y->neg_spans, y->n_neg_spans) &&
                same_layout(x->pos_spans, x->n_pos_spans, y->pos_spans, y->n_pos_spans) &&
                same_counts(x->neg, x->n_neg, y->neg, y->n_neg) &&
                same_counts(x->pos, x->n_pos, y->pos, y->n_pos) && (!hint || x->hint == y->hint);
    arena_free(&a);
    return same;
}

static void put_value(double v, const Histogram *h, Buf *out)
{
    if (h)
        histogram_format_test(h, out);
    else
        double_format_g(v, out);
}

static ExpectedSeries *find(Evaluation *e, Labels l)
{
    for (size_t i = 0; i < e->n_series; i++)
        if (labels_eq(e->series[i].labels, l))
            return &e->series[i];
    return NULL;
}

static void put_series(const PromqlSeries *s, Buf *out)
{
    labels_format_set(s->labels, out);
    for (size_t i = 0; i < s->n; i++) {
        buf_putc(out, ' ');
        put_value(s->points[i].v, s->points[i].h, out);
        buf_printf(out, "@%" PRId64, s->points[i].t);
    }
}

static bool same_value(const SeriesValue *want, double v, const Histogram *h)
{
    if (want->h || h)
        return want->h && h && same_histogram(want->h, h, want->hint_given);
    return close_to(want->v, v);
}

static void put_difference(const SeriesValue *want, const PromqlPoint *got, Labels l, Buf *why)
{
    buf_sv(why, SV("expected "));
    put_value(want->v, want->h, why);
    buf_sv(why, SV(" for "));
    labels_format_set(l, why);
    buf_sv(why, SV(" but got "));
    put_value(got->v, got->h, why);
    buf_printf(why, " at %" PRId64, got->t);
}

static void compare_points(const Evaluation *e, const ExpectedSeries *x, const PromqlSeries *s,
                           Buf *why)
{
    size_t at = 0;
    for (size_t i = 0; i < x->values.len && !why->len; i++) {
        const SeriesValue *want = &x->values.items[i];
        int64_t t = e->start + (int64_t)i * e->step;
        if (want->omitted)
            continue;
        if (at >= s->n || s->points[at].t != t) {
            buf_printf(why, "expected a sample at %" PRId64 " in ", t);
            put_series(s, why);
            return;
        }
        if (!same_value(want, s->points[at].v, s->points[at].h))
            put_difference(want, &s->points[at], x->labels, why);
        at++;
    }
    if (!why->len && at < s->n) {
        buf_printf(why, "expected only %zu samples, got ", at);
        put_series(s, why);
    }
}

static void missing(Evaluation *e, Buf *why)
{
    for (size_t i = 0; i < e->n_series && !why->len; i++) {
        if (e->series[i].seen)
            continue;
        buf_sv(why, SV("expected metric not found: "));
        labels_format_set(e->series[i].labels, why);
    }
}

static void compare_matrix(Evaluation *e, const PromqlResult *r, Buf *why)
{
    if (e->has[EXPECT_ORDERED] || e->scalar) {
        buf_printf(why, "expected %s, got a matrix", e->scalar ? "a scalar" : "an ordered result");
        return;
    }
    for (size_t i = 0; i < r->n && !why->len; i++) {
        ExpectedSeries *x = find(e, r->series[i].labels);
        if (i && labels_cmp(r->series[i - 1].labels, r->series[i].labels) > 0)
            buf_sv(why, SV("series of a matrix are not sorted by labels"));
        if (!x) {
            buf_sv(why, SV("unexpected series in result: "));
            put_series(&r->series[i], why);
            return;
        }
        x->seen = true;
        compare_points(e, x, &r->series[i], why);
    }
    missing(e, why);
}

static void compare_vector(Evaluation *e, const PromqlResult *r, Buf *why)
{
    if (e->scalar) {
        buf_sv(why, SV("expected a scalar, got a vector"));
        return;
    }
    for (size_t i = 0; i < r->n && !why->len; i++) {
        const PromqlSeries *s = &r->series[i];
        ExpectedSeries *x = find(e, s->labels);
        if (!x || !x->values.len) {
            buf_sv(why, SV("unexpected series in result: "));
            put_series(s, why);
            return;
        }
        x->seen = true;
        if (e->has[EXPECT_ORDERED] && x->position != i + 1) {
            buf_sv(why, SV("expected "));
            labels_format_set(x->labels, why);
            buf_printf(why, " at position %u but it was at %zu", x->position, i + 1);
        } else if (!same_value(&x->values.items[0], s->points[0].v, s->points[0].h)) {
            put_difference(&x->values.items[0], &s->points[0], x->labels, why);
        }
    }
    missing(e, why);
}

void evaluation_compare(Evaluation *e, const PromqlResult *r, Buf *why)
{
    for (size_t i = 0; i < e->n_series; i++)
        e->series[i].seen = false;
    switch (r->type) {
    case PROMQL_MATRIX:
        compare_matrix(e, r, why);
        return;
    case PROMQL_VECTOR:
        compare_vector(e, r, why);
        return;
    case PROMQL_SCALAR:
        if (!e->scalar)
            buf_sv(why, SV("expected a vector or matrix, got a scalar"));
        else if (!close_to(e->scalar_value, r->scalar))
            buf_printf(why, "expected scalar %.17g but got %.17g", e->scalar_value, r->scalar);
        return;
    default:
        if (!e->has_string || !sv_eq(e->string, r->string))
            buf_printf(why, "expected string '%.*s' but got '%.*s'", SV_FMT(e->string),
                       SV_FMT(r->string));
    }
}

static bool matches(const Expectation *x, StrView text)
{
    if (x->regex)
        return regex_match(x->regex, text);
    return !x->text.ptr || sv_eq(x->text, text);
}

void evaluation_check_failure(const Evaluation *e, StrView message, Buf *why)
{
    for (unsigned i = 0; i < e->n_expect; i++) {
        const Expectation *x = &e->expect[i];
        if (x->kind == EXPECT_FAIL && !matches(x, message))
            buf_printf(why, "expected error '%.*s' but got '%.*s'", SV_FMT(x->text),
                       SV_FMT(message));
    }
}

/* Each annotation of the kind is expected, and each expectation is met. */
static void check_kind(const Evaluation *e, const PromqlResult *r, ExpectKind kind, Buf *why)
{
    bool warning = kind == EXPECT_WARN;
    bool met[EXPECTATIONS_MAX] = { false }, listed = false, any = false;
    for (unsigned i = 0; i < e->n_expect; i++)
        listed |= e->expect[i].kind == kind;
    for (size_t k = 0; k < r->n_annotations; k++) {
        bool wanted = false;
        if (r->annotations[k].warning != warning)
            continue;
        any = true;
        for (unsigned i = 0; i < e->n_expect; i++) {
            if (e->expect[i].kind != kind || !matches(&e->expect[i], r->annotations[k].text))
                continue;
            met[i] = wanted = true;
        }
        if ((listed && !wanted) || e->has[warning ? EXPECT_NO_WARN : EXPECT_NO_INFO]) {
            buf_printf(why, "unexpected annotation '%.*s'", SV_FMT(r->annotations[k].text));
            return;
        }
    }
    if (e->has[kind] && !any)
        buf_printf(why, "expected a %s annotation, got none", warning ? "warn" : "info");
    for (unsigned i = 0; i < e->n_expect && !why->len; i++)
        if (e->expect[i].kind == kind && !met[i])
            buf_printf(why, "expected annotation '%.*s' not found", SV_FMT(e->expect[i].text));
}

void evaluation_check_annotations(const Evaluation *e, const PromqlResult *r, Buf *why)
{
    check_kind(e, r, EXPECT_WARN, why);
    if (!why->len)
        check_kind(e, r, EXPECT_INFO, why);
}
