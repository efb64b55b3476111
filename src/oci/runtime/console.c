/* console.c - the terminal of a container's process, out of the container's own devpts. Its master
 * goes to whoever asked for it, over a socket (SCM_RIGHTS).
 *
 * By descriptors: /dev may be a volume in which somebody else puts other things under these names
 * (CVE-2025-52565). */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "oci/mounts.h"
#include "oci/runtime/container_internal.h"

static int open_master(int root_fd, Err *err)
{
    _cleanup_close_ int fd = rootfs_open(root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_neg(err, fd < 0 ? fd : -errno, "open /dev/pts/ptmx of the container");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
        return err_set(err, ERR_DENIED, 0,
                       "the container's /dev/pts/ptmx is no terminal multiplexer");
    return TAKE_FD(fd);
}

static int bind_console(int root_fd, int slave, Err *err)
{
    _cleanup_close_ int console = -1;
    int r = rootfs_make(root_fd, "/dev/console", false, &console, err);

    if (r >= 0 && (r = oci_bind_fd(slave, console)) < 0)
        r = err_neg(err, r, "bind /dev/console");
    return r;
}

static int open_slave(const Launch *l, int master, Err *err)
{
    const struct winsize size = { .ws_col = (unsigned short)l->process->console_width,
                                  .ws_row = (unsigned short)l->process->console_height };
    int unlock = 0, slave;

    if (ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        return err_errno(err, "open a terminal");
    if (size.ws_col && size.ws_row && ioctl(slave, TIOCSWINSZ, &size) < 0) {
        close(slave);
        return err_errno(err, "size of the terminal");
    }
    return slave;
}

int console_make(const Launch *l, int root_fd, Err *err)
{
    _cleanup_close_ int master = open_master(root_fd, err), slave = -1;
    int r;

    if (master < 0)
        return master;
    if ((slave = open_slave(l, master, err)) < 0)
        return slave;
    if (!l->exec && (r = bind_console(root_fd, slave, err)) < 0)
        return r;
    if ((r = socket_send_fd(l->console_fd, SV("/dev/ptmx"), master, err)) < 0)
        return r;
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return err_errno(err, "take the terminal");
    for (int i = 0; i < 3; i++)
        if (dup2(slave, i) < 0)
            return err_errno(err, "use the terminal");
    return 0;
}
