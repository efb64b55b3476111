/* alerting_metrics.c - the numbers of rules and of Alertmanagers for /metrics, under the names that
 * Prometheus gives them. */
#include "base/metric_text.h"
#include "monitor/model/number.h"
#include "monitor/parts/internal.h"

static void put_escaped(Buf *out, StrView s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\n')
            buf_sv(out, SV("\\n"));
        else if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_printf(out, "\\%c", s.ptr[i]);
        else
            buf_putc(out, s.ptr[i]);
}

/* ---- rules ---- */

typedef struct GroupFamily {
    const char *name, *type, *help;
    double (*value)(const RuleGroupStats *g);
} GroupFamily;

#define GROUP_VALUE(name, expr)                                                                    \
    static double name(const RuleGroupStats *g)                                                    \
    {                                                                                              \
        return (double)(expr);                                                                     \
    }
GROUP_VALUE(group_missed, g->missed)
GROUP_VALUE(group_iterations, g->runs + g->missed)
GROUP_VALUE(group_evals, g->evals)
GROUP_VALUE(group_failures, g->failures)
GROUP_VALUE(group_interval, (double)g->interval / 1e3)
GROUP_VALUE(group_last_eval, (double)g->last_eval_ns / 1e9)
GROUP_VALUE(group_duration, (double)g->eval_ns / 1e9)
GROUP_VALUE(group_rules_duration, (double)g->rules_ns / 1e9)
GROUP_VALUE(group_restore_duration, (double)g->restore_ns / 1e9)
GROUP_VALUE(group_rules, g->rules)
GROUP_VALUE(group_samples, g->samples)

static const GroupFamily group_families[] = {
    { "prometheus_rule_group_iterations_missed_total", "counter",
      "Evaluations of groups left out because an earlier one took too long.", group_missed },
    { "prometheus_rule_group_iterations_total", "counter",
      "Evaluations of groups that were due, done or missed.", group_iterations },
    { "prometheus_rule_evaluations_total", "counter", "Evaluations of rules.", group_evals },
    { "prometheus_rule_evaluation_failures_total", "counter", "Evaluations of rules that failed.",
      group_failures },
    { "prometheus_rule_group_interval_seconds", "gauge", "The interval of a group.",
      group_interval },
    { "prometheus_rule_group_last_evaluation_timestamp_seconds", "gauge",
      "When a group was evaluated last, in seconds since 1970.", group_last_eval },
    { "prometheus_rule_group_last_duration_seconds", "gauge",
      "How long the last evaluation of a group took.", group_duration },
    { "prometheus_rule_group_last_rule_duration_sum_seconds", "gauge",
      "How long the rules of a group took in the last evaluation, together.",
      group_rules_duration },
    { "prometheus_rule_group_last_restore_duration_seconds", "gauge",
      "How long restoring the alerts of a group took.", group_restore_duration },
    { "prometheus_rule_group_rules", "gauge", "Rules of a group.", group_rules },
    { "prometheus_rule_group_last_evaluation_samples", "gauge",
      "Samples of the last evaluation of a group.", group_samples },
};

static void put_group_family(Buf *out, const GroupFamily *f, const RulesStats *s)
{
    metric_head(out, f->name, f->type, f->help);
    for (size_t i = 0; i < s->n; i++) {
        buf_printf(out, "%s{rule_group=\"", f->name);
        put_escaped(out, s->groups[i].file);
        buf_putc(out, ';');
        put_escaped(out, s->groups[i].name);
        buf_sv(out, SV("\"}"));
        metric_value(out, f->value(&s->groups[i]));
    }
}

static void put_rules(Buf *out, const RulesStats *s)
{
    METRIC_COUNTER(out, "prometheus_template_text_expansions_total",
                   "Templates that were expanded.", s->expansions);
    METRIC_COUNTER(out, "prometheus_template_text_expansion_failures_total",
                   "Templates that could not be expanded.", s->expansion_failures);
    static const double rule_quantiles[] = { 0.5, 0.9, 0.99 };
    static const double group_quantiles[] = { 0.01, 0.05, 0.5, 0.9, 0.99 };
    for (size_t i = 0; s->n && i < ARRAY_SIZE(group_families); i++)
        put_group_family(out, &group_families[i], s);
    const char *name = "prometheus_rule_evaluation_duration_seconds";
    metric_head(out, name, "summary", "How long evaluations of rules took.");
    timing_put_summary(&s->rules, name, SV(""), rule_quantiles, ARRAY_SIZE(rule_quantiles), out);
    name = "prometheus_rule_evaluation_duration_histogram_seconds";
    metric_head(out, name, "histogram", "How long evaluations of rules took.");
    timing_put_histogram(&s->rules, name, SV(""), out);
    name = "prometheus_rule_group_duration_seconds";
    metric_head(out, name, "summary", "How long evaluations of groups took.");
    timing_put_summary(&s->iterations, name, SV(""), group_quantiles, ARRAY_SIZE(group_quantiles),
                       out);
    name = "prometheus_rule_group_duration_histogram_seconds";
    metric_head(out, name, "histogram", "How long evaluations of groups took.");
    timing_put_histogram(&s->iterations, name, SV(""), out);
}

/* ---- Alertmanagers ---- */

typedef struct PeerFamily {
    const char *name, *type, *help;
    double (*value)(const NotifierStats *s);
} PeerFamily;

#define PEER_VALUE(name, field)                                                                    \
    static double name(const NotifierStats *s)                                                     \
    {                                                                                              \
        return (double)s->field;                                                                   \
    }
PEER_VALUE(peer_sent, sent)
PEER_VALUE(peer_errors, errors)
PEER_VALUE(peer_dropped, dropped)
PEER_VALUE(peer_queued, queued)

static const PeerFamily peer_families[] = {
    { "prometheus_notifications_sent_total", "counter", "Alerts that were sent.", peer_sent },
    { "prometheus_notifications_errors_total", "counter", "Alerts whose request failed.",
      peer_errors },
    { "prometheus_notifications_dropped_total", "counter",
      "Alerts that were lost: their request failed, or the queue was full.", peer_dropped },
    { "prometheus_notifications_queue_length", "gauge", "Alerts that wait.", peer_queued },
};

static void put_latencies(Buf *out, const NotifierStats *list, size_t n)
{
    static const double quantiles[] = { 0.5, 0.9, 0.99 };
    const char *summary = "prometheus_notifications_latency_seconds";
    const char *histogram = "prometheus_notifications_latency_histogram_seconds";
    for (int k = 0; n && k < 2; k++) {
        metric_head(out, k ? histogram : summary, k ? "histogram" : "summary",
                    "How long requests with alerts took.");
        for (size_t i = 0; i < n; i++) {
            _cleanup_buf_ Buf labels = BUF_INIT;
            buf_sv(&labels, SV("alertmanager=\""));
            put_escaped(&labels, list[i].url);
            buf_putc(&labels, '"');
            if (k)
                timing_put_histogram(&list[i].latency, histogram, buf_view(&labels), out);
            else
                timing_put_summary(&list[i].latency, summary, buf_view(&labels), quantiles,
                                   ARRAY_SIZE(quantiles), out);
        }
    }
}

static void put_peers(Buf *out, const NotifierStats *list, size_t n)
{
    for (size_t f = 0; n && f < ARRAY_SIZE(peer_families); f++) {
        metric_head(out, peer_families[f].name, peer_families[f].type, peer_families[f].help);
        for (size_t i = 0; i < n; i++) {
            buf_printf(out, "%s{alertmanager=\"", peer_families[f].name);
            put_escaped(out, list[i].url);
            buf_sv(out, SV("\"}"));
            metric_value(out, peer_families[f].value(&list[i]));
        }
    }
    put_latencies(out, list, n);
}

void parts_alerting_metrics(MonitorParts *p, Buf *out)
{
    _cleanup_arena_ Arena a;
    RulesStats rules;
    NotifierUrls urls;
    NotifierStats *peers;
    size_t n;
    arena_init(&a, 0);
    if (!p->rules || !p->notifier)
        return;
    if (rules_stats(p->rules, &a, &rules, NULL) < 0 ||
        notifier_stats(p->notifier, &a, &peers, &n, NULL) < 0 ||
        notifier_urls(p->notifier, &a, &urls, NULL) < 0) {
        out->failed = true;
        return;
    }
    put_rules(out, &rules);
    put_peers(out, peers, n);
    metric_head(out, "prometheus_notifications_queue_capacity", "gauge",
                "Alerts that may wait for one Alertmanager.");
    buf_sv(out, SV("prometheus_notifications_queue_capacity"));
    metric_value(out, (double)notifier_capacity(p->notifier));
    metric_head(out, "prometheus_notifications_alertmanagers_discovered", "gauge",
                "Alertmanagers that were found.");
    buf_sv(out, SV("prometheus_notifications_alertmanagers_discovered"));
    metric_value(out, (double)urls.n_active);
}
