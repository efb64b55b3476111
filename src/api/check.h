/* check.h - brings a decoded document into the form that its type demands, as Go's decoder would.
 *
 * Errors of single fields are in api/errors.h; this is about wrong types, which stop everything. */
#pragma once

#include "api/errors.h"
#include "api/kinds.h"

/* Walks `obj` by the type's table and changes it in place:
 *   - a member of a wrong type ends it with ERR_INVALID and Go's sentence ("json: cannot unmarshal
 *     string into Go struct field DeploymentSpec.spec.replicas of type int32");
 *   - members that the type does not have are taken out, and `unknown field "spec.foo"` is appended
 * to *unknown (a VALUE_LIST of strings in `a`; may be NULL);
 *   - nulls are dropped, in lists they become the zero value;
 *   - quantities, times and durations are put into their canonical text.
 * New texts live in `a`. */
enum { API_UNKNOWN_MAX = 256 }; /* so many unknown fields are named */
int api_decode_check(const SchemaObject *type, Value *obj, Arena *a, Value *unknown,
                     Err *err) NODISCARD;

/* Adds the members that Go's encoder writes although they are empty: `status: {}`, `restartCount:
 * 0`. False: arena exhausted. */
bool api_fill_always(const SchemaObject *type, Value *obj, Arena *a);
