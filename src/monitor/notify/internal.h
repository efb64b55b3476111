/* internal.h - private to notify/. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "base/vec.h"
#include "fetch/fetch.h"
#include "monitor/notify/notify.h"

/* One alert as JSON, shared by the queues that it waits in. */
typedef struct Notice {
    unsigned refs;
    size_t len;
    char json[];
} Notice;
Notice *notice_new(const NotifyAlert *alert, Labels labels); /* NULL: no memory, or too large */
Notice *notice_unref(Notice *x);

typedef struct Set Set;

/* One Alertmanager of one section. */
typedef struct Peer {
    Set *set;
    NotifierStats stats; /* `url` is an allocation */
    VEC(Notice *) queue;
    Fetch *fetch; /* the request under way, of `sending` alerts */
    size_t sending;
    int64_t started_ns;
    bool wanted; /* discovery names it */
} Peer;

/* What one group of targets came to. */
typedef struct SourceUrls {
    Arena arena;
    StrView *active, *dropped;
    size_t n_active, n_dropped;
} SourceUrls;

/* One section of alerting.alertmanagers. */
struct Set {
    Notifier *n;
    Config *config; /* a reference */
    const ConfigAlertmanager *cfg;
    Fetcher *fetcher;
    Discovery *discovery; /* NULL: it is no more in the configuration */
    Map sources;
    VEC(Peer *) peers;
};
typedef VEC(Set *) Sets;

/* Alerts on their way from the thread that evaluated them. */
typedef struct Batch {
    struct Batch *next;
    Arena arena;
    NotifyAlert *alerts;
    size_t n;
} Batch;

struct Notifier {
    Loop *loop;
    NotifierOptions opt;
    Config *config;  /* a reference; NULL: none yet */
    HttpDials dials; /* of all sections */
    Sets sets;
    Sets old; /* sections that are gone, while they have something to send */
    bool draining;

    int wake_fd; /* eventfd: the inbox has something */
    Source *wake;
    pthread_mutex_t lock; /* of the inbox */
    Batch *inbox, **inbox_tail;
    size_t inbox_len;
    uint64_t lost; /* alerts that the inbox had no room for */
};

int set_new(Notifier *n, Config *c, const ConfigAlertmanager *cfg, Set **ret, Err *err) NODISCARD;
Set *set_free(Set *s);             /* NULL is fine */
void set_name(Set *s, unsigned i); /* it is section i of the configuration now */
void set_retire(Set *s);           /* no discovery any more: all its peers leave */
bool set_sweep(Set *s);            /* frees peers that are done; true: none is left */

int peer_new(Set *s, StrView url, Peer **ret, Err *err) NODISCARD;
Peer *peer_free(Peer *p);
void peer_add(Peer *p, Notice *const *notices, size_t n);
void peer_lose(Peer *p, size_t n, ErrCode code, const char *why); /* counts, and tells */
void peer_drop_queue(Peer *p);
bool peer_busy(const Peer *p);

void notifier_report(Notifier *n, const Peer *p, size_t alerts, const Err *why);
/* Later in this turn: frees what is done, and ends draining when nothing is left to do. */
void notifier_want_sweep(Notifier *n);
