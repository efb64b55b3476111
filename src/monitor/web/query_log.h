/* query_log.h - DIR/queries.active: the queries that run, so that after a crash it can be seen
 * which ones ran. Private to monitor/web; on the loop's thread.
 *
 * The file is Prometheus': "[", then a slot of 1000 bytes for each query that can run at once, with
 * {"query":"…","timestamp_sec":…} and a comma in its last byte, or zeros. It is mapped, so what was
 * written is in the file also when the process is killed. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct QueryLog QueryLog;

enum { QUERY_LOG_SLOT = 1000 };

/* Names the queries of the last run that did not finish in the log, and begins anew. ERR_SYS. */
int query_log_open(StrView dir, unsigned slots, QueryLog **ret, Err *err) NODISCARD;
QueryLog *query_log_close(QueryLog *l); /* NULL is fine; always NULL */
/* The slot of a query that begins; -1: the log is NULL, or all slots are taken. Text that does not
 * fit is cut. */
int query_log_add(QueryLog *l, StrView query, int64_t now_s);
void query_log_remove(QueryLog *l, int slot); /* -1 is fine */
/* What a file of the last run says, as a JSON array; empty: nothing was under way. */
void query_log_unfinished(StrView file, Buf *out);
