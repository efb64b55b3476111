/* terms.c - reading and matching affinity terms. */
#include "scheduler/terms.h"

bool selector_add_keys(Selector *s, const Value *keys, const Value *labels, bool negate, Arena *a)
{
    uint32_t n = value_len(keys);
    if (!n)
        return true;
    SelectorTerm *terms = arena_array(a, SelectorTerm, s->n_terms + n);
    if (!terms)
        return false;
    if (s->n_terms)
        memcpy(terms, s->terms, s->n_terms * sizeof *terms);
    s->terms = terms;
    value_list_foreach (k, keys) {
        const Value *have = value_get(labels, value_str(k));
        StrView *value = have ? arena_new(a, StrView) : NULL;
        if (!have)
            continue;
        if (!value)
            return false;
        *value = value_str(have);
        terms[s->n_terms++] = (SelectorTerm){ .key = value_str(k),
                                              .op = negate ? SELECTOR_NOT_IN : SELECTOR_IN,
                                              .values = value,
                                              .n_values = 1 };
    }
    return true;
}

static bool read_namespaces(const Value *term, StrView own, Arena *a, AffinityTerm *t)
{
    const Value *list = value_get(term, SV("namespaces")),
                *selector = value_get(term, SV("namespaceSelector"));
    t->by_namespace_labels = value_is(selector, VALUE_MAP);
    if (t->by_namespace_labels && selector_from_object(selector, a, &t->namespace_labels, NULL) < 0)
        return false;
    t->namespaces = arena_array(a, StrView, value_len(list) + 1);
    if (!t->namespaces)
        return false;
    value_list_foreach (ns, list)
        t->namespaces[t->n_namespaces++] = value_str(ns);
    if (!t->n_namespaces && !t->by_namespace_labels)
        t->namespaces[t->n_namespaces++] = own;
    return true;
}

static bool read_term(const Value *term, StrView ns, const Value *labels, Arena *a, AffinityTerm *t)
{
    t->topology_key = value_str(value_get(term, SV("topologyKey")));
    return selector_from_object(value_get(term, SV("labelSelector")), a, &t->pods, NULL) == 0 &&
           selector_add_keys(&t->pods, value_get(term, SV("matchLabelKeys")), labels, false, a) &&
           selector_add_keys(&t->pods, value_get(term, SV("mismatchLabelKeys")), labels, true, a) &&
           read_namespaces(term, ns, a, t);
}

bool affinity_terms_read(const Value *list, bool weighted, StrView ns, const Value *labels,
                         Arena *a, AffinityTerms *ret)
{
    uint32_t n = value_len(list);
    *ret = (AffinityTerms){ 0 };
    if (!n)
        return true;
    if (!(ret->v = arena_array(a, AffinityTerm, n)))
        return false;
    value_list_foreach (e, list) {
        AffinityTerm *t = &ret->v[ret->n++];
        const Value *term = weighted ? value_get(e, SV("podAffinityTerm")) : e;
        t->weight = weighted ? value_int_or(value_get(e, SV("weight")), 1) : 0;
        if (!read_term(term, ns, labels, a, t))
            return false;
    }
    return true;
}

bool affinity_term_matches(const AffinityTerm *t, StrView ns, const Value *labels,
                           const Map *namespaces)
{
    bool here = false;
    for (uint32_t i = 0; i < t->n_namespaces && !here; i++)
        here = sv_eq(t->namespaces[i], ns);
    if (!here && t->by_namespace_labels)
        here = selector_matches(&t->namespace_labels, map_get(namespaces, ns));
    return here && selector_matches(&t->pods, labels);
}
