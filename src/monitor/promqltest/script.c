/* script.c - reads a script command by command and runs each at once. */
#include "monitor/model/number.h"
#include "monitor/promqltest/script.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/file.h"
#include "monitor/model/duration.h"
#include "monitor/promql/lex.h"

typedef struct Script {
    StrView rest;
    const char *file;
    unsigned line; /* of the current line */
    StrView text;  /* the current line, trimmed; empty for comments */
    bool at_end;
    Memory *memory;
    Arena arena; /* of the current command */
    PromqltestReport *report;
} Script;

static void next_line(Script *s)
{
    StrView line;
    s->at_end = !s->rest.len;
    s->text = SV("");
    if (s->at_end)
        return;
    sv_cut(s->rest, '\n', &line, &s->rest);
    s->line++;
    s->text = sv_trim(line);
    if (sv_starts(s->text, SV("#")))
        s->text = SV("");
}

PRINTF(4, 5)
static void report_failure(Script *s, unsigned line, StrView expr, const char *fmt, ...)
{
    va_list ap;
    char text[4096];
    s->report->failed++;
    if (!s->report->out)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_printf(s->report->out, "%s:%u: ", s->file, line);
    if (expr.len)
        buf_printf(s->report->out, "%.*s: ", SV_FMT(expr));
    buf_printf(s->report->out, "%s\n", text);
}

/* The next word of *text. */
static StrView word(StrView *text)
{
    size_t n = 0;
    *text = sv_trim(*text);
    while (n < text->len && text->ptr[n] != ' ' && text->ptr[n] != '\t')
        n++;
    StrView w = sv_head(*text, n);
    *text = sv_trim(sv_skip(*text, n));
    return w;
}

static int duration(StrView text, int64_t *ret, Err *err)
{
    if (prom_duration_parse(text, ret) < 0)
        return err_set(err, ERR_INVALID, 0, "not a valid duration string: \"%.*s\"", SV_FMT(text));
    return 0;
}

enum { LOAD_SERIES_MAX = 100000 };

typedef struct Load {
    int64_t gap;
    bool nhcb;
    Labels *labels;
    SeriesValues *values, *starts;
    size_t n, cap;
} Load;

/* `metric{…}@st …`: start times of the series on the next line. */
static bool is_start_line(StrView line, StrView *metric, StrView *values)
{
    StrView rest = line, first = word(&rest);
    if (!sv_ends(first, SV("@st")))
        return false;
    *metric = sv_head(first, first.len - 3);
    *values = rest;
    return true;
}

static int load_grow(Load *l, Arena *a, Err *err)
{
    size_t cap = l->cap ? l->cap * 2 : 32;
    if (l->n < l->cap)
        return 0;
    if (l->n >= LOAD_SERIES_MAX)
        return err_set(err, ERR_LIMIT, 0, "load has more than %d series", LOAD_SERIES_MAX);
    l->labels = arena_realloc(a, l->labels, l->cap * sizeof *l->labels, cap * sizeof *l->labels);
    l->values = arena_realloc(a, l->values, l->cap * sizeof *l->values, cap * sizeof *l->values);
    l->starts = arena_realloc(a, l->starts, l->cap * sizeof *l->starts, cap * sizeof *l->starts);
    if (!l->labels || !l->values || !l->starts)
        return err_nomem(err);
    l->cap = cap;
    return 0;
}

static int load_line(Script *s, Load *l, Err *err)
{
    StrView metric, text;
    SeriesValues starts = { 0 };
    Labels of_starts = { 0 };
    int r = load_grow(l, &s->arena, err);
    bool has_starts = is_start_line(s->text, &metric, &text);
    if (r >= 0 && has_starts) {
        r = series_parse_metric(metric, &s->arena, &of_starts, err);
        if (r >= 0)
            r = series_parse_starts(text, &s->arena, &starts, err);
        next_line(s);
    }
    if (r >= 0)
        r = series_parse(s->text, &s->arena, &l->labels[l->n], &l->values[l->n], err);
    if (r < 0)
        return r;
    if (has_starts && !labels_eq(of_starts, l->labels[l->n]))
        return err_set(err, ERR_INVALID, 0,
                       "@st metric does not match the following sample line metric");
    if (has_starts && starts.len != l->values[l->n].len)
        return err_set(err, ERR_INVALID, 0, "@st line has %zu values but sample line has %zu",
                       starts.len, l->values[l->n].len);
    l->starts[l->n] = starts;
    /* The same series again replaces what was said before. */
    for (size_t i = 0; i < l->n; i++) {
        if (labels_eq(l->labels[i], l->labels[l->n])) {
            l->values[i] = l->values[l->n];
            l->starts[i] = starts;
            return 0;
        }
    }
    l->n++;
    return 0;
}

static int load_append(Script *s, const Load *l, Err *err)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < l->n; i++) {
        MemorySeries *to = memory_series(s->memory, l->labels[i]);
        if (!to)
            return err_nomem(err);
        for (size_t k = 0; r >= 0 && k < l->values[i].len; k++) {
            const SeriesValue *v = &l->values[i].items[k];
            int64_t t = (int64_t)k * l->gap, st = 0;
            if (v->omitted)
                continue;
            if (l->starts[i].len && !l->starts[i].items[k].omitted)
                st = t + double_to_i64(l->starts[i].items[k].v);
            r = memory_append(s->memory, to, t, v->v, v->h, st, err);
        }
    }
    if (r >= 0 && l->nhcb)
        r = nhcb_convert(s->memory, l->labels, l->values, l->n, l->gap, &s->arena, err);
    return r;
}

static int run_load(Script *s, Err *err)
{
    StrView text = s->text, command = word(&text);
    Load l = { .nhcb = sv_eq(command, SV("load_with_nhcb")) };
    if (!l.nhcb && !sv_eq(command, SV("load")))
        return err_set(err, ERR_INVALID, 0,
                       "invalid load command. (load[_with_nhcb] <step:duration>)");
    int r = duration(text, &l.gap, err);
    for (next_line(s); r >= 0 && s->text.len; next_line(s))
        r = load_line(s, &l, err);
    return r < 0 ? r : load_append(s, &l, err);
}

static int add_expectation(Evaluation *e, ExpectKind kind, StrView text, bool regex, Err *err)
{
    char why[200];
    if (e->n_expect == EXPECTATIONS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d expect lines", EXPECTATIONS_MAX);
    Expectation *x = &e->expect[e->n_expect];
    *x = (Expectation){ .kind = kind, .text = text };
    if (regex && !(x->regex = regex_new(text, false, why, sizeof why)))
        return err_set(err, ERR_INVALID, 0, "invalid regex %.*s: %s", SV_FMT(text), why);
    e->n_expect++;
    e->has[kind] = true;
    return 0;
}

/* `expect warn msg: …`, `expect fail`, … */
static int read_expect(Evaluation *e, StrView text, Err *err)
{
    static const StrView kinds[EXPECT_MAX] = { SV_INIT("ordered"), SV_INIT("fail"),
                                               SV_INIT("warn"),    SV_INIT("no_warn"),
                                               SV_INIT("info"),    SV_INIT("no_info") };
    StrView kind = word(&text);
    for (unsigned i = 0; i < EXPECT_MAX; i++) {
        if (!sv_eq(kinds[i], kind))
            continue;
        if (!text.len)
            return add_expectation(e, (ExpectKind)i, SV_NULL, false, err);
        bool regex = sv_starts(text, SV("regex:"));
        if (!regex && !sv_starts(text, SV("msg:")))
            break;
        return add_expectation(e, (ExpectKind)i, sv_trim(sv_skip(text, regex ? 6 : 4)), regex, err);
    }
    return err_set(err, ERR_INVALID, 0,
                   "invalid expect statement, must match `expect <type> <match_type>: <string>` "
                   "format");
}

/* `from A to B step C`; *text stands behind it. */
static int read_range(Evaluation *e, StrView *text, Err *err)
{
    static const StrView words[] = { SV_INIT("from"), SV_INIT("to"), SV_INIT("step") };
    int64_t *into[] = { &e->start, &e->end, &e->step };
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        StrView w = word(text);
        if (!sv_eq(w, words[i]))
            return err_set(err, ERR_INVALID, 0, "expected '%.*s', got '%.*s'", SV_FMT(words[i]),
                           SV_FMT(w));
        int r = duration(word(text), into[i], err);
        if (r < 0)
            return r;
    }
    if (e->end < e->start)
        return err_set(err, ERR_INVALID, 0, "end timestamp is before start timestamp");
    return 0;
}

static int read_head(Script *s, Evaluation *e, Err *err)
{
    static const struct {
        StrView command;
        ExpectKind kind;
    } commands[] = { { SV_INIT("eval"), EXPECT_MAX },
                     { SV_INIT("eval_fail"), EXPECT_FAIL },
                     { SV_INIT("eval_warn"), EXPECT_WARN },
                     { SV_INIT("eval_info"), EXPECT_INFO },
                     { SV_INIT("eval_ordered"), EXPECT_ORDERED } };
    StrView text = s->text, command = word(&text), mode = word(&text);
    size_t i = 0;
    int r;
    while (i < ARRAY_SIZE(commands) && !sv_eq(commands[i].command, command))
        i++;
    e->range = sv_eq(mode, SV("range"));
    if (i == ARRAY_SIZE(commands) || (!e->range && !sv_eq(mode, SV("instant"))))
        return err_set(err, ERR_INVALID, 0, "invalid evaluation command");
    if (commands[i].kind != EXPECT_MAX)
        e->has[commands[i].kind] = true;
    if (e->range) {
        r = read_range(e, &text, err);
    } else {
        if (!sv_eq(word(&text), SV("at")))
            return err_set(err, ERR_INVALID, 0, "expected 'at <time>'");
        r = duration(word(&text), &e->at, err);
        e->start = e->end = e->at;
    }
    e->expr = text;
    return r;
}

static int read_series(Script *s, Evaluation *e, unsigned position, Err *err)
{
    double number;
    StrView text = s->text;
    bool negative = sv_starts(text, SV("-"));
    if (negative || sv_starts(text, SV("+")))
        text = sv_skip(text, 1);
    if (text.len && text_number(text, &number) == 0) {
        e->scalar = true;
        e->scalar_value = negative ? -number : number;
        return 0;
    }
    if (e->n_series == e->cap_series) {
        size_t cap = e->cap_series ? e->cap_series * 2 : 16;
        e->series = arena_realloc(&s->arena, e->series, e->cap_series * sizeof *e->series,
                                  cap * sizeof *e->series);
        if (!e->series)
            return err_nomem(err);
        e->cap_series = cap;
    }
    ExpectedSeries *x = &e->series[e->n_series];
    *x = (ExpectedSeries){ .position = position };
    int r = series_parse(s->text, &s->arena, &x->labels, &x->values, err);
    if (r >= 0)
        e->n_series++;
    return r;
}

/* One line of what is expected. *position counts series. */
static int read_line(Script *s, Evaluation *e, unsigned *position, Err *err)
{
    static const StrView range_vector = SV_INIT("expect range vector");
    static const StrView string = SV_INIT("expect string");
    static const StrView fail_message = SV_INIT("expected_fail_message");
    static const StrView fail_regexp = SV_INIT("expected_fail_regexp");
    StrView text = s->text;
    if (sv_starts(text, fail_message))
        return add_expectation(e, EXPECT_FAIL, sv_trim(sv_skip(text, fail_message.len)), false,
                               err);
    if (sv_starts(text, fail_regexp))
        return add_expectation(e, EXPECT_FAIL, sv_trim(sv_skip(text, fail_regexp.len)), true, err);
    if (sv_starts(text, range_vector)) {
        text = sv_skip(text, range_vector.len);
        e->range_vector = true;
        int r = read_range(e, &text, err);
        e->at = e->end;
        return r;
    }
    if (sv_starts(text, string)) {
        text = sv_trim(sv_skip(text, string.len));
        e->has_string = true;
        if (text.len < 2 || text_unquote(text, &s->arena, &e->string) < 0)
            return err_set(err, ERR_INVALID, 0, "a quoted string literal is required");
        return 0;
    }
    if (sv_starts(text, SV("expect ")))
        return read_expect(e, sv_skip(text, 7), err);
    return read_series(s, e, ++*position, err);
}

static int run_eval(Script *s, Err *err)
{
    Evaluation *e = arena_new(&s->arena, Evaluation);
    _cleanup_buf_ Buf why = BUF_INIT;
    unsigned line = s->line, position = 0;
    int r = e ? read_head(s, e, err) : err_nomem(err);
    for (next_line(s); r >= 0 && s->text.len; next_line(s))
        r = read_line(s, e, &position, err);
    if (r >= 0)
        r = evaluation_run(e, s->memory, &why, err);
    if (r >= 0) {
        if (why.len)
            report_failure(s, line, e->expr, "%.*s", SV_FMT(buf_view(&why)));
        else
            s->report->passed++;
    }
    if (e)
        evaluation_free(e);
    return r;
}

static void run_command(Script *s)
{
    Err err = { 0 };
    unsigned line = s->line;
    int r = 0;
    StrView text = s->text, command = word(&text);
    if (sv_starts(command, SV("load")))
        r = run_load(s, &err);
    else if (sv_starts(command, SV("eval")))
        r = run_eval(s, &err);
    else if (sv_eq(command, SV("clear")))
        memory_clear(s->memory);
    else
        r = err_set(&err, ERR_INVALID, 0, "invalid command '%.*s'", SV_FMT(s->text));
    if (r < 0)
        report_failure(s, line, SV(""), "%s", err.msg);
    arena_reset(&s->arena);
}

int promqltest_run(StrView script, const char *file, PromqltestReport *report, Err *err)
{
    Script s = { .rest = script, .file = file, .report = report, .memory = memory_new() };
    if (!s.memory)
        return err_nomem(err);
    arena_init(&s.arena, 0);
    for (next_line(&s); !s.at_end; next_line(&s))
        if (s.text.len)
            run_command(&s);
    arena_free(&s.arena);
    memory_free(s.memory);
    return 0;
}

int promqltest_run_file(const char *path, PromqltestReport *report, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, SCRIPT_SIZE_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "read script '%s'", path);
    return promqltest_run(buf_view(&text), path, report, err);
}
