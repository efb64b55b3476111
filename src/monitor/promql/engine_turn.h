/* engine_turn.h - a query's turn to run. Private to promql/. `e` NULL: it is always one's turn. */
#pragma once

#include "monitor/promql/engine.h"
#include "monitor/promql/promql.h"

/* Waits until it is this query's turn; *ret_slot is for engine_leave(). ERR_TIMEOUT at deadline_ns
 * (monotonic; 0: none), ERR_CLOSED when *cancel (may be NULL) is set. */
int engine_enter(PromqlEngine *e, const PromqlQuery *q, int64_t deadline_ns, int *ret_slot,
                 Err *err) NODISCARD;
/* Whether queries are logged, and so their samples counted. */
bool engine_logs(PromqlEngine *e);
/* Ends the turn, counts its stages and logs it; `failed` NULL: it succeeded. */
void engine_leave(PromqlEngine *e, int slot, const PromqlQuery *q, const PromqlStats *stats,
                  const Err *failed);
