/* selector_field.c - field selectors: which fields a kind offers, and what they read in an object.
 *
 * Most labels are paths. The exceptions are listed in aliases[]; numbers and booleans that are
 * absent read as Go's zero values. */
#include <stdio.h>

#include "api/selector.h"

enum { FIELD_TERMS_MAX = 100 };

static const struct {
    StrView label;
    const char *path;
} aliases[] = {
    { SV_INIT("name"), "metadata.name" },
    { SV_INIT("source"), "source.component" },
    { SV_INIT("status.successful"), "status.succeeded" },
};

static const StrView booleans[] = { SV_INIT("spec.unschedulable"), SV_INIT("spec.hostNetwork") };
static const StrView numbers[] = { SV_INIT("status.replicas"), SV_INIT("status.successful") };

static bool among(const StrView *list, size_t n, StrView s)
{
    for (size_t i = 0; i < n; i++) {
        if (sv_eq(list[i], s))
            return true;
    }
    return false;
}

static bool is_offered(const ApiResource *kind, StrView label)
{
    if (sv_eq(label, SV("metadata.name")))
        return true;
    if (sv_eq(label, SV("metadata.namespace")))
        return true;
    return kind && among(kind->field_labels, kind->n_field_labels, label);
}

/* "\," "\=" and "\\" stand for the character itself. */
static int unescape(StrView raw, Arena *a, StrView whole, StrView *ret, Err *err)
{
    if (sv_find_char(raw, '\\') < 0) {
        *ret = raw;
        return 0;
    }
    char *out = arena_alloc(a, raw.len + 1);
    size_t n = 0;
    if (!out)
        return err_nomem(err);
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\' && (i + 1 == raw.len || !strchr("\\,=", raw.ptr[i + 1])))
            return err_set(err, ERR_INVALID, 0,
                           "invalid field selector: invalid escape sequence in "
                           "'%.*s'",
                           SV_FMT(whole));
        i += raw.ptr[i] == '\\';
        out[n++] = raw.ptr[i];
    }
    *ret = sv_n(out, n);
    return 0;
}

/* Length of the piece before the next comma that is not escaped. */
static size_t piece_length(StrView s)
{
    size_t i = 0;

    while (i < s.len && s.ptr[i] != ',')
        i += s.ptr[i] == '\\' && i + 1 < s.len ? 2 : 1;
    return MIN(i, s.len);
}

static int parse_piece(StrView piece, StrView whole, const ApiResource *kind, Arena *a,
                       SelectorTerm *t, Err *err)
{
    ssize_t at = sv_find_char(piece, '=');
    StrView label, raw;

    if (at < 0)
        return err_set(err, ERR_INVALID, 0, "invalid selector: '%.*s'; can't understand '%.*s'",
                       SV_FMT(whole), SV_FMT(piece));
    bool negated = at > 0 && piece.ptr[at - 1] == '!';
    label = sv_head(piece, (size_t)at - negated);
    raw = sv_skip(piece, (size_t)at + 1);
    if (!negated && sv_starts(raw, SV("=")))
        raw = sv_skip(raw, 1);
    if (!is_offered(kind, label))
        return err_set(err, ERR_INVALID, 0, "field label not supported: %.*s", SV_FMT(label));
    t->key = label;
    t->op = negated ? SELECTOR_NE : SELECTOR_EQ;
    t->values = arena_new(a, StrView);
    t->n_values = 1;
    return t->values ? unescape(raw, a, whole, t->values, err) : err_nomem(err);
}

int field_selector_parse(StrView text, const ApiResource *kind, Arena *a, Selector *ret, Err *err)
{
    Selector out = { 0 };
    StrView rest = text;
    int r;

    out.terms = arena_array(a, SelectorTerm, FIELD_TERMS_MAX);
    if (!out.terms)
        return err_nomem(err);
    while (rest.len > 0) {
        size_t n = piece_length(rest);
        StrView piece = sv_head(rest, n);
        rest = sv_skip(rest, n + 1);
        if (piece.len == 0)
            continue;
        if (out.n_terms >= FIELD_TERMS_MAX)
            return err_set(err, ERR_LIMIT, 0, "more than %d terms in a field selector",
                           FIELD_TERMS_MAX);
        if ((r = parse_piece(piece, text, kind, a, &out.terms[out.n_terms++], err)) < 0)
            return r;
    }
    *ret = out;
    return 0;
}

static const Value *find_path(const Value *v, StrView path)
{
    StrView key;

    while (v && sv_next(&path, '.', &key))
        v = value_get(v, key);
    return v;
}

StrView field_selector_value(const Value *obj, StrView label, char buf[static 24])
{
    StrView path = label;

    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
        if (sv_eq(aliases[i].label, label))
            path = sv_cstr(aliases[i].path);
    }
    const Value *v = find_path(obj, path);
    /* The older Event names its reporter in two places. */
    if (!value_str(v).len && sv_eq(label, SV("source")))
        v = value_get(obj, SV("reportingComponent"));
    if (value_is(v, VALUE_STRING))
        return value_str(v);
    if (value_is(v, VALUE_BOOL) || among(booleans, ARRAY_SIZE(booleans), label))
        return value_bool_or(v, false) ? SV("true") : SV("false");
    if (value_is(v, VALUE_INT) || among(numbers, ARRAY_SIZE(numbers), label))
        return sv_n(buf, (size_t)snprintf(buf, 24, "%lld", (long long)value_int_or(v, 0)));
    return SV("");
}

bool field_selector_matches(const Selector *s, const Value *obj)
{
    char buf[24];

    for (uint32_t i = 0; i < s->n_terms; i++) {
        const SelectorTerm *t = &s->terms[i];
        bool same = sv_eq(field_selector_value(obj, t->key, buf), t->values[0]);
        if (same != (t->op == SELECTOR_EQ))
            return false;
    }
    return !s->nothing;
}
