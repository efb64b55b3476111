/* stage1_spawn.c - the parent's side of starting a process in a container.
 *
 * The child is born into its control group of version 2 and enters those of version 1 itself,
 * before anything else: moving it from here would hold each start up (cgroup.h). A socket pair of
 * packets joins parent and child: the child sends the terminal's master ("T" with a descriptor)
 * and, if it fails, its Err. The child's end closes on exec: the end of the stream without an Err
 * is success. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "pod/stage1.h"

/* What the pid file and the status say: our own pid namespace means nothing to others. The host's
 * /proc numbers by its own namespace. */
pid_t host_pid(Stage1 *s, int pidfd)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line, key, value;
    char path[48];
    int64_t n;

    snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
    if (file_read(s->proc_fd, path, 4096, &text) < 0)
        return 0;
    rest = buf_view(&text);
    while (sv_next(&rest, '\n', &line))
        if (sv_cut(line, ':', &key, &value) && sv_eq(key, SV("Pid")) &&
            sv_to_i64(sv_trim(value), &n) == 0)
            return (pid_t)n;
    return 0;
}

/* Children are born into another pid namespace than ours: the app's for a command, the pod's shared
 * one. */
static int enter_pidns(Stage1 *s, const Spawn *sp, Err *err)
{
    int fd = sp->exec                                  ? sp->app_pidfd
             : s->spec.shared_pid && !s->spec.host_pid ? s->init_pidfd
                                                       : -1;

    if (fd < 0 || (sp->exec && s->spec.host_pid))
        return 0;
    if (setns(fd, CLONE_NEWPID) < 0)
        return err_errno(err, "enter the pid namespace");
    return 0;
}

static uint64_t clone_flags(const Stage1 *s, const Spawn *sp)
{
    if (sp->exec)
        return 0;
    return CLONE_NEWNS | (s->spec.host_pid || s->spec.shared_pid ? 0 : CLONE_NEWPID);
}

static int receive(Spawn *sp, int sock, Err *err)
{
    int64_t end = clock_mono_ns() + START_TIMEOUT_MS * NSEC_PER_MSEC;

    for (;;) {
        struct pollfd p = { .fd = sock, .events = POLLIN };
        int64_t left = (end - clock_mono_ns()) / NSEC_PER_MSEC;
        int fds[POD_FDS_MAX];
        Err got;
        ssize_t n;

        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return err_set(err, ERR_TIMEOUT, 0, "the container's set-up takes more than %d s",
                           START_TIMEOUT_MS / 1000);
        n = proto_recv(sock, &got, sizeof got, fds);
        if (n == -EAGAIN || n == -EINTR)
            continue;
        if (n == 0)
            return 0;
        if (n == 1 && fds[0] >= 0) {
            closep(&sp->master);
            sp->master = fds[0];
            continue;
        }
        for (int i = 0; i < POD_FDS_MAX; i++)
            closep(&fds[i]);
        if (n != sizeof got)
            return err_set(err, ERR_PROTO, 0, "the container's set-up ended strangely");
        if (err)
            *err = got;
        return -(int)got.code;
    }
}

static int supervise_start(Spawn *sp, int sock, Err *err)
{
    int r = receive(sp, sock, err);

    if (r < 0)
        return r;
    if ((sp->exec ? sp->exec->tty : sp->app->tty) && sp->master < 0)
        return err_set(err, ERR_PROTO, 0, "the container's set-up gave no terminal");
    return 0;
}

int spawn_run(Stage1 *s, Spawn *sp, Err *err)
{
    int pair[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, "socket pair");
    r = enter_pidns(s, sp, err);
    if (r >= 0) {
        sp->pid = cgroup_clone(&s->cgroups, sp->cgroup, clone_flags(s, sp), &sp->pidfd, err);
        r = sp->pid < 0 ? (int)sp->pid : 0;
    }
    if (r >= 0 && sp->pid == 0) {
        Err why = { 0 };

        close(pair[0]);
        if (child_run(s, sp, pair[1], &why) < 0)
            (void)!send(pair[1], &why, sizeof why, MSG_NOSIGNAL);
        _exit(1);
    }
    if (setns(s->own_pidns_fd, CLONE_NEWPID) < 0 && r >= 0)
        r = err_errno(err, "come back to our pid namespace");
    close(pair[1]);
    if (r >= 0)
        r = supervise_start(sp, pair[0], err);
    close(pair[0]);
    if (r < 0 && sp->pid > 0) {
        kill(sp->pid, SIGKILL);
        while (waitpid(sp->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        closep(&sp->pidfd);
        closep(&sp->master);
    }
    return r;
}
