/* google.c - tokens of Google: for the key of a service account, for a user's refresh token, or
 * from the metadata server of the machine.
 *
 * Source: developers.google.com, "OAuth 2.0 for server to server applications"; where default
 * credentials are looked for: Application Default Credentials. */
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "codec/json.h"
#include "fetch/identity.h"
#include "fetch/jwt.h"

enum { ASSERTION_S = 3600 };

#define SCOPE     SV("https://www.googleapis.com/auth/monitoring.write")
#define TOKEN_URI SV("https://oauth2.googleapis.com/token")

static int on_token(Identity *id, const FetchResult *r, Err *err)
{
    return answer_token(id, r, 100, IDENTITY_EARLY_S, err);
}

static StrView text_or(const Value *v, const char *key, StrView fallback)
{
    StrView s = value_str(value_get(v, sv_cstr(key)));
    return sv_empty(s) ? fallback : s;
}

static int service_account(Identity *id, const Value *file, Err *err)
{
    Arena *a = &id->arena;
    _cleanup_buf_ Buf jwt = BUF_INIT, form = BUF_INIT;
    StrView uri = text_or(file, "token_uri", TOKEN_URI);
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    Value header = value_map(), claims = value_map();
    EVP_PKEY *key;
    bool ok = value_set(a, &header, SV("alg"), value_sv(SV("RS256"))) &&
              value_set(a, &header, SV("typ"), value_sv(SV("JWT"))) &&
              value_set(a, &header, SV("kid"), value_sv(text_or(file, "private_key_id", SV("")))) &&
              value_set(a, &claims, SV("iss"), value_sv(text_or(file, "client_email", SV("")))) &&
              value_set(a, &claims, SV("scope"), value_sv(SCOPE)) &&
              value_set(a, &claims, SV("aud"), value_sv(uri)) &&
              value_set(a, &claims, SV("iat"), value_int(now)) &&
              value_set(a, &claims, SV("exp"), value_int(now + ASSERTION_S));
    if (!ok)
        return err_nomem(err);
    int x = jwt_key(text_or(file, "private_key", SV("")), &key, err);
    if (x < 0)
        return x;
    x = jwt_sign(&header, &claims, key, &jwt, err);
    EVP_PKEY_free(key);
    if (x < 0)
        return x;
    identity_form(&form, SV("grant_type"), SV("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    identity_form(&form, SV("assertion"), buf_view(&jwt));
    return ask_form(id, uri, &form, on_token, err);
}

static int authorized_user(Identity *id, const Value *file, Err *err)
{
    static const char *const keys[] = { "client_id", "client_secret", "refresh_token" };
    _cleanup_buf_ Buf form = BUF_INIT;
    identity_form(&form, SV("grant_type"), SV("refresh_token"));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        identity_form(&form, sv_cstr(keys[i]), text_or(file, keys[i], SV("")));
    return ask_form(id, text_or(file, "token_uri", TOKEN_URI), &form, on_token, err);
}

static int from_file(Identity *id, StrView path, bool only_account, Err *err)
{
    StrView text;
    Value v;
    int x = identity_file(id, path, &text, err);
    if (x < 0)
        return x;
    if (json_decode(text, &id->arena, NULL, &v, err) < 0)
        return err_wrap(err, "credentials in '%.*s'", SV_FMT(path));
    StrView type = text_or(&v, "type", SV(""));
    if (sv_eq(type, SV("service_account")))
        x = service_account(id, &v, err);
    else if (sv_eq(type, SV("authorized_user")) && !only_account)
        x = authorized_user(id, &v, err);
    else
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "credentials in '%.*s' are of type \"%.*s\", expected service_account%s",
                       SV_FMT(path), SV_FMT(sv_head(type, 40)),
                       only_account ? "" : " or authorized_user");
    return x < 0 ? err_wrap(err, "credentials in '%.*s'", SV_FMT(path)) : x;
}

static int metadata_server(Identity *id, Err *err)
{
    _cleanup_buf_ Buf scope = BUF_INIT;
    StrView host = identity_env("GCE_METADATA_HOST");
    percent_encode(SCOPE, &scope);
    id->ask.url = arena_printf(
        &id->arena,
        "http://%.*s/computeMetadata/v1/instance/service-accounts/default/token?scopes=%.*s",
        SV_FMT(host.len ? host : SV("metadata.google.internal")), SV_FMT(buf_view(&scope)));
    ask_header(&id->ask, SV("metadata-flavor"), SV("Google"));
    id->next = on_token;
    return id->ask.url.ptr && !scope.failed ? STEP_ASKS : err_nomem(err);
}

int google_begin(Identity *id, const FetchResult *r, Err *err)
{
    StrView given = id->cfg->google_iam->credentials_file,
            named = identity_env("GOOGLE_APPLICATION_CREDENTIALS"),
            folder = identity_env("CLOUDSDK_CONFIG");
    if (given.len)
        return from_file(id, given, true, err);
    if (named.len)
        return from_file(id, named, false, err);
    if (!folder.len)
        folder = arena_printf(&id->arena, "%.*s/.config/gcloud", SV_FMT(identity_env("HOME")));
    StrView usual =
        arena_printf(&id->arena, "%.*s/application_default_credentials.json", SV_FMT(folder));
    if (!folder.ptr || !usual.ptr)
        return err_nomem(err);
    return access(usual.ptr, R_OK) == 0 ? from_file(id, usual, false, err)
                                        : metadata_server(id, err);
}
