/* internal.h - private to parts/. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/vec.h"
#include "monitor/notify/notify.h"
#include "monitor/parts/parts.h"
#include "monitor/rules/rules.h"

typedef VEC(RuleFile *) RuleFiles;
#include "monitor/remote/remote_read.h"
#include "monitor/remote/remote_write.h"

struct MonitorParts {
    Loop *loop;
    MonitorPartsOptions opt;
    Config *config;
    DiscoveryStats *discovery;  /* of jobs and Alertmanagers */
    ScrapeManager *scrape;      /* NULL until the database is open */
    RemoteWrite *remote_write;  /* NULL until the database is open, as the next */
    RemoteReads *remote_reads;  /* NULL: the configuration names none */
    pthread_mutex_t reads_lock; /* of that pointer: rules look at it on their threads */
    Tsdb *db;
    TsdbOptions flags;         /* of the database, as the command line has them */
    struct ConfigWatch *watch; /* watch.c; NULL: nobody asked for it */

    /* alerting.c; NULL until the database is open */
    Rules *rules;
    Notifier *notifier;
    RuleFiles files; /* until then: those of the configuration */
    RulesTsdb storage;
    atomic_bool cancel;   /* evaluations are to end */
    StrView external_url; /* without a slash at its end */
    Arena arena;          /* of that */
};

/* ---- targets.c: of WebParts, `ctx` is the MonitorParts ---- */

void parts_targets(void *ctx, StrView state, StrView pool, Buf *out);
void parts_scrape_pools(void *ctx, Buf *out);
/* pools.c */
int parts_pool_config(void *ctx, StrView pool, Buf *out, Err *err) NODISCARD;
int parts_relabel_steps(void *ctx, StrView pool, Labels labels, Buf *out, Err *err) NODISCARD;
void parts_target_metadata(void *ctx, const Matcher *ms, unsigned n_ms, StrView metric,
                           int64_t limit, Buf *out);
void parts_metadata(void *ctx, StrView metric, int64_t limit, int64_t per_metric, Buf *out);

/* ---- rules_json.c: the same; on pool threads ---- */

int parts_rules(void *ctx, const WebRulesQuery *q, Buf *out, Err *err) NODISCARD;
int parts_alerts(void *ctx, Buf *out, Err *err) NODISCARD;

/* ---- alerting.c ---- */

/* The files of rule_files. Errors name file and line. */
int parts_files_load(const MonitorParts *p, const Config *c, RuleFiles *ret, Err *err) NODISCARD;
void parts_files_free(RuleFiles *f);

/* Makes rules and notifier, without any configuration. */
int parts_alerting_start(MonitorParts *p, Err *err) NODISCARD;
/* Begins to evaluate. */
int parts_alerting_run(MonitorParts *p, Err *err) NODISCARD;
/* Ends evaluating, then sends what waits. */
void parts_alerting_stop(MonitorParts *p);

/* A configuration that is ready to be put in force. */
typedef struct AlertingNext {
    RulesNext *rules;
    NotifierNext *notifier;
} AlertingNext;
/* Takes the files over, also on failure. */
int parts_alerting_prepare(MonitorParts *p, Config *c, RuleFiles *files, AlertingNext *ret,
                           Err *err) NODISCARD;
void parts_alerting_take(MonitorParts *p, AlertingNext *next); /* cannot fail */
void parts_alerting_discard(AlertingNext *next);

void parts_alertmanagers(void *ctx, Buf *out); /* of WebParts */

/* ---- alerting_metrics.c ---- */

void parts_alerting_metrics(MonitorParts *p, Buf *out);
/* ---- remote.c ---- */

int parts_remote_start(MonitorParts *p, Err *err) NODISCARD;
int parts_remote_apply(MonitorParts *p, Config *c, Err *err) NODISCARD;
RemoteReads *parts_remote_reads(void *ctx); /* of WebParts */
/* Of RulesTsdb. */
int parts_remote_widen(void *ctx, Querier *local, Arena *a, RulesQuerier *ret, Err *err) NODISCARD;
void parts_remote_close(void *ctx, RulesQuerier *q);
/* Sends what is left for at most so long, then lets go of all. */
void parts_remote_stop(MonitorParts *p, int64_t flush_ms);

/* ---- watch.c ---- */

void parts_watch_stop(MonitorParts *p);
void parts_watch_free(MonitorParts *p);
