/* notify.h - sends alerts to Alertmanagers.
 *
 * Every Alertmanager that discovery finds has a queue of its own and gets one request at a time, so
 * that a slow one holds up nobody else. A full queue loses its oldest alerts; a batch that cannot
 * be delivered is lost, too: firing alerts are sent again and again by the rules, resolved ones for
 * 15 minutes. What is lost is counted.
 *
 * A request is POST SCHEME://ADDRESS/PREFIX/api/v2/alerts with Content-Type application/json, as
 * Alertmanager's OpenAPI document (api/v2/openapi.yaml, postableAlerts) has it:
 *
 *   [{"annotations":{"summary":"…"},
 *     "endsAt":"2026-01-02T03:04:05.678Z",    when it was resolved, or until when it is to be
 *                                             believed to fire if nothing more is heard
 *     "startsAt":"2026-01-02T03:00:05.678Z",  when it began to fire
 *     "generatorURL":"http://monitor:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
 *     "labels":{"alertname":"Down","job":"a"}}]
 *
 * Labels are the alert's, then the external ones that it does not have, then alert_relabel_configs
 * of the alerting section, then those of the Alertmanager's own. Any status 2xx is an acceptance.
 *
 * All on the loop's thread, but for notifier_send(). */
#pragma once

#include "monitor/discovery/discovery.h"
#include "monitor/model/timing.h"
#include "net/http_client.h"

typedef struct Notifier Notifier;

enum {
    NOTIFY_ALERT_MAX = 4 * 1024 * 1024, /* bytes of one alert's JSON; larger ones are lost */
    NOTIFY_BODY_MAX = 8 * 1024 * 1024,  /* a batch is closed before it would be larger */
};

typedef struct NotifyAlert {
    Labels labels, annotations;
    int64_t starts_ms, ends_ms; /* since 1970 */
    StrView generator_url;
} NotifyAlert;

typedef struct NotifierOptions {
    size_t queue_capacity;  /* alerts, of each Alertmanager; 0: 10000 */
    size_t batch_size;      /* alerts of one request; 0: 256 */
    bool drain;             /* notifier_drain() sends what waits, instead of giving it up */
    const char *user_agent; /* NULL: "Prometheus/3" */
    DiscoveryOptions discovery;
    /* Tells of `n` alerts that did not reach `url`. May be NULL. */
    void (*failed)(void *ctx, StrView url, size_t n, const Err *why);
    void *ctx;
} NotifierOptions;

int notifier_new(Loop *l, const NotifierOptions *opt, Notifier **ret, Err *err) NODISCARD;
/* Nothing may call notifier_send() any more. What waits is lost. NULL is fine; always NULL. */
Notifier *notifier_free(Notifier *n);

/* ---- configurations ---- */

typedef struct NotifierNext NotifierNext;

/* Makes all that a configuration (a reference is kept) needs, changing nothing: what can fail,
 * fails here, for want of memory or of a file that the client needs. */
int notifier_prepare(Notifier *n, Config *c, NotifierNext **ret, Err *err) NODISCARD;
/* Puts it in force. Alertmanagers of a section that did not change keep queues and connections;
 * those that are gone get what waits for them. */
void notifier_take(Notifier *n, NotifierNext *next);
NotifierNext *notifier_next_free(NotifierNext *next); /* one that is not taken; always NULL */

/* ---- sending ---- */

/* From any thread; copies. */
void notifier_send(Notifier *n, const NotifyAlert *alerts, size_t n_alerts);
/* Runs the loop until everything that waits was sent, or refused: an Alertmanager that fails once
 * is given up. loop_stop() ends it early. Without NotifierOptions.drain what waits is lost. */
void notifier_drain(Notifier *n);

/* ---- looking ---- */

typedef struct NotifierUrls {
    StrView *active, *dropped; /* dropped: by relabelling */
    size_t n_active, n_dropped;
} NotifierUrls;
int notifier_urls(const Notifier *n, Arena *a, NotifierUrls *ret, Err *err) NODISCARD;

/* Of all Alertmanagers with one URL. */
typedef struct NotifierStats {
    StrView url;
    uint64_t sent, errors, dropped; /* alerts */
    size_t queued;
    Timing latency; /* seconds of requests that were accepted */
} NotifierStats;
/* Sorted by URL; those gone that still have something waiting, too. */
int notifier_stats(const Notifier *n, Arena *a, NotifierStats **ret, size_t *ret_n,
                   Err *err) NODISCARD;
size_t notifier_capacity(const Notifier *n);
const HttpDials *notifier_dials(const Notifier *n); /* connections to Alertmanagers */
