/* pod_start.c - starting a pod's supervisor. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"
#include "pod/pod_internal.h"

/* Executables of one installation stand in one folder; libexec is where packages put helpers. */
static void find_stage1(const char *given, char path[static PATH_MAX])
{
    char self[PATH_MAX - 32];
    ssize_t n = given ? -1 : readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = NULL;

    if (n > 0) {
        self[n] = 0;
        slash = strrchr(self, '/');
    }
    if (slash) {
        *slash = 0;
        snprintf(path, PATH_MAX, "%s/knarr-stage1", self);
        if (access(path, X_OK) == 0)
            return;
    }
    snprintf(path, PATH_MAX, "%s", given ? given : "/usr/libexec/knarr/knarr-stage1");
}

/* 'K', or 'E' and an Err; see stage1_run(). */
static int report_read(int fd, Err *err)
{
    char kind;
    Err why;

    if (fd_read_full(fd, &kind, 1) < 0)
        return err_set(err, ERR_CLOSED, 0, "stage1 ended without a word");
    if (kind == 'K')
        return 0;
    if (kind != 'E' || fd_read_full(fd, &why, sizeof why) < 0 || why.code <= ERR_NONE ||
        why.code >= ERR_MAX)
        return err_set(err, ERR_PROTO, 0, "stage1 reports nonsense");
    why.msg[sizeof why.msg - 1] = 0;
    return err_set(err, why.code, 0, "%s", why.msg);
}

static int run_stage1(const char *dir, const char *stage1, Err *err)
{
    char path[PATH_MAX];
    const char *argv[] = { path, dir, NULL }, *envp[] = { NULL };
    ProcSpec spec = { .argv = argv, .envp = envp, .fds = { -1, -1, -1 }, .new_session = true };
    _cleanup_close_ int rd = -1, wr = -1;
    int p[2], r;
    pid_t pid;

    find_stage1(stage1, path);
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    rd = p[0];
    wr = p[1];
    spec.fds[1] = wr;
    r = proc_spawn(&spec, &pid);
    if (r < 0)
        return err_neg(err, r, "start '%s'", path);
    closep(&wr);
    r = report_read(rd, err);
    proc_wait(pid, -1, NULL); /* the launcher; stage1 itself is nobody's child */
    return r;
}

int pod_start_supervisor(const char *dir, const PodSpec *spec, const char *stage1, Pod **ret_pod,
                         Err *err)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    _cleanup_close_ int fd = -1;
    int r;

    if (!pod_id_is_valid(spec->id, POD_ID_MAX))
        return err_set(err, ERR_INVALID, 0, "'%.100s' is no pod id", spec->id ? spec->id : "");
    r = mkdir_p(AT_FDCWD, dir, 0700);
    if (r < 0)
        return err_neg(err, r, "create '%s'", dir);
    r = pod_dir_open(dir, &fd, err);
    if (r < 0)
        return r;
    if (!pod_dir_is_locked(fd)) {
        pod_spec_encode(spec, &bytes);
        if (bytes.failed)
            return err_nomem(err);
        r = file_write_atomic(fd, "pod", buf_view(&bytes), 0600, false);
        if (r < 0)
            return err_neg(err, r, "write '%s/pod'", dir);
        r = run_stage1(dir, stage1, err);
        if (r < 0 && r != -(int)ERR_BUSY) /* busy: someone else started it meanwhile */
            return err_wrap(err, "start pod %s", spec->id);
    }
    return pod_connect(dir, ret_pod, err);
}
