/* query_log.h - DIR/queries.active: the queries that run, so that after a crash it can be seen
 * which ones ran. Private to promql/; one thread at a time.
 *
 * The file is Prometheus': "[", then a slot of 1000 bytes for each query that can run at once, with
 * {"query":"…","timestamp_sec":…} and a comma in its last byte, or zeros. It is mapped, so what was
 * written is in the file also when the process is killed. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct QueryLog QueryLog;

enum { QUERY_LOG_SLOT = 1000 };

/* Begins anew; what the last run did not finish is appended to `unfinished`. ERR_SYS, ERR_NOMEM. */
int query_log_open(StrView dir, unsigned slots, Buf *unfinished, QueryLog **ret,
                   Err *err) NODISCARD;
QueryLog *query_log_close(QueryLog *l); /* NULL is fine; always NULL */
/* The slot of a query that begins; -1: the log is NULL, or all slots are taken. Text that does not
 * fit is cut. */
int query_log_add(QueryLog *l, StrView query, int64_t now_s);
void query_log_remove(QueryLog *l, int slot); /* -1 is fine */
/* Appends what a file of the last run says, as a JSON array; nothing where none was under way. */
void query_log_unfinished(StrView file, Buf *out);
