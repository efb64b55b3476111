/* select.h - instant selection for info(). */
#pragma once

#include "monitor/promql/eval.h"

/* As a vector selector, but the values are the samples' times in ms. A histogram is an error. */
int select_times_ms(Eval *ev, Node *n, const Steps *steps, Stream **ret);
