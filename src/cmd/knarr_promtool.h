/* knarr_promtool.h - the verbs of `knarr promtool`, and what their command lines share. */
#pragma once

#include "cmd/flags.h"
#include "monitor/tool/tool.h"

/* Flags that every verb takes. */
typedef struct PromtoolFlags {
    FlagTexts features;
    bool experimental;
    unsigned promql; /* PromqlFeatures, of `features` */
} PromtoolFlags;

enum { PROMTOOL_FLAGS_MAX = 24 };

/* Parses a verb's own flags and those of PromtoolFlags. Returns FLAGS_OK, or the exit code: as with
 * promtool 1 after a mistake. Files that are named in the rest are not looked at. */
int promtool_parse(const FlagSet *own, PromtoolFlags *f, int argc, char **argv,
                   int *ret_rest) NODISCARD;
/* TOOL_OK, or a complaint about one that is not there, and TOOL_FAILED. */
int promtool_files_exist(char **files, int n);
int promtool_usage_error(const char *program, const char *what);
ToolIo promtool_io(void);
/* For FLAG_AMOUNT: a duration in ms. */
int promtool_duration(StrView text, int64_t *ret_ms);

/* argv[0] is the verb, what follows are its arguments. Returns the exit code. */
int promtool_check_config(int argc, char **argv);
int promtool_check_rules(int argc, char **argv);
int promtool_check_metrics(int argc, char **argv);
int promtool_check_service_discovery(int argc, char **argv);
int promtool_check_web_config(int argc, char **argv);
int promtool_test_rules(int argc, char **argv);
int promtool_test_promql(int argc, char **argv);
int promtool_query_instant(int argc, char **argv);
int promtool_query_range(int argc, char **argv);
int promtool_query_series(int argc, char **argv);
int promtool_query_labels(int argc, char **argv);
int promtool_query_analyze(int argc, char **argv);
int promtool_check_healthy(int argc, char **argv);
int promtool_check_ready(int argc, char **argv);
int promtool_debug_pprof(int argc, char **argv);
int promtool_debug_metrics(int argc, char **argv);
int promtool_debug_all(int argc, char **argv);
int promtool_push_metrics(int argc, char **argv);
int promtool_promql_format(int argc, char **argv);
int promtool_promql_set(int argc, char **argv);
int promtool_promql_delete(int argc, char **argv);
int promtool_tsdb_list(int argc, char **argv);
int promtool_tsdb_analyze(int argc, char **argv);
int promtool_tsdb_dump(int argc, char **argv);
int promtool_tsdb_dump_openmetrics(int argc, char **argv);
int promtool_tsdb_import_openmetrics(int argc, char **argv);
int promtool_tsdb_import_rules(int argc, char **argv);
