/* remote_write.h - sends what the database takes to remote storages: remote write 1.0 and 2.0.
 *
 * Each remote_write section has a queue of its own. It follows the database's log, so that what a
 * storage could not take yet waits on disk and not in memory, and remembers in DIR/remote/ up to
 * where everything was sent, so that also a restart loses nothing. Everything here is of the loop's
 * thread; files are read and messages built on pool threads. */
#pragma once

#include "monitor/config/config.h"
#include "net/http_client.h"
#include "net/loop.h"

typedef struct RemoteWrite RemoteWrite;

/* What targets say about their metrics, for remote write 1.0. */
typedef struct RemoteMetadata {
    StrView metric, type, help, unit;
} RemoteMetadata;
typedef bool RemoteMetadataFn(void *ctx, const RemoteMetadata *m); /* false: enough */

typedef struct RemoteWriteOptions {
    const char *dir; /* of the database; must outlive the RemoteWrite */
    /* Calls fn for each metric of each target; NULL: there is none. */
    void (*metadata)(void *ctx, RemoteMetadataFn *fn, void *fn_ctx);
    void *ctx;
} RemoteWriteOptions;

/* Without queues; apply a configuration. */
int remote_write_new(Loop *l, const RemoteWriteOptions *opt, RemoteWrite **ret, Err *err) NODISCARD;
/* Ends sending at once. What was not sent is sent after the next start. NULL is fine; always NULL.
 */
RemoteWrite *remote_write_free(RemoteWrite *w);
/* Queues whose section and external labels stay as they were go on undisturbed; others end, begin.
 * A new one sends what is appended from now on, or goes on where one of its name and URL ended.
 * On failure everything is as before. */
int remote_write_apply(RemoteWrite *w, Config *c, Err *err) NODISCARD;
const HttpDials *remote_write_dials(const RemoteWrite *w); /* its connections; NULL for NULL */
/* Runs the loop until all that is in the log was sent or refused, or `deadline_ms` have passed, or
 * someone stops the loop. Nothing may be appended any more. */
void remote_write_flush(RemoteWrite *w, int64_t deadline_ms);
void remote_write_metrics(const RemoteWrite *w, Buf *out); /* families of /metrics */
