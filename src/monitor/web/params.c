/* params.c - what a request's parameters mean: times, durations, limits, selectors. */
#include <errno.h>
#include <math.h>

#include "monitor/model/duration.h"
#include "monitor/web/call.h"

StrView call_param(const Call *c, StrView name)
{
    StrView v = SV("");
    unsigned pos = 0;
    call_param_next(c, name, &pos, &v);
    return v;
}

bool call_param_next(const Call *c, StrView name, unsigned *pos, StrView *ret)
{
    while (*pos < c->n_params) {
        const Param *p = &c->params[(*pos)++];
        if (sv_eq(p->name, name)) {
            *ret = p->value;
            return true;
        }
    }
    return false;
}

/* Whole ms as Prometheus rounds them: the fraction of a second to three decimals. */
static int64_t seconds_to_ms(double s)
{
    double whole = trunc(s), ms = round((s - whole) * 1000);
    if (isnan(s))
        return 0;
    if (whole * 1000 <= (double)CALL_TIME_MIN)
        return CALL_TIME_MIN;
    if (whole * 1000 >= (double)CALL_TIME_MAX)
        return CALL_TIME_MAX;
    return (int64_t)whole * 1000 + (int64_t)ms;
}

int bool_param_parse(StrView s, bool *ret)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = {
        "0", "f", "F", "false", "FALSE", "False"
    };
    for (unsigned i = 0; i < ARRAY_SIZE(yes); i++) {
        *ret = sv_eq(s, sv_cstr(yes[i]));
        if (*ret || sv_eq(s, sv_cstr(no[i])))
            return 0;
    }
    return -EINVAL;
}

int time_param_parse(StrView s, int64_t *ret_ms)
{
    double seconds;
    int64_t ns;
    if (sv_to_double(s, &seconds) == 0)
        *ret_ms = seconds_to_ms(seconds);
    else if (rfc3339_parse(s, &ns) == 0)
        *ret_ms = ns >= 0 ? ns / NSEC_PER_MSEC : -((NSEC_PER_MSEC - 1 - ns) / NSEC_PER_MSEC);
    /* How clients of Prometheus write the widest range; no year has six digits elsewhere. */
    else if (sv_eq(s, SV("-292273086-05-16T16:47:06Z")))
        *ret_ms = CALL_TIME_MIN;
    else if (sv_eq(s, SV("292277025-08-18T07:12:54.999999999Z")))
        *ret_ms = CALL_TIME_MAX;
    else
        return -EINVAL;
    return 0;
}

int duration_param_parse(StrView s, int64_t *ret_ms)
{
    double seconds;
    if (sv_to_double(s, &seconds) == 0) {
        if (!(fabs(seconds) < 9223372036.854775))
            return isnan(seconds) ? -EINVAL : -ERANGE;
        *ret_ms = (int64_t)(seconds * 1000);
        return 0;
    }
    return prom_duration_parse(s, ret_ms) < 0 ? -EINVAL : 0;
}

static StrView quoted(Call *c, StrView s)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    text_quote(s, &b);
    StrView copy = arena_sv(&c->arena, buf_view(&b));
    return copy.ptr ? copy : SV("\"\"");
}

bool call_time_needed(Call *c, StrView name, int64_t *ret_ms)
{
    StrView v = call_param(c, name);
    if (time_param_parse(v, ret_ms) == 0)
        return true;
    StrView q = quoted(c, v);
    return api_error_invalid(c, name, "cannot parse %.*s to a valid timestamp", SV_FMT(q));
}

bool call_time(Call *c, StrView name, int64_t fallback, int64_t *ret_ms)
{
    StrView v = call_param(c, name);
    *ret_ms = fallback;
    if (v.len == 0 || time_param_parse(v, ret_ms) == 0)
        return true;
    StrView q = quoted(c, v);
    return api_error_invalid(
        c, name, "invalid time value for '%.*s': cannot parse %.*s to a valid timestamp",
        SV_FMT(name), SV_FMT(q));
}

bool call_duration(Call *c, StrView name, int64_t *ret_ms)
{
    StrView v = call_param(c, name);
    int r = duration_param_parse(v, ret_ms);
    if (r == 0)
        return true;
    StrView q = quoted(c, v);
    bool lookback = sv_eq(name, SV("lookback_delta"));
    const char *tail = r == -ERANGE ? ". It overflows int64" : "";
    if (lookback)
        return api_error(
            c, API_BAD_DATA,
            "error parsing lookback delta duration: cannot parse %.*s to a valid duration%s",
            SV_FMT(q), tail);
    return api_error_invalid(c, name, "cannot parse %.*s to a valid duration%s", SV_FMT(q), tail);
}

bool call_limit(Call *c, int64_t *ret)
{
    StrView v = call_param(c, SV("limit"));
    *ret = 0;
    if (v.len == 0)
        return true;
    int r = sv_to_i64(v, ret);
    if (r < 0) {
        StrView q = quoted(c, v);
        return api_error_invalid(c, SV("limit"), "strconv.Atoi: parsing %.*s: %s", SV_FMT(q),
                                 r == -ERANGE ? "value out of range" : "invalid syntax");
    }
    if (*ret < 0)
        return api_error_invalid(c, SV("limit"), "limit must be non-negative");
    return true;
}

static bool demands_something(const MatcherSet *s)
{
    for (unsigned i = 0; i < s->len; i++)
        if (!matcher_matches(&s->items[i], SV("")))
            return true;
    return false;
}

bool call_matchers(Call *c, bool non_empty, CallMatchers *ret)
{
    StrView v;
    unsigned n = 0;
    *ret = (CallMatchers){ 0 };
    for (unsigned pos = 0; call_param_next(c, SV("match[]"), &pos, &v);)
        n++;
    ret->sets = arena_array(&c->arena, MatcherSet, n + 1);
    ret->exprs = arena_array(&c->arena, PromqlExpr *, n + 1);
    if (!ret->sets || !ret->exprs)
        return api_error(c, API_INTERNAL, "out of memory");
    for (unsigned pos = 0; call_param_next(c, SV("match[]"), &pos, &v);) {
        Err err = { 0 };
        MatcherSet *s = &ret->sets[ret->len];
        PromqlExpr **e = &ret->exprs[ret->len];
        if (promql_parse_selector(v, &c->arena, e, &s->items, &s->len, &err) < 0)
            return api_error(c, API_BAD_DATA, "%s", err.msg);
        ret->len++;
        if (non_empty && !demands_something(s))
            return api_error(c, API_BAD_DATA,
                             "match[] must contain at least one non-empty matcher");
    }
    return true;
}

void call_matchers_free(CallMatchers *m)
{
    for (unsigned i = 0; i < m->len; i++)
        promql_expr_free(m->exprs[i]);
    m->len = 0;
}
