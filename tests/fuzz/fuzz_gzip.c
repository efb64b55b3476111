/* fuzz_gzip.c - any bytes unpack to the same, whole or in pieces, within the limit. */
#include "base/macros.h"
#include "codec/gzip.h"

enum { MAX_OUT = 1 << 20, SLACK = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    _cleanup_buf_ Buf whole = BUF_INIT, pieces = BUF_INIT;
    StrView in = sv_n((const char *)data, len);
    size_t piece = len ? 1u + data[len - 1] % 64u : 1;
    Gunzip g = { 0 };
    int r = gunzip(in, MAX_OUT, &whole, NULL), p = 0;

    for (; p == 0 && in.len; in = sv_skip(in, MIN(piece, in.len)))
        p = gunzip_feed(&g, sv_head(in, piece), MAX_OUT, &pieces, NULL);
    if (p == 0)
        p = gunzip_finish(&g, NULL);
    gunzip_free(&g);
    ASSERT((r == 0) == (p == 0));
    ASSERT(whole.len <= MAX_OUT + SLACK && pieces.len <= MAX_OUT + SLACK);
    ASSERT(r < 0 || sv_eq(buf_view(&whole), buf_view(&pieces)));
    return 0;
}
