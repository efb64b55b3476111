/* log_file.c - see log_file.h. */
#include "pod/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/macros.h"
#include "base/str.h"
#include "oci/mounts.h"

enum {
    PARTS_BELOW_ROOT = 3,
    ROTATED_MAX = 64, /* of one log; more wait for the next time */
    SAME_SECOND_MAX = 1000,
};

/* Opens LOG_ROOT; *ret_rest is what lies below. */
static int open_root(const char *path, const char **ret_rest)
{
    char root[PATH_MAX];
    const char *rest = path + strlen(path);
    int fd;

    for (int parts = 0; rest > path; rest--)
        if (rest[-1] == '/' && ++parts == PARTS_BELOW_ROOT)
            break;
    if ((size_t)(rest - path) >= sizeof root)
        return -ENAMETOOLONG;
    snprintf(root, sizeof root, "%.*s", (int)(rest - path), path);
    fd = open(*root ? root : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    *ret_rest = rest;
    return fd < 0 ? -errno : fd;
}

int log_file_open(const char *path, int flags)
{
    const char *rest;
    struct stat st;
    _cleanup_close_ int root = open_root(path, &rest);
    _cleanup_close_ int fd =
        root < 0 ? root : rootfs_open(root, rest, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -EINVAL;
    return TAKE_FD(fd);
}

/* The folder that the file is in; *ret_name is the file's name there. */
static int open_folder(const char *path, const char **ret_name)
{
    const char *rest, *slash;
    char folder[PATH_MAX];
    _cleanup_close_ int root = open_root(path, &rest);

    if (root < 0)
        return root;
    slash = strrchr(rest, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - rest) : 0, rest);
    *ret_name = slash ? slash + 1 : rest;
    return rootfs_open(root, folder, O_RDONLY | O_DIRECTORY, 0);
}

typedef struct Rotated {
    char names[ROTATED_MAX][64];
    unsigned n;
} Rotated;

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* "0.log.20260102-150405": names in the order of their times. */
static void list_rotated(int folder, const char *name, Rotated *r)
{
    size_t len = strlen(name);
    struct dirent *e;
    DIR *d;

    r->n = 0;
    if (dir_list(folder, ".", &d) < 0)
        return;
    while (r->n < ROTATED_MAX && dir_next(d, &e) > 0)
        if (strncmp(e->d_name, name, len) == 0 && e->d_name[len] == '.' &&
            sv_copy_cstr(sv_cstr(e->d_name), r->names[r->n], sizeof r->names[0]))
            r->n++;
    closedir(d);
    qsort(r->names, r->n, sizeof r->names[0], by_name);
}

static void remove_oldest(int folder, const char *name, unsigned keep)
{
    Rotated r;

    list_rotated(folder, name, &r);
    for (unsigned i = 0; i + keep < r.n; i++)
        unlinkat(folder, r.names[i], 0);
}

int log_file_rotate(const char *path, unsigned max_files)
{
    char stamp[32], to[NAME_MAX + 48];
    const char *name;
    time_t now = time(NULL);
    struct tm tm;
    _cleanup_close_ int folder = open_folder(path, &name);

    if (folder < 0)
        return folder;
    remove_oldest(folder, name, max_files > 2 ? max_files - 2 : 0);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", gmtime_r(&now, &tm));
    snprintf(to, sizeof to, "%s.%s", name, stamp);
    for (int i = 1; i < SAME_SECOND_MAX && faccessat(folder, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
         i++)
        snprintf(to, sizeof to, "%s.%s.%03d", name, stamp, i);
    return renameat(folder, name, folder, to) < 0 ? -errno : 0;
}

void log_file_remove(const char *path)
{
    const char *name;
    _cleanup_close_ int folder = open_folder(path, &name);

    if (folder < 0)
        return;
    unlinkat(folder, name, 0);
    remove_oldest(folder, name, 0);
}
