/* check_internal.h - shared by check_config.c and check_rules.c. */
#pragma once

#include "monitor/tool/check.h"
#include "monitor/tool/internal.h"

/* What checks have found: failed without errors means that there are only lint problems. */
typedef struct CheckState {
    bool failed, errors;
} CheckState;

void check_rule_files(const ToolIo *io, const CheckOptions *o, ToolFiles files, CheckState *s);
int check_exit_code(const CheckOptions *o, const CheckState *s);
