/* listen.c - reads questions, writes answers, and keeps the list of those that are not answered
 * yet. A connection stays as long as messages pass; one that does not take its answers, or asks
 * more than is pending at most, is not read until it has caught up. */
#include "dns/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "dns/answer.h"

enum { UDP_BATCH = 64 };

typedef struct DnsConn {
    DnsListener *listener;
    Source *src, *timer;
    int fd;
    Buf in, out;
    DnsPeer *peers;
    unsigned pending;
    bool reading, ended; /* ended: the asker sends no more, but may still read */
    bool busy;           /* tcp_parse() is on the stack: it looks at `lost` itself */
    bool lost;
    int64_t last_ns;
} DnsConn;

struct DnsListener {
    Loop *loop;
    DnsHandler h;
    int udp, tcp;
    Source *udp_src, *tcp_src;
    DnsPeer *udp_peers;
    unsigned n_udp;
    DnsConn conns[DNS_TCP_MAX];
};

/* ---- peers ---- */

static DnsPeer **list_of(DnsPeer *p)
{
    return p->conn ? &p->conn->peers : &p->listener->udp_peers;
}

static DnsPeer *peer_new(DnsListener *s, DnsConn *c, const struct sockaddr_in *from)
{
    DnsPeer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (DnsPeer){ .tcp = c != NULL, .listener = s, .conn = c };
    if (from)
        p->from = *from;
    p->next = *list_of(p);
    if (p->next)
        p->next->prev = p;
    *list_of(p) = p;
    (*(c ? &c->pending : &s->n_udp))++;
    return p;
}

static void peer_free(DnsPeer *p)
{
    *(p->prev ? &p->prev->next : list_of(p)) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    (*(p->conn ? &p->conn->pending : &p->listener->n_udp))--;
    free(p);
}

static void drop_peers(DnsListener *s, DnsPeer **list)
{
    while (*list) {
        if ((*list)->state)
            s->h.on_gone(s->h.ctx, *list);
        peer_free(*list);
    }
}

/* ---- TCP ---- */

static void conn_end(DnsConn *c)
{
    c->lost = true;
    if (c->busy)
        return;
    c->src = source_free(c->src);
    c->timer = source_free(c->timer);
    closep(&c->fd);
    drop_peers(c->listener, &c->peers);
    buf_free(&c->in);
    buf_free(&c->out);
}

static void on_idle(void *ctx)
{
    conn_end(ctx);
}

/* A message has passed. */
static void touch(DnsConn *c)
{
    c->last_ns = loop_now_ns(c->listener->loop);
    if (source_set_timer(c->timer, c->listener->h.idle_ms, 0, NULL) < 0)
        conn_end(c);
}

static bool may_read(const DnsConn *c)
{
    return !c->ended && c->pending < DNS_TCP_PENDING_MAX && c->out.len < DNS_TCP_OUT_MAX;
}

static void conn_watch(DnsConn *c)
{
    c->reading = may_read(c);
    uint32_t events = (c->reading ? LOOP_READ : 0) | (c->out.len ? LOOP_WRITE : 0);
    if (source_set_events(c->src, events, NULL) < 0)
        conn_end(c);
}

/* Writes what the socket takes. */
static void conn_flush(DnsConn *c)
{
    while (c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n < 0) {
            conn_end(c);
            return;
        }
        buf_consume(&c->out, (size_t)n);
    }
    if (c->ended && !c->pending && !c->out.len)
        conn_end(c);
    else
        conn_watch(c);
}

/* Hands on what has arrived whole. */
static void tcp_parse(DnsConn *c)
{
    DnsListener *s = c->listener;
    c->busy = true;
    while (!c->lost && may_read(c) && c->in.len >= 2) {
        size_t n = (size_t)((unsigned char)c->in.ptr[0] << 8 | (unsigned char)c->in.ptr[1]);
        if (c->in.len < n + 2)
            break;
        bool query = n >= DNS_HEADER && !(c->in.ptr[4] & (char)0x80);
        DnsPeer *p = query ? peer_new(s, c, NULL) : NULL;
        if (!p) {
            c->lost = true;
            break;
        }
        touch(c);
        s->h.on_query(s->h.ctx, p, sv_n(c->in.ptr + 2, n));
        buf_consume(&c->in, n + 2);
    }
    c->busy = false;
    if (c->lost)
        conn_end(c);
    else
        conn_flush(c);
}

static void on_tcp(void *ctx, uint32_t events)
{
    DnsConn *c = ctx;
    char data[16384];
    if (events & LOOP_WRITE && c->out.len) {
        tcp_parse(c); /* writes, and goes on with what had to wait */
        return;
    }
    ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        buf_append(&c->in, data, (size_t)n);
    c->ended |= n == 0;
    if (n < 0 || c->in.failed)
        conn_end(c);
    else if (c->ended && !c->pending && !c->out.len)
        conn_end(c);
    else if (c->ended)
        conn_watch(c);
    else
        tcp_parse(c);
}

static DnsConn *free_conn(DnsListener *s)
{
    DnsConn *oldest = NULL;
    for (unsigned i = 0; i < DNS_TCP_MAX; i++) {
        DnsConn *c = &s->conns[i];
        if (c->fd < 0)
            return c;
        if (!c->pending && (!oldest || c->last_ns < oldest->last_ns))
            oldest = c;
    }
    if (oldest)
        conn_end(oldest);
    return oldest;
}

static void on_connect(void *ctx, uint32_t events)
{
    DnsListener *s = ctx;
    int fd = accept4(s->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    DnsConn *c = free_conn(s);
    if (!c) {
        close(fd);
        return;
    }
    *c = (DnsConn){ .listener = s, .fd = fd, .reading = true };
    c->last_ns = loop_now_ns(s->loop);
    c->in.limit = DNS_PACKET_MAX + 2 + 16384;
    if (loop_add_fd(s->loop, fd, LOOP_READ, on_tcp, c, &c->src, NULL) < 0 ||
        loop_add_timer(s->loop, s->h.idle_ms, 0, on_idle, c, &c->timer, NULL) < 0)
        conn_end(c);
}

static void tcp_reply(DnsConn *c, StrView answer)
{
    dns_put16(&c->out, (unsigned)answer.len);
    buf_sv(&c->out, answer);
    if (c->out.failed) {
        conn_end(c);
        return;
    }
    touch(c);
    if (!c->busy && !c->lost)
        tcp_parse(c); /* there may be room for more questions now */
}

/* ---- UDP ---- */

static void on_udp(void *ctx, uint32_t events)
{
    DnsListener *s = ctx;
    char packet[DNS_PACKET_MAX];
    for (int i = 0; i < UDP_BATCH; i++) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n =
            recvfrom(s->udp, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
        if (n < 0)
            return;
        bool query = n >= DNS_HEADER && !(packet[2] & (char)0x80); /* never answer an answer */
        DnsPeer *p = query && s->n_udp < DNS_UDP_PENDING_MAX ? peer_new(s, NULL, &from) : NULL;
        if (p)
            s->h.on_query(s->h.ctx, p, sv_n(packet, (size_t)n));
    }
}

void dns_peer_reply(DnsPeer *p, StrView answer)
{
    DnsListener *s = p->listener;
    DnsConn *c = p->conn;
    struct sockaddr_in from = p->from;
    peer_free(p);
    if (c && answer.len)
        tcp_reply(c, answer);
    else if (c && !c->busy)
        tcp_parse(c);
    else if (!c && answer.len)
        sendto(s->udp, answer.ptr, answer.len, MSG_DONTWAIT, (struct sockaddr *)&from, sizeof from);
}

/* ---- start ---- */

static int open_socket(int type, const struct sockaddr_in *addr, const char *text, Err *err)
{
    int on = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 ||
        (type == SOCK_STREAM && listen(fd, DNS_TCP_MAX) < 0)) {
        int r = err_errno(err, "listen on %s", text);
        closep(&fd);
        return r;
    }
    return fd;
}

static int parse_address(const char *text, struct sockaddr_in *addr, Err *err)
{
    StrView host, port;
    char ip[INET_ADDRSTRLEN];
    uint64_t n;
    *addr = (struct sockaddr_in){ .sin_family = AF_INET };
    if (!sv_cut(sv_cstr(text), ':', &host, &port) || !sv_copy_cstr(host, ip, sizeof ip) ||
        inet_pton(AF_INET, ip, &addr->sin_addr) != 1 || sv_to_u64(port, &n) < 0 || n > 65535)
        return err_set(err, ERR_INVALID, 0, "--listen: '%s' is no ADDRESS:PORT", text);
    addr->sin_port = htons((uint16_t)n);
    return 0;
}

static int listen_all(DnsListener *s, const char *text, Err *err)
{
    struct sockaddr_in addr;
    int r = parse_address(text, &addr, err);
    if (r < 0 || (r = s->udp = open_socket(SOCK_DGRAM, &addr, text, err)) < 0)
        return r;
    addr.sin_port = htons(dns_listener_port(s));
    if ((r = s->tcp = open_socket(SOCK_STREAM, &addr, text, err)) < 0 ||
        (r = loop_add_fd(s->loop, s->udp, LOOP_READ, on_udp, s, &s->udp_src, err)) < 0)
        return r;
    return loop_add_fd(s->loop, s->tcp, LOOP_READ, on_connect, s, &s->tcp_src, err);
}

int dns_listener_new(Loop *l, const char *address, const DnsHandler *h, DnsListener **ret, Err *err)
{
    DnsListener *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->loop = l;
    s->h = *h;
    if (!s->h.idle_ms)
        s->h.idle_ms = DNS_TCP_IDLE_MS;
    s->udp = s->tcp = -1;
    for (unsigned i = 0; i < DNS_TCP_MAX; i++)
        s->conns[i] = (DnsConn){ .listener = s, .fd = -1 };
    int r = listen_all(s, address, err);
    if (r < 0) {
        dns_listener_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

DnsListener *dns_listener_free(DnsListener *s)
{
    if (!s)
        return NULL;
    for (unsigned i = 0; i < DNS_TCP_MAX; i++)
        conn_end(&s->conns[i]);
    drop_peers(s, &s->udp_peers);
    source_free(s->udp_src);
    source_free(s->tcp_src);
    closep(&s->udp);
    closep(&s->tcp);
    free(s);
    return NULL;
}

uint16_t dns_listener_port(const DnsListener *s)
{
    struct sockaddr_in addr = { 0 };
    socklen_t len = sizeof addr;
    getsockname(s->udp, (struct sockaddr *)&addr, &len);
    return ntohs(addr.sin_port);
}
