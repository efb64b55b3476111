/* rest_delete.c - delete: preconditions, grace, finalizers, propagation.
 *
 * deletion_plan() decides, without touching the store, what a deletion means for an object: gone at
 * once, or marked with a deletionTimestamp until its kubelet, its finalizers or its controller are
 * done. */
#include "apiserver/body.h"
#include "apiserver/delete.h"
#include "apiserver/handlers.h"
#include "apiserver/options.h"
#include "apiserver/respond.h"
#include "base/clock.h"

/* Nobody waits for a time that has passed: it counts as a second. */
static int64_t real_grace(int64_t seconds)
{
    return seconds < 0 ? 1 : seconds;
}

static void read_members(ApiCall *x, const Value *body, DeleteOptions *o, ApiErrors *errors)
{
    const Value *grace = value_get(body, SV("gracePeriodSeconds"));
    ApiPath path = API_FIELD(NULL, "propagationPolicy");
    if (value_is(grace, VALUE_INT))
        o->grace = real_grace(grace->i);
    o->uid = value_path_str(body, "preconditions.uid");
    o->rv = value_path_str(body, "preconditions.resourceVersion");
    StrView p = value_str(value_get(body, SV("propagationPolicy")));
    if (p.len)
        o->propagation = p;
    const Value *orphan = value_get(body, SV("orphanDependents")),
                *dry = value_get(body, SV("dryRun"));
    if (value_is(orphan, VALUE_BOOL) && p.len)
        api_invalid(errors, &path, value_sv(p),
                    "orphanDependents and deletionPropagation cannot be both set");
    else if (value_is(orphan, VALUE_BOOL))
        o->propagation = value_bool_or(orphan, false) ? SV("Orphan") : SV("Background");
    options_check_dry_run(dry, errors);
    x->dry_run |= value_len(dry) > 0;
}

static bool read_query(ApiCall *x, DeleteOptions *o)
{
    StrView text;
    int64_t n;
    http_query(x->req, SV("propagationPolicy"), &o->propagation);
    if (!http_query(x->req, SV("gracePeriodSeconds"), &text) || !text.len)
        return true;
    if (sv_to_i64(text, &n) < 0) {
        respond_status(x, REASON_BAD_REQUEST,
                       "gracePeriodSeconds: Invalid value: \"%.*s\": must be an integer",
                       SV_FMT(sv_head(text, 64)));
        return false;
    }
    o->grace = real_grace(n);
    return true;
}

static void check_propagation(StrView policy, ApiErrors *errors)
{
    static const StrView known[] = { SV_INIT("Foreground"), SV_INIT("Background"),
                                     SV_INIT("Orphan"), SV_INIT("nil") };
    ApiPath path = API_FIELD(NULL, "propagationPolicy");
    for (size_t i = 0; i + 1 < ARRAY_SIZE(known); i++)
        if (!policy.len || sv_eq(policy, known[i]))
            return;
    api_not_supported(errors, &path, value_sv(sv_head(policy, 64)), known, ARRAY_SIZE(known));
}

bool delete_options_read(ApiCall *x, const Value *given, DeleteOptions *o)
{
    ApiErrors errors = { .arena = x->arena };
    *o = (DeleteOptions){ .grace = -1 };
    if (!read_query(x, o))
        return false;
    if (given)
        read_members(x, given, o, &errors);
    else if (x->req->body.len) {
        Value body;
        Err err = { 0 };
        if (body_decode(x, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", &body, &err) < 0) {
            respond_status(x, REASON_BAD_REQUEST, "couldn't decode DeleteOptions: %s", err.msg);
            return false;
        }
        read_members(x, &body, o, &errors);
    }
    check_propagation(o->propagation, &errors);
    if (!errors.len)
        return true;
    respond_invalid_options(x, "DeleteOptions", &errors);
    return false;
}

static bool preconditions_hold(ApiCall *x, const DeleteOptions *o, const Value *obj,
                               const ObjectRev *have)
{
    uint64_t rev;
    StrView uid = value_path_str(obj, "metadata.uid");
    if (o->uid.len && !sv_eq(o->uid, uid)) {
        StrView why = arena_printf(
            x->arena,
            "the UID in the precondition (%.*s) does not match the UID in record (%.*s). The "
            "object might have been deleted and then recreated",
            SV_FMT(o->uid), SV_FMT(uid));
        respond_conflict(x, why.ptr);
        return false;
    }
    if (o->rv.len && (sv_to_u64(o->rv, &rev) < 0 || rev != have->mod_rev)) {
        StrView why = arena_printf(
            x->arena,
            "the ResourceVersion in the precondition (%.*s) does not match the ResourceVersion in "
            "record (%llu). The object might have been modified",
            SV_FMT(o->rv), (unsigned long long)have->mod_rev);
        respond_conflict(x, why.ptr);
        return false;
    }
    return true;
}

/* True when that changes anything. */
static bool set_finalizer(Arena *a, Value *meta, StrView name, bool wanted)
{
    Value *list = value_get(meta, SV("finalizers"));
    for (uint32_t i = 0; i < value_len(list); i++)
        if (sv_eq(value_str(value_at(list, i)), name)) {
            if (!wanted)
                value_remove(list, i);
            return !wanted;
        }
    if (!wanted)
        return false;
    if (!value_is(list, VALUE_LIST))
        list = value_set(a, meta, SV("finalizers"), value_list());
    if (list)
        value_push(a, list, value_sv(name));
    return true;
}

/* What becomes of dependents where the request says nothing: what the object's finalizers say; the
 * oldest kinds leave them, as in Kubernetes. Empty: the finalizers stay as they are. */
static StrView default_propagation(ApiCall *x, const Value *meta)
{
    bool is_rc = sv_eq(x->res->kind, SV("ReplicationController")) && !x->res->group.len;
    bool is_job = sv_eq(x->res->kind, SV("Job")) && sv_eq(x->res->group, SV("batch"));
    value_list_foreach (f, value_get(meta, SV("finalizers"))) {
        if (sv_eq(value_str(f), SV("orphan")) || sv_eq(value_str(f), SV("foregroundDeletion")))
            return SV_NULL;
    }
    if (is_job)
        respond_warning(x, SV("child pods are preserved by default when jobs are deleted; set "
                              "propagationPolicy=Background to remove them or set "
                              "propagationPolicy=Orphan to suppress this warning"));
    return is_rc || is_job ? SV("Orphan") : SV_NULL;
}

/* How long a pod may take to end: nobody has to stop what was never started or has ended. */
static int64_t pod_grace(const Value *pod, int64_t wanted)
{
    StrView phase = value_path_str(pod, "status.phase");
    if (!value_path_str(pod, "spec.nodeName").len || sv_eq(phase, SV("Failed")) ||
        sv_eq(phase, SV("Succeeded")))
        return 0;
    if (wanted >= 0)
        return wanted;
    return value_int_or(value_path(pod, "spec.terminationGracePeriodSeconds"), 30);
}

static void mark(Arena *a, Value *meta, int64_t grace)
{
    char when[RFC3339_SIZE];
    rfc3339_format(clock_real_ns() + grace * NSEC_PER_SEC, 0, when);
    value_set(a, meta, SV("deletionTimestamp"), value_sv(arena_sv(a, sv_cstr(when))));
    value_set(a, meta, SV("deletionGracePeriodSeconds"), value_int(grace));
}

static WriteEffect deletion_plan(ApiCall *x, const DeleteOptions *o, Value *obj)
{
    Value *meta = value_get(obj, SV("metadata"));
    bool is_pod = sv_eq(x->res->kind, SV("Pod")) && !x->res->group.len;
    bool is_ns = sv_eq(x->res->kind, SV("Namespace"));
    StrView propagation = o->propagation.len ? o->propagation : default_propagation(x, meta);
    bool other_way = false;
    if (propagation.len) {
        other_way |= set_finalizer(x->arena, meta, SV("orphan"), sv_eq(propagation, SV("Orphan")));
        other_way |= set_finalizer(x->arena, meta, SV("foregroundDeletion"),
                                   sv_eq(propagation, SV("Foreground")));
    }
    bool held = value_len(value_get(meta, SV("finalizers"))) > 0 ||
                (is_ns && value_len(value_path(obj, "spec.finalizers")) > 0);
    int64_t grace = is_pod ? pod_grace(obj, o->grace) : 0;
    if (value_get(meta, SV("deletionTimestamp"))) {
        int64_t left = value_int_or(value_get(meta, SV("deletionGracePeriodSeconds")), 0);
        if (grace >= left && !held && left == 0)
            return EFFECT_DELETE;
        if (grace >= left) /* a pod that is ending keeps to what it began with, as in Kubernetes */
            return other_way && !is_pod ? EFFECT_PUT : EFFECT_NONE;
        if (grace == 0 && !held)
            return EFFECT_DELETE;
    } else if (!held && grace == 0)
        return EFFECT_DELETE;
    mark(x->arena, meta, grace);
    if (is_ns)
        value_set_path(x->arena, obj, "status.phase", value_sv(SV("Terminating")));
    return EFFECT_PUT;
}

static bool make_deletion(WriteOp *w)
{
    ApiCall *x = w->x;
    const DeleteOptions *o = w->plan.ctx;
    if (!preconditions_hold(x, o, &w->old, w->have))
        return false;
    if (!value_clone(x->arena, &w->old, &w->obj)) {
        respond_nomem(x);
        return false;
    }
    w->effect = deletion_plan(x, o, &w->obj);
    if (w->effect != EFFECT_DELETE && w->plan.answer == ANSWER_DELETED)
        w->plan.answer = ANSWER_OBJECT;
    return true;
}

void delete_start(ApiCall *x, WriteReadFn *read, const DeleteOptions *o, AnswerForm answer,
                  int code)
{
    DeleteOptions *own = arena_new(x->arena, DeleteOptions);
    Outcome *outcome = x->outcome; /* the call may be gone once it is answered */
    if (!own) {
        respond_nomem(x);
        if (outcome)
            outcome->done(outcome->ctx);
        return;
    }
    if (o)
        *own = *o;
    write_start(x, &(WritePlan){ .way = WRITE_DELETION,
                                 .read = read,
                                 .make = make_deletion,
                                 .ctx = own,
                                 .answer = answer,
                                 .code = code });
}

static bool read_options(ApiCall *x, void *ctx)
{
    return delete_options_read(x, NULL, ctx);
}

void rest_delete(ApiCall *x)
{
    delete_start(x, read_options, NULL, ANSWER_DELETED, 200);
}
