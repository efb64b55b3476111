/* timing.c - see timing.h. */
#include "monitor/model/timing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/metric_text.h"
#include "monitor/model/number.h"

static const double bounds[TIMING_BUCKETS] = { .01, .1, 1, 10 };

void timing_add(Timing *t, double seconds)
{
    t->window[t->n++ % TIMING_WINDOW] = seconds;
    t->sum += seconds;
    for (unsigned i = 0; i < TIMING_BUCKETS; i++)
        t->buckets[i] += seconds <= bounds[i];
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void put_line(Buf *out, const char *name, const char *suffix, StrView labels, double v)
{
    buf_printf(out, "%s%s", name, suffix);
    if (labels.len)
        buf_printf(out, "{%.*s}", SV_FMT(labels));
    metric_value(out, v);
}

void timing_put_summary(const Timing *t, const char *name, StrView labels, const double *quantiles,
                        unsigned n_quantiles, Buf *out)
{
    double sorted[TIMING_WINDOW];
    size_t n = MIN(t->n, (uint64_t)TIMING_WINDOW);
    memcpy(sorted, t->window, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    for (unsigned i = 0; i < n_quantiles; i++) {
        buf_printf(out, "%s{%.*s%squantile=\"%g\"}", name, SV_FMT(labels), labels.len ? "," : "",
                   quantiles[i]);
        metric_value(out, n ? sorted[MIN((size_t)(quantiles[i] * (double)n), n - 1)] : (double)NAN);
    }
    put_line(out, name, "_sum", labels, t->sum);
    put_line(out, name, "_count", labels, (double)t->n);
}

void timing_put_histogram(const Timing *t, const char *name, StrView labels, Buf *out)
{
    for (unsigned i = 0; i <= TIMING_BUCKETS; i++) {
        bool last = i == TIMING_BUCKETS;
        buf_printf(out, "%s_bucket{%.*s%sle=\"", name, SV_FMT(labels), labels.len ? "," : "");
        if (last)
            buf_sv(out, SV("+Inf"));
        else
            double_format_g(bounds[i], out);
        buf_sv(out, SV("\"}"));
        metric_value(out, (double)(last ? t->n : t->buckets[i]));
    }
    put_line(out, name, "_sum", labels, t->sum);
    put_line(out, name, "_count", labels, (double)t->n);
}

Spread spread_exponential(double first, double factor, unsigned n)
{
    Spread s = { .n_bounds = MIN(n, (unsigned)SPREAD_BOUNDS_MAX) };
    for (unsigned i = 0; i < s.n_bounds; i++, first *= factor)
        s.bounds[i] = first;
    return s;
}

void spread_add(Spread *s, double v)
{
    for (unsigned i = 0; i < s->n_bounds; i++)
        s->counts[i] += v <= s->bounds[i];
    s->n++;
    s->sum += v;
}

void spread_merge(Spread *into, const Spread *from)
{
    for (unsigned i = 0; i < into->n_bounds; i++)
        into->counts[i] += from->counts[i];
    into->n += from->n;
    into->sum += from->sum;
}

void spread_put(const Spread *s, const char *name, Buf *out)
{
    for (unsigned i = 0; s->n_bounds && i <= s->n_bounds; i++) {
        bool last = i == s->n_bounds;
        buf_printf(out, "%s_bucket{le=\"", name);
        if (last)
            buf_sv(out, SV("+Inf"));
        else
            double_format_g(s->bounds[i], out);
        buf_sv(out, SV("\"}"));
        metric_value(out, (double)(last ? s->n : s->counts[i]));
    }
    put_line(out, name, "_sum", SV(""), s->sum);
    put_line(out, name, "_count", SV(""), (double)s->n);
}
