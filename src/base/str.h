/* str.h - text as a const view: pointer and length, no terminator promised.
 * A view never outlives the arena or buffer that its comment names. */
#pragma once

#include <string.h>
#include <sys/types.h>

#include "base/macros.h"

typedef struct StrView {
    const char *ptr;
    size_t len;
} StrView;

#define SV(lit) ((StrView){ "" lit, sizeof(lit) - 1 }) /* from a literal */
#define SV_INIT(lit)                                                                               \
    {                                                                                              \
        "" lit, sizeof(lit) - 1                                                                    \
    } /* the same in a static initialiser */
#define SV_NULL    ((StrView){ NULL, 0 })
#define SV_FMT(sv) (int)(sv).len, (sv).ptr /* for %.*s */

static inline StrView sv_n(const void *ptr, size_t len)
{
    return (StrView){ (const char *)ptr, len };
}
static inline StrView sv_cstr(const char *s) /* NULL gives SV_NULL */
{
    return (StrView){ s, s ? strlen(s) : 0 };
}
static inline bool sv_eq(StrView a, StrView b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool sv_empty(StrView a)
{
    return a.len == 0;
}
static inline bool sv_starts(StrView s, StrView prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool sv_ends(StrView s, StrView suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}
static inline StrView sv_skip(StrView s,
                              size_t n) /* without its first n bytes; empty past the end */
{
    if (!s.ptr) /* nothing may be added to NULL, not even 0 */
        return s;
    return n >= s.len ? (StrView){ s.ptr + s.len, 0 } : (StrView){ s.ptr + n, s.len - n };
}
static inline StrView sv_head(StrView s, size_t n) /* at most its first n bytes */
{
    return (StrView){ s.ptr, MIN(n, s.len) };
}

int sv_cmp(StrView a, StrView b);        /* bytewise, like memcmp then length: <0, 0, >0 */
bool sv_eq_nocase(StrView a, StrView b); /* ASCII only */

/* For tables: SipHash-1-3 under a key that each process draws at its start, so that nobody outside
 * can choose texts that fall together. Never stored, sent or used to name something. */
uint64_t sv_hash(StrView s);
uint64_t num_hash(uint64_t n); /* the same for a number */
/* For names and offsets that outlive the process: the same everywhere and always. Whoever knows it
 * can make texts that fall together, so no table is built on it. */
uint64_t sv_hash_stable(StrView s);

ssize_t sv_find(StrView s, StrView needle); /* offset of the first occurrence, or -1 */
/* Offset of the first one, and of the last one, or -1. */
ssize_t sv_find_char(StrView s, char c);
ssize_t sv_rfind_char(StrView s, char c);
StrView sv_trim(StrView s); /* without ASCII white space at both ends */

/* Cuts `s` at the first `sep`: *ret_head is what stands before it, *ret_tail what follows. Without
 * a separator returns false, head is all of `s` and tail is empty. Either output may alias &s. */
bool sv_cut(StrView s, char sep, StrView *ret_head, StrView *ret_tail);

/* Takes the next piece of *rest up to `sep`, advancing it; false when nothing is left. An empty
 * input gives no pieces; "a,,b" gives "a", "", "b"; a separator at the end adds no empty piece. */
bool sv_next(StrView *rest, char sep, StrView *ret_piece);

/* Whole-string decimal conversion; 0, or -EINVAL (not a number) or -ERANGE. */
int sv_to_i64(StrView s, int64_t *ret);
int sv_to_u64(StrView s, uint64_t *ret);
int sv_to_double(StrView s, double *ret); /* JSON/C syntax, no locale */

/* Copies into a fixed buffer with a terminator; false (and an empty string) when it does not fit.
 */
bool sv_copy_cstr(StrView s, char *buf, size_t size);

/* Well-formed, without surrogates and overlong forms (RFC 3629). */
bool sv_is_utf8(StrView s);
