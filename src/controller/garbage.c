/* garbage.c - ends objects whose owners are gone, and finishes foreground and orphaning deletions.
 *
 * It hears the metadata of every kind that the server can watch, found through discovery and looked
 * for again from time to time. These informers are the graph: each is indexed by the uids of the
 * owners that its objects name, and an owner is looked up by kind and name. An owner that is not
 * there is looked for in the API server before anything is deleted. garbage_plan.c decides; here it
 * is carried out. Keys are "kind:namespace/name" with the number of the kind. */
#include <stdio.h>

#include "api/pack.h"
#include "base/vec.h"
#include "controller/controller_internal.h"
#include "controller/discovery.h"
#include "controller/garbage_plan.h"

enum {
    KINDS_MAX = 1024, /* built-in and custom */
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
    Informer *objects;     /* NULL: no longer served */
} GarbageKind;

struct Garbage {
    Controller *c;
    VEC(GarbageKind *) kinds;
    Source *timer;
    ApiCall *call;
    bool discovered; /* at least once, whole */
};

typedef struct GarbageView { /* of an object */
    Value owners;            /* its ownerReferences */
    bool deleting, foreground, orphan;
} GarbageView;

static const GarbageView *view(const ApiObject *o)
{
    return o->projection;
}

static bool has_finalizer(const Value *obj, StrView name)
{
    value_list_foreach (f, value_path(obj, "metadata.finalizers")) {
        if (sv_eq(value_str(f), name))
            return true;
    }
    return false;
}

static void *view_new(void *ctx, const Value *obj)
{
    const Value *owners = value_path(obj, "metadata.ownerReferences");
    Pack p = { 0 };
    (void)pack_value(&p, owners);
    GarbageView *v = pack_alloc(&p, sizeof *v);
    if (!v)
        return NULL;
    *v = (GarbageView){ .owners = pack_value(&p, owners),
                        .deleting = value_path(obj, "metadata.deletionTimestamp") != NULL,
                        .foreground = has_finalizer(obj, SV("foregroundDeletion")),
                        .orphan = has_finalizer(obj, SV("orphan")) };
    return v;
}

enum { BY_OWNER, BY_UID }; /* indexes */

static void index_uid(const ApiObject *o, InformerEmit *e)
{
    informer_emit(e, o->uid);
}

static void index_owners(const ApiObject *o, InformerEmit *e)
{
    value_list_foreach (ref, &view(o)->owners) {
        StrView uid = value_str(value_get(ref, SV("uid")));
        if (uid.len)
            informer_emit(e, uid);
    }
}

/* ---- the graph ---- */

static GarbageKind *kind_of_ref(Garbage *g, const Value *ref)
{
    StrView version = value_str(value_get(ref, SV("apiVersion"))),
            kind = value_str(value_get(ref, SV("kind")));
    StrView group = SV("");
    StrView head, tail;
    if (sv_cut(version, '/', &head, &tail))
        group = head;
    vec_foreach (k, &g->kinds) {
        if ((*k)->objects && sv_eq((*k)->group, group) && sv_eq((*k)->kind, kind))
            return *k;
    }
    return NULL;
}

static ApiObject *object_of_ref(const GarbageKind *k, const Value *ref, StrView ns)
{
    ApiObject *o = informer_get_named(k->objects, k->namespaced ? ns : SV_NULL,
                                      value_str(value_get(ref, SV("name"))));
    return o && sv_eq(o->uid, value_str(value_get(ref, SV("uid")))) ? o : NULL;
}

/* Goes through the objects of all kinds that name an owner's uid:
 * for (Dependents d = dependents_of(g, uid); next_dependent(&d);) … d.kind, d.object */
typedef struct Dependents {
    GarbageKind *kind;
    ApiObject *object;

    Garbage *g;
    StrView uid;
    ApiObject *const *list;
    size_t n, i, next_kind;
} Dependents;

static Dependents dependents_of(Garbage *g, StrView uid)
{
    return (Dependents){ .g = g, .uid = uid };
}

static bool next_dependent(Dependents *d)
{
    while (d->i >= d->n) {
        if (d->next_kind >= d->g->kinds.len)
            return false;
        d->kind = d->g->kinds.items[d->next_kind++];
        d->i = d->n = 0;
        if (d->kind->objects)
            d->list = informer_by_index(d->kind->objects, BY_OWNER, d->uid, &d->n);
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
    value_list_foreach (ref, &view(o)->owners) {
        const GarbageKind *ok = kind_of_ref(k->g, ref);
        const ApiObject *owner = ok ? object_of_ref(ok, ref, o->ns) : NULL;
        if (owner && view(owner)->deleting)
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
    return view(o)->deleting && (view(o)->foreground || view(o)->orphan);
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
    if (is_held(o) || value_len(&view(o)->owners))
        queue(ctx, o);
}

static void on_update(void *ctx, ApiObject *old, ApiObject *now)
{
    GarbageKind *k = ctx;
    on_add(ctx, now);
    if (!value_equal(&view(old)->owners, &view(now)->owners))
        queue_owners(k, old);
    if (is_held(now) && !is_held(old))
        queue_dependents(k->g, now->uid);
}

static void on_delete(void *ctx, ApiObject *last)
{
    GarbageKind *k = ctx;
    queue_owners(k, last);
    queue_dependents(k->g, last->uid);
}

/* ---- kinds ---- */

static int add_kind(Garbage *g, const ServedKind *s, Err *err)
{
    GarbageKind *k = calloc(1, sizeof *k);
    if (!k || !vec_push(&g->kinds, k)) {
        free(k);
        return err_nomem(err);
    }
    size_t n = s->group.len + s->version.len + s->plural.len + s->kind.len;
    k->g = g;
    k->number = (unsigned)g->kinds.len - 1;
    k->text = malloc(n + 1);
    if (!k->text)
        return err_nomem(err);
    char *at = k->text;
    const StrView from[] = { s->group, s->version, s->plural, s->kind };
    StrView *const to[] = { &k->group, &k->version, &k->plural, &k->kind };
    for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
        if (from[i].len)
            memcpy(at, from[i].ptr, from[i].len);
        *to[i] = sv_n(at, from[i].len);
        at += from[i].len;
    }
    k->namespaced = s->namespaced;
    k->seen = true;
    InformerConfig cfg = { .target = { .group = k->group,
                                       .version = k->version,
                                       .plural = k->plural,
                                       .metadata_only = true },
                           .project = view_new,
                           .unproject = free,
                           .drop_json = true,
                           .indexes = { index_owners, index_uid },
                           .n_indexes = 2,
                           .on_add = on_add,
                           .on_update = on_update,
                           .on_delete = on_delete,
                           .ctx = k };
    return informer_new(g->c->cs->api, &cfg, &k->objects, err);
}

/* Events come and go by themselves and own nothing. */
static bool is_kept(const ServedKind *s)
{
    return s->watched && s->deleted && !sv_eq(s->plural, SV("events"));
}

static void take_kinds(Garbage *g, const Value *doc, bool core)
{
    ServedKind *found = calloc(KINDS_MAX, sizeof *found);
    size_t n = 0;
    if (!found)
        return;
    discovery_kinds(doc, found, KINDS_MAX, &n);
    for (size_t i = 0; i < n; i++) {
        GarbageKind *have = NULL;
        vec_foreach (k, &g->kinds) {
            if ((*k)->objects && sv_eq((*k)->group, found[i].group) &&
                sv_eq((*k)->plural, found[i].plural))
                have = *k;
        }
        if (have)
            have->seen = true;
        else if (is_kept(&found[i]) && add_kind(g, &found[i], NULL) < 0)
            break;
    }
    free(found);
    vec_foreach (k, &g->kinds) {
        if (((*k)->group.len == 0) != core)
            continue;
        if (!(*k)->seen)
            (*k)->objects = informer_free((*k)->objects);
        (*k)->seen = false;
    }
}

static void discover(Garbage *g, const char *path);

static void again_after(Garbage *g, uint64_t ms)
{
    (void)source_set_timer(g->timer, ms, 0, NULL);
}

static void on_groups(void *ctx, const ApiResult *r)
{
    Garbage *g = ctx;
    g->call = NULL;
    if (r->err) {
        again_after(g, RETRY_MS);
        return;
    }
    take_kinds(g, r->body, false);
    g->discovered = true;
    again_after(g, REFRESH_MS);
}

static void on_core(void *ctx, const ApiResult *r)
{
    Garbage *g = ctx;
    g->call = NULL;
    if (r->err) {
        again_after(g, RETRY_MS);
        return;
    }
    take_kinds(g, r->body, true);
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
        again_after(g, RETRY_MS);
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
    OwnerState *owners;
    Value refs;
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
                               .kind = KIND_MAX,
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
                               .kind = KIND_MAX,
                               .target = *t,
                               .body = &patch,
                               .content_type = API_PATCH_MERGE,
                               .done = on_patched });
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
                value_push(&j->arena, &kept, ch->refs.items[i]);
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
    StrView uid = value_str(value_get(&ch->refs.items[l->i], SV("uid")));
    if (missing || (!r->err && !sv_eq(value_path_str(r->body, "metadata.uid"), uid)))
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
    value_list_foreach (ref, &view(o)->owners) {
        if (sv_eq(value_str(value_get(ref, SV("uid"))), owner) &&
            value_bool_or(value_get(ref, SV("blockOwnerDeletion")), false))
            return true;
    }
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
        if (view(d.object)->deleting && view(d.object)->foreground && blocks(d.object, o->uid))
            walk_add(w, d.object);
}

/* True when `o` waits for `target`, itself or through others. */
static bool waits_for(Garbage *g, const ApiObject *o, const ApiObject *target)
{
    Walk w = { .seen = { o }, .n = 1 };
    if (!view(o)->deleting || !view(o)->foreground)
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

static Check *check_new(Job *j, GarbageKind *k, const ApiObject *o)
{
    Check *ch = arena_new(&j->arena, Check);
    if (!ch)
        return NULL;
    *ch = (Check){ .kind = k,
                   .ns = arena_sv(&j->arena, o->ns),
                   .name = arena_sv(&j->arena, o->name),
                   .uid = arena_sv(&j->arena, o->uid),
                   .rv = arena_sv(&j->arena, o->resource_version),
                   .n = value_len(&view(o)->owners),
                   .has_dependents = has_dependents(k->g, o->uid),
                   .foreground = view(o)->foreground,
                   .orphan = view(o)->orphan };
    ch->owners = arena_array(&j->arena, OwnerState, ch->n + 1);
    return ch->owners && value_clone(&j->arena, &view(o)->owners, &ch->refs) ? ch : NULL;
}

/* Says on the object that an owner which it names is there, but in another namespace: owners are
 * looked for in the object's own, and it may go for that. */
static void warn_of_namespace(const GarbageKind *k, const ApiObject *o, const GarbageKind *owner,
                              const Value *ref)
{
    size_t n;
    StrView uid = value_str(value_get(ref, SV("uid"))), ns = o->ns.len ? o->ns : SV("");
    ApiObject *const *found = informer_by_index(owner->objects, BY_UID, uid, &n);
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
                 SV_FMT(value_str(value_get(ref, SV("apiVersion")))),
                 SV_FMT(value_str(value_get(ref, SV("kind")))), SV_FMT(ns),
                 SV_FMT(value_str(value_get(ref, SV("name")))), SV_FMT(uid), SV_FMT(ns));
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
        const Value *ref = &ch->refs.items[i];
        const GarbageKind *ok = kind_of_ref(k->g, ref);
        const ApiObject *owner = ok ? object_of_ref(ok, ref, ch->ns) : NULL;
        Lookup *l = arena_new(&j->arena, Lookup);
        ch->owners[i] =
            owner && view(owner)->deleting && view(owner)->foreground ? OWNER_WAITING : OWNER_SOLID;
        if (owner || !ok || !l)
            continue;
        warn_of_namespace(k, o, ok, ref);
        if (ok->namespaced && !ch->ns.len)
            continue;
        *l = (Lookup){ ch, i };
        ApiTarget t =
            target_of(ok, ok->namespaced ? ch->ns : SV_NULL, value_str(value_get(ref, SV("name"))));
        t.metadata_only = true;
        ch->waiting++;
        job_call(j, &(JobRequest){ .method = SV("GET"),
                                   .kind = KIND_MAX,
                                   .target = t,
                                   .done = on_owner,
                                   .arg = l });
    }
    if (--ch->waiting == 0 && !j->failed)
        decide(j, ch);
}

static void release(Job *j, GarbageKind *k, const ApiObject *o, StrView owner)
{
    Value kept = value_list();
    ApiTarget t = target_of(k, o->ns, o->name);
    value_list_foreach (ref, &view(o)->owners) {
        if (!sv_eq(value_str(value_get(ref, SV("uid"))), owner))
            value_push(&j->arena, &kept, *ref);
    }
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
    bool orphan = view(o)->orphan;
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
    job_call(j, &(JobRequest){ .method = SV("GET"),
                               .kind = KIND_MAX,
                               .target = t,
                               .done = on_finalizers,
                               .arg = ch });
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
    else if (!view(o)->deleting && value_len(&view(o)->owners))
        check_owners(j, k, o);
}

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
}

static int setup(Controller *c, Err *err)
{
    Garbage *g = c->state = calloc(1, sizeof *g);
    if (!g)
        return err_nomem(err);
    g->c = c;
    return loop_add_timer(c->cs->loop, 0, 0, on_timer, g, &g->timer, err);
}

static void teardown(Controller *c)
{
    Garbage *g = c->state;
    if (!g)
        return;
    vec_foreach (k, &g->kinds) {
        informer_free((*k)->objects);
        free((*k)->text);
        free(*k);
    }
    vec_free(&g->kinds);
    api_call_cancel(g->call);
    source_free(g->timer);
    free(g);
    c->state = NULL;
}

const ControllerDef garbage_controller = {
    "garbage-collector-controller", observe, reconcile, 10, setup, teardown
};
