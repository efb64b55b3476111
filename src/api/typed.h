/* typed.h - objects seen through their type's table, as server-side apply sees them: which fields
 * there are, what two versions differ in, how an applied configuration is merged in, and how fields
 * are taken out. Lists are owned as a whole (atomic), by value (set) or by key (map); maps and
 * structs member by member, unless the table says atomic.
 * Source: sigs.k8s.io/structured-merge-diff, typed. */
#pragma once

#include "api/fieldset.h"
#include "codec/schema.h"

/* All fields that a configuration speaks of. ERR_INVALID: an item of a keyed list lacks its key, or
 * two have the same; the message names the path. */
int typed_fields(const SchemaObject *type, const Value *obj, Arena *a, FieldSet *ret,
                 Err *err) NODISCARD;

/* What differs: fields that are new or have another value, and fields that are gone. Both versions
 * must be valid; of several items with one key the first counts. */
bool typed_compare(const SchemaObject *type, const Value *before, const Value *after, Arena *a,
                   FieldSet *ret_changed, FieldSet *ret_removed) NODISCARD;

/* Merges `config` into *obj, which becomes the result; parts of both are shared by it. The order of
 * keyed lists and sets follows the configuration, with what only the object has in between. */
bool typed_merge(const SchemaObject *type, Value *obj, const Value *config, Arena *a) NODISCARD;

/* Takes the members of `doomed` out of *obj (which is not to be shared); containers that become
 * empty by it go as well. */
bool typed_remove(const SchemaObject *type, Value *obj, const FieldSet *doomed, Arena *a) NODISCARD;
