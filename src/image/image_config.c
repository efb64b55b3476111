/* image_config.c - manifests and configurations (OCI image specification 1.1; docker's schema 2 has
 * the same members), from checked JSON into structs. */
#include <stdio.h>

#include "base/clock.h"
#include "codec/json.h"
#include "image/image_internal.h"

int store_json(ImageStore *s, const Digest *d, size_t limit, Arena *a, Value *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView copy;
    int r = blob_read(s, d, limit, &text, err);

    if (r < 0)
        return r;
    copy = arena_sv(a, buf_view(&text));
    if (!copy.ptr)
        return err_nomem(err);
    r = json_decode(copy, a, NULL, ret, err);
    return r < 0 ? err_wrap(err, "blob %s", d->text) : 0;
}

int descriptor_parse(const Value *v, Digest *ret_digest, uint64_t *ret_size, Err *err)
{
    const Value *size = value_get(v, SV("size"));
    int r;

    if (!value_is(v, VALUE_MAP))
        return err_set(err, ERR_INVALID, 0, "a descriptor is missing");
    r = digest_parse(value_str(value_get(v, SV("digest"))), ret_digest, err);
    if (r < 0)
        return err_wrap(err, "descriptor");
    if (!value_is(size, VALUE_INT) || size->i < 0)
        return err_set(err, ERR_INVALID, 0, "descriptor of %s has no size", ret_digest->text);
    *ret_size = (uint64_t)size->i;
    return 0;
}

static bool layer_type_is_known(StrView type)
{
    return sv_empty(type) || sv_starts(type, SV("application/vnd.oci.image.layer.v1.tar")) ||
           sv_starts(type, SV("application/vnd.oci.image.layer.nondistributable.v1.tar")) ||
           sv_starts(type, SV("application/vnd.docker.image.rootfs.diff.tar")) ||
           sv_starts(type, SV("application/vnd.docker.image.rootfs.foreign.diff.tar"));
}

int manifest_parse(const Value *doc, Arena *a, Manifest *ret, Err *err)
{
    const Value *layers = value_get(doc, SV("layers"));
    Manifest m = { 0 };
    int r = descriptor_parse(value_get(doc, SV("config")), &m.config, &m.config_size, err);

    if (r < 0)
        return err_wrap(err, "image manifest: config");
    if (!value_is(layers, VALUE_LIST))
        return err_set(err, ERR_INVALID, 0, "image manifest: no layers");
    if (layers->len > IMAGE_LAYERS_MAX)
        return err_set(err, ERR_LIMIT, 0, "image manifest: %u layers, at most %d are allowed",
                       layers->len, IMAGE_LAYERS_MAX);
    m.layers = arena_array(a, ManifestLayer, (size_t)layers->len + 1);
    if (!m.layers)
        return err_nomem(err);
    value_list_foreach (layer, layers) {
        StrView type = value_str(value_get(layer, SV("mediaType")));
        ManifestLayer *l = &m.layers[m.layers_len++];

        if (!layer_type_is_known(type) || sv_ends(type, SV("+encrypted")))
            return err_set(err, ERR_UNSUPPORTED, 0, "layer type '%.*s' is not supported",
                           SV_FMT(sv_head(type, 120)));
        r = descriptor_parse(layer, &l->digest, &l->size, err);
        if (r < 0)
            return err_wrap(err, "image manifest: layer %u", m.layers_len);
    }
    *ret = m;
    return 0;
}

int manifest_load(ImageStore *s, const Digest *d, Arena *a, Manifest *ret, Err *err)
{
    Value doc;
    int r = store_json(s, d, IMAGE_MANIFEST_MAX, a, &doc, err);

    if (r < 0 || (r = manifest_parse(&doc, a, ret, err)) < 0)
        return err_wrap(err, "manifest %s", d->text);
    ret->digest = *d;
    return 0;
}

static int text_get(const Value *map, StrView key, Arena *a, const char **ret, Err *err)
{
    const Value *v = value_get(map, key);

    if (v && v->kind != VALUE_STRING && v->kind != VALUE_NULL)
        return err_set(err, ERR_INVALID, 0, "image config: %.*s is no string", SV_FMT(key));
    *ret = arena_cstr(a, value_is(v, VALUE_STRING) ? value_str(v) : SV(""));
    if (!*ret)
        return err_set(err, ERR_INVALID, 0, "image config: %.*s holds a NUL byte", SV_FMT(key));
    return 0;
}

/* A list of strings, or with `keys` a map whose keys are wanted (how the specification writes
 * sets). */
static int strings_get(const Value *map, StrView key, bool keys, Arena *a, ImageStrings *ret,
                       Err *err)
{
    const Value *v = value_get(map, key);
    ImageStrings out = { 0 };
    uint32_t n = value_len(v);

    if (v && v->kind != VALUE_NULL && v->kind != (keys ? VALUE_MAP : VALUE_LIST))
        return err_set(err, ERR_INVALID, 0, "image config: %.*s has the wrong type", SV_FMT(key));
    out.items = arena_array(a, const char *, (size_t)n + 1);
    if (!out.items)
        return err_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        StrView item = keys ? v->members[i].key : value_str(&v->items[i]);

        out.items[out.len] = item.ptr ? arena_cstr(a, item) : NULL;
        if (!out.items[out.len++])
            return err_set(err, ERR_INVALID, 0, "image config: %.*s[%u] is no usable string",
                           SV_FMT(key), i);
    }
    *ret = out;
    return 0;
}

static int labels_get(const Value *map, Arena *a, ImageConfig *c, Err *err)
{
    const Value *labels = value_get(map, SV("Labels"));
    int r = strings_get(map, SV("Labels"), true, a, &c->label_keys, err);

    if (r < 0)
        return r;
    c->label_values.items = arena_array(a, const char *, (size_t)c->label_keys.len + 1);
    if (!c->label_values.items)
        return err_nomem(err);
    value_map_foreach (m, labels) {
        const char *text =
            arena_cstr(a, value_is(&m->val, VALUE_STRING) ? value_str(&m->val) : SV(""));

        c->label_values.items[c->label_values.len++] = text ? text : "";
    }
    return 0;
}

static int diff_ids_get(const Value *doc, Arena *a, ImageConfig *c, Err *err)
{
    const Value *list = value_get(value_get(doc, SV("rootfs")), SV("diff_ids"));
    int r;

    if (value_len(list) > IMAGE_LAYERS_MAX)
        return err_set(err, ERR_LIMIT, 0, "image config: more than %d layers", IMAGE_LAYERS_MAX);
    c->diff_ids = arena_array(a, Digest, (size_t)value_len(list) + 1);
    if (!c->diff_ids)
        return err_nomem(err);
    value_list_foreach (id, list) {
        r = digest_parse(value_str(id), &c->diff_ids[c->diff_ids_len++], err);
        if (r < 0)
            return err_wrap(err, "image config: diff_ids");
    }
    return 0;
}

int image_config_parse(const Value *doc, Arena *a, ImageConfig *ret, Err *err)
{
    ImageConfig c = { 0 };
    const Value *run = value_get(doc, SV("config"));
    int r;

    if (!value_is(doc, VALUE_MAP))
        return err_set(err, ERR_INVALID, 0, "image config: not an object");
    if ((r = strings_get(run, SV("Entrypoint"), false, a, &c.entrypoint, err)) < 0 ||
        (r = strings_get(run, SV("Cmd"), false, a, &c.cmd, err)) < 0 ||
        (r = strings_get(run, SV("Env"), false, a, &c.env, err)) < 0 ||
        (r = strings_get(run, SV("ExposedPorts"), true, a, &c.exposed_ports, err)) < 0 ||
        (r = strings_get(run, SV("Volumes"), true, a, &c.volumes, err)) < 0 ||
        (r = text_get(run, SV("WorkingDir"), a, &c.working_dir, err)) < 0 ||
        (r = text_get(run, SV("User"), a, &c.user, err)) < 0 ||
        (r = text_get(run, SV("StopSignal"), a, &c.stop_signal, err)) < 0 ||
        (r = text_get(doc, SV("os"), a, &c.os, err)) < 0 ||
        (r = text_get(doc, SV("architecture"), a, &c.architecture, err)) < 0 ||
        (r = labels_get(run, a, &c, err)) < 0 || (r = diff_ids_get(doc, a, &c, err)) < 0)
        return r;
    /* Tools write odd dates into reproducible images; a date that cannot be read is no date. */
    if (rfc3339_parse(value_str(value_get(doc, SV("created"))), &c.created_ns) < 0)
        c.created_ns = 0;
    *ret = c;
    return 0;
}

int image_config(ImageStore *s, const Digest *manifest, Arena *a, ImageConfig *ret_config, Err *err)
{
    Manifest m;
    Value doc;
    int r = manifest_load(s, manifest, a, &m, err);

    if (r < 0 || (r = store_json(s, &m.config, IMAGE_CONFIG_MAX, a, &doc, err)) < 0)
        return r;
    return image_config_parse(&doc, a, ret_config, err);
}
