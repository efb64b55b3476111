/* annotations.c - see annotations.h. Texts are Prometheus', which the scripts compare. */
#include "monitor/promql/annotations.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "monitor/model/number.h"
#include "monitor/promql/ast.h"

/* Adds the text, or finds the one that is there. NULL: out of memory. */
static Annotation *add(Annotations *a, bool warning, unsigned pos, const Buf *text)
{
    StrView view = buf_view(text);
    uint64_t hash = sv_hash(view);
    if (text->failed) {
        a->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < a->len; i++) {
        Annotation *old = &a->items[i];
        if (old->hash == hash && old->warning == warning && sv_eq(old->text, view)) {
            old->pos = pos;
            return old;
        }
    }
    if (a->len == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 8;
        Annotation *grown =
            arena_realloc(a->arena, a->items, a->cap * sizeof *grown, cap * sizeof *grown);
        if (!grown) {
            a->failed = true;
            return NULL;
        }
        a->items = grown;
        a->cap = cap;
    }
    Annotation *new = &a->items[a->len];
    *new = (Annotation){ .warning = warning, .hash = hash, .pos = pos };
    new->text = arena_sv(a->arena, view);
    if (!new->text.ptr) {
        a->failed = true;
        return NULL;
    }
    a->len++;
    return new;
}

static void add_format(Annotations *a, bool warning, unsigned pos, const char *fmt, va_list ap)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    char part[400];
    vsnprintf(part, sizeof part, fmt, ap);
    buf_sv(&text, sv_cstr(part));
    add(a, warning, pos, &text);
}

void annotate_warning(Annotations *a, unsigned pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_format(a, true, pos, fmt, ap);
    va_end(ap);
}

void annotate_info(Annotations *a, unsigned pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_format(a, false, pos, fmt, ap);
    va_end(ap);
}

void annotate_named(Annotations *a, bool warning, unsigned pos, const char *what, StrView name)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    buf_sv(&text, sv_cstr(what));
    buf_putc(&text, ' ');
    text_quote(name, &text);
    add(a, warning, pos, &text);
}

static void put_for_metric(StrView what, StrView name, Buf *out)
{
    buf_sv(out, what);
    if (!name.len)
        return;
    buf_sv(out, SV(" for metric name "));
    text_quote(name, out);
}

void annotate_for_metric(Annotations *a, bool warning, unsigned pos, StrView what, StrView name)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    put_for_metric(what, name, &text);
    add(a, warning, pos, &text);
}

void annotate_monotonic(Annotations *a, unsigned pos, StrView metric, int64_t time,
                        double min_bucket, double max_bucket, double max_diff)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    put_for_metric(SV("input to histogram_quantile needed to be fixed for monotonicity (see "
                      "https://prometheus.io/docs/prometheus/latest/querying/functions/"
                      "#histogram_quantile)"),
                   metric, &text);
    Annotation *n = add(a, false, pos, &text);
    if (!n)
        return;
    n->min_time = n->monotonic ? MIN(n->min_time, time) : time;
    n->max_time = n->monotonic ? MAX(n->max_time, time) : time;
    n->min_bucket = n->monotonic ? fmin(n->min_bucket, min_bucket) : min_bucket;
    n->max_bucket = n->monotonic ? fmax(n->max_bucket, max_bucket) : max_bucket;
    n->max_diff = fmax(n->max_diff, max_diff);
    n->monotonic = true;
    n->samples++;
}

void annotate_overlap(Annotations *a, unsigned pos, StrView metric)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    buf_sv(&text, SV("sample has start time that overlaps with previous sample timestamp for "
                     "metric "));
    text_quote(metric, &text);
    Annotation *n = add(a, true, pos, &text);
    if (n)
        n->occurrences++;
}

static void put_figures(const Annotation *n, Buf *out)
{
    char from[RFC3339_SIZE], to[RFC3339_SIZE];
    if (n->occurrences > 1)
        buf_printf(out, " (%u occurrences)", n->occurrences);
    if (!n->monotonic)
        return;
    buf_sv(out, SV(", from buckets "));
    double_format_g(n->min_bucket, out);
    buf_sv(out, SV(" to "));
    double_format_g(n->max_bucket, out);
    buf_printf(out, ", with a max diff of %.2g, over %u samples from %s to %s", n->max_diff,
               n->samples, rfc3339_format(n->min_time / 1000 * NSEC_PER_SEC, 0, from),
               rfc3339_format(n->max_time / 1000 * NSEC_PER_SEC, 0, to));
}

static StrView finished(const Annotation *n, StrView query, Arena *out)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    buf_sv(&text, n->warning ? SV("PromQL warning: ") : SV("PromQL info: "));
    buf_sv(&text, n->text);
    put_figures(n, &text);
    buf_sv(&text, SV(" ("));
    position_format(query, n->pos, &text);
    buf_putc(&text, ')');
    return text.failed ? SV_NULL : arena_sv(out, buf_view(&text));
}

int annotations_finish(Annotations *a, StrView query, size_t max, Arena *out,
                       const PromqlAnnotation **ret, size_t *ret_n, Err *err)
{
    PromqlAnnotation *all = arena_array(out, PromqlAnnotation, a->len + 2);
    size_t n = 0;
    if (!all || a->failed)
        return err_nomem(err);
    for (int warning = 1; warning >= 0; warning--) {
        size_t seen = 0;
        for (size_t i = 0; i < a->len; i++) {
            if (a->items[i].warning != warning || (++seen > max && max))
                continue;
            all[n++] = (PromqlAnnotation){ warning, finished(&a->items[i], query, out) };
        }
        if (max && seen > max)
            all[n++] = (PromqlAnnotation){ warning,
                                           arena_printf(out, "%zu more %s annotations omitted",
                                                        seen - max, warning ? "warning" : "info") };
    }
    for (size_t i = 0; i < n; i++)
        if (!all[i].text.ptr)
            return err_nomem(err);
    *ret = all;
    *ret_n = n;
    return 0;
}
