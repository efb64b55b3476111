/* internal.h - how the kinds of discovery hang on a Discovery. Private to the folder. */
#pragma once

#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "monitor/discovery/discovery.h"
#include "monitor/model/timing.h"
#include "net/http_client.h"

enum { SAID_MS = 30 * 1000 }; /* between two lines in the log about the same failure */

typedef struct Provider Provider;
/* Each kind's own struct begins with it. */
struct Provider {
    Discovery *owner;
    Provider *(*stop)(Provider *p); /* frees; always NULL */
    /* Why it does not work at the moment, where `error` does not say it. May be NULL. */
    const Err *(*check)(const Provider *p);
    /* Series of prometheus_sd_file_mtime_seconds, of files that are not in `told` yet. May be NULL.
     */
    void (*put_files)(const Provider *p, Map *told, Buf *out);
    const char *kind; /* "file" */
    char name[32];    /* "file/0": in front of its sources */
    Err error;        /* code set: why it does not work at the moment */
    LogGate said;
};

struct Discovery {
    Loop *loop;
    const ConfigDiscovery *cfg;
    DiscoveryOptions opt;
    char *dns_server, *user_agent, *section;
    DiscoveryStats *own_stats; /* where nobody gave any */
    DiscoveryStats *stats;     /* never NULL */
    DiscoveryFn *fn;
    void *ctx;
    VEC(Provider *) providers;
    unsigned failed; /* providers that could not be made */
    Map counts;      /* source → number of targets */
    size_t targets;
};

/* ---- stats.c ---- */

typedef enum RefreshKind { REFRESH_DNS, REFRESH_HTTP, REFRESH_MAX } RefreshKind;
typedef enum EventKind { EVENT_ADD, EVENT_UPDATE, EVENT_DELETE, EVENT_MAX } EventKind;
enum { ROLES_MAX = 7 };

struct DiscoveryStats {
    VEC(Discovery *) live;
    struct {
        Timing duration;
        uint64_t failures;
    } refresh[REFRESH_MAX];
    Timing file_scan;
    uint64_t file_read_errors, file_watcher_errors;
    uint64_t dns_lookups, dns_failures;
    uint64_t http_failures;
    HttpDials http_dials;
    uint64_t kubernetes_failures, kubernetes_events[ROLES_MAX][EVENT_MAX];
    uint64_t updates[DISCOVERY_USER_MAX];
};
/* The role of a number of kubernetes_events. */
const char *k8s_role_name(unsigned kind);

/* Tells of groups; sources get the provider's name in front. */
void provider_emit(Provider *p, const TargetGroup *groups, size_t n);
/* It does not work, or works again. The first is logged under what Prometheus says then, at most
 * every SAID_MS. */
void provider_failed(Provider *p, const char *what, const Err *why);
void provider_works(Provider *p);
/* Writes the line alone; `path` may be empty. */
void provider_log(const Provider *p, const char *what, StrView path, const char *why);
/* A refresh that began at `started_ns` of the monotonic clock has ended. */
void provider_refreshed(Provider *p, RefreshKind kind, int64_t started_ns, bool failed);

/* The list of groups in a file or an answer: [{"targets": […], "labels": {…}}]. `extra` is added to
 * the labels of each; sources are "SOURCE:0" … All in `a`. */
int groups_parse(StrView text, bool json, StrView source, const Label *extra, Arena *a,
                 TargetGroup **ret, size_t *ret_n, Err *err) NODISCARD;

int file_provider_new(Discovery *d, const ConfigFileSd *cfg, Provider **ret, Err *err) NODISCARD;
int http_provider_new(Discovery *d, const ConfigHttpSd *cfg, Provider **ret, Err *err) NODISCARD;
int dns_provider_new(Discovery *d, const ConfigDnsSd *cfg, Provider **ret, Err *err) NODISCARD;
int k8s_provider_new(Discovery *d, const ConfigKubernetesSd *cfg, Provider **ret,
                     Err *err) NODISCARD;
