/* block_writer.h - makes a block: chunks, index and meta.json in a folder NAME.tmp-for-creation,
 * which is renamed when everything is on disk. Series come in the order of their labels. */
#pragma once

#include "codec/value.h"
#include "monitor/tsdb/block_index.h"
#include "monitor/tsdb/chunk.h"
#include "monitor/model/timing.h"

enum { ULID_SIZE = 27, BLOCK_CHUNK_SAMPLES = 480, BLOCK_SEGMENT_BYTES = 512 * 1024 * 1024 };

typedef struct BlockDesc {
    char ulid[ULID_SIZE];
    int64_t min, max;
} BlockDesc;
typedef VEC(BlockDesc) BlockDescs;

/* meta.json. The block holds samples of min <= t < max. */
typedef struct BlockMeta {
    char ulid[ULID_SIZE];
    int64_t min, max;
    uint64_t samples, floats, histograms, series, chunks, tombstones;
    unsigned level;              /* of compaction: 1 for what comes from the head */
    BlockDescs sources, parents; /* of sources only the ulid counts */
    bool deletable, failed;
    bool out_of_order; /* hint "from-out-of-order" */
} BlockMeta;

void block_meta_free(BlockMeta *m);
/* A new identifier: time and chance in Crockford's base 32. */
void ulid_new(int64_t now_ms, char ret[static ULID_SIZE]);
int block_meta_read(const char *path, BlockMeta *ret, Err *err) NODISCARD;
/* meta.json as a tree in `a`; texts are views into `m`. */
bool block_meta_value(const BlockMeta *m, Arena *a, Value *ret);
int block_meta_write(const char *path, const BlockMeta *m, Err *err) NODISCARD;

typedef struct BlockWriter BlockWriter;

/* What kind of chunks were written: how long, of how many samples, of how many bytes. */
typedef struct BlockChunks {
    Spread ms, samples, bytes;
} BlockChunks;
BlockChunks block_chunks_empty(void); /* with Prometheus' bounds */
/* Counts chunks in `c` from now on, which must live as long as the writer. */
void block_writer_watch(BlockWriter *w, BlockChunks *c);

/* `symbols`: all label names and values that will come, sorted, each once; they must live as long
 * as the writer. `parent`: the folder of blocks. */
int block_writer_new(const char *parent, const char *ulid, const StrView *symbols, size_t n_symbols,
                     BlockWriter **ret, Err *err) NODISCARD;
/* Columns without a sample are left out. ERR_INVALID: a label that is no symbol. */
int block_writer_add(BlockWriter *w, Labels l, const SampleCols *c, Err *err) NODISCARD;
uint64_t block_writer_series(const BlockWriter *w);
/* Completes `meta` (statistics) and puts the block in its place. Frees the writer either way; after
 * a failure nothing is left. */
int block_writer_finish(BlockWriter *w, BlockMeta *meta, Err *err) NODISCARD;
BlockWriter *block_writer_abort(BlockWriter *w); /* removes it; NULL is fine; always NULL */
