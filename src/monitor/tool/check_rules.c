/* check_rules.c - rule files: what rule_file_load() says, and rules that are there twice. */
#include "monitor/rules/rulefile.h"
#include "monitor/tool/check_internal.h"

void check_lint_options(const ToolIo *io, StrView text, bool config, int64_t lookback_ms,
                        CheckOptions *o)
{
    StrView one;
    bool none = false;
    o->duplicate_rules = false;
    o->lookback_ms = 0;
    while (sv_next(&text, ',', &one)) {
        bool all = sv_eq(one, SV("all"));
        bool interval = config && sv_eq(one, SV("too-long-scrape-interval"));
        if (all || interval)
            o->lookback_ms = config ? lookback_ms : 0;
        if (all || sv_eq(one, SV("duplicate-rules")))
            o->duplicate_rules = true;
        else if (sv_eq(one, SV("none")))
            none = config;
        else if (!interval)
            fprintf(io->out, "WARNING: unknown lint option: \"%.*s\"\n", SV_FMT(one));
    }
    if (none) {
        o->duplicate_rules = false;
        o->lookback_ms = 0;
    }
}

int check_exit_code(const CheckOptions *o, const CheckState *s)
{
    if (s->failed && s->errors)
        return TOOL_FAILED;
    return s->failed && o->lint_fatal ? TOOL_LINT : TOOL_OK;
}

static int rule_cmp(const void *a, const void *b)
{
    const RuleDef *x = *(RuleDef *const *)a, *y = *(RuleDef *const *)b;
    int c = sv_cmp(x->name, y->name);
    return c ? c : labels_cmp(x->labels, y->labels);
}

static unsigned count_rules(const RuleFile *f)
{
    unsigned n = 0;
    for (unsigned g = 0; g < f->n; g++)
        n += f->groups[g].n;
    return n;
}

/* Rules of one name and label set in `f`, each once; sorted. */
static int find_duplicates(RuleFile *f, const RuleDef ***ret, size_t *ret_n, Err *err)
{
    size_t n = 0, found = 0;
    const RuleDef **all = arena_array(&f->arena, const RuleDef *, count_rules(f) + 1);
    if (!all)
        return err_nomem(err);
    for (unsigned g = 0; g < f->n; g++)
        for (unsigned i = 0; i < f->groups[g].n; i++)
            all[n++] = &f->groups[g].rules[i];
    qsort(all, n, sizeof(*all), rule_cmp);
    /* all[0 … found) are those found; what is compared lies behind. */
    const RuleDef *last = n ? all[0] : NULL;
    for (size_t i = 1; i < n; i++) {
        const RuleDef *this = all[i];
        if (rule_cmp(&last, &this) == 0 && (!found || rule_cmp(&all[found - 1], &this) != 0))
            all[found++] = this;
        last = this;
    }
    *ret = all;
    *ret_n = found;
    return 0;
}

static void tell_duplicates(const ToolIo *io, const RuleDef *const *rules, size_t n)
{
    tool_complain(io, "  FAILED:\nlint error %zu duplicate rule(s) found.\n", n);
    for (size_t i = 0; i < n; i++) {
        fprintf(io->err, "Metric: %.*s\nLabel(s):\n", SV_FMT(rules[i]->name));
        for (unsigned k = 0; k < rules[i]->labels.len; k++)
            fprintf(io->err, "\t%.*s: %.*s\n", SV_FMT(rules[i]->labels.items[k].name),
                    SV_FMT(rules[i]->labels.items[k].value));
    }
    fputs("Might cause inconsistency while recording expressions\n", io->err);
    fflush(io->err);
}

static void lint(const ToolIo *io, const CheckOptions *o, RuleFile *f, CheckState *s)
{
    const RuleDef **duplicates = NULL;
    size_t n = 0;
    Err err = { 0 };
    if (o->duplicate_rules && find_duplicates(f, &duplicates, &n, &err) < 0) {
        tool_complain(io, "  FAILED:\n%s\n", err.msg);
        s->failed = s->errors = true;
    } else if (n) {
        tell_duplicates(io, duplicates, n);
        s->failed = true;
    } else {
        fprintf(io->out, "  SUCCESS: %u rules found\n", count_rules(f));
    }
    fputc('\n', io->out);
}

static unsigned features(const CheckOptions *o)
{
    return o->features | (o->ignore_unknown ? RULE_FILE_IGNORE_UNKNOWN : 0);
}

static void check_one(const ToolIo *io, const CheckOptions *o, const char *path, CheckState *s)
{
    _cleanup_buf_ Buf problems = BUF_INIT, text = BUF_INIT;
    RuleFile *f = NULL;
    Err err = { 0 };
    int r;
    fprintf(io->out, "Checking %s\n", path ? path : "standard input");
    if (path) {
        r = rule_file_load(path, features(o), &problems, &f, &err);
    } else {
        r = tool_read(io, NULL, &text, &err);
        if (r >= 0)
            r = rule_file_parse(buf_view(&text), SV("standard input"), features(o), &problems, &f,
                                &err);
    }
    if (r < 0) {
        if (problems.len)
            tool_complain(io, "  FAILED:\n%.*s", SV_FMT(buf_view(&problems)));
        else
            tool_complain(io, "  FAILED:\n%s\n", err.msg);
        s->failed = s->errors = true;
        return;
    }
    lint(io, o, f, s);
    rule_file_free(f);
}

void check_rule_files(const ToolIo *io, const CheckOptions *o, ToolFiles files, CheckState *s)
{
    for (unsigned i = 0; i < files.len; i++)
        check_one(io, o, files.items[i], s);
}

int tool_check_rules(const ToolIo *io, const CheckOptions *o, ToolFiles files)
{
    CheckState s = { 0 };
    if (files.len)
        check_rule_files(io, o, files, &s);
    else
        check_one(io, o, NULL, &s);
    return check_exit_code(o, &s);
}
