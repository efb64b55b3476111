/* metrics.c - what scraping tells of itself on /metrics, under Prometheus' names. */
#include "monitor/model/duration.h"
#include "base/metric_text.h"
#include "monitor/model/number.h"
#include "monitor/scrape/internal.h"

static const double quantiles[] = { 0.01, 0.05, 0.5, 0.9, 0.99 };

void scrape_count_interval(ScrapeManager *m, int64_t interval_ms, double seconds)
{
    for (size_t i = 0; i < m->intervals.len; i++)
        if (m->intervals.items[i]->interval_ms == interval_ms) {
            timing_add(&m->intervals.items[i]->actual, seconds);
            return;
        }
    ScrapeIntervals *s = calloc(1, sizeof *s);
    if (!s)
        return;
    s->interval_ms = interval_ms;
    timing_add(&s->actual, seconds);
    if (!vec_push(&m->intervals, s))
        free(s);
}

static void put_counters(const ScrapeStats *s, Buf *out)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } rows[] = {
        { "prometheus_target_scrapes_exceeded_sample_limit_total",
          "Scrapes that were refused for their sample_limit.", s->exceeded_sample_limit },
        { "prometheus_target_scrapes_exceeded_body_size_limit_total",
          "Scrapes that were refused for their body_size_limit.", s->exceeded_body_size_limit },
        { "prometheus_target_scrape_pool_exceeded_label_limits_total",
          "Scrapes that were refused for their limits of labels.", s->exceeded_label_limits },
        { "prometheus_target_scrape_pool_exceeded_target_limit_total",
          "Times that a job had more targets than its target_limit.", s->exceeded_target_limit },
        { "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
          "Scrapes that were refused for their native_histogram_bucket_limit.",
          s->exceeded_bucket_limit },
        { "prometheus_target_scrapes_exemplar_out_of_order_total",
          "Exemplars left out: older than the newest of their series.", s->exemplars_out_of_order },
        { "prometheus_target_scrapes_sample_out_of_order_total",
          "Samples left out: older than the newest of their series.", s->out_of_order },
        { "prometheus_target_scrapes_sample_duplicate_timestamp_total",
          "Samples left out: another value with the same time.", s->duplicate },
        { "prometheus_target_scrapes_sample_out_of_bounds_total",
          "Samples left out: before what the head can take.", s->out_of_bounds },
        { "prometheus_target_scrape_pools_total", "Jobs that were begun, also without success.",
          s->pools_made },
        { "prometheus_target_scrape_pools_failed_total", "Jobs that could not be begun.",
          s->pools_failed },
        { "prometheus_target_scrape_pool_reloads_total",
          "Jobs whose changed configuration was taken over, also without success.",
          s->pools_reloaded },
        { "prometheus_target_scrape_pool_reloads_failed_total",
          "Jobs whose changed configuration could not be taken over.", s->reloads_failed },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        metric_head(out, rows[i].name, "counter", rows[i].help);
        buf_printf(out, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
    }
}

/* What targets say about their metrics, in all of a job; bytes: of the texts. */
static uint64_t families_of(const ScrapePool *p, bool bytes)
{
    StrView name, metric;
    void *val, *family;
    uint64_t n = 0;
    pthread_mutex_lock(&p->manager->families);
    for (size_t i = 0; map_next(&p->targets, &i, &name, &val);) {
        const Families *f = &((ScrapeTarget *)val)->families;
        for (size_t k = 0; bytes && map_next(&f->map, &k, &metric, &family);)
            n += ((Family *)family)->help.len + ((Family *)family)->unit.len;
        n += bytes ? 0 : f->map.len;
    }
    pthread_mutex_unlock(&p->manager->families);
    return n;
}

typedef enum PoolNumber {
    POOL_CACHE_BYTES,
    POOL_CACHE_ENTRIES,
    POOL_TARGETS,
    POOL_LIMIT,
    POOL_SYNCS,
    POOL_FAILED
} PoolNumber;

static uint64_t number_of(const ScrapePool *p, PoolNumber which)
{
    switch (which) {
    case POOL_CACHE_BYTES:
    case POOL_CACHE_ENTRIES:
        return families_of(p, which == POOL_CACHE_BYTES);
    case POOL_TARGETS:
        return p->targets.len;
    case POOL_LIMIT:
        return p->job->limits.targets;
    case POOL_SYNCS:
        return p->sync.n;
    default:
        return p->targets_failed;
    }
}

/* One series for each job. */
static void put_jobs(const ScrapeManager *m, const char *name, const char *type, const char *help,
                     const char *label, PoolNumber which, Buf *out)
{
    metric_head(out, name, type, help);
    vec_foreach (p, &m->pools) {
        buf_printf(out, "%s{%s=", name, label);
        text_quote_value((*p)->job->job_name, out);
        buf_printf(out, "} %llu\n", (unsigned long long)number_of(*p, which));
    }
}

static void put_syncs(const ScrapeManager *m, Buf *out)
{
    const char *name = "prometheus_target_sync_length_seconds";
    _cleanup_buf_ Buf label = BUF_INIT;
    metric_head(out, name, "summary", "How long making targets of what was discovered took.");
    vec_foreach (p, &m->pools) {
        buf_clear(&label);
        buf_sv(&label, SV("scrape_job="));
        text_quote_value((*p)->job->job_name, &label);
        timing_put_summary(&(*p)->sync, name, buf_view(&label), quantiles, ARRAY_SIZE(quantiles),
                           out);
    }
}

static void put_intervals(const ScrapeManager *m, Buf *out)
{
    const char *name = "prometheus_target_interval_length_seconds";
    _cleanup_buf_ Buf label = BUF_INIT;
    metric_head(out, name, "summary", "Times between the beginnings of two scrapes of a target.");
    vec_foreach (i, &m->intervals) {
        buf_clear(&label);
        buf_sv(&label, SV("interval=\""));
        prom_duration_format((*i)->interval_ms, &label);
        buf_putc(&label, '"');
        timing_put_summary(&(*i)->actual, name, buf_view(&label), quantiles, ARRAY_SIZE(quantiles),
                           out);
    }
}

void scrape_metrics(const ScrapeManager *m, Buf *out)
{
    ScrapeStats s = scrape_stats(m);
    put_counters(&s, out);
    put_jobs(m, "prometheus_target_metadata_cache_bytes", "gauge",
             "Bytes of what targets say about their metrics.", "scrape_job", POOL_CACHE_BYTES, out);
    put_jobs(m, "prometheus_target_metadata_cache_entries", "gauge",
             "Metrics that targets say something about.", "scrape_job", POOL_CACHE_ENTRIES, out);
    put_jobs(m, "prometheus_target_scrape_pool_targets", "gauge", "Targets of a job.", "scrape_job",
             POOL_TARGETS, out);
    put_jobs(m, "prometheus_target_scrape_pool_target_limit", "gauge",
             "The most targets that a job may have; 0: no limit.", "scrape_job", POOL_LIMIT, out);
    put_jobs(m, "prometheus_target_scrape_pool_sync_total", "counter",
             "Times that targets were made of what was discovered.", "scrape_job", POOL_SYNCS, out);
    put_jobs(m, "prometheus_target_sync_failed_total", "counter",
             "Discovered targets that could not become targets.", "scrape_job", POOL_FAILED, out);
    put_syncs(m, out);
    put_intervals(m, out);
}
