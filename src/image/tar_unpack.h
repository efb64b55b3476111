/* tar_unpack.h - writes one layer (tar, plain or compressed with gzip or zstd) into a directory, as
 * an overlayfs lower directory. Runs in knarr-unpack with reduced rights. */
#pragma once

#include "base/err.h"
#include "image/image_ref.h"

typedef struct TarUnpackOptions {
    uint64_t bytes_max; /* of the decompressed stream, and of all files' apparent sizes */
    uint32_t entries_max;
    /* Called for each directory that hides everything below it. Setting trusted.overlay.opaque
     * needs CAP_SYS_ADMIN, which the unpacker does not have: its parent does that. "" is the root.
     */
    int (*on_opaque)(void *ctx, const char *path, Err *err);
    void *ctx;
} TarUnpackOptions;

/* Reads `in_fd` to its end. No entry can land outside `root_fd`: names with ".." are refused and
 * links in the middle of a path are resolved inside the root. On failure what was written so far
 * stays; the caller removes the directory. ERR_INVALID (no tar, bad names), ERR_LIMIT, ERR_SYS. */
int tar_unpack(int in_fd, int root_fd, const TarUnpackOptions *opt, Digest *ret_diff_id,
               Err *err) NODISCARD;
