/* auth.c - who we say we are: headers with credentials, TLS contexts. Files are read for each
 * request, certificates when their files have changed. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "fetch/internal.h"
#include "fetch/sigv4.h"

enum { SECRET_MAX = 1024 * 1024, PEM_MAX = 4 * 1024 * 1024, TLS_CHECK_S = 1 };

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
    if (sv_find_char(value, '\r') >= 0 || sv_find_char(value, '\n') >= 0)
        return err_set(err, ERR_INVALID, 0, "invalid header field value for \"%s\"", lower);
    for (char *c = lower; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    l->items[l->len++] = (HttpHeader){ sv_cstr(lower), value };
    return 0;
}

/* ptr NULL: out of memory. */
static StrView basic(Arena *a, StrView user, StrView password)
{
    _cleanup_buf_ Buf plain = BUF_INIT, out = BUF_INIT;
    buf_printf(&plain, "%.*s:%.*s", SV_FMT(user), SV_FMT(password));
    buf_sv(&out, SV("Basic "));
    base64_encode(BASE64_STD, buf_view(&plain), &out);
    return plain.failed || out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

StrView fetch_basic_of_url(Arena *a, StrView userinfo)
{
    StrView user, password;
    sv_cut(userinfo, ':', &user, &password);
    user = http_unescape(a, user, false);
    password = http_unescape(a, password, false);
    return user.ptr && password.ptr ? basic(a, user, password) : SV_NULL;
}

static int add_credentials(Fetch *x, HeaderList *l, const FetchUrl *u, Err *err)
{
    const FetchOptions *c = x->f->cfg;
    StrView user, password, token;
    int r;

    if (c->basic_auth) {
        const FetchBasicAuth *b = c->basic_auth;
        if ((r = secret(l->arena, b->username, b->username_file, "username", &user, err)) < 0 ||
            (r = secret(l->arena, b->password, b->password_file, "password", &password, err)) < 0)
            return r;
        return add(l, SV("authorization"), basic(l->arena, user, password), err);
    }
    if (c->authorization) {
        const FetchAuthorization *a = c->authorization;
        if ((r = secret(l->arena, a->credentials, a->credentials_file, "authorization credentials",
                        &token, err)) < 0)
            return r;
        if (sv_empty(token))
            return 0;
        return add(l, SV("authorization"),
                   arena_printf(l->arena, "%.*s %.*s", SV_FMT(a->type), SV_FMT(token)), err);
    }
    if (x->f->identity && !c->sigv4)
        return add(l, SV("authorization"),
                   arena_sv(l->arena, identity_credentials(x->f->identity)->token), err);
    if (u->userinfo.len)
        return add(l, SV("authorization"), fetch_basic_of_url(l->arena, u->userinfo), err);
    return 0;
}

static int add_configured(Fetch *x, HeaderList *l, Err *err)
{
    const FetchExtraHeaders *h = &x->f->cfg->headers;
    StrView value;
    int r;
    for (unsigned i = 0; i < h->len; i++) {
        const FetchExtraHeader *one = &h->items[i];
        const StrList *lists[] = { &one->values, &one->secrets, &one->files };
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

/* All that is sent, for AWS. */
static int add_signature(Fetch *x, HeaderList *l, const FetchUrl *u, Err *err)
{
    const Credentials *c = identity_credentials(x->f->identity);
    StrView service = x->f->cfg->sigv4->service_name;
    const Sigv4 s = { .key_id = c->key_id,
                      .secret = c->secret,
                      .session = arena_sv(l->arena, c->session),
                      .region = c->region,
                      .service = service.len ? service : SV("aps"),
                      .now_s = clock_real_ns() / NSEC_PER_SEC };
    const Sigv4Request rq = { x->spec.method, u->target, x->spec.body, l->items, l->len };
    HttpHeader more[SIGV4_HEADERS_MAX];
    unsigned n = 0;
    int r = s.session.ptr ? sigv4_sign(&s, &rq, l->arena, more, &n, err) : err_nomem(err);
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = add(l, more[i].name, more[i].value, err);
    return r;
}

static StrView host_header(const Fetch *x, const FetchUrl *u)
{
    for (unsigned i = 0; !x->named && i < x->spec.n_headers; i++)
        if (sv_eq_nocase(x->spec.headers[i].name, SV("host")) && x->spec.headers[i].value.len)
            return x->spec.headers[i].value;
    return u->authority;
}

int fetch_headers(Fetch *x, const FetchRoute *to, HttpHeader **ret, unsigned *ret_n, Err *err)
{
    HeaderList l = { .arena = &x->arena };
    const FetchUrl *u = &to->to;
    int r = add(&l, SV("host"), host_header(x, u), err);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < x->spec.n_headers; i++) {
        const HttpHeader *h = &x->spec.headers[i];
        if (!sv_eq_nocase(h->name, SV("host")) && (r = add(&l, h->name, h->value, err)) < 0)
            return r;
    }
    if (!x->foreign && (r = add_credentials(x, &l, u, err)) < 0)
        return r;
    if ((r = add_configured(x, &l, err)) < 0)
        return r;
    if (x->f->cfg->sigv4 && !x->foreign && (r = add_signature(x, &l, u, err)) < 0)
        return r;
    if (to->authorization.len && !to->is_tls && /* of this hop: no signature covers it */
        (r = add(&l, SV("proxy-authorization"), to->authorization, err)) < 0)
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
    const FetchTls *t = &f->cfg->tls;
    _cleanup_arena_ Arena a;
    TlsConfig c = { .insecure_skip_verify = t->insecure_skip_verify,
                    .system_roots = t->system_roots,
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
    const FetchTls *t = &f->cfg->tls;
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
