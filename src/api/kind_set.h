/* kind_set.h - which kinds are served at one moment: the built-in ones, and those that come and go
 * while the server runs (custom kinds).
 *
 * A set never changes: when a kind comes or goes, another set takes its place, and whoever began
 * with this one ends with it. Whoever keeps a row beyond the turn that found it keeps a reference
 * to its set; a row lives as long as any set that has it. The functions that take a set may be
 * called from any thread. */
#pragma once

#include <stdatomic.h>

#include "api/kinds.h"
#include "base/err.h"

typedef struct ApiKinds ApiKinds;

/* What a run-time row belongs to: its table, its texts, its schema. Sets hold one reference for
 * each of their rows. */
typedef struct ApiKindOwner {
    atomic_uint refs;
    void (*free)(struct ApiKindOwner *o); /* with the last reference */
} ApiKindOwner;

/* The served built-in rows and n others, which must be served and have an owner; rows of one group
 * version stand together, newer versions first. The caller keeps its own references to owners.
 * ERR_EXISTS names a row whose group, version and plural or kind another one has. */
int api_kinds_new(const ApiResource *const *rows, size_t n, ApiKinds **ret, Err *err) NODISCARD;
ApiKinds *api_kinds_ref(ApiKinds *k);
ApiKinds *api_kinds_unref(ApiKinds *k); /* always NULL; NULL is fine */

/* NULL when no such kind is served. Borrowed from the set, as all rows here. */
const ApiResource *api_kinds_find(const ApiKinds *k, StrView group, StrView version,
                                  StrView plural);
const ApiResource *api_kinds_find_kind(const ApiKinds *k, StrView group, StrView version,
                                       StrView kind);
/* All rows in order of preference: size_t at = 0; while ((row = api_kinds_next(k, &at))) … */
const ApiResource *api_kinds_next(const ApiKinds *k, size_t *pos);
/* The group versions that have a row, in the same order; NULL at the end. `package` is empty where
 * there are run-time rows only. */
const ApiGroupVersion *api_kinds_next_version(const ApiKinds *k, size_t *pos);

/* Whose object a key of the store is: the row, the namespace (SV_NULL without one) and the name. Of
 * a kind with several versions it is the row of the first. NULL: none of these kinds has such keys.
 */
const ApiResource *api_kinds_of_key(const ApiKinds *k, StrView key, StrView *ret_ns,
                                    StrView *ret_name);
