/* passing.c - which headers go through when the server forwards a request. */
#include "apiserver/passing.h"

static const StrView of_connection[] = {
    SV_INIT("connection"),
    SV_INIT("proxy-connection"),
    SV_INIT("keep-alive"),
    SV_INIT("te"),
    SV_INIT("proxy-authenticate"),
    SV_INIT("proxy-authorization"),
    SV_INIT("trailer"),
    SV_INIT("transfer-encoding"),
    SV_INIT("upgrade"),
    SV_INIT("content-length"),
};

static const StrView of_user[] = {
    SV_INIT("authorization"), SV_INIT("x-remote-user"), SV_INIT("x-remote-group"),
    SV_INIT("x-remote-uid"),  SV_INIT("expect"),        SV_INIT("host"),
};

static const StrView of_origins[] = {
    SV_INIT("access-control-allow-credentials"),
    SV_INIT("access-control-allow-headers"),
    SV_INIT("access-control-allow-methods"),
    SV_INIT("access-control-allow-origin"),
};

static bool is_in(const StrView *list, size_t n, StrView name)
{
    for (size_t i = 0; i < n; i++)
        if (sv_eq(list[i], name))
            return true;
    return false;
}

/* Named by a Connection header: then it is of that connection too. */
static bool is_named(const HttpHeader *headers, uint32_t n, StrView name)
{
    for (uint32_t i = 0; i < n; i++) {
        StrView rest = headers[i].value, one;
        if (!sv_eq(headers[i].name, SV("connection")))
            continue;
        while (sv_next(&rest, ',', &one))
            if (sv_eq_nocase(sv_trim(one), name))
                return true;
    }
    return false;
}

bool passes_on(const HttpReq *req, StrView name)
{
    return !is_in(of_connection, ARRAY_SIZE(of_connection), name) &&
           !is_in(of_user, ARRAY_SIZE(of_user), name) && !sv_starts(name, SV("impersonate-")) &&
           !sv_starts(name, SV("x-remote-extra-")) && !is_named(req->headers, req->n_headers, name);
}

bool passes_back(const HttpHeader *headers, uint32_t n, StrView name)
{
    return !is_in(of_connection, ARRAY_SIZE(of_connection), name) &&
           !is_in(of_origins, ARRAY_SIZE(of_origins), name) && !is_named(headers, n, name);
}
