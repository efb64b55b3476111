/* json_out.c - see json_out.h. A matrix has millions of points: each is written into room that was
 * reserved once, without formatting by printf. */
#include "monitor/web/json_out.h"

#include "codec/json.h"
#include "monitor/model/number.h"

enum { POINT_MAX = 2 * DOUBLE_JSON_SIZE + 8 };

void json_put_text(Buf *out, StrView s)
{
    json_encode_string(s, out);
}

void json_put_double(Buf *out, double v)
{
    if (!buf_reserve(out, DOUBLE_JSON_SIZE + 2))
        return;
    char *p = out->ptr + out->len;
    p[0] = '"';
    size_t n = double_format_json(v, p + 1);
    p[n + 1] = '"';
    out->len += n + 2;
}

void json_put_time(Buf *out, int64_t ms)
{
    if (buf_reserve(out, DOUBLE_JSON_SIZE))
        out->len += time_format_json(ms, out->ptr + out->len);
}

void json_put_labels(Buf *out, Labels l)
{
    labels_json(l, out);
}

/* 0: open below, closed above; 1: the reverse; 2: open on both sides; 3: closed on both. */
static int boundaries(const HistogramBucket *b)
{
    if (b->lower_inclusive)
        return b->upper_inclusive ? 3 : 1;
    return b->upper_inclusive ? 0 : 2;
}

static void put_buckets(Buf *out, const Histogram *h)
{
    HistogramIter it;
    HistogramBucket b;
    bool any = false;
    histogram_iter(h, WALK_ALL, &it);
    while (histogram_next(&it, &b)) {
        if (b.count == 0)
            continue;
        buf_sv(out, any ? SV(",[") : SV(",\"buckets\":[["));
        any = true;
        buf_putc(out, (char)('0' + boundaries(&b)));
        buf_putc(out, ',');
        json_put_double(out, b.lower);
        buf_putc(out, ',');
        json_put_double(out, b.upper);
        buf_putc(out, ',');
        json_put_double(out, b.count);
        buf_putc(out, ']');
    }
    if (any)
        buf_putc(out, ']');
}

void json_put_histogram(Buf *out, const Histogram *h)
{
    buf_sv(out, SV("{\"count\":"));
    json_put_double(out, h->count);
    buf_sv(out, SV(",\"sum\":"));
    json_put_double(out, h->sum);
    put_buckets(out, h);
    buf_putc(out, '}');
}

void json_put_point(Buf *out, const PromqlPoint *p)
{
    if (!buf_reserve(out, POINT_MAX))
        return;
    char *at = out->ptr + out->len;
    *at++ = '[';
    at += time_format_json(p->t, at);
    *at++ = ',';
    if (!p->h) {
        *at++ = '"';
        at += double_format_json(p->v, at);
        *at++ = '"';
        *at++ = ']';
    }
    out->len = (size_t)(at - out->ptr);
    if (p->h) {
        json_put_histogram(out, p->h);
        buf_putc(out, ']');
    }
}

static void put_points(Buf *out, const PromqlSeries *s, bool histograms)
{
    bool any = false;
    for (size_t i = 0; i < s->n; i++) {
        if ((s->points[i].h != NULL) != histograms)
            continue;
        if (any)
            buf_putc(out, ',');
        else
            buf_sv(out, histograms ? SV(",\"histograms\":[") : SV(",\"values\":["));
        any = true;
        json_put_point(out, &s->points[i]);
    }
    if (any)
        buf_putc(out, ']');
}

static void put_series(Buf *out, const PromqlSeries *s, bool matrix)
{
    buf_sv(out, SV("{\"metric\":"));
    json_put_labels(out, s->labels);
    if (matrix) {
        put_points(out, s, false);
        put_points(out, s, true);
    } else if (s->n) {
        buf_sv(out, s->points[0].h ? SV(",\"histogram\":") : SV(",\"value\":"));
        json_put_point(out, &s->points[0]);
    }
    buf_putc(out, '}');
}

void json_put_result(Buf *out, const PromqlResult *r, size_t limit, bool *ret_cut)
{
    *ret_cut = false;
    switch (r->type) {
    case PROMQL_SCALAR:
        json_put_point(out, &(PromqlPoint){ .t = r->time, .v = r->scalar });
        return;
    case PROMQL_STRING:
        buf_putc(out, '[');
        json_put_time(out, r->time);
        buf_putc(out, ',');
        json_encode_string(r->string, out);
        buf_putc(out, ']');
        return;
    default:
        break;
    }
    size_t n = limit && r->n > limit ? limit : r->n;
    *ret_cut = n < r->n;
    buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ',');
        put_series(out, &r->series[i], r->type == PROMQL_MATRIX);
    }
    buf_putc(out, ']');
}
