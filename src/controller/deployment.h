/* deployment.h - a Deployment as one reconcile sees it: deployment.c acts, deployment_status.c
 * reports. */
#pragma once

#include "controller/controller_internal.h"
#include "controller/rollout.h"

typedef struct DeploymentView {
    Job *job;
    ApiObject *deployment;
    const Value *doc;
    const Selector *selector;
    ApiObject **sets; /* sets[0]: the new ReplicaSet, or NULL; then the old ones, oldest first */
    RolloutSet *plan; /* beside them */
    size_t n;         /* at least 1 */
    int64_t replicas, revision;
    RolloutLimits limits;
    bool paused, recreate;
} DeploymentView;

void deployment_write_status(DeploymentView *v);
bool deployment_complete(const DeploymentView *v);
