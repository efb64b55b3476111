/* select.c - see select.h.
 *
 * A matcher that does not match the empty text demands the label: its series are the union over the
 * values that match. One that does match it is turned round: the series whose value does not match
 * are taken away. Exact and literal matchers come first: they make the set small. */
#include "monitor/tsdb/select.h"

typedef struct Gather {
    const IndexOps *ops;
    const void *index;
    const Matcher *m;
    bool wanted; /* values that match, or those that do not */
    Ids *out;
} Gather;

static int gather_value(void *ctx, StrView value, Err *err)
{
    Gather *g = ctx;
    if (matcher_matches(g->m, value) != g->wanted)
        return 0;
    return g->ops->postings(g->index, g->m->name, value, g->out, err);
}

/* Known values that need no look at all others; -1: there is no such list. */
static int known_values(const Matcher *m, const StrView **ret)
{
    bool by_equality = m->op == MATCH_EQ || m->op == MATCH_NE;
    if (by_equality) {
        *ret = &m->value;
        return 1;
    }
    if (m->shape != MATCH_SHAPE_LITERALS)
        return -1;
    *ret = m->literals;
    return (int)m->n_literals;
}

/* Series with a value of the matcher's own side: equal, or matched by the expression. */
static int gather_side(const IndexOps *ops, const void *index, const Matcher *m, bool matching,
                       Ids *out, Err *err)
{
    const StrView *values;
    bool negated = m->op == MATCH_NE || m->op == MATCH_NRE;
    int n = known_values(m, &values), r = 0;
    if (n >= 0 && matching != negated) {
        for (int i = 0; i < n && r == 0; i++)
            if (values[i].len)
                r = ops->postings(index, m->name, values[i], out, err);
    } else {
        Gather g = { ops, index, m, matching, out };
        r = ops->values(index, m->name, gather_value, &g, err);
    }
    if (r < 0)
        return r;
    return ids_normalize(out) ? 0 : err_nomem(err);
}

static int narrow(const IndexOps *ops, const void *index, const Matcher *m, bool demands,
                  bool *first, Ids *ret, Err *err)
{
    _cleanup_ids_ Ids side = { 0 };
    int r;
    if (!*first && !ret->len)
        return 0;
    if (*first && !demands && (r = ops->all(index, ret, err)) < 0)
        return r;
    if ((r = gather_side(ops, index, m, demands, &side, err)) < 0)
        return r;
    if (!demands) {
        ids_subtract(ret, &side);
    } else if (*first) {
        ids_free(ret);
        *ret = side;
        side = (Ids){ 0 };
    } else {
        ids_intersect(ret, &side);
    }
    *first = false;
    return 0;
}

static bool is_cheap(const Matcher *m)
{
    const StrView *values;
    return known_values(m, &values) >= 0;
}

int index_select(const IndexOps *ops, const void *index, const Matcher *ms, unsigned n_ms, Ids *ret,
                 Err *err)
{
    bool first = true;
    int r = 0;
    /* Demanding and cheap; demanding; then what takes away. */
    for (unsigned pass = 0; pass < 3; pass++)
        for (unsigned i = 0; i < n_ms && r == 0; i++) {
            bool demands = !matcher_matches(&ms[i], SV(""));
            unsigned its_pass = !demands ? 2 : is_cheap(&ms[i]) ? 0 : 1;
            if (its_pass == pass)
                r = narrow(ops, index, &ms[i], demands, &first, ret, err);
        }
    if (r == 0 && first)
        r = ops->all(index, ret, err);
    if (r < 0)
        ids_free(ret);
    return r;
}
