/* str.c - text views: comparing, searching, cutting, numbers, UTF-8. */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

int sv_cmp(StrView a, StrView b)
{
    size_t n = MIN(a.len, b.len);
    int r = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return r ? r : (a.len > b.len) - (a.len < b.len);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool sv_eq_nocase(StrView a, StrView b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

uint64_t sv_hash_stable(StrView s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a, then mixed: its low bits alone are weak */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    return h * UINT64_C(0x9e3779b97f4a7c15);
}

ssize_t sv_find(StrView s, StrView needle)
{
    if (needle.len == 0)
        return 0;
    const char *p = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return p ? p - s.ptr : -1;
}

ssize_t sv_find_char(StrView s, char c)
{
    const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return p ? p - s.ptr : -1;
}

ssize_t sv_rfind_char(StrView s, char c)
{
    const char *p = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return p ? p - s.ptr : -1;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

StrView sv_trim(StrView s)
{
    while (s.len && is_space(s.ptr[0]))
        s.ptr++, s.len--;
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool sv_cut(StrView s, char sep, StrView *ret_head, StrView *ret_tail)
{
    ssize_t at = sv_find_char(s, sep);
    if (at < 0) {
        *ret_head = s;
        *ret_tail = sv_skip(s, s.len);
        return false;
    }
    *ret_head = sv_head(s, (size_t)at);
    *ret_tail = sv_skip(s, (size_t)at + 1);
    return true;
}

bool sv_next(StrView *rest, char sep, StrView *ret_piece)
{
    if (rest->len == 0)
        return false;
    StrView all = *rest;
    sv_cut(all, sep, ret_piece, rest);
    return true;
}

int sv_to_u64(StrView s, uint64_t *ret)
{
    if (s.len == 0)
        return -EINVAL;
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n))
            return -ERANGE;
    }
    *ret = n;
    return 0;
}

int sv_to_i64(StrView s, int64_t *ret)
{
    bool neg = s.len && s.ptr[0] == '-';
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = sv_skip(s, 1);
    uint64_t n;
    int r = sv_to_u64(s, &n);
    if (r < 0)
        return r;
    if (n > (uint64_t)INT64_MAX + (neg ? 1 : 0))
        return -ERANGE;
    *ret = neg ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

int sv_to_double(StrView s, double *ret)
{
    char text[512];
    if (s.len == 0 || is_space(s.ptr[0]) || !sv_copy_cstr(s, text, sizeof text))
        return -EINVAL;
    char *end;
    errno = 0;
    double d = strtod(text, &end); /* programs of the house never leave the "C" locale */
    if (*end || end == text)
        return -EINVAL;
    if (errno == ERANGE && (d > 1 || d < -1))
        return -ERANGE;
    *ret = d;
    return 0;
}

bool sv_copy_cstr(StrView s, char *buf, size_t size)
{
    if (size == 0)
        return false;
    if (s.len >= size || (s.len && memchr(s.ptr, 0, s.len))) {
        buf[0] = 0;
        return false;
    }
    if (s.len)
        memcpy(buf, s.ptr, s.len);
    buf[s.len] = 0;
    return true;
}

/* Length of the well-formed sequence (RFC 3629) at p, or 0. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || /* overlong, surrogates */
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))   /* overlong, > U+10FFFF */
        return 0;
    return n;
}

static bool is_ascii_word(const unsigned char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return (w & UINT64_C(0x8080808080808080)) == 0;
}

bool sv_is_utf8(StrView s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    for (size_t i = 0, n; i < s.len; i += n) {
        n = s.len - i >= 8 && is_ascii_word(p + i) ? 8 : utf8_len(p + i, s.len - i);
        if (!n)
            return false;
    }
    return true;
}
