/* block.h - an immutable block on disk, opened for reading.
 *
 * Counted: the database holds one, and so does every querier that reads it; the last one closes it.
 * Its files are mapped, so that deleting them harms no
 * reader. */
#pragma once

#include <stdatomic.h>

#include "monitor/tsdb/block_writer.h"
#include "monitor/tsdb/cols.h"

typedef struct Tombstone {
    uint32_t id;
    Intervals deleted;
} Tombstone;

typedef struct Block {
    atomic_uint refs;
    BlockMeta meta;
    BlockIndex index;
    VEC(StrView) segments;     /* mapped chunk files */
    VEC(Tombstone) tombstones; /* by id */
    uint64_t bytes;            /* of all files */
    char dir[4096];
} Block;

/* One reference. ERR_CORRUPT: something of it is damaged. */
int block_open(const char *dir, Block **ret, Err *err) NODISCARD;
Block *block_ref(Block *b);
Block *block_unref(Block *b); /* NULL is fine; always NULL */

/* Decodes what lies in start … end of the given chunks into `out`, deleted samples left out. */
int block_read(const Block *b, uint32_t id, const ChunkMetas *chunks, int64_t start, int64_t end,
               SampleCols *out, Err *err) NODISCARD;
/* One chunk as it is stored; a view into the mapping. ERR_CORRUPT. */
int block_chunk(const Block *b, const ChunkMeta *m, ChunkEncoding *ret_encoding, StrView *ret,
                Err *err) NODISCARD;
/* Adds a deletion, in memory; block_write_tombstones() makes it last. */
int block_delete(Block *b, uint32_t id, int64_t start, int64_t end, Err *err) NODISCARD;
int block_write_tombstones(Block *b, Err *err) NODISCARD;
