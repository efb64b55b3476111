/* internal.h - the Web itself and the life of calls. Private to monitor/web; of the loop's thread
 * but for what is marked. */
#pragma once

#include "base/log.h"
#include "monitor/model/timing.h"
#include "monitor/web/call.h"
#include "web/access.h"

/* What clients that look for features see: whose API and query language these are. */
#define PROMETHEUS_VERSION "3.5.0"

enum { CODES_MAX = 12, DURATION_BUCKETS = 9, SIZE_BUCKETS = 8 };

/* Counters of one route for /metrics. */
struct RouteStats {
    struct {
        int code;
        uint64_t n;
    } codes[CODES_MAX];
    uint64_t durations[DURATION_BUCKETS], sizes[SIZE_BUCKETS], n;
    double duration_sum, size_sum;
};

enum {
    WEB_WORKERS = WEB_THREADS, /* calls of CALL_WORKER at once */
    CALL_WAITING_MAX = 4096,   /* of a class */
    WEB_SENDING_MAX =
        256 << 20, /* bytes of answers that wait for their readers: the oldest is cut */
};

/* What the operator should know; see notices.c. */
typedef enum NoticeId {
    NOTICE_RELOAD_FAILED,
    NOTICE_STARTING,
    NOTICE_STOPPING,
    NOTICE_MAX
} NoticeId;
typedef struct NoticeReader NoticeReader;
typedef struct Notices {
    int64_t since_ns[NOTICE_MAX]; /* real time; 0: it is not so */
    NoticeReader *readers;
    unsigned n_readers;
    uint64_t sent, dropped;
} Notices;

struct Web {
    Loop *loop;
    HttpServer **servers;
    unsigned n_servers;
    LogGate write_said;  /* that remote writes fail */
    LogGate read_said;   /* that other storages fail when they are asked for a remote read */
    HttpConnLimit limit; /* of connections */
    Access *access;      /* NULL: there is no file for it */
    WebOptions opt;
    Arena arena;        /* of texts that were derived */
    StrView prefix;     /* "" or "/prom" */
    Regex *cors;        /* NULL: any origin */
    _Atomic(Tsdb *) db; /* NULL: not ready. Read by pool threads */
    bool stopping, quit;
    Source *quit_timer;
    unsigned in_flight;
    Source *sweep;                 /* runs while calls wait */
    Call *sending, **sending_tail; /* answers that are being sent, oldest first */
    size_t sending_bytes;
    Turns queues[CALL_CLASS_MAX];
    Notices notices;

    int64_t started_ns, reloaded_ns; /* real time */
    bool reload_ok;
    int64_t reload_ok_ns;
    RouteStats *routes; /* one for each row, and one more for all else */
    uint64_t invalid_labels, without_metadata, federation_errors;
    struct OtlpDeltas *deltas; /* NULL: they are not added up */
    uint64_t otlp_without_metadata, otlp_exemplars_refused;
};

Tsdb *call_db(const Call *c); /* from any thread */
Tsdb *web_db(Web *w);
void web_count(Web *w, const Call *c, size_t body_len);

/* queue.c */
int queues_open(Web *w, Err *err) NODISCARD;
void queues_close(Web *w);
void call_enqueue(Call *c); /* to be run on a thread when it is its turn */
void call_sending(Call *c); /* its answer is about to be sent: call_sent() releases it */
void call_sent(void *call);

/* call.c */
Call *call_new(Web *w, HttpReq *req, const Route *route, StrView path, StrView arg);
void call_free(void *call);
void call_send(Call *c); /* answers; the call is gone after it */
void call_cors(Call *c);
void call_put_headers(Call *c); /* into the exchange, which must be there */
void notice_set(Web *w, NoticeId id, bool active);
void call_compress(Call *c); /* from any thread, after the route has run */

void metrics_text(Call *c, Buf *out);
void metrics_put_tsdb(Buf *out, const TsdbStats *s);
/* metrics_tsdb.c */                         /* metrics.c: what /metrics shows */
StrView label_unescape(StrView s, Arena *a); /* api_series.c */
/* The same: values of `label`, or names of labels where it is NULL; sorted, in the call's arena. */
int collect_names(Call *c, const StrView *label, int64_t start, int64_t end, const CallMatchers *m,
                  StrView **ret, size_t *ret_n, Err *err) NODISCARD;
/* remote_write.c: the snappy block of a request. ERR_INVALID, ERR_LIMIT, ERR_NOMEM. */
int remote_uncompress(StrView body, Buf *out, Err *err) NODISCARD;
