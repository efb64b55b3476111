/* proto_decode.c - messages of io.prometheus.client (client_model's metrics.proto) to structs. */
#include <math.h>

#include "monitor/expo/proto.h"
#include "monitor/model/sample.h"

static bool grow(Arena *a, void **items, unsigned len, unsigned *cap, size_t size)
{
    if (len < *cap)
        return true;
    unsigned n = *cap ? *cap * 2 : 8;
    void *grown = arena_realloc(a, *items, *cap * size, n * size);
    if (!grown)
        return false;
    *items = grown;
    *cap = n;
    return true;
}

#define PUSH(a, list, len, cap, x)                                                                 \
    (grow((a), (void **)&(list), (len), &(cap), sizeof *(list)) ? ((list)[(len)++] = (x), true)    \
                                                                : false)

static int64_t zigzag(uint64_t n)
{
    return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

static double as_double(const ProtobufField *f)
{
    return f->wire == 1 ? double_from_bits(f->n) : 0;
}

static int decode_timestamp(StrView m, int64_t *ret_ms, Err *err)
{
    ProtobufField f;
    int64_t seconds = 0, nanos = 0;
    int r;
    while ((r = protobuf_next(&m, &f, err)) > 0) {
        if (f.number == 1)
            seconds = (int64_t)f.n;
        else if (f.number == 2)
            nanos = (int32_t)f.n;
    }
    if (r < 0)
        return r;
    if (seconds > INT64_C(9000000000000) || seconds < -INT64_C(9000000000000))
        return err_set(err, ERR_INVALID, 0, "timestamp out of range");
    *ret_ms = seconds * 1000 + nanos / 1000000;
    return 0;
}

static int decode_label(StrView m, Label *ret, Err *err)
{
    ProtobufField f;
    int r;
    *ret = (Label){ SV(""), SV("") };
    while ((r = protobuf_next(&m, &f, err)) > 0) {
        if (f.number == 1 && f.wire == 2)
            ret->name = f.bytes;
        else if (f.number == 2 && f.wire == 2)
            ret->value = f.bytes;
    }
    return r;
}

int proto_exemplar_decode(StrView m, Arena *a, ExpoExemplar *ret, Err *err)
{
    LabelsBuilder b;
    ProtobufField f;
    Label l;
    int r, e = 0;

    *ret = (ExpoExemplar){ 0 };
    labels_builder_init(&b, a, (Labels){ 0 });
    while ((r = protobuf_next(&m, &f, err)) > 0) {
        if (f.number == 1 && f.wire == 2) {
            if ((e = decode_label(f.bytes, &l, err)) < 0)
                return e;
            if (!sv_is_utf8(l.name) || !sv_is_utf8(l.value))
                return err_set(err, ERR_INVALID, 0, "invalid UTF-8 in an exemplar's labels");
            labels_builder_set(&b, l.name, l.value);
        } else if (f.number == 2) {
            ret->value = as_double(&f);
        } else if (f.number == 3 && f.wire == 2) {
            ret->has_t = true;
            if ((e = decode_timestamp(f.bytes, &ret->t, err)) < 0)
                return e;
        }
    }
    if (r < 0)
        return r;
    return labels_builder_take(&b, &ret->labels) ? 0 : err_nomem(err);
}

static int decode_bucket(StrView m, bool quantile, ProtoBucket *ret, Err *err)
{
    ProtobufField f;
    double whole = 0, real = 0;
    int r;

    *ret = (ProtoBucket){ 0 };
    while ((r = protobuf_next(&m, &f, err)) > 0) {
        if (quantile) {
            if (f.number == 1)
                ret->bound = as_double(&f);
            else if (f.number == 2)
                whole = as_double(&f);
        } else if (f.number == 1 && f.wire == 0) {
            whole = (double)f.n;
        } else if (f.number == 2) {
            ret->bound = as_double(&f);
        } else if (f.number == 3 && f.wire == 2) {
            ret->exemplar = f.bytes;
        } else if (f.number == 4) {
            real = as_double(&f);
        }
    }
    ret->count = real != 0 ? real : whole;
    return r;
}

/* ---- native buckets ---- */

static int add_span(ProtoSide *s, StrView m, Arena *a, Err *err)
{
    ProtobufField f;
    HistogramSpan span = { 0 };
    int r;
    while ((r = protobuf_next(&m, &f, err)) > 0) {
        if (f.number == 1 && f.wire == 0)
            span.offset = (int32_t)zigzag(f.n);
        else if (f.number == 2 && f.wire == 0)
            span.length = (uint32_t)f.n;
    }
    if (r < 0)
        return r;
    if (s->n_spans >= EXPO_BUCKETS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d spans", EXPO_BUCKETS_MAX);
    return PUSH(a, s->spans, s->n_spans, s->cap_spans, span) ? 0 : err_nomem(err);
}

static int too_many(Err *err)
{
    return err_set(err, ERR_LIMIT, 0, "more than %d buckets", EXPO_BUCKETS_MAX);
}

/* Packed or one by one. */
static int add_deltas(ProtoSide *s, const ProtobufField *f, Arena *a, Err *err)
{
    StrView rest = f->bytes;
    if (f->wire == 0) {
        if (s->n_deltas >= EXPO_BUCKETS_MAX)
            return too_many(err);
        return PUSH(a, s->deltas, s->n_deltas, s->cap_deltas, zigzag(f->n)) ? 0 : err_nomem(err);
    }
    while (f->wire == 2 && rest.len) {
        uint64_t n = 0;
        unsigned shift = 0;
        bool more = true;
        for (; more && rest.len && shift < 64; shift += 7) {
            unsigned char c = (unsigned char)rest.ptr[0];
            n |= (uint64_t)(c & 0x7f) << shift;
            more = c & 0x80;
            rest = sv_skip(rest, 1);
        }
        if (more)
            return err_set(err, ERR_INVALID, 0, "malformed packed numbers");
        if (s->n_deltas >= EXPO_BUCKETS_MAX)
            return too_many(err);
        if (!PUSH(a, s->deltas, s->n_deltas, s->cap_deltas, zigzag(n)))
            return err_nomem(err);
    }
    return 0;
}

static int add_counts(ProtoSide *s, const ProtobufField *f, Arena *a, Err *err)
{
    StrView rest = f->wire == 1 ? sv_n(&f->n, 8) : f->wire == 2 ? f->bytes : SV("");
    if (rest.len % 8)
        return err_set(err, ERR_INVALID, 0, "malformed packed doubles");
    for (; rest.len; rest = sv_skip(rest, 8)) {
        double v;
        memcpy(&v, rest.ptr, 8);
        if (s->n_counts >= EXPO_BUCKETS_MAX)
            return too_many(err);
        if (!PUSH(a, s->counts, s->n_counts, s->cap_counts, v))
            return err_nomem(err);
    }
    return 0;
}

static int add_exemplar(ProtoMetric *m, StrView message, Arena *a, Err *err)
{
    StrView rest = message;
    ProtobufField f;
    bool timed = false;
    int r;
    while ((r = protobuf_next(&rest, &f, err)) > 0)
        timed |= f.number == 3;
    if (r < 0 || !timed)
        return r;
    return PUSH(a, m->exemplars, m->n_exemplars, m->cap_exemplars, message) ? 0 : err_nomem(err);
}

static int add_bucket(ProtoMetric *m, StrView message, bool quantile, Arena *a, Err *err)
{
    ProtoBucket b;
    int r = decode_bucket(message, quantile, &b, err);
    if (r < 0)
        return r;
    if (m->n_buckets >= EXPO_BUCKETS_MAX)
        return too_many(err);
    return PUSH(a, m->buckets, m->n_buckets, m->cap_buckets, b) ? 0 : err_nomem(err);
}

static int histogram_list(ProtoMetric *m, const ProtobufField *f, Arena *a, Err *err)
{
    switch (f->number) {
    case 3:
        return add_bucket(m, f->bytes, false, a, err);
    case 9:
        return add_span(&m->neg, f->bytes, a, err);
    case 10:
        return add_deltas(&m->neg, f, a, err);
    case 11:
        return add_counts(&m->neg, f, a, err);
    case 12:
        return add_span(&m->pos, f->bytes, a, err);
    case 13:
        return add_deltas(&m->pos, f, a, err);
    case 14:
        return add_counts(&m->pos, f, a, err);
    case 15:
        return decode_timestamp(f->bytes, &m->start, err);
    case 16:
        return add_exemplar(m, f->bytes, a, err);
    default:
        return 0;
    }
}

static int decode_histogram(ProtoMetric *m, StrView message, Arena *a, Err *err)
{
    ProtobufField f;
    int r, e;
    while ((r = protobuf_next(&message, &f, err)) > 0) {
        switch (f.number) {
        case 1:
            m->count = f.wire == 0 ? (double)f.n : 0;
            break;
        case 2:
            m->sum = as_double(&f);
            break;
        case 4:
            m->count_float = as_double(&f);
            break;
        case 5:
            m->schema = (int32_t)zigzag(f.n);
            break;
        case 6:
            m->zero_threshold = as_double(&f);
            break;
        case 7:
            m->zero_count = f.wire == 0 ? (double)f.n : 0;
            break;
        case 8:
            m->zero_count_float = as_double(&f);
            break;
        default:
            if ((e = histogram_list(m, &f, a, err)) < 0)
                return e;
        }
    }
    return r;
}

static int decode_summary(ProtoMetric *m, StrView message, Arena *a, Err *err)
{
    ProtobufField f;
    int r, e = 0;
    while ((r = protobuf_next(&message, &f, err)) > 0) {
        if (f.number == 1 && f.wire == 0)
            m->count = (double)f.n;
        else if (f.number == 2)
            m->sum = as_double(&f);
        else if (f.number == 3 && f.wire == 2)
            e = add_bucket(m, f.bytes, true, a, err);
        else if (f.number == 4 && f.wire == 2)
            e = decode_timestamp(f.bytes, &m->start, err);
        if (e < 0)
            return e;
    }
    return r;
}

static int decode_simple(ProtoMetric *m, StrView message, Err *err)
{
    ProtobufField f;
    int r, e = 0;
    while ((r = protobuf_next(&message, &f, err)) > 0) {
        if (f.number == 1)
            m->value = as_double(&f);
        else if (f.number == 2 && f.wire == 2) /* of a counter */
            m->exemplar = f.bytes;
        else if (f.number == 3 && f.wire == 2)
            e = decode_timestamp(f.bytes, &m->start, err);
        if (e < 0)
            return e;
    }
    return r;
}

static int decode_body(ProtoType type, ProtoMetric *m, StrView message, Arena *a, Err *err)
{
    if (type == PROTO_SUMMARY)
        return decode_summary(m, message, a, err);
    if (type == PROTO_HISTOGRAM || type == PROTO_GAUGE_HISTOGRAM)
        return decode_histogram(m, message, a, err);
    return decode_simple(m, message, err);
}

int proto_metric_decode(ProtoType type, StrView message, Arena *a, ProtoMetric *ret, Err *err)
{
    static const uint8_t body_of[PROTO_TYPE_MAX] = { 3, 2, 4, 5, 7, 7 };
    ProtoMetric m = { 0 };
    ProtobufField f;
    Label l;
    int r, e = 0;

    while ((r = protobuf_next(&message, &f, err)) > 0) {
        if (f.number == 1 && f.wire == 2) {
            if ((e = decode_label(f.bytes, &l, err)) < 0)
                return e;
            if (m.n_labels >= LABELS_MAX)
                return err_set(err, ERR_LIMIT, 0, "more than %d labels", LABELS_MAX);
            if (!PUSH(a, m.labels, m.n_labels, m.cap_labels, l))
                return err_nomem(err);
        } else if (f.number == 6 && f.wire == 0) {
            m.t = (int64_t)f.n;
        } else if (f.number == body_of[type] && f.wire == 2) {
            e = decode_body(type, &m, f.bytes, a, err);
        }
        if (e < 0)
            return e;
    }
    if (r >= 0)
        *ret = m;
    return r;
}
