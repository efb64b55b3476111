/* check.c - type checks and normal forms of a decoded document.
 *
 * One function per shape: object, list, map, scalar. The path is a chain on the C stack, so nothing
 * is built unless something is wrong. Go leaves list indices out of a type error's path, but has
 * them in the path of an unknown field; hence the two renderings.
 */
#include "api/check.h"

#include <math.h>
#include <stdio.h>

#include "api/quantity.h"
#include "base/clock.h"
#include "base/encode.h"

typedef struct Check {
    Arena *arena;
    Value *unknown;
    Err *err;
    const SchemaObject *owner; /* the type that has the field being looked at */
} Check;

static int check_object(Check *c, const SchemaObject *type, Value *v, const ApiPath *p);

static StrView last_part(StrView openapi_name)
{
    return sv_skip(openapi_name, (size_t)(sv_rfind_char(openapi_name, '.') + 1));
}

/* Go's name of a field's type: "int32", "v1.PodSpec", "[]v1.Container", "map[string]string". */
static void go_type(const SchemaField *f, bool item, Buf *out)
{
    static const char *const names[] = {
        [SCHEMA_BOOL] = "bool",
        [SCHEMA_INT32] = "int32",
        [SCHEMA_INT64] = "int64",
        [SCHEMA_DOUBLE] = "float64",
        [SCHEMA_STRING] = "string",
        [SCHEMA_BYTES] = "[]uint8",
        [SCHEMA_OBJECT] = NULL,
        [SCHEMA_QUANTITY] = "resource.Quantity",
        [SCHEMA_INT_OR_STRING] = "intstr.IntOrString",
        [SCHEMA_TIME] = "v1.Time",
        [SCHEMA_MICRO_TIME] = "v1.MicroTime",
        [SCHEMA_DURATION] = "v1.Duration",
        [SCHEMA_FIELDS_V1] = "v1.FieldsV1",
        [SCHEMA_RAW] = "runtime.RawExtension",
        [SCHEMA_JSON] = "apiextensions.JSON",
        [SCHEMA_ITEM] = NULL,
    };

    if (!item && f->card != SCHEMA_ONE)
        buf_sv(out, f->card == SCHEMA_LIST ? SV("[]") : SV("map[string]"));
    if (f->type == SCHEMA_ITEM) {
        go_type(f->item, false, out);
        return;
    }
    if (!f->object) {
        buf_sv(out, sv_cstr(names[f->type]));
        return;
    }
    StrView name = f->object->name, type = last_part(name);
    StrView package = last_part(sv_head(name, name.len - type.len - 1));
    buf_printf(out, "%.*s.%.*s", SV_FMT(package), SV_FMT(type));
}

static void put_field_names(const ApiPath *p, Buf *out)
{
    if (!p)
        return;
    put_field_names(p->up, out);
    if (p->is_key || p->index >= 0)
        return;
    if (out->len)
        buf_putc(out, '.');
    buf_sv(out, p->name);
}

/* As the strict decoder shows where something stands: "zones.a[1].x", keys of maps like fields. */
static void put_strict_path(const ApiPath *p, Buf *out)
{
    if (!p)
        return;
    put_strict_path(p->up, out);
    if (p->index >= 0) {
        buf_printf(out, "[%lld]", (long long)p->index);
        return;
    }
    if (out->len)
        buf_putc(out, '.');
    buf_sv(out, p->name);
}

static const char *json_kind(const Value *v, char buf[static 48])
{
    switch ((ValueKind)v->kind) {
    case VALUE_BOOL:
        return "bool";
    case VALUE_INT:
        return "number";
    case VALUE_DOUBLE:
        snprintf(buf, 48, v->d == floor(v->d) && fabs(v->d) < 1e15 ? "number %.1f" : "number %.15g",
                 v->d);
        return buf;
    case VALUE_STRING:
        return "string";
    case VALUE_LIST:
        return "array";
    case VALUE_MAP:
        return "object";
    case VALUE_NULL:
        break;
    }
    return "null";
}

static int wrong_type(Check *c, const SchemaField *f, bool item, const char *what, const ApiPath *p)
{
    _cleanup_buf_ Buf path = BUF_INIT, type = BUF_INIT;
    StrView owner = last_part(c->owner->name);

    put_field_names(p, &path);
    go_type(f, item, &type);
    return err_set(c->err, ERR_INVALID, 0,
                   "json: cannot unmarshal %s into Go struct field %.*s.%.*s of type %.*s", what,
                   SV_FMT(owner), SV_FMT(buf_view(&path)), SV_FMT(buf_view(&type)));
}

static int bad_kind(Check *c, const SchemaField *f, const Value *v, const ApiPath *p)
{
    char buf[48];

    return wrong_type(c, f, true, json_kind(v, buf), p);
}

/* An integer too large for its field shows its digits. */
static int check_int(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    char text[48];

    if (v->kind != VALUE_INT)
        return bad_kind(c, f, v, p);
    if (f->type == SCHEMA_INT32 && (v->i > INT32_MAX || v->i < INT32_MIN)) {
        snprintf(text, sizeof text, "number %lld", (long long)v->i);
        return wrong_type(c, f, true, text, p);
    }
    return 0;
}

static int set_text(Check *c, Value *v, StrView text)
{
    StrView copy = arena_sv(c->arena, text);

    if (!copy.ptr)
        return err_nomem(c->err);
    *v = value_sv(copy);
    return 0;
}

static int check_quantity(Check *c, Value *v)
{
    char text[API_QUANTITY_TEXT_MAX];
    ApiQuantity q;
    int r = api_quantity_from(v, &q, c->err);

    if (r < 0)
        return r;
    size_t n = api_quantity_format(&q, text);
    if (sv_eq(value_str(v), sv_n(text, n)))
        return 0;
    return set_text(c, v, sv_n(text, n));
}

/* Go's zero time, and the moment that protobuf's zeros stand for: Kubernetes stores and shows
 * either as no time at all. */
static bool is_no_time(Moment m)
{
    return m.nsec == 0 && (m.sec == 0 || m.sec == INT64_C(-62135596800));
}

/* A time that is none becomes null. */
static int check_time(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    bool micro = f->type == SCHEMA_MICRO_TIME;
    StrView s = value_str(v);
    char text[RFC3339_SIZE];
    Moment m;

    if (v->kind != VALUE_STRING)
        return bad_kind(c, f, v, p);
    if (moment_parse(s, &m) < 0)
        return err_set(c->err, ERR_INVALID, 0,
                       "parsing time \"%.*s\" as \"2006-01-02T15:04:05%s\": cannot parse \"%.*s\" "
                       "as \"2006\"",
                       SV_FMT(s), micro ? ".000000Z07:00" : "Z07:00", SV_FMT(s));
    if (is_no_time(m)) {
        *v = value_null();
        return 0;
    }
    moment_format(m, micro ? 6 : 0, text);
    if (sv_eq(s, sv_cstr(text)))
        return 0;
    return set_text(c, v, sv_cstr(text));
}

static int check_duration(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    StrView s = value_str(v);
    char text[DURATION_SIZE];
    int64_t ns;

    if (v->kind != VALUE_STRING)
        return bad_kind(c, f, v, p);
    if (duration_parse(s, &ns) < 0)
        return err_set(c->err, ERR_INVALID, 0, "time: invalid duration \"%.*s\"", SV_FMT(s));
    return set_text(c, v, sv_n(text, duration_format(ns, text)));
}

static int check_bytes(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    _cleanup_buf_ Buf out = BUF_INIT;

    if (v->kind != VALUE_STRING)
        return bad_kind(c, f, v, p);
    if (base64_decode(BASE64_STD, value_str(v), &out) < 0)
        return err_set(c->err, ERR_INVALID, 0, "illegal base64 data at input byte %zu",
                       out.len / 3 * 4);
    return out.failed ? err_nomem(c->err) : 0;
}

static int check_field(Check *c, const SchemaField *f, Value *v, const ApiPath *p);

static int check_scalar(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    switch ((SchemaType)f->type) {
    case SCHEMA_BOOL:
        return v->kind == VALUE_BOOL ? 0 : bad_kind(c, f, v, p);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return check_int(c, f, v, p);
    case SCHEMA_DOUBLE:
        return v->kind == VALUE_INT || v->kind == VALUE_DOUBLE ? 0 : bad_kind(c, f, v, p);
    case SCHEMA_STRING:
        return v->kind == VALUE_STRING ? 0 : bad_kind(c, f, v, p);
    case SCHEMA_BYTES:
        return check_bytes(c, f, v, p);
    case SCHEMA_OBJECT:
        return check_object(c, f->object, v, p);
    case SCHEMA_QUANTITY:
        return check_quantity(c, v);
    case SCHEMA_INT_OR_STRING:
        return v->kind == VALUE_STRING ? 0 : check_int(c, f, v, p);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return check_time(c, f, v, p);
    case SCHEMA_DURATION:
        return check_duration(c, f, v, p);
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
        return v->kind == VALUE_MAP ? 0 : bad_kind(c, f, v, p);
    case SCHEMA_ITEM:
        return check_field(c, f->item, v, p);
    case SCHEMA_JSON:
        break;
    }
    return 0;
}

/* What Go makes of a null inside a list or map. */
static Value zero_value(const SchemaField *f)
{
    switch ((SchemaType)f->type) {
    case SCHEMA_ITEM:
        return f->item->card == SCHEMA_LIST  ? value_list()
               : f->item->card == SCHEMA_MAP ? value_map()
                                             : zero_value(f->item);
    case SCHEMA_BOOL:
        return value_bool(false);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
    case SCHEMA_INT_OR_STRING:
        return value_int(0);
    case SCHEMA_OBJECT:
        return value_map();
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return value_sv(SV(""));
    case SCHEMA_QUANTITY:
        return value_sv(SV("0"));
    default:
        return value_null();
    }
}

static int check_list(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    char buf[48];
    int r;

    if (v->kind != VALUE_LIST)
        return wrong_type(c, f, false, json_kind(v, buf), p);
    for (uint32_t i = 0; i < v->len; i++) {
        ApiPath at = API_INDEX(p, i);
        Value *it = &v->items[i];
        if (it->kind == VALUE_NULL) {
            *it = zero_value(f);
            continue;
        }
        if ((r = check_scalar(c, f, it, &at)) < 0)
            return r;
    }
    return 0;
}

static int check_map(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    char buf[48];
    int r;

    if (v->kind != VALUE_MAP)
        return wrong_type(c, f, false, json_kind(v, buf), p);
    for (uint32_t i = 0; i < v->len; i++) {
        Value *it = &v->members[i].val;
        ApiPath at = API_KEY(p, v->members[i].key);
        if (it->kind == VALUE_NULL) {
            *it = zero_value(f);
            continue;
        }
        if ((r = check_scalar(c, f, it, &at)) < 0)
            return r;
    }
    return 0;
}

static int report_unknown(Check *c, const ApiPath *p)
{
    _cleanup_buf_ Buf path = BUF_INIT;

    if (!c->unknown || c->unknown->len >= API_UNKNOWN_MAX)
        return 0;
    put_strict_path(p, &path);
    StrView text = arena_printf(c->arena, "unknown field \"%.*s\"", SV_FMT(buf_view(&path)));
    if (path.failed || !text.ptr || !value_push(c->arena, c->unknown, value_sv(text)))
        return err_nomem(c->err);
    return 0;
}

static int check_field(Check *c, const SchemaField *f, Value *v, const ApiPath *p)
{
    if (f->card == SCHEMA_LIST)
        return check_list(c, f, v, p);
    if (f->card == SCHEMA_MAP)
        return check_map(c, f, v, p);
    return check_scalar(c, f, v, p);
}

static int check_member(Check *c, const SchemaObject *type, const SchemaField *f, Value *v,
                        const ApiPath *p)
{
    c->owner = type;
    return check_field(c, f, v, p);
}

static int check_object(Check *c, const SchemaObject *type, Value *v, const ApiPath *p)
{
    const SchemaObject *outer = c->owner;
    uint32_t kept = 0;
    int r;

    if (v->kind != VALUE_MAP) {
        SchemaField as = { .type = SCHEMA_OBJECT, .object = type };
        return bad_kind(c, &as, v, p);
    }
    for (uint32_t i = 0; i < v->len; i++) {
        Member *m = &v->members[i];
        const SchemaField *f = schema_field(type, m->key);
        ApiPath at = API_FIELD_SV(p, m->key);
        if (!f) {
            if ((r = report_unknown(c, &at)) < 0)
                return r;
            continue;
        }
        if (m->val.kind == VALUE_NULL && f->type != SCHEMA_JSON)
            continue;
        if ((r = check_member(c, type, f, &m->val, &at)) < 0)
            return r;
        if (m->val.kind == VALUE_NULL && f->type != SCHEMA_JSON)
            continue;
        v->members[kept++] = *m;
    }
    v->len = kept;
    c->owner = outer;
    return 0;
}

int api_decode_check(const SchemaObject *type, Value *obj, Arena *a, Value *unknown, Err *err)
{
    Check c = { .arena = a, .unknown = unknown, .err = err, .owner = type };
    char buf[48];

    if (obj->kind != VALUE_MAP) {
        StrView name = last_part(type->name);
        return err_set(err, ERR_INVALID, 0,
                       "json: cannot unmarshal %s into Go value of type v1.%.*s",
                       json_kind(obj, buf), SV_FMT(name));
    }
    return check_object(&c, type, obj, NULL);
}

static bool fill_missing(const SchemaField *f, Value *obj, Arena *a)
{
    Value zero;

    if (!(f->flags & SCHEMA_F_OMIT_ALWAYS) || f->card != SCHEMA_ONE ||
        (f->flags & SCHEMA_F_POINTER))
        return true;
    if (f->type == SCHEMA_QUANTITY || f->type == SCHEMA_BYTES)
        return true;
    zero = zero_value(f);
    if (zero.kind == VALUE_NULL)
        return true;
    Value *v = value_set(a, obj, f->name, zero);
    return v && (f->type != SCHEMA_OBJECT || api_fill_always(f->object, v, a));
}

static bool fill_object(void *arena, const SchemaObject *type, Value *obj)
{
    return api_fill_always(type, obj, arena);
}

bool api_fill_always(const SchemaObject *type, Value *obj, Arena *a)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const SchemaField *f = &type->fields[i];
        if (f->flags & SCHEMA_F_INLINE) {
            if (!api_fill_always(f->object, obj, a))
                return false;
            continue;
        }
        Value *v = value_get(obj, f->name);
        if (!v && !fill_missing(f, obj, a))
            return false;
        if (v && !schema_each_object(f, v, fill_object, a))
            return false;
    }
    return true;
}
