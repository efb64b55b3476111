/* confine.c - see confine.h. Reading is left to the files' owners and modes: a role has a user of
 * its own, and libraries read where they please (names, certificates, time zones). */
#include "cmd/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

/* Of the first version of Landlock, and what later ones added. */
enum {
    MAKES = LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
            LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
            LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
            LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
            LANDLOCK_ACCESS_FS_MAKE_SYM,
    WRITES = LANDLOCK_ACCESS_FS_WRITE_FILE | MAKES,
    TRUNCATE = 1 << 14, /* LANDLOCK_ACCESS_FS_TRUNCATE, from version 3 on */
    TRUNCATE_SINCE = 3,
};

static int allow(int ruleset, const char *path, uint64_t access, Err *err)
{
    _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open '%s'", path);
    struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? err_errno(err, "keep '%s' writable", path)
               : 0;
}

static int restrict_files(const char *writable, Err *err)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        log_info("this kernel has no Landlock: files are kept by their owners and modes alone");
        return 0;
    }
    uint64_t file = LANDLOCK_ACCESS_FS_WRITE_FILE | (version >= TRUNCATE_SINCE ? TRUNCATE : 0);
    struct landlock_ruleset_attr attr = { .handled_access_fs =
                                              WRITES | file | LANDLOCK_ACCESS_FS_EXECUTE };
    _cleanup_close_ int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return err_errno(err, "make a Landlock ruleset");
    int r = allow(ruleset, "/dev/null", file, err);
    if (r == 0 && writable)
        r = allow(ruleset, writable, WRITES | file, err);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = err_errno(err, "enforce the Landlock ruleset");
    return r;
}

/* Denied as to an ordinary user (EPERM). Names that this libseccomp or this architecture does not
 * know are left out. */
static const char *const denied[] = {
    /* programs and other processes */
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "process_madvise",
    "perf_event_open",
    "seccomp",
    "userfaultfd",
    "personality",
    /* mounts and namespaces */
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "fsopen",
    "fsmount",
    "fsconfig",
    "fspick",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "unshare",
    "setns",
    "open_by_handle_at",
    "name_to_handle_at",
    "mknod",
    "mknodat",
    /* the kernel itself */
    "bpf",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "syslog",
    "iopl",
    "ioperm",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "vhangup",
    "lookup_dcookie",
    "nfsservctl",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "fanotify_init",
    "modify_ldt",
    /* keys, other users */
    "add_key",
    "request_key",
    "keyctl",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "setfsuid",
    "setfsgid",
    "capset",
};

static int restrict_calls(Err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return err_nomem(err);
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(denied) && r == 0; i++) {
        int call = seccomp_syscall_resolve_name(denied[i]);
        if (call >= 0)
            r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    }
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? err_neg(err, r, "filter system calls") : 0;
}

int confine(const char *writable, Err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, "give up new privileges");
    int r = restrict_files(writable, err);
    return r < 0 ? r : restrict_calls(err);
}
