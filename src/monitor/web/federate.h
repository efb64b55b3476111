/* federate.h - the forms of /federate: which one a client reads, and the one of protobuf. Private
 * to monitor/web. */
#pragma once

#include "base/vec.h"
#include "monitor/model/histogram.h"
#include "monitor/model/labels.h"

/* The newest sample of a series. */
typedef struct Found {
    Labels labels;
    StrView name;
    int64_t t;
    double v;
    const Histogram *h; /* NULL: a number */
} Found;

typedef VEC(Found) FoundList;

typedef struct FederateForm {
    bool proto; /* delimited io.prometheus.client.MetricFamily; else text */
    bool utf8;  /* names of UTF-8 as they are; else with underscores */
    bool text1; /* text 1.0.0, else 0.0.4 */
} FederateForm;

/* What an Accept header prefers of the forms there are; text 0.0.4 where it names none. */
FederateForm federate_negotiate(StrView accept);
StrView federate_type(FederateForm f); /* the Content-Type; static */

/* The labels that are shown: the series' own without its name, the server's that it has not, and an
 * empty "instance" where there is none: else the scraping side would put its target there. *pos
 * starts at 0. */
bool found_label(const Found *f, Labels external, unsigned *pos, Label *ret);
/* Both belong into one family of metrics: name and kind are the same. */
bool found_same_family(const Found *a, const Found *b);
/* A name with underscores for what is not of the classic characters. */
void federate_put_legacy(Buf *out, StrView name, bool metric);

void federate_put_proto(Buf *out, const FoundList *list, Labels external, bool utf8);
