/* deployment.h - a Deployment as one reconcile sees it: deployment.c acts, deployment_status.c
 * reports. */
#pragma once

#include "controller/controller_internal.h"
#include "controller/rollout.h"

typedef struct Rollout {
    Job *job;
    ApiObject *deployment;
    const DeploymentView *view; /* of it */
    const Selector *selector;
    ApiObject **sets; /* sets[0]: the new ReplicaSet, or NULL; then the old ones, oldest first */
    RolloutSet *plan; /* beside them */
    size_t n;         /* at least 1 */
    int64_t revision;
    RolloutLimits limits;
} Rollout;

static inline const ReplicasView *set_view(const ApiObject *set)
{
    return set->projection;
}

void deployment_write_status(Rollout *v);
bool deployment_complete(const Rollout *v);
