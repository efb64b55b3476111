/* check_metrics.c - `check metrics`: unusual metrics, and how many series each family has. */
#include "monitor/tool/check.h"
#include "monitor/tool/families.h"
#include "monitor/tool/internal.h"
#include "monitor/tool/promlint.h"

typedef struct Stat {
    StrView name;
    uint64_t series;
} Stat;

static int by_series(const void *a, const void *b)
{
    const Stat *x = a, *y = b;
    if (x->series != y->series)
        return x->series > y->series ? -1 : 1;
    return sv_cmp(x->name, y->name);
}

/* Of a histogram or summary: sum, count and as many buckets as the first one has. */
static uint64_t count_series(const Family *f)
{
    bool grouped = f->type == EXPO_HISTOGRAM_TYPE || f->type == EXPO_SUMMARY;
    return grouped ? f->n * (2ull + f->metrics[0].parts) : f->n;
}

static int print_cardinality(const ToolIo *io, Families *f, Err *err)
{
    enum { COLUMNS = 3 };
    const ToolTable table = { .n_columns = COLUMNS, .min = 4, .padding = 4, .last = true };
    Arena *a = &f->arena;
    Stat *stats = arena_array(a, Stat, f->n + 1);
    StrView *cells = arena_array(a, StrView, COLUMNS * (f->n + 2));
    size_t n = 0, at = 0;
    uint64_t total = 0;
    if (!stats || !cells)
        return err_nomem(err);
    for (size_t i = 0; i < f->n; i++) {
        if (!f->items[i]->n)
            continue;
        stats[n] = (Stat){ f->items[i]->name, count_series(f->items[i]) };
        total += stats[n++].series;
    }
    qsort(stats, n, sizeof *stats, by_series);
    cells[at++] = SV("Metric");
    cells[at++] = SV("Cardinality");
    cells[at++] = SV("Percentage");
    for (size_t i = 0; i < n; i++) {
        cells[at++] = stats[i].name;
        cells[at++] = arena_printf(a, "%llu", (unsigned long long)stats[i].series);
        cells[at++] = arena_printf(a, "%.2f%%", 100 * ((double)stats[i].series / (double)total));
    }
    cells[at++] = SV("Total");
    cells[at++] = arena_printf(a, "%llu", (unsigned long long)total);
    cells[at++] = SV("100%");
    for (size_t i = 0; i < at; i++)
        if (!cells[i].ptr)
            return err_nomem(err);
    tool_table(io->out, &table, cells, at / COLUMNS);
    return 0;
}

static int run(const ToolIo *io, bool extended, bool lint, Families *f, Err *err)
{
    LintProblem *problems = NULL;
    size_t n = 0;
    if (lint && promlint(f, &problems, &n, err) < 0)
        return tool_failed(io, err);
    for (size_t i = 0; i < n; i++)
        tool_complain(io, "%.*s %.*s\n", SV_FMT(problems[i].metric), SV_FMT(problems[i].text));
    if (extended && print_cardinality(io, f, err) < 0)
        return tool_failed(io, err);
    return n ? TOOL_LINT : TOOL_OK;
}

int tool_check_metrics(const ToolIo *io, bool extended, bool lint)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Families f;
    Err err = { 0 };
    if (!extended && !lint) {
        tool_complain(io, "error: at least one of --extended or linting must be enabled\n"
                          "Use --extended for cardinality analysis, or remove --lint=none to "
                          "enable linting\n");
        return TOOL_FAILED;
    }
    if (tool_read(io, NULL, &text, &err) < 0)
        return tool_failed(io, &err);
    int r = families_parse(buf_view(&text), FAMILIES_MEMORY_MAX, &f, &err);
    if (r < 0)
        tool_complain(io, "%s: %s\n",
                      lint ? "error while linting" : "error while parsing text to metric families",
                      err.msg);
    r = r < 0 ? TOOL_FAILED : run(io, extended, lint, &f, &err);
    families_free(&f);
    return r;
}
