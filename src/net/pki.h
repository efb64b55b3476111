/* pki.h - keys and X.509 certificates for a cluster's own authority (ECDSA P-256, RFC 5280). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef enum PkiUse { PKI_SERVER = 1, PKI_CLIENT = 2 } PkiUse;

typedef struct PkiSubject {
    const char *common_name;
    const char *const *orgs; /* NULL-terminated; NULL: none */
    const char *const *sans; /* names and addresses; NULL-terminated; NULL: none */
    unsigned use;            /* PkiUse bits */
    int64_t lifetime_sec;
} PkiSubject;

/* A new private key as PKCS#8 PEM, appended to ret_key. */
int pki_new_key(Buf *ret_key, Err *err) NODISCARD;
/* The public half as SubjectPublicKeyInfo PEM. */
int pki_public_key(StrView key_pem, Buf *ret_pem, Err *err) NODISCARD;
/* A self-signed authority for `key_pem`, as PEM. */
int pki_new_ca(StrView key_pem, const char *common_name, int64_t lifetime_sec, Buf *ret_cert,
               Err *err) NODISCARD;
/* A certificate for the public half of `key_pem`, signed by the authority. The period starts five
 * minutes in the past, so that clocks may differ. ERR_INVALID names the bad SAN or PEM. */
int pki_issue(StrView ca_cert, StrView ca_key, StrView key_pem, const PkiSubject *subject,
              Buf *ret_cert, Err *err) NODISCARD;
/* Is this a private key whose public half belongs to it? ERR_CORRUPT: damaged. */
int pki_check_key(StrView key_pem, Err *err) NODISCARD;
/* Is this an authority's certificate that carries its own signature? ERR_CORRUPT: damaged. */
int pki_check_ca(StrView ca_cert, Err *err) NODISCARD;
/* Is the certificate, both being good by themselves, one for this key? ERR_CORRUPT: for another. */
int pki_check_pair(StrView cert_pem, StrView key_pem, Err *err) NODISCARD;
/* When a certificate's period begins and ends, in Unix seconds. */
int pki_period(StrView cert_pem, int64_t *ret_begin, int64_t *ret_end, Err *err) NODISCARD;
/* Is this certificate, at `now` (Unix seconds), what pki_issue() would make for the subject, and in
 * the first two thirds of its period? One that begins later, was signed by another authority or is
 * for another key or other names is not. */
bool pki_still_good(StrView cert_pem, StrView key_pem, StrView ca_cert, const PkiSubject *subject,
                    int64_t now);
