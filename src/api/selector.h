/* selector.h - label selectors and field selectors: parsing, matching, writing.
 * Selectors refer to the text or document they were made from and to the arena given. */
#pragma once

#include "api/kinds.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/value.h"

typedef enum SelectorOp {
    SELECTOR_EQ,
    SELECTOR_NE,
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_GT,
    SELECTOR_LT,
} SelectorOp;

typedef struct SelectorTerm {
    StrView key;
    SelectorOp op;
    StrView *values;
    uint32_t n_values;
} SelectorTerm;

/* All terms must hold. A zeroed Selector matches everything. */
typedef struct Selector {
    SelectorTerm *terms;
    uint32_t n_terms;
    bool nothing; /* matches nothing */
} Selector;

/* "a=b,c!=d,e in (f,g),h,!i,j>1": the labelSelector of a request. ERR_INVALID: Kubernetes'
 * sentence. */
int selector_parse(StrView text, Arena *a, Selector *ret, Err *err) NODISCARD;

/* A metav1.LabelSelector of a document. NULL or null selects nothing, an empty one everything. */
int selector_from_object(const Value *label_selector, Arena *a, Selector *ret, Err *err) NODISCARD;

/* A map of labels that must all be there (a Service's selector); empty or NULL selects nothing. */
int selector_from_labels(const Value *labels, Arena *a, Selector *ret, Err *err) NODISCARD;

bool selector_matches(const Selector *s, const Value *labels); /* labels may be NULL */
/* One term against the value of its key; NULL: the key is not there. */
bool selector_term_matches(const SelectorTerm *t, const Value *val);
void selector_format(const Selector *s, Buf *out); /* canonical text, terms by key */

/* "metadata.name=x,status.phase!=Running": the fieldSelector of a request. A field that the kind
 * does not offer is ERR_INVALID `field label not supported: …`. `kind` NULL: metadata fields only.
 */
int field_selector_parse(StrView text, const ApiResource *kind, Arena *a, Selector *ret,
                         Err *err) NODISCARD;
bool field_selector_matches(const Selector *s, const Value *obj);
/* The value that field_selector_parse()'s `label` has in an object; buf holds numbers. */
StrView field_selector_value(const Value *obj, StrView label, char buf[static 24]);
