/* subresource.c - scale, binding, eviction, token and finalize: views of an object, or actions on
 * it. */
#include "api/patch.h"
#include "apiserver/internal.h"
#include "base/clock.h"

enum { TOKEN_LIFETIME_SEC = 3600, TOKEN_LIFETIME_MIN_SEC = 600, TOKEN_LIFETIME_MAX_SEC = 86400 };

/* ---- binding ---- */

static void bind_again(Exchange *x, void *ctx)
{
    const Value *body = ctx;
    const ApiResource *pods = api_resource_find(SV(""), SV("v1"), SV("pods"));
    StrView node = value_path_str(body, "target.name"), uid = value_path_str(body, "metadata.uid");
    x->res = pods;
    x->resource = pods->plural;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    Value pod, condition = value_map();
    if (have && object_decode(pods, have, x->arena, &pod, NULL) == 0) {
        if (value_path(&pod, "metadata.deletionTimestamp"))
            respond_conflict(x, "pod is being deleted, cannot be assigned to a host");
        else if (uid.len && !sv_eq(uid, value_path_str(&pod, "metadata.uid")))
            respond_conflict(x,
                             "Precondition failed: UID in precondition does not match the pod's");
        else if (value_path_str(&pod, "spec.nodeName").len) {
            StrView why =
                arena_printf(x->arena, "pod %.*s is already assigned to node \"%.*s\"",
                             SV_FMT(x->name), SV_FMT(value_path_str(&pod, "spec.nodeName")));
            respond_conflict(x, why.ptr);
        } else {
            char now[RFC3339_SIZE];
            rfc3339_format(clock_real_ns(), 0, now);
            value_set_path(x->arena, &pod, "spec.nodeName", value_sv(node));
            value_set(x->arena, &condition, SV("type"), value_sv(SV("PodScheduled")));
            value_set(x->arena, &condition, SV("status"), value_sv(SV("True")));
            value_set(x->arena, &condition, SV("lastProbeTime"), value_null());
            value_set(x->arena, &condition, SV("lastTransitionTime"),
                      value_sv(arena_sv(x->arena, sv_cstr(now))));
            Value conditions = value_list();
            value_push(x->arena, &conditions, condition);
            value_set_path(x->arena, &pod, "status.conditions", conditions);
            x->answer_status = true;
            x->status_on_success = 201;
            commit_object(x, &pod, have, bind_again, ctx);
        }
    }
    snapshot_unref(sn);
}

void bind_pod(Exchange *x, Value *body)
{
    Value *kept = arena_new(x->arena, Value);
    StrView kind = value_path_str(body, "target.kind");
    if (!kept)
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
    else if (!value_path_str(body, "target.name").len || (kind.len && !sv_eq(kind, SV("Node"))))
        respond_status(x, REASON_INVALID,
                       "Binding \"%.*s\" is invalid: target.name: Required value", SV_FMT(x->name));
    else {
        *kept = *body;
        bind_again(x, kept);
    }
}

static void handle_binding(Exchange *x)
{
    Value body;
    const ApiResource *kind = api_kind_find(SV(""), SV("v1"), SV("Binding"));
    if (read_body(x, kind->schema, SV(""), SV("v1"), SV("Binding"), &body))
        bind_pod(x, &body);
}

/* ---- eviction: a deletion that PodDisruptionBudgets may refuse ---- */

static void handle_eviction(Exchange *x)
{
    x->sub = SV_NULL;
    Value body, none = value_map();
    Err err = { 0 };
    if (decode_body(x, "io.k8s.api.policy.v1.Eviction", &body, &err) < 0) {
        respond_status(x, REASON_BAD_REQUEST, "couldn't decode Eviction: %s", err.msg);
        return;
    }
    const Value *options = value_get(&body, SV("deleteOptions"));
    x->eviction = arena_new(x->arena, Value);
    if (!x->eviction) {
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
        return;
    }
    *x->eviction = options ? *options : none;
    x->answer_status = true;
    x->status_on_success = 201;
    rest_delete(x);
}

/* ---- scale ---- */

static StrView selector_text(Exchange *x, const Value *obj)
{
    const Value *sel = value_path(obj, "spec.selector");
    Selector parsed;
    if (sv_eq(x->res->kind, SV("ReplicationController"))) {
        _cleanup_buf_ Buf out = BUF_INIT;
        value_map_foreach (m, sel)
            buf_printf(&out, "%s%.*s=%.*s", out.len ? "," : "", SV_FMT(m->key),
                       SV_FMT(value_str(&m->val)));
        return arena_sv(x->arena, buf_view(&out));
    }
    _cleanup_buf_ Buf text = BUF_INIT;
    if (!sel || selector_from_object(sel, x->arena, &parsed, NULL) < 0)
        return SV("");
    selector_format(&parsed, &text);
    return arena_sv(x->arena, buf_view(&text));
}

static Value scale_value(Exchange *x, const Value *obj, uint64_t rev)
{
    Arena *a = x->arena;
    Value v = value_map(), meta = value_map(), spec = value_map(), status = value_map();
    static const StrView copied[] = { SV_INIT("name"), SV_INIT("namespace"), SV_INIT("uid"),
                                      SV_INIT("creationTimestamp") };
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const Value *m = value_get(value_get(obj, SV("metadata")), copied[i]);
        if (m)
            value_set(a, &meta, copied[i], *m);
    }
    value_set(a, &meta, SV("resourceVersion"),
              value_sv(arena_printf(a, "%llu", (unsigned long long)rev)));
    value_set(a, &spec, SV("replicas"),
              value_int(value_int_or(value_path(obj, "spec.replicas"), 0)));
    value_set(a, &status, SV("replicas"),
              value_int(value_int_or(value_path(obj, "status.replicas"), 0)));
    value_set(a, &status, SV("selector"), value_sv(selector_text(x, obj)));
    value_set(a, &v, SV("kind"), value_sv(SV("Scale")));
    value_set(a, &v, SV("apiVersion"), value_sv(SV("autoscaling/v1")));
    value_set(a, &v, SV("metadata"), meta);
    value_set(a, &v, SV("spec"), spec);
    value_set(a, &v, SV("status"), status);
    return v;
}

static void get_scale(Exchange *x)
{
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    Value obj;
    if (have && object_decode(x->res, have, x->arena, &obj, NULL) == 0) {
        Value v = scale_value(x, &obj, have->mod_rev);
        respond_value(x, 200, &v);
    }
    snapshot_unref(sn);
}

void respond_scale(Exchange *x, ObjectRev *o)
{
    Value obj;
    Err err = { 0 };
    if (object_decode(x->res, o, x->arena, &obj, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    Value v = scale_value(x, &obj, o->mod_rev);
    respond_value(x, 200, &v);
}

/* Sets spec.replicas from a Scale; a patch is merged into the present Scale first. */
static void scale_again(Exchange *x, void *ctx)
{
    const Value *body = ctx;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    Value obj;
    if (have && object_decode(x->res, have, x->arena, &obj, NULL) == 0) {
        Value scale = scale_value(x, &obj, have->mod_rev);
        Err err = { 0 };
        int r = 0;
        StrView type = http_header(x->req, SV("content-type"));
        if (sv_eq(x->verb, SV("patch")))
            r = sv_starts(type, SV("application/json-patch"))
                    ? patch_json(&scale, body, x->arena, &err)
                    : patch_merge(&scale, body, x->arena, &err);
        else
            r = value_clone(x->arena, body, &scale) ? 0 : err_nomem(&err);
        StrView rv = value_path_str(&scale, "metadata.resourceVersion");
        uint64_t rev;
        int64_t n = value_int_or(value_path(&scale, "spec.replicas"), 0);
        if (r < 0)
            respond_err(x, &err);
        else if (rv.len && (sv_to_u64(rv, &rev) < 0 || rev != have->mod_rev))
            respond_conflict(x, NULL);
        else if (n < 0)
            respond_status(
                x, REASON_INVALID,
                "Scale.autoscaling \"%.*s\" is invalid: spec.replicas: Invalid value: %lld: must be greater "
                "than or equal to 0",
                SV_FMT(x->name), (long long)n);
        else {
            value_set_path(x->arena, &obj, "spec.replicas", value_int(n));
            value_del(value_get(&obj, SV("metadata")), SV("resourceVersion"));
            x->answer_scale = true;
            update_object(x, &obj, have, scale_again, ctx);
        }
    }
    snapshot_unref(sn);
}

static int decode_scale(Exchange *x, Value *ret, Err *err)
{
    if (sv_eq(x->verb, SV("patch")))
        return json_decode(x->req->body, x->arena, NULL, ret, err);
    return decode_body(x, "io.k8s.api.autoscaling.v1.Scale", ret, err);
}

static void handle_scale(Exchange *x)
{
    Value *body = arena_new(x->arena, Value);
    Err err = { 0 };
    if (sv_eq(x->verb, SV("get")))
        get_scale(x);
    else if (!body)
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
    else if (decode_scale(x, body, &err) < 0)
        respond_status(x, REASON_BAD_REQUEST, "couldn't decode Scale: %s", err.msg);
    else
        scale_again(x, body);
}

/* ---- serviceaccounts/token (TokenRequest) ---- */

static bool bind_to_pod(Exchange *x, const Value *ref, TokenClaims *c)
{
    if (!ref)
        return true;
    StrView kind = value_str(value_get(ref, SV("kind"))),
            uid = value_str(value_get(ref, SV("uid")));
    const ApiResource *pods = api_resource_find(SV(""), SV("v1"), SV("pods"));
    char key[STORE_KEY_MAX];
    Value pod;
    c->pod = value_str(value_get(ref, SV("name")));
    if (!sv_eq(kind, SV("Pod"))) {
        respond_status(x, REASON_BAD_REQUEST,
                       "cannot bind token for serviceaccount to object type %.*s", SV_FMT(kind));
        return false;
    }
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *o = registry_key(pods, x->ns, c->pod, key) ? snapshot_get(sn, sv_cstr(key)) : NULL;
    bool ok = o && object_decode(pods, o, x->arena, &pod, NULL) == 0;
    snapshot_unref(sn);
    c->pod_uid = ok ? value_path_str(&pod, "metadata.uid") : SV_NULL;
    if (!ok || (uid.len && !sv_eq(uid, c->pod_uid))) {
        respond_status(x, REASON_NOT_FOUND, "pods \"%.*s\" not found", SV_FMT(c->pod));
        return false;
    }
    if (!sv_eq(value_path_str(&pod, "spec.serviceAccountName"), x->name)) {
        respond_status(
            x, REASON_BAD_REQUEST,
            "cannot bind token for serviceaccount \"%.*s\" to pod running with different serviceaccount name.",
            SV_FMT(x->name));
        return false;
    }
    c->node = value_path_str(&pod, "spec.nodeName");
    return true;
}

static void issue_token(Exchange *x, Value *review, TokenClaims *c)
{
    int64_t life = value_int_or(value_path(review, "spec.expirationSeconds"), TOKEN_LIFETIME_SEC);
    if (life < TOKEN_LIFETIME_MIN_SEC) {
        respond_status(
            x, REASON_INVALID,
            "TokenRequest.authentication.k8s.io \"%.*s\" is invalid: spec.expirationSeconds: Invalid value: "
            "%lld: may not specify a duration less than 10 minutes",
            SV_FMT(x->name), (long long)life);
        return;
    }
    StrView own = token_issuer(x->srv->tokens), *audiences;
    const Value *wanted = value_path(review, "spec.audiences");
    c->n_audiences = MAX(1, value_len(wanted));
    if (!(audiences = arena_array(x->arena, StrView, c->n_audiences))) {
        respond_status(x, REASON_TOO_MANY_REQUESTS, "out of memory");
        return;
    }
    audiences[0] = own;
    for (uint32_t i = 0; i < value_len(wanted); i++)
        audiences[i] = value_str(value_at(wanted, i));
    c->audiences = audiences;
    c->issued = clock_real_ns() / NSEC_PER_SEC;
    c->expires = c->issued + MIN(life, (int64_t)TOKEN_LIFETIME_MAX_SEC);
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

static void handle_token(Exchange *x)
{
    Value review, account;
    const SchemaObject *schema = api_schema_find(SV("io.k8s.api.authentication.v1.TokenRequest"));
    if (!read_body(x, schema, SV("authentication.k8s.io"), SV("v1"), SV("TokenRequest"), &review))
        return;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    TokenClaims c = { .ns = x->ns, .account = x->name };
    bool ok = have && object_decode(x->res, have, x->arena, &account, NULL) == 0;
    snapshot_unref(sn);
    if (!ok)
        return;
    c.account_uid = value_path_str(&account, "metadata.uid");
    const Value *ref = value_path(&review, "spec.boundObjectRef");
    if (bind_to_pod(x, value_is(ref, VALUE_MAP) ? ref : NULL, &c))
        issue_token(x, &review, &c);
}

/* ---- namespaces/finalize ---- */

static void handle_finalize(Exchange *x)
{
    Value body, obj;
    if (!read_body(x, x->res->schema, SV(""), SV("v1"), SV("Namespace"), &body))
        return;
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *have = current_object(x, sn);
    if (have && object_decode(x->res, have, x->arena, &obj, NULL) == 0) {
        const Value *finalizers = value_path(&body, "spec.finalizers");
        Value none = value_list();
        value_set_path(x->arena, &obj, "spec.finalizers", finalizers ? *finalizers : none);
        StrView rv = value_path_str(&body, "metadata.resourceVersion");
        if (rv.len)
            value_set_path(x->arena, &obj, "metadata.resourceVersion", value_sv(rv));
        update_object(x, &obj, have, NULL, NULL);
    }
    snapshot_unref(sn);
}

/* resize and ephemeralcontainers are updates of the pod through another door. */
static void handle_pod_view(Exchange *x)
{
    if (sv_eq(x->verb, SV("get")))
        rest_get(x);
    else if (sv_eq(x->verb, SV("patch")))
        rest_patch(x);
    else
        rest_update(x);
}

bool subresource_handle(Exchange *x)
{
    static const struct {
        StrView resource, sub, verbs;
        void (*fn)(Exchange *x);
    } rows[] = {
        { SV_INIT("pods"), SV_INIT("binding"), SV_INIT("create"), handle_binding },
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
