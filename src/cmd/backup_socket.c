/* backup_socket.c - one packet and, when all went well, one descriptor for each connection. */
#include "cmd/backup_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"

struct BackupSocket {
    Store *store;
    int listen_fd, stop[2]; /* a pipe: closing its end stops the thread */
    pthread_t thread;
    bool runs;
    char path[PATH_MAX], copy[PATH_MAX];
};

static int address_of(const char *dir, struct sockaddr_un *ret, Err *err)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (snprintf(ret->sun_path, sizeof ret->sun_path, "%s/backup.sock", dir) >=
        (int)sizeof ret->sun_path)
        return err_set(err, ERR_INVALID, 0, "the path of store '%s' is too long for a socket", dir);
    return 0;
}

static void answer(int fd, const char *text, int copy_fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { (void *)text, strlen(text) + 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (copy_fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control;
        control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
                                         .cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.head), &copy_fd, sizeof copy_fd);
    }
    if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
        log_warn("hand out a backup: %s, ignoring", strerror(errno));
}

/* Who may read every secret of the cluster is root, and nobody else. */
static bool is_root(int fd)
{
    struct ucred who;
    socklen_t len = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == 0;
}

static void serve_one(BackupSocket *b, int fd)
{
    Err err = { 0 };
    if (!is_root(fd)) {
        answer(fd, "only root may take a backup", -1);
        return;
    }
    unlink(b->copy); /* of a server that was killed meanwhile */
    if (store_backup(b->store, b->copy, &err) < 0) {
        answer(fd, err.msg, -1);
        return;
    }
    _cleanup_close_ int copy = open(b->copy, O_RDONLY | O_CLOEXEC);
    unlink(b->copy);
    answer(fd, copy < 0 ? "the copy cannot be opened" : "", copy);
}

static void *serve(void *arg)
{
    BackupSocket *b = arg;
    struct pollfd fds[] = { { .fd = b->listen_fd, .events = POLLIN },
                            { .fd = b->stop[0], .events = POLLIN } };
    while (poll(fds, ARRAY_SIZE(fds), -1) >= 0 || errno == EINTR) {
        if (fds[1].revents)
            break;
        _cleanup_close_ int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve_one(b, fd);
    }
    return NULL;
}

static int begin(BackupSocket *b, const char *dir, Err *err)
{
    struct sockaddr_un at;
    int r = address_of(dir, &at, err), code;
    if (r < 0)
        return r;
    memcpy(b->path, at.sun_path, sizeof at.sun_path);
    snprintf(b->copy, sizeof b->copy, "%s/backup.db", dir);
    unlink(b->path);
    unlink(b->copy);
    b->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (b->listen_fd < 0 || pipe2(b->stop, O_CLOEXEC) < 0 ||
        bind(b->listen_fd, (struct sockaddr *)&at, sizeof at) < 0 || chmod(b->path, 0600) < 0 ||
        listen(b->listen_fd, 4) < 0)
        return err_errno(err, "listen on '%s'", b->path);
    if ((code = pthread_create(&b->thread, NULL, serve, b)) != 0)
        return err_set(err, ERR_SYS, code, "start the thread for backups");
    b->runs = true;
    return 0;
}

int backup_socket_new(Store *store, const char *dir, BackupSocket **ret, Err *err)
{
    BackupSocket *b = calloc(1, sizeof *b);
    if (!b)
        return err_nomem(err);
    *b = (BackupSocket){ .store = store, .listen_fd = -1, .stop = { -1, -1 } };
    int r = begin(b, dir, err);
    if (r < 0) {
        backup_socket_free(b);
        return r;
    }
    *ret = b;
    return 0;
}

BackupSocket *backup_socket_free(BackupSocket *b)
{
    if (!b)
        return NULL;
    closep(&b->stop[1]);
    if (b->runs)
        pthread_join(b->thread, NULL);
    closep(&b->stop[0]);
    closep(&b->listen_fd);
    unlink(b->path);
    free(b);
    return NULL;
}

int backup_socket_ask(const char *dir, int *ret_fd, Err *err)
{
    struct sockaddr_un at;
    char text[BACKUP_ANSWER_MAX] = "";
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { text, sizeof text - 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    int r = address_of(dir, &at, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
        return err_set(err, ERR_CLOSED, errno,
                       "the API server does not listen on '%s'; start the cluster with `knarr up`",
                       at.sun_path);
    ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return err_errno(err, "wait for the API server's copy");
    if (n == 0)
        return err_set(err, ERR_CLOSED, 0, "the API server ended before its copy was made");
    if (text[0])
        return err_set(err, ERR_SYS, 0, "the API server refuses: %s", text);
    if (msg.msg_controllen < CMSG_LEN(sizeof(int)) || control.head.cmsg_type != SCM_RIGHTS)
        return err_set(err, ERR_SYS, 0, "the API server's answer carries no copy");
    memcpy(ret_fd, CMSG_DATA(&control.head), sizeof *ret_fd);
    return 0;
}
