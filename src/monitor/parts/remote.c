/* remote.c - remote storages of the configuration: what is sent to them. */
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
    return r < 0 ? r : remote_write_apply(p->remote_write, p->config, err);
}

void monitor_parts_flush(MonitorParts *p, int64_t deadline_ms)
{
    p->scrape = scrape_manager_free(p->scrape);
    remote_write_flush(p->remote_write, deadline_ms);
}
