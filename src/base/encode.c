/* encode.c - hexadecimal, base64, random identifiers. */
#include "base/encode.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

void hex_encode(const void *data, size_t n, char *out)
{
    static const char digit[] = "0123456789abcdef";
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[p[i] >> 4];
        out[2 * i + 1] = digit[p[i] & 15];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(StrView s, uint8_t *out, size_t size, size_t *ret_n)
{
    if (s.len % 2)
        return -EINVAL;
    if (s.len / 2 > size)
        return -ENOSPC;
    for (size_t i = 0; i < s.len / 2; i++) {
        int hi = hex_value(s.ptr[2 * i]), lo = hex_value(s.ptr[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    *ret_n = s.len / 2;
    return 0;
}

static const char alphabet[2][65] = {
    [BASE64_STD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

void base64_encode(Base64Kind kind, StrView in, Buf *out)
{
    const char *abc = alphabet[kind];
    const uint8_t *p = (const uint8_t *)in.ptr;
    if (!buf_reserve(out, (in.len + 2) / 3 * 4))
        return;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i;
        uint32_t w = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        buf_putc(out, abc[w >> 18]);
        buf_putc(out, abc[w >> 12 & 63]);
        if (left > 1)
            buf_putc(out, abc[w >> 6 & 63]);
        else if (kind == BASE64_STD)
            buf_putc(out, '=');
        if (left > 2)
            buf_putc(out, abc[w & 63]);
        else if (kind == BASE64_STD)
            buf_putc(out, '=');
    }
}

static int sextet(Base64Kind kind, char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (kind == BASE64_STD ? '+' : '-'))
        return 62;
    return c == (kind == BASE64_STD ? '/' : '_') ? 63 : -1;
}

int base64_decode(Base64Kind kind, StrView in, Buf *out)
{
    uint32_t w = 0;
    unsigned n = 0, pad = 0;
    if (!buf_reserve(out, in.len / 4 * 3 + 3))
        return -ENOMEM;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '\n' || c == '\r')
            continue;
        if (c == '=' && kind == BASE64_STD) {
            pad++;
            continue;
        }
        int v = sextet(kind, c);
        if (v < 0 || pad)
            return -EINVAL;
        w = w << 6 | (uint32_t)v;
        if (++n == 4) {
            char three[3] = { (char)(w >> 16), (char)(w >> 8), (char)w };
            buf_append(out, three, 3);
            n = 0;
            w = 0;
        }
    }
    if (n == 1 || (kind == BASE64_STD && (n + pad) % 4 != 0) || pad > 2)
        return -EINVAL;
    if (n == 2)
        buf_putc(out, (char)(w >> 4));
    if (n == 3) {
        buf_putc(out, (char)(w >> 10));
        buf_putc(out, (char)(w >> 2));
    }
    return out->failed ? -ENOMEM : 0;
}

int random_bytes(void *buf, size_t n)
{
    for (char *p = buf; n;) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

int uuid4(char buf[static UUID_SIZE])
{
    uint8_t b[16];
    int r = random_bytes(b, sizeof b);
    if (r < 0)
        return r;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
    char *p = buf;
    for (size_t g = 0, at = 0; g < sizeof groups; at += groups[g++]) {
        if (g)
            *p++ = '-';
        hex_encode(b + at, groups[g], p);
        p += 2 * groups[g];
    }
    *p = 0;
    return 0;
}

int random_suffix(char *out, size_t n)
{
    static const char abc[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < n;) {
        uint8_t b[32];
        int r = random_bytes(b, sizeof b);
        if (r < 0)
            return r;
        for (size_t j = 0; j < sizeof b && i < n; j++)
            if (b[j] < 243) /* 9 * 27: no bias */
                out[i++] = abc[b[j] % 27];
    }
    return 0;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_.~", c));
}

static void put_escaped(unsigned char c, Buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    const char three[3] = { '%', hex[c >> 4], hex[c & 15] };
    buf_append(out, three, sizeof three);
}

void percent_encode_but(StrView s, const char *plain, Buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (is_unreserved(c) || (c && strchr(plain, c)))
            buf_putc(out, (char)c);
        else
            put_escaped(c, out);
    }
}

void percent_encode(StrView s, Buf *out)
{
    percent_encode_but(s, "", out);
}

void percent_encode_only(StrView s, const char *unsafe, Buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c > ' ' && c < 0x7f && !strchr(unsafe, c))
            buf_putc(out, (char)c);
        else
            put_escaped(c, out);
    }
}

void query_escape(StrView s, Buf *out)
{
    while (s.len) {
        ssize_t space = sv_find_char(s, ' ');
        size_t n = space < 0 ? s.len : (size_t)space;
        percent_encode(sv_head(s, n), out);
        if (space >= 0)
            buf_putc(out, '+');
        s = sv_skip(s, n + (space >= 0));
    }
}
