/* claim.c - who controls what: a controller takes the objects that its selector matches and that
 * nobody controls, and lets go of those that do not match any more.
 *
 * Before it takes any it asks the server whether the owner is still there: what this process knows
 * of owners may be older than what it knows of orphans, and an orphan that a dead owner took would
 * be collected. */
#include "controller/controller_internal.h"

typedef struct Claim {
    KindId owner_kind, kind;
    StrView owner_uid;
    const Selector *selector;
} Claim;

static bool is_orphan(Job *j, const Claim *c, const ApiObject *o)
{
    bool wanted = c->kind == KIND_POD ? pod_active(j->c, o) : !obj_deleting(o);
    return wanted && !obj_controller_ref(o) && claim_matches(c->selector, o);
}

static void take(Job *j, const Claim *c, const ApiObject *owner, const ApiObject *o)
{
    Value copy = obj_copy(j, o), refs = obj_owner_refs(&j->arena, c->owner_kind, owner);
    value_list_foreach (ref, value_get(obj_meta(o), SV("ownerReferences"))) {
        if (!sv_eq(value_str(value_get(ref, SV("uid"))), owner->uid))
            value_push(&j->arena, &refs, *ref);
    }
    value_set_path(&j->arena, &copy, "metadata.ownerReferences", refs);
    job_update(j, c->kind, SV_NULL, &copy);
}

static bool on_owner(Job *j, const ApiResult *r, void *arg)
{
    const Claim *c = arg;
    const Value *meta = value_get(r->body, SV("metadata"));
    ApiObject *owner = obj_find(j->c->cs, c->owner_kind, j->ns, j->name);
    if (r->err)
        return r->err->code == ERR_NOT_FOUND;
    if (!owner || !sv_eq(owner->uid, c->owner_uid) || value_get(meta, SV("deletionTimestamp")) ||
        !sv_eq(value_str(value_get(meta, SV("uid"))), c->owner_uid))
        return true;
    size_t n;
    ApiObject *const *all = informer_by_index(j->c->cs->informers[c->kind], INDEX_NS, j->ns, &n);
    for (size_t i = 0; i < n; i++)
        if (is_orphan(j, c, all[i]))
            take(j, c, owner, all[i]);
    return true;
}

bool claim_matches(const Selector *selector, const ApiObject *o)
{
    return selector_matches(selector, value_get(obj_meta(o), SV("labels")));
}

bool claim_orphans(Job *j, KindId owner_kind, const ApiObject *owner, KindId kind,
                   const Selector *selector)
{
    Claim c = { owner_kind, kind, arena_sv(&j->arena, owner->uid), selector };
    size_t n;
    bool any = false;
    ApiObject *const *all = informer_by_index(j->c->cs->informers[kind], INDEX_NS, owner->ns, &n);
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
    job_call(j, &(JobRequest){ .method = SV("GET"),
                               .kind = owner_kind,
                               .target = { .ns = owner->ns, .name = owner->name },
                               .done = on_owner,
                               .arg = kept });
    return true;
}

void claim_release(Job *j, const ApiObject *owner, KindId kind, const ApiObject *o)
{
    Value copy = obj_copy(j, o), *list = value_path(&copy, "metadata.ownerReferences");
    for (uint32_t i = value_len(list); i-- > 0;)
        if (sv_eq(value_str(value_get(value_at(list, i), SV("uid"))), owner->uid))
            value_remove(list, i);
    if (value_len(list) == 0)
        value_del(value_get(&copy, SV("metadata")), SV("ownerReferences"));
    job_update(j, kind, SV_NULL, &copy);
}
