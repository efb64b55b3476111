/* log_file.c - see log_file.h. */
#include "pod/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/macros.h"
#include "oci/mounts.h"

enum { PARTS_BELOW_ROOT = 3 };

int log_file_open(const char *path, int flags)
{
    char root[PATH_MAX];
    const char *rest = path + strlen(path);
    struct stat st;

    for (int parts = 0; rest > path; rest--)
        if (rest[-1] == '/' && ++parts == PARTS_BELOW_ROOT)
            break;
    if ((size_t)(rest - path) >= sizeof root)
        return -ENAMETOOLONG;
    snprintf(root, sizeof root, "%.*s", (int)(rest - path), path);

    _cleanup_close_ int dir = open(*root ? root : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd =
        dir < 0 ? -errno : rootfs_open(dir, rest, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -EINVAL;
    return TAKE_FD(fd);
}
