/* managers.h - who owns which fields of an object: metadata.managedFields and server-side apply.
 *
 * Every write passes through here: an update gives its writer what it changed, an apply gives its
 * applier what it declared, merges that in, and takes out what the applier declared before and
 * nobody else owns.
 * Source: Kubernetes' reference "Server-Side Apply"; structured-merge-diff's merge.Updater. */
#pragma once

#include "api/kinds.h"
#include "api/typed.h"

enum { MANAGERS_UPDATE_MAX = 10, MANAGER_NAME_MAX = 128 };

typedef struct ManagedEntry {
    StrView manager, api_version, subresource, time;
    bool apply; /* operation Apply; else Update */
    FieldSet set;
} ManagedEntry;

typedef struct Managers {
    ManagedEntry *items;
    unsigned len, cap;
} Managers;

/* Who writes, through which door, and when. */
typedef struct FieldWriter {
    StrView manager, subresource;
    StrView now;            /* RFC 3339, seconds */
    const ApiResource *res; /* the type, and the apiVersion that is noted */
    bool ignore_status;     /* status is not this door's */
} FieldWriter;

/* Reads metadata.managedFields (NULL: none). ERR_INVALID: not of that form. */
int managers_decode(const Value *list, Arena *a, Managers *ret, Err *err) NODISCARD;
/* Sets or removes metadata.managedFields of `obj`. */
bool managers_store(const Managers *m, Arena *a, Value *obj) NODISCARD;

/* An update (create, replace, patch): *m is brought from `before` (NULL: the object is new) to
 * `after`. Nothing changes where nothing differs. */
bool managers_update(Managers *m, const FieldWriter *w, const Value *before, const Value *after,
                     Arena *a) NODISCARD;

/* Fields that an apply would take from others. */
typedef struct ApplyConflict {
    const ManagedEntry *owner;
    StrView path; /* ".spec.replicas" */
} ApplyConflict;
typedef struct ApplyConflicts {
    ApplyConflict *items;
    unsigned len, cap;
} ApplyConflicts;

/* Applies `config` to `live` (NULL: the object is new). *ret is the result, before defaults, in
 * trees of its own. ERR_CONFLICT without `force`: *conflicts says which; *m is undefined then.
 * ERR_INVALID: the configuration's lists have no or doubled keys. */
int managers_apply(Managers *m, const FieldWriter *w, const Value *live, const Value *config,
                   bool force, Arena *a, Value *ret, ApplyConflicts *conflicts, Err *err) NODISCARD;
/* "Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas"; SV_NULL:
 * arena exhausted. */
StrView apply_conflicts_text(const ApplyConflicts *c, Arena *a);
/* "conflict with "kubectl" using apps/v1" */
StrView apply_conflict_cause(const ApplyConflict *c, Arena *a);
