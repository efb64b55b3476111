/* init.c - C, from the clone to waiting at the fifo and becoming the container's program.
 *
 * The order matters: what needs the host's paths first, then the new root, then the terminal, last
 * the rights, since each earlier step needs them. Nothing made here outlives C on failure: mounts
 * and namespaces go with it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "oci/mounts.h"
#include "oci/runtime/container_internal.h"

static void reset_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The session keyring of whoever runs the command is not the container's. Its own may be searched
 * by processes that join later; kernels without keyrings are fine. */
static int join_keyring(const Launch *l, Err *err)
{
    const char *colon;
    char name[OCI_ID_MAX + 8], text[256];
    unsigned perm;
    long key, n;

    if (l->no_new_keyring)
        return 0;
    snprintf(name, sizeof name, "_ses.%s", l->s->id);
    key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    if (key < 0)
        return errno == ENOSYS ? 0 : err_errno(err, "unable to join session keyring");
    if (l->exec)
        return 0;
    n = syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text - 1);
    text[n > 0 && n < (long)sizeof text ? n : 0] = 0;
    colon = text;
    for (int i = 0; i < 3 && colon; i++) /* type;uid;gid;perm;name */
        colon = strchr(colon, ';') ? strchr(colon, ';') + 1 : NULL;
    if (!colon || sscanf(colon, "%x", &perm) != 1)
        return err_set(err, ERR_SYS, 0, "unable to read the permissions of the session keyring");
    perm |= l->in_user_ns ? 0x8 : 0x80000; /* others in a user namespace, the user else: search */
    if (syscall(SYS_keyctl, KEYCTL_SETPERM, key, perm) < 0)
        return err_errno(err, "unable to mod keyring permissions");
    return 0;
}

static int raise_loopback(const Launch *l, Err *err)
{
    _cleanup_close_ int fd = -1;
    struct ifreq req = { .ifr_name = "lo" };

    if (!l->spec->ns_new[OCI_NS_NETWORK])
        return 0;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) /* a kernel without IPv4 */
        fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) < 0)
        return err_errno(err, "find the loopback interface");
    req.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &req) < 0 ? err_errno(err, "bring the loopback interface up")
                                             : 0;
}

static int set_names(const Launch *l, Err *err)
{
    const OciSpec *spec = l->spec;

    if (spec->hostname && *spec->hostname &&
        sethostname(spec->hostname, strlen(spec->hostname)) < 0)
        return err_errno(err, "sethostname");
    if (spec->domainname && *spec->domainname &&
        setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
        return err_errno(err, "setdomainname");
    return 0;
}

/* "net.ipv4.conf.all" and, for names that hold a dot, "net/ipv4/conf/eth0.1". Written below the
 * host's /proc, which shows the namespaces of whoever writes: what the image made of its own /proc
 * does not matter (CVE-2025-52881). */
static int write_sysctl(const Launch *l, const OciPair *s, Err *err)
{
    char path[512];
    int n = snprintf(path, sizeof path, "sys/%s", s->name), r;

    if (n < 0 || (size_t)n >= sizeof path || strstr(s->name, ".."))
        return err_set(err, ERR_INVALID, 0, "linux.sysctl: '%.100s' is no sysctl", s->name);
    if (path[4 + strcspn(path + 4, "./")] != '/')
        for (char *c = path; *c; c++)
            *c = *c == '.' ? '/' : *c;
    r = file_write(l->proc_fd, path, sv_cstr(s->value), 0);
    return r < 0 ? err_neg(err, r, "write sysctl key %s", s->name) : 0;
}

static int write_sysctls(const Launch *l, Err *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < l->spec->sysctl.len; i++)
        r = write_sysctl(l, &l->spec->sysctl.items[i], err);
    return r;
}

static bool is_null(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* The null device that we were started with is the host's; the container's is to be its own, since
 * its root may change owner and mode of what it has open. */
static int reopen_null(Err *err)
{
    _cleanup_close_ int fd = -1;

    if (!is_null(0) && !is_null(1) && !is_null(2))
        return 0;
    fd = open("/dev/null", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "error reopening /dev/null inside container");
    if (!is_null(fd))
        return err_set(err, ERR_DENIED, 0, "the container's /dev/null is not the null device");
    for (int i = 0; i < 3; i++)
        if (is_null(i) && dup2(fd, i) < 0)
            return err_errno(err, "use the container's /dev/null");
    return 0;
}

static int make_cwd(const Launch *l, int root_fd, Err *err)
{
    _cleanup_close_ int there = rootfs_open(root_fd, l->process->cwd, O_PATH, 0), made = -1;

    /* What is there already may be a link or a file: entering it will tell. */
    return there == -ENOENT ? rootfs_make(root_fd, l->process->cwd, true, &made, err) : 0;
}

static int take_sources(Launch *l, Err *err)
{
    const SyncMsg ask = { .type = SYNC_SOURCES };
    int fds[SYNC_FDS_MAX];
    unsigned n = SYNC_FDS_MAX, next = 0;
    SyncMsg answer;
    MountPlan p;
    int r;

    if (!launch_wants_sources(l))
        return 0;
    if ((r = sync_send(l->sync_c, &ask, NULL, 0, err)) < 0 ||
        (r = sync_receive(l->sync_c, &answer, fds, &n, err)) < 0)
        return r;
    l->sources = malloc(l->spec->mounts.len * sizeof *l->sources);
    if (!l->sources || answer.type != SYNC_GO || answer.value != (int64_t)n)
        return err_set(err, ERR_PROTO, 0, "the mount sources did not come");
    for (unsigned i = 0; i < l->spec->mounts.len; i++) {
        const OciSpecMount *m = &l->spec->mounts.items[i];

        l->sources[i] = -1;
        if (mount_plan(m, &l->s->arena, &p, NULL) >= 0 && p.bind && m->source && next < n &&
            (p.idmap || (l->in_user_ns && !l->rootless)))
            l->sources[i] = fds[next++];
    }
    return 0;
}

static int run_create_hooks(Launch *l, Err *err)
{
    int r = sync_ask(l->sync_c, SYNC_MOUNTED, 0, err);

    if (r < 0)
        return r;
    l->s->status = OCI_CREATING;
    return hooks_run(&l->spec->hooks.create_container, l->s, getpid(), err);
}

/* Without a mount namespace there is nothing to be mounted, which config.json has been checked for.
 */
static int enter_bare_root(Launch *l, Err *err)
{
    int r;

    if (chdir(l->s->rootfs) < 0)
        return err_errno(err, "invalid rootfs: enter %s", l->s->rootfs);
    if ((r = run_create_hooks(l, err)) < 0)
        return r;
    return chroot(".") < 0 || chdir("/") < 0 ? err_errno(err, "chroot") : 0;
}

static int enter_root(Launch *l, Err *err)
{
    Rootfs root = { .l = l, .root_fd = -1, .null_fd = -1 };
    int r;

    if (!l->spec->ns_new[OCI_NS_MOUNT] && !l->spec->ns_path[OCI_NS_MOUNT])
        return enter_bare_root(l, err);
    if ((r = take_sources(l, err)) < 0 || (r = rootfs_prepare(&root, err)) < 0)
        return r;
    if (fchdir(root.root_fd) < 0)
        return err_errno(err, "enter the root filesystem");
    if ((r = run_create_hooks(l, err)) < 0)
        return r;
    if (l->console_fd >= 0 && (r = console_make(l, root.root_fd, err)) < 0)
        return r;
    if ((r = make_cwd(l, root.root_fd, err)) < 0 || (r = write_sysctls(l, err)) < 0 ||
        (r = rootfs_finish(&root, err)) < 0)
        return r;
    return root.own_dev && l->console_fd < 0 ? reopen_null(err) : 0;
}

static int set_up_container(Launch *l, Err *err)
{
    int r;

    if ((r = raise_loopback(l, err)) < 0 || (r = enter_root(l, err)) < 0)
        return r;
    umask(l->process->umask.set ? (mode_t)l->process->umask.n & 0777 : 0022);
    if ((r = set_names(l, err)) < 0)
        return r;
    if (l->spec->has_personality && syscall(SYS_personality, l->spec->personality) < 0)
        return err_errno(err, "linux.personality");
    return 0;
}

static int set_up_exec(Launch *l, Err *err)
{
    _cleanup_close_ int root = -1;

    if (chdir("/") < 0)
        return err_errno(err, "enter the container's root");
    umask(l->process->umask.set ? (mode_t)l->process->umask.n & 0777 : 0022);
    if (l->spec->has_personality && syscall(SYS_personality, l->spec->personality) < 0)
        return err_errno(err, "linux.personality");
    if (l->console_fd < 0)
        return reopen_null(err);
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? err_errno(err, "open the container's root") : console_make(l, root, err);
}

static int place_stdio(Launch *l, Err *err)
{
    for (int i = 0; i < 3; i++)
        if (l->stdio[i] >= 0 && dup2(l->stdio[i], i) < 0)
            return err_errno(err, "place a standard descriptor");
    return 0;
}

/* What is still needed moves down behind what the program gets, all else is closed: nothing stays
 * open while we wait, perhaps for days. Before a filter may forbid these calls. */
static int close_others(Launch *l, Err *err)
{
    int *const needed[] = { &l->sync_c, &l->proc_fd, &l->fifo_fd };
    int low = 3 + (int)l->passed_fds, high = low + (int)ARRAY_SIZE(needed);

    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) /* out of each other's way */
        if (*needed[i] >= 0 && (*needed[i] = fcntl(*needed[i], F_DUPFD_CLOEXEC, high)) < 0)
            return err_errno(err, "keep a descriptor");
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (*needed[i] >= 0 && (*needed[i] = dup3(*needed[i], low++, O_CLOEXEC)) < 0)
            return err_errno(err, "keep a descriptor");
    if (close_range((unsigned)low, ~0u, 0) < 0)
        return err_errno(err, "close descriptors");
    return 0;
}

/* Until `start` comes. Whoever reads the fifo learns by its end that the program runs, and by more
 * than one byte why it does not. */
static int wait_for_start(Launch *l, int *ret_fifo, Err *err)
{
    char path[32];
    int fd;

    if (l->fifo_fd < 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", l->fifo_fd);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open exec fifo");
    if (write(fd, "0", 1) != 1)
        return err_errno(err, "write exec fifo");
    closep(&l->fifo_fd);
    *ret_fifo = fd;
    l->s->status = OCI_CREATED;
    return hooks_run(&l->spec->hooks.start_container, l->s, getpid(), err);
}

/* Only the fifo is left to say it to. */
_Noreturn static void failed_after_start(int fifo, const Err *err)
{
    (void)!write(fifo, err->msg, strlen(err->msg));
    _exit(1);
}

int init_main(Launch *l, Err *err)
{
    int fifo = -1, r;

    reset_signals();
    setsid();
    environ = (char **)(uintptr_t)l->env;
    if (l->spec->ns_new[OCI_NS_CGROUP] && !l->exec && unshare(CLONE_NEWCGROUP) < 0)
        return err_errno(err, "make a cgroup namespace");
    if ((r = place_stdio(l, err)) < 0 || (r = join_keyring(l, err)) < 0 ||
        (r = l->exec ? set_up_exec(l, err) : set_up_container(l, err)) < 0)
        return err_wrap(err, l->exec ? "error during exec" : "error during container init");
    if ((r = process_schedule(l, err)) < 0 || (r = process_labels(l, err)) < 0 ||
        (r = sync_ask(l->sync_c, SYNC_READY, 0, err)) < 0 || (r = close_others(l, err)) < 0 ||
        (r = process_become(l, err)) < 0)
        return r;
    if (l->fifo_fd < 0)
        return process_exec(l, err);
    closep(&l->sync_c);
    if ((r = wait_for_start(l, &fifo, err)) >= 0)
        r = process_exec(l, err);
    failed_after_start(fifo, err);
}
