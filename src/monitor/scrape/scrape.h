/* scrape.h - scrapes the targets of all jobs into the database.
 *
 * A manager holds one pool for each job; a pool turns what discovery finds into targets by
 * relabelling; a target is scraped at its own offset inside the interval, which its labels decide.
 * What a scrape brings is one batch: committed as a whole, or rolled back and replaced by staleness
 * markers. All on the loop's thread. */
#pragma once

#include "monitor/discovery/discovery.h"
#include "fetch/fetch.h"
#include "monitor/tsdb/tsdb.h"

typedef struct ScrapeManager ScrapeManager;

typedef struct ScrapeOptions {
    Tsdb *db;
    const char *user_agent; /* NULL: "Prometheus/3" */
    uint64_t offset_seed;   /* spreads the servers of a pair */
    uint32_t sync_delay_ms; /* between two looks at discovered groups; 0: 5 s */
    int64_t align_ms;       /* a scrape this late still gets the time that was planned */
    bool append_metadata;   /* --enable-feature=metadata-wal-records */
    bool start_times;       /* --enable-feature=created-timestamp-zero-ingestion */
    DiscoveryOptions discovery;
    int64_t (*now_ms)(void *ctx); /* NULL: the clock of the machine */
    void *now_ctx;
} ScrapeOptions;

int scrape_manager_new(Loop *l, const ScrapeOptions *opt, ScrapeManager **ret, Err *err) NODISCARD;
/* Ends all scrapes; no staleness markers: after a restart the series go on. Always NULL. */
ScrapeManager *scrape_manager_free(ScrapeManager *m);
/* Takes a configuration over (keeps a reference): jobs that did not change go on as they are. Fails
 * for want of memory, or of a file that the client needs: jobs before the one that failed are on
 * the new configuration then, the others on the old one. */
int scrape_manager_apply(ScrapeManager *m, Config *c, Err *err) NODISCARD;

/* A discovered target's labels with the job's defaults, and what relabelling makes of them; in `a`.
 * 1: it would be scraped; 0: it is dropped and has no labels; negative: it cannot be scraped (or
 * ERR_NOMEM), with *ret_discovered as far as it was made. */
int scrape_target_labels(const ConfigScrape *job, Labels target, Labels group, Arena *a,
                         Labels *ret_discovered, Labels *ret_labels, Err *err) NODISCARD;
/* Whether a discovered target, relabelled as its job says, could be scraped; the error is that of
 * the target's page. Dropped is fine. */
int scrape_check_target(const ConfigScrape *job, Labels target, Labels group, Err *err) NODISCARD;

typedef enum ScrapeHealth { SCRAPE_UNKNOWN, SCRAPE_UP, SCRAPE_DOWN } ScrapeHealth;

/* One entry of /api/v1/targets. Views are in the arena. */
typedef struct ScrapeTargetInfo {
    StrView pool; /* the job's name in the configuration */
    Labels discovered, labels;
    StrView url, global_url;
    StrView last_error;
    int64_t last_scrape_ms; /* 0: never */
    double last_duration_s;
    ScrapeHealth health;
    int64_t interval_ms, timeout_ms;
} ScrapeTargetInfo;

/* Why a part of a job's discovery does not work. */
typedef struct ScrapeDiscoveryError {
    StrView pool, part, why; /* "node", "http/0" */
} ScrapeDiscoveryError;

typedef struct ScrapeTargets {
    ScrapeTargetInfo *active;
    size_t n_active;
    ScrapeTargetInfo *dropped; /* pool and discovered labels only */
    size_t n_dropped;
    size_t dropped_total; /* also those beyond keep_dropped_targets */
    ScrapeDiscoveryError *errors;
    size_t n_errors;
} ScrapeTargets;

/* Of one job, or with an empty `pool` of all. ERR_NOMEM only. */
int scrape_targets(const ScrapeManager *m, StrView pool, Arena *a, ScrapeTargets *ret,
                   Err *err) NODISCARD;
/* Names of jobs, in the configuration's order. */
int scrape_pools(const ScrapeManager *m, Arena *a, StrView **ret, size_t *ret_n,
                 Err *err) NODISCARD;

/* What targets say about their metrics: calls fn for each family of each target until it returns
 * false. `metric` empty: all. Views live during the call. */
typedef struct ScrapeMetadata {
    Labels target;
    StrView metric, type, help, unit;
} ScrapeMetadata;
typedef bool ScrapeMetadataFn(void *ctx, const ScrapeMetadata *m);
void scrape_metadata(const ScrapeManager *m, StrView metric, ScrapeMetadataFn *fn, void *ctx);

typedef struct ScrapeStats {
    uint64_t scrapes, scrapes_failed, samples;
    uint64_t out_of_order, duplicate, out_of_bounds; /* samples left out, by reason */
    uint64_t exceeded_sample_limit, exceeded_body_size_limit, exceeded_label_limits;
    uint64_t exceeded_bucket_limit, exemplars_out_of_order;
    uint64_t exceeded_target_limit, targets_failed;
    uint64_t pools_made, pools_failed, pools_reloaded, reloads_failed;
    size_t cached_series;
} ScrapeStats;
ScrapeStats scrape_stats(const ScrapeManager *m);
typedef struct ScrapeDialer {
    StrView name; /* "node", "alertmanager" */
    const HttpDials *dials;
} ScrapeDialer;
/* Connections to targets, one row for each job; views into the manager. ERR_NOMEM only. */
int scrape_dialers(const ScrapeManager *m, Arena *a, ScrapeDialer **ret, size_t *ret_n,
                   Err *err) NODISCARD;
/* Appends the families net_conntrack_dialer_… of these in the text format. */
void scrape_dialers_put(const ScrapeDialer *dialers, size_t n, Buf *out);
/* Appends the families prometheus_target_… in the text format. */
void scrape_metrics(const ScrapeManager *m, Buf *out);
