/* seccomp_profile.h - compiles system call filters to BPF, with libseccomp. Only stage0 and the OCI
 * runtime link this; what loads the bytes has seccomp_load.h. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "codec/value.h"

/* The default profile (RuntimeDefault): an allow-list, everything else fails with EPERM (ENOSYS for
 * clone3 where namespaces may not be made, so that the C library falls back to clone). `caps` is
 * the container's bounding set: it opens the calls that a capability guards. Appends an array of
 * struct sock_filter to `out`. */
int seccomp_profile_default(uint64_t caps, Buf *out, Err *err) NODISCARD;

/* A profile in the JSON of the OCI runtime specification's linux.seccomp. */
typedef struct SeccompFilter {
    Buf bytes;      /* struct sock_filter; the caller's, for buf_free() */
    unsigned flags; /* SECCOMP_FILTER_FLAG_…, for seccomp_install() */
    bool notify;    /* some call asks a listener: seccomp_install() gives its descriptor */
} SeccompFilter;
/* It is checked completely: ERR_INVALID "seccomp: syscalls[3].action: …", with the sentences of
 * runc. Where the profile denies by default, calls that are newer than all that it names fail with
 * ENOSYS instead, as under runc, so that a C library falls back to older ones. */
int seccomp_profile_compile(const Value *profile, SeccompFilter *ret, Err *err) NODISCARD;

/* The same from text, which is what files of seccomp "Localhost" profiles hold: appends the
 * instructions. Notifications and flags, which pods have not, are ERR_UNSUPPORTED. */
int seccomp_profile_json(StrView text, Buf *out, Err *err) NODISCARD;

/* What linux.seccomp may say, for `features`: sorted names, the last one is NULL. */
const char *const *seccomp_action_names(void);
const char *const *seccomp_operator_names(void);
const char *const *seccomp_arch_names(void);
const char *const *seccomp_flag_names(void);
/* "2.5.4" */
void seccomp_library_version(char ret[static 32]);
