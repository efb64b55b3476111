/* chunk.h - chunks: some hundred samples of one series, compressed, in Prometheus' encodings.
 *
 * XOR holds floats; the two histogram encodings hold histograms of one layout (schema, zero
 * threshold, spans, custom bounds) between two counter resets. What an open chunk cannot take
 * begins a new one. Source: tsdb/docs/format/chunks.md. */
#pragma once

#include "monitor/model/sample.h"
#include "monitor/tsdb/bits.h"

typedef enum ChunkEncoding {
    CHUNK_NONE,
    CHUNK_XOR,
    CHUNK_HISTOGRAM, /* whole-number counts */
    CHUNK_FLOAT_HISTOGRAM,
    CHUNK_ENCODING_MAX
} ChunkEncoding;

enum {
    CHUNK_SAMPLES = 240, /* a float chunk is cut there… */
    CHUNK_BYTES = 1024,  /* …and a histogram chunk there, once it has some samples */
    CHUNK_HISTOGRAMS_MIN = 10,
    CHUNK_BYTES_MAX = 64 << 20, /* what a reader believes */
};

/* Where a value coded by xor stands: of floats, sums and counts. */
typedef struct XorState {
    double v;
    uint8_t leading, trailing; /* leading 0xff: none yet */
} XorState;

/* An open float chunk. */
typedef struct XorChunk {
    BitWriter w;
    uint16_t len;
    XorState x;
    int64_t t, delta;
} XorChunk;

int xor_chunk_init(XorChunk *c); /* 0 or -ENOMEM */
int xor_chunk_append(XorChunk *c, int64_t t, double v);

/* An open histogram chunk of either kind. */
typedef struct HistogramChunk HistogramChunk;

/* Begins with `first`; `encoding` follows from first->integer. NULL: out of memory. */
HistogramChunk *histogram_chunk_new(int64_t t, const Histogram *first);
/* 1: appended. 0: it does not fit this chunk (another layout or kind, a reset, the chunk is full).
 * Negative: out of memory. */
int histogram_chunk_append(HistogramChunk *c, int64_t t, const Histogram *h);
HistogramChunk *histogram_chunk_free(HistogramChunk *c); /* NULL is fine; always NULL */
ChunkEncoding histogram_chunk_encoding(const HistogramChunk *c);
StrView histogram_chunk_bytes(const HistogramChunk *c);
unsigned histogram_chunk_len(const HistogramChunk *c);
const Histogram *histogram_chunk_last(const HistogramChunk *c); /* good until the next append */

/* Number of samples in a chunk's header. */
unsigned chunk_samples(StrView bytes);
/* Appends the samples of start <= t <= end to `out`, whose times go up. ERR_CORRUPT; ERR_NOMEM. */
int chunk_decode(ChunkEncoding encoding, StrView bytes, int64_t start, int64_t end, SampleCols *out,
                 Err *err) NODISCARD;

/* chunk_histogram.c, for chunk_decode(). */
int chunk_decode_histograms(ChunkEncoding encoding, StrView bytes, int64_t start, int64_t end,
                            SampleCols *out, Err *err) NODISCARD;

/* The coding of a value against the one before, shared by both kinds. */
enum { XOR_BITS_MAX = 1 + 1 + 5 + 6 + 64 };
void xor_put(BitWriter *w, XorState *x, double v);
static inline double xor_get(BitReader *r, XorState *x)
{
    if (!bits_get(r, 1))
        return x->v;
    if (bits_get(r, 1)) {
        x->leading = (uint8_t)bits_get(r, 5);
        unsigned n = (unsigned)bits_get(r, 6);
        n = n ? n : 64;
        if (x->leading + n > 64) {
            r->failed = true;
            return 0;
        }
        x->trailing = (uint8_t)(64 - x->leading - n);
    } else if (x->leading == 0xff) {
        r->failed = true;
        return 0;
    }
    unsigned n = 64u - x->leading - x->trailing;
    uint64_t bits = n > 56 ? bits_get(r, n - 32) << 32 | bits_get(r, 32) : bits_get(r, n);
    x->v = double_from_bits(double_bits(x->v) ^ bits << x->trailing);
    return x->v;
}
