/* engine.h - what all queries of a server share, those of rules and those of clients: how many run
 * at once, the file that notes which ones run, and how long their stages take. From any thread. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "monitor/model/json_log.h"
#include "monitor/model/timing.h"

typedef struct PromqlEngine PromqlEngine;

/* `slots` queries run at once, further ones wait in the order of their coming. ERR_NOMEM. */
int promql_engine_new(unsigned slots, PromqlEngine **ret, Err *err) NODISCARD;
PromqlEngine *promql_engine_free(PromqlEngine *e); /* without queries. NULL is fine; always NULL */

/* From now on queries that run are noted in `dir`/queries.active. What had not ended when the last
 * run of the program did is appended to `unfinished`, as a JSON array. ERR_SYS, ERR_NOMEM: nothing
 * is noted. */
int promql_engine_note(PromqlEngine *e, StrView dir, Buf *unfinished, Err *err) NODISCARD;

/* From now on each query that has run is a line of `log`, which the engine closes; NULL: none is.
 * `e` may be NULL. */
void promql_engine_log(PromqlEngine *e, JsonLog *log);

typedef struct PromqlEngineStats {
    unsigned running, waiting, slots;
    uint64_t samples; /* read from storage */
    bool log_enabled; /* of promql_engine_log() */
    uint64_t log_failures;
    Timing prepare, queue, inner, sort; /* stages of queries that have run */
} PromqlEngineStats;
void promql_engine_stats(PromqlEngine *e, PromqlEngineStats *ret);
