/* memory_engine.h - the tests' engine: keeps everything in memory, across openings, and fails,
 * stalls or tears on command. */
#pragma once

#include <pthread.h>

#include "base/vec.h"
#include "store/engine.h"

typedef enum MemoryFault {
    MEMORY_FINE,
    MEMORY_FAIL, /* submits fail with `sys`; nothing is kept */
    MEMORY_TEAR, /* the next submit is kept by half and fails, as everything after it, until the
                  * next opening, which cuts it off */
} MemoryFault;

typedef struct MemoryBatch {
    StoreEvent events[STORE_OPS_MAX * 8];
    size_t n;
    uint64_t rev;
    bool torn;
} MemoryBatch;

/* One for each test: reset by memory_engine_reset(). */
typedef struct MemoryDisk {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    MemoryFault fault;
    int sys;
    bool puts_only; /* MEMORY_FAIL spares batches of deletions */
    bool stalled;   /* submits wait */
    unsigned waiting, opened, submits;
    VEC(MemoryBatch *) batches;
} MemoryDisk;

extern MemoryDisk memory_disk;
extern const StoreEngine engine_memory;

void memory_engine_reset(void);
void memory_engine_stall(bool on); /* on: returns once a submit waits or later ones will */
void memory_engine_wait(void);     /* until a submit waits */
