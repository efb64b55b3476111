/* monitor_idle.c - flags and features of Prometheus that have no effect here: taken, so that its
 * unit files start this program as they are, shown in /api/v1/status/flags, and named in the log
 * when they are given. Those whose absence would change what is stored or served are refused
 * instead. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cmd/monitor_args.h"

typedef struct Idle {
    const char *name;
    const char *preset; /* what it is when it is not given; NULL: nothing */
    bool is_switch;
    bool refused;
    const char *why;
} Idle;

#define GO       "there is no Go runtime here"
#define AGENT    "there is no agent mode here: this program always stores and serves what it scrapes"
#define CONSOLES "console templates are not served here"

static const Idle idle[] = {
    { "agent", "false", true, true, AGENT },
    { "storage.agent.path", "data-agent/", false, true, AGENT },
    { "storage.agent.wal-segment-size", NULL, false, true, AGENT },
    { "storage.agent.wal-compression", "true", true, true, AGENT },
    { "storage.agent.wal-compression-type", "snappy", false, true, AGENT },
    { "storage.agent.wal-truncate-frequency", NULL, false, true, AGENT },
    { "storage.agent.retention.min-time", "5m", false, true, AGENT },
    { "storage.agent.retention.max-time", "4h", false, true, AGENT },
    { "storage.agent.checkpoint-from-in-memory-series", "false", true, true, AGENT },
    { "storage.agent.checkpoint-batch-size", "1000", false, true, AGENT },
    { "storage.agent.no-lockfile", "false", true, true, AGENT },
    { "auto-gomaxprocs", "true", true, false, GO },
    { "auto-gomemlimit", "true", true, false, GO },
    { "auto-gomemlimit.ratio", "0.9", false, false, GO },
    { "auto-gomemlimit.refresh-interval", "0s", false, false, GO },
    { "web.console.templates", "consoles", false, false, CONSOLES },
    { "web.console.libraries", "console_libraries", false, false, CONSOLES },
    { "web.user-assets", NULL, false, false, "no files of the user are served here" },
    { "storage.tsdb.max-block-chunk-segment-size", NULL, false, false,
      "segments of blocks have 512 MiB here" },
    { "storage.tsdb.head-chunks-write-queue-size", "0", false, false,
      "chunks of the head are kept in memory here" },
    { "storage.tsdb.samples-per-chunk", "120", false, false,
      "chunks of blocks have up to 480 samples here" },
    { "storage.tsdb.delayed-compaction.max-percent", "10", false, false,
      "compaction is not delayed here" },
    { "storage.tsdb.delay-compact-file.path", "", false, true,
      "compaction does not wait for an uploader here" },
    { "storage.tsdb.allow-overlapping-compaction", "true", true, true,
      "overlapping blocks are always compacted here" },
    { "storage.tsdb.wal-compression-type", "snappy", false, false,
      "the log is compressed with snappy here" },
    { "storage.tsdb.block-reload-interval", "1m", false, false,
      "blocks are looked at every minute here" },
};

_Static_assert(ARRAY_SIZE(idle) <= MONITOR_IDLE_MAX, "room for all of them");

unsigned monitor_idle_flags(MonitorArgs *a, Flag *f)
{
    for (unsigned i = 0; i < ARRAY_SIZE(idle); i++) {
        const Idle *x = &idle[i];
        a->idle_text[i] = x->preset;
        a->idle_on[i] = x->is_switch && strcmp(x->preset, "true") == 0;
        f[i] = (Flag){ .name = x->name, .kind = x->is_switch ? FLAG_ON : FLAG_TEXT };
        f[i].target = x->is_switch ? (void *)&a->idle_on[i] : (void *)&a->idle_text[i];
    }
    return ARRAY_SIZE(idle);
}

static bool was_given(const MonitorArgs *a, unsigned i)
{
    const char *preset = idle[i].preset, *now = a->idle_text[i];
    if (idle[i].is_switch)
        return a->idle_on[i] != (strcmp(preset, "true") == 0);
    return now && (!preset || strcmp(preset, now) != 0);
}

bool monitor_idle_check(const MonitorArgs *a)
{
    for (unsigned i = 0; i < ARRAY_SIZE(idle); i++) {
        if (!was_given(a, i))
            continue;
        if (idle[i].refused) {
            fprintf(stderr, "knarr-monitor: --%s: not supported: %s\n", idle[i].name, idle[i].why);
            return false;
        }
        log_warn("--%s has no effect: %s", idle[i].name, idle[i].why);
    }
    return true;
}

const char *monitor_idle_feature(StrView name)
{
    static const struct {
        const char *name, *why;
    } features[] = {
        { "memory-snapshot-on-shutdown", "the log is replayed at the start" },
        { "promql-duration-expr", "it is always on" },
        { "native-histograms", "scrape_native_histograms of a job says it" },
        { "ooo-native-histograms", "it is always on" },
        { "promql-at-modifier", "it is always on" },
        { "promql-negative-offset", "it is always on" },
        { "new-service-discovery-manager", "it is always on" },
        { "remote-write-receiver", "--web.enable-remote-write-receiver says it" },
        { "no-default-scrape-port", "it is always on" },
        { "auto-gomaxprocs", GO },
        { "auto-gomemlimit", GO },
        { "xor2-encoding", "floats are stored as XOR here" },
        { "histograms-st-encoding", "start times are not stored here" },
        { "st-storage", "start times are not stored here" },
        { "st-synthesis", "start times are not stored here" },
        { "delayed-compaction", "compaction is not delayed here" },
        { "old-ui", "there is one page only" },
        { "type-and-unit-labels", "types and units are metadata only here" },
        { "use-uncached-io", "blocks are written through the page cache here" },
        { "fast-startup", "the log is replayed at the start" },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
        if (sv_eq(name, sv_cstr(features[i].name)))
            return features[i].why;
    return NULL;
}
