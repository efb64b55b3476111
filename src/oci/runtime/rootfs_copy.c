/* rootfs_copy.c - "tmpcopyup": what a folder of the image holds is copied into the tmpfs that is
 * about to be mounted over it, with owners, modes, times, links and attributes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "oci/mount_fd.h"
#include "oci/runtime/container_internal.h"

enum { DEPTH_MAX = 256, XATTRS_MAX = 65536 };

static int copy_dir(int from, int to, unsigned depth);

static int copy_data(int from, int to, off_t size)
{
    while (size > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)MIN(size, (off_t)0x40000000));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        size -= n;
    }
    return 0;
}

static int copy_xattrs(int from, int to)
{
    char names[4096], value[XATTRS_MAX];
    ssize_t len = flistxattr(from, names, sizeof names);

    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
        ssize_t n = fgetxattr(from, names + at, value, sizeof value);

        /* tmpfs does not keep each of them: labels and user attributes are no reason to fail. */
        if (n >= 0 && fsetxattr(to, names + at, value, (size_t)n, 0) < 0 && errno != EOPNOTSUPP &&
            errno != EPERM)
            return -errno;
    }
    return 0;
}

static int copy_meta(int from, int to, const struct stat *st)
{
    const struct timespec times[2] = { st->st_atim, st->st_mtim };
    int r;

    if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
        return -errno;
    if ((r = copy_xattrs(from, to)) < 0)
        return r;
    return futimens(to, times) < 0 ? -errno : 0;
}

static int copy_regular(int from_dir, int to_dir, const char *name)
{
    _cleanup_close_ int from =
        openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    _cleanup_close_ int to = -1;
    struct stat st;
    int r;

    if (from < 0 || fstat(from, &st) < 0)
        return -errno;
    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    r = S_ISREG(st.st_mode) ? copy_data(from, to, st.st_size) : -EINVAL;
    return r < 0 ? r : copy_meta(from, to, &st);
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, text, sizeof text - 1);

    if (n < 0)
        return -errno;
    text[n] = 0;
    if (symlinkat(text, to_dir, name) < 0 ||
        fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_folder(int from_dir, int to_dir, const char *name, unsigned depth)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    _cleanup_close_ int from = openat(from_dir, name, flags), to = -1;

    if (from < 0 || mkdirat(to_dir, name, 0700) < 0)
        return -errno;
    to = openat(to_dir, name, flags);
    return to < 0 ? -errno : copy_dir(from, to, depth + 1);
}

static int copy_entry(int from_dir, int to_dir, const char *name, unsigned depth)
{
    struct stat st;

    if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return copy_folder(from_dir, to_dir, name, depth);
    if (S_ISREG(st.st_mode))
        return copy_regular(from_dir, to_dir, name);
    if (S_ISLNK(st.st_mode))
        return copy_link(from_dir, to_dir, name, &st);
    if (S_ISSOCK(st.st_mode))
        return 0;
    if (mknodat(to_dir, name, st.st_mode, st.st_rdev) < 0 ||
        fchownat(to_dir, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_dir(int from, int to, unsigned depth)
{
    struct dirent *e;
    struct stat st;
    DIR *dir;
    int r = depth > DEPTH_MAX ? -ELOOP : dir_list(from, ".", &dir);

    if (r < 0)
        return r;
    while ((r = dir_next(dir, &e)) > 0 && (r = copy_entry(from, to, e->d_name, depth)) >= 0)
        ;
    closedir(dir);
    if (r < 0 || fstat(from, &st) < 0)
        return r < 0 ? r : -errno;
    return copy_meta(from, to, &st);
}

int rootfs_copy_up(int from_fd, int to_fd, Err *err)
{
    char path[32];
    _cleanup_close_ int from = -1, to = -1;
    int r;

    mount_fd_path(from_fd, path);
    from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    to = openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0)
        return err_errno(err, "open the folder to be copied");
    r = copy_dir(from, to, 0);
    return r < 0 ? err_neg(err, r, "copy") : 0;
}
