/* metrics.h - what a program counts, for whoever scrapes it: counters, gauges and histograms with
 * labels, written in Prometheus' text format or in OpenMetrics.
 *
 * To add a metric: a MetricDef (static, its name one of the peer's where it has one), metrics_add()
 * where the part that counts is made, and metric_add(), metric_set() or metric_observe() where it
 * happens. What is known at any time (lengths of queues) is better set when somebody asks, by
 * metrics_on_collect().
 *
 * Any thread may count. Whoever counts need not know whether anybody listens: all functions take
 * NULL and do nothing then, and no memory means that a series is missing. A family has at most
 * `series_max` series: what comes beyond is counted under labels that are all "other". */
#pragma once

#include "base/buf.h"

typedef struct Metrics Metrics; /* a registry */
typedef struct Metric Metric;   /* a family of it, which lives as long */

typedef enum MetricType { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM } MetricType;

enum {
    METRIC_LABELS_MAX = 10,
    METRIC_SERIES_MAX = 2000,
    METRIC_KEY_MAX = 1024, /* bytes of a series' values; longer ones are "other" */
};

typedef struct MetricDef {
    const char *name; /* a counter's ends in "_total" */
    const char *help; /* no line ends, no backslashes */
    MetricType type;
    const char *labels[METRIC_LABELS_MAX]; /* NULL behind the last */
    const double *buckets;                 /* upper bounds, rising; "+Inf" is added */
    unsigned n_buckets;
    unsigned series_max; /* 0: METRIC_SERIES_MAX */
} MetricDef;

Metrics *metrics_new(void); /* NULL: out of memory */
/* After everybody who counts. NULL is fine; always NULL. */
Metrics *metrics_free(Metrics *m);

/* `def` must outlive the registry. A family that is there already is returned. */
Metric *metrics_add(Metrics *m, const MetricDef *def);
/* Zeroed memory that lives as long as the registry; NULL: out of memory, or no registry. */
void *metrics_state(Metrics *m, size_t size);

/* The values of the family's labels, in its order: LABEL_VALUES(SV("GET"), code). NULL: it has
 * none. */
#define LABEL_VALUES(...) ((const StrView[]){ __VA_ARGS__ })
/* A counter (or gauge) goes up, a gauge is set, a histogram gets one more value (seconds, bytes:
 * the unit of its name). A series begins with its first value; what is beyond the limit of the
 * family is counted under "other". From any thread; f NULL: nothing happens. */
void metric_add(Metric *f, const StrView *values, double by);
void metric_set(Metric *f, const StrView *values, double v);
void metric_observe(Metric *f, const StrView *values, double v);
/* A counter's or gauge's value, a histogram's count; 0 where there is no such series. */
double metric_value_of(Metric *f, const StrView *values);

/* Calls fn before each writing, on the writer's thread, until it is taken back. */
typedef void MetricsCollectFn(void *ctx);
void metrics_on_collect(Metrics *m, MetricsCollectFn *fn, void *ctx);
void metrics_off_collect(Metrics *m, MetricsCollectFn *fn, void *ctx);

typedef enum MetricsFormat {
    METRICS_TEXT,        /* text/plain; version=0.0.4 */
    METRICS_OPENMETRICS, /* application/openmetrics-text; version=1.0.0 */
} MetricsFormat;
/* Asks who collects, then appends all families in the order of their adding. From any thread. */
void metrics_write(Metrics *m, MetricsFormat format, Buf *out);
