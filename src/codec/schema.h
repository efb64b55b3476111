/* schema.h - descriptions of object types as constant tables.
 *
 * One table serves everything generic: protobuf, unknown-field handling, defaults, structural
 * validation, strategic merge, OpenAPI, explain. The built-in tables are compiled from
 * src/api/schema/ *.kapi by tools/apigen; custom resources build the same structures at run time.
 */
#pragma once

#include "codec/value.h"

typedef enum SchemaType {
    SCHEMA_BOOL,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_DOUBLE,
    SCHEMA_STRING,
    SCHEMA_BYTES,         /* base64 in JSON */
    SCHEMA_OBJECT,        /* `object` says which */
    SCHEMA_QUANTITY,      /* resource.Quantity: string (or number) in JSON */
    SCHEMA_INT_OR_STRING, /* intstr.IntOrString */
    SCHEMA_TIME,          /* metav1.Time: RFC 3339, seconds; null when zero */
    SCHEMA_MICRO_TIME,    /* metav1.MicroTime: six digits */
    SCHEMA_DURATION,      /* metav1.Duration: Go's text form */
    SCHEMA_FIELDS_V1,     /* metav1.FieldsV1: any JSON object; bytes in protobuf */
    SCHEMA_RAW,           /* runtime.RawExtension: any JSON object */
    SCHEMA_JSON,          /* apiextensions JSON: any JSON value */
    SCHEMA_ITEM,          /* of a LIST or MAP: `item` says what each item or value is, which may be
                           * a list or map itself */
} SchemaType;

typedef enum SchemaCard { SCHEMA_ONE, SCHEMA_LIST, SCHEMA_MAP } SchemaCard; /* MAP: string keys */

typedef enum SchemaListType { SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP } SchemaListType;

enum {
    SCHEMA_F_REQUIRED = 1u << 0,    /* listed as required in OpenAPI; zero values may be legal */
    SCHEMA_F_INLINE = 1u << 1,      /* Go's embedded struct: members stand in the parent's JSON */
    SCHEMA_F_POINTER = 1u << 2,     /* absent and zero differ */
    SCHEMA_F_IMMUTABLE = 1u << 3,   /* may not change on update */
    SCHEMA_F_OMIT_ALWAYS = 1u << 4, /* Go writes it even when empty: no omitempty, or a struct */
    SCHEMA_F_MERGE = 1u << 5,       /* strategic merge patch: merge by key instead of replace */
    SCHEMA_F_RETAIN_KEYS = 1u << 6, /* strategic merge patch: retainKeys */
    SCHEMA_F_REPLACE = 1u << 7,     /* strategic merge patch: replace a map as a whole */
    SCHEMA_F_UNION_LIST = 1u << 8,  /* protobuf: a named list type, wrapped in a message of its own
                                     * (always so for a list that is an item) */
    SCHEMA_F_ATOMIC = 1u << 9,      /* server-side apply: an object or map owned as a whole */
};

typedef struct SchemaObject SchemaObject;

typedef struct SchemaField {
    StrView name;      /* JSON name; empty for INLINE */
    uint16_t pb;       /* protobuf number; 0: not in protobuf */
    uint8_t type;      /* SchemaType of the value, or of each item or map value */
    uint8_t card;      /* SchemaCard */
    uint8_t list_type; /* SchemaListType */
    uint8_t n_list_keys;
    uint16_t n_enums;
    uint32_t flags;
    const SchemaObject *object;     /* for SCHEMA_OBJECT */
    const struct SchemaField *item; /* for SCHEMA_ITEM; without a name or number of its own */
    const StrView *list_keys;       /* for SCHEMA_LIST_MAP */
    StrView merge_key;              /* strategic merge patch; empty: none */
    const StrView *enums;           /* allowed strings; order of Kubernetes' messages (sorted) */
    StrView def;                    /* default as JSON text; empty: none */
    int64_t min, max;               /* numeric range when min <= max and not both zero */
    StrView doc;                    /* one line of our own for explain; may be empty */
} SchemaField;

struct SchemaObject {
    StrView name; /* OpenAPI name: "io.k8s.api.core.v1.PodSpec" */
    const SchemaField *fields;
    uint16_t n_fields;
    StrView doc;
};

/* Calls fn for each object that a field's value has: itself, its items, or their items; what is of
 * another kind than the table says is passed over. False as soon as fn returns it. */
typedef bool SchemaObjectFn(void *ctx, const SchemaObject *type, Value *obj);
bool schema_each_object(const SchemaField *f, Value *v, SchemaObjectFn *fn, void *ctx) NODISCARD;

/* The field of an object by JSON name, looking into INLINE ones; NULL when there is none. */
const SchemaField *schema_field(const SchemaObject *o, StrView name);
