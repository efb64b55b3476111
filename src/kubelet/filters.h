/* filters.h - system call filters of the default profile, each compiled once (filters.c). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { FILTERS_MAX = 16 /* kept, of some 10 kB each; then the one not used for longest goes */ };

typedef struct FilterCache FilterCache;
/* As seccomp_profile_default(): appends the filter for a bounding set of capabilities. */
typedef int FilterCompileFn(uint64_t caps, Buf *out, Err *err);

/* compile NULL: seccomp_profile_default(). The caller frees it when no thread uses it any more. */
int filter_cache_new(FilterCompileFn *compile, FilterCache **ret, Err *err) NODISCARD;
FilterCache *filter_cache_free(FilterCache *c);
/* The filter, copied into the arena. From any thread. ERR_NOMEM, or what the compiler says: then
 * nothing is kept. */
int filter_cache_get(FilterCache *c, uint64_t caps, Arena *a, StrView *ret, Err *err) NODISCARD;
