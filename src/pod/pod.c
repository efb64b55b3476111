/* pod.c - one connection to a pod's stage1: requests out, replies and events in. */
#include "pod/pod.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/vec.h"
#include "pod/pod_internal.h"

enum {
    CALL_TIMEOUT_MS = 150 * 1000, /* more than stage1 gives a start */
    END_WAIT_MS = 30 * 1000,      /* beside the grace */
    UNHEARD_WAIT_MS = 2000,
};

struct Pod {
    int fd, dir_fd;
    uint32_t next_request;
    bool closed;      /* stage1 is gone */
    bool told_closed; /* POD_MSG_CLOSED was read */
    VEC(PodMsg) kept; /* read while waiting for something else */
    Buf out;
    char packet[PROTO_PACKET_MAX];
};

int pod_connect(const char *dir, Pod **ret_pod, Err *err)
{
    struct sockaddr_un addr;
    struct ucred who = { .uid = UINT32_MAX };
    socklen_t len = sizeof who;
    Pod *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return err_nomem(err);
    p->fd = p->dir_fd = -1;
    r = pod_dir_open(dir, &p->dir_fd, err);
    if (r >= 0) {
        proto_address(p->dir_fd, PROTO_SOCKET, &addr);
        p->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (p->fd < 0)
            r = err_errno(err, "socket");
        else if (connect(p->fd, (struct sockaddr *)&addr, sizeof addr) < 0)
            r = errno == ENOENT || errno == ECONNREFUSED
                    ? err_set(err, ERR_NOT_FOUND, errno, "pod '%s' has no running stage1", dir)
                    : err_errno(err, "connect to pod '%s'", dir);
        else if (getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.uid != 0)
            r = err_set(err, ERR_DENIED, 0, "the socket of pod '%s' is not root's", dir);
    }
    if (r < 0) {
        pod_close(p);
        return r;
    }
    *ret_pod = p;
    return 0;
}

Pod *pod_close(Pod *p)
{
    if (!p)
        return NULL;
    vec_foreach (m, &p->kept)
        pod_msg_close(m);
    vec_free(&p->kept);
    buf_free(&p->out);
    closep(&p->fd);
    closep(&p->dir_fd);
    free(p);
    return NULL;
}

int pod_fd(const Pod *p)
{
    return p->fd;
}

void pod_msg_close(PodMsg *msg)
{
    for (int i = 0; i < POD_FDS_MAX; i++)
        closep(&msg->fds[i]);
}

/* --- requests --- */

static int send_request(Pod *p, ProtoType type, const ProtoRequest *r, uint32_t *ret_request,
                        Err *err)
{
    uint32_t number = ++p->next_request ? p->next_request : ++p->next_request;
    int e;

    if (p->closed)
        return err_set(err, ERR_CLOSED, 0, "the pod's stage1 is gone");
    buf_clear(&p->out);
    proto_encode_request(type, number, r, &p->out);
    if (p->out.failed)
        return err_nomem(err);
    if (p->out.len > PROTO_PACKET_MAX)
        return err_set(err, ERR_LIMIT, 0, "a request of %zu bytes is too long", p->out.len);
    e = proto_send(p->fd, buf_view(&p->out), NULL, 0);
    if (e == -EAGAIN)
        return err_set(err, ERR_BUSY, 0, "the pod's stage1 does not read");
    if (e == -EPIPE || e == -ECONNRESET)
        return err_set(err, ERR_CLOSED, 0, "the pod's stage1 is gone");
    if (e < 0)
        return err_neg(err, e, "send to the pod's stage1");
    *ret_request = number;
    return 0;
}

static int send_id(Pod *p, ProtoType type, const char *id, uint32_t *ret_request, Err *err)
{
    const ProtoRequest r = { .id = id };

    return send_request(p, type, &r, ret_request, err);
}

/* Whether the app has a spec that can be read. */
static bool has_spec(Pod *p, const char *path)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_arena_ Arena a;
    AppSpec spec;

    arena_init(&a, 4 * POD_SPEC_MAX);
    return file_read(p->dir_fd, path, POD_SPEC_MAX, &text) == 0 &&
           app_spec_decode(buf_view(&text), &a, &spec, NULL) == 0;
}

/* In the folder in memory, if there is one, with a link in its usual place. */
static int write_spec(Pod *p, const char *id, const char *path, StrView bytes)
{
    char kept[APP_ID_MAX + 32], link[APP_ID_MAX + 64];
    int r;

    snprintf(kept, sizeof kept, "memory/%s.spec", id);
    snprintf(link, sizeof link, "../../%s", kept);
    if (!path_exists(p->dir_fd, "memory"))
        return file_write_atomic(p->dir_fd, path, bytes, 0600, false);
    r = file_write_atomic(p->dir_fd, kept, bytes, 0600, false);
    if (r == 0 && ((unlinkat(p->dir_fd, path, 0) < 0 && errno != ENOENT) ||
                   symlinkat(link, p->dir_fd, path) < 0))
        r = -errno;
    return r;
}

/* The spec is written first, so that stage1 has it from there. An app that is there already keeps
 * the spec that it was started with. */
int pod_send_add(Pod *p, const AppSpec *app, uint32_t *ret_request, Err *err)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    char path[APP_ID_MAX + 32];
    int r;

    if (!pod_id_is_valid(app->id, APP_ID_MAX))
        return err_set(err, ERR_INVALID, 0, "'%.200s' is no app id", app->id ? app->id : "");
    app_spec_encode(app, &bytes);
    if (bytes.failed)
        return err_nomem(err);
    if (bytes.len > POD_SPEC_MAX)
        return err_set(err, ERR_LIMIT, 0,
                       "the spec of app '%s' has %zu bytes, at most %d are allowed", app->id,
                       bytes.len, POD_SPEC_MAX);
    snprintf(path, sizeof path, "apps/%s", app->id);
    r = mkdir_p(p->dir_fd, path, 0700);
    if (r < 0)
        return err_neg(err, r, "create %s", path);
    snprintf(path, sizeof path, "apps/%s/spec", app->id);
    if (!has_spec(p, path) && (r = write_spec(p, app->id, path, buf_view(&bytes))) < 0)
        return err_neg(err, r, "write %s", path);
    return send_id(p, PROTO_ADD, app->id, ret_request, err);
}

int pod_send_start(Pod *p, const char *app, uint32_t *ret_request, Err *err)
{
    return send_id(p, PROTO_START, app, ret_request, err);
}

int pod_send_signal(Pod *p, const char *id, int sig, uint32_t *ret_request, Err *err)
{
    const ProtoRequest r = { .id = id, .signal = (uint32_t)sig };

    return send_request(p, PROTO_SIGNAL, &r, ret_request, err);
}

int pod_send_exec(Pod *p, const ExecSpec *e, uint32_t *ret_request, Err *err)
{
    const ProtoRequest r = {
        .id = e->id,
        .app = e->app,
        .argv = e->argv,
        .env = e->env,
        .cwd = e->cwd,
        .user = e->user,
        .tty = e->tty,
        .use_stdin = e->use_stdin,
        .use_stdout = e->use_stdout,
        .use_stderr = e->use_stderr,
        .cols = e->cols,
        .rows = e->rows,
    };

    return send_request(p, PROTO_EXEC, &r, ret_request, err);
}

int pod_send_attach(Pod *p, const char *app, uint32_t *ret_request, Err *err)
{
    return send_id(p, PROTO_ATTACH, app, ret_request, err);
}

int pod_send_resize(Pod *p, const char *id, uint32_t cols, uint32_t rows, uint32_t *ret_request,
                    Err *err)
{
    const ProtoRequest r = { .id = id, .cols = cols, .rows = rows };

    return send_request(p, PROTO_RESIZE, &r, ret_request, err);
}

int pod_send_remove(Pod *p, const char *app, uint32_t *ret_request, Err *err)
{
    return send_id(p, PROTO_REMOVE, app, ret_request, err);
}

int pod_send_status(Pod *p, const char *app, uint32_t *ret_request, Err *err)
{
    return send_id(p, PROTO_STATUS, app, ret_request, err);
}

int pod_send_rotate_log(Pod *p, const char *app, uint32_t *ret_request, Err *err)
{
    return send_id(p, PROTO_ROTATE_LOG, app, ret_request, err);
}

int pod_send_stop(Pod *p, uint32_t grace_ms, uint32_t *ret_request, Err *err)
{
    const ProtoRequest r = { .grace_ms = grace_ms };

    return send_request(p, PROTO_STOP, &r, ret_request, err);
}

/* --- messages --- */

static void place_fds(const ProtoReply *r, int got[POD_FDS_MAX], PodMsg *msg)
{
    unsigned n = 0;

    for (unsigned i = 0; i < POD_FDS_MAX; i++) {
        msg->fds[i] = -1;
        if ((r->fds & (1u << i)) && n < POD_FDS_MAX) {
            msg->fds[i] = TAKE_FD(got[n]);
            n++;
        }
    }
}

static int msg_of_packet(StrView packet, int fds[POD_FDS_MAX], PodMsg *ret, Err *err)
{
    _cleanup_arena_ Arena a;
    ProtoHeader h;
    ProtoReply r;
    StrView body;
    int e;

    arena_init(&a, 4 * PROTO_PACKET_MAX);
    memset(ret, 0, sizeof *ret);
    ret->fds[0] = ret->fds[1] = ret->fds[2] = -1;
    if ((e = proto_check(packet, &h, &body, err)) < 0 ||
        (e = proto_decode_reply(body, &a, &r, err)) < 0)
        return e;
    if (h.type != PROTO_REPLY && h.type != PROTO_APP && h.type != PROTO_EXECED)
        return 0; /* of a newer stage1 */
    ret->kind = h.type == PROTO_REPLY ? POD_MSG_REPLY
                : h.type == PROTO_APP ? POD_MSG_APP
                                      : POD_MSG_EXEC;
    ret->request = h.request;
    ret->exit_code = (int)r.exit_code;
    snprintf(ret->id, sizeof ret->id, "%s", r.id);
    if (r.code) {
        err_set(&ret->err, r.code < ERR_MAX ? (ErrCode)r.code : ERR_PROTO, 0, "%s", r.text);
        ret->err.sys = (int)r.sys;
    }
    if (r.has_status)
        proto_status_of_reply(&r, &ret->status);
    place_fds(&r, fds, ret);
    return 1;
}

/* From the socket: 1, 0 (nothing now), or an error. */
static int read_socket(Pod *p, PodMsg *ret, Err *err)
{
    int fds[POD_FDS_MAX], r = 0;

    while (r == 0) {
        ssize_t n = p->closed ? 0 : proto_recv(p->fd, p->packet, sizeof p->packet, fds);

        if (n == -EAGAIN)
            return 0;
        if (n == 0 || n == -ECONNRESET) {
            p->closed = true;
            if (p->told_closed)
                return 0;
            p->told_closed = true;
            *ret = (PodMsg){ .kind = POD_MSG_CLOSED, .fds = { -1, -1, -1 } };
            return 1;
        }
        if (n < 0)
            return err_neg(err, (int)n, "read from the pod's stage1");
        r = msg_of_packet(sv_n(p->packet, (size_t)n), fds, ret, err);
        for (int i = 0; i < POD_FDS_MAX; i++)
            closep(&fds[i]);
    }
    return r;
}

int pod_read(Pod *p, PodMsg *ret_msg, Err *err)
{
    if (p->kept.len) {
        *ret_msg = p->kept.items[0];
        vec_remove(&p->kept, 0);
        return 1;
    }
    return read_socket(p, ret_msg, err);
}

static int wait_readable(Pod *p, int64_t end, Err *err)
{
    struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
    int64_t left = (end - clock_mono_ns() + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

    if (left <= 0)
        return 0;
    if (poll(&pfd, 1, (int)MIN(left, 1000000)) < 0 && errno != EINTR)
        return err_errno(err, "poll");
    return 1;
}

int pod_wait_any(Pod *p, int timeout_ms, PodMsg *ret_msg, Err *err)
{
    int64_t end = clock_mono_ns() + timeout_ms * NSEC_PER_MSEC;

    for (;;) {
        int r = pod_read(p, ret_msg, err);

        if (r != 0 || p->told_closed)
            return r;
        r = wait_readable(p, end, err);
        if (r <= 0)
            return r;
    }
}

static int finish_wait(PodMsg *msg, PodMsg *ret_msg, Err *err)
{
    if (msg->err.code && err)
        *err = msg->err;
    if (ret_msg)
        *ret_msg = *msg;
    else
        pod_msg_close(msg);
    return msg->err.code ? -(int)msg->err.code : 0;
}

int pod_wait(Pod *p, uint32_t request, int timeout_ms, PodMsg *ret_msg, Err *err)
{
    int64_t end = clock_mono_ns() + timeout_ms * NSEC_PER_MSEC;
    PodMsg msg;

    for (size_t i = 0; i < p->kept.len; i++)
        if (p->kept.items[i].kind == POD_MSG_REPLY && p->kept.items[i].request == request) {
            msg = p->kept.items[i];
            vec_remove(&p->kept, i);
            return finish_wait(&msg, ret_msg, err);
        }
    for (;;) {
        int r = read_socket(p, &msg, err);

        if (r < 0)
            return r;
        if (r == 1 && msg.kind == POD_MSG_REPLY && msg.request == request)
            return finish_wait(&msg, ret_msg, err);
        if (r == 1 && !vec_push(&p->kept, msg)) {
            pod_msg_close(&msg);
            return err_nomem(err);
        }
        if (p->closed)
            return err_set(err, ERR_CLOSED, 0, "the pod's stage1 ended before it answered");
        if (r == 0 && (r = wait_readable(p, end, err)) <= 0)
            return r < 0 ? r : err_set(err, ERR_TIMEOUT, 0, "the pod's stage1 does not answer");
    }
}

/* --- blocking forms --- */

int pod_add(Pod *p, const AppSpec *app, Err *err)
{
    uint32_t n;
    int r = pod_send_add(p, app, &n, err);

    return r < 0 ? r : pod_wait(p, n, CALL_TIMEOUT_MS, NULL, err);
}

int pod_start(Pod *p, const char *app, int *ret_exit_code, Err *err)
{
    PodMsg msg = { 0 };
    uint32_t n;
    int r = pod_send_start(p, app, &n, err);

    if (r >= 0)
        r = pod_wait(p, n, CALL_TIMEOUT_MS, &msg, err);
    if (ret_exit_code)
        *ret_exit_code = r < 0 ? msg.exit_code : 0;
    return r;
}

int pod_signal(Pod *p, const char *id, int sig, Err *err)
{
    uint32_t n;
    int r = pod_send_signal(p, id, sig, &n, err);

    return r < 0 ? r : pod_wait(p, n, CALL_TIMEOUT_MS, NULL, err);
}

static int wait_fds(Pod *p, uint32_t n, int ret_fds[POD_FDS_MAX], int *ret_exit_code, Err *err)
{
    PodMsg msg = { .fds = { -1, -1, -1 } };
    int r = pod_wait(p, n, CALL_TIMEOUT_MS, &msg, err);

    memcpy(ret_fds, msg.fds, sizeof msg.fds);
    if (ret_exit_code)
        *ret_exit_code = r < 0 ? msg.exit_code : 0;
    return r;
}

int pod_exec(Pod *p, const ExecSpec *e, int ret_fds[POD_FDS_MAX], int *ret_exit_code, Err *err)
{
    uint32_t n;
    int r = pod_send_exec(p, e, &n, err);

    return r < 0 ? r : wait_fds(p, n, ret_fds, ret_exit_code, err);
}

int pod_attach(Pod *p, const char *app, int ret_fds[POD_FDS_MAX], Err *err)
{
    uint32_t n;
    int r = pod_send_attach(p, app, &n, err);

    return r < 0 ? r : wait_fds(p, n, ret_fds, NULL, err);
}

int pod_resize(Pod *p, const char *id, uint32_t cols, uint32_t rows, Err *err)
{
    uint32_t n;
    int r = pod_send_resize(p, id, cols, rows, &n, err);

    return r < 0 ? r : pod_wait(p, n, CALL_TIMEOUT_MS, NULL, err);
}

int pod_remove(Pod *p, const char *app, Err *err)
{
    uint32_t n;
    int r = pod_send_remove(p, app, &n, err);

    return r < 0 ? r : pod_wait(p, n, CALL_TIMEOUT_MS, NULL, err);
}

int pod_status(Pod *p, const char *app, AppStatus *ret, Err *err)
{
    PodMsg msg;
    uint32_t n;
    int r = pod_send_status(p, app, &n, err);

    if (r < 0 || (r = pod_wait(p, n, CALL_TIMEOUT_MS, &msg, err)) < 0)
        return r;
    *ret = msg.status;
    return 0;
}

int pod_rotate_log(Pod *p, const char *app, Err *err)
{
    uint32_t n;
    int r = pod_send_rotate_log(p, app, &n, err);

    return r < 0 ? r : pod_wait(p, n, CALL_TIMEOUT_MS, NULL, err);
}

int pod_stop(Pod *p, uint32_t grace_ms, Err *err)
{
    int64_t end;
    char dir[64];
    uint32_t n;
    int r = pod_send_stop(p, grace_ms, &n, err);
    bool unheard;

    if (r >= 0)
        r = pod_wait(p, n, CALL_TIMEOUT_MS, NULL, err);
    if (r < 0 && r != -(int)ERR_CLOSED)
        return r;
    /* Nobody may have read what was sent: one that is ending goes soon, any other is asked again by
     * who gets ERR_BUSY. */
    unheard = r < 0;
    err_clear(err);
    end = clock_mono_ns() +
          (unheard ? UNHEARD_WAIT_MS : (int64_t)grace_ms + END_WAIT_MS) * NSEC_PER_MSEC;
    while (!p->closed) {
        PodMsg msg;

        if ((r = wait_readable(p, end, err)) < 0 || (r > 0 && (r = read_socket(p, &msg, err)) < 0))
            return r;
        if (r == 1 && msg.kind != POD_MSG_CLOSED && !vec_push(&p->kept, msg))
            pod_msg_close(&msg);
        if (clock_mono_ns() >= end)
            return err_set(err, ERR_TIMEOUT, 0, "the pod does not stop");
    }
    while (pod_dir_is_locked(p->dir_fd) && clock_mono_ns() < end)
        poll(NULL, 0, 5);
    snprintf(dir, sizeof dir, "/proc/self/fd/%d", p->dir_fd);
    return pod_cleanup(dir, err);
}
