/* gather.c - asks the API server for all that a pod refers to: ConfigMaps, Secrets, and a token for
 * each projected service-account source. One request per object, all at once; the last answer ends
 * it.
 *
 * To add a source: add a case to collect_volume() or collect_env(). */
#include <stdio.h>

#include "codec/json.h"
#include "kubelet/internal.h"

typedef struct Want {
    struct Gather *g;
    char key[512]; /* "configmap/NAME", "secret/NAME", "token/VOLUME/SOURCE" */
    bool optional;
    ApiCall *call;
} Want;

typedef struct Gather {
    Worker *w;
    VEC(Want *) wants;
    size_t waiting;
    Map got; /* key to Buf */
    Err first;
} Gather;

void resources_free(Map *resources)
{
    StrView key;
    void *v;
    for (size_t i = 0; map_next(resources, &i, &key, &v);) {
        Buf *b = v;
        buf_free(b);
        free(b);
    }
    map_free(resources);
}

static bool resource_put(Map *to, StrView key, StrView text)
{
    Buf *b = calloc(1, sizeof *b);
    void *old = NULL;
    if (!b)
        return false;
    buf_sv(b, text);
    if (b->failed || !map_set(to, key, b, &old)) {
        buf_free(b);
        free(b);
        return false;
    }
    if (old) {
        buf_free(old);
        free(old);
    }
    return true;
}

bool resources_copy(const Map *from, Map *to)
{
    StrView key;
    void *v;
    for (size_t i = 0; map_next(from, &i, &key, &v);)
        if (!resource_put(to, key, buf_view(v)))
            return false;
    return true;
}

bool resource_get(const Map *resources, const char *kind, StrView name, Arena *a, Value *ret)
{
    StrView key = arena_printf(a, "%s/%.*s", kind, SV_FMT(name));
    Buf *b = key.ptr ? map_get(resources, key) : NULL;
    return b && b->len && json_decode(buf_view(b), a, NULL, ret, NULL) == 0;
}

StrView resource_token(const Map *resources, StrView volume, unsigned source)
{
    char key[512];
    snprintf(key, sizeof key, "token/%.*s/%u", SV_FMT(volume), source);
    Buf *b = map_get(resources, sv_cstr(key));
    return b ? buf_view(b) : SV_NULL;
}

static void gather_free(Gather *g)
{
    vec_foreach (it, &g->wants) {
        api_call_cancel((*it)->call);
        free(*it);
    }
    vec_free(&g->wants);
    resources_free(&g->got);
    free(g);
}

void gather_cancel(Worker *w)
{
    if (w->gather)
        gather_free(w->gather);
    w->gather = NULL;
}

/* ---- answers ---- */

static void finish(Gather *g)
{
    Worker *w = g->w;
    Err err = g->first;
    w->gather = NULL;
    if (err.code == ERR_NONE) {
        Map old = w->resources;
        w->resources = g->got;
        g->got = old;
    }
    gather_free(g);
    worker_gathered(w, err.code == ERR_NONE ? NULL : &err);
}

/* In a pod that runs, what could not be got stays as it was, and does not hold the rest up. */
static bool keep_old(Gather *g, const Want *want, const Err *why)
{
    Worker *w = g->w;
    const Buf *old = w->phase == WORKER_RUNNING ? map_get(&w->resources, sv_cstr(want->key)) : NULL;
    if (!old || !resource_put(&g->got, sv_cstr(want->key), buf_view(old)))
        return false;
    worker_event(w, NULL, SV("Warning"), SV("FailedMount"), "MountVolume.SetUp failed: %s",
                 why->msg);
    return true;
}

static void fail(Gather *g, const Want *want, const Err *why)
{
    if (keep_old(g, want, why))
        return;
    if (g->first.code == ERR_NONE)
        err_set(&g->first, why->code, 0, "MountVolume.SetUp failed: %s", why->msg);
}

static void on_answer(void *ctx, const ApiResult *r)
{
    Want *want = ctx;
    Gather *g = want->g;
    want->call = NULL;
    StrView key = sv_cstr(want->key), text = r->text;
    Err err = { 0 };
    if (r->err && r->err->code == ERR_NOT_FOUND && want->optional)
        text = SV("");
    else if (r->err)
        err = *r->err;
    if (err.code == ERR_NONE && sv_starts(key, SV("token/")))
        text = value_path_str(r->body, "status.token");
    if (err.code == ERR_NONE && !resource_put(&g->got, key, text))
        err_nomem(&err);
    if (err.code != ERR_NONE)
        fail(g, want, &err);
    if (--g->waiting == 0)
        finish(g);
}

/* ---- questions ---- */

static Want *add_want(Gather *g, const char *key, bool optional)
{
    vec_foreach (it, &g->wants) {
        if (strcmp((*it)->key, key) == 0) {
            (*it)->optional &= optional;
            return NULL;
        }
    }
    Want *want = calloc(1, sizeof *want);
    if (!want || !vec_push(&g->wants, want)) {
        free(want);
        if (g->first.code == ERR_NONE)
            err_nomem(&g->first);
        return NULL;
    }
    want->g = g;
    want->optional = optional;
    snprintf(want->key, sizeof want->key, "%s", key);
    return want;
}

static void want_object(Gather *g, const char *kind, const Value *ref, StrView name)
{
    char key[512];
    if (!name.len)
        return;
    snprintf(key, sizeof key, "%s/%.*s", kind, SV_FMT(name));
    add_want(g, key, value_bool_or(value_get(ref, SV("optional")), false));
}

static void collect_volume(Gather *g, const Value *volume)
{
    const Value *cm = value_get(volume, SV("configMap")), *secret = value_get(volume, SV("secret"));
    StrView name = value_str(value_get(volume, SV("name")));
    unsigned i = 0;
    want_object(g, "configmap", cm, value_str(value_get(cm, SV("name"))));
    want_object(g, "secret", secret, value_str(value_get(secret, SV("secretName"))));
    value_list_foreach (src, value_path(volume, "projected.sources")) {
        const Value *pcm = value_get(src, SV("configMap")), *ps = value_get(src, SV("secret"));
        char key[512];
        want_object(g, "configmap", pcm, value_str(value_get(pcm, SV("name"))));
        want_object(g, "secret", ps, value_str(value_get(ps, SV("name"))));
        snprintf(key, sizeof key, "token/%.*s/%u", SV_FMT(name), i++);
        if (value_get(src, SV("serviceAccountToken")))
            add_want(g, key, false);
    }
}

static void collect_env(Gather *g, const Value *container)
{
    value_list_foreach (from, value_get(container, SV("envFrom"))) {
        const Value *cm = value_get(from, SV("configMapRef")),
                    *secret = value_get(from, SV("secretRef"));
        want_object(g, "configmap", cm, value_str(value_get(cm, SV("name"))));
        want_object(g, "secret", secret, value_str(value_get(secret, SV("name"))));
    }
    value_list_foreach (env, value_get(container, SV("env"))) {
        const Value *cm = value_path(env, "valueFrom.configMapKeyRef"),
                    *secret = value_path(env, "valueFrom.secretKeyRef");
        want_object(g, "configmap", cm, value_str(value_get(cm, SV("name"))));
        want_object(g, "secret", secret, value_str(value_get(secret, SV("name"))));
    }
}

/* The source of a "token/VOLUME/N" key in the pod. */
static const Value *token_source(const Worker *w, StrView volume, uint64_t n)
{
    value_list_foreach (v, value_path(&w->pod, "spec.volumes")) {
        if (sv_eq(value_str(value_get(v, SV("name"))), volume))
            return value_get(value_at(value_path(v, "projected.sources"), (uint32_t)n),
                             SV("serviceAccountToken"));
    }
    return NULL;
}

static int ask_token(Worker *w, Want *want, StrView rest, Err *err)
{
    StrView volume, number;
    uint64_t n = 0;
    sv_cut(rest, '/', &volume, &number);
    const Value *src = sv_to_u64(number, &n) == 0 ? token_source(w, volume, n) : NULL;
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value body = value_map(), ref = value_map(), audiences = value_list();
    StrView audience = value_str(value_get(src, SV("audience")));
    if (audience.len) {
        value_push(&a, &audiences, value_sv(audience));
        value_set_path(&a, &body, "spec.audiences", audiences);
    }
    value_set_path(&a, &body, "spec.expirationSeconds",
                   value_int(
                       value_int_or(value_get(src, SV("expirationSeconds")), TOKEN_LIFETIME_SEC)));
    value_set(&a, &ref, SV("apiVersion"), value_sv(SV("v1")));
    value_set(&a, &ref, SV("kind"), value_sv(SV("Pod")));
    value_set(&a, &ref, SV("name"), value_sv(sv_cstr(w->name)));
    value_set(&a, &ref, SV("uid"), value_sv(sv_cstr(w->uid)));
    value_set_path(&a, &body, "spec.boundObjectRef", ref);
    value_set(&a, &body, SV("kind"), value_sv(SV("TokenRequest")));
    value_set(&a, &body, SV("apiVersion"), value_sv(SV("authentication.k8s.io/v1")));
    ApiTarget t = { SV(""),
                    SV("v1"),
                    SV("serviceaccounts"),
                    sv_cstr(w->ns),
                    value_path_str(&w->pod, "spec.serviceAccountName"),
                    SV("token") };
    return api_create(w->k->api, &t, &body, on_answer, want, &want->call, err);
}

static int ask(Worker *w, Want *want, Err *err)
{
    StrView kind, rest;
    sv_cut(sv_cstr(want->key), '/', &kind, &rest);
    if (sv_eq(kind, SV("token")))
        return ask_token(w, want, rest, err);
    ApiTarget t = {
        SV(""),         SV("v1"), sv_eq(kind, SV("secret")) ? SV("secrets") : SV("configmaps"),
        sv_cstr(w->ns), rest,     SV_NULL
    };
    return api_get(w->k->api, &t, on_answer, want, &want->call, err);
}

void gather_start(Worker *w)
{
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers") };
    Err err = { 0 };
    Gather *g = calloc(1, sizeof *g);
    gather_cancel(w);
    if (!g) {
        err_nomem(&err);
        worker_gathered(w, &err);
        return;
    }
    g->w = w;
    w->gather = g;
    const Value *spec = value_get(&w->pod, SV("spec"));
    value_list_foreach (v, value_get(spec, SV("volumes")))
        collect_volume(g, v);
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        value_list_foreach (c, value_get(spec, lists[l]))
            collect_env(g, c);
    }
    g->waiting = 1; /* held until all are asked for */
    vec_foreach (it, &g->wants) {
        g->waiting++;
        if (ask(w, *it, &err) < 0) {
            fail(g, *it, &err);
            g->waiting--;
        }
    }
    if (--g->waiting == 0)
        finish(g);
}
