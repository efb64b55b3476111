/* image_export.c - see image_export.h. An archive is written beside its place and renamed; its tar
 * headers are made here, as all they hold is regular files with short names. The size of a layer
 * that is unpacked on the way is known at its end only: its header is written then. */
#include "image/image_export.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/map.h"
#include "codec/json.h"
#include "image/image_internal.h"

enum { CHUNK = 128 * 1024, TAR_BLOCK = 512 };

typedef struct Export {
    ImageStore *store;
    Arena arena;
    int fd;     /* of the archive; -1: a layout directory */
    int dir_fd; /* of that */
    Map written;
    char *chunk;
} Export;

/* ---- tar ---- */

static void put_octal(char *at, size_t size, uint64_t n)
{
    for (size_t i = size - 1; i-- > 0; n >>= 3)
        at[i] = (char)('0' + (n & 7));
    at[size - 1] = 0;
}

/* POSIX ustar; sizes of 8 GiB and more in base 256, as all tars of today read. */
static void tar_header(const char *name, uint64_t size, char out[static TAR_BLOCK])
{
    unsigned sum = 0;

    memset(out, 0, TAR_BLOCK);
    snprintf(out, 100, "%s", name);
    memcpy(out + 100, "0000644", 8);
    memcpy(out + 108, "0000000", 8);
    memcpy(out + 116, "0000000", 8);
    if (size >> 33) {
        out[124] = (char)0x80;
        for (unsigned i = 0; i < 8; i++)
            out[135 - i] = (char)(size >> (8 * i));
    } else {
        put_octal(out + 124, 12, size);
    }
    memcpy(out + 136, "00000000000", 12);
    memset(out + 148, ' ', 8);
    out[156] = '0';
    memcpy(out + 257,
           "ustar\0"
           "00",
           8);
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)out[i];
    snprintf(out + 148, 8, "%06o", sum);
    out[155] = ' ';
}

static int put_bytes(Export *x, const void *data, size_t n, Err *err)
{
    int r = fd_write_full(x->fd, data, n);

    return r < 0 ? err_neg(err, r, "write the archive") : 0;
}

static int pad(Export *x, uint64_t size, Err *err)
{
    static const char zero[TAR_BLOCK];
    size_t more = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;

    return put_bytes(x, zero, more, err);
}

static int tar_put(Export *x, const char *name, StrView data, Err *err)
{
    char header[TAR_BLOCK];
    int r;

    tar_header(name, data.len, header);
    if ((r = put_bytes(x, header, sizeof header, err)) < 0 ||
        (r = put_bytes(x, data.ptr, data.len, err)) < 0)
        return r;
    return pad(x, data.len, err);
}

/* Where a body begins whose size is not known yet. */
static int tar_begin(Export *x, off_t *ret_at, Err *err)
{
    char header[TAR_BLOCK] = { 0 };
    off_t at = lseek(x->fd, 0, SEEK_CUR);

    if (at < 0)
        return err_errno(err, "write the archive");
    *ret_at = at;
    return put_bytes(x, header, sizeof header, err);
}

static int tar_end(Export *x, off_t at, const char *name, uint64_t size, Err *err)
{
    char header[TAR_BLOCK];

    tar_header(name, size, header);
    if (pwrite(x->fd, header, sizeof header, at) != (ssize_t)sizeof header)
        return err_errno(err, "write the archive");
    return pad(x, size, err);
}

/* ---- blobs ---- */

typedef struct Hash {
    EVP_MD_CTX *ctx;
    uint64_t size;
} Hash;

static int hash_begin(Hash *h, Err *err)
{
    h->ctx = EVP_MD_CTX_new();
    h->size = 0;
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(h->ctx);
        return err_nomem(err);
    }
    return 0;
}

static int hash_end(Hash *h, const Digest *want, Err *err)
{
    uint8_t sum[32];
    Digest got;

    if (EVP_DigestFinal_ex(h->ctx, sum, NULL) != 1)
        return err_set(err, ERR_SYS, 0, "SHA-256 failed");
    digest_from_bytes(sum, &got);
    if (!digest_eq(&got, want))
        return err_set(err, ERR_CORRUPT, 0, "%s is damaged: its bytes are %s", want->text,
                       got.text);
    return 0;
}

static int copy_raw(Export *x, const Digest *d, Hash *h, Err *err)
{
    _cleanup_close_ int in = -1;
    int r = blob_open(x->store, d, &in, err);

    while (r >= 0) {
        ssize_t n = read(in, x->chunk, CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read blob %s", d->text);
        if (n == 0)
            return hash_end(h, d, err);
        h->size += (uint64_t)n;
        EVP_DigestUpdate(h->ctx, x->chunk, (size_t)n);
        r = put_bytes(x, x->chunk, (size_t)n, err);
    }
    return r;
}

/* A layer as it was before it was compressed. */
static int copy_plain(Export *x, const Digest *d, const Digest *diff_id, Hash *h, Err *err)
{
    _cleanup_close_ int in = -1;
    struct archive *raw = archive_read_new();
    struct archive_entry *entry;
    la_ssize_t n = 0;
    int r = raw ? blob_open(x->store, d, &in, err) : err_nomem(err);

    if (r >= 0) {
        archive_read_support_filter_gzip(raw);
        archive_read_support_filter_zstd(raw);
        archive_read_support_format_raw(raw);
        archive_read_support_format_empty(raw);
        if (archive_read_open_fd(raw, in, CHUNK) < ARCHIVE_WARN ||
            archive_read_next_header(raw, &entry) < ARCHIVE_WARN)
            r = err_set(err, ERR_INVALID, 0, "layer %s: %s", d->text, archive_error_string(raw));
    }
    while (r >= 0 && (n = archive_read_data(raw, x->chunk, CHUNK)) > 0) {
        h->size += (uint64_t)n;
        EVP_DigestUpdate(h->ctx, x->chunk, (size_t)n);
        if (h->size > x->store->layer_bytes_max)
            r = err_set(err, ERR_LIMIT, 0, "layer %s is larger than the limit", d->text);
        else
            r = put_bytes(x, x->chunk, (size_t)n, err);
    }
    if (r >= 0 && n < 0)
        r = err_set(err, ERR_INVALID, 0, "layer %s: %s", d->text, archive_error_string(raw));
    archive_read_free(raw);
    return r < 0 ? r : hash_end(h, diff_id, err);
}

/* Once: the same layer may be of several images. */
static int put_blob(Export *x, const char *name, const Digest *d, const Digest *diff_id, Err *err)
{
    Hash h;
    off_t at;
    int r;

    if (map_has(&x->written, sv_cstr(name)))
        return 0;
    if ((r = hash_begin(&h, err)) < 0)
        return r;
    if ((r = tar_begin(x, &at, err)) >= 0)
        r = diff_id ? copy_plain(x, d, diff_id, &h, err) : copy_raw(x, d, &h, err);
    EVP_MD_CTX_free(h.ctx);
    if (r < 0 || (r = tar_end(x, at, name, h.size, err)) < 0)
        return r;
    return map_set(&x->written, sv_cstr(name), x, NULL) ? 0 : err_nomem(err);
}

/* Into a layout directory, where it may be already. */
static int put_layout_file(Export *x, const Digest *d, Err *err)
{
    char name[96], temporary[112];
    Hash h;
    int r;

    snprintf(name, sizeof name, "blobs/sha256/%s", digest_hex(d));
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    if (path_exists(x->dir_fd, name))
        return 0;
    if ((r = hash_begin(&h, err)) < 0)
        return r;
    x->fd =
        openat(x->dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    r = x->fd < 0 ? err_errno(err, "create '%s'", temporary) : copy_raw(x, d, &h, err);
    EVP_MD_CTX_free(h.ctx);
    if (r >= 0 && (fsync(x->fd) < 0 || renameat(x->dir_fd, temporary, x->dir_fd, name) < 0))
        r = err_errno(err, "write '%s'", name);
    closep(&x->fd);
    if (r < 0)
        unlinkat(x->dir_fd, temporary, 0);
    return r;
}

static int put_oci_blob(Export *x, const Digest *d, Err *err)
{
    char name[96];

    if (x->dir_fd >= 0)
        return put_layout_file(x, d, err);
    snprintf(name, sizeof name, "blobs/sha256/%s", digest_hex(d));
    return put_blob(x, name, d, NULL, err);
}

/* ---- what describes them ---- */

static const char *tag_of(Arena *a, const char *name)
{
    ImageRef ref;

    if (image_ref_parse(sv_cstr(name), &ref, NULL) < 0 || !ref.tag[0])
        return name;
    return arena_printf(a, "%s", ref.tag).ptr;
}

static int oci_entry(Export *x, const ImageInfo *info, const char *name, Value *ret, Err *err)
{
    Value entry = value_map(), notes = value_map(), doc;
    Arena *a = &x->arena;
    StrView media, digest;
    uint64_t size = 0;
    int r = store_json(x->store, &info->manifest, IMAGE_MANIFEST_MAX, a, &doc, err);

    if (r < 0)
        return r;
    blob_exists(x->store, &info->manifest, &size);
    media = value_str(value_get(&doc, SV("mediaType")));
    if (!media.len)
        media = SV("application/vnd.oci.image.manifest.v1+json");
    digest = arena_sv(a, sv_cstr(info->manifest.text));
    value_set(a, &notes, SV("io.containerd.image.name"), value_sv(sv_cstr(name)));
    value_set(a, &notes, SV("org.opencontainers.image.ref.name"),
              value_sv(sv_cstr(tag_of(a, name))));
    value_set(a, &entry, SV("mediaType"), value_sv(media));
    value_set(a, &entry, SV("digest"), value_sv(digest));
    value_set(a, &entry, SV("size"), value_int((int64_t)size));
    value_set(a, &entry, SV("annotations"), notes);
    *ret = entry;
    return a->failed ? err_nomem(err) : 0;
}

static int put_oci_image(Export *x, const ImageInfo *info, Err *err)
{
    Manifest m;
    int r = manifest_load(x->store, &info->manifest, &x->arena, &m, err);

    if (r < 0 || (r = put_oci_blob(x, &info->manifest, err)) < 0 ||
        (r = put_oci_blob(x, &m.config, err)) < 0)
        return r;
    for (uint32_t i = 0; i < m.layers_len; i++)
        if ((r = put_oci_blob(x, &m.layers[i].digest, err)) < 0)
            return r;
    return 0;
}

/* The entry takes the place of one with its name. */
static bool set_entry(Arena *a, Value *list, Value entry)
{
    const Value *notes = value_get(&entry, SV("annotations"));
    StrView name = value_str(value_get(notes, SV("io.containerd.image.name")));

    for (uint32_t i = 0; i < list->len; i++) {
        const Value *have = value_get(&list->items[i], SV("annotations"));

        if (sv_eq(value_str(value_get(have, SV("io.containerd.image.name"))), name))
            value_remove(list, i--);
    }
    return value_push(a, list, entry) != NULL;
}

/* What a layout directory lists already; an empty index for an archive. */
static int index_begin(Export *x, Value *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = x->dir_fd < 0 ? -ENOENT : file_read(x->dir_fd, "index.json", IMAGE_INDEX_MAX, &text);

    if (r == -ENOENT) {
        *ret = value_map();
        value_set(&x->arena, ret, SV("schemaVersion"), value_int(2));
        value_set(&x->arena, ret, SV("manifests"), value_list());
        return x->arena.failed ? err_nomem(err) : 0;
    }
    if (r < 0)
        return err_neg(err, r, "read index.json");
    StrView copy = arena_sv(&x->arena, buf_view(&text));
    if (!copy.ptr)
        return err_nomem(err);
    r = json_decode(copy, &x->arena, NULL, ret, err);
    if (r < 0 || !value_is(value_get(ret, SV("manifests")), VALUE_LIST))
        return err_set(err, ERR_INVALID, 0, "its index.json is no image index");
    return 0;
}

static int export_oci(Export *x, const ImageInfo *images, const char *const *names, size_t n,
                      Err *err)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    _cleanup_buf_ Buf text = BUF_INIT;
    Value index, entry;
    int r = index_begin(x, &index, err);

    for (size_t i = 0; r >= 0 && i < n; i++) {
        if ((r = put_oci_image(x, &images[i], err)) < 0 ||
            (r = oci_entry(x, &images[i], names[i], &entry, err)) < 0)
            return r;
        if (!set_entry(&x->arena, value_get(&index, SV("manifests")), entry))
            return err_nomem(err);
    }
    if (r < 0)
        return r;
    json_encode(&index, &text);
    if (text.failed)
        return err_nomem(err);
    if (x->dir_fd < 0) {
        if ((r = tar_put(x, "oci-layout", sv_cstr(layout), err)) < 0)
            return r;
        return tar_put(x, "index.json", buf_view(&text), err);
    }
    if ((r = file_write_atomic(x->dir_fd, "oci-layout", sv_cstr(layout), 0644, true)) < 0 ||
        (r = file_write_atomic(x->dir_fd, "index.json", buf_view(&text), 0644, true)) < 0)
        return err_neg(err, r, "write the layout");
    return 0;
}

/* One row of manifest.json, and its files. */
static int put_docker_image(Export *x, const ImageInfo *info, const char *name, Buf *rows, Err *err)
{
    char file[96];
    ImageConfig c;
    Manifest m;
    int r;

    if ((r = manifest_load(x->store, &info->manifest, &x->arena, &m, err)) < 0 ||
        (r = image_config(x->store, &info->manifest, &x->arena, &c, err)) < 0)
        return r;
    if (c.diff_ids_len != m.layers_len)
        return err_set(err, ERR_INVALID, 0, "the manifest has %u layers, the config %u diff-ids",
                       m.layers_len, c.diff_ids_len);
    snprintf(file, sizeof file, "%s.json", digest_hex(&m.config));
    if ((r = put_blob(x, file, &m.config, NULL, err)) < 0)
        return r;
    buf_printf(rows, "%s{\"Config\":\"%s\",\"RepoTags\":[", rows->len > 1 ? "," : "", file);
    json_encode_string(sv_cstr(name), rows);
    buf_sv(rows, SV("],\"Layers\":["));
    for (uint32_t i = 0; i < m.layers_len; i++) {
        snprintf(file, sizeof file, "%s.tar", digest_hex(&c.diff_ids[i]));
        if ((r = put_blob(x, file, &m.layers[i].digest, &c.diff_ids[i], err)) < 0)
            return r;
        buf_printf(rows, "%s\"%s\"", i ? "," : "", file);
    }
    buf_sv(rows, SV("]}"));
    return 0;
}

static int export_docker(Export *x, const ImageInfo *images, const char *const *names, size_t n,
                         Err *err)
{
    _cleanup_buf_ Buf rows = BUF_INIT;
    int r = 0;

    buf_putc(&rows, '[');
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = put_docker_image(x, &images[i], names[i], &rows, err);
    buf_putc(&rows, ']');
    if (r < 0)
        return r;
    return rows.failed ? err_nomem(err) : tar_put(x, "manifest.json", buf_view(&rows), err);
}

/* ---- places ---- */

typedef int ExportFn(Export *x, const ImageInfo *images, const char *const *names, size_t n,
                     Err *err);

static int to_archive(Export *x, const char *file, ExportFn *fn, const ImageInfo *images,
                      const char *const *names, size_t n, Err *err)
{
    static const char end_mark[2 * TAR_BLOCK];
    StrView temporary = arena_printf(&x->arena, "%s.tmp-%d", file, (int)getpid());
    int r;

    if (!temporary.ptr)
        return err_nomem(err);
    x->fd = open(temporary.ptr, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (x->fd < 0)
        return err_errno(err, "create '%s'", temporary.ptr);
    if ((r = fn(x, images, names, n, err)) >= 0 &&
        (r = put_bytes(x, end_mark, sizeof end_mark, err)) >= 0 &&
        (fsync(x->fd) < 0 || rename(temporary.ptr, file) < 0))
        r = err_errno(err, "write '%s'", file);
    closep(&x->fd);
    if (r < 0)
        unlink(temporary.ptr);
    return r;
}

static int to_layout(Export *x, const char *dir, const ImageInfo *images, const char *const *names,
                     size_t n, Err *err)
{
    int r = mkdir_p(AT_FDCWD, dir, 0755);

    if (r < 0)
        return err_neg(err, r, "create '%s'", dir);
    x->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (x->dir_fd < 0)
        return err_errno(err, "open '%s'", dir);
    if ((r = mkdir_p(x->dir_fd, "blobs/sha256", 0755)) < 0)
        return err_neg(err, r, "create '%s/blobs'", dir);
    return export_oci(x, images, names, n, err);
}

int image_export(ImageStore *s, const ImageInfo *images, const char *const *names, size_t n,
                 const char *dest, Err *err)
{
    Export x = { .store = s, .fd = -1, .dir_fd = -1, .chunk = malloc(CHUNK) };
    _cleanup_close_ int hold = -1;
    StrView to = sv_cstr(dest);
    int r = x.chunk ? image_store_hold(s, &hold, err) : err_nomem(err);

    arena_init(&x.arena, ARENA_DEFAULT_LIMIT);
    if (r < 0)
        ;
    else if (sv_starts(to, SV("docker-archive:")) && to.len > 15)
        r = to_archive(&x, dest + 15, export_docker, images, names, n, err);
    else if (sv_starts(to, SV("oci-archive:")) && to.len > 12)
        r = to_archive(&x, dest + 12, export_oci, images, names, n, err);
    else if (sv_starts(to, SV("oci:")) && to.len > 4)
        r = to_layout(&x, dest + 4, images, names, n, err);
    else
        r = err_set(err, ERR_INVALID, 0,
                    "'%s': expected docker-archive:FILE, oci-archive:FILE or oci:DIR", dest);
    map_free(&x.written);
    closep(&x.dir_fd);
    arena_free(&x.arena);
    free(x.chunk);
    return r < 0 ? err_wrap(err, "export") : 0;
}
