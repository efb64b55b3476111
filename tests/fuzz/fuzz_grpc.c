/* fuzz_grpc.c - gRPC frames, whole and byte by byte: the same messages, each within the limit. The
 * first byte says how large they may be. */
#include "base/macros.h"
#include "net/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Messages, each behind its length and "!", up to the first error. */
static void read_in_steps(const uint8_t *data, size_t size, size_t step, size_t max, Buf *out)
{
    GrpcReader r = { .max = max };
    StrView m;
    for (size_t at = 0; at < size; at += step) {
        Err err = { 0 };
        bool bad = grpc_feed(&r, data + at, MIN(step, size - at), &err) < 0;
        while (grpc_next(&r, &m)) {
            if (m.len > max || ((const uint8_t *)m.ptr)[-5] != 0)
                break; /* behind the error */
            buf_printf(out, "%zu!", m.len);
            buf_sv(out, m);
        }
        if (bad)
            break;
        ASSERT(grpc_left(&r) <= GRPC_FRAME_HEAD + max);
    }
    grpc_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ Buf whole = BUF_INIT, bytes = BUF_INIT;
    GrpcStatus s = { 0 };
    if (!size)
        return 0;
    size_t max = data[0] + 1u;
    read_in_steps(data + 1, size - 1, size, max, &whole);
    read_in_steps(data + 1, size - 1, 1, max, &bytes);
    ASSERT(sv_eq(buf_view(&whole), buf_view(&bytes)));
    grpc_take_header(&s, SV("grpc-message"), sv_n(data, size));
    grpc_take_header(&s, SV("grpc-status"), sv_n(data, size));
    ASSERT(s.known && memchr(s.message, 0, sizeof s.message));
    return 0;
}
