/* selector_label.c - label selectors.
 *
 * A hand-written scanner and one function per part of the grammar:
 *   selector := [term {"," term}]      term := "!" key | key [op value | ("in" | "notin") set]
 *   op := "=" | "==" | "!=" | ">" | "<"           set := "(" [value] {"," [value]} ")"
 */
#include <stdlib.h>

#include "api/names.h"
#include "api/selector.h"

enum { SELECTOR_TERMS_MAX = 1000, SELECTOR_VALUES_MAX = 10000 };

typedef struct Scanner {
    StrView rest;
    StrView token; /* empty at the end */
    Arena *arena;
    Err *err;
} Scanner;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_symbol(char c)
{
    return c != 0 && strchr("=!(),<>", c) != NULL;
}

static void next(Scanner *s)
{
    size_t n = 0;

    while (s->rest.len > 0 && is_space(s->rest.ptr[0]))
        s->rest = sv_skip(s->rest, 1);
    if (s->rest.len == 0) {
        s->token = SV("");
        return;
    }
    if (is_symbol(s->rest.ptr[0])) {
        StrView two = sv_head(s->rest, 2);
        n = sv_eq(two, SV("==")) || sv_eq(two, SV("!=")) ? 2 : 1;
    } else {
        while (n < s->rest.len && !is_space(s->rest.ptr[n]) && !is_symbol(s->rest.ptr[n]))
            n++;
    }
    s->token = sv_head(s->rest, n);
    s->rest = sv_skip(s->rest, n);
}

static bool at_word(const Scanner *s)
{
    return s->token.len > 0 && !is_symbol(s->token.ptr[0]);
}

static int unexpected(Scanner *s, const char *want)
{
    return err_set(s->err, ERR_INVALID, 0,
                   "unable to parse requirement: found '%.*s', expected: %s", SV_FMT(s->token),
                   want);
}

static int wrong_name(Err *err, const NameFaults *f, const char *where, StrView bad)
{
    return err_set(err, ERR_INVALID, 0,
                   "unable to parse requirement: %s: Invalid value: \"%.*s\": %.*s", where,
                   SV_FMT(bad), SV_FMT(f->why[0]));
}

static int add_value(Arena *a, SelectorTerm *t, StrView v, Err *err)
{
    NameFaults faults = { .n = 0 };

    if (t->n_values >= SELECTOR_VALUES_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d values in a selector", SELECTOR_VALUES_MAX);
    name_label_value(v, &faults);
    if (faults.n && t->op != SELECTOR_GT && t->op != SELECTOR_LT)
        return wrong_name(err, &faults, "values", v);
    /* Grows by doubling: at each power of two the room is used up. */
    if ((t->n_values & (t->n_values - 1)) == 0) {
        size_t cap = t->n_values ? t->n_values * 2 : 1;
        StrView *p = arena_realloc(a, t->values, t->n_values * sizeof *p, cap * sizeof *p);
        if (!p)
            return err_nomem(err);
        t->values = p;
    }
    t->values[t->n_values++] = v;
    return 0;
}

static int parse_set(Scanner *s, SelectorTerm *t)
{
    int r;

    next(s);
    if (!sv_eq(s->token, SV("(")))
        return unexpected(s, "'('");
    next(s);
    if (sv_eq(s->token, SV(")")))
        return err_set(s->err, ERR_INVALID, 0,
                       "unable to parse requirement: values: Invalid value: "
                       "[]: for 'in', 'notin' operators, values set can't be empty");
    for (;;) {
        StrView v = SV("");
        if (at_word(s)) {
            v = s->token;
            next(s);
        }
        if ((r = add_value(s->arena, t, v, s->err)) < 0)
            return r;
        if (sv_eq(s->token, SV(")")))
            break;
        if (!sv_eq(s->token, SV(",")))
            return unexpected(s, "',', or identifier");
        next(s);
    }
    next(s);
    return 0;
}

static int parse_value(Scanner *s, SelectorTerm *t)
{
    StrView v = SV("");
    int64_t number;

    next(s);
    if (at_word(s)) {
        v = s->token;
        next(s);
    } else if (s->token.len > 0 && !sv_eq(s->token, SV(","))) {
        return unexpected(s, "identifier");
    }
    if ((t->op == SELECTOR_GT || t->op == SELECTOR_LT) && sv_to_i64(v, &number) < 0)
        return err_set(s->err, ERR_INVALID, 0,
                       "unable to parse requirement: values[0]: Invalid value: \"%.*s\": for 'Gt', "
                       "'Lt' operators, the value must be an integer",
                       SV_FMT(v));
    return add_value(s->arena, t, v, s->err);
}

static int parse_operator(Scanner *s, SelectorTerm *t)
{
    static const struct {
        StrView text;
        SelectorOp op;
    } ops[] = {
        { SV_INIT("="), SELECTOR_EQ },         { SV_INIT("=="), SELECTOR_EQ },
        { SV_INIT("!="), SELECTOR_NE },        { SV_INIT("in"), SELECTOR_IN },
        { SV_INIT("notin"), SELECTOR_NOT_IN }, { SV_INIT(">"), SELECTOR_GT },
        { SV_INIT("<"), SELECTOR_LT },
    };

    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        if (!sv_eq(s->token, ops[i].text))
            continue;
        t->op = ops[i].op;
        return t->op == SELECTOR_IN || t->op == SELECTOR_NOT_IN ? parse_set(s, t)
                                                                : parse_value(s, t);
    }
    return unexpected(s, "in, notin, =, ==, !=, gt, lt");
}

static int parse_term(Scanner *s, SelectorTerm *t)
{
    NameFaults faults = { .n = 0 };
    bool negated = sv_eq(s->token, SV("!"));

    if (negated)
        next(s);
    if (!at_word(s))
        return unexpected(s, negated ? "identifier" : "!, identifier, or 'end of string'");
    t->key = s->token;
    name_label_key(t->key, &faults);
    if (faults.n)
        return wrong_name(s->err, &faults, "key", t->key);
    next(s);
    if (negated || s->token.len == 0 || sv_eq(s->token, SV(","))) {
        t->op = negated ? SELECTOR_NOT_EXISTS : SELECTOR_EXISTS;
        return 0;
    }
    return parse_operator(s, t);
}

static size_t count_terms(StrView text)
{
    size_t n = 1;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == ',';
    return n;
}

int selector_parse(StrView text, Arena *a, Selector *ret, Err *err)
{
    Scanner s = { .rest = text, .arena = a, .err = err };
    Selector out = { 0 };
    int r;

    next(&s);
    if (s.token.len == 0) {
        *ret = out;
        return 0;
    }
    size_t room = MIN(count_terms(text), SELECTOR_TERMS_MAX);
    out.terms = arena_array(a, SelectorTerm, room);
    if (!out.terms)
        return err_nomem(err);
    for (;;) {
        if (out.n_terms >= room)
            return err_set(err, ERR_LIMIT, 0, "more than %d terms in a selector",
                           SELECTOR_TERMS_MAX);
        if ((r = parse_term(&s, &out.terms[out.n_terms++])) < 0)
            return r;
        if (s.token.len == 0)
            break;
        if (!sv_eq(s.token, SV(",")))
            return unexpected(&s, "',' or 'end of string'");
        next(&s);
    }
    *ret = out;
    return 0;
}

static int term_from_expression(const Value *x, Arena *a, SelectorTerm *t, Err *err)
{
    StrView op = value_str(value_get(x, SV("operator")));
    const Value *values = value_get(x, SV("values"));
    int r;

    t->key = value_str(value_get(x, SV("key")));
    if (sv_eq(op, SV("In")))
        t->op = SELECTOR_IN;
    else if (sv_eq(op, SV("NotIn")))
        t->op = SELECTOR_NOT_IN;
    else if (sv_eq(op, SV("Exists")))
        t->op = SELECTOR_EXISTS;
    else if (sv_eq(op, SV("DoesNotExist")))
        t->op = SELECTOR_NOT_EXISTS;
    else
        return err_set(err, ERR_INVALID, 0, "\"%.*s\" is not a valid label selector operator",
                       SV_FMT(op));
    value_list_foreach (v, values) {
        if ((r = add_value(a, t, value_str(v), err)) < 0)
            return r;
    }
    return 0;
}

int selector_from_object(const Value *label_selector, Arena *a, Selector *ret, Err *err)
{
    const Value *labels = value_get(label_selector, SV("matchLabels"));
    const Value *expressions = value_get(label_selector, SV("matchExpressions"));
    Selector out = { 0 };
    int r;

    if (!value_is(label_selector, VALUE_MAP)) {
        *ret = (Selector){ .nothing = true };
        return 0;
    }
    out.terms =
        arena_array(a, SelectorTerm, (size_t)value_len(labels) + value_len(expressions) + 1);
    if (!out.terms)
        return err_nomem(err);
    value_map_foreach (m, labels) {
        SelectorTerm *t = &out.terms[out.n_terms++];
        t->key = m->key;
        t->op = SELECTOR_EQ;
        if ((r = add_value(a, t, value_str(&m->val), err)) < 0)
            return r;
    }
    value_list_foreach (x, expressions) {
        if ((r = term_from_expression(x, a, &out.terms[out.n_terms++], err)) < 0)
            return r;
    }
    *ret = out;
    return 0;
}

int selector_from_labels(const Value *labels, Arena *a, Selector *ret, Err *err)
{
    Value wrapper = value_map();

    if (value_len(labels) == 0) {
        *ret = (Selector){ .nothing = true };
        return 0;
    }
    if (!value_set(a, &wrapper, SV("matchLabels"), *labels))
        return err_nomem(err);
    return selector_from_object(&wrapper, a, ret, err);
}

static bool has_value(const SelectorTerm *t, StrView v)
{
    for (uint32_t i = 0; i < t->n_values; i++) {
        if (sv_eq(t->values[i], v))
            return true;
    }
    return false;
}

bool selector_term_matches(const SelectorTerm *t, const Value *label)
{
    int64_t have, bound;

    switch (t->op) {
    case SELECTOR_EQ:
    case SELECTOR_IN:
        return label && has_value(t, value_str(label));
    case SELECTOR_NE:
    case SELECTOR_NOT_IN:
        return !label || !has_value(t, value_str(label));
    case SELECTOR_EXISTS:
        return label != NULL;
    case SELECTOR_NOT_EXISTS:
        return label == NULL;
    case SELECTOR_GT:
    case SELECTOR_LT:
        if (!label || sv_to_i64(value_str(label), &have) < 0 || t->n_values != 1 ||
            sv_to_i64(t->values[0], &bound) < 0)
            return false;
        return t->op == SELECTOR_GT ? have > bound : have < bound;
    }
    return false;
}

bool selector_matches(const Selector *s, const Value *labels)
{
    if (s->nothing)
        return false;
    for (uint32_t i = 0; i < s->n_terms; i++) {
        if (!selector_term_matches(&s->terms[i], value_get(labels, s->terms[i].key)))
            return false;
    }
    return true;
}

static void format_term(const SelectorTerm *t, Buf *out)
{
    static const char *const ops[] = {
        [SELECTOR_EQ] = "=",     [SELECTOR_NE] = "!=",
        [SELECTOR_IN] = " in (", [SELECTOR_NOT_IN] = " notin (",
        [SELECTOR_GT] = ">",     [SELECTOR_LT] = "<",
    };

    if (t->op == SELECTOR_NOT_EXISTS)
        buf_putc(out, '!');
    buf_sv(out, t->key);
    if (t->op == SELECTOR_EXISTS || t->op == SELECTOR_NOT_EXISTS)
        return;
    buf_sv(out, sv_cstr(ops[t->op]));
    for (uint32_t i = 0; i < t->n_values; i++) {
        if (i)
            buf_putc(out, ',');
        buf_sv(out, t->values[i]);
    }
    if (t->op == SELECTOR_IN || t->op == SELECTOR_NOT_IN)
        buf_putc(out, ')');
}

static int by_key(const void *a, const void *b)
{
    const SelectorTerm *x = *(const SelectorTerm *const *)a, *y = *(const SelectorTerm *const *)b;
    int order = sv_cmp(x->key, y->key);
    return order ? order : (x > y) - (x < y); /* terms of one key stay as they stand */
}

void selector_format(const Selector *s, Buf *out)
{
    const SelectorTerm **terms = s->n_terms ? calloc(s->n_terms, sizeof *terms) : NULL;
    if (!terms) {
        out->failed |= s->n_terms > 0;
        return;
    }
    for (uint32_t i = 0; i < s->n_terms; i++)
        terms[i] = &s->terms[i];
    qsort(terms, s->n_terms, sizeof *terms, by_key);
    for (uint32_t i = 0; i < s->n_terms; i++) {
        if (i)
            buf_putc(out, ',');
        format_term(terms[i], out);
    }
    free(terms);
}
