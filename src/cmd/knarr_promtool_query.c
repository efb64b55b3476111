/* knarr_promtool_query.c - `knarr promtool query …`, `check healthy|ready`, `push …` and `debug …`:
 * flags and exit codes. */
#include "cmd/knarr_promtool.h"
#include "monitor/tool/debug.h"
#include "monitor/tool/push.h"
#include "monitor/tool/query.h"

enum { HOUR_MS = 3600 * 1000, QUERY_FLAGS_MAX = 12, PUSH_TIMEOUT_MS = 30 * 1000 };

typedef struct QueryFlags {
    const char *format;
    FlagTexts headers, matches;
    FlagAmount step, duration;
    QueryOptions query;
    PromtoolFlags common;
} QueryFlags;

static void init(QueryFlags *f)
{
    *f = (QueryFlags){ .format = "promql", .duration = { "1h", HOUR_MS } };
}

static unsigned shared_flags(QueryFlags *f, Flag *to)
{
    const Flag flags[] = {
        { "format", FLAG_TEXT, &f->format, "promql|json", "how results are printed (promql)",
          .letter = 'o' },
        { "http.config.file", FLAG_TEXT, &f->query.server.http_config, "FILE",
          "how to talk HTTP: TLS, passwords, proxy" },
    };
    memcpy(to, flags, sizeof flags);
    return ARRAY_SIZE(flags);
}

static unsigned range_flags(QueryFlags *f, Flag *to)
{
    const Flag flags[] = {
        { "start", FLAG_TEXT, &f->query.start, "TIME", "RFC 3339 or seconds since 1970" },
        { "end", FLAG_TEXT, &f->query.end, "TIME", "the same" },
    };
    memcpy(to, flags, sizeof flags);
    return ARRAY_SIZE(flags);
}

/* The first argument is the server unless it was a flag. Returns FLAGS_OK or the exit code. */
static int parse(QueryFlags *f, const FlagSet *set, int argc, char **argv, int wanted)
{
    int n = 0, r = promtool_parse(set, &f->common, argc, argv, set->args ? &n : NULL);
    if (r != FLAGS_OK)
        return r;
    if (n != wanted)
        return promtool_usage_error(set->program, n < wanted ? "an argument is missing"
                                                             : "there are too many arguments");
    f->query.json = strcmp(f->format, "json") == 0;
    if (!f->query.json && strcmp(f->format, "promql") != 0)
        return promtool_usage_error(set->program, "--format: expected promql or json");
    if (wanted)
        f->query.server.url = argv[1];
    f->query.server.headers = f->headers.items;
    f->query.server.n_headers = f->headers.len;
    f->query.matches = f->matches.items;
    f->query.n_matches = f->matches.len;
    f->query.step_ms = f->step.value;
    f->query.duration_ms = f->duration.value;
    return FLAGS_OK;
}

int promtool_query_instant(int argc, char **argv)
{
    QueryFlags f;
    Flag flags[QUERY_FLAGS_MAX];
    init(&f);
    unsigned n = shared_flags(&f, flags);
    flags[n++] = (Flag){ "time", FLAG_TEXT, &f.query.time, "TIME",
                         "when: RFC 3339 or seconds since 1970 (now)" };
    flags[n++] = (Flag){ "header", FLAG_TEXTS, &f.headers, "NAME=VALUE", "sent to the server" };
    const FlagSet set = { .program = "knarr promtool query instant",
                          .args = "SERVER EXPR",
                          .about = "Evaluates an expression at one time.",
                          .flags = flags,
                          .len = n };
    int r = parse(&f, &set, argc, argv, 2);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r : tool_query_instant(&io, &f.query, argv[2]);
}

int promtool_query_range(int argc, char **argv)
{
    QueryFlags f;
    Flag flags[QUERY_FLAGS_MAX];
    init(&f);
    unsigned n = shared_flags(&f, flags);
    n += range_flags(&f, flags + n);
    flags[n++] = (Flag){ "step",
                         FLAG_AMOUNT,
                         &f.step,
                         "DURATION",
                         "between two points (a 250th of the range)",
                         .parse = promtool_duration };
    flags[n++] = (Flag){ "header", FLAG_TEXTS, &f.headers, "NAME=VALUE", "sent to the server" };
    const FlagSet set = { .program = "knarr promtool query range",
                          .args = "SERVER EXPR",
                          .about = "Evaluates an expression over a range of time, the last five "
                                   "minutes by default.",
                          .flags = flags,
                          .len = n };
    int r = parse(&f, &set, argc, argv, 2);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r : tool_query_range(&io, &f.query, argv[2]);
}

int promtool_query_series(int argc, char **argv)
{
    QueryFlags f;
    Flag flags[QUERY_FLAGS_MAX];
    init(&f);
    unsigned n = shared_flags(&f, flags);
    n += range_flags(&f, flags + n);
    flags[n++] = (Flag){ "match", FLAG_TEXTS, &f.matches, "SELECTOR", "which; may be given again" };
    const FlagSet set = { .program = "knarr promtool query series",
                          .args = "SERVER",
                          .about = "Lists the series that match any of the selectors.",
                          .flags = flags,
                          .len = n };
    int r = parse(&f, &set, argc, argv, 1);
    if (r != FLAGS_OK)
        return r;
    if (!f.matches.len)
        return promtool_usage_error(set.program, "--match is needed");
    const ToolIo io = promtool_io();
    return tool_query_series(&io, &f.query);
}

int promtool_query_labels(int argc, char **argv)
{
    QueryFlags f;
    Flag flags[QUERY_FLAGS_MAX];
    init(&f);
    unsigned n = shared_flags(&f, flags);
    n += range_flags(&f, flags + n);
    flags[n++] = (Flag){ "match", FLAG_TEXTS, &f.matches, "SELECTOR", "only of these series" };
    const FlagSet set = { .program = "knarr promtool query labels",
                          .args = "SERVER NAME",
                          .about = "Lists the values of a label.",
                          .flags = flags,
                          .len = n };
    int r = parse(&f, &set, argc, argv, 2);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r : tool_query_labels(&io, &f.query, argv[2]);
}

int promtool_query_analyze(int argc, char **argv)
{
    QueryFlags f;
    Flag flags[QUERY_FLAGS_MAX];
    const char *type = NULL;
    init(&f);
    unsigned n = shared_flags(&f, flags);
    flags[n++] =
        (Flag){ "server", FLAG_TEXT, &f.query.server.url, "URL", "the server", .needed = true };
    flags[n++] = (Flag){ "type", FLAG_TEXT, &type, "TYPE", "histogram", .needed = true };
    flags[n++] = (Flag){ "duration",
                         FLAG_AMOUNT,
                         &f.duration,
                         "DURATION",
                         "how far to look back (1h)",
                         .parse = promtool_duration };
    flags[n++] = (Flag){ "time", FLAG_TEXT, &f.query.time, "TIME", "from when (now)" };
    flags[n++] = (Flag){ "match", FLAG_TEXTS, &f.matches, "SELECTOR", "which; may be given again" };
    const FlagSet set = { .program = "knarr promtool query analyze",
                          .about = "Shows how many buckets of histograms are in use.",
                          .flags = flags,
                          .len = n };
    int r = parse(&f, &set, argc, argv, 0);
    if (r != FLAGS_OK)
        return r;
    if (!f.matches.len)
        return promtool_usage_error(set.program, "--match is needed");
    if (strcmp(type, "histogram") != 0) {
        fprintf(stderr, "analyze type is %s, must be 'histogram'\n", type);
        return TOOL_FAILED;
    }
    const ToolIo io = promtool_io();
    return tool_query_analyze(&io, &f.query);
}

/* ---- check healthy, check ready ---- */

static int check_server(const char *program, const char *path, int argc, char **argv)
{
    ServerOptions o = { .url = "http://localhost:9090" };
    FlagAmount lookback = { 0 };
    PromtoolFlags common;
    const Flag flags[] = {
        { "url", FLAG_TEXT, &o.url, "URL", "the server (http://localhost:9090)" },
        { "http.config.file", FLAG_TEXT, &o.http_config, "FILE",
          "how to talk HTTP: TLS, passwords, proxy" },
        { "query.lookback-delta", FLAG_AMOUNT, &lookback, "DURATION", NULL,
          .parse = promtool_duration },
    };
    const FlagSet set = { .program = program,
                          .about = "Asks a server how it is; the exit code tells.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &common, argc, argv, NULL);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r : tool_check_server(&io, &o, path);
}

int promtool_check_healthy(int argc, char **argv)
{
    return check_server("knarr promtool check healthy", "/-/healthy", argc, argv);
}

int promtool_check_ready(int argc, char **argv)
{
    return check_server("knarr promtool check ready", "/-/ready", argc, argv);
}

/* ---- debug ---- */

static int debug(const char *program, unsigned what, int argc, char **argv)
{
    PromtoolFlags common;
    int n;
    const FlagSet set = { .program = program,
                          .args = "SERVER",
                          .about = "Fetches debug information of a server into debug.tar.gz." };
    int r = promtool_parse(&set, &common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (n != 1)
        return promtool_usage_error(program, "expected one server");
    const ToolIo io = promtool_io();
    return tool_debug(&io, argv[1], what);
}

int promtool_debug_pprof(int argc, char **argv)
{
    return debug("knarr promtool debug pprof", DEBUG_PPROF, argc, argv);
}

int promtool_debug_metrics(int argc, char **argv)
{
    return debug("knarr promtool debug metrics", DEBUG_METRICS, argc, argv);
}

int promtool_debug_all(int argc, char **argv)
{
    return debug("knarr promtool debug all", DEBUG_PPROF | DEBUG_METRICS, argc, argv);
}

int promtool_push_metrics(int argc, char **argv)
{
    static const char *const usual[] = { "job=promtool" };
    const char *message = "prometheus.WriteRequest";
    FlagTexts labels = { 0 }, headers = { 0 };
    FlagAmount timeout = { "30s", PUSH_TIMEOUT_MS };
    PromtoolFlags common;
    PushOptions o = { .path = "/api/v1/write" };
    int n;
    const Flag flags[] = {
        { "http.config.file", FLAG_TEXT, &o.server.http_config, "FILE",
          "how to talk HTTP: TLS, passwords, proxy" },
        { "label", FLAG_TEXTS, &labels, "NAME=VALUE", "added to all series (job=promtool)" },
        { "timeout", FLAG_AMOUNT, &timeout, "DURATION", "of a request (30s)",
          .parse = promtool_duration },
        { "header", FLAG_TEXTS, &headers, "NAME=VALUE", "sent to the server" },
        { "protobuf_message", FLAG_TEXT, &message, "NAME",
          "prometheus.WriteRequest (the default) or io.prometheus.write.v2.Request" },
        { "remote-write.path", FLAG_TEXT, &o.path, "PATH", "behind the URL (/api/v1/write)" },
    };
    const FlagSet set = { .program = "knarr promtool push metrics",
                          .args = "URL [FILE…]",
                          .about = "Sends metrics of text files, or from standard input, by remote "
                                   "write, for tests.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (!n)
        return promtool_usage_error(set.program, "an argument is missing");
    o.v2 = strcmp(message, "io.prometheus.write.v2.Request") == 0;
    if (!o.v2 && strcmp(message, "prometheus.WriteRequest") != 0)
        return promtool_usage_error(set.program,
                                    "--protobuf_message: expected prometheus.WriteRequest or "
                                    "io.prometheus.write.v2.Request");
    if (promtool_files_exist(argv + 2, n - 1) != TOOL_OK)
        return TOOL_FAILED;
    const ToolIo io = promtool_io();
    o.server.url = argv[1];
    o.server.headers = headers.items;
    o.server.n_headers = headers.len;
    o.labels = labels.len ? labels.items : usual;
    o.n_labels = labels.len ? labels.len : ARRAY_SIZE(usual);
    o.timeout_ms = (uint32_t)MIN(timeout.value, INT64_C(1) << 31);
    return tool_push_metrics(&io, &o,
                             (ToolFiles){ (const char *const *)argv + 2, (unsigned)n - 1 });
}
