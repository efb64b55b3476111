/* registry_token.c - the authorisation of a session: basic, or a bearer token from the service that
 * the registry names (distribution's token and OAuth 2 specifications). One credential after the
 * other is tried until one is taken; the calls of a session that wait for it are told together. */
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "codec/json.h"
#include "image/registry_internal.h"

enum { TOKEN_LIFE_S = 60, TOKEN_EARLY_S = 5, TOKEN_TEXT_MAX = 256 * 1024 };

static int try_next(RegSession *s, Err *err);

static const RegistryCredential *present(const RegSession *s)
{
    return s->at < s->n_creds ? &s->creds[s->at] : NULL;
}

static bool have_more(const RegSession *s)
{
    return s->at < s->n_creds || (s->n_creds == 0 && s->at == 0);
}

/* ---- who waits ---- */

static void queue(RegSession *s, RegCall *c)
{
    RegCall **at = &s->waiting;

    while (*at)
        at = &(*at)->next;
    c->next = NULL;
    c->waiting = true;
    *at = c;
}

void reg_session_forget(RegSession *s, RegCall *c)
{
    for (RegCall **at = &s->waiting; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            c->waiting = false;
            return;
        }
}

static void tell(RegSession *s, const Err *why)
{
    RegCall *list = s->waiting;

    s->waiting = NULL;
    while (list) {
        RegCall *c = list;

        list = c->next;
        if (why)
            reg_call_unauthorized(c, why);
        else
            reg_call_authorized(c);
    }
}

/* ---- what is sent from now on ---- */

static int set_authorization(RegSession *s, const char *scheme, StrView value, Err *err)
{
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] <= ' ' || (unsigned char)value.ptr[i] >= 0x7f)
            return err_set(err, ERR_PROTO, 0, "the token has characters that cannot be sent");
    buf_clear(&s->token_text);
    buf_printf(&s->token_text, "%s ", scheme);
    buf_sv(&s->token_text, value);
    if (s->token_text.failed)
        return err_nomem(err);
    s->authorization = buf_view(&s->token_text);
    s->epoch++;
    s->worked = false;
    return 0;
}

static int basic_of(const RegistryCredential *c, Buf *out, Err *err)
{
    _cleanup_buf_ Buf plain = BUF_INIT;

    buf_printf(&plain, "%.*s:%.*s", SV_FMT(c->username), SV_FMT(c->password));
    base64_encode(BASE64_STD, buf_view(&plain), out);
    return plain.failed || out->failed ? err_nomem(err) : 0;
}

static int use_basic(RegSession *s, Err *err)
{
    const RegistryCredential *c = present(s);
    _cleanup_buf_ Buf value = BUF_INIT;
    int r;

    if (!c || !c->username.len)
        return err_set(err, ERR_UNAUTHENTICATED, 0,
                       "%.*s wants a user and a password, and none are known for it",
                       SV_FMT(s->endpoint->host));
    s->expires_ns = 0;
    r = basic_of(c, &value, err);
    return r < 0 ? r : set_authorization(s, "Basic", buf_view(&value), err);
}

/* ---- the token service ---- */

static void put_param(Buf *out, const char *name, StrView value)
{
    buf_printf(out, "%s%s=", out->len ? "&" : "", name);
    query_escape(value, out);
}

/* Every scope that was asked for; the repository's where the registry named none. */
static void put_scopes(const RegSession *s, Buf *out)
{
    StrView rest = s->challenge.scope, one;
    bool any = false;

    while (sv_next(&rest, ' ', &one)) {
        if (!one.len)
            continue;
        put_param(out, "scope", one);
        any = true;
    }
    if (any)
        return;
    _cleanup_buf_ Buf own = BUF_INIT;
    buf_printf(&own, "repository:%.*s:%s", SV_FMT(s->endpoint->path), s->actions);
    put_param(out, "scope", buf_view(&own));
}

/* OAuth 2 has all of them in one parameter. */
static void put_scope_list(const RegSession *s, Buf *out)
{
    _cleanup_buf_ Buf own = BUF_INIT;

    if (s->challenge.scope.len)
        buf_sv(&own, s->challenge.scope);
    else
        buf_printf(&own, "repository:%.*s:%s", SV_FMT(s->endpoint->path), s->actions);
    put_param(out, "scope", buf_view(&own));
}

static bool is_named_by_user(const RegSession *s, StrView realm)
{
    FetchUrl to;

    if (fetch_url_parse(realm, &to, NULL) < 0 || !sv_eq_nocase(to.scheme, SV("https")))
        return false;
    if (registry_config_host(s->reg->config, to.authority))
        return true;
    /* A pattern fits its own text: it names the host itself, not all that a glob might be. */
    return false;
}

static int check_realm(const RegSession *s, Err *err)
{
    StrView realm = s->challenge.realm;
    FetchUrl to;

    if (fetch_url_parse(realm, &to, err) < 0)
        return err_wrap(err, "%.*s: the realm of its token service '%.*s'",
                        SV_FMT(s->endpoint->host), SV_FMT(sv_head(realm, 100)));
    if (to.userinfo.len)
        return err_set(err, ERR_DENIED, 0, "%.*s: its token service has a password in its address",
                       SV_FMT(s->endpoint->host));
    if (!present(s) || challenge_realm_is_own(s->base, realm) || is_named_by_user(s, realm))
        return 0;
    return err_set(err, ERR_DENIED, 0,
                   "%.*s names a token service elsewhere (%.*s://%.*s): credentials go there only "
                   "by https and when registries.yaml has the host in `configs`",
                   SV_FMT(s->endpoint->host), SV_FMT(to.scheme),
                   SV_FMT(sv_head(to.authority, 100)));
}

/* The service refused, or could not be understood. */
static void token_failed(RegSession *s, const Err *why, bool refused)
{
    Err err = *why, next = { 0 };

    if (refused) {
        s->at++;
        if (have_more(s) && try_next(s, &next) >= 0)
            return;
    }
    tell(s, &err);
}

static int token_read(RegSession *s, StrView body, Err *err)
{
    _cleanup_arena_ Arena a;
    StrView token;
    Value doc;
    int r;

    arena_init(&a, 8 * 1024 * 1024);
    if ((r = json_decode(body, &a, NULL, &doc, err)) < 0)
        return err_set(err, ERR_PROTO, 0, "its answer is no JSON");
    token = value_str(value_get(&doc, SV("token")));
    if (!token.len)
        token = value_str(value_get(&doc, SV("access_token")));
    if (!token.len)
        return err_set(err, ERR_PROTO, 0, "its answer has no token");
    if (token.len > TOKEN_TEXT_MAX)
        return err_set(err, ERR_LIMIT, 0, "its token is longer than %d bytes", TOKEN_TEXT_MAX);
    int64_t life = value_int_or(value_get(&doc, SV("expires_in")), TOKEN_LIFE_S);
    if (life < TOKEN_LIFE_S)
        life = TOKEN_LIFE_S; /* as the specification has it */
    life = MIN(life, INT64_C(86400));
    s->expires_ns = loop_now_ns(s->reg->loop) + (life - TOKEN_EARLY_S) * NSEC_PER_SEC;
    return set_authorization(s, "Bearer", token, err);
}

static void on_token(void *ctx, const FetchResult *r)
{
    RegSession *s = ctx;
    Err err = { 0 };

    s->fetch = NULL;
    if (r->err) {
        err = *r->err;
        err_wrap(&err, "token service of %.*s", SV_FMT(s->endpoint->host));
        token_failed(s, &err, false);
    } else if (r->status != 200) {
        reg_error(r->status, r->body, SV("GET"), s->challenge.realm, &err);
        if (err.code == ERR_NOT_FOUND || err.code == ERR_PROTO)
            err.code = ERR_UNAUTHENTICATED;
        token_failed(s, &err, r->status >= 400 && r->status < 500 && r->status != 429);
    } else if (token_read(s, r->body, &err) < 0) {
        err_wrap(&err, "token service of %.*s", SV_FMT(s->endpoint->host));
        token_failed(s, &err, false);
    } else {
        tell(s, NULL);
    }
}

static int ask(RegSession *s, StrView url, StrView form, StrView basic, Err *err)
{
    HttpHeader h[3];
    unsigned n = 0;
    Fetcher *f;
    int r;

    h[n++] = (HttpHeader){ SV("user-agent"), SV("knarr/" KNARR_VERSION) };
    if (form.len)
        h[n++] = (HttpHeader){ SV("content-type"), SV("application/x-www-form-urlencoded") };
    if (basic.len)
        h[n++] = (HttpHeader){ SV("authorization"), basic };
    FetchSpec spec = { .url = url,
                       .method = form.len ? SV("POST") : SV("GET"),
                       .body = form,
                       .headers = h,
                       .n_headers = n,
                       .timeout_ms = s->stall_ms,
                       .body_max = REGISTRY_TOKEN_MAX,
                       .done = on_token,
                       .ctx = s };
    if ((r = reg_session_peer(s, url, &f, err)) < 0)
        return r;
    return fetch_start(f, &spec, &s->fetch, err);
}

/* With a user and a password, or anonymously: GET. */
static int ask_get(RegSession *s, Err *err)
{
    const RegistryCredential *c = present(s);
    _cleanup_buf_ Buf query = BUF_INIT, url = BUF_INIT, basic = BUF_INIT;
    StrView realm = s->challenge.realm;
    int r;

    if (c && c->username.len)
        put_param(&query, "account", c->username);
    if (s->challenge.service.len)
        put_param(&query, "service", s->challenge.service);
    put_scopes(s, &query);
    buf_printf(&url, "%.*s%s", SV_FMT(realm), sv_find_char(realm, '?') < 0 ? "?" : "&");
    buf_sv(&url, buf_view(&query));
    if (c && c->username.len) {
        buf_sv(&basic, SV("Basic "));
        if ((r = basic_of(c, &basic, err)) < 0)
            return r;
    }
    if (query.failed || url.failed)
        return err_nomem(err);
    return ask(s, buf_view(&url), SV(""), buf_view(&basic), err);
}

/* An identity token is exchanged. */
static int ask_oauth(RegSession *s, Err *err)
{
    _cleanup_buf_ Buf form = BUF_INIT;

    put_param(&form, "grant_type", SV("refresh_token"));
    put_param(&form, "service", s->challenge.service);
    put_param(&form, "client_id", SV("knarr"));
    put_scope_list(s, &form);
    put_param(&form, "refresh_token", present(s)->identity_token);
    if (form.failed)
        return err_nomem(err);
    return ask(s, s->challenge.realm, buf_view(&form), SV(""), err);
}

/* Answers s->challenge with the present credential. What needs no token is told at once. */
static int try_next(RegSession *s, Err *err)
{
    const RegistryCredential *c = present(s);
    int r;

    if (c && c->registry_token.len) {
        s->expires_ns = 0;
        if ((r = set_authorization(s, "Bearer", c->registry_token, err)) >= 0)
            tell(s, NULL);
        return r;
    }
    if (s->challenge.scheme == CHALLENGE_BASIC) {
        if ((r = use_basic(s, err)) >= 0)
            tell(s, NULL);
        return r;
    }
    if ((r = check_realm(s, err)) < 0)
        return r;
    return c && c->identity_token.len ? ask_oauth(s, err) : ask_get(s, err);
}

/* ---- what calls ask ---- */

static int keep_challenge(RegSession *s, StrView header, Err *err)
{
    StrView copy;

    arena_reset(&s->scratch);
    copy = arena_sv(&s->scratch, header);
    if (!copy.ptr)
        return err_nomem(err);
    if (challenge_parse(copy, &s->scratch, &s->challenge, err) < 0)
        return err_wrap(err, "%.*s", SV_FMT(s->endpoint->host));
    if (s->challenge.scheme == CHALLENGE_NONE)
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "%.*s wants an authorisation that is neither Basic nor Bearer",
                       SV_FMT(s->endpoint->host));
    return 0;
}

int reg_session_authorize(RegSession *s, RegCall *c, StrView header, Err *err)
{
    int r;

    if (c->epoch != s->epoch && !s->fetch) { /* sent before there was the present one */
        queue(s, c);
        tell(s, NULL);
        return 0;
    }
    if (s->fetch) {
        queue(s, c);
        return 0;
    }
    if (s->authorization.len && !s->worked)
        s->at++; /* that one is not good */
    s->worked = false;
    s->authorization = SV("");
    if (!have_more(s))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "%s", "");
    if (!header.len)
        return err_set(err, ERR_PROTO, 0, "%.*s answers 401 without WWW-Authenticate",
                       SV_FMT(s->endpoint->host));
    if ((r = keep_challenge(s, header, err)) < 0)
        return r;
    queue(s, c);
    while ((r = try_next(s, err)) < 0 && err->code == ERR_UNAUTHENTICATED &&
           s->at + 1 < s->n_creds) {
        s->at++; /* one without what this registry wants */
        err_clear(err);
    }
    if (r < 0)
        reg_session_forget(s, c);
    return r;
}

bool reg_session_ready(RegSession *s, RegCall *c)
{
    Err err = { 0 };

    if (!s->fetch &&
        (!s->expires_ns || !s->authorization.len || loop_now_ns(s->reg->loop) < s->expires_ns))
        return true;
    queue(s, c);
    if (s->fetch)
        return false;
    s->authorization = SV("");
    s->worked = false;
    if (try_next(s, &err) < 0)
        tell(s, &err);
    return false;
}
