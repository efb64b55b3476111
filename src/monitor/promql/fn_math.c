/* fn_math.c - functions of one sample: mathematics, parts of dates, figures of histograms. Floats
 * in a function of histograms, and the other way round, are left out without a word. */
#include <time.h>

#include "monitor/model/number.h"
#include "monitor/promql/fn.h"

enum { MATH_ARGS_MAX = 2 };
#define DATE_SECONDS_MAX 1e15

typedef struct MathStream {
    Stream head;
    Stream *child;
    const VectorFunction *fn;
    double *args[MATH_ARGS_MAX];
    unsigned n_args;
    Column col;
} MathStream;

/* The result at step i of a sample; false: none. */
static bool math_step(const MathStream *s, const Column *in, unsigned i, double *v)
{
    double args[MATH_ARGS_MAX];
    if (in->kind[i] == SAMPLE_HISTOGRAM) {
        if (!s->fn->of_histogram)
            return false;
        *v = s->fn->of_histogram(in->h[i]);
        return true;
    }
    if (in->kind[i] != SAMPLE_FLOAT || s->fn->of_histogram)
        return false;
    if (s->fn->of_date) {
        /* What is no time of this world has no date. */
        *v = fabs(in->v[i]) <= DATE_SECONDS_MAX ? s->fn->of_date((int64_t)in->v[i]) : NAN;
        return true;
    }
    for (unsigned k = 0; k < s->n_args; k++)
        args[k] = s->args[k][i];
    *v = s->fn->of_float(in->v[i], args, s->n_args);
    return true;
}

static bool empty_clamp(const MathStream *s, unsigned i)
{
    return s->fn == &fn_clamp && s->args[1][i] < s->args[0][i];
}

static int math_next(Stream *stream, Column *ret)
{
    MathStream *s = (MathStream *)stream;
    Column in;
    bool any = false;
    do {
        int r = stream_next(s->child, &in);
        if (r <= 0)
            return r;
        for (unsigned i = 0; i < s->head.steps.n; i++) {
            bool has = math_step(s, &in, i, &s->col.v[i]) && !empty_clamp(s, i);
            s->col.kind[i] = has ? SAMPLE_FLOAT : SAMPLE_NONE;
            any |= has;
        }
    } while (!any);
    arena_reset(&s->head.scratch);
    *ret = s->col;
    ret->labels = in.labels;
    return column_drop_name(stream, ret);
}

static const StreamOps math_ops = { math_next, NULL };

/* A part of the date of the evaluation time. */
static int date_of_time(Eval *ev, const VectorFunction *fn, const Steps *steps, Stream **ret)
{
    Column c;
    Matrix m = { 0 };
    if (column_init(ev, &c, steps->n) < 0)
        return eval_nomem(ev);
    for (unsigned i = 0; i < steps->n; i++) {
        c.kind[i] = SAMPLE_FLOAT;
        c.v[i] = fn->of_date(step_time(steps, i) / 1000);
    }
    int r = matrix_push(ev, &m, &c);
    return r < 0 ? r : matrix_stream(ev, &m, steps, ret);
}

int eval_vector_call(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    const VectorFunction *fn = call->fn->vector;
    if (!call->n_args)
        return date_of_time(ev, fn, steps, ret);
    MathStream *s = stream_new(ev, sizeof *s, &math_ops, steps);
    if (!s || column_init(ev, &s->col, steps->n) < 0)
        return eval_nomem(ev);
    s->fn = fn;
    int r = eval_stream(ev, call->args[0], steps, &s->child);
    for (unsigned i = 1; r >= 0 && i < call->n_args; i++)
        r = eval_scalar(ev, call->args[i], steps, &s->args[s->n_args++]);
    if (r < 0)
        return r;
    s->head.unique = s->child->unique;
    return merge_stream(&s->head, false, ret);
}

/* Go's math.Max and math.Min: a NaN makes the result NaN, unless the other one is the infinity that
 * nothing exceeds; -0 is less than 0. */
static double go_max(double a, double b)
{
    if (isnan(a) || isnan(b))
        return a == INFINITY || b == INFINITY ? INFINITY : NAN;
    if (a == b)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}
static double go_min(double a, double b)
{
    if (isnan(a) || isnan(b))
        return a == -INFINITY || b == -INFINITY ? -INFINITY : NAN;
    if (a == b)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}

#define FLOAT_FN(name, expr)                                                                       \
    static double call_##name(double v, const double *args, unsigned n_args)                       \
    {                                                                                              \
        return (expr);                                                                             \
    }                                                                                              \
    const VectorFunction fn_##name = { .of_float = call_##name }

FLOAT_FN(abs, fabs(v));
FLOAT_FN(acos, acos(v));
FLOAT_FN(acosh, acosh(v));
FLOAT_FN(asin, asin(v));
FLOAT_FN(asinh, asinh(v));
FLOAT_FN(atan, atan(v));
FLOAT_FN(atanh, atanh(v));
FLOAT_FN(ceil, ceil(v));
FLOAT_FN(clamp, go_max(args[0], go_min(args[1], v)));
FLOAT_FN(clamp_max, go_max(-INFINITY, go_min(args[0], v)));
FLOAT_FN(clamp_min, go_max(args[0], go_min(INFINITY, v)));
FLOAT_FN(cos, cos(v));
FLOAT_FN(cosh, cosh(v));
FLOAT_FN(deg, v * 180 / M_PI);
FLOAT_FN(exp, exp(v));
FLOAT_FN(floor, floor(v));
FLOAT_FN(ln, log(v));
FLOAT_FN(log10, log10(v));
FLOAT_FN(log2, log2(v));
FLOAT_FN(rad, v *M_PI / 180);
FLOAT_FN(sgn, v<0 ? -1 : v> 0 ? 1 : v);
FLOAT_FN(sin, sin(v));
FLOAT_FN(sinh, sinh(v));
FLOAT_FN(sqrt, sqrt(v));
FLOAT_FN(tan, tan(v));
FLOAT_FN(tanh, tanh(v));

/* To the nearest multiple, halves up. The inverse is less prone to rounding errors. */
static double call_round(double v, const double *args, unsigned n_args)
{
    double inverse = n_args ? 1.0 / args[0] : 1;
    return floor(v * inverse + 0.5) / inverse;
}
const VectorFunction fn_round = { .of_float = call_round };

static struct tm date_of(int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm = { 0 };
    gmtime_r(&t, &tm);
    return tm;
}

static double days_in_month(int64_t seconds)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    struct tm tm = date_of(seconds);
    int year = tm.tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[tm.tm_mon] + (tm.tm_mon == 1 && leap);
}

#define DATE_FN(name, expr)                                                                        \
    static double call_##name(int64_t seconds)                                                     \
    {                                                                                              \
        struct tm tm = date_of(seconds);                                                           \
        return (expr);                                                                             \
    }                                                                                              \
    const VectorFunction fn_##name = { .of_date = call_##name }

DATE_FN(day_of_month, tm.tm_mday);
DATE_FN(day_of_week, tm.tm_wday);
DATE_FN(day_of_year, tm.tm_yday + 1);
DATE_FN(hour, tm.tm_hour);
DATE_FN(minute, tm.tm_min);
DATE_FN(month, tm.tm_mon + 1);
DATE_FN(year, tm.tm_year + 1900);
const VectorFunction fn_days_in_month = { .of_date = days_in_month };

static double histogram_avg(const Histogram *h)
{
    return h->sum / h->count;
}
static double histogram_count(const Histogram *h)
{
    return h->count;
}
static double histogram_sum(const Histogram *h)
{
    return h->sum;
}

/* Observations are taken to lie in the middle of their bucket: the arithmetic one of custom
 * buckets, the geometric one of exponential ones, 0 in the zero bucket. */
static double histogram_stdvar(const Histogram *h)
{
    double mean = h->sum / h->count, sum = 0, c = 0;
    HistogramIter it;
    HistogramBucket b;
    histogram_iter(h, WALK_ALL, &it);
    while (histogram_next(&it, &b)) {
        if (b.count == 0)
            continue;
        double mid = histogram_is_custom(h)         ? (b.upper + b.lower) / 2
                     : b.lower <= 0 && b.upper >= 0 ? 0
                     : b.upper < 0                  ? -sqrt(b.upper * b.lower)
                                                    : sqrt(b.upper * b.lower);
        kahan_add(b.count * (mid - mean) * (mid - mean), &sum, &c);
    }
    return (sum + c) / h->count;
}

static double histogram_stddev(const Histogram *h)
{
    return sqrt(histogram_stdvar(h));
}

const VectorFunction fn_histogram_avg = { .of_histogram = histogram_avg };
const VectorFunction fn_histogram_count = { .of_histogram = histogram_count };
const VectorFunction fn_histogram_sum = { .of_histogram = histogram_sum };
const VectorFunction fn_histogram_stdvar = { .of_histogram = histogram_stdvar };
const VectorFunction fn_histogram_stddev = { .of_histogram = histogram_stddev };
