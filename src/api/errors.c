/* errors.c - field errors: gathering them and rendering Kubernetes' text. */
#include "api/errors.h"

#include <stdio.h>

#include "codec/json.h"

enum { PATH_TEXT_MAX = 2048, ERRORS_MAX = 1000 };

void api_path_put(const ApiPath *p, Buf *out)
{
    if (!p)
        return;
    api_path_put(p->up, out);
    if (p->is_key)
        buf_printf(out, "[%.*s]", SV_FMT(p->name));
    else if (p->index >= 0)
        buf_printf(out, "[%lld]", (long long)p->index);
    else {
        if (out->len)
            buf_putc(out, '.');
        buf_sv(out, p->name);
    }
}

StrView api_path_text(const ApiPath *p, Arena *a)
{
    _cleanup_buf_ Buf text = BUF_INIT;

    text.limit = PATH_TEXT_MAX;
    api_path_put(p, &text);
    return text.failed ? SV_NULL : arena_sv(a, buf_view(&text));
}

static void add(ApiErrors *e, ApiErrorType type, const ApiPath *p, const Value *bad, StrView detail)
{
    ApiFieldError item = { .type = type, .path = api_path_text(p, e->arena), .detail = detail };

    if (e->len >= ERRORS_MAX) {
        e->failed = true;
        return;
    }
    if (!item.path.ptr || !detail.ptr) {
        e->failed = true;
        item.path = item.path.ptr ? item.path : SV("");
        item.detail = detail.ptr ? detail : SV("");
    }
    if (bad) {
        item.bad = *bad;
        item.has_bad = true;
    }
    if (e->len == e->cap) {
        size_t cap = e->cap ? e->cap * 2 : 8;
        ApiFieldError *items =
            arena_realloc(e->arena, e->items, e->cap * sizeof *items, cap * sizeof *items);
        if (!items) {
            e->failed = true;
            return;
        }
        e->items = items;
        e->cap = cap;
    }
    e->items[e->len++] = item;
}

void api_required(ApiErrors *e, const ApiPath *p, const char *detail)
{
    add(e, API_ERROR_REQUIRED, p, NULL, arena_sv(e->arena, sv_cstr(detail)));
}

void api_invalid(ApiErrors *e, const ApiPath *p, Value bad, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    StrView detail = arena_vprintf(e->arena, fmt, ap);
    va_end(ap);
    add(e, API_ERROR_INVALID, p, &bad, detail);
}

void api_forbidden(ApiErrors *e, const ApiPath *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    StrView detail = arena_vprintf(e->arena, fmt, ap);
    va_end(ap);
    add(e, API_ERROR_FORBIDDEN, p, NULL, detail);
}

void api_duplicate(ApiErrors *e, const ApiPath *p, Value bad)
{
    add(e, API_ERROR_DUPLICATE, p, &bad, SV(""));
}

void api_not_found(ApiErrors *e, const ApiPath *p, Value bad)
{
    add(e, API_ERROR_NOT_FOUND, p, &bad, SV(""));
}

void api_not_supported(ApiErrors *e, const ApiPath *p, Value bad, const StrView *allowed, size_t n)
{
    _cleanup_buf_ Buf text = BUF_INIT;

    for (size_t i = 0; i < n; i++) {
        buf_sv(&text, i ? SV(", ") : SV("supported values: "));
        json_encode_string(allowed[i], &text);
    }
    add(e, API_ERROR_NOT_SUPPORTED, p, &bad,
        text.failed ? SV_NULL : arena_sv(e->arena, buf_view(&text)));
}

void api_too_long(ApiErrors *e, const ApiPath *p, int64_t max_bytes)
{
    add(e, API_ERROR_TOO_LONG, p, NULL,
        arena_printf(e->arena, "may not be more than %lld %s", (long long)max_bytes,
                     max_bytes == 1 ? "byte" : "bytes"));
}

void api_too_many(ApiErrors *e, const ApiPath *p, int64_t actual, int64_t max_items)
{
    Value v = value_int(actual);

    add(e, API_ERROR_TOO_MANY, p, &v,
        arena_printf(e->arena, "must have at most %lld %s", (long long)max_items,
                     max_items == 1 ? "item" : "items"));
}

StrView api_error_reason(ApiErrorType t)
{
    static const StrView reasons[API_ERROR_MAX] = {
        [API_ERROR_NOT_FOUND] = SV_INIT("FieldValueNotFound"),
        [API_ERROR_REQUIRED] = SV_INIT("FieldValueRequired"),
        [API_ERROR_DUPLICATE] = SV_INIT("FieldValueDuplicate"),
        [API_ERROR_INVALID] = SV_INIT("FieldValueInvalid"),
        [API_ERROR_NOT_SUPPORTED] = SV_INIT("FieldValueNotSupported"),
        [API_ERROR_FORBIDDEN] = SV_INIT("FieldValueForbidden"),
        [API_ERROR_TOO_LONG] = SV_INIT("FieldValueTooLong"),
        [API_ERROR_TOO_MANY] = SV_INIT("FieldValueTooMany"),
        [API_ERROR_TYPE_INVALID] = SV_INIT("FieldValueTypeInvalid"),
    };

    return t < API_ERROR_MAX ? reasons[t] : SV("");
}

void api_error_body(const ApiFieldError *e, Buf *out)
{
    static const StrView titles[API_ERROR_MAX] = {
        [API_ERROR_NOT_FOUND] = SV_INIT("Not found"),
        [API_ERROR_REQUIRED] = SV_INIT("Required value"),
        [API_ERROR_DUPLICATE] = SV_INIT("Duplicate value"),
        [API_ERROR_INVALID] = SV_INIT("Invalid value"),
        [API_ERROR_NOT_SUPPORTED] = SV_INIT("Unsupported value"),
        [API_ERROR_FORBIDDEN] = SV_INIT("Forbidden"),
        [API_ERROR_TOO_LONG] = SV_INIT("Too long"),
        [API_ERROR_TOO_MANY] = SV_INIT("Too many"),
        [API_ERROR_TYPE_INVALID] = SV_INIT("Invalid value"),
    };

    buf_sv(out, titles[e->type]);
    if (e->has_bad) {
        buf_sv(out, SV(": "));
        json_encode(&e->bad, out);
    }
    if (e->detail.len) {
        buf_sv(out, SV(": "));
        buf_sv(out, e->detail);
    }
}

static void put_one(const ApiFieldError *e, Buf *out)
{
    buf_sv(out, e->path);
    buf_sv(out, SV(": "));
    api_error_body(e, out);
}

/* Whether an earlier error says the same. */
static bool repeated(const ApiErrors *e, size_t i)
{
    const ApiFieldError *x = &e->items[i];

    for (size_t j = 0; j < i; j++) {
        const ApiFieldError *y = &e->items[j];
        if (y->type == x->type && sv_eq(y->path, x->path) && sv_eq(y->detail, x->detail) &&
            value_equal(&y->bad, &x->bad))
            return true;
    }
    return false;
}

void api_errors_text(const ApiErrors *e, Buf *out)
{
    size_t n = 0, written = 0;

    for (size_t i = 0; i < e->len; i++)
        n += !repeated(e, i);
    if (n > 1)
        buf_putc(out, '[');
    for (size_t i = 0; i < e->len; i++) {
        if (repeated(e, i))
            continue;
        if (written++)
            buf_sv(out, SV(", "));
        put_one(&e->items[i], out);
    }
    if (n > 1)
        buf_putc(out, ']');
}
