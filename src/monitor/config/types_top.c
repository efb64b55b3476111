/* types_top.c - the other sections as tables: alerting, remote write and read, storage, tracing,
 * OTLP, and the file as a whole. */
#include "monitor/config/types.h"

/* A member of the unnamed struct `s` in T, for a table of its own. */
#define IN(T, s, k, K, m)                                                                          \
    {                                                                                              \
        k, FIELD_##K, false, offsetof(T, s.m) - offsetof(T, s), NULL                               \
    }
#define IN_KEEP(T, s, k, K, m)                                                                     \
    {                                                                                              \
        k, FIELD_##K, true, offsetof(T, s.m) - offsetof(T, s), NULL                                \
    }

#define T ConfigAlertmanager
static const Field alertmanager_fields[] = {
    INLINE_(T, http, type_http),
    SUB(T, "sigv4", POINTER, http.sigv4, type_sigv4),
    F(T, "scheme", TEXT, scheme),
    F(T, "path_prefix", TEXT, path_prefix),
    F(T, "timeout", DURATION, timeout),
    KEEP(T, "api_version", TEXT, api_version),
    SUB(T, "relabel_configs", LIST, relabel, type_rule),
    SUB(T, "alert_relabel_configs", LIST, alert_relabel, type_rule),
    INLINE_(T, sd, type_discovery),
};
#undef T
static void alertmanager_init(void *obj)
{
    ConfigAlertmanager *a = obj;
    a->scheme = SV("http");
    a->timeout = 10 * 1000;
    a->api_version = SV("v2");
}
const Type type_alertmanager = { "config.plain", sizeof(ConfigAlertmanager),
                                 FIELDS(alertmanager_fields), alertmanager_init,
                                 check_alertmanager };

#define T Config
static const Field alerting_fields[] = {
    { "alert_relabel_configs", FIELD_LIST, false,
      offsetof(T, alerting.alert_relabel) - offsetof(T, alerting), &type_rule },
    { "alertmanagers", FIELD_LIST, false,
      offsetof(T, alerting.alertmanagers) - offsetof(T, alerting), &type_alertmanager },
};
static const Type type_alerting = { "config.plain", sizeof(((T *)0)->alerting),
                                    FIELDS(alerting_fields), NULL, NULL };
#undef T

#define T ConfigRemoteWrite
static const Field queue_fields[] = {
    IN(T, queue, "capacity", INT, capacity),
    IN(T, queue, "max_shards", INT, max_shards),
    IN(T, queue, "min_shards", INT, min_shards),
    IN(T, queue, "max_samples_per_send", INT, max_samples_per_send),
    IN(T, queue, "batch_send_deadline", DURATION, batch_send_deadline),
    IN(T, queue, "min_backoff", DURATION, min_backoff),
    IN(T, queue, "max_backoff", DURATION, max_backoff),
    IN(T, queue, "retry_on_http_429", BOOL, retry_on_http_429),
    IN(T, queue, "sample_age_limit", DURATION, sample_age_limit),
};
static const Type type_queue = { "config.QueueConfig", sizeof(((T *)0)->queue),
                                 FIELDS(queue_fields), NULL, NULL };
static const Field metadata_fields[] = {
    IN_KEEP(T, metadata, "send", BOOL, send),
    IN_KEEP(T, metadata, "send_interval", DURATION, send_interval),
    IN(T, metadata, "max_samples_per_send", INT, max_samples_per_send),
};
static const Type type_metadata = { "config.MetadataConfig", sizeof(((T *)0)->metadata),
                                    FIELDS(metadata_fields), NULL, NULL };
static const Field remote_write_fields[] = {
    KEEP(T, "url", URL, url),
    F(T, "remote_timeout", DURATION, remote_timeout),
    F(T, "headers", LABELS, headers),
    SUB(T, "write_relabel_configs", LIST, write_relabel, type_rule),
    F(T, "name", TEXT, name),
    F(T, "send_exemplars", BOOL, send_exemplars),
    F(T, "send_native_histograms", BOOL, send_native_histograms),
    F(T, "round_robin_dns", BOOL, http.round_robin_dns),
    F(T, "protobuf_message", TEXT, protobuf_message),
    F(T, "failed_request_logging", BOOL, failed_request_logging),
    INLINE_(T, http, type_http),
    SUB(T, "sigv4", POINTER, http.sigv4, type_sigv4),
    SUB(T, "azuread", POINTER, http.azuread, type_azuread),
    SUB(T, "google_iam", POINTER, http.google_iam, type_google_iam),
    SUB(T, "queue_config", STRUCT, queue, type_queue),
    SUB(T, "metadata_config", STRUCT, metadata, type_metadata),
};
#undef T
static void remote_write_init(void *obj)
{
    ConfigRemoteWrite *w = obj;
    w->remote_timeout = 30 * 1000;
    w->protobuf_message = SV("prometheus.WriteRequest");
    w->http.enable_http2 = false;
    w->queue.capacity = 10000;
    w->queue.max_shards = 50;
    w->queue.min_shards = 1;
    w->queue.max_samples_per_send = 2000;
    w->queue.batch_send_deadline = 5000;
    w->queue.min_backoff = 30;
    w->queue.max_backoff = 5000;
    w->metadata.send = true;
    w->metadata.send_interval = 60 * 1000;
    w->metadata.max_samples_per_send = 2000;
}
const Type type_remote_write = { "config.plain", sizeof(ConfigRemoteWrite),
                                 FIELDS(remote_write_fields), remote_write_init,
                                 check_remote_write };

#define T ConfigRemoteRead
static const Field remote_read_fields[] = {
    KEEP(T, "url", URL, url),
    F(T, "remote_timeout", DURATION, remote_timeout),
    F(T, "chunked_read_limit", UINT, chunked_read_limit),
    F(T, "headers", LABELS, headers),
    F(T, "read_recent", BOOL, read_recent),
    F(T, "name", TEXT, name),
    INLINE_(T, http, type_http),
    F(T, "required_matchers", LABELS, required_matchers),
    F(T, "filter_external_labels", BOOL, filter_external_labels),
};
#undef T
static void remote_read_init(void *obj)
{
    ConfigRemoteRead *r = obj;
    r->remote_timeout = 60 * 1000;
    r->chunked_read_limit = 50 * 1000 * 1000;
    r->filter_external_labels = true;
}
const Type type_remote_read = { "config.plain", sizeof(ConfigRemoteRead),
                                FIELDS(remote_read_fields), remote_read_init, check_remote_read };

#define T ConfigTsdb
static const Field encoding_fields[] = { IN(T, chunk_encoding, "floats", TEXT, floats) };
static const Type type_encoding = { "config.ChunkEncodingConfig", sizeof(((T *)0)->chunk_encoding),
                                    FIELDS(encoding_fields), NULL, NULL };
static const Field retention_fields[] = {
    IN(T, retention, "time", DURATION, time),
    IN(T, retention, "size", SIZE, size),
    IN(T, retention, "percentage", DOUBLE, percentage),
};
static const Type type_retention = { "config.plain", sizeof(((T *)0)->retention),
                                     FIELDS(retention_fields), NULL, NULL };
static const Field tsdb_fields[] = {
    F(T, "out_of_order_time_window", DURATION, out_of_order_time_window),
    F(T, "stale_series_compaction_threshold", DOUBLE, stale_series_compaction_threshold),
    SUB(T, "chunk_encoding", STRUCT, chunk_encoding, type_encoding),
    SUB(T, "retention", STRUCT, retention, type_retention),
};
#undef T
static const Type type_tsdb = { "config.plain", sizeof(ConfigTsdb), FIELDS(tsdb_fields), NULL,
                                check_tsdb };
static const Field exemplars_fields[] = {
    F(ConfigExemplars, "max_exemplars", INT, max_exemplars),
};
static const Type type_exemplars = { "config.ExemplarsConfig", sizeof(ConfigExemplars),
                                     FIELDS(exemplars_fields), NULL, NULL };
#define T Config
static const Field storage_fields[] = {
    { "tsdb", FIELD_STRUCT, false, offsetof(T, storage.tsdb) - offsetof(T, storage), &type_tsdb },
    { "exemplars", FIELD_POINTER, false, offsetof(T, storage.exemplars) - offsetof(T, storage),
      &type_exemplars },
};
static const Type type_storage = { "config.StorageConfig", sizeof(((T *)0)->storage),
                                   FIELDS(storage_fields), NULL, NULL };
static const Field runtime_fields[] = { IN(T, runtime, "gogc", INT, gogc) };
static const Type type_runtime = { "config.RuntimeConfig", sizeof(((T *)0)->runtime),
                                   FIELDS(runtime_fields), NULL, NULL };
#undef T

#define T ConfigTracing
static const Field tracing_fields[] = {
    F(T, "client_type", TEXT, client_type),
    F(T, "endpoint", TEXT, endpoint),
    F(T, "sampling_fraction", DOUBLE, sampling_fraction),
    F(T, "insecure", BOOL, insecure),
    SUB(T, "tls_config", STRUCT, tls, type_tls),
    F(T, "headers", LABELS, headers),
    F(T, "compression", TEXT, compression),
    F(T, "timeout", DURATION, timeout),
};
#undef T
static void tracing_init(void *obj)
{
    ((ConfigTracing *)obj)->client_type = SV("grpc");
}
static const Type type_tracing = { "config.plain", sizeof(ConfigTracing), FIELDS(tracing_fields),
                                   tracing_init, check_tracing };

#define T ConfigOtlp
static const Field otlp_fields[] = {
    F(T, "promote_all_resource_attributes", BOOL, promote_all_resource_attributes),
    F(T, "promote_resource_attributes", TEXTS, promote_resource_attributes),
    F(T, "ignore_resource_attributes", TEXTS, ignore_resource_attributes),
    F(T, "translation_strategy", TEXT, translation_strategy),
    F(T, "keep_identifying_resource_attributes", BOOL, keep_identifying_resource_attributes),
    F(T, "convert_histograms_to_nhcb", BOOL, convert_histograms_to_nhcb),
    F(T, "promote_scope_metadata", BOOL, promote_scope_metadata),
    F(T, "label_name_underscore_sanitization", BOOL, label_name_underscore_sanitization),
    F(T, "label_name_preserve_multiple_underscores", BOOL,
      label_name_preserve_multiple_underscores),
};
#undef T
static void otlp_init(void *obj)
{
    ConfigOtlp *o = obj;
    o->translation_strategy = SV("UnderscoreEscapingWithSuffixes");
    o->label_name_underscore_sanitization = true;
    o->label_name_preserve_multiple_underscores = true;
}
static const Type type_otlp = { "config.plain", sizeof(ConfigOtlp), FIELDS(otlp_fields), otlp_init,
                                check_otlp };

#define T Config
static const Field config_fields[] = {
    { "global", FIELD_STRUCT, true, offsetof(T, global), &type_global },
    SUB(T, "runtime", STRUCT, runtime, type_runtime),
    SUB(T, "alerting", STRUCT, alerting, type_alerting),
    F(T, "rule_files", TEXTS, rule_files),
    F(T, "scrape_config_files", TEXTS, scrape_config_files),
    SUB(T, "scrape_configs", LIST, scrape, type_scrape),
    SUB(T, "storage", STRUCT, storage, type_storage),
    SUB(T, "tracing", POINTER, tracing, type_tracing),
    SUB(T, "remote_write", LIST, remote_write, type_remote_write),
    SUB(T, "remote_read", LIST, remote_read, type_remote_read),
    SUB(T, "otlp", STRUCT, otlp, type_otlp),
};
#undef T
const Type type_config = { "config.plain", sizeof(Config), FIELDS(config_fields), NULL, NULL };
