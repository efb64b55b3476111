/* kubernetes.c - keeps target groups of a cluster's objects up to date through informers. Objects
 * that change are remembered by key and built anew in one go later in the same turn of the loop;
 * a change of a pod, service, node or namespace touches the endpoints that show it. Nothing is told
 * before every kind that is watched has been listed once. */
#include "monitor/discovery/kubernetes.h"

#include <stdio.h>

#include "base/file.h"
#include "codec/json.h"
#include "fetch/fetch.h"

enum { PEM_MAX = 4 * 1024 * 1024, INDEX_POD = 0, INDEX_SERVICE = 1 };

static const struct {
    const char *role, *group, *version, *plural, *source;
    bool cluster_wide;
} kinds[K8S_KIND_MAX] = {
    [K8S_POD] = { "pod", "", "v1", "pods", "pod", false },
    [K8S_SERVICE] = { "service", "", "v1", "services", "svc", false },
    [K8S_ENDPOINTS] = { "endpoints", "", "v1", "endpoints", "endpoints", false },
    [K8S_ENDPOINTSLICE] = { "endpointslice", "discovery.k8s.io", "v1", "endpointslices",
                            "endpointslice", false },
    [K8S_NODE] = { "node", "", "v1", "nodes", "node", true },
    [K8S_INGRESS] = { "ingress", "networking.k8s.io", "v1", "ingresses", "ingress", false },
    [K8S_NAMESPACE] = { "namespace", "", "v1", "namespaces", "namespace", true },
};

_Static_assert((int)K8S_KIND_MAX == (int)ROLES_MAX, "DiscoveryStats counts the events of each");

const char *k8s_role_name(unsigned kind)
{
    return kinds[kind].role;
}

typedef struct K8sProvider K8sProvider;
typedef struct K8sWatch {
    K8sProvider *provider;
    K8sKind kind;
    Informer *informer;
    bool synced;
    LogGate said; /* that it failed */
} K8sWatch;

struct K8sProvider {
    Provider base;
    const ConfigKubernetesSd *cfg;
    K8sKind main;
    ApiClient *client;
    VEC(K8sWatch *) watches;
    Map dirty; /* keys of main objects */
    bool flush_due, ready;
};

/* ---- reaching objects ---- */

static ApiObject *find(K8sProvider *p, K8sKind kind, StrView ns, StrView name)
{
    vec_foreach (w, &p->watches) {
        ApiObject *o = (*w)->kind == kind && (*w)->informer
                           ? informer_get_named((*w)->informer, ns, name)
                           : NULL;
        if (o)
            return o;
    }
    return NULL;
}

static const Value *get_object(void *ctx, K8sKind kind, StrView ns, StrView name, Arena *a)
{
    ApiObject *o = find(ctx, kind, ns, name);
    Value *v = o ? arena_new(a, Value) : NULL;
    /* The text is copied: strings of the tree point into it. */
    StrView text = v ? arena_sv(a, o->json) : SV_NULL;
    return text.ptr && json_decode(text, a, NULL, v, NULL) >= 0 ? v : NULL;
}

/* ---- building ---- */

static void build(K8sProvider *p, StrView key)
{
    _cleanup_arena_ Arena a;
    StrView ns, name;
    TargetGroup g = { 0 };
    K8sLookup look = { .ctx = p,
                       .get = get_object,
                       .attach_node = p->cfg->attach_metadata.node,
                       .attach_namespace = p->cfg->attach_metadata.ns };

    arena_init(&a, 256 * 1024 * 1024);
    if (!sv_cut(key, '/', &ns, &name)) {
        name = key;
        ns = SV("");
    }
    const Value *obj = get_object(p, p->main, ns, name, &a);
    if (obj && !k8s_build(p->main, obj, &look, &a, &g))
        return; /* without memory the group stays as it was */
    g.source = arena_printf(&a, "%s/%.*s", kinds[p->main].source, SV_FMT(key));
    if (g.source.ptr)
        provider_emit(&p->base, &g, 1);
}

static void flush(void *ctx)
{
    K8sProvider *p = ctx;
    Map dirty = p->dirty;
    StrView key;
    void *val;

    p->flush_due = false;
    p->dirty = (Map){ 0 };
    for (size_t i = 0; map_next(&dirty, &i, &key, &val);)
        build(p, key);
    map_free(&dirty);
}

static void mark(K8sProvider *p, StrView key)
{
    if (!map_set(&p->dirty, key, p, NULL) || p->flush_due || !p->ready)
        return;
    p->flush_due = loop_defer(p->base.owner->loop, flush, p, NULL) >= 0;
}

/* Objects of the main kind, all or those of a namespace. */
static void mark_all(K8sProvider *p, StrView ns)
{
    ApiObject *o;
    vec_foreach (w, &p->watches)
        for (size_t i = 0; (*w)->kind == p->main && (*w)->informer &&
                           (o = informer_next((*w)->informer, &i)) != NULL;)
            if (sv_empty(ns) || sv_eq(o->ns, ns))
                mark(p, o->key);
}

static void mark_indexed(K8sProvider *p, unsigned index, StrView value)
{
    vec_foreach (w, &p->watches) {
        size_t n = 0;
        if ((*w)->kind != p->main || !(*w)->informer)
            continue;
        ApiObject *const *list = informer_by_index((*w)->informer, index, value, &n);
        for (size_t i = 0; i < n; i++)
            mark(p, list[i]->key);
    }
}

static void changed(K8sWatch *w, const ApiObject *o)
{
    K8sProvider *p = w->provider;
    if (w->kind == p->main)
        mark(p, o->key);
    else if (w->kind == K8S_NODE)
        mark_all(p, SV(""));
    else if (w->kind == K8S_NAMESPACE)
        mark_all(p, o->name);
    else
        mark_indexed(p, w->kind == K8S_POD ? INDEX_POD : INDEX_SERVICE, o->key);
}

/* ---- informers ---- */

static void on_event(K8sWatch *w, EventKind event, const ApiObject *o)
{
    w->provider->base.owner->stats->kubernetes_events[w->kind][event]++;
    changed(w, o);
}

static void on_add(void *ctx, ApiObject *o)
{
    on_event(ctx, EVENT_ADD, o);
}

static void on_update(void *ctx, ApiObject *old, ApiObject *now)
{
    on_event(ctx, EVENT_UPDATE, now);
}

static void on_delete(void *ctx, ApiObject *last)
{
    on_event(ctx, EVENT_DELETE, last);
}

static void on_failed(void *ctx, const Err *why)
{
    K8sWatch *w = ctx;
    Provider *p = &w->provider->base;
    Err err = { 0 };
    p->owner->stats->kubernetes_failures++;
    if (!log_gate(&w->said, SAID_MS))
        return;
    err_set(&err, why->code, 0, "failed to list or watch %s: %s", kinds[w->kind].plural, why->msg);
    provider_log(p, "Failed to watch", SV(""), err.msg);
}

/* The informers know when it is over. */
static const Err *k8s_check(const Provider *base)
{
    const K8sProvider *p = (const K8sProvider *)base;
    vec_foreach (w, &p->watches)
        if ((*w)->informer && informer_last_error((*w)->informer)->code)
            return informer_last_error((*w)->informer);
    return NULL;
}

static void on_synced(void *ctx)
{
    K8sWatch *w = ctx;
    K8sProvider *p = w->provider;
    w->synced = true;
    vec_foreach (x, &p->watches)
        if (!(*x)->synced)
            return;
    p->ready = true;
    mark_all(p, SV(""));
}

static void emit_ref(InformerEmit *e, const Value *ref, Arena *a)
{
    if (!sv_eq(value_str(value_get(ref, SV("kind"))), SV("Pod")))
        return;
    StrView key = arena_printf(a, "%.*s/%.*s", SV_FMT(value_str(value_get(ref, SV("namespace")))),
                               SV_FMT(value_str(value_get(ref, SV("name")))));
    if (key.ptr)
        informer_emit(e, key);
}

static void index_pod(const ApiObject *o, InformerEmit *e)
{
    _cleanup_arena_ Arena a;
    Value v;
    arena_init(&a, 256 * 1024 * 1024);
    if (json_decode(o->json, &a, NULL, &v, NULL) < 0)
        return;
    value_list_foreach (ep, value_get(&v, SV("endpoints")))
        emit_ref(e, value_get(ep, SV("targetRef")), &a);
    value_list_foreach (s, value_get(&v, SV("subsets"))) {
        value_list_foreach (x, value_get(s, SV("addresses")))
            emit_ref(e, value_get(x, SV("targetRef")), &a);
        value_list_foreach (x, value_get(s, SV("notReadyAddresses")))
            emit_ref(e, value_get(x, SV("targetRef")), &a);
    }
}

/* The service that endpoints belong to: of the same name, or by the label. */
static void index_service(const ApiObject *o, InformerEmit *e)
{
    _cleanup_arena_ Arena a;
    Value v;
    arena_init(&a, 256 * 1024 * 1024);
    if (json_decode(o->json, &a, NULL, &v, NULL) < 0)
        return;
    StrView name =
        value_str(value_get(value_path(&v, "metadata.labels"), SV("kubernetes.io/service-name")));
    bool slice = value_is(value_get(&v, SV("addressType")), VALUE_STRING);
    StrView key = slice ? arena_printf(&a, "%.*s/%.*s", SV_FMT(o->ns), SV_FMT(name)) : o->key;
    if (key.ptr)
        informer_emit(e, key);
}

static int watch(K8sProvider *p, K8sKind kind, StrView ns, Err *err)
{
    K8sWatch *w = calloc(1, sizeof *w);
    if (!w || !vec_push(&p->watches, w)) {
        free(w);
        return err_nomem(err);
    }
    w->provider = p;
    w->kind = kind;
    InformerConfig c = { .target = { .group = sv_cstr(kinds[kind].group),
                                     .version = sv_cstr(kinds[kind].version),
                                     .plural = sv_cstr(kinds[kind].plural),
                                     .ns = kinds[kind].cluster_wide ? SV("") : ns },
                         .events.on_add = on_add,
                         .events.on_update = on_update,
                         .events.on_delete = on_delete,
                         .events.on_failed = on_failed,
                         .events.on_synced = on_synced,
                         .events.ctx = w };
    for (unsigned i = 0; i < p->cfg->selectors.len; i++)
        if (sv_eq(p->cfg->selectors.items[i].role, sv_cstr(kinds[kind].role))) {
            c.label_selector = p->cfg->selectors.items[i].label;
            c.field_selector = p->cfg->selectors.items[i].field;
        }
    if (kind == K8S_ENDPOINTS || kind == K8S_ENDPOINTSLICE) {
        c.indexes[INDEX_POD] = index_pod;
        c.indexes[INDEX_SERVICE] = index_service;
        c.n_indexes = 2;
    }
    return informer_new(p->client, &c, &w->informer, err);
}

static int watch_all(K8sProvider *p, StrView own_ns, Err *err)
{
    bool ends = p->main == K8S_ENDPOINTS || p->main == K8S_ENDPOINTSLICE;
    const StrList *names = &p->cfg->namespaces.names;
    bool own = p->cfg->namespaces.own_namespace;
    unsigned n = names->len + own;
    int r;

    for (unsigned i = 0; i < (n ? n : 1); i++) {
        StrView ns = !n ? SV("") : i < names->len ? names->items[i] : own_ns;
        if ((r = watch(p, p->main, ns, err)) < 0)
            return r;
        if (ends &&
            ((r = watch(p, K8S_POD, ns, err)) < 0 || (r = watch(p, K8S_SERVICE, ns, err)) < 0))
            return r;
        if (kinds[p->main].cluster_wide)
            break;
    }
    bool node = p->cfg->attach_metadata.node && (ends || p->main == K8S_POD);
    if (node && (r = watch(p, K8S_NODE, SV(""), err)) < 0)
        return r;
    if (p->cfg->attach_metadata.ns && p->main != K8S_NODE)
        return watch(p, K8S_NAMESPACE, SV(""), err);
    return 0;
}

/* ---- who we are to the API server ---- */

static int read_pem(StrView text, StrView file, Buf *out, Err *err)
{
    char path[4096];
    buf_sv(out, text);
    if (sv_empty(file))
        return out->failed ? err_nomem(err) : 0;
    if (!sv_copy_cstr(file, path, sizeof path))
        return err_set(err, ERR_LIMIT, 0, "the name '%.*s' is too long",
                       SV_FMT(sv_head(file, 100)));
    int r = file_read(AT_FDCWD, path, PEM_MAX, out);
    return r < 0 ? err_neg(err, r, "read '%s'", path) : 0;
}

static char *dup_sv(StrView s)
{
    return s.len ? strndup(s.ptr, s.len) : NULL;
}

static int from_config(const ConfigKubernetesSd *cfg, KubeConfig *k, Err *err)
{
    const FetchOptions *h = &cfg->http;
    FetchUrl u;
    int r = fetch_url_parse(cfg->api_server, &u, err);

    if (r < 0)
        return err_wrap(err, "api_server");
    if (h->basic_auth || h->oauth2)
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "kubernetes_sd_configs: of basic_auth, oauth2 and authorization only "
                       "authorization is supported");
    k->host = dup_sv(u.host);
    k->port = u.port;
    k->tls = sv_eq_nocase(u.scheme, SV("https"));
    k->prefix = strdup("");
    k->ns = strdup("default");
    k->insecure = h->tls.insecure_skip_verify;
    k->server_name = dup_sv(h->tls.server_name);
    if (u.target.len > 1) {
        free(k->prefix);
        k->prefix =
            dup_sv(sv_ends(u.target, SV("/")) ? sv_head(u.target, u.target.len - 1) : u.target);
    }
    if (h->authorization) {
        k->token = dup_sv(h->authorization->credentials);
        k->token_file = dup_sv(h->authorization->credentials_file);
    }
    if (!k->host || !k->prefix || !k->ns)
        return err_nomem(err);
    if ((r = read_pem(h->tls.ca, h->tls.ca_file, &k->ca, err)) < 0 ||
        (r = read_pem(h->tls.cert, h->tls.cert_file, &k->cert, err)) < 0)
        return r;
    return read_pem(h->tls.key, h->tls.key_file, &k->key, err);
}

static int load_access(const ConfigKubernetesSd *cfg, KubeConfig *k, Err *err)
{
    char path[4096];
    if (cfg->api_server.len)
        return from_config(cfg, k, err);
    if (sv_empty(cfg->kubeconfig_file))
        return kube_config_in_cluster(k, err);
    if (!sv_copy_cstr(cfg->kubeconfig_file, path, sizeof path))
        return err_set(err, ERR_LIMIT, 0, "kubeconfig_file: the name is too long");
    return kube_config_load(path, NULL, k, err);
}

/* ---- the provider ---- */

static Provider *k8s_stop(Provider *base)
{
    K8sProvider *p = (K8sProvider *)base;
    loop_defer_cancel(base->owner->loop, flush, p);
    vec_foreach (w, &p->watches) {
        informer_free((*w)->informer);
        free(*w);
    }
    vec_free(&p->watches);
    map_free(&p->dirty);
    api_client_free(p->client);
    free(p);
    return NULL;
}

static int connect_and_watch(K8sProvider *p, Err *err)
{
    KubeConfig k = { 0 };
    int r = load_access(p->cfg, &k, err);
    if (r >= 0)
        r = api_client_new(p->base.owner->loop, &k, &p->client, err);
    if (r >= 0)
        r = watch_all(p, sv_cstr(k.ns ? k.ns : "default"), err);
    kube_config_free(&k);
    return r;
}

int k8s_provider_new(Discovery *d, const ConfigKubernetesSd *cfg, Provider **ret, Err *err)
{
    K8sProvider *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->base = (Provider){ .owner = d, .stop = k8s_stop, .check = k8s_check };
    p->cfg = cfg;
    for (unsigned i = 0; i < K8S_KIND_MAX; i++)
        if (sv_eq(cfg->role, sv_cstr(kinds[i].role)))
            p->main = (K8sKind)i;
    int r = connect_and_watch(p, err);
    if (r < 0) {
        k8s_stop(&p->base);
        return r;
    }
    *ret = &p->base;
    return 0;
}
