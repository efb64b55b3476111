/* metadata.c - what targets say about their metrics, for remote write 1.0: gathered once in a
 * while, and sent in messages of their own, one after the other. */
#include "monitor/remote/internal.h"

static int flush(RemoteQueue *q, Err *err)
{
    MetadataRound *m = &q->metadata;
    Buf packed = BUF_INIT;
    if (!m->in_plain)
        return 0;
    int r = compress_message(&m->plain, &packed, err);
    if (r == 0 && vec_push(&m->counts, m->in_plain)) {
        if (vec_push(&m->messages, packed)) {
            m->in_plain = 0;
            buf_clear(&m->plain);
            return 0;
        }
        m->counts.len--;
    }
    buf_free(&packed);
    return err_nomem(err);
}

static bool gather(void *ctx, const RemoteMetadata *one)
{
    RemoteQueue *q = ctx;
    MetadataRound *m = &q->metadata;
    _cleanup_buf_ Buf key = BUF_INIT;
    encode_metadata(one, &key);
    if (key.failed || map_has(&m->seen, buf_view(&key)))
        return !key.failed;
    if (!map_set(&m->seen, buf_view(&key), m, NULL)) {
        m->failed = true;
        return false;
    }
    buf_sv(&m->plain, buf_view(&key));
    if (++m->in_plain == q->cfg->metadata.max_samples_per_send && flush(q, NULL) < 0)
        m->failed = true;
    return !m->failed;
}

static void end_round(RemoteQueue *q)
{
    MetadataRound *m = &q->metadata;
    vec_foreach (b, &m->messages)
        buf_free(b);
    vec_free(&m->messages);
    vec_free(&m->counts);
    buf_free(&m->plain);
    map_free(&m->seen);
    m->in_plain = m->attempt = 0;
    m->at = 0;
    m->failed = false;
}

static void send_next(RemoteQueue *q);

static void on_retry(void *ctx)
{
    RemoteQueue *q = ctx;
    q->metadata.retry = source_free(q->metadata.retry);
    send_next(q);
}

static void on_answer(void *ctx, const FetchResult *r)
{
    RemoteQueue *q = ctx;
    MetadataRound *m = &q->metadata;
    unsigned n = m->counts.items[m->at];
    m->fetch = NULL;
    if (is_recoverable(q, r)) {
        q->sent.retried[ENTRY_MAX] += n;
        m->attempt++;
        queue_complain(q, "sending metadata failed, trying again", r);
        int64_t wait = next_backoff(q, r, &m->backoff_ms);
        if (loop_add_timer(q->loop, (uint64_t)wait, 0, on_retry, q, &m->retry, NULL) < 0)
            end_round(q);
        return;
    }
    bool ok = r->status / 100 == 2;
    *(ok ? &q->sent.sent[ENTRY_MAX] : &q->sent.failed[ENTRY_MAX]) += n;
    if (ok)
        q->sent.metadata_bytes += m->messages.items[m->at].len;
    else
        queue_complain(q, "the receiver refuses metadata", r);
    m->backoff_ms = 0;
    m->attempt = 0;
    m->at++;
    send_next(q);
}

static void send_next(RemoteQueue *q)
{
    MetadataRound *m = &q->metadata;
    if (m->at == m->messages.len || queue_post(q, buf_view(&m->messages.items[m->at]), m->attempt,
                                               on_answer, q, &m->fetch, NULL) < 0)
        end_round(q);
}

static void on_due(void *ctx)
{
    RemoteQueue *q = ctx;
    MetadataRound *m = &q->metadata;
    const RemoteWriteOptions *o = &q->owner->opt;
    if (m->messages.len || atomic_load(&q->draining)) /* the last round is still under way */
        return;
    o->metadata(o->ctx, gather, q);
    if (m->failed || flush(q, NULL) < 0)
        end_round(q);
    else
        send_next(q);
}

int queue_metadata_start(RemoteQueue *q, Err *err)
{
    uint64_t every = (uint64_t)q->cfg->metadata.send_interval;
    if (q->v2 || !q->cfg->metadata.send || !every || !q->owner->opt.metadata)
        return 0;
    return loop_add_timer(q->loop, every, every, on_due, q, &q->metadata_timer, err);
}

void queue_metadata_stop(RemoteQueue *q)
{
    q->metadata_timer = source_free(q->metadata_timer);
    q->metadata.retry = source_free(q->metadata.retry);
    q->metadata.fetch = fetch_cancel(q->metadata.fetch);
    end_round(q);
}
