/* buf.c - a growing byte buffer with sticky failure. */
#include "base/buf.h"

#include <stdio.h>

void buf_free(Buf *b)
{
    free(b->ptr);
    *b = (Buf){ .limit = b->limit };
}

bool buf_reserve(Buf *b, size_t more)
{
    if (b->failed)
        return false;
    size_t need;
    if (__builtin_add_overflow(b->len, more, &need) || (b->limit && need > b->limit)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap * 2 : 256;
    if (cap < need)
        cap = need;
    char *p = realloc(b->ptr, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->ptr = p;
    b->cap = cap;
    return true;
}

void buf_append(Buf *b, const void *data, size_t n)
{
    if (n && buf_reserve(b, n)) {
        memcpy(b->ptr + b->len, data, n);
        b->len += n;
    }
}

void buf_putc(Buf *b, char c)
{
    if (b->len < b->cap && !b->failed)
        b->ptr[b->len++] = c;
    else
        buf_append(b, &c, 1);
}

void buf_printf(Buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0)
        b->failed = true;
    else if (buf_reserve(b, (size_t)n + 1)) {
        vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void buf_u64(Buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10));
    buf_append(b, digits + at, sizeof digits - at);
}

void buf_i64(Buf *b, int64_t n)
{
    if (n < 0)
        buf_putc(b, '-');
    buf_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void buf_consume(Buf *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len -= n;
    if (b->len)
        memmove(b->ptr, b->ptr + n, b->len);
}

char *buf_cstr(Buf *b)
{
    if (!buf_reserve(b, 1))
        return NULL;
    b->ptr[b->len] = 0;
    return b->ptr;
}
