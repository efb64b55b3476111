/* attempt.c - exponential back-off for replicas that fail at once.
 *
 * A node that refuses a pod makes it fail within milliseconds, and a controller that replaces it
 * as fast would fill the store. What counts are the attempts since a node last took a pod. */
#include "controller/attempt.h"

#include <stdlib.h>

#include "base/clock.h"

static int youngest_first(const void *a, const void *b)
{
    int64_t x = ((const Attempt *)a)->created_ns, y = ((const Attempt *)b)->created_ns;
    return (x < y) - (x > y);
}

AttemptDelay attempt_delay(Attempt *attempts, size_t n, int64_t now_ns)
{
    int64_t before = now_ns, counted = INT64_MIN, newest = 0;
    AttemptDelay d = { 0 };
    if (n > 1)
        qsort(attempts, n, sizeof *attempts, youngest_first);
    int64_t taken = INT64_MIN;
    for (size_t i = 0; i < n; i++)
        if (attempts[i].outcome == ATTEMPT_TAKEN)
            taken = MAX(taken, attempts[i].created_ns / NSEC_PER_SEC);
    for (size_t i = 0; i < n; i++) {
        int64_t created = attempts[i].created_ns, second = created / NSEC_PER_SEC;
        if (second <= taken || (before - created) / NSEC_PER_MSEC > ATTEMPT_RESET_MS)
            break;
        before = created;
        newest = newest ? newest : created;
        if (attempts[i].outcome != ATTEMPT_REFUSED || second == counted)
            continue;
        counted = second;
        d.refused++;
    }
    if (!d.refused)
        return d;
    int64_t delay = MIN((int64_t)ATTEMPT_BASE_MS << MIN(d.refused - 1, 20u), ATTEMPT_MAX_MS),
            left = delay - (now_ns - newest) / NSEC_PER_MSEC;
    d.wait_ms = (uint64_t)MIN(MAX(left, 0), delay); /* a clock that was set back: once more */
    return d;
}
