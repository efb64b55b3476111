/* monitor_args.c - see monitor_args.h. Flags without effect are in monitor_idle.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cmd/monitor_args.h"
#include "monitor/model/duration.h"

static int parse_duration(StrView s, int64_t *ret)
{
    return prom_duration_parse(s, ret);
}

/* "512MB": powers of 1024; a unit is needed. */
static int parse_bytes(StrView s, int64_t *ret)
{
    static const char units[] = "KMGTPE";
    uint64_t n;
    if (s.len < 2 || s.ptr[s.len - 1] != 'B')
        return -EINVAL;
    s = sv_head(s, s.len - 1);
    unsigned shift = 0;
    const char *unit = memchr(units, s.ptr[s.len - 1], sizeof units - 1);
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        s = sv_head(s, s.len - 1);
    }
    if (sv_to_u64(s, &n) < 0 || n > (uint64_t)INT64_MAX >> shift)
        return -EINVAL;
    *ret = (int64_t)(n << shift);
    return 0;
}

#define MINUTES(n) ((int64_t)(n)*60 * 1000)

static void defaults(MonitorArgs *a)
{
    *a = (MonitorArgs){
        .config_file = "prometheus.yml",
        .listen = { { "0.0.0.0:9090" }, 1 },
        .write_messages = { { "prometheus.WriteRequest", "io.prometheus.write.v2.Request" }, 2 },
        .cors_origin = ".*",
        .page_title = "Prometheus Time Series Collection and Processing Server",
        .read_timeout = { "5m", MINUTES(5) },
        .max_connections = 512,
        .notice_readers = 16,
        .search_limit = 10000,
        .db_dir = "data/",
        .block_min = { "2h", MINUTES(120) },
        .wal_compress = true,
        .read_samples = 50000000,
        .read_concurrency = 10,
        .read_frame = 1048576,
        .lookback = { "5m", MINUTES(5) },
        .query_timeout = { "2m", MINUTES(2) },
        .flush_deadline = { "1m", MINUTES(1) },
        .query_concurrency = 20,
        .query_samples = 50000000,
        .outage_tolerance = { "1h", MINUTES(60) },
        .grace_period = { "10m", MINUTES(10) },
        .resend_delay = { "1m", MINUTES(1) },
        .rule_concurrency = 4,
        .notify_capacity = 10000,
        .notify_batch = 256,
        .notify_drain = true,
        .adjust_timestamps = true,
        .timestamp_tolerance = { "2ms", 2 },
        .discovery_interval = { "5s", 5000 },
        .auto_reload_interval = { "30s", 30000 },
        .log_level = "info",
        .log_format = "logfmt",
    };
}

enum { FLAGS_MAX = 128 };

static unsigned web_flags(MonitorArgs *a, Flag *f)
{
    const Flag flags[] = {
        { "config.file", FLAG_TEXT, &a->config_file, "FILE",
          "the configuration (prometheus.yml); empty: none" },
        { "config.auto-reload", FLAG_ON, &a->auto_reload, NULL,
          "read the configuration again when it, or a file it names, changes" },
        { "config.auto-reload-interval", FLAG_AMOUNT, &a->auto_reload_interval, "DURATION",
          "look so often (30s)", .parse = parse_duration },
        { "web.listen-address", FLAG_TEXTS, &a->listen, "ADDRESS:PORT",
          "serve here (0.0.0.0:9090); may be given again" },
        { "web.config.file", FLAG_TEXT, &a->web_config, "FILE",
          "TLS, users and headers of the web server" },
        { "web.read-timeout", FLAG_AMOUNT, &a->read_timeout, "DURATION",
          "close idle connections after it (5m)", .parse = parse_duration },
        { "web.max-connections", FLAG_NUMBER, &a->max_connections, "N",
          "connections at once; further ones wait (512)" },
        { "web.max-notifications-subscribers", FLAG_NUMBER, &a->notice_readers, "N",
          "readers of live notifications at once (16)" },
        { "web.search.max-limit", FLAG_NUMBER, &a->search_limit, "N",
          "results of one search at most, 0: any number (10000)" },
        { "web.external-url", FLAG_TEXT, &a->external_url, "URL", "how others reach this server" },
        { "web.route-prefix", FLAG_TEXT, &a->route_prefix, "PATH",
          "in front of all paths (the path of --web.external-url)" },
        { "web.enable-lifecycle", FLAG_ON, &a->lifecycle, NULL, "serve /-/reload and /-/quit" },
        { "web.enable-admin-api", FLAG_ON, &a->admin, NULL, "serve /api/v1/admin/…" },
        { "web.enable-remote-write-receiver", FLAG_ON, &a->remote_write, NULL,
          "take remote writes at /api/v1/write" },
        { "web.enable-otlp-receiver", FLAG_ON, &a->otlp, NULL,
          "take OpenTelemetry's metrics at /api/v1/otlp/v1/metrics" },
        { "web.remote-write-receiver.accepted-protobuf-messages", FLAG_TEXTS, &a->write_messages,
          "MESSAGE", "prometheus.WriteRequest, io.prometheus.write.v2.Request (both)" },
        { "web.cors.origin", FLAG_TEXT, &a->cors_origin, "REGEX",
          "pages of these origins may use the API (.*)" },
        { "web.page-title", FLAG_TEXT, &a->page_title, "TEXT", NULL },
        { "enable-feature", FLAG_TEXTS, &a->features, "NAMES",
          "experimental features, separated by commas" },
        { "log.level", FLAG_TEXT, &a->log_level, "LEVEL", "debug, info, warn or error (info)" },
        { "log.format", FLAG_TEXT, &a->log_format, "FORMAT", "logfmt (lines of text) or json" },
        { "version", FLAG_ON, &a->version, NULL, "print the version" },
    };
    memcpy(f, flags, sizeof flags);
    return ARRAY_SIZE(flags);
}

static unsigned storage_flags(MonitorArgs *a, Flag *f)
{
    const Flag flags[] = {
        { "storage.tsdb.path", FLAG_TEXT, &a->db_dir, "DIR", "where samples are kept (data/)" },
        { "storage.tsdb.min-block-duration", FLAG_AMOUNT, &a->block_min, "DURATION", NULL,
          .parse = parse_duration },
        { "storage.tsdb.max-block-duration", FLAG_AMOUNT, &a->block_max, "DURATION", NULL,
          .parse = parse_duration },
        { "storage.tsdb.retention.time", FLAG_AMOUNT, &a->retention, "DURATION",
          "keep samples so long (15d)", .parse = parse_duration },
        { "storage.tsdb.retention.size", FLAG_AMOUNT, &a->retention_bytes, "SIZE",
          "keep at most so much: 512MB", .parse = parse_bytes },
        { "storage.tsdb.no-lockfile", FLAG_ON, &a->no_lock, NULL, "do not lock the folder" },
        { "storage.tsdb.wal-compression", FLAG_ON, &a->wal_compress, NULL, NULL },
        { "storage.tsdb.wal-segment-size", FLAG_AMOUNT, &a->segment_bytes, "SIZE", NULL,
          .parse = parse_bytes },
        { "storage.remote.flush-deadline", FLAG_AMOUNT, &a->flush_deadline, "DURATION",
          "at the end, wait so long for remote storages (1m)", .parse = parse_duration },
        { "storage.remote.read-sample-limit", FLAG_NUMBER, &a->read_samples, "N",
          "samples of one remote read (5e7)" },
        { "storage.remote.read-concurrent-limit", FLAG_NUMBER, &a->read_concurrency, "N",
          "remote reads at once (10)" },
        { "storage.remote.read-max-bytes-in-frame", FLAG_NUMBER, &a->read_frame, "N",
          "bytes of one frame of a streamed remote read (1048576)" },
    };
    memcpy(f, flags, sizeof flags);
    return ARRAY_SIZE(flags);
}

static unsigned query_flags(MonitorArgs *a, Flag *f)
{
    const Flag flags[] = {
        { "query.lookback-delta", FLAG_AMOUNT, &a->lookback, "DURATION",
          "how old a sample may be to count as current (5m)", .parse = parse_duration },
        { "query.timeout", FLAG_AMOUNT, &a->query_timeout, "DURATION", "end queries after it (2m)",
          .parse = parse_duration },
        { "query.max-concurrency", FLAG_NUMBER, &a->query_concurrency, "N",
          "queries at once (20)" },
        { "query.max-samples", FLAG_NUMBER, &a->query_samples, "N",
          "samples that a query may hold at once (50000000)" },
        { "rules.alert.for-outage-tolerance", FLAG_AMOUNT, &a->outage_tolerance, "DURATION",
          "restore alerts after an outage of at most so long (1h)", .parse = parse_duration },
        { "rules.alert.for-grace-period", FLAG_AMOUNT, &a->grace_period, "DURATION",
          "a restored alert waits at least so long before it fires (10m)",
          .parse = parse_duration },
        { "rules.alert.resend-delay", FLAG_AMOUNT, &a->resend_delay, "DURATION",
          "send a firing alert again after it (1m)", .parse = parse_duration },
        { "rules.max-concurrent-evals", FLAG_NUMBER, &a->rule_concurrency, "N",
          "rule groups evaluated at once, and with concurrent-rule-eval rules beside them (4)" },
        { "scrape.adjust-timestamps", FLAG_ON, &a->adjust_timestamps, NULL, NULL },
        { "scrape.timestamp-tolerance", FLAG_AMOUNT, &a->timestamp_tolerance, "DURATION", NULL,
          .parse = parse_duration },
        { "scrape.discovery-reload-interval", FLAG_AMOUNT, &a->discovery_interval, "DURATION", NULL,
          .parse = parse_duration },
        { "alertmanager.notification-queue-capacity", FLAG_NUMBER, &a->notify_capacity, "N",
          "alerts that may wait for one Alertmanager (10000)" },
        { "alertmanager.notification-batch-size", FLAG_NUMBER, &a->notify_batch, "N",
          "alerts of one request (256)" },
        { "alertmanager.drain-notification-queue-on-shutdown", FLAG_ON, &a->notify_drain, NULL,
          "send what waits before the end (on)" },
    };
    memcpy(f, flags, sizeof flags);
    return ARRAY_SIZE(flags);
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp(((const WebFlag *)a)->name, ((const WebFlag *)b)->name);
}

static bool remember(MonitorArgs *a, const Flag *flags, unsigned n)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    a->shown = arena_array(&a->arena, WebFlag, n);
    for (unsigned i = 0; a->shown && i < n; i++) {
        buf_clear(&text);
        flag_format(&flags[i], &text);
        a->shown[i] = (WebFlag){ sv_cstr(flags[i].name), arena_sv(&a->arena, buf_view(&text)) };
    }
    a->n_shown = n;
    if (a->shown)
        qsort(a->shown, n, sizeof *a->shown, by_name);
    return a->shown != NULL;
}

static void take_feature(MonitorArgs *a, StrView name)
{
    unsigned f = promql_feature(name);
    if (f) {
        a->promql_features |= f;
        if (monitor_idle_feature(name)) /* half of it */
            log_warn("--enable-feature=%.*s has an effect on queries only: %s", SV_FMT(name),
                     monitor_idle_feature(name));
    } else if (sv_eq(name, SV("exemplar-storage")))
        a->exemplars = true;
    else if (sv_eq(name, SV("metadata-wal-records")))
        a->metadata_in_log = true;
    else if (sv_eq(name, SV("otlp-native-delta-ingestion")))
        a->otlp_delta = true;
    else if (sv_eq(name, SV("otlp-deltatocumulative")))
        a->otlp_add_up = true;
    else if (sv_eq(name, SV("auto-reload-config")))
        a->auto_reload = true;
    else if (sv_eq(name, SV("created-timestamp-zero-ingestion")))
        a->start_times = true;
    else if (sv_eq(name, SV("concurrent-rule-eval")))
        a->concurrent_rules = true;
    else if (sv_eq(name, SV("search-api")))
        a->search = true;
    else if (sv_eq(name, SV("extra-scrape-metrics")))
        a->extra_scrape_metrics = true;
    else if (name.len && monitor_idle_feature(name))
        log_warn("--enable-feature=%.*s has no effect: %s", SV_FMT(name),
                 monitor_idle_feature(name));
    else if (name.len)
        log_warn("--enable-feature=%.*s: no such feature, ignoring", SV_FMT(name));
}

static int mistake(const char *flag, const char *why)
{
    fprintf(stderr, "knarr-monitor: --%s: %s; see `knarr monitor --help`\n", flag, why);
    return 2;
}

static int take_messages(MonitorArgs *a)
{
    a->refuse_write_v1 = a->refuse_write_v2 = true;
    for (unsigned i = 0; i < a->write_messages.len; i++) {
        StrView rest = sv_cstr(a->write_messages.items[i]), name;
        while (sv_next(&rest, ',', &name)) {
            if (sv_eq(name, SV("prometheus.WriteRequest")))
                a->refuse_write_v1 = false;
            else if (sv_eq(name, SV("io.prometheus.write.v2.Request")))
                a->refuse_write_v2 = false;
            else
                return mistake("web.remote-write-receiver.accepted-protobuf-messages",
                               "expected prometheus.WriteRequest or "
                               "io.prometheus.write.v2.Request");
        }
    }
    return FLAGS_OK;
}

static int check(MonitorArgs *a)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    unsigned level = 0;
    while (level < ARRAY_SIZE(levels) && strcmp(levels[level], a->log_level) != 0)
        level++;
    if (level == ARRAY_SIZE(levels))
        return mistake("log.level", "expected debug, info, warn or error");
    log_set_level((LogLevel)level);
    if (strcmp(a->log_format, "logfmt") != 0 && strcmp(a->log_format, "json") != 0)
        return mistake("log.format", "expected logfmt or json");
    log_set_json(strcmp(a->log_format, "json") == 0);
    if (a->max_connections == 0 || a->max_connections > 1000000)
        return mistake("web.max-connections", "expected 1 to 1000000");
    int64_t segment = a->segment_bytes.value;
    if (a->segment_bytes.text && (segment < 10 << 20 || segment > 256 << 20))
        return mistake("storage.tsdb.wal-segment-size", "expected 10MB to 256MB");
    if (!monitor_idle_check(a))
        return 2;
    if (take_messages(a) != FLAGS_OK)
        return 2;
    if (a->query_concurrency == 0 || a->query_concurrency > 1000)
        return mistake("query.max-concurrency", "expected 1 to 1000");
    if (a->search_limit > INT32_MAX)
        return mistake("web.search.max-limit", "expected 0 to 2147483647");
    if (a->rule_concurrency == 0 || a->rule_concurrency > 256)
        return mistake("rules.max-concurrent-evals", "expected 1 to 256");
    if (a->notify_capacity == 0 || a->notify_capacity > 10 * 1000 * 1000)
        return mistake("alertmanager.notification-queue-capacity", "expected 1 to 10000000");
    if (a->notify_batch == 0)
        return mistake("alertmanager.notification-batch-size", "expected 1 or more");
    if (a->read_frame < 1024 || a->read_frame > 1 << 30)
        return mistake("storage.remote.read-max-bytes-in-frame", "expected 1024 to 1073741824");
    for (unsigned i = 0; i < a->features.len; i++) {
        StrView rest = sv_cstr(a->features.items[i]), name;
        while (sv_next(&rest, ',', &name))
            take_feature(a, sv_trim(name));
    }
    if (a->otlp_delta && a->otlp_add_up)
        return mistake("enable-feature", "cannot enable otlp-deltatocumulative and "
                                         "otlp-native-delta-ingestion features at the same time");
    return FLAGS_OK;
}

int monitor_args_parse(int argc, char **argv, MonitorArgs *ret)
{
    Flag flags[FLAGS_MAX];
    unsigned n;
    defaults(ret);
    arena_init(&ret->arena, 0);
    n = web_flags(ret, flags);
    n += storage_flags(ret, flags + n);
    n += query_flags(ret, flags + n);
    n += monitor_idle_flags(ret, flags + n);
    ASSERT(n <= FLAGS_MAX);
    const FlagSet set = { .program = "knarr monitor",
                          .about = "Scrapes, stores and queries metrics, with Prometheus' flags, "
                                   "configuration, HTTP API and files.",
                          .flags = flags,
                          .len = n };
    int r = flags_parse(&set, argc, argv, NULL);
    if (r != FLAGS_OK)
        return r;
    if (ret->version) {
        puts("knarr-monitor, version " KNARR_VERSION);
        return 0;
    }
    if (!remember(ret, flags, n)) {
        fputs("knarr-monitor: out of memory\n", stderr);
        return 1;
    }
    return check(ret);
}

void monitor_args_free(MonitorArgs *a)
{
    arena_free(&a->arena);
}
