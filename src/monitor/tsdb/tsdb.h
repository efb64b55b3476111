/* tsdb.h - the time-series database: a head in memory with its write-ahead log, and immutable
 * blocks of some hours, in one folder and in Prometheus' own formats, so that either program opens
 * what the other has left.
 *
 * Threads: an appender belongs to the thread that made it, several may be open at once; a querier
 * belongs to its thread and sees what was committed when it was made. tsdb_maintain() runs on one
 * thread beside them. Times are ms since 1970.
 *
 * Acknowledged means that tsdb_appender_commit() has returned 0: the log write was handed to the
 * kernel, so that SIGKILL loses nothing; what a power cut may lose is bounded by fsync at the end
 * of each segment, as in Prometheus. */
#pragma once

#include "monitor/model/querier.h"
#include "monitor/model/timing.h"

typedef struct Tsdb Tsdb;
typedef struct TsdbAppender TsdbAppender;

typedef struct TsdbOptions {
    const char *dir;      /* made when it is not there */
    int64_t block_ms;     /* smallest block; 0: 2 h */
    int64_t block_max_ms; /* largest one that compaction makes; 0: a tenth of retention_ms, at most
                             31 d */
    int64_t retention_ms; /* 0: 15 d */
    uint64_t retention_bytes;   /* of blocks and log; 0: no bound */
    int64_t out_of_order_ms;    /* how much older than the newest a sample may be; 0: not at all */
    size_t exemplars_max;       /* kept in a ring; 0: none */
    bool wal_compress;          /* snappy, Prometheus' default */
    uint32_t wal_segment_bytes; /* 0: 128 MiB */
    bool no_lock;               /* --storage.tsdb.no-lockfile */
} TsdbOptions;

/* Opens or makes a database: checks blocks (a damaged one is set aside as NAME.corrupt and logged),
 * replays the log (a torn tail is cut, reported and counted). ERR_CONFLICT: another process holds
 * the folder's lock. */
int tsdb_open(const TsdbOptions *opt, Tsdb **ret, Err *err) NODISCARD;
/* No appender or querier may be left. The head stays in the log. NULL is fine; always NULL. */
Tsdb *tsdb_close(Tsdb *db);
/* New retention and out-of-order window, from a reloaded configuration. */
void tsdb_reconfigure(Tsdb *db, int64_t retention_ms, uint64_t retention_bytes,
                      int64_t out_of_order_ms);

/* ---- appending ---- */

/* What became of one sample. Everything but APPEND_FAILED lets the batch go on. */
typedef enum AppendResult {
    APPEND_OK,
    APPEND_OUT_OF_ORDER,  /* older than the series' newest, and no out-of-order window */
    APPEND_DUPLICATE,     /* another value at the same time */
    APPEND_TOO_OLD,       /* beyond the out-of-order window */
    APPEND_OUT_OF_BOUNDS, /* before what the head can still take */
    APPEND_INVALID,       /* empty or doubled labels, a malformed histogram */
    APPEND_FAILED,        /* out of memory or disk: roll back */
    APPEND_RESULT_MAX
} AppendResult;
/* Prometheus' sentence for it: "out of order sample". */
const char *append_result_text(AppendResult r);

/* Names a series for the next append, so that its labels need not be looked up again. 0: unknown.
 * Good until the series is dropped from the head; a stale one is noticed and looked up by labels.
 */
typedef uint64_t SeriesRef;

int tsdb_appender_new(Tsdb *db, TsdbAppender **ret, Err *err) NODISCARD;
/* A hint: the series will be appended to soon. Any number will do. */
void tsdb_prefetch(const TsdbAppender *a, SeriesRef ref);
/* Appends to *ref, or where that is 0 or gone to the series `labels` (made when it is new), and
 * sets *ref. `labels` need to be given only when they may be needed. */
AppendResult tsdb_append(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t, double v,
                         Err *err) NODISCARD;
/* A sample of 0, or for `like` not NULL a histogram of its kind without observations, for when
 * what is counted began. Only where it is newer than all of the series; else nothing happens: the
 * samples themselves go on without it. */
AppendResult tsdb_append_zero(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t start,
                              const Histogram *like, Err *err) IGNORABLE;
AppendResult tsdb_append_histogram(TsdbAppender *a, SeriesRef *ref, Labels labels, int64_t t,
                                   const Histogram *h, Err *err) NODISCARD;
typedef struct Exemplar {
    Labels labels;
    double value;
    int64_t t;
} Exemplar;
/* Of a series that was appended to. */
AppendResult tsdb_append_exemplar(TsdbAppender *a, SeriesRef ref, const Exemplar *e,
                                  Err *err) NODISCARD;
typedef struct MetricMetadata {
    StrView type, unit, help;
} MetricMetadata;
/* Goes to the log for remote write; only when it changed. Samples go on without it. */
AppendResult tsdb_append_metadata(TsdbAppender *a, SeriesRef ref, const MetricMetadata *m,
                                  Err *err) IGNORABLE;
/* All or nothing; frees the appender either way. ERR_SYS with ENOSPC on a full disk: nothing of the
 * batch is visible. */
int tsdb_appender_commit(TsdbAppender *a, Err *err) NODISCARD;
TsdbAppender *tsdb_appender_rollback(TsdbAppender *a); /* NULL is fine; always NULL */

/* ---- reading ---- */

/* For samples of start <= t <= end. */
int tsdb_querier_new(Tsdb *db, int64_t start, int64_t end, Querier **ret, Err *err) NODISCARD;
Querier *tsdb_querier_free(Querier *q); /* NULL is fine; always NULL */

typedef struct ExemplarSeries {
    Labels labels;
    const Exemplar *items; /* by time */
    size_t len;
} ExemplarSeries;
/* Exemplars of series that match any of the sets of matchers; in `a`. */
typedef struct MatcherSet {
    const Matcher *items;
    unsigned len;
} MatcherSet;
int tsdb_exemplars(Tsdb *db, int64_t start, int64_t end, const MatcherSet *sets, unsigned n_sets,
                   Arena *a, ExemplarSeries **ret, size_t *ret_n, Err *err) NODISCARD;

/* ---- looking after it ---- */

/* What is due: cuts the head into blocks, compacts, deletes by retention, writes a checkpoint and
 * drops log segments. Called every minute on a thread of its own; one call does one round. */
int tsdb_maintain(Tsdb *db, int64_t now, Err *err) NODISCARD;
/* Marks samples as deleted (admin API delete_series). */
int tsdb_delete(Tsdb *db, int64_t start, int64_t end, const MatcherSet *sets, unsigned n_sets,
                Err *err) NODISCARD;
/* Rewrites blocks without what is marked. */
int tsdb_clean_tombstones(Tsdb *db, Err *err) NODISCARD;
/* Hard links of all blocks, and with `with_head` a block of the head, in DIR/snapshots/NAME; the
 * name is put into ret_name. */
int tsdb_snapshot(Tsdb *db, bool with_head, char ret_name[static 64], Err *err) NODISCARD;

typedef struct TsdbStat {
    StrView name;
    uint64_t value;
} TsdbStat;
/* How long things took, in seconds, and of what kind chunks were. */
typedef struct TsdbTimes {
    Timing fsync; /* of the log */
    Spread log_truncations, head_collections, compactions, cleanups;
    Spread chunk_ms, chunk_samples, chunk_bytes; /* of those that went from the head into blocks */
    double replay;                               /* of the log, at the start */
} TsdbTimes;
/* For /api/v1/status/tsdb and /metrics. Texts are in `a`. */
typedef struct TsdbStats {
    uint64_t series, chunks, label_pairs, label_names;
    int64_t min_time, max_time;           /* of the head */
    uint64_t samples_appended[2];         /* floats, histograms */
    uint64_t rejected[APPEND_RESULT_MAX]; /* by reason */
    uint64_t blocks, block_bytes, wal_bytes, wal_corruptions, wal_segment;
    uint64_t compactions_triggered, compactions_vertical;
    uint64_t compactions, compactions_failed, reloads, reloads_failed, tombstones_cleaned;
    uint64_t series_created, series_removed, chunks_created, chunks_removed; /* of the head */
    uint64_t truncations, truncations_failed, checkpoints, checkpoints_failed;
    uint64_t checkpoint_deletions, checkpoint_deletions_failed; /* times that old ones went */
    uint64_t log_truncations, log_truncations_failed;
    uint64_t log_pages, log_flushes, log_writes_failed;
    uint64_t samples_late[2];  /* of the appended ones: out of order; floats, histograms */
    uint64_t series_not_found; /* references of callers to series that are gone */
    unsigned active_appenders; /* that append or wait */
    int clean_start;           /* 1: the last run ended well; 0: it did not; -1: unknown */
    bool populating;           /* a block is being written */
    TsdbTimes times;
    uint64_t time_retentions, size_retentions; /* times that blocks went for their age or size */
    uint64_t retention_bytes;                  /* 0: no bound */
    int64_t retention_ms;
    uint64_t exemplars, exemplars_max, exemplars_appended, exemplars_out_of_order;
    uint64_t exemplar_series;
    int64_t exemplar_oldest; /* time of the oldest one that is kept; 0: there is none */
    int64_t lowest_time;     /* of blocks and head */
    TsdbStat *series_by_metric, *values_by_label, *bytes_by_label, *series_by_pair;
    size_t n_series_by_metric, n_values_by_label, n_bytes_by_label, n_series_by_pair;
} TsdbStats;
/* `top` bounds the four lists; 0: only the numbers, which is cheap. */
int tsdb_stats(Tsdb *db, unsigned top, Arena *a, TsdbStats *ret, Err *err) NODISCARD;
/* Appends a JSON array of what meta.json of each block says, by time. ERR_NOMEM only. */
int tsdb_blocks_json(Tsdb *db, Buf *out, Err *err) NODISCARD;
