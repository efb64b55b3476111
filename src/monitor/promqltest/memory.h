/* memory.h - a small storage in memory for test scripts and benchmarks. */
#pragma once

#include "monitor/model/querier.h"

typedef struct Memory Memory;
typedef struct MemorySeries MemorySeries;

Memory *memory_new(void); /* NULL: out of memory */
Memory *memory_free(Memory *m);
void memory_clear(Memory *m);
/* The series of these labels (copied when new); NULL: out of memory. */
MemorySeries *memory_series(Memory *m, Labels l);
/* Appends; times go up. Histograms get the hints that chunks would give them: within a run of one
 * layout that only grows, all but the first are known not to be resets. */
int memory_append(Memory *m, MemorySeries *s, int64_t t, double v, const Histogram *h, int64_t st,
                  Err *err) NODISCARD;
/* The newest sample; false: there is none. The histogram is the storage's. */
bool memory_last(const MemorySeries *s, int64_t *ret_t, double *ret_v, const Histogram **ret_h);
Querier *memory_querier(Memory *m); /* of the storage; any number of sets at once, one thread */
