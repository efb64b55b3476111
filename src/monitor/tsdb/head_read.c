/* head_read.c - a series' samples out of the head: whole chunks, the open one, late samples merged
 * in, deleted ones taken out. */
#include "monitor/tsdb/head.h"

static int read_open(const HeadSeries *s, uint32_t commit, int64_t start, int64_t end,
                     SampleCols *out, Err *err)
{
    bool any = s->histogram || s->open.len;
    if (!any || s->open_min > end || s->max_t < start)
        return 0;
    size_t before = out->len;
    int r = s->histogram ? chunk_decode(histogram_chunk_encoding(s->histogram),
                                        histogram_chunk_bytes(s->histogram), start, end, out, err)
                         : chunk_decode(CHUNK_XOR, sv_n(s->open.w.bytes, s->open.w.len), start, end,
                                        out, err);
    /* What a commit after the snapshot has added is not seen. */
    if (r == 0 && (int32_t)(s->last_commit - commit) > 0 && out->len > before &&
        out->t[out->len - 1] == s->max_t)
        out->len -= MIN((size_t)s->last_n, out->len - before);
    return r;
}

int head_read(Head *h, uint32_t id, uint32_t commit, int64_t start, int64_t end, SampleCols *out,
              Err *err)
{
    size_t from = out->len;
    int r = 0;
    pthread_rwlock_rdlock(&h->lock);
    const HeadSeries *s = head_by_id(h, id);
    int64_t first = MAX(start, h->dropped);
    if (!s)
        r = err_set(err, ERR_GONE, 0, "the series was dropped meanwhile");
    for (uint32_t i = 0; r == 0 && i < s->n_chunks; i++) {
        const HeadChunk *c = s->chunks[i];
        if (c->max >= first && c->min <= end)
            r = chunk_decode((ChunkEncoding)c->encoding, sv_n(c->bytes, c->len), first, end, out,
                             err);
    }
    if (r == 0)
        r = read_open(s, commit, first, end, out, err);
    if (r == 0 && s->late && !cols_merge(out, from, s->late, start, end))
        r = err_nomem(err);
    if (r == 0 && s->deleted)
        intervals_cut(s->deleted, out, from);
    pthread_rwlock_unlock(&h->lock);
    return r;
}
