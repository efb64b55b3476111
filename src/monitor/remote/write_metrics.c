/* write_metrics.c - remote write in /metrics: Prometheus' families, one series for each queue. */
#include <stdio.h>

#include "base/metric_text.h"
#include "monitor/remote/internal.h"
#include "monitor/tsdb/wal_record.h"

#define P "prometheus_remote_storage_"

static void put_head(Buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP " P "%s %s\n# TYPE " P "%s %s\n", name, help, name, type);
}

static void put_series(Buf *out, const RemoteQueue *q, const char *name, const char *more)
{
    buf_printf(out, P "%s{remote_name=", name);
    text_quote_value(sv_cstr(q->name), out);
    buf_sv(out, SV(",url="));
    text_quote_value(q->cfg->url, out);
    buf_printf(out, "%s} ", more);
}

typedef double QueueNumber(const RemoteQueue *q);

static double n_shards(const RemoteQueue *q)
{
    return q->n_shards;
}
static double shards_max(const RemoteQueue *q)
{
    return (double)q->cfg->queue.max_shards;
}
static double shards_min(const RemoteQueue *q)
{
    return (double)q->cfg->queue.min_shards;
}
static double shards_desired(const RemoteQueue *q)
{
    return q->desired_shards;
}
static double shard_capacity(const RemoteQueue *q)
{
    return (double)q->cfg->queue.capacity;
}
static double samples_per_send(const RemoteQueue *q)
{
    return (double)q->cfg->queue.max_samples_per_send;
}
static double highest(const RemoteQueue *q)
{
    return (double)q->shown.highest / 1000.0;
}
static double highest_sent(const RemoteQueue *q)
{
    return (double)q->sent.highest_sent / 1000.0;
}
static double bytes(const RemoteQueue *q)
{
    return (double)q->sent.bytes;
}
static double metadata_bytes(const RemoteQueue *q)
{
    return (double)q->sent.metadata_bytes;
}
static double enqueue_retries(const RemoteQueue *q)
{
    return (double)q->shown.enqueue_retries;
}

static const struct {
    const char *name, *type, *help;
    QueueNumber *fn;
} numbers[] = {
    { "shards", "gauge", "The number of shards used for parallel sending to the remote storage.",
      n_shards },
    { "shards_max", "gauge", "The maximum number of shards that the queue is allowed to run.",
      shards_max },
    { "shards_min", "gauge", "The minimum number of shards that the queue is allowed to run.",
      shards_min },
    { "shards_desired", "gauge", "The number of shards that the rates in and out call for.",
      shards_desired },
    { "shard_capacity", "gauge", "The capacity of each shard.", shard_capacity },
    { "max_samples_per_send", "gauge", "The most samples, histograms and exemplars of one request.",
      samples_per_send },
    { "queue_highest_timestamp_seconds", "gauge", "Highest timestamp that was enqueued.", highest },
    { "queue_highest_sent_timestamp_seconds", "gauge",
      "Highest timestamp that was sent successfully.", highest_sent },
    { "bytes_total", "counter", "Bytes of data, not metadata, that were sent, compressed.", bytes },
    { "metadata_bytes_total", "counter", "Bytes of metadata that were sent, compressed.",
      metadata_bytes },
    { "enqueue_retries_total", "counter", "How often a full shard made the queue wait.",
      enqueue_retries },
};

static void put_numbers(const RemoteWrite *w, Buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        put_head(out, numbers[i].name, numbers[i].type, numbers[i].help);
        for (size_t k = 0; k < w->queues.len; k++) {
            put_series(out, w->queues.items[k], numbers[i].name, "");
            buf_printf(out, "%.17g\n", numbers[i].fn(w->queues.items[k]));
        }
    }
}

static const char *const kinds[ENTRY_MAX + 1] = {
    [ENTRY_SAMPLE] = "samples",
    [ENTRY_EXEMPLAR] = "exemplars",
    [ENTRY_HISTOGRAM] = "histograms",
    [ENTRY_MAX] = "metadata",
};

/* One family of each kind: samples_total, exemplars_total, … */
static void put_kinds(const RemoteWrite *w, Buf *out, const char *what, const char *type,
                      const char *help, size_t offset, unsigned n_kinds)
{
    for (unsigned k = 0; k < n_kinds; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", kinds[k], what);
        put_head(out, name, type, help);
        for (size_t i = 0; i < w->queues.len; i++) {
            const RemoteQueue *q = w->queues.items[i];
            const uint64_t *n = (const void *)((const char *)q + offset);
            put_series(out, q, name, "");
            buf_printf(out, "%llu\n", (unsigned long long)n[k]);
        }
    }
}

static void put_dropped(const RemoteWrite *w, Buf *out)
{
    static const char *const reasons[DROP_REASON_MAX] = {
        [DROP_RELABEL] = ",reason=\"dropped_series\"",
        [DROP_TOO_OLD] = ",reason=\"too_old\"",
        [DROP_UNKNOWN] = ",reason=\"unintentionally_dropped_series\"",
        [DROP_NHCB] = ",reason=\"nhcb_in_rw1_not_supported\"",
    };
    for (unsigned k = 0; k < ENTRY_MAX; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s_dropped_total", kinds[k]);
        put_head(out, name, "counter", "Read from the log and not sent, by reason.");
        for (size_t i = 0; i < w->queues.len; i++)
            for (unsigned r = 0; r < DROP_REASON_MAX; r++) {
                put_series(out, w->queues.items[i], name, reasons[r]);
                buf_printf(out, "%llu\n",
                           (unsigned long long)w->queues.items[i]->shown.dropped[k][r]);
            }
    }
}

static void put_durations(const RemoteWrite *w, Buf *out)
{
    static const char *const les[DURATION_BUCKETS_N] = { "0.005", "0.01", "0.025", "0.05", "0.1",
                                                         "0.25",  "0.5",  "1",     "2.5",  "5",
                                                         "10",    "25",   "60",    "120",  "300" };
    put_head(out, "sent_batch_duration_seconds", "histogram",
             "Duration of send calls to the remote storage.");
    for (size_t i = 0; i < w->queues.len; i++) {
        const RemoteQueue *q = w->queues.items[i];
        char le[32];
        for (unsigned b = 0; b < DURATION_BUCKETS_N; b++) {
            snprintf(le, sizeof le, ",le=\"%s\"", les[b]);
            put_series(out, q, "sent_batch_duration_seconds_bucket", le);
            buf_printf(out, "%llu\n", (unsigned long long)q->sent.buckets[b]);
        }
        put_series(out, q, "sent_batch_duration_seconds_bucket", ",le=\"+Inf\"");
        buf_printf(out, "%llu\n", (unsigned long long)q->sent.batches);
        put_series(out, q, "sent_batch_duration_seconds_sum", "");
        buf_printf(out, "%.17g\n", q->sent.seconds);
        put_series(out, q, "sent_batch_duration_seconds_count", "");
        buf_printf(out, "%llu\n", (unsigned long long)q->sent.batches);
    }
}

/* How each queue reads the log. */
static void put_watcher(Buf *out, const RemoteQueue *q, const char *name, const char *type,
                        uint64_t v)
{
    buf_printf(out, "prometheus_wal_watcher_%s{consumer=", name);
    text_quote_value(sv_cstr(q->name), out);
    if (type)
        buf_printf(out, ",type=\"%s\"", type);
    buf_putc(out, '}');
    metric_value(out, (double)v);
}

static void put_watchers(const RemoteWrite *w, Buf *out)
{
    static const char *const types[FEED_RECORDS_MAX] = {
        "unknown",
        [WAL_SERIES] = "series",
        [WAL_SAMPLES] = "samples",
        [WAL_TOMBSTONES] = "tombstones",
        [WAL_EXEMPLARS] = "exemplars",
        [WAL_MMAP_MARKERS] = "mmapmarkers",
        [WAL_METADATA] = "metadata",
        [WAL_HISTOGRAMS] = "histograms",
        [WAL_FLOAT_HISTOGRAMS] = "float_histograms",
        [WAL_CUSTOM_HISTOGRAMS] = "custom_buckets_histograms",
        [WAL_CUSTOM_FLOAT_HISTOGRAMS] = "custom_buckets_float_histograms",
    };
    metric_head(out, "prometheus_wal_watcher_current_segment", "gauge",
                "Segment of the log that a queue reads.");
    for (size_t i = 0; i < w->queues.len; i++)
        put_watcher(out, w->queues.items[i], "current_segment", NULL,
                    w->queues.items[i]->shown.segment);
    metric_head(out, "prometheus_wal_watcher_record_decode_failures_total", "counter",
                "Records of the log that a queue could not read.");
    for (size_t i = 0; i < w->queues.len; i++)
        put_watcher(out, w->queues.items[i], "record_decode_failures_total", NULL,
                    w->queues.items[i]->shown.decode_failures);
    metric_head(out, "prometheus_wal_watcher_records_read_total", "counter",
                "Records of the log that a queue has read.");
    for (size_t i = 0; i < w->queues.len; i++)
        for (unsigned t = 0; t < FEED_RECORDS_MAX; t++)
            if (w->queues.items[i]->shown.records[t])
                put_watcher(out, w->queues.items[i], "records_read_total", types[t],
                            w->queues.items[i]->shown.records[t]);
}

/* Of all queues together. */
static void put_totals(const RemoteWrite *w, Buf *out)
{
    int64_t newest = 0;
    uint64_t in[ENTRY_MAX] = { 0 };
    for (size_t i = 0; i < w->queues.len; i++) {
        const FeedStats *f = &w->queues.items[i]->shown;
        newest = MAX(newest, f->highest);
        for (unsigned k = 0; k < ENTRY_MAX; k++)
            in[k] = MAX(in[k], f->in[k]);
    }
    put_head(out, "highest_timestamp_in_seconds", "gauge",
             "Highest timestamp that has come into remote storage.");
    buf_printf(out, P "highest_timestamp_in_seconds %.17g\n", (double)newest / 1000.0);
    for (unsigned k = 0; k < ENTRY_MAX; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s_in_total", kinds[k]);
        put_head(out, name, "counter", "Came into remote storage.");
        buf_printf(out, P "%s %llu\n", name, (unsigned long long)in[k]);
    }
}

void remote_write_metrics(const RemoteWrite *w, Buf *out)
{
    if (!w || !w->queues.len)
        return;
    put_totals(w, out);
    put_kinds(w, out, "_total", "counter", "Sent to remote storage.",
              offsetof(RemoteQueue, sent.sent), ENTRY_MAX + 1);
    put_kinds(w, out, "_failed_total", "counter", "Refused by remote storage, and dropped.",
              offsetof(RemoteQueue, sent.failed), ENTRY_MAX + 1);
    put_kinds(w, out, "_retried_total", "counter", "Failed on their way, and sent again.",
              offsetof(RemoteQueue, sent.retried), ENTRY_MAX + 1);
    put_kinds(w, out, "_pending", "gauge", "Waiting in shards.",
              offsetof(RemoteQueue, shown.pending), ENTRY_MAX);
    put_dropped(w, out);
    put_numbers(w, out);
    put_durations(w, out);
    put_watchers(w, out);
}

const HttpDials *remote_write_dials(const RemoteWrite *w)
{
    return w ? &w->dials : NULL;
}
