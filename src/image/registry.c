/* registry.c - the client itself, and its sessions. */
#include "image/registry_internal.h"

/* ---- whom to talk to, with which certificates ---- */

static RegPeer *peer_free(RegPeer *p)
{
    if (p) {
        fetcher_free(p->fetcher);
        free(p);
    }
    return NULL;
}

static int peer_get(Registry *r, const RegistryHostConfig *config, bool own, bool insecure,
                    Fetcher **ret, Err *err)
{
    RegPeer *p;
    int e;

    for (p = r->peers; p; p = p->next)
        if (p->config == config && p->own == own && p->insecure == insecure) {
            *ret = p->fetcher;
            return 0;
        }
    p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->config = config;
    p->own = own;
    p->insecure = insecure;
    if (config)
        p->options.tls = config->tls;
    if (!own) /* of the registry; not shown to whom it redirects */
        p->options.tls.cert_file = p->options.tls.key_file = SV("");
    p->options.tls.insecure_skip_verify |= insecure;
    p->options.tls.system_roots = true;
    p->options.proxy.from_environment = true;
    e = fetcher_new(r->loop, &p->options, &p->fetcher, err);
    if (e < 0) {
        peer_free(p);
        return e;
    }
    p->next = r->peers;
    r->peers = p;
    *ret = p->fetcher;
    return 0;
}

/* A host that has its own configuration gets that. Another one that a registry redirects to, or has
 * its tokens from, is trusted for the same authorities: it is mostly another door of one house. */
int reg_session_peer(RegSession *s, StrView url, Fetcher **ret, Err *err)
{
    const RegistryHostConfig *config;
    FetchUrl to;
    int r = fetch_url_parse(url, &to, err);

    if (r < 0)
        return r;
    config = registry_config_host(s->reg->config, to.authority);
    if (config || reg_session_is_own(s, url))
        return peer_get(s->reg, config ? config : s->endpoint->config, true, s->insecure, ret, err);
    return peer_get(s->reg, s->endpoint->config, false, s->insecure, ret, err);
}

bool reg_session_is_own(const RegSession *s, StrView url)
{
    FetchUrl own, to;

    return fetch_url_parse(s->base, &own, NULL) >= 0 && fetch_url_parse(url, &to, NULL) >= 0 &&
           sv_eq_nocase(own.scheme, to.scheme) && sv_eq_nocase(own.host, to.host) &&
           own.port == to.port;
}

/* ---- sessions ---- */

/* Those of the configuration first, then the caller's, longer patterns first. */
static int choose_credentials(RegSession *s, const RegistryOptions *o, Err *err)
{
    const RegistryHostConfig *h = s->endpoint->config;
    RegistryCredential *list = arena_array(s->arena, RegistryCredential, o->n_credentials + 1u);
    unsigned n = 0, first;

    if (!list)
        return err_nomem(err);
    if (h && (h->username.len || h->identity_token.len))
        list[n++] = (RegistryCredential){ .pattern = s->endpoint->host,
                                          .username = h->username,
                                          .password = h->password,
                                          .identity_token = h->identity_token };
    first = n;
    for (unsigned i = 0; i < o->n_credentials; i++)
        if (registry_credential_fits(o->credentials[i].pattern, s->endpoint->host,
                                     s->endpoint->path))
            list[n++] = o->credentials[i];
    if (n > first)
        qsort(list + first, n - first, sizeof *list, registry_credential_cmp);
    s->creds = list;
    s->n_creds = n;
    return 0;
}

int reg_session_init(RegSession *s, Registry *r, const RegistryEndpoint *e,
                     const RegistryOptions *o, const char *actions, Arena *a, Err *err)
{
    *s = (RegSession){ .reg = r,
                       .arena = a,
                       .endpoint = e,
                       .base = e->base,
                       .actions = actions,
                       .insecure = o->insecure,
                       .may_clear = e->may_clear || (o->insecure && !e->is_mirror),
                       .stall_ms = o->stall_ms ? o->stall_ms : REGISTRY_STALL_MS,
                       .retry_after_max_s = o->retry_after_max_s ? o->retry_after_max_s
                                                                 : REGISTRY_RETRY_AFTER_MAX_S };
    arena_init(&s->scratch, 1024 * 1024);
    return choose_credentials(s, o, err);
}

void reg_session_end(RegSession *s)
{
    s->fetch = fetch_cancel(s->fetch);
    if (s->token_text.ptr)
        explicit_bzero(s->token_text.ptr, s->token_text.cap);
    buf_free(&s->token_text);
    arena_free(&s->scratch);
}

/* ---- options ---- */

int reg_options_copy(const RegistryOptions *o, Arena *a, RegistryOptions *ret, Err *err)
{
    RegistryOptions c = *o;
    RegistryCredential *creds = arena_array(a, RegistryCredential, o->n_credentials + 1u);
    const char **files = arena_array(a, const char *, o->n_auth_files + 1u);

    for (unsigned i = 0; creds && i < o->n_credentials; i++) {
        const RegistryCredential *from = &o->credentials[i];

        creds[i] =
            (RegistryCredential){ arena_sv(a, from->pattern), arena_sv(a, from->username),
                                  arena_sv(a, from->password), arena_sv(a, from->identity_token),
                                  arena_sv(a, from->registry_token) };
    }
    for (unsigned i = 0; files && i < o->n_auth_files; i++)
        files[i] = arena_cstr(a, sv_cstr(o->auth_files[i]));
    c.credentials = creds;
    c.auth_files = files;
    c.os = arena_sv(a, o->os);
    c.architecture = arena_sv(a, o->architecture);
    c.variant = arena_sv(a, o->variant);
    if (a->failed)
        return err_nomem(err);
    *ret = c;
    return 0;
}

/* Of one file, for one endpoint. */
static int load_from(const AuthFile *f, const RegistryEndpoint *e, RegistryCredential *list,
                     unsigned *n, Arena *a, Err *err)
{
    bool found;
    int r = auth_file_ask_helper(f, e->host, a, &list[*n], &found, err);

    if (r < 0)
        return r;
    if (found) {
        (*n)++;
        return 0;
    }
    for (unsigned i = 0; i < f->len; i++)
        if (registry_credential_fits(f->items[i].pattern, e->host, e->path))
            list[(*n)++] = f->items[i];
    return 0;
}

int reg_options_load(RegistryOptions *o, const RegistryEndpoint *e, unsigned n, Arena *a, Err *err)
{
    bool served[REGISTRY_ENDPOINTS_MAX] = { 0 };

    for (unsigned i = 0; i < o->n_auth_files; i++) {
        AuthFile f;
        Err own = { 0 };
        int r = auth_file_load(o->auth_files[i], a, &f, &own);

        if (r == -(int)ERR_NOT_FOUND)
            continue;
        if (r < 0) {
            if (err)
                *err = own;
            return r;
        }
        unsigned n_list = o->n_credentials, room = n_list + (f.len + 1) * n;
        RegistryCredential *list = arena_array(a, RegistryCredential, room + 1u);
        if (!list)
            return err_nomem(err);
        if (n_list)
            memcpy(list, o->credentials, n_list * sizeof *list);
        for (unsigned k = 0; k < n; k++) {
            unsigned before = n_list;

            if (served[k])
                continue;
            if ((r = load_from(&f, &e[k], list, &n_list, a, err)) < 0)
                return r;
            served[k] = n_list > before;
        }
        o->credentials = list;
        o->n_credentials = n_list;
    }
    return 0;
}

/* ---- the client ---- */

int registry_new(Loop *l, ImageStore *store, const RegistryConfig *config, Registry **ret, Err *err)
{
    Registry *r = calloc(1, sizeof *r);

    if (r)
        r->life = calloc(1, sizeof *r->life);
    if (!r || !r->life) {
        free(r);
        return err_nomem(err);
    }
    r->loop = l;
    r->store = store;
    r->config = config;
    *ret = r;
    return 0;
}

typedef struct RegWork {
    RegLife *life;
    LoopFn *work, *done;
    void *ctx;
} RegWork;

static void life_check(RegLife *l)
{
    if (!l->ended || l->works)
        return;
    if (l->gone)
        l->gone(l->ctx);
    free(l);
}

static void run_work(void *ctx)
{
    RegWork *w = ctx;

    w->work(w->ctx);
}

static void work_done(void *ctx)
{
    RegWork *w = ctx;
    RegLife *life = w->life;

    w->done(w->ctx);
    free(w);
    life->works--;
    life_check(life);
}

int reg_work(Registry *r, LoopFn *work, LoopFn *done, void *ctx, Err *err)
{
    RegWork *w = calloc(1, sizeof *w);
    int e;

    if (!w)
        return err_nomem(err);
    *w = (RegWork){ r->life, work, done, ctx };
    e = loop_work(r->loop, run_work, work_done, w, err);
    if (e < 0)
        free(w);
    else
        r->life->works++;
    return e;
}

Registry *registry_free(Registry *r, LoopFn *gone, void *ctx)
{
    if (!r)
        return NULL;
    while (r->pulls)
        registry_pull_cancel(r->pulls);
    while (r->pushes)
        registry_push_cancel(r->pushes);
    registry_forget_unpacks(r);
    while (r->peers) {
        RegPeer *p = r->peers;

        r->peers = p->next;
        peer_free(p);
    }
    r->life->ended = true;
    r->life->gone = gone;
    r->life->ctx = ctx;
    life_check(r->life);
    free(r);
    return NULL;
}
