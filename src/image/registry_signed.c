/* registry_signed.c - looks for the signatures that a policy wants, before anything of the image is
 * kept: cosign's are an image of their own with the tag sha256-HEX.sig, whose layers are what was
 * signed and whose annotations have the signatures. */
#include <openssl/evp.h>
#include <stdio.h>

#include "codec/json.h"
#include "image/registry_internal.h"

enum { SIGNATURES_MAX = 64, PAYLOAD_MAX = 256 * 1024, RULES_MAX = 64, SUBJECTS_MAX = 2 };

struct RegVerify {
    RegSession *session;
    const PolicyRules *rules;
    ImageRef ref;
    Digest subjects[SUBJECTS_MAX]; /* signed is the index, or the manifest */
    unsigned n_subjects, at;
    Arena arena;
    const Value *layers; /* of the signature image */
    Value doc;
    unsigned layer;
    RegCall *call;
    bool held[RULES_MAX]; /* the rule does */
    RegVerifyFn *done;
    void *ctx;
    Err why; /* the best reason so far */
};

static void ask_subject(RegVerify *v);
static void ask_payload(RegVerify *v);

RegVerify *reg_verify_cancel(RegVerify *v)
{
    if (!v)
        return NULL;
    reg_call_cancel(v->call);
    arena_free(&v->arena);
    free(v);
    return NULL;
}

static void finish(RegVerify *v, const Err *why)
{
    RegVerifyFn *done = v->done;
    void *ctx = v->ctx;
    Err err = { 0 };

    if (why) {
        err = *why;
        err_wrap(&err, "policy");
    }
    reg_verify_cancel(v);
    done(ctx, why ? &err : NULL);
}

/* ---- one payload ---- */

static StrView signature_of(const Value *layer)
{
    return value_str(
        value_get(value_get(layer, SV("annotations")), SV("dev.cosignproject.cosign/signature")));
}

static bool is_layer(const Value *layer)
{
    return sv_eq(value_str(value_get(layer, SV("mediaType"))),
                 SV("application/vnd.dev.cosign.simplesigning.v1+json")) &&
           signature_of(layer).len > 0;
}

static bool all_hold(const RegVerify *v)
{
    for (unsigned i = 0; i < v->rules->len; i++)
        if (!v->held[i])
            return false;
    return true;
}

static bool is_its_digest(const Value *layer, StrView payload)
{
    uint8_t sum[32];
    Digest is;

    if (EVP_Digest(payload.ptr, payload.len, sum, NULL, EVP_sha256(), NULL) != 1)
        return false;
    digest_from_bytes(sum, &is);
    return sv_eq(value_str(value_get(layer, SV("digest"))), sv_cstr(is.text));
}

static void on_payload(void *ctx, const RegAnswer *a)
{
    RegVerify *v = ctx;
    const Value *layer = value_at(v->layers, v->layer++);

    v->call = NULL;
    if (a->err) {
        v->why = *a->err;
    } else if (!is_its_digest(layer, a->body)) {
        err_set(&v->why, ERR_CORRUPT, 0, "a signature's payload has another digest");
    } else {
        for (unsigned i = 0; i < v->rules->len; i++)
            v->held[i] =
                v->held[i] || image_policy_check(&v->rules->items[i], &v->ref, &v->subjects[v->at],
                                                 a->body, signature_of(layer), &v->why) >= 0;
    }
    if (all_hold(v))
        finish(v, NULL);
    else
        ask_payload(v);
}

static void next_subject(RegVerify *v)
{
    if (++v->at < v->n_subjects) {
        ask_subject(v);
        return;
    }
    if (!v->why.code)
        err_set(&v->why, ERR_DENIED, 0, "%s has no signature", v->subjects[0].text);
    finish(v, &v->why);
}

static void ask_payload(RegVerify *v)
{
    RegSession *s = v->session;
    Err err = { 0 };
    Digest d;

    while (v->layer < value_len(v->layers) && !is_layer(value_at(v->layers, v->layer)))
        v->layer++;
    if (v->layer >= MIN(value_len(v->layers), (uint32_t)SIGNATURES_MAX)) {
        next_subject(v);
        return;
    }
    RegCallSpec spec = { .body_max = PAYLOAD_MAX, .done = on_payload, .ctx = v };
    if (digest_parse(value_str(value_get(value_at(v->layers, v->layer), SV("digest"))), &d, &err) >=
        0) {
        spec.url = arena_printf(&v->arena, "%.*s/%.*s/blobs/%s", SV_FMT(s->base),
                                SV_FMT(s->endpoint->path), d.text);
        if (!spec.url.ptr)
            err_nomem(&err);
    }
    if (err.code || reg_call(s, &spec, &v->call, &err) < 0)
        finish(v, &err);
}

/* ---- the signature image ---- */

static void on_signatures(void *ctx, const RegAnswer *a)
{
    RegVerify *v = ctx;
    StrView copy;

    v->call = NULL;
    if (a->err) {
        if (a->err->code != ERR_NOT_FOUND)
            v->why = *a->err;
        next_subject(v);
        return;
    }
    copy = arena_sv(&v->arena, a->body);
    if (!copy.ptr || json_decode(copy, &v->arena, NULL, &v->doc, &v->why) < 0) {
        err_set(&v->why, ERR_DENIED, 0, "the signatures of %s cannot be read",
                v->subjects[v->at].text);
        next_subject(v);
        return;
    }
    v->layers = value_get(&v->doc, SV("layers"));
    v->layer = 0;
    ask_payload(v);
}

static int ask(RegVerify *v, Err *err)
{
    RegSession *s = v->session;
    const HttpHeader accept = { SV("accept"), sv_cstr(reg_manifest_accept) };
    RegCallSpec spec = { .url = arena_printf(&v->arena, "%.*s/%.*s/manifests/sha256-%s.sig",
                                             SV_FMT(s->base), SV_FMT(s->endpoint->path),
                                             digest_hex(&v->subjects[v->at])),
                         .headers = &accept,
                         .n_headers = 1,
                         .body_max = IMAGE_MANIFEST_MAX,
                         .done = on_signatures,
                         .ctx = v };

    if (!spec.url.ptr)
        return err_nomem(err);
    return reg_call(s, &spec, &v->call, err);
}

static void ask_subject(RegVerify *v)
{
    Err err = { 0 };

    if (ask(v, &err) < 0)
        finish(v, &err);
}

int reg_verify(RegSession *s, const PolicyRules *rules, const ImageRef *ref, const Digest *index,
               const Digest *manifest, RegVerifyFn *done, void *ctx, RegVerify **ret, Err *err)
{
    RegVerify *v;
    int r;

    if (rules->len > RULES_MAX)
        return err_set(err, ERR_LIMIT, 0, "policy: more than %d requirements", RULES_MAX);
    v = calloc(1, sizeof *v);
    if (!v)
        return err_nomem(err);
    arena_init(&v->arena, ARENA_DEFAULT_LIMIT);
    v->session = s;
    v->rules = rules;
    v->ref = *ref;
    v->done = done;
    v->ctx = ctx;
    v->subjects[v->n_subjects++] = *index;
    if (!digest_eq(index, manifest))
        v->subjects[v->n_subjects++] = *manifest;
    for (unsigned i = 0; i < rules->len; i++)
        v->held[i] = rules->items[i].kind == POLICY_ACCEPT;
    r = ask(v, err);
    if (r < 0)
        reg_verify_cancel(v);
    else
        *ret = v;
    return r;
}
