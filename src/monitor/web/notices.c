/* notices.c - /api/v1/notifications and notifications/live: what the operator should know. Readers
 * of the latter get each change as a server-sent event, and at first all that is so now.
 *
 * A reader that does not take what is sent misses events, as one in Prometheus that has ten
 * waiting. To add a notice: a row in texts[], and notice_set() where it begins and ends. */
#include "monitor/web/internal.h"

enum { PENDING_MAX = 16 << 10 }; /* bytes that wait for a reader */

struct NoticeReader {
    Web *web;
    HttpReq *req;
    NoticeReader *next, **link;
};

static const StrView texts[NOTICE_MAX] = {
    [NOTICE_RELOAD_FAILED] = SV_INIT("Configuration reload has failed."),
    [NOTICE_STARTING] = SV_INIT("Prometheus is starting and replaying the write-ahead log (WAL)."),
    [NOTICE_STOPPING] =
        SV_INIT("Prometheus is shutting down and gracefully stopping all operations."),
};

static void put_notice(Buf *out, NoticeId id, int64_t since_ns, bool active)
{
    char date[RFC3339_SIZE];
    buf_sv(out, SV("{\"text\":"));
    json_put_text(out, texts[id]);
    buf_printf(out, ",\"date\":\"%s\",\"active\":%s}", rfc3339_format_nano(since_ns, date),
               active ? "true" : "false");
}

static void send_event(NoticeReader *r, NoticeId id, bool active)
{
    Notices *n = &r->web->notices;
    _cleanup_buf_ Buf event = BUF_INIT;
    buf_sv(&event, SV("data: "));
    put_notice(&event, id, n->since_ns[id], active);
    buf_sv(&event, SV("\n\n"));
    n->sent++;
    if (event.failed || http_stream_pending(r->req) > PENDING_MAX ||
        http_stream_write(r->req, event.ptr, event.len, NULL) < 0)
        n->dropped++;
}

void notice_set(Web *w, NoticeId id, bool active)
{
    Notices *n = &w->notices;
    if (!active && !n->since_ns[id])
        return;
    if (active)
        n->since_ns[id] = clock_real_ns();
    for (NoticeReader *r = n->readers; r; r = r->next)
        send_event(r, id, active);
    if (!active)
        n->since_ns[id] = 0;
}

void serve_notifications(Call *c)
{
    const Notices *n = &c->web->notices;
    bool any = false;
    api_begin(c);
    buf_putc(&c->out, '[');
    for (NoticeId id = 0; id < NOTICE_MAX; id++) {
        if (!n->since_ns[id])
            continue;
        if (any)
            buf_putc(&c->out, ',');
        put_notice(&c->out, id, n->since_ns[id], true);
        any = true;
    }
    buf_putc(&c->out, ']');
    api_end(c, NULL, 0, NULL, 0);
}

static void on_reader_gone(void *ctx)
{
    NoticeReader *r = ctx;
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    r->web->notices.n_readers--;
    free(r);
}

/* The exchange goes on without the call. */
static int begin_reading(Call *c, Err *err)
{
    Notices *n = &c->web->notices;
    NoticeReader *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    call_put_headers(c);
    int ret = http_stream_start(c->req, 200, SV("text/event-stream"), err);
    if (ret < 0) {
        free(r);
        return ret;
    }
    *r = (NoticeReader){ .web = c->web, .req = c->req, .next = n->readers, .link = &n->readers };
    if (r->next)
        r->next->link = &r->next;
    n->readers = r;
    n->n_readers++;
    http_on_close(c->req, on_reader_gone, r);
    for (NoticeId id = 0; id < NOTICE_MAX; id++)
        if (n->since_ns[id])
            send_event(r, id, true);
    return 0;
}

void serve_notifications_live(Call *c)
{
    Err err = { 0 };
    call_header(c, SV("Cache-Control"), SV("no-cache"));
    if (c->web->notices.n_readers >= c->web->opt.max_notice_readers)
        c->status = 204; /* which ends an EventSource's attempts */
    else if (begin_reading(c, &err) < 0)
        call_text(c, 500, "%s\n", err.msg);
    else
        c->streams = true;
}
