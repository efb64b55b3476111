/* buf.h - a growing byte buffer on the heap.
 * Errors are sticky: once an append fails, `failed` is set, later appends do nothing, and the one
 * who takes the bytes checks once at the end. */
#pragma once

#include <stdarg.h>

#include "base/str.h"

typedef struct Buf {
    char *ptr;
    size_t len, cap;
    size_t limit; /* most bytes it may hold; 0: none */
    bool failed;  /* memory or limit exhausted */
} Buf;

#define BUF_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0, 0, false                                                                       \
    }
#define _cleanup_buf_ _cleanup_(buf_free)

void buf_free(Buf *b); /* leaves an empty, usable buffer with the same limit */
static inline void buf_clear(Buf *b)
{
    b->len = 0;
    b->failed = false;
}
bool buf_reserve(Buf *b, size_t more); /* room for `more` bytes behind len; false sets `failed` */
/* All of these copy behind what is there; when memory is short or the limit reached they set
 * `failed` and leave the rest out. */
void buf_append(Buf *b, const void *data, size_t n);
static inline void buf_sv(Buf *b, StrView s)
{
    buf_append(b, s.ptr, s.len);
}
void buf_putc(Buf *b, char c);
void buf_printf(Buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_u64(Buf *b, uint64_t n); /* decimal */
void buf_i64(Buf *b, int64_t n);
void buf_consume(Buf *b, size_t n); /* drops the first n bytes */
char *buf_cstr(Buf *b); /* terminates (not counted in len) and returns ptr; NULL if failed */
static inline StrView buf_view(const Buf *b)
{
    return (StrView){ b->ptr ? b->ptr : "", b->len };
}
