/* metrics.c - see metrics.h. Gauges are set when somebody asks. */
#include "kubelet/metrics.h"

#include "base/clock.h"
#include "kubelet/internal.h"

static const double start_bounds[] = { 0.5, 1,   2,   3,    4,    5,    6,   8,   10,
                                       20,  30,  45,  60,   120,  180,  240, 300, 360,
                                       480, 600, 900, 1200, 1800, 2700, 3600 };
static const MetricDef node_name = { .name = "kubelet_node_name",
                                     .help = "The node's name, as a label; always 1.",
                                     .type = METRIC_GAUGE,
                                     .labels = { "node" } };
static const MetricDef running_pods = { .name = "kubelet_running_pods",
                                        .help = "Pods that have a running sandbox.",
                                        .type = METRIC_GAUGE };
static const MetricDef running_containers = { .name = "kubelet_running_containers",
                                              .help = "Containers, by state.",
                                              .type = METRIC_GAUGE,
                                              .labels = { "container_state" } };
static const MetricDef started_pods = { .name = "kubelet_started_pods_total",
                                        .help = "Pods that were started.",
                                        .type = METRIC_COUNTER };
static const MetricDef started_containers = { .name = "kubelet_started_containers_total",
                                              .help = "Containers that were started, by kind.",
                                              .type = METRIC_COUNTER,
                                              .labels = { "container_type" } };
static const MetricDef start_duration = {
    .name = "kubelet_pod_start_duration_seconds",
    .help = "From the first sight of a pod until its containers run.",
    .type = METRIC_HISTOGRAM,
    .buckets = start_bounds,
    .n_buckets = ARRAY_SIZE(start_bounds),
};

static void collect(void *ctx)
{
    const Kubelet *k = ctx;
    const KubeletMetrics *m = &k->metrics;
    unsigned pods = 0, running = 0, exited = 0;
    StrView uid;
    void *v;
    for (size_t i = 0; map_next(&k->workers, &i, &uid, &v);) {
        const Worker *w = v;
        pods += w->phase == WORKER_RUNNING;
        for (unsigned n = 0; n < w->n_containers; n++) {
            running += w->containers[n]->phase == PHASE_RUNNING;
            exited += w->containers[n]->phase == PHASE_EXITED;
        }
    }
    metric_set(m->running_pods, NULL, pods);
    metric_set(m->running_containers, LABEL_VALUES(SV("running")), running);
    metric_set(m->running_containers, LABEL_VALUES(SV("exited")), exited);
}

void kubelet_metrics_start(Kubelet *k)
{
    Metrics *m = api_client_metrics(k->api);
    k->metrics = (KubeletMetrics){ .node_name = metrics_add(m, &node_name),
                                   .running_pods = metrics_add(m, &running_pods),
                                   .running_containers = metrics_add(m, &running_containers),
                                   .started_pods = metrics_add(m, &started_pods),
                                   .started_containers = metrics_add(m, &started_containers),
                                   .pod_start = metrics_add(m, &start_duration) };
    metric_set(k->metrics.node_name, LABEL_VALUES(sv_cstr(k->cfg.node_name)), 1);
    metrics_on_collect(m, collect, k);
}

void kubelet_metrics_stop(Kubelet *k)
{
    metrics_off_collect(api_client_metrics(k->api), collect, k);
}

static bool all_have_started(const Worker *w)
{
    for (unsigned i = 0; i < w->n_containers; i++)
        if (w->containers[i]->kind == CONTAINER_MAIN && !w->containers[i]->ever_started)
            return false;
    return true;
}

void kubelet_metrics_running(const Container *c)
{
    static const StrView kinds[] = { [CONTAINER_INIT] = SV_INIT("init_container"),
                                     [CONTAINER_SIDECAR] = SV_INIT("init_container"),
                                     [CONTAINER_MAIN] = SV_INIT("container") };
    Worker *w = c->worker;
    const KubeletMetrics *m = &w->k->metrics;
    metric_add(m->started_containers, &kinds[c->kind], 1);
    if (w->start_counted || !all_have_started(w))
        return;
    w->start_counted = true;
    metric_add(m->started_pods, NULL, 1);
    metric_observe(m->pod_start, NULL, (double)(clock_mono_ns() - w->seen_ns) / 1e9);
}
