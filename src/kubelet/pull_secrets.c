/* pull_secrets.c - see pull_secrets.h. */
#include "kubelet/pull_secrets.h"

#include <openssl/sha.h>
#include <stdlib.h>

#include "base/encode.h"

/* Of what a credential says, each part with its end, so that parts cannot be taken for others. */
static int hash_of(const RegistryCredential *c, Arena *a, StrView *ret, Err *err)
{
    const StrView parts[] = { c->username, c->password, c->identity_token, c->registry_token };
    _cleanup_buf_ Buf text = BUF_INIT;
    uint8_t sum[SHA256_DIGEST_LENGTH];
    Digest d;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        buf_printf(&text, "%zu:", parts[i].len);
        buf_sv(&text, parts[i]);
    }
    if (text.failed)
        return err_nomem(err);
    SHA256((const unsigned char *)text.ptr, text.len, sum);
    digest_from_bytes(sum, &d);
    *ret = arena_sv(a, sv_cstr(digest_hex(&d)));
    return ret->ptr ? 0 : err_nomem(err);
}

/* Each costs a try, for as long as which the pull has one of the node's few places. */
static bool is_wanted(const PullCredentials *to, const PullCredential *c)
{
    for (unsigned i = 0; i < to->fits.len; i++)
        if (sv_eq(to->fits.items[i].right.hash, c->right.hash))
            return false;
    return to->fits.len < PULL_CREDENTIALS_MAX;
}

static int add(PullCredentials *to, const PullCredential *c, Arena *a, Err *err)
{
    if (!is_wanted(to, c))
        return 0;
    if (to->fits.len == to->cap) {
        unsigned cap = to->cap ? to->cap * 2 : 8;
        PullCredential *more = arena_array(a, PullCredential, cap);
        if (!more)
            return err_nomem(err);
        if (to->fits.len)
            memcpy(more, to->fits.items, to->fits.len * sizeof *more);
        to->fits.items = more;
        to->cap = cap;
    }
    to->fits.items[to->fits.len++] = *c;
    return 0;
}

/* The document of the secret's type; SV_NULL: it has none, or is of another type. */
static StrView document_of(const Value *secret)
{
    StrView type = value_str(value_get(secret, SV("type")));
    const Value *data = value_get(secret, SV("data"));
    if (sv_eq(type, SV("kubernetes.io/dockerconfigjson")))
        return value_str(value_get(data, SV(".dockerconfigjson")));
    if (sv_eq(type, SV("kubernetes.io/dockercfg")))
        return value_str(value_get(data, SV(".dockercfg")));
    return SV_NULL;
}

int pull_secret_read(const Value *secret, const ImageRef *ref, Arena *a, PullCredentials *to,
                     Err *err)
{
    const Value *meta = value_get(secret, SV("metadata"));
    StrView name = value_str(value_get(meta, SV("name")));
    _cleanup_buf_ Buf text = BUF_INIT;
    AuthFile file;
    StrView document = document_of(secret);
    if (!document.len)
        return err_set(err, ERR_INVALID, 0, "secret %.*s is of no type that has credentials",
                       SV_FMT(name));
    if (base64_decode(BASE64_STD, document, &text) < 0)
        return err_set(err, ERR_INVALID, 0, "secret %.*s is no base64", SV_FMT(name));
    StrView kept = arena_sv(a, buf_view(&text)),
            title = arena_printf(a, "secret %.*s", SV_FMT(name));
    if (!kept.ptr || !title.ptr)
        return err_nomem(err);
    int r = auth_file_parse(kept, title.ptr, a, &file, err);
    for (unsigned i = 0; r >= 0 && i < file.len; i++) {
        PullCredential c = { .auth = file.items[i] };
        if (!registry_credential_fits(c.auth.pattern, sv_cstr(ref->domain), sv_cstr(ref->path)))
            continue;
        c.right.uid = arena_sv(a, value_str(value_get(meta, SV("uid"))));
        c.right.ns = arena_sv(a, value_str(value_get(meta, SV("namespace"))));
        c.right.name = arena_sv(a, name);
        r = hash_of(&c.auth, a, &c.right.hash, err);
        if (r >= 0)
            r = add(to, &c, a, err);
    }
    return r;
}

static int by_auth(const void *a, const void *b)
{
    const PullCredential *x = a, *y = b;
    return registry_credential_cmp(&x->auth, &y->auth);
}

void pull_secrets_sort(PullCredentials *c)
{
    if (c->fits.len)
        qsort(c->fits.items, c->fits.len, sizeof *c->fits.items, by_auth);
}
