/* mount_fd.c - see mount_fd.h. */
#include "oci/mount_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "oci/mounts.h"

/* From sys/mount.h, which cannot be included beside linux/mount.h. */
int mount(const char *source, const char *target, const char *fstype, unsigned long flags,
          const void *data);

int mount_tree_clone(int fd, const char *path, bool recursive)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0 : AT_EMPTY_PATH);
    int tree = (int)syscall(SYS_open_tree, fd, path, flags | (recursive ? AT_RECURSIVE : 0));

    return tree < 0 ? -errno : tree;
}

static int set_attr(int fd, struct mount_attr *ma, bool recursive)
{
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

    return syscall(SYS_mount_setattr, fd, "", flags, ma, sizeof *ma) < 0 ? -errno : 0;
}

int mount_tree_set(int fd, uint64_t set, uint64_t clear, uint64_t propagation, bool recursive)
{
    struct mount_attr ma = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

    return set_attr(fd, &ma, recursive);
}

int mount_tree_idmap(int fd, int ns_fd, bool recursive)
{
    struct mount_attr ma = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns_fd };

    return set_attr(fd, &ma, recursive);
}

int mount_tree_attach(int tree, int target)
{
    if (syscall(SYS_move_mount, tree, "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int config(int fs, unsigned command, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, command, key, value, 0) < 0 ? -errno : 0;
}

static int config_data(int fs, const char *data)
{
    StrView rest = sv_cstr(data), item, key, value;
    char name[256], text[4096];
    int r = 0;

    while (r >= 0 && sv_next(&rest, ',', &item)) {
        bool has_value = sv_cut(item, '=', &key, &value);

        if (sv_empty(item))
            continue;
        if (!sv_copy_cstr(key, name, sizeof name) || !sv_copy_cstr(value, text, sizeof text))
            return -ENAMETOOLONG;
        r = has_value ? config(fs, FSCONFIG_SET_STRING, name, text)
                      : config(fs, FSCONFIG_SET_FLAG, name, NULL);
    }
    return r;
}

int mount_new(const char *fstype, const char *source, const char *data, unsigned long flags)
{
    static const struct {
        unsigned long flag;
        unsigned attr;
    } attrs[] = {
        { MS_RDONLY, MOUNT_ATTR_RDONLY },
        { MS_NOSUID, MOUNT_ATTR_NOSUID },
        { MS_NODEV, MOUNT_ATTR_NODEV },
        { MS_NOEXEC, MOUNT_ATTR_NOEXEC },
        { MS_NOATIME, MOUNT_ATTR_NOATIME },
        { MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
        { MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
    };
    _cleanup_close_ int fs = (int)syscall(SYS_fsopen, fstype, FSOPEN_CLOEXEC);
    unsigned attr = 0;
    int r, fd;

    if (fs < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(attrs); i++)
        if (flags & attrs[i].flag)
            attr |= attrs[i].attr;
    if ((source && (r = config(fs, FSCONFIG_SET_STRING, "source", source)) < 0) ||
        (data && (r = config_data(fs, data)) < 0) ||
        (r = config(fs, FSCONFIG_CMD_CREATE, NULL, NULL)) < 0)
        return r;
    fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr);
    return fd < 0 ? -errno : fd;
}

void mount_fd_path(int fd, char path[static 32])
{
    snprintf(path, 32, "/proc/self/fd/%d", fd);
}

int mount_node(int fd, const char *path, int target)
{
    _cleanup_close_ int tree = mount_tree_clone(fd, path, false);
    int r = tree < 0 ? tree : mount_tree_set(tree, MOUNT_ATTR_RDONLY, 0, 0, false);

    return r < 0 ? r : mount_tree_attach(tree, target);
}

int mount_mask(int root_fd, int null_fd, const char *path, Err *err)
{
    _cleanup_close_ int fd = rootfs_open(root_fd, path, O_PATH, 0);
    struct stat st;
    char target[32];
    int r;

    if (fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_neg(err, fd < 0 ? fd : -errno, "masked path '%s'", path);
    if (S_ISDIR(st.st_mode)) {
        mount_fd_path(fd, target);
        if (mount("tmpfs", target, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  "size=0,nr_inodes=2,mode=755") < 0)
            return err_errno(err, "mask '%s'", path);
        return 0;
    }
    r = mount_node(null_fd, "", fd);
    return r < 0 ? err_neg(err, r, "mask '%s'", path) : 0;
}

int mount_readonly(int root_fd, const char *path, Err *err)
{
    _cleanup_close_ int fd = rootfs_open(root_fd, path, O_PATH, 0), tree = -1;
    int r;

    if (fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0)
        return err_neg(err, fd, "read-only path '%s'", path);
    tree = mount_tree_clone(fd, "", true);
    if ((r = tree) < 0 || (r = mount_tree_set(tree, MOUNT_ATTR_RDONLY, 0, 0, true)) < 0 ||
        (r = mount_tree_attach(tree, fd)) < 0)
        return err_neg(err, r, "make '%s' read-only", path);
    return 0;
}
