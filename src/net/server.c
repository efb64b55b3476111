/* server.c - the HTTP server: listens, keeps its connections, their timeouts and their life.
 *
 * The protocol of a connection is known after the TLS handshake (ALPN) or, in clear text, by its
 * first bytes. One coarse timer looks after all connections, so that a request costs no timer of
 * its own. */
#include "net/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum {
    ACCEPTS_PER_TURN = 64,
    LISTEN_BACKLOG = 1024,
    KEEPALIVE_IDLE_S = 15, /* finds half-open connections in about a minute */
    KEEPALIVE_INTERVAL_S = 15,
    KEEPALIVE_PROBES = 3,
};

/* ---- the bound that servers share ---- */

static bool limit_reached(HttpServer *s)
{
    HttpConnLimit *l = s->cfg.limit;
    if (!l || l->open < l->max)
        return false;
    if (!s->limited && source_set_events(s->src, 0, NULL) == 0) {
        s->limited = true;
        s->next_waiting = l->waiting;
        l->waiting = s;
    }
    return true;
}

static void limit_forget(HttpServer *s)
{
    HttpServer **at = s->limited ? &s->cfg.limit->waiting : NULL;
    while (at && *at != s)
        at = &(*at)->next_waiting;
    if (at)
        *at = s->next_waiting;
    s->limited = false;
}

static void limit_release(HttpConnLimit *l)
{
    if (!l)
        return;
    l->open--;
    HttpServer *s = l->waiting;
    if (!s)
        return;
    limit_forget(s);
    if (!s->accept_paused && source_set_events(s->src, LOOP_READ, NULL) < 0)
        s->accept_paused = true; /* the next sweep tries again */
}

/* ---- connections ---- */

static void pump_now(void *ctx)
{
    HttpConn *c = ctx;
    c->pump_due = false;
    conn_enter(c);
    if (c->ops && !c->closing)
        c->ops->pump(c);
    conn_leave(c);
}

static void conn_unlink(HttpConn *c)
{
    HttpServer *s = c->srv;
    if (!s)
        return;
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->srv = NULL;
    atomic_fetch_sub(&s->n_open, 1);
    if (--s->n_conns == 0 && !s->accept_paused)
        source_stop_timer(s->sweep);
    limit_release(s->cfg.limit);
}

static void conn_destroy(HttpConn *c)
{
    c->busy++; /* callbacks below must not come back here */
    conn_unlink(c);
    if (c->pump_due)
        loop_defer_cancel(c->loop, pump_now, c);
    c->pump_due = false;
    while (c->exchanges)
        exchange_gone(c->exchanges);
    if (c->pump_due) /* asked for by a callback */
        loop_defer_cancel(c->loop, pump_now, c);
    if (c->ops)
        c->ops->free(c);
    net_stream_free(c->stream);
    free(c);
}

void conn_leave(HttpConn *c)
{
    ASSERT(c->busy > 0);
    if (--c->busy == 0 && c->closing)
        conn_destroy(c);
}

void conn_close(HttpConn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (c->busy == 0)
        conn_destroy(c);
}

void conn_end(HttpConn *c)
{
    c->ending = true;
    if (c->stream)
        net_stream_end(c->stream);
}

void conn_pump_later(HttpConn *c)
{
    if (c->pump_due || c->closing)
        return;
    if (loop_defer(c->loop, pump_now, c, NULL) < 0)
        conn_close(c);
    else
        c->pump_due = true;
}

void conn_dispatch(HttpConn *c)
{
    while (c->ready && !c->closing) {
        Exchange *e = c->ready;
        c->ready = e->next_ready;
        if (!c->ready)
            c->ready_tail = NULL;
        e->state = EX_HANDLING;
        e->handled = true;
        c->cfg.handler(c->cfg.ctx, &e->req);
    }
}

static int conn_choose(HttpConn *c, bool h2, Err *err)
{
    c->ops = h2 ? &server_h2_ops : &server_h1_ops;
    return h2 ? server_h2_init(c, err) : server_h1_init(c, err);
}

static int feed(HttpConn *c, const void *data, size_t len, Err *err)
{
    return c->ending || c->closing ? 0 : c->ops->feed(c, data, len, err);
}

/* In clear text HTTP/2 begins with "PRI", which no method of HTTP/1 does. */
static int detect(HttpConn *c, const void **data, size_t *len, Err *err)
{
    static const char preface[3] = "PRI";
    const char *p = *data;
    while (*len > 0 && c->n_start < sizeof preface && *p == preface[c->n_start]) {
        c->start[c->n_start++] = *p++;
        --*len;
    }
    *data = p;
    bool h2 = c->n_start == sizeof preface;
    if (!h2 && *len == 0)
        return 0; /* not decided yet */
    int r = conn_choose(c, h2, err);
    return r < 0 ? r : feed(c, c->start, c->n_start, err);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    HttpConn *c = ctx;
    Err err = { 0 };
    conn_enter(c);
    int r = c->ops ? 0 : detect(c, &data, &len, &err);
    if (r == 0 && c->ops && len > 0)
        r = feed(c, data, len, &err);
    conn_dispatch(c);
    if (r < 0)
        conn_close(c);
    else if (c->ops && !c->closing && c->stream)
        c->ops->pump(c);
    conn_leave(c);
}

static void on_end(void *ctx, const Err *why)
{
    (void)why;
    conn_close(ctx);
}

static void on_drain(void *ctx)
{
    HttpConn *c = ctx;
    conn_enter(c);
    if (c->ops && !c->closing)
        c->ops->pump(c);
    conn_leave(c);
}

static void on_ready(void *ctx)
{
    HttpConn *c = ctx;
    c->since_ns = loop_now_ns(c->loop);
    if (!c->cfg.tls)
        return;
    conn_enter(c);
    if (conn_choose(c, net_stream_is_h2(c->stream), NULL) < 0)
        conn_close(c);
    else
        c->ops->pump(c);
    conn_leave(c);
}

static void tune_socket(int fd, int family)
{
    if (family != AF_INET && family != AF_INET6)
        return;
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, n = KEEPALIVE_PROBES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n, sizeof n);
}

static int sweep_start(HttpServer *s, Err *err);

static bool conn_new(HttpServer *s, int fd, const struct sockaddr_storage *remote)
{
    HttpConn *c = s->n_conns < s->cfg.conns_max ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return false;
    }
    c->srv = s;
    c->cfg = s->cfg;
    c->loop = s->loop;
    c->remote = *remote;
    c->since_ns = loop_now_ns(s->loop);
    tune_socket(fd, remote->ss_family);
    if (net_stream_new_server(s->loop, fd, s->cfg.tls, &c->stream, NULL) < 0) {
        free(c);
        return false;
    }
    if (s->n_conns == 0 && sweep_start(s, NULL) < 0) {
        net_stream_free(c->stream);
        free(c);
        return false;
    }
    s->n_conns++;
    if (s->cfg.limit) {
        s->cfg.limit->open++;
        s->cfg.limit->accepted++;
    }
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    net_stream_on_ready(c->stream, on_ready, c);
    net_stream_start(c->stream, &(NetStreamEvents){ on_data, on_end, on_drain, c });
    return true;
}

/* ---- connections that another server has accepted ---- */

struct Adoption {
    Adoption *next;
    int fd;
    struct sockaddr_storage remote;
};

static Adoption *take_adoptions(HttpServer *s)
{
    pthread_mutex_lock(&s->lock);
    Adoption *all = TAKE_PTR(s->adoptions);
    s->adopt_posted = false;
    pthread_mutex_unlock(&s->lock);
    return all;
}

static void adopt_now(void *ctx)
{
    HttpServer *s = ctx;
    for (Adoption *a = take_adoptions(s), *next; a; a = next) {
        next = a->next;
        if (!conn_new(s, a->fd, &a->remote))
            atomic_fetch_sub(&s->n_open, 1);
        free(a);
    }
}

void http_server_adopt(HttpServer *s, int fd, const struct sockaddr_storage *remote)
{
    Adoption *a = malloc(sizeof *a);
    if (!a) {
        close(fd);
        return;
    }
    atomic_fetch_add(&s->n_open, 1);
    pthread_mutex_lock(&s->lock);
    *a = (Adoption){ s->adoptions, fd, *remote };
    s->adoptions = a;
    if (!s->adopt_posted) {
        s->adopt_posted = true;
        loop_post_task(s->loop, &s->adopt);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Of a server that ends. */
static void drop_adoptions(HttpServer *s)
{
    loop_task_cancel(s->loop, &s->adopt);
    for (Adoption *a = take_adoptions(s), *next; a; a = next) {
        next = a->next;
        close(a->fd);
        free(a);
    }
}

unsigned http_server_open(const HttpServer *s)
{
    return atomic_load(&s->n_open);
}

/* A connection that this server has accepted. */
static void hand_out(HttpServer *s, int fd, const struct sockaddr_storage *remote)
{
    HttpServer *to = s->cfg.spread ? s->cfg.spread(s->cfg.ctx) : s;
    if (to != s) {
        http_server_adopt(to, fd, remote);
        return;
    }
    atomic_fetch_add(&s->n_open, 1);
    if (!conn_new(s, fd, remote))
        atomic_fetch_sub(&s->n_open, 1);
}

/* ---- time ---- */

/* A peer that takes nothing of an answer for so long is given up. */
static const int64_t STALL_MAX = INT64_C(60) * 1000 * 1000 * 1000;

static void conn_sweep(HttpConn *c, int64_t now)
{
    int64_t idle = (int64_t)c->cfg.idle_timeout_ms * 1000000;
    int64_t request = (int64_t)c->cfg.request_timeout_ms * 1000000, stall = MIN(idle, STALL_MAX);
    if (!c->ops) { /* handshake, or not even the first bytes */
        if (now - c->since_ns > request)
            conn_close(c);
        return;
    }
    if (net_stream_pending(c->stream) > 0 && now - net_stream_progress_ns(c->stream) > stall) {
        conn_close(c);
        return;
    }
    if (c->message_ns && now - c->message_ns > request) {
        conn_close(c);
        return;
    }
    if (!c->exchanges && now - c->since_ns > idle) {
        c->ops->shutdown(c);
        return;
    }
    for (Exchange *e = c->exchanges, *next; e; e = next) {
        next = e->next;
        bool answered = e->state == EX_RESPONDING || e->state == EX_ENDED;
        if (e->state == EX_READING && now - e->since_ns > request)
            c->ops->timed_out(e);
        else if (answered && exchange_available(e) > 0 && now - e->since_ns > stall)
            c->ops->reset(e); /* HTTP/2: its window stays closed */
    }
}

static void on_sweep(void *ctx)
{
    HttpServer *s = ctx;
    int64_t now = loop_now_ns(s->loop);
    if (s->accept_paused) {
        s->accept_paused = source_set_events(s->src, LOOP_READ, NULL) < 0;
        if (s->n_conns == 0)
            source_stop_timer(s->sweep);
    }
    for (HttpConn *c = s->conns, *next; c; c = next) {
        /* Closing one connection may, through callbacks, not close another: those only mark. */
        next = c->next;
        if (next)
            conn_enter(next);
        conn_enter(c);
        if (!c->closing)
            conn_sweep(c, now);
        conn_leave(c);
        if (next) {
            bool dead = next->closing;
            HttpConn *after = next->next;
            conn_leave(next);
            if (dead)
                next = after;
        }
    }
}

static int sweep_start(HttpServer *s, Err *err)
{
    uint32_t ms = MIN(s->cfg.idle_timeout_ms, s->cfg.request_timeout_ms) / 4;
    ms = MAX(10u, MIN(ms, 5000u));
    return source_set_timer(s->sweep, ms, ms, err);
}

StrView conn_date(HttpConn *c)
{
    static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    HttpServer *s = c->srv;
    if (!s)
        return SV("");
    time_t now = time(NULL);
    if (now != s->date_sec) {
        struct tm tm;
        gmtime_r(&now, &tm);
        snprintf(s->date, sizeof s->date, "%s, %02d %s %d %02d:%02d:%02d GMT", days[tm.tm_wday % 7],
                 tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
        s->date_sec = now;
    }
    return sv_cstr(s->date);
}

/* ---- listening ---- */

static void on_accept(void *ctx, uint32_t events)
{
    (void)events;
    HttpServer *s = ctx;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage remote = { 0 };
        socklen_t len = sizeof remote;
        if (limit_reached(s))
            return;
        int fd = accept4(s->fd, (struct sockaddr *)&remote, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_out(s, fd, &remote);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The waiting connection would wake the loop for ever: look again at the next sweep. */
            if (sweep_start(s, NULL) == 0 && source_set_events(s->src, 0, NULL) == 0)
                s->accept_paused = true;
            return;
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static int listen_unix(const char *path, int *ret_fd, Err *err)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    if (!sv_copy_cstr(sv_cstr(path), sun.sun_path, sizeof sun.sun_path))
        return err_set(err, ERR_INVALID, 0, "the socket path '%s' is too long", path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, "make a socket");
    unlink(path); /* a left-over of an earlier run */
    if (bind(fd, (struct sockaddr *)&sun, sizeof sun) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return err_errno(err, "listen on '%s'", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int parse_address(const char *addr, struct sockaddr_storage *ss, socklen_t *len, Err *err)
{
    StrView s = sv_cstr(addr);
    ssize_t colon = sv_rfind_char(s, ':');
    uint64_t port;
    char host[INET6_ADDRSTRLEN + 1];
    if (colon < 0 || sv_to_u64(sv_skip(s, (size_t)colon + 1), &port) < 0 || port > 65535)
        return err_set(err, ERR_INVALID, 0, "'%s' is not an address with a port", addr);
    StrView h = sv_head(s, (size_t)colon);
    if (sv_starts(h, SV("[")) && sv_ends(h, SV("]")))
        h = sv_head(sv_skip(h, 1), h.len - 2);
    struct sockaddr_in *in4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
    if (!sv_copy_cstr(h, host, sizeof host))
        return err_set(err, ERR_INVALID, 0, "'%s' is not an address with a port", addr);
    if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons((uint16_t)port);
        *len = sizeof *in4;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        *len = sizeof *in6;
        return 0;
    }
    return err_set(err, ERR_INVALID, 0, "'%s' is not an address with a port", addr);
}

static int listen_inet(const char *addr, bool later, int *ret_fd, Err *err)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = 0;
    int r = parse_address(addr, &ss, &len, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, "make a socket");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (later && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on) < 0)
        return err_errno(err, "listen on %s before it is there", addr);
    if (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return err_errno(err, "listen on %s", addr);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return 0;
    if (ss.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&ss)->sin_port);
    return ss.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&ss)->sin6_port) : 0;
}

static void default_u32(uint32_t *v, uint32_t fallback)
{
    if (*v == 0)
        *v = fallback;
}

static int server_new(Loop *l, int fd, const HttpServerConfig *cfg, HttpServer **ret, Err *err)
{
    HttpServer *s = calloc(1, sizeof *s);
    if (!s) {
        closep(&fd);
        return err_nomem(err);
    }
    s->loop = l;
    s->fd = fd;
    s->adopt = (LoopTask){ .fn = adopt_now, .ctx = s };
    pthread_mutex_init(&s->lock, NULL);
    s->cfg = *cfg;
    s->cfg.tls = tls_context_ref(cfg->tls);
    default_u32(&s->cfg.header_max, HTTP_HEADER_MAX_DEFAULT);
    default_u32(&s->cfg.idle_timeout_ms, HTTP_IDLE_TIMEOUT_DEFAULT);
    default_u32(&s->cfg.request_timeout_ms, HTTP_REQUEST_TIMEOUT_DEFAULT);
    default_u32(&s->cfg.conns_max, HTTP_CONNS_MAX);
    s->port = fd < 0 ? 0 : bound_port(fd);
    int r = loop_add_timer(l, 0, 0, on_sweep, s, &s->sweep, err);
    if (r == 0) {
        source_stop_timer(s->sweep);
        r = fd < 0 ? 0 : loop_add_fd(l, fd, LOOP_READ, on_accept, s, &s->src, err);
    }
    if (r < 0) {
        http_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int http_server_new_fd(Loop *l, int fd, const HttpServerConfig *cfg, HttpServer **ret, Err *err)
{
    return server_new(l, fd, cfg, ret, err);
}

int http_server_new_adopting(Loop *l, const HttpServerConfig *cfg, HttpServer **ret, Err *err)
{
    return server_new(l, -1, cfg, ret, err);
}

int http_server_new(Loop *l, const char *addr, const HttpServerConfig *cfg, HttpServer **ret,
                    Err *err)
{
    bool is_unix = sv_starts(sv_cstr(addr), SV("unix:"));
    _cleanup_free_ char *path = is_unix ? strdup(addr + strlen("unix:")) : NULL;
    if (is_unix && !path)
        return err_nomem(err);
    int fd = -1;
    int r = is_unix ? listen_unix(path, &fd, err) : listen_inet(addr, cfg->address_later, &fd, err);
    if (r == 0)
        r = http_server_new_fd(l, fd, cfg, ret, err);
    if (r < 0)
        return r;
    (*ret)->unix_path = TAKE_PTR(path);
    return 0;
}

/* What has been answered is not lost with the connection, as far as the kernel takes it. */
static void close_last(HttpConn *c)
{
    conn_enter(c);
    conn_unlink(c);
    if (c->ops && !c->closing)
        c->ops->pump(c);
    if (c->stream && !c->closing)
        net_stream_flush(c->stream);
    conn_close(c);
    conn_leave(c);
}

HttpServer *http_server_free(HttpServer *s)
{
    if (!s)
        return NULL;
    while (s->conns)
        close_last(s->conns);
    drop_adoptions(s);
    limit_forget(s);
    s->src = source_free(s->src);
    s->sweep = source_free(s->sweep);
    if (s->unix_path)
        unlink(s->unix_path);
    free(s->unix_path);
    closep(&s->fd);
    tls_context_unref(s->cfg.tls);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

uint16_t http_server_port(const HttpServer *s)
{
    return s->port;
}

void http_server_set_tls(HttpServer *s, TlsContext *tls)
{
    TlsContext *old = s->cfg.tls;
    s->cfg.tls = tls_context_ref(tls);
    tls_context_unref(old);
}
