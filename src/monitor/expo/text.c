/* text.c - the text format, line by line. */
#include <stdio.h>

#include "monitor/expo/internal.h"

#define N  (CHAR_NAME | CHAR_LABEL)
#define NS (CHAR_NAME | CHAR_NAME_START | CHAR_LABEL | CHAR_LABEL_START)
const uint8_t expo_chars[256] = {
    ['0' ... '9'] = N | CHAR_DIGIT,
    [':'] = CHAR_NAME | CHAR_NAME_START,
    ['A' ... 'Z'] = NS,
    ['_'] = NS,
    ['a' ... 'z'] = NS,
};

const char *expo_quoted_end(const char *s, const char *end)
{
    for (; s < end && *s != '"'; s++)
        if (*s == '\\')
            s++;
    return s < end ? s + 1 : NULL;
}

const char *expo_series_end(const char *s, const char *end, bool spaces, const char **ret_at)
{
    while (s < end && char_is(*s, CHAR_NAME))
        s++;
    const char *brace = s;
    while (spaces && brace < end && (*brace == ' ' || *brace == '\t'))
        brace++;
    if (brace == end || *brace != '{')
        return s;
    for (s = brace + 1; s < end && *s != '}'; s++) {
        if (*s == '"') {
            const char *close = expo_quoted_end(s + 1, end);
            if (!close) {
                *ret_at = s;
                return NULL;
            }
            s = close - 1;
        } else if (*s == '\n') {
            break;
        }
    }
    if (s < end && *s == '}')
        return s + 1;
    *ret_at = s;
    return NULL;
}

const char *expo_expected_end(const ExpoParser *p, const char *s)
{
    size_t n = p->expected.len;
    /* One blank and then no brace: a name with blanks in front of its labels is another series. */
    if (!n || (size_t)(p->end - s) < n + 2 || s[n] != ' ' || s[n + 1] == ' ' || s[n + 1] == '\t' ||
        s[n + 1] == '{' || memcmp(s, p->expected.ptr, n) != 0)
        return NULL;
    return s + n;
}

/* ---- metadata ---- */

static const char *const text_types[] = {
    "untyped", "counter", "gauge", "histogram", "", "summary"
};
static const char *const om_types[] = { "unknown",        "counter", "gauge", "histogram",
                                        "gaugehistogram", "summary", "info",  "stateset" };

bool expo_type_parse(StrView s, bool openmetrics, ExpoType *ret)
{
    const char *const *names = openmetrics ? om_types : text_types;
    unsigned n = openmetrics ? ARRAY_SIZE(om_types) : ARRAY_SIZE(text_types);

    for (unsigned i = 0; i < n; i++) {
        if (s.len && sv_eq(s, sv_cstr(names[i]))) {
            *ret = (ExpoType)i;
            return true;
        }
    }
    return false;
}

/* \\ and \n, and with `quotes` also \"; others stay. */
StrView expo_unescape_help(ExpoParser *p, StrView s, bool quotes)
{
    if (sv_find_char(s, '\\') < 0)
        return s;
    buf_clear(&p->text);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], next = i + 1 < s.len ? s.ptr[i + 1] : 0;
        bool known = c == '\\' && (next == '\\' || next == 'n' || (quotes && next == '"'));
        buf_putc(&p->text, !known ? c : next == 'n' ? '\n' : next);
        i += known;
    }
    return p->text.failed ? s : buf_view(&p->text);
}

static const char *skip_space(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    return s;
}

/* Behind "HELP " or "TYPE ". */
static int read_meta(ExpoParser *p, const char *s, const char *eol, bool help, Err *err)
{
    const char *name = s;
    if (s < eol && *s == '"') {
        const char *close = expo_quoted_end(s + 1, eol);
        s = close ? close : s;
    } else if (s < eol && char_is(*s, CHAR_NAME_START)) {
        while (s < eol && char_is(*s, CHAR_NAME))
            s++;
    }
    if (s == name)
        return expo_fail(p, p->at, s,
                         help ? "expected metric name after HELP"
                              : "expected metric name after TYPE",
                         err);
    ExpoEntry *e = &p->entry;
    e->name = sv_n(name, (size_t)(s - name));
    if (*name == '"')
        e->name = sv_n(name + 1, e->name.len - 2);
    e->text = s < eol ? sv_n(s + 1, (size_t)(eol - s - 1)) : SV("");
    p->at = eol < p->end ? eol + 1 : eol;
    if (help) {
        if (!sv_is_utf8(e->text))
            return err_set(err, ERR_INVALID, 0, "help text \"%.*s\" is not a valid utf8 string",
                           (int)MIN(e->text.len, (size_t)100), e->text.ptr);
        e->text = expo_unescape_help(p, e->text, false);
        e->kind = EXPO_HELP;
        return 0;
    }
    if (!expo_type_parse(e->text, false, &e->type))
        return err_set(err, ERR_INVALID, 0, "invalid metric type \"%.*s\"",
                       (int)MIN(e->text.len, (size_t)100), e->text.ptr);
    p->type = e->type;
    e->kind = EXPO_TYPE;
    return 0;
}

/* A line that starts with '#' at `s`. 1: an entry; 0: a comment, skipped. */
static int read_comment(ExpoParser *p, const char *s, Err *err)
{
    const char *eol = memchr(s, '\n', (size_t)(p->end - s));
    eol = eol ? eol : p->end;
    const char *word = skip_space(s + 1, eol), *arg = word + 4;
    bool spaced = word > s + 1 && eol - word > 4 && (*arg == ' ' || *arg == '\t');
    bool help = spaced && memcmp(word, "HELP", 4) == 0;

    if (help || (spaced && memcmp(word, "TYPE", 4) == 0)) {
        int r = read_meta(p, skip_space(arg, eol), eol, help, err);
        return r < 0 ? r : 1;
    }
    p->at = eol < p->end ? eol + 1 : eol;
    return 0;
}

/* ---- samples ---- */

static int read_time(ExpoParser *p, const char **at, Err *err)
{
    const char *s = *at;
    int64_t t = 0;
    while (s < p->end && char_is(*s, CHAR_DIGIT)) {
        if (__builtin_mul_overflow(t, 10, &t) || __builtin_add_overflow(t, *s - '0', &t))
            return expo_fail_plain(p, p->at, s + 1, "timestamp out of range", err);
        s++;
    }
    p->entry.has_t = true;
    p->entry.t = t;
    *at = s;
    return 0;
}

static int read_value(ExpoParser *p, const char **at, Err *err)
{
    const char *s = *at, *end = p->end;
    const char *after = expo_fast_number(s, end, &p->entry.v);
    if (after && (after == end || *after == ' ' || *after == '\n' || *after == '\t')) {
        *at = after;
        return 0;
    }
    const char *stop = s;
    while (stop < end && *stop != ' ' && *stop != '\t' && *stop != '\n' && *stop != '{')
        stop++;
    if (stop == s)
        return expo_fail(p, p->at, s, "expected value after metric", err);
    if (!expo_number(sv_n(s, (size_t)(stop - s)), &p->entry.v)) {
        char what[128];
        snprintf(what, sizeof what, "strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
                 (int)MIN(stop - s, 60), s);
        return expo_fail_plain(p, p->at, stop, what, err);
    }
    *at = stop;
    return 0;
}

static int read_series(ExpoParser *p, const char *s, Err *err)
{
    const char *bad = s, *end = p->end;
    const char *stop = expo_expected_end(p, s);
    int r;

    p->entry.expected = stop != NULL;
    if (!stop)
        stop = expo_series_end(s, end, true, &bad);
    if (!stop)
        return expo_fail(p, p->at, bad,
                         bad < end && *bad == '"' ? "expected label value" : "expected label name",
                         err);
    p->entry.kind = EXPO_SERIES;
    p->entry.series = sv_n(s, (size_t)(stop - s));
    p->entry.type = p->type;
    p->entry.has_t = false;
    s = skip_space(stop, end);
    if ((r = read_value(p, &s, err)) < 0)
        return r;
    s = skip_space(s, end);
    if (s < end && char_is(*s, CHAR_DIGIT)) {
        if ((r = read_time(p, &s, err)) < 0)
            return r;
        s = skip_space(s, end);
        if (s < end && *s != '\n')
            return expo_fail(p, p->at, s, "expected next entry after timestamp", err);
    }
    if (s < end && *s != '\n')
        return expo_fail(p, p->at, s, "expected timestamp or new record", err);
    p->at = s < end ? s + 1 : s;
    return 0;
}

int expo_text_next(ExpoParser *p, Err *err)
{
    for (;;) {
        const char *s = skip_space(p->at, p->end);
        if (s == p->end) {
            p->entry.kind = EXPO_END;
            return 0;
        }
        if (char_is(*s, CHAR_NAME_START) || *s == '{')
            return read_series(p, s, err);
        if (*s == '\n') {
            p->at = s + 1;
        } else if (*s == '#') {
            int r = read_comment(p, s, err);
            if (r)
                return r < 0 ? r : 0;
        } else {
            return expo_fail(p, p->at, s, "expected a valid start token", err);
        }
    }
}
