/* garbage_plan.h - what becomes of an object, from the state of the owners that it names. */
#pragma once

#include "base/macros.h"

typedef enum OwnerState {
    OWNER_SOLID,   /* there, and staying (or going without waiting for anybody) */
    OWNER_GONE,    /* does not exist, or is another object of the same name */
    OWNER_WAITING, /* being deleted in the foreground: waits for what it owns */
} OwnerState;

typedef enum GarbagePlan {
    GARBAGE_KEEP,
    GARBAGE_TRIM, /* stays, without the references to owners that are not solid */
    GARBAGE_DELETE,
    GARBAGE_DELETE_FOREGROUND, /* an owner waits for it, and others may wait in turn */
} GarbagePlan;

GarbagePlan garbage_plan(const OwnerState *owners, size_t n, bool has_dependents);
