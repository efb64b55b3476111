/* relabel.h - Prometheus' relabelling: rules that rewrite, keep or drop a set of labels. Used on
 * discovered targets, on scraped samples, on alerts and on what remote write sends. */
#pragma once

#include "base/err.h"
#include "base/regex.h"
#include "monitor/model/labels.h"

typedef enum RelabelAction {
    RELABEL_REPLACE,
    RELABEL_KEEP,
    RELABEL_DROP,
    RELABEL_KEEP_EQUAL,
    RELABEL_DROP_EQUAL,
    RELABEL_HASHMOD,
    RELABEL_LABELMAP,
    RELABEL_LABELDROP,
    RELABEL_LABELKEEP,
    RELABEL_LOWERCASE,
    RELABEL_UPPERCASE,
    RELABEL_ACTION_MAX
} RelabelAction;

/* Lower-case names by action. */
extern const char *const relabel_action_names[RELABEL_ACTION_MAX];

typedef struct RelabelRule {
    const StrView *source_labels;
    unsigned n_source_labels;
    StrView separator; /* between the values of source labels; default ";" */
    StrView regex;     /* as written; default "(.*)" */
    uint64_t modulus;  /* of hashmod */
    StrView target_label;
    StrView replacement; /* default "$1" */
    RelabelAction action;
    bool legacy_names; /* only [a-zA-Z_][a-zA-Z0-9_]*; else any UTF-8 */
    /* Made by relabel_rule_compile(). */
    Regex *compiled;
    const StrView *groups; /* names of the groups, empty where they have none; group 1 first */
    unsigned n_groups;
} RelabelRule;

enum { RELABEL_GROUPS_MAX = 31 }; /* groups that a template can refer to */

/* The defaults, before a rule's own keys. */
RelabelRule relabel_rule_default(void);
/* Compiles the expression and checks the rule as Prometheus does. `regex`, `groups` go to `a` and
 * to the caller, who ends the rule with relabel_rule_free(). ERR_INVALID: Prometheus' sentence. */
int relabel_rule_compile(RelabelRule *r, Arena *a, Err *err) NODISCARD;
void relabel_rule_free(RelabelRule *r); /* the expression; the rest is the arena's */

/* Applies rules in their order; texts that are made go to b->arena. False: dropped. */
bool relabel(const RelabelRule *rules, unsigned n, LabelsBuilder *b);
