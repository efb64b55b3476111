/* query_print.c - values of the HTTP API as promtool prints them: client_golang's text forms, and
 * JSON as Go's encoder writes it. */
#include <math.h>

#include "codec/json.h"
#include "monitor/model/number.h"
#include "monitor/tool/query_internal.h"

double value_number(const Value *v)
{
    StrView s = value_str(v);
    double d;
    if (value_is(v, VALUE_INT))
        return (double)v->i;
    if (value_is(v, VALUE_DOUBLE))
        return v->d;
    if (sv_eq(s, SV("+Inf")) || sv_eq(s, SV("-Inf")))
        return s.ptr[0] == '-' ? -INFINITY : INFINITY;
    return sv_to_double(s, &d) == 0 ? d : NAN;
}

int value_labels(const Value *v, Arena *a, Labels *ret, Err *err)
{
    LabelsBuilder b;
    labels_builder_init(&b, a, (Labels){ 0 });
    value_map_foreach (m, v)
        labels_builder_set(&b, m->key, value_str(&m->val));
    return labels_builder_take(&b, ret) ? 0 : err_nomem(err);
}

static int malformed(Err *err)
{
    return err_set(err, ERR_PROTO, 0, "bad_response: the result of the query is malformed");
}

static void put_float(double v, Buf *out)
{
    double_format_f(v, out);
}

/* ---- text ---- */

static void put_metric(Labels l, Buf *out)
{
    if (!l.len)
        buf_sv(out, SV("{}"));
    else
        labels_format(l, out);
}

static void put_bucket(const Value *b, Buf *out)
{
    int64_t bounds = value_int_or(value_at(b, 0), 0);
    buf_putc(out, bounds == 1 || bounds == 3 ? '[' : '(');
    double_format_g(value_number(value_at(b, 1)), out);
    buf_putc(out, ',');
    double_format_g(value_number(value_at(b, 2)), out);
    buf_putc(out, bounds == 0 || bounds == 3 ? ']' : ')');
    buf_putc(out, ':');
    put_float(value_number(value_at(b, 3)), out);
}

/* [time, "value"] or [time, {histogram}]. */
static void put_pair(const Value *pair, Buf *out)
{
    const Value *v = value_at(pair, 1);
    if (value_is(v, VALUE_MAP)) {
        bool first = true;
        buf_printf(out, "Count: %f, Sum: %f, Buckets: [", value_number(value_get(v, SV("count"))),
                   value_number(value_get(v, SV("sum"))));
        value_list_foreach (b, value_get(v, SV("buckets"))) {
            if (!first)
                buf_putc(out, ' ');
            first = false;
            put_bucket(b, out);
        }
        buf_putc(out, ']');
    } else {
        put_float(value_number(v), out);
    }
    buf_sv(out, SV(" @["));
    put_float(value_number(value_at(pair, 0)), out);
    buf_putc(out, ']');
}

typedef struct Series {
    Labels labels;
    const Value *v;
} Series;

/* client_golang's order: fewer labels first, then name by name. */
static int series_cmp(const void *x, const void *y)
{
    Labels a = ((const Series *)x)->labels, b = ((const Series *)y)->labels;
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    for (unsigned i = 0; i < a.len; i++) {
        int c = sv_cmp(a.items[i].name, b.items[i].name);
        /* Whoever has the name that comes first is the later one. */
        if (c)
            return c < 0 ? 1 : -1;
        if ((c = sv_cmp(a.items[i].value, b.items[i].value)))
            return c;
    }
    return 0;
}

static int text_series(const Value *result, bool matrix, Arena *a, Buf *out, Err *err)
{
    size_t n = value_len(result);
    Series *all = arena_array(a, Series, n + 1);
    if (!all)
        return err_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        all[i].v = value_at(result, i);
        int r = value_labels(value_get(all[i].v, SV("metric")), a, &all[i].labels, err);
        if (r < 0)
            return r;
    }
    if (matrix && n)
        qsort(all, n, sizeof *all, series_cmp);
    for (size_t i = 0; i < n; i++) {
        const Value *one = value_get(all[i].v, SV("value"));
        bool first = true;
        if (i)
            buf_putc(out, '\n');
        put_metric(all[i].labels, out);
        buf_sv(out, matrix ? SV(" =>\n") : SV(" => "));
        if (!matrix) {
            put_pair(one ? one : value_get(all[i].v, SV("histogram")), out);
            continue;
        }
        for (int histograms = 0; histograms < 2; histograms++)
            value_list_foreach (p,
                                value_get(all[i].v, histograms ? SV("histograms") : SV("values"))) {
                if (!first)
                    buf_putc(out, '\n');
                first = false;
                put_pair(p, out);
            }
    }
    buf_putc(out, '\n');
    return 0;
}

/* ---- JSON ---- */

static void put_json_value(const Value *v, Buf *out)
{
    bool first = true;
    switch ((ValueKind)v->kind) {
    case VALUE_STRING:
        tool_json_string(value_str(v), out);
        return;
    case VALUE_LIST:
        buf_putc(out, '[');
        value_list_foreach (it, v) {
            if (!first)
                buf_putc(out, ',');
            first = false;
            put_json_value(it, out);
        }
        buf_putc(out, ']');
        return;
    case VALUE_MAP:
        buf_putc(out, '{');
        value_map_foreach (m, v) {
            if (!first)
                buf_putc(out, ',');
            first = false;
            tool_json_string(m->key, out);
            buf_putc(out, ':');
            put_json_value(&m->val, out);
        }
        buf_putc(out, '}');
        return;
    case VALUE_DOUBLE: /* a time: at most three decimals, never an exponent */
        put_float(v->d, out);
        return;
    case VALUE_NULL:
    case VALUE_BOOL:
    case VALUE_INT:
        json_encode(v, out);
        return;
    }
}

/* [time, "value"], whose value never has an exponent. */
static void put_json_pair(const Value *pair, Buf *out)
{
    const Value *v = value_at(pair, 1);
    if (!value_is(v, VALUE_STRING)) {
        put_json_value(pair, out);
        return;
    }
    buf_putc(out, '[');
    put_float(value_number(value_at(pair, 0)), out);
    buf_sv(out, SV(",\""));
    put_float(value_number(v), out);
    buf_sv(out, SV("\"]"));
}

static void put_json_pairs(const Value *pairs, Buf *out)
{
    for (uint32_t i = 0; i < value_len(pairs); i++) {
        buf_putc(out, i ? ',' : '[');
        put_json_pair(value_at(pairs, i), out);
    }
    buf_sv(out, value_len(pairs) ? SV("]") : SV("[]"));
}

static int json_series(const Value *result, Arena *a, Buf *out, Err *err)
{
    static const char *const keys[] = { "value", "histogram", "values", "histograms" };
    buf_putc(out, '[');
    for (uint32_t i = 0; i < value_len(result); i++) {
        const Value *v = value_at(result, i);
        Labels l;
        int r = value_labels(value_get(v, SV("metric")), a, &l, err);
        if (r < 0)
            return r;
        buf_sv(out, i ? SV(",{\"metric\":") : SV("{\"metric\":"));
        tool_json_labels(l, out);
        for (unsigned k = 0; k < ARRAY_SIZE(keys); k++) {
            const Value *part = value_get(v, sv_cstr(keys[k]));
            if (!part)
                continue;
            buf_printf(out, ",\"%s\":", keys[k]);
            if (k < 2)
                put_json_pair(part, out);
            else
                put_json_pairs(part, out);
        }
        buf_putc(out, '}');
    }
    buf_sv(out, SV("]\n"));
    return 0;
}

/* ---- what is printed ---- */

int result_print(const Value *data, bool json, Arena *a, Buf *out, Err *err)
{
    StrView type = value_path_str(data, "resultType");
    const Value *result = value_get(data, SV("result"));
    bool matrix = sv_eq(type, SV("matrix"));
    if (!value_is(result, VALUE_LIST))
        return malformed(err);
    if (matrix || sv_eq(type, SV("vector")))
        return json ? json_series(result, a, out, err) : text_series(result, matrix, a, out, err);
    if (value_len(result) != 2)
        return malformed(err);
    bool scalar = sv_eq(type, SV("scalar"));
    if (json && scalar) {
        put_json_pair(result, out);
    } else if (json) {
        put_json_value(result, out);
    } else if (scalar) {
        buf_sv(out, SV("scalar: "));
        put_pair(result, out);
    } else {
        buf_sv(out, value_str(value_at(result, 1)));
    }
    buf_putc(out, '\n');
    return 0;
}

int series_print(const Value *data, bool json, Arena *a, Buf *out, Err *err)
{
    if (!value_is(data, VALUE_LIST) && !value_is(data, VALUE_NULL))
        return malformed(err);
    if (json)
        buf_putc(out, '[');
    for (uint32_t i = 0; i < value_len(data); i++) {
        Labels l;
        int r = value_labels(value_at(data, i), a, &l, err);
        if (r < 0)
            return r;
        if (json) {
            if (i)
                buf_putc(out, ',');
            tool_json_labels(l, out);
        } else {
            labels_format_set(l, out);
            buf_putc(out, '\n');
        }
    }
    if (json)
        buf_sv(out, SV("]\n"));
    return 0;
}

int names_print(const Value *data, bool json, Buf *out, Err *err)
{
    if (!value_is(data, VALUE_LIST) && !value_is(data, VALUE_NULL))
        return malformed(err);
    if (json) {
        put_json_value(data, out);
        buf_putc(out, '\n');
        return 0;
    }
    value_list_foreach (it, data) {
        buf_sv(out, value_str(it));
        buf_putc(out, '\n');
    }
    return 0;
}
