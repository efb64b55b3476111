/* edit.h - `promtool promql …`: shows expressions in normal form, and changes their selectors. */
#pragma once

#include "monitor/tool/tool.h"

/* `features`: PromqlFeatures that the expression may use. */
int tool_promql_format(const ToolIo *io, unsigned features, const char *query);
/* `op`: "=", "!=", "=~" or "!~". */
int tool_promql_set_matcher(const ToolIo *io, unsigned features, const char *query, const char *op,
                            const char *name, const char *value);
int tool_promql_drop_matchers(const ToolIo *io, unsigned features, const char *query,
                              const char *name);
