/* remote_read.h - other storages' samples in queries: a querier that asks them over Prometheus'
 * remote read and merges what they say with what the local one has.
 *
 * Queries run on pool threads, requests on the loop: a thread hands its request over and waits for
 * the answer, or until its query is cancelled. */
#pragma once

#include <stdatomic.h>

#include "monitor/config/config.h"
#include "monitor/model/querier.h"
#include "monitor/tsdb/tsdb.h"
#include "net/loop.h"

/* The storages of one configuration. References are taken and given back on the loop. */
typedef struct RemoteReads RemoteReads;

/* *ret is NULL when the configuration names none. */
int remote_reads_new(Loop *l, Config *c, RemoteReads **ret, Err *err) NODISCARD;
RemoteReads *remote_reads_ref(RemoteReads *r);
RemoteReads *remote_reads_unref(RemoteReads *r); /* NULL is fine; always NULL */
/* Gives a reference back on any thread: if it was the last one, the loop ends it. */
RemoteReads *remote_reads_release(RemoteReads *r); /* NULL is fine; always NULL */
/* Ends what is under way, and refuses what comes: before the loop ends. NULL is fine. */
void remote_reads_close(RemoteReads *r);
void remote_reads_metrics(const RemoteReads *r, Buf *out);

/* Since when the database is sure to have everything, for local_start (ms): its oldest block, and
 * some time more, as with Prometheus. `block_ms`: its smallest blocks, 0: 2 h. */
int64_t remote_local_start(Tsdb *db, int64_t block_ms, Arena *a);

enum { REMOTE_WARNINGS_MAX = 16 };

/* Storages that did not answer make warnings, not errors; texts are in `arena`. */
typedef struct RemoteWarnings {
    Arena *arena;
    StrView items[REMOTE_WARNINGS_MAX];
    unsigned len;
} RemoteWarnings;

typedef struct RemoteQuery {
    RemoteReads *reads;        /* borrowed */
    Querier *local;            /* borrowed */
    int64_t local_start;       /* storages without read_recent are asked for what is older */
    const atomic_bool *cancel; /* looked at while waiting */
    RemoteWarnings *warnings;
} RemoteQuery;

/* On any thread, of which it then is. */
int remote_querier_new(const RemoteQuery *q, Querier **ret, Err *err) NODISCARD;
Querier *remote_querier_free(Querier *q); /* not the local one; NULL is fine; always NULL */
