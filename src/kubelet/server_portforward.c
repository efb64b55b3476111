/* server_portforward.c - port-forward: each connection of the client goes to 127.0.0.1 inside the
 * pod's network namespace, so that servers which listen there only are reached as well.
 *
 * A socket belongs to the namespace in which it was made, for ever: a short-lived thread enters the
 * namespace, makes the socket and ends; everything else happens on the loop. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kubelet/pump.h"
#include "kubelet/server.h"

enum { PORTS_MAX = 64, PENDING_MAX = 1024 * 1024, UPLOAD_MAX = 256 * 1024 };

typedef struct Forward {
    struct ForwardSession *owner;
    Pump *pump;
    unsigned channel;
    uint16_t port;
    bool client_closed, pod_closed;
} Forward;

typedef struct ForwardSession {
    Session session;
    Kubelet *k;
    Channels *ch;
    char netns[PATH_SIZE], pod[256];
    Forward *conns[CHANNELS_MAX / 2];
} ForwardSession;

/* ---- a socket inside the namespace ---- */

typedef struct SocketJob {
    const char *netns; /* "": the host's */
    int fd, error;
} SocketJob;

static void *make_socket(void *ctx)
{
    SocketJob *job = ctx;
    int ns = job->netns[0] ? open(job->netns, O_RDONLY | O_CLOEXEC) : -1;
    job->fd = -1;
    if (job->netns[0] && (ns < 0 || setns(ns, CLONE_NEWNET) < 0))
        job->error = errno;
    else if ((job->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
        job->error = errno;
    if (ns >= 0)
        close(ns);
    return NULL;
}

static int dial(const ForwardSession *s, uint16_t port)
{
    SocketJob job = { .netns = s->netns, .fd = -1 };
    pthread_t thread;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int r = pthread_create(&thread, NULL, make_socket, &job);
    if (r)
        return -r;
    pthread_join(thread, NULL);
    if (job.fd < 0)
        return -job.error;
    if (connect(job.fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        r = -errno;
        close(job.fd);
        return r;
    }
    return job.fd;
}

/* ---- connections ---- */

static void forward_free(Forward *f)
{
    f->owner->conns[f->channel / 2] = NULL;
    pump_free(f->pump);
    free(f);
}

static void tell_error(ForwardSession *s, unsigned channel, uint16_t port, int error)
{
    char text[512];
    int n = snprintf(text, sizeof text,
                     "error forwarding port %u to pod %s: dial tcp4 127.0.0.1:%u: connect: %s",
                     port, s->pod, port, strerror(error));
    channels_write(s->ch, channel + 1, text, (size_t)n, NULL);
}

static void close_both(ForwardSession *s, unsigned channel)
{
    channels_close(s->ch, channel);
    channels_close(s->ch, channel + 1);
}

static void on_pod_data(void *ctx, Pump *p, const void *data, size_t len)
{
    Forward *f = ctx;
    channels_write(f->owner->ch, f->channel, data, len, NULL);
    if (channels_pending(f->owner->ch) > PENDING_MAX)
        pump_pause(f->pump, true);
}

static void on_pod_end(void *ctx, Pump *p, int error)
{
    Forward *f = ctx;
    ForwardSession *s = f->owner;
    unsigned channel = f->channel;
    if (error && error != ECONNRESET)
        tell_error(s, channel, f->port, error);
    f->pod_closed = true;
    close_both(s, channel);
    if (f->client_closed || error)
        forward_free(f);
}

static void on_pod_drain(void *ctx, Pump *p)
{
    channels_pause(((Forward *)ctx)->owner->ch, false);
}

static void on_open(void *ctx, unsigned channel, uint16_t port)
{
    ForwardSession *s = ctx;
    Err err = { 0 };
    int fd = dial(s, port);
    Forward *f = fd < 0 ? NULL : calloc(1, sizeof *f);
    if (f) {
        *f = (Forward){ .owner = s, .channel = channel, .port = port };
        PumpSpec spec = { .loop = s->k->loop,
                          .fd = fd,
                          .reads = true,
                          .connecting = true,
                          .on_data = on_pod_data,
                          .on_end = on_pod_end,
                          .on_drain = on_pod_drain,
                          .ctx = f };
        if (pump_new(&spec, &f->pump, &err) == 0) {
            s->conns[channel / 2] = f;
            return;
        }
    } else if (fd >= 0)
        close(fd);
    free(f);
    tell_error(s, channel, port, fd < 0 ? -fd : ENOMEM);
    close_both(s, channel);
}

static void on_client_data(void *ctx, unsigned channel, const void *data, size_t len)
{
    ForwardSession *s = ctx;
    Forward *f = s->conns[channel / 2];
    if (!f || channel % 2)
        return;
    pump_write(f->pump, data, len);
    if (pump_pending(f->pump) > UPLOAD_MAX)
        channels_pause(s->ch, true);
}

static void on_client_close(void *ctx, unsigned channel)
{
    ForwardSession *s = ctx;
    Forward *f = s->conns[channel / 2];
    if (!f || channel % 2)
        return;
    f->client_closed = true;
    if (f->pod_closed)
        forward_free(f);
    else
        pump_shut(f->pump);
}

static void on_client_drain(void *ctx)
{
    ForwardSession *s = ctx;
    for (size_t i = 0; i < ARRAY_SIZE(s->conns); i++)
        if (s->conns[i])
            pump_pause(s->conns[i]->pump, false);
}

static void session_end(Session *x)
{
    ForwardSession *s = (ForwardSession *)x; /* its first member */
    session_del(x);
    for (size_t i = 0; i < ARRAY_SIZE(s->conns); i++)
        if (s->conns[i])
            forward_free(s->conns[i]);
    channels_free(s->ch);
    free(s);
}

static void on_client_end(void *ctx, const Err *why)
{
    session_end(ctx);
}

/* ---- the request ---- */

/* Ports of the query, of WebSocket clients; SPDY names them stream by stream. */
static bool read_ports(KubeletRequest *r, uint16_t ports[static PORTS_MAX], unsigned *ret_n)
{
    StrView rest = r->req->query, name, value, piece;
    *ret_n = 0;
    while (http_query_next(r->req->arena, &rest, &name, &value)) {
        if (!sv_eq(name, SV("port")) && !sv_eq(name, SV("ports")))
            continue;
        while (sv_next(&value, ',', &piece)) {
            uint64_t n;
            if (sv_to_u64(piece, &n) < 0 || n < 1 || n > 65535 || *ret_n == PORTS_MAX) {
                kubelet_refuse(r->req, 400, "unable to parse \"%.*s\" as a port", SV_FMT(piece));
                return false;
            }
            ports[(*ret_n)++] = (uint16_t)n;
        }
    }
    return true;
}

void serve_port_forward(KubeletRequest *r)
{
    Worker *w = kubelet_request_pod(r);
    uint16_t ports[PORTS_MAX];
    unsigned n;
    Err err = { 0 };
    if (!w || !read_ports(r, ports, &n))
        return;
    if (w->phase != WORKER_RUNNING) {
        kubelet_refuse(r->req, 500, "pod \"%s\" is not running", w->name);
        return;
    }
    ForwardSession *s = calloc(1, sizeof *s);
    if (!s) {
        kubelet_refuse(r->req, 500, "out of memory");
        return;
    }
    s->k = r->server->k;
    snprintf(s->pod, sizeof s->pod, "%s", w->name);
    if (!pod_is_host_network(&w->pod))
        worker_netns(w, s->netns);
    session_add(r->server, &s->session, session_end);
    ChannelsSpec spec = { .kind = CHANNELS_PORT_FORWARD, .ports = ports, .n_ports = n };
    ChannelsEvents ev = { .on_open = on_open,
                          .on_data = on_client_data,
                          .on_close_channel = on_client_close,
                          .on_drain = on_client_drain,
                          .on_end = on_client_end,
                          .ctx = s };
    if (channels_accept(r->req, &spec, &ev, &s->ch, &err) < 0) {
        session_end(&s->session);
        kubelet_refuse(r->req, kubelet_upgrade_status(&err), "%s", err.msg);
    }
}
