/* write.c - the states of a WriteOp, one function each.
 *
 * A write is checked against a snapshot and committed under the condition that the object is still
 * the version it was made from. When somebody was faster, a patch (and an update without a
 * revision) is done again on the newer version; everything else is answered with a conflict. */
#include "apiserver/write.h"

#include "api/check.h"
#include "api/defaults.h"
#include "api/validate.h"
#include "apiserver/convert.h"
#include "apiserver/fields.h"
#include "apiserver/object.h"
#include "apiserver/pod_warnings.h"
#include "apiserver/respond.h"
#include "apiserver/services.h"
#include "apiserver/strategy.h"
#include "apiserver/token_secret.h"
#include "base/clock.h"
#include "base/encode.h"
#include "codec/json.h"

static const Value *old_of(const WriteOp *w)
{
    return w->have ? &w->old : NULL;
}

static int success_code(const WriteOp *w)
{
    if (w->plan.code)
        return w->plan.code;
    return w->have ? 200 : 201;
}

/* ---- prepare: an object that is new ---- */

static bool place_in_namespace(ApiCall *x, Value *meta)
{
    StrView ns = value_str(value_get(meta, SV("namespace")));
    if (!x->res->namespaced) {
        value_del(meta, SV("namespace"));
        return true;
    }
    if (ns.len && !sv_eq(ns, x->ns)) {
        respond_status(
            x, REASON_BAD_REQUEST,
            "the namespace of the provided object does not match the namespace sent on the request");
        return false;
    }
    value_set(x->arena, meta, SV("namespace"), value_sv(x->ns));
    return true;
}

/* Takes the name, or makes one from generateName (five random characters, names cut at 63). */
static bool name_object(ApiCall *x, Value *meta)
{
    x->name = value_str(value_get(meta, SV("name")));
    StrView base = value_str(value_get(meta, SV("generateName")));
    if (!x->name.len && base.len) {
        char suffix[5];
        random_suffix(suffix, sizeof suffix);
        x->name =
            arena_printf(x->arena, "%.*s%.5s", (int)MIN(base.len, (size_t)58), base.ptr, suffix);
        value_set(x->arena, meta, SV("name"), value_sv(x->name));
    }
    ApiErrors errors = { .arena = x->arena };
    ApiPath metadata = API_FIELD(NULL, "metadata"), name = API_FIELD(&metadata, "name");
    NameFaults faults = { .n = 0 };
    if (!x->name.len)
        api_required(&errors, &name, "name or generateName is required");
    name_path_segment(x->name, &faults); /* the rest is validation's, but this becomes a key now */
    for (unsigned i = 0; i < faults.n; i++)
        api_invalid(&errors, &name, value_sv(x->name), "%.*s", SV_FMT(faults.why[i]));
    if (!errors.len)
        return true;
    respond_invalid(x, x->name, &errors);
    return false;
}

static void stamp_new(ApiCall *x, Value *meta)
{
    char uid[UUID_SIZE] = "", now[RFC3339_SIZE];
    uuid4(uid);
    rfc3339_format(clock_real_ns(), 0, now);
    value_set(x->arena, meta, SV("uid"), value_sv(arena_sv(x->arena, sv_cstr(uid))));
    value_set(x->arena, meta, SV("creationTimestamp"), value_sv(arena_sv(x->arena, sv_cstr(now))));
    value_del(meta, SV("deletionTimestamp"));
    value_del(meta, SV("deletionGracePeriodSeconds"));
    value_del(meta, SV("selfLink"));
    value_del(meta, SV("managedFields"));
    value_del(meta, SV("resourceVersion"));
}

static bool is_taken(ApiCall *x)
{
    Snapshot *sn = store_snapshot(x->srv->store);
    bool taken = snapshot_get(sn, sv_cstr(x->key)) != NULL;
    snapshot_unref(sn);
    return taken;
}

static bool prepare_create(WriteOp *w)
{
    ApiCall *x = w->x;
    Value *meta = value_get(&w->obj, SV("metadata"));
    if (!value_is(meta, VALUE_MAP))
        meta = value_set(x->arena, &w->obj, SV("metadata"), value_map());
    if (!meta) {
        respond_nomem(x);
        return false;
    }
    if (value_str(value_get(meta, SV("resourceVersion"))).len) {
        respond_status(x, REASON_BAD_REQUEST,
                       "resourceVersion should not be set on objects to be created");
        return false;
    }
    if (!place_in_namespace(x, meta) || !name_object(x, meta))
        return false;
    if (!registry_key(x->res, call_scope(x), x->name, x->key)) {
        respond_status(x, REASON_BAD_REQUEST,
                       "metadata.name: Too long: may not be more than 253 bytes");
        return false;
    }
    if (is_taken(x)) { /* before any work for it; the store has the last word */
        respond_exists(x, x->name);
        return false;
    }
    stamp_new(x, meta);
    strategy_prepare_create(x, &w->obj);
    return true;
}

/* ---- prepare: a new version ---- */

/* What no client may change. */
static void keep_identity(ApiCall *x, Value *obj, const Value *old)
{
    static const StrView kept[] = { SV_INIT("uid"),
                                    SV_INIT("creationTimestamp"),
                                    SV_INIT("deletionTimestamp"),
                                    SV_INIT("deletionGracePeriodSeconds"),
                                    SV_INIT("generation"),
                                    SV_INIT("generateName") };
    Value *meta = value_get(obj, SV("metadata"));
    const Value *old_meta = value_get(old, SV("metadata"));
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        const Value *v = value_get(old_meta, kept[i]);
        if (v)
            value_set(x->arena, meta, kept[i], *v);
        else
            value_del(meta, kept[i]);
    }
    value_del(meta, SV("selfLink"));
    value_del(meta, SV("managedFields"));
}

static bool check_preconditions(ApiCall *x, const Value *obj, const Value *old,
                                const ObjectRev *have, bool *ret_unconditional)
{
    StrView rv = value_path_str(obj, "metadata.resourceVersion"),
            uid = value_path_str(obj, "metadata.uid");
    uint64_t rev = 0;
    *ret_unconditional = !rv.len || sv_eq(rv, SV("0"));
    if (uid.len && !sv_eq(uid, value_path_str(old, "metadata.uid"))) {
        StrView why =
            arena_printf(x->arena,
                         "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                         SV_FMT(uid), SV_FMT(value_path_str(old, "metadata.uid")));
        respond_conflict(x, why.ptr);
        return false;
    }
    if (!*ret_unconditional && (sv_to_u64(rv, &rev) < 0 || rev != have->mod_rev)) {
        respond_conflict(x, NULL);
        return false;
    }
    return true;
}

/* An object that is being deleted goes when its last finalizer does. */
static bool deletion_complete(const Value *obj)
{
    const Value *meta = value_get(obj, SV("metadata"));
    return value_get(meta, SV("deletionTimestamp")) &&
           !value_len(value_get(meta, SV("finalizers"))) &&
           !value_len(value_path(obj, "spec.finalizers")) &&
           value_int_or(value_get(meta, SV("deletionGracePeriodSeconds")), 0) == 0;
}

static bool prepare_update(WriteOp *w)
{
    ApiCall *x = w->x;
    Value *obj = &w->obj;
    const Value *sent = value_path(obj, "metadata.managedFields");
    w->has_given = sent != NULL;
    w->given = sent ? *sent : value_null();
    if (!check_preconditions(x, obj, &w->old, w->have, &w->retriable))
        return false;
    if (!value_is(value_get(obj, SV("metadata")), VALUE_MAP))
        value_set(x->arena, obj, SV("metadata"), value_map());
    value_set(x->arena, obj, SV("kind"), value_sv(x->res->kind));
    value_set(x->arena, obj, SV("apiVersion"), value_sv(x->res->api_version));
    keep_identity(x, obj, &w->old);
    if (x->res->namespaced)
        value_set_path(x->arena, obj, "metadata.namespace", value_sv(x->ns));
    strategy_prepare_update(x, obj, &w->old);
    w->effect = deletion_complete(obj) ? EFFECT_DELETE : EFFECT_PUT;
    return true;
}

/* ---- the states ---- */

static WriteState step_read(WriteOp *w)
{
    return !w->plan.read || w->plan.read(w->x, w->plan.ctx) ? WRITE_FIND : WRITE_DONE;
}

/* Takes a reference of the newest version. */
static WriteState step_find(WriteOp *w)
{
    ApiCall *x = w->x;
    w->have = object_rev_unref(w->have);
    if (w->plan.way == WRITE_CREATE)
        return WRITE_MAKE;
    if (!registry_key(x->res, call_scope(x), x->name, x->key)) {
        respond_not_found(x);
        return WRITE_DONE;
    }
    Snapshot *sn = store_snapshot(x->srv->store);
    w->have = object_rev_ref(snapshot_get(sn, sv_cstr(x->key)));
    snapshot_unref(sn);
    if (w->have)
        return WRITE_MAKE;
    if (w->plan.way == WRITE_UPSERT)
        return w->plan.may_create(x) ? WRITE_MAKE : WRITE_DONE;
    respond_not_found(x);
    return WRITE_DONE;
}

static bool decode_old(WriteOp *w)
{
    Err err = { 0 };
    if (!w->have || object_decode(w->x->res, w->have, w->x->arena, &w->old, &err) == 0)
        return true;
    respond_err(w->x, &err);
    return false;
}

static WriteState step_make(WriteOp *w)
{
    ApiCall *x = w->x;
    w->effect = EFFECT_PUT;
    w->formed = false;
    w->retriable = w->plan.way == WRITE_DELETION || w->plan.way == WRITE_ACTION;
    if (!decode_old(w) || !w->plan.make(w))
        return WRITE_DONE;
    if (w->plan.way == WRITE_ACTION)
        return WRITE_FORM;
    w->admit.old = old_of(w);
    if (w->plan.way == WRITE_DELETION) {
        admit_begin(&w->admit, ADMIT_DELETING);
        return WRITE_ADMIT;
    }
    admit_begin(&w->admit, ADMIT_MUTATING);
    if (!(w->have ? prepare_update(w) : prepare_create(w)))
        return WRITE_DONE;
    if (!api_defaults_apply(x->res, &w->obj, x->arena)) {
        respond_nomem(x);
        return WRITE_DONE;
    }
    return WRITE_MUTATE;
}

/* Where admission leads to: on, to the end, or into waiting for the same state to go on. */
static WriteState after_admission(WriteOp *w, WriteState on)
{
    AdmitResult r = admit_run(&w->admit);
    w->resume = w->state;
    return r == ADMIT_OK ? on : r == ADMIT_WAIT ? WRITE_WAITING : WRITE_DONE;
}

static WriteState step_mutate(WriteOp *w)
{
    return after_admission(w, WRITE_VALIDATE);
}

static bool is_valid(WriteOp *w)
{
    ApiCall *x = w->x;
    ApiErrors errors = { .arena = x->arena };
    if (sv_eq(x->sub, SV("status")))
        api_validate_meta(x->res, &w->obj, old_of(w), &errors);
    else if (sv_eq(x->sub, SV("ephemeralcontainers")))
        api_validate_ephemeral(x->res, &w->obj, old_of(w), &errors);
    else
        api_validate(x->res, &w->obj, old_of(w), &errors);
    if (!errors.len)
        return true;
    respond_invalid(x, x->name, &errors);
    return false;
}

static WriteState step_validate(WriteOp *w)
{
    if (!is_valid(w))
        return WRITE_DONE;
    admit_begin(&w->admit, ADMIT_VALIDATING);
    return WRITE_ADMIT;
}

static WriteState step_admit(WriteOp *w)
{
    return after_admission(w, w->formed ? WRITE_COMMIT : WRITE_CLAIM);
}

/* Addresses and ports of Services, for the transaction that writes the object in this form. */
static bool make_claims(WriteOp *w)
{
    ApiCall *x = w->x;
    const Value *after = w->effect == EFFECT_DELETE ? NULL : &w->obj;
    Err err = { 0 };
    w->n_claims = 0;
    if (w->effect == EFFECT_NONE || x->res->group.len || !sv_eq(x->res->kind, SV("Service")) ||
        services_claims(x->srv->store, after, old_of(w), x->arena, &w->claims, &w->n_claims,
                        &err) == 0)
        return true;
    respond_err(x, &err);
    return false;
}

static WriteState step_claim(WriteOp *w)
{
    if (!w->have)
        strategy_warn_if_idle(w->x);
    if (w->effect == EFFECT_PUT)
        pod_warn(w->x, &w->obj, old_of(w));
    return make_claims(w) ? WRITE_FORM : WRITE_DONE;
}

/* What conversion made is held to what its form says, as if it had been sent so. */
static bool conversion_is_sound(WriteOp *w, const ApiResource *form, Value *stored)
{
    ApiCall *x = w->x;
    ApiErrors errors = { .arena = x->arena };
    Err err = { 0 };
    Value own;
    if (!value_clone(x->arena, stored, &own)) {
        respond_nomem(x);
        return false;
    }
    *stored = own;
    if (api_decode_check(form->schema, stored, x->arena, NULL, &err) < 0) {
        respond_err(x, &err);
        return false;
    }
    api_validate(form, stored, NULL, &errors);
    if (errors.len)
        respond_invalid(x, x->name, &errors);
    return !errors.len;
}

/* The object in the form that is stored. Patches, one behind the other, must not nest deeper than a
 * body may by much; what only goes towards its deletion is left as it is. False after answering. */
static bool make_stored(WriteOp *w, bool tracked, Value *ret)
{
    ApiCall *x = w->x;
    const ApiResource *form = convert_stored(x->res);
    bool of_status = sv_eq(x->sub, SV("status")), makes = convert_makes_values(x->res);
    if (makes && !of_status)
        convert_keep_status(x->res, &w->obj, old_of(w), x->arena);
    *ret = convert_object(x->res, &w->obj, x->arena);
    if (makes && tracked && !conversion_is_sound(w, form, ret))
        return false;
    if (tracked && (value_depth(&w->obj, OBJECT_DEPTH_MAX) > OBJECT_DEPTH_MAX ||
                    (makes && value_depth(ret, OBJECT_DEPTH_MAX) > OBJECT_DEPTH_MAX))) {
        respond_status(x, REASON_TOO_LARGE, "the object exceeds the max depth of %d",
                       OBJECT_DEPTH_MAX);
        return false;
    }
    return !respond_exhausted(x);
}

static uint32_t sum_of_bytes(StrView s)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < s.len; i++)
        sum += (unsigned char)s.ptr[i];
    return sum;
}

/* Whether the store has the object as it would be written. The order of fields, which a client may
 * choose, makes no other version. What differs in nothing else has the same bytes, so that most of
 * what is new, a time of day in a status above all, is known without a tree. */
static bool is_stored_so(const WriteOp *w)
{
    Value now, then;
    StrView val = buf_view(&w->val);
    if (!w->have || val.len != w->have->val.len)
        return false;
    return sv_eq(val, w->have->val) ||
           (sum_of_bytes(val) == sum_of_bytes(w->have->val) &&
            json_decode(val, w->x->arena, NULL, &now, NULL) == 0 &&
            json_decode(w->have->val, w->x->arena, NULL, &then, NULL) == 0 &&
            value_equal(&now, &then));
}

static WriteState step_form(WriteOp *w)
{
    ApiCall *x = w->x;
    bool tracked = w->plan.way != WRITE_DELETION && w->plan.way != WRITE_ACTION;
    Err err = { 0 };
    buf_clear(&w->val);
    buf_clear(&w->attrs);
    if (tracked &&
        !fields_track(x, &w->obj, old_of(w), w->has_given ? &w->given : NULL, w->settled)) {
        respond_nomem(x);
        return WRITE_DONE;
    }
    if (tracked && token_secret_fill(x, &w->obj, &w->made_token, &err) < 0) {
        respond_err(x, &err);
        return WRITE_DONE;
    }
    if (respond_exhausted(x))
        return WRITE_DONE;
    Value stored;
    if (w->effect == EFFECT_PUT && !make_stored(w, tracked, &stored))
        return WRITE_DONE;
    if (w->effect != EFFECT_PUT || x->dry_run)
        return WRITE_COMMIT;
    const ApiResource *form = convert_stored(x->res);
    object_store_form(form, &stored, &w->val);
    attrs_build(form, &stored, &w->attrs);
    if (!w->val.failed && !w->attrs.failed) {
        w->same = is_stored_so(w);
        return WRITE_COMMIT;
    }
    respond_nomem(x);
    return WRITE_DONE;
}

/* The object as it stays without a write: a dry run, or nothing that changes. */
static WriteState answer_stored(WriteOp *w)
{
    answer_written(w->x, w->plan.answer, success_code(w), w->have);
    return WRITE_DONE;
}

static WriteState answer_dry(WriteOp *w)
{
    if (w->effect == EFFECT_PUT)
        answer_unwritten(w->x, w->plan.answer, success_code(w), &w->obj);
    else
        answer_written(w->x, w->plan.answer, success_code(w), w->have);
    return WRITE_DONE;
}

/* Kubernetes keeps events for an hour. */
static int64_t lifetime_of(const ApiResource *res)
{
    return sv_eq(res->kind, SV("Event")) ? 3600 : 0;
}

/* What is new comes into the namespace that admission has looked at: not into one that is on its
 * way out by now, nor into another one of the same name. */
static bool needs_namespace(const WriteOp *w)
{
    return !w->have && w->admit.ns_rev;
}

static bool add_namespace(const WriteOp *w, char key[static STORE_KEY_MAX], StoreOp *ret)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), SV("namespaces"));
    if (!needs_namespace(w) || !registry_key(res, SV_NULL, w->x->ns, key))
        return false;
    *ret = (StoreOp){ .kind = STORE_CHECK, .key = sv_cstr(key), .if_rev = w->admit.ns_rev };
    return true;
}

static WriteState hand_over(WriteOp *w, const StoreOp *op)
{
    ApiCall *x = w->x;
    Err err = { 0 };
    StoreOp ops[STORE_OPS_MAX] = { *op };
    char key[STORE_KEY_MAX];
    size_t n = 1;
    for (size_t i = 0; i < w->n_claims; i++)
        ops[n++] = w->claims[i];
    n += add_namespace(w, key, &ops[n]);
    w->resume = WRITE_ANSWER;
    if (commit_start(&w->commit, x->srv->store, ops, n, &err) == 0)
        return WRITE_WAITING;
    respond_err(x, &err);
    return WRITE_DONE;
}

/* What an object on its way out gets (a mark, a last status, a finalizer less) is let in on a full
 * disk, so that it can go; it may not grow by more than that. */
static bool leads_to_deletion(const WriteOp *w)
{
    enum { LAST_WORDS = 4096 };
    return w->have && w->val.len < w->have->val.len + LAST_WORDS &&
           value_path(&w->obj, "metadata.deletionTimestamp");
}

static WriteState step_commit(WriteOp *w)
{
    ApiCall *x = w->x;
    if (respond_exhausted(x))
        return WRITE_DONE;
    if (w->effect == EFFECT_NONE)
        return answer_stored(w);
    if (x->dry_run)
        return answer_dry(w);
    uint64_t rev = w->have ? w->have->mod_rev : 0;
    if (w->effect == EFFECT_DELETE)
        return hand_over(w, &(StoreOp){ .kind = STORE_DELETE, .key = w->have->key, .if_rev = rev });
    if (w->same)
        return answer_stored(w); /* no new revision */
    return hand_over(w, &(StoreOp){ .kind = STORE_PUT,
                                    .key = sv_cstr(x->key),
                                    .if_rev = rev,
                                    .val = buf_view(&w->val),
                                    .attrs = buf_view(&w->attrs),
                                    .frees = leads_to_deletion(w),
                                    .ttl_sec = lifetime_of(x->res) });
}

/* What is written is not answered with an error because the answer's form needs memory, too. */
static void add_room_for_answer(WriteOp *w)
{
    enum { ROOM_MIN = 64 * 1024, TREE_PER_BYTE = 16 };
    const ObjectRev *o = w->commit.obj;
    if (w->x->arena->limit)
        w->x->arena->limit += ROOM_MIN + TREE_PER_BYTE * (o ? o->val.len : 0);
}

static WriteState step_answer(WriteOp *w)
{
    ApiCall *x = w->x;
    const Err *err = &w->commit.err;
    if (err->code == ERR_NONE) {
        add_room_for_answer(w);
        if (w->effect == EFFECT_DELETE && w->plan.way != WRITE_DELETION)
            answer_unwritten(x, w->plan.answer, success_code(w), &w->obj);
        else if (w->made_token)
            answer_without_token(x, success_code(w), w->commit.obj);
        else
            answer_written(x, w->plan.answer, success_code(w), w->commit.obj);
        return WRITE_DONE;
    }
    bool lost = err->code == ERR_CONFLICT || err->code == ERR_NOT_FOUND,
         made = err->code == ERR_EXISTS; /* meanwhile, by somebody else */
    if (lost && needs_namespace(w) && ++w->tries < WRITE_TRIES_MAX) {
        w->formed = true;
        admit_begin(&w->admit, ADMIT_VALIDATING);
        return WRITE_ADMIT;
    }
    bool again = (lost && w->retriable) || (made && w->plan.way == WRITE_UPSERT) ||
                 (w->n_claims && (lost || made));
    if (again && ++w->tries < WRITE_TRIES_MAX)
        return WRITE_FIND;
    if (made)
        respond_exists(x, x->name);
    else if (err->code == ERR_NOT_FOUND)
        respond_not_found(x);
    else if (err->code == ERR_CONFLICT)
        respond_conflict(x, NULL);
    else
        respond_err(x, err);
    return WRITE_DONE;
}

/* ---- running ---- */

/* Those with `apart` use nothing of the server, and may run on another thread. */
static const struct {
    WriteState (*fn)(WriteOp *);
    bool apart;
} steps[WRITE_STATES] = {
    [WRITE_READ] = { step_read, true },         [WRITE_FIND] = { step_find, false },
    [WRITE_MAKE] = { step_make, true },         [WRITE_MUTATE] = { step_mutate, false },
    [WRITE_VALIDATE] = { step_validate, true }, [WRITE_ADMIT] = { step_admit, false },
    [WRITE_CLAIM] = { step_claim, false },      [WRITE_FORM] = { step_form, true },
    [WRITE_COMMIT] = { step_commit, false },    [WRITE_ANSWER] = { step_answer, false },
};

static void write_free(WriteOp *w)
{
    admit_stop(&w->admit);
    heavy_leave(&w->heavy);
    commit_reset(&w->commit);
    object_rev_unref(w->have);
    buf_free(&w->val);
    buf_free(&w->attrs);
    free(w);
}

/* A write that the store has goes on, only its answer has nobody to go to; any other ends. */
static void on_peer_gone(void *ctx)
{
    WriteOp *w = ctx;
    w->x = NULL;
    if (w->resume != WRITE_ANSWER)
        write_free(w);
}

static bool is_heavy(const WriteOp *w)
{
    size_t bytes = w->x->req->body.len + (w->have ? w->have->val.len : 0);
    return bytes >= HEAVY_FROM && !w->x->outcome &&
           (w->plan.way <= WRITE_UPSERT || (w->state == WRITE_READ && w->plan.read));
}

/* The state in hand, and those behind it that are apart as well. */
static void work_apart(void *ctx)
{
    WriteOp *w = ctx;
    WriteState at = w->resume;
    while (at < WRITE_STATES && steps[at].apart)
        at = steps[at].fn(w);
    w->resume = at;
}

/* True: the state is taken apart, or waits for a place to be. */
static bool go_apart(WriteOp *w)
{
    w->resume = w->state;
    return (!w->heavy.placed && !heavy_enter(&w->heavy)) || heavy_run(&w->heavy);
}

static void write_run(WriteOp *w)
{
    Outcome *outcome = w->x->outcome; /* the call may be gone once it is answered */
    while (w->state < WRITE_STATES) {
        if (steps[w->state].apart && is_heavy(w) && go_apart(w))
            w->state = WRITE_WAITING;
        else
            w->state = steps[w->state].fn(w);
    }
    if (w->state == WRITE_WAITING) {
        if (!outcome && !w->heavy.working)
            http_on_close(w->x->req, on_peer_gone, w);
        return;
    }
    write_free(w);
    if (outcome)
        outcome->done(outcome->ctx);
}

static void write_resume(void *ctx)
{
    WriteOp *w = ctx;
    if (!w->x) {
        write_free(w);
        return;
    }
    Outcome *outcome = w->x->outcome;
    if (!outcome)
        http_on_close(w->x->req, NULL, NULL);
    w->state = outcome && outcome->abandoned ? WRITE_DONE : w->resume;
    write_run(w);
}

/* There is a place, or the work is done. */
static void on_heavy(void *ctx)
{
    WriteOp *w = ctx;
    Outcome answer = w->heavy.answer;
    w->heavy.answer = (Outcome){ 0 };
    w->x = w->heavy.x;
    if (w->x && answer.code) {
        w->resume = WRITE_DONE;
        respond_outcome(w->x, &answer);
    }
    buf_free(&answer.status);
    write_resume(w);
}

void write_start(ApiCall *x, const WritePlan *plan)
{
    WriteOp *w = calloc(1, sizeof *w);
    if (!w) {
        Outcome *outcome = x->outcome; /* as write_run() */
        respond_nomem(x);
        if (outcome)
            outcome->done(outcome->ctx);
        return;
    }
    w->x = x;
    w->plan = *plan;
    w->admit = (AdmitChain){ .x = x, .obj = &w->obj, .resume = write_resume, .ctx = w };
    w->commit = (Commit){ .loop = x->on->loop, .done = write_resume, .ctx = w };
    w->heavy = (Heavy){ .x = x, .work = work_apart, .done = on_heavy, .ctx = w };
    write_run(w);
}
