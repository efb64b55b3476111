/* rollout.h - the arithmetic of a Deployment's rollout, apart from all objects. */
#pragma once

#include "codec/value.h"

typedef struct RolloutSet { /* one ReplicaSet */
    int64_t replicas;       /* its spec.replicas; changed to what it should be */
    int64_t available;
    int64_t max_replicas; /* of the whole Deployment when it was last scaled; 0: not known */
} RolloutSet;

typedef struct RolloutLimits {
    int64_t surge, unavailable;
} RolloutLimits;

/* An int or "25%" of `replicas`; `up` says how a fraction is rounded. 0 for anything else. */
int64_t rollout_amount(const Value *v, int64_t replicas, bool up);
/* Surge is rounded up, unavailable down; when both are 0 one pod may be unavailable. */
RolloutLimits rollout_limits(const Value *max_surge, const Value *max_unavailable,
                             int64_t replicas);
/* One step: sets[0] is the new set, the others are old, oldest first. True: something changed. */
bool rollout_step(RolloutSet *sets, size_t n, int64_t replicas, RolloutLimits l);
/* Spreads a change of `replicas` in the middle of a rollout over all sets by their sizes. */
bool rollout_scale(RolloutSet *sets, size_t n, int64_t replicas, RolloutLimits l);
