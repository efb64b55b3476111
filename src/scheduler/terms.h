/* terms.h - pod affinity terms: which pods they are about. */
#pragma once

#include "api/selector.h"
#include "base/map.h"

typedef struct AffinityTerm {
    Selector pods;
    StrView topology_key;
    StrView *namespaces;
    uint32_t n_namespaces;
    bool by_namespace_labels;
    Selector namespace_labels;
    int64_t weight; /* of a preferred term */
} AffinityTerm;

typedef struct AffinityTerms {
    AffinityTerm *v;
    uint32_t n;
} AffinityTerms;

/* From the list of a podAffinity or podAntiAffinity of a pod in `ns` with `labels`; `weighted`: the
 * preferred one. matchLabelKeys and mismatchLabelKeys become requirements of the selector. Texts
 * are those of the list. False: memory is exhausted, or a selector is malformed. */
bool affinity_terms_read(const Value *list, bool weighted, StrView ns, const Value *labels,
                         Arena *a, AffinityTerms *ret);
/* Is a pod with these labels in this namespace meant? `namespaces`: name to labels. */
bool affinity_term_matches(const AffinityTerm *t, StrView ns, const Value *labels,
                           const Map *namespaces);
/* Adds "key In (the pod's value)" for each key that the pod has; NotIn with `negate`. */
bool selector_add_keys(Selector *s, const Value *keys, const Value *labels, bool negate, Arena *a);
