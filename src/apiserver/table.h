/* table.h - meta.k8s.io/v1 Tables: what `kubectl get` prints. */
#pragma once

#include "apiserver/call.h"

/* Appends a Table of objects as stored. `with_columns` is false for all but the first event of a
 * watch. */
void table_encode(ApiCall *x, ObjectRev *const *objs, size_t n, StrView rv, StrView cont,
                  bool with_columns, Buf *out);
