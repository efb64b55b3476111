/* access.c - see access.h. */
#include "api/access.h"

#include "base/clock.h"
#include "base/map.h"

enum {
    GROUPS_MAX = 64,
    VERDICTS_MAX = 1000,
    ALLOWED_SEC = 300,
    DENIED_SEC = 30,
    REVIEW_TIMEOUT_MS = 10000
};

typedef struct Kept {
    bool allowed;
    int64_t until_ns; /* monotonic */
} Kept;

struct AccessGate {
    ApiClient *api;
    Map kept; /* key of what was asked to Kept */
};

typedef struct Review {
    AccessGate *gate;
    HttpReq *req;
    AccessAttributes attr;
    StrView user, groups[GROUPS_MAX];
    unsigned n_groups;
    StrView key;
    AccessFn *fn;
    void *ctx;
    ApiCall *call;
} Review; /* in the exchange's arena */

static void forget_all(AccessGate *g)
{
    StrView key;
    void *v;
    for (size_t i = 0; map_next(&g->kept, &i, &key, &v);)
        free(v);
    map_free(&g->kept);
}

int access_gate_new(ApiClient *api, AccessGate **ret, Err *err)
{
    AccessGate *g = calloc(1, sizeof *g);
    if (!g)
        return err_nomem(err);
    g->api = api;
    *ret = g;
    return 0;
}

AccessGate *access_gate_free(AccessGate *g)
{
    if (!g)
        return NULL;
    forget_all(g);
    free(g);
    return NULL;
}

static void on_peer_gone(void *ctx)
{
    Review *r = ctx;
    r->call = api_call_cancel(r->call);
}

static void decide(Review *r, int status, StrView why)
{
    const AccessVerdict v = { status, why, r->user };
    http_on_close(r->req, NULL, NULL);
    r->fn(r->ctx, r->req, &v);
}

static void fail(Review *r, const char *what, const Err *err)
{
    StrView why = arena_printf(r->req->arena, "%s: %s", what, err->msg);
    decide(r, 500, why.ptr ? why : SV("out of memory"));
}

static void remember(Review *r, bool allowed)
{
    AccessGate *g = r->gate;
    if (g->kept.len >= VERDICTS_MAX)
        forget_all(g);
    Kept *v = malloc(sizeof *v);
    void *old = NULL;
    if (!v)
        return;
    *v = (Kept){ allowed, clock_mono_ns() + (allowed ? ALLOWED_SEC : DENIED_SEC) * NSEC_PER_SEC };
    if (map_set(&g->kept, r->key, v, &old))
        free(old);
    else
        free(v);
}

static void on_access_review(void *ctx, const ApiResult *res)
{
    Review *r = ctx;
    r->call = NULL;
    if (res->err) {
        fail(r, "Authorization error", res->err);
        return;
    }
    bool allowed = value_bool_or(value_path(res->body, "status.allowed"), false);
    remember(r, allowed);
    decide(r, allowed ? 200 : 403, SV(""));
}

/* Sends a review; on failure the verdict is there. */
static void ask(Review *r, StrView group, StrView plural, const Value *spec, StrView kind,
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
    if (api_request(r->gate->api, &q, &r->call, &err) < 0)
        fail(r, "Internal Error", &err);
}

/* The text under which an answer is kept; lengths keep names that hold separators apart. */
static StrView key_of(const Review *r)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    const AccessAttributes *t = &r->attr;
    buf_printf(&b, "%.*s %.*s %.*s/%.*s %.*s %zu:%.*s", SV_FMT(t->verb), SV_FMT(t->path),
               SV_FMT(t->resource), SV_FMT(t->subresource), SV_FMT(t->name), r->user.len,
               SV_FMT(r->user));
    for (unsigned i = 0; i < r->n_groups; i++)
        buf_printf(&b, " %zu:%.*s", r->groups[i].len, SV_FMT(r->groups[i]));
    return b.failed ? SV_NULL : arena_sv(r->req->arena, buf_view(&b));
}

static Value attributes(const Review *r, Arena *a)
{
    const AccessAttributes *t = &r->attr;
    Value v = value_map();
    value_set(a, &v, SV("verb"), value_sv(t->verb));
    if (t->path.len) {
        value_set(a, &v, SV("path"), value_sv(t->path));
        return v;
    }
    value_set(a, &v, SV("version"), value_sv(SV("v1")));
    value_set(a, &v, SV("resource"), value_sv(t->resource));
    value_set(a, &v, SV("subresource"), value_sv(t->subresource));
    value_set(a, &v, SV("name"), value_sv(t->name));
    return v;
}

static void review_access(Review *r)
{
    Arena *a = r->req->arena;
    r->key = key_of(r);
    if (!r->key.ptr) {
        decide(r, 500, SV("out of memory"));
        return;
    }
    const Kept *known = map_get(&r->gate->kept, r->key);
    if (known && clock_mono_ns() < known->until_ns) {
        decide(r, known->allowed ? 200 : 403, SV(""));
        return;
    }
    Value spec = value_map(), groups = value_list();
    for (unsigned i = 0; i < r->n_groups; i++)
        value_push(a, &groups, value_sv(r->groups[i]));
    value_set(a, &spec, SV("user"), value_sv(r->user));
    value_set(a, &spec, SV("groups"), groups);
    value_set(a, &spec, r->attr.path.len ? SV("nonResourceAttributes") : SV("resourceAttributes"),
              attributes(r, a));
    ask(r, SV("authorization.k8s.io"), SV("subjectaccessreviews"), &spec, SV("SubjectAccessReview"),
        on_access_review);
}

static void on_token_review(void *ctx, const ApiResult *res)
{
    Review *r = ctx;
    r->call = NULL;
    if (res->err || !value_bool_or(value_path(res->body, "status.authenticated"), false)) {
        decide(r, 401, SV(""));
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

void access_ask(AccessGate *g, HttpReq *req, const AccessAttributes *attr, AccessFn *fn, void *ctx)
{
    Review *r = arena_new(req->arena, Review);
    StrView bearer = http_header(req, SV("authorization"));
    if (!r) {
        fn(ctx, req, &(AccessVerdict){ 500, SV("out of memory"), SV("") });
        return;
    }
    *r = (Review){ .gate = g, .req = req, .attr = *attr, .fn = fn, .ctx = ctx, .user = SV("") };
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
        decide(r, 401, SV(""));
}

void access_refuse_path(HttpReq *req, const AccessAttributes *attr, const AccessVerdict *v)
{
    StrView text =
        v->status == 401 ? SV("Unauthorized")
        : v->status == 403
            ? arena_printf(req->arena, "forbidden: User \"%.*s\" cannot %.*s path \"%.*s\"",
                           SV_FMT(v->user), SV_FMT(attr->verb), SV_FMT(attr->path))
            : v->why;
    http_respond(req, v->status, SV("text/plain; charset=utf-8"),
                 text.ptr ? text : SV("out of memory"));
}
