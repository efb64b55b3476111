/* rootfs_path.c - opening and making paths inside a container's tree. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "oci/mounts.h"

/* For kernels before 5.6: component by component, refusing links instead of resolving them. */
static int open_walk(int root_fd, const char *path, int flags, mode_t mode)
{
    _cleanup_close_ int at = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
    StrView rest = sv_cstr(path), part;
    char name[NAME_MAX + 1] = ".";

    if (at < 0)
        return -errno;
    while (sv_next(&rest, '/', &part)) {
        int next;

        if (sv_empty(part) || sv_eq(part, SV(".")))
            continue;
        if (sv_eq(part, SV("..")))
            return -EXDEV;
        if (strcmp(name, ".") != 0) {
            next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (next < 0)
                return -errno;
            close(at);
            at = next;
        }
        if (!sv_copy_cstr(part, name, sizeof name))
            return -ENAMETOOLONG;
    }
    {
        int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);

        return fd < 0 ? -errno : fd;
    }
}

int rootfs_open(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    int fd;

    while (*path == '/')
        path++;
    for (int tries = 0; tries < 64; tries++) {
        fd = (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof how);
        if (fd >= 0)
            return fd;
        if (errno != EAGAIN && errno != EINTR) /* EAGAIN: something was renamed meanwhile */
            break;
    }
    if (errno == ENOSYS)
        return open_walk(root_fd, path, flags, mode);
    return -errno;
}

/* Opens the directory above `path`, which is given without trailing slashes. */
static int open_above(int root_fd, const char *path, const char **ret_base)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;

    if (n >= sizeof above)
        return -ENAMETOOLONG;
    memcpy(above, path, n);
    above[n] = 0;
    *ret_base = slash ? slash + 1 : path;
    return rootfs_open(root_fd, above, O_PATH | O_DIRECTORY, 0);
}

static int make_one(int root_fd, const char *path, bool dir)
{
    const char *base;
    _cleanup_close_ int at = open_above(root_fd, path, &base);
    int fd;

    if (at < 0)
        return at;
    if (dir)
        return mkdirat(at, base, 0755) < 0 ? -errno : 0;
    fd = openat(at, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

enum { LINKS_MAX = 40, FOLLOWED = 1 };

/* `path` was missing and yet is there: a link to nothing, or made by somebody else meanwhile (0).
 * FOLLOWED: it is now the path that the link names, with `rest` behind. */
static int follow_dangling(int root_fd, char path[static PATH_MAX], const char *rest,
                           unsigned *links)
{
    char text[PATH_MAX], whole[2 * PATH_MAX];
    const char *base;
    _cleanup_close_ int at = open_above(root_fd, path, &base);
    ssize_t len = at < 0 ? -1 : readlinkat(at, base, text, sizeof text);
    int above, n;

    if (at < 0 || len < 0)
        return at < 0 ? at : errno == EINVAL ? 0 : -errno;
    if ((size_t)len == sizeof text || ++*links > LINKS_MAX)
        return len == sizeof text ? -ENAMETOOLONG : -ELOOP;
    above = text[0] == '/' ? 0 : (int)(base - path);
    n = snprintf(whole, sizeof whole, "%.*s%.*s%s%s", above, path, (int)len, text, *rest ? "/" : "",
                 rest);
    if (n >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(path, whole, (size_t)n + 1);
    return FOLLOWED;
}

/* The first part of `path` that is missing, `path` being given without trailing slashes, is made;
 * what is a link to nothing is replaced by the path that it names. 1: all is there. */
static int make_next(int root_fd, char path[static PATH_MAX], bool dir, unsigned *links)
{
    size_t n = strlen(path);

    for (size_t i = 1; i <= n; i++) {
        char saved = path[i];
        int fd, r = 0;

        if (saved != '/' && saved != 0)
            continue;
        path[i] = 0;
        fd = rootfs_open(root_fd, path, O_PATH, 0);
        if (fd >= 0)
            close(fd);
        else if (fd != -ENOENT)
            r = fd;
        else if ((r = make_one(root_fd, path, saved ? true : dir)) == -EEXIST)
            r = follow_dangling(root_fd, path, saved ? path + i + 1 : "", links);
        if (r < 0 || r == FOLLOWED)
            return r == FOLLOWED ? 0 : r;
        path[i] = saved;
    }
    return 1;
}

int rootfs_make(int root_fd, const char *path, bool dir, int *ret_fd, Err *err)
{
    char clean[PATH_MAX];
    size_t n = strlen(path);
    unsigned links = 0;
    int fd, r = 0;

    while (n > 1 && path[n - 1] == '/')
        n--;
    if (!sv_copy_cstr(sv_n(path, n), clean, sizeof clean))
        return err_set(err, ERR_INVALID, 0, "a path in the container is too long");
    fd = rootfs_open(root_fd, clean, O_PATH, 0);
    while (fd == -ENOENT && r == 0)
        r = make_next(root_fd, clean, dir, &links);
    if (r < 0)
        return err_neg(err, r, "create '%s' in the container", clean);
    if (fd == -ENOENT)
        fd = rootfs_open(root_fd, clean, O_PATH, 0);
    if (fd < 0)
        return err_neg(err, fd, "open '%s' in the container", path);
    *ret_fd = fd;
    return 0;
}
