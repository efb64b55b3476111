/* internal.h - private to parts/. */
#pragma once

#include "monitor/parts/parts.h"
#include "monitor/remote/remote_read.h"
#include "monitor/remote/remote_write.h"

struct MonitorParts {
    Loop *loop;
    MonitorPartsOptions opt;
    Config *config;
    ScrapeManager *scrape;     /* NULL until the database is open */
    RemoteWrite *remote_write; /* NULL until the database is open, as the next */
    RemoteReads *remote_reads; /* NULL: the configuration names none */
    Tsdb *db;
    TsdbOptions flags; /* of the database, as the command line has them */
};

/* ---- targets.c: of WebParts, `ctx` is the MonitorParts ---- */

void parts_targets(void *ctx, StrView state, StrView pool, Buf *out);
void parts_scrape_pools(void *ctx, Buf *out);
void parts_target_metadata(void *ctx, const Matcher *ms, unsigned n_ms, StrView metric,
                           int64_t limit, Buf *out);
void parts_metadata(void *ctx, StrView metric, int64_t limit, int64_t per_metric, Buf *out);

/* ---- remote.c ---- */

int parts_remote_start(MonitorParts *p, Err *err) NODISCARD;
int parts_remote_apply(MonitorParts *p, Config *c, Err *err) NODISCARD;
RemoteReads *parts_remote_reads(void *ctx); /* of WebParts */
void parts_remote_free(MonitorParts *p);
