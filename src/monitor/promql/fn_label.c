/* fn_label.c - label_replace() and label_join(): labels change, samples stay. */
#include "base/regex.h"
#include "monitor/promql/fn.h"

enum { GROUPS_MAX = 32, WHY_SIZE = 200 };

typedef struct LabelStream {
    Stream head;
    Stream *child;
    StrView dst, src, replacement, pattern;
    Regex *regex;           /* label_replace */
    const StrView *sources; /* label_join */
    unsigned n_sources;
    StrView separator;
} LabelStream;

static bool group_char(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void put_group(StrView name, const Regex *regex, const StrView *groups, Buf *out)
{
    uint64_t n = 0;
    int at = sv_to_u64(name, &n) == 0 && n < GROUPS_MAX ? (int)n : regex_group_number(regex, name);
    if (at >= 0 && at < GROUPS_MAX && groups[at].ptr)
        buf_sv(out, groups[at]);
}

/* $1, ${1}, $name, ${name}, $$: as Go's Regexp.Expand. */
static void expand(StrView s, const Regex *regex, const StrView *groups, Buf *out)
{
    while (s.len) {
        if (s.ptr[0] != '$' || s.len == 1) {
            buf_putc(out, s.ptr[0]);
            s = sv_skip(s, 1);
            continue;
        }
        s = sv_skip(s, 1);
        if (s.ptr[0] == '$') {
            buf_putc(out, '$');
            s = sv_skip(s, 1);
            continue;
        }
        bool brace = s.ptr[0] == '{';
        StrView name = brace ? sv_skip(s, 1) : s;
        size_t n = 0;
        while (n < name.len && group_char(name.ptr[n]))
            n++;
        if (!n || (brace && (n == name.len || name.ptr[n] != '}'))) {
            buf_putc(out, '$'); /* malformed: kept */
            continue;
        }
        put_group(sv_head(name, n), regex, groups, out);
        s = sv_skip(name, brace ? n + 1 : n);
    }
}

/* 1: *text has the new value. 0: the label stays. */
static int new_value(LabelStream *s, Labels l, Buf *text)
{
    StrView groups[GROUPS_MAX] = { { 0 } };
    if (s->regex) {
        if (!regex_groups(s->regex, labels_get(l, s->src), groups, GROUPS_MAX))
            return 0;
        expand(s->replacement, s->regex, groups, text);
        return 1;
    }
    for (unsigned i = 0; i < s->n_sources; i++) {
        if (i)
            buf_sv(text, s->separator);
        buf_sv(text, labels_get(l, s->sources[i]));
    }
    return 1;
}

static int label_next(Stream *stream, Column *ret)
{
    LabelStream *s = (LabelStream *)stream;
    LabelsBuilder b;
    int r = stream_next(s->child, ret);
    if (r <= 0)
        return r;
    arena_reset(&s->head.scratch);
    _cleanup_buf_ Buf text = BUF_INIT;
    if (new_value(s, ret->labels, &text) == 0)
        return 1;
    StrView value = arena_sv(&s->head.scratch, buf_view(&text));
    labels_builder_init(&b, &s->head.scratch, ret->labels);
    labels_builder_set(&b, s->dst, value);
    if (text.failed || !value.ptr || !labels_builder_take(&b, &ret->labels))
        return eval_nomem(s->head.ev);
    if (sv_eq(s->dst, LABEL_METRIC_NAME))
        ret->drop_name = false;
    return 1;
}

static void label_free(Stream *stream)
{
    regex_free(((LabelStream *)stream)->regex);
}

static const StreamOps label_ops = { label_next, label_free };

static int check_name(Eval *ev, StrView name, const char *what, const char *fn)
{
    if (name.len && sv_is_utf8(name))
        return 0;
    return eval_fail(ev, PROMQL_EXECUTION, ERR_INVALID, "invalid %s label name in %s(): %.*s", what,
                     fn, SV_FMT(name));
}

static int setup_replace(LabelStream *s, const Node *call)
{
    char why[WHY_SIZE];
    _cleanup_buf_ Buf dotall = BUF_INIT;
    StrView regex = call->args[4]->string;
    s->dst = call->args[1]->string;
    s->replacement = call->args[2]->string;
    s->src = call->args[3]->string;
    s->pattern = regex;
    buf_sv(&dotall, SV("(?s:"));
    buf_sv(&dotall, regex);
    buf_putc(&dotall, ')');
    s->regex = dotall.failed ? NULL : regex_new(buf_view(&dotall), true, why, sizeof why);
    if (!s->regex)
        return eval_fail(s->head.ev, PROMQL_EXECUTION, ERR_INVALID,
                         "invalid regular expression in label_replace(): %.*s", SV_FMT(regex));
    return check_name(s->head.ev, s->dst, "destination", "label_replace");
}

static int setup_join(LabelStream *s, const Node *call)
{
    StrView *sources = arena_array(s->head.ev->arena, StrView, call->n_args);
    if (!sources)
        return eval_nomem(s->head.ev);
    s->dst = call->args[1]->string;
    s->separator = call->args[2]->string;
    for (unsigned i = 3; i < call->n_args; i++) {
        sources[s->n_sources++] = call->args[i]->string;
        int r = check_name(s->head.ev, call->args[i]->string, "source", "label_join");
        if (r < 0)
            return r;
    }
    s->sources = sources;
    return check_name(s->head.ev, s->dst, "destination", "label_join");
}

int eval_label_call(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    LabelStream *s = stream_new(ev, sizeof *s, &label_ops, steps);
    Matrix all;
    Merger m;
    Column c;
    if (!s)
        return -ERR_NOMEM;
    int r = call->fn->id == FN_LABEL_REPLACE ? setup_replace(s, call) : setup_join(s, call);
    if (r >= 0)
        r = eval_stream(ev, call->args[0], steps, &s->child);
    if (r < 0)
        return r;
    merger_init(&m, ev, steps, false);
    while ((r = stream_next(&s->head, &c)) > 0)
        if ((r = merger_put_column(&m, &c, true)) < 0)
            break;
    if (r < 0)
        return r;
    all = m.out;
    return matrix_stream(ev, &all, steps, ret);
}
