/* auth.c - who we say we are: headers with credentials, TLS contexts, OAuth 2 tokens. Files are
 * read for each request, certificates when their files have changed. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "codec/json.h"
#include "monitor/fetch/internal.h"

enum { SECRET_MAX = 1024 * 1024, PEM_MAX = 4 * 1024 * 1024, TLS_CHECK_S = 1, TOKEN_EARLY_S = 10 };

/* A secret from the configuration or from its file, without white space around it. */
static int secret(Arena *a, StrView text, StrView file, const char *what, StrView *ret, Err *err)
{
    if (sv_empty(file)) {
        *ret = text;
        return 0;
    }
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *path = arena_cstr(a, file);
    int r = path ? file_read(AT_FDCWD, path, SECRET_MAX, &out) : -ENOMEM;
    if (r < 0)
        return err_neg(err, r, "unable to read %s file %.*s", what, SV_FMT(file));
    *ret = arena_sv(a, sv_trim(buf_view(&out)));
    return ret->ptr ? 0 : err_nomem(err);
}

/* ---- headers ---- */

typedef struct HeaderList {
    Arena *arena;
    HttpHeader *items;
    unsigned len, cap;
} HeaderList;

static int add(HeaderList *l, StrView name, StrView value, Err *err)
{
    if (l->len == l->cap) {
        unsigned cap = l->cap ? l->cap * 2 : 16;
        HttpHeader *grown =
            arena_realloc(l->arena, l->items, l->cap * sizeof *grown, cap * sizeof *grown);
        if (!grown)
            return err_nomem(err);
        l->items = grown;
        l->cap = cap;
    }
    char *lower = arena_cstr(l->arena, name);
    if (!lower || !value.ptr)
        return err_nomem(err);
    for (char *c = lower; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    l->items[l->len++] = (HttpHeader){ sv_cstr(lower), value };
    return 0;
}

static int basic(HeaderList *l, StrView user, StrView password, Err *err)
{
    _cleanup_buf_ Buf plain = BUF_INIT, out = BUF_INIT;
    buf_printf(&plain, "%.*s:%.*s", SV_FMT(user), SV_FMT(password));
    buf_sv(&out, SV("Basic "));
    base64_encode(BASE64_STD, buf_view(&plain), &out);
    if (plain.failed || out.failed)
        return err_nomem(err);
    return add(l, SV("authorization"), arena_sv(l->arena, buf_view(&out)), err);
}

static int add_credentials(Fetch *x, HeaderList *l, const FetchUrl *u, Err *err)
{
    const ConfigHttp *c = x->f->cfg;
    StrView user, password, token;
    int r;

    if (c->basic_auth) {
        const ConfigBasicAuth *b = c->basic_auth;
        if ((r = secret(l->arena, b->username, b->username_file, "username", &user, err)) < 0 ||
            (r = secret(l->arena, b->password, b->password_file, "password", &password, err)) < 0)
            return r;
        return basic(l, user, password, err);
    }
    if (c->authorization) {
        const ConfigAuthorization *a = c->authorization;
        if ((r = secret(l->arena, a->credentials, a->credentials_file, "authorization credentials",
                        &token, err)) < 0)
            return r;
        if (sv_empty(token))
            return 0;
        return add(l, SV("authorization"),
                   arena_printf(l->arena, "%.*s %.*s", SV_FMT(a->type), SV_FMT(token)), err);
    }
    if (c->oauth2)
        return add(l, SV("authorization"),
                   arena_printf(l->arena, "Bearer %.*s", SV_FMT(buf_view(&x->f->token))), err);
    if (u->userinfo.len) {
        sv_cut(u->userinfo, ':', &user, &password);
        user = http_unescape(l->arena, user, false);
        password = http_unescape(l->arena, password, false);
        return user.ptr && password.ptr ? basic(l, user, password, err) : err_nomem(err);
    }
    return 0;
}

static int add_configured(Fetch *x, HeaderList *l, Err *err)
{
    const ConfigHeaders *h = &x->f->cfg->headers;
    StrView value;
    int r;
    for (unsigned i = 0; i < h->len; i++) {
        const ConfigHeader *one = &h->items[i];
        const ConfigStrings *lists[] = { &one->values, &one->secrets, &one->files };
        for (unsigned k = 0; k < ARRAY_SIZE(lists); k++)
            for (unsigned j = 0; j < lists[k]->len; j++) {
                StrView text = lists[k]->items[j];
                if ((r = secret(l->arena, text, k == 2 ? text : SV(""), "header", &value, err)) <
                        0 ||
                    (r = add(l, one->name, value, err)) < 0)
                    return r;
            }
    }
    return 0;
}

int fetch_headers(Fetch *x, const FetchRoute *to, HttpHeader **ret, unsigned *ret_n, Err *err)
{
    HeaderList l = { .arena = &x->arena };
    const FetchUrl *u = &to->to;
    int r = add(&l, SV("host"), u->authority, err);

    if (r < 0)
        return r;
    if (to->authorization.len && !to->is_tls &&
        (r = add(&l, SV("proxy-authorization"), to->authorization, err)) < 0)
        return r;
    for (unsigned i = 0; i < x->spec.n_headers; i++)
        if ((r = add(&l, x->spec.headers[i].name, x->spec.headers[i].value, err)) < 0)
            return r;
    if (!x->foreign && (r = add_credentials(x, &l, u, err)) < 0)
        return r;
    if ((r = add_configured(x, &l, err)) < 0)
        return r;
    *ret = l.items;
    *ret_n = l.len;
    return 0;
}

/* ---- TLS ---- */

static void put_identity(Buf *out, StrView file)
{
    struct stat st;
    char path[4096];
    if (file.len && sv_copy_cstr(file, path, sizeof path) && stat(path, &st) == 0)
        buf_printf(out, "%llu.%llu.%lld.%ld.%lld;", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                   (long long)st.st_size);
    else
        buf_putc(out, ';');
}

static TlsVersion tls_version(StrView name)
{
    static const char *const names[] = { "", "TLS10", "TLS11", "TLS12", "TLS13" };
    _Static_assert(TLS_1_0 == 1 && TLS_1_3 == 4, "in the order of TlsVersion");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (sv_eq(name, sv_cstr(names[i])))
            return (TlsVersion)i;
    return TLS_DEFAULT;
}

static int make_tls(Fetcher *f, TlsContext **ret, Err *err)
{
    const ConfigTls *t = &f->cfg->tls;
    _cleanup_arena_ Arena a;
    TlsConfig c = { .insecure_skip_verify = t->insecure_skip_verify,
                    .min_version = tls_version(t->min_version),
                    .max_version = tls_version(t->max_version),
                    .alpn_h2 = f->cfg->enable_http2 };
    int r;

    arena_init(&a, 4 * PEM_MAX);
    if ((r = secret(&a, t->ca, t->ca_file, "CA", &c.ca, err)) < 0 ||
        (r = secret(&a, t->cert, t->cert_file, "certificate", &c.cert_chain, err)) < 0 ||
        (r = secret(&a, t->key, t->key_file, "key", &c.key, err)) < 0)
        return r;
    return tls_context_new_client(&c, ret, err);
}

/* Connections made with an older context end when they are idle. */
static void retire_origins(Fetcher *f)
{
    StrView key;
    void *val;
    for (size_t i = 0; map_next(&f->origins, &i, &key, &val);) {
        Origin *o = val;
        o->retired = true;
        o->next = f->retired;
        f->retired = o;
    }
    map_free(&f->origins);
}

int fetcher_tls(Fetcher *f, TlsContext **ret, Err *err)
{
    const ConfigTls *t = &f->cfg->tls;
    int64_t now = loop_now_ns(f->loop);

    if (f->tls && now - f->tls_checked_ns < TLS_CHECK_S * NSEC_PER_SEC) {
        *ret = f->tls;
        return 0;
    }
    _cleanup_buf_ Buf state = BUF_INIT;
    put_identity(&state, t->ca_file);
    put_identity(&state, t->cert_file);
    put_identity(&state, t->key_file);
    f->tls_checked_ns = now;
    if (!f->tls || !sv_eq(buf_view(&state), buf_view(&f->tls_state))) {
        TlsContext *made = NULL;
        int r = make_tls(f, &made, err);
        if (r < 0)
            return r;
        retire_origins(f);
        tls_context_unref(f->tls);
        f->tls = made;
        buf_clear(&f->tls_state);
        buf_sv(&f->tls_state, buf_view(&state));
    }
    *ret = f->tls;
    return 0;
}

/* ---- OAuth 2 client credentials (RFC 6749, section 4.4) ---- */

static int take_token(Fetcher *f, const FetchResult *r, Err *err)
{
    _cleanup_arena_ Arena a;
    Value v;

    arena_init(&a, PEM_MAX);
    if (r->err)
        return err_set(err, r->err->code, 0, "oauth2: cannot fetch token: %.300s", r->err->msg);
    if (r->status < 200 || r->status > 299)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "oauth2: cannot fetch token: HTTP status %d",
                       r->status);
    if (json_decode(r->body, &a, NULL, &v, err) < 0)
        return err_wrap(err, "oauth2: cannot parse the token's answer");
    StrView token = value_str(value_get(&v, SV("access_token")));
    if (sv_empty(token))
        return err_set(err, ERR_PROTO, 0, "oauth2: server response missing access_token");
    int64_t life = value_int_or(value_get(&v, SV("expires_in")), 3600);
    buf_clear(&f->token);
    buf_sv(&f->token, token);
    f->token_until_ns = loop_now_ns(f->loop) + MAX(life - TOKEN_EARLY_S, INT64_C(1)) * NSEC_PER_SEC;
    return f->token.failed ? err_nomem(err) : 0;
}

static void on_token(void *ctx, const FetchResult *r)
{
    Fetcher *f = ctx;
    Err err = { 0 };
    f->token_fetch = NULL;
    fetch_resume_waiting(f, take_token(f, r, &err) < 0 ? &err : NULL);
}

static int token_body(Fetcher *f, Arena *a, StrView *ret_user, StrView *ret_pass, Buf *out,
                      Err *err)
{
    const ConfigOauth2 *o = f->cfg->oauth2;
    *ret_user = o->client_id;
    int r = secret(a, o->client_secret, o->client_secret_file, "client secret", ret_pass, err);
    if (r < 0)
        return r;
    buf_sv(out, SV("grant_type=client_credentials"));
    for (unsigned i = 0; i < o->scopes.len; i++) {
        buf_sv(out, i ? SV("+") : SV("&scope="));
        percent_encode(o->scopes.items[i], out);
    }
    for (unsigned i = 0; i < o->endpoint_params.len; i++) {
        buf_putc(out, '&');
        percent_encode(o->endpoint_params.items[i].name, out);
        buf_putc(out, '=');
        percent_encode(o->endpoint_params.items[i].value, out);
    }
    return out->failed ? err_nomem(err) : 0;
}

static int start_token(Fetcher *f, Err *err)
{
    const ConfigOauth2 *o = f->cfg->oauth2;
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf body = BUF_INIT, auth = BUF_INIT, plain = BUF_INIT;
    StrView user, pass;
    int r;

    arena_init(&a, PEM_MAX);
    if (!f->token_cfg && !(f->token_cfg = calloc(1, sizeof *f->token_cfg)))
        return err_nomem(err);
    f->token_cfg->tls = o->tls;
    f->token_cfg->proxy = o->proxy;
    f->token_cfg->follow_redirects = true;
    if (!f->token_fetcher && (r = fetcher_new(f->loop, f->token_cfg, &f->token_fetcher, err)) < 0)
        return r;
    if ((r = token_body(f, &a, &user, &pass, &body, err)) < 0)
        return r;
    percent_encode(user, &plain);
    buf_putc(&plain, ':');
    percent_encode(pass, &plain);
    buf_sv(&auth, SV("Basic "));
    base64_encode(BASE64_STD, buf_view(&plain), &auth);
    HttpHeader headers[] = {
        { SV_INIT("content-type"), SV_INIT("application/x-www-form-urlencoded") },
        { SV_INIT("authorization"), buf_view(&auth) },
    };
    FetchSpec spec = { .url = o->token_url,
                       .method = SV("POST"),
                       .body = buf_view(&body),
                       .headers = headers,
                       .n_headers = ARRAY_SIZE(headers),
                       .timeout_ms = 30000,
                       .body_max = SECRET_MAX,
                       .done = on_token,
                       .ctx = f };
    return fetch_start(f->token_fetcher, &spec, &f->token_fetch, err);
}

int fetcher_token(Fetcher *f, bool *ret_wait, Err *err)
{
    *ret_wait = f->cfg->oauth2 && (!f->token.len || loop_now_ns(f->loop) >= f->token_until_ns);
    return *ret_wait && !f->token_fetch ? start_token(f, err) : 0;
}

void fetcher_token_free(Fetcher *f)
{
    f->token_fetch = fetch_cancel(f->token_fetch);
    f->token_fetcher = fetcher_free(f->token_fetcher);
    free(f->token_cfg);
    f->token_cfg = NULL;
    buf_free(&f->token);
}
