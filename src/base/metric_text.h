/* metric_text.h - lines of Prometheus' text format, version 0.0.4. */
#pragma once

#include "base/buf.h"

/* HELP and TYPE lines. Help holds neither line ends nor backslashes. */
void metric_head(Buf *out, const char *name, const char *type, const char *help);
/* Appends a label's value as the formats quote it: only backslash, quote and newline are escaped.
 */
void text_quote_value(StrView s, Buf *out);
/* " VALUE" and the line's end. */
void metric_value(Buf *out, double v);
/* A whole series; `labels` (`a="b"`) may be empty. */
void metric_series(Buf *out, const char *name, StrView labels, double v);
/* A family of one series without labels. */
void metric_one(Buf *out, const char *name, const char *type, const char *help, double v);
#define METRIC_GAUGE(out, name, help, v)   metric_one(out, name, "gauge", help, (double)(v))
#define METRIC_COUNTER(out, name, help, v) metric_one(out, name, "counter", help, (double)(v))
