/* rules_json.c - the answers about rules and alerts, in the shapes of Prometheus' web/api/v1. On
 * pool threads. */
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "monitor/model/number.h"
#include "monitor/parts/internal.h"
#include "monitor/web/json_out.h"

/* ---- members ---- */

static void put_text(Buf *out, const char *name, StrView text)
{
    buf_printf(out, "\"%s\":", name);
    json_put_text(out, text);
}

static void put_seconds(Buf *out, const char *name, double v)
{
    char text[DOUBLE_JSON_SIZE];
    size_t n = double_format_json(v, text);
    buf_printf(out, "\"%s\":%.*s", name, (int)n, text);
}

static void put_labels(Buf *out, const char *name, Labels l)
{
    buf_printf(out, "\"%s\":", name);
    json_put_labels(out, l);
}

static void put_time(Buf *out, const char *name, int64_t ns)
{
    char text[RFC3339_SIZE] = "0001-01-01T00:00:00Z";
    if (ns)
        rfc3339_format_nano(ns, text);
    put_text(out, name, sv_cstr(text));
}

/* Go's FormatFloat(v, 'e', -1, 64): "1e+00". */
static void put_value(Buf *out, double v)
{
    char text[40];
    if (isnan(v) || isinf(v)) {
        put_text(out, "value", isnan(v) ? SV("NaN") : v > 0 ? SV("+Inf") : SV("-Inf"));
        return;
    }
    for (int digits = 0; digits <= 16; digits++) {
        snprintf(text, sizeof text, "%.*e", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    put_text(out, "value", sv_cstr(text));
}

/* ---- alerts ---- */

static void put_alert(Buf *out, const RuleAlert *a)
{
    buf_putc(out, '{');
    put_labels(out, "labels", a->labels);
    buf_putc(out, ',');
    put_labels(out, "annotations", a->annotations);
    buf_putc(out, ',');
    put_text(out, "state", sv_cstr(alert_state_name(a->state)));
    buf_putc(out, ',');
    put_time(out, "activeAt", a->active_at * NSEC_PER_MSEC);
    buf_putc(out, ',');
    if (a->keep_firing_since) {
        put_time(out, "keepFiringSince", a->keep_firing_since * NSEC_PER_MSEC);
        buf_putc(out, ',');
    }
    put_value(out, a->value);
    buf_putc(out, '}');
}

int parts_alerts(void *ctx, Buf *out, Err *err)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    RuleGroupView *groups = NULL;
    size_t n = 0;
    bool any = false;
    arena_init(&a, 0);
    int r = rules_list(p->rules, &a, &groups, &n, err);
    if (r < 0)
        return r;
    buf_sv(out, SV("{\"alerts\":["));
    for (size_t g = 0; g < n; g++)
        for (unsigned i = 0; i < groups[g].n; i++)
            for (size_t k = 0; k < groups[g].rules[i].n_alerts; k++) {
                if (any)
                    buf_putc(out, ',');
                any = true;
                put_alert(out, &groups[g].rules[i].alerts[k]);
            }
    buf_sv(out, SV("]}"));
    return 0;
}

/* ---- rules ---- */

static void put_alerting(Buf *out, const RuleView *v, bool exclude_alerts)
{
    const RuleDef *d = v->def;
    StrView state = v->last_eval_ns ? sv_cstr(alert_state_name(v->state)) : SV("unknown");
    put_text(out, "state", state);
    buf_putc(out, ',');
    put_text(out, "name", d->name);
    buf_putc(out, ',');
    put_text(out, "query", d->expr_text);
    buf_putc(out, ',');
    put_seconds(out, "duration", (double)d->hold / 1e3);
    buf_putc(out, ',');
    put_seconds(out, "keepFiringFor", (double)d->keep_firing / 1e3);
    buf_putc(out, ',');
    put_labels(out, "labels", d->labels);
    buf_putc(out, ',');
    put_labels(out, "annotations", d->annotations);
    buf_sv(out, SV(",\"alerts\":"));
    if (exclude_alerts) {
        buf_sv(out, SV("null,"));
        return;
    }
    buf_putc(out, '[');
    for (size_t i = 0; i < v->n_alerts; i++) {
        if (i)
            buf_putc(out, ',');
        put_alert(out, &v->alerts[i]);
    }
    buf_sv(out, SV("],"));
}

static void put_recording(Buf *out, const RuleDef *d)
{
    put_text(out, "name", d->name);
    buf_putc(out, ',');
    put_text(out, "query", d->expr_text);
    buf_putc(out, ',');
    put_labels(out, "labels", d->labels);
    buf_putc(out, ',');
}

static void put_rule(Buf *out, const RuleView *v, bool exclude_alerts)
{
    buf_putc(out, '{');
    if (v->def->alerting)
        put_alerting(out, v, exclude_alerts);
    else
        put_recording(out, v->def);
    put_text(out, "health", sv_cstr(v->health));
    buf_putc(out, ',');
    if (v->last_error.len) {
        put_text(out, "lastError", v->last_error);
        buf_putc(out, ',');
    }
    put_seconds(out, "evaluationTime", (double)v->eval_ns / 1e9);
    buf_putc(out, ',');
    put_time(out, "lastEvaluation", v->last_eval_ns);
    buf_printf(out, ",\"type\":\"%s\"}", v->def->alerting ? "alerting" : "recording");
}

/* ---- which of them ---- */

static bool listed(const StrView *list, unsigned n, StrView s)
{
    for (unsigned i = 0; i < n; i++)
        if (sv_eq(list[i], s))
            return true;
    return n == 0;
}

static bool matches(const WebRulesQuery *q, Labels l)
{
    for (unsigned i = 0; i < q->n_sets; i++) {
        const MatcherSet *s = &q->sets[i];
        bool all = true;
        for (unsigned k = 0; all && k < s->len; k++)
            all = matcher_matches(&s->items[k], labels_get(l, s->items[k].name));
        if (all)
            return true;
    }
    return q->n_sets == 0;
}

static bool wanted(const WebRulesQuery *q, const RuleDef *d)
{
    return (d->alerting ? q->alerting : q->recording) && listed(q->names, q->n_names, d->name) &&
           matches(q, d->labels);
}

/* The token of a page that begins with this group. */
static void make_token(const RuleGroupView *g, char hex[static 65])
{
    _cleanup_buf_ Buf text = BUF_INIT;
    unsigned char hash[EVP_MAX_MD_SIZE] = { 0 };
    unsigned len = 0;
    buf_printf(&text, "%.*s;%.*s", SV_FMT(g->file), SV_FMT(g->def->name));
    (void)EVP_Digest(text.ptr, text.len, hash, &len, EVP_sha256(), NULL);
    for (unsigned i = 0; i < 32; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", hash[i]);
}

static void put_group(Buf *out, const WebRulesQuery *q, const RuleGroupView *g)
{
    bool any = false;
    buf_putc(out, '{');
    put_text(out, "name", g->def->name);
    buf_putc(out, ',');
    put_text(out, "file", g->file);
    buf_sv(out, SV(",\"rules\":["));
    for (unsigned i = 0; i < g->n; i++) {
        if (!wanted(q, g->rules[i].def))
            continue;
        if (any)
            buf_putc(out, ',');
        any = true;
        put_rule(out, &g->rules[i], q->exclude_alerts);
    }
    buf_sv(out, SV("],"));
    put_seconds(out, "interval", (double)g->interval / 1e3);
    buf_printf(out, ",\"limit\":%lld,", (long long)g->def->limit);
    put_seconds(out, "evaluationTime", (double)g->eval_ns / 1e9);
    buf_putc(out, ',');
    put_time(out, "lastEvaluation", g->last_eval_ns);
    buf_putc(out, '}');
}

static bool group_wanted(const WebRulesQuery *q, const RuleGroupView *g)
{
    if (!listed(q->groups, q->n_groups, g->def->name) || !listed(q->files, q->n_files, g->file))
        return false;
    for (unsigned i = 0; i < g->n; i++)
        if (wanted(q, g->rules[i].def))
            return true;
    return false;
}

/* Where a page begins. */
static int find_start(const WebRulesQuery *q, const RuleGroupView *groups, size_t n, size_t *ret,
                      Err *err)
{
    char hex[65] = "";
    for (*ret = 0; q->next_token.len && *ret < n; ++*ret) {
        make_token(&groups[*ret], hex);
        if (sv_eq(q->next_token, sv_cstr(hex)))
            break;
    }
    if (q->next_token.len && *ret == n)
        return err_set(err, ERR_NOT_FOUND, 0,
                       "invalid group_next_token '%.*s'. were rule groups changed?",
                       SV_FMT(q->next_token));
    return 0;
}

int parts_rules(void *ctx, const WebRulesQuery *q, Buf *out, Err *err)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    RuleGroupView *groups = NULL;
    size_t n = 0, i = 0;
    int64_t put = 0;
    char next[65] = "";
    arena_init(&a, 0);
    int r = rules_list(p->rules, &a, &groups, &n, err);
    if (r < 0 || (r = find_start(q, groups, n, &i, err)) < 0)
        return r;
    buf_sv(out, SV("{\"groups\":["));
    for (; i < n; i++) {
        if (!group_wanted(q, &groups[i]))
            continue;
        if (q->group_limit && put == q->group_limit) {
            make_token(&groups[i], next);
            break;
        }
        if (put++)
            buf_putc(out, ',');
        put_group(out, q, &groups[i]);
    }
    buf_putc(out, ']');
    if (next[0]) {
        buf_putc(out, ',');
        put_text(out, "groupNextToken", sv_cstr(next));
    }
    buf_putc(out, '}');
    return 0;
}
