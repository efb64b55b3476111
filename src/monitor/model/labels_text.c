/* labels_text.c - label sets as Prometheus shows them, and which names need quotes. */
#include <string.h>

#include "monitor/model/labels.h"

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_legacy(StrView s, bool colons)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!is_alpha(c) && !(colons && c == ':') && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.len > 0;
}

bool metric_name_is_legacy(StrView s)
{
    return is_legacy(s, true);
}

bool label_name_is_legacy(StrView s)
{
    return is_legacy(s, false);
}

/* Bytes of the UTF-8 character at the head of `s`; 0: it is none. */
static size_t utf8_len(StrView s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    return n <= s.len && sv_is_utf8(sv_head(s, n)) ? n : 0;
}

static void quote_ascii(char c, Buf *out)
{
    static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
    const char *esc = c ? strchr(from, c) : NULL;
    if (esc)
        buf_printf(out, "\\%c", to[esc - from]);
    else if ((unsigned char)c < 0x20 || c == 0x7f)
        buf_printf(out, "\\x%02x", (unsigned char)c);
    else
        buf_putc(out, c);
}

void text_quote(StrView s, Buf *out)
{
    buf_putc(out, '"');
    while (s.len) {
        size_t n = utf8_len(s);
        if (n == 1)
            quote_ascii(s.ptr[0], out);
        else if (n == 0)
            buf_printf(out, "\\x%02x", (unsigned char)s.ptr[0]);
        else if (n == 2 && (unsigned char)s.ptr[0] == 0xc2 && (unsigned char)s.ptr[1] < 0xa0)
            buf_printf(out, "\\u00%02x", (unsigned char)s.ptr[1]); /* C1 controls */
        else
            buf_append(out, s.ptr, n);
        s = sv_skip(s, n ? n : 1);
    }
    buf_putc(out, '"');
}

static void put_pair(const Label *l, bool first, Buf *out)
{
    if (!first)
        buf_sv(out, SV(", "));
    if (label_name_is_legacy(l->name))
        buf_sv(out, l->name);
    else
        text_quote(l->name, out);
    buf_putc(out, '=');
    text_quote(l->value, out);
}

void labels_format_set(Labels l, Buf *out)
{
    buf_putc(out, '{');
    for (unsigned i = 0; i < l.len; i++)
        put_pair(&l.items[i], i == 0, out);
    buf_putc(out, '}');
}

void labels_format(Labels l, Buf *out)
{
    StrView metric = labels_get(l, LABEL_METRIC_NAME);
    bool inside = metric.len && !metric_name_is_legacy(metric), first = true;
    if (metric.len && !inside)
        buf_sv(out, metric);
    if (l.len == (metric.len && !inside ? 1u : 0u)) {
        if (!metric.len)
            buf_sv(out, SV("{}"));
        return;
    }
    buf_putc(out, '{');
    if (inside) {
        text_quote(metric, out);
        first = false;
    }
    for (unsigned i = 0; i < l.len; i++) {
        if (sv_eq(l.items[i].name, LABEL_METRIC_NAME))
            continue;
        put_pair(&l.items[i], first, out);
        first = false;
    }
    buf_putc(out, '}');
}
