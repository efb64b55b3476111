/* claim.c - who controls what: a controller takes the objects that its selector matches and that
 * nobody controls, and lets go of those that do not match any more.
 *
 * Before it takes any it asks the server whether the owner is still there: what this process knows
 * of owners may be older than what it knows of orphans, and an orphan that a dead owner took would
 * be collected. */
#include "controller/controller_internal.h"

typedef struct Claim {
    const WatchedKind *owner_kind, *kind;
    StrView owner_uid;
    const Selector *selector;
} Claim;

static bool is_orphan(Job *j, const Claim *c, const ApiObject *o)
{
    bool wanted = c->kind == &kind_pods ? pod_active(j->c, o) : !obj_deleting(o);
    return wanted && !controller_of(o) && claim_matches(c->selector, o);
}

/* The list of owners is merged by uid: other owners stay. */
static void take(Job *j, const Claim *c, const ApiObject *owner, const ApiObject *o)
{
    Value patch = value_map();
    value_set_path(&j->arena, &patch, "metadata.ownerReferences",
                   obj_owner_refs(&j->arena, c->owner_kind, owner));
    job_patch(j, c->kind, o, SV_NULL, API_PATCH_STRATEGIC, &patch);
}

static bool on_owner(Job *j, const ApiResult *r, void *arg)
{
    const Claim *c = arg;
    const Value *meta = value_get(r->body, SV("metadata"));
    ApiObject *owner = obj_find(j->c, c->owner_kind, j->ns, j->name);
    if (r->err)
        return r->err->code == ERR_NOT_FOUND;
    if (!owner || !sv_eq(owner->uid, c->owner_uid) || value_get(meta, SV("deletionTimestamp")) ||
        !sv_eq(value_str(value_get(meta, SV("uid"))), c->owner_uid))
        return true;
    size_t n;
    ApiObject *const *all = obj_indexed(j->c, c->kind, INDEX_NS, j->ns, &n);
    for (size_t i = 0; i < n; i++)
        if (is_orphan(j, c, all[i]))
            take(j, c, owner, all[i]);
    return true;
}

bool claim_matches(const Selector *selector, const ApiObject *o)
{
    return selector_matches(selector, &meta_of(o)->labels);
}

bool claim_orphans(Job *j, const WatchedKind *owner_kind, const ApiObject *owner,
                   const WatchedKind *kind, const Selector *selector)
{
    Claim c = { owner_kind, kind, arena_sv(&j->arena, owner->uid), selector };
    size_t n;
    bool any = false;
    ApiObject *const *all = obj_indexed(j->c, kind, INDEX_NS, owner->ns, &n);
    for (size_t i = 0; i < n && !any; i++)
        any = is_orphan(j, &c, all[i]);
    if (!any)
        return false;
    Claim *kept = arena_new(&j->arena, Claim);
    if (!kept || !c.owner_uid.ptr) {
        job_fail(j);
        return true;
    }
    *kept = c;
    job_get(j, owner_kind, owner->ns, owner->name, on_owner, kept);
    return true;
}

void claim_release(Job *j, const ApiObject *owner, const WatchedKind *kind, const ApiObject *o)
{
    Arena *a = &j->arena;
    Value patch = value_map(), refs = value_list(), ref = value_map();
    value_set(a, &ref, SV("$patch"), value_sv(SV("delete")));
    value_set(a, &ref, SV("uid"), value_sv(owner->uid));
    value_push(a, &refs, ref);
    value_set_path(a, &patch, "metadata.ownerReferences", refs);
    job_patch(j, kind, o, SV_NULL, API_PATCH_STRATEGIC, &patch);
}
