/* stream.c - NetStream: one connected socket, with or without TLS, as a byte stream on the loop.
 *
 * The only place that reads from and writes to connections. Writes are collected and leave once per
 * turn of the loop, so that many small answers become one TLS record and one system call. Receivers
 * are called from the loop only, never from inside net_stream_write() or net_stream_end(); they may
 * free the stream at any time: `refs` counts the frames that still use it. */
#include "net/stream_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "net/tls_internal.h"

enum {
    STREAM_READ_SIZE = 32 * 1024,
    STREAM_READS_PER_TURN = 16,     /* then other connections get their turn */
    STREAM_KEEP_BUFFER = 64 * 1024, /* larger ones are given back once they are empty */
    STREAM_LINGER_MS = 1000,        /* for the peer to take the last bytes and close */
};

typedef enum StreamState {
    STREAM_NEW,
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_ENDING, /* sends what waits */
    STREAM_LINGER, /* has said goodbye, waits for the peer's */
    STREAM_CLOSED,
} StreamState;

struct NetStream {
    Loop *loop;
    int fd;
    StreamState state;
    TlsContext *tls;
    SSL *ssl;
    Source *src;
    Source *linger;
    NetStreamEvents ev;
    LoopFn *on_ready;
    void *ready_ctx;
    Buf out;
    size_t out_sent; /* bytes of `out` that are gone already */
    Buf unread;
    unsigned refs;
    uint32_t armed; /* events the source waits for */
    bool freed, paused, flush_due, read_due, read_wants_write, write_blocked, ready;
    bool end_missed; /* closed while nobody listened */
    int64_t progress_ns;
    Arena arena; /* for peer */
    TlsPeer peer;
};

static void flush_now(void *ctx);
static void read_now(void *ctx);
static void on_io(void *ctx, uint32_t events);

static void unref(NetStream *s)
{
    if (--s->refs > 0)
        return;
    arena_free(&s->arena);
    buf_free(&s->out);
    buf_free(&s->unread);
    free(s);
}

static int stream_new(Loop *l, int fd, TlsContext *tls, const char *name, bool h2, NetStream **ret,
                      Err *err)
{
    NetStream *s = calloc(1, sizeof *s);
    if (!s) {
        close(fd);
        return err_nomem(err);
    }
    s->loop = l;
    s->fd = fd;
    s->refs = 1;
    s->progress_ns = loop_now_ns(l);
    arena_init(&s->arena, 0);
    int r = 0;
    if (tls) {
        s->tls = tls_context_ref(tls);
        r = tls_ssl_new(tls, fd, name, h2, &s->ssl, err);
    }
    if (r == 0)
        r = loop_add_fd(l, fd, 0, on_io, s, &s->src, err);
    if (r < 0) {
        net_stream_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int net_stream_new_server(Loop *l, int fd, TlsContext *tls, NetStream **ret, Err *err)
{
    return stream_new(l, fd, tls, NULL, true, ret, err);
}

int net_stream_new_client(Loop *l, int fd, TlsContext *tls, const char *server_name, bool h2,
                          NetStream **ret, Err *err)
{
    return stream_new(l, fd, tls, server_name, h2, ret, err);
}

/* Lets go of the socket; the object stays for frames that still use it. */
static void release_io(NetStream *s)
{
    s->src = source_free(s->src);
    s->linger = source_free(s->linger);
    if (s->flush_due)
        loop_defer_cancel(s->loop, flush_now, s);
    if (s->read_due)
        loop_defer_cancel(s->loop, read_now, s);
    s->flush_due = s->read_due = false;
    SSL_free(s->ssl);
    s->ssl = NULL;
    s->tls = tls_context_unref(s->tls);
    closep(&s->fd);
    s->state = STREAM_CLOSED;
}

NetStream *net_stream_free(NetStream *s)
{
    if (!s || s->freed)
        return NULL;
    s->freed = true;
    release_io(s);
    unref(s);
    return NULL;
}

/* Closes and tells the receiver, once. */
static void stream_closed(NetStream *s, const Err *why)
{
    if (s->state == STREAM_CLOSED)
        return;
    release_io(s);
    s->end_missed = !s->ev.on_end;
    if (!s->freed && s->ev.on_end)
        s->ev.on_end(s->ev.ctx, why);
}

/* Adjusts what the source waits for; libuv's change costs system calls, so only real changes. */
static void rearm(NetStream *s)
{
    if (s->state == STREAM_CLOSED)
        return;
    uint32_t want = 0;
    if (!s->paused || s->state == STREAM_HANDSHAKE || s->state == STREAM_LINGER)
        want |= LOOP_READ;
    if (s->write_blocked || s->read_wants_write)
        want |= LOOP_WRITE;
    if (want == s->armed)
        return;
    Err err = { 0 };
    if (source_set_events(s->src, want, &err) < 0)
        stream_closed(s, &err);
    else
        s->armed = want;
}

/* ---- bytes ---- */

/* Both return bytes, 0 at the peer's end (reading), -EAGAIN, or another negative code with `err`.
 */
static ssize_t raw_read(NetStream *s, void *buf, size_t size, Err *err)
{
    if (!s->ssl) {
        ssize_t n = recv(s->fd, buf, size, 0);
        if (n >= 0)
            return n;
        if (errno == EAGAIN || errno == EINTR)
            return -EAGAIN;
        err_set(err, ERR_CLOSED, errno, "read from the connection");
        return -EIO;
    }
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(s->ssl, buf, (int)size);
    if (n > 0)
        return n;
    switch (SSL_get_error(s->ssl, n)) {
    case SSL_ERROR_WANT_WRITE:
        s->read_wants_write = true;
        return -EAGAIN;
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        tls_fail(s->ssl, n, err, "read from the connection");
        return -EIO;
    }
}

static ssize_t raw_write(NetStream *s, const void *buf, size_t len, Err *err)
{
    if (!s->ssl) {
        ssize_t n = send(s->fd, buf, len, MSG_NOSIGNAL);
        if (n >= 0)
            return n;
        if (errno == EAGAIN || errno == EINTR)
            return -EAGAIN;
        err_set(err, ERR_CLOSED, errno, "write to the connection");
        return -EIO;
    }
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(s->ssl, buf, (int)MIN(len, (size_t)INT32_MAX));
    if (n > 0)
        return n;
    int e = SSL_get_error(s->ssl, n);
    if (e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ)
        return -EAGAIN;
    tls_fail(s->ssl, n, err, "write to the connection");
    return -EIO;
}

/* ---- writing ---- */

static void on_linger_end(void *ctx)
{
    NetStream *s = ctx;
    s->refs++;
    stream_closed(s, NULL);
    unref(s);
}

/* All is sent and the owner wants to end: say goodbye, then wait a little so that the kernel does
 * not answer late bytes of the peer with a reset that destroys our last ones on their way. */
static void say_goodbye(NetStream *s)
{
    s->state = STREAM_LINGER;
    if (s->ssl && SSL_is_init_finished(s->ssl)) {
        ERR_clear_error();
        SSL_shutdown(s->ssl);
    }
    Err err = { 0 };
    if (shutdown(s->fd, SHUT_WR) < 0 ||
        loop_add_timer(s->loop, STREAM_LINGER_MS, 0, on_linger_end, s, &s->linger, &err) < 0) {
        stream_closed(s, NULL);
        return;
    }
    rearm(s);
}

static void out_emptied(NetStream *s)
{
    if (s->out.cap > STREAM_KEEP_BUFFER)
        buf_free(&s->out);
    else
        buf_clear(&s->out);
    s->out_sent = 0;
    s->write_blocked = false;
    rearm(s);
    if (s->state == STREAM_ENDING)
        say_goodbye(s);
    else if (s->state == STREAM_OPEN && s->ev.on_drain)
        s->ev.on_drain(s->ev.ctx);
}

static void flush(NetStream *s)
{
    bool any = s->out.len > 0;
    while (s->out_sent < s->out.len) {
        Err err = { 0 };
        ssize_t n = raw_write(s, s->out.ptr + s->out_sent, s->out.len - s->out_sent, &err);
        if (n == -EAGAIN) {
            s->write_blocked = true;
            rearm(s);
            return;
        }
        if (n < 0) {
            stream_closed(s, &err);
            return;
        }
        s->out_sent += (size_t)n;
        s->progress_ns = loop_now_ns(s->loop);
    }
    if (any)
        out_emptied(s);
    else if (s->state == STREAM_ENDING)
        say_goodbye(s);
}

static void flush_now(void *ctx)
{
    NetStream *s = ctx;
    s->flush_due = false;
    if (s->state != STREAM_OPEN && s->state != STREAM_ENDING)
        return;
    s->refs++;
    if (!s->write_blocked)
        flush(s);
    unref(s);
}

void net_stream_flush(NetStream *s)
{
    if (s->flush_due)
        loop_defer_cancel(s->loop, flush_now, s);
    flush_now(s);
}

void net_stream_written(NetStream *s)
{
    if (s->flush_due || s->write_blocked || s->state == STREAM_CLOSED)
        return;
    /* Out of memory for the queue of the loop: send at the next writable moment instead. */
    if (loop_defer(s->loop, flush_now, s, NULL) < 0) {
        s->write_blocked = true;
        rearm(s);
        return;
    }
    s->flush_due = true;
}

int net_stream_write(NetStream *s, const void *data, size_t len, Err *err)
{
    if (s->state >= STREAM_ENDING)
        return err_set(err, ERR_CLOSED, 0, "the connection is closed");
    if (s->out_sent > s->out.len / 2) {
        buf_consume(&s->out, s->out_sent);
        s->out_sent = 0;
    }
    if (!buf_reserve(&s->out, len)) {
        s->out.failed = false;
        return err_nomem(err);
    }
    buf_append(&s->out, data, len);
    net_stream_written(s);
    return 0;
}

size_t net_stream_pending(const NetStream *s)
{
    return s->state == STREAM_CLOSED ? 0 : s->out.len - s->out_sent;
}

Buf *net_stream_out(NetStream *s)
{
    return &s->out;
}

void net_stream_end(NetStream *s)
{
    if (s->state >= STREAM_ENDING)
        return;
    s->state = STREAM_ENDING;
    net_stream_written(s);
}

/* ---- reading ---- */

static void read_later(NetStream *s)
{
    if (s->read_due || (s->state == STREAM_CLOSED && !s->end_missed))
        return;
    s->read_due = loop_defer(s->loop, read_now, s, NULL) == 0;
}

static void deliver_unread(NetStream *s)
{
    Buf b = s->unread;
    s->unread = (Buf)BUF_INIT;
    s->ev.on_data(s->ev.ctx, b.ptr, b.len);
    buf_free(&b);
}

static bool may_deliver(const NetStream *s)
{
    return !s->freed && !s->paused && s->state == STREAM_OPEN;
}

static void read_input(NetStream *s)
{
    char buf[STREAM_READ_SIZE];
    for (int i = 0;; i++) {
        bool discard = s->state == STREAM_LINGER || s->state == STREAM_ENDING;
        if (!discard && s->unread.len > 0 && may_deliver(s))
            deliver_unread(s); /* a new owner gets the older bytes first */
        if (!discard && !may_deliver(s))
            return;
        if (i == STREAM_READS_PER_TURN) {
            read_later(s); /* what OpenSSL holds does not make the socket readable */
            return;
        }
        Err err = { 0 };
        ssize_t n = raw_read(s, buf, sizeof buf, &err);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            stream_closed(s, n < 0 && !discard ? &err : NULL);
            return;
        }
        s->progress_ns = loop_now_ns(s->loop);
        /* Only a full buffer, or more inside OpenSSL, is worth another system call now. */
        bool more = s->ssl ? SSL_has_pending(s->ssl) : n == (ssize_t)sizeof buf;
        if (!discard)
            s->ev.on_data(s->ev.ctx, buf, (size_t)n);
        if (!more)
            return;
    }
}

static void read_now(void *ctx)
{
    NetStream *s = ctx;
    s->read_due = false;
    s->refs++;
    if (s->unread.len > 0 && may_deliver(s))
        deliver_unread(s);
    if (s->end_missed && !s->freed && s->ev.on_end) {
        s->end_missed = false;
        s->ev.on_end(s->ev.ctx, NULL);
    }
    if (s->state >= STREAM_OPEN && s->state != STREAM_CLOSED)
        read_input(s);
    rearm(s);
    unref(s);
}

void net_stream_pause(NetStream *s, bool paused)
{
    if (s->paused == paused)
        return;
    s->paused = paused;
    if (s->state != STREAM_OPEN)
        return;
    if (!paused && (s->unread.len > 0 || (s->ssl && SSL_has_pending(s->ssl))))
        read_later(s);
    /* A failure closes the stream and calls on_end; it cannot happen for a descriptor that was
     * watched before. */
    rearm(s);
}

int net_stream_unread(NetStream *s, const void *data, size_t len, Err *err)
{
    if (len == 0)
        return 0;
    if (!buf_reserve(&s->unread, len)) {
        s->unread.failed = false;
        return err_nomem(err);
    }
    buf_append(&s->unread, data, len);
    read_later(s);
    return 0;
}

/* ---- life ---- */

static void become_ready(NetStream *s)
{
    s->state = STREAM_OPEN;
    s->ready = true;
    if (s->ssl) {
        Err err = { 0 };
        if (tls_peer_fill(s->ssl, &s->arena, &s->peer, &err) < 0) {
            stream_closed(s, &err);
            return;
        }
    }
    if (s->on_ready)
        s->on_ready(s->ready_ctx);
    if (s->state == STREAM_CLOSED)
        return;
    if (s->out.len > 0)
        net_stream_written(s);
    if (s->unread.len > 0 || (s->ssl && SSL_has_pending(s->ssl)))
        read_later(s);
    rearm(s);
}

static void handshake(NetStream *s)
{
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(s->ssl);
    s->progress_ns = loop_now_ns(s->loop);
    if (r == 1) {
        s->write_blocked = false;
        become_ready(s);
        return;
    }
    int e = SSL_get_error(s->ssl, r);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        s->write_blocked = e == SSL_ERROR_WANT_WRITE;
        rearm(s);
        return;
    }
    Err err = { 0 };
    tls_fail(s->ssl, r, &err, "TLS handshake");
    stream_closed(s, &err);
}

/* An error while nobody reads: take it from the socket, or it would wake the loop for ever. */
static void socket_failed(NetStream *s)
{
    int e = 0;
    socklen_t n = sizeof e;
    if (s->state == STREAM_CLOSED || getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0 || e == 0)
        return;
    Err err = { 0 };
    err_set(&err, ERR_CLOSED, e, "the connection failed");
    stream_closed(s, &err);
}

static void on_io(void *ctx, uint32_t events)
{
    NetStream *s = ctx;
    s->refs++;
    if (events & LOOP_HUP) {
        s->armed = 0; /* libuv has stopped watching; rearm() starts it again */
        if (s->paused)
            socket_failed(s);
    }
    if (s->state == STREAM_HANDSHAKE) {
        handshake(s);
    } else {
        if ((events & LOOP_WRITE) && s->write_blocked) {
            s->write_blocked = false;
            flush(s);
        }
        if (((events & LOOP_READ) || s->read_wants_write) && s->state >= STREAM_OPEN &&
            s->state != STREAM_CLOSED) {
            s->read_wants_write = false;
            read_input(s);
        }
    }
    rearm(s);
    unref(s);
}

static void start_now(void *ctx)
{
    NetStream *s = ctx;
    s->flush_due = false;
    s->refs++;
    if (s->state == STREAM_NEW) {
        if (s->ssl) {
            s->state = STREAM_HANDSHAKE;
            handshake(s);
        } else {
            become_ready(s);
        }
    }
    unref(s);
}

void net_stream_set_events(NetStream *s, const NetStreamEvents *ev)
{
    s->ev = *ev;
}

void net_stream_start(NetStream *s, const NetStreamEvents *ev)
{
    net_stream_set_events(s, ev);
    if (s->state == STREAM_NEW) {
        start_now(s);
        return;
    }
    s->paused = false;
    if (s->end_missed || s->unread.len > 0 || (s->ssl && SSL_has_pending(s->ssl)))
        read_later(s);
    rearm(s);
}

void net_stream_on_ready(NetStream *s, LoopFn *fn, void *ctx)
{
    s->on_ready = fn;
    s->ready_ctx = ctx;
}

bool net_stream_is_ready(const NetStream *s)
{
    return s->ready;
}

bool net_stream_is_h2(const NetStream *s)
{
    const unsigned char *proto = NULL;
    unsigned n = 0;
    if (s->ssl)
        SSL_get0_alpn_selected(s->ssl, &proto, &n);
    return n == 2 && memcmp(proto, "h2", 2) == 0;
}

const TlsPeer *net_stream_peer(const NetStream *s)
{
    return &s->peer;
}

int64_t net_stream_progress_ns(const NetStream *s)
{
    return s->progress_ns;
}

Loop *net_stream_loop(const NetStream *s)
{
    return s->loop;
}
