/* rbac.c - role-based access control (rbac.authorization.k8s.io/v1).
 *
 * All roles and bindings are compiled into an index: a map from subject to its grants (namespace,
 * empty: everywhere, and rules). An index never changes; a question takes a reference to the newest
 * one, so that several loops ask at the same time, and walks the grants of the asker's name and
 * groups.
 *
 * An index knows the revision of the snapshot that it was made from, and the store knows the
 * revision of the last write of anything of RBAC (store_marked(), rbac_marks()). The first question
 * that finds the index older makes a new one, under the lock: so each change is compiled once at
 * most, whoever asks meanwhile waits for the result rather than doing the same, and many changes
 * without a question cost nothing. The mark is set before the write can be seen by anybody, on
 * whichever loop: who has had the answer to a write, or its event, and asks then is answered by it.
 */
#include "apiserver/authz.h"

#include <pthread.h>
#include <stdio.h>

#include "apiserver/object.h"
#include "base/map.h"
#include "codec/json.h"

/* One PolicyRule; views into the index's arena. */
typedef struct Rule {
    const Value *verbs, *groups, *resources, *names, *paths;
    const Value *raw;
    unsigned words; /* of all these lists: what a look at it costs at most */
} Rule;

/* A rule of a large role, under one of its resources. */
typedef struct RuleRef RuleRef;
struct RuleRef {
    const Rule *rule;
    RuleRef *next;
};

typedef struct Role Role;
struct Role {
    Rule *rules;
    unsigned n_rules;
    Map by_resource; /* of a large one: "pods/log" or "*", and "" for those about paths; RuleRef */
    Role *next_mapped; /* those with such a map */
};

typedef struct Grant Grant;
struct Grant {
    Grant *next; /* of the same subject */
    StrView ns;  /* empty: cluster-wide */
    const Role *role;
};

enum {
    MAPPED_FROM = 32, /* rules: fewer are walked as quickly */
    /* Words that the check of what somebody may grant looks at, in 20 ms. Beyond it counts as not
     * covered: looking at all would hold all others up. */
    COVER_WORDS_MAX = 4 * 1000 * 1000,
};

struct RbacIndex {
    atomic_uint refs;
    uint64_t rev;
    Arena arena;  /* everything below */
    Map subjects; /* "U:name" or "G:name" to Grant */
    Role *mapped;
};

struct Rbac {
    Store *store;
    pthread_mutex_t lock; /* guards the following, and is held while it is made */
    RbacIndex *index;     /* NULL: none yet, or no memory for one */
    unsigned n_made;
};

/* An index that is being made. */
typedef struct Building {
    RbacIndex *index;
    Arena *arena; /* the index's */
    Map roles;    /* "ns/name", or "/name" for a ClusterRole, to Role */
} Building;

int rbac_new(Store *store, Rbac **ret, Err *err)
{
    Rbac *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    r->store = store;
    pthread_mutex_init(&r->lock, NULL);
    *ret = r;
    return 0;
}

RbacIndex *rbac_index_unref(RbacIndex *i)
{
    if (!i || atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (Role *r = i->mapped; r; r = r->next_mapped)
        map_free(&r->by_resource);
    map_free(&i->subjects);
    arena_free(&i->arena);
    free(i);
    return NULL;
}

Rbac *rbac_free(Rbac *r)
{
    if (!r)
        return NULL;
    rbac_index_unref(r->index);
    pthread_mutex_destroy(&r->lock);
    free(r);
    return NULL;
}

bool rbac_marks(StrView key)
{
    static const StrView places[] = { SV_INIT("/registry/roles/"),
                                      SV_INIT("/registry/rolebindings/"),
                                      SV_INIT("/registry/clusterroles/"),
                                      SV_INIT("/registry/clusterrolebindings/") };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (sv_starts(key, places[i]))
            return true;
    return false;
}

/* ---- building the index ---- */

static bool map_rule(Arena *a, Role *role, const Rule *rule, StrView resource)
{
    RuleRef *ref = arena_new(a, RuleRef);
    if (!ref)
        return false;
    *ref = (RuleRef){ rule, map_get(&role->by_resource, resource) };
    return map_set(&role->by_resource, resource, ref, NULL);
}

static bool map_rules(Building *b, Role *role)
{
    role->next_mapped = b->index->mapped;
    b->index->mapped = role;
    for (unsigned i = 0; i < role->n_rules; i++) {
        const Rule *rule = &role->rules[i];
        if (value_len(rule->paths) && !map_rule(b->arena, role, rule, SV("")))
            return false;
        value_list_foreach (resource, rule->resources) {
            if (!map_rule(b->arena, role, rule, value_str(resource)))
                return false;
        }
    }
    return true;
}

static bool compile_rules(Building *b, const Value *rules, Role *role)
{
    Arena *a = b->arena;
    role->n_rules = value_len(rules);
    role->rules = arena_array(a, Rule, role->n_rules + 1);
    if (!role->rules)
        return false;
    for (unsigned i = 0; i < role->n_rules; i++) {
        const Value *v = value_at(rules, i);
        Rule *r = &role->rules[i];
        *r = (Rule){ .verbs = value_get(v, SV("verbs")),
                     .groups = value_get(v, SV("apiGroups")),
                     .resources = value_get(v, SV("resources")),
                     .names = value_get(v, SV("resourceNames")),
                     .paths = value_get(v, SV("nonResourceURLs")),
                     .raw = v };
        r->words = value_len(r->verbs) + value_len(r->groups) + value_len(r->resources) +
                   value_len(r->names) + value_len(r->paths);
    }
    return role->n_rules < MAPPED_FROM || map_rules(b, role);
}

typedef bool IndexFn(Building *b, StrView ns, StrView name, const Value *obj);

static bool index_all(Building *b, Snapshot *sn, StrView plural, IndexFn *fn)
{
    const ApiResource *res = api_resource_find(SV("rbac.authorization.k8s.io"), SV("v1"), plural);
    char prefix[STORE_KEY_MAX];
    if (!res || !registry_key(res, SV_NULL, SV_NULL, prefix))
        return false;
    SnapshotIter it;
    snapshot_iter(sn, sv_cstr(prefix), SV_NULL, &it);
    for (ObjectRev *o; (o = snapshot_next(&it));) {
        StrView ns, name, text = arena_sv(b->arena, o->val);
        Value *v = arena_new(b->arena, Value);
        if (!v || !text.ptr)
            return false;
        registry_names(res, o->key, &ns, &name);
        if (json_decode(text, b->arena, NULL, v, NULL) < 0)
            continue; /* written by this program: cannot happen; a role less is the safe side */
        if (!fn(b, arena_sv(b->arena, ns), name, v))
            return false;
    }
    return true;
}

static bool index_role(Building *b, StrView ns, StrView name, const Value *obj)
{
    Role *role = arena_new(b->arena, Role);
    StrView key = arena_printf(b->arena, "%.*s/%.*s", SV_FMT(ns), SV_FMT(name));
    return role && key.ptr && compile_rules(b, value_get(obj, SV("rules")), role) &&
           map_set(&b->roles, key, role, NULL);
}

static bool add_grant(Building *b, StrView subject, StrView ns, const Role *role)
{
    Map *subjects = &b->index->subjects;
    Grant *g = arena_new(b->arena, Grant);
    if (!g || !subject.ptr)
        return false;
    *g = (Grant){ map_get(subjects, subject), ns, role };
    return map_set(subjects, subject, g, NULL);
}

static bool index_subject(Building *b, const Value *subject, StrView binding_ns, const Role *role)
{
    StrView kind = value_str(value_get(subject, SV("kind")));
    StrView name = value_str(value_get(subject, SV("name")));
    StrView key;
    if (sv_eq(kind, SV("User")))
        key = arena_printf(b->arena, "U:%.*s", SV_FMT(name));
    else if (sv_eq(kind, SV("Group")))
        key = arena_printf(b->arena, "G:%.*s", SV_FMT(name));
    else if (sv_eq(kind, SV("ServiceAccount"))) {
        StrView ns = value_str(value_get(subject, SV("namespace")));
        if (!ns.len)
            ns = binding_ns;
        key = arena_printf(b->arena, "U:system:serviceaccount:%.*s:%.*s", SV_FMT(ns), SV_FMT(name));
    } else
        return true;
    return add_grant(b, key, binding_ns, role);
}

static bool index_binding(Building *b, StrView ns, StrView name, const Value *obj)
{
    const Value *ref = value_get(obj, SV("roleRef"));
    StrView role_ns = sv_eq(value_str(value_get(ref, SV("kind"))), SV("Role")) ? ns : SV("");
    StrView key = arena_printf(b->arena, "%.*s/%.*s", SV_FMT(role_ns),
                               SV_FMT(value_str(value_get(ref, SV("name")))));
    if (!key.ptr)
        return false;
    const Role *role = map_get(&b->roles, key);
    if (!role)
        return true; /* a binding may come before its role */
    value_list_foreach (subject, value_get(obj, SV("subjects"))) {
        if (!index_subject(b, subject, ns, role))
            return false;
    }
    return true;
}

/* NULL: no memory. */
static RbacIndex *index_new(Snapshot *sn)
{
    RbacIndex *i = calloc(1, sizeof *i);
    if (!i)
        return NULL;
    atomic_init(&i->refs, 1);
    i->rev = snapshot_revision(sn);
    arena_init(&i->arena, 0);
    Building b = { .index = i, .arena = &i->arena };
    bool ok = index_all(&b, sn, SV("roles"), index_role) &&
              index_all(&b, sn, SV("clusterroles"), index_role) &&
              index_all(&b, sn, SV("rolebindings"), index_binding) &&
              index_all(&b, sn, SV("clusterrolebindings"), index_binding);
    map_free(&b.roles);
    return ok ? i : rbac_index_unref(i);
}

RbacIndex *rbac_index(Rbac *r)
{
    uint64_t changed = store_marked(r->store);
    pthread_mutex_lock(&r->lock);
    if (!r->index || r->index->rev < changed) {
        Snapshot *sn = store_snapshot(r->store);
        rbac_index_unref(r->index);
        r->index = sn ? index_new(sn) : NULL;
        r->n_made++;
        snapshot_unref(sn);
    }
    RbacIndex *i = r->index;
    if (i)
        atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&r->lock);
    return i;
}

unsigned rbac_made(Rbac *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->n_made;
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* ---- asking ---- */

static bool contains(const Value *list, StrView what)
{
    value_list_foreach (it, list) {
        StrView s = value_str(it);
        if (sv_eq(s, SV("*")) || sv_eq(s, what))
            return true;
    }
    return false;
}

/* resources: "pods", "pods/log", "*", "* /log" (without the blank: any resource's log). */
static bool resource_matches(const Value *list, StrView resource, StrView sub)
{
    value_list_foreach (it, list) {
        StrView s = value_str(it), main, rest;
        if (sv_eq(s, SV("*")))
            return true;
        bool has_sub = sv_cut(s, '/', &main, &rest);
        if (has_sub != (sub.len > 0) || (has_sub && !sv_eq(rest, sub)))
            continue;
        if (sv_eq(main, resource) || (has_sub && sv_eq(main, SV("*"))))
            return true;
    }
    return false;
}

static bool path_matches(const Value *list, StrView path)
{
    value_list_foreach (it, list) {
        StrView s = value_str(it);
        if (sv_eq(s, SV("*")) || sv_eq(s, path))
            return true;
        if (sv_ends(s, SV("*")) && sv_starts(path, sv_head(s, s.len - 1)))
            return true;
    }
    return false;
}

static bool rule_allows(const Rule *rule, const Access *a)
{
    if (!contains(rule->verbs, a->verb))
        return false;
    if (!a->is_resource)
        return path_matches(rule->paths, a->path);
    if (!contains(rule->groups, a->group) ||
        !resource_matches(rule->resources, a->resource, a->sub))
        return false;
    if (!value_len(rule->names))
        return true;
    value_list_foreach (it, rule->names) {
        if (sv_eq(value_str(it), a->name) && a->name.len)
            return true;
    }
    return false;
}

/* What a question has looked at, where that is bounded. */
static bool looks(uint64_t *words, const Rule *rule, const Access *a)
{
    *words += 1 + rule->words;
    return rule_allows(rule, a);
}

static bool refs_allow(const Role *role, StrView resource, const Access *a, uint64_t *words)
{
    for (const RuleRef *ref = map_get(&role->by_resource, resource); ref; ref = ref->next)
        if (looks(words, ref->rule, a))
            return true;
    return false;
}

/* By the names under which a rule that matches may be found. */
static bool mapped_allows(const Role *role, const Access *a, uint64_t *words)
{
    char name[256], any[256];
    if (!a->is_resource)
        return refs_allow(role, SV(""), a, words);
    if (refs_allow(role, SV("*"), a, words))
        return true;
    if (!a->sub.len)
        return refs_allow(role, a->resource, a, words);
    int n = snprintf(name, sizeof name, "%.*s/%.*s", SV_FMT(a->resource), SV_FMT(a->sub));
    int m = snprintf(any, sizeof any, "*/%.*s", SV_FMT(a->sub));
    return n < (int)sizeof name && m < (int)sizeof any && /* longer: no resource is called so */
           (refs_allow(role, sv_cstr(name), a, words) || refs_allow(role, sv_cstr(any), a, words));
}

static bool role_allows(const Role *role, const Access *a, uint64_t *words)
{
    if (role->by_resource.len)
        return mapped_allows(role, a, words);
    for (unsigned i = 0; i < role->n_rules; i++)
        if (looks(words, &role->rules[i], a))
            return true;
    return false;
}

static bool grants_allow(const Grant *g, const Access *a, uint64_t *words)
{
    for (; g; g = g->next) {
        ++*words;
        if (g->ns.len && (!a->is_resource || !sv_eq(g->ns, a->ns)))
            continue;
        if (role_allows(g->role, a, words))
            return true;
    }
    return false;
}

static const Grant *grants_of(const RbacIndex *i, char kind, StrView name)
{
    char key[512];
    if (!name.len || name.len + 3 > sizeof key)
        return NULL;
    key[0] = kind;
    key[1] = ':';
    memcpy(key + 2, name.ptr, name.len);
    return map_get(&i->subjects, sv_n(key, name.len + 2));
}

static bool is_master(const User *u)
{
    return user_in_group(u, SV("system:masters"));
}

static bool allows(const RbacIndex *index, const Access *a, uint64_t *words)
{
    if (is_master(a->user))
        return true;
    if (!index)
        return false;
    if (grants_allow(grants_of(index, 'U', a->user->name), a, words))
        return true;
    for (unsigned i = 0; i < a->user->n_groups; i++)
        if (grants_allow(grants_of(index, 'G', a->user->groups[i]), a, words))
            return true;
    return false;
}

bool rbac_allows(Rbac *r, const Access *a)
{
    if (is_master(a->user))
        return true;
    RbacIndex *index = rbac_index(r);
    uint64_t words = 0;
    bool ok = allows(index, a, &words);
    rbac_index_unref(index);
    return ok;
}

static bool add_rules(const Grant *g, StrView ns, Arena *a, Value *resources, Value *paths)
{
    for (; g; g = g->next) {
        if (g->ns.len && !sv_eq(g->ns, ns))
            continue;
        for (unsigned i = 0; i < g->role->n_rules; i++) {
            const Rule *rule = &g->role->rules[i];
            Value copy;
            if (!value_clone(a, rule->raw, &copy) ||
                !value_push(a, value_len(rule->paths) ? paths : resources, copy))
                return false;
        }
    }
    return true;
}

void rbac_rules_for(Rbac *r, const User *u, StrView ns, Arena *a, Value *ret_resources,
                    Value *ret_paths)
{
    *ret_resources = value_list();
    *ret_paths = value_list();
    RbacIndex *index = rbac_index(r);
    bool ok = index && add_rules(grants_of(index, 'U', u->name), ns, a, ret_resources, ret_paths);
    for (unsigned i = 0; ok && i < u->n_groups; i++)
        ok = add_rules(grants_of(index, 'G', u->groups[i]), ns, a, ret_resources, ret_paths);
    rbac_index_unref(index);
}

/* ---- escalation: nobody grants what they do not hold ---- */

/* What a check of several rules is about, and how much it has looked at. */
typedef struct Cover {
    const RbacIndex *index;
    const User *user;
    StrView ns;
    uint64_t words;
} Cover;

static bool covers_access(Cover *c, const Access *a)
{
    return c->words < COVER_WORDS_MAX && allows(c->index, a, &c->words);
}

static bool covers_one(Cover *c, StrView verb, StrView group, StrView resource, StrView name)
{
    StrView main, sub;
    sv_cut(resource, '/', &main, &sub);
    Access a = { .user = c->user,
                 .verb = verb,
                 .is_resource = true,
                 .group = group,
                 .resource = main,
                 .sub = sub,
                 .ns = c->ns,
                 .name = name };
    return covers_access(c, &a);
}

/* How many single rights a rule consists of, at most COVERED_MAX + 1. */
enum { COVERED_MAX = 100000 };
static uint64_t rights_in(const Value *rule)
{
    const char *const dims[] = { "apiGroups", "resources", "resourceNames" };
    uint64_t verbs = value_len(value_get(rule, SV("verbs"))), n = verbs,
             urls = verbs * value_len(value_get(rule, SV("nonResourceURLs")));
    for (size_t i = 0; i < ARRAY_SIZE(dims) && n <= COVERED_MAX; i++) {
        uint64_t words = value_len(value_get(rule, sv_cstr(dims[i])));
        n *= i == 2 ? MAX(words, UINT64_C(1)) : words;
    }
    return MIN(MAX(n, urls), (uint64_t)COVERED_MAX + 1);
}

/* Who holds everything is not asked for each right. Beyond COVERED_MAX rights a rule counts as not
 * covered: looking at each would hold all others up. */
static bool covers_rule(Cover *c, const Value *rule)
{
    const Value *names = value_get(rule, SV("resourceNames"));
    Access all = { .user = c->user, .verb = SV("*"), .path = SV("*") };
    if (covers_one(c, SV("*"), SV("*"), SV("*"), SV_NULL) && covers_access(c, &all))
        return true;
    if (rights_in(rule) > COVERED_MAX)
        return false;
    value_list_foreach (verb, value_get(rule, SV("verbs"))) {
        value_list_foreach (path, value_get(rule, SV("nonResourceURLs"))) {
            Access a = { .user = c->user, .verb = value_str(verb), .path = value_str(path) };
            if (!covers_access(c, &a))
                return false;
        }
        value_list_foreach (group, value_get(rule, SV("apiGroups"))) {
            value_list_foreach (res, value_get(rule, SV("resources"))) {
                if (!value_len(names) &&
                    !covers_one(c, value_str(verb), value_str(group), value_str(res), SV_NULL))
                    return false;
                value_list_foreach (name, names) {
                    if (!covers_one(c, value_str(verb), value_str(group), value_str(res),
                                    value_str(name)))
                        return false;
                }
            }
        }
    }
    return true;
}

bool rbac_covers(Rbac *r, const User *u, StrView ns, const Value *rules)
{
    RbacIndex *index = rbac_index(r);
    Cover c = { .index = index, .user = u, .ns = ns };
    bool all = true;
    value_list_foreach (rule, rules) {
        if (!(all = covers_rule(&c, rule)))
            break;
    }
    rbac_index_unref(index);
    return all;
}
