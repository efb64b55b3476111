/* json_encode.c - a Value to JSON text.
 *
 * Plain runs of a string are copied at once; escapes are the ones of Go's encoding/json without
 * HTML escaping (control characters, quote, backslash, and the two line separators of JavaScript).
 */
#include "codec/json.h"
#include "codec/json_internal.h"

static void put_escaped(Buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_form[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
    };

    if (c == '"' || c == '\\' || (c < 0x20 && short_form[c])) {
        char two[2] = { '\\', c < 0x20 ? short_form[c] : (char)c };
        buf_append(out, two, 2);
        return;
    }
    char six[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
    buf_append(out, six, 6);
}

/* A character outside ASCII; returns the bytes used. */
static size_t put_wide(Buf *out, const char *p, const char *end)
{
    unsigned n = utf8_sequence(p, end);

    if (n == 0) {
        buf_sv(out, SV("\\ufffd"));
        return 1;
    }
    if (n == 3 && memcmp(p, "\xE2\x80", 2) == 0 && ((unsigned char)p[2] | 1) == 0xA9)
        buf_sv(out, p[2] & 1 ? SV("\\u2029") : SV("\\u2028"));
    else
        buf_append(out, p, n);
    return n;
}

void json_encode_string(StrView s, Buf *out)
{
    const char *p = s.ptr ? s.ptr : "", *end = p + s.len;
    size_t run = json_plain_run(p, end);

    if (run == s.len && buf_reserve(out, s.len + 2)) { /* nearly always */
        char *to = out->ptr + out->len;
        to[0] = '"';
        if (s.len)
            memcpy(to + 1, p, s.len);
        to[s.len + 1] = '"';
        out->len += s.len + 2;
        return;
    }
    buf_putc(out, '"');
    while (p < end && !out->failed) {
        buf_append(out, p, run);
        p += run;
        if (p < end && (unsigned char)*p >= 0x80)
            p += put_wide(out, p, end);
        else if (p < end)
            put_escaped(out, (unsigned char)*p++);
        run = json_plain_run(p, end);
    }
    buf_putc(out, '"');
}

static void put_scalar(const Value *v, Buf *out)
{
    switch ((ValueKind)v->kind) {
    case VALUE_BOOL:
        buf_sv(out, v->b ? SV("true") : SV("false"));
        return;
    case VALUE_INT:
        buf_i64(out, v->i);
        return;
    case VALUE_DOUBLE:
        json_double(v->d, out);
        return;
    case VALUE_STRING:
        json_encode_string(sv_n(v->str, v->str_len), out);
        return;
    case VALUE_NULL:
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    buf_sv(out, SV("null"));
}

void json_encode(const Value *v, Buf *out)
{
    if (v->kind == VALUE_MAP) {
        buf_putc(out, '{');
        for (uint32_t i = 0; i < v->len && !out->failed; i++) {
            if (i)
                buf_putc(out, ',');
            json_encode_string(v->members[i].key, out);
            buf_putc(out, ':');
            json_encode(&v->members[i].val, out);
        }
        buf_putc(out, '}');
    } else if (v->kind == VALUE_LIST) {
        buf_putc(out, '[');
        for (uint32_t i = 0; i < v->len && !out->failed; i++) {
            if (i)
                buf_putc(out, ',');
            json_encode(&v->items[i], out);
        }
        buf_putc(out, ']');
    } else {
        put_scalar(v, out);
    }
}

static void new_line(Buf *out, unsigned spaces)
{
    buf_putc(out, '\n');
    while (spaces--)
        buf_putc(out, ' ');
}

static void pretty(const Value *v, unsigned indent, unsigned at, Buf *out)
{
    bool is_map = v->kind == VALUE_MAP;

    if ((!is_map && v->kind != VALUE_LIST) || v->len == 0) {
        json_encode(v, out);
        return;
    }
    buf_putc(out, is_map ? '{' : '[');
    for (uint32_t i = 0; i < v->len && !out->failed; i++) {
        if (i)
            buf_putc(out, ',');
        new_line(out, at + indent);
        if (is_map) {
            json_encode_string(v->members[i].key, out);
            buf_sv(out, SV(": "));
        }
        pretty(is_map ? &v->members[i].val : &v->items[i], indent, at + indent, out);
    }
    new_line(out, at);
    buf_putc(out, is_map ? '}' : ']');
}

void json_encode_pretty(const Value *v, unsigned indent, Buf *out)
{
    pretty(v, indent, 0, out);
}
