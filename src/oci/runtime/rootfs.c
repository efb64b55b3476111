/* rootfs.c - the root filesystem of a container, put together by C in its own mount namespace.
 *
 * Mounts come in the order of config.json, each where its target resolves to at its turn, as runc
 * does: an earlier mount may hold the links of a later target. Every path inside is resolved with
 * the container's root as "/" (RESOLVE_IN_ROOT) and is a descriptor from then on, so that nobody
 * who shares a volume can change between check and use what is mounted over (CVE-2021-30465,
 * CVE-2024-45310, CVE-2025-31133, CVE-2025-52565). All of it happens before the root changes, while
 * the host's /proc is still the one that we see.
 *
 * Two halves: between them the runtime's hooks run. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "oci/mount_fd.h"
#include "oci/mounts.h"
#include "oci/runtime/container_internal.h"

/* From sys/mount.h, which cannot be included beside linux/mount.h. */
int mount(const char *source, const char *target, const char *fstype, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
enum { DETACH = 2 };

/* --- the root itself --- */

static unsigned long propagation_of(const char *name)
{
    static const struct {
        const char *name;
        unsigned long flag;
    } rows[] = {
        { "shared", MS_SHARED },         { "rshared", MS_SHARED | MS_REC },
        { "slave", MS_SLAVE },           { "rslave", MS_SLAVE | MS_REC },
        { "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE | MS_REC },
        { "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
    };

    for (size_t i = 0; name && i < ARRAY_SIZE(rows); i++)
        if (!strcmp(name, rows[i].name))
            return rows[i].flag;
    return 0;
}

/* pivot_root() wants the mount above the new root not to be shared. Which one that is is found by
 * going up: only where a mount begins can its propagation be set. */
static int make_parent_private(const char *root, Err *err)
{
    char path[PATH_MAX];
    size_t n = strlen(root);

    if (n >= sizeof path)
        return err_set(err, ERR_INVALID, 0, "the path of the root filesystem is too long");
    memcpy(path, root, n + 1);
    while (mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0) {
        char *slash = strrchr(path, '/');

        if (errno != EINVAL || !slash || !strcmp(path, "/"))
            return err_errno(err, "make the mount of '%s' private", root);
        slash[slash == path ? 1 : 0] = 0;
    }
    return 0;
}

static int bind_root(Rootfs *r, Err *err)
{
    const char *path = r->l->s->rootfs;
    _cleanup_close_ int at = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char link[32];
    ssize_t n;
    int e;

    if (at < 0)
        return err_errno(err, "invalid rootfs: open %s", path);
    mount_fd_path(at, link);
    n = readlink(link, r->root, sizeof r->root - 1);
    if (n <= 0)
        return err_errno(err, "find the root filesystem");
    r->root[n] = 0;
    if ((e = make_parent_private(r->root, err)) < 0)
        return e;
    r->root_fd = mount_tree_clone(at, "", true);
    if ((e = r->root_fd) < 0 || (e = mount_tree_attach(r->root_fd, at)) < 0)
        return err_neg(err, e, "bind the root filesystem %s", path);
    return 0;
}

static int open_null(Rootfs *r, Err *err)
{
    struct stat st;

    r->null_fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (r->null_fd < 0 || fstat(r->null_fd, &st) < 0)
        return err_errno(err, "open /dev/null");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return err_set(err, ERR_SYS, 0, "/dev/null is not the null device");
    return 0;
}

static int open_root(Rootfs *r, Err *err)
{
    unsigned long flags = propagation_of(r->l->spec->rootfs_propagation);
    int e = open_null(r, err);

    if (e < 0)
        return e;

    if (mount(NULL, "/", NULL, flags ? flags : MS_SLAVE | MS_REC, NULL) < 0)
        return err_errno(err, "set the propagation of /");
    return bind_root(r, err);
}

/* --- targets --- */

/* Where inside the container's root a descriptor is: "/proc/sys". */
static int path_inside(const Rootfs *r, int fd, char ret[static PATH_MAX], Err *err)
{
    char link[32];
    size_t n = strlen(r->root);
    ssize_t len;

    mount_fd_path(fd, link);
    len = readlink(link, ret, PATH_MAX - 1);
    if (len <= 0)
        return err_errno(err, "find a mount's target");
    ret[len] = 0;
    if (n == 1) /* the root is "/" itself */
        return 0;
    if ((size_t)len < n || memcmp(ret, r->root, n) || (ret[n] && ret[n] != '/'))
        return err_set(err, ERR_DENIED, 0, "a mount's target is outside of the root filesystem");
    memmove(ret, ret + n, (size_t)len - n + 1);
    if (!*ret)
        memcpy(ret, "/", 2);
    return 0;
}

/* Nothing but procfs may lie on /proc, and below it only what lxcfs emulates: labels and limits are
 * written through it (CVE-2019-16884). */
static int check_proc(const Rootfs *r, int target, int source_fd, const char *source, Err *err)
{
    static const char *const emulated[] = {
        "/proc/cpuinfo", "/proc/diskstats",
        "/proc/meminfo", "/proc/stat",
        "/proc/swaps",   "/proc/uptime",
        "/proc/loadavg", "/proc/slabinfo",
        "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
    };
    char path[PATH_MAX];
    struct statfs fs;
    int e = path_inside(r, target, path, err);

    if (e < 0 || strncmp(path, "/proc", 5) || (path[5] && path[5] != '/'))
        return MIN(e, 0);
    if (!path[5]) {
        e = source_fd >= 0 ? fstatfs(source_fd, &fs) : statfs(source ? source : "", &fs);
        if (e == 0 && fs.f_type == PROC_SUPER_MAGIC)
            return 0;
        return err_set(err, ERR_DENIED, 0,
                       "\"%s%s\" cannot be mounted because it is not of type proc", r->root, path);
    }
    for (size_t i = 0; i < ARRAY_SIZE(emulated); i++)
        if (!strcmp(path, emulated[i]))
            return 0;
    return err_set(err, ERR_DENIED, 0, "\"%s%s\" cannot be mounted because it is inside /proc",
                   r->root, path);
}

static int open_no_links(const Rootfs *r, const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    int fd = (int)syscall(SYS_openat2, r->root_fd, path, &how, sizeof how);

    return fd < 0 ? -errno : fd;
}

/* procfs and sysfs are mounted on ordinary folders alone: a link would put them elsewhere, and what
 * relies on them would read what the image says (CVE-2019-19921, CVE-2023-27561). */
static int open_kernel_fs_target(const Rootfs *r, const OciSpecMount *m, Err *err)
{
    int fd = open_no_links(r, m->destination);

    if (fd == -ENOENT) {
        int made = -1, e = rootfs_make(r->root_fd, m->destination, true, &made, err);

        if (e < 0)
            return e;
        closep(&made);
        fd = open_no_links(r, m->destination);
    }
    if (fd == -ELOOP || fd == -ENOTDIR)
        return err_set(err, ERR_DENIED, 0,
                       "filesystem \"%s\" must be mounted on ordinary directory", m->type);
    return fd < 0 ? err_neg(err, fd, "open '%s' in the container", m->destination) : fd;
}

/* --- one mount --- */

/* After the mount: what only its own descriptor can be told. */
static int finish_mount(const Rootfs *r, const OciSpecMount *m, const MountPlan *p, int fd,
                        Err *err)
{
    int e;

    for (unsigned i = 0; i < p->propagation_len; i++) {
        unsigned long flag = p->propagation[i];

        e = mount_tree_set(fd, 0, 0, flag & ~(unsigned long)MS_REC, flag & MS_REC);
        if (e < 0)
            return err_neg(err, e, "propagation of '%s'", m->destination);
    }
    if (!p->rec_set && !p->rec_clr)
        return 0;
    e = mount_tree_set(fd, p->rec_set, p->rec_clr, 0, true);
    return e < 0 ? err_neg(err, e, "recursive options of '%s'", m->destination) : 0;
}

static int open_source(const Rootfs *r, unsigned index, const OciSpecMount *m, const MountPlan *p,
                       Err *err)
{
    int *given = r->l->sources ? &r->l->sources[index] : NULL, tree;

    if (given && *given >= 0)
        return TAKE_FD(*given);
    if (!m->source || !*m->source)
        return err_set(err, ERR_INVALID, 0, "a bind mount needs a source");
    tree = mount_tree_clone(AT_FDCWD, m->source, p->recursive);
    return tree < 0 ? err_neg(err, tree, "stat %s", m->source) : tree;
}

static int set_bind_options(int tree, const MountPlan *p)
{
    int e;

    if (!p->attr_set && !p->attr_clr)
        return 0;
    e = mount_tree_set(tree, p->attr_set, p->attr_clr, 0, false);
    /* In a user namespace what the source's mount forbids stays forbidden. */
    if (e == -EPERM && p->attr_set)
        e = mount_tree_set(tree, p->attr_set, 0, 0, false);
    return e == -EPERM && !p->attr_set ? 0 : e;
}

static int mount_bind(Rootfs *r, unsigned index, const OciSpecMount *m, const MountPlan *p,
                      Err *err)
{
    _cleanup_close_ int tree = open_source(r, index, m, p, err), target = -1;
    struct stat st;
    int e;

    if (tree < 0)
        return tree;
    if (fstat(tree, &st) < 0)
        return err_errno(err, "stat %s", m->source);
    if ((e = rootfs_make(r->root_fd, m->destination, S_ISDIR(st.st_mode), &target, err)) < 0 ||
        (e = check_proc(r, target, tree, m->source, err)) < 0)
        return e;
    if ((e = set_bind_options(tree, p)) < 0 || (e = mount_tree_attach(tree, target)) < 0)
        return err_neg(err, e, "bind");
    return finish_mount(r, m, p, tree, err);
}

static const char *labelled(const Rootfs *r, const char *data, Err *err)
{
    const char *label = r->l->spec->mount_label;
    StrView s;

    if (!label)
        return data;
    s = arena_printf(&r->l->s->arena, "%s%scontext=\"%s\"", data ? data : "", data ? "," : "",
                     label);
    if (!s.ptr)
        err_nomem(err);
    return s.ptr;
}

/* By mount(2): file systems differ in what they make of options given one by one. */
static int mount_fs(Rootfs *r, const OciSpecMount *m, const MountPlan *p, int target,
                    unsigned long flags, const char *data, Err *err)
{
    _cleanup_close_ int fd = -1;
    char path[32];

    mount_fd_path(target, path);
    if (mount(m->source ? m->source : m->type, path, m->type, flags, data) < 0)
        return err_errno(err, "mount %s", m->type ? m->type : "without a type");
    /* What the descriptor held is now below the new mount. */
    fd = rootfs_open(r->root_fd, m->destination, O_PATH, 0);
    return fd < 0 ? err_neg(err, fd, "open '%s'", m->destination) : finish_mount(r, m, p, fd, err);
}

static int mount_kernel_fs(Rootfs *r, const OciSpecMount *m, const MountPlan *p, Err *err)
{
    _cleanup_close_ int target = open_kernel_fs_target(r, m, err);

    return target < 0 ? target : mount_fs(r, m, p, target, p->flags, p->data, err);
}

static int mount_copied_up(Rootfs *r, const OciSpecMount *m, const MountPlan *p, int target,
                           const char *data, Err *err)
{
    _cleanup_close_ int tree =
        mount_new("tmpfs", m->source, data, p->flags & ~(unsigned long)MS_RDONLY);
    int e;

    if (tree < 0)
        return err_neg(err, tree, "mount tmpfs");
    if ((e = rootfs_copy_up(target, tree, err)) < 0)
        return err_wrap(err, "tmpcopyup");
    if ((e = mount_tree_attach(tree, target)) < 0)
        return err_neg(err, e, "mount tmpfs");
    return finish_mount(r, m, p, tree, err);
}

/* Read-only comes last (rootfs_finish): what is below has yet to be made. The folder's mode stays
 * what it was where it was there. */
static int mount_tmpfs(Rootfs *r, const OciSpecMount *m, const MountPlan *p, Err *err)
{
    _cleanup_close_ int before = rootfs_open(r->root_fd, m->destination, O_PATH | O_DIRECTORY, 0);
    _cleanup_close_ int target = -1, after = -1;
    const char *data = labelled(r, p->data, err);
    struct stat st;
    char path[32];
    int e;

    if (r->l->spec->mount_label && !data)
        return -(int)ERR_NOMEM;
    if ((e = rootfs_make(r->root_fd, m->destination, true, &target, err)) < 0 ||
        (e = check_proc(r, target, -1, m->source, err)) < 0)
        return e;
    if (fstat(target, &st) < 0)
        return err_errno(err, "look at '%s'", m->destination);
    e = p->copy_up ? mount_copied_up(r, m, p, target, data, err)
                   : mount_fs(r, m, p, target, p->flags & ~(unsigned long)MS_RDONLY, data, err);
    if (e < 0 || before < 0)
        return e;
    after = rootfs_open(r->root_fd, m->destination, O_PATH | O_DIRECTORY, 0);
    mount_fd_path(after, path);
    if (after < 0 || chmod(path, st.st_mode & 07777) < 0)
        return err_errno(err, "mode of '%s'", m->destination);
    return 0;
}

static bool is_dev(const char *destination)
{
    size_t n = strlen(destination);

    while (n > 1 && destination[n - 1] == '/')
        n--;
    return n == 4 && !memcmp(destination, "/dev", 4);
}

static int mount_other(Rootfs *r, const OciSpecMount *m, const MountPlan *p, Err *err)
{
    _cleanup_close_ int target = -1;
    bool is_mqueue = m->type && !strcmp(m->type, "mqueue");
    const char *data = is_mqueue ? p->data : labelled(r, p->data, err);
    unsigned long flags = is_dev(m->destination) ? p->flags & ~(unsigned long)MS_RDONLY : p->flags;
    int e;

    if (!is_mqueue && r->l->spec->mount_label && !data)
        return -(int)ERR_NOMEM;
    if ((e = rootfs_make(r->root_fd, m->destination, true, &target, err)) < 0 ||
        (!is_mqueue && (e = check_proc(r, target, -1, m->source, err)) < 0))
        return e;
    return mount_fs(r, m, p, target, flags, data, err);
}

static int mount_by_kind(Rootfs *r, unsigned index, const OciSpecMount *m, const MountPlan *p,
                         Err *err)
{
    const char *type = m->type ? m->type : "";

    if (p->bind)
        return mount_bind(r, index, m, p, err);
    if (!strcmp(type, "proc") || !strcmp(type, "sysfs"))
        return mount_kernel_fs(r, m, p, err);
    if (!strcmp(type, "tmpfs"))
        return mount_tmpfs(r, m, p, err);
    if (!strcmp(type, "cgroup") || !strcmp(type, "cgroup2"))
        return rootfs_cgroup(r, m, p, err);
    return mount_other(r, m, p, err);
}

static int mount_one(Rootfs *r, unsigned index, Err *err)
{
    const OciSpecMount *m = &r->l->spec->mounts.items[index];
    MountPlan p;
    int e = mount_plan(m, &r->l->s->arena, &p, err);

    if (e >= 0)
        e = mount_by_kind(r, index, m, &p, err);
    return e < 0 ? err_wrap(err, "error mounting \"%s\" to rootfs at \"%s\"",
                            m->source ? m->source : "", m->destination)
                 : 0;
}

static bool wants_dev(const OciSpec *spec)
{
    for (unsigned i = 0; i < spec->mounts.len; i++) {
        const OciSpecMount *m = &spec->mounts.items[i];
        bool bind = m->type && !strcmp(m->type, "bind");

        for (unsigned o = 0; o < m->options.len; o++)
            bind = bind || !strcmp(m->options.items[o], "bind") ||
                   !strcmp(m->options.items[o], "rbind");
        if (bind && is_dev(m->destination))
            return false;
    }
    return true;
}

int rootfs_prepare(Rootfs *r, Err *err)
{
    int e = open_root(r, err);

    if (e < 0)
        return err_wrap(err, "error preparing rootfs");
    for (unsigned i = 0; e >= 0 && i < r->l->spec->mounts.len; i++)
        e = mount_one(r, i, err);
    r->own_dev = wants_dev(r->l->spec);
    if (e >= 0 && r->own_dev)
        e = rootfs_devices(r, err);
    return e;
}

/* --- after the hooks --- */

static int set_readonly(Rootfs *r, Err *err)
{
    const OciSpec *spec = r->l->spec;
    int e = 0;

    for (unsigned i = 0; i < spec->mounts.len; i++) {
        const OciSpecMount *m = &spec->mounts.items[i];
        _cleanup_close_ int fd = -1;
        MountPlan p;

        if (!(m->type && !strcmp(m->type, "tmpfs")) && !is_dev(m->destination))
            continue;
        if ((e = mount_plan(m, &r->l->s->arena, &p, err)) < 0)
            return e;
        if (p.bind || !(p.flags & MS_RDONLY))
            continue;
        fd = rootfs_open(r->root_fd, m->destination, O_PATH, 0);
        e = fd < 0 ? fd : mount_tree_set(fd, MOUNT_ATTR_RDONLY, 0, 0, false);
        if (e < 0)
            return err_neg(err, e, "make '%s' read-only", m->destination);
    }
    if (spec->root_readonly && (e = mount_tree_set(r->root_fd, MOUNT_ATTR_RDONLY, 0, 0, false)) < 0)
        return err_neg(err, e, "error setting rootfs as readonly");
    for (unsigned i = 0; i < spec->readonly_paths.len; i++)
        if ((e = mount_readonly(r->root_fd, spec->readonly_paths.items[i], err)) < 0)
            return err_wrap(err, "can't make \"%s\" read-only", spec->readonly_paths.items[i]);
    for (unsigned i = 0; i < spec->masked.len; i++)
        if ((e = mount_mask(r->root_fd, r->null_fd, spec->masked.items[i], err)) < 0)
            return err_wrap(err, "can't mask path %s", spec->masked.items[i]);
    return 0;
}

static int pivot(Rootfs *r, Err *err)
{
    if (fchdir(r->root_fd) < 0)
        return err_errno(err, "enter the new root");
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return err_errno(err, "pivot_root");
    /* The old root now lies on top of the new one; unmounting it must not reach the host. */
    if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", DETACH) < 0 ||
        chdir("/") < 0)
        return err_errno(err, "leave the host's root");
    return 0;
}

/* Where chroot(2) alone jails, whole proc and sysfs mounts of the host would still be in the
 * namespace, and allow the container to mount its own ones without what is masked. */
static int hide_host_mounts(const Rootfs *r, Err *err)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    StrView rest, line;
    int e = file_read(AT_FDCWD, "/proc/self/mountinfo", 16 * 1024 * 1024, &raw);

    if (e < 0)
        return err_neg(err, e, "read /proc/self/mountinfo");
    for (rest = buf_view(&raw); sv_next(&rest, '\n', &line);) {
        char path[PATH_MAX];
        StrView field = SV_NULL, root = SV_NULL, point = SV_NULL;
        bool is_kernel_fs =
            sv_find(line, SV(" - proc ")) >= 0 || sv_find(line, SV(" - sysfs ")) >= 0;

        for (int i = 0; i < 5 && sv_next(&line, ' ', &field); i++) {
            root = i == 3 ? field : root;
            point = i == 4 ? field : point;
        }
        if (!is_kernel_fs || !sv_eq(root, SV("/")) || sv_starts(point, sv_cstr(r->root)) ||
            !sv_copy_cstr(point, path, sizeof path))
            continue;
        if (mount(NULL, path, NULL, MS_SLAVE | MS_REC, NULL) < 0 && errno == ENOENT)
            continue; /* with one above it */
        if (umount2(path, DETACH) < 0 && mount("tmpfs", path, "tmpfs", 0, NULL) < 0)
            return err_errno(err, "hide %s", path);
    }
    return 0;
}

static int move_root(Rootfs *r, Err *err)
{
    int e = hide_host_mounts(r, err);

    if (e < 0)
        return e;
    if (fchdir(r->root_fd) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return err_errno(err, "move the root");
    return 0;
}

int rootfs_finish(Rootfs *r, Err *err)
{
    unsigned long flags = propagation_of(r->l->spec->rootfs_propagation);
    int e = set_readonly(r, err);

    if (e < 0)
        return e;
    e = r->l->no_pivot ? move_root(r, err) : pivot(r, err);
    if (e < 0)
        return err_wrap(err, "error jailing process inside rootfs");
    if (flags && mount(NULL, "/", NULL, flags, NULL) < 0)
        return err_errno(err, "linux.rootfsPropagation");
    closep(&r->root_fd);
    closep(&r->null_fd);
    return 0;
}
