/* tar_make.c - see tar_make.h. */
#include "tar_make.h"

#include <archive.h>
#include <archive_entry.h>

static la_ssize_t collect(struct archive *a, void *ctx, const void *data, size_t n)
{
    buf_append(ctx, data, n);
    return (la_ssize_t)n;
}

static void put_entry(struct archive *tar, const TarEntry *t)
{
    static const char zeros[65536];
    struct archive_entry *e = archive_entry_new();
    uint64_t size = t->type != '-' ? 0 : t->size ? t->size : t->text ? strlen(t->text) : 0;

    archive_entry_set_pathname(e, t->name);
    archive_entry_set_perm(e, t->mode ? t->mode : 0755);
    archive_entry_set_uid(e, t->uid);
    archive_entry_set_gid(e, t->gid);
    archive_entry_set_mtime(e, 1000000000, 0);
    archive_entry_set_size(e, (la_int64_t)size);
    archive_entry_set_filetype(e, t->type == 'd'   ? AE_IFDIR
                                  : t->type == 'l' ? AE_IFLNK
                                  : t->type == 'c' ? AE_IFCHR
                                  : t->type == 'p' ? AE_IFIFO
                                                   : AE_IFREG);
    if (t->type == 'l')
        archive_entry_set_symlink(e, t->text);
    if (t->type == 'h')
        archive_entry_set_hardlink(e, t->text);
    if (t->type == 'c') {
        archive_entry_set_rdevmajor(e, 1);
        archive_entry_set_rdevminor(e, 3);
    }
    if (t->xattr)
        archive_entry_xattr_add_entry(e, t->xattr, t->xattr_value, strlen(t->xattr_value));
    archive_write_header(tar, e);
    for (uint64_t done = 0; t->size && done < size; done += sizeof zeros)
        archive_write_data(tar, zeros, MIN(sizeof zeros, size - done));
    if (size && !t->size)
        archive_write_data(tar, t->text, size);
    archive_entry_free(e);
}

void tar_make(Buf *out, const TarEntry *entries, size_t n, const char *filter)
{
    struct archive *tar = archive_write_new();

    archive_write_set_format_pax_restricted(tar);
    /* Not by name: that would link every filter of libarchive, with all their libraries. */
    if (filter && !strcmp(filter, "gzip"))
        archive_write_add_filter_gzip(tar);
    else if (filter)
        archive_write_add_filter_zstd(tar);
    archive_write_set_bytes_in_last_block(tar, 1); /* no padding behind compressed bytes */
    archive_write_open(tar, out, NULL, collect, NULL);
    for (size_t i = 0; i < n; i++)
        put_entry(tar, &entries[i]);
    archive_write_close(tar);
    archive_write_free(tar);
}
