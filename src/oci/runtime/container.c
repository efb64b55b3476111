/* container.c - what is done to a container that is there: start, kill, pause, delete. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/file.h"
#include "oci/runtime/container_run.h"

enum { KILL_WAIT_MS = 10000, FIFO_TEXT_MAX = 4096 };

static void state_freep(OciState **s)
{
    oci_state_free(*s);
}
#define _cleanup_state_ _cleanup_(state_freep)

/* --- start --- */

/* The process writes one byte, runs its startContainer hooks and becomes its program, at which the
 * fifo ends; what else it writes is why it did not. A reader that comes before it reads nothing. */
static int read_fifo(int fifo, int pidfd, Buf *text, Err *err)
{
    for (;;) {
        struct pollfd pfd[2] = { { .fd = fifo, .events = POLLIN },
                                 { .fd = pidfd, .events = POLLIN } };
        char data[256];
        ssize_t n;

        if (poll(pfd, 2, -1) < 0 && errno != EINTR)
            return err_errno(err, "wait for the container's process");
        n = pfd[0].revents || pfd[1].revents ? read(fifo, data, sizeof data) : -1;
        if (n > 0)
            buf_append(text, data, (size_t)n);
        else if (n == 0 && (pfd[0].revents & POLLHUP || pfd[1].revents))
            return 0;
    }
}

static int open_process(const OciState *s, Err *err)
{
    int fd = (int)syscall(SYS_pidfd_open, (long)s->pid, 0L);
    OciState now = *s;

    if (fd < 0)
        return errno == ESRCH ? err_set(err, ERR_NOT_FOUND, 0, "container not running")
                              : err_errno(err, "open process %d", (int)s->pid);
    oci_state_refresh(&now); /* the number may have come anew before we had it open */
    if (now.status == OCI_STOPPED) {
        close(fd);
        return err_set(err, ERR_NOT_FOUND, 0, "container not running");
    }
    return fd;
}

static int let_go(OciState *s, Err *err)
{
    /* The process goes on as soon as the fifo is open, and may be gone a moment later. */
    _cleanup_close_ int pidfd = open_process(s, err), fifo = -1;
    _cleanup_buf_ Buf text = { .limit = FIFO_TEXT_MAX };
    int r;

    if (pidfd < 0)
        return err_set(err, ERR_CONFLICT, 0, "container process is already dead");
    fifo = openat(s->dir_fd, "exec.fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fifo < 0)
        return errno == ENOENT
                   ? err_set(err, ERR_CONFLICT, 0, "cannot start an already running container")
                   : err_errno(err, "exec fifo");
    if ((r = read_fifo(fifo, pidfd, &text, err)) < 0)
        return r;
    if (unlinkat(s->dir_fd, "exec.fifo", 0) < 0)
        return err_errno(err, "remove exec.fifo");
    if (text.len == 0)
        return err_set(err, ERR_CONFLICT, 0, "container process is already dead");
    if (text.len > 1)
        return err_set(err, ERR_SYS, 0, "%.*s", SV_FMT(sv_skip(buf_view(&text), 1)));
    return 0;
}

int container_start(OciState *s, Err *err)
{
    int r = let_go(s, err);

    if (r < 0)
        return r;
    s->status = OCI_RUNNING;
    r = hooks_run(&s->spec->hooks.poststart, s, s->pid, err);
    if (r < 0)
        kill(s->pid, SIGKILL);
    return r;
}

int oci_start(const OciGlobal *g, const char *id, Err *err)
{
    _cleanup_state_ OciState *s = NULL;
    int r = oci_state_load(g->root, id, true, &s, err);

    if (r < 0)
        return r;
    switch (s->status) {
    case OCI_CREATED:
        return container_start(s, err);
    case OCI_STOPPED:
        return err_set(err, ERR_CONFLICT, 0, "cannot start a container that has stopped");
    case OCI_RUNNING:
        return err_set(err, ERR_CONFLICT, 0, "cannot start an already running container");
    default:
        return err_set(err, ERR_CONFLICT, 0, "cannot start a container in the %s state",
                       oci_status_name(s->status));
    }
}

/* --- signals --- */

static const char *const signal_names[] = {
    [SIGHUP] = "HUP",   [SIGINT] = "INT",       [SIGQUIT] = "QUIT", [SIGILL] = "ILL",
    [SIGTRAP] = "TRAP", [SIGABRT] = "ABRT",     [SIGBUS] = "BUS",   [SIGFPE] = "FPE",
    [SIGKILL] = "KILL", [SIGUSR1] = "USR1",     [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",
    [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM",     [SIGTERM] = "TERM", [SIGSTKFLT] = "STKFLT",
    [SIGCHLD] = "CHLD", [SIGCONT] = "CONT",     [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP",
    [SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU",     [SIGURG] = "URG",   [SIGXCPU] = "XCPU",
    [SIGXFSZ] = "XFSZ", [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH",
    [SIGIO] = "IO",     [SIGPWR] = "PWR",       [SIGSYS] = "SYS",
};

/* "RTMIN+3", "RTMAX-1" */
static bool realtime_parse(StrView name, int *ret)
{
    bool max = sv_starts(name, SV("RTMAX"));
    StrView rest = sv_skip(name, 5);
    int64_t n = 0;

    if (!max && !sv_starts(name, SV("RTMIN")))
        return false;
    if (rest.len && (rest.ptr[0] != (max ? '-' : '+') || sv_to_i64(sv_skip(rest, 1), &n) < 0))
        return false;
    *ret = max ? SIGRTMAX - (int)n : SIGRTMIN + (int)n;
    return n >= 0 && *ret >= SIGRTMIN && *ret <= SIGRTMAX;
}

int oci_signal_parse(const char *text, int *ret, Err *err)
{
    StrView name = sv_cstr(text);
    char upper[32];
    int64_t n;

    if (sv_to_i64(name, &n) == 0 && n >= 0 && n <= SIGRTMAX) {
        *ret = (int)n;
        return 0;
    }
    if (!sv_copy_cstr(name, upper, sizeof upper))
        return err_set(err, ERR_INVALID, 0, "unknown signal \"%.64s\"", text);
    for (char *c = upper; *c; c++)
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    name = sv_cstr(upper);
    if (sv_starts(name, SV("SIG")))
        name = sv_skip(name, 3);
    for (size_t i = 1; i < ARRAY_SIZE(signal_names); i++)
        if (signal_names[i] && sv_eq(name, sv_cstr(signal_names[i]))) {
            *ret = (int)i;
            return 0;
        }
    if (realtime_parse(name, ret))
        return 0;
    return err_set(err, ERR_INVALID, 0, "unknown signal \"%.64s\"", text);
}

static int signal_first(OciState *s, int sig, Err *err)
{
    _cleanup_close_ int fd = -1;

    if (s->status != OCI_RUNNING && s->status != OCI_CREATED && s->status != OCI_PAUSED)
        return err_set(err, ERR_NOT_FOUND, 0, "container not running");
    if ((fd = open_process(s, err)) < 0)
        return fd;
    if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) < 0)
        return err_errno(err, "unable to signal init");
    /* What stands still in a group of version 1 does not die either. */
    if (s->status == OCI_PAUSED && sig == SIGKILL && s->groups)
        (void)!oci_groups_freeze(s->groups, false, NULL);
    return 0;
}

int oci_kill(const OciGlobal *g, const char *id, int sig, bool all, Err *err)
{
    _cleanup_state_ OciState *s = NULL;
    int r = oci_state_load(g->root, id, false, &s, err);

    if (r < 0)
        return r;
    if (!all)
        return signal_first(s, sig, err);
    if (s->status == OCI_STOPPED && (!s->groups || !oci_groups_exist(s->groups)))
        return 0;
    return s->groups ? oci_groups_kill(s->groups, sig, err) : signal_first(s, sig, err);
}

int oci_pause(const OciGlobal *g, const char *id, bool paused, Err *err)
{
    _cleanup_state_ OciState *s = NULL;
    int r = oci_state_load(g->root, id, true, &s, err);

    if (r < 0)
        return r;
    if (paused && s->status != OCI_RUNNING && s->status != OCI_CREATED)
        return err_set(err, ERR_CONFLICT, 0, "container not running");
    if (!paused && s->status != OCI_PAUSED)
        return err_set(err, ERR_CONFLICT, 0, "container not paused");
    if (!s->groups)
        return err_set(err, ERR_UNSUPPORTED, 0, "the container has no control group");
    return oci_groups_freeze(s->groups, paused, err);
}

/* --- delete --- */

/* Others may be in a group that was there before: they are not ours to kill where nothing of ours
 * ever ran. With a pid namespace of its own a container's processes die with the first one. */
static bool may_have_left_processes(const OciState *s)
{
    return s->groups && (s->lost || (s->pid > 0 && (!s->spec || !s->spec->ns_new[OCI_NS_PID])));
}

int container_destroy(OciState *s, Err *err)
{
    const OciSpec *spec = s->spec;
    Err more;
    int r = 0, e;

    if (may_have_left_processes(s))
        r = oci_groups_kill(s->groups, SIGKILL, err);
    if (s->groups && (e = oci_groups_remove(s->groups, r < 0 ? &more : err)) < 0)
        r = r < 0 ? r : e;
    if ((e = oci_state_remove(s, r < 0 ? &more : err)) < 0)
        r = r < 0 ? r : e;
    s->status = OCI_STOPPED;
    if (spec && (e = hooks_run(&spec->hooks.poststop, s, 0, r < 0 ? &more : err)) < 0)
        r = r < 0 ? r : e;
    return r;
}

/* Somebody may have moved it into a group of his that stands still; in ours it dies. */
static void take_back(const OciState *s)
{
    const char *path = s->groups ? oci_groups_path(s->groups, "freezer") : NULL;
    char file[4096], text[16];

    if (!path)
        return;
    snprintf(file, sizeof file, "%.4000s/cgroup.procs", path);
    snprintf(text, sizeof text, "%d", (int)s->pid);
    (void)!file_write(AT_FDCWD, file, sv_cstr(text), 0);
}

static int kill_first(OciState *s, Err *err)
{
    _cleanup_close_ int fd = open_process(s, NULL);
    struct pollfd ended = { .fd = fd, .events = POLLIN };
    int64_t deadline = clock_mono_ns() + KILL_WAIT_MS * NSEC_PER_MSEC;
    int r;

    if (fd < 0)
        return 0;
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return err_errno(err, "kill process %d", (int)s->pid);
    if (s->groups && s->status == OCI_PAUSED)
        (void)!oci_groups_freeze(s->groups, false, NULL);
    while ((r = poll(&ended, 1, 100)) == 0 && clock_mono_ns() < deadline)
        take_back(s);
    return r > 0 ? 0 : err_set(err, ERR_TIMEOUT, 0, "container init still running");
}

/* A `create` that is under way holds the lock; its container is killed first, so that it ends. */
static void kill_unlocked(const OciGlobal *g, const char *id)
{
    _cleanup_state_ OciState *s = NULL;

    if (oci_state_load(g->root, id, false, &s, NULL) >= 0 && s->pid > 0 && s->status != OCI_STOPPED)
        (void)!kill_first(s, NULL);
}

/* Without `force` only what a killed `create` has left behind goes, as with runc: no state at all.
 */
static int delete_damaged(const OciGlobal *g, OciState *s, bool force, Err *err)
{
    Err more;

    if (!force && (path_exists(s->dir_fd, "state.json") || path_exists(s->dir_fd, "state.copy")))
        return -(int)ERR_CORRUPT;
    if (!s->bundle && path_exists(s->dir_fd, "state.json"))
        oci_say(
            g, OCI_LEVEL_WARNING,
            "state.json of container %s and its copy are damaged: what still runs of it is left "
            "alone",
            s->id);
    if (s->pid > 0)
        (void)!kill_first(s, NULL);
    if (container_destroy(s, &more) < 0 && force)
        return err_set(err, more.code, 0, "%s", more.msg);
    if (force)
        err_clear(err);
    return force ? 0 : -(int)ERR_CORRUPT;
}

int oci_delete(const OciGlobal *g, const char *id, bool force, Err *err)
{
    _cleanup_state_ OciState *s = NULL;
    int r;

    if (force)
        kill_unlocked(g, id);
    r = oci_state_load(g->root, id, true, &s, err);
    if (r == -(int)ERR_NOT_FOUND && force) {
        err_clear(err);
        return 0;
    }
    if (r == -(int)ERR_CORRUPT)
        return delete_damaged(g, s, force, err);
    if (r < 0)
        return r;
    if (s->status != OCI_STOPPED && s->status != OCI_CREATED && !force)
        return err_set(err, ERR_CONFLICT, 0, "cannot delete container %s that is not stopped: %s",
                       id, oci_status_name(s->status));
    if (s->status != OCI_STOPPED && (r = kill_first(s, err)) < 0)
        return r;
    return container_destroy(s, err);
}
