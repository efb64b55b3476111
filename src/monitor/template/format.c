/* format.c - Go's fmt.Sprintf for the verbs that templates use: %s %v %q %d %x %X %o %b %c %t %f %F
 * %e %E %g %G with flags, width and precision. */
#include <inttypes.h>
#include <stdio.h>

#include "monitor/template/internal.h"

enum { WIDTH_MAX = 1000, SPEC_SIZE = 40 };

static void bad_verb(char verb, const TmplVal *v, Buf *out)
{
    buf_printf(out, "%%!%c(%s=", verb, tmpl_type_name(v));
    tmpl_print(v, out);
    buf_putc(out, ')');
}

static bool is_head(char c) /* of a character */
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t characters(StrView s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += is_head(s.ptr[i]);
    return n;
}

/* Widths and precisions are of characters. */
static void pad_text(const char *spec, StrView s, Buf *out)
{
    bool left = strchr(spec, '-') != NULL;
    const char *width = spec + strspn(spec, "+-# 0"), *dot = strchr(spec, '.');
    size_t want = (size_t)atoi(width), most = dot ? (size_t)atoi(dot + 1) : SIZE_MAX, n = 0;
    for (size_t i = 0; i < s.len; i++)
        if (is_head(s.ptr[i]) && n++ == most)
            s.len = i;
    size_t have = characters(s);
    for (size_t i = have; !left && i < want; i++)
        buf_putc(out, ' ');
    buf_sv(out, s);
    for (size_t i = have; left && i < want; i++)
        buf_putc(out, ' ');
}

static void put_based(uint64_t v, unsigned base, Buf *out)
{
    char digits[64];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + v % base);
    while ((v /= base));
    while (n)
        buf_putc(out, digits[--n]);
}

/* %x and %X of a text: its bytes. */
static void put_hex(StrView s, char verb, Buf *out)
{
    for (size_t i = 0; i < s.len; i++)
        buf_printf(out, verb == 'x' ? "%02x" : "%02X", (unsigned char)s.ptr[i]);
}

static void one(const char *spec, char verb, const TmplVal *v, Buf *out)
{
    char format[SPEC_SIZE + 8];
    _cleanup_buf_ Buf text = BUF_INIT;
    bool whole = v->kind == TMPL_INT || v->kind == TMPL_MONTH || v->kind == TMPL_WEEKDAY ||
                 v->kind == TMPL_DURATION,
         real = v->kind == TMPL_FLOAT;
    if (verb == 'v' && real && strchr(spec, '.'))
        verb = 'g';
    if (verb == 'T') {
        pad_text(spec, sv_cstr(tmpl_type_name(v)), out);
    } else if (whole && verb == 'b') {
        if (v->i < 0)
            buf_putc(&text, '-');
        put_based(v->i < 0 ? 0 - (uint64_t)v->i : (uint64_t)v->i, 2, &text);
        pad_text(spec, buf_view(&text), out);
    } else if (v->kind == TMPL_STRING && (verb == 'x' || verb == 'X')) {
        put_hex(v->s, verb, &text);
        pad_text(spec, buf_view(&text), out);
    } else if (verb == 'v' ||
               (verb == 's' && v->kind != TMPL_INT && !real && v->kind != TMPL_BOOL) ||
               (verb == 't' && v->kind == TMPL_BOOL)) {
        if (v->kind == TMPL_NIL)
            buf_sv(&text, SV("<nil>"));
        else
            tmpl_print(v, &text);
        pad_text(spec, buf_view(&text), out);
    } else if (verb == 'q' && v->kind == TMPL_STRING) {
        text_quote(v->s, &text);
        pad_text(spec, buf_view(&text), out);
    } else if (verb == 'c' && whole) {
        buf_putc(out, (char)v->i);
    } else if (whole && strchr("dxXo", verb)) {
        snprintf(format, sizeof format, "%%%s" PRId64, spec);
        format[strlen(format) - 1] = verb;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(out, format, v->i);
    } else if (real && strchr("fFeEgG", verb)) {
        if (verb == 'g' && !strchr(spec, '.')) { /* the shortest that reads back */
            tmpl_print(v, &text);
            pad_text(spec, buf_view(&text), out);
            return;
        }
        if (v->f - v->f != 0) {
            pad_text("", v->f > 0 ? SV("+Inf") : v->f < 0 ? SV("-Inf") : SV("NaN"), out);
            return;
        }
        snprintf(format, sizeof format, "%%%s%c", spec, verb);
        buf_printf(out, format, v->f);
#pragma GCC diagnostic pop
    } else {
        bad_verb(verb, v, out);
    }
}

/* Flags, width and precision at the head of *rest, into spec; too wide ones are cut. */
static void take_spec(StrView *rest, char *spec)
{
    size_t n = 0;
    unsigned number = 0;
    while (rest->len && rest->ptr[0] && strchr("+-# 0123456789.", rest->ptr[0])) {
        char c = rest->ptr[0];
        number = c >= '0' && c <= '9' ? number * 10 + (unsigned)(c - '0') : 0;
        if (number <= WIDTH_MAX && n + 1 < SPEC_SIZE)
            spec[n++] = c;
        else
            number = WIDTH_MAX + 1;
        *rest = sv_skip(*rest, 1);
    }
    spec[n] = 0;
    for (char *dot = strchr(spec, '.'); dot && strchr(dot + 1, '.');)
        *strchr(dot + 1, '.') = '0';
}

void tmpl_printf(StrView format, const TmplVal *args, unsigned n, Buf *out)
{
    unsigned used = 0;
    char spec[SPEC_SIZE];
    while (format.len) {
        ssize_t at = sv_find_char(format, '%');
        buf_sv(out, at < 0 ? format : sv_head(format, (size_t)at));
        if (at < 0)
            break;
        format = sv_skip(format, (size_t)at + 1);
        take_spec(&format, spec);
        if (!format.len) {
            buf_sv(out, SV("%!(NOVERB)"));
            break;
        }
        char verb = format.ptr[0];
        format = sv_skip(format, 1);
        if (verb == '%')
            buf_putc(out, '%');
        else if (used < n)
            one(spec, verb, &args[used++], out);
        else
            buf_printf(out, "%%!%c(MISSING)", verb);
    }
    for (unsigned i = used; i < n; i++) {
        buf_printf(out, "%s%s=", i == used ? "%!(EXTRA " : ", ", tmpl_type_name(&args[i]));
        tmpl_print(&args[i], out);
    }
    if (used < n)
        buf_putc(out, ')');
}
