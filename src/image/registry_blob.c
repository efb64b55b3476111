/* registry_blob.c - one blob that is downloaded, once for everybody of this client who wants it.
 *
 * The bytes go from the loop into a buffer, and from there, in the pool, through the hash into the
 * part file; a buffer that fills faster than it is written makes the registry wait. A connection
 * that breaks is carried on with behind the last byte, as is what an earlier process left. The
 * session of whoever came first is used; where that fails or leaves, the next one's. */
#include <stdio.h>

#include "base/clock.h"
#include "image/registry_internal.h"

enum {
    FILL_HIGH = 2 * 1024 * 1024, /* the registry waits */
    FILL_LOW = 512 * 1024,
    FLUSH_MIN = 256 * 1024,   /* worth a turn of the pool while more is coming */
    PROGRESS_MIN = 64 * 1024, /* what a connection has brought before it broke, to count */
    RETRY_MS = 400,
    OTHER_MS = 150, /* how often somebody else's download is looked at */
    TELL_NS = 100 * 1000 * 1000,
};

typedef enum Step { STEP_OPEN, STEP_WRITE, STEP_RESTART, STEP_COMMIT } Step;

struct RegDownload {
    Registry *reg; /* NULL once it is freed */
    ImageStore *store;
    RegDownload *next;
    Digest digest;
    uint64_t size;
    char tag[BLOB_TAG_SIZE]; /* of all wants */
    RegWant *wants;          /* the first one's session is used */
    RegCall *call;
    Source *timer;
    BlobWriter *writer;
    uint64_t have;   /* received, with what is still in buffers */
    uint64_t last;   /* where the latest try began */
    unsigned tries;  /* without progress */
    Buf fill, flush; /* flush: the pool's */
    bool truncate;   /* the answer begins at the first byte */
    bool resumed, restarted, spoilt;
    bool astray; /* the answer is of another range */
    bool over;   /* the body has ended, or broken off */
    bool paused; /* the call is */
    Err why;     /* it broke */
    bool opened, existed;
    int64_t told_ns;
    unsigned busy; /* callbacks of wants are on the stack */
    bool freed;

    bool working; /* in the pool, with: */
    Step step;
    Err err;
};

static void request(RegDownload *d);
static void spoil(RegDownload *d);
static void work(RegDownload *d, Step step);

/* ---- those who want it ---- */

static void tell(RegDownload *d, RegistryBlobState state)
{
    d->busy++;
    for (RegWant *w = d->wants, *next; w; w = next) {
        next = w->next;
        w->moved(w->ctx, w, state, d->have);
    }
    d->busy--;
}

static void download_free(RegDownload *d)
{
    d->freed = true;
    d->call = reg_call_cancel(d->call);
    d->timer = source_free(d->timer);
    if (d->reg)
        for (RegDownload **at = &d->reg->downloads; *at; at = &(*at)->next)
            if (*at == d) {
                *at = d->next;
                break;
            }
    d->reg = NULL;
    if (d->working || d->busy) /* who has it frees it */
        return;
    blob_writer_leave(d->writer);
    buf_free(&d->fill);
    buf_free(&d->flush);
    free(d);
}

static void enter(RegDownload *d)
{
    d->busy++;
}

/* True: it is gone. */
static bool leave(RegDownload *d)
{
    d->busy--;
    if (d->busy || d->wants)
        return d->freed;
    download_free(d);
    return true;
}

static void tell_done(RegDownload *d, RegWant *w, const Err *err)
{
    d->wants = w->next;
    w->download = NULL;
    w->done(w->ctx, w, d->existed, err);
}

static void succeed(RegDownload *d)
{
    enter(d);
    while (d->wants)
        tell_done(d, d->wants, NULL);
    leave(d);
}

/* Something that is nobody's session's fault. */
static void fail_all(RegDownload *d, const Err *why)
{
    Err copy = *why;

    d->call = reg_call_cancel(d->call);
    enter(d);
    while (d->wants)
        tell_done(d, d->wants, &copy);
    leave(d);
}

/* With the next one's session, once what has come is in the file. */
static void go_on(RegDownload *d)
{
    d->tries = 0;
    d->over = d->working || d->fill.len;
    if (!d->over)
        request(d);
    else if (!d->working)
        work(d, STEP_WRITE);
}

/* The first one's session cannot get it; maybe the next one's can. */
static void fail_first(RegDownload *d, const Err *why)
{
    Err copy = *why;

    d->call = reg_call_cancel(d->call);
    enter(d);
    tell_done(d, d->wants, &copy);
    if (leave(d))
        return;
    go_on(d);
}

/* ---- the registry ---- */

static void on_retry(void *ctx)
{
    RegDownload *d = ctx;

    d->timer = source_free(d->timer);
    request(d);
}

/* The connection broke at some byte. */
static void try_again(RegDownload *d)
{
    Err err = d->why;

    if (!err.code)
        err_set(&err, ERR_CLOSED, 0, "the body ended after %llu of %llu bytes",
                (unsigned long long)d->have, (unsigned long long)d->size);
    if (d->have >= d->last + PROGRESS_MIN)
        d->tries = 0;
    if (++d->tries >= REGISTRY_TRIES) {
        err_wrap(&err, "blob %s", d->digest.text);
        fail_first(d, &err);
        return;
    }
    tell(d, REGISTRY_RETRYING);
    if (loop_add_timer(d->reg->loop, (uint64_t)RETRY_MS << (d->tries - 1), 0, on_retry, d,
                       &d->timer, &err) < 0)
        fail_all(d, &err);
}

/* Whatever was received is in the file. */
static void after_body(RegDownload *d)
{
    d->over = false;
    if (d->have == d->size)
        work(d, STEP_COMMIT);
    else
        try_again(d);
}

static bool on_head(void *ctx, int status, const HttpHeader *headers, unsigned n)
{
    RegDownload *d = ctx;
    char want[64];

    if (status == 200) {
        d->truncate |= d->have > 0;
        d->have = 0;
        return true;
    }
    d->astray = true;
    snprintf(want, sizeof want, "bytes %llu-", (unsigned long long)d->have);
    for (unsigned i = 0; i < n; i++)
        if (sv_eq(headers[i].name, SV("content-range")))
            d->astray = !sv_starts(headers[i].value, sv_cstr(want));
    return true;
}

/* A range that the registry has not got, or another one than was asked for: from the first byte. */
static void no_range(RegDownload *d)
{
    d->call = reg_call_cancel(d->call);
    d->astray = false;
    err_set(&d->why, ERR_PROTO, 0, "the registry answers with another range than was asked for");
    if (d->restarted) {
        try_again(d);
        return;
    }
    d->restarted = true;
    work(d, STEP_RESTART);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    RegDownload *d = ctx;
    Err err = { 0 };

    if (d->astray) {
        no_range(d);
        return;
    }
    if (len > d->size - d->have) {
        err_set(&err, ERR_CORRUPT, 0, "blob %s: more comes than the %llu bytes of the manifest",
                d->digest.text, (unsigned long long)d->size);
        d->call = reg_call_cancel(d->call);
        d->why = err;
        d->spoilt = true;
        if (!d->working)
            spoil(d);
        return;
    }
    buf_append(&d->fill, data, len);
    if (d->fill.failed) {
        err_nomem(&err);
        fail_all(d, &err);
        return;
    }
    d->have += len;
    int64_t now = loop_now_ns(d->reg->loop);
    if (now - d->told_ns >= TELL_NS) {
        d->told_ns = now;
        tell(d, REGISTRY_MOVING);
    }
    if (!d->working && d->fill.len >= FLUSH_MIN)
        work(d, STEP_WRITE);
    if (!d->paused && d->fill.len >= FILL_HIGH && d->working) {
        d->paused = true;
        reg_call_pause(d->call, true);
    }
}

static void on_wait(void *ctx)
{
    tell(ctx, REGISTRY_RETRYING);
}

static void on_answer(void *ctx, const RegAnswer *a)
{
    RegDownload *d = ctx;
    Err err = { 0 };

    d->call = NULL;
    d->why = a->err ? *a->err : err;
    if (d->astray || (a->status == 416 && d->have > 0)) {
        no_range(d);
        return;
    }
    if (a->err && a->status != 200 && a->status != 206) {
        err = *a->err;
        err_wrap(&err, "blob %s", d->digest.text);
        fail_first(d, &err);
        return;
    }
    d->over = true;
    if (d->working)
        return;
    if (d->fill.len)
        work(d, STEP_WRITE);
    else
        after_body(d);
}

static void request(RegDownload *d)
{
    RegSession *s = d->wants->session;
    char range[64];
    Err err = { 0 };
    StrView url = arena_printf(s->arena, "%.*s/%.*s/blobs/%s", SV_FMT(s->base),
                               SV_FMT(s->endpoint->path), d->digest.text);

    snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)d->have);
    const HttpHeader headers[] = { { SV("accept"), SV("*/*") }, { SV("range"), sv_cstr(range) } };
    d->over = d->paused = false;
    d->last = d->have;
    d->why = err;
    tell(d, REGISTRY_MOVING);
    RegCallSpec spec = { .url = url,
                         .headers = headers,
                         .n_headers = d->have ? 2 : 1,
                         .on_head = on_head,
                         .on_data = on_data,
                         .on_wait = on_wait,
                         .done = on_answer,
                         .ctx = d };
    if (!url.ptr)
        err_nomem(&err);
    if (err.code || reg_call(s, &spec, &d->call, &err) < 0)
        fail_all(d, &err);
}

/* ---- the file ---- */

static void do_step(void *ctx)
{
    RegDownload *d = ctx;

    switch (d->step) {
    case STEP_OPEN:
        d->existed = !d->tag[0] && blob_is_kept(d->store, &d->digest, d->size);
        if (!d->existed)
            (void)!blob_writer_resume(d->store, &d->digest, d->tag, &d->writer, &d->have, &d->err);
        break;
    case STEP_WRITE:
        if (d->truncate && blob_writer_restart(d->writer, &d->err) < 0)
            break;
        (void)!blob_writer_write(d->writer, d->flush.ptr, d->flush.len, &d->err);
        break;
    case STEP_RESTART:
        (void)!blob_writer_restart(d->writer, &d->err);
        break;
    case STEP_COMMIT:
        (void)!blob_writer_commit(d->writer, &d->digest, NULL, NULL, &d->err);
        break;
    }
}

static void on_look(void *ctx)
{
    RegDownload *d = ctx;

    d->timer = source_free(d->timer);
    work(d, STEP_OPEN);
}

static void opened(RegDownload *d)
{
    Err err = d->err;

    if (d->existed) {
        d->existed = !d->opened; /* not the one that was waited for */
        succeed(d);
        return;
    }
    if (err.code == ERR_BUSY) {
        d->opened = true;
        tell(d, REGISTRY_WAITING);
        if (loop_add_timer(d->reg->loop, OTHER_MS, 0, on_look, d, &d->timer, &err) < 0)
            fail_all(d, &err);
        return;
    }
    d->resumed = d->have > 0;
    if (d->have > d->size)
        work(d, STEP_RESTART);
    else if (d->have == d->size)
        work(d, STEP_COMMIT);
    else
        request(d);
}

/* Other bytes than the digest's: once more from the first one where not all came in one piece, else
 * what the first one's session got is no good. */
static void spoil(RegDownload *d)
{
    Err err = d->why;

    d->spoilt = false;
    buf_clear(&d->fill);
    if (d->resumed && !d->restarted) {
        d->restarted = true;
        work(d, STEP_RESTART);
        return;
    }
    d->writer = blob_writer_free(d->writer);
    d->have = 0;
    d->tries = 0;
    d->over = d->resumed = d->restarted = d->truncate = false;
    enter(d);
    tell_done(d, d->wants, &err);
    if (leave(d))
        return;
    d->opened = true;
    work(d, STEP_OPEN);
}

static void written(RegDownload *d)
{
    buf_clear(&d->flush);
    if (d->spoilt) {
        spoil(d);
        return;
    }
    if (d->paused && d->fill.len < FILL_LOW && d->call) {
        d->paused = false;
        reg_call_pause(d->call, false);
    }
    if (d->fill.len >= FLUSH_MIN || (d->fill.len && (d->over || d->paused)))
        work(d, STEP_WRITE);
    else if (d->over)
        after_body(d);
}

static void step_done(void *ctx)
{
    RegDownload *d = ctx;

    d->working = false;
    if (d->freed) {
        download_free(d);
        return;
    }
    if (d->err.code && d->step != STEP_OPEN &&
        !(d->step == STEP_COMMIT && d->err.code == ERR_CORRUPT)) {
        fail_all(d, &d->err);
        return;
    }
    switch (d->step) {
    case STEP_OPEN:
        if (d->err.code && d->err.code != ERR_BUSY)
            fail_all(d, &d->err);
        else
            opened(d);
        break;
    case STEP_WRITE:
        d->truncate = false;
        written(d);
        break;
    case STEP_RESTART:
        d->have = 0;
        d->tries = 0;
        request(d);
        break;
    case STEP_COMMIT:
        if (d->err.code) {
            d->why = d->err;
            spoil(d);
        } else {
            d->writer = blob_writer_free(d->writer);
            succeed(d);
        }
        break;
    }
}

static void work(RegDownload *d, Step step)
{
    Err err = { 0 };

    d->step = step;
    d->err = err;
    if (step == STEP_WRITE) {
        Buf empty = d->flush;

        d->flush = d->fill;
        d->fill = empty;
        d->resumed |= d->last > 0;
    }
    d->working = true;
    if (reg_work(d->reg, do_step, step_done, d, &err) < 0) {
        d->working = false;
        fail_all(d, &err);
    }
}

/* ---- wants ---- */

int reg_want(RegWant *w, const Digest *digest, uint64_t size, Err *err)
{
    Registry *r = w->session->reg;
    RegDownload *d;

    for (d = r->downloads;
         d && !(digest_eq(&d->digest, digest) && d->size == size && strcmp(d->tag, w->tag) == 0);
         d = d->next)
        ;
    w->next = NULL;
    if (d) {
        RegWant **at = &d->wants;

        while (*at)
            at = &(*at)->next;
        *at = w;
        w->download = d;
        return 0;
    }
    d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(err);
    d->reg = r;
    d->store = r->store;
    d->digest = *digest;
    d->size = size;
    memcpy(d->tag, w->tag, sizeof d->tag);
    d->wants = w;
    d->next = r->downloads;
    r->downloads = d;
    w->download = d;
    work(d, STEP_OPEN);
    return 0;
}

void reg_unwant(RegWant *w)
{
    RegDownload *d = w->download;
    bool first = d && d->wants == w;

    if (!d)
        return;
    w->download = NULL;
    for (RegWant **at = &d->wants; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    if (!d->wants) {
        if (!d->busy)
            download_free(d);
        return;
    }
    if (!first || !(d->call || d->timer) || d->busy)
        return;
    d->call = reg_call_cancel(d->call);
    d->timer = source_free(d->timer);
    go_on(d);
}
