/* support.c - constraints that this scheduler does not know: a pod that sets one is not bound, and
 * told why. */
#include "scheduler/support.h"

const char *support_missing(const Value *pod)
{
    static const struct {
        const char *path, *name;
    } rows[] = {
        { "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution",
          "spec.affinity.podAffinity" },
        { "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution",
          "spec.affinity.podAntiAffinity" },
        { "spec.resourceClaims", "spec.resourceClaims" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (value_len(value_path(pod, rows[i].path)))
            return rows[i].name;
    value_list_foreach (c, value_path(pod, "spec.topologySpreadConstraints")) {
        if (!sv_eq(value_str(value_get(c, SV("whenUnsatisfiable"))), SV("ScheduleAnyway")))
            return "spec.topologySpreadConstraints";
    }
    return NULL;
}
