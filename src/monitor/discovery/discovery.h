/* discovery.h - where targets come from: static lists, files, HTTP, DNS and Kubernetes, behind one
 * small interface. A Discovery serves all the *_sd_configs of one job (or Alertmanager section) and
 * tells of groups of targets as they change. All on the loop's thread. */
#pragma once

#include "monitor/config/config.h"
#include "net/http_client.h"
#include "net/loop.h"

typedef struct Discovery Discovery;

/* Targets that share labels. `source` names the group inside its discovery: a later group of the
 * same source replaces it, one without targets removes it. */
typedef struct TargetGroup {
    StrView source;
    Labels labels;
    const Labels *targets;
    size_t n_targets;
} TargetGroup;

/* Groups that are new or changed; everything in them lives during the call only. */
typedef void DiscoveryFn(void *ctx, const TargetGroup *groups, size_t n);

/* What all discoveries of a program do and fail at, since its start. */
typedef struct DiscoveryStats DiscoveryStats;
int discovery_stats_new(DiscoveryStats **ret, Err *err) NODISCARD;
/* After all discoveries that count in it have been stopped. NULL is fine; always NULL. */
DiscoveryStats *discovery_stats_free(DiscoveryStats *s);
/* Appends the families prometheus_sd_… in the text format. */
void discovery_metrics(const DiscoveryStats *s, Buf *out);

const HttpDials *discovery_dials(const DiscoveryStats *s); /* connections of http_sd_configs */

/* Who asks, as metrics and lines of the log name it. */
typedef enum DiscoveryUser {
    DISCOVERY_TOOL, /* nothing is logged */
    DISCOVERY_SCRAPE,
    DISCOVERY_NOTIFY,
    DISCOVERY_USER_MAX
} DiscoveryUser;

typedef struct DiscoveryOptions {
    const char *dns_server; /* "127.0.0.1:5353"; NULL: /etc/resolv.conf */
    const char *user_agent; /* NULL: "Prometheus/3" */
    DiscoveryStats *stats;  /* NULL: nobody looks at them */
    DiscoveryUser user;
    StrView section; /* "node": the job; "config-0": of the Alertmanagers */
} DiscoveryOptions;

enum {
    DISCOVERY_GROUPS_MAX = 100000, /* of one file or answer */
    DISCOVERY_FILE_MAX = 64 * 1024 * 1024,
};

/* `cfg` must outlive the discovery, `opt` (may be NULL) only the call. fn is never called from
 * inside. What cannot be reached is tried again; a section that can never work (no credentials of
 * the cluster) is logged and counted, and costs itself only. ERR_NOMEM only. */
int discovery_start(Loop *l, const ConfigDiscovery *cfg, const DiscoveryOptions *opt,
                    DiscoveryFn *fn, void *ctx, Discovery **ret, Err *err) NODISCARD;
Discovery *discovery_stop(Discovery *d); /* NULL is fine; always NULL */
/* Its section has another name in a new configuration; without memory the old one stays. */
void discovery_rename(Discovery *d, StrView section);

/* The groups of one file of file_sd_configs, as they stand there: JSON where the name ends in
 * .json, else YAML. In `a`. */
int discovery_read_file(const char *path, Arena *a, TargetGroup **ret, size_t *ret_n,
                        Err *err) NODISCARD;

/* Why a part of it does not work at the moment; code ERR_NONE: all is well. */
const Err *discovery_last_error(const Discovery *d);
/* The parts that do not work, one after the other: sets *ret_part ("http/0") and returns why, or
 * NULL behind the last. *pos is 0 at first. */
const Err *discovery_next_error(const Discovery *d, size_t *pos, StrView *ret_part);
