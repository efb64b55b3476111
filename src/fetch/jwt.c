/* jwt.c - see jwt.h. */
#include "fetch/jwt.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/encode.h"
#include "codec/json.h"

int jwt_key(StrView pem, EVP_PKEY **ret, Err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)MIN(pem.len, (size_t)INT_MAX));
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (!key)
        return err_set(err, ERR_INVALID, 0, "the private key is not PEM, or is protected");
    *ret = key;
    return 0;
}

static void put_part(const Value *v, Buf *out)
{
    _cleanup_buf_ Buf json = BUF_INIT;
    json_encode(v, &json);
    base64_encode(BASE64_URL, buf_view(&json), out);
    out->failed |= json.failed;
}

int jwt_sign(const Value *header, const Value *claims, EVP_PKEY *key, Buf *out, Err *err)
{
    uint8_t signature[1024]; /* of 8192 bits */
    size_t n = sizeof signature, begin = out->len;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_size(key) > (int)n)
        return err_set(err, ERR_INVALID, 0, "the private key is not an RSA key");
    put_part(header, out);
    buf_putc(out, '.');
    put_part(claims, out);
    if (out->failed)
        return err_nomem(err);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &n, (const uint8_t *)out->ptr + begin,
                             out->len - begin) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!ok)
        return err_set(err, ERR_SYS, 0, "sign the assertion: refused by OpenSSL");
    buf_putc(out, '.');
    base64_encode(BASE64_URL, sv_n(signature, n), out);
    return out->failed ? err_nomem(err) : 0;
}
