/* doc.h - documents for tests of the API library: written as JSON with ' for ". */
#pragma once

#include "unit.h"

#include "codec/json.h"

static inline Value doc(Arena *a, const char *text)
{
    StrView copy = arena_sv(a, sv_cstr(text));
    char *p = (char *)copy.ptr;
    Err err = { 0 };
    Value v;

    for (size_t i = 0; i < copy.len; i++)
        p[i] = p[i] == '\'' ? '"' : p[i];
    if (json_decode(copy, a, NULL, &v, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return v;
}

static inline void assert_doc(Arena *a, const Value *got, const char *want)
{
    Value w = doc(a, want);
    _cleanup_buf_ Buf x = BUF_INIT, y = BUF_INIT;

    if (value_equal(got, &w))
        return;
    json_encode(got, &x);
    json_encode(&w, &y);
    fail_msg("got  %s\nwant %s", buf_cstr(&x), buf_cstr(&y));
}
