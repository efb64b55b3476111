/* seccomp_load.h - installs a compiled filter. No libseccomp. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { SECCOMP_FILTER_MAX = 4096 * 8 }; /* the kernel's BPF_MAXINSNS instructions */

/* `filter` is an array of struct sock_filter. Without no_new_privs the caller needs CAP_SYS_ADMIN.
 */
int seccomp_load_bytes(StrView filter, Err *err) NODISCARD;
/* The same with SECCOMP_FILTER_FLAG_…; with that of a new listener *ret_listener is its descriptor
 * (close-on-exec, the caller's), else -1. */
int seccomp_install(StrView filter, unsigned flags, int *ret_listener, Err *err) NODISCARD;
