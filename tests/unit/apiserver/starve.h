/* starve.h - the same request with more and more memory, until it succeeds.
 *
 * Each of the requests is made once with all memory, as a reference, and then with as good as none,
 * a little more each time. Until it succeeds it must be answered with an error that says so and
 * leave the store as it was; when it succeeds, the answer must be the reference's, but for what is
 * never the same twice: what does not fit must not just be missing. */
#pragma once

#include "server_fixture.h"

typedef struct StarveCase {
    /* In `path` and `body`, @ stands for the run: "run0" or "run1". Objects that requests change
     * are called so, and are there for both (starve_make). */
    Ask ask;
    int code;    /* of success */
    bool watch;  /* succeeds with its first event */
    bool varies; /* the answers of two runs need not be the same */
    bool cut;    /* the answer is another's, and may be cut off instead of refused */
} StarveCase;

/* What there is too little of. */
typedef struct Shortage {
    void (*set)(Server *s, size_t n); /* from now on there is so much; 0: enough */
    size_t first, last;
    size_t (*next)(size_t n);
    size_t mute_to; /* up to here it may be that nothing can be sent: the connection just ends */
} Shortage;
extern const Shortage short_arenas; /* a server anew for each limit */

/* Creates an object for each run. */
void starve_make(Server *s, const char *path, const char *body);
void starve(Server *s, const Shortage *of, const StarveCase *cases, size_t n);
