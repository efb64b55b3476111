/* openmetrics.c - OpenMetrics 1.0: like the text format, but strict about white space, with units,
 * exemplars, times in seconds, and "# EOF" at the end. */
#include <math.h>
#include <stdio.h>

#include "monitor/expo/internal.h"

static int no_eof(Err *err)
{
    return err_set(err, ERR_INVALID, 0, "data does not end with # EOF");
}

/* ---- metadata ---- */

static int check_unit(const ExpoEntry *e, Err *err)
{
    StrView m = e->name, u = e->text;
    if (u.len && (!sv_ends(m, u) || m.len < u.len + 1 || m.ptr[m.len - u.len - 1] != '_'))
        return err_set(err, ERR_INVALID, 0, "unit \"%.*s\" not a suffix of metric \"%.*s\"",
                       (int)MIN(u.len, (size_t)100), u.ptr, (int)MIN(m.len, (size_t)200), m.ptr);
    return 0;
}

static int finish_meta(ExpoParser *p, const char *word, Err *err)
{
    ExpoEntry *e = &p->entry;
    if (word[0] == 'T') {
        e->kind = EXPO_TYPE;
        if (!expo_type_parse(e->text, true, &e->type))
            return err_set(err, ERR_INVALID, 0, "invalid metric type \"%.*s\"",
                           (int)MIN(e->text.len, (size_t)100), e->text.ptr);
        p->type = e->type;
        p->family = e->name;
        return 0;
    }
    if (word[0] == 'U') {
        e->kind = EXPO_UNIT;
        return check_unit(e, err);
    }
    if (!sv_is_utf8(e->text))
        return err_set(err, ERR_INVALID, 0, "help text \"%.*s\" is not a valid utf8 string",
                       (int)MIN(e->text.len, (size_t)100), e->text.ptr);
    e->kind = EXPO_HELP;
    e->text = expo_unescape_help(p, e->text, true);
    return 0;
}

static int read_meta(ExpoParser *p, const char *word, const char *eol, Err *err)
{
    const char *s = word + 5, *name = s;
    if (s < eol && *s == '"') {
        const char *close = expo_quoted_end(s + 1, eol);
        s = close ? close : s;
    } else if (s < eol && char_is(*s, CHAR_NAME_START)) {
        while (s < eol && char_is(*s, CHAR_NAME))
            s++;
    }
    if (s == name) {
        char what[48];
        snprintf(what, sizeof what, "expected metric name after %.4s", word);
        return expo_fail(p, p->at, s, what, err);
    }
    if (s == eol || *s != ' ')
        return err_set(err, ERR_INVALID, 0, "expected text in %.4s", word);
    ExpoEntry *e = &p->entry;
    e->name = sv_n(name, (size_t)(s - name));
    if (*name == '"')
        e->name = sv_n(name + 1, e->name.len - 2);
    e->text = sv_n(s + 1, (size_t)(eol - s - 1));
    p->at = eol + 1;
    return finish_meta(p, word, err);
}

static int read_hash(ExpoParser *p, Err *err)
{
    const char *s = p->at;
    StrView rest = sv_n(s, (size_t)(p->end - s));

    if (sv_eq(rest, SV("# EOF")) || sv_eq(rest, SV("# EOF\n"))) {
        p->entry.kind = EXPO_END;
        return 0;
    }
    if (sv_starts(rest, SV("# EOF")))
        return err_set(err, ERR_INVALID, 0, "unexpected data after # EOF");
    const char *eol = memchr(s, '\n', rest.len);
    bool meta = sv_starts(rest, SV("# HELP ")) || sv_starts(rest, SV("# TYPE ")) ||
                sv_starts(rest, SV("# UNIT "));
    if (!meta)
        return expo_fail(p, s, s + MIN((size_t)2, rest.len), "expected a valid start token", err);
    return eol ? read_meta(p, s + 2, eol, err) : no_eof(err);
}

/* ---- samples ---- */

/* " NUMBER" at *at, up to a space or the end of the line. */
static int read_number(ExpoParser *p, const char **at, const char *after, double *ret, Err *err)
{
    const char *s = *at, *end = p->end;
    char what[128];

    if (s == end || *s != ' ' || s + 1 == end || s[1] == ' ' || s[1] == '\n') {
        snprintf(what, sizeof what, "expected value after %s", after);
        return expo_fail(p, p->at, s, what, err);
    }
    const char *number = ++s;
    const char *fast = expo_fast_number(s, end, ret);
    if (fast && fast < end && (*fast == ' ' || *fast == '\n')) {
        *at = fast;
        return 0;
    }
    while (s < end && *s != ' ' && *s != '\n')
        s++;
    if (!expo_number(sv_n(number, (size_t)(s - number)), ret)) {
        snprintf(what, sizeof what, "strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
                 (int)MIN(s - number, 60), number);
        return expo_fail_plain(p, p->at, s, what, err);
    }
    *at = s;
    return 0;
}

static int read_seconds(ExpoParser *p, const char **at, const char *kind, int64_t *ret, Err *err)
{
    double seconds;
    int r = read_number(p, at, kind, &seconds, err);
    if (r < 0)
        return r;
    if (!(fabs(seconds) < 9e15))
        return err_set(err, ERR_INVALID, 0, "invalid %s %f", kind, seconds);
    *ret = (int64_t)(seconds * 1000);
    return 0;
}

/* Behind " # ", at the brace. */
static int read_exemplar(ExpoParser *p, const char **at, Err *err)
{
    const char *s = *at, *bad = s;
    const char *stop = expo_series_end(s, p->end, false, &bad);
    int r;

    if (!stop)
        return expo_fail(p, p->at, bad, "expected label name", err);
    p->exemplar_labels = sv_n(s, (size_t)(stop - s));
    s = stop;
    if ((r = read_number(p, &s, "exemplar labels", &p->exemplar_value, err)) < 0)
        return r;
    p->exemplar_has_t = s < p->end && *s == ' ';
    if (p->exemplar_has_t &&
        (r = read_seconds(p, &s, "exemplar timestamp", &p->exemplar_t, err)) < 0)
        return r;
    p->entry.n_exemplars = 1;
    *at = s;
    return 0;
}

static int read_series(ExpoParser *p, Err *err)
{
    const char *s = p->at, *bad = s, *end = p->end;
    const char *stop = expo_expected_end(p, s);
    int r;

    p->entry.expected = stop != NULL;
    if (!stop)
        stop = expo_series_end(s, end, false, &bad);
    if (!stop)
        return expo_fail(p, p->at, bad,
                         bad < end && *bad == '"' ? "expected label value" : "expected label name",
                         err);
    ExpoEntry *e = &p->entry;
    e->kind = EXPO_SERIES;
    e->series = sv_n(s, (size_t)(stop - s));
    e->type = p->type;
    e->has_t = false;
    s = stop;
    if ((r = read_number(p, &s, "metric", &e->v, err)) < 0)
        return r;
    bool exemplar = end - s >= 4 && memcmp(s, " # {", 4) == 0;
    if (!exemplar && s < end && *s == ' ') {
        if ((r = read_seconds(p, &s, "timestamp", &e->t, err)) < 0)
            return r;
        e->has_t = true;
        exemplar = end - s >= 4 && memcmp(s, " # {", 4) == 0;
    }
    if (exemplar) {
        s += 3;
        if ((r = read_exemplar(p, &s, err)) < 0)
            return r;
    }
    if (s == end)
        return no_eof(err);
    if (*s != '\n')
        return expo_fail(p, p->at, s, "expected next entry after timestamp", err);
    p->at = s + 1;
    return 0;
}

static StrView series_name(StrView series)
{
    size_t n = 0;
    while (n < series.len && char_is(series.ptr[n], CHAR_NAME))
        n++;
    return sv_head(series, n);
}

static bool has_start(ExpoType t)
{
    return t == EXPO_COUNTER || t == EXPO_SUMMARY || t == EXPO_HISTOGRAM_TYPE;
}

int expo_om_next(ExpoParser *p, Err *err)
{
    for (;;) {
        p->entry.n_exemplars = 0;
        if (p->at == p->end)
            return no_eof(err);
        if (*p->at == '#')
            return read_hash(p, err);
        if (!char_is(*p->at, CHAR_NAME_START) && *p->at != '{')
            return expo_fail(p, p->at, p->at, "expected a valid start token", err);
        int r = read_series(p, err);
        if (r < 0 || !p->opt.skip_created || !has_start(p->type) ||
            !sv_ends(series_name(p->entry.series), SV("_created")))
            return r;
    }
}

/* ---- start times: the _created line of the same labels, further down in the family ---- */

/* Labels without name, le and quantile, as text that compares. False: out of memory. */
static bool put_key(ExpoParser *p, StrView series, Buf *out)
{
    _cleanup_arena_ Arena a;
    Labels l;
    arena_init(&a, 0);
    buf_clear(out);
    if (expo_text_labels(p, series, false, &a, &l, NULL) < 0)
        return false;
    for (unsigned i = 0; i < l.len; i++) {
        StrView name = l.items[i].name;
        if (sv_eq(name, LABEL_METRIC_NAME) || sv_eq(name, SV("le")) || sv_eq(name, SV("quantile")))
            continue;
        buf_sv(out, name);
        buf_putc(out, '\xff');
        buf_sv(out, l.items[i].value);
        buf_putc(out, '\xff');
    }
    return !out->failed;
}

int64_t expo_om_start(ExpoParser *p)
{
    _cleanup_buf_ Buf key = BUF_INIT, other = BUF_INIT;
    if (!has_start(p->type) || !put_key(p, p->entry.series, &key))
        return 0;
    buf_sv(&key, p->family);
    if (p->start && sv_eq(buf_view(&key), buf_view(&p->start_key)))
        return p->start;
    ExpoParser ahead = *p; /* only reads; its buffers are not touched by lines of series */
    ahead.opt.skip_created = false;
    p->start = 0;
    while (ahead.at < ahead.end && *ahead.at != '#' && expo_om_next(&ahead, NULL) >= 0) {
        if (!sv_ends(series_name(ahead.entry.series), SV("_created")))
            continue;
        if (put_key(&ahead, ahead.entry.series, &other)) {
            buf_sv(&other, p->family);
            if (sv_eq(buf_view(&key), buf_view(&other)) && fabs(ahead.entry.v) < 9e15)
                p->start = (int64_t)(ahead.entry.v * 1000);
        }
        break;
    }
    buf_clear(&p->start_key);
    buf_sv(&p->start_key, buf_view(&key));
    return p->start;
}
