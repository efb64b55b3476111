/* prepare.h - what happens to a tree between parsing and evaluation. */
#pragma once

#include "monitor/promql/ast.h"

/* start(), end(), range(), step() become numbers, arithmetic of durations becomes durations,
 * `@ start()` a time; what is the same at every step is marked to be evaluated once. */
int promql_prepare(PromqlExpr *e, const PromqlQuery *q, Err *err) NODISCARD;
