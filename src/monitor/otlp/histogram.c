/* histogram.c - buckets of an exponential histogram, or between explicit bounds, as spans and
 * buckets of a native one: leading and small gaps as Prometheus lays them. */
#include "monitor/otlp/internal.h"

enum { GAP_MAX = 2 }; /* longer runs of empty buckets end a span */

typedef struct Layout {
    HistogramSpan *spans;
    double *counts;
    size_t n_spans, n_counts, cap_counts;
} Layout;

static bool add(Layout *l, uint64_t count)
{
    if (l->n_counts == l->cap_counts)
        return false;
    l->counts[l->n_counts++] = (double)count;
    l->spans[l->n_spans - 1].length++;
    return true;
}

static bool add_gap(Layout *l, int64_t gap)
{
    bool ok = true;
    if (gap > GAP_MAX) {
        l->spans[l->n_spans++] = (HistogramSpan){ (int32_t)gap, 0 };
        return true;
    }
    for (int64_t i = 0; ok && i < gap; i++)
        ok = add(l, 0);
    return ok;
}

bool otlp_layout(const uint64_t *counts, size_t n, int32_t offset, int32_t scale_down, bool adjust,
                 Arena *a, const HistogramSpan **ret_spans, unsigned *ret_n_spans,
                 const double **ret_counts, unsigned *ret_n)
{
    Layout l = { .cap_counts = n + 1 };
    scale_down = MIN(scale_down, 40);
    int64_t first = ((int64_t)offset >> scale_down) + 1, at = first;
    uint64_t count = 0;
    *ret_spans = NULL;
    *ret_counts = NULL;
    *ret_n_spans = *ret_n = 0;
    if (n == 0)
        return true;
    if (first < -HISTOGRAM_INDEX_MAX || first > HISTOGRAM_INDEX_MAX)
        return false;
    l.spans = arena_array(a, HistogramSpan, n / 2 + 2);
    l.counts = arena_array(a, double, n + 1);
    if (!l.spans || !l.counts)
        return false;
    l.spans[l.n_spans++] = (HistogramSpan){ (int32_t)(adjust ? first : offset), 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        int64_t next = (((int64_t)offset + (int64_t)i) >> scale_down) + 1;
        if (next == at) { /* merged, where the scale goes down */
            count += counts[i];
            continue;
        }
        if (count == 0) {
            count = counts[i];
            continue;
        }
        ok = add_gap(&l, next - at - 1) && add(&l, count);
        count = counts[i];
        at = next;
    }
    int64_t last = (((int64_t)offset + (int64_t)n - 1) >> scale_down) + 1;
    ok = ok && add_gap(&l, last - at) && add(&l, count);
    *ret_spans = l.spans;
    *ret_n_spans = (unsigned)l.n_spans;
    *ret_counts = l.counts;
    *ret_n = (unsigned)l.n_counts;
    return ok;
}
