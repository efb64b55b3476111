/* select.h - which series of an index match a set of matchers: the same for head and blocks. */
#pragma once

#include "monitor/model/matcher.h"
#include "monitor/tsdb/ids.h"

typedef struct IndexOps {
    /* Appends the series of one label pair to `out`, in order. */
    int (*postings)(const void *index, StrView name, StrView value, Ids *out, Err *err);
    /* Calls fn for each value of a label, each once, in no order, until it fails. */
    int (*values)(const void *index, StrView name, int (*fn)(void *ctx, StrView value, Err *err),
                  void *ctx, Err *err);
    /* Calls fn for each label name. */
    int (*names)(const void *index, int (*fn)(void *ctx, StrView name, Err *err), void *ctx,
                 Err *err);
    int (*all)(const void *index, Ids *out, Err *err);
} IndexOps;

/* The series for which every matcher holds. *ret is to be empty, and is the caller's. */
int index_select(const IndexOps *ops, const void *index, const Matcher *ms, unsigned n_ms, Ids *ret,
                 Err *err) NODISCARD;
