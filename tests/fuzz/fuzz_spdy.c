/* SPDY: any bytes end in events or an error; whole and byte by byte must tell the same story. */
#include "net/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef struct Story {
    Spdy *spdy;
    Buf out;
    uint64_t streams, bytes, fins, resets;
} Story;

static void on_stream(void *ctx, uint32_t id, const HttpHeader *headers, uint32_t n)
{
    Story *s = ctx;
    for (uint32_t i = 0; i < n; i++)
        s->bytes += headers[i].name.len + headers[i].value.len;
    s->streams++;
    if (id % 3 == 0)
        spdy_reset(s->spdy, id, 3);
    else
        (void)!spdy_reply(s->spdy, id, NULL);
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t len)
{
    Story *s = ctx;
    s->bytes += len;
    spdy_data(s->spdy, id, data, len, false);
}

static void on_fin(void *ctx, uint32_t id)
{
    ((Story *)ctx)->fins += id;
}

static void on_reset(void *ctx, uint32_t id)
{
    ((Story *)ctx)->resets += id;
}

static void on_goaway(void *ctx)
{
    ((Story *)ctx)->resets++;
}

static int tell(const uint8_t *data, size_t n, size_t step, Story *s)
{
    static const SpdyEvents events = { on_stream, on_data, on_fin, on_reset, on_goaway };
    int r = spdy_new(&s->out, &events, s, &s->spdy, NULL);
    ASSERT(r == 0);
    for (size_t i = 0; i < n && r == 0; i += step)
        r = spdy_feed(s->spdy, data + i, MIN(step, n - i), NULL, NULL);
    spdy_free(s->spdy);
    buf_free(&s->out);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Story whole = { 0 }, pieces = { 0 };
    int a = tell(data, n, n ? n : 1, &whole), b = tell(data, n, 1, &pieces);
    ASSERT(a == b);
    ASSERT(whole.streams == pieces.streams && whole.bytes == pieces.bytes);
    ASSERT(whole.fins == pieces.fins && whole.resets == pieces.resets);
    return 0;
}
