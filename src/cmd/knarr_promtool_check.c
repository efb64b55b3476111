/* knarr_promtool_check.c - `knarr promtool check …`: flags and exit codes. */
#include "cmd/knarr_promtool.h"
#include "monitor/tool/check.h"

enum { LOOKBACK_MS = 5 * 60 * 1000, SD_TIMEOUT_MS = 30 * 1000 };

/* Flags of both kinds of checks that read rule files. */
typedef struct LintFlags {
    const char *lint;
    FlagAmount lookback;
    CheckOptions check;
    PromtoolFlags common;
} LintFlags;

static ToolFiles files_of(char **argv, int n)
{
    return (ToolFiles){ (const char *const *)argv + 1, (unsigned)n };
}

static void init(LintFlags *f)
{
    *f = (LintFlags){ .lint = "duplicate-rules", .lookback = { "5m", LOOKBACK_MS } };
}

static void finish(LintFlags *f, bool config)
{
    const ToolIo io = promtool_io();
    f->check.features = f->common.promql;
    check_lint_options(&io, sv_cstr(f->lint), config, f->lookback.value, &f->check);
}

int promtool_check_config(int argc, char **argv)
{
    LintFlags f;
    int n;
    init(&f);
    const Flag flags[] = {
        { "syntax-only", FLAG_ON, &f.check.syntax_only, NULL,
          "do not look at the files that a configuration names" },
        { "agent", FLAG_ON, &f.check.agent, NULL, "check for the agent mode" },
        { "lint", FLAG_TEXT, &f.lint, "NAMES",
          "all, duplicate-rules (the default), too-long-scrape-interval, none" },
        { "lint-fatal", FLAG_ON, &f.check.lint_fatal, NULL, "exit with 3 for lint problems" },
        { "ignore-unknown-fields", FLAG_ON, &f.check.ignore_unknown, NULL,
          "allow unknown keys in rule files" },
        { "query.lookback-delta", FLAG_AMOUNT, &f.lookback, "DURATION",
          "what too-long-scrape-interval compares with (5m)", .parse = promtool_duration },
    };
    const FlagSet set = { .program = "knarr promtool check config",
                          .args = "FILE…",
                          .about = "Checks configurations and the rule files, credentials, "
                                   "certificates and target files that they name.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &f.common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (!n)
        return promtool_usage_error(set.program, "no file is given");
    if (promtool_files_exist(argv + 1, n) != TOOL_OK)
        return TOOL_FAILED;
    const ToolIo io = promtool_io();
    finish(&f, true);
    return tool_check_config(&io, &f.check, files_of(argv, n));
}

int promtool_check_rules(int argc, char **argv)
{
    LintFlags f;
    int n;
    init(&f);
    const Flag flags[] = {
        { "lint", FLAG_TEXT, &f.lint, "NAMES", "all, duplicate-rules (the default), none" },
        { "lint-fatal", FLAG_ON, &f.check.lint_fatal, NULL, "exit with 3 for lint problems" },
        { "ignore-unknown-fields", FLAG_ON, &f.check.ignore_unknown, NULL, "allow unknown keys" },
        { "query.lookback-delta", FLAG_AMOUNT, &f.lookback, "DURATION", NULL,
          .parse = promtool_duration },
    };
    const FlagSet set = { .program = "knarr promtool check rules",
                          .args = "[FILE…]",
                          .about = "Checks rule files; without one, rules from standard input.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &f.common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (promtool_files_exist(argv + 1, n) != TOOL_OK)
        return TOOL_FAILED;
    const ToolIo io = promtool_io();
    finish(&f, false);
    return tool_check_rules(&io, &f.check, files_of(argv, n));
}

int promtool_check_metrics(int argc, char **argv)
{
    bool extended = false;
    const char *lint = "all";
    PromtoolFlags common;
    const Flag flags[] = {
        { "extended", FLAG_ON, &extended, NULL, "print how many series each metric has" },
        { "lint", FLAG_TEXT, &lint, "all|none", "whether to look for unusual metrics (all)" },
    };
    const FlagSet set = { .program = "knarr promtool check metrics",
                          .about = "Reads metrics in the text format from standard input and tells "
                                   "what is unusual about them (then it exits with 3).",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &common, argc, argv, NULL);
    if (r != FLAGS_OK)
        return r;
    const ToolIo io = promtool_io();
    return tool_check_metrics(&io, extended, strcmp(lint, "none") != 0);
}

int promtool_check_service_discovery(int argc, char **argv)
{
    PromtoolFlags common;
    FlagAmount timeout = { "30s", SD_TIMEOUT_MS };
    bool agent = false; /* the same jobs are read either way */
    int n;
    const Flag flags[] = {
        { "timeout", FLAG_AMOUNT, &timeout, "DURATION", "how long to discover (30s)",
          .parse = promtool_duration },
        { "agent", FLAG_ON, &agent, NULL, "read the configuration of an agent" },
    };
    const FlagSet set = { .program = "knarr promtool check service-discovery",
                          .args = "FILE JOB",
                          .about = "Discovers targets as a job of a configuration says, and shows "
                                   "their labels before and after relabelling.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (n != 2)
        return promtool_usage_error(set.program, "a configuration and a job are needed");
    if (promtool_files_exist(argv + 1, 1) != TOOL_OK)
        return TOOL_FAILED;
    const ToolIo io = promtool_io();
    return tool_check_service_discovery(&io, argv[1], argv[2], timeout.value);
}

int promtool_check_web_config(int argc, char **argv)
{
    PromtoolFlags common;
    int n;
    const FlagSet set = { .program = "knarr promtool check web-config",
                          .args = "FILE…",
                          .about = "Checks files of --web.config.file: keys, certificates, "
                                   "password hashes." };
    int r = promtool_parse(&set, &common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (!n)
        return promtool_usage_error(set.program, "no file is given");
    if (promtool_files_exist(argv + 1, n) != TOOL_OK)
        return TOOL_FAILED;
    const ToolIo io = promtool_io();
    return tool_check_web_config(&io, files_of(argv, n));
}
