/* internal.h - what the verbs share. Private to tool/. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "monitor/model/labels.h"
#include "monitor/tool/tool.h"

/* Prints to the error stream, behind what the output stream holds. */
void tool_complain(const ToolIo *io, const char *fmt, ...) PRINTF(2, 3);
/* The message of `err` alone on a line; returns TOOL_FAILED. */
int tool_failed(const ToolIo *io, const Err *err);

/* A whole file, or with `path` NULL the input stream, up to TOOL_INPUT_MAX. */
int tool_read(const ToolIo *io, const char *path, Buf *out, Err *err) NODISCARD;

/* The files that match a shell pattern, sorted; in `a`. None is no error. */
int tool_glob(const char *pattern, Arena *a, char ***ret, size_t *ret_n, Err *err) NODISCARD;

/* Columns as Go's text/tabwriter aligns them: each as wide as its longest cell and `padding`, and
 * at least `min`. `cells` has n_rows * n_columns texts. `last` pads the last column as well. */
typedef struct ToolTable {
    unsigned n_columns, min, padding;
    bool last;
} ToolTable;
void tool_table(FILE *out, const ToolTable *t, const StrView *cells, size_t n_rows);

/* A time as flags give it: RFC 3339, or seconds since 1970 with a fraction. In ms. */
int tool_time(StrView text, int64_t *ret_ms, Err *err) NODISCARD;

/* A JSON string as Go's encoder writes it: <, > and & are escaped as well. */
void tool_json_string(StrView s, Buf *out);
void tool_json_labels(Labels l, Buf *out);
