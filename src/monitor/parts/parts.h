/* parts.h - the monitor's configuration, and what follows from it (scraping, rules, alerts), as the
 * web server's WebParts. All on the loop's thread. */
#pragma once

#include "monitor/config/config.h"
#include "monitor/scrape/scrape.h"
#include "monitor/web/web.h"

typedef struct MonitorParts MonitorParts;

typedef struct MonitorPartsOptions {
    const char *config_file; /* "": none */
    ConfigOptions config;
    bool append_metadata, start_times;                             /* features, see ScrapeOptions */
    PromqlOptions promql;                                          /* of the queries of rules */
    int64_t outage_tolerance_ms, grace_period_ms, resend_delay_ms; /* of alerts */
    unsigned rule_threads;                                         /* groups evaluated at once */
    unsigned rule_helpers;                                         /* see RulesOptions */
    size_t notify_capacity, notify_batch;                          /* see NotifierOptions */
    bool notify_drain;
    uint32_t sync_delay_ms; /* see ScrapeOptions */
    int64_t align_ms;       /* the same; 0: time stamps are not aligned */
} MonitorPartsOptions;

/* Reads the configuration and its rule files. Errors name file, line and key. */
int monitor_parts_new(Loop *l, const MonitorPartsOptions *opt, MonitorParts **ret,
                      Err *err) NODISCARD;
/* Ends scraping and rules, sends the alerts that wait, and then what remote storages do not have
 * yet, at most for `flush_ms`; the loop is run for that. Before the loop and the database are
 * closed. NULL is fine. */
void monitor_parts_stop(MonitorParts *p, int64_t flush_ms);
/* After that, when nobody uses the WebParts any more. NULL is fine; always NULL. */
MonitorParts *monitor_parts_free(MonitorParts *p);
/* What the configuration says about the database: retention, the out-of-order window, exemplars. */
void monitor_parts_storage(const MonitorParts *p, TsdbOptions *opt);
/* Begins to scrape into `db` and to evaluate rules. `external_url`: for the links of alerts. */
int monitor_parts_start(MonitorParts *p, Tsdb *db, StrView external_url, Err *err) NODISCARD;
/* Reads the configuration again and takes it over; on failure everything stays as it was. */
int monitor_parts_reload(MonitorParts *p, Err *err) NODISCARD;
void monitor_parts_plug(MonitorParts *p, WebParts *ret);

/* Looks every `interval_ms` (at least 1 s) at the configuration and at what rule_files and
 * scrape_config_files name, and calls `changed` when their contents are others; ends with
 * monitor_parts_stop(). */
int monitor_parts_watch(MonitorParts *p, int64_t interval_ms, LoopFn *changed, void *ctx,
                        Err *err) NODISCARD;
