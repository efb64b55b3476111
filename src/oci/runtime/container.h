/* container.h - what an invocation does to a container. Errors are runc's sentences where it has
 * one. Every call blocks; the process has one thread. */
#pragma once

#include "oci/runtime/state.h"

typedef enum OciLevel { OCI_LEVEL_DEBUG, OCI_LEVEL_WARNING, OCI_LEVEL_ERROR } OciLevel;

typedef struct OciGlobal {
    const char *root;    /* --root */
    bool systemd_cgroup; /* --systemd-cgroup, --cgroup-manager=systemd */
    const char *program; /* our own file, where /proc/self/exe does not say it; else NULL */
    int rootless;        /* --rootless: 1, 0, or -1 for auto */
    const char *log;     /* --log: where children complain too; NULL: standard error */
    bool log_json, debug;
    /* Where warnings and debug lines go; NULL: nowhere. */
    void (*say)(const struct OciGlobal *g, OciLevel level, const char *text);
} OciGlobal;

typedef struct OciRunArgs {  /* create, run, restore */
    const char *id, *bundle; /* bundle: NULL is the current directory */
    const char *config;      /* crun's --config; NULL: config.json of the bundle */
    const char *console_socket, *pid_file;
    bool no_pivot, no_new_keyring, no_subreaper, detach, keep;
    unsigned preserve_fds;
} OciRunArgs;

typedef struct OciExecArgs {
    const char *id;
    const char *process_file; /* --process; else the following */
    OciTexts args, env;
    const char *cwd, *user; /* NULL: the container's own */
    uint32_t *groups;
    uint32_t groups_len;
    OciTexts caps;
    bool tty, no_new_privs, has_no_new_privs, detach, ignore_paused;
    const char *apparmor, *process_label;
    const char *console_socket, *pid_file;
    const char *cgroup; /* group below the container's, or per controller */
    unsigned preserve_fds;
} OciExecArgs;

/* Makes the container up to the fifo: namespaces, mounts and control groups are there,
 * createRuntime and createContainer hooks have run, the process waits. On failure nothing is left.
 */
int oci_create(const OciGlobal *g, const OciRunArgs *args, Err *err) NODISCARD;
/* Lets it run; poststart hooks have run when this returns. ERR_STATE words of runc: "cannot start a
 * container that has stopped". */
int oci_start(const OciGlobal *g, const char *id, Err *err) NODISCARD;
/* create and start; without `detach` waits, passes signals and the terminal on, deletes it unless
 * `keep`. *ret_code: its exit code, 128 + n for a signal; 0 with `detach`. */
int oci_run(const OciGlobal *g, const OciRunArgs *args, int *ret_code, Err *err) NODISCARD;
int oci_exec(const OciGlobal *g, const OciExecArgs *args, int *ret_code, Err *err) NODISCARD;
/* `all`: every process of its control groups; stopped is then no error. */
int oci_kill(const OciGlobal *g, const char *id, int sig, bool all, Err *err) NODISCARD;
/* `force`: kills first; a missing one is no error then. poststop hooks run. */
int oci_delete(const OciGlobal *g, const char *id, bool force, Err *err) NODISCARD;
int oci_pause(const OciGlobal *g, const char *id, bool paused, Err *err) NODISCARD;
/* "TERM", "SIGTERM", "15"; ERR_INVALID with runc's words. */
int oci_signal_parse(const char *text, int *ret, Err *err) NODISCARD;
