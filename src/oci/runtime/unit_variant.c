/* unit_variant.c - annotations that are properties of systemd's unit: GVariant's text form, as far
 * as properties need it (https://docs.gtk.org/glib/gvariant-text-format.html): one basic value, or
 * an array of them, with its type in front where it is not the usual one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "oci/runtime/unit.h"

enum { ELEMENTS_MAX = 256, TEXT_MAX = 4096 };

typedef struct Parser {
    StrView rest;
    char type; /* of each value; 0: as the first one looks */
    bool is_array;
    const char *values[ELEMENTS_MAX];
    size_t len;
    Arena *arena;
} Parser;

static const struct {
    const char *word;
    char type;
} types[] = {
    { "boolean", 'b' }, { "byte", 'y' },   { "int16", 'n' },      { "uint16", 'q' },
    { "int32", 'i' },   { "uint32", 'u' }, { "int64", 'x' },      { "uint64", 't' },
    { "double", 'd' },  { "string", 's' }, { "objectpath", 'o' }, { "signature", 'g' },
};

static void skip_space(Parser *p)
{
    while (p->rest.len && strchr(" \t\n\r", p->rest.ptr[0]))
        p->rest = sv_skip(p->rest, 1);
}

static bool skip_char(Parser *p, char c)
{
    skip_space(p);
    if (!p->rest.len || p->rest.ptr[0] != c)
        return false;
    p->rest = sv_skip(p->rest, 1);
    return true;
}

/* Letters, digits and what numbers have. */
static StrView take_word(Parser *p)
{
    size_t n = 0;

    skip_space(p);
    while (n < p->rest.len && !strchr(" \t\n\r,[]'\"", p->rest.ptr[n]))
        n++;
    StrView word = sv_head(p->rest, n);
    p->rest = sv_skip(p->rest, n);
    return word;
}

/* "uint64", or "@t" and "@at". */
static bool take_type(Parser *p)
{
    StrView before = p->rest, word;

    if (skip_char(p, '@')) {
        word = take_word(p);
        p->is_array = word.len == 2 && word.ptr[0] == 'a';
        if (word.len != 1 && !p->is_array)
            return false;
        p->type = word.ptr[word.len - 1];
        return strchr("bynqiuxtdsog", p->type);
    }
    word = take_word(p);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (sv_eq(word, sv_cstr(types[i].word))) {
            p->type = types[i].type;
            return true;
        }
    p->rest = before;
    return true;
}

static bool take_string(Parser *p, char quote, char ret[static TEXT_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < p->rest.len && n + 1 < TEXT_MAX; i++) {
        char c = p->rest.ptr[i];

        if (c == quote) {
            ret[n] = 0;
            p->rest = sv_skip(p->rest, i + 1);
            return true;
        }
        if (c == '\\') {
            if (++i == p->rest.len)
                return false;
            c = p->rest.ptr[i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
            if (!strchr("\n\t\r\\'\"", c))
                return false;
        }
        ret[n++] = c;
    }
    return false;
}

static bool fits(char type, const char *text)
{
    static const struct {
        char type;
        int64_t min;
        uint64_t max;
    } ranges[] = { { 'y', 0, UINT8_MAX },  { 'n', INT16_MIN, INT16_MAX },
                   { 'q', 0, UINT16_MAX }, { 'i', INT32_MIN, INT32_MAX },
                   { 'u', 0, UINT32_MAX }, { 'x', INT64_MIN, INT64_MAX },
                   { 't', 0, UINT64_MAX } };
    bool negative = text[0] == '-';
    char *end;

    errno = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        if (ranges[i].type != type)
            continue;
        if (negative)
            return strtoll(text, &end, 0) >= ranges[i].min && !*end && !errno;
        return strtoull(text, &end, 0) <= ranges[i].max && !*end && !errno;
    }
    strtod(text, &end);
    return type == 'd' && !*end && !errno;
}

/* Numbers are given on in decimal. */
static bool take_number(Parser *p, StrView word, char ret[static TEXT_MAX])
{
    bool hex = sv_find(word, SV("0x")) >= 0;

    if (!word.len || !strchr("+-.0123456789", word.ptr[0]) || !sv_copy_cstr(word, ret, 64))
        return false;
    if (!p->type)
        p->type = !hex && strpbrk(ret, ".eE") ? 'd' : 'i';
    if (!fits(p->type, ret))
        return false;
    if (p->type != 'd' && ret[0] == '-')
        snprintf(ret, 64, "%lld", strtoll(ret, NULL, 0));
    else if (p->type != 'd')
        snprintf(ret, 64, "%llu", strtoull(ret, NULL, 0));
    return true;
}

static bool take_value(Parser *p)
{
    char text[TEXT_MAX], quote = 0;
    StrView word;
    bool good;

    if (skip_char(p, '\''))
        quote = '\'';
    else if (skip_char(p, '"'))
        quote = '"';
    if (quote) {
        p->type = p->type ? p->type : 's';
        good = strchr("sog", p->type) && take_string(p, quote, text);
    } else {
        word = take_word(p);
        good = sv_eq(word, SV("true")) || sv_eq(word, SV("false"));
        if (good) {
            p->type = p->type ? p->type : 'b';
            good = p->type == 'b' && sv_copy_cstr(word, text, sizeof text);
        } else {
            good = take_number(p, word, text);
        }
    }
    if (!good || p->len == ELEMENTS_MAX)
        return false;
    p->values[p->len++] = arena_cstr(p->arena, sv_cstr(text));
    return true;
}

static bool parse(Parser *p)
{
    bool asked;

    if (!take_type(p))
        return false;
    asked = p->is_array;
    p->is_array = skip_char(p, '[');
    if (asked && !p->is_array)
        return false;
    if (!p->is_array) {
        if (!take_value(p))
            return false;
    } else if (!skip_char(p, ']')) {
        do {
            if (!take_value(p))
                return false;
        } while (skip_char(p, ','));
        if (!skip_char(p, ']'))
            return false;
    }
    skip_space(p);
    return p->type && !p->rest.len;
}

/* --- the property --- */

static bool name_is_good(StrView name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!((name.ptr[i] | 32) >= 'a' && (name.ptr[i] | 32) <= 'z'))
            return false;
    return name.len >= 3;
}

/* TimeoutStopSec= of unit files is TimeoutStopUSec on the bus. */
static bool is_seconds(StrView name)
{
    return sv_ends(name, SV("Sec")) && name.len > 3 && name.ptr[name.len - 4] >= 'a' &&
           name.ptr[name.len - 4] <= 'z';
}

static bool to_microseconds(Parser *p)
{
    double s;

    if (p->is_array || !strchr("ynqiuxtd", p->type) || p->values[0][0] == '-')
        return false;
    s = strtod(p->values[0], NULL);
    if (!(s < 1e13))
        return false;
    p->type = 't';
    p->values[0] = arena_printf(p->arena, "%llu", (unsigned long long)(s * 1e6)).ptr;
    return true;
}

static int put_annotation(UnitWords *w, const OciPair *a, StrView name, Err *err)
{
    Parser p = { .rest = sv_cstr(a->value), .arena = w->arena };
    bool seconds = is_seconds(name);

    if (!name_is_good(name))
        return err_set(err, ERR_INVALID, 0, "annotation %.100s name incorrect: %s", a->name,
                       name.len < 3 ? "too short" : "contains non-alphabetic character");
    if (!parse(&p))
        return err_set(err, ERR_INVALID, 0,
                       "annotation %.100s=%.100s value parse error: expected a boolean, number or "
                       "text in quotes, or an array of them",
                       a->name, a->value);
    if (w->arena->failed)
        return err_nomem(err);
    if (seconds && !to_microseconds(&p))
        return err_set(err, ERR_INVALID, 0,
                       "annotation %.100s=%.100s value parse error: not a "
                       "number",
                       a->name, a->value);
    unit_word(w, "%.*s%s", SV_FMT(seconds ? sv_head(name, name.len - 3) : name),
              seconds ? "USec" : "");
    unit_word(w, "%s%c", p.is_array ? "a" : "", p.type);
    if (p.is_array)
        unit_word(w, "%zu", p.len);
    for (size_t i = 0; i < p.len; i++)
        unit_word(w, "%s", p.values[i]);
    return 0;
}

int unit_annotations(UnitWords *w, const OciPairs *annotations, Err *err)
{
    static const StrView prefix = { "org.systemd.property.", sizeof "org.systemd.property." - 1 };

    for (unsigned i = 0; annotations && i < annotations->len; i++) {
        StrView name = sv_cstr(annotations->items[i].name);
        int r;

        if (!sv_starts(name, prefix))
            continue;
        if ((r = put_annotation(w, &annotations->items[i], sv_skip(name, prefix.len), err)) < 0)
            return r;
    }
    return 0;
}
