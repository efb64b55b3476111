/* json.c - OTLP/JSON into the protobuf message that it stands for: tables of the messages' fields,
 * and one walk. What reads messages need not know that there are two encodings.
 *
 * Source: opentelemetry-proto, docs/specification.md ("JSON Protobuf Encoding"); metrics.proto,
 * common.proto, resource.proto. Names may also be written as in the .proto files, and unknown
 * members are passed over, as Prometheus' decoder does. */
#include <math.h>
#include <stdlib.h>

#include "base/encode.h"
#include "codec/json.h"
#include "monitor/otlp/internal.h"

enum { JSON_ARENA_MAX = 1 << 30 };

typedef enum Kind {
    TEXT,
    HEX,    /* bytes of an id */
    BASE64, /* other bytes */
    BOOL,
    VARINT, /* integers as they are: uint32, uint64, int64 */
    ZIGZAG, /* sint32 */
    FIXED,  /* fixed64, sfixed64 */
    DOUBLE,
    TEMPORALITY,
    MESSAGE,
} Kind;

typedef struct Message Message;
typedef struct Field {
    const char *name;
    unsigned number;
    Kind kind;
    bool repeated;
    const Message *type; /* of MESSAGE */
} Field;
struct Message {
    const Field *fields;
    unsigned n;
};

#define MESSAGE_OF(list)                                                                           \
    {                                                                                              \
        list, ARRAY_SIZE(list)                                                                     \
    }
#define ONE(name, number, of)                                                                      \
    {                                                                                              \
        name, number, MESSAGE, false, &(of)                                                        \
    }
#define MANY(name, number, of)                                                                     \
    {                                                                                              \
        name, number, MESSAGE, true, &(of)                                                         \
    }

/* ---- common.proto, resource.proto ---- */

static const Message any_value, key_value;
static const Field array_fields[] = { MANY("values", 1, any_value) };
static const Message array_value = MESSAGE_OF(array_fields);
static const Field list_fields[] = { MANY("values", 1, key_value) };
static const Message key_value_list = MESSAGE_OF(list_fields);
static const Field any_fields[] = {
    { "stringValue", 1, TEXT, false, NULL },  { "boolValue", 2, BOOL, false, NULL },
    { "intValue", 3, VARINT, false, NULL },   { "doubleValue", 4, DOUBLE, false, NULL },
    ONE("arrayValue", 5, array_value),        ONE("kvlistValue", 6, key_value_list),
    { "bytesValue", 7, BASE64, false, NULL },
};
static const Message any_value = MESSAGE_OF(any_fields);
static const Field key_value_fields[] = { { "key", 1, TEXT, false, NULL },
                                          ONE("value", 2, any_value) };
static const Message key_value = MESSAGE_OF(key_value_fields);
static const Field resource_fields[] = { MANY("attributes", 1, key_value) };
static const Message resource = MESSAGE_OF(resource_fields);
static const Field scope_fields[] = { { "name", 1, TEXT, false, NULL },
                                      { "version", 2, TEXT, false, NULL },
                                      MANY("attributes", 3, key_value) };
static const Message scope = MESSAGE_OF(scope_fields);

/* ---- metrics.proto ---- */

static const Field exemplar_fields[] = {
    { "timeUnixNano", 2, FIXED, false, NULL }, { "asDouble", 3, DOUBLE, false, NULL },
    { "spanId", 4, HEX, false, NULL },         { "traceId", 5, HEX, false, NULL },
    { "asInt", 6, FIXED, false, NULL },        MANY("filteredAttributes", 7, key_value),
};
static const Message exemplar = MESSAGE_OF(exemplar_fields);
static const Field number_fields[] = {
    { "startTimeUnixNano", 2, FIXED, false, NULL },
    { "timeUnixNano", 3, FIXED, false, NULL },
    { "asDouble", 4, DOUBLE, false, NULL },
    MANY("exemplars", 5, exemplar),
    { "asInt", 6, FIXED, false, NULL },
    MANY("attributes", 7, key_value),
    { "flags", 8, VARINT, false, NULL },
};
static const Message number_point = MESSAGE_OF(number_fields);
static const Field histogram_fields[] = {
    { "startTimeUnixNano", 2, FIXED, false, NULL },
    { "timeUnixNano", 3, FIXED, false, NULL },
    { "count", 4, FIXED, false, NULL },
    { "sum", 5, DOUBLE, false, NULL },
    { "bucketCounts", 6, FIXED, true, NULL },
    { "explicitBounds", 7, DOUBLE, true, NULL },
    MANY("exemplars", 8, exemplar),
    MANY("attributes", 9, key_value),
    { "flags", 10, VARINT, false, NULL },
};
static const Message histogram_point = MESSAGE_OF(histogram_fields);
static const Field buckets_fields[] = { { "offset", 1, ZIGZAG, false, NULL },
                                        { "bucketCounts", 2, VARINT, true, NULL } };
static const Message buckets = MESSAGE_OF(buckets_fields);
static const Field exponential_fields[] = {
    MANY("attributes", 1, key_value),
    { "startTimeUnixNano", 2, FIXED, false, NULL },
    { "timeUnixNano", 3, FIXED, false, NULL },
    { "count", 4, FIXED, false, NULL },
    { "sum", 5, DOUBLE, false, NULL },
    { "scale", 6, ZIGZAG, false, NULL },
    { "zeroCount", 7, FIXED, false, NULL },
    ONE("positive", 8, buckets),
    ONE("negative", 9, buckets),
    { "flags", 10, VARINT, false, NULL },
    MANY("exemplars", 11, exemplar),
    { "zeroThreshold", 14, DOUBLE, false, NULL },
};
static const Message exponential_point = MESSAGE_OF(exponential_fields);
static const Field quantile_fields[] = { { "quantile", 1, DOUBLE, false, NULL },
                                         { "value", 2, DOUBLE, false, NULL } };
static const Message quantile = MESSAGE_OF(quantile_fields);
static const Field summary_fields[] = {
    { "startTimeUnixNano", 2, FIXED, false, NULL },
    { "timeUnixNano", 3, FIXED, false, NULL },
    { "count", 4, FIXED, false, NULL },
    { "sum", 5, DOUBLE, false, NULL },
    MANY("quantileValues", 6, quantile),
    MANY("attributes", 7, key_value),
    { "flags", 8, VARINT, false, NULL },
};
static const Message summary_point = MESSAGE_OF(summary_fields);

#define POINTS(name, of)                                                                           \
    static const Field name##_data_fields[] = { MANY("dataPoints", 1, of),                         \
                                                { "aggregationTemporality", 2, TEMPORALITY, false, \
                                                  NULL },                                          \
                                                { "isMonotonic", 3, BOOL, false, NULL } };         \
    static const Message name##_data = MESSAGE_OF(name##_data_fields)
POINTS(number, number_point);
POINTS(histogram, histogram_point);
POINTS(exponential, exponential_point);
POINTS(summary, summary_point);

static const Field metric_fields[] = {
    { "name", 1, TEXT, false, NULL },
    { "description", 2, TEXT, false, NULL },
    { "unit", 3, TEXT, false, NULL },
    ONE("gauge", 5, number_data),
    ONE("sum", 7, number_data),
    ONE("histogram", 9, histogram_data),
    ONE("exponentialHistogram", 10, exponential_data),
    ONE("summary", 11, summary_data),
};
static const Message metric = MESSAGE_OF(metric_fields);
static const Field scope_metrics_fields[] = { ONE("scope", 1, scope),
                                              MANY("metrics", 2, metric),
                                              { "schemaUrl", 3, TEXT, false, NULL } };
static const Message scope_metrics = MESSAGE_OF(scope_metrics_fields);
static const Field resource_metrics_fields[] = { ONE("resource", 1, resource),
                                                 MANY("scopeMetrics", 2, scope_metrics) };
static const Message resource_metrics = MESSAGE_OF(resource_metrics_fields);
static const Field request_fields[] = { MANY("resourceMetrics", 1, resource_metrics) };
static const Message request = MESSAGE_OF(request_fields);

/* ---- the walk ---- */

/* Where it is, from the inside out, for the sentence about what is wrong there. */
typedef struct Place {
    const struct Place *outer;
    const char *name;
    ssize_t index; /* -1: not in a list */
} Place;

typedef struct Walk {
    Buf *out;
    Err *err;
} Walk;

static void put_place(const Place *p, Buf *out)
{
    if (p->outer) {
        put_place(p->outer, out);
        buf_putc(out, '.');
    }
    buf_sv(out, sv_cstr(p->name));
    if (p->index >= 0)
        buf_printf(out, "[%zd]", p->index);
}

static int expected(const Walk *w, const Place *p, const char *what)
{
    _cleanup_buf_ Buf path = BUF_INIT;
    put_place(p, &path);
    return err_set(w->err, ERR_INVALID, 0, "the message is malformed: %.*s: expected %s",
                   SV_FMT(sv_head(buf_view(&path), 300)), what);
}

/* "timeUnixNano" or "time_unix_nano". */
static bool is_name(const char *name, StrView given)
{
    size_t i = 0;
    for (; *name && i < given.len; name++, i++) {
        bool upper = *name >= 'A' && *name <= 'Z';
        if (*name == given.ptr[i])
            continue;
        if (!upper || given.ptr[i] != '_' || i + 1 == given.len ||
            given.ptr[i + 1] != (*name | 0x20))
            return false;
        i++;
    }
    return !*name && i == given.len;
}

static const Field *find(const Message *m, StrView name)
{
    for (unsigned i = 0; i < m->n; i++)
        if (is_name(m->fields[i].name, name))
            return &m->fields[i];
    return NULL;
}

/* Integers of 64 bits come as texts, for JavaScript's sake, or as numbers. */
static bool integer(const Value *v, uint64_t *ret)
{
    int64_t n;
    *ret = (uint64_t)v->i;
    if (v->kind == VALUE_INT)
        return true;
    if (v->kind == VALUE_DOUBLE) {
        *ret = v->d < 0 ? (uint64_t)(int64_t)MAX(v->d, -0x1p63) : (uint64_t)MIN(v->d, 0x1p63);
        return v->d == trunc(v->d) && fabs(v->d) <= 0x1p63;
    }
    if (v->kind != VALUE_STRING)
        return false;
    if (sv_to_u64(value_str(v), ret) == 0)
        return true;
    bool ok = sv_to_i64(value_str(v), &n) == 0;
    *ret = (uint64_t)n;
    return ok;
}

static bool number(const Value *v, double *ret)
{
    char text[64], *end;
    if (v->kind == VALUE_INT || v->kind == VALUE_DOUBLE) {
        *ret = v->kind == VALUE_INT ? (double)v->i : v->d;
        return true;
    }
    if (v->kind != VALUE_STRING || !v->str_len || !sv_copy_cstr(value_str(v), text, sizeof text))
        return false;
    *ret = strtod(text, &end);
    return !*end;
}

static bool temporality(const Value *v, uint64_t *ret)
{
    static const StrView names[] = { SV_INIT("AGGREGATION_TEMPORALITY_UNSPECIFIED"),
                                     SV_INIT("AGGREGATION_TEMPORALITY_DELTA"),
                                     SV_INIT("AGGREGATION_TEMPORALITY_CUMULATIVE") };
    if (v->kind == VALUE_INT)
        return integer(v, ret);
    for (unsigned i = 0; v->kind == VALUE_STRING && i < ARRAY_SIZE(names); i++)
        if (sv_eq(value_str(v), names[i])) {
            *ret = i;
            return true;
        }
    return false;
}

static void put_fixed(Buf *out, unsigned key, uint64_t n)
{
    pb_put_fixed64(out, key, pb_double(n));
}

static int put_hex(const Walk *w, const Field *f, const Value *v, const Place *p)
{
    uint8_t id[32];
    size_t n = 0;
    if (v->kind != VALUE_STRING || hex_decode(value_str(v), id, sizeof id, &n) < 0)
        return expected(w, p, "an id in hexadecimal");
    pb_put_bytes(w->out, f->number, sv_n((const char *)id, n));
    return 0;
}

static int put_base64(const Walk *w, const Field *f, const Value *v, const Place *p)
{
    size_t at = w->out->len;
    int r = v->kind == VALUE_STRING ? base64_decode(BASE64_STD, value_str(v), w->out) : -1;
    if (w->out->failed)
        return err_nomem(w->err);
    if (r < 0)
        return expected(w, p, "bytes in base64");
    pb_close(w->out, f->number, at);
    return 0;
}

/* A number of its kind. `key` 0: inside a packed list, without its field's number. */
static int put_number(const Walk *w, const Field *f, unsigned key, const Value *v, const Place *p)
{
    uint64_t n = 0;
    double d;
    if (f->kind == DOUBLE) {
        if (!number(v, &d))
            return expected(w, p, "a number");
        pb_put_fixed64(w->out, key, d);
        return 0;
    }
    if (f->kind == TEMPORALITY ? !temporality(v, &n) : !integer(v, &n))
        return expected(w, p, f->kind == TEMPORALITY ? "a temporality" : "an integer");
    if (f->kind == FIXED) {
        put_fixed(w->out, key, n);
        return 0;
    }
    int64_t i = (int64_t)n;
    if (f->kind == ZIGZAG && (i < INT32_MIN || i > INT32_MAX))
        return expected(w, p, "an integer of 32 bits");
    if (key)
        pb_put_varint(w->out, key << 3);
    pb_put_varint(w->out, f->kind == ZIGZAG ? pb_to_zigzag(i) : n);
    return 0;
}

static int put_message(const Walk *w, const Message *m, const Value *v, const Place *p);

static int put_one(const Walk *w, const Field *f, const Value *v, const Place *p)
{
    size_t at = w->out->len;
    int r;
    switch (f->kind) {
    case MESSAGE:
        r = put_message(w, f->type, v, p);
        pb_close(w->out, f->number, at);
        return r;
    case TEXT:
        if (v->kind != VALUE_STRING)
            return expected(w, p, "a text");
        pb_put_bytes(w->out, f->number, value_str(v));
        return 0;
    case BOOL:
        if (v->kind != VALUE_BOOL)
            return expected(w, p, "true or false");
        pb_put_varint(w->out, f->number << 3);
        pb_put_varint(w->out, v->b);
        return 0;
    case HEX:
        return put_hex(w, f, v, p);
    case BASE64:
        return put_base64(w, f, v, p);
    default:
        return put_number(w, f, f->number, v, p);
    }
}

static int put_list(const Walk *w, const Field *f, const Value *v, const Place *p)
{
    Place one = *p;
    size_t at = w->out->len;
    int r = 0;
    if (v->kind != VALUE_LIST)
        return expected(w, p, "a list");
    for (uint32_t i = 0; r == 0 && i < v->len; i++) {
        one.index = i;
        r = f->kind == MESSAGE ? put_one(w, f, &v->items[i], &one)
                               : put_number(w, f, 0, &v->items[i], &one);
    }
    if (f->kind != MESSAGE && v->len)
        pb_close(w->out, f->number, at);
    return r;
}

/* The depth is that of the document, which is bounded. */
static int put_message(const Walk *w, const Message *m, const Value *v, const Place *p)
{
    int r = 0;
    if (v->kind != VALUE_MAP)
        return expected(w, p, "an object");
    for (uint32_t i = 0; r == 0 && i < v->len; i++) {
        const Member *x = &v->members[i];
        const Field *f = find(m, x->key);
        if (!f || x->val.kind == VALUE_NULL)
            continue;
        const Place inner = { p->name ? p : NULL, f->name, -1 };
        r = f->repeated ? put_list(w, f, &x->val, &inner) : put_one(w, f, &x->val, &inner);
    }
    return r;
}

int otlp_from_json(StrView text, Buf *out, Err *err)
{
    _cleanup_arena_ Arena a;
    Err own = { 0 };
    const Walk w = { out, err ? err : &own };
    const Place top = { NULL, NULL, -1 };
    Value v;
    arena_init(&a, JSON_ARENA_MAX);
    int r = json_decode(text, &a, NULL, &v, w.err);
    if (r < 0)
        return err_wrap(w.err, "the message is malformed");
    if (v.kind != VALUE_MAP)
        return err_set(err, ERR_INVALID, 0, "the message is malformed: expected an object");
    r = put_message(&w, &request, &v, &top);
    if (r == 0 && out->failed)
        r = err_nomem(err);
    return r;
}
