/* fuzz_remote_message.c - messages of remote write, in both versions; what could be read of a
 * histogram is written and read again. */
#include "monitor/remote/remote_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const Histogram *h, int64_t t)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    _cleanup_arena_ Arena a;
    RemoteHistogram got;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    if (histogram_validate(h, NULL) == 0) {
        remote_histogram_encode(h, t, &b);
        if (!b.failed)
            ASSERT(remote_histogram_decode(buf_view(&b), &a, &got, NULL) == 0 && got.t == t);
    }
}

static void read_all(StrView bytes, bool v2)
{
    RemoteReader r;
    const RemoteSeries *s;
    int got = remote_reader_init(&r, bytes, v2, NULL);
    while (got == 0 && (got = remote_reader_next(&r, &s, NULL)) > 0) {
        for (size_t i = 0; i < s->histograms.len; i++)
            again(s->histograms.items[i].h, s->histograms.items[i].t);
        for (unsigned i = 1; !s->labels_wrong && i < s->labels.len; i++)
            ASSERT(sv_cmp(s->labels.items[i - 1].name, s->labels.items[i].name) < 0);
        got = 0;
    }
    remote_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    read_all(sv_n(data + 1, size - 1), data[0] & 1);
    return 0;
}
