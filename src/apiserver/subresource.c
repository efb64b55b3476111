/* subresource.c - scale, binding, eviction, token and finalize: views of an object, or actions on
 * it. */
#include "api/patch.h"
#include "apiserver/body.h"
#include "apiserver/delete.h"
#include "apiserver/handlers.h"
#include "apiserver/node_rights.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "apiserver/rest_read.h"
#include "apiserver/token.h"
#include "apiserver/write.h"
#include "base/clock.h"
#include "codec/json.h"
#include "codec/key_index.h"

enum { TOKEN_LIFETIME_SEC = 3600, TOKEN_LIFETIME_MIN_SEC = 600, TOKEN_LIFETIME_MAX_SEC = 86400 };

/* ---- binding ---- */

/* Sets the condition PodScheduled; the others stay. */
static bool set_scheduled(Arena *a, Value *pod)
{
    char now[RFC3339_SIZE];
    Value condition = value_map();
    rfc3339_format(clock_real_ns(), 0, now);
    value_set(a, &condition, SV("type"), value_sv(SV("PodScheduled")));
    value_set(a, &condition, SV("status"), value_sv(SV("True")));
    value_set(a, &condition, SV("lastProbeTime"), value_null());
    value_set(a, &condition, SV("lastTransitionTime"), value_sv(arena_sv(a, sv_cstr(now))));
    Value *list = value_path(pod, "status.conditions");
    if (!value_is(list, VALUE_LIST))
        list = value_set_path(a, pod, "status.conditions", value_list());
    value_list_foreach (c, list) {
        if (sv_eq(value_str(value_get(c, SV("type"))), SV("PodScheduled"))) {
            *c = condition;
            return true;
        }
    }
    return list && value_push(a, list, condition);
}

/* Why the pod cannot be assigned to the node; NULL: it can. */
static const char *binding_conflict(const WriteOp *w, const Value *binding)
{
    ApiCall *x = w->x;
    const Value *pod = &w->old;
    StrView node = value_path_str(pod, "spec.nodeName"),
            uid = value_path_str(binding, "metadata.uid"),
            rv = value_path_str(binding, "metadata.resourceVersion"), why = SV_NULL;
    uint64_t rev;
    if (uid.len && !sv_eq(uid, value_path_str(pod, "metadata.uid")))
        why =
            arena_printf(x->arena,
                         "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                         SV_FMT(uid), SV_FMT(value_path_str(pod, "metadata.uid")));
    else if (rv.len && (sv_to_u64(rv, &rev) < 0 || rev != w->have->mod_rev))
        why = arena_printf(x->arena,
                           "Precondition failed: ResourceVersion in precondition: %.*s, "
                           "ResourceVersion in object meta: %llu",
                           SV_FMT(rv), (unsigned long long)w->have->mod_rev);
    else if (value_path(pod, "metadata.deletionTimestamp"))
        why = arena_printf(x->arena, "pod %.*s is being deleted, cannot be assigned to a host",
                           SV_FMT(x->name));
    else if (node.len)
        why = arena_printf(x->arena, "pod %.*s is already assigned to node \"%.*s\"",
                           SV_FMT(x->name), SV_FMT(node));
    else if (value_len(value_path(pod, "spec.schedulingGates")))
        why =
            arena_printf(x->arena, "pod %.*s has non-empty .spec.schedulingGates", SV_FMT(x->name));
    return why.ptr;
}

/* Adds the entries of the binding's labels or annotations to the pod's. */
static bool take_over(Arena *a, Value *pod, const Value *binding, StrView which)
{
    const Value *from = value_get(value_get(binding, SV("metadata")), which);
    Value *meta = value_get(pod, SV("metadata")), *to = value_get(meta, which);
    if (!value_len(from))
        return true;
    if (!value_is(to, VALUE_MAP))
        to = value_set(a, meta, which, value_map());
    value_map_foreach (m, from) {
        if (!to || !value_append(a, to, m->key, m->val))
            return false;
    }
    return value_unite_members(to, a);
}

static bool make_bound(WriteOp *w)
{
    ApiCall *x = w->x;
    const Value *body = w->plan.ctx;
    const char *why = binding_conflict(w, body);
    if (why) {
        ApiCall about = *x;
        about.resource = SV("pods/binding");
        respond_conflict(&about, why);
        return false;
    }
    if (value_clone(x->arena, &w->old, &w->obj) &&
        take_over(x->arena, &w->obj, body, SV("annotations")) &&
        take_over(x->arena, &w->obj, body, SV("labels")) &&
        value_set_path(x->arena, &w->obj, "spec.nodeName",
                       value_sv(value_path_str(body, "target.name"))) &&
        set_scheduled(x->arena, &w->obj))
        return true;
    respond_nomem(x);
    return false;
}

/* A name that the URL has must be the binding's. */
static bool read_binding(ApiCall *x, void *ctx)
{
    Value *body = ctx;
    const ApiResource *row = api_kind_find(SV(""), SV("v1"), SV("Binding"));
    if (!body_read(x, row->schema, SV(""), SV("v1"), SV("Binding"), body))
        return false;
    StrView name = value_path_str(body, "metadata.name"),
            kind = value_path_str(body, "target.kind");
    if (x->name.len && !sv_eq(name, x->name)) {
        respond_status(x, REASON_BAD_REQUEST, "name in URL does not match name in Binding object");
        return false;
    }
    x->name = name;
    if (value_path_str(body, "target.name").len && (!kind.len || sv_eq(kind, SV("Node"))))
        return true;
    respond_status(x, REASON_INVALID, "Binding \"%.*s\" is invalid: target.name: Required value",
                   SV_FMT(x->name));
    return false;
}

void bind_pod(ApiCall *x)
{
    Value *body = arena_new(x->arena, Value);
    if (!body) {
        respond_nomem(x);
        return;
    }
    x->res = api_resource_find(SV(""), SV("v1"), SV("pods"));
    x->resource = x->res->plural;
    write_start(x, &(WritePlan){ .way = WRITE_ACTION,
                                 .read = read_binding,
                                 .make = make_bound,
                                 .ctx = body,
                                 .answer = ANSWER_STATUS,
                                 .code = 201 });
}

/* ---- eviction: a deletion that PodDisruptionBudgets may refuse ---- */

static bool read_eviction(ApiCall *x, void *ctx)
{
    Value body, none = value_map();
    Err err = { 0 };
    if (body_decode(x, "io.k8s.api.policy.v1.Eviction", &body, &err) < 0) {
        respond_status(x, REASON_BAD_REQUEST, "couldn't decode Eviction: %s", err.msg);
        return false;
    }
    if (!sv_eq(value_path_str(&body, "metadata.name"), x->name)) {
        respond_status(x, REASON_BAD_REQUEST, "name in URL does not match name in Eviction object");
        return false;
    }
    const Value *options = value_get(&body, SV("deleteOptions"));
    return delete_options_read(x, options ? options : &none, ctx);
}

static void handle_eviction(ApiCall *x)
{
    x->sub = SV_NULL;
    delete_start(x, read_eviction, NULL, ANSWER_STATUS, 201);
}

/* ---- scale ---- */

static void get_scale(ApiCall *x)
{
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    Value obj;
    Err err = { 0 };
    if (have && object_decode(x->res, have, x->arena, &obj, &err) < 0)
        respond_err(x, &err);
    else if (have)
        respond_scale(x, 200, &obj, have->mod_rev);
    snapshot_unref(sn);
}

/* The Scale that is asked for; a patch is merged into the present one. */
static int wanted_scale(WriteOp *w, Value *ret, Err *err)
{
    ApiCall *x = w->x;
    const Value *body = w->plan.ctx;
    if (!sv_eq(x->verb, SV("patch")))
        return value_clone(x->arena, body, ret) ? 0 : err_nomem(err);
    *ret = scale_value(x, &w->old, w->have->mod_rev);
    return sv_starts(http_header(x->req, SV("content-type")), SV("application/json-patch"))
               ? patch_json(ret, body, x->arena, err)
               : patch_merge(ret, body, x->arena, err);
}

static bool make_scaled(WriteOp *w)
{
    ApiCall *x = w->x;
    Value scale;
    Err err = { 0 };
    if (wanted_scale(w, &scale, &err) < 0) {
        respond_err(x, &err);
        return false;
    }
    if (!body_is_same_object(x, &scale))
        return false;
    StrView rv = value_path_str(&scale, "metadata.resourceVersion");
    uint64_t rev;
    int64_t n = value_int_or(value_path(&scale, "spec.replicas"), 0);
    if (rv.len && (sv_to_u64(rv, &rev) < 0 || rev != w->have->mod_rev))
        respond_conflict(x, NULL);
    else if (n < 0)
        respond_status(
            x, REASON_INVALID,
            "Scale.autoscaling \"%.*s\" is invalid: spec.replicas: Invalid value: %lld: must be greater "
            "than or equal to 0",
            SV_FMT(x->name), (long long)n);
    else if (!value_clone(x->arena, &w->old, &w->obj) ||
             !value_set_path(x->arena, &w->obj, "spec.replicas", value_int(n)))
        respond_nomem(x);
    else {
        value_del(value_get(&w->obj, SV("metadata")), SV("resourceVersion"));
        return true;
    }
    return false;
}

static int decode_scale(ApiCall *x, Value *ret, Err *err)
{
    if (sv_eq(x->verb, SV("patch")))
        return json_decode(x->req->body, x->arena, NULL, ret, err);
    return body_decode(x, "io.k8s.api.autoscaling.v1.Scale", ret, err);
}

static void handle_scale(ApiCall *x)
{
    Value *body = arena_new(x->arena, Value);
    Err err = { 0 };
    if (sv_eq(x->verb, SV("get")))
        get_scale(x);
    else if (!body)
        respond_nomem(x);
    else if (decode_scale(x, body, &err) < 0)
        respond_status(x, REASON_BAD_REQUEST, "couldn't decode Scale: %s", err.msg);
    else
        write_start(x, &(WritePlan){ .way = WRITE_UPDATE,
                                     .make = make_scaled,
                                     .ctx = body,
                                     .answer = ANSWER_SCALE });
}

/* ---- serviceaccounts/token (TokenRequest) ---- */

/* Reads the object that a token shall be bound to; its uid is the one that is asked for, if any.
 * False after answering. */
static bool read_bound(ApiCall *x, const Value *ref, StrView plural, Value *ret)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), plural);
    StrView name = value_str(value_get(ref, SV("name"))),
            uid = value_str(value_get(ref, SV("uid")));
    char key[STORE_KEY_MAX];
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *o = registry_key(res, res->namespaced ? x->ns : SV_NULL, name, key)
                       ? snapshot_get(sn, sv_cstr(key))
                       : NULL;
    bool ok = o && object_decode(res, o, x->arena, ret, NULL) == 0;
    snapshot_unref(sn);
    if (ok && (!uid.len || sv_eq(uid, value_path_str(ret, "metadata.uid"))))
        return true;
    if (!ok)
        respond_status(x, REASON_NOT_FOUND, "%.*s \"%.*s\" not found", SV_FMT(plural),
                       SV_FMT(name));
    else
        respond_status(
            x, REASON_CONFLICT,
            "Operation cannot be fulfilled on %.*s \"%.*s\": the UID in the bound object "
            "reference (%.*s) does not match the UID in record. The object might have "
            "been deleted and then recreated",
            SV_FMT(value_str(value_get(ref, SV("kind")))), SV_FMT(name), SV_FMT(uid));
    return false;
}

static bool bind_to_pod(ApiCall *x, const Value *pod, TokenClaims *c)
{
    if (!sv_eq(value_path_str(pod, "spec.serviceAccountName"), x->name)) {
        respond_status(
            x, REASON_BAD_REQUEST,
            "cannot bind token for serviceaccount \"%.*s\" to pod running with different serviceaccount name.",
            SV_FMT(x->name));
        return false;
    }
    c->pod = value_path_str(pod, "metadata.name");
    c->pod_uid = value_path_str(pod, "metadata.uid");
    c->node = value_path_str(pod, "spec.nodeName");
    return true;
}

static bool bind_token(ApiCall *x, const Value *ref, TokenClaims *c)
{
    if (!ref)
        return true;
    StrView kind = value_str(value_get(ref, SV("kind"))),
            version = value_str(value_get(ref, SV("apiVersion")));
    bool core = !version.len || sv_eq(version, SV("v1"));
    Value obj;
    if (core && sv_eq(kind, SV("Pod")))
        return read_bound(x, ref, SV("pods"), &obj) && bind_to_pod(x, &obj, c);
    if (core && sv_eq(kind, SV("Secret"))) {
        if (!read_bound(x, ref, SV("secrets"), &obj))
            return false;
        c->secret = value_path_str(&obj, "metadata.name");
        c->secret_uid = value_path_str(&obj, "metadata.uid");
        return true;
    }
    if (core && sv_eq(kind, SV("Node"))) {
        if (!read_bound(x, ref, SV("nodes"), &obj))
            return false;
        c->node = value_path_str(&obj, "metadata.name");
        c->node_uid = value_path_str(&obj, "metadata.uid");
        return true;
    }
    respond_status(x, REASON_BAD_REQUEST, "cannot bind token to object of type %.*s, Kind=%.*s",
                   SV_FMT(version), SV_FMT(kind));
    return false;
}

/* Kubernetes' bounds of spec.expirationSeconds. */
static const char *bad_lifetime(int64_t seconds)
{
    return seconds < TOKEN_LIFETIME_MIN_SEC ? "may not specify a duration less than 10 minutes"
           : seconds > INT64_C(1) << 32     ? "may not specify a duration larger than 2^32 seconds"
                                            : NULL;
}

static void issue_token(ApiCall *x, Value *review, TokenClaims *c)
{
    int64_t life = value_int_or(value_path(review, "spec.expirationSeconds"), TOKEN_LIFETIME_SEC);
    const char *bad = bad_lifetime(life);
    if (bad) {
        respond_status(
            x, REASON_INVALID,
            "TokenRequest.authentication.k8s.io \"%.*s\" is invalid: spec.expirationSeconds: Invalid value: "
            "%lld: %s",
            SV_FMT(x->name), (long long)life, bad);
        return;
    }
    life = MIN(life, (int64_t)TOKEN_LIFETIME_MAX_SEC);
    StrView own = token_issuer(x->srv->tokens), *audiences;
    const Value *wanted = value_path(review, "spec.audiences");
    c->n_audiences = MAX(1, value_len(wanted));
    if (!(audiences = arena_array(x->arena, StrView, c->n_audiences))) {
        respond_nomem(x);
        return;
    }
    audiences[0] = own;
    for (uint32_t i = 0; i < value_len(wanted); i++)
        audiences[i] = value_str(value_at(wanted, i));
    c->audiences = audiences;
    c->issued = clock_real_ns() / NSEC_PER_SEC;
    c->expires = c->issued + life;
    StrView token;
    Err err = { 0 };
    if (token_issue(x->srv->tokens, c, x->arena, &token, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    char when[RFC3339_SIZE];
    rfc3339_format(c->expires * NSEC_PER_SEC, 0, when);
    Value list = value_list();
    for (unsigned i = 0; i < c->n_audiences; i++)
        value_push(x->arena, &list, value_sv(audiences[i]));
    value_set_path(x->arena, review, "spec.audiences", list);
    value_set_path(x->arena, review, "spec.expirationSeconds", value_int(life));
    value_set_path(x->arena, review, "status.token", value_sv(token));
    value_set_path(x->arena, review, "status.expirationTimestamp",
                   value_sv(arena_sv(x->arena, sv_cstr(when))));
    value_set(x->arena, review, SV("kind"), value_sv(SV("TokenRequest")));
    value_set(x->arena, review, SV("apiVersion"), value_sv(SV("authentication.k8s.io/v1")));
    value_set_path(x->arena, review, "metadata.name", value_sv(x->name));
    value_set_path(x->arena, review, "metadata.namespace", value_sv(x->ns));
    respond_value(x, 201, review);
}

/* A body may leave the account out, but not name another. */
static bool is_for_account(ApiCall *x, const Value *review)
{
    StrView name = value_path_str(review, "metadata.name"),
            ns = value_path_str(review, "metadata.namespace");
    if (name.len && !sv_eq(name, x->name))
        respond_status(x, REASON_BAD_REQUEST,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       SV_FMT(name), SV_FMT(x->name));
    else if (ns.len && !sv_eq(ns, x->ns))
        respond_status(
            x, REASON_BAD_REQUEST,
            "the namespace of the provided object does not match the namespace sent on the request");
    else
        return true;
    return false;
}

static void handle_token(ApiCall *x)
{
    Value review, account;
    Err err = { 0 };
    const SchemaObject *schema = api_schema_find(SV("io.k8s.api.authentication.v1.TokenRequest"));
    if (!body_read(x, schema, SV("authentication.k8s.io"), SV("v1"), SV("TokenRequest"), &review) ||
        !is_for_account(x, &review))
        return;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    bool ok = have && object_decode(x->res, have, x->arena, &account, &err) == 0;
    snapshot_unref(sn);
    if (have && !ok)
        respond_err(x, &err);
    if (!ok) /* answered: the call may be gone */
        return;
    TokenClaims c = { .ns = x->ns,
                      .account = x->name,
                      .account_uid = value_path_str(&account, "metadata.uid") };
    const Value *ref = value_path(&review, "spec.boundObjectRef");
    if (bind_token(x, value_is(ref, VALUE_MAP) ? ref : NULL, &c) &&
        node_token_allowed(x, ref, c.node))
        issue_token(x, &review, &c);
}

/* ---- namespaces/finalize ---- */

static bool make_finalized(WriteOp *w)
{
    ApiCall *x = w->x;
    const Value *body = w->plan.ctx, *finalizers = value_path(body, "spec.finalizers");
    StrView rv = value_path_str(body, "metadata.resourceVersion");
    if (value_clone(x->arena, &w->old, &w->obj) &&
        value_set_path(x->arena, &w->obj, "spec.finalizers",
                       finalizers ? *finalizers : value_list()) &&
        (!rv.len || value_set_path(x->arena, &w->obj, "metadata.resourceVersion", value_sv(rv))))
        return true;
    respond_nomem(x);
    return false;
}

static void handle_finalize(ApiCall *x)
{
    Value *body = arena_new(x->arena, Value);
    if (!body)
        respond_nomem(x);
    else if (body_read_object(x, body))
        write_start(x, &(WritePlan){ .way = WRITE_UPDATE, .make = make_finalized, .ctx = body });
}

/* resize and ephemeralcontainers are updates of the pod through another door. */
static void handle_pod_view(ApiCall *x)
{
    if (sv_eq(x->verb, SV("get")))
        rest_get(x);
    else if (sv_eq(x->verb, SV("patch")))
        rest_patch(x);
    else
        rest_update(x);
}

bool subresource_handle(ApiCall *x)
{
    static const struct {
        StrView resource, sub, verbs;
        void (*fn)(ApiCall *x);
    } rows[] = {
        { SV_INIT("pods"), SV_INIT("binding"), SV_INIT("create"), bind_pod },
        { SV_INIT("pods"), SV_INIT("eviction"), SV_INIT("create"), handle_eviction },
        { SV_INIT("pods"), SV_INIT("ephemeralcontainers"), SV_INIT("get,patch,update"),
          handle_pod_view },
        { SV_INIT("serviceaccounts"), SV_INIT("token"), SV_INIT("create"), handle_token },
        { SV_INIT("namespaces"), SV_INIT("finalize"), SV_INIT("update"), handle_finalize },
        { SV_INIT("*"), SV_INIT("scale"), SV_INIT("get,patch,update"), handle_scale },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        StrView verbs = rows[i].verbs, verb;
        if (!sv_eq(rows[i].sub, x->sub) || !api_sub_find(x->res, x->sub) ||
            !(sv_eq(rows[i].resource, x->resource) || sv_eq(rows[i].resource, SV("*"))))
            continue;
        while (sv_next(&verbs, ',', &verb))
            if (sv_eq(verb, x->verb)) {
                rows[i].fn(x);
                return true;
            }
    }
    return false;
}
