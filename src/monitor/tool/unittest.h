/* unittest.h - `promtool test rules`. */
#pragma once

#include "monitor/tool/tool.h"

typedef struct UnittestOptions {
    const char *const *run; /* patterns of names of tests; none: all are run */
    unsigned n_run;
    bool diff, debug, ignore_unknown;
    unsigned features; /* PromqlFeatures */
    const char *junit; /* a file for results as JUnit's XML; NULL: none */
} UnittestOptions;

int tool_test_rules(const ToolIo *io, const UnittestOptions *o, ToolFiles files);
