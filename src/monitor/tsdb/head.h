/* head.h - the head: series of the last hours in memory, with an inverted index over their labels.
 *
 * Locks: `append` is held by the one appender that is open, and by whoever drops series; only its
 * holder changes the head. `lock` is taken for writing while a change becomes visible, for reading
 * by queries. So the holder of `append` reads without `lock`.
 * A series is known by a number that goes up and is never used again while the process lives. */
#pragma once

#include <pthread.h>

#include "monitor/tsdb/chunk.h"
#include "monitor/tsdb/cols.h"
#include "monitor/tsdb/select.h"
#include "monitor/tsdb/symbols.h"
#include "monitor/tsdb/tsdb.h"

/* A chunk that takes no more samples. */
typedef struct HeadChunk {
    int64_t min, max;
    uint32_t len;
    uint16_t samples;
    uint8_t encoding;
    uint8_t bytes[];
} HeadChunk;

typedef struct HeadSeries {
    uint32_t id, hash;
    uint32_t last_commit; /* which commit added the newest samples… */
    uint16_t last_n;      /* …and how many it added */
    uint16_t n_labels;
    bool unlogged;    /* made for a batch that was rolled back: the log does not know it */
    uint32_t pending; /* of the open appender: index + 1 of its newest sample in the batch */
    int64_t max_t;    /* newest sample; INT64_MIN: none */
    /* The open chunk: floats while `histogram` is NULL. */
    XorChunk open;
    HistogramChunk *histogram;
    int64_t open_min;
    HeadChunk **chunks;
    uint32_t n_chunks, cap_chunks;
    Intervals *deleted; /* NULL: nothing is */
    SampleCols *late;   /* out of order samples; NULL: none */
    StrView metadata;   /* as last logged, to see changes; owned */
    uint32_t labels[];  /* symbols: name, value, name, value … */
} HeadSeries;

/* Series of one label pair. Up to two numbers stand in the struct itself. */
typedef struct Posting {
    uint32_t name, value; /* symbols; name SYMBOL_NONE: a free slot */
    uint32_t len, cap;    /* cap 0: inline */
    union {
        uint32_t few[2];
        uint32_t *many;
    };
} Posting;

typedef struct LabelName {
    uint32_t symbol;
    uint32_t *values; /* symbols, in no order */
    uint32_t len, cap;
} LabelName;

enum { HEAD_PAGE = 4096 };

typedef struct Head {
    pthread_mutex_t turn, append; /* head_begin() */
    pthread_rwlock_t lock;
    Symbols symbols;

    HeadSeries ***pages; /* by number: pages[id / HEAD_PAGE][id % HEAD_PAGE] */
    uint32_t n_pages, next_id;
    HeadSeries **table; /* by labels; open addressing */
    uint32_t n_table, n_series;

    Posting *postings;
    uint32_t n_postings, cap_postings; /* in use, slots (a power of two) */
    LabelName *names;
    uint32_t n_names, cap_names;
    uint32_t name_slots_len, *name_slots; /* symbol → index into names; by hash */

    int64_t min_time, max_time; /* of samples in order; INT64_MAX, INT64_MIN: none */
    int64_t late_min;           /* of late ones; INT64_MAX: none */
    int64_t min_valid;          /* older samples belong to blocks: refused */
    int64_t dropped; /* older samples in order are in blocks, though a chunk may hold some */
    uint32_t commits;
    uint64_t chunks;
    uint64_t series_created, chunks_created; /* also those that are gone */
} Head;

int head_init(Head *h, Err *err) NODISCARD;
void head_free(Head *h);

/* One appender, or one who cuts or deletes, at a time. Who waits has its turn next, however often
 * others come again. */
void head_begin(Head *h);
void head_end(Head *h);

HeadSeries *head_by_id(const Head *h, uint64_t id); /* NULL: gone, or never was */
HeadSeries *head_find(const Head *h, Labels l);
/* Finds or adds; holder of `append` only. `want` 0: the next number; else (replaying) that number,
 * where it is free. NULL: out of memory, or out of numbers. */
HeadSeries *head_series(Head *h, Labels l, uint64_t want, bool *ret_new);
Labels head_labels(const Head *h, const HeadSeries *s, Label buf[static LABELS_MAX]);
/* Only those of these names, which are in no order. */
Labels head_labels_by(const Head *h, const HeadSeries *s, const StrView *names, unsigned n,
                      Label buf[static LABELS_MAX]);
/* Adds a sample that is newer than all of the series. 0 or -ENOMEM. Holder of both locks. */
int head_put_float(Head *h, HeadSeries *s, int64_t t, double v);
int head_put_histogram(Head *h, HeadSeries *s, int64_t t, const Histogram *hist);
int head_put_late(Head *h, HeadSeries *s, int64_t t, double v, const Histogram *hist);
/* Closes the open chunk. */
int head_cut_chunk(Head *h, HeadSeries *s);
/* Drops chunks that end before `t`, and series without any; takes the locks itself. Late samples
 * stay. Returns how many series went. */
uint32_t head_truncate(Head *h, int64_t t);
/* Drops late samples before `t`. Holder of `append`. */
void head_drop_late(Head *h, int64_t t);

/* The inverted index. Adding fails only for want of memory, and then adds nothing. Sweeping takes
 * out series that are gone. Holders of both locks. */
bool head_index_add(Head *h, const HeadSeries *s) NODISCARD;
void head_index_sweep(Head *h);
extern const IndexOps head_index; /* with the lock held for reading */
/* Samples of start … end, late ones merged in, deleted ones taken out; not those of commits after
 * `commit`. Takes the lock for reading. ERR_GONE: the series was dropped meanwhile. */
int head_read(Head *h, uint32_t id, uint32_t commit, int64_t start, int64_t end, SampleCols *out,
              Err *err) NODISCARD;
