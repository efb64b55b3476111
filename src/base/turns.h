/* turns.h - whose turn it is: who waits for one of a few places, fairly between clients.
 *
 * The next one is the oldest of the client that has the fewest places, and nobody has more than
 * `share` of them. Links are in what waits, so nothing here fails. One thread at a time. */
#pragma once

#include "base/macros.h"

typedef struct Turn {
    uint8_t client[16]; /* whose it is: an address, a hash of a name */
    bool left;          /* nobody waits for it any more: it comes at once and counts for nobody */
    struct Turn *next, **link; /* among those that wait, or those that have a place */
} Turn;

typedef struct Turns {
    Turn *waiting, **tail; /* the oldest first */
    Turn *active;
    unsigned n_waiting, n_active;
    unsigned places; /* 0: any number */
    unsigned share;  /* places of one client; 0: all */
} Turns;

void turns_init(Turns *q, unsigned places, unsigned share);
/* Behind all that wait; `client` and `left` are set. It must not move until it is out again. */
void turns_add(Turns *q, Turn *t);
/* Gives a place to the one whose turn it is: turns_end() when it needs it no more. NULL: nobody
 * waits, or none may have one now. */
Turn *turns_next(Turns *q);
/* Out of the queue, or off its place. */
void turns_drop(Turns *q, Turn *t); /* one that waits */
void turns_end(Turns *q, Turn *t);  /* one that has a place */
