/* archive.h - the file that `knarr backup` writes and `knarr restore` reads: a first line, then the
 * files one after the other, each with its name, size and checksum, then a checksum over all. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { ARCHIVE_NAME_MAX = 255, ARCHIVE_FILES_MAX = 256 };

typedef struct ArchiveWriter {
    int fd;
    uint32_t crc; /* of everything so far */
    uint32_t files;
} ArchiveWriter;

/* Begins an archive in an open, empty file. */
int archive_begin(ArchiveWriter *w, int fd, Err *err) NODISCARD;
/* Appends what can be read from `from`, from its current place on: exactly `size` bytes. */
int archive_add(ArchiveWriter *w, const char *name, int from, uint64_t size, Err *err) NODISCARD;
/* Writes the end and syncs. */
int archive_end(ArchiveWriter *w, Err *err) NODISCARD;

/* Called for each file of an archive: returns a descriptor to which it is written (the reader syncs
 * and closes it), ARCHIVE_PASS to pass it over, or another negative code. */
enum { ARCHIVE_PASS = -1000 };
typedef int ArchiveFileFn(void *ctx, const char *name, uint64_t size, Err *err);

/* Reads an archive, from its beginning. ERR_CORRUPT when anything in it is not as it was written.
 */
int archive_read(int fd, ArchiveFileFn *fn, void *ctx, Err *err) NODISCARD;
