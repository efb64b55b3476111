/* show.c - structs to YAML by the tables of bind.h, for /api/v1/status/config. Secrets are shown as
 * "<secret>", passwords in addresses as "xxxxx". */
#include "monitor/config/bind.h"
#include "monitor/model/duration.h"
#include "monitor/model/number.h"

static StrView show_size(Arena *a, uint64_t n)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    _cleanup_buf_ Buf out = BUF_INIT;

    for (unsigned i = ARRAY_SIZE(units); i-- > 0;) {
        uint64_t one = UINT64_C(1) << (10 * i);
        if (n / one)
            buf_printf(&out, "%llu%s", (unsigned long long)(n / one), units[i]);
        n %= one;
    }
    if (!out.len)
        buf_sv(&out, SV("0B"));
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

static StrView show_duration(Arena *a, int64_t ms)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    prom_duration_format(ms, &out);
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

static StrView show_url(Arena *a, StrView url)
{
    ssize_t scheme = sv_find(url, SV("://"));
    if (scheme < 0)
        return url;
    StrView rest = sv_skip(url, (size_t)scheme + 3), host = rest, tail;
    sv_cut(rest, '/', &host, &tail);
    ssize_t at = sv_rfind_char(host, '@'), colon = at < 0 ? -1 : sv_find_char(host, ':');
    if (colon < 0 || colon > at)
        return url;
    size_t head = (size_t)(rest.ptr - url.ptr) + (size_t)colon + 1;
    return arena_printf(a, "%.*sxxxxx%.*s", (int)head, url.ptr, SV_FMT(sv_skip(rest, (size_t)at)));
}

static bool push_texts(const BindShow *how, const StrList *s, bool secret, Value *ret)
{
    *ret = value_list();
    for (unsigned i = 0; i < s->len; i++)
        if (!value_push(how->arena, ret,
                        value_sv(secret && !how->secrets ? SV("<secret>") : s->items[i])))
            return false;
    return true;
}

static bool show_params(const BindShow *how, const StrParams *p, bool secret, Value *ret)
{
    *ret = value_map();
    for (unsigned i = 0; i < p->len; i++) {
        Value list;
        if (!push_texts(how, &p->items[i].values, secret, &list) ||
            !value_set(how->arena, ret, p->items[i].name, list))
            return false;
    }
    return true;
}

static bool show_labels(Arena *a, const Labels *l, Value *ret)
{
    *ret = value_map();
    for (unsigned i = 0; i < l->len; i++)
        if (!value_set(a, ret, l->items[i].name, value_sv(l->items[i].value)))
            return false;
    return true;
}

static bool show_header(const BindShow *how, const FetchExtraHeader *h, Value *ret)
{
    const StrList *lists[] = { &h->values, &h->secrets, &h->files };
    static const char *const names[] = { "values", "secrets", "files" };

    *ret = value_map();
    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
        Value list;
        if (lists[i]->len && (!push_texts(how, lists[i], i == 1, &list) ||
                              !value_set(how->arena, ret, sv_cstr(names[i]), list)))
            return false;
    }
    return true;
}

static bool show_headers(const BindShow *how, const FetchExtraHeaders *h, Value *ret)
{
    *ret = value_map();
    for (unsigned i = 0; i < h->len; i++) {
        Value one;
        if (!show_header(how, &h->items[i], &one) ||
            !value_set(how->arena, ret, h->items[i].name, one))
            return false;
    }
    return true;
}

typedef LIST(const char) AnyList;

static bool show_list(const BindShow *how, const Type *t, const AnyList *l, Value *ret)
{
    *ret = value_list();
    for (unsigned i = 0; i < l->len; i++) {
        Value one;
        if (!bind_show(how, t, l->items + i * t->size, &one) || !value_push(how->arena, ret, one))
            return false;
    }
    return true;
}

/* Whether Go's omitempty leaves it out. */
static bool is_zero(const Field *f, const void *at)
{
    switch (f->kind) {
    case FIELD_BOOL:
        return !*(const bool *)at;
    case FIELD_TRI:
        return *(const int8_t *)at == CONFIG_UNSET;
    case FIELD_INT:
    case FIELD_UINT:
    case FIELD_DURATION:
    case FIELD_SIZE:
        return *(const int64_t *)at == 0;
    case FIELD_DOUBLE:
        return *(const double *)at == 0;
    case FIELD_TEXT:
    case FIELD_SECRET:
    case FIELD_URL:
        return sv_empty(*(const StrView *)at);
    case FIELD_LABELS:
        return ((const Labels *)at)->len == 0;
    case FIELD_TEXTS:
    case FIELD_PARAMS:
    case FIELD_SECRET_PARAMS:
    case FIELD_HEADERS:
    case FIELD_LIST:
        return ((const AnyList *)at)->len == 0;
    case FIELD_POINTER:
        return *(void *const *)at == NULL;
    default:
        return false;
    }
}

static bool show_text(Arena *a, StrView s, Value *ret)
{
    *ret = value_sv(s);
    return s.ptr != NULL;
}

static bool show_field(const BindShow *how, const Field *f, const void *at, Value *ret)
{
    Arena *a = how->arena;
    switch (f->kind) {
    case FIELD_BOOL:
        *ret = value_bool(*(const bool *)at);
        return true;
    case FIELD_TRI:
        *ret = value_bool(*(const int8_t *)at == 1);
        return true;
    case FIELD_INT:
    case FIELD_UINT:
        *ret = value_int(*(const int64_t *)at);
        return true;
    case FIELD_DOUBLE:
        *ret = value_double(*(const double *)at);
        return true;
    case FIELD_DURATION:
        return show_text(a, show_duration(a, *(const int64_t *)at), ret);
    case FIELD_SIZE:
        return show_text(a, show_size(a, *(const uint64_t *)at), ret);
    case FIELD_SECRET:
        *ret = value_sv(how->secrets ? *(const StrView *)at : SV("<secret>"));
        return true;
    case FIELD_URL:
        return show_text(a, how->secrets ? *(const StrView *)at : show_url(a, *(const StrView *)at),
                         ret);
    case FIELD_ACTION:
        *ret = value_sv(sv_cstr(relabel_action_names[*(const RelabelAction *)at]));
        return true;
    case FIELD_TEXTS:
        return push_texts(how, at, false, ret);
    case FIELD_LABELS:
        return show_labels(a, at, ret);
    case FIELD_PARAMS:
    case FIELD_SECRET_PARAMS:
        return show_params(how, at, f->kind == FIELD_SECRET_PARAMS, ret);
    case FIELD_HEADERS:
        return show_headers(how, at, ret);
    case FIELD_STRUCT:
        return bind_show(how, f->sub, at, ret);
    case FIELD_POINTER:
        return bind_show(how, f->sub, *(void *const *)at, ret);
    case FIELD_LIST:
        return show_list(how, f->sub, at, ret);
    default:
        *ret = value_sv(*(const StrView *)at);
        return true;
    }
}

static bool show_into(const BindShow *how, const Type *t, const void *obj, Value *ret)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const Field *f = &t->fields[i];
        const void *at = (const char *)obj + f->offset;
        Value v;
        if (f->kind == FIELD_INLINE) {
            if (!show_into(how, f->sub, at, ret))
                return false;
            continue;
        }
        if (!f->keep && is_zero(f, at))
            continue;
        /* The default expression is left out, as Prometheus does. */
        if (t == &type_rule && sv_eq(sv_cstr(f->key), SV("regex")) &&
            sv_eq(*(const StrView *)at, SV("(.*)")))
            continue;
        if (!show_field(how, f, at, &v))
            return false;
        if (f->kind == FIELD_STRUCT && !f->keep && v.len == 0)
            continue;
        if (!value_set(how->arena, ret, sv_cstr(f->key), v))
            return false;
    }
    return true;
}

bool bind_show(const BindShow *how, const Type *t, const void *obj, Value *ret)
{
    *ret = value_map();
    return show_into(how, t, obj, ret);
}
