/* kind_set.c - see kind_set.h. Rows stand in order of preference; beside them lie three indexes,
 * sorted for looking up. */
#include "api/kind_set.h"

#include <stdlib.h>

struct ApiKinds {
    atomic_uint refs;
    size_t n, n_versions, n_places;
    const ApiResource **rows, **by_plural, **by_kind, **by_place;
    ApiGroupVersion *versions;
    const ApiResource *at[]; /* all four tables */
};

static int by_version(const ApiResource *a, const ApiResource *b)
{
    int c = sv_cmp(a->group, b->group);
    return c ? c : sv_cmp(a->version, b->version);
}

static int compare_plural(const void *a, const void *b)
{
    const ApiResource *x = *(const ApiResource *const *)a, *y = *(const ApiResource *const *)b;
    int c = by_version(x, y);
    return c ? c : sv_cmp(x->plural, y->plural);
}

static int compare_kind(const void *a, const void *b)
{
    const ApiResource *x = *(const ApiResource *const *)a, *y = *(const ApiResource *const *)b;
    int c = by_version(x, y);
    return c ? c : sv_cmp(x->kind, y->kind);
}

static int compare_place(const void *a, const void *b)
{
    const ApiResource *x = *(const ApiResource *const *)a, *y = *(const ApiResource *const *)b;
    return sv_cmp(x->place, y->place);
}

static size_t count_served(void)
{
    size_t n = 0;
    for (size_t i = 0; i < api_resources_len; i++)
        n += api_resources[i].served;
    return n;
}

/* The objects of a place are those of its first row. */
static void index_places(ApiKinds *k)
{
    for (size_t i = 0; i < k->n; i++) {
        bool known = !k->rows[i]->stored;
        for (size_t j = 0; j < k->n_places && !known; j++)
            known = sv_eq(k->by_place[j]->place, k->rows[i]->place);
        if (!known)
            k->by_place[k->n_places++] = k->rows[i];
    }
    qsort(k->by_place, k->n_places, sizeof *k->by_place, compare_place);
}

static void index_versions(ApiKinds *k)
{
    for (size_t i = 0; i < k->n; i++) {
        const ApiResource *r = k->rows[i];
        ApiGroupVersion gv = { r->group, r->version, SV("") };
        if (i && by_version(k->rows[i - 1], r) == 0)
            continue;
        for (size_t j = 0; j < api_group_versions_len; j++)
            if (sv_eq(api_group_versions[j].group, r->group) &&
                sv_eq(api_group_versions[j].version, r->version))
                gv.package = api_group_versions[j].package;
        k->versions[k->n_versions++] = gv;
    }
}

static int check_distinct(const ApiKinds *k, Err *err)
{
    for (size_t i = 1; i < k->n; i++) {
        const ApiResource *plural = k->by_plural[i], *kind = k->by_kind[i];
        if (compare_plural(&k->by_plural[i - 1], &k->by_plural[i]) == 0)
            return err_set(err, ERR_EXISTS, 0, "there are two kinds '%.*s' in '%.*s'",
                           SV_FMT(plural->plural), SV_FMT(plural->api_version));
        if (compare_kind(&k->by_kind[i - 1], &k->by_kind[i]) == 0)
            return err_set(err, ERR_EXISTS, 0, "there are two kinds '%.*s' in '%.*s'",
                           SV_FMT(kind->kind), SV_FMT(kind->api_version));
    }
    return 0;
}

int api_kinds_new(const ApiResource *const *rows, size_t n, ApiKinds **ret, Err *err)
{
    size_t all = count_served() + n, at = 0;
    ApiKinds *k = calloc(1, sizeof *k + 4 * all * sizeof *k->at);
    if (!k || !(k->versions = calloc(all, sizeof *k->versions))) {
        free(k);
        return err_nomem(err);
    }
    atomic_init(&k->refs, 1);
    k->rows = k->at;
    k->by_plural = k->rows + all;
    k->by_kind = k->by_plural + all;
    k->by_place = k->by_kind + all;
    for (size_t i = 0; i < api_resources_len; i++)
        if (api_resources[i].served)
            k->rows[at++] = &api_resources[i];
    for (size_t i = 0; i < n; i++) {
        k->rows[at++] = rows[i];
        atomic_fetch_add(&rows[i]->owner->refs, 1);
    }
    k->n = all;
    memcpy(k->by_plural, k->rows, all * sizeof *k->rows);
    memcpy(k->by_kind, k->rows, all * sizeof *k->rows);
    qsort(k->by_plural, all, sizeof *k->by_plural, compare_plural);
    qsort(k->by_kind, all, sizeof *k->by_kind, compare_kind);
    index_places(k);
    index_versions(k);
    int r = check_distinct(k, err);
    if (r < 0) {
        api_kinds_unref(k);
        return r;
    }
    *ret = k;
    return 0;
}

ApiKinds *api_kinds_ref(ApiKinds *k)
{
    atomic_fetch_add(&k->refs, 1);
    return k;
}

ApiKinds *api_kinds_unref(ApiKinds *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) > 1)
        return NULL;
    for (size_t i = 0; i < k->n; i++) {
        ApiKindOwner *o = k->rows[i]->owner;
        if (o && atomic_fetch_sub(&o->refs, 1) == 1)
            o->free(o);
    }
    free(k->versions);
    free(k);
    return NULL;
}

static const ApiResource *look_up(const ApiResource *const *index, size_t n,
                                  const ApiResource *what,
                                  int (*compare)(const void *a, const void *b))
{
    const ApiResource *const *at = bsearch(&what, index, n, sizeof(const ApiResource *), compare);
    return at ? *at : NULL;
}

const ApiResource *api_kinds_find(const ApiKinds *k, StrView group, StrView version, StrView plural)
{
    const ApiResource what = { .group = group, .version = version, .plural = plural };
    return look_up(k->by_plural, k->n, &what, compare_plural);
}

const ApiResource *api_kinds_find_kind(const ApiKinds *k, StrView group, StrView version,
                                       StrView kind)
{
    const ApiResource what = { .group = group, .version = version, .kind = kind };
    return look_up(k->by_kind, k->n, &what, compare_kind);
}

const ApiResource *api_kinds_next(const ApiKinds *k, size_t *pos)
{
    return *pos < k->n ? k->rows[(*pos)++] : NULL;
}

const ApiGroupVersion *api_kinds_next_version(const ApiKinds *k, size_t *pos)
{
    return *pos < k->n_versions ? &k->versions[(*pos)++] : NULL;
}

/* Places have one part or two ("pods", "services/specs", "example.com/widgets"); none with one is
 * the beginning of another. */
const ApiResource *api_kinds_of_key(const ApiKinds *k, StrView key, StrView *ret_ns,
                                    StrView *ret_name)
{
    StrView prefix = SV("/registry/");
    if (!sv_starts(key, prefix))
        return NULL;
    key = sv_skip(key, prefix.len);
    ssize_t end = sv_find_char(key, '/');
    const ApiResource *res = NULL;
    for (int parts = 0; parts < 2 && end > 0 && !res; parts++) {
        const ApiResource what = { .place = sv_head(key, (size_t)end) };
        res = look_up(k->by_place, k->n_places, &what, compare_place);
        if (res)
            key = sv_skip(key, (size_t)end + 1);
        else {
            ssize_t more = sv_find_char(sv_skip(key, (size_t)end + 1), '/');
            end = more < 0 ? -1 : end + 1 + more;
        }
    }
    *ret_ns = SV_NULL;
    if (!res || (res->namespaced && !sv_cut(key, '/', ret_ns, &key)) || !key.len ||
        sv_find_char(key, '/') >= 0)
        return NULL;
    *ret_name = key;
    return res;
}
