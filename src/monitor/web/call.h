/* call.h - one request on its way: what was asked, copied out of the exchange because that ends
 * when the peer goes away, and the answer. Private to monitor/web.
 *
 * A route's function runs on the loop or on a pool thread, fills `out` and `status`, and returns;
 * the answer is sent on the loop. To add a route: a row in routes[] of routes.c. */
#pragma once

#include "base/clock.h"
#include "base/turns.h"
#include "monitor/web/json_out.h"
#include "monitor/web/web.h"

typedef struct Call Call;
typedef struct RouteStats RouteStats;

enum {
    CALL_ARENA_MAX = 1 << 30,
    CALL_HEADERS_MAX = 8,
    CALL_PARAMS_MAX = 10000,
    CALL_BODY_MAX = 64 << 20,
};

typedef enum CallClass {
    CALL_LOOP,   /* quick and without the database's data: on the loop */
    CALL_WORKER, /* a pool thread */
    CALL_QUERY,  /* a pool thread, counted against query_concurrency */
    CALL_READ,   /* the same against read_concurrency */
    CALL_CLASS_MAX
} CallClass;

#define API_PREFIX "/api/v1"
enum { METHOD_GET = 1, METHOD_POST = 2, METHOD_PUT = 4, METHOD_HEAD = 8, METHOD_OPTIONS = 16 };
enum { ROUTE_API = 1, ROUTE_ANYTIME = 2 }; /* JSON and CORS; also while not ready */

typedef struct Route {
    StrView path;     /* '*' stands for one segment, which goes to call->arg */
    unsigned methods; /* METHOD_* */
    CallClass cls;
    unsigned flags;
    void (*fn)(Call *c);
    void (*prepare)(Call *c); /* on the loop before fn is on a thread; NULL: nothing to do */
} Route;

typedef struct Param {
    StrView name, value;
} Param;

/* What a call adds to the counters of /metrics; added up on the loop. */
typedef struct CallCounts {
    uint64_t invalid_labels, without_metadata;
    uint64_t otlp_without_metadata, otlp_exemplars_refused;
    bool federation_failed;
} CallCounts;

/* In front of an IPv4 address, to make it one of IPv6 (RFC 4291 2.5.5.2). */
static const uint8_t client_v4[12] = { [10] = 0xff, [11] = 0xff };

struct Call {
    Web *web;
    const Route *route;
    HttpReq *req;               /* NULL: the peer has gone. Of the loop's thread */
    Turn turn;                  /* `client`: the peer's address; of IPv4 as ::ffff:1.2.3.4 */
    Call *next, **sending_prev; /* of those that are sent */
    atomic_bool cancel;
    int64_t started_ns; /* monotonic, as the next: when it came, and when it got a thread */
    int64_t begun_ns;
    Arena arena;
    unsigned method;
    bool at_prefix; /* asked for the prefix itself, without a slash behind it */
    StrView path, arg, query, body;
    StrView content_type, content_encoding, accept, accept_encoding, origin, user_agent;
    StrView if_none_match;
    Param *params; /* of body, then query */
    unsigned n_params;
    Labels external;    /* labels of this server, as they were when the call came */
    RemoteReads *reads; /* other storages for queries; NULL: none */
    RemoteWarnings warnings;
    Buf prepared;   /* what Route.prepare has fetched */
    Config *config; /* in force when the call came; may be NULL */

    int status;
    StrView out_type;
    Buf out;
    HttpHeader headers[CALL_HEADERS_MAX]; /* views that live as long as the call */
    unsigned n_headers;
    bool streams; /* the exchange goes on without the call: no answer is sent for it */
    CallCounts counts;
};

/* ---- what was asked ---- */

StrView call_param(const Call *c, StrView name); /* the first one; empty where absent */
/* The next value of a parameter that may be repeated; *pos starts at 0. */
bool call_param_next(const Call *c, StrView name, unsigned *pos, StrView *ret);
/* Prometheus' forms; each answers the call itself and returns false on a mistake. */
bool call_time(Call *c, StrView name, int64_t fallback, int64_t *ret_ms);
bool call_time_needed(Call *c, StrView name, int64_t *ret_ms);
bool call_duration(Call *c, StrView name, int64_t *ret_ms);
bool call_limit(Call *c, int64_t *ret); /* 0: none */
#define CALL_TIME_MIN ((INT64_MIN / 1000 + INT64_C(62135596801)) * 1000)
#define CALL_TIME_MAX ((INT64_MAX / 1000 - INT64_C(62135596801)) * 1000 + 999)
int bool_param_parse(StrView s, bool *ret);           /* 0 or -EINVAL: strconv.ParseBool */
int time_param_parse(StrView s, int64_t *ret_ms);     /* 0 or -EINVAL */
int duration_param_parse(StrView s, int64_t *ret_ms); /* 0, -EINVAL or -ERANGE */

/* The sets of match[]. Owned expressions are freed with call_matchers_free(). */
typedef struct CallMatchers {
    MatcherSet *sets;
    PromqlExpr **exprs;
    unsigned len;
} CallMatchers;
/* `non_empty`: each set must have a matcher that an absent label does not satisfy. */
bool call_matchers(Call *c, bool non_empty, CallMatchers *ret);
void call_matchers_free(CallMatchers *m);

/* ---- the answer ---- */

typedef enum ApiError {
    API_TIMEOUT,
    API_CANCELED,
    API_EXECUTION,
    API_BAD_DATA,
    API_INTERNAL,
    API_UNAVAILABLE,
    API_NOT_FOUND,
    API_NOT_ACCEPTABLE,
    API_ERROR_MAX
} ApiError;
/* {"status":"error",…}: replaces what is in `out`. Returns false, to be passed on. */
bool api_error(Call *c, ApiError type, const char *fmt, ...) PRINTF(3, 4);
bool api_error_invalid(Call *c, StrView param, const char *fmt, ...) PRINTF(3, 4);
bool api_error_from(Call *c, const Err *err); /* of the storage */
/* Data of a success are appended to c->out between the two. */
void api_begin(Call *c);
void api_end(Call *c, const PromqlAnnotation *notes, size_t n_notes, const StrView *warnings,
             unsigned n_warnings);
#define API_TRUNCATED SV("results truncated due to limit")
/* A plain answer in the manner of Go's http.Error(): text and a newline. */
void call_text(Call *c, int status, const char *fmt, ...) PRINTF(3, 4);
void call_header(Call *c, StrView name, StrView value); /* views must live as long as the call */
bool call_gone(const Call *c);                          /* the peer does not wait any more */
/* A querier of the database and of the other storages, whose failures api_end() tells as warnings.
 * call_querier_free() ends it. */
typedef struct CallQuerier {
    Querier *local, *remote;
    Querier *q; /* the one to ask */
} CallQuerier;
int call_querier(Call *c, int64_t start, int64_t end, CallQuerier *ret, Err *err) NODISCARD;
void call_querier_free(CallQuerier *q);

/* ---- routes, by file ---- */

void serve_query(Call *c); /* api_query.c */
void serve_query_range(Call *c);
void serve_format_query(Call *c);
void serve_parse_query(Call *c);
void serve_query_exemplars(Call *c);
void serve_labels(Call *c); /* api_series.c */
void serve_label_values(Call *c);
void serve_series(Call *c);
void serve_search_metric_names(Call *c); /* search.c */
void prepare_search_metric_names(Call *c);
void serve_search_label_names(Call *c);
void serve_search_label_values(Call *c);
void serve_targets(Call *c); /* api_parts.c */
void serve_target_metadata(Call *c);
void serve_metadata(Call *c);
void serve_scrape_pools(Call *c);
void serve_scrape_pool_config(Call *c);
void serve_relabel_steps(Call *c);
void serve_rules(Call *c);
void serve_alerts(Call *c);
void serve_alertmanagers(Call *c);
void serve_status_config(Call *c); /* api_status.c */
void serve_status_flags(Call *c);
void serve_status_runtime(Call *c);
void serve_status_build(Call *c);
void serve_status_tsdb(Call *c);
void serve_status_blocks(Call *c);
void serve_status_replay(Call *c);
void serve_features(Call *c);      /* features.c */
void serve_notifications(Call *c); /* notices.c */
void serve_notifications_live(Call *c);
void serve_openapi(Call *c);       /* openapi.c */
void serve_delete_series(Call *c); /* api_admin.c */
void serve_snapshot(Call *c);
void serve_clean_tombstones(Call *c);
void serve_healthy(Call *c); /* lifecycle.c */
void serve_ready(Call *c);
void serve_reload(Call *c);
void serve_quit(Call *c);
void serve_version(Call *c);
void serve_page(Call *c); /* page.c */
void serve_page_file(Call *c);
void serve_root(Call *c);
void serve_discovery(Call *c);
void serve_metrics(Call *c);      /* metrics.c */
void serve_self_metrics(Call *c); /* self_metrics.c */
void serve_federate(Call *c);     /* federate.c */
void serve_remote_write(Call *c); /* remote_write.c */
void serve_remote_read(Call *c);  /* remote_read.c */
void serve_otlp(Call *c);         /* otlp.c */

/* The row for a path below the prefix, NULL: none; *ret_arg is what stood for '*'. */
const Route *route_find(StrView path, unsigned *ret_index, StrView *ret_arg);
unsigned route_count(void);
const Route *route_at(unsigned i);
