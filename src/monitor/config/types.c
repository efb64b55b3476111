/* types.c - the sections of prometheus.yml as tables, with their defaults. To add a key: a member
 * in config.h and a row here; a rule about it goes to check.c. */
#include "monitor/config/types.h"

/* ---- HTTP ---- */

#define T FetchTls
static const Field tls_fields[] = {
    F(T, "ca", TEXT, ca),
    F(T, "cert", TEXT, cert),
    F(T, "key", SECRET, key),
    F(T, "ca_file", TEXT, ca_file),
    F(T, "cert_file", TEXT, cert_file),
    F(T, "key_file", TEXT, key_file),
    F(T, "server_name", TEXT, server_name),
    KEEP(T, "insecure_skip_verify", BOOL, insecure_skip_verify),
    F(T, "min_version", TEXT, min_version),
    F(T, "max_version", TEXT, max_version),
};
#undef T
const Type type_tls = { "config.plain", sizeof(FetchTls), FIELDS(tls_fields), NULL, check_tls };

#define T FetchBasicAuth
static const Field basic_fields[] = {
    F(T, "username", TEXT, username),
    F(T, "username_file", TEXT, username_file),
    F(T, "password", SECRET, password),
    F(T, "password_file", TEXT, password_file),
};
#undef T
static const Type type_basic = { "config.BasicAuth", sizeof(FetchBasicAuth), FIELDS(basic_fields),
                                 NULL, NULL };

#define T FetchAuthorization
static const Field authorization_fields[] = {
    F(T, "type", TEXT, type),
    F(T, "credentials", SECRET, credentials),
    F(T, "credentials_file", TEXT, credentials_file),
};
#undef T
static const Type type_authorization = { "config.Authorization", sizeof(FetchAuthorization),
                                         FIELDS(authorization_fields), NULL, NULL };

#define T FetchProxy
static const Field proxy_fields[] = {
    F(T, "proxy_url", URL, url),
    F(T, "no_proxy", TEXT, no_proxy),
    F(T, "proxy_from_environment", BOOL, from_environment),
    F(T, "proxy_connect_header", SECRET_PARAMS, connect_header),
};
#undef T
static const Type type_proxy = { "config.ProxyConfig", sizeof(FetchProxy), FIELDS(proxy_fields),
                                 NULL, NULL };

#define T FetchOauth2
static const Field oauth2_fields[] = {
    F(T, "client_id", TEXT, client_id),
    F(T, "client_secret", SECRET, client_secret),
    F(T, "client_secret_file", TEXT, client_secret_file),
    F(T, "scopes", TEXTS, scopes),
    F(T, "token_url", TEXT, token_url),
    F(T, "endpoint_params", LABELS, endpoint_params),
    SUB(T, "tls_config", STRUCT, tls, type_tls),
    INLINE_(T, proxy, type_proxy),
};
#undef T
static const Type type_oauth2 = { "config.plain", sizeof(FetchOauth2), FIELDS(oauth2_fields), NULL,
                                  NULL };

#define T FetchOptions
static const Field http_fields[] = {
    SUB(T, "basic_auth", POINTER, basic_auth, type_basic),
    SUB(T, "authorization", POINTER, authorization, type_authorization),
    SUB(T, "oauth2", POINTER, oauth2, type_oauth2),
    F(T, "bearer_token", SECRET, bearer_token),
    F(T, "bearer_token_file", TEXT, bearer_token_file),
    SUB(T, "tls_config", STRUCT, tls, type_tls),
    KEEP(T, "follow_redirects", BOOL, follow_redirects),
    KEEP(T, "enable_http2", BOOL, enable_http2),
    INLINE_(T, proxy, type_proxy),
    F(T, "http_headers", HEADERS, headers),
};
#undef T

static void http_init(void *obj)
{
    FetchOptions *h = obj;
    h->follow_redirects = h->enable_http2 = true;
}

const Type type_http = { "config.plain", sizeof(FetchOptions), FIELDS(http_fields), http_init,
                         NULL };

/* ---- discovery ---- */

#define T ConfigStatic
static const Field static_fields[] = {
    KEEP(T, "targets", TEXTS, targets),
    F(T, "labels", LABELS, labels),
};
#undef T
static const Type type_static = { "targetgroup.Group", sizeof(ConfigStatic), FIELDS(static_fields),
                                  NULL, NULL };

#define T ConfigFileSd
static const Field file_sd_fields[] = {
    KEEP(T, "files", TEXTS, files),
    F(T, "refresh_interval", DURATION, refresh_interval),
};
#undef T
static void file_sd_init(void *obj)
{
    ((ConfigFileSd *)obj)->refresh_interval = 5 * 60 * 1000;
}
static const Type type_file_sd = { "file.plain", sizeof(ConfigFileSd), FIELDS(file_sd_fields),
                                   file_sd_init, check_file_sd };

#define T ConfigHttpSd
static const Field http_sd_fields[] = {
    INLINE_(T, http, type_http),
    F(T, "refresh_interval", DURATION, refresh_interval),
    KEEP(T, "url", URL, url),
};
#undef T
static void http_sd_init(void *obj)
{
    ((ConfigHttpSd *)obj)->refresh_interval = 60 * 1000;
}
static const Type type_http_sd = { "http.plain", sizeof(ConfigHttpSd), FIELDS(http_sd_fields),
                                   http_sd_init, check_http_sd };

#define T ConfigDnsSd
static const Field dns_sd_fields[] = {
    KEEP(T, "names", TEXTS, names),
    F(T, "refresh_interval", DURATION, refresh_interval),
    KEEP(T, "type", TEXT, type),
    F(T, "port", UINT, port),
};
#undef T
static void dns_sd_init(void *obj)
{
    ConfigDnsSd *d = obj;
    d->refresh_interval = 30 * 1000;
    d->type = SV("SRV");
}
static const Type type_dns_sd = { "dns.plain", sizeof(ConfigDnsSd), FIELDS(dns_sd_fields),
                                  dns_sd_init, check_dns_sd };

#define T ConfigKubernetesSelector
static const Field selector_fields[] = {
    F(T, "role", TEXT, role),
    F(T, "label", TEXT, label),
    F(T, "field", TEXT, field),
};
#undef T
static const Type type_selector = { "kubernetes.SelectorConfig", sizeof(ConfigKubernetesSelector),
                                    FIELDS(selector_fields), NULL, NULL };

#define T ConfigKubernetesSd
static const Field k8s_namespace_fields[] = {
    /* Offsets are those of the outer struct's member, so they start at 0 of `namespaces`. */
    { "own_namespace", FIELD_BOOL, true, 0, NULL },
    { "names", FIELD_TEXTS, false, offsetof(T, namespaces.names) - offsetof(T, namespaces), NULL },
};
static const Type type_k8s_namespaces = { "kubernetes.plain", sizeof(((T *)0)->namespaces),
                                          FIELDS(k8s_namespace_fields), NULL, NULL };
static const Field k8s_attach_fields[] = {
    { "node", FIELD_BOOL, false, offsetof(T, attach_metadata.node) - offsetof(T, attach_metadata),
      NULL },
    { "namespace", FIELD_BOOL, false,
      offsetof(T, attach_metadata.ns) - offsetof(T, attach_metadata), NULL },
};
static const Type type_k8s_attach = { "kubernetes.plain", sizeof(((T *)0)->attach_metadata),
                                      FIELDS(k8s_attach_fields), NULL, NULL };
static const Field k8s_fields[] = {
    F(T, "api_server", URL, api_server),
    KEEP(T, "role", TEXT, role),
    F(T, "kubeconfig_file", TEXT, kubeconfig_file),
    INLINE_(T, http, type_http),
    SUB(T, "namespaces", STRUCT, namespaces, type_k8s_namespaces),
    SUB(T, "selectors", LIST, selectors, type_selector),
    SUB(T, "attach_metadata", STRUCT, attach_metadata, type_k8s_attach),
};
#undef T
static const Type type_k8s_sd = { "kubernetes.plain", sizeof(ConfigKubernetesSd),
                                  FIELDS(k8s_fields), NULL, check_k8s_sd };

#define T ConfigDiscovery
static const Field discovery_fields[] = {
    SUB(T, "static_configs", LIST, statics, type_static),
    SUB(T, "file_sd_configs", LIST, files, type_file_sd),
    SUB(T, "http_sd_configs", LIST, https, type_http_sd),
    SUB(T, "dns_sd_configs", LIST, dns, type_dns_sd),
    SUB(T, "kubernetes_sd_configs", LIST, kubernetes, type_k8s_sd),
};
#undef T
const Type type_discovery = { "discovery.Configs", sizeof(ConfigDiscovery),
                              FIELDS(discovery_fields), NULL, NULL };

/* ---- relabelling ---- */

_Static_assert(offsetof(RelabelRule, source_labels) == 0 &&
                   offsetof(RelabelRule, n_source_labels) == offsetof(StrList, len),
               "a rule begins with its list of source labels");

#define T RelabelRule
static const Field rule_fields[] = {
    { "source_labels", FIELD_TEXTS, false, 0, NULL },
    KEEP(T, "separator", TEXT, separator),
    F(T, "regex", TEXT, regex),
    F(T, "modulus", UINT, modulus),
    F(T, "target_label", TEXT, target_label),
    KEEP(T, "replacement", TEXT, replacement),
    KEEP(T, "action", ACTION, action),
};
#undef T
static void rule_init(void *obj)
{
    *(RelabelRule *)obj = relabel_rule_default();
}
const Type type_rule = { "relabel.plain", sizeof(RelabelRule), FIELDS(rule_fields), rule_init,
                         NULL };

/* ---- global and scrape_configs ---- */

#define T ConfigLimits
static const Field limit_fields[] = {
    F(T, "body_size_limit", SIZE, body_size),
    F(T, "sample_limit", UINT, samples),
    F(T, "target_limit", UINT, targets),
    F(T, "label_limit", UINT, labels),
    F(T, "label_name_length_limit", UINT, label_name_length),
    F(T, "label_value_length_limit", UINT, label_value_length),
    F(T, "keep_dropped_targets", UINT, keep_dropped_targets),
};
#undef T
static const Type type_limits = { "config.plain", sizeof(ConfigLimits), FIELDS(limit_fields), NULL,
                                  NULL };

#define T ConfigGlobal
static const Field global_fields[] = {
    F(T, "scrape_interval", DURATION, scrape_interval),
    F(T, "scrape_timeout", DURATION, scrape_timeout),
    F(T, "scrape_protocols", TEXTS, scrape_protocols),
    F(T, "evaluation_interval", DURATION, evaluation_interval),
    F(T, "rule_query_offset", DURATION, rule_query_offset),
    F(T, "query_log_file", TEXT, query_log_file),
    F(T, "scrape_failure_log_file", TEXT, scrape_failure_log_file),
    F(T, "external_labels", LABELS, external_labels),
    INLINE_(T, limits, type_limits),
    F(T, "metric_name_validation_scheme", TEXT, metric_name_validation_scheme),
    F(T, "metric_name_escaping_scheme", TEXT, metric_name_escaping_scheme),
    F(T, "scrape_native_histograms", TRI, scrape_native_histograms),
    F(T, "convert_classic_histograms_to_nhcb", BOOL, convert_classic_histograms_to_nhcb),
    F(T, "always_scrape_classic_histograms", BOOL, always_scrape_classic_histograms),
    F(T, "extra_scrape_metrics", TRI, extra_scrape_metrics),
};
#undef T
const Type type_global = { "config.plain", sizeof(ConfigGlobal), FIELDS(global_fields), NULL,
                           check_global };

#define T ConfigScrape
static const Field scrape_fields[] = {
    KEEP(T, "job_name", TEXT, job_name),
    F(T, "honor_labels", BOOL, honor_labels),
    KEEP(T, "honor_timestamps", BOOL, honor_timestamps),
    KEEP(T, "track_timestamps_staleness", BOOL, track_timestamps_staleness),
    F(T, "params", PARAMS, params),
    F(T, "scrape_interval", DURATION, scrape_interval),
    F(T, "scrape_timeout", DURATION, scrape_timeout),
    F(T, "scrape_protocols", TEXTS, scrape_protocols),
    F(T, "fallback_scrape_protocol", TEXT, fallback_scrape_protocol),
    F(T, "scrape_native_histograms", TRI, scrape_native_histograms),
    F(T, "always_scrape_classic_histograms", TRI, always_scrape_classic_histograms),
    F(T, "convert_classic_histograms_to_nhcb", TRI, convert_classic_histograms_to_nhcb),
    F(T, "scrape_failure_log_file", TEXT, scrape_failure_log_file),
    F(T, "metrics_path", TEXT, metrics_path),
    F(T, "scheme", TEXT, scheme),
    KEEP(T, "enable_compression", BOOL, enable_compression),
    INLINE_(T, limits, type_limits),
    F(T, "native_histogram_bucket_limit", UINT, native_histogram_bucket_limit),
    F(T, "native_histogram_min_bucket_factor", DOUBLE, native_histogram_min_bucket_factor),
    F(T, "metric_name_validation_scheme", TEXT, metric_name_validation_scheme),
    F(T, "metric_name_escaping_scheme", TEXT, metric_name_escaping_scheme),
    F(T, "extra_scrape_metrics", TRI, extra_scrape_metrics),
    INLINE_(T, http, type_http),
    SUB(T, "relabel_configs", LIST, relabel, type_rule),
    SUB(T, "metric_relabel_configs", LIST, metric_relabel, type_rule),
    INLINE_(T, sd, type_discovery),
};
#undef T
static void scrape_init(void *obj)
{
    ConfigScrape *s = obj;
    s->metrics_path = SV("/metrics");
    s->scheme = SV("http");
    s->honor_timestamps = s->enable_compression = true;
}
const Type type_scrape = { "config.plain", sizeof(ConfigScrape), FIELDS(scrape_fields), scrape_init,
                           check_scrape };

static const Field scrape_files_fields[] = {
    { "scrape_configs", FIELD_LIST, false, offsetof(ScrapeFile, scrape), &type_scrape },
};
const Type type_scrape_files = { "config.ScrapeConfigs", sizeof(ScrapeFile),
                                 FIELDS(scrape_files_fields), NULL, NULL };
