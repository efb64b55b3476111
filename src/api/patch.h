/* patch.h - the three ways to patch an object. All change `doc` in place; parts of the patch become
 * parts of the document, so both must live in arenas that last as long. After a failure the
 * document is half changed and must be thrown away.
 *
 * ERR_INVALID: the patch itself is malformed (HTTP 400). ERR_CONFLICT: it does not fit this
 * document (a failed test, a missing path: HTTP 422). ERR_LIMIT: too many operations (HTTP 413). */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/schema.h"
#include "codec/value.h"

enum { PATCH_OPERATIONS_MAX = 10000 };

/* RFC 6902 (application/json-patch+json): add, remove, replace, move, copy, test. */
int patch_json(Value *doc, const Value *patch, Arena *a, Err *err) NODISCARD;

/* RFC 7386 (application/merge-patch+json). */
int patch_merge(Value *doc, const Value *patch, Arena *a, Err *err) NODISCARD;

/* Kubernetes' strategic merge patch: lists with a merge key in `type` are merged item by item, and
 * the directives $patch, $retainKeys, $setElementOrder/…, $deleteFromPrimitiveList/… are obeyed. */
int patch_strategic(const SchemaObject *type, Value *doc, const Value *patch, Arena *a,
                    Err *err) NODISCARD;
