/* internal.h - what the files of the folder share. */
#pragma once

#include "base/vec.h"
#include "monitor/model/pb.h"
#include "monitor/otlp/otlp.h"

/* ---- names.c ---- */

typedef enum OtlpType {
    OTLP_GAUGE,
    OTLP_COUNTER, /* a monotonic sum */
    OTLP_UPDOWN,  /* another sum */
    OTLP_HISTOGRAM,
    OTLP_EXPONENTIAL,
    OTLP_SUMMARY,
} OtlpType;

typedef struct OtlpNaming {
    bool suffixes, utf8; /* of the translation strategy */
    bool label_sanitization, preserve_underscores;
} OtlpNaming;

OtlpNaming otlp_naming(const ConfigOtlp *c);
/* In `a`. Empty: no name is left. ptr NULL: the arena is exhausted. */
StrView otlp_metric_name(const OtlpNaming *n, StrView name, StrView unit, OtlpType type, Arena *a);
StrView otlp_unit_name(StrView unit, Arena *a); /* of metadata */
StrView otlp_label_name(const OtlpNaming *n, StrView name, Arena *a);

/* ---- value.c ---- */

/* An AnyValue as a label's value. False: malformed, or too deep. */
bool otlp_value_text(StrView any, Buf *out) NODISCARD;

typedef struct OtlpAttribute {
    StrView key, value; /* value: as text, in the arena */
} OtlpAttribute;
typedef VEC(OtlpAttribute) OtlpAttributes;
/* A KeyValue, added to the list. */
int otlp_add_attribute(OtlpAttributes *list, StrView bytes, Arena *a, Err *err) NODISCARD;

/* ---- the walk ---- */

typedef struct OtlpMetric {
    StrView name, unit, description; /* as sent */
    OtlpType type;
    unsigned temporality;
    bool adds_up; /* sent as deltas, stored cumulative */
    StrView prom_name;
    MetricMetadata metadata;
} OtlpMetric;

typedef struct Otlp {
    const OtlpOptions *o;
    OtlpNaming naming;
    OtlpOutcome *out;
    Arena resource_arena, scope_arena, point_arena;
    OtlpAttributes resource, scope, point;
    StrView job, instance;
    StrView scope_name, scope_version;
    Labels promoted;     /* of the resource, in its arena */
    Labels scope_labels; /* otel_scope_*, in the scope's arena */
    OtlpMetric metric;
    uint64_t earliest, latest; /* ns, of the resource's points */
    /* Of the point at hand. */
    bool point_refused;
    VEC(Exemplar) exemplars;
} Otlp;

/* translate.c */
void otlp_reject(Otlp *x, uint64_t points, const char *why);
/* Labels of the point's attributes and its surroundings under `name`; in the point's arena. */
int otlp_labels(Otlp *x, const OtlpAttributes *attributes, bool promote, bool scope, StrView name,
                Labels *ret, Err *err) NODISCARD;
int otlp_emit(Otlp *x, const OtlpSample *s, Err *err) NODISCARD;

/* points.c: one data point of the metric at hand */
int otlp_point(Otlp *x, StrView bytes, Err *err) NODISCARD;
/* histogram.c */
typedef struct OtlpBuckets {
    int32_t offset;
    VEC(uint64_t) counts;
} OtlpBuckets;
/* Spans and buckets of a native histogram's side. False: out of memory, or out of range. */
bool otlp_layout(const uint64_t *counts, size_t n, int32_t offset, int32_t scale_down, bool adjust,
                 Arena *a, const HistogramSpan **ret_spans, unsigned *ret_n_spans,
                 const double **ret_counts, unsigned *ret_n) NODISCARD;
