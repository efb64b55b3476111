/* proto.h - one decoded metric of a protobuf body. Private to the folder. */
#pragma once

#include "codec/protobuf.h"
#include "monitor/expo/internal.h"

typedef enum ProtoType { /* of io.prometheus.client.MetricType */
                         PROTO_COUNTER,
                         PROTO_GAUGE,
                         PROTO_SUMMARY,
                         PROTO_UNTYPED,
                         PROTO_HISTOGRAM,
                         PROTO_GAUGE_HISTOGRAM,
                         PROTO_TYPE_MAX
} ProtoType;

typedef struct ProtoBucket { /* of a histogram; or a quantile and its value */
    double bound, count;
    StrView exemplar; /* message; ptr NULL: none */
} ProtoBucket;

typedef struct ProtoSide {
    HistogramSpan *spans;
    unsigned n_spans, cap_spans;
    double *counts; /* floats */
    unsigned n_counts, cap_counts;
    int64_t *deltas; /* whole numbers */
    unsigned n_deltas, cap_deltas;
} ProtoSide;

typedef struct ProtoMetric {
    Label *labels;
    unsigned n_labels, cap_labels;
    int64_t t; /* 0: none */
    int64_t start;
    double value;
    StrView exemplar;
    double count, count_float, sum;
    ProtoBucket *buckets;
    unsigned n_buckets, cap_buckets;
    int32_t schema;
    double zero_threshold, zero_count, zero_count_float;
    ProtoSide pos, neg;
    StrView *exemplars; /* of a native histogram, those with a time */
    unsigned n_exemplars, cap_exemplars;
} ProtoMetric;

/* Decodes a Metric message of a family of type `type`; lists are in `a`. */
int proto_metric_decode(ProtoType type, StrView message, Arena *a, ProtoMetric *ret,
                        Err *err) NODISCARD;
bool proto_is_native(const ProtoMetric *m);
/* The native histogram, compacted; `name` for errors. */
int proto_native(const ProtoMetric *m, bool gauge, StrView name, Arena *a, const Histogram **ret,
                 Err *err) NODISCARD;
/* The classic buckets as one with custom bounds. */
int proto_custom(const ProtoMetric *m, bool gauge, Arena *a, const Histogram **ret,
                 Err *err) NODISCARD;
int proto_exemplar_decode(StrView message, Arena *a, ExpoExemplar *ret, Err *err) NODISCARD;
