/* launch.c - P's side of starting a process of a container; container_internal.h says who is who.
 *
 * Nobody outside gets at C or H by /proc: neither can be traced or read (PR_SET_DUMPABLE is off in
 * them, and stays so until execve), and none of them holds a descriptor of the host that is not
 * closed by execve (CVE-2016-9962, CVE-2024-21626). The program file itself is protected by main():
 * what runs here is a copy or read-only mount of it (CVE-2019-5736). */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"
#include "oci/runtime/container_run.h"

const struct OciNsKind oci_ns_kinds[OCI_NS_N] = {
    [OCI_NS_USER] = { "user", CLONE_NEWUSER },       [OCI_NS_PID] = { "pid", CLONE_NEWPID },
    [OCI_NS_MOUNT] = { "mnt", CLONE_NEWNS },         [OCI_NS_NETWORK] = { "net", CLONE_NEWNET },
    [OCI_NS_IPC] = { "ipc", CLONE_NEWIPC },          [OCI_NS_UTS] = { "uts", CLONE_NEWUTS },
    [OCI_NS_CGROUP] = { "cgroup", CLONE_NEWCGROUP }, [OCI_NS_TIME] = { "time", CLONE_NEWTIME },
};

void launch_init(Launch *l, const OciGlobal *g, OciState *s)
{
    *l = (Launch){ .g = g, .s = s, .spec = s->spec, .rootless = geteuid() != 0 };
    for (int i = 0; i < OCI_NS_N; i++)
        l->ns_fd[i] = -1;
    for (int i = 0; i < 3; i++)
        l->stdio[i] = -1;
    l->proc_fd = l->console_fd = l->fifo_fd = l->init_pidfd = -1;
    l->sync_p = l->sync_c = l->pidfd = -1;
}

void launch_end(Launch *l)
{
    for (int i = 0; i < OCI_NS_N; i++)
        closep(&l->ns_fd[i]);
    for (int i = 0; i < 3; i++)
        closep(&l->stdio[i]);
    for (unsigned i = 0; l->sources && i < l->spec->mounts.len; i++)
        closep(&l->sources[i]);
    free(l->sources);
    l->sources = NULL;
    free(l->env);
    l->env = NULL;
    buf_free(&l->seccomp.bytes);
    closep(&l->proc_fd);
    closep(&l->console_fd);
    closep(&l->fifo_fd);
    closep(&l->init_pidfd);
    closep(&l->sync_p);
    closep(&l->sync_c);
    closep(&l->pidfd);
}

/* --- before the clone --- */

/* Labels and sysctls are written below this /proc: it may not be something else that was put there.
 */
static int open_proc(Launch *l, Err *err)
{
    struct statfs fs;

    l->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (l->proc_fd < 0 || fstatfs(l->proc_fd, &fs) < 0)
        return err_errno(err, "open /proc");
    return fs.f_type == PROC_SUPER_MAGIC
               ? 0
               : err_set(err, ERR_SYS, 0, "/proc is not a proc file system");
}

static bool is_ours(int ns_fd, const char *name)
{
    char path[32];
    struct stat theirs, ours;

    snprintf(path, sizeof path, "/proc/self/ns/%s", name);
    return fstat(ns_fd, &theirs) == 0 && stat(path, &ours) == 0 && theirs.st_dev == ours.st_dev &&
           theirs.st_ino == ours.st_ino;
}

/* Those of config.json by path; for `exec` those in which the container's first process is. */
static int open_namespaces(Launch *l, Err *err)
{
    for (int i = 0; i < OCI_NS_N; i++) {
        const char *path = l->spec->ns_path[i];
        char own[64];

        if (l->exec && (path || l->spec->ns_new[i])) {
            snprintf(own, sizeof own, "/proc/%d/ns/%s", (int)l->s->pid, oci_ns_kinds[i].name);
            path = own;
        }
        if (!path)
            continue;
        l->ns_fd[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (l->ns_fd[i] < 0)
            return err_errno(err, "%s namespace: open %s", oci_ns_kinds[i].name, path);
        /* The kernel refuses to join the user namespace that one is in. */
        if (i == OCI_NS_USER && is_ours(l->ns_fd[i], "user"))
            closep(&l->ns_fd[i]);
    }
    return 0;
}

static bool makes_new(const Launch *l, OciNs ns)
{
    return !l->exec && l->spec->ns_new[ns];
}

/* Control groups are left out: C takes its own once it is in its group. */
static uint64_t new_flags(const Launch *l)
{
    static const OciNs at_clone[] = { OCI_NS_PID, OCI_NS_MOUNT, OCI_NS_NETWORK, OCI_NS_IPC,
                                      OCI_NS_UTS };
    uint64_t flags = 0;

    for (size_t i = 0; i < ARRAY_SIZE(at_clone); i++)
        if (makes_new(l, at_clone[i]))
            flags |= (uint64_t)oci_ns_kinds[at_clone[i]].flag;
    return flags;
}

static pid_t clone_process(uint64_t flags, int group_fd, int *ret_pidfd)
{
    int pidfd = -1;
    struct clone_args args = {
        .flags = flags | (ret_pidfd ? CLONE_PIDFD : 0) | (group_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
        .cgroup = (uint64_t)MAX(group_fd, 0),
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);

    if (pid > 0 && ret_pidfd)
        *ret_pidfd = pidfd;
    return pid < 0 ? -errno : pid;
}

/* --- H and C until init_main() --- */

/* What only P may hold: its end of the pair, else its death would go unnoticed, and the lock. */
static void close_of_parent(Launch *l)
{
    closep(&l->sync_p);
    closep(&l->s->lock_fd);
    closep(&l->s->dir_fd);
}

_Noreturn static void child_failed(const Launch *l, const Err *err)
{
    SyncMsg m = { .type = SYNC_ERR, .err = *err };

    (void)!sync_send(l->sync_c, &m, NULL, 0, NULL);
    _exit(1);
}

/* systemd moves whoever asks into the group that it makes; of our own groups a process enters those
 * of version 1 itself, being born into that of version 2. */
static int enter_groups(const Launch *l, Err *err)
{
    if (l->s->systemd && !l->exec)
        return sync_ask(l->sync_c, SYNC_GROUPS, getpid(), err);
    if (oci_groups_join(l->s->groups, l->sub_group, l->born_in_v2, err) >= 0)
        return 0;
    return err_wrap(err, "error adding pid %d to cgroups", getpid());
}

static int join_one(Launch *l, OciNs ns, Err *err)
{
    if (l->ns_fd[ns] >= 0 && setns(l->ns_fd[ns], oci_ns_kinds[ns].flag) < 0)
        return err_errno(err, "join the %s namespace", oci_ns_kinds[ns].name);
    closep(&l->ns_fd[ns]);
    return 0;
}

/* Namespaces that belong to the host are joined before the user namespace is, those that belong to
 * it after: what fails at first is tried again. The mount namespace comes last, since it takes the
 * paths of the host away. */
static int join_namespaces(Launch *l, bool last, Err *err)
{
    static const OciNs order[] = { OCI_NS_NETWORK, OCI_NS_IPC,  OCI_NS_UTS,  OCI_NS_PID,
                                   OCI_NS_CGROUP,  OCI_NS_TIME, OCI_NS_MOUNT };

    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        int r = join_one(l, order[i], err);

        if (r < 0 && last)
            return r;
    }
    err_clear(err);
    return 0;
}

static int become_root(Err *err)
{
    /* setgroups() may be denied in the namespace, and changes nothing that counts then. */
    (void)!syscall(SYS_setgroups, 0L, NULL);
    if (syscall(SYS_setresgid, 0L, 0L, 0L) < 0 || syscall(SYS_setresuid, 0L, 0L, 0L) < 0)
        return err_errno(err, "become root of the user namespace");
    return 0;
}

static int enter_user_ns(Launch *l, Err *err)
{
    int r;

    if (makes_new(l, OCI_NS_USER)) {
        if (unshare(CLONE_NEWUSER) < 0)
            return err_errno(err, "make a user namespace");
        if ((r = sync_ask(l->sync_c, SYNC_MAP, getpid(), err)) < 0)
            return r;
    } else if (l->ns_fd[OCI_NS_USER] >= 0) {
        /* From here on somebody else may have rights over us. */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if ((r = join_one(l, OCI_NS_USER, err)) < 0)
            return r;
    } else {
        return 0;
    }
    return become_root(err);
}

static int make_time_ns(Launch *l, Err *err)
{
    int r;

    if (!makes_new(l, OCI_NS_TIME))
        return 0;
    if (unshare(CLONE_NEWTIME) < 0)
        return err_errno(err, "make a time namespace");
    prctl(PR_SET_DUMPABLE, l->rootless ? 1 : 0, 0, 0, 0); /* for P to write the offsets */
    r = sync_ask(l->sync_c, SYNC_TIME, getpid(), err);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return r;
}

_Noreturn static void c_main(Launch *l)
{
    Err err = { 0 };
    int r = 0;

    close_of_parent(l);
    if (!l->staged) {
        if ((r = enter_groups(l, &err)) >= 0)
            r = join_namespaces(l, true, &err);
    }
    if (r >= 0)
        (void)!init_main(l, &err);
    child_failed(l, &err);
}

static int h_main(Launch *l, Err *err)
{
    SyncMsg m = { .type = SYNC_PID };
    pid_t pid;
    int r;

    close_of_parent(l);
    if ((r = enter_groups(l, err)) < 0 || (r = join_namespaces(l, false, err)) < 0 ||
        (r = enter_user_ns(l, err)) < 0 || (r = join_namespaces(l, true, err)) < 0 ||
        (r = make_time_ns(l, err)) < 0)
        return r;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    pid = clone_process(new_flags(l) | CLONE_PARENT, -1, NULL);
    if (pid == 0)
        c_main(l);
    if (pid < 0)
        return err_neg(err, (int)pid, "clone into new namespaces");
    m.value = pid;
    return sync_send(l->sync_c, &m, NULL, 0, err);
}

/* --- P --- */

static int start_direct(Launch *l, int group_fd, Err *err)
{
    _cleanup_close_ int own = -1;
    pid_t pid;

    /* Joining a pid namespace means one's next child; ours are to be the host's again after it. */
    if (l->ns_fd[OCI_NS_PID] >= 0) {
        int r;

        own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
        if (own < 0)
            return err_errno(err, "open our pid namespace");
        if ((r = join_one(l, OCI_NS_PID, err)) < 0)
            return r;
    }
    /* From its first moment on it is in the sight of whom it may share pids with. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    pid = clone_process(new_flags(l), group_fd, &l->pidfd);
    if (pid == 0)
        c_main(l);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (own >= 0 && setns(own, CLONE_NEWPID) < 0)
        return err_errno(err, "go back to our pid namespace");
    if (pid < 0)
        return err_neg(err, (int)pid, "clone into new namespaces");
    l->pid = pid;
    return 0;
}

static int start_staged(Launch *l, int group_fd, Err *err)
{
    int h_fd = -1;
    pid_t pid = clone_process(0, group_fd, &h_fd);

    if (pid == 0) {
        Err e = { 0 };

        if (l->rootless) /* P is to write our mappings */
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        if (h_main(l, &e) < 0)
            child_failed(l, &e);
        _exit(0);
    }
    closep(&h_fd);
    return pid < 0 ? err_neg(err, (int)pid, "fork") : 0;
}

/* From a file of the process that the sender names, which is in no pid namespace of its own yet. */
static int write_time_offsets(const Launch *l, pid_t pid, Err *err)
{
    char path[48], text[64];
    const struct {
        const char *name;
        bool set;
        int64_t secs;
        uint32_t nanosecs;
    } clocks[] = {
        { "monotonic", l->spec->time_monotonic.set, l->spec->time_monotonic.secs,
          l->spec->time_monotonic.nanosecs },
        { "boottime", l->spec->time_boottime.set, l->spec->time_boottime.secs,
          l->spec->time_boottime.nanosecs },
    };

    snprintf(path, sizeof path, "/proc/%d/timens_offsets", (int)pid);
    for (size_t i = 0; i < ARRAY_SIZE(clocks); i++) {
        int r;

        if (!clocks[i].set)
            continue;
        snprintf(text, sizeof text, "%s %lld %u\n", clocks[i].name, (long long)clocks[i].secs,
                 clocks[i].nanosecs);
        r = file_write(AT_FDCWD, path, sv_cstr(text), 0);
        if (r < 0)
            return err_neg(err, r, "linux.timeOffsets.%s", clocks[i].name);
    }
    return 0;
}

static int take_pid(Launch *l, pid_t pid, Err *err)
{
    l->pid = pid;
    l->pidfd = (int)syscall(SYS_pidfd_open, (long)pid, 0L);
    return l->pidfd < 0 ? err_errno(err, "open process %d", (int)pid) : 0;
}

/* The runtime's hooks read the state before the container has become what its state says. */
static int serve_mounted(Launch *l, Err *err)
{
    OciState *s = l->s;
    int r;

    s->pid = l->pid;
    s->start_time = 0;
    oci_state_refresh(s);
    s->status = OCI_CREATING;
    if ((r = oci_state_save(s, err)) < 0 ||
        (r = hooks_run(&l->spec->hooks.prestart, s, s->pid, err)) < 0)
        return r;
    return hooks_run(&l->spec->hooks.create_runtime, s, s->pid, err);
}

/* Limits are given from here: inside of a user namespace they can no longer be raised. */
static int set_limits(Launch *l, Err *err)
{
    const OciProcess *p = l->process;

    for (unsigned i = 0; i < p->rlimits.len; i++) {
        const OciSpecRlimit *want = &p->rlimits.items[i];
        struct rlimit limit = { .rlim_cur = want->soft, .rlim_max = want->hard };

        if (prlimit(l->pid, (__rlimit_resource_t)want->resource, &limit, NULL) < 0)
            return err_errno(err, "error setting rlimit type %u", want->resource);
    }
    return 0;
}

static int set_oom_score_adj(const Launch *l, Err *err)
{
    char path[48], text[24];
    int r;

    if (!l->process->oom_score_adj.set)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)l->pid);
    snprintf(text, sizeof text, "%lld", (long long)l->process->oom_score_adj.n);
    r = file_write(AT_FDCWD, path, sv_cstr(text), 0);
    if (r == -EACCES && l->rootless) /* lower than the user may; runc lets it be, too */
        return 0;
    return r < 0 ? err_neg(err, r, "process.oomScoreAdj") : 0;
}

static int serve_ready(Launch *l, Err *err)
{
    int r = set_limits(l, err);

    oci_say(l->g, OCI_LEVEL_DEBUG, "child process in init()");
    if (r < 0 || (r = set_oom_score_adj(l, err)) < 0)
        return r;
    l->was_ready = true;
    if (l->exec)
        return 0;
    l->s->pid = l->pid;
    l->s->status = OCI_CREATED;
    l->s->start_time = 0;
    oci_state_refresh(l->s);
    l->s->status = OCI_CREATED;
    return oci_state_save(l->s, err);
}

static int serve_groups(Launch *l, pid_t pid, Err *err)
{
    int r = launch_make_groups(l->g, l->s, pid, err);

    return r < 0 ? err_wrap(err, "unable to apply cgroup configuration") : 0;
}

static int serve_sources(Launch *l, Err *err)
{
    int fds[SYNC_FDS_MAX];
    SyncMsg m = { .type = SYNC_GO };
    unsigned n = 0;
    int r = launch_open_sources(l, l->pid, err);

    for (unsigned i = 0; r >= 0 && i < l->spec->mounts.len; i++)
        if (l->sources[i] >= 0)
            fds[n++] = l->sources[i];
    m.value = n;
    return r < 0 ? r : sync_send(l->sync_p, &m, fds, n, err);
}

static int serve(Launch *l, const SyncMsg *m, Err *err)
{
    const SyncMsg go = { .type = SYNC_GO };
    int r = 0;

    switch (m->type) {
    case SYNC_ERR:
        if (err)
            *err = m->err;
        return m->err.code ? -(int)m->err.code : err_set(err, ERR_PROTO, 0, "an error without one");
    case SYNC_PID:
        return take_pid(l, (pid_t)m->value, err);
    case SYNC_SOURCES:
        return serve_sources(l, err);
    case SYNC_MAP:
        r = launch_write_maps(l, (pid_t)m->value, err);
        break;
    case SYNC_GROUPS:
        r = serve_groups(l, l->pid > 0 ? l->pid : (pid_t)m->value, err);
        break;
    case SYNC_TIME:
        r = write_time_offsets(l, (pid_t)m->value, err);
        break;
    case SYNC_MOUNTED:
        r = serve_mounted(l, err);
        break;
    case SYNC_READY:
        r = serve_ready(l, err);
        break;
    case SYNC_SECCOMP:
        r = launch_serve_seccomp(l, (int)m->value, err);
        break;
    case SYNC_GO:
    case SYNC_TYPE_MAX:
        return err_set(err, ERR_PROTO, 0, "an unexpected message");
    }
    return r < 0 ? r : sync_send(l->sync_p, &go, NULL, 0, err);
}

static int died(Launch *l, Err *err)
{
    siginfo_t info = { 0 };

    if (l->pidfd >= 0 && waitid(P_PIDFD, (id_t)l->pidfd, &info, WEXITED | WNOWAIT) == 0 &&
        info.si_code != CLD_EXITED) {
        if (l->s->groups && info.si_status == SIGKILL)
            return err_set(err, ERR_SYS, 0,
                           "container init was killed by signal %d (memory limit too low?)",
                           info.si_status);
        return err_set(err, ERR_SYS, 0, "container init was killed by signal %d", info.si_status);
    }
    return err_set(err, ERR_SYS, 0, "container init ended before it was ready");
}

static bool has_ended(int pidfd)
{
    siginfo_t info = { 0 };

    return pidfd < 0 || (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                         info.si_pid != 0);
}

static int converse(Launch *l, Err *err)
{
    for (;;) {
        SyncMsg m;
        int r = sync_receive(l->sync_p, &m, NULL, NULL, err);

        if (r == -(int)ERR_CLOSED) {
            if (!l->was_ready)
                return died(l, err);
            oci_say(l->g, OCI_LEVEL_DEBUG,
                    l->exec ? "setns_init: about to exec"
                            : "init: closing the pipe to signal completion");
            err_clear(err);
            return 0;
        }
        if (r < 0 || (r = serve(l, &m, err)) < 0)
            return r;
    }
}

static int start(Launch *l, Err *err)
{
    _cleanup_close_ int group_fd = -1;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, "make a pair of sockets");
    l->sync_p = pair[0];
    l->sync_c = pair[1];
    if ((!l->s->systemd || l->exec) && !l->sub_group)
        group_fd = l->exec ? oci_groups_open_v2_of(l->s->groups, l->s->pid)
                           : oci_groups_open_v2(l->s->groups);
    l->born_in_v2 = group_fd >= 0;
    r = l->staged ? start_staged(l, group_fd, err) : start_direct(l, group_fd, err);
    closep(&l->sync_c);
    return r;
}

int launch_run(Launch *l, Err *err)
{
    int r;

    l->in_user_ns = makes_new(l, OCI_NS_USER);
    if ((r = open_proc(l, err)) < 0 || (r = open_namespaces(l, err)) < 0)
        return r;
    l->in_user_ns = l->in_user_ns || l->ns_fd[OCI_NS_USER] >= 0;
    oci_say(l->g, OCI_LEVEL_DEBUG, "nsexec container setup");
    l->staged = l->in_user_ns || makes_new(l, OCI_NS_TIME);
    if ((r = start(l, err)) >= 0)
        r = converse(l, err);
    closep(&l->sync_p);
    if (r < 0 && l->pid > 0) {
        if (!has_ended(l->pidfd))
            kill(l->pid, SIGKILL);
        while (waitpid(l->pid, NULL, __WALL) < 0 && errno == EINTR)
            ;
        l->pid = 0;
    }
    return r;
}
