/* discovery.c - which kinds of objects an API server has. */
#include "api/discovery.h"

static bool has_verb(const Value *resource, StrView verb)
{
    value_list_foreach (v, value_get(resource, SV("verbs"))) {
        if (sv_eq(value_str(v), verb))
            return true;
    }
    return false;
}

/* The kinds from `first` on are those of the same group. */
static bool add(ServedKinds *s, const Value *res, const GroupVersion *gv, size_t first, Arena *a)
{
    StrView plural = value_str(value_get(res, SV("resource"))),
            kind = value_path_str(res, "responseKind.kind");
    for (size_t i = first; i < s->kinds.len; i++)
        if (sv_eq(s->kinds.items[i].plural, plural))
            return true;
    if (!plural.len || !kind.len)
        return true;
    bool list = has_verb(res, SV("list"));
    ServedKind k = { .group = gv->group,
                     .version = gv->version,
                     .plural = arena_sv(a, plural),
                     .kind = arena_sv(a, kind),
                     .namespaced = sv_eq(value_str(value_get(res, SV("scope"))), SV("Namespaced")),
                     .listed = list,
                     .watched = list && has_verb(res, SV("watch")),
                     .deleted = has_verb(res, SV("delete")),
                     .swept = has_verb(res, SV("deletecollection")) };
    return s->kinds.len < DISCOVERY_KINDS_MAX && k.plural.ptr && k.kind.ptr &&
           vec_push(&s->kinds, k);
}

static bool add_version(ServedKinds *s, StrView group, const Value *version, size_t first, Arena *a)
{
    GroupVersion gv = { group, arena_sv(a, value_str(value_get(version, SV("version")))) };
    if (!gv.version.ptr)
        return false;
    if (!gv.version.len || sv_find_char(gv.version, '/') >= 0 || sv_find_char(group, '/') >= 0)
        return vec_push(&s->wrong, gv);
    if (sv_eq(value_str(value_get(version, SV("freshness"))), SV("Stale")) &&
        !vec_push(&s->stale, gv))
        return false;
    value_list_foreach (res, value_get(version, SV("resources"))) {
        if (!add(s, res, &gv, first, a))
            return false;
    }
    return true;
}

bool served_kinds_add(ServedKinds *s, const Value *doc, Arena *a)
{
    value_list_foreach (group, value_get(doc, SV("items"))) {
        StrView name = arena_sv(a, value_path_str(group, "metadata.name"));
        size_t first = s->kinds.len;
        if (!name.ptr)
            return false;
        value_list_foreach (version, value_get(group, SV("versions"))) {
            if (!add_version(s, name, version, first, a))
                return false;
        }
    }
    return true;
}

void served_kinds_free(ServedKinds *s)
{
    vec_free(&s->kinds);
    vec_free(&s->stale);
    vec_free(&s->wrong);
}

bool served_kinds_stale(const ServedKinds *s, StrView group)
{
    vec_foreach (gv, &s->stale) {
        if (sv_eq(gv->group, group))
            return true;
    }
    return false;
}
