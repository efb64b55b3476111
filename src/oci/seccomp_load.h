/* seccomp_load.h - installs a compiled filter. No libseccomp. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { SECCOMP_FILTER_MAX = 4096 * 8 }; /* the kernel's BPF_MAXINSNS instructions */

/* `filter` is an array of struct sock_filter. Without no_new_privs the caller needs CAP_SYS_ADMIN.
 */
int seccomp_load_bytes(StrView filter, Err *err) NODISCARD;
/* The same with SECCOMP_FILTER_FLAG_…; `ret_listener` (NULL: none is wanted) gets the descriptor
 * that answers what the filter leaves to an agent; it is closed by execve. */
int seccomp_load(StrView filter, unsigned flags, int *ret_listener, Err *err) NODISCARD;
