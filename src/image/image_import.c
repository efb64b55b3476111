/* image_import.c - images out of files: docker-archive (docker save, both forms), oci-archive, oci
 * layout directories.
 *
 * An archive is read once: every file in it becomes a blob and its name is remembered, because the
 * descriptions may stand before or after what they describe. A layout directory is followed from
 * its index.json. Both then look the same: names and digests that can be turned into blobs of the
 * store. What no image refers to is collected at the end, also after a failure. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "base/map.h"
#include "codec/json.h"
#include "image/image_import.h"
#include "image/image_internal.h"

enum { LINK_DEPTH_MAX = 8, CHUNK = 128 * 1024 };

typedef struct Staged {
    Digest digest;
    uint64_t size;
    char *link; /* the entry is a link to this name; else NULL */
} Staged;

static void import_end(Import *im)
{
    StrView key;
    void *val;

    for (size_t i = 0; map_next(&im->staged, &i, &key, &val);) {
        free(((Staged *)val)->link);
        free(val);
    }
    map_free(&im->staged);
    closep(&im->dir_fd);
    closep(&im->hold);
}

static StrView name_clean(StrView name)
{
    while (sv_starts(name, SV("./")))
        name = sv_skip(name, 2);
    while (sv_starts(name, SV("/")))
        name = sv_skip(name, 1);
    return name;
}

static int staged_add(Import *im, StrView name, const Staged *what, Err *err)
{
    Staged *copy = malloc(sizeof *copy);
    void *old = NULL;

    if (!copy)
        return err_nomem(err);
    *copy = *what;
    if (!map_set(&im->staged, name_clean(name), copy, &old)) {
        free(copy);
        return err_nomem(err);
    }
    if (old) {
        free(((Staged *)old)->link);
        free(old);
    }
    return 0;
}

/* Links of old docker archives are "../ID/layer.tar", relative to the folder of the link. */
static char *link_target(const char *name, const char *target, bool hard)
{
    const char *slash = strrchr(name, '/');
    char *out = NULL;

    if (hard || !slash)
        return strdup(name_clean(sv_cstr(target)).ptr);
    if (!strncmp(target, "../", 3) && !memchr(name, '/', (size_t)(slash - name)))
        return strdup(target + 3);
    if (asprintf(&out, "%.*s/%s", (int)(slash - name), name, target) < 0)
        return NULL;
    return out;
}

static int stage_file(Import *im, struct archive *tar, const char *name, Err *err)
{
    _cleanup_free_ char *chunk = malloc(CHUNK);
    BlobWriter *w = NULL;
    Staged st = { 0 };
    int r;

    if (!chunk)
        return err_nomem(err);
    r = blob_writer_new(im->store, &w, err);
    while (r >= 0) {
        la_ssize_t n = archive_read_data(tar, chunk, CHUNK);

        if (n < 0)
            r = err_set(err, ERR_INVALID, 0, "read '%s': %s", name, archive_error_string(tar));
        if (n <= 0)
            break;
        r = blob_writer_write(w, chunk, (size_t)n, err);
    }
    if (r >= 0)
        r = blob_writer_commit(w, NULL, &st.digest, &st.size, err);
    blob_writer_free(w);
    return r < 0 ? r : staged_add(im, sv_cstr(name), &st, err);
}

static int stage_entry(Import *im, struct archive *tar, struct archive_entry *e, Err *err)
{
    const char *name = archive_entry_pathname(e);
    const char *hard = archive_entry_hardlink(e);
    const char *soft = archive_entry_symlink(e);

    if (!name)
        return err_set(err, ERR_INVALID, 0, "an entry's name cannot be read");
    if (++im->entries > IMAGE_ARCHIVE_ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, 0, "the archive has more than %d entries",
                       IMAGE_ARCHIVE_ENTRIES_MAX);
    if (hard || soft) {
        Staged st = { .link =
                          link_target(name_clean(sv_cstr(name)).ptr, hard ? hard : soft, hard) };

        return st.link ? staged_add(im, sv_cstr(name), &st, err) : err_nomem(err);
    }
    if (archive_entry_filetype(e) == AE_IFREG)
        return stage_file(im, tar, name, err);
    return 0; /* folders carry nothing */
}

static int stage_archive(Import *im, int fd, Err *err)
{
    struct archive *tar = archive_read_new();
    struct archive_entry *e;
    int r = 0, got;

    if (!tar)
        return err_nomem(err);
    archive_read_support_filter_gzip(tar);
    archive_read_support_filter_zstd(tar);
    archive_read_support_format_tar(tar);
    got = archive_read_open_fd(tar, fd, CHUNK);
    if (got < ARCHIVE_WARN)
        r = err_set(err, ERR_INVALID, 0, "not a tar archive: %s", archive_error_string(tar));
    while (r >= 0 && (got = archive_read_next_header(tar, &e)) != ARCHIVE_EOF) {
        if (got < ARCHIVE_WARN)
            r = err_set(err, ERR_INVALID, 0, "read the archive: %s", archive_error_string(tar));
        else
            r = stage_entry(im, tar, e, err);
    }
    archive_read_free(tar);
    return r;
}

static int dir_open(Import *im, const char *name, int *ret_fd, Err *err)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, im->dir_fd, name, &how, sizeof how);

    if (fd < 0)
        return err_errno(err, "open '%s' of the layout", name);
    *ret_fd = fd;
    return 0;
}

bool import_has(Import *im, const char *name)
{
    return im->dir_fd >= 0 ? path_exists(im->dir_fd, name) : map_has(&im->staged, sv_cstr(name));
}

int import_blob_by_name(Import *im, const char *name, Digest *ret, uint64_t *ret_size, Err *err)
{
    StrView at = name_clean(sv_cstr(name));
    _cleanup_close_ int fd = -1;
    int r;

    if (im->dir_fd >= 0) {
        r = dir_open(im, name, &fd, err);
        return r < 0 ? r : blob_put_fd(im->store, fd, NULL, ret, ret_size, err);
    }
    for (int depth = 0; depth < LINK_DEPTH_MAX; depth++) {
        const Staged *st = map_get(&im->staged, at);

        if (!st)
            return err_set(err, ERR_INVALID, 0, "the archive has no file '%.*s'",
                           SV_FMT(sv_head(at, 200)));
        if (!st->link) {
            *ret = st->digest;
            *ret_size = st->size;
            return 0;
        }
        at = sv_cstr(st->link);
    }
    return err_set(err, ERR_INVALID, 0, "'%s' is a chain of too many links", name);
}

int import_blob_by_digest(Import *im, const Digest *d, uint64_t size, Err *err)
{
    char name[96];
    Digest got;
    uint64_t got_size = 0;
    int r;

    snprintf(name, sizeof name, "blobs/sha256/%s", digest_hex(d));
    if (im->dir_fd >= 0 && blob_is_kept(im->store, d, size)) {
        got = *d;
        got_size = size;
    } else {
        r = import_blob_by_name(im, name, &got, &got_size, err);
        if (r < 0)
            return r;
    }
    if (!digest_eq(&got, d))
        return err_set(err, ERR_CORRUPT, 0, "the bytes of %s have digest %s", name, got.text);
    if (got_size != size)
        return err_set(err, ERR_CORRUPT, 0, "%s has %llu bytes, its descriptor says %llu", name,
                       (unsigned long long)got_size, (unsigned long long)size);
    return 0;
}

int import_json(Import *im, const char *name, size_t limit, Value *ret, Err *err)
{
    uint64_t size;
    Digest d;
    int r = import_blob_by_name(im, name, &d, &size, err);

    if (r < 0 || (r = store_json(im->store, &d, limit, im->arena, ret, err)) < 0)
        return err_wrap(err, "%s", name);
    return 0;
}

/* Everything about one image is in blobs: check, unpack, and only then give names. */
int import_finish(Import *im, const Digest *manifest, const ImageRef *names, size_t n, Err *err)
{
    ImageConfig c;
    Manifest m;
    int r;

    if (n == 0)
        return err_set(err, ERR_INVALID, 0, "the image carries no name: give one");
    if ((r = manifest_load(im->store, manifest, im->arena, &m, err)) < 0 ||
        (r = image_config(im->store, manifest, im->arena, &c, err)) < 0 ||
        (r = store_unpack(im->store, &m, &c, err)) < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        if ((r = store_name_check(im->store, manifest, &names[i], err)) < 0)
            return r;
    for (size_t i = 0; i < n; i++) {
        r = store_name_set(im->store, manifest, &names[i], err);
        if (r < 0)
            return r;
    }
    im->last = *manifest;
    im->done++;
    return 0;
}

static int open_source(Import *im, const char *path, const char *scheme, Err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open '%s'", path);
    if (S_ISDIR(st.st_mode)) {
        if (scheme && strcmp(scheme, "oci") != 0)
            return err_set(err, ERR_INVALID, 0, "'%s' is a folder, not an archive", path);
        im->dir_fd = TAKE_FD(fd);
        return 0;
    }
    return stage_archive(im, fd, err);
}

static int import_run(Import *im, const char *path, const char *scheme, Err *err)
{
    int r = image_store_hold(im->store, &im->hold, err);

    if (r < 0 || (r = open_source(im, path, scheme, err)) < 0)
        return r;
    /* An archive of a newer docker holds both descriptions; the layout keeps the true digests. */
    if (import_has(im, "index.json") &&
        !(scheme && !strcmp(scheme, "docker-archive") && !import_has(im, "oci-layout")))
        r = import_oci(im, err);
    else if (import_has(im, "manifest.json"))
        r = import_docker(im, err);
    else
        return err_set(err, ERR_INVALID, 0, "neither index.json nor manifest.json: not an image");
    if (r >= 0 && im->done == 0)
        return err_set(err, ERR_NOT_FOUND, 0, "no image%s%s in it", im->select ? " " : "",
                       im->select ? im->select : "");
    return r;
}

/* "oci:DIR:NAME" names one image of a layout; a colon inside an existing path is part of the path.
 */
static void split_source(char *path, const char **ret_scheme, const char **ret_path,
                         const char **ret_select)
{
    static const char *const schemes[] = { "docker-archive", "oci-archive", "oci" };
    char *colon;

    *ret_scheme = *ret_select = NULL;
    *ret_path = path;
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t n = strlen(schemes[i]);

        if (!strncmp(path, schemes[i], n) && path[n] == ':') {
            *ret_scheme = schemes[i];
            path += n + 1;
            *ret_path = path;
            break;
        }
    }
    if (path_exists(AT_FDCWD, path))
        return;
    /* The shortest prefix that exists, as names hold colons themselves. */
    for (colon = strchr(path, ':'); colon; colon = strchr(colon + 1, ':')) {
        *colon = 0;
        if (path_exists(AT_FDCWD, path)) {
            *ret_select = colon + 1;
            return;
        }
        *colon = ':';
    }
}

int image_import(ImageStore *s, const char *source, StrView name, Arena *a, ImageInfo *ret_info,
                 Err *err)
{
    _cleanup_arena_ Arena scratch;
    _cleanup_free_ char *copy = strdup(source);
    Import im = { .store = s, .dir_fd = -1, .hold = -1, .arena = &scratch };
    const char *scheme, *path;
    ImageRef ref;
    int r;

    arena_init(&scratch, ARENA_DEFAULT_LIMIT);
    if (!copy)
        return err_nomem(err);
    if (name.ptr) {
        r = image_ref_parse(name, &ref, err);
        if (r < 0)
            return r;
        im.name = &ref;
    }
    split_source(copy, &scheme, &path, &im.select);
    r = import_run(&im, path, scheme, err);
    import_end(&im);
    /* Junk of archives, or all of a failed import. What cannot be removed now, the next collection
     * gets. */
    (void)!image_gc(s, NULL, NULL);
    if (r < 0)
        return err_wrap(err, "import '%s'", source);
    return image_get(s, sv_cstr(im.last.text), a, ret_info, err);
}
