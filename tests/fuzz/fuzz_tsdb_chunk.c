/* Chunks: the first byte is the encoding, the rest the chunk. What can be read is written again and
 * read as the same. */
#include "monitor/tsdb/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_floats(const SampleCols *c)
{
    XorChunk x;
    SampleCols again;
    size_t len = MIN(c->len, (size_t)UINT16_MAX);
    if (c->h || xor_chunk_init(&x) < 0)
        return;
    sample_cols_init(&again);
    for (size_t i = 0; i < len; i++)
        ASSERT(xor_chunk_append(&x, c->t[i], c->v[i]) == 0);
    int r = chunk_decode(CHUNK_XOR, sv_n(x.w.bytes, x.w.len), INT64_MIN, INT64_MAX, &again, NULL);
    ASSERT(r == 0 && again.len == len);
    for (size_t i = 0; i < len; i++)
        ASSERT(again.t[i] == c->t[i] && double_bits(again.v[i]) == double_bits(c->v[i]));
    sample_cols_free(&again);
    free(x.w.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SampleCols c;
    Err err = { 0 };
    if (!n || n > 4096)
        return 0;
    sample_cols_init(&c);
    if (chunk_decode((ChunkEncoding)data[0], sv_n(data + 1, n - 1), INT64_MIN, INT64_MAX, &c,
                     &err) == 0)
        check_floats(&c);
    sample_cols_free(&c);
    return 0;
}
