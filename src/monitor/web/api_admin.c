/* api_admin.c - /api/v1/admin/tsdb/…: only with --web.enable-admin-api. */
#include "monitor/web/internal.h"

static bool allowed(Call *c)
{
    return c->web->opt.admin || api_error(c, API_UNAVAILABLE, "admin APIs disabled");
}

void serve_delete_series(Call *c)
{
    int64_t start, end;
    CallMatchers m = { 0 };
    Err err = { 0 };
    if (!allowed(c))
        return;
    if (call_param(c, SV("match[]")).len == 0) {
        api_error(c, API_BAD_DATA, "no match[] parameter provided");
        return;
    }
    if (!call_time(c, SV("start"), CALL_TIME_MIN, &start) ||
        !call_time(c, SV("end"), CALL_TIME_MAX, &end))
        return;
    if (call_matchers(c, false, &m)) {
        if (tsdb_delete(call_db(c), start, end, m.sets, m.len, &err) < 0)
            api_error_from(c, &err);
        else
            c->status = 204;
    }
    call_matchers_free(&m);
}

/* As Go's strconv.ParseBool. */
static bool parse_bool(StrView s, bool *ret)
{
    static const StrView yes[] = { SV_INIT("1"),    SV_INIT("t"),    SV_INIT("T"),
                                   SV_INIT("true"), SV_INIT("TRUE"), SV_INIT("True") },
                         no[] = { SV_INIT("0"),     SV_INIT("f"),     SV_INIT("F"),
                                  SV_INIT("false"), SV_INIT("FALSE"), SV_INIT("False") };
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (sv_eq(s, yes[i]) || sv_eq(s, no[i])) {
            *ret = sv_eq(s, yes[i]);
            return true;
        }
    return false;
}

void serve_snapshot(Call *c)
{
    bool skip_head = false;
    char name[64];
    Err err = { 0 };
    StrView skip = call_param(c, SV("skip_head"));
    if (!allowed(c))
        return;
    if (skip.len && !parse_bool(skip, &skip_head)) {
        api_error_invalid(c, SV("skip_head"),
                          "unable to parse boolean: strconv.ParseBool: parsing \"%.*s\": invalid "
                          "syntax",
                          SV_FMT(skip));
        return;
    }
    if (tsdb_snapshot(call_db(c), !skip_head, name, &err) < 0) {
        api_error(c, API_INTERNAL, "create snapshot: %s", err.msg);
        return;
    }
    api_begin(c);
    buf_sv(&c->out, SV("{\"name\":"));
    json_put_text(&c->out, sv_cstr(name));
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

void serve_clean_tombstones(Call *c)
{
    Err err = { 0 };
    if (!allowed(c))
        return;
    if (tsdb_clean_tombstones(call_db(c), &err) < 0)
        api_error_from(c, &err);
    else
        c->status = 204;
}
