/* wal_record.c - see wal_record.h. */
#include "monitor/model/number.h"
#include "monitor/tsdb/wal_record.h"
#include "monitor/tsdb/wire.h"

/* ---- writing ---- */

static void put_labels(Buf *b, Labels l)
{
    wire_put_uvarint(b, l.len);
    for (unsigned i = 0; i < l.len; i++) {
        wire_put_text(b, l.items[i].name);
        wire_put_text(b, l.items[i].value);
    }
}

void wal_put_series(Buf *b, uint64_t ref, Labels l)
{
    wire_put_be64(b, ref);
    put_labels(b, l);
}

void wal_put_base(Buf *b, const WalBase *base)
{
    wire_put_be64(b, base->ref);
    wire_put_be64(b, (uint64_t)base->t);
}

static void put_where(Buf *b, const WalBase *base, uint64_t ref, int64_t t)
{
    wire_put_varint(b, (int64_t)(ref - base->ref));
    wire_put_varint(b, t - base->t);
}

void wal_put_sample(Buf *b, const WalBase *base, uint64_t ref, int64_t t, double v)
{
    uint8_t bytes[28];
    int64_t dref = (int64_t)(ref - base->ref), dt = t - base->t;
    size_t n = wire_uvarint(bytes, (uint64_t)dref << 1 ^ (uint64_t)(dref >> 63));
    n += wire_uvarint(bytes + n, (uint64_t)dt << 1 ^ (uint64_t)(dt >> 63));
    uint64_t u = __builtin_bswap64(double_bits(v));
    memcpy(bytes + n, &u, 8);
    buf_append(b, bytes, n + 8);
}

static void put_spans(Buf *b, const HistogramSpan *s, unsigned n)
{
    wire_put_uvarint(b, n);
    for (unsigned i = 0; i < n; i++) {
        wire_put_varint(b, s[i].offset);
        wire_put_uvarint(b, s[i].length);
    }
}

static void put_counts(Buf *b, const double *counts, unsigned n, bool integer)
{
    double before = 0;
    wire_put_uvarint(b, n);
    for (unsigned i = 0; i < n; i++) {
        if (integer)
            wire_put_varint(b, double_to_i64(counts[i] - before));
        else
            wire_put_double(b, counts[i]);
        before = counts[i];
    }
}

WalRecordType wal_histogram_type(const Histogram *h)
{
    if (histogram_is_custom(h))
        return h->integer ? WAL_CUSTOM_HISTOGRAMS : WAL_CUSTOM_FLOAT_HISTOGRAMS;
    return h->integer ? WAL_HISTOGRAMS : WAL_FLOAT_HISTOGRAMS;
}

void wal_put_histogram(Buf *b, const WalBase *base, uint64_t ref, int64_t t, const Histogram *h)
{
    put_where(b, base, ref, t);
    wire_put_u8(b, (uint8_t)h->hint);
    wire_put_varint(b, h->schema);
    wire_put_double(b, h->zero_threshold);
    if (h->integer) {
        wire_put_uvarint(b, double_to_u64(h->zero_count));
        wire_put_uvarint(b, double_to_u64(h->count));
    } else {
        wire_put_double(b, h->zero_count);
        wire_put_double(b, h->count);
    }
    wire_put_double(b, h->sum);
    put_spans(b, h->pos_spans, h->n_pos_spans);
    put_spans(b, h->neg_spans, h->n_neg_spans);
    put_counts(b, h->pos, h->n_pos, h->integer);
    put_counts(b, h->neg, h->n_neg, h->integer);
    if (!histogram_is_custom(h))
        return;
    wire_put_uvarint(b, h->n_bounds);
    for (unsigned i = 0; i < h->n_bounds; i++)
        wire_put_double(b, h->bounds[i]);
}

void wal_put_exemplar(Buf *b, const WalBase *base, uint64_t ref, const Exemplar *e)
{
    put_where(b, base, ref, e->t);
    wire_put_double(b, e->value);
    put_labels(b, e->labels);
}

static const char *const metric_types[] = { "unknown",        "counter", "gauge", "histogram",
                                            "gaugehistogram", "summary", "info",  "stateset" };

void wal_put_metadata(Buf *b, uint64_t ref, const MetricMetadata *m)
{
    uint8_t type = 0;
    for (size_t i = 0; i < ARRAY_SIZE(metric_types); i++)
        if (sv_eq(m->type, sv_cstr(metric_types[i])))
            type = (uint8_t)i;
    wire_put_uvarint(b, ref);
    wire_put_u8(b, type);
    wire_put_uvarint(b, 2);
    wire_put_text(b, SV("UNIT"));
    wire_put_text(b, m->unit);
    wire_put_text(b, SV("HELP"));
    wire_put_text(b, m->help);
}

void wal_put_tombstone(Buf *b, uint64_t ref, int64_t start, int64_t end)
{
    wire_put_be64(b, ref);
    wire_put_varint(b, start);
    wire_put_varint(b, end);
}

/* ---- reading ---- */

static int bad(Err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, 0, "a log record of %s is malformed", what);
}

/* Why a part could not be read: what is malformed has failed its reader. */
static int stopped(const WireReader *r, Err *err, const char *what)
{
    return r->failed ? bad(err, what) : err_nomem(err);
}

/* A count that cannot be is malformed. */
static uint64_t get_count(WireReader *r, uint64_t max)
{
    uint64_t n = wire_get_uvarint(r);
    r->failed |= n > max;
    return r->failed ? 0 : n;
}

/* False, as with the next ones NULL: malformed, or out of memory. */
static bool get_labels(WireReader *r, Arena *a, Labels *ret)
{
    uint64_t n = get_count(r, LABELS_MAX);
    Label *items = arena_array(a, Label, n ? (size_t)n : 1);
    if (!items)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        items[i].name = wire_get_text(r);
        items[i].value = wire_get_text(r);
    }
    *ret = (Labels){ items, (unsigned)n };
    return !r->failed;
}

static int read_series(WireReader *r, const WalHandler *h, Arena *a, Err *err)
{
    while (wire_left(r)) {
        Labels l;
        uint64_t ref = wire_be64(r);
        if (!get_labels(r, a, &l))
            return stopped(r, err, "series");
        int x = h->series ? h->series(h->ctx, ref, l, err) : 0;
        if (x < 0)
            return x;
        arena_reset(a);
    }
    return 0;
}

static WalBase get_base(WireReader *r)
{
    uint64_t ref = wire_be64(r);
    return (WalBase){ ref, (int64_t)wire_be64(r) };
}

static void get_where(WireReader *r, const WalBase *base, uint64_t *ret_ref, int64_t *ret_t)
{
    *ret_ref = base->ref + (uint64_t)wire_get_varint(r);
    *ret_t = (int64_t)((uint64_t)base->t + (uint64_t)wire_get_varint(r));
}

static int read_samples(WireReader *r, const WalHandler *h, Err *err)
{
    WalBase base = get_base(r);
    while (wire_left(r)) {
        uint64_t ref;
        int64_t t;
        get_where(r, &base, &ref, &t);
        double v = wire_double(r);
        if (r->failed)
            break;
        int x = h->sample ? h->sample(h->ctx, ref, t, v, err) : 0;
        if (x < 0)
            return x;
    }
    return r->failed ? bad(err, "samples") : 0;
}

static const HistogramSpan *get_spans(WireReader *r, Arena *a, unsigned *ret_n)
{
    uint64_t n = get_count(r, HISTOGRAM_BUCKETS_MAX);
    HistogramSpan *s = arena_array(a, HistogramSpan, n ? (size_t)n : 1);
    for (uint64_t i = 0; s && i < n; i++) {
        s[i].offset = (int32_t)wire_get_varint(r);
        s[i].length = (uint32_t)wire_get_uvarint(r);
    }
    *ret_n = (unsigned)n;
    return r->failed ? NULL : s;
}

static const double *get_doubles(WireReader *r, Arena *a, bool deltas, unsigned *ret_n)
{
    uint64_t n = get_count(r, HISTOGRAM_BUCKETS_MAX);
    double before = 0;
    double *v = arena_array(a, double, n ? (size_t)n : 1);
    for (uint64_t i = 0; v && i < n; i++)
        v[i] = before = deltas ? before + (double)wire_get_varint(r) : wire_double(r);
    *ret_n = (unsigned)n;
    return r->failed ? NULL : v;
}

static bool get_histogram(WireReader *r, bool integer, Arena *a, Histogram *h)
{
    *h = (Histogram){ .integer = integer };
    uint8_t hint = wire_u8(r);
    h->hint = hint <= HINT_GAUGE ? (HistogramHint)hint : HINT_UNKNOWN;
    h->schema = (int32_t)wire_get_varint(r);
    h->zero_threshold = wire_double(r);
    h->zero_count = integer ? (double)wire_get_uvarint(r) : wire_double(r);
    h->count = integer ? (double)wire_get_uvarint(r) : wire_double(r);
    h->sum = wire_double(r);
    if (r->failed || !(h->pos_spans = get_spans(r, a, &h->n_pos_spans)) ||
        !(h->neg_spans = get_spans(r, a, &h->n_neg_spans)) ||
        !(h->pos = get_doubles(r, a, integer, &h->n_pos)) ||
        !(h->neg = get_doubles(r, a, integer, &h->n_neg)))
        return false;
    if (histogram_is_custom(h) && !(h->bounds = get_doubles(r, a, false, &h->n_bounds)))
        return false;
    r->failed |= !is_stale_nan(h->sum) && histogram_validate(h, NULL) < 0;
    return !r->failed;
}

static int read_histograms(WireReader *r, const WalHandler *h, bool integer, Arena *a, Err *err)
{
    WalBase base = get_base(r);
    while (wire_left(r)) {
        uint64_t ref;
        int64_t t;
        Histogram one;
        get_where(r, &base, &ref, &t);
        if (!get_histogram(r, integer, a, &one))
            return stopped(r, err, "histograms");
        int x = h->histogram ? h->histogram(h->ctx, ref, t, &one, err) : 0;
        if (x < 0)
            return x;
        arena_reset(a);
    }
    return r->failed ? bad(err, "histograms") : 0;
}

static int read_exemplars(WireReader *r, const WalHandler *h, Arena *a, Err *err)
{
    WalBase base = get_base(r);
    while (wire_left(r)) {
        uint64_t ref;
        Exemplar e;
        get_where(r, &base, &ref, &e.t);
        e.value = wire_double(r);
        if (!get_labels(r, a, &e.labels))
            return stopped(r, err, "exemplars");
        int x = h->exemplar ? h->exemplar(h->ctx, ref, &e, err) : 0;
        if (x < 0)
            return x;
        arena_reset(a);
    }
    return r->failed ? bad(err, "exemplars") : 0;
}

static int read_metadata(WireReader *r, const WalHandler *h, Err *err)
{
    while (wire_left(r)) {
        MetricMetadata m = { 0 };
        uint64_t ref = wire_get_uvarint(r);
        uint8_t type = wire_u8(r);
        m.type = sv_cstr(metric_types[type < ARRAY_SIZE(metric_types) ? type : 0]);
        for (uint64_t n = wire_get_uvarint(r); n && !r->failed; n--) {
            StrView name = wire_get_text(r), value = wire_get_text(r);
            if (sv_eq(name, SV("UNIT")))
                m.unit = value;
            else if (sv_eq(name, SV("HELP")))
                m.help = value;
        }
        if (r->failed)
            break;
        int x = h->metadata ? h->metadata(h->ctx, ref, &m, err) : 0;
        if (x < 0)
            return x;
    }
    return r->failed ? bad(err, "metadata") : 0;
}

static int read_tombstones(WireReader *r, const WalHandler *h, Err *err)
{
    while (wire_left(r)) {
        uint64_t ref = wire_be64(r);
        int64_t start = wire_get_varint(r), end = wire_get_varint(r);
        if (r->failed)
            break;
        int x = h->tombstone ? h->tombstone(h->ctx, ref, start, end, err) : 0;
        if (x < 0)
            return x;
    }
    return r->failed ? bad(err, "deletions") : 0;
}

int wal_record_decode(StrView rec, const WalHandler *h, Arena *scratch, Err *err)
{
    WireReader r = wire_reader(rec);
    uint8_t type = wire_u8(&r);
    if (!wire_left(&r))
        return 0;
    arena_reset(scratch);
    switch (type) {
    case WAL_SERIES:
        return read_series(&r, h, scratch, err);
    case WAL_SAMPLES:
        return read_samples(&r, h, err);
    case WAL_TOMBSTONES:
        return read_tombstones(&r, h, err);
    case WAL_EXEMPLARS:
        return read_exemplars(&r, h, scratch, err);
    case WAL_METADATA:
        return read_metadata(&r, h, err);
    case WAL_HISTOGRAMS:
    case WAL_CUSTOM_HISTOGRAMS:
        return read_histograms(&r, h, true, scratch, err);
    case WAL_FLOAT_HISTOGRAMS:
    case WAL_CUSTOM_FLOAT_HISTOGRAMS:
        return read_histograms(&r, h, false, scratch, err);
    default:
        return 0;
    }
}
