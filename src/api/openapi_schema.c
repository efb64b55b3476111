/* openapi_schema.c - type tables as JSON schemas. */
#include "api/openapi_internal.h"

#include "codec/json.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

/* The well-known scalar types: Kubernetes gives each a definition of its own. */
typedef struct Known {
    StrView name;
    const char *v2, *v3; /* the schema as JSON; v3 NULL: as v2 */
} Known;

/* clang-format off */
static const Known known[] = {
    [SCHEMA_QUANTITY] = {
        SV_INIT("io.k8s.apimachinery.pkg.api.resource.Quantity"),
        "{\"description\":\"An exact number with a unit suffix.\",\"type\":\"string\"}",
        "{\"description\":\"An exact number with a unit suffix.\","
        "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]}" },
    [SCHEMA_INT_OR_STRING] = {
        SV_INIT("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
        "{\"description\":\"A number, or a text such as a name or a percentage.\","
        "\"type\":\"string\",\"format\":\"int-or-string\"}",
        "{\"description\":\"A number, or a text such as a name or a percentage.\","
        "\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}" },
    [SCHEMA_TIME] = {
        SV_INIT(META "Time"),
        "{\"description\":\"A point in time, RFC 3339.\",\"type\":\"string\","
        "\"format\":\"date-time\"}",
        NULL },
    [SCHEMA_MICRO_TIME] = {
        SV_INIT(META "MicroTime"),
        "{\"description\":\"A point in time with microseconds, RFC 3339.\",\"type\":\"string\","
        "\"format\":\"date-time\"}",
        NULL },
    [SCHEMA_DURATION] = {
        SV_INIT(META "Duration"),
        "{\"description\":\"A length of time such as 1h30m.\",\"type\":\"string\"}", NULL },
    [SCHEMA_FIELDS_V1] = {
        SV_INIT(META "FieldsV1"),
        "{\"description\":\"A set of fields as a tree of keys.\",\"type\":\"object\"}", NULL },
    [SCHEMA_RAW] = {
        SV_INIT("io.k8s.apimachinery.pkg.runtime.RawExtension"),
        "{\"description\":\"An object of any kind.\",\"type\":\"object\"}", NULL },
    [SCHEMA_JSON] = {
        SV_INIT("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"),
        "{\"description\":\"Any JSON value.\"}", NULL },
};
/* clang-format on */

void openapi_put(OpenApi *o, Value *map, const char *key, Value v)
{
    if (!map || !value_set(o->arena, map, sv_cstr(key), v))
        o->failed = true;
}

void openapi_put_text(OpenApi *o, Value *map, const char *key, StrView text)
{
    openapi_put(o, map, key, value_sv(text));
}

void openapi_push(OpenApi *o, Value *list, Value v)
{
    if (!value_push(o->arena, list, v))
        o->failed = true;
}

Value openapi_text(OpenApi *o, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    StrView text = arena_vprintf(o->arena, fmt, ap);
    va_end(ap);
    o->failed = o->failed || !text.ptr;
    return value_sv(text);
}

static Value ref_to(OpenApi *o, StrView name)
{
    Value ref = value_map();

    openapi_put(o, &ref, "$ref",
                openapi_text(o, "%s%.*s", o->v3 ? "#/components/schemas/" : "#/definitions/",
                             SV_FMT(name)));
    return ref;
}

/* Whether a name is new; from then on it is not. */
static bool first_time(OpenApi *o, StrView name)
{
    if (map_has(&o->seen, name))
        return false;
    if (!map_set(&o->seen, name, o, NULL))
        o->failed = true;
    return true;
}

static Value from_json(OpenApi *o, const char *text)
{
    Value v = value_null();

    if (json_decode(sv_cstr(text), o->arena, NULL, &v, NULL) < 0)
        o->failed = true;
    return v;
}

static Value known_ref(OpenApi *o, SchemaType type)
{
    const Known *k = &known[type];

    if (first_time(o, k->name)) {
        Value v = from_json(o, o->v3 && k->v3 ? k->v3 : k->v2);
        if (!value_set(o->arena, &o->schemas, k->name, v))
            o->failed = true;
    }
    return ref_to(o, k->name);
}

static Value plain_type(OpenApi *o, const char *type, const char *format)
{
    Value v = value_map();

    openapi_put_text(o, &v, "type", sv_cstr(type));
    if (format)
        openapi_put_text(o, &v, "format", sv_cstr(format));
    return v;
}

static Value object_schema(OpenApi *o, const SchemaObject *type);
static Value card_schema(OpenApi *o, const SchemaField *f);

/* The schema of one value of a field: of the field itself, of an item or of a map's value. */
static Value value_schema(OpenApi *o, const SchemaField *f)
{
    switch ((SchemaType)f->type) {
    case SCHEMA_BOOL:
        return plain_type(o, "boolean", NULL);
    case SCHEMA_INT32:
        return plain_type(o, "integer", "int32");
    case SCHEMA_INT64:
        return plain_type(o, "integer", "int64");
    case SCHEMA_DOUBLE:
        return plain_type(o, "number", "double");
    case SCHEMA_BYTES:
        return plain_type(o, "string", "byte");
    case SCHEMA_OBJECT:
        return f->object->name.len ? openapi_ref(o, f->object) : object_schema(o, f->object);
    case SCHEMA_ITEM:
        return card_schema(o, f->item);
    case SCHEMA_STRING:
        break;
    default:
        return known_ref(o, f->type);
    }
    Value v = plain_type(o, "string", NULL), enums = value_list();
    for (unsigned i = 0; i < f->n_enums; i++)
        openapi_push(o, &enums, value_sv(f->enums[i]));
    if (f->n_enums)
        openapi_put(o, &v, "enum", enums);
    return v;
}

/* In v3 nothing may stand beside a $ref, so it is wrapped where something must. */
static Value wrap_ref(OpenApi *o, Value v)
{
    Value wrapped = value_map(), all = value_list();

    if (!o->v3 || !value_get(&v, SV("$ref")))
        return v;
    openapi_push(o, &all, v);
    openapi_put(o, &wrapped, "allOf", all);
    return wrapped;
}

static Value list_of(OpenApi *o, Value items)
{
    Value v = plain_type(o, "array", NULL);

    openapi_put(o, &v, "items", items);
    return v;
}

static Value card_schema(OpenApi *o, const SchemaField *f)
{
    Value one = value_schema(o, f), v;

    if (f->card == SCHEMA_ONE)
        return wrap_ref(o, one);
    if (o->v3 && value_get(&one, SV("$ref")))
        one = wrap_ref(o, one);
    if (f->card == SCHEMA_LIST)
        return list_of(o, one);
    v = plain_type(o, "object", NULL);
    openapi_put(o, &v, "additionalProperties", one);
    return v;
}

static void put_extensions(OpenApi *o, const SchemaField *f, Value *v)
{
    static const char *const list_types[] = { "atomic", "set", "map" };
    bool merge = f->flags & SCHEMA_F_MERGE, retain = f->flags & SCHEMA_F_RETAIN_KEYS;
    Value keys = value_list();

    if (f->card == SCHEMA_LIST)
        openapi_put_text(o, v, "x-kubernetes-list-type", sv_cstr(list_types[f->list_type]));
    for (unsigned i = 0; i < f->n_list_keys; i++)
        openapi_push(o, &keys, value_sv(f->list_keys[i]));
    if (f->n_list_keys)
        openapi_put(o, v, "x-kubernetes-list-map-keys", keys);
    if (f->card != SCHEMA_LIST && f->flags & SCHEMA_F_ATOMIC)
        openapi_put_text(o, v, "x-kubernetes-map-type", SV("atomic"));
    if (merge || retain)
        openapi_put_text(o, v, "x-kubernetes-patch-strategy",
                         !retain ? SV("merge")
                         : merge ? SV("merge,retainKeys")
                                 : SV("retainKeys"));
    else if (f->flags & SCHEMA_F_REPLACE)
        openapi_put_text(o, v, "x-kubernetes-patch-strategy", SV("replace"));
    if (f->merge_key.len)
        openapi_put_text(o, v, "x-kubernetes-patch-merge-key", f->merge_key);
}

static Value field_schema(OpenApi *o, const SchemaField *f)
{
    Value v = card_schema(o, f), def;

    openapi_put_text(o, &v, "description", f->doc);
    if (f->def.len && json_decode(f->def, o->arena, NULL, &def, NULL) == 0)
        openapi_put(o, &v, "default", def);
    put_extensions(o, f, &v);
    return v;
}

static void put_fields(OpenApi *o, const SchemaObject *type, Value *properties, Value *required)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const SchemaField *f = &type->fields[i];
        if (f->flags & SCHEMA_F_INLINE) {
            put_fields(o, f->object, properties, required);
            continue;
        }
        if (!value_set(o->arena, properties, f->name, field_schema(o, f)))
            o->failed = true;
        if (f->flags & SCHEMA_F_REQUIRED)
            openapi_push(o, required, value_sv(f->name));
    }
}

static Value object_schema(OpenApi *o, const SchemaObject *type)
{
    Value v = plain_type(o, "object", NULL), properties = value_map(), required = value_list();

    openapi_put_text(o, &v, "description", type->doc);
    put_fields(o, type, &properties, &required);
    if (properties.len)
        openapi_put(o, &v, "properties", properties);
    if (required.len)
        openapi_put(o, &v, "required", required);
    return v;
}

Value openapi_ref(OpenApi *o, const SchemaObject *type)
{
    if (!type)
        return value_map();
    if (first_time(o, type->name)) {
        Value v = object_schema(o, type);
        if (!value_set(o->arena, &o->schemas, type->name, v))
            o->failed = true;
    }
    return ref_to(o, type->name);
}

void openapi_mark_kind(OpenApi *o, const SchemaObject *type, StrView group, StrView version,
                       StrView kind)
{
    Value *schema = type ? value_get(&o->schemas, type->name) : NULL, one = value_map();

    if (!schema)
        return;
    openapi_put_text(o, &one, "group", group);
    openapi_put_text(o, &one, "version", version);
    openapi_put_text(o, &one, "kind", kind);
    Value *list = value_get(schema, SV("x-kubernetes-group-version-kind"));
    if (!list) {
        openapi_put(o, schema, "x-kubernetes-group-version-kind", value_list());
        list = value_get(schema, SV("x-kubernetes-group-version-kind"));
    }
    value_list_foreach (it, list) {
        if (value_equal(it, &one))
            return;
    }
    if (list)
        openapi_push(o, list, one);
}
