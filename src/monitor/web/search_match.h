/* search_match.h - how well a name fits what is searched for, as the search endpoints of
 * Prometheus' API score it. Private to monitor/web. */
#pragma once

#include "base/arena.h"

typedef enum SearchAlgorithm {
    SEARCH_SUBSEQUENCE, /* all characters of the term in their order; runs count more than gaps */
    SEARCH_JARO_WINKLER /* the term as it is, else by similarity where there is a threshold */
} SearchAlgorithm;

typedef struct SearchFilter {
    const StrView *terms; /* one of them must fit; empty ones are none */
    unsigned n;
    SearchAlgorithm algorithm;
    double threshold; /* the least score, 0 to 1 */
    bool fold;        /* A is a, of ASCII */
} SearchFilter;

/* *ret_score is of the best term: 1 is a prefix, or there are no terms. False: none fits, or `a`,
 * which holds what is needed meanwhile, is exhausted. */
bool search_matches(const SearchFilter *f, StrView value, Arena *a, double *ret_score);
