/* registry_push.c - an image that goes: each blob that the registry has not got (HEAD) is sent in
 * one piece (POST for a place, PUT with the bytes), some at a time; the manifest comes last, so
 * that a push that breaks leaves nothing by that name. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "image/registry_internal.h"

enum {
    PUSH_PARALLEL = 3,
    PUSH_CHUNK = 256 * 1024,
    PUSH_TRIES = 3,
    PUSH_RETRY_MS = 1000,
    TELL_NS = 100 * 1000 * 1000,
};

typedef struct PushBlob {
    RegistryPush *push;
    unsigned index;
    Digest digest;
    uint64_t size, sent;
    unsigned tries;
    RegCall *call;
    Source *timer;
    bool done, reading;
    int fd;
    uint8_t *chunk;
    ssize_t got;
    Err err;
    int64_t told_ns;
} PushBlob;

struct RegistryPush {
    Registry *reg; /* NULL once it is cancelled */
    ImageStore *store;
    RegistryPush *next;
    Arena arena;
    RegistryPushSpec spec;
    RegistryEndpoint endpoint;
    RegSession session;
    bool has_session;
    int hold;
    StrView text, media; /* of the manifest */
    PushBlob *blobs;
    unsigned n_blobs, n_next, n_busy, n_reading;
    RegCall *call; /* of the manifest */
    bool working, ended, told;
    Source *tell; /* tells that, or: */
    LoopTask task;
    Err err, why;
};

static void push_more(RegistryPush *p);
static void begin_blob(PushBlob *b);

/* ---- the end ---- */

static void stop(RegistryPush *p)
{
    p->call = reg_call_cancel(p->call);
    for (unsigned i = 0; i < p->n_blobs; i++) {
        p->blobs[i].call = reg_call_cancel(p->blobs[i].call);
        p->blobs[i].timer = source_free(p->blobs[i].timer);
    }
    if (p->has_session)
        p->session.fetch = fetch_cancel(p->session.fetch);
}

static void push_free(RegistryPush *p)
{
    for (unsigned i = 0; i < p->n_blobs; i++) {
        closep(&p->blobs[i].fd);
        free(p->blobs[i].chunk);
    }
    if (p->has_session)
        reg_session_end(&p->session);
    closep(&p->hold);
    arena_free(&p->arena);
    free(p);
}

static void unlink_push(RegistryPush *p)
{
    for (RegistryPush **at = &p->reg->pushes; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    p->reg = NULL;
}

static void deliver(void *ctx)
{
    RegistryPush *p = ctx;
    bool ok = !p->why.code;

    unlink_push(p);
    p->tell = source_free(p->tell);
    p->spec.done(p->spec.ctx, ok ? &p->spec.manifest : NULL, ok ? NULL : &p->why);
    push_free(p);
}

static void settle(RegistryPush *p)
{
    if (p->working || p->n_reading)
        return;
    if (!p->reg) {
        push_free(p);
    } else if (p->ended && !p->told) {
        p->told = true;
        /* A timer, as a loop may have nothing else to wait for; a task where there is no memory. */
        p->task = (LoopTask){ .fn = deliver, .ctx = p };
        if (loop_add_timer(p->reg->loop, 0, 0, deliver, p, &p->tell, NULL) < 0)
            loop_post_task(p->reg->loop, &p->task);
    }
}

static void end(RegistryPush *p, const Err *why)
{
    char text[IMAGE_REF_SIZE];

    if (p->ended)
        return;
    p->ended = true;
    if (why) {
        p->why = *why;
        err_wrap(&p->why, "push %s", image_ref_format(&p->spec.to, text));
    }
    stop(p);
    settle(p);
}

RegistryPush *registry_push_cancel(RegistryPush *p)
{
    if (!p)
        return NULL;
    loop_task_cancel(p->reg->loop, &p->task);
    p->tell = source_free(p->tell);
    stop(p);
    unlink_push(p);
    p->ended = true;
    settle(p);
    return NULL;
}

/* ---- one blob ---- */

static void show(PushBlob *b, RegistryBlobState state)
{
    RegistryPush *p = b->push;
    RegistryProgress now = { .index = b->index,
                             .count = p->n_blobs,
                             .digest = b->digest,
                             .bytes = state == REGISTRY_EXISTS ? b->size : b->sent,
                             .total = b->size,
                             .state = state };

    if (p->spec.progress && !p->ended)
        p->spec.progress(p->spec.ctx, &now);
}

static void blob_done(PushBlob *b, RegistryBlobState state)
{
    b->done = true;
    b->push->n_busy--;
    if (!b->reading)
        closep(&b->fd);
    show(b, state);
    push_more(b->push);
}

static void on_retry(void *ctx)
{
    PushBlob *b = ctx;

    if (b->reading) /* what the last try still has in the pool */
        return;
    b->timer = source_free(b->timer);
    begin_blob(b);
}

static void blob_failed(PushBlob *b, const Err *why)
{
    RegistryPush *p = b->push;
    Err err = *why;
    bool may = why->code == ERR_BUSY || why->code == ERR_CLOSED || why->code == ERR_TIMEOUT ||
               why->code == ERR_SYS || why->code == ERR_UNAUTHENTICATED;

    if (may && ++b->tries < PUSH_TRIES && !p->ended) {
        show(b, REGISTRY_RETRYING);
        if (loop_add_timer(p->reg->loop, (uint64_t)PUSH_RETRY_MS << b->tries, PUSH_RETRY_MS,
                           on_retry, b, &b->timer, &err) >= 0)
            return;
    }
    err_wrap(&err, "blob %s", b->digest.text);
    end(p, &err);
}

static void read_chunk(void *ctx)
{
    PushBlob *b = ctx;

    b->got = 0;
    if (b->fd < 0 && blob_open(b->push->store, &b->digest, &b->fd, &b->err) < 0)
        return;
    do
        b->got = pread(b->fd, b->chunk, PUSH_CHUNK, (off_t)b->sent);
    while (b->got < 0 && errno == EINTR);
    if (b->got <= 0)
        err_set(&b->err, ERR_CORRUPT, b->got < 0 ? errno : 0, "blob %s ends at byte %llu of %llu",
                b->digest.text, (unsigned long long)b->sent, (unsigned long long)b->size);
}

static void chunk_read(void *ctx)
{
    PushBlob *b = ctx;
    RegistryPush *p = b->push;
    Err err = b->err;

    b->reading = false;
    p->n_reading--;
    if (p->ended) {
        settle(p);
        return;
    }
    if (!b->call) /* over meanwhile, and told */
        return;
    if (!err.code && (uint64_t)b->got > b->size - b->sent)
        err_set(&err, ERR_CORRUPT, 0, "blob %s is longer than the manifest says", b->digest.text);
    if (err.code) {
        end(p, &err);
        return;
    }
    if (reg_call_write(b->call, b->chunk, (size_t)b->got, &err) < 0)
        return; /* its end is on the way */
    b->sent += (uint64_t)b->got;
    if (b->sent == b->size)
        reg_call_end(b->call);
    int64_t now = loop_now_ns(p->reg->loop);
    if (now - b->told_ns >= TELL_NS) {
        b->told_ns = now;
        show(b, REGISTRY_MOVING);
    }
}

static void on_drain(void *ctx)
{
    PushBlob *b = ctx;
    RegistryPush *p = b->push;
    Err err = { 0 };

    if (b->reading || b->sent == b->size || p->ended)
        return;
    b->err = err;
    b->reading = true;
    p->n_reading++;
    if (reg_work(p->reg, read_chunk, chunk_read, b, &err) < 0) {
        b->reading = false;
        p->n_reading--;
        end(p, &err);
    }
}

static void on_sent(void *ctx, const RegAnswer *a)
{
    PushBlob *b = ctx;

    b->call = NULL;
    if (a->err)
        blob_failed(b, a->err);
    else
        blob_done(b, REGISTRY_DONE);
}

/* Where the registry wants the bytes: its address with the digest added. */
static void on_place(void *ctx, const RegAnswer *a)
{
    PushBlob *b = ctx;
    RegistryPush *p = b->push;
    StrView to = reg_answer_header(a, SV("location"));
    char length[32];
    Err err = { 0 };

    b->call = NULL;
    if (a->err) {
        blob_failed(b, a->err);
        return;
    }
    if (!to.len)
        err_set(&err, ERR_PROTO, 0, "%.*s: no Location", SV_FMT(sv_head(a->url, 200)));
    StrView url = reg_resolve(&p->arena, a->url, to);
    url = arena_printf(&p->arena, "%.*s%sdigest=%s", SV_FMT(url),
                       sv_find_char(url, '?') < 0 ? "?" : "&", b->digest.text);
    if (!err.code && !url.ptr)
        err_nomem(&err);
    snprintf(length, sizeof length, "%llu", (unsigned long long)b->size);
    const HttpHeader h[] = { { SV("content-type"), SV("application/octet-stream") },
                             { SV("content-length"), sv_cstr(length) } };
    b->sent = 0;
    show(b, REGISTRY_MOVING);
    RegCallSpec spec = { .method = SV("PUT"),
                         .url = url,
                         .headers = h,
                         .n_headers = 2,
                         .streams = true,
                         .on_drain = on_drain,
                         .done = on_sent,
                         .ctx = b };
    if (err.code || reg_call(&p->session, &spec, &b->call, &err) < 0)
        end(p, &err);
    else if (b->size == 0)
        reg_call_end(b->call);
}

static StrView blob_url(PushBlob *b, const char *more)
{
    RegSession *s = &b->push->session;

    return arena_printf(&b->push->arena, "%.*s/%.*s/blobs/%s", SV_FMT(s->base),
                        SV_FMT(s->endpoint->path), more);
}

static void on_looked(void *ctx, const RegAnswer *a)
{
    PushBlob *b = ctx;
    RegistryPush *p = b->push;
    Err err = { 0 };

    b->call = NULL;
    if (!a->err) {
        blob_done(b, REGISTRY_EXISTS);
        return;
    }
    if (a->err->code != ERR_NOT_FOUND) {
        blob_failed(b, a->err);
        return;
    }
    RegCallSpec spec = {
        .method = SV("POST"), .url = blob_url(b, "uploads/"), .done = on_place, .ctx = b
    };
    if (!spec.url.ptr)
        err_nomem(&err);
    if (err.code || reg_call(&p->session, &spec, &b->call, &err) < 0)
        end(p, &err);
}

static void begin_blob(PushBlob *b)
{
    RegistryPush *p = b->push;
    Err err = { 0 };
    RegCallSpec spec = {
        .method = SV("HEAD"), .url = blob_url(b, b->digest.text), .done = on_looked, .ctx = b
    };

    if (!b->chunk)
        b->chunk = malloc(PUSH_CHUNK);
    if (!b->chunk || !spec.url.ptr)
        err_nomem(&err);
    if (err.code || reg_call(&p->session, &spec, &b->call, &err) < 0)
        end(p, &err);
}

/* ---- the manifest ---- */

static void on_named(void *ctx, const RegAnswer *a)
{
    RegistryPush *p = ctx;
    StrView said = reg_answer_header(a, SV("docker-content-digest"));
    Err err = { 0 };

    p->call = NULL;
    if (!a->err && said.len && !sv_eq(said, sv_cstr(p->spec.manifest.text)))
        err_set(&err, ERR_CORRUPT, 0, "the registry has stored it as %.*s instead of %s",
                SV_FMT(sv_head(said, 80)), p->spec.manifest.text);
    end(p, a->err ? a->err : err.code ? &err : NULL);
}

static void push_manifest(RegistryPush *p)
{
    const HttpHeader type = { SV("content-type"), p->media };
    Err err = { 0 };
    RegCallSpec spec = {
        .method = SV("PUT"),
        .url = arena_printf(&p->arena, "%.*s/%.*s/manifests/%s", SV_FMT(p->session.base),
                            SV_FMT(p->endpoint.path),
                            p->spec.to.tag[0] ? p->spec.to.tag : p->spec.manifest.text),
        .headers = &type,
        .n_headers = 1,
        .body = p->text,
        .done = on_named,
        .ctx = p,
    };

    if (!spec.url.ptr)
        err_nomem(&err);
    if (err.code || reg_call(&p->session, &spec, &p->call, &err) < 0)
        end(p, &err);
}

static void push_more(RegistryPush *p)
{
    /* The first one alone: the others then have its token. */
    unsigned most = p->n_next && p->blobs[0].done ? PUSH_PARALLEL : 1;

    while (!p->ended && p->n_busy < most && p->n_next < p->n_blobs) {
        PushBlob *b = &p->blobs[p->n_next++];

        p->n_busy++;
        begin_blob(b);
    }
    if (!p->ended && p->n_busy == 0 && p->n_next == p->n_blobs)
        push_manifest(p);
}

/* ---- the begin ---- */

static int list_blobs(RegistryPush *p, const Manifest *m, Err *err)
{
    p->blobs = arena_array(&p->arena, PushBlob, m->layers_len + 1u);
    if (!p->blobs)
        return err_nomem(err);
    for (unsigned i = 0; i <= m->layers_len; i++) {
        PushBlob *b = &p->blobs[p->n_blobs];
        const Digest *d = i ? &m->layers[i - 1].digest : &m->config;
        bool twice = false;

        for (unsigned k = 0; k < p->n_blobs; k++)
            twice |= digest_eq(&p->blobs[k].digest, d);
        if (twice)
            continue;
        *b = (PushBlob){ .push = p, .index = p->n_blobs++, .digest = *d, .fd = -1 };
        b->size = i ? m->layers[i - 1].size : m->config_size;
    }
    return 0;
}

static int load_manifest(RegistryPush *p, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Manifest m;
    Value doc;
    int r = blob_read(p->store, &p->spec.manifest, IMAGE_MANIFEST_MAX, &text, err);

    if (r < 0)
        return r;
    p->text = arena_sv(&p->arena, buf_view(&text));
    if (!p->text.ptr)
        return err_nomem(err);
    if ((r = json_decode(p->text, &p->arena, NULL, &doc, err)) < 0 ||
        (r = manifest_parse(&doc, &p->arena, &m, err)) < 0)
        return err_wrap(err, "manifest %s", p->spec.manifest.text);
    p->media = value_str(value_get(&doc, SV("mediaType")));
    if (!p->media.len)
        p->media = SV("application/vnd.oci.image.manifest.v1+json");
    return list_blobs(p, &m, err);
}

static void do_prepare(void *ctx)
{
    RegistryPush *p = ctx;

    if (image_store_hold(p->store, &p->hold, &p->err) >= 0 && load_manifest(p, &p->err) >= 0)
        (void)!reg_options_load(&p->spec.options, &p->endpoint, 1, &p->arena, &p->err);
}

static void prepared(void *ctx)
{
    RegistryPush *p = ctx;
    Err err = p->err;

    p->working = false;
    if (p->ended) {
        settle(p);
        return;
    }
    if (!err.code) {
        p->has_session = true;
        (void)!reg_session_init(&p->session, p->reg, &p->endpoint, &p->spec.options, "pull,push",
                                &p->arena, &err);
    }
    if (err.code) {
        end(p, &err);
        return;
    }
    for (unsigned i = 0; i < p->n_blobs; i++)
        show(&p->blobs[i], REGISTRY_WAITING);
    push_more(p);
}

int registry_push(Registry *r, const RegistryPushSpec *spec, RegistryPush **ret, Err *err)
{
    RegistryPush *p;
    int e;

    if (spec->to.digest.text[0] && !digest_eq(&spec->to.digest, &spec->manifest))
        return err_set(err, ERR_INVALID, 0,
                       "the name to push to has another digest than the image");
    p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    arena_init(&p->arena, ARENA_DEFAULT_LIMIT);
    p->store = r->store;
    p->hold = -1;
    p->spec = *spec;
    if ((e = reg_options_copy(&spec->options, &p->arena, &p->spec.options, err)) < 0 ||
        (e = registry_endpoint(r->config, &p->spec.to, &p->arena, &p->endpoint, err)) < 0) {
        push_free(p);
        return e;
    }
    p->reg = r;
    p->next = r->pushes;
    r->pushes = p;
    p->working = true;
    if ((e = reg_work(r, do_prepare, prepared, p, err)) < 0) {
        unlink_push(p);
        push_free(p);
        return e;
    }
    *ret = p;
    return 0;
}
