/* exchange.c - attempts at servers over UDP and TCP. next_attempt() begins one; it ends in
 * attempt_failed() or finish(). */
#include "dns/exchange.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "base/encode.h"
#include "dns/message.h"

struct DnsExchange {
    Loop *loop;
    DnsServers *servers;
    unsigned attempt, first;
    bool tcp;
    int fd;
    Source *src, *timer;
    Buf query; /* without the length that TCP wants in front */
    size_t sent;
    Buf in;       /* TCP: what has arrived */
    Buf fallback; /* a failure that a server reported, for when none has better */
    DnsExchangeFn *done;
    void *ctx;
};

void dns_servers_read(StrView text, DnsServers *s)
{
    StrView line, key, value;
    while (s->n < DNS_SERVERS_MAX && sv_next(&text, '\n', &line)) {
        char ip[INET_ADDRSTRLEN];
        struct sockaddr_in *a = &s->addr[s->n];
        line = sv_trim(line);
        size_t n = 0;
        while (n < line.len && line.ptr[n] != ' ' && line.ptr[n] != '\t')
            n++;
        key = sv_head(line, n);
        value = sv_trim(sv_skip(line, n));
        for (n = 0; n < value.len && value.ptr[n] != ' ' && value.ptr[n] != '\t';)
            n++;
        *a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(53) };
        if (sv_eq(key, SV("nameserver")) && sv_copy_cstr(sv_head(value, n), ip, sizeof ip) &&
            inet_pton(AF_INET, ip, &a->sin_addr) == 1)
            s->n++;
    }
}

static void close_attempt(DnsExchange *e)
{
    e->src = source_free(e->src);
    closep(&e->fd);
    buf_clear(&e->in);
    e->sent = 0;
}

static void finish(DnsExchange *e, StrView reply)
{
    close_attempt(e);
    source_stop_timer(e->timer);
    e->done(e->ctx, reply);
}

static void next_attempt(void *ctx);

static void attempt_failed(DnsExchange *e)
{
    close_attempt(e);
    e->tcp = false;
    e->attempt++;
    next_attempt(e);
}

static void on_timeout(void *ctx)
{
    attempt_failed(ctx);
}

static unsigned server_of(const DnsExchange *e)
{
    return (e->first + e->attempt) % e->servers->n;
}

static bool begin_tcp(DnsExchange *e);

/* A reply that matches; it ends the attempt one way or the other. */
static void take_reply(DnsExchange *e, StrView reply)
{
    unsigned rcode = dns_reply_rcode(reply);
    if (!e->tcp && dns_reply_truncated(reply)) {
        close_attempt(e);
        if (!begin_tcp(e))
            attempt_failed(e);
        return;
    }
    if (rcode == 0 || rcode == DNS_RCODE_NXDOMAIN) {
        e->servers->first = server_of(e);
        finish(e, reply);
        return;
    }
    buf_clear(&e->fallback);
    buf_sv(&e->fallback, reply);
    attempt_failed(e);
}

static void on_udp(void *ctx, uint32_t events)
{
    DnsExchange *e = ctx;
    char packet[DNS_PACKET_MAX];
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(e->fd, packet, sizeof packet, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) { /* nobody listens there */
            attempt_failed(e);
            return;
        }
        if (dns_reply_matches(sv_n(packet, (size_t)n), buf_view(&e->query))) {
            take_reply(e, sv_n(packet, (size_t)n));
            return;
        }
    }
}

/* Sends what is left of length and query; false: the connection is lost. */
static bool send_tcp(DnsExchange *e)
{
    char head[2] = { (char)(e->query.len >> 8), (char)e->query.len };
    while (e->sent < e->query.len + 2) {
        bool in_head = e->sent < 2;
        const char *p = in_head ? head + e->sent : e->query.ptr + e->sent - 2;
        size_t len = in_head ? 2 - e->sent : e->query.len + 2 - e->sent;
        ssize_t n = send(e->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT | (in_head ? MSG_MORE : 0));
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        e->sent += (size_t)n;
    }
    return source_set_events(e->src, LOOP_READ, NULL) == 0;
}

static void on_tcp(void *ctx, uint32_t events)
{
    DnsExchange *e = ctx;
    char data[4096];
    if (events & LOOP_WRITE && e->sent < e->query.len + 2 && !send_tcp(e)) {
        attempt_failed(e);
        return;
    }
    ssize_t n = recv(e->fd, data, sizeof data, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN))
        return;
    if (n > 0)
        buf_append(&e->in, data, (size_t)n);
    if (n <= 0 || e->in.failed) {
        attempt_failed(e);
        return;
    }
    if (e->in.len < 2)
        return;
    size_t want = (size_t)((unsigned char)e->in.ptr[0] << 8 | (unsigned char)e->in.ptr[1]);
    if (e->in.len < want + 2)
        return;
    _cleanup_buf_ Buf reply = BUF_INIT; /* the attempt's own buffer goes with the attempt */
    buf_append(&reply, e->in.ptr + 2, want);
    if (!reply.failed && dns_reply_matches(buf_view(&reply), buf_view(&e->query)))
        take_reply(e, buf_view(&reply));
    else
        attempt_failed(e);
}

static int open_socket(DnsExchange *e, int type)
{
    const struct sockaddr_in *to = &e->servers->addr[server_of(e)];
    e->fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->fd < 0)
        return -1;
    int r = connect(e->fd, (const struct sockaddr *)to, sizeof *to);
    return r < 0 && errno == EINPROGRESS ? 0 : r;
}

static bool begin_tcp(DnsExchange *e)
{
    e->tcp = true;
    return open_socket(e, SOCK_STREAM) == 0 &&
           loop_add_fd(e->loop, e->fd, LOOP_READ | LOOP_WRITE, on_tcp, e, &e->src, NULL) == 0 &&
           source_set_timer(e->timer, e->servers->attempt_ms, 0, NULL) == 0;
}

static bool begin_udp(DnsExchange *e)
{
    return random_bytes(e->query.ptr, 2) == 0 && open_socket(e, SOCK_DGRAM) == 0 &&
           send(e->fd, e->query.ptr, e->query.len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
               (ssize_t)e->query.len &&
           loop_add_fd(e->loop, e->fd, LOOP_READ, on_udp, e, &e->src, NULL) == 0 &&
           source_set_timer(e->timer, e->servers->attempt_ms, 0, NULL) == 0;
}

static void next_attempt(void *ctx)
{
    DnsExchange *e = ctx;
    while (e->attempt < e->servers->n * DNS_ROUNDS) {
        if (begin_udp(e))
            return;
        close_attempt(e);
        e->attempt++;
    }
    finish(e, buf_view(&e->fallback));
}

int dns_exchange_new(Loop *l, DnsServers *servers, StrView question, uint16_t flags, bool dnssec_ok,
                     DnsExchangeFn *done, void *ctx, DnsExchange **ret, Err *err)
{
    DnsExchange *e = calloc(1, sizeof *e);
    if (!e)
        return err_nomem(err);
    *e = (DnsExchange){
        .loop = l, .servers = servers, .first = servers->first, .fd = -1, .done = done, .ctx = ctx
    };
    e->in.limit = DNS_PACKET_MAX + 2;
    dns_query_put(question, 0, flags, dnssec_ok, &e->query);
    int r =
        e->query.failed ? err_nomem(err) : loop_add_timer(l, 0, 0, on_timeout, e, &e->timer, err);
    if (r == 0) {
        source_stop_timer(e->timer);
        r = loop_defer(l, next_attempt, e, err);
    }
    if (r < 0) {
        dns_exchange_free(e);
        return r;
    }
    *ret = e;
    return 0;
}

DnsExchange *dns_exchange_free(DnsExchange *e)
{
    if (!e)
        return NULL;
    loop_defer_cancel(e->loop, next_attempt, e);
    close_attempt(e);
    source_free(e->timer);
    buf_free(&e->query);
    buf_free(&e->in);
    buf_free(&e->fallback);
    free(e);
    return NULL;
}
