/* querier.h - the one way in which queries reach samples. The storage, a remote read and the test
 * scripts' memory each implement it.
 *
 * A selection is read series by series, each decoded once into columns over its whole time range,
 * so that evaluation works on arrays and needs the memory of one series at a time. */
#pragma once

#include "monitor/model/matcher.h"
#include "monitor/model/sample.h"

typedef struct SeriesSet SeriesSet;
typedef struct Querier Querier;

/* What is asked for, and what it is for (remote storages use the hints; ours may ignore them). */
typedef struct SelectHints {
    int64_t start, end; /* ms, both inclusive: nothing outside is returned */
    int64_t step, range;
    StrView func;
    bool sorted;       /* series in the order of labels_cmp() */
    bool labels_only;  /* samples are never read */
    bool few_labels;   /* only those of `by` are looked at; a storage may leave out the others */
    const StrView *by; /* live as long as the set */
    unsigned n_by;
} SelectHints;

typedef struct QuerierOps {
    /* Series with at least one sample inside the range are returned (a storage may return more:
     * their columns are empty). `ms` live as long as the set. */
    int (*select)(Querier *q, const SelectHints *h, const Matcher *ms, unsigned n_ms,
                  SeriesSet **ret, Err *err);
    /* 1: *ret_labels is set (good until the next call), and `cols` (NULL with labels_only) holds
     * the samples. 0: no more. Negative: an error. */
    int (*next)(SeriesSet *s, Labels *ret_labels, SampleCols *cols, Err *err);
    SeriesSet *(*set_free)(SeriesSet *s); /* NULL is fine; always NULL */
    /* Names of labels, or values of one, among the series that match; sorted, in `a`. */
    int (*label_names)(Querier *q, int64_t start, int64_t end, const Matcher *ms, unsigned n_ms,
                       Arena *a, StrView **ret, size_t *ret_n, Err *err);
    int (*label_values)(Querier *q, StrView name, int64_t start, int64_t end, const Matcher *ms,
                        unsigned n_ms, Arena *a, StrView **ret, size_t *ret_n, Err *err);
} QuerierOps;

/* The head of every implementation's own struct. One querier serves one thread. */
struct Querier {
    const QuerierOps *ops;
};
