/* attempt.h - how long a set of replicas waits before its next pod when its pods are refused. */
#pragma once

#include "base/str.h"

enum {
    ATTEMPT_BASE_MS = 1000,       /* after the first refused pod; doubled with each more … */
    ATTEMPT_MAX_MS = 300 * 1000,  /* … up to here, as a kubelet backs off containers */
    ATTEMPT_YOUNG_MS = 60 * 1000, /* a pod that failed before this age was refused */
    ATTEMPT_RESET_MS = 2 * ATTEMPT_MAX_MS, /* without an attempt for so long all is forgotten */
};

typedef enum AttemptOutcome {
    ATTEMPT_OPEN,    /* not known yet: the pod is pending */
    ATTEMPT_TAKEN,   /* a node runs it or has run it for a while */
    ATTEMPT_REFUSED, /* failed at once */
} AttemptOutcome;

typedef struct Attempt { /* one pod of the set */
    int64_t created_ns;
    AttemptOutcome outcome;
} Attempt;

typedef struct AttemptDelay {
    unsigned refused; /* attempts in a row that no node took; 0: nothing to wait for */
    uint64_t wait_ms; /* from now */
} AttemptDelay;

/* Judged by the pods alone, so that a restart forgets nothing. Pods made in the same second are one
 * attempt. Sorts the attempts. O(n log n). */
AttemptDelay attempt_delay(Attempt *attempts, size_t n, int64_t now_ns);
