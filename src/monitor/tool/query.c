/* query.c - what is asked for. The forms are those of client_golang's API client. */
#include "base/clock.h"
#include "codec/json.h"
#include "monitor/model/number.h"
#include "monitor/tool/query_internal.h"

enum { QUERY_TIMEOUT_MS = 2 * 60 * 1000, HEALTH_TIMEOUT_MS = 10 * 1000, MINUTE_MS = 60 * 1000 };
#define FAR_MS (INT64_C(9999) * 3600 * 1000) /* from when to when without --start and --end */

static int bad_answer(int status, StrView body, Err *err)
{
    const char *kind = status / 100 == 4 ? "client" : status / 100 == 5 ? "server" : NULL;
    body = sv_head(sv_trim(body), 300);
    if (kind)
        return err_set(err, ERR_PROTO, 0, "%s_error: %s error: %d%s%.*s%s", kind, kind, status,
                       body.len ? " (detail: " : "", SV_FMT(body), body.len ? ")" : "");
    return err_set(err, ERR_PROTO, 0, "bad_response: bad response code %d", status);
}

int query_api(Server *s, StrView path, StrView form, bool post, Arena *a, Value *ret, Err *err)
{
    ServerRequest q = { .path = path, .form = form, .post = post, .timeout_ms = QUERY_TIMEOUT_MS };
    StrView body;
    Value doc;
    int status, r = server_request(s, &q, a, &status, &body, err);
    if (r >= 0 && post && (status == 405 || status == 501)) { /* older servers, and proxies */
        q.post = false;
        r = server_request(s, &q, a, &status, &body, err);
    }
    if (r < 0)
        return r;
    if (status / 100 != 2 && status != 400 && status != 422)
        return bad_answer(status, body, err);
    if (json_decode(body, a, NULL, &doc, err) < 0)
        return err_wrap(err, "bad_response");
    if (!sv_eq(value_path_str(&doc, "status"), SV("success")))
        return err_set(err, ERR_INVALID, 0, "%.*s: %.*s", SV_FMT(value_path_str(&doc, "errorType")),
                       SV_FMT(value_path_str(&doc, "error")));
    const Value *data = value_get(&doc, SV("data"));
    *ret = data ? *data : value_null();
    return 0;
}

static void form_time(Buf *form, StrView name, int64_t ms)
{
    char text[DOUBLE_JSON_SIZE];
    size_t n = time_format_json(ms, text);
    form_add(form, name, sv_n(text, n));
}

static int64_t now_ms(void)
{
    return clock_real_ns() / NSEC_PER_MSEC;
}

/* `text` NULL: `absent`. */
static int time_or(const char *text, int64_t absent, const char *what, int64_t *ret, Err *err)
{
    *ret = absent;
    if (!text || !*text || tool_time(sv_cstr(text), ret, err) >= 0)
        return 0;
    return err_wrap(err, "error parsing %s time", what);
}

/* Asks, and prints by `print`; what goes wrong is told. */
typedef int PrintFn(const Value *data, bool json, Arena *a, Buf *out, Err *err);

static int ask(const ToolIo *io, const QueryOptions *o, StrView path, const Buf *form, bool post,
               PrintFn *print)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    Server *s = NULL;
    Value data;
    Err err = { 0 };
    arena_init(&a, 0);
    int r = form->failed ? err_nomem(&err) : server_new(&o->server, &s, &err);
    if (r < 0) {
        tool_complain(io, "error creating API client: %s\n", err.msg);
        return TOOL_FAILED;
    }
    r = query_api(s, path, buf_view(form), post, &a, &data, &err);
    if (r >= 0)
        r = print(&data, o->json, &a, &out, &err);
    server_free(s);
    if (r >= 0 && out.failed)
        r = err_nomem(&err);
    if (r < 0) {
        tool_complain(io, "query error: %s\n", err.msg);
        return TOOL_FAILED;
    }
    fwrite(buf_view(&out).ptr, 1, out.len, io->out);
    return TOOL_OK;
}

int tool_query_instant(const ToolIo *io, const QueryOptions *o, const char *expr)
{
    _cleanup_buf_ Buf form = BUF_INIT;
    int64_t time;
    Err err = { 0 };
    if (time_or(o->time, now_ms(), "evaluation", &time, &err) < 0)
        return tool_failed(io, &err);
    form_add(&form, SV("query"), sv_cstr(expr));
    form_time(&form, SV("time"), time);
    return ask(io, o, SV("/api/v1/query"), &form, true, result_print);
}

int tool_query_range(const ToolIo *io, const QueryOptions *o, const char *expr)
{
    _cleanup_buf_ Buf form = BUF_INIT;
    int64_t start, end;
    Err err = { 0 };
    if (time_or(o->end, now_ms(), "end", &end, &err) < 0 ||
        time_or(o->start, end - 5 * MINUTE_MS, "start", &start, &err) < 0)
        return tool_failed(io, &err);
    if (start >= end) {
        tool_complain(io, "start time is not before end time\n");
        return TOOL_FAILED;
    }
    int64_t step = o->step_ms ? o->step_ms : MAX((end - start) / 1000 / 250, INT64_C(1)) * 1000;
    form_add(&form, SV("query"), sv_cstr(expr));
    form_time(&form, SV("start"), start);
    form_time(&form, SV("end"), end);
    form_time(&form, SV("step"), step);
    return ask(io, o, SV("/api/v1/query_range"), &form, true, result_print);
}

static int add_range(const QueryOptions *o, Buf *form, Err *err)
{
    int64_t start, end, now = now_ms();
    int r;
    if ((r = time_or(o->start, now - FAR_MS, "start", &start, err)) < 0 ||
        (r = time_or(o->end, now + FAR_MS, "end", &end, err)) < 0)
        return r;
    form_time(form, SV("start"), start);
    form_time(form, SV("end"), end);
    for (unsigned i = 0; i < o->n_matches; i++)
        form_add(form, SV("match[]"), sv_cstr(o->matches[i]));
    return 0;
}

int tool_query_series(const ToolIo *io, const QueryOptions *o)
{
    _cleanup_buf_ Buf form = BUF_INIT;
    Err err = { 0 };
    if (add_range(o, &form, &err) < 0)
        return tool_failed(io, &err);
    return ask(io, o, SV("/api/v1/series"), &form, true, series_print);
}

static int print_names(const Value *data, bool json, Arena *a, Buf *out, Err *err)
{
    return names_print(data, json, out, err);
}

/* A name that is not a plain one goes into the path as U__ and hex digits. */
static void put_label_name(StrView name, Buf *path)
{
    if (label_name_is_legacy(name)) {
        buf_sv(path, name);
        return;
    }
    buf_sv(path, SV("U__"));
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c == '_')
            buf_sv(path, SV("__"));
        else if (c < 0x80 &&
                 (label_name_is_legacy(sv_n(&name.ptr[i], 1)) || (c >= '0' && c <= '9' && i > 0)))
            buf_putc(path, (char)c);
        else
            buf_printf(path, "_%x_", c);
    }
}

int tool_query_labels(const ToolIo *io, const QueryOptions *o, const char *name)
{
    _cleanup_buf_ Buf form = BUF_INIT, path = BUF_INIT;
    Err err = { 0 };
    if (add_range(o, &form, &err) < 0)
        return tool_failed(io, &err);
    buf_sv(&path, SV("/api/v1/label/"));
    put_label_name(sv_cstr(name), &path);
    buf_sv(&path, SV("/values"));
    form.failed |= path.failed;
    return ask(io, o, buf_view(&path), &form, false, print_names);
}

int tool_check_server(const ToolIo *io, const ServerOptions *o, const char *path)
{
    _cleanup_arena_ Arena a;
    Server *s = NULL;
    StrView body;
    Err err = { 0 };
    int status;
    const ServerRequest q = { .path = sv_cstr(path), .timeout_ms = HEALTH_TIMEOUT_MS };
    arena_init(&a, 0);
    int r = server_new(o, &s, &err);
    if (r >= 0)
        r = server_request(s, &q, &a, &status, &body, &err);
    server_free(s);
    if (r >= 0 && status != 200)
        r = err_set(&err, ERR_PROTO, 0, "check failed: URL=%s, status=%d", o->url, status);
    if (r < 0)
        return tool_failed(io, &err);
    tool_complain(io, "  SUCCESS:  %.*s\n", SV_FMT(body));
    return TOOL_OK;
}
