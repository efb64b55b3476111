/* image_formats.c - the two descriptions of what an archive holds: an OCI index (image-layout.md,
 * image-index.md) and docker save's manifest.json. */
#include <stdio.h>

#include "codec/json.h"
#include "image/image_import.h"
#include "image/image_internal.h"

enum { NAMES_MAX = 64 };

#if defined(__x86_64__)
#define OWN_ARCH "amd64"
#elif defined(__aarch64__)
#define OWN_ARCH "arm64"
#elif defined(__riscv)
#define OWN_ARCH "riscv64"
#else
#error "name this architecture as Go does"
#endif

/* The entry of an index that runs here; one without a platform will do if there is no better. */
static const Value *choose_platform(const Value *manifests)
{
    const Value *fallback = NULL;

    value_list_foreach (m, manifests) {
        const Value *p = value_get(m, SV("platform"));

        if (!value_is(p, VALUE_MAP)) {
            fallback = fallback ? fallback : m;
            continue;
        }
        if (sv_eq(value_str(value_get(p, SV("os"))), SV("linux")) &&
            sv_eq(value_str(value_get(p, SV("architecture"))), SV(OWN_ARCH)))
            return m;
    }
    return fallback;
}

/* From an entry of an index down to a manifest with all its blobs in the store. */
static int fetch_manifest(Import *im, const Value *desc, int depth, Digest *ret, Err *err)
{
    uint64_t size;
    Value doc;
    Manifest m;
    int r = descriptor_parse(desc, ret, &size, err);

    if (r < 0 || (r = import_blob_by_digest(im, ret, size, err)) < 0 ||
        (r = store_json(im->store, ret, IMAGE_MANIFEST_MAX, im->arena, &doc, err)) < 0)
        return r;
    if (value_is(value_get(&doc, SV("manifests")), VALUE_LIST)) {
        const Value *one = choose_platform(value_get(&doc, SV("manifests")));

        if (!one)
            return err_set(err, ERR_NOT_FOUND, 0, "no image for linux/" OWN_ARCH " in index %s",
                           ret->text);
        if (depth >= INDEX_DEPTH_MAX)
            return err_set(err, ERR_LIMIT, 0, "indexes are nested more than %d deep",
                           INDEX_DEPTH_MAX);
        return fetch_manifest(im, one, depth + 1, ret, err);
    }
    r = manifest_parse(&doc, im->arena, &m, err);
    if (r < 0 || (r = import_blob_by_digest(im, &m.config, m.config_size, err)) < 0)
        return r;
    for (uint32_t i = 0; i < m.layers_len; i++) {
        r = import_blob_by_digest(im, &m.layers[i].digest, m.layers[i].size, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* containerd and docker write the whole name, skopeo and umoci often only a tag, which names no
 * image. */
static bool entry_ref(const Value *desc, ImageRef *ret)
{
    const Value *notes = value_get(desc, SV("annotations"));
    StrView full = value_str(value_get(notes, SV("io.containerd.image.name")));
    StrView ref = value_str(value_get(notes, SV("org.opencontainers.image.ref.name")));

    if (!sv_empty(full))
        return image_ref_parse(full, ret, NULL) >= 0;
    if (sv_find_char(ref, ':') < 0 && sv_find_char(ref, '/') < 0)
        return false;
    return image_ref_parse(ref, ret, NULL) >= 0;
}

static bool entry_is_selected(Import *im, const Value *desc)
{
    const Value *notes = value_get(desc, SV("annotations"));

    return !im->select ||
           sv_eq(value_str(value_get(notes, SV("org.opencontainers.image.ref.name"))),
                 sv_cstr(im->select)) ||
           sv_eq(value_str(value_get(notes, SV("io.containerd.image.name"))), sv_cstr(im->select));
}

int import_oci(Import *im, Err *err)
{
    Value index;
    uint32_t wanted = 0;
    int r = import_json(im, "index.json", IMAGE_INDEX_MAX, &index, err);

    if (r < 0)
        return r;
    value_list_foreach (desc, value_get(&index, SV("manifests")))
        wanted += entry_is_selected(im, desc);
    if (wanted > 1 && im->name)
        return err_set(err, ERR_CONFLICT, 0, "it holds %u images, but one name was given", wanted);
    value_list_foreach (desc, value_get(&index, SV("manifests"))) {
        ImageRef ref;
        Digest d;
        bool named = entry_ref(desc, &ref);

        if (!entry_is_selected(im, desc))
            continue;
        r = fetch_manifest(im, desc, 0, &d, err);
        if (r < 0)
            return r;
        r = import_finish(im, &d, im->name ? im->name : &ref, im->name || named, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static const char *layer_media_type(ImageStore *s, const Digest *d)
{
    uint8_t magic[4] = { 0 };
    int fd;

    if (blob_open(s, d, &fd, NULL) < 0)
        return NULL;
    if (read(fd, magic, sizeof magic) < 0)
        memset(magic, 0, sizeof magic);
    close(fd);
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        return "application/vnd.oci.image.layer.v1.tar+gzip";
    if (!memcmp(magic, "\x28\xb5\x2f\xfd", 4))
        return "application/vnd.oci.image.layer.v1.tar+zstd";
    return "application/vnd.oci.image.layer.v1.tar";
}

static void put_descriptor(Buf *out, const char *type, const Digest *d, uint64_t size)
{
    buf_printf(out, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%llu}", type, d->text,
               (unsigned long long)size);
}

/* docker save has no manifest: one is made for the files that it lists. */
static int docker_manifest(Import *im, const Value *image, Digest *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    char name[1024];
    uint64_t size;
    Digest d;
    int r;

    if (!sv_copy_cstr(value_str(value_get(image, SV("Config"))), name, sizeof name))
        return err_set(err, ERR_INVALID, 0, "manifest.json: Config is missing");
    r = import_blob_by_name(im, name, &d, &size, err);
    if (r < 0)
        return r;
    buf_printf(&text,
               "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
               "\"config\":");
    put_descriptor(&text, "application/vnd.oci.image.config.v1+json", &d, size);
    buf_printf(&text, ",\"layers\":[");
    value_list_foreach (layer, value_get(image, SV("Layers"))) {
        const char *type;

        if (!sv_copy_cstr(value_str(layer), name, sizeof name))
            return err_set(err, ERR_INVALID, 0, "manifest.json: a layer has no usable name");
        r = import_blob_by_name(im, name, &d, &size, err);
        if (r < 0)
            return r;
        type = layer_media_type(im->store, &d);
        if (!type)
            return err_set(err, ERR_SYS, 0, "read %s", d.text);
        if (text.ptr && text.ptr[text.len - 1] == '}')
            buf_putc(&text, ',');
        put_descriptor(&text, type, &d, size);
    }
    buf_printf(&text, "]}");
    return text.failed ? err_nomem(err) : blob_put(im->store, buf_view(&text), ret, err);
}

static bool docker_is_selected(Import *im, const Value *image)
{
    if (!im->select)
        return true;
    value_list_foreach (tag, value_get(image, SV("RepoTags")))
        if (sv_eq(value_str(tag), sv_cstr(im->select)))
            return true;
    return false;
}

int import_docker(Import *im, Err *err)
{
    Value list;
    int r = import_json(im, "manifest.json", IMAGE_MANIFEST_MAX, &list, err);

    if (r < 0)
        return r;
    if (im->name && value_len(&list) > 1 && !im->select)
        return err_set(err, ERR_CONFLICT, 0, "it holds %u images, but one name was given",
                       value_len(&list));
    value_list_foreach (image, &list) {
        ImageRef *names = arena_array(im->arena, ImageRef, NAMES_MAX);
        size_t n = 0;
        Digest d;

        if (!docker_is_selected(im, image))
            continue;
        if (!names)
            return err_nomem(err);
        if (im->name)
            names[n++] = *im->name;
        value_list_foreach (tag, value_get(image, SV("RepoTags"))) {
            if (im->name || n == NAMES_MAX)
                break;
            r = image_ref_parse(value_str(tag), &names[n++], err);
            if (r < 0)
                return err_wrap(err, "manifest.json");
        }
        r = docker_manifest(im, image, &d, err);
        if (r < 0 || (r = import_finish(im, &d, names, n, err)) < 0)
            return r;
    }
    return 0;
}
