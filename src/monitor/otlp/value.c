/* value.c - attributes: an AnyValue as text, scalars as they are, lists and maps as JSON. */
#include "base/encode.h"
#include "monitor/model/number.h"
#include "monitor/otlp/internal.h"

enum { V_STRING = 1, V_BOOL, V_INT, V_DOUBLE, V_ARRAY, V_MAP, V_BYTES };

static bool put(StrView any, unsigned depth, Buf *out);

static void put_json_text(StrView s, Buf *out)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_putc(out, '\\');
        if (c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else
            buf_putc(out, (char)c);
    }
    buf_putc(out, '"');
}

/* `values` are the fields 1 of a list or map. */
static bool put_list(StrView bytes, bool map, unsigned depth, Buf *out)
{
    PbReader p = pb_reader(bytes), inner;
    PbField f, g;
    bool any = false;
    buf_putc(out, map ? '{' : '[');
    while (pb_next(&p, &f)) {
        StrView value = f.bytes, key = SV("");
        if (f.number != 1 || f.wire != 2)
            continue;
        if (any)
            buf_putc(out, ',');
        any = true;
        if (map) {
            value = SV("");
            inner = pb_reader(f.bytes);
            while (pb_next(&inner, &g)) {
                if (g.number == 1 && g.wire == 2)
                    key = g.bytes;
                else if (g.number == 2 && g.wire == 2)
                    value = g.bytes;
            }
            if (inner.failed)
                return false;
            put_json_text(key, out);
            buf_putc(out, ':');
        }
        if (!put(value, depth + 1, out))
            return false;
    }
    buf_putc(out, map ? '}' : ']');
    return !p.failed;
}

static bool put(StrView any, unsigned depth, Buf *out)
{
    PbReader p = pb_reader(any);
    PbField f, last = { 0 };
    char number[DOUBLE_JSON_SIZE];
    if (depth > OTLP_DEPTH_MAX)
        return false;
    while (pb_next(&p, &f)) /* of a oneof the last one counts */
        last = f;
    if (p.failed)
        return false;
    if (last.number == V_STRING && last.wire == 2) {
        if (depth)
            put_json_text(last.bytes, out);
        else
            buf_sv(out, last.bytes);
    } else if (last.number == V_BOOL && last.wire == 0) {
        buf_sv(out, last.n ? SV("true") : SV("false"));
    } else if (last.number == V_INT && last.wire == 0) {
        buf_i64(out, (int64_t)last.n);
    } else if (last.number == V_DOUBLE && last.wire == 1) {
        buf_append(out, number, double_format_json(pb_double(last.n), number));
    } else if ((last.number == V_ARRAY || last.number == V_MAP) && last.wire == 2) {
        return put_list(last.bytes, last.number == V_MAP, depth, out);
    } else if (last.number == V_BYTES && last.wire == 2) {
        if (depth)
            buf_putc(out, '"');
        base64_encode(BASE64_STD, last.bytes, out);
        if (depth)
            buf_putc(out, '"');
    } else if (depth) {
        buf_sv(out, SV("null"));
    }
    return true;
}

bool otlp_value_text(StrView any, Buf *out)
{
    return put(any, 0, out);
}

int otlp_add_attribute(OtlpAttributes *list, StrView bytes, Arena *a, Err *err)
{
    _cleanup_buf_ Buf text = { .limit = LABEL_TEXT_MAX };
    PbReader p = pb_reader(bytes);
    PbField f;
    StrView any = SV("");
    OtlpAttribute x = { SV(""), SV("") };
    while (pb_next(&p, &f)) {
        if (f.number == 1 && f.wire == 2)
            x.key = f.bytes;
        else if (f.number == 2 && f.wire == 2)
            any = f.bytes;
    }
    if (p.failed || !otlp_value_text(any, &text))
        return err_set(err, ERR_INVALID, 0, "the message is malformed: an attribute");
    if (list->len == OTLP_ATTRIBUTES_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d attributes", OTLP_ATTRIBUTES_MAX);
    if (text.failed)
        return err_set(err, ERR_LIMIT, 0, "the value of attribute '%.*s' is longer than %d bytes",
                       SV_FMT(sv_head(x.key, 100)), LABEL_TEXT_MAX);
    x.value = arena_sv(a, buf_view(&text));
    return x.value.ptr && vec_push(list, x) ? 0 : err_nomem(err);
}
