/* taint.h - taints of nodes and who bears them: pure functions on documents. */
#pragma once

#include "codec/value.h"

/* Makes spec.taints of a Node say what its conditions and spec.unschedulable say: not-ready or
 * unreachable (both effects), memory, disk and PID pressure, network-unavailable, unschedulable.
 * Other taints stay. `now`: for timeAdded. true when something changed. */
bool taints_update(Arena *a, Value *node, Value now);

bool taint_tolerated(const Value *taint, const Value *toleration);

enum { TAINT_STAYS = -1 };
/* When a pod with these tolerations must leave because of NoExecute taints: nanoseconds of real
 * time, 0 for at once, TAINT_STAYS when it may stay. A taint without timeAdded counts from
 * `now_ns`. */
int64_t taints_evict_at(const Value *taints, const Value *tolerations, int64_t now_ns);
