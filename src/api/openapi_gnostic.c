/* openapi_gnostic.c - the v2 document as gnostic's openapi.v2.Document message.
 * Field numbers: OpenAPIv2.proto of google/gnostic. What a message has no field for is left out;
 * members that begin with "x-" go into its list of extensions as text. */
#include "api/openapi.h"

#include "codec/json.h"
#include "codec/protobuf.h"

/* A member of a JSON object and the field that it becomes. */
typedef void PutFn(Buf *out, unsigned number, const Value *v);

typedef struct Slot {
    const char *member;
    unsigned number;
    PutFn *put;
} Slot;

static void put_text(Buf *out, unsigned number, const Value *v)
{
    protobuf_put_bytes(out, number, value_str(v));
}

static void put_bool(Buf *out, unsigned number, const Value *v)
{
    protobuf_put_int(out, number, value_bool_or(v, false));
}

static void put_texts(Buf *out, unsigned number, const Value *v)
{
    value_list_foreach (it, v)
        protobuf_put_bytes(out, number, value_str(it));
}

/* Any: { yaml = 2 }; JSON is YAML. */
static void put_any(Buf *out, unsigned number, const Value *v)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    size_t start = out->len;

    json_encode(v, &text);
    out->failed = out->failed || text.failed;
    protobuf_put_bytes(out, 2, buf_view(&text));
    protobuf_close(out, number, start);
}

static void put_anys(Buf *out, unsigned number, const Value *v)
{
    value_list_foreach (it, v)
        put_any(out, number, it);
}

static void put_slots(Buf *out, const Value *v, const Slot *slots, size_t n, unsigned extension)
{
    for (size_t i = 0; i < n; i++) {
        const Value *m = value_get(v, sv_cstr(slots[i].member));
        if (m)
            slots[i].put(out, slots[i].number, m);
    }
    value_map_foreach (m, v) {
        if (!sv_starts(m->key, SV("x-")))
            continue;
        size_t start = out->len;
        protobuf_put_bytes(out, 1, m->key);
        put_any(out, 2, &m->val);
        protobuf_close(out, extension, start);
    }
}

/* A map as a list of { name = 1, value = 2 } in the fields `number`. */
static void put_named(Buf *out, unsigned number, const Value *map, PutFn *put)
{
    value_map_foreach (m, map) {
        size_t start = out->len;
        protobuf_put_bytes(out, 1, m->key);
        put(out, 2, &m->val);
        protobuf_close(out, number, start);
    }
}

static void put_schema(Buf *out, unsigned number, const Value *v);

static void put_type(Buf *out, unsigned number, const Value *v)
{
    size_t start = out->len;

    protobuf_put_bytes(out, 1, value_str(v));
    protobuf_close(out, number, start);
}

/* ItemsItem and AdditionalPropertiesItem: { schema = 1 }. */
static void put_schema_item(Buf *out, unsigned number, const Value *v)
{
    size_t start = out->len;

    put_schema(out, 1, v);
    protobuf_close(out, number, start);
}

static void put_schemas(Buf *out, unsigned number, const Value *v)
{
    size_t start = out->len;

    put_named(out, 1, v, put_schema);
    protobuf_close(out, number, start);
}

static void put_schema(Buf *out, unsigned number, const Value *v)
{
    static const Slot slots[] = {
        { "$ref", 1, put_text },
        { "format", 2, put_text },
        { "description", 4, put_text },
        { "default", 5, put_any },
        { "required", 19, put_texts },
        { "enum", 20, put_anys },
        { "additionalProperties", 21, put_schema_item },
        { "type", 22, put_type },
        { "items", 23, put_schema_item },
        { "properties", 25, put_schemas },
    };
    size_t start = out->len;

    put_slots(out, v, slots, ARRAY_SIZE(slots), 31);
    protobuf_close(out, number, start);
}

/* ParametersItem { parameter = 1 { body = 1 | non-body = 2 { query = 3 | path = 4 } } } */
static void put_parameter(Buf *out, unsigned number, const Value *v)
{
    static const Slot body[] = {
        { "description", 1, put_text }, { "name", 2, put_text },     { "in", 3, put_text },
        { "required", 4, put_bool },    { "schema", 5, put_schema },
    };
    static const Slot query[] = {
        { "required", 1, put_bool }, { "in", 2, put_text },   { "description", 3, put_text },
        { "name", 4, put_text },     { "type", 6, put_text }, { "uniqueItems", 20, put_bool },
    };
    static const Slot path[] = {
        { "required", 1, put_bool }, { "in", 2, put_text },   { "description", 3, put_text },
        { "name", 4, put_text },     { "type", 5, put_text }, { "uniqueItems", 19, put_bool },
    };
    StrView in = value_str(value_get(v, SV("in")));
    size_t start = out->len;

    if (sv_eq(in, SV("body"))) {
        put_slots(out, v, body, ARRAY_SIZE(body), 6);
        protobuf_close(out, 1, start);
    } else {
        bool is_path = sv_eq(in, SV("path"));
        put_slots(out, v, is_path ? path : query, is_path ? ARRAY_SIZE(path) : ARRAY_SIZE(query),
                  is_path ? 22 : 23);
        protobuf_close(out, is_path ? 4 : 3, start);
        protobuf_close(out, 2, start);
    }
    protobuf_close(out, 1, start);
    protobuf_close(out, number, start);
}

static void put_parameters(Buf *out, unsigned number, const Value *v)
{
    value_list_foreach (it, v)
        put_parameter(out, number, it);
}

/* ResponseValue { response = 1 { description = 1, schema = 2 { schema = 1 } } } */
static void put_response(Buf *out, unsigned number, const Value *v)
{
    static const Slot slots[] = { { "description", 1, put_text },
                                  { "schema", 2, put_schema_item } };
    size_t start = out->len;

    put_slots(out, v, slots, ARRAY_SIZE(slots), 5);
    protobuf_close(out, 1, start);
    protobuf_close(out, number, start);
}

static void put_responses(Buf *out, unsigned number, const Value *v)
{
    size_t start = out->len;

    put_named(out, 1, v, put_response);
    protobuf_close(out, number, start);
}

static void put_operation(Buf *out, unsigned number, const Value *v)
{
    static const Slot slots[] = {
        { "tags", 1, put_texts },          { "description", 3, put_text },
        { "operationId", 5, put_text },    { "produces", 6, put_texts },
        { "consumes", 7, put_texts },      { "parameters", 8, put_parameters },
        { "responses", 9, put_responses },
    };
    size_t start = out->len;

    put_slots(out, v, slots, ARRAY_SIZE(slots), 13);
    protobuf_close(out, number, start);
}

static void put_path(Buf *out, unsigned number, const Value *v)
{
    static const Slot slots[] = {
        { "get", 2, put_operation },   { "put", 3, put_operation },
        { "post", 4, put_operation },  { "delete", 5, put_operation },
        { "patch", 8, put_operation }, { "parameters", 9, put_parameters },
    };
    size_t start = out->len;

    put_slots(out, v, slots, ARRAY_SIZE(slots), 10);
    protobuf_close(out, number, start);
}

static void put_paths(Buf *out, unsigned number, const Value *v)
{
    size_t start = out->len;

    put_named(out, 2, v, put_path);
    protobuf_close(out, number, start);
}

static void put_info(Buf *out, unsigned number, const Value *v)
{
    static const Slot slots[] = { { "title", 1, put_text }, { "version", 2, put_text } };
    size_t start = out->len;

    put_slots(out, v, slots, ARRAY_SIZE(slots), 7);
    protobuf_close(out, number, start);
}

void openapi_v2_protobuf(const Value *document, Buf *out)
{
    static const Slot slots[] = {
        { "swagger", 1, put_text },
        { "info", 2, put_info },
        { "paths", 8, put_paths },
        { "definitions", 9, put_schemas },
    };

    put_slots(out, document, slots, ARRAY_SIZE(slots), 16);
}
