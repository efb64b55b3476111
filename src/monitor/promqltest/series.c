/* series.c - see series.h. The metric goes through PromQL's lexer; values are read by hand. */
#include "monitor/promqltest/series.h"

#include <errno.h>

#include "monitor/model/duration.h"
#include "monitor/promql/lex.h"
#include "monitor/promqltest/series_histogram.h"

static int unexpected(const Token *t, const char *expected, Err *err)
{
    _cleanup_buf_ Buf what = BUF_INIT;
    token_describe(t, &what);
    return err_set(err, ERR_INVALID, 0, "unexpected %.*s in label set, expected %s",
                   SV_FMT(buf_view(&what)), expected);
}

static int parse_label(Lexer *l, Token *t, LabelsBuilder *b, Arena *a, Err *err)
{
    StrView name = t->text, value;
    int r = 0;
    bool quoted = t->type == TOK_STRING;
    if (quoted)
        r = text_unquote(t->text, a, &name);
    else if (t->type != TOK_IDENTIFIER)
        return unexpected(t, "identifier or \"}\"", err);
    lexer_next(l, t);
    if (r >= 0 && quoted && t->type != TOK_EQL) {
        labels_builder_set(b, LABEL_METRIC_NAME, name);
        return 0;
    }
    if (r < 0 || t->type != TOK_EQL)
        return r < 0 ? err_set(err, ERR_INVALID, 0, "bad string in label set")
                     : unexpected(t, "\"=\"", err);
    lexer_next(l, t);
    if (t->type != TOK_STRING)
        return unexpected(t, "string", err);
    if (text_unquote(t->text, a, &value) < 0)
        return err_set(err, ERR_INVALID, 0, "bad string in label set");
    labels_builder_set(b, name, value);
    lexer_next(l, t);
    return 0;
}

static int parse_label_set(Lexer *l, LabelsBuilder *b, Arena *a, Err *err)
{
    Token t;
    lexer_next(l, &t); /* the brace */
    lexer_next(l, &t);
    while (t.type != TOK_RIGHT_BRACE) {
        int r = parse_label(l, &t, b, a, err);
        if (r < 0)
            return r;
        if (t.type == TOK_COMMA)
            lexer_next(l, &t);
        else if (t.type != TOK_RIGHT_BRACE)
            return unexpected(&t, "\",\" or \"}\"", err);
    }
    return 0;
}

/* The labels at the head of *rest, which then stands behind them. */
static int parse_metric(StrView *rest, Arena *a, Labels *ret, Err *err)
{
    Lexer l;
    Token t;
    LabelsBuilder b;
    int r = 0;
    lexer_init(&l, *rest);
    labels_builder_init(&b, a, (Labels){ 0 });
    if (rest->len && rest->ptr[0] != '{') {
        lexer_next(&l, &t);
        if (!tok_is_metric_name(t.type))
            return unexpected(&t, "a metric", err);
        labels_builder_set(&b, LABEL_METRIC_NAME, t.text);
    }
    if (l.at < rest->len && rest->ptr[l.at] == '{')
        r = parse_label_set(&l, &b, a, err);
    if (r < 0)
        return r;
    if (!labels_builder_take(&b, ret))
        return err_nomem(err);
    *rest = sv_skip(*rest, l.at);
    return 0;
}

int series_parse_metric(StrView text, Arena *a, Labels *ret, Err *err)
{
    int r = parse_metric(&text, a, ret, err);
    if (r >= 0 && text.len)
        return err_set(err, ERR_INVALID, 0, "unexpected text behind the metric: '%.*s'",
                       SV_FMT(text));
    return r;
}

static int push(SeriesValues *vs, Arena *a, SeriesValue v, Err *err)
{
    if (vs->len >= SERIES_VALUES_MAX)
        return err_set(err, ERR_LIMIT, 0, "series has more than %d values", SERIES_VALUES_MAX);
    if (vs->len == vs->cap) {
        size_t cap = vs->cap ? vs->cap * 2 : 16;
        vs->items =
            arena_realloc(a, vs->items, vs->cap * sizeof *vs->items, cap * sizeof *vs->items);
        if (!vs->items)
            return err_nomem(err);
        vs->cap = cap;
    }
    vs->items[vs->len++] = v;
    return 0;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.';
}

/* Bytes of a number without its sign: digits, a fraction, an exponent; or Inf, NaN, stale. */
static size_t number_len(StrView s)
{
    size_t n = 0;
    if (s.len && !(s.ptr[0] >= '0' && s.ptr[0] <= '9') && s.ptr[0] != '.') {
        while (n < s.len && is_word(s.ptr[n]) && s.ptr[n] != 'x')
            n++;
        return n;
    }
    while (n < s.len && is_word(s.ptr[n]) && s.ptr[n] != 'x') {
        bool exponent = s.ptr[n] == 'e' || s.ptr[n] == 'E';
        n++;
        if (exponent && n < s.len && (s.ptr[n] == '+' || s.ptr[n] == '-'))
            n++;
    }
    return n;
}

static int parse_number(StrView *rest, double *ret, Err *err)
{
    StrView all = *rest;
    int64_t ms;
    bool negative = all.len && all.ptr[0] == '-';
    if (all.len && (negative || all.ptr[0] == '+'))
        *rest = sv_skip(*rest, 1);
    StrView text = sv_head(*rest, number_len(*rest));
    *rest = sv_skip(*rest, text.len);
    if (sv_eq(text, SV("stale"))) {
        *ret = double_from_bits(NAN_STALE_BITS);
        return 0;
    }
    if (!text.len || text_number(text, ret) < 0) {
        if (prom_duration_parse(text, &ms) < 0)
            return err_set(err, ERR_INVALID, 0, "bad value in series: '%.*s'", SV_FMT(all));
        *ret = (double)ms / 1000;
    }
    if (negative)
        *ret = -*ret;
    return 0;
}

/* Behind an `x`. */
static int parse_times(StrView *rest, uint64_t *ret, Err *err)
{
    size_t n = 1;
    while (n < rest->len && rest->ptr[n] >= '0' && rest->ptr[n] <= '9')
        n++;
    if (!rest->len || rest->ptr[0] != 'x' || sv_to_u64(sv_n(rest->ptr + 1, n - 1), ret) < 0 ||
        *ret > SERIES_VALUES_MAX)
        return err_set(err, ERR_INVALID, 0, "bad repetition in series: '%.*s'", SV_FMT(*rest));
    *rest = sv_skip(*rest, n);
    return 0;
}

static int parse_floats(StrView *rest, Arena *a, SeriesValues *vs, Err *err)
{
    SeriesValue v = { 0 };
    double step = 0;
    uint64_t times = 0;
    int r = parse_number(rest, &v.v, err);
    if (r >= 0 && rest->len && (rest->ptr[0] == '+' || rest->ptr[0] == '-')) {
        r = parse_number(rest, &step, err);
        if (r >= 0 && (!rest->len || rest->ptr[0] != 'x'))
            return err_set(err, ERR_INVALID, 0, "step without a repetition in series");
    }
    if (r >= 0 && rest->len && rest->ptr[0] == 'x')
        r = parse_times(rest, &times, err);
    for (uint64_t i = 0; r >= 0 && i <= times; i++) {
        r = push(vs, a, v, err);
        v.v = step != 0 ? v.v + step : v.v;
    }
    return r;
}

static int parse_omitted(StrView *rest, Arena *a, SeriesValues *vs, Err *err)
{
    uint64_t times = 1;
    int r = 0;
    *rest = sv_skip(*rest, 1);
    if (rest->len && rest->ptr[0] == 'x')
        r = parse_times(rest, &times, err);
    for (uint64_t i = 0; r >= 0 && i < times; i++)
        r = push(vs, a, (SeriesValue){ .omitted = true }, err);
    return r;
}

static int combined(const Histogram *cur, const Histogram *step, bool subtract, Arena *a,
                    const Histogram **ret, Err *err)
{
    HistogramAcc acc = { 0 };
    if (cur->schema > step->schema)
        return err_set(err, ERR_INVALID, 0,
                       "error combining histograms: cannot merge from schema %d to %d",
                       step->schema, cur->schema);
    histogram_acc_set(&acc, cur);
    unsigned flags = histogram_acc_add(&acc, step, subtract);
    *ret = histogram_acc_take(&acc, a);
    histogram_acc_free(&acc);
    if (flags & HISTOGRAM_ADD_MIXED)
        return err_set(err, ERR_INVALID, 0,
                       "cannot apply this operation on histograms with a mix of exponential and "
                       "custom bucket schemas");
    return *ret ? 0 : err_nomem(err);
}

static int parse_histograms(StrView *rest, Arena *a, SeriesValues *vs, Err *err)
{
    SeriesValue v = { 0 };
    const Histogram *step = NULL;
    bool subtract = false;
    uint64_t times = 0;
    int r = series_parse_histogram(rest, a, &v.h, &v.hint_given, err);
    if (r >= 0 && rest->len && (rest->ptr[0] == '+' || rest->ptr[0] == '-')) {
        subtract = rest->ptr[0] == '-';
        *rest = sv_skip(*rest, 1);
        r = series_parse_histogram(rest, a, &step, &v.hint_given, err);
    }
    if (r >= 0 && rest->len && rest->ptr[0] == 'x')
        r = parse_times(rest, &times, err);
    for (uint64_t i = 0; r >= 0 && i <= times; i++) {
        r = push(vs, a, v, err);
        if (r >= 0 && step && i < times)
            r = combined(v.h, step, subtract, a, &v.h, err);
    }
    return r;
}

int series_parse(StrView line, Arena *a, Labels *ret_labels, SeriesValues *ret, Err *err)
{
    StrView rest = sv_trim(line);
    *ret = (SeriesValues){ 0 };
    int r = parse_metric(&rest, a, ret_labels, err);
    while (r >= 0 && rest.len) {
        if (rest.ptr[0] != ' ' && rest.ptr[0] != '\t')
            return err_set(err, ERR_INVALID, 0, "unexpected '%.*s' in series values", SV_FMT(rest));
        rest = sv_trim(rest);
        if (sv_starts(rest, SV("{{")))
            r = parse_histograms(&rest, a, ret, err);
        else if (rest.ptr[0] == '_')
            r = parse_omitted(&rest, a, ret, err);
        else
            r = parse_floats(&rest, a, ret, err);
    }
    return r;
}

static int parse_signed_duration(StrView *rest, int64_t *ret, Err *err)
{
    bool negative = rest->len && rest->ptr[0] == '-';
    size_t n = 0;
    if (rest->len && (negative || rest->ptr[0] == '+'))
        *rest = sv_skip(*rest, 1);
    while (n < rest->len && is_word(rest->ptr[n]) && rest->ptr[n] != 'x')
        n++;
    if (prom_duration_parse(sv_head(*rest, n), ret) < 0)
        return err_set(err, ERR_INVALID, 0, "invalid duration '%.*s'", SV_FMT(*rest));
    if (negative)
        *ret = -*ret;
    *rest = sv_skip(*rest, n);
    return 0;
}

static int parse_start_item(StrView item, Arena *a, SeriesValues *vs, Err *err)
{
    int64_t at, step = 0;
    uint64_t times = 0;
    if (item.ptr[0] == '_')
        return parse_omitted(&item, a, vs, err);
    int r = parse_signed_duration(&item, &at, err);
    if (r >= 0 && item.len && item.ptr[0] != 'x')
        r = parse_signed_duration(&item, &step, err);
    if (r >= 0 && item.len)
        r = parse_times(&item, &times, err);
    for (uint64_t i = 0; r >= 0 && i <= times; i++, at += step)
        r = push(vs, a, (SeriesValue){ .v = (double)at }, err);
    return r;
}

int series_parse_starts(StrView text, Arena *a, SeriesValues *ret, Err *err)
{
    StrView item;
    int r = 0;
    *ret = (SeriesValues){ 0 };
    while (r >= 0 && sv_next(&text, ' ', &item))
        if (sv_trim(item).len)
            r = parse_start_item(sv_trim(item), a, ret, err);
    return r;
}
