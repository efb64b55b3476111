/* kinds.c - finding rows in the tables that tools/apigen.py compiled. */
#include "api/kinds.h"

const ApiResource *api_resource_find(StrView group, StrView version, StrView plural)
{
    for (size_t i = 0; i < api_resources_len; i++) {
        const ApiResource *r = &api_resources[i];
        if (sv_eq(r->plural, plural) && sv_eq(r->group, group) && sv_eq(r->version, version))
            return r;
    }
    return NULL;
}

const ApiResource *api_kind_find(StrView group, StrView version, StrView kind)
{
    for (size_t i = 0; i < api_resources_len; i++) {
        const ApiResource *r = &api_resources[i];
        if (sv_eq(r->kind, kind) && sv_eq(r->group, group) && sv_eq(r->version, version))
            return r;
    }
    return NULL;
}

const ApiSubresource *api_sub_find(const ApiResource *r, StrView name)
{
    for (unsigned i = 0; i < r->n_subs; i++) {
        if (sv_eq(r->subs[i].name, name))
            return &r->subs[i];
    }
    return NULL;
}

const SchemaObject *api_schema_find(StrView openapi_name)
{
    size_t low = 0, high = api_schemas_len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = sv_cmp(openapi_name, api_schemas[middle]->name);
        if (order == 0)
            return api_schemas[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

StrView api_verb_name(uint32_t verb)
{
    static const StrView names[API_VERBS_MAX] = {
        SV_INIT("get"),    SV_INIT("list"),  SV_INIT("watch"),  SV_INIT("create"),
        SV_INIT("update"), SV_INIT("patch"), SV_INIT("delete"), SV_INIT("deletecollection"),
    };

    for (unsigned i = 0; i < API_VERBS_MAX; i++) {
        if (verb == 1u << i)
            return names[i];
    }
    return SV("");
}
