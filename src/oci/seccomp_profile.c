/* seccomp_profile.c - system call filters: the default allow-list as tables, which libseccomp
 * compiles. (The JSON form is in seccomp_json.c.)
 *
 * To allow a call by default: add it to `allowed`, or, if a capability guards it, to `guarded`.
 * Names that the library or the architecture does not know are passed over. */
#include "oci/seccomp_profile.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/mman.h>

#include "base/file.h"
#include "oci/seccomp_internal.h"
#include "oci/seccomp_load.h"

/* clone() may make processes and threads, but none of the seven kinds of namespaces. */
#define CLONE_NAMESPACES 0x7E020000u

static const char *const allowed[] = {
    "accept",
    "accept4",
    "access",
    "adjtimex",
    "alarm",
    "bind",
    "brk",
    "cachestat",
    "capget",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "futimesat",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "get_robust_list",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "get_thread_area",
    "gettid",
    "gettimeofday",
    "getuid",
    "getuid32",
    "getxattr",
    "getxattrat",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "ioctl",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "ioprio_get",
    "ioprio_set",
    "io_setup",
    "io_submit",
    "ipc",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listxattr",
    "listxattrat",
    "llistxattr",
    "_llseek",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "madvise",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "mprotect",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "mremap",
    "mseal",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "name_to_handle_at",
    "nanosleep",
    "newfstatat",
    "_newselect",
    "open",
    "openat",
    "openat2",
    "pause",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "process_mrelease",
    "pselect6",
    "pselect6_time64",
    "ptrace",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "removexattrat",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "riscv_hwprobe",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "select",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setitimer",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "set_robust_list",
    "setsid",
    "setsockopt",
    "set_thread_area",
    "set_tid_address",
    "setuid",
    "setuid32",
    "setxattr",
    "setxattrat",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "sigprocmask",
    "sigreturn",
    "socketcall",
    "socketpair",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "sysinfo",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
    "tkill",
    "truncate",
    "truncate64",
    "ugetrlimit",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "uretprobe",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vfork",
    "vmsplice",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
    "arch_prctl",
    "modify_ldt",
    "riscv_flush_icache",
    "process_vm_readv",
    "process_vm_writev",
};

static const struct {
    unsigned cap;
    const char *names; /* separated by spaces */
} guarded[] = {
    { CAP_DAC_READ_SEARCH, "open_by_handle_at" },
    { CAP_SYS_ADMIN,
      "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie "
      "mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd "
      "setdomainname sethostname setns statmount syslog umount umount2 unshare" },
    { CAP_SYS_BOOT, "reboot" },
    { CAP_SYS_CHROOT, "chroot" },
    { CAP_SYS_MODULE, "delete_module init_module finit_module" },
    { CAP_SYS_PACCT, "acct" },
    { CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise" },
    { CAP_SYS_RAWIO, "iopl ioperm" },
    { CAP_SYS_TIME, "settimeofday stime clock_settime clock_settime64" },
    { CAP_SYS_TTY_CONFIG, "vhangup" },
    { CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node" },
    { CAP_SYSLOG, "syslog" },
    { CAP_BPF, "bpf" },
    { CAP_PERFMON, "perf_event_open" },
};

static bool has_cap(uint64_t caps, unsigned cap)
{
    return caps >> cap & 1;
}

int seccomp_rule(scmp_filter_ctx ctx, uint32_t action, const char *name,
                 const struct scmp_arg_cmp *args, unsigned n, Err *err)
{
    int nr = seccomp_syscall_resolve_name(name), r;

    if (nr == __NR_SCMP_ERROR)
        return 0;
    r = seccomp_rule_add_array(ctx, action, nr, n, args);
    /* EDOM: not on this architecture. EACCES: the same as the default action. EEXIST: there
     * already. */
    if (r < 0 && r != -EDOM && r != -EACCES && r != -EEXIST)
        return err_neg(err, r, "filter rule for '%s'", name);
    return 0;
}

static int add_architectures(scmp_filter_ctx ctx, Err *err)
{
#if defined(__x86_64__)
    static const uint32_t more[] = { SCMP_ARCH_X86, SCMP_ARCH_X32 };
#elif defined(__aarch64__)
    static const uint32_t more[] = { SCMP_ARCH_ARM };
#else
    static const uint32_t more[] = { SCMP_ARCH_NATIVE };
#endif

    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        int r = seccomp_arch_add(ctx, more[i]);

        if (r < 0 && r != -EEXIST)
            return err_neg(err, r, "filter for another architecture");
    }
    return 0;
}

static int add_special(scmp_filter_ctx ctx, uint64_t caps, Err *err)
{
    static const uint64_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };
    struct scmp_arg_cmp arg;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(personalities); i++) {
        arg = SCMP_A0(SCMP_CMP_EQ, personalities[i]);
        r = seccomp_rule(ctx, SCMP_ACT_ALLOW, "personality", &arg, 1, err);
    }
    arg = SCMP_A0(SCMP_CMP_NE,
                  40); /* AF_VSOCK reaches the hypervisor and is in no network namespace */
    if (r >= 0)
        r = seccomp_rule(ctx, SCMP_ACT_ALLOW, "socket", &arg, 1, err);
    if (r < 0 || has_cap(caps, CAP_SYS_ADMIN))
        return r;
    arg = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NAMESPACES, 0);
    r = seccomp_rule(ctx, SCMP_ACT_ALLOW, "clone", &arg, 1, err);
    /* Its flags are in memory, where a filter cannot see them; ENOSYS makes the C library take
     * clone(). */
    if (r >= 0)
        r = seccomp_rule(ctx, SCMP_ACT_ERRNO(ENOSYS), "clone3", NULL, 0, err);
    return r;
}

int seccomp_export(scmp_filter_ctx ctx, Buf *out, Err *err)
{
    _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
    int r;

    if (fd < 0)
        return err_errno(err, "memory for the filter");
    r = seccomp_export_bpf(ctx, fd);
    if (r < 0)
        return err_neg(err, r, "compile the filter");
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(err, "read the filter");
    r = fd_read_all(fd, SECCOMP_FILTER_MAX, out);
    if (r == -EFBIG)
        return err_set(err, ERR_LIMIT, 0, "the filter is longer than the kernel takes");
    return r < 0 ? err_neg(err, r, "read the filter") : 0;
}

int seccomp_context(uint32_t action, scmp_filter_ctx *ret, Err *err)
{
    *ret = seccomp_init(action);
    if (!*ret)
        return err_set(err, ERR_INVALID, 0, "the filter's default action is not possible");
    seccomp_attr_set(*ret, SCMP_FLTATR_CTL_NNP, 0);
    seccomp_attr_set(*ret, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree instead of a chain */
    return 0;
}

static int default_rules(scmp_filter_ctx ctx, uint64_t caps, Err *err)
{
    int r = add_architectures(ctx, err);

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(allowed); i++)
        r = seccomp_rule(ctx, SCMP_ACT_ALLOW, allowed[i], NULL, 0, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(guarded); i++) {
        StrView rest = sv_cstr(guarded[i].names), one;
        char name[64];

        while (has_cap(caps, guarded[i].cap) && r >= 0 && sv_next(&rest, ' ', &one))
            if (sv_copy_cstr(one, name, sizeof name))
                r = seccomp_rule(ctx, SCMP_ACT_ALLOW, name, NULL, 0, err);
    }
    return r < 0 ? r : add_special(ctx, caps, err);
}

int seccomp_profile_default(uint64_t caps, Buf *out, Err *err)
{
    scmp_filter_ctx ctx;
    int r = seccomp_context(SCMP_ACT_ERRNO(EPERM), &ctx, err);

    if (r < 0)
        return r;
    r = default_rules(ctx, caps, err);
    if (r >= 0)
        r = seccomp_export(ctx, out, err);
    seccomp_release(ctx);
    return r;
}
