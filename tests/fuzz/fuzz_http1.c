/* HTTP/1.1 messages of both directions: whole and byte by byte must tell the same story. */
#include "net/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef struct Story {
    uint64_t heads, bytes, completes;
} Story;

static int on_head(void *ctx, Http1 *h)
{
    Story *s = ctx;
    s->heads++;
    s->bytes += http1_method(h).len + http1_target(h).len;
    for (uint32_t i = 0; i < http1_n_headers(h); i++)
        s->bytes += http1_header_at(h, i).name.len + http1_header_at(h, i).value.len;
    return 0;
}

static int on_body(void *ctx, const void *data, size_t len)
{
    ((Story *)ctx)->bytes += len;
    return 0;
}

static int on_complete(void *ctx, Http1 *h)
{
    ((Story *)ctx)->completes += 1 + http1_keep_alive(h);
    return 0;
}

static void tell(Http1Kind kind, const uint8_t *data, size_t n, size_t step, Story *s)
{
    static const Http1Events events = { on_head, on_body, on_complete };
    Http1 *h;
    int made = http1_new(kind, 8192, &events, s, &h, NULL);
    ASSERT(made == 0);
    size_t at = 0;
    while (at < n) {
        ssize_t used = http1_feed(h, data + at, MIN(step, n - at), NULL);
        if (used < 0)
            break;
        at += (size_t)used;
        http1_next(h);
    }
    http1_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    for (int kind = HTTP1_REQUEST; kind <= HTTP1_RESPONSE; kind++) {
        Story whole = { 0 }, pieces = { 0 };
        tell((Http1Kind)kind, data, n, n ? n : 1, &whole);
        tell((Http1Kind)kind, data, n, 1, &pieces);
        ASSERT(whole.heads == pieces.heads && whole.completes == pieces.completes);
    }
    return 0;
}
