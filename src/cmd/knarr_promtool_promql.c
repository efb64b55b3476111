/* knarr_promtool_promql.c - `knarr promtool promql …`: flags and exit codes. */
#include "cmd/knarr_promtool.h"
#include "monitor/tool/edit.h"

/* Returns FLAGS_OK or the exit code. */
static int parse(const FlagSet *set, PromtoolFlags *f, int argc, char **argv, int wanted)
{
    int n, r = promtool_parse(set, f, argc, argv, &n);
    if (r != FLAGS_OK)
        return r;
    if (n != wanted)
        return promtool_usage_error(set->program, n < wanted ? "an argument is missing"
                                                             : "there are too many arguments");
    if (!f->experimental)
        return promtool_usage_error(set->program, "this verb is experimental: it needs the flag "
                                                  "--experimental");
    return FLAGS_OK;
}

int promtool_promql_format(int argc, char **argv)
{
    PromtoolFlags f;
    const FlagSet set = { .program = "knarr promtool promql format",
                          .args = "EXPR",
                          .about = "Shows an expression in normal form, over several lines where "
                                   "it is long." };
    int r = parse(&set, &f, argc, argv, 1);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r : tool_promql_format(&io, f.promql, argv[1]);
}

int promtool_promql_set(int argc, char **argv)
{
    PromtoolFlags f;
    const char *type = "=";
    const Flag flags[] = { { "type", FLAG_TEXT, &type, "=|!=|=~|!~", "how it matches (=)",
                             .letter = 't' } };
    const FlagSet set = { .program = "knarr promtool promql label-matchers set",
                          .args = "EXPR NAME VALUE",
                          .about = "Sets a label matcher in every selector of an expression.",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int r = parse(&set, &f, argc, argv, 3);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r
                         : tool_promql_set_matcher(&io, f.promql, argv[1], type, argv[2], argv[3]);
}

int promtool_promql_delete(int argc, char **argv)
{
    PromtoolFlags f;
    const FlagSet set = { .program = "knarr promtool promql label-matchers delete",
                          .args = "EXPR NAME",
                          .about = "Takes the matchers of a label out of every selector of an "
                                   "expression." };
    int r = parse(&set, &f, argc, argv, 2);
    const ToolIo io = promtool_io();
    return r != FLAGS_OK ? r : tool_promql_drop_matchers(&io, f.promql, argv[1], argv[2]);
}
