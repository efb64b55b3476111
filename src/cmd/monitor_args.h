/* monitor_args.h - the flags of knarr-monitor, which are those of Prometheus. */
#pragma once

#include "cmd/flags.h"
#include "monitor/web/web.h"

enum { MONITOR_IDLE_MAX = 40 };

typedef struct MonitorArgs {
    const char *config_file;
    FlagTexts listen, features, write_messages;
    const char *external_url, *route_prefix, *web_config, *cors_origin, *page_title;
    FlagAmount read_timeout;
    uint64_t max_connections, notice_readers, search_limit;
    bool lifecycle, admin, remote_write, otlp, concurrent_rules, search;
    const char *db_dir;
    FlagAmount block_min, block_max, retention, retention_bytes, segment_bytes;
    bool no_lock, wal_compress;
    uint64_t read_samples, read_concurrency, read_frame;
    FlagAmount lookback, query_timeout, flush_deadline;
    uint64_t query_concurrency, query_samples;
    FlagAmount outage_tolerance, grace_period, resend_delay;
    uint64_t rule_concurrency, notify_capacity, notify_batch;
    bool notify_drain, adjust_timestamps;
    FlagAmount timestamp_tolerance, discovery_interval;
    const char *idle_text[MONITOR_IDLE_MAX]; /* flags without effect, see monitor_idle.c */
    bool idle_on[MONITOR_IDLE_MAX];
    bool auto_reload;
    FlagAmount auto_reload_interval;
    const char *log_level, *log_format;
    bool version;

    unsigned promql_features; /* of --enable-feature */
    bool exemplars, metadata_in_log, start_times, extra_scrape_metrics, otlp_delta, otlp_add_up;
    bool refuse_write_v1, refuse_write_v2;
    WebFlag *shown; /* of /api/v1/status/flags, sorted; in `arena` */
    unsigned n_shown;
    Arena arena;
} MonitorArgs;

/* monitor_idle.c: rows for flags of Prometheus that have no effect here. */
unsigned monitor_idle_flags(MonitorArgs *a, Flag *f);
/* Warns of those that were given, by name; some are refused: false, and it is said. */
bool monitor_idle_check(const MonitorArgs *a);
/* Why a name of --enable-feature changes nothing; NULL: no such feature. */
const char *monitor_idle_feature(StrView name);

/* FLAGS_OK, or the exit code. monitor_args_free() ends it in any case. */
int monitor_args_parse(int argc, char **argv, MonitorArgs *ret) NODISCARD;
void monitor_args_free(MonitorArgs *a);
