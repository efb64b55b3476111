/* protobuf_encode.c - a Value to a protobuf message through the type's table.
 *
 * A message inside another is written first and then moved up to make room for its length: objects
 * are small and flat, so this is cheaper than computing all sizes beforehand. */
#include "base/clock.h"
#include "base/encode.h"
#include "codec/json.h"
#include "codec/protobuf.h"

typedef struct Encoder {
    Buf *out;
    Err *err;
} Encoder;

static int encode_message(Encoder *e, const SchemaObject *type, const Value *v);

void protobuf_put_varint(Buf *out, uint64_t n)
{
    char bytes[10];
    size_t len = 0;

    do {
        bytes[len++] = (char)((n & 0x7F) | (n > 0x7F ? 0x80 : 0));
        n >>= 7;
    } while (n > 0);
    buf_append(out, bytes, len);
}

static void put_key(Buf *out, unsigned number, unsigned wire)
{
    protobuf_put_varint(out, (uint64_t)number << 3 | wire);
}

void protobuf_put_int(Buf *out, unsigned number, int64_t n)
{
    put_key(out, number, 0);
    protobuf_put_varint(out, (uint64_t)n);
}

void protobuf_put_bytes(Buf *out, unsigned number, StrView bytes)
{
    put_key(out, number, 2);
    protobuf_put_varint(out, bytes.len);
    buf_sv(out, bytes);
}

void protobuf_close(Buf *out, unsigned number, size_t start)
{
    char head[20];
    Buf prefix = { .ptr = head, .cap = sizeof head, .limit = sizeof head };
    size_t len = out->len - start;

    if (out->failed)
        return;
    put_key(&prefix, number, 2);
    protobuf_put_varint(&prefix, len);
    if (!buf_reserve(out, prefix.len))
        return;
    memmove(out->ptr + start + prefix.len, out->ptr + start, len);
    memcpy(out->ptr + start, head, prefix.len);
    out->len += prefix.len;
}

static int misfit(Encoder *e, const SchemaField *f)
{
    return err_set(e->err, ERR_INVALID, 0, "proto: the value of \"%.*s\" does not fit its type",
                   SV_FMT(f->name));
}

static int encode_time(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    size_t start = e->out->len;
    Moment m;

    if (v->kind == VALUE_STRING) {
        if (moment_parse(value_str(v), &m) < 0)
            return misfit(e, f);
        protobuf_put_int(e->out, 1, m.sec);
        protobuf_put_int(e->out, 2, f->type == SCHEMA_MICRO_TIME ? m.nsec : 0);
    } else if (v->kind != VALUE_NULL) {
        return misfit(e, f);
    }
    protobuf_close(e->out, number, start);
    return 0;
}

static int encode_json(Encoder *e, unsigned number, const Value *v)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    size_t start = e->out->len;

    if (v->kind != VALUE_NULL) {
        json_encode(v, &text);
        if (text.failed)
            return err_nomem(e->err);
        protobuf_put_bytes(e->out, 1, buf_view(&text));
    }
    protobuf_close(e->out, number, start);
    return 0;
}

static int encode_int_or_string(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    size_t start = e->out->len;
    bool text = v->kind == VALUE_STRING;

    if (!text && v->kind != VALUE_INT)
        return misfit(e, f);
    protobuf_put_int(e->out, 1, text);
    protobuf_put_int(e->out, 2, text ? 0 : v->i);
    protobuf_put_bytes(e->out, 3, text ? value_str(v) : SV(""));
    protobuf_close(e->out, number, start);
    return 0;
}

static int encode_bytes(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;

    if (v->kind != VALUE_STRING || base64_decode(BASE64_STD, value_str(v), &bytes) < 0)
        return misfit(e, f);
    if (bytes.failed)
        return err_nomem(e->err);
    protobuf_put_bytes(e->out, number, buf_view(&bytes));
    return 0;
}

static int encode_quantity(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    size_t start = e->out->len;

    if (v->kind == VALUE_STRING)
        buf_sv(&text, value_str(v));
    else if (v->kind == VALUE_INT || v->kind == VALUE_DOUBLE)
        json_encode(v, &text);
    else
        return misfit(e, f);
    protobuf_put_bytes(e->out, 1, buf_view(&text));
    protobuf_close(e->out, number, start);
    return text.failed ? err_nomem(e->err) : 0;
}

static int encode_duration(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    size_t start = e->out->len;
    int64_t ns;

    if (duration_parse(value_str(v), &ns) < 0)
        return misfit(e, f);
    protobuf_put_int(e->out, 1, ns);
    protobuf_close(e->out, number, start);
    return 0;
}

static int encode_double(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    double d = v->kind == VALUE_INT ? (double)v->i : v->d;
    uint8_t bytes[8];
    uint64_t n;

    if (v->kind != VALUE_INT && v->kind != VALUE_DOUBLE)
        return misfit(e, f);
    memcpy(&n, &d, sizeof n);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(n >> 8 * i);
    put_key(e->out, number, 1);
    buf_append(e->out, bytes, 8);
    return 0;
}

static int encode_object(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    size_t start = e->out->len;

    if (v->kind != VALUE_MAP && v->kind != VALUE_NULL)
        return misfit(e, f);
    int r = encode_message(e, f->object, v);
    protobuf_close(e->out, number, start);
    return r;
}

static int encode_wrapped(Encoder *e, const SchemaField *f, unsigned number, const Value *v);

static int encode_scalar(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    switch ((SchemaType)f->type) {
    case SCHEMA_BOOL:
        if (v->kind != VALUE_BOOL)
            return misfit(e, f);
        protobuf_put_int(e->out, number, v->b);
        return 0;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        if (v->kind != VALUE_INT)
            return misfit(e, f);
        protobuf_put_int(e->out, number, v->i);
        return 0;
    case SCHEMA_STRING:
        if (v->kind != VALUE_STRING)
            return misfit(e, f);
        protobuf_put_bytes(e->out, number, value_str(v));
        return 0;
    case SCHEMA_DOUBLE:
        return encode_double(e, f, number, v);
    case SCHEMA_BYTES:
        return encode_bytes(e, f, number, v);
    case SCHEMA_OBJECT:
        return encode_object(e, f, number, v);
    case SCHEMA_QUANTITY:
        return encode_quantity(e, f, number, v);
    case SCHEMA_INT_OR_STRING:
        return encode_int_or_string(e, f, number, v);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return encode_time(e, f, number, v);
    case SCHEMA_DURATION:
        return encode_duration(e, f, number, v);
    case SCHEMA_ITEM:
        return f->item->card == SCHEMA_LIST ? encode_wrapped(e, f->item, number, v) : misfit(e, f);
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
    case SCHEMA_JSON:
        break;
    }
    return encode_json(e, number, v);
}

static int encode_list(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    if (v->kind != VALUE_LIST)
        return misfit(e, f);
    value_list_foreach (it, v) {
        int r = encode_scalar(e, f, number, it);
        if (r < 0)
            return r;
    }
    return 0;
}

static int encode_wrapped(Encoder *e, const SchemaField *f, unsigned number, const Value *v)
{
    size_t start = e->out->len;
    int r = encode_list(e, f, 1, v);

    protobuf_close(e->out, number, start);
    return r;
}

static int encode_map(Encoder *e, const SchemaField *f, const Value *v)
{
    if (v->kind != VALUE_MAP)
        return misfit(e, f);
    value_map_foreach (m, v) {
        size_t start = e->out->len;
        protobuf_put_bytes(e->out, 1, m->key);
        int r = encode_scalar(e, f, 2, &m->val);
        if (r < 0)
            return r;
        protobuf_close(e->out, f->pb, start);
    }
    return 0;
}

static int encode_field(Encoder *e, const SchemaField *f, const Value *v)
{
    const Value *it = value_get(v, f->name);
    size_t start = e->out->len;
    int r;

    if (f->flags & SCHEMA_F_INLINE) {
        r = encode_message(e, f->object, v);
        protobuf_close(e->out, f->pb, start);
        return r;
    }
    if (!it || (it->kind == VALUE_NULL && f->type != SCHEMA_JSON))
        return 0;
    if (f->card == SCHEMA_MAP)
        return encode_map(e, f, it);
    if (f->card == SCHEMA_LIST)
        return f->flags & SCHEMA_F_UNION_LIST ? encode_wrapped(e, f, f->pb, it)
                                              : encode_list(e, f, f->pb, it);
    return encode_scalar(e, f, f->pb, it);
}

static int encode_message(Encoder *e, const SchemaObject *type, const Value *v)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        int r = type->fields[i].pb ? encode_field(e, &type->fields[i], v) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int protobuf_encode(const SchemaObject *type, const Value *v, Buf *out, Err *err)
{
    Encoder e = { out, err };
    int r = encode_message(&e, type, v);

    if (r >= 0 && out->failed)
        return err_nomem(err);
    return r;
}

int protobuf_seal(StrView api_version, StrView kind, const SchemaObject *type, const Value *v,
                  Buf *out, Err *err)
{
    size_t start;
    int r;

    buf_append(out, "k8s", 4);
    start = out->len;
    protobuf_put_bytes(out, 1, api_version);
    protobuf_put_bytes(out, 2, kind);
    protobuf_close(out, 1, start);
    start = out->len;
    if ((r = protobuf_encode(type, v, out, err)) < 0)
        return r;
    protobuf_close(out, 2, start);
    protobuf_put_bytes(out, 3, SV(""));
    protobuf_put_bytes(out, 4, SV(""));
    return out->failed ? err_nomem(err) : 0;
}
