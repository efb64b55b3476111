/* exemplars.h - a ring of the last exemplars of all series. Guarded by a lock of its own. */
#pragma once

#include "monitor/tsdb/tsdb.h"

typedef struct Exemplars Exemplars;

int exemplars_new(size_t max, Exemplars **ret, Err *err) NODISCARD;
Exemplars *exemplars_free(Exemplars *x); /* NULL is fine; always NULL */
/* Of the series `series`, which is copied where it is new. APPEND_DUPLICATE: the series' last one
 * is the same; APPEND_OUT_OF_ORDER: it is older. */
AppendResult exemplars_check(Exemplars *x, Labels series, const Exemplar *e);
AppendResult exemplars_add(Exemplars *x, Labels series, const Exemplar *e);
int exemplars_query(Exemplars *x, int64_t start, int64_t end, const MatcherSet *sets,
                    unsigned n_sets, Arena *a, ExemplarSeries **ret, size_t *ret_n,
                    Err *err) NODISCARD;
/* Their numbers. */
void exemplars_count(Exemplars *x, TsdbStats *ret);
