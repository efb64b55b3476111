/* file.c - reading, writing and removing files. */
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int fd_read_full(int fd, void *buf, size_t n)
{
    for (char *p = buf; n;) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENODATA;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

int fd_write_full(int fd, const void *buf, size_t n)
{
    for (const char *p = buf; n;) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

int fd_read_all(int fd, size_t limit, Buf *out)
{
    size_t total = 0;
    for (;;) {
        if (!buf_reserve(out, 4096))
            return -ENOMEM;
        size_t room = MIN(out->cap - out->len, limit - total + 1);
        ssize_t got = read(fd, out->ptr + out->len, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        total += (size_t)got;
        if (total > limit)
            return -EFBIG;
        out->len += (size_t)got;
    }
}

int fd_set_nonblock(int fd, bool on)
{
    int fl = fcntl(fd, F_GETFL);
    if (fl < 0 || fcntl(fd, F_SETFL, on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int file_read(int dirfd, const char *path, size_t limit, Buf *out)
{
    _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : fd_read_all(fd, limit, out);
}

int file_open_regular(int dirfd, const char *path, int flags, mode_t mode)
{
    struct stat st;
    _cleanup_close_ int fd =
        openat(dirfd, path, flags | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, mode);
    if (fd < 0) /* a link; a folder or a FIFO that was to be written to, a socket */
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EINVAL : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return TAKE_FD(fd);
}

static int fsync_parent(int dirfd, const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    _cleanup_close_ int fd =
        openat(dirfd, parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomic(int dirfd, const char *path, StrView data, mode_t mode, bool durable)
{
    static unsigned serial; /* two threads never use one temporary name */
    char tmp[PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp-%d-%u", path, (int)getpid(),
                     __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
    if (n < 0 || (size_t)n >= sizeof tmp)
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, mode) < 0 ? -errno : fd_write_full(fd, data.ptr, data.len);
    if (r == 0 && durable && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dirfd, tmp, 0);
        return r;
    }
    return durable ? fsync_parent(dirfd, path) : 0;
}

int file_write(int dirfd, const char *path, StrView data, mode_t mode)
{
    _cleanup_close_ int fd =
        openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, mode);
    return fd < 0 ? -errno : fd_write_full(fd, data.ptr, data.len);
}

int mkdir_p(int dirfd, const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdirat(dirfd, part, mode) < 0 && errno != EEXIST)
            return -errno;
    }
    struct stat st;
    if (fstatat(dirfd, path, &st, 0) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int dir_list(int dirfd, const char *path, DIR **ret)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int r = -errno;
        closep(&fd);
        return r;
    }
    *ret = d;
    return 0;
}

int dir_next(DIR *d, struct dirent **ret)
{
    do {
        errno = 0;
        *ret = readdir(d);
    } while (*ret && (strcmp((*ret)->d_name, ".") == 0 || strcmp((*ret)->d_name, "..") == 0));
    return *ret ? 1 : -errno;
}

/* Empties the folder behind fd (taken over). Stays on one file system: a mount met on the way is
 * somebody's data and ends in -EBUSY or -EXDEV, never in its removal. */
static int rm_contents(int fd, dev_t dev)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        int r = -errno;
        close(fd);
        return r;
    }
    int r = 0, more = 0;
    struct dirent *e;
    while (r == 0 && (more = dir_next(d, &e)) > 0) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            r = errno == ENOENT ? 0 : -errno;
            continue;
        }
        if (S_ISDIR(st.st_mode)) {
            if (st.st_dev != dev)
                r = -EXDEV;
            else {
                int sub =
                    openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                r = sub < 0 ? (errno == ENOENT ? 0 : -errno) : rm_contents(sub, dev);
            }
        }
        if (r == 0 && unlinkat(dirfd(d), e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 &&
            errno != ENOENT)
            r = -errno;
    }
    closedir(d);
    return r < 0 ? r : more;
}

int rm_rf(int dirfd, const char *path)
{
    struct stat st;
    if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(st.st_mode))
        return unlinkat(dirfd, path, 0) < 0 && errno != ENOENT ? -errno : 0;
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : rm_contents(fd, st.st_dev);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

bool path_exists(int dirfd, const char *path)
{
    struct stat st;
    return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
           (errno != ENOENT && errno != ENOTDIR);
}

int rename_durable(const char *from, const char *to)
{
    return rename(from, to) < 0 ? -errno : fsync_parent(AT_FDCWD, to);
}

StrView path_dir(const char *path)
{
    ssize_t slash = sv_rfind_char(sv_cstr(path), '/');
    return slash < 0 ? SV("") : slash == 0 ? SV("/") : sv_n(path, (size_t)slash);
}
