/* process_stats.h - what this process uses, under the names that all exporters give it. */
#pragma once

#include "base/metrics.h"

typedef struct ProcessStats {
    double cpu_s; /* user and system */
    uint64_t open_fds, max_fds;
    double virtual_bytes, virtual_max_bytes; /* the latter -1: no limit */
    double resident_bytes;
} ProcessStats;

/* What cannot be read is 0. */
void process_stats(ProcessStats *ret);

/* Registers process_cpu_seconds_total and its kin. */
void process_stats_register(Metrics *m);
