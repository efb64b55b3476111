/* act.c - what the kubelet does with networks and pods, one action at a time, for tests/fault-run.
 *
 * Usage: fault-act ACTION PLACE NETNS STAGE1 CGROUP
 * cni-add, cni-del and cni-check: a chain of bridge and portmap, with plugins of /tmp/plugins.
 * pod-start: a pod whose app runs on; pod-run: one whose app ends, and then the pod; pod-end: ends
 * and cleans up what there is of a pod. Layers are in /tmp/layer. */
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "cni/runtime.h"
#include "pod/pod.h"

enum { WAIT_MS = 20000, POLL_US = 5000 };

typedef struct Args {
    const char *place, *netns, *stage1, *groups;
    char pod[256], log[256], group[256];
} Args;

/* ---- networks ---- */

static const char chain[] =
    "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"kf0\","
    "\"isGateway\":true,\"hairpinMode\":true,\"ipspoofchk\":true,\"ipam\":{\"type\":\"host-local\","
    "\"dataDir\":\"%s/leases\",\"ranges\":[[{\"subnet\":\"10.9.0.0/24\"}]],"
    "\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}},"
    "{\"type\":\"portmap\",\"snat\":true,\"capabilities\":{\"portMappings\":true}}]}";

static int port_mappings(Arena *a, Value *ret, Err *err)
{
    return json_decode(SV("{\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,"
                          "\"protocol\":\"tcp\"}]}"),
                       a, NULL, ret, err);
}

static int network(const Args *args, const char *action, Err *err)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    CniNetwork *n = NULL;
    CniResult res;
    Value mappings;
    int r = cni_network_parse(arena_printf(&a, chain, args->place), "chain", &n, err);
    if (r == 0)
        r = port_mappings(&a, &mappings, err);
    CniAttachment at = { .container_id = "one",
                         .netns = args->netns,
                         .ifname = "eth0",
                         .plugin_path = "/tmp/plugins",
                         .cache_dir = args->place };
    if (r == 0 && strcmp(action, "cni-add") == 0) {
        at.capability_args = &mappings;
        r = cni_add(n, &at, &a, &res, err);
    } else if (r == 0 && strcmp(action, "cni-del") == 0)
        r = cni_del(n, &at, err); /* what was mapped is told by the cache */
    else if (r == 0)
        r = cni_check(n, &at, err);
    cni_network_free(n);
    return r;
}

/* ---- pods ---- */

static int start_app(const Args *args, Pod *pod, const char *script, Err *err)
{
    static const char *layers[] = { "/tmp/layer" }, *env[] = { "PATH=/bin" };
    const char *argv[] = { "sh", "-c", script };
    AppSpec app = { .id = "app",
                    .lower = { layers, ARRAY_SIZE(layers) },
                    .argv = { argv, ARRAY_SIZE(argv) },
                    .env = { env, ARRAY_SIZE(env) },
                    .caps = caps_default(),
                    .no_new_privs = true,
                    .log_path = args->log,
                    .limits.memory_max = 64 << 20 };
    int r = pod_add(pod, &app, err);
    return r < 0 ? r : pod_start(pod, "app", NULL, err);
}

static int wait_end(Pod *pod, Err *err)
{
    int64_t end = clock_mono_ns() + WAIT_MS * NSEC_PER_MSEC;
    AppStatus st = { 0 };
    int r;
    while ((r = pod_status(pod, "app", &st, err)) == 0 && st.state != APP_EXITED) {
        if (clock_mono_ns() > end)
            return err_set(err, ERR_TIMEOUT, 0, "the app does not end");
        usleep(POLL_US);
    }
    if (r == 0 && st.exit_code)
        return err_set(err, ERR_SYS, 0, "the app ended with %d: %s %s", st.exit_code, st.reason,
                       st.message);
    return r;
}

static int pod(const Args *args, const char *script, bool to_the_end, Err *err)
{
    PodSpec spec = { .id = "one",
                     .cgroup = args->group,
                     .netns = args->netns,
                     .hostname = "one",
                     .limits.memory_max = 128 << 20 };
    Pod *p = NULL;
    int r = pod_start_supervisor(args->pod, &spec, args->stage1, &p, err);
    if (r == 0)
        r = start_app(args, p, script, err);
    if (r == 0 && to_the_end)
        r = wait_end(p, err);
    if (r == 0 && to_the_end)
        r = pod_stop(p, 0, err);
    pod_close(p);
    return r;
}

/* As the kubelet does: again, as long as there is a supervisor. */
static int end_pod(const Args *args, Err *err)
{
    int64_t end = clock_mono_ns() + WAIT_MS * NSEC_PER_MSEC;
    CgroupSystem sys;
    Pod *p = NULL;
    int r;
    if (!path_exists(AT_FDCWD, args->pod))
        return 0;
    while ((r = pod_cleanup(args->pod, err)) == -ERR_BUSY && clock_mono_ns() < end) {
        err_clear(err);
        if (pod_connect(args->pod, &p, NULL) < 0 || pod_stop(p, 0, NULL) < 0)
            usleep(POLL_US);
        p = pod_close(p);
    }
    if (r < 0 || (r = cgroup_system_find(&sys, NULL, err)) < 0 ||
        (r = cgroup_kill(&sys, args->group, WAIT_MS, err)) < 0)
        return r;
    return cgroup_remove(&sys, args->groups, err);
}

int main(int argc, char **argv)
{
    Err err = { 0 };
    int r;
    if (argc != 6) {
        fputs("usage: fault-act ACTION PLACE NETNS STAGE1 CGROUP\n", stderr);
        return 2;
    }
    Args args = { .place = argv[2], .netns = argv[3], .stage1 = argv[4], .groups = argv[5] };
    snprintf(args.pod, sizeof args.pod, "%s/pod", args.place);
    snprintf(args.log, sizeof args.log, "%s/log", args.place);
    snprintf(args.group, sizeof args.group, "%s/one", args.groups);
    if (strncmp(argv[1], "cni-", 4) == 0)
        r = network(&args, argv[1], &err);
    else if (strcmp(argv[1], "pod-start") == 0)
        r = pod(&args, "sleep 1000", false, &err);
    else if (strcmp(argv[1], "pod-run") == 0)
        r = pod(&args, "echo said", true, &err);
    else
        r = end_pod(&args, &err);
    if (r < 0)
        fprintf(stderr, "fault-act: %s: %s\n", argv[1], err.msg);
    return r < 0 ? 1 : 0;
}
