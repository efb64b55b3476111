/* groups_procs.c - the processes of a container's control groups: who they are, stopping, killing,
 * and hearing that one died for want of memory. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "base/file.h"
#include "oci/runtime/groups_internal.h"

enum { FREEZE_WAIT_MS = 10000, KILL_WAIT_MS = 10000, POLL_US = 1000, FREEZE_TRIES = 50 };

/* --- who --- */

static int by_number(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

    return (x > y) - (x < y);
}

int oci_groups_pids(const OciGroups *g, pid_t **ret, size_t *ret_len, Err *err)
{
    _cleanup_buf_ Buf found = BUF_INIT;
    CgroupWalk w = { .pids = &found };
    const char *path;
    const CgroupHierarchy *h = groups_main(g, &path);

    if (h)
        cgroup_walk(h, path, &w);
    if (w.failed)
        return err_neg(err, w.failed, "look for the processes of %s", path);
    if (found.failed || !buf_reserve(&found, sizeof(pid_t)))
        return err_nomem(err);
    qsort(found.ptr, found.len / sizeof(pid_t), sizeof(pid_t), by_number);
    *ret_len = found.len / sizeof(pid_t);
    *ret = (pid_t *)(void *)TAKE_PTR(found.ptr);
    found = (Buf)BUF_INIT;
    return 0;
}

/* --- stopping --- */

static int freeze_v1(const GroupAt *at, Err *err)
{
    int64_t end = clock_mono_ns() + FREEZE_WAIT_MS * NSEC_PER_MSEC;
    int r;

    /* While processes appear it may stay at FREEZING: to be said again, and to let go at times. */
    for (int n = 1;; n++) {
        _cleanup_buf_ Buf text = BUF_INIT;

        if ((r = group_write(at, "freezer.state", "FROZEN", err)) < 0)
            return r;
        if ((r = cgroup_read(at->h, at->path, "freezer.state", &text)) < 0)
            return err_neg(err, r, "read freezer.state of %s", at->path);
        if (sv_eq(sv_trim(buf_view(&text)), SV("FROZEN")))
            return 0;
        if (clock_mono_ns() >= end)
            return err_set(err, ERR_TIMEOUT, 0, "unable to freeze");
        if (n % FREEZE_TRIES == 0)
            (void)!group_write(at, "freezer.state", "THAWED", NULL);
        if (n % (FREEZE_TRIES / 2) == 0)
            usleep(POLL_US);
    }
}

static bool events_say(const GroupAt *at, StrView want)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line;

    if (cgroup_read(at->h, at->path, "cgroup.events", &text) < 0)
        return false;
    rest = buf_view(&text);
    while (sv_next(&rest, '\n', &line))
        if (sv_eq(line, want))
            return true;
    return false;
}

static int wait_v2(const GroupAt *at, StrView want, Err *err)
{
    int64_t end = clock_mono_ns() + FREEZE_WAIT_MS * NSEC_PER_MSEC;
    char full[CGROUP_FULL_MAX];

    cgroup_full(at->h, at->path, "cgroup.events", full);
    _cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open %s", full);
    while (!events_say(at, want)) {
        struct pollfd p = { .fd = fd, .events = POLLPRI };
        int64_t left = (end - clock_mono_ns()) / NSEC_PER_MSEC;
        char byte;

        if (left <= 0)
            return err_set(err, ERR_TIMEOUT, 0,
                           "timeout of 10s reached waiting for the cgroup to freeze");
        if (poll(&p, 1, (int)left) > 0)
            (void)!pread(fd, &byte, 1, 0);
    }
    return 0;
}

static const CgroupHierarchy *freezer(const OciGroups *g, const char **ret_path)
{
    const CgroupHierarchy *h = NULL;

    for (size_t i = 0; !h && i < g->sys.len; i++)
        if (g->path[i] && cgroup_carries(&g->sys.list[i], "freezer")) {
            h = &g->sys.list[i];
            *ret_path = g->path[i];
        }
    return h ? h : groups_v2(g, ret_path);
}

int oci_groups_freeze(const OciGroups *g, bool frozen, Err *err)
{
    GroupAt at = { 0 };
    int r;

    at.h = freezer(g, &at.path);
    if (!at.h)
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "cannot toggle freezer: cgroups not configured for container");
    if (at.h->v2) {
        r = group_write(&at, "cgroup.freeze", frozen ? "1" : "0", err);
        if (r >= 0)
            r = wait_v2(&at, frozen ? SV("frozen 1") : SV("frozen 0"), err);
        if (r < 0 && frozen)
            (void)!group_write(&at, "cgroup.freeze", "0", NULL);
        return r;
    }
    if (!frozen)
        return group_write(&at, "freezer.state", "THAWED", err);
    r = freeze_v1(&at, err);
    if (r < 0) /* half frozen is the worst of all */
        (void)!group_write(&at, "freezer.state", "THAWED", NULL);
    return r;
}

bool oci_groups_are_frozen(const OciGroups *g)
{
    int64_t end = clock_mono_ns() + FREEZE_WAIT_MS * NSEC_PER_MSEC;
    GroupAt at = { 0 };
    uint64_t n;

    at.h = freezer(g, &at.path);
    if (!at.h)
        return false;
    if (at.h->v2)
        return group_read_u64(&at, "cgroup.freeze", &n) >= 0 && n == 1;
    for (;;) {
        _cleanup_buf_ Buf text = BUF_INIT;

        if (cgroup_read(at.h, at.path, "freezer.state", &text) < 0)
            return false;
        if (!sv_eq(sv_trim(buf_view(&text)), SV("FREEZING")) || clock_mono_ns() >= end) {
            if (!sv_eq(sv_trim(buf_view(&text)), SV("FROZEN")))
                return false;
            /* By itself, not by a group above. */
            return group_read_u64(&at, "freezer.self_freezing", &n) < 0 || n == 1;
        }
        usleep(POLL_US);
    }
}

/* --- killing --- */

static int kill_all(const CgroupHierarchy *h, const char *path, Err *err)
{
    int64_t end = clock_mono_ns() + KILL_WAIT_MS * NSEC_PER_MSEC;

    for (;;) {
        CgroupWalk w = { .sig = SIGKILL };

        /* One write where the kernel has it: no race with fork. */
        if (h->v2)
            (void)!cgroup_write(h, path, "cgroup.kill", "1", NULL);
        cgroup_walk(h, path, &w);
        if (!w.processes && !w.failed)
            return 0;
        if (clock_mono_ns() >= end && w.failed)
            return err_neg(err, w.failed, "look for processes of %s", path);
        if (clock_mono_ns() >= end)
            return err_set(err, ERR_TIMEOUT, 0, "processes of %s do not die", path);
        usleep(POLL_US);
    }
}

/* A process of version 1 that is frozen does not even die. */
static void thaw_v1(const OciGroups *g)
{
    GroupAt at = { 0 };

    at.h = freezer(g, &at.path);
    if (at.h && !at.h->v2)
        (void)!group_write(&at, "freezer.state", "THAWED", NULL);
}

int oci_groups_kill(const OciGroups *g, int sig, Err *err)
{
    CgroupWalk w = { .sig = sig };
    const char *path;
    const CgroupHierarchy *h = groups_main(g, &path);

    if (!h)
        return 0;
    if (sig == SIGKILL) {
        thaw_v1(g);
        return kill_all(h, path, err);
    }
    cgroup_walk(h, path, &w);
    return w.failed ? err_neg(err, w.failed, "look for processes of %s", path) : 0;
}

/* --- out of memory --- */

static uint64_t count_kills(const GroupAt *at)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line, name, value;
    uint64_t n;

    if (cgroup_read(at->h, at->path, at->h->v2 ? "memory.events" : "memory.oom_control", &text) < 0)
        return 0;
    rest = buf_view(&text);
    while (sv_next(&rest, '\n', &line))
        if (sv_cut(line, ' ', &name, &value) && sv_eq(name, SV("oom_kill")) &&
            sv_to_u64(sv_trim(value), &n) == 0)
            return n;
    return 0;
}

/* Version 1: an event file descriptor that memory.oom_control is told of. */
static int watch_v1(const GroupAt *at, Err *err)
{
    char full[CGROUP_FULL_MAX], line[64];
    int r;

    cgroup_full(at->h, at->path, "memory.oom_control", full);
    _cleanup_close_ int control = open(full, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control < 0 || event < 0)
        return err_errno(err, "watch %s", full);
    snprintf(line, sizeof line, "%d %d", event, control);
    r = group_write(at, "cgroup.event_control", line, err);
    return r < 0 ? r : TAKE_FD(event);
}

static int watch_v2(const GroupAt *at, Err *err)
{
    char full[CGROUP_FULL_MAX];

    cgroup_full(at->h, at->path, "memory.events", full);
    _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0 || inotify_add_watch(fd, full, IN_MODIFY) < 0)
        return err_errno(err, "watch %s", full);
    cgroup_full(at->h, at->path, "cgroup.events", full); /* and the end of it all */
    if (inotify_add_watch(fd, full, IN_MODIFY) < 0)
        return err_errno(err, "watch %s", full);
    return TAKE_FD(fd);
}

int oci_groups_oom_watch(const OciGroups *g, int *ret_fd, uint64_t *ret_count, Err *err)
{
    GroupAt at = { 0 };
    int fd;

    at.h = groups_find(g, "memory", &at.path);
    if (!at.h)
        return err_set(err, ERR_UNSUPPORTED, 0, "memory controller missing");
    fd = at.h->v2 ? watch_v2(&at, err) : watch_v1(&at, err);
    if (fd < 0)
        return fd;
    *ret_count = count_kills(&at);
    *ret_fd = fd;
    return 0;
}

uint64_t oci_groups_oom_take(const OciGroups *g, int fd, uint64_t *count)
{
    GroupAt at = { 0 };
    uint64_t before = *count, told;
    char bytes[4096];

    at.h = groups_find(g, "memory", &at.path);
    if (!at.h)
        return 0;
    if (!at.h->v2)
        return read(fd, &told, sizeof told) == sizeof told && oci_groups_exist(g) ? told : 0;
    while (read(fd, bytes, sizeof bytes) > 0)
        ;
    *count = count_kills(&at);
    return *count > before ? *count - before : 0;
}
