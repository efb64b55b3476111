/* parse.c - the text of a template to its tree.
 *
 * Text is cut at "{{"; what stands between the braces is read word by word by a parser that goes
 * down the grammar of Go's text/template. Blocks hold lists of nodes, pipelines commands of
 * operands. */
#include <stdio.h>

#include "monitor/template/internal.h"

enum { ITEMS_MAX = 1000 };

typedef struct Parser {
    StrView source, name;
    const char *at, *end;
    Arena *arena;
    Err *err;
    unsigned depth;
    bool in_range;   /* the pipeline that is read is a range's: it may declare two variables */
    unsigned ranges; /* around what is read, inside this template */
    bool trim;       /* the action before ended with -}} */
    VEC(StrView) vars;
    VEC(TmplDefine) defines;
} Parser;

typedef enum Stop { STOP_EOF, STOP_END, STOP_ELSE } Stop;

static int parse_list(Parser *p, TmplList *ret, bool in_block, Stop *ret_stop);
static int parse_pipe(Parser *p, bool in_parens, TmplPipe **ret);

static int PRINTF(2, 3) fail(Parser *p, const char *fmt, ...)
{
    char text[300];
    unsigned line = 1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (const char *c = p->source.ptr; c < p->at; c++)
        line += *c == '\n';
    return err_set(p->err, ERR_INVALID, 0, "template: %.*s:%u: %s", SV_FMT(p->name), line, text);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static StrView rest_of(const Parser *p)
{
    return sv_n(p->at, (size_t)(p->end - p->at));
}

/* The end of the action; one that trims is white space, then "-}}". */
static bool closes(const Parser *p)
{
    StrView rest = rest_of(p);
    return sv_starts(rest, SV("}}")) ||
           (sv_starts(rest, SV("-}}")) && p->at > p->source.ptr && is_space(p->at[-1]));
}

/* Skips white space; " -}}" counts as the end of the action, not as a minus. */
static void skip_space(Parser *p)
{
    while (p->at < p->end && is_space(*p->at))
        p->at++;
}

static bool take(Parser *p, StrView text)
{
    if (!sv_starts(rest_of(p), text))
        return false;
    p->at += text.len;
    return true;
}

static StrView take_word(Parser *p)
{
    const char *start = p->at;
    while (p->at < p->end && is_word(*p->at))
        p->at++;
    return sv_n(start, (size_t)(p->at - start));
}

static int take_close(Parser *p)
{
    skip_space(p);
    if (!closes(p))
        return p->at >= p->end ? fail(p, "unclosed action")
                               : fail(p, "unexpected \"%c\" in operand", *p->at);
    p->trim = take(p, SV("-"));
    take(p, SV("}}"));
    return 0;
}

static bool known_var(const Parser *p, StrView name)
{
    vec_foreach (v, &p->vars)
        if (sv_eq(*v, name))
            return true;
    return sv_eq(name, SV("$"));
}

static int parse_fields(Parser *p, TmplOperand *o)
{
    while (p->at + 1 < p->end && *p->at == '.' && is_word(p->at[1])) {
        StrView *grown = arena_realloc(p->arena, o->fields, o->n_fields * sizeof *grown,
                                       (o->n_fields + 1) * sizeof *grown);
        if (!grown)
            return err_nomem(p->err);
        p->at++;
        grown[o->n_fields++] = take_word(p);
        o->fields = grown;
    }
    return 0;
}

static int parse_word_operand(Parser *p, TmplOperand *o)
{
    StrView word = take_word(p);
    if (sv_eq(word, SV("true")) || sv_eq(word, SV("false")))
        *o = (TmplOperand){ .kind = OPERAND_VALUE, .value = tmpl_bool(word.len == 4) };
    else if (sv_eq(word, SV("nil")))
        *o = (TmplOperand){ .kind = OPERAND_VALUE };
    else if ((o->func = tmpl_func(word)) != NULL)
        o->kind = OPERAND_FUNC;
    else
        return fail(p, "function \"%.*s\" not defined", SV_FMT(word));
    return 0;
}

static int parse_operand(Parser *p, TmplOperand *o)
{
    const char *start = p->at;
    StrView rest = rest_of(p);
    char c = *p->at;
    int r = 0;

    *o = (TmplOperand){ .kind = OPERAND_DOT };
    if (c == '(') {
        p->at++;
        o->kind = OPERAND_PIPE;
        if ((r = parse_pipe(p, true, &o->pipe)) < 0)
            return r;
        if (!take(p, SV(")")))
            return fail(p, "unclosed left paren");
    } else if (c == '$') {
        p->at++;
        take_word(p);
        o->kind = OPERAND_VAR;
        o->name = sv_n(start, (size_t)(p->at - start));
        if (!known_var(p, o->name))
            return fail(p, "undefined variable \"%.*s\"", SV_FMT(o->name));
    } else if (c == '.' && !(p->at + 1 < p->end && p->at[1] >= '0' && p->at[1] <= '9')) {
        if (p->at + 1 >= p->end || !is_word(p->at[1]))
            p->at++;
    } else if (tmpl_literal(&rest, p->arena, &o->value)) {
        o->kind = OPERAND_VALUE;
        p->at = rest.ptr;
    } else if (is_word(c)) {
        r = parse_word_operand(p, o);
    } else {
        return fail(p, "unexpected \"%c\" in operand", c);
    }
    if (r < 0)
        return r;
    bool dot = o->kind == OPERAND_DOT && start[0] == '.' && p->at == start + 1;
    if ((o->kind == OPERAND_VALUE || dot) && p->at < p->end && *p->at == '.')
        return fail(p, "unexpected . after term \"%.*s\"", (int)(p->at - start), start);
    if ((r = parse_fields(p, o)) < 0)
        return r;
    o->text = sv_n(start, (size_t)(p->at - start));
    if (p->at < p->end && !is_space(*p->at) && *p->at != ')' && *p->at != '|' && !closes(p))
        return fail(p, "unexpected \"%c\" in operand", *p->at);
    return 0;
}

static int parse_command(Parser *p, TmplCommand *c)
{
    int r;
    *c = (TmplCommand){ 0 };
    for (;;) {
        skip_space(p);
        if (p->at >= p->end)
            return fail(p, "unclosed action");
        if (closes(p) || *p->at == '|' || *p->at == ')')
            break;
        if (c->n >= ITEMS_MAX)
            return fail(p, "too many arguments");
        TmplOperand *grown =
            arena_realloc(p->arena, c->args, c->n * sizeof *grown, (c->n + 1) * sizeof *grown);
        if (!grown)
            return err_nomem(p->err);
        c->args = grown;
        if ((r = parse_operand(p, &c->args[c->n++])) < 0)
            return r;
    }
    return c->n ? 0 : fail(p, "missing value for command");
}

/* What can never be called is refused behind a "|"; all else shows when it is run. */
static bool can_be_called(const TmplOperand *o)
{
    return o->n_fields || (o->kind != OPERAND_DOT && o->kind != OPERAND_VALUE);
}

/* `$a :=`, `$a, $b :=` or `$a =` at the head of a pipeline; else nothing is taken. */
static int parse_vars(Parser *p, TmplPipe *pipe)
{
    const char *start = p->at;
    unsigned n = 0;
    while (n < 2 && p->at < p->end && *p->at == '$') {
        const char *name = p->at++;
        take_word(p);
        pipe->vars[n++] = sv_n(name, (size_t)(p->at - name));
        if (p->at < p->end && *p->at == '=')
            return fail(p, "bad character U+003D '='");
        skip_space(p);
        if (!take(p, SV(",")))
            break;
        if (!p->in_range)
            return fail(p, "too many declarations in pipeline");
        skip_space(p);
    }
    if (n > 0 && take(p, SV(":="))) {
        pipe->n_vars = n;
        return 0;
    }
    if (n > 0 && take(p, SV("="))) {
        pipe->n_vars = n;
        pipe->assign = true;
        return 0;
    }
    p->at = start;
    return 0;
}

static int parse_pipe(Parser *p, bool in_parens, TmplPipe **ret)
{
    int r;
    TmplPipe *pipe = arena_new(p->arena, TmplPipe);
    if (!pipe)
        return err_nomem(p->err);
    if (++p->depth > TEMPLATE_DEPTH_MAX)
        return err_set(p->err, ERR_LIMIT, 0, "template: more than %d levels", TEMPLATE_DEPTH_MAX);
    skip_space(p);
    const char *start = p->at;
    if ((r = parse_vars(p, pipe)) < 0)
        return r;
    p->in_range = false;
    for (unsigned i = 0; i < pipe->n_vars; i++) /* they are known to their own pipeline, too */
        if (!vec_push(&p->vars, pipe->vars[i]))
            return err_nomem(p->err);
    do {
        if (pipe->n >= ITEMS_MAX)
            return fail(p, "too many commands");
        TmplCommand *grown = arena_realloc(p->arena, pipe->commands, pipe->n * sizeof *grown,
                                           (pipe->n + 1) * sizeof *grown);
        if (!grown)
            return err_nomem(p->err);
        pipe->commands = grown;
        if ((r = parse_command(p, &pipe->commands[pipe->n])) < 0)
            return r;
        if (pipe->n++ > 0 && !can_be_called(&pipe->commands[pipe->n - 1].args[0]))
            return fail(p, "non executable command in pipeline stage %u", pipe->n);
        if (!take(p, SV("|")))
            break;
        skip_space(p); /* the parser of Go lets nothing stand behind the last one */
    } while (in_parens ? p->at < p->end && *p->at != ')' : !closes(p));
    if (!in_parens && p->at < p->end && *p->at == ')')
        return fail(p, "unexpected right paren");
    pipe->text = sv_trim(sv_n(start, (size_t)(p->at - start)));
    p->depth--;
    *ret = pipe;
    return 0;
}

static TmplNode *add_node(Parser *p, TmplList *list, TmplNodeKind kind)
{
    TmplNode *n = arena_new(p->arena, TmplNode);
    if (!n)
        return NULL;
    n->kind = kind;
    if (list->last)
        list->last->next = n;
    else
        list->first = n;
    list->last = n;
    return n;
}

/* if, range and with: behind their word. `else if` and `else with` are a block in the other list
 * that ends with this one. */
static int parse_block(Parser *p, TmplNode *n)
{
    Stop stop;
    size_t mark = p->vars.len;
    int r;
    p->in_range = n->kind == NODE_RANGE;
    if ((r = parse_pipe(p, false, &n->pipe)) < 0 || (r = take_close(p)) < 0)
        return r;
    p->ranges += n->kind == NODE_RANGE;
    r = parse_list(p, &n->body, true, &stop);
    p->ranges -= n->kind == NODE_RANGE;
    if (r < 0)
        return r;
    if (stop == STOP_ELSE) {
        skip_space(p);
        bool more_if = n->kind == NODE_IF && take(p, SV("if"));
        bool more_with = n->kind == NODE_WITH && !more_if && take(p, SV("with"));
        if ((more_if || more_with) && p->at < p->end && is_word(*p->at))
            return fail(p, "unexpected \"%c\" in else clause", *p->at);
        if (more_if || more_with) {
            TmplNode *inner = add_node(p, &n->other, n->kind);
            if (!inner)
                return err_nomem(p->err);
            if (++p->depth > TEMPLATE_DEPTH_MAX)
                return err_set(p->err, ERR_LIMIT, 0, "template: too many else branches");
            r = parse_block(p, inner);
            p->depth--;
        } else if ((r = take_close(p)) >= 0 && (r = parse_list(p, &n->other, true, &stop)) >= 0 &&
                   stop == STOP_ELSE) {
            r = fail(p, "expected end; found {{else}}");
        }
    }
    p->vars.len = mark;
    return r;
}

static int parse_name(Parser *p, StrView *ret, StrView *ret_where)
{
    TmplVal name;
    StrView rest;
    skip_space(p);
    rest = rest_of(p);
    *ret_where = rest;
    if (!tmpl_literal(&rest, p->arena, &name) || name.kind != TMPL_STRING)
        return fail(p, "expected a quoted name of a template");
    *ret_where = sv_head(*ret_where, (size_t)(rest.ptr - p->at));
    p->at = rest.ptr;
    *ret = name.s;
    return 0;
}

static bool is_empty(const TmplList *l)
{
    for (const TmplNode *n = l->first; n; n = n->next)
        if (n->kind != NODE_TEXT || !sv_empty(sv_trim(n->text)))
            return false;
    return true;
}

/* A template with nothing in it gives way to another of its name. */
static int add_define(Parser *p, const TmplDefine *d)
{
    vec_foreach (old, &p->defines) {
        if (!sv_eq(old->name, d->name))
            continue;
        if (!is_empty(&old->body) && !is_empty(&d->body))
            return fail(p, "multiple definition of template \"%.*s\"", SV_FMT(d->name));
        if (!is_empty(&d->body))
            *old = *d;
        return 0;
    }
    return vec_push(&p->defines, *d) ? 0 : err_nomem(p->err);
}

/* What stands between {{define}} or {{block}} and its end: a template of its own, which sees no
 * variable and no range of what is around it. */
static int parse_body(Parser *p, const char *clause, StrView name)
{
    TmplDefine d = { .name = name };
    Stop stop;
    VEC(StrView) outer = { p->vars.items, p->vars.len, p->vars.cap };
    unsigned ranges = p->ranges;
    p->vars.items = NULL;
    p->vars.len = p->vars.cap = 0;
    p->ranges = 0;
    int r = parse_list(p, &d.body, true, &stop);
    vec_free(&p->vars);
    p->vars.items = outer.items;
    p->vars.len = outer.len;
    p->vars.cap = outer.cap;
    p->ranges = ranges;
    if (r < 0)
        return r;
    if (stop != STOP_END)
        return fail(p, "unexpected {{else}} in %s clause", clause);
    return add_define(p, &d);
}

static int parse_define(Parser *p)
{
    StrView name, where;
    int r;
    if ((r = parse_name(p, &name, &where)) < 0 || (r = take_close(p)) < 0)
        return r;
    return parse_body(p, "define", name);
}

/* {{block "name" pipeline}}…{{end}}: a template that is defined, and run here. */
static int parse_block_clause(Parser *p, TmplList *list)
{
    TmplNode *n = add_node(p, list, NODE_TEMPLATE);
    int r = n ? parse_name(p, &n->text, &n->where) : err_nomem(p->err);
    if (r < 0 || (r = parse_pipe(p, false, &n->pipe)) < 0 || (r = take_close(p)) < 0)
        return r;
    return parse_body(p, "block", n->text);
}

static int parse_template(Parser *p, TmplList *list)
{
    TmplNode *n = add_node(p, list, NODE_TEMPLATE);
    int r = n ? parse_name(p, &n->text, &n->where) : err_nomem(p->err);
    if (r < 0)
        return r;
    skip_space(p);
    if (!closes(p) && (r = parse_pipe(p, false, &n->pipe)) < 0)
        return r;
    return take_close(p);
}

static const struct {
    StrView word;
    TmplNodeKind kind;
} blocks[] = { { SV_INIT("if"), NODE_IF },
               { SV_INIT("range"), NODE_RANGE },
               { SV_INIT("with"), NODE_WITH } };

/* One action behind "{{". *ret_stop is set by `end` and `else`, whose braces are still open for
 * the latter. */
static int parse_action(Parser *p, TmplList *list, bool *ret_stopped, Stop *ret_stop)
{
    const char *start = p->at;
    StrView word = take_word(p);
    int r;
    *ret_stopped = sv_eq(word, SV("end")) || sv_eq(word, SV("else"));
    if (*ret_stopped) {
        *ret_stop = word.len == 3 ? STOP_END : STOP_ELSE;
        return word.len == 3 ? take_close(p) : 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        if (sv_eq(word, blocks[i].word)) {
            TmplNode *n = add_node(p, list, blocks[i].kind);
            return n ? parse_block(p, n) : err_nomem(p->err);
        }
    if (sv_eq(word, SV("define")))
        return p->depth == 1 ? parse_define(p) : fail(p, "unexpected <define> in command");
    if (sv_eq(word, SV("template")))
        return parse_template(p, list);
    if (sv_eq(word, SV("block")))
        return parse_block_clause(p, list);
    if (sv_eq(word, SV("break")) || sv_eq(word, SV("continue"))) {
        if (!p->ranges)
            return fail(p, "{{%.*s}} outside {{range}}", SV_FMT(word));
        return add_node(p, list, word.len == 5 ? NODE_BREAK : NODE_CONTINUE) ? take_close(p)
                                                                             : err_nomem(p->err);
    }
    p->at = start;
    TmplNode *n = add_node(p, list, NODE_ACTION);
    if (!n)
        return err_nomem(p->err);
    if ((r = parse_pipe(p, false, &n->pipe)) < 0)
        return r;
    return take_close(p);
}

static int parse_comment(Parser *p)
{
    ssize_t close = sv_find(rest_of(p), SV("*/"));
    if (close < 0)
        return fail(p, "unclosed comment");
    p->at += close + 2;
    /* The braces follow at once, or with one white space and a minus. */
    p->trim = p->at < p->end && is_space(*p->at) && sv_starts(sv_skip(rest_of(p), 1), SV("-}}"));
    p->at += p->trim ? 2 : 0;
    return take(p, SV("}}")) ? 0 : fail(p, "comment ends before closing delimiter");
}

static int parse_text(Parser *p, TmplList *list)
{
    ssize_t open = sv_find(rest_of(p), SV("{{"));
    StrView text = open < 0 ? rest_of(p) : sv_n(p->at, (size_t)open);
    p->at += text.len;
    while (p->trim && text.len && is_space(text.ptr[0]))
        text = sv_skip(text, 1);
    p->trim = false;
    if (open >= 0 && p->at + 3 < p->end && p->at[2] == '-' && is_space(p->at[3]))
        while (text.len && is_space(text.ptr[text.len - 1]))
            text.len--;
    if (!text.len)
        return 0;
    TmplNode *n = add_node(p, list, NODE_TEXT);
    if (!n)
        return err_nomem(p->err);
    n->text = text;
    return 0;
}

static int parse_list(Parser *p, TmplList *ret, bool in_block, Stop *ret_stop)
{
    bool stopped = false;
    size_t mark = p->vars.len;
    int r = 0;
    if (++p->depth > TEMPLATE_DEPTH_MAX)
        return err_set(p->err, ERR_LIMIT, 0, "template: more than %d levels", TEMPLATE_DEPTH_MAX);
    while (r >= 0 && !stopped) {
        if ((r = parse_text(p, ret)) < 0)
            return r;
        if (p->at >= p->end)
            break;
        p->at += 2;
        if (p->at + 1 < p->end && *p->at == '-' && is_space(p->at[1]))
            p->at += 2;
        if (take(p, SV("/*"))) { /* nothing may stand in front */
            r = parse_comment(p);
            continue;
        }
        skip_space(p);
        r = parse_action(p, ret, &stopped, ret_stop);
    }
    if (r >= 0 && in_block && !stopped)
        return fail(p, "unexpected EOF");
    if (r >= 0 && !in_block && stopped)
        return fail(p, *ret_stop == STOP_END ? "unexpected {{end}}" : "unexpected {{else}}");
    p->depth--;
    if (in_block)
        p->vars.len = mark;
    return r;
}

int tmpl_parse(StrView source, StrView name, Arena *a, TmplTree *ret, Err *err)
{
    Parser p = { .name = name, .arena = a, .err = err };
    Stop stop = STOP_EOF;
    if (source.len > TEMPLATE_TEXT_MAX)
        return err_set(err, ERR_LIMIT, 0, "template: longer than %d bytes", TEMPLATE_TEXT_MAX);
    p.source = arena_sv(a, source);
    if (!p.source.ptr)
        return err_nomem(err);
    p.at = p.source.ptr;
    p.end = p.at + p.source.len;
    *ret = (TmplTree){ .source = p.source };
    int r = parse_list(&p, &ret->body, false, &stop);
    if (r >= 0 && p.defines.len > 0) {
        ret->defines = arena_array(a, TmplDefine, p.defines.len);
        if (ret->defines)
            memcpy(ret->defines, p.defines.items, p.defines.len * sizeof *ret->defines);
        ret->n_defines = ret->defines ? (unsigned)p.defines.len : 0;
        r = ret->defines ? 0 : err_nomem(err);
    }
    vec_free(&p.vars);
    vec_free(&p.defines);
    return r;
}
