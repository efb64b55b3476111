/* chunk_xor.c - float chunks: times as differences of differences, values by xor (Gorilla). */
#include <errno.h>

#include "monitor/tsdb/chunk.h"

enum { SAMPLE_BITS_MAX = 4 + 64 + XOR_BITS_MAX };

void xor_put(BitWriter *w, XorState *x, double v)
{
    uint64_t diff = double_bits(v) ^ double_bits(x->v);
    x->v = v;
    if (!diff) {
        bits_put(w, 0, 1);
        return;
    }
    unsigned leading = MIN((unsigned)__builtin_clzll(diff), 31u),
             trailing = (unsigned)__builtin_ctzll(diff);
    if (x->leading != 0xff && leading >= x->leading && trailing >= x->trailing) {
        bits_put(w, 2, 2);
        bits_put(w, diff >> x->trailing, 64u - x->leading - x->trailing);
        return;
    }
    unsigned n = 64 - leading - trailing;
    x->leading = (uint8_t)leading;
    x->trailing = (uint8_t)trailing;
    bits_put(w, 3, 2);
    bits_put(w, leading, 5);
    bits_put(w, n & 63, 6);
    bits_put(w, diff >> trailing, n);
}

int xor_chunk_init(XorChunk *c)
{
    *c = (XorChunk){ .x = { .leading = 0xff } };
    if (!bits_reserve(&c->w, 16 * 8))
        return -ENOMEM;
    bits_put(&c->w, 0, 16);
    return 0;
}

static void put_time(BitWriter *w, int64_t dod)
{
    if (dod == 0) {
        bits_put(w, 0, 1);
    } else if (bits_fits(dod, 14)) {
        bits_put(w, 2, 2);
        bits_put(w, (uint64_t)dod, 14);
    } else if (bits_fits(dod, 17)) {
        bits_put(w, 6, 3);
        bits_put(w, (uint64_t)dod, 17);
    } else if (bits_fits(dod, 20)) {
        bits_put(w, 14, 4);
        bits_put(w, (uint64_t)dod, 20);
    } else {
        bits_put(w, 15, 4);
        bits_put(w, (uint64_t)dod, 64);
    }
}

int xor_chunk_append(XorChunk *c, int64_t t, double v)
{
    BitWriter *w = &c->w;
    if (!bits_reserve(w, SAMPLE_BITS_MAX + 80))
        return -ENOMEM;
    if (c->len == 0) {
        bits_put_varint(w, t);
        bits_put(w, double_bits(v), 64);
        c->x.v = v;
    } else {
        int64_t delta = bits_diff(t, c->t);
        if (c->len == 1)
            bits_put_uvarint(w, (uint64_t)delta);
        else
            put_time(w, bits_diff(delta, c->delta));
        c->delta = delta;
        xor_put(w, &c->x, v);
    }
    c->t = t;
    c->len++;
    w->bytes[0] = (uint8_t)(c->len >> 8);
    w->bytes[1] = (uint8_t)c->len;
    return 0;
}

/* ---- reading ---- */

unsigned chunk_samples(StrView b)
{
    return b.len < 2 ? 0 : (unsigned)((uint8_t)b.ptr[0] << 8 | (uint8_t)b.ptr[1]);
}

static inline int64_t get_dod(BitReader *r)
{
    static const uint8_t widths[] = { 0, 14, 17, 20 };
    unsigned ones = bits_get_ones(r, 4);
    if (ones == 4)
        return (int64_t)bits_get_64(r);
    return bits_signed(bits_get(r, widths[ones]), widths[ones]);
}

static int corrupt(Err *err)
{
    return err_set(err, ERR_CORRUPT, 0, "a chunk ends in the middle of a sample");
}

/* The hot loop of every query: room is made once, samples are written in place. */
static int decode_floats(StrView bytes, int64_t start, int64_t end, SampleCols *out, Err *err)
{
    BitReader r;
    unsigned n = chunk_samples(bytes);
    XorState x = { .leading = 0xff };
    int64_t t = 0, delta = 0;
    size_t at = out->len;
    bits_reader(&r, (const uint8_t *)bytes.ptr + MIN(bytes.len, (size_t)2),
                bytes.len < 2 ? 0 : bytes.len - 2);
    /* A sample takes two bits at least: a header that lies makes no room. */
    size_t room = out->len + MIN((size_t)n, bytes.len * 4);
    if (!sample_cols_reserve(out, room))
        return err_nomem(err);
    for (unsigned i = 0; i < n && at < room; i++) {
        if (i == 0) {
            t = bits_get_varint(&r);
            x.v = double_from_bits(bits_get_64(&r));
        } else {
            delta = i == 1 ? (int64_t)bits_get_uvarint(&r)
                           : (int64_t)((uint64_t)delta + (uint64_t)get_dod(&r));
            t = (int64_t)((uint64_t)t + (uint64_t)delta);
            xor_get(&r, &x);
        }
        if (r.failed)
            return corrupt(err);
        if (t > end)
            break;
        out->t[at] = t;
        out->v[at] = x.v;
        at += t >= start;
    }
    if (out->h)
        memset(out->h + out->len, 0, (at - out->len) * sizeof *out->h);
    if (out->st)
        memset(out->st + out->len, 0, (at - out->len) * sizeof *out->st);
    out->len = at;
    return 0;
}

int chunk_decode(ChunkEncoding encoding, StrView bytes, int64_t start, int64_t end, SampleCols *out,
                 Err *err)
{
    switch (encoding) {
    case CHUNK_XOR:
        return decode_floats(bytes, start, end, out, err);
    case CHUNK_HISTOGRAM:
    case CHUNK_FLOAT_HISTOGRAM:
        return chunk_decode_histograms(encoding, bytes, start, end, out, err);
    default:
        return err_set(err, ERR_UNSUPPORTED, 0, "a chunk of encoding %d, which is not known",
                       (int)encoding);
    }
}
