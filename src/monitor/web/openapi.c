/* openapi.c - /api/v1/openapi.yaml: the API as OpenAPI 3.1 describes one (3.2 when asked for), made
 * of the table of routes. A route that comes to routes[] gets its row in described[]. */
#include "monitor/web/internal.h"

/* ---- parameters ---- */

typedef enum ParamKind {
    PARAM_TEXT,
    PARAM_NUMBER,
    PARAM_FLAG,
    PARAM_TIME,
    PARAM_SPAN,
    PARAM_TEXTS,
    PARAM_KIND_MAX
} ParamKind;

static const char *const schemas[PARAM_KIND_MAX] = {
    [PARAM_TEXT] = "{type: string}",
    [PARAM_NUMBER] = "{type: integer}",
    [PARAM_FLAG] = "{type: boolean}",
    [PARAM_TIME] = "{$ref: '#/components/schemas/Time'}",
    [PARAM_SPAN] = "{$ref: '#/components/schemas/Duration'}",
    [PARAM_TEXTS] = "{type: array, items: {type: string}}",
};

typedef struct ParamDoc {
    const char *name;
    ParamKind kind;
    const char *text;
} ParamDoc;

static const ParamDoc params[] = {
    { "query", PARAM_TEXT, "A PromQL expression" },
    { "time", PARAM_TIME, "When it is evaluated; absent, now" },
    { "start", PARAM_TIME, "Where the span of time begins" },
    { "end", PARAM_TIME, "Where the span of time ends, inclusive" },
    { "step", PARAM_SPAN, "From one evaluation to the next" },
    { "timeout", PARAM_SPAN, "The query fails after it; at most --query.timeout" },
    { "lookback_delta", PARAM_SPAN, "How old a sample may be to count as current" },
    { "stats", PARAM_TEXT, "true adds statistics of the query, all also those of each step" },
    { "limit", PARAM_NUMBER, "The most entries of the answer" },
    { "limit_per_metric", PARAM_NUMBER, "The most entries of one metric" },
    { "match[]", PARAM_TEXTS, "Selectors of series, of which one must match" },
    { "metric", PARAM_TEXT, "This metric only" },
    { "match_target", PARAM_TEXT, "A selector that matches labels of targets" },
    { "state", PARAM_TEXT, "active, dropped or any" },
    { "scrapePool", PARAM_TEXT, "The scrape pool of this name" },
    { "labels", PARAM_TEXT, "Labels before relabelling, as a JSON object" },
    { "type", PARAM_TEXT, "alert or record" },
    { "rule_name[]", PARAM_TEXTS, "Rules of these names only" },
    { "rule_group[]", PARAM_TEXTS, "Groups of these names only" },
    { "file[]", PARAM_TEXTS, "Groups of these files only" },
    { "exclude_alerts", PARAM_FLAG, "Leaves the alerts of rules out" },
    { "group_limit", PARAM_NUMBER, "The most groups of one answer" },
    { "group_next_token", PARAM_TEXT, "Where the last answer ended" },
    { "metric_name_pattern", PARAM_TEXT, "An anchored regular expression of names" },
    { "skip_head", PARAM_FLAG, "Leaves out what is not in a block yet" },
    { "openapi_version", PARAM_TEXT, "3.1 or 3.2" },
    { "search[]", PARAM_TEXTS, "What a name or value is to resemble" },
    { "fuzz_threshold", PARAM_NUMBER, "How much at least, in percent" },
    { "fuzz_alg", PARAM_TEXT, "subsequence or jarowinkler" },
    { "case_sensitive", PARAM_FLAG, "Whether A and a differ" },
    { "sort_by", PARAM_TEXT, "alpha or score" },
    { "sort_dir", PARAM_TEXT, "asc or dsc" },
    { "include_score", PARAM_FLAG, "Adds how well each one fits" },
    { "include_metadata", PARAM_FLAG, "Adds type, help and unit of metrics" },
    { "batch_size", PARAM_NUMBER, "The most results of one line" },
    { "label", PARAM_TEXT, "The label whose values are searched" },
    { "name", PARAM_TEXT, "A label's name" },
};

/* ---- routes ---- */

typedef enum AnswerKind {
    ANSWER_JSON,
    ANSWER_NOTHING,
    ANSWER_YAML,
    ANSWER_READ,
    ANSWER_EVENTS,
    ANSWER_LINES
} AnswerKind;

static const char *const contents[] = {
    [ANSWER_JSON] = (", content: {application/json: {schema: {$ref: "
                     "'#/components/schemas/Success'}}}"),
    [ANSWER_NOTHING] = "",
    [ANSWER_YAML] = ", content: {application/yaml: {schema: {type: string}}}",
    [ANSWER_EVENTS] = ", content: {text/event-stream: {schema: {type: string}}}",
    [ANSWER_LINES] = ", content: {application/x-ndjson: {schema: {type: string}}}",
    [ANSWER_READ] = ", content: {application/x-protobuf: {schema: {type: string, format: binary}}}",
};

typedef struct RouteDoc {
    const char *path; /* behind /api/v1 */
    const char *tag, *text;
    const char *params; /* names; "!" behind one that must be there */
    AnswerKind answer;
    const char *body; /* the type of a body that is no form */
} RouteDoc;

#define SPAN   "start end"
#define PROTO  "application/x-protobuf"
#define SERIES SPAN " match[] limit"
#define SEARCH                                                                                     \
    SERIES " search[] fuzz_threshold fuzz_alg case_sensitive sort_by sort_dir include_score "      \
           "batch_size"

static const RouteDoc described[] = {
    { "/query", "query", "Evaluates an expression at one time",
      "query! time timeout lookback_delta limit stats" },
    { "/query_range", "query", "Evaluates an expression over a span of time",
      "query! start! end! step! timeout lookback_delta limit stats" },
    { "/query_exemplars", "query", "Exemplars of the series an expression selects",
      "query! " SPAN },
    { "/format_query", "query", "An expression in its canonical form", "query!" },
    { "/parse_query", "query", "An expression as a tree", "query!" },
    { "/series", "series", "Series by their labels", "match[]! " SPAN " limit" },
    { "/labels", "labels", "Names of labels", SERIES },
    { "/label/*/values", "labels", "Values of one label", SERIES },
    { "/search/metric_names", "labels", "Metrics whose names resemble a text",
      SEARCH " include_metadata", ANSWER_LINES },
    { "/search/label_names", "labels", "Labels whose names resemble a text", SEARCH, ANSWER_LINES },
    { "/search/label_values", "labels", "Values of a label that resemble a text", "label! " SEARCH,
      ANSWER_LINES },
    { "/scrape_pools", "targets", "Names of scrape pools", "" },
    { "/scrape_pools/config", "targets", "A scrape pool's section of the configuration",
      "scrapePool!" },
    { "/targets", "targets", "Targets that are scraped, and those that relabelling dropped",
      "state scrapePool" },
    { "/targets/metadata", "targets", "Metadata of metrics by target",
      "match_target metric limit" },
    { "/targets/relabel_steps", "targets", "What each relabelling rule of a pool makes of labels",
      "scrapePool! labels!" },
    { "/metadata", "metadata", "Metadata of metrics", "metric limit limit_per_metric" },
    { "/rules", "rules", "Groups of rules and their state",
      "type rule_name[] rule_group[] file[] match[] exclude_alerts group_limit group_next_token" },
    { "/alerts", "alerts", "Alerts that are pending or fire", "" },
    { "/alertmanagers", "alerts", "Alertmanagers that were found", "" },
    { "/status/config", "status", "The configuration, secrets hidden", "" },
    { "/status/flags", "status", "Flags and their values", "" },
    { "/status/runtimeinfo", "status", "State of the process", "" },
    { "/status/buildinfo", "status", "Version of the program", "" },
    { "/status/tsdb", "status", "Which names and labels have the most series", "limit" },
    { "/status/tsdb/blocks", "status", "Blocks of the database", "" },
    { "/status/self_metrics", "status", "The server's own metrics", "metric_name_pattern" },
    { "/status/walreplay", "status", "How far the log has been read at the start", "" },
    { "/features", "features", "Features, and whether they are on", "" },
    { "/notifications", "notifications", "What the operator should know", "" },
    { "/notifications/live", "notifications", "The same, and its changes as they come", "",
      ANSWER_EVENTS },
    { "/openapi.yaml", "status", "This description", "openapi_version", ANSWER_YAML },
    { "/admin/tsdb/delete_series", "admin", "Deletes samples of series", "match[]! " SPAN,
      ANSWER_NOTHING },
    { "/admin/tsdb/snapshot", "admin", "Copies the database into a new folder", "skip_head" },
    { "/admin/tsdb/clean_tombstones", "admin", "Removes deleted samples from the disk", "",
      ANSWER_NOTHING },
    { "/write", "remote", "Takes a remote write", "", ANSWER_NOTHING, PROTO },
    { "/read", "remote", "Answers a remote read", "", ANSWER_READ, PROTO },
    { "/otlp/v1/metrics", "otlp", "Takes OpenTelemetry's metrics", "", ANSWER_READ, PROTO },
};

static const RouteDoc *describe(StrView path)
{
    for (size_t i = 0; i < ARRAY_SIZE(described); i++)
        if (sv_eq(path, sv_cstr(described[i].path)))
            return &described[i];
    return NULL;
}

/* ---- writing ---- */

static const ParamDoc *next_param(StrView *names, bool *needed)
{
    StrView name;
    while (sv_next(names, ' ', &name)) {
        *needed = sv_ends(name, SV("!"));
        if (*needed)
            name = sv_head(name, name.len - 1);
        for (size_t i = 0; i < ARRAY_SIZE(params); i++)
            if (sv_eq(name, sv_cstr(params[i].name)))
                return &params[i];
    }
    return NULL;
}

static void put_param(Buf *out, const ParamDoc *p, const char *in, bool needed)
{
    buf_printf(out,
               "      - {name: '%s', in: %s, required: %s, description: \"%s.\", schema: %s}\n",
               p->name, in, needed ? "true" : "false", p->text, schemas[p->kind]);
}

static void put_params(Buf *out, const RouteDoc *d, bool star)
{
    StrView names = sv_cstr(d->params);
    bool needed;
    if (!star && !names.len)
        return;
    buf_sv(out, SV("      parameters:\n"));
    if (star)
        put_param(out, &params[ARRAY_SIZE(params) - 1], "path", true);
    for (const ParamDoc *p; (p = next_param(&names, &needed));)
        put_param(out, p, "query", needed);
}

/* The same parameters in a body. */
static void put_form(Buf *out, const RouteDoc *d)
{
    StrView names = sv_cstr(d->params);
    _cleanup_buf_ Buf all = BUF_INIT;
    bool needed;
    buf_sv(out, SV("      requestBody:\n        content:\n"
                   "          application/x-www-form-urlencoded:\n            schema:\n"
                   "              type: object\n              properties:\n"));
    for (const ParamDoc *p; (p = next_param(&names, &needed));) {
        buf_printf(out, "                '%s': %s\n", p->name, schemas[p->kind]);
        if (needed)
            buf_printf(&all, "%s'%s'", all.len ? ", " : "", p->name);
    }
    if (all.len)
        buf_printf(out, "              required: [%.*s]\n", (int)all.len, all.ptr);
}

static void put_body(Buf *out, const RouteDoc *d, bool form)
{
    if (d->body)
        buf_printf(out,
                   "      requestBody:\n        required: true\n"
                   "        content: {%s: {schema: {type: string, format: binary}}}\n",
                   d->body);
    else if (form)
        put_form(out, d);
}

static void put_operation(Buf *out, const RouteDoc *d, bool star, const char *method, bool form)
{
    static const char error[] = "      responses:\n        default: {$ref: "
                                "'#/components/responses/Error'}\n";
    buf_printf(out, "    %s:\n      operationId: '%s%s'\n", method, method, d->path);
    buf_printf(out, "      tags: [%s]\n      summary: \"%s.\"\n", d->tag, d->text);
    if (!form)
        put_params(out, d, star);
    put_body(out, d, form);
    buf_sv(out, sv_cstr(error));
    buf_printf(out, "        '%d': {description: 'It was done.'%s}\n",
               d->answer == ANSWER_NOTHING ? 204 : 200, contents[d->answer]);
}

static void put_route(Buf *out, const Route *r)
{
    static const struct {
        unsigned bit;
        const char *name;
    } methods[] = { { METHOD_GET, "get" }, { METHOD_POST, "post" }, { METHOD_PUT, "put" } };
    StrView path = sv_skip(r->path, strlen(API_PREFIX)), before, after;
    const RouteDoc *d = describe(path);
    if (!d)
        return;
    bool star = sv_cut(path, '*', &before, &after);
    buf_printf(out, "  '%.*s%s%.*s':\n", SV_FMT(before), star ? "{name}" : "", SV_FMT(after));
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (r->methods & methods[i].bit)
            put_operation(out, d, star, methods[i].name,
                          methods[i].bit == METHOD_POST && (r->methods & METHOD_GET));
}

static const char components[] =
    "components:\n"
    "  schemas:\n"
    "    Time:\n"
    "      description: Seconds since 1970, or a time of RFC 3339.\n"
    "      anyOf: [{type: number}, {type: string, format: date-time}]\n"
    "    Duration:\n"
    "      description: Seconds, or a duration of PromQL (1h30m).\n"
    "      anyOf: [{type: number}, {type: string}]\n"
    "    Success:\n"
    "      type: object\n"
    "      required: [status]\n"
    "      properties:\n"
    "        status: {const: success}\n"
    "        data: {description: 'What was asked for.'}\n"
    "        warnings: {type: array, items: {type: string}}\n"
    "        infos: {type: array, items: {type: string}}\n"
    "    Error:\n"
    "      type: object\n"
    "      required: [status, errorType, error]\n"
    "      properties:\n"
    "        status: {const: error}\n"
    "        errorType: {type: string}\n"
    "        error: {type: string}\n"
    "        data: {description: 'What is known all the same.'}\n"
    "        warnings: {type: array, items: {type: string}}\n"
    "  responses:\n"
    "    Error:\n"
    "      description: It failed.\n"
    "      content: {application/json: {schema: {$ref: '#/components/schemas/Error'}}}\n";

void serve_openapi(Call *c)
{
    Buf *out = &c->out;
    StrView version = call_param(c, SV("openapi_version"));
    bool newer = sv_eq(version, SV("3.2")) || sv_eq(version, SV("3.2.0"));
    StrView url = c->web->opt.external_url;
    while (sv_ends(url, SV("/")))
        url = sv_head(url, url.len - 1);
    c->out_type = SV("application/yaml; charset=utf-8");
    call_header(c, SV("Cache-Control"), SV("no-cache, no-store, must-revalidate"));
    buf_printf(out, "openapi: %s\ninfo:\n  title: Prometheus HTTP API\n  version: '%s'\n",
               newer ? "3.2.0" : "3.1.0", PROMETHEUS_VERSION);
    buf_sv(out, SV("servers:\n- url: "));
    json_put_text(out, url); /* a text of JSON is one of YAML */
    out->len -= out->len ? 1 : 0;
    buf_sv(out, SV(API_PREFIX "\"\npaths:\n"));
    for (unsigned i = 0; i < route_count(); i++)
        if (sv_starts(route_at(i)->path, SV(API_PREFIX "/")))
            put_route(out, route_at(i));
    buf_sv(out, sv_cstr(components));
}
