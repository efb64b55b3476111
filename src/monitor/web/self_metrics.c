/* self_metrics.c - /api/v1/status/self_metrics: what /metrics shows, as the JSON form of
 * io.prometheus.client.MetricFamily. */
#include <math.h>

#include "monitor/expo/expo.h"
#include "monitor/model/number.h"
#include "monitor/web/internal.h"

typedef struct SelfMetrics {
    Buf *out;
    Arena arena; /* of one series' labels */
    const Regex *filter;
    Buf name, help; /* of the family that comes next */
    ExpoType type;
    bool shown;            /* the family is asked for */
    bool any, any_metrics; /* a family, a metric in the family: a comma comes before the next */
    Buf parts;             /* buckets or quantiles of the current metric */
    double sum;
} SelfMetrics;

/* As protobuf's JSON has doubles. */
static void put_number(Buf *out, double v)
{
    if (isfinite(v))
        double_format_g(v, out);
    else
        buf_sv(out, isnan(v) ? SV("\"NaN\"") : v > 0 ? SV("\"Infinity\"") : SV("\"-Infinity\""));
}

static void end_family(SelfMetrics *m)
{
    if (m->shown)
        buf_sv(m->out, m->any_metrics ? SV("]}") : SV("}"));
    m->shown = false;
}

static void begin_family(SelfMetrics *m, StrView name, ExpoType type)
{
    static const char *const types[EXPO_TYPE_MAX] = { [EXPO_COUNTER] = "COUNTER",
                                                      [EXPO_GAUGE] = "GAUGE",
                                                      [EXPO_SUMMARY] = "SUMMARY",
                                                      [EXPO_HISTOGRAM_TYPE] = "HISTOGRAM" };
    end_family(m);
    m->type = type;
    m->any_metrics = false;
    m->shown = !m->filter || regex_match(m->filter, name);
    if (!m->shown)
        return;
    buf_sv(m->out, m->any ? SV(",{\"name\":") : SV("{\"name\":"));
    m->any = true;
    json_put_text(m->out, name);
    buf_sv(m->out, SV(",\"help\":"));
    json_put_text(m->out, sv_eq(buf_view(&m->name), name) ? buf_view(&m->help) : SV(""));
    buf_printf(m->out, ",\"type\":\"%s\"", types[type] ? types[type] : "UNTYPED");
}

static void begin_metric(SelfMetrics *m, Labels l)
{
    bool any = false;
    buf_sv(m->out, m->any_metrics ? SV(",{") : SV(",\"metric\":[{"));
    m->any_metrics = true;
    for (unsigned i = 0; i < l.len; i++) {
        if (sv_eq(l.items[i].name, LABEL_METRIC_NAME))
            continue;
        buf_sv(m->out, any ? SV(",{\"name\":") : SV("\"label\":[{\"name\":"));
        any = true;
        json_put_text(m->out, l.items[i].name);
        buf_sv(m->out, SV(",\"value\":"));
        json_put_text(m->out, l.items[i].value);
        buf_putc(m->out, '}');
    }
    if (any)
        buf_sv(m->out, SV("],"));
}

static void put_part(SelfMetrics *m, Labels l, double v)
{
    bool histogram = m->type == EXPO_HISTOGRAM_TYPE;
    double bound = NAN;
    (void)!expo_number(labels_get(l, histogram ? SV("le") : SV("quantile")), &bound);
    if (m->parts.len)
        buf_putc(&m->parts, ',');
    if (histogram)
        buf_printf(&m->parts, "{\"cumulativeCount\":\"%.0f\",\"upperBound\":", v);
    else
        buf_sv(&m->parts, SV("{\"quantile\":"));
    put_number(&m->parts, bound);
    if (!histogram) {
        buf_sv(&m->parts, SV(",\"value\":"));
        put_number(&m->parts, v);
    }
    buf_putc(&m->parts, '}');
}

/* Of a histogram or summary: parts, the sum and at last the count, which completes it. */
static void put_composed(SelfMetrics *m, Labels l, double v)
{
    bool histogram = m->type == EXPO_HISTOGRAM_TYPE;
    StrView name = labels_get(l, LABEL_METRIC_NAME);
    if (labels_has(l, histogram ? SV("le") : SV("quantile")))
        put_part(m, l, v);
    else if (sv_ends(name, SV("_sum")))
        m->sum = v;
    else if (sv_ends(name, SV("_count"))) {
        begin_metric(m, l);
        buf_printf(m->out, "\"%s\":{\"sampleCount\":\"%.0f\",\"sampleSum\":",
                   histogram ? "histogram" : "summary", v);
        put_number(m->out, m->sum);
        if (m->parts.len)
            buf_printf(m->out, ",\"%s\":[%.*s]", histogram ? "bucket" : "quantile",
                       SV_FMT(buf_view(&m->parts)));
        buf_sv(m->out, SV("}}"));
        buf_clear(&m->parts);
    }
}

static void put_series(SelfMetrics *m, Labels l, double v)
{
    if (m->type == EXPO_HISTOGRAM_TYPE || m->type == EXPO_SUMMARY) {
        put_composed(m, l, v);
        return;
    }
    begin_metric(m, l);
    buf_printf(m->out, "\"%s\":{\"value\":",
               m->type == EXPO_COUNTER ? "counter"
               : m->type == EXPO_GAUGE ? "gauge"
                                       : "untyped");
    put_number(m->out, v);
    buf_sv(m->out, SV("}}"));
}

static int put_families(SelfMetrics *m, StrView text, Err *err)
{
    ExpoParser *p = expo_parser_new(EXPO_FORMAT_TEXT, text, &(ExpoOptions){ 0 });
    ExpoEntry e;
    Labels l;
    int r = p ? 0 : err_nomem(err);
    while (r >= 0 && (r = expo_next(p, &e, err)) >= 0 && e.kind != EXPO_END) {
        if (e.kind == EXPO_HELP) {
            buf_clear(&m->name);
            buf_sv(&m->name, e.name);
            buf_clear(&m->help);
            buf_sv(&m->help, e.text);
        } else if (e.kind == EXPO_TYPE)
            begin_family(m, e.name, e.type);
        else if (e.kind == EXPO_SERIES && m->shown) {
            arena_reset(&m->arena);
            if ((r = expo_labels(p, &m->arena, &l, err)) >= 0)
                put_series(m, l, e.v);
        }
    }
    end_family(m);
    expo_parser_free(p);
    return r;
}

void serve_self_metrics(Call *c)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView pattern = call_param(c, SV("metric_name_pattern"));
    char why[256];
    Err err = { 0 };
    Regex *filter = pattern.len ? regex_new(pattern, true, why, sizeof why) : NULL;
    SelfMetrics m = {
        .out = &c->out, .filter = filter, .name = BUF_INIT, .help = BUF_INIT, .parts = BUF_INIT
    };
    if (pattern.len && !filter) {
        api_error(c, API_BAD_DATA, "invalid metric_name_pattern: %s", why);
        return;
    }
    arena_init(&m.arena, 0);
    metrics_text(c, &text);
    api_begin(c);
    buf_putc(&c->out, '[');
    int r = text.failed ? err_nomem(&err) : put_families(&m, buf_view(&text), &err);
    buf_putc(&c->out, ']');
    if (r < 0)
        api_error(c, API_INTERNAL, "error gathering self metrics: %s", err.msg);
    else
        api_end(c, NULL, 0, NULL, 0);
    buf_free(&m.name);
    buf_free(&m.help);
    buf_free(&m.parts);
    arena_free(&m.arena);
    regex_free(filter);
}
