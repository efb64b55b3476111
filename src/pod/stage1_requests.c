/* stage1_requests.c - clients: only root is let in; each packet is checked, decoded and handed to
 * the row of its type. To add a request: a type in proto.h, a function, a row. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "pod/stage1.h"

typedef struct Answer {
    ProtoReply reply;
    int fds[POD_FDS_MAX];
} Answer;

typedef int (*RequestFn)(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err);

void client_free(Stage1 *s, Client *c)
{
    for (Client **p = &s->clients; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    source_close(s, &c->src);
    free(c);
}

/* False if the client does not read; it is cut off then, and finds the truth on disk when it comes
 * back. */
static bool client_send(Stage1 *s, Client *c, ProtoType type, uint32_t request,
                        const ProtoReply *reply, const int *fds, unsigned n)
{
    buf_clear(&s->scratch);
    proto_encode_reply(type, request, reply, &s->scratch);
    return !s->scratch.failed && proto_send(c->src.fd, buf_view(&s->scratch), fds, n) == 0;
}

static void broadcast(Stage1 *s, ProtoType type, const ProtoReply *reply)
{
    for (Client *c = s->clients, *next; c; c = next) {
        next = c->next;
        if (!client_send(s, c, type, 0, reply, NULL, 0))
            shutdown(c->src.fd,
                     SHUT_RDWR); /* freed when the loop sees it: we may be in its request */
    }
}

void broadcast_app(Stage1 *s, const App *app)
{
    ProtoReply reply = { 0 };

    proto_reply_of_status(&app->st, &reply);
    broadcast(s, PROTO_APP, &reply);
}

void broadcast_exec(Stage1 *s, const char *id, int exit_code)
{
    const ProtoReply reply = { .id = id, .exit_code = (uint32_t)exit_code };

    broadcast(s, PROTO_EXECED, &reply);
}

static int need_app(Stage1 *s, const char *id, App **ret, Err *err)
{
    *ret = app_by_id(s, id);
    return *ret ? 0 : err_set(err, ERR_NOT_FOUND, 0, "the pod has no app '%.*s'", APP_ID_MAX, id);
}

static int on_add(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    App *app;
    int e = app_add(s, r->id, &app, err);

    if (e >= 0)
        proto_reply_of_status(&app->st, &a->reply);
    return e;
}

static int on_start(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    App *app;
    int e = need_app(s, r->id, &app, err);

    if (e < 0)
        return e;
    e = app_start(s, app, err);
    proto_reply_of_status(&app->st, &a->reply);
    if (e < 0)
        a->reply.exit_code = (uint32_t)exit_code_of(err);
    return e;
}

static int stop_signal(const App *app)
{
    return app->spec.stop_signal ? (int)app->spec.stop_signal : SIGTERM;
}

static int on_signal(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    App *app = app_by_id(s, r->id);
    Exec *ex = app ? NULL : exec_by_id(s, r->id);
    int sig = r->signal ? (int)r->signal : app ? stop_signal(app) : SIGTERM;

    if (r->signal > (uint32_t)SIGRTMAX)
        return err_set(err, ERR_INVALID, 0, "%u is no signal", r->signal);
    if (ex)
        kill(ex->pid, sig); /* not yet reaped, so the pid is still its own */
    else if (!app)
        return need_app(s, r->id, &app, err);
    else if (app->st.state == APP_RUNNING && kill(app->pid, sig) < 0)
        return err_errno(err, "signal app '%s'", app->st.id);
    return 0;
}

static int on_exec(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    int e = exec_start(s, r, a->fds, err);

    if (e < 0)
        a->reply.exit_code = (uint32_t)exit_code_of(err);
    return e;
}

static int on_attach(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    App *app;
    int e = need_app(s, r->id, &app, err);

    if (e >= 0 && app->st.state != APP_RUNNING)
        return err_set(err, ERR_CONFLICT, 0, "app '%s' is not running", app->st.id);
    return e < 0 ? e : attach_new(s, app, a->fds, err);
}

static int on_resize(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    const struct winsize size = { .ws_col = (unsigned short)r->cols,
                                  .ws_row = (unsigned short)r->rows };
    App *app;
    int e = need_app(s, r->id, &app, err);

    if (e < 0)
        return e;
    if (!app->spec.tty)
        return err_set(err, ERR_INVALID, 0, "app '%s' has no terminal", app->st.id);
    if (app->out.src.fd >= 0 && ioctl(app->out.src.fd, TIOCSWINSZ, &size) < 0)
        return err_errno(err, "resize the terminal of '%s'", app->st.id);
    return 0;
}

static int on_remove(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    App *app = app_by_id(s, r->id);

    if (app)
        app_remove(s, app);
    return 0;
}

static int on_status(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    App *app;
    int e;

    if (*r->id) {
        e = need_app(s, r->id, &app, err);
        if (e >= 0)
            proto_reply_of_status(&app->st, &a->reply);
        return e;
    }
    for (app = s->apps; app; app = app->next) {
        ProtoReply one = { 0 };

        proto_reply_of_status(&app->st, &one);
        if (!client_send(s, c, PROTO_APP, 0, &one, NULL, 0))
            return err_set(err, ERR_BUSY, 0, "the client does not read");
    }
    return 0;
}

static int on_rotate_log(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    App *app;
    int e = need_app(s, r->id, &app, err);

    return e < 0 ? e : app->log_fd >= 0 ? log_open(app, err) : 0;
}

static int on_stop(Stage1 *s, const ProtoRequest *r, Client *c, Answer *a, Err *err)
{
    int64_t at = clock_mono_ns() + (int64_t)r->grace_ms * NSEC_PER_MSEC;

    for (App *app = s->apps; app; app = app->next)
        if (app->st.state == APP_RUNNING && !s->stopping)
            kill(app->pid, stop_signal(app));
    /* A second request may only shorten the time; many programs take a second signal for haste. */
    s->kill_at = s->kill_at ? MIN(s->kill_at, at) : at;
    s->stopping = true;
    return 0;
}

static const RequestFn requests[PROTO_REQUEST_MAX] = {
    [PROTO_ADD] = on_add,       [PROTO_START] = on_start,   [PROTO_SIGNAL] = on_signal,
    [PROTO_EXEC] = on_exec,     [PROTO_ATTACH] = on_attach, [PROTO_RESIZE] = on_resize,
    [PROTO_REMOVE] = on_remove, [PROTO_STATUS] = on_status, [PROTO_ROTATE_LOG] = on_rotate_log,
    [PROTO_STOP] = on_stop,
};

static bool answer_send(Stage1 *s, Client *c, uint32_t request, Answer *a)
{
    int fds[POD_FDS_MAX];
    unsigned n = 0;
    bool ok;

    a->reply.fds = 0;
    for (unsigned i = 0; i < POD_FDS_MAX; i++)
        if (a->fds[i] >= 0) {
            a->reply.fds |= 1u << i;
            fds[n++] = a->fds[i];
        }
    ok = client_send(s, c, PROTO_REPLY, request, &a->reply, fds, n);
    for (unsigned i = 0; i < POD_FDS_MAX; i++)
        closep(&a->fds[i]);
    return ok;
}

/* False: the client broke the protocol. */
static bool client_packet(Stage1 *s, Client *c, StrView packet)
{
    _cleanup_arena_ Arena arena;
    Answer a = { .fds = { -1, -1, -1 } };
    ProtoRequest r;
    ProtoHeader h;
    StrView body;
    Err err = { 0 };

    arena_init(&arena, 4 * PROTO_PACKET_MAX);
    if (proto_check(packet, &h, &body, NULL) < 0)
        return false;
    if (h.type >= PROTO_REQUEST_MAX || !requests[h.type])
        err_set(&err, ERR_UNSUPPORTED, 0, "this stage1 does not know request %u", h.type);
    else if (proto_decode_request(body, &arena, &r, &err) >= 0)
        (void)!requests[h.type](s, &r, c, &a, &err);
    a.reply.code = err.code;
    a.reply.sys = (uint32_t)err.sys;
    a.reply.text = err.msg;
    return answer_send(s, c, h.request, &a);
}

static void client_ready(Stage1 *s, Source *src, uint32_t events)
{
    Client *c = (Client *)src;
    int fds[POD_FDS_MAX];
    ssize_t n = proto_recv(src->fd, s->packet, sizeof s->packet, fds);

    for (unsigned i = 0; i < POD_FDS_MAX; i++)
        closep(&fds[i]); /* no request carries any */
    if (n == -EAGAIN)
        return;
    if (n <= 0 || !client_packet(s, c, sv_n(s->packet, (size_t)n)))
        client_free(s, c);
}

void client_accept(Stage1 *s, Source *src, uint32_t events)
{
    _cleanup_close_ int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred who = { .uid = UINT32_MAX };
    socklen_t len = sizeof who;
    unsigned n = 0;
    Client *c;

    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.uid != 0)
        return;
    for (c = s->clients; c; c = c->next)
        n++;
    c = n < STAGE1_CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return;
    c->src = (Source){ .fd = TAKE_FD(fd), .fn = client_ready };
    c->next = s->clients;
    s->clients = c;
    if (source_watch(s, &c->src, EPOLLIN, NULL) < 0)
        client_free(s, c);
}
