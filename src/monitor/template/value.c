/* value.c - what template values print as, when they are true, and literals. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "monitor/model/number.h"
#include "monitor/template/internal.h"

const char *tmpl_type_name(const TmplVal *v)
{
    static const char *const names[] = {
        [TMPL_NIL] = "<nil>",
        [TMPL_BOOL] = "bool",
        [TMPL_INT] = "int",
        [TMPL_FLOAT] = "float64",
        [TMPL_STRING] = "string",
        [TMPL_LABELS] = "map[string]string",
        [TMPL_ARGS] = "map[string]interface {}",
        [TMPL_SAMPLE] = "*template.sample",
        [TMPL_VECTOR] = "template.queryResult",
        [TMPL_HISTOGRAM] = "*histogram.FloatHistogram",
        [TMPL_TIME] = "*time.Time",
        [TMPL_DURATION] = "*time.Duration",
        [TMPL_DATA] = "struct",
    };
    return names[v->kind];
}

bool tmpl_true(const TmplVal *v)
{
    switch (v->kind) {
    case TMPL_NIL:
        return false;
    case TMPL_BOOL:
        return v->b;
    case TMPL_INT:
        return v->i != 0;
    case TMPL_FLOAT:
        return v->f != 0;
    case TMPL_STRING:
        return v->s.len > 0;
    case TMPL_LABELS:
        return v->labels.len > 0;
    case TMPL_ARGS:
    case TMPL_VECTOR:
        return v->n > 0;
    default:
        return true;
    }
}

/* Go's Time.String in UTC: "2026-01-02 03:04:05.5 +0000 UTC". */
static void print_time(int64_t ms, Buf *out)
{
    char text[RFC3339_SIZE];
    StrView all = sv_cstr(rfc3339_format_nano(ms * NSEC_PER_MSEC, text));
    buf_printf(out, "%.10s %.*s +0000 UTC", text, (int)all.len - 12, text + 11);
}

static void print_map(const TmplVal *v, Buf *out)
{
    buf_sv(out, SV("map["));
    for (unsigned i = 0; v->kind == TMPL_LABELS && i < v->labels.len; i++) {
        const Label *l = &v->labels.items[i];
        buf_printf(out, "%s%.*s:%.*s", i ? " " : "", SV_FMT(l->name), SV_FMT(l->value));
    }
    for (unsigned i = 0; v->kind == TMPL_ARGS && i < v->n; i++) {
        buf_printf(out, "%sarg%u:", i ? " " : "", i);
        tmpl_print(&v->args[i], out);
    }
    buf_putc(out, ']');
}

void tmpl_print(const TmplVal *v, Buf *out)
{
    char text[DURATION_SIZE];
    switch (v->kind) {
    case TMPL_NIL:
        buf_sv(out, SV("<no value>"));
        break;
    case TMPL_BOOL:
        buf_sv(out, v->b ? SV("true") : SV("false"));
        break;
    case TMPL_INT:
        buf_i64(out, v->i);
        break;
    case TMPL_FLOAT:
        double_format_g(v->f, out);
        break;
    case TMPL_STRING:
        buf_sv(out, v->s);
        break;
    case TMPL_LABELS:
    case TMPL_ARGS:
        print_map(v, out);
        break;
    case TMPL_SAMPLE:
    case TMPL_VECTOR: /* Go prints addresses; labels and values say more */
        for (unsigned i = 0; i < v->n; i++) {
            buf_sv(out, i ? SV(" ") : SV("["));
            labels_format(v->samples[i].labels, out);
            buf_putc(out, ' ');
            double_format_g(v->samples[i].value, out);
        }
        buf_sv(out, v->n ? SV("]") : SV("[]"));
        break;
    case TMPL_HISTOGRAM:
        histogram_format(v->h, out);
        break;
    case TMPL_TIME:
        print_time(v->i, out);
        break;
    case TMPL_DURATION:
        buf_append(out, text, duration_format(v->i, text));
        break;
    case TMPL_DATA:
        buf_sv(out, SV("{}"));
        break;
    }
}

static bool number(StrView *rest, TmplVal *ret)
{
    size_t n = rest->len && (rest->ptr[0] == '-' || rest->ptr[0] == '+');
    while (n < rest->len &&
           (strchr("0123456789.eE", rest->ptr[n]) ||
            ((rest->ptr[n] == '-' || rest->ptr[n] == '+') && n > 0 &&
             (rest->ptr[n - 1] == 'e' || rest->ptr[n - 1] == 'E'))) &&
           rest->ptr[n])
        n++;
    StrView text = sv_head(*rest, n);
    StrView plain = sv_starts(text, SV("+")) ? sv_skip(text, 1) : text;
    if (sv_to_i64(plain, &ret->i) == 0)
        ret->kind = TMPL_INT;
    else if (sv_to_double(plain, &ret->f) == 0)
        ret->kind = TMPL_FLOAT;
    else
        return false;
    *rest = sv_skip(*rest, n);
    return true;
}

/* Cuts at the quote that ends the literal; false: it does not end. */
static bool quoted(StrView s, size_t *ret_end)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '\\' && s.ptr[0] != '`')
            i++;
        else if (s.ptr[i] == s.ptr[0]) {
            *ret_end = i;
            return true;
        } else if (s.ptr[i] == '\n' && s.ptr[0] != '`')
            return false;
    }
    return false;
}

static char unescaped(char c)
{
    static const char from[] = "ntrabfv", to[] = "\n\t\r\a\b\f\v";
    const char *at = strchr(from, c);
    return at && c ? to[at - from] : c;
}

bool tmpl_literal(StrView *rest, Arena *a, TmplVal *ret)
{
    size_t end = 0, n = 0;
    if (!rest->len)
        return false;
    char q = rest->ptr[0];
    if (q != '"' && q != '`' && q != '\'')
        return number(rest, ret);
    if (!quoted(*rest, &end))
        return false;
    char *text = arena_alloc(a, end + 1);
    if (!text)
        return false;
    for (size_t i = 1; i < end; i++) {
        char c = rest->ptr[i];
        unsigned code;
        if (c == '\\' && q != '`' && i + 1 < end) {
            c = unescaped(rest->ptr[++i]);
            if (rest->ptr[i] == 'x' && i + 2 < end &&
                sscanf((char[]){ rest->ptr[i + 1], rest->ptr[i + 2], 0 }, "%2x", &code) == 1) {
                c = (char)code;
                i += 2;
            }
        }
        text[n++] = c;
    }
    *ret = tmpl_string(sv_n(text, n));
    if (q == '\'') /* a rune is a number */
        *ret = (TmplVal){ .kind = TMPL_INT, .i = n ? (unsigned char)text[0] : 0 };
    *rest = sv_skip(*rest, end + 1);
    return true;
}
