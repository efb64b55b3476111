/* rootfs_cgroup.c - a mount of type "cgroup": what the container sees of the control groups.
 *
 * Version 1 has a file system for each hierarchy: in a control group namespace each is mounted anew
 * and shows the container's part alone; without one the container's own group is bound from the
 * host's mount, so that nothing above it can be reached. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/stat.h>

#include "oci/mount_fd.h"
#include "oci/mounts.h"
#include "oci/runtime/container_internal.h"

/* From sys/mount.h, which cannot be included beside linux/mount.h. */
int mount(const char *source, const char *target, const char *fstype, unsigned long flags,
          const void *data);

enum { STRICT = MS_NOEXEC | MS_NOSUID | MS_NODEV };

static bool has_own_ns(const Rootfs *r)
{
    return r->l->spec->ns_new[OCI_NS_CGROUP] || r->l->spec->ns_path[OCI_NS_CGROUP];
}

static int mount_at(Rootfs *r, const char *path, const char *source, const char *fstype,
                    unsigned long flags, const char *data)
{
    _cleanup_close_ int target = -1;
    char fd_path[32];
    Err err;
    int e = rootfs_make(r->root_fd, path, true, &target, &err);

    if (e < 0)
        return err.sys ? -err.sys : -EIO;
    mount_fd_path(target, fd_path);
    return mount(source, fd_path, fstype, flags, data) < 0 ? -errno : 0;
}

static int bind_at(Rootfs *r, const char *source, const char *path, const MountPlan *p)
{
    _cleanup_close_ int tree = mount_tree_clone(AT_FDCWD, source, true), target = -1;
    Err err;
    int e = tree;

    if (tree < 0)
        return tree;
    if (rootfs_make(r->root_fd, path, true, &target, &err) < 0)
        return err.sys ? -err.sys : -EIO;
    if (p->attr_set && (e = mount_tree_set(tree, p->attr_set, 0, 0, false)) < 0)
        return e;
    return mount_tree_attach(tree, target);
}

static int mount_v2(Rootfs *r, const OciSpecMount *m, const MountPlan *p, Err *err)
{
    const char *own = oci_groups_path(r->l->s->groups, NULL);
    int e =
        mount_at(r, m->destination, m->source ? m->source : "cgroup", "cgroup2", p->flags, p->data);

    /* A user namespace without one for control groups may not mount them. */
    if (e == -EPERM || e == -EBUSY)
        e = bind_at(r, has_own_ns(r) && own ? own : "/sys/fs/cgroup", m->destination, p);
    if (e == -ENOENT && r->l->rootless)
        return mount_mask(r->root_fd, r->null_fd, m->destination, err);
    return e < 0 ? err_neg(err, e, "mount cgroup2") : 0;
}

static int mount_hierarchy(Rootfs *r, const OciSpecMount *m, const MountPlan *p,
                           const CgroupHierarchy *h, Err *err)
{
    const char *base = strrchr(h->mount, '/') + 1, *own;
    bool is_named = sv_starts(sv_cstr(h->controllers), SV("name="));
    char target[PATH_MAX], controller[128];
    StrView first, rest = sv_cstr(h->controllers);
    int e;

    snprintf(target, sizeof target, "%.3000s/%s", m->destination, base);
    if (has_own_ns(r)) {
        e = mount_at(r, target, is_named ? "systemd" : "cgroup", "cgroup",
                     STRICT | (p->flags & MS_RDONLY), is_named ? h->controllers : base);
        return e < 0 ? err_neg(err, e, "mount %s", target) : 0;
    }
    if (!sv_next(&rest, ',', &first) || !sv_copy_cstr(first, controller, sizeof controller))
        return 0;
    own = oci_groups_path(r->l->s->groups, controller);
    e = own ? bind_at(r, own, target, p) : 0;
    return e < 0 ? err_neg(err, e, "bind %s to %s", own, target) : 0;
}

/* "cpu" and "cpuacct" beside "cpu,cpuacct". */
static int link_controllers(Rootfs *r, const OciSpecMount *m, const CgroupHierarchy *h, Err *err)
{
    _cleanup_close_ int dir = -1;
    const char *base = strrchr(h->mount, '/') + 1;
    StrView rest = sv_cstr(base), one;
    char name[128];

    if (!strchr(base, ','))
        return 0;
    dir = rootfs_open(r->root_fd, m->destination, O_PATH | O_DIRECTORY, 0);
    if (dir < 0)
        return err_neg(err, dir, "open '%s'", m->destination);
    while (sv_next(&rest, ',', &one))
        if (sv_copy_cstr(one, name, sizeof name) && symlinkat(base, dir, name) < 0 &&
            errno != EEXIST)
            return err_errno(err, "link %s", name);
    return 0;
}

/* The folder that holds the hierarchies, once they and the links are there. */
static int close_top(Rootfs *r, const OciSpecMount *m, Err *err)
{
    _cleanup_close_ int fd = rootfs_open(r->root_fd, m->destination, O_PATH | O_DIRECTORY, 0);
    int e = fd < 0 ? fd : mount_tree_set(fd, MOUNT_ATTR_RDONLY, 0, 0, false);

    return e < 0 ? err_neg(err, e, "make '%s' read-only", m->destination) : 0;
}

int rootfs_cgroup(Rootfs *r, const OciSpecMount *m, const MountPlan *p, Err *err)
{
    CgroupSystem sys;
    int e;

    if (cgroup_system_find(&sys, NULL, NULL) < 0)
        sys.len = 0;
    if ((sys.len == 1 && sys.list[0].v2) || !strcmp(m->type, "cgroup2"))
        return mount_v2(r, m, p, err);
    e = mount_at(r, m->destination, "tmpfs", "tmpfs", STRICT, "mode=755");
    if (e < 0)
        return err_neg(err, e, "mount tmpfs");
    e = 0;
    for (size_t i = 0; e >= 0 && i < sys.len; i++)
        if (!sys.list[i].v2 && (e = mount_hierarchy(r, m, p, &sys.list[i], err)) >= 0)
            e = link_controllers(r, m, &sys.list[i], err);
    return e >= 0 && (p->flags & MS_RDONLY) ? close_top(r, m, err) : e;
}
