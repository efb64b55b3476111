/* monitor_args.h - the flags of knarr-monitor, which are those of Prometheus. */
#pragma once

#include "cmd/flags.h"
#include "monitor/web/web.h"

typedef struct MonitorArgs {
    const char *config_file;
    FlagTexts listen, features, write_messages;
    const char *external_url, *route_prefix, *web_config, *cors_origin, *page_title;
    FlagAmount read_timeout;
    uint64_t max_connections;
    bool lifecycle, admin, remote_write, otlp;
    const char *db_dir;
    FlagAmount block_min, block_max, retention, retention_bytes, segment_bytes, reload_interval;
    bool no_lock, wal_compress, overlapping;
    const char *wal_compression;
    uint64_t read_samples, read_concurrency, read_frame;
    FlagAmount lookback, query_timeout, flush_deadline;
    uint64_t query_concurrency, query_samples;
    FlagAmount outage_tolerance, grace_period, resend_delay;
    uint64_t rule_concurrency, notify_capacity, notify_batch;
    bool notify_drain, adjust_timestamps;
    FlagAmount timestamp_tolerance, discovery_interval;
    bool auto_reload;
    FlagAmount auto_reload_interval;
    const char *console_templates, *console_libraries, *user_assets;
    const char *log_level, *log_format;
    bool version;

    unsigned promql_features; /* of --enable-feature */
    bool exemplars, metadata_in_log, otlp_delta;
    WebFlag *shown; /* of /api/v1/status/flags, sorted; in `arena` */
    unsigned n_shown;
    Arena arena;
} MonitorArgs;

/* FLAGS_OK, or the exit code. monitor_args_free() ends it in any case. */
int monitor_args_parse(int argc, char **argv, MonitorArgs *ret) NODISCARD;
void monitor_args_free(MonitorArgs *a);
