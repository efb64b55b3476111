/* watchdog.h - when a role that says nothing any more has to be ended: pure decisions on times that
 * the caller reads.
 *
 * A role's loop says WATCHDOG=1 every WATCHDOG_PING_MS. Silence for 10 s in which it burned CPU is
 * a loop that runs in circles; without that it may wait for a disk or for its turn on a busy
 * machine, and has 60 s. All times are of CLOCK_MONOTONIC, which stands still while a machine
 * sleeps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { WATCHDOG_PING_MS = 3000 };

typedef struct Watchdog {
    int64_t heard;             /* of the last word; ns */
    int64_t limit;             /* ns of silence; 0: as above */
    int64_t doubted, cpu_then; /* when the silence became long, and the CPU used by then; ns */
    int64_t extended;          /* until when it may still be starting; ns; 0: nothing was said */
    bool ready;                /* before that, starting up may keep a loop busy: 60 s */
} Watchdog;

/* From a role's start on. */
void watchdog_start(Watchdog *w, int64_t now);
/* A message came from the role, lines as in sd_notify(3): WATCHDOG=1, READY=1,
 * EXTEND_TIMEOUT_USEC=N and WATCHDOG_USEC=N, its own limit, matter here. */
void watchdog_hear(Watchdog *w, StrView text, int64_t now);
/* When to look next; ns. */
int64_t watchdog_due(const Watchdog *w);
/* Is the role to be ended? `cpu` is what it has used since its start, in ns. */
bool watchdog_look(Watchdog *w, int64_t now, int64_t cpu);
