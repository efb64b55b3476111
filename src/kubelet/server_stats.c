/* server_stats.c - /stats/summary: what the node, its pods and their containers use
 * (k8s.io/kubelet/pkg/apis/stats/v1alpha1). One that cannot be read lacks its part.
 *
 * What runs is noted on the loop, read on a pool thread, and answered on the loop again. A rate of
 * CPU use needs an earlier answer to compare with: the first has none. */
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "kubelet/net_dev.h"
#include "kubelet/server.h"

enum { RATE_MIN_NS = 1000 * 1000 * 1000 /* a shorter time says little */ };

/* The CPU time of one control group when it was asked for last. */
typedef struct CpuSample {
    int64_t at_ns; /* monotonic */
    uint64_t cpu_ns, rate;
    bool has_rate, seen;
} CpuSample;

typedef struct Usage {
    StrView name;
    const char *cgroup;
    int64_t started_ns;
    CgroupStat stat;
    bool there;
    int64_t at_ns; /* monotonic */
} Usage;

typedef struct PodUsage {
    StrView ns, name, uid;
    Usage pod;
    pid_t pid; /* of one of its processes, in its network; 0: none, or the host's */
    Usage *containers;
    uint32_t n_containers;
    NetDevs net;
} PodUsage;

typedef struct StatsJob {
    Kubelet *k;
    HttpReq *req; /* NULL: the asker has gone */
    Arena arena;
    bool brief; /* only CPU and memory */
    PodUsage *pods;
    uint32_t n_pods;
    Usage node;
    uint64_t node_available;
    NetDevs net;
    struct statvfs fs;
    bool has_fs;
} StatsJob;

static void job_free(StatsJob *job)
{
    arena_free(&job->arena);
    free(job);
}

/* ---- on the loop: what there is ---- */

static bool note_pod(StatsJob *job, const Worker *w, PodUsage *p)
{
    char cgroup[PATH_SIZE], id[APP_ID_MAX + 1];
    Arena *a = &job->arena;
    sandbox_cgroup(job->k, &w->pod, w->uid, cgroup);
    *p = (PodUsage){ .ns = arena_sv(a, sv_cstr(w->ns)),
                     .name = arena_sv(a, sv_cstr(w->name)),
                     .uid = arena_sv(a, sv_cstr(w->uid)),
                     .containers = arena_array(a, Usage, w->n_containers + 1) };
    p->pod = (Usage){ .cgroup = arena_cstr(a, sv_cstr(cgroup)), .started_ns = w->started_at };
    if (!p->containers || !p->pod.cgroup)
        return false;
    for (unsigned i = 0; i < w->n_containers; i++) {
        const Container *c = w->containers[i];
        if (c->phase != PHASE_RUNNING)
            continue;
        Usage *u = &p->containers[p->n_containers++];
        *u = (Usage){ .name = arena_sv(a, sv_cstr(c->name)),
                      .cgroup = arena_printf(a, "%s/%s", cgroup, container_app_id(c, id)).ptr,
                      .started_ns = c->run.started_ns };
        if (!u->cgroup)
            return false;
        if (!pod_is_host_network(&w->pod))
            p->pid = c->run.pid;
    }
    return true;
}

static bool note_pods(StatsJob *job)
{
    StrView uid;
    void *v;
    job->pods = arena_array(&job->arena, PodUsage, job->k->workers.len + 1);
    for (size_t i = 0; job->pods && map_next(&job->k->workers, &i, &uid, &v);) {
        const Worker *w = v;
        if (w->obj && w->phase == WORKER_RUNNING && !note_pod(job, w, &job->pods[job->n_pods++]))
            return false;
    }
    return job->pods != NULL;
}

/* ---- on a pool thread: what it uses ---- */

static void read_usage(const Kubelet *k, Usage *u)
{
    u->there = cgroup_stat(&k->cgroups, u->cgroup, &u->stat, NULL) == 0;
    u->at_ns = clock_mono_ns();
}

static void read_net(const char *path, Arena *a, NetDevs *ret)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    if (file_read(AT_FDCWD, path, 1024 * 1024, &text) < 0 ||
        net_dev_parse(buf_view(&text), a, ret) < 0)
        *ret = (NetDevs){ 0 };
}

static uint64_t memory_field(StrView meminfo, StrView key)
{
    StrView line, name, value;
    uint64_t kb = 0;
    while (sv_next(&meminfo, '\n', &line))
        if (sv_cut(line, ':', &name, &value) && sv_eq(name, key)) {
            sv_cut(sv_trim(value), ' ', &value, &name);
            return sv_to_u64(value, &kb) == 0 ? kb * 1024 : 0;
        }
    return 0;
}

/* The root group of version 2 has no memory of its own: the machine's is told by /proc/meminfo. */
static void read_node(StatsJob *job)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    CgroupStat *st = &job->node.stat;
    job->node.cgroup = "/";
    read_usage(job->k, &job->node);
    if (file_read(AT_FDCWD, "/proc/meminfo", 65536, &text) < 0)
        return;
    StrView all = buf_view(&text);
    uint64_t total = memory_field(all, SV("MemTotal")),
             inactive = memory_field(all, SV("Inactive(file)"));
    st->memory_bytes = total - memory_field(all, SV("MemFree"));
    st->memory_working_set = st->memory_bytes - MIN(inactive, st->memory_bytes);
    st->memory_rss = memory_field(all, SV("AnonPages"));
    st->memory_limit = total;
}

static void stats_work(void *ctx)
{
    StatsJob *job = ctx;
    char path[64];
    read_node(job);
    for (uint32_t i = 0; i < job->n_pods; i++) {
        PodUsage *p = &job->pods[i];
        read_usage(job->k, &p->pod);
        for (uint32_t c = 0; c < p->n_containers; c++)
            read_usage(job->k, &p->containers[c]);
        snprintf(path, sizeof path, "/proc/%d/net/dev", (int)p->pid);
        if (p->pid && !job->brief)
            read_net(path, &job->arena, &p->net);
    }
    if (job->brief)
        return;
    read_net("/proc/self/net/dev", &job->arena, &job->net);
    job->has_fs = statvfs(job->k->cfg.data_dir, &job->fs) == 0;
}

/* ---- on the loop: the answer ---- */

static Value when(Arena *a, int64_t ns)
{
    char text[RFC3339_SIZE];
    return ns ? value_sv(arena_sv(a, sv_cstr(rfc3339_format(ns, 0, text)))) : value_null();
}

static void put(Arena *a, Value *map, StrView key, uint64_t n)
{
    value_set(a, map, key, value_int((int64_t)MIN(n, (uint64_t)INT64_MAX)));
}

static CpuSample *sample_of(KubeletServer *s, const Usage *u)
{
    CpuSample *old = map_get(&s->samples, sv_cstr(u->cgroup));
    CpuSample *c = old ? old : calloc(1, sizeof *c);
    if (c && !old && !map_set(&s->samples, sv_cstr(u->cgroup), c, NULL)) {
        free(c);
        return NULL;
    }
    if (!c)
        return NULL;
    int64_t passed = u->at_ns - c->at_ns;
    if (old && passed >= RATE_MIN_NS && u->stat.cpu_ns >= c->cpu_ns) {
        c->rate = (uint64_t)((double)(u->stat.cpu_ns - c->cpu_ns) * 1e9 / (double)passed);
        c->has_rate = true;
    }
    if (!old || passed >= RATE_MIN_NS) {
        c->at_ns = u->at_ns;
        c->cpu_ns = u->stat.cpu_ns;
    }
    c->seen = true;
    return c;
}

static void put_usage(StatsJob *job, const Usage *u, Value *to)
{
    Arena *a = &job->arena;
    Value cpu = value_map(), memory = value_map(), now = when(a, clock_real_ns());
    const CgroupStat *st = &u->stat;
    if (!u->there)
        return;
    const CpuSample *c = sample_of(job->k->server, u);
    value_set(a, &cpu, SV("time"), now);
    if (c && c->has_rate)
        put(a, &cpu, SV("usageNanoCores"), c->rate);
    put(a, &cpu, SV("usageCoreNanoSeconds"), st->cpu_ns);
    value_set(a, &memory, SV("time"), now);
    if (st->memory_limit != UINT64_MAX)
        put(a, &memory, SV("availableBytes"),
            st->memory_limit - MIN(st->memory_working_set, st->memory_limit));
    put(a, &memory, SV("usageBytes"), st->memory_bytes);
    put(a, &memory, SV("workingSetBytes"), st->memory_working_set);
    put(a, &memory, SV("rssBytes"), st->memory_rss);
    put(a, &memory, SV("pageFaults"), st->page_faults);
    put(a, &memory, SV("majorPageFaults"), st->major_page_faults);
    value_set(a, to, SV("cpu"), cpu);
    value_set(a, to, SV("memory"), memory);
}

static void put_interface(Arena *a, const NetDev *d, Value *to)
{
    value_set(a, to, SV("name"), value_sv(d->name));
    put(a, to, SV("rxBytes"), d->rx_bytes);
    put(a, to, SV("rxErrors"), d->rx_errors);
    put(a, to, SV("txBytes"), d->tx_bytes);
    put(a, to, SV("txErrors"), d->tx_errors);
}

/* The numbers of eth0, if there is one, and those of all but lo. */
static void put_network(StatsJob *job, const NetDevs *net, Value *to)
{
    Arena *a = &job->arena;
    Value v = value_map(), list = value_list();
    value_set(a, &v, SV("time"), when(a, clock_real_ns()));
    for (uint32_t i = 0; i < net->len; i++) {
        Value one = value_map();
        if (sv_eq(net->items[i].name, SV("lo")))
            continue;
        put_interface(a, &net->items[i], &one);
        value_push(a, &list, one);
        if (sv_eq(net->items[i].name, SV("eth0")))
            put_interface(a, &net->items[i], &v);
    }
    value_set(a, &v, SV("interfaces"), list);
    if (net->len)
        value_set(a, to, SV("network"), v);
}

/* Without what the container itself has written there: that would have to be counted file by file.
 */
static Value file_system(StatsJob *job, bool with_use)
{
    Arena *a = &job->arena;
    const struct statvfs *fs = &job->fs;
    Value v = value_map();
    value_set(a, &v, SV("time"), when(a, clock_real_ns()));
    put(a, &v, SV("availableBytes"), (uint64_t)fs->f_bavail * fs->f_frsize);
    put(a, &v, SV("capacityBytes"), (uint64_t)fs->f_blocks * fs->f_frsize);
    put(a, &v, SV("inodesFree"), fs->f_ffree);
    put(a, &v, SV("inodes"), fs->f_files);
    if (with_use) {
        put(a, &v, SV("usedBytes"), (uint64_t)(fs->f_blocks - fs->f_bfree) * fs->f_frsize);
        put(a, &v, SV("inodesUsed"), fs->f_files - fs->f_ffree);
    }
    return v;
}

static Value pod_answer(StatsJob *job, const PodUsage *p)
{
    Arena *a = &job->arena;
    Value v = value_map(), ref = value_map(), list = value_list();
    value_set(a, &ref, SV("name"), value_sv(p->name));
    value_set(a, &ref, SV("namespace"), value_sv(p->ns));
    value_set(a, &ref, SV("uid"), value_sv(p->uid));
    value_set(a, &v, SV("podRef"), ref);
    value_set(a, &v, SV("startTime"), when(a, p->pod.started_ns));
    for (uint32_t i = 0; i < p->n_containers; i++) {
        const Usage *u = &p->containers[i];
        Value c = value_map();
        value_set(a, &c, SV("name"), value_sv(u->name));
        value_set(a, &c, SV("startTime"), when(a, u->started_ns));
        put_usage(job, u, &c);
        if (job->has_fs)
            value_set(a, &c, SV("rootfs"), file_system(job, false));
        value_push(a, &list, c);
    }
    value_set(a, &v, SV("containers"), list);
    put_usage(job, &p->pod, &v);
    put_network(job, &p->net, &v);
    if (p->pod.there && p->pod.stat.pids) {
        Value processes = value_map();
        put(a, &processes, SV("process_count"), p->pod.stat.pids);
        value_set(a, &v, SV("process_stats"), processes);
    }
    return v;
}

static Value answer(StatsJob *job)
{
    Arena *a = &job->arena;
    Value v = value_map(), node = value_map(), pods = value_list();
    value_set(a, &node, SV("nodeName"), value_sv(sv_cstr(job->k->cfg.node_name)));
    value_set(a, &node, SV("startTime"), when(a, clock_real_ns() - clock_mono_ns()));
    put_usage(job, &job->node, &node);
    put_network(job, &job->net, &node);
    if (job->has_fs) {
        value_set(a, &node, SV("fs"), file_system(job, true));
        value_set_path(a, &node, "runtime.imageFs", file_system(job, true));
        value_set_path(a, &node, "runtime.containerFs", file_system(job, true));
    }
    for (uint32_t i = 0; i < job->n_pods; i++)
        value_push(a, &pods, pod_answer(job, &job->pods[i]));
    value_set(a, &v, SV("node"), node);
    value_set(a, &v, SV("pods"), pods);
    return v;
}

/* Keeps samples of what was asked for just now. */
static bool keep_sample(void *all, StrView key, void *val)
{
    CpuSample *c = val;
    if (c->seen && !all) {
        c->seen = false;
        return true;
    }
    free(c);
    return false;
}

void kubelet_samples_free(KubeletServer *s)
{
    map_retain(&s->samples, keep_sample, s);
    map_free(&s->samples);
}

static void stats_done(void *ctx)
{
    StatsJob *job = ctx;
    Kubelet *k = job->k;
    if (job->req) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Value v = answer(job);
        json_encode(&v, &text);
        map_retain(&k->server->samples, keep_sample, NULL);
        http_on_close(job->req, NULL, NULL);
        if (text.failed || job->arena.failed)
            kubelet_refuse(job->req, 500, "out of memory");
        else
            http_respond(job->req, 200, SV("application/json"), buf_view(&text));
    }
    job_free(job);
    kubelet_job_done(k);
}

static void on_asker_gone(void *ctx)
{
    ((StatsJob *)ctx)->req = NULL;
}

void serve_stats(KubeletRequest *r)
{
    Err err = { 0 };
    if (r->n_rest != 1 || !sv_eq(r->rest[0], SV("summary"))) {
        kubelet_refuse(r->req, 404, "404 page not found");
        return;
    }
    StatsJob *job = calloc(1, sizeof *job);
    if (job) {
        arena_init(&job->arena, ARENA_DEFAULT_LIMIT);
        job->k = r->server->k;
        job->req = r->req;
        job->brief = kubelet_flag(r->req, SV("only_cpu_and_memory"));
        if (note_pods(job) && kubelet_job(job->k, stats_work, stats_done, job, &err) == 0) {
            http_on_close(r->req, on_asker_gone, job);
            return;
        }
        job_free(job);
    }
    kubelet_refuse(r->req, 500, "%s", err.code ? err.msg : "out of memory");
}
