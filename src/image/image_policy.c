/* image_policy.c - see image_policy.h. The rules of a name are those of the longest scope that it
 * is in: the name itself, its repository, the folders above, the registry, "*.domain", "" of the
 * transport `docker`, and `default`. Other transports are of no interest to pulls. */
#include "image/image_policy.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
#include "codec/bind.h"
#include "codec/json.h"

typedef struct Scope {
    StrView name;
    PolicyRules rules;
} Scope;

struct ImagePolicy {
    Arena arena;
    PolicyRules all;
    LIST(Scope) scopes;
};

typedef struct RawIdentity {
    StrView type;
} RawIdentity;
typedef struct RawRule {
    StrView type, key_path, key_data;
    RawIdentity identity;
} RawRule;
typedef LIST(RawRule) RawRules;
typedef struct RawFile {
    RawRules all;
    const Value *transports;
} RawFile;

static const Field identity_fields[] = { BIND(RawIdentity, "type", TEXT, type) };
static const Type type_identity = {
    "signedIdentity", sizeof(RawIdentity), identity_fields, ARRAY_SIZE(identity_fields), NULL, NULL
};
static const Field rule_fields[] = {
    BIND(RawRule, "type", TEXT, type),
    BIND(RawRule, "keyPath", TEXT, key_path),
    BIND(RawRule, "keyData", TEXT, key_data),
    BIND_SUB(RawRule, "signedIdentity", STRUCT, identity, type_identity),
};
static const Type type_rule = { "requirement", sizeof(RawRule),
                                rule_fields,   ARRAY_SIZE(rule_fields),
                                NULL,          NULL };
static const Field file_fields[] = {
    BIND_SUB(RawFile, "default", LIST, all, type_rule),
    BIND(RawFile, "transports", VALUE, transports),
};
static const Type type_file = { "policy",    sizeof(RawFile),
                                file_fields, ARRAY_SIZE(file_fields),
                                NULL,        NULL };

/* ---- reading ---- */

static EVP_PKEY *key_of(StrView pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)MIN(pem.len, (size_t)IMAGE_POLICY_KEY_MAX));
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return key;
}

static int read_key(Binder *b, const Value *at, const RawRule *raw, StrView *ret)
{
    _cleanup_buf_ Buf pem = BUF_INIT;
    char path[4096];
    EVP_PKEY *key;
    int r;

    if (!raw->key_path.len == !raw->key_data.len)
        return bind_fail(b, at, "sigstoreSigned wants one of keyPath and keyData");
    if (raw->key_path.len) {
        if (!sv_copy_cstr(raw->key_path, path, sizeof path))
            return bind_fail_key(b, at, "keyPath", "the path is too long");
        r = file_read(AT_FDCWD, path, IMAGE_POLICY_KEY_MAX, &pem);
        if (r < 0)
            return err_set(b->err, ERR_INVALID, -r, "%s: keyPath: read '%s'", b->file, path);
    } else if (base64_decode(BASE64_STD, raw->key_data, &pem) < 0) {
        return bind_fail_key(b, at, "keyData", "expected base64 of a PEM text");
    }
    key = key_of(buf_view(&pem));
    if (!key)
        return bind_fail_key(b, at, raw->key_path.len ? "keyPath" : "keyData",
                             "expected the PEM of a public key");
    EVP_PKEY_free(key);
    *ret = arena_sv(b->arena, buf_view(&pem));
    return ret->ptr ? 0 : err_nomem(b->err);
}

static int read_identity(Binder *b, const Value *at, StrView type, PolicyIdentity *ret)
{
    static const char *const names[] = { "matchRepoDigestOrExact", "matchExact",
                                         "matchRepository" };

    if (!type.len)
        return 0;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (sv_eq(type, sv_cstr(names[i]))) {
            *ret = (PolicyIdentity)i;
            return 0;
        }
    return bind_fail_key(b, value_get(at, SV("signedIdentity")), "type",
                         "'%.*s': expected matchRepoDigestOrExact, matchExact or matchRepository",
                         SV_FMT(sv_head(type, 60)));
}

static int read_rule(Binder *b, const Value *at, const RawRule *raw, PolicyRule *ret)
{
    int r;

    *ret = (PolicyRule){ .kind = POLICY_REJECT };
    if (sv_eq(raw->type, SV("insecureAcceptAnything"))) {
        ret->kind = POLICY_ACCEPT;
        return 0;
    }
    if (sv_eq(raw->type, SV("reject")))
        return 0;
    if (!sv_eq(raw->type, SV("sigstoreSigned")))
        return bind_fail_key(b, at, "type",
                             "'%.*s': expected insecureAcceptAnything, reject or sigstoreSigned",
                             SV_FMT(sv_head(raw->type, 60)));
    ret->kind = POLICY_SIGNED;
    if ((r = read_key(b, at, raw, &ret->key)) < 0)
        return r;
    return read_identity(b, at, raw->identity.type, &ret->identity);
}

/* `at` is the list that the rules were bound from, and the binder's frame that of its key. */
static int read_rules(Binder *b, const Value *at, const RawRules *raw, PolicyRules *ret)
{
    PolicyRule *rules = arena_array(b->arena, PolicyRule, raw->len + 1u);
    const BindFrame *outer = b->frame;
    int r;

    if (!rules)
        return err_nomem(b->err);
    if (!raw->len)
        return bind_fail(b, at, "a list of at least one requirement is wanted");
    for (unsigned i = 0; i < raw->len; i++) {
        BindFrame item = { .up = outer, .index = i, .is_item = true };

        b->frame = &item;
        if ((r = read_rule(b, value_at(at, i), &raw->items[i], &rules[i])) < 0)
            return r;
    }
    b->frame = outer;
    *ret = (PolicyRules){ rules, raw->len };
    return 0;
}

/* One list of requirements: a map of one key, which is the scope's name. */
typedef struct OneList {
    RawRules rules;
} OneList;

static int read_scope(Binder *b, const BindFrame *docker, const Member *m, Scope *ret)
{
    BindFrame frame = { .up = docker, .key = m->key };
    Member only = *m;
    const Value wrapped = { .kind = VALUE_MAP, .len = 1, .cap = 1, .members = &only };
    const Field field = BIND_SUB(OneList, arena_cstr(b->arena, m->key), LIST, rules, type_rule);
    const Type type = { "requirements", sizeof(OneList), &field, 1, NULL, NULL };
    OneList one = { 0 };
    int r;

    ret->name = m->key;
    b->frame = docker;
    if (!field.key)
        return bind_fail(b, &m->val, "a name holds a NUL byte");
    if ((r = bind_struct(b, &type, &one, &wrapped)) < 0)
        return r;
    b->frame = &frame;
    return read_rules(b, &m->val, &one.rules, &ret->rules);
}

static int read_transports(Binder *b, const Value *v, ImagePolicy *p)
{
    const BindFrame transports = { .key = SV("transports") };
    const BindFrame docker = { .up = &transports, .key = SV("docker") };
    const Value *scopes = value_get(v, SV("docker"));
    int r;

    b->frame = &transports;
    if (v && v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "an object");
    b->frame = &docker;
    if (scopes && scopes->kind != VALUE_MAP)
        return bind_bad_type(b, scopes, "an object");
    p->scopes.items = arena_array(&p->arena, Scope, value_len(scopes) + 1u);
    if (!p->scopes.items)
        return err_nomem(b->err);
    value_map_foreach (m, scopes)
        if ((r = read_scope(b, &docker, m, &p->scopes.items[p->scopes.len++])) < 0)
            return r;
    b->frame = NULL;
    return 0;
}

static int read_all(ImagePolicy *p, StrView text, const char *name, Err *err)
{
    static const BindFormat format = { .typed = true };
    const JsonOptions options = { .lines = true };
    const BindFrame all = { .key = SV("default") };
    Binder b = { .file = name, .arena = &p->arena, .format = &format, .err = err };
    StrView copy = arena_sv(&p->arena, text);
    RawFile raw = { 0 };
    Value doc;
    int r;

    if (!copy.ptr)
        return err_nomem(err);
    if ((r = json_decode(copy, &p->arena, &options, &doc, err)) < 0)
        return err_wrap(err, "%s", name);
    if ((r = bind_struct(&b, &type_file, &raw, &doc)) < 0)
        return r;
    b.frame = &all;
    if ((r = read_rules(&b, value_get(&doc, SV("default")), &raw.all, &p->all)) < 0)
        return r;
    return read_transports(&b, raw.transports, p);
}

int image_policy_parse(StrView text, const char *name, ImagePolicy **ret, Err *err)
{
    ImagePolicy *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return err_nomem(err);
    arena_init(&p->arena, ARENA_DEFAULT_LIMIT);
    r = read_all(p, text, name, err);
    if (r < 0)
        image_policy_free(p);
    else
        *ret = p;
    return r;
}

int image_policy_load(const char *file, ImagePolicy **ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, file, IMAGE_POLICY_MAX, &text);

    if (r < 0)
        return err_neg(err, r, "read %s", file);
    return image_policy_parse(buf_view(&text), file, ret, err);
}

ImagePolicy *image_policy_free(ImagePolicy *p)
{
    if (p)
        arena_free(&p->arena);
    free(p);
    return NULL;
}

/* ---- which rules ---- */

static const PolicyRules *find(const ImagePolicy *p, StrView name)
{
    for (unsigned i = 0; i < p->scopes.len; i++)
        if (sv_eq(p->scopes.items[i].name, name))
            return &p->scopes.items[i].rules;
    return NULL;
}

const PolicyRules *image_policy_for(const ImagePolicy *p, const ImageRef *ref)
{
    char name[IMAGE_REF_SIZE], below[IMAGE_REF_SIZE + 2];
    const PolicyRules *r = find(p, sv_cstr(image_ref_format(ref, name)));
    StrView rest = sv_cstr(image_ref_repository(ref, name));
    ssize_t cut;

    while (!r && rest.len) {
        r = find(p, rest);
        cut = sv_rfind_char(rest, '/');
        rest = sv_head(rest, cut < 0 ? 0 : (size_t)cut);
    }
    rest = sv_cstr(ref->domain);
    while (!r && (cut = sv_find_char(rest, '.')) >= 0) {
        rest = sv_skip(rest, (size_t)cut + 1);
        snprintf(below, sizeof below, "*.%.*s", SV_FMT(rest));
        r = find(p, sv_cstr(below));
    }
    if (!r)
        r = find(p, SV(""));
    return r ? r : &p->all;
}

/* ---- signatures ---- */

static bool verifies(StrView pem, StrView payload, StrView signature)
{
    EVP_PKEY *key = key_of(pem);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int type = key ? EVP_PKEY_get_base_id(key) : 0;
    const EVP_MD *hash = type == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    bool ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, hash, NULL, key) == 1 &&
              EVP_DigestVerify(ctx, (const uint8_t *)signature.ptr, signature.len,
                               (const uint8_t *)payload.ptr, payload.len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

static bool is_same_repository(const ImageRef *a, const ImageRef *b)
{
    return !strcmp(a->domain, b->domain) && !strcmp(a->path, b->path);
}

static bool identity_fits(PolicyIdentity how, const ImageRef *ref, StrView text)
{
    ssize_t colon = sv_rfind_char(text, ':');
    bool tagged = colon > sv_rfind_char(text, '/');
    ImageRef is;

    if (image_ref_parse(text, &is, NULL) < 0 || !is_same_repository(&is, ref))
        return false;
    if (how == POLICY_REPOSITORY)
        return true;
    if (ref->digest.text[0])
        return how == POLICY_REPO_DIGEST_OR_EXACT ? tagged || is.digest.text[0]
                                                  : digest_eq(&is.digest, &ref->digest);
    return tagged && !is.digest.text[0] && !strcmp(is.tag, ref->tag);
}

/* Nothing of the payload is looked at before its signature has been. */
static int payload_check(const PolicyRule *r, const ImageRef *ref, const Digest *digest,
                         StrView payload, Arena *a, Err *err)
{
    StrView type, name, of;
    Value doc;

    if (json_decode(payload, a, NULL, &doc, NULL) < 0)
        return err_set(err, ERR_DENIED, 0, "what is signed is no JSON");
    type = value_path_str(&doc, "critical.type");
    name = value_path_str(&doc, "critical.identity.docker-reference");
    of = value_path_str(&doc, "critical.image.docker-manifest-digest");
    if (!sv_eq(type, SV("cosign container image signature")))
        return err_set(err, ERR_DENIED, 0, "what is signed is of type '%.*s'",
                       SV_FMT(sv_head(type, 60)));
    if (!sv_eq(of, sv_cstr(digest->text)))
        return err_set(err, ERR_DENIED, 0, "the signature is of manifest '%.*s'",
                       SV_FMT(sv_head(of, 80)));
    if (!identity_fits(r->identity, ref, name))
        return err_set(err, ERR_DENIED, 0, "the signature is of the name '%.*s'",
                       SV_FMT(sv_head(name, 200)));
    return 0;
}

int image_policy_check(const PolicyRule *r, const ImageRef *ref, const Digest *digest,
                       StrView payload, StrView signature, Err *err)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    _cleanup_arena_ Arena a;

    arena_init(&a, 16 * 1024 * 1024);
    if (base64_decode(BASE64_STD, signature, &bytes) < 0)
        return err_set(err, ERR_DENIED, 0, "the signature is no base64");
    if (!verifies(r->key, payload, buf_view(&bytes)))
        return err_set(err, ERR_DENIED, 0, "the signature is not by the policy's key");
    return payload_check(r, ref, digest, payload, &a, err);
}
