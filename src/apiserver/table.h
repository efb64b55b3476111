/* table.h - meta.k8s.io/v1 Tables: what `kubectl get` prints. */
#pragma once

#include "apiserver/call.h"

/* What each row carries of its object: the call's includeObject. */
typedef enum TableInclude { TABLE_METADATA, TABLE_NONE, TABLE_OBJECT } TableInclude;
TableInclude table_include(ApiCall *x);

/* A Table in parts: its head, rows with a comma between them, its end. `with_columns` is false for
 * all but the first event of a watch; scratch is reset for each row. A row that cannot be made sets
 * out->failed. */
void table_begin(ApiCall *x, StrView rv, StrView cont, bool with_columns, Buf *out);
/* The same row in parts: what is appended, what follows as it is stored (a view that lives as long
 * as `o`), and an end; `scratch` may be reset after the call. */
void table_row_parts(ApiCall *x, const ObjectRev *o, Arena *scratch, Buf *out, StrView *ret_rest,
                     StrView *ret_end);
void table_row(ApiCall *x, const ObjectRev *o, Arena *scratch, Buf *out);
void table_end(Buf *out);
/* Appends a whole Table of objects as stored. */
void table_encode(ApiCall *x, ObjectRev *const *objs, size_t n, StrView rv, StrView cont,
                  bool with_columns, Buf *out);
