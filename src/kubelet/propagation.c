/* propagation.c - a container asks to see what the host mounts later, or to have its own mounts
 * seen by the host. Where the volume's mount is private neither happens, and nothing would say so:
 * the container is refused instead, as containerd does it.
 *
 * mountinfo (proc_pid_mountinfo(5)): "36 35 98:0 /root /mount options shared:1 master:2 - type …"
 */
#include "kubelet/propagation.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"

enum { MOUNTINFO_MAX = 16 * 1024 * 1024 };

Propagation propagation_of(StrView field)
{
    return sv_eq(field, SV("HostToContainer")) ? PROPAGATION_FROM_HOST
           : sv_eq(field, SV("Bidirectional")) ? PROPAGATION_BOTH_WAYS
                                               : PROPAGATION_NONE;
}

/* The n-th field of a line, from 0. */
static StrView field(StrView line, int n)
{
    StrView one = SV_NULL;
    for (int i = 0; i <= n; i++)
        if (!sv_next(&line, ' ', &one))
            return SV_NULL;
    return one;
}

/* Optional fields stand behind the sixth, up to "-". */
static bool has_optional(StrView line, StrView prefix)
{
    enum { FIRST_OPTIONAL = 6 };
    StrView one;
    for (int i = 0; sv_next(&line, ' ', &one) && !sv_eq(one, SV("-")); i++)
        if (i >= FIRST_OPTIONAL && sv_starts(one, prefix))
            return true;
    return false;
}

int propagation_check_mount(StrView mountinfo, uint64_t mount_id, const char *path,
                            Propagation want, Err *err)
{
    enum { ID, MOUNT_POINT = 4 };
    StrView line;
    uint64_t id;
    while (sv_next(&mountinfo, '\n', &line)) {
        if (sv_to_u64(field(line, ID), &id) < 0 || id != mount_id)
            continue;
        if (want == PROPAGATION_NONE || has_optional(line, SV("shared:")) ||
            (want == PROPAGATION_FROM_HOST && has_optional(line, SV("master:"))))
            return 0;
        return err_set(err, ERR_DENIED, 0,
                       "path \"%s\" is mounted on \"%.*s\" but it is not a shared%s mount", path,
                       SV_FMT(field(line, MOUNT_POINT)),
                       want == PROPAGATION_FROM_HOST ? " or slave" : "");
    }
    return err_set(err, ERR_NOT_FOUND, 0, "find the mount of '%s'", path);
}

int propagation_check(const char *path, Propagation want, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    struct statx st;
    if (want == PROPAGATION_NONE)
        return 0;
    if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) < 0)
        return err_errno(err, "find the mount of '%s'", path);
    int r = file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text);
    return r < 0 ? err_neg(err, r, "read /proc/self/mountinfo")
                 : propagation_check_mount(buf_view(&text), st.stx_mnt_id, path, want, err);
}
