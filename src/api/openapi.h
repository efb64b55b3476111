/* openapi.h - OpenAPI documents made from the tables of kinds, built-in or custom.
 *
 * v2 is one document for everything, as JSON or in the protobuf form of gnostic that kubectl up
 * to 1.26 asks for; v3 is one document per group version behind an index. Documents are built when
 * asked for and cost some milliseconds: a server keeps the bytes until the set of kinds changes. */
#pragma once

#include "api/kind_set.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/value.h"

/* The rows of one group version, or all of them when `version` is empty. The array is in `a`. */
int openapi_rows(const ApiKinds *k, StrView group, StrView version, Arena *a,
                 const ApiResource *const **ret_rows, size_t *ret_n, Err *err) NODISCARD;

/* A document over these rows. Types with an empty name are written inline, others by reference. */
int openapi_v2(const ApiResource *const *rows, size_t n, Arena *a, Value *ret, Err *err) NODISCARD;
/* …all of one group version. */
int openapi_v3(const ApiResource *const *rows, size_t n, Arena *a, Value *ret, Err *err) NODISCARD;

/* Appends the v2 document as gnostic's openapi.v2.Document message. */
void openapi_v2_protobuf(const Value *document, Buf *out);

enum { OPENAPI_HASH_SIZE = 33 };
/* A text that changes with the bytes of a document: for the index and for ETags. Terminated. */
void openapi_hash(StrView bytes, char buf[static OPENAPI_HASH_SIZE]);

/* Adds one line to the v3 index (an empty map at first): the path of a group version ("api/v1",
 * "apis/apps/v1") and the hash of its document. False: the arena is exhausted. */
bool openapi_index_add(Value *index, StrView group, StrView version, const char *hash, Arena *a);
