/* knarr_unpack.c - knarr-unpack BYTES ENTRIES: unpacks the layer on standard input into the current
 * directory, after giving up every right that this does not take. Started by image/layer_unpack.c,
 * which also describes the report on standard output. */
#include <locale.h>
#include <stdio.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/tar_unpack.h"
#include "image/unpack_sandbox.h"

static int report_opaque(void *ctx, const char *path, Err *err)
{
    int r = fd_write_full(STDOUT_FILENO, "O", 1);

    if (r == 0)
        r = fd_write_full(STDOUT_FILENO, path, strlen(path) + 1);
    return r < 0 ? err_neg(err, r, "report") : 0;
}

static int unpack(const TarUnpackOptions *opt, Err *err)
{
    _cleanup_close_ int root = -1;
    Digest diff_id;
    int r = unpack_sandbox_enter(err);

    if (r < 0)
        return r;
    root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_errno(err, "open the layer's directory");
    r = tar_unpack(STDIN_FILENO, root, opt, &diff_id, err);
    if (r >= 0 && (fd_write_full(STDOUT_FILENO, "K", 1) < 0 ||
                   fd_write_full(STDOUT_FILENO, diff_id.text, sizeof diff_id.text) < 0))
        return err_errno(err, "report");
    return r;
}

int main(int argc, char **argv)
{
    TarUnpackOptions opt = { .on_opaque = report_opaque };
    uint64_t entries;
    Err err = { 0 };

    if (argc != 3 || sv_to_u64(sv_cstr(argv[1]), &opt.bytes_max) < 0 ||
        sv_to_u64(sv_cstr(argv[2]), &entries) < 0 || entries > UINT32_MAX) {
        fprintf(stderr, "usage: knarr-unpack BYTES ENTRIES <LAYER >REPORT\n");
        return 2;
    }
    opt.entries_max = (uint32_t)entries;
    umask(0);
    /* libarchive converts names of pax headers from UTF-8 to the locale's character set. */
    setlocale(LC_CTYPE, "C.UTF-8");
    if (unpack(&opt, &err) >= 0)
        return 0;
    if (fd_write_full(STDOUT_FILENO, "E", 1) == 0)
        (void)!fd_write_full(STDOUT_FILENO, &err, sizeof err);
    return 1;
}
