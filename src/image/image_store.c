/* image_store.c - opening a store, its locks, its index of names, and lookups. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/file.h"
#include "codec/json.h"
#include "image/image_internal.h"

#define REF_NAME SV("org.opencontainers.image.ref.name")
enum { SHORT_ID_MIN = 12 };

static int open_dir(int parent, const char *path, int *ret_fd, Err *err)
{
    int r = mkdir_p(parent, path, 0755);
    int fd;

    if (r < 0)
        return err_neg(err, r, "create %s", path);
    fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open %s", path);
    *ret_fd = fd;
    return 0;
}

/* Executables of one installation stand in one folder; libexec is where packages put helpers. */
static char *find_unpacker(const char *given)
{
    char self[PATH_MAX], path[PATH_MAX + 32];
    ssize_t n;
    char *slash;

    if (given)
        return strdup(given);
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        slash = strrchr(self, '/');
        if (slash) {
            *slash = 0;
            snprintf(path, sizeof path, "%s/knarr-unpack", self);
            if (access(path, X_OK) == 0)
                return strdup(path);
        }
    }
    return strdup("/usr/libexec/knarr/knarr-unpack");
}

/* Unpacked layers hold set-user-ID programs and device nodes: nobody else may walk in. Where that
 * is so nothing is written, for the file system may be read-only. */
static int make_private(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    return (st.st_mode & 07777) == 0700 || fchmod(fd, 0700) == 0 ? 0 : -errno;
}

static int store_open_dirs(ImageStore *s, Err *err)
{
    int r;

    if ((r = open_dir(s->dir_fd, "blobs/sha256", &s->blobs_fd, err)) < 0 ||
        (r = open_dir(s->dir_fd, "layers", &s->layers_fd, err)) < 0 ||
        (r = open_dir(s->dir_fd, "tmp", &s->tmp_fd, err)) < 0 ||
        (r = open_dir(s->dir_fd, "pins", &s->pins_fd, err)) < 0)
        return r;
    if ((r = make_private(s->layers_fd)) < 0 || (r = make_private(s->tmp_fd)) < 0)
        return err_neg(err, r, "restrict %s", s->dir);
    if (path_exists(s->dir_fd, "oci-layout"))
        return 0;
    r = file_write_atomic(s->dir_fd, "oci-layout", SV("{\"imageLayoutVersion\":\"1.0.0\"}"), 0644,
                          true);
    return r < 0 ? err_neg(err, r, "write oci-layout") : 0;
}

int image_store_open(const ImageStoreOptions *opt, ImageStore **ret_store, Err *err)
{
    ImageStore *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return err_nomem(err);
    s->dir_fd = s->blobs_fd = s->layers_fd = s->tmp_fd = s->pins_fd = -1;
    s->layer_bytes_max = opt->layer_bytes_max ? opt->layer_bytes_max : LAYER_BYTES_MAX;
    s->layer_entries_max = opt->layer_entries_max ? opt->layer_entries_max : LAYER_ENTRIES_MAX;
    s->unpacker = find_unpacker(opt->unpacker);
    r = open_dir(AT_FDCWD, opt->dir, &s->dir_fd, err);
    if (r >= 0) {
        s->dir = realpath(opt->dir, NULL);
        r = s->dir && s->unpacker ? store_open_dirs(s, err) : err_nomem(err);
    }
    if (r < 0) {
        image_store_free(s);
        return err_wrap(err, "image store '%s'", opt->dir);
    }
    *ret_store = s;
    return 0;
}

ImageStore *image_store_free(ImageStore *s)
{
    if (!s)
        return NULL;
    closep(&s->dir_fd);
    closep(&s->blobs_fd);
    closep(&s->layers_fd);
    closep(&s->tmp_fd);
    closep(&s->pins_fd);
    free(s->dir);
    free(s->unpacker);
    free(s);
    return NULL;
}

int store_lock(ImageStore *s, const char *file, int how, int *ret_fd, Err *err)
{
    _cleanup_close_ int fd = openat(s->dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return err_errno(err, "open %s/%s", s->dir, file);
    do
        r = flock(fd, how);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EWOULDBLOCK)
        return err_set(err, ERR_BUSY, 0, "%s/%s is held by someone else", s->dir, file);
    if (r < 0)
        return err_errno(err, "lock %s/%s", s->dir, file);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int store_index_load(ImageStore *s, Arena *a, Value *ret_index, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView copy;
    int r = file_read(s->dir_fd, "index.json", IMAGE_INDEX_MAX, &text);

    if (r == -ENOENT) {
        *ret_index = value_map();
        if (!value_set(a, ret_index, SV("schemaVersion"), value_int(2)) ||
            !value_set(a, ret_index, SV("manifests"), value_list()))
            return err_nomem(err);
        return 0;
    }
    if (r < 0)
        return err_neg(err, r, "read %s/index.json", s->dir);
    copy = arena_sv(a, buf_view(&text));
    if (!copy.ptr)
        return err_nomem(err);
    r = json_decode(copy, a, NULL, ret_index, err);
    if (r < 0 || !value_is(value_get(ret_index, SV("manifests")), VALUE_LIST))
        return err_set(err, ERR_CORRUPT, 0,
                       "'%s/index.json' is damaged: no image index; remove it and import the "
                       "images again",
                       s->dir);
    return 0;
}

int store_index_save(ImageStore *s, const Value *index, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r;

    json_encode(index, &text);
    if (text.failed)
        return err_nomem(err);
    r = file_write_atomic(s->dir_fd, "index.json", buf_view(&text), 0644, true);
    return r < 0 ? err_neg(err, r, "write %s/index.json", s->dir) : 0;
}

StrView store_entry_name(const Value *entry)
{
    return value_str(value_get(value_get(entry, SV("annotations")), REF_NAME));
}

static int index_entry_new(ImageStore *s, const Digest *manifest, StrView name, Arena *a,
                           Value *ret, Err *err)
{
    Value entry = value_map(), notes = value_map(), doc;
    StrView digest = arena_sv(a, sv_cstr(manifest->text));
    StrView media;
    uint64_t size = 0;
    int r = store_json(s, manifest, IMAGE_MANIFEST_MAX, a, &doc, err);

    if (r < 0)
        return r;
    blob_exists(s, manifest, &size);
    media = value_str(value_get(&doc, SV("mediaType")));
    if (sv_empty(media))
        media = SV("application/vnd.oci.image.manifest.v1+json");
    name = arena_sv(a, name);
    if (!digest.ptr || !name.ptr || !value_set(a, &notes, REF_NAME, value_sv(name)) ||
        !value_set(a, &entry, SV("mediaType"), value_sv(media)) ||
        !value_set(a, &entry, SV("digest"), value_sv(digest)) ||
        !value_set(a, &entry, SV("size"), value_int((int64_t)size)) ||
        !value_set(a, &entry, SV("annotations"), notes))
        return err_nomem(err);
    *ret = entry;
    return 0;
}

static bool leads_to(ImageStore *s, const Digest *from, const Digest *manifest, int depth,
                     DigestFn *fn, void *ctx)
{
    _cleanup_arena_ Arena a;
    Value doc;
    bool found = digest_eq(from, manifest);

    arena_init(&a, ARENA_DEFAULT_LIMIT);
    if (found || depth > INDEX_DEPTH_MAX || !blob_exists(s, from, NULL) ||
        store_json(s, from, IMAGE_MANIFEST_MAX, &a, &doc, NULL) < 0)
        return found;
    value_list_foreach (desc, value_get(&doc, SV("manifests"))) {
        Digest d;

        if (!found && digest_parse(value_str(value_get(desc, SV("digest"))), &d, NULL) >= 0)
            found = leads_to(s, &d, manifest, depth + 1, fn, ctx);
    }
    if (found && fn)
        fn(ctx, from);
    return found;
}

bool store_digest_leads_to(ImageStore *s, const Digest *from, const Digest *manifest, DigestFn *fn,
                           void *ctx)
{
    return leads_to(s, from, manifest, 0, fn, ctx);
}

int store_name_check(ImageStore *s, const Digest *manifest, const ImageRef *name, Err *err)
{
    char text[IMAGE_REF_SIZE];

    if (!name->digest.text[0] || store_digest_leads_to(s, &name->digest, manifest, NULL, NULL))
        return 0;
    return err_set(err, ERR_CORRUPT, 0,
                   "the name '%s' holds another digest than its manifest, which has %s",
                   image_ref_format(name, text), manifest->text);
}

int store_name_set(ImageStore *s, const Digest *manifest, const ImageRef *name, Err *err)
{
    _cleanup_arena_ Arena a;
    _cleanup_close_ int lock = -1;
    char text[IMAGE_REF_SIZE];
    Value index, entry, *list;
    int r;

    arena_init(&a, 0);
    image_ref_format(name, text);
    if ((r = store_name_check(s, manifest, name, err)) < 0 ||
        (r = store_lock(s, "lock", LOCK_EX, &lock, err)) < 0 ||
        (r = store_index_load(s, &a, &index, err)) < 0)
        return r;
    r = index_entry_new(s, manifest, sv_cstr(text), &a, &entry, err);
    if (r < 0)
        return r;
    list = value_get(&index, SV("manifests"));
    for (uint32_t i = 0; i < list->len; i++)
        if (sv_eq(store_entry_name(&list->items[i]), sv_cstr(text)))
            value_remove(list, i--);
    if (!value_push(&a, list, entry))
        return err_nomem(err);
    return store_index_save(s, &index, err);
}

int image_tag(ImageStore *s, const Digest *manifest, const ImageRef *name, Err *err)
{
    _cleanup_close_ int hold = -1;
    int r = image_store_hold(s, &hold, err);

    return r < 0 ? r : store_name_set(s, manifest, name, err);
}

static int info_fill(ImageStore *s, const Digest *manifest, Arena *a, ImageInfo *info, Err *err)
{
    Manifest m;
    Value doc;
    int r = manifest_load(s, manifest, a, &m, err);

    if (r < 0)
        return r;
    *info = (ImageInfo){ .manifest = *manifest, .config = m.config, .size = m.config_size };
    for (uint32_t i = 0; i < m.layers_len; i++)
        info->size += m.layers[i].size;
    r = store_json(s, &m.config, IMAGE_CONFIG_MAX, a, &doc, err);
    if (r >= 0) {
        ImageConfig c;

        r = image_config_parse(&doc, a, &c, err);
        if (r >= 0)
            info->created_ns = c.created_ns;
    }
    return r;
}

/* One damaged image costs nobody but itself. */
static int info_load(ImageStore *s, const Digest *manifest, Arena *a, ImageInfo *info, Err *err)
{
    Err own = { 0 };
    int r = info_fill(s, manifest, a, info, &own);

    if (r >= 0)
        return 0;
    *info = (ImageInfo){ .manifest = *manifest, .damage = arena_cstr(a, sv_cstr(own.msg)) };
    return r == -(int)ERR_NOMEM || !info->damage ? err_nomem(err) : 0;
}

static bool info_add_name(Arena *a, ImageInfo *info, StrView name)
{
    const char **names = arena_array(a, const char *, info->names_len + 2);

    if (!names)
        return false;
    if (info->names_len)
        memcpy(names, info->names, info->names_len * sizeof *names);
    names[info->names_len] = arena_cstr(a, name);
    if (!names[info->names_len])
        return false;
    info->names_len++;
    info->names = names;
    return true;
}

static int info_cmp(const void *x, const void *y)
{
    const ImageInfo *a = x, *b = y;

    return strcmp(a->names_len ? a->names[0] : a->config.text,
                  b->names_len ? b->names[0] : b->config.text);
}

int image_list(ImageStore *s, Arena *a, ImageInfo **ret_list, size_t *ret_len, Err *err)
{
    Value index, *list;
    ImageInfo *infos;
    size_t n = 0;
    int r = store_index_load(s, a, &index, err);

    if (r < 0)
        return r;
    list = value_get(&index, SV("manifests"));
    infos = arena_array(a, ImageInfo, (size_t)list->len + 1);
    if (!infos)
        return err_nomem(err);
    value_list_foreach (entry, list) {
        Digest d;
        size_t i;

        r = digest_parse(value_str(value_get(entry, SV("digest"))), &d, err);
        if (r < 0)
            return err_wrap(err, "%s/index.json", s->dir);
        for (i = 0; i < n && !digest_eq(&infos[i].manifest, &d); i++)
            ;
        if (i == n && (r = info_load(s, &d, a, &infos[n++], err)) < 0)
            return r;
        if (!sv_empty(store_entry_name(entry)) &&
            !info_add_name(a, &infos[i], store_entry_name(entry)))
            return err_nomem(err);
    }
    qsort(infos, n, sizeof *infos, info_cmp);
    *ret_list = infos;
    *ret_len = n;
    return 0;
}

static bool is_hex(StrView s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return true;
}

static bool info_matches_id(const ImageInfo *info, StrView what)
{
    StrView hex = what;

    if (sv_starts(what, SV("sha256:"))) {
        hex = sv_skip(what, 7);
        if (sv_eq(what, sv_cstr(info->manifest.text)))
            return true;
    }
    return hex.len >= SHORT_ID_MIN && is_hex(hex) &&
           sv_starts(sv_cstr(digest_hex(&info->config)), hex);
}

/* A name with a digest matches any image of that repository with that digest, whatever its tag; and
 * none with another digest, whatever its name says. */
static bool info_matches_ref(ImageStore *s, const ImageInfo *info, const ImageRef *ref)
{
    char want[IMAGE_REF_SIZE], repo[IMAGE_REF_SIZE];

    image_ref_format(ref, want);
    image_ref_repository(ref, repo);
    for (uint32_t i = 0; i < info->names_len; i++) {
        ImageRef have;
        char have_repo[IMAGE_REF_SIZE];

        if (!ref->digest.text[0] && !strcmp(info->names[i], want))
            return true;
        if (ref->digest.text[0] && image_ref_parse(sv_cstr(info->names[i]), &have, NULL) >= 0 &&
            !strcmp(image_ref_repository(&have, have_repo), repo) &&
            store_digest_leads_to(s, &ref->digest, &info->manifest, NULL, NULL))
            return true;
    }
    return false;
}

/* Damaged ones too. */
static int find(ImageStore *s, StrView what, Arena *a, ImageInfo *ret_info, Err *err)
{
    ImageInfo *list;
    ImageRef ref;
    size_t n, found = SIZE_MAX;
    bool by_id = sv_starts(what, SV("sha256:")) || (what.len >= SHORT_ID_MIN && is_hex(what));
    bool by_ref = image_ref_parse(what, &ref, by_id ? NULL : err) >= 0;
    int r;

    if (!by_id && !by_ref)
        return -(int)ERR_INVALID;
    r = image_list(s, a, &list, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        if (by_ref && info_matches_ref(s, &list[i], &ref)) {
            *ret_info = list[i];
            return 0;
        }
    for (size_t i = 0; by_id && i < n; i++) {
        if (!info_matches_id(&list[i], what))
            continue;
        if (found != SIZE_MAX)
            return err_set(err, ERR_CONFLICT, 0, "'%.*s' means more than one image", SV_FMT(what));
        found = i;
    }
    if (found == SIZE_MAX)
        return err_set(err, ERR_NOT_FOUND, 0, "no image '%.*s'", SV_FMT(sv_head(what, 200)));
    *ret_info = list[found];
    return 0;
}

int image_get(ImageStore *s, StrView what, Arena *a, ImageInfo *ret_info, Err *err)
{
    ImageInfo info;
    int r = find(s, what, a, &info, err);

    if (r < 0)
        return r;
    if (info.damage)
        return err_set(err, ERR_CORRUPT, 0, "image '%.*s' is damaged, import it again: %s",
                       SV_FMT(sv_head(what, 200)), info.damage);
    *ret_info = info;
    return 0;
}

/* Drops matching entries of the index; *ret_n counts them. */
static int index_remove(ImageStore *s, const Digest *manifest, const char *name, Err *err)
{
    _cleanup_arena_ Arena a;
    _cleanup_close_ int lock = -1;
    Value index, *list;
    int r;

    arena_init(&a, 0);
    r = store_lock(s, "lock", LOCK_EX, &lock, err);
    if (r < 0 || (r = store_index_load(s, &a, &index, err)) < 0)
        return r;
    list = value_get(&index, SV("manifests"));
    for (uint32_t i = 0; i < list->len; i++) {
        Value *entry = &list->items[i];
        bool hit = name ? sv_eq(store_entry_name(entry), sv_cstr(name))
                        : sv_eq(value_str(value_get(entry, SV("digest"))), sv_cstr(manifest->text));

        if (hit)
            value_remove(list, i--);
    }
    return store_index_save(s, &index, err);
}

int image_rm(ImageStore *s, StrView what, Err *err)
{
    _cleanup_arena_ Arena a;
    ImageInfo info;
    ImageRef ref;
    char name[IMAGE_REF_SIZE];
    bool one_name = false;
    int r;

    arena_init(&a, 0);
    r = find(s, what, &a, &info, err);
    if (r < 0)
        return r;
    if (!sv_starts(what, SV("sha256:")) && image_ref_parse(what, &ref, NULL) >= 0) {
        image_ref_format(&ref, name);
        for (uint32_t i = 0; i < info.names_len; i++)
            one_name = one_name || !strcmp(info.names[i], name);
    }
    r = index_remove(s, &info.manifest, one_name ? name : NULL, err);
    return r < 0 ? r : image_gc(s, NULL, err);
}

int image_digests(ImageStore *s, const Digest *manifest, ImageDigestFn *fn, void *ctx, Err *err)
{
    _cleanup_arena_ Arena a;
    ImageConfig c;
    Manifest m;
    int r;

    arena_init(&a, 0);
    if ((r = manifest_load(s, manifest, &a, &m, err)) < 0 ||
        (r = image_config(s, manifest, &a, &c, err)) < 0)
        return r;
    bool more = fn(ctx, manifest) && fn(ctx, &m.config);
    for (uint32_t i = 0; more && i < m.layers_len; i++)
        more = fn(ctx, &m.layers[i].digest);
    for (uint32_t i = 0; more && i < c.diff_ids_len; i++)
        more = fn(ctx, &c.diff_ids[i]);
    return 0;
}
