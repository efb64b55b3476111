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

/* All values of a parameter that may be repeated. */
static bool list_param(Call *c, StrView name, const StrView **ret, unsigned *ret_n)
{
    StrView *list = arena_array(&c->arena, StrView, c->n_params + 1u);
    unsigned pos = 0;
    if (!list)
        return api_error(c, API_INTERNAL, "out of memory");
    while (call_param_next(c, name, &pos, &list[*ret_n]))
        ++*ret_n;
    *ret = list;
    return true;
}

static bool exclude_param(Call *c, bool *ret)
{
    StrView v = lower(c, call_param(c, SV("exclude_alerts")));
    if (!v.len || bool_param_parse(v, ret) == 0)
        return true;
    return api_error_invalid(c, SV("exclude_alerts"),
                             "error converting exclude_alerts: strconv.ParseBool: parsing "
                             "\"%.*s\": invalid syntax",
                             SV_FMT(v));
}

static bool page_params(Call *c, WebRulesQuery *q)
{
    StrView limit = call_param(c, SV("group_limit"));
    q->next_token = call_param(c, SV("group_next_token"));
    if (q->next_token.len && !limit.len)
        return api_error_invalid(
            c, SV("group_next_token"),
            "group_limit needs to be present in order to paginate over the groups");
    if (!limit.len)
        return true;
    if (sv_to_i64(limit, &q->group_limit) < 0 || q->group_limit > INT32_MAX)
        return api_error_invalid(c, SV("group_limit"),
                                 "group_limit needs to be a valid number: \"%.*s\"", SV_FMT(limit));
    if (q->group_limit <= 0)
        return api_error_invalid(c, SV("group_limit"), "group_limit needs to be greater than 0");
    return true;
}

static bool rules_params(Call *c, WebRulesQuery *q)
{
    StrView type = lower(c, call_param(c, SV("type")));
    q->alerting = type.len == 0 || sv_eq(type, SV("alert"));
    q->recording = type.len == 0 || sv_eq(type, SV("record"));
    if (!q->alerting && !q->recording)
        return api_error_invalid(c, SV("type"), "not supported value \"%.*s\"", SV_FMT(type));
    return list_param(c, SV("rule_name[]"), &q->names, &q->n_names) &&
           list_param(c, SV("rule_group[]"), &q->groups, &q->n_groups) &&
           list_param(c, SV("file[]"), &q->files, &q->n_files) &&
           exclude_param(c, &q->exclude_alerts) && page_params(c, q);
}

void serve_rules(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    WebRulesQuery q = { 0 };
    CallMatchers m = { 0 };
    Err err = { 0 };
    if (!rules_params(c, &q))
        return;
    if (!call_matchers(c, true, &m)) {
        call_matchers_free(&m);
        return;
    }
    q.sets = m.sets;
    q.n_sets = m.len;
    api_begin(c);
    int r = 0;
    if (p->rules)
        r = p->rules(p->ctx, &q, &c->out, &err);
    else
        buf_sv(&c->out, SV("{\"groups\":[]}"));
    if (r == 0)
        api_end(c, NULL, 0, NULL, 0);
    else if (err.code == ERR_NOT_FOUND)
        api_error_invalid(c, SV("group_next_token"), "%s", err.msg);
    else
        api_error(c, API_INTERNAL, "%s", err.msg);
    call_matchers_free(&m);
}

void serve_alerts(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    Err err = { 0 };
    api_begin(c);
    if (!p->alerts)
        buf_sv(&c->out, SV("{\"alerts\":[]}"));
    else if (p->alerts(p->ctx, &c->out, &err) < 0) {
        api_error(c, API_INTERNAL, "%s", err.msg);
        return;
    }
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
