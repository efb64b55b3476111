/* tar_unpack.c - the unpacker proper.
 *
 * Two libarchive readers in a row: the first only decompresses, so that the hash of the plain tar
 * (the diff-id) is taken in the same pass; the second reads the tar from it. Every entry is made
 * relative to its parent directory's descriptor, which openat2(RESOLVE_IN_ROOT) finds; the newest
 * parent is kept, as entries of one directory follow each other. Times of directories are set at
 * the end, because writing into a directory changes them. */
#include "image/tar_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/vec.h"
#include "image/layer_path.h"

enum { RAW_CHUNK = 64 * 1024, TAR_BLOCK = 512 };

typedef struct DirTime {
    char *path;
    struct timespec times[2];
} DirTime;

typedef struct Unpack {
    const TarUnpackOptions *opt;
    int root_fd;
    struct archive *raw, *tar;
    EVP_MD_CTX *hash;
    uint64_t raw_bytes, file_bytes;
    int64_t data_left; /* of the present file, that has not come yet */
    bool padded;       /* what was left out at the end has been made up for */
    uint32_t entries;
    char parent[LAYER_PATH_MAX]; /* of parent_fd */
    int parent_fd;               /* -1: none kept */
    VEC(DirTime) dirs;
    Err raw_err; /* why the decompressing reader stopped */
    char chunk[RAW_CHUNK];
} Unpack;

static void unpack_end(Unpack *u)
{
    archive_read_free(u->tar);
    archive_read_free(u->raw);
    EVP_MD_CTX_free(u->hash);
    closep(&u->parent_fd);
    vec_foreach (d, &u->dirs)
        free(d->path);
    vec_free(&u->dirs);
}

/* umoci leaves the padding behind the last entry out, and Go's reader does not miss it. What is
 * missing of a file itself is not made up for. */
static la_ssize_t pad_end(Unpack *u, const void **ret_data)
{
    size_t more = (TAR_BLOCK - u->raw_bytes % TAR_BLOCK) % TAR_BLOCK;

    if (u->padded || u->data_left)
        return 0;
    u->padded = true;
    memset(u->chunk, 0, more);
    *ret_data = u->chunk;
    return (la_ssize_t)more;
}

/* The tar reader's source: decompressed, counted, hashed. */
static la_ssize_t raw_read(struct archive *tar, void *ctx, const void **ret_data)
{
    Unpack *u = ctx;
    la_ssize_t n = archive_read_data(u->raw, u->chunk, sizeof u->chunk);

    if (n < 0) {
        err_set(&u->raw_err, ERR_INVALID, 0, "decompress: %s", archive_error_string(u->raw));
        archive_set_error(tar, EIO, "%s", u->raw_err.msg);
        return -1;
    }
    u->raw_bytes += (uint64_t)n;
    if (u->raw_bytes > u->opt->bytes_max) {
        err_set(&u->raw_err, ERR_LIMIT, 0, "the layer unpacks to more than %llu bytes",
                (unsigned long long)u->opt->bytes_max);
        archive_set_error(tar, EFBIG, "%s", u->raw_err.msg);
        return -1;
    }
    if (n == 0)
        return pad_end(u, ret_data);
    EVP_DigestUpdate(u->hash, u->chunk, (size_t)n);
    *ret_data = u->chunk;
    return n;
}

static int tar_failed(Unpack *u, Err *err)
{
    const char *why = archive_error_string(u->tar);

    if (u->raw_err.code) {
        *err = u->raw_err;
        return -(int)err->code;
    }
    return err_set(err, ERR_INVALID, 0, "read tar: %s", why ? why : "unknown error");
}

static int unpack_open(Unpack *u, int in_fd, Err *err)
{
    struct archive_entry *entry;
    int r;

    u->hash = EVP_MD_CTX_new();
    u->raw = archive_read_new();
    u->tar = archive_read_new();
    if (!u->hash || !u->raw || !u->tar || EVP_DigestInit_ex(u->hash, EVP_sha256(), NULL) != 1)
        return err_nomem(err);
    archive_read_support_filter_gzip(u->raw);
    archive_read_support_filter_zstd(u->raw);
    archive_read_support_format_raw(u->raw);
    archive_read_support_format_empty(u->raw);
    r = archive_read_open_fd(u->raw, in_fd, RAW_CHUNK);
    if (r == ARCHIVE_OK) {
        r = archive_read_next_header(u->raw, &entry);
        if (r == ARCHIVE_EOF)
            return err_set(err, ERR_INVALID, 0,
                           "the layer is empty: not even the end mark of a tar");
    }
    if (r < ARCHIVE_WARN)
        return err_set(err, ERR_INVALID, 0, "decompress: %s", archive_error_string(u->raw));
    archive_read_support_format_tar(u->tar);
    archive_read_support_format_empty(u->tar);
    r = archive_read_open(u->tar, u, NULL, raw_read, NULL);
    return r < ARCHIVE_WARN ? tar_failed(u, err) : 0;
}

static int open_in_root(int root_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof how);

    /* An old kernel: the process's root is the layer itself, so plain resolution cannot leave it.
     */
    if (fd < 0 && errno == ENOSYS)
        fd = openat(root_fd, *path ? path : ".", flags | O_CLOEXEC);
    return fd;
}

static void forget_parent(Unpack *u)
{
    closep(&u->parent_fd);
}

/* Makes the missing directories of `path`, walking down with a descriptor. */
static int make_parents(Unpack *u, const char *path, Err *err)
{
    char part[LAYER_PATH_MAX];
    size_t len = strlen(path);

    for (size_t i = 1; i <= len; i++) {
        _cleanup_close_ int at = -1;
        char *slash;

        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        at = open_in_root(u->root_fd, part, O_PATH | O_DIRECTORY);
        if (at >= 0)
            continue;
        if (errno != ENOENT)
            return err_errno(err, "directory '%s' in the layer", part);
        slash = strrchr(part, '/');
        if (slash)
            *slash = 0;
        at = open_in_root(u->root_fd, slash ? part : "", O_PATH | O_DIRECTORY);
        if (at < 0 || mkdirat(at, slash ? slash + 1 : part, 0755) < 0)
            return err_errno(err, "create directory '%s' in the layer", path);
    }
    return 0;
}

/* *ret_name points into `path`; *ret_fd stays owned by `u`. */
static int parent_of(Unpack *u, char *path, int *ret_fd, const char **ret_name, Err *err)
{
    char *slash = strrchr(path, '/');
    char parent[LAYER_PATH_MAX];
    size_t n = slash ? (size_t)(slash - path) : 0;
    int r;

    memcpy(parent, path, n);
    parent[n] = 0;
    if (u->parent_fd < 0 || strcmp(parent, u->parent) != 0) {
        forget_parent(u);
        u->parent_fd = open_in_root(u->root_fd, parent, O_RDONLY | O_DIRECTORY);
        if (u->parent_fd < 0 && errno == ENOENT) {
            r = make_parents(u, parent, err);
            if (r < 0)
                return r;
            u->parent_fd = open_in_root(u->root_fd, parent, O_RDONLY | O_DIRECTORY);
        }
        if (u->parent_fd < 0)
            return err_errno(err, "directory '%s' in the layer", parent);
        strcpy(u->parent, parent);
    }
    *ret_fd = u->parent_fd;
    *ret_name = slash ? slash + 1 : path;
    return 0;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int report_opaque(Unpack *u, const char *path, Err *err)
{
    return u->opt->on_opaque ? u->opt->on_opaque(u->opt->ctx, path, err) : 0;
}

/* Makes way for a new entry; a directory stays where a directory comes. */
static int clear_way(Unpack *u, int at, const char *name, const char *path, bool for_dir,
                     bool *ret_kept, Err *err)
{
    struct stat st;
    int r;

    *ret_kept = false;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(err, "look at '%s' in the layer", path);
    if (for_dir && S_ISDIR(st.st_mode)) {
        *ret_kept = true;
        return 0;
    }
    /* A directory after its own whiteout: what lower layers had there stays hidden. */
    if (for_dir && is_whiteout(&st) && (r = report_opaque(u, path, err)) < 0)
        return r;
    if (!S_ISDIR(st.st_mode))
        return unlinkat(at, name, 0) < 0 ? err_errno(err, "replace '%s' in the layer", path) : 0;
    r = rm_rf(at, name);
    forget_parent(u);
    return r < 0 ? err_neg(err, r, "replace '%s' in the layer", path) : 1;
}

static int make_whiteout(Unpack *u, char *path, Err *err)
{
    const char *name;
    struct stat st;
    int at, r = parent_of(u, path, &at, &name, err);

    if (r < 0)
        return r;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISDIR(st.st_mode) ? report_opaque(u, path, err) : 0; /* hides only lower layers */
    if (mknodat(at, name, S_IFCHR, makedev(0, 0)) < 0)
        return err_errno(err, "whiteout of '%s'", path);
    return 0;
}

static int make_opaque(Unpack *u, char *path, Err *err)
{
    char dummy[LAYER_PATH_MAX];
    const char *name;
    int at, r;

    if ((size_t)snprintf(dummy, sizeof dummy, "%s%sx", path, *path ? "/" : "") >= sizeof dummy)
        return err_set(err, ERR_LIMIT, 0, "opaque directory '%s': the path is too long", path);
    r = parent_of(u, dummy, &at, &name, err); /* the directory may have no entry of its own */
    return r < 0 ? r : report_opaque(u, path, err);
}

/* Only attributes that an image may carry: file capabilities and user attributes. Others (labels of
 * a security module, overlayfs' own marks) would be statements about this host. */
static int set_xattrs(int fd, struct archive_entry *e, const char *path, Err *err)
{
    const char *name;
    const void *value;
    size_t size;

    archive_entry_xattr_reset(e);
    while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
        if (strcmp(name, "security.capability") != 0 && strncmp(name, "user.", 5) != 0)
            continue;
        if (!strncmp(name, "user.overlay.", 13))
            continue;
        if (fsetxattr(fd, name, value, size, 0) < 0 && errno != ENOTSUP)
            return err_errno(err, "attribute '%s' of '%s'", name, path);
    }
    return 0;
}

static void entry_times(struct archive_entry *e, struct timespec times[2])
{
    bool has = archive_entry_mtime_is_set(e);

    times[1].tv_sec = has ? archive_entry_mtime(e) : 0;
    times[1].tv_nsec = has ? archive_entry_mtime_nsec(e) : 0;
    times[0] = times[1];
}

static int entry_owner(struct archive_entry *e, const char *path, uid_t *ret_uid, gid_t *ret_gid,
                       Err *err)
{
    int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);

    if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return err_set(err, ERR_INVALID, 0, "owner of '%s' is out of range", path);
    *ret_uid = (uid_t)uid;
    *ret_gid = (gid_t)gid;
    return 0;
}

/* Owner first: changing it clears set-user-ID bits and file capabilities. */
static int set_meta_fd(int fd, struct archive_entry *e, const char *path, Err *err)
{
    uid_t uid;
    gid_t gid;
    int r = entry_owner(e, path, &uid, &gid, err);

    if (r < 0)
        return r;
    if (fchown(fd, uid, gid) < 0)
        return err_errno(err, "owner of '%s'", path);
    if (fchmod(fd, archive_entry_perm(e) & 07777) < 0)
        return err_errno(err, "mode of '%s'", path);
    return set_xattrs(fd, e, path, err);
}

static int write_data(Unpack *u, int fd, int64_t size, const char *path, Err *err)
{
    const void *data;
    size_t n;
    la_int64_t at, end = 0;
    int r;

    u->data_left = size;
    while ((r = archive_read_data_block(u->tar, &data, &n, &at)) == ARCHIVE_OK) {
        if (at < end || at > (la_int64_t)u->opt->bytes_max)
            return err_set(err, ERR_LIMIT, 0, "'%s' is larger than the limit", path);
        u->file_bytes += (uint64_t)(at - end) + n;
        if (u->file_bytes > u->opt->bytes_max)
            return err_set(err, ERR_LIMIT, 0, "the layer unpacks to more than %llu bytes",
                           (unsigned long long)u->opt->bytes_max);
        for (size_t done = 0; done < n;) {
            ssize_t w = pwrite(fd, (const char *)data + done, n - done, at + (la_int64_t)done);

            if (w < 0 && errno == EINTR)
                continue;
            if (w <= 0)
                return err_errno(err, "write '%s'", path);
            done += (size_t)w;
        }
        end = at + (la_int64_t)n;
        u->data_left = MAX(size - end, (int64_t)0);
    }
    u->data_left = 0;
    return r == ARCHIVE_EOF ? 0 : tar_failed(u, err);
}

static int make_file(Unpack *u, struct archive_entry *e, int at, const char *name, const char *path,
                     Err *err)
{
    _cleanup_close_ int fd =
        openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int64_t size = archive_entry_size_is_set(e) ? archive_entry_size(e) : 0;
    struct timespec times[2];
    int r;

    if (fd < 0)
        return err_errno(err, "create '%s' in the layer", path);
    if (size < 0 || (uint64_t)size > u->opt->bytes_max)
        return err_set(err, ERR_LIMIT, 0, "'%s' is larger than the limit", path);
    r = write_data(u, fd, size, path, err);
    if (r < 0)
        return r;
    if (ftruncate(fd, size) < 0) /* a hole at the end of a sparse file */
        return err_errno(err, "size of '%s'", path);
    r = set_meta_fd(fd, e, path, err);
    entry_times(e, times);
    if (r >= 0 && futimens(fd, times) < 0)
        return err_errno(err, "times of '%s'", path);
    return r;
}

static int make_dir(Unpack *u, struct archive_entry *e, int at, const char *name, const char *path,
                    bool exists, Err *err)
{
    _cleanup_close_ int fd = -1;
    DirTime t = { 0 };
    int r;

    if (!exists && mkdirat(at, name, 0700) < 0)
        return err_errno(err, "create directory '%s' in the layer", path);
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open directory '%s' in the layer", path);
    r = set_meta_fd(fd, e, path, err);
    if (r < 0)
        return r;
    entry_times(e, t.times);
    t.path = strdup(path);
    if (!t.path || !vec_push(&u->dirs, t)) {
        free(t.path);
        return err_nomem(err);
    }
    return 0;
}

/* Symbolic links, devices, fifos: nothing to open. */
static int make_special(struct archive_entry *e, int at, const char *name, const char *path,
                        Err *err)
{
    mode_t type = archive_entry_filetype(e);
    struct timespec times[2];
    uid_t uid;
    gid_t gid;
    int r = entry_owner(e, path, &uid, &gid, err);

    if (r < 0)
        return r;
    if (type == AE_IFLNK) {
        const char *target = archive_entry_symlink(e);

        if (!target || symlinkat(target, at, name) < 0)
            return err_errno(err, "symbolic link '%s' in the layer", path);
    } else if (mknodat(at, name, type, type == AE_IFIFO ? 0 : archive_entry_rdev(e)) < 0) {
        return err_errno(err, "special file '%s' in the layer", path);
    }
    if (fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(err, "owner of '%s'", path);
    if (type != AE_IFLNK && fchmodat(at, name, archive_entry_perm(e) & 07777, 0) < 0)
        return err_errno(err, "mode of '%s'", path);
    entry_times(e, times);
    if (utimensat(at, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(err, "times of '%s'", path);
    return 0;
}

static int make_hardlink(Unpack *u, const char *target, int at, const char *name, const char *path,
                         Err *err)
{
    _cleanup_close_ int from = -1;
    char clean[LAYER_PATH_MAX];
    char *slash;
    int r = layer_path_clean(sv_cstr(target), clean, err);

    if (r < 0)
        return err_wrap(err, "hard link '%s'", path);
    slash = strrchr(clean, '/');
    if (slash)
        *slash = 0;
    from = open_in_root(u->root_fd, slash ? clean : "", O_PATH | O_DIRECTORY);
    if (from < 0 || linkat(from, slash ? slash + 1 : clean, at, name, 0) < 0)
        return err_errno(err, "hard link '%s' to '%s' in the layer", path, target);
    return 0;
}

static int unpack_entry(Unpack *u, struct archive_entry *e, char *path, Err *err)
{
    const char *hard = archive_entry_hardlink(e), *name;
    mode_t type = archive_entry_filetype(e);
    bool is_dir = !hard && type == AE_IFDIR, kept = false;
    int at, r;

    if (!*path)
        return is_dir ? make_dir(u, e, u->root_fd, ".", "", true, err)
                      : err_set(err, ERR_INVALID, 0, "the layer's root is no directory");
    r = parent_of(u, path, &at, &name, err);
    if (r >= 0)
        r = clear_way(u, at, name, path, is_dir, &kept, err);
    if (r == 1) /* a tree went away, and with it maybe the kept parent */
        r = parent_of(u, path, &at, &name, err);
    if (r < 0)
        return r;
    if (hard)
        return make_hardlink(u, hard, at, name, path, err);
    switch (type) {
    case AE_IFDIR:
        return make_dir(u, e, at, name, path, kept, err);
    case AE_IFREG:
        return make_file(u, e, at, name, path, err);
    case AE_IFLNK:
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
        return make_special(e, at, name, path, err);
    default:
        return err_set(err, ERR_INVALID, 0, "'%s' has an unknown type", path);
    }
}

static int unpack_named(Unpack *u, struct archive_entry *e, Err *err)
{
    char path[LAYER_PATH_MAX];
    const char *raw = archive_entry_pathname(e);
    LayerEntryKind kind;
    int r;

    if (!raw)
        return err_set(err, ERR_INVALID, 0, "an entry's name cannot be read");
    if (++u->entries > u->opt->entries_max)
        return err_set(err, ERR_LIMIT, 0, "the layer has more than %u entries",
                       u->opt->entries_max);
    if ((r = layer_path_clean(sv_cstr(raw), path, err)) < 0 ||
        (r = layer_path_kind(path, &kind, err)) < 0)
        return r;
    switch (kind) {
    case LAYER_ENTRY_WHITEOUT:
        return make_whiteout(u, path, err);
    case LAYER_ENTRY_OPAQUE:
        return make_opaque(u, path, err);
    case LAYER_ENTRY_SKIP:
        return 0;
    case LAYER_ENTRY_NORMAL:
        break;
    }
    return unpack_entry(u, e, path, err);
}

static void set_dir_times(Unpack *u)
{
    for (size_t i = u->dirs.len; i-- > 0;) {
        _cleanup_close_ int fd =
            open_in_root(u->root_fd, u->dirs.items[i].path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

        if (fd >= 0) /* it may have been replaced by a later entry */
            futimens(fd, u->dirs.items[i].times);
    }
}

static int unpack_all(Unpack *u, Digest *ret_diff_id, Err *err)
{
    struct archive_entry *entry;
    const void *data;
    uint8_t sum[32];
    la_ssize_t n;
    int r;

    while ((r = archive_read_next_header(u->tar, &entry)) != ARCHIVE_EOF) {
        if (r < ARCHIVE_WARN || u->raw_err.code)
            return tar_failed(u, err);
        r = unpack_named(u, entry, err);
        if (r < 0)
            return r;
    }
    if (u->raw_err.code)
        return tar_failed(u, err);
    /* The diff-id covers the padding behind the tar's end mark as well. */
    while ((n = raw_read(u->tar, u, &data)) > 0)
        ;
    if (n < 0)
        return tar_failed(u, err);
    set_dir_times(u);
    if (EVP_DigestFinal_ex(u->hash, sum, NULL) != 1)
        return err_set(err, ERR_SYS, 0, "SHA-256 failed");
    digest_from_bytes(sum, ret_diff_id);
    return 0;
}

int tar_unpack(int in_fd, int root_fd, const TarUnpackOptions *opt, Digest *ret_diff_id, Err *err)
{
    Unpack *u = calloc(1, sizeof *u);
    Err local = { 0 };
    int r;

    if (!u)
        return err_nomem(err);
    u->opt = opt;
    u->root_fd = root_fd;
    u->parent_fd = -1;
    r = unpack_open(u, in_fd, &local);
    if (r >= 0)
        r = unpack_all(u, ret_diff_id, &local);
    unpack_end(u);
    free(u);
    if (r < 0 && err)
        *err = local;
    return r;
}
