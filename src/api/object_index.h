/* object_index.h - under which values the objects of an informer are found.
 *
 * An object may stand under any number of values, and is added and removed in constant time for
 * each, however many others stand under the same one. Objects are borrowed: whoever holds them
 * takes them out before they go. Private to informers. */
#pragma once

#include "base/map.h"

struct ApiObject;

typedef struct ObjectIndex {
    Map buckets; /* value → Bucket */
} ObjectIndex;

/* Once, even if it is there already. False: no memory; the index is as it was. */
bool object_index_add(ObjectIndex *x, StrView value, struct ApiObject *o) NODISCARD;
void object_index_del(ObjectIndex *x, StrView value,
                      const struct ApiObject *o); /* fine if absent */
/* In no order; valid until the next change. */
struct ApiObject *const *object_index_get(const ObjectIndex *x, StrView value, size_t *ret_n);
void object_index_free(ObjectIndex *x); /* leaves an empty one */
