/* pod.h - stage0's side of a pod: start its supervisor (knarr-stage1), talk to it, read what it
 * left.
 *
 * The pod's directory:
 *   pod               the PodSpec, written before anything runs
 *   lock              held by stage1 as long as it lives
 *   stage1.sock       its socket; only root may connect
 *   memory            a link to a folder in memory, made by stage0 if it has one: what may hold
 *                     secrets is there and not on a disk
 *   apps/ID/spec      the AppSpec, or a link to memory/ID.spec; gone with its app
 *   apps/ID/pid       the app's pid as the host sees it, once started
 *   apps/ID/started   RFC 3339
 *   apps/ID/exit      JSON: "exitCode", "signal", "oomKilled", "startedAt", "finishedAt", "reason",
 *                     "message"
 *   apps/ID/rootfs, upper, work
 * Nothing of a pod is mounted in the host's mount namespace: an app's root exists in its own.
 *
 * Nothing of a pod runs after a power cut. So only `exit`, which tells what has been, is synced to
 * the disk; any other file may then be missing or empty, and is taken for what it is: a pod without
 * a record has no control groups, an app with an empty `started` was running, one without `spec` is
 * given a new one.
 *
 * A Pod is one connection. Requests are sent with pod_send_*(), which do not block, and answered by
 * a message with the same number; events come in between. Either wait for readability of pod_fd()
 * and call pod_read() until it returns 0, or use the blocking calls, which keep events for
 * pod_read(). Several connections to one pod may exist; each gets all events. All requests may be
 * repeated: naming an app that is already added, started, stopped or removed is a success. Not
 * thread-safe: one thread per Pod. */
#pragma once

#include <sys/types.h>

#include "pod/spec.h"

typedef enum AppState {
    APP_CREATED = 1,
    APP_RUNNING,
    APP_EXITED,
} AppState;

typedef struct AppStatus {
    char id[APP_ID_MAX + 1];
    AppState state;
    pid_t pid;     /* on the host; 0 unless running */
    int exit_code; /* 128 + signal if one killed it */
    int signal;
    bool oom_killed;
    int64_t started_ns, finished_ns; /* wall clock; 0: not yet */
    char reason[32];   /* "Completed", "Error", "OOMKilled", "StartError", "Stage1Died" */
    char message[512]; /* of a start error */
} AppStatus;

typedef enum PodMsgKind {
    POD_MSG_REPLY = 1, /* to a request */
    POD_MSG_APP,       /* an app changed: status */
    POD_MSG_EXEC,      /* a command of pod_send_exec() ended: id and exit_code */
    POD_MSG_CLOSED,    /* stage1 is gone; the last message */
} PodMsgKind;

enum { POD_FDS_MAX = 3 };

typedef struct PodMsg {
    PodMsgKind kind;
    uint32_t request; /* REPLY: the number that pod_send_*() gave */
    Err err;          /* REPLY: code is ERR_NONE on success */
    int exit_code;    /* EXEC: of the command; REPLY to a failed start or exec: 126, 127 or 128 */
    char id[APP_ID_MAX + 1]; /* APP, EXEC */
    AppStatus status;        /* APP; REPLY to add, start, status of one app */
    int fds[POD_FDS_MAX];    /* REPLY to exec and attach; the reader owns them; -1: none */
} PodMsg;

typedef struct Pod Pod;

/* Writes the spec into `dir` (made if missing), starts stage1 and connects. If the pod's stage1 is
 * alive already, only connects. `stage1` is the program's path; NULL: beside our own executable,
 * then libexec. Never forks without exec, so it may be called by threads. ERR_SYS, or what stage1
 * says about namespaces and cgroups. */
int pod_start_supervisor(const char *dir, const PodSpec *spec, const char *stage1, Pod **ret_pod,
                         Err *err) NODISCARD;
/* Connects to a running pod. ERR_NOT_FOUND or ERR_CLOSED when there is no stage1. */
int pod_connect(const char *dir, Pod **ret_pod, Err *err) NODISCARD;
Pod *pod_close(Pod *p);   /* the pod lives on; always NULL */
int pod_fd(const Pod *p); /* readable: call pod_read() */

/* The next message: 1, or 0 if there is none now. Never blocks. After POD_MSG_CLOSED always 0. */
int pod_read(Pod *p, PodMsg *ret_msg, Err *err) NODISCARD;

/* Requests. *ret_request is the number of the reply. */
int pod_send_add(Pod *p, const AppSpec *app, uint32_t *ret_request, Err *err) NODISCARD;
int pod_send_start(Pod *p, const char *app, uint32_t *ret_request, Err *err) NODISCARD;
/* To an app's first process, or to an exec's by its id; 0: the app's own stop signal. ERR_NOT_FOUND
 * if it never was; signals to what has ended are dropped. */
int pod_send_signal(Pod *p, const char *id, int sig, uint32_t *ret_request, Err *err) NODISCARD;

typedef struct ExecSpec {
    const char *id; /* chosen by the caller, unique in the pod */
    const char *app;
    WireStrings argv;
    WireStrings env;  /* added to the app's */
    const char *cwd;  /* "": the app's */
    const char *user; /* "": the app's */
    bool tty, use_stdin, use_stdout, use_stderr;
    uint32_t cols, rows;
} ExecSpec;
/* Runs a command in an app's namespaces, cgroup and restrictions. The reply carries descriptors:
 * [0] standard input (write end), [1] output, [2] error (read ends); with tty only [0], the pty's
 * master. POD_MSG_EXEC tells the end; the output is complete when its pipes are at their end. */
int pod_send_exec(Pod *p, const ExecSpec *e, uint32_t *ret_request, Err *err) NODISCARD;
/* Follows an app's output from now on. Descriptors as for exec; [0] writes to the app's standard
 * input (also with tty, where [1] carries the terminal's output), and is -1 unless it was opened
 * for that. A reader that lets 1 MiB pile up is cut off. */
int pod_send_attach(Pod *p, const char *app, uint32_t *ret_request, Err *err) NODISCARD;
/* Of an app's terminal. Who runs a command with a terminal holds its master and sets the size there
 * (TIOCSWINSZ). */
int pod_send_resize(Pod *p, const char *id, uint32_t cols, uint32_t rows, uint32_t *ret_request,
                    Err *err) NODISCARD;
/* Kills what still runs of the app and forgets it; its directory's upper, work and rootfs are
 * removed, `spec` and `exit` are left for the caller. */
int pod_send_remove(Pod *p, const char *app, uint32_t *ret_request, Err *err) NODISCARD;
/* Status of one app (reply), or with app "" one POD_MSG_APP per app before the reply. */
int pod_send_status(Pod *p, const char *app, uint32_t *ret_request, Err *err) NODISCARD;
/* The log file was renamed: opens it anew. */
int pod_send_rotate_log(Pod *p, const char *app, uint32_t *ret_request, Err *err) NODISCARD;
/* SIGTERM (or the app's own stop signal) to all apps, SIGKILL after grace_ms, then stage1 removes
 * the cgroups and ends; POD_MSG_CLOSED follows. */
int pod_send_stop(Pod *p, uint32_t grace_ms, uint32_t *ret_request, Err *err) NODISCARD;

/* Waits for the reply to one request; others stay for pod_read(). Returns the reply's error, if
 * any. ERR_TIMEOUT. `ret_msg` may be NULL (descriptors are then closed). */
int pod_wait(Pod *p, uint32_t request, int timeout_ms, PodMsg *ret_msg, Err *err) NODISCARD;
/* Waits for any message: 1, or 0 after timeout_ms. */
int pod_wait_any(Pod *p, int timeout_ms, PodMsg *ret_msg, Err *err) NODISCARD;
void pod_msg_close(PodMsg *msg); /* closes the descriptors that it carries */

/* Send and wait, with a timeout of 30 s. */
int pod_add(Pod *p, const AppSpec *app, Err *err) NODISCARD;
/* ret_exit_code (may be NULL): 126, 127 or 128 for a command that cannot be started. */
int pod_start(Pod *p, const char *app, int *ret_exit_code, Err *err) NODISCARD;
int pod_signal(Pod *p, const char *id, int sig, Err *err) NODISCARD;
int pod_exec(Pod *p, const ExecSpec *e, int ret_fds[POD_FDS_MAX], int *ret_exit_code,
             Err *err) NODISCARD;
int pod_attach(Pod *p, const char *app, int ret_fds[POD_FDS_MAX], Err *err) NODISCARD;
int pod_resize(Pod *p, const char *id, uint32_t cols, uint32_t rows, Err *err) NODISCARD;
int pod_remove(Pod *p, const char *app, Err *err) NODISCARD;
int pod_status(Pod *p, const char *app, AppStatus *ret, Err *err) NODISCARD;
int pod_rotate_log(Pod *p, const char *app, Err *err) NODISCARD;
/* Stops, waits for stage1's end, and cleans up. */
int pod_stop(Pod *p, uint32_t grace_ms, Err *err) NODISCARD;

/* --- from the disk, without stage1 --- */
/* Someone holds the lock, or it cannot be looked at now. */
bool pod_is_alive(const char *dir);
int pod_spec_read(const char *dir, Arena *a, PodSpec *ret, Err *err) NODISCARD;
/* What is known of an app from its files. An app that ran when stage1 died is APP_EXITED with exit
 * code 137 and reason "Stage1Died". ERR_NOT_FOUND. */
int pod_app_read(const char *dir, const char *app, AppStatus *ret, Err *err) NODISCARD;
/* The ids of all apps of the directory, sorted. */
int pod_app_list(const char *dir, Arena *a, WireStrings *ret, Err *err) NODISCARD;
/* After stage1's end (also a sudden one): kills what is left in the pod's cgroup, removes the
 * cgroups and the scratch directories of apps; files stay. A pod whose record is lost or damaged is
 * cleaned up too, but for its cgroups. ERR_BUSY if stage1 lives. Repeatable. */
int pod_cleanup(const char *dir, Err *err) NODISCARD;
