/* knarr_promtool.c - `knarr promtool …`: Prometheus' tool. To add a verb: a row in verbs[]. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/knarr_promtool.h"
#include "cmd/output.h"
#include "monitor/model/duration.h"
#include "monitor/promql/promql.h"

ToolIo promtool_io(void)
{
    return (ToolIo){ stdin, stdout, stderr };
}

int promtool_duration(StrView text, int64_t *ret_ms)
{
    int64_t ns;
    if (prom_duration_parse(text, ret_ms) == 0)
        return 0;
    if (duration_parse(text, &ns) < 0)
        return -EINVAL;
    *ret_ms = ns / NSEC_PER_MSEC;
    return 0;
}

/* ---- flags that all verbs have ---- */

static void take_features(PromtoolFlags *f)
{
    f->promql = PROMQL_DURATION_EXPR; /* on in promtool, whatever the flag says */
    for (unsigned i = 0; i < f->features.len; i++) {
        StrView rest = sv_cstr(f->features.items[i]), name;
        while (sv_next(&rest, ',', &name)) {
            unsigned one = promql_feature(name);
            f->promql |= one;
            if (!one && name.len)
                printf("  WARNING: Unknown feature passed to --enable-feature: %.*s", SV_FMT(name));
        }
    }
}

int promtool_parse(const FlagSet *own, PromtoolFlags *f, int argc, char **argv, int *ret_rest)
{
    Flag flags[PROMTOOL_FLAGS_MAX];
    FlagSet set = *own;
    *f = (PromtoolFlags){ 0 };
    ASSERT(own->len + 2 <= PROMTOOL_FLAGS_MAX);
    if (own->len)
        memcpy(flags, own->flags, own->len * sizeof *flags);
    flags[set.len++] = (Flag){ "enable-feature", FLAG_TEXTS, &f->features, "NAMES",
                               "PromQL features that are off by default" };
    flags[set.len++] = (Flag){ "experimental", FLAG_ON, &f->experimental, NULL,
                               "allow commands that promtool calls experimental" };
    set.flags = flags;
    int r = flags_parse(&set, argc, argv, ret_rest);
    if (r == FLAGS_OK)
        take_features(f);
    return r > 0 ? TOOL_FAILED : r;
}

int promtool_usage_error(const char *program, const char *what)
{
    fprintf(stderr, "%s: %s; see `%s --help`\n", program, what, program);
    return TOOL_FAILED;
}

int promtool_files_exist(char **files, int n)
{
    for (int i = 0; i < n; i++)
        if (access(files[i], F_OK) < 0) {
            fprintf(stderr, "knarr promtool: path '%s' does not exist\n", files[i]);
            return TOOL_FAILED;
        }
    return TOOL_OK;
}

/* ---- which verb ---- */

enum { WORDS_MAX = 3 };
static const struct {
    const char *words[WORDS_MAX]; /* NULL: fewer words */
    int (*fn)(int argc, char **argv);
    const char *help;
} verbs[] = {
    { { "check", "config" }, promtool_check_config, "check configurations and what they name" },
    { { "check", "rules" }, promtool_check_rules, "check rule files" },
    { { "check", "metrics" }, promtool_check_metrics, "lint metrics from standard input" },
    { { "check", "service-discovery" },
      promtool_check_service_discovery,
      "show what a job discovers" },
    { { "check", "web-config" }, promtool_check_web_config, "check --web.config.file files" },
    { { "check", "healthy" }, promtool_check_healthy, "ask whether a server is healthy" },
    { { "check", "ready" }, promtool_check_ready, "ask whether a server is ready" },
    { { "test", "rules" }, promtool_test_rules, "run unit tests of rules" },
    { { "test", "promql" }, promtool_test_promql, "run PromQL test scripts" },
    { { "query", "instant" }, promtool_query_instant, "evaluate an expression at one time" },
    { { "query", "range" }, promtool_query_range, "evaluate an expression over a range" },
    { { "query", "series" }, promtool_query_series, "list series of a server" },
    { { "query", "labels" }, promtool_query_labels, "list the values of a label" },
    { { "query", "analyze" }, promtool_query_analyze, "show how buckets of histograms are used" },
    { { "debug", "pprof" }, promtool_debug_pprof, "fetch profiles of a server" },
    { { "debug", "metrics" }, promtool_debug_metrics, "fetch the metrics of a server" },
    { { "debug", "all" }, promtool_debug_all, "fetch both" },
    { { "push", "metrics" }, promtool_push_metrics, "send metrics by remote write" },
    { { "promql", "format" }, promtool_promql_format, "show an expression in normal form" },
    { { "promql", "label-matchers", "set" },
      promtool_promql_set,
      "set a matcher in an expression" },
    { { "promql", "label-matchers", "delete" },
      promtool_promql_delete,
      "take a label's matchers out of an expression" },
    { { "tsdb", "list" }, promtool_tsdb_list, "list the blocks of a database" },
    { { "tsdb", "analyze" }, promtool_tsdb_analyze, "show labels and series of a block" },
    { { "tsdb", "dump" }, promtool_tsdb_dump, "print the samples of a database" },
    { { "tsdb", "dump-openmetrics" }, promtool_tsdb_dump_openmetrics, "the same as OpenMetrics" },
    { { "tsdb", "create-blocks-from", "openmetrics" },
      promtool_tsdb_import_openmetrics,
      "make blocks of an OpenMetrics file" },
    { { "tsdb", "create-blocks-from", "rules" },
      promtool_tsdb_import_rules,
      "make blocks of recording rules" },
};

static int usage(FILE *out)
{
    fputs("usage: knarr promtool VERB [flags] …\n\n", out);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        int n = fprintf(out, "  %s", verbs[i].words[0]);
        for (int w = 1; w < WORDS_MAX && verbs[i].words[w]; w++)
            n += fprintf(out, " %s", verbs[i].words[w]);
        fprintf(out, "%*s%s\n", MAX(38 - n, 2), "", verbs[i].help);
    }
    fputs("\n`knarr promtool VERB --help` says more about one.\n", out);
    return out == stdout ? TOOL_OK : TOOL_FAILED;
}

/* Flags that may stand between the words of a verb and whose value is a word of its own. */
static bool takes_value(const char *flag)
{
    static const char *const names[] = { "-o",
                                         "--format",
                                         "--http.config.file",
                                         "--enable-feature",
                                         "--query.lookback-delta",
                                         "--junit",
                                         "--max-block-duration" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(flag, names[i]) == 0)
            return true;
    return false;
}

/* Where the first words that are no flags stand in argv; returns how many were found. */
static int find_words(int argc, char **argv, int at[static WORDS_MAX])
{
    int n = 0;
    for (int i = 1; i < argc && n < WORDS_MAX; i++) {
        if (argv[i][0] != '-')
            at[n++] = i;
        else if (takes_value(argv[i]))
            i++;
    }
    return n;
}

static int words_of(size_t verb, char **argv, const int *at, int n)
{
    int w = 0;
    while (w < WORDS_MAX && verbs[verb].words[w] && w < n &&
           strcmp(argv[at[w]], verbs[verb].words[w]) == 0)
        w++;
    return w == WORDS_MAX || !verbs[verb].words[w] ? w : 0;
}

int main(int argc, char **argv)
{
    int at[WORDS_MAX], n = find_words(argc, argv, at);
    signal(SIGPIPE, SIG_IGN); /* a reader that has enough is an error of writing like others */
    log_init("promtool");
    log_set_level(LOG_LEVEL_WARN);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        int words = words_of(i, argv, at, n);
        if (!words)
            continue;
        for (int w = words; w-- > 0; argc--)
            memmove(&argv[at[w]], &argv[at[w] + 1], (size_t)(argc - at[w]) * sizeof *argv);
        return output_end("knarr promtool", verbs[i].fn(argc, argv));
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("promtool, version " KNARR_VERSION " (knarr)");
        return TOOL_OK;
    }
    if (n == 0 && argc > 1)
        return usage(stdout);
    if (n > 0 && strcmp(argv[at[0]], "help") == 0)
        return usage(stdout);
    if (n > 0) {
        fprintf(stderr, "knarr promtool: '%s%s%s' is no verb; see `knarr promtool --help`\n",
                argv[at[0]], n > 1 ? " " : "", n > 1 ? argv[at[1]] : "");
        return TOOL_FAILED;
    }
    return usage(stderr);
}
