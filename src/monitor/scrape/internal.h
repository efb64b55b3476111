/* internal.h - the structures of scraping. Private to the folder. */
#pragma once

#include <pthread.h>

#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "monitor/expo/expo.h"
#include "fetch/fetch.h"
#include "monitor/model/json_log.h"
#include "monitor/model/timing.h"
#include "monitor/scrape/scrape.h"

/* ---- which series a line is (cache.c) ---- */

typedef struct CacheEntry {
    SeriesRef ref; /* 0: labels must be made for the next append */
    uint32_t hash;
    uint32_t len, size;  /* of the text, and of the entry with it */
    uint32_t seen, born; /* scrapes */
    uint32_t next;       /* place + 1 of the line that followed in the scrape before */
    bool dropped;        /* by metric relabelling */
    bool tracked;        /* in this scrape: a marker is due when it goes away */
    bool alive;          /* in the last committed scrape, and tracked */
    char text[];
} CacheEntry;

/* Entries lie one behind the other in the order in which lines were first seen: the next scrape
 * walks through memory, not over it. */
typedef struct ScrapeCache {
    char *bytes;
    size_t used, room;
    VEC(size_t) places; /* of entries, in `bytes` */
    uint32_t *table;    /* place + 1, 0: free; a power of two */
    size_t cap;
    uint32_t scrape; /* number of the current one, from 1 */
    uint32_t last;   /* place + 1 of the last line looked up */
    size_t seen;     /* entries, in this scrape */
    bool changed;    /* in this scrape an entry comes to life, or ends, that was seen */
} ScrapeCache;

/* Entry i; good until the next one is added. */
static inline CacheEntry *scrape_cache_entry(const ScrapeCache *c, size_t i)
{
    return (CacheEntry *)(void *)(c->bytes + c->places.items[i]);
}
void scrape_cache_free(ScrapeCache *c);
void scrape_cache_begin(ScrapeCache *c);
/* The scrape brought what the one before did: no series begins or ends. */
static inline bool scrape_cache_is_same(const ScrapeCache *c)
{
    return c->seen == c->places.len && !c->changed;
}
static inline void scrape_cache_saw(ScrapeCache *c, CacheEntry *e)
{
    c->seen += e->seen != c->scrape;
    e->seen = c->scrape;
}
static inline bool scrape_cache_lives(const ScrapeCache *c, const CacheEntry *e)
{
    return e->seen == c->scrape && e->tracked && e->ref && !e->dropped;
}
/* Which series is likely to come some lines later; 0: none is known. */
SeriesRef scrape_cache_ahead(const ScrapeCache *c);
/* The line that is likely to come next; SV_NULL: none is known. */
StrView scrape_cache_expected(const ScrapeCache *c);
/* NULL: not known. Lines come in the order of the last scrape, mostly: then no hash is needed, and
 * with `expected` no comparison: it is the one that was expected. */
CacheEntry *scrape_cache_find(ScrapeCache *c, StrView series, bool expected);
CacheEntry *scrape_cache_add(ScrapeCache *c, StrView series); /* NULL: out of memory */
/* Forgets lines that were not seen for some scrapes. */
void scrape_cache_sweep(ScrapeCache *c);

/* ---- what it says about its metrics (families.c) ---- */

enum { FAMILY_KEEP_SCRAPES = 10 };

typedef struct Family {
    StrView name;
    ExpoType type;
    uint32_t seen; /* scrape */
    char *text;    /* holds the next two */
    StrView help, unit;
    struct Family *next; /* the one that followed in the scrape before */
    char name_bytes[];
} Family;

typedef struct Families {
    Map map; /* name → Family */
    Family *first, *last;
} Families;

void scrape_families_begin(Families *f); /* of a scrape */
Family *scrape_families_find(Families *f,
                             StrView name); /* in the order of a scrape; NULL: not known */
Family *scrape_families_get(const Families *f, StrView name);
bool scrape_families_put(Families *f, StrView name, ExpoType type, StrView help, StrView unit,
                         uint32_t scrape) NODISCARD; /* false: out of memory */
void scrape_families_sweep(Families *f,
                           uint32_t scrape); /* forgets one that was not seen for long */
void scrape_families_free(Families *f);

/* ---- targets ---- */

typedef struct ScrapePool ScrapePool;
typedef struct ScrapeTarget ScrapeTarget;
typedef struct ScrapeWork ScrapeWork;

enum {
    REPORT_UP,
    REPORT_DURATION,
    REPORT_SCRAPED,
    REPORT_POST,
    REPORT_ADDED,
    REPORT_TIMEOUT,
    REPORT_LIMIT,
    REPORT_BODY,
    REPORT_MAX
};

struct ScrapeTarget {
    ScrapePool *pool;
    Arena arena;        /* of labels and URL */
    Arena shown;        /* of `discovered` */
    uint64_t hash;      /* who it is; keyed: no target can take the place of another */
    uint64_t spread;    /* when it is scraped: the same after a restart */
    Labels discovered;  /* the newest that led here */
    Labels all, labels; /* all: with __name__-like ones; labels: what samples get */
    StrView url, global_url;
    int64_t interval_ms, timeout_ms;
    StrView timeout_text; /* of the header, in seconds */
    ExpoOptions expo;
    bool wanted; /* while a pool looks through its groups */
    ScrapeCache cache;
    Families families;
    SeriesRef report[REPORT_MAX];
    Source *timer;
    Fetch *fetch;
    int64_t start_ms, start_mono_ns; /* of the scrape under way */
    unsigned waiting;                /* its answers that are with the worker */
    size_t cached_series;            /* as the last finished answer left it */
    int64_t due_ms;
    ScrapeHealth health;
    int64_t last_scrape_ms;
    double last_duration_s;
    Err last_error;
};

typedef struct PoolGroup {
    Arena arena;
    TargetGroup group;
    bool old; /* from before a reload, not heard of since */
} PoolGroup;

struct ScrapePool {
    ScrapeManager *manager;
    Config *config; /* a reference */
    const ConfigScrape *job;
    HttpDials dials;
    Fetcher *fetcher;
    JsonLog *failures; /* scrape_failure_log_file; NULL: none */
    Discovery *discovery;
    Map groups;  /* source → PoolGroup */
    Map targets; /* hash as text → ScrapeTarget */
    VEC(ScrapeTarget *) dropped;
    size_t dropped_total;
    Source *sync_timer, *old_timer;
    bool sync_due;
    int64_t synced_ns;
    Timing sync; /* how long looking through the groups takes */
    uint64_t targets_failed;
    Buf failures_now; /* of the look under way: what could not become a target */
    uint64_t failures_hash,
        failures_said; /* of all of them, in any order; of those that were logged */
    Err target_limit;  /* set while there are too many */
    Buf accept;
    bool stopping;
};

enum {
    SCRAPE_BODY_MAX = 256 * 1024 * 1024, /* where the configuration says no body_size_limit */
    SCRAPE_LABEL_MAX = 1024 * 1024,      /* of a label's name or value; likewise */
    SCRAPE_SAID_MS = 30 * 1000,          /* between two lines in the log about storage that fails */
    SCRAPE_WAITING_MAX = 16,             /* answers of one target that wait to be stored */
};
#define SCRAPE_BODIES_MAX ((size_t)1024 * 1024 * 1024) /* of all bodies together */

/* Times from one scrape to the next, of all targets with one interval. */
typedef struct ScrapeIntervals {
    int64_t interval_ms;
    Timing actual;
} ScrapeIntervals;

struct ScrapeManager {
    Loop *loop;
    ScrapeOptions opt;
    VEC(ScrapePool *) pools;
    ScrapeStats stats;
    VEC(ScrapeIntervals *) intervals;
    LogGate storage_said; /* that samples cannot be stored */
    FetchBudget budget;   /* of bodies, received and waiting */
    ExpoParser *parser;   /* this and the next: the worker's */
    Arena scratch;        /* of one sample */
    Buf unpacked;         /* of one body */
    /* worker.c: of the loop's thread */
    pthread_t thread;
    bool started, gathering; /* the timer runs */
    Source *gather;
    size_t gathered; /* bytes, since it runs */
    /* …and under `lock` */
    bool ready; /* what waits is to be stored now */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle; /* there is work; the one that ran has ended */
    ScrapeWork *head, **tail, *running, *done;
    bool stop, posted;
    pthread_mutex_t families; /* all targets' families, while they are changed or walked */
};

static inline size_t scrape_body_max(const ConfigScrape *job)
{
    return job->limits.body_size ? job->limits.body_size : (size_t)SCRAPE_BODY_MAX;
}
int64_t scrape_now_ms(const ScrapeManager *m);
/* metrics.c: so long after the one before a scrape begins. Without memory it is not counted. */
void scrape_count_interval(ScrapeManager *m, int64_t interval_ms, double seconds);

/* Labels of a target from a group's: 1 a target, 0 dropped, negative a reason. *ret is made either
 * way but on failure; free with target_free(). */
int target_make(ScrapePool *p, Labels target, Labels group, ScrapeTarget **ret, Err *err) NODISCARD;
ScrapeTarget *target_free(ScrapeTarget *t); /* always NULL; NULL is fine */
int target_start(ScrapeTarget *t, Err *err) NODISCARD;
/* It will be scraped no more: staleness markers for all its series. */
void target_end(ScrapeTarget *t);

/* What a scrape amounted to. */
typedef struct ScrapeCounts {
    uint64_t total, post_relabel, added;
    int64_t body_bytes;
} ScrapeCounts;

/* Appends a body; on failure the caller rolls back. */
int scrape_append(ScrapeWork *w, StrView body, TsdbAppender *a, Err *err) NODISCARD;
/* Markers for series that were alive and were not seen in this scrape (`all`: for all). */
int scrape_append_stale(ScrapeTarget *t, TsdbAppender *a, int64_t ts, bool all, Err *err) NODISCARD;
int scrape_append_report(ScrapeTarget *t, TsdbAppender *a, int64_t ts, const ScrapeCounts *counts,
                         bool ok, double seconds, Err *err) NODISCARD;
int scrape_append_report_stale(ScrapeTarget *t, TsdbAppender *a, int64_t ts, Err *err) NODISCARD;
/* ---- what follows an answer (finish.c, worker.c) ---- */

/* An answer on its way into the database. What it does to the target's cache, families and report
 * is the worker's; the rest is of the loop's thread. */
struct ScrapeWork {
    ScrapeWork *next;
    ScrapeTarget *t;
    Buf body;
    bool is_gzip;
    size_t counted; /* of the budget */
    ExpoFormat format;
    Err why; /* code set: there is no body to be stored, but a failure */
    bool too_large;
    int64_t ts;
    double seconds;
    ScrapeCounts counts;
    ScrapeStats stats; /* to be added to the manager's */
    size_t cached_series;
    bool failed;
    bool not_stored; /* not even that it failed */
    Err err;
};

/* Takes an answer, or its absence: it is stored in its turn, and shows in the target then. */
void scrape_finish(ScrapeTarget *t, const FetchResult *r);
void scrape_work_run(ScrapeWork *w);  /* on the worker */
void scrape_work_done(ScrapeWork *w); /* on the loop; frees it */

int worker_start(ScrapeManager *m, Err *err) NODISCARD;
void worker_stop(ScrapeManager *m); /* what has not begun is dropped */
void worker_add(ScrapeManager *m, ScrapeWork *w);
/* Nothing of the target is left with the worker: what waits is dropped, what runs is waited for. */
void worker_forget(ScrapeManager *m, ScrapeTarget *t);

int pool_new(ScrapeManager *m, Config *c, const ConfigScrape *job, ScrapePool **ret,
             Err *err) NODISCARD;
/* `stale`: the job is gone from the configuration, so its series end. Always NULL. */
ScrapePool *pool_free(ScrapePool *p, bool stale);
int pool_reload(ScrapePool *p, Config *c, const ConfigScrape *job, Err *err) NODISCARD;
