/* caps.h - sets of capabilities as bit masks (bit n: capability number n), and giving them to a
 * process. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* What containers get unless told otherwise; the list of docker, containerd and CRI-O. */
uint64_t caps_default(void);
/* Everything that the running kernel knows. */
uint64_t caps_all(void);
/* What this process has, and can therefore give: all, unless the machine is a container itself. */
uint64_t caps_held(void);
/* "NET_ADMIN" or "CAP_NET_ADMIN", any case; ERR_INVALID if unknown. "ALL" gives caps_held(). */
int caps_parse(StrView name, uint64_t *ret_mask, Err *err) NODISCARD;
/* "CAP_CHOWN", or NULL. */
const char *caps_name(unsigned cap);
/* The kubelet's rule: start from `base`, add, then drop; ALL in either list means all. */
int caps_adjust(uint64_t base, const char *const *add, uint32_t add_len, const char *const *drop,
                uint32_t drop_len, uint64_t *ret_mask, Err *err) NODISCARD;

typedef struct OciCaps {
    uint64_t bounding, effective, permitted, inheritable, ambient;
} OciCaps;

/* Becomes the user with exactly these capabilities: bounding set, keep-caps, groups, gid, uid,
 * sets, ambient. Call last before no_new_privs and seccomp. A uid other than 0 keeps permitted and
 * effective only as far as the ambient set says, as the kernel does on exec. */
typedef struct OciUser {
    uint32_t uid, gid;
    const uint32_t *groups; /* supplementary */
    uint32_t groups_len;
    uint32_t umask;   /* UINT32_MAX: leave */
    bool keep_groups; /* the namespace does not let them be changed */
} OciUser;
/* The calling thread becomes that user with these capabilities; there is no way back. ERR_SYS names
 * the step, after which the process is to end. */
int caps_become(const OciUser *user, const OciCaps *caps, Err *err) NODISCARD;
