/* node_status.h - what a kubelet keeps of the Node's status that the API server has, and whether it
 * has to tell anything (node_status.c). Pure. */
#pragma once

#include "codec/value.h"

/* Changes `status`, which this node made, into what may be sent as a strategic merge patch of the
 * Node `old`: conditions that did not change keep their lastTransitionTime, and extended resources
 * that are in `old`'s capacity alone become allocatable, as the kubelet of Kubernetes does it. New
 * parts are in the arena or in `old`. A full arena leaves a part out. */
void node_status_join(const Value *old, Value *status, Arena *a);
/* Whether `status`, after node_status_join(), differs from `old`'s in more than the time of its
 * heartbeats. */
bool node_status_is_news(const Value *old, const Value *status);
