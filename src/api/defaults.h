/* defaults.h - the values that Kubernetes fills in when an object is written without them. */
#pragma once

#include "api/kinds.h"
#include "base/arena.h"
#include "codec/value.h"

/* Completes `obj` (which passed api_decode_check) in place: the defaults of its type's table, the
 * conditional ones of its kind, and the members that Go's encoder always writes. A Secret's
 * stringData moves into data. False: the arena is exhausted. */
bool api_defaults_apply(const ApiResource *r, Value *obj, Arena *a) NODISCARD;
