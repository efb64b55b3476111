/* proc.c - fork and exec with an error pipe, and waiting with deadlines through pidfds. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"

static int drop_user(const ProcSpec *s)
{
    /* Nothing that it starts may ever have a capability; EINVAL: the kernel knows no more. */
    for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ;
    if (errno != EINVAL)
        return -errno;
    /* Groups first: setgroups needs the privilege that setuid gives away. */
    if (setgroups(0, NULL) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
        setresuid(s->uid, s->uid, s->uid) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static int place_fds(const int fds[3])
{
    int moved[3];
    for (int i = 0; i < 3; i++) { /* above 2 first, so that placing one never hits another */
        int fd = fds[i] >= 0 ? fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0 || (moved[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
            return -errno;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(moved[i], i) < 0)
            return -errno;
    return 0;
}

/* In the child: only async-signal-safe calls. Returns only on failure. */
static int child_exec(const ProcSpec *s, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    int r = place_fds(s->fds);
    if (r < 0)
        return r;
    if (s->new_session && setsid() < 0)
        return -errno;
    if (s->cwd && chdir(s->cwd) < 0)
        return -errno;
    if (s->drop_user && (r = drop_user(s)) < 0)
        return r;
    if (s->die_with_parent) { /* after the change of user, which clears it */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
            return -errno;
        if (getppid() != parent)
            return -ESRCH;
    }
    execvpe(s->file ? s->file : s->argv[0], (char *const *)s->argv,
            (char *const *)(s->envp ? s->envp : (const char *const *)environ));
    return -errno;
}

int proc_spawn(const ProcSpec *spec, pid_t *ret_pid)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    sigset_t all, old;
    sigfillset(&all);
    pid_t parent = getpid();
    pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler of ours runs in the child */
    pid_t pid = fork();
    if (pid == 0) {
        /* The report must not land on a descriptor that place_fds() fills. */
        int report = fcntl(p[1], F_DUPFD_CLOEXEC, 10);
        int r = child_exec(spec, parent);
        if (write(report, &r, sizeof r) < 0) {
            /* The parent is gone, or will see the end of the pipe. */
        }
        _exit(127);
    }
    int r = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(p[1]);
    int child_error = 0;
    if (r == 0 && fd_read_full(p[0], &child_error, sizeof child_error) == 0) {
        waitpid(pid, NULL, 0);
        r = child_error;
    }
    close(p[0]);
    if (r == 0)
        *ret_pid = pid;
    return r;
}

static int pidfd_wait(pid_t pid, int timeout_ms)
{
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return -errno;
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    int r;
    do
        r = poll(&pfd, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

int proc_wait(pid_t pid, int timeout_ms, int *ret_status)
{
    if (timeout_ms >= 0) {
        int r = pidfd_wait(pid, timeout_ms);
        if (r < 0 && r != -ESRCH)
            return r;
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (ret_status)
        *ret_status = status;
    return 0;
}

int proc_stop(pid_t pid, int grace_ms, int *ret_status)
{
    if (kill(pid, SIGTERM) < 0)
        return -errno;
    int r = proc_wait(pid, grace_ms, ret_status);
    if (r != -ETIMEDOUT)
        return r;
    kill(pid, SIGKILL);
    return proc_wait(pid, -1, ret_status);
}

/* One of the three pipes between proc_run() and its child. */
typedef struct Pump {
    int fd;
    StrView in; /* what is still to be written */
    Buf *out;
} Pump;

/* 0, or the negative errno of output that cannot be read: it is not the same as its end. A child
 * that does not read all of its input is fine. */
static int pump_once(Pump *p, bool writing)
{
    ssize_t n;
    int r = 0;
    if (writing) {
        n = write(p->fd, p->in.ptr, p->in.len);
        if (n > 0)
            p->in = sv_skip(p->in, (size_t)n);
        if (p->in.len && (n >= 0 || errno == EINTR || errno == EAGAIN))
            return 0;
        if (n < 0 && errno != EPIPE)
            r = -errno;
    } else {
        char data[4096];
        n = read(p->fd, data, sizeof data);
        if (n > 0 && p->out)
            buf_append(p->out, data, (size_t)n);
        if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
            return 0;
        r = n < 0 ? -errno : 0;
    }
    close(p->fd);
    p->fd = -1;
    return r;
}

static int pump_all(Pump pumps[3], int64_t deadline)
{
    for (;;) {
        struct pollfd pfd[3];
        int open_fds = 0;
        for (int i = 0; i < 3; i++) {
            pfd[i] = (struct pollfd){ .fd = pumps[i].fd, .events = i == 0 ? POLLOUT : POLLIN };
            open_fds += pumps[i].fd >= 0;
        }
        if (!open_fds)
            return 0;
        int wait = -1;
        if (deadline) {
            int64_t left = (deadline - clock_mono_ns()) / NSEC_PER_MSEC;
            if (left <= 0)
                return -ETIMEDOUT;
            wait = (int)MIN(left, 1000000);
        }
        int n = poll(pfd, 3, wait);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0, r = 0; n > 0 && i < 3; i++)
            if (pfd[i].fd >= 0 && pfd[i].revents && (r = pump_once(&pumps[i], i == 0)) < 0)
                return r;
    }
}

int proc_run_file(const char *file, const char *const *argv, const char *const *envp, StrView in,
                  int timeout_ms, Buf *out, Buf *errout, int *ret_status)
{
    int pipes[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } }, r = 0;
    for (int i = 0; i < 3 && r == 0; i++)
        if (pipe2(pipes[i], O_CLOEXEC) < 0)
            r = -errno;
    ProcSpec spec = {
        .file = file, .argv = argv, .envp = envp, .fds = { pipes[0][0], pipes[1][1], pipes[2][1] }
    };
    pid_t pid = -1;
    if (r == 0)
        r = proc_spawn(&spec, &pid);
    closep(&pipes[0][0]);
    closep(&pipes[1][1]);
    closep(&pipes[2][1]);
    Pump pumps[3] = { { pipes[0][1], in, NULL },
                      { pipes[1][0], SV_NULL, out },
                      { pipes[2][0], SV_NULL, errout } };
    if (r == 0) {
        if (!in.len)
            closep(&pumps[0].fd);
        for (int i = 0; i < 3; i++)
            if (pumps[i].fd >= 0)
                fd_set_nonblock(pumps[i].fd, true);
        struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
        sigaction(SIGPIPE, &ignore, &old);
        int64_t deadline = timeout_ms > 0 ? clock_mono_ns() + timeout_ms * NSEC_PER_MSEC : 0;
        r = pump_all(pumps, deadline);
        sigaction(SIGPIPE, &old, NULL);
        if (r < 0)
            kill(pid, SIGKILL);
        int w = proc_wait(pid, -1, ret_status);
        r = r < 0 ? r : w;
    }
    for (int i = 0; i < 3; i++)
        closep(&pumps[i].fd);
    return r;
}

int proc_run(const char *const *argv, const char *const *envp, StrView in, int timeout_ms, Buf *out,
             Buf *errout, int *ret_status)
{
    return proc_run_file(NULL, argv, envp, in, timeout_ms, out, errout, ret_status);
}
