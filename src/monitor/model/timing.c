/* timing.c - see timing.h. */
#include "monitor/model/timing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/model/metric_text.h"
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
