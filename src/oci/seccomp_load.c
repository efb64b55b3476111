/* seccomp_load.c - see seccomp_load.h. */
#include "oci/seccomp_load.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

int seccomp_load(StrView filter, unsigned flags, int *ret_listener, Err *err)
{
    struct sock_fprog prog;
    void *copy;
    long fd;
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
    if (ret_listener)
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (fd < 0)
        r = err_errno(err, "load the system call filter");
    else if (ret_listener)
        *ret_listener = (int)fd;
    free(copy);
    return r;
}

int seccomp_load_bytes(StrView filter, Err *err)
{
    return seccomp_load(filter, 0, NULL, err);
}
