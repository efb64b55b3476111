/* init_process.c - what a container's process may do, in the last steps before it becomes its
 * program. Each step needs rights that a later one takes away. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "oci/mounts.h"
#include "oci/process.h"
#include "oci/runtime/container_internal.h"
#include "oci/user.h"

/* --- scheduling --- */

static int set_scheduler(const OciScheduler *s, Err *err)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = { sizeof attr,           s->policy,  s->flags,    s->nice,
               (uint32_t)s->priority, s->runtime, s->deadline, s->period };

    if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
        return err_errno(err, "process.scheduler");
    return 0;
}

/* "0-3,7" */
static int set_affinity(const char *list, const char *field, Err *err)
{
    StrView rest = sv_cstr(list), item, from, to;
    cpu_set_t set;

    CPU_ZERO(&set);
    while (sv_next(&rest, ',', &item)) {
        uint64_t a, b;
        bool range = sv_cut(sv_trim(item), '-', &from, &to);

        if (sv_to_u64(from, &a) < 0 || sv_to_u64(range ? to : from, &b) < 0 || a > b ||
            b >= CPU_SETSIZE)
            return err_set(err, ERR_INVALID, 0,
                           "process.execCPUAffinity.%s: '%.100s' is no list of CPUs", field, list);
        for (; a <= b; a++)
            CPU_SET(a, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        return err_errno(err, "process.execCPUAffinity.%s", field);
    return 0;
}

int process_schedule(const Launch *l, Err *err)
{
    const OciProcess *p = l->process;
    int r = p->scheduler ? set_scheduler(p->scheduler, err) : 0;

    if (r < 0)
        return r;
    if (p->io_priority && /* 1: a process, by its number; the class is in the upper bits */
        syscall(SYS_ioprio_set, 1, 0, p->io_priority->class << 13 | p->io_priority->level) < 0)
        return err_errno(err, "process.ioPriority");
    return l->exec && p->cpus_initial ? set_affinity(p->cpus_initial, "initial", err) : 0;
}

/* --- labels --- */

/* Below the host's /proc, of which nothing may be mounted over: who writes a label into a file that
 * the container put there is not confined by it (CVE-2019-16884, CVE-2025-52881). */
static int open_attr(const Launch *l, const char *name)
{
    struct open_how how = { .flags = O_WRONLY | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, l->proc_fd, name, &how, sizeof how);

    return fd < 0 ? -errno : fd;
}

static int apply_apparmor(const Launch *l, const char *profile, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_close_ int fd = open_attr(l, "self/attr/apparmor/exec");
    int r;

    if (fd < 0) /* before kernel 5.8 */
        fd = open_attr(l, "self/attr/exec");
    buf_printf(&text, "exec %s", profile);
    if (text.failed)
        return err_nomem(err);
    r = fd < 0 ? fd : fd_write_full(fd, text.ptr, text.len);
    if (r < 0)
        return err_neg(err, r,
                       "unable to apply apparmor profile: apparmor failed to apply profile '%s'",
                       profile);
    return 0;
}

static int apply_selinux(const Launch *l, const char *label, Err *err)
{
    _cleanup_close_ int fd = open_attr(l, "self/attr/exec");
    int r = fd < 0 ? fd : fd_write_full(fd, label, strlen(label));

    return r < 0 ? err_neg(err, r, "can't set process label") : 0;
}

int process_labels(const Launch *l, Err *err)
{
    const OciProcess *p = l->process;
    int r = 0;

    if (p->apparmor && *p->apparmor && strcmp(p->apparmor, "unconfined") != 0)
        r = apply_apparmor(l, p->apparmor, err);
    if (r >= 0 && p->selinux && *p->selinux)
        r = apply_selinux(l, p->selinux, err);
    return r;
}

/* --- user --- */

/* A device of the host, which is not the container's to have; of terminals the caller's own. */
static bool is_foreign(const Launch *l, int fd, const struct stat *st)
{
    if (S_ISBLK(st->st_mode))
        return true;
    return S_ISCHR(st->st_mode) && !(l->process->terminal && isatty(fd));
}

/* So that the program may open /dev/stdout again as its user. What cannot be changed stays. */
static int own_stdio(const Launch *l, Err *err)
{
    struct stat st;

    for (int i = 0; i < 3; i++) {
        if (fstat(i, &st) < 0 || st.st_uid == l->process->uid || is_foreign(l, i, &st))
            continue;
        if (fchown(i, l->process->uid, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM &&
            errno != EROFS)
            return err_errno(err, "owner of a standard descriptor");
    }
    return 0;
}

/* The annotation is crun's, and podman's `--group-add keep-groups` sets it. */
static bool may_set_groups(const Launch *l)
{
    _cleanup_buf_ Buf text = BUF_INIT;

    for (unsigned i = 0; i < l->spec->annotations.len; i++)
        if (!strcmp(l->spec->annotations.items[i].name, "run.oci.keep_original_groups"))
            return strcmp(l->spec->annotations.items[i].value, "1") != 0;
    if (l->rootless)
        return false;
    return file_read(l->proc_fd, "self/setgroups", 64, &text) < 0 ||
           !sv_eq(sv_trim(buf_view(&text)), SV("deny"));
}

static int add_home(Launch *l, Err *err)
{
    _cleanup_close_ int root = -1;
    char spec[32];
    UserInfo user;
    StrView home;
    size_t n = 0;

    for (; l->env[n]; n++)
        if (!strncmp(l->env[n], "HOME=", 5) && l->env[n][5])
            return 0;
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_errno(err, "open the container's root");
    snprintf(spec, sizeof spec, "%u:%u", l->process->uid, l->process->gid);
    if (user_lookup(root, sv_cstr(spec), &l->s->arena, &user, NULL) < 0)
        user.home = "/";
    home = arena_printf(&l->s->arena, "HOME=%s", user.home);
    if (!home.ptr)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(l->env[i], "HOME=")) {
            l->env[i] = home.ptr;
            return 0;
        }
    l->env[n++] = home.ptr; /* there is room: make_env() */
    l->env[n] = NULL;
    return 0;
}

static bool is_mapped(const OciIdMaps *maps, uint32_t id)
{
    for (unsigned i = 0; i < maps->len; i++)
        if (id >= maps->items[i].container && id - maps->items[i].container < maps->items[i].size)
            return true;
    return maps->len == 0;
}

static int become_user(const Launch *l, Err *err)
{
    const OciProcess *p = l->process;
    const OciUser user = { .uid = p->uid,
                           .gid = p->gid,
                           .groups = p->groups,
                           .groups_len = p->groups_len,
                           .umask = UINT32_MAX,
                           .keep_groups = !may_set_groups(l) };
    const OciCaps caps = { p->bounding, p->effective, p->permitted, p->inheritable,
                           p->ambient & p->inheritable };

    if (!is_mapped(&l->spec->uid_maps, p->uid))
        return err_set(err, ERR_INVALID, 0, "cannot set uid to unmapped user in user namespace");
    if (!is_mapped(&l->spec->gid_maps, p->gid))
        return err_set(err, ERR_INVALID, 0, "cannot set gid to unmapped user in user namespace");
    if (l->rootless && p->groups_len)
        return err_set(err, ERR_INVALID, 0,
                       "cannot set any additional groups in a rootless container");
    return caps_become(&user, &caps, err);
}

/* --- where --- */

/* A folder that is reached through a descriptor of ours would show as "(unreachable)"
 * (CVE-2024-21626). */
static int check_cwd(Err *err)
{
    char now[PATH_MAX];

    if (syscall(SYS_getcwd, now, sizeof now) < 0 || now[0] != '/')
        return err_set(err, ERR_DENIED, 0,
                       "current working directory is outside of container mount namespace root -- "
                       "possible container breakout detected");
    return 0;
}

/* First as root, then as the user: either may be the one who is let in. */
static int enter_cwd(const Launch *l, bool *done, bool last, Err *err)
{
    const char *cwd = l->process->cwd;

    if (*done)
        return 0;
    *done = chdir(cwd) == 0;
    if (!*done && (last || (errno != EACCES && errno != EPERM)))
        return err_errno(err, "chdir to cwd (\"%s\") set in config.json failed", cwd);
    return 0;
}

int process_become(Launch *l, Err *err)
{
    bool nnp = l->process->no_new_privs, in_cwd = false;
    int r;

    if (nnp && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, "prctl(SET_NO_NEW_PRIVS)");
    if ((r = add_home(l, err)) < 0 || (r = own_stdio(l, err)) < 0)
        return r;
    /* Without no_new_privs only a privileged process may load a filter: now. With it as late as can
     * be, so that the profile need not allow what we still have to do. */
    if (!nnp && (r = process_install_seccomp(l, err)) < 0)
        return r;
    if ((r = enter_cwd(l, &in_cwd, false, err)) < 0 || (r = become_user(l, err)) < 0 ||
        (r = enter_cwd(l, &in_cwd, true, err)) < 0 || (r = check_cwd(err)) < 0)
        return r;
    if ((r = exec_find(l->process->args.items[0], l->env, l->program, sizeof l->program, err)) < 0)
        return r;
    if (l->exec && l->process->cpus_final &&
        (r = set_affinity(l->process->cpus_final, "final", err)) < 0)
        return r;
    closep(&l->proc_fd);
    return nnp ? process_install_seccomp(l, err) : 0;
}

int process_exec(Launch *l, Err *err)
{
    execve(l->program, (char *const *)(uintptr_t)l->process->args.items,
           (char *const *)(uintptr_t)l->env);
    return err_errno(err, "exec %s", l->program);
}
