/* pki.c - keys and certificates through OpenSSL 3. */
#include "net/pki.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

enum { BACKDATE_SEC = 300 };

static void pkey_freep(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static void x509_freep(X509 **p)
{
    X509_free(*p);
}
static void bio_freep(BIO **p)
{
    BIO_free(*p);
}

static int fail(Err *err, const char *what)
{
    char text[200];
    unsigned long code = ERR_get_error();
    ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_INVALID, 0, "%s: %s", what, code ? text : "refused by OpenSSL");
}

static int take_bio(BIO *bio, Buf *out, Err *err)
{
    char *data;
    long n = BIO_get_mem_data(bio, &data);
    buf_append(out, data, n > 0 ? (size_t)n : 0);
    return out->failed ? err_nomem(err) : 0;
}

static EVP_PKEY *read_key(StrView pem, Err *err)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    if (!key)
        fail(err, "read private key (PEM)");
    return key;
}

static X509 *read_cert(StrView pem, Err *err)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (!cert)
        fail(err, "read certificate (PEM)");
    return cert;
}

int pki_new_key(Buf *ret_key, Err *err)
{
    _cleanup_(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    if (!key || !bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
        return fail(err, "make private key");
    return take_bio(bio, ret_key, err);
}

int pki_public_key(StrView key_pem, Buf *ret_pem, Err *err)
{
    _cleanup_(pkey_freep) EVP_PKEY *key = read_key(key_pem, err);
    if (!key)
        return -ERR_INVALID;
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_PUBKEY(bio, key))
        return fail(err, "write public key");
    return take_bio(bio, ret_pem, err);
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

static bool random_serial(X509 *cert)
{
    BIGNUM *n = BN_new();
    bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok;
}

static X509 *new_cert(EVP_PKEY *key, const char *cn, const char *const *orgs, int64_t lifetime_sec)
{
    X509 *cert = X509_new();
    X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;
    bool ok = name && X509_set_version(cert, X509_VERSION_3) && random_serial(cert) &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_SEC) &&
              X509_time_adj_ex(X509_getm_notAfter(cert), (int)(lifetime_sec / 86400),
                               (long)(lifetime_sec % 86400), NULL) &&
              X509_set_pubkey(cert, key);
    for (; ok && orgs && *orgs; orgs++)
        ok = X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)*orgs, -1,
                                        -1, 0);
    ok = ok && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
                                          -1, 0);
    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

static int sign_and_take(X509 *cert, EVP_PKEY *signer, Buf *out, Err *err)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !X509_sign(cert, signer, EVP_sha256()) || !PEM_write_bio_X509(bio, cert))
        return fail(err, "sign certificate");
    return take_bio(bio, out, err);
}

int pki_new_ca(StrView key_pem, const char *common_name, int64_t lifetime_sec, Buf *ret_cert,
               Err *err)
{
    _cleanup_(pkey_freep) EVP_PKEY *key = read_key(key_pem, err);
    if (!key)
        return -ERR_INVALID;
    _cleanup_(x509_freep) X509 *cert = new_cert(key, common_name, NULL, lifetime_sec);
    if (!cert || !X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
        !add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE") ||
        !add_ext(cert, cert, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign") ||
        !add_ext(cert, cert, NID_subject_key_identifier, "hash"))
        return fail(err, "make authority certificate");
    return sign_and_take(cert, key, ret_cert, err);
}

static int add_sans(X509 *cert, X509 *ca, const char *const *sans, Err *err)
{
    _cleanup_buf_ Buf list = BUF_INIT;
    for (; sans && *sans; sans++) {
        unsigned char addr[16];
        bool ip = inet_pton(AF_INET, *sans, addr) == 1 || inet_pton(AF_INET6, *sans, addr) == 1;
        if (strpbrk(*sans, ",; \n") || !**sans)
            return err_set(err, ERR_INVALID, 0, "'%s' is no host name or address for a certificate",
                           *sans);
        buf_printf(&list, "%s%s:%s", list.len ? "," : "", ip ? "IP" : "DNS", *sans);
    }
    if (!list.len)
        return 0;
    if (!buf_cstr(&list))
        return err_nomem(err);
    return add_ext(cert, ca, NID_subject_alt_name, list.ptr)
               ? 0
               : fail(err, "add names to certificate");
}

int pki_issue(StrView ca_cert, StrView ca_key, StrView key_pem, const PkiSubject *subject,
              Buf *ret_cert, Err *err)
{
    _cleanup_(x509_freep) X509 *ca = read_cert(ca_cert, err);
    _cleanup_(pkey_freep) EVP_PKEY *signer = ca ? read_key(ca_key, err) : NULL;
    _cleanup_(pkey_freep) EVP_PKEY *key = signer ? read_key(key_pem, err) : NULL;
    if (!key)
        return -ERR_INVALID;
    _cleanup_(x509_freep) X509 *cert =
        new_cert(key, subject->common_name, subject->orgs, subject->lifetime_sec);
    static const char *const usage[] = { NULL, "serverAuth", "clientAuth",
                                         "serverAuth,clientAuth" };
    ASSERT(subject->use >= 1 && subject->use <= 3);
    if (!cert || !X509_set_issuer_name(cert, X509_get_subject_name(ca)) ||
        !add_ext(cert, ca, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_ext(cert, ca, NID_key_usage, "critical,digitalSignature,keyEncipherment") ||
        !add_ext(cert, ca, NID_ext_key_usage, usage[subject->use]) ||
        !add_ext(cert, ca, NID_authority_key_identifier, "keyid"))
        return fail(err, "make certificate");
    int r = add_sans(cert, ca, subject->sans, err);
    return r < 0 ? r : sign_and_take(cert, signer, ret_cert, err);
}

/* A damaged half may parse; it then does not verify what the other half signs. */
static bool halves_match(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static int damaged(Err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, 0, "%s", what);
}

int pki_check_key(StrView key_pem, Err *err)
{
    _cleanup_(pkey_freep) EVP_PKEY *key = read_key(key_pem, NULL);
    if (!key)
        return damaged(err, "damaged: no private key in PEM");
    return halves_match(key) ? 0 : damaged(err, "damaged: the halves of the key do not match");
}

int pki_check_ca(StrView ca_cert, Err *err)
{
    _cleanup_(x509_freep) X509 *ca = read_cert(ca_cert, NULL);
    if (!ca)
        return damaged(err, "damaged: no certificate in PEM");
    bool ok = X509_verify(ca, X509_get0_pubkey(ca)) == 1;
    ERR_clear_error();
    return ok ? 0 : damaged(err, "damaged: the certificate's signature is not its own");
}

int pki_check_pair(StrView cert_pem, StrView key_pem, Err *err)
{
    _cleanup_(x509_freep) X509 *cert = read_cert(cert_pem, NULL);
    _cleanup_(pkey_freep) EVP_PKEY *key = cert ? read_key(key_pem, NULL) : NULL;
    bool ok = key && X509_check_private_key(cert, key) == 1;
    ERR_clear_error();
    return ok ? 0 : damaged(err, "the certificate is for another key");
}

static bool period(X509 *cert, int64_t *ret_begin, int64_t *ret_end)
{
    struct tm begin, end;
    if (!ASN1_TIME_to_tm(X509_get0_notBefore(cert), &begin) ||
        !ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end))
        return false;
    *ret_begin = timegm(&begin);
    *ret_end = timegm(&end);
    return true;
}

int pki_period(StrView cert_pem, int64_t *ret_begin, int64_t *ret_end, Err *err)
{
    _cleanup_(x509_freep) X509 *cert = read_cert(cert_pem, err);
    if (!cert)
        return -ERR_INVALID;
    return period(cert, ret_begin, ret_end) ? 0 : fail(err, "read the certificate's period");
}

static bool in_first_two_thirds(X509 *cert, int64_t now)
{
    int64_t begin, end;
    return period(cert, &begin, &end) && begin <= now && now - begin < (end - begin) / 3 * 2;
}

static bool has_names(X509 *cert, const char *const *sans)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int left = names ? sk_GENERAL_NAME_num(names) : 0;
    GENERAL_NAMES_free(names);
    bool ok = true;
    for (; ok && sans && *sans; sans++, left--)
        ok = X509_check_ip_asc(cert, *sans, 0) == 1 ||
             X509_check_host(cert, *sans, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
    return ok && left == 0;
}

static bool is_called(X509 *cert, const char *name)
{
    char have[256];
    int n =
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, have, sizeof have);
    return n >= 0 && strcmp(have, name) == 0;
}

bool pki_still_good(StrView cert_pem, StrView key_pem, StrView ca_cert, const PkiSubject *subject,
                    int64_t now)
{
    _cleanup_(x509_freep) X509 *cert = read_cert(cert_pem, NULL);
    _cleanup_(x509_freep) X509 *ca = cert ? read_cert(ca_cert, NULL) : NULL;
    _cleanup_(pkey_freep) EVP_PKEY *key = ca ? read_key(key_pem, NULL) : NULL;
    bool good = key && X509_verify(cert, X509_get0_pubkey(ca)) == 1 &&
                X509_check_private_key(cert, key) == 1 && halves_match(key) &&
                in_first_two_thirds(cert, now) && is_called(cert, subject->common_name) &&
                has_names(cert, subject->sans);
    ERR_clear_error();
    return good;
}
