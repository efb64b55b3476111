/* knarr_promtool.c - `knarr promtool …`: Prometheus' tool. To add a verb: a row in verbs[]. */
#include <stdio.h>
#include <string.h>

#include "cmd/knarr_promtool.h"
#include "monitor/promqltest/promqltest.h"

static int usage(FILE *out)
{
    fputs("usage: knarr promtool VERB …\n"
          "\n"
          "  check rules FILE…   check rule files\n"
          "  test promql FILE…   run PromQL test scripts\n",
          out);
    return out == stdout ? 0 : 2;
}

static int verb_test_promql(int argc, char **argv)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    PromqltestReport report = { .out = &out };
    int failed = 0;
    if (argc < 1)
        return usage(stderr);
    for (int i = 0; i < argc; i++) {
        Err err = { 0 };
        if (promqltest_run_file(argv[i], &report, &err) < 0) {
            fprintf(stderr, "knarr promtool: %s\n", err.msg);
            failed = 1;
        }
        fwrite(buf_view(&out).ptr, 1, out.len, stdout);
        buf_clear(&out);
    }
    printf("%u passed, %u failed\n", report.passed, report.failed);
    return failed || report.failed ? 1 : 0;
}

/* Verbs have one or two words. */
static const struct {
    const char *first, *second;
    int (*fn)(int argc, char **argv); /* without the verb's words */
} verbs[] = {
    { "check", "rules", promtool_check_rules },
    { "test", "promql", verb_test_promql },
};

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return usage(stdout);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        int words = verbs[i].second ? 2 : 1;
        if (strcmp(argv[1], verbs[i].first) == 0 &&
            (words == 1 || (argc > 2 && strcmp(argv[2], verbs[i].second) == 0)))
            return verbs[i].fn(argc - 1 - words, argv + 1 + words);
    }
    fprintf(stderr, "knarr promtool: '%s' is no verb; see `knarr promtool --help`\n", argv[1]);
    return 2;
}
