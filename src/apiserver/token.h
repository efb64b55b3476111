/* token.h - service-account tokens: JSON Web Tokens (RFC 7519) signed with ES256 (RFC 7518), bound
 * to a service account and optionally to a pod, as Kubernetes' TokenRequest API issues them. */
#pragma once

#include "codec/value.h"

typedef struct TokenSigner TokenSigner;

/* `key_pem`: an EC P-256 private key. `issuer` is what the "iss" claim says and must say. */
int token_signer_new(StrView key_pem, StrView issuer, TokenSigner **ret, Err *err) NODISCARD;
TokenSigner *token_signer_free(TokenSigner *s); /* always NULL */
StrView token_issuer(const TokenSigner *s);

typedef struct TokenClaims {
    StrView ns, account, account_uid; /* of the service account */
    StrView pod, pod_uid;             /* empty: bound to no pod */
    StrView node, node_uid;           /* of the pod; without a pod the token is bound to it */
    StrView secret, secret_uid;       /* the Secret that the token is bound to */
    bool legacy; /* a token without end that is good as long as `secret` holds it: it has neither
                  * pod, node, times nor audiences but the issuer's */
    const StrView *audiences;
    unsigned n_audiences;
    int64_t issued, expires; /* Unix seconds */
} TokenClaims;

/* The signed token, in the arena. */
int token_issue(const TokenSigner *s, const TokenClaims *c, Arena *a, StrView *ret,
                Err *err) NODISCARD;

/* Checks form, signature, issuer and time (seconds; one minute of tolerance for "nbf"), and gives
 * the claims as views into the arena. ERR_UNAUTHENTICATED says what is wrong, never the token.
 * Whether account and pod still exist with these uids, and the Secret of an endless token still
 * holds it, is the caller's to check. */
int token_verify(const TokenSigner *s, StrView token, int64_t now, Arena *a, TokenClaims *ret,
                 Err *err) NODISCARD;

/* The public key as a JSON Web Key Set (RFC 7517), for /openid/v1/jwks. */
int token_jwks(const TokenSigner *s, Arena *a, StrView *ret, Err *err) NODISCARD;
