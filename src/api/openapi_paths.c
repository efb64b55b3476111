/* openapi_paths.c - the paths of a kind with their operations.
 *
 * Clients look up two things here: which kind a path's operation acts on
 * (x-kubernetes-group-version- kind), and which query parameters it takes (kubectl asks for dryRun
 * and fieldValidation of patch). */
#include "api/openapi_internal.h"

#include <ctype.h>

typedef struct Operation {
    const char *method; /* "get" … */
    const char *action; /* x-kubernetes-action: "list" … */
    const char *verb;   /* start of the operation's id: "list" … */
    bool body, query_list, query_write;
} Operation;

typedef struct Subject {
    const ApiResource *row;
    const ApiSubresource *sub; /* NULL: the kind itself */
    const SchemaObject *type;  /* of the answer */
    StrView group, version, kind;
    bool all_namespaces;
} Subject;

static Value parameter(OpenApi *o, const char *name, const char *in, const char *type,
                       const char *description)
{
    Value p = value_map(), schema = value_map();

    openapi_put_text(o, &p, "name", sv_cstr(name));
    openapi_put_text(o, &p, "in", sv_cstr(in));
    openapi_put_text(o, &p, "description", sv_cstr(description));
    if (strcmp(in, "path") == 0)
        openapi_put(o, &p, "required", value_bool(true));
    openapi_put_text(o, &schema, "type", sv_cstr(type));
    openapi_put(o, &schema, "uniqueItems", value_bool(true));
    if (o->v3) {
        openapi_put(o, &p, "schema", schema);
    } else {
        openapi_put_text(o, &p, "type", sv_cstr(type));
        openapi_put(o, &p, "uniqueItems", value_bool(true));
    }
    return p;
}

static void list_parameters(OpenApi *o, Value *out)
{
    openapi_push(o, out, parameter(o, "labelSelector", "query", "string", "Condition on labels."));
    openapi_push(o, out, parameter(o, "fieldSelector", "query", "string", "Condition on fields."));
    openapi_push(o, out, parameter(o, "limit", "query", "integer", "Most items of one answer."));
    openapi_push(o, out,
                 parameter(o, "continue", "query", "string", "Where the last answer ended."));
    openapi_push(o, out,
                 parameter(o, "resourceVersion", "query", "string", "How new the answer must be."));
    openapi_push(o, out,
                 parameter(o, "resourceVersionMatch", "query", "string",
                           "How resourceVersion is meant."));
    openapi_push(o, out, parameter(o, "watch", "query", "boolean", "Report changes instead."));
    openapi_push(o, out,
                 parameter(o, "allowWatchBookmarks", "query", "boolean",
                           "Whether bookmarks may be sent."));
    openapi_push(o, out,
                 parameter(o, "sendInitialEvents", "query", "boolean",
                           "Begin a watch with what is there."));
    openapi_push(o, out,
                 parameter(o, "timeoutSeconds", "query", "integer", "How long a watch lasts."));
}

static void write_parameters(OpenApi *o, const Operation *op, Value *out)
{
    openapi_push(o, out, parameter(o, "dryRun", "query", "string", "All: change nothing."));
    if (strcmp(op->method, "delete") == 0) {
        openapi_push(o, out,
                     parameter(o, "gracePeriodSeconds", "query", "integer",
                               "Seconds to end in peace."));
        openapi_push(o, out,
                     parameter(o, "propagationPolicy", "query", "string",
                               "What happens to dependents."));
        return;
    }
    openapi_push(o, out, parameter(o, "fieldManager", "query", "string", "Who is writing."));
    openapi_push(o, out,
                 parameter(o, "fieldValidation", "query", "string",
                           "Ignore, Warn or Strict: what unknown fields do."));
    if (strcmp(op->method, "patch") == 0)
        openapi_push(o, out,
                     parameter(o, "force", "query", "boolean",
                               "Take over the fields of other managers."));
}

/* "coreV1": the group's first word and the version, as in Kubernetes' operation ids. */
static Value operation_id(OpenApi *o, const Subject *s, const Operation *op)
{
    StrView group = s->row->group.len ? s->row->group : SV("core"), word, rest;
    char sub[64] = "", first[64] = "", version[32] = "";

    sv_cut(group, '.', &word, &rest);
    sv_copy_cstr(word, first, sizeof first);
    sv_copy_cstr(s->row->version, version, sizeof version);
    if (s->sub)
        sv_copy_cstr(s->sub->name, sub, sizeof sub);
    first[0] = (char)toupper((unsigned char)first[0]);
    version[0] = (char)toupper((unsigned char)version[0]);
    sub[0] = (char)toupper((unsigned char)sub[0]);
    return openapi_text(o, "%s%s%s%s%.*s%s%s", op->verb, first, version,
                        s->row->namespaced && !s->all_namespaces ? "Namespaced" : "",
                        SV_FMT(s->row->kind), sub, s->all_namespaces ? "ForAllNamespaces" : "");
}

static Value media(OpenApi *o, Value schema)
{
    Value content = value_map(), entry = value_map();

    openapi_put(o, &entry, "schema", schema);
    openapi_put(o, &content, "application/json", entry);
    return content;
}

static Value responses(OpenApi *o, Value schema)
{
    Value all = value_map(), ok = value_map(), denied = value_map();

    openapi_put_text(o, &ok, "description", SV("OK"));
    if (o->v3)
        openapi_put(o, &ok, "content", media(o, schema));
    else
        openapi_put(o, &ok, "schema", schema);
    openapi_put_text(o, &denied, "description", SV("Unauthorized"));
    openapi_put(o, &all, "200", ok);
    openapi_put(o, &all, "401", denied);
    return all;
}

static void put_body(OpenApi *o, Value *op, Value *parameters, Value schema)
{
    Value body = value_map();

    if (o->v3) {
        openapi_put(o, &body, "content", media(o, schema));
        openapi_put(o, op, "requestBody", body);
        return;
    }
    openapi_put_text(o, &body, "name", SV("body"));
    openapi_put_text(o, &body, "in", SV("body"));
    openapi_put(o, &body, "required", value_bool(true));
    openapi_put(o, &body, "schema", schema);
    openapi_push(o, parameters, body);
}

static const char *const patch_types[] = {
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
};

static void put_media_types(OpenApi *o, const Operation *op, Value *v)
{
    Value consumes = value_list(), produces = value_list();
    bool patch = strcmp(op->method, "patch") == 0;

    for (size_t i = 0; patch && i < ARRAY_SIZE(patch_types); i++)
        openapi_push(o, &consumes, value_sv(sv_cstr(patch_types[i])));
    if (!patch)
        openapi_push(o, &consumes, value_sv(SV("*/*")));
    openapi_push(o, &produces, value_sv(SV("application/json")));
    openapi_push(o, &produces, value_sv(SV("application/yaml")));
    openapi_push(o, &produces, value_sv(SV("application/vnd.kubernetes.protobuf")));
    openapi_put(o, v, "consumes", consumes);
    openapi_put(o, v, "produces", produces);
}

static Value operation(OpenApi *o, const Subject *s, const Operation *op)
{
    const SchemaObject *options =
        api_schema_find(SV("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    Value v = value_map(), kind = value_map(), parameters = value_list(), tags = value_list();
    StrView group = s->row->group.len ? s->row->group : SV("core"), word, rest;
    bool delete = strcmp(op->method, "delete") == 0;
    Value schema = openapi_ref(o, s->type);

    sv_cut(group, '.', &word, &rest);
    openapi_push(o, &tags, openapi_text(o, "%.*s_%.*s", SV_FMT(word), SV_FMT(s->row->version)));
    openapi_put(o, &v, "tags", tags);
    openapi_put(o, &v, "description", openapi_text(o, "%s: %.*s", op->action, SV_FMT(s->kind)));
    openapi_put(o, &v, "operationId", operation_id(o, s, op));
    if (!o->v3)
        put_media_types(o, op, &v);
    if (op->body)
        put_body(o, &v, &parameters, delete ? openapi_ref(o, options) : schema);
    if (op->query_list)
        list_parameters(o, &parameters);
    if (op->query_write)
        write_parameters(o, op, &parameters);
    if (parameters.len)
        openapi_put(o, &v, "parameters", parameters);
    openapi_put(o, &v, "responses", responses(o, schema));
    openapi_put_text(o, &v, "x-kubernetes-action", sv_cstr(op->action));
    openapi_put_text(o, &kind, "group", s->group);
    openapi_put_text(o, &kind, "version", s->version);
    openapi_put_text(o, &kind, "kind", s->kind);
    openapi_put(o, &v, "x-kubernetes-group-version-kind", kind);
    return v;
}

static const Operation op_get = { "get", "get", "read", false, false, false };
static const Operation op_list = { "get", "list", "list", false, true, false };
static const Operation op_create = { "post", "post", "create", true, false, true };
static const Operation op_update = { "put", "put", "replace", true, false, true };
static const Operation op_patch = { "patch", "patch", "patch", true, false, true };
static const Operation op_delete = { "delete", "delete", "delete", true, false, true };
static const Operation op_clear = { "delete", "deletecollection", "deletecollection", true, true,
                                    true };

static void add_operation(OpenApi *o, Value *path, const Subject *s, uint32_t verbs, uint32_t verb,
                          const Operation *op)
{
    if (verbs & verb)
        openapi_put(o, path, op->method, operation(o, s, op));
}

/* Adds a path with the parameters that its text has. */
static void add_path(OpenApi *o, Value text, Value item)
{
    Value parameters = value_list();
    StrView path = value_str(&text);

    if (item.len == 0)
        return;
    if (sv_find(path, SV("{namespace}")) >= 0)
        openapi_push(o, &parameters, parameter(o, "namespace", "path", "string", "The namespace."));
    if (sv_find(path, SV("{name}")) >= 0)
        openapi_push(o, &parameters, parameter(o, "name", "path", "string", "Name of the object."));
    openapi_push(o, &parameters, parameter(o, "pretty", "query", "string", "Indent the answer."));
    openapi_put(o, &item, "parameters", parameters);
    if (!value_set(o->arena, &o->paths, path, item))
        o->failed = true;
}

const SchemaObject *openapi_list_type(const ApiResource *r)
{
    char name[256];
    StrView type = r->schema->name;

    if (type.len + 5 > sizeof name)
        return NULL;
    memcpy(name, type.ptr, type.len);
    memcpy(name + type.len, "List", 4);
    return api_schema_find(sv_n(name, type.len + 4));
}

const SchemaObject *openapi_body_type(const ApiSubresource *s)
{
    const ApiResource *r = api_kind_find(s->kind_group, s->kind_version, s->kind);

    if (r)
        return r->schema;
    for (size_t i = 0; i < api_group_versions_len; i++) {
        const ApiGroupVersion *gv = &api_group_versions[i];
        char name[256];
        if (!sv_eq(gv->group, s->kind_group) || !sv_eq(gv->version, s->kind_version) ||
            gv->package.len + s->kind.len + 1 > sizeof name)
            continue;
        memcpy(name, gv->package.ptr, gv->package.len);
        name[gv->package.len] = '.';
        memcpy(name + gv->package.len + 1, s->kind.ptr, s->kind.len);
        return api_schema_find(sv_n(name, gv->package.len + 1 + s->kind.len));
    }
    return NULL;
}

static void add_subresource(OpenApi *o, const ApiResource *r, const ApiSubresource *sub, Value base)
{
    Subject s = { .row = r,
                  .sub = sub,
                  .type = openapi_body_type(sub),
                  .group = sub->kind_group,
                  .version = sub->kind_version,
                  .kind = sub->kind };
    Value item = value_map();

    add_operation(o, &item, &s, sub->verbs, API_GET, &op_get);
    add_operation(o, &item, &s, sub->verbs, API_UPDATE, &op_update);
    add_operation(o, &item, &s, sub->verbs, API_CREATE, &op_create);
    add_operation(o, &item, &s, sub->verbs, API_PATCH, &op_patch);
    add_path(o, openapi_text(o, "%.*s/{name}/%.*s", SV_FMT(value_str(&base)), SV_FMT(sub->name)),
             item);
}

void openapi_add_paths(OpenApi *o, const ApiResource *r)
{
    const char *root = r->group.len ? "/apis" : "/api";
    Value base = openapi_text(o, "%s/%.*s%s/%.*s", root, SV_FMT(r->api_version),
                              r->namespaced ? "/namespaces/{namespace}" : "", SV_FMT(r->plural));
    Subject one = {
        .row = r, .type = r->schema, .group = r->group, .version = r->version, .kind = r->kind
    };
    Subject list = one;
    Value collection = value_map(), item = value_map(), everywhere = value_map();

    list.type = openapi_list_type(r);
    add_operation(o, &collection, &list, r->verbs, API_LIST, &op_list);
    add_operation(o, &collection, &one, r->verbs, API_CREATE, &op_create);
    add_operation(o, &collection, &one, r->verbs, API_DELETECOLLECTION, &op_clear);
    add_path(o, base, collection);
    add_operation(o, &item, &one, r->verbs, API_GET, &op_get);
    add_operation(o, &item, &one, r->verbs, API_UPDATE, &op_update);
    add_operation(o, &item, &one, r->verbs, API_DELETE, &op_delete);
    add_operation(o, &item, &one, r->verbs, API_PATCH, &op_patch);
    add_path(o, openapi_text(o, "%.*s/{name}", SV_FMT(value_str(&base))), item);
    if (r->namespaced) {
        list.all_namespaces = true;
        add_operation(o, &everywhere, &list, r->verbs, API_LIST, &op_list);
        add_path(o,
                 openapi_text(o, "%s/%.*s/%.*s", root, SV_FMT(r->api_version), SV_FMT(r->plural)),
                 everywhere);
    }
    for (unsigned i = 0; i < r->n_subs; i++)
        add_subresource(o, r, &r->subs[i], base);
}
