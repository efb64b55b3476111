/* web.h - Prometheus' HTTP API: queries, metadata, status, administration, remote read and write,
 * federation, the web page, and metrics of the monitor itself.
 *
 * Requests are read and answered on the loop; what reaches for the database runs on pool threads,
 * queries at most `query_concurrency` at once. The Web is made before the database is open, so that
 * /-/healthy and /-/ready answer from the start; web_set_ready() opens the rest. */
#pragma once

#include "monitor/promql/promql.h"
#include "monitor/remote/remote_read.h"
#include "monitor/tsdb/tsdb.h"
#include "net/http.h"

typedef struct Web Web;

enum { WEB_THREADS = 4 }; /* of the pool, besides queries and remote reads */

typedef struct WebFlag { /* one row of /api/v1/status/flags */
    StrView name, value;
} WebFlag;

/* What /api/v1/rules was asked for. Empty lists: all. */
typedef struct WebRulesQuery {
    bool alerting, recording; /* which kinds */
    bool exclude_alerts;
    const StrView *names, *groups, *files;
    unsigned n_names, n_groups, n_files;
    const MatcherSet *sets; /* one of them must match a rule's labels */
    unsigned n_sets;
    int64_t group_limit; /* groups of one answer; 0: all */
    StrView next_token;  /* of the group to begin with; empty: the first */
} WebRulesQuery;

/* What the parts that scrape, evaluate rules and send alerts tell. Each appends JSON of what is
 * named; a NULL function stands for a part that is not there, and an empty set is answered. All but
 * rules and alerts are called on the loop. */
typedef struct WebParts {
    void *ctx;
    /* `state`: "active", "dropped" or "any"; `pool`: of this one only, empty: of all. The object of
     * /api/v1/targets. */
    void (*targets)(void *ctx, StrView state, StrView pool, Buf *out);
    void (*scrape_pools)(void *ctx, Buf *out); /* ["a","b"], sorted */
    /* Of one pool, or ERR_NOT_FOUND: its section of the configuration as YAML, secrets hidden; and
     * what each of its relabelling rules makes of a set of labels: [{"rule":…},…]. */
    int (*pool_config)(void *ctx, StrView pool, Buf *out, Err *err);
    int (*relabel_steps)(void *ctx, StrView pool, Labels labels, Buf *out, Err *err);
    /* The array of /api/v1/targets/metadata, of targets that match; limit < 0: none. */
    void (*target_metadata)(void *ctx, const Matcher *ms, unsigned n_ms, StrView metric,
                            int64_t limit, Buf *out);
    /* The object of /api/v1/metadata. */
    void (*metadata)(void *ctx, StrView metric, int64_t limit, int64_t per_metric, Buf *out);
    /* {"groups":[…]} and {"alerts":[…]}, on a pool thread. ERR_NOT_FOUND: no group has the token.
     */
    int (*rules)(void *ctx, const WebRulesQuery *q, Buf *out, Err *err);
    int (*alerts)(void *ctx, Buf *out, Err *err);
    void (*alertmanagers)(void *ctx, Buf *out); /* {"activeAlertmanagers":[…],…} */
    void (*config)(void *ctx, Buf *out);        /* YAML text, secrets hidden */
    Labels (*external_labels)(void *ctx);       /* good until the next reload */
    RemoteReads *(*remote_reads)(void *ctx);    /* a reference; NULL: none */
    Config *(*current)(void *ctx);              /* a reference */
    void (*metrics)(void *ctx, Buf *out);       /* further families for /metrics */
    int (*reload)(void *ctx, Err *err);         /* reads the configuration again */
} WebParts;

typedef struct WebOptions {
    const char *const *listen; /* ":9090", "127.0.0.1:9090", "[::1]:9090" */
    unsigned n_listen;
    StrView external_url; /* empty: made of host name and port */
    StrView route_prefix; /* empty: the path of external_url */
    StrView page_title;   /* of the web page; empty: Prometheus' own */
    StrView cors_origin;  /* regular expression, anchored; empty: ".*" */
    bool lifecycle, admin, remote_write, metadata_in_log;
    bool start_times;      /* remote write 2.0: what begins at its start time began with 0 */
    bool otlp, otlp_delta; /* the receiver; also of delta temporality */
    bool otlp_add_up;      /* deltas are made cumulative */
    bool refuse_write_v1, refuse_write_v2; /* of remote write's two messages */
    unsigned max_connections;              /* of all listeners; 0: no bound */
    uint32_t read_timeout_ms;
    const char *access_file; /* of --web.config.file, see access.h; NULL: clear text, for anyone */
    /* Shown in features. */
    bool concurrent_rules, extra_scrape_metrics, exemplars, auto_reload;
    bool search;                 /* the search endpoints are served */
    int64_t search_limit;        /* the most results of one search; 0: no bound */
    unsigned max_notice_readers; /* of notifications/live at once */
    unsigned query_concurrency;
    PromqlOptions promql;
    uint64_t read_samples_max; /* of one remote read; 0: no bound */
    unsigned read_concurrency;
    size_t read_frame_max;     /* bytes of one frame of streamed chunks */
    int64_t block_ms;          /* smallest block: how far back the local database is sure to go */
    StrView db_dir, retention; /* shown */
    const WebFlag *flags;      /* sorted by name; must outlive the Web, as all views here */
    unsigned n_flags;
    WebParts parts;
} WebOptions;

/* Listens. ERR_INVALID: an address, prefix or expression; ERR_SYS: an address that is taken. */
int web_new(Loop *l, const WebOptions *opt, Web **ret, Err *err) NODISCARD;
/* From now on everything is served. The database is not owned. */
void web_set_ready(Web *w, Tsdb *db);
/* The outcome of a reload that came by signal, for /metrics and runtimeinfo. */
void web_reloaded(Web *w, bool ok);
/* Closes listeners and connections and cancels queries; nothing new is begun. Then the loop is to
 * be ended (which waits for what is under way), and web_free() called before the database is
 * closed. NULL is fine. */
void web_stop(Web *w);
Web *web_free(Web *w); /* NULL is fine; always NULL */
uint16_t web_port(const Web *w, unsigned listener);
StrView web_external_url(const Web *w); /* as it is, or was made of host name and port */
