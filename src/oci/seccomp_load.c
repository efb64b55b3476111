/* seccomp_load.c - see seccomp_load.h. */
#include "oci/seccomp_load.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

int seccomp_install(StrView filter, unsigned flags, int *ret_listener, Err *err)
{
    struct sock_fprog prog;
    void *copy;
    int r;

    if (filter.len == 0 || filter.len % sizeof(struct sock_filter) ||
        filter.len > SECCOMP_FILTER_MAX)
        return err_set(err, ERR_INVALID, 0, "a system call filter of %zu bytes", filter.len);
    copy = malloc(filter.len); /* the view may be unaligned */
    if (!copy)
        return err_nomem(err);
    memcpy(copy, filter.ptr, filter.len);
    prog.len = (unsigned short)(filter.len / sizeof(struct sock_filter));
    prog.filter = copy;
    *ret_listener = -1;
    r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (r < 0)
        r = err_errno(err, "load the system call filter");
    else if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
        *ret_listener = r;
    free(copy);
    return MIN(r, 0);
}

int seccomp_load_bytes(StrView filter, Err *err)
{
    int none;

    return seccomp_install(filter, 0, &none, err);
}
