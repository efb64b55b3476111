/* unittest_text.c - samples and alerts as promtool prints them, and their differences. */
#include <math.h>

#include "codec/json.h"
#include "monitor/tool/unittest_internal.h"

#define INDENT "            "

/* Go's 'E' format with the fewest digits that read back as the same number. */
static void put_scientific(double v, Buf *out)
{
    char text[40];
    if (isnan(v) || isinf(v)) {
        buf_sv(out, isnan(v) ? SV("NaN") : v > 0 ? SV("+Inf") : SV("-Inf"));
        return;
    }
    for (int digits = 0; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*E", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_sv(out, sv_cstr(text));
}

void samples_format(const Samples *s, Buf *out)
{
    if (!s->n)
        buf_sv(out, SV("nil"));
    for (size_t i = 0; i < s->n; i++) {
        if (i)
            buf_sv(out, SV(", "));
        labels_format_set(s->items[i].labels, out);
        buf_putc(out, ' ');
        if (s->items[i].histogram.len)
            buf_sv(out, s->items[i].histogram);
        else
            put_scientific(s->items[i].value, out);
    }
}

void alerts_format(const Alerts *a, Buf *out)
{
    if (!a->n) {
        buf_sv(out, SV("[]"));
        return;
    }
    buf_putc(out, '[');
    for (size_t i = 0; i < a->n; i++) {
        buf_printf(out, "%s\n" INDENT "%zu:\n" INDENT "  Labels:", i ? "," : "", i);
        labels_format_set(a->items[i].labels, out);
        buf_sv(out, SV("\n" INDENT "  Annotations:"));
        labels_format_set(a->items[i].annotations, out);
    }
    buf_sv(out, SV("\n" INDENT "]"));
}

/* ---- --diff: the two lists as JSON, in one, with what differs in colours ---- */

#define ADDED   "\033[0;32m"
#define REMOVED "\033[0;31m"
#define CHANGED "\033[0;33m"
#define PLAIN   "\033[0m"

static void new_line(unsigned depth, Buf *out)
{
    buf_sv(out, SV("\n" INDENT));
    for (unsigned i = 0; i < depth; i++)
        buf_sv(out, SV("    "));
}

static void put_pair(StrView name, StrView value, Buf *out)
{
    json_encode_string(name, out);
    buf_sv(out, SV(": "));
    json_encode_string(value, out);
}

static void diff_labels(Labels want, Labels got, unsigned depth, Buf *out)
{
    unsigned i = 0, k = 0;
    buf_putc(out, '{');
    while (i < want.len || k < got.len) {
        const Label *w = i < want.len ? &want.items[i] : NULL;
        const Label *g = k < got.len ? &got.items[k] : NULL;
        int c = !w ? 1 : !g ? -1 : sv_cmp(w->name, g->name);
        if (i + k > 0)
            buf_putc(out, ',');
        new_line(depth + 1, out);
        if (c == 0 && sv_eq(w->value, g->value)) {
            put_pair(w->name, w->value, out);
        } else if (c == 0) {
            json_encode_string(w->name, out);
            buf_sv(out, SV(": " CHANGED));
            json_encode_string(w->value, out);
            buf_sv(out, SV(" => "));
            json_encode_string(g->value, out);
            buf_sv(out, SV(PLAIN));
        } else {
            buf_sv(out, c < 0 ? SV(REMOVED) : SV(ADDED));
            put_pair(c < 0 ? w->name : g->name, c < 0 ? w->value : g->value, out);
            buf_sv(out, SV(PLAIN));
        }
        i += c <= 0;
        k += c >= 0;
    }
    if (want.len + got.len)
        new_line(depth, out);
    buf_putc(out, '}');
}

static void diff_alert(const TestAlert *want, const TestAlert *got, Buf *out)
{
    buf_putc(out, '{');
    new_line(2, out);
    buf_sv(out, SV("\"Annotations\": "));
    diff_labels(want->annotations, got->annotations, 2, out);
    buf_putc(out, ',');
    new_line(2, out);
    buf_sv(out, SV("\"Labels\": "));
    diff_labels(want->labels, got->labels, 2, out);
    new_line(1, out);
    buf_putc(out, '}');
}

void alerts_diff(const Alerts *want, const Alerts *got, Buf *out)
{
    const TestAlert none = { 0 };
    size_t n_want = MAX(want->n, (size_t)1), n_got = MAX(got->n, (size_t)1);
    buf_putc(out, '[');
    for (size_t i = 0; i < MAX(n_want, n_got); i++) {
        const TestAlert *w = i < want->n ? &want->items[i] : &none;
        const TestAlert *g = i < got->n ? &got->items[i] : &none;
        bool one = i >= n_want || i >= n_got;
        if (i)
            buf_putc(out, ',');
        new_line(1, out);
        if (one)
            buf_sv(out, i >= n_got ? SV(REMOVED) : SV(ADDED));
        diff_alert(one ? (i >= n_got ? w : g) : w, one ? (i >= n_got ? w : g) : g, out);
        if (one)
            buf_sv(out, SV(PLAIN));
    }
    new_line(0, out);
    buf_putc(out, ']');
}
