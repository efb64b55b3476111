/* arena.h - one arena per request, with a hard cap, freed as a whole.
 * Not thread-safe: an arena belongs to whoever handles the request. */
#pragma once

#include <stdarg.h>

#include "base/str.h"

typedef struct ArenaChunk ArenaChunk;
typedef struct ArenaEnd ArenaEnd;
typedef struct Arena {
    ArenaChunk *chunk; /* newest first */
    ArenaEnd *ends;    /* what is called before they go */
    char *at, *end;    /* free space in the newest chunk */
    size_t used;       /* bytes of all chunks */
    size_t limit;      /* 0: none */
    bool failed;       /* sticky: something did not fit; what was built is not complete */
} Arena;

enum { ARENA_DEFAULT_LIMIT = 64 * 1024 * 1024 };

/* `limit` bounds the sum of all chunks in bytes; 0 means none. Allocates nothing yet. */
void arena_init(Arena *a, size_t limit);
void arena_free(Arena *a);  /* frees everything; the arena may be used again */
void arena_reset(Arena *a); /* forgets everything but keeps the first chunk for the next event */

/* Zeroed memory, aligned for any type; NULL, and `failed` from then on, once the limit is reached
 * or memory is exhausted. Whoever builds something asks once, at its end, whether the arena failed.
 */
void *arena_alloc(Arena *a, size_t n);
/* Grows the newest allocation in place where possible, else copies. `old` may be NULL. */
void *arena_realloc(Arena *a, void *old, size_t old_size, size_t new_size);
#define arena_new(a, T)      ((T *)arena_alloc((a), sizeof(T)))
#define arena_array(a, T, n) ((T *)arena_alloc_n((a), (n), sizeof(T)))
void *arena_alloc_n(Arena *a, size_t n, size_t size); /* checks for overflow */

/* Copies. On failure the result's ptr is NULL (an empty view copies to a non-NULL empty one). */
StrView arena_sv(Arena *a, StrView s);
char *arena_cstr(Arena *a, StrView s); /* terminated copy; NULL also if `s` holds a NUL byte */
StrView arena_printf(Arena *a, const char *fmt, ...) PRINTF(2, 3); /* terminated as well */
/* The parts one behind the other, terminated as well: for what is made very often. */
StrView arena_join(Arena *a, const StrView *parts, size_t n);
StrView arena_vprintf(Arena *a, const char *fmt, va_list ap);

/* `fn` is called when the arena is freed or reset, the last that was asked for first: for what the
 * request holds elsewhere. False: exhausted, and nothing will be called. */
bool arena_at_end(Arena *a, void (*fn)(void *ctx), void *ctx) NODISCARD;

#define _cleanup_arena_ _cleanup_(arena_free)
