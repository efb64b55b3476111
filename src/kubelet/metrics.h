/* metrics.h - what the kubelet counts, under Kubernetes' names. */
#pragma once

#include "base/metrics.h"

typedef struct Kubelet Kubelet;
typedef struct Container Container;

typedef struct KubeletMetrics {
    Metric *node_name, *running_pods, *running_containers, *started_pods, *started_containers;
    Metric *pod_start;
} KubeletMetrics; /* zero: nobody counts */

/* Registers with what the kubelet's client counts in, until kubelet_metrics_stop(). */
void kubelet_metrics_start(Kubelet *k);
void kubelet_metrics_stop(Kubelet *k);
/* One that this kubelet has launched runs. */
void kubelet_metrics_running(const Container *c);
