/* JSON: what decodes must encode, and the text must then be stable. */
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ignore_duplicate(void *ctx, StrView path)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    _cleanup_buf_ Buf first = BUF_INIT, second = BUF_INIT;
    const JsonOptions opt = { .on_duplicate = ignore_duplicate };
    _cleanup_arena_ Arena a;
    Value v, again;
    Err err;

    arena_init(&a, 16 << 20);
    if (json_decode(sv_n(data, n), &a, &opt, &v, &err) < 0)
        return 0;
    json_encode(&v, &first);
    ASSERT(json_decode(buf_view(&first), &a, NULL, &again, &err) == 0);
    json_encode(&again, &second);
    ASSERT(sv_eq(buf_view(&first), buf_view(&second)));
    return 0;
}
