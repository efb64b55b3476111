/* admit.h - admission: the chain of checks and changes that a write passes.
 *
 * A chain runs synchronously until a link has to wait; the call goes on when that is over. */
#pragma once

#include "apiserver/call.h"

typedef enum AdmitPhase {
    ADMIT_MUTATING,
    ADMIT_VALIDATING,
    ADMIT_DELETING,
    ADMIT_PHASE_MAX
} AdmitPhase;
typedef enum AdmitResult { ADMIT_OK, ADMIT_REFUSED, ADMIT_WAIT } AdmitResult;

typedef struct AdmitChain {
    ApiCall *x;
    Value *obj;       /* when deleting: as it is marked, if it stays for a while */
    const Value *old; /* NULL on create */
    LoopFn *resume;   /* called on the loop when a link that waited can go on: admit_run() again */
    void *ctx;

    uint64_t ns_rev; /* of the namespace that something new may be made in; 0: not asked */

    AdmitPhase phase;
    unsigned at;    /* the link that is next */
    unsigned tries; /* of that link */
    Source *timer;
} AdmitChain;

/* Puts the chain before the first link of a phase. */
void admit_begin(AdmitChain *c, AdmitPhase phase);
/* Goes on from the link that is next. ADMIT_REFUSED: the call has been answered. ADMIT_WAIT: resume
 * is called when it is worth another admit_run(), unless admit_stop() comes first. */
AdmitResult admit_run(AdmitChain *c);
/* Ends the waiting; harmless when nothing waits. */
void admit_stop(AdmitChain *c);
