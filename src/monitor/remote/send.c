/* send.c - messages to their storage, on the loop: headers, what an answer means, waiting before
 * the next try. Source: the specifications of remote write 1.0 and 2.0. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "monitor/remote/internal.h"

enum {
    ANSWER_MAX = 1024 * 1024,
    ANSWER_SHOWN = 256,
    HEADERS_MAX = 128,
    COMPLAIN_S = 10, /* between lines of the log about one queue */
    RETRY_AFTER_MAX_S = 24 * 3600,
};

static const double bounds[DURATION_BUCKETS_N] = { .005, .01, .025, .05, .1, .25, .5, 1,
                                                   2.5,  5,   10,   25,  60, 120, 300 };

int queue_post(RemoteQueue *q, StrView body, unsigned attempt, FetchDoneFn *done, void *ctx,
               Fetch **ret, Err *err)
{
    const ConfigRemoteWrite *c = q->cfg;
    HttpHeader h[HEADERS_MAX + 5];
    char tries[16];
    unsigned n = 0;
    h[n++] = (HttpHeader){ SV("content-encoding"), SV("snappy") };
    h[n++] = (HttpHeader){ SV("content-type"),
                           q->v2 ? SV("application/x-protobuf;proto=io.prometheus.write.v2.Request")
                                 : SV("application/x-protobuf") };
    h[n++] = (HttpHeader){ SV("user-agent"), SV("Prometheus/3.5.0") };
    h[n++] =
        (HttpHeader){ SV("x-prometheus-remote-write-version"), q->v2 ? SV("2.0.0") : SV("0.1.0") };
    if (attempt) {
        snprintf(tries, sizeof tries, "%u", attempt);
        h[n++] = (HttpHeader){ SV("retry-attempt"), sv_cstr(tries) };
    }
    for (unsigned i = 0; i < c->headers.len && n < ARRAY_SIZE(h); i++)
        h[n++] = (HttpHeader){ c->headers.items[i].name, c->headers.items[i].value };
    const FetchSpec spec = { .url = c->url,
                             .method = SV("POST"),
                             .body = body,
                             .headers = h,
                             .n_headers = n,
                             .timeout_ms = (uint32_t)MIN(c->remote_timeout, INT32_MAX),
                             .body_max = ANSWER_MAX,
                             .done = done,
                             .ctx = ctx };
    return fetch_start(q->fetcher, &spec, ret, err);
}

/* ---- what an answer means ---- */

static StrView header(const FetchResult *r, StrView name)
{
    for (unsigned i = 0; i < r->n_headers; i++)
        if (sv_eq_nocase(r->headers[i].name, name))
            return r->headers[i].value;
    return SV_NULL;
}

bool is_recoverable(const RemoteQueue *q, const FetchResult *r)
{
    if (r->err && r->status / 100 != 2)
        return true;
    return r->status / 100 == 5 || (r->status == 429 && q->cfg->queue.retry_on_http_429);
}

/* Seconds, or a date. 0: not said. */
static int64_t retry_after_ms(const FetchResult *r)
{
    StrView s = header(r, SV("retry-after"));
    uint64_t seconds;
    char text[64];
    struct tm tm = { 0 };
    if (!s.len)
        return 0;
    if (sv_to_u64(s, &seconds) == 0)
        return (int64_t)MIN(seconds, (uint64_t)RETRY_AFTER_MAX_S) * 1000;
    if (!sv_copy_cstr(s, text, sizeof text) || !strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return 0;
    int64_t left = (int64_t)timegm(&tm) - clock_real_ns() / NSEC_PER_SEC;
    return MIN(MAX(left, INT64_C(0)), (int64_t)RETRY_AFTER_MAX_S) * 1000;
}

int64_t next_backoff(const RemoteQueue *q, const FetchResult *r, int64_t *backoff_ms)
{
    int64_t asked = retry_after_ms(r), now = *backoff_ms;
    if (now == 0)
        now = q->cfg->queue.min_backoff;
    *backoff_ms = MIN(now * 2, q->cfg->queue.max_backoff);
    return MAX(asked > 0 ? asked : now, INT64_C(1));
}

/* At most one line in a while for each queue. */
void queue_complain(RemoteQueue *q, const char *what, const FetchResult *r)
{
    int64_t now = loop_now_ns(q->loop);
    char hidden[64] = "";
    if (q->logged_ns && now - q->logged_ns < COMPLAIN_S * NSEC_PER_SEC) {
        q->hidden++;
        return;
    }
    if (q->hidden)
        snprintf(hidden, sizeof hidden, " (%llu more since the last line)",
                 (unsigned long long)q->hidden);
    q->logged_ns = now;
    q->hidden = 0;
    if (r->err)
        log_warn("remote write \"%s\": %s: %s%s", q->name, what, r->err->msg, hidden);
    else
        log_warn("remote write \"%s\": %s: server returned HTTP status %d: %.*s%s", q->name, what,
                 r->status, SV_FMT(sv_trim(sv_head(r->body, ANSWER_SHOWN))), hidden);
}

static bool written(const FetchResult *r, EntryKind kind, uint64_t *ret)
{
    static const StrView names[ENTRY_MAX] = {
        [ENTRY_SAMPLE] = SV_INIT("x-prometheus-remote-write-samples-written"),
        [ENTRY_EXEMPLAR] = SV_INIT("x-prometheus-remote-write-exemplars-written"),
        [ENTRY_HISTOGRAM] = SV_INIT("x-prometheus-remote-write-histograms-written"),
    };
    return sv_to_u64(header(r, names[kind]), ret) == 0;
}

/* 2.0: the receiver says how much it took, of a refused message as well. */
static void count_outcome(Shard *s, const FetchResult *r, bool ok)
{
    RemoteQueue *q = s->queue;
    bool less = false;
    for (EntryKind k = 0; k < ENTRY_MAX; k++) {
        uint64_t n = ok ? s->counts[k] : 0, said;
        if (q->v2)
            n = written(r, k, &said) ? MIN(said, s->counts[k]) : 0;
        q->sent.sent[k] += n;
        q->sent.failed[k] += s->counts[k] - n;
        less |= n < s->counts[k];
    }
    if (ok && less)
        queue_complain(q, "the receiver confirms less than was sent; it may not know 2.0", r);
    if (ok) {
        q->sent.bytes += s->body.len;
        q->sent.highest_sent = MAX(q->sent.highest_sent, s->newest);
        q->last_sent_ns = loop_now_ns(q->loop);
    }
}

static void count_duration(RemoteQueue *q, double seconds)
{
    q->sent.batches++;
    q->sent.seconds += seconds;
    for (unsigned i = 0; i < DURATION_BUCKETS_N; i++)
        q->sent.buckets[i] += seconds <= bounds[i];
}

/* ---- one shard ---- */

static void shard_send(Shard *s);

static void leave(Shard *s, ShardState to)
{
    s->queue->in_flight--;
    atomic_store(&s->state, to);
}

static void on_retry(void *ctx)
{
    Shard *s = ctx;
    s->timer = source_free(s->timer);
    if (s->queue->cfg->queue.sample_age_limit > 0) {
        leave(s, SHARD_STALE);
        queue_kick(s->queue);
    } else {
        shard_send(s);
    }
}

static void retry_later(Shard *s, const FetchResult *r)
{
    RemoteQueue *q = s->queue;
    Err err = { 0 };
    int64_t wait = next_backoff(q, r, &s->backoff_ms);
    s->attempt++;
    for (EntryKind k = 0; k < ENTRY_MAX; k++)
        q->sent.retried[k] += s->counts[k];
    queue_complain(q, "sending failed, trying again", r);
    if (loop_add_timer(q->loop, (uint64_t)wait, 0, on_retry, s, &s->timer, &err) < 0)
        leave(s, SHARD_STALE); /* no memory for a timer: the next tick comes by */
}

static void on_answer(void *ctx, const FetchResult *r)
{
    Shard *s = ctx;
    RemoteQueue *q = s->queue;
    s->fetch = NULL;
    double seconds = (double)(clock_mono_ns() - s->sent_ns) / 1e9;
    count_duration(q, seconds);
    if (is_recoverable(q, r)) {
        retry_later(s, r);
        return;
    }
    bool ok = r->status / 100 == 2;
    count_outcome(s, r, ok);
    if (!ok)
        queue_complain(q, "the receiver refuses a message, which is dropped", r);
    s->backoff_ms = 0;
    leave(s, SHARD_DONE);
    queue_kick(q);
}

static void shard_send(Shard *s)
{
    Err err = { 0 };
    s->sent_ns = clock_mono_ns();
    s->queue->in_flight += atomic_load(&s->state) != SHARD_SENDING;
    atomic_store(&s->state, SHARD_SENDING);
    if (queue_post(s->queue, buf_view(&s->body), s->attempt, on_answer, s, &s->fetch, &err) < 0) {
        const FetchResult failed = { .err = &err };
        retry_later(s, &failed);
    }
}

void queue_send_ready(RemoteQueue *q)
{
    for (unsigned i = 0; i < q->n_shards; i++)
        if (atomic_load(&q->shards[i].state) == SHARD_READY)
            shard_send(&q->shards[i]);
}
