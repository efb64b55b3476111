/* down.c - `knarr down` and `knarr status`. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "cmd/cluster.h"
#include "cmd/flags.h"
#include "cmd/role_end.h"

enum { STOP_TIMEOUT_MS = 30000, CLEANUP_TIMEOUT_MS = 120000 };

static int parse(int argc, char **argv, const char *verb, const char *about, const char **ret_dir)
{
    *ret_dir = "/var/lib/knarr";
    const Flag flags[] = {
        { "data-dir", FLAG_TEXT, ret_dir, "DIR", "where the cluster lives (/var/lib/knarr)" },
    };
    const FlagSet set = {
        .program = verb, .about = about, .flags = flags, .len = ARRAY_SIZE(flags)
    };
    return flags_parse(&set, argc, argv, NULL);
}

/* A descriptor also tells the end of a process that nobody reaps. */
static bool wait_end(int pidfd, int timeout_ms)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    int64_t deadline = clock_mono_ns() + timeout_ms * NSEC_PER_MSEC, left;
    while ((left = deadline - clock_mono_ns()) > 0)
        if (poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1) > 0)
            return true;
    return false;
}

static int stop_supervisor(pid_t pid, Err *err)
{
    if (!pid)
        return 0;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || kill(pid, SIGTERM) < 0)
        return errno == ESRCH ? 0 : err_errno(err, "stop process %d", (int)pid);
    if (wait_end(pidfd, STOP_TIMEOUT_MS))
        return 0;
    kill(pid, SIGKILL); /* its roles end with it */
    if (wait_end(pidfd, STOP_TIMEOUT_MS))
        return 0;
    return err_set(err, ERR_TIMEOUT, 0, "process %d does not end, not even killed", (int)pid);
}

/* What runs and is mounted for pods is the node agent's: it takes it down. */
static int clean_node(const Cluster *c, Err *err)
{
    RoleArgs args;
    int r = role_args(c, ROLE_NODE, &args, err), status;
    if (r < 0)
        return r;
    ASSERT(args.n + 1 < ROLE_ARGS_MAX);
    args.argv[args.n++] = "--cleanup";
    args.argv[args.n] = NULL;
    _cleanup_buf_ Buf why = { .limit = 8192 };
    r = proc_run(args.argv, NULL, SV_NULL, CLEANUP_TIMEOUT_MS, NULL, &why, &status);
    if (r < 0)
        return err_neg(err, r, "run %s --cleanup", args.argv[0]);
    StrView said = sv_trim(buf_view(&why));
    if (WIFSIGNALED(status))
        return err_set(err, ERR_SYS, 0, "take the node down: %s ended by signal %d: %.*s",
                       args.argv[0], WTERMSIG(status), SV_FMT(said));
    if (status)
        return err_set(err, ERR_SYS, 0, "take the node down: %.*s", SV_FMT(said));
    return 0;
}

int verb_down(int argc, char **argv)
{
    const char *dir;
    int r = parse(argc, argv, "knarr down",
                  "Stops the cluster and everything that runs in it; its state stays.", &dir);
    if (r != FLAGS_OK)
        return r;
    SavedOptions saved;
    Cluster c;
    Err err = { 0 };
    if (!flags_caller_is_root("knarr down"))
        return 1;
    r = cluster_load(dir, &saved, &err);
    if (r == -ERR_NOT_FOUND) {
        printf("%s\n", err.msg); /* nothing to stop is what was wanted */
        return 0;
    }
    ClusterOptions opt = { dir, saved.api_port, saved.pod_cidr, saved.service_cidr };
    if (r < 0 || (r = cluster_init(&opt, &c, &err)) < 0 ||
        (r = stop_supervisor(saved.supervisor, &err)) < 0 || (r = clean_node(&c, &err)) < 0) {
        fprintf(stderr, "knarr down: %s\n", err.msg);
        return 1;
    }
    printf("stopped; the state stays in %s\n", dir);
    return 0;
}

static long memory_kib(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    _cleanup_buf_ Buf text = BUF_INIT;
    long kib = -1;
    if (file_read(AT_FDCWD, path, 65536, &text) == 0 && buf_cstr(&text)) {
        const char *at = strstr(text.ptr, "\nPss:");
        if (at)
            kib = strtol(at + 5, NULL, 10);
    }
    return kib;
}

/* The role of a program whose name the kernel has cut short, after 15 letters. */
static const char *role_of(const char *comm)
{
    const char *name = strncmp(comm, "knarr-", 6) == 0 ? comm + 6 : comm;
    for (int id = 0; id < ROLE_MAX; id++)
        if (*name && strncmp(role_names[id], name, strlen(name)) == 0)
            return role_names[id];
    return name;
}

/* Children of the supervisor, as the kernel lists them. */
static void print_roles(pid_t supervisor)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)supervisor, (int)supervisor);
    _cleanup_buf_ Buf pids = BUF_INIT;
    if (file_read(AT_FDCWD, path, 65536, &pids) < 0)
        return;
    long total = memory_kib(supervisor);
    StrView rest = buf_view(&pids), piece;
    printf("%-12s %-8s %s\n", "ROLE", "PID", "PSS");
    while (sv_next(&rest, ' ', &piece)) {
        uint64_t pid;
        char name[64] = "";
        if (sv_to_u64(sv_trim(piece), &pid) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
        _cleanup_buf_ Buf comm = BUF_INIT;
        if (file_read(AT_FDCWD, path, 64, &comm) == 0)
            sv_copy_cstr(sv_trim(buf_view(&comm)), name, sizeof name);
        long kib = memory_kib((pid_t)pid);
        total += kib > 0 ? kib : 0;
        if (kib < 0) /* whoever is not root sees no memory of others */
            printf("%-12s %-8d -\n", role_of(name), (int)pid);
        else
            printf("%-12s %-8d %.1f MB\n", role_of(name), (int)pid, (double)kib / 1024);
    }
    if (total < 0)
        printf("%-12s %-8d - (run as root to see memory)\n", "up", (int)supervisor);
    else
        printf("%-12s %-8d %.1f MB in all\n", "up", (int)supervisor, (double)total / 1024);
}

static void print_dying(const char *dir)
{
    const int64_t recent = (ROLE_HEALTHY_AFTER_MS + ROLE_RESTART_MAX_MS) * NSEC_PER_MSEC;
    for (int id = 0; id < ROLE_MAX; id++) {
        RoleEnd end;
        if (!role_end_read(dir, (RoleId)id, &end) || end.times < 2 ||
            clock_mono_ns() - end.at_ns > recent)
            continue;
        printf("%s keeps dying: it ended %d times in a row, with %s %d the last time; its log: "
               "%s/log/%s.log\n",
               role_names[id], end.times, WIFSIGNALED(end.status) ? "signal" : "exit code",
               WIFSIGNALED(end.status) ? WTERMSIG(end.status) : WEXITSTATUS(end.status), dir,
               role_names[id]);
    }
}

int verb_status(int argc, char **argv)
{
    const char *dir;
    int r =
        parse(argc, argv, "knarr status", "Shows the cluster's processes and their memory.", &dir);
    if (r != FLAGS_OK)
        return r;
    SavedOptions saved;
    Err err = { 0 };
    if (cluster_load(dir, &saved, &err) < 0) {
        fprintf(stderr, "knarr status: %s\n", err.msg);
        return 1;
    }
    if (!saved.supervisor) {
        printf("stopped; start it with `knarr up --data-dir %s`\n", dir);
        return 3;
    }
    printf("running: https://127.0.0.1:%u, pods %s, services %s\n", saved.api_port, saved.pod_cidr,
           saved.service_cidr);
    print_roles(saved.supervisor);
    print_dying(dir);
    return 0;
}
