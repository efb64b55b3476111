/* sync.c - messages between the command and the process that it makes, over SOCK_SEQPACKET, and
 * descriptors for others, over their sockets. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "oci/runtime/container_internal.h"

int sync_send(int fd, const SyncMsg *m, const int *fds, unsigned fds_len, Err *err)
{
    union {
        char buf[CMSG_SPACE(sizeof(int) * SYNC_FDS_MAX)];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)m, .iov_len = sizeof *m };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (fds_len) {
        struct cmsghdr *c = &control.align;

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds_len);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fds_len);
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds_len);
    }
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *m)
        return 0;
    return n < 0 && (errno == EPIPE || errno == ECONNRESET)
               ? err_set(err, ERR_CLOSED, 0, "the other side is gone")
               : err_errno(err, "send to the other side");
}

static void take_fds(struct msghdr *msg, int *ret_fds, unsigned *fds_len)
{
    unsigned max = fds_len ? *fds_len : 0;

    if (fds_len)
        *fds_len = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        int got[SYNC_FDS_MAX];

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(got, CMSG_DATA(c), MIN(n, (size_t)SYNC_FDS_MAX) * sizeof(int));
        for (size_t i = 0; i < MIN(n, (size_t)SYNC_FDS_MAX); i++)
            if (fds_len && *fds_len < max)
                ret_fds[(*fds_len)++] = got[i];
            else
                close(got[i]);
    }
}

int sync_receive(int fd, SyncMsg *ret, int *ret_fds, unsigned *fds_len, Err *err)
{
    union {
        char buf[CMSG_SPACE(sizeof(int) * SYNC_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = { .iov_base = ret, .iov_len = sizeof *ret };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.buf,
                          .msg_controllen = sizeof control };
    ssize_t n;

    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return err_set(err, ERR_CLOSED, 0, "the other side is gone");
    if (n < 0)
        return err_errno(err, "receive from the other side");
    take_fds(&msg, ret_fds, fds_len);
    if (n != (ssize_t)sizeof *ret || (unsigned)ret->type >= SYNC_TYPE_MAX)
        return err_set(err, ERR_PROTO, 0, "a message of %zd bytes from the other side", n);
    ret->err.msg[sizeof ret->err.msg - 1] = 0;
    return 0;
}

int sync_ask(int fd, SyncType type, int64_t value, Err *err)
{
    const SyncMsg ask = { .type = type, .value = value };
    SyncMsg answer;
    int r = sync_send(fd, &ask, NULL, 0, err);

    if (r < 0 || (r = sync_receive(fd, &answer, NULL, NULL, err)) < 0)
        return r;
    return answer.type == SYNC_GO ? 0 : err_set(err, ERR_PROTO, 0, "an unexpected answer");
}

/* --- to others --- */

int socket_connect(const char *path, Err *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dir = -1;

    if (fd < 0)
        return err_errno(err, "make a socket");
    if (!sv_copy_cstr(sv_cstr(path), addr.sun_path, sizeof addr.sun_path)) {
        dir = open(path, O_PATH | O_CLOEXEC); /* longer than an address may be */
        if (dir < 0)
            return err_errno(err, "dial unix %s", path);
        snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d", dir);
    }
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        return err_errno(err, "dial unix %s: connect", path);
    return TAKE_FD(fd);
}

int socket_send_fd(int fd, StrView text, int passed, Err *err)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)text.ptr, .iov_len = text.len };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.buf,
                          .msg_controllen = sizeof control.buf };

    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    control.align.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.align), &passed, sizeof passed);
    if (sendmsg(fd, &msg, MSG_NOSIGNAL) != (ssize_t)text.len)
        return err_errno(err, "send a descriptor");
    return 0;
}
