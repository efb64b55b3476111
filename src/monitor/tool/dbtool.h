/* dbtool.h - `promtool tsdb …`: databases on disk, and files that become blocks. A database is
 * never changed but by creating blocks; a server may be running on it. */
#pragma once

#include "monitor/tool/tool.h"

int tool_tsdb_list(const ToolIo *io, const char *dir, bool human);

typedef struct TsdbAnalyzeOptions {
    const char *dir;
    const char *block; /* NULL: the newest */
    const char *match; /* a selector; NULL: all series */
    unsigned limit;    /* items of each list */
    bool extended;     /* also what chunks hold */
} TsdbAnalyzeOptions;
int tool_tsdb_analyze(const ToolIo *io, const TsdbAnalyzeOptions *o);

typedef enum TsdbDumpFormat {
    TSDB_DUMP_PROM,
    TSDB_DUMP_SERIES_JSON,
    TSDB_DUMP_OPENMETRICS, /* without native histograms and staleness markers */
} TsdbDumpFormat;

typedef struct TsdbDumpOptions {
    const char *dir;
    const char *sandbox_root; /* where a copy of the log is made for a while; NULL: `dir` */
    int64_t min_time, max_time;
    const char *const *matches; /* selectors; none: all series */
    unsigned n_matches;
    TsdbDumpFormat format;
} TsdbDumpOptions;
int tool_tsdb_dump(const ToolIo *io, const TsdbDumpOptions *o);

typedef struct TsdbImportOptions {
    const char *input, *dir;
    int64_t block_ms;          /* the longest a block may be; at least two hours */
    const char *const *labels; /* "name=value" each: added to every series */
    unsigned n_labels;
    bool human, quiet;
} TsdbImportOptions;
typedef struct TsdbRulesOptions {
    const char *const *files; /* of rules */
    unsigned n_files;
    unsigned features; /* PromqlFeatures */
    const char *url, *http_config, *dir;
    const char *start, *end; /* RFC 3339 or seconds since 1970; end NULL: three hours ago */
    int64_t interval_ms;     /* of groups that say none */
    int64_t block_ms;        /* the longest a block may be; at least two hours */
} TsdbRulesOptions;
/* Blocks of what recording rules would have recorded, as a server evaluates them. */
int tool_tsdb_backfill(const ToolIo *io, const TsdbRulesOptions *o);
/* Blocks of the samples of an OpenMetrics file, each of which needs a time. */
int tool_tsdb_import(const ToolIo *io, const TsdbImportOptions *o);
