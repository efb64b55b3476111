/* knarr_promtool_test.c - `knarr promtool test …`: flags and exit codes. */
#include <stdio.h>

#include "cmd/knarr_promtool.h"
#include "monitor/promqltest/promqltest.h"
#include "monitor/tool/unittest.h"

int promtool_test_rules(int argc, char **argv)
{
    UnittestOptions o = { 0 };
    FlagTexts run = { 0 };
    PromtoolFlags common;
    int n;
    const Flag flags[] = {
        { "run", FLAG_TEXTS, &run, "REGEX", "only tests whose names match; may be given again" },
        { "diff", FLAG_ON, &o.diff, NULL, "show the difference of alerts, in colours" },
        { "debug", FLAG_ON, &o.debug, NULL, "print all series of each test" },
        { "junit", FLAG_TEXT, &o.junit, "FILE", "write the results as JUnit's XML" },
        { "ignore-unknown-fields", FLAG_ON, &o.ignore_unknown, NULL,
          "allow unknown keys in rule files" },
    };
    const FlagSet set = { .program = "knarr promtool test rules",
                          .args = "FILE…",
                          .about = "Runs unit tests of rules.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = promtool_parse(&set, &common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (!n)
        return promtool_usage_error(set.program, "no file is given");
    if (promtool_files_exist(argv + 1, n) != TOOL_OK)
        return TOOL_FAILED;
    const ToolIo io = promtool_io();
    o.run = run.items;
    o.n_run = run.len;
    o.features = common.promql;
    return tool_test_rules(&io, &o, (ToolFiles){ (const char *const *)argv + 1, (unsigned)n });
}

int promtool_test_promql(int argc, char **argv)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    PromqltestReport report = { .out = &out };
    PromtoolFlags common;
    int failed = 0, n;
    const FlagSet set = { .program = "knarr promtool test promql",
                          .args = "FILE…",
                          .about = "Runs Prometheus' PromQL test scripts (load, eval, clear)." };
    int r = promtool_parse(&set, &common, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (!n)
        return promtool_usage_error(set.program, "no file is given");
    for (int i = 1; i <= n; i++) {
        Err err = { 0 };
        if (promqltest_run_file(argv[i], &report, &err) < 0) {
            fprintf(stderr, "knarr promtool: %s\n", err.msg);
            failed = 1;
        }
        fwrite(buf_view(&out).ptr, 1, out.len, stdout);
        buf_clear(&out);
    }
    printf("%u passed, %u failed\n", report.passed, report.failed);
    return failed || report.failed ? TOOL_FAILED : TOOL_OK;
}
