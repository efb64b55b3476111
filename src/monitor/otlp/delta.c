/* delta.c - points of delta temporality added up to cumulative ones, stream by stream.
 *
 * A stream is what the data model calls so: a point's attributes under a metric, a scope and a
 * resource. Its first point is taken as it is, later ones are added where they are newer. A stream
 * that is silent for long is forgotten, and begins anew with its next point.
 *
 * Source: opentelemetry.io, "Metrics Data Model" ("Sums: Delta-to-Cumulative", "Exponential
 * Histogram: Merging"); limits are those of the Collector's deltatocumulative processor. */
#include <pthread.h>

#include "base/clock.h"
#include "base/map.h"
#include "monitor/otlp/point.h"

enum {
    STALE_S = 5 * 60,
    STREAMS_MAX = 1000000,
    EXPONENTIAL_BUCKETS_MAX = 160, /* of one side; more make the histogram coarser */
};
#define BYTES_MAX ((size_t)256 * 1024 * 1024) /* of all streams */

typedef struct Stream {
    struct Stream *older, *newer; /* by use */
    int64_t used_ns;
    size_t bytes; /* as counted */
    StrView key;
    Point sum;
} Stream;

struct OtlpDeltas {
    pthread_mutex_t lock;
    Map streams; /* key → Stream */
    Stream *oldest, *newest;
    size_t bytes;
};

OtlpDeltas *otlp_deltas_new(void)
{
    OtlpDeltas *d = calloc(1, sizeof *d);
    if (d)
        pthread_mutex_init(&d->lock, NULL);
    return d;
}

/* ---- streams by use ---- */

static void take_out(OtlpDeltas *d, Stream *s)
{
    *(s->older ? &s->older->newer : &d->oldest) = s->newer;
    *(s->newer ? &s->newer->older : &d->newest) = s->older;
    s->older = s->newer = NULL;
}

static void put_newest(OtlpDeltas *d, Stream *s)
{
    s->older = d->newest;
    *(d->newest ? &d->newest->newer : &d->oldest) = s;
    d->newest = s;
}

static void stream_free(Stream *s)
{
    point_free(&s->sum);
    free((char *)(uintptr_t)s->key.ptr);
    free(s);
}

static void forget(OtlpDeltas *d, Stream *s)
{
    map_del(&d->streams, s->key);
    take_out(d, s);
    d->bytes -= s->bytes;
    stream_free(s);
}

OtlpDeltas *otlp_deltas_free(OtlpDeltas *d)
{
    if (!d)
        return NULL;
    while (d->oldest)
        forget(d, d->oldest);
    map_free(&d->streams);
    pthread_mutex_destroy(&d->lock);
    free(d);
    return NULL;
}

/* ---- which stream ---- */

static void put_part(Buf *out, StrView s)
{
    pb_put_varint(out, s.len);
    buf_sv(out, s);
}

static void put_attributes(Buf *out, const OtlpAttributes *list)
{
    pb_put_varint(out, list->len);
    for (size_t i = 0; i < list->len; i++) {
        put_part(out, list->items[i].key);
        put_part(out, list->items[i].value);
    }
}

/* Lists of attributes are sorted. */
static void put_key(const Otlp *x, Buf *out)
{
    put_attributes(out, &x->resource);
    put_part(out, x->scope_name);
    put_part(out, x->scope_version);
    put_attributes(out, &x->scope);
    put_part(out, x->metric.name);
    put_part(out, x->metric.unit);
    buf_putc(out, (char)x->metric.type);
    put_attributes(out, &x->point);
}

/* ---- copies and sums ---- */

static bool copy_counts(OtlpBuckets *to, const OtlpBuckets *from)
{
    to->offset = from->offset;
    vec_clear(&to->counts);
    if (!vec_reserve(&to->counts, from->counts.len))
        return false;
    for (size_t i = 0; i < from->counts.len; i++)
        to->counts.items[to->counts.len++] = from->counts.items[i];
    return true;
}

/* Quantiles are of summaries, which have no temporality. */
static bool copy_point(Point *to, const Point *from)
{
    Point p = *to;
    *to = *from;
    to->pos = p.pos;
    to->neg = p.neg;
    to->bounds.items = p.bounds.items;
    to->bounds.cap = p.bounds.cap;
    to->bounds.len = 0;
    to->quantiles = p.quantiles;
    if (!copy_counts(&to->pos, &from->pos) || !copy_counts(&to->neg, &from->neg) ||
        !vec_reserve(&to->bounds, from->bounds.len))
        return false;
    for (size_t i = 0; i < from->bounds.len; i++)
        to->bounds.items[to->bounds.len++] = from->bounds.items[i];
    return true;
}

static bool same_bounds(const Point *a, const Point *b)
{
    return a->bounds.len == b->bounds.len && a->pos.counts.len == b->pos.counts.len &&
           (!a->bounds.len ||
            memcmp(a->bounds.items, b->bounds.items, a->bounds.len * sizeof *a->bounds.items) == 0);
}

/* The first and behind the last index of buckets that are not empty, `down` scales lower. */
static bool span_of(const OtlpBuckets *b, unsigned down, int64_t *first, int64_t *end)
{
    size_t lo = 0, hi = b->counts.len;
    while (lo < hi && !b->counts.items[lo])
        lo++;
    while (hi > lo && !b->counts.items[hi - 1])
        hi--;
    if (lo == hi)
        return false;
    *first = MIN(*first, ((int64_t)b->offset + (int64_t)lo) >> down);
    *end = MAX(*end, (((int64_t)b->offset + (int64_t)hi - 1) >> down) + 1);
    return true;
}

/* Both sides' buckets at one scale, in as many as that takes. */
static int64_t width(const OtlpBuckets *a, unsigned down_a, const OtlpBuckets *b, unsigned down_b)
{
    int64_t first = INT64_MAX, end = INT64_MIN;
    bool any = span_of(a, down_a, &first, &end);
    any |= span_of(b, down_b, &first, &end);
    return any ? end - first : 0;
}

static void add_side(uint64_t *to, int64_t first, const OtlpBuckets *from, unsigned down)
{
    for (size_t i = 0; i < from->counts.len; i++)
        if (from->counts.items[i])
            to[(((int64_t)from->offset + (int64_t)i) >> down) - first] += from->counts.items[i];
}

static bool merge_side(OtlpBuckets *sum, unsigned down_sum, const OtlpBuckets *in, unsigned down_in)
{
    int64_t first = INT64_MAX, end = INT64_MIN;
    bool any = span_of(sum, down_sum, &first, &end);
    any |= span_of(in, down_in, &first, &end);
    size_t n = any ? (size_t)(end - first) : 0;
    uint64_t *counts = calloc(n + 1, sizeof *counts);
    if (!counts)
        return false;
    add_side(counts, first, sum, down_sum);
    add_side(counts, first, in, down_in);
    vec_free(&sum->counts);
    sum->counts.items = counts;
    sum->counts.len = n;
    sum->counts.cap = n + 1;
    sum->offset = any ? (int32_t)first : 0;
    return true;
}

static bool add_exponential(Point *sum, const Point *in)
{
    int32_t scale = MIN(sum->scale, in->scale);
    unsigned down_sum = (unsigned)MIN((int64_t)sum->scale - scale, INT64_C(40)),
             down_in = (unsigned)MIN((int64_t)in->scale - scale, INT64_C(40));
    while (down_sum < 40 && down_in < 40 &&
           MAX(width(&sum->pos, down_sum, &in->pos, down_in),
               width(&sum->neg, down_sum, &in->neg, down_in)) > EXPONENTIAL_BUCKETS_MAX) {
        down_sum++;
        down_in++;
        scale--;
    }
    sum->scale = scale;
    sum->zero_count += in->zero_count;
    return merge_side(&sum->pos, down_sum, &in->pos, down_in) &&
           merge_side(&sum->neg, down_sum, &in->neg, down_in);
}

/* False: out of memory. What was added up stays when bounds change: there is no common form, and
 * the new ones begin. */
static bool add_point(OtlpType type, Point *sum, const Point *in)
{
    if (type == OTLP_HISTOGRAM && !same_bounds(sum, in)) {
        uint64_t start = sum->start;
        bool ok = copy_point(sum, in);
        sum->start = in->start ? in->start : start;
        return ok;
    }
    sum->time = in->time;
    sum->value += in->value;
    sum->count += in->count;
    sum->sum += in->sum;
    sum->has_sum &= in->has_sum;
    if (type == OTLP_EXPONENTIAL)
        return add_exponential(sum, in);
    for (size_t i = 0; i < sum->pos.counts.len && i < in->pos.counts.len; i++)
        sum->pos.counts.items[i] += in->pos.counts.items[i];
    return true;
}

/* ---- a point ---- */

static size_t bytes_of(const Stream *s)
{
    const Point *p = &s->sum;
    return sizeof *s + 2 * s->key.len + 64 +
           8 * (p->pos.counts.cap + p->neg.counts.cap + p->bounds.cap);
}

static Stream *stream_new(OtlpDeltas *d, const Buf *key, const Point *p)
{
    Stream *s = calloc(1, sizeof *s);
    char *text = malloc(key->len + 1);
    if (s && text) {
        memcpy(text, key->ptr, key->len);
        s->key = sv_n(text, key->len);
        if (copy_point(&s->sum, p) && map_set(&d->streams, s->key, s, NULL)) {
            put_newest(d, s);
            return s;
        }
        point_free(&s->sum);
    }
    free(text);
    free(s);
    return NULL;
}

static int take(OtlpDeltas *d, Otlp *x, const Buf *key, Point *p, int64_t now, Err *err)
{
    Stream *s = map_get(&d->streams, buf_view(key));
    if (p->is_stale) { /* the stream has ended */
        if (s)
            forget(d, s);
        return DELTA_SUM;
    }
    if (!s) {
        if (d->streams.len >= STREAMS_MAX || d->bytes > BYTES_MAX) {
            otlp_reject(x, 1, "there are too many streams of delta temporality");
            return DELTA_DROPPED;
        }
        if (!(s = stream_new(d, key, p)))
            return err_nomem(err);
    } else {
        if (p->start < s->sum.start || p->time <= s->sum.time)
            return DELTA_DROPPED; /* counted already, or out of order */
        if (!add_point(x->metric.type, &s->sum, p)) {
            forget(d, s); /* half added */
            return err_nomem(err);
        }
        take_out(d, s);
        put_newest(d, s);
    }
    d->bytes += bytes_of(s) - s->bytes;
    s->bytes = bytes_of(s);
    s->used_ns = now;
    return copy_point(p, &s->sum) ? DELTA_SUM : err_nomem(err);
}

int otlp_accumulate(Otlp *x, Point *p, Err *err)
{
    OtlpDeltas *d = x->o->deltas;
    _cleanup_buf_ Buf key = BUF_INIT;
    int64_t now = x->o->now_ns ? x->o->now_ns : clock_mono_ns();
    put_key(x, &key);
    if (key.failed)
        return err_nomem(err);
    pthread_mutex_lock(&d->lock);
    while (d->oldest && now - d->oldest->used_ns > STALE_S * NSEC_PER_SEC)
        forget(d, d->oldest);
    int r = take(d, x, &key, p, now, err);
    pthread_mutex_unlock(&d->lock);
    return r;
}
