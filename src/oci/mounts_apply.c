/* mounts_apply.c - carries out the plan of mounts.c with the kernel's descriptor-based mount calls.
 *
 * Order: first every bind source is cloned as a detached mount, while the host's tree and its
 * propagation are as they were (so that a Bidirectional mount stays in the host's peer group); then
 * all mounts become slaves, the root is put together, the detached mounts are attached, and the
 * root is pivoted into. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/macros.h"
#include "oci/cgroup.h"
#include "oci/mount_fd.h"
#include "oci/mounts.h"

/* From sys/mount.h, which cannot be included beside linux/mount.h. */
int mount(const char *source, const char *target, const char *fstype, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
enum { DETACH = 2 };

typedef struct Apply {
    const OciRootfs *r;
    const OciPlan *plan;
    int root_fd, null_fd, dev_fd; /* the new root; the host's /dev/null and /dev */
    int *trees;                   /* per step: detached bind mount, or -1 */
    CgroupSystem cgroups;
} Apply;

static void apply_end(Apply *ap)
{
    for (uint32_t i = 0; ap->trees && i < ap->plan->len; i++)
        closep(&ap->trees[i]);
    free(ap->trees);
    closep(&ap->root_fd);
    closep(&ap->null_fd);
    closep(&ap->dev_fd);
}

static uint64_t attr_of(uint32_t flags)
{
    return (flags & (OCI_MOUNT_RO | OCI_MOUNT_RRO) ? MOUNT_ATTR_RDONLY : 0) |
           (flags & OCI_MOUNT_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
           (flags & OCI_MOUNT_NODEV ? MOUNT_ATTR_NODEV : 0) |
           (flags & OCI_MOUNT_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
}

static unsigned long ms_of(uint32_t flags)
{
    return (flags & (OCI_MOUNT_RO | OCI_MOUNT_RRO) ? MS_RDONLY : 0) |
           (flags & OCI_MOUNT_NOSUID ? MS_NOSUID : 0) | (flags & OCI_MOUNT_NODEV ? MS_NODEV : 0) |
           (flags & OCI_MOUNT_NOEXEC ? MS_NOEXEC : 0);
}

/* --- before the host's tree is left --- */

static int open_host(Apply *ap, Err *err)
{
    struct stat st;

    ap->null_fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (ap->null_fd < 0 || fstat(ap->null_fd, &st) < 0)
        return err_errno(err, "open /dev/null");
    /* Masked paths are hidden by it: it has to be the device, not what someone put there. */
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return err_set(err, ERR_SYS, 0, "/dev/null is not the null device");
    ap->dev_fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ap->dev_fd < 0)
        return err_errno(err, "open /dev");
    (void)!cgroup_system_find(&ap->cgroups, NULL, NULL); /* none: then the container sees none */
    return 0;
}

/* From the volume's root to the mount by descriptors: what a pod renames meanwhile changes nothing
 * but which of its own files it gets (CVE-2021-25741). */
static int clone_source(const OciStep *s, Err *err)
{
    bool recursive = s->flags & OCI_MOUNT_RECURSIVE;
    _cleanup_close_ int root = -1, fd = -1;
    int tree;

    if (!s->root || !*s->root) {
        tree = mount_tree_clone(AT_FDCWD, s->source, recursive);
    } else {
        root = open(s->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            return err_errno(err, "open '%.200s' for '%.100s'", s->root, s->target);
        fd = rootfs_open(root, s->source, O_PATH, 0);
        tree = fd < 0 ? fd : mount_tree_clone(fd, "", recursive);
    }
    return tree < 0 ? err_neg(err, tree, "mount source '%.200s' for '%.100s'", s->source, s->target)
                    : tree;
}

int oci_bind_fd(int from_fd, int to_fd)
{
    _cleanup_close_ int tree = mount_tree_clone(from_fd, "", false);

    return tree < 0 ? tree : mount_tree_attach(tree, to_fd);
}

static int clone_sources(Apply *ap, Err *err)
{
    ap->trees = malloc(ap->plan->len * sizeof *ap->trees);
    if (!ap->trees)
        return err_nomem(err);
    for (uint32_t i = 0; i < ap->plan->len; i++)
        ap->trees[i] = -1;
    for (uint32_t i = 0; i < ap->plan->len; i++) {
        const OciStep *s = &ap->plan->steps[i];

        if (s->kind != OCI_STEP_BIND)
            continue;
        ap->trees[i] = clone_source(s, err);
        if (ap->trees[i] < 0)
            return ap->trees[i];
    }
    return 0;
}

/* --- the root --- */

static int open_lowers(const OciRootfs *r, int *fds, Err *err)
{
    for (uint32_t i = 0; i < r->lower_len; i++) {
        fds[i] = open(r->lower[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fds[i] < 0)
            return err_errno(err, "open layer '%s'", r->lower[i]);
    }
    return 0;
}

/* The options name descriptors, not paths: short enough for 127 layers, and free of ':' and ','. */
static int mount_overlay(Apply *ap, Err *err)
{
    const OciRootfs *r = ap->r;
    _cleanup_buf_ Buf data = BUF_INIT;
    _cleanup_close_ int upper = -1, work = -1;
    int fds[128], e;

    memset(fds, -1, sizeof fds);
    e = open_lowers(r, fds, err);
    if (e >= 0) {
        buf_printf(&data, "lowerdir=");
        for (uint32_t i = r->lower_len; i-- > 0;) /* overlayfs wants the topmost first */
            buf_printf(&data, "/proc/self/fd/%d%s", fds[i], i ? ":" : "");
        if (r->upper && *r->upper) {
            upper = open(r->upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
            work = open(r->work, O_PATH | O_DIRECTORY | O_CLOEXEC);
            if (upper < 0 || work < 0)
                e = err_errno(err, "open '%s' and '%s'", r->upper, r->work);
            buf_printf(&data, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", upper, work);
        }
    }
    if (e >= 0 && !buf_cstr(&data))
        e = err_nomem(err);
    if (e >= 0 && mount("overlay", r->target, "overlay", upper < 0 ? MS_RDONLY : 0, data.ptr) < 0)
        e = err_errno(err, "mount the overlay of %u layers on '%s'", r->lower_len, r->target);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        closep(&fds[i]);
    return e;
}

static int mount_root(Apply *ap, const OciStep *s, Err *err)
{
    int e;

    if (s->kind == OCI_STEP_ROOT_OVERLAY) {
        e = mount_overlay(ap, err);
        if (e < 0)
            return e;
        ap->root_fd = open(s->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return ap->root_fd < 0 ? err_errno(err, "open '%s'", s->target) : 0;
    }
    ap->root_fd = mount_tree_clone(AT_FDCWD, s->source, false);
    if (ap->root_fd < 0)
        return err_neg(err, ap->root_fd, "root filesystem '%s'", s->source);
    {
        _cleanup_close_ int target = open(s->target, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (target < 0)
            return err_errno(err, "open '%s'", s->target);
        if ((e = mount_tree_set(ap->root_fd, attr_of(s->flags), 0, MS_SLAVE, false)) < 0 ||
            (e = mount_tree_attach(ap->root_fd, target)) < 0)
            return err_neg(err, e, "mount '%s' on '%s'", s->source, s->target);
    }
    return 0;
}

/* --- the other steps --- */

static int do_mount(Apply *ap, const OciStep *s, int tree, Err *err)
{
    _cleanup_close_ int target = -1;
    char path[32];
    int e = rootfs_make(ap->root_fd, s->target, true, &target, err);

    if (e < 0)
        return e;
    mount_fd_path(target, path);
    if (mount(s->source && *s->source ? s->source : s->fstype, path, s->fstype, ms_of(s->flags),
              s->data) < 0)
        return err_errno(err, "mount %s on '%s'", s->fstype, s->target);
    return 0;
}

static int do_bind(Apply *ap, const OciStep *s, int tree, Err *err)
{
    static const uint64_t props[] = { MS_PRIVATE, MS_SLAVE, MS_SHARED };
    _cleanup_close_ int target = -1;
    bool recursive = s->flags & OCI_MOUNT_RECURSIVE;
    struct stat st;
    int e;

    if (fstat(tree, &st) < 0)
        return err_errno(err, "look at '%s'", s->source);
    e = rootfs_make(ap->root_fd, s->target, S_ISDIR(st.st_mode), &target, err);
    if (e < 0)
        return e;
    if ((e = mount_tree_set(tree, 0, 0, props[s->propagation % 3], recursive)) < 0 ||
        (attr_of(s->flags) &&
         (e = mount_tree_set(tree, attr_of(s->flags), 0, 0, s->flags & OCI_MOUNT_RRO)) < 0) ||
        (e = mount_tree_attach(tree, target)) < 0)
        return err_neg(err, e, "mount '%s' on '%s'", s->source, s->target);
    return 0;
}

static int make_node(Apply *ap, const OciDevice *d, Err *err)
{
    char above[256];
    const char *slash = strrchr(d->path, '/');
    _cleanup_close_ int dir = -1;
    int e;

    if (!sv_copy_cstr(sv_n(d->path, (size_t)(slash - d->path)), above, sizeof above))
        return err_set(err, ERR_INVALID, 0, "device path '%.200s' is too long", d->path);
    e = rootfs_make(ap->root_fd, above, true, &dir, err);
    if (e < 0)
        return e;
    if (mknodat(dir, slash + 1, (mode_t)(d->type | (d->mode & 0777)), makedev(d->major, d->minor)) <
        0) {
        if (errno == EEXIST)
            return 0;
        return err_errno(err, "make device '%s'", d->path);
    }
    if (fchownat(dir, slash + 1, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(dir, slash + 1, d->mode & 0777, 0) < 0)
        return err_errno(err, "owner and mode of device '%s'", d->path);
    return 0;
}

static int bind_node(Apply *ap, const OciDevice *d, Err *err)
{
    _cleanup_close_ int target = -1;
    int e = rootfs_make(ap->root_fd, d->path, false, &target, err);

    if (e >= 0 && (e = mount_node(ap->dev_fd, d->path + strlen("/dev/"), target)) < 0)
        e = err_neg(err, e, "device '%s' of the host", d->path);
    return e;
}

static int do_device(Apply *ap, const OciStep *s, int tree, Err *err)
{
    int e = make_node(ap, s->device, err);

    if (e == -(int)ERR_DENIED) {
        err_clear(err);
        e = bind_node(ap, s->device, err);
    }
    return e;
}

/* Flat and one folder deep (/dev/net/tun, /dev/dri/card0); ptys, shared memory and queues are the
 * container's. */
static int host_devices_in(Apply *ap, int dir_fd, const char *prefix, bool deeper, Err *err)
{
    static const char *const own[] = { "pts", "shm", "mqueue", "fd", "ptmx", "console", "tty" };
    struct dirent *e;
    DIR *dir;
    int r = dir_list(dir_fd, ".", &dir), more = 0;

    if (r < 0)
        return err_neg(err, r, "list '%s'", prefix);
    int fd = dirfd(dir);
    while (r >= 0 && (more = dir_next(dir, &e)) > 0) {
        struct stat st;
        char path[512];
        bool skip = e->d_name[0] == '.';

        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
            skip = skip || !strcmp(e->d_name, own[i]);
        if (skip || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", prefix, e->d_name);
        if (S_ISDIR(st.st_mode) && deeper) {
            _cleanup_close_ int sub =
                openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            if (sub >= 0)
                r = host_devices_in(ap, sub, path, false, err);
        } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
            const OciDevice d = { path,
                                  st.st_mode & S_IFMT,
                                  major(st.st_rdev),
                                  minor(st.st_rdev),
                                  st.st_mode & 0777,
                                  st.st_uid,
                                  st.st_gid };

            r = make_node(ap, &d, err);
        }
    }
    closedir(dir);
    return more < 0 ? err_neg(err, more, "list '%s'", prefix) : r;
}

static int do_host_devices(Apply *ap, const OciStep *s, int tree, Err *err)
{
    return host_devices_in(ap, ap->dev_fd, "/dev", true, err);
}

static int do_symlink(Apply *ap, const OciStep *s, int tree, Err *err)
{
    _cleanup_close_ int dir = rootfs_open(ap->root_fd, "/dev", O_PATH | O_DIRECTORY, 0);

    if (dir < 0)
        return err_neg(err, dir, "open /dev in the container");
    if (symlinkat(s->source, dir, s->target + strlen("/dev/")) < 0 && errno != EEXIST)
        return err_errno(err, "link '%s'", s->target);
    return 0;
}

/* In the container's cgroup namespace each hierarchy shows only the container's own part. */
static int do_cgroup(Apply *ap, const OciStep *s, int tree, Err *err)
{
    const CgroupSystem *sys = &ap->cgroups;
    const uint32_t strict = s->flags & ~(uint32_t)OCI_MOUNT_RO;
    OciStep m = { .kind = OCI_STEP_MOUNT,
                  .target = s->target,
                  .source = "cgroup",
                  .fstype = "cgroup2",
                  .flags = s->flags };
    int e = 0;

    if (sys->len == 0)
        return 0;
    if (sys->len == 1 && sys->list[0].v2)
        return do_mount(ap, &m, -1, err);
    m.fstype = "tmpfs";
    m.data = "mode=755,size=1024k";
    m.flags = strict;
    e = do_mount(ap, &m, -1, err);
    for (size_t i = 0; e >= 0 && i < sys->len; i++) {
        const char *base = strrchr(sys->list[i].mount, '/');
        char target[128];

        snprintf(target, sizeof target, "%s%s", s->target, base);
        m = (OciStep){
            .kind = OCI_STEP_MOUNT, .target = target, .source = "cgroup", .flags = s->flags
        };
        m.fstype = sys->list[i].v2 ? "cgroup2" : "cgroup";
        m.data = sys->list[i].v2 ? NULL : sys->list[i].controllers;
        e = do_mount(ap, &m, -1, err);
    }
    if (e >= 0 && (s->flags & OCI_MOUNT_RO)) {
        _cleanup_close_ int fd = rootfs_open(ap->root_fd, s->target, O_PATH | O_DIRECTORY, 0);

        e = fd < 0 ? fd : mount_tree_set(fd, MOUNT_ATTR_RDONLY, 0, 0, false);
        if (e < 0)
            return err_neg(err, e, "make '%s' read-only", s->target);
    }
    return e;
}

static int do_mask(Apply *ap, const OciStep *s, int tree, Err *err)
{
    return mount_mask(ap->root_fd, ap->null_fd, s->target, err);
}

static int do_readonly(Apply *ap, const OciStep *s, int tree, Err *err)
{
    return mount_readonly(ap->root_fd, s->target, err);
}

/* What is there already may be a link or a file: entering it will tell. */
static int do_dir(Apply *ap, const OciStep *s, int tree, Err *err)
{
    _cleanup_close_ int fd = -1;

    return rootfs_make(ap->root_fd, s->target, true, &fd, err);
}

static int do_root_readonly(Apply *ap, const OciStep *s, int tree, Err *err)
{
    int e = mount_tree_set(ap->root_fd, MOUNT_ATTR_RDONLY, 0, 0, false);

    return e < 0 ? err_neg(err, e, "make the root read-only") : 0;
}

static int (*const step_fns[])(Apply *, const OciStep *, int tree, Err *) = {
    [OCI_STEP_MOUNT] = do_mount,
    [OCI_STEP_BIND] = do_bind,
    [OCI_STEP_DEVICE] = do_device,
    [OCI_STEP_SYMLINK] = do_symlink,
    [OCI_STEP_CGROUP] = do_cgroup,
    [OCI_STEP_MASK] = do_mask,
    [OCI_STEP_READONLY] = do_readonly,
    [OCI_STEP_ROOT_READONLY] = do_root_readonly,
    [OCI_STEP_HOST_DEVICES] = do_host_devices,
    [OCI_STEP_DIR] = do_dir,
};

static int pivot(Apply *ap, Err *err)
{
    if (fchdir(ap->root_fd) < 0)
        return err_errno(err, "enter the new root");
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return err_errno(err, "pivot into the new root");
    /* The old root now lies on top of the new one. */
    if (umount2(".", DETACH) < 0 || chdir("/") < 0)
        return err_errno(err, "leave the host's root");
    return 0;
}

static int apply_all(Apply *ap, Err *err)
{
    int e;

    if ((e = open_host(ap, err)) < 0 || (e = clone_sources(ap, err)) < 0)
        return e;
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_errno(err, "keep mounts from the host");
    for (uint32_t i = 0; i < ap->plan->len; i++) {
        const OciStep *s = &ap->plan->steps[i];

        if (s->kind == OCI_STEP_ROOT_BIND || s->kind == OCI_STEP_ROOT_OVERLAY)
            e = mount_root(ap, s, err);
        else
            e = step_fns[s->kind](ap, s, ap->trees[i], err);
        if (e < 0)
            return e;
    }
    return pivot(ap, err);
}

int oci_rootfs_enter(const OciRootfs *r, const OciPlan *plan, Err *err)
{
    Apply ap = { .r = r, .plan = plan, .root_fd = -1, .null_fd = -1, .dev_fd = -1 };
    mode_t mask = umask(0);
    int e = apply_all(&ap, err);

    umask(mask);
    apply_end(&ap);
    return e;
}
