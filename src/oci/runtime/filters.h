/* filters.h - compiled system call filters are kept: libseccomp takes 20 ms for a usual profile,
 * many times what all else of a start costs.
 *
 * ROOT/seccomp~ holds a fixed number of files, each with the text of a profile and what it was
 * compiled to. One is used only where the whole text is the same, and the kernel, the library and
 * the program are; whatever else is in it, it is compiled anew. The folder is its owner's alone. */
#pragma once

#include "oci/seccomp_profile.h"

/* The same as seccomp_profile_compile(); `dir` is ROOT/ID, open. What cannot be kept is compiled.
 */
int filters_compile(int dir, const Value *profile, SeccompFilter *ret, Err *err) NODISCARD;
