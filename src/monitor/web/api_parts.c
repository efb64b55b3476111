/* api_parts.c - what other parts of the monitor tell: targets, metadata, rules, alerts. Without a
 * part its set is empty. */
#include "monitor/web/internal.h"

static StrView lower(Call *c, StrView s)
{
    StrView copy = arena_sv(&c->arena, s);
    for (size_t i = 0; i < copy.len; i++)
        if (copy.ptr[i] >= 'A' && copy.ptr[i] <= 'Z')
            ((char *)(uintptr_t)copy.ptr)[i] |= 0x20;
    return copy.ptr ? copy : s;
}

static bool number_param(Call *c, StrView name, int64_t *ret)
{
    StrView v = call_param(c, name);
    *ret = -1;
    if (v.len == 0 || sv_to_i64(v, ret) == 0)
        return true;
    return api_error(c, API_BAD_DATA, "%.*s must be a number", SV_FMT(name));
}

void serve_targets(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    StrView state = lower(c, call_param(c, SV("state")));
    bool known = sv_eq(state, SV("active")) || sv_eq(state, SV("dropped"));
    bool any = state.len == 0 || sv_eq(state, SV("any"));
    api_begin(c);
    if (p->targets && (known || any))
        p->targets(p->ctx, any ? SV("any") : state, call_param(c, SV("scrapePool")), &c->out);
    else
        buf_sv(&c->out,
               SV("{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"));
    api_end(c, NULL, 0, NULL, 0);
}

void serve_scrape_pools(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    api_begin(c);
    buf_sv(&c->out, SV("{\"scrapePools\":"));
    if (p->scrape_pools)
        p->scrape_pools(p->ctx, &c->out);
    else
        buf_sv(&c->out, SV("[]"));
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

void serve_target_metadata(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    StrView target = call_param(c, SV("match_target"));
    const Matcher *ms = NULL;
    unsigned n = 0;
    PromqlExpr *e = NULL;
    int64_t limit;
    Err err = { 0 };
    if (!number_param(c, SV("limit"), &limit))
        return;
    if (target.len && promql_parse_selector(target, &c->arena, &e, &ms, &n, &err) < 0) {
        api_error_invalid(c, SV("match_target"), "%s", err.msg);
        return;
    }
    api_begin(c);
    if (p->target_metadata)
        p->target_metadata(p->ctx, ms, n, call_param(c, SV("metric")), limit, &c->out);
    else
        buf_sv(&c->out, SV("[]"));
    api_end(c, NULL, 0, NULL, 0);
    promql_expr_free(e);
}

void serve_metadata(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    int64_t limit, per_metric;
    if (!number_param(c, SV("limit"), &limit) ||
        !number_param(c, SV("limit_per_metric"), &per_metric))
        return;
    api_begin(c);
    if (p->metadata)
        p->metadata(p->ctx, call_param(c, SV("metric")), limit, per_metric, &c->out);
    else
        buf_sv(&c->out, SV("{}"));
    api_end(c, NULL, 0, NULL, 0);
}

void serve_rules(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    StrView type = lower(c, call_param(c, SV("type")));
    if (type.len && !sv_eq(type, SV("alert")) && !sv_eq(type, SV("record"))) {
        api_error_invalid(c, SV("type"), "not supported value \"%.*s\"", SV_FMT(type));
        return;
    }
    api_begin(c);
    if (p->rules)
        p->rules(p->ctx, type, &c->out);
    else
        buf_sv(&c->out, SV("{\"groups\":[]}"));
    api_end(c, NULL, 0, NULL, 0);
}

void serve_alerts(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    api_begin(c);
    if (p->alerts)
        p->alerts(p->ctx, &c->out);
    else
        buf_sv(&c->out, SV("{\"alerts\":[]}"));
    api_end(c, NULL, 0, NULL, 0);
}

void serve_alertmanagers(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    api_begin(c);
    if (p->alertmanagers)
        p->alertmanagers(p->ctx, &c->out);
    else
        buf_sv(&c->out, SV("{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}"));
    api_end(c, NULL, 0, NULL, 0);
}
