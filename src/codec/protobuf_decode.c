/* protobuf_decode.c - a protobuf message to a Value, field by field through the type's table.
 *
 * Fields come in ascending order from every encoder in use, so the search for a number starts where
 * the last one was found. */
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "codec/json.h"
#include "codec/protobuf.h"
#include "codec/key_index.h"

typedef struct Decoder {
    Arena *arena;
    Err *err;
    unsigned depth;
} Decoder;

static int decode_message(Decoder *d, const SchemaObject *type, StrView bytes, Value *into);

static int malformed(Err *err)
{
    return err_set(err, ERR_INVALID, 0, "proto: malformed message");
}

static bool read_varint(StrView *rest, uint64_t *ret)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
        uint8_t byte = (uint8_t)rest->ptr[0];
        *rest = sv_skip(*rest, 1);
        n |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = n;
            return true;
        }
    }
    return false;
}

static bool read_fixed(StrView *rest, size_t size, uint64_t *ret)
{
    uint64_t n = 0;

    if (rest->len < size)
        return false;
    for (size_t i = size; i-- > 0;)
        n = n << 8 | (uint8_t)rest->ptr[i];
    *rest = sv_skip(*rest, size);
    *ret = n;
    return true;
}

int protobuf_next(StrView *rest, ProtobufField *ret, Err *err)
{
    uint64_t key, n = 0;
    bool ok;

    if (rest->len == 0)
        return 0;
    if (!read_varint(rest, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3)
        return malformed(err);
    *ret = (ProtobufField){ .number = (unsigned)(key >> 3), .wire = key & 7 };
    switch (ret->wire) {
    case 0:
        ok = read_varint(rest, &n);
        break;
    case 1:
        ok = read_fixed(rest, 8, &n);
        break;
    case 2:
        ok = read_varint(rest, &n) && n <= rest->len;
        if (ok) {
            ret->bytes = sv_head(*rest, n);
            *rest = sv_skip(*rest, n);
        }
        break;
    case 5:
        ok = read_fixed(rest, 4, &n);
        break;
    default: /* groups are not used by anyone */
        ok = false;
    }
    ret->n = n;
    return ok ? 1 : malformed(err);
}

bool protobuf_has_magic(StrView bytes)
{
    return sv_starts(bytes, sv_n("k8s", 4));
}

int protobuf_open(StrView bytes, ProtobufEnvelope *ret, Err *err)
{
    StrView rest = sv_skip(bytes, 4), meta = SV("");
    ProtobufField f;
    int r;

    if (!protobuf_has_magic(bytes))
        return err_set(err, ERR_INVALID, 0,
                       "provided data does not appear to be a protobuf message, expected prefix "
                       "[107 56 115 0]");
    *ret = (ProtobufEnvelope){ 0 };
    while ((r = protobuf_next(&rest, &f, err)) > 0) {
        StrView *const slots[] = { NULL, &meta, &ret->raw, &ret->content_encoding,
                                   &ret->content_type };
        if (f.wire == 2 && f.number < ARRAY_SIZE(slots))
            *slots[f.number] = f.bytes;
    }
    while (r == 0 && (r = protobuf_next(&meta, &f, err)) > 0) {
        if (f.wire == 2 && f.number <= 2)
            *(f.number == 1 ? &ret->api_version : &ret->kind) = f.bytes;
        r = 0;
    }
    return r < 0 ? r : 0;
}

/* The three numbers and one text that the well-known messages are made of. */
typedef struct Small {
    int64_t n[4]; /* by field number */
    StrView bytes[4];
} Small;

static int read_small(Decoder *d, StrView bytes, Small *ret)
{
    ProtobufField f;
    int r;

    *ret = (Small){ 0 };
    while ((r = protobuf_next(&bytes, &f, d->err)) > 0) {
        if (f.number >= ARRAY_SIZE(ret->n))
            continue;
        ret->n[f.number] = (int64_t)f.n;
        ret->bytes[f.number] = f.bytes;
    }
    return r;
}

static int arena_text(Decoder *d, StrView text, Value *ret)
{
    StrView copy = arena_sv(d->arena, text);

    if (!copy.ptr)
        return err_nomem(d->err);
    *ret = value_sv(copy);
    return 0;
}

static int decode_time(Decoder *d, const SchemaField *f, StrView bytes, Value *ret)
{
    char text[RFC3339_SIZE];
    Small s;
    int r = read_small(d, bytes, &s);

    if (r < 0)
        return r;
    *ret = value_null();
    if (bytes.len == 0)
        return 0;
    Moment m = { s.n[1], (int32_t)s.n[2] };
    if (m.sec < MOMENT_SEC_MIN || m.sec > MOMENT_SEC_MAX || m.nsec < 0 || m.nsec >= NSEC_PER_SEC)
        return malformed(d->err);
    moment_format(m, f->type == SCHEMA_MICRO_TIME ? 6 : 0, text);
    return arena_text(d, sv_cstr(text), ret);
}

/* RawExtension, FieldsV1 and JSON carry JSON text. */
static int decode_json(Decoder *d, StrView bytes, Value *ret)
{
    Small s;
    int r = read_small(d, bytes, &s);

    if (r < 0)
        return r;
    *ret = value_null();
    if (s.bytes[1].len == 0)
        return 0;
    if (protobuf_has_magic(s.bytes[1]))
        return err_set(d->err, ERR_UNSUPPORTED, 0, "an embedded object in protobuf form");
    return json_decode(s.bytes[1], d->arena, NULL, ret, d->err);
}

static int decode_bytes(Decoder *d, StrView bytes, Value *ret)
{
    _cleanup_buf_ Buf text = BUF_INIT;

    base64_encode(BASE64_STD, bytes, &text);
    return text.failed ? err_nomem(d->err) : arena_text(d, buf_view(&text), ret);
}

static int decode_wrapped(Decoder *d, const SchemaField *f, StrView bytes, Value *ret);

static int decode_sized(Decoder *d, const SchemaField *f, StrView bytes, Value *ret)
{
    char text[DURATION_SIZE];
    Small s;
    int r;

    switch ((SchemaType)f->type) {
    case SCHEMA_STRING:
        if (!sv_is_utf8(bytes))
            return err_set(d->err, ERR_INVALID, 0, "proto: string is not valid UTF-8");
        *ret = value_sv(bytes);
        return 0;
    case SCHEMA_BYTES:
        return decode_bytes(d, bytes, ret);
    case SCHEMA_OBJECT:
        *ret = value_map();
        return decode_message(d, f->object, bytes, ret);
    case SCHEMA_ITEM:
        return f->item->card == SCHEMA_LIST ? decode_wrapped(d, f->item, bytes, ret)
                                            : malformed(d->err);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return decode_time(d, f, bytes, ret);
    case SCHEMA_RAW:
    case SCHEMA_FIELDS_V1:
    case SCHEMA_JSON:
        return decode_json(d, bytes, ret);
    case SCHEMA_QUANTITY:
    case SCHEMA_INT_OR_STRING:
    case SCHEMA_DURATION:
        break;
    default:
        return malformed(d->err);
    }
    if ((r = read_small(d, bytes, &s)) < 0)
        return r;
    if (f->type == SCHEMA_QUANTITY)
        *ret = value_sv(s.bytes[1].len ? s.bytes[1] : SV("0"));
    else if (f->type == SCHEMA_INT_OR_STRING)
        *ret = s.n[1] == 1 ? value_sv(s.bytes[3]) : value_int((int32_t)s.n[2]);
    else
        return arena_text(d, sv_n(text, duration_format(s.n[1], text)), ret);
    return 0;
}

static int decode_scalar(Decoder *d, const SchemaField *f, const ProtobufField *in, Value *ret)
{
    double number;

    if (in->wire == 2)
        return decode_sized(d, f, in->bytes, ret);
    switch ((SchemaType)f->type) {
    case SCHEMA_BOOL:
        *ret = value_bool(in->n != 0);
        return in->wire == 0 ? 0 : malformed(d->err);
    case SCHEMA_INT32:
        *ret = value_int((int32_t)in->n);
        return in->wire == 0 ? 0 : malformed(d->err);
    case SCHEMA_INT64:
        *ret = value_int((int64_t)in->n);
        return in->wire == 0 ? 0 : malformed(d->err);
    case SCHEMA_DOUBLE:
        memcpy(&number, &in->n, sizeof number);
        *ret = value_double(number);
        return in->wire == 1 ? 0 : malformed(d->err);
    default:
        return malformed(d->err);
    }
}

/* A list type with a message of its own: { repeated items = 1 }. */
static int decode_wrapped(Decoder *d, const SchemaField *f, StrView bytes, Value *ret)
{
    ProtobufField in;
    Value v;
    int r;

    *ret = value_list();
    while ((r = protobuf_next(&bytes, &in, d->err)) > 0) {
        if (in.number != 1)
            continue;
        if ((r = decode_scalar(d, f, &in, &v)) < 0)
            return r;
        if (!value_push(d->arena, ret, v))
            return err_nomem(d->err);
    }
    return r;
}

static bool is_zero(const Value *v)
{
    switch ((ValueKind)v->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return !v->b;
    case VALUE_INT:
        return v->i == 0;
    case VALUE_DOUBLE:
        return v->d == 0;
    case VALUE_STRING:
        return v->str_len == 0;
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    return v->len == 0;
}

static int decode_one(Decoder *d, const SchemaField *f, const ProtobufField *in, Value *into)
{
    Value v = value_null();
    int r = decode_scalar(d, f, in, &v);

    if (r < 0)
        return r;
    if (is_zero(&v) && !(f->flags & (SCHEMA_F_POINTER | SCHEMA_F_OMIT_ALWAYS)))
        return 0;
    return value_set(d->arena, into, f->name, v) ? 0 : err_nomem(d->err);
}

/* The container of a repeated or map field, made at its first item. */
static Value *container(Decoder *d, const SchemaField *f, Value *into)
{
    Value *v = value_get(into, f->name);

    if (v)
        return v;
    return value_set(d->arena, into, f->name, f->card == SCHEMA_MAP ? value_map() : value_list());
}

/* Numbers may come packed: many in one field. */
static int decode_packed(Decoder *d, const SchemaField *f, StrView bytes, Value *list)
{
    while (bytes.len > 0) {
        ProtobufField in = { .wire = f->type == SCHEMA_DOUBLE ? 1 : 0 };
        Value v;
        bool ok = in.wire ? read_fixed(&bytes, 8, &in.n) : read_varint(&bytes, &in.n);
        int r = ok ? decode_scalar(d, f, &in, &v) : malformed(d->err);
        if (r < 0)
            return r;
        if (!value_push(d->arena, list, v))
            return err_nomem(d->err);
    }
    return 0;
}

static int decode_item(Decoder *d, const SchemaField *f, const ProtobufField *in, Value *into)
{
    bool number = f->type == SCHEMA_BOOL || f->type == SCHEMA_INT32 || f->type == SCHEMA_INT64 ||
                  f->type == SCHEMA_DOUBLE;
    Value v = value_null(), *list;
    int r;

    if (f->flags & SCHEMA_F_UNION_LIST) {
        /* A field whose type is a named list: the one message has all items. */
        if (in->wire != 2)
            return malformed(d->err);
        if ((r = decode_wrapped(d, f, in->bytes, &v)) < 0)
            return r;
        return value_set(d->arena, into, f->name, v) ? 0 : err_nomem(d->err);
    }
    if (!(list = container(d, f, into)))
        return err_nomem(d->err);
    if (number && in->wire == 2)
        return decode_packed(d, f, in->bytes, list);
    if ((r = decode_scalar(d, f, in, &v)) < 0)
        return r;
    return value_push(d->arena, list, v) ? 0 : err_nomem(d->err);
}

/* What a map entry without a value stands for. */
static Value empty_entry(const SchemaField *f)
{
    if (f->type == SCHEMA_ITEM)
        return value_list();
    if (f->type == SCHEMA_OBJECT)
        return value_map();
    return f->type == SCHEMA_BOOL ? value_bool(false)
           : f->type == SCHEMA_INT32 || f->type == SCHEMA_INT64
               ? value_int(0)
               : value_sv(f->type == SCHEMA_QUANTITY ? SV("0") : SV(""));
}

static int decode_entry(Decoder *d, const SchemaField *f, const ProtobufField *in, Value *into)
{
    Value *map = container(d, f, into), v = empty_entry(f);
    StrView rest = in->bytes, key = SV("");
    ProtobufField part;
    int r;

    if (!map)
        return err_nomem(d->err);
    if (in->wire != 2)
        return malformed(d->err);
    if (map->len >= PROTOBUF_MAP_MAX)
        return err_set(d->err, ERR_LIMIT, 0, "proto: a map of more than %d entries",
                       PROTOBUF_MAP_MAX);
    while ((r = protobuf_next(&rest, &part, d->err)) > 0) {
        if (part.number == 1 && part.wire == 2)
            key = part.bytes;
        else if (part.number == 2)
            r = decode_scalar(d, f, &part, &v);
        if (r < 0)
            return r;
    }
    if (r == 0 && !sv_is_utf8(key))
        return err_set(d->err, ERR_INVALID, 0, "proto: string is not valid UTF-8");
    if (r < 0)
        return r;
    /* What repeats in a large map is united when the message has been read. */
    Value *at = map->len < KEY_INDEX_MIN ? value_set(d->arena, map, key, v)
                                         : value_append(d->arena, map, key, v);
    return at ? 0 : err_nomem(d->err);
}

static int unite_large_maps(Decoder *d, const SchemaObject *type, Value *v)
{
    value_map_foreach (m, v) {
        const SchemaField *f = m->val.len > KEY_INDEX_MIN ? schema_field(type, m->key) : NULL;
        if (f && f->card == SCHEMA_MAP && m->val.kind == VALUE_MAP &&
            !value_unite_members(&m->val, d->arena))
            return err_nomem(d->err);
    }
    return 0;
}

static const SchemaField *find_number(const SchemaObject *type, unsigned number, unsigned *hint)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        unsigned at = (*hint + i) % type->n_fields;
        if (type->fields[at].pb == number) {
            *hint = at;
            return &type->fields[at];
        }
    }
    return NULL;
}

static int decode_message(Decoder *d, const SchemaObject *type, StrView bytes, Value *into)
{
    ProtobufField in;
    unsigned hint = 0;
    int r;

    if (++d->depth > PROTOBUF_DEPTH_MAX)
        return err_set(d->err, ERR_LIMIT, 0, "proto: exceeded max depth of %d", PROTOBUF_DEPTH_MAX);
    while ((r = protobuf_next(&bytes, &in, d->err)) > 0) {
        const SchemaField *f = find_number(type, in.number, &hint);
        if (!f)
            continue;
        if (f->flags & SCHEMA_F_INLINE)
            r = in.wire == 2 ? decode_message(d, f->object, in.bytes, into) : malformed(d->err);
        else if (f->card == SCHEMA_LIST)
            r = decode_item(d, f, &in, into);
        else if (f->card == SCHEMA_MAP)
            r = decode_entry(d, f, &in, into);
        else
            r = decode_one(d, f, &in, into);
        if (r < 0)
            return r;
    }
    d->depth--;
    return r < 0 ? r : unite_large_maps(d, type, into);
}

int protobuf_decode(const SchemaObject *type, StrView bytes, Arena *a, Value *ret, Err *err)
{
    Decoder d = { .arena = a, .err = err };
    Value v = value_map();
    int r = decode_message(&d, type, bytes, &v);

    if (r >= 0)
        *ret = v;
    return r;
}
