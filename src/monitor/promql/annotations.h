/* annotations.h - warnings and infos of a query, each text once. */
#pragma once

#include "monitor/promql/promql.h"

typedef struct Annotation {
    bool warning;
    StrView text; /* without position */
    uint64_t hash;
    unsigned pos;
    unsigned occurrences; /* of overlaps of start times; 0: not counted */
    bool monotonic;       /* forced: with the figures below */
    int64_t min_time, max_time;
    double min_bucket, max_bucket, max_diff;
    unsigned samples;
} Annotation;

typedef struct Annotations {
    Arena *arena;
    Annotation *items;
    size_t len, cap;
    bool failed;
} Annotations;

/* The text follows "PromQL warning: " or "PromQL info: ". The position is that of the last one. */
void annotate_warning(Annotations *a, unsigned pos, const char *fmt, ...) PRINTF(3, 4);
void annotate_info(Annotations *a, unsigned pos, const char *fmt, ...) PRINTF(3, 4);
/* `fmt`, then the name in quotes as Go quotes. */
void annotate_named(Annotations *a, bool warning, unsigned pos, const char *what, StrView name);
/* `what`, then ` for metric name "…"` unless the name is empty. */
void annotate_for_metric(Annotations *a, bool warning, unsigned pos, StrView what, StrView name);
void annotate_monotonic(Annotations *a, unsigned pos, StrView metric, int64_t time,
                        double min_bucket, double max_bucket, double max_diff);
void annotate_overlap(Annotations *a, unsigned pos, StrView metric);
/* With positions in `query`; at most `max` of each kind (0: all), then a count of the rest. */
int annotations_finish(Annotations *a, StrView query, size_t max, Arena *out,
                       const PromqlAnnotation **ret, size_t *ret_n, Err *err) NODISCARD;
