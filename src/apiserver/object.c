/* object.c - keys, the stored form, and the attributes that selectors look at.
 *
 * A stored object starts with {"kind":"…","apiVersion":"…","metadata":{ and lacks resourceVersion:
 * what depends on who asks is put in place of that on the way out. (Stores of formats 1 to 3 lack
 * kind and apiVersion; they are given them when such a store is opened.)
 * Attributes are records of: one byte 'L' (label) or 'F' (field), two lengths of 16 bits each, key,
 * value. Fields are numbered by their place in ApiResource.field_labels: the key is one byte. */
#include "apiserver/object.h"

#include "api/selector.h"
#include "apiserver/apiserver.h"
#include "apiserver/convert.h"
#include "codec/json.h"

static const StrView METADATA = SV_INIT("\"metadata\":{");

bool registry_key(const ApiResource *res, StrView ns, StrView name, char buf[static STORE_KEY_MAX])
{
    const StrView parts[] = { SV("/registry/"),          res->place, SV("/"), ns,
                              ns.len ? SV("/") : SV(""), name };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (parts[i].len >= STORE_KEY_MAX - n)
            return false;
        if (parts[i].len)
            memcpy(buf + n, parts[i].ptr, parts[i].len);
        n += parts[i].len;
    }
    buf[n] = 0;
    return true;
}

void registry_names(const ApiResource *res, StrView key, StrView *ret_ns, StrView *ret_name)
{
    ssize_t at = sv_rfind_char(key, '/');
    *ret_ns = SV_NULL;
    *ret_name = sv_skip(key, (size_t)(at + 1));
    if (!res->namespaced || at <= 0)
        return;
    StrView rest = sv_head(key, (size_t)at);
    *ret_ns = sv_skip(rest, (size_t)(sv_rfind_char(rest, '/') + 1));
}

static void encode_member(const Member *m, bool *first, Buf *out)
{
    if (!*first)
        buf_putc(out, ',');
    *first = false;
    json_encode_string(m->key, out);
    buf_putc(out, ':');
    json_encode(&m->val, out);
}

/* Kind and version, up to the members of the metadata. */
static void store_head(const ApiResource *res, Buf *out)
{
    buf_sv(out, SV("{\"kind\":\""));
    buf_sv(out, res->kind);
    buf_sv(out, SV("\",\"apiVersion\":\""));
    buf_sv(out, res->api_version);
    buf_sv(out, SV("\","));
    buf_sv(out, METADATA);
}

void object_store_form(const ApiResource *res, const Value *obj, Buf *out)
{
    bool first = true;
    store_head(res, out);
    value_map_foreach (m, value_get(obj, SV("metadata"))) {
        if (!sv_eq(m->key, SV("resourceVersion")))
            encode_member(m, &first, out);
    }
    buf_putc(out, '}');
    first = false;
    value_map_foreach (m, obj) {
        if (!sv_eq(m->key, SV("metadata")) && !sv_eq(m->key, SV("kind")) &&
            !sv_eq(m->key, SV("apiVersion")))
            encode_member(m, &first, out);
    }
    buf_putc(out, '}');
}

/* What follows `"metadata":{` of a stored object: nothing before that can hold these words. */
static StrView after_head(StrView val)
{
    const char *at = memmem(val.ptr, val.len, METADATA.ptr, METADATA.len);
    return at ? sv_skip(val, (size_t)(at - val.ptr) + METADATA.len) : SV_NULL;
}

static void encode_head(const ApiResource *res, uint64_t rev, bool item, Buf *out)
{
    if (item) {
        buf_putc(out, '{');
        buf_sv(out, METADATA);
    } else
        store_head(res, out);
    buf_sv(out, SV("\"resourceVersion\":\""));
    buf_u64(out, rev);
    buf_sv(out, SV("\","));
}

StrView object_open(const ApiResource *res, const ObjectRev *o, uint64_t rev, bool item, Buf *out)
{
    StrView rest = after_head(o->val);
    encode_head(res, rev, item, out);
    if (convert_stored(res) == res)
        return rest;
    convert_rest(res, rest, out);
    return SV_NULL;
}

void object_encode(const ApiResource *res, const ObjectRev *o, uint64_t rev, bool item, Buf *out)
{
    buf_sv(out, object_open(res, o, rev, item, out));
}

int object_decode(const ApiResource *res, const ObjectRev *o, Arena *a, Value *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    object_encode(res, o, o->mod_rev, false, &text);
    StrView copy = arena_sv(a, buf_view(&text));
    if (text.failed || !copy.ptr)
        return err_nomem(err);
    return json_decode(copy, a, NULL, ret, err);
}

bool object_core(Store *store, StrView plural, StrView ns, StrView name, Arena *a, Value *ret)
{
    const ApiResource *res = api_resource_find(SV(""), SV("v1"), plural);
    char key[STORE_KEY_MAX];
    if (!registry_key(res, ns, name, key))
        return false;
    Snapshot *sn = store_snapshot(store);
    ObjectRev *o = snapshot_get(sn, sv_cstr(key));
    bool ok = o && object_decode(res, o, a, ret, NULL) == 0;
    snapshot_unref(sn);
    return ok;
}

StrView object_metadata_text(const ObjectRev *o)
{
    StrView rest = after_head(o->val);
    const char *start = rest.ptr - 1;
    size_t left = rest.ptr ? rest.len + 1 : 0;
    int depth = 0;
    for (size_t i = 0; i < left; i++) {
        if (start[i] == '"') {
            for (i++; i < left && start[i] != '"'; i++)
                i += start[i] == '\\';
        } else if (start[i] == '{')
            depth++;
        else if (start[i] == '}' && --depth == 0)
            return sv_n(start, i + 1);
    }
    return SV("{}");
}

static void put_attr(char what, StrView key, StrView val, Buf *out)
{
    if (key.len > UINT16_MAX || val.len > UINT16_MAX)
        return;
    uint16_t lens[2] = { (uint16_t)key.len, (uint16_t)val.len };
    buf_putc(out, what);
    buf_append(out, lens, sizeof lens);
    buf_sv(out, key);
    buf_sv(out, val);
}

static bool next_attr(StrView *rest, char *ret_what, StrView *ret_key, StrView *ret_val)
{
    uint16_t lens[2];
    if (rest->len < 1 + sizeof lens)
        return false;
    *ret_what = rest->ptr[0];
    memcpy(lens, rest->ptr + 1, sizeof lens);
    StrView body = sv_skip(*rest, 1 + sizeof lens);
    *ret_key = sv_head(body, lens[0]);
    *ret_val = sv_head(sv_skip(body, lens[0]), lens[1]);
    *rest = sv_skip(body, (size_t)lens[0] + lens[1]);
    return true;
}

void attrs_build(const ApiResource *res, const Value *obj, Buf *out)
{
    value_map_foreach (m, value_path(obj, "metadata.labels"))
        put_attr('L', m->key, value_str(&m->val), out);
    for (unsigned i = 0; i < res->n_field_labels; i++) {
        char number = (char)i, buf[24];
        StrView text = field_selector_value(obj, res->field_labels[i], buf);
        if (text.len)
            put_attr('F', sv_n(&number, 1), text, out);
    }
}

StrView attrs_label(StrView attrs, StrView key, bool *ret_found)
{
    char what;
    StrView k, v;
    *ret_found = false;
    while (next_attr(&attrs, &what, &k, &v))
        if (what == 'L' && sv_eq(k, key)) {
            *ret_found = true;
            return v;
        }
    return SV_NULL;
}

StrView attrs_field(const ApiResource *res, const ObjectRev *o, StrView label)
{
    StrView ns, name, attrs = o->attrs, k, v;
    char what;
    if (sv_eq(label, SV("metadata.name")) || sv_eq(label, SV("metadata.namespace"))) {
        registry_names(res, o->key, &ns, &name);
        return sv_eq(label, SV("metadata.name")) ? name : ns.ptr ? ns : SV("");
    }
    for (unsigned i = 0; i < res->n_field_labels; i++) {
        if (!sv_eq(res->field_labels[i], label))
            continue;
        while (next_attr(&attrs, &what, &k, &v))
            if (what == 'F' && (unsigned char)k.ptr[0] == i)
                return v;
    }
    return SV("");
}

static void derive(void *ctx, StrView key, StrView val, Buf *out)
{
    StrView ns, name;
    const ApiResource *res = api_kinds_of_key(ctx, key, &ns, &name);
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value v;
    if (res && json_decode(val, &a, NULL, &v, NULL) == 0)
        attrs_build(res, &v, out);
}

static bool upgrade(void *ctx, StrView key, StrView val, Buf *out)
{
    static const StrView old_head = SV_INIT("{\"metadata\":{");
    StrView ns, name;
    const ApiResource *res = api_kinds_of_key(ctx, key, &ns, &name);
    if (!res || !sv_starts(val, old_head))
        return false;
    store_head(convert_stored(res), out);
    buf_sv(out, sv_skip(val, old_head.len));
    return true;
}

StoreConfig object_store_config(ApiKinds *kinds)
{
    return (StoreConfig){ .derive = derive, .upgrade = upgrade, .ctx = kinds };
}
