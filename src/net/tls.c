/* tls.c - TLS 1.2 and 1.3 contexts, on OpenSSL 3.
 *
 * A TlsContext is an SSL_CTX that never changes: new certificates make a new context, and
 * connections that are under way keep a reference to theirs. Sessions are not resumed, so that a
 * client's certificate is checked against the present roots on every connection. Records go through
 * a BIO of our own because OpenSSL's writes without MSG_NOSIGNAL. */
#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { TLS_CHAIN_MAX = 16, TLS_ROOTS_MAX = 4096 };

struct TlsContext {
    atomic_uint refs;
    SSL_CTX *ctx;
    BIO_METHOD *bio;
    bool server;
    bool h2;
    bool verify;   /* client: check the server's name */
    StrView *sans; /* server: of which a client's certificate must have one */
    unsigned n_sans;
    Arena arena; /* of these */
};

int tls_fail(SSL *ssl, int ret, Err *err, const char *what)
{
    int sys = errno;
    unsigned long e = ERR_get_error();
    char text[256];
    long verify = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    if (e) {
        ERR_error_string_n(e, text, sizeof text);
        const char *reason = ERR_reason_error_string(e);
        ERR_clear_error();
        if (ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
            return err_set(err, ERR_UNAUTHENTICATED, 0, "%s: the peer's certificate: %s", what,
                           X509_verify_cert_error_string(verify));
        return err_set(err, ERR_PROTO, 0, "%s: %s", what, reason ? reason : text);
    }
    if (ssl && SSL_get_error(ssl, ret) == SSL_ERROR_SYSCALL && sys != 0)
        return err_set(err, ERR_CLOSED, sys, "%s", what);
    return err_set(err, ERR_CLOSED, 0, "%s: the peer closed the connection", what);
}

/* ---- socket BIO ---- */

static int bio_fd(BIO *b)
{
    return (int)(intptr_t)BIO_get_data(b);
}

static int bio_write(BIO *b, const char *data, int len)
{
    BIO_clear_retry_flags(b);
    ssize_t n = send(bio_fd(b), data, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(b);
    return (int)n;
}

static int bio_read(BIO *b, char *data, int len)
{
    BIO_clear_retry_flags(b);
    ssize_t n = recv(bio_fd(b), data, (size_t)len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(b);
    if (n == 0)
        BIO_set_flags(b, BIO_FLAGS_IN_EOF);
    return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_EOF)
        return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
    return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

static BIO_METHOD *bio_method_new(void)
{
    /* A fixed number: OpenSSL's counter for new ones ends at 127, and contexts come and go. */
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 120, "socket");
    if (!m)
        return NULL;
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_ctrl(m, bio_ctrl);
    BIO_meth_set_create(m, bio_create);
    return m;
}

/* ---- PEM ---- */

/* A pass phrase is never asked for: daemons have no terminal. */
static int no_password(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return -1;
}

static int use_key(SSL_CTX *ctx, StrView pem, Err *err)
{
    BIO *b = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (!b)
        return err_nomem(err);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, no_password, NULL);
    BIO_free(b);
    if (!key)
        return tls_fail(NULL, 0, err, "read the private key");
    int ok = SSL_CTX_use_PrivateKey(ctx, key);
    EVP_PKEY_free(key);
    if (ok != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return tls_fail(NULL, 0, err, "the private key does not belong to the certificate");
    return 0;
}

static int use_chain(SSL_CTX *ctx, StrView pem, Err *err)
{
    BIO *b = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (!b)
        return err_nomem(err);
    int n = 0, r = 0;
    for (X509 *x; r == 0 && (x = PEM_read_bio_X509(b, NULL, no_password, NULL)) != NULL; n++) {
        int ok = n == 0 ? SSL_CTX_use_certificate(ctx, x) : (int)SSL_CTX_add1_chain_cert(ctx, x);
        X509_free(x);
        if (ok != 1)
            r = tls_fail(NULL, 0, err, "use the certificate");
        else if (n >= TLS_CHAIN_MAX)
            r = err_set(err, ERR_LIMIT, 0, "the certificate chain is longer than %d",
                        TLS_CHAIN_MAX);
    }
    BIO_free(b);
    if (r < 0)
        return r;
    if (n == 0)
        return tls_fail(NULL, 0, err, "read the certificate");
    ERR_clear_error(); /* the end of the text is reported as an error too */
    return 0;
}

static int use_roots(SSL_CTX *ctx, StrView pem, bool server, Err *err)
{
    BIO *b = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (!b)
        return err_nomem(err);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    int n = 0, r = 0;
    for (X509 *x; r == 0 && (x = PEM_read_bio_X509(b, NULL, no_password, NULL)) != NULL; n++) {
        int ok = X509_STORE_add_cert(store, x);
        if (ok == 1 && server) /* clients pick their certificate by these names */
            ok = SSL_CTX_add_client_CA(ctx, x);
        X509_free(x);
        if (ok != 1)
            r = tls_fail(NULL, 0, err, "use a root certificate");
        else if (n >= TLS_ROOTS_MAX)
            r = err_set(err, ERR_LIMIT, 0, "more than %d root certificates", TLS_ROOTS_MAX);
    }
    BIO_free(b);
    if (r < 0)
        return r;
    if (n == 0)
        return tls_fail(NULL, 0, err, "read the root certificates");
    ERR_clear_error();
    return 0;
}

/* ---- contexts ---- */

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                       const unsigned char *in, unsigned int inlen, void *arg)
{
    (void)ssl;
    const TlsContext *c = arg;
    static const unsigned char both[] = "\x02h2\x08http/1.1", h1[] = "\x08http/1.1";
    unsigned char *picked;
    int r = c->h2 ? SSL_select_next_proto(&picked, outlen, both, sizeof both - 1, in, inlen)
                  : SSL_select_next_proto(&picked, outlen, h1, sizeof h1 - 1, in, inlen);
    if (r != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* goes on without ALPN: HTTP/1.1 */
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

/* A client with a bad certificate is still served: the answer is a proper 401, not a broken
 * handshake. TlsPeer.verified tells. */
static int accept_any(int ok, X509_STORE_CTX *x)
{
    (void)ok;
    (void)x;
    return 1;
}

static TlsContext *context_alloc(bool server)
{
    TlsContext *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, 0);
    c->server = server;
    c->bio = bio_method_new();
    c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!c->bio || !c->ctx)
        return tls_context_unref(c);
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                    SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(c->ctx, 0);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(c->ctx, 1); /* one read(2) per wake-up instead of two per record */
    return c;
}

static int context_keys(TlsContext *c, const TlsConfig *cfg, Err *err)
{
    if (cfg->cert_chain.len > INT32_MAX || cfg->key.len > INT32_MAX || cfg->ca.len > INT32_MAX)
        return err_set(err, ERR_LIMIT, 0, "TLS keys are too large");
    ERR_clear_error();
    if (sv_empty(cfg->cert_chain) != sv_empty(cfg->key))
        return err_set(err, ERR_INVALID, 0,
                       "a certificate needs its key, and a key its certificate");
    int r = sv_empty(cfg->cert_chain) ? 0 : use_chain(c->ctx, cfg->cert_chain, err);
    if (r == 0 && !sv_empty(cfg->key))
        r = use_key(c->ctx, cfg->key, err);
    if (r == 0 && !sv_empty(cfg->ca))
        r = use_roots(c->ctx, cfg->ca, c->server, err);
    return r;
}

/* ---- what is asked of a client's certificate ---- */

/* A name as the certificate has it; IP addresses become text. False: of another kind. */
static bool name_text(const GENERAL_NAME *n, char ip[INET6_ADDRSTRLEN], StrView *ret)
{
    const ASN1_STRING *s = NULL;
    if (n->type == GEN_DNS || n->type == GEN_EMAIL || n->type == GEN_URI)
        s = n->d.ia5;
    else if (n->type == GEN_IPADD)
        s = n->d.iPAddress;
    if (!s)
        return false;
    *ret = sv_n(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    if (n->type != GEN_IPADD)
        return true;
    if (ret->len != 4 && ret->len != 16)
        return false;
    inet_ntop(ret->len == 4 ? AF_INET : AF_INET6, ret->ptr, ip, INET6_ADDRSTRLEN);
    *ret = sv_cstr(ip);
    return true;
}

static bool has_allowed_name(const TlsContext *c, X509 *x)
{
    GENERAL_NAMES *names = x ? X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL) : NULL;
    bool found = false;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        char ip[INET6_ADDRSTRLEN];
        StrView text;
        if (name_text(sk_GENERAL_NAME_value(names, i), ip, &text))
            for (unsigned k = 0; k < c->n_sans; k++)
                found |= sv_eq(text, c->sans[k]);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static int verify_names(X509_STORE_CTX *x, void *arg)
{
    int ok = X509_verify_cert(x);
    if (ok == 1 && !has_allowed_name(arg, X509_STORE_CTX_get0_cert(x))) {
        X509_STORE_CTX_set_error(x, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return ok;
}

static int use_client_auth(TlsContext *c, const TlsConfig *cfg, Err *err)
{
    int mode = cfg->client_auth == TLS_CLIENT_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    bool need = cfg->client_auth >= TLS_CLIENT_NEED;
    bool any = cfg->client_auth == TLS_CLIENT_ASK || cfg->client_auth == TLS_CLIENT_NEED;
    SSL_CTX_set_verify(c->ctx, mode | (need ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       any ? accept_any : NULL);
    if (!need || !cfg->n_client_sans)
        return 0;
    c->sans = arena_array(&c->arena, StrView, cfg->n_client_sans);
    for (; c->sans && c->n_sans < cfg->n_client_sans; c->n_sans++) {
        c->sans[c->n_sans] = arena_sv(&c->arena, cfg->client_sans[c->n_sans]);
        if (!c->sans[c->n_sans].ptr)
            return err_nomem(err);
    }
    if (!c->sans)
        return err_nomem(err);
    SSL_CTX_set_cert_verify_callback(c->ctx, verify_names, c);
    return 0;
}

/* ---- versions and algorithms ---- */

static int use_protocol(TlsContext *c, const TlsConfig *cfg, Err *err)
{
    static const int versions[] = { [TLS_1_0] = TLS1_VERSION,
                                    [TLS_1_1] = TLS1_1_VERSION,
                                    [TLS_1_2] = TLS1_2_VERSION,
                                    [TLS_1_3] = TLS1_3_VERSION };
    TlsVersion min = cfg->min_version ? cfg->min_version : TLS_1_2;
    TlsVersion max = cfg->max_version ? cfg->max_version : TLS_1_3;
    const char *ciphers = cfg->ciphers;
    if (ciphers && !*ciphers) {
        min = TLS_1_3;
        ciphers = NULL;
    }
    if (min > max)
        return err_set(err, ERR_INVALID, 0, "no version of TLS is left to be spoken");
    if (min < TLS_1_2) /* their signatures are below OpenSSL's usual level */
        SSL_CTX_set_security_level(c->ctx, 0);
    if (SSL_CTX_set_min_proto_version(c->ctx, versions[min]) != 1 ||
        SSL_CTX_set_max_proto_version(c->ctx, versions[max]) != 1)
        return tls_fail(NULL, 0, err, "set the versions of TLS");
    if (ciphers && SSL_CTX_set_cipher_list(c->ctx, ciphers) != 1)
        return tls_fail(NULL, 0, err, "set the cipher suites");
    if (cfg->groups && SSL_CTX_set1_groups_list(c->ctx, cfg->groups) != 1)
        return tls_fail(NULL, 0, err, "set the curves");
    if (cfg->client_order)
        SSL_CTX_clear_options(c->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return 0;
}

int tls_context_new_server(const TlsConfig *cfg, TlsContext **ret, Err *err)
{
    if (sv_empty(cfg->cert_chain))
        return err_set(err, ERR_INVALID, 0, "a TLS server needs a certificate");
    TlsContext *c = context_alloc(true);
    if (!c)
        return err_nomem(err);
    int r;
    if ((r = use_protocol(c, cfg, err)) < 0 || (r = context_keys(c, cfg, err)) < 0 ||
        (r = use_client_auth(c, cfg, err)) < 0) {
        tls_context_unref(c);
        return r;
    }
    c->h2 = cfg->alpn_h2;
    SSL_CTX_set_alpn_select_cb(c->ctx, alpn_select, c);
    *ret = c;
    return 0;
}

int tls_context_new_client(const TlsConfig *cfg, TlsContext **ret, Err *err)
{
    TlsContext *c = context_alloc(false);
    if (!c)
        return err_nomem(err);
    int r = use_protocol(c, cfg, err);
    if (r == 0)
        r = context_keys(c, cfg, err);
    if (r < 0) {
        tls_context_unref(c);
        return r;
    }
    c->h2 = cfg->alpn_h2;
    c->verify = !cfg->insecure_skip_verify;
    if (c->verify) {
        SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
        if (sv_empty(cfg->ca) || cfg->system_roots)
            SSL_CTX_set_default_verify_paths(c->ctx);
    }
    *ret = c;
    return 0;
}

TlsContext *tls_context_ref(TlsContext *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

TlsContext *tls_context_unref(TlsContext *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    SSL_CTX_free(c->ctx);
    BIO_meth_free(c->bio);
    arena_free(&c->arena);
    free(c);
    return NULL;
}

/* ---- connections ---- */

static int check_name(SSL *ssl, const char *name, Err *err)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    struct in6_addr ip;
    if (inet_pton(AF_INET, name, &ip) == 1 || inet_pton(AF_INET6, name, &ip) == 1) {
        if (X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1)
            return err_nomem(err);
        return 0;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(param, name, 0) != 1 ||
        SSL_set_tlsext_host_name(ssl, name) != 1)
        return err_set(err, ERR_INVALID, 0, "'%s' is not a server name", name);
    return 0;
}

int tls_ssl_new(TlsContext *c, int fd, const char *server_name, bool h2, SSL **ret_ssl, Err *err)
{
    SSL *ssl = SSL_new(c->ctx);
    BIO *bio = BIO_new(c->bio);
    if (!ssl || !bio) {
        SSL_free(ssl);
        BIO_free(bio);
        return err_nomem(err);
    }
    BIO_set_data(bio, (void *)(intptr_t)fd);
    SSL_set_bio(ssl, bio, bio);
    if (c->server) {
        SSL_set_accept_state(ssl);
        *ret_ssl = ssl;
        return 0;
    }
    SSL_set_connect_state(ssl);
    static const unsigned char both[] = "\x02h2\x08http/1.1", h1[] = "\x08http/1.1";
    if (h2 && c->h2)
        SSL_set_alpn_protos(ssl, both, sizeof both - 1);
    else
        SSL_set_alpn_protos(ssl, h1, sizeof h1 - 1);
    int r = c->verify && server_name ? check_name(ssl, server_name, err) : 0;
    if (r < 0) {
        SSL_free(ssl);
        return r;
    }
    *ret_ssl = ssl;
    return 0;
}

/* The next attribute of kind `nid` after *pos, copied; false when there is none (ptr set) or memory
 * is exhausted (ptr NULL and *pos >= 0). */
static bool next_attribute(X509_NAME *name, int nid, int *pos, Arena *a, StrView *ret)
{
    *pos = X509_NAME_get_index_by_NID(name, nid, *pos);
    if (*pos < 0)
        return false;
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, *pos)));
    if (n < 0)
        return false;
    *ret = arena_sv(a, sv_n(utf8, (size_t)n));
    OPENSSL_free(utf8);
    return ret->ptr != NULL;
}

int tls_peer_fill(SSL *ssl, Arena *a, TlsPeer *peer, Err *err)
{
    *peer = (TlsPeer){ 0 };
    X509 *x = SSL_get0_peer_certificate(ssl);
    if (!x)
        return 0;
    peer->presented = true;
    peer->verified = SSL_get_verify_result(ssl) == X509_V_OK;
    if (!peer->verified)
        return 0;
    X509_NAME *subject = X509_get_subject_name(x);
    int pos = -1;
    if (!next_attribute(subject, NID_commonName, &pos, a, &peer->common_name) && pos >= 0)
        return err_set(err, ERR_INVALID, 0, "the certificate's common name cannot be read");
    pos = -1;
    StrView org;
    while (next_attribute(subject, NID_organizationName, &pos, a, &org)) {
        if (peer->n_orgs == ARRAY_SIZE(peer->orgs))
            return err_set(err, ERR_LIMIT, 0, "the certificate names too many organisations");
        peer->orgs[peer->n_orgs++] = org;
    }
    if (pos >= 0)
        return err_set(err, ERR_INVALID, 0, "the certificate's organisation cannot be read");
    return 0;
}
