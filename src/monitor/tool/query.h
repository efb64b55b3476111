/* query.h - `promtool query …` and `promtool check healthy|ready`: what a server answers. */
#pragma once

#include "monitor/tool/server.h"

typedef struct QueryOptions {
    ServerOptions server;
    bool json; /* -o json */
    /* RFC 3339 or seconds since 1970, as given; NULL: the defaults of promtool. */
    const char *time, *start, *end;
    int64_t step_ms;            /* 0: a 250th of the range, at least a second */
    const char *const *matches; /* selectors */
    unsigned n_matches;
    int64_t duration_ms; /* of `analyze` */
} QueryOptions;

int tool_query_instant(const ToolIo *io, const QueryOptions *o, const char *expr);
int tool_query_range(const ToolIo *io, const QueryOptions *o, const char *expr);
int tool_query_series(const ToolIo *io, const QueryOptions *o);
int tool_query_labels(const ToolIo *io, const QueryOptions *o, const char *name);
/* How many buckets of histograms are in use. */
int tool_query_analyze(const ToolIo *io, const QueryOptions *o);

/* `path`: "/-/healthy", "/-/ready". */
int tool_check_server(const ToolIo *io, const ServerOptions *o, const char *path);
