/* internal.h - private to rules/. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "base/vec.h"
#include "monitor/rules/rules.h"

/* Series that a rule has written: text of the labels -> Labels, in an arena of their own. */
typedef struct Kept {
    Arena arena;
    Map map;
} Kept;
void kept_free(Kept *k);
bool kept_add(Kept *k, Labels l) NODISCARD;

typedef struct Alert {
    RuleAlert a;
    StrView key; /* its labels as text */
    Arena arena; /* labels and key */
    Arena notes; /* annotations */
} Alert;

typedef struct Rule {
    const RuleDef *def;
    Kept series; /* of the last evaluation */
    VEC(Alert *) active;
    Map by_key;
    bool restored;
    const char *health;
    Buf last_error;
    int64_t last_eval, eval_ns;
} Rule;

typedef struct Group {
    RuleFile *file; /* a reference */
    const RuleGroupDef *def;
    Rule *rules;
    int64_t interval, offset, next, last_eval, eval_ns;
    unsigned restore_in; /* evaluations until state is restored; 0: done */
    uint64_t evals, failures, missed, samples;
} Group;

typedef struct Stale {
    Kept series;
    int64_t due;
} Stale;

struct Rules {
    RulesOptions opt;
    pthread_mutex_t lock;
    VEC(Group *) groups;
    VEC(Stale) stale;
    bool loaded;
};

/* The samples of one evaluation, in `a`. */
int alert_eval(Rules *r, const Group *g, Rule *rule, int64_t t, Arena *a, RuleSample **ret,
               size_t *ret_n, Err *err) NODISCARD;
int record_eval(Rules *r, const Group *g, Rule *rule, int64_t t, Arena *a, RuleSample **ret,
                size_t *ret_n, Err *err) NODISCARD;
void alert_notify(Rules *r, const Group *g, Rule *rule, int64_t t, Arena *a);
void alert_restore(Rules *r, Rule *rule, int64_t now);
Alert *alert_free(Alert *x);
void group_eval(Rules *r, Group *g, int64_t t);
