/* propagation.h - whether mounts can go between the host and a container (propagation.c). */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef enum Propagation {
    PROPAGATION_NONE,
    PROPAGATION_FROM_HOST,
    PROPAGATION_BOTH_WAYS
} Propagation;

/* "HostToContainer", "Bidirectional"; anything else: none. */
Propagation propagation_of(StrView field);
/* ERR_DENIED, with the sentence of containerd, when the mount with this number in the text of a
 * /proc/PID/mountinfo does not tell others (or, from the host, is not told) what is mounted below
 * it; ERR_NOT_FOUND when there is no such mount. */
int propagation_check_mount(StrView mountinfo, uint64_t mount_id, const char *path,
                            Propagation want, Err *err) NODISCARD;
/* The same for the mount that `path` lies on. */
int propagation_check(const char *path, Propagation want, Err *err) NODISCARD;
