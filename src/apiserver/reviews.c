/* reviews.c - the kinds that ask instead of being kept: TokenReview, SubjectAccessReview and its
 * relatives, SelfSubjectReview, SelfSubjectRulesReview. Each answers with itself, status filled, as
 * 201. */
#include "apiserver/authn.h"
#include "apiserver/authz.h"
#include "apiserver/body.h"
#include "apiserver/handlers.h"
#include "apiserver/respond.h"

static void answer(ApiCall *x, Value *review, Value status)
{
    value_set(x->arena, review, SV("kind"), value_sv(x->res->kind));
    value_set(x->arena, review, SV("apiVersion"), value_sv(x->res->api_version));
    if (!value_get(review, SV("metadata")))
        value_set(x->arena, review, SV("metadata"), value_map());
    value_set(x->arena, review, SV("status"), status);
    respond_value(x, 201, review);
}

static Value groups_value(Arena *a, const User *u)
{
    Value v = value_list();
    for (unsigned i = 0; i < u->n_groups; i++)
        value_push(a, &v, value_sv(u->groups[i]));
    return v;
}

static Value user_value(Arena *a, const User *u)
{
    Value v = value_map();
    value_set(a, &v, SV("username"), value_sv(u->name));
    if (u->uid.len)
        value_set(a, &v, SV("uid"), value_sv(u->uid));
    value_set(a, &v, SV("groups"), groups_value(a, u));
    if (u->pod_name.len) {
        Value extra = value_map(), name = value_list(), uid = value_list();
        value_push(a, &name, value_sv(u->pod_name));
        value_push(a, &uid, value_sv(u->pod_uid));
        value_set(a, &extra, SV("authentication.kubernetes.io/pod-name"), name);
        value_set(a, &extra, SV("authentication.kubernetes.io/pod-uid"), uid);
        value_set(a, &v, SV("extra"), extra);
    }
    return v;
}

static void token_review(ApiCall *x, Value *review)
{
    StrView token = value_path_str(review, "spec.token"), own = token_issuer(x->srv->tokens);
    const Value *wanted = value_path(review, "spec.audiences");
    StrView audiences[8];
    unsigned n = 0;
    value_list_foreach (a, wanted) {
        if (n < ARRAY_SIZE(audiences))
            audiences[n++] = value_str(a);
    }
    if (!n)
        audiences[n++] = own;
    Value status = value_map();
    User user;
    TokenClaims claims;
    Err err = { 0 };
    if (authenticate_token(x->srv, token, x->arena, audiences, n, &user, &claims, &err) < 0) {
        value_set(x->arena, &status, SV("authenticated"), value_bool(false));
        value_set(x->arena, &status, SV("error"), value_sv(arena_sv(x->arena, sv_cstr(err.msg))));
    } else {
        Value fit = value_list();
        for (unsigned i = 0; i < n; i++)
            for (unsigned j = 0; j < claims.n_audiences; j++)
                if (sv_eq(audiences[i], claims.audiences[j]))
                    value_push(x->arena, &fit, value_sv(audiences[i]));
        value_set(x->arena, &status, SV("authenticated"), value_bool(true));
        value_set(x->arena, &status, SV("user"), user_value(x->arena, &user));
        value_set(x->arena, &status, SV("audiences"), fit);
    }
    answer(x, review, status);
}

/* Reads spec.resourceAttributes or spec.nonResourceAttributes; false after answering a bad request.
 */
static bool read_attributes(ApiCall *x, const Value *spec, Access *a)
{
    const Value *res = value_get(spec, SV("resourceAttributes")),
                *path = value_get(spec, SV("nonResourceAttributes"));
    if (!res == !path) {
        respond_status(
            x, REASON_INVALID,
            "%.*s.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: "
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            SV_FMT(x->res->kind));
        return false;
    }
    a->is_resource = res != NULL;
    a->verb = value_str(value_get(res ? res : path, SV("verb")));
    a->path = value_str(value_get(path, SV("path")));
    a->group = value_str(value_get(res, SV("group")));
    a->version = value_str(value_get(res, SV("version")));
    a->resource = value_str(value_get(res, SV("resource")));
    a->sub = value_str(value_get(res, SV("subresource")));
    a->ns = value_str(value_get(res, SV("namespace")));
    a->name = value_str(value_get(res, SV("name")));
    return true;
}

static void access_review(ApiCall *x, Value *review, const User *subject)
{
    Access a = { .user = subject };
    if (!read_attributes(x, value_get(review, SV("spec")), &a))
        return;
    if (x->res->namespaced && !sv_eq(a.ns, x->ns)) {
        respond_status(
            x, REASON_INVALID,
            "spec.resourceAttributes.namespace: Invalid value: \"%.*s\": must match metadata.namespace",
            SV_FMT(a.ns));
        return;
    }
    Value status = value_map();
    value_set(x->arena, &status, SV("allowed"), value_bool(authorize(x->srv, &a)));
    answer(x, review, status);
}

static void subject_access_review(ApiCall *x, Value *review)
{
    const Value *spec = value_get(review, SV("spec"));
    User u = { .name = value_str(value_get(spec, SV("user"))),
               .uid = value_str(value_get(spec, SV("uid"))) };
    value_list_foreach (g, value_get(spec, SV("groups"))) {
        if (u.n_groups < GROUPS_MAX)
            u.groups[u.n_groups++] = value_str(g);
    }
    if (!u.name.len && !u.n_groups)
        respond_status(
            x, REASON_INVALID,
            "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at "
            "least one of user or group must be specified");
    else
        access_review(x, review, &u);
}

static void self_access_review(ApiCall *x, Value *review)
{
    access_review(x, review, &x->user);
}

static void self_review(ApiCall *x, Value *review)
{
    Value status = value_map();
    value_set(x->arena, &status, SV("userInfo"), user_value(x->arena, &x->user));
    answer(x, review, status);
}

static void self_rules_review(ApiCall *x, Value *review)
{
    StrView ns = value_path_str(review, "spec.namespace");
    Value status = value_map(), resources, paths;
    rbac_rules_for(x->srv->rbac, &x->user, ns, x->arena, &resources, &paths);
    value_set(x->arena, &status, SV("resourceRules"), resources);
    value_set(x->arena, &status, SV("nonResourceRules"), paths);
    value_set(x->arena, &status, SV("incomplete"), value_bool(false));
    answer(x, review, status);
}

bool review_handle(ApiCall *x)
{
    static const struct {
        StrView kind;
        void (*fn)(ApiCall *x, Value *review);
    } rows[] = {
        { SV_INIT("TokenReview"), token_review },
        { SV_INIT("SubjectAccessReview"), subject_access_review },
        { SV_INIT("LocalSubjectAccessReview"), subject_access_review },
        { SV_INIT("SelfSubjectAccessReview"), self_access_review },
        { SV_INIT("SelfSubjectRulesReview"), self_rules_review },
        { SV_INIT("SelfSubjectReview"), self_review },
    };
    if (!sv_eq(x->verb, SV("create")))
        return false;
    if (sv_eq(x->res->kind, SV("Binding"))) {
        bind_pod(x);
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Value review;
        if (!sv_eq(rows[i].kind, x->res->kind))
            continue;
        if (body_read_object(x, &review))
            rows[i].fn(x, &review);
        return true;
    }
    return false;
}
