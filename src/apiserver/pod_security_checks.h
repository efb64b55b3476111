/* pod_security_checks.h - the Pod Security Standards: what of a pod goes beyond a level.
 * Source: Kubernetes 1.35, "Pod Security Standards". */
#pragma once

#include "base/buf.h"
#include "codec/value.h"

typedef enum PodSecurityLevel {
    POD_SECURITY_PRIVILEGED, /* everything is allowed */
    POD_SECURITY_BASELINE,   /* no known way to a higher privilege */
    POD_SECURITY_RESTRICTED, /* hardened */
} PodSecurityLevel;

enum { POD_SECURITY_LATEST = 1 << 30 }; /* as the minor version of Kubernetes whose rules count */

/* Whether the pod, or the template of one, keeps within the level. What does not is appended in
 * Kubernetes' words, and in its order: to `reasons` as "privileged, hostPort", to `details` with
 * what is meant in brackets. Either may be NULL. */
bool pod_security_check(PodSecurityLevel level, unsigned minor, const Value *metadata,
                        const Value *spec, Buf *reasons, Buf *details);
