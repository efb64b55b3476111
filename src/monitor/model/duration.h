/* duration.h - Prometheus' durations: "1h30m", "5d", "250ms"; years of 365 days, weeks of 7. */
#pragma once

#include "base/buf.h"

/* 0; -EINVAL: not a duration (units go from large to small, each once); -ERANGE. "0" is one. */
int prom_duration_parse(StrView s, int64_t *ret_ms);
/* Prometheus' sentence about what prom_duration_parse() refused. */
void prom_duration_explain(StrView s, Buf *out);
void prom_duration_format(int64_t ms, Buf *out); /* not negative; "0s" for 0 */
