/* seccomp_profile.h - compiles system call filters to BPF, with libseccomp. Only stage0 links this;
 * stage1 loads the bytes (seccomp_load.h). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "codec/value.h"

/* The default profile (RuntimeDefault): an allow-list, everything else fails with EPERM (ENOSYS for
 * clone3 where namespaces may not be made, so that the C library falls back to clone). `caps` is
 * the container's bounding set: it opens the calls that a capability guards. Appends an array of
 * struct sock_filter to `out`. */
int seccomp_profile_default(uint64_t caps, Buf *out, Err *err) NODISCARD;

/* A profile in the JSON of the OCI runtime specification's linux.seccomp, which also is what files
 * of seccomp "Localhost" profiles hold. `text` is checked completely. ERR_INVALID, ERR_UNSUPPORTED.
 */
int seccomp_profile_json(StrView text, Buf *out, Err *err) NODISCARD;

typedef struct SeccompInfo {
    unsigned flags; /* SECCOMP_FILTER_FLAG_…, for seccomp_load() */
    bool notifies;  /* an agent has to listen */
} SeccompInfo;
/* The same profile as a document, for a container that may have an agent and flags. */
int seccomp_profile_value(const Value *doc, Buf *out, SeccompInfo *ret, Err *err) NODISCARD;
