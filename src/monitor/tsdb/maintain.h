/* maintain.h - the plans of maintain.c, for its tests. */
#pragma once

#include "monitor/tsdb/db.h"

/* Which of `all` (by min time) are to be merged next; none: nothing is to do. No references are
 * taken. False: out of memory. */
bool maintain_plan(const Blocks *all, const TsdbOptions *opt, Blocks *ret) NODISCARD;
/* Which blocks are beyond what is to be kept. */
bool maintain_expired(const Blocks *all, const TsdbOptions *opt, uint64_t log_bytes,
                      Blocks *ret) NODISCARD;
