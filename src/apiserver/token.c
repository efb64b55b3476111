/* token.c - issuing and checking service-account tokens.
 *
 * OpenSSL makes and takes ECDSA signatures in DER; a JWT carries r and s as 32 bytes each. */
#include "apiserver/token.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "base/encode.h"
#include "codec/json.h"

enum { TOKEN_MAX = 8192, SIG_SIZE = 64, COORD_SIZE = 32, NBF_TOLERANCE_SEC = 60 };

struct TokenSigner {
    EVP_PKEY *key;
    char *issuer;
    char kid[44]; /* base64url of the SHA-256 of the public key's DER form */
};

static int make_kid(TokenSigner *s, Err *err)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(s->key, &der);
    if (n <= 0)
        return err_set(err, ERR_INVALID, 0, "service account key has no public half");
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256(der, (size_t)n, sum);
    OPENSSL_free(der);
    _cleanup_buf_ Buf b = BUF_INIT;
    base64_encode(BASE64_URL, sv_n(sum, sizeof sum), &b);
    return sv_copy_cstr(buf_view(&b), s->kid, sizeof s->kid) ? 0 : err_nomem(err);
}

int token_signer_new(StrView key_pem, StrView issuer, TokenSigner **ret, Err *err)
{
    BIO *bio = BIO_new_mem_buf(key_pem.ptr, (int)key_pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!key || !EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_bits(key) != 256) {
        EVP_PKEY_free(key);
        return err_set(err, ERR_INVALID, 0,
                       "service account key: expected an EC P-256 private key (PEM)");
    }
    TokenSigner *s = calloc(1, sizeof *s);
    if (!s || !(s->issuer = strndup(issuer.ptr, issuer.len))) {
        EVP_PKEY_free(key);
        free(s);
        return err_nomem(err);
    }
    s->key = key;
    int r = make_kid(s, err);
    if (r < 0) {
        token_signer_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

TokenSigner *token_signer_free(TokenSigner *s)
{
    if (s) {
        EVP_PKEY_free(s->key);
        free(s->issuer);
        free(s);
    }
    return NULL;
}

StrView token_issuer(const TokenSigner *s)
{
    return sv_cstr(s->issuer);
}

/* ---- signatures ---- */

static bool der_to_raw(const uint8_t *der, size_t n, uint8_t raw[SIG_SIZE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, COORD_SIZE) == COORD_SIZE &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + COORD_SIZE, COORD_SIZE) == COORD_SIZE;
    ECDSA_SIG_free(sig);
    return ok;
}

static int raw_to_der(const uint8_t raw[SIG_SIZE], uint8_t **der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, COORD_SIZE, NULL),
           *s = BN_bin2bn(raw + COORD_SIZE, COORD_SIZE, NULL);
    int n = -1;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        r = s = NULL; /* now sig's */
        n = i2d_ECDSA_SIG(sig, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n;
}

static int sign(const TokenSigner *s, StrView text, uint8_t raw[SIG_SIZE], Err *err)
{
    uint8_t der[128];
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->key) == 1 &&
              EVP_DigestSign(ctx, der, &n, (const uint8_t *)text.ptr, text.len) == 1 &&
              der_to_raw(der, n, raw);
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : err_set(err, ERR_SYS, 0, "sign token: refused by OpenSSL");
}

static bool signature_holds(const TokenSigner *s, StrView text, const uint8_t raw[SIG_SIZE])
{
    uint8_t *der = NULL;
    int n = raw_to_der(raw, &der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = n > 0 && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, s->key) == 1 &&
              EVP_DigestVerify(ctx, der, (size_t)n, (const uint8_t *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return ok;
}

/* ---- issuing ---- */

static void put_named(Arena *a, Value *in, StrView what, StrView name, StrView uid)
{
    Value v = value_map();
    value_set(a, &v, SV("name"), value_sv(name));
    value_set(a, &v, SV("uid"), value_sv(uid));
    value_set(a, in, what, v);
}

/* What tokens in Secrets have said since before there were TokenRequests. */
#define LEGACY_ISSUER SV("kubernetes/serviceaccount")
#define LEGACY(claim) SV("kubernetes.io/serviceaccount/" claim)

static StrView subject_of(const TokenClaims *c, Arena *a)
{
    return arena_printf(a, "system:serviceaccount:%.*s:%.*s", SV_FMT(c->ns), SV_FMT(c->account));
}

static Value legacy_claims_value(const TokenClaims *c, Arena *a)
{
    Value v = value_map();
    value_set(a, &v, SV("iss"), value_sv(LEGACY_ISSUER));
    value_set(a, &v, LEGACY("namespace"), value_sv(c->ns));
    value_set(a, &v, LEGACY("secret.name"), value_sv(c->secret));
    value_set(a, &v, LEGACY("service-account.name"), value_sv(c->account));
    value_set(a, &v, LEGACY("service-account.uid"), value_sv(c->account_uid));
    value_set(a, &v, SV("sub"), value_sv(subject_of(c, a)));
    return v;
}

static Value claims_value(const TokenSigner *s, const TokenClaims *c, Arena *a)
{
    Value aud = value_list(), k = value_map(), v = value_map();
    for (unsigned i = 0; i < c->n_audiences; i++)
        value_push(a, &aud, value_sv(c->audiences[i]));
    value_set(a, &k, SV("namespace"), value_sv(c->ns));
    if (c->node.len)
        put_named(a, &k, SV("node"), c->node, c->node_uid);
    if (c->pod.len)
        put_named(a, &k, SV("pod"), c->pod, c->pod_uid);
    if (c->secret.len)
        put_named(a, &k, SV("secret"), c->secret, c->secret_uid);
    put_named(a, &k, SV("serviceaccount"), c->account, c->account_uid);

    char jti[UUID_SIZE] = "";
    uuid4(jti);
    value_set(a, &v, SV("aud"), aud);
    value_set(a, &v, SV("exp"), value_int(c->expires));
    value_set(a, &v, SV("iat"), value_int(c->issued));
    value_set(a, &v, SV("iss"), value_sv(token_issuer(s)));
    value_set(a, &v, SV("jti"), value_sv(arena_sv(a, sv_cstr(jti))));
    value_set(a, &v, SV("kubernetes.io"), k);
    value_set(a, &v, SV("nbf"), value_int(c->issued));
    value_set(a, &v, SV("sub"), value_sv(subject_of(c, a)));
    return v;
}

int token_issue(const TokenSigner *s, const TokenClaims *c, Arena *a, StrView *ret, Err *err)
{
    _cleanup_buf_ Buf payload = BUF_INIT, out = BUF_INIT;
    Value claims = c->legacy ? legacy_claims_value(c, a) : claims_value(s, c, a);
    json_encode(&claims, &payload);
    StrView head = arena_printf(a, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", s->kid);
    base64_encode(BASE64_URL, head, &out);
    buf_putc(&out, '.');
    base64_encode(BASE64_URL, buf_view(&payload), &out);
    if (out.failed || payload.failed)
        return err_nomem(err);
    uint8_t raw[SIG_SIZE];
    int r = sign(s, buf_view(&out), raw, err);
    if (r < 0)
        return r;
    buf_putc(&out, '.');
    base64_encode(BASE64_URL, sv_n(raw, sizeof raw), &out);
    *ret = out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
    return ret->ptr ? 0 : err_nomem(err);
}

/* ---- checking ---- */

static int refuse(Err *err, const char *why)
{
    return err_set(err, ERR_UNAUTHENTICATED, 0, "invalid bearer token: %s", why);
}

static int decode_part(StrView b64, Arena *a, Value *ret, Err *err)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    if (base64_decode(BASE64_URL, b64, &raw) < 0)
        return refuse(err, "not base64url");
    StrView text = arena_sv(a, buf_view(&raw));
    if (!text.ptr || json_decode(text, a, NULL, ret, NULL) < 0 || ret->kind != VALUE_MAP)
        return refuse(err, "not a JSON object");
    return 0;
}

static int check_signature(const TokenSigner *s, StrView token, StrView *ret_payload, Arena *a,
                           Err *err)
{
    ssize_t dot = sv_rfind_char(token, '.');
    StrView head, payload;
    if (token.len > TOKEN_MAX || dot < 0 ||
        !sv_cut(sv_head(token, (size_t)dot), '.', &head, &payload))
        return refuse(err, "not a signed token");
    Value header;
    int r = decode_part(head, a, &header, err);
    if (r < 0)
        return r;
    if (!sv_eq(value_str(value_get(&header, SV("alg"))), SV("ES256")))
        return refuse(err, "not signed with ES256");
    _cleanup_buf_ Buf sig = BUF_INIT;
    if (base64_decode(BASE64_URL, sv_skip(token, (size_t)dot + 1), &sig) < 0 ||
        sig.len != SIG_SIZE ||
        !signature_holds(s, sv_head(token, (size_t)dot), (const uint8_t *)sig.ptr))
        return refuse(err, "its signature does not hold");
    *ret_payload = payload;
    return 0;
}

static int read_audiences(const Value *v, Arena *a, TokenClaims *c, Err *err)
{
    const Value *aud = value_get(v, SV("aud"));
    c->n_audiences = value_len(aud);
    StrView *list = arena_array(a, StrView, c->n_audiences + 1);
    if (!list)
        return err_nomem(err);
    for (unsigned i = 0; i < c->n_audiences; i++)
        list[i] = value_str(value_at(aud, i));
    c->audiences = list;
    return 0;
}

/* It ends with its Secret; times are looked at where it has them all the same. */
static int read_legacy(const TokenSigner *s, const Value *v, int64_t now, Arena *a,
                       TokenClaims *ret, Err *err)
{
    TokenClaims c = { .ns = value_str(value_get(v, LEGACY("namespace"))),
                      .secret = value_str(value_get(v, LEGACY("secret.name"))),
                      .account = value_str(value_get(v, LEGACY("service-account.name"))),
                      .account_uid = value_str(value_get(v, LEGACY("service-account.uid"))),
                      .legacy = true,
                      .expires = value_int_or(value_get(v, SV("exp")), INT64_MAX) };
    StrView *audiences = arena_array(a, StrView, 1);
    if (!audiences)
        return err_nomem(err);
    audiences[0] = token_issuer(s);
    c.audiences = audiences;
    c.n_audiences = 1;
    if (!c.ns.len || !c.account.len || !c.account_uid.len || !c.secret.len)
        return refuse(err, "names no service account or no secret");
    if (now >= c.expires)
        return refuse(err, "it has expired");
    *ret = c;
    return 0;
}

int token_verify(const TokenSigner *s, StrView token, int64_t now, Arena *a, TokenClaims *ret,
                 Err *err)
{
    StrView payload;
    Value v;
    int r;
    if ((r = check_signature(s, token, &payload, a, err)) < 0 ||
        (r = decode_part(payload, a, &v, err)) < 0)
        return r;
    if (sv_eq(value_str(value_get(&v, SV("iss"))), LEGACY_ISSUER))
        return read_legacy(s, &v, now, a, ret, err);
    if (!sv_eq(value_str(value_get(&v, SV("iss"))), token_issuer(s)))
        return refuse(err, "issued by somebody else");
    const Value *k = value_get(&v, SV("kubernetes.io"));
    TokenClaims c = {
        .ns = value_str(value_get(k, SV("namespace"))),
        .account = value_path_str(k, "serviceaccount.name"),
        .account_uid = value_path_str(k, "serviceaccount.uid"),
        .pod = value_path_str(k, "pod.name"),
        .pod_uid = value_path_str(k, "pod.uid"),
        .node = value_path_str(k, "node.name"),
        .node_uid = value_path_str(k, "node.uid"),
        .secret = value_path_str(k, "secret.name"),
        .secret_uid = value_path_str(k, "secret.uid"),
        .issued = value_int_or(value_get(&v, SV("iat")), 0),
        .expires = value_int_or(value_get(&v, SV("exp")), 0),
    };
    if (!c.ns.len || !c.account.len)
        return refuse(err, "names no service account");
    if (now >= c.expires)
        return refuse(err, "it has expired");
    if (now + NBF_TOLERANCE_SEC < value_int_or(value_get(&v, SV("nbf")), INT64_MAX))
        return refuse(err, "it is not valid yet");
    if ((r = read_audiences(&v, a, &c, err)) < 0)
        return r;
    *ret = c;
    return 0;
}

int token_jwks(const TokenSigner *s, Arena *a, StrView *ret, Err *err)
{
    uint8_t point[1 + 2 * COORD_SIZE];
    size_t n = 0;
    if (!EVP_PKEY_get_octet_string_param(s->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
                                         &n) ||
        n != sizeof point)
        return err_set(err, ERR_INVALID, 0, "service account key: no uncompressed public point");
    _cleanup_buf_ Buf x = BUF_INIT, y = BUF_INIT;
    base64_encode(BASE64_URL, sv_n(point + 1, COORD_SIZE), &x);
    base64_encode(BASE64_URL, sv_n(point + 1 + COORD_SIZE, COORD_SIZE), &y);
    *ret =
        arena_printf(a,
                     "{\"keys\":[{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"P-256\","
                     "\"alg\":\"ES256\",\"x\":\"%.*s\",\"y\":\"%.*s\"}]}",
                     s->kid, (int)x.len, x.ptr, (int)y.len, y.ptr);
    return ret->ptr ? 0 : err_nomem(err);
}
