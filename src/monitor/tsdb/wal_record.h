/* wal_record.h - what the log's records hold: series, samples, histograms, exemplars, metadata and
 * deletions. Source: tsdb/docs/format/wal.md. */
#pragma once

#include "monitor/tsdb/tsdb.h"

typedef enum WalRecordType {
    WAL_SERIES = 1,
    WAL_SAMPLES = 2,
    WAL_TOMBSTONES = 3,
    WAL_EXEMPLARS = 4,
    WAL_MMAP_MARKERS = 5, /* of Prometheus' out-of-order log; read over */
    WAL_METADATA = 6,
    WAL_HISTOGRAMS = 7,
    WAL_FLOAT_HISTOGRAMS = 8,
    WAL_CUSTOM_HISTOGRAMS = 9,
    WAL_CUSTOM_FLOAT_HISTOGRAMS = 10,
} WalRecordType;

/* Writers: put the type once, then each entry. Of samples, histograms and exemplars `base` is the
 * first entry, which all others are coded against. */
typedef struct WalBase {
    uint64_t ref;
    int64_t t;
} WalBase;

void wal_put_series(Buf *b, uint64_t ref, Labels l);
void wal_put_base(Buf *b, const WalBase *base);
void wal_put_sample(Buf *b, const WalBase *base, uint64_t ref, int64_t t, double v);
void wal_put_histogram(Buf *b, const WalBase *base, uint64_t ref, int64_t t, const Histogram *h);
void wal_put_exemplar(Buf *b, const WalBase *base, uint64_t ref, const Exemplar *e);
void wal_put_metadata(Buf *b, uint64_t ref, const MetricMetadata *m);
void wal_put_tombstone(Buf *b, uint64_t ref, int64_t start, int64_t end);
WalRecordType wal_histogram_type(const Histogram *h);

/* What a reader wants to see; NULL: not this. Views die with the call. */
typedef struct WalHandler {
    int (*series)(void *ctx, uint64_t ref, Labels l, Err *err);
    int (*sample)(void *ctx, uint64_t ref, int64_t t, double v, Err *err);
    int (*histogram)(void *ctx, uint64_t ref, int64_t t, const Histogram *h, Err *err);
    int (*exemplar)(void *ctx, uint64_t ref, const Exemplar *e, Err *err);
    int (*metadata)(void *ctx, uint64_t ref, const MetricMetadata *m, Err *err);
    int (*tombstone)(void *ctx, uint64_t ref, int64_t start, int64_t end, Err *err);
    void *ctx;
} WalHandler;

/* Reads one record; what it needs lives in `scratch`, which is reset. Record types that are not
 * known are read over. ERR_CORRUPT: it does not hold what its type says. */
int wal_record_decode(StrView rec, const WalHandler *h, Arena *scratch, Err *err) NODISCARD;
