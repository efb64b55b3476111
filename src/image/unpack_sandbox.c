/* unpack_sandbox.c - see unpack_sandbox.h. Order: namespaces and root while all rights are there,
 * then the capabilities, then no_new_privs and the filter, which allows only what libarchive, the C
 * library and tar_unpack.c call. */
#include "image/unpack_sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/macros.h"

#define UNPACK_MEMORY_MAX                                                                          \
    (UINT64_C(1) << 30) /* zstd windows and long names; far above any honest layer */

static int enter_root(Err *err)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return err_errno(err, "new namespaces");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(err, "make mounts private");
    if (mount(".", ".", NULL, MS_BIND, NULL) < 0)
        return err_errno(err, "bind the layer's directory");
    /* The bind lies on top of the directory we stand in: step onto it. */
    {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);

        if (!cwd || chdir(cwd) < 0)
            return err_errno(err, "enter the layer's directory");
    }
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return err_errno(err, "pivot into the layer's directory");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_errno(err, "leave the host's root");
    return 0;
}

static int drop_caps(Err *err)
{
    static const int keep[] = { CAP_CHOWN,        CAP_MKNOD,   CAP_FOWNER,
                                CAP_DAC_OVERRIDE, CAP_SETFCAP, CAP_FSETID };
    struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };
    uint64_t mask = 0;

    for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
        mask |= UINT64_C(1) << keep[i];
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(mask & UINT64_C(1) << cap) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_errno(err, "drop capability %d", cap);
    data[0].effective = data[0].permitted = (uint32_t)mask;
    data[1].effective = data[1].permitted = (uint32_t)(mask >> 32);
    if (syscall(SYS_capset, &hdr, data) < 0)
        return err_errno(err, "set capabilities");
    return 0;
}

static int limit_resources(Err *err)
{
    const struct rlimit memory = { UNPACK_MEMORY_MAX, UNPACK_MEMORY_MAX }, core = { 0, 0 };

    if (setrlimit(RLIMIT_AS, &memory) < 0 || setrlimit(RLIMIT_CORE, &core) < 0)
        return err_errno(err, "limit memory");
    return 0;
}

static int install_filter(Err *err)
{
    static const int allowed[] = {
        SCMP_SYS(read),           SCMP_SYS(readv),        SCMP_SYS(pread64),
        SCMP_SYS(write),          SCMP_SYS(writev),       SCMP_SYS(pwrite64),
        SCMP_SYS(close),          SCMP_SYS(lseek),        SCMP_SYS(fstat),
        SCMP_SYS(newfstatat),     SCMP_SYS(statx),        SCMP_SYS(fstatfs),
        SCMP_SYS(openat),         SCMP_SYS(openat2),      SCMP_SYS(mkdirat),
        SCMP_SYS(mknodat),        SCMP_SYS(linkat),       SCMP_SYS(symlinkat),
        SCMP_SYS(unlinkat),       SCMP_SYS(fchown),       SCMP_SYS(fchownat),
        SCMP_SYS(fchmod),         SCMP_SYS(fchmodat),     SCMP_SYS(utimensat),
        SCMP_SYS(fsetxattr),      SCMP_SYS(ftruncate),    SCMP_SYS(getdents64),
        SCMP_SYS(fcntl),          SCMP_SYS(brk),          SCMP_SYS(mmap),
        SCMP_SYS(munmap),         SCMP_SYS(mremap),       SCMP_SYS(mprotect),
        SCMP_SYS(madvise),        SCMP_SYS(futex),        SCMP_SYS(getrandom),
        SCMP_SYS(clock_gettime),  SCMP_SYS(gettimeofday), SCMP_SYS(rt_sigreturn),
        SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(getpid),
        SCMP_SYS(gettid),         SCMP_SYS(tgkill),       SCMP_SYS(exit),
        SCMP_SYS(exit_group),     SCMP_SYS(umask),        SCMP_SYS(restart_syscall),
    };
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r = ctx ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
    if (r == 0)
        r = seccomp_load(ctx); /* sets no_new_privs as well */
    if (ctx)
        seccomp_release(ctx);
    return r < 0 ? err_neg(err, r, "install the system call filter") : 0;
}

int unpack_sandbox_enter(Err *err)
{
    int r;

    if ((r = enter_root(err)) < 0 || (r = drop_caps(err)) < 0 || (r = limit_resources(err)) < 0)
        return r;
    return install_filter(err);
}
