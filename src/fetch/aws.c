/* aws.c - keys of AWS: of the section, the environment, a profile's file, a token of Kubernetes, a
 * container's or a machine's own; and of a role that is assumed with them. In the order of the SDK.
 *
 * Source: docs.aws.amazon.com, "Standardized credential providers" of the SDKs and Tools Reference;
 * STS AssumeRole and AssumeRoleWithWebIdentity; "Instance Metadata Service Version 2". */
#include <errno.h>

#include "base/clock.h"
#include "fetch/aws_parse.h"
#include "fetch/identity.h"
#include "fetch/sigv4.h"

enum {
    FILES_AGAIN_S = 60, /* keys that do not expire are looked for again */
    ROLE_S = 900,
    METADATA_TIMEOUT_MS = 5000,
};

/* ---- profiles ---- */

static StrView profile_name(const Identity *id)
{
    static const char *const names[] = { "AWS_PROFILE", "AWS_DEFAULT_PROFILE" };
    StrView name = id->cfg->sigv4->profile;
    for (size_t i = 0; sv_empty(name) && i < ARRAY_SIZE(names); i++)
        name = identity_env(names[i]);
    return name.len ? name : SV("default");
}

/* One of ~/.aws's files. One that is not there is like an empty one. */
static int add_profile(Identity *id, const char *variable, const char *usual, AwsProfile *p,
                       Err *err)
{
    StrView path = identity_env(variable), text;
    Err own = { 0 };
    if (!path.len)
        path = arena_printf(&id->arena, "%.*s/.aws/%s", SV_FMT(identity_env("HOME")), usual);
    if (!path.ptr)
        return err_nomem(err);
    int r = identity_file(id, path, &text, &own);
    if (r < 0 && own.sys == ENOENT)
        return 0;
    if (r < 0) {
        *err = own;
        return r;
    }
    aws_profile_find(text, profile_name(id), p);
    return 0;
}

static int read_profile(Identity *id, AwsProfile *p, Err *err)
{
    *p = (AwsProfile){ .key_id = SV(""), .secret = SV(""), .session = SV(""), .region = SV("") };
    int r = add_profile(id, "AWS_SHARED_CREDENTIALS_FILE", "credentials", p, err);
    return r < 0 ? r : add_profile(id, "AWS_CONFIG_FILE", "config", p, err);
}

/* ---- roles ---- */

static StrView sts_url(Identity *id)
{
    StrView url = identity_env("AWS_ENDPOINT_URL_STS"), region = id->keys.region;
    if (!url.len)
        url = identity_env("AWS_ENDPOINT_URL");
    if (url.len)
        return url;
    return arena_printf(&id->arena, "https://sts%s.%.*s.amazonaws.com%s/",
                        id->cfg->sigv4->use_fips_sts_endpoint ? "-fips" : "", SV_FMT(region),
                        sv_starts(region, SV("cn-")) ? ".cn" : "");
}

/* Keys with an end, from which on requests would be refused. */
static int keep_until(Identity *id, StrView expiration, Err *err)
{
    int64_t end, life = FILES_AGAIN_S;
    if (expiration.len) {
        if (rfc3339_parse(expiration, &end) < 0)
            return err_set(err, ERR_PROTO, 0, "the end of the keys is no time: \"%.*s\"",
                           SV_FMT(sv_head(expiration, 40)));
        life = (end - clock_real_ns()) / NSEC_PER_SEC - IDENTITY_EARLY_S;
    }
    return identity_keep(id, &id->keys, life, err);
}

static int on_sts(Identity *id, const FetchResult *r, Err *err)
{
    StrView code, message, end = SV("");
    if (!r->err && r->status / 100 != 2 && aws_element(r->body, "Code", &code))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "STS: HTTP status %d: %.*s: %.*s", r->status,
                       SV_FMT(sv_head(code, 60)),
                       SV_FMT(aws_element(r->body, "Message", &message) ? sv_head(message, 300)
                                                                        : SV("")));
    int x = answer_ok(r, err);
    if (x < 0)
        return err_wrap(err, "STS");
    StrView body = arena_sv(&id->arena, r->body);
    if (!body.ptr)
        return err_nomem(err);
    if (!aws_element(body, "AccessKeyId", &id->keys.key_id) ||
        !aws_element(body, "SecretAccessKey", &id->keys.secret) ||
        !aws_element(body, "SessionToken", &id->keys.session))
        return err_set(err, ERR_PROTO, 0, "STS: the answer has no keys");
    (void)aws_element(body, "Expiration", &end);
    return keep_until(id, end, err);
}

static int sign_ask(Identity *id, Err *err)
{
    HttpHeader headers[ARRAY_SIZE(id->ask.headers) + 1], more[SIGV4_HEADERS_MAX];
    unsigned n = 0, n_more = 0;
    FetchUrl u;
    int r = fetch_url_parse(id->ask.url, &u, err);
    if (r < 0)
        return r;
    headers[n++] = (HttpHeader){ SV("host"), u.authority };
    for (unsigned i = 0; i < id->ask.n_headers; i++)
        headers[n++] = id->ask.headers[i];
    const Sigv4 s = { .key_id = id->keys.key_id,
                      .secret = id->keys.secret,
                      .session = id->keys.session,
                      .region = id->keys.region,
                      .service = SV("sts"),
                      .now_s = clock_real_ns() / NSEC_PER_SEC };
    const Sigv4Request rq = { id->ask.method, u.target, id->ask.body, headers, n };
    if ((r = sigv4_sign(&s, &rq, &id->arena, more, &n_more, err)) < 0)
        return r;
    for (unsigned i = 0; i < n_more; i++)
        ask_header(&id->ask, more[i].name, more[i].value);
    return 0;
}

static void add_role(Buf *form, const char *action, StrView arn, StrView session)
{
    identity_form(form, SV("Action"), sv_cstr(action));
    identity_form(form, SV("Version"), SV("2011-06-15"));
    identity_form(form, SV("RoleArn"), arn);
    identity_form(form, SV("RoleSessionName"), session);
}

static int assume_role(Identity *id, Err *err)
{
    const FetchSigv4 *c = id->cfg->sigv4;
    _cleanup_buf_ Buf form = BUF_INIT;
    StrView session =
        arena_printf(&id->arena, "prometheus-%lld", (long long)(clock_real_ns() / NSEC_PER_SEC));
    add_role(&form, "AssumeRole", c->role_arn, session);
    buf_printf(&form, "&DurationSeconds=%d", ROLE_S);
    if (c->external_id.len)
        identity_form(&form, SV("ExternalId"), c->external_id);
    int r = session.ptr ? ask_form(id, sts_url(id), &form, on_sts, err) : err_nomem(err);
    int x = r == STEP_ASKS ? sign_ask(id, err) : r;
    return x < 0 ? x : r;
}

/* What is in id->keys, or what it leads to. */
static int have_keys(Identity *id, StrView expiration, Err *err)
{
    return id->cfg->sigv4->role_arn.len ? assume_role(id, err) : keep_until(id, expiration, err);
}

/* ---- a token of Kubernetes ---- */

static int on_web_identity(Identity *id, const FetchResult *r, Err *err)
{
    int x = on_sts(id, r, err);
    return x == STEP_ENDS && id->cfg->sigv4->role_arn.len ? assume_role(id, err) : x;
}

static int web_identity(Identity *id, StrView file, Err *err)
{
    _cleanup_buf_ Buf form = BUF_INIT;
    StrView token, session = identity_env("AWS_ROLE_SESSION_NAME"),
                   arn = identity_env("AWS_ROLE_ARN");
    if (!arn.len)
        return err_set(err, ERR_INVALID, 0,
                       "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    int r = identity_file(id, file, &token, err);
    if (r < 0)
        return r;
    add_role(&form, "AssumeRoleWithWebIdentity", arn, session.len ? session : SV("prometheus"));
    identity_form(&form, SV("WebIdentityToken"), sv_trim(token));
    return ask_form(id, sts_url(id), &form, on_web_identity, err);
}

/* ---- a container's, a machine's ---- */

static int on_keys(Identity *id, const FetchResult *r, Err *err)
{
    Value v;
    int x = answer_json(id, r, &v, err);
    if (x < 0)
        return x;
    StrView code = value_str(value_get(&v, SV("Code")));
    if (code.len && !sv_eq(code, SV("Success")))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "no keys: %.*s", SV_FMT(sv_head(code, 100)));
    id->keys.key_id = value_str(value_get(&v, SV("AccessKeyId")));
    id->keys.secret = value_str(value_get(&v, SV("SecretAccessKey")));
    StrView session = value_str(value_get(&v, SV("Token")));
    id->keys.session = session.ptr ? session : SV("");
    if (sv_empty(id->keys.key_id) || sv_empty(id->keys.secret))
        return err_set(err, ERR_PROTO, 0, "the answer has no keys");
    return have_keys(id, value_str(value_get(&v, SV("Expiration"))), err);
}

static int ask_metadata(Identity *id, StrView url, IdentityStep *next, Err *err)
{
    id->ask.url = url;
    id->ask.timeout_ms = METADATA_TIMEOUT_MS;
    id->next = next;
    return url.ptr ? STEP_ASKS : err_nomem(err);
}

static int container(Identity *id, StrView path, StrView url, Err *err)
{
    StrView token = identity_env("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            file = identity_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    int r = file.len ? identity_file(id, file, &token, err) : 0;
    if (r < 0)
        return r;
    if (token.len)
        ask_header(&id->ask, SV("authorization"), sv_trim(token));
    if (path.len)
        url = arena_printf(&id->arena, "http://169.254.170.2%.*s", SV_FMT(path));
    return ask_metadata(id, url, on_keys, err);
}

static int ask_machine(Identity *id, const char *path, StrView role, IdentityStep *next, Err *err)
{
    StrView host = identity_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (!host.len)
        host = SV("http://169.254.169.254");
    while (sv_ends(host, SV("/")))
        host.len--;
    if (id->keys.token.len)
        ask_header(&id->ask, SV("x-aws-ec2-metadata-token"), id->keys.token);
    return ask_metadata(
        id, arena_printf(&id->arena, "%.*s/latest/%s%.*s", SV_FMT(host), path, SV_FMT(role)), next,
        err);
}

#define ROLES "meta-data/iam/security-credentials/"

static int on_machine_role(Identity *id, const FetchResult *r, Err *err)
{
    int x = answer_ok(r, err);
    StrView line, rest = r->body;
    if (x < 0)
        return err_wrap(err, "the role of the machine");
    (void)sv_next(&rest, '\n', &line);
    return ask_machine(id, ROLES, sv_trim(line), on_keys, err);
}

static int on_machine_token(Identity *id, const FetchResult *r, Err *err)
{
    int x = answer_ok(r, err);
    if (x < 0)
        return err_wrap(err, "neither the section, the environment nor a profile has keys, and the "
                             "machine's metadata service has none");
    id->keys.token = arena_sv(&id->arena, sv_trim(r->body));
    return id->keys.token.ptr ? ask_machine(id, ROLES, SV(""), on_machine_role, err)
                              : err_nomem(err);
}

static int machine(Identity *id, Err *err)
{
    if (sv_eq_nocase(identity_env("AWS_EC2_METADATA_DISABLED"), SV("true")))
        return err_set(err, ERR_UNAUTHENTICATED, 0,
                       "neither the section, the environment nor a profile has keys");
    id->ask.method = SV("PUT");
    ask_header(&id->ask, SV("x-aws-ec2-metadata-token-ttl-seconds"), SV("21600"));
    return ask_machine(id, "api/token", SV(""), on_machine_token, err);
}

/* ---- which of them ---- */

static bool take_keys(Identity *id, StrView key_id, StrView secret, StrView session)
{
    if (!key_id.len || !secret.len)
        return false;
    id->keys.key_id = key_id;
    id->keys.secret = secret;
    id->keys.session = session;
    return true;
}

static int set_region(Identity *id, const AwsProfile *p, Err *err)
{
    const StrView from[] = { id->cfg->sigv4->region, identity_env("AWS_REGION"),
                             identity_env("AWS_DEFAULT_REGION"), p->region };
    for (size_t i = 0; i < ARRAY_SIZE(from) && !id->keys.region.len; i++)
        id->keys.region = from[i];
    return id->keys.region.len
               ? 0
               : err_set(err, ERR_INVALID, 0,
                         "region not configured in sigv4 or in default credentials chain");
}

int aws_begin(Identity *id, const FetchResult *r, Err *err)
{
    const FetchSigv4 *c = id->cfg->sigv4;
    AwsProfile p;
    StrView token = identity_env("AWS_WEB_IDENTITY_TOKEN_FILE"),
            path = identity_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            url = identity_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    int x = read_profile(id, &p, err);
    id->keys = (Credentials){ SV(""), SV(""), SV(""), SV(""), SV("") };
    if (x < 0 || (x = set_region(id, &p, err)) < 0)
        return x;
    if (take_keys(id, c->access_key, c->secret_key, SV("")) ||
        (c->profile.len && take_keys(id, p.key_id, p.secret, p.session)))
        return have_keys(id, SV(""), err);
    if (c->profile.len)
        return err_set(err, p.found ? ERR_UNSUPPORTED : ERR_NOT_FOUND, 0,
                       p.found ? "the profile \"%.*s\" has no aws_access_key_id with its secret; "
                                 "other ways of a profile are not supported"
                               : "there is no profile \"%.*s\"",
                       SV_FMT(c->profile));
    if (take_keys(id, identity_env("AWS_ACCESS_KEY_ID"), identity_env("AWS_SECRET_ACCESS_KEY"),
                  identity_env("AWS_SESSION_TOKEN")))
        return have_keys(id, SV(""), err);
    if (token.len)
        return web_identity(id, token, err);
    if (take_keys(id, p.key_id, p.secret, p.session))
        return have_keys(id, SV(""), err);
    return path.len || url.len ? container(id, path, url, err) : machine(id, err);
}
