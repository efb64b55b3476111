/* proto.c - encoding and transport of the messages of proto.h. */
#include "pod/proto.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static const WireField request_table[] = {
    WIRE(1, WIRE_TEXT, ProtoRequest, id),
    WIRE(2, WIRE_U32, ProtoRequest, signal),
    WIRE(3, WIRE_U32, ProtoRequest, cols),
    WIRE(4, WIRE_U32, ProtoRequest, rows),
    WIRE(5, WIRE_U32, ProtoRequest, grace_ms),
    WIRE(6, WIRE_TEXT, ProtoRequest, app),
    WIRE(7, WIRE_TEXTS, ProtoRequest, argv),
    WIRE(8, WIRE_TEXTS, ProtoRequest, env),
    WIRE(9, WIRE_TEXT, ProtoRequest, cwd),
    WIRE(10, WIRE_TEXT, ProtoRequest, user),
    WIRE(11, WIRE_BOOL, ProtoRequest, tty),
    WIRE(12, WIRE_BOOL, ProtoRequest, use_stdin),
    WIRE(13, WIRE_BOOL, ProtoRequest, use_stdout),
    WIRE(14, WIRE_BOOL, ProtoRequest, use_stderr),
    { 0 },
};

static const WireField reply_table[] = {
    WIRE(1, WIRE_U32, ProtoReply, code),        WIRE(2, WIRE_U32, ProtoReply, sys),
    WIRE(3, WIRE_TEXT, ProtoReply, text),       WIRE(4, WIRE_TEXT, ProtoReply, id),
    WIRE(5, WIRE_BOOL, ProtoReply, has_status), WIRE(6, WIRE_U32, ProtoReply, state),
    WIRE(7, WIRE_U32, ProtoReply, pid),         WIRE(8, WIRE_U32, ProtoReply, exit_code),
    WIRE(9, WIRE_U32, ProtoReply, signal),      WIRE(10, WIRE_BOOL, ProtoReply, oom_killed),
    WIRE(11, WIRE_U64, ProtoReply, started_ns), WIRE(12, WIRE_U64, ProtoReply, finished_ns),
    WIRE(13, WIRE_TEXT, ProtoReply, reason),    WIRE(14, WIRE_TEXT, ProtoReply, message),
    WIRE(15, WIRE_U32, ProtoReply, fds),        { 0 },
};

static void encode(uint16_t type, uint32_t request, const WireField *table, const void *body,
                   Buf *out)
{
    ProtoHeader h = {
        .magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = type, .request = request
    };
    size_t start = out->len;

    buf_append(out, &h, sizeof h);
    wire_encode(table, body, out);
    if (out->failed)
        return;
    h.len = (uint32_t)(out->len - start - sizeof h);
    memcpy(out->ptr + start, &h, sizeof h);
}

void proto_encode_request(ProtoType type, uint32_t request, const ProtoRequest *r, Buf *out)
{
    encode((uint16_t)type, request, request_table, r, out);
}

void proto_encode_reply(ProtoType type, uint32_t request, const ProtoReply *r, Buf *out)
{
    encode((uint16_t)type, request, reply_table, r, out);
}

int proto_check(StrView packet, ProtoHeader *ret_header, StrView *ret_body, Err *err)
{
    ProtoHeader h;

    if (packet.len < sizeof h)
        return err_set(err, ERR_PROTO, 0, "a packet of %zu bytes has no header", packet.len);
    memcpy(&h, packet.ptr, sizeof h);
    if (h.magic != PROTO_MAGIC || h.version < PROTO_OLDEST)
        return err_set(err, ERR_PROTO, 0, "a packet of an unknown protocol (%#x, version %u)",
                       h.magic, h.version);
    if (h.len != packet.len - sizeof h)
        return err_set(err, ERR_PROTO, 0, "a packet says %u bytes and has %zu", h.len,
                       packet.len - sizeof h);
    *ret_header = h;
    *ret_body = sv_skip(packet, sizeof h);
    return 0;
}

int proto_decode_request(StrView body, Arena *a, ProtoRequest *ret, Err *err)
{
    memset(ret, 0, sizeof *ret);
    return wire_decode(request_table, body, a, ret, err);
}

int proto_decode_reply(StrView body, Arena *a, ProtoReply *ret, Err *err)
{
    memset(ret, 0, sizeof *ret);
    return wire_decode(reply_table, body, a, ret, err);
}

void proto_reply_of_status(const AppStatus *st, ProtoReply *ret)
{
    ret->has_status = true;
    ret->id = st->id;
    ret->state = st->state;
    ret->pid = (uint32_t)st->pid;
    ret->exit_code = (uint32_t)st->exit_code;
    ret->signal = (uint32_t)st->signal;
    ret->oom_killed = st->oom_killed;
    ret->started_ns = (uint64_t)st->started_ns;
    ret->finished_ns = (uint64_t)st->finished_ns;
    ret->reason = st->reason;
    ret->message = st->message;
}

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

void proto_status_of_reply(const ProtoReply *r, AppStatus *ret)
{
    memset(ret, 0, sizeof *ret);
    copy_text(ret->id, sizeof ret->id, r->id);
    ret->state = (AppState)r->state;
    ret->pid = (pid_t)r->pid;
    ret->exit_code = (int)r->exit_code;
    ret->signal = (int)r->signal;
    ret->oom_killed = r->oom_killed;
    ret->started_ns = (int64_t)r->started_ns;
    ret->finished_ns = (int64_t)r->finished_ns;
    copy_text(ret->reason, sizeof ret->reason, r->reason);
    copy_text(ret->message, sizeof ret->message, r->message);
}

int proto_send(int sock, StrView packet, const int *fds, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(POD_FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)packet.ptr, .iov_len = packet.len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    ASSERT(n_fds <= POD_FDS_MAX);
    if (n_fds) {
        struct cmsghdr *c;

        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    while (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static void take_fds(struct msghdr *msg, int fds[POD_FDS_MAX])
{
    unsigned n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (n < POD_FDS_MAX)
                fds[n++] = fd;
            else
                close(fd);
        }
    }
}

ssize_t proto_recv(int sock, void *buf, size_t size, int fds[POD_FDS_MAX])
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(POD_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = buf, .iov_len = size };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space };
    ssize_t n;

    for (unsigned i = 0; i < POD_FDS_MAX; i++)
        fds[i] = -1;
    do
        n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    take_fds(&msg, fds);
    if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (unsigned i = 0; i < POD_FDS_MAX; i++)
            closep(&fds[i]);
        return -EMSGSIZE;
    }
    return n;
}

void proto_address(int dir_fd, const char *name, struct sockaddr_un *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->sun_family = AF_UNIX;
    snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
}
