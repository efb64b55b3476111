/* spec.h - what stage0 tells stage1: one PodSpec per pod, one AppSpec per app.
 *
 * Stage0 writes them as files into the pod's directory before anything runs ("pod",
 * "apps/ID/spec"); stage1 reads them there. The encoding is wire.h's: a newer stage0 may write
 * fields that an older stage1 skips. To add a field: append it to the struct, and a row with a new
 * tag to the table in spec.c. */
#pragma once

#include "base/arena.h"
#include "oci/caps.h"
#include "oci/cgroup.h"
#include "oci/mounts.h"
#include "oci/process.h"
#include "pod/wire.h"

enum {
    POD_ID_MAX = 64,  /* letters, digits, '-', '_', '.'; not starting with '.' */
    APP_ID_MAX = 128, /* the same alphabet */
    POD_SPEC_MAX = 1024 * 1024,
};

typedef struct PodSpec {
    const char *id;       /* unique on the machine: the pod's UID */
    const char *cgroup;   /* "/kubepods/burstable/podUID": stage1 owns it and everything below */
    const char *netns;    /* path of a network namespace; "": the host's */
    const char *hostname; /* "": leave */
    bool host_ipc, host_uts;
    bool host_pid;         /* apps live in the host's pid namespace */
    bool shared_pid;       /* apps share one pid namespace of the pod */
    int64_t oom_score_adj; /* of stage1 */
    CgroupLimits limits;   /* of the whole pod */
    struct {
        OciSysctl *items;
        uint32_t len;
    } sysctls;
    const char *domainname;
} PodSpec;

typedef struct AppSpec {
    const char *id;
    WireStrings lower;        /* unpacked layers, bottom first */
    const char *upper, *work; /* "": stage1 uses apps/ID/{upper,work} of the pod's directory */
    bool readonly_rootfs;
    WireStrings argv, env;
    const char *cwd;       /* "": "/"; made if missing */
    const char *user;      /* "uid[:gid]" or names, looked up in the container; "": root */
    WireU32s groups;       /* more supplementary groups */
    bool no_image_groups;  /* only `groups`, not those of the container's group file */
    uint64_t caps;         /* bounding; permitted and effective for root */
    uint64_t caps_ambient; /* kept by other users */
    bool no_new_privs, privileged;
    StrView seccomp; /* compiled filter; empty: unconfined */
    struct {
        OciRlimit *items;
        uint32_t len;
    } rlimits;
    struct {
        OciMount *items;
        uint32_t len;
    } mounts;
    struct {
        OciDevice *items;
        uint32_t len;
    } devices;
    WireStrings device_rules; /* "c 10:200 rwm" */
    WireStrings masked, readonly_paths;
    CgroupLimits limits;
    int64_t oom_score_adj;
    bool tty, use_stdin, stdin_once;
    const char *log_path; /* CRI log file, made and appended to by stage1; "": output is dropped */
    const char *shm_source; /* directory for /dev/shm shared by the pod's apps; "": its own tmpfs */
    uint32_t stop_signal;   /* 0: SIGTERM */
    bool host_cgroupns;     /* sees the host's cgroup paths */
    uint64_t log_max_bytes; /* a log of this size is rotated (log_file.h); 0: never */
    uint32_t log_max_files; /* kept of it, the one that is written included */
} AppSpec;

/* Append to `out`, which remembers when memory was short. */
void pod_spec_encode(const PodSpec *s, Buf *out);
void app_spec_encode(const AppSpec *s, Buf *out);
/* Everything is copied into the arena; missing texts become "". ERR_PROTO, ERR_NOMEM, ERR_INVALID
 * (ids). */
int pod_spec_decode(StrView bytes, Arena *a, PodSpec *ret, Err *err) NODISCARD;
int app_spec_decode(StrView bytes, Arena *a, AppSpec *ret, Err *err) NODISCARD;
bool pod_id_is_valid(const char *id, size_t max);
