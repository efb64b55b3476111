/* template.h - the templates of alert labels and annotations: Go's text/template with Prometheus'
 * functions (https://pkg.go.dev/text/template and Prometheus' "Template reference").
 *
 * A text is parsed into a tree in an arena and run at once. In front of every text stand the
 * definitions of $labels, $externalLabels, $externalURL and $value, as in Prometheus, so that
 * columns in messages count them too. */
#pragma once

#include "base/err.h"
#include "monitor/model/histogram.h"
#include "monitor/model/labels.h"

typedef struct TemplateSample {
    Labels labels;
    double value;
    const Histogram *h; /* NULL: a float */
} TemplateSample;

typedef struct TemplateOptions {
    StrView name; /* of the template in messages: "__alert_HighLoad" */
    Labels labels, external_labels;
    StrView external_url;
    double value;
    const Histogram *histogram; /* NULL: `value` counts */
    int64_t time;               /* ms: what `now` gives and queries are asked for */
    /* Runs `query`; the samples live in `a`. NULL: queries fail. */
    int (*query)(void *ctx, StrView query, int64_t time, Arena *a, TemplateSample **ret,
                 size_t *ret_n, Err *err);
    void *ctx;
} TemplateOptions;

enum {
    TEMPLATE_TEXT_MAX = 256 * 1024,
    TEMPLATE_DEPTH_MAX = 100,     /* of blocks and parentheses, and of calls of templates */
    TEMPLATE_STEPS_MAX = 1000000, /* nodes run */
    TEMPLATE_OUTPUT_MAX = 1024 * 1024,
    TEMPLATE_MEMORY_MAX = 32 * 1024 * 1024,
};

/* Appends the expanded text. ERR_INVALID: Prometheus' sentence ("error executing template …");
 * ERR_LIMIT, ERR_NOMEM. What was written before an error is taken back. */
int template_expand(StrView text, const TemplateOptions *opt, Buf *out, Err *err) NODISCARD;
/* Only parses; ERR_INVALID: "template: NAME:LINE: …". */
int template_check(StrView text, StrView name, Err *err) NODISCARD;
