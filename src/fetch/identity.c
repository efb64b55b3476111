/* identity.c - see identity.h: runs the chains, and what their steps share. */
#include "fetch/identity.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "codec/json.h"

enum { CHAIN_MAX = 4 * 1024 * 1024, ASK_TIMEOUT_MS = 30000, SHOWN = 200 };

static void on_answer(void *ctx, const FetchResult *r);

static IdentityStep *first_step(const FetchOptions *c, const char **ret_what)
{
    const struct {
        bool is_used;
        const char *what;
        IdentityStep *first;
    } kinds[] = {
        { c->oauth2 != NULL, "oauth2: cannot fetch token", oauth2_begin },
        { c->azuread != NULL, "Failed to get access token", azure_begin },
        { c->google_iam != NULL, "google_iam: cannot fetch token", google_begin },
        { c->sigv4 != NULL, "could not get SigV4 credentials", aws_begin },
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].is_used) {
            *ret_what = kinds[i].what;
            return kinds[i].first;
        }
    return NULL;
}

int identity_new(Loop *l, const FetchOptions *cfg, IdentityReadyFn *ready, void *ctx,
                 Identity **ret, Err *err)
{
    const char *what = NULL;
    IdentityStep *first = first_step(cfg, &what);
    *ret = NULL;
    if (!first)
        return 0;
    Identity *id = calloc(1, sizeof *id);
    if (!id)
        return err_nomem(err);
    *id = (Identity){
        .loop = l, .cfg = cfg, .what = what, .first = first, .ready = ready, .ctx = ctx
    };
    if (cfg->oauth2) { /* the others' questions go nowhere else */
        id->http.follow_redirects = true;
        id->http.tls = cfg->oauth2->tls;
        id->http.proxy = cfg->oauth2->proxy;
    }
    arena_init(&id->arena, CHAIN_MAX);
    arena_init(&id->kept, CHAIN_MAX);
    int r = fetcher_new(l, &id->http, &id->fetcher, err);
    if (r < 0)
        identity_free(id);
    else
        *ret = id;
    return r;
}

Identity *identity_free(Identity *id)
{
    if (!id)
        return NULL;
    fetch_cancel(id->fetch);
    fetcher_free(id->fetcher);
    arena_free(&id->arena);
    arena_free(&id->kept);
    free(id);
    return NULL;
}

const Credentials *identity_credentials(const Identity *id)
{
    return &id->got;
}

/* ---- the chain ---- */

static int step(Identity *id, const FetchResult *r, Err *err)
{
    IdentityStep *now = id->next;
    id->ask = (Ask){ 0 };
    int x = now(id, r, err);
    if (x != STEP_ASKS)
        return x < 0 ? err_wrap(err, "%s", id->what) : x;
    const FetchSpec spec = { .url = id->ask.url,
                             .method = id->ask.method,
                             .body = id->ask.body,
                             .headers = id->ask.headers,
                             .n_headers = id->ask.n_headers,
                             .timeout_ms = id->ask.timeout_ms ? id->ask.timeout_ms : ASK_TIMEOUT_MS,
                             .body_max = IDENTITY_FILE_MAX,
                             .done = on_answer,
                             .ctx = id };
    if (fetch_start(id->fetcher, &spec, &id->fetch, err) < 0)
        return err_wrap(err, "%s", id->what);
    return STEP_ASKS;
}

static void on_answer(void *ctx, const FetchResult *r)
{
    Identity *id = ctx;
    Err err = { 0 };
    id->fetch = NULL;
    int x = step(id, r, &err);
    if (x != STEP_ASKS)
        id->ready(id->ctx, x < 0 ? &err : NULL);
}

int identity_await(Identity *id, bool *ret_wait, Err *err)
{
    *ret_wait = id && id->fetch;
    if (!id || id->fetch || (id->until_ns && loop_now_ns(id->loop) < id->until_ns))
        return 0;
    arena_reset(&id->arena);
    id->keys = (Credentials){ 0 };
    id->next = id->first;
    int x = step(id, NULL, err);
    *ret_wait = x == STEP_ASKS;
    return MIN(x, 0);
}

int identity_keep(Identity *id, const Credentials *c, int64_t life_s, Err *err)
{
    const int64_t most = 24 * 3600;
    arena_reset(&id->kept);
    id->until_ns = 0;
    id->got = (Credentials){ arena_sv(&id->kept, c->token), arena_sv(&id->kept, c->key_id),
                             arena_sv(&id->kept, c->secret), arena_sv(&id->kept, c->session),
                             arena_sv(&id->kept, c->region) };
    if (!id->got.token.ptr || !id->got.key_id.ptr || !id->got.secret.ptr || !id->got.session.ptr ||
        !id->got.region.ptr)
        return err_nomem(err);
    id->until_ns = loop_now_ns(id->loop) + MIN(MAX(life_s, INT64_C(1)), most) * NSEC_PER_SEC;
    return STEP_ENDS;
}

/* ---- what steps share ---- */

void ask_header(Ask *a, StrView name, StrView value)
{
    ASSERT(a->n_headers < ARRAY_SIZE(a->headers));
    a->headers[a->n_headers++] = (HttpHeader){ name, value };
}

void identity_form(Buf *form, StrView name, StrView value)
{
    if (form->len)
        buf_putc(form, '&');
    buf_sv(form, name);
    buf_putc(form, '=');
    percent_encode(value, form);
}

int ask_form(Identity *id, StrView url, const Buf *form, IdentityStep *next, Err *err)
{
    id->ask.method = SV("POST");
    id->ask.url = url;
    id->ask.body = form->failed ? SV_NULL : arena_sv(&id->arena, buf_view(form));
    ask_header(&id->ask, SV("content-type"), SV("application/x-www-form-urlencoded"));
    id->next = next;
    return id->ask.body.ptr && url.ptr ? STEP_ASKS : err_nomem(err);
}

int answer_ok(const FetchResult *r, Err *err)
{
    if (r->err) {
        *err = *r->err;
        return -(int)err->code;
    }
    if (r->status / 100 == 2)
        return 0;
    return err_set(err, ERR_UNAUTHENTICATED, 0, "HTTP status %d: %.*s", r->status,
                   SV_FMT(sv_trim(sv_head(r->body, SHOWN))));
}

int answer_json(Identity *id, const FetchResult *r, Value *ret, Err *err)
{
    int x = answer_ok(r, err);
    StrView text = x < 0 ? SV_NULL : arena_sv(&id->arena, r->body);
    if (x < 0)
        return x;
    if (!text.ptr)
        return err_nomem(err);
    if (json_decode(text, &id->arena, NULL, ret, err) < 0)
        return err_wrap(err, "the answer");
    return 0;
}

/* Some say numbers as texts. */
static int64_t seconds(const Value *v, int64_t fallback)
{
    int64_t n;
    return sv_to_i64(value_str(v), &n) == 0 ? n : value_int_or(v, fallback);
}

int answer_token(Identity *id, const FetchResult *r, unsigned share, unsigned early_s, Err *err)
{
    Value v;
    int x = answer_json(id, r, &v, err);
    if (x < 0)
        return x;
    StrView token = value_str(value_get(&v, SV("access_token")));
    if (sv_empty(token))
        return err_set(err, ERR_PROTO, 0, "server response missing access_token");
    int64_t life = 3600, at = seconds(value_get(&v, SV("expires_on")), 0);
    if (at > 0)
        life = at - clock_real_ns() / NSEC_PER_SEC;
    life = MIN(MAX(seconds(value_get(&v, SV("expires_in")), life), INT64_C(0)), INT64_C(1) << 40);
    const Credentials c = { .token = arena_printf(&id->arena, "Bearer %.*s", SV_FMT(token)),
                            .key_id = SV(""),
                            .secret = SV(""),
                            .session = SV(""),
                            .region = SV("") };
    return c.token.ptr ? identity_keep(id, &c, life * share / 100 - early_s, err) : err_nomem(err);
}

StrView identity_env(const char *name)
{
    const char *value = getenv(name);
    return value ? sv_cstr(value) : SV("");
}

int identity_file(Identity *id, StrView path, StrView *ret, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *name = arena_cstr(&id->arena, path);
    int r = name ? file_read(AT_FDCWD, name, IDENTITY_FILE_MAX, &out) : -ENOMEM;
    if (r < 0)
        return err_neg(err, r, "read '%.*s'", SV_FMT(path));
    *ret = arena_sv(&id->arena, buf_view(&out));
    return ret->ptr ? 0 : err_nomem(err);
}
