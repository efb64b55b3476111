/* Index files of blocks: whatever opens can be walked to its end. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "monitor/tsdb/block_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_value(void *ctx, StrView value, Err *err)
{
    size_t *left = ctx;
    return (*left)-- ? 0 : -1;
}

static void walk(const BlockIndex *x)
{
    _cleanup_ids_ Ids ids = { 0 };
    Label *buf = malloc(LABELS_MAX * sizeof *buf);
    ChunkMetas chunks = { 0 };
    Labels l;
    Err err = { 0 };
    size_t left = 1000;
    for (uint32_t i = 0; i < x->n_names && i < 100; i++)
        (void)!block_index_ops.values(x, x->names[i].name, on_value, &left, &err);
    (void)!block_index_ops.postings(x, SV("job"), SV("a"), &ids, &err);
    if (buf && block_index_ops.all(x, &ids, &err) == 0)
        for (size_t i = 0; i < ids.len && i < 1000; i++)
            (void)!block_index_series(x, ids.items[i], buf, &l, &chunks, &err);
    vec_free(&chunks);
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    BlockIndex x;
    Err err = { 0 };
    snprintf(path, sizeof path, "/dev/shm/knarr-fuzz-index-%d", (int)getpid());
    ASSERT(file_write_atomic(AT_FDCWD, path, sv_n(n ? (const char *)data : "", n), 0600, false) ==
           0);
    if (block_index_open(path, &x, &err) == 0) {
        walk(&x);
        block_index_close(&x);
    }
    unlink(path);
    return 0;
}
