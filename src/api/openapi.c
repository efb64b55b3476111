/* openapi.c - whole documents: what goes around the schemas and paths. */
#include "api/openapi.h"

#include <stdio.h>

#include "api/openapi_internal.h"

#define META_PACKAGE "io.k8s.apimachinery.pkg.apis.meta.v1."

int openapi_rows(const ApiKinds *k, StrView group, StrView version, Arena *a,
                 const ApiResource *const **ret_rows, size_t *ret_n, Err *err)
{
    size_t n = 0, at = 0;
    while (api_kinds_next(k, &at))
        n++;
    const ApiResource **rows = arena_array(a, const ApiResource *, n);

    if (!rows)
        return err_nomem(err);
    n = at = 0;
    for (const ApiResource *r; (r = api_kinds_next(k, &at));)
        if (version.len == 0 || (sv_eq(r->group, group) && sv_eq(r->version, version)))
            rows[n++] = r;
    *ret_rows = rows;
    *ret_n = n;
    return 0;
}

/* Types that every client may meet besides those of kinds. */
static void add_common(OpenApi *o, const ApiResource *const *rows, size_t n)
{
    const SchemaObject *status = api_schema_find(SV(META_PACKAGE "Status"));
    const SchemaObject *event = api_schema_find(SV(META_PACKAGE "WatchEvent"));
    const SchemaObject *options = api_schema_find(SV(META_PACKAGE "DeleteOptions"));

    (void)openapi_ref(o, status);
    (void)openapi_ref(o, event);
    (void)openapi_ref(o, options);
    openapi_mark_kind(o, status, SV(""), SV("v1"), SV("Status"));
    openapi_mark_kind(o, options, SV(""), SV("v1"), SV("DeleteOptions"));
    openapi_mark_kind(o, event, SV(""), SV("v1"), SV("WatchEvent"));
    for (size_t i = 0; i < n; i++) {
        openapi_mark_kind(o, options, rows[i]->group, rows[i]->version, SV("DeleteOptions"));
        openapi_mark_kind(o, event, rows[i]->group, rows[i]->version, SV("WatchEvent"));
    }
}

static void add_row(OpenApi *o, const ApiResource *r)
{
    const SchemaObject *list = openapi_list_type(r);
    Value list_kind = openapi_text(o, "%.*sList", SV_FMT(r->kind));

    (void)openapi_ref(o, r->schema);
    openapi_add_paths(o, r);
    openapi_mark_kind(o, r->schema, r->group, r->version, r->kind);
    openapi_mark_kind(o, list, r->group, r->version, value_str(&list_kind));
    for (unsigned i = 0; i < r->n_subs; i++) {
        const ApiSubresource *s = &r->subs[i];
        openapi_mark_kind(o, openapi_body_type(s), s->kind_group, s->kind_version, s->kind);
    }
}

static Value info(OpenApi *o)
{
    Value v = value_map();

    openapi_put_text(o, &v, "title", SV("Kubernetes"));
    openapi_put_text(o, &v, "version", SV("v1.35.0"));
    return v;
}

static int build(OpenApi *o, const ApiResource *const *rows, size_t n, Value *ret, Err *err)
{
    Value doc = value_map(), components = value_map();

    for (size_t i = 0; i < n; i++)
        add_row(o, rows[i]);
    add_common(o, rows, n);
    map_free(&o->seen);
    openapi_put_text(o, &doc, o->v3 ? "openapi" : "swagger", o->v3 ? SV("3.0.0") : SV("2.0"));
    openapi_put(o, &doc, "info", info(o));
    openapi_put(o, &doc, "paths", o->paths);
    if (o->v3) {
        openapi_put(o, &components, "schemas", o->schemas);
        openapi_put(o, &doc, "components", components);
    } else {
        openapi_put(o, &doc, "definitions", o->schemas);
    }
    if (o->failed)
        return err_nomem(err);
    *ret = doc;
    return 0;
}

int openapi_v2(const ApiResource *const *rows, size_t n, Arena *a, Value *ret, Err *err)
{
    OpenApi o = { .arena = a, .schemas = value_map(), .paths = value_map() };

    return build(&o, rows, n, ret, err);
}

int openapi_v3(const ApiResource *const *rows, size_t n, Arena *a, Value *ret, Err *err)
{
    OpenApi o = { .arena = a, .v3 = true, .schemas = value_map(), .paths = value_map() };

    return build(&o, rows, n, ret, err);
}

void openapi_hash(StrView bytes, char buf[static OPENAPI_HASH_SIZE])
{
    /* Two halves of the bytes hashed apart: 128 bits tell versions of one document apart. */
    uint64_t high = sv_hash_stable(sv_head(bytes, bytes.len / 2)), low = sv_hash_stable(bytes);

    snprintf(buf, OPENAPI_HASH_SIZE, "%016llX%016llX", (unsigned long long)high,
             (unsigned long long)low);
}

bool openapi_index_add(Value *index, StrView group, StrView version, const char *hash, Arena *a)
{
    StrView path = group.len ? arena_printf(a, "apis/%.*s/%.*s", SV_FMT(group), SV_FMT(version))
                             : arena_printf(a, "api/%.*s", SV_FMT(version));
    StrView url = arena_printf(a, "/openapi/v3/%.*s?hash=%s", SV_FMT(path), hash);
    Value entry = value_map();

    if (!path.ptr || !url.ptr || !value_set(a, &entry, SV("serverRelativeURL"), value_sv(url)))
        return false;
    Value *paths = value_get(index, SV("paths"));
    if (!paths)
        paths = value_set(a, index, SV("paths"), value_map());
    return paths && value_set(a, paths, path, entry);
}
