/* server_auth.c - who calls the kubelet's API, and may they.
 *
 * A caller shows a client certificate that the cluster's authority signed, or a bearer token that a
 * TokenReview vouches for. What they may do is a SubjectAccessReview of the node's subresource.
 * Answers are kept: five minutes when allowed, thirty seconds when denied. Nobody is let in while
 * the API server cannot be asked. */
#include <stdio.h>

#include "base/clock.h"
#include "kubelet/server.h"

enum {
    GROUPS_MAX = 64,
    VERDICTS_MAX = 1000,
    ALLOWED_SEC = 300,
    DENIED_SEC = 30,
    REVIEW_TIMEOUT_MS = 10000
};

typedef struct Verdict {
    bool allowed;
    int64_t until; /* monotonic ns */
} Verdict;

typedef struct Review {
    KubeletServer *server;
    HttpReq *req;
    StrView verb, subresource, user, groups[GROUPS_MAX];
    unsigned n_groups;
    StrView key;
    AllowedFn *allowed;
    ApiCall *call;
} Review; /* in the exchange's arena */

void kubelet_verdicts_free(KubeletServer *s)
{
    StrView key;
    void *v;
    for (size_t i = 0; map_next(&s->verdicts, &i, &key, &v);)
        free(v);
    map_free(&s->verdicts);
}

static void on_peer_gone(void *ctx)
{
    Review *r = ctx;
    r->call = api_call_cancel(r->call);
}

static void decide(Review *r, bool allowed)
{
    http_on_close(r->req, NULL, NULL);
    if (allowed)
        r->allowed(r->server, r->req);
    else
        kubelet_refuse(r->req, 403,
                       "Forbidden (user=%.*s, verb=%.*s, resource=nodes, subresource(s)=[%.*s])",
                       SV_FMT(r->user), SV_FMT(r->verb), SV_FMT(r->subresource));
}

static void remember(Review *r, bool allowed)
{
    KubeletServer *s = r->server;
    if (s->verdicts.len >= VERDICTS_MAX)
        kubelet_verdicts_free(s);
    Verdict *v = malloc(sizeof *v);
    void *old = NULL;
    if (!v)
        return;
    *v =
        (Verdict){ allowed, clock_mono_ns() + (allowed ? ALLOWED_SEC : DENIED_SEC) * NSEC_PER_SEC };
    if (map_set(&s->verdicts, r->key, v, &old))
        free(old);
    else
        free(v);
}

static void on_access_review(void *ctx, const ApiResult *res)
{
    Review *r = ctx;
    r->call = NULL;
    if (res->err) {
        http_on_close(r->req, NULL, NULL);
        kubelet_refuse(r->req, 500, "Authorization error (user=%.*s): %s", SV_FMT(r->user),
                       res->err->msg);
        return;
    }
    bool allowed = value_bool_or(value_path(res->body, "status.allowed"), false);
    remember(r, allowed);
    decide(r, allowed);
}

/* Sends a review; on failure the request is answered. */
static void ask(Review *r, StrView group, StrView plural, Value *spec, StrView kind,
                ApiDoneFn *done)
{
    Arena *a = r->req->arena;
    Err err = { 0 };
    Value v = value_map();
    value_set(a, &v, SV("kind"), value_sv(kind));
    value_set(a, &v, SV("apiVersion"), value_sv(arena_printf(a, "%.*s/v1", SV_FMT(group))));
    value_set(a, &v, SV("spec"), *spec);
    ApiRequest q = { .method = SV("POST"),
                     .target = { group, SV("v1"), plural, SV_NULL, SV_NULL, SV_NULL },
                     .body = &v,
                     .timeout_ms = REVIEW_TIMEOUT_MS,
                     .done = done,
                     .ctx = r };
    http_on_close(r->req, on_peer_gone, r);
    if (api_request(r->server->k->api, &q, &r->call, &err) < 0) {
        http_on_close(r->req, NULL, NULL);
        kubelet_refuse(r->req, 500, "Internal Error: %s", err.msg);
    }
}

/* The text under which an answer is kept; lengths keep names that hold separators apart. */
static StrView verdict_key(const Review *r)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    buf_printf(&b, "%.*s %.*s %zu:%.*s", SV_FMT(r->verb), SV_FMT(r->subresource), r->user.len,
               SV_FMT(r->user));
    for (unsigned i = 0; i < r->n_groups; i++)
        buf_printf(&b, " %zu:%.*s", r->groups[i].len, SV_FMT(r->groups[i]));
    return b.failed ? SV_NULL : arena_sv(r->req->arena, buf_view(&b));
}

static void review_access(Review *r)
{
    Arena *a = r->req->arena;
    r->key = verdict_key(r);
    if (!r->key.ptr) {
        kubelet_refuse(r->req, 500, "out of memory");
        return;
    }
    const Verdict *known = map_get(&r->server->verdicts, r->key);
    if (known && clock_mono_ns() < known->until) {
        decide(r, known->allowed);
        return;
    }
    Value spec = value_map(), groups = value_list(), attr = value_map();
    for (unsigned i = 0; i < r->n_groups; i++)
        value_push(a, &groups, value_sv(r->groups[i]));
    value_set(a, &attr, SV("verb"), value_sv(r->verb));
    value_set(a, &attr, SV("version"), value_sv(SV("v1")));
    value_set(a, &attr, SV("resource"), value_sv(SV("nodes")));
    value_set(a, &attr, SV("subresource"), value_sv(r->subresource));
    value_set(a, &attr, SV("name"), value_sv(sv_cstr(r->server->k->cfg.node_name)));
    value_set(a, &spec, SV("user"), value_sv(r->user));
    value_set(a, &spec, SV("groups"), groups);
    value_set(a, &spec, SV("resourceAttributes"), attr);
    ask(r, SV("authorization.k8s.io"), SV("subjectaccessreviews"), &spec, SV("SubjectAccessReview"),
        on_access_review);
}

static void on_token_review(void *ctx, const ApiResult *res)
{
    Review *r = ctx;
    r->call = NULL;
    http_on_close(r->req, NULL, NULL);
    if (res->err || !value_bool_or(value_path(res->body, "status.authenticated"), false)) {
        kubelet_refuse(r->req, 401, "Unauthorized");
        return;
    }
    r->user = arena_sv(r->req->arena, value_path_str(res->body, "status.user.username"));
    value_list_foreach (g, value_path(res->body, "status.user.groups")) {
        StrView name = arena_sv(r->req->arena, value_str(g));
        if (r->n_groups < GROUPS_MAX && name.ptr)
            r->groups[r->n_groups++] = name;
    }
    review_access(r);
}

void kubelet_authorize(KubeletServer *s, HttpReq *req, StrView verb, StrView subresource,
                       AllowedFn *allowed)
{
    Review *r = arena_new(req->arena, Review);
    StrView bearer = http_header(req, SV("authorization"));
    if (!r) {
        kubelet_refuse(req, 500, "out of memory");
        return;
    }
    *r = (Review){
        .server = s, .req = req, .verb = verb, .subresource = subresource, .allowed = allowed
    };
    if (req->peer && req->peer->verified) {
        r->user = arena_sv(req->arena, req->peer->common_name);
        for (unsigned i = 0; i < req->peer->n_orgs; i++)
            r->groups[r->n_groups++] = arena_sv(req->arena, req->peer->orgs[i]);
        r->groups[r->n_groups++] = SV("system:authenticated");
        review_access(r);
    } else if (sv_starts(bearer, SV("Bearer ")) && bearer.len > 7) {
        Value spec = value_map();
        value_set(req->arena, &spec, SV("token"), value_sv(sv_trim(sv_skip(bearer, 7))));
        ask(r, SV("authentication.k8s.io"), SV("tokenreviews"), &spec, SV("TokenReview"),
            on_token_review);
    } else
        kubelet_refuse(req, 401, "Unauthorized");
}
