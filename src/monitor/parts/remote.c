/* remote.c - remote storages of the configuration: what is sent to them, and who is asked. */
#include "monitor/parts/internal.h"

typedef struct MetadataWalk {
    RemoteMetadataFn *fn;
    void *ctx;
} MetadataWalk;

static bool pass_metadata(void *ctx, const ScrapeMetadata *m)
{
    MetadataWalk *w = ctx;
    return w->fn(w->ctx, &(RemoteMetadata){ m->metric, m->type, m->help, m->unit });
}

static void walk_metadata(void *ctx, RemoteMetadataFn *fn, void *fn_ctx)
{
    MonitorParts *p = ctx;
    MetadataWalk w = { fn, fn_ctx };
    if (p->scrape)
        scrape_metadata(p->scrape, SV(""), pass_metadata, &w);
}

int parts_remote_start(MonitorParts *p, Err *err)
{
    const RemoteWriteOptions o = { .dir = p->flags.dir, .metadata = walk_metadata, .ctx = p };
    int r = remote_write_new(p->loop, &o, &p->remote_write, err);
    return r < 0 ? r : parts_remote_apply(p, p->config, err);
}

static RemoteReads *replace_reads(MonitorParts *p, RemoteReads *reads)
{
    pthread_mutex_lock(&p->reads_lock);
    RemoteReads *old = p->remote_reads;
    p->remote_reads = reads;
    pthread_mutex_unlock(&p->reads_lock);
    return old;
}

int parts_remote_apply(MonitorParts *p, Config *c, Err *err)
{
    RemoteReads *reads;
    int r = remote_reads_new(p->loop, c, &reads, err);
    if (r == 0 && p->remote_write)
        r = remote_write_apply(p->remote_write, c, err);
    if (r < 0) {
        remote_reads_unref(reads);
        return r;
    }
    remote_reads_unref(replace_reads(p, reads)); /* queries that run keep theirs */
    return 0;
}

RemoteReads *parts_remote_reads(void *ctx)
{
    return remote_reads_ref(((MonitorParts *)ctx)->remote_reads);
}

void parts_remote_stop(MonitorParts *p, int64_t flush_ms)
{
    if (p->remote_write)
        remote_write_flush(p->remote_write, flush_ms);
    remote_reads_close(p->remote_reads);
    remote_reads_unref(replace_reads(p, NULL));
    p->remote_write = remote_write_free(p->remote_write);
}

/* ---- rules ask other storages, too ---- */

typedef struct RuleReads {
    RemoteReads *reads;
    /* As in Prometheus a storage that does not answer leaves a rule with what is here; it is
     * counted in prometheus_remote_read_client_queries_failed_total. */
    RemoteWarnings warnings;
} RuleReads;

int parts_remote_widen(void *ctx, Querier *local, Arena *a, RulesQuerier *ret, Err *err)
{
    MonitorParts *p = ctx;
    *ret = (RulesQuerier){ .q = local };
    pthread_mutex_lock(&p->reads_lock);
    RemoteReads *reads = remote_reads_ref(p->remote_reads);
    pthread_mutex_unlock(&p->reads_lock);
    if (!reads)
        return 0;
    RuleReads *x = arena_new(a, RuleReads);
    int r = x ? 0 : err_nomem(err);
    if (r == 0) {
        *x = (RuleReads){ .reads = reads, .warnings.arena = a };
        const RemoteQuery q = { .reads = reads,
                                .local = local,
                                .local_start = remote_local_start(p->db, p->flags.block_ms, a),
                                .cancel = &p->cancel,
                                .warnings = &x->warnings };
        r = remote_querier_new(&q, &ret->q, err);
        ret->own = x;
    }
    if (r < 0)
        remote_reads_release(reads);
    return r;
}

void parts_remote_close(void *ctx, RulesQuerier *q)
{
    RuleReads *x = q->own;
    if (!x)
        return;
    remote_querier_free(q->q);
    remote_reads_release(x->reads);
}
