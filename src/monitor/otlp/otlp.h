/* otlp.h - OpenTelemetry's metrics as Prometheus' samples: an ExportMetricsServiceRequest is read
 * and each data point translated, with the names, labels and histograms that Prometheus gives them.
 * No I/O.
 *
 * Source: opentelemetry-proto, metrics/v1/metrics.proto; the mapping is that of Prometheus'
 * otlptranslator, section `otlp` of the configuration. */
#pragma once

#include "monitor/config/config.h"
#include "monitor/tsdb/tsdb.h"

enum {
    OTLP_ATTRIBUTES_MAX = 1024, /* of one resource, scope or data point */
    OTLP_BUCKETS_MAX = 65536,   /* of one side of a histogram */
    OTLP_EXEMPLARS_MAX = 1000,  /* of one data point */
    OTLP_DEPTH_MAX = 16,        /* of values inside of values */
    OTLP_NAME_MAX = 64 * 1024,  /* bytes of a metric's name and unit */
};

/* One sample. Views live during the call. */
typedef struct OtlpSample {
    Labels labels;
    int64_t t;
    double v;
    const Histogram *h; /* NULL: a float */
    const Exemplar *exemplars;
    unsigned n_exemplars;
    MetricMetadata metadata;
    bool is_target_info; /* of no data point */
} OtlpSample;

/* 1: taken. 0: refused, with the reason in `err`. Negative: the request cannot go on. */
typedef int OtlpSampleFn(void *ctx, const OtlpSample *s, Err *err);

/* What points of delta temporality add up to (--enable-feature=otlp-deltatocumulative). Several
 * threads may translate with one. At most a million streams, or 256 MiB. */
typedef struct OtlpDeltas OtlpDeltas;
OtlpDeltas *otlp_deltas_new(void);           /* NULL: out of memory */
OtlpDeltas *otlp_deltas_free(OtlpDeltas *d); /* NULL is fine; always NULL */

typedef struct OtlpOptions {
    const ConfigOtlp *cfg;
    Labels external;
    bool allow_delta;   /* as they are: --enable-feature=otlp-native-delta-ingestion */
    OtlpDeltas *deltas; /* NULL: they are not added up */
    int64_t now_ns;     /* monotonic; 0: the machine's clock */
    OtlpSampleFn *fn;
    void *ctx;
} OtlpOptions;

enum { OTLP_REASONS_MAX = 10 };

typedef struct OtlpOutcome {
    uint64_t points, rejected; /* data points; rejected where one of its samples was */
    Buf reasons;               /* sentences, by "; ", at most OTLP_REASONS_MAX */
    unsigned n_reasons;
} OtlpOutcome;
void otlp_outcome_free(OtlpOutcome *o);

/* Reads a protobuf message. ERR_INVALID: malformed; ERR_LIMIT; ERR_NOMEM; or what fn returned.
 * What was handed to fn before stays its matter. otlp_outcome_free() in any case. */
int otlp_translate(const OtlpOptions *o, StrView message, OtlpOutcome *ret, Err *err) NODISCARD;
/* The protobuf message of a request in JSON, appended to `out`; its texts are checked by whoever
 * reads it. ERR_INVALID names line and column, or the member and what was expected. */
int otlp_from_json(StrView text, Buf *out, Err *err) NODISCARD;
/* ExportMetricsServiceResponse: empty, or with a partial success. */
void otlp_put_response(const OtlpOutcome *o, bool json, Buf *out);
