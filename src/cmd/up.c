/* up.c - `knarr up`: starts, supervises and stops a one-node cluster.
 *
 * Order: check the machine, make folders and certificates, start the API server, then all others at
 * once. Each role says READY=1 on the notify socket (sd_notify's protocol). A role that dies is
 * started again, after 0.1 s at first and at most 10 s when it keeps dying; one that does not
 * answer (watchdog.h) is ended for that. One that has new certificates gets SIGHUP. Everything ends
 * with the supervisor. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/proc.h"
#include "cmd/certs.h"
#include "cmd/cluster.h"
#include "cmd/flags.h"
#include "cmd/preflight.h"
#include "cmd/role_end.h"
#include "cmd/swap.h"
#include "cmd/watchdog.h"

enum {
    START_TIMEOUT_MS = 30000,
    FULL_TIMEOUT_MS = 10000, /* of a node on a full disk */
    STOP_GRACE_MS = 5000,
    RESTART_MIN_MS = 100,
    CLOCK_WAIT_MS = 1000,
};

typedef struct Role {
    pid_t pid; /* 0: not running */
    bool wanted;
    Watchdog dog;
    int64_t started, restart_at; /* monotonic ns; restart_at 0: not waiting */
    int backoff_ms;
    int ends; /* in a row, each soon after its start */
} Role;

typedef struct Up {
    Cluster c;
    Certs certs;
    Role roles[ROLE_MAX];
    int notify_fd, signal_fd, lock_fd, ready_fd; /* ready_fd: tells a detaching parent */
    char notify_path[PATH_MAX];
    int64_t begun;
    bool stopping;
} Up;

static void say(const Up *u, const char *fmt, ...) PRINTF(2, 3);
static void say(const Up *u, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("  %.2f s\n", (double)(clock_mono_ns() - u->begun) / 1e9);
    fflush(stdout);
}

/* ---- folders and files ---- */

static int make_folder(const Cluster *c, const char *name, mode_t mode, uid_t uid, Err *err)
{
    char path[PATH_MAX];
    int r = mkdir_p(AT_FDCWD, cluster_path(c, path, "%s", name), mode);
    if (r == 0 && (chmod(path, mode) < 0 || chown(path, uid, uid) < 0))
        r = -errno;
    return r < 0 ? err_neg(err, r, "make folder '%s'", path) : 0;
}

static int take_lock(Up *u, Err *err)
{
    char path[PATH_MAX];
    SavedOptions saved;
    bool taken = cluster_load(u->c.dir, &saved, NULL) == 0 && saved.supervisor;
    if (!taken) {
        u->lock_fd = open(cluster_path(&u->c, path, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (u->lock_fd < 0)
            return err_errno(err, "open '%s'", path);
        taken = flock(u->lock_fd, LOCK_EX | LOCK_NB) < 0;
    }
    if (taken)
        return err_set(
            err, ERR_CONFLICT, 0,
            "data directory '%s' is in use by a running cluster; stop it with `knarr down --data-dir %s`",
            u->c.dir, u->c.dir);
    return 0;
}

/* A restore that was cut short is brought to its end first: never is a cluster started from parts
 * of two. The users of roles may be others then. */
static int finish_restore(Up *u, Err *err)
{
    const ClusterOptions opt = u->c.opt;
    int r = swap_finish(u->c.dir, err);
    if (r <= 0)
        return r;
    fprintf(stderr,
            "knarr up: `knarr restore` was interrupted, and is finished now; what was there before "
            "it is in '%s/restore.old'\n",
            u->c.dir);
    return cluster_init(&opt, &u->c, err);
}

/* The store's folder is made before cluster.json: where there is the one without the other, it was
 * lost, and a new cluster is not begun in its place. */
static int check_store(const Up *u, Err *err)
{
    char path[PATH_MAX];
    if (!path_exists(AT_FDCWD, cluster_path(&u->c, path, "cluster.json")) ||
        path_exists(AT_FDCWD, cluster_path(&u->c, path, "store")))
        return 0;
    return err_set(err, ERR_NOT_FOUND, 0,
                   "store '%s' is missing, but there was a cluster; bring it back with `knarr "
                   "restore FILE`, or remove '%s' to begin anew",
                   path, u->c.dir);
}

static int make_folders(Up *u, Err *err)
{
    static const struct {
        const char *name;
        mode_t mode;
        RoleId owner;
    } folders[] = {
        { "", 0755, ROLE_NODE },        { "log", 0755, ROLE_NODE },  { "run", 0755, ROLE_NODE },
        { "pki", 0755, ROLE_NODE },     { "node", 0700, ROLE_NODE }, { "images", 0700, ROLE_NODE },
        { "store", 0700, ROLE_SERVER },
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(folders) && r == 0; i++)
        r = make_folder(&u->c, folders[i].name, folders[i].mode, role_uid(&u->c, folders[i].owner),
                        err);
    return r;
}

/* ---- roles ---- */

static int open_log(const Up *u, RoleId id, Err *err)
{
    char path[PATH_MAX];
    int fd = open(cluster_path(&u->c, path, "log/%s.log", role_names[id]),
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return fd < 0 ? err_errno(err, "open log '%s'", path) : fd;
}

static const char *const inherited[] = { "PATH", "NOTIFY_SOCKET", "KNARR_LOG", "TZ" };

typedef struct RoleEnv {
    char texts[ARRAY_SIZE(inherited)][PATH_MAX + 64];
    const char *list[ARRAY_SIZE(inherited) + 1];
} RoleEnv;

/* What a role gets of the environment: nothing that whoever typed `up` happens to have. */
static const char *const *role_env(RoleEnv *env)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(inherited); i++) {
        const char *value = getenv(inherited[i]);
        char *text = env->texts[i];
        if (value && snprintf(text, sizeof env->texts[i], "%s=%s", inherited[i], value) <
                         (int)sizeof env->texts[i])
            env->list[n++] = text;
    }
    env->list[n] = NULL;
    return env->list;
}

static int start_role(Up *u, RoleId id, Err *err)
{
    Role *role = &u->roles[id];
    RoleArgs args;
    RoleEnv env;
    int r = role_args(&u->c, id, &args, err);
    if (r < 0)
        return r;
    int log = open_log(u, id, err);
    if (log < 0)
        return log;
    uid_t uid = role_uid(&u->c, id);
    ProcSpec spec = { .argv = args.argv,
                      .envp = role_env(&env),
                      .fds = { -1, log, log },
                      .new_session = true,
                      .die_with_parent = true,
                      .drop_user = !role_is_root(id),
                      .uid = uid,
                      .gid = uid };
    r = proc_spawn(&spec, &role->pid);
    close(log);
    if (r < 0) {
        role->pid = 0;
        return err_neg(err, r, "start %s", args.argv[0]);
    }
    role->wanted = true;
    role->started = clock_mono_ns();
    watchdog_start(&role->dog, role->started);
    role->restart_at = 0;
    return 0;
}

static void on_role_end(Up *u, RoleId id, int status)
{
    Role *role = &u->roles[id];
    int64_t now = clock_mono_ns();
    role->pid = 0;
    role->dog.ready = false;
    if (u->stopping)
        return;
    if (now - role->started > ROLE_HEALTHY_AFTER_MS * NSEC_PER_MSEC || !role->ends) {
        role->backoff_ms = RESTART_MIN_MS;
        role->ends = 1;
    } else {
        role->backoff_ms = MIN(role->backoff_ms * 2, ROLE_RESTART_MAX_MS);
        role->ends++;
    }
    role_end_note(u->c.dir, id, &(RoleEnd){ role->ends, status, now });
    role->restart_at = now + role->backoff_ms * NSEC_PER_MSEC;
    log_warn("%s ended (%s %d); it is started again in %d ms; its log: %s/log/%s.log",
             role_names[id], WIFSIGNALED(status) ? "signal" : "exit code",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), role->backoff_ms,
             u->c.dir, role_names[id]);
}

static void reap(Up *u)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (int id = 0; id < ROLE_MAX; id++)
            if (u->roles[id].pid == pid)
                on_role_end(u, (RoleId)id, status);
}

static void restart_due(Up *u)
{
    Err err = { 0 };
    int64_t now = clock_mono_ns();
    for (int id = 0; id < ROLE_MAX; id++) {
        Role *role = &u->roles[id];
        if (role->pid || !role->restart_at || role->restart_at > now)
            continue;
        if (start_role(u, (RoleId)id, &err) < 0) {
            log_error("%s", err.msg);
            role->restart_at = now + ROLE_RESTART_MAX_MS * NSEC_PER_MSEC;
        }
    }
}

static void take_notices(Up *u)
{
    char text[512];
    pid_t pid;
    while (notify_receive(u->notify_fd, text, sizeof text, &pid) == 0)
        for (int id = 0; id < ROLE_MAX; id++)
            if (u->roles[id].pid == pid)
                watchdog_hear(&u->roles[id].dog, sv_cstr(text), clock_mono_ns());
}

/* What a process has used; 0 when that cannot be read. */
static int64_t cpu_ns(pid_t pid)
{
    char path[64];
    _cleanup_buf_ Buf text = BUF_INIT;
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    /* The name, in brackets, may hold anything. */
    if (file_read(AT_FDCWD, path, 4096, &text) < 0 || !buf_cstr(&text) || !strrchr(text.ptr, ')') ||
        sscanf(strrchr(text.ptr, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &system) != 2)
        return 0;
    return (int64_t)(user + system) * (NSEC_PER_SEC / sysconf(_SC_CLK_TCK));
}

/* Ends the roles that do not answer; all that they said was taken before. */
static void end_silent(Up *u)
{
    for (int id = 0; id < ROLE_MAX; id++) {
        Role *role = &u->roles[id];
        int64_t now = clock_mono_ns();
        if (!role->pid || watchdog_due(&role->dog) > now ||
            !watchdog_look(&role->dog, now, cpu_ns(role->pid)))
            continue;
        log_warn("%s has not answered for %lld s and is ended", role_names[id],
                 (long long)((now - role->dog.heard) / NSEC_PER_SEC));
        kill(role->pid, SIGKILL);
        watchdog_start(&role->dog, now);
    }
}

/* Makes certificates anew where that is due, and tells the roles, which read them again. */
static void look_after_certs(Up *u)
{
    Err err = { 0 };
    unsigned roles;
    int r = certs_look(&u->certs, &roles, &err);
    for (int id = 0; id < ROLE_MAX && r == 0; id++)
        if (roles & 1u << id && u->roles[id].pid) {
            log_info("%s has new certificates", role_names[id]);
            kill(u->roles[id].pid, SIGHUP);
        }
    if (r < 0)
        log_error("look after the certificates: %s", err.msg);
}

static int next_wait_ms(const Up *u, int64_t deadline)
{
    int64_t next = deadline;
    for (int id = 0; id < ROLE_MAX; id++) {
        const Role *role = &u->roles[id];
        int64_t due = role->pid ? watchdog_due(&role->dog) : role->restart_at;
        if (due && (!next || due < next))
            next = due;
    }
    if (!next)
        return -1;
    int64_t left = next - clock_mono_ns();
    return left <= 0 ? 0 : (int)(left / NSEC_PER_MSEC) + 1;
}

/* One turn: waits for something to happen and deals with it. */
static void turn(Up *u, int64_t deadline)
{
    struct pollfd fds[] = { { .fd = u->notify_fd, .events = POLLIN },
                            { .fd = u->signal_fd, .events = POLLIN },
                            { .fd = u->certs.timer_fd, .events = POLLIN } };
    if (poll(fds, ARRAY_SIZE(fds), next_wait_ms(u, deadline)) > 0) {
        struct signalfd_siginfo si;
        while (fds[1].revents && read(u->signal_fd, &si, sizeof si) == sizeof si) {
            if (si.ssi_signo == SIGCHLD)
                reap(u);
            else
                u->stopping = true;
        }
    }
    take_notices(u);
    if (!u->stopping) {
        if (fds[2].revents)
            look_after_certs(u);
        end_silent(u);
        restart_due(u);
    }
}

static bool disk_is_full(const Up *u)
{
    enum { ROOM_MIN = 1024 * 1024 };
    struct statvfs fs;
    return statvfs(u->c.dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < ROOM_MIN;
}

static int wait_ready(Up *u, RoleId id, Err *err)
{
    const Role *role = &u->roles[id];
    int64_t begun = clock_mono_ns();
    int died = 0;
    while (!role->dog.ready && !u->stopping) {
        bool ran = role->pid != 0;
        /* A large store takes its time, and says that it gets on. */
        int64_t timeout = id == ROLE_NODE && disk_is_full(u) ? FULL_TIMEOUT_MS : START_TIMEOUT_MS;
        int64_t deadline = MAX(begun + timeout * NSEC_PER_MSEC, role->dog.extended);
        turn(u, deadline);
        died += ran && !role->pid;
        if (died >= 3 || clock_mono_ns() > deadline)
            return err_set(err, ERR_TIMEOUT, 0, "%s %s; its log: %s/log/%s.log", role_names[id],
                           died >= 3 ? "keeps dying" : "did not become ready in time", u->c.dir,
                           role_names[id]);
    }
    return 0;
}

/* ---- the whole ---- */

static void stop_all(Up *u)
{
    u->stopping = true;
    for (int id = ROLE_MAX - 1; id >= 0; id--) /* the server last: the others still report to it */
        if (u->roles[id].pid && id != ROLE_SERVER)
            kill(u->roles[id].pid, SIGTERM);
    for (int id = ROLE_MAX - 1; id >= 0; id--) {
        if (!u->roles[id].pid)
            continue;
        proc_stop(u->roles[id].pid, STOP_GRACE_MS, NULL);
        u->roles[id].pid = 0;
    }
}

static int open_signals(Up *u, Err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        (u->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return err_errno(err, "wait for signals");
    return 0;
}

static int open_notify(Up *u, Err *err)
{
    cluster_path(&u->c, u->notify_path, "run/notify");
    u->notify_fd = notify_listen(u->notify_path);
    if (u->notify_fd < 0)
        return err_neg(err, u->notify_fd, "listen on '%s'", u->notify_path);
    if (chmod(u->notify_path, 0666) < 0 || setenv("NOTIFY_SOCKET", u->notify_path, 1) < 0)
        return err_errno(err, "open '%s' to the roles", u->notify_path);
    return 0;
}

static void raise_limits(void)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
}

/* A clock that cannot be true is waited for: it is set soon where a network can be reached. */
static int make_certs(Up *u, Err *err)
{
    unsigned roles;
    bool said = false;
    int r;
    while ((r = certs_make(&u->certs, &roles, err)) == -ERR_TIMEOUT && !u->stopping) {
        if (!said)
            fprintf(stderr, "knarr up: %s; waiting\n", err->msg);
        said = true;
        err_clear(err);
        turn(u, clock_mono_ns() + CLOCK_WAIT_MS * NSEC_PER_MSEC);
    }
    if (r == -ERR_TIMEOUT)
        return err_set(err, ERR_CLOSED, 0, "stopped while it waited for the clock");
    return r < 0 ? r : certs_watch(&u->certs, err);
}

static int prepare(Up *u, Err *err)
{
    int r;
    if ((r = make_folder(&u->c, "", 0755, 0, err)) < 0 || (r = take_lock(u, err)) < 0 ||
        (r = finish_restore(u, err)) < 0 || (r = check_store(u, err)) < 0 ||
        (r = preflight_check(&u->c, err)) < 0 || (r = make_folders(u, err)) < 0 ||
        (r = cluster_save(&u->c, getpid(), err)) < 0 || (r = make_certs(u, err)) < 0)
        return r;
    raise_limits();
    role_end_forget_all(u->c.dir);
    return open_notify(u, err);
}

/* Without room on the disk the node cannot say that it is ready; what makes room works without
 * that. */
static int wait_node(Up *u, Err *err)
{
    int r = wait_ready(u, ROLE_NODE, err);
    if (r == 0 && !u->stopping)
        say(u, "node %s is Ready", u->c.node_name);
    if (r != -ERR_TIMEOUT || !u->roles[ROLE_NODE].pid || !disk_is_full(u))
        return r;
    err_clear(err);
    fprintf(stderr,
            "knarr up: the disk of '%s' is full: node %s is not Ready until there is room; "
            "deletions work\n",
            u->c.dir, u->c.node_name);
    return 0;
}

static int start_all(Up *u, Err *err)
{
    int r;
    if ((r = start_role(u, ROLE_SERVER, err)) < 0 || (r = wait_ready(u, ROLE_SERVER, err)) < 0)
        return r;
    say(u, "API server serves https://127.0.0.1:%u", u->c.opt.api_port);
    for (int id = 0; id < ROLE_MAX; id++)
        if (id != ROLE_SERVER && (r = start_role(u, (RoleId)id, err)) < 0)
            return r;
    return wait_node(u, err);
}

/* In the background our own output goes to a log as well, once the caller has seen the beginning.
 */
static void log_to_file(const Up *u)
{
    char path[PATH_MAX];
    int fd = open(cluster_path(&u->c, path, "log/up.log"),
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        dup2(fd, STDERR_FILENO);
        close(fd);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        close(null);
    }
}

static void report_ready(Up *u)
{
    printf("kubeconfig: %s/admin.kubeconfig\n", u->c.dir);
    fflush(stdout);
    if (u->ready_fd < 0)
        return;
    log_to_file(u);
    if (write(u->ready_fd, "r", 1) != 1)
        log_warn("tell the caller that the cluster is up: its end of the pipe is closed, ignoring");
    closep(&u->ready_fd);
}

/* The platform is not the OOM killer's choice; its pods' supervisors and apps set their own. Where
 * this may not be lowered they are above us none the less. */
static void guard_from_oom(void)
{
    (void)!file_write(AT_FDCWD, "/proc/self/oom_score_adj", SV("-999"), 0);
}

static int run(Up *u, Err *err)
{
    int r;
    guard_from_oom();
    if ((r = open_signals(u, err)) < 0 || (r = prepare(u, err)) < 0)
        return r;
    r = start_all(u, err);
    if (r == 0 && !u->stopping)
        report_ready(u);
    while (r == 0 && !u->stopping)
        turn(u, 0);
    stop_all(u);
    if (cluster_save(&u->c, 0, NULL) < 0)
        log_warn("forget the supervisor's pid: cluster.json cannot be written, ignoring");
    unlink(u->notify_path);
    return r;
}

/* Goes into the background; the parent waits until the cluster is ready and returns its exit code,
 * the child returns -1 with u->ready_fd set. */
static int detach(Up *u)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return 1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        setsid();
        u->ready_fd = p[1];
        return -1;
    }
    close(p[1]);
    char ok = 0;
    bool ready = pid > 0 && fd_read_full(p[0], &ok, 1) == 0;
    close(p[0]);
    return ready ? 0 : 1;
}

static int parse(int argc, char **argv, ClusterOptions *opt, Certs *certs, bool *ret_detach)
{
    FlagAmount lifetime = { certs->lifetime, certs->lifetime_ns };
    const Flag flags[] = {
        { "data-dir", FLAG_TEXT, &opt->data_dir, "DIR",
          "where the cluster lives (/var/lib/knarr)" },
        { "api-port", FLAG_PORT, &opt->api_port, "N", "port of the API server (6443)" },
        { "pod-cidr", FLAG_TEXT, &opt->pod_cidr, "CIDR", "addresses of pods (10.244.0.0/16)" },
        { "service-cidr", FLAG_TEXT, &opt->service_cidr, "CIDR",
          "addresses of Services (10.96.0.0/16)" },
        { "certificate-lifetime", FLAG_AMOUNT, &lifetime, "DURATION",
          "of certificates that are made from now on; replaced after two thirds of it (8760h)",
          .parse = certificate_lifetime_parse },
        { "ignore-clock", FLAG_ON, &certs->ignore_clock, NULL,
          "start although the clock cannot be true, instead of waiting for it" },
        { "detach", FLAG_ON, ret_detach, NULL,
          "return once the cluster is ready, and leave it running" },
    };
    const FlagSet set = {
        .program = "knarr up",
        .about =
            "Starts a one-node cluster and supervises it until it is stopped by `knarr down` or a signal.",
        .flags = flags,
        .len = ARRAY_SIZE(flags)
    };
    int r = flags_parse(&set, argc, argv, NULL);
    certs->lifetime = lifetime.text;
    certs->lifetime_ns = lifetime.value;
    return r;
}

int verb_up(int argc, char **argv)
{
    Up u = {
        .notify_fd = -1, .signal_fd = -1, .lock_fd = -1, .ready_fd = -1, .begun = clock_mono_ns()
    };
    ClusterOptions opt = { "/var/lib/knarr", 6443, "10.244.0.0/16", "10.96.0.0/16" };
    bool background = false;
    Err err = { 0 };
    u.certs = (Certs){ .c = &u.c,
                       .lifetime = "8760h",
                       .lifetime_ns = INT64_C(8760) * 3600 * NSEC_PER_SEC,
                       .timer_fd = -1 };
    int r = parse(argc, argv, &opt, &u.certs, &background);
    if (r != FLAGS_OK)
        return r;
    if (!flags_caller_is_root("knarr up"))
        return 1;
    signal(SIGPIPE, SIG_IGN); /* whoever reads what is said may have read enough */
    if (cluster_init(&opt, &u.c, &err) < 0) {
        fprintf(stderr, "knarr up: %s\n", err.msg);
        return 2;
    }
    if (background) {
        r = detach(&u);
        if (r >= 0)
            return r;
        if (make_folder(&u.c, "log", 0755, 0, &err) == 0)
            err_clear(&err);
    }
    r = run(&u, &err);
    if (r < 0)
        fprintf(stderr, "knarr up: %s\n", err.msg);
    closep(&u.notify_fd);
    closep(&u.signal_fd);
    closep(&u.ready_fd);
    closep(&u.certs.timer_fd);
    closep(&u.lock_fd);
    return r < 0 ? 1 : 0;
}
