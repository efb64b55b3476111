/* jwt.h - signed assertions (RFC 7515, RFC 7523) for token endpoints. */
#pragma once

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "codec/value.h"

/* Both are JSON objects; the header says "alg": "RS256" itself. ERR_INVALID: not an RSA key. */
int jwt_sign(const Value *header, const Value *claims, EVP_PKEY *key, Buf *out, Err *err) NODISCARD;
/* A private key as PEM, which the caller frees; ERR_INVALID. */
int jwt_key(StrView pem, EVP_PKEY **ret, Err *err) NODISCARD;
