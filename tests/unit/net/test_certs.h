/* test_certs.h - a certificate authority made on the spot for tests of TLS. */
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/str.h"

typedef struct TestCert {
    X509 *x;
    EVP_PKEY *key;
    char *cert_pem, *key_pem;
} TestCert;

static inline char *bio_text(BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    char *s = strndup(p, (size_t)n);
    BIO_free(b);
    return s;
}

/* Signed by `ca` (NULL: by itself). `san` as OpenSSL writes it: "IP:127.0.0.1,DNS:localhost". */
static inline TestCert test_cert(const TestCert *ca, const char *org, const char *cn,
                                 const char *san)
{
    TestCert c = { X509_new(), EVP_EC_gen("P-256"), NULL, NULL };
    X509_set_version(c.x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x), (long)(intptr_t)c.x & 0xffffff);
    X509_gmtime_adj(X509_getm_notBefore(c.x), -60);
    X509_gmtime_adj(X509_getm_notAfter(c.x), 3600);
    X509_set_pubkey(c.x, c.key);
    X509_NAME *n = X509_get_subject_name(c.x);
    if (org)
        X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8, (const unsigned char *)org, -1, -1, 0);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(c.x, ca ? X509_get_subject_name(ca->x) : n);
    X509V3_CTX v3;
    X509V3_set_ctx(&v3, ca ? ca->x : c.x, c.x, NULL, NULL, 0);
    const char *values[2] = { ca ? "CA:FALSE" : "critical,CA:TRUE", san };
    int nids[2] = { NID_basic_constraints, NID_subject_alt_name };
    for (int i = 0; i < 2; i++) {
        X509_EXTENSION *e = values[i] ? X509V3_EXT_conf_nid(NULL, &v3, nids[i], values[i]) : NULL;
        if (e)
            X509_add_ext(c.x, e, -1);
        X509_EXTENSION_free(e);
    }
    X509_sign(c.x, ca ? ca->key : c.key, EVP_sha256());
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(b, c.x);
    c.cert_pem = bio_text(b);
    b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, c.key, NULL, NULL, 0, NULL, NULL);
    c.key_pem = bio_text(b);
    return c;
}

static inline void test_cert_free(TestCert *c)
{
    X509_free(c->x);
    EVP_PKEY_free(c->key);
    free(c->cert_pem);
    free(c->key_pem);
    *c = (TestCert){ 0 };
}
