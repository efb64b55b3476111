/* oauth2.c - a token for client credentials (RFC 6749, section 4.4). */
#include "base/encode.h"
#include "fetch/identity.h"

enum { EARLY_S = 10 };

static int on_token(Identity *id, const FetchResult *r, Err *err)
{
    return answer_token(id, r, 100, EARLY_S, err);
}

static void put_form(const FetchOauth2 *o, Buf *out)
{
    identity_form(out, SV("grant_type"), SV("client_credentials"));
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
}

int oauth2_begin(Identity *id, const FetchResult *r, Err *err)
{
    const FetchOauth2 *o = id->cfg->oauth2;
    _cleanup_buf_ Buf form = BUF_INIT, plain = BUF_INIT, basic = BUF_INIT;
    StrView secret = o->client_secret;
    int x;
    if (o->client_secret_file.len &&
        (x = identity_file(id, o->client_secret_file, &secret, err)) < 0)
        return x;
    percent_encode(o->client_id, &plain);
    buf_putc(&plain, ':');
    percent_encode(sv_trim(secret), &plain);
    buf_sv(&basic, SV("Basic "));
    base64_encode(BASE64_STD, buf_view(&plain), &basic);
    StrView header =
        plain.failed || basic.failed ? SV_NULL : arena_sv(&id->arena, buf_view(&basic));
    if (!header.ptr)
        return err_nomem(err);
    ask_header(&id->ask, SV("authorization"), header);
    put_form(o, &form);
    return ask_form(id, o->token_url, &form, on_token, err);
}
