/* image_blob.c - content-addressed files: a temporary file with a running SHA-256, made durable and
 * renamed to its digest. Two writers of one digest both succeed; the second rename replaces equal
 * bytes. */
#include "image/image_blob.h"

#include <errno.h>
#include <stdio.h>
#include <openssl/evp.h>
#include <sys/file.h>

#include "base/encode.h"
#include "base/file.h"
#include "image/image_internal.h"

struct BlobWriter {
    ImageStore *store;
    EVP_MD_CTX *hash;
    int fd;
    uint64_t size;
    char name[112]; /* in tmp/; empty once renamed */
};

enum { COPY_CHUNK = 128 * 1024 };

int image_store_hold(ImageStore *s, int *ret_fd, Err *err)
{
    return store_lock(s, "gc.lock", LOCK_SH, ret_fd, err);
}

int image_store_hold_alone(ImageStore *s, int *ret_fd, Err *err)
{
    return store_lock(s, "gc.lock", LOCK_EX | LOCK_NB, ret_fd, err);
}

bool blob_exists(ImageStore *s, const Digest *d, uint64_t *ret_size)
{
    struct stat st;

    if (fstatat(s->blobs_fd, digest_hex(d), &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return false;
    if (ret_size)
        *ret_size = (uint64_t)st.st_size;
    return true;
}

int blob_open(ImageStore *s, const Digest *d, int *ret_fd, Err *err)
{
    int fd = openat(s->blobs_fd, digest_hex(d), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return err_errno(err, "open blob %s", d->text);
    *ret_fd = fd;
    return 0;
}

static int sha256_of(StrView data, Digest *ret, Err *err)
{
    uint8_t sum[32];

    if (EVP_Digest(data.ptr, data.len, sum, NULL, EVP_sha256(), NULL) != 1)
        return err_set(err, ERR_SYS, 0, "SHA-256 failed");
    digest_from_bytes(sum, ret);
    return 0;
}

int blob_read(ImageStore *s, const Digest *d, size_t limit, Buf *out, Err *err)
{
    _cleanup_close_ int fd = -1;
    size_t start = out->len;
    Digest got;
    int r = blob_open(s, d, &fd, err);

    if (r < 0)
        return r;
    r = fd_read_all(fd, limit, out);
    if (r == -EFBIG)
        return err_set(err, ERR_LIMIT, 0, "blob %s is larger than %zu bytes", d->text, limit);
    if (r < 0)
        return err_neg(err, r, "read blob %s", d->text);
    r = sha256_of(sv_n(out->ptr + start, out->len - start), &got, err);
    if (r < 0)
        return r;
    if (!digest_eq(&got, d))
        return err_set(err, ERR_CORRUPT, 0, "blob %s is damaged: its bytes are %s", d->text,
                       got.text);
    return 0;
}

bool blob_is_kept(ImageStore *s, const Digest *d, uint64_t size)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    uint64_t there;

    return blob_exists(s, d, &there) && there == size &&
           (size > BLOB_SMALL || blob_read(s, d, BLOB_SMALL, &text, NULL) >= 0);
}

/* 0: its bytes are those of *want. ERR_CORRUPT; ERR_SYS where it cannot be read to its end. */
static int check_bytes(int fd, const Digest *want, EVP_MD_CTX *hash, char *chunk)
{
    uint8_t sum[32];
    Digest got;
    ssize_t n;

    if (EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1)
        return -(int)ERR_SYS;
    while ((n = read(fd, chunk, COPY_CHUNK)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || EVP_DigestUpdate(hash, chunk, (size_t)n) != 1)
            return -(int)ERR_SYS;
    }
    if (EVP_DigestFinal_ex(hash, sum, NULL) != 1)
        return -(int)ERR_SYS;
    digest_from_bytes(sum, &got);
    return digest_eq(&got, want) ? 0 : -(int)ERR_CORRUPT;
}

bool blob_drop_damaged(ImageStore *s, const Digest *d)
{
    _cleanup_close_ int fd = openat(s->blobs_fd, digest_hex(d), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_free_ char *chunk = malloc(COPY_CHUNK);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool damaged = fd >= 0 && chunk && hash && check_bytes(fd, d, hash, chunk) == -(int)ERR_CORRUPT;

    EVP_MD_CTX_free(hash);
    return damaged && unlinkat(s->blobs_fd, digest_hex(d), 0) == 0;
}

int blob_writer_new(ImageStore *s, BlobWriter **ret_w, Err *err)
{
    uint8_t id[12];
    BlobWriter *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return err_nomem(err);
    w->store = s;
    w->fd = -1;
    r = random_bytes(id, sizeof id);
    if (r < 0) {
        blob_writer_free(w);
        return err_neg(err, r, "random name");
    }
    memcpy(w->name, "blob-", 5);
    hex_encode(id, sizeof id, w->name + 5);
    w->fd = openat(s->tmp_fd, w->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        r = err_errno(err, "create %s/tmp/%s", s->dir, w->name);
        w->name[0] = 0;
        blob_writer_free(w);
        return r;
    }
    w->hash = EVP_MD_CTX_new();
    if (!w->hash || EVP_DigestInit_ex(w->hash, EVP_sha256(), NULL) != 1) {
        blob_writer_free(w);
        return err_nomem(err);
    }
    *ret_w = w;
    return 0;
}

BlobWriter *blob_writer_free(BlobWriter *w)
{
    if (!w)
        return NULL;
    closep(&w->fd);
    if (w->name[0])
        unlinkat(w->store->tmp_fd, w->name, 0);
    EVP_MD_CTX_free(w->hash);
    free(w);
    return NULL;
}

/* What is there already becomes part of the hash. */
static int rehash(BlobWriter *w, Err *err)
{
    _cleanup_free_ char *chunk = malloc(COPY_CHUNK);

    if (!chunk)
        return err_nomem(err);
    for (;;) {
        ssize_t n = read(w->fd, chunk, COPY_CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read %s", w->name);
        if (n == 0)
            return 0;
        if (EVP_DigestUpdate(w->hash, chunk, (size_t)n) != 1)
            return err_set(err, ERR_SYS, 0, "SHA-256 failed");
        w->size += (uint64_t)n;
    }
}

/* The part file, locked, and still the one of that name: whoever had the lock before may have
 * renamed or removed it. */
static int part_open(ImageStore *s, const char *name, int *ret_fd, Err *err)
{
    _cleanup_close_ int fd =
        openat(s->tmp_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat own, there;

    if (fd < 0)
        return err_errno(err, "create %s/tmp/%s", s->dir, name);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? err_set(err, ERR_BUSY, 0, "%s is being written", name)
                                    : err_errno(err, "lock %s/tmp/%s", s->dir, name);
    if (fstat(fd, &own) < 0)
        return err_errno(err, "look at %s/tmp/%s", s->dir, name);
    if (fstatat(s->tmp_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0 || own.st_ino != there.st_ino)
        return err_set(err, ERR_BUSY, 0, "%s has just been finished", name);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int blob_writer_resume(ImageStore *s, const Digest *want, const char *tag, BlobWriter **ret_w,
                       uint64_t *ret_have, Err *err)
{
    BlobWriter *w = calloc(1, sizeof *w);
    char name[sizeof w->name];
    int r;

    if (!w)
        return err_nomem(err);
    w->store = s;
    w->fd = -1;
    snprintf(name, sizeof name, "part-%s%s%.*s", digest_hex(want), *tag ? "-" : "",
             BLOB_TAG_SIZE - 1, tag);
    w->hash = EVP_MD_CTX_new();
    if (!w->hash || EVP_DigestInit_ex(w->hash, EVP_sha256(), NULL) != 1)
        r = err_nomem(err);
    else
        r = part_open(s, name, &w->fd, err);
    if (r < 0) {
        blob_writer_free(w); /* the file is not its own yet */
        return r;
    }
    memcpy(w->name, name, sizeof name);
    if ((r = rehash(w, err)) < 0) {
        blob_writer_leave(w);
        return r;
    }
    *ret_have = w->size;
    *ret_w = w;
    return 0;
}

int blob_writer_restart(BlobWriter *w, Err *err)
{
    if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
        return err_errno(err, "empty %s", w->name);
    if (EVP_DigestInit_ex(w->hash, EVP_sha256(), NULL) != 1)
        return err_set(err, ERR_SYS, 0, "SHA-256 failed");
    w->size = 0;
    return 0;
}

BlobWriter *blob_writer_leave(BlobWriter *w)
{
    if (w && w->size)
        w->name[0] = 0;
    return blob_writer_free(w);
}

int blob_writer_write(BlobWriter *w, const void *data, size_t n, Err *err)
{
    int r;

    if (n > IMAGE_BLOB_MAX - w->size)
        return err_set(err, ERR_LIMIT, 0, "a blob is larger than %llu bytes",
                       (unsigned long long)IMAGE_BLOB_MAX);
    r = fd_write_full(w->fd, data, n);
    if (r < 0)
        return err_neg(err, r, "write %s/tmp/%s", w->store->dir, w->name);
    if (EVP_DigestUpdate(w->hash, data, n) != 1)
        return err_set(err, ERR_SYS, 0, "SHA-256 failed");
    w->size += n;
    return 0;
}

int blob_writer_commit(BlobWriter *w, const Digest *want, Digest *ret_digest, uint64_t *ret_size,
                       Err *err)
{
    uint8_t sum[32];
    Digest got;

    if (EVP_DigestFinal_ex(w->hash, sum, NULL) != 1)
        return err_set(err, ERR_SYS, 0, "SHA-256 failed");
    digest_from_bytes(sum, &got);
    if (want && !digest_eq(want, &got))
        return err_set(err, ERR_CORRUPT, 0, "the bytes for %s have digest %s", want->text,
                       got.text);
    if (fchmod(w->fd, 0644) < 0 || fsync(w->fd) < 0)
        return err_errno(err, "sync blob %s", got.text);
    if (renameat(w->store->tmp_fd, w->name, w->store->blobs_fd, digest_hex(&got)) < 0)
        return err_errno(err, "rename blob %s", got.text);
    w->name[0] = 0;
    if (fsync(w->store->blobs_fd) < 0)
        return err_errno(err, "sync the blob folder");
    if (ret_digest)
        *ret_digest = got;
    if (ret_size)
        *ret_size = w->size;
    return 0;
}

static void blob_writer_freep(BlobWriter **w)
{
    blob_writer_free(*w);
}

int blob_put(ImageStore *s, StrView data, Digest *ret_digest, Err *err)
{
    _cleanup_(blob_writer_freep) BlobWriter *w = NULL;
    int r = blob_writer_new(s, &w, err);

    if (r < 0)
        return r;
    r = blob_writer_write(w, data.ptr, data.len, err);
    if (r < 0)
        return r;
    return blob_writer_commit(w, NULL, ret_digest, NULL, err);
}

int blob_put_fd(ImageStore *s, int fd, const Digest *want, Digest *ret_digest, uint64_t *ret_size,
                Err *err)
{
    _cleanup_(blob_writer_freep) BlobWriter *w = NULL;
    _cleanup_free_ char *chunk = malloc(COPY_CHUNK);
    int r;

    if (!chunk)
        return err_nomem(err);
    r = blob_writer_new(s, &w, err);
    while (r >= 0) {
        ssize_t n = read(fd, chunk, COPY_CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read a blob");
        if (n == 0)
            return blob_writer_commit(w, want, ret_digest, ret_size, err);
        r = blob_writer_write(w, chunk, (size_t)n, err);
    }
    return r;
}
