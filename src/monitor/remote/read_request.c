/* read_request.c - remote storages that are asked, and how a request goes from a pool thread to the
 * loop and its answer back. A request has two owners: the thread, and the loop from the moment it
 * is posted until it is finished. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "monitor/remote/read_internal.h"

enum { WAIT_MS = 50, SHOWN_MAX = 256, HEADERS_MAX = 128 };

struct ReadRequest {
    atomic_uint refs;
    ReadStorage *storage;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Buf body;
    /* Under the lock. */
    bool finished, abandoned;
    Buf answer;
    bool chunks;
    Err err;
    /* Of the loop. */
    Fetch *fetch;
    ReadRequest *next, **at; /* in `active`; at NULL: it is not */
};

/* ---- storages ---- */

static void reads_free(RemoteReads *r)
{
    for (unsigned i = 0; i < r->len; i++)
        fetcher_free(r->storages[i].fetcher);
    free(r->storages);
    config_unref(r->config);
    free(r);
}

static void take_name(ReadStorage *s)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    if (s->cfg->name.len && sv_copy_cstr(s->cfg->name, s->name, sizeof s->name))
        return;
    uint64_t hash = config_remote_read_text(s->cfg, &text) ? sv_hash_stable(buf_view(&text)) : 0;
    snprintf(s->name, sizeof s->name, "%06x", (unsigned)(hash & 0xffffff));
}

int remote_reads_new(Loop *l, Config *c, RemoteReads **ret, Err *err)
{
    *ret = NULL;
    if (!c->remote_read.len)
        return 0;
    RemoteReads *r = calloc(1, sizeof *r);
    if (!r || !(r->storages = calloc(c->remote_read.len, sizeof *r->storages))) {
        free(r);
        return err_nomem(err);
    }
    atomic_init(&r->refs, 1);
    r->loop = l;
    r->config = config_ref(c);
    r->external = c->global.external_labels;
    for (unsigned i = 0; i < c->remote_read.len; i++) {
        ReadStorage *s = &r->storages[i];
        s->reads = r;
        s->cfg = &c->remote_read.items[i];
        take_name(s);
        int x = fetcher_new(l, &s->cfg->http, &s->fetcher, err);
        if (x < 0) {
            reads_free(r);
            return x;
        }
        r->len++;
    }
    *ret = r;
    return 0;
}

RemoteReads *remote_reads_ref(RemoteReads *r)
{
    if (r)
        atomic_fetch_add(&r->refs, 1);
    return r;
}

RemoteReads *remote_reads_unref(RemoteReads *r)
{
    if (r && atomic_fetch_sub(&r->refs, 1) == 1)
        reads_free(r);
    return NULL;
}

static void free_later(void *reads)
{
    reads_free(reads);
}

RemoteReads *remote_reads_release(RemoteReads *r)
{
    /* Without memory for the message it stays: it may not be freed here. */
    if (r && atomic_fetch_sub(&r->refs, 1) == 1)
        (void)!loop_post(r->loop, free_later, r, NULL);
    return NULL;
}

/* ---- a request's life ---- */

static void request_unref(ReadRequest *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    buf_free(&r->body);
    buf_free(&r->answer);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* On the loop: the thread is told, and the loop's share ends. */
static void finish(ReadRequest *r, const Err *why)
{
    RemoteReads *reads = r->storage->reads;
    if (r->at) {
        *r->at = r->next;
        if (r->next)
            r->next->at = r->at;
        r->at = NULL;
    }
    pthread_mutex_lock(&r->lock);
    if (why)
        r->err = *why;
    r->finished = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    request_unref(r);
    remote_reads_release(reads); /* not at once: this may be its fetcher that tells */
}

static void on_answer(void *ctx, const FetchResult *f)
{
    ReadRequest *r = ctx;
    Err err = { 0 };
    r->fetch = NULL;
    if (f->err) { /* ERR_CLOSED is for a query that was cancelled */
        err_set(&err, f->err->code == ERR_CLOSED ? ERR_PROTO : f->err->code, 0,
                "error sending request: %.400s", f->err->msg);
    } else if (f->status / 100 != 2) {
        err_set(&err, ERR_PROTO, 0, "remote server %.*s returned http status %d: %.*s",
                SV_FMT(sv_head(r->storage->cfg->url, 200)), f->status,
                SV_FMT(sv_trim(sv_head(f->body, SHOWN_MAX))));
    } else {
        StrView type, rest;
        sv_cut(f->content_type, ';', &type, &rest);
        r->chunks = sv_eq_nocase(sv_trim(type), SV("application/x-streamed-protobuf"));
        buf_sv(&r->answer, f->body);
        if (r->answer.failed)
            err_nomem(&err);
    }
    finish(r, err.code ? &err : NULL);
}

static int request_send(ReadRequest *r, Err *err)
{
    const ConfigRemoteRead *c = r->storage->cfg;
    HttpHeader h[HEADERS_MAX + 4] = {
        { SV_INIT("content-encoding"), SV_INIT("snappy") },
        { SV_INIT("accept-encoding"), SV_INIT("snappy") },
        { SV_INIT("content-type"), SV_INIT("application/x-protobuf") },
        { SV_INIT("x-prometheus-remote-read-version"), SV_INIT("0.1.0") },
    };
    unsigned n = 4;
    for (unsigned i = 0; i < c->headers.len && n < ARRAY_SIZE(h); i++)
        h[n++] = (HttpHeader){ c->headers.items[i].name, c->headers.items[i].value };
    const FetchSpec spec = { .url = c->url,
                             .method = SV("POST"),
                             .body = buf_view(&r->body),
                             .headers = h,
                             .n_headers = n,
                             .timeout_ms = (uint32_t)MIN(c->remote_timeout, INT32_MAX),
                             .body_max = READ_ANSWER_MAX,
                             .done = on_answer,
                             .ctx = r };
    return fetch_start(r->storage->fetcher, &spec, &r->fetch, err);
}

static int closed(Err *err)
{
    return err_set(err, ERR_CLOSED, 0, "context canceled");
}

static void on_posted(void *ctx)
{
    ReadRequest *r = ctx;
    RemoteReads *reads = r->storage->reads;
    Err err = { 0 };
    pthread_mutex_lock(&r->lock);
    bool abandoned = r->abandoned;
    pthread_mutex_unlock(&r->lock);
    if (abandoned || atomic_load(&reads->closed)) {
        closed(&err);
        finish(r, &err);
        return;
    }
    r->next = reads->active;
    r->at = &reads->active;
    if (r->next)
        r->next->at = &r->next;
    reads->active = r;
    if (request_send(r, &err) < 0)
        finish(r, &err);
}

static void end(ReadRequest *r)
{
    Err err = { 0 };
    r->fetch = fetch_cancel(r->fetch);
    closed(&err);
    finish(r, &err);
}

static void on_cancel(void *ctx)
{
    ReadRequest *r = ctx;
    if (r->at)
        end(r);
    request_unref(r);
}

void remote_reads_close(RemoteReads *r)
{
    if (!r)
        return;
    atomic_store(&r->closed, true);
    remote_reads_ref(r); /* over the last request */
    while (r->active)
        end(r->active);
    remote_reads_unref(r);
}

/* ---- the thread's side ---- */

int read_request_start(ReadStorage *s, Buf *body, ReadRequest **ret, Err *err)
{
    pthread_condattr_t attr;
    if (atomic_load(&s->reads->closed))
        return closed(err);
    ReadRequest *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    atomic_init(&r->refs, 2);
    r->storage = s;
    r->body = *body;
    *body = (Buf)BUF_INIT;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attr);
    pthread_condattr_destroy(&attr);
    atomic_fetch_add(&s->queries, 1);
    atomic_fetch_add(&s->running, 1);
    remote_reads_ref(s->reads);
    int x = loop_post(s->reads->loop, on_posted, r, err);
    if (x < 0) { /* the caller's reference keeps `reads`: this one cannot be the last */
        atomic_fetch_sub(&s->reads->refs, 1);
        atomic_fetch_sub(&s->running, 1);
        request_unref(r);
        request_unref(r);
        return x;
    }
    *ret = r;
    return 0;
}

int read_request_wait(ReadRequest *r, const atomic_bool *cancel, StrView *ret_answer,
                      bool *ret_chunks, Err *err)
{
    int x = 0;
    pthread_mutex_lock(&r->lock);
    while (!r->finished && !(cancel && atomic_load(cancel))) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += WAIT_MS * 1000000L;
        if (t.tv_nsec >= 1000000000L) {
            t.tv_sec++;
            t.tv_nsec -= 1000000000L;
        }
        pthread_cond_timedwait(&r->changed, &r->lock, &t);
    }
    if (!r->finished) {
        x = closed(err);
    } else if (r->err.code) {
        *err = r->err;
        x = -(int)r->err.code;
    }
    pthread_mutex_unlock(&r->lock);
    if (x < 0) {
        atomic_fetch_add(&r->storage->failed, 1);
        return x;
    }
    *ret_answer = buf_view(&r->answer);
    *ret_chunks = r->chunks;
    return 0;
}

ReadRequest *read_request_free(ReadRequest *r)
{
    if (!r)
        return NULL;
    pthread_mutex_lock(&r->lock);
    bool goes_on = !r->finished;
    r->abandoned = true;
    pthread_mutex_unlock(&r->lock);
    atomic_fetch_sub(&r->storage->running, 1);
    if (goes_on) {
        atomic_fetch_add(&r->refs, 1);
        if (loop_post(r->storage->reads->loop, on_cancel, r, NULL) < 0)
            request_unref(r); /* it goes on to its end, and nobody looks */
    }
    request_unref(r);
    return NULL;
}

/* ---- numbers ---- */

static void put_number(const RemoteReads *r, Buf *out, const char *name, const char *type,
                       const char *help, unsigned which)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    for (unsigned i = 0; i < r->len; i++) {
        ReadStorage *s = &r->storages[i];
        uint64_t all = atomic_load(&s->queries), bad = atomic_load(&s->failed);
        const char *code = which == 2 ? ",code=\"200\"" : "";
        buf_printf(out, "%s{remote_name=\"%s\",url=\"%.*s\"%s} %llu\n", name, s->name,
                   SV_FMT(s->cfg->url), code,
                   (unsigned long long)(which == 0   ? atomic_load(&s->running)
                                        : which == 1 ? bad
                                                     : all - MIN(bad, all)));
    }
}

void remote_reads_metrics(const RemoteReads *r, Buf *out)
{
    if (!r)
        return;
    put_number(r, out, "prometheus_remote_read_client_queries", "gauge",
               "Remote read queries that run.", 0);
    put_number(r, out, "prometheus_remote_read_client_queries_failed_total", "counter",
               "Remote read queries without an answer.", 1);
    put_number(r, out, "prometheus_remote_read_client_queries_total", "counter",
               "Remote read queries that were answered.", 2);
}
