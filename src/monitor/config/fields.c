/* fields.c - kinds of values that Prometheus' files have beyond those of codec/bind.h, and the keys
 * that they know and this program does not. */
#include "monitor/config/bind.h"
#include "monitor/model/duration.h"

/* ---- scalars ---- */

static int read_duration(Binder *b, const Value *v, int64_t *ret)
{
    StrView s = value_str(v);
    if (prom_duration_parse(s, ret) == 0)
        return 0;
    _cleanup_buf_ Buf why = BUF_INIT;
    prom_duration_explain(s, &why);
    return bind_fail(b, v, "%.*s", SV_FMT(buf_view(&why)));
}

/* "512MB", "1.5GiB", "1GiB512MiB", "0": all in powers of 1024. */
static int read_size(Binder *b, const Value *v, uint64_t *ret)
{
    static const char prefixes[] = "KMGTPE";
    StrView s = value_str(v);
    double sum = 0;

    for (bool first = true; s.len || first; first = false) {
        size_t n = 0;
        while (n < s.len && ((s.ptr[n] >= '0' && s.ptr[n] <= '9') || s.ptr[n] == '.'))
            n++;
        double x;
        if (!n || sv_to_double(sv_head(s, n), &x) < 0)
            return bind_fail(b, v, "units: invalid %.*s", SV_FMT(value_str(v)));
        s = sv_skip(s, n);
        const char *p = s.len ? strchr(prefixes, s.ptr[0]) : NULL;
        for (long i = p && *p ? p - prefixes + 1 : 0; i > 0; i--)
            x *= 1024;
        s = sv_skip(s, p && *p ? 1 : 0);
        if (p && *p && s.len && s.ptr[0] == 'i')
            s = sv_skip(s, 1);
        if (s.len && s.ptr[0] == 'B')
            s = sv_skip(s, 1);
        else if (s.len || p || x != 0) /* only 0 does without a unit */
            return bind_fail(b, v, "units: unknown unit %.*s in %.*s", SV_FMT(s),
                             SV_FMT(value_str(v)));
        sum += x;
    }
    if (sum >= 9.2e18)
        return bind_fail(b, v, "%.*s is too large", SV_FMT(value_str(v)));
    *ret = (uint64_t)sum;
    return 0;
}

static int read_action(Binder *b, const Value *v, RelabelAction *ret)
{
    for (unsigned i = 0; i < RELABEL_ACTION_MAX; i++) {
        if (sv_eq_nocase(value_str(v), sv_cstr(relabel_action_names[i]))) {
            *ret = (RelabelAction)i;
            return 0;
        }
    }
    return bind_fail(b, v, "unknown relabel action \"%.*s\"", SV_FMT(value_str(v)));
}

static int read_url(Binder *b, const Value *v, StrView *ret)
{
    StrView s = value_str(v);
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return bind_fail(b, v, "parse \"%.*s\": invalid character in URL", SV_FMT(s));
    *ret = s;
    return 0;
}

/* ---- maps ---- */

static int read_labels(Binder *b, const Value *v, Labels *ret)
{
    LabelsBuilder lb;

    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string]string");
    labels_builder_init(&lb, b->arena, (Labels){ 0 });
    value_map_foreach (m, v) {
        if (m->val.kind != VALUE_STRING && m->val.kind != VALUE_NULL)
            return bind_bad_type(b, &m->val, "string");
        if (!sv_is_utf8(value_str(&m->val)))
            return bind_fail(b, &m->val, "the value of \"%.*s\" is not a valid label value",
                             SV_FMT(m->key));
        labels_builder_set(&lb, m->key, value_str(&m->val));
    }
    return labels_builder_take(&lb, ret) ? 0 : err_nomem(b->err);
}

static const Field header_fields[] = {
    { "values", FIELD_TEXTS, false, offsetof(FetchExtraHeader, values), NULL },
    { "secrets", FIELD_TEXTS, false, offsetof(FetchExtraHeader, secrets), NULL },
    { "files", FIELD_TEXTS, false, offsetof(FetchExtraHeader, files), NULL },
};
static const Type type_header = {
    "config.Header", sizeof(FetchExtraHeader), header_fields, ARRAY_SIZE(header_fields), NULL, NULL
};

static int read_headers(Binder *b, const Value *v, FetchExtraHeaders *ret)
{
    int r;
    if (v->kind != VALUE_MAP)
        return bind_bad_type(b, v, "map[string]config.Header");
    FetchExtraHeader *items = arena_array(b->arena, FetchExtraHeader, v->len + 1u);
    if (!items)
        return err_nomem(b->err);
    unsigned n = 0;
    value_map_foreach (m, v) {
        BindFrame f = { .up = b->frame, .key = m->key };
        b->frame = &f;
        if ((r = bind_struct(b, &type_header, &items[n], &m->val)) < 0)
            return r;
        items[n++].name = m->key;
        b->frame = f.up;
    }
    *ret = (FetchExtraHeaders){ items, n };
    return 0;
}

/* ---- the format ---- */

static int read_own(Binder *b, const Field *f, void *at, const Value *v)
{
    if (f->kind == FIELD_LABELS)
        return read_labels(b, v, at);
    if (f->kind == FIELD_HEADERS)
        return read_headers(b, v, at);
    if (v->kind != VALUE_STRING)
        return bind_bad_type(b, v, "string");
    switch (f->kind) {
    case FIELD_DURATION:
        return read_duration(b, v, at);
    case FIELD_SIZE:
        return read_size(b, v, at);
    case FIELD_ACTION:
        return read_action(b, v, at);
    default:
        return read_url(b, v, at);
    }
}

/* Kinds of discovery that Prometheus has and this program has not. */
static int unknown_key(Binder *b, StrView key, const Value *v)
{
    if (!sv_ends(key, SV("_sd_configs")))
        return 0;
    return bind_fail(b, v, "%.*s is not supported: static, file, http, dns and kubernetes are",
                     SV_FMT(key));
}

const BindFormat config_bind_format = { .read = read_own, .unknown = unknown_key };
