/* discovery.c - which kinds of objects the API server has. */
#include "controller/discovery.h"

static bool has_verb(const Value *resource, StrView verb)
{
    value_list_foreach (v, value_get(resource, SV("verbs"))) {
        if (sv_eq(value_str(v), verb))
            return true;
    }
    return false;
}

static void add(const Value *res, StrView group, StrView version, ServedKind *ret, size_t max,
                size_t *n)
{
    StrView plural = value_str(value_get(res, SV("resource"))),
            kind = value_path_str(res, "responseKind.kind");
    for (size_t i = 0; i < *n; i++)
        if (sv_eq(ret[i].group, group) && sv_eq(ret[i].plural, plural))
            return;
    if (*n >= max || !plural.len || !kind.len)
        return;
    bool list = has_verb(res, SV("list"));
    ret[(*n)++] =
        (ServedKind){ .group = group,
                      .version = version,
                      .plural = plural,
                      .kind = kind,
                      .namespaced = sv_eq(value_str(value_get(res, SV("scope"))), SV("Namespaced")),
                      .watched = list && has_verb(res, SV("watch")),
                      .deleted = has_verb(res, SV("delete")),
                      .swept = list && has_verb(res, SV("deletecollection")) };
}

void discovery_kinds(const Value *doc, ServedKind *ret, size_t max, size_t *n)
{
    value_list_foreach (group, value_get(doc, SV("items"))) {
        StrView name = value_path_str(group, "metadata.name");
        value_list_foreach (version, value_get(group, SV("versions"))) {
            value_list_foreach (res, value_get(version, SV("resources")))
                add(res, name.ptr ? name : SV(""), value_str(value_get(version, SV("version"))),
                    ret, max, n);
        }
    }
}
