/* process.h - small settings of a container's first process. */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct OciRlimit {
    uint32_t resource;   /* RLIMIT_… */
    uint64_t soft, hard; /* UINT64_MAX: infinity */
} OciRlimit;

typedef struct OciSysctl {
    const char *key, *value; /* "net.ipv4.ip_unprivileged_port_start" */
} OciSysctl;

/* "RLIMIT_NOFILE" or "nofile"; ERR_INVALID. */
int rlimit_parse(StrView name, uint32_t *ret_resource, Err *err) NODISCARD;
int rlimits_set(const OciRlimit *list, uint32_t len, Err *err) NODISCARD;

/* Whether the key belongs to a namespace that the pod has of its own; others would change the host.
 */
bool sysctl_is_namespaced(const char *key, bool own_net, bool own_ipc, bool own_uts);
/* Writes below proc_fd (an open /proc). ERR_DENIED for keys that are not namespaced. */
int sysctl_set(int proc_fd, const OciSysctl *s, bool own_net, bool own_ipc, bool own_uts,
               Err *err) NODISCARD;

/* Of the calling process. Where the kernel does not let us go so low (no CAP_SYS_RESOURCE) it
 * becomes one more than what we were born with: whoever is started by another is killed before it.
 */
int oom_score_adj_set(int proc_fd, int value, Err *err) NODISCARD;

/* Finds what execve should get for argv[0] as the OCI specification and runc do: a name with '/'
 * relative to the current directory, else along PATH of `env`. Runs inside the container, as its
 * user. The messages are runc's: exec: "foo": executable file not found in $PATH. ERR_NOT_FOUND or
 * ERR_DENIED. */
int exec_find(const char *name, const char *const *env, char *ret_path, size_t size,
              Err *err) NODISCARD;
