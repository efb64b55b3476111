/* rules.h - evaluates recording and alerting rules.
 *
 * The caller drives it: rules_run_due() evaluates the groups whose time has come, on the caller's
 * thread, and says when the next one is due. Listing and reloading are safe from other threads;
 * they wait for the group that is being evaluated. Times are ms since 1970. */
#pragma once

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
/* `ctx` is the Tsdb; queries run with default options. */
RuleStorage rules_tsdb(Tsdb *db);

typedef struct RulesOptions {
    RuleStorage storage;
    int64_t interval;         /* of groups that name none; 0: one minute */
    int64_t query_offset;     /* of groups that name none */
    int64_t outage_tolerance; /* 0: one hour */
    int64_t grace_period;     /* 0: ten minutes; -1: none */
    int64_t resend_delay;     /* 0: one minute */
    Labels external_labels;   /* these two must outlive the Rules or the next reload */
    StrView external_url;
    /* Alerts to be sent: firing ones, again after resend_delay, and resolved ones. May be NULL. */
    void (*notify)(void *ctx, StrView expr, const RuleAlert *alerts, size_t n);
    void *notify_ctx;
} RulesOptions;

enum { RULES_EVAL_MEMORY_MAX = 512 * 1024 * 1024 };
#define RULES_RESOLVED_RETENTION (INT64_C(15) * 60 * 1000)

int rules_new(const RulesOptions *opt, Rules **ret, Err *err) NODISCARD;
Rules *rules_free(Rules *r); /* NULL is fine; always NULL */
/* Takes the files over, also on failure (then what was there stays). A rule keeps its alerts and
 * series when a rule of the same group, name and labels is there again; series of rules that are
 * gone get staleness markers. Alerts are restored from storage only for the first files, and never
 * with `restored`. */
int rules_reload(Rules *r, RuleFile **files, unsigned n, int64_t now, bool restored,
                 Err *err) NODISCARD;
/* Evaluates the groups that are due at `now`. Returns when the next one is. */
int64_t rules_run_due(Rules *r, int64_t now);

/* ---- looking ---- */

typedef struct RuleView {
    const RuleDef *def;
    const char *health; /* "unknown", "ok", "err" */
    StrView last_error;
    int64_t last_eval, eval_ns; /* 0: never */
    AlertState state;           /* the highest of its alerts */
    const RuleAlert *alerts;    /* pending and firing, sorted by labels */
    size_t n_alerts;
} RuleView;

typedef struct RuleGroupView {
    StrView file;
    const RuleGroupDef *def;
    int64_t interval, last_eval, eval_ns;
    uint64_t evals, failures, missed, samples;
    const RuleView *rules;
    unsigned n;
} RuleGroupView;

/* Groups sorted by file and name. All is in `a`, but for `def`, which lives until the next reload.
 */
int rules_list(Rules *r, Arena *a, RuleGroupView **ret, size_t *ret_n, Err *err) NODISCARD;
/* Evaluates one group (of rules_list()'s order) at `t`, whatever its schedule. */
void rules_eval_group(Rules *r, size_t i, int64_t t);
