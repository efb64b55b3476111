/* metrics_tsdb.c - the database's families of /metrics. */
#include "base/metric_text.h"
#include "monitor/web/internal.h"

#define GAUGE(name, help, v)   METRIC_GAUGE(out, name, help, v)
#define COUNTER(name, help, v) METRIC_COUNTER(out, name, help, v)

static void put_spread(Buf *out, const char *name, const char *help, const Spread *s)
{
    metric_head(out, name, "histogram", help);
    spread_put(s, name, out);
}

static void put_sum(Buf *out, const char *name, const char *help, const Spread *s)
{
    metric_head(out, name, "summary", help);
    spread_put(s, name, out);
}

static void put_upkeep(Buf *out, const TsdbStats *s)
{
    COUNTER("prometheus_tsdb_head_series_created_total", "Series made in the head.",
            s->series_created);
    COUNTER("prometheus_tsdb_head_series_removed_total", "Series that left the head.",
            s->series_removed);
    COUNTER("prometheus_tsdb_head_chunks_created_total", "Chunks made in the head.",
            s->chunks_created);
    COUNTER("prometheus_tsdb_head_chunks_removed_total", "Chunks that left the head.",
            s->chunks_removed);
    COUNTER("prometheus_tsdb_head_truncations_total", "Times that old samples left the head.",
            s->truncations);
    COUNTER("prometheus_tsdb_head_truncations_failed_total",
            "Times that old samples could not leave the head.", s->truncations_failed);
    COUNTER("prometheus_tsdb_head_series_not_found_total",
            "References to series that are not in the head any more.", s->series_not_found);
    GAUGE("prometheus_tsdb_head_active_appenders", "Appenders that append or wait.",
          s->active_appenders);
    put_sum(out, "prometheus_tsdb_head_gc_duration_seconds",
            "How long samples took to leave the head.", &s->times.head_collections);
    GAUGE("prometheus_tsdb_data_replay_duration_seconds",
          "How long reading the log took at the start.", s->times.replay);
    GAUGE("prometheus_tsdb_clean_start",
          "-1: the lock file is disabled. 0: the last run left its own behind. 1: it did not.",
          s->clean_start);
    COUNTER("prometheus_tsdb_checkpoint_creations_total", "Checkpoints of the log, tried.",
            s->checkpoints);
    COUNTER("prometheus_tsdb_checkpoint_creations_failed_total",
            "Checkpoints of the log that failed.", s->checkpoints_failed);
    COUNTER("prometheus_tsdb_time_retentions_total", "Times that blocks went for their age.",
            s->time_retentions);
    COUNTER("prometheus_tsdb_size_retentions_total", "Times that blocks went for their size.",
            s->size_retentions);
    GAUGE("prometheus_tsdb_retention_limit_bytes", "Bytes that are kept at most; 0: no limit.",
          s->retention_bytes);
    GAUGE("prometheus_tsdb_retention_limit_seconds", "How long samples are kept; 0: no limit.",
          s->retention_ms / 1000);
}

static void put_compactions(Buf *out, const TsdbStats *s)
{
    const TsdbTimes *t = &s->times;
    COUNTER("prometheus_tsdb_compactions_triggered_total",
            "Looks at whether blocks are to be made.", s->compactions_triggered);
    COUNTER("prometheus_tsdb_compactions_total", "Blocks that were written.", s->compactions);
    COUNTER("prometheus_tsdb_compactions_failed_total", "Looks that failed to make a block.",
            s->compactions_failed);
    /* There is no flag that turns them off. */
    COUNTER("prometheus_tsdb_compactions_skipped_total", "Looks that were left out.", 0);
    COUNTER("prometheus_tsdb_vertical_compactions_total", "Blocks made of ones that overlap.",
            s->compactions_vertical);
    GAUGE("prometheus_tsdb_compaction_populating_block", "A block is being written.",
          s->populating);
    put_spread(out, "prometheus_tsdb_compaction_duration_seconds", "How long writing a block took.",
               &t->compactions);
    /* In milliseconds under this name, as Prometheus has it. */
    put_spread(out, "prometheus_tsdb_compaction_chunk_range_seconds",
               "Time from first to last sample of chunks, on their first compaction.",
               &t->chunk_ms);
    put_spread(out, "prometheus_tsdb_compaction_chunk_samples",
               "Samples of chunks, on their first compaction.", &t->chunk_samples);
    put_spread(out, "prometheus_tsdb_compaction_chunk_size_bytes",
               "Bytes of chunks, on their first compaction.", &t->chunk_bytes);
    put_spread(out, "prometheus_tsdb_tombstone_cleanup_seconds",
               "How long writing blocks without their deletions took.", &t->cleanups);
}

static void put_log(Buf *out, const TsdbStats *s)
{
    static const double quantiles[] = { 0.5, 0.9, 0.99 };
    const char *fsync = "prometheus_tsdb_wal_fsync_duration_seconds";
    GAUGE("prometheus_tsdb_wal_storage_size_bytes", "Bytes of the write-ahead log.", s->wal_bytes);
    GAUGE("prometheus_tsdb_wal_segment_current", "The log's newest segment.", s->wal_segment);
    COUNTER("prometheus_tsdb_wal_corruptions_total", "Damages found in the log.",
            s->wal_corruptions);
    COUNTER("prometheus_tsdb_wal_completed_pages_total", "Pages of the log that are full.",
            s->log_pages);
    COUNTER("prometheus_tsdb_wal_page_flushes_total", "Writes to the log.", s->log_flushes);
    COUNTER("prometheus_tsdb_wal_writes_failed_total", "Writes to the log that failed.",
            s->log_writes_failed);
    COUNTER("prometheus_tsdb_wal_truncations_total", "Times that the log was shortened, tried.",
            s->log_truncations);
    COUNTER("prometheus_tsdb_wal_truncations_failed_total",
            "Times that segments of the log could not be deleted.", s->log_truncations_failed);
    COUNTER("prometheus_tsdb_checkpoint_deletions_total", "Times that old checkpoints went, tried.",
            s->checkpoint_deletions);
    COUNTER("prometheus_tsdb_checkpoint_deletions_failed_total",
            "Times that an old checkpoint could not be deleted.", s->checkpoint_deletions_failed);
    metric_head(out, fsync, "summary", "How long syncing the log took.");
    timing_put_summary(&s->times.fsync, fsync, SV(""), quantiles, ARRAY_SIZE(quantiles), out);
    put_sum(out, "prometheus_tsdb_wal_truncate_duration_seconds",
            "How long shortening the log took.", &s->times.log_truncations);
}

static void put_exemplars(Buf *out, const TsdbStats *s)
{
    GAUGE("prometheus_tsdb_exemplar_exemplars_in_storage", "Exemplars that are kept.",
          s->exemplars);
    GAUGE("prometheus_tsdb_exemplar_max_exemplars", "The most exemplars that are kept.",
          s->exemplars_max);
    GAUGE("prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
          "Series of which exemplars are kept.", s->exemplar_series);
    GAUGE("prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
          "Time of the oldest exemplar that is kept; 0: there is none.",
          (double)s->exemplar_oldest / 1000);
    COUNTER("prometheus_tsdb_exemplar_exemplars_appended_total", "Exemplars that were appended.",
            s->exemplars_appended);
    COUNTER("prometheus_tsdb_exemplar_out_of_order_exemplars_total",
            "Exemplars that were refused as out of order.", s->exemplars_out_of_order);
}

void metrics_put_tsdb(Buf *out, const TsdbStats *s)
{
    static const struct {
        AppendResult reason;
        const char *name, *help;
    } rejected[] = {
        { APPEND_OUT_OF_ORDER, "prometheus_tsdb_out_of_order_samples_total",
          "Samples refused as older than the newest of their series." },
        { APPEND_OUT_OF_BOUNDS, "prometheus_tsdb_out_of_bound_samples_total",
          "Samples refused as before what the head can take." },
        { APPEND_TOO_OLD, "prometheus_tsdb_too_old_samples_total",
          "Samples refused as beyond the out-of-order window." },
    };
    const StrView types[] = { SV("type=\"float\""), SV("type=\"histogram\"") };
    GAUGE("prometheus_tsdb_head_series", "Series in the head block.", s->series);
    GAUGE("prometheus_tsdb_head_chunks", "Chunks in the head block.", s->chunks);
    GAUGE("prometheus_tsdb_head_min_time", "Lowest time in the head block, in ms.", s->min_time);
    GAUGE("prometheus_tsdb_head_max_time", "Highest time in the head block, in ms.", s->max_time);
    GAUGE("prometheus_tsdb_head_min_time_seconds", "Lowest time in the head block.",
          s->min_time / 1000);
    GAUGE("prometheus_tsdb_head_max_time_seconds", "Highest time in the head block.",
          s->max_time / 1000);
    GAUGE("prometheus_tsdb_lowest_timestamp", "Lowest time in the database, in ms.",
          s->lowest_time);
    GAUGE("prometheus_tsdb_lowest_timestamp_seconds", "Lowest time in the database.",
          s->lowest_time / 1000);
    const char *name = "prometheus_tsdb_head_samples_appended_total";
    metric_head(out, name, "counter", "Samples appended.");
    for (unsigned i = 0; i < 2; i++)
        metric_series(out, name, types[i], (double)s->samples_appended[i]);
    name = "prometheus_tsdb_head_out_of_order_samples_appended_total";
    metric_head(out, name, "counter", "Samples appended that were older than the newest.");
    for (unsigned i = 0; i < 2; i++)
        metric_series(out, name, types[i], (double)s->samples_late[i]);
    for (size_t i = 0; i < ARRAY_SIZE(rejected); i++) {
        metric_head(out, rejected[i].name, "counter", rejected[i].help);
        buf_printf(out, "%s{type=\"float\"}", rejected[i].name);
        metric_value(out, (double)s->rejected[rejected[i].reason]);
    }
    put_upkeep(out, s);
    put_compactions(out, s);
    put_log(out, s);
    put_exemplars(out, s);
    GAUGE("prometheus_tsdb_blocks_loaded", "Blocks that are open.", s->blocks);
    GAUGE("prometheus_tsdb_storage_blocks_bytes", "Bytes of all blocks.", s->block_bytes);
    COUNTER("prometheus_tsdb_reloads_total", "Times that the list of blocks was read.", s->reloads);
    COUNTER("prometheus_tsdb_reloads_failures_total", "Blocks that could not be loaded.",
            s->reloads_failed);
}
