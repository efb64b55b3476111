/* builtin.c - the functions of Go's text/template: comparison, logic, printing, indexes, escapes.
 */
#include <inttypes.h>

#include "monitor/model/number.h"
#include "base/encode.h"
#include "monitor/template/internal.h"

#define FN(name) static int name(TmplExec *x, const TmplVal *args, unsigned n, TmplVal *ret)

int tmpl_take(TmplExec *x, Buf *b, TmplVal *ret)
{
    *ret = tmpl_string(b->failed ? SV_NULL : arena_sv(x->arena, buf_view(b)));
    return ret->s.ptr ? 0 : err_nomem(x->err);
}

FN(fn_last) /* and, or: no argument before decided */
{
    (void)x;
    *ret = args[n - 1];
    return 0;
}

FN(fn_not)
{
    (void)x, (void)n;
    *ret = tmpl_bool(!tmpl_true(&args[0]));
    return 0;
}

/* Whole numbers of any type are comparable with each other. */
static bool is_whole(const TmplVal *v)
{
    return v->kind == TMPL_INT || v->kind == TMPL_MONTH || v->kind == TMPL_WEEKDAY ||
           v->kind == TMPL_DURATION;
}

/* Go compares only within a kind: 1 and 1.0 are not comparable. */
static int compare(TmplExec *x, const TmplVal *a, const TmplVal *b, int *ret)
{
    if (is_whole(a) && is_whole(b)) {
        *ret = a->i < b->i ? -1 : a->i > b->i;
        return 0;
    }
    if (a->kind != b->kind)
        return tmpl_fail(x, "error calling comparison: incompatible types for comparison");
    switch (a->kind) {
    case TMPL_NIL:
        *ret = 0;
        return 0;
    case TMPL_BOOL:
        *ret = a->b - b->b;
        return 0;
    case TMPL_FLOAT: /* 2: a NaN is like nothing */
        *ret = a->f < b->f ? -1 : a->f > b->f ? 1 : a->f == b->f ? 0 : 2;
        return 0;
    case TMPL_STRING:
        *ret = sv_cmp(a->s, b->s);
        *ret = *ret < 0 ? -1 : *ret > 0;
        return 0;
    default:
        return tmpl_fail(x, "error calling comparison: invalid type for comparison");
    }
}

FN(fn_eq)
{
    int c = 1, r = 0;
    for (unsigned i = 1; i < n && c != 0; i++)
        if ((r = compare(x, &args[0], &args[i], &c)) < 0)
            return r;
    *ret = tmpl_bool(c == 0);
    return r;
}

FN(fn_ne)
{
    int r = fn_eq(x, args, n, ret);
    ret->b = !ret->b;
    return r;
}

static int order(TmplExec *x, const TmplVal *args, int want, int or_want, TmplVal *ret)
{
    int c = 0;
    if (args[0].kind == TMPL_BOOL)
        return tmpl_fail(x, "error calling comparison: invalid type for comparison");
    int r = compare(x, &args[0], &args[1], &c);
    *ret = tmpl_bool(c == want || c == or_want);
    return r;
}

FN(fn_lt)
{
    (void)n;
    return order(x, args, -1, -1, ret);
}
FN(fn_le)
{
    (void)n;
    return order(x, args, -1, 0, ret);
}
FN(fn_gt)
{
    (void)n;
    return order(x, args, 1, 1, ret);
}
FN(fn_ge)
{
    (void)n;
    return order(x, args, 1, 0, ret);
}

/* As fmt has it: nil is <nil> here, and <no value> where a template's action prints it. */
static void print_operand(const TmplVal *v, Buf *out)
{
    if (v->kind == TMPL_NIL)
        buf_sv(out, SV("<nil>"));
    else
        tmpl_print(v, out);
}

FN(fn_print) /* blanks between operands when neither is a text */
{
    _cleanup_buf_ Buf b = BUF_INIT;
    for (unsigned i = 0; i < n; i++) {
        if (i && args[i].kind != TMPL_STRING && args[i - 1].kind != TMPL_STRING)
            buf_putc(&b, ' ');
        print_operand(&args[i], &b);
    }
    return tmpl_take(x, &b, ret);
}

FN(fn_println)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    for (unsigned i = 0; i < n; i++) {
        if (i)
            buf_putc(&b, ' ');
        print_operand(&args[i], &b);
    }
    buf_putc(&b, '\n');
    return tmpl_take(x, &b, ret);
}

FN(fn_printf)
{
    _cleanup_buf_ Buf b = { .limit = TEMPLATE_OUTPUT_MAX };
    tmpl_printf(args[0].s, args + 1, n - 1, &b);
    return tmpl_take(x, &b, ret);
}

FN(fn_len)
{
    (void)n;
    const TmplVal *v = &args[0];
    *ret = (TmplVal){ .kind = TMPL_INT };
    if (v->kind == TMPL_STRING)
        ret->i = (int64_t)v->s.len;
    else if (v->kind == TMPL_LABELS)
        ret->i = v->labels.len;
    else if (v->kind == TMPL_ARGS || v->kind == TMPL_VECTOR)
        ret->i = v->n;
    else
        return tmpl_fail(x, "error calling len: len of type %s", tmpl_type_name(v));
    return 0;
}

static int index_one(TmplExec *x, TmplVal of, const TmplVal *at, TmplVal *ret)
{
    if (of.kind == TMPL_LABELS && at->kind == TMPL_STRING) {
        *ret = tmpl_string(labels_get(of.labels, at->s));
        return 0;
    }
    if (of.kind == TMPL_ARGS && at->kind == TMPL_STRING) {
        uint64_t i;
        *ret = (TmplVal){ 0 };
        if (sv_starts(at->s, SV("arg")) && sv_to_u64(sv_skip(at->s, 3), &i) == 0 && i < of.n)
            *ret = of.args[i];
        return 0;
    }
    if ((of.kind != TMPL_VECTOR && of.kind != TMPL_STRING) || at->kind != TMPL_INT)
        return tmpl_fail(x, "error calling index: can't index item of type %s",
                         tmpl_type_name(&of));
    if (at->i < 0 || (uint64_t)at->i >= (of.kind == TMPL_VECTOR ? of.n : of.s.len))
        return tmpl_fail(x, "error calling index: index out of range: %" PRId64, at->i);
    *ret = of.kind == TMPL_VECTOR
               ? (TmplVal){ .kind = TMPL_SAMPLE, .n = 1, .samples = &of.samples[at->i] }
               : (TmplVal){ .kind = TMPL_INT, .i = (unsigned char)of.s.ptr[at->i] };
    return 0;
}

FN(fn_index)
{
    TmplVal v = args[0];
    int r = 0;
    for (unsigned i = 1; i < n && r >= 0; i++)
        r = index_one(x, v, &args[i], &v);
    *ret = v;
    return r;
}

FN(fn_slice)
{
    TmplVal v = args[0];
    int64_t len = v.kind == TMPL_STRING ? (int64_t)v.s.len : v.n, from = 0, to = len;
    if ((v.kind != TMPL_STRING && v.kind != TMPL_VECTOR) || n > 3)
        return tmpl_fail(x, "error calling slice: can't slice item of type %s", tmpl_type_name(&v));
    for (unsigned i = 1; i < n; i++) {
        if (args[i].kind != TMPL_INT)
            return tmpl_fail(x, "error calling slice: cannot index slice/array with type %s",
                             tmpl_type_name(&args[i]));
        *(i == 1 ? &from : &to) = args[i].i;
    }
    if (from < 0 || to > len || from > to)
        return tmpl_fail(x, "error calling slice: index out of range");
    *ret = v;
    if (v.kind == TMPL_STRING) {
        ret->s = sv_n(v.s.ptr + from, (size_t)(to - from));
    } else {
        ret->samples = v.n ? v.samples + from : v.samples;
        ret->n = (unsigned)(to - from);
    }
    return 0;
}

static int escape(TmplExec *x, const TmplVal *args, unsigned n, TmplVal *ret,
                  void (*fn)(StrView s, Buf *out))
{
    TmplVal text;
    _cleanup_buf_ Buf b = BUF_INIT;
    int r = fn_print(x, args, n, &text);
    if (r < 0)
        return r;
    fn(text.s, &b);
    return tmpl_take(x, &b, ret);
}

static void escape_html(StrView s, Buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (strchr("<>&'\"", c) && c)
            buf_sv(out, c == '<'    ? SV("&lt;")
                        : c == '>'  ? SV("&gt;")
                        : c == '&'  ? SV("&amp;")
                        : c == '\'' ? SV("&#39;")
                                    : SV("&#34;"));
        else
            buf_sv(out, c ? sv_n(&s.ptr[i], 1) : SV("\xef\xbf\xbd"));
    }
}

static void escape_js(StrView s, Buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '\\' || c == '\'' || c == '"')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || strchr("<>&=", c))
            buf_printf(out, "\\u%04X", c);
        else
            buf_putc(out, (char)c);
    }
}

FN(fn_html)
{
    return escape(x, args, n, ret, escape_html);
}
FN(fn_js)
{
    return escape(x, args, n, ret, escape_js);
}
FN(fn_urlquery)
{
    return escape(x, args, n, ret, query_escape);
}

/* `and` and `or` are the first two. */
const TmplFunc tmpl_builtins[] = {
    { SV_INIT("and"), "xx*", fn_last },       { SV_INIT("or"), "xx*", fn_last },
    { SV_INIT("not"), "x", fn_not },          { SV_INIT("eq"), "xxx*", fn_eq },
    { SV_INIT("ne"), "xx", fn_ne },           { SV_INIT("lt"), "xx", fn_lt },
    { SV_INIT("le"), "xx", fn_le },           { SV_INIT("gt"), "xx", fn_gt },
    { SV_INIT("ge"), "xx", fn_ge },           { SV_INIT("print"), "x*", fn_print },
    { SV_INIT("println"), "x*", fn_println }, { SV_INIT("printf"), "sx*", fn_printf },
    { SV_INIT("len"), "x", fn_len },          { SV_INIT("index"), "xx*", fn_index },
    { SV_INIT("slice"), "xx*", fn_slice },    { SV_INIT("html"), "x*", fn_html },
    { SV_INIT("js"), "x*", fn_js },           { SV_INIT("urlquery"), "x*", fn_urlquery },
};
const unsigned tmpl_builtins_len = ARRAY_SIZE(tmpl_builtins);

bool tmpl_is_and(const TmplFunc *f)
{
    return f == &tmpl_builtins[0];
}

bool tmpl_is_or(const TmplFunc *f)
{
    return f == &tmpl_builtins[1];
}

const TmplFunc *tmpl_func(StrView name)
{
    for (unsigned i = 0; i < tmpl_builtins_len; i++)
        if (sv_eq(tmpl_builtins[i].name, name))
            return &tmpl_builtins[i];
    for (unsigned i = 0; i < tmpl_prometheus_len; i++)
        if (sv_eq(tmpl_prometheus[i].name, name))
            return &tmpl_prometheus[i];
    return NULL;
}
