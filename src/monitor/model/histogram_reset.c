/* histogram_reset.c - has a counter histogram started again? */
#include "monitor/model/histogram.h"

/* One side's buckets as (index, count) in a coarser schema, those inside a zero bucket skipped. */
typedef struct Reader {
    const HistogramSpan *spans;
    const double *counts;
    unsigned n_spans, n, span, in_span, at;
    int32_t next, from, to; /* next: index of bucket `at` in the own schema */
    double skip_below;
    int32_t index;
    double count;
} Reader;

static void reader_init(Reader *r, const Histogram *h, bool negative, int32_t schema, double zero)
{
    *r = (Reader){ .spans = negative ? h->neg_spans : h->pos_spans,
                   .counts = negative ? h->neg : h->pos,
                   .n_spans = negative ? h->n_neg_spans : h->n_pos_spans,
                   .n = negative ? h->n_neg : h->n_pos,
                   .from = h->schema,
                   .to = schema,
                   .skip_below = zero };
    r->next = r->n_spans ? r->spans[0].offset : 0;
}

/* Moves `span` onto bucket `at`; false at the end. */
static bool reader_seek(Reader *r)
{
    if (r->at >= r->n || r->span >= r->n_spans)
        return false;
    while (r->in_span >= r->spans[r->span].length) {
        r->in_span = 0;
        if (++r->span >= r->n_spans)
            return false;
        r->next += r->spans[r->span].offset;
    }
    return true;
}

static int32_t reader_target(const Reader *r)
{
    return r->to < r->from ? ((r->next - 1) >> (r->from - r->to)) + 1 : r->next;
}

static bool reader_next(Reader *r)
{
    do {
        if (!reader_seek(r))
            return false;
        r->index = reader_target(r);
        r->count = 0;
        do {
            r->count += r->counts[r->at++];
            r->in_span++;
            r->next++;
        } while (reader_seek(r) && reader_target(r) == r->index);
    } while (r->to != HISTOGRAM_SCHEMA_CUSTOM && r->skip_below > 0 &&
             histogram_bound(r->index, r->to) <= r->skip_below);
    return true;
}

/* A populated bucket of `prev` is missing or larger than that of `cur`. */
static bool side_shrank(Reader *cur, Reader *prev)
{
    bool more = reader_next(cur);
    while (reader_next(prev)) {
        while (more && cur->index < prev->index)
            more = reader_next(cur);
        bool same = more && cur->index == prev->index;
        if (same ? cur->count < prev->count : prev->count != 0)
            return true;
    }
    return false;
}

/* The sum of the buckets of `r` up to and including the one that ends at `bound`. */
static double sum_up_to(Reader *r, bool *more, const Histogram *h, double bound)
{
    double sum = 0;
    while (*more) {
        double upper = (unsigned)r->index < h->n_bounds ? h->bounds[r->index] : INFINITY;
        if (upper > bound)
            break;
        sum += r->count;
        *more = reader_next(r);
    }
    return sum;
}

/* Custom bounds differ: what lies between two bounds that both have is compared. */
static bool custom_shrank(const Histogram *cur, const Histogram *prev)
{
    Reader rc, rp;
    unsigned i = 0, j = 0;
    reader_init(&rc, cur, false, cur->schema, 0);
    reader_init(&rp, prev, false, prev->schema, 0);
    bool more_c = reader_next(&rc), more_p = reader_next(&rp);
    while (i <= cur->n_bounds && j <= prev->n_bounds) {
        double bc = i < cur->n_bounds ? cur->bounds[i] : INFINITY;
        double bp = j < prev->n_bounds ? prev->bounds[j] : INFINITY;
        if (bc == bp && sum_up_to(&rc, &more_c, cur, bc) < sum_up_to(&rp, &more_p, prev, bc))
            return true;
        i += bc <= bp;
        j += bp <= bc;
    }
    return false;
}

/* The zero count that `h` would have with a larger threshold; false: that falls into a populated
 * bucket. */
static bool zero_count_at(const Histogram *h, double threshold, double *ret)
{
    *ret = h->zero_count;
    for (int negative = 0; negative < 2 && threshold != h->zero_threshold; negative++) {
        Reader r;
        reader_init(&r, h, negative, h->schema, 0);
        while (reader_next(&r) && histogram_bound(r.index - 1, h->schema) < threshold) {
            *ret += r.count;
            if (histogram_bound(r.index, h->schema) <= threshold)
                continue;
            if (r.count != 0)
                return false;
            break;
        }
    }
    return true;
}

bool histogram_detect_reset(const Histogram *cur, const Histogram *prev)
{
    double prev_zero;
    if (cur->hint == HINT_COUNTER_RESET)
        return true;
    if (cur->hint == HINT_NO_COUNTER_RESET)
        return false;
    if (cur->count < prev->count)
        return true;
    if (histogram_is_custom(cur)) {
        if (!histogram_is_custom(prev))
            return true;
        if (!histogram_same_bounds(cur, prev))
            return custom_shrank(cur, prev);
    }
    if (cur->schema > prev->schema || cur->zero_threshold < prev->zero_threshold)
        return true;
    if (histogram_is_custom(prev) != histogram_is_custom(cur))
        return true;
    if (!histogram_is_custom(cur) &&
        (!zero_count_at(prev, cur->zero_threshold, &prev_zero) || cur->zero_count < prev_zero))
        return true;
    for (int negative = 0; negative < 2; negative++) {
        Reader rc, rp;
        reader_init(&rc, cur, negative, cur->schema, cur->zero_threshold);
        reader_init(&rp, prev, negative, cur->schema, cur->zero_threshold);
        if (side_shrank(&rc, &rp))
            return true;
    }
    return false;
}
