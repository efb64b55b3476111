/* tar_make.h - small tars for tests, with names that no honest tool would write. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

typedef struct TarEntry {
    const char *name;
    char type;        /* '-', 'd', 'l', 'h', 'c', 'p' */
    const char *text; /* content, or the link's target */
    unsigned mode, uid, gid;
    const char *xattr, *xattr_value;
    uint64_t size; /* instead of the text's length: that many zero bytes */
} TarEntry;

/* Appends a whole tar; `filter` is NULL, "gzip" or "zstd". */
void tar_make(Buf *out, const TarEntry *entries, size_t n, const char *filter);
