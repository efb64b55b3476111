/* http_util.c - the parts of HTTP that both versions share: queries, escapes, header look-up,
 * reason phrases. */
#include "net/http_util.h"

StrView http_header(const HttpReq *req, StrView lower_name)
{
    for (uint32_t i = 0; i < req->n_headers; i++)
        if (sv_eq(req->headers[i].name, lower_name))
            return req->headers[i].value;
    return SV_NULL;
}

int http_too_many_interims(Err *err)
{
    return err_set(err, ERR_LIMIT, 0, "more than %d informational (1xx) answers came",
                   HTTP_INTERIMS_MAX);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

StrView http_unescape(Arena *a, StrView s, bool plus)
{
    if (sv_find_char(s, '%') < 0 && (!plus || sv_find_char(s, '+') < 0))
        return s.ptr ? s : SV("");
    char *out = arena_alloc(a, s.len + 1);
    if (!out)
        return SV_NULL;
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int hi = i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
            int lo = i + 2 < s.len ? hex_digit(s.ptr[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return SV_NULL;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    return sv_n(out, n);
}

bool http_query_next(Arena *a, StrView *rest, StrView *ret_name, StrView *ret_value)
{
    StrView piece;
    while (sv_next(rest, '&', &piece)) {
        StrView name, value;
        if (sv_empty(piece))
            continue;
        sv_cut(piece, '=', &name, &value);
        name = http_unescape(a, name, true);
        value = http_unescape(a, value, true);
        if (!name.ptr || !value.ptr)
            continue; /* as Go: a parameter that cannot be read is not there */
        *ret_name = name;
        *ret_value = value;
        return true;
    }
    return false;
}

bool http_query(const HttpReq *req, StrView name, StrView *ret)
{
    StrView rest = req->query, n, v;
    while (http_query_next(req->arena, &rest, &n, &v))
        if (sv_eq(n, name)) {
            *ret = v;
            return true;
        }
    return false;
}

bool http_bool_value(StrView value)
{
    return !sv_eq(value, SV("0")) && !sv_eq_nocase(value, SV("false"));
}

bool http_query_true(const HttpReq *req, StrView name)
{
    StrView v;
    return http_query(req, name, &v) && http_bool_value(v);
}

/* RFC 9110 section 15 and its registry; what is not here gets its class's word. */
const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        { 100, "Continue" },
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].status == status)
            return table[i].reason;
    return status < 400 ? "OK" : status < 500 ? "Client Error" : "Server Error";
}
