/* garbage_plan.c - what becomes of an object, from the state of the owners that it names. */
#include "controller/garbage_plan.h"

GarbagePlan garbage_plan(const OwnerState *owners, size_t n, bool has_dependents)
{
    size_t solid = 0, waiting = 0;
    for (size_t i = 0; i < n; i++) {
        solid += owners[i] == OWNER_SOLID;
        waiting += owners[i] == OWNER_WAITING;
    }
    if (solid == n)
        return GARBAGE_KEEP; /* also without any owner */
    if (solid > 0)
        return GARBAGE_TRIM;
    return waiting > 0 && has_dependents ? GARBAGE_DELETE_FOREGROUND : GARBAGE_DELETE;
}
