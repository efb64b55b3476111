/* printers.h - the cells of Tables, between table.c and printers.c. */
#pragma once

#include "api/kinds.h"
#include "codec/value.h"

/* The cell of a column; false: nothing is known to show there. */
bool print_cell(Arena *a, const ApiResource *res, const ApiColumn *col, const Value *obj,
                Value *ret);
StrView print_duration(Arena *a, int64_t sec);
StrView print_since(Arena *a, StrView rfc3339); /* "<unknown>" without a time */
