/* support.c - constraints that this scheduler does not know: a pod that sets one is not bound, and
 * told why. */
#include "scheduler/support.h"

const char *support_missing(const Value *pod)
{
    return value_len(value_path(pod, "spec.resourceClaims")) ? "spec.resourceClaims" : NULL;
}
