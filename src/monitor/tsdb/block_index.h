/* block_index.h - the index file of a block (version 2): labels of its series, where their chunks
 * are, and the inverted index. Mapped; checked at opening but for the series and lists, which are
 * checked when they are read. Source: tsdb/docs/format/index.md. */
#pragma once

#include "base/vec.h"
#include "monitor/model/labels.h"
#include "monitor/tsdb/select.h"

typedef struct ChunkMeta {
    int64_t min, max;
    uint64_t ref; /* number of the segment file from 0, and offset in it */
} ChunkMeta;
typedef VEC(ChunkMeta) ChunkMetas;

typedef struct IndexName {
    StrView name;
    uint32_t first, len; /* of `entries` */
} IndexName;

typedef struct BlockIndex {
    StrView data;
    uint32_t *symbols; /* offset of each */
    uint32_t n_symbols;
    uint32_t *entries; /* offset of each entry of the postings offset table, by name and value */
    uint32_t n_entries;
    IndexName *names;
    uint32_t n_names;
    uint64_t all; /* offset of the list of all series; 0: none */
    char path[512];
} BlockIndex;

/* ERR_CORRUPT names the file and the section. */
int block_index_open(const char *path, BlockIndex *ret, Err *err) NODISCARD;
void block_index_close(BlockIndex *x);

/* Labels (views into the mapping, in `buf`) and chunks (`chunks` is cleared first; NULL: not
 * wanted) of a series. */
int block_index_series(const BlockIndex *x, uint32_t id, Label buf[static LABELS_MAX],
                       Labels *ret_labels, ChunkMetas *chunks, Err *err) NODISCARD;
/* One of its texts, in order; SV_NULL: there is no such. */
StrView block_index_symbol(const BlockIndex *x, uint64_t n);
extern const IndexOps block_index_ops;
