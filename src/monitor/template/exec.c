/* exec.c - runs a template's tree.
 *
 * Output goes to one buffer, values to the arena, variables to a stack that is cut back at the end
 * of each block. `break` and `continue` travel up as positive results. */
#include <stdio.h>

#include "monitor/template/internal.h"

enum { FLOW_BREAK = 1, FLOW_CONTINUE = 2 };
#define DEFINITIONS                                                                                \
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}"                                 \
    "{{$externalURL := .ExternalURL}}{{$value := .Value}}"

static int run_list(TmplExec *x, const TmplList *list, const TmplVal *dot);
static int eval_pipe(TmplExec *x, const TmplPipe *pipe, const TmplVal *dot, TmplVal *ret);

int tmpl_fail(TmplExec *x, const char *fmt, ...)
{
    char text[300];
    unsigned line = 1, column = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (const char *c = x->tree->source.ptr; x->at.ptr && c < x->at.ptr; c++) {
        column = *c == '\n' ? 0 : column + 1;
        line += *c == '\n';
    }
    return err_set(x->err, ERR_INVALID, 0, "template: %.*s:%u:%u: executing \"%.*s\" at <%.*s>: %s",
                   SV_FMT(x->opt->name), line, column, SV_FMT(x->template_name), SV_FMT(x->at),
                   text);
}

static int step(TmplExec *x)
{
    if (++x->steps > TEMPLATE_STEPS_MAX)
        return err_set(x->err, ERR_LIMIT, 0, "template: more than %d steps", TEMPLATE_STEPS_MAX);
    if (x->out->failed || x->out->len - x->out_start > TEMPLATE_OUTPUT_MAX)
        return err_set(x->err, ERR_LIMIT, 0, "template: output longer than %d bytes",
                       TEMPLATE_OUTPUT_MAX);
    return 0;
}

static TmplVal sample_value(const TemplateSample *s)
{
    return s->h ? (TmplVal){ .kind = TMPL_HISTOGRAM, .h = s->h } : tmpl_float(s->value);
}

static int data_field(TmplExec *x, StrView name, TmplVal *ret)
{
    const TemplateOptions *o = x->opt;
    if (sv_eq(name, SV("Labels")))
        *ret = (TmplVal){ .kind = TMPL_LABELS, .labels = o->labels };
    else if (sv_eq(name, SV("ExternalLabels")))
        *ret = (TmplVal){ .kind = TMPL_LABELS, .labels = o->external_labels };
    else if (sv_eq(name, SV("ExternalURL")))
        *ret = tmpl_string(o->external_url);
    else if (sv_eq(name, SV("Value")))
        *ret = sample_value(&(TemplateSample){ .value = o->value, .h = o->histogram });
    else
        return tmpl_fail(x,
                         "can't evaluate field %.*s in type struct { Labels map[string]string; "
                         "ExternalLabels map[string]string; ExternalURL string; Value interface "
                         "{} }",
                         SV_FMT(name));
    return 0;
}

static int get_field(TmplExec *x, TmplVal of, StrView name, TmplVal *ret)
{
    uint64_t i;
    switch (of.kind) {
    case TMPL_DATA:
        return data_field(x, name, ret);
    case TMPL_LABELS:
        *ret = tmpl_string(labels_get(of.labels, name));
        return 0;
    case TMPL_ARGS:
        *ret = (TmplVal){ 0 };
        if (sv_starts(name, SV("arg")) && sv_to_u64(sv_skip(name, 3), &i) == 0 && i < of.n)
            *ret = of.args[i];
        return 0;
    case TMPL_SAMPLE:
        if (sv_eq(name, SV("Labels")))
            *ret = (TmplVal){ .kind = TMPL_LABELS, .labels = of.samples->labels };
        else if (sv_eq(name, SV("Value")))
            *ret = sample_value(of.samples);
        else
            return tmpl_fail(x, "can't evaluate field %.*s in type *template.sample", SV_FMT(name));
        return 0;
    case TMPL_NIL: /* as with "missingkey=zero" */
        *ret = of;
        return 0;
    default:
        return tmpl_fail(x, "can't evaluate field %.*s in type %s", SV_FMT(name),
                         tmpl_type_name(&of));
    }
}

static TmplVar *find_var(TmplExec *x, StrView name)
{
    for (size_t i = x->vars.len; i-- > 0;)
        if (sv_eq(x->vars.items[i].name, name))
            return &x->vars.items[i];
    return NULL;
}

/* Whether `v` fits what the function wants of its argument. */
static bool fits(char want, const TmplVal *v)
{
    switch (want) {
    case 's':
        return v->kind == TMPL_STRING;
    case 'v':
        return v->kind == TMPL_VECTOR;
    case 'm':
        return v->kind == TMPL_SAMPLE;
    default:
        return true;
    }
}

static int check_args(TmplExec *x, const TmplFunc *f, const TmplVal *args, unsigned n)
{
    const char *star = strchr(f->args, '*');
    unsigned fixed = (unsigned)(star ? star - f->args - 1 : (ptrdiff_t)strlen(f->args));
    if (n < fixed || (!star && n > fixed))
        return tmpl_fail(x, "wrong number of args for %.*s: want %s%u got %u", SV_FMT(f->name),
                         star ? "at least " : "", fixed, n);
    for (unsigned i = 0; i < n; i++) {
        char want = i < fixed ? f->args[i] : f->args[fixed];
        if (!fits(want, &args[i]))
            return tmpl_fail(x, "wrong type for value; expected %s; got %s",
                             want == 's'   ? "string"
                             : want == 'v' ? "template.queryResult"
                                           : "*template.sample",
                             tmpl_type_name(&args[i]));
    }
    return 0;
}

static int eval_operand(TmplExec *x, const TmplOperand *o, const TmplVal *dot, TmplVal *ret);

/* The operands behind a command's first, and what the pipeline hands on. */
static int eval_args(TmplExec *x, const TmplCommand *c, const TmplVal *dot, const TmplVal *final,
                     TmplVal **ret, unsigned *ret_n)
{
    unsigned n = c->n - 1;
    TmplVal *args = arena_array(x->arena, TmplVal, c->n + 1);
    if (!args)
        return err_nomem(x->err);
    for (unsigned i = 0; i < n; i++) {
        int r = eval_operand(x, &c->args[i + 1], dot, &args[i]);
        if (r < 0)
            return r;
    }
    if (final)
        args[n++] = *final;
    *ret = args;
    *ret_n = n;
    return 0;
}

/* A function with its operands and what the pipeline hands on. */
static int call(TmplExec *x, const TmplCommand *c, const TmplVal *dot, const TmplVal *final,
                TmplVal *ret)
{
    const TmplFunc *f = c->args[0].func;
    TmplVal *args;
    unsigned n;
    bool lazy = tmpl_is_and(f) || tmpl_is_or(f);
    for (unsigned i = 1; lazy && i < c->n; i++) {
        int r = eval_operand(x, &c->args[i], dot, ret);
        if (r < 0 || tmpl_true(ret) == tmpl_is_or(f))
            return r;
    }
    int r = eval_args(x, c, dot, final, &args, &n);
    if (r < 0)
        return r;
    x->at = c->args[0].text;
    if ((r = check_args(x, f, args, n)) < 0)
        return r;
    StrView at = x->at;
    r = f->fn(x, args, n, ret);
    x->at = at;
    return r;
}

static int no_arguments(TmplExec *x, const TmplCommand *c, const TmplVal *final)
{
    x->at = c->args[0].text;
    if (c->n == 1 && !final)
        return 0;
    return tmpl_fail(x, "can't give argument to non-function %.*s", SV_FMT(c->args[0].text));
}

/* The value that the fields behind an operand are looked up in. */
static int eval_base(TmplExec *x, const TmplOperand *o, const TmplVal *dot, TmplVal *ret)
{
    TmplCommand alone = { .args = (TmplOperand *)(uintptr_t)o, .n = 1 };
    const TmplVar *var;
    switch (o->kind) {
    case OPERAND_VALUE:
        *ret = o->value;
        return 0;
    case OPERAND_VAR:
        if (!(var = find_var(x, o->name)))
            return tmpl_fail(x, "undefined variable: %.*s", SV_FMT(o->name));
        *ret = var->value;
        return 0;
    case OPERAND_FUNC:
        return call(x, &alone, dot, NULL, ret);
    case OPERAND_PIPE:
        return eval_pipe(x, o->pipe, dot, ret);
    case OPERAND_DOT:
        break;
    }
    *ret = *dot;
    return 0;
}

/* A method, or a field where there is none of that name; `args` are for the former. */
static int get_member(TmplExec *x, TmplVal of, StrView name, const TmplVal *args, unsigned n,
                      TmplVal *ret)
{
    int r = tmpl_method(x, &of, name, args, n, ret);
    if (r != 0)
        return MIN(r, 0);
    if (n && (of.kind == TMPL_LABELS || of.kind == TMPL_ARGS))
        return tmpl_fail(x, "%.*s is not a method but has arguments", SV_FMT(name));
    if ((r = get_field(x, of, name, ret)) < 0 || !n)
        return r;
    return tmpl_fail(x, "%.*s has arguments but cannot be invoked as function", SV_FMT(name));
}

/* All members but the last are without arguments. */
static int eval_members(TmplExec *x, const TmplCommand *c, const TmplVal *dot, const TmplVal *final,
                        TmplVal *ret)
{
    const TmplOperand *o = &c->args[0];
    TmplVal *args = NULL;
    unsigned n = 0;
    x->at = o->text;
    int r = eval_base(x, o, dot, ret);
    x->at = o->text;
    for (unsigned i = 0; r >= 0 && i + 1 < o->n_fields; i++)
        r = get_member(x, *ret, o->fields[i], NULL, 0, ret);
    if (r >= 0)
        r = eval_args(x, c, dot, final, &args, &n);
    x->at = o->text;
    return r < 0 ? r : get_member(x, *ret, o->fields[o->n_fields - 1], args, n, ret);
}

/* `final` NULL: the first command of a pipeline. */
static int eval_command(TmplExec *x, const TmplCommand *c, const TmplVal *dot, const TmplVal *final,
                        TmplVal *ret)
{
    const TmplOperand *o = &c->args[0];
    if (o->n_fields)
        return eval_members(x, c, dot, final, ret);
    if (o->kind == OPERAND_FUNC)
        return call(x, c, dot, final, ret);
    int r = no_arguments(x, c, final);
    if (r >= 0 && o->kind == OPERAND_VALUE && o->value.kind == TMPL_NIL)
        return tmpl_fail(x, "nil is not a command");
    if (r >= 0)
        r = eval_base(x, o, dot, ret);
    return r;
}

static int eval_operand(TmplExec *x, const TmplOperand *o, const TmplVal *dot, TmplVal *ret)
{
    TmplCommand alone = { .args = (TmplOperand *)(uintptr_t)o, .n = 1 };
    if (o->n_fields)
        return eval_members(x, &alone, dot, NULL, ret);
    x->at = o->text;
    return eval_base(x, o, dot, ret);
}

static int eval_pipe(TmplExec *x, const TmplPipe *pipe, const TmplVal *dot, TmplVal *ret)
{
    TmplVal v = { 0 };
    int r = step(x);
    for (unsigned i = 0; r >= 0 && i < pipe->n; i++) {
        TmplVal before = v;
        r = eval_command(x, &pipe->commands[i], dot, i ? &before : NULL, &v);
    }
    *ret = v;
    return r;
}

static int set_vars(TmplExec *x, const TmplPipe *pipe, const TmplVal *key, const TmplVal *v)
{
    for (unsigned i = 0; i < pipe->n_vars; i++) {
        /* Of two the first is the key, of one the value. */
        TmplVal value = pipe->n_vars == 2 && i == 0 ? *key : *v;
        TmplVar *old = pipe->assign ? find_var(x, pipe->vars[i]) : NULL;
        if (pipe->assign && !old)
            return tmpl_fail(x, "undefined variable: %.*s", SV_FMT(pipe->vars[i]));
        if (old)
            old->value = value;
        else if (!vec_push(&x->vars, ((TmplVar){ pipe->vars[i], value })))
            return err_nomem(x->err);
    }
    return 0;
}

static unsigned range_len(const TmplVal *v)
{
    return v->kind == TMPL_LABELS ? v->labels.len
           : v->kind == TMPL_INT  ? (unsigned)MAX(0, MIN(v->i, TEMPLATE_STEPS_MAX + 1))
                                  : v->n;
}

static void range_item(const TmplVal *v, unsigned i, Arena *a, TmplVal *key, TmplVal *item)
{
    *key = (TmplVal){ .kind = TMPL_INT, .i = i };
    if (v->kind == TMPL_LABELS) {
        *key = tmpl_string(v->labels.items[i].name);
        *item = tmpl_string(v->labels.items[i].value);
    } else if (v->kind == TMPL_ARGS) {
        *key = tmpl_string(arena_printf(a, "arg%u", i));
        *item = v->args[i];
    } else if (v->kind == TMPL_VECTOR) {
        *item = (TmplVal){ .kind = TMPL_SAMPLE, .n = 1, .samples = &v->samples[i] };
    } else {
        *item = *key;
    }
}

static int run_range(TmplExec *x, const TmplNode *n, const TmplVal *dot)
{
    TmplVal v, key, item;
    size_t mark = x->vars.len;
    int r = eval_pipe(x, n->pipe, dot, &v);
    if (r < 0)
        return r;
    if (v.kind != TMPL_LABELS && v.kind != TMPL_ARGS && v.kind != TMPL_VECTOR &&
        v.kind != TMPL_INT && v.kind != TMPL_NIL) {
        x->at = n->pipe->text;
        return tmpl_fail(x, "range can't iterate over a value of type %s", tmpl_type_name(&v));
    }
    unsigned len = range_len(&v);
    if (len == 0)
        return run_list(x, &n->other, dot);
    for (unsigned i = 0; i < len && r != FLOW_BREAK; i++) {
        range_item(&v, i, x->arena, &key, &item);
        if ((r = step(x)) < 0 || (r = set_vars(x, n->pipe, &key, &item)) < 0 ||
            (r = run_list(x, &n->body, &item)) < 0)
            return r;
        x->vars.len = mark;
    }
    return 0;
}

static int run_template(TmplExec *x, const TmplNode *n, const TmplVal *dot)
{
    TmplVal v = { 0 };
    int r = n->pipe ? eval_pipe(x, n->pipe, dot, &v) : 0;
    if (r < 0)
        return r;
    const TmplDefine *found = NULL;
    for (unsigned i = 0; i < x->tree->n_defines; i++)
        if (sv_eq(x->tree->defines[i].name, n->text))
            found = &x->tree->defines[i];
    x->at = n->where;
    if (!found)
        return tmpl_fail(x, "template \"%.*s\" not defined", SV_FMT(n->text));
    if (x->depth > TEMPLATE_DEPTH_MAX)
        return tmpl_fail(x, "exceeded maximum template depth (%d)", TEMPLATE_DEPTH_MAX);
    /* Its variables are its own: the caller's are out of sight, for the parser has checked. */
    StrView outer = x->template_name;
    size_t mark = x->vars.len;
    x->template_name = n->text;
    if (!vec_push(&x->vars, ((TmplVar){ SV("$"), v })))
        return err_nomem(x->err);
    r = run_list(x, &found->body, &v);
    x->vars.len = mark;
    x->template_name = outer;
    return MIN(r, 0);
}

static int run_node(TmplExec *x, const TmplNode *n, const TmplVal *dot)
{
    TmplVal v = { 0 };
    size_t mark = x->vars.len;
    int r = 0;
    switch (n->kind) {
    case NODE_TEXT:
        buf_sv(x->out, n->text);
        return 0;
    case NODE_ACTION:
        if ((r = eval_pipe(x, n->pipe, dot, &v)) < 0)
            return r;
        if (n->pipe->n_vars)
            return set_vars(x, n->pipe, &v, &v);
        tmpl_print(&v, x->out);
        return 0;
    case NODE_RANGE:
        return run_range(x, n, dot);
    case NODE_TEMPLATE:
        return run_template(x, n, dot);
    case NODE_BREAK:
        return FLOW_BREAK;
    case NODE_CONTINUE:
        return FLOW_CONTINUE;
    case NODE_IF:
    case NODE_WITH:
        break;
    }
    if ((r = eval_pipe(x, n->pipe, dot, &v)) < 0 || (r = set_vars(x, n->pipe, &v, &v)) < 0)
        return r;
    bool yes = tmpl_true(&v);
    r = run_list(x, yes ? &n->body : &n->other, n->kind == NODE_WITH && yes ? &v : dot);
    x->vars.len = mark;
    return r;
}

static int run_list(TmplExec *x, const TmplList *list, const TmplVal *dot)
{
    int r = 0;
    x->depth++;
    for (const TmplNode *n = list->first; n && r == 0; n = n->next)
        if ((r = step(x)) == 0)
            r = run_node(x, n, dot);
    x->depth--;
    return r;
}

int tmpl_run(TmplExec *x)
{
    TmplVal data = { .kind = TMPL_DATA };
    if (!vec_push(&x->vars, ((TmplVar){ SV("$"), data })))
        return err_nomem(x->err);
    int r = run_list(x, &x->tree->body, &data);
    if (r >= 0)
        r = step(x);
    return MIN(r, 0);
}

static int expand(StrView text, const TemplateOptions *opt, Arena *a, Buf *out, Err *err)
{
    TmplTree tree;
    TmplExec x = { .opt = opt,
                   .tree = &tree,
                   .arena = a,
                   .template_name = opt->name,
                   .out = out,
                   .out_start = out->len,
                   .err = err };
    StrView all = arena_printf(a, DEFINITIONS "%.*s", SV_FMT(text));
    if (!all.ptr)
        return err_nomem(err);
    int r = tmpl_parse(all, opt->name, a, &tree, err);
    if (r < 0)
        return err_wrap(err, "error parsing template %.*s", SV_FMT(opt->name));
    if ((r = tmpl_run(&x)) < 0)
        r = err_wrap(err, "error executing template %.*s", SV_FMT(opt->name));
    vec_free(&x.vars);
    return r;
}

int template_expand(StrView text, const TemplateOptions *opt, Buf *out, Err *err)
{
    Arena a;
    size_t start = out->len;
    arena_init(&a, TEMPLATE_MEMORY_MAX);
    int r = expand(text, opt, &a, out, err);
    arena_free(&a);
    if (r < 0)
        out->len = start;
    return r;
}

int template_check(StrView text, StrView name, Err *err)
{
    Arena a;
    TmplTree tree;
    arena_init(&a, TEMPLATE_MEMORY_MAX);
    StrView all = arena_printf(&a, DEFINITIONS "%.*s", SV_FMT(text));
    int r = all.ptr ? tmpl_parse(all, name, &a, &tree, err) : err_nomem(err);
    arena_free(&a);
    return r;
}
