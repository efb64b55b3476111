/* stage1_child.c - from clone to exec inside the container. Runs in the child: everything it
 * changes goes with it.
 *
 * The order matters: control groups, limits and files of the host first; then the new root; then
 * the terminal and the user's names, which are looked up inside; last the rights, because each
 * earlier step needs them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "oci/seccomp_load.h"
#include "oci/user.h"
#include "pod/stage1.h"

typedef struct Child {
    const Stage1 *s;
    const Spawn *sp;
    const AppSpec *app;
    int sync;
    bool tty;
    Arena arena;
    UserInfo user;
    uint32_t *groups;
    uint32_t groups_len;
    const char **env;
} Child;

static void reset_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* --- the container's file system --- */

static int enter_rootfs(Child *c, Err *err)
{
    const AppSpec *a = c->app;
    const OciRootfs r = {
        .lower = a->lower.items,
        .lower_len = a->lower.len,
        .upper = c->sp->upper,
        .work = c->sp->work,
        .target = c->sp->rootfs,
        .readonly = a->readonly_rootfs,
        .mounts = a->mounts.items,
        .mounts_len = a->mounts.len,
        .devices = a->devices.items,
        .devices_len = a->devices.len,
        .masked = a->masked.items,
        .masked_len = a->masked.len,
        .readonly_paths = a->readonly_paths.items,
        .readonly_paths_len = a->readonly_paths.len,
        .privileged = a->privileged,
        .shm_source = a->shm_source,
        .cwd = a->cwd,
    };
    OciPlan plan;
    int e = oci_rootfs_plan(&r, &c->arena, &plan, err);

    return e < 0 ? e : oci_rootfs_enter(&r, &plan, err);
}

static int join_app(Child *c, Err *err)
{
    if (setns(c->sp->app_pidfd, CLONE_NEWNS | (c->app->host_cgroupns ? 0 : CLONE_NEWCGROUP)) < 0)
        return err_errno(err, "enter the app's namespaces");
    return 0;
}

/* --- terminal and standard descriptors --- */

/* By descriptors: /dev may be a volume in which somebody else puts other things under these names
 * (CVE-2025-52565). */
static int bind_console(int slave, Err *err)
{
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), console = -1;
    int e = root < 0 ? err_errno(err, "open the container's root")
                     : rootfs_make(root, "/dev/console", false, &console, err);

    if (e >= 0 && (e = oci_bind_fd(slave, console)) < 0)
        return err_neg(err, e, "bind /dev/console");
    return e;
}

/* The ptmx of the container's own devpts; an image that puts something else there gets no terminal.
 */
static int open_master(Err *err)
{
    _cleanup_close_ int fd = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open the container's /dev/pts/ptmx");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
        return err_set(err, ERR_DENIED, 0,
                       "the container's /dev/pts/ptmx is no terminal multiplexer");
    return TAKE_FD(fd);
}

static int open_terminal(Child *c, Err *err)
{
    const ProtoRequest *ex = c->sp->exec;
    const struct winsize size = { .ws_col = (unsigned short)(ex ? ex->cols : 0),
                                  .ws_row = (unsigned short)(ex ? ex->rows : 0) };
    _cleanup_close_ int master = open_master(err), slave = -1;
    int unlock = 0;

    if (master < 0)
        return master;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        return err_errno(err, "open a terminal");
    if (size.ws_col && ioctl(slave, TIOCSWINSZ, &size) < 0)
        return err_errno(err, "size of the terminal");
    if (!ex) {
        int e = bind_console(slave, err);

        if (e < 0)
            return e;
    }
    if (fchown(slave, c->user.uid, (gid_t)-1) < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
        return err_errno(err, "take the terminal");
    if (proto_send(c->sync, SV("T"), &master, 1) < 0)
        return err_set(err, ERR_CLOSED, 0, "hand over the terminal");
    for (int i = 0; i < 3; i++)
        if (dup2(slave, i) < 0)
            return err_errno(err, "use the terminal");
    return 0;
}

/* What an app has put in the place of its /dev/null is not opened for a command: we still have all
 * rights, and our own descriptors and program are within reach of a link (CVE-2019-5736). */
static int open_null(Err *err)
{
    _cleanup_close_ int fd =
        open("/dev/null", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open /dev/null in the container");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return err_set(err, ERR_DENIED, 0, "the container's /dev/null is not the null device");
    return TAKE_FD(fd);
}

/* The descriptors were opened before the root changed; /dev/null is the container's, which we made.
 */
static int place_fds(Child *c, Err *err)
{
    if (c->tty)
        return open_terminal(c, err);
    for (int i = 0; i < 3; i++) {
        int fd = c->sp->fds[i];

        if (fd < 0 && (fd = open_null(err)) < 0)
            return fd;
        if (dup2(fd, i) < 0)
            return err_errno(err, "place a standard descriptor");
        /* So that the app may open /dev/stdout again as its user. */
        if (c->sp->fds[i] >= 0 && fchown(i, c->user.uid, c->user.gid) < 0)
            return err_errno(err, "owner of a standard descriptor");
    }
    return 0;
}

/* --- who and where --- */

static int find_user(Child *c, Err *err)
{
    const ProtoRequest *ex = c->sp->exec;
    const char *spec = ex && *ex->user ? ex->user : c->app->user;
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (root < 0)
        return err_errno(err, "open the container's root");
    r = user_lookup(root, sv_cstr(spec), &c->arena, &c->user, err);
    if (r < 0)
        return r;
    c->groups =
        arena_array(&c->arena, uint32_t, (size_t)c->user.groups_len + c->app->groups.len + 1);
    if (!c->groups)
        return err_nomem(err);
    for (uint32_t i = 0; !c->app->no_image_groups && i < c->user.groups_len; i++)
        c->groups[c->groups_len++] = c->user.groups[i];
    for (uint32_t i = 0; i < c->app->groups.len; i++)
        c->groups[c->groups_len++] = c->app->groups.items[i];
    return 0;
}

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");

    return strncmp(a, b, n) == 0 && b[n] == '=';
}

static void env_set(Child *c, uint32_t *n, const char *entry)
{
    for (uint32_t i = 0; i < *n; i++)
        if (same_name(entry, c->env[i])) {
            c->env[i] = entry;
            return;
        }
    c->env[(*n)++] = entry;
}

static bool env_has(const Child *c, uint32_t n, const char *prefix)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strncmp(c->env[i], prefix, strlen(prefix)))
            return true;
    return false;
}

static int make_env(Child *c, Err *err)
{
    const WireStrings *own = &c->app->env;
    const WireStrings *more = c->sp->exec ? &c->sp->exec->env : NULL;
    uint32_t n = 0;

    c->env = arena_array(&c->arena, const char *, (size_t)own->len + (more ? more->len : 0) + 4);
    if (!c->env)
        return err_nomem(err);
    for (uint32_t i = 0; i < own->len; i++)
        env_set(c, &n, own->items[i]);
    for (uint32_t i = 0; more && i < more->len; i++)
        env_set(c, &n, more->items[i]);
    if (!env_has(c, n, "PATH="))
        c->env[n++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if (c->tty && !env_has(c, n, "TERM="))
        c->env[n++] = "TERM=xterm";
    if (!env_has(c, n, "HOME=")) {
        StrView home = arena_printf(&c->arena, "HOME=%s", c->user.home);

        if (!home.ptr)
            return err_nomem(err);
        c->env[n++] = home.ptr;
    }
    return 0;
}

static const char *cwd_of(const Child *c)
{
    const ProtoRequest *ex = c->sp->exec;
    const char *cwd = ex && *ex->cwd ? ex->cwd : c->app->cwd;

    return *cwd ? cwd : "/";
}

/* A directory that leads outside through a descriptor of ours would show as "(unreachable)"
 * (CVE-2024-21626). */
static int enter_cwd(const char *cwd, Err *err)
{
    char now[PATH_MAX];

    if (chdir(cwd) < 0)
        return err_errno(err, "working directory '%s'", cwd);
    if (!getcwd(now, sizeof now) || now[0] != '/')
        return err_set(err, ERR_DENIED, 0, "working directory '%s' is outside of the container",
                       cwd);
    return 0;
}

/* --- rights --- */

static int load_seccomp(Child *c, Err *err)
{
    return c->app->seccomp.len ? seccomp_load_bytes(c->app->seccomp, err) : 0;
}

static int give_rights_up(Child *c, Err *err)
{
    const AppSpec *a = c->app;
    const OciUser user = { .uid = c->user.uid,
                           .gid = c->user.gid,
                           .groups = c->groups,
                           .groups_len = c->groups_len,
                           .umask = 0022 };
    uint64_t kept = c->user.uid == 0 ? a->caps : a->caps & a->caps_ambient;
    const OciCaps caps = {
        .bounding = a->caps, .effective = kept, .permitted = kept, .ambient = a->caps_ambient
    };
    int e = 0;

    /* Without no_new_privs only a privileged process may load a filter, so it has to come first. */
    if (!a->no_new_privs && (e = load_seccomp(c, err)) < 0)
        return e;
    e = caps_become(&user, &caps, err);
    if (e < 0 || !a->no_new_privs)
        return e;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, "no_new_privs");
    return load_seccomp(c, err);
}

static int run_command(Child *c, Err *err)
{
    const char *const *argv = c->sp->exec ? c->sp->exec->argv.items : c->app->argv.items;
    char path[PATH_MAX];
    int e = exec_find(argv[0], c->env, path, sizeof path, err);

    if (e < 0)
        return e;
    execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)c->env);
    if (errno == ENOENT) /* a script's interpreter, or the dynamic loader */
        return err_set(err, ERR_NOT_FOUND, 0, "exec %s: no such file or directory", path);
    return err_errno(err, "exec %s", path);
}

static int set_up_host_side(Child *c, Err *err)
{
    int e = oom_score_adj_set(c->s->proc_fd, (int)c->app->oom_score_adj, err);

    if (e < 0)
        return e;
    if (c->sp->exec)
        return join_app(c, err);
    if (!c->app->host_cgroupns && unshare(CLONE_NEWCGROUP) < 0)
        return err_errno(err, "new cgroup namespace");
    return enter_rootfs(c, err);
}

int child_run(const Stage1 *s, const Spawn *sp, int sync_fd, Err *err)
{
    Child *c = calloc(1, sizeof *c);
    const char *cwd;
    int e;

    if (!c)
        return err_nomem(err);
    *c = (Child){ .s = s,
                  .sp = sp,
                  .app = sp->app,
                  .sync = sync_fd,
                  .tty = sp->exec ? sp->exec->tty : sp->app->tty };
    arena_init(&c->arena, 4 * POD_SPEC_MAX);
    reset_signals();
    setsid();
    if ((e = cgroup_join(&s->cgroups, sp->cgroup, err)) < 0 || (e = set_up_host_side(c, err)) < 0)
        return e;
    cwd = cwd_of(c);
    if ((e = find_user(c, err)) < 0 || (e = make_env(c, err)) < 0 || (e = place_fds(c, err)) < 0)
        return e;
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return err_errno(err, "close descriptors");
    if ((e = rlimits_set(c->app->rlimits.items, c->app->rlimits.len, err)) < 0 ||
        (e = enter_cwd(cwd, err)) < 0 || (e = give_rights_up(c, err)) < 0)
        return e;
    /* Again: a change of user clears it. The app does not outlive its supervisor, even in the
     * host's pids. */
    if (!sp->exec && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_errno(err, "die with the supervisor");
    return run_command(c, err);
}
