/* knarr_stage1.c - knarr-stage1 POD-DIRECTORY: the process that stays with a pod. Started by
 * pod/pod_start.c with a pipe on standard output, on which it reports whether the pod could be set
 * up; returns at once.
 *
 * It first executes itself again from a read-only mount of its own file: a process of the pod that
 * gets hold of /proc/PID/exe of one of our children can then not write to the program
 * (CVE-2019-5736). Then it takes the pod's lock, makes the pod's control groups, and lives on as
 * the first process of a new pid namespace, so that nothing of the pod can outlive it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "pod/stage1.h"

static int fail(const Err *err)
{
    if (fd_write_full(STDOUT_FILENO, "E", 1) == 0)
        (void)!fd_write_full(STDOUT_FILENO, err, sizeof *err);
    return 1;
}

/* Returns only on failure. */
static int exec_sealed(char *dir, Err *err)
{
    char *argv[] = { (char[]){ "knarr-stage1" }, (char[]){ "--sealed" }, dir, NULL };
    char *envp[] = { NULL };
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    _cleanup_close_ int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/exe",
                                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
        return err_errno(err, "mount stage1 read-only");
    execveat(fd, "", argv, envp, AT_EMPTY_PATH);
    return err_errno(err, "execute stage1 again");
}

static int open_pod(const char *dir, int *ret_dir, int *ret_lock, Err *err)
{
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), lock = -1;
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fd < 0)
        return err_errno(err, "open '%s'", dir);
    lock = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return err_errno(err, "open '%s/lock'", dir);
    /* An open-file-description lock: it passes to the child of our fork, and others can ask for it
     * without taking it. */
    if (fcntl(lock, F_OFD_SETLK, &whole) < 0)
        return errno == EAGAIN || errno == EACCES
                   ? err_set(err, ERR_BUSY, 0, "the pod has a supervisor already")
                   : err_errno(err, "lock '%s/lock'", dir);
    *ret_dir = TAKE_FD(fd);
    *ret_lock = TAKE_FD(lock);
    return 0;
}

int main(int argc, char **argv)
{
    int dir = -1, lock = -1, report;
    Stage1 *s = NULL;
    Err err = { 0 };
    pid_t pid;

    if (argc == 2) {
        (void)!exec_sealed(argv[1], &err);
        return fail(&err);
    }
    if (argc != 3 || strcmp(argv[1], "--sealed") != 0) {
        fprintf(stderr, "usage: knarr-stage1 POD-DIRECTORY (started by rkt and by the kubelet)\n");
        return 2;
    }
    prctl(PR_SET_NAME, "knarr-stage1", 0, 0, 0);
    if (open_pod(argv[2], &dir, &lock, &err) < 0 || stage1_new(dir, &s, &err) < 0)
        return fail(&err);
    pid = stage1_fork(s, &err);
    if (pid < 0) {
        stage1_free(s);
        return fail(&err);
    }
    if (pid > 0)
        _exit(0);
    /* The end of the pipe tells stage0 that the report is complete: keep it on no standard
     * descriptor. */
    report = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (report < 0 || chdir("/") < 0 || dup2(STDIN_FILENO, STDOUT_FILENO) < 0)
        return 1;
    _exit(stage1_run(s, lock, report) < 0);
}
