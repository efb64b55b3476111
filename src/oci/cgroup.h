/* cgroup.h - one control group, made in every hierarchy that the machine has mounted: all
 * controllers of version 1, name=systemd, and version 2 (alone or beside version 1). Paths are the
 * same in all of them:
 * "/knarr/pods/burstable/pod1/app". Errors name the file that refused.
 *
 * Docs: kernel Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

enum {
    CGROUP_PATH_MAX = 1024,
    CGROUP_HIERARCHIES_MAX = 24,
};

typedef struct CgroupHierarchy {
    char mount[64];        /* "/sys/fs/cgroup/cpu" */
    char controllers[128]; /* "cpu,cpuacct", "name=systemd"; empty: version 2 */
    bool v2;
} CgroupHierarchy;

/* What /proc/self/mountinfo says; filled once, constant afterwards. */
typedef struct CgroupSystem {
    CgroupHierarchy list[CGROUP_HIERARCHIES_MAX];
    size_t len;
} CgroupSystem;

/* Finds the hierarchies mounted below `root` (NULL: /sys/fs/cgroup). ERR_NOT_FOUND if there are
 * none. */
int cgroup_system_find(CgroupSystem *ret, const char *root, Err *err) NODISCARD;
/* The same from the text of a mountinfo file; what cgroup_system_find() and tests use. */
void cgroup_system_parse(char *mountinfo, const char *root, CgroupSystem *ret);

/* Limits; a zero leaves the kernel's default, -1 lifts a limit. Units as in the OCI runtime
 * specification (config-linux.md), with version 1's meaning of shares; version 2's weights are
 * derived. */
typedef struct CgroupLimits {
    int64_t cpu_shares;    /* 2..262144 */
    int64_t cpu_quota_us;  /* per period */
    int64_t cpu_period_us; /* default 100000 */
    int64_t memory_max;    /* bytes */
    int64_t memory_low;    /* version 2: memory.low; version 1: soft limit */
    int64_t pids_max;
    const char *cpuset_cpus, *cpuset_mems; /* NULL or "": as the parent */
    bool oom_group;                        /* version 2: an OOM kill takes the whole group */
} CgroupLimits;

/* Whether a hierarchy has the controller: "pids", "memory". */
bool cgroup_has(const CgroupSystem *sys, const char *controller);

/* Makes the group and its parents. Existing ones are fine. On failure what this call made is
 * removed. */
int cgroup_create(const CgroupSystem *sys, const char *path, Err *err) NODISCARD;
int cgroup_set_limits(const CgroupSystem *sys, const char *path, const CgroupLimits *l,
                      Err *err) NODISCARD;
/* Moves a process (0: ourselves) in every hierarchy. The kernel lets all readers of its lock over
 * thread groups pass first (synchronize_rcu), which takes 10 to 30 ms whatever the load: where a
 * process is started, cgroup_clone() and cgroup_join() cost nothing of the kind. */
int cgroup_attach(const CgroupSystem *sys, const char *path, pid_t pid, Err *err) NODISCARD;
/* clone3(2) with `flags` (CLONE_PIDFD is added) and SIGCHLD, born into the group of version 2, if
 * the machine has that: the pid, 0 in the child, or an error. The child then calls cgroup_join().
 * The caller has one thread. *ret_pidfd is the caller's. */
pid_t cgroup_clone(const CgroupSystem *sys, const char *path, uint64_t flags, int *ret_pidfd,
                   Err *err) NODISCARD;
/* Moves the calling process, which has one thread, in every hierarchy of version 1. */
int cgroup_join(const CgroupSystem *sys, const char *path, Err *err) NODISCARD;

/* Sends SIGKILL to every process of the group and of the groups below, repeatedly, until there is
 * none or timeout_ms is over (ERR_TIMEOUT). A missing group is empty. */
int cgroup_kill(const CgroupSystem *sys, const char *path, int timeout_ms, Err *err) NODISCARD;
/* Signals every process once; returns how many there were. */
int cgroup_signal(const CgroupSystem *sys, const char *path, int sig);
bool cgroup_is_empty(const CgroupSystem *sys, const char *path); /* of processes, recursively */
/* Removes the group and all below it in every hierarchy; they must be empty of processes. Waits a
 * little for dying ones. A missing group is no error. */
int cgroup_remove(const CgroupSystem *sys, const char *path, Err *err) NODISCARD;

/* Stops or lets go on all processes of the group; does not wait until they stand. ERR_UNSUPPORTED
 * where there is no freezer. */
int cgroup_freeze(const CgroupSystem *sys, const char *path, bool frozen, Err *err) NODISCARD;

typedef struct CgroupStat {
    uint64_t cpu_ns;             /* user and system */
    uint64_t memory_bytes;       /* usage */
    uint64_t memory_working_set; /* usage without inactive file pages, as the kubelet reports it */
    uint64_t memory_rss;
    uint64_t memory_limit; /* UINT64_MAX: none */
    uint64_t page_faults, major_page_faults;
    uint64_t pids;
    uint64_t oom_kills; /* of this group and those below, since it was made */
} CgroupStat;
/* What cannot be read stays 0. ERR_NOT_FOUND if the group is nowhere. */
int cgroup_stat(const CgroupSystem *sys, const char *path, CgroupStat *ret, Err *err) NODISCARD;
/* Only the count of OOM kills; 0 if it cannot be known. */
uint64_t cgroup_oom_kills(const CgroupSystem *sys, const char *path);

/* Version 2's weight (1..10000) for version 1's shares (2..262144). */
uint64_t cgroup_weight_of_shares(uint64_t shares);

/* Device access: everything is denied but what the OCI specification's default devices need, or
 * with `all` everything is allowed. `extra` are rules like "c 10:200 rwm". Version 1: the devices
 * controller; version 2: an eBPF program (ERR_UNSUPPORTED if the kernel has none). A hybrid machine
 * without the devices controller is treated as version 2; one with neither is left alone. */
int cgroup_set_devices(const CgroupSystem *sys, const char *path, bool all,
                       const char *const *extra, uint32_t extra_len, Err *err) NODISCARD;
