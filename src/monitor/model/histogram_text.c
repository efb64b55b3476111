/* histogram_text.c - the notation of test scripts. */
#include "monitor/model/histogram.h"
#include "monitor/model/number.h"

typedef struct Writer {
    Buf *out;
    bool any;
} Writer;

static void key(Writer *w, const char *name)
{
    if (w->any)
        buf_putc(w->out, ' ');
    w->any = true;
    buf_sv(w->out, sv_cstr(name));
    buf_putc(w->out, ':');
}

static void field(Writer *w, const char *name, double v)
{
    if (v == 0)
        return;
    key(w, name);
    double_format_g(v, w->out);
}

/* From the first populated bucket to the last, gaps as zeros. */
static void side(Writer *w, const Histogram *h, bool negative)
{
    HistogramIter it;
    HistogramBucket b;
    bool any = false;
    int32_t at = 0, last = 0;
    histogram_iter(h, negative ? WALK_NEGATIVE : WALK_POSITIVE, &it);
    while (histogram_next(&it, &b))
        if (b.count != 0)
            last = b.index;
    histogram_iter(h, negative ? WALK_NEGATIVE : WALK_POSITIVE, &it);
    while (histogram_next(&it, &b)) {
        if ((!any && b.count == 0) || b.index > last)
            continue;
        if (!any) {
            field(w, negative ? "n_offset" : "offset", b.index);
            key(w, negative ? "n_buckets" : "buckets");
            buf_putc(w->out, '[');
            at = b.index;
        }
        for (; any && at < b.index; at++)
            buf_sv(w->out, SV(" 0"));
        if (any)
            buf_putc(w->out, ' ');
        double_format_g(b.count, w->out);
        any = true;
        at = b.index + 1;
    }
    if (any)
        buf_putc(w->out, ']');
}

void histogram_format_test(const Histogram *h, Buf *out)
{
    static const char *const hints[] = { NULL, "reset", "not_reset", "gauge" };
    Writer w = { out, false };
    buf_sv(out, SV("{{"));
    field(&w, "schema", h->schema);
    field(&w, "count", h->count);
    field(&w, "sum", h->sum);
    field(&w, "z_bucket", h->zero_count);
    field(&w, "z_bucket_w", h->zero_threshold);
    if (histogram_is_custom(h)) {
        key(&w, "custom_values");
        buf_putc(out, '[');
        for (unsigned i = 0; i < h->n_bounds; i++) {
            if (i)
                buf_putc(out, ' ');
            double_format_g(h->bounds[i], out);
        }
        buf_putc(out, ']');
    }
    if (hints[h->hint]) {
        key(&w, "counter_reset_hint");
        buf_sv(out, sv_cstr(hints[h->hint]));
    }
    side(&w, h, false);
    side(&w, h, true);
    buf_sv(out, SV("}}"));
}
