/* seccomp_internal.h - what both kinds of profiles ask of libseccomp. */
#pragma once

#include <seccomp.h>

#include "oci/seccomp_profile.h"

/* A filter to add rules to; the caller's, for seccomp_release(). */
int seccomp_context(uint32_t action, scmp_filter_ctx *ret, Err *err) NODISCARD;
/* What the library or the architecture does not know, and what the default does anyway, is passed
 * over. */
int seccomp_rule(scmp_filter_ctx ctx, uint32_t action, const char *name,
                 const struct scmp_arg_cmp *args, unsigned n, Err *err) NODISCARD;
/* Appends the instructions. */
int seccomp_export(scmp_filter_ctx ctx, Buf *out, Err *err) NODISCARD;
