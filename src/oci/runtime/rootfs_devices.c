/* rootfs_devices.c - what is in a container's /dev: the devices that every container has, those of
 * linux.devices, and the links of config-linux.md ("Default Devices"). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "oci/mount_fd.h"
#include "oci/mounts.h"
#include "oci/runtime/container_internal.h"

static const OciSpecDevice always[] = {
    { .path = "/dev/null", .type = S_IFCHR, .major = 1, .minor = 3 },
    { .path = "/dev/random", .type = S_IFCHR, .major = 1, .minor = 8 },
    { .path = "/dev/full", .type = S_IFCHR, .major = 1, .minor = 7 },
    { .path = "/dev/tty", .type = S_IFCHR, .major = 5, .minor = 0 },
    { .path = "/dev/zero", .type = S_IFCHR, .major = 1, .minor = 5 },
    { .path = "/dev/urandom", .type = S_IFCHR, .major = 1, .minor = 9 },
};

static const struct {
    const char *name, *text;
} links[] = {
    { "fd", "/proc/self/fd" },
    { "stdin", "/proc/self/fd/0" },
    { "stdout", "/proc/self/fd/1" },
    { "stderr", "/proc/self/fd/2" },
};

/* Where mknod() is not allowed the host's node is bound. */
static int bind_node(const Rootfs *r, const OciSpecDevice *d, Err *err)
{
    _cleanup_close_ int target = -1;
    int e = rootfs_make(r->root_fd, d->path, false, &target, err);

    if (e >= 0 && (e = mount_node(AT_FDCWD, d->path, target)) < 0)
        e = err_neg(err, e, "bind device %s of the host", d->path);
    return e;
}

/* Opens the folder that a device is made in. */
static int open_folder(const Rootfs *r, const char *path, const char **ret_name, Err *err)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd = -1, e;

    if (!slash || !slash[1] ||
        !sv_copy_cstr(sv_n(path, (size_t)(slash - path)), above, sizeof above))
        return err_set(err, ERR_INVALID, 0, "'%s' is no path of a device", path);
    *ret_name = slash + 1;
    e = rootfs_make(r->root_fd, *above ? above : "/", true, &fd, err);
    return e < 0 ? e : fd;
}

static int make_node(const Rootfs *r, const OciSpecDevice *d, Err *err)
{
    mode_t mode = d->mode.set ? (mode_t)d->mode.n & 07777 : 0666;
    const char *name;
    _cleanup_close_ int at = open_folder(r, d->path, &name, err);

    if (at < 0)
        return at;
    if (r->l->in_user_ns)
        return bind_node(r, d, err);
    if (mknodat(at, name, d->type | mode, makedev(d->major, d->minor)) < 0) {
        if (errno == EEXIST)
            return 0;
        return errno == EPERM ? bind_node(r, d, err) : err_errno(err, "mknod %s", d->path);
    }
    if (fchownat(at, name, d->uid.set ? (uid_t)d->uid.n : 0, d->gid.set ? (gid_t)d->gid.n : 0,
                 AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(err, "owner of %s", d->path);
    return 0;
}

static bool is_named(const OciSpec *spec, const char *path)
{
    for (unsigned i = 0; i < spec->devices.len; i++)
        if (!strcmp(spec->devices.items[i].path, path))
            return true;
    return false;
}

static int make_nodes(const Rootfs *r, Err *err)
{
    const OciSpec *spec = r->l->spec;
    int e = 0;

    for (unsigned i = 0; e >= 0 && i < spec->devices.len; i++)
        if (strcmp(spec->devices.items[i].path, "/dev/ptmx") != 0) /* is a link, below */
            e = make_node(r, &spec->devices.items[i], err);
    for (size_t i = 0; e >= 0 && i < ARRAY_SIZE(always); i++)
        if (!is_named(spec, always[i].path))
            e = make_node(r, &always[i], err);
    return e < 0 ? err_wrap(err, "error creating device nodes") : 0;
}

static int make_links(const Rootfs *r, Err *err)
{
    _cleanup_close_ int dev = rootfs_open(r->root_fd, "/dev", O_PATH | O_DIRECTORY, 0);
    struct stat st;

    if (dev < 0)
        return err_neg(err, dev, "open /dev in the container");
    if (unlinkat(dev, "ptmx", 0) < 0 && errno != ENOENT)
        return err_errno(err, "error setting up ptmx");
    if (symlinkat("pts/ptmx", dev, "ptmx") < 0)
        return err_errno(err, "error setting up ptmx");
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        if (symlinkat(links[i].text, dev, links[i].name) < 0 && errno != EEXIST)
            return err_errno(err, "error setting up /dev symlinks");
    if (fstatat(r->l->proc_fd, "kcore", &st, 0) == 0 && symlinkat("/proc/kcore", dev, "core") < 0 &&
        errno != EEXIST)
        return err_errno(err, "error setting up /dev symlinks");
    return 0;
}

int rootfs_devices(Rootfs *r, Err *err)
{
    mode_t mask = umask(0);
    int e = make_nodes(r, err);

    umask(mask);
    return e < 0 ? e : make_links(r, err);
}
