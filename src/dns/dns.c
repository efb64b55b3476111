/* dns.c - sockets, the records behind them, and forwarding.
 *
 * Names in the cluster's domain are looked up in the informers' Services and EndpointSlices;
 * anything else goes to the host's resolvers, the first that answers. To add a kind of record: a
 * case in look_up(). */
#include "dns/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "api/informer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "dns/answer.h"

enum {
    PACKET_MAX = 65535,
    SERVERS_MAX = 3,
    FORWARDS_MAX = 256,
    FORWARD_TIMEOUT_MS = 4000,
    TCP_MAX = 64,
    TCP_IDLE_MS = 10000,
};

typedef struct Forward {
    Dns *dns;
    Source *src, *timer;
    int fd;
    struct sockaddr_in from; /* who asked */
    uint16_t id;
} Forward;

typedef struct TcpConn {
    Dns *dns;
    Source *src, *timer;
    int fd;
    Buf in;
} TcpConn;

struct Dns {
    Loop *loop;
    DnsConfig cfg;
    char zone[128];
    Informer *services, *slices;
    Source *udp_src, *tcp_src;
    int udp, tcp;
    struct sockaddr_in servers[SERVERS_MAX];
    unsigned n_servers;
    Forward forwards[FORWARDS_MAX];
    TcpConn conns[TCP_MAX];
    bool synced[2], told;
};

/* ---- records ---- */

static const Value *parse(const ApiObject *o, Arena *a, Value *v)
{
    return json_decode(o->json, a, NULL, v, NULL) == 0 ? v : NULL;
}

static bool add_address(DnsRecords *r, StrView text)
{
    char buf[INET_ADDRSTRLEN];
    if (r->n_addr == DNS_ADDRESSES_MAX || !sv_copy_cstr(text, buf, sizeof buf) ||
        inet_pton(AF_INET, buf, r->addr[r->n_addr]) != 1)
        return false;
    r->n_addr++;
    return true;
}

static bool is_ready(const Value *endpoint)
{
    return value_bool_or(value_path(endpoint, "conditions.ready"), true);
}

/* "a-b-c-d" for an address, the name of an endpoint without a hostname. */
static bool endpoint_named(const Value *e, StrView host)
{
    char dashed[64];
    StrView own = value_str(value_get(e, SV("hostname")));
    if (own.len)
        return sv_eq(own, host);
    if (!sv_copy_cstr(value_str(value_at(value_get(e, SV("addresses")), 0)), dashed, sizeof dashed))
        return false;
    for (char *p = dashed; *p; p++)
        if (*p == '.')
            *p = '-';
    return sv_eq(sv_cstr(dashed), host);
}

/* Addresses of a headless Service; with `host` only of the endpoint of that name. */
static void headless(Dns *d, StrView ns, StrView service, StrView host, DnsRecords *r)
{
    size_t pos = 0;
    for (ApiObject *o; (o = informer_next(d->slices, &pos));) {
        if (!sv_eq(o->ns, ns))
            continue;
        _cleanup_arena_ Arena a;
        arena_init(&a, 0);
        Value v;
        const Value *slice = parse(o, &a, &v);
        const Value *labels = value_path(slice, "metadata.labels");
        if (!sv_eq(value_str(value_get(labels, SV("kubernetes.io/service-name"))), service))
            continue;
        value_list_foreach (e, value_get(slice, SV("endpoints"))) {
            if (is_ready(e) && (!host.len || endpoint_named(e, host)))
                r->exists |= add_address(r, value_str(value_at(value_get(e, SV("addresses")), 0)));
        }
    }
}

static void service_ports(const Value *svc, StrView port, StrView proto, const char *target,
                          DnsRecords *r)
{
    value_list_foreach (p, value_path(svc, "spec.ports")) {
        if (!sv_eq(value_str(value_get(p, SV("name"))), port) ||
            !sv_eq_nocase(value_str(value_get(p, SV("protocol"))), proto) ||
            r->n_srv == ARRAY_SIZE(r->srv))
            continue;
        r->srv[r->n_srv].port = (uint16_t)value_int_or(value_get(p, SV("port")), 0);
        snprintf(r->srv[r->n_srv++].target, sizeof r->srv[0].target, "%s", target);
        r->exists = true;
    }
}

/* labels: what stands before SERVICE.NS.svc.ZONE, split at dots, outermost last. */
static void look_up_service(Dns *d, StrView ns, StrView name, StrView before, DnsRecords *r)
{
    ApiObject *o = informer_get_named(d->services, ns, name);
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value v;
    const Value *svc = o ? parse(o, &a, &v) : NULL;
    StrView ip = value_path_str(svc, "spec.clusterIP"), port, proto;
    if (!svc)
        return;
    if (sv_eq(value_path_str(svc, "spec.type"), SV("ExternalName"))) {
        r->exists = r->is_cname =
            !before.len &&
            sv_copy_cstr(value_path_str(svc, "spec.externalName"), r->target, sizeof r->target);
    } else if (sv_starts(before, SV("_")) && sv_cut(before, '.', &port, &proto) &&
               sv_starts(proto, SV("_"))) {
        char target[DNS_NAME_MAX + 1];
        snprintf(target, sizeof target, "%.*s.%.*s.svc.%s", SV_FMT(name), SV_FMT(ns), d->zone);
        service_ports(svc, sv_skip(port, 1), sv_skip(proto, 1), target, r);
    } else if (sv_eq(ip, SV("None"))) {
        r->exists = !before.len;
        headless(d, ns, name, before, r);
    } else if (!before.len)
        r->exists = add_address(r, ip);
}

/* 4.3.2.1.in-addr.arpa: the Service with that address. True when the name is ours to answer. */
static bool look_up_reverse(Dns *d, StrView name, DnsRecords *r)
{
    StrView suffix = SV(".in-addr.arpa"), part[4], rest = sv_head(name, name.len - suffix.len);
    char ip[INET_ADDRSTRLEN];
    unsigned n = 0;
    while (n < 4 && sv_next(&rest, '.', &part[n]))
        n++;
    if (n != 4 || rest.len ||
        snprintf(ip, sizeof ip, "%.*s.%.*s.%.*s.%.*s", SV_FMT(part[3]), SV_FMT(part[2]),
                 SV_FMT(part[1]), SV_FMT(part[0])) >= (int)sizeof ip)
        return false;
    size_t pos = 0;
    for (ApiObject *o; (o = informer_next(d->services, &pos));) {
        _cleanup_arena_ Arena a;
        arena_init(&a, 0);
        Value v;
        if (!sv_eq(value_path_str(parse(o, &a, &v), "spec.clusterIP"), sv_cstr(ip)))
            continue;
        snprintf(r->target, sizeof r->target, "%.*s.%.*s.svc.%s", SV_FMT(o->name), SV_FMT(o->ns),
                 d->zone);
        r->exists = r->is_ptr = true;
        return true;
    }
    return false;
}

/* Takes the last label of *s. */
static StrView last_label(StrView *s)
{
    ssize_t dot = sv_rfind_char(*s, '.');
    StrView label = dot < 0 ? *s : sv_skip(*s, (size_t)dot + 1);
    *s = dot < 0 ? sv_head(*s, 0) : sv_head(*s, (size_t)dot);
    return label;
}

/* False: not a name of the cluster. */
static bool look_up(Dns *d, const DnsQuestion *q, DnsRecords *r)
{
    StrView name = sv_cstr(q->name), zone = sv_cstr(d->zone);
    if (sv_ends(name, SV(".in-addr.arpa")))
        return look_up_reverse(d, name, r);
    if (sv_eq(name, zone)) {
        r->exists = true;
        return true;
    }
    if (!sv_ends(name, zone) || name.len <= zone.len + 1 ||
        name.ptr[name.len - zone.len - 1] != '.')
        return false;
    StrView rest = sv_head(name, name.len - zone.len - 1), kind = last_label(&rest);
    if (sv_eq(kind, SV("dns-version")) && !rest.len)
        r->exists = r->is_txt = true;
    else if (sv_eq(kind, SV("svc")) && rest.len) {
        StrView ns = last_label(&rest), service = rest.len ? last_label(&rest) : SV_NULL;
        if (service.len)
            look_up_service(d, ns, service, rest, r);
        else
            r->exists = true; /* an empty name between two that exist */
    } else if (sv_eq(kind, SV("pod")) && rest.len) {
        last_label(&rest); /* the namespace; the address is in the name itself */
        char ip[64];
        if (sv_copy_cstr(rest, ip, sizeof ip)) {
            for (char *p = ip; *p; p++)
                if (*p == '-')
                    *p = '.';
            r->exists = add_address(r, sv_cstr(ip));
        }
    } else if (sv_eq(kind, SV("svc")) || sv_eq(kind, SV("pod")))
        r->exists = true;
    return true;
}

/* ---- forwarding ---- */

static void forward_end(Forward *f)
{
    f->src = source_free(f->src);
    f->timer = source_free(f->timer);
    closep(&f->fd);
}

static void on_forward_timeout(void *ctx)
{
    forward_end(ctx);
}

static void on_forward_answer(void *ctx, uint32_t events)
{
    Forward *f = ctx;
    char packet[PACKET_MAX];
    ssize_t n = recv(f->fd, packet, sizeof packet, MSG_DONTWAIT);
    if (n >= 2) {
        memcpy(packet, &f->id, 2);
        sendto(f->dns->udp, packet, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&f->from,
               sizeof f->from);
    }
    if (n >= 0 || errno != EAGAIN)
        forward_end(f);
}

static bool forward(Dns *d, StrView query, const struct sockaddr_in *from)
{
    Forward *f = NULL;
    for (unsigned i = 0; i < FORWARDS_MAX && !f; i++)
        if (d->forwards[i].fd < 0)
            f = &d->forwards[i];
    if (!f || !d->n_servers || query.len < 2)
        return false;
    f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    f->from = *from;
    memcpy(&f->id, query.ptr, 2);
    Err err = { 0 };
    /* A socket of its own for each question: its port is as hard to guess as the kernel makes it.
     */
    if (f->fd >= 0 &&
        connect(f->fd, (struct sockaddr *)&d->servers[0], sizeof d->servers[0]) == 0 &&
        send(f->fd, query.ptr, query.len, MSG_DONTWAIT) == (ssize_t)query.len &&
        loop_add_fd(d->loop, f->fd, LOOP_READ, on_forward_answer, f, &f->src, &err) == 0 &&
        loop_add_timer(d->loop, FORWARD_TIMEOUT_MS, 0, on_forward_timeout, f, &f->timer, &err) == 0)
        return true;
    forward_end(f);
    return false;
}

/* ---- questions ---- */

/* Appends the answer; false when the question was handed on and the answer comes later. */
static bool answer(Dns *d, StrView query, size_t max, const struct sockaddr_in *from, Buf *out)
{
    DnsQuestion q;
    DnsRecords *r = calloc(1, sizeof *r);
    bool now = true;
    if (!r || dns_question_parse(query, &q, NULL) < 0)
        dns_failure_encode(query, r ? 1 : 2, out);
    else if (q.class == 1 && look_up(d, &q, r))
        dns_answer_encode(query, &q, r, d->zone, max ? max : q.udp_size, out);
    else if (from && forward(d, query, from))
        now = false;
    else
        dns_failure_encode(query, 2, out);
    free(r);
    return now;
}

static void on_udp(void *ctx, uint32_t events)
{
    Dns *d = ctx;
    char packet[PACKET_MAX];
    for (int i = 0; i < 64; i++) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n =
            recvfrom(d->udp, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
        _cleanup_buf_ Buf out = BUF_INIT;
        if (n < 0)
            return;
        bool is_answer = n >= 3 && packet[2] & (char)0x80; /* never answer an answer */
        if (n >= 12 && !is_answer && answer(d, sv_n(packet, (size_t)n), 0, &from, &out) &&
            !out.failed)
            sendto(d->udp, out.ptr, out.len, MSG_DONTWAIT, (struct sockaddr *)&from, len);
    }
}

static void tcp_end(TcpConn *c)
{
    c->src = source_free(c->src);
    c->timer = source_free(c->timer);
    closep(&c->fd);
    buf_free(&c->in);
}

static void on_tcp_idle(void *ctx)
{
    tcp_end(ctx);
}

/* Answers what has arrived whole; false when the peer sends nonsense or does not take the answer.
 */
static bool tcp_answer(TcpConn *c)
{
    while (c->in.len >= 2) {
        size_t n = (size_t)((unsigned char)c->in.ptr[0] << 8 | (unsigned char)c->in.ptr[1]);
        _cleanup_buf_ Buf out = BUF_INIT;
        if (c->in.len < n + 2)
            return true;
        if (n < 12)
            return false;
        answer(c->dns, sv_n(c->in.ptr + 2, n), PACKET_MAX, NULL, &out);
        char head[2] = { (char)(out.len >> 8), (char)out.len };
        if (out.failed || send(c->fd, head, 2, MSG_NOSIGNAL | MSG_MORE) != 2 ||
            send(c->fd, out.ptr, out.len, MSG_NOSIGNAL) != (ssize_t)out.len)
            return false;
        buf_consume(&c->in, n + 2);
    }
    return true;
}

static void on_tcp_data(void *ctx, uint32_t events)
{
    TcpConn *c = ctx;
    char data[4096];
    ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        buf_append(&c->in, data, (size_t)n);
    if (n <= 0 || c->in.failed || !tcp_answer(c))
        tcp_end(c);
}

static void on_tcp_connect(void *ctx, uint32_t events)
{
    Dns *d = ctx;
    int fd = accept4(d->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    TcpConn *c = NULL;
    for (unsigned i = 0; i < TCP_MAX && !c; i++)
        if (d->conns[i].fd < 0)
            c = &d->conns[i];
    if (fd < 0)
        return;
    if (!c) {
        close(fd);
        return;
    }
    c->fd = fd;
    c->in.limit = PACKET_MAX + 2;
    if (loop_add_fd(d->loop, fd, LOOP_READ, on_tcp_data, c, &c->src, NULL) < 0 ||
        loop_add_timer(d->loop, TCP_IDLE_MS, 0, on_tcp_idle, c, &c->timer, NULL) < 0)
        tcp_end(c);
}

/* ---- start ---- */

static void synced(Dns *d)
{
    if (d->told || !d->synced[0] || !d->synced[1])
        return;
    d->told = true;
    if (d->cfg.on_synced)
        d->cfg.on_synced(d->cfg.ctx);
}

static void on_services(void *ctx)
{
    Dns *d = ctx;
    d->synced[0] = true;
    synced(d);
}

static void on_slices(void *ctx)
{
    Dns *d = ctx;
    d->synced[1] = true;
    synced(d);
}

static int open_socket(int type, const struct sockaddr_in *addr, const char *text, Err *err)
{
    int on = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 ||
        (type == SOCK_STREAM && listen(fd, 64) < 0)) {
        int r = err_errno(err, "listen on %s", text);
        closep(&fd);
        return r;
    }
    return fd;
}

static int listen_all(Dns *d, Err *err)
{
    StrView host, port;
    char ip[INET_ADDRSTRLEN];
    uint64_t n;
    struct sockaddr_in addr = { .sin_family = AF_INET };
    if (!sv_cut(sv_cstr(d->cfg.listen), ':', &host, &port) || !sv_copy_cstr(host, ip, sizeof ip) ||
        inet_pton(AF_INET, ip, &addr.sin_addr) != 1 || sv_to_u64(port, &n) < 0 || n < 1 ||
        n > 65535)
        return err_set(err, ERR_INVALID, 0, "--listen: '%s' is no ADDRESS:PORT", d->cfg.listen);
    addr.sin_port = htons((uint16_t)n);
    if ((d->udp = open_socket(SOCK_DGRAM, &addr, d->cfg.listen, err)) < 0)
        return d->udp;
    if ((d->tcp = open_socket(SOCK_STREAM, &addr, d->cfg.listen, err)) < 0)
        return d->tcp;
    int r = loop_add_fd(d->loop, d->udp, LOOP_READ, on_udp, d, &d->udp_src, err);
    return r < 0 ? r : loop_add_fd(d->loop, d->tcp, LOOP_READ, on_tcp_connect, d, &d->tcp_src, err);
}

/* IPv4 name servers of resolv.conf(5); none is fine: then only the cluster's names are answered. */
static void read_servers(Dns *d)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line, key, value;
    if (file_read(AT_FDCWD, d->cfg.resolv_conf ? d->cfg.resolv_conf : "/etc/resolv.conf", 65536,
                  &text) < 0)
        return;
    rest = buf_view(&text);
    while (d->n_servers < SERVERS_MAX && sv_next(&rest, '\n', &line)) {
        char ip[INET_ADDRSTRLEN];
        struct sockaddr_in *s = &d->servers[d->n_servers];
        sv_cut(sv_trim(line), ' ', &key, &value);
        *s = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(53) };
        if (sv_eq(key, SV("nameserver")) && sv_copy_cstr(sv_trim(value), ip, sizeof ip) &&
            inet_pton(AF_INET, ip, &s->sin_addr) == 1)
            d->n_servers++;
    }
}

static int watch(Dns *d, ApiClient *api, Err *err)
{
    InformerConfig services = { .target = { SV(""), SV("v1"), SV("services"), SV_NULL, SV_NULL,
                                            SV_NULL },
                                .on_synced = on_services,
                                .ctx = d };
    InformerConfig slices = { .target = { SV("discovery.k8s.io"), SV("v1"), SV("endpointslices"),
                                          SV_NULL, SV_NULL, SV_NULL },
                              .on_synced = on_slices,
                              .ctx = d };
    int r = informer_new(api, &services, &d->services, err);
    return r < 0 ? r : informer_new(api, &slices, &d->slices, err);
}

int dns_new(Loop *l, ApiClient *api, const DnsConfig *cfg, Dns **ret, Err *err)
{
    Dns *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(err);
    d->loop = l;
    d->cfg = *cfg;
    d->udp = d->tcp = -1;
    for (unsigned i = 0; i < FORWARDS_MAX; i++)
        d->forwards[i] = (Forward){ .dns = d, .fd = -1 };
    for (unsigned i = 0; i < TCP_MAX; i++)
        d->conns[i] = (TcpConn){ .dns = d, .fd = -1 };
    int r = sv_copy_cstr(sv_cstr(cfg->cluster_domain), d->zone, sizeof d->zone)
                ? 0
                : err_set(err, ERR_INVALID, 0, "--cluster-domain: '%s' is too long",
                          cfg->cluster_domain);
    read_servers(d);
    if (r < 0 || (r = listen_all(d, err)) < 0 || (r = watch(d, api, err)) < 0) {
        dns_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

Dns *dns_free(Dns *d)
{
    if (!d)
        return NULL;
    for (unsigned i = 0; i < FORWARDS_MAX; i++)
        forward_end(&d->forwards[i]);
    for (unsigned i = 0; i < TCP_MAX; i++)
        tcp_end(&d->conns[i]);
    source_free(d->udp_src);
    source_free(d->tcp_src);
    closep(&d->udp);
    closep(&d->tcp);
    informer_free(d->services);
    informer_free(d->slices);
    free(d);
    return NULL;
}
