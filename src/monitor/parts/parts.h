/* parts.h - the monitor's configuration, and the scraping that follows from it, as the web server's
 * WebParts. All on the loop's thread. */
#pragma once

#include "monitor/config/config.h"
#include "monitor/scrape/scrape.h"
#include "monitor/web/web.h"

typedef struct MonitorParts MonitorParts;

typedef struct MonitorPartsOptions {
    const char *config_file; /* "": none */
    ConfigOptions config;
    bool append_metadata, start_times; /* features, see ScrapeOptions */
} MonitorPartsOptions;

/* Reads the configuration. Errors name file, line and key. */
int monitor_parts_new(Loop *l, const MonitorPartsOptions *opt, MonitorParts **ret,
                      Err *err) NODISCARD;
/* Ends scraping, then runs the loop until remote storages have what was scraped, at most for
 * `deadline_ms`. */
void monitor_parts_flush(MonitorParts *p, int64_t deadline_ms);
/* Ends scraping; before the loop and the database are closed. NULL is fine; always NULL. */
MonitorParts *monitor_parts_free(MonitorParts *p);
/* What the configuration says about the database: retention, the out-of-order window, exemplars. */
void monitor_parts_storage(const MonitorParts *p, TsdbOptions *opt);
/* Begins to scrape into `db`. */
int monitor_parts_start(MonitorParts *p, Tsdb *db, Err *err) NODISCARD;
/* Reads the configuration again and takes it over; on failure everything stays as it was. */
int monitor_parts_reload(MonitorParts *p, Err *err) NODISCARD;
void monitor_parts_plug(MonitorParts *p, WebParts *ret);
