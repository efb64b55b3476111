/* garbage.c - ends what nobody owns any more: pods of ReplicaSets, ReplicaSets of Deployments and
 * EndpointSlices of Services, and finishes foreground and orphaning deletions of their owners.
 *
 * Keys are "kind:namespace/name"; so one queue serves dependents and owners. A dependent whose owner the
 * informers do not know is deleted only after the API server said that the owner is gone. */
#include <stdio.h>

#include "api/kinds.h"
#include "controller/controller_internal.h"

static const KindId dependents[] = { KIND_POD, KIND_REPLICASET, KIND_ENDPOINTSLICE };
static const KindId owners[] = { KIND_REPLICASET, KIND_DEPLOYMENT, KIND_SERVICE };

static void queue(Controller *c, KindId kind, const ApiObject *o)
{
    char key[512];
    int n = snprintf(key, sizeof key, "%d:%.*s/%.*s", (int)kind, SV_FMT(o->ns), SV_FMT(o->name));
    if (n > 0 && (size_t)n < sizeof key)
        workqueue_add(c->queue, sv_n(key, (size_t)n));
}

static bool is_one_of(KindId kind, const KindId *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == kind)
            return true;
    return false;
}

static bool is_held(const ApiObject *o)
{
    return obj_deleting(o) && (obj_has_finalizer(o, SV("foregroundDeletion")) || obj_has_finalizer(o, SV("orphan")));
}

static ApiObject *owner_of(Controllers *cs, const ApiObject *o, KindId *ret_kind)
{
    const Value *ref = obj_controller_ref(o);
    StrView kind = value_str(value_get(ref, SV("kind"))), uid = value_str(value_get(ref, SV("uid")));
    for (size_t i = 0; ref && i < ARRAY_SIZE(owners); i++) {
        if (!sv_eq(kind_info[owners[i]].kind, kind))
            continue;
        *ret_kind = owners[i];
        ApiObject *owner = obj_find(cs, owners[i], o->ns, value_str(value_get(ref, SV("name"))));
        return owner && sv_eq(owner->uid, uid) ? owner : NULL;
    }
    return NULL;
}

static void observe(Controller *c, KindId kind, ApiObject *old, ApiObject *now)
{
    ApiObject *o = now ? now : old;
    KindId owner_kind;
    if (is_one_of(kind, dependents, ARRAY_SIZE(dependents))) {
        ApiObject *owner = owner_of(c->cs, o, &owner_kind);
        if (now && obj_controller_ref(now) && !owner)
            queue(c, kind, now);
        if (owner && is_held(owner))
            queue(c, owner_kind, owner);
    }
    if (!is_one_of(kind, owners, ARRAY_SIZE(owners)))
        return;
    if (now && is_held(now))
        queue(c, kind, now);
    for (size_t i = 0; !now && i < ARRAY_SIZE(dependents); i++) {
        size_t n;
        ApiObject *const *owned = obj_owned(c->cs, dependents[i], old, &n);
        for (size_t k = 0; k < n; k++)
            queue(c, dependents[i], owned[k]);
    }
}

/* ---- dependents ---- */

typedef struct Orphan {
    KindId kind;
    ApiObject key; /* of the dependent: ns, name and uid only */
    StrView owner_uid;
} Orphan;

static bool on_owner(Job *j, const ApiResult *r, void *arg)
{
    Orphan *o = arg;
    bool gone = r->err ? r->err->code == ERR_NOT_FOUND
                       : !sv_eq(value_path_str(r->body, "metadata.uid"), o->owner_uid);
    if (gone)
        job_delete(j, o->kind, &o->key, SV("Background"), NULL, NULL);
    return gone;
}

static void check_dependent(Job *j, KindId kind, ApiObject *obj)
{
    const Value *ref = obj_controller_ref(obj);
    StrView version = value_str(value_get(ref, SV("apiVersion"))), group = SV_NULL;
    KindId owner_kind;
    if (!ref || obj_deleting(obj) || owner_of(j->c->cs, obj, &owner_kind) ||
        value_len(value_get(obj_meta(obj), SV("ownerReferences"))) > 1)
        return;
    StrView head, tail;
    if (sv_cut(version, '/', &head, &tail)) {
        group = head;
        version = tail;
    }
    const ApiResource *k = api_kind_find(group, version, value_str(value_get(ref, SV("kind"))));
    Orphan *o = arena_new(&j->arena, Orphan);
    if (!k || !o)
        return; /* an owner of a kind that is not known here is taken to exist */
    *o = (Orphan){ kind, { .ns = arena_sv(&j->arena, obj->ns), .name = arena_sv(&j->arena, obj->name),
                           .uid = arena_sv(&j->arena, obj->uid) },
                   arena_sv(&j->arena, value_str(value_get(ref, SV("uid")))) };
    job_call(j, &(JobRequest){ .method = SV("GET"), .kind = kind, .done = on_owner, .arg = o,
                               .target = { .group = k->group, .version = k->version, .plural = k->plural,
                                           .ns = k->namespaced ? obj->ns : SV_NULL,
                                           .name = value_str(value_get(ref, SV("name"))) } });
}

/* ---- owners ---- */

static void drop_finalizer(Job *j, KindId kind, const ApiObject *o, StrView name)
{
    Value copy = obj_copy(j, o), *list = value_path(&copy, "metadata.finalizers");
    for (uint32_t i = value_len(list); i-- > 0;)
        if (sv_eq(value_str(value_at(list, i)), name))
            value_remove(list, i);
    job_update(j, kind, SV_NULL, &copy);
}

static void release(Job *j, KindId kind, const ApiObject *o, const ApiObject *owner)
{
    Value copy = obj_copy(j, o), *list = value_path(&copy, "metadata.ownerReferences");
    for (uint32_t i = value_len(list); i-- > 0;)
        if (sv_eq(value_str(value_get(value_at(list, i), SV("uid"))), owner->uid))
            value_remove(list, i);
    job_update(j, kind, SV_NULL, &copy);
}

static void finish_owner(Job *j, KindId kind, ApiObject *owner)
{
    bool orphan = obj_has_finalizer(owner, SV("orphan"));
    size_t total = 0;
    for (size_t i = 0; i < ARRAY_SIZE(dependents); i++) {
        size_t n;
        ApiObject *const *owned = obj_owned(j->c->cs, dependents[i], owner, &n);
        total += n;
        for (size_t k = 0; k < n; k++) {
            if (orphan)
                release(j, dependents[i], owned[k], owner);
            else if (!obj_deleting(owned[k]))
                job_delete(j, dependents[i], owned[k], SV("Foreground"), NULL, NULL);
        }
    }
    if (total)
        job_again(j, 200);
    else
        drop_finalizer(j, kind, owner, orphan ? SV("orphan") : SV("foregroundDeletion"));
}

static void reconcile(Job *j)
{
    StrView number, ns;
    uint64_t kind;
    if (!sv_cut(j->ns, ':', &number, &ns) || sv_to_u64(number, &kind) < 0 || kind >= KIND_MAX)
        return;
    ApiObject *o = obj_find(j->c->cs, (KindId)kind, ns, j->name);
    if (!o)
        return;
    if (is_held(o))
        finish_owner(j, (KindId)kind, o);
    else
        check_dependent(j, (KindId)kind, o);
}

const ControllerDef garbage_controller = { "garbage-collector", observe, reconcile, 10 };
