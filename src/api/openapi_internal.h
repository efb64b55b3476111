/* openapi_internal.h - the parts of an OpenAPI document under construction. */
#pragma once

#include "api/openapi.h"
#include "base/map.h"

typedef struct OpenApi {
    Arena *arena;
    bool v3;
    bool failed;   /* the arena is exhausted */
    Value schemas; /* definitions, or components.schemas */
    Value paths;
    Map seen; /* names of types that are in schemas or under way */
} OpenApi;

/* Sets a member; remembers failure. */
void openapi_put(OpenApi *o, Value *map, const char *key, Value v);
void openapi_put_text(OpenApi *o, Value *map, const char *key, StrView text);
void openapi_push(OpenApi *o, Value *list, Value v);
/* A formatted text in the arena, as a value. */
Value openapi_text(OpenApi *o, const char *fmt, ...) PRINTF(2, 3);

/* {"$ref": …} to a type; adds the type and all that it refers to. NULL gives an empty schema. */
Value openapi_ref(OpenApi *o, const SchemaObject *type);
/* Marks the schema of a type as the one of a kind. */
void openapi_mark_kind(OpenApi *o, const SchemaObject *type, StrView group, StrView version,
                       StrView kind);

/* Adds all paths of one kind. */
void openapi_add_paths(OpenApi *o, const ApiResource *r);

/* The list type of a kind's type ("…v1.PodList"), or NULL. */
const SchemaObject *openapi_list_type(const ApiResource *r);
/* The type of a subresource's body, or NULL when it is not an object of the API. */
const SchemaObject *openapi_body_type(const ApiSubresource *s);
