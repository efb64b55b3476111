/* knarr_image_show.c - `knarr image list` and `inspect`. */
#include <stdio.h>

#include "base/clock.h"
#include "cmd/image_verbs.h"
#include "codec/json.h"
#include "image/image_blob.h"

/* ---- list ---- */

typedef struct Row {
    char repository[IMAGE_REF_SIZE], tag[IMAGE_REF_TAG_MAX + 1];
} Row;

static void split_name(const char *name, Row *row)
{
    ImageRef ref;
    snprintf(row->repository, sizeof row->repository, "%s", name ? name : "<none>");
    snprintf(row->tag, sizeof row->tag, "<none>");
    if (!name || image_ref_parse(sv_cstr(name), &ref, NULL) < 0)
        return;
    image_ref_repository(&ref, row->repository);
    if (ref.tag[0])
        snprintf(row->tag, sizeof row->tag, "%s", ref.tag);
}

static uint32_t row_count(const ImageInfo *info)
{
    return MAX(info->names_len, 1u); /* one without a name is shown as well */
}

/* On standard error, after the table. */
static int tell_damaged(const ImageInfo *list, size_t n)
{
    int code = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].damage) {
            fprintf(stderr, "knarr image: '%s' is damaged, import it again: %s\n",
                    list[i].names_len ? list[i].names[0] : list[i].manifest.text, list[i].damage);
            code = 1;
        }
    return code;
}

int image_list_verb(ImageStore *s, const ImageArgs *args)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    ImageInfo *list;
    size_t n;
    Err err = { 0 };
    int wide = (int)strlen("IMAGE"), tag_wide = (int)strlen("TAG");
    Row row;
    if (image_list(s, &a, &list, &n, &err) < 0)
        return image_fail(&err);
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < row_count(&list[i]); k++) {
            split_name(list[i].names_len ? list[i].names[k] : NULL, &row);
            wide = MAX(wide, (int)strlen(row.repository));
            tag_wide = MAX(tag_wide, (int)strlen(row.tag));
        }
    printf("%-*s %-*s %-*s %s\n", wide + 4, "IMAGE", tag_wide + 4, "TAG", IMAGE_ID_DIGITS + 4,
           "IMAGE ID", "SIZE");
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < row_count(&list[i]); k++) {
            char id[IMAGE_ID_DIGITS + 1], size[IMAGE_SIZE_TEXT];
            split_name(list[i].names_len ? list[i].names[k] : NULL, &row);
            printf("%-*s %-*s %-*s %s\n", wide + 4, row.repository, tag_wide + 4, row.tag,
                   IMAGE_ID_DIGITS + 4, list[i].damage ? "<damaged>" : image_short_id(&list[i], id),
                   image_size_text(list[i].size, size));
        }
    return tell_damaged(list, n);
}

/* ---- inspect ---- */

static StrView text(Arena *a, const char *s)
{
    return arena_sv(a, sv_cstr(s));
}

static int read_json(ImageStore *s, const Digest *d, size_t limit, Arena *a, Value *ret, Err *err)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    StrView copy;
    int r = blob_read(s, d, limit, &bytes, err);

    if (r < 0)
        return r;
    copy = arena_sv(a, buf_view(&bytes));
    return copy.ptr ? json_decode(copy, a, NULL, ret, err) : err_nomem(err);
}

static Value names_of(const ImageInfo *info, bool digests, Arena *a)
{
    Value list = value_list();

    for (uint32_t i = 0; i < info->names_len; i++) {
        ImageRef ref;

        if (image_ref_parse(sv_cstr(info->names[i]), &ref, NULL) >= 0 &&
            (ref.digest.text[0] != 0) == digests)
            value_push(a, &list, value_sv(sv_cstr(info->names[i])));
    }
    return list;
}

static Value layers_of(const Value *manifest, Arena *a)
{
    Value list = value_list();

    value_list_foreach (l, value_get(manifest, SV("layers")))
        value_push(a, &list, value_sv(value_str(value_get(l, SV("digest")))));
    return list;
}

/* The keys that podman and docker have for the same, and the image's own configuration as it is. */
static int inspect(ImageStore *s, const ImageInfo *info, Arena *a, Value *ret, Err *err)
{
    static const char *const copied[][2] = {
        { "Created", "created" }, { "Author", "author" },  { "Architecture", "architecture" },
        { "Variant", "variant" }, { "Os", "os" },          { "Config", "config" },
        { "RootFS", "rootfs" },   { "History", "history" }
    };
    Value out = value_map(), manifest, config;
    int r;

    if ((r = read_json(s, &info->manifest, IMAGE_MANIFEST_MAX, a, &manifest, err)) < 0 ||
        (r = read_json(s, &info->config, IMAGE_CONFIG_MAX, a, &config, err)) < 0)
        return r;
    value_set(a, &out, SV("Id"), value_sv(text(a, digest_hex(&info->config))));
    value_set(a, &out, SV("Digest"), value_sv(text(a, info->manifest.text)));
    value_set(a, &out, SV("RepoTags"), names_of(info, false, a));
    value_set(a, &out, SV("RepoDigests"), names_of(info, true, a));
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const Value *v = value_get(&config, sv_cstr(copied[i][1]));

        if (v)
            value_set(a, &out, sv_cstr(copied[i][0]), *v);
    }
    value_set(a, &out, SV("Size"), value_int((int64_t)info->size));
    value_set(a, &out, SV("Layers"), layers_of(&manifest, a));
    value_set(a, &out, SV("ManifestType"),
              value_sv(value_str(value_get(&manifest, SV("mediaType")))));
    *ret = out;
    return a->failed ? err_nomem(err) : 0;
}

/* Goes on after one that is not there; the exit code tells. */
int image_inspect_verb(ImageStore *s, const ImageArgs *args)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf out = BUF_INIT;
    Value list = value_list();
    int code = 0;

    arena_init(&a, 0);
    for (int i = 0; i < args->n_rest; i++) {
        Err err = { 0 };
        ImageInfo info;
        Value one;

        if (image_get(s, sv_cstr(args->rest[i]), &a, &info, &err) < 0 ||
            inspect(s, &info, &a, &one, &err) < 0)
            code = image_fail(&err);
        else
            value_push(&a, &list, one);
    }
    json_encode_pretty(&list, 4, &out);
    printf("%.*s\n", SV_FMT(buf_view(&out)));
    return code;
}
