/* pb.h - protobuf's wire format, inline: a remote write has some four fields for each sample. The
 * reader fails softly: at malformed bytes it ends and sets `failed`. */
#pragma once

#include <string.h>

#include "base/buf.h"

typedef struct PbReader {
    const uint8_t *at, *end;
    bool failed;
} PbReader;

typedef struct PbField {
    unsigned number, wire; /* 0: varint, 1: eight bytes, 2: bytes, 5: four bytes */
    uint64_t n;            /* of wire 0, 1 and 5 */
    StrView bytes;         /* of wire 2 */
} PbField;

static inline PbReader pb_reader(StrView s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    return (PbReader){ p, s.len ? p + s.len : p, false };
}

static inline uint64_t pb_varint(PbReader *r)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t b = *r->at++;
        n |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return n;
    }
    r->failed = true;
    r->at = r->end;
    return 0;
}

static inline uint64_t pb_fixed(PbReader *r, unsigned size)
{
    uint64_t n = 0;
    if ((size_t)(r->end - r->at) < size) {
        r->failed = true;
        r->at = r->end;
        return 0;
    }
    for (unsigned i = 0; i < size; i++)
        n |= (uint64_t)r->at[i] << 8 * i;
    r->at += size;
    return n;
}

/* False: the end, or malformed (see failed). */
static inline bool pb_next(PbReader *r, PbField *ret)
{
    if (r->at >= r->end)
        return false;
    uint64_t key = pb_varint(r), n;
    *ret = (PbField){ .number = (unsigned)(key >> 3), .wire = key & 7 };
    switch (ret->wire) {
    case 0:
        ret->n = pb_varint(r);
        break;
    case 1:
        ret->n = pb_fixed(r, 8);
        break;
    case 2:
        n = pb_varint(r);
        if (n > (uint64_t)(r->end - r->at)) {
            r->failed = true;
            return false;
        }
        ret->bytes = sv_n(r->at, n);
        r->at += n;
        break;
    case 5:
        ret->n = pb_fixed(r, 4);
        break;
    default:
        r->failed = true;
    }
    if (key >> 3 == 0 || key >> 3 > 536870911)
        r->failed = true;
    return !r->failed;
}

static inline double pb_double(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline int64_t pb_zigzag(uint64_t n)
{
    return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

/* The other way: how a sint32 or sint64 is written. */
static inline uint64_t pb_to_zigzag(int64_t n)
{
    return (uint64_t)n << 1 ^ (uint64_t)(n >> 63);
}

/* ---- writing ---- */

static inline void pb_put_varint(Buf *out, uint64_t n)
{
    char bytes[10];
    size_t len = 0;
    for (; n >= 0x80; n >>= 7)
        bytes[len++] = (char)(n | 0x80);
    bytes[len++] = (char)n;
    buf_append(out, bytes, len);
}

/* Zero is the default and not written. */
static inline void pb_put_int(Buf *out, unsigned number, uint64_t n)
{
    if (n) {
        pb_put_varint(out, number << 3);
        pb_put_varint(out, n);
    }
}

static inline void pb_put_fixed64(Buf *out, unsigned number, double v)
{
    uint64_t bits;
    char bytes[8];
    memcpy(&bits, &v, sizeof bits);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (char)(bits >> 8 * i);
    if (number)
        pb_put_varint(out, number << 3 | 1);
    buf_append(out, bytes, sizeof bytes);
}

static inline void pb_put_double(Buf *out, unsigned number, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (bits)
        pb_put_fixed64(out, number, v);
}

static inline void pb_put_bytes(Buf *out, unsigned number, StrView s)
{
    pb_put_varint(out, number << 3 | 2);
    pb_put_varint(out, s.len);
    buf_sv(out, s);
}

/* Makes what was appended since `start` the body of a field. */
static inline void pb_close(Buf *out, unsigned number, size_t start)
{
    size_t len = out->len - start, head = 1;
    if (out->failed)
        return;
    for (uint64_t n = len; n >= 0x80; n >>= 7)
        head++;
    for (uint64_t n = number << 3; n >= 0x80; n >>= 7)
        head++;
    head++;
    if (!buf_reserve(out, head))
        return;
    memmove(out->ptr + start + head, out->ptr + start, len);
    out->len = start;
    pb_put_varint(out, number << 3 | 2);
    pb_put_varint(out, len);
    out->len += len;
}
