/* internal.h - private to rules/.
 *
 * Who may touch what: the lock guards the list of groups, and of each rule what views show (its
 * alerts, health and times). A group that is `busy` belongs to the thread that evaluates it: only
 * that thread changes its rules, and takes the lock for the changes that views see. Queries,
 * templates and writes happen without the lock. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

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

/* When a rule's turn is in its group's evaluation. */
typedef enum RuleStage {
    STAGE_FIRST,    /* depends on no other: at once with others of the stage */
    STAGE_IN_ORDER, /* one after the other */
    STAGE_LAST,     /* no other depends on it: at once again */
    STAGE_MAX
} RuleStage;

typedef struct Rule {
    const RuleDef *def;
    RuleStage stage;
    bool reads, is_read; /* series of another rule of the group; the other way round */
    Kept series;         /* of the last evaluation */
    VEC(Alert *) active;
    Map by_key;
    bool restored;
    const char *health;
    Buf last_error;
    int64_t last_eval_ns, eval_ns;
} Rule;

typedef struct Group {
    RuleFile *file; /* a reference */
    const RuleGroupDef *def;
    Rule *rules;
    int64_t interval, offset, next, last_eval_ns, eval_ns, restore_ns;
    unsigned restore_in; /* evaluations until state is restored; 0: done */
    uint64_t runs, evals, failures, missed, samples;
    bool busy;
    /* A reload does not wait for an evaluation: the busy group leaves the list, and gives its state
     * to its heir (NULL: none) when it is done. The heir is not due before that. */
    bool gone;
    struct Group *heir, *before;
} Group;

typedef struct Stale {
    Kept series;
    int64_t due, offset;
} Stale;

/* Rules of a group that helpers evaluate; with the lock held. */
typedef struct Batch {
    unsigned left;
    bool broken; /* an evaluation was ended */
} Batch;

typedef struct Job {
    Group *g;
    Rule *rule;
    int64_t t;
    Batch *batch;
} Job;

/* What reloads change, besides the groups. */
typedef struct Globals {
    RulesGlobals g; /* views into the arena */
    Arena arena;
} Globals;

struct Rules {
    RulesOptions opt;
    pthread_mutex_t lock;
    Globals *globals;
    VEC(Group *) groups;
    VEC(Stale) stale;
    bool loaded;
    Timing rule_times, group_times;
    atomic_uint_fast64_t expansions, expansion_failures; /* of templates */

    pthread_cond_t changed; /* a group is idle again, there are new ones, or it is over */
    pthread_cond_t follow;  /* nobody watches any more */
    pthread_t *threads;
    unsigned n_threads;
    pthread_t *helpers; /* see helpers.c */
    unsigned n_helpers, idle_helpers;
    pthread_cond_t job_there, job_done;
    VEC(Job) jobs;
    bool watched; /* one of the threads waits for the next group to be due */
    atomic_bool stopping;
};

/* One evaluation of one rule. External labels and URL are copies: a reload may change them
 * meanwhile. */
typedef struct Eval {
    Rules *r;
    Group *g;
    Rule *rule;
    int64_t t;
    Arena *a;
    Labels external_labels;
    StrView external_url;
} Eval;

/* The samples of one evaluation, in the arena. */
int alert_eval(const Eval *e, RuleSample **ret, size_t *ret_n, Err *err) NODISCARD;
int record_eval(const Eval *e, RuleSample **ret, size_t *ret_n, Err *err) NODISCARD;
void alert_notify(const Eval *e);
void alert_restore(Rules *r, Rule *rule, int64_t now);
Alert *alert_free(Alert *x);

/* group.c: of a group that the caller has made busy. */
void group_eval(Rules *r, Group *g, int64_t t);
bool rule_eval(Rules *r, Group *g, Rule *rule, int64_t t); /* false: the group's is to end */
void stale_mark(Rules *r, Stale *s, int64_t t);

/* depend.c: sets the stage of each rule. */
void group_plan(Group *g);

/* helpers.c; without the lock. */
int helpers_start(Rules *r, Err *err) NODISCARD;
void helpers_join(Rules *r);                 /* while stopping */
bool helpers_take(Rules *r, const Job *job); /* false: no helper is idle */
bool helpers_wait(Rules *r, const Batch *b); /* false: an evaluation was ended */

/* rules.c: with the lock held. */
int64_t group_next_time(const Group *g, int64_t now);
void group_done(Rules *r, Group *g, int64_t now); /* no longer busy; hands over if it is gone */
