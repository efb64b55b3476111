/* features.c - /api/v1/features: what clients may use, and whether it is on, in Prometheus'
 * categories. A feature that is not here at all is not shown. */
#include <stddef.h>

#include "monitor/web/internal.h"

/* One feature; on when none of the two is given, else when its option or PromQL feature is. */
typedef struct Feature {
    const char *category, *name;
    size_t option;   /* offset of a bool in WebOptions, and one more */
    unsigned promql; /* PROMQL_* */
} Feature;

#define WHEN(member) .option = offsetof(WebOptions, member) + 1

/* By category and name. */
static const Feature features[] = {
    { "api", "admin", WHEN(admin) },
    { "api", "exclude_alerts" },
    { "api", "label_values_match" },
    { "api", "lifecycle", WHEN(lifecycle) },
    { "api", "openapi_3.1" },
    { "api", "openapi_3.2" },
    { "api", "otlp_write_receiver", WHEN(otlp) },
    { "api", "query_stats" },
    { "api", "query_warnings" },
    { "api", "remote_write_receiver", WHEN(remote_write) },
    { "api", "search", WHEN(search) },
    { "api", "search_fuzz_alg_jarowinkler" },
    { "api", "search_fuzz_alg_subsequence" },
    { "api", "time_range_labels" },
    { "api", "time_range_series" },
    { "otlp_receiver", "delta_conversion", WHEN(otlp_add_up) },
    { "otlp_receiver", "native_delta_ingestion", WHEN(otlp_delta) },
    { "prometheus", "auto_reload_config", WHEN(auto_reload) },
    { "prometheus", "server_mode" },
    { "promql", "anchored", .promql = PROMQL_EXTENDED_RANGE_SELECTORS },
    { "promql", "at_modifier" },
    { "promql", "bool" },
    { "promql", "by" },
    { "promql", "delayed_name_removal", .promql = PROMQL_DELAYED_NAME_REMOVAL },
    { "promql", "duration_expr" },
    { "promql", "fill", .promql = PROMQL_BINOP_FILL_MODIFIERS },
    { "promql", "fill_left", .promql = PROMQL_BINOP_FILL_MODIFIERS },
    { "promql", "fill_right", .promql = PROMQL_BINOP_FILL_MODIFIERS },
    { "promql", "group_left" },
    { "promql", "group_right" },
    { "promql", "ignoring" },
    { "promql", "negative_offset" },
    { "promql", "offset" },
    { "promql", "on" },
    { "promql", "per_query_lookback_delta" },
    { "promql", "per_step_stats", .promql = PROMQL_PER_STEP_STATS },
    { "promql", "smoothed", .promql = PROMQL_EXTENDED_RANGE_SELECTORS },
    { "promql", "subqueries" },
    { "promql", "type_and_unit_labels", .promql = PROMQL_TYPE_AND_UNIT_LABELS },
    { "promql", "without" },
    { "promql_operators", "!=" },
    { "promql_operators", "!~" },
    { "promql_operators", "%" },
    { "promql_operators", "*" },
    { "promql_operators", "+" },
    { "promql_operators", "-" },
    { "promql_operators", "/" },
    { "promql_operators", "<" },
    { "promql_operators", "</" },
    { "promql_operators", "<=" },
    { "promql_operators", "==" },
    { "promql_operators", "=~" },
    { "promql_operators", ">" },
    { "promql_operators", ">/" },
    { "promql_operators", ">=" },
    { "promql_operators", "@" },
    { "promql_operators", "^" },
    { "promql_operators", "and" },
    { "promql_operators", "atan2" },
    { "promql_operators", "avg" },
    { "promql_operators", "bottomk" },
    { "promql_operators", "count" },
    { "promql_operators", "count_values" },
    { "promql_operators", "group" },
    { "promql_operators", "limit_ratio", .promql = PROMQL_EXPERIMENTAL_FUNCTIONS },
    { "promql_operators", "limitk", .promql = PROMQL_EXPERIMENTAL_FUNCTIONS },
    { "promql_operators", "max" },
    { "promql_operators", "min" },
    { "promql_operators", "or" },
    { "promql_operators", "quantile" },
    { "promql_operators", "stddev" },
    { "promql_operators", "stdvar" },
    { "promql_operators", "sum" },
    { "promql_operators", "topk" },
    { "promql_operators", "unless" },
    { "rules", "concurrent_rule_eval", WHEN(concurrent_rules) },
    { "rules", "keep_firing_for" },
    { "rules", "query_offset" },
    { "scrape", "extra_scrape_metrics", WHEN(extra_scrape_metrics) },
    { "scrape", "start_timestamp_zero_ingestion", WHEN(start_times) },
    { "service_discovery_providers", "dns" },
    { "service_discovery_providers", "file" },
    { "service_discovery_providers", "http" },
    { "service_discovery_providers", "kubernetes" },
    { "service_discovery_providers", "static" },
    { "tsdb", "exemplar_storage", WHEN(exemplars) },
    { "tsdb", "isolation" },
    { "tsdb", "native_histograms" },
    { "ui", "ui_v3" },
};

static bool is_on(const WebOptions *o, const Feature *f)
{
    if (f->option)
        return *(const bool *)((const char *)o + f->option - 1);
    return !f->promql || (o->promql.features & f->promql) != 0;
}

static void put(Buf *out, bool first, StrView name, bool on)
{
    if (!first)
        buf_putc(out, ',');
    json_put_text(out, name);
    buf_sv(out, on ? SV(":true") : SV(":false"));
}

static void put_functions(Buf *out, unsigned promql)
{
    StrView name;
    bool on;
    buf_sv(out, SV(",\"promql_functions\":{"));
    for (unsigned i = 0; promql_function_at(i, promql, &name, &on); i++)
        put(out, i == 0, name, on);
    buf_putc(out, '}');
}

void serve_features(Call *c)
{
    const WebOptions *o = &c->web->opt;
    Buf *out = &c->out;
    const char *category = NULL;
    api_begin(c);
    buf_putc(out, '{');
    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        const Feature *f = &features[i];
        bool first = !category || strcmp(category, f->category) != 0;
        if (first)
            buf_printf(out, "%s\"%s\":{", category ? "}," : "", f->category);
        category = f->category;
        put(out, first, sv_cstr(f->name), is_on(o, f));
    }
    buf_putc(out, '}');
    put_functions(out, o->promql.features);
    buf_putc(out, '}');
    api_end(c, NULL, 0, NULL, 0);
}
