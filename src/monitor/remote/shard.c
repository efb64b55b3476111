/* shard.c - entries of a shard into messages and back, and other numbers of shards. Part of a step:
 * on a pool thread, but for shards that the loop has. */
#include "base/clock.h"
#include "monitor/remote/internal.h"

enum { KEEP_ENTRIES = 4096 }; /* room that an empty shard keeps */

static void entry_free(Entry *e)
{
    for (Blob *x = e->exemplars, *next; x; x = next) {
        next = x->next;
        free(x);
    }
    if (e->kind != ENTRY_SAMPLE)
        free(e->blob);
}

static void release(RemoteQueue *q, Entry *e)
{
    queue_mark_done(q, e);
    e->series->pending--;
    q->feed.pending[e->kind]--;
    for (const Blob *x = e->exemplars; x; x = x->next)
        q->feed.pending[ENTRY_EXEMPLAR]--;
    entry_free(e);
}

void shard_retire(Shard *s)
{
    RemoteQueue *q = s->queue;
    for (size_t i = 0; i < s->taken; i++)
        release(q, &s->entries.items[i]);
    size_t left = s->entries.len - s->taken;
    if (left)
        memmove(s->entries.items, s->entries.items + s->taken, left * sizeof(Entry));
    s->entries.len = left;
    s->base += s->taken;
    s->taken = 0;
    if (left == 0 && s->entries.cap > KEEP_ENTRIES)
        vec_free(&s->entries);
    atomic_store(&s->state, SHARD_FREE);
}

void shard_free(Shard *s)
{
    vec_foreach (e, &s->entries)
        entry_free(e);
    vec_free(&s->entries);
    buf_free(&s->body);
}

/* Entries of the message that are older than sample_age_limit go. */
static void drop_old(Shard *s)
{
    RemoteQueue *q = s->queue;
    int64_t limit = q->cfg->queue.sample_age_limit;
    if (limit <= 0)
        return;
    int64_t oldest = clock_real_ns() / NSEC_PER_MSEC - limit;
    size_t kept = 0;
    for (size_t i = 0; i < s->entries.len; i++) {
        Entry *e = &s->entries.items[i];
        if (i < s->taken && e->t < oldest) {
            q->feed.dropped[e->kind][DROP_TOO_OLD]++;
            release(q, e);
        } else {
            s->entries.items[kept++] = *e;
        }
    }
    s->base += s->entries.len - kept;
    s->taken -= s->entries.len - kept;
    s->entries.len = kept;
}

/* Builds the message of the first entries; `again` of those that were in it already. */
int shard_build(Shard *s, bool again, Err *err)
{
    RemoteQueue *q = s->queue;
    if (!again)
        s->taken = MIN(s->entries.len, (size_t)q->cfg->queue.max_samples_per_send);
    drop_old(s);
    if (s->taken == 0) {
        shard_retire(s);
        return 0;
    }
    memset(s->counts, 0, sizeof s->counts);
    s->newest = 0;
    for (size_t i = 0; i < s->taken; i++) {
        const Entry *e = &s->entries.items[i];
        s->counts[e->kind]++;
        for (const Blob *x = e->exemplars; x; x = x->next)
            s->counts[ENTRY_EXEMPLAR]++;
        s->newest = MAX(s->newest, e->t);
    }
    int r = encode_entries(&q->encoder, q->v2, s->entries.items, s->taken, &s->body, err);
    if (r < 0) { /* for the next step */
        s->taken = again ? s->taken : 0;
        return r;
    }
    s->waiting_ns = s->entries.len > s->taken ? clock_mono_ns() : 0;
    if (!again)
        s->attempt = 0;
    atomic_store(&s->state, SHARD_READY);
    return 0;
}

/* To q->want_shards, once no message is under way: a series' entries stay in one shard, in order.
 */
void queue_reshard(RemoteQueue *q)
{
    unsigned n = q->want_shards;
    for (unsigned i = 0; i < q->n_shards; i++)
        if (atomic_load(&q->shards[i].state) != SHARD_FREE)
            return;
    Shard *fresh = calloc(n, sizeof *fresh);
    bool ok = fresh != NULL;
    for (unsigned i = 0; ok && i < n; i++)
        fresh[i] = (Shard){ .queue = q, .base = 1 };
    for (unsigned i = 0; ok && i < q->n_shards; i++)
        vec_foreach (e, &q->shards[i].entries) {
            Shard *to = &fresh[e->series->ref % n];
            if (!to->waiting_ns)
                to->waiting_ns = q->shards[i].waiting_ns;
            ok = ok && vec_push(&to->entries, *e);
        }
    for (unsigned i = 0; ok && i < n; i++)
        for (size_t k = 0; k < fresh[i].entries.len; k++)
            fresh[i].entries.items[k].series->last = fresh[i].base + k;
    for (unsigned i = 0; fresh && !ok && i < n; i++)
        vec_free(&fresh[i].entries);
    if (!ok) { /* stays as it is; it is asked for again when it is due */
        free(fresh);
        q->want_shards = q->n_shards;
        return;
    }
    for (unsigned i = 0; i < q->n_shards; i++) {
        vec_free(&q->shards[i].entries);
        buf_free(&q->shards[i].body);
    }
    free(q->shards);
    q->shards = fresh;
    q->n_shards = n;
}
