/* promlint.h - what is unusual about a metric: the rules of client_golang's promlint, which follow
 * https://prometheus.io/docs/practices/naming/. To add one: a function in rules[]. */
#pragma once

#include "monitor/tool/families.h"

typedef struct LintProblem {
    StrView metric, text;
} LintProblem;

/* By metric and text; in families' arena. */
int promlint(Families *f, LintProblem **ret, size_t *ret_n, Err *err) NODISCARD;
