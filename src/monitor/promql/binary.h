/* binary.h - what the files of binary operators share. */
#pragma once

#include "monitor/promql/eval.h"

typedef struct Binop {
    Eval *ev;
    Node *node;
    Steps steps;
    Arena *scratch; /* of the histograms that are made */
    HistogramAcc acc;
} Binop;

/* One result: keep (a comparison holds), the value, or none with an annotation. */
typedef struct BinopResult {
    bool valid, keep;
    double v;
    const Histogram *h;
} BinopResult;

/* Negative: out of memory. `*ret` is not valid where the operands have no result. */
int binop_elements(Binop *b, double l, double r, const Histogram *hl, const Histogram *hr,
                   BinopResult *ret);
bool binop_changes_schema(Tok op); /* arithmetic: the result is no longer that metric */

int binary_vectors(Eval *ev, Node *n, const Steps *steps, Stream **ret); /* binary_match.c */
int binary_sets(Eval *ev, Node *n, const Steps *steps, Stream **ret);    /* binary_set.c */

/* Series of both sides by the labels that are matched on: each gets the number of its signature. */
typedef struct Signatures {
    Matrix left, right;
    uint32_t *left_sig, *right_sig;
    uint32_t n;
} Signatures;

int signatures_init(Eval *ev, Node *n, const Steps *steps, Signatures *ret);
/* The labels of the matching, of one series. */
int matching_labels(Eval *ev, const Matching *m, Labels l, Labels *ret);
