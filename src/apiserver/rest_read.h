/* rest_read.h - what reading shares with watching and writing: the object that a call names, and
 * the selectors of lists. */
#pragma once

#include "api/selector.h"
#include "apiserver/call.h"

/* The object that the call names; x->key becomes its key. Answers 404 itself when it is missing.
 * Borrowed from the snapshot. */
ObjectRev *current_object(ApiCall *x, Snapshot *sn);

/* The parameter resourceVersion; 0: none. */
int read_revision(ApiCall *x, uint64_t *ret, Err *err) NODISCARD;
/* Is `rev` yet to come, as it is for who remembers a cluster whose place this one took? The answer
 * is 504, with the cause that makes client libraries ask without a revision, and without
 * Retry-After: waiting does not help. */
bool is_too_new(const ApiCall *x, uint64_t rev);
void respond_too_new(ApiCall *x, uint64_t rev);

/* Label and field selector of a list or watch. */
typedef struct Filter {
    Selector labels, fields;
    const ApiResource *stored; /* whose names the fields have */
} Filter;
int filter_parse(ApiCall *x, Filter *ret, Err *err) NODISCARD;
bool filter_empty(const Filter *f); /* selects everything */
bool filter_match(const Filter *f, const ObjectRev *o);

/* Is a text of so many bytes worth compressing, and does the client take gzip? */
bool gzip_wanted(const ApiCall *x, size_t len);
void set_gzip_headers(ApiCall *x);
/* Text that may be worth compressing: gzip from 128 KiB on, where the client takes it. */
void respond_large(ApiCall *x, StrView content_type, StrView text);
