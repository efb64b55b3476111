/* rules.h - evaluates recording and alerting rules.
 *
 * Groups are evaluated independently of each other, each at its own offset inside its interval. Two
 * ways to drive it: rules_start() has threads of its own do it until rules_stop(); or the caller
 * runs rules_run_due() on a thread of its choice. Listing and reloading are safe from any thread
 * and do not wait for evaluations. Times are ms since 1970 where nothing else is said. */
#pragma once

#include "monitor/model/timing.h"
#include "monitor/promql/promql.h"
#include "monitor/rules/rulefile.h"
#include "monitor/template/template.h"
#include "monitor/tsdb/tsdb.h"

typedef struct Rules Rules;

typedef struct RuleSample {
    Labels labels;
    int64_t t;
    double v;
    const Histogram *h; /* NULL: a float */
} RuleSample;

typedef enum AlertState { ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING } AlertState;
const char *alert_state_name(AlertState s);

typedef struct RuleAlert {
    AlertState state;
    Labels labels, annotations;
    double value;
    int64_t active_at, fired_at, resolved_at, sent_at, valid_until, keep_firing_since; /* 0: none */
} RuleAlert;

/* Where samples come from and go to: a Tsdb (rules_tsdb()), or the memory of unit tests. */
typedef struct RuleStorage {
    /* The vector (a scalar is one sample without labels) of an instant query; in `a`. */
    int (*query)(void *ctx, StrView expr, int64_t t, Arena *a, TemplateSample **ret, size_t *ret_n,
                 Err *err);
    /* Appends what can be; *ret_refused counts samples that are out of order or doubled. */
    int (*append)(void *ctx, const RuleSample *samples, size_t n, size_t *ret_refused, Err *err);
    /* The last sample of each series of this name and alert in start <= t <= end, stale ones too;
     * in `a`. NULL: there is no state to restore. */
    int (*last)(void *ctx, StrView metric, StrView alertname, int64_t start, int64_t end, Arena *a,
                RuleSample **ret, size_t *ret_n, Err *err);
    void *ctx;
} RuleStorage;
/* What expressions are asked of when other storages hold samples, too. */
typedef struct RulesQuerier {
    Querier *q;
    void *own; /* of who made it */
} RulesQuerier;
/* A database as such a storage: what queries may cost, and a flag that ends those under way (may be
 * NULL). Must outlive the Rules.
 *
 * widen() puts other storages beside the database for one query, with what it needs in `a`; close()
 * ends that. Both on the evaluating thread; NULL: there is only the database. Alerts are restored
 * from the database alone. */
typedef struct RulesTsdb {
    Tsdb *db;
    PromqlOptions promql;
    const atomic_bool *cancel;
    int (*widen)(void *ctx, Querier *local, Arena *a, RulesQuerier *ret, Err *err);
    void (*close)(void *ctx, RulesQuerier *q);
    void *ctx; /* of these two */
} RulesTsdb;
RuleStorage rules_tsdb(RulesTsdb *t);

/* Of one rule whose evaluation failed. */
typedef struct RuleFailure {
    StrView file, group, rule;
    const Err *err;
} RuleFailure;

typedef struct RulesOptions {
    RuleStorage storage;
    unsigned helpers; /* threads for rules of a group that do not depend on each other; 0: none */
    int64_t interval; /* of groups that name none; 0: one minute */
    int64_t query_offset;     /* of groups that name none */
    int64_t outage_tolerance; /* 0: one hour */
    int64_t grace_period;     /* 0: ten minutes; -1: none */
    int64_t resend_delay;     /* 0: one minute; -1: none */
    Labels external_labels;   /* for templates; these two are copied */
    StrView external_url;
    /* Alerts to be sent: firing ones, again after resend_delay, and resolved ones. May be NULL.
     * Both are called on the evaluating thread, for several rules at once. */
    void (*notify)(void *ctx, StrView expr, const RuleAlert *alerts, size_t n);
    void (*failed)(void *ctx, const RuleFailure *f);
    void *ctx; /* of both */
} RulesOptions;

enum { RULES_EVAL_MEMORY_MAX = 512 * 1024 * 1024, RULES_THREADS_MAX = 256 };
#define RULES_RESOLVED_RETENTION (INT64_C(15) * 60 * 1000)

int rules_new(const RulesOptions *opt, Rules **ret, Err *err) NODISCARD;
Rules *rules_free(Rules *r); /* after rules_stop(). NULL is fine; always NULL */

/* ---- reloading ---- */

/* What a configuration says besides the files: as in RulesOptions, copied. */
typedef struct RulesGlobals {
    int64_t interval, query_offset;
    Labels external_labels;
    StrView external_url;
} RulesGlobals;

typedef struct RulesNext RulesNext;

/* Makes all that a reload needs, changing nothing: `globals` NULL: as they are. Takes the files
 * over, also on failure (ERR_NOMEM). */
int rules_prepare(Rules *r, const RulesGlobals *globals, RuleFile **files, unsigned n,
                  RulesNext **ret, Err *err) NODISCARD;
/* Puts it in force, which cannot fail. A group that is the same as before goes on undisturbed. In
 * one that changed a rule keeps its alerts and series when a rule of the same name and labels is
 * there again; series of rules that are gone get staleness markers. Alerts are restored from
 * storage only for the first files, and never with `restored`. */
void rules_take(Rules *r, RulesNext *next, int64_t now, bool restored);
RulesNext *rules_next_free(RulesNext *next); /* one that is not taken. NULL is fine; always NULL */
/* Both at once. */
int rules_reload(Rules *r, RuleFile **files, unsigned n, int64_t now, bool restored,
                 Err *err) NODISCARD;

/* ---- evaluating ---- */

/* Evaluates groups as they are due, `threads` of them at once; with RulesOptions.helpers also
 * independent rules of one group. */
int rules_start(Rules *r, unsigned threads, Err *err) NODISCARD;
/* Begins nothing new, and waits for the rules that are being evaluated: set the storage's `cancel`
 * first to make that short. NULL and a second call are fine. */
void rules_stop(Rules *r);
/* Evaluates the groups that are due at `now`, one after the other. Returns when the next one is. */
int64_t rules_run_due(Rules *r, int64_t now);

/* ---- looking ---- */

typedef struct RuleView {
    const RuleDef *def; /* without `parsed` */
    const char *health; /* "unknown", "ok", "err" */
    StrView last_error;
    int64_t last_eval_ns;    /* real time of its begin, ns; 0: never */
    int64_t eval_ns;         /* how long it took */
    AlertState state;        /* the highest of its alerts */
    const RuleAlert *alerts; /* pending and firing, sorted by labels */
    size_t n_alerts;
} RuleView;

typedef struct RuleGroupView {
    StrView file;
    const RuleGroupDef *def;
    int64_t interval, last_eval_ns, eval_ns;
    const RuleView *rules;
    unsigned n;
} RuleGroupView;

/* Groups sorted by file and name. All is in `a`, a copy. */
int rules_list(Rules *r, Arena *a, RuleGroupView **ret, size_t *ret_n, Err *err) NODISCARD;
/* Evaluates one group (of rules_list()'s order) at `t`, whatever its schedule. */
void rules_eval_group(Rules *r, size_t i, int64_t t);

typedef struct RuleGroupStats {
    StrView file, name;
    unsigned rules;
    int64_t interval, last_eval_ns, eval_ns;
    int64_t rules_ns;         /* the sum over its rules */
    int64_t restore_ns;       /* how long restoring alerts took; 0: that was not done */
    uint64_t runs, missed;    /* evaluations of the group, and those that were left out */
    uint64_t evals, failures; /* of rules */
    uint64_t samples;         /* of the last evaluation */
} RuleGroupStats;

typedef struct RulesStats {
    RuleGroupStats *groups; /* as in rules_list() */
    size_t n;
    Timing rules, iterations; /* seconds that evaluations of rules and of groups took */
    uint64_t expansions, expansion_failures; /* of templates */
} RulesStats;
int rules_stats(Rules *r, Arena *a, RulesStats *ret, Err *err) NODISCARD;
