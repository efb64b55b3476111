/* convert_hpa.h - HorizontalPodAutoscaler between autoscaling/v1 and v2, as Kubernetes does it: v1
 * knows one metric, the CPU's utilization, and has the rest of v2 in annotations. Both share what
 * they take over with `obj`, and are not complete when the arena has failed. */
#pragma once

#include "codec/value.h"

Value hpa_to_v2(const Value *obj, Arena *a);
/* The annotations of `obj`, of v1, that stand for the status become those of `old` (or none). */
void hpa_keep_status(Value *obj, const Value *old, Arena *a);
Value hpa_to_v1(const Value *obj, Arena *a);
