#include "monitor/remote/remote_batch.h"

#include "monitor/remote/internal.h"

struct RemoteBatch {
    SeriesTable series;
    VEC(Entry) entries;
    Buf metadata; /* fields of a 1.0 message */
    Encoder encoder;
};

RemoteBatch *remote_batch_new(void)
{
    RemoteBatch *b = calloc(1, sizeof *b);
    if (b)
        series_table_init(&b->series);
    return b;
}

RemoteBatch *remote_batch_free(RemoteBatch *b)
{
    if (!b)
        return NULL;
    series_table_free(&b->series);
    vec_free(&b->entries);
    buf_free(&b->metadata);
    encoder_free(&b->encoder);
    free(b);
    return NULL;
}

int remote_batch_add(RemoteBatch *b, Labels l, int64_t t, double v, const MetricMetadata *m,
                     Err *err)
{
    const ConfigRemoteWrite plain = { 0 };
    uint64_t ref = b->entries.len + 1;
    int r = series_table_add(&b->series, ref, l, 0, &plain, (Labels){ 0 }, err);
    if (r < 0)
        return r;
    SentSeries *s = series_table_get(&b->series, ref);
    if (m && (r = series_set_metadata(s, m, err)) < 0)
        return r;
    const Entry e = { .series = s, .t = t, .v = v, .kind = ENTRY_SAMPLE };
    return vec_push(&b->entries, e) ? 0 : err_nomem(err);
}

int remote_batch_describe(RemoteBatch *b, const RemoteMetadata *m, Err *err)
{
    encode_metadata(m, &b->metadata);
    return b->metadata.failed ? err_nomem(err) : 0;
}

int remote_batch_encode(RemoteBatch *b, bool v2, Buf *out, Err *err)
{
    int r = encode_entries(&b->encoder, v2, b->entries.items, b->entries.len, out, err);
    if (r < 0 || v2 || !b->metadata.len)
        return r;
    buf_sv(&b->encoder.plain, buf_view(&b->metadata));
    return compress_message(&b->encoder.plain, out, err);
}
