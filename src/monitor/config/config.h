/* config.h - Prometheus' configuration file as plain structs: prometheus.yml with its defaults and
 * checks, and the files of scrape_config_files.
 *
 * A Config is one block of memory that never changes after it was loaded; whoever keeps a part of
 * it keeps a reference. Durations are ms, sizes bytes; where Prometheus leaves a key out for "not
 * set", a tri-state is CONFIG_UNSET, a text is empty and a number 0. */
#pragma once

#include "base/buf.h"
#include "fetch/options.h"
#include "monitor/relabel/relabel.h"

enum { CONFIG_SIZE_MAX = 64 * 1024 * 1024, CONFIG_FILES_MAX = 10000, CONFIG_UNSET = -1 };

typedef LIST(RelabelRule) ConfigRules;

/* ---- service discovery ---- */

typedef struct ConfigStatic {
    StrList targets;
    Labels labels;
} ConfigStatic;

typedef struct ConfigFileSd {
    StrList files; /* patterns */
    int64_t refresh_interval;
} ConfigFileSd;

typedef struct ConfigHttpSd {
    FetchOptions http;
    StrView url;
    int64_t refresh_interval;
} ConfigHttpSd;

typedef struct ConfigDnsSd {
    StrList names;
    int64_t refresh_interval;
    StrView type; /* upper case: A, AAAA, SRV, MX, NS */
    uint64_t port;
} ConfigDnsSd;

typedef struct ConfigKubernetesSelector {
    StrView role, label, field;
} ConfigKubernetesSelector;

typedef struct ConfigKubernetesSd {
    StrView api_server, role, kubeconfig_file;
    FetchOptions http;
    struct {
        bool own_namespace;
        StrList names;
    } namespaces;
    LIST(ConfigKubernetesSelector) selectors;
    struct {
        bool node, ns;
    } attach_metadata;
} ConfigKubernetesSd;

typedef struct ConfigDiscovery {
    LIST(ConfigStatic) statics;
    LIST(ConfigFileSd) files;
    LIST(ConfigHttpSd) https;
    LIST(ConfigDnsSd) dns;
    LIST(ConfigKubernetesSd) kubernetes;
} ConfigDiscovery;

/* ---- the sections ---- */

/* Keys that global and scrape_configs share. */
typedef struct ConfigLimits {
    uint64_t body_size; /* 0 means none in all of them */
    uint64_t samples, targets, labels, label_name_length, label_value_length, keep_dropped_targets;
} ConfigLimits;

typedef struct ConfigGlobal {
    int64_t scrape_interval, scrape_timeout, evaluation_interval, rule_query_offset;
    StrList scrape_protocols;
    StrView query_log_file, scrape_failure_log_file;
    Labels external_labels;
    ConfigLimits limits;
    StrView metric_name_validation_scheme, metric_name_escaping_scheme;
    int8_t scrape_native_histograms, extra_scrape_metrics; /* tri-states */
    bool convert_classic_histograms_to_nhcb, always_scrape_classic_histograms;
} ConfigGlobal;

typedef struct ConfigScrape {
    StrView job_name;
    bool honor_labels, honor_timestamps, track_timestamps_staleness;
    StrParams params;
    int64_t scrape_interval, scrape_timeout;
    StrList scrape_protocols;
    StrView fallback_scrape_protocol;
    /* Tri-states, all 0 or 1 once loaded. */
    int8_t scrape_native_histograms, always_scrape_classic_histograms;
    int8_t convert_classic_histograms_to_nhcb, extra_scrape_metrics;
    StrView scrape_failure_log_file, metrics_path, scheme;
    bool enable_compression;
    ConfigLimits limits;
    uint64_t native_histogram_bucket_limit;
    double native_histogram_min_bucket_factor;
    StrView metric_name_validation_scheme; /* "utf8" or "legacy" */
    StrView metric_name_escaping_scheme;   /* "allow-utf-8", "underscores", "dots", "values" */
    ConfigDiscovery sd;
    FetchOptions http;
    ConfigRules relabel, metric_relabel;
} ConfigScrape;

typedef struct ConfigAlertmanager {
    ConfigDiscovery sd;
    FetchOptions http;
    StrView scheme, path_prefix, api_version;
    int64_t timeout;
    ConfigRules relabel, alert_relabel;
} ConfigAlertmanager;

typedef struct ConfigRemoteWrite {
    StrView url, name, protobuf_message;
    int64_t remote_timeout;
    Labels headers;
    ConfigRules write_relabel;
    bool send_exemplars, send_native_histograms, failed_request_logging;
    FetchOptions http;
    struct {
        int64_t capacity, max_shards, min_shards, max_samples_per_send;
        int64_t batch_send_deadline, min_backoff, max_backoff, sample_age_limit;
        bool retry_on_http_429;
    } queue;
    struct {
        bool send;
        int64_t send_interval, max_samples_per_send;
    } metadata;
} ConfigRemoteWrite;

typedef struct ConfigRemoteRead {
    StrView url, name;
    int64_t remote_timeout;
    uint64_t chunked_read_limit;
    Labels headers, required_matchers;
    bool read_recent, filter_external_labels;
    FetchOptions http;
} ConfigRemoteRead;

typedef struct ConfigTsdb {
    int64_t out_of_order_time_window;
    double stale_series_compaction_threshold;
    struct {
        StrView floats;
    } chunk_encoding;
    struct {
        int64_t time;
        uint64_t size;
        double percentage;
    } retention;
} ConfigTsdb;

typedef struct ConfigExemplars {
    int64_t max_exemplars; /* 0 or less: none are kept */
} ConfigExemplars;

typedef struct ConfigTracing {
    StrView client_type, endpoint, compression;
    double sampling_fraction;
    bool insecure;
    FetchTls tls;
    Labels headers;
    int64_t timeout;
} ConfigTracing;

typedef struct ConfigOtlp {
    bool promote_all_resource_attributes, keep_identifying_resource_attributes;
    bool convert_histograms_to_nhcb, promote_scope_metadata;
    bool label_name_underscore_sanitization, label_name_preserve_multiple_underscores;
    StrList promote_resource_attributes, ignore_resource_attributes;
    StrView translation_strategy;
} ConfigOtlp;

typedef struct Config {
    ConfigGlobal global;
    struct {
        int64_t gogc; /* kept, of no meaning here */
    } runtime;
    struct {
        ConfigRules alert_relabel;
        LIST(ConfigAlertmanager) alertmanagers;
    } alerting;
    StrList rule_files, scrape_config_files; /* patterns, relative ones joined to the folder */
    LIST(ConfigScrape) scrape;
    struct {
        ConfigTsdb tsdb;
        ConfigExemplars *exemplars; /* NULL: not said, 100000 */
    } storage;
    ConfigTracing *tracing; /* NULL: none */
    LIST(ConfigRemoteWrite) remote_write;
    LIST(ConfigRemoteRead) remote_read;
    ConfigOtlp otlp;
    /* The jobs of scrape and those of scrape_config_files, in this order. */
    LIST(const ConfigScrape *) jobs;
} Config;

typedef struct ConfigOptions {
    bool native_histograms;    /* scrape_native_histograms where it is not said */
    bool extra_scrape_metrics; /* --enable-feature=extra-scrape-metrics */
} ConfigOptions;

/* Reads and checks `path` and what scrape_config_files name. Errors name file, line and key:
 * "prometheus.yml:12: scrape_configs[0].scrape_interval: not a valid duration string: \"1x\"". */
int config_load(const char *path, const ConfigOptions *opt, Config **ret, Err *err) NODISCARD;
/* The same from text; `name` stands in errors, `dir` is joined to relative names (empty: none). */
int config_parse(StrView text, const char *name, StrView dir, const ConfigOptions *opt,
                 Config **ret, Err *err) NODISCARD;
Config *config_ref(Config *c);
Config *config_unref(Config *c); /* NULL is fine; always NULL */

/* A file with the keys of http_config alone (promtool's --http.config.file); names in it are
 * relative to its folder. `path` NULL: the defaults. Everything is in `a`. */
int config_load_http(const char *path, Arena *a, FetchOptions *ret, Err *err) NODISCARD;

/* Whether two jobs, or two groups of Alertmanagers, are the same in every key, secrets included. */
bool config_scrape_equal(const ConfigScrape *a, const ConfigScrape *b);
bool config_alertmanager_equal(const ConfigAlertmanager *a, const ConfigAlertmanager *b);

/* All keys of one remote storage, secrets included: to compare two of them. False: out of memory.
 */
bool config_remote_write_text(const ConfigRemoteWrite *w, Buf *out) NODISCARD;
bool config_remote_read_text(const ConfigRemoteRead *r, Buf *out) NODISCARD;

/* YAML of all that is in force, defaults filled in; secrets are "<secret>". */
int config_format(const Config *c, Buf *out, Err *err) NODISCARD;
/* The same of one job. */
int config_scrape_format(const ConfigScrape *job, Buf *out, Err *err) NODISCARD;
