/* binary_set.c - and, or, unless; and the numbering of signatures that all vector matching uses. */
#include <string.h>

#include "monitor/promql/binary.h"

static int by_name(const void *a, const void *b)
{
    return sv_cmp(*(const StrView *)a, *(const StrView *)b);
}

static bool is_matched(const Matching *m, StrView name)
{
    bool named = false;
    for (unsigned i = 0; i < m->n_labels && !named; i++)
        named = sv_eq(m->labels[i], name);
    return m->on ? named : !named && !sv_eq(name, LABEL_METRIC_NAME);
}

int matching_labels(Eval *ev, const Matching *m, Labels l, Labels *ret)
{
    Label *items = arena_array(ev->arena, Label, l.len + 1);
    unsigned n = 0;
    if (!items)
        return eval_nomem(ev);
    for (unsigned i = 0; i < l.len; i++)
        if (is_matched(m, l.items[i].name))
            items[n++] = l.items[i];
    *ret = (Labels){ items, n };
    return 0;
}

/* Do both have the same labels among those that are matched on? */
static bool same_signature(const Matching *m, Labels a, Labels b)
{
    unsigned i = 0, j = 0;
    for (;;) {
        while (i < a.len && !is_matched(m, a.items[i].name))
            i++;
        while (j < b.len && !is_matched(m, b.items[j].name))
            j++;
        if (i >= a.len || j >= b.len)
            return i >= a.len && j >= b.len;
        if (!sv_eq(a.items[i].name, b.items[j].name) || !sv_eq(a.items[i].value, b.items[j].value))
            return false;
        i++;
        j++;
    }
}

typedef struct Signature {
    uint64_t hash;
    Labels labels; /* of the first series that has it */
} Signature;

typedef struct Numbering {
    const Matching *m;
    StrView *names; /* sorted */
    Signature *sigs;
    uint32_t *slots, n;
    size_t n_slots;
} Numbering;

static void number(Numbering *k, const Matrix *m, uint32_t *out)
{
    for (size_t i = 0; i < m->len; i++) {
        Labels l = m->cols[i].labels;
        uint64_t hash = k->m->on ? labels_hash_by(l, k->names, k->m->n_labels)
                                 : labels_hash_without(l, k->names, k->m->n_labels);
        size_t at = hash & (k->n_slots - 1);
        while (k->slots[at]) {
            Signature *s = &k->sigs[k->slots[at] - 1];
            if (s->hash == hash && same_signature(k->m, s->labels, l))
                break;
            at = (at + 1) & (k->n_slots - 1);
        }
        if (!k->slots[at]) {
            k->sigs[k->n++] = (Signature){ hash, l };
            k->slots[at] = k->n;
        }
        out[i] = k->slots[at] - 1;
    }
}

int signatures_init(Eval *ev, Node *n, const Steps *steps, Signatures *ret)
{
    Stream *l, *r;
    Arena *a = ev->arena;
    Numbering k = { .m = &n->matching };
    *ret = (Signatures){ 0 };
    int err = eval_stream(ev, n->lhs, steps, &l);
    if (err >= 0)
        err = matrix_collect(l, &ret->left);
    if (err >= 0)
        err = eval_stream(ev, n->rhs, steps, &r);
    if (err >= 0)
        err = matrix_collect(r, &ret->right);
    if (err < 0)
        return err;
    size_t total = ret->left.len + ret->right.len + 1;
    for (k.n_slots = 16; k.n_slots < total * 2;)
        k.n_slots *= 2;
    k.names = arena_array(a, StrView, n->matching.n_labels + 1);
    k.sigs = arena_array(a, Signature, total);
    k.slots = arena_alloc_n(a, k.n_slots, sizeof *k.slots);
    ret->left_sig = arena_array(a, uint32_t, ret->left.len + 1);
    ret->right_sig = arena_array(a, uint32_t, ret->right.len + 1);
    if (!k.names || !k.sigs || !k.slots || !ret->left_sig || !ret->right_sig)
        return eval_nomem(ev);
    if (n->matching.n_labels)
        memcpy(k.names, n->matching.labels, n->matching.n_labels * sizeof *k.names);
    qsort(k.names, n->matching.n_labels, sizeof *k.names, by_name);
    number(&k, &ret->left, ret->left_sig);
    number(&k, &ret->right, ret->right_sig);
    ret->n = k.n;
    return 0;
}

/* For each signature and step: does one side have a sample there? */
static uint8_t *presence(Eval *ev, const Signatures *s, const Matrix *m, const uint32_t *sig,
                         unsigned n)
{
    uint8_t *has = arena_alloc_n(ev->arena, s->n ? s->n : 1, n);
    for (size_t i = 0; has && i < m->len; i++)
        for (unsigned k = 0; k < n; k++)
            has[(size_t)sig[i] * n + k] |= m->cols[i].kind[k];
    return has;
}

/* Leaves of a column only the steps where the other side has (or, inverted, has not) a sample. */
static void mask(Column *c, const uint8_t *has, bool wanted, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if ((has[i] != 0) != wanted)
            c->kind[i] = SAMPLE_NONE;
}

int binary_sets(Eval *ev, Node *n, const Steps *steps, Stream **ret)
{
    Signatures s;
    Merger m;
    bool is_or = n->op == TOK_LOR;
    int r = signatures_init(ev, n, steps, &s);
    if (r < 0)
        return r;
    const Matrix *other = is_or ? &s.left : &s.right;
    uint8_t *has = presence(ev, &s, other, is_or ? s.left_sig : s.right_sig, steps->n);
    Matrix *masked = is_or ? &s.right : &s.left;
    const uint32_t *sig = is_or ? s.right_sig : s.left_sig;
    if (!has)
        return eval_nomem(ev);
    for (size_t i = 0; i < masked->len; i++)
        mask(&masked->cols[i], has + (size_t)sig[i] * steps->n, n->op == TOK_LAND, steps->n);
    merger_init(&m, ev, steps, steps->n == 1 && eval_delayed(ev));
    for (size_t i = 0; r >= 0 && i < s.left.len; i++)
        if (!column_is_empty(&s.left.cols[i], steps->n))
            r = merger_put_column(&m, &s.left.cols[i], false);
    for (size_t i = 0; r >= 0 && is_or && i < s.right.len; i++)
        if (!column_is_empty(&s.right.cols[i], steps->n))
            r = merger_put_column(&m, &s.right.cols[i], false);
    return r < 0 ? r : matrix_stream(ev, &m.out, steps, ret);
}
