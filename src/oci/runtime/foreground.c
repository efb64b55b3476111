/* foreground.c - the command while its container runs: signals go on to the container's process, a
 * terminal is passed through, orphans that end up with us are reaped.
 *
 * Without a terminal of its own the process has our standard descriptors themselves. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/file.h"
#include "oci/runtime/container_internal.h"

enum { CHUNK = 16384 };

struct Foreground {
    int signal_fd;
    int socket_p, socket_c; /* the master comes over it */
    int host_tty;           /* ours; -1: none */
    int master;             /* the container's; -1: none, or at its end */
    bool is_raw, tty, input_ended;
    struct termios before;
    char to_master[CHUNK];
    size_t to_master_len;
};

Foreground *foreground_free(Foreground *f)
{
    if (!f)
        return NULL;
    if (f->is_raw)
        tcsetattr(f->host_tty, TCSANOW, &f->before);
    closep(&f->signal_fd);
    closep(&f->socket_p);
    closep(&f->socket_c);
    closep(&f->host_tty);
    closep(&f->master);
    free(f);
    return NULL;
}

/* Any of the three may be redirected; the controlling terminal is there all the same. */
static int open_host_tty(Err *err)
{
    int fd;

    for (int i = 2; i >= 0; i--)
        if (isatty(i)) {
            fd = fcntl(i, F_DUPFD_CLOEXEC, 3);
            return fd < 0 ? err_errno(err, "keep our terminal") : fd;
        }
    fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? err_errno(err, "open /dev/tty") : fd;
}

static int prepare_tty(Foreground *f, Err *err)
{
    int pair[2];

    f->host_tty = open_host_tty(err);
    if (f->host_tty < 0)
        return f->host_tty;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, "make a pair of sockets");
    f->socket_p = pair[0];
    f->socket_c = pair[1];
    return 0;
}

int foreground_new(bool tty, bool subreaper, Foreground **ret, Err *err)
{
    Foreground *f = calloc(1, sizeof *f);
    sigset_t all;
    int r = 0;

    if (!f)
        return err_nomem(err);
    f->socket_p = f->socket_c = f->host_tty = f->master = f->signal_fd = -1;
    f->tty = tty;
    if (subreaper)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    sigfillset(&all);
    sigdelset(&all, SIGPIPE); /* of our own writes */
    sigdelset(&all, SIGURG);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0 ||
        (f->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        r = err_errno(err, "take signals");
    signal(SIGPIPE, SIG_IGN);
    if (r >= 0 && tty)
        r = prepare_tty(f, err);
    if (r < 0) {
        foreground_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

int foreground_console(Foreground *f)
{
    return fcntl(f->socket_c, F_DUPFD_CLOEXEC, 3);
}

static void resize(const Foreground *f)
{
    struct winsize size;

    if (f->master >= 0 && f->host_tty >= 0 && ioctl(f->host_tty, TIOCGWINSZ, &size) == 0)
        ioctl(f->master, TIOCSWINSZ, &size);
}

static int receive_master(Foreground *f, Err *err)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char text[64];
    struct iovec iov = { .iov_base = text, .iov_len = sizeof text };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.buf,
                          .msg_controllen = sizeof control };
    struct cmsghdr *c;

    if (recvmsg(f->socket_p, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0)
        return err_errno(err, "receive the container's terminal");
    c = CMSG_FIRSTHDR(&msg);
    if (!c || c->cmsg_type != SCM_RIGHTS)
        return err_set(err, ERR_PROTO, 0, "the container's terminal did not come");
    memcpy(&f->master, CMSG_DATA(c), sizeof f->master);
    return 0;
}

/* Ours is raw, so that every key goes through. */
static int start_tty(Foreground *f, Err *err)
{
    struct termios t;
    int r = receive_master(f, err);

    if (r < 0)
        return r;
    if (tcgetattr(f->master, &t) == 0) {
        t.c_oflag &= ~(tcflag_t)ONLCR;
        tcsetattr(f->master, TCSANOW, &t);
    }
    if (tcgetattr(f->host_tty, &f->before) == 0) {
        t = f->before;
        cfmakeraw(&t);
        t.c_oflag |= OPOST; /* new lines are made here, not by the container's side */
        f->is_raw = tcsetattr(f->host_tty, TCSANOW, &t) == 0;
    }
    fd_set_nonblock(f->master, true);
    resize(f);
    return 0;
}

static void pump_output(Foreground *f)
{
    char data[CHUNK];
    ssize_t n = read(f->master, data, sizeof data);

    if (n > 0)
        (void)!fd_write_full(1, data, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) /* EIO: no process has it open */
        closep(&f->master);
}

static void flush_input(Foreground *f)
{
    ssize_t n = f->master < 0 ? (ssize_t)f->to_master_len
                              : write(f->master, f->to_master, f->to_master_len);

    if (n > 0) {
        memmove(f->to_master, f->to_master + n, f->to_master_len - (size_t)n);
        f->to_master_len -= (size_t)n;
    }
}

static void pump_input(Foreground *f)
{
    ssize_t n = read(0, f->to_master, sizeof f->to_master);

    if (n <= 0 && errno != EINTR && errno != EAGAIN)
        f->input_ended = true;
    f->to_master_len = n > 0 ? (size_t)n : 0;
    flush_input(f);
}

static bool reap(pid_t wanted, int *ret_code)
{
    bool found = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
        if (pid == wanted) {
            *ret_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            found = true;
        }
    return found;
}

static bool take_signals(Foreground *f, pid_t pid, int *ret_code)
{
    struct signalfd_siginfo info;
    bool ended = false;

    while (read(f->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        int sig = (int)info.ssi_signo;

        if (sig == SIGCHLD)
            ended = reap(pid, ret_code) || ended;
        else if (sig == SIGWINCH)
            resize(f);
        else if (!ended)
            kill(pid, sig);
    }
    return ended;
}

int foreground_wait(Foreground *f, pid_t pid, int *ret_code, Err *err)
{
    bool ended;
    int r;

    closep(&f->socket_c);
    if (f->tty && (r = start_tty(f, err)) < 0)
        return r;
    ended = reap(pid, ret_code); /* its signal may have come before we looked */
    while (!ended) {
        struct pollfd pfd[3] = {
            { .fd = f->signal_fd, .events = POLLIN },
            { .fd = f->master, .events = (short)(POLLIN | (f->to_master_len ? POLLOUT : 0)) },
            { .fd = f->tty && !f->input_ended && !f->to_master_len ? 0 : -1, .events = POLLIN },
        };

        if (poll(pfd, 3, -1) < 0 && errno != EINTR)
            return err_errno(err, "wait for the container");
        if (pfd[2].revents)
            pump_input(f);
        if (pfd[1].revents & POLLOUT)
            flush_input(f);
        if (pfd[1].revents & ~POLLOUT)
            pump_output(f);
        ended = take_signals(f, pid, ret_code);
    }
    /* What it wrote last is still in the terminal. */
    while (f->master >= 0) {
        struct pollfd last = { .fd = f->master, .events = POLLIN };

        if (poll(&last, 1, 0) <= 0)
            break;
        pump_output(f);
    }
    return 0;
}
