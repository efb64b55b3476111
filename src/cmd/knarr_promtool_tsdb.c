/* knarr_promtool_tsdb.c - `knarr promtool tsdb …`: flags and exit codes. */
#include "cmd/knarr_promtool.h"
#include "monitor/tool/dbtool.h"

#define DEFAULT_DIR "data/"
enum { INTERVAL_MS = 60 * 1000 };

/* Times are signed. */
static int parse_time(StrView text, int64_t *ret)
{
    return sv_to_i64(text, ret);
}

/* At least `least` and at most `most` arguments. */
static int parse(const FlagSet *set, int argc, char **argv, int least, int most, int *ret_n)
{
    PromtoolFlags common;
    int r = promtool_parse(set, &common, argc, argv, ret_n);
    if (r != FLAGS_OK)
        return r;
    if (*ret_n < least || *ret_n > most)
        return promtool_usage_error(set->program, *ret_n < least ? "an argument is missing"
                                                                 : "there are too many arguments");
    return FLAGS_OK;
}

int promtool_tsdb_list(int argc, char **argv)
{
    bool human = false;
    int n;
    const Flag flags[] = { { "human-readable", FLAG_ON, &human, NULL, "times and sizes for people",
                             .letter = 'r' } };
    const FlagSet set = { .program = "knarr promtool tsdb list",
                          .args = "[DIR]",
                          .about = "Lists the blocks of a database (" DEFAULT_DIR ").",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = parse(&set, argc, argv, 0, 1, &n);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r : tool_tsdb_list(&io, n ? argv[1] : DEFAULT_DIR, human);
}

int promtool_tsdb_analyze(int argc, char **argv)
{
    TsdbAnalyzeOptions o = { 0 };
    uint64_t limit = 20;
    int n;
    const Flag flags[] = {
        { "limit", FLAG_NUMBER, &limit, "N", "items of each list (20)" },
        { "extended", FLAG_ON, &o.extended, NULL, "also look into chunks" },
        { "match", FLAG_TEXT, &o.match, "SELECTOR", "only these series" },
    };
    const FlagSet set = { .program = "knarr promtool tsdb analyze",
                          .args = "[DIR [BLOCK]]",
                          .about = "Shows the labels and series of a block, the newest one of a "
                                   "database (" DEFAULT_DIR ") by default.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = parse(&set, argc, argv, 0, 2, &n);
    const ToolIo io = promtool_io();
    if (r != FLAGS_OK)
        return r;
    o.dir = n > 0 ? argv[1] : DEFAULT_DIR;
    o.block = n > 1 ? argv[2] : NULL;
    o.limit = (unsigned)MIN(limit, (uint64_t)UINT32_MAX);
    return tool_tsdb_analyze(&io, &o);
}

static int dump(const char *program, const char *about, bool openmetrics, int argc, char **argv)
{
    TsdbDumpOptions o = { .format = openmetrics ? TSDB_DUMP_OPENMETRICS : TSDB_DUMP_PROM };
    FlagAmount min = { .value = INT64_MIN }, max = { .value = INT64_MAX };
    FlagTexts matches = { 0 };
    const char *format = "prom";
    int n;
    const Flag flags[] = {
        { "min-time", FLAG_AMOUNT, &min, "MS", "from when, in ms since 1970", .parse = parse_time },
        { "max-time", FLAG_AMOUNT, &max, "MS", "until when", .parse = parse_time },
        { "match", FLAG_TEXTS, &matches, "SELECTOR", "only these series; may be given again" },
        { "sandbox-dir-root", FLAG_TEXT, &o.sandbox_root, "DIR",
          "where the log is copied to for a while (the database)" },
        { "format", FLAG_TEXT, &format, "prom|seriesjson", "samples, or series alone (prom)" },
    };
    const FlagSet set = { .program = program,
                          .args = "[DIR]",
                          .about = about,
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) - openmetrics };
    int r = parse(&set, argc, argv, 0, 1, &n);
    const ToolIo io = promtool_io();
    if (r != FLAGS_OK)
        return r;
    if (strcmp(format, "seriesjson") == 0)
        o.format = TSDB_DUMP_SERIES_JSON;
    else if (strcmp(format, "prom") != 0)
        return promtool_usage_error(program, "--format: expected prom or seriesjson");
    o.dir = n ? argv[1] : DEFAULT_DIR;
    o.min_time = min.value;
    o.max_time = max.value;
    o.matches = matches.items;
    o.n_matches = matches.len;
    return tool_tsdb_dump(&io, &o);
}

int promtool_tsdb_dump(int argc, char **argv)
{
    return dump("knarr promtool tsdb dump",
                "Prints the samples of a database (" DEFAULT_DIR "), blocks and log.", false, argc,
                argv);
}

int promtool_tsdb_dump_openmetrics(int argc, char **argv)
{
    return dump("knarr promtool tsdb dump-openmetrics",
                "Prints the samples of a database (" DEFAULT_DIR ") as OpenMetrics, without native "
                "histograms and staleness markers.",
                true, argc, argv);
}

int promtool_tsdb_import_openmetrics(int argc, char **argv)
{
    TsdbImportOptions o = { 0 };
    FlagAmount duration = { 0 };
    FlagTexts labels = { 0 };
    int n;
    const Flag flags[] = {
        { "human-readable", FLAG_ON, &o.human, NULL, "times and sizes for people", .letter = 'r' },
        { "quiet", FLAG_ON, &o.quiet, NULL, "do not list the blocks that are made", .letter = 'q' },
        { "max-block-duration", FLAG_AMOUNT, &duration, "DURATION",
          "the longest a block may be (2h)", .parse = promtool_duration },
        { "label", FLAG_TEXTS, &labels, "NAME=VALUE", "added to all series; may be given again" },
    };
    const FlagSet set = { .program = "knarr promtool tsdb create-blocks-from openmetrics",
                          .args = "FILE [DIR]",
                          .about = "Makes blocks of the samples of an OpenMetrics file, in a "
                                   "folder (" DEFAULT_DIR ") that may be a database.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = parse(&set, argc, argv, 1, 2, &n);
    const ToolIo io = promtool_io();
    if (r != FLAGS_OK)
        return r;
    o.input = argv[1];
    o.dir = n > 1 ? argv[2] : DEFAULT_DIR;
    o.block_ms = duration.value;
    o.labels = labels.items;
    o.n_labels = labels.len;
    return tool_tsdb_import(&io, &o);
}

int promtool_tsdb_import_rules(int argc, char **argv)
{
    TsdbRulesOptions o = { .url = "http://localhost:9090", .dir = DEFAULT_DIR };
    FlagAmount duration = { 0 }, interval = { "60s", INTERVAL_MS };
    PromtoolFlags common;
    int n;
    const Flag flags[] = {
        { "http.config.file", FLAG_TEXT, &o.http_config, "FILE",
          "how to talk HTTP: TLS, passwords, proxy" },
        { "url", FLAG_TEXT, &o.url, "URL", "the server that evaluates (http://localhost:9090)" },
        { "start", FLAG_TEXT, &o.start, "TIME", "RFC 3339 or seconds since 1970; needed" },
        { "end", FLAG_TEXT, &o.end, "TIME", "the same (three hours ago)" },
        { "output-dir", FLAG_TEXT, &o.dir, "DIR", "where blocks are made (" DEFAULT_DIR ")" },
        { "eval-interval", FLAG_AMOUNT, &interval, "DURATION",
          "of groups that say no interval (60s)", .parse = promtool_duration },
        { "max-block-duration", FLAG_AMOUNT, &duration, "DURATION",
          "the longest a block may be (2h)", .parse = promtool_duration },
        { "human-readable", FLAG_ON, &(bool){ false }, NULL, NULL, .letter = 'r' },
        { "quiet", FLAG_ON, &(bool){ false }, NULL, NULL, .letter = 'q' },
    };
    const FlagSet set = { .program = "knarr promtool tsdb create-blocks-from rules",
                          .args = "FILE…",
                          .about = "Makes blocks of what recording rules would have recorded, in "
                                   "a folder that may be a database.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (!n || !o.start || !*o.start || interval.value <= 0)
        return promtool_usage_error(set.program, !n ? "no file is given"
                                                 : interval.value <= 0
                                                     ? "--eval-interval: expected more than 0"
                                                     : "--start is needed");
    if (promtool_files_exist(argv + 1, n) != TOOL_OK)
        return TOOL_FAILED;
    const ToolIo io = promtool_io();
    o.files = (const char *const *)argv + 1;
    o.n_files = (unsigned)n;
    o.features = common.promql;
    o.interval_ms = interval.value;
    o.block_ms = duration.value;
    return tool_tsdb_backfill(&io, &o);
}
