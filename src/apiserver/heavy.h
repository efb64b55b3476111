/* heavy.h - the parts of a call that are too long for the loop, on another thread.
 *
 * Only so many calls of the server have such parts at a time, on whichever loops, for each holds
 * the trees of what it works on; others wait for a place, the platform's own before all others, and
 * these fairly between users. */
#pragma once

#include "apiserver/call.h"
#include "base/turns.h"

/* Bytes of JSON from which on it is worth it: less is done in a few milliseconds. */
enum { HEAVY_FROM = 64 * 1024 };

typedef struct Heavy Heavy;

/* One call's use of it. All but `work` runs on the call's loop; zeroed at first, then x, work,
 * done, ctx are set. */
struct Heavy {
    ApiCall *x;
    LoopFn *work; /* on another thread: answers go to `answer`; nothing of the server is used but
                     snapshots */
    LoopFn *done; /* after work, or when a place is free that was waited for */
    void *ctx;

    HeavyQueue *queue; /* NULL: it has nothing to do with it (any more) */
    Loop *loop;        /* the call's */
    Turns *turns;      /* while it waits for a place or has one */
    Turn turn;
    bool placed, working;
    bool telling; /* `tell` is on its way, with a place that was waited for */
    LoopTask tell;
    bool gone; /* the peer went away meanwhile: `x` is no more */
    Outcome answer;
    HttpReq *req;
};

HeavyQueue *heavy_queue_new(void); /* NULL: no memory */
/* Once nobody asks any more: waits for what works, so that the store may go; the rest goes with the
 * last call that has a place. Always NULL. */
HeavyQueue *heavy_queue_close(HeavyQueue *q);

/* Takes a place. False: it waits, and `done` is called when it has one. */
bool heavy_enter(Heavy *h);
/* Starts `work`. False: it must be done on the loop. The call lives on until `done`, also when its
 * peer goes away: on_close is not called then, but `gone` is set. */
bool heavy_run(Heavy *h);
/* Gives the place back, or leaves the queue; harmless for one that has neither. Not while it works.
 */
void heavy_leave(Heavy *h);
