/* stage1_setup.c - makes this process the pod's: control groups, namespaces, socket; and undoes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/file.h"
#include "oci/caps.h"
#include "oci/process.h"
#include "pod/stage1.h"

void stage1_cgroup_path(const Stage1 *s, const char *app, char ret[static CGROUP_PATH_MAX])
{
    snprintf(ret, CGROUP_PATH_MAX, "%s%s%s", s->spec.cgroup, app ? "/" : "", app ? app : "");
}

static int load_spec(Stage1 *s, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(s->dir_fd, "pod", POD_SPEC_MAX, &text);

    if (r < 0)
        return err_neg(err, r, "read the pod's spec");
    return pod_spec_decode(buf_view(&text), &s->arena, &s->spec, err);
}

int stage1_prepare(Stage1 *s, Err *err)
{
    char own[CGROUP_PATH_MAX];
    int r;

    if ((r = load_spec(s, err)) < 0 || (r = cgroup_system_find(&s->cgroups, NULL, err)) < 0)
        return r;
    stage1_cgroup_path(s, STAGE1_GROUP, own);
    r = cgroup_create(&s->cgroups, own, err);
    return r < 0 ? r : cgroup_set_limits(&s->cgroups, s->spec.cgroup, &s->spec.limits, err);
}

static int join_cgroups(Stage1 *s, Err *err)
{
    char own[CGROUP_PATH_MAX];

    stage1_cgroup_path(s, STAGE1_GROUP, own);
    return cgroup_join(&s->cgroups, own, err);
}

static int join_netns(Stage1 *s, Err *err)
{
    _cleanup_close_ int fd = -1;

    if (!*s->spec.netns)
        return 0;
    fd = open(s->spec.netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return err_errno(err, "join network namespace '%s'", s->spec.netns);
    return 0;
}

static int setup_namespaces(Stage1 *s, Err *err)
{
    int flags = (s->spec.host_ipc ? 0 : CLONE_NEWIPC) | (s->spec.host_uts ? 0 : CLONE_NEWUTS);
    int r = join_netns(s, err);

    if (r < 0)
        return r;
    if (unshare(flags) < 0)
        return err_errno(err, "new ipc and uts namespaces");
    if (!s->spec.host_uts && *s->spec.hostname &&
        sethostname(s->spec.hostname, strlen(s->spec.hostname)) < 0)
        return err_errno(err, "set the host name '%s'", s->spec.hostname);
    if (!s->spec.host_uts && *s->spec.domainname &&
        setdomainname(s->spec.domainname, strlen(s->spec.domainname)) < 0)
        return err_errno(err, "set the domain name '%s'", s->spec.domainname);
    for (uint32_t i = 0; i < s->spec.sysctls.len; i++) {
        r = sysctl_set(s->proc_fd, &s->spec.sysctls.items[i], *s->spec.netns, !s->spec.host_ipc,
                       !s->spec.host_uts, err);
        if (r < 0)
            return r;
    }
    s->own_pidns_fd = openat(s->proc_fd, "self/ns/pid", O_RDONLY | O_CLOEXEC);
    return s->own_pidns_fd < 0 ? err_errno(err, "open our pid namespace") : 0;
}

/* The first process of a shared pid namespace: reaps, and nothing else. Apps can see it, so it
 * keeps no rights and nothing of the host's file system that could be reached through /proc/1. */
_Noreturn static void run_init(void)
{
    const OciUser nobody = { .uid = 0, .gid = 0, .umask = UINT32_MAX };
    const OciCaps none = { 0 };
    sigset_t set;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NAME, "knarr-init", 0, 0, 0);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=0,nr_inodes=2") < 0 ||
        chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 || caps_become(&nobody, &none, NULL) < 0 ||
        close_range(0, ~0u, 0) < 0)
        _exit(1);
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    for (;;) {
        siginfo_t info;

        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigwaitinfo(&set, &info);
    }
}

static int start_init(Stage1 *s, Err *err)
{
    char own[CGROUP_PATH_MAX];

    if (!s->spec.shared_pid || s->spec.host_pid)
        return 0;
    stage1_cgroup_path(s, STAGE1_GROUP, own);
    s->init_pid = cgroup_clone(&s->cgroups, own, CLONE_NEWPID, &s->init_pidfd, err);
    if (s->init_pid < 0)
        return (int)s->init_pid;
    if (s->init_pid == 0)
        run_init();
    return 0;
}

static int open_socket(Stage1 *s, Err *err)
{
    struct sockaddr_un addr;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask;
    int r;

    if (fd < 0)
        return err_errno(err, "socket");
    s->listener = (Source){ .fd = fd, .fn = client_accept };
    if (unlinkat(s->dir_fd, PROTO_SOCKET, 0) < 0 &&
        errno != ENOENT) /* of a predecessor that died */
        return err_errno(err, "remove the old socket");
    proto_address(s->dir_fd, PROTO_SOCKET, &addr);
    mask = umask(0077);
    r = bind(fd, (struct sockaddr *)&addr, sizeof addr);
    umask(mask);
    if (r < 0 || listen(fd, 64) < 0)
        return err_errno(err, "listen on " PROTO_SOCKET);
    return source_watch(s, &s->listener, EPOLLIN, err);
}

static int setup_signals(Stage1 *s, Err *err)
{
    sigset_t set;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_errno(err, "signalfd");
    s->signals = (Source){ .fd = fd, .fn = stage1_reap };
    return source_watch(s, &s->signals, EPOLLIN, err);
}

int stage1_setup(Stage1 *s, Err *err)
{
    int r;

    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->epoll_fd < 0 || s->proc_fd < 0)
        return err_errno(err, "open /proc and epoll");
    if ((r = join_cgroups(s, err)) < 0)
        return r;
    r = oom_score_adj_set(s->proc_fd, (int)s->spec.oom_score_adj, err);
    if (r < 0)
        return r;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* for pods in the host's pid namespace */
    if ((r = setup_namespaces(s, err)) < 0 || (r = setup_signals(s, err)) < 0 ||
        (r = start_init(s, err)) < 0)
        return r;
    r = mkdir_p(s->dir_fd, "apps", 0700);
    return r < 0 ? err_neg(err, r, "create apps") : open_socket(s, err);
}

void stage1_teardown(Stage1 *s)
{
    while (s->apps)
        app_remove(s, s->apps);
    if (s->init_pid > 0) {
        kill(s->init_pid, SIGKILL);
        waitpid(s->init_pid, NULL, 0);
    }
    if (s->cgroups.len && s->spec.cgroup && *s->spec.cgroup) {
        /* A group cannot be removed with us in it. */
        (void)!cgroup_attach(&s->cgroups, "/", 0, NULL);
        if (cgroup_kill(&s->cgroups, s->spec.cgroup, 5000, NULL) >= 0)
            (void)!cgroup_remove(&s->cgroups, s->spec.cgroup, NULL);
    }
    if (s->listener.fd >= 0)
        unlinkat(s->dir_fd, PROTO_SOCKET, 0);
    while (s->clients)
        client_free(s, s->clients);
    source_close(s, &s->listener);
    source_close(s, &s->signals);
    closep(&s->epoll_fd);
    closep(&s->proc_fd);
    closep(&s->own_pidns_fd);
    closep(&s->own_pidfd);
    closep(&s->init_pidfd);
    buf_free(&s->scratch);
    arena_free(&s->arena);
}
