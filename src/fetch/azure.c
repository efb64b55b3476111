/* azure.c - tokens of Microsoft Entra: for a secret, a certificate, a token of Kubernetes, or from
 * the machine's identity service.
 *
 * Source: learn.microsoft.com, "OAuth 2.0 client credentials flow", "certificate credentials" and
 * "managed identities on a virtual machine"; which ways the SDK tries: "DefaultAzureCredential". */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "base/clock.h"
#include "base/encode.h"
#include "fetch/identity.h"
#include "fetch/jwt.h"

enum { ASSERTION_S = 600, HALF = 50 }; /* Prometheus renews a token after half its life */

static int on_token(Identity *id, const FetchResult *r, Err *err)
{
    return answer_token(id, r, HALF, 0, err);
}

/* ---- what differs between clouds ---- */

static StrView of_cloud(const Identity *id, StrView world, StrView china, StrView government)
{
    StrView cloud = id->cfg->azuread->cloud;
    return sv_eq(cloud, SV("AzureChina"))        ? china
           : sv_eq(cloud, SV("AzureGovernment")) ? government
                                                 : world;
}

static StrView token_url(Identity *id)
{
    StrView host = identity_env("AZURE_AUTHORITY_HOST");
    if (!host.len)
        host =
            of_cloud(id, SV("https://login.microsoftonline.com"),
                     SV("https://login.chinacloudapi.cn"), SV("https://login.microsoftonline.us"));
    while (sv_ends(host, SV("/")))
        host.len--;
    return arena_printf(&id->arena, "%.*s/%.*s/oauth2/v2.0/token", SV_FMT(host),
                        SV_FMT(id->azure.tenant_id));
}

static StrView scope_of(const Identity *id)
{
    StrView scope = id->cfg->azuread->scope;
    return scope.len ? scope
                     : of_cloud(id, SV("https://monitor.azure.com//.default"),
                                SV("https://monitor.azure.cn//.default"),
                                SV("https://monitor.azure.us//.default"));
}

/* ---- proofs: a secret, or an assertion of somebody else's ---- */

static int ask_token(Identity *id, StrView secret, StrView assertion, Err *err)
{
    _cleanup_buf_ Buf form = BUF_INIT;
    identity_form(&form, SV("grant_type"), SV("client_credentials"));
    identity_form(&form, SV("client_id"), id->azure.client_id);
    identity_form(&form, SV("scope"), scope_of(id));
    if (assertion.len) {
        identity_form(&form, SV("client_assertion_type"),
                      SV("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
        identity_form(&form, SV("client_assertion"), assertion);
    } else {
        identity_form(&form, SV("client_secret"), secret);
    }
    return ask_form(id, token_url(id), &form, on_token, err);
}

static int with_secret(Identity *id, Err *err)
{
    return ask_token(id, id->azure.client_secret, SV(""), err);
}

static int with_workload(Identity *id, Err *err)
{
    StrView path = id->azure.token_file_path, token;
    if (!path.len)
        path = identity_env("AZURE_FEDERATED_TOKEN_FILE");
    if (!path.len)
        path = SV("/var/run/secrets/azure/tokens/azure-identity-token");
    int x = identity_file(id, path, &token, err);
    token = x == 0 ? sv_trim(token) : SV("");
    if (x == 0 && sv_empty(token))
        return err_set(err, ERR_INVALID, 0, "the token file '%.*s' is empty", SV_FMT(path));
    return x < 0 ? x : ask_token(id, SV(""), token, err);
}

/* ---- a certificate ---- */

typedef struct Proof {
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) * chain; /* the others */
} Proof;

static void proof_free(Proof *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    sk_X509_pop_free(p->chain, X509_free);
}

static bool read_pem(StrView text, Proof *p)
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    p->chain = sk_X509_new_null();
    p->cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    for (X509 *more; p->cert && p->chain && (more = PEM_read_bio_X509(bio, NULL, NULL, NULL));)
        if (!sk_X509_push(p->chain, more)) {
            X509_free(more);
            break;
        }
    BIO_free(bio);
    return p->cert && p->chain && jwt_key(text, &p->key, NULL) == 0;
}

static bool read_pfx(StrView bytes, const char *password, Proof *p)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    PKCS12 *pfx = d2i_PKCS12(NULL, &at, (long)bytes.len);
    bool ok = pfx && PKCS12_parse(pfx, password, &p->key, &p->cert, &p->chain) == 1;
    PKCS12_free(pfx);
    return ok && p->key && p->cert;
}

static int read_proof(Identity *id, Proof *p, Err *err)
{
    const FetchAzureIdentity *c = &id->azure;
    StrView text, key;
    const char *password = arena_cstr(&id->arena, c->certificate_password);
    int x = identity_file(id, c->certificate_path, &text, err);
    if (x == 0 && c->certificate_key_path.len) {
        if ((x = identity_file(id, c->certificate_key_path, &key, err)) == 0)
            text = arena_printf(&id->arena, "%.*s\n%.*s", SV_FMT(text), SV_FMT(key));
    }
    if (x < 0)
        return x;
    if (!password || !text.ptr)
        return err_nomem(err);
    bool is_pem = sv_find(text, SV("-----BEGIN")) >= 0;
    bool ok = is_pem ? read_pem(text, p) : read_pfx(text, password, p);
    ERR_clear_error();
    return ok ? 0
              : err_set(err, ERR_INVALID, 0,
                        "failed to parse certificate data of '%.*s': expected a certificate and "
                        "its key as PEM or PFX, and the password of the latter",
                        SV_FMT(c->certificate_path));
}

/* Its SHA-1 hash, which says which of an application's certificates it is. */
static StrView thumbprint(Identity *id, X509 *cert)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    _cleanup_buf_ Buf out = BUF_INIT;
    if (X509_digest(cert, EVP_sha1(), hash, &n) != 1)
        return SV_NULL;
    base64_encode(BASE64_URL, sv_n(hash, n), &out);
    return out.failed ? SV_NULL : arena_sv(&id->arena, buf_view(&out));
}

static bool add_certificate(Identity *id, Value *list, X509 *cert)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    unsigned char *der = NULL;
    int n = i2d_X509(cert, &der);
    if (n > 0)
        base64_encode(BASE64_STD, sv_n(der, (size_t)n), &out);
    OPENSSL_free(der);
    StrView text = n > 0 && !out.failed ? arena_sv(&id->arena, buf_view(&out)) : SV_NULL;
    return text.ptr && value_push(&id->arena, list, value_sv(text));
}

static int sign_proof(Identity *id, const Proof *p, Buf *out, Err *err)
{
    Arena *a = &id->arena;
    char uuid[UUID_SIZE];
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    StrView client = id->azure.client_id, print = thumbprint(id, p->cert), url = token_url(id);
    Value header = value_map(), claims = value_map(), list = value_list();
    bool ok = print.ptr && url.ptr && uuid4(uuid) == 0 &&
              value_set(a, &header, SV("alg"), value_sv(SV("RS256"))) &&
              value_set(a, &header, SV("typ"), value_sv(SV("JWT"))) &&
              value_set(a, &header, SV("x5t"), value_sv(print)) &&
              value_set(a, &claims, SV("aud"), value_sv(url)) &&
              value_set(a, &claims, SV("iss"), value_sv(client)) &&
              value_set(a, &claims, SV("sub"), value_sv(client)) &&
              value_set(a, &claims, SV("jti"), value_sv(sv_cstr(uuid))) &&
              value_set(a, &claims, SV("nbf"), value_int(now)) &&
              value_set(a, &claims, SV("exp"), value_int(now + ASSERTION_S));
    if (ok && id->azure.send_certificate_chain) {
        ok = add_certificate(id, &list, p->cert);
        for (int i = 0; ok && i < sk_X509_num(p->chain); i++)
            ok = add_certificate(id, &list, sk_X509_value(p->chain, i));
        ok = ok && value_set(a, &header, SV("x5c"), list);
    }
    return ok ? jwt_sign(&header, &claims, p->key, out, err) : err_nomem(err);
}

static int with_certificate(Identity *id, Err *err)
{
    _cleanup_buf_ Buf assertion = BUF_INIT;
    Proof p = { 0 };
    int x = read_proof(id, &p, err);
    if (x == 0)
        x = sign_proof(id, &p, &assertion, err);
    proof_free(&p);
    return x < 0 ? x : ask_token(id, SV(""), buf_view(&assertion), err);
}

/* ---- the machine's own identity ---- */

/* Of App Service where its variables are set, else of a virtual machine. */
static int with_managed(Identity *id, Err *err)
{
    _cleanup_buf_ Buf query = BUF_INIT;
    StrView resource = scope_of(id), endpoint = identity_env("IDENTITY_ENDPOINT"),
            secret = identity_env("IDENTITY_HEADER"),
            host = identity_env("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    bool is_service = endpoint.len && secret.len;
    if (sv_ends(resource, SV("/.default")))
        resource.len -= strlen("/.default");
    identity_form(&query, SV("api-version"), is_service ? SV("2019-08-01") : SV("2018-02-01"));
    identity_form(&query, SV("resource"), resource);
    if (id->azure.client_id.len)
        identity_form(&query, SV("client_id"), id->azure.client_id);
    if (is_service) {
        id->ask.url =
            arena_printf(&id->arena, "%.*s?%.*s", SV_FMT(endpoint), SV_FMT(buf_view(&query)));
        ask_header(&id->ask, SV("x-identity-header"), secret);
    } else {
        id->ask.url = arena_printf(&id->arena, "%.*s/metadata/identity/oauth2/token?%.*s",
                                   SV_FMT(host.len ? host : SV("http://169.254.169.254")),
                                   SV_FMT(buf_view(&query)));
        ask_header(&id->ask, SV("metadata"), SV("true"));
    }
    id->next = on_token;
    return id->ask.url.ptr && !query.failed ? STEP_ASKS : err_nomem(err);
}

/* What the environment has, in the SDK's order. */
static int with_environment(Identity *id, Err *err)
{
    FetchAzureIdentity *c = &id->azure;
    c->client_id = identity_env("AZURE_CLIENT_ID");
    if (!c->tenant_id.len)
        c->tenant_id = identity_env("AZURE_TENANT_ID");
    c->client_secret = identity_env("AZURE_CLIENT_SECRET");
    c->certificate_path = identity_env("AZURE_CLIENT_CERTIFICATE_PATH");
    c->certificate_password = identity_env("AZURE_CLIENT_CERTIFICATE_PASSWORD");
    if (!c->tenant_id.len || !c->client_id.len)
        return with_managed(id, err);
    if (c->client_secret.len)
        return with_secret(id, err);
    if (c->certificate_path.len)
        return with_certificate(id, err);
    return identity_env("AZURE_FEDERATED_TOKEN_FILE").len ? with_workload(id, err)
                                                          : with_managed(id, err);
}

int azure_begin(Identity *id, const FetchResult *r, Err *err)
{
    const FetchAzuread *a = id->cfg->azuread;
    const struct {
        const FetchAzureIdentity *identity;
        int (*ask)(Identity *id, Err *err);
    } ways[] = {
        { a->managed_identity, with_managed },
        { a->workload_identity, with_workload },
        { a->oauth, with_secret },
        { a->certificate, with_certificate },
        { a->sdk, with_environment },
    };
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        if (ways[i].identity) {
            id->azure = *ways[i].identity;
            return ways[i].ask(id, err);
        }
    return err_set(err, ERR_INVALID, 0, "azuread names no way to authenticate");
}
