/* bits.h - streams of bits, most significant first, as Prometheus' chunks are made of.
 *
 * The writer's memory is the caller's: it reserves before each sample (bits_reserve()), so that the
 * single writes need no check. The reader fails softly: past the end it gives zeros and sets
 * `failed`, which its user looks at once per sample. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

typedef struct BitWriter {
    uint8_t *bytes;
    uint32_t len, cap;
    uint8_t free; /* unused low bits of the last byte */
} BitWriter;

/* Room for `bits` more; false: out of memory. */
static inline bool bits_reserve(BitWriter *w, size_t bits)
{
    size_t need = w->len + bits / 8 + 2;
    if (need <= w->cap)
        return true;
    size_t cap = MAX(need, (size_t)w->cap + w->cap / 2);
    uint8_t *p = realloc(w->bytes, cap);
    if (!p)
        return false;
    w->bytes = p;
    w->cap = (uint32_t)cap;
    return true;
}

/* The low n bits of v, n <= 64. */
static inline void bits_put(BitWriter *w, uint64_t v, unsigned n)
{
    unsigned room = w->free;
    if (n <= room) {
        w->free = (uint8_t)(room - n);
        if (n)
            w->bytes[w->len - 1] |= (uint8_t)((v & ((1u << n) - 1)) << w->free);
        return;
    }
    n -= room;
    if (room)
        w->bytes[w->len - 1] |= (uint8_t)(v >> n & ((1u << room) - 1));
    for (; n >= 8; n -= 8)
        w->bytes[w->len++] = (uint8_t)(v >> (n - 8));
    w->free = (uint8_t)(n ? 8 - n : 0);
    if (n)
        w->bytes[w->len++] = (uint8_t)(v << w->free);
}

typedef struct BitReader {
    const uint8_t *at, *end;
    uint64_t bits; /* the next ones, left-aligned */
    unsigned have;
    bool failed;
} BitReader;

static inline void bits_reader(BitReader *r, const uint8_t *p, size_t n)
{
    *r = (BitReader){ .at = p, .end = p + n };
}

/* At least 56 bits where the stream has as many. */
static inline void bits_fill(BitReader *r)
{
    if (r->end - r->at >= 8) {
        uint64_t w;
        memcpy(&w, r->at, 8);
        unsigned take = (64 - r->have) / 8;
        r->bits |= __builtin_bswap64(w) >> r->have;
        r->at += take;
        r->have += take * 8;
        /* What stands beyond `have` was not taken: it comes again. */
        r->bits &= r->have == 64 ? ~0ULL : ~(~0ULL >> r->have);
        return;
    }
    while (r->have <= 56 && r->at < r->end) {
        r->bits |= (uint64_t)*r->at++ << (56 - r->have);
        r->have += 8;
    }
}

/* n <= 56 */
static inline uint64_t bits_get(BitReader *r, unsigned n)
{
    if (!n)
        return 0;
    if (r->have < n) {
        bits_fill(r);
        if (r->have < n) {
            r->failed = true;
            return 0;
        }
    }
    uint64_t v = r->bits >> (64 - n);
    r->bits <<= n;
    r->have -= n;
    return v;
}

static inline uint64_t bits_get_64(BitReader *r)
{
    uint64_t high = bits_get(r, 32);
    return high << 32 | bits_get(r, 32);
}

/* Counts ones up to a zero, which is consumed, at most `max`. */
static inline unsigned bits_get_ones(BitReader *r, unsigned max)
{
    if (r->have < max)
        bits_fill(r);
    unsigned ones = ~r->bits ? (unsigned)__builtin_clzll(~r->bits) : 64;
    ones = MIN(ones, max);
    unsigned used = ones < max ? ones + 1 : max;
    if (r->have < used) {
        r->failed = true;
        return 0;
    }
    r->bits <<= used;
    r->have -= used;
    return ones;
}

/* Two's complement of n bits in Prometheus' range: -(2^(n-1)-1) … 2^(n-1). */
static inline int64_t bits_signed(uint64_t v, unsigned n)
{
    return n && n < 64 && v > 1ULL << (n - 1) ? (int64_t)(v - (1ULL << n)) : (int64_t)v;
}
/* Differences wrap round: a chunk may hold any two times. */
static inline int64_t bits_diff(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x - (uint64_t)y);
}
static inline bool bits_fits(int64_t v, unsigned n)
{
    return v >= -((1LL << (n - 1)) - 1) && v <= 1LL << (n - 1);
}

/* Go's encoding/binary varints, bit-aligned. */
static inline void bits_put_uvarint(BitWriter *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        bits_put(w, v | 0x80, 8);
    bits_put(w, v, 8);
}
static inline void bits_put_varint(BitWriter *w, int64_t v)
{
    bits_put_uvarint(w, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}
static inline uint64_t bits_get_uvarint(BitReader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t b = bits_get(r, 8);
        v |= (b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    r->failed = true;
    return 0;
}
static inline int64_t bits_get_varint(BitReader *r)
{
    uint64_t u = bits_get_uvarint(r);
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}
