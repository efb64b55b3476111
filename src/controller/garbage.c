/* garbage.c - ends objects whose owners are gone, and finishes foreground and orphaning deletions.
 *
 * It hears of every kind that the server can watch, found through discovery and looked for again
 * from time to time: through the informers of the other controllers where there are any, else
 * through one of the metadata. These informers are the graph: each is indexed by the uids of the
 * owners that its objects name, and an owner is looked up by kind and name. An owner that is not
 * there is looked for in the API server before anything is deleted. garbage_plan.c decides; here it
 * is carried out. Keys are "kind:namespace/name" with the number of the kind. */
#include <stdio.h>

#include "base/vec.h"
#include "controller/controller_internal.h"
#include "api/discovery.h"
#include "controller/garbage_plan.h"

enum {
    REFRESH_MS = 30 * 1000,
    RETRY_MS = 1000,
    NOT_YET_MS = 200,
    WALK_MAX =
        256, /* objects looked at for a circle of owners; in a larger one they go on waiting */
};

typedef struct Garbage Garbage;

typedef struct GarbageKind {
    Garbage *g;
    unsigned number;
    char *text; /* what the views point to */
    StrView group, version, plural, kind;
    bool namespaced, seen; /* seen: in the last discovery */
    InformerUse *use;      /* NULL: no longer served */
    Informer *objects;     /* borrowed from it */
} GarbageKind;

struct Garbage {
    Controller *c;
    VEC(GarbageKind *) kinds;
    Source *timer;
    ApiCall *call;
    Arena arena; /* of a discovery under way … */
    ServedKinds found;
    bool discovered; /* at least once, whole */
};

/* ---- the graph ---- */

static GarbageKind *kind_of_ref(Garbage *g, const OwnerRef *ref)
{
    StrView group = SV(""), head, tail;
    if (sv_cut(ref->api_version, '/', &head, &tail))
        group = head;
    vec_foreach (k, &g->kinds) {
        if ((*k)->objects && sv_eq((*k)->group, group) && sv_eq((*k)->kind, ref->kind))
            return *k;
    }
    return NULL;
}

static ApiObject *object_of_ref(const GarbageKind *k, const OwnerRef *ref, StrView ns)
{
    ApiObject *o = informer_get_named(k->objects, k->namespaced ? ns : SV_NULL, ref->name);
    return o && sv_eq(o->uid, ref->uid) ? o : NULL;
}

/* Goes through the objects of all kinds that name an owner's uid:
 * for (Dependents d = dependents_of(g, uid); next_dependent(&d);) … d.kind, d.object */
typedef struct Dependents {
    GarbageKind *kind;
    ApiObject *object;

    Garbage *g;
    StrView uid;
    ApiObject *const *list;
    size_t n, i;
    size_t next; /* twice the number of the next kind, and one for its other owners */
} Dependents;

static Dependents dependents_of(Garbage *g, StrView uid)
{
    return (Dependents){ .g = g, .uid = uid };
}

static bool next_dependent(Dependents *d)
{
    while (d->i >= d->n) {
        if (d->next >= 2 * d->g->kinds.len)
            return false;
        d->kind = d->g->kinds.items[d->next / 2];
        unsigned index = d->next++ % 2 ? INDEX_OTHER_OWNER : INDEX_CONTROLLER;
        d->i = d->n = 0;
        if (d->kind->objects)
            d->list = informer_by_index(d->kind->objects, index, d->uid, &d->n);
    }
    d->object = d->list[d->i++];
    return true;
}

static void queue(const GarbageKind *k, const ApiObject *o)
{
    char key[600];
    int n = snprintf(key, sizeof key, "%u:%.*s/%.*s", k->number, (int)o->ns.len,
                     o->ns.ptr ? o->ns.ptr : "", SV_FMT(o->name));
    if (n > 0 && (size_t)n < sizeof key)
        workqueue_add(k->g->c->queue, sv_n(key, (size_t)n));
}

static void queue_owners(GarbageKind *k, const ApiObject *o)
{
    const MetaView *m = meta_of(o);
    for (uint32_t i = 0; i < m->n_owners; i++) {
        const GarbageKind *ok = kind_of_ref(k->g, &m->owners[i]);
        const ApiObject *owner = ok ? object_of_ref(ok, &m->owners[i], o->ns) : NULL;
        if (obj_deleting(owner))
            queue(ok, owner);
    }
}

static void queue_dependents(Garbage *g, StrView uid)
{
    for (Dependents d = dependents_of(g, uid); next_dependent(&d);)
        queue(d.kind, d.object);
}

static bool is_held(const ApiObject *o)
{
    return meta_of(o)->deleting && (meta_of(o)->foreground || meta_of(o)->orphan);
}

/* Those that are not waiting for dependents of their own: in a circle of owners the others would
 * call each other up for ever. */
static void queue_idle_dependents(Garbage *g, StrView uid)
{
    for (Dependents d = dependents_of(g, uid); next_dependent(&d);)
        if (!is_held(d.object))
            queue(d.kind, d.object);
}

static void on_add(void *ctx, ApiObject *o)
{
    if (is_held(o) || meta_of(o)->n_owners)
        queue(ctx, o);
}

static void on_update(void *ctx, ApiObject *old, ApiObject *now)
{
    GarbageKind *k = ctx;
    on_add(ctx, now);
    if (!owners_equal(meta_of(old), meta_of(now)))
        queue_owners(k, old);
    if (is_held(now) && !is_held(old))
        queue_dependents(k->g, now->uid);
}

static void on_delete(void *ctx, ApiObject *last)
{
    GarbageKind *k = ctx;
    event_forget(k->g->c->events, last->uid);
    queue_owners(k, last);
    queue_dependents(k->g, last->uid);
}

/* ---- kinds ---- */

static bool own_texts(GarbageKind *k, const ServedKind *s)
{
    const StrView from[] = { s->group, s->version, s->plural, s->kind };
    StrView *const to[] = { &k->group, &k->version, &k->plural, &k->kind };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(from); i++)
        n += from[i].len;
    char *at = k->text = malloc(n + 1);
    for (size_t i = 0; at && i < ARRAY_SIZE(from); i++) {
        if (from[i].len)
            memcpy(at, from[i].ptr, from[i].len);
        *to[i] = sv_n(at, from[i].len);
        at += from[i].len;
    }
    return k->text != NULL;
}

/* One that was there before keeps its number, which keys have; else a new one. NULL: no memory. */
static GarbageKind *place_for(Garbage *g, const ServedKind *s)
{
    vec_foreach (k, &g->kinds) {
        if (sv_eq((*k)->group, s->group) && sv_eq((*k)->version, s->version) &&
            sv_eq((*k)->plural, s->plural) && sv_eq((*k)->kind, s->kind) &&
            (*k)->namespaced == s->namespaced)
            return *k;
    }
    GarbageKind *k = calloc(1, sizeof *k);
    if (!k || !own_texts(k, s) || !vec_push(&g->kinds, k)) {
        if (k)
            free(k->text);
        free(k);
        return NULL;
    }
    k->g = g;
    k->number = (unsigned)g->kinds.len - 1;
    k->namespaced = s->namespaced;
    return k;
}

static int add_kind(Garbage *g, const ServedKind *s, Err *err)
{
    GarbageKind *k = place_for(g, s);
    if (!k)
        return err_nomem(err);
    const WatchedKind *watched = watched_kind_find(k->group, k->plural);
    InformerConfig cfg =
        watched ? watched_config(watched) : meta_config(k->group, k->version, k->plural);
    cfg.events = (InformerEvents){
        .on_add = on_add, .on_update = on_update, .on_delete = on_delete, .ctx = k
    };
    k->seen = true;
    int r = informer_join(g->c->cs->informers, &cfg, &k->use, err);
    if (r == 0)
        k->objects = informer_of(k->use);
    return r;
}

static void drop_kind(GarbageKind *k)
{
    k->objects = NULL;
    k->use = informer_leave(k->use);
}

/* Events come and go by themselves and own nothing. */
static bool is_kept(const ServedKind *s)
{
    return s->watched && s->deleted && !sv_eq(s->plural, SV("events"));
}

static GarbageKind *kind_of(Garbage *g, const ServedKind *s)
{
    vec_foreach (k, &g->kinds) {
        if ((*k)->objects && sv_eq((*k)->group, s->group) && sv_eq((*k)->plural, s->plural))
            return *k;
    }
    return NULL;
}

/* A kind is dropped when it is served no more, not while its server is away. */
static void take_kinds(Garbage *g)
{
    vec_foreach (s, &g->found.kinds) {
        GarbageKind *have = kind_of(g, s);
        Err err = { 0 };
        if (have)
            have->seen = true;
        else if (is_kept(s) && add_kind(g, s, &err) < 0)
            log_warn("%s: %.*s: %s", g->c->def->name, SV_FMT(s->plural), err.msg);
    }
    vec_foreach (k, &g->kinds) {
        if ((*k)->use && !(*k)->seen && !served_kinds_stale(&g->found, (*k)->group))
            drop_kind(*k);
        (*k)->seen = false;
    }
}

static void discover(Garbage *g, const char *path);

/* What one discovery found goes with it. */
static void end_discovery(Garbage *g, uint64_t again_ms)
{
    served_kinds_free(&g->found);
    arena_free(&g->arena);
    (void)source_set_timer(g->timer, again_ms, 0, NULL);
}

static void on_groups(void *ctx, const ApiResult *r)
{
    Garbage *g = ctx;
    g->call = NULL;
    if (r->err || !served_kinds_add(&g->found, r->body, &g->arena)) {
        end_discovery(g, RETRY_MS);
        return;
    }
    take_kinds(g);
    g->discovered = true;
    end_discovery(g, REFRESH_MS);
}

static void on_core(void *ctx, const ApiResult *r)
{
    Garbage *g = ctx;
    g->call = NULL;
    if (r->err || !served_kinds_add(&g->found, r->body, &g->arena))
        end_discovery(g, RETRY_MS);
    else
        discover(g, "/apis");
}

static void discover(Garbage *g, const char *path)
{
    bool core = strcmp(path, "/api") == 0;
    ApiRequest req = { .method = SV("GET"),
                       .raw_path = sv_cstr(path),
                       .accept = SV(DISCOVERY_ACCEPT),
                       .done = core ? on_core : on_groups,
                       .ctx = g };
    if (api_request(g->c->cs->api, &req, &g->call, NULL) < 0)
        end_discovery(g, RETRY_MS);
}

static void on_timer(void *ctx)
{
    discover(ctx, "/api");
}

static bool is_whole(Garbage *g)
{
    vec_foreach (k, &g->kinds) {
        if ((*k)->objects && !informer_synced((*k)->objects))
            return false;
    }
    return g->discovered;
}

/* ---- carrying it out ---- */

typedef struct Check { /* an object whose owners are being looked for */
    GarbageKind *kind;
    StrView ns, name, uid, rv;
    OwnerRef *refs; /* n of them, and what is known of each */
    OwnerState *owners;
    uint32_t n, waiting;
    bool has_dependents, foreground, orphan;
} Check;

typedef struct Lookup {
    Check *check;
    uint32_t i;
} Lookup;

static ApiTarget target_of(const GarbageKind *k, StrView ns, StrView name)
{
    return (ApiTarget){
        .group = k->group, .version = k->version, .plural = k->plural, .ns = ns, .name = name
    };
}

static void delete_object(Job *j, const Check *ch, StrView propagation)
{
    Value options = value_map();
    value_set_path(&j->arena, &options, "preconditions.uid", value_sv(ch->uid));
    value_set(&j->arena, &options, SV("propagationPolicy"), value_sv(propagation));
    job_call(j, &(JobRequest){ .method = SV("DELETE"),
                               .body = &options,
                               .target = target_of(ch->kind, ch->ns, ch->name) });
}

static bool on_patched(Job *j, const ApiResult *r, void *arg)
{
    return r->err && r->err->code == ERR_NOT_FOUND; /* gone meanwhile: as good */
}

static void patch_list(Job *j, const ApiTarget *t, StrView rv, const char *member,
                       const Value *list)
{
    Value patch = value_map();
    if (!value_set_path(&j->arena, &patch, "metadata.resourceVersion", value_sv(rv)) ||
        !value_set_path(&j->arena, &patch, member, list->len ? *list : value_null())) {
        job_fail(j);
        return;
    }
    job_call(j, &(JobRequest){ .method = SV("PATCH"),
                               .target = *t,
                               .body = &patch,
                               .content_type = API_PATCH_MERGE,
                               .done = on_patched });
}

static Value ref_value(Arena *a, const OwnerRef *ref)
{
    Value v = value_map();
    value_set(a, &v, SV("apiVersion"), value_sv(ref->api_version));
    value_set(a, &v, SV("kind"), value_sv(ref->kind));
    value_set(a, &v, SV("name"), value_sv(ref->name));
    value_set(a, &v, SV("uid"), value_sv(ref->uid));
    if (ref->controls)
        value_set(a, &v, SV("controller"), value_bool(true));
    if (ref->blocks)
        value_set(a, &v, SV("blockOwnerDeletion"), value_bool(true));
    return v;
}

static void decide(Job *j, Check *ch)
{
    Value kept = value_list();
    switch (garbage_plan(ch->owners, ch->n, ch->has_dependents)) {
    case GARBAGE_KEEP:
        break;
    case GARBAGE_TRIM: {
        ApiTarget t = target_of(ch->kind, ch->ns, ch->name);
        for (uint32_t i = 0; i < ch->n; i++)
            if (ch->owners[i] == OWNER_SOLID)
                value_push(&j->arena, &kept, ref_value(&j->arena, &ch->refs[i]));
        patch_list(j, &t, ch->rv, "metadata.ownerReferences", &kept);
        break;
    }
    case GARBAGE_DELETE_FOREGROUND:
        delete_object(j, ch, SV("Foreground"));
        break;
    case GARBAGE_DELETE:
        delete_object(j, ch,
                      ch->orphan       ? SV("Orphan")
                      : ch->foreground ? SV("Foreground")
                                       : SV("Background"));
        break;
    }
}

static bool on_owner(Job *j, const ApiResult *r, void *arg)
{
    Lookup *l = arg;
    Check *ch = l->check;
    bool missing = r->err && r->err->code == ERR_NOT_FOUND;
    StrView uid = value_path_str(r->body, "metadata.uid");
    if (missing || (!r->err && !sv_eq(uid, ch->refs[l->i].uid)))
        ch->owners[l->i] = OWNER_GONE;
    if (--ch->waiting == 0 && !j->failed && (!r->err || missing))
        decide(j, ch);
    return missing;
}

static bool has_dependents(Garbage *g, StrView uid)
{
    Dependents d = dependents_of(g, uid);
    return next_dependent(&d);
}

static bool blocks(const ApiObject *o, StrView owner)
{
    const MetaView *m = meta_of(o);
    for (uint32_t i = 0; i < m->n_owners; i++)
        if (m->owners[i].blocks && sv_eq(m->owners[i].uid, owner))
            return true;
    return false;
}

typedef struct Walk { /* over objects that wait for their dependents */
    const ApiObject *seen[WALK_MAX];
    size_t n;
} Walk;

static void walk_add(Walk *w, const ApiObject *o)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->seen[i] == o)
            return;
    if (w->n < WALK_MAX)
        w->seen[w->n++] = o;
}

/* Adds the blocking dependents of `o` that wait for dependents of their own. */
static void walk_down(Garbage *g, Walk *w, const ApiObject *o)
{
    for (Dependents d = dependents_of(g, o->uid); next_dependent(&d);)
        if (meta_of(d.object)->deleting && meta_of(d.object)->foreground &&
            blocks(d.object, o->uid))
            walk_add(w, d.object);
}

/* True when `o` waits for `target`, itself or through others. */
static bool waits_for(Garbage *g, const ApiObject *o, const ApiObject *target)
{
    Walk w = { .seen = { o }, .n = 1 };
    if (!meta_of(o)->deleting || !meta_of(o)->foreground)
        return false;
    for (size_t i = 0; i < w.n; i++) {
        if (w.seen[i] == target)
            return true;
        walk_down(g, &w, w.seen[i]);
    }
    return false;
}

/* True when a dependent has to go before `o` may. One that waits for `o` in its turn never would:
 * owners in a circle do not hold each other. */
static bool is_blocked(Garbage *g, const ApiObject *o)
{
    for (Dependents d = dependents_of(g, o->uid); next_dependent(&d);)
        if (blocks(d.object, o->uid) && !waits_for(g, d.object, o))
            return true;
    return false;
}

static bool copy_refs(Arena *a, const MetaView *m, OwnerRef *ret)
{
    for (uint32_t i = 0; i < m->n_owners; i++) {
        const OwnerRef *ref = &m->owners[i];
        ret[i] = *ref;
        ret[i].api_version = arena_sv(a, ref->api_version);
        ret[i].kind = arena_sv(a, ref->kind);
        ret[i].name = arena_sv(a, ref->name);
        ret[i].uid = arena_sv(a, ref->uid);
    }
    return !a->failed;
}

static Check *check_new(Job *j, GarbageKind *k, const ApiObject *o)
{
    Arena *a = &j->arena;
    const MetaView *m = meta_of(o);
    Check *ch = arena_new(a, Check);
    if (!ch)
        return NULL;
    *ch = (Check){ .kind = k,
                   .ns = arena_sv(a, o->ns),
                   .name = arena_sv(a, o->name),
                   .uid = arena_sv(a, o->uid),
                   .rv = arena_sv(a, o->resource_version),
                   .n = m->n_owners,
                   .refs = arena_array(a, OwnerRef, m->n_owners + 1),
                   .owners = arena_array(a, OwnerState, m->n_owners + 1),
                   .has_dependents = has_dependents(k->g, o->uid),
                   .foreground = m->foreground,
                   .orphan = m->orphan };
    return ch->refs && ch->owners && copy_refs(a, m, ch->refs) ? ch : NULL;
}

/* Says on the object that an owner which it names is there, but in another namespace: owners are
 * looked for in the object's own, and it may go for that. */
static void warn_of_namespace(const GarbageKind *k, const ApiObject *o, const GarbageKind *owner,
                              const OwnerRef *ref)
{
    size_t n;
    StrView ns = o->ns.len ? o->ns : SV("");
    ApiObject *const *found = informer_by_index(owner->objects, INDEX_UID, ref->uid, &n);
    if (!owner->namespaced || !n || sv_eq(found[0]->ns, o->ns))
        return;
    char version[128];
    snprintf(version, sizeof version, "%.*s%s%.*s", SV_FMT(k->group), k->group.len ? "/" : "",
             SV_FMT(k->version));
    EventRef about = { .api_version = sv_cstr(version),
                       .kind = k->kind,
                       .ns = o->ns,
                       .name = o->name,
                       .uid = o->uid,
                       .resource_version = o->resource_version };
    event_record(k->g->c->events, &about, SV("Warning"), SV("OwnerRefInvalidNamespace"),
                 "ownerRef [%.*s/%.*s, namespace: %.*s, name: %.*s, uid: %.*s] does not exist in "
                 "namespace \"%.*s\"",
                 SV_FMT(ref->api_version), SV_FMT(ref->kind), SV_FMT(ns), SV_FMT(ref->name),
                 SV_FMT(ref->uid), SV_FMT(ns));
}

/* An owner whose kind is unknown here is taken to exist. */
static void check_owners(Job *j, GarbageKind *k, const ApiObject *o)
{
    Check *ch = check_new(j, k, o);
    if (!ch) {
        job_fail(j);
        return;
    }
    ch->waiting = 1;
    for (uint32_t i = 0; i < ch->n; i++) {
        const OwnerRef *ref = &ch->refs[i];
        const GarbageKind *ok = kind_of_ref(k->g, ref);
        const ApiObject *owner = ok ? object_of_ref(ok, ref, ch->ns) : NULL;
        Lookup *l = arena_new(&j->arena, Lookup);
        ch->owners[i] =
            obj_deleting(owner) && meta_of(owner)->foreground ? OWNER_WAITING : OWNER_SOLID;
        if (owner || !ok || !l)
            continue;
        warn_of_namespace(k, o, ok, ref);
        if (ok->namespaced && !ch->ns.len)
            continue;
        *l = (Lookup){ ch, i };
        ApiTarget t = target_of(ok, ok->namespaced ? ch->ns : SV_NULL, ref->name);
        t.metadata_only = true;
        ch->waiting++;
        job_call(j, &(JobRequest){ .method = SV("GET"), .target = t, .done = on_owner, .arg = l });
    }
    if (--ch->waiting == 0 && !j->failed)
        decide(j, ch);
}

static void release(Job *j, GarbageKind *k, const ApiObject *o, StrView owner)
{
    Value kept = value_list();
    ApiTarget t = target_of(k, o->ns, o->name);
    const MetaView *m = meta_of(o);
    for (uint32_t i = 0; i < m->n_owners; i++)
        if (!sv_eq(m->owners[i].uid, owner))
            value_push(&j->arena, &kept, ref_value(&j->arena, &m->owners[i]));
    patch_list(j, &t, o->resource_version, "metadata.ownerReferences", &kept);
}

static void release_all(Job *j, Garbage *g, StrView owner)
{
    for (Dependents d = dependents_of(g, owner); next_dependent(&d);)
        release(j, d.kind, d.object, owner);
}

/* The present finalizers are read first: informers keep only what they mean. */
static bool on_finalizers(Job *j, const ApiResult *r, void *arg)
{
    const Check *ch = arg;
    if (r->err)
        return r->err->code == ERR_NOT_FOUND;
    Value kept = value_list();
    ApiTarget t = target_of(ch->kind, ch->ns, ch->name);
    value_list_foreach (f, value_path(r->body, "metadata.finalizers")) {
        if (!sv_eq(value_str(f), ch->orphan ? SV("orphan") : SV("foregroundDeletion")))
            value_push(&j->arena, &kept, *f);
    }
    if (sv_eq(value_path_str(r->body, "metadata.uid"), ch->uid))
        patch_list(j, &t, value_path_str(r->body, "metadata.resourceVersion"),
                   "metadata.finalizers", &kept);
    return false;
}

static void finish_deletion(Job *j, GarbageKind *k, const ApiObject *o)
{
    bool orphan = meta_of(o)->orphan;
    if (orphan ? has_dependents(k->g, o->uid) : is_blocked(k->g, o)) {
        if (orphan)
            release_all(j, k->g, o->uid);
        else
            queue_idle_dependents(k->g, o->uid);
        return; /* the dependents' own changes bring it back */
    }
    Check *ch = check_new(j, k, o);
    if (!ch) {
        job_fail(j);
        return;
    }
    ApiTarget t = target_of(k, ch->ns, ch->name);
    t.metadata_only = true;
    job_call(j,
             &(JobRequest){ .method = SV("GET"), .target = t, .done = on_finalizers, .arg = ch });
}

static void reconcile(Job *j)
{
    Garbage *g = j->c->state;
    StrView number, ns;
    uint64_t i;
    if (!sv_cut(j->ns, ':', &number, &ns) || sv_to_u64(number, &i) < 0 || i >= g->kinds.len)
        return;
    GarbageKind *k = g->kinds.items[i];
    const ApiObject *o = k->objects ? informer_get_named(k->objects, ns, j->name) : NULL;
    if (!o)
        return;
    if (!is_whole(g))
        job_again(j, NOT_YET_MS);
    else if (is_held(o))
        finish_deletion(j, k, o);
    else if (!obj_deleting(o) && meta_of(o)->n_owners)
        check_owners(j, k, o);
}

static int setup(Controller *c, Err *err)
{
    Garbage *g = c->state = calloc(1, sizeof *g);
    if (!g)
        return err_nomem(err);
    g->c = c;
    arena_init(&g->arena, 0);
    return loop_add_timer(c->cs->loop, 0, 0, on_timer, g, &g->timer, err);
}

static void teardown(Controller *c)
{
    Garbage *g = c->state;
    if (!g)
        return;
    vec_foreach (k, &g->kinds) {
        drop_kind(*k);
        free((*k)->text);
        free(*k);
    }
    vec_free(&g->kinds);
    api_call_cancel(g->call);
    served_kinds_free(&g->found);
    arena_free(&g->arena);
    source_free(g->timer);
    free(g);
    c->state = NULL;
}

const ControllerDef garbage_controller = { .name = "garbage-collector-controller",
                                           .queue = "garbage_collector_attempt_to_delete",
                                           .workers = 10,
                                           .reconcile = reconcile,
                                           .setup = setup,
                                           .teardown = teardown };
