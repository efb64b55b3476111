/* check_top.c - what Prometheus refuses in the other sections, and across sections. */
#include "monitor/config/types.h"

int check_alertmanager(Binder *b, void *obj, const Value *v)
{
    ConfigAlertmanager *a = obj;
    int r = config_check_http(b, &a->http, v);
    if (r < 0)
        return r;
    if (a->http.sigv4 && (a->http.basic_auth || a->http.authorization || a->http.oauth2))
        return bind_fail_key(
            b, v, "sigv4",
            "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured");
    if (!sv_eq(a->api_version, SV("v2")))
        return bind_fail_key(b, v, "api_version",
                             "expected Alertmanager api version to be one of [v2] but got %.*s",
                             SV_FMT(a->api_version));
    for (unsigned i = 0; !a->relabel.len && i < a->sd.statics.len; i++)
        for (unsigned j = 0; j < a->sd.statics.items[i].targets.len; j++) {
            StrView t = a->sd.statics.items[i].targets.items[j];
            if (sv_find_char(t, '/') >= 0)
                return bind_fail_key(b, v, "static_configs", "\"%.*s\" is not a valid hostname",
                                     SV_FMT(t));
        }
    return 0;
}

static int check_headers(Binder *b, Labels headers, bool tracing, const Value *v)
{
    for (unsigned i = 0; i < headers.len; i++) {
        StrView name = headers.items[i].name;
        if (sv_eq_nocase(name, SV("authorization")))
            return bind_fail_key(
                b, v, "headers", "%s",
                tracing ? "custom authorization header configuration is not yet supported"
                        : "authorization header must be changed via the basic_auth, "
                          "authorization, oauth2, sigv4, azuread or google_iam parameter");
        if (header_is_reserved(name))
            return bind_fail_key(b, v, "headers",
                                 "%.*s is a reserved header. It must not be changed", SV_FMT(name));
    }
    return 0;
}

static int check_queue(Binder *b, const ConfigRemoteWrite *w, const Value *v)
{
    const char *why = NULL;
    if (w->queue.max_shards <= 0)
        why = "max_shards must be positive";
    else if (w->queue.min_shards <= 0)
        why = "min_shards must be positive";
    else if (w->queue.min_shards > w->queue.max_shards)
        why = "min_shards must not be greater than max_shards";
    else if (w->queue.max_samples_per_send <= 0)
        why = "max_samples_per_send must be positive";
    else if (w->queue.capacity <= 0)
        why = "capacity must be positive";
    else if (w->queue.max_backoff < w->queue.min_backoff)
        why = "max_backoff must not be less than min_backoff";
    return why ? bind_fail_key(b, v, "queue_config", "remote write queue %s", why) : 0;
}

static int check_auth(Binder *b, const FetchOptions *h, const Value *v)
{
    const struct {
        const char *name;
        bool is_set;
    } ways[] = {
        { "basic_auth", h->basic_auth != NULL }, { "authorization", h->authorization != NULL },
        { "oauth2", h->oauth2 != NULL },         { "sigv4", h->sigv4 != NULL },
        { "azuread", h->azuread != NULL },       { "google_iam", h->google_iam != NULL },
    };
    _cleanup_buf_ Buf set = BUF_INIT;
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        if (ways[i].is_set)
            buf_printf(&set, "%s%s", n++ ? " " : "", ways[i].name);
    if (n < 2)
        return 0;
    return bind_fail(b, v,
                     "at most one of basic_auth, authorization, oauth2, sigv4, azuread or "
                     "google_iam must be configured. Currently configured: [%.*s]",
                     SV_FMT(buf_view(&set)));
}

int check_remote_write(Binder *b, void *obj, const Value *v)
{
    ConfigRemoteWrite *w = obj;
    int r;
    if (sv_empty(w->url))
        return bind_fail(b, v, "url for remote_write is empty");
    if ((r = check_headers(b, w->headers, false, v)) < 0)
        return r;
    if (!sv_eq(w->protobuf_message, SV("prometheus.WriteRequest")) &&
        !sv_eq(w->protobuf_message, SV("io.prometheus.write.v2.Request")))
        return bind_fail_key(
            b, v, "protobuf_message",
            "invalid protobuf_message value: unknown type for remote write protobuf message "
            "%.*s, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
            SV_FMT(w->protobuf_message));
    if ((r = config_check_http(b, &w->http, v)) < 0 || (r = check_auth(b, &w->http, v)) < 0)
        return r;
    return check_queue(b, w, v);
}

int check_remote_read(Binder *b, void *obj, const Value *v)
{
    ConfigRemoteRead *rr = obj;
    int r;
    if (sv_empty(rr->url))
        return bind_fail(b, v, "url for remote_read is empty");
    if ((r = check_headers(b, rr->headers, false, v)) < 0)
        return r;
    return config_check_http(b, &rr->http, v);
}

int check_tsdb(Binder *b, void *obj, const Value *v)
{
    const ConfigTsdb *t = obj;
    StrView floats = t->chunk_encoding.floats;
    if (floats.len && !sv_eq(floats, SV("xor")) && !sv_eq(floats, SV("xor2")))
        return bind_fail_key(b, v, "chunk_encoding",
                             "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the "
                             "field must be omitted entirely, got \"%.*s\"",
                             SV_FMT(floats));
    if (t->retention.percentage < 0 || t->retention.percentage > 100)
        return bind_fail_key(b, v, "retention",
                             "'storage.tsdb.retention.percentage' must be in the range [0, 100]");
    return 0;
}

int check_tracing(Binder *b, void *obj, const Value *v)
{
    const ConfigTracing *t = obj;
    int r = check_headers(b, t->headers, true, v);
    if (r < 0)
        return r;
    if (!sv_eq(t->client_type, SV("http")) && !sv_eq(t->client_type, SV("grpc")))
        return bind_fail_key(b, v, "client_type",
                             "expected tracing client type to be to be http or grpc, but got %.*s",
                             SV_FMT(t->client_type));
    if (sv_empty(t->endpoint))
        return bind_fail(b, v, "tracing endpoint must be set");
    if (t->compression.len && !sv_eq(t->compression, SV("gzip")))
        return bind_fail_key(b, v, "compression",
                             "invalid compression type %.*s provided, valid options: gzip",
                             SV_FMT(t->compression));
    return 0;
}

static int check_attributes(Binder *b, const StrList *list, const char *key, const char *adjective,
                            const Value *v)
{
    for (unsigned i = 0; i < list->len; i++) {
        list->items[i] = sv_trim(list->items[i]);
        if (sv_empty(list->items[i]))
            return bind_fail_key(b, v, key, "invalid '%s': empty %s OTel resource attribute", key,
                                 adjective);
        for (unsigned j = 0; j < i; j++)
            if (sv_eq(list->items[i], list->items[j]))
                return bind_fail_key(b, v, key,
                                     "invalid '%s': duplicated %s OTel resource attribute "
                                     "\"%.*s\"",
                                     key, adjective, SV_FMT(list->items[i]));
    }
    return 0;
}

int check_otlp(Binder *b, void *obj, const Value *v)
{
    static const char *const strategies[] = { "UnderscoreEscapingWithSuffixes",
                                              "UnderscoreEscapingWithoutSuffixes", "NoTranslation",
                                              "NoUTF8EscapingWithSuffixes" };
    ConfigOtlp *o = obj;
    bool known = sv_empty(o->translation_strategy);

    for (unsigned i = 0; i < ARRAY_SIZE(strategies); i++)
        known |= sv_eq(o->translation_strategy, sv_cstr(strategies[i]));
    if (!known)
        return bind_fail_key(b, v, "translation_strategy",
                             "unsupported OTLP translation strategy \"%.*s\"",
                             SV_FMT(o->translation_strategy));
    if (o->promote_all_resource_attributes && o->promote_resource_attributes.len)
        return bind_fail(b, v,
                         "'promote_all_resource_attributes' and 'promote_resource_attributes' "
                         "cannot be configured simultaneously");
    if (!o->promote_all_resource_attributes && o->ignore_resource_attributes.len)
        return bind_fail(b, v,
                         "'ignore_resource_attributes' cannot be configured unless "
                         "'promote_all_resource_attributes' is true");
    if (o->promote_all_resource_attributes)
        return check_attributes(b, &o->ignore_resource_attributes, "ignore_resource_attributes",
                                "ignored", v);
    return check_attributes(b, &o->promote_resource_attributes, "promote_resource_attributes",
                            "promoted", v);
}

/* ---- the file as a whole ---- */

/* A '*' only in the last part of the path. */
static bool path_pattern_is_valid(StrView s)
{
    ssize_t star = sv_find_char(s, '*');
    return star < 0 || sv_find_char(sv_skip(s, (size_t)star), '/') < 0;
}

static int check_patterns(Binder *b, const StrList *list, const char *key, const char *what,
                          const Value *doc)
{
    for (unsigned i = 0; i < list->len; i++)
        if (!path_pattern_is_valid(list->items[i]))
            return bind_fail_key(b, doc, key, "invalid %s file path \"%.*s\"", what,
                                 SV_FMT(list->items[i]));
    return 0;
}

static StrView name_at(const void *items, unsigned i, size_t size, size_t name)
{
    StrView s;
    memcpy(&s, (const char *)items + i * size + name, sizeof s);
    return s;
}

/* Two items of a list with one name; `name` is where it stands in an item. */
static int check_names(Binder *b, const void *items, unsigned n, size_t size, size_t name,
                       const char *key, const char *what, const Value *doc)
{
    for (unsigned i = 0; i < n; i++) {
        StrView mine = name_at(items, i, size, name);
        for (unsigned j = 0; mine.len && j < i; j++)
            if (sv_eq(mine, name_at(items, j, size, name)))
                return bind_fail(b, value_at(value_get(doc, sv_cstr(key)), i),
                                 "found multiple %s configs with job name \"%.*s\"", what,
                                 SV_FMT(mine));
    }
    return 0;
}

/* compile_rules() for item `i` of the list `key`, with its place in errors. */
static int compile_item(Binder *b, ConfigRules *rules, bool legacy, const Value *list,
                        const char *list_key, unsigned i, const char *key)
{
    BindFrame f = { .up = b->frame, .key = sv_cstr(list_key) };
    BindFrame item = { .up = &f, .index = i, .is_item = true };
    b->frame = &item;
    int r = compile_rules(b, rules, legacy, value_at(list, i), key);
    if (r >= 0)
        b->frame = f.up;
    return r;
}

static int finish_alerting(Binder *b, Config *c, bool legacy, const Value *doc)
{
    const Value *alerting = value_get(doc, SV("alerting"));
    const Value *list = value_get(alerting, SV("alertmanagers"));
    BindFrame f = { .up = b->frame, .key = SV("alerting") };
    int r;

    b->frame = &f;
    if ((r = compile_rules(b, &c->alerting.alert_relabel, legacy, alerting,
                           "alert_relabel_configs")) < 0)
        return r;
    for (unsigned i = 0; i < c->alerting.alertmanagers.len; i++) {
        ConfigAlertmanager *a = &c->alerting.alertmanagers.items[i];
        if ((r = compile_item(b, &a->relabel, legacy, list, "alertmanagers", i,
                              "relabel_configs")) < 0 ||
            (r = compile_item(b, &a->alert_relabel, legacy, list, "alertmanagers", i,
                              "alert_relabel_configs")) < 0)
            return r;
    }
    b->frame = f.up;
    return 0;
}

static int finish_jobs(Binder *b, Config *c, const Value *doc)
{
    const Value *list = value_get(doc, SV("scrape_configs"));
    BindFrame f = { .up = b->frame, .key = SV("scrape_configs") };
    int r;
    for (unsigned i = 0; i < c->scrape.len; i++) {
        BindFrame item = { .up = &f, .index = i, .is_item = true };
        b->frame = &item;
        if ((r = config_finish_scrape(b, &c->global, &c->scrape.items[i], value_at(list, i))) < 0)
            return r;
    }
    b->frame = f.up;
    return 0;
}

int config_finish(Binder *b, Config *c, const Value *doc, const ConfigOptions *opt)
{
    ConfigGlobal *g = &c->global;
    bool legacy = sv_eq(g->metric_name_validation_scheme, SV("legacy"));
    int r;

    if (g->scrape_native_histograms == CONFIG_UNSET)
        g->scrape_native_histograms = opt && opt->native_histograms;
    if (g->extra_scrape_metrics == CONFIG_UNSET)
        g->extra_scrape_metrics = opt && opt->extra_scrape_metrics;
    if ((r = check_patterns(b, &c->rule_files, "rule_files", "rule", doc)) < 0 ||
        (r = check_patterns(b, &c->scrape_config_files, "scrape_config_files", "scrape config",
                            doc)) < 0 ||
        (r = finish_jobs(b, c, doc)) < 0 ||
        (r = check_names(b, c->scrape.items, c->scrape.len, sizeof *c->scrape.items,
                         offsetof(ConfigScrape, job_name), "scrape_configs", "scrape", doc)) < 0 ||
        (r = finish_alerting(b, c, legacy, doc)) < 0 ||
        (r = check_names(b, c->remote_write.items, c->remote_write.len,
                         sizeof *c->remote_write.items, offsetof(ConfigRemoteWrite, name),
                         "remote_write", "remote write", doc)) < 0 ||
        (r = check_names(b, c->remote_read.items, c->remote_read.len, sizeof *c->remote_read.items,
                         offsetof(ConfigRemoteRead, name), "remote_read", "remote read", doc)) < 0)
        return r;
    for (unsigned i = 0; i < c->remote_write.len; i++)
        if ((r = compile_item(b, &c->remote_write.items[i].write_relabel, legacy,
                              value_get(doc, SV("remote_write")), "remote_write", i,
                              "write_relabel_configs")) < 0)
            return r;
    if (legacy && (sv_eq(c->otlp.translation_strategy, SV("NoTranslation")) ||
                   sv_eq(c->otlp.translation_strategy, SV("NoUTF8EscapingWithSuffixes"))))
        return bind_fail_key(b, doc, "otlp",
                             "OTLP translation strategy \"%.*s\" is not allowed when UTF8 is "
                             "disabled",
                             SV_FMT(c->otlp.translation_strategy));
    return 0;
}
