/* text_labels.c - takes `name{label="value",…}` apart, with the rules of either text format. */
#include "monitor/expo/internal.h"

typedef struct Scan {
    ExpoParser *p;
    const char *begin, *s, *end;
    bool om; /* OpenMetrics: no white space, no line break in values, a comma between labels */
    bool exemplar;
    Arena *arena;
    LabelsBuilder b;
    bool named;
    Err *err;
} Scan;

static int broken(Scan *c, const char *what)
{
    return expo_fail(c->p, c->begin, c->s, what, c->err);
}

static void skip_space(Scan *c)
{
    while (!c->om && c->s < c->end && (*c->s == ' ' || *c->s == '\t'))
        c->s++;
}

/* \\, \" and \n; a copy only where there is one. ptr NULL: exhausted. */
static StrView unescape(Arena *a, StrView s)
{
    if (sv_find_char(s, '\\') < 0)
        return s;
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;
    if (!out)
        return SV_NULL;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i], next = i + 1 < s.len ? s.ptr[i + 1] : 0;
        bool known = ch == '\\' && (next == '\\' || next == '"' || next == 'n');
        out[n++] = !known ? ch : next == 'n' ? '\n' : next;
        i += known;
    }
    return sv_n(out, n);
}

/* The quoted text at c->s. */
static int quoted(Scan *c, const char *what, StrView *ret)
{
    const char *close = c->s < c->end && *c->s == '"' ? expo_quoted_end(c->s + 1, c->end) : NULL;
    if (!close)
        return broken(c, what);
    StrView raw = sv_n(c->s + 1, (size_t)(close - c->s) - 2);
    if (c->om && sv_find_char(raw, '\n') >= 0)
        return broken(c, what);
    c->s = close;
    *ret = unescape(c->arena, raw);
    return ret->ptr ? 0 : err_nomem(c->err);
}

static int set_label(Scan *c, StrView name, StrView value)
{
    if (!sv_is_utf8(value) || !sv_is_utf8(name))
        return expo_fail_plain(c->p, c->begin, c->s, "invalid UTF-8 label value", c->err);
    if (labels_builder_get(&c->b, name).len)
        return err_set(c->err, ERR_INVALID, 0, "label name \"%.*s\" is not unique: invalid sample",
                       (int)MIN(name.len, (size_t)100), name.ptr);
    if (!c->exemplar)
        value = expo_bound_text(c->arena, name, value, c->p->type);
    StrView own_name = arena_sv(c->arena, name), own = arena_sv(c->arena, value);
    if (!own_name.ptr || !own.ptr)
        return err_nomem(c->err);
    labels_builder_set(&c->b, own_name, own);
    return 0;
}

static int set_name(Scan *c, StrView name)
{
    if (c->named)
        return expo_fail_plain(c->p, c->begin, c->s, "metric name already set", c->err);
    c->named = true;
    return sv_empty(name) ? 0 : set_label(c, LABEL_METRIC_NAME, name);
}

/* One label, or the metric's name in quotes. */
static int one_label(Scan *c)
{
    bool in_quotes = c->s < c->end && *c->s == '"';
    StrView name, value;
    int r;

    if (in_quotes) {
        if ((r = quoted(c, "expected label name", &name)) < 0)
            return r;
    } else {
        const char *start = c->s;
        if (c->s == c->end || !char_is(*c->s, CHAR_LABEL_START))
            return broken(c, "expected label name");
        while (c->s < c->end && char_is(*c->s, CHAR_LABEL))
            c->s++;
        name = sv_n(start, (size_t)(c->s - start));
    }
    skip_space(c);
    bool ends = c->s < c->end && (*c->s == ',' || *c->s == '}');
    if (in_quotes && ends && !c->exemplar)
        return set_name(c, name);
    if (c->s == c->end || *c->s != '=')
        return broken(c, c->exemplar && ends ? "expected label name" : "expected equal");
    c->s++;
    skip_space(c);
    if ((r = quoted(c, "expected label value", &value)) < 0)
        return r;
    return set_label(c, name, value);
}

static int in_braces(Scan *c)
{
    int r;
    c->s++;
    for (;;) {
        skip_space(c);
        if (c->s < c->end && *c->s == '}') {
            c->s++;
            return 0;
        }
        if ((r = one_label(c)) < 0)
            return r;
        skip_space(c);
        if (c->s < c->end && *c->s == ',')
            c->s++;
        else if (c->om && (c->s == c->end || *c->s != '}'))
            return broken(c, "expected comma or brace close");
    }
}

int expo_text_labels(ExpoParser *p, StrView text, bool exemplar, Arena *a, Labels *ret, Err *err)
{
    Scan c = { .p = p,
               .begin = text.ptr,
               .s = text.ptr,
               .end = text.ptr + text.len,
               .om = p->format == EXPO_FORMAT_OPENMETRICS,
               .exemplar = exemplar,
               .arena = a,
               .err = err };
    int r;

    labels_builder_init(&c.b, a, (Labels){ 0 });
    while (c.s < c.end && char_is(*c.s, CHAR_NAME))
        c.s++;
    if (c.s > c.begin && (r = set_name(&c, sv_n(c.begin, (size_t)(c.s - c.begin)))) < 0)
        return r;
    skip_space(&c);
    if (c.s < c.end && (r = in_braces(&c)) < 0)
        return r;
    if (!exemplar && !labels_builder_get(&c.b, LABEL_METRIC_NAME).len)
        return expo_fail_plain(p, c.begin, c.s, "metric name not set", err);
    if (c.b.len >= LABELS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d labels", LABELS_MAX);
    return labels_builder_take(&c.b, ret) ? 0 : err_nomem(err);
}
