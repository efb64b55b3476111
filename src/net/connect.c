/* connect.c - from a host name and port to a connected socket, on the loop.
 *
 * Names are resolved on a pool thread, whose request cannot be called back: a cancelled connector
 * lives on, silent, until the resolver has answered. */
#include "net/connect.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/encode.h"
#include "base/str.h"

enum {
    CONNECT_KEEPALIVE_IDLE_S = 15,
    CONNECT_KEEPALIVE_INTERVAL_S = 15,
    CONNECT_KEEPALIVE_PROBES = 3,
    ANSWER_MAX = 16 * 1024, /* of a proxy */
};

struct Connector {
    Loop *loop;
    char *host;
    char port[8];
    ConnectFn *fn;
    void *ctx;
    struct addrinfo *found, *first, *next; /* first: of those that are tried */
    bool any_first;
    int resolve_error;
    int fd;
    Source *src, *timer;
    bool resolving, cancelled;
    Err last;
    Buf head, answer; /* of a proxy */
    size_t sent;
};

static void free_now(Connector *c)
{
    c->src = source_free(c->src);
    c->timer = source_free(c->timer);
    closep(&c->fd);
    if (c->found)
        freeaddrinfo(c->found);
    buf_free(&c->head);
    buf_free(&c->answer);
    free(c->host);
    free(c);
}

Connector *connector_cancel(Connector *c)
{
    if (!c)
        return NULL;
    c->cancelled = true;
    c->timer = source_free(c->timer);
    if (!c->resolving)
        free_now(c);
    return NULL;
}

static void finish(Connector *c, int fd, const Err *err)
{
    ConnectFn *fn = c->fn;
    void *ctx = c->ctx;
    Err copy = err ? *err : (Err){ 0 };
    connector_cancel(c);
    fn(ctx, fd, err ? &copy : NULL);
}

static void tune(int fd)
{
    int on = 1, idle = CONNECT_KEEPALIVE_IDLE_S, interval = CONNECT_KEEPALIVE_INTERVAL_S;
    int probes = CONNECT_KEEPALIVE_PROBES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* ---- through a proxy ---- */

int connect_answer(StrView bytes, Err *err)
{
    ssize_t end = sv_find(bytes, SV("\r\n\r\n"));
    StrView line, version, status, reason;
    uint64_t code;

    if (end < 0)
        return bytes.len < ANSWER_MAX ? 0
                                      : err_set(err, ERR_PROTO, 0, "the answer has no end of head");
    sv_cut(sv_head(bytes, (size_t)end), '\r', &line, &reason);
    sv_cut(line, ' ', &version, &reason);
    sv_cut(reason, ' ', &status, &reason);
    if (!sv_starts(version, SV("HTTP/1.")) || status.len != 3 || sv_to_u64(status, &code) < 0)
        return err_set(err, ERR_PROTO, 0, "the answer is not HTTP: \"%.*s\"",
                       SV_FMT(sv_head(line, 60)));
    if (code < 200 || code > 299)
        return err_set(err, ERR_DENIED, 0, "%.*s",
                       SV_FMT(sv_head(reason.len ? sv_skip(line, version.len + 1) : status, 100)));
    if ((size_t)end + 4 < bytes.len)
        return err_set(err, ERR_PROTO, 0, "the answer has more than a head");
    return 1;
}

static void proxy_failed(Connector *c, Err *why)
{
    err_wrap(why, "proxy %s port %s", c->host, c->port);
    finish(c, -1, why);
}

/* 1: the answer is there; 0: it is awaited. */
static int proxy_step(Connector *c, Err *err)
{
    while (c->sent < c->head.len) {
        ssize_t n = send(c->fd, c->head.ptr + c->sent, c->head.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return source_set_events(c->src, LOOP_READ | LOOP_WRITE, err);
        if (n < 0)
            return err_set(err, ERR_CLOSED, errno, "send CONNECT");
        c->sent += (size_t)n;
    }
    if (!buf_reserve(&c->answer, ANSWER_MAX + 1))
        return err_nomem(err);
    ssize_t n = recv(c->fd, c->answer.ptr + c->answer.len, ANSWER_MAX - c->answer.len, 0);
    if (n < 0 && errno == EAGAIN)
        return source_set_events(c->src, LOOP_READ, err);
    if (n < 0)
        return err_set(err, ERR_CLOSED, errno, "read the answer to CONNECT");
    if (n == 0)
        return err_set(err, ERR_CLOSED, 0, "closed the connection before its answer");
    c->answer.len += (size_t)n;
    int r = connect_answer(buf_view(&c->answer), err);
    return r ? r : source_set_events(c->src, LOOP_READ, err);
}

static void on_proxy(void *ctx, uint32_t events)
{
    Connector *c = ctx;
    Err err = { 0 };
    (void)events;
    int r = proxy_step(c, &err);
    if (r < 0) {
        proxy_failed(c, &err);
    } else if (r > 0) {
        c->src = source_free(c->src);
        finish(c, TAKE_FD(c->fd), NULL);
    }
}

static void start_proxy(Connector *c)
{
    Err err = { 0 };
    if (loop_add_fd(c->loop, c->fd, LOOP_WRITE, on_proxy, c, &c->src, &err) < 0)
        proxy_failed(c, &err);
}

/* ---- addresses ---- */

static void try_next(Connector *c);

static void on_connected(void *ctx, uint32_t events)
{
    (void)events;
    Connector *c = ctx;
    int e = 0;
    socklen_t n = sizeof e;
    c->src = source_free(c->src);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
        e = errno;
    if (e == 0 && c->head.len) {
        start_proxy(c);
        return;
    }
    if (e == 0) {
        finish(c, TAKE_FD(c->fd), NULL);
        return;
    }
    err_set(&c->last, ERR_CLOSED, e, "connect to %s port %s", c->host, c->port);
    closep(&c->fd);
    try_next(c);
}

/* Starts on one address: true when it is under way. */
static bool try_address(Connector *c, int family, const struct sockaddr *sa, socklen_t len)
{
    c->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        err_errno(&c->last, "make a socket");
        return false;
    }
    if (family != AF_UNIX)
        tune(c->fd);
    if (connect(c->fd, sa, len) < 0 && errno != EINPROGRESS) {
        err_set(&c->last, ERR_CLOSED, errno, "connect to %s port %s", c->host, c->port);
        closep(&c->fd);
        return false;
    }
    if (loop_add_fd(c->loop, c->fd, LOOP_WRITE, on_connected, c, &c->src, &c->last) < 0) {
        closep(&c->fd);
        return false;
    }
    return true;
}

static void try_next(Connector *c)
{
    while (c->next) {
        struct addrinfo *a = c->next;
        c->next = a->ai_next ? a->ai_next : c->found;
        if (c->next == c->first)
            c->next = NULL;
        if (try_address(c, a->ai_family, a->ai_addr, a->ai_addrlen))
            return;
    }
    finish(c, -1, &c->last);
}

static struct addrinfo *pick_any(struct addrinfo *list)
{
    uint32_t n = 0, at = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        n++;
    if (n > 1 && random_bytes(&at, sizeof at) == 0)
        for (at %= n; at > 0; at--)
            list = list->ai_next;
    return list;
}

static void resolve(void *ctx)
{
    Connector *c = ctx;
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG };
    c->resolve_error = getaddrinfo(c->host, c->port, &hints, &c->found);
}

static void resolved(void *ctx)
{
    Connector *c = ctx;
    c->resolving = false;
    if (c->cancelled) {
        free_now(c);
        return;
    }
    if (c->resolve_error != 0)
        err_set(&c->last, ERR_NOT_FOUND, 0, "look up '%s': %s", c->host,
                gai_strerror(c->resolve_error));
    c->first = c->next = c->any_first ? pick_any(c->found) : c->found;
    try_next(c);
}

static void on_timeout(void *ctx)
{
    Connector *c = ctx;
    Err err = { 0 };
    err_set(&err, ERR_TIMEOUT, 0, "connect to %s port %s: no answer in time", c->host, c->port);
    finish(c, -1, &err);
}

static void start_unix(void *ctx)
{
    Connector *c = ctx;
    c->resolving = false;
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    if (c->cancelled) {
        free_now(c);
        return;
    }
    if (!sv_copy_cstr(sv_cstr(c->host + strlen("unix:")), sun.sun_path, sizeof sun.sun_path))
        err_set(&c->last, ERR_INVALID, 0, "the socket path in '%s' is too long", c->host);
    else if (try_address(c, AF_UNIX, (struct sockaddr *)&sun, sizeof sun))
        return;
    finish(c, -1, &c->last);
}

/* Addresses need no thread. */
static void start_numeric(void *ctx)
{
    resolved(ctx);
}

static int start(Connector *c, Err *err)
{
    c->resolving = true;
    if (sv_starts(sv_cstr(c->host), SV("unix:")))
        return loop_defer(c->loop, start_unix, c, err);
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST };
    if (getaddrinfo(c->host, c->port, &hints, &c->found) == 0)
        return loop_defer(c->loop, start_numeric, c, err);
    c->found = NULL;
    return loop_work(c->loop, resolve, resolved, c, err);
}

int connector_new(Loop *l, const ConnectTo *to, ConnectFn *fn, void *ctx, Connector **ret, Err *err)
{
    Connector *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    c->loop = l;
    c->fd = -1;
    c->fn = fn;
    c->ctx = ctx;
    c->any_first = to->any_first;
    c->host = strdup(to->host);
    snprintf(c->port, sizeof c->port, "%u", to->port);
    buf_sv(&c->head, to->proxy_head);
    int r = c->host && !c->head.failed
                ? loop_add_timer(l, to->timeout_ms, 0, on_timeout, c, &c->timer, err)
                : err_nomem(err);
    if (r == 0)
        r = start(c, err);
    if (r < 0) {
        free_now(c);
        return r;
    }
    *ret = c;
    return 0;
}
