/* wire.h - numbers and texts as Prometheus' files hold them: big-endian words, Go's varints,
 * strings behind their length. Writers append to a Buf, whose failure is sticky; the reader fails
 * softly. */
#pragma once

#include "base/buf.h"

static inline void wire_put_u8(Buf *b, uint8_t v)
{
    buf_putc(b, (char)v);
}
static inline void wire_put_be16(Buf *b, uint16_t v)
{
    v = __builtin_bswap16(v);
    buf_append(b, &v, 2);
}
static inline void wire_put_be32(Buf *b, uint32_t v)
{
    v = __builtin_bswap32(v);
    buf_append(b, &v, 4);
}
static inline void wire_put_be64(Buf *b, uint64_t v)
{
    v = __builtin_bswap64(v);
    buf_append(b, &v, 8);
}
static inline void wire_put_double(Buf *b, double v)
{
    uint64_t u;
    memcpy(&u, &v, 8);
    wire_put_be64(b, u);
}
static inline size_t wire_uvarint(uint8_t out[static 10], uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}
static inline void wire_put_uvarint(Buf *b, uint64_t v)
{
    uint8_t bytes[10];
    buf_append(b, bytes, wire_uvarint(bytes, v));
}
static inline void wire_put_varint(Buf *b, int64_t v)
{
    wire_put_uvarint(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}
static inline void wire_put_text(Buf *b, StrView s)
{
    wire_put_uvarint(b, s.len);
    buf_sv(b, s);
}

typedef struct WireReader {
    const uint8_t *at, *end;
    bool failed; /* past the end, or malformed: everything read since is 0 */
} WireReader;

static inline WireReader wire_reader(StrView s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    return (WireReader){ p, s.len ? p + s.len : p, false };
}
static inline size_t wire_left(const WireReader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}
static inline const uint8_t *wire_take(WireReader *r, size_t n)
{
    if (wire_left(r) < n) {
        r->failed = true;
        return NULL;
    }
    r->at += n;
    return r->at - n;
}
static inline uint8_t wire_u8(WireReader *r)
{
    const uint8_t *p = wire_take(r, 1);
    return p ? *p : 0;
}
static inline uint32_t wire_be32(WireReader *r)
{
    uint32_t v = 0;
    const uint8_t *p = wire_take(r, 4);
    if (p)
        memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}
static inline uint64_t wire_be64(WireReader *r)
{
    uint64_t v = 0;
    const uint8_t *p = wire_take(r, 8);
    if (p)
        memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}
static inline double wire_double(WireReader *r)
{
    uint64_t u = wire_be64(r);
    double v;
    memcpy(&v, &u, 8);
    return v;
}
static inline uint64_t wire_get_uvarint(WireReader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = wire_u8(r);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    r->failed = true;
    return 0;
}
static inline int64_t wire_get_varint(WireReader *r)
{
    uint64_t u = wire_get_uvarint(r);
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}
static inline StrView wire_get_text(WireReader *r)
{
    uint64_t n = wire_get_uvarint(r);
    const uint8_t *p = n <= wire_left(r) ? wire_take(r, (size_t)n) : NULL;
    r->failed |= !p;
    return p ? sv_n(p, (size_t)n) : SV("");
}
