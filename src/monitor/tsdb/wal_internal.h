/* wal_internal.h - the format of segments, for wal*.c. */
#pragma once

#include <limits.h>

#include "monitor/tsdb/wal.h"

enum {
    WAL_HEADER = 7, /* type, length, CRC-32C */
    WAL_PAGE_END = 0,
    WAL_FULL = 1,
    WAL_FIRST = 2,
    WAL_MIDDLE = 3,
    WAL_LAST = 4,
    WAL_TYPE_MASK = 7,
    WAL_SNAPPY = 8,
    WAL_ZSTD = 16,
    WAL_RECORD_MAX = 256 * 1024 * 1024,
};

void wal_segment_path(const char *dir, uint32_t segment, char path[static PATH_MAX]);

/* The record in its plain form, in `plain` where it was compressed; ptr NULL: it cannot be
 * decompressed, or plain->failed says that memory ended. */
StrView wal_unpack(StrView in, uint8_t flags, Buf *plain);
