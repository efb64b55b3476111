/* expo.h - what a target exposes, as a pull parser over a whole body: the text format (0.0.4, and
 * 1.0 with quoted UTF-8 names), OpenMetrics 1.0, and length-delimited
 * io.prometheus.client.MetricFamily messages.
 *
 * Made for a scraper that sees the same series again and again: expo_next() only finds where the
 * text of a series ends and reads the number behind it. That text names the series, so whoever
 * knows it need not look into it; expo_labels() takes it apart, and checks it, once. */
#pragma once

#include "base/err.h"
#include "monitor/model/histogram.h"
#include "monitor/model/labels.h"

typedef struct ExpoParser ExpoParser;

typedef enum ExpoFormat {
    EXPO_FORMAT_TEXT,
    EXPO_FORMAT_OPENMETRICS,
    EXPO_FORMAT_PROTOBUF,
    EXPO_FORMAT_MAX
} ExpoFormat;

typedef enum ExpoType {
    EXPO_UNKNOWN,
    EXPO_COUNTER,
    EXPO_GAUGE,
    EXPO_HISTOGRAM_TYPE,
    EXPO_GAUGE_HISTOGRAM,
    EXPO_SUMMARY,
    EXPO_INFO,
    EXPO_STATESET,
    EXPO_TYPE_MAX
} ExpoType;
/* "counter", "gaugehistogram" …: as metadata shows it. */
extern const char *const expo_type_names[EXPO_TYPE_MAX];

typedef enum ExpoKind {
    EXPO_END,       /* the body is over */
    EXPO_TYPE,      /* name, type */
    EXPO_HELP,      /* name, text */
    EXPO_UNIT,      /* name, text */
    EXPO_SERIES,    /* series, t, v */
    EXPO_HISTOGRAM, /* series, t, h */
} ExpoKind;

/* Views point into the body or into the parser, and live until the next call. */
typedef struct ExpoEntry {
    ExpoKind kind;
    StrView series; /* names the series; opaque bytes with protobuf */
    bool expected;  /* it is the one that expo_expect() named */
    bool has_t;
    int64_t t; /* ms since 1970 */
    double v;
    const Histogram *h;
    StrView name, text; /* of metadata */
    ExpoType type;      /* of metadata; of a series what its family was declared as */
    unsigned n_exemplars;
} ExpoEntry;

typedef struct ExpoExemplar {
    Labels labels;
    double value;
    bool has_t;
    int64_t t;
} ExpoExemplar;

typedef struct ExpoOptions {
    bool native_histograms; /* protobuf: read them; else only their classic parts */
    bool keep_classic; /* also the classic parts of a native histogram, or of a converted one */
    bool classic_to_custom; /* classic histograms become ones with custom bounds */
    bool skip_created;      /* OpenMetrics: leave _created series out */
} ExpoOptions;

enum {
    EXPO_NAME_MAX = 64 * 1024,
    EXPO_BUCKETS_MAX = HISTOGRAM_BUCKETS_MAX,
    EXPO_MESSAGE_MAX = 256 * 1024 * 1024, /* one metric family */
};

/* Which format a Content-Type says; `fallback` (a scrape protocol's name, may be empty) where it
 * says none that we know. ERR_INVALID: Prometheus' sentence. */
int expo_format(StrView content_type, StrView fallback, ExpoFormat *ret, Err *err) NODISCARD;

/* `body` must outlive the parser. NULL: out of memory. */
ExpoParser *expo_parser_new(ExpoFormat format, StrView body, const ExpoOptions *opt);
ExpoParser *expo_parser_free(ExpoParser *p); /* NULL is fine; always NULL */
/* Starts over with another body, keeping the memory. */
void expo_parser_reset(ExpoParser *p, ExpoFormat format, StrView body, const ExpoOptions *opt);

/* What the next series is likely to be, as expo_next() gave it in an earlier body: where it is, the
 * text formats need not look for its end. Must live until the next call. */
void expo_expect(ExpoParser *p, StrView series);
/* The next entry; EXPO_END at the end. ERR_INVALID: the body is malformed, with the sentence of a
 * target's lastError. */
int expo_next(ExpoParser *p, ExpoEntry *ret, Err *err) NODISCARD;
/* The labels of the current series, with its name as __name__; in `a`. ERR_INVALID: the text of the
 * series is malformed. */
int expo_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err) NODISCARD;
/* Exemplar `i` of the current entry. */
int expo_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err) NODISCARD;
/* Since when the current series counts (ms); 0: not said. With OpenMetrics it looks ahead for the
 * _created line. */
int64_t expo_start_time(ExpoParser *p);

/* A number as the text formats have it: decimal, NaN, Inf in any case. False: none. */
bool expo_number(StrView s, double *ret);
