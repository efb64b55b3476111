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
    CONNECT_KEEPALIVE_PROBES = 3
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
};

static void free_now(Connector *c)
{
    c->src = source_free(c->src);
    c->timer = source_free(c->timer);
    closep(&c->fd);
    if (c->found)
        freeaddrinfo(c->found);
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
    int r = c->host ? loop_add_timer(l, to->timeout_ms, 0, on_timeout, c, &c->timer, err)
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
