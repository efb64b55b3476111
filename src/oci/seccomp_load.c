/* seccomp_load.c - see seccomp_load.h. */
#include "oci/seccomp_load.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

int seccomp_load_bytes(StrView filter, Err *err)
{
    struct sock_fprog prog;
    void *copy;
    int r = 0;

    if (filter.len == 0 || filter.len % sizeof(struct sock_filter) ||
        filter.len > SECCOMP_FILTER_MAX)
        return err_set(err, ERR_INVALID, 0, "a system call filter of %zu bytes", filter.len);
    copy = malloc(filter.len); /* the view may be unaligned */
    if (!copy)
        return err_nomem(err);
    memcpy(copy, filter.ptr, filter.len);
    prog.len = (unsigned short)(filter.len / sizeof(struct sock_filter));
    prog.filter = copy;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        r = err_errno(err, "load the system call filter");
    free(copy);
    return r;
}
