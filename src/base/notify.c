/* notify.c - sd_notify(3), both ends. */
#include "base/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static int make_addr(const char *path, struct sockaddr_un *addr, socklen_t *ret_len)
{
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof addr->sun_path || (path[0] != '/' && path[0] != '@'))
        return -EINVAL;
    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(addr->sun_path, path, n);
    if (path[0] == '@')
        addr->sun_path[0] = 0;
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
    return 0;
}

static int send_state(const char *state, int flags)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path)
        return 0;
    struct sockaddr_un addr;
    socklen_t len;
    int r = make_addr(path, &addr, &len);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        sendto(fd, state, strlen(state), MSG_NOSIGNAL | flags, (struct sockaddr *)&addr, len) < 0)
        return -errno;
    return 0;
}

int notify_send(const char *state)
{
    return send_state(state, 0);
}

int notify_ping(const char *state)
{
    return send_state(state, MSG_DONTWAIT);
}

int notify_listen(const char *path)
{
    struct sockaddr_un addr;
    socklen_t len;
    int r = make_addr(path, &addr, &len), on = 1;
    if (r < 0)
        return r;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&addr, len) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

int notify_receive(int fd, char *buf, size_t size, pid_t *ret_pid)
{
    char control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec iov = { buf, size - 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    buf[n] = 0;
    *ret_pid = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;
            memcpy(&cred, CMSG_DATA(c), sizeof cred);
            *ret_pid = cred.pid;
        }
    return 0;
}
