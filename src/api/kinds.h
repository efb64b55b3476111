/* kinds.h - every built-in kind of the API as one constant table, compiled from schema/ *.kapi.
 *
 * A row says all that is generic about a kind: names, scope, verbs, subresources, printer columns,
 * selectable fields, and the description of its type. Routing, discovery, OpenAPI, RBAC names and
 * printing read it. To add a kind, add it to the .kapi file of its group; no C is needed. */
#pragma once

#include "codec/schema.h"

enum {
    API_GET = 1u << 0,
    API_LIST = 1u << 1,
    API_WATCH = 1u << 2,
    API_CREATE = 1u << 3,
    API_UPDATE = 1u << 4,
    API_PATCH = 1u << 5,
    API_DELETE = 1u << 6,
    API_DELETECOLLECTION = 1u << 7,
    API_VERBS_MAX = 8,
};

typedef struct ApiSubresource {
    StrView name; /* "status" */
    StrView kind_group, kind_version,
        kind; /* of its body: the parent's own, or "Scale", "Eviction" … */
    uint32_t verbs;
} ApiSubresource;

/* A column of `kubectl get`, as in Kubernetes' tables; priority 1 is for wide output only. */
typedef struct ApiColumn {
    StrView name, type, format, doc;
    int priority;
} ApiColumn;

typedef struct ApiResource {
    StrView group; /* empty for the core group */
    StrView version, kind, plural, singular;
    const StrView *short_names;
    unsigned n_short_names;
    const StrView *categories;
    unsigned n_categories;
    bool namespaced;
    bool stored;    /* false for reviews and bindings: create only, nothing is kept */
    uint32_t verbs; /* API_GET … */
    const ApiSubresource *subs;
    unsigned n_subs;
    const ApiColumn *columns;
    unsigned n_columns;
    const StrView *field_labels; /* selectable fields beyond metadata.name and metadata.namespace */
    unsigned n_field_labels;
    bool served;
    const SchemaObject *schema;
    StrView api_version; /* "v1", "apps/v1" */
    StrView place;       /* of its objects below /registry/ in the store: "pods", "minions" */
    struct ApiKindOwner *owner; /* of a row that came at run time (kind_set.h); NULL: built in */
} ApiResource;

extern const ApiResource api_resources[]; /* by group in order of preference, then by plural */
extern const size_t api_resources_len;

/* Of the built-in rows: NULL when there is no such kind. Rows that are not served are found too.
 * What a client names is looked up in the set of kinds that are served (kind_set.h). */
const ApiResource *api_resource_find(StrView group, StrView version, StrView plural);
const ApiResource *api_kind_find(StrView group, StrView version, StrView kind);
const ApiSubresource *api_sub_find(const ApiResource *r, StrView name);

/* The type with this OpenAPI name ("io.k8s.api.core.v1.PodSpec"), or NULL. */
const SchemaObject *api_schema_find(StrView openapi_name);

/* All types, sorted by OpenAPI name. */
extern const SchemaObject *const api_schemas[];
extern const size_t api_schemas_len;

/* A group version, with the package that its types have in OpenAPI ("io.k8s.api.core.v1"). */
typedef struct ApiGroupVersion {
    StrView group, version, package;
} ApiGroupVersion;

extern const ApiGroupVersion api_group_versions[];
extern const size_t api_group_versions_len;

/* "get", "list" … of one API_ bit; empty for anything else. */
StrView api_verb_name(uint32_t verb);
