/* families.h - metrics in the text format, gathered into families as Prometheus' client libraries
 * do it: the series of a histogram or summary belong to one metric of its family. */
#pragma once

#include "base/err.h"
#include "monitor/expo/expo.h"

typedef struct FamilyMetric {
    Labels labels;  /* without the name, and without "le" or "quantile" where the type has them */
    unsigned parts; /* buckets or quantiles */
} FamilyMetric;

typedef struct Family {
    StrView name;
    ExpoType type;
    bool typed, helped;
    FamilyMetric *metrics;
    size_t n, cap;
} Family;

typedef struct Families {
    Arena arena;    /* holds all */
    Family **items; /* in the order of the text */
    size_t n, cap;
} Families;

enum { FAMILIES_MAX = 200000 }; /* of one text */
#define FAMILIES_MEMORY_MAX ((size_t)4 << 30)

/* `text` must outlive the families, which take at most `memory` bytes. Whatever it returns,
 * families_free() ends *ret. ERR_INVALID names the line. */
int families_parse(StrView text, size_t memory, Families *ret, Err *err) NODISCARD;
void families_free(Families *f);
