/* check_web.c - the files of --web.config.file, as Prometheus' exporter-toolkit reads them
 * (https://prometheus.io/docs/prometheus/latest/configuration/https/). Certificates are read and
 * compared with their keys. */
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/file.h"
#include "codec/yaml.h"
#include "monitor/tool/check.h"
#include "monitor/tool/internal.h"

enum { WEB_CONFIG_MAX = 1024 * 1024, PEM_FILE_MAX = 16 * 1024 * 1024 };

typedef struct WebCheck {
    const char *path;
    Arena arena;
    Err *err;
} WebCheck;

static int check_keys(WebCheck *w, const Value *map, const char *where, const char *type,
                      const char *const *keys)
{
    if (map && map->kind != VALUE_MAP && map->kind != VALUE_NULL)
        return err_set(w->err, ERR_INVALID, 0, "line %u: %s: expected a map", map->line, where);
    value_map_foreach (m, map) {
        bool known = false;
        for (unsigned i = 0; keys[i]; i++)
            known |= sv_eq(m->key, sv_cstr(keys[i]));
        if (!known)
            return err_set(w->err, ERR_INVALID, 0,
                           "yaml: unmarshal errors:\n  line %u: field %.*s not found in type %s",
                           m->val.line, SV_FMT(m->key), type);
    }
    return 0;
}

static int check_versions(WebCheck *w, const Value *tls)
{
    static const char *const keys[] = { "min_version", "max_version" };
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        StrView v = value_str(value_get(tls, sv_cstr(keys[i])));
        if (v.len && !sv_eq(v, SV("TLS13")) && !sv_eq(v, SV("TLS12")) && !sv_eq(v, SV("TLS11")) &&
            !sv_eq(v, SV("TLS10")))
            return err_set(w->err, ERR_INVALID, 0, "unknown TLS version: %.*s", SV_FMT(v));
    }
    return 0;
}

/* Suites of TLS 1.2 carry their RFC names in OpenSSL as well. */
static bool known_suite(StrView name)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    bool found = false;
    if (!ctx || SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0") != 1) {
        SSL_CTX_free(ctx);
        return true; /* cannot tell */
    }
    const STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
    for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
        const char *own = SSL_CIPHER_standard_name(sk_SSL_CIPHER_value(all, i));
        /* Go leaves the hash out of two names. */
        found |= own && (sv_eq(name, sv_cstr(own)) ||
                         (sv_starts(sv_cstr(own), name) && sv_ends(name, SV("_POLY1305"))));
    }
    SSL_CTX_free(ctx);
    return found;
}

static int check_lists(WebCheck *w, const Value *tls)
{
    static const char *const curves[] = { "CurveP256", "CurveP384", "CurveP521", "X25519" };
    value_list_foreach (it, value_get(tls, SV("cipher_suites")))
        if (!known_suite(value_str(it)))
            return err_set(w->err, ERR_INVALID, 0, "unknown cipher: %.*s", SV_FMT(value_str(it)));
    value_list_foreach (it, value_get(tls, SV("curve_preferences"))) {
        bool known = false;
        for (unsigned i = 0; i < ARRAY_SIZE(curves); i++)
            known |= sv_eq(value_str(it), sv_cstr(curves[i]));
        if (!known)
            return err_set(w->err, ERR_INVALID, 0, "unknown curve: %.*s", SV_FMT(value_str(it)));
    }
    return 0;
}

/* The text that stands under `key`, or that of the file that `file_key` names. */
static int read_pem(WebCheck *w, const Value *tls, const char *key, const char *file_key, Buf *out)
{
    StrView name = value_str(value_get(tls, sv_cstr(file_key)));
    if (!name.len) {
        buf_sv(out, value_str(value_get(tls, sv_cstr(key))));
        return out->failed ? err_nomem(w->err) : 0;
    }
    const char *slash = strrchr(w->path, '/');
    StrView dir = slash ? sv_n(w->path, (size_t)(slash - w->path) + 1) : SV("");
    StrView full =
        name.ptr[0] == '/' ? name : arena_printf(&w->arena, "%.*s%.*s", SV_FMT(dir), SV_FMT(name));
    const char *path = full.ptr ? arena_cstr(&w->arena, full) : NULL;
    if (!path)
        return err_nomem(w->err);
    int r = file_read(AT_FDCWD, path, PEM_FILE_MAX, out);
    return r < 0 ? err_neg(w->err, r, "failed to read %s (%s): open %s", file_key, path, path) : 0;
}

/* An encrypted key is refused, not asked about. */
static int no_password(char *buf, int size, int writing, void *ctx)
{
    return -1;
}

static int check_pair(WebCheck *w, const Buf *cert, const Buf *key)
{
    BIO *c = BIO_new_mem_buf(buf_view(cert).ptr, (int)cert->len);
    BIO *k = BIO_new_mem_buf(buf_view(key).ptr, (int)key->len);
    X509 *x = c ? PEM_read_bio_X509(c, NULL, NULL, NULL) : NULL;
    EVP_PKEY *p = k ? PEM_read_bio_PrivateKey(k, NULL, no_password, NULL) : NULL;
    const char *why = !x                                  ? "no certificate in the PEM text"
                      : !p                                ? "no private key in the PEM text"
                      : X509_check_private_key(x, p) != 1 ? "private key does not match public key"
                                                          : NULL;
    X509_free(x);
    EVP_PKEY_free(p);
    BIO_free(c);
    BIO_free(k);
    return why ? err_set(w->err, ERR_INVALID, 0, "failed to load X509KeyPair: tls: %s", why) : 0;
}

static int check_client_auth(WebCheck *w, const Value *tls)
{
    static const char *const known[] = { "",
                                         "NoClientCert",
                                         "RequestClientCert",
                                         "VerifyClientCertIfGiven",
                                         "RequireAnyClientCert",
                                         "RequireClientCert",
                                         "RequireAndVerifyClientCert" };
    enum {
        NONE = 2,
        REQUIRED = 4
    }; /* below NONE none is asked for; from REQUIRED on one must be */
    StrView auth = value_str(value_get(tls, SV("client_auth_type")));
    _cleanup_buf_ Buf ca = BUF_INIT;
    unsigned i = 0;
    while (i < ARRAY_SIZE(known) && !sv_eq(auth, sv_cstr(known[i])))
        i++;
    int r = read_pem(w, tls, "client_ca", "client_ca_file", &ca);
    if (r < 0)
        return r;
    if (i == ARRAY_SIZE(known))
        return err_set(w->err, ERR_INVALID, 0, "invalid ClientAuth: %.*s", SV_FMT(auth));
    if (ca.len && i < NONE)
        return err_set(w->err, ERR_INVALID, 0,
                       "client CA's have been configured without a Client Auth Policy");
    if (value_get(tls, SV("client_allowed_sans")) && i < REQUIRED)
        return err_set(w->err, ERR_INVALID, 0,
                       "client_allowed_sans requires client_auth_type to be one of "
                       "RequireAnyClientCert or RequireAndVerifyClientCert");
    return 0;
}

static int check_tls(WebCheck *w, const Value *tls)
{
    static const char *const keys[] = { "cert",
                                        "key",
                                        "client_ca",
                                        "cert_file",
                                        "key_file",
                                        "client_auth_type",
                                        "client_ca_file",
                                        "cipher_suites",
                                        "curve_preferences",
                                        "min_version",
                                        "max_version",
                                        "prefer_server_cipher_suites",
                                        "client_allowed_sans",
                                        NULL };
    int r;
    if ((r = check_keys(w, tls, "tls_server_config", "web.TLSConfig", keys)) < 0 ||
        (r = check_versions(w, tls)) < 0 || (r = check_lists(w, tls)) < 0)
        return r;
    bool set = false, cert = false, key = false;
    for (unsigned i = 0; i < 7; i++)
        set |= value_str(value_get(tls, sv_cstr(keys[i]))).len > 0;
    if (!set)
        return 0;
    cert =
        value_str(value_get(tls, SV("cert"))).len || value_str(value_get(tls, SV("cert_file"))).len;
    key = value_str(value_get(tls, SV("key"))).len || value_str(value_get(tls, SV("key_file"))).len;
    if (!cert)
        return err_set(w->err, ERR_INVALID, 0, "missing one of cert or cert_file");
    if (!key)
        return err_set(w->err, ERR_INVALID, 0, "missing one of key or key_file");
    _cleanup_buf_ Buf cert_pem = BUF_INIT, key_pem = BUF_INIT;
    if ((r = read_pem(w, tls, "cert", "cert_file", &cert_pem)) < 0 ||
        (r = read_pem(w, tls, "key", "key_file", &key_pem)) < 0 ||
        (r = check_pair(w, &cert_pem, &key_pem)) < 0)
        return r;
    return check_client_auth(w, tls);
}

static int check_headers(WebCheck *w, const Value *http)
{
    static const char *const keys[] = { "http2", "headers", NULL };
    static const char *const known[] = { "Content-Security-Policy",   "X-Frame-Options",
                                         "X-Content-Type-Options",    "X-XSS-Protection",
                                         "Strict-Transport-Security", NULL };
    int r = check_keys(w, http, "http_server_config", "web.HTTPConfig", keys);
    if (r < 0)
        return r;
    StrView http2 = value_str(value_get(http, SV("http2")));
    if (http2.len && !sv_eq(http2, SV("true")) && !sv_eq(http2, SV("false")))
        return err_set(w->err, ERR_INVALID, 0, "http2: '%.*s' is neither true nor false",
                       SV_FMT(http2));
    value_map_foreach (m, value_get(http, SV("headers"))) {
        bool found = false;
        for (unsigned i = 0; known[i]; i++)
            found |= sv_eq(m->key, sv_cstr(known[i]));
        if (!found)
            return err_set(w->err, ERR_INVALID, 0, "HTTP header \"%.*s\" can not be configured",
                           SV_FMT(m->key));
    }
    return 0;
}

/* "$2y$10$" and 53 characters of bcrypt's own base 64. */
static bool is_bcrypt(StrView s)
{
    static const char alphabet[] =
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if (s.len != 60 || !sv_starts(s, SV("$2")) || !strchr("abxy", s.ptr[2]) || s.ptr[3] != '$' ||
        s.ptr[6] != '$' || s.ptr[4] < '0' || s.ptr[4] > '3' || s.ptr[5] < '0' || s.ptr[5] > '9')
        return false;
    for (size_t i = 7; i < s.len; i++)
        if (!memchr(alphabet, s.ptr[i], sizeof alphabet - 1))
            return false;
    return true;
}

static int check_document(WebCheck *w, const Value *doc)
{
    static const char *const keys[] = { "tls_server_config", "http_server_config", "rate_limit",
                                        "basic_auth_users", NULL };
    static const char *const rate_keys[] = { "burst", "interval", NULL };
    int r;
    if ((r = check_keys(w, doc, "the file", "web.Config", keys)) < 0 ||
        (r = check_keys(w, value_get(doc, SV("rate_limit")), "rate_limit", "web.RateLimiterConfig",
                        rate_keys)) < 0)
        return r;
    value_map_foreach (m, value_get(doc, SV("basic_auth_users")))
        if (!is_bcrypt(value_str(&m->val)))
            return err_set(w->err, ERR_INVALID, 0,
                           "basic_auth_users: the password of \"%.*s\" is no bcrypt hash",
                           SV_FMT(m->key));
    if ((r = check_headers(w, value_get(doc, SV("http_server_config")))) < 0)
        return r;
    return check_tls(w, value_get(doc, SV("tls_server_config")));
}

static int check_one(const char *path, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    WebCheck w = { .path = path, .err = err };
    JsonOptions opt = { .plain_text = true };
    Value doc = value_null();
    int r = file_read(AT_FDCWD, path, WEB_CONFIG_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "open %s", path);
    arena_init(&w.arena, ARENA_DEFAULT_LIMIT);
    if (sv_trim(buf_view(&text)).len)
        r = yaml_decode(buf_view(&text), &w.arena, &opt, &doc, NULL, err);
    if (r >= 0)
        r = check_document(&w, &doc);
    arena_free(&w.arena);
    return r;
}

int tool_check_web_config(const ToolIo *io, ToolFiles files)
{
    int code = TOOL_OK;
    for (unsigned i = 0; i < files.len; i++) {
        Err err = { 0 };
        if (check_one(files.items[i], &err) < 0) {
            tool_complain(io, "%s FAILED: %s\n", files.items[i], err.msg);
            code = TOOL_FAILED;
        } else {
            tool_complain(io, "%s SUCCESS\n", files.items[i]);
        }
    }
    return code;
}
