/* config.c - see config.h. The file is read by tables (bind.h), its certificates are loaded
 * into a TlsContext: what is in force has been tried. */
#include "web/config.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/clock.h"
#include "codec/bind.h"

typedef struct WebTls {
    StrView cert, key, client_ca;
    StrView cert_file, key_file, client_ca_file;
    StrView client_auth_type, min_version, max_version;
    StrList cipher_suites, curve_preferences, client_allowed_sans;
    bool prefer_server_cipher_suites;
} WebTls;

typedef struct WebFile {
    WebTls tls;
    struct WebHttp {
        bool http2;
        StrPairs headers;
    } http;
    struct WebRate {
        uint64_t burst;
        int64_t interval;
    } rate;
    StrPairs users;
} WebFile;

/* ---- names ---- */

typedef struct Named {
    const char *name;
    int value;
} Named;

static const Named auth_types[] = {
    { "", TLS_CLIENT_NONE },
    { "NoClientCert", TLS_CLIENT_NONE },
    { "RequestClientCert", TLS_CLIENT_ASK },
    { "VerifyClientCertIfGiven", TLS_CLIENT_VERIFY_GIVEN },
    { "RequireAnyClientCert", TLS_CLIENT_NEED },
    { "RequireClientCert", TLS_CLIENT_NEED },
    { "RequireAndVerifyClientCert", TLS_CLIENT_VERIFY },
    { NULL, 0 },
};

static const Named versions[] = {
    { "", TLS_DEFAULT },  { "TLS10", TLS_1_0 }, { "TLS11", TLS_1_1 },
    { "TLS12", TLS_1_2 }, { "TLS13", TLS_1_3 }, { NULL, 0 },
};

/* The suites that Go offers, and what OpenSSL calls them. Those of TLS 1.3 are always on, with Go
 * as well. */
static const struct {
    const char *name, *openssl;
} suites[] = {
    { "TLS_AES_128_GCM_SHA256", "" },
    { "TLS_AES_256_GCM_SHA384", "" },
    { "TLS_CHACHA20_POLY1305_SHA256", "" },
    { "TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA" },
    { "TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA" },
    { "TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256" },
    { "TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384" },
    { "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA" },
    { "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA" },
    { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA" },
    { "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA" },
    { "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256" },
    { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384" },
    { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256" },
    { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384" },
    { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305" },
    { "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305" },
    { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305" },
    { "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305" },
};

static const struct {
    const char *name, *openssl;
} curves[] = { { "CurveP256", "P-256" },
               { "CurveP384", "P-384" },
               { "CurveP521", "P-521" },
               { "X25519", "X25519" } };

/* The row of `name`, NULL: there is none. */
static const Named *find(const Named *list, StrView name)
{
    for (; list->name; list++)
        if (sv_eq(name, sv_cstr(list->name)))
            return list;
    return NULL;
}

static const char *openssl_suite(StrView name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(suites); i++)
        if (sv_eq(name, sv_cstr(suites[i].name)))
            return suites[i].openssl;
    return NULL;
}

static const char *openssl_curve(StrView name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(curves); i++)
        if (sv_eq(name, sv_cstr(curves[i].name)))
            return curves[i].openssl;
    return NULL;
}

unsigned web_config_bcrypt_cost(StrView s)
{
    static const char alphabet[] =
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t cost;
    if (s.len != WEB_CONFIG_HASH_LEN || !sv_starts(s, SV("$2")) || !memchr("abxy", s.ptr[2], 4) ||
        s.ptr[3] != '$' || s.ptr[6] != '$' || sv_to_u64(sv_n(s.ptr + 4, 2), &cost) < 0 ||
        cost < 4 || cost > 31)
        return 0;
    for (size_t i = 7; i < s.len; i++)
        if (!memchr(alphabet, s.ptr[i], sizeof alphabet - 1))
            return 0;
    return (unsigned)cost;
}

/* ---- checks of sections, called by the tables ---- */

static int check_cert_texts(Binder *b, const WebTls *t, const Value *v)
{
    bool cert = t->cert.len || t->cert_file.len, key = t->key.len || t->key_file.len;
    bool any = cert || key || t->client_ca.len || t->client_ca_file.len || t->client_auth_type.len;
    if (t->cert.len && t->cert_file.len)
        return bind_fail_key(b, v, "cert", "expected one of cert and cert_file, not both");
    if (t->key.len && t->key_file.len)
        return bind_fail_key(b, v, "key", "expected one of key and key_file, not both");
    if (t->client_ca.len && t->client_ca_file.len)
        return bind_fail_key(b, v, "client_ca",
                             "expected one of client_ca and client_ca_file, not both");
    if (any && !cert)
        return bind_fail(b, v, "missing one of cert or cert_file");
    if (any && !key)
        return bind_fail(b, v, "missing one of key or key_file");
    return 0;
}

static int check_client_auth(Binder *b, const WebTls *t, const Value *v)
{
    const Named *auth = find(auth_types, t->client_auth_type);
    if (!auth)
        return bind_fail_key(b, v, "client_auth_type", "invalid ClientAuth: %.*s",
                             SV_FMT(t->client_auth_type));
    if ((t->client_ca.len || t->client_ca_file.len) && auth->value == TLS_CLIENT_NONE)
        return bind_fail(b, v, "client CA's have been configured without a Client Auth Policy");
    if (t->client_allowed_sans.len && auth->value < TLS_CLIENT_NEED)
        return bind_fail_key(b, v, "client_allowed_sans",
                             "needs a client_auth_type of RequireAnyClientCert or "
                             "RequireAndVerifyClientCert");
    return 0;
}

static int check_web_tls(Binder *b, void *obj, const Value *v)
{
    const WebTls *t = obj;
    int r;
    if (!find(versions, t->min_version))
        return bind_fail_key(b, v, "min_version", "unknown TLS version: %.*s",
                             SV_FMT(t->min_version));
    if (!find(versions, t->max_version))
        return bind_fail_key(b, v, "max_version", "unknown TLS version: %.*s",
                             SV_FMT(t->max_version));
    for (unsigned i = 0; i < t->cipher_suites.len; i++)
        if (!openssl_suite(t->cipher_suites.items[i]))
            return bind_fail_key(b, v, "cipher_suites", "unknown cipher: %.*s",
                                 SV_FMT(t->cipher_suites.items[i]));
    for (unsigned i = 0; i < t->curve_preferences.len; i++)
        if (!openssl_curve(t->curve_preferences.items[i]))
            return bind_fail_key(b, v, "curve_preferences", "unknown curve: %.*s",
                                 SV_FMT(t->curve_preferences.items[i]));
    if ((r = check_cert_texts(b, t, v)) < 0)
        return r;
    return check_client_auth(b, t, v);
}

static int check_header(Binder *b, const StrPair *h, const Value *v)
{
    static const struct {
        const char *name;
        const char *values[2]; /* empty: any */
    } known[] = { { "Content-Security-Policy", { NULL } },
                  { "X-Frame-Options", { "deny", "sameorigin" } },
                  { "X-Content-Type-Options", { "nosniff" } },
                  { "X-XSS-Protection", { NULL } },
                  { "Strict-Transport-Security", { NULL } } };
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        const char *const *values = known[i].values;
        if (!sv_eq_nocase(h->name, sv_cstr(known[i].name)))
            continue;
        for (size_t k = 0; k < h->value.len; k++)
            if ((unsigned char)h->value.ptr[k] < 0x20 && h->value.ptr[k] != '\t')
                return bind_fail(b, v, "HTTP header \"%s\": expected one line", known[i].name);
        if (!h->value.len || !values[0] || sv_eq_nocase(h->value, sv_cstr(values[0])) ||
            (values[1] && sv_eq_nocase(h->value, sv_cstr(values[1]))))
            return 0;
        return bind_fail(b, v, "invalid value for %s. Expected one of: %s%s%s, but got: %.*s",
                         known[i].name, values[0], values[1] ? ", " : "",
                         values[1] ? values[1] : "", SV_FMT(h->value));
    }
    return bind_fail(b, v, "HTTP header \"%.*s\" can not be configured", SV_FMT(h->name));
}

static int check_web_http(Binder *b, void *obj, const Value *v)
{
    const struct WebHttp *h = obj;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < h->headers.len; i++)
        r = check_header(b, &h->headers.items[i], value_get(v, SV("headers")));
    return r;
}

static int check_web_file(Binder *b, void *obj, const Value *v)
{
    const WebFile *f = obj;
    value_map_foreach (m, value_get(v, SV("basic_auth_users"))) /* names without a hash, too */
        if (!web_config_bcrypt_cost(value_str(&m->val)))
            return bind_fail(b, &m->val,
                             "basic_auth_users: the password of \"%.*s\" is no bcrypt hash",
                             SV_FMT(m->key));
    if (f->rate.interval < 0)
        return bind_fail_key(b, v, "rate_limit", "the interval is negative");
    return 0;
}

/* ---- tables ---- */

enum {
    FIELD_PAIRS = FIELD_OWN, /* StrPairs: a map of texts; names without one are left out */
    FIELD_INTERVAL,          /* int64_t: ms, of a Go duration */
};

static int read_pairs(Binder *b, const Value *v, StrPairs *ret)
{
    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string]string");
    StrPair *items = arena_array(b->arena, StrPair, v->len + 1u);
    unsigned n = 0;
    if (!items)
        return err_nomem(b->err);
    value_map_foreach (m, v) {
        if (m->val.kind != VALUE_STRING && m->val.kind != VALUE_NULL)
            return bind_bad_type(b, &m->val, "string");
        if (!sv_is_utf8(value_str(&m->val)))
            return bind_fail(b, &m->val, "the value of \"%.*s\" is not valid UTF-8",
                             SV_FMT(m->key));
        if (value_str(&m->val).len)
            items[n++] = (StrPair){ m->key, value_str(&m->val) };
    }
    *ret = (StrPairs){ items, n };
    return 0;
}

static int read_own(Binder *b, const Field *f, void *at, const Value *v)
{
    int64_t ns;
    if (f->kind == FIELD_PAIRS)
        return read_pairs(b, v, at);
    if (v->kind != VALUE_STRING || duration_parse(value_str(v), &ns) < 0)
        return bind_bad_type(b, v, "time.Duration");
    *(int64_t *)at = ns / NSEC_PER_MSEC;
    return 0;
}

static const BindFormat web_format = { .read = read_own };

static const Field web_tls_fields[] = {
    BIND(WebTls, "cert", SECRET, cert),
    BIND(WebTls, "key", SECRET, key),
    BIND(WebTls, "client_ca", TEXT, client_ca),
    BIND(WebTls, "cert_file", TEXT, cert_file),
    BIND(WebTls, "key_file", TEXT, key_file),
    BIND(WebTls, "client_ca_file", TEXT, client_ca_file),
    BIND(WebTls, "client_auth_type", TEXT, client_auth_type),
    BIND(WebTls, "client_allowed_sans", TEXTS, client_allowed_sans),
    BIND(WebTls, "cipher_suites", TEXTS, cipher_suites),
    BIND(WebTls, "curve_preferences", TEXTS, curve_preferences),
    BIND(WebTls, "min_version", TEXT, min_version),
    BIND(WebTls, "max_version", TEXT, max_version),
    BIND(WebTls, "prefer_server_cipher_suites", BOOL, prefer_server_cipher_suites),
};
static void web_tls_init(void *obj)
{
    ((WebTls *)obj)->prefer_server_cipher_suites = true;
}
static const Type type_web_tls = { "web.TLSConfig", sizeof(WebTls),
                                   web_tls_fields,  ARRAY_SIZE(web_tls_fields),
                                   web_tls_init,    check_web_tls };

static const Field web_http_fields[] = {
    BIND(struct WebHttp, "http2", BOOL, http2),
    BIND(struct WebHttp, "headers", PAIRS, headers),
};
static void web_http_init(void *obj)
{
    ((struct WebHttp *)obj)->http2 = true;
}
static const Type type_web_http = { "web.HTTPConfig", sizeof(struct WebHttp),
                                    web_http_fields,  ARRAY_SIZE(web_http_fields),
                                    web_http_init,    check_web_http };

static const Field web_rate_fields[] = {
    BIND(struct WebRate, "burst", UINT, burst),
    BIND(struct WebRate, "interval", INTERVAL, interval),
};
static const Type type_web_rate = { "web.RateLimiterConfig",
                                    sizeof(struct WebRate),
                                    web_rate_fields,
                                    ARRAY_SIZE(web_rate_fields),
                                    NULL,
                                    NULL };

static const Field web_file_fields[] = {
    BIND_SUB(WebFile, "tls_server_config", STRUCT, tls, type_web_tls),
    BIND_SUB(WebFile, "http_server_config", STRUCT, http, type_web_http),
    BIND_SUB(WebFile, "rate_limit", STRUCT, rate, type_web_rate),
    BIND(WebFile, "basic_auth_users", PAIRS, users),
};
static void web_file_init(void *obj)
{
    WebFile *f = obj;
    web_tls_init(&f->tls);
    web_http_init(&f->http);
}
static const Type type_web_file = { "web.Config",    sizeof(WebFile),
                                    web_file_fields, ARRAY_SIZE(web_file_fields),
                                    web_file_init,   check_web_file };

/* ---- files ---- */

/* FNV-1a over what writing and renaming change. */
static uint64_t stamp_add(uint64_t stamp, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        st = (struct stat){ 0 };
    const uint64_t parts[] = { st.st_dev, st.st_ino, (uint64_t)st.st_size,
                               (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec };
    stamp ^= 14695981039346656037u;
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
        stamp = (stamp ^ parts[i]) * 1099511628211u;
    return stamp;
}

/* Reads a file that is to be watched from now on. */
static int read_watched(WebConfig *c, const char *path, size_t max, Buf *out)
{
    c->files[c->n_files++] = path;
    c->stamp = stamp_add(c->stamp, path); /* before: a change while it is read is not missed */
    return file_read(AT_FDCWD, path, max, out);
}

/* The inline text, or that of the file. */
static int read_pem(WebConfig *c, StrView text, StrView file, const char *key, Buf *out, Err *err)
{
    if (!file.len) {
        buf_sv(out, text);
        return out->failed ? err_nomem(err) : 0;
    }
    StrView dir = path_dir(c->files[0]);
    StrView full = file.ptr[0] == '/' || !dir.len
                       ? file
                       : arena_printf(&c->arena, "%.*s/%.*s", SV_FMT(dir), SV_FMT(file));
    char *path = full.ptr ? arena_cstr(&c->arena, full) : NULL;
    if (!path)
        return err_nomem(err);
    int r = read_watched(c, path, WEB_CONFIG_PEM_MAX, out);
    return r < 0 ? err_neg(err, r, "failed to read %s (%s)", key, path) : 0;
}

/* OpenSSL's names of a list with ':' between; NULL for an empty list. */
static int join_names(WebConfig *c, StrList list, const char *(*openssl)(StrView name),
                      const char **ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    for (unsigned i = 0; i < list.len; i++) {
        const char *name = openssl(list.items[i]);
        if (*name)
            buf_printf(&text, "%s%s", text.len ? ":" : "", name);
    }
    *ret = list.len ? arena_cstr(&c->arena, buf_view(&text)) : NULL;
    return text.failed || (list.len && !*ret) ? err_nomem(err) : 0;
}

static int load_tls(WebConfig *c, const WebFile *f, Err *err)
{
    const WebTls *t = &f->tls;
    _cleanup_buf_ Buf cert = BUF_INIT, key = BUF_INIT, ca = BUF_INIT;
    TlsConfig cfg = { .client_auth = (TlsClientAuth)find(auth_types, t->client_auth_type)->value,
                      .client_sans = t->client_allowed_sans.items,
                      .n_client_sans = t->client_allowed_sans.len,
                      .min_version = (TlsVersion)find(versions, t->min_version)->value,
                      .max_version = (TlsVersion)find(versions, t->max_version)->value,
                      .client_order = !t->prefer_server_cipher_suites,
                      .alpn_h2 = f->http.http2 };
    int r;
    if ((r = read_pem(c, t->cert, t->cert_file, "cert_file", &cert, err)) < 0 ||
        (r = read_pem(c, t->key, t->key_file, "key_file", &key, err)) < 0 ||
        (r = read_pem(c, t->client_ca, t->client_ca_file, "client_ca_file", &ca, err)) < 0 ||
        (r = join_names(c, t->cipher_suites, openssl_suite, &cfg.ciphers, err)) < 0 ||
        (r = join_names(c, t->curve_preferences, openssl_curve, &cfg.groups, err)) < 0)
        return r;
    cfg.cert_chain = buf_view(&cert);
    cfg.key = buf_view(&key);
    cfg.ca = buf_view(&ca);
    r = tls_context_new_server(&cfg, &c->tls, err);
    return r < 0 ? err_wrap(err, "%s: tls_server_config", c->files[0]) : 0;
}

/* ---- the file ---- */

static int fill(WebConfig *c, StrView text, Err *err)
{
    Value doc = value_null();
    WebFile f = { 0 };
    int r;
    web_file_init(&f);
    Binder b = { .file = c->files[0], .arena = &c->arena, .format = &web_format, .err = err };
    if (sv_trim(text).len && ((r = bind_document(text, c->files[0], &c->arena, &doc, err)) < 0 ||
                              (r = bind_struct(&b, &type_web_file, &f, &doc)) < 0))
        return r;
    c->users = f.users;
    c->headers = f.http.headers;
    c->burst = f.rate.burst;
    c->interval_ms = f.rate.interval;
    for (unsigned i = 0; i < f.users.len; i++)
        c->cost = MAX(c->cost, web_config_bcrypt_cost(f.users.items[i].value));
    return f.tls.cert.len || f.tls.cert_file.len ? load_tls(c, &f, err) : 0;
}

static int load(WebConfig *c, const StrView *text, const char *path, Err *err)
{
    _cleanup_buf_ Buf own = BUF_INIT;
    const char *name = arena_cstr(&c->arena, sv_cstr(path));
    int r;
    if (!name)
        return err_nomem(err);
    if (!text && (r = read_watched(c, name, WEB_CONFIG_SIZE_MAX, &own)) < 0)
        return err_neg(err, r, "open %s", path);
    c->files[0] = name;
    return fill(c, text ? *text : buf_view(&own), err);
}

static int load_new(const StrView *text, const char *path, WebConfig **ret, Err *err)
{
    WebConfig *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    arena_init(&c->arena, ARENA_DEFAULT_LIMIT);
    c->n_files = text != NULL; /* a text is not watched, but names in it are relative to its name */
    int r = load(c, text, path, err);
    if (r < 0) {
        web_config_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int web_config_load(const char *path, WebConfig **ret, Err *err)
{
    return load_new(NULL, path, ret, err);
}

int web_config_parse(StrView text, const char *path, WebConfig **ret, Err *err)
{
    return load_new(&text, path, ret, err);
}

WebConfig *web_config_free(WebConfig *c)
{
    if (!c)
        return NULL;
    tls_context_unref(c->tls);
    arena_free(&c->arena);
    free(c);
    return NULL;
}

bool web_config_changed(const WebConfig *c)
{
    uint64_t stamp = 0;
    for (unsigned i = 0; i < c->n_files; i++)
        stamp = stamp_add(stamp, c->files[i]);
    return stamp != c->stamp;
}
