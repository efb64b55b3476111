/* remote_message.h - the messages of remote write: prometheus.WriteRequest (1.0) and
 * io.prometheus.write.v2.Request (2.0), read series by series.
 *
 * Source: prompb/types.proto and prompb/io/prometheus/write/v2/types.proto. */
#pragma once

#include "base/vec.h"
#include "monitor/tsdb/tsdb.h"

enum {
    REMOTE_SYMBOLS_MAX = 4 * 1024 * 1024,
    REMOTE_BUCKETS_MAX = 65536, /* of one side, and spans */
};

typedef struct RemoteSample {
    int64_t t, start;
    double v;
} RemoteSample;

typedef struct RemoteHistogram {
    int64_t t, start;
    Histogram *h;
} RemoteHistogram;

/* All is good until the next series is read. */
typedef struct RemoteSeries {
    Labels labels;            /* sorted, without empty values */
    const char *labels_wrong; /* NULL, or what is: a reference, a doubled name */
    VEC(RemoteSample) samples;
    VEC(RemoteHistogram) histograms;
    VEC(Exemplar) exemplars;
    unsigned exemplars_wrong; /* with references outside of the symbols */
    MetricMetadata metadata;  /* 2.0 only; empty: not said */
} RemoteSeries;

typedef VEC(Label) RemoteLabels;

typedef struct RemoteReader {
    StrView rest;
    bool v2;
    VEC(StrView) symbols;
    RemoteLabels labels;
    RemoteSeries series;
    Arena scratch;
} RemoteReader;

/* `body` is the uncompressed message. ERR_INVALID: malformed. remote_reader_free() in any case. */
int remote_reader_init(RemoteReader *r, StrView body, bool v2, Err *err) NODISCARD;
void remote_reader_free(RemoteReader *r);
/* 1: *ret is the next series; 0: the end; ERR_INVALID: malformed, ERR_LIMIT, ERR_NOMEM. */
int remote_reader_next(RemoteReader *r, const RemoteSeries **ret, Err *err) NODISCARD;

/* The message Histogram, which is the same in both versions. */
int remote_histogram_decode(StrView bytes, Arena *a, RemoteHistogram *ret, Err *err) NODISCARD;
void remote_histogram_encode(const Histogram *h, int64_t t, Buf *out);
