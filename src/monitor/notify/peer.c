/* peer.c - one Alertmanager: its queue, and the one request that is under way. */
#include "base/clock.h"
#include "codec/json.h"
#include "monitor/notify/internal.h"

/* ---- an alert as JSON ---- */

/* "2026-01-02T03:04:05.678Z" */
static void put_time(Buf *out, int64_t ms)
{
    char text[RFC3339_SIZE];
    buf_printf(out, "\"%s\"", rfc3339_format(ms * NSEC_PER_MSEC, 3, text));
}

Notice *notice_new(const NotifyAlert *alert, Labels labels)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    buf_sv(&b, SV("{\"annotations\":"));
    labels_json(alert->annotations, &b);
    buf_sv(&b, SV(",\"endsAt\":"));
    put_time(&b, alert->ends_ms);
    buf_sv(&b, SV(",\"startsAt\":"));
    put_time(&b, alert->starts_ms);
    if (alert->generator_url.len) {
        buf_sv(&b, SV(",\"generatorURL\":"));
        json_encode_string(alert->generator_url, &b);
    }
    buf_sv(&b, SV(",\"labels\":"));
    labels_json(labels, &b);
    buf_putc(&b, '}');
    Notice *x = b.failed || b.len > NOTIFY_ALERT_MAX ? NULL : malloc(sizeof *x + b.len);
    if (!x)
        return NULL;
    x->refs = 1;
    x->len = b.len;
    memcpy(x->json, b.ptr, b.len);
    return x;
}

Notice *notice_unref(Notice *x)
{
    if (x && --x->refs == 0)
        free(x);
    return NULL;
}

/* ---- the queue ---- */

static void take_front(Peer *p, size_t n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n; i++)
        notice_unref(p->queue.items[i]);
    p->queue.len -= n;
    memmove(p->queue.items, p->queue.items + n, p->queue.len * sizeof *p->queue.items);
}

void peer_lose(Peer *p, size_t n, ErrCode code, const char *why)
{
    Err err = { 0 };
    err_set(&err, code, 0, "%s", why);
    p->stats.dropped += n;
    notifier_report(p->set->n, p, n, &err);
}

void peer_drop_queue(Peer *p)
{
    size_t n = p->queue.len;
    if (!n)
        return;
    take_front(p, n);
    peer_lose(p, n, ERR_CLOSED, "the queue is given up");
}

bool peer_busy(const Peer *p)
{
    return p->fetch || p->queue.len;
}

/* ---- sending ---- */

static void send_next(Peer *p);

/* ERR_NONE: it was accepted. */
static Err outcome(const FetchResult *r)
{
    enum { REASON_MAX = 200 };
    _cleanup_buf_ Buf reason = BUF_INIT;
    Err err = { 0 };
    if (r->err)
        return *r->err;
    if (r->status / 100 == 2)
        return err;
    text_quote(sv_head(sv_trim(r->body), REASON_MAX), &reason);
    err_set(&err, ERR_PROTO, 0, "bad response status %d: %.*s", r->status,
            SV_FMT(buf_view(&reason)));
    return err;
}

static void count(Peer *p, const FetchResult *r)
{
    Err err = outcome(r);
    if (!err.code) {
        p->stats.sent += p->sending;
        timing_add(&p->stats.latency, (double)(clock_mono_ns() - p->started_ns) / 1e9);
        return;
    }
    p->stats.errors += p->sending;
    p->stats.dropped += p->sending;
    notifier_report(p->set->n, p, p->sending, &err);
    if (p->set->n->draining)
        peer_drop_queue(p);
}

static void on_done(void *ctx, const FetchResult *r)
{
    Peer *p = ctx;
    p->fetch = NULL;
    count(p, r);
    p->sending = 0;
    send_next(p);
    if (!peer_busy(p))
        notifier_want_sweep(p->set->n);
}

/* The body of a request of the first alerts in the queue; how many. */
static size_t make_body(const Peer *p, Buf *out)
{
    size_t n = 0;
    buf_putc(out, '[');
    for (; n < p->queue.len && n < p->set->n->opt.batch_size; n++) {
        const Notice *x = p->queue.items[n];
        if (n && out->len + x->len + 2 > NOTIFY_BODY_MAX)
            break;
        if (n)
            buf_putc(out, ',');
        buf_sv(out, sv_n(x->json, x->len));
    }
    buf_putc(out, ']');
    return n;
}

static int post(Peer *p, StrView body, Err *err)
{
    enum { ANSWER_MAX = 64 * 1024 };
    const char *agent = p->set->n->opt.user_agent;
    const HttpHeader headers[] = {
        { SV_INIT("content-type"), SV("application/json") },
        { SV_INIT("user-agent"), agent ? sv_cstr(agent) : SV("Prometheus/3") },
    };
    const FetchSpec spec = { .url = p->stats.url,
                             .method = SV("POST"),
                             .body = body,
                             .headers = headers,
                             .n_headers = ARRAY_SIZE(headers),
                             .timeout_ms = (uint32_t)MIN(p->set->cfg->timeout, INT32_MAX),
                             .body_max = ANSWER_MAX,
                             .done = on_done,
                             .ctx = p };
    return fetch_start(p->set->fetcher, &spec, &p->fetch, err);
}

static void send_next(Peer *p)
{
    while (!p->fetch && p->queue.len) {
        _cleanup_buf_ Buf body = BUF_INIT;
        Err err = { 0 };
        size_t n = make_body(p, &body);
        int r = body.failed ? err_nomem(&err) : post(p, buf_view(&body), &err);
        take_front(p, n);
        p->sending = r < 0 ? 0 : n;
        p->started_ns = clock_mono_ns();
        if (r >= 0)
            return;
        p->stats.errors += n;
        p->stats.dropped += n;
        notifier_report(p->set->n, p, n, &err);
    }
}

void peer_add(Peer *p, Notice *const *notices, size_t n)
{
    size_t room = p->set->n->opt.queue_capacity, over = n > room ? n - room : 0;
    size_t taken = 0;
    notices += over;
    n -= over;
    size_t old = p->queue.len + n > room ? p->queue.len + n - room : 0;
    if (old)
        take_front(p, old);
    if (over + old)
        peer_lose(p, over + old, ERR_LIMIT, "the queue is full");
    while (taken < n && vec_push(&p->queue, notices[taken]))
        notices[taken++]->refs++;
    if (taken < n)
        peer_lose(p, n - taken, ERR_NOMEM, "out of memory");
    send_next(p);
}

/* ---- the peer ---- */

int peer_new(Set *s, StrView url, Peer **ret, Err *err)
{
    Peer *p = calloc(1, sizeof *p);
    char *copy = malloc(url.len + 1);
    if (!p || !copy) {
        free(p);
        free(copy);
        return err_nomem(err);
    }
    memcpy(copy, url.ptr, url.len);
    p->set = s;
    p->stats.url = sv_n(copy, url.len);
    *ret = p;
    return 0;
}

Peer *peer_free(Peer *p)
{
    if (!p)
        return NULL;
    p->fetch = fetch_cancel(p->fetch);
    take_front(p, p->queue.len);
    vec_free(&p->queue);
    free((char *)(uintptr_t)p->stats.url.ptr);
    free(p);
    return NULL;
}
