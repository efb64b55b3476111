/* confine.h - what a role cannot do any more once it has begun: write, make or remove files outside
 * of the folder it is given, run a program, and use those parts of the kernel that no role needs
 * (mounts, namespaces, tracing, keys, bpf, modules …). */
#pragma once

#include "base/err.h"

/* Before any thread is made. `writable` is the one folder that stays writable; NULL: none. Landlock
 * (kernel 5.13) is done without where the kernel has none, which the log says; the filter of system
 * calls is not. For the rest of the process's life, and its children's. */
int confine(const char *writable, Err *err) NODISCARD;
