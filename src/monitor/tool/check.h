/* check.h - `promtool check …`: configurations, rule files, web configurations, metrics. */
#pragma once

#include "monitor/tool/tool.h"

typedef struct CheckOptions {
    bool syntax_only; /* files that a configuration names are not looked at */
    bool agent;
    bool duplicate_rules, lint_fatal;
    bool ignore_unknown; /* keys of rule files */
    int64_t lookback_ms; /* scrape intervals of at least so much are a lint problem; 0: none is */
    unsigned features;   /* PromqlFeatures */
} CheckOptions;

/* Reads what --lint says ("all", "none", "duplicate-rules", for configurations also
 * "too-long-scrape-interval"; separated by commas) into `o`; an unknown one is told on io->out.
 * `lookback_ms` is what scrape intervals are held against. */
void check_lint_options(const ToolIo *io, StrView text, bool config, int64_t lookback_ms,
                        CheckOptions *o);

int tool_check_config(const ToolIo *io, const CheckOptions *o, ToolFiles files);
/* No files: rules come from io->in. */
int tool_check_rules(const ToolIo *io, const CheckOptions *o, ToolFiles files);
/* What the job's discovery finds in so much time, with and without relabelling, as JSON. Nothing,
 * and a mechanism that does not work, is a failure. */
int tool_check_service_discovery(const ToolIo *io, const char *file, const char *job,
                                 int64_t timeout_ms);
int tool_check_web_config(const ToolIo *io, ToolFiles files);
/* Metrics in the text format from io->in. TOOL_LINT: there are problems. */
int tool_check_metrics(const ToolIo *io, bool extended, bool lint);
