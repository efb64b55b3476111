/* registry_pull.c - an image that comes: its endpoints in order until one has the manifest, then
 * configuration and layers side by side, each layer unpacked as soon as it is here and the
 * configuration has said what it unpacks to, and the name last. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
#include "image/registry_internal.h"

enum { DOCS_MAX = INDEX_DEPTH_MAX + 2 };

typedef enum PullStep { PULL_PREPARE, PULL_STORE, PULL_CONFIG, PULL_NAME } PullStep;

typedef struct PullBlob {
    RegWant want;
    RegistryPull *pull;
    unsigned index;
    Digest digest;
    uint64_t size;
    unsigned endpoint; /* that is asked for it */
    unsigned same;     /* index of an earlier one with this digest; itself: none */
    bool here, existed, unpacking, ready;
    bool fresh;       /* the guard does not let the store's be used */
    bool fresh_layer; /* nor what it unpacks to */
} PullBlob;

typedef struct PullDoc {
    StrView text;
    Digest digest;
} PullDoc;

struct RegistryPull {
    Registry *reg; /* NULL once it is cancelled */
    ImageStore *store;
    RegistryPull *next;
    Arena arena;
    RegistryPullSpec spec;
    RegPlatform platform;
    RegistryEndpoint *endpoints;
    RegSession *sessions;
    unsigned n_endpoints, n_sessions, at;
    RegCall *call;
    RegVerify *verify;
    int hold; /* of the store: what is there is not collected */

    PullDoc docs[DOCS_MAX]; /* indexes on the way, and the manifest last */
    unsigned n_docs;
    Digest asked; /* of the document that is asked for; empty: by tag */
    uint64_t asked_size;
    RegManifest manifest;
    bool *fresh;     /* of the following, as the guard says; NULL: there is none */
    PullBlob *blobs; /* the configuration, then the layers */
    unsigned n_blobs, n_next, n_down, n_unpacking;
    Arena config_arena; /* the pool's */
    ImageConfig config;
    bool configured;

    bool working; /* in the pool, with: */
    PullStep step;
    Err err;
    bool ended, told;
    Source *tell; /* tells that, or: */
    LoopTask task;
    Err why;
};

/* One layer being unpacked. */
struct RegUnpack {
    Registry *reg; /* NULL once it is gone */
    RegistryPull *pull;
    ImageStore *store;
    PullBlob *blob;
    Digest digest, diff_id;
    bool fresh; /* though it may be there */
    RegUnpack *next;
    Err err;
};

static void work(RegistryPull *p, PullStep step);
static void ask_manifest(RegistryPull *p);
static void unpack_what_can(RegistryPull *p);

/* ---- the end ---- */

static void stop(RegistryPull *p)
{
    p->call = reg_call_cancel(p->call);
    p->verify = reg_verify_cancel(p->verify);
    for (unsigned i = 0; i < p->n_blobs; i++)
        reg_unwant(&p->blobs[i].want);
    for (unsigned i = 0; i < p->n_sessions; i++)
        p->sessions[i].fetch = fetch_cancel(p->sessions[i].fetch);
}

static void pull_free(RegistryPull *p)
{
    for (unsigned i = 0; i < p->n_sessions; i++)
        reg_session_end(&p->sessions[i]);
    closep(&p->hold);
    if (p->spec.guard.free)
        p->spec.guard.free(p->spec.guard.ctx);
    arena_free(&p->config_arena);
    arena_free(&p->arena);
    free(p);
}

static void unlink_pull(RegistryPull *p)
{
    for (RegistryPull **at = &p->reg->pulls; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    p->reg = NULL;
}

static void deliver(void *ctx)
{
    RegistryPull *p = ctx;
    RegistryPulled got = { 0 };
    bool ok = !p->why.code;

    unlink_pull(p);
    p->tell = source_free(p->tell);
    if (ok) {
        got.resolved = p->docs[0].digest;
        got.manifest = p->docs[p->n_docs - 1].digest;
        got.endpoint = p->sessions[p->at].base;
    }
    closep(&p->hold);
    p->spec.done(p->spec.ctx, ok ? &got : NULL, ok ? NULL : &p->why);
    pull_free(p);
}

/* Once nothing of it is in the pool. */
static void settle(RegistryPull *p)
{
    if (p->working || p->n_unpacking)
        return;
    if (!p->reg)
        pull_free(p);
    else if (p->ended && !p->told) {
        p->told = true;
        /* A timer, as a loop may have nothing else to wait for; a task where there is no memory. */
        p->task = (LoopTask){ .fn = deliver, .ctx = p };
        if (loop_add_timer(p->reg->loop, 0, 0, deliver, p, &p->tell, NULL) < 0)
            loop_post_task(p->reg->loop, &p->task);
    }
}

static void end(RegistryPull *p, const Err *why)
{
    if (p->ended)
        return;
    p->ended = true;
    if (why) {
        char text[IMAGE_REF_SIZE];

        p->why = *why;
        err_wrap(&p->why, "pull %s", image_ref_format(&p->spec.ref, text));
    }
    stop(p);
    settle(p);
}

RegistryPull *registry_pull_cancel(RegistryPull *p)
{
    if (!p)
        return NULL;
    loop_task_cancel(p->reg->loop, &p->task);
    p->tell = source_free(p->tell);
    stop(p);
    unlink_pull(p);
    p->ended = true;
    settle(p);
    return NULL;
}

/* ---- progress ---- */

static void show(PullBlob *b, RegistryBlobState state, uint64_t bytes)
{
    RegistryPull *p = b->pull;

    if (!p->spec.progress || p->ended)
        return;
    RegistryProgress now = { .index = b->index,
                             .count = p->n_blobs,
                             .digest = b->digest,
                             .bytes = bytes,
                             .total = b->size,
                             .state = state };
    p->spec.progress(p->spec.ctx, &now);
}

static void on_moved(void *ctx, RegWant *w, RegistryBlobState state, uint64_t bytes)
{
    show(ctx, state, bytes);
}

/* ---- layers ---- */

static bool is_being_unpacked(const Registry *r, const Digest *diff_id)
{
    for (const RegUnpack *u = r->unpacks; u; u = u->next)
        if (digest_eq(&u->diff_id, diff_id))
            return true;
    return false;
}

static void do_unpack(void *ctx)
{
    RegUnpack *u = ctx;

    if (u->fresh || !path_exists(u->store->layers_fd, digest_hex(&u->diff_id)))
        (void)!layer_unpack(u->store, &u->digest, &u->diff_id, &u->err);
    if (u->err.code == ERR_NONE || !blob_drop_damaged(u->store, &u->digest))
        return;
    err_set(&u->err, ERR_CORRUPT, 0, "blob %s was damaged, and is removed: pull again",
            u->digest.text);
}

static void forget_unpack(RegUnpack *u)
{
    for (RegUnpack **at = &u->reg->unpacks; *at; at = &(*at)->next)
        if (*at == u) {
            *at = u->next;
            break;
        }
    u->reg->n_unpacks--;
}

void registry_forget_unpacks(Registry *r)
{
    for (RegUnpack *u = r->unpacks; u; u = u->next)
        u->reg = NULL;
    r->unpacks = NULL;
}

static void unpack_done(void *ctx)
{
    RegUnpack *u = ctx;
    Registry *r = u->reg;
    RegistryPull *p = u->pull;
    Err err = u->err;

    p->n_unpacking--;
    u->blob->unpacking = false;
    u->blob->ready = !err.code;
    if (r)
        forget_unpack(u);
    if (!p->ended && !err.code)
        show(u->blob, u->blob->existed ? REGISTRY_EXISTS : REGISTRY_DONE, u->blob->size);
    free(u);
    if (p->ended)
        settle(p);
    else if (err.code)
        end(p, &err);
    /* There is room for one more, of whichever pull. */
    for (RegistryPull *q = r ? r->pulls : NULL, *next; q; q = next) {
        next = q->next;
        unpack_what_can(q);
    }
}

static int unpack(RegistryPull *p, PullBlob *b, const Digest *diff_id, Err *err)
{
    RegUnpack *u = calloc(1, sizeof *u);

    if (!u)
        return err_nomem(err);
    *u = (RegUnpack){ .reg = p->reg,
                      .pull = p,
                      .store = p->store,
                      .blob = b,
                      .digest = b->digest,
                      .diff_id = *diff_id,
                      .fresh = b->fresh_layer,
                      .next = p->reg->unpacks };
    if (reg_work(p->reg, do_unpack, unpack_done, u, err) < 0) {
        free(u);
        return -(int)ERR_NOMEM;
    }
    p->reg->unpacks = u;
    p->reg->n_unpacks++;
    p->n_unpacking++;
    b->unpacking = true;
    show(b, REGISTRY_UNPACKING, b->size);
    return 0;
}

static void unpack_what_can(RegistryPull *p)
{
    bool all = true;
    Err err = { 0 };

    if (p->ended || !p->configured)
        return;
    for (unsigned i = 1; i < p->n_blobs; i++) {
        PullBlob *b = &p->blobs[i];
        const Digest *diff_id = &p->config.diff_ids[i - 1];

        if (b->ready)
            continue;
        all = false;
        if (!p->blobs[b->same].here || b->unpacking || p->reg->n_unpacks >= REGISTRY_UNPACKS_MAX ||
            is_being_unpacked(p->reg, diff_id))
            continue;
        if (unpack(p, b, diff_id, &err) < 0) {
            end(p, &err);
            return;
        }
    }
    if (all && !p->working)
        work(p, PULL_NAME);
}

/* ---- blobs ---- */

static void want_more(RegistryPull *p);

static bool other_may_have_it(const Err *why)
{
    return why->code != ERR_NOMEM && !(why->code == ERR_SYS && why->sys == ENOSPC);
}

/* Those share a download who have shown the same to the same repository. */
static void put_tag(RegistryPull *p, const RegSession *s, char tag[static BLOB_TAG_SIZE])
{
    uint8_t sum[32] = { 0 };
    StrView text = arena_printf(&p->arena, "%.*s %.*s %.*s", SV_FMT(s->base),
                                SV_FMT(s->endpoint->path), SV_FMT(p->spec.guard.trust));

    /* Without memory for it: shared with nobody's bytes but those of this pull. */
    if (!text.ptr || EVP_Digest(text.ptr, text.len, sum, NULL, EVP_sha256(), NULL) != 1)
        memcpy(sum, &p, sizeof p);
    hex_encode(sum, (BLOB_TAG_SIZE - 1) / 2, tag);
    tag[BLOB_TAG_SIZE - 1] = 0;
}

static void want_from(PullBlob *b, unsigned endpoint)
{
    RegistryPull *p = b->pull;

    b->endpoint = endpoint;
    b->want.session = &p->sessions[endpoint];
    if (b->fresh)
        put_tag(p, b->want.session, b->want.tag);
}

static void on_blob(void *ctx, RegWant *w, bool existed, const Err *why)
{
    PullBlob *b = ctx;
    RegistryPull *p = b->pull;
    Err err = { 0 };

    if (why && b->endpoint + 1 < p->n_sessions && other_may_have_it(why)) {
        want_from(b, b->endpoint + 1);
        if (reg_want(w, &b->digest, b->size, &err) < 0)
            end(p, &err);
        return;
    }
    if (why) {
        err = *why;
        if (err.code == ERR_NOT_FOUND && p->manifest.has_urls)
            err_set(&err, ERR_UNSUPPORTED, 0,
                    "layer %s is not at the registry but at URLs of its manifest, which are not "
                    "fetched",
                    b->digest.text);
        end(p, &err);
        return;
    }
    b->here = true;
    b->existed = existed;
    p->n_down--;
    show(b, b->index ? REGISTRY_WAITING : existed ? REGISTRY_EXISTS : REGISTRY_DONE, b->size);
    if (b->index == 0)
        work(p, PULL_CONFIG);
    else
        unpack_what_can(p);
    want_more(p);
}

static void want_more(RegistryPull *p)
{
    Err err = { 0 };

    while (!p->ended && p->n_down < REGISTRY_PARALLEL && p->n_next < p->n_blobs) {
        PullBlob *b = &p->blobs[p->n_next++];

        if (b->same != b->index)
            continue;
        b->want = (RegWant){ .moved = on_moved, .done = on_blob, .ctx = b };
        want_from(b, p->at);
        p->n_down++;
        if (reg_want(&b->want, &b->digest, b->size, &err) < 0)
            end(p, &err);
    }
}

static int list_blobs(RegistryPull *p, Err *err)
{
    const Manifest *m = &p->manifest.image;

    p->blobs = arena_array(&p->arena, PullBlob, m->layers_len + 1u);
    if (!p->blobs)
        return err_nomem(err);
    for (unsigned i = 0; i <= m->layers_len; i++) {
        PullBlob *b = &p->blobs[i];

        *b = (PullBlob){ .pull = p, .index = i, .same = i };
        b->digest = i ? m->layers[i - 1].digest : m->config;
        b->size = i ? m->layers[i - 1].size : m->config_size;
        b->fresh = p->fresh && p->fresh[i];
        if (i == 0 && b->size > IMAGE_CONFIG_MAX)
            return err_set(err, ERR_LIMIT, 0,
                           "the configuration has %llu bytes, at most %d are taken",
                           (unsigned long long)b->size, IMAGE_CONFIG_MAX);
        if (b->size > IMAGE_BLOB_MAX)
            return err_set(err, ERR_LIMIT, 0, "layer %u has %llu bytes, at most %llu are taken", i,
                           (unsigned long long)b->size, (unsigned long long)IMAGE_BLOB_MAX);
        for (unsigned k = 1; k < i && b->same == i; k++)
            if (digest_eq(&p->blobs[k].digest, &b->digest))
                b->same = k;
        p->n_blobs = i + 1;
    }
    for (unsigned i = 0; i < p->n_blobs; i++)
        show(&p->blobs[i], REGISTRY_WAITING, 0);
    return 0;
}

/* ---- manifests ---- */

static int digest_of(StrView text, Digest *ret, Err *err)
{
    uint8_t sum[32];

    if (EVP_Digest(text.ptr, text.len, sum, NULL, EVP_sha256(), NULL) != 1)
        return err_set(err, ERR_SYS, 0, "SHA-256 failed");
    digest_from_bytes(sum, ret);
    return 0;
}

/* Is this what was asked for? */
static int check_document(RegistryPull *p, const RegAnswer *a, Digest *ret, Err *err)
{
    StrView said = reg_answer_header(a, SV("docker-content-digest"));
    const char *want = p->asked.text;
    int r = digest_of(a->body, ret, err);

    if (r < 0)
        return r;
    if (*want && strcmp(want, ret->text) != 0)
        return err_set(err, ERR_CORRUPT, 0, "%.*s: the manifest that came has digest %s",
                       SV_FMT(sv_head(a->url, 250)), ret->text);
    if (!*want && said.len && sv_starts(said, SV("sha256:")) && !sv_eq(said, sv_cstr(ret->text)))
        return err_set(err, ERR_CORRUPT, 0, "%.*s: it says the digest is %.*s, and it is %s",
                       SV_FMT(sv_head(a->url, 200)), SV_FMT(sv_head(said, 80)), ret->text);
    if (p->n_docs && a->body.len != p->asked_size)
        return err_set(err, ERR_CORRUPT, 0, "manifest %s has %zu bytes, the index says %llu", want,
                       a->body.len, (unsigned long long)p->asked_size);
    return 0;
}

static int take_document(RegistryPull *p, const RegAnswer *a, Err *err)
{
    PullDoc doc;
    int r = check_document(p, a, &doc.digest, err);

    if (r < 0)
        return r;
    if (p->n_docs == DOCS_MAX - 1)
        return err_set(err, ERR_LIMIT, 0, "indexes are nested more than %d deep", INDEX_DEPTH_MAX);
    doc.text = arena_sv(&p->arena, a->body);
    if (!doc.text.ptr)
        return err_nomem(err);
    r = reg_manifest_parse(doc.text, reg_answer_header(a, SV("content-type")), &p->platform,
                           &p->arena, &p->manifest, err);
    if (r < 0)
        return r;
    p->docs[p->n_docs++] = doc;
    return 0;
}

/* All of it from the next endpoint, if there is one. */
static void not_here(RegistryPull *p, const Err *why)
{
    if (p->at + 1 >= p->n_sessions || why->code == ERR_NOMEM) {
        end(p, why);
        return;
    }
    p->at++;
    p->n_docs = 0;
    p->asked = p->spec.ref.digest;
    ask_manifest(p);
}

static void on_verified(void *ctx, const Err *err)
{
    RegistryPull *p = ctx;

    p->verify = NULL;
    if (err)
        not_here(p, err);
    else
        work(p, PULL_STORE);
}

/* Nothing is kept of an image before the policy has accepted it. */
static void judge(RegistryPull *p)
{
    const PolicyRules *rules =
        p->spec.policy ? image_policy_for(p->spec.policy, &p->spec.ref) : NULL;
    bool wants = false;
    Err err = { 0 };

    for (unsigned i = 0; rules && i < rules->len; i++)
        wants |= rules->items[i].kind == POLICY_SIGNED;
    if (!wants)
        work(p, PULL_STORE);
    else if (reg_verify(&p->sessions[p->at], rules, &p->spec.ref, &p->docs[0].digest,
                        &p->docs[p->n_docs - 1].digest, on_verified, p, &p->verify, &err) < 0)
        end(p, &err);
}

static void on_manifest(void *ctx, const RegAnswer *a)
{
    RegistryPull *p = ctx;
    Err err = { 0 };

    p->call = NULL;
    if (a->err) {
        not_here(p, a->err);
    } else if (take_document(p, a, &err) < 0) {
        not_here(p, &err);
    } else if (p->manifest.is_index) {
        p->asked = p->manifest.chosen;
        p->asked_size = p->manifest.chosen_size;
        ask_manifest(p);
    } else {
        judge(p);
    }
}

static void ask_manifest(RegistryPull *p)
{
    RegSession *s = &p->sessions[p->at];
    const HttpHeader accept = { SV("accept"), sv_cstr(reg_manifest_accept) };
    Err err = { 0 };
    StrView url =
        arena_printf(&p->arena, "%.*s/%.*s/manifests/%s", SV_FMT(s->base),
                     SV_FMT(s->endpoint->path), p->asked.text[0] ? p->asked.text : p->spec.ref.tag);
    RegCallSpec spec = { .url = url,
                         .headers = &accept,
                         .n_headers = 1,
                         .body_max = IMAGE_MANIFEST_MAX,
                         .done = on_manifest,
                         .ctx = p };

    if (!url.ptr)
        err_nomem(&err);
    if (err.code || reg_call(s, &spec, &p->call, &err) < 0)
        end(p, &err);
}

/* ---- the pool ---- */

static bool is_fresh(const RegistryPull *p, const Digest *d)
{
    return p->spec.guard.may_reuse && !p->spec.guard.may_reuse(p->spec.guard.ctx, d);
}

static int ask_guard(RegistryPull *p, Err *err)
{
    const Manifest *m = &p->manifest.image;

    if (!p->spec.guard.may_reuse)
        return 0;
    p->fresh = arena_array(&p->arena, bool, m->layers_len + 1u);
    if (!p->fresh)
        return err_nomem(err);
    p->fresh[0] = is_fresh(p, &m->config);
    for (unsigned i = 0; i < m->layers_len; i++)
        p->fresh[i + 1] = is_fresh(p, &m->layers[i].digest);
    return 0;
}

static int do_store(RegistryPull *p, Err *err)
{
    for (unsigned i = 0; i < p->n_docs; i++) {
        Digest got;
        int r = blob_put(p->store, p->docs[i].text, &got, err);

        if (r < 0)
            return r;
    }
    return ask_guard(p, err);
}

static int do_config(RegistryPull *p, Err *err)
{
    unsigned layers = p->n_blobs - 1;
    int r =
        image_config(p->store, &p->docs[p->n_docs - 1].digest, &p->config_arena, &p->config, err);

    if (r < 0)
        return r;
    if (p->config.diff_ids_len != layers)
        return err_set(err, ERR_INVALID, 0, "the manifest has %u layers, the config %u diff-ids",
                       layers, p->config.diff_ids_len);
    for (unsigned i = 1; i <= layers; i++)
        p->blobs[i].fresh_layer = is_fresh(p, &p->config.diff_ids[i - 1]);
    return 0;
}

static int do_name(RegistryPull *p, Err *err)
{
    const RegistryGuard *g = &p->spec.guard;
    int r = g->admit ? g->admit(g->ctx, &p->manifest.image.config, err) : 0;

    return r < 0 ? r : image_add(p->store, &p->docs[p->n_docs - 1].digest, &p->spec.ref, err);
}

/* Whether the policy forbids it whatever it is. */
static int check_forbidden(const RegistryPull *p, Err *err)
{
    const PolicyRules *rules =
        p->spec.policy ? image_policy_for(p->spec.policy, &p->spec.ref) : NULL;

    for (unsigned i = 0; rules && i < rules->len; i++)
        if (rules->items[i].kind == POLICY_REJECT)
            return err_set(err, ERR_DENIED, 0, "the policy rejects images of this name");
    return 0;
}

static void do_step(void *ctx)
{
    RegistryPull *p = ctx;

    switch (p->step) {
    case PULL_PREPARE:
        if (image_store_hold(p->store, &p->hold, &p->err) >= 0)
            (void)!reg_options_load(&p->spec.options, p->endpoints, p->n_endpoints, &p->arena,
                                    &p->err);
        break;
    case PULL_STORE:
        (void)!do_store(p, &p->err);
        break;
    case PULL_CONFIG:
        (void)!do_config(p, &p->err);
        break;
    case PULL_NAME:
        (void)!do_name(p, &p->err);
        break;
    }
}

static int begin_sessions(RegistryPull *p, Err *err)
{
    p->sessions = arena_array(&p->arena, RegSession, p->n_endpoints);
    if (!p->sessions)
        return err_nomem(err);
    while (p->n_sessions < p->n_endpoints) {
        unsigned i = p->n_sessions++;
        int r = reg_session_init(&p->sessions[i], p->reg, &p->endpoints[i], &p->spec.options,
                                 "pull", &p->arena, err);

        if (r < 0)
            return r;
    }
    return 0;
}

static void step_done(void *ctx)
{
    RegistryPull *p = ctx;
    Err err = p->err;

    p->working = false;
    if (p->ended) {
        settle(p);
        return;
    }
    if (!err.code && p->step == PULL_PREPARE && check_forbidden(p, &err) >= 0)
        (void)!begin_sessions(p, &err);
    if (!err.code && p->step == PULL_STORE)
        (void)!list_blobs(p, &err);
    if (err.code) {
        end(p, &err);
        return;
    }
    switch (p->step) {
    case PULL_PREPARE:
        ask_manifest(p);
        break;
    case PULL_STORE:
        want_more(p);
        break;
    case PULL_CONFIG:
        p->configured = true;
        unpack_what_can(p);
        break;
    case PULL_NAME:
        end(p, NULL);
        break;
    }
}

static void work(RegistryPull *p, PullStep step)
{
    Err err = { 0 };

    p->step = step;
    p->err = err;
    p->working = true;
    if (reg_work(p->reg, do_step, step_done, p, &err) < 0) {
        p->working = false;
        end(p, &err);
    }
}

/* ---- the begin ---- */

static int copy_guard(RegistryPull *p, const RegistryGuard *from, RegistryGuard *ret, Err *err)
{
    *ret = *from;
    ret->trust = arena_sv(&p->arena, from->trust);
    return from->trust.len && !ret->trust.ptr ? err_nomem(err) : 0;
}

int registry_pull(Registry *r, const RegistryPullSpec *spec, RegistryPull **ret, Err *err)
{
    RegistryPull *p = calloc(1, sizeof *p);
    RegistryGuard guard;
    int e;

    if (!p)
        return err_nomem(err);
    arena_init(&p->arena, ARENA_DEFAULT_LIMIT);
    arena_init(&p->config_arena, ARENA_DEFAULT_LIMIT);
    p->store = r->store;
    p->hold = -1;
    p->spec = *spec;
    p->spec.guard = (RegistryGuard){ 0 }; /* the caller's until all is well */
    p->asked = spec->ref.digest;
    if ((e = reg_options_copy(&spec->options, &p->arena, &p->spec.options, err)) < 0 ||
        (e = registry_endpoints(r->config, &p->spec.ref, &p->arena, &p->endpoints, &p->n_endpoints,
                                err)) < 0 ||
        (e = copy_guard(p, &spec->guard, &guard, err)) < 0) {
        pull_free(p);
        return e;
    }
    p->platform = reg_platform(&p->spec.options);
    p->reg = r;
    p->next = r->pulls;
    r->pulls = p;
    p->working = true; /* in any case told later */
    p->step = PULL_PREPARE;
    if ((e = reg_work(r, do_step, step_done, p, err)) < 0) {
        unlink_pull(p);
        pull_free(p);
        return e;
    }
    p->spec.guard = guard;
    *ret = p;
    return 0;
}
