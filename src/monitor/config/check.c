/* check.c - what Prometheus refuses in a section beyond the types of its keys: scrape and global
 * keys, HTTP keys, discovery. The sentences are those that its users know. */
#include "monitor/config/types.h"
#include "monitor/model/number.h"

static bool one_of(StrView s, const char *const *names)
{
    for (; *names; names++)
        if (sv_eq(s, sv_cstr(*names)))
            return true;
    return false;
}

int compile_rules(Binder *b, ConfigRules *rules, bool legacy, const Value *v, const char *key)
{
    const Value *list = value_get(v, sv_cstr(key));
    BindFrame f = { .up = b->frame, .key = sv_cstr(key) };
    Err why = { 0 };

    for (unsigned i = 0; i < rules->len; i++) {
        BindFrame item = { .up = &f, .index = i, .is_item = true };
        rules->items[i].legacy_names = legacy;
        if (relabel_rule_compile(&rules->items[i], b->arena, &why) < 0) {
            b->frame = &item;
            return bind_fail(b, value_at(list, i), "%s", why.msg);
        }
    }
    return 0;
}

/* ---- HTTP ---- */

int check_tls(Binder *b, void *obj, const Value *v)
{
    static const char *const versions[] = { "", "TLS10", "TLS11", "TLS12", "TLS13", NULL };
    const FetchTls *t = obj;
    bool cert = t->cert.len || t->cert_file.len, key = t->key.len || t->key_file.len;

    if (t->ca.len && t->ca_file.len)
        return bind_fail(b, v, "at most one of ca, ca_file & ca_ref must be configured");
    if (t->cert.len && t->cert_file.len)
        return bind_fail(b, v, "at most one of cert, cert_file & cert_ref must be configured");
    if (t->key.len && t->key_file.len)
        return bind_fail(b, v, "at most one of key and key_file must be configured");
    if (cert && !key)
        return bind_fail(b, v,
                         "exactly one of key or key_file must be configured when a client "
                         "certificate is configured");
    if (key && !cert)
        return bind_fail(b, v,
                         "exactly one of cert or cert_file must be configured when a client key is "
                         "configured");
    if (!one_of(t->min_version, versions))
        return bind_fail_key(b, v, "min_version", "unknown TLS version: %.*s",
                             SV_FMT(t->min_version));
    if (!one_of(t->max_version, versions))
        return bind_fail_key(b, v, "max_version", "unknown TLS version: %.*s",
                             SV_FMT(t->max_version));
    return 0;
}

static int check_oauth2(Binder *b, const FetchOauth2 *o, const Value *v)
{
    if (sv_empty(o->client_id))
        return bind_fail_key(b, v, "oauth2", "oauth2 client_id must be configured");
    if (o->client_secret.len && o->client_secret_file.len)
        return bind_fail_key(
            b, v, "oauth2",
            "at most one of oauth2 client_secret & client_secret_file must be configured");
    if (sv_empty(o->client_secret) && sv_empty(o->client_secret_file))
        return bind_fail_key(
            b, v, "oauth2", "either oauth2 client_secret or client_secret_file must be configured");
    if (sv_empty(o->token_url))
        return bind_fail_key(b, v, "oauth2", "oauth2 token_url must be configured");
    return 0;
}

static int check_proxy(Binder *b, const FetchProxy *p, const Value *v)
{
    if (p->from_environment && p->url.len)
        return bind_fail_key(
            b, v, "proxy_url",
            "if proxy_from_environment is configured, proxy_url must not be configured");
    if (p->from_environment && p->no_proxy.len)
        return bind_fail_key(
            b, v, "no_proxy",
            "if proxy_from_environment is configured, no_proxy must not be configured");
    if (p->no_proxy.len && sv_empty(p->url))
        return bind_fail_key(b, v, "no_proxy",
                             "if no_proxy is configured, proxy_url must also be configured");
    if (p->connect_header.len && !p->from_environment && sv_empty(p->url))
        return bind_fail_key(b, v, "proxy_connect_header",
                             "if proxy_connect_header is configured, proxy_url or "
                             "proxy_from_environment must also be configured");
    return 0;
}

bool header_is_reserved(StrView name)
{
    static const char *const reserved[] = {
        "host",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "accept-encoding",
        "x-prometheus-remote-write-version",
        "x-prometheus-remote-read-version",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(reserved); i++)
        if (sv_eq_nocase(name, sv_cstr(reserved[i])))
            return true;
    return false;
}

static int check_headers(Binder *b, const FetchExtraHeaders *h, const Value *v)
{
    for (unsigned i = 0; i < h->len; i++) {
        StrView name = h->items[i].name;
        if (header_is_reserved(name) || sv_eq_nocase(name, SV("authorization")) ||
            sv_eq_nocase(name, SV("x-prometheus-scrape-timeout-seconds")))
            return bind_fail_key(b, v, "http_headers", "setting header \"%.*s\" is not allowed",
                                 SV_FMT(name));
    }
    return 0;
}

/* bearer_token and bearer_token_file are the old spelling of authorization. */
static int move_bearer(Binder *b, FetchOptions *h)
{
    if (sv_empty(h->bearer_token) && sv_empty(h->bearer_token_file))
        return 0;
    if (!(h->authorization = arena_new(b->arena, FetchAuthorization)))
        return err_nomem(b->err);
    *h->authorization = (FetchAuthorization){ SV("Bearer"), h->bearer_token, h->bearer_token_file };
    h->bearer_token = h->bearer_token_file = (StrView){ 0 };
    return 0;
}

int config_check_http(Binder *b, FetchOptions *h, const Value *v)
{
    bool bearer = h->bearer_token.len || h->bearer_token_file.len;
    FetchAuthorization *a = h->authorization;
    int r;

    if (h->bearer_token.len && h->bearer_token_file.len)
        return bind_fail(b, v,
                         "at most one of bearer_token & bearer_token_file must be configured");
    if (!!h->basic_auth + !!h->oauth2 + bearer > 1)
        return bind_fail(b, v,
                         "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must "
                         "be configured");
    if (h->basic_auth && h->basic_auth->username.len && h->basic_auth->username_file.len)
        return bind_fail_key(
            b, v, "basic_auth",
            "at most one of basic_auth username, username_file & username_ref must be configured");
    if (h->basic_auth && h->basic_auth->password.len && h->basic_auth->password_file.len)
        return bind_fail_key(
            b, v, "basic_auth",
            "at most one of basic_auth password, password_file & password_ref must be configured");
    if (a && bearer)
        return bind_fail_key(b, v, "authorization",
                             "authorization is not compatible with bearer_token & "
                             "bearer_token_file");
    if (a && a->credentials.len && a->credentials_file.len)
        return bind_fail_key(
            b, v, "authorization",
            "at most one of authorization credentials & credentials_file must be configured");
    if (a && sv_eq_nocase(sv_trim(a->type), SV("basic")))
        return bind_fail_key(
            b, v, "authorization",
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead");
    if (!!h->basic_auth + !!h->oauth2 + !!a > 1)
        return bind_fail(b, v,
                         "at most one of basic_auth, oauth2 & authorization must be configured");
    if (a && sv_empty(sv_trim(a->type)))
        a->type = SV("Bearer");
    if ((h->oauth2 && (r = check_oauth2(b, h->oauth2, v)) < 0) ||
        (r = check_proxy(b, &h->proxy, v)) < 0 || (r = check_headers(b, &h->headers, v)) < 0)
        return r;
    return move_bearer(b, h);
}

/* ---- discovery ---- */

/* One '*' only, in the last part of the path, and a known ending. */
static bool file_pattern_is_valid(StrView s)
{
    static const char *const endings[] = { ".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML" };
    ssize_t star = sv_find_char(s, '*');
    StrView rest = star < 0 ? SV("") : sv_skip(s, (size_t)star + 1);

    if (sv_find_char(rest, '/') >= 0)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(endings); i++)
        if (sv_ends(s, sv_cstr(endings[i])))
            return true;
    return false;
}

int check_file_sd(Binder *b, void *obj, const Value *v)
{
    const ConfigFileSd *f = obj;
    if (!f->files.len)
        return bind_fail(b, v, "file service discovery config must contain at least one path name");
    for (unsigned i = 0; i < f->files.len; i++)
        if (!file_pattern_is_valid(f->files.items[i]))
            return bind_fail_key(b, v, "files",
                                 "path name \"%.*s\" is not valid for file discovery",
                                 SV_FMT(f->files.items[i]));
    return 0;
}

int check_http_sd(Binder *b, void *obj, const Value *v)
{
    ConfigHttpSd *h = obj;
    StrView rest = h->url;
    if (sv_empty(h->url))
        return bind_fail(b, v, "URL is missing");
    if (sv_starts(h->url, SV("http://")))
        rest = sv_skip(rest, 7);
    else if (sv_starts(h->url, SV("https://")))
        rest = sv_skip(rest, 8);
    else
        return bind_fail_key(b, v, "url", "URL scheme must be 'http' or 'https'");
    if (sv_empty(rest) || rest.ptr[0] == '/')
        return bind_fail_key(b, v, "url", "host is missing in URL");
    return config_check_http(b, &h->http, v);
}

int check_dns_sd(Binder *b, void *obj, const Value *v)
{
    static const char *const types[] = { "SRV", "A", "AAAA", "MX", "NS" };
    ConfigDnsSd *d = obj;
    StrView given = d->type;
    bool known = false;

    if (!d->names.len)
        return bind_fail(b, v, "DNS-SD config must contain at least one DNS record name");
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        if (sv_eq_nocase(given, sv_cstr(types[i]))) {
            d->type = sv_cstr(types[i]);
            known = true;
        }
    }
    if (!known)
        return bind_fail_key(b, v, "type", "invalid DNS-SD records type %.*s", SV_FMT(given));
    if (d->port == 0 && !sv_eq(d->type, SV("SRV")))
        return bind_fail(b, v,
                         "a port is required in DNS-SD configs for all record types except SRV");
    if (d->port > 65535)
        return bind_fail_key(b, v, "port", "a port is at most 65535");
    return 0;
}

/* Which roles a role may select by, in Prometheus' order. */
static const struct {
    const char *role;
    const char *allowed[5];
} k8s_roles[] = {
    { "pod", { "pod", "node" } },
    { "service", { "service" } },
    { "endpoints", { "endpoints", "pod", "service" } },
    { "endpointslice", { "endpointslice", "pod", "service" } },
    { "node", { "node" } },
    { "ingress", { "ingress" } },
};

static int check_selectors(Binder *b, const ConfigKubernetesSd *k, const char *const *allowed,
                           const Value *v)
{
    for (unsigned i = 0; i < k->selectors.len; i++) {
        const ConfigKubernetesSelector *s = &k->selectors.items[i];
        for (unsigned j = 0; j < i; j++)
            if (sv_eq(k->selectors.items[j].role, s->role))
                return bind_fail_key(b, v, "selectors", "duplicated selector role: %.*s",
                                     SV_FMT(s->role));
        if (!one_of(s->role, allowed))
            return bind_fail_key(b, v, "selectors",
                                 "%.*s role does not support selector of role %.*s",
                                 SV_FMT(k->role), SV_FMT(s->role));
        StrView rest = s->field, term;
        while (sv_next(&rest, ',', &term))
            if (sv_find_char(term, '=') < 1)
                return bind_fail_key(b, v, "selectors",
                                     "invalid selector: '%.*s'; can't understand '%.*s'",
                                     SV_FMT(s->field), SV_FMT(term));
    }
    return 0;
}

int check_k8s_sd(Binder *b, void *obj, const Value *v)
{
    ConfigKubernetesSd *k = obj;
    const char *const *allowed = NULL;
    static const char roles[] = "pod, service, endpoints, endpointslice, node or ingress";

    if (sv_empty(k->role))
        return bind_fail(b, v, "role missing (one of: %s)", roles);
    for (unsigned i = 0; i < ARRAY_SIZE(k8s_roles); i++)
        if (sv_eq(k->role, sv_cstr(k8s_roles[i].role)))
            allowed = k8s_roles[i].allowed;
    if (!allowed)
        return bind_fail_key(b, v, "role", "unknown Kubernetes SD role \"%.*s\"", SV_FMT(k->role));
    int r = config_check_http(b, &k->http, v);
    if (r < 0)
        return r;
    if (k->api_server.len && k->kubeconfig_file.len)
        return bind_fail(b, v, "cannot use 'kubeconfig_file' and 'api_server' simultaneously");
    bool custom = k->http.basic_auth || k->http.authorization || k->http.oauth2 ||
                  k->http.tls.ca.len || k->http.tls.ca_file.len || k->http.tls.cert_file.len ||
                  k->http.tls.insecure_skip_verify || k->http.proxy.url.len;
    if (k->kubeconfig_file.len && custom)
        return bind_fail(b, v,
                         "cannot use a custom HTTP client configuration together with "
                         "'kubeconfig_file'");
    if (sv_empty(k->api_server) && sv_empty(k->kubeconfig_file) && custom)
        return bind_fail(b, v,
                         "to use custom HTTP client configuration please provide the 'api_server' "
                         "URL explicitly");
    if (k->api_server.len && k->namespaces.own_namespace)
        return bind_fail(b, v,
                         "cannot use 'api_server' and 'namespaces.own_namespace' "
                         "simultaneously");
    if (k->kubeconfig_file.len && k->namespaces.own_namespace)
        return bind_fail(b, v,
                         "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' "
                         "simultaneously");
    return check_selectors(b, k, allowed, v);
}

/* ---- global and scrape_configs ---- */

static int check_protocols(Binder *b, const StrList *p, const Value *v)
{
    static const char *const known[] = { "OpenMetricsText0.0.1", "OpenMetricsText1.0.0",
                                         "PrometheusProto",      "PrometheusText0.0.4",
                                         "PrometheusText1.0.0",  NULL };
    for (unsigned i = 0; i < p->len; i++) {
        if (!one_of(p->items[i], known))
            return bind_fail_key(b, v, "scrape_protocols",
                                 "unknown scrape protocol %.*s, supported: [OpenMetricsText0.0.1 "
                                 "OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 "
                                 "PrometheusText1.0.0]",
                                 SV_FMT(p->items[i]));
        for (unsigned j = 0; j < i; j++)
            if (sv_eq_nocase(p->items[i], p->items[j]))
                return bind_fail_key(b, v, "scrape_protocols",
                                     "duplicated protocol in scrape_protocols: %.*s",
                                     SV_FMT(p->items[i]));
    }
    if (value_is(value_get(v, SV("scrape_protocols")), VALUE_LIST) && !p->len)
        return bind_fail_key(b, v, "scrape_protocols", "scrape_protocols cannot be empty");
    return 0;
}

static int check_schemes(Binder *b, StrView validation, StrView escaping, const Value *v)
{
    static const char *const validations[] = { "", "legacy", "utf8", NULL };
    static const char *const escapings[] = { "",     "allow-utf-8", "underscores",
                                             "dots", "values",      NULL };
    if (!one_of(validation, validations))
        return bind_fail_key(b, v, "metric_name_validation_scheme",
                             "unknown name validation method specified, must be either '', "
                             "'legacy' or 'utf8', got %.*s",
                             SV_FMT(validation));
    if (!one_of(escaping, escapings))
        return bind_fail_key(b, v, "metric_name_escaping_scheme",
                             "unknown name escaping method specified, must be one of "
                             "'allow-utf-8', 'underscores', 'dots', or 'values', got \"%.*s\"",
                             SV_FMT(escaping));
    return 0;
}

int check_global(Binder *b, void *obj, const Value *v)
{
    ConfigGlobal *g = obj;
    int r = check_schemes(b, g->metric_name_validation_scheme, g->metric_name_escaping_scheme, v);

    if (r < 0 || (r = check_protocols(b, &g->scrape_protocols, v)) < 0)
        return r;
    if (sv_empty(g->metric_name_validation_scheme))
        g->metric_name_validation_scheme = SV("utf8");
    bool legacy = sv_eq(g->metric_name_validation_scheme, SV("legacy"));
    for (unsigned i = 0; i < g->external_labels.len; i++) {
        StrView name = g->external_labels.items[i].name;
        if (legacy ? !label_name_is_legacy(name) : sv_empty(name) || !sv_is_utf8(name))
            return bind_fail_key(b, v, "external_labels", "\"%.*s\" is not a valid label name",
                                 SV_FMT(name));
    }
    if (!g->scrape_interval)
        g->scrape_interval = 60 * 1000;
    if (g->scrape_timeout > g->scrape_interval)
        return bind_fail_key(b, v, "scrape_timeout",
                             "global scrape timeout greater than scrape interval");
    if (!g->scrape_timeout)
        g->scrape_timeout = MIN(INT64_C(10000), g->scrape_interval);
    if (!g->evaluation_interval)
        g->evaluation_interval = 60 * 1000;
    return 0;
}

/* Addresses are host:port; a URL there is a mistake that relabelling could only mend on purpose. */
static int check_static_targets(Binder *b, const ConfigDiscovery *sd, const Value *v)
{
    for (unsigned i = 0; i < sd->statics.len; i++) {
        const StrList *t = &sd->statics.items[i].targets;
        for (unsigned j = 0; j < t->len; j++)
            if (sv_find_char(t->items[j], '/') >= 0)
                return bind_fail_key(b, v, "static_configs", "\"%.*s\" is not a valid hostname",
                                     SV_FMT(t->items[j]));
    }
    return 0;
}

int check_scrape(Binder *b, void *obj, const Value *v)
{
    ConfigScrape *s = obj;
    int r;
    if (sv_empty(s->job_name))
        return bind_fail(b, v, "job_name is empty");
    if ((r = config_check_http(b, &s->http, v)) < 0)
        return r;
    if (!s->relabel.len && (r = check_static_targets(b, &s->sd, v)) < 0)
        return r;
    if ((r = check_protocols(b, &s->scrape_protocols, v)) < 0)
        return r;
    StrList fallback = { &s->fallback_scrape_protocol, s->fallback_scrape_protocol.len ? 1 : 0 };
    if (check_protocols(b, &fallback, NULL) < 0)
        return bind_fail_key(
            b, v, "fallback_scrape_protocol",
            "invalid fallback_scrape_protocol for scrape config with job name \"%.*s\"",
            SV_FMT(s->job_name));
    return check_schemes(b, s->metric_name_validation_scheme, s->metric_name_escaping_scheme, v);
}

static uint64_t inherit(uint64_t own, uint64_t global)
{
    return own ? own : global;
}

static void inherit_limits(ConfigLimits *s, const ConfigLimits *g)
{
    s->body_size = inherit(s->body_size, g->body_size);
    s->samples = inherit(s->samples, g->samples);
    s->targets = inherit(s->targets, g->targets);
    s->labels = inherit(s->labels, g->labels);
    s->label_name_length = inherit(s->label_name_length, g->label_name_length);
    s->label_value_length = inherit(s->label_value_length, g->label_value_length);
    s->keep_dropped_targets = inherit(s->keep_dropped_targets, g->keep_dropped_targets);
}

static void inherit_protocols(ConfigScrape *s, const ConfigGlobal *g)
{
    static const StrView all[] = { SV_INIT("PrometheusProto"), SV_INIT("OpenMetricsText1.0.0"),
                                   SV_INIT("OpenMetricsText0.0.1"), SV_INIT("PrometheusText1.0.0"),
                                   SV_INIT("PrometheusText0.0.4") };
    StrView *with_proto = (StrView *)all; /* a list that is only read */
    if (s->scrape_protocols.len)
        return;
    if (g->scrape_protocols.len)
        s->scrape_protocols = g->scrape_protocols;
    else if (s->scrape_native_histograms)
        s->scrape_protocols = (StrList){ with_proto, ARRAY_SIZE(all) };
    else
        s->scrape_protocols = (StrList){ with_proto + 1, ARRAY_SIZE(all) - 1 };
}

static int inherit_schemes(Binder *b, ConfigScrape *s, const ConfigGlobal *g, const Value *v)
{
    bool unset = sv_empty(s->metric_name_validation_scheme);
    StrView global = g->metric_name_escaping_scheme;

    if (sv_empty(global))
        global = sv_eq(g->metric_name_validation_scheme, SV("legacy")) ? SV("underscores")
                                                                       : SV("allow-utf-8");
    if (unset)
        s->metric_name_validation_scheme = g->metric_name_validation_scheme;
    bool legacy = sv_eq(s->metric_name_validation_scheme, SV("legacy"));
    if (sv_empty(s->metric_name_escaping_scheme))
        s->metric_name_escaping_scheme = unset    ? global
                                         : legacy ? SV("underscores")
                                                  : SV("allow-utf-8");
    if (legacy && sv_eq(s->metric_name_escaping_scheme, SV("allow-utf-8")))
        return bind_fail(b, v,
                         "utf8 metric names requested but validation scheme is not set to UTF8");
    return 0;
}

int config_finish_scrape(Binder *b, const ConfigGlobal *g, ConfigScrape *s, const Value *v)
{
    int r;
    if (!s->scrape_interval)
        s->scrape_interval = g->scrape_interval;
    if (s->scrape_timeout > s->scrape_interval)
        return bind_fail_key(b, v, "scrape_timeout",
                             "scrape timeout greater than scrape interval for scrape config with "
                             "job name \"%.*s\"",
                             SV_FMT(s->job_name));
    if (!s->scrape_timeout)
        s->scrape_timeout = MIN(g->scrape_timeout, s->scrape_interval);
    inherit_limits(&s->limits, &g->limits);
    if (sv_empty(s->scrape_failure_log_file))
        s->scrape_failure_log_file = g->scrape_failure_log_file;
    if (s->scrape_native_histograms == CONFIG_UNSET)
        s->scrape_native_histograms = g->scrape_native_histograms;
    if (s->extra_scrape_metrics == CONFIG_UNSET)
        s->extra_scrape_metrics = g->extra_scrape_metrics;
    if (s->convert_classic_histograms_to_nhcb == CONFIG_UNSET)
        s->convert_classic_histograms_to_nhcb = g->convert_classic_histograms_to_nhcb;
    if (s->always_scrape_classic_histograms == CONFIG_UNSET)
        s->always_scrape_classic_histograms = g->always_scrape_classic_histograms;
    inherit_protocols(s, g);
    if ((r = inherit_schemes(b, s, g, v)) < 0)
        return r;
    bool legacy = sv_eq(s->metric_name_validation_scheme, SV("legacy"));
    if ((r = compile_rules(b, &s->relabel, legacy, v, "relabel_configs")) < 0)
        return r;
    return compile_rules(b, &s->metric_relabel, legacy, v, "metric_relabel_configs");
}
