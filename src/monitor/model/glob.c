/* glob.c - see glob.h. The pieces between stars are looked for one after the other, each at the
 * first place where it fits; the last one stands at the end. */
#include "monitor/model/glob.h"

#include <string.h>

typedef struct Piece {
    const char *bytes;
    const bool *any; /* at this place any character */
    size_t len;
} Piece;

struct Glob {
    Piece *pieces; /* n of them, with a star between each two */
    unsigned n;
    size_t least; /* length of what matches */
};

typedef struct Parse {
    char *bytes;
    bool *any;
    size_t len, begin;
    Glob *glob;
} Parse;

static void put(Parse *p, char c, bool any)
{
    p->bytes[p->len] = c;
    p->any[p->len++] = any;
}

static void end_piece(Parse *p)
{
    p->glob->pieces[p->glob->n++] =
        (Piece){ p->bytes + p->begin, p->any + p->begin, p->len - p->begin };
    p->glob->least += p->len - p->begin;
    p->begin = p->len;
}

/* One element of the expression; how many bytes it took, 0: it is none of ours. */
static size_t element(Parse *p, StrView rest)
{
    char c = rest.ptr[0], next = rest.len > 1 ? rest.ptr[1] : 0;
    size_t used = 1;
    bool dot = c == '.';
    if (c == '\\') {
        if (!next || !strchr("\\.+*?()|[]{}^$-", next))
            return 0;
        c = next;
        used = 2;
        next = rest.len > 2 ? rest.ptr[2] : 0;
    } else if (strchr("+*?()|[]{}^$", c)) {
        return 0;
    }
    if (next == '?' || next == '{' || (!dot && (next == '*' || next == '+')))
        return 0;
    if (dot && (next == '*' || next == '+')) {
        if (rest.len > 2 && strchr("*+?{", rest.ptr[2]))
            return 0; /* ".*?" and worse */
        if (next == '+')
            put(p, 0, true);
        end_piece(p);
        return 2;
    }
    put(p, c, dot);
    return used;
}

bool glob_parse(StrView regex, Arena *a, Glob **ret)
{
    Glob *g = arena_new(a, Glob);
    Parse p = { .bytes = arena_alloc(a, regex.len + 1),
                .any = arena_alloc(a, regex.len + 1),
                .glob = g };
    *ret = NULL;
    if (!g || !p.bytes || !p.any || !(g->pieces = arena_array(a, Piece, regex.len + 1)))
        return false;
    for (StrView rest = regex; rest.len;) {
        size_t used = rest.ptr[0] && (unsigned char)rest.ptr[0] < 0x80 ? element(&p, rest) : 0;
        if (!used)
            return true;
        rest = sv_skip(rest, used);
    }
    end_piece(&p);
    *ret = g;
    return true;
}

static bool is_ascii(StrView s)
{
    uint64_t all = 0, w;
    for (; s.len >= 8; s = sv_skip(s, 8)) {
        memcpy(&w, s.ptr, 8);
        all |= w;
    }
    w = 0;
    if (s.len)
        memcpy(&w, s.ptr, s.len);
    return ((all | w) & UINT64_C(0x8080808080808080)) == 0;
}

static bool fits(const Piece *p, const char *at)
{
    for (size_t i = 0; i < p->len; i++)
        if (p->bytes[i] != at[i] && !p->any[i])
            return false;
    return true;
}

GlobAnswer glob_match(const Glob *g, StrView text)
{
    const Piece *first = &g->pieces[0], *last = &g->pieces[g->n - 1];
    if (!is_ascii(text))
        return GLOB_ASK;
    if (text.len < g->least || (g->n == 1 && text.len != first->len) || !fits(first, text.ptr))
        return GLOB_NO;
    if (g->n == 1)
        return GLOB_YES;
    const char *end = text.ptr + text.len - last->len, *at = text.ptr + first->len;
    if (!fits(last, end))
        return GLOB_NO;
    for (const Piece *p = first + 1; p < last; p++) {
        for (; (size_t)(end - at) >= p->len && !fits(p, at); at++)
            ;
        if ((size_t)(end - at) < p->len)
            return GLOB_NO;
        at += p->len;
    }
    return GLOB_YES;
}
