/* WebSocket: any bytes end in messages or an error; whole and byte by byte tell the same messages.
 * How a connection with a bad close frame ends is left open: wslay checks the reason in it only
 * where it comes at once. */
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef struct Story {
    Buf out;
    uint64_t messages, bytes;
} Story;

static void on_message(void *ctx, bool text, const void *data, size_t len)
{
    Story *s = ctx;
    s->messages += 1 + text;
    s->bytes += len;
}

static void on_close(void *ctx, uint16_t code)
{
    (void)ctx;
    (void)code;
}

static void tell(const uint8_t *data, size_t n, size_t step, Story *s)
{
    static const WsEvents events = { on_message, on_close };
    Ws *w;
    int r = ws_new(&s->out, &events, s, &w, NULL);
    ASSERT(r == 0);
    for (size_t i = 0; i < n && r == 0; i += step)
        r = ws_feed(w, data + i, MIN(step, n - i), NULL, NULL);
    ws_free(w);
    buf_free(&s->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Story whole = { 0 }, pieces = { 0 };
    tell(data, n, n ? n : 1, &whole);
    tell(data, n, 1, &pieces);
    ASSERT(whole.messages == pieces.messages && whole.bytes == pieces.bytes);
    return 0;
}
