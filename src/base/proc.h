/* proc.h - starting programs and waiting for them. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

typedef struct ProcSpec {
    const char *file;        /* a path, or looked up in PATH; NULL: argv[0] */
    const char *const *argv; /* NULL-terminated */
    const char *const *envp; /* NULL: our own environment */
    const char *cwd;         /* NULL: ours */
    int fds[3];              /* for 0, 1, 2; -1: /dev/null. Others are closed. */
    bool new_session;        /* setsid */
    bool die_with_parent;    /* SIGKILL when the starting thread ends */
    bool drop_user;          /* become uid/gid, with no supplementary groups and no capabilities */
    uid_t uid;
    gid_t gid;
} ProcSpec;

/* fork + exec; an exec that fails is reported here, not by an exit code. 0 or negative errno. */
int proc_spawn(const ProcSpec *spec, pid_t *ret_pid);

/* Runs to the end: feeds `in`, collects standard output and error (each may be NULL: dropped; limit
 * of the Buf applies), kills with SIGKILL after timeout_ms (<=0: none; -ETIMEDOUT). *ret_status is
 * the raw wait status. For short helpers; blocks the calling thread. */
int proc_run(const char *const *argv, const char *const *envp, StrView in, int timeout_ms, Buf *out,
             Buf *errout, int *ret_status);

/* The same of a file that argv[0] does not name. */
int proc_run_file(const char *file, const char *const *argv, const char *const *envp, StrView in,
                  int timeout_ms, Buf *out, Buf *errout, int *ret_status);

int proc_wait(pid_t pid, int timeout_ms, int *ret_status); /* -ETIMEDOUT; <0 timeout: for ever */
/* SIGTERM, then SIGKILL after grace_ms; reaps. 0, or -ESRCH/-ECHILD if it is not our child. */
int proc_stop(pid_t pid, int grace_ms, int *ret_status);
