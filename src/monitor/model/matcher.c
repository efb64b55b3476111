/* matcher.c - matchers, with shortcuts for the shapes that most regular expressions have. */
#include "monitor/model/matcher.h"

#include <string.h>

enum { WHY_SIZE = 300 };

static bool is_meta(char c)
{
    return c && strchr("\\.+*?()|[]{}^$", c);
}

/* The bytes of the character at the start of UTF-8 text. */
static size_t char_len(StrView text)
{
    size_t n = 1;
    while (n < text.len && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* Reads literal text up to a character with a meaning; "\." is a literal dot. *ret is in `a`. */
static int literal(StrView *rest, Arena *a, StrView *ret)
{
    char *text = arena_alloc(a, rest->len + 1);
    size_t n = 0;
    if (!text)
        return -1;
    while (rest->len) {
        const char *c = rest->ptr;
        size_t len = char_len(*rest), used = len;
        if (*c == '\\' && rest->len > 1 && (is_meta(c[1]) || c[1] == '-')) {
            c++;
            used = 2;
        } else if (is_meta(*c)) {
            break;
        }
        /* A repetition takes the last character away from the literal. */
        StrView after = sv_skip(*rest, used);
        if (after.len && strchr("*+?{", after.ptr[0]) && after.ptr[0])
            break;
        memcpy(text + n, c, len);
        n += len;
        *rest = after;
    }
    *ret = sv_n(text, n);
    return 0;
}

static int alternatives(Matcher *m, Arena *a)
{
    unsigned n = 1;
    for (size_t i = 0; i < m->value.len; i++)
        n += m->value.ptr[i] == '|';
    if (n > MATCHER_LITERALS_MAX)
        return 0;
    StrView *all = arena_array(a, StrView, n), rest = m->value;
    if (!all)
        return -1;
    for (unsigned i = 0; i < n; i++) {
        if (literal(&rest, a, &all[i]) < 0)
            return -1;
        if (rest.len && rest.ptr[0] != '|')
            return 0;
        if (i + 1 < n && !rest.len)
            return 0;
        rest = sv_skip(rest, 1);
    }
    if (rest.len)
        return 0;
    m->literals = all;
    m->n_literals = n;
    m->shape = MATCH_SHAPE_LITERALS;
    return 0;
}

static int find_shape(Matcher *m, Arena *a)
{
    m->shape = MATCH_SHAPE_REGEX;
    if (!sv_is_utf8(m->value))
        return 0;
    StrView rest = m->value;
    if (literal(&rest, a, &m->prefix) < 0)
        return -1;
    if (sv_eq(rest, SV(".*")))
        m->shape = MATCH_SHAPE_PREFIX;
    else if (sv_eq(rest, SV(".+")))
        m->shape = MATCH_SHAPE_PREFIX_SOME;
    else if ((!rest.len || rest.ptr[0] == '|') && alternatives(m, a) < 0)
        return -1;
    if (m->shape == MATCH_SHAPE_REGEX && sv_find_char(rest, '|') >= 0)
        m->prefix = SV(""); /* of one alternative only */
    return 0;
}

static int compile(Matcher *m, Err *err)
{
    char why[WHY_SIZE];
    /* By itself first: what closes a group it did not open must not close ours. */
    if (sv_find_char(m->value, ')') >= 0) {
        Regex *alone = regex_new(m->value, false, why, sizeof why);
        if (!alone)
            return err_set(err, ERR_INVALID, 0, "error parsing regexp: %s", why);
        regex_free(alone);
    }
    _cleanup_buf_ Buf dotall = BUF_INIT;
    buf_sv(&dotall, SV("(?s:"));
    buf_sv(&dotall, m->value);
    buf_putc(&dotall, ')');
    if (dotall.failed)
        return err_nomem(err);
    m->regex = regex_new(buf_view(&dotall), true, why, sizeof why);
    return m->regex ? 0 : err_set(err, ERR_INVALID, 0, "error parsing regexp: %s", why);
}

int matcher_init(Matcher *m, MatchOp op, StrView name, StrView value, Arena *a, Err *err)
{
    *m = (Matcher){ .op = op, .name = arena_sv(a, name), .value = arena_sv(a, value) };
    if (!m->name.ptr || !m->value.ptr)
        return err_nomem(err);
    if (op != MATCH_RE && op != MATCH_NRE)
        return 0;
    if (find_shape(m, a) < 0)
        return err_nomem(err);
    if (m->shape != MATCH_SHAPE_REGEX)
        return 0;
    return glob_parse(m->value, a, &m->glob) ? compile(m, err) : err_nomem(err);
}

void matcher_free(Matcher *m)
{
    if (m)
        m->regex = regex_free(m->regex);
}

static bool matches_regex(const Matcher *m, StrView value)
{
    switch (m->shape) {
    case MATCH_SHAPE_PREFIX:
        return sv_starts(value, m->prefix);
    case MATCH_SHAPE_PREFIX_SOME:
        return value.len > m->prefix.len && sv_starts(value, m->prefix);
    case MATCH_SHAPE_LITERALS:
        for (unsigned i = 0; i < m->n_literals; i++)
            if (sv_eq(m->literals[i], value))
                return true;
        return false;
    case MATCH_SHAPE_REGEX:
        break;
    }
    GlobAnswer r = m->glob ? glob_match(m->glob, value) : GLOB_ASK;
    if (r != GLOB_ASK)
        return r == GLOB_YES;
    return sv_starts(value, m->prefix) && regex_match(m->regex, value);
}

bool matcher_matches(const Matcher *m, StrView value)
{
    switch (m->op) {
    case MATCH_EQ:
        return sv_eq(m->value, value);
    case MATCH_NE:
        return !sv_eq(m->value, value);
    case MATCH_RE:
        return matches_regex(m, value);
    case MATCH_NRE:
        return !matches_regex(m, value);
    case MATCH_MAX:
        break;
    }
    return false;
}

void matcher_format(const Matcher *m, Buf *out)
{
    static const char *const op[MATCH_MAX] = { "=", "!=", "=~", "!~" };
    if (label_name_is_legacy(m->name))
        buf_sv(out, m->name);
    else
        text_quote(m->name, out);
    buf_sv(out, sv_cstr(op[m->op]));
    text_quote(m->value, out);
}
